/* Assets, purchases, terms and escrow. */
#include "support.h"

#define COIN 7u /* an asset that user 1 issues */

static struct chain c;
static struct setup setup;

static void open_chain(void)
{
    setup = setup_default();
    setup.g.commerce_bp = 100; /* 1 % */
    setup.g.subsidy = 0;       /* nothing but what the tests move */
    setup.g.tip = 0;
    chain_open(&c, &setup);
}

static void close_chain(void)
{
    chain_close(&c);
}

TestSuite(value, .init = open_chain, .fini = close_chain);

static int run(uint32_t user, const struct ops *o)
{
    return chain_run(&c, user, 10, o, 10, NULL);
}

#define ONE(KIND, record, ...)                                                                     \
    ({                                                                                             \
        struct ops o_ = {.n = 0};                                                                  \
        struct poa_##record v_ = {__VA_ARGS__};                                                    \
        op_raw(&o_, POA_OP_##KIND, &poa_##record##_record, &v_);                                   \
        o_;                                                                                        \
    })

static struct ops create(uint32_t asset, uint64_t supply, uint64_t max)
{
    return ONE(ASSET_CREATE, op_asset, .asset = asset, .name = poa_slice("Watt", 4), .decimals = 3,
               .supply = supply, .max = max);
}

static struct ops mint(uint32_t asset, uint32_t to, uint64_t amount)
{
    struct poa_op_mint op = {.asset = asset, .amount = amount};
    struct ops o = {.n = 0};
    memcpy(op.to, c.address[to], 32);
    op_raw(&o, POA_OP_ASSET_MINT, &poa_op_mint_record, &op);
    return o;
}

static struct ops give(uint32_t asset, uint32_t to, uint64_t amount)
{
    struct poa_op_transfer op = {.asset = asset, .amount = amount};
    struct ops o = {.n = 0};
    memcpy(op.to, c.address[to], 32);
    op_raw(&o, POA_OP_TRANSFER, &poa_op_transfer_record, &op);
    return o;
}

static struct ops purchase(uint32_t asset, uint32_t to, uint64_t amount)
{
    struct poa_op_purchase op = {.asset = asset, .amount = amount};
    struct ops o = {.n = 0};
    memcpy(op.to, c.address[to], 32);
    op_raw(&o, POA_OP_PURCHASE, &poa_op_purchase_record, &op);
    return o;
}

/* --- assets ----------------------------------------------------------------------- */

Test(value, assets_are_made_moved_and_limited)
{
    struct ops o = create(COIN, 500, 1000);
    struct poa_st_asset a;
    uint8_t key[4];
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(run(1, &o), POA_E_TX_EXISTS);
    cr_assert_eq(run(2, &o), POA_E_TX_EXISTS);
    cr_assert_eq(asset_of(&c, COIN, c.address[1]), 500);
    o = give(COIN, 2, 501);
    cr_assert_eq(run(1, &o), POA_E_TX_BALANCE);
    o = give(COIN, 2, 500);
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[1]), 0);
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), 500);
    o = give(COIN, 2, 1); /* to oneself */
    cr_assert_eq(run(2, &o), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), 500);
    o = give(8, 2, 1);
    cr_assert_eq(run(1, &o), POA_E_TX_ASSET);
    o = mint(COIN, 3, 500);
    cr_assert_eq(run(2, &o), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[3]), 500);
    o = mint(COIN, 3, 1);
    cr_assert_eq(run(1, &o), POA_E_TX_MINT);
    o = mint(8, 3, 1);
    cr_assert_eq(run(1, &o), POA_E_TX_ASSET);
    poa_put_le32(key, COIN);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ASSET, key, 4, &a), POA_OK);
    cr_assert(a.supply == 1000 && a.max == 1000 && a.decimals == 3);
    o = create(9, 0, UINT64_MAX); /* as much as there can be */
    cr_assert_eq(run(1, &o), POA_OK);
    o = mint(9, 1, UINT64_MAX);
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(asset_of(&c, 9, c.address[1]), UINT64_MAX);
    o = mint(9, 1, 1);
    cr_assert_eq(run(1, &o), POA_E_TX_MINT);
}

static int check(const struct ops *o)
{
    static uint8_t bytes[8192];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_list list = {poa_slice(o->bytes, o->n), o->count};
    struct poa_tx_view v;
    uint8_t id[32];
    cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, c.user[1].seed, 0, 10, 0, &list, &w, id),
                 POA_OK);
    return poa_tx_check(c.id, poa_written(&w), &v);
}

