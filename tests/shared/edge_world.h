/* A small chain in memory for the tests of the device edge: committees that
 * sign, headers by slot, hand-overs. Deterministic. */
#ifndef EDGE_WORLD_H
#define EDGE_WORLD_H

#include <criterion/criterion.h>
#include <string.h>

#include "poa_device.h"

#define SUITE         (&poa_suite_ed25519)
#define MEMBERS       4
#define QUORUM        3
#define ALL           0xfu
#define GENESIS_MS    UINT64_C(1700000000000)
#define SLOT_MS       250
#define WINDOW        16
#define SEATS         3
#define SEAL_SLOTS    8
#define DRIFT_MS      200
#define HEIGHT_OF(sl) ((sl)*2 + 1)

struct world {
    uint8_t chain[32];
    struct poa_edge_params params;
    uint8_t seed[MEMBERS][32], key[MEMBERS][32];
    uint8_t device_seed[32], device_key[32];
    uint8_t gateway_seed[32], gateway_key[32];
};

/* An encoded header with its certificate. */
struct block {
    struct poa_header h;
    uint8_t hash[32];
    uint8_t header[POA_HEADER_BYTES];
    uint8_t cert[62 + 64 * MEMBERS];
    size_t cert_n;
};

static inline void world_keys(uint8_t seed[32], uint8_t key[32], uint32_t n)
{
    memset(seed, 0x5a, 32);
    poa_put_le32(seed, n);
    poa_ed25519_public(seed, key);
}

static inline void world_make(struct world *w, uint8_t policy)
{
    memset(w, 0, sizeof *w);
    cr_assert_eq(poa_crypto_init(), POA_OK);
    memset(w->chain, 0xc4, 32);
    w->params = (struct poa_edge_params){.genesis_ms = GENESIS_MS,
                                         .slot_ms = SLOT_MS,
                                         .window_slots = WINDOW,
                                         .seats_per_slot = SEATS,
                                         .seal_slots = SEAL_SLOTS,
                                         .drift_ms = DRIFT_MS,
                                         .policy = policy,
                                         .fee_min = 1,
                                         .fee_per_kib = 1};
    for (uint32_t i = 0; i < MEMBERS; i++)
        world_keys(w->seed[i], w->key[i], i + 1);
    world_keys(w->device_seed, w->device_key, 100);
    world_keys(w->gateway_seed, w->gateway_key, 200);
}

static inline uint64_t world_time(uint64_t slot)
{
    return GENESIS_MS + slot * SLOT_MS + 40;
}

/* The committee of EPOCH, encoded into BYTES; FIRST shifts the members' keys so
 * that another committee can be made. */
static inline struct poa_slice world_committee(const struct world *w, uint32_t epoch,
                                               uint8_t bytes[8 + 42 * MEMBERS])
{
    uint8_t members[42 * MEMBERS];
    struct poa_writer m = poa_writer_over(members, sizeof members);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct poa_member member = {.maker = i + 1, .region = 1, .provider = i + 1};
        memcpy(member.key, w->key[i], 32);
        cr_assert_eq(poa_member_encode(&m, &member), POA_OK);
    }
    struct poa_committee c = {
        .epoch = epoch, .quorum = QUORUM, .members = {poa_written(&m), MEMBERS}};
    struct poa_writer out = poa_writer_over(bytes, 8 + 42 * MEMBERS);
    cr_assert_eq(poa_committee_encode(&out, &c), POA_OK);
    return poa_written(&out);
}

static inline struct poa_edge_epoch world_epoch(uint32_t epoch, uint64_t first_slot,
                                                uint32_t eligible)
{
    struct poa_edge_epoch e = {.epoch = epoch, .eligible = eligible, .first_slot = first_slot};
    memset(e.seed, (int)(epoch + 1), 32);
    return e;
}

static inline void block_encode(struct block *b)
{
    struct poa_writer w = poa_writer_over(b->header, sizeof b->header);
    cr_assert_eq(poa_header_encode(&w, &b->h), POA_OK);
    poa_header_hash(&b->h, b->hash);
}

/* Signs B by the members in MASK. */
static inline void block_certify(const struct world *w, struct block *b, uint32_t mask)
{
    uint8_t sigs[64 * MEMBERS], digest[32];
    struct poa_cert c = {.kind = POA_VOTE_FINALIZE, .epoch = b->h.epoch, .view = b->h.view};
    memcpy(c.hash, b->hash, 32);
    poa_vote_digest(b->h.chain, c.kind, c.epoch, c.view, c.hash, digest);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (!(mask >> i & 1))
            continue;
        c.signers[0] |= (uint8_t)(1u << i);
        SUITE->sign(w->seed[i], w->key[i], digest, 32, sigs + 64 * c.sigs.count++);
    }
    c.sigs.bytes = poa_slice(sigs, 64 * c.sigs.count);
    struct poa_writer out = poa_writer_over(b->cert, sizeof b->cert);
    cr_assert_eq(poa_cert_encode(&out, &c), POA_OK);
    b->cert_n = out.n;
}

static inline struct block block_make(const struct world *w, uint32_t epoch, uint64_t slot)
{
    struct block b;
    memset(&b, 0, sizeof b);
    b.h.version = 1;
    memcpy(b.h.chain, w->chain, 32);
    b.h.epoch = epoch;
    b.h.view = slot + 1;
    b.h.height = HEIGHT_OF(slot);
    b.h.time_ms = world_time(slot);
    memset(b.h.body, 7, 32);
    block_encode(&b);
    block_certify(w, &b, ALL);
    return b;
}

/* The closing block of EPOCH that hands over to the next committee. */
static inline struct block block_closing(const struct world *w, uint32_t epoch, uint64_t slot)
{
    uint8_t bytes[8 + 42 * MEMBERS];
    struct poa_committee next;
    struct block b = block_make(w, epoch, slot);
    cr_assert_eq(poa_committee_decode(world_committee(w, epoch + 1, bytes), &next), POA_OK);
    b.h.kind = POA_BLOCK_CLOSING;
    poa_committee_hash(&next, b.h.next_committee);
    block_encode(&b);
    block_certify(w, &b, ALL);
    return b;
}

static inline struct block block_child(const struct world *w, const struct block *parent,
                                       uint8_t kind)
{
    struct block b = *parent;
    b.h.kind = kind;
    b.h.view++;
    b.h.height++;
    b.h.time_ms++;
    memset(b.h.next_committee, 0, 32);
    b.h.closing_height = kind == POA_BLOCK_FILLER ? parent->h.height : 0;
    memcpy(b.h.parent, parent->hash, 32);
    block_encode(&b);
    block_certify(w, &b, ALL);
    return b;
}

static inline struct poa_slice block_header(const struct block *b)
{
    return poa_slice(b->header, sizeof b->header);
}

static inline struct poa_slice block_cert(const struct block *b)
{
    return poa_slice(b->cert, b->cert_n);
}

#endif
