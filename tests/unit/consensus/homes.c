/* Where transactions wait that are not final yet: what never can be is let go, and
 * what waits for nothing takes nobody's place. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "poa_sim.h"

#define ALL 1000000000u /* what an account has */

static struct poa_sim *network(uint32_t pool_txs, size_t pool_bytes)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.limits.mempool.txs = pool_txs;
    c.limits.mempool.per_account = pool_txs;
    c.limits.mempool.bytes = pool_bytes;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    poa_sim_run(s, 300000);
    return s;
}

static void run_ms(struct poa_sim *s, uint64_t ms)
{
    poa_sim_run(s, poa_sim_now_us(s) + ms * 1000);
}

static uint32_t waiting(struct poa_sim *s, uint32_t node)
{
    struct poa_core_status st;
    poa_core_status(poa_sim_core(s, node), &st);
    return st.mempool;
}

/* An account whose home is not NODE. */
static uint32_t stranger(struct poa_sim *s, uint32_t node, uint32_t from)
{
    struct poa_core_status st;
    poa_core_status(poa_sim_core(s, node), &st);
    while (poa_core_home(poa_sim_core(s, node), poa_sim_account(s, from)) == st.member)
        from++;
    cr_assert(lt(u32, from, 16));
    return from;
}

static void finish(struct poa_sim *s)
{
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s", poa_sim_result(s)->first);
    poa_sim_free(s);
}

/* The first one takes all the money, so the second can never be executed, and the
 * third waits for it for ever. */
Test(homes, what_can_never_be_executed_is_let_go)
{
    struct poa_sim *s = network(1024, 1u << 20);
    uint8_t id[3][32];
    uint32_t a = stranger(s, 0, 0);
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, ALL, id[0]), POA_OK));
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, ALL, id[1]), POA_OK));
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, 1, id[2]), POA_OK));
    run_ms(s, 5000);
    cr_expect(lt(u64, 0, poa_sim_final(s, id[0])));
    cr_expect(eq(u32, waiting(s, 0), 1), "the second is still here");
    cr_expect(eq(int, poa_sim_gone(s, id[2]), POA_OK));
    run_ms(s, 130000); /* its home kept it for a minute, and sent it back */
    for (uint32_t i = 0; i < 4; i++)
        cr_expect(eq(u32, waiting(s, i), 0), "node %u", i);
    cr_expect(eq(u64, poa_sim_final(s, id[1]) + poa_sim_final(s, id[2]), 0));
    cr_expect(eq(int, poa_sim_gone(s, id[0]), POA_OK));
    cr_expect(ne(int, poa_sim_gone(s, id[2]), POA_OK), "whoever accepted it says so");
    finish(s);
}

/* Takes all of an account's money and then sends what waits for money in vain,
 * until NODE takes no more; says why it did not. */
static int flood(struct poa_sim *s, uint32_t node, uint32_t account, uint32_t *sent)
{
    uint8_t id[32];
    int e = poa_sim_transfer(s, node, account, 15, ALL - 1, id);
    for (*sent = 0; !e && *sent < 4096; ++*sent)
        e = poa_sim_transfer(s, node, account, 15, ALL, id);
    return e;
}

Test(homes, one_sender_does_not_take_all_the_room)
{
    struct poa_sim *s = network(64, 1u << 20);
    uint8_t id[32];
    uint32_t sent;
    uint32_t a = stranger(s, 0, 0), b = stranger(s, 0, a + 1), c = stranger(s, 0, b + 1);
    cr_expect(eq(int, flood(s, 0, a, &sent), POA_E_TX_ACCOUNT_FULL));
    cr_expect(eq(u32, sent, 24)); /* half of what is not kept for others */
    cr_expect(eq(int, flood(s, 0, b, &sent), POA_E_TX_ACCOUNT_FULL));
    cr_expect(lt(u32, 6, sent));
    cr_assert(eq(int, poa_sim_transfer(s, 0, c, 15, 1, id), POA_OK));
    run_ms(s, 200);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    finish(s);
}

Test(homes, there_is_room_for_those_whose_turn_it_is)
{
    struct poa_sim *s = network(4096, 16384); /* bytes are short before rows are */
    uint8_t id[32];
    uint32_t sent;
    uint32_t a = stranger(s, 0, 0), b = stranger(s, 0, a + 1);
    cr_expect(eq(int, flood(s, 0, a, &sent), POA_E_TX_POOL_FULL));
    cr_expect(lt(u32, 10, sent));
    run_ms(s, 1);
    cr_assert(eq(int, poa_sim_transfer(s, 0, b, 15, 1, id), POA_OK));
    run_ms(s, 200);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    finish(s);
}

