/* Parameters: who may change which to what, from when on, and that a committee
 * which misses the network's own target is refused as genesis refuses it. */
#include "poa_risk.h"
#include "support.h"

static struct chain c;

static void change(uint8_t *bytes, struct poa_list *list, uint16_t param, uint64_t value,
                   const uint8_t *address)
{
    struct poa_writer w = poa_writer_over(bytes + 42 * list->count, 42);
    struct poa_param_change pc = {.param = param, .value = value};
    if (address)
        memcpy(pc.address, address, 32);
    cr_assert_eq(poa_param_change_encode(&w, &pc), POA_OK);
    list->bytes = poa_slice(bytes, 42 * ++list->count);
}

/* One operation with N changes: param, value, param, value... */
static struct ops params(const uint64_t *pairs, size_t n)
{
    static uint8_t bytes[24 * 42];
    struct poa_op_params op = {.changes = {.count = 0}};
    struct ops o = {.n = 0};
    for (size_t i = 0; i < n; i++)
        change(bytes, &op.changes, (uint16_t)pairs[2 * i], pairs[2 * i + 1], NULL);
    op_raw(&o, POA_OP_PARAM_SET, &poa_op_params_record, &op);
    return o;
}
#define PARAMS(...)                                                                                \
    params((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 16)

static struct ops address_param(uint16_t param, uint64_t value, const uint8_t *address)
{
    uint8_t bytes[42];
    struct poa_op_params op = {.changes = {.count = 0}};
    struct ops o = {.n = 0};
    change(bytes, &op.changes, param, value, address);
    op_raw(&o, POA_OP_PARAM_SET, &poa_op_params_record, &op);
    return o;
}

static int run(uint32_t user, uint64_t fee, const struct ops *o)
{
    return chain_run(&c, user, fee, o, 10, NULL);
}

/* Blocks until the next epoch has its first one. */
static void next_epoch(void)
{
    uint32_t epoch = poa_ledger_next_epoch(c.l, POA_STATE_BASE);
    while (poa_ledger_next_epoch(c.l, POA_STATE_BASE) == epoch)
        block_add(&c, NULL, c.time_ms - c.s.g.time_ms + 10);
    c.view = 0;
    block_add(&c, NULL, c.time_ms - c.s.g.time_ms + 10);
    cr_assert_eq(c.header.epoch, epoch + 1);
}

static struct poa_genesis now(void)
{
    struct poa_genesis g;
    poa_ledger_params(c.l, POA_STATE_BASE, poa_ledger_next_epoch(c.l, POA_STATE_BASE), &g);
    return g;
}

static struct setup setup(void)
{
    struct setup s = setup_default();
    s.g.epoch_views = 20;
    return s;
}

Test(params, hold_from_the_next_epoch_on)
{
    struct setup s = setup();
    struct ops o = PARAMS(POA_PARAM_FEE_MIN, 100), pay = {.n = 0};
    chain_open(&c, &s);
    op_transfer(&pay, c.address[2], 1);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    cr_assert_eq(now().fee_min, 5);
    cr_assert_eq(run(1, 10, &pay), POA_OK);
    struct poa_genesis g;
    poa_ledger_params(c.l, POA_STATE_BASE, 1, &g);
    cr_assert_eq(g.fee_min, 100);
    next_epoch();
    cr_assert_eq(now().fee_min, 100);
    cr_assert_eq(run(1, 100, &pay), POA_E_TX_FEE); /* and 1 per KiB */
    cr_assert_eq(run(1, 101, &pay), POA_OK);
    /* Later changes add up; the last one of an epoch counts. */
    o = PARAMS(POA_PARAM_FEE_PER_KIB, 7, POA_PARAM_COMMERCE_BP, 100);
    cr_assert_eq(run(0, 200, &o), POA_OK);
    o = PARAMS(POA_PARAM_FEE_MIN, 50, POA_PARAM_COMMERCE_BP, 250);
    cr_assert_eq(run(0, 200, &o), POA_OK);
    cr_assert(now().fee_min == 100 && now().fee_per_kib == 1 && !now().commerce_bp);
    next_epoch();
    cr_assert(now().fee_min == 50 && now().fee_per_kib == 7 && now().commerce_bp == 250);
    next_epoch();
    cr_assert(now().fee_min == 50 && now().fee_per_kib == 7 && now().commerce_bp == 250);
    chain_close(&c);
}

Test(params, refusals)
{
    struct setup s = setup();
    s.g.epoch_views = 1000;
    chain_open(&c, &s);
    struct ops o = PARAMS(POA_PARAM_FEE_MIN, 100);
    cr_assert_eq(run(1, 10, &o), POA_E_TX_NOT_ALLOWED);
    o = PARAMS(0, 1);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(999, 1);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_COMMERCE_BP, 10001);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_RISK_P_PPB, 0);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_TIP, 1, POA_PARAM_FEE_MIN, 1); /* not ascending */
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_TIP, 1, POA_PARAM_TIP, 1);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_SUBSIDY, s.g.subsidy + 1); /* the supply is bounded for good */
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_SUBSIDY, s.g.subsidy);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    o = PARAMS(POA_PARAM_MINER_BP, 7001); /* 3,000 for the sealers */
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_MINER_BP, 7001, POA_PARAM_SEALERS_BP, 2999); /* judged together */
    cr_assert_eq(run(0, 10, &o), POA_OK);
    o = address_param(POA_PARAM_TREASURY, 0, NULL);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = address_param(POA_PARAM_TREASURY, 1, c.address[2]);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = address_param(POA_PARAM_TIP, 1, c.address[2]);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = address_param(POA_PARAM_TREASURY, 0, c.address[2]);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    /* An empty list is wrong by its bytes alone. */
    struct ops none = params(NULL, 0);
    uint8_t bytes[512], id[32];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_list list = {poa_slice(none.bytes, none.n), none.count};
    struct poa_tx_view v;
    cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, c.user[0].seed, 0, 9, 0, &list, &w, id), POA_OK);
    cr_assert_eq(poa_tx_check(c.id, poa_written(&w), &v), POA_E_TX_PARAM);
    chain_close(&c);
}

