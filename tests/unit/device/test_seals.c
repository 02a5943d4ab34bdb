/* Tasks and seals: what the micro-miner seals, and what no gateway makes it seal. */
#include "peer.h"

static struct bench b;

/* Late in a window every device has passed its share of the spread. */
#define LATE (FIRST + WINDOW / 2)

static void start_vrf(void)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
}

TestSuite(device_seals, .init = start_vrf);

/* --- tasks ------------------------------------------------------------------------ */

Test(device_seals, a_task_is_sealed)
{
    struct poa_seal s;
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 19);
    cr_assert_eq(bench_task(&b, 19, &block), POA_OK);
    const struct mail *m = bench_mail(&b, POA_EDGE_SEAL);
    cr_assert_not_null(m);
    cr_assert_eq(poa_seal_decode(poa_slice(m->bytes, m->n), &s), POA_OK);
    cr_assert_eq(poa_seal_check(SUITE, b.w.chain, &s), POA_OK);
    cr_assert_eq(memcmp(s.device, b.w.device_key, 32), 0);
    cr_assert_eq(s.slot, 19);
    cr_assert_eq(s.epoch, EPOCH_NOW);
    cr_assert_eq(s.height, block.h.height);
    cr_assert_eq(memcmp(s.hash, block.hash, 32), 0);
    cr_assert_eq(b.marks_stored, 1);
    cr_assert_eq(b.seals_when_stored, 0, "it signed before it recorded");
    cr_assert_eq(bench_told(&b, POA_DEVICE_SEALED)->slot, 19);
}

static void expect_alarm(uint64_t slot, const struct block *block, int code)
{
    b.events = b.mails = 0;
    cr_assert_eq(bench_task(&b, slot, block), code, "%s", poa_error_name(b.result));
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, code);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
    cr_assert_null(bench_mail(&b, POA_EDGE_SEAL));
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 0);
    cr_assert_eq(b.mark_n, 0);
}

Test(device_seals, a_forged_certificate_is_an_alarm)
{
    for (size_t i = 0; i < 64; i += 21) {
        bench_ready(&b, 20);
        struct block block = block_make(&b.w, EPOCH_NOW, 20);
        block.cert[62 + 64 + i] ^= 1;
        expect_alarm(20, &block, POA_E_SIGNATURE);
    }
}

Test(device_seals, too_few_signatures_are_an_alarm)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    block_certify(&b.w, &block, 0x3);
    expect_alarm(20, &block, POA_E_QUORUM);
}

Test(device_seals, another_committee_is_an_alarm)
{
    bench_ready(&b, 20);
    struct world other = b.w;
    for (uint32_t i = 0; i < MEMBERS; i++)
        world_keys(other.seed[i], other.key[i], 50 + i);
    struct block block = block_make(&other, EPOCH_NOW, 20);
    expect_alarm(20, &block, POA_E_SIGNATURE);
}

Test(device_seals, a_certificate_for_another_header_is_an_alarm)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    block.header[POA_HEADER_BYTES - 100] ^= 1;
    expect_alarm(20, &block, POA_E_BLOCK_INVALID);
}

Test(device_seals, a_header_of_another_chain_is_an_alarm)
{
    bench_ready(&b, 20);
    struct world other = b.w;
    other.chain[5] ^= 1;
    struct block block = block_make(&other, EPOCH_NOW, 20);
    expect_alarm(20, &block, POA_E_CHAIN);
}

Test(device_seals, a_filler_is_never_sealed)
{
    bench_ready(&b, 20);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 20);
    struct block filler = block_child(&b.w, &closing, POA_BLOCK_FILLER);
    expect_alarm(20, &filler, POA_E_BLOCK_INVALID);
}

Test(device_seals, a_notarization_is_not_finality)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    block.cert[0] = POA_VOTE_NOTARIZE;
    expect_alarm(20, &block, POA_E_QUORUM);
}

Test(device_seals, a_stale_header_is_not_sealed)
{
    bench_ready(&b, 40);
    struct block block = block_make(&b.w, EPOCH_NOW, 40 - SEAL_SLOTS - 1);
    bench_refuses(&b, 40 - SEAL_SLOTS - 1, &block, POA_E_SEAL_LATE);
    block = block_make(&b.w, EPOCH_NOW, 40 - SEAL_SLOTS);
    cr_assert_eq(bench_task(&b, 40 - SEAL_SLOTS, &block), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
}

Test(device_seals, a_header_of_the_future_is_not_sealed)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 21);
    bench_refuses(&b, 21, &block, POA_E_BLOCK_TIME);
}

Test(device_seals, a_slot_that_is_not_the_headers_is_not_sealed)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 19);
    bench_refuses(&b, 20, &block, POA_E_SLOT_UNKNOWN);
}

Test(device_seals, a_header_of_another_epoch_is_not_sealed)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW + 1, 20);
    bench_refuses(&b, 20, &block, POA_E_EPOCH);
}

Test(device_seals, a_replayed_task_is_not_sealed_again)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20), other = block;
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    bench_refuses(&b, 20, &block, POA_E_SEAL_TWICE);
    /* Nor another certified block of the slot, nor an older slot. */
    other.h.view++;
    other.h.height++;
    block_encode(&other);
    block_certify(&b.w, &other, ALL);
    bench_refuses(&b, 20, &other, POA_E_SEAL_TWICE);
    block = block_make(&b.w, EPOCH_NOW, 19);
    bench_refuses(&b, 19, &block, POA_E_SEAL_TWICE);
}

