/* References of a group's frames: other frames, and static fields (pyramid, section 2). */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "chunk.h"

/* A group's weights, if it has references or the chunk static fields. */
void weights_read(Group *group, const Chunk *chunk, Bytes *from);
/* The row of weights that holds at the spacing 2^p, or -1 if nothing is to be referred to there. */
int weights_row(const Group *group, int p);
/* Of a pixel of the group's frame number `g`; `pixel` counts within a frame. */
int64_t reference_mean(const Chunk *chunk, const Group *group, int row, size_t g, size_t pixel);
int64_t reference_change(const Chunk *chunk, const Group *group, size_t g, size_t pixel);
int reference_pulse(const Chunk *chunk, const Group *group, size_t g, size_t pixel);

#endif
