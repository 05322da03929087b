/* Lattices, their passes and their neighbours (pyramid, section 3). */
#ifndef LATTICE_H
#define LATTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PASSES = 3, STENCIL = 28 };

/* Pass D, A or B: its targets are of one part, in rows and columns of one parity. */
typedef struct {
    int odd_row, odd_column, n;
    int dy[STENCIL], dx[STENCIL];
    int64_t squares; /* the sum of the squares of offsets, both ways */
} Pass;

typedef struct {
    int p; /* the spacing is 2^p */
    size_t rows, columns;
    bool wraps;
} Lattice;

/* Passes 0 to 2 are D, A and B. */
const Pass *lattice_pass(int number);
/* Of frames of this many rows and columns. */
Lattice lattice_of(int p, size_t rows, size_t columns, bool wrap);
/* Mirrored about 0 and `length - 1`. */
size_t mirrored(int64_t at, size_t length);
/* Takes a neighbour's row and column to those of the pixel that it is read from. */
void lattice_neighbour(const Lattice *lattice, int64_t *y, int64_t *x);

#endif
