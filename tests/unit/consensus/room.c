/* Room for batches: what one member's core takes of each author, how long it keeps
 * what does not become final, when it lets go of what did, and which of them it votes
 * for when a block lists them. The messages of
 * these tests are handed to one core; the simulator's network does the rest. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "poa_sim.h"

/* f = 2, so four equal parts: a batch is listed when three hold it. */
#define NODES   7u
#define PARTS   4u
#define BATCHES 40u
#define BYTES   64000u
#define US      6u /* the node whose core is looked at */

struct batch {
    struct batch *next;
    uint8_t bytes[20000], digest[32];
    size_t n;
    struct poa_tx_view tx;
};

static struct poa_sim *s;
static struct poa_core *core;
static uint32_t stepped; /* whose it is: the last one */
static struct poa_effects effects;
static struct batch *batches;
static uint64_t offset_us; /* the core's time is ahead of the network's */

static void network_of(uint32_t nodes, uint64_t heartbeat_ms)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.nodes = nodes;
    c.limits.pending_batches = BATCHES;
    c.limits.pending_batch_bytes = BYTES;
    if (heartbeat_ms)
        c.heartbeat_ms = (uint32_t)heartbeat_ms;
    s = poa_sim_new(&c);
    cr_assert(s != NULL);
    poa_sim_run(s, 300000);
    stepped = nodes - 1;
    core = poa_sim_core(s, stepped);
}

static void network(uint64_t heartbeat_ms)
{
    network_of(NODES, heartbeat_ms);
}

static void tear_down(void)
{
    if (s)
        poa_sim_free(s);
    for (struct batch *next; batches; batches = next) {
        next = batches->next;
        free(batches);
    }
}

TestSuite(room, .fini = tear_down);

static struct poa_core_status status(void)
{
    struct poa_core_status st;
    poa_core_status(core, &st);
    return st;
}

static uint16_t index_of(uint32_t node)
{
    int at = poa_committee_find(poa_core_committee(core), poa_sim_key(s, node));
    cr_assert(ge(int, at, 0));
    return (uint16_t)at;
}

static int step(struct poa_event e)
{
    struct poa_now now = {.us = poa_sim_now_us(s) + offset_us, .wall_ms = status().time_ms};
    cr_assert(eq(int, poa_core_reserve(core), POA_OK));
    int rc = poa_core_step(core, &e, now, &effects);
    for (size_t i = 0; i < effects.n; i++)
        if (effects.effect[i].kind == POA_EFFECT_PERSIST)
            poa_sim_durable(s, stepped, effects.effect[i].type, effects.effect[i].bytes);
    return rc;
}

static const struct poa_effect *effect(enum poa_effect_kind kind, uint16_t type)
{
    for (size_t i = 0; i < effects.n; i++)
        if (effects.effect[i].kind == kind && effects.effect[i].type == type)
            return &effects.effect[i];
    return NULL;
}

static int message(uint32_t from, uint16_t type, struct poa_slice bytes)
{
    return step((struct poa_event){
        .kind = POA_EVENT_MESSAGE, .peer = index_of(from), .type = type, .bytes = bytes});
}

/* One of AUTHOR: COPIES of a transfer of an account that nobody knows. It lives as
 * long as the core, which borrows it. */
