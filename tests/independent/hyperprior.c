#include "hyperprior.h"

#include "entropy.h"
#include "integer.h"
#include "latent_inputs.h"

enum { TOP_CONTEXT = 108 };

/* What is decoded: all frames together, level after level. */
typedef struct {
    size_t frames;
    const Package *package;
    Coder coder;
    bool x_first;
} Walk;

/* The value of a coefficient with the symbol `q` under `context` */
static int64_t value_of(const Package *package, int context, int64_t mean, int64_t q, int64_t step)
{
    const int64_t shrink = context < TABLES ? package->shrink[context][q > 1 || q < -1] : 0;
    const int64_t back = shift_down(shrink * step, 8);

    if (q == 0)
        return mean;
    return clip(wrapped_add(wrapped_add(mean, wrapped_mul(q, step)), q > 0 ? -back : back), -LIMIT, LIMIT);
}

/* One of the twelve passes of a level (section 4) */
static void run_pass(Walk *walk, const Place *place, const Coefficients *here, const Coefficients *above,
                     size_t odd_row, size_t odd_column)
{
    const size_t rows = band_rows(place->level, place->band), columns = band_columns(place->level, place->band);
    const bool later = odd_row + odd_column > 0, fine = place->level->depth <= 1;
    const Network *const network = &walk->package->network[4 * place->band + 2 * later + fine];
    const size_t most = walk->frames * ((rows - odd_row + 1) / 2) * ((columns - odd_column + 1) / 2);
    const int64_t step = place->level->step[place->band];
    const Mark mark = memory_mark();
    size_t count = 0, frame, r, c;
    int64_t *mean, *symbol;
    uint16_t *context;

    if (odd_row >= rows || odd_column >= columns)
        return;
    mean = memory_take(most, sizeof *mean);
    symbol = memory_take(most, sizeof *symbol);
    context = memory_take(most, sizeof *context);
    for (frame = 0; frame < walk->frames; frame++)
        for (r = odd_row; r < rows; r += 2)
            for (c = odd_column; c < columns; c += 2) {
                int64_t spread, octave, out[OUTPUTS];
                uint8_t inputs[64];

                latent_inputs(place, &here[frame], &above[frame], r, c, inputs, &spread, &octave);
                network_run(network, inputs, out);
                mean[count] = clip(shift_down(spread * clip(shift_down(out[0], 6), -4095, 4095), 8), -LIMIT, LIMIT);
                context[count++] = (uint16_t)context_of(out, octave);
            }
    coder_runs(&walk->coder, 0, context, symbol, count);
    count = 0;
    for (frame = 0; frame < walk->frames; frame++)
        for (r = odd_row; r < rows; r += 2)
            for (c = odd_column; c < columns; c += 2, count++) {
                const size_t at = r * columns + c;

                here[frame].value[place->band][at] =
                    value_of(walk->package, context[count], mean[count], symbol[count], step);
                here[frame].mark[place->band][at] = (int8_t)clip(symbol[count], -127, 127);
            }
    memory_release(mark);
}

/* Bands of zeros for all frames of a level. */
static Coefficients *take_coefficients(const Level *level, size_t frames)
{
    Coefficients *const all = memory_take(frames, sizeof *all);
    int band;

    for (band = 0; band < BANDS; band++) {
        const size_t size = band_rows(level, band) * band_columns(level, band);
        int64_t *const values = memory_take(frames * size, sizeof *values);
        int8_t *const marks = memory_take(frames * size, sizeof *marks);
        size_t frame;

        for (frame = 0; frame < frames; frame++) {
            all[frame].value[band] = values + frame * size;
            all[frame].mark[band] = marks + frame * size;
        }
    }
    return all;
}

/* Decodes a level whose LL is `field`, and gives back the field above. */
static int64_t *run_level(Walk *walk, const Level *level, bool coarsest, Coefficients *here, const Coefficients *above,
                          int64_t *field)
{
    static const size_t parity[4][2] = {{0, 0}, {1, 1}, {0, 1}, {1, 0}};
    const size_t size = level->rows * level->columns, smooth = band_rows(level, LL) * band_columns(level, LL);
    int64_t *const next = memory_take(walk->frames * size, sizeof *next);
    size_t frame;
    Place place;
    int k;

    for (frame = 0; frame < walk->frames; frame++)
        here[frame].value[LL] = field + frame * smooth;
    place.level = level;
    place.coarser = coarsest ? NULL : level + 1;
    place.x_first = walk->x_first;
    for (k = 0; k < 4; k++)
        for (place.band = 0; place.band < BANDS; place.band++)
            run_pass(walk, &place, here, above, parity[k][0], parity[k][1]);
    for (frame = 0; frame < walk->frames; frame++)
        synthesise(level, (const int64_t *const *)here[frame].value, next + frame * size);
    return next;
}

/* The field's integers n */
static int64_t *run_levels(Walk *walk, const Header *header)
{
    Level levels[64];
    const int count = levels_of(header->rows, header->columns, header->wrap, walk->x_first, levels);
    const int64_t step = count > 0 ? levels[count - 1].step[LL] : 65536;
    int64_t *field = memory_take(walk->frames, sizeof *field);
    Coefficients *above = memory_take(walk->frames, sizeof *above), *here;
    size_t i;
    int k;

    coder_run(&walk->coder, 0, TOP_CONTEXT, field, walk->frames);
    for (i = 0; i < walk->frames; i++) {
        if (field[i] < -(LIMIT / step) || field[i] > LIMIT / step)
            refuse(CORRUPT, "expected a top value within 2^38");
        field[i] *= step;
    }
    for (k = count - 1; k >= 0; k--) {
        here = take_coefficients(&levels[k], walk->frames);
        field = run_level(walk, &levels[k], k == count - 1, here, above, field);
        for (i = 0; k > 0 && i < walk->frames * levels[k].rows * levels[k].columns; i++)
            field[i] = clip(field[i], -LIMIT, LIMIT);
        above = here;
    }
    return field;
}

double *hyperprior_read(const Header *header, const Package *package)
{
    Bytes from = header->section[PAYLOAD];
    const uint8_t first = read_u8(&from);
    double *const x = memory_take((size_t)header->elements, sizeof *x);
    const double unit = (double)header->scale / 65536;
    const int64_t *field;
    uint64_t p;
    Walk walk;

    if (first > 1)
        refuse(CORRUPT, "expected a first byte of 0 or 1, got %d", first);
    walk.frames = header->frames;
    walk.package = package;
    walk.x_first = first;
    walk.coder = coder_open(&from, package, true);
    bytes_end(&from, "the escapes");
    field = run_levels(&walk, header);
    coder_end(&walk.coder);
    for (p = 0; p < header->elements; p++) {
        const double product = (double)field[p] * unit;

        x[p] = (double)header->centre + product;
    }
    return x;
}
