/* Bytes to be read from the front, and the primitives in them (stream, "Primitives"). */
#ifndef BYTES_H
#define BYTES_H

#include "attempt.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *at, *end;
    Error lack; /* what it is when they run out */
} Bytes;

Bytes bytes_of(const uint8_t *data, size_t size, Error lack);
size_t bytes_left(const Bytes *from);
const uint8_t *bytes_take(Bytes *from, uint64_t size);
/* The next `size` bytes, as bytes of their own. */
Bytes bytes_cut(Bytes *from, uint64_t size);
/* Bytes behind their length. */
Bytes bytes_field(Bytes *from);
/* Refuses bytes that are left over. */
void bytes_end(const Bytes *from, const char *what);

uint8_t read_u8(Bytes *from);
uint16_t read_u16(Bytes *from);
uint32_t read_u32(Bytes *from);
double read_f64(Bytes *from);
float read_f32(Bytes *from);
uint64_t read_varint(Bytes *from);
/* A varint that must not exceed `most`. */
uint64_t read_varint_to(Bytes *from, uint64_t most, const char *what);

int64_t unfold(uint64_t folded);
uint32_t crc32(const uint8_t *data, size_t size);

#endif