static struct batch *batch_of(uint32_t author, uint64_t number, uint64_t expires_ms,
                              uint32_t copies)
{
    struct batch *b = calloc(1, sizeof *b);
    cr_assert(b != NULL);
    b->next = batches;
    batches = b;
    uint8_t op_body[200], ops[256], raw[600], id[32], secret[32] = {7}, signed_digest[32];
    uint8_t list[19000];
    const uint8_t *chain = poa_ledger_chain(poa_core_ledger(core));
    struct poa_op_transfer t = {.amount = 1};
    struct poa_writer w = poa_writer_over(op_body, sizeof op_body);
    struct poa_writer o = poa_writer_over(ops, sizeof ops);
    struct poa_writer r = poa_writer_over(raw, sizeof raw);
    struct poa_writer l = poa_writer_over(list, sizeof list);
    struct poa_writer all = poa_writer_over(b->bytes, sizeof b->bytes);
    cr_assert(eq(int, poa_op_transfer_encode(&w, &t), POA_OK));
    struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&w)};
    cr_assert(eq(int, poa_op_encode(&o, &op), POA_OK));
    struct poa_list one = {.bytes = poa_written(&o), .count = 1};
    cr_assert(
        eq(int, poa_tx_sign(chain, POA_KEY_BIP340, secret, 0, 1000, 0, &one, &r, id), POA_OK));
    struct poa_raw_tx tx = {.tx = poa_written(&r)};
    for (uint32_t i = 0; i < copies; i++)
        cr_assert(eq(int, poa_raw_tx_encode(&l, &tx), POA_OK));
    struct poa_batch rec = {.epoch = status().epoch,
                            .author = index_of(author),
                            .seq = number,
                            .expires_ms = expires_ms,
                            .txs = {.bytes = poa_written(&l), .count = copies}};
    cr_assert(eq(int, poa_batch_encode(&all, &rec), POA_OK));
    b->n = all.n;
    poa_batch_digest(poa_written(&all), b->digest);
    poa_batch_sig_digest(chain, b->digest, signed_digest);
    poa_sim_suite(s)->sign(poa_sim_seed(s, author), poa_sim_key(s, author), signed_digest, 32,
                           b->bytes + b->n - 64);
    /* The core borrows it: of the first transaction, which is enough here. */
    struct poa_list_iter it;
    struct poa_batch back;
    struct poa_raw_tx first;
    cr_assert(eq(int, poa_batch_decode(poa_slice(b->bytes, b->n), &back), POA_OK));
    it = poa_list_begin(&back.txs);
    cr_assert(poa_raw_tx_next(&it, &first));
    cr_assert(eq(int, poa_tx_parse(chain, first.tx, &b->tx), POA_OK));
    return b;
}

static uint64_t later_ms(void)
{
    return status().time_ms + 60000;
}

/* Comes from its author; when it is taken, a worker says CODE. */
static int give(uint32_t author, const struct batch *b, int code)
{
    int rc = message(author, POA_MSG_BATCH, poa_slice(b->bytes, b->n));
    if (rc)
        return rc;
    cr_assert(effect(POA_EFFECT_CHECK, POA_MSG_BATCH) != NULL, "nobody checks it");
    struct poa_checked_batch in = {
        .bytes = poa_slice(b->bytes, b->n), .tx = &b->tx, .txs = 1, .code = code};
    memcpy(in.digest, b->digest, 32);
    return step((struct poa_event){.kind = POA_EVENT_BATCH, .batch = &in, .batches = 1});
}

static bool has(const struct batch *b)
{
    struct poa_get_batch get = {.batches = {.bytes = poa_slice(b->digest, 32), .count = 1}};
    uint8_t bytes[64];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert(eq(int, poa_get_batch_encode(&w, &get), POA_OK));
    cr_assert(eq(int, message(0, POA_MSG_GET_BATCH, poa_written(&w)), POA_OK));
    const struct poa_effect *e = effect(POA_EFFECT_SEND, POA_MSG_BATCH);
    return e && e->bytes.n == b->n && !memcmp(e->bytes.p, b->bytes, b->n);
}

/* --- room_for ------------------------------------------------------------------------- */

Test(room, every_author_has_a_part)
{
    network(0);
    uint32_t taken = 0;
    for (uint32_t author = 0; author < US; author++) {
        uint32_t of = 0;
        for (uint64_t i = 1; i <= BATCHES; i++) {
            int rc = give(author, batch_of(author, i, later_ms(), 1), POA_OK);
            cr_assert(rc == POA_OK || rc == POA_E_FULL, "%d", rc);
            of += rc == POA_OK;
        }
        taken += of;
        cr_expect(eq(u32, of, author < PARTS ? BATCHES / PARTS : 0), "author %u", author);
    }
    cr_expect(eq(u32, taken, BATCHES));
    cr_expect(eq(u32, status().batches_pending, BATCHES));
}

Test(room, bytes_count_as_well)
{
    network(0);
    uint32_t taken = 0;
    size_t bytes = 0;
    for (uint64_t i = 1; i <= 9; i++) {
        const struct batch *b = batch_of(0, i, later_ms(), 30);
        int rc = give(0, b, POA_OK);
        cr_assert(rc == POA_OK || rc == POA_E_FULL, "%d", rc);
        taken += !rc;
        bytes += rc ? 0 : b->n;
    }
    cr_expect(bytes <= BYTES / PARTS && taken >= 1 && taken < 9, "%u with %zu bytes", taken, bytes);
    cr_expect(eq(int, give(1, batch_of(1, 1, later_ms(), 30), POA_OK), POA_OK), "another author");
}

