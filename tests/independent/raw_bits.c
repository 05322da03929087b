#include "raw_bits.h"

RawBits raw_open(Bytes part)
{
    RawBits raw;

    raw.left = part;
    raw.bit = 0;
    return raw;
}

unsigned raw_bit(RawBits *raw)
{
    unsigned bit;

    if (bytes_left(&raw->left) == 0)
        refuse(CORRUPT, "expected more raw bits");
    bit = *raw->left.at >> raw->bit & 1u;
    raw->bit = (raw->bit + 1) % 8;
    raw->left.at += raw->bit == 0;
    return bit;
}

void raw_align(RawBits *raw)
{
    raw->left.at += raw->bit != 0;
    raw->bit = 0;
}

void raw_end(RawBits *raw)
{
    if (raw->bit != 0 && *raw->left.at >> raw->bit != 0)
        refuse(CORRUPT, "expected bits of 0 after the last raw bit");
    raw_align(raw);
    bytes_end(&raw->left, "the last raw bit");
}
