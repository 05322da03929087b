#include "band.h"

#include "integer.h"
#include "prediction.h"
#include "reference.h"

#include <string.h>

enum { BAND = 1 << 16 };

/* Targets that are predicted and wait for their symbols, in order. */
typedef struct {
    size_t seen, count; /* targets of the band, and those of them that are coded */
    size_t *pixel;
    int64_t *prediction, *symbol;
    uint16_t *context;
} Band;

static Band band_take(size_t targets)
{
    const size_t most = targets < BAND ? targets : BAND;
    Band band;

    band.seen = band.count = 0;
    band.pixel = memory_take(most, sizeof *band.pixel);
    band.prediction = memory_take(most, sizeof *band.prediction);
    band.symbol = memory_take(most, sizeof *band.symbol);
    band.context = memory_take(most, sizeof *band.context);
    return band;
}

static void set_value(const Chunk *chunk, size_t pixel, int64_t prediction, int64_t symbol, int64_t step)
{
    const int64_t f = wrapped_add(prediction, wrapped_mul(symbol, step));

    chunk->value[pixel] = clip(f, -LIMIT, LIMIT);
    chunk->mark[pixel] = (int8_t)clip(symbol, -127, 127);
}

static void band_end(Band *band, const Spacing *spacing, Coder *coder)
{
    size_t i;

    coder_runs(coder, spacing->lattice.p == 0, band->context, band->symbol, band->count);
    for (i = 0; i < band->count; i++)
        set_value(spacing->chunk, band->pixel[i], band->prediction[i], band->symbol[i], spacing->step);
    band->seen = band->count = 0;
}

static void run_pass(const Spacing *spacing, int number, Band *band, Coder *coder)
{
    const Chunk *const chunk = spacing->chunk;
    const Lattice *const lattice = &spacing->lattice;
    const Pass *const pass = lattice_pass(number);
    size_t g, y, x;

    for (g = 0; g < spacing->group->count; g++)
        for (y = (size_t)pass->odd_row; y < lattice->rows; y += 2)
            for (x = (size_t)pass->odd_column; x < lattice->columns; x += 2) {
                const Prediction prediction = predict(spacing, number, g, y, x);
                const size_t pixel = spacing->group->frames[g] * chunk->rows * chunk->columns +
                                     ((y * chunk->columns + x) << lattice->p);

                if (chunk_special(chunk, pixel)) {
                    set_value(chunk, pixel, prediction.value, 0, spacing->step);
                } else {
                    band->pixel[band->count] = pixel;
                    band->prediction[band->count] = prediction.value;
                    band->context[band->count++] = (uint16_t)prediction.context;
                }
                if (++band->seen == BAND)
                    band_end(band, spacing, coder);
            }
    band_end(band, spacing, coder);
}

/* The references' mean, change and pulse at all places of the lattice. */
static void refer(Spacing *spacing)
{
    const Chunk *const chunk = spacing->chunk;
    const Lattice *const lattice = &spacing->lattice;
    const size_t places = spacing->group->count * lattice->rows * lattice->columns;
    int64_t *const mean = memory_take(places, sizeof *mean), *const change = memory_take(places, sizeof *change);
    uint8_t *const pulse = memory_take(places, sizeof *pulse);
    size_t g, y, x, place = 0;

    for (g = 0; g < spacing->group->count; g++)
        for (y = 0; y < lattice->rows; y++)
            for (x = 0; x < lattice->columns; x++, place++) {
                const size_t pixel = (y * chunk->columns + x) << lattice->p;

                mean[place] = reference_mean(chunk, spacing->group, spacing->row, g, pixel);
                change[place] = reference_change(chunk, spacing->group, g, pixel);
                pulse[place] = (uint8_t)reference_pulse(chunk, spacing->group, g, pixel);
            }
    spacing->mean = mean;
    spacing->change = change;
    spacing->pulse = pulse;
}

/* Marks of the coarser lattice, which are in units of another step ("Taper"). */
static void convert_marks(const Spacing *spacing, int64_t before)
{
    const Chunk *const chunk = spacing->chunk;
    const size_t frame = chunk->rows * chunk->columns, s = (size_t)2 << spacing->lattice.p;
    const int64_t step = spacing->step;
    size_t g, y, x;

    for (g = 0; g < spacing->group->count; g++)
        for (y = 0; y < chunk->rows; y += s)
            for (x = 0; x < chunk->columns; x += s) {
                int8_t *const mark = &chunk->mark[spacing->group->frames[g] * frame + y * chunk->columns + x];

                *mark = (int8_t)clip(floor_div(2 * *mark * before + step, 2 * step), -127, 127);
            }
}

void group_spacings(const Chunk *chunk, const Group *group, Coder *coder)
{
    const size_t longest = chunk->rows > chunk->columns ? chunk->rows : chunk->columns;
    const Mark all = memory_mark();
    int64_t before = chunk_step(chunk, FIRST_PIXELS);
    Band band = band_take(group->count * chunk->rows * chunk->columns);
    int p, number;

    for (p = bits(longest - 1) - 1; p >= 0; p--) {
        const Mark mark = memory_mark();
        Spacing spacing;

        memset(&spacing, 0, sizeof spacing);
        spacing.chunk = chunk;
        spacing.group = group;
        spacing.lattice = lattice_of(p, chunk->rows, chunk->columns, chunk->wrap);
        spacing.step = chunk_step(chunk, p);
        spacing.row = weights_row(group, p);
        if (spacing.row >= 0)
            refer(&spacing);
        if (spacing.step != before)
            convert_marks(&spacing, before);
        before = spacing.step;
        for (number = 0; number < PASSES; number++)
            run_pass(&spacing, number, &band, coder);
        memory_release(mark);
    }
    memory_release(all);
}
