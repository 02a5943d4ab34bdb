/* RFC 9381 vectors: {"tests": [{suite, pk, alpha, pi, beta, result, sk, flags}]}. */
#include <string.h>

#include "poa_vrf.h"
#include "vectors.h"

struct test {
    json_int_t id;
    enum poa_vrf_suite suite;
    struct poa_vectors_bytes sk, pk, alpha, pi, beta;
    bool deterministic; /* PI is what our prover must give */
};

static bool has_flag(const json_t *test, const char *flag)
{
    size_t i;
    json_t *f;
    json_array_foreach(json_object_get(test, "flags"), i,
                       f) if (json_is_string(f) &&
                              strcmp(json_string_value(f), flag) == 0) return true;
    return false;
}

/* NULL, or what is wrong. */
static const char *check_valid(const struct test *t)
{
    uint8_t beta[64], again[64], pk[32], pi[80];
    const struct poa_slice alpha = poa_slice(t->alpha.p, t->alpha.n);
    if (poa_vrf_verify_strings(t->suite, poa_slice(t->pk.p, t->pk.n), alpha,
                               poa_slice(t->pi.p, t->pi.n), beta) != POA_OK)
        return "a valid proof was refused";
    if (t->beta.p != NULL && !poa_vectors_equal(&t->beta, beta, sizeof beta))
        return "another beta";
    if (poa_vrf_proof_to_hash(t->suite, t->pi.p, again) != POA_OK ||
        memcmp(again, beta, sizeof beta) != 0)
        return "proof_to_hash gives another beta";
    if (t->sk.p == NULL || !t->deterministic)
        return NULL;
    if (t->sk.n != 32)
        return "sk is not 32 bytes";
    poa_ed25519_public(t->sk.p, pk);
    if (!poa_vectors_equal(&t->pk, pk, sizeof pk))
        return "sk has another public key";
    if (poa_vrf_prove(t->suite, t->sk.p, pk, alpha, pi) != POA_OK ||
        !poa_vectors_equal(&t->pi, pi, sizeof pi))
        return "proving gives another pi";
    return NULL;
}

static void run(size_t i, const json_t *o, struct poa_vectors_tally *tally)
{
    const json_t *suite = json_object_get(o, "suite");
    const char *result = json_string_value(json_object_get(o, "result"));
    const json_t *id = json_object_get(o, "tcId");
    struct test t = {.id = id != NULL ? json_integer_value(id) : (json_int_t)i + 1};
    uint8_t beta[64];

    if (json_is_integer(suite) && json_integer_value(suite) != 3 &&
        json_integer_value(suite) != 4) {
        poa_vectors_skip(tally, "a VRF suite other than 3 and 4");
        return;
    }
    if (!json_is_integer(suite)) {
        poa_vectors_fail(tally, "test %lld: odd: no suite", (long long)t.id);
        return;
    }
    t.suite = (enum poa_vrf_suite)json_integer_value(suite);
    t.sk = poa_vectors_hex(o, "sk");
    t.pk = poa_vectors_hex(o, "pk");
    t.alpha = poa_vectors_hex(o, "alpha");
    t.pi = poa_vectors_hex(o, "pi");
    t.beta = poa_vectors_hex(o, "beta");
    /* A list of flags says it; files without flags hold the RFC's own proofs. */
    t.deterministic =
        has_flag(o, "Deterministic") || json_array_size(json_object_get(o, "flags")) == 0;
    bool valid = result == NULL || strcmp(result, "valid") == 0;

    if (t.pk.p == NULL || t.alpha.p == NULL || t.pi.p == NULL ||
        (!valid && strcmp(result, "invalid") != 0)) {
        poa_vectors_fail(tally, "test %lld: odd: no pk, alpha, pi, or unknown result",
                         (long long)t.id);
    } else if (valid) {
        const char *wrong = check_valid(&t);
        POA_VECTORS_CHECK(tally, wrong == NULL, "test %lld: %s", (long long)t.id, wrong);
    } else {
        int rc = poa_vrf_verify_strings(t.suite, poa_slice(t.pk.p, t.pk.n),
                                        poa_slice(t.alpha.p, t.alpha.n), poa_slice(t.pi.p, t.pi.n),
                                        beta);
        POA_VECTORS_CHECK(tally, rc != POA_OK, "test %lld: an invalid proof was accepted",
                          (long long)t.id);
    }
    poa_vectors_free(&t.sk);
    poa_vectors_free(&t.pk);
    poa_vectors_free(&t.alpha);
    poa_vectors_free(&t.pi);
    poa_vectors_free(&t.beta);
}

bool poa_vectors_vrf(const json_t *root, struct poa_vectors_tally *tally)
{
    const json_t *tests = json_object_get(root, "tests");
    const json_t *first = json_array_get(tests, 0);
    size_t i;
    json_t *o;
    if (json_object_get(first, "pi") == NULL || json_object_get(first, "alpha") == NULL)
        return false;
    json_array_foreach(tests, i, o) run(i, o, tally);
    return true;
}
