/* Cryptography: thin wrappers over libsodium, the only place that includes it.
 *
 * The same functions are the port of the device library: a firmware that has
 * its own crypto library provides them instead of crypto.c.
 *
 * Sizes are in bytes and in the parameter names. Functions without a result
 * cannot fail on valid pointers. Freestanding C99 (crypto.c), no allocation.
 */
#ifndef POA_CRYPTO_H
#define POA_CRYPTO_H

#include "poa_codec.h"

#define POA_HASH_BYTES 32

/* Domain tags: BLAKE2b personalisation, zero-padded to 16 bytes. A hash or
 * signature made for one use can never be taken for another. X(name, tag) */
#define POA_DOMAINS(X)                                                                             \
    X(CHAIN, "poa/chain")                                                                          \
    X(HEADER, "poa/header")                                                                        \
    X(BODY, "poa/body")                                                                            \
    X(RECOVER, "poa/recover")                                                                      \
    X(PROPOSAL, "poa/proposal")                                                                    \
    X(VOTE, "poa/vote")                                                                            \
    X(BATCH, "poa/batch")                                                                          \
    X(BATCH_SIG, "poa/batch-sig")                                                                  \
    X(TX, "poa/tx")                                                                                \
    X(TX_SIG, "poa/tx-sig")                                                                        \
    X(ADDRESS, "poa/address")                                                                      \
    X(ATTEST, "poa/attest")                                                                        \
    X(DEVICE, "poa/device")                                                                        \
    X(SEAL, "poa/seal")                                                                            \
    X(TICKET, "poa/ticket")                                                                        \
    X(BEACON, "poa/beacon")                                                                        \
    X(SEED, "poa/seed")                                                                            \
    X(LOTTERY, "poa/lottery")                                                                      \
    X(COMMITTEE, "poa/committee")                                                                  \
    X(DRAW, "poa/draw")                                                                            \
    X(HOME, "poa/home")                                                                            \
    X(LEADERS, "poa/leaders")                                                                      \
    X(STATE_KEY, "poa/state-key")                                                                  \
    X(STATE_VALUE, "poa/state-value")                                                              \
    X(STATE_LEAF, "poa/state-leaf")                                                                \
    X(STATE_NODE, "poa/state-node")                                                                \
    X(PACK, "poa/pack")                                                                            \
    X(PACK_LEAF, "poa/pack-leaf")                                                                  \
    X(PACK_NODE, "poa/pack-node")                                                                  \
    X(HELLO, "poa/hello")                                                                          \
    X(KEYFILE, "poa/keyfile")                                                                      \
    X(SIM, "poa/sim")                                                                              \
    X(EVIDENCE, "poa/evidence")                                                                    \
    X(TERMS, "poa/terms")                                                                          \
    X(OBJECT, "poa/object")                                                                        \
    X(ARCHIVE, "poa/archive")                                                                      \
    X(DATA, "poa/data")                                                                            \
    X(DATA_KEY, "poa/data-key")                                                                    \
    X(TOKEN, "poa/token")                                                                          \
    X(DATA_GRANT, "poa/data-grant")                                                                \
    X(DATA_REQUEST, "poa/data-ask")                                                                \
    X(PACK_INDEX, "poa/pack-index")                                                                \
    X(BOOK, "poa/book")                                                                            \
    X(SNAPSHOT, "poa/snapshot")

enum poa_domain {
#define POA_DOMAIN_ROW(name, tag) POA_DOMAIN_##name,
    POA_DOMAINS(POA_DOMAIN_ROW)
#undef POA_DOMAIN_ROW
        POA_DOMAIN_COUNT
};

/* Opaque incremental states, big and aligned enough for libsodium's. */
struct poa_hash_state {
    uint8_t opaque[384] __attribute__((aligned(64)));
};
struct poa_sha512_state {
    uint8_t opaque[208] __attribute__((aligned(16)));
};
struct poa_sha256_state {
    uint8_t opaque[104] __attribute__((aligned(8)));
};

