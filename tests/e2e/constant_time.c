/* What runs on secrets takes no branch and reads no address that depends on them. Run
 * under valgrind: secrets are marked as undefined memory, so memcheck reports each
 * such branch and address in the very machine code that runs, libsodium's included
 * (the idea is Adam Langley's ctgrind). What a function gives away on purpose is marked
 * as public again; what is left out, and why, is in constant_time.sh.
 *
 * constant_time WHAT: prints how many reports there were; exit 1 when there were any. */
#include <dlfcn.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "poa_keys.h"
#include "poa_session.h"
#include "poa_vrf.h"

#define SECRET(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED(p, n))
#define PUBLIC(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED(p, n))

/* --- verdicts ---------------------------------------------------------------------
 *
 * Whether a tag is right, or a key is one that no honest party has, is what these
 * functions are asked, and everybody sees the answer. What they compute on the way stays
 * secret. The dynamic linker finds them here before libsodium. */
#define VERDICT(name, parameters, arguments)                                                       \
    int name parameters                                                                            \
    {                                                                                              \
        int(*next) parameters;                                                                     \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        memcpy(&next, &found, sizeof next);                                                        \
        int verdict = next arguments;                                                              \
        PUBLIC(&verdict, sizeof verdict);                                                          \
        return verdict;                                                                            \
    }
typedef unsigned char u8;
typedef unsigned long long size;
VERDICT(crypto_scalarmult_curve25519, (u8 * q, const u8 *n, const u8 *p), (q, n, p))
VERDICT(crypto_scalarmult_ed25519_noclamp, (u8 * q, const u8 *n, const u8 *p), (q, n, p))
VERDICT(crypto_scalarmult_ed25519_base_noclamp, (u8 * q, const u8 *n), (q, n))
VERDICT(sodium_is_zero, (const u8 *n, const size_t bytes), (n, bytes))
VERDICT(crypto_aead_chacha20poly1305_ietf_decrypt,
        (u8 * m, size *mn, u8 *ns, const u8 *c, size cn, const u8 *ad, size adn, const u8 *n,
         const u8 *k),
        (m, mn, ns, c, cn, ad, adn, n, k))
VERDICT(crypto_aead_xchacha20poly1305_ietf_decrypt,
        (u8 * m, size *mn, u8 *ns, const u8 *c, size cn, const u8 *ad, size adn, const u8 *n,
         const u8 *k),
        (m, mn, ns, c, cn, ad, adn, n, k))
VERDICT(crypto_box_seal_open, (u8 * m, const u8 *c, size n, const u8 *pk, const u8 *sk),
        (m, c, n, pk, sk))

static void need(int e, const char *what)
{
    PUBLIC(&e, sizeof e);
    if (e) {
        fprintf(stderr, "constant_time: %s: %s\n", what, poa_error_text(e));
        exit(2);
    }
}

/* N secret bytes. */
static void draw(uint8_t *p, size_t n)
{
    poa_random(p, n);
    SECRET(p, n);
}

static void identities(void)
{
    uint8_t seed[32], pk[32], x_sk[32], x_pk[32], sig[64];
    draw(seed, 32);
    poa_ed25519_public(seed, pk);
    PUBLIC(pk, 32);
    poa_ed25519_sign(seed, pk, "message", 7, sig);
    PUBLIC(sig, 64);
    need(poa_ed25519_verify(pk, "message", 7, sig), "signature");
    poa_ed25519_seed_to_x25519(seed, x_sk);
    poa_x25519_public(x_sk, x_pk);
    PUBLIC(x_pk, 32);
}

static void handshake(const struct poa_noise_pattern *pattern, struct poa_session out[2])
{
    uint8_t sk[2][32], pk[2][32], e[2][32], bytes[512], text[64];
    struct poa_noise n[2];
    for (int i = 0; i < 2; i++) {
        draw(sk[i], 32);
        draw(e[i], 32);
        poa_x25519_public(sk[i], pk[i]);
        PUBLIC(pk[i], 32);
    }
    for (int i = 0; i < 2; i++) {
        struct poa_noise_config c = {.pattern = pattern,
                                     .initiator = i == 0,
                                     .static_sk32 = sk[i],
                                     .static_pk32 = pk[i],
                                     .remote_pk32 = pk[1 - i],
                                     .ephemeral32 = e[i]};
        need(poa_noise_init(&n[i], &c), "init");
    }
    for (int m = 0; m < pattern->messages; m++) {
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        struct poa_writer r = poa_writer_over(text, sizeof text);
        uint8_t payload[20];
        draw(payload, sizeof payload);
        need(poa_noise_write(&n[m % 2], poa_slice(payload, sizeof payload), &w), "write");
        PUBLIC(bytes, w.n);
        need(poa_noise_read(&n[1 - m % 2], poa_written(&w), &r), "read");
    }
    for (int i = 0; i < 2; i++) {
        need(poa_session_start(&out[i], &n[i], POA_SESSION_STRICT), "start");
        PUBLIC(&out[i].id, sizeof out[i].id); /* it is sent */
        poa_noise_wipe(&n[i]);
    }
}

