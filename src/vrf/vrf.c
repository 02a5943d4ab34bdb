/* RFC 9381, quoted in the comments. */
#include "poa_vrf.h"

#include <string.h>

#include "ell2.h"

/* Decoded parts of a proof, and the strings that both sides compute. */
struct proof {
    const uint8_t *gamma32;
    uint8_t c[32]; /* zero-extended to a scalar */
    const uint8_t *s32;
};

static bool known_suite(enum poa_vrf_suite suite)
{
    return suite == POA_VRF_TAI || (!POA_LEAN && suite == POA_VRF_ELL2);
}

/* "hash_string = Hash(suite_string || encode_to_curve_domain_separator_front ||
 *  encode_to_curve_salt || alpha_string || ctr_string || ..._back)" (§5.4.1.1) */
static int encode_tai(const uint8_t pk[32], struct poa_slice alpha, uint8_t h[32])
{
    for (unsigned ctr = 0; ctr < 256; ctr++) {
        struct poa_sha512_state s;
        uint8_t hash[64];
        const uint8_t front[2] = {POA_VRF_TAI, 0x01}, back[2] = {(uint8_t)ctr, 0x00};
        poa_sha512_init(&s);
        poa_sha512_update(&s, front, 2);
        poa_sha512_update(&s, pk, 32);
        poa_sha512_update(&s, alpha.p, alpha.n);
        poa_sha512_update(&s, back, 2);
        poa_sha512_final(&s, hash);
        /* "interpret_hash_value_as_a_point", then "if cofactor > 1, set
         * H = cofactor * H"; the identity is as good as no point. */
        if (poa_point_mul_cofactor(hash, h) == POA_OK && !poa_point_is_identity(h))
            return POA_OK;
    }
    return POA_E_PROOF;
}

/* encode_to_curve of edwards25519_XMD:SHA-512_ELL2_NU_ with "DST =
 * 'ECVRF_' || h2c_suite_ID_string || suite_string" (§5.4.1.2). */
static int encode_ell2(const uint8_t pk[32], struct poa_slice alpha, uint8_t h[32])
{
    static const uint8_t dst_prime[] = "ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_\x04\x28";
    static const uint8_t z_pad[128] = {0};
    static const uint8_t length[3] = {0, 48, 0}; /* l_i_b_str and I2OSP(0, 1) */
    static const uint8_t one = 1;
    const size_t dst_n = sizeof dst_prime - 1;
    struct poa_sha512_state s;
    uint8_t b[64];

    /* expand_message_xmd of RFC 9380 §5.3.1, one block. */
    poa_sha512_init(&s);
    poa_sha512_update(&s, z_pad, sizeof z_pad);
    poa_sha512_update(&s, pk, 32);
    poa_sha512_update(&s, alpha.p, alpha.n);
    poa_sha512_update(&s, length, sizeof length);
    poa_sha512_update(&s, dst_prime, dst_n);
    poa_sha512_final(&s, b);
    poa_sha512_init(&s);
    poa_sha512_update(&s, b, sizeof b);
    poa_sha512_update(&s, &one, 1);
    poa_sha512_update(&s, dst_prime, dst_n);
    poa_sha512_final(&s, b);

    poa_vrf_ell2(b, h);
    return poa_point_is_identity(h) ? POA_E_PROOF : POA_OK;
}

static int encode_to_curve(enum poa_vrf_suite suite, const uint8_t pk[32], struct poa_slice alpha,
                           uint8_t h[32])
{
    switch (suite) {
    case POA_VRF_TAI:
        return encode_tai(pk, alpha, h);
    case POA_VRF_ELL2:
        return POA_LEAN ? POA_E_RANGE : encode_ell2(pk, alpha, h);
    }
    return POA_E_RANGE;
}

