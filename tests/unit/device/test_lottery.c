/* Whose turn it is: assignment and tickets. */
#include "peer.h"

static struct bench b;

/* Late in a window every device has passed its share of the spread. */
#define LATE (FIRST + WINDOW / 2)

static void start_vrf(void)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
}

TestSuite(device_lottery, .init = start_vrf);

/* A device among many: slots are few, and it knows which. */
static void ready_among(uint8_t policy, uint32_t eligible, uint64_t slot)
{
    bench_make(&b, policy);
    bench_slot(&b, slot);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 2), POA_OK);
    cr_assert_eq(bench_epoch(&b, EPOCH_NOW, FIRST, eligible), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW), POA_OK);
}

static bool random_seat(uint64_t slot, uint32_t eligible)
{
    struct poa_edge_epoch e = world_epoch(EPOCH_NOW, FIRST, eligible);
    uint64_t others = 0;
    for (uint32_t j = 0; __builtin_popcountll(others) < SEATS; j++) {
        uint32_t index;
        uint64_t rank;
        poa_random_seat(b.w.chain, e.seed, slot, j, eligible, &index, &rank);
        if (index == 2)
            return true;
        others |= UINT64_C(1) << index;
    }
    return false;
}

static bool ticket_seat(uint64_t slot, uint32_t eligible)
{
    struct poa_edge_epoch e = world_epoch(EPOCH_NOW, FIRST, eligible);
    struct poa_lottery l = {eligible, SEATS, WINDOW};
    struct poa_seat seats[POA_DRAWS_MAX];
    uint32_t window = (uint32_t)((slot - FIRST) / WINDOW);
    uint8_t alpha[32], pi[80], beta[64];
    poa_ticket_alpha(b.w.chain, e.seed, EPOCH_NOW, window, alpha);
    cr_assert_eq(SUITE->vrf_prove(b.w.device_seed, b.w.device_key, alpha, 32, pi), POA_OK);
    cr_assert_eq(SUITE->vrf_verify(b.w.device_key, alpha, 32, pi, beta), POA_OK);
    for (size_t n = poa_ticket_seats(&l, beta, seats); n-- > 0;)
        if (seats[n].slot == (slot - FIRST) % WINDOW)
            return true;
    return false;
}

static void check_assignment(uint8_t policy, uint64_t first_slot, bool (*mine)(uint64_t, uint32_t))
{
    uint32_t yes = 0, no = 0;
    for (uint64_t slot = first_slot; slot < first_slot + WINDOW; slot++) {
        ready_among(policy, 8, slot);
        struct block block = block_make(&b.w, EPOCH_NOW, slot);
        b.events = b.mails = 0;
        if (mine(slot, 8)) {
            yes++;
            cr_assert_eq(bench_task(&b, slot, &block), POA_OK);
            cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1, "slot %lu", (unsigned long)slot);
        } else {
            no++;
            bench_refuses(&b, slot, &block, POA_E_SEAL_NOT_ASSIGNED);
        }
    }
    cr_assert(yes && no);
}

Test(device_lottery, tickets_assign_later_windows)
{
    check_assignment(POA_EDGE_POLICY_VRF, FIRST + WINDOW, ticket_seat);
}

Test(device_lottery, chance_assigns_the_first_window)
{
    check_assignment(POA_EDGE_POLICY_VRF, FIRST, random_seat);
}

Test(device_lottery, chance_assigns_every_window_of_policy_random)
{
    check_assignment(POA_EDGE_POLICY_RANDOM, FIRST + WINDOW, random_seat);
}

Test(device_lottery, a_device_that_is_too_new_or_suspended_seals_nothing)
{
    bench_slot(&b, 20);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 5), POA_OK);
    cr_assert_eq(bench_epoch(&b, EPOCH_NOW, FIRST, 5), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW), POA_OK);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    bench_refuses(&b, 20, &block, POA_E_SEAL_NOT_ASSIGNED);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_SUSPENDED, 0), POA_OK);
    bench_refuses(&b, 20, &block, POA_E_SEAL_NOT_ASSIGNED);
    bench_poll(&b);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 0);
}

/* --- tickets -------------------------------------------------------------------------- */

