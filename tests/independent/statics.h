/* Static fields: section static and what is made of it (stream, "Static fields"). */
#ifndef STATICS_H
#define STATICS_H

#include "header.h"
#include "library.h"

enum { STATICS = 4 };

typedef struct {
    int count; /* 0 without the section */
    struct {
        Bytes data; /* float32, from the chunk's first row on */
        size_t width, column;
        double gain;
    } field[STATICS];
} Statics;

Statics statics_read(const Header *header, const Library *library);
/* The fine values of field `k`, the same for every frame. */
int64_t *statics_fine(const Statics *statics, int k, const Header *header);
/* What all fields together explain, the same for every frame. */
double *statics_explained(const Statics *statics, const Header *header);

#endif