static void frames(struct poa_session s[2])
{
    static uint8_t plain[1000], bytes[1100], text[1000];
    for (int i = 0; i < 3; i++) {
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        struct poa_writer r = poa_writer_over(text, sizeof text);
        draw(plain, sizeof plain);
        /* Both epochs of the keys. */
        if (i == 2)
            s[0].send.n = POA_SESSION_EPOCH_FRAMES;
        need(poa_session_seal(&s[0], poa_slice(plain, sizeof plain), &w), "seal");
        PUBLIC(bytes, w.n);
        need(poa_session_open(&s[1], poa_written(&w), &r), "open");
        /* A forged one. */
        bytes[w.n - 1] ^= 1;
        bytes[8] = (uint8_t)(bytes[8] + 1);
        r.n = 0;
        int e = poa_session_open(&s[1], poa_written(&w), &r);
        PUBLIC(&e, sizeof e);
        need(e == POA_E_DECRYPT ? POA_OK : POA_E_INVALID, "a forged frame");
    }
}

static void sessions(void)
{
    struct poa_session s[2], lane[2];
    uint8_t secret[32], nonces[64];
    handshake(&poa_noise_ik, s);
    for (int i = 0; i < 2; i++)
        need(poa_session_lane(&lane[i], &s[i], 1, POA_SESSION_STRICT), "lane");
    frames(s);
    frames(lane);
    handshake(&poa_noise_xx, s);
    frames(s);
    draw(secret, 32);
    poa_random(nonces, sizeof nonces);
    for (int i = 0; i < 2; i++) {
        poa_session_resume(&s[i], i == 0, secret, nonces);
        PUBLIC(&s[i].id, sizeof s[i].id);
    }
    frames(s);
}

static void lottery(void)
{
    static const enum poa_vrf_suite suite[] = {POA_VRF_TAI, POA_VRF_ELL2};
    uint8_t seed[32], pk[32], pi[80], beta[64];
    for (int i = 0; i < 2; i++) {
        draw(seed, 32);
        poa_ed25519_public(seed, pk);
        PUBLIC(pk, 32);
        need(poa_vrf_prove(suite[i], seed, pk, poa_slice("alpha", 5), pi), "prove");
        PUBLIC(pi, sizeof pi);
        need(poa_vrf_verify(suite[i], pk, poa_slice("alpha", 5), pi, beta), "verify");
    }
}

/* Passes of gateways, key files, boxes of packs. */
static void boxes(void)
{
    uint8_t key[32], nonce[24], plain[100], box[116], pk[32], sealed[80];
    draw(key, 32);
    poa_random(nonce, sizeof nonce);
    draw(plain, sizeof plain);
    poa_xaead_seal(key, nonce, poa_slice("ad", 2), poa_slice(plain, sizeof plain), box);
    PUBLIC(box, sizeof box);
    need(poa_xaead_open(key, nonce, poa_slice("ad", 2), poa_slice(box, sizeof box), plain), "box");
    poa_x25519_public(key, pk);
    PUBLIC(pk, 32);
    draw(plain, 32);
    need(poa_sealed_make(pk, plain, sealed), "sealed");
    PUBLIC(sealed, sizeof sealed);
    need(poa_sealed_open(key, sealed, plain), "opened");
}

static void comparison(void)
{
    uint8_t a[64], b[64];
    bool same;
    for (int i = 0; i < 64; i += 7) {
        poa_random(a, sizeof a);
        memcpy(b, a, sizeof b);
        b[i] ^= 1;
        SECRET(a, sizeof a);
        SECRET(b, sizeof b);
        same = poa_equal_ct(a, b, sizeof a);
        PUBLIC(&same, sizeof same);
        need(same ? POA_E_INVALID : POA_OK, "comparison");
    }
}

/* What this must find, else it finds nothing. */
static void planted_branch(void)
{
    uint8_t a[32], b[32] = {0};
    draw(a, 32);
    volatile int same = memcmp(a, b, 32);
    (void)same;
}

static void planted_table(void)
{
    static volatile uint8_t table[256];
    uint8_t a[1];
    draw(a, 1);
    volatile uint8_t x = table[a[0]];
    (void)x;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } part[] = {
        {"identities", identities},
        {"sessions", sessions},
        {"lottery", lottery},
        {"boxes", boxes},
        {"comparison", comparison},
        {"planted-branch", planted_branch},
        {"planted-table", planted_table},
    };
    if (!RUNNING_ON_VALGRIND) {
        fprintf(stderr, "constant_time: run it under valgrind\n");
        return 2;
    }
    need(poa_crypto_init(), "libsodium");
    for (size_t i = 0; argc == 2 && i < sizeof part / sizeof part[0]; i++)
        if (!strcmp(argv[1], part[i].name)) {
            part[i].run();
            unsigned reports = (unsigned)VALGRIND_COUNT_ERRORS;
            printf("%s: %u\n", part[i].name, reports);
            return reports > 0;
        }
    fprintf(stderr, "constant_time: which part?\n");
    return 2;
}
