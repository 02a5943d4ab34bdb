/* Scenes of the protocol, played by real cores and ledgers on the simulated
 * network: what docs/consensus.md promises, one test each. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "poa_sim.h"

static struct poa_sim *quiet(uint32_t nodes)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.nodes = nodes;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    return s;
}

static void finish(struct poa_sim *s)
{
    const struct poa_sim_result *r = poa_sim_result(s);
    cr_expect(eq(u32, r->violations, 0), "%s", r->first);
    poa_sim_free(s);
}

static void run_ms(struct poa_sim *s, uint64_t ms)
{
    poa_sim_run(s, poa_sim_now_us(s) + ms * 1000);
}

static void expect_same_chain(struct poa_sim *s, uint32_t a, uint32_t b)
{
    uint64_t low =
        poa_sim_height(s, a) < poa_sim_height(s, b) ? poa_sim_height(s, a) : poa_sim_height(s, b);
    for (uint64_t h = 1; h + 2 < low; h++) {
        const uint8_t *x = poa_sim_hash(s, a, h), *y = poa_sim_hash(s, b, h);
        bool same = x && y && !memcmp(x, y, 32);
        cr_expect(same, "nodes %u and %u differ at height %lu", a, b, (unsigned long)h);
    }
}

static struct poa_core_status status(struct poa_sim *s, uint32_t node)
{
    struct poa_core_status st;
    poa_core_status(poa_sim_core(s, node), &st);
    return st;
}

Test(consensus, four_nodes_finalize_a_transfer)
{
    struct poa_sim *s = quiet(4);
    uint8_t id[32];
    run_ms(s, 300);
    for (uint32_t i = 0; i < 4; i++)
        cr_expect(lt(u64, 0, poa_sim_height(s, i)), "node %u has no block", i);
    cr_assert(eq(int, poa_sim_transfer(s, 1, 0, 1, 500, id), POA_OK));
    run_ms(s, 100);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    for (uint32_t i = 0; i < 4; i++) {
        struct poa_st_account a;
        cr_assert(eq(int,
                     poa_ledger_read(poa_core_ledger(poa_sim_core(s, i)), POA_STATE_BASE,
                                     POA_STATE_ACCOUNT, poa_sim_account(s, 1), 32, &a),
                     POA_OK));
        cr_expect(eq(u64, a.balance, 1000000500), "node %u", i);
    }
    expect_same_chain(s, 0, 3);
    finish(s);
}

Test(consensus, one_node_alone_is_a_network)
{
    struct poa_sim *s = quiet(1);
    uint8_t id[32];
    cr_assert(eq(int, (poa_sim_run(s, 200000), poa_sim_transfer(s, 0, 2, 3, 7, id)), POA_OK));
    run_ms(s, 100);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    finish(s);
}

Test(consensus, refuses_a_bad_transfer_at_once)
{
    struct poa_sim *s = quiet(4);
    uint8_t id[32];
    run_ms(s, 100);
    for (uint32_t node = 0; node < 4; node++)
        cr_expect(eq(int, poa_sim_transfer(s, node, 0, 1, UINT64_MAX / 2, id), POA_E_TX_BALANCE),
                  "node %u", node);
    finish(s);
}

/* --- a dead member ------------------------------------------------------------------ */

