#include "lzma.h"

enum { STATES = 12, HALF = 1 << 10 };

typedef uint16_t Bit; /* the probability of a 0, in parts of 2^11 */

typedef struct {
    Bit choice, choice2, low[8], mid[8], high[256];
} Lengths;

/* With pb = 0 and lp = 0 no probability depends on the position. */
typedef struct {
    Bit match[STATES], rep[STATES], rep0[STATES], rep0_long[STATES], rep1[STATES], rep2[STATES];
    Bit literal[8][0x300], slot[4][64], special[128], align[16];
    Lengths match_length, rep_length;
} Model;

typedef struct {
    const uint8_t *in;
    size_t length, at;
    uint32_t range, code;
    bool failed;
    union {
        Model model;
        Bit all[sizeof(Model) / sizeof(Bit)];
    } p;
} Lzma;

static void normalise(Lzma *s)
{
    if (s->range >> 24 != 0)
        return;
    s->range <<= 8;
    s->code <<= 8;
    if (s->at < s->length)
        s->code |= s->in[s->at++];
    else
        s->failed = true;
}

static unsigned take_bit(Lzma *s, Bit *probability)
{
    uint32_t bound;

    normalise(s);
    bound = (s->range >> 11) * *probability;
    if (s->code < bound) {
        s->range = bound;
        *probability = (Bit)(*probability + (((1 << 11) - *probability) >> 5));
        return 0;
    }
    s->range -= bound;
    s->code -= bound;
    *probability = (Bit)(*probability - (*probability >> 5));
    return 1;
}

static uint32_t take_direct(Lzma *s, int n)
{
    uint32_t value = 0;

    while (n-- > 0) {
        unsigned bit;

        normalise(s);
        s->range >>= 1;
        bit = s->code >= s->range;
        s->code -= bit ? s->range : 0;
        value = value << 1 | bit;
    }
    return value;
}

static unsigned take_tree(Lzma *s, Bit *probabilities, int n)
{
    unsigned node = 1;
    int i;

    for (i = 0; i < n; i++)
        node = node << 1 | take_bit(s, probabilities + node);
    return node - (1u << n);
}

/* The lowest bit first; the probability of node 1 is the first. */
static unsigned take_reverse(Lzma *s, Bit *probabilities, int n)
{
    unsigned node = 1, value = 0;
    int i;

    for (i = 0; i < n; i++) {
        const unsigned bit = take_bit(s, probabilities + node);

        node = node << 1 | bit;
        value |= bit << i;
    }
    return value;
}

static unsigned take_length(Lzma *s, Lengths *lengths)
{
    if (take_bit(s, &lengths->choice) == 0)
        return 2 + take_tree(s, lengths->low, 3);
    if (take_bit(s, &lengths->choice2) == 0)
        return 10 + take_tree(s, lengths->mid, 3);
    return 18 + take_tree(s, lengths->high, 8);
}

/* One less than how far back a match lies; 2^32 - 1 is the end marker. */
static uint32_t take_distance(Lzma *s, unsigned length)
{
    const unsigned slot = take_tree(s, s->p.model.slot[length < 6 ? length - 2 : 3], 6);
    const int n = (int)(slot >> 1) - 1;
    uint32_t distance;

    if (slot < 4)
        return slot;
    distance = (2 | (slot & 1)) << n;
    if (slot < 14)
        return distance + take_reverse(s, s->p.model.special + distance - slot, n);
    distance += take_direct(s, n - 4) << 4;
    return distance + take_reverse(s, s->p.model.align, 4);
}

static uint8_t take_literal(Lzma *s, unsigned state, unsigned before, unsigned match)
{
    Bit *const probabilities = s->p.model.literal[before >> 5];
    unsigned symbol = 1, offset = 0x100;

    if (state < 7)
        return (uint8_t)take_tree(s, probabilities, 8);
    while (symbol < 0x100) {
        unsigned bit;

        match <<= 1;
        bit = take_bit(s, probabilities + offset + (match & offset) + symbol);
        symbol = symbol << 1 | bit;
        offset &= bit ? match : ~match;
    }
    return (uint8_t)symbol;
}

static void start(Lzma *s, const uint8_t *in, size_t length)
{
    size_t i;

    for (i = 0; i < sizeof s->p.all / sizeof *s->p.all; i++)
        s->p.all[i] = HALF;
    s->in = in;
    s->length = length;
    s->at = 1;
    s->range = 0xffffffff;
    s->code = 0;
    s->failed = length < 5 || in[0] != 0;
    for (i = 0; i < 4 && !s->failed; i++)
        s->code = s->code << 8 | in[s->at++];
}

/* Which of the last four distances is used again; it comes to the front. */
static void choose_rep(Lzma *s, unsigned state, uint32_t rep[4])
{
    unsigned which = 1;
    uint32_t distance;

    if (take_bit(s, s->p.model.rep1 + state) != 0)
        which = 2 + take_bit(s, s->p.model.rep2 + state);
    distance = rep[which];
    for (; which > 0; which--)
        rep[which] = rep[which - 1];
    rep[0] = distance;
}

static bool lzma_body(Lzma *s, uint8_t *out, size_t size)
{
    uint32_t rep[4] = {0, 0, 0, 0};
    unsigned state = 0;
    size_t n = 0;

    for (;;) {
        unsigned length;

        if (take_bit(s, s->p.model.match + state) == 0) {
            if (s->failed || n == size || (state >= 7 && rep[0] >= n))
                return false;
            out[n] = take_literal(s, state, n > 0 ? out[n - 1] : 0, state < 7 ? 0 : out[n - 1 - rep[0]]);
            n++;
            state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
            continue;
        }
        if (take_bit(s, s->p.model.rep + state) == 0) {
            rep[3] = rep[2];
            rep[2] = rep[1];
            rep[1] = rep[0];
            length = take_length(s, &s->p.model.match_length);
            rep[0] = take_distance(s, length);
            if (rep[0] == 0xffffffff) {
                normalise(s);
                return !s->failed && s->code == 0 && s->at == s->length && n == size;
            }
            state = state < 7 ? 7 : 10;
        } else if (take_bit(s, s->p.model.rep0 + state) != 0) {
            choose_rep(s, state, rep);
            length = take_length(s, &s->p.model.rep_length);
            state = state < 7 ? 8 : 11;
        } else if (take_bit(s, s->p.model.rep0_long + state) != 0) {
            length = take_length(s, &s->p.model.rep_length);
            state = state < 7 ? 8 : 11;
        } else {
            length = 1;
            state = state < 7 ? 9 : 11;
        }
        if (s->failed || rep[0] >= n || length > size - n)
            return false;
        for (; length > 0; length--, n++)
            out[n] = out[n - 1 - rep[0]];
    }
}

bool lzma_raw(const uint8_t *in, size_t length, uint8_t *out, size_t size)
{
    Lzma s;

    start(&s, in, length);
    return !s.failed && lzma_body(&s, out, size);
}