Test(value, what_bytes_alone_rule_out)
{
    struct ops o = create(0, 0, 1);
    cr_assert_eq(check(&o), POA_E_TX_MALFORMED); /* the native asset */
    o = create(1, 2, 1);
    cr_assert_eq(check(&o), POA_E_TX_MINT);
    o = create(1, 0, 0);
    cr_assert_eq(check(&o), POA_E_TX_MINT);
    o = ONE(ASSET_CREATE, op_asset, .asset = 1, .name = poa_slice("\n", 1), .max = 1);
    cr_assert_eq(check(&o), POA_E_TX_MALFORMED);
    o = mint(1, 1, 0);
    cr_assert_eq(check(&o), POA_E_TX_AMOUNT_ZERO);
    o = purchase(0, 2, 0);
    cr_assert_eq(check(&o), POA_E_TX_AMOUNT_ZERO);
    o = ONE(ESCROW_OPEN, op_escrow, .amount = 1);
    cr_assert_eq(check(&o), POA_E_TX_TIMEOUT);
    o = ONE(ESCROW_OPEN, op_escrow, .amount = 1, .slots = POA_ESCROW_SLOTS_MAX + 1);
    cr_assert_eq(check(&o), POA_E_TX_TIMEOUT);
    o = ONE(ESCROW_OPEN, op_escrow, .slots = 1);
    cr_assert_eq(check(&o), POA_E_TX_AMOUNT_ZERO);
    o = ONE(ESCROW_OPEN, op_escrow, .slots = 1, .amount = UINT64_MAX);
    cr_assert_eq(check(&o), POA_E_TX_OVERFLOW); /* with the fee */
    o = ONE(ESCROW_OPEN, op_escrow, .slots = 1, .amount = 1, .commerce = 1);
    cr_assert_eq(check(&o), POA_OK);
}

static int check_terms(const struct poa_terms *t, const char *raw)
{
    uint8_t bytes[256];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_slice terms = raw ? poa_slice(raw, strlen(raw)) : poa_slice(NULL, 0);
    int code = 1;
    if (t) {
        cr_assert_eq(poa_terms_encode(&w, t), POA_OK);
        terms = poa_written(&w);
    }
    /* The same for everything that carries terms. */
    struct ops o[3] = {ONE(TRANSFER, op_transfer, .amount = 1, .terms = terms),
                       ONE(PURCHASE, op_purchase, .amount = 1, .terms = terms),
                       ONE(ESCROW_OPEN, op_escrow, .amount = 1, .slots = 1, .terms = terms)};
    for (int i = 0; i < 3; i++) {
        int e = check(&o[i]);
        cr_assert(code == 1 || e == code);
        code = e;
    }
    return code;
}

Test(value, terms)
{
    struct poa_terms t = {.nature = POA_NATURE_GOODS,
                          .deliveries = 12,
                          .first_ms = 1800000000000,
                          .every_ms = 86400000,
                          .warranty_days = 730,
                          .hash = {1},
                          .text = poa_slice("500 kettles, Incoterms DAP \xe2\x82\xac", 30)};
    cr_assert_eq(check_terms(NULL, NULL), POA_OK);
    cr_assert_eq(check_terms(&t, NULL), POA_OK);
    t.every_ms = 0; /* twelve deliveries, but when? */
    cr_assert_eq(check_terms(&t, NULL), POA_E_TX_TERMS);
    t.deliveries = 1;
    cr_assert_eq(check_terms(&t, NULL), POA_OK);
    t.every_ms = 5;
    cr_assert_eq(check_terms(&t, NULL), POA_E_TX_TERMS);
    t.deliveries = 0;
    cr_assert_eq(check_terms(&t, NULL), POA_E_TX_TERMS);
    t.every_ms = t.first_ms = 0;
    cr_assert_eq(check_terms(&t, NULL), POA_OK);
    t.text = poa_slice("a\tb", 3);
    cr_assert_eq(check_terms(&t, NULL), POA_E_TX_TERMS);
    cr_assert_eq(check_terms(NULL, "anything"), POA_E_TX_TERMS);
    uint8_t bytes[256];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    t.text = poa_slice("x", 1);
    cr_assert_eq(poa_terms_encode(&w, &t), POA_OK);
    struct ops o = ONE(TRANSFER, op_transfer, .amount = 1, .terms = poa_slice(bytes, w.n + 1));
    cr_assert_eq(check(&o), POA_E_TX_TERMS); /* a byte too many */
}

