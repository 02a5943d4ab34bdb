/* A suite without cryptography, so that mutated records get past signature
 * checks: a signature or proof is valid when its first byte is FUZZ_VALID. */
#ifndef FUZZ_SUITE_H
#define FUZZ_SUITE_H

#include "fuzz.h"
#include "poa_witness.h"

#define FUZZ_VALID 0xa5

static inline int fuzz_verify(const uint8_t pk32[32], const void *msg, size_t n,
                              const uint8_t sig64[64])
{
    (void)pk32;
    (void)msg;
    (void)n;
    return sig64[0] == FUZZ_VALID ? POA_OK : POA_E_SIGNATURE;
}
static inline void fuzz_sign(const uint8_t seed32[32], const uint8_t pk32[32], const void *msg,
                             size_t n, uint8_t sig64[64])
{
    (void)seed32;
    (void)msg;
    (void)n;
    memset(sig64, 0, 64);
    sig64[0] = FUZZ_VALID;
    sig64[1] = pk32[0];
}
static inline int fuzz_vrf_verify(const uint8_t pk32[32], const void *alpha, size_t n,
                                  const uint8_t pi80[80], uint8_t beta64[64])
{
    if (pi80[0] != FUZZ_VALID)
        return POA_E_PROOF;
    poa_blake2b(alpha, n, pk32, 32, beta64, 64);
    return POA_OK;
}
static inline int fuzz_vrf_prove(const uint8_t seed32[32], const uint8_t pk32[32],
                                 const void *alpha, size_t n, uint8_t pi80[80])
{
    (void)seed32;
    (void)pk32;
    (void)alpha;
    (void)n;
    memset(pi80, 0, 80);
    pi80[0] = FUZZ_VALID;
    return POA_OK;
}
static const struct poa_suite fuzz_suite = {fuzz_verify, fuzz_sign, fuzz_vrf_verify, fuzz_vrf_prove,
                                            fuzz_vrf_verify};

/* The identity number I: its seed is I everywhere. */
static inline void fuzz_identity(uint8_t i, uint8_t seed32[32], uint8_t pk32[32])
{
    memset(seed32, i, 32);
    poa_ed25519_public(seed32, pk32);
}

/* N members with identities 1..N. */
struct fuzz_committee {
    uint8_t bytes[POA_COMMITTEE_MAX * 42];
    struct poa_committee c;
};
static inline void fuzz_committee(struct fuzz_committee *f, uint32_t epoch, uint8_t n)
{
    struct poa_writer w = poa_writer_over(f->bytes, sizeof f->bytes);
    for (uint8_t i = 1; i <= n; i++) {
        struct poa_member m = {.maker = i, .region = i, .provider = i};
        uint8_t seed[32];
        fuzz_identity(i, seed, m.key);
        FUZZ_CHECK(poa_member_encode(&w, &m) == POA_OK);
    }
    f->c = (struct poa_committee){.epoch = epoch,
                                  .quorum = (uint16_t)(n - poa_committee_faults(n)),
                                  .members = {poa_written(&w), n}};
    FUZZ_CHECK(poa_committee_check(&f->c) == POA_OK);
}
/* A certificate for SUBJECT by the first QUORUM members; SIGS takes 64 bytes
 * for each. */
static inline struct poa_cert fuzz_cert(const struct fuzz_committee *f, uint8_t kind, uint64_t view,
                                        const uint8_t hash32[32], uint8_t *sigs)
{
    struct poa_cert c = {.kind = kind, .epoch = f->c.epoch, .view = view};
    if (kind != POA_VOTE_NULLIFY)
        memcpy(c.hash, hash32, 32);
    for (uint16_t i = 0; i < f->c.quorum; i++) {
        c.signers[i / 8] |= (uint8_t)(1 << i % 8);
        memset(sigs + 64 * i, 0, 64);
        sigs[64 * i] = FUZZ_VALID;
    }
    c.sigs = (struct poa_list){poa_slice(sigs, (size_t)64 * f->c.quorum), f->c.quorum};
    return c;
}

#endif