Test(room, who_was_caught_has_none)
{
    network(0);
    cr_assert(eq(int, give(0, batch_of(0, 1, later_ms(), 1), POA_OK), POA_OK));
    cr_assert(
        eq(int, give(0, batch_of(0, 2, later_ms(), 1), POA_E_TX_SIGNATURE), POA_E_BATCH_INVALID));
    cr_expect(eq(int, give(0, batch_of(0, 3, later_ms(), 1), POA_OK), POA_E_FULL));
    cr_expect(eq(int, give(1, batch_of(1, 1, later_ms(), 1), POA_OK), POA_OK), "another author");
}

/* An acknowledgement of 256 batches that nobody has, others for each I. */
static struct poa_slice false_ack(uint32_t i)
{
    static uint8_t bytes[256 * 32 + 64];
    uint8_t digests[256 * 32];
    for (size_t k = 0; k < sizeof digests; k++)
        digests[k] = (uint8_t)(k * 31 + k / 32 + i * 7 + (k % 32 == 1) * (k / 32));
    struct poa_batch_ack ack = {
        .epoch = status().epoch,
        .batches = {.bytes = poa_slice(digests, sizeof digests), .count = 256}};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert(eq(int, poa_batch_ack_encode(&w, &ack), POA_OK));
    return poa_written(&w);
}

/* They take places, but never those of batches. */
Test(room, acknowledgements_do_not_fill_it)
{
    network(0);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert(eq(int, message(5, POA_MSG_BATCH_ACK, false_ack(i)), POA_OK));
    for (uint32_t author = 0; author < PARTS; author++)
        for (uint64_t i = 1; i <= BATCHES / PARTS; i++)
            cr_assert(eq(int, give(author, batch_of(author, i, later_ms(), 1), POA_OK), POA_OK),
                      "author %u, batch %u", author, (unsigned)i);
}

static uint64_t mean_finality_us(uint32_t transfers)
{
    uint64_t begin_us = poa_sim_now_us(s);
    for (uint32_t i = 0; i < transfers; i++) {
        uint8_t id[32];
        cr_assert(eq(int, poa_sim_transfer(s, i % 4, i % 4, i % 4 + 1, 5, id), POA_OK));
        while (!poa_sim_final(s, id) && poa_sim_now_us(s) < begin_us + 60000000)
            poa_sim_run(s, poa_sim_now_us(s) + 1000);
    }
    return (poa_sim_now_us(s) - begin_us) / transfers;
}

/* Acknowledgements overtake their batches here. */
static void overtaking(void)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.limits.pending_batches = BATCHES;
    c.delay_min_us = 100;
    c.delay_max_us = 20000;
    c.fsync_min_us = c.fsync_max_us = 50;
    c.heartbeat_ms = 1000;
    c.slot_ms = 2000;
    s = poa_sim_new(&c);
    cr_assert(s != NULL);
    poa_sim_run(s, 300000);
    core = poa_sim_core(s, 0);
}

/* They count as well when the table is full of batches that were final long ago. */
Test(room, acknowledgements_ahead_of_their_batches_count)
{
    overtaking();
    uint64_t empty_us = mean_finality_us(BATCHES);
    (void)mean_finality_us(BATCHES);
    uint64_t full_us = mean_finality_us(BATCHES);
    cr_expect(full_us < 2 * empty_us, "%lu us, then %lu us", (unsigned long)empty_us,
              (unsigned long)full_us);
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s", poa_sim_result(s)->first);
}

/* Who tells of batches that are not there takes no room from others: only its own batches wait. */
Test(room, false_acknowledgements_take_no_place_of_others)
{
    overtaking();
    uint64_t before_us = mean_finality_us(BATCHES);
    poa_sim_run(s, poa_sim_now_us(s) + 5000000); /* nothing waits any more */
    for (uint32_t i = 0; i < 20; i++)
        for (uint32_t to = 0; to < 3; to++)
            poa_sim_inject(s, 3, to, POA_MSG_BATCH_ACK, false_ack(i));
    poa_sim_run(s, poa_sim_now_us(s) + 100000);
    uint64_t after_us = mean_finality_us(BATCHES);
    cr_expect(after_us < 4 * before_us, "%lu us, then %lu us", (unsigned long)before_us,
              (unsigned long)after_us);
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s", poa_sim_result(s)->first);
}

