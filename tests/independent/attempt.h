/* An attempt: something that succeeds or is refused as a whole (stream, "Errors"). */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#include <stddef.h>

typedef enum {
    DECODED,
    TRUNCATED,
    CORRUPT,
    UNSUPPORTED_VERSION,
    MODEL_NOT_FOUND,
    MODEL_MISMATCH,
    NO_BITS_PROMISED, /* codecs 3 and 4: the specification promises no bits */
    FAILED            /* the machine's fault: no memory, no such file */
} Error;

const char *error_name(Error error);

/* Runs `task(argument)`. What it refuses comes back as an error, its memory is given back, and
 * `attempt_sentence` says why. Attempts may stand inside each other. */
Error attempt(void (*task)(void *), void *argument);
const char *attempt_sentence(void);

/* Ends the innermost attempt. It does not return. */
void refuse(Error error, const char *format, ...);
/* The same with the sentence that is there. */
void refuse_again(Error error);

/* Zeroed memory for `count` things of `size` bytes; it lasts until `memory_release` of an earlier
 * mark, or the failure of the attempt. */
void *memory_take(size_t count, size_t size);

typedef struct Block *Mark;
Mark memory_mark(void);
void memory_release(Mark mark);
/* What was taken since `mark` lasts to the end of the program. */
void memory_keep(Mark mark);

/* Bytes that may be taken at a time; for tests. No limit unless it is set. */
extern size_t memory_limit;

#endif
