/* NEON, on 64-bit Arm: every such processor has it. */
typedef int fmc_no_empty_file_neon;

#if defined(__aarch64__)

#include <arm_neon.h>

#include "bits.h"
#include "plan.h"

typedef float floats8 __attribute__((vector_size(32)));

static inline floats8 both(float32x4_t low, float32x4_t high)
{
    floats8 joined;
    memcpy(&joined, &low, sizeof low);
    memcpy((char *)&joined + sizeof low, &high, sizeof high);
    return joined;
}

static inline floats8 half8(const uint8_t *at)
{
    float16x8_t half = vreinterpretq_f16_u8(vld1q_u8(at));
    return both(vcvt_f32_f16(vget_low_f16(half)), vcvt_high_f32_f16(half));
}

static inline floats8 int8x8(const uint8_t *at)
{
    int16x8_t wide = vmovl_s8(vreinterpret_s8_u8(vld1_u8(at)));
    return both(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_high_s16(wide)));
}

static inline floats8 fma8(floats8 a, floats8 b, floats8 c)
{
    float32x4_t x[2], y[2], z[2];
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    memcpy(z, &c, sizeof c);
    return both(vfmaq_f32(z[0], x[0], y[0]), vfmaq_f32(z[1], x[1], y[1]));
}

static inline float fmc_half1(const uint8_t *at)
{
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(fmc_load16(at)))), 0);
}

#define FMC_PLAIN_CODEWORDS
#define FMC_SCORE fmc_score_neon
#define FMC_SCORE_NETWORK fmc_network_neon
#include "score_template.h"

#endif