Test(device_seals, power_cut_between_record_and_seal_gives_no_second_seal)
{
    struct block block, other;
    bench_ready(&b, 20);
    block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    cr_assert_eq(b.marks_stored, 1);
    /* The seal never left: the struct is gone, storage is what it was. */
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_ready(&b, 20);
    bench_refuses(&b, 20, &block, POA_E_SEAL_TWICE);
    other = block;
    memset(other.h.body, 9, 32);
    block_encode(&other);
    block_certify(&b.w, &other, ALL);
    bench_refuses(&b, 20, &other, POA_E_SEAL_TWICE);
    block = block_make(&b.w, EPOCH_NOW, 21);
    bench_slot(&b, 21);
    cr_assert_eq(bench_task(&b, 21, &block), POA_OK);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 1);
}

Test(device_seals, without_a_record_there_is_no_seal)
{
    struct block block;
    bench_ready(&b, 20);
    block = block_make(&b.w, EPOCH_NOW, 20);
    b.store_fails = POA_E_IO;
    cr_assert_eq(bench_task(&b, 20, &block), POA_E_IO);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 0);
    /* Whether the write reached the flash is not known: the slot is lost. */
    b.store_fails = POA_OK;
    bench_ready(&b, 20);
    bench_refuses(&b, 20, &block, POA_E_SEAL_TWICE);
}

Test(device_seals, a_mark_of_another_chain_does_not_bind)
{
    struct poa_edge_mark mark = {.slot = 1000, .height = 9999};
    struct poa_writer w = poa_writer_over(b.mark, sizeof b.mark);
    mark.chain[0] = 1;
    cr_assert_eq(poa_edge_mark_encode(&w, &mark), POA_OK);
    b.mark_n = w.n;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
}

Test(device_seals, two_certified_headers_of_one_height_are_an_alarm)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20), fork = block;
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    memset(fork.h.body, 9, 32);
    block_encode(&fork);
    block_certify(&b.w, &fork, ALL);
    expect_alarm(20, &fork, POA_E_EQUIVOCATION);
}

Test(device_seals, finality_through_a_descendant)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    struct block child = block_child(&b.w, &block, POA_BLOCK_NORMAL);
    struct block grandchild = block_child(&b.w, &child, POA_BLOCK_NORMAL);
    struct poa_edge_link l1 = {block_header(&child)}, l2 = {block_header(&block)};
    struct poa_edge_task task = {20, block_header(&block), poa_slice(NULL, 0)};
    cr_assert_eq(bench_final(&b, &grandchild), POA_OK);
    cr_assert_eq(SAY(&b, LINK, edge_link, &l1), POA_OK);
    cr_assert_eq(SAY(&b, LINK, edge_link, &l2), POA_OK);
    cr_assert_eq(SAY(&b, TASK, edge_task, &task), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
}

Test(device_seals, a_broken_link_proves_nothing)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    struct block child = block_child(&b.w, &block, POA_BLOCK_NORMAL);
    struct poa_edge_task task = {20, block_header(&block), poa_slice(NULL, 0)};
    struct block stranger = block_make(&b.w, EPOCH_NOW, 19);
    struct poa_edge_link bad = {block_header(&stranger)};
    cr_assert_eq(bench_final(&b, &child), POA_OK);
    cr_assert_eq(SAY(&b, LINK, edge_link, &bad), POA_E_BLOCK_PARENT);
    /* A task without certificate and without anything before it. */
    bench_ready(&b, 20);
    cr_assert_eq(SAY(&b, TASK, edge_task, &task), POA_E_PROOF);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 0);
}

/* --- reconnecting ------------------------------------------------------------------------ */

Test(device_seals, a_seal_without_an_answer_goes_to_the_next_gateway)
{
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    bench_ready(&b, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    struct mail first = *bench_mail(&b, POA_EDGE_SEAL);
    poa_device_close(&b.d);
    world_keys(b.w.gateway_seed, b.w.gateway_key, 201);
    bench_slot(&b, 21);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    const struct mail *again = bench_mail(&b, POA_EDGE_SEAL);
    cr_assert_not_null(again);
    cr_assert_eq(first.n, again->n);
    cr_assert_eq(memcmp(first.bytes, again->bytes, first.n), 0);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 1, "signed once");
    struct poa_edge_seal_result ok = {20, 0};
    cr_assert_eq(SAY(&b, SEAL_RESULT, edge_seal_result, &ok), POA_OK);
    poa_device_close(&b.d);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_null(bench_mail(&b, POA_EDGE_SEAL));
}

Test(device_seals, an_expired_seal_is_forgotten)
{
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    bench_ready(&b, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    poa_device_close(&b.d);
    bench_slot(&b, 20 + SEAL_SLOTS + 1);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_null(bench_mail(&b, POA_EDGE_SEAL));
}

Test(device_seals, a_seal_is_tried_again_when_told_later)
{
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    struct poa_edge_seal_result again = {20, -POA_E_AGAIN};
    bench_ready(&b, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    b.mails = 0;
    cr_assert_eq(SAY(&b, SEAL_RESULT, edge_seal_result, &again), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 0);
    b.now.mono_ms += 500;
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 1);
}
