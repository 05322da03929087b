#include "bounds.h"

#include "integer.h"
#include "mask.h"
#include "number.h"
#include "packed.h"

#include <math.h>

int64_t domain_step(const Header *header)
{
    switch (header->domain) {
    case DOMAIN_LATTICE:
    case DOMAIN_LOG:
        return 64 * (2 * header->steps + 1);
    case DOMAIN_ORDERED:
        return 64;
    default:
        return 256;
    }
}

int64_t domain_snap(const Header *header)
{
    return header->domain == DOMAIN_ABS || header->domain == DOMAIN_PROFILE ? 1 : 64;
}

/* The magnitude of `k`, which counts 2^23 to an octave in 32 straight pieces ("log"). */
static double log_magnitude(int64_t k)
{
    static const int32_t T[33] = {0,       372405,  733691,  1084505, 1425434, 1757022, 2079767, 2394127, 2700529,
                                  2999364, 3290997, 3575768, 3853992, 4125963, 4391956, 4652228, 4907021, 5156560,
                                  5401057, 5640713, 5875714, 6106239, 6332455, 6554520, 6772584, 6986788, 7197266,
                                  7404147, 7607550, 7807591, 8004379, 8198018, 8388608};
    const int64_t e = shift_down(k, 23), r = k - e * (1 << 23);
    int64_t m;
    int i = 31;

    while (T[i] > r)
        i--;
    m = (r - T[i]) * (1 << 18) / (T[i + 1] - T[i]);
    /* Mantissa (i 2^18 + m) 2^29 of 2^52 */
    return ldexp(1 + (double)(i * (1 << 18) + m) / (1 << 23), (int)clip(e, -1022, 1023));
}

/* The `unit` of each index along the axis of the profile */
static double *profile_units(const Header *header)
{
    const uint64_t n = header->shape[header->axis];
    const uint64_t *const bounds = packed_planes(header->section[BOUNDS], 8, n);
    double *const units = memory_take((size_t)n, sizeof *units);
    uint64_t i;

    for (i = 0; i < n; i++) {
        const double bound = number_value(bounds[i], 8);

        if (!isfinite(bound) || bound <= 0)
            refuse(CORRUPT, "expected bounds that are finite and above 0, got %g", bound);
        units[i] = bound * (1 - ldexp(1, -header->shave)) / 128;
    }
    return units;
}

static void profile_values(const Header *header, const int64_t *f, uint64_t *values)
{
    const double *const units = profile_units(header);
    uint64_t inner = 1, p;
    int i;

    for (i = header->axis + 1; i < header->dimensions; i++)
        inner *= header->shape[i];
    for (p = 0; p < header->elements; p++)
        values[p] = number_round((double)f[p] * units[p / inner % header->shape[header->axis]], header->itemsize);
}

static void ordered_values(const Header *header, const int64_t *f, uint64_t *values)
{
    const uint64_t *low = NULL;
    uint64_t p;

    if (header->has[LOW_WORDS])
        low = packed_planes(header->section[LOW_WORDS], 4, header->elements);
    for (p = 0; p < header->elements; p++) {
        uint64_t k = (uint64_t)shift_down(f[p], 6);

        if (header->itemsize == 8)
            k = (k << 32) + (low != NULL ? low[p] : 0);
        values[p] = number_order(k, header->itemsize);
    }
}

uint64_t *domain_values(const Header *header, const int64_t *f)
{
    const uint64_t sign = (uint64_t)1 << (8 * header->itemsize - 1);
    uint64_t *const values = memory_take((size_t)header->elements, sizeof *values);
    const uint8_t *signs = NULL;
    double product;
    uint64_t p;

    if (header->domain == DOMAIN_ORDERED) {
        ordered_values(header, f, values);
        return values;
    }
    if (header->domain == DOMAIN_PROFILE)
        profile_values(header, f, values);
    if (header->has[SIGNS])
        signs = plane_read(header->section[SIGNS], header);
    for (p = 0; p < header->elements; p++)
        switch (header->domain) {
        case DOMAIN_ABS:
            values[p] = number_round((double)f[p] * header->unit, header->itemsize);
            break;
        case DOMAIN_LATTICE:
            product = (double)shift_down(f[p], 6) * header->unit;
            values[p] = number_round(product + header->phase, header->itemsize);
            break;
        case DOMAIN_LOG:
            values[p] = number_round(log_magnitude(shift_down(f[p], 6)), header->itemsize);
            if (signs != NULL && signs[p])
                values[p] ^= sign;
            break;
        }
    range_apply(header, values);
    return values;
}

void range_apply(const Header *header, uint64_t *values)
{
    const int size = header->itemsize;
    uint64_t p;

    for (p = 0; p < header->elements && (header->has_lowest || header->has_highest); p++) {
        const double x = number_value(values[p], size);

        if (header->has_lowest && x < header->lowest)
            values[p] = number_round(header->lowest, size);
        if (header->has_highest && x > header->highest)
            values[p] = number_round(header->highest, size);
    }
}

uint64_t *values_of(const Header *header, const double *x)
{
    uint64_t *const values = memory_take((size_t)header->elements, sizeof *values);
    uint64_t p;

    for (p = 0; p < header->elements; p++)
        values[p] = number_round(x[p], header->itemsize);
    range_apply(header, values);
    return values;
}

void exceptions_apply(const Header *header, uint64_t *values)
{
    Bytes from = header->section[EXCEPTIONS];
    const uint64_t *differences;
    const uint8_t *where;
    uint64_t count = 0, p;
    int width;

    if (!header->has[EXCEPTIONS])
        return;
    where = plane_read(bytes_field(&from), header);
    for (p = 0; p < header->elements; p++)
        count += where[p];
    width = read_u8(&from);
    if (width < 1 || width > header->itemsize)
        refuse(CORRUPT, "expected differences of 1 to %d bytes, got %d", header->itemsize, width);
    differences = packed_planes(from, width, count);
    for (p = 0; p < header->elements; p++)
        if (where[p]) {
            const uint64_t order = number_order(values[p], header->itemsize);

            values[p] = number_order(order + (uint64_t)unfold(*differences++), header->itemsize);
        }
}
