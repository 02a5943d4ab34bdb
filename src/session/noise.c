/* Noise handshakes: the SymmetricState and HandshakeState of the Noise Protocol
 * Framework, revision 34, sections 5 and 9. */
#include "poa_session.h"

#include <string.h>

const struct poa_noise_pattern poa_noise_ik = {
    "IK",
    false,
    true,
    2,
    {{POA_NOISE_E, POA_NOISE_ES, POA_NOISE_S, POA_NOISE_SS},
     {POA_NOISE_E, POA_NOISE_EE, POA_NOISE_SE}},
};

const struct poa_noise_pattern poa_noise_xx = {
    "XX",
    false,
    false,
    3,
    {{POA_NOISE_E},
     {POA_NOISE_E, POA_NOISE_EE, POA_NOISE_S, POA_NOISE_ES},
     {POA_NOISE_S, POA_NOISE_SE}},
};

/* --- hash, HMAC, HKDF ------------------------------------------------------ */

struct hasher {
    enum poa_noise_hash alg;
    union {
        struct poa_hash_state blake2b;
#if !POA_LEAN
        struct poa_sha256_state sha256;
        struct poa_sha512_state sha512;
#endif
    } u;
};

static size_t hash_len(enum poa_noise_hash alg)
{
    return alg == POA_NOISE_SHA256 ? 32 : 64;
}

static size_t block_len(enum poa_noise_hash alg)
{
    return alg == POA_NOISE_SHA256 ? 64 : 128;
}

#if POA_LEAN

static const char *hash_name(enum poa_noise_hash alg)
{
    (void)alg;
    return "BLAKE2b";
}

static void hasher_init(struct hasher *s, enum poa_noise_hash alg)
{
    s->alg = alg;
    poa_blake2b_512_init(&s->u.blake2b);
}

static void hasher_update(struct hasher *s, const void *bytes, size_t n)
{
    poa_hash_update(&s->u.blake2b, bytes, n);
}

static void hasher_end(struct hasher *s, uint8_t *out)
{
    poa_blake2b_512_final(&s->u.blake2b, out);
}

#else

static const char *hash_name(enum poa_noise_hash alg)
{
    switch (alg) {
    case POA_NOISE_BLAKE2B:
        return "BLAKE2b";
    case POA_NOISE_SHA256:
        return "SHA256";
    case POA_NOISE_SHA512:
        return "SHA512";
    }
    return "";
}

static void hasher_init(struct hasher *s, enum poa_noise_hash alg)
{
    s->alg = alg;
    switch (alg) {
    case POA_NOISE_BLAKE2B:
        poa_blake2b_512_init(&s->u.blake2b);
        return;
    case POA_NOISE_SHA256:
        poa_sha256_init(&s->u.sha256);
        return;
    case POA_NOISE_SHA512:
        poa_sha512_init(&s->u.sha512);
        return;
    }
}

static void hasher_update(struct hasher *s, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    switch (s->alg) {
    case POA_NOISE_BLAKE2B:
        poa_hash_update(&s->u.blake2b, bytes, n);
        return;
    case POA_NOISE_SHA256:
        poa_sha256_update(&s->u.sha256, bytes, n);
        return;
    case POA_NOISE_SHA512:
        poa_sha512_update(&s->u.sha512, bytes, n);
        return;
    }
}

static void hasher_end(struct hasher *s, uint8_t *out)
{
    switch (s->alg) {
    case POA_NOISE_BLAKE2B:
        poa_blake2b_512_final(&s->u.blake2b, out);
        break;
    case POA_NOISE_SHA256:
        poa_sha256_final(&s->u.sha256, out);
        break;
    case POA_NOISE_SHA512:
        poa_sha512_final(&s->u.sha512, out);
        break;
    }
}

#endif

static void hasher_final(struct hasher *s, uint8_t *out)
{
    hasher_end(s, out);
    poa_wipe(s, sizeof *s);
}

