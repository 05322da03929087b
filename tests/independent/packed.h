/* Byte strings of a known length, stored or compressed, and planes of bytes (stream, "Primitives"). */
#ifndef PACKED_H
#define PACKED_H

#include "bytes.h"

/* The `n` bytes of packed(n), the whole of `field`. */
Bytes packed(Bytes field, uint64_t n);
/* packed(width * count) of planes(width) of `count` unsigned integers. */
uint64_t *packed_planes(Bytes field, int width, uint64_t count);
uint64_t *planes(const uint8_t *data, int width, size_t count);

#endif
