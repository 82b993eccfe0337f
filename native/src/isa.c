/* Which instructions are used: the best that there are, or those that FMCOMPRESS_ISA names. */
#include "score.h"

#include <stdlib.h>
#include <string.h>

/* From the best to the one that is everywhere. */
static const fmc_isa_entry ENTRIES[] = {
#if defined(__x86_64__)
    {"avx512", fmc_score_avx512, fmc_network_avx512},
    {"avx2", fmc_score_avx2, fmc_network_avx2},
#elif defined(__aarch64__)
    {"neon", fmc_score_neon, fmc_network_neon},
#endif
    {"portable", fmc_score_portable, fmc_network_portable},
};

static bool is_there(const char *name)
{
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("f16c");
    if (strcmp(name, "avx2") == 0) return avx2;
    if (strcmp(name, "avx512") == 0)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return *name != '\0';
}

const fmc_isa_entry *fmc_best_isa(void)
{
    const char *wanted = getenv("FMCOMPRESS_ISA");
    const fmc_isa_entry *last = ENTRIES + sizeof ENTRIES / sizeof *ENTRIES - 1, *best = NULL;
    for (const fmc_isa_entry *entry = ENTRIES; entry < last; entry++) {
        if (!is_there(entry->name)) continue;
        if (wanted != NULL && strcmp(wanted, entry->name) == 0) return entry;
        if (best == NULL) best = entry;
    }
    if (best == NULL || (wanted != NULL && strcmp(wanted, last->name) == 0)) return last;
    return best;
}

const char *fmc_isa(void) { return fmc_best_isa()->name; }
