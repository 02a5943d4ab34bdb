/* Signatures and VRF proofs as keyed hashes: what everybody can forge, but
 * nobody in the simulation does unless it is told to. */
#include <string.h>

#include "poa_sim.h"

static void tag(uint8_t what, const uint8_t pk[32], const void *msg, size_t n, uint8_t out[64])
{
    uint8_t head[33], half[32];
    head[0] = what;
    memcpy(head + 1, pk, 32);
    poa_hash2(POA_DOMAIN_SIM, head, sizeof head, msg, n, half);
    memcpy(out, half, 32);
    memcpy(out + 32, half, 32);
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
    poa_blake2b(want, 64, NULL, 0, beta64, 64);
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

const struct poa_suite poa_suite_sim = {
    .verify = sim_verify,
    .sign = sim_sign,
    .vrf_verify = sim_vrf_verify,
    .vrf_prove = sim_vrf_prove,
};
