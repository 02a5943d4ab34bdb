#include "poa_crypto.h"

#include <sodium.h>
#include <string.h>

/* A compile-time check that C99 knows. */
#define STATIC_CHECK(name, cond) typedef char static_check_##name[(cond) ? 1 : -1]

STATIC_CHECK(hash_size, sizeof(crypto_generichash_blake2b_state) <= sizeof(struct poa_hash_state));
STATIC_CHECK(sha512_size, sizeof(crypto_hash_sha512_state) <= sizeof(struct poa_sha512_state));
STATIC_CHECK(sha256_size, sizeof(crypto_hash_sha256_state) <= sizeof(struct poa_sha256_state));
STATIC_CHECK(hash_bytes, POA_HASH_BYTES <= crypto_generichash_blake2b_BYTES_MAX);
STATIC_CHECK(personal, crypto_generichash_blake2b_PERSONALBYTES == 16);

static const uint8_t domains[POA_DOMAIN_COUNT][16] = {
#define DOMAIN_ROW(name, tag) tag,
    POA_DOMAINS(DOMAIN_ROW)
#undef DOMAIN_ROW
};

int poa_crypto_init(void)
{
    return sodium_init() < 0 ? POA_E_SELFTEST : POA_OK;
}

/* --- hashes ---------------------------------------------------------------- */

static crypto_generichash_blake2b_state *blake2b_state(struct poa_hash_state *s)
{
    return (crypto_generichash_blake2b_state *)(void *)s->opaque;
}

void poa_hash_init(struct poa_hash_state *s, enum poa_domain domain)
{
    POA_ASSERT((unsigned)domain < POA_DOMAIN_COUNT);
    int rc = crypto_generichash_blake2b_init_salt_personal(blake2b_state(s), NULL, 0,
                                                           POA_HASH_BYTES, NULL, domains[domain]);
    POA_ASSERT(rc == 0);
}

void poa_hash_update(struct poa_hash_state *s, const void *bytes, size_t n)
{
    if (n > 0)
        crypto_generichash_blake2b_update(blake2b_state(s), bytes, n);
}

void poa_hash_final(struct poa_hash_state *s, uint8_t out32[32])
{
    crypto_generichash_blake2b_final(blake2b_state(s), out32, POA_HASH_BYTES);
}

void poa_hash(enum poa_domain domain, const void *bytes, size_t n, uint8_t out32[32])
{
    poa_hash2(domain, bytes, n, NULL, 0, out32);
}

void poa_hash2(enum poa_domain domain, const void *a, size_t an, const void *b, size_t bn,
               uint8_t out32[32])
{
    struct poa_hash_state s;
    poa_hash_init(&s, domain);
    poa_hash_update(&s, a, an);
    poa_hash_update(&s, b, bn);
    poa_hash_final(&s, out32);
}

void poa_blake2b(const void *bytes, size_t n, const void *key, size_t key_n, uint8_t *out,
                 size_t out_n)
{
    int rc = crypto_generichash_blake2b(out, out_n, bytes, n, key, key_n);
    POA_ASSERT(rc == 0);
}

void poa_blake2b_512_init(struct poa_hash_state *s)
{
    int rc = crypto_generichash_blake2b_init(blake2b_state(s), NULL, 0, 64);
    POA_ASSERT(rc == 0);
}

void poa_blake2b_512_final(struct poa_hash_state *s, uint8_t out64[64])
{
    crypto_generichash_blake2b_final(blake2b_state(s), out64, 64);
}

void poa_siphash(const uint8_t key16[16], const void *bytes, size_t n, uint8_t out16[16])
{
    crypto_shorthash_siphashx24(out16, bytes, n, key16);
}

void poa_sha256(const void *bytes, size_t n, uint8_t out32[32])
{
    crypto_hash_sha256(out32, bytes, n);
}

static crypto_hash_sha256_state *sha256_state(struct poa_sha256_state *s)
{
    return (crypto_hash_sha256_state *)(void *)s->opaque;
}

void poa_sha256_init(struct poa_sha256_state *s)
{
    crypto_hash_sha256_init(sha256_state(s));
}