static uint64_t time_of_transfer(struct poa_sim *s, uint32_t node, uint32_t from)
{
    uint8_t id[32];
    uint64_t begin = poa_sim_now_us(s);
    cr_assert(eq(int, poa_sim_transfer(s, node, from, 0, 1, id), POA_OK));
    for (int ms = 0; ms < 5000 && !poa_sim_final(s, id); ms++)
        run_ms(s, 1);
    cr_assert(poa_sim_final(s, id) != 0, "%s", poa_sim_result(s)->first);
    return poa_sim_now_us(s) - begin;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t median_latency(struct poa_sim *s)
{
    uint64_t t[45];
    for (uint32_t i = 0; i < 45; i++)
        t[i] = time_of_transfer(s, i % 3, 1 + i % 15);
    qsort(t, 45, sizeof *t, by_value);
    return t[22];
}

Test(consensus, one_dead_of_four_does_not_triple_the_latency)
{
    struct poa_sim *s = quiet(4);
    run_ms(s, 500);
    uint64_t healthy = median_latency(s);
    poa_sim_kill(s, 3);
    uint64_t wounded = median_latency(s);
    cr_expect(lt(u64, wounded, 3 * healthy), "healthy %lu us, wounded %lu us",
              (unsigned long)healthy, (unsigned long)wounded);
    cr_expect(lt(u64, 0, status(s, 0).views_nullified));
    finish(s);
}

Test(consensus, a_transfer_survives_its_home)
{
    struct poa_sim *s = quiet(4);
    uint8_t id[16][32];
    run_ms(s, 300);
    /* Node 3 dies with what others have just sent to it. */
    for (uint32_t i = 0; i < 16; i++)
        cr_assert(eq(int, poa_sim_transfer(s, i % 3, i, 0, 5, id[i]), POA_OK));
    poa_sim_kill(s, 3);
    run_ms(s, 3000);
    for (uint32_t i = 0; i < 16; i++)
        cr_expect(lt(u64, 0, poa_sim_final(s, id[i])), "transfer %u is lost", i);
    finish(s);
}

Test(consensus, two_dead_of_four_stop_and_come_back)
{
    struct poa_sim *s = quiet(4);
    run_ms(s, 500);
    poa_sim_kill(s, 2);
    poa_sim_kill(s, 3);
    run_ms(s, 100);
    uint64_t stopped = poa_sim_height(s, 0);
    run_ms(s, 3000);
    cr_expect(le(u64, poa_sim_height(s, 0), stopped + 1));
    poa_sim_start(s, 2);
    run_ms(s, 3000);
    cr_expect(lt(u64, stopped + 5, poa_sim_height(s, 0)));
    expect_same_chain(s, 0, 2);
    finish(s);
}

/* --- restart ------------------------------------------------------------------------------ */

Test(consensus, a_restarted_node_replays_its_log_and_takes_part)
{
    struct poa_sim *s = quiet(4);
    uint8_t id[32];
    run_ms(s, 800);
    (void)poa_sim_transfer(s, 0, 4, 5, 9, id);
    run_ms(s, 7); /* in the middle of a round */
    poa_sim_kill(s, 1);
    uint64_t before = poa_sim_height(s, 1);
    run_ms(s, 600);
    poa_sim_start(s, 1);
    cr_expect(le(u64, status(s, 1).height, before));
    run_ms(s, 1500);
    expect_same_chain(s, 0, 1);
    cr_expect(lt(u64, before + 3, poa_sim_height(s, 1)));
    cr_expect(status(s, 1).abstaining == false);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    /* It is needed again: with another one dead, its vote makes the quorum. */
    poa_sim_kill(s, 2);
    uint64_t height = poa_sim_height(s, 0);
    run_ms(s, 2000);
    cr_expect(lt(u64, height + 3, poa_sim_height(s, 0)));
    finish(s);
}

Test(consensus, everybody_restarts_and_goes_on)
{
    struct poa_sim *s = quiet(4);
    run_ms(s, 700);
    uint64_t before = poa_sim_height(s, 0);
    for (uint32_t i = 0; i < 4; i++)
        poa_sim_kill(s, i);
    for (uint32_t i = 0; i < 4; i++)
        poa_sim_start(s, i);
    run_ms(s, 1500);
    cr_expect(lt(u64, before + 5, poa_sim_height(s, 0)));
    expect_same_chain(s, 0, 3);
    finish(s);
}

Test(consensus, a_node_without_its_log_abstains_until_the_next_epoch)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.epoch_views = 60;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    run_ms(s, 1000);
    poa_sim_kill(s, 1);
    poa_sim_wipe_log(s, 1);
    poa_sim_start(s, 1);
    run_ms(s, 200);
    cr_assert(eq(u32, status(s, 1).epoch, 0));
    cr_expect(status(s, 1).abstaining == true);
    /* Three voters are the quorum: the others carry on without it. */
    uint64_t height = poa_sim_height(s, 0);
    run_ms(s, 500);
    cr_expect(lt(u64, height, poa_sim_height(s, 0)));
    while (status(s, 1).epoch == 0 && poa_sim_now_us(s) < 60000000)
        run_ms(s, 100);
    run_ms(s, 100);
    cr_expect(status(s, 1).abstaining == false);
    finish(s);
}

