/* The witness bound of networks: what a genesis record may not promise. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "poa_risk.h"

#define WITNESSES 200
static uint8_t bytes[WITNESSES * 160];

/* N witnesses of MAKERS makers, REGIONS regions, three providers. */
static struct poa_genesis genesis(uint32_t n, uint32_t makers, uint32_t regions)
{
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_genesis g = {
        .version = 1, .risk_p_ppb = 50000000, .risk_offline_ppb = 10000000, .risk_target_exp = 9};
    for (uint32_t i = 0; i < n; i++) {
        struct poa_op_witness witness = {.maker = i % makers,
                                         .region = (uint16_t)(i % regions),
                                         .provider = i % 3,
                                         .name = poa_slice("w", 1)};
        poa_put_le32(witness.key, i);
        cr_assert_eq(poa_op_witness_encode(&w, &witness), POA_OK);
    }
    g.witnesses = (struct poa_list){.bytes = poa_written(&w), .count = n};
    return g;
}

Test(risk, a_network_that_meets_its_target_starts)
{
    struct poa_genesis g = genesis(64, 8, 6);
    struct poa_risk r;
    struct poa_why why = {{0}};
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_OK, "%s", why.text);
    cr_expect(r.met && r.n == 64 && r.q == 43);
    cr_expect_eq(r.bounds.fork.value, poa_bounds_binomial(64, 43, 0.05, 0.01).fork.value);
    cr_expect_eq(r.bounds.stall.value, poa_bounds_binomial(64, 43, 0.05, 0.01).stall.value);
    cr_expect(r.maker == 8 && r.region == 11 && r.provider == 22);
    cr_expect_eq(r.group.fork.value, poa_bounds_correlated(64, 43, 0.05, 0.01, 22).fork.value);
}

Test(risk, a_network_that_misses_it_is_told_what_would_do)
{
    struct poa_genesis g = genesis(4, 4, 4);
    struct poa_risk r;
    struct poa_why why = {{0}};
    uint32_t n, q;
    char want[64];
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(!r.met && r.n == 4 && r.q == 3);
    cr_assert_eq(poa_bounds_plan(0.05, 0.01, 1e-9, 1e-9, 128, &n, &q), 0);
    snprintf(want, sizeof want, "%u members with quorum %u would meet it", n, q);
    cr_expect(strstr(why.text, want), "%s", why.text);
    cr_expect(strstr(why.text, "forks with probability"), "%s", why.text);
    cr_expect(!strchr(why.text, '\n'));
    /* What it names is accepted. */
    g = genesis(n, 4, 4);
    g.quorum_extra = (uint16_t)(q - (n - poa_committee_faults(n)));
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_OK, "%s", why.text);
    cr_expect(r.n == n && r.q == q);
    /* One member fewer is not, with any quorum. */
    g = genesis(n - 1, 4, 4);
    for (g.quorum_extra = 0; g.quorum_extra < n; g.quorum_extra++)
        cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
}

Test(risk, another_quorum_may_be_enough)
{
    struct poa_genesis g = genesis(64, 7, 7);
    struct poa_risk r;
    struct poa_why why = {{0}};
    uint32_t q;
    g.quorum_extra = 21; /* everybody must sign: it stalls */
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "stalls with probability"), "%s", why.text);
    cr_assert_eq(poa_bounds_plan_quorum(0.05, 0.01, 1e-9, 1e-9, 64, &q), 0);
    char want[64];
    snprintf(want, sizeof want, "the same 64 with quorum %u", q);
    cr_expect(strstr(why.text, want), "%s", why.text);
}

Test(risk, stalls_may_have_a_target_of_their_own)
{
    struct poa_genesis g = genesis(32, 8, 6);
    struct poa_risk r;
    struct poa_why why = {{0}};
    g.quorum_extra = 2; /* 24 of 32 */
    g.risk_target_exp = 12;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "stalls") && strstr(why.text, "70 members with quorum 47"), "%s",
              why.text);
    cr_expect_eq(r.stall_target, r.target);
    g.risk_stall_exp = 4;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_OK, "%s", why.text);
    cr_expect(r.met && r.stall_target == 1e-4);
    g.risk_stall_exp = 6;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "target of 1e-06"), "%s", why.text);
}

Test(risk, impossible_promises_are_named)
{
    struct poa_genesis g = genesis(64, 8, 6);
    struct poa_risk r;
    struct poa_why why = {{0}};
    g.risk_p_ppb = 400000000;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "no committee of up to 128"), "%s", why.text);
}

