/* The integers of the specification (README, "Conventions"): `>>` and `/` round down, and 64 bits are
 * taken modulo 2^64, neither of which C99 promises of signed numbers. */
#ifndef INTEGER_H
#define INTEGER_H

#include <stdint.h>

/* Fine units stay within -LIMIT .. LIMIT (pyramid, hyperprior). */
#define LIMIT ((int64_t)1 << 38)

static inline int64_t from_bits(uint64_t u)
{
    return u <= INT64_MAX ? (int64_t)u : -(int64_t)~u - 1;
}

static inline int64_t shift_down(int64_t x, int n)
{
    return x >= 0 ? x >> n : ~(~x >> n);
}

static inline int64_t floor_div(int64_t x, int64_t y)
{
    return x / y - (x % y != 0 && (x < 0) != (y < 0));
}

static inline int64_t wrapped_add(int64_t x, int64_t y)
{
    return from_bits((uint64_t)x + (uint64_t)y);
}

static inline int64_t wrapped_mul(int64_t x, int64_t y)
{
    return from_bits((uint64_t)x * (uint64_t)y);
}

static inline int64_t smaller(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

static inline int64_t larger(int64_t x, int64_t y)
{
    return x > y ? x : y;
}

static inline int64_t clip(int64_t x, int64_t low, int64_t high)
{
    return smaller(larger(x, low), high);
}

static inline int64_t magnitude(int64_t x)
{
    return x < 0 ? -x : x;
}

static inline int bits(uint64_t x)
{
    int n = 0;

    while (x >> 8 != 0) {
        x >>= 8;
        n += 8;
    }
    while (x != 0) {
        x >>= 1;
        n++;
    }
    return n;
}

/* Eight times the logarithm to base 2 of x >= 1, linear between powers of two. */
static inline int64_t log8(int64_t x)
{
    const int e = bits((uint64_t)x) - 1;

    return 8 * e + (e >= 3 ? x >> (e - 3) & 7 : x << (3 - e) & 7);
}

#endif
