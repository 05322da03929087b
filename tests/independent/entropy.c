#include "entropy.h"

#include "integer.h"
#include "packed.h"

#include <string.h>

enum { ESCAPE = LETTERS - 1, MIDDLE = 47 };

Coder coder_open(Bytes *from, const Package *package, bool dense)
{
    const Bytes substitutions = bytes_field(from);
    Coder coder;
    int i;

    memset(&coder, 0, sizeof coder);
    coder.below = (const uint32_t(*)[LETTERS + 1]) package->below;
    coder.dense = dense;
    if (bytes_left(&substitutions) > 0)
        memcpy(coder.moved, packed(substitutions, sizeof coder.moved).at, sizeof coder.moved);
    for (i = 0; i < 2 * TABLES; i++)
        if (coder.moved[i / TABLES][i % TABLES] >= TABLES)
            refuse(CORRUPT, "expected a substitution below 96, got %d", coder.moved[i / TABLES][i % TABLES]);
    coder.words = words_open(bytes_field(from));
    coder.raw = raw_open(bytes_field(from));
    coder.escapes = escapes_open(bytes_field(from));
    return coder;
}

void coder_run(Coder *coder, int region, int context, int64_t *symbols, size_t count)
{
    const int raw = (int)larger(0, shift_down(context / 3 - 28, 2)), own = context - 12 * raw;
    const uint32_t *const below = coder->below[(own + coder->moved[region][own]) % TABLES];
    size_t i;

    for (i = 0; i < count; i++)
        symbols[i] = words_letter(&coder->words, below, LETTERS) - MIDDLE;
    for (i = 0; i < count; i++)
        if (symbols[i] == ESCAPE - MIDDLE)
            symbols[i] = escapes_next(&coder->escapes);
    if (raw == 0)
        return;
    for (i = 0; i < count; i++) {
        uint64_t low = 0;
        int bit;

        for (bit = 0; bit < raw; bit++)
            low |= (uint64_t)raw_bit(&coder->raw) << bit;
        /* Modulo 2^64 (pyramid, section 8) */
        symbols[i] = from_bits(((uint64_t)symbols[i] << raw) + low - ((uint64_t)1 << (raw - 1)));
    }
    if (!coder->dense)
        raw_align(&coder->raw);
}

void coder_runs(Coder *coder, int region, const uint16_t *contexts, int64_t *symbols, size_t count)
{
    const Mark mark = memory_mark();
    int64_t *const sorted = memory_take(count, sizeof *sorted);
    size_t start[CONTEXTS + 1] = {0}, next[CONTEXTS], i;
    int context;

    for (i = 0; i < count; i++)
        start[contexts[i] + 1]++;
    for (context = 0; context < CONTEXTS; context++) {
        const size_t length = start[context + 1];

        start[context + 1] += start[context];
        next[context] = start[context];
        if (length > 0)
            coder_run(coder, region, context, sorted + start[context], length);
    }
    for (i = 0; i < count; i++)
        symbols[i] = sorted[next[contexts[i]]++];
    memory_release(mark);
}

void coder_end(Coder *coder)
{
    words_end(&coder->words);
    escapes_end(&coder->escapes);
    raw_end(&coder->raw);
}