/* Every row of the table changes its own field, and only that. */
Test(params, each_names_its_field)
{
    struct poa_genesis g, zero;
    memset(&zero, 0, sizeof zero);
#define ROW(name, number, kind, field, min, max, unit, text)                                       \
    {                                                                                              \
        uint8_t bytes[42];                                                                         \
        uint8_t some[32] = {9};                                                                    \
        struct poa_list list = {.count = 0};                                                       \
        bool number_kind = (max) != 0;                                                             \
        uint64_t value = (max) > 3 ? 3 : (max);                                                    \
        change(bytes, &list, number, number_kind ? value : 0, number_kind ? NULL : some);          \
        memset(&g, 0, sizeof g);                                                                   \
        cr_assert_eq(poa_params_change(&g, &list), POA_OK, #name);                                 \
        cr_assert(memcmp(&g.field, &zero.field, sizeof g.field), #name);                           \
        memset(&g.field, 0, sizeof g.field);                                                       \
        cr_assert(!memcmp(&g, &zero, sizeof g), #name);                                            \
    }
    POA_PARAMS(ROW)
#undef ROW
}

Test(params, the_committee_that_serves_next_obeys_them)
{
    struct setup s = setup();
    chain_open(&c, &s);
    struct poa_committee committee;
    struct ops o = PARAMS(POA_PARAM_COMMITTEE_SIZE, 3, POA_PARAM_QUORUM_EXTRA, 0);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    next_epoch();
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, NULL, &committee, NULL), POA_OK);
    cr_assert(committee.members.count == 4 && committee.quorum == 3);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 1, NULL, &committee, NULL), POA_OK);
    cr_assert(committee.members.count == 3 && committee.quorum == 3);
    o = PARAMS(POA_PARAM_COMMITTEE_SIZE, 4, POA_PARAM_QUORUM_EXTRA, 1);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    next_epoch();
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 2, NULL, &committee, NULL), POA_OK);
    cr_assert(committee.members.count == 4 && committee.quorum == 4);
    chain_close(&c);
}