/* "c = ECVRF_challenge_generation(Y, H, Gamma, U, V)" (§5.4.3), 16 bytes. */
static void challenge(enum poa_vrf_suite suite, const uint8_t y[32], const uint8_t h[32],
                      const uint8_t gamma[32], const uint8_t u[32], const uint8_t v[32],
                      uint8_t c16[16])
{
    struct poa_sha512_state s;
    const uint8_t front[2] = {(uint8_t)suite, 0x02}, back = 0x00;
    uint8_t hash[64];
    poa_sha512_init(&s);
    poa_sha512_update(&s, front, 2);
    poa_sha512_update(&s, y, 32);
    poa_sha512_update(&s, h, 32);
    poa_sha512_update(&s, gamma, 32);
    poa_sha512_update(&s, u, 32);
    poa_sha512_update(&s, v, 32);
    poa_sha512_update(&s, &back, 1);
    poa_sha512_final(&s, hash);
    memcpy(c16, hash, 16);
}

/* The secret scalar and the nonce, both reduced. */
static POA_NOINLINE void secret_scalars(const uint8_t seed32[32], const uint8_t h[32],
                                        uint8_t x[32], uint8_t k[32])
{
    struct poa_sha512_state s;
    uint8_t az[64], wide[64] = {0};
    /* x as in RFC 8032 §5.1.5, reduced: points of prime order do not notice. */
    poa_sha512_init(&s);
    poa_sha512_update(&s, seed32, 32);
    poa_sha512_final(&s, az);
    memcpy(wide, az, 32);
    wide[0] &= 248;
    wide[31] = (uint8_t)((wide[31] & 127) | 64);
    poa_scalar_reduce(wide, x);
    /* "k_string = Hash(truncated_hashed_sk_string || h_string)" (§5.4.2.2) */
    poa_sha512_init(&s);
    poa_sha512_update(&s, az + 32, 32);
    poa_sha512_update(&s, h, 32);
    poa_sha512_final(&s, wide);
    poa_scalar_reduce(wide, k);
    poa_wipe(&s, sizeof s);
    poa_wipe(az, sizeof az);
    poa_wipe(wide, sizeof wide);
}

int poa_vrf_prove(enum poa_vrf_suite suite, const uint8_t seed32[32], const uint8_t pk32[32],
                  struct poa_slice alpha, uint8_t pi80[80])
{
    uint8_t x[32], k[32], c[32] = {0}, h[32], u[32], v[32];
    int rc = encode_to_curve(suite, pk32, alpha, h);
    if (rc != POA_OK)
        return rc;
    secret_scalars(seed32, h, x, k);
    rc = poa_point_mul(x, h, pi80); /* Gamma = x * H */
    poa_point_mul_base(k, u);
    if (rc == POA_OK)
        rc = poa_point_mul(k, h, v);
    if (rc == POA_OK) {
        challenge(suite, pk32, h, pi80, u, v, c);
        memcpy(pi80 + 32, c, 16);
        poa_scalar_muladd(k, c, x, pi80 + 48); /* s = k + c * x mod q */
    }
    poa_wipe(x, sizeof x);
    poa_wipe(k, sizeof k);
    return rc == POA_OK ? POA_OK : POA_E_PROOF;
}

/* "ECVRF_decode_proof(pi_string)" (§5.4.4) but for the point, which the
 * arithmetic checks. */
static int decode_proof(const uint8_t pi80[80], struct proof *out)
{
    out->gamma32 = pi80;
    memset(out->c, 0, sizeof out->c);
    memcpy(out->c, pi80 + 32, 16);
    out->s32 = pi80 + 48;
    return poa_scalar_is_canonical(out->s32) ? POA_OK : POA_E_PROOF; /* "if s >= q" */
}

/* "beta_string = Hash(suite_string || proof_to_hash_domain_separator_front ||
 *  point_to_string(cofactor * Gamma) || ..._back)" (§5.2) */
static int output(enum poa_vrf_suite suite, const uint8_t gamma[32], uint8_t beta64[64])
{
    struct poa_sha512_state s;
    const uint8_t front[2] = {(uint8_t)suite, 0x03}, back = 0x00;
    uint8_t gamma8[32];
    if (poa_point_mul_cofactor(gamma, gamma8) != POA_OK)
        return POA_E_PROOF;
    poa_sha512_init(&s);
    poa_sha512_update(&s, front, 2);
    poa_sha512_update(&s, gamma8, 32);
    poa_sha512_update(&s, &back, 1);
    poa_sha512_final(&s, beta64);
    return POA_OK;
}

