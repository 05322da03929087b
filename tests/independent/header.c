#include "header.h"

#include "number.h"

#include <math.h>
#include <string.h>

enum { FORTRAN = 1, WRAP = 2, LOWEST = 4, HIGHEST = 8 };

static void must(bool holds, const char *what)
{
    if (!holds)
        refuse(CORRUPT, "expected %s", what);
}

static bool positive(double x)
{
    return isfinite(x) && x > 0;
}

static bool predictive(int path)
{
    return path == PATH_CLASSICAL || path == PATH_NEURAL;
}

/* "Layout": what stands before the header, and the checksum. What is left of `all` are header and
 * sections. */
static void read_envelope(Header *header, Bytes *all)
{
    const uint8_t *const stream = all->at;
    uint64_t length;
    Bytes checksum;

    must(memcmp(bytes_take(all, 4), "ADBT", 4) == 0, "the magic ADBT");
    header->version = read_u8(all);
    if (header->version < 1 || header->version > 4)
        refuse(UNSUPPORTED_VERSION, "expected version 1 to 4, got %d", header->version);
    header->codec = read_u8(all);
    must(header->codec >= 1 && header->codec <= 4, "codec 1 to 4");
    length = read_varint(all);
    if (bytes_left(all) < length)
        refuse(TRUNCATED, "expected %llu bytes, got %zu", (unsigned long long)length, bytes_left(all));
    must(bytes_left(all) == length, "nothing after the length announced");
    must(length >= 4, "a length of at least 4");
    checksum = bytes_of(all->end - 4, 4, CORRUPT);
    *all = bytes_of(all->at, (size_t)length - 4, CORRUPT);
    must(crc32(stream, (size_t)(all->end - stream)) == read_u32(&checksum), "the checksum of the bytes");
}

/* dtype, axes, and what "Frames" makes of them */
static void read_shape(Header *header, Bytes *from)
{
    const uint8_t dtype = read_u8(from);
    uint64_t product = 1;
    int i;

    must((dtype & 0x7f) >= 1 && (dtype & 0x7f) <= 3, "dtype 1 to 3");
    header->itemsize = 1 << (dtype & 0x7f);
    header->big_endian = dtype >> 7;
    header->dimensions = read_u8(from);
    must(header->dimensions <= DIMENSIONS, "at most 32 axes");
    header->elements = header->frames = header->rows = header->columns = 1;
    for (i = 0; i < header->dimensions; i++) {
        const uint64_t length = read_varint(from);

        header->shape[i] = length;
        must(length <= ((uint64_t)1 << 31) / product, "at most 2^31 elements");
        product *= length == 0 ? 1 : length;
        header->elements *= length;
        if (length != 1) {
            header->frames *= header->rows;
            header->rows = header->columns;
            header->columns = (size_t)length;
        }
    }
}

static void read_bound(Header *header, Bytes *from)
{
    header->bound = read_u8(from);
    must(header->bound <= BOUND_NOISE, "bound 0 to 5");
    if (header->bound == BOUND_ABS || header->bound == BOUND_REL || header->bound == BOUND_NOISE)
        must(positive(read_f64(from)), "a bound that is finite and above 0");
    if (header->bound == BOUND_PROFILE) {
        header->axis = read_u8(from);
        must(header->axis < header->dimensions, "bounds along an axis that the array has");
    }
}

static void read_domain(Header *header, Bytes *from)
{
    header->domain = read_u8(from);
    must(header->domain <= DOMAIN_SPECTRAL, "domain 0 to 7");
    if (header->domain == DOMAIN_ABS || header->domain == DOMAIN_LATTICE)
        must(positive(header->unit = read_f64(from)), "a unit or spacing that is finite and above 0");
    if (header->domain == DOMAIN_LATTICE)
        must(isfinite(header->phase = read_f64(from)), "a finite phase");
    if (header->domain == DOMAIN_LATTICE || header->domain == DOMAIN_LOG)
        header->steps = (int64_t)read_varint_to(from, ((uint64_t)1 << 31) - 1, "steps");
    if (header->domain == DOMAIN_PROFILE) {
        header->shave = (int)read_varint_to(from, 52, "a shave");
        must(header->shave >= 1, "a shave of at least 1");
    }
    if (header->domain == DOMAIN_LATENT) {
        must(isfinite(header->centre = read_f32(from)), "a finite centre");
        must(positive(header->scale = read_f32(from)), "a scale that is finite and above 0");
    }
}

static double read_limit(const Header *header, Bytes *from)
{
    const double x = read_f64(from);

    must(isfinite(x), "a finite end of the valid range");
    must(number_value(number_round(x, header->itemsize), header->itemsize) == x,
         "an end of the valid range that is a number of the dtype");
    return x;
}