/* sodium_init plus nothing else: idempotent, thread-safe. */
POA_MUST_USE int poa_crypto_init(void);
/* Known answers of every primitive, and the traps: this libsodium must refuse
 * points of order 2L (CVE-2025-69277), non-canonical signatures and low-order
 * keys. POA_E_SELFTEST with the name of what failed in *WHAT. Programs call it
 * before they do anything else. */
POA_MUST_USE int poa_crypto_selftest(const char **what);
/* The same without BIP340, which devices do not link. Freestanding. */
POA_MUST_USE int poa_crypto_selftest_device(const char **what);

/* BLAKE2b-256 with the domain as personalisation. */
void poa_hash_init(struct poa_hash_state *s, enum poa_domain domain);
void poa_hash_update(struct poa_hash_state *s, const void *bytes, size_t n);
void poa_hash_final(struct poa_hash_state *s, uint8_t out32[32]);
void poa_hash(enum poa_domain domain, const void *bytes, size_t n, uint8_t out32[32]);
/* Of two concatenated inputs (Merkle nodes, prefixed records). */
void poa_hash2(enum poa_domain domain, const void *a, size_t an, const void *b, size_t bn,
               uint8_t out32[32]);

/* Plain hashes, for Noise, VRF and vectors. out_n 1..64, key_n 0..64. */
void poa_blake2b(const void *bytes, size_t n, const void *key, size_t key_n, uint8_t *out,
                 size_t out_n);
/* SipHash-2-4 with 128 bits: a tag that nobody without the key can make or guess.
 * For tables in memory; several times as fast as a hash. */
void poa_siphash(const uint8_t key16[16], const void *bytes, size_t n, uint8_t out16[16]);
void poa_sha256(const void *bytes, size_t n, uint8_t out32[32]);
void poa_sha256_init(struct poa_sha256_state *s);
void poa_sha256_update(struct poa_sha256_state *s, const void *bytes, size_t n);
void poa_sha256_final(struct poa_sha256_state *s, uint8_t out32[32]);
/* Plain BLAKE2b-512, incremental (poa_hash_update in between): the transcript
 * and HMAC of a Noise handshake need no copy of what they hash. */
void poa_blake2b_512_init(struct poa_hash_state *s);
void poa_blake2b_512_final(struct poa_hash_state *s, uint8_t out64[64]);
void poa_sha512_init(struct poa_sha512_state *s);
void poa_sha512_update(struct poa_sha512_state *s, const void *bytes, size_t n);
void poa_sha512_final(struct poa_sha512_state *s, uint8_t out64[64]);
void poa_hmac_sha256(const void *key, size_t key_n, const void *bytes, size_t n, uint8_t out32[32]);

/* Ed25519 (RFC 8032), libsodium's strict rule: canonical s, canonical and not
 * small-order A and R. */
void poa_ed25519_public(const uint8_t seed32[32], uint8_t pk32[32]);
void poa_ed25519_sign(const uint8_t seed32[32], const uint8_t pk32[32], const void *msg, size_t n,
                      uint8_t sig64[64]);
POA_MUST_USE int poa_ed25519_verify(const uint8_t pk32[32], const void *msg, size_t n,
                                    const uint8_t sig64[64]); /* POA_E_SIGNATURE */
/* The X25519 keys of the same identity. POA_E_KEY: not a valid point. */
POA_MUST_USE int poa_ed25519_pk_to_x25519(const uint8_t pk32[32], uint8_t x32[32]);
void poa_ed25519_seed_to_x25519(const uint8_t seed32[32], uint8_t x32[32]);

/* X25519. POA_E_KEY when the shared secret is zero (low-order public key). */
void poa_x25519_public(const uint8_t sk32[32], uint8_t pk32[32]);
POA_MUST_USE int poa_x25519(const uint8_t sk32[32], const uint8_t pk32[32], uint8_t out32[32]);

/* ChaCha20-Poly1305 (RFC 8439). OUT takes n + 16; opening gives n - 16 bytes
 * or POA_E_DECRYPT. In place is allowed. */
