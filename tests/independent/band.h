/* The spacings of a group: prediction, runs of symbols, values (pyramid, sections 3 to 6). */
#ifndef BAND_H
#define BAND_H

#include "chunk.h"
#include "entropy.h"

/* Fills in all pixels of the group's frames but the first ones. */
void group_spacings(const Chunk *chunk, const Group *group, Coder *coder);

#endif
