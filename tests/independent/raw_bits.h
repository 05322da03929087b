/* The part of raw bits: the lowest bit of a byte first (entropy; spectral, section 5). */
#ifndef RAW_BITS_H
#define RAW_BITS_H

#include "bytes.h"

typedef struct {
    Bytes left;
    int bit; /* the next one, of the first byte that is left */
} RawBits;

RawBits raw_open(Bytes part);
unsigned raw_bit(RawBits *raw);
/* On to the next whole byte, whatever the bits in between. */
void raw_align(RawBits *raw);
/* Refuses what is left over, but for zeros in the last byte. */
void raw_end(RawBits *raw);

#endif
