#include "reference.h"

#include "integer.h"

void weights_read(Group *group, const Chunk *chunk, Bytes *from)
{
    const int n = group->reach + chunk->static_count;
    int i, k;

    group->rows = 0;
    if (n == 0)
        return;
    group->rows = read_u8(from);
    if (group->rows < 1 || group->rows > ROWS)
        refuse(CORRUPT, "expected 1 to 6 rows of weights, got %d", group->rows);
    for (i = 0; i < group->rows; i++) {
        group->trust[i] = read_u8(from);
        if (group->trust[i] > 127)
            refuse(CORRUPT, "expected a trust of at most 127, got %d", group->trust[i]);
        for (k = 0; k < n; k++) {
            const int weight = read_u8(from);

            group->weight[i][k] = (int8_t)(weight < 128 ? weight : weight - 256);
        }
    }
}

int weights_row(const Group *group, int p)
{
    const int row = p < group->rows ? p : group->rows - 1;

    return row >= 0 && group->trust[row] > 0 ? row : -1;
}

/* Where the pixel is in the group's frame's reference number `k` */
static size_t place(const Chunk *chunk, const Group *group, size_t g, int k, size_t pixel)
{
    return group->references[g * (size_t)group->reach + (size_t)k] * chunk->rows * chunk->columns + pixel;
}

int64_t reference_mean(const Chunk *chunk, const Group *group, int row, size_t g, size_t pixel)
{
    const int8_t *const weight = group->weight[row];
    int64_t sum = 32;
    int k;

    for (k = 0; k < group->reach; k++)
        sum += weight[k] * chunk->value[place(chunk, group, g, k, pixel)];
    for (k = 0; k < chunk->static_count; k++)
        sum += weight[group->reach + k] * chunk->statics[k][pixel];
    return clip(shift_down(sum, 6), -LIMIT, LIMIT);
}

int64_t reference_change(const Chunk *chunk, const Group *group, size_t g, size_t pixel)
{
    if (group->reach == 0)
        return 0;
    return chunk->value[place(chunk, group, g, 1, pixel)] - chunk->value[place(chunk, group, g, 0, pixel)];
}

int reference_pulse(const Chunk *chunk, const Group *group, size_t g, size_t pixel)
{
    if (group->reach == 0)
        return 0;
    return (int)(magnitude(chunk->mark[place(chunk, group, g, 0, pixel)]) +
                 magnitude(chunk->mark[place(chunk, group, g, 1, pixel)]));
}
