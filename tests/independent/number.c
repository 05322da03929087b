#include "number.h"

#include "integer.h"

#include <math.h>
#include <string.h>

/* Straight from the 53 bits of a double to 11, so that nothing is rounded twice. */
static uint64_t round_f16(double x)
{
    const uint64_t sign = signbit(x) ? 0x8000 : 0;
    int exponent;
    double units;

    if (isnan(x))
        return sign | 0x7e00;
    if (isinf(x))
        return sign | 0x7c00;
    frexp(x, &exponent);
    exponent = exponent < -13 ? -13 : exponent; /* subnormal below 2^-14 */
    if (x == 0 || exponent > 16)
        return sign | (x == 0 ? 0 : 0x7c00);
    /* In units of the last place. 2^11 units carry into the exponent, by themselves. */
    units = rint(ldexp(fabs(x), 11 - exponent));
    return sign + ((uint64_t)(exponent + 13) << 10) + (uint64_t)units;
}

uint64_t number_round(double x, int itemsize)
{
    if (itemsize == 8) {
        uint64_t pattern;

        memcpy(&pattern, &x, sizeof pattern);
        return pattern;
    }
    if (itemsize == 4) {
        const float single = (float)x;
        uint32_t pattern;

        memcpy(&pattern, &single, sizeof pattern);
        return pattern;
    }
    return round_f16(x);
}

double number_value(uint64_t pattern, int itemsize)
{
    if (itemsize == 8) {
        double x;

        memcpy(&x, &pattern, sizeof x);
        return x;
    }
    if (itemsize == 4) {
        const uint32_t single = (uint32_t)pattern;
        float x;

        memcpy(&x, &single, sizeof x);
        return x;
    } else {
        const int exponent = (int)(pattern >> 10 & 31), mantissa = (int)(pattern & 1023);
        double x = exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);

        if (exponent == 31)
            x = mantissa == 0 ? HUGE_VAL : NAN;
        return pattern & 0x8000 ? -x : x;
    }
}

uint64_t number_order(uint64_t pattern, int itemsize)
{
    const uint64_t sign = (uint64_t)1 << (8 * itemsize - 1);

    pattern &= sign | (sign - 1);
    return pattern & sign ? pattern ^ (sign - 1) : pattern;
}
