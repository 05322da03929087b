#include "stream.h"

#include "bounds.h"
#include "classical.h"
#include "hyperprior.h"
#include "mask.h"
#include "number.h"
#include "packed.h"
#include "pyramid.h"
#include "spectral.h"
#include "statics.h"

static uint64_t *constant(const Header *header)
{
    Bytes from = header->section[PAYLOAD];
    uint64_t *const values = memory_take((size_t)header->elements, sizeof *values), value, p;

    value = *planes(bytes_take(&from, (uint64_t)header->itemsize), header->itemsize, 1);
    bytes_end(&from, "the value");
    for (p = 0; p < header->elements; p++)
        values[p] = value;
    return values;
}

static uint64_t *neural(const Header *header, const Mask *mask, Library *library)
{
    const Package *const package = library_package(library, header->model, MODEL_HASH, PYRAMID);
    const Statics statics = statics_read(header, library);

    return domain_values(header, pyramid_read(header, mask, package, &statics));
}

/* Section residual is a stream of codec 1 with the same frames (hyperprior, section 6). */
static void add_residual(const Header *header, Library *library, double *x)
{
    const Bytes section = header->section[RESIDUAL];
    const Header inner = header_read(section.at, bytes_left(&section));
    Array residual;
    uint64_t p;

    if (inner.codec != 1 || inner.frames != header->frames || inner.rows != header->rows ||
        inner.columns != header->columns)
        refuse(CORRUPT, "expected a residual of codec 1 with the frames of the chunk");
    residual = stream_decode(section.at, bytes_left(&section), library);
    for (p = 0; p < header->elements; p++)
        x[p] += number_value(residual.values[p], inner.itemsize);
}

static uint64_t *latent(const Header *header, Library *library)
{
    const Package *const package = library_package(library, header->model, LATENT_HASH, HYPERPRIOR);
    const Statics statics = statics_read(header, library);
    const size_t frame = header->rows * header->columns;
    double *const x = hyperprior_read(header, package);
    uint64_t p;

    if (statics.count > 0) {
        const double *const explained = statics_explained(&statics, header);

        for (p = 0; p < header->elements; p++)
            x[p] += explained[p % frame];
    }
    if (header->has[RESIDUAL])
        add_residual(header, library, x);
    return values_of(header, x);
}

Array stream_decode(const uint8_t *stream, size_t size, Library *library)
{
    const Header header = header_read(stream, size);
    Array array = {header, NULL};
    Mask mask;

    if (header.codec > 2)
        refuse(NO_BITS_PROMISED, "codec %d ends in a network of floating-point numbers, and is not decoded here",
               header.codec);
    if (header.path == PATH_RAW) {
        array.values = packed_planes(header.section[PAYLOAD], header.itemsize, header.elements);
        return array;
    }
    mask = mask_read(&header);
    if (header.path == PATH_CONSTANT)
        array.values = constant(&header);
    else if (header.path == PATH_CLASSICAL)
        array.values = domain_values(&header, classical_read(&header));
    else if (header.path == PATH_NEURAL)
        array.values = neural(&header, &mask, library);
    else if (header.path == PATH_LATENT)
        array.values = latent(&header, library);
    else
        array.values = values_of(&header, spectral_read(&header, &mask));
    exceptions_apply(&header, array.values);
    mask_apply(&mask, array.values, header.elements);
    return array;
}
