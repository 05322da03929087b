/* What the networks of a latent payload see (hyperprior, section 3). */
#ifndef LATENT_INPUTS_H
#define LATENT_INPUTS_H

#include "prediction.h"
#include "wavelet.h"

/* The coefficients of one frame on a level, and its LL. */
typedef struct {
    int64_t *value[BANDS + 1]; /* HL, LH, HH, LL */
    int8_t *mark[BANDS];
} Coefficients;

typedef struct {
    const Level *level, *coarser; /* `coarser` is NULL on the coarsest level */
    int band;
    bool x_first;
} Place;

/* The 64 inputs of the target at row `r`, column `c` of its band. Gives `spread` and `octave` too. */
void latent_inputs(const Place *place, const Coefficients *here, const Coefficients *above, size_t r, size_t c,
                   uint8_t inputs[64], int64_t *spread, int64_t *octave);

#endif
