/* From logits to predictions. */
#include "score.h"

#include <math.h>

static float sigmoid(float logit)
{
    /* The exponential of what is negative: it cannot overflow. */
    float small = expf(-fabsf(logit));
    return (logit >= 0 ? 1.0F : small) / (1.0F + small);
}

void fmc_apply_link(const fmc_model *model, float *logits, size_t rows)
{
    switch (model->link) {
    case FMC_SIGMOID:
        for (size_t row = 0; row < rows; row++) logits[row] = sigmoid(logits[row]);
        break;
    case FMC_PROBIT:
        for (size_t row = 0; row < rows; row++) logits[row] = (float)(0.5 * erfc(-(double)logits[row] * 0.70710678118654752440));
        break;
    case FMC_CLIP:
        /* A logit that is no number stays none: no limit is a prediction. */
        for (size_t row = 0; row < rows; row++) {
            double logit = logits[row];
            logits[row] = (float)(logit < model->low ? model->low : logit > model->high ? model->high : logit);
        }
        break;
    case FMC_IDENTITY: break;
    }
}