/* The log forgets batches that are final; the home goes on with their numbers
 * all the same, or the others would wait for a gap before each batch. */
Test(consensus, a_restarted_home_is_not_slow)
{
    struct poa_sim *s = quiet(4);
    uint64_t slowest = 0;
    run_ms(s, 300);
    for (uint32_t round = 0; round < 20; round++)
        (void)time_of_transfer(s, 1, 1 + round % 15);
    run_ms(s, 4000);
    poa_sim_kill(s, 1);
    poa_sim_start(s, 1);
    run_ms(s, 1000);
    for (uint32_t from = 0; from < 15; from++)
        (void)time_of_transfer(s, 1, 1 + from);
    for (uint32_t from = 0; from < 15; from++) {
        uint64_t t = time_of_transfer(s, 1, 1 + from);
        slowest = t > slowest ? t : slowest;
    }
    cr_expect(lt(u64, slowest, 150000), "two heartbeats are 200 ms, this took %lu us",
              (unsigned long)slowest);
    finish(s);
}

/* --- epochs, followers ---------------------------------------------------------------------- */

Test(consensus, epochs_hand_over)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.epoch_views = 8;
    c.nodes = 7;
    c.committee_size = 4;
    c.heartbeat_ms = 20;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    run_ms(s, 6000);
    struct poa_core_status st = status(s, 0);
    cr_expect(lt(u32, 10, st.epoch));
    cr_expect(eq(u16, st.members, 4));
    for (uint32_t i = 1; i < 7; i++) {
        cr_expect(lt(u32, st.epoch, status(s, i).epoch + 2), "node %u", i);
        expect_same_chain(s, 0, i);
    }
    finish(s);
}

Test(consensus, witnesses_come_and_go)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.nodes = 6;
    c.joiners = 1; /* node 1 */
    c.leavers = 1; /* node 2 */
    c.epoch_views = 10;
    c.heartbeat_ms = 20;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    run_ms(s, 50);
    cr_expect(eq(i32, status(s, 1).member, -1));
    cr_expect(le(i32, 0, status(s, 2).member));
    cr_expect(eq(u16, status(s, 0).members, 5));
    run_ms(s, 4000);
    cr_expect(le(i32, 0, status(s, 1).member));
    cr_expect(eq(i32, status(s, 2).member, -1));
    cr_expect(eq(u16, status(s, 0).members, 5));
    for (uint32_t i = 1; i < 6; i++)
        expect_same_chain(s, 0, i);
    finish(s);
}

Test(consensus, a_node_starts_from_its_saved_state)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.epoch_views = 15;
    c.heartbeat_ms = 20;
    c.txs_per_s = 50;
    c.save_ppm = 300000;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    for (int round = 0; round < 6; round++) {
        run_ms(s, 700);
        uint64_t before = poa_sim_height(s, 3);
        poa_sim_kill(s, 3);
        poa_sim_start(s, 3);
        cr_expect(le(u64, before, poa_sim_height(s, 3) + 20), "it came up at height %lu of %lu",
                  (unsigned long)poa_sim_height(s, 3), (unsigned long)before);
        run_ms(s, 700);
        cr_expect(lt(u64, before + 5, poa_sim_height(s, 3)));
        /* With another one dead, the quorum needs it. */
        poa_sim_kill(s, 1);
        uint64_t height = poa_sim_height(s, 0);
        run_ms(s, 1000);
        cr_expect(lt(u64, height + 3, poa_sim_height(s, 0)));
        poa_sim_start(s, 1);
    }
    expect_same_chain(s, 0, 3);
    poa_sim_finish(s);
    finish(s);
}

