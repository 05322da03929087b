#include "latent_inputs.h"

#include "integer.h"

enum { VALUES = 44 };

typedef struct {
    int8_t dy, dx;
} Offset;

/* What the closures of the prose close over */
typedef struct {
    const Place *place;
    const Coefficients *here, *above;
    int64_t r, c;
} Target;

/* Where a band's row and column are, outside of it the nearest; false if it has no coefficients. */
static bool find(const Level *level, int band, int64_t row, int64_t column, size_t *at)
{
    const int64_t rows = (int64_t)band_rows(level, band), columns = (int64_t)band_columns(level, band);

    if (rows == 0 || columns == 0)
        return false;
    row = clip(row, 0, rows - 1);
    column = level->wraps ? (column % columns + columns) % columns : clip(column, 0, columns - 1);
    *at = (size_t)(row * columns + column);
    return true;
}

static int64_t v(const Target *t, int band, int i, int j)
{
    size_t at;

    return find(t->place->level, band, t->r + i, t->c + j, &at) ? t->here->value[band][at] : 0;
}

static int64_t u(const Target *t, int band, int i, int j)
{
    size_t at;

    return find(t->place->level, band, t->r + i, t->c + j, &at) ? t->here->mark[band][at] : 0;
}

static int64_t V(const Target *t, int band, int i, int j)
{
    const Level *const coarser = t->place->coarser;
    size_t at;

    if (coarser == NULL || !find(coarser, band, (t->r >> 1) + i, (t->c >> 1) + j, &at))
        return 0;
    return t->above->value[band][at];
}

static int64_t U(const Target *t, int band, int i, int j)
{
    const Level *const coarser = t->place->coarser;
    size_t at;

    if (coarser == NULL || !find(coarser, band, (t->r >> 1) + i, (t->c >> 1) + j, &at))
        return 0;
    return t->above->mark[band][at];
}

static int64_t L(const Target *t, int i, int j)
{
    return v(t, LL, i, j);
}

static int64_t X(const Target *t, int i, int j)
{
    return L(t, i, j - 1) - 2 * L(t, i, j) + L(t, i, j + 1);
}

static int64_t Y(const Target *t, int i, int j)
{
    return L(t, i - 1, j) - 2 * L(t, i, j) + L(t, i + 1, j);
}

static int64_t Z(const Target *t, int i, int j)
{
    return L(t, i, j) - L(t, i, j + 1) - L(t, i + 1, j) + L(t, i + 1, j + 1);
}

typedef int64_t Look(const Target *t, int band, int i, int j);

/* The sum of magnitudes over a square of 2 R + 1 rows */
static int64_t N(const Target *t, Look *look, int band, int R)
{
    int64_t sum = 0;
    int i, j;

    for (i = -R; i <= R; i++)
        for (j = -R; j <= R; j++)
            sum += magnitude(look(t, band, i, j));
    return sum;
}

/* s[0] to s[43] */
static void values(const Target *t, int64_t s[VALUES])
{
    static const Offset own[12] = {{0, -1},  {0, 1},  {-1, 0}, {1, 0},  {-1, -1}, {-1, 1},
                                   {1, -1}, {1, 1}, {0, -2}, {0, 2}, {-2, 0}, {2, 0}};
    static const struct {
        int8_t band, dy, dx;
    } other[BANDS][6] = {{{LH, 0, 0}, {LH, 0, 1}, {LH, -1, 0}, {LH, -1, 1}, {HH, 0, 0}, {HH, -1, 0}},
                         {{HL, 0, 0}, {HL, 1, 0}, {HL, 0, -1}, {HL, 1, -1}, {HH, 0, 0}, {HH, 0, -1}},
                         {{HL, 0, 0}, {HL, 1, 0}, {LH, 0, 0}, {LH, 0, 1}, {HL, 0, 1}, {LH, 1, 0}}};
    static const Offset along_x[8] = {{0, -1}, {0, 0}, {0, 1}, {0, 2}, {-1, 0}, {-1, 1}, {1, 0}, {1, 1}};
    static const Offset along_y[8] = {{-1, 0}, {0, 0}, {1, 0}, {2, 0}, {0, -1}, {1, -1}, {0, 1}, {1, 1}};
    static const Offset across[4] = {{-1, -1}, {-1, 0}, {0, -1}, {0, 0}};
    const int band = t->place->band, e = 2 * (int)(t->r & 1) - 1, f = 2 * (int)(t->c & 1) - 1;
    int k;

    for (k = 0; k < 12; k++)
        s[k] = v(t, band, own[k].dy, own[k].dx);
    for (k = 0; k < 6; k++)
        s[12 + k] = v(t, other[band][k].band, other[band][k].dy, other[band][k].dx);
    s[18] = V(t, band, 0, 0);
    s[19] = V(t, band, e, 0);
    s[20] = V(t, band, 0, f);
    s[21] = V(t, band, e, f);
    s[22] = V(t, (band + 1) % BANDS, 0, 0);
    s[23] = V(t, (band + 2) % BANDS, 0, 0);
    for (k = 0; k < 4; k++) {
        s[24 + k] = X(t, along_x[k].dy, along_x[k].dx);
        s[28 + k] = Y(t, along_y[k].dy, along_y[k].dx);
        s[32 + k] = X(t, along_x[4 + k].dy, along_x[4 + k].dx);
        s[36 + k] = Y(t, along_y[4 + k].dy, along_y[4 + k].dx);
        s[40 + k] = Z(t, across[k].dy, across[k].dx);
    }
}

