/* The micro-miner against a scripted gateway: what it does, and what no gateway
 * can make it do. */
#include "peer.h"

static struct bench b;

/* Late in a window every device has passed its share of the spread. */
#define LATE (FIRST + WINDOW / 2)

static void start_vrf(void)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
}

TestSuite(device, .init = start_vrf);

/* --- connecting ----------------------------------------------------------------- */

Test(device, first_contact_takes_chain_and_committee)
{
    bench_slot(&b, 20);
    bench_dial(&b);
    struct poa_edge_hello hello;
    const struct mail *m = bench_mail(&b, POA_EDGE_HELLO);
    cr_assert_not_null(m);
    cr_assert_eq(poa_edge_hello_decode(poa_slice(m->bytes, m->n), &hello), POA_OK);
    cr_assert_eq(hello.epoch, POA_EPOCH_NONE);
    cr_assert_eq(memcmp(hello.device, b.w.device_key, 32), 0);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 7), POA_OK);
    cr_assert_not_null(bench_mail(&b, POA_EDGE_GET_HANDOVER));
    cr_assert_eq(bench_epoch(&b, 3, FIRST, 9), POA_OK);
    cr_assert_eq(bench_committee(&b, 3), POA_OK);
    cr_assert_eq(b.d.committee.epoch, 3);
    cr_assert_gt(b.trust_n, 0);
    cr_assert_eq(memcmp(poa_device_chain(&b.d), b.w.chain, 32), 0);
    cr_assert_eq(bench_told(&b, POA_DEVICE_WELCOMED)->index, 7);
    cr_assert_eq(bench_count(&b, POA_EDGE_GET_HANDOVER), 1);
}

Test(device, bytes_may_come_one_at_a_time)
{
    b.piece = 1;
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
}

Test(device, stored_trust_is_used_again)
{
    bench_ready(&b, 20);
    poa_device_close(&b.d);
    cr_assert_eq(bench_power_on(&b), POA_OK);
    cr_assert(b.d.have_trust);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW);
    cr_assert_eq(b.d.epoch.first_slot, FIRST);
    bench_dial(&b);
    struct poa_edge_hello hello;
    const struct mail *m = bench_mail(&b, POA_EDGE_HELLO);
    cr_assert_eq(poa_edge_hello_decode(poa_slice(m->bytes, m->n), &hello), POA_OK);
    cr_assert_eq(hello.epoch, EPOCH_NOW);
    cr_assert_eq(memcmp(hello.chain, b.w.chain, 32), 0);
}

Test(device, first_contact_needs_permission)
{
    b.config.trust_first = false;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_slot(&b, 20);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 7), POA_E_CONFIG);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
}

Test(device, another_chain_is_refused)
{
    bench_ready(&b, 20);
    poa_device_close(&b.d);
    b.w.chain[0] ^= 1;
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 0), POA_E_CHAIN);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, POA_E_CHAIN);
}

Test(device, another_chain_than_configured_is_refused)
{
    uint8_t other[32] = {1};
    b.config.chain32 = other;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_slot(&b, 20);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 0), POA_E_CHAIN);
    /* A stored record of another chain is noticed before any connection. */
    b.config.chain32 = NULL;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_ready(&b, 20);
    b.config.chain32 = other;
    cr_assert_eq(bench_power_on(&b), POA_E_CHAIN);
}

Test(device, changed_parameters_are_refused)
{
    bench_ready(&b, 20);
    poa_device_close(&b.d);
    b.w.params.slot_ms++;
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 0), POA_E_CHAIN);
}

