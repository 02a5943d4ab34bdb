/* Slots, tickets, seals, settlement, epochs, convictions. */
#include "poa_assign.h"
#include "slots.h"

static bool slot_exists(uint64_t slot)
{
    uint8_t key[8];
    struct poa_slice v;
    poa_put_le64(key, slot);
    return !poa_ledger_get(c.l, POA_STATE_BASE, POA_STATE_SLOT, key, 8, &v);
}

Test(mining, first_block_of_a_slot_is_its_sealing_block)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    uint8_t first[32];
    memcpy(first, c.hash, 32);
    block_add(&c, NULL, 200);
    block_add(&c, NULL, 3100);
    struct poa_st_slot s = slot_of(0);
    cr_assert_eq(s.height, 1);
    cr_assert_arr_eq(s.hash, first, 32);
    cr_assert_eq(s.next, 3);
    cr_assert_not(slot_exists(1));
    s = slot_of(3);
    cr_assert_eq(s.height, 3);
    cr_assert_eq(s.next, UINT64_MAX);
    /* window 0 is drawn at random: three distinct devices, by rank */
    cr_assert_eq(s.seats.count, 3);
    for (uint32_t i = 1; i < 3; i++)
        cr_assert_lt(seat_at(&s, i - 1).rank, seat_at(&s, i).rank);
    cr_assert_eq(global_state().slot, 3);
    cr_assert_eq(global_state().unsettled, 0);
    chain_close(&c);
}

Test(mining, seals_and_refusals)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    struct poa_st_slot s = slot_of(0);
    uint32_t d = device_of_key(seat_at(&s, 0).device), stranger = 0;
    for (uint32_t i = 0; i < 3; i++)
        stranger += device_of_key(seat_at(&s, 0).device) == stranger ||
                    device_of_key(seat_at(&s, 1).device) == stranger ||
                    device_of_key(seat_at(&s, 2).device) == stranger;
    struct poa_seal good = seal_for(d, 0), x;
    cr_assert_eq(poa_ledger_try_seal(c.l, POA_STATE_BASE, c.s.g.time_ms + 200, &good), POA_OK);
    x = seal_make(&c, d, 5, s.height, s.epoch, s.hash);
    cr_assert_eq(refused_seal(&x, 200), POA_E_SLOT_UNKNOWN);
    x = seal_make(&c, d, 0, 2, s.epoch, s.hash);
    cr_assert_eq(refused_seal(&x, 200), POA_E_SEAL_FORK);
    x = seal_make(&c, d, 0, s.height, 1, s.hash);
    cr_assert_eq(refused_seal(&x, 200), POA_E_SEAL_FORK);
    x = seal_make(&c, d, 0, s.height, s.epoch, c.id);
    cr_assert_eq(refused_seal(&x, 200), POA_E_SEAL_FORK);
    x = seal_for(stranger, 0);
    cr_assert_eq(refused_seal(&x, 200), POA_E_SEAL_NOT_ASSIGNED);
    x = good;
    x.sig[0] ^= 1;
    cr_assert_eq(refused_seal(&x, 200), POA_E_SIGNATURE);
    x = seal_for(stranger, 0);
    memcpy(x.device, c.device[d].pk, 32); /* signed by somebody else */
    cr_assert_eq(refused_seal(&x, 200), POA_E_SIGNATURE);
    /* twice in one block, and again in a later one */
    body_seal(&b, &good);
    body_seal(&b, &good);
    cr_assert_eq(refusal(200), POA_E_SEAL_DUPLICATE);
    cr_assert_eq(refused_seal(&good, 8999), POA_OK); /* the last slot that counts is 8 */
    cr_assert_eq(refused_seal(&good, 9000), POA_E_SEAL_LATE);
    body_seal(&b, &good);
    struct poa_block_result r = block_add(&c, &b, 300);
    cr_assert_eq(r.seals, 1);
    body_reset(&b);
    cr_assert_eq(refused_seal(&good, 400), POA_E_SEAL_DUPLICATE);
    s = slot_of(0);
    cr_assert_eq(seat_at(&s, 0).sealed, 2);
    cr_assert_eq(device_state(d).sealed, 1);
    cr_assert_eq(device_state(d).assigned, 1);
    cr_assert_eq(device_state(stranger).assigned, 0);
    chain_close(&c);
}

