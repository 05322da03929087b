/* SHA-256 (FIPS 180-4), the names of models and static fields. */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
} Sha256;

void sha256_start(Sha256 *sha);
void sha256_add(Sha256 *sha, const uint8_t *data, size_t size);
void sha256_end(Sha256 *sha, uint8_t digest[32]);

#endif
