/* The neural payload (pyramid). */
#ifndef PYRAMID_H
#define PYRAMID_H

#include "mask.h"
#include "package.h"
#include "statics.h"

/* An integer in fine units for each pixel. */
int64_t *pyramid_read(const Header *header, const Mask *mask, const Package *package, const Statics *statics);

#endif