/* Subsidy 1000003: miner 60 % = 600001, sealers 30 % = 300000, tip 10 each. */
Test(mining, settlement)
{
    for (uint32_t sealers = 0; sealers <= 3; sealers++) {
        open_with(setup_default());
        block_add(&c, NULL, 100);
        struct poa_st_slot s = slot_of(0);
        uint64_t paid[2] = {0};
        for (uint32_t i = 3 - sealers; i < 3; i++) { /* the highest ranks seal */
            struct poa_seal seal = seal_for(device_of_key(seat_at(&s, i).device), 0);
            body_seal(&b, &seal);
            /* payouts go to user 2 or 3, by the device's place in genesis */
            uint64_t amount = i == 3 - sealers ? 600001 : sealers > 1 ? 300000 / (sealers - 1) : 0;
            paid[device_of_key(seat_at(&s, i).device) % 2] += amount;
        }
        block_add(&c, &b, 200);
        body_reset(&b);
        cr_assert_eq(balance_of(&c, c.address[4]), 10 * sealers);
        block_add(&c, NULL, 8999);
        cr_assert_eq(slot_of(0).settled, 0);
        block_add(&c, NULL, 9000);
        cr_assert_eq(slot_of(0).settled, 1);
        cr_assert_eq(balance_of(&c, c.address[2]), 1000000000 + paid[0]);
        cr_assert_eq(balance_of(&c, c.address[3]), 1000000000 + paid[1]);
        uint64_t treasury = sealers ? 1000003 - paid[0] - paid[1] - 10 * sealers : 0;
        cr_assert_eq(balance_of(&c, c.address[5]), treasury);
        cr_assert_eq(global_state().issued, 1000003);
        cr_assert_eq(global_state().burned, sealers ? 0 : 1000003);
        cr_assert_eq(global_state().unsettled, 8);
        s = slot_of(0);
        static const uint8_t nobody[32];
        if (sealers)
            cr_assert_arr_eq(s.miner, seat_at(&s, 3 - sealers).device, 32);
        else
            cr_assert_arr_eq(s.miner, nobody, 32);
        cr_assert(audit(&c));
        chain_close(&c);
    }
}

Test(mining, subsidy_halves_and_tips_fit_into_it)
{
    struct setup s = setup_default();
    s.g.halving_slots = 2;
    s.g.subsidy = 1600;
    s.g.tip = 1000; /* more than there is: (1600 - 960 - 480) / 32 = 5 */
    open_with(s);
    uint64_t issued = 0, tips = 0;
    for (uint64_t slot = 0; slot < 6; slot++) {
        block_add(&c, NULL, slot * 1000 + 100);
        struct poa_st_slot st = slot_of(slot);
        uint64_t subsidy = 1600u >> (slot / 2);
        uint64_t tip = (subsidy - subsidy * 6 / 10 - subsidy * 3 / 10) / 32;
        for (uint32_t i = 0; i < st.seats.count; i++) {
            struct poa_seal seal = seal_for(device_of_key(seat_at(&st, i).device), slot);
            body_seal(&b, &seal);
            tips += tip;
        }
        block_add(&c, &b, slot * 1000 + 200);
        body_reset(&b);
        issued += subsidy;
    }
    block_add(&c, NULL, 100000);
    cr_assert_eq(global_state().issued, issued);
    cr_assert_eq(global_state().burned, 0);
    cr_assert_eq(balance_of(&c, c.address[4]), tips);
    cr_assert(audit(&c));
    chain_close(&c);
}

