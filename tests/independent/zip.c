#include "zip.h"

#include "inflate.h"

#include <string.h>

enum { STORED = 0, DEFLATED = 8, LOCAL_HEAD = 30, DIRECTORY_END = 22, ENTRIES = 1024 };

/* The record that ends the directory: as near to the file's end as it is found. */
static Bytes directory_end(Bytes file)
{
    const uint8_t *at;

    for (at = file.end - DIRECTORY_END; bytes_left(&file) >= DIRECTORY_END && at >= file.at; at--)
        if (memcmp(at, "PK\5\6", 4) == 0) {
            const uint8_t *const record = at;

            return bytes_of(record + 4, (size_t)(file.end - record) - 4, MODEL_MISMATCH);
        }
    refuse(MODEL_MISMATCH, "expected a zip file");
    return file;
}

static Entry read_entry(Bytes *directory, Bytes file)
{
    Entry entry;
    uint32_t length, names, extra, comment, offset;
    unsigned flags;

    if (memcmp(bytes_take(directory, 4), "PK\1\2", 4) != 0)
        refuse(MODEL_MISMATCH, "expected an entry of the zip file's directory");
    bytes_take(directory, 4);
    flags = read_u16(directory);
    entry.method = read_u16(directory);
    bytes_take(directory, 4);
    entry.crc = read_u32(directory);
    length = read_u32(directory);
    entry.size = read_u32(directory);
    names = read_u16(directory);
    extra = read_u16(directory);
    comment = read_u16(directory);
    bytes_take(directory, 8);
    offset = read_u32(directory);
    entry.name = bytes_cut(directory, names);
    bytes_take(directory, (uint64_t)extra + comment);
    if (flags & 1 || (entry.method != STORED && entry.method != DEFLATED))
        refuse(MODEL_MISMATCH, "expected an entry stored or deflated, got method %d", entry.method);

    bytes_take(&file, offset);
    if (memcmp(bytes_take(&file, 4), "PK\3\4", 4) != 0)
        refuse(MODEL_MISMATCH, "expected an entry's header at byte %lu", (unsigned long)offset);
    bytes_take(&file, LOCAL_HEAD - 8);
    names = read_u16(&file);
    extra = read_u16(&file);
    bytes_take(&file, (uint64_t)names + extra);
    entry.packed = bytes_cut(&file, length);
    return entry;
}

static bool same_name(const Entry *one, const Entry *other)
{
    const size_t length = bytes_left(&one->name);

    return bytes_left(&other->name) == length && memcmp(one->name.at, other->name.at, length) == 0;
}

Zip zip_open(Bytes file)
{
    Bytes end = directory_end(file), directory = file;
    uint64_t total = 0;
    Zip zip;
    size_t i, k;

    bytes_take(&end, 6);
    zip.count = read_u16(&end);
    if (zip.count > ENTRIES)
        refuse(MODEL_MISMATCH, "expected at most %d entries, got %zu", ENTRIES, zip.count);
    bytes_take(&end, 4);
    bytes_take(&directory, read_u32(&end));
    zip.entries = memory_take(zip.count, sizeof *zip.entries);
    for (i = 0; i < zip.count; i++) {
        zip.entries[i] = read_entry(&directory, file);
        total += zip.entries[i].size;
        for (k = 0; k < i; k++)
            if (same_name(&zip.entries[k], &zip.entries[i]))
                refuse(MODEL_MISMATCH, "expected entries of different names");
    }
    if (total > PACKAGE_SIZE)
        refuse(MODEL_MISMATCH, "expected entries of 8 MiB at most, got %llu bytes", (unsigned long long)total);
    return zip;
}

static const Entry *find(const Zip *zip, const char *name)
{
    const size_t length = strlen(name);
    size_t i;

    for (i = 0; i < zip->count; i++)
        if (bytes_left(&zip->entries[i].name) == length && memcmp(zip->entries[i].name.at, name, length) == 0)
            return &zip->entries[i];
    return NULL;
}

bool zip_has(const Zip *zip, const char *name)
{
    return find(zip, name) != NULL;
}

Bytes zip_read(const Zip *zip, const char *name)
{
    const Entry *const entry = find(zip, name);
    const uint8_t *data;
    size_t length;

    if (entry == NULL)
        refuse(MODEL_MISMATCH, "expected an entry %s", name);
    data = entry->packed.at;
    length = bytes_left(&entry->packed);
    if (entry->method == DEFLATED) {
        uint8_t *const out = memory_take(entry->size, 1);

        if (!inflate_deflate(data, length, out, entry->size))
            refuse(MODEL_MISMATCH, "expected deflated data of %lu bytes in %s", (unsigned long)entry->size, name);
        data = out;
    } else if (length != entry->size) {
        refuse(MODEL_MISMATCH, "expected %lu bytes in %s, got %zu", (unsigned long)entry->size, name, length);
    }
    if (crc32(data, entry->size) != entry->crc)
        refuse(MODEL_MISMATCH, "expected the checksum of %s", name);
    return bytes_of(data, entry->size, MODEL_MISMATCH);
}
