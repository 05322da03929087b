/* LZMA1 without a header: lc = 3, lp = 0, pb = 0 (stream, "Primitives"). */
#ifndef LZMA_H
#define LZMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Gives exactly `size` bytes to `out`, then meets the end marker at the last byte of `in`, or returns
 * false. */
bool lzma_raw(const uint8_t *in, size_t length, uint8_t *out, size_t size);

#endif