Test(mining, tickets_take_seats_in_the_next_window)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    struct poa_lottery lottery;
    struct poa_seat seats[POA_DRAWS_MAX];
    struct poa_st_epoch epoch;
    uint32_t want[16] = {0}, tickets = 0;
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, &epoch, NULL, &lottery), POA_OK);
    cr_assert_eq(lottery.eligible, 8);
    for (uint32_t d = 0; d < 8; d++) {
        struct poa_ticket t = ticket_make(&c, d, 0, 1);
        uint8_t beta[64];
        cr_assert_eq(poa_ticket_check(c.suite, c.id, epoch.seed, &t, beta), POA_OK);
        size_t n = poa_ticket_seats(&lottery, beta, seats);
        cr_assert_eq(poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 200, &t),
                     n ? POA_OK : POA_E_TICKET_LOST);
        for (size_t i = 0; i < n; i++)
            want[seats[i].slot]++;
        if (n) {
            body_ticket(&b, &t);
            tickets++;
        }
    }
    struct poa_block_result r = block_add(&c, &b, 200);
    cr_assert_eq(r.tickets, tickets);
    body_reset(&b);
    for (uint64_t slot = 1; slot < 32; slot++) {
        block_add(&c, NULL, slot * 1000);
        struct poa_st_slot s = slot_of(slot);
        if (slot < 16)
            cr_assert_eq(s.seats.count, 3);
        else
            cr_assert_eq(s.seats.count, want[slot - 16], "slot %u", (unsigned)slot);
        cr_assert_eq(s.height, slot + 2);
    }
    chain_close(&c);
}

Test(mining, ticket_refusals)
{
    struct setup s = setup_default();
    open_with(s);
    block_add(&c, NULL, 100);
    /* a device that wins something in windows 1 and 2 */
    uint32_t d = 0;
    while (poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 200,
                                 &(struct poa_ticket[]){ticket_make(&c, d, 0, 1)}[0]))
        d++;
    struct poa_ticket good = ticket_make(&c, d, 0, 1), t;
#define REFUSED(code, ticket, time)                                                                \
    t = ticket;                                                                                    \
    body_ticket(&b, &t);                                                                           \
    cr_assert_eq(refusal(time), code);                                                             \
    cr_assert_eq(poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + (time), &t), code)
    REFUSED(POA_OK, good, 200);
    REFUSED(POA_E_TICKET_WINDOW, ticket_make(&c, d, 0, 0), 200);
    REFUSED(POA_E_TICKET_WINDOW, ticket_make(&c, d, 0, 2), 200);
    REFUSED(POA_E_TICKET_WINDOW, good, 16000); /* its window runs already */
    REFUSED(POA_E_DEVICE_UNKNOWN, ticket_make(&c, 40, 0, 1), 200);
    good.proof[3] ^= 1;
    REFUSED(POA_E_PROOF, good, 200);
    good.proof[3] ^= 1;
    good.epoch = 1;
    REFUSED(POA_E_TICKET_WINDOW, good, 200);
    good.epoch = 0;
    body_ticket(&b, &good);
    body_ticket(&b, &good);
    cr_assert_eq(refusal(200), POA_E_TICKET_DUPLICATE);
    body_ticket(&b, &good);
    block_add(&c, &b, 200);
    body_reset(&b);
    REFUSED(POA_E_TICKET_DUPLICATE, good, 300);
    /* registered now: too late for this epoch */
    struct ops o = {.n = 0};
    struct poa_op_device op = device_of(&c, 40, 0);
    op_device(&o, &op);
    body_tx(&b, &c, 1, 0, 10, &o);
    block_add(&c, &b, 400);
    body_reset(&b);
    REFUSED(POA_E_DEVICE_TOO_NEW, ticket_make(&c, 40, 0, 1), 500);
    chain_close(&c);

    s.policy = POA_POLICY_RANDOM; /* knows no tickets */
    open_with(s);
    block_add(&c, NULL, 100);
    REFUSED(POA_E_TICKET_WINDOW, ticket_make(&c, d, 0, 1), 200);
    for (uint64_t slot = 1; slot < 40; slot++) {
        block_add(&c, NULL, slot * 1000);
        cr_assert_eq(slot_of(slot).seats.count, 3);
    }
    chain_close(&c);
}

