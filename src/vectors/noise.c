/* Noise vectors in the cacophony/snow JSON form: both sides of every handshake
 * are replayed, every message both ways, then the transport messages and the
 * handshake hash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_session.h"
#include "vectors.h"

#define PSKS_MAX (POA_NOISE_MESSAGES + 1)

struct protocol {
    const struct poa_noise_pattern *pattern;
    enum poa_noise_hash hash;
    uint8_t psk_slots;
};

/* The field between two underscores, or the rest. */
static const char *field(const char **at, size_t *n)
{
    const char *start = *at;
    *n = strcspn(start, "_");
    *at = start[*n] == '_' ? start + *n + 1 : start + *n;
    return start;
}

static bool is(const char *p, size_t n, const char *text)
{
    return strlen(text) == n && memcmp(p, text, n) == 0;
}

/* NULL, or why the product does not speak NAME. */
static const char *parse(const char *name, struct protocol *out, char *reason, size_t reason_n)
{
    const char *at = name, *p;
    size_t n, base;
    memset(out, 0, sizeof *out);
    p = field(&at, &n);
    if (!is(p, n, "Noise"))
        return "not a Noise protocol name";
    p = field(&at, &n);
    base = 0;
    while (base < n && p[base] >= 'A' && p[base] <= 'Z')
        base++;
    out->pattern = poa_noise_pattern_find(p, base);
    if (out->pattern == NULL) {
        snprintf(reason, reason_n, "pattern %.*s is not fundamental", (int)base, p);
        return reason;
    }
    for (p += base, n -= base; n > 0;) {
        if (n < 4 || memcmp(p, "psk", 3) != 0 || p[3] < '0' || p[3] > '0' + out->pattern->messages)
            return "pattern modifier other than psk";
        out->psk_slots |= (uint8_t)(1U << (p[3] - '0'));
        p += 4;
        n -= 4;
        if (n > 0 && *p == '+') {
            p++;
            n--;
        }
    }
    p = field(&at, &n);
    if (!is(p, n, "25519")) {
        snprintf(reason, reason_n, "key agreement %.*s is not in the product", (int)n, p);
        return reason;
    }
    p = field(&at, &n);
    if (!is(p, n, "ChaChaPoly")) {
        snprintf(reason, reason_n, "cipher %.*s is not in the product", (int)n, p);
        return reason;
    }
    p = field(&at, &n);
    if (is(p, n, "BLAKE2b"))
        out->hash = POA_NOISE_BLAKE2B;
    else if (is(p, n, "SHA256"))
        out->hash = POA_NOISE_SHA256;
    else if (is(p, n, "SHA512"))
        out->hash = POA_NOISE_SHA512;
    else {
        snprintf(reason, reason_n, "hash %.*s is not in the product", (int)n, p);
        return reason;
    }
    return NULL;
}

/* A 32-byte key; NULL when it is absent. */
static const uint8_t *key32(const struct poa_vectors_bytes *b)
{
    return b->p != NULL && b->n == 32 ? b->p : NULL;
}

/* The keys of one side, and what it sends. */
struct side {
    struct poa_vectors_bytes prologue, e, s, rs;
    uint8_t psk[PSKS_MAX][32];
    struct poa_noise noise;
    struct poa_cipher send, receive;
};

static bool load_psks(const json_t *list, uint8_t slots, uint8_t psk[PSKS_MAX][32])
{
    size_t want = 0, i;
    for (i = 0; i < PSKS_MAX; i++)
        want += (unsigned)slots >> i & 1U;
    if (json_array_size(list) != want)
        return want == 0 && list == NULL;
    for (i = 0; i < want; i++) {
        struct poa_vectors_bytes b = poa_vectors_unhex(json_string_value(json_array_get(list, i)));
        bool ok = key32(&b) != NULL;
        if (ok)
            memcpy(psk[i], b.p, 32);
        poa_vectors_free(&b);
        if (!ok)
            return false;
    }
    return true;
}

static int load_side(const json_t *v, const struct protocol *proto, bool initiator, struct side *s)
{
    const char *role = initiator ? "init" : "resp";
    char key[32];
    struct poa_noise_config config;
    memset(s, 0, sizeof *s);
#define LOAD(member, name)                                                                         \
    snprintf(key, sizeof key, "%s_" name, role);                                                   \
    s->member = poa_vectors_hex(v, key)
    LOAD(prologue, "prologue");
    LOAD(e, "ephemeral");
    LOAD(s, "static");
    LOAD(rs, "remote_static");
#undef LOAD
    snprintf(key, sizeof key, "%s_psks", role);
    if (!load_psks(json_object_get(v, key), proto->psk_slots, s->psk))
        return POA_E_INVALID;
    memset(&config, 0, sizeof config);
    config.pattern = proto->pattern;
    config.hash = proto->hash;
    config.initiator = initiator;
    config.psk_slots = proto->psk_slots;
    config.psk32 = s->psk[0];
    config.prologue = poa_slice(s->prologue.p, s->prologue.n);
    config.static_sk32 = key32(&s->s);
    config.remote_pk32 = key32(&s->rs);
    config.ephemeral32 = key32(&s->e);
    return poa_noise_init(&s->noise, &config);
}

