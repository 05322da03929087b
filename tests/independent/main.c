/* adiabat-decode: streams to `.npy` files. */
#include "stream.h"

#include <string.h>

typedef struct {
    const char *stream, *out;
    Library *library;
} Job;

static Bytes read_stream(const char *path)
{
    FILE *const file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0)
        data = memory_take((size_t)size + 1, 1);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0 || fread(data, 1, (size_t)size, file) != (size_t)size) {
        if (file != NULL)
            fclose(file);
        refuse(FAILED, "cannot read %s", path);
    }
    fclose(file);
    return bytes_of(data, (size_t)size, TRUNCATED);
}

/* The array's bytes in its own byte order and memory order (stream, "Header"). */
static uint8_t *array_bytes(const Array *array)
{
    const Header *const header = &array->header;
    const size_t size = (size_t)header->itemsize;
    uint8_t *const data = memory_take((size_t)header->elements, size);
    uint64_t index[DIMENSIONS] = {0}, stride[DIMENSIONS], elements = 1, p, at = 0;
    size_t k;
    int i;

    for (i = 0; i < header->dimensions; i++) {
        stride[i] = elements;
        elements *= header->shape[i];
    }
    for (p = 0; p < header->elements; p++) {
        for (k = 0; k < size; k++)
            data[at * size + k] = (uint8_t)(array->values[p] >> 8 * (header->big_endian ? size - 1 - k : k));
        if (!header->fortran) {
            at++;
            continue;
        }
        /* The next element in row-major order, and where it is in column-major order. */
        for (i = header->dimensions - 1; i >= 0; i--) {
            at += stride[i];
            if (++index[i] < header->shape[i])
                break;
            at -= stride[i] * header->shape[i];
            index[i] = 0;
        }
    }
    return data;
}

static void decode(void *argument)
{
    const Job *const job = argument;
    const Bytes stream = read_stream(job->stream);
    const Array array = stream_decode(stream.at, bytes_left(&stream), job->library);
    const Header *const header = &array.header;
    const uint8_t *const data = array_bytes(&array);
    const size_t size = (size_t)header->elements * (size_t)header->itemsize;
    FILE *const file = fopen(job->out, "wb");
    char descr[8];
    bool done;

    sprintf(descr, "%cf%d", header->big_endian ? '>' : '<', header->itemsize);
    if (file == NULL)
        refuse(FAILED, "cannot write %s", job->out);
    done = npy_write_header(file, descr, header->fortran, header->dimensions, header->shape) &&
           fwrite(data, 1, size, file) == size;
    done = fclose(file) == 0 && done;
    if (!done) {
        remove(job->out);
        refuse(FAILED, "cannot write %s", job->out);
    }
}

/* 0, or 1 for a stream that is refused, 2 for one that promises no bits, 3 for what is not the stream's fault */
static int code_of(Error error)
{
    return error == DECODED ? 0 : error == NO_BITS_PROMISED ? 2 : error == FAILED ? 3 : 1;
}

static Error run(Job *job)
{
    const Mark mark = memory_mark();
    const Error error = attempt(decode, job);

    memory_release(mark);
    return error;
}

/* Lines of a stream, a tab and an output; what comes of each is a line of the standard output. */
static int run_list(const char *path, Library *library)
{
    FILE *const list = fopen(path, "r");
    char line[8192];
    int worst = 0;

    if (list == NULL) {
        fprintf(stderr, "Failed: cannot read %s\n", path);
        return 3;
    }
    while (fgets(line, sizeof line, list) != NULL) {
        char *const tab = strchr(line, '\t');
        Error error;
        Job job;

        line[strcspn(line, "\r\n")] = 0;
        if (tab == NULL)
            continue;
        *tab = 0;
        job.stream = line;
        job.out = tab + 1;
        job.library = library;
        error = run(&job);
        if (error == DECODED)
            puts("decoded");
        else
            printf("%s: %s\n", error_name(error), attempt_sentence());
        worst = code_of(error) > worst ? code_of(error) : worst;
    }
    fclose(list);
    return worst;
}

int main(int argc, char **argv)
{
    const bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
    Error error;
    Job job;

    if (argc < 3) {
        fprintf(stderr, "usage: %s STREAM OUT.npy MODELS_FOLDER...\n       %s --list FILE MODELS_FOLDER...\n", argv[0],
                argv[0]);
        return 3;
    }
    if (list)
        return run_list(argv[2], library_open(argv + 3, argc - 3));
    job.stream = argv[1];
    job.out = argv[2];
    job.library = library_open(argv + 3, argc - 3);
    error = run(&job);
    if (error != DECODED)
        fprintf(stderr, "%s: %s\n", error_name(error), attempt_sentence());
    return code_of(error);
}