Test(mining, a_full_slot_keeps_the_lowest_ranks)
{
    struct setup s = setup_default();
    s.devices = 48;
    s.g.seats_per_slot = 16;
    s.g.window_slots = 4; /* 4 draws that win almost always */
    open_with(s);
    block_add(&c, NULL, 100);
    uint32_t accepted = 0, full = 0;
    for (uint32_t d = 0; d < 48; d++) {
        struct poa_ticket t = ticket_make(&c, d, 0, 1);
        int e = poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 100 + d, &t);
        if (e) {
            cr_assert(e == POA_E_TICKET_LOST || e == POA_E_SLOT_FULL);
            full += e == POA_E_SLOT_FULL;
            continue;
        }
        body_reset(&b);
        body_ticket(&b, &t);
        block_add(&c, &b, 101 + d);
        accepted++;
    }
    cr_assert_gt(accepted, 30);
    for (uint64_t slot = 4; slot < 8; slot++) {
        struct poa_st_slot st = slot_of(slot);
        cr_assert_leq(st.seats.count, POA_SLOT_SEATS_MAX);
        for (uint32_t i = 1; i < st.seats.count; i++)
            cr_assert_lt(seat_at(&st, i - 1).rank, seat_at(&st, i).rank);
    }
    chain_close(&c);
}

Test(mining, skipped_slots_leave_nothing_behind)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    for (uint32_t d = 0; d < 8; d++) {
        struct poa_ticket t = ticket_make(&c, d, 0, 1);
        if (!poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 200, &t))
            body_ticket(&b, &t);
    }
    cr_assert_gt(b.ticket_n, 0);
    block_add(&c, &b, 200);
    block_add(&c, NULL, 500000); /* long after their window */
    for (uint64_t slot = 1; slot < 500; slot++)
        cr_assert_not(slot_exists(slot));
    cr_assert_eq(slot_of(0).next, 500);
    cr_assert_eq(slot_of(0).settled, 1);
    chain_close(&c);
}

Test(mining, old_slots_are_pruned)
{
    struct setup s = setup_default();
    s.policy = POA_POLICY_RANDOM;
    open_with(s);
    for (uint64_t slot = 0; slot < 4200; slot++)
        block_add(&c, NULL, slot * 1000 + 1);
    cr_assert_eq(global_state().oldest, 4200 - 1 - 4096);
    cr_assert_not(slot_exists(global_state().oldest - 1));
    cr_assert(slot_exists(global_state().oldest));
    cr_assert(audit(&c));
    chain_close(&c);
}

/* --- epochs --------------------------------------------------------------------------- */

