#include "network.h"

#include "integer.h"

#include <string.h>

/* integer_net, "Range" */
static void check_range(const Layer *layer, const char *name)
{
    size_t i, j;

    for (i = 0; i < layer->outputs; i++) {
        int64_t sum = 0, before = 0;

        for (j = 0; j < layer->inputs; j++) {
            const int64_t size = 255 * magnitude(layer->weight[j * layer->outputs + i]);

            sum += size;
            if (sum >= 1 << 24 || (j > 0 && before + size >= 1 << 15))
                refuse(MODEL_MISMATCH, "expected sums below 2^24, of neighbours below 2^15, in %s", name);
            before = size;
        }
    }
}

void network_start(Network *network, int layers)
{
    network->layers = 0;
    network->layer = memory_take((size_t)layers, sizeof *network->layer);
}

void network_add(Network *network, const Npy *weight, int64_t shift, const char *name)
{
    Layer *const layer = &network->layer[network->layers];
    int8_t *copy;
    Bytes data = weight->data;
    size_t i, size;

    if (weight->dimensions != 2 || weight->shape[0] == 0 || weight->shape[1] == 0)
        refuse(MODEL_MISMATCH, "expected a matrix in %s", name);
    if (shift < 0 || shift > 16)
        refuse(MODEL_MISMATCH, "expected a shift from 0 to 16, got %lld in %s", (long long)shift, name);
    network->layers++;
    layer->inputs = (size_t)weight->shape[0];
    layer->outputs = (size_t)weight->shape[1];
    layer->shift = (int)shift;
    size = layer->inputs * layer->outputs;
    copy = memory_take(size, 1);
    for (i = 0; i < size; i++)
        copy[i] = (int8_t)(data.at[i] < 128 ? data.at[i] : data.at[i] - 256);
    layer->weight = copy;
    check_range(layer, name);
}

void network_finish(Network *network, size_t inputs, const char *name)
{
    size_t widest = OUTPUTS;
    int k;

    for (k = 0; k < network->layers; k++) {
        const Layer *const layer = &network->layer[k];

        if (layer->inputs != inputs || layer->outputs > SIZE_MAX / sizeof(int32_t))
            refuse(MODEL_MISMATCH, "expected %zu rows in layer %d of %s, got %zu", inputs, k, name, layer->inputs);
        inputs = layer->outputs;
        widest = inputs > widest ? inputs : widest;
    }
    if (network->layers == 0 || inputs != OUTPUTS || network->layer[network->layers - 1].shift != 0)
        refuse(MODEL_MISMATCH, "expected a last layer of three columns and shift 0 in %s", name);
    network->sums = memory_take(widest, sizeof *network->sums);
    network->next = memory_take(widest, sizeof *network->next);
}

/* The product of a row and the layer's matrix. No sum leaves 24 bits (integer_net, "Range"). */
static void multiply(const Layer *layer, const int32_t *a, int32_t *sums)
{
    const size_t n = layer->outputs;
    size_t i, j;

    memset(sums, 0, n * sizeof *sums);
    for (j = 0; j < layer->inputs; j++) {
        const int8_t *const row = layer->weight + j * n;
        const int32_t x = a[j];

        if (x != 0)
            for (i = 0; i < n; i++)
                sums[i] += x * row[i];
    }
}

uint8_t network_input(int64_t x)
{
    return (uint8_t)(clip(x, -127, 127) + 128);
}

static int32_t rounded(int32_t t, int s)
{
    if (s == 0)
        return t;
    return (int32_t)shift_down(t + (1 << (s - 1)) - 1 + (int32_t)(shift_down(t, s) & 1), s);
}

void network_run(const Network *network, const uint8_t *inputs, int64_t out[OUTPUTS])
{
    int32_t first[256], *a = first, *sums = network->sums, *spare = network->next;
    size_t i;
    int k;

    for (i = 0; i < network->layer[0].inputs; i++)
        first[i] = inputs[i] - 128;
    for (k = 0; k < network->layers; k++) {
        const Layer *const layer = &network->layer[k];

        multiply(layer, a, sums);
        if (k + 1 < network->layers)
            for (i = 0; i < layer->outputs; i++)
                sums[i] = (int32_t)clip(rounded(sums[i], layer->shift), 0, 255);
        a = sums;
        sums = spare;
        spare = a;
    }
    for (i = 0; i < OUTPUTS; i++)
        out[i] = a[i];
}