/* With f = 1 the author alone is told, and needs it only while it leads. */
Test(room, an_author_that_does_not_lead_is_told_with_what_else_goes_there)
{
    unsigned lazy = 0, prompt = 0;
    network_of(4, 0);
    for (uint32_t author = 0; author < 3; author++) {
        uint16_t at = index_of(author);
        uint64_t view = status().view;
        cr_assert(eq(int, give(author, batch_of(author, 1, later_ms(), 1), POA_OK), POA_OK));
        const struct poa_effect *e = effect(POA_EFFECT_SEND, POA_MSG_BATCH_ACK);
        cr_assert(e != NULL && e->to[0] == 1u << at, "to the author");
        bool leads = at == poa_core_leader(core, view) || at == poa_core_leader(core, view + 1);
        cr_expect(eq(int, e->lazy, !leads), "author %u", author);
        lazy += e->lazy;
        prompt += !e->lazy;
    }
    cr_expect(lazy > 0 && prompt > 0);
}

/* --- time to live ------------------------------------------------------------------------ */

Test(room, what_is_too_old_is_not_taken)
{
    network(0);
    cr_expect(eq(int, give(0, batch_of(0, 1, status().time_ms - 1, 1), POA_OK), POA_E_FULL));
    cr_expect(eq(int, give(0, batch_of(0, 2, status().time_ms, 1), POA_OK), POA_OK));
}

/* Nobody else holds it, so no block lists it: it goes when blocks are later than it may be
 * listed, and its author has room again. */
Test(room, what_expires_makes_room)
{
    network(0);
    struct batch *b[BATCHES / PARTS];
    uint64_t until_ms = status().time_ms + 500;
    for (uint64_t i = 0; i < BATCHES / PARTS; i++) {
        b[i] = batch_of(0, UINT64_MAX / 2 + i, until_ms, 1);
        cr_assert(eq(int, give(0, b[i], POA_OK), POA_OK));
    }
    cr_assert(eq(int, give(0, batch_of(0, 1, later_ms(), 1), POA_OK), POA_E_FULL));
    cr_assert(has(b[0]));
    while (status().time_ms <= until_ms) {
        cr_expect(eq(u32, status().batches_pending, BATCHES / PARTS));
        poa_sim_run(s, poa_sim_now_us(s) + 20000);
    }
    poa_sim_run(s, poa_sim_now_us(s) + 2000000);
    cr_expect(eq(u32, status().batches_pending, 0));
    cr_expect(not(has(b[0])));
    cr_expect(eq(int, give(0, batch_of(0, 1, later_ms(), 1), POA_OK), POA_OK));
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s", poa_sim_result(s)->first);
}

/* What was refused is remembered for a minute, so that it is not checked again and again;
 * then its place is free. */
Test(room, what_was_invalid_is_forgotten)
{
    network(0);
    struct batch *b = batch_of(0, 1, later_ms(), 1);
    cr_assert(eq(int, give(0, b, POA_E_TX_SIGNATURE), POA_E_BATCH_INVALID));
    cr_expect(eq(int, give(0, b, POA_OK), POA_E_DUPLICATE));
    offset_us = 59000000;
    (void)step((struct poa_event){.kind = POA_EVENT_TICK});
    cr_expect(eq(int, give(0, b, POA_OK), POA_E_DUPLICATE));
    offset_us = 63000000;
    (void)step((struct poa_event){.kind = POA_EVENT_TICK});
    cr_expect(eq(int, give(0, b, POA_OK), POA_E_FULL), "forgotten; its author is not");
}

/* --- garbage collection --------------------------------------------------------------------- */

struct seen {
    bool have;
    struct batch b;
};

static bool watch(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct seen *seen = ctx;
    (void)from;
    if (type == POA_MSG_BATCH && to == US && !seen->have) {
        memcpy(seen->b.bytes, bytes.p, bytes.n);
        seen->b.n = bytes.n;
        poa_batch_digest(bytes, seen->b.digest);
        seen->have = true;
    }
    return true;
}

