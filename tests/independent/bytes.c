#include "bytes.h"

#include "integer.h"

#include <string.h>

Bytes bytes_of(const uint8_t *data, size_t size, Error lack)
{
    Bytes bytes;

    bytes.at = data;
    bytes.end = data + size;
    bytes.lack = lack;
    return bytes;
}

size_t bytes_left(const Bytes *from)
{
    return (size_t)(from->end - from->at);
}

const uint8_t *bytes_take(Bytes *from, uint64_t size)
{
    const uint8_t *const at = from->at;

    if (size > bytes_left(from))
        refuse(from->lack, "expected %llu bytes, got %zu", (unsigned long long)size, bytes_left(from));
    from->at += size;
    return at;
}

Bytes bytes_cut(Bytes *from, uint64_t size)
{
    const uint8_t *const at = bytes_take(from, size);

    return bytes_of(at, (size_t)size, from->lack);
}

Bytes bytes_field(Bytes *from)
{
    return bytes_cut(from, read_varint(from));
}

void bytes_end(const Bytes *from, const char *what)
{
    if (from->at != from->end)
        refuse(from->lack, "expected nothing after %s, got %zu bytes", what, bytes_left(from));
}

static uint64_t read_little(Bytes *from, int size)
{
    const uint8_t *const at = bytes_take(from, (uint64_t)size);
    uint64_t x = 0;
    int i;

    for (i = 0; i < size; i++)
        x |= (uint64_t)at[i] << 8 * i;
    return x;
}

uint8_t read_u8(Bytes *from)
{
    return *bytes_take(from, 1);
}

uint16_t read_u16(Bytes *from)
{
    return (uint16_t)read_little(from, 2);
}

uint32_t read_u32(Bytes *from)
{
    return (uint32_t)read_little(from, 4);
}

double read_f64(Bytes *from)
{
    const uint64_t u = read_little(from, 8);
    double x;

    memcpy(&x, &u, sizeof x);
    return x;
}

float read_f32(Bytes *from)
{
    const uint32_t u = read_u32(from);
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

uint64_t read_varint(Bytes *from)
{
    uint64_t x = 0;
    uint8_t byte;
    int i = 0;

    do {
        if (i == 9)
            refuse(CORRUPT, "expected a varint of at most 9 bytes, got more");
        byte = read_u8(from);
        x |= (uint64_t)(byte & 0x7f) << 7 * i++;
    } while (byte & 0x80);
    if (i > 1 && byte == 0)
        refuse(CORRUPT, "expected a varint in its shortest form, got a last byte of 0");
    return x;
}

uint64_t read_varint_to(Bytes *from, uint64_t most, const char *what)
{
    const uint64_t x = read_varint(from);

    if (x > most)
        refuse(CORRUPT, "expected %s of at most %llu, got %llu", what, (unsigned long long)most,
               (unsigned long long)x);
    return x;
}

int64_t unfold(uint64_t folded)
{
    return from_bits(folded >> 1 ^ (0 - (folded & 1)));
}

uint32_t crc32(const uint8_t *data, size_t size)
{
    static uint32_t table[256];
    uint32_t crc = 0xffffffff;
    size_t i;

    if (table[1] == 0)
        for (i = 0; i < 256; i++) {
            uint32_t x = (uint32_t)i;
            int bit;

            for (bit = 0; bit < 8; bit++)
                x = x >> 1 ^ (x & 1 ? 0xedb88320 : 0);
            table[i] = x;
        }
    for (i = 0; i < size; i++)
        crc = table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}