/* --- purchases ------------------------------------------------------------------------ */

Test(value, a_purchase_pays_one_percent_rounded_down)
{
    static const uint64_t price[] = {1, 99, 100, 101, 199, 200, 12345, 999999};
    for (size_t i = 0; i < sizeof price / sizeof price[0]; i++) {
        uint64_t seller = balance_of(&c, c.address[2]), treasury = balance_of(&c, c.address[5]);
        struct ops o = purchase(0, 2, price[i]);
        cr_assert_eq(run(1, &o), POA_OK);
        cr_assert_eq(balance_of(&c, c.address[5]) - treasury, price[i] / 100);
        cr_assert_eq(balance_of(&c, c.address[2]) - seller, price[i] - price[i] / 100);
    }
    struct ops o = create(COIN, 1000, 1000);
    cr_assert_eq(run(1, &o), POA_OK);
    o = purchase(COIN, 2, 950); /* in the asset it was paid in */
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), 941);
    cr_assert_eq(asset_of(&c, COIN, c.address[5]), 9);
    cr_assert_eq(asset_of(&c, COIN, c.address[1]), 50);
    cr_assert_eq(run(1, &o), POA_E_TX_BALANCE);
    o = purchase(0, 1, 500); /* from oneself: the commission is due all the same */
    uint64_t before = balance_of(&c, c.address[1]);
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(balance_of(&c, c.address[1]), before - 5 - 10);
    o = purchase(0, 2, 2000000000);
    cr_assert_eq(run(1, &o), POA_E_TX_BALANCE);
}

/* 1 % of amounts whose product with the rate does not fit into 64 bits. */
Test(value, commissions_do_not_overflow)
{
    struct ops o = create(COIN, UINT64_MAX, UINT64_MAX);
    cr_assert_eq(run(1, &o), POA_OK);
    o = purchase(COIN, 2, UINT64_MAX);
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[5]), UINT64_MAX / 100);
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), UINT64_MAX - UINT64_MAX / 100);
}

/* --- escrow ------------------------------------------------------------------------------ */

static int open_escrow(uint32_t payer, uint32_t asset, uint64_t amount, uint32_t slots,
                       uint8_t commerce, uint8_t id[32])
{
    struct poa_op_escrow op = {
        .asset = asset, .amount = amount, .slots = slots, .commerce = commerce};
    struct ops o = {.n = 0};
    memcpy(op.payee, c.address[2], 32);
    memcpy(op.confirmer, c.address[3], 32);
    memcpy(op.arbiter, c.address[0], 32);
    op_raw(&o, POA_OP_ESCROW_OPEN, &poa_op_escrow_record, &op);
    int e = chain_run(&c, payer, 10, &o, 10, id);
    poa_object_id(id, 0, id);
    return e;
}

static int end(uint32_t user, uint16_t kind, const uint8_t id[32])
{
    struct poa_op_escrow_id op;
    struct ops o = {.n = 0};
    memcpy(op.escrow, id, 32);
    op_raw(&o, kind, &poa_op_escrow_id_record, &op);
    return run(user, &o);
}

Test(value, escrow_is_released_by_the_payer_the_confirmer_or_the_arbiter)
{
    uint8_t id[32], x[32] = {1};
    static const uint32_t who[] = {1, 3, 0};
    for (int i = 0; i < 3; i++) {
        uint64_t payee = balance_of(&c, c.address[2]), treasury = balance_of(&c, c.address[5]);
        cr_assert_eq(open_escrow(1, 0, 1000, 5, (uint8_t)(i == 1), id), POA_OK);
        cr_assert_eq(end(2, POA_OP_ESCROW_RELEASE, id), POA_E_TX_NOT_ALLOWED); /* the payee */
        payee = balance_of(&c, c.address[2]);
        cr_assert_eq(end(who[i], POA_OP_ESCROW_RELEASE, id), POA_OK);
        cr_assert_eq(balance_of(&c, c.address[2]) - payee, i == 1 ? 990 : 1000);
        cr_assert_eq(balance_of(&c, c.address[5]) - treasury, i == 1 ? 10 : 0);
        cr_assert_eq(end(who[i], POA_OP_ESCROW_RELEASE, id), POA_E_TX_ESCROW); /* once */
    }
    cr_assert_eq(end(1, POA_OP_ESCROW_RELEASE, x), POA_E_TX_ESCROW);
}

