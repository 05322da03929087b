/* A chunk of the neural path while it is decoded, and a group of its frames (pyramid, section 1). */
#ifndef CHUNK_H
#define CHUNK_H

#include "mask.h"
#include "package.h"
#include "statics.h"

enum { REACH = 8, SHARES = 32, ROWS = 6, FIRST_PIXELS = 31 /* their spacing counts as 2^31 */ };

typedef struct {
    size_t frames, rows, columns;
    bool wrap;
    int64_t step, snap; /* of the domain */
    int shares;
    uint8_t taper[SHARES];
    const uint8_t *special; /* by pixel; NULL if none is */
    const Package *package;
    int static_count;
    const int64_t *statics[STATICS]; /* fine values of each field */
    int64_t *value;                  /* by pixel, and so the marks: symbols clipped to -127 .. 127 */
    int8_t *mark;
} Chunk;

typedef struct {
    size_t count;
    const size_t *frames; /* their numbers */
    int64_t distance;
    int reach;                /* references that are frames; 0 in the first stage */
    const size_t *references; /* `reach` numbers for each frame */
    int rows;                 /* of weights; 0 if there are none */
    uint8_t trust[ROWS];
    int8_t weight[ROWS][REACH + STATICS];
} Group;

/* The step at the spacing 2^p ("Taper"). */
int64_t chunk_step(const Chunk *chunk, int p);
bool chunk_special(const Chunk *chunk, size_t pixel);

#endif
