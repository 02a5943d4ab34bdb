/* Hash vectors: an array of {hash, in, key, out} (the BLAKE2 reference file), or
 * an object with lists of {msg | repeat and count, key, <name of a hash>: hex}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_crypto.h"
#include "vectors.h"

#define MESSAGE_MAX (64u << 20)

static void kat(size_t i, const json_t *o, struct poa_vectors_tally *tally)
{
    const char *hash = json_string_value(json_object_get(o, "hash"));
    if (hash == NULL) {
        poa_vectors_fail(tally, "test %zu: odd: no hash name", i + 1);
        return;
    }
    if (strcmp(hash, "blake2b") != 0) {
        poa_vectors_skip(tally, "%.40s: not in the product", hash);
        return;
    }
    struct poa_vectors_bytes in = poa_vectors_hex(o, "in"), key = poa_vectors_hex(o, "key"),
                             want = poa_vectors_hex(o, "out");
    uint8_t out[64];
    if (in.p == NULL || want.p == NULL || want.n == 0 || want.n > 64 || key.n > 64) {
        poa_vectors_fail(tally, "test %zu: odd: in, key or out is missing or too long", i + 1);
    } else {
        poa_blake2b(in.p, in.n, key.p, key.n, out, want.n);
        POA_VECTORS_CHECK(tally, poa_vectors_equal(&want, out, want.n), "test %zu: another hash",
                          i + 1);
    }
    poa_vectors_free(&in);
    poa_vectors_free(&key);
    poa_vectors_free(&want);
}

static bool message(const json_t *o, struct poa_vectors_bytes *out)
{
    json_int_t count = json_integer_value(json_object_get(o, "count"));
    if (json_object_get(o, "repeat") == NULL) {
        *out = poa_vectors_hex(o, "msg");
        return out->p != NULL;
    }
    struct poa_vectors_bytes unit = poa_vectors_hex(o, "repeat");
    out->p = NULL;
    if (unit.p != NULL && unit.n > 0 && count > 0 && (size_t)count <= MESSAGE_MAX / unit.n) {
        out->n = unit.n * (size_t)count;
        out->p = malloc(out->n);
        for (size_t at = 0; out->p != NULL && at < out->n; at += unit.n)
            memcpy(out->p + at, unit.p, unit.n);
    }
    poa_vectors_free(&unit);
    return out->p != NULL;
}

/* Digest of MSG by NAME, 0 bytes when the product does not have it. */
static size_t digest(const char *name, const struct poa_vectors_bytes *msg,
                     const struct poa_vectors_bytes *key, uint8_t out[64])
{
    int bits = 0, end = 0;
    if (strcmp(name, "sha256") == 0) {
        poa_sha256(msg->p, msg->n, out);
        return 32;
    }
    if (strcmp(name, "sha512") == 0) {
        struct poa_sha512_state s;
        poa_sha512_init(&s);
        poa_sha512_update(&s, msg->p, msg->n);
        poa_sha512_final(&s, out);
        return 64;
    }
    if (strcmp(name, "hmac_sha256") == 0 && key->p != NULL) {
        poa_hmac_sha256(key->p, key->n, msg->p, msg->n, out);
        return 32;
    }
    if (sscanf(name, "blake2b_%d%n", &bits, &end) != 1 || bits < 8 || bits > 512 || bits % 8 != 0)
        return 0;
    bool keyed = strcmp(name + end, "_keyed") == 0;
    if (keyed ? key->p == NULL || key->n > 64 : name[end] != '\0')
        return 0;
    poa_blake2b(msg->p, msg->n, keyed ? key->p : NULL, keyed ? key->n : 0, out, (size_t)bits / 8);
    return (size_t)bits / 8;
}

static bool is_digest_name(const char *name)
{
    return strncmp(name, "sha", 3) == 0 || strncmp(name, "blake2", 6) == 0 ||
           strncmp(name, "hmac", 4) == 0;
}

/* Each digest of the entry is a case. */
static void entry(const char *list, size_t i, const json_t *o, struct poa_vectors_tally *tally)
{
    struct poa_vectors_bytes msg, key, want;
    const char *name;
    json_t *value;
    uint8_t out[64];
    if (!message(o, &msg)) {
        poa_vectors_fail(tally, "%s %zu: odd: no message", list, i + 1);
        return;
    }
    key = poa_vectors_hex(o, "key");
    json_object_foreach((json_t *)(uintptr_t)o, name, value)
    {
        if (!is_digest_name(name))
            continue;
        size_t n = digest(name, &msg, &key, out);
        if (n == 0) {
            poa_vectors_skip(tally,
                             "%.40s: the product uses it only inside the Noise handshake "
                             "or not at all",
                             name);
            continue;
        }
        want = poa_vectors_hex(o, name);
        POA_VECTORS_CHECK(tally, poa_vectors_equal(&want, out, n), "%s %zu: another %s", list,
                          i + 1, name);
        poa_vectors_free(&want);
    }
    poa_vectors_free(&msg);
    poa_vectors_free(&key);
}

static bool has_digest(const json_t *o)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)o, name, value) if (is_digest_name(name)) return true;
    return false;
}

bool poa_vectors_hash(const json_t *root, struct poa_vectors_tally *tally)
{
    const char *list;
    json_t *value, *o;
    size_t i;
    bool mine = false;
    if (json_is_array(root)) {
        const json_t *first = json_array_get(root, 0);
        if (json_object_get(first, "hash") == NULL || json_object_get(first, "out") == NULL)
            return false;
        json_array_foreach(root, i, o) kat(i, o, tally);
        return true;
    }
    json_object_foreach((json_t *)(uintptr_t)root, list, value)
    {
        if (!has_digest(json_array_get(value, 0)))
            continue;
        mine = true;
        json_array_foreach(value, i, o) entry(list, i, o, tally);
    }
    return mine;
}
