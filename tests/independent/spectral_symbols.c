#include "spectral_symbols.h"

#include "escapes.h"
#include "integer.h"
#include "packed.h"
#include "raw_bits.h"
#include "words.h"

enum { EDGES = 2, LETTERS = 128, HIGHEST_LETTER = 63, LARGEST_SHIFT = 30 };

typedef struct {
    int low, letters; /* letter `letters` is the escape */
    uint32_t below[LETTERS + 1];
} Histogram;

typedef struct {
    int shift, edges;
    int64_t edge[EDGES];
    Histogram histogram[EDGES + 1];
} Class;

typedef struct {
    Words words;
    RawBits raw;
    Escapes escapes;
} Parts;

static Histogram read_histogram(Bytes *from)
{
    const int low = read_u8(from) - HIGHEST_LETTER, letters = read_u8(from) + 1;
    uint64_t weight[LETTERS], sum = 0;
    uint32_t frequency[LETTERS], lack = 1u << 24;
    Histogram histogram;
    int largest = 0, i;

    if (low + letters - 1 > HIGHEST_LETTER)
        refuse(CORRUPT, "expected letters up to 63, got %d", low + letters - 1);
    histogram.low = low;
    histogram.letters = letters;
    for (i = 0; i <= letters; i++) {
        weight[i] = read_varint_to(from, 1 << 24, "a weight");
        sum += weight[i];
        if (weight[i] > weight[largest])
            largest = i;
    }
    if (sum == 0)
        refuse(CORRUPT, "expected weights that are not all 0");
    for (i = 0; i <= letters; i++) {
        frequency[i] = 1 + (uint32_t)(weight[i] * (uint64_t)((1 << 24) - letters - 1) / sum);
        lack -= frequency[i];
    }
    frequency[largest] += lack;
    histogram.below[0] = 0;
    for (i = 0; i <= letters; i++)
        histogram.below[i + 1] = histogram.below[i] + frequency[i];
    return histogram;
}

static Class *read_classes(Bytes from, int *count)
{
    Class *classes;
    int k, i;

    *count = read_u8(&from);
    classes = memory_take((size_t)*count, sizeof *classes);
    for (k = 0; k < *count; k++) {
        Class *const class = &classes[k];

        class->shift = read_u8(&from);
        class->edges = read_u8(&from);
        if (class->shift > LARGEST_SHIFT || (class->edges != 0 && class->edges != EDGES))
            refuse(CORRUPT, "expected at most 30 raw bits, and 0 or 2 edges, got %d and %d", class->shift,
                   class->edges);
        for (i = 0; i < class->edges; i++)
            class->edge[i] = (int64_t)read_varint_to(&from, (uint64_t)1 << 40, "an edge");
        if (class->edges == EDGES && class->edge[1] <= class->edge[0])
            refuse(CORRUPT, "expected edges that grow");
        for (i = 0; i <= class->edges; i++)
            class->histogram[i] = read_histogram(&from);
    }
    bytes_end(&from, "the last class");
    return classes;
}

static void take_raw_bits(Parts *parts, const size_t *members, size_t count, int shift, int64_t *symbols)
{
    size_t i;
    int bit;

    for (bit = 0; bit < shift; bit++)
        for (i = 0; i < count; i++)
            symbols[members[i]] += (int64_t)raw_bit(&parts->raw) << bit;
}

/* The symbols of the pixels `members`, which have one histogram. */
static void read_run(Parts *parts, const Histogram *histogram, int shift, const size_t *members, size_t count,
                     int64_t *symbols)
{
    size_t i;

    for (i = 0; i < count; i++)
        symbols[members[i]] = words_letter(&parts->words, histogram->below, histogram->letters + 1);
    for (i = 0; i < count; i++) {
        int64_t *const h = &symbols[members[i]];

        *h = *h < histogram->letters ? histogram->low + *h : escapes_next(&parts->escapes);
        if (*h < INT32_MIN || *h > INT32_MAX) /* whatever its raw bits */
            refuse(CORRUPT, "expected a symbol from -2^31 to 2^31 - 1");
        *h *= (int64_t)1 << shift;
    }
    take_raw_bits(parts, members, count, shift, symbols);
    for (i = 0; i < count; i++)
        if (symbols[members[i]] < INT32_MIN || symbols[members[i]] > INT32_MAX)
            refuse(CORRUPT, "expected a symbol from -2^31 to 2^31 - 1");
}

/* The number of the histogram of each pixel of a channel: how many edges are below the magnitudes of
 * the two channels before. */
static int histogram_of(const Class *class, const int32_t *symbols, size_t channel, size_t pixels, size_t pixel)
{
    int64_t m = 0;
    int k = 0;

    if (channel >= 1)
        m += magnitude(symbols[(channel - 1) * pixels + pixel]);
    if (channel >= 2)
        m += magnitude(symbols[(channel - 2) * pixels + pixel]);
    while (k < class->edges && class->edge[k] < m)
        k++;
    return k;
}

static void read_channel(Parts *parts, const Class *class, size_t channel, size_t pixels, const uint8_t *special,
                         int32_t *symbols)
{
    const Mark mark = memory_mark();
    size_t *const members = memory_take(pixels, sizeof *members), p;
    int64_t *const found = memory_take(pixels, sizeof *found);
    int k;

    for (k = 0; k <= class->edges; k++) {
        size_t count = 0;

        for (p = 0; p < pixels; p++)
            if ((special == NULL || special[channel * pixels + p] == 0) &&
                histogram_of(class, symbols, channel, pixels, p) == k)
                members[count++] = p;
        read_run(parts, &class->histogram[k], class->shift, members, count, found);
    }
    for (p = 0; p < pixels; p++)
        symbols[channel * pixels + p] = (int32_t)found[p];
    memory_release(mark);
}

int32_t *spectral_symbols(Bytes from, size_t channels, size_t pixels, const uint8_t *special)
{
    int32_t *const symbols = memory_take(channels * pixels, sizeof *symbols);
    const Class *classes;
    const uint8_t *kinds;
    Parts parts;
    size_t channel;
    int count;

    classes = read_classes(bytes_field(&from), &count);
    kinds = packed(bytes_field(&from), channels).at;
    for (channel = 0; channel < channels; channel++)
        if (kinds[channel] >= count)
            refuse(CORRUPT, "expected a class below %d, got %d", count, kinds[channel]);
    parts.words = words_open(bytes_field(&from));
    parts.raw = raw_open(bytes_field(&from));
    parts.escapes = escapes_open(bytes_field(&from));
    bytes_end(&from, "the escapes");
    for (channel = 0; channel < channels; channel++)
        read_channel(&parts, &classes[kinds[channel]], channel, pixels, special, symbols);
    words_end(&parts.words);
    escapes_end(&parts.escapes);
    raw_end(&parts.raw);
    return symbols;
}
