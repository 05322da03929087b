/* Escaped symbols (entropy, "The four parts"). */
#ifndef ESCAPES_H
#define ESCAPES_H

#include "bytes.h"

typedef struct {
    const uint64_t *folded;
    uint64_t count, next;
} Escapes;

Escapes escapes_open(Bytes part);
int64_t escapes_next(Escapes *escapes);
void escapes_end(const Escapes *escapes);

#endif