Test(consensus, a_follower_catches_up)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.followers = 1;
    c.epoch_views = 30;
    c.heartbeat_ms = 20;
    c.txs_per_s = 50;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    run_ms(s, 50);
    poa_sim_kill(s, 4);
    run_ms(s, 4000);
    poa_sim_start(s, 4);
    run_ms(s, 1500);
    struct poa_core_status st = status(s, 4);
    cr_expect(eq(i32, st.member, -1));
    cr_expect(lt(u32, 0, st.epoch));
    cr_expect(lt(u64, poa_sim_height(s, 0), poa_sim_height(s, 4) + 10));
    expect_same_chain(s, 0, 4);
    /* It takes transactions too and passes them on. */
    uint8_t id[32];
    cr_assert(eq(int, poa_sim_transfer(s, 4, 4, 5, 9, id), POA_OK));
    run_ms(s, 500);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    finish(s);
}

/* --- what the network does ---------------------------------------------------------------------
 */

struct rule {
    struct poa_sim *s;
    uint32_t from, to; /* UINT32_MAX: any */
    uint16_t type;
    uint64_t until_us;
    struct poa_slice kept; /* first message that was dropped */
    uint32_t kept_from, dropped, nulls;
    uint64_t view; /* proposals and votes: of this view only; 0 = any */
};

static uint64_t view_of(uint16_t type, struct poa_slice bytes)
{
    struct poa_vote v;
    struct poa_proposal p;
    struct poa_header h;
    if (type == POA_MSG_VOTE && !poa_vote_decode(bytes, &v))
        return v.view;
    if (type == POA_MSG_PROPOSAL && !poa_proposal_decode(bytes, &p) &&
        !poa_header_decode(p.header, &h))
        return h.view;
    return 0;
}

static bool drop(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct rule *r = ctx;
    if (type != r->type || (r->from != UINT32_MAX && r->from != from) ||
        (r->to != UINT32_MAX && r->to != to) || poa_sim_now_us(r->s) >= r->until_us)
        return true;
    if (r->view && view_of(type, bytes) != r->view)
        return true;
    if (!r->kept.p) {
        uint8_t *copy = malloc(bytes.n);
        memcpy(copy, bytes.p, bytes.n);
        r->kept = poa_slice(copy, bytes.n);
        r->kept_from = from;
    }
    r->dropped++;
    return false;
}

Test(consensus, a_missing_batch_is_fetched)
{
    struct poa_sim *s = quiet(4);
    struct rule r = {.s = s, .from = UINT32_MAX, .to = 3, .type = POA_MSG_BATCH};
    uint8_t id[12][32];
    run_ms(s, 300);
    r.until_us = poa_sim_now_us(s) + 60000;
    poa_sim_filter(s, drop, &r);
    for (uint32_t i = 0; i < 12; i++)
        cr_assert(eq(int, poa_sim_transfer(s, i % 3, i, 0, 5, id[i]), POA_OK));
    run_ms(s, 60);
    cr_expect(lt(u32, 0, r.dropped));
    run_ms(s, 1000);
    for (uint32_t i = 0; i < 12; i++)
        cr_expect(lt(u64, 0, poa_sim_final(s, id[i])));
    cr_expect(lt(u64, poa_sim_height(s, 0), poa_sim_height(s, 3) + 3));
    expect_same_chain(s, 0, 3);
    free((void *)r.kept.p);
    finish(s);
}

/* What member FROM packs reaches node TO only. */
static bool to_one(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct rule *r = ctx;
    (void)bytes;
    r->dropped += type == POA_MSG_BATCH && from == r->from && to != r->to;
    return type != POA_MSG_BATCH || from != r->from || to == r->to;
}