Test(params, the_steering_committee_can_be_replaced)
{
    struct setup s = setup();
    chain_open(&c, &s);
    struct ops o = address_param(POA_PARAM_STEERING, 0, c.address[1]), fee;
    cr_assert_eq(run(0, 10, &o), POA_OK);
    fee = PARAMS(POA_PARAM_FEE_MIN, 6);
    cr_assert_eq(run(1, 10, &fee), POA_E_TX_NOT_ALLOWED); /* not yet */
    cr_assert_eq(run(0, 10, &fee), POA_OK);
    next_epoch();
    cr_assert_eq(run(0, 10, &fee), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(run(1, 10, &fee), POA_OK);
    chain_close(&c);
}

/* A transaction of account P with O, signed by N of the users; what checking it says. */
static int signed_by(const struct poa_policy *p, uint32_t n, uint64_t nonce, const struct ops *o,
                     struct body *b)
{
    static uint8_t bytes[2][4096];
    struct poa_list list = {poa_slice(o->bytes, o->n), o->count};
    struct poa_writer w = poa_writer_over(bytes[0], sizeof bytes[0]);
    cr_assert_eq(poa_tx_unsigned(c.id, p, nonce, 20, 0, &list, &w), POA_OK);
    for (uint32_t i = 0; i < n; i++) {
        struct poa_slice raw = poa_written(&w);
        w = poa_writer_over(bytes[(i + 1) % 2], sizeof bytes[0]);
        cr_assert_eq(poa_tx_cosign(c.id, raw, POA_KEY_BIP340, c.user[2 - i].seed, &w), POA_OK);
    }
    body_reset(b);
    b->tx[b->txs++] = &b->view[0];
    return poa_tx_check(c.id, poa_written(&w), &b->view[0]);
}

Test(params, a_steering_committee_decides_with_m_of_n_signatures)
{
    static struct body b;
    struct setup s = setup();
    uint8_t keys[3 * 33], address[32];
    chain_open(&c, &s);
    for (int i = 0; i < 3; i++) {
        keys[33 * i] = POA_KEY_BIP340;
        memcpy(keys + 33 * i + 1, c.user[i].pk, 32);
    }
    /* Its first key may spend up to 1,000 alone, but not govern. */
    struct poa_policy committee = {.m = 2, .limit = 1000, .keys = {poa_slice(keys, 99), 3}};
    cr_assert_eq(poa_address_of(&committee, address), POA_OK);
    struct ops o = address_param(POA_PARAM_STEERING, 0, address), fund = {.n = 0};
    op_transfer(&fund, address, 1000000);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM); /* it could not pay for what it decides */
    cr_assert_eq(run(1, 10, &fund), POA_OK);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    next_epoch();
    struct ops fee = PARAMS(POA_PARAM_FEE_MIN, 6);
    cr_assert_eq(run(0, 10, &fee), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(signed_by(&committee, 1, 0, &fee, &b), POA_E_TX_SIGNATURE);
    cr_assert_eq(signed_by(&committee, 2, 0, &fee, &b), POA_OK);
    block_add(&c, &b, c.time_ms - c.s.g.time_ms + 10);
    cr_assert_eq(b.result[0].code, POA_OK);
    cr_assert_eq(signed_by(&committee, 2, 0, &fee, &b), POA_OK); /* the same again */
    block_add(&c, &b, c.time_ms - c.s.g.time_ms + 10);
    cr_assert_eq(b.result[0].code, POA_E_TX_NONCE_USED);
    struct poa_op_readmit readmit;
    struct ops back = {.n = 0};
    memcpy(readmit.key, c.device[0].pk, 32);
    op_raw(&back, POA_OP_READMIT, &poa_op_readmit_record, &readmit);
    cr_assert_eq(signed_by(&committee, 2, 1, &back, &b), POA_OK);
    block_add(&c, &b, c.time_ms - c.s.g.time_ms + 10);
    cr_assert_eq(b.result[0].code, POA_E_TX_EXISTS); /* it may; that device is not suspended */
    next_epoch();
    cr_assert_eq(now().fee_min, 6);
    cr_assert(audit(&c));
    chain_close(&c);
}

Test(params, a_committee_below_the_target_is_refused)
{
    struct setup s = setup();
    s.g.epoch_views = 1000;
    s.witnesses = 8;
    s.g.devnet = 0;
    s.g.risk_p_ppb = 1000000; /* 6 of 8: fork C(8,4) 1e-12 = 7e-11, stall C(8,3) 1e-9 = 6e-8 */
    s.g.risk_target_exp = 9;
    s.g.risk_stall_exp = 6;
    chain_open(&c, &s);
    struct ops o = PARAMS(POA_PARAM_COMMITTEE_SIZE, 4);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_BOUND); /* n */
    o = PARAMS(POA_PARAM_QUORUM_EXTRA, 1);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_BOUND); /* q: it stalls */
    o = PARAMS(POA_PARAM_RISK_P_PPB, 100000000);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_BOUND); /* p */
    o = PARAMS(POA_PARAM_RISK_TARGET_EXP, 12);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_BOUND); /* target */
    o = PARAMS(POA_PARAM_RISK_OFFLINE_PPB, 500000000);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_BOUND); /* availability */
    o = PARAMS(POA_PARAM_RISK_STALL_EXP, 0);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_BOUND); /* as the fork's */
    o = PARAMS(POA_PARAM_QUORUM_EXTRA, 1, POA_PARAM_RISK_STALL_EXP, 4);
    cr_assert_eq(run(0, 10, &o), POA_OK);    /* judged together */
    o = PARAMS(POA_PARAM_RISK_STALL_EXP, 6); /* and onto what was decided before */
    cr_assert_eq(run(0, 10, &o), POA_E_TX_BOUND);
    chain_close(&c);
}

