/* Seeds: each target writes its own, from real encodings. */
#include <limits.h>

#include "fuzz.h"

static const char *seed_dir;

void fuzz_seed(const char *name, const void *bytes, size_t n)
{
    char path[PATH_MAX];
    FILE *f;
    FUZZ_CHECK(snprintf(path, sizeof path, "%s/%s", seed_dir, name) < (int)sizeof path);
    f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
        perror(path);
        exit(1);
    }
}

void fuzz_seeds_into(const char *dir)
{
    seed_dir = dir;
    fuzz_seeds();
}
