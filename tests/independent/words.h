/* Words: the asymmetric numeral system (entropy, "Words"). */
#ifndef WORDS_H
#define WORDS_H

#include "bytes.h"

typedef struct {
    Bytes left; /* the last word is taken first */
    uint64_t state;
} Words;

Words words_open(Bytes part);
/* The next letter under a table: `below[i]` is the sum of the frequencies below letter i, `below[letters]`
 * 2^24. */
int words_letter(Words *words, const uint32_t *below, int letters);
/* Refuses words that are left over, or missing. */
void words_end(const Words *words);

#endif
