#include "field.h"

#include "integer.h"
#include "spectral_symbols.h"

enum { NEIGHBOURS = 6 };

static const int64_t LARGEST = (int64_t)1 << 40;

/* The six neighbours of a place: west, north, north-west, north-east, two west, two north. */
static void neighbours(const int64_t *field, size_t columns, size_t r, size_t c, int64_t near[NEIGHBOURS])
{
    const int64_t *const at = field + r * columns + c;
    const int64_t west = c > 0 ? at[-1] : r > 0 ? *(at - columns) : 0;
    const int64_t north = r > 0 ? *(at - columns) : west;

    near[0] = west;
    near[1] = north;
    near[2] = r > 0 && c > 0 ? *(at - columns - 1) : north;
    near[3] = r > 0 && c + 1 < columns ? *(at - columns + 1) : north;
    near[4] = c > 1 ? at[-2] : west;
    near[5] = r > 1 ? *(at - 2 * columns) : north;
}

int64_t *fields_read(Bytes from, size_t count, size_t rows, size_t columns)
{
    const size_t places = rows * columns;
    int64_t *const values = memory_take(count * places, sizeof *values);
    int64_t *const off = memory_take(count * places, sizeof *off);
    int64_t *const weights = memory_take(count * NEIGHBOURS + count * count / 2, sizeof *weights), *weight = weights;
    const int32_t *symbols;
    size_t i, m, place;
    int k;

    if (count == 0) {
        bytes_end(&from, "no field");
        return values;
    }
    for (i = 0; i < count; i++)
        for (m = 0; m < NEIGHBOURS + i; m++)
            *weight++ = unfold(read_varint_to(&from, 1 << 17, "a folded weight"));
    symbols = spectral_symbols(from, count, places, NULL);
    for (i = 0, weight = weights; i < count; weight += NEIGHBOURS + i, i++)
        for (place = 0; place < places; place++) {
            const size_t at = i * places + place;
            int64_t near[NEIGHBOURS], spatial = 0, sum = 1 << 11;

            neighbours(values + i * places, columns, place / columns, place % columns, near);
            for (k = 0; k < NEIGHBOURS; k++)
                spatial += weight[k] * near[k];
            for (m = 0; m < i; m++)
                sum += shift_down(wrapped_mul(weight[NEIGHBOURS + m], off[m * places + place]), 12);
            values[at] = shift_down(spatial + sum, 12) + symbols[at];
            if (magnitude(values[at]) >= LARGEST)
                refuse(CORRUPT, "expected a field below 2^40");
            off[at] = values[at] * (1 << 12) - spatial;
        }
    return values;
}
