/* Numbers of the chunk's dtype, as their bit patterns in the lowest bits of 64. */
#ifndef NUMBER_H
#define NUMBER_H

#include <stdint.h>

/* `itemsize` is 2, 4 or 8 bytes everywhere. Rounds to nearest even, overflow to infinity. */
uint64_t number_round(double x, int itemsize);
double number_value(uint64_t pattern, int itemsize);
/* Bit patterns in the order of values, as signed integers of the dtype's bits, modulo 2^bits, and back:
 * the map is its own inverse (bounds, "ordered"). */
uint64_t number_order(uint64_t pattern, int itemsize);

#endif
