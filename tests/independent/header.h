/* A stream's header and section table (stream). */
#ifndef HEADER_H
#define HEADER_H

#include "bytes.h"

#include <stdbool.h>

enum { PATH_RAW, PATH_CONSTANT, PATH_CLASSICAL, PATH_NEURAL, PATH_LATENT, PATH_SPECTRAL };
enum { BOUND_LOSSLESS, BOUND_ABS, BOUND_REL, BOUND_PROFILE, BOUND_UNBOUNDED, BOUND_NOISE };
enum {
    DOMAIN_NONE,
    DOMAIN_ABS,
    DOMAIN_LATTICE,
    DOMAIN_ORDERED,
    DOMAIN_LOG,
    DOMAIN_PROFILE,
    DOMAIN_LATENT,
    DOMAIN_SPECTRAL
};
enum { MASK = 1, SIGNS, EXCEPTIONS, LOW_WORDS, PAYLOAD, BOUNDS, STATIC, RESIDUAL, SECTIONS };
enum { DIMENSIONS = 32, MODEL_HASH = 32, LATENT_HASH = 8 };

typedef struct {
    int version, codec, path, itemsize, dimensions, bound, axis, domain, shave;
    bool fortran, wrap, has_lowest, has_highest, big_endian;
    uint64_t shape[DIMENSIONS], elements;
    size_t frames, rows, columns; /* "Frames" */
    double unit, phase;           /* unit: spacing too */
    int64_t steps;
    float centre, scale;
    double lowest, highest;
    uint8_t model[MODEL_HASH];
    bool has[SECTIONS];
    Bytes section[SECTIONS];
} Header;

Header header_read(const uint8_t *stream, size_t size);

#endif
