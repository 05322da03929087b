/* JSON, as far as a manifest needs it: values are found in the text, nothing is built. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *at, *end;
} Json;

/* Whether the text is one JSON value and nothing else. The functions below take values of such a text. */
bool json_valid(Json text);
bool json_is(Json value, char first);
/* The value of a key of an object; of two values of one key, the last. */
bool json_member(Json object, const char *key, Json *value);
/* An array's element; false beyond the last. */
bool json_element(Json array, int index, Json *value);
bool json_equals(Json value, const char *string);
bool json_integer(Json value, int64_t *integer);

#endif
