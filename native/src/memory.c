#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

struct fmc_block {
    struct fmc_block *next;
};

void *fmc_allocate(fmc_model *model, size_t count, size_t size)
{
    if (size != 0 && count > (SIZE_MAX - 2 * ALIGNMENT) / size) return NULL;
    /* The block's own head takes one unit of the alignment; aligned_alloc wants a multiple of it. */
    size_t bytes = (ALIGNMENT + count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct fmc_block *block = aligned_alloc(ALIGNMENT, bytes);
    if (block == NULL) return NULL;
    memset(block, 0, bytes);
    block->next = model->blocks;
    model->blocks = block;
    model->block_bytes += bytes;
    return (uint8_t *)block + ALIGNMENT;
}

void fmc_free_blocks(fmc_model *model)
{
    while (model->blocks != NULL) {
        struct fmc_block *next = model->blocks->next;
        free(model->blocks);
        model->blocks = next;
    }
}