Test(device_lottery, one_ticket_per_window)
{
    struct poa_ticket t;
    uint8_t beta[64];
    struct poa_edge_epoch e = world_epoch(EPOCH_NOW, FIRST, 1);
    bench_ready(&b, LATE);
    bench_poll(&b);
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 1);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 1);
    const struct mail *m = bench_mail(&b, POA_EDGE_TICKET);
    cr_assert_eq(poa_ticket_decode(poa_slice(m->bytes, m->n), &t), POA_OK);
    cr_assert_eq(t.window, 1);
    cr_assert_eq(t.epoch, EPOCH_NOW);
    cr_assert_eq(poa_ticket_check(SUITE, b.w.chain, e.seed, &t, beta), POA_OK);
    cr_assert_gt(bench_told(&b, POA_DEVICE_TICKET)->count, 0);
    struct poa_edge_ticket_result ok = {EPOCH_NOW, 1, 0};
    cr_assert_eq(SAY(&b, TICKET_RESULT, edge_ticket_result, &ok), POA_OK);

    /* The next window: another, and no evaluation to check the tasks of this. */
    b.mails = 0;
    bench_slot(&b, LATE + WINDOW);
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 1);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 2);
    struct block block = block_make(&b.w, EPOCH_NOW, LATE + WINDOW);
    cr_assert_eq(bench_task(&b, LATE + WINDOW, &block), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 2);
}

Test(device_lottery, poll_sleeps_until_the_next_window)
{
    bench_ready(&b, LATE);
    b.d.ping_ms = 60000;
    bench_poll(&b);
    uint64_t next = GENESIS_MS + (uint64_t)(FIRST + WINDOW) * SLOT_MS;
    cr_assert_geq(b.now.wall_ms + b.wait_ms, next);
    cr_assert_leq(b.now.wall_ms + b.wait_ms, next + WINDOW * SLOT_MS / 4);
}

Test(device_lottery, a_ticket_without_an_answer_goes_to_the_next_gateway)
{
    bench_ready(&b, LATE);
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 1);
    struct mail first = *bench_mail(&b, POA_EDGE_TICKET);
    poa_device_close(&b.d);
    bench_ready(&b, LATE + 1);
    bench_poll(&b);
    const struct mail *again = bench_mail(&b, POA_EDGE_TICKET);
    cr_assert_not_null(again);
    cr_assert_eq(memcmp(first.bytes, again->bytes, first.n), 0);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 1);
    /* An answered one does not. */
    struct poa_edge_ticket_result ok = {EPOCH_NOW, 1, 0};
    cr_assert_eq(SAY(&b, TICKET_RESULT, edge_ticket_result, &ok), POA_OK);
    poa_device_close(&b.d);
    bench_ready(&b, LATE + 2);
    bench_poll(&b);
    cr_assert_null(bench_mail(&b, POA_EDGE_TICKET));
}

Test(device_lottery, a_ticket_is_tried_again_when_told_later)
{
    struct poa_edge_ticket_result full = {EPOCH_NOW, 1, -POA_E_FULL};
    bench_ready(&b, LATE);
    bench_poll(&b);
    b.mails = 0;
    cr_assert_eq(SAY(&b, TICKET_RESULT, edge_ticket_result, &full), POA_OK);
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 0);
    b.now.mono_ms += b.wait_ms;
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 1);
}

Test(device_lottery, a_ticket_at_the_turn_of_a_window_is_tried_again)
{
    struct poa_edge_ticket_result early = {EPOCH_NOW, 1, -POA_E_TICKET_WINDOW};
    bench_ready(&b, LATE);
    bench_poll(&b);
    b.mails = 0;
    cr_assert_eq(SAY(&b, TICKET_RESULT, edge_ticket_result, &early), POA_OK);
    bench_poll(&b);
    b.now.mono_ms += b.wait_ms;
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 1);
}

Test(device_lottery, a_losing_draw_is_not_sent)
{
    ready_among(POA_EDGE_POLICY_VRF, 1000000, LATE);
    b.events = 0;
    bench_poll(&b);
    cr_assert_eq(bench_told(&b, POA_DEVICE_TICKET)->count, 0);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 0);
    bench_poll(&b);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 1);
}

Test(device_lottery, policy_random_has_no_tickets)
{
    ready_among(POA_EDGE_POLICY_RANDOM, 4, LATE);
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 0);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 0);
}
