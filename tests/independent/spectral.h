/* The spectral payload (spectral). */
#ifndef SPECTRAL_H
#define SPECTRAL_H

#include "mask.h"

/* A float64 for each element of the array. */
double *spectral_read(const Header *header, const Mask *mask);

#endif
