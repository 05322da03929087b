/* Networks as integer arithmetic (integer_net). */
#ifndef NETWORK_H
#define NETWORK_H

#include "npy.h"

enum { OUTPUTS = 3 };

typedef struct {
    size_t inputs, outputs;
    int shift;
    const int8_t *weight; /* (inputs, outputs) */
} Layer;

typedef struct {
    int layers;
    Layer *layer;
    int32_t *sums, *next;  /* as wide as the widest layer */
    const int16_t *linear; /* kind pyramid only: the linear path (pyramid, section 4) */
} Network;

/* Room for so many layers. */
void network_start(Network *network, int layers);
void network_add(Network *network, const Npy *weight, int64_t shift, const char *name);
/* Checks what holds for all layers together, of a network of `inputs` inputs. */
void network_finish(Network *network, size_t inputs, const char *name);
/* An input, a signed integer, as the byte that the network takes. */
uint8_t network_input(int64_t x);
void network_run(const Network *network, const uint8_t *inputs, int64_t out[OUTPUTS]);

#endif
