#include "prediction.h"

#include "integer.h"

#include <string.h>

/* A target's stencil: what stands at its neighbours. */
typedef struct {
    int64_t v[STENCIL], mean[STENCIL], change[STENCIL];
    int u[STENCIL], pulse[STENCIL];
} Neighbours;

int context_of(const int64_t out[OUTPUTS], int64_t octave)
{
    const int64_t index = clip(shift_down(shift_down(out[1], 6) + 2 * octave, 2) + 20, 0, 207);
    const int64_t shape = clip(shift_down(shift_down(out[2], 6) + 16, 5), 0, 2);

    return (int)(3 * index + shape);
}

Reciprocal reciprocal_of(int64_t scale)
{
    Reciprocal reciprocal;

    reciprocal.z = (int)larger(bits((uint64_t)scale) - 16, 0);
    reciprocal.inverse = ((int64_t)1 << 32) / (scale >> reciprocal.z);
    return reciprocal;
}

int64_t reciprocal_times(Reciprocal reciprocal, int64_t x)
{
    return shift_down(shift_down(x, reciprocal.z) * reciprocal.inverse + (1 << 26), 27);
}

static Neighbours gather(const Spacing *spacing, const Pass *pass, size_t g, size_t y, size_t x)
{
    const Chunk *const chunk = spacing->chunk;
    const Lattice *const lattice = &spacing->lattice;
    const size_t frame = spacing->group->frames[g] * chunk->rows * chunk->columns;
    Neighbours near;
    int k;

    memset(&near, 0, sizeof near);
    for (k = 0; k < pass->n; k++) {
        int64_t row = (int64_t)y + pass->dy[k], column = (int64_t)x + pass->dx[k];
        size_t pixel, place;

        lattice_neighbour(lattice, &row, &column);
        pixel = frame + (((size_t)row * chunk->columns + (size_t)column) << lattice->p);
        near.v[k] = chunk->value[pixel];
        near.u[k] = chunk->mark[pixel];
        if (spacing->row >= 0) {
            place = (g * lattice->rows + (size_t)row) * lattice->columns + (size_t)column;
            near.mean[k] = spacing->mean[place];
            near.change[k] = spacing->change[place];
            near.pulse[k] = spacing->pulse[place];
            near.v[k] -= near.mean[k];
        }
    }
    return near;
}

static uint8_t input_marks(const Neighbours *near, int from, int to)
{
    int64_t sum = 1;

    for (; from < to; from++)
        sum += magnitude(near->u[from]);
    return network_input(log8(sum));
}

/* "With references" */
static int64_t bend(const Pass *pass, const int64_t *V, int64_t at_target)
{
    int64_t sum = 128;
    int k;

    for (k = 0; k < pass->n; k++) {
        const int64_t a = magnitude(pass->dy[k]), b = magnitude(pass->dx[k]);
        int64_t tap = 0;

        if (pass->odd_row && pass->odd_column)
            tap = (a == 1 ? 9 : -1) * (b == 1 ? 9 : -1);
        else if (a == 0 || b == 0)
            tap = a + b == 1 ? 72 : a + b == 3 ? -8 : 0;
        sum += tap * V[k];
    }
    return at_target - shift_down(sum, 8);
}

static int64_t lively(const int64_t *V)
{
    const int64_t centre = shift_down(V[0] + V[1] + V[2] + V[3], 2);

    return magnitude(V[0] - centre) + magnitude(V[1] - centre) + magnitude(V[2] - centre) + magnitude(V[3] - centre);
}

static void reference_inputs(const Spacing *spacing, const Pass *pass, const Neighbours *near, size_t place,
                             int64_t scale, Reciprocal reciprocal, uint8_t *inputs)
{
    const int64_t bend_mean = bend(pass, near->mean, spacing->mean[place]);
    const int64_t bend_change = bend(pass, near->change, spacing->change[place]);

    inputs[0] = network_input(reciprocal_times(reciprocal, clip(bend_mean, -8 * scale, 8 * scale)));
    inputs[1] = network_input(reciprocal_times(reciprocal, clip(bend_change, -8 * scale, 8 * scale)));
    inputs[2] = network_input(log8(lively(near->mean) + 1) - log8(scale));
    inputs[3] = network_input(log8(lively(near->change) + magnitude(bend_change) + 1) - log8(scale));
    inputs[4] = network_input(log8(1 + spacing->pulse[place]));
    inputs[5] = network_input(log8(1 + near->pulse[0] + near->pulse[1] + near->pulse[2] + near->pulse[3]));
    inputs[6] = network_input(spacing->group->trust[spacing->row]);
    inputs[7] = network_input(14 * smaller(bits((uint64_t)spacing->group->distance) - 1, 8));
}