Test(mining, an_epoch_closes_and_the_next_begins)
{
    struct setup s = setup_default();
    struct poa_st_epoch e0, e1, e2;
    struct poa_committee c0, c1;
    struct ops o = {.n = 0};
    s.g.epoch_views = 4;
    open_with(s);
    struct poa_op_device op = device_of(&c, 40, 0);
    op_device(&o, &op);
    body_tx(&b, &c, 1, 0, 10, &o);
    uint8_t beacon[32];
    memcpy(beacon, global_state().beacon, 32);
    for (int i = 0; i < 4; i++) {
        block_add(&c, i ? NULL : &b, 1000u * (uint32_t)i + 100);
        cr_assert(memcmp(beacon, global_state().beacon, 32), "every block adds to the beacon");
        memcpy(beacon, global_state().beacon, 32);
    }
    /* View 5: closing, and nothing else fits. */
    struct poa_header h;
    struct poa_slice body;
    struct poa_block_result r;
    poa_state_id closing, filler, more;
    h = header_next(&c, POA_STATE_BASE, NULL, 4100, &body);
    cr_assert_eq(h.kind, POA_BLOCK_CLOSING);
    struct poa_header x = h;
    x.next_committee[0] ^= 1;
    cr_assert_eq(block_try(&c, POA_STATE_BASE, &x, body, NULL, &more, &r), POA_E_BLOCK_INVALID);
    x = h;
    x.kind = POA_BLOCK_NORMAL;
    memset(x.next_committee, 0, 32);
    cr_assert_eq(block_try(&c, POA_STATE_BASE, &x, body, NULL, &more, &r), POA_E_BLOCK_INVALID);
    body_reset(&b);
    struct poa_ticket t = ticket_make(&c, 0, 0, 1);
    body_ticket(&b, &t);
    x = header_next(&c, POA_STATE_BASE, &b, 4100, &body);
    cr_assert_eq(block_try(&c, POA_STATE_BASE, &x, body, &b, &more, &r), POA_E_BLOCK_INVALID);
    body_reset(&b);
    h = header_next(&c, POA_STATE_BASE, NULL, 4100, &body);
    cr_assert_eq(block_try(&c, POA_STATE_BASE, &h, body, NULL, &closing, &r), POA_OK);
    /* A filler on it changes nothing but the chain's head. */
    c.view = 5;
    x = header_next(&c, closing, NULL, 9100, &body);
    cr_assert_eq(x.kind, POA_BLOCK_FILLER);
    cr_assert_eq(x.closing_height, 5);
    cr_assert_eq(block_try(&c, closing, &x, body, NULL, &filler, &r), POA_OK);
    struct poa_st_global g;
    poa_ledger_global(c.l, filler, &g);
    cr_assert_eq(g.slot, 4);
    x = header_next(&c, filler, NULL, 9200, &body);
    x.view = 7;
    x.closing_height = 6;
    cr_assert_eq(block_try(&c, filler, &x, body, NULL, &more, &r), POA_E_BLOCK_INVALID);
    poa_ledger_drop(c.l, filler);
    cr_assert_eq(poa_ledger_apply(c.l, closing), POA_OK);

    cr_assert_eq(poa_ledger_next_epoch(c.l, POA_STATE_BASE), 1);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, &e0, &c0, NULL), POA_OK);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 1, &e1, &c1, NULL), POA_OK);
    cr_assert_eq(c1.epoch, 1);
    cr_assert_eq(c1.members.count, 4);
    cr_assert(memcmp(e0.seed, e1.seed, 32));
    uint8_t want[32], le[4];
    poa_put_le32(le, 1);
    poa_hash2(POA_DOMAIN_SEED, beacon, 32, le, 4, want);
    cr_assert_arr_eq(e1.seed, want, 32);
    cr_assert_eq(e1.first_height, 6);
    cr_assert_eq(e1.first_slot, 5);
    cr_assert_eq(e1.devices, 9);
    cr_assert_eq(e1.eligible, 8); /* who was there when epoch 0 began */
    /* Epoch 1 stands on the closing block. */
    c.view = 0;
    for (int i = 0; i < 5; i++)
        block_add(&c, NULL, 10000 + 100u * (uint32_t)i);
    cr_assert_eq(c.header.kind, POA_BLOCK_CLOSING);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 2, &e2, NULL, NULL), POA_OK);
    cr_assert_eq(e2.eligible, 9);
    /* An epoch without a normal block closes too. */
    c.view = 4;
    c.fresh = true;
    block_add(&c, NULL, 20000);
    c.fresh = false;
    cr_assert_eq(c.header.kind, POA_BLOCK_CLOSING);
    cr_assert_eq(c.header.epoch, 2);
    cr_assert_eq(poa_ledger_next_epoch(c.l, POA_STATE_BASE), 3);
    c.view = 0;
    block_add(&c, NULL, 21000);
    cr_assert_eq(c.header.epoch, 3);
    cr_assert(audit(&c));
    chain_close(&c);
}

Test(mining, windows_restart_with_the_epoch)
{
    struct setup s = setup_default();
    s.g.epoch_views = 20;
    open_with(s);
    for (uint32_t i = 0; i < 19; i++)
        block_add(&c, NULL, 1000 * i + 100);
    /* tickets for a window that the epoch will not live to see */
    for (uint32_t d = 0; d < 8; d++) {
        struct poa_ticket t = ticket_make(&c, d, 0, 2);
        if (!poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 19100, &t))
            body_ticket(&b, &t);
    }
    cr_assert_gt(b.ticket_n, 0);
    block_add(&c, &b, 19100);
    body_reset(&b);
    block_add(&c, NULL, 20100);
    cr_assert_eq(c.header.kind, POA_BLOCK_CLOSING);
    c.view = 0;
    for (uint64_t slot = 21; slot < 21 + 16; slot++) { /* window 0 of epoch 1: random */
        block_add(&c, NULL, 1000 * slot + 100);
        cr_assert_eq(slot_of(slot).seats.count, 3);
        cr_assert_eq(slot_of(slot).epoch, 1);
    }
    chain_close(&c);
}

