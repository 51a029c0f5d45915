/* Runs every fuzz target over its corpus directory, and over cheap deterministic mutations of each file, so that
 * an ordinary compiler with sanitizers finds again what libFuzzer found once. Inputs are exact-size heap copies. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define X(name) int qn_fuzz_##name(const uint8_t *data, size_t size);
#include "targets.h"
#undef X

static const struct {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
} targets[] = {
#define X(name) {#name, qn_fuzz_##name},
#include "targets.h"
#undef X
};

static unsigned long runs;

static void one(int (*run)(const uint8_t *, size_t), const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    run(copy, size);
    free(copy);
    runs++;
}

static void mutate(int (*run)(const uint8_t *, size_t), uint8_t *data, size_t size)
{
    uint32_t seed = 2463534242u ^ (uint32_t)size;

    one(run, data, size);
    for (unsigned i = 0; i < 24 && size > 0; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        size_t at = seed % size;
        uint8_t old = data[at];
        data[at] = (uint8_t)(seed >> 8);
        one(run, data, size);
        data[at] = old;
        one(run, data, at);
    }
}

static int replay_file(int (*run)(const uint8_t *, size_t), const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t cap = 8u << 20;
    uint8_t *data = malloc(cap);
    if (!data)
        abort();
    size_t size = fread(data, 1, cap, f);
    fclose(f);
    mutate(run, data, size);
    free(data);
    return 1;
}

static int replay_target(const char *corpus, size_t t)
{
    char path[4096];
    int files = 0;

    snprintf(path, sizeof path, "%s/%s", corpus, targets[t].name);
    DIR *d = opendir(path);
    one(targets[t].run, (const uint8_t *)"", 0);
    if (!d)
        return 0;
    for (struct dirent *ent; (ent = readdir(d));) {
        if (ent->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/%s", corpus, targets[t].name, ent->d_name);
        files += replay_file(targets[t].run, path);
    }
    closedir(d);
    return files;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc != 2)
        return 2;
    for (size_t t = 0; t < sizeof targets / sizeof targets[0]; t++) {
        int files = replay_target(argv[1], t);
        if (files == 0) {
            fprintf(stderr, "replay: %s has no corpus\n", targets[t].name);
            failed = 1;
        }
    }
    printf("replay: %zu targets, %lu inputs\n", sizeof targets / sizeof targets[0], runs);
    return failed;
}
