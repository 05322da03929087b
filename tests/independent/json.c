#include "json.h"

#include <string.h>

enum { DEEPEST = 64 };

static void skip_space(Json *j)
{
    while (j->at < j->end && memchr(" \t\r\n", *j->at, 4) != NULL)
        j->at++;
}

static bool take(Json *j, char c)
{
    skip_space(j);
    if (j->at == j->end || *j->at != c)
        return false;
    j->at++;
    return true;
}

static bool skip_word(Json *j, const char *word)
{
    const size_t n = strlen(word);

    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
        return false;
    j->at += n;
    return true;
}

static bool skip_string(Json *j)
{
    if (!take(j, '"'))
        return false;
    for (; j->at < j->end && *j->at != '"'; j->at++) {
        if ((unsigned char)*j->at < ' ')
            return false;
        if (*j->at == '\\' && ++j->at == j->end)
            return false;
    }
    return take(j, '"');
}

static bool skip_digits(Json *j)
{
    const char *const from = j->at;

    while (j->at < j->end && *j->at >= '0' && *j->at <= '9')
        j->at++;
    return j->at > from;
}

static bool skip_number(Json *j)
{
    if (j->at < j->end && *j->at == '-')
        j->at++;
    if (!skip_digits(j))
        return false;
    if (j->at < j->end && *j->at == '.') {
        j->at++;
        if (!skip_digits(j))
            return false;
    }
    if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
        j->at++;
        if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
            j->at++;
        return skip_digits(j);
    }
    return true;
}

static bool skip_value(Json *j, int depth)
{
    char open, close;

    skip_space(j);
    if (j->at == j->end || depth == DEEPEST)
        return false;
    open = *j->at;
    if (open == '"')
        return skip_string(j);
    if (open != '{' && open != '[')
        return open == 't' ? skip_word(j, "true")
             : open == 'f' ? skip_word(j, "false")
             : open == 'n' ? skip_word(j, "null")
                           : skip_number(j);
    close = open == '{' ? '}' : ']';
    j->at++;
    if (take(j, close))
        return true;
    do {
        if (open == '{' && !(skip_string(j) && take(j, ':')))
            return false;
        if (!skip_value(j, depth + 1))
            return false;
    } while (take(j, ','));
    return take(j, close);
}

static Json next_value(Json *j)
{
    Json value;

    skip_space(j);
    value.at = j->at;
    skip_value(j, 0);
    value.end = j->at;
    return value;
}

bool json_valid(Json text)
{
    if (!skip_value(&text, 0))
        return false;
    skip_space(&text);
    return text.at == text.end;
}

bool json_is(Json value, char first)
{
    skip_space(&value);
    return value.at < value.end && *value.at == first;
}

bool json_equals(Json value, const char *string)
{
    const size_t n = strlen(string);

    skip_space(&value);
    return (size_t)(value.end - value.at) == n + 2 && *value.at == '"' && memcmp(value.at + 1, string, n) == 0;
}

bool json_member(Json object, const char *key, Json *value)
{
    bool found = false;

    if (!take(&object, '{') || take(&object, '}'))
        return false;
    do {
        const Json name = next_value(&object);

        take(&object, ':');
        if (json_equals(name, key)) {
            *value = next_value(&object);
            found = true;
        } else {
            next_value(&object);
        }
    } while (take(&object, ','));
    return found;
}

bool json_element(Json array, int index, Json *value)
{
    if (!take(&array, '[') || take(&array, ']'))
        return false;
    do
        *value = next_value(&array);
    while (index-- > 0 && take(&array, ','));
    return index < 0;
}

bool json_integer(Json value, int64_t *integer)
{
    const char *at = value.at;
    const bool negative = at < value.end && *at == '-';
    int64_t x = 0;

    at += negative;
    if (at == value.end || value.end - at > 15)
        return false;
    for (; at < value.end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        x = 10 * x + (*at - '0');
    }
    *integer = negative ? -x : x;
    return true;
}