Test(device, another_gateway_key_fails_the_handshake)
{
    uint8_t entropy[32] = {1}, sk[32], pk[32], remote[32], answer[64];
    struct poa_session s;
    struct poa_writer w = poa_writer_over(answer, sizeof answer);
    cr_assert_eq(poa_device_connect(&b.d, b.now, b.w.key[0], entropy), POA_OK);
    struct poa_slice out = poa_device_output(&b.d);
    poa_ed25519_seed_to_x25519(b.w.gateway_seed, sk);
    poa_x25519_public(sk, pk);
    cr_assert_eq(
        poa_edge_answer_dial(sk, pk, entropy, poa_slice(out.p + 2, out.n - 2), &w, &s, remote),
        POA_E_HANDSHAKE);
    /* And whatever an impostor answers, the device sees through it. */
    uint8_t garbage[50] = {48, 0, 1, 2, 3};
    cr_assert_eq(poa_device_input(&b.d, b.now, garbage, sizeof garbage), POA_E_HANDSHAKE);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
}

Test(device, identities_are_bound_to_the_handshake)
{
    bench_dial(&b);
    uint8_t x[32], seen[32], entropy[32] = {5}, sk[32], pk[32], answer[64];
    poa_device_close(&b.d);
    cr_assert_eq(poa_device_connect(&b.d, b.now, b.w.gateway_key, entropy), POA_OK);
    struct poa_slice out = poa_device_output(&b.d);
    struct poa_session s;
    struct poa_writer w = poa_writer_over(answer, sizeof answer);
    poa_ed25519_seed_to_x25519(b.w.gateway_seed, sk);
    poa_x25519_public(sk, pk);
    cr_assert_eq(out.n, 2 + POA_EDGE_FIRST_BYTES);
    cr_assert_eq(
        poa_edge_answer_dial(sk, pk, entropy, poa_slice(out.p + 2, out.n - 2), &w, &s, seen),
        POA_OK);
    cr_assert_eq(w.n, 2 + POA_EDGE_SECOND_BYTES);
    cr_assert_eq(poa_ed25519_pk_to_x25519(b.w.device_key, x), POA_OK);
    cr_assert_eq(memcmp(x, seen, 32), 0);
}

Test(device, nothing_is_heard_before_the_welcome)
{
    bench_slot(&b, 20);
    bench_dial(&b);
    cr_assert_eq(bench_epoch(&b, 3, FIRST, 1), POA_E_RANGE);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
}

Test(device, oversize_and_empty_frames_end_the_connection)
{
    uint8_t big[2] = {0xff, 0xff}, none[2] = {0, 0};
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_input(&b.d, b.now, big, 2), POA_E_TOO_LONG);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_input(&b.d, b.now, none, 2), POA_E_TOO_LONG);
}

Test(device, a_frame_that_was_tampered_with_ends_the_connection)
{
    uint8_t bytes[256];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_edge_pong pong = {1, 2};
    bench_ready(&b, 20);
    cr_assert_eq(POA_EDGE_PUT(&b.session, PONG, edge_pong, &pong, &w), POA_OK);
    bytes[w.n - 1] ^= 1;
    cr_assert_eq(poa_device_input(&b.d, b.now, bytes, w.n), POA_E_DECRYPT);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
}

Test(device, a_frame_is_taken_once)
{
    uint8_t bytes[256];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_edge_pong pong = {1, 2};
    bench_ready(&b, 20);
    cr_assert_eq(POA_EDGE_PUT(&b.session, PONG, edge_pong, &pong, &w), POA_OK);
    uint8_t copy[256];
    memcpy(copy, bytes, w.n);
    cr_assert_eq(poa_device_input(&b.d, b.now, bytes, w.n), POA_OK);
    cr_assert_eq(poa_device_input(&b.d, b.now, copy, w.n), POA_E_REPLAY);
}

Test(device, silence_ends_the_connection)
{
    bench_slot(&b, 20);
    bench_dial(&b);
    b.now.mono_ms += POA_DEVICE_HANDSHAKE_MS;
    bench_poll(&b);
    cr_assert_eq(b.result, POA_E_TIMEOUT);
    bench_ready(&b, LATE);
    bench_poll(&b);
    b.now.mono_ms += 30000;
    bench_poll(&b);
    cr_assert_eq(b.result, POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_PING), 1);
    b.now.mono_ms += 59999;
    bench_poll(&b);
    cr_assert_eq(b.result, POA_OK);
    b.now.mono_ms += 1;
    bench_poll(&b);
    cr_assert_eq(b.result, POA_E_TIMEOUT);
}

