/* The folders where models and static fields are found by their hashes (model). */
#ifndef LIBRARY_H
#define LIBRARY_H

#include "package.h"

typedef struct Library Library;

Library *library_open(char *const *folders, int count);
/* The package whose hash begins with `length` bytes `hash`. It is read once, and kept. */
const Package *library_package(Library *library, const uint8_t *hash, size_t length, Kind kind);
/* The values of a static field: little-endian float32, (y, x), all finite. It lasts as memory taken does. */
Npy library_static(const Library *library, const uint8_t hash[32]);

#endif