/* Who has no money has nothing under way either. */
Test(homes, nobody_waits_for_money)
{
    struct poa_sim *s = network(64, 1u << 20);
    uint8_t id[32];
    uint32_t a = stranger(s, 0, 0);
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, ALL, id), POA_OK));
    run_ms(s, 200);
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, 1, id), POA_E_TX_BALANCE));
    finish(s);
}

/* A transfer of ACCOUNT as another member passes it on to node 0, whatever NONCE. What
 * comes of it is in EFFECTS and nobody does it: for what only waits. */
static int pass_on(struct poa_sim *s, uint32_t account, uint64_t nonce, struct poa_effects *effects)
{
    struct poa_core *c = poa_sim_core(s, 0);
    const uint8_t *chain = poa_ledger_chain(poa_core_ledger(c));
    uint8_t body[64], ops[96], raw[512], auth[108] = {0};
    struct poa_op_transfer transfer = {.amount = 1};
    struct poa_tx_view view;
    int code = POA_OK;
    memcpy(transfer.to, poa_sim_account(s, 15), 32);
    struct poa_writer w = poa_writer_over(body, sizeof body);
    cr_assert(eq(int, poa_op_transfer_encode(&w, &transfer), POA_OK));
    struct poa_op op = {POA_OP_TRANSFER, poa_written(&w)};
    w = poa_writer_over(ops, sizeof ops);
    cr_assert(eq(int, poa_op_encode(&w, &op), POA_OK));
    struct poa_tx tx = {.chain = poa_le32(chain),
                        .nonce = nonce,
                        .fee = 1000,
                        .ops = {poa_written(&w), 1},
                        .auth = poa_slice(auth, sizeof auth)};
    memcpy(tx.sender, poa_sim_account(s, account), 32);
    w = poa_writer_over(raw, sizeof raw);
    cr_assert(eq(int, poa_tx_encode(&w, &tx), POA_OK));
    cr_assert(eq(int, poa_tx_parse(chain, poa_written(&w), &view), POA_OK));
    struct poa_event e = {.kind = POA_EVENT_TX, .peer = 1, .tx = &view, .txs = 1, .codes = &code};
    struct poa_now now = {.us = poa_sim_now_us(s), .wall_ms = 2000000000000};
    cr_assert(eq(int, poa_core_reserve(c), POA_OK));
    cr_assert(eq(int, poa_core_step(c, &e, now, effects), code));
    return code;
}

/* Another's that wait for a nonce for ever keep nobody's waiting whose turn comes. */
Test(homes, those_that_wait_are_not_in_the_way)
{
    struct poa_sim *s = network(4096, 4u << 20);
    struct poa_effects effects;
    struct poa_batch batch = {.seq = 0};
    for (uint64_t i = 0; i < 1400; i++)
        cr_assert(eq(int, pass_on(s, 1, i + 2, &effects), POA_OK));
    for (uint64_t i = 4; i > 0; i--)
        cr_assert(eq(int, pass_on(s, 2, i, &effects), POA_OK));
    cr_assert(eq(u32, waiting(s, 0), 1404));
    cr_assert(eq(int, pass_on(s, 2, 0, &effects), POA_OK));
    for (size_t i = 0; i < effects.n; i++)
        if (effects.effect[i].kind == POA_EFFECT_CHECK)
            cr_assert(eq(int, poa_batch_decode(effects.effect[i].bytes, &batch), POA_OK));
    cr_expect(eq(u32, batch.txs.count, 5));
    finish(s);
}

/* However many there are, all have their turn when nonces move on. */
Test(homes, those_that_wait_have_all_their_turn)
{
    struct poa_sim *s = network(4096, 4u << 20);
    struct poa_effects effects;
    uint8_t id[32];
    uint32_t late = stranger(s, 0, 2);
    for (uint64_t i = 0; i < 1400; i++)
        cr_assert(eq(int, pass_on(s, 1, i + 2, &effects), POA_OK));
    cr_assert(eq(int, pass_on(s, late, 1, &effects), POA_OK));
    cr_assert(eq(int, poa_sim_transfer(s, 0, late, 15, 1, id), POA_OK));
    run_ms(s, 120); /* well before it would be sent again: two heartbeats */
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    cr_expect(eq(u32, waiting(s, 0), 1400));
    finish(s);
}