void poa_sha256_update(struct poa_sha256_state *s, const void *bytes, size_t n)
{
    if (n > 0)
        crypto_hash_sha256_update(sha256_state(s), bytes, n);
}

void poa_sha256_final(struct poa_sha256_state *s, uint8_t out32[32])
{
    crypto_hash_sha256_final(sha256_state(s), out32);
}

static crypto_hash_sha512_state *sha512_state(struct poa_sha512_state *s)
{
    return (crypto_hash_sha512_state *)(void *)s->opaque;
}

void poa_sha512_init(struct poa_sha512_state *s)
{
    crypto_hash_sha512_init(sha512_state(s));
}

void poa_sha512_update(struct poa_sha512_state *s, const void *bytes, size_t n)
{
    if (n > 0)
        crypto_hash_sha512_update(sha512_state(s), bytes, n);
}

void poa_sha512_final(struct poa_sha512_state *s, uint8_t out64[64])
{
    crypto_hash_sha512_final(sha512_state(s), out64);
}

void poa_hmac_sha256(const void *key, size_t key_n, const void *bytes, size_t n, uint8_t out32[32])
{
    crypto_auth_hmacsha256_state s;
    crypto_auth_hmacsha256_init(&s, key, key_n);
    if (n > 0)
        crypto_auth_hmacsha256_update(&s, bytes, n);
    crypto_auth_hmacsha256_final(&s, out32);
    sodium_memzero(&s, sizeof s);
}

/* --- Ed25519 and X25519 ---------------------------------------------------- */

void poa_ed25519_public(const uint8_t seed32[32], uint8_t pk32[32])
{
    uint8_t sk[64];
    crypto_sign_ed25519_seed_keypair(pk32, sk, seed32);
    sodium_memzero(sk, sizeof sk);
}

void poa_ed25519_sign(const uint8_t seed32[32], const uint8_t pk32[32], const void *msg, size_t n,
                      uint8_t sig64[64])
{
    uint8_t sk[64];
    memcpy(sk, seed32, 32);
    memcpy(sk + 32, pk32, 32);
    crypto_sign_ed25519_detached(sig64, NULL, msg, n, sk);
    sodium_memzero(sk, sizeof sk);
}

int poa_ed25519_verify(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64])
{
    return crypto_sign_ed25519_verify_detached(sig64, msg, n, pk32) == 0 ? POA_OK : POA_E_SIGNATURE;
}

int poa_ed25519_pk_to_x25519(const uint8_t pk32[32], uint8_t x32[32])
{
    /* is_valid_point also refuses non-canonical encodings, which the
     * conversion alone lets pass. */
    if (crypto_core_ed25519_is_valid_point(pk32) != 1)
        return POA_E_KEY;
    return crypto_sign_ed25519_pk_to_curve25519(x32, pk32) == 0 ? POA_OK : POA_E_KEY;
}

void poa_ed25519_seed_to_x25519(const uint8_t seed32[32], uint8_t x32[32])
{
    uint8_t sk[64] = {0};
    memcpy(sk, seed32, 32); /* the public half is not read */
    crypto_sign_ed25519_sk_to_curve25519(x32, sk);
    sodium_memzero(sk, sizeof sk);
}

void poa_x25519_public(const uint8_t sk32[32], uint8_t pk32[32])
{
    crypto_scalarmult_curve25519_base(pk32, sk32);
}

int poa_x25519(const uint8_t sk32[32], const uint8_t pk32[32], uint8_t out32[32])
{
    return crypto_scalarmult_curve25519(out32, sk32, pk32) == 0 ? POA_OK : POA_E_KEY;
}

/* --- authenticated encryption ---------------------------------------------- */

void poa_aead_seal(const uint8_t key32[32], const uint8_t nonce12[12], struct poa_slice ad,
                   struct poa_slice plain, uint8_t *out)
{
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.p, plain.n, ad.p, ad.n, NULL,
                                              nonce12, key32);
}

int poa_aead_open(const uint8_t key32[32], const uint8_t nonce12[12], struct poa_slice ad,
                  struct poa_slice cipher, uint8_t *out)
{
    int rc = crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, cipher.p, cipher.n, ad.p,
                                                       ad.n, nonce12, key32);
    return rc == 0 ? POA_OK : POA_E_DECRYPT;
}

