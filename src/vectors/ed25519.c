/* Ed25519 vectors: {"tests": [...]} of {sk, pk, msg, sig} in hex (RFC 8032,
 * sign.input), or of {key, sig, msg as text, expect: {strict}} (C2SP CCTV: points
 * of small order and other spellings). */
#include "poa_codec.h"
#include "poa_crypto.h"
#include "record.h"
#include "vectors.h"

#include <string.h>

#define KEY_TABLE(F) F(FIX, b, 32, _, "public key")
#define SIG_TABLE(F) F(FIX, b, 64, _, "signature")
POA_RECORD_DECLARE(vector_key, KEY_TABLE)
POA_RECORD_DECLARE(vector_sig, SIG_TABLE)
#define F(k, n, m, s, d) POA_FIELD_ROW_(vector_key, k, n, m, s, d)
POA_RECORD_DEFINE(vector_key, KEY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(vector_sig, k, n, m, s, d)
POA_RECORD_DEFINE(vector_sig, SIG_TABLE)
#undef F

bool poa_vectors_ed25519_verify(const struct poa_vectors_bytes *pk,
                                const struct poa_vectors_bytes *msg,
                                const struct poa_vectors_bytes *sig)
{
    struct poa_vector_key key;
    struct poa_vector_sig s;
    return poa_vector_key_decode(poa_slice(pk->p, pk->n), &key) == POA_OK &&
           poa_vector_sig_decode(poa_slice(sig->p, sig->n), &s) == POA_OK &&
           poa_ed25519_verify(key.b, msg->p, msg->n, s.b) == POA_OK;
}

static void sign_and_verify(size_t i, const json_t *o, struct poa_vectors_tally *tally)
{
    struct poa_vectors_bytes sk = poa_vectors_hex(o, "sk"), pk = poa_vectors_hex(o, "pk"),
                             msg = poa_vectors_hex(o, "msg"), sig = poa_vectors_hex(o, "sig");
    uint8_t public[32], out[64];
    const char *wrong = NULL;
    if (sk.p == NULL || sk.n != 32 || pk.p == NULL || msg.p == NULL || sig.p == NULL) {
        wrong = "odd: sk, pk, msg or sig is missing";
    } else {
        poa_ed25519_public(sk.p, public);
        poa_ed25519_sign(sk.p, public, msg.p, msg.n, out);
        if (!poa_vectors_equal(&pk, public, 32))
            wrong = "another public key";
        else if (!poa_vectors_equal(&sig, out, 64))
            wrong = "another signature";
        else if (!poa_vectors_ed25519_verify(&pk, &msg, &sig))
            wrong = "a valid signature was refused";
    }
    POA_VECTORS_CHECK(tally, wrong == NULL, "test %zu: %s", i + 1, wrong);
    poa_vectors_free(&sk);
    poa_vectors_free(&pk);
    poa_vectors_free(&msg);
    poa_vectors_free(&sig);
}

static void edge_case(size_t i, const json_t *o, struct poa_vectors_tally *tally)
{
    const json_t *strict = json_object_get(json_object_get(o, "expect"), "strict");
    const char *text = json_string_value(json_object_get(o, "msg"));
    if (strict == NULL) {
        poa_vectors_skip(tally, "no expect.strict: which rule decides is not stated");
        return;
    }
    struct poa_vectors_bytes pk = poa_vectors_hex(o, "key"), sig = poa_vectors_hex(o, "sig"), msg;
    if (pk.p == NULL || sig.p == NULL || text == NULL || !json_is_boolean(strict)) {
        poa_vectors_fail(tally, "test %zu: odd: key, sig, msg or expect.strict is missing", i + 1);
    } else {
        msg.p = (uint8_t *)(uintptr_t)text;
        msg.n = strlen(text);
        bool ok = poa_vectors_ed25519_verify(&pk, &msg, &sig);
        POA_VECTORS_CHECK(tally, ok == json_is_true(strict),
                          "test %zu: %s, against the strict rule", i + 1,
                          ok ? "accepted" : "refused");
    }
    poa_vectors_free(&pk);
    poa_vectors_free(&sig);
}

bool poa_vectors_ed25519(const json_t *root, struct poa_vectors_tally *tally)
{
    const json_t *tests = json_is_array(root) ? root : json_object_get(root, "tests");
    const json_t *first = json_array_get(tests, 0);
    bool full = json_object_get(first, "sk") != NULL && json_object_get(first, "pk") != NULL;
    bool edge = json_object_get(first, "key") != NULL;
    size_t i;
    json_t *o;
    if (json_object_get(first, "sig") == NULL || json_object_get(first, "msg") == NULL ||
        (!full && !edge))
        return false;
    json_array_foreach(tests, i, o)
    {
        if (json_object_get(o, "sk") != NULL)
            sign_and_verify(i, o, tally);
        else
            edge_case(i, o, tally);
    }
    return true;
}