void poa_aead_seal(const uint8_t key32[32], const uint8_t nonce12[12], struct poa_slice ad,
                   struct poa_slice plain, uint8_t *out);
POA_MUST_USE int poa_aead_open(const uint8_t key32[32], const uint8_t nonce12[12],
                               struct poa_slice ad, struct poa_slice cipher, uint8_t *out);

/* libsodium's sealed box of a 32-byte key: X25519 to PK from a fresh key, then
 * XSalsa20-Poly1305. Making one draws randomness. POA_E_DECRYPT: not sealed to SK.
 * Hosts only (sealed.c). */
POA_MUST_USE int poa_sealed_make(const uint8_t pk32[32], const uint8_t key32[32],
                                 uint8_t out80[80]);
POA_MUST_USE int poa_sealed_open(const uint8_t sk32[32], const uint8_t sealed80[80],
                                 uint8_t out32[32]);

/* XChaCha20-Poly1305 for data at rest, where nonces are drawn at random. */
void poa_xaead_seal(const uint8_t key32[32], const uint8_t nonce24[24], struct poa_slice ad,
                    struct poa_slice plain, uint8_t *out);
POA_MUST_USE int poa_xaead_open(const uint8_t key32[32], const uint8_t nonce24[24],
                                struct poa_slice ad, struct poa_slice cipher, uint8_t *out);

/* Argon2id, one lane. POA_E_NO_MEMORY, POA_E_RANGE (parameters). */
POA_MUST_USE int poa_pwhash(const void *pass, size_t pass_n, const uint8_t salt16[16],
                            uint64_t passes, uint64_t memory_bytes, uint8_t out32[32]);

/* The edwards25519 group, for the VRF. Points are strict RFC 8032 encodings:
 * y below p, and no sign bit where x is 0; every function refuses others with
 * POA_E_KEY. Points outside the prime-order subgroup are allowed, because
 * RFC 9381 allows them. Scalars are little-endian; those that a function calls
 * canonical are below the group order L. OUT may be an input. */
POA_MUST_USE int poa_point_check(const uint8_t p32[32]);
/* A valid encoding of a point of order L exactly: what honest keys are. */
bool poa_point_is_prime_order(const uint8_t p32[32]);
POA_MUST_USE int poa_point_add(const uint8_t p32[32], const uint8_t q32[32], uint8_t out32[32]);
POA_MUST_USE int poa_point_sub(const uint8_t p32[32], const uint8_t q32[32], uint8_t out32[32]);
/* K * P for canonical K; constant time in K when P has prime order. */
POA_MUST_USE int poa_point_mul(const uint8_t k32[32], const uint8_t p32[32], uint8_t out32[32]);
/* K * base for canonical K; constant time. */
void poa_point_mul_base(const uint8_t k32[32], uint8_t out32[32]);
/* 8 * P. */
POA_MUST_USE int poa_point_mul_cofactor(const uint8_t p32[32], uint8_t out32[32]);
/* One of the 8 points whose order divides the cofactor, canonically encoded. */
bool poa_point_is_small_order(const uint8_t p32[32]);
bool poa_point_is_identity(const uint8_t p32[32]);
/* 8 * Q, where Q is the Elligator 2 image of the low 255 bits of R and bit 255
 * of R is the sign of Q's x (libsodium's from_uniform). */
void poa_point_from_uniform(const uint8_t r32[32], uint8_t out32[32]);
bool poa_scalar_is_canonical(const uint8_t s32[32]);
void poa_scalar_reduce(const uint8_t in64[64], uint8_t out32[32]);
/* A + B * C mod L. */
void poa_scalar_muladd(const uint8_t a32[32], const uint8_t b32[32], const uint8_t c32[32],
                       uint8_t out32[32]);

void poa_random(void *out, size_t n);
void poa_wipe(void *p, size_t n);
/* Constant time. */
bool poa_equal_ct(const void *a, const void *b, size_t n);

#endif