void poa_xaead_seal(const uint8_t key32[32], const uint8_t nonce24[24], struct poa_slice ad,
                    struct poa_slice plain, uint8_t *out)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain.p, plain.n, ad.p, ad.n, NULL,
                                               nonce24, key32);
}

int poa_xaead_open(const uint8_t key32[32], const uint8_t nonce24[24], struct poa_slice ad,
                   struct poa_slice cipher, uint8_t *out)
{
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, cipher.p, cipher.n, ad.p,
                                                        ad.n, nonce24, key32);
    return rc == 0 ? POA_OK : POA_E_DECRYPT;
}

int poa_pwhash(const void *pass, size_t pass_n, const uint8_t salt16[16], uint64_t passes,
               uint64_t memory_bytes, uint8_t out32[32])
{
    if (passes < crypto_pwhash_argon2id_OPSLIMIT_MIN ||
        passes > crypto_pwhash_argon2id_OPSLIMIT_MAX ||
        memory_bytes < crypto_pwhash_argon2id_MEMLIMIT_MIN ||
        memory_bytes > crypto_pwhash_argon2id_MEMLIMIT_MAX)
        return POA_E_RANGE;
    int rc = crypto_pwhash_argon2id(out32, 32, pass_n > 0 ? pass : "", pass_n, salt16, passes,
                                    (size_t)memory_bytes, crypto_pwhash_argon2id_ALG_ARGON2ID13);
    return rc == 0 ? POA_OK : POA_E_NO_MEMORY;
}

/* --- the edwards25519 group ------------------------------------------------ */

