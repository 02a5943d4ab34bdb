/* A connection of the micro-miner to a scripted gateway: from first contact to its end. */
#include "peer.h"

static struct bench b;

/* Late in a window every device has passed its share of the spread. */
#define LATE (FIRST + WINDOW / 2)

static void start_vrf(void)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
}

TestSuite(device_connect, .init = start_vrf);

Test(device_connect, first_contact_takes_chain_and_committee)
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

Test(device_connect, bytes_may_come_one_at_a_time)
{
    b.piece = 1;
    bench_ready(&b, 20);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
}

Test(device_connect, stored_trust_is_used_again)
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

Test(device_connect, first_contact_needs_permission)
{
    b.config.trust_first = false;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_slot(&b, 20);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 7), POA_E_CONFIG);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
}

Test(device_connect, another_chain_is_refused)
{
    bench_ready(&b, 20);
    poa_device_close(&b.d);
    b.w.chain[0] ^= 1;
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 0), POA_E_CHAIN);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, POA_E_CHAIN);
}

Test(device_connect, another_chain_than_configured_is_refused)
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

Test(device_connect, changed_parameters_are_refused)
{
    bench_ready(&b, 20);
    poa_device_close(&b.d);
    b.w.params.slot_ms++;
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, 3, POA_EDGE_ACTIVE, 0), POA_E_CHAIN);
}

Test(device_connect, another_gateway_key_fails_the_handshake)
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

Test(device_connect, identities_are_bound_to_the_handshake)
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

Test(device_connect, nothing_is_heard_before_the_welcome)
{
    bench_slot(&b, 20);
    bench_dial(&b);
    cr_assert_eq(bench_epoch(&b, 3, FIRST, 1), POA_E_RANGE);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
}

Test(device_connect, oversize_and_empty_frames_end_the_connection)
{
    uint8_t big[2] = {0xff, 0xff}, none[2] = {0, 0};
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_input(&b.d, b.now, big, 2), POA_E_TOO_LONG);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
    bench_ready(&b, 20);
    cr_assert_eq(poa_device_input(&b.d, b.now, none, 2), POA_E_TOO_LONG);
}

Test(device_connect, a_frame_that_was_tampered_with_ends_the_connection)
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

Test(device_connect, a_frame_is_taken_once)
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

Test(device_connect, silence_ends_the_connection)
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

Test(device_connect, no_gateway_can_ask_for_silence)
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

Test(device_connect, the_gateway_tells_the_time)
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
Test(device_connect, the_gateway_tells_an_absurd_time)
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

Test(device_connect, bye_says_when_to_return)
{
    struct poa_edge_bye bye = {0, 1234};
    bench_ready(&b, 20);
    cr_assert_eq(SAY(&b, BYE, edge_bye, &bye), POA_E_CLOSED);
    cr_assert_eq(bench_told(&b, POA_DEVICE_BYE)->retry_ms, 1234);
}

Test(device_connect, storage_that_is_not_ours_stops_it)
{
    b.mark_n = 5;
    cr_assert_eq(bench_power_on(&b), POA_E_STORE_CORRUPT);
    b.mark_n = 0;
    b.trust_n = 100;
    cr_assert_eq(bench_power_on(&b), POA_E_STORE_CORRUPT);
}