/* The key of HMAC, filled up to a block, with every byte changed by FLIP. */
static void hash_pad(struct hasher *s, const uint8_t *key, uint8_t flip)
{
    size_t hashlen = hash_len(s->alg), block = block_len(s->alg), i;
    uint8_t part[16];
    for (i = 0; i < block; i++) {
        part[i % sizeof part] = (uint8_t)((i < hashlen ? key[i] : 0) ^ flip);
        if (i % sizeof part == sizeof part - 1)
            hasher_update(s, part, sizeof part);
    }
    poa_wipe(part, sizeof part);
}

/* HMAC (RFC 2104) with the named hash, for BLAKE2b too: Noise section 4.3. The
 * key is a chaining key or temp_key, so never longer than a block. */
static void hmac(enum poa_noise_hash alg, const uint8_t *key, const void *bytes, size_t n,
                 uint8_t *out)
{
    size_t hashlen = hash_len(alg);
    struct hasher s;
    hasher_init(&s, alg);
    hash_pad(&s, key, 0x36);
    hasher_update(&s, bytes, n);
    hasher_final(&s, out); /* the inner hash; OUT is never the key */
    hasher_init(&s, alg);
    hash_pad(&s, key, 0x5c);
    hasher_update(&s, out, hashlen);
    hasher_final(&s, out);
}

/* HKDF of Noise section 4.3 with COUNT outputs of hash_len bytes; CK may be the
 * first output. */
static void hkdf(enum poa_noise_hash alg, const uint8_t *ck, const uint8_t *ikm, size_t ikm_n,
                 unsigned count, uint8_t *out[3])
{
    size_t hashlen = hash_len(alg);
    uint8_t temp[POA_NOISE_HASH_MAX], t[POA_NOISE_HASH_MAX + 1];
    size_t tn = 0;
    unsigned i;
    hmac(alg, ck, ikm, ikm_n, temp);
    for (i = 0; i < count; i++) {
        t[tn] = (uint8_t)(i + 1);
        hmac(alg, temp, t, tn + 1, out[i]);
        memcpy(t, out[i], hashlen);
        tn = hashlen;
    }
    poa_wipe(temp, sizeof temp);
    poa_wipe(t, sizeof t);
}

/* --- cipher ---------------------------------------------------------------- */

/* Noise section 12.3: 32 zero bits, then the 64-bit counter, little-endian. */
static void nonce_of(uint64_t n, uint8_t nonce[12])
{
    memset(nonce, 0, 4);
    poa_put_le64(nonce + 4, n);
}

int poa_cipher_seal(struct poa_cipher *c, struct poa_slice ad, struct poa_slice plain, uint8_t *out)
{
    uint8_t nonce[12];
    if (c->n == UINT64_MAX)
        return POA_E_REKEY;
    nonce_of(c->n, nonce);
    poa_aead_seal(c->key, nonce, ad, plain, out);
    c->n++;
    return POA_OK;
}

int poa_cipher_open(struct poa_cipher *c, struct poa_slice ad, struct poa_slice cipher,
                    uint8_t *out)
{
    uint8_t nonce[12];
    int rc;
    if (c->n == UINT64_MAX)
        return POA_E_REKEY;
    if (cipher.n < POA_NOISE_TAG_BYTES)
        return POA_E_TRUNCATED;
    nonce_of(c->n, nonce);
    rc = poa_aead_open(c->key, nonce, ad, cipher, out);
    if (rc == POA_OK)
        c->n++;
    return rc;
}

void poa_cipher_rekey(struct poa_cipher *c)
{
    static const uint8_t zeros[32];
    uint8_t nonce[12], out[32 + POA_NOISE_TAG_BYTES];
    nonce_of(UINT64_MAX, nonce);
    poa_aead_seal(c->key, nonce, poa_slice(NULL, 0), poa_slice(zeros, sizeof zeros), out);
    memcpy(c->key, out, sizeof c->key);
    poa_wipe(out, sizeof out);
}