static const uint8_t identity[32] = {1};
static const uint8_t minus_one[32] = {
    0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
/* 1/8 mod L. */
static const uint8_t eighth[32] = {0x79, 0x2f, 0xdc, 0xe2, 0x29, 0xe5, 0x06, 0x61, 0xd0, 0xda, 0x1c,
                                   0x7d, 0xb3, 0x9d, 0xd3, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                   0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06};

/* What core_add does not check: y < p = 2^255 - 19, and a sign bit on x = 0,
 * which is y = 1 or y = -1. Encodings are public, so this may branch. */
static bool canonical_encoding(const uint8_t p[32])
{
    bool high = (p[31] & 0x7f) == 0x7f;
    bool low = (p[31] & 0x7f) == 0;
    for (int i = 1; i < 31; i++) {
        high = high && p[i] == 0xff;
        low = low && p[i] == 0;
    }
    if (high && p[0] >= 0xed)
        return false;
    bool x_is_zero = (low && p[0] == 1) || (high && p[0] == 0xec);
    return !(x_is_zero && (p[31] & 0x80));
}

int poa_point_check(const uint8_t p32[32])
{
    uint8_t same[32];
    return poa_point_add(p32, identity, same);
}

bool poa_point_is_prime_order(const uint8_t p32[32])
{
    return crypto_core_ed25519_is_valid_point(p32) == 1;
}

int poa_point_add(const uint8_t p32[32], const uint8_t q32[32], uint8_t out32[32])
{
    if (!canonical_encoding(p32) || !canonical_encoding(q32))
        return POA_E_KEY;
    return crypto_core_ed25519_add(out32, p32, q32) == 0 ? POA_OK : POA_E_KEY;
}

int poa_point_sub(const uint8_t p32[32], const uint8_t q32[32], uint8_t out32[32])
{
    if (!canonical_encoding(p32) || !canonical_encoding(q32))
        return POA_E_KEY;
    return crypto_core_ed25519_sub(out32, p32, q32) == 0 ? POA_OK : POA_E_KEY;
}

/* For P outside the prime-order subgroup, which scalarmult refuses:
 * P = A + T with 8T = 0 and A = (1/8)(8P), so K*P = (K/8)(8P) + (K mod 8)T. */
static int mul_with_torsion(const uint8_t k[32], const uint8_t p[32], uint8_t out[32])
{
    uint8_t p8[32], a[32], t[32], ka[32], k_eighth[32];
    int rc = poa_point_mul_cofactor(p, p8);
    if (rc != POA_OK)
        return rc;
    if (poa_point_is_identity(p8)) {
        memcpy(t, p, 32);
        memcpy(ka, identity, 32);
    } else {
        crypto_core_ed25519_scalar_mul(k_eighth, k, eighth);
        if (crypto_scalarmult_ed25519_noclamp(a, eighth, p8) != 0 ||
            crypto_scalarmult_ed25519_noclamp(ka, k_eighth, p8) != 0 ||
            crypto_core_ed25519_sub(t, p, a) != 0)
            return POA_E_KEY;
    }
    for (int i = k[0] & 7; i > 0; i--)
        if (crypto_core_ed25519_add(ka, ka, t) != 0)
            return POA_E_KEY;
    memcpy(out, ka, 32);
    return POA_OK;
}

int poa_point_mul(const uint8_t k32[32], const uint8_t p32[32], uint8_t out32[32])
{
    uint8_t q[32];
    if (sodium_is_zero(k32, 32)) { /* scalarmult refuses it */
        int rc = poa_point_check(p32);
        if (rc == POA_OK)
            memcpy(out32, identity, 32);
        return rc;
    }
    /* Succeeds on canonical points of prime order only: the common case needs
     * no other check. */
    if (crypto_scalarmult_ed25519_noclamp(q, k32, p32) == 0) {
        memcpy(out32, q, 32);
        return POA_OK;
    }
    return mul_with_torsion(k32, p32, out32);
}

void poa_point_mul_base(const uint8_t k32[32], uint8_t out32[32])
{
    if (crypto_scalarmult_ed25519_base_noclamp(out32, k32) != 0)
        memcpy(out32, identity, 32); /* only for 0, which it refuses */
}

int poa_point_mul_cofactor(const uint8_t p32[32], uint8_t out32[32])
{
    if (!canonical_encoding(p32) || crypto_core_ed25519_add(out32, p32, p32) != 0 ||
        crypto_core_ed25519_add(out32, out32, out32) != 0 ||
        crypto_core_ed25519_add(out32, out32, out32) != 0)
        return POA_E_KEY;
    return POA_OK;
}

bool poa_point_is_small_order(const uint8_t p32[32])
{
    /* y of order 1, 2, 4, and the two of order 8; all but the first two with
     * either sign of x. */
    static const uint8_t y_8[2][32] = {
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
         0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
         0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
         0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
         0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}};
    uint8_t y[32];
    if (!canonical_encoding(p32))
        return false;
    memcpy(y, p32, 32);
    y[31] &= 0x7f;
    return sodium_is_zero(y, 32) || sodium_memcmp(y, identity, 32) == 0 ||
           sodium_memcmp(y, minus_one, 32) == 0 || sodium_memcmp(y, y_8[0], 32) == 0 ||
           sodium_memcmp(y, y_8[1], 32) == 0;
}

bool poa_point_is_identity(const uint8_t p32[32])
{
    return sodium_memcmp(p32, identity, 32) == 0;
}

void poa_point_from_uniform(const uint8_t r32[32], uint8_t out32[32])
{
    crypto_core_ed25519_from_uniform(out32, r32);
}

bool poa_scalar_is_canonical(const uint8_t s32[32])
{
    /* L = 2^252 + 27742317777372353535851937790883648493. */
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    for (int i = 31; i >= 0; i--)
        if (s32[i] != order[i])
            return s32[i] < order[i];
    return false;
}

void poa_scalar_reduce(const uint8_t in64[64], uint8_t out32[32])
{
    crypto_core_ed25519_scalar_reduce(out32, in64);
}

void poa_scalar_muladd(const uint8_t a32[32], const uint8_t b32[32], const uint8_t c32[32],
                       uint8_t out32[32])
{
    uint8_t product[32];
    crypto_core_ed25519_scalar_mul(product, b32, c32);
    crypto_core_ed25519_scalar_add(out32, a32, product);
    sodium_memzero(product, sizeof product);
}

/* --- memory and randomness ------------------------------------------------- */

void poa_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}

void poa_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}

bool poa_equal_ct(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}
