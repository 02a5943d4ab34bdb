/* Start-up self-test: one published answer per primitive, and the traps that a
 * damaged or outdated libsodium falls into. */
#include "poa_crypto.h"

#include <string.h>

static bool is_hex(const uint8_t *bytes, size_t n, const char *hex)
{
    uint8_t want[64];
    return poa_unhex(hex, want, n) == POA_OK && memcmp(bytes, want, n) == 0;
}

static bool blake2b(void) /* RFC 7693, appendix A */
{
    uint8_t out[64], a[32], b[32];
    poa_blake2b("abc", 3, NULL, 0, out, 64);
    poa_hash(POA_DOMAIN_TX, "abc", 3, a);
    poa_hash(POA_DOMAIN_TX_SIG, "abc", 3, b);
    return is_hex(out, 64,
                  "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                  "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923") &&
           memcmp(a, b, 32) != 0;
}

static bool sha2(void) /* FIPS 180-4, and RFC 4231 test case 2 */
{
    struct poa_sha512_state s;
    uint8_t out[64];
    poa_sha256("abc", 3, out);
    if (!is_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
        return false;
    poa_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    if (!is_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
        return false;
    poa_sha512_init(&s);
    poa_sha512_update(&s, "abc", 3);
    poa_sha512_final(&s, out);
    return is_hex(out, 64,
                  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static bool ed25519(void) /* RFC 8032, section 7.1, test 1 */
{
    static const char seed_hex[] =
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    uint8_t seed[32], pk[32], sig[64], bad[64];
    if (poa_unhex(seed_hex, seed, 32) != POA_OK)
        return false;
    poa_ed25519_public(seed, pk);
    poa_ed25519_sign(seed, pk, "", 0, sig);
    if (!is_hex(pk, 32, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a") ||
        !is_hex(sig, 64,
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b") ||
        poa_ed25519_verify(pk, "", 0, sig) != POA_OK ||
        poa_ed25519_verify(pk, "x", 1, sig) != POA_E_SIGNATURE)
        return false;
    /* s + L is the same scalar and must be refused. */
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    unsigned carry = 0;
    memcpy(bad, sig, 64);
    for (int i = 0; i < 32; i++) {
        carry += (unsigned)bad[32 + i] + order[i];
        bad[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    return poa_ed25519_verify(pk, "", 0, bad) == POA_E_SIGNATURE;
}

/* With a low-order key A = identity, R = identity and s = 0 sign any message. */
static bool low_order_key(void)
{
    uint8_t pk[32] = {1}, sig[64] = {1}, x[32];
    return poa_ed25519_verify(pk, "any", 3, sig) == POA_E_SIGNATURE &&
           poa_ed25519_pk_to_x25519(pk, x) == POA_E_KEY;
}

/* CVE-2025-69277: the main-subgroup check of older libsodium accepts points of
 * order 2L, of which this is one. */
static bool order_2l(void)
{
    uint8_t p[32], q[32], one[32] = {1};
    memset(p, 0x99, sizeof p);
    p[0] = 0x95;
    return poa_point_check(p) == POA_OK && !poa_point_is_prime_order(p) &&
           poa_ed25519_pk_to_x25519(p, q) == POA_E_KEY &&
           /* through the path for points outside the subgroup: 1 * P is P */
           poa_point_mul(one, p, q) == POA_OK && memcmp(p, q, 32) == 0;
}

static bool point_encoding(void)
{
    uint8_t p[32] = {1}, q[32];
    p[31] = 0x80; /* x = 0 with a sign */
    if (poa_point_check(p) != POA_E_KEY || poa_point_mul_cofactor(p, q) != POA_E_KEY)
        return false;
    memset(p, 0xff, sizeof p);
    p[0] = 0xee; /* y = p + 1, the identity in another spelling */
    p[31] = 0x7f;
    return poa_point_check(p) == POA_E_KEY && poa_point_mul_cofactor(p, q) == POA_E_KEY;
}

static bool x25519(void) /* RFC 7748, section 5.2; and a low-order public key */
{
    uint8_t sk[32], pk[32], out[32];
    if (poa_unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", sk, 32) !=
            POA_OK ||
        poa_unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", pk, 32) !=
            POA_OK ||
        poa_x25519(sk, pk, out) != POA_OK ||
        !is_hex(out, 32, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"))
        return false;
    memset(pk, 0, sizeof pk);
    return poa_x25519(sk, pk, out) == POA_E_KEY;
}

/* Key, additional data and text of RFC 8439, section 2.8.2, which
 * draft-irtf-cfrg-xchacha A.3.1 uses too. */
static bool aead(void)
{
    static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                               "only one tip for the future, sunscreen would be it.";
    static const uint8_t ad[12] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
                                   0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
    static const uint8_t nonce[12] = {7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47};
    const size_t n = sizeof text - 1;
    uint8_t key[32], xnonce[24], out[sizeof text - 1 + 16];
    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)(0x80 + i);
    for (unsigned i = 0; i < 24; i++)
        xnonce[i] = (uint8_t)(0x40 + i);

    poa_aead_seal(key, nonce, poa_slice(ad, sizeof ad), poa_slice(text, n), out);
    if (!is_hex(out + n, 16, "1ae10b594f09e26a7e902ecbd0600691") ||
        poa_aead_open(key, nonce, poa_slice(ad, sizeof ad), poa_slice(out, n + 16), out) !=
            POA_OK ||
        memcmp(out, text, n) != 0)
        return false;
    poa_xaead_seal(key, xnonce, poa_slice(ad, sizeof ad), poa_slice(text, n), out);
    if (!is_hex(out + n, 16, "c0875924c1c7987947deafd8780acf49"))
        return false;
    out[0] ^= 1;
    return poa_xaead_open(key, xnonce, poa_slice(ad, sizeof ad), poa_slice(out, n + 16), out) ==
           POA_E_DECRYPT;
}

int poa_crypto_selftest_device(const char **what)
{
    static const struct {
        const char *name;
        bool (*holds)(void);
    } tests[] = {
        {"BLAKE2b", blake2b},
        {"SHA-256, SHA-512, HMAC", sha2},
        {"Ed25519", ed25519},
        {"Ed25519 refuses low-order keys", low_order_key},
        {"edwards25519 refuses points of order 2L (libsodium needs the fix of CVE-2025-69277)",
         order_2l},
        {"edwards25519 refuses non-canonical points", point_encoding},
        {"X25519", x25519},
        {"ChaCha20-Poly1305", aead},
    };
    *what = "libsodium does not start";
    int rc = poa_crypto_init();
    for (size_t i = 0; rc == POA_OK && i < sizeof tests / sizeof tests[0]; i++)
        if (!tests[i].holds()) {
            *what = tests[i].name;
            rc = POA_E_SELFTEST;
        }
    if (rc == POA_OK)
        *what = "";
    return rc;
}
