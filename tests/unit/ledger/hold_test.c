/* Holds: what waits for grade 2, what releases it, what comes back. */
#include "slots.h"

#define LIMIT 1000
#define FEE   10
#define RICH  1000000000

/* 12 devices of two makers and five regions; three seats of each slot. */
static struct setup graded(void)
{
    struct setup s = setup_default();
    s.devices = 12;
    s.g.grade2_seals = 4;
    s.g.grade2_span = 8;
    s.g.grade2_makers = 2;
    s.g.grade2_regions = 2;
    s.g.hold_above = LIMIT;
    s.g.hold_slots = 20;
    s.g.subsidy = 0; /* balances change by transfers alone */
    return s;
}

static uint64_t nonce_of(uint32_t user)
{
    struct poa_st_account a;
    return poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ACCOUNT, c.address[user], 32, &a)
               ? 0
               : a.nonce;
}

static struct poa_st_outgoing outgoing(uint32_t user)
{
    struct poa_st_outgoing out = {.held = 0};
    int e = poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_OUTGOING, c.address[user], 32, &out);
    cr_assert(e == POA_OK || e == POA_E_NOT_FOUND);
    return out;
}

/* Runs OPS of USER in a block TIME ms after genesis; its id in ID. */
static int pay(uint32_t user, const struct ops *o, uint64_t time, uint8_t id[32])
{
    body_tx(&b, &c, user, nonce_of(user), FEE, o);
    int tried = poa_ledger_try_tx(c.l, POA_STATE_BASE, c.s.g.time_ms + time, b.tx[0], 0, 0);
    block_add(&c, &b, time);
    memcpy(id, b.result[0].id, 32);
    int code = b.result[0].code;
    cr_assert_eq(tried, code, "the mempool says %s, the block %s", poa_error_name(tried),
                 poa_error_name(code));
    body_reset(&b);
    cr_assert(audit(&c));
    return code;
}

static struct ops transfer(uint64_t amount, bool asks)
{
    struct ops o = {.n = 0};
    struct poa_op_hold hold = {2};
    op_transfer(&o, c.address[4], amount);
    if (asks)
        op_raw(&o, POA_OP_HOLD, &poa_op_hold_record, &hold);
    return o;
}

static struct poa_st_hold hold_of(const uint8_t id[32])
{
    struct poa_st_hold h;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_HOLD, id, 32, &h), POA_OK);
    return h;
}

static struct poa_st_holds group_of(uint64_t slot)
{
    uint8_t key[8];
    struct poa_st_holds h;
    poa_put_le64(key, slot);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_HOLDS, key, 8, &h), POA_OK);
    return h;
}

/* Puts the seals of SLOT's devices, at most MAX of them and of those that WANT
 * has, into the body; returns how many. */
static uint32_t seal(uint64_t slot, uint32_t max, uint64_t want)
{
    struct poa_st_slot s = slot_of(slot);
    struct poa_list_iter it = poa_list_begin(&s.seats);
    struct poa_st_seat seat;
    uint32_t n = 0;
    while (n < max && poa_st_seat_next(&it, &seat)) {
        uint32_t d = device_of_key(seat.device);
        if (!(want >> d & 1) || seat.sealed)
            continue;
        struct poa_seal x = seal_make(&c, d, slot, s.height, s.epoch, s.hash);
        body_seal(&b, &x);
        n++;
    }
    return n;
}

static void add(uint64_t time)
{
    block_add(&c, b.seal_n ? &b : NULL, time);
    body_reset(&b);
    cr_assert(audit(&c));
}

