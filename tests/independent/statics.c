#include "statics.h"

#include "integer.h"

#include <math.h>
#include <string.h>

static const uint64_t FARTHEST = (uint64_t)1 << 31;

Statics statics_read(const Header *header, const Library *library)
{
    Bytes from = header->section[STATIC];
    const uint8_t *hash[STATICS];
    uint64_t row[STATICS], column[STATICS];
    Statics statics;
    int k;

    memset(&statics, 0, sizeof statics);
    if (!header->has[STATIC])
        return statics;
    statics.count = read_u8(&from);
    if (statics.count < 1 || statics.count > STATICS)
        refuse(CORRUPT, "expected 1 to 4 static fields, got %d", statics.count);
    for (k = 0; k < statics.count; k++) {
        hash[k] = bytes_take(&from, 32);
        row[k] = read_varint_to(&from, FARTHEST, "a row");
        column[k] = read_varint_to(&from, FARTHEST, "a column");
        statics.field[k].gain = read_f64(&from);
        if (!isfinite(statics.field[k].gain))
            refuse(CORRUPT, "expected a finite gain");
    }
    bytes_end(&from, "the last static field");

    for (k = 0; k < statics.count; k++) {
        const Npy npy = library_static(library, hash[k]);

        if (row[k] + header->rows > npy.shape[0] || column[k] + header->columns > npy.shape[1])
            refuse(CORRUPT, "expected rows and columns within a static field of %llu x %llu",
                   (unsigned long long)npy.shape[0], (unsigned long long)npy.shape[1]);
        statics.field[k].width = (size_t)npy.shape[1];
        statics.field[k].column = (size_t)column[k];
        statics.field[k].data = npy.data;
        bytes_take(&statics.field[k].data, 4 * row[k] * npy.shape[1]);
    }
    return statics;
}

/* gain * value, rounded to float64 */
static double product(const Statics *statics, int k, size_t y, size_t x)
{
    const size_t at = y * statics->field[k].width + statics->field[k].column + x;
    Bytes value = bytes_of(statics->field[k].data.at + 4 * at, 4, CORRUPT);

    return statics->field[k].gain * (double)read_f32(&value);
}

int64_t *statics_fine(const Statics *statics, int k, const Header *header)
{
    int64_t *const fine = memory_take(header->rows * header->columns, sizeof *fine);
    const double limit = (double)LIMIT;
    size_t y, x;

    for (y = 0; y < header->rows; y++)
        for (x = 0; x < header->columns; x++) {
            const double f = rint(product(statics, k, y, x));

            fine[y * header->columns + x] = f < -limit ? -LIMIT : f > limit ? LIMIT : (int64_t)f;
        }
    return fine;
}

double *statics_explained(const Statics *statics, const Header *header)
{
    double *const sum = memory_take(header->rows * header->columns, sizeof *sum);
    size_t y, x;
    int k;

    for (k = 0; k < statics->count; k++)
        for (y = 0; y < header->rows; y++)
            for (x = 0; x < header->columns; x++) {
                double *const at = sum + y * header->columns + x;

                *at = k == 0 ? product(statics, k, y, x) : *at + product(statics, k, y, x);
            }
    return sum;
}
