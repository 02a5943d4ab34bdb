/* The real suite: Ed25519 and ECVRF-EDWARDS25519-SHA512-TAI on one key. */
#include "poa_vrf.h"
#include "poa_witness.h"

#if !POA_LEAN
static int vrf_verify(const uint8_t pk32[32], const void *alpha, size_t n, const uint8_t pi80[80],
                      uint8_t beta64[64])
{
    return poa_vrf_verify(POA_VRF_TAI, pk32, poa_slice(alpha, n), pi80, beta64);
}

static int vrf_output(const uint8_t pk32[32], const void *alpha, size_t n, const uint8_t pi80[80],
                      uint8_t beta64[64])
{
    (void)pk32; /* the proof says it all */
    (void)alpha;
    (void)n;
    return poa_vrf_proof_to_hash(POA_VRF_TAI, pi80, beta64);
}
#endif

static int vrf_prove(const uint8_t seed32[32], const uint8_t pk32[32], const void *alpha, size_t n,
                     uint8_t pi80[80])
{
    return poa_vrf_prove(POA_VRF_TAI, seed32, pk32, poa_slice(alpha, n), pi80);
}

const struct poa_suite poa_suite_ed25519 = {
    .verify = poa_ed25519_verify,
    .sign = poa_ed25519_sign,
#if !POA_LEAN /* a device draws for itself, and checks nobody else's draw */
    .vrf_verify = vrf_verify,
    .vrf_output = vrf_output,
#endif
    .vrf_prove = vrf_prove,
};
