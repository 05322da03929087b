#include "pyramid.h"

#include "band.h"
#include "bounds.h"
#include "integer.h"
#include "reference.h"
#include "smoothing.h"

#include <string.h>

/* The order of frames (section 1, "Order"): `length` positions along the ordered axis, `inner` frames at
 * each. */
typedef struct {
    size_t length, inner;
    int reach;
} Order;

/* The plan, of version 2 */
static Order read_plan(const Header *header, Chunk *chunk, Bytes *from)
{
    const int axis = read_u8(from), reach = read_u8(from);
    uint64_t leading[DIMENSIONS + 1];
    Order order = {1, 1, 0};
    int count = 0, i;

    for (i = 0; i < header->dimensions; i++)
        if (header->shape[i] != 1)
            leading[count++] = header->shape[i];
    if (count <= 2)
        leading[0] = 1;
    count = count > 2 ? count - 2 : 1;
    if (axis > count)
        refuse(CORRUPT, "expected an ordered axis of %d leading ones, got %d", count, axis);
    if ((axis == 0) != (reach == 0) || reach > REACH || reach % 2 != 0)
        refuse(CORRUPT, "expected 2, 4, 6 or 8 references with an ordered axis alone, got %d", reach);
    if (axis > 0) {
        order.length = (size_t)leading[axis - 1];
        for (i = axis; i < count; i++)
            order.inner *= (size_t)leading[i];
    }
    order.reach = reach;
    chunk->shares = read_u8(from);
    if (chunk->shares > SHARES)
        refuse(CORRUPT, "expected at most 32 shares, got %d", chunk->shares);
    for (i = 0; i < chunk->shares; i++) {
        chunk->taper[i] = read_u8(from);
        if (chunk->taper[i] < 1 || chunk->taper[i] > 64)
            refuse(CORRUPT, "expected shares from 1 to 64, got %d", chunk->taper[i]);
    }
    if (chunk->package->format == 1 && (axis > 0 || chunk->static_count > 0))
        refuse(CORRUPT, "expected a model of format 2 with references");
    return order;
}

/* A frame's references ("References") */
static void refer_frame(const Order *order, size_t number, int64_t distance, size_t *references)
{
    const int64_t length = (int64_t)order->length, t = (int64_t)(number / order->inner % order->length);
    int k;

    for (k = 0; k < order->reach; k++) {
        const int64_t far = (k / 2 * 2 + 1) * distance, at = k % 2 == 0 ? t - far : t + far;
        const int64_t place = at < 0 || at >= length ? t - distance : at;

        references[k] = (size_t)((int64_t)number + (place - t) * (int64_t)order->inner);
    }
}

/* The first pixels, each of which lies within the limit (section 1, "A group"). */
static void first_pixels(const Chunk *chunk, const Group *group, Coder *coder, int context, int64_t first)
{
    const size_t frame = chunk->rows * chunk->columns;
    const int64_t step = chunk_step(chunk, FIRST_PIXELS);
    const int row = weights_row(group, FIRST_PIXELS);
    int64_t *const symbols = memory_take(group->count, sizeof *symbols), before = 0;
    size_t g;

    symbols[0] = first;
    coder_run(coder, 0, context, symbols + 1, group->count - 1);
    for (g = 0; g < group->count; g++) {
        const int64_t from = row < 0 ? before : reference_mean(chunk, group, row, g, 0);

        /* No further than from one end to the other: so the product stays within 64 bits. */
        if (symbols[g] < -LIMIT || symbols[g] > LIMIT || magnitude(symbols[g]) > 2 * LIMIT / step)
            refuse(CORRUPT, "expected a first symbol within 2^38");
        before = from + symbols[g] * step;
        if (before < -LIMIT || before > LIMIT)
            refuse(CORRUPT, "expected a first pixel within 2^38");
        chunk->value[group->frames[g] * frame] = before;
    }
}

static void read_group(const Chunk *chunk, Group *group, Bytes *from)
{
    const int8_t *const smoothing = chunk->shares > 0 ? smoothing_read(from) : NULL;
    int64_t first;
    Coder coder;
    int context;

    weights_read(group, chunk, from);
    context = (int)read_varint_to(from, CONTEXTS - 1, "a context");
    first = unfold(read_varint_to(from, (uint64_t)1 << 41, "a first symbol"));
    coder = coder_open(from, chunk->package, false);
    first_pixels(chunk, group, &coder, context, first);
    group_spacings(chunk, group, &coder);
    coder_end(&coder);
    if (smoothing != NULL)
        smooth(chunk, group, smoothing);
}

/* The groups of a stage: `numbers` are its frames. */
static void read_stage(const Header *header, const Chunk *chunk, const Order *order, int64_t distance,
                       const size_t *numbers, size_t count, Bytes *from)
{
    const size_t room = (size_t)1 << (header->version == 1 ? 21 : 20), size = chunk->rows * chunk->columns;
    const size_t most = size < room ? room / size : 1;
    Group group;
    size_t n, g;

    memset(&group, 0, sizeof group);
    group.distance = distance;
    group.reach = distance > 0 ? order->reach : 0;
    for (n = 0; n < count; n += group.count) {
        const Mark mark = memory_mark();
        size_t *references;

        group.frames = numbers + n;
        group.count = count - n < most ? count - n : most;
        references = memory_take(group.count * (size_t)group.reach, sizeof *references);
        for (g = 0; g < group.count && group.reach > 0; g++)
            refer_frame(order, group.frames[g], distance, references + g * (size_t)group.reach);
        group.references = references;
        if (header->version == 1) {
            read_group(chunk, &group, from);
        } else {
            Bytes field = bytes_field(from);

            read_group(chunk, &group, &field);
            bytes_end(&field, "a group");
        }
        memory_release(mark);
    }
}

static void read_stages(const Header *header, const Chunk *chunk, const Order *order, Bytes *from)
{
    size_t *const numbers = memory_take(chunk->frames, sizeof *numbers);
    int64_t h;
    int exponent;

    for (exponent = bits(order->length - 1); exponent >= 0; exponent--) {
        size_t count = 0, n;

        /* The first stage, of distance 0, comes before that of half the highest power of two. */
        h = exponent == bits(order->length - 1) ? 0 : (int64_t)1 << exponent;
        for (n = 0; n < chunk->frames; n++) {
            const int64_t t = (int64_t)(n / order->inner % order->length);

            if (h == 0 ? t == 0 : t % (2 * h) == h)
                numbers[count++] = n;
        }
        read_stage(header, chunk, order, h, numbers, count, from);
    }
}

int64_t *pyramid_read(const Header *header, const Mask *mask, const Package *package, const Statics *statics)
{
    Bytes from = header->section[PAYLOAD];
    Order order = {1, 1, 0};
    Chunk chunk;
    int k;

    memset(&chunk, 0, sizeof chunk);
    chunk.frames = header->frames;
    chunk.rows = header->rows;
    chunk.columns = header->columns;
    chunk.wrap = header->wrap;
    chunk.step = domain_step(header);
    chunk.snap = domain_snap(header);
    chunk.special = mask->classes;
    chunk.package = package;
    chunk.static_count = statics->count;
    if (header->version > 1)
        order = read_plan(header, &chunk, &from);
    for (k = 0; k < statics->count; k++)
        chunk.statics[k] = statics_fine(statics, k, header);
    chunk.value = memory_take((size_t)header->elements, sizeof *chunk.value);
    chunk.mark = memory_take((size_t)header->elements, sizeof *chunk.mark);
    read_stages(header, &chunk, &order, &from);
    bytes_end(&from, "the last group");
    return chunk.value;
}