Test(device, no_gateway_can_ask_for_silence)
{
    b.ping_ms = UINT32_MAX;
    bench_ready(&b, LATE);
    bench_poll(&b);
    b.now.mono_ms += 600000;
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_PING), 1);
    b.now.mono_ms += 1200000;
    bench_poll(&b);
    cr_assert_eq(b.result, POA_E_TIMEOUT);
}

Test(device, the_gateway_tells_the_time)
{
    bench_dial(&b);
    cr_assert_eq(poa_device_wall_ms(&b.d, b.now), 0);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_eq(poa_device_wall_ms(&b.d, b.now), world_time(20));
    b.now.mono_ms += 500;
    cr_assert_eq(poa_device_wall_ms(&b.d, b.now), world_time(22));
}

/* A gateway may say any 64 bits; under the sanitizer this also shows that no
 * arithmetic overflows. */
Test(device, the_gateway_tells_an_absurd_time)
{
    static const uint64_t absurd[] = {UINT64_C(1) << 63, (UINT64_C(1) << 63) - 1, UINT64_MAX, 0};
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 0), POA_OK);
    for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
        struct poa_edge_pong m = {.nonce = b.d.nonce, .time_ms = absurd[i]};
        cr_assert_eq(SAY(&b, PONG, edge_pong, &m), POA_OK);
        b.now.mono_ms += 10;
        cr_assert_eq(poa_device_wall_ms(&b.d, b.now), absurd[i] + 10);
    }
}

Test(device, bye_says_when_to_return)
{
    struct poa_edge_bye bye = {0, 1234};
    bench_ready(&b, 20);
    cr_assert_eq(SAY(&b, BYE, edge_bye, &bye), POA_E_CLOSED);
    cr_assert_eq(bench_told(&b, POA_DEVICE_BYE)->retry_ms, 1234);
}

Test(device, storage_that_is_not_ours_stops_it)
{
    b.mark_n = 5;
    cr_assert_eq(bench_power_on(&b), POA_E_STORE_CORRUPT);
    b.mark_n = 0;
    b.trust_n = 100;
    cr_assert_eq(bench_power_on(&b), POA_E_STORE_CORRUPT);
}

/* --- tasks ------------------------------------------------------------------------ */

Test(device, a_task_is_sealed)
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

Test(device, a_forged_certificate_is_an_alarm)
{
    for (size_t i = 0; i < 64; i += 21) {
        bench_ready(&b, 20);
        struct block block = block_make(&b.w, EPOCH_NOW, 20);
        block.cert[62 + 64 + i] ^= 1;
        expect_alarm(20, &block, POA_E_SIGNATURE);
    }
}

Test(device, too_few_signatures_are_an_alarm)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    block_certify(&b.w, &block, 0x3);
    expect_alarm(20, &block, POA_E_QUORUM);
}

Test(device, another_committee_is_an_alarm)
{
    bench_ready(&b, 20);
    struct world other = b.w;
    for (uint32_t i = 0; i < MEMBERS; i++)
        world_keys(other.seed[i], other.key[i], 50 + i);
    struct block block = block_make(&other, EPOCH_NOW, 20);
    expect_alarm(20, &block, POA_E_SIGNATURE);
}

Test(device, a_certificate_for_another_header_is_an_alarm)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    block.header[POA_HEADER_BYTES - 100] ^= 1;
    expect_alarm(20, &block, POA_E_BLOCK_INVALID);
}

Test(device, a_header_of_another_chain_is_an_alarm)
{
    bench_ready(&b, 20);
    struct world other = b.w;
    other.chain[5] ^= 1;
    struct block block = block_make(&other, EPOCH_NOW, 20);
    expect_alarm(20, &block, POA_E_CHAIN);
}

