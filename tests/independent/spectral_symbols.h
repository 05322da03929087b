/* Symbols of channels under histograms of their own (spectral, section 5). */
#ifndef SPECTRAL_SYMBOLS_H
#define SPECTRAL_SYMBOLS_H

#include "bytes.h"

/* A symbol for each channel and pixel, channel after channel; 0 where a pixel is not valid. `special` says by
 * channel and pixel which are not; NULL if all are. */
int32_t *spectral_symbols(Bytes from, size_t channels, size_t pixels, const uint8_t *special);

#endif
