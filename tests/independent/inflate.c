#include "inflate.h"

#include <string.h>

enum { LONGEST = 15, LITERALS = 288, DISTANCES = 30 };

typedef struct {
    const uint8_t *in;
    size_t length, at;
    uint32_t window; /* bits read and not yet used, the next one lowest */
    int held;
    uint8_t *out;
    size_t size, given;
    bool failed;
} Inflate;

/* A canonical prefix code: how many codes of each length, and symbols in the order of their codes. */
typedef struct {
    uint16_t count[LONGEST + 1], symbol[LITERALS];
} Code;

static uint32_t take_bits(Inflate *s, int n)
{
    uint32_t value;

    while (s->held < n) {
        if (s->at == s->length) {
            s->failed = true;
            return 0;
        }
        s->window |= (uint32_t)s->in[s->at++] << s->held;
        s->held += 8;
    }
    value = s->window & ((1u << n) - 1);
    s->window >>= n;
    s->held -= n;
    return value;
}

/* As zlib does, a set of codes that leaves codes unused is refused, but for none at all and, where
 * `lone` allows it, one code of one bit. */
static bool build(Code *code, const uint8_t *lengths, int n, bool lone)
{
    int offset[LONGEST + 2] = {0}, left = 1, used = 0, i;

    memset(code, 0, sizeof *code);
    for (i = 0; i < n; i++)
        code->count[lengths[i]]++;
    code->count[0] = 0;
    for (i = 1; i <= LONGEST; i++) {
        left = 2 * left - code->count[i];
        if (left < 0)
            return false;
        used += code->count[i];
        offset[i + 1] = offset[i] + code->count[i];
    }
    for (i = 0; i < n; i++)
        if (lengths[i] != 0)
            code->symbol[offset[lengths[i]]++] = (uint16_t)i;
    return left == 0 || used == 0 || (lone && used == 1 && code->count[1] == 1);
}

static int take_symbol(Inflate *s, const Code *code)
{
    int word = 0, first = 0, index = 0, length;

    for (length = 1; length <= LONGEST; length++) {
        word |= (int)take_bits(s, 1);
        if (word - first < code->count[length])
            return code->symbol[index + word - first];
        index += code->count[length];
        first = (first + code->count[length]) << 1;
        word <<= 1;
    }
    s->failed = true;
    return 0;
}

static void stored(Inflate *s)
{
    uint32_t length, inverse;

    s->window = 0;
    s->held = 0;
    length = take_bits(s, 16);
    inverse = take_bits(s, 16);
    if (s->failed || (length ^ inverse) != 0xffff || length > s->length - s->at || length > s->size - s->given) {
        s->failed = true;
        return;
    }
    memcpy(s->out + s->given, s->in + s->at, length);
    s->given += length;
    s->at += length;
}

static void copy(Inflate *s, int length_symbol, const Code *distances)
{
    static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                           31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint16_t distance_base[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                             33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                             1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    const int l = length_symbol - 257;
    size_t length, distance;
    int d;

    if (l > 28) {
        s->failed = true;
        return;
    }
    length = length_base[l] + take_bits(s, l < 8 || l == 28 ? 0 : l / 4 - 1);
    d = take_symbol(s, distances);
    if (s->failed || d >= DISTANCES) {
        s->failed = true;
        return;
    }
    distance = distance_base[d] + take_bits(s, d < 4 ? 0 : d / 2 - 1);
    if (s->failed || distance > s->given || length > s->size - s->given) {
        s->failed = true;
        return;
    }
    for (; length > 0; length--, s->given++)
        s->out[s->given] = s->out[s->given - distance];
}

static void coded(Inflate *s, const Code *literals, const Code *distances)
{
    while (!s->failed) {
        const int symbol = take_symbol(s, literals);

        if (s->failed || symbol == 256)
            return;
        if (symbol > 256)
            copy(s, symbol, distances);
        else if (s->given < s->size)
            s->out[s->given++] = (uint8_t)symbol;
        else
            s->failed = true;
    }
}

static void fixed_codes(Code *literals, Code *distances)
{
    uint8_t lengths[LITERALS];

    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    build(literals, lengths, LITERALS, true);
    memset(lengths, 5, 32);
    build(distances, lengths, 32, true);
}

static bool dynamic_codes(Inflate *s, Code *literals, Code *distances)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    const int n = (int)take_bits(s, 5) + 257, m = (int)take_bits(s, 5) + 1, k = (int)take_bits(s, 4) + 4;
    uint8_t lengths[LITERALS + 32] = {0};
    Code code;
    int i;

    if (s->failed || n > 286 || m > DISTANCES)
        return false;
    for (i = 0; i < k; i++)
        lengths[order[i]] = (uint8_t)take_bits(s, 3);
    if (!build(&code, lengths, 19, false))
        return false;
    memset(lengths, 0, sizeof lengths);
    for (i = 0; i < n + m;) {
        const int symbol = take_symbol(s, &code);
        int repeat = 1, length = symbol;

        if (symbol > 15) {
            length = symbol == 16 && i > 0 ? lengths[i - 1] : 0;
            repeat = symbol == 16 ? 3 + (int)take_bits(s, 2)
                   : symbol == 17 ? 3 + (int)take_bits(s, 3)
                                  : 11 + (int)take_bits(s, 7);
        }
        if (s->failed || (symbol == 16 && i == 0) || repeat > n + m - i)
            return false;
        memset(lengths + i, length, (size_t)repeat);
        i += repeat;
    }
    return lengths[256] != 0 && build(literals, lengths, n, true) && build(distances, lengths + n, m, true);
}

static bool inflate_to_end(Inflate *s)
{
    bool last = false;

    while (!last && !s->failed) {
        Code literals, distances;
        uint32_t type;

        last = take_bits(s, 1);
        type = take_bits(s, 2);
        if (s->failed || type == 3)
            return false;
        if (type == 0) {
            stored(s);
        } else {
            if (type == 1)
                fixed_codes(&literals, &distances);
            else if (!dynamic_codes(s, &literals, &distances))
                return false;
            coded(s, &literals, &distances);
        }
    }
    return !s->failed && s->given == s->size;
}

static Inflate start(const uint8_t *in, size_t length, uint8_t *out, size_t size)
{
    Inflate s;

    memset(&s, 0, sizeof s);
    s.in = in;
    s.length = length;
    s.out = out;
    s.size = size;
    return s;
}

bool inflate_deflate(const uint8_t *in, size_t length, uint8_t *out, size_t size)
{
    Inflate s = start(in, length, out, size);

    return inflate_to_end(&s) && s.at == length;
}

bool inflate_zlib(const uint8_t *in, size_t length, uint8_t *out, size_t size)
{
    Inflate s = start(in, length, out, size);
    uint32_t a = 1, b = 0, sum;
    size_t i;

    /* Method 8, a window of at most 32 KiB, no dictionary, and the header's own check. */
    if (length < 2 || (in[0] & 15) != 8 || in[0] >> 4 > 7 || in[1] & 0x20 || (in[0] * 256 + in[1]) % 31 != 0)
        return false;
    s.at = 2;
    if (!inflate_to_end(&s) || length - s.at != 4)
        return false;
    for (i = 0; i < size; i++) {
        a = (a + out[i]) % 65521;
        b = (b + a) % 65521;
    }
    sum = (uint32_t)in[s.at] << 24 | (uint32_t)in[s.at + 1] << 16 | (uint32_t)in[s.at + 2] << 8 | in[s.at + 3];
    return sum == (b << 16 | a);
}
