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
        for (size_t row = 0; row < rows; row++) logits[row] = (float)fmin(fmax(logits[row], model->low), model->high);
        break;
    case FMC_IDENTITY: break;
    }
}
