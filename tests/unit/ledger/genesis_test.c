#include "support.h"

static struct chain c;

static const char *why_not(struct setup *s)
{
    struct poa_genesis g;
    const char *why = NULL;
    genesis_make(&c, s);
    cr_assert_eq(poa_genesis_decode(poa_slice(c.genesis, c.genesis_n), &g), POA_OK);
    s->suite = &poa_suite_ed25519;
    int e = poa_genesis_check(&g, &why);
    cr_assert_eq(e, why ? POA_E_CONFIG : POA_OK);
    return why;
}

Test(genesis, rules)
{
    struct setup good = setup_default(), s;
    chain_open(&c, &good);
    good.suite = &poa_suite_ed25519;
    cr_assert_null(why_not(&good));
#define REFUSED(change)                                                                            \
    s = good;                                                                                      \
    change;                                                                                        \
    cr_assert_not_null(why_not(&s), #change)
    REFUSED(s.g.version = 0);
    REFUSED(s.g.name = poa_slice("", 0));
    REFUSED(s.g.name = poa_slice("a\nb", 3));
    REFUSED(s.g.slot_ms = 0);
    REFUSED(s.g.heartbeat_ms = 0);
    REFUSED(s.g.heartbeat_ms = s.g.slot_ms + 1);
    REFUSED(s.g.block_min_ms = s.g.slot_ms + 1);
    REFUSED(s.g.timeout_ms = 0);
    REFUSED(s.g.timeout_max_ms = s.g.timeout_ms - 1);
    REFUSED(s.g.epoch_views = 1);
    REFUSED(s.g.window_slots = 0);
    REFUSED(s.g.window_slots = 48);
    REFUSED(s.g.seats_per_slot = 0);
    REFUSED(s.g.seal_slots = 0);
    REFUSED(s.g.miner_bp = 8000);
    REFUSED(s.g.subsidy = UINT64_MAX / 2);
    REFUSED(s.g.subsidy = UINT64_MAX; s.g.halving_slots = 1);
    REFUSED(s.g.fee_per_kib = UINT64_MAX);
    REFUSED(s.witnesses = 0);
    /* attested for a chain, or by another suite: not a genesis registration */
    REFUSED(s.suite = &fake_suite);
    /* out of order */
    struct key swap = c.device[0];
    c.device[0] = c.device[1];
    c.device[1] = swap;
    REFUSED((void)s);
    c.device[1] = c.device[0]; /* twice */
    REFUSED((void)s);
    c.device[1] = swap;
    s = good;
    cr_assert_not_null(why_not(&s));
    c.witness[1] = c.witness[0];
    REFUSED(s.devices = 0);
    chain_close(&c);
}

/* Grade 2 that nobody could reach is refused before anything waits for it. */
Test(genesis, grade_2_must_be_in_reach)
{
    struct setup good = setup_default(), s;
    const char *why;
    good.devices = 12; /* of two makers, in five regions */
    chain_open(&c, &good);
    good.suite = &poa_suite_ed25519;
    good.g.grade2_seals = 12;
    good.g.grade2_span = 8;
    good.g.grade2_makers = 2;
    good.g.grade2_regions = 5;
    good.g.hold_above = 1000;
    good.g.hold_slots = 16;
    cr_assert_null(why_not(&good));
#define BECAUSE(words, change)                                                                     \
    s = good;                                                                                      \
    change;                                                                                        \
    why = why_not(&s);                                                                             \
    cr_assert(why &&strstr(why, words), "%s: %s", #change, why ? why : "accepted")
    BECAUSE("hold_above needs grade 2", s.g.grade2_seals = 0);
    BECAUSE("policy vrf", s.policy = POA_POLICY_RANDOM);
    BECAUSE("policy vrf", s.policy = POA_POLICY_WEIGHTED);
    BECAUSE("grade2_span", s.g.grade2_span = 0);
    BECAUSE("grade2_span", s.g.grade2_span = 256; s.g.hold_slots = 1000);
    BECAUSE("grade2_makers and grade2_regions", s.g.grade2_makers = 17);
    BECAUSE("all seats of the span", s.g.grade2_span = 3);
    BECAUSE("hold_slots", s.g.hold_slots = 15);
    BECAUSE("more than there are devices", s.g.grade2_seals = 13);
    BECAUSE("more than there are devices", s.devices = 11);
    BECAUSE("manufacturers", s.g.grade2_makers = 3);
    BECAUSE("regions", s.g.grade2_regions = 6);
    /* Of three witnesses all must sign: no quorum is left without the maker. */
    BECAUSE("rule the committee", s.witnesses = 3);
    chain_close(&c);
}

Test(genesis, first_state)
{
    struct setup s = setup_default();
    struct poa_st_global g;
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    chain_open(&c, &s);
    poa_ledger_global(c.l, POA_STATE_BASE, &g);
    cr_assert_eq(g.height, 0);
    cr_assert_eq(g.time_ms, s.g.time_ms);
    cr_assert_arr_eq(g.hash, c.id, 32);
    cr_assert_eq(g.genesis_supply, 4000000000u);
    cr_assert_eq(g.devices, 8);
    cr_assert_eq(g.witnesses, 4);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, &epoch, &committee, NULL), POA_OK);
    cr_assert_eq(epoch.eligible, 8);
    cr_assert_eq(epoch.relaxed, 0);
    cr_assert_eq(committee.members.count, 4);
    cr_assert_eq(committee.quorum, 3);
    cr_assert_eq(poa_committee_check(&committee), POA_OK);
    cr_assert(audit(&c));
    /* The chain id covers every byte. */
    uint8_t id[32];
    c.genesis[c.genesis_n - 1] ^= 1;
    poa_genesis_chain_id(poa_slice(c.genesis, c.genesis_n), id);
    cr_assert(memcmp(id, c.id, 32));
    chain_close(&c);
}

/* More entries than the first overlay has room for: it grows until all fit. */
Test(genesis, many_accounts)
{
    static uint8_t list[40 * 14000], bytes[sizeof list + 65536];
    struct setup s = setup_default();
    struct poa_genesis g;
    struct poa_genesis_account a = {.balance = 7};
    struct poa_st_account got;
    struct counting memory = {0};
    struct poa_ledger *l = NULL;
    struct poa_writer accounts = poa_writer_over(list, sizeof list);
    struct poa_writer all = poa_writer_over(bytes, sizeof bytes);
    chain_open(&c, &s);
    cr_assert_eq(poa_genesis_decode(poa_slice(c.genesis, c.genesis_n), &g), POA_OK);
    for (uint32_t i = 0; i < 14000; i++) {
        a.address[0] = (uint8_t)(i >> 8);
        a.address[1] = (uint8_t)i;
        cr_assert_eq(poa_genesis_account_encode(&accounts, &a), POA_OK);
    }
    g.accounts = (struct poa_list){poa_written(&accounts), 14000};
    memcpy(g.treasury, a.address, 32);
    memcpy(g.steering, a.address, 32);
    cr_assert_eq(poa_genesis_encode(&all, &g), POA_OK);
    struct poa_ledger_config config = {
        .suite = c.suite, .alloc = counting_alloc(&memory), .genesis = poa_written(&all)};
    int e = poa_ledger_new(&config, &l);
    cr_assert_eq(e, POA_OK, "%s", poa_error_name(e));
    cr_assert_eq(poa_ledger_read(l, POA_STATE_BASE, POA_STATE_ACCOUNT, a.address, 32, &got),
                 POA_OK);
    cr_assert_eq(got.balance, 7);
    poa_ledger_free(l);
    cr_assert_eq(memory.live, 0);
    chain_close(&c);
}
