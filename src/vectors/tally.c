#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

void poa_vectors_pass(struct poa_vectors_tally *t)
{
    t->passed++;
}

void poa_vectors_fail(struct poa_vectors_tally *t, const char *format, ...)
{
    va_list ap;
    t->failed++;
    printf("%s: FAILED: ", t->file);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

void poa_vectors_skip(struct poa_vectors_tally *t, const char *format, ...)
{
    char reason[sizeof t->skip[0].reason];
    va_list ap;
    unsigned i = 0;
    va_start(ap, format);
    vsnprintf(reason, sizeof reason, format, ap);
    va_end(ap);

    t->skipped++;
    while (i < t->skips && strcmp(t->skip[i].reason, reason) != 0)
        i++;
    if (i == POA_VECTORS_CLASSES_MAX) { /* the last class takes the rest */
        i--;
        snprintf(t->skip[i].reason, sizeof t->skip[i].reason, "other reasons");
    } else if (i == t->skips) {
        memcpy(t->skip[t->skips++].reason, reason, sizeof reason);
    }
    t->skip[i].count++;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct poa_vectors_bytes poa_vectors_unhex(const char *hex)
{
    struct poa_vectors_bytes b = {NULL, 0};
    size_t digits = hex != NULL ? strlen(hex) : 1;
    if (digits % 2 != 0 || (b.p = malloc(digits / 2 + 1)) == NULL)
        return b;
    b.n = digits / 2;
    for (size_t i = 0; i < b.n && b.p != NULL; i++) {
        int hi = digit(hex[2 * i]), lo = digit(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            poa_vectors_free(&b);
        else
            b.p[i] = (uint8_t)(hi << 4 | lo);
    }
    return b;
}

struct poa_vectors_bytes poa_vectors_hex(const json_t *object, const char *key)
{
    return poa_vectors_unhex(json_string_value(json_object_get(object, key)));
}

void poa_vectors_free(struct poa_vectors_bytes *b)
{
    free(b->p);
    b->p = NULL;
    b->n = 0;
}

bool poa_vectors_equal(const struct poa_vectors_bytes *b, const void *p, size_t n)
{
    return b->p != NULL && b->n == n && memcmp(b->p, p, n) == 0;
}