Test(mining, committee_is_drawn_from_a_larger_pool)
{
    struct setup s = setup_default();
    s.witnesses = 8;
    s.g.committee_size = 4;
    s.g.epoch_views = 4;
    open_with(s);
    uint32_t served[8] = {0};
    for (uint32_t epoch = 0; epoch < 40; epoch++) {
        struct poa_committee committee;
        cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, epoch, NULL, &committee, NULL), POA_OK);
        cr_assert_eq(committee.members.count, 4);
        cr_assert_eq(committee.quorum, 3);
        for (uint32_t i = 0; i < 8; i++)
            served[i] += poa_committee_find(&committee, c.witness[i].pk) >= 0;
        c.view = 3;
        block_add(&c, NULL, 1000 * epoch + 100);
        block_add(&c, NULL, 1000 * epoch + 200);
        cr_assert_eq(c.header.kind, POA_BLOCK_CLOSING);
    }
    for (uint32_t i = 0; i < 8; i++) /* 20 expected */
        cr_assert(served[i] > 6 && served[i] < 34);
    chain_close(&c);
}

Test(mining, the_caller_may_have_checked_the_beacon)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    struct poa_slice body;
    struct poa_block_result r = {.tx = NULL};
    poa_state_id id;
    uint8_t beta[64] = {3};
    struct poa_header h = header_next(&c, POA_STATE_BASE, &b, 200, &body);
    memset(h.beacon, 0, 80);
    struct poa_block_in in = {.header = &h, .hash = {1}, .body = body};
    cr_assert_eq(poa_ledger_execute(c.l, POA_STATE_BASE, &in, &id, &r), POA_E_PROOF);
    in.beacon_beta = beta;
    cr_assert_eq(poa_ledger_execute(c.l, POA_STATE_BASE, &in, &id, &r), POA_OK);
    poa_ledger_drop(c.l, id);
    chain_close(&c);
}

/* The same with real keys: seal, ticket and beacon of a whole small chain. */
Test(mining, with_real_signatures)
{
    struct setup s = setup_default();
    s.suite = &poa_suite_ed25519;
    open_with(s);
    block_add(&c, NULL, 100);
    struct poa_st_slot st = slot_of(0);
    for (uint32_t i = 0; i < st.seats.count; i++) {
        struct poa_seal seal = seal_for(device_of_key(seat_at(&st, i).device), 0);
        body_seal(&b, &seal);
    }
    for (uint32_t d = 0; d < 8; d++) {
        struct poa_ticket t = ticket_make(&c, d, 0, 1);
        if (!poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 200, &t))
            body_ticket(&b, &t);
    }
    struct poa_block_result r = block_add(&c, &b, 200);
    cr_assert_eq(r.seals, 3);
    cr_assert_eq(r.tickets, b.ticket_n);
    body_reset(&b);
    for (uint64_t slot = 1; slot < 20; slot++)
        block_add(&c, NULL, 1000 * slot);
    cr_assert_eq(slot_of(0).settled, 1);
    cr_assert(audit(&c));
    chain_close(&c);
}

struct recorded {
    struct poa_slice weights;
    uint32_t draw;
};
static bool recorded_device(void *ctx, uint32_t index, uint8_t key32[32], uint32_t *weight)
{
    struct recorded *r = ctx;
    uint8_t key[4];
    struct poa_digest device;
    uint32_t was = r->draw < r->weights.n ? r->weights.p[r->draw] : 0;
    r->draw++;
    poa_put_le32(key, index);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_DEVICE_INDEX, key, 4, &device),
                 POA_OK);
    memcpy(key32, device.digest, 32);
    if (weight)
        *weight = was;
    return was != 0;
}

/* What a slot recorded is enough to draw its seats again, when weights have long moved
 * and a device that was drawn is suspended since; one more or less is not. */