static void free_side(struct side *s)
{
    poa_vectors_free(&s->prologue);
    poa_vectors_free(&s->e);
    poa_vectors_free(&s->s);
    poa_vectors_free(&s->rs);
}

/* Sends PAYLOAD from FROM to TO; what was wrong, or NULL. */
static const char *exchange(struct side *from, struct side *to,
                            const struct poa_vectors_bytes *payload,
                            const struct poa_vectors_bytes *want)
{
    size_t cap = payload->n + 256;
    uint8_t *sent = malloc(cap), *got = malloc(cap);
    struct poa_slice plain = poa_slice(payload->p, payload->n);
    struct poa_writer w, r;
    const char *wrong = NULL;
    if (sent == NULL || got == NULL) {
        free(sent);
        free(got);
        return "out of memory";
    }
    w = poa_writer_over(sent, cap);
    r = poa_writer_over(got, cap);
    if (!poa_noise_done(&from->noise)) {
        if (poa_noise_write(&from->noise, plain, &w) != POA_OK)
            wrong = "handshake message refused by its writer";
        else if (!poa_vectors_equal(want, sent, w.n))
            wrong = "handshake message differs";
        else if (poa_noise_read(&to->noise, poa_written(&w), &r) != POA_OK)
            wrong = "handshake message refused by its reader";
    } else {
        if (poa_cipher_seal(&from->send, poa_slice(NULL, 0), plain, sent) != POA_OK)
            wrong = "transport message refused by its writer";
        w.n = plain.n + POA_NOISE_TAG_BYTES;
        if (wrong == NULL && !poa_vectors_equal(want, sent, w.n))
            wrong = "transport message differs";
        else if (wrong == NULL &&
                 poa_cipher_open(&to->receive, poa_slice(NULL, 0), poa_written(&w), got) != POA_OK)
            wrong = "transport message refused by its reader";
        r.n = plain.n;
    }
    if (wrong == NULL && !poa_vectors_equal(payload, got, r.n))
        wrong = "payload differs";
    free(sent);
    free(got);
    return wrong;
}

static const char *replay(const json_t *v, const struct protocol *proto, struct side *init,
                          struct side *resp)
{
    struct poa_vectors_bytes hash;
    const json_t *message;
    size_t i;
    bool one_way = proto->pattern->messages == 1;
    if (load_side(v, proto, true, init) != POA_OK || load_side(v, proto, false, resp) != POA_OK)
        return "a key is missing or bad";
    json_array_foreach(json_object_get(v, "messages"), i, message)
    {
        struct poa_vectors_bytes payload = poa_vectors_hex(message, "payload");
        struct poa_vectors_bytes want = poa_vectors_hex(message, "ciphertext");
        bool forth = one_way || i % 2 == 0;
        const char *wrong = payload.p == NULL || want.p == NULL ? "message is not hex" : NULL;
        if (wrong == NULL)
            wrong = forth ? exchange(init, resp, &payload, &want)
                          : exchange(resp, init, &payload, &want);
        poa_vectors_free(&payload);
        poa_vectors_free(&want);
        if (wrong != NULL)
            return wrong;
        if (i + 1 == proto->pattern->messages &&
            (poa_noise_split(&init->noise, &init->send, &init->receive) != POA_OK ||
             poa_noise_split(&resp->noise, &resp->send, &resp->receive) != POA_OK))
            return "handshake does not end";
    }
    if (!poa_noise_done(&init->noise) || !poa_noise_done(&resp->noise))
        return "handshake is not finished by the messages";
    if (json_object_get(v, "handshake_hash") != NULL) {
        struct poa_slice mine = poa_noise_transcript(&init->noise);
        struct poa_slice theirs = poa_noise_transcript(&resp->noise);
        bool same;
        hash = poa_vectors_hex(v, "handshake_hash");
        same = poa_vectors_equal(&hash, mine.p, mine.n) &&
               poa_vectors_equal(&hash, theirs.p, theirs.n);
        poa_vectors_free(&hash);
        if (!same)
            return "handshake hash differs";
    }
    return NULL;
}

static const char *protocol_name(const json_t *v)
{
    const char *name = json_string_value(json_object_get(v, "protocol_name"));
    return name != NULL ? name : json_string_value(json_object_get(v, "name"));
}

bool poa_vectors_noise(const json_t *root, struct poa_vectors_tally *t)
{
    const json_t *list = json_object_get(root, "vectors"), *v;
    const json_t *first = json_array_get(list, 0);
    size_t i;
    if (first == NULL || protocol_name(first) == NULL || json_object_get(first, "messages") == NULL)
        return false;
    json_array_foreach(list, i, v)
    {
        struct protocol proto;
        struct side init, resp;
        char reason[80];
        const char *name = protocol_name(v), *why;
        if (name == NULL) {
            poa_vectors_fail(t, "vector %zu has no protocol name", i);
            continue;
        }
        why = parse(name, &proto, reason, sizeof reason);
        if (why != NULL) {
            poa_vectors_skip(t, "%s", why);
            continue;
        }
        memset(&init, 0, sizeof init);
        memset(&resp, 0, sizeof resp);
        why = replay(v, &proto, &init, &resp);
        POA_VECTORS_CHECK(t, why == NULL, "vector %zu, %s: %s", i, name, why);
        free_side(&init);
        free_side(&resp);
    }
    return true;
}
