/* Keys and addresses of accounts.
 *
 * BIP340 (secp256k1, x-only keys) and Ed25519. An account is a policy: any M of
 * its keys sign, or its first key alone for what stays within LIMIT. Its
 * address is the domain-tagged hash of that policy, so that whether a
 * signature suffices depends on the transaction's bytes alone.
 *
 * address.c and bech32m.c are freestanding (a device owns a wallet); keys.c,
 * which wraps libsecp256k1, is for hosts. All functions are thread-safe.
 */
#ifndef POA_KEYS_H
#define POA_KEYS_H

#include "poa_crypto.h"

enum poa_key_type {
    POA_KEY_BIP340 = 1,
    POA_KEY_ED25519 = 2,
};

#define POA_POLICY_KEYS_MAX 16

#define POA_POLICY_KEY_TABLE(F)                                                                    \
    F(U8, type, 2, _, "1 BIP340, 2 Ed25519")                                                       \
    F(FIX, key, 32, _, "public key: x-only for BIP340")
#define POA_POLICY_TABLE(F)                                                                        \
    F(U8, m, POA_POLICY_KEYS_MAX, _, "signatures needed")                                          \
    F(U64, limit, 0, _, "what the first key alone may spend; 0 when m is 1")                       \
    F(LIST, keys, POA_POLICY_KEYS_MAX, policy_key, "distinct keys, in the owner's order")

POA_RECORD_DECLARE(policy_key, POA_POLICY_KEY_TABLE)
POA_RECORD_DECLARE(policy, POA_POLICY_TABLE)

/* 1 + 8 + 1 + 16 * 33, checked against the table by a test. */
#define POA_POLICY_BYTES_MAX 538

/* POA_OK when P can be an account: 1 <= m <= number of keys, known key types,
 * no key twice, limit 0 when m is 1; else POA_E_RANGE or POA_E_NOT_CANONICAL.
 * Whether each key is a point shows when it verifies. */
POA_MUST_USE int poa_policy_check(const struct poa_policy *p);
/* The address of P, checked first. Same errors. */
POA_MUST_USE int poa_address_of(const struct poa_policy *p, uint8_t address32[32]);
/* The address of one key: {m 1, limit 0, that key}. */
void poa_address_of_key(enum poa_key_type type, const uint8_t key32[32], uint8_t address32[32]);

/* --- bech32m text (BIP350) -------------------------------------------------- */

#define POA_ADDRESS_HRP "poa"
/* "poa1", 52 digits of data, 6 of checksum, terminator. */
#define POA_ADDRESS_TEXT_BYTES 63

void poa_address_to_text(const uint8_t address32[32], char text[POA_ADDRESS_TEXT_BYTES]);

enum poa_address_fault {
    POA_ADDRESS_FINE,
    POA_ADDRESS_LENGTH,    /* an address has 62 characters */
    POA_ADDRESS_PREFIX,    /* does not start with poa1 */
    POA_ADDRESS_CHARACTER, /* not a bech32 character */
    POA_ADDRESS_CASE,      /* upper and lower case mixed */
    POA_ADDRESS_CHECKSUM,  /* mistyped */
    POA_ADDRESS_PADDING,   /* checksum fine, but no encoder writes this */
};

/* Reads an address, all lower or all upper case. POA_E_TEXT when it is not one;
 * *FAULT (may be NULL) says which check failed. */
POA_MUST_USE int poa_address_from_text(const char *text, uint8_t address32[32],
                                       enum poa_address_fault *fault);
/* One line that says what is wrong and what to do. */
const char *poa_address_fault_text(enum poa_address_fault fault);

/* --- BIP340 ------------------------------------------------------------------ */

/* Public key of a secret key; POA_E_KEY when SK is 0 or not below the order. */
POA_MUST_USE int poa_bip340_public(const uint8_t sk32[32], uint8_t pk32[32]);
/* AUX32: fresh randomness, or NULL to sign deterministically. POA_E_KEY. */
POA_MUST_USE int poa_bip340_sign(const uint8_t sk32[32], const void *msg, size_t n,
                                 const uint8_t *aux32, uint8_t sig64[64]);
POA_MUST_USE int poa_bip340_verify(const uint8_t pk32[32], const void *msg, size_t n,
                                   const uint8_t sig64[64]); /* POA_E_SIGNATURE, POA_E_KEY */

/* A secret key made ready for many signatures (saves half of each). Secret:
 * wipe with poa_wipe. */
struct poa_bip340_signer {
    uint8_t opaque[96];
};
POA_MUST_USE int poa_bip340_signer_init(struct poa_bip340_signer *s, const uint8_t sk32[32]);
POA_MUST_USE int poa_bip340_signer_sign(const struct poa_bip340_signer *s, const void *msg,
                                        size_t n, const uint8_t *aux32, uint8_t sig64[64]);

/* --- either type -------------------------------------------------------------- */

/* New secret (32 random bytes, a valid secret key or seed) and its public key. */
POA_MUST_USE int poa_key_new(enum poa_key_type type, uint8_t secret32[32], uint8_t pk32[32]);
POA_MUST_USE int poa_key_public(enum poa_key_type type, const uint8_t secret32[32],
                                uint8_t pk32[32]);
/* Deterministic. */
POA_MUST_USE int poa_key_sign(enum poa_key_type type, const uint8_t secret32[32], const void *msg,
                              size_t n, uint8_t sig64[64]);
/* POA_E_SIGNATURE, POA_E_KEY; POA_E_RANGE for an unknown type. Remembers BIP340
 * keys, in a form that is quicker to use. Any thread. */
POA_MUST_USE int poa_key_verify(uint8_t type, const uint8_t pk32[32], const void *msg, size_t n,
                                const uint8_t sig64[64]);
const char *poa_key_type_name(uint8_t type); /* "bip340", "ed25519", "unknown" */

#endif
