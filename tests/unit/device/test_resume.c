/* Coming back without a handshake: when the micro-miner does, and that it costs nobody
 * more than another try when it fails. */
#include "peer.h"

static struct bench b;

static void start_vrf(void)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
}

TestSuite(device_resume, .init = start_vrf);

static void give_pass(void)
{
    poa_random(&b.pass, sizeof b.pass);
    cr_assert_eq(SAY(&b, PASS, edge_pass, &b.pass), POA_OK);
    cr_assert(b.d.have_pass);
}

/* A session that ended, with a pass for the next. */
static void was_there(uint64_t slot)
{
    bench_ready(&b, slot);
    give_pass();
    poa_device_close(&b.d);
}

Test(device_resume, a_pass_is_shown_once)
{
    struct poa_edge_hello hello;
    was_there(20);
    bench_dial(&b);
    cr_assert(b.d.resumed);
    const struct mail *m = bench_mail(&b, POA_EDGE_HELLO);
    cr_assert_not_null(m);
    cr_assert_eq(poa_edge_hello_decode(poa_slice(m->bytes, m->n), &hello), POA_OK);
    cr_assert_eq(memcmp(hello.device, b.w.device_key, 32), 0);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_eq(bench_epoch(&b, EPOCH_NOW, FIRST, 1), POA_OK);
    struct block block = block_make(&b.w, EPOCH_NOW, 20);
    cr_assert_eq(bench_task(&b, 20, &block), POA_OK);
    cr_assert_not_null(bench_mail(&b, POA_EDGE_SEAL));
    poa_device_close(&b.d);
    bench_dial(&b); /* no other was given */
    cr_assert_not(b.d.resumed);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
}

Test(device_resume, a_new_one_takes_the_place_of_the_old)
{
    bench_ready(&b, 20);
    give_pass();
    give_pass();
    poa_device_close(&b.d);
    bench_dial(&b);
    cr_assert(b.d.resumed);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
}

Test(device_resume, nothing_of_a_session_is_left_behind)
{
    struct poa_edge_pass zeros;
    was_there(20);
    bench_dial(&b);
    memset(&zeros, 0, sizeof zeros);
    cr_assert_eq(memcmp(&b.d.link.on.pass, &zeros, sizeof zeros), 0, "the secret was used");
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    give_pass();
    poa_device_close(&b.d);
    struct poa_session none;
    memset(&none, 0, sizeof none);
    cr_assert_eq(memcmp(&b.d.link.on.session, &none, sizeof none), 0);
    poa_device_wipe(&b.d);
    cr_assert_eq(memcmp(&b.d.link.on.pass, &zeros, sizeof zeros), 0);
}

Test(device_resume, a_refusal_asks_for_a_handshake)
{
    was_there(20);
    b.refuses = true;
    bench_dial(&b);
    cr_assert_eq(b.result, POA_E_REKEY);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
    bench_dial(&b);
    cr_assert_not(b.d.resumed);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
}

Test(device_resume, another_gateway_sees_no_pass)
{
    was_there(20);
    world_keys(b.w.gateway_seed, b.w.gateway_key, 201);
    bench_dial(&b);
    cr_assert_not(b.d.resumed);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
}

Test(device_resume, who_does_not_know_the_secret_is_not_the_gateway)
{
    was_there(20);
    b.pass.secret[31] ^= 1;
    bench_dial_only(&b);
    cr_assert(b.d.resumed);
    bench_resume(&b, poa_device_output(&b.d).p + 2);
    cr_assert_eq(b.d.state, POA_DEVICE_GREETED); /* what it said nobody can read */
    cr_assert_neq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
    bench_dial(&b);
    cr_assert_not(b.d.resumed);
}

Test(device_resume, an_hour_after_the_handshake_there_is_another)
{
    was_there(20);
    for (int i = 0; i < 5; i++) {
        b.now.mono_ms += 11 * 60000;
        bench_dial(&b);
        cr_assert(b.d.resumed);
        cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
        give_pass();
        if (i < 4)
            poa_device_close(&b.d);
    }
    /* Also while connected. */
    b.now.mono_ms += 5 * 60000;
    b.d.heard_ms = b.now.mono_ms;
    bench_poll(&b);
    cr_assert_eq(b.result, POA_E_REKEY);
    bench_dial(&b);
    cr_assert_not(b.d.resumed);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    give_pass();
    poa_device_close(&b.d);
    b.now.mono_ms += 60 * 60000;
    bench_dial(&b);
    cr_assert_not(b.d.resumed);
}

Test(device_resume, a_restart_forgets_it)
{
    was_there(20);
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_dial(&b);
    cr_assert_not(b.d.resumed);
}

Test(device_resume, a_malformed_pass_ends_the_connection)
{
    bench_ready(&b, 20);
    give_pass();
    cr_assert_eq(bench_say_raw(&b, POA_EDGE_PASS, poa_slice("short", 5)), POA_E_TRUNCATED);
    cr_assert_not(b.d.have_pass);
    bench_dial(&b);
    cr_assert_not(b.d.resumed);
}
