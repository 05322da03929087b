/* The wavelet, CDF 9/7 by lifting, in integers (hyperprior, section 2). */
#ifndef WAVELET_H
#define WAVELET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HL, LH, HH, BANDS, LL = BANDS };

/* A scale level: a field of `rows` x `columns`, split along one axis or both. */
typedef struct {
    size_t rows, columns;
    bool halves_y, halves_x, wraps;
    int depth;
    int64_t step[BANDS + 1]; /* of HL, LH, HH, and of LL */
} Level;

/* The levels of a field, the finest first; at most 64. `x_first`: level 0 halves x alone. */
int levels_of(size_t rows, size_t columns, bool wrap, bool x_first, Level levels[64]);
/* Rows and columns of a band, or of LL. */
size_t band_rows(const Level *level, int band);
size_t band_columns(const Level *level, int band);
/* The field of one frame, from its LL and its bands. */
void synthesise(const Level *level, const int64_t *const part[BANDS + 1], int64_t *field);

#endif
