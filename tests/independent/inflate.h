/* Deflate (RFC 1951) and zlib (RFC 1950). */
#ifndef INFLATE_H
#define INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both give exactly `size` bytes to `out` and end at the last byte of `in`, or return false. */
bool inflate_deflate(const uint8_t *in, size_t length, uint8_t *out, size_t size);
bool inflate_zlib(const uint8_t *in, size_t length, uint8_t *out, size_t size);

#endif