/* Genesis and governance refuse the same committees. */
Test(params, the_bound_is_that_of_genesis)
{
    static uint8_t bytes[128 * 160];
    static const uint64_t ps[] = {1000000, 10000000, 50000000, 100000000, 300000000};
    uint32_t met = 0, missed = 0;
    for (uint32_t n = 1; n <= 128; n += 3)
        for (size_t i = 0; i < sizeof ps / sizeof ps[0]; i++)
            for (uint16_t exp = 2; exp < 20; exp += 3) {
                struct setup s = setup_default();
                struct poa_genesis g = s.g;
                struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
                struct poa_risk r;
                struct poa_why why;
                const char *text;
                for (uint32_t k = 0; k < n; k++) {
                    struct poa_op_witness x = {.maker = k, .name = poa_slice("w", 1)};
                    cr_assert_eq(poa_op_witness_encode(&w, &x), POA_OK);
                }
                memset(g.treasury, 1, 32);
                g.devnet = 0;
                g.witnesses = (struct poa_list){poa_written(&w), n};
                g.risk_p_ppb = ps[i];
                g.risk_offline_ppb = 10000000;
                g.risk_target_exp = exp;
                g.quorum_extra = (uint16_t)(n % 3);
                int genesis = poa_risk_check(&g, &r, &why);
                int change_code = poa_params_check(&g, NULL, &g, n, &text);
                cr_assert_eq(change_code, genesis ? POA_E_TX_BOUND : POA_OK, "n %u", n);
                /* and as the accurate bounds say, except where they are equal */
                cr_assert_eq(genesis != POA_OK, r.bounds.fork.value > r.target ||
                                                    r.bounds.stall.value > r.stall_target);
                met += genesis == POA_OK;
                missed += genesis != POA_OK;
            }
    cr_assert(met > 100 && missed > 100, "%u met, %u missed", met, missed);
}

/* Fees that the steering account cannot pay could never be lowered again. */
Test(params, fees_stay_payable_for_who_governs)
{
    struct setup s = setup();
    chain_open(&c, &s);
    const uint64_t most = (balance_of(&c, c.address[0]) - 10) / 100; /* behind its own fee */
    struct ops o = PARAMS(POA_PARAM_FEE_MIN, 1000000000000000);
    cr_assert_lt(most, 1000000000000000);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_FEE_MIN, most); /* and 1 per KiB */
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_FEE_MIN, 0, POA_PARAM_FEE_PER_KIB, most + 1);
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    /* What it sends away with the same transaction pays nothing. */
    struct ops fee = PARAMS(POA_PARAM_FEE_MIN, most - 1), both = fee;
    op_transfer(&both, c.address[2], 101);
    cr_assert_eq(run(0, 10, &both), POA_E_TX_PARAM);
    cr_assert_eq(run(0, 10, &fee), POA_OK);
    o = PARAMS(POA_PARAM_FEE_PER_KIB, 100); /* onto what is pending */
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    o = PARAMS(POA_PARAM_TIP, 11); /* no fee: whatever is left by now */
    cr_assert_eq(run(0, 10, &o), POA_OK);
    o = PARAMS(POA_PARAM_FEE_MIN, most - 2); /* lower is always right */
    cr_assert_eq(run(0, 10, &o), POA_OK);
    next_epoch();
    o = PARAMS(POA_PARAM_FEE_MIN, 5);
    cr_assert_eq(run(0, most, &o), POA_OK); /* the way back */
    next_epoch();
    cr_assert_eq(now().fee_min, 5);
    cr_assert(audit(&c));
    chain_close(&c);
}

