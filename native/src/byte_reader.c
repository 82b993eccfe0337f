#include "byte_reader.h"

enum { MOST_VARINT_BYTES = 9 };

const uint8_t *fmc_take(fmc_reader *reader, uint64_t size)
{
    if (reader->failed || size > (uint64_t)(reader->end - reader->at)) {
        reader->failed = true;
        return NULL;
    }
    reader->at += size;
    return reader->at - size;
}

uint8_t fmc_take_byte(fmc_reader *reader)
{
    const uint8_t *at = fmc_take(reader, 1);
    return at == NULL ? 0 : *at;
}

uint64_t fmc_take_varint(fmc_reader *reader)
{
    uint64_t number = 0;
    for (int place = 0; place < MOST_VARINT_BYTES && !reader->failed; place++) {
        uint8_t byte = fmc_take_byte(reader);
        number |= (uint64_t)(byte & 0x7F) << 7 * place;
        if (byte >= 0x80) continue;
        if (place > 0 && byte == 0) break;
        return reader->failed ? 0 : number;
    }
    reader->failed = true;
    return 0;
}
