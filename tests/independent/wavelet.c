#include "wavelet.h"

#include "attempt.h"
#include "integer.h"

#include <string.h>

static const int64_t S[17] = {65536, 46741, 32278, 22590, 15925, 11252, 7955, 5625, 3977,
                              2812,  1989,  1406,  994,   703,   497,   352,  249};
static const int64_t D[17] = {65536, 73862, 54169, 36945, 25690, 18076, 12765, 9023, 6380,
                              4511,  3190,  2255,  1595,  1128,  796,   564,   399};

int levels_of(size_t rows, size_t columns, bool wrap, bool x_first, Level levels[64])
{
    int count = 0, a = 0, b = 0, depth = 0;

    while (rows > 1 || columns > 1) {
        const bool x_alone = x_first && count == 0 && columns > 1;
        Level *const level = &levels[count++];

        level->rows = rows;
        level->columns = columns;
        level->halves_x = columns > 1;
        level->halves_y = rows > 1 && !x_alone;
        level->wraps = wrap && columns % 2 == 0;
        level->depth = depth += !x_alone;
        a = (int)smaller(a + level->halves_y, 16);
        b = (int)smaller(b + level->halves_x, 16);
        level->step[HL] = larger(1, S[a] * D[b] >> 16);
        level->step[LH] = larger(1, D[a] * S[b] >> 16);
        level->step[HH] = larger(1, D[a] * D[b] >> 16);
        level->step[LL] = larger(1, S[a] * S[b] >> 16);
        rows = band_rows(level, LL);
        columns = band_columns(level, LL);
    }
    return count;
}

size_t band_rows(const Level *level, int band)
{
    const bool odd = band == LH || band == HH;

    return level->halves_y ? (level->rows + !odd) / 2 : odd ? 0 : level->rows;
}

size_t band_columns(const Level *level, int band)
{
    const bool odd = band == HL || band == HH;

    return level->halves_x ? (level->columns + !odd) / 2 : odd ? 0 : level->columns;
}

static int64_t times(int64_t a, int64_t b)
{
    return shift_down(a * b + (1 << 15), 16);
}

/* One step of lifting: v[i] -= T(v[i - 1] + v[i + 1], multiplier) at every other i. */
static void lift(int64_t *v, size_t n, bool wraps, size_t from, int64_t multiplier)
{
    size_t i;

    for (i = from; i < n; i += 2) {
        const int64_t before = i > 0 ? v[i - 1] : wraps ? v[n - 1] : v[1];
        const int64_t after = i + 1 < n ? v[i + 1] : wraps ? v[0] : v[n - 2];

        v[i] -= times(before + after, multiplier);
    }
}

static void synthesise_line(int64_t *v, size_t n, bool wraps)
{
    size_t i;

    for (i = 0; i < n; i += 2)
        v[i] = times(v[i], 80621);
    lift(v, n, wraps, 0, 29066);
    lift(v, n, wraps, 1, 57862);
    lift(v, n, wraps, 0, -3472);
    lift(v, n, wraps, 1, -103949);
}

void synthesise(const Level *level, const int64_t *const part[BANDS + 1], int64_t *field)
{
    const size_t rows = level->rows, columns = level->columns;
    const Mark mark = memory_mark();
    int64_t *const line = memory_take(rows, sizeof *line);
    size_t y, x;
    int band;

    for (band = 0; band <= LL; band++) {
        const size_t h = band_rows(level, band), w = band_columns(level, band);
        const size_t dy = level->halves_y ? 2 : 1, dx = level->halves_x ? 2 : 1;
        const size_t y0 = band == LH || band == HH, x0 = band == HL || band == HH;

        for (y = 0; y < h; y++)
            for (x = 0; x < w; x++)
                field[(y0 + dy * y) * columns + x0 + dx * x] = part[band][y * w + x];
    }
    for (y = 0; y < rows && level->halves_x; y++)
        synthesise_line(field + y * columns, columns, level->wraps);
    for (x = 0; x < columns && level->halves_y; x++) {
        for (y = 0; y < rows; y++)
            line[y] = field[y * columns + x];
        synthesise_line(line, rows, false);
        for (y = 0; y < rows; y++)
            field[y * columns + x] = line[y];
    }
    memory_release(mark);
}
