#include "mask.h"

#include "integer.h"
#include "packed.h"

#include <string.h>

enum { BEFORE = 1, ABOVE = 2, RUNS = 0x80, LISTED = 255 };

/* Numbers of pixels with 0 and with 1 in turn */
static void runs(Bytes body, uint8_t *plane, size_t pixels)
{
    size_t at = 0;
    int value = 0;

    for (; bytes_left(&body) > 0; value ^= 1) {
        const uint64_t run = read_varint(&body);

        if ((run == 0 && (at > 0 || value == 1)) || run >= pixels - at)
            refuse(CORRUPT, "expected a run that ends before the last pixel, got %llu", (unsigned long long)run);
        memset(plane + at, value, (size_t)run);
        at += (size_t)run;
    }
    memset(plane + at, value, pixels - at);
}

static void unpack_bits(Bytes body, uint8_t *plane, size_t pixels)
{
    size_t i;

    for (i = 0; i < pixels; i++)
        plane[i] = body.at[i / 8] >> i % 8 & 1;
    if (pixels % 8 != 0 && body.at[pixels / 8] >> pixels % 8 != 0)
        refuse(CORRUPT, "expected bits of 0 after the last pixel of a plane");
}

uint8_t *plane_read(Bytes field, const Header *header)
{
    const size_t pixels = (size_t)header->elements, columns = header->columns, frame = header->rows * columns;
    uint8_t *const plane = memory_take(pixels, 1);
    const uint8_t form = read_u8(&field);
    size_t i;

    if (form & ~(BEFORE | ABOVE | RUNS))
        refuse(CORRUPT, "expected reserved bits of a plane's form to be 0, got %d", form);
    if (form & RUNS) {
        const uint64_t length = read_varint_to(&field, 10 * (uint64_t)pixels + 10, "runs");

        runs(packed(field, length), plane, pixels);
    } else {
        unpack_bits(packed(field, (pixels + 7) / 8), plane, pixels);
    }
    if (form & ABOVE)
        for (i = 0; i < pixels; i++)
            if (i % frame >= columns)
                plane[i] ^= plane[i - columns];
    if (form & BEFORE)
        for (i = frame; i < pixels; i++)
            plane[i] ^= plane[i - frame];
    return plane;
}

Mask mask_read(const Header *header)
{
    const int size = header->itemsize;
    Bytes from = header->section[MASK], list;
    uint64_t listed, found = 0, p;
    Mask mask;
    int count, k;

    memset(&mask, 0, sizeof mask);
    if (!header->has[MASK])
        return mask;
    count = read_u8(&from);
    if (count > 254)
        refuse(CORRUPT, "expected at most 254 patterns, got %d", count);
    for (k = 1; k <= count; k++)
        mask.patterns[k] = *planes(bytes_take(&from, (uint64_t)size), size, 1);
    listed = read_varint_to(&from, header->elements, "listed pixels");
    list = bytes_field(&from);
    if (listed > 0)
        mask.listed = packed_planes(list, size, listed);
    else
        bytes_end(&list, "an empty list");

    mask.classes = memory_take((size_t)header->elements, 1);
    for (k = 0; k < (listed > 0 ? 8 : bits((uint64_t)count)); k++) {
        const Bytes field = bytes_field(&from);
        const Mark mark = memory_mark();
        const uint8_t *const plane = plane_read(field, header);

        for (p = 0; p < header->elements; p++)
            mask.classes[p] |= (uint8_t)(plane[p] << k);
        memory_release(mark);
    }
    bytes_end(&from, "the last plane of the mask");
    for (p = 0; p < header->elements; p++) {
        if (mask.classes[p] > count && mask.classes[p] != LISTED)
            refuse(CORRUPT, "expected a class of at most %d, got %d", count, mask.classes[p]);
        found += mask.classes[p] == LISTED;
    }
    if (found != listed)
        refuse(CORRUPT, "expected %llu listed pixels, got %llu", (unsigned long long)listed, (unsigned long long)found);
    return mask;
}

void mask_apply(const Mask *mask, uint64_t *values, uint64_t pixels)
{
    const uint64_t *listed = mask->listed;
    uint64_t p;

    for (p = 0; mask->classes != NULL && p < pixels; p++)
        if (mask->classes[p] == LISTED)
            values[p] = *listed++;
        else if (mask->classes[p] != 0)
            values[p] = mask->patterns[mask->classes[p]];
}
