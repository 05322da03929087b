#include "library.h"

#include "integer.h"
#include "sha256.h"
#include "zip.h"

#include <dirent.h> /* the one thing here that C99 lacks and POSIX has: the names of the files of a folder */
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_SIZE = 256 << 20 };

typedef struct {
    char *path;
    uint8_t hash[32];
    uint64_t size;
    Package *package[2]; /* by kind, once it is read */
} File;

struct Library {
    char *const *folders;
    int folder_count;
    File *files;
    size_t file_count;
    bool listed;
};

Library *library_open(char *const *folders, int count)
{
    const Mark mark = memory_mark();
    Library *const library = memory_take(1, sizeof *library);

    library->folders = folders;
    library->folder_count = count;
    memory_keep(mark);
    return library;
}

static char *join(const char *folder, const char *name)
{
    char *const path = memory_take(strlen(folder) + strlen(name) + 2, 1);

    sprintf(path, "%s/%s", folder, name);
    return path;
}

/* The size and hash of a file, however large it is. */
static bool hash_file(const char *path, uint8_t hash[32], uint64_t *size)
{
    FILE *const file = fopen(path, "rb");
    uint8_t block[4096];
    Sha256 sha;
    size_t n;

    if (file == NULL)
        return false;
    sha256_start(&sha);
    while ((n = fread(block, 1, sizeof block, file)) > 0)
        sha256_add(&sha, block, n);
    n = ferror(file) != 0;
    fclose(file);
    *size = sha.length;
    sha256_end(&sha, hash);
    return n == 0;
}

static Bytes read_file(const char *path, uint64_t size)
{
    uint8_t *const data = memory_take((size_t)size, 1);
    FILE *const file = fopen(path, "rb");
    size_t n = 0;

    if (file != NULL) {
        n = fread(data, 1, (size_t)size, file);
        fclose(file);
    }
    if (n != size)
        refuse(FAILED, "cannot read %s", path);
    return bytes_of(data, n, MODEL_MISMATCH);
}

static void add_file(Library *library, const char *path)
{
    File file, *more;

    memset(&file, 0, sizeof file);
    if (!hash_file(path, file.hash, &file.size))
        return;
    more = realloc(library->files, (library->file_count + 1) * sizeof *more);
    file.path = malloc(strlen(path) + 1);
    if (more == NULL || file.path == NULL)
        refuse(FAILED, "no memory for the names of models");
    strcpy(file.path, path);
    library->files = more;
    library->files[library->file_count++] = file;
}

/* All files of the folders, whatever their names, but static fields. */
static void list_files(Library *library)
{
    int i;

    for (i = 0; i < library->folder_count && !library->listed; i++) {
        DIR *const folder = opendir(library->folders[i]);
        const struct dirent *item;

        while (folder != NULL && (item = readdir(folder)) != NULL) {
            const size_t length = strlen(item->d_name);
            const Mark mark = memory_mark();

            if (length < 4 || strcmp(item->d_name + length - 4, ".npy") != 0)
                add_file(library, join(library->folders[i], item->d_name));
            memory_release(mark);
        }
        if (folder != NULL)
            closedir(folder);
    }
    library->listed = true;
}

typedef struct {
    const File *file;
    Kind kind;
    Package *package;
} Reading;

static void read_package(void *argument)
{
    Reading *const reading = argument;

    if (reading->file->size > PACKAGE_SIZE)
        refuse(MODEL_MISMATCH, "expected a package of 8 MiB at most, got %llu bytes",
               (unsigned long long)reading->file->size);
    reading->package = package_read(read_file(reading->file->path, reading->file->size), reading->kind);
}

const Package *library_package(Library *library, const uint8_t *hash, size_t length, Kind kind)
{
    Error error = MODEL_NOT_FOUND;
    size_t i;

    list_files(library);
    for (i = 0; i < library->file_count; i++) {
        File *const file = &library->files[i];

        if (memcmp(file->hash, hash, length) != 0)
            continue;
        if (file->package[kind] == NULL) {
            const Mark mark = memory_mark();
            Reading reading;

            reading.file = file;
            reading.kind = kind;
            error = attempt(read_package, &reading);
            if (error != DECODED)
                continue; /* there may be another file with the same first bytes */
            memory_keep(mark);
            file->package[kind] = reading.package;
        }
        return file->package[kind];
    }
    if (error == MODEL_NOT_FOUND)
        refuse(error, "no model whose hash begins with %02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
    refuse_again(error);
    return NULL;
}

/* stream, "Static fields" */
static void check_static(const Npy *npy)
{
    Bytes data = npy->data;

    if (npy->dimensions != 2)
        refuse(MODEL_MISMATCH, "expected a static field of two axes, got %d", npy->dimensions);
    while (bytes_left(&data) > 0)
        if (!isfinite(read_f32(&data)))
            refuse(MODEL_MISMATCH, "expected a static field of finite values");
}

Npy library_static(const Library *library, const uint8_t hash[32])
{
    char name[69];
    Npy npy;
    int i;

    for (i = 0; i < 32; i++)
        sprintf(name + 2 * i, "%02x", hash[i]);
    strcat(name, ".npy");
    for (i = 0; i < library->folder_count; i++) {
        const char *const path = join(library->folders[i], name);
        uint8_t found[32];
        uint64_t size;

        if (!hash_file(path, found, &size))
            continue;
        if (size > FIELD_SIZE || memcmp(found, hash, 32) != 0)
            refuse(MODEL_MISMATCH, "expected the hash in its name of %s", name);
        npy = npy_read(read_file(path, size), "<f4", 4, name);
        check_static(&npy);
        return npy;
    }
    refuse(MODEL_NOT_FOUND, "no static field %s", name);
    memset(&npy, 0, sizeof npy);
    return npy;
}
