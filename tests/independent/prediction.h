/* From neighbours to the network, and from the network to a prediction and a context
 * (pyramid, sections 4 and 5). */
#ifndef PREDICTION_H
#define PREDICTION_H

#include "chunk.h"
#include "lattice.h"

/* A spacing while its passes are decoded. */
typedef struct {
    const Chunk *chunk;
    const Group *group;
    Lattice lattice;
    int64_t step;
    int row;                      /* of weights, or -1 */
    const int64_t *mean, *change; /* by frame of the group and place of the lattice; only with references */
    const uint8_t *pulse;
} Spacing;

/* The context that a network's outputs say (section 5), here and in hyperprior. */
int context_of(const int64_t out[OUTPUTS], int64_t octave);

/* The reciprocal of a scale, in which values are put to networks: `scale >> z` has 16 bits at most, `inverse`
 * is 2^32 over it. */
typedef struct {
    int64_t inverse;
    int z;
} Reciprocal;

Reciprocal reciprocal_of(int64_t scale);
int64_t reciprocal_times(Reciprocal reciprocal, int64_t x);

typedef struct {
    int64_t value; /* the prediction */
    int context;
} Prediction;

/* Of the target at row `y`, column `x` of the lattice, in the group's frame number `g`. */
Prediction predict(const Spacing *spacing, int pass, size_t g, size_t y, size_t x);

#endif
