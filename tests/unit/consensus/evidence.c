/* Evidence, each kind from the lie to the committee without the liar; and pairs of
 * messages that look alike but are the protocol, which convict nobody. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "poa_sim.h"

#define LIAR 0u

static struct poa_core_status status(struct poa_sim *s, uint32_t node)
{
    struct poa_core_status st;
    poa_core_status(poa_sim_core(s, node), &st);
    return st;
}

static struct poa_sim *network(void)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.epoch_views = 40;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    poa_sim_run(s, 300000);
    return s;
}

/* Index of NODE in the committee. */
static uint16_t index_of(struct poa_sim *s, uint32_t node)
{
    const struct poa_committee *c = poa_core_committee(poa_sim_core(s, 1));
    int at = poa_committee_find(c, poa_sim_key(s, node));
    cr_assert(ge(int, at, 0));
    return (uint16_t)at;
}

/* A vote with the liar's own key, shown to node TO. */
static void vote(struct poa_sim *s, uint32_t to, uint8_t kind, uint64_t view, uint8_t mark)
{
    struct poa_vote v = {
        .kind = kind, .epoch = status(s, 1).epoch, .view = view, .voter = index_of(s, LIAR)};
    uint8_t digest[32], bytes[256];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    if (kind != POA_VOTE_NULLIFY)
        memset(v.hash, mark, 32);
    poa_vote_digest(poa_ledger_chain(poa_core_ledger(poa_sim_core(s, 1))), kind, v.epoch, view,
                    v.hash, digest);
    poa_sim_suite(s)->sign(poa_sim_seed(s, LIAR), poa_sim_key(s, LIAR), digest, 32, v.sig);
    cr_assert(eq(int, poa_vote_encode(&w, &v), POA_OK));
    poa_sim_inject(s, LIAR, to, POA_MSG_VOTE, poa_written(&w));
}

static uint8_t standing(struct poa_sim *s, uint32_t of, uint32_t node)
{
    struct poa_st_witness w;
    cr_assert(eq(int,
                 poa_ledger_read(poa_core_ledger(poa_sim_core(s, of)), POA_STATE_BASE,
                                 POA_STATE_WITNESS, poa_sim_key(s, node), 32, &w),
                 POA_OK));
    return w.status;
}

static void next_epoch(struct poa_sim *s)
{
    uint32_t epoch = status(s, 1).epoch;
    for (int i = 0; i < 600 && status(s, 1).epoch == epoch; i++)
        poa_sim_run(s, poa_sim_now_us(s) + 100000);
    poa_sim_run(s, poa_sim_now_us(s) + 500000);
    cr_assert(eq(u32, status(s, 1).epoch, epoch + 1));
}

/* The liar is out at every honest node, and nobody else is. */
static void expect_convicted(struct poa_sim *s, const char *what)
{
    next_epoch(s);
    for (uint32_t i = 1; i < 4; i++) {
        cr_expect(eq(u8, standing(s, i, LIAR), 1), "%s, node %u", what, i);
        cr_expect(eq(u16, status(s, i).members, 3), "%s, node %u", what, i);
        cr_expect(eq(u16, status(s, i).quorum, 3), "%s, node %u", what, i);
        for (uint32_t k = 1; k < 4; k++)
            cr_expect(eq(u8, standing(s, i, k), 0), "%s, node %u", what, k);
    }
    cr_expect(lt(int, status(s, LIAR).member, 0), "%s", what);
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s: %s", what, poa_sim_result(s)->first);
    poa_sim_free(s);
}

static void expect_innocent(struct poa_sim *s, const char *what)
{
    next_epoch(s);
    for (uint32_t i = 0; i < 4; i++)
        cr_expect(eq(u8, standing(s, 1, i), 0), "%s, node %u", what, i);
    cr_expect(eq(u16, status(s, 1).members, 4), "%s", what);
    cr_expect(eq(u64, poa_sim_result(s)->evidence, 0), "%s", what);
    poa_sim_free(s);
}

/* Two votes of the liar for one view, to one node that will tell the others. */
static struct poa_sim *two_votes(uint8_t a, uint8_t mark_a, uint8_t b, uint8_t mark_b)
{
    struct poa_sim *s = network();
    uint64_t view = status(s, 1).view + 8;
    vote(s, 2, a, view, mark_a);
    vote(s, 2, b, view, mark_b);
    return s;
}