Test(value, escrow_is_refunded_by_the_payee_or_the_arbiter)
{
    uint8_t id[32];
    static const uint32_t who[] = {2, 0};
    for (int i = 0; i < 2; i++) {
        uint64_t before = balance_of(&c, c.address[1]);
        cr_assert_eq(open_escrow(1, 0, 1000, 5, 1, id), POA_OK);
        cr_assert_eq(balance_of(&c, c.address[1]), before - 1010);
        cr_assert_eq(end(1, POA_OP_ESCROW_REFUND, id), POA_E_TX_NOT_ALLOWED);
        cr_assert_eq(end(3, POA_OP_ESCROW_REFUND, id), POA_E_TX_NOT_ALLOWED);
        before = balance_of(&c, c.address[1]);
        cr_assert_eq(end(who[i], POA_OP_ESCROW_REFUND, id), POA_OK);
        cr_assert_eq(balance_of(&c, c.address[1]), before + 1000); /* no commission */
    }
}

static struct poa_st_global global(void)
{
    struct poa_st_global g;
    poa_ledger_global(c.l, POA_STATE_BASE, &g);
    return g;
}

static bool is_open(const uint8_t id[32])
{
    struct poa_st_escrow e;
    return !poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ESCROW, id, 32, &e);
}

static void wait_slots(uint32_t slots)
{
    uint64_t at = c.time_ms - c.s.g.time_ms;
    block_add(&c, NULL, at - at % c.s.g.slot_ms + (uint64_t)slots * c.s.g.slot_ms);
    cr_assert(audit(&c));
}

Test(value, time_out_is_in_slots_and_by_itself)
{
    uint8_t id[32], later[32];
    cr_assert_eq(open_escrow(1, 0, 1000, 3, 0, id), POA_OK); /* in slot 0: until slot 3 */
    cr_assert_eq(open_escrow(1, 0, 500, 4, 0, later), POA_OK);
    cr_assert_eq(global().escrowed, 1500);
    uint64_t before = balance_of(&c, c.address[1]);
    wait_slots(3);
    cr_assert(is_open(id));
    wait_slots(1); /* slot 4 */
    cr_assert(!is_open(id) && is_open(later));
    cr_assert_eq(balance_of(&c, c.address[1]), before + 1000);
    cr_assert_eq(end(3, POA_OP_ESCROW_RELEASE, later), POA_OK); /* in its last slot */
    cr_assert(!global().escrowed && !global().escrows);
    /* After a long pause the first block settles it, however many slots are empty. */
    cr_assert_eq(open_escrow(1, 0, 1000, 2, 0, id), POA_OK);
    wait_slots(3000);
    cr_assert(!is_open(id));
}

Test(value, nobody_decides_after_the_deadline)
{
    uint8_t id[32];
    cr_assert_eq(open_escrow(1, 0, 1000, 2, 0, id), POA_OK);
    /* 10,000 slots later a block looks at 4,096 of them: the escrow that ends
     * behind those is still there, and dead. */
    uint8_t far[32];
    cr_assert_eq(open_escrow(1, 0, 700, 9000, 0, far), POA_OK);
    wait_slots(10000);
    cr_assert(!is_open(id) && is_open(far));
    cr_assert_eq(end(1, POA_OP_ESCROW_RELEASE, far), POA_E_TX_LATE);
    wait_slots(1);
    cr_assert(!is_open(far));
    cr_assert(!global().escrows);
}