Test(mining, a_slots_public_draws_can_be_repeated_for_ever)
{
    static const uint8_t policies[] = {POA_POLICY_WEIGHTED, POA_POLICY_RANDOM};
    for (size_t k = 0; k < 2; k++) {
        struct setup s = setup_default();
        struct poa_st_epoch epoch;
        s.policy = policies[k];
        open_with(s);
        for (uint64_t slot = 0; slot < 40; slot++) {
            block_add(&c, NULL, slot * 1000 + 100);
            struct poa_st_slot st = slot_of(slot);
            for (uint32_t i = 0; i < st.seats.count && slot % 3; i++) {
                struct poa_seal seal = seal_for(device_of_key(seat_at(&st, i).device), slot);
                body_seal(&b, &seal);
            }
            block_add(&c, &b, slot * 1000 + 200);
            body_reset(&b);
        }
        cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, &epoch, NULL, NULL), POA_OK);
        uint32_t differ = 0;
        for (uint64_t slot = 0; slot < 40; slot++) {
            struct poa_st_slot st = slot_of(slot);
            struct poa_seat_list list;
            for (int spoiled = 0; spoiled < 2; spoiled++) {
                uint8_t weights[POA_ASSIGN_DRAWS_MAX];
                memcpy(weights, st.weights.p, st.weights.n);
                if (spoiled) /* its last draw seated somebody */
                    weights[st.weights.n - 1] = 0;
                struct recorded r = {poa_slice(weights, st.weights.n), 0};
                struct poa_assign_pool pool = {&r, epoch.eligible, recorded_device};
                poa_assign_public(policies[k], c.id, epoch.seed, slot, c.s.g.seats_per_slot, &pool,
                                  &list, NULL);
                bool same = list.n == st.seats.count;
                for (uint32_t i = 0; same && i < list.n; i++)
                    same = !memcmp(list.seat[i].device, seat_at(&st, i).device, 32);
                if (spoiled)
                    differ += !same;
                else
                    cr_assert(same && r.draw == st.weights.n, "slot %lu", (unsigned long)slot);
            }
        }
        cr_assert_eq(differ, 40);
        chain_close(&c);
    }
}

/* Policy weighted: who seals is drawn more often than who never does, and the
 * chain alone says so. */
Test(mining, weighted_prefers_who_seals)
{
    struct setup s = setup_default();
    s.policy = POA_POLICY_WEIGHTED;
    open_with(s);
    uint32_t seats[DEVICES] = {0};
    for (uint64_t slot = 0; slot < 1500; slot++) {
        block_add(&c, NULL, slot * 1000 + 100);
        struct poa_st_slot st = slot_of(slot);
        cr_assert_eq(st.seats.count, 3);
        for (uint32_t i = 0; i < st.seats.count; i++) {
            uint32_t d = device_of_key(seat_at(&st, i).device);
            seats[d]++;
            if (d < 4) { /* the others never seal */
                struct poa_seal seal = seal_for(d, slot);
                body_seal(&b, &seal);
            }
        }
        block_add(&c, &b, slot * 1000 + 200);
        body_reset(&b);
    }
    uint32_t good = 0, bad = 0;
    for (uint32_t d = 0; d < 8; d++) {
        struct poa_st_device st = device_state(d);
        cr_assert_eq(st.history, d < 4 ? UINT32_MAX : 0);
        cr_assert_eq(st.assigned, seats[d]);
        *(d < 4 ? &good : &bad) += seats[d];
    }
    /* weights around 57 and 20; with three of eight sitting at once 1.7 to 1 */
    cr_assert(good > bad * 3 / 2, "%u of those who seal, %u of the others", good, bad);
    cr_assert_gt(bad, 900); /* and nobody is shut out */
    /* Tickets mean nothing here. */
    struct poa_ticket t = ticket_make(&c, 0, 0, 1500 / 16 + 1);
    cr_assert_eq(poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 1499 * 1000 + 300, &t),
                 POA_E_TICKET_WINDOW);
    cr_assert(audit(&c));
    chain_close(&c);
}