/* --- symmetric state ------------------------------------------------------- */

static enum poa_noise_hash alg_of(const struct poa_noise *n)
{
    return POA_LEAN ? POA_NOISE_BLAKE2B : (enum poa_noise_hash)n->hash;
}

static unsigned psk_slots(const struct poa_noise *n)
{
    return POA_LEAN ? 0U : n->psk_slots;
}

static void mix_hash(struct poa_noise *n, const void *bytes, size_t size)
{
    struct hasher s;
    hasher_init(&s, alg_of(n));
    hasher_update(&s, n->h, hash_len(alg_of(n)));
    hasher_update(&s, bytes, size);
    hasher_final(&s, n->h);
}

static void set_key(struct poa_noise *n, const uint8_t *temp_k)
{
    memcpy(n->cipher.key, temp_k, sizeof n->cipher.key);
    n->cipher.n = 0;
    n->keyed = true;
}

static void mix_key(struct poa_noise *n, const uint8_t ikm32[32])
{
    uint8_t temp_k[POA_NOISE_HASH_MAX];
    uint8_t *out[3] = {n->ck, temp_k, NULL};
    hkdf(alg_of(n), n->ck, ikm32, 32, 2, out);
    set_key(n, temp_k);
    poa_wipe(temp_k, sizeof temp_k);
}

static void mix_key_and_hash(struct poa_noise *n, const uint8_t psk32[32])
{
    uint8_t temp_h[POA_NOISE_HASH_MAX], temp_k[POA_NOISE_HASH_MAX];
    uint8_t *out[3] = {n->ck, temp_h, temp_k};
    hkdf(alg_of(n), n->ck, psk32, 32, 3, out);
    mix_hash(n, temp_h, hash_len(alg_of(n)));
    set_key(n, temp_k);
    poa_wipe(temp_h, sizeof temp_h);
    poa_wipe(temp_k, sizeof temp_k);
}

static struct poa_slice transcript(const struct poa_noise *n)
{
    return poa_slice(n->h, hash_len(alg_of(n)));
}

/* The caller has checked that OUT has room. */
static int encrypt_and_hash(struct poa_noise *n, struct poa_slice plain, struct poa_writer *out)
{
    uint8_t *at = out->p + out->n;
    size_t size = plain.n + (n->keyed ? POA_NOISE_TAG_BYTES : 0);
    if (n->keyed) {
        int rc = poa_cipher_seal(&n->cipher, transcript(n), plain, at);
        if (rc != POA_OK)
            return rc;
    } else if (plain.n > 0) {
        memcpy(at, plain.p, plain.n);
    }
    out->n += size;
    mix_hash(n, at, size);
    return POA_OK;
}

/* OUT takes the text of a CIPHER that is long enough for it. */
static int decrypt_and_hash(struct poa_noise *n, struct poa_slice cipher, uint8_t *out)
{
    /* The hash covers the cipher text, which OUT may overwrite: hash it first,
     * but authenticate under the transcript as it was. */
    uint8_t before[POA_NOISE_HASH_MAX];
    size_t hashlen = hash_len(alg_of(n));
    int rc = POA_OK;
    memcpy(before, n->h, hashlen);
    mix_hash(n, cipher.p, cipher.n);
    if (n->keyed)
        rc = poa_cipher_open(&n->cipher, poa_slice(before, hashlen), cipher, out);
    else if (cipher.n > 0)
        memmove(out, cipher.p, cipher.n);
    return rc;
}

/* --- handshake state ------------------------------------------------------- */

static bool has_token(const struct poa_noise_pattern *p, unsigned from, enum poa_noise_token t)
{
    unsigned m, i;
    for (m = from; m < p->messages; m += 2)
        for (i = 0; p->token[m][i] != POA_NOISE_END; i++)
            if (p->token[m][i] == t)
                return true;
    return false;
}