/* Nor of whose home dies. */
Test(homes, those_that_wait_do_not_hide_a_dead_home)
{
    struct poa_sim *s = network(4096, 4u << 20);
    struct poa_effects effects;
    struct poa_core_status st;
    uint8_t id[32];
    uint32_t victim = stranger(s, 0, 2), dead = 1;
    for (uint64_t i = 0; i < 1400; i++)
        cr_assert(eq(int, pass_on(s, 1, i + 2, &effects), POA_OK));
    for (; dead < 4; dead++) {
        poa_core_status(poa_sim_core(s, dead), &st);
        if (st.member == poa_core_home(poa_sim_core(s, 0), poa_sim_account(s, victim)))
            break;
    }
    poa_sim_kill(s, dead);
    cr_assert(eq(int, poa_sim_transfer(s, 0, victim, 15, 1, id), POA_OK));
    run_ms(s, 10000);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    finish(s);
}

/* --- homes that fail -------------------------------------------------------------------- */

struct fault {
    struct poa_sim *s;
    uint32_t home, shown; /* whom the home's first batch reaches */
    uint8_t digest[32];
    bool have;
};

/* It votes, but nobody gets its batches. */
static bool mute(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    const struct fault *f = ctx;
    (void)to;
    (void)bytes;
    return type != POA_MSG_BATCH || from != f->home;
}

/* ACCOUNT has its home there, and node 0 is another. */
static uint32_t home_of(struct poa_sim *s, uint32_t account)
{
    struct poa_core_status st;
    uint16_t home = poa_core_home(poa_sim_core(s, 0), poa_sim_account(s, account));
    for (uint32_t node = 1; node < 4; node++) {
        poa_core_status(poa_sim_core(s, node), &st);
        if (st.member == home)
            return node;
    }
    cr_fatal("no home");
    return 0;
}

static uint64_t ms_until_final(struct poa_sim *s, const uint8_t id[32])
{
    uint64_t from = poa_sim_now_us(s);
    for (int i = 0; i < 20000 && !poa_sim_final(s, id); i++)
        run_ms(s, 1);
    return (poa_sim_now_us(s) - from) / 1000;
}

/* Two heartbeats (200 ms) without a batch: the next rank; and nobody waits for it again. */
Test(homes, one_that_makes_no_batches_is_left)
{
    struct poa_sim *s = network(1024, 1u << 20);
    uint8_t id[2][32];
    uint32_t a = stranger(s, 0, 0);
    struct fault f = {.s = s, .home = home_of(s, a)};
    poa_sim_filter(s, mute, &f);
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, 1, id[0]), POA_OK));
    uint64_t first = ms_until_final(s, id[0]);
    cr_expect(first >= 200 && first < 1500, "%lu ms", (unsigned long)first);
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, 1, id[1]), POA_OK));
    uint64_t second = ms_until_final(s, id[1]);
    cr_expect(second < 200, "%lu ms", (unsigned long)second);
    finish(s);
}

/* Its first batch gets to one member and no further. */
static bool first_to_one(void *ctx, uint32_t from, uint32_t to, uint16_t type,
                         struct poa_slice bytes)
{
    struct fault *f = ctx;
    uint8_t digest[32];
    if (type != POA_MSG_BATCH)
        return true;
    poa_batch_digest(bytes, digest);
    if (!f->have && from == f->home) {
        memcpy(f->digest, digest, 32);
        f->have = true;
    }
    return !f->have || memcmp(digest, f->digest, 32) != 0 || to == f->shown;
}

/* The home packs the transfer and dies. Enough hold the batch, as far as the member knows
 * that accepted the transfer, but nobody can fetch it from there: when the batch's time
 * is over, the transfer goes to another home. */
Test(homes, a_batch_of_a_dead_home_that_nobody_can_fetch)
{
    struct poa_sim *s = network(1024, 1u << 20);
    uint8_t id[32];
    uint32_t a = stranger(s, 0, 0);
    struct fault f = {.s = s, .home = home_of(s, a), .shown = 0};
    poa_sim_filter(s, first_to_one, &f);
    cr_assert(eq(int, poa_sim_transfer(s, 0, a, 15, 1, id), POA_OK));
    for (int i = 0; i < 100 && !f.have; i++)
        run_ms(s, 1);
    cr_assert(f.have);
    run_ms(s, 5); /* to node 0 */
    poa_sim_kill(s, f.home);
    run_ms(s, 50000);
    cr_expect(eq(u64, poa_sim_final(s, id), 0), "the batch got through");
    cr_expect(eq(int, poa_sim_gone(s, id), POA_OK));
    run_ms(s, 30000);
    cr_expect(lt(u64, 0, poa_sim_final(s, id)));
    finish(s);
}