Test(risk, silence_is_no_promise)
{
    struct poa_genesis g = genesis(64, 8, 6);
    struct poa_risk r;
    struct poa_why why = {{0}};
    g.risk_target_exp = 0;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "risk_target_exp"), "%s", why.text);
    cr_expect(!r.met);
    g.risk_target_exp = 9;
    g.risk_p_ppb = 0;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
}

Test(risk, a_devnet_starts_but_its_bound_is_known)
{
    struct poa_genesis g = genesis(4, 1, 1);
    struct poa_risk r;
    struct poa_why why = {{0}};
    g.devnet = 1;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_OK);
    cr_expect(!r.met && r.bounds.fork.value > 1e-3);
    cr_expect_eq(r.group.fork.value, 1.0); /* all of one maker */
}

Test(risk, caps_bind_when_there_is_a_choice)
{
    struct poa_genesis g = genesis(100, 4, 10);
    struct poa_risk r;
    g.committee_size = 31;
    g.cap_maker = 8;
    g.cap_provider = 11;
    poa_risk_planned(&g, &r);
    cr_expect(r.n == 31 && r.q == 21 && r.maker == 8 && r.region == 10 && r.provider == 11);
    g.committee_size = 0; /* the whole pool: nobody is left out */
    poa_risk_planned(&g, &r);
    cr_expect(r.n == 100 && r.maker == 25 && r.provider == 34);
}

Test(risk, a_drawn_committee)
{
    struct poa_genesis g = genesis(64, 8, 6);
    uint8_t members[7 * 42];
    struct poa_writer w = poa_writer_over(members, sizeof members);
    static const uint32_t maker[7] = {1, 2, 2, 3, 2, 4, 5};
    for (uint32_t i = 0; i < 7; i++) {
        struct poa_member m = {
            .key = {(uint8_t)i}, .maker = maker[i], .region = (uint16_t)(i / 2), .provider = i};
        cr_assert_eq(poa_member_encode(&w, &m), POA_OK);
    }
    struct poa_committee c = {
        .epoch = 3, .quorum = 5, .members = {.bytes = poa_written(&w), .count = 7}};
    struct poa_risk r;
    poa_risk_of(&g, &c, 2, 7, &r);
    cr_expect(r.n == 7 && r.q == 5 && r.relaxed == 2 && !r.met);
    cr_expect(r.maker == 3 && r.region == 2 && r.provider == 1);
    cr_expect_eq(r.bounds.fork.value, poa_binomial_tail(7, 0.05, 3).value);
    cr_expect_eq(r.group.fork.value, 1.0); /* three are as many as a fork takes */
    g.risk_target_exp = 2;
    poa_risk_of(&g, &c, 0, 7, &r);
    cr_expect(r.met);
}

/* Grade 2 promises the same: 192 expected seats of 10,000 devices. */
Test(risk, seals_of_devices_have_a_bound_too)
{
    struct poa_genesis g = genesis(64, 8, 6);
    struct poa_risk r;
    struct poa_why why = {{0}};
    g.window_slots = g.grade2_span = 64;
    g.seats_per_slot = 3;
    g.devices.count = 10000; /* only their number counts here */
    g.risk_device_p_ppb = 100000000;
    g.risk_device_offline_ppb = 200000000;
    g.risk_stall_exp = 5;
    g.grade2_seals = 63;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_OK, "%s", why.text);
    struct poa_seal_bounds want = poa_bounds_seals_fleet(192, 10000, 1, 63, 0.1, 0.2);
    cr_expect_eq(r.seals.forge.value, want.forge.value);
    cr_expect_eq(r.seals.delay.value, want.delay.value);
    cr_expect_lt(r.seals.forge.value, 1e-13);
    /* Twenty seals are forged by a tenth of the fleet. */
    g.grade2_seals = 20;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "forged by bad devices"), "%s", why.text);
    /* A hundred and fifty are not there in time. */
    g.grade2_seals = 150;
    cr_assert_eq(poa_risk_check(&g, &r, &why), POA_E_CONFIG);
    cr_expect(strstr(why.text, "not there in time"), "%s", why.text);
    /* Of a running chain that has no devices left it is known that nothing comes. */
    struct poa_committee c = {.quorum = 1};
    poa_risk_of(&g, &c, 0, 0, &r);
    cr_expect(r.seals.delay.value == 1 && !r.met);
}
