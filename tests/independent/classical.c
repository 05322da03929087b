#include "classical.h"

#include "bounds.h"
#include "integer.h"
#include "packed.h"

enum { NONE, LEFT, PLANE };

int64_t *classical_read(const Header *header)
{
    const size_t pixels = (size_t)header->elements, columns = header->columns, frame = header->rows * columns;
    const int64_t step = domain_step(header);
    int64_t *const f = memory_take(pixels, sizeof *f);
    Bytes from = header->section[PAYLOAD];
    const int mode = read_u8(&from), width = read_u8(&from);
    const uint64_t *folded;
    size_t p;

    if (mode > PLANE || width < 1 || width > 8)
        refuse(CORRUPT, "expected mode 0 to 2 and 1 to 8 planes, got %d and %d", mode, width);
    folded = packed_planes(from, width, pixels);
    for (p = 0; p < pixels; p++)
        f[p] = unfold(folded[p]);
    for (p = 0; p < pixels && mode >= LEFT; p++)
        if (p % columns > 0)
            f[p] = wrapped_add(f[p], f[p - 1]);
    for (p = 0; p < pixels && mode == PLANE; p++)
        if (p % frame >= columns)
            f[p] = wrapped_add(f[p], f[p - columns]);
    for (p = 0; p < pixels; p++)
        f[p] = wrapped_mul(f[p], step);
    return f;
}