Test(device, a_filler_is_never_sealed)
{
    bench_ready(&b, 20);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 20);
    struct block filler = block_child(&b.w, &closing, POA_BLOCK_FILLER);
    expect_alarm(20, &filler, POA_E_BLOCK_INVALID);
}

Test(device, a_notarization_is_not_finality)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    block.cert[0] = POA_VOTE_NOTARIZE;
    expect_alarm(20, &block, POA_E_QUORUM);
}

static void expect_refusal(uint64_t slot, const struct block *block, int code)
{
    uint32_t sealed = b.d.counts[POA_DEVICE_COUNT_SEAL];
    b.events = b.mails = 0;
    cr_assert_eq(bench_task(&b, slot, block), POA_OK);
    const struct poa_device_event *e = bench_told(&b, POA_DEVICE_REFUSED);
    cr_assert_not_null(e);
    cr_assert_eq(e->code, code, "%s", poa_error_name(e->code));
    cr_assert_null(bench_mail(&b, POA_EDGE_SEAL));
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], sealed);
    cr_assert_eq(b.d.state, POA_DEVICE_READY);
}

Test(device, a_stale_header_is_not_sealed)
{
    bench_ready(&b, 40);
    struct block block = block_make(&b.w, EPOCH_NOW, 40 - SEAL_SLOTS - 1);
    expect_refusal(40 - SEAL_SLOTS - 1, &block, POA_E_SEAL_LATE);
    block = block_make(&b.w, EPOCH_NOW, 40 - SEAL_SLOTS);
    cr_assert_eq(bench_task(&b, 40 - SEAL_SLOTS, &block), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
}

Test(device, a_header_of_the_future_is_not_sealed)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 21);
    expect_refusal(21, &block, POA_E_BLOCK_TIME);
}

Test(device, a_slot_that_is_not_the_headers_is_not_sealed)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 19);
    expect_refusal(20, &block, POA_E_SLOT_UNKNOWN);
}

Test(device, a_header_of_another_epoch_is_not_sealed)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW + 1, 20);
    expect_refusal(20, &block, POA_E_EPOCH);
}

Test(device, a_replayed_task_is_not_sealed_again)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20), other = block;
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    expect_refusal(20, &block, POA_E_SEAL_TWICE);
    /* Nor another certified block of the slot, nor an older slot. */
    other.h.view++;
    other.h.height++;
    block_encode(&other);
    block_certify(&b.w, &other, ALL);
    expect_refusal(20, &other, POA_E_SEAL_TWICE);
    block = block_make(&b.w, EPOCH_NOW, 19);
    expect_refusal(19, &block, POA_E_SEAL_TWICE);
}

Test(device, power_cut_between_record_and_seal_gives_no_second_seal)
{
    struct block block, other;
    bench_ready(&b, 20);
    block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    cr_assert_eq(b.marks_stored, 1);
    /* The seal never left: the struct is gone, storage is what it was. */
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_ready(&b, 20);
    expect_refusal(20, &block, POA_E_SEAL_TWICE);
    other = block;
    memset(other.h.body, 9, 32);
    block_encode(&other);
    block_certify(&b.w, &other, ALL);
    expect_refusal(20, &other, POA_E_SEAL_TWICE);
    block = block_make(&b.w, EPOCH_NOW, 21);
    bench_slot(&b, 21);
    cr_assert_eq(bench_task(&b, 21, &block), POA_OK);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 1);
}

Test(device, without_a_record_there_is_no_seal)
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
    expect_refusal(20, &block, POA_E_SEAL_TWICE);
}

Test(device, a_mark_of_another_chain_does_not_bind)
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

Test(device, two_certified_headers_of_one_height_are_an_alarm)
{
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20), fork = block;
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    memset(fork.h.body, 9, 32);
    block_encode(&fork);
    block_certify(&b.w, &fork, ALL);
    expect_alarm(20, &fork, POA_E_EQUIVOCATION);
}