static void write_text(struct poa_writer *w, const char *text)
{
    poa_write(w, text, strlen(text));
}

/* Noise_IKpsk1+psk2_25519_ChaChaPoly_BLAKE2b, hashed when longer than a hash. */
static void start_transcript(struct poa_noise *n)
{
    uint8_t name[96];
    struct poa_writer w = poa_writer_over(name, sizeof name);
    size_t hashlen = hash_len(alg_of(n));
    bool first = true;
    unsigned slot;
    write_text(&w, "Noise_");
    write_text(&w, n->pattern->name);
    for (slot = 0; slot <= POA_NOISE_MESSAGES; slot++) {
        if ((psk_slots(n) >> slot & 1) == 0)
            continue;
        write_text(&w, first ? "psk" : "+psk");
        poa_write_u8(&w, (uint8_t)('0' + slot));
        first = false;
    }
    write_text(&w, "_25519_ChaChaPoly_");
    write_text(&w, hash_name(alg_of(n)));
    memset(n->h, 0, sizeof n->h);
    if (w.n <= hashlen) {
        memcpy(n->h, name, w.n);
    } else {
        struct hasher s;
        hasher_init(&s, alg_of(n));
        hasher_update(&s, name, w.n);
        hasher_final(&s, n->h);
    }
    memcpy(n->ck, n->h, sizeof n->ck);
}

int poa_noise_init(struct poa_noise *n, const struct poa_noise_config *config)
{
    static const uint8_t zeros[32];
    const struct poa_noise_pattern *p = config->pattern;
    bool mine_known = config->initiator ? p->knows_initiator : p->knows_responder;
    bool theirs_known = config->initiator ? p->knows_responder : p->knows_initiator;
    unsigned mine = config->initiator ? 0 : 1;
    if (POA_LEAN && (config->hash != POA_NOISE_BLAKE2B || config->psk_slots != 0))
        return POA_E_UNSUPPORTED;
    if (config->ephemeral32 == NULL || (unsigned)config->psk_slots >> (p->messages + 1U) != 0 ||
        (config->psk_slots != 0 && config->psk32 == NULL))
        return POA_E_INVALID;
    if (config->static_sk32 == NULL && (mine_known || has_token(p, mine, POA_NOISE_S)))
        return POA_E_INVALID;
    if (theirs_known && config->remote_pk32 == NULL)
        return POA_E_INVALID;
    if (theirs_known && poa_equal_ct(config->remote_pk32, zeros, sizeof zeros))
        return POA_E_KEY;

    memset(n, 0, sizeof *n);
    n->pattern = p;
    n->hash = (uint8_t)config->hash;
    n->initiator = config->initiator;
    n->psk_slots = config->psk_slots;
    n->psk32 = config->psk32;
    memcpy(n->e_sk, config->ephemeral32, sizeof n->e_sk);
    if (config->static_sk32 != NULL) {
        memcpy(n->s_sk, config->static_sk32, sizeof n->s_sk);
        if (config->static_pk32 != NULL)
            memcpy(n->s_pk, config->static_pk32, sizeof n->s_pk);
        else
            poa_x25519_public(n->s_sk, n->s_pk);
    }
    if (theirs_known) {
        n->have_rs = true;
        memcpy(n->rs, config->remote_pk32, sizeof n->rs);
    }
    start_transcript(n);
    mix_hash(n, config->prologue.p, config->prologue.n);
    if (p->knows_initiator)
        mix_hash(n, n->initiator ? n->s_pk : n->rs, 32);
    if (p->knows_responder)
        mix_hash(n, n->initiator ? n->rs : n->s_pk, 32);
    return POA_OK;
}

bool poa_noise_done(const struct poa_noise *n)
{
    return !n->failed && n->pattern != NULL && n->step == n->pattern->messages;
}