Test(consensus, a_batch_shown_to_one_member_provides_for_nothing)
{
    struct poa_sim *s = quiet(7); /* two acknowledgements have to come */
    uint8_t id[16][32];
    run_ms(s, 300);
    struct rule r = {.s = s, .from = 6, .to = 0, .type = POA_MSG_BATCH};
    poa_sim_filter(s, to_one, &r);
    for (uint32_t i = 0; i < 16; i++)
        cr_assert(eq(int, poa_sim_transfer(s, 0, i, 0, 5, id[i]), POA_OK));
    run_ms(s, 5000);
    cr_expect(lt(u32, 0, r.dropped), "no transfer had that home");
    for (uint32_t i = 0; i < 16; i++)
        cr_expect(lt(u64, 0, poa_sim_final(s, id[i])), "transfer %u waits", i);
    finish(s);
}

/* Keeps the proposal of VIEW from all but its leader, and nullify votes of that
 * view from everybody. */
static bool hold_view(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct rule *r = ctx;
    struct poa_vote v;
    if (view_of(type, bytes) != r->view)
        return true;
    if (type == POA_MSG_VOTE && !poa_vote_decode(bytes, &v) && v.kind == POA_VOTE_NULLIFY) {
        r->nulls |= 1u << from;
        return false;
    }
    return type != POA_MSG_PROPOSAL || drop(ctx, from, to, type, bytes);
}

Test(consensus, a_late_notarization_after_nullify_is_taken)
{
    struct poa_sim *s = quiet(4);
    struct poa_proposal p;
    struct poa_header h;
    uint8_t hash[32];
    run_ms(s, 300);
    struct rule r = {.s = s,
                     .from = UINT32_MAX,
                     .to = UINT32_MAX,
                     .type = POA_MSG_PROPOSAL,
                     .until_us = UINT64_MAX,
                     .view = status(s, 0).view + 3};
    poa_sim_filter(s, hold_view, &r);
    while (!r.kept.p && poa_sim_now_us(s) < 5000000)
        run_ms(s, 1);
    cr_assert(r.kept.p != NULL);
    run_ms(s, 400);
    cr_assert(eq(u32, r.nulls, 15u), "not everybody nullified the view");
    cr_assert(eq(u64, status(s, 0).view, r.view));
    cr_assert(eq(int, poa_proposal_decode(r.kept, &p), POA_OK));
    cr_assert(eq(int, poa_header_decode(p.header, &h), POA_OK));
    poa_header_hash(&h, hash);
    for (uint32_t i = 0; i < 4; i++)
        if (i != r.kept_from)
            poa_sim_inject(s, r.kept_from, i, POA_MSG_PROPOSAL, r.kept);
    run_ms(s, 1500);
    /* Nobody could finalize it, but the next views stand on it. */
    const uint8_t *at = poa_sim_hash(s, 0, h.height);
    bool same = at && !memcmp(at, hash, 32);
    cr_expect(same);
    cr_expect(lt(u64, h.height + 3, poa_sim_height(s, 0)));
    expect_same_chain(s, 0, 2);
    free((void *)r.kept.p);
    finish(s);
}

/* Signs another header of the same view with the leader's own key. */
static struct poa_slice second_header(struct poa_sim *s, struct poa_slice proposal, uint32_t leader,
                                      uint8_t *buffer, size_t cap)
{
    struct poa_proposal p;
    struct poa_header h;
    uint8_t header[POA_HEADER_BYTES], hash[32], digest[32];
    cr_assert(eq(int, poa_proposal_decode(proposal, &p), POA_OK));
    cr_assert(eq(int, poa_header_decode(p.header, &h), POA_OK));
    h.time_ms++;
    struct poa_writer w = poa_writer_over(header, sizeof header);
    cr_assert(eq(int, poa_header_encode(&w, &h), POA_OK));
    poa_header_hash(&h, hash);
    poa_proposal_digest(hash, digest);
    poa_sim_suite(s)->sign(poa_sim_seed(s, leader), poa_sim_key(s, leader), digest, 32, p.sig);
    p.header = poa_slice(header, sizeof header);
    w = poa_writer_over(buffer, cap);
    cr_assert(eq(int, poa_proposal_encode(&w, &p), POA_OK));
    return poa_written(&w);
}

