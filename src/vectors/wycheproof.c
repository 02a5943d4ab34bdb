/* Project Wycheproof: {"algorithm", "testGroups": [{type, ..., "tests": [...]}]}.
 * "acceptable" means that an implementation may refuse, but if it answers, the
 * answer must be the one given. */
#include <stdlib.h>
#include <string.h>

#include "poa_crypto.h"
#include "record.h"
#include "vectors.h"

enum result { INVALID, VALID, ACCEPTABLE };

struct test {
    const json_t *group;
    const json_t *o;
    const char *algorithm;
    long long id;
    enum result result;
};

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static void malformed(const struct test *t, struct poa_vectors_tally *tally)
{
    poa_vectors_fail(tally, "test %lld: odd: a field is missing or is not hex", t->id);
}

/* --- Ed25519 ------------------------------------------------------------------ */

static void ed25519(const struct test *t, struct poa_vectors_tally *tally)
{
    const json_t *key = json_object_get(t->group, "publicKey");
    if (key == NULL)
        key = json_object_get(t->group, "key"); /* schema of version 0 */
    if (strcmp(text(key, "curve"), "edwards25519") != 0) {
        poa_vectors_skip(tally, "EdDSA on a curve other than edwards25519: not in the product");
        return;
    }
    struct poa_vectors_bytes pk = poa_vectors_hex(key, "pk"), msg = poa_vectors_hex(t->o, "msg"),
                             sig = poa_vectors_hex(t->o, "sig");
    if (pk.p == NULL || msg.p == NULL || sig.p == NULL) {
        malformed(t, tally);
    } else {
        bool ok = poa_vectors_ed25519_verify(&pk, &msg, &sig);
        POA_VECTORS_CHECK(tally, ok == (t->result == VALID), "test %lld: %s", t->id,
                          ok ? "an invalid signature was accepted"
                             : "a valid signature was refused");
    }
    poa_vectors_free(&pk);
    poa_vectors_free(&msg);
    poa_vectors_free(&sig);
}

/* --- X25519 ------------------------------------------------------------------- */

static void x25519(const struct test *t, struct poa_vectors_tally *tally)
{
    if (strcmp(text(t->group, "curve"), "curve25519") != 0) {
        poa_vectors_skip(tally, "XDH on a curve other than curve25519: not in the product");
        return;
    }
    struct poa_vectors_bytes pk = poa_vectors_hex(t->o, "public"),
                             sk = poa_vectors_hex(t->o, "private"),
                             want = poa_vectors_hex(t->o, "shared");
    uint8_t out[32];
    if (pk.p == NULL || sk.p == NULL || want.p == NULL) {
        malformed(t, tally);
    } else if (pk.n != 32 || sk.n != 32) {
        poa_vectors_skip(tally, "X25519 key that is not 32 bytes: our parameters are");
    } else {
        int rc = poa_x25519(sk.p, pk.p, out);
        bool same = rc == POA_OK && poa_vectors_equal(&want, out, 32);
        POA_VECTORS_CHECK(tally,
                          t->result == VALID        ? same
                          : t->result == ACCEPTABLE ? same || rc == POA_E_KEY
                                                    : !same,
                          "test %lld: the shared secret is %s", t->id,
                          rc == POA_OK ? "another" : "refused");
    }
    poa_vectors_free(&pk);
    poa_vectors_free(&sk);
    poa_vectors_free(&want);
}

/* --- ChaCha20-Poly1305 and XChaCha20-Poly1305 ------------------------------------ */

struct aead {
    struct poa_vectors_bytes key, iv, aad, msg, ct, tag;
    bool extended; /* XChaCha20 */
};

static bool aead_holds(const struct aead *a, enum result result)
{
    const struct poa_slice aad = poa_slice(a->aad.p, a->aad.n);
    size_t n = a->ct.n + a->tag.n;
    uint8_t *sealed = malloc(n + 1), *out = malloc((n > a->msg.n + 16 ? n : a->msg.n + 16) + 1);
    bool ok = false;
    if (sealed != NULL && out != NULL) {
        memcpy(sealed, a->ct.p, a->ct.n);
        memcpy(sealed + a->ct.n, a->tag.p, a->tag.n);
        int rc = a->extended ? poa_xaead_open(a->key.p, a->iv.p, aad, poa_slice(sealed, n), out)
                             : poa_aead_open(a->key.p, a->iv.p, aad, poa_slice(sealed, n), out);
        bool opens = rc == POA_OK && poa_vectors_equal(&a->msg, out, n - 16);
        if (a->extended)
            poa_xaead_seal(a->key.p, a->iv.p, aad, poa_slice(a->msg.p, a->msg.n), out);
        else
            poa_aead_seal(a->key.p, a->iv.p, aad, poa_slice(a->msg.p, a->msg.n), out);
        bool seals = n == a->msg.n + 16 && memcmp(out, sealed, n) == 0;
        ok = result == INVALID ? rc == POA_E_DECRYPT : opens && seals;
    }
    free(sealed);
    free(out);
    return ok;
}