Test(device, finality_through_a_descendant)
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

Test(device, a_broken_link_proves_nothing)
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

/* --- assignment --------------------------------------------------------------------- */

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
            expect_refusal(slot, &block, POA_E_SEAL_NOT_ASSIGNED);
        }
    }
    cr_assert(yes && no);
}

Test(device, tickets_assign_later_windows)
{
    check_assignment(POA_EDGE_POLICY_VRF, FIRST + WINDOW, ticket_seat);
}

Test(device, chance_assigns_the_first_window)
{
    check_assignment(POA_EDGE_POLICY_VRF, FIRST, random_seat);
}

Test(device, chance_assigns_every_window_of_policy_random)
{
    check_assignment(POA_EDGE_POLICY_RANDOM, FIRST + WINDOW, random_seat);
}

Test(device, a_device_that_is_too_new_or_suspended_seals_nothing)
{
    bench_slot(&b, 20);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 5), POA_OK);
    cr_assert_eq(bench_epoch(&b, EPOCH_NOW, FIRST, 5), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW), POA_OK);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    expect_refusal(20, &block, POA_E_SEAL_NOT_ASSIGNED);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_SUSPENDED, 0), POA_OK);
    expect_refusal(20, &block, POA_E_SEAL_NOT_ASSIGNED);
    bench_poll(&b);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 0);
}

/* --- tickets -------------------------------------------------------------------------- */

Test(device, one_ticket_per_window)
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

Test(device, poll_sleeps_until_the_next_window)
{
    bench_ready(&b, LATE);
    b.d.ping_ms = 60000;
    bench_poll(&b);
    uint64_t next = GENESIS_MS + (uint64_t)(FIRST + WINDOW) * SLOT_MS;
    cr_assert_geq(b.now.wall_ms + b.wait_ms, next);
    cr_assert_leq(b.now.wall_ms + b.wait_ms, next + WINDOW * SLOT_MS / 4);
}

Test(device, a_ticket_without_an_answer_goes_to_the_next_gateway)
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

Test(device, a_ticket_is_tried_again_when_told_later)
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

Test(device, a_ticket_at_the_turn_of_a_window_is_tried_again)
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

Test(device, a_losing_draw_is_not_sent)
{
    ready_among(POA_EDGE_POLICY_VRF, 1000000, LATE);
    b.events = 0;
    bench_poll(&b);
    cr_assert_eq(bench_told(&b, POA_DEVICE_TICKET)->count, 0);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 0);
    bench_poll(&b);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 1);
}

Test(device, policy_random_has_no_tickets)
{
    ready_among(POA_EDGE_POLICY_RANDOM, 4, LATE);
    bench_poll(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_TICKET), 0);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_VRF], 0);
}

/* --- reconnecting ------------------------------------------------------------------------ */

Test(device, a_seal_without_an_answer_goes_to_the_next_gateway)
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

Test(device, an_expired_seal_is_forgotten)
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

Test(device, a_seal_is_tried_again_when_told_later)
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

/* --- hand-over ------------------------------------------------------------------------------ */

static int hand_over(uint32_t epoch, uint64_t slot)
{
    struct block closing = block_closing(&b.w, epoch, slot);
    int e = bench_final(&b, &closing);
    return e ? e : bench_committee(&b, epoch + 1);
}

Test(device, hand_over_follows_the_closing_block)
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

Test(device, hand_over_of_many_epochs_goes_one_by_one)
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

Test(device, no_epoch_is_skipped)
{
    bench_ready(&b, 20);
    bench_slot(&b, 50);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 39);
    cr_assert_eq(bench_final(&b, &closing), POA_OK);
    cr_assert_eq(bench_committee(&b, EPOCH_NOW + 2), POA_E_PROOF);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW);
}

Test(device, a_committee_that_nobody_closed_for_is_an_alarm)
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

Test(device, hand_over_through_fillers)
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