Test(consensus, two_headers_of_a_leader_convict_it)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.epoch_views = 40;
    struct poa_sim *s = poa_sim_new(&c);
    static uint8_t buffer[1 << 16];
    cr_assert(s != NULL);
    run_ms(s, 300);
    struct rule r = {.s = s, .from = 0, .to = 1, .type = POA_MSG_PROPOSAL, .until_us = UINT64_MAX};
    poa_sim_filter(s, drop, &r); /* keeps node 0's proposal from node 1 and us a copy */
    while (!r.kept.p && poa_sim_now_us(s) < 5000000)
        run_ms(s, 1);
    cr_assert(r.kept.p != NULL);
    r.until_us = 0;
    struct poa_slice other = second_header(s, r.kept, 0, buffer, sizeof buffer);
    for (uint32_t i = 1; i < 4; i++)
        poa_sim_inject(s, 0, i, POA_MSG_PROPOSAL, other);
    run_ms(s, 500);
    cr_expect(lt(u64, 0, poa_sim_result(s)->evidence));
    expect_same_chain(s, 1, 2);
    /* At the end of the epoch it is out of the pool. */
    while (status(s, 1).epoch == 0 && poa_sim_now_us(s) < 60000000)
        run_ms(s, 100);
    struct poa_st_witness w;
    cr_assert(eq(int,
                 poa_ledger_read(poa_core_ledger(poa_sim_core(s, 1)), POA_STATE_BASE,
                                 POA_STATE_WITNESS, poa_sim_key(s, 0), 32, &w),
                 POA_OK));
    cr_expect(eq(u8, w.status, 1));
    cr_expect(eq(u16, status(s, 1).members, 3));
    free((void *)r.kept.p);
    finish(s);
}

Test(consensus, garbage_changes_nothing)
{
    struct poa_sim *s = quiet(4);
    uint8_t noise[300];
    run_ms(s, 300);
    for (uint32_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * 37 + 11);
    for (uint16_t type = 0; type < 48; type++)
        for (uint32_t n = 0; n <= sizeof noise; n += 50)
            poa_sim_inject(s, 3, 0, type, poa_slice(noise, n));
    uint64_t height = poa_sim_height(s, 0);
    run_ms(s, 1000);
    cr_expect(lt(u64, height + 3, poa_sim_height(s, 0)));
    finish(s);
}

/* --- devices -------------------------------------------------------------------------------------
 */

static void devices_earn(uint8_t policy)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.devices = 8;
    c.policy = policy;
    c.slot_ms = 150;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    run_ms(s, 6000);
    poa_sim_finish(s);
    cr_expect(lt(u64, 20, poa_sim_result(s)->seals), "an idle network does not reward devices");
    finish(s);
}

Test(consensus, devices_earn_by_random)
{
    devices_earn(POA_POLICY_RANDOM);
}

Test(consensus, devices_earn_by_vrf)
{
    devices_earn(POA_POLICY_VRF);
}

/* --- the measure of the protocol
 * ------------------------------------------------------------------ */

Test(consensus, finality_takes_three_delays_and_a_block_two)
{
    struct poa_sim_config c;
    poa_sim_config_clean(&c, 7);
    c.end_us = 5000000;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    poa_sim_run(s, c.end_us);
    poa_sim_finish(s);
    cr_expect(epsilon_eq(dbl, poa_sim_result(s)->finality_delays, 3.0, 0.05));
    cr_expect(epsilon_eq(dbl, poa_sim_result(s)->period_delays, 2.0, 0.05));
    finish(s);
}

Test(consensus, seeds_under_all_faults)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct poa_sim_config c;
        poa_sim_config_random(&c, seed, 0);
        struct poa_sim *s = poa_sim_new(&c);
        cr_assert(s != NULL);
        poa_sim_run(s, c.end_us);
        poa_sim_finish(s);
        const struct poa_sim_result *r = poa_sim_result(s);
        cr_expect(eq(u32, r->violations + r->stuck + r->false_accusations, 0),
                  "seed %lu: %s (rerun: poa-sim --replay %lu)", (unsigned long)seed, r->first,
                  (unsigned long)seed);
        poa_sim_free(s);
    }
}
