#include "escapes.h"

#include "packed.h"

Escapes escapes_open(Bytes part)
{
    Escapes escapes = {NULL, 0, 0};
    uint64_t i;

    if (bytes_left(&part) == 0)
        return escapes;
    escapes.count = read_varint_to(&part, (uint64_t)1 << 31, "escapes");
    escapes.folded = packed_planes(part, 8, escapes.count);
    for (i = 0; i < escapes.count; i++)
        if (escapes.folded[i] >> 41 != 0)
            refuse(CORRUPT, "expected an escape below 2^41, got %llu", (unsigned long long)escapes.folded[i]);
    return escapes;
}

int64_t escapes_next(Escapes *escapes)
{
    if (escapes->next == escapes->count)
        refuse(CORRUPT, "expected more than %llu escapes", (unsigned long long)escapes->count);
    return unfold(escapes->folded[escapes->next++]);
}

void escapes_end(const Escapes *escapes)
{
    if (escapes->next != escapes->count)
        refuse(CORRUPT, "expected escapes that end with the symbols");
}
