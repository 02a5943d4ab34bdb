/* Binomial tails: {"tests": [{"n", "t", "p_num", "p_den", "upper_tail", ...}]}.
 *
 * Numbers are decimal strings that may lie far below the smallest double, so
 * they are read as long double and compared through the logarithm there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "poa_bounds.h"
#include "vectors.h"

#define TOLERANCE 1e-10 /* relative */

static bool number(const json_t *test, const char *key, long double *out)
{
    const char *text = json_string_value(json_object_get(test, key));
    char *end;
    if (text == NULL)
        return false;
    *out = strtold(text, &end);
    return end != text && *end == 0;
}

static bool agrees(struct poa_prob got, long double want)
{
    if (want == 0)
        return got.value == 0 && isinf(got.ln);
    return fabsl(expl((long double)got.ln) / want - 1) <= TOLERANCE &&
           fabsl((long double)got.value - want) <=
               (long double)TOLERANCE * want + (long double)5e-324;
}

static void run(const json_t *test, struct poa_vectors_tally *t)
{
    const json_t *n = json_object_get(test, "n"), *at = json_object_get(test, "t");
    long long id = json_integer_value(json_object_get(test, "id"));
    long double num, den, want;
    if (!json_is_integer(n) || !json_is_integer(at) || !number(test, "p_num", &num) ||
        !number(test, "p_den", &den) || !number(test, "upper_tail", &want)) {
        poa_vectors_fail(t, "id %lld: n, t, p_num, p_den or upper_tail is missing", id);
        return;
    }
    uint32_t members = (uint32_t)json_integer_value(n), least = (uint32_t)json_integer_value(at);
    double p = (double)(num / den);
    struct poa_prob got = poa_binomial_tail(members, p, least);
    bool ok = agrees(got, want);
    /* The complement has digits of its own where the tail rounds to 1. */
    if (ok && number(test, "lower_tail_complement", &want)) {
        got = poa_binomial_below(members, p, least);
        ok = agrees(got, want);
    }
    POA_VECTORS_CHECK(t, ok, "id %lld: n=%u t=%u: %.17g (ln %.17g), not %.20Lg", id, members, least,
                      got.value, got.ln, want);
}

bool poa_vectors_binomial(const json_t *root, struct poa_vectors_tally *t)
{
    const json_t *tests = json_object_get(root, "tests"), *test;
    size_t i;
    if (json_object_get(json_array_get(tests, 0), "upper_tail") == NULL)
        return false;
    json_array_foreach((json_t *)tests, i, test) run(test, t);
    return true;
}