Test(device, a_forged_filler_is_an_alarm)
{
    bench_ready(&b, 20);
    struct block closing = block_closing(&b.w, EPOCH_NOW, 39);
    struct block filler = block_child(&b.w, &closing, POA_BLOCK_FILLER);
    filler.cert[62] ^= 1;
    cr_assert_eq(bench_final(&b, &filler), POA_E_SIGNATURE);
}

Test(device, after_too_long_an_absence_it_wants_a_new_anchor)
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

Test(device, another_seed_makes_another_draw)
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

Test(device, seeds_that_change_do_not_wear_out_the_storage)
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

/* --- messages of the application --------------------------------------------------------- */

Test(device, nothing_is_sent_before_ready)
{
    uint8_t x = 1;
    cr_assert_eq(poa_device_pack(&b.d, poa_slice(&x, 1)), POA_E_AGAIN);
    cr_assert_eq(poa_device_submit(&b.d, 1, poa_slice(&x, 1)), POA_E_AGAIN);
    cr_assert_eq(poa_device_query(&b.d, 1, 2, poa_slice(&x, 1)), POA_E_AGAIN);
}

Test(device, transactions_and_their_fate)
{
    uint8_t tx[40] = {9};
    struct poa_edge_tx_result r = {77, -POA_E_TX_FEE};
    struct poa_edge_tx sent;
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_submit(&b.d, 77, poa_slice(tx, sizeof tx)), POA_OK);
    bench_collect(&b);
    const struct mail *m = bench_mail(&b, POA_EDGE_TX);
    cr_assert_eq(poa_edge_tx_decode(poa_slice(m->bytes, m->n), &sent), POA_OK);
    cr_assert_eq(sent.tx.n, sizeof tx);
    cr_assert_eq(SAY(&b, TX_RESULT, edge_tx_result, &r), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_TX_RESULT)->code, POA_E_TX_FEE);
    cr_assert_eq(bench_told(&b, POA_DEVICE_TX_RESULT)->ref, 77);
}

Test(device, a_full_send_buffer_says_so)
{
    uint8_t tx[4000] = {9};
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_submit(&b.d, 1, poa_slice(tx, sizeof tx)), POA_OK);
    cr_assert_eq(poa_device_submit(&b.d, 2, poa_slice(tx, sizeof tx)), POA_OK);
    cr_assert_eq(poa_device_submit(&b.d, 3, poa_slice(tx, sizeof tx)), POA_E_BUFFER);
    /* A task in between is sealed, and its seal leaves when there is room. */
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    struct poa_edge_task m = {20, block_header(&block), block_cert(&block)};
    uint8_t bytes[1024];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(POA_EDGE_PUT(&b.session, TASK, edge_task, &m, &w), POA_OK);
    cr_assert_eq(poa_device_input(&b.d, b.now, w.p, w.n), POA_OK);
    cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 1);
    poa_device_sent(&b.d, poa_device_output(&b.d).n);
    uint64_t wait;
    cr_assert_eq(poa_device_poll(&b.d, b.now, &wait), POA_OK);
    cr_assert_gt(poa_device_output(&b.d).n, POA_EDGE_OVERHEAD);
    cr_assert(b.d.seals[0].sent);
}

/* A proof that needs no tree: the root is the hash of table, key and value. */
static int toy_proof(const uint8_t root[32], uint8_t table, struct poa_slice key,
                     struct poa_slice value, struct poa_slice proof)
{
    uint8_t bytes[256], h[32];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    poa_write_u8(&w, table);
    poa_write(&w, key.p, key.n);
    poa_write(&w, value.p, value.n);
    poa_write(&w, proof.p, proof.n);
    poa_hash(POA_DOMAIN_SIM, w.p, w.n, h);
    return memcmp(h, root, 32) ? POA_E_PROOF : POA_OK;
}