/* For so many blocks after its own a batch is there for whoever asks late. */
Test(room, final_ones_stay_for_a_while)
{
    struct seen seen = {.have = false};
    uint8_t id[32];
    uint32_t from = 0;
    network(50);
    poa_sim_filter(s, watch, &seen);
    while (poa_core_home(core, poa_sim_account(s, from)) == index_of(US))
        from++; /* its own batches do not come to it */
    cr_assert(eq(int, poa_sim_transfer(s, 0, from, from + 1, 5, id), POA_OK));
    for (int i = 0; i < 500 && !poa_sim_final(s, id); i++)
        poa_sim_run(s, poa_sim_now_us(s) + 10000);
    uint64_t final = poa_sim_final(s, id);
    cr_assert(final > 0 && seen.have);
    while (status().height < final)
        poa_sim_run(s, poa_sim_now_us(s) + 10000);
    cr_expect(eq(u32, status().batches_pending, 0));
    cr_expect(has(&seen.b), "for those who ask late");
    cr_expect(
        eq(int, message(0, POA_MSG_BATCH, poa_slice(seen.b.bytes, seen.b.n)), POA_E_DUPLICATE),
        "a second listing would be known");
    while (status().height < final + 20)
        poa_sim_run(s, poa_sim_now_us(s) + 10000);
    cr_expect(has(&seen.b), "after 20 blocks");
    while (status().height < final + 40)
        poa_sim_run(s, poa_sim_now_us(s) + 10000);
    cr_expect(not(has(&seen.b)), "after 40 blocks");
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s", poa_sim_result(s)->first);
}

/* An author that used up its part elsewhere: what a block lists is fetched all the same. */
Test(room, what_a_block_lists_is_always_taken)
{
    struct seen seen = {.have = false};
    uint8_t id[32];
    uint32_t from = 0, home = 0;
    network(0);
    while (poa_core_home(core, poa_sim_account(s, from)) == index_of(US))
        from++;
    while (poa_core_home(core, poa_sim_account(s, from)) != index_of(home))
        home++;
    for (uint64_t i = 0; i < BATCHES / PARTS; i++)
        cr_assert(
            eq(int, give(home, batch_of(home, UINT64_MAX / 2 + i, later_ms(), 1), POA_OK), POA_OK));
    cr_assert(eq(int, give(home, batch_of(home, UINT64_MAX / 2 + 99, later_ms(), 1), POA_OK),
                 POA_E_FULL));
    poa_sim_filter(s, watch, &seen);
    cr_assert(eq(int, poa_sim_transfer(s, home, from, from + 1, 5, id), POA_OK));
    for (int i = 0; i < 1000 && !poa_sim_final(s, id); i++)
        poa_sim_run(s, poa_sim_now_us(s) + 10000);
    uint64_t final = poa_sim_final(s, id);
    cr_assert(final > 0);
    for (int i = 0; i < 1000 && status().height < final; i++)
        poa_sim_run(s, poa_sim_now_us(s) + 10000);
    cr_expect(ge(u64, status().height, final), "it stays behind");
    cr_expect(seen.have && has(&seen.b), "it only followed");
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s", poa_sim_result(s)->first);
}

/* --- what a block may list -------------------------------------------------------------------- */

/* The first proposal of another that was on its way to US, which gets none any more. */
struct proposed {
    uint8_t bytes[4096];
    size_t n;
    struct poa_header h;
};

static bool keep(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct proposed *kept = ctx;
    struct poa_proposal p;
    if (type != POA_MSG_PROPOSAL || to != US)
        return true;
    if (!kept->n && bytes.n <= sizeof kept->bytes && !poa_proposal_decode(bytes, &p) &&
        !poa_header_decode(p.header, &kept->h) && kept->h.leader == index_of(from)) {
        memcpy(kept->bytes, bytes.p, bytes.n);
        kept->n = bytes.n;
    }
    return false;
}

static struct proposed kept;

/* Until US waits for the proposal of a view. */
static void until_proposed(void)
{
    memset(&kept, 0, sizeof kept);
    poa_sim_filter(s, keep, &kept);
    for (int i = 0; i < 2000 && !kept.n; i++)
        poa_sim_run(s, poa_sim_now_us(s) + 500);
    cr_assert(kept.n > 0);
}