int poa_vrf_verify(enum poa_vrf_suite suite, const uint8_t pk32[32], struct poa_slice alpha,
                   const uint8_t pi80[80], uint8_t *beta64)
{
    struct proof p;
    uint8_t h[32], a[32], u[32], v[32], c16[16];

    if (!known_suite(suite))
        return POA_E_RANGE;
    int rc = decode_proof(pi80, &p);
    if (rc != POA_OK)
        return rc;
    /* "if validate_key, ECVRF_validate_key(Y)" (§5.4.5); decoding is part of
     * U = s*B - c*Y. */
    if (poa_point_is_small_order(pk32) || poa_point_mul(p.c, pk32, a) != POA_OK)
        return POA_E_KEY;
    poa_point_mul_base(p.s32, u);
    if (poa_point_sub(u, a, u) != POA_OK)
        return POA_E_KEY;
    /* V = s*H - c*Gamma */
    if (poa_point_mul(p.c, p.gamma32, a) != POA_OK)
        return POA_E_PROOF;
    rc = encode_to_curve(suite, pk32, alpha, h);
    if (rc != POA_OK)
        return rc;
    if (poa_point_mul(p.s32, h, v) != POA_OK || poa_point_sub(v, a, v) != POA_OK)
        return POA_E_PROOF;
    challenge(suite, pk32, h, p.gamma32, u, v, c16);
    if (memcmp(c16, p.c, 16) != 0)
        return POA_E_PROOF;
    return beta64 != NULL ? output(suite, p.gamma32, beta64) : POA_OK;
}

int poa_vrf_verify_strings(enum poa_vrf_suite suite, struct poa_slice pk, struct poa_slice alpha,
                           struct poa_slice pi, uint8_t *beta64)
{
    if (!known_suite(suite))
        return POA_E_RANGE;
    if (pk.n != 32)
        return POA_E_KEY;
    return pi.n == POA_VRF_PI_BYTES ? poa_vrf_verify(suite, pk.p, alpha, pi.p, beta64)
                                    : POA_E_PROOF;
}

int poa_vrf_proof_to_hash(enum poa_vrf_suite suite, const uint8_t pi80[80], uint8_t beta64[64])
{
    struct proof p;
    if (!known_suite(suite))
        return POA_E_RANGE;
    int rc = decode_proof(pi80, &p);
    return rc == POA_OK ? output(suite, p.gamma32, beta64) : rc;
}

/* --- self-test: examples 16 and 19 of RFC 9381 -------------------------------- */

static bool answers(enum poa_vrf_suite suite, const char *pi_hex, const char *beta_hex)
{
    static const char seed_hex[] =
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    uint8_t seed[32], pk[32], pi[80], want_pi[80], beta[64], want_beta[64];
    const struct poa_slice empty = {NULL, 0};
    if (poa_unhex(seed_hex, seed, 32) != POA_OK || poa_unhex(pi_hex, want_pi, 80) != POA_OK ||
        poa_unhex(beta_hex, want_beta, 64) != POA_OK)
        return false;
    poa_ed25519_public(seed, pk);
    if (poa_vrf_prove(suite, seed, pk, empty, pi) != POA_OK || memcmp(pi, want_pi, 80) != 0 ||
        poa_vrf_verify(suite, pk, empty, pi, beta) != POA_OK || memcmp(beta, want_beta, 64) != 0)
        return false;
    pi[79] ^= 1;
    return poa_vrf_verify(suite, pk, empty, pi, beta) == POA_E_PROOF;
}

int poa_vrf_selftest(void)
{
    bool ok = answers(POA_VRF_TAI,
                      "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
                      "26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12"
                      "68a1b0db10836d9826a528ca76567805",
                      "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
                      "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae") &&
              answers(POA_VRF_ELL2,
                      "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f"
                      "14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2"
                      "fb37831e00f0acaa6d73bc9997b06501",
                      "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cc"
                      "cf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54");
    return ok ? POA_OK : POA_E_SELFTEST;
}