static void mark_inputs(const Target *t, uint8_t *inputs)
{
    const int band = t->place->band, next = (band + 1) % BANDS, last = (band + 2) % BANDS;

    inputs[46] = network_input(2 * log8(4 * N(t, u, band, 1) + 1));
    inputs[47] = network_input(2 * log8(2 * N(t, u, band, 2) + 1));
    inputs[48] = network_input(2 * log8(4 * N(t, u, next, 1) + 1));
    inputs[49] = network_input(2 * log8(4 * N(t, u, last, 1) + 1));
    inputs[50] = network_input(2 * log8(4 * N(t, U, band, 1) + 1));
    inputs[51] = network_input(2 * log8(4 * N(t, U, next, 1) + 1));
    inputs[52] = network_input(2 * log8(4 * N(t, U, last, 1) + 1));
    inputs[53] = network_input(2 * log8(2 * N(t, U, band, 2) + 1));
    inputs[57] = network_input(2 * log8(4 * magnitude(U(t, band, 0, 0)) + 1));
}

void latent_inputs(const Place *place, const Coefficients *here, const Coefficients *above, size_t r, size_t c,
                   uint8_t inputs[64], int64_t *spread, int64_t *octave)
{
    const int64_t step = place->level->step[place->band];
    int64_t s[VALUES], bend = 0, total = 0;
    Reciprocal reciprocal;
    Target t;
    int k;

    t.place = place;
    t.here = here;
    t.above = above;
    t.r = (int64_t)r;
    t.c = (int64_t)c;
    values(&t, s);
    for (k = 0; k < 24; k++)
        total += (k < 18 ? 2 : 1) * magnitude(s[k]);
    for (; k < VALUES; k++)
        bend += magnitude(s[k]);
    total += bend >> 1;
    *spread = (total >> 4) + (step >> 2) + 1;
    *octave = log8(*spread) - log8(step);
    reciprocal = reciprocal_of(*spread);

    for (k = 0; k < VALUES; k++)
        inputs[k] = network_input(reciprocal_times(reciprocal, k < 24 ? s[k] : shift_down(s[k], 1)));
    inputs[44] = network_input(*octave);
    inputs[45] = network_input(4 * *octave);
    mark_inputs(&t, inputs);
    inputs[54] = network_input(log8((bend >> 3) + (step >> 3) + 1) - log8(step));
    inputs[55] = network_input(log8(magnitude(L(&t, 0, 1) - L(&t, 0, 0)) + (step >> 3) + 1) - log8(step));
    inputs[56] = network_input(log8(magnitude(L(&t, 1, 0) - L(&t, 0, 0)) + (step >> 3) + 1) - log8(step));
    inputs[58] = network_input(127 * (t.r & 1));
    inputs[59] = network_input(127 * (t.c & 1));
    inputs[60] = network_input(12 * smaller(place->level->depth, 10));
    inputs[61] = network_input(place->level->depth <= 1 ? 127 : 0);
    inputs[62] = network_input(place->x_first ? 127 : 0);
    inputs[63] = network_input(127);
}
