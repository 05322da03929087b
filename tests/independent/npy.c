#include "npy.h"

#include <string.h>

/* What follows a key of the header, a Python dictionary, or NULL. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);

    if (at != NULL) {
        at += strlen(key);
        at += strspn(at, " ");
        at = *at == ':' ? at + 1 + strspn(at + 1, " ") : NULL;
    }
    return at;
}

static void read_shape(Npy *npy, const char *at, const char *name)
{
    if (at == NULL || *at++ != '(')
        refuse(MODEL_MISMATCH, "expected a shape in %s", name);
    for (at += strspn(at, " "); *at != ')'; at += strspn(at, " ")) {
        uint64_t length = 0;

        if (npy->dimensions == NPY_DIMENSIONS || *at < '0' || *at > '9')
            refuse(MODEL_MISMATCH, "expected a shape in %s", name);
        for (; *at >= '0' && *at <= '9' && length < (uint64_t)1 << 40; at++)
            length = 10 * length + (uint64_t)(*at - '0');
        npy->shape[npy->dimensions++] = length;
        at += strspn(at, " ");
        at += *at == ',';
    }
}

Npy npy_read(Bytes file, const char *descr, int itemsize, const char *name)
{
    static const uint8_t magic[8] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    const char *dtype, *order;
    char *header;
    uint64_t size;
    Npy npy;
    int i;

    memset(&npy, 0, sizeof npy);
    file.lack = MODEL_MISMATCH;
    if (memcmp(bytes_take(&file, sizeof magic), magic, sizeof magic) != 0)
        refuse(MODEL_MISMATCH, "expected .npy of version 1.0 in %s", name);
    size = read_u16(&file);
    header = memory_take((size_t)size + 1, 1);
    memcpy(header, bytes_take(&file, size), (size_t)size);
    dtype = value_of(header, "'descr'");
    order = value_of(header, "'fortran_order'");
    if (dtype == NULL || *dtype != '\'' || strncmp(dtype + 1, descr, strlen(descr)) != 0 ||
        dtype[1 + strlen(descr)] != '\'')
        refuse(MODEL_MISMATCH, "expected dtype %s in %s", descr, name);
    if (order == NULL || strncmp(order, "False", 5) != 0)
        refuse(MODEL_MISMATCH, "expected C order in %s", name);
    read_shape(&npy, value_of(header, "'shape'"), name);

    size = (uint64_t)itemsize;
    for (i = 0; i < npy.dimensions; i++) {
        if (npy.shape[i] != 0 && size > bytes_left(&file) / npy.shape[i])
            refuse(MODEL_MISMATCH, "expected more than %zu bytes in %s", bytes_left(&file), name);
        size *= npy.shape[i];
    }
    npy.data = file;
    if (bytes_left(&file) != size)
        refuse(MODEL_MISMATCH, "expected %llu bytes of data in %s", (unsigned long long)size, name);
    return npy;
}

bool npy_is(const Npy *npy, uint64_t rows, uint64_t columns)
{
    return npy->dimensions == 2 && npy->shape[0] == rows && npy->shape[1] == columns;
}

bool npy_write_header(FILE *file, const char *descr, bool fortran_order, int dimensions, const uint64_t *shape)
{
    char header[1024];
    int n, i;

    n = sprintf(header, "{'descr': '%s', 'fortran_order': %s, 'shape': (", descr, fortran_order ? "True" : "False");
    for (i = 0; i < dimensions; i++)
        n += sprintf(header + n, i == 0 ? "%llu" : ", %llu", (unsigned long long)shape[i]);
    n += sprintf(header + n, dimensions == 1 ? ",), }" : "), }");
    /* Magic, version, length, header and its newline take a multiple of 64 bytes. */
    while ((10 + n + 1) % 64 != 0)
        header[n++] = ' ';
    header[n++] = '\n';
    return fwrite("\x93NUMPY\x01\x00", 1, 8, file) == 8 && fputc(n & 255, file) != EOF && fputc(n >> 8, file) != EOF &&
           fwrite(header, 1, (size_t)n, file) == (size_t)n;
}
