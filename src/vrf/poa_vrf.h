/* Verifiable random function: RFC 9381, ECVRF-EDWARDS25519-SHA512-TAI and -ELL2.
 *
 * BETA is a pseudorandom function of the secret key and ALPHA that nobody can
 * predict without the key and everybody can check with PI:
 *
 *   prove(seed, alpha) = pi        pi   = Gamma (32) | c (16) | s (32)
 *   verify(pk, alpha, pi) = beta   beta = 64 bytes, unique for pk and alpha
 *
 * PI is malleable by its maker, BETA is not: identify and compare outputs by
 * BETA, never by PI.
 *
 * Keys are Ed25519 keys. Verification is that of the RFC with
 * validate_key = TRUE and strict decoding: canonical points, s < L. Gamma and
 * keys with a part of small order are accepted, as the RFC does, and give the
 * BETA that the RFC gives.
 *
 * Proving takes constant time in the secret key. Freestanding C99.
 */
#ifndef POA_VRF_H
#define POA_VRF_H

#include "poa_codec.h"
#include "poa_crypto.h"

#define POA_VRF_PI_BYTES   80
#define POA_VRF_BETA_BYTES 64

enum poa_vrf_suite {
    POA_VRF_TAI = 3,  /* try and increment: what the protocol uses */
    POA_VRF_ELL2 = 4, /* Elligator 2: hashing to the curve in constant time */
};

/* The proof for ALPHA (RFC 9381 §5.1, nonce of §5.4.2.2: deterministic).
 * In:     seed32 the Ed25519 seed, pk32 its public key
 * Errors: POA_E_RANGE (suite), POA_E_PROOF (no point for ALPHA: never seen) */
POA_MUST_USE int poa_vrf_prove(enum poa_vrf_suite suite, const uint8_t seed32[32],
                               const uint8_t pk32[32], struct poa_slice alpha, uint8_t pi80[80]);
/* Checks PI (RFC 9381 §5.3); BETA64 may be NULL.
 * Errors: POA_E_RANGE (suite), POA_E_KEY (PK is no point or of small order),
 *         POA_E_PROOF; BETA64 is then unchanged */
POA_MUST_USE int poa_vrf_verify(enum poa_vrf_suite suite, const uint8_t pk32[32],
                                struct poa_slice alpha, const uint8_t pi80[80], uint8_t *beta64);
/* The same for strings of any length, as they come from people and files: a key
 * that is not 32 bytes is POA_E_KEY, a proof that is not 80 bytes POA_E_PROOF. */
POA_MUST_USE int poa_vrf_verify_strings(enum poa_vrf_suite suite, struct poa_slice pk,
                                        struct poa_slice alpha, struct poa_slice pi,
                                        uint8_t *beta64);
/* BETA of a proof that was made or checked before (RFC 9381 §5.2): PI is decoded
 * but not verified. POA_E_RANGE, POA_E_PROOF. */
POA_MUST_USE int poa_vrf_proof_to_hash(enum poa_vrf_suite suite, const uint8_t pi80[80],
                                       uint8_t beta64[64]);
/* Published answers of both suites and a refusal; for start-up. POA_E_SELFTEST. */
POA_MUST_USE int poa_vrf_selftest(void);

#endif
