/* VRF proofs of strangers: verifying and hashing agree, and nothing but the
 * honest output is ever accepted for an honest key. */
#include "fuzz.h"
#include "poa_vrf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in), seed[32], pk[32], own[32], pi[80], beta[64], again[64];
    enum poa_vrf_suite suite = flags & 1 ? POA_VRF_TAI : POA_VRF_ELL2;
    fuzz_fill(&in, pk, sizeof pk);
    fuzz_fill(&in, pi, sizeof pi);
    struct poa_slice alpha = poa_slice(in.p, in.n);
    memset(seed, 7, sizeof seed);
    poa_ed25519_public(seed, own);
    if (flags & 2)
        memcpy(pk, own, sizeof pk);
    if (flags & 4) { /* an honest proof with one byte changed, or not */
        uint8_t at = pi[0] % 80, change = pi[1];
        FUZZ_CHECK(poa_vrf_prove(suite, seed, own, alpha, pi) == POA_OK);
        pi[at] ^= change;
    }
    int e = poa_vrf_verify(suite, pk, alpha, pi, beta);
    FUZZ_CHECK(e == POA_OK || e == POA_E_KEY || e == POA_E_PROOF);
    FUZZ_CHECK(poa_vrf_verify_strings(suite, poa_slice(pk, 32), alpha, poa_slice(pi, 80), again) ==
               e);
    int h = poa_vrf_proof_to_hash(suite, pi, again);
    if (!e) {
        FUZZ_CHECK(!h && !memcmp(beta, again, 64));
        if (!memcmp(pk, own, 32)) {
            FUZZ_CHECK(poa_vrf_prove(suite, seed, own, alpha, pi) == POA_OK);
            FUZZ_CHECK(poa_vrf_proof_to_hash(suite, pi, again) == POA_OK);
            FUZZ_CHECK(!memcmp(beta, again, 64));
        }
    }
    return 0;
}

void fuzz_seeds(void)
{
    for (uint8_t flags = 0; flags < 8; flags++) {
        uint8_t buffer[160], seed[32], pi[80];
        struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
        char name[] = "proof-0";
        memset(seed, 9, sizeof seed);
        poa_write_u8(&w, flags);
        poa_ed25519_public(seed, buffer + w.n);
        FUZZ_CHECK(!poa_vrf_prove(flags & 1 ? POA_VRF_TAI : POA_VRF_ELL2, seed, buffer + w.n,
                                  poa_slice("alpha", 5), pi));
        w.n += 32;
        poa_write(&w, pi, sizeof pi);
        poa_write(&w, "alpha", 5);
        name[6] = (char)('0' + flags);
        fuzz_seed(name, buffer, w.n);
    }
}
