#include "spectral.h"

#include "field.h"
#include "integer.h"
#include "packed.h"
#include "spectral_symbols.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 65536, COMPONENTS = 255, NONE = -524288 };

/* Where elements are: channels along an axis, and the image of pixels that the other axes make. */
typedef struct {
    size_t channels, behind, pixels, rows, columns;
} Cube;

typedef struct {
    double scale, a, b, c;
} Step;

/* What predicts: the mean and the components' spectra, their coefficients, and the units of their products. */
typedef struct {
    size_t count; /* of components, K */
    int exponent[COMPONENTS + 1], lowest;
    const int64_t *spectra, *coefficients;
} Components;

/* Section 1 */
static Cube cube_of(const Header *header, int axis)
{
    int last = header->dimensions - 1, i;
    Cube cube;

    if (axis >= header->dimensions || header->shape[axis] > CHANNELS)
        refuse(CORRUPT, "expected an axis of at most 65536 channels, got axis %d", axis);
    cube.channels = (size_t)header->shape[axis];
    cube.behind = 1;
    for (i = axis + 1; i < header->dimensions; i++)
        cube.behind *= (size_t)header->shape[i];
    cube.pixels = (size_t)header->elements / cube.channels;
    last -= last == axis;
    cube.columns = last >= 0 ? (size_t)header->shape[last] : 1;
    cube.rows = cube.pixels / cube.columns;
    return cube;
}

/* Where channel and pixel are in the array */
static size_t element(const Cube *cube, size_t channel, size_t pixel)
{
    return (pixel / cube->behind * cube->channels + channel) * cube->behind + pixel % cube->behind;
}

/* The mask, channel after channel */
static uint8_t *special_by_channel(const Mask *mask, const Cube *cube)
{
    uint8_t *special;
    size_t channel, pixel;

    if (mask->classes == NULL)
        return NULL;
    special = memory_take(cube->channels * cube->pixels, 1);
    for (channel = 0; channel < cube->channels; channel++)
        for (pixel = 0; pixel < cube->pixels; pixel++)
            special[channel * cube->pixels + pixel] = mask->classes[element(cube, channel, pixel)];
    return special;
}

static double octaves(int64_t i, int n)
{
    const int64_t whole = floor_div(i, n);

    return ldexp(1 + (double)(i - whole * n) / n, (int)whole);
}

static double term(int64_t index)
{
    if (index != NONE && magnitude(index) > 153600)
        refuse(CORRUPT, "expected a term from -153600 to 153600, got %lld", (long long)index);
    return index == NONE ? 0 : octaves(index, 256);
}

/* Section 2 */
static Step *read_steps(Bytes from, size_t channels)
{
    const int64_t *const index = fields_read(from, 4, 1, channels);
    Step *const steps = memory_take(channels, sizeof *steps);
    size_t j;

    for (j = 0; j < channels; j++) {
        if (magnitude(index[j]) > 8000)
            refuse(CORRUPT, "expected a scale from -8000 to 8000, got %lld", (long long)index[j]);
        steps[j].scale = octaves(index[j], 8);
        steps[j].a = term(index[channels + j]);
        steps[j].b = term(index[2 * channels + j]);
        steps[j].c = term(index[3 * channels + j]);
        if (steps[j].a == 0)
            refuse(CORRUPT, "expected a constant term other than 0");
    }
    return steps;
}

static int64_t largest(const int64_t *values, size_t count)
{
    int64_t most = 0;
    size_t i;

    for (i = 0; i < count; i++)
        most = larger(most, magnitude(values[i]));
    return most;
}

/* Section 3: all sums are below 2^53 in units of the lowest exponent. */
static void check_sums(const Components *components, const Cube *cube)
{
    const int64_t most = ((int64_t)1 << 53) - 1;
    int64_t sum = 0;
    size_t i;

    for (i = 0; i <= components->count; i++) {
        const int shift = components->exponent[i] - components->lowest;
        const int64_t w = largest(components->spectra + i * cube->channels, cube->channels);
        const int64_t n = i == 0 ? 1 : largest(components->coefficients + (i - 1) * cube->pixels, cube->pixels);

        if (w > 0 && n > 0 && (n > most / w || w * n > most >> shift || w * n * ((int64_t)1 << shift) > most - sum))
            refuse(CORRUPT, "expected predictions below 2^53");
        sum += w > 0 && n > 0 ? w * n * ((int64_t)1 << shift) : 0;
    }
}

static double prediction(const Components *components, const Cube *cube, size_t channel, size_t pixel)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i <= components->count; i++) {
        const int64_t n = i == 0 ? 1 : components->coefficients[(i - 1) * cube->pixels + pixel];

        sum += components->spectra[i * cube->channels + channel] * n *
               ((int64_t)1 << (components->exponent[i] - components->lowest));
    }
    return ldexp((double)sum, components->lowest);
}

static double value(const Step *step, double y, int32_t symbol)
{
    const double u = y > 0 ? y : 0;
    const double product = u * step->c, inner = step->b + product, outer = u * inner;
    const double length = sqrt(step->a + outer), distance = symbol * length;
    const double sum = y + distance;

    return step->scale * sum;
}

double *spectral_read(const Header *header, const Mask *mask)
{
    Bytes from = header->section[PAYLOAD];
    const Cube cube = cube_of(header, read_u8(&from));
    double *const x = memory_take((size_t)header->elements, sizeof *x);
    const int32_t *symbols;
    const Step *steps;
    Components components;
    size_t i, channel, pixel;
    int highest = 0;

    memset(&components, 0, sizeof components);
    components.count = (size_t)read_varint_to(&from, COMPONENTS, "components");
    if (components.count > cube.channels || components.count > cube.pixels)
        refuse(CORRUPT, "expected no more components than channels and pixels, got %zu", components.count);
    for (i = 0; i <= components.count; i++) {
        const int exponent = components.exponent[i] = read_u8(&from) - 128;

        highest = i == 0 || exponent > highest ? exponent : highest;
        components.lowest = i == 0 || exponent < components.lowest ? exponent : components.lowest;
    }
    if (highest - components.lowest > 52)
        refuse(CORRUPT, "expected exponents at most 52 apart, got %d", highest - components.lowest);
    steps = read_steps(bytes_field(&from), cube.channels);
    components.coefficients = fields_read(bytes_field(&from), components.count, cube.rows, cube.columns);
    components.spectra = fields_read(bytes_field(&from), components.count + 1, 1, cube.channels);
    check_sums(&components, &cube);
    symbols = spectral_symbols(bytes_field(&from), cube.channels, cube.pixels, special_by_channel(mask, &cube));
    bytes_end(&from, "the residual");
    for (channel = 0; channel < cube.channels; channel++)
        for (pixel = 0; pixel < cube.pixels; pixel++)
            x[element(&cube, channel, pixel)] = value(&steps[channel], prediction(&components, &cube, channel, pixel),
                                                      symbols[channel * cube.pixels + pixel]);
    return x;
}
