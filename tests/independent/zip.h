/* Zip files, as far as model packages use them (model): entries stored or deflated. */
#ifndef ZIP_H
#define ZIP_H

#include "bytes.h"

#include <stdbool.h>

/* What a package, and all its entries unpacked together, must not exceed. */
enum { PACKAGE_SIZE = 8 << 20 };

typedef struct {
    Bytes name, packed;
    int method;
    uint32_t crc, size;
} Entry;

typedef struct {
    size_t count;
    Entry *entries;
} Zip;

Zip zip_open(Bytes file);
bool zip_has(const Zip *zip, const char *name);
/* An entry, unpacked and checked. */
Bytes zip_read(const Zip *zip, const char *name);

#endif
