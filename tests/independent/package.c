#include "package.h"

#include "json.h"
#include "zip.h"

#include <string.h>

static const char *network_name(Kind kind, int number, char name[32])
{
    static const char *const pass[] = {"D", "A", "B"}, *const band[] = {"HL", "LH", "HH"};

    if (kind == PYRAMID)
        sprintf(name, "%s-%s%s", pass[number % 6 / 2], number % 2 ? "fine" : "coarse", number < 6 ? "" : "-side");
    else
        sprintf(name, "%s-%s-%s", band[number / 4], number % 4 / 2 ? "later" : "first", number % 2 ? "fine" : "coarse");
    return name;
}

/* frequencies.npy, as sums of the frequencies below each letter */
static void read_frequencies(Package *package, const Zip *zip)
{
    const Npy npy = npy_read(zip_read(zip, "frequencies.npy"), "<u4", 4, "frequencies.npy");
    Bytes data = npy.data;
    int i, j;

    if (!npy_is(&npy, TABLES, LETTERS))
        refuse(MODEL_MISMATCH, "expected frequencies of 96 x 96");
    package->below = memory_take(TABLES, sizeof *package->below);
    for (i = 0; i < TABLES; i++) {
        uint32_t *const below = package->below[i];

        for (j = 0; j < LETTERS; j++) {
            const uint32_t frequency = read_u32(&data);

            if (frequency == 0 || frequency > (1u << 24) - below[j])
                refuse(MODEL_MISMATCH, "expected frequencies from 1, with a sum of 2^24, in table %d", i);
            below[j + 1] = below[j] + frequency;
        }
        if (below[LETTERS] != 1u << 24)
            refuse(MODEL_MISMATCH, "expected frequencies with a sum of 2^24 in table %d", i);
    }
}

static int16_t *read_i16(Bytes data)
{
    const size_t count = bytes_left(&data) / 2;
    int16_t *const values = memory_take(count, sizeof *values);
    size_t i;

    for (i = 0; i < count; i++) {
        const int32_t x = read_u16(&data);

        values[i] = (int16_t)(x < 1 << 15 ? x : x - (1 << 16));
    }
    return values;
}

static void read_shrink(Package *package, const Zip *zip)
{
    const Npy npy = npy_read(zip_read(zip, "shrink.npy"), "<i2", 2, "shrink.npy");
    int i;

    if (!npy_is(&npy, TABLES, 2))
        refuse(MODEL_MISMATCH, "expected shrink of 96 x 2");
    memcpy(package->shrink, read_i16(npy.data), sizeof package->shrink);
    for (i = 0; i < 2 * TABLES; i++)
        if (package->shrink[i / 2][i % 2] < -128 || package->shrink[i / 2][i % 2] > 128)
            refuse(MODEL_MISMATCH, "expected shrink from -128 to 128, got %d", package->shrink[i / 2][i % 2]);
}

static void read_network(Package *package, const Zip *zip, Json nets, int number)
{
    static const size_t stencil[3] = {16, 24, 28};
    Network *const network = &package->network[number];
    char name[32], entry[64];
    Json net, shifts = nets, shift;
    int64_t value;
    size_t inputs = 64;
    int layers = 0, k;

    network_name(package->kind, number, name);
    if (!json_member(nets, name, &net) || !json_member(net, "shifts", &shifts))
        refuse(MODEL_MISMATCH, "expected shifts of network %s", name);
    while (json_element(shifts, layers, &shift))
        layers++;
    network_start(network, layers);
    for (k = 0; json_element(shifts, k, &shift); k++) {
        Npy weight;

        sprintf(entry, "%s/weight%d.npy", name, k);
        weight = npy_read(zip_read(zip, entry), "|i1", 1, entry);
        if (!json_integer(shift, &value))
            refuse(MODEL_MISMATCH, "expected integers as shifts of network %s", name);
        network_add(network, &weight, value, entry);
    }
    if (package->kind == PYRAMID) {
        const size_t n = stencil[number % 6 / 2];
        Npy linear;

        sprintf(entry, "%s/linear.npy", name);
        linear = npy_read(zip_read(zip, entry), "<i2", 2, entry);
        if (linear.dimensions != 1 || linear.shape[0] != n)
            refuse(MODEL_MISMATCH, "expected %zu weights in %s", n, entry);
        network->linear = read_i16(linear.data);
        inputs = (n + (number < 6 ? 12 : 20) + 7) / 8 * 8;
    }
    network_finish(network, inputs, name);
}

Package *package_read(Bytes file, Kind kind)
{
    const Zip zip = zip_open(file);
    const Bytes text = zip_read(&zip, "manifest.json");
    Package *const package = memory_take(1, sizeof *package);
    Json manifest, value;
    int64_t format = 0;
    int i;

    manifest.at = (const char *)text.at;
    manifest.end = (const char *)text.end;
    if (!json_valid(manifest) || !json_is(manifest, '{'))
        refuse(MODEL_MISMATCH, "expected a JSON object in manifest.json");
    if (json_member(manifest, "kind", &value) ? !json_equals(value, kind == PYRAMID ? "pyramid" : "hyperprior")
                                              : kind != PYRAMID)
        refuse(MODEL_MISMATCH, "expected a package of kind %s", kind == PYRAMID ? "pyramid" : "hyperprior");
    if (!json_member(manifest, "format", &value) || !json_integer(value, &format) || format < 1 ||
        format > (kind == PYRAMID ? 2 : 1))
        refuse(MODEL_MISMATCH, "expected another format than %lld", (long long)format);
    if (!json_member(manifest, "nets", &value))
        refuse(MODEL_MISMATCH, "expected networks in manifest.json");
    package->kind = kind;
    package->format = (int)format;
    read_frequencies(package, &zip);
    if (kind == HYPERPRIOR)
        read_shrink(package, &zip);
    for (i = 0; i < (kind == PYRAMID && format == 1 ? 6 : NETWORKS); i++)
        read_network(package, &zip, value, i);
    return package;
}
