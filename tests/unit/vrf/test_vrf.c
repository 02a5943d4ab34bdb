/* RFC 9381 examples, proofs that others published, and what must be refused.
 * The larger files run in poa-vectors. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_vrf.h"

struct vector {
    const char *name;
    enum poa_vrf_suite suite;
    const char *seed, *alpha, *pi, *beta;
};

static const struct vector vectors[] = {
    {"RFC 9381 Example 16", POA_VRF_TAI,
     "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
     "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
     "26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12"
     "68a1b0db10836d9826a528ca76567805",
     "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
     "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"},
    {"RFC 9381 Example 17", POA_VRF_TAI,
     "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
     "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
     "3bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926d"
     "a3ef39226bbc355bdc9850112c8f4b02",
     "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
     "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031"},
    {"RFC 9381 Example 18", POA_VRF_TAI,
     "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
     "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
     "96bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a"
     "2d41b00b05081ed0f58ee5e31b3a970e",
     "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
     "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f"},
    {"RFC 9381 Example 19", POA_VRF_ELL2,
     "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
     "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f"
     "14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2"
     "fb37831e00f0acaa6d73bc9997b06501",
     "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cc"
     "cf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54"},
    {"RFC 9381 Example 20", POA_VRF_ELL2,
     "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
     "47b327393ff2dd81336f8a2ef10339112401253b3c714eeda879f12c509072ef"
     "055b48372bb82efbdce8e10c8cb9a2f9d60e93908f93df1623ad78a86a028d6b"
     "c064dbfc75a6a57379ef855dc6733801",
     "38561d6b77b71d30eb97a062168ae12b667ce5c28caccdf76bc88e093e463598"
     "7cd96814ce55b4689b3dd2947f80e59aac7b7675f8083865b46c89b2ce9cc735"},
    {"RFC 9381 Example 21", POA_VRF_ELL2,
     "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
     "926e895d308f5e328e7aa159c06eddbe56d06846abf5d98c2512235eaa57fdce"
     "35b46edfc655bc828d44ad09d1150f31374e7ef73027e14760d42e77341fe054"
     "67bb286cc2c9d7fde29120a0b2320d04",
     "121b7f9b9aaaa29099fc04a94ba52784d44eac976dd1a3cca458733be5cd090a"
     "7b5fbd148444f17f8daf1fb55cb04b1ae85a626e30a54b4b0f8abf4a43314a58"},
    {"facebook/akd akd-whatsapp_v1-fresh1-ver3", POA_VRF_TAI,
     "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "19f9bede9b6911309b352a1b1dc7328c856093a33649ef2391c81a7636566173",
     "c8420ebba728c7ef0f89a63eebafab0e1c23bc1431d5c00c43d3f5c2ee0e4ec2"
     "90f766ddec663283627741e89924ddad64a0a6a610ab895758ba4f835cb7248b"
     "ad09c7f643936f9733e6d0f2c3400200",
     "1ebcd0ddae05780a3052f0fe1238c1c1bba4323faec7a34e1e166a226790fb8e"
     "7309d10e84eb8b95258e2de1c547b004070b1c794f6c5d9ff83f6a70b607d490"},
    {"IntersectMBO/cardano-base vrf_ver13_generated_1", POA_VRF_ELL2,
     "0000000000000000000000000000000000000000000000000000000000000000", "00",
     "93d70c5ed59ccb21ca9991be561756939ff9753bf85764d2a7b937d6fbf91834"
     "4e78e1c96b1fe3a116c209872a887457474ece4936e0190b5167832c10712884"
     "ad12acdfff2e434aacb165e1f789660f",
     "9a4d34f87003412e413ca42feba3b6158bdf11db41c2bbde98961c5865400cfd"
     "ee07149b928b376db365c5d68459378b0981f1cb0510f1e0c194c4a17603d44d"},
};
#define VECTORS (sizeof vectors / sizeof vectors[0])

struct bytes {
    uint8_t seed[32], pk[32], alpha[64], pi[80], beta[64];
    size_t alpha_n;
};

static struct poa_slice alpha_of(const struct bytes *b)
{
    return poa_slice(b->alpha, b->alpha_n);
}

static struct bytes bytes_of(const struct vector *v)
{
    struct bytes b;
    b.alpha_n = strlen(v->alpha) / 2;
    cr_assert_leq(b.alpha_n, sizeof b.alpha);
    cr_assert_eq(poa_unhex(v->seed, b.seed, 32), POA_OK);
    cr_assert_eq(poa_unhex(v->alpha, b.alpha, b.alpha_n), POA_OK);
    cr_assert_eq(poa_unhex(v->pi, b.pi, 80), POA_OK);
    cr_assert_eq(poa_unhex(v->beta, b.beta, 64), POA_OK);
    poa_ed25519_public(b.seed, b.pk);
    return b;
}

Test(vrf, selftest_passes)
{
    cr_assert_eq(poa_crypto_init(), POA_OK);
    cr_assert_eq(poa_vrf_selftest(), POA_OK);
}

Test(vrf, published_proofs)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct bytes b = bytes_of(&vectors[i]);
        uint8_t pi[80], beta[64];
        cr_assert_eq(poa_vrf_prove(vectors[i].suite, b.seed, b.pk, alpha_of(&b), pi), POA_OK);
        cr_assert_eq(memcmp(pi, b.pi, 80), 0, "%s: pi", vectors[i].name);
        cr_assert_eq(poa_vrf_verify(vectors[i].suite, b.pk, alpha_of(&b), b.pi, beta), POA_OK, "%s",
                     vectors[i].name);
        cr_assert_eq(memcmp(beta, b.beta, 64), 0, "%s: beta", vectors[i].name);
        memset(beta, 0, 64);
        cr_assert_eq(poa_vrf_proof_to_hash(vectors[i].suite, b.pi, beta), POA_OK);
        cr_assert_eq(memcmp(beta, b.beta, 64), 0, "%s: proof_to_hash", vectors[i].name);
        cr_assert_eq(poa_vrf_verify(vectors[i].suite, b.pk, alpha_of(&b), b.pi, NULL), POA_OK);
    }
}

Test(vrf, every_changed_bit_is_refused)
{
    for (size_t i = 0; i < VECTORS; i += 3) {
        struct bytes b = bytes_of(&vectors[i]);
        uint8_t beta[64] = {0x5a};
        for (int bit = 0; bit < 640; bit += 3) {
            b.pi[bit / 8] ^= (uint8_t)(1 << bit % 8);
            cr_assert_eq(poa_vrf_verify(vectors[i].suite, b.pk, alpha_of(&b), b.pi, beta),
                         POA_E_PROOF, "%s: bit %d", vectors[i].name, bit);
            b.pi[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        cr_assert_eq(beta[0], 0x5a, "beta is not touched");
    }
}

Test(vrf, proof_is_for_its_key_alpha_and_suite)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct bytes b = bytes_of(&vectors[i]);
        enum poa_vrf_suite other = vectors[i].suite == POA_VRF_TAI ? POA_VRF_ELL2 : POA_VRF_TAI;
        uint8_t seed[32] = {1}, pk[32], beta[64];
        poa_ed25519_public(seed, pk);
        cr_assert_eq(poa_vrf_verify(vectors[i].suite, pk, alpha_of(&b), b.pi, beta), POA_E_PROOF);
        cr_assert_eq(poa_vrf_verify(other, b.pk, alpha_of(&b), b.pi, beta), POA_E_PROOF);
        b.alpha[b.alpha_n++] = 0;
        cr_assert_eq(poa_vrf_verify(vectors[i].suite, b.pk, alpha_of(&b), b.pi, beta), POA_E_PROOF);
    }
}

Test(vrf, s_must_be_below_the_order)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    struct bytes b = bytes_of(&vectors[0]);
    uint8_t beta[64];
    unsigned carry = 0;
    for (int i = 0; i < 32; i++) {
        carry += (unsigned)b.pi[48 + i] + order[i];
        b.pi[48 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    cr_assert_eq(poa_vrf_verify(POA_VRF_TAI, b.pk, alpha_of(&b), b.pi, beta), POA_E_PROOF);
    cr_assert_eq(poa_vrf_proof_to_hash(POA_VRF_TAI, b.pi, beta), POA_E_PROOF);
}

Test(vrf, keys_of_small_order_are_refused)
{
    /* Both spellings of the identity too: y = 1 and y = p + 1. */
    static const char *const keys[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0200000000000000000000000000000000000000000000000000000000000000",
    };
    struct bytes b = bytes_of(&vectors[0]);
    uint8_t pk[32], beta[64];
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        cr_assert_eq(poa_unhex(keys[i], pk, 32), POA_OK);
        cr_assert_eq(poa_vrf_verify(POA_VRF_TAI, pk, alpha_of(&b), b.pi, beta), POA_E_KEY, "%s",
                     keys[i]);
    }
}

