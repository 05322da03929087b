/* The classical payload (stream, "Classical payload"). */
#ifndef CLASSICAL_H
#define CLASSICAL_H

#include "header.h"

/* An integer in fine units for each pixel. */
int64_t *classical_read(const Header *header);

#endif
