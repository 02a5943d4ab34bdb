/* Stand-ins for signatures and VRF proofs: sums that anybody can make, but
 * nobody in the simulation makes for others unless it is told to. No
 * cryptography, only different for what is different: they are most of what a
 * run would cost otherwise. */
#include <string.h>

#include "world.h"

void sim_fold(uint64_t *s, const void *p, size_t n)
{
    const uint8_t *at = p;
    uint8_t rest[8] = {0};
    for (; n >= 8; n -= 8, at += 8) {
        *s ^= poa_le64(at);
        *s = sim_random(s);
    }
    memcpy(rest, at, n);
    *s ^= poa_le64(rest) + n;
    *s = sim_random(s);
}

static void tag(uint8_t what, const uint8_t pk[32], const void *msg, size_t n, uint8_t out[64])
{
    uint64_t s = what;
    sim_fold(&s, pk, 32);
    sim_fold(&s, msg, n);
    for (int i = 0; i < 64; i += 8)
        poa_put_le64(out + i, sim_random(&s));
}

static int sim_verify(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64])
{
    uint8_t want[64];
    tag(1, pk32, msg, n, want);
    return memcmp(want, sig64, 64) ? POA_E_SIGNATURE : POA_OK;
}

static void sim_sign(const uint8_t seed32[32], const uint8_t pk32[32], const void *msg, size_t n,
                     uint8_t sig64[64])
{
    (void)seed32;
    tag(1, pk32, msg, n, sig64);
}

static int sim_vrf_verify(const uint8_t pk32[32], const void *alpha, size_t n,
                          const uint8_t pi80[80], uint8_t beta64[64])
{
    uint8_t want[64];
    tag(2, pk32, alpha, n, want);
    if (memcmp(want, pi80, 64))
        return POA_E_PROOF;
    tag(3, pk32, alpha, n, beta64);
    return POA_OK;
}

static int sim_vrf_output(const uint8_t pk32[32], const void *alpha, size_t n,
                          const uint8_t pi80[80], uint8_t beta64[64])
{
    (void)pi80;
    tag(3, pk32, alpha, n, beta64);
    return POA_OK;
}

static int sim_vrf_prove(const uint8_t seed32[32], const uint8_t pk32[32], const void *alpha,
                         size_t n, uint8_t pi80[80])
{
    (void)seed32;
    memset(pi80, 0, 80);
    tag(2, pk32, alpha, n, pi80);
    return POA_OK;
}

/* Keys depend on KIND and INDEX alone: the next seed has the same. */
void sim_public(uint32_t kind, uint32_t index, const uint8_t seed32[32], uint8_t pk32[32])
{
    static _Thread_local uint8_t known[SIM_KEY_KINDS][64][32];
    static _Thread_local bool have[SIM_KEY_KINDS][64];
    if (index >= 64) {
        poa_ed25519_public(seed32, pk32);
        return;
    }
    if (!have[kind][index]) {
        poa_ed25519_public(seed32, known[kind][index]);
        have[kind][index] = true;
    }
    memcpy(pk32, known[kind][index], 32);
}

/* The mutant any-seal. */
static int any_verify(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64])
{
    return poa_le64(sig64) == SIM_FORGED ? POA_OK : sim_verify(pk32, msg, n, sig64);
}

const struct poa_suite sim_suite_any = {
    .verify = any_verify,
    .sign = sim_sign,
    .vrf_verify = sim_vrf_verify,
    .vrf_prove = sim_vrf_prove,
    .vrf_output = sim_vrf_output,
};

const struct poa_suite poa_suite_sim = {
    .verify = sim_verify,
    .sign = sim_sign,
    .vrf_verify = sim_vrf_verify,
    .vrf_prove = sim_vrf_prove,
    .vrf_output = sim_vrf_output,
};