static void aead(const struct test *t, struct poa_vectors_tally *tally)
{
    struct aead a = {
        poa_vectors_hex(t->o, "key"), poa_vectors_hex(t->o, "iv"), poa_vectors_hex(t->o, "aad"),
        poa_vectors_hex(t->o, "msg"), poa_vectors_hex(t->o, "ct"), poa_vectors_hex(t->o, "tag"),
        t->algorithm[0] == 'X',
    };
    if (!a.key.p || !a.iv.p || !a.aad.p || !a.msg.p || !a.ct.p || !a.tag.p)
        malformed(t, tally);
    else if (a.key.n != 32)
        poa_vectors_skip(tally, "AEAD key that is not 32 bytes: our parameters are");
    else if (a.iv.n != (a.extended ? 24 : 12))
        poa_vectors_skip(tally, "AEAD nonce that is not %d bytes: our parameters are",
                         a.extended ? 24 : 12);
    else
        POA_VECTORS_CHECK(tally, aead_holds(&a, t->result), "test %lld: wrong", t->id);
    poa_vectors_free(&a.key);
    poa_vectors_free(&a.iv);
    poa_vectors_free(&a.aad);
    poa_vectors_free(&a.msg);
    poa_vectors_free(&a.ct);
    poa_vectors_free(&a.tag);
}

/* --- HMAC-SHA256 -------------------------------------------------------------- */

static void hmac_sha256(const struct test *t, struct poa_vectors_tally *tally)
{
    struct poa_vectors_bytes key = poa_vectors_hex(t->o, "key"), msg = poa_vectors_hex(t->o, "msg"),
                             tag = poa_vectors_hex(t->o, "tag");
    uint8_t out[32];
    if (key.p == NULL || msg.p == NULL || tag.p == NULL || tag.n > 32) {
        malformed(t, tally);
    } else { /* shorter tags are the front of the whole one */
        poa_hmac_sha256(key.p, key.n, msg.p, msg.n, out);
        bool same = poa_equal_ct(out, tag.p, tag.n);
        POA_VECTORS_CHECK(tally, same == (t->result == VALID), "test %lld: %s", t->id,
                          same ? "a modified tag was accepted" : "another tag");
    }
    poa_vectors_free(&key);
    poa_vectors_free(&msg);
    poa_vectors_free(&tag);
}

/* --- dispatch ------------------------------------------------------------------- */

static void run(const struct test *t, struct poa_vectors_tally *tally)
{
    const char *type = text(t->group, "type"), *a = t->algorithm;
    if (strcmp(type, "EddsaVerify") == 0)
        ed25519(t, tally);
    else if (strcmp(type, "XdhComp") == 0)
        x25519(t, tally);
    else if (strcmp(type, "AeadTest") == 0 &&
             (strcmp(a, "CHACHA20-POLY1305") == 0 || strcmp(a, "XCHACHA20-POLY1305") == 0))
        aead(t, tally);
    else if (strcmp(type, "MacTest") == 0 && strcmp(a, "HMACSHA256") == 0)
        hmac_sha256(t, tally);
    else if (strncmp(a, "ECDSA", 5) == 0)
        poa_vectors_skip(tally, "ECDSA: the product signs with BIP340 and Ed25519 only");
    else if (strncmp(a, "HKDF", 4) == 0)
        poa_vectors_skip(tally, "HKDF with info (RFC 5869): the product has only Noise's, which "
                                "the noise vectors check");
    else
        poa_vectors_skip(tally, "%.40s (%.40s): not in the product", a, type);
}

bool poa_vectors_wycheproof(const json_t *root, struct poa_vectors_tally *tally)
{
    const json_t *groups = json_object_get(root, "testGroups");
    size_t g, i;
    json_t *group, *o;
    if (!json_is_array(groups) || !json_is_string(json_object_get(root, "algorithm")))
        return false;
    json_array_foreach(groups, g, group) json_array_foreach(json_object_get(group, "tests"), i, o)
    {
        const char *result = text(o, "result");
        struct test t = {group, o, text(root, "algorithm"),
                         (long long)json_integer_value(json_object_get(o, "tcId")),
                         strcmp(result, "valid") == 0        ? VALID
                         : strcmp(result, "acceptable") == 0 ? ACCEPTABLE
                                                             : INVALID};
        if (t.result == INVALID && strcmp(result, "invalid") != 0)
            poa_vectors_fail(tally, "test %lld: odd: result \"%s\"", t.id, result);
        else
            run(&t, tally);
    }
    return true;
}
