/* Every committee of up to 7, every set of bad members, every way in which the
 * honest ones split between two blocks: when can both have a certificate? Asked
 * of the check that nodes and devices run. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_bounds.h"
#include "poa_witness.h"

#define N_MAX 7u

static const uint8_t chain[32] = {1, 2, 3};

/* A signature that costs nothing: the hash of key and message, twice. */
static void sign(const uint8_t pk32[32], const void *msg, size_t n, uint8_t sig64[64])
{
    poa_hash2(POA_DOMAIN_VOTE, pk32, 32, msg, n, sig64);
    memcpy(sig64 + 32, sig64, 32);
}

static int verify(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64])
{
    uint8_t want[64];
    sign(pk32, msg, n, want);
    return memcmp(want, sig64, 64) ? POA_E_SIGNATURE : POA_OK;
}

static const struct poa_suite hashes = {.verify = verify};

static uint8_t bytes[N_MAX * 42];
static struct poa_committee committee_of(uint32_t n, uint32_t q)
{
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    for (uint32_t i = 0; i < n; i++) {
        struct poa_member m = {.key = {(uint8_t)(i + 1)}};
        cr_assert_eq(poa_member_encode(&w, &m), POA_OK);
    }
    struct poa_committee c = {
        .epoch = 1, .quorum = (uint16_t)q, .members = {.bytes = poa_written(&w), .count = n}};
    cr_assert_eq(poa_committee_check(&c), POA_OK);
    return c;
}

/* Whether the members in MASK make a certificate for block BLOCK. */
static bool certifies(const struct poa_committee *c, uint32_t mask, uint8_t block)
{
    uint8_t sigs[N_MAX * 64] = {0}, digest[32];
    struct poa_cert cert = {
        .kind = POA_VOTE_NOTARIZE, .epoch = c->epoch, .view = 1, .hash = {block}};
    cert.sigs.bytes = poa_slice(sigs, 0);
    poa_vote_digest(chain, cert.kind, cert.epoch, cert.view, cert.hash, digest);
    for (uint32_t i = 0; i < c->members.count; i++) {
        uint8_t key[32];
        if (!(mask >> i & 1))
            continue;
        cr_assert_eq(poa_committee_key(c, i, key), POA_OK);
        cert.signers[0] |= (uint8_t)(1 << i);
        sign(key, digest, 32, sigs + 64 * cert.sigs.count++);
        cert.sigs.bytes.n += 64;
    }
    return poa_cert_check(&hashes, chain, c, &cert) == POA_OK;
}

static uint32_t bits(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

Test(quorum, two_certificates_share_an_honest_witness)
{
    for (uint32_t n = 1; n <= N_MAX; n++)
        for (uint32_t f = poa_committee_faults(n), q = n - f; q <= n; q++) {
            struct poa_committee c = committee_of(n, q);
            bool a[1 << N_MAX], b[1 << N_MAX];
            for (uint32_t mask = 0; mask < 1u << n; mask++) {
                a[mask] = certifies(&c, mask, 0xaa);
                b[mask] = certifies(&c, mask, 0xbb);
                cr_assert_eq(a[mask], bits(mask) >= q);
            }
            for (uint32_t bad = 0; bad < 1u << n; bad++)
                for (uint32_t x = 0; bits(bad) <= f && x < 1u << n; x++)
                    for (uint32_t y = 0; a[x] && y < 1u << n; y++)
                        if (b[y])
                            cr_assert(x & y & ~bad, "n=%u q=%u bad=%x: %x and %x", n, q, bad, x, y);
        }
}

/* The honest vote once per view, for one of the blocks or none; the bad sign
 * whatever is asked. A fork takes exactly the 2q-n of the bound, no fewer, and
 * forging without help the q of the whitepaper's. */
Test(quorum, a_fork_takes_as_many_as_the_bound_says)
{
    for (uint32_t n = 1; n <= N_MAX; n++)
        for (uint32_t q = n - poa_committee_faults(n); q <= n; q++) {
            struct poa_committee c = committee_of(n, q);
            uint32_t fork = n + 1, forge = n + 1;
            for (uint32_t bad = 0; bad < 1u << n; bad++) {
                uint32_t honest = ((1u << n) - 1) & ~bad;
                /* Who votes for the first block; everybody else for the second. */
                for (uint32_t x = honest;; x = (x - 1) & honest) {
                    if (certifies(&c, x | bad, 0xaa) && certifies(&c, (honest & ~x) | bad, 0xbb) &&
                        bits(bad) < fork)
                        fork = bits(bad);
                    if (!x)
                        break;
                }
                if (certifies(&c, bad, 0xaa) && bits(bad) < forge)
                    forge = bits(bad);
            }
            cr_assert_eq(fork, 2 * q - n, "n=%u q=%u: %u", n, q, fork);
            cr_assert_eq(forge, q, "n=%u q=%u: %u", n, q, forge);
            /* and the bounds count from there */
            struct poa_bounds b = poa_bounds_binomial(n, q, 0.25, 0);
            cr_assert_eq(b.fork.value, poa_binomial_tail(n, 0.25, fork).value);
            cr_assert_eq(b.forge.value, poa_binomial_tail(n, 0.25, forge).value);
        }
}
