#include "poa_node_starts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_error.h"

#define TEXT_MAX 32

int node_starts_write(const char *path, uint64_t count, struct poa_why *why)
{
    char text[TEXT_MAX];
    int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)count);
    return poa_file_write(path, text, (size_t)n, 0600, 0, why);
}

/* As it is written and no other way: a part of a count is another count. */
static bool parse(const char *text, size_t n, uint64_t *out)
{
    char again[TEXT_MAX];
    uint64_t count = strtoull(text, NULL, 10);
    int k = snprintf(again, sizeof again, "%llu\n", (unsigned long long)count);
    if (count >= NODE_STARTS_MAX || (size_t)k != n || memcmp(text, again, n) != 0)
        return false;
    *out = count;
    return true;
}

int node_starts_read(const char *path, struct node_starts *out)
{
    char *text;
    size_t n = 0;
    memset(out, 0, sizeof *out);
    int rc = poa_file_read(path, TEXT_MAX, 0, &text, &n, &out->why);
    if (rc == POA_E_NO_MEMORY)
        return rc;
    if (rc == POA_E_NOT_FOUND)
        poa_because(&out->why, rc, "%s is missing", path);
    else if (!rc && !parse(text, n, &out->count))
        rc = poa_because(&out->why, POA_E_INVALID, "%s is %s", path,
                         n ? "damaged: it holds no count" : "empty");
    free(text);
    out->file = rc == POA_OK            ? NODE_STARTS_READ
                : rc == POA_E_NOT_FOUND ? NODE_STARTS_ABSENT
                                        : NODE_STARTS_NO_COUNT;
    return POA_OK;
}

enum node_starts_found node_starts_compare(const struct node_starts *s, bool known, uint64_t stored)
{
    bool never = s->file == NODE_STARTS_ABSENT || (s->file == NODE_STARTS_READ && !s->count);
    if (!known)
        return never ? NODE_STARTS_FIRST : NODE_STARTS_LOST;
    if (s->file != NODE_STARTS_READ)
        return NODE_STARTS_NOT_SURE;
    return stored < s->count ? NODE_STARTS_OLDER : NODE_STARTS_WHOLE;
}
