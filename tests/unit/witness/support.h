/* Keys, committees and signed records for the tests of this module. */
#ifndef WITNESS_SUPPORT_H
#define WITNESS_SUPPORT_H

#include <criterion/criterion.h>
#include <string.h>

#include "poa_witness.h"

#define SUITE (&poa_suite_ed25519)

struct committee {
    uint32_t n;
    uint8_t seed[POA_COMMITTEE_MAX][32], key[POA_COMMITTEE_MAX][32];
    uint8_t bytes[POA_COMMITTEE_MAX * 42];
    struct poa_committee c;
};

static const uint8_t chain_a[32] = {1, 2, 3}, chain_b[32] = {9};

static inline void committee_make(struct committee *m, uint32_t n, uint16_t quorum)
{
    struct poa_writer w = poa_writer_over(m->bytes, sizeof m->bytes);
    m->n = n;
    for (uint32_t i = 0; i < n; i++) {
        struct poa_member member = {.maker = i, .region = (uint16_t)i, .provider = i};
        memset(m->seed[i], 0, 32);
        poa_put_le32(m->seed[i], i + 1);
        poa_ed25519_public(m->seed[i], m->key[i]);
        memcpy(member.key, m->key[i], 32);
        cr_assert_eq(poa_member_encode(&w, &member), POA_OK);
    }
    m->c = (struct poa_committee){
        .epoch = 5, .quorum = quorum, .members = {.bytes = poa_written(&w), .count = n}};
    cr_assert_eq(poa_committee_check(&m->c), POA_OK);
}

static inline struct poa_vote vote_make(const struct committee *m, uint16_t voter, uint8_t kind,
                                        uint64_t view, uint8_t mark)
{
    struct poa_vote v = {.kind = kind, .epoch = m->c.epoch, .view = view, .voter = voter};
    uint8_t digest[32];
    if (kind != POA_VOTE_NULLIFY)
        memset(v.hash, mark, 32);
    poa_vote_digest(chain_a, kind, v.epoch, view, v.hash, digest);
    SUITE->sign(m->seed[voter], m->key[voter], digest, 32, v.sig);
    return v;
}

/* A certificate by the members in MASK; SIGS takes 64 bytes each. */
static inline struct poa_cert cert_make(const struct committee *m, uint8_t kind, uint64_t view,
                                        const uint8_t hash[32], uint32_t mask, uint8_t *sigs)
{
    struct poa_cert c = {.kind = kind, .epoch = m->c.epoch, .view = view};
    uint8_t digest[32];
    memcpy(c.hash, hash, 32);
    c.sigs.bytes = poa_slice(sigs, 0);
    poa_vote_digest(chain_a, kind, c.epoch, view, hash, digest);
    for (uint32_t i = 0; i < m->n; i++) {
        if (!(mask >> i & 1))
            continue;
        c.signers[i / 8] |= (uint8_t)(1 << i % 8);
        SUITE->sign(m->seed[i], m->key[i], digest, 32, sigs + 64 * c.sigs.count);
        c.sigs.count++;
        c.sigs.bytes.n += 64;
    }
    return c;
}

static inline struct poa_header header_make(const struct committee *m, uint64_t view,
                                            uint64_t height)
{
    struct poa_header h = {
        .version = 1, .epoch = m->c.epoch, .view = view, .height = height, .time_ms = 1000};
    memcpy(h.chain, chain_a, 32);
    return h;
}

#endif
