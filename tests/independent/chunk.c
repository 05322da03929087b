#include "chunk.h"

#include "integer.h"

int64_t chunk_step(const Chunk *chunk, int p)
{
    if (chunk->shares == 0)
        return chunk->step;
    return larger(1, chunk->step * chunk->taper[p < chunk->shares ? p : chunk->shares - 1] >> 6);
}

bool chunk_special(const Chunk *chunk, size_t pixel)
{
    return chunk->special != NULL && chunk->special[pixel] != 0;
}