/* With c = 0 the proof says nothing about the key, and only the hash stands in
 * the way; it must be computed without error, not refused by accident. */
Test(vrf, zero_scalars_are_arithmetic_not_errors)
{
    struct bytes b = bytes_of(&vectors[0]);
    uint8_t beta[64];
    memset(b.pi + 32, 0, 16);
    cr_assert_eq(poa_vrf_verify(POA_VRF_TAI, b.pk, alpha_of(&b), b.pi, beta), POA_E_PROOF);
    memset(b.pi + 48, 0, 32);
    cr_assert_eq(poa_vrf_verify(POA_VRF_TAI, b.pk, alpha_of(&b), b.pi, beta), POA_E_PROOF);
    memset(b.pi, 0, 80);
    cr_assert_eq(poa_vrf_verify(POA_VRF_TAI, b.pk, alpha_of(&b), b.pi, beta), POA_E_PROOF);
}

/* A prover can add a point of small order to Gamma; the proof is another, the
 * output is not. This one was ground until c is a multiple of 8. */
Test(vrf, beta_does_not_depend_on_small_order_parts)
{
    static const char *const cases[][4] = {
        {"3f5eb17730d046d22bb302ddbc591686e127c90d2c16a52660cd99131fa97df8",
         "be28d896b4718ebd72335905bcdbcb1bc0fe011d7159ba60",
         "26638949ceaf36a1ac81578fed41640a80051400b1f7b97ab4d1e37d87a41523"
         "d02003aca2bbcdd27539bf6d8ac10879a61223bd4e1434efc7e4e52b0e09dea8"
         "71d9993bbce09615371a7db77dd75302",
         "8b6be535ec8b8e3f2063fdc4e961ecf3ff197d6dd3659905d944e40d5737a398"
         "9ca46fbd69348bf1274d0b33fdb4637f8eeac784afb175f3cdedd596f2f33058"},
        {"4e4b321473c4f8751e80963baba9e71fa1ccdaf15428bbf73937fbe18266ecca",
         "e7c71b9a0000ed040787209321b74326292b3a4b2e2628f0",
         "f0072a9706c35221e16e8fafb9d37bc9b8f29bb967eb27635fcccb2b7526d541"
         "3e9e2ae2b0c724006079c3692bb5f62c0e535db5ac1e186dcf1162ce1aa84326"
         "6fdacdfa2d96c947ee8df08ca3fa610e",
         "bad66a2d27880ee50a87db3dfdaacb5c16cc0515de19b53f6a1ed07e4098067c"
         "b5e705b1ea11acaf87f33cd756e7fd32b59cfa65b6b32435ca284f0fac6ddcbe"},
        {"aea14e88cf2fb92dd44cfd2243a6e9791ed836f2d3e95ad99f3266ece0568207",
         "be28d896b4718ebd72335905bcdbcb1bc0fe011d7159ba60",
         "274e0dfba3f1dc1eaf3632a08ac60acfb8af7c5db213d1110176509a93863844"
         "06594e3f4dbede4d09c95dc7dd1941a4e079892b0e037a7351075f82d8c0ed20"
         "d2780dd9325aa8f1fc9c2d4e8c100308",
         "b9b61f0aabc13b396e5107845be9e7b3c6162f7886e830a7ec8fd95bfee6b0d3"
         "7abf9b9d9fbb11ea3ef9fc0cf3cc34be1c664591c72ef4f9ddf171e0622b6dbe"},
        {"9fb4cdeb8c3b078ae17f69c4545618e05e33250eabd74408c6c8041e7d991335",
         "e7c71b9a0000ed040787209321b74326292b3a4b2e2628f0",
         "77730be080b2599841340e473283034e7cf455710c444a7866f2695374564ea0"
         "78af4c1056446b54fe8fcfc856244f7eb1fa397d584f3774c33a9e7fbe227689"
         "9eef75208b551d941b92132aee414c03",
         "bf276140ef4298961506d661faf956786063f33aead783dad14740df60c2aeb1"
         "1d6e5b4e607e8da957cde64f21d82a889dd86908a865e1e322a5ace8d8a8c9b2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t pk[32], alpha[64], pi[80], want[64], beta[64];
        size_t n = strlen(cases[i][1]) / 2;
        cr_assert_eq(poa_unhex(cases[i][0], pk, 32), POA_OK);
        cr_assert_eq(poa_unhex(cases[i][1], alpha, n), POA_OK);
        cr_assert_eq(poa_unhex(cases[i][2], pi, 80), POA_OK);
        cr_assert_eq(poa_unhex(cases[i][3], want, 64), POA_OK);
        enum poa_vrf_suite suite = i % 2 == 0 ? POA_VRF_TAI : POA_VRF_ELL2;
        cr_assert_eq(poa_vrf_verify(suite, pk, poa_slice(alpha, n), pi, beta), POA_OK, "%zu", i);
        cr_assert_eq(memcmp(beta, want, 64), 0, "%zu", i);
    }
}

Test(vrf, strings_of_any_length)
{
    struct bytes b = bytes_of(&vectors[0]);
    uint8_t beta[64], pi[81] = {0};
    const struct poa_slice pk = poa_slice(b.pk, 32);
    memcpy(pi, b.pi, 80);
    for (size_t n = 0; n <= 81; n++)
        cr_assert_eq(poa_vrf_verify_strings(POA_VRF_TAI, pk, alpha_of(&b), poa_slice(pi, n), beta),
                     n == 80 ? POA_OK : POA_E_PROOF);
    cr_assert_eq(poa_vrf_verify_strings(POA_VRF_TAI, poa_slice(b.pk, 31), alpha_of(&b),
                                        poa_slice(pi, 80), beta),
                 POA_E_KEY);
}

Test(vrf, unknown_suites_are_refused)
{
    struct bytes b = bytes_of(&vectors[0]);
    enum poa_vrf_suite suite = (enum poa_vrf_suite)1;
    uint8_t beta[64];
    cr_assert_eq(poa_vrf_prove(suite, b.seed, b.pk, alpha_of(&b), b.pi), POA_E_RANGE);
    cr_assert_eq(poa_vrf_verify(suite, b.pk, alpha_of(&b), b.pi, beta), POA_E_RANGE);
    cr_assert_eq(poa_vrf_proof_to_hash(suite, b.pi, beta), POA_E_RANGE);
}

/* Proofs of many keys and messages verify, with the output that the prover sees. */
Test(vrf, round_trips)
{
    for (uint8_t i = 0; i < 60; i++) {
        uint8_t seed[32] = {i, 1}, pk[32], pi[80], beta[64], again[64], alpha[60] = {i};
        enum poa_vrf_suite suite = i % 2 ? POA_VRF_TAI : POA_VRF_ELL2;
        poa_ed25519_public(seed, pk);
        cr_assert_eq(poa_vrf_prove(suite, seed, pk, poa_slice(alpha, i), pi), POA_OK);
        cr_assert_eq(poa_vrf_verify(suite, pk, poa_slice(alpha, i), pi, beta), POA_OK, "%d", i);
        cr_assert_eq(poa_vrf_proof_to_hash(suite, pi, again), POA_OK);
        cr_assert_eq(memcmp(beta, again, 64), 0);
    }
}
