/* Smoothing of a group whose last spacing is done (pyramid, section 7). */
#ifndef SMOOTHING_H
#define SMOOTHING_H

#include "chunk.h"

/* The weights, by kind; NULL where nothing is to be changed. */
const int8_t *smoothing_read(Bytes *from);
void smooth(const Chunk *chunk, const Group *group, const int8_t *weights);

#endif
