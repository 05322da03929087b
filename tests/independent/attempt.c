#include "attempt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct Block {
    struct Block *before;
    size_t size;
};

/* Room for the block's own fields, as long as any alignment asks for. */
enum { HEAD = 32 };

static struct Block *last, *kept;
static size_t taken;
static jmp_buf *innermost;
static Error reason;
static char sentence[256];

size_t memory_limit = SIZE_MAX;

const char *error_name(Error error)
{
    static const char *const names[] = {"",
                                        "Truncated",
                                        "Corrupt",
                                        "UnsupportedVersion",
                                        "ModelNotFound",
                                        "ModelMismatch",
                                        "NoBitsPromised",
                                        "Failed"};
    return names[error];
}

const char *attempt_sentence(void)
{
    return sentence;
}

Error attempt(void (*task)(void *), void *argument)
{
    jmp_buf here, *const outer = innermost;
    struct Block *const mark = last;

    innermost = &here;
    if (setjmp(here) == 0) {
        task(argument);
        innermost = outer;
        return DECODED;
    }
    innermost = outer;
    memory_release(mark);
    return reason;
}

void refuse(Error error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    refuse_again(error);
}

void refuse_again(Error error)
{
    reason = error;
    longjmp(*innermost, 1);
}

void *memory_take(size_t count, size_t size)
{
    struct Block *block = NULL;

    if (size != 0 && count > (SIZE_MAX - HEAD) / size)
        refuse(FAILED, "%zu items of %zu bytes are more than memory can hold", count, size);
    if (count * size <= memory_limit && taken <= memory_limit - count * size)
        block = calloc(1, HEAD + count * size);
    if (block == NULL)
        refuse(FAILED, "no memory for %zu items of %zu bytes", count, size);
    block->before = last;
    block->size = count * size;
    taken += block->size;
    last = block;
    return (unsigned char *)block + HEAD;
}

Mark memory_mark(void)
{
    return last;
}

void memory_release(Mark mark)
{
    while (last != mark) {
        struct Block *const block = last;

        last = block->before;
        taken -= block->size;
        free(block);
    }
}

void memory_keep(Mark mark)
{
    while (last != mark) {
        struct Block *const block = last;

        last = block->before;
        taken -= block->size;
        block->before = kept;
        kept = block;
    }
}
