#include "lattice.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *one, const void *other)
{
    const int *const a = one, *const b = other;
    const int far = a[0] * a[0] + a[1] * a[1] - b[0] * b[0] - b[1] * b[1];

    return far != 0 ? far : a[0] != b[0] ? a[0] - b[0] : a[1] - b[1];
}

/* "Stencils": ODD x ODD in pass D, else offsets of which one is odd and one even, in pass B also the
 * four at the corners. */
static void make_pass(Pass *pass, int odd_row, int odd_column)
{
    int offsets[STENCIL][2], dy, dx, k;

    memset(pass, 0, sizeof *pass);
    pass->odd_row = odd_row;
    pass->odd_column = odd_column;
    for (dy = -3; dy <= 3; dy++)
        for (dx = -3; dx <= 3; dx++) {
            const bool both = dy % 2 != 0 && dx % 2 != 0, either = (dy + dx) % 2 != 0;
            const bool corner = both && abs(dy) == 1 && abs(dx) == 1;

            if (odd_row && odd_column ? both : either || (odd_row && corner)) {
                offsets[pass->n][0] = dy;
                offsets[pass->n++][1] = dx;
            }
        }
    qsort(offsets, (size_t)pass->n, sizeof *offsets, compare);
    for (k = 0; k < pass->n; k++) {
        pass->dy[k] = offsets[k][0];
        pass->dx[k] = offsets[k][1];
        pass->squares += offsets[k][0] * offsets[k][0];
    }
}

const Pass *lattice_pass(int number)
{
    static Pass passes[PASSES];

    if (passes[0].n == 0) {
        make_pass(&passes[0], 1, 1);
        make_pass(&passes[1], 0, 1);
        make_pass(&passes[2], 1, 0);
    }
    return &passes[number];
}

Lattice lattice_of(int p, size_t rows, size_t columns, bool wrap)
{
    Lattice lattice;

    lattice.p = p;
    lattice.rows = ((rows - 1) >> p) + 1;
    lattice.columns = ((columns - 1) >> p) + 1;
    lattice.wraps = wrap && columns % ((size_t)2 << p) == 0;
    return lattice;
}

size_t mirrored(int64_t at, size_t length)
{
    const uint64_t period = 2 * ((uint64_t)length - 1);
    uint64_t t = (uint64_t)(at < 0 ? -at : at);

    if (length == 1)
        return 0;
    t %= period;
    return (size_t)(t < period - t ? t : period - t);
}

void lattice_neighbour(const Lattice *lattice, int64_t *y, int64_t *x)
{
    const int64_t rows = (int64_t)lattice->rows, columns = (int64_t)lattice->columns;
    const int64_t odd_row = *y & 1, odd_column = *x & 1;

    if ((odd_row && rows == 1) || (odd_column && columns == 1)) {
        *y -= odd_row;
        *x -= odd_column;
    }
    if (*x < 0 || *x >= columns)
        *x = lattice->wraps ? (*x % columns + columns) % columns : (int64_t)mirrored(*x, lattice->columns);
    if (*y < 0 || *y >= rows)
        *y = (int64_t)mirrored(*y, lattice->rows);
}
