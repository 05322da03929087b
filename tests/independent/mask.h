/* Planes of bits, and the section mask (mask). */
#ifndef MASK_H
#define MASK_H

#include "header.h"

/* A plane, the whole of `field`: a byte 0 or 1 for each pixel. */
uint8_t *plane_read(Bytes field, const Header *header);

typedef struct {
    uint8_t *classes;       /* by pixel; NULL if no pixel is special */
    uint64_t patterns[256]; /* by class, but for 255 */
    const uint64_t *listed; /* of pixels of class 255, in order */
} Mask;

Mask mask_read(const Header *header);
void mask_apply(const Mask *mask, uint64_t *values, uint64_t pixels);

#endif
