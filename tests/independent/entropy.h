/* Symbols under contexts (entropy). */
#ifndef ENTROPY_H
#define ENTROPY_H

#include "escapes.h"
#include "package.h"
#include "raw_bits.h"
#include "words.h"

enum { CONTEXTS = 624 };

typedef struct {
    const uint32_t (*below)[LETTERS + 1];
    uint8_t moved[2][TABLES]; /* substitutions, by region and own table */
    Words words;
    RawBits raw;
    bool dense; /* raw bits of runs follow one another without a gap */
    Escapes escapes;
} Coder;

/* The four parts */
Coder coder_open(Bytes *from, const Package *package, bool dense);
/* A run: `count` symbols of one context. */
void coder_run(Coder *coder, int region, int context, int64_t *symbols, size_t count);
/* The symbols of `count` targets in their own order: their runs are sorted by context, equals in order. */
void coder_runs(Coder *coder, int region, const uint16_t *contexts, int64_t *symbols, size_t count);
/* Refuses what is left over. */
void coder_end(Coder *coder);

#endif
