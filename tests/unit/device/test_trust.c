/* The committee that the micro-miner trusts, from epoch to epoch. */
#include "peer.h"

static struct bench b;

/* Late in a window every device has passed its share of the spread. */
#define LATE (FIRST + WINDOW / 2)

static void start_vrf(void)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
}

TestSuite(device_trust, .init = start_vrf);

static int hand_over(uint32_t epoch, uint64_t slot)
{
    struct block closing = block_closing(&b.w, epoch, slot);
    int e = bench_final(&b, &closing);
    return e ? e : bench_committee(&b, epoch + 1);
}

Test(device_trust, hand_over_follows_the_closing_block)
{
    bench_ready(&b, 20);
    bench_slot(&b, 40);
    cr_assert_eq(bench_epoch(&b, EPOCH_NOW + 1, 40, 1), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_GET_HANDOVER), 1);
    cr_assert_eq(hand_over(EPOCH_NOW, 39), POA_OK);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW + 1);
    cr_assert_eq(b.d.epoch.epoch, EPOCH_NOW + 1);
    cr_assert_eq(bench_count(&b, POA_EDGE_GET_HANDOVER), 1, "it is in step");
    struct block block = block_make(&b.w, EPOCH_NOW + 1, 40);
    cr_assert_eq(bench_task(&b, 40, &block), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
    cr_assert_eq(bench_power_on(&b), POA_OK);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW + 1);
}

Test(device_trust, hand_over_of_many_epochs_goes_one_by_one)
{
    bench_ready(&b, 20);
    poa_device_close(&b.d);
    bench_slot(&b, 100);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW + 3, POA_EDGE_ACTIVE, 0), POA_OK);
    for (uint32_t k = 0; k < 3; k++) {
        cr_assert_eq(bench_count(&b, POA_EDGE_GET_HANDOVER), k + 1);
        cr_assert_eq(hand_over(EPOCH_NOW + k, 30 + 10 * k), POA_OK);
    }
    cr_assert_eq(bench_count(&b, POA_EDGE_GET_HANDOVER), 3);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW + 3);
}

Test(device_trust, no_epoch_is_skipped)
{
    bench_ready(&b, 20);
    bench_slot(&b, 50);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 39);
    cr_assert_eq(bench_final(&b, &closing), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW + 2), POA_E_PROOF);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW);
}

Test(device_trust, a_committee_that_nobody_closed_for_is_an_alarm)
{
    bench_ready(&b, 20);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW + 1), POA_E_PROOF);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, POA_E_PROOF);
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW + 1), POA_E_PROOF, "not a closing block");
    bench_ready(&b, 20);
    block = block_closing(&b.w, EPOCH_NOW, 21);
    bench_slot(&b, 21);
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    world_keys(b.w.seed[0], b.w.key[0], 77);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW + 1), POA_E_PROOF, "other members");
}

Test(device_trust, hand_over_through_fillers)
{
    bench_ready(&b, 20);
    bench_slot(&b, 40);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 39);
    struct block filler = block_child(&b.w, &closing, POA_BLOCK_FILLER);
    struct poa_edge_link link = {block_header(&closing)};
    cr_assert_eq(bench_final(&b, &filler), POA_OK);
    cr_assert_eq(SAY(&b, LINK, edge_link, &link), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW + 1), POA_OK);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW + 1);
}

Test(device_trust, a_forged_filler_is_an_alarm)
{
    bench_ready(&b, 20);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 39);
    struct block filler = block_child(&b.w, &closing, POA_BLOCK_FILLER);
    filler.cert[62] ^= 1;
    cr_assert_eq(bench_final(&b, &filler), POA_E_SIGNATURE);
}

Test(device_trust, after_too_long_an_absence_it_wants_a_new_anchor)
{
    b.config.trust_ms = 1000;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    cr_assert_eq(bench_epoch(&b, EPOCH_NOW + 1, 24, 1), POA_OK);
    bench_slot(&b, 60);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 23);
    cr_assert_eq(bench_final(&b, &closing), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW + 1), POA_E_TIMEOUT);
}

Test(device_trust, another_seed_makes_another_draw)
{
    bench_ready(&b, LATE);
    bench_poll(&b);
    poa_device_close(&b.d);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    struct poa_edge_epoch e = world_epoch(EPOCH_NOW, FIRST, 1);
    e.seed[0] ^= 1;
    cr_assert_eq(SAY(&b, EPOCH, edge_epoch, &e), POA_OK);
    b.mails = 0;
    bench_poll(&b);
    struct poa_ticket t;
    uint8_t beta[64];
    const struct mail *m = bench_mail(&b, POA_EDGE_TICKET);
    cr_assert_not_null(m);
    cr_assert_eq(poa_ticket_decode(poa_slice(m->bytes, m->n), &t), POA_OK);
    cr_assert_eq(poa_ticket_check(SUITE, b.w.chain, e.seed, &t, beta), POA_OK);
}

Test(device_trust, seeds_that_change_do_not_wear_out_the_storage)
{
    bench_ready(&b, LATE);
    uint32_t stored = b.trusts_stored;
    struct poa_edge_epoch e = world_epoch(EPOCH_NOW, FIRST, 1);
    for (int i = 0; i < 10; i++) {
        e.seed[0] ^= 1;
        cr_assert_eq(SAY(&b, EPOCH, edge_epoch, &e), POA_OK);
        b.events = 0;
    }
    cr_assert_eq(b.trusts_stored, stored);
    /* What was said last is what is drawn from, also after a restart. */
    e.seed[0] ^= 1;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_eq(SAY(&b, EPOCH, edge_epoch, &e), POA_OK);
    b.mails = 0;
    bench_poll(&b);
    struct poa_ticket t;
    uint8_t beta[64];
    const struct mail *m = bench_mail(&b, POA_EDGE_TICKET);
    cr_assert_not_null(m);
    cr_assert_eq(poa_ticket_decode(poa_slice(m->bytes, m->n), &t), POA_OK);
    cr_assert_eq(poa_ticket_check(SUITE, b.w.chain, e.seed, &t, beta), POA_OK);
    cr_assert_eq(b.trusts_stored, stored);
}
