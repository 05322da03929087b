#include "words.h"

static void refill(Words *words)
{
    if (words->state >> 32 == 0 && bytes_left(&words->left) > 0) {
        Bytes word = bytes_of(words->left.end - 4, 4, CORRUPT);

        words->left.end -= 4;
        words->state = words->state << 32 | read_u32(&word);
    }
}

Words words_open(Bytes part)
{
    const size_t size = bytes_left(&part);
    Words words;

    words.left = part;
    words.state = 0;
    if (size % 4 != 0)
        refuse(CORRUPT, "expected words of 4 bytes, got %zu bytes", size);
    refill(&words);
    if (size > 0 && words.state == 0)
        refuse(CORRUPT, "expected a last word other than 0");
    refill(&words);
    return words;
}

int words_letter(Words *words, const uint32_t *below, int letters)
{
    const uint32_t q = (uint32_t)(words->state & 0xffffff);
    int low = 0, high = letters;

    while (high - low > 1) {
        const int middle = (low + high) / 2;

        if (below[middle] <= q)
            low = middle;
        else
            high = middle;
    }
    words->state = (words->state >> 24) * (below[low + 1] - below[low]) + q - below[low];
    refill(words);
    return low;
}

void words_end(const Words *words)
{
    if (bytes_left(&words->left) > 0 || words->state != 0)
        refuse(CORRUPT, "expected words that end with the symbols");
}