Test(hold, waits_and_is_released_in_the_block_of_the_last_seal)
{
    uint8_t id[32];
    open_with(graded());
    block_add(&c, NULL, 100);
    struct ops o = transfer(500, true);
    cr_assert_eq(pay(1, &o, 200, id), POA_OK);
    /* Nonce and fee are gone, the value is nobody's. */
    cr_assert_eq(nonce_of(1), 1);
    cr_assert_eq(balance_of(&c, c.address[1]), RICH - 500 - FEE);
    cr_assert_eq(balance_of(&c, c.address[4]), FEE); /* user 4 leads every block */
    cr_assert_eq(global_state().held, 500);
    cr_assert_eq(outgoing(1).held, 500);
    cr_assert_eq(hold_of(id).slot, 1, "its block did not seal slot 0");
    cr_assert_eq(hold_of(id).height, 2);
    uint32_t devices = 0;
    for (uint64_t slot = 1; global_state().held; slot++) {
        add(slot * 1000 + 100);                              /* seals the slot */
        for (int i = 0; i < 3 && global_state().held; i++) { /* one at a time */
            seal(slot, 1, ~UINT64_C(0));
            add(slot * 1000 + 200 + (uint64_t)i);
            devices = group_of(1).devices.count;
            cr_assert(!global_state().held == (devices >= 4 && group_of(1).makers.count >= 2 &&
                                               group_of(1).regions.count >= 2));
        }
        cr_assert_lt(slot, 8);
    }
    cr_assert_geq(devices, 4);
    cr_assert_eq(group_of(1).status, POA_HOLD_RELEASED);
    cr_assert_eq(group_of(1).height, c.header.height);
    uint64_t tips = balance_of(&c, c.address[4]) - FEE - 500;
    cr_assert_eq(tips, 0); /* no subsidy, no tips */
    cr_assert_eq(outgoing(1).held, 0);
    chain_close(&c);
}

Test(hold, the_limit_is_a_sum_over_the_span)
{
    uint8_t id[32];
    open_with(graded());
    block_add(&c, NULL, 100);
    struct ops small = transfer(LIMIT - 300, false), more = transfer(301, false),
               rest = transfer(300, false);
    cr_assert_eq(pay(1, &small, 200, id), POA_OK);
    cr_assert_eq(global_state().held, 0);
    cr_assert_eq(pay(1, &more, 2300, id), POA_OK);
    cr_assert_eq(global_state().held, 301); /* 700 and 301 are above 1000 */
    cr_assert_eq(pay(1, &rest, 2400, id), POA_OK);
    cr_assert_eq(global_state().held, 301); /* what is held does not count */
    struct ops one = transfer(1, false);
    cr_assert_eq(pay(1, &one, 2500, id), POA_OK);
    cr_assert_eq(global_state().held, 302);
    cr_assert_eq(pay(2, &small, 2600, id), POA_OK); /* another account has its own sum */
    cr_assert_eq(global_state().held, 302);
    /* Slot 0 leaves the span of eight with slot 8, slot 2 with slot 10. */
    cr_assert_eq(pay(1, &one, 7999, id), POA_OK);
    cr_assert_eq(global_state().held, 303);
    cr_assert_eq(pay(1, &small, 8000, id), POA_OK);
    cr_assert_eq(global_state().held, 303);
    cr_assert_eq(pay(1, &one, 9999, id), POA_OK);
    cr_assert_eq(global_state().held, 304);
    cr_assert_eq(pay(1, &rest, 10000, id), POA_OK);
    cr_assert_eq(global_state().held, 304);
    chain_close(&c);
}

Test(hold, a_transaction_is_held_as_a_whole_and_only_transfers_are)
{
    uint8_t id[32];
    open_with(graded());
    block_add(&c, NULL, 100);
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[4], 1);
    op_transfer(&o, c.address[2], LIMIT);
    cr_assert_eq(pay(1, &o, 200, id), POA_OK);
    cr_assert_eq(global_state().held, LIMIT + 1);
    cr_assert_eq(hold_of(id).transfers.count, 2);
    cr_assert_eq(balance_of(&c, c.address[4]), FEE);
    struct poa_op_hold hold = {2};
    o = transfer(LIMIT + 1, false);
    op_anchor(&o, 7);
    cr_assert_eq(pay(1, &o, 300, id), POA_E_TX_HOLD_OPS);
    o = transfer(1, true);
    op_anchor(&o, 8);
    cr_assert_eq(pay(1, &o, 400, id), POA_E_TX_HOLD_OPS);
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_HOLD, &poa_op_hold_record, &hold); /* waits with nothing */
    cr_assert_eq(pay(1, &o, 500, id), POA_E_TX_HOLD_OPS);
    cr_assert_eq(nonce_of(1), 1); /* nothing of these happened */
    /* More than there is cannot be held either. */
    o = transfer(2 * (uint64_t)RICH, true);
    cr_assert_eq(pay(1, &o, 600, id), POA_E_TX_BALANCE);
    chain_close(&c);
}

