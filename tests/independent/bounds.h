/* From integers in fine units to values (bounds). */
#ifndef BOUNDS_H
#define BOUNDS_H

#include "header.h"

/* The domain's step and snap, in fine units. */
int64_t domain_step(const Header *header);
int64_t domain_snap(const Header *header);
/* The bit patterns of the values of the fine integers `f`, one for each pixel. */
uint64_t *domain_values(const Header *header, const int64_t *f);
/* Values below `lowest` become `lowest`, values above `highest` become `highest`. */
void range_apply(const Header *header, uint64_t *values);
/* Float64 values, rounded to the dtype and put into the valid range. */
uint64_t *values_of(const Header *header, const double *x);
/* Section exceptions, if there is one. */
void exceptions_apply(const Header *header, uint64_t *values);

#endif
