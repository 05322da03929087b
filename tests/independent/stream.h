/* A stream, from its bytes to the values of its array (stream, "Paths"). */
#ifndef STREAM_H
#define STREAM_H

#include "header.h"
#include "library.h"

typedef struct {
    Header header;
    uint64_t *values; /* bit patterns of the dtype, row-major */
} Array;

Array stream_decode(const uint8_t *stream, size_t size, Library *library);

#endif