static struct block toy_block(uint64_t slot, const char *value)
{
    uint8_t bytes[64];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct block block = block_make(&b.w, EPOCH_NOW, slot);
    poa_write_u8(&w, 2);
    poa_write(&w, "key", 3);
    poa_write(&w, value, strlen(value));
    poa_write(&w, "path", 4);
    poa_hash(POA_DOMAIN_SIM, w.p, w.n, block.h.state);
    block_encode(&block);
    block_certify(&b.w, &block, ALL);
    return block;
}

static int answer(const char *value)
{
    struct poa_edge_answer a = {5, 0, poa_slice(value, strlen(value)), poa_slice("path", 4)};
    return SAY(&b, ANSWER, edge_answer, &a);
}

static void ask(void)
{
    b.config.proof_check = toy_proof;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_query(&b.d, 5, 2, poa_slice("key", 3)), POA_OK);
    cr_assert_eq(poa_device_query(&b.d, 6, 2, poa_slice("key", 3)), POA_E_AGAIN);
    bench_collect(&b);
    cr_assert_eq(bench_count(&b, POA_EDGE_QUERY), 1);
}

Test(device, an_answer_is_proven)
{
    ask();
    struct block block = toy_block(20, "100 coins");
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    cr_assert_eq(answer("100 coins"), POA_OK);
    const struct poa_device_event *e = bench_told(&b, POA_DEVICE_ANSWER);
    cr_assert_eq(e->code, POA_OK);
    cr_assert_eq(e->height, block.h.height);
    cr_assert_eq(e->value.n, strlen("100 coins"));
}

Test(device, a_lie_about_the_state_is_an_alarm)
{
    ask();
    struct block block = toy_block(20, "100 coins");
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    cr_assert_eq(answer("999 coins"), POA_E_PROOF);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, POA_E_PROOF);
}

Test(device, an_answer_without_a_certified_header_is_none)
{
    ask();
    cr_assert_eq(answer("100 coins"), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ANSWER)->code, POA_E_EPOCH);
}

Test(device, an_old_answer_is_none)
{
    ask();
    struct block block = toy_block(20, "100 coins");
    cr_assert_eq(bench_final(&b, &block), POA_OK);
    bench_slot(&b, 20 + 1 + POA_DEVICE_ANSWER_AGE_MS / SLOT_MS);
    cr_assert_eq(answer("100 coins"), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ANSWER)->code, POA_E_TIMEOUT);
}

Test(device, receipts_are_checked)
{
    uint8_t tree[3][32] = {{1}, {2}};
    struct poa_edge_receipt r = {.index = 0, .packs = 2, .height = 7};
    poa_pack_tree(tree, 2);
    memcpy(r.id, tree[0], 32);
    memcpy(r.root, tree[2], 32);
    r.path = poa_slice(tree[1], 32);
    bench_ready(&b, 20);
    cr_assert_eq(SAY(&b, RECEIPT, edge_receipt, &r), POA_OK);
    cr_assert_eq(bench_told(&b, POA_DEVICE_RECEIPT)->height, 7);
    r.root[0] ^= 1;
    cr_assert_eq(SAY(&b, RECEIPT, edge_receipt, &r), POA_E_PROOF);
}

Test(device, random_messages_break_nothing)
{
    uint64_t x = 88172645463325252u;
    uint8_t payload[600];
    for (int round = 0; round < 3000; round++) {
        if (b.d.state != POA_DEVICE_READY) {
            cr_assert_eq(bench_power_on(&b), POA_OK);
            bench_ready(&b, 20);
        }
        b.events = b.mails = 0;
        for (size_t i = 0; i < sizeof payload; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            payload[i] = x % 3 ? (uint8_t)(x >> 8) : 0;
        }
        size_t n = (size_t)(x >> 20) % sizeof payload;
        (void)bench_say_raw(&b, (uint8_t)(60 + (x >> 40) % 22), poa_slice(payload, n));
        cr_assert_eq(b.d.counts[POA_DEVICE_COUNT_SEAL], 0);
    }
}