Test(hold, without_grade_2_nobody_waits)
{
    uint8_t id[32];
    open_with(setup_default());
    struct ops o = transfer(5, true);
    cr_assert_eq(pay(1, &o, 100, id), POA_E_TX_HOLD_OFF);
    struct poa_op_hold one = {1};
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_HOLD, &poa_op_hold_record, &one);
    uint8_t bytes[512];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_list list = {poa_slice(o.bytes, o.n), 1};
    struct poa_tx_view v;
    cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, c.user[1].seed, 0, FEE, 0, &list, &w, id),
                 POA_OK);
    cr_assert_eq(poa_tx_check(c.id, poa_written(&w), &v), POA_E_TX_MALFORMED);
    chain_close(&c);
}

Test(hold, comes_back_when_the_devices_stay_away)
{
    uint8_t id[32], other[32];
    open_with(graded());
    struct ops o = transfer(2000, false);
    cr_assert_eq(pay(1, &o, 100, id), POA_OK);
    cr_assert_eq(hold_of(id).slot, 0, "its block seals slot 0");
    cr_assert_eq(pay(2, &o, 1500, other), POA_OK);
    add(1600);
    add(20999);
    cr_assert_eq(global_state().held, 4000);
    add(21000); /* slot 0 + 20 has passed */
    cr_assert_eq(global_state().held, 2000);
    cr_assert_eq(balance_of(&c, c.address[1]), RICH - FEE);
    cr_assert_eq(group_of(0).status, POA_HOLD_REFUNDED);
    cr_assert_eq(group_of(0).height, c.header.height);
    cr_assert_eq(outgoing(1).held, 0);
    add(22000);
    cr_assert_eq(global_state().held, 0);
    cr_assert_eq(global_state().hold_open, UINT64_MAX);
    cr_assert_eq(nonce_of(1), 1);
    /* A new group after all of them ended. */
    cr_assert_eq(pay(1, &o, 22100, id), POA_OK);
    cr_assert_eq(global_state().held, 2000);
    cr_assert_eq(global_state().hold_open, hold_of(id).slot);
    /* Much later the old ones are forgotten, in order. */
    add(5000000);
    for (uint64_t i = 1; i < 8; i++)
        add(5000000 + i * 1000);
    struct poa_st_hold gone;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_HOLD, id, 32, &gone),
                 POA_E_NOT_FOUND);
    cr_assert_eq(global_state().hold_first, UINT64_MAX);
    cr_assert_eq(global_state().held, 0);
    chain_close(&c);
}