/* Escrows of one deadline leave the list from its front, middle and end. */
Test(value, lists_of_a_deadline_stay_whole)
{
    static uint8_t id[24][32];
    struct random rnd = {99};
    for (int round = 0; round < 20; round++) {
        uint32_t open = 0;
        bool is[24];
        for (uint32_t i = 0; i < 24; i++) {
            cr_assert_eq(open_escrow(1, 0, 10 + i, 3 + i % 3, 0, id[i]), POA_OK);
            is[i] = true;
            open++;
        }
        for (int k = 0; k < 14; k++) {
            uint32_t i = (uint32_t)random_below(&rnd, 24);
            int want = is[i] ? POA_OK : POA_E_TX_ESCROW;
            cr_assert_eq(end(0, k % 2 ? POA_OP_ESCROW_RELEASE : POA_OP_ESCROW_REFUND, id[i]), want);
            open -= is[i];
            is[i] = false;
        }
        cr_assert_eq(global().escrows, open);
        wait_slots(5);
        for (uint32_t i = 0; i < 24; i++)
            cr_assert_eq(is_open(id[i]), is[i] && i % 3 == 2);
        wait_slots(1);
        cr_assert(!global().escrows && !global().escrowed);
    }
}

/* More time-outs in one slot than a block settles: the next blocks go on. */
Test(value, many_time_outs_are_spread_over_blocks)
{
    struct poa_op_escrow op = {.amount = 1, .slots = 5};
    memcpy(op.payee, c.address[2], 32);
    for (int tx = 0; tx < 10; tx++) {
        struct ops o = {.n = 0};
        for (int i = 0; i < 64; i++)
            op_raw(&o, POA_OP_ESCROW_OPEN, &poa_op_escrow_record, &op);
        cr_assert_eq(chain_run(&c, 1, 100, &o, 10, NULL), POA_OK);
    }
    cr_assert_eq(global().escrows, 640);
    wait_slots(6);
    cr_assert_eq(global().escrows, 640 - 256);
    wait_slots(1);
    cr_assert_eq(global().escrows, 640 - 512);
    wait_slots(1);
    cr_assert_eq(global().escrows, 0);
}

Test(value, escrow_of_another_asset)
{
    struct ops o = create(COIN, 1000, 1000);
    uint8_t id[32];
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(open_escrow(1, COIN, 1001, 3, 1, id), POA_E_TX_BALANCE);
    cr_assert_eq(open_escrow(1, COIN, 1000, 3, 1, id), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[1]), 0);
    cr_assert_eq(global().escrowed, 0);
    cr_assert_eq(end(3, POA_OP_ESCROW_RELEASE, id), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), 990);
    cr_assert_eq(asset_of(&c, COIN, c.address[5]), 10);
    cr_assert_eq(open_escrow(2, COIN, 90, 2, 0, id), POA_OK);
    wait_slots(3);
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), 990);
}

/* --- several operations ------------------------------------------------------------------------
 */

Test(value, operations_see_those_before_them)
{
    /* An asset that is made, sold, put into an escrow and released at once. */
    struct ops o = create(COIN, 10, 1000);
    struct poa_op_mint m = {.asset = COIN, .amount = 90};
    struct poa_op_transfer t = {.asset = COIN, .amount = 40};
    struct poa_op_escrow e = {.asset = COIN, .amount = 60, .slots = 5};
    memcpy(m.to, c.address[1], 32);
    memcpy(t.to, c.address[2], 32);
    memcpy(e.payee, c.address[2], 32);
    op_raw(&o, POA_OP_ASSET_MINT, &poa_op_mint_record, &m);
    op_raw(&o, POA_OP_TRANSFER, &poa_op_transfer_record, &t);
    op_raw(&o, POA_OP_ESCROW_OPEN, &poa_op_escrow_record, &e);
    struct ops fails = o;
    cr_assert_eq(run(1, &o), POA_OK);
    cr_assert_eq(asset_of(&c, COIN, c.address[1]), 0);
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), 40);
    cr_assert_eq(global().escrows, 1);
    /* The same again fails at its first operation; with a new asset at its last. */
    cr_assert_eq(run(1, &fails), POA_E_TX_EXISTS);
    struct ops last = {.n = 0};
    t.amount = 1;
    for (int i = 0; i < 40; i++)
        op_raw(&last, POA_OP_TRANSFER, &poa_op_transfer_record, &t);
    op_raw(&last, POA_OP_ESCROW_OPEN, &poa_op_escrow_record, &e);
    static struct body b;
    body_reset(&b);
    body_tx(&b, &c, 2, chain_nonce(&c, 2), 10, &last);
    block_add(&c, &b, c.time_ms - c.s.g.time_ms + 10);
    cr_assert_eq(b.result[0].code, POA_E_TX_BALANCE); /* 40 to itself, then 60 it does not have */
    cr_assert_eq(asset_of(&c, COIN, c.address[2]), 40);
    cr_assert(audit(&c));
}