/* Which versions, codecs, paths, bounds and domains go together. */
static void check_header(const Header *header)
{
    const int path = header->path;
    const bool latent = path == PATH_LATENT, spectral = path == PATH_SPECTRAL;
    const bool profile = header->bound == BOUND_PROFILE;

    must(latent == (header->codec != 1) && latent == (header->domain == DOMAIN_LATENT),
         "a latent path, codec and domain");
    must(spectral == (header->domain == DOMAIN_SPECTRAL) && spectral == (header->bound == BOUND_NOISE),
         "a spectral path, domain and bound");
    must(latent     ? header->version == (header->codec == 4 ? 4 : 3)
         : spectral ? header->version == 4
                    : header->version <= 2,
         "the version of the path and codec");
    must((header->domain == DOMAIN_NONE) == (path == PATH_RAW || path == PATH_CONSTANT), "the domain of the path");
    must(profile == (header->domain == DOMAIN_PROFILE), "a bound and a domain of a profile");
    must(!profile || header->version == 2, "a profile in version 2 alone");
    if (path >= PATH_CLASSICAL)
        must(header->elements > 0, "elements to predict");
}

static void read_header(Header *header, Bytes *from, size_t stream_size)
{
    uint8_t flags;

    header->path = read_u8(from);
    must(header->path <= PATH_SPECTRAL, "path 0 to 5");
    flags = read_u8(from);
    must(flags < 16, "reserved flags of 0");
    header->fortran = flags & FORTRAN;
    header->wrap = flags & WRAP;
    header->has_lowest = flags & LOWEST;
    header->has_highest = flags & HIGHEST;
    read_shape(header, from);
    read_bound(header, from);
    read_domain(header, from);
    if (header->has_lowest)
        header->lowest = read_limit(header, from);
    if (header->has_highest)
        header->highest = read_limit(header, from);
    must(!header->has_lowest || !header->has_highest || header->lowest <= header->highest,
         "a highest value not below the lowest");
    check_header(header);
    if (header->path >= PATH_CLASSICAL)
        must((header->elements - 1) / 65536 < stream_size, "at most 65536 elements to a byte");
    if (header->path == PATH_NEURAL)
        memcpy(header->model, bytes_take(from, MODEL_HASH), MODEL_HASH);
    if (header->path == PATH_LATENT)
        memcpy(header->model, bytes_take(from, LATENT_HASH), LATENT_HASH);
}

static bool may_stand(const Header *header, int id)
{
    switch (id) {
    case MASK:
        return header->path != PATH_RAW;
    case SIGNS:
        return header->domain == DOMAIN_LOG;
    case EXCEPTIONS:
        return predictive(header->path) || header->path == PATH_SPECTRAL;
    case LOW_WORDS:
        return header->domain == DOMAIN_ORDERED && header->itemsize == 8;
    case PAYLOAD:
        return true;
    case BOUNDS:
        return header->domain == DOMAIN_PROFILE;
    case STATIC:
        return header->version >= 2 && (header->path == PATH_NEURAL || header->path == PATH_LATENT);
    default:
        return header->path == PATH_LATENT;
    }
}

static void read_sections(Header *header, Bytes *from)
{
    uint8_t ids[256];
    uint64_t sizes[256];
    const int count = read_u8(from);
    int i;

    for (i = 0; i < count; i++) {
        ids[i] = read_u8(from);
        must(ids[i] >= MASK && ids[i] < SECTIONS && (i == 0 || ids[i] > ids[i - 1]), "known sections, in order");
        must(may_stand(header, ids[i]), "no section that the path or domain has not");
        sizes[i] = read_varint(from);
    }
    for (i = 0; i < count; i++) {
        header->has[ids[i]] = true;
        header->section[ids[i]] = bytes_cut(from, sizes[i]);
    }
    bytes_end(from, "the last section");
    must(header->has[PAYLOAD], "a payload");
    must(header->has[BOUNDS] == (header->domain == DOMAIN_PROFILE), "bounds in the domain profile");
    if (header->path == PATH_LATENT)
        must(header->bound == (header->has[RESIDUAL] ? BOUND_ABS : BOUND_UNBOUNDED),
             "an absolute bound with a residual alone");
    else
        must(header->bound != BOUND_UNBOUNDED, "a bound");
}

Header header_read(const uint8_t *stream, size_t size)
{
    Bytes all = bytes_of(stream, size, TRUNCATED);
    Header header;

    memset(&header, 0, sizeof header);
    read_envelope(&header, &all);
    read_header(&header, &all, size);
    read_sections(&header, &all);
    return header;
}
