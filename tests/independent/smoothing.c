#include "smoothing.h"

#include "integer.h"
#include "lattice.h"
#include "packed.h"

#include <string.h>

enum { KINDS = 42, FEATURES = 9, NEIGHBOURS = 28 };

const int8_t *smoothing_read(Bytes *from)
{
    const Bytes section = bytes_field(from);
    const uint8_t *data;
    int8_t *weights;
    int i;

    if (bytes_left(&section) == 0)
        return NULL;
    data = packed(section, KINDS * FEATURES).at;
    weights = memory_take(KINDS * FEATURES, 1);
    for (i = 0; i < KINDS * FEATURES; i++)
        weights[i] = (int8_t)(data[i] < 128 ? data[i] : data[i] - 256);
    return weights;
}

/* The spacing 2^p that a pixel was coded at, and 0, 1, 2 for the passes D, A, B */
static int spacing_of(size_t y, size_t x, int *pass)
{
    int p = 0;

    if (y == 0 && x == 0)
        return FIRST_PIXELS;
    while (((y | x) >> p & 1) == 0)
        p++;
    *pass = (y >> p & 1) == 0 ? 1 : (x >> p & 1) == 0 ? 2 : 0;
    return p;
}

/* F[0] to F[7] */
static void differences(const Chunk *chunk, const int64_t *values, size_t y, size_t x, int64_t F[FEATURES])
{
    static const struct {
        int8_t feature, dy, dx;
    } neighbour[NEIGHBOURS] = {{0, 0, -1}, {0, 0, 1},   {1, -1, 0}, {1, 1, 0},  {2, -1, -1}, {2, -1, 1}, {2, 1, -1},
                               {2, 1, 1},  {3, 0, -2},  {3, 0, 2},  {4, -2, 0}, {4, 2, 0},   {5, -1, -2}, {5, -1, 2},
                               {5, 1, -2}, {5, 1, 2},   {5, -2, -1}, {5, -2, 1}, {5, 2, -1}, {5, 2, 1},  {6, -2, -2},
                               {6, -2, 2}, {6, 2, -2},  {6, 2, 2},  {7, 0, -3}, {7, 0, 3},   {7, -3, 0}, {7, 3, 0}};
    const int64_t columns = (int64_t)chunk->columns;
    int k;

    memset(F, 0, FEATURES * sizeof *F);
    for (k = 0; k < NEIGHBOURS; k++) {
        const int64_t column = (int64_t)x + neighbour[k].dx;
        const size_t row = mirrored((int64_t)y + neighbour[k].dy, chunk->rows);
        const size_t at = chunk->wrap ? (size_t)((column % columns + columns) % columns)
                                      : mirrored(column, chunk->columns);

        F[neighbour[k].feature] += values[row * chunk->columns + at] - values[y * chunk->columns + x];
    }
}

static int64_t smoothed(const Chunk *chunk, const int64_t *values, int mark, size_t y, size_t x, const int8_t *weights)
{
    const int64_t finest = chunk_step(chunk, 0);
    int64_t F[FEATURES], t, room, sum = 256;
    int pass = 0, activity, kind, k;
    const int p = spacing_of(y, x, &pass);

    differences(chunk, values, y, x, F);
    F[8] = shift_down(clip(mark, -2, 2) * finest, 2);
    t = magnitude(F[0] + F[1]) + magnitude(F[2]);
    activity = t < finest ? 0 : t < 4 * finest ? 1 : 2;
    kind = 3 * (2 * (p < 2 ? 3 * p + pass : 6) + (mark != 0)) + activity;
    for (k = 0; k < FEATURES; k++)
        sum += weights[kind * FEATURES + k] * F[k];
    room = larger(0, (chunk->step - chunk_step(chunk, p)) >> 1);
    return values[y * chunk->columns + x] + clip(shift_down(sum, 9), -room, room);
}

void smooth(const Chunk *chunk, const Group *group, const int8_t *weights)
{
    const size_t size = chunk->rows * chunk->columns;
    const Mark memory = memory_mark();
    int64_t *const before = memory_take(size, sizeof *before);
    size_t g, y, x;

    for (g = 0; g < group->count; g++) {
        int64_t *const values = chunk->value + group->frames[g] * size;
        const int8_t *const marks = chunk->mark + group->frames[g] * size;

        memcpy(before, values, size * sizeof *values);
        for (y = 0; y < chunk->rows; y++)
            for (x = 0; x < chunk->columns; x++) {
                const size_t at = y * chunk->columns + x;

                values[at] = smoothed(chunk, before, marks[at], y, x, weights);
            }
    }
    memory_release(memory);
}