/* A new account needs coins; in the same transaction is early enough. */
Test(params, who_is_to_govern_is_paid_first)
{
    struct setup s = setup();
    const uint8_t poor[32] = {7};
    chain_open(&c, &s);
    struct ops o = address_param(POA_PARAM_STEERING, 0, poor), both = {.n = 0};
    cr_assert_eq(run(0, 10, &o), POA_E_TX_PARAM);
    op_transfer(&both, poor, 600);
    memcpy(both.bytes + both.n, o.bytes, o.n);
    both.n += o.n;
    both.count++;
    cr_assert_eq(run(0, 10, &both), POA_OK);
    chain_close(&c);
}

static struct ops leave(uint32_t i)
{
    struct ops o = {.n = 0};
    struct poa_op_witness_leave w;
    memcpy(w.key, c.witness[i].pk, 32);
    op_raw(&o, POA_OP_WITNESS_LEAVE, &poa_op_witness_leave_record, &w);
    return o;
}

Test(params, no_witness_leaves_below_the_target)
{
    struct setup s = setup();
    s.g.epoch_views = 1000;
    s.witnesses = 8;
    s.g.devnet = 0;
    s.g.risk_p_ppb = 1000000;
    s.g.risk_target_exp = 6; /* 4 of 5: C(5,3) 1e-9 = 1e-8; 3 of 4: C(4,2) 1e-6 = 6e-6 */
    s.g.risk_stall_exp = 4;
    chain_open(&c, &s);
    uint32_t left = 8;
    struct ops o;
    for (uint32_t i = 0; i < 8; i++) {
        struct poa_genesis g = now();
        const char *why;
        int may = left > 1 ? poa_params_check(&g, NULL, &g, left - 1, &why) : POA_E_LIMIT;
        o = leave(i);
        cr_assert_eq(run(0, 10, &o), may, "%u left: %d", left, may);
        left -= may == POA_OK;
    }
    cr_assert_eq(left, 5, "%u left", left);
    /* What was decided for the next epoch counts already. */
    o = PARAMS(POA_PARAM_RISK_TARGET_EXP, 1, POA_PARAM_RISK_STALL_EXP, 1);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    o = leave(7);
    cr_assert_eq(run(0, 10, &o), POA_OK);
    chain_close(&c);
}

/* A pool that shrank by itself keeps nobody from mending what the bound says nothing of. */
Test(params, only_what_the_bound_speaks_of_is_refused_for_it)
{
    struct poa_genesis before = setup_default().g, g;
    const char *why;
    before.devnet = 0;
    memset(before.treasury, 1, 32);
    before.risk_p_ppb = 100000000;
    before.risk_target_exp = 12;
    g = before;
    cr_assert_eq(poa_params_check(&g, NULL, &g, 1, &why), POA_E_TX_BOUND);
    g.fee_min = 9;
    g.subsidy--;
    memset(g.steering, 2, 32);
    cr_assert_eq(poa_params_check(&before, &before, &g, 1, &why), POA_OK);
    g.miner_bp = 10001;
    cr_assert_eq(poa_params_check(&before, &before, &g, 1, &why), POA_E_TX_PARAM);
#define TOUCHES(field, value)                                                                      \
    g = before;                                                                                    \
    g.field = value;                                                                               \
    cr_assert_eq(poa_params_check(&before, &before, &g, 1, &why), POA_E_TX_BOUND, #field)
    TOUCHES(committee_size, 1);
    TOUCHES(quorum_extra, 1);
    TOUCHES(risk_p_ppb, 90000000);
    TOUCHES(risk_offline_ppb, 1);
    TOUCHES(risk_target_exp, 11);
    TOUCHES(risk_stall_exp, 11);
#undef TOUCHES
}