Test(hold, a_device_counts_once_and_makers_and_regions_count)
{
    uint8_t id[32];
    struct setup s = graded();
    s.g.grade2_regions = 3;
    open_with(s);
    /* Devices of maker 1 alone seal, then two devices, each as often as it can. */
    struct ops o = transfer(2000, false);
    cr_assert_eq(pay(1, &o, 100, id), POA_OK);
    uint64_t maker1 = 0;
    for (uint32_t d = 0; d < 12; d++) {
        struct poa_st_device st;
        cr_assert_eq(
            poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_DEVICE, c.device[d].pk, 32, &st),
            POA_OK);
        maker1 |= (uint64_t)(st.maker == 1) << d;
    }
    uint32_t seals = 0;
    for (uint64_t slot = 0; slot < 8; slot++) {
        if (slot)
            add(slot * 1000 + 100);
        seals += seal(slot, 3, maker1);
        add(slot * 1000 + 500);
    }
    struct poa_st_holds g = group_of(0);
    cr_assert_eq(g.makers.count, 1);
    cr_assert_geq(g.devices.count, 4);
    cr_assert_leq(g.devices.count, 6);
    cr_assert_gt(seals, g.devices.count); /* somebody sealed twice */
    cr_assert_eq(global_state().held, 2000);
    /* Slot 8 is after the span: it does not help any more. */
    add(8100);
    cr_assert_gt(seal(8, 3, ~UINT64_C(0)), 0);
    add(8200);
    cr_assert_eq(group_of(0).makers.count, 1);
    /* A late seal for slot 7 by the other maker completes it. */
    uint32_t late = 0;
    for (uint64_t slot = 0; slot < 8 && !late; slot++)
        late = seal(slot, 1, ~maker1);
    cr_assert_eq(late, 1);
    add(8300);
    cr_assert_eq(global_state().held, 0);
    cr_assert_eq(group_of(0).status, POA_HOLD_RELEASED);
    chain_close(&c);
}

/* Three of four witnesses serve and all must sign: who made one of them adds nothing
 * by its devices. */
Test(hold, devices_of_a_maker_that_rules_the_committee_do_not_count)
{
    uint8_t id[32];
    struct setup s = graded();
    s.g.committee_size = 3;
    open_with(s);
    struct poa_committee committee;
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, NULL, &committee, NULL), POA_OK);
    cr_assert_eq(committee.quorum, 3);
    struct ops o = transfer(2000, false);
    cr_assert_eq(pay(1, &o, 100, id), POA_OK);
    for (uint64_t slot = 0; slot < 8; slot++) {
        if (slot)
            add(slot * 1000 + 100);
        seal(slot, 3, ~UINT64_C(0));
        add(slot * 1000 + 500);
    }
    struct poa_st_holds g = group_of(0);
    uint32_t makers = 0;
    for (uint32_t maker = 1; maker <= 2; maker++) {
        static const uint8_t nobody[32];
        bool counts = poa_committee_independent(&committee, nobody, maker);
        struct poa_list_iter it = poa_list_begin(&g.makers);
        struct poa_mark m;
        bool there = false;
        while (poa_mark_next(&it, &m))
            there |= m.id == maker;
        cr_assert_eq(there, counts);
        makers += counts;
    }
    cr_assert_leq(makers, 1); /* makers 0..3 have one witness each, three of them serve */
    cr_assert_eq(global_state().held, 2000);
    chain_close(&c);
}

/* A block may have to release a whole span of them. */
Test(hold, the_number_that_wait_is_bounded)
{
    uint8_t id[32];
    struct setup s = graded();
    s.g.grade2_span = 255; /* 262144 / 255 = 1028 transfers */
    s.g.hold_slots = 300;
    open_with(s);
    struct ops o = {.n = 0};
    struct poa_op_hold hold = {2};
    for (int i = 0; i < 63; i++)
        op_transfer(&o, c.address[4], 1);
    op_raw(&o, POA_OP_HOLD, &poa_op_hold_record, &hold);
    for (uint64_t i = 0; i < 16; i++) /* 1008 */
        cr_assert_eq(pay(1, &o, 100 + i, id), POA_OK);
    /* The first was in the block that seals slot 0: a group of its own. */
    cr_assert_eq(group_of(0).transfers, 63);
    cr_assert_eq(group_of(1).transfers, 15 * 63);
    cr_assert_eq(pay(1, &o, 200, id), POA_OK);
    body_tx(&b, &c, 1, nonce_of(1), FEE, &o);
    block_add(&c, &b, 300);
    cr_assert_eq(b.result[0].code, POA_E_TX_HOLD_FULL);
    body_reset(&b);
    cr_assert_eq(global_state().held, 17 * 63);
    cr_assert(audit(&c));
    chain_close(&c);
}