bool poa_noise_my_turn(const struct poa_noise *n)
{
    return !n->failed && n->step < n->pattern->messages && (n->step % 2 == 0) == n->initiator;
}

size_t poa_noise_message_size(const struct poa_noise *n, size_t payload_n)
{
    size_t size = payload_n;
    bool keyed = n->keyed;
    const uint8_t *t;
    if (n->failed || n->step >= n->pattern->messages)
        return 0;
    if (n->step == 0 && (psk_slots(n) & 1) != 0)
        keyed = true;
    for (t = n->pattern->token[n->step]; *t != POA_NOISE_END; t++) {
        if (*t == POA_NOISE_E) {
            size += 32;
            keyed = keyed || psk_slots(n) != 0;
        } else if (*t == POA_NOISE_S) {
            size += 32U + (keyed ? POA_NOISE_TAG_BYTES : 0);
        } else {
            keyed = true;
        }
    }
    if ((psk_slots(n) >> (n->step + 1) & 1) != 0)
        keyed = true;
    return size + (keyed ? POA_NOISE_TAG_BYTES : 0);
}

/* The key for SLOT is number k when k lower slots are set. */
static void mix_psk(struct poa_noise *n, unsigned slot)
{
    unsigned index = 0, i;
    if ((psk_slots(n) >> slot & 1) == 0)
        return;
    for (i = 0; i < slot; i++)
        index += psk_slots(n) >> i & 1U;
    mix_key_and_hash(n, n->psk32 + (size_t)index * 32);
}

static int mix_dh(struct poa_noise *n, enum poa_noise_token t)
{
    bool local_e = t == POA_NOISE_EE || (t == POA_NOISE_ES) == n->initiator;
    bool remote_e = t == POA_NOISE_EE || (t == POA_NOISE_SE) == n->initiator;
    uint8_t shared[32];
    int rc;
    if (t == POA_NOISE_SS)
        local_e = remote_e = false;
    rc = poa_x25519(local_e ? n->e_sk : n->s_sk, remote_e ? n->re : n->rs, shared);
    if (rc == POA_OK)
        mix_key(n, shared);
    poa_wipe(shared, sizeof shared);
    return rc;
}

static void mix_e(struct poa_noise *n, const uint8_t e32[32])
{
    mix_hash(n, e32, 32);
    /* Section 9.2: with a pre-shared key the ephemeral randomises the keys. */
    if (psk_slots(n) != 0)
        mix_key(n, e32);
}

static int write_token(struct poa_noise *n, enum poa_noise_token t, struct poa_writer *out)
{
    switch (t) {
    case POA_NOISE_END:
        return POA_OK;
    case POA_NOISE_E:
        poa_x25519_public(n->e_sk, out->p + out->n);
        mix_e(n, out->p + out->n);
        out->n += 32;
        return POA_OK;
    case POA_NOISE_S:
        return encrypt_and_hash(n, poa_slice(n->s_pk, sizeof n->s_pk), out);
    case POA_NOISE_EE:
    case POA_NOISE_ES:
    case POA_NOISE_SE:
    case POA_NOISE_SS:
        return mix_dh(n, t);
    }
    return POA_E_INVALID;
}

/* Nothing secret is left in a dead handshake. */
static int dead(struct poa_noise *n, int rc)
{
    poa_noise_wipe(n);
    n->failed = true;
    return rc;
}