/* The same proposal, by the same leader, of a block that lists these N batches. */
static void list(const struct batch *const *b, uint32_t n)
{
    uint8_t digests[64], body[4096], header[POA_HEADER_BYTES], bytes[8192], hash[32], digest[32];
    struct poa_proposal p;
    struct poa_body old;
    uint32_t leader = 0;
    cr_assert(eq(int, poa_proposal_decode(poa_slice(kept.bytes, kept.n), &p), POA_OK));
    cr_assert(eq(int, poa_body_decode(p.body, &old), POA_OK));
    for (uint32_t i = 0; i < n; i++)
        memcpy(digests + i * 32, b[i]->digest, 32);
    old.batches = (struct poa_list){.bytes = poa_slice(digests, n * 32), .count = n};
    struct poa_writer w = poa_writer_over(body, sizeof body);
    cr_assert(eq(int, poa_body_encode(&w, &old), POA_OK));
    p.body = poa_written(&w);
    poa_body_hash(p.body, kept.h.body);
    w = poa_writer_over(header, sizeof header);
    cr_assert(eq(int, poa_header_encode(&w, &kept.h), POA_OK));
    p.header = poa_written(&w);
    poa_header_hash(&kept.h, hash);
    poa_proposal_digest(hash, digest);
    while (index_of(leader) != kept.h.leader)
        leader++;
    poa_sim_suite(s)->sign(poa_sim_seed(s, leader), poa_sim_key(s, leader), digest, 32, p.sig);
    w = poa_writer_over(bytes, sizeof bytes);
    cr_assert(eq(int, poa_proposal_encode(&w, &p), POA_OK));
    cr_assert(eq(int, message(leader, POA_MSG_PROPOSAL, poa_written(&w)), POA_OK));
}

/* Whether the last step votes for the block of that view. */
static bool votes(void)
{
    struct poa_vote v;
    for (size_t i = 0; i < effects.n; i++)
        if (effects.effect[i].kind == POA_EFFECT_SEND && effects.effect[i].type == POA_MSG_VOTE &&
            !poa_vote_decode(effects.effect[i].bytes, &v) && v.kind == POA_VOTE_NOTARIZE &&
            v.view == kept.h.view)
            return true;
    return false;
}

Test(room, a_block_that_lists_what_it_may)
{
    network(0);
    until_proposed();
    const struct batch *b = batch_of(0, 1, kept.h.time_ms, 1);
    cr_assert(eq(int, give(0, b, POA_OK), POA_OK));
    list(&b, 1);
    cr_expect(votes());
}

Test(room, a_block_that_lists_what_expired)
{
    network(0);
    until_proposed();
    const struct batch *b = batch_of(0, 1, kept.h.time_ms - 1, 1);
    cr_assert(eq(int, give(0, b, POA_OK), POA_OK), "blocks are not that late yet");
    list(&b, 1);
    cr_expect(not(votes()));
}

Test(room, a_block_that_lists_something_twice)
{
    network(0);
    until_proposed();
    const struct batch *b = batch_of(0, 1, later_ms(), 1), *twice[] = {b, b};
    cr_assert(eq(int, give(0, b, POA_OK), POA_OK));
    list(twice, 2);
    cr_expect(not(votes()));
}

Test(room, a_block_that_lists_what_breaks_a_rule)
{
    network(0);
    until_proposed();
    const struct batch *b = batch_of(0, 1, later_ms(), 1);
    cr_assert(eq(int, give(0, b, POA_E_TX_SIGNATURE), POA_E_BATCH_INVALID));
    list(&b, 1);
    cr_expect(not(votes()));
}

/* It is asked for, and the vote waits for it. */
Test(room, a_block_that_lists_what_is_not_here)
{
    network(0);
    until_proposed();
    const struct batch *b = batch_of(0, 1, later_ms(), 1);
    list(&b, 1);
    cr_expect(not(votes()));
    for (int i = 0; i < 50 && !effect(POA_EFFECT_SEND, POA_MSG_GET_BATCH); i++) {
        offset_us += 1000;
        (void)step((struct poa_event){.kind = POA_EVENT_TICK});
        cr_expect(not(votes()));
    }
    cr_expect(effect(POA_EFFECT_SEND, POA_MSG_GET_BATCH) != NULL);
    cr_assert(eq(int, give(0, b, POA_OK), POA_OK));
    cr_expect(votes());
}

Test(room, a_block_that_lists_what_another_did)
{
    struct seen seen = {.have = false};
    uint8_t id[32];
    uint32_t from = 0;
    network(0);
    poa_sim_filter(s, watch, &seen);
    while (poa_core_home(core, poa_sim_account(s, from)) == index_of(US))
        from++;
    cr_assert(eq(int, poa_sim_transfer(s, 0, from, from + 1, 5, id), POA_OK));
    for (int i = 0; i < 1000 && (!poa_sim_final(s, id) || status().height < poa_sim_final(s, id));
         i++)
        poa_sim_run(s, poa_sim_now_us(s) + 1000);
    cr_assert(poa_sim_final(s, id) > 0 && seen.have);
    until_proposed();
    const struct batch *b = &seen.b;
    list(&b, 1);
    cr_expect(not(votes()));
}
