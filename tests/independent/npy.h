/* NumPy's `.npy` files, format version 1.0. */
#ifndef NPY_H
#define NPY_H

#include "bytes.h"

#include <stdbool.h>
#include <stdio.h>

enum { NPY_DIMENSIONS = 32 };

typedef struct {
    int dimensions;
    uint64_t shape[NPY_DIMENSIONS];
    Bytes data;
} Npy;

/* A file of the dtype `descr` in C order; what is not is refused with MODEL_MISMATCH. */
Npy npy_read(Bytes file, const char *descr, int itemsize, const char *name);
/* Whether it has two axes of these lengths. */
bool npy_is(const Npy *npy, uint64_t rows, uint64_t columns);

/* The header of an array whose data follow. False if the file cannot be written. */
bool npy_write_header(FILE *file, const char *descr, bool fortran_order, int dimensions, const uint64_t *shape);

#endif