int poa_noise_write(struct poa_noise *n, struct poa_slice payload, struct poa_writer *out)
{
    const uint8_t *t;
    size_t size;
    int rc;
    if (!poa_noise_my_turn(n))
        return POA_E_INVALID;
    size = poa_noise_message_size(n, payload.n);
    if (payload.n > POA_NOISE_MESSAGE_MAX || size > POA_NOISE_MESSAGE_MAX)
        return POA_E_TOO_LONG;
    if (out->overflow || out->cap - out->n < size)
        return POA_E_BUFFER;
    if (n->step == 0)
        mix_psk(n, 0);
    for (t = n->pattern->token[n->step]; *t != POA_NOISE_END; t++) {
        rc = write_token(n, (enum poa_noise_token) * t, out);
        if (rc != POA_OK)
            return dead(n, rc);
    }
    mix_psk(n, n->step + 1U);
    rc = encrypt_and_hash(n, payload, out);
    if (rc != POA_OK)
        return dead(n, rc);
    n->step++;
    return POA_OK;
}

/* The caller has checked that IN is long enough for every token. */
static int read_token(struct poa_noise *n, enum poa_noise_token t, struct poa_slice *in)
{
    size_t take;
    int rc;
    switch (t) {
    case POA_NOISE_END:
        return POA_OK;
    case POA_NOISE_E:
        memcpy(n->re, in->p, sizeof n->re);
        in->p += 32;
        in->n -= 32;
        mix_e(n, n->re);
        return POA_OK;
    case POA_NOISE_S:
        take = 32U + (n->keyed ? POA_NOISE_TAG_BYTES : 0);
        rc = decrypt_and_hash(n, poa_slice(in->p, take), n->rs);
        if (rc != POA_OK)
            return rc;
        n->have_rs = true;
        in->p += take;
        in->n -= take;
        return POA_OK;
    case POA_NOISE_EE:
    case POA_NOISE_ES:
    case POA_NOISE_SE:
    case POA_NOISE_SS:
        return mix_dh(n, t);
    }
    return POA_E_INVALID;
}

int poa_noise_read(struct poa_noise *n, struct poa_slice message, struct poa_writer *payload)
{
    const uint8_t *t;
    size_t least, size;
    int rc;
    if (n->failed || n->step >= n->pattern->messages || poa_noise_my_turn(n))
        return POA_E_INVALID;
    least = poa_noise_message_size(n, 0);
    if (message.n < least)
        return dead(n, POA_E_TRUNCATED);
    if (message.n > POA_NOISE_MESSAGE_MAX)
        return dead(n, POA_E_TOO_LONG);
    size = message.n - least;
    if (payload->overflow || payload->cap - payload->n < size)
        return POA_E_BUFFER;
    if (n->step == 0)
        mix_psk(n, 0);
    for (t = n->pattern->token[n->step]; *t != POA_NOISE_END; t++) {
        rc = read_token(n, (enum poa_noise_token) * t, &message);
        if (rc != POA_OK)
            return dead(n, rc);
    }
    mix_psk(n, n->step + 1U);
    rc = decrypt_and_hash(n, message, payload->p + payload->n);
    if (rc != POA_OK)
        return dead(n, rc);
    payload->n += size;
    n->step++;
    return POA_OK;
}

const uint8_t *poa_noise_remote(const struct poa_noise *n)
{
    return n->have_rs ? n->rs : NULL;
}

struct poa_slice poa_noise_transcript(const struct poa_noise *n)
{
    return transcript(n);
}

int poa_noise_split(const struct poa_noise *n, struct poa_cipher *send, struct poa_cipher *receive)
{
    uint8_t k1[POA_NOISE_HASH_MAX], k2[POA_NOISE_HASH_MAX];
    uint8_t *out[3] = {k1, k2, NULL};
    if (!poa_noise_done(n))
        return POA_E_INVALID;
    hkdf(alg_of(n), n->ck, NULL, 0, 2, out);
    memcpy(send->key, n->initiator ? k1 : k2, sizeof send->key);
    memcpy(receive->key, n->initiator ? k2 : k1, sizeof receive->key);
    send->n = receive->n = 0;
    poa_wipe(k1, sizeof k1);
    poa_wipe(k2, sizeof k2);
    return POA_OK;
}

void poa_noise_wipe(struct poa_noise *n)
{
    poa_wipe(n, sizeof *n);
}
