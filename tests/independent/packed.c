#include "packed.h"

#include "inflate.h"
#include "lzma.h"

enum { STORED, ZLIB, LZMA };

Bytes packed(Bytes field, uint64_t n)
{
    const uint8_t method = read_u8(&field);
    const size_t length = bytes_left(&field);
    uint8_t *out;

    if (method > LZMA)
        refuse(CORRUPT, "expected method 0 to 2, got %d", method);
    if (method == STORED) {
        if (length != n)
            refuse(CORRUPT, "expected %llu stored bytes, got %zu", (unsigned long long)n, length);
        return field;
    }
    if (method == ZLIB ? n / 1040 > length || n > 1040 * (uint64_t)length : n > 65536)
        refuse(CORRUPT, "expected fewer than %llu bytes from %zu", (unsigned long long)n, length);
    out = memory_take((size_t)n, 1);
    if (!(method == ZLIB ? inflate_zlib : lzma_raw)(field.at, length, out, (size_t)n))
        refuse(CORRUPT, "expected compressed data of exactly %llu bytes", (unsigned long long)n);
    return bytes_of(out, (size_t)n, CORRUPT);
}

uint64_t *planes(const uint8_t *data, int width, size_t count)
{
    uint64_t *const integers = memory_take(count, sizeof *integers);
    size_t i;
    int k;

    for (k = 0; k < width; k++)
        for (i = 0; i < count; i++)
            integers[i] |= (uint64_t)data[(size_t)k * count + i] << 8 * k;
    return integers;
}

uint64_t *packed_planes(Bytes field, int width, uint64_t count)
{
    const Bytes data = packed(field, (uint64_t)width * count);

    return planes(data.at, width, (size_t)count);
}