Test(evidence, votes_that_contradict)
{
    enum { N = POA_VOTE_NOTARIZE, O = POA_VOTE_NULLIFY, F = POA_VOTE_FINALIZE };
    expect_convicted(two_votes(N, 1, N, 2), "two notarize votes");
    expect_convicted(two_votes(F, 1, F, 2), "two finalize votes");
    expect_convicted(two_votes(O, 0, F, 1), "nullify, then finalize");
    expect_convicted(two_votes(F, 1, O, 0), "finalize, then nullify");
}

Test(evidence, a_batch_that_breaks_a_rule)
{
    struct poa_sim *s = network();
    uint8_t list[16], bytes[256], digest[32], signed_digest[32];
    struct poa_writer l = poa_writer_over(list, sizeof list);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_raw_tx raw = {.tx = poa_slice("junk", 4)};
    cr_assert(eq(int, poa_raw_tx_encode(&l, &raw), POA_OK));
    struct poa_batch b = {.epoch = status(s, 1).epoch,
                          .author = index_of(s, LIAR),
                          .seq = UINT64_MAX / 2,
                          .expires_ms = status(s, 1).time_ms + 60000,
                          .txs = {.bytes = poa_written(&l), .count = 1}};
    cr_assert(eq(int, poa_batch_encode(&w, &b), POA_OK));
    poa_batch_digest(poa_written(&w), digest);
    poa_batch_sig_digest(poa_ledger_chain(poa_core_ledger(poa_sim_core(s, 1))), digest,
                         signed_digest);
    poa_sim_suite(s)->sign(poa_sim_seed(s, LIAR), poa_sim_key(s, LIAR), signed_digest, 32,
                           bytes + w.n - 64);
    poa_sim_inject(s, LIAR, 2, POA_MSG_BATCH, poa_written(&w));
    expect_convicted(s, "a batch of junk");
}

/* A vote for a view so far ahead that the liar itself will say nothing there. */
static struct poa_sim *harmless(uint8_t a, uint8_t mark_a, uint8_t b, uint8_t mark_b)
{
    struct poa_sim *s = network();
    uint64_t view = status(s, 1).view + 60;
    vote(s, 2, a, view, mark_a);
    vote(s, 2, b, view, mark_b);
    return s;
}

Test(evidence, votes_that_do_not)
{
    enum { N = POA_VOTE_NOTARIZE, O = POA_VOTE_NULLIFY, F = POA_VOTE_FINALIZE };
    expect_innocent(harmless(N, 1, N, 1), "the same twice");
    expect_innocent(harmless(N, 1, O, 0), "notarize and nullify");
    expect_innocent(harmless(N, 1, F, 1), "notarize and finalize");
    expect_innocent(harmless(N, 1, F, 2), "finalize another than notarized: a late vote may");
}

/* What a liar signs for another: its session says who speaks, the signature who
 * signed. */
Test(evidence, nobody_lies_for_another)
{
    struct poa_sim *s = network();
    uint64_t view = status(s, 1).view + 60;
    struct poa_evidence e = {.kind = POA_EVIDENCE_VOTES};
    uint8_t a[256], b[256], bytes[1024], list[1024];
    struct poa_vote v = {.kind = POA_VOTE_FINALIZE,
                         .epoch = status(s, 1).epoch,
                         .view = view,
                         .voter = index_of(s, 3)};
    struct poa_writer wa = poa_writer_over(a, sizeof a), wb = poa_writer_over(b, sizeof b);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_writer wl = poa_writer_over(list, sizeof list);
    uint8_t digest[32];
    for (int k = 0; k < 2; k++) { /* node 3's name, the liar's signature */
        memset(v.hash, k + 1, 32);
        poa_vote_digest(poa_ledger_chain(poa_core_ledger(poa_sim_core(s, 1))), v.kind, v.epoch,
                        view, v.hash, digest);
        poa_sim_suite(s)->sign(poa_sim_seed(s, LIAR), poa_sim_key(s, LIAR), digest, 32, v.sig);
        cr_assert(eq(int, poa_vote_encode(k ? &wb : &wa, &v), POA_OK));
        poa_sim_inject(s, LIAR, 2, POA_MSG_VOTE, poa_written(k ? &wb : &wa));
    }
    e.first = poa_written(&wa);
    e.second = poa_written(&wb);
    memcpy(e.author, poa_sim_key(s, 3), 32);
    cr_assert(eq(int, poa_evidence_encode(&wl, &e), POA_OK));
    struct poa_mining m = {.evidence = {.bytes = poa_written(&wl), .count = 1}};
    cr_assert(eq(int, poa_mining_encode(&w, &m), POA_OK));
    for (uint32_t i = 1; i < 4; i++)
        poa_sim_inject(s, LIAR, i, POA_MSG_MINING, poa_written(&w));
    expect_innocent(s, "a forged accusation");
}