/* What the stencil says by itself: a plane, what each neighbour is off it, and how much they all are. */
typedef struct {
    int64_t d[STENCIL], slopes, base, scale;
} Fit;

static Fit fit_of(const Pass *pass, const Neighbours *near, const int16_t *weights, int64_t step)
{
    const int64_t centre = shift_down(near->v[0] + near->v[1] + near->v[2] + near->v[3], 2);
    int64_t slope_y = 0, slope_x = 0, linear = 1 << 13, sum = 0;
    Fit fit;
    int k;

    for (k = 0; k < pass->n; k++) {
        slope_y += (near->v[k] - centre) * pass->dy[k];
        slope_x += (near->v[k] - centre) * pass->dx[k];
    }
    slope_y = shift_down(slope_y * (65536 / pass->squares), 16);
    slope_x = shift_down(slope_x * (65536 / pass->squares), 16);
    for (k = 0; k < pass->n; k++) {
        fit.d[k] = near->v[k] - centre - slope_y * pass->dy[k] - slope_x * pass->dx[k];
        linear += fit.d[k] * weights[k];
        sum += magnitude(fit.d[k]);
    }
    fit.slopes = magnitude(slope_y) + magnitude(slope_x);
    fit.base = centre + shift_down(linear, 14);
    fit.scale = (sum * (65536 / pass->n) >> 16) + step / 4 + 1;
    return fit;
}

Prediction predict(const Spacing *spacing, int number, size_t g, size_t y, size_t x)
{
    const Pass *const pass = lattice_pass(number);
    const Neighbours near = gather(spacing, pass, g, y, x);
    const Network *const network =
        &spacing->chunk->package->network[2 * number + (spacing->lattice.p == 0) + (spacing->row >= 0 ? 6 : 0)];
    const Fit fit = fit_of(pass, &near, network->linear, spacing->step);
    const Reciprocal reciprocal = reciprocal_of(fit.scale);
    const size_t place = (g * spacing->lattice.rows + y) * spacing->lattice.columns + x;
    const int64_t octave = log8(fit.scale) - log8(spacing->step), snap = spacing->chunk->snap;
    const int n = pass->n;
    int64_t m, out[OUTPUTS];
    uint8_t inputs[64];
    Prediction prediction;
    int k;

    memset(inputs, 128, sizeof inputs);
    for (k = 0; k < n; k++)
        inputs[k] = network_input(reciprocal_times(reciprocal, fit.d[k]));
    inputs[n] = network_input(octave);
    inputs[n + 1] = network_input(4 * octave);
    inputs[n + 2] = network_input(log8(fit.slopes + 1) - log8(fit.scale));
    inputs[n + 3] = network_input(14 * smaller(spacing->lattice.p, 8));
    for (k = 0; k < 4; k++) {
        const int64_t mark = near.u[k] * spacing->step * reciprocal.inverse;

        inputs[n + 4 + k] = network_input(shift_down(mark, 27 + reciprocal.z));
    }
    inputs[n + 8] = input_marks(&near, 0, 4);
    inputs[n + 9] = input_marks(&near, 4, 12);
    inputs[n + 10] = input_marks(&near, 12, n);
    inputs[n + 11] = network_input(127);
    if (spacing->row >= 0)
        reference_inputs(spacing, pass, &near, place, fit.scale, reciprocal, inputs + n + 12);
    network_run(network, inputs, out);

    m = fit.base + shift_down(fit.scale * clip(shift_down(out[0], 6), -4095, 4095), 8);
    if (spacing->row >= 0)
        m += spacing->mean[place];
    prediction.value = clip(snap * floor_div(m + snap / 2, snap), -LIMIT, LIMIT);
    prediction.context = context_of(out, octave);
    return prediction;
}
