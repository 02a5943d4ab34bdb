/* Usage data for sale: who is paid when the seller delivers, delivers something
 * else, or nothing. */
#include "support.h"

static struct chain c;
static struct setup setup;
static uint8_t data_key[32] = {5, 6, 7};
static struct key buyer; /* the one-time X25519 key */

static void open_chain(void)
{
    setup = setup_default();
    setup.g.commerce_bp = 100;
    setup.g.subsidy = 0;
    setup.g.tip = 0;
    chain_open(&c, &setup);
    memset(buyer.seed, 0x42, 32);
    poa_x25519_public(buyer.seed, buyer.pk);
}

static void close_chain(void)
{
    chain_close(&c);
}

TestSuite(data, .init = open_chain, .fini = close_chain);

/* User 2 sells, user 1 buys. */
static int offer(uint32_t asset, uint64_t price, uint8_t id[32])
{
    struct poa_op_offer op = {.bytes = 1000,
                              .asset = asset,
                              .price = price,
                              .slots = 5,
                              .dispute_slots = 3,
                              .title = poa_slice("kitchen, May", 12)};
    struct ops o = {.n = 0};
    memset(op.content, 9, 32);
    poa_hash(POA_DOMAIN_DATA_KEY, data_key, 32, op.key_hash);
    op_raw(&o, POA_OP_DATA_OFFER, &poa_op_offer_record, &op);
    int e = chain_run(&c, 2, 10, &o, 10, id);
    poa_object_id(id, 0, id);
    return e;
}

static int buy(uint32_t user, const uint8_t offer_id[32], uint32_t asset, uint64_t price,
               uint8_t id[32])
{
    struct poa_op_buy op = {.asset = asset, .price = price};
    struct ops o = {.n = 0};
    memcpy(op.offer, offer_id, 32);
    memcpy(op.key, buyer.pk, 32);
    op_raw(&o, POA_OP_DATA_BUY, &poa_op_buy_record, &op);
    int e = chain_run(&c, user, 10, &o, 10, id);
    poa_object_id(id, 0, id);
    return e;
}

static int deliver(uint32_t user, const uint8_t sale[32], const uint8_t key[32])
{
    struct poa_op_deliver op;
    struct ops o = {.n = 0};
    memcpy(op.sale, sale, 32);
    if (key)
        cr_assert_eq(poa_sealed_make(buyer.pk, key, op.sealed), POA_OK);
    else
        memset(op.sealed, 0x77, sizeof op.sealed); /* no sealed box at all */
    op_raw(&o, POA_OP_DATA_DELIVER, &poa_op_deliver_record, &op);
    return chain_run(&c, user, 10, &o, 10, NULL);
}

static int dispute(uint32_t user, const uint8_t sale[32], const uint8_t secret[32])
{
    struct poa_op_dispute op;
    struct ops o = {.n = 0};
    memcpy(op.sale, sale, 32);
    memcpy(op.secret, secret, 32);
    op_raw(&o, POA_OP_DATA_DISPUTE, &poa_op_dispute_record, &op);
    return chain_run(&c, user, 10, &o, 10, NULL);
}

static int end(uint32_t user, uint16_t kind, const uint8_t id[32])
{
    struct ops o = {.n = 0};
    op_raw(&o, kind, &poa_op_escrow_id_record, id);
    return chain_run(&c, user, 10, &o, 10, NULL);
}

static int close_offer(uint32_t user, const uint8_t id[32])
{
    struct ops o = {.n = 0};
    op_raw(&o, POA_OP_DATA_CLOSE, &poa_op_offer_id_record, id);
    return chain_run(&c, user, 10, &o, 10, NULL);
}

static void wait_slots(uint32_t slots)
{
    uint64_t at = c.time_ms - c.s.g.time_ms;
    block_add(&c, NULL, at - at % c.s.g.slot_ms + (uint64_t)slots * c.s.g.slot_ms);
    cr_assert(audit(&c));
}

static bool is_open(const uint8_t id[32])
{
    struct poa_st_escrow e;
    struct poa_st_sale s;
    bool escrow = !poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ESCROW, id, 32, &e);
    bool sale = !poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_SALE, id, 32, &s);
    cr_assert_eq(escrow, sale);
    return escrow;
}

Test(data, an_honest_sale)
{
    uint8_t o[32], s[32], got[32];
    cr_assert_eq(offer(0, 1000, o), POA_OK);
    cr_assert_eq(buy(1, o, 0, 1000, s), POA_OK);
    cr_assert(is_open(s));
    cr_assert_eq(deliver(3, s, data_key), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(deliver(2, s, data_key), POA_OK);
    cr_assert_eq(deliver(2, s, data_key), POA_E_TX_DELIVERED);
    struct poa_st_sale sale;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_SALE, s, 32, &sale), POA_OK);
    cr_assert_eq(poa_sealed_open(buyer.seed, sale.sealed.p, got), POA_OK);
    cr_assert_arr_eq(got, data_key, 32);
    cr_assert_eq(dispute(1, s, buyer.seed), POA_E_TX_DISPUTE); /* it was the right key */
    uint64_t seller = balance_of(&c, c.address[2]);
    wait_slots(3);
    cr_assert(is_open(s));
    wait_slots(1);
    cr_assert(!is_open(s));
    cr_assert_eq(balance_of(&c, c.address[2]), seller + 990);
    cr_assert_eq(balance_of(&c, c.address[5]), 10);
    struct poa_st_offer st;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_OFFER, o, 32, &st), POA_OK);
    cr_assert_eq(st.sold, 1);
}

Test(data, a_buyer_who_is_content_pays_at_once)
{
    uint8_t o[32], s[32];
    cr_assert_eq(offer(0, 1000, o), POA_OK);
    cr_assert_eq(buy(1, o, 0, 1000, s), POA_OK);
    cr_assert_eq(deliver(2, s, data_key), POA_OK);
    uint64_t seller = balance_of(&c, c.address[2]);
    cr_assert_eq(end(2, POA_OP_ESCROW_RELEASE, s), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(end(1, POA_OP_ESCROW_RELEASE, s), POA_OK);
    cr_assert_eq(balance_of(&c, c.address[2]), seller + 990);
    cr_assert(!is_open(s));
}

Test(data, nothing_delivered_is_refunded)
{
    uint8_t o[32], s[32];
    cr_assert_eq(offer(0, 1000, o), POA_OK);
    cr_assert_eq(buy(1, o, 0, 1000, s), POA_OK);
    cr_assert_eq(dispute(1, s, buyer.seed), POA_E_TX_DELIVERED); /* there is nothing yet */
    uint64_t before = balance_of(&c, c.address[1]);
    wait_slots(6);
    cr_assert(!is_open(s));
    cr_assert_eq(balance_of(&c, c.address[1]), before + 1000);
    cr_assert_eq(deliver(2, s, data_key), POA_E_TX_ESCROW);
    cr_assert_eq(buy(1, o, 0, 1000, s), POA_OK);
    cr_assert_eq(end(2, POA_OP_ESCROW_REFUND, s), POA_OK); /* the seller cannot deliver */
    cr_assert_eq(balance_of(&c, c.address[1]), before + 1000 - 10);
}

Test(data, another_key_than_the_promised_one_is_refunded)
{
    uint8_t o[32], s[32], other[32] = {1}, secret[32] = {3};
    cr_assert_eq(offer(0, 1000, o), POA_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(buy(1, o, 0, 1000, s), POA_OK);
        cr_assert_eq(deliver(2, s, i ? NULL : other), POA_OK);
        cr_assert_eq(dispute(3, s, buyer.seed), POA_E_TX_NOT_ALLOWED);
        cr_assert_eq(dispute(1, s, secret), POA_E_TX_DISPUTE); /* not the buyer's secret */
        uint64_t before = balance_of(&c, c.address[1]);
        cr_assert_eq(dispute(1, s, buyer.seed), POA_OK);
        cr_assert_eq(balance_of(&c, c.address[1]), before + 1000 - 10);
        cr_assert(!is_open(s));
    }
}

Test(data, offers_bind_both_sides)
{
    uint8_t o[32], s[32], none[32] = {1};
    cr_assert_eq(offer(7, 1000, o), POA_E_TX_ASSET);
    cr_assert_eq(offer(0, 1000, o), POA_OK);
    cr_assert_eq(buy(1, none, 0, 1000, s), POA_E_TX_OFFER);
    cr_assert_eq(buy(1, o, 0, 999, s), POA_E_TX_OFFER);
    cr_assert_eq(buy(1, o, 7, 1000, s), POA_E_TX_OFFER);
    cr_assert_eq(buy(1, o, 0, 1000, s), POA_OK);
    cr_assert_eq(close_offer(1, o), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(close_offer(2, o), POA_OK);
    cr_assert_eq(close_offer(2, o), POA_E_TX_OFFER);
    cr_assert_eq(deliver(2, s, data_key), POA_OK); /* what was sold stays sold */
    cr_assert_eq(buy(1, o, 0, 1000, none), POA_E_TX_OFFER);
    /* An escrow is no sale. */
    struct poa_op_escrow op = {.amount = 5, .slots = 5};
    struct ops e = {.n = 0};
    memcpy(op.payee, c.address[2], 32);
    op_raw(&e, POA_OP_ESCROW_OPEN, &poa_op_escrow_record, &op);
    cr_assert_eq(chain_run(&c, 1, 10, &e, 10, s), POA_OK);
    poa_object_id(s, 0, s);
    cr_assert_eq(deliver(2, s, data_key), POA_E_TX_ESCROW);
    cr_assert_eq(dispute(1, s, buyer.seed), POA_E_TX_ESCROW);
}

static int check(const struct poa_op_offer *op)
{
    uint8_t bytes[1024], id[32];
    struct ops o = {.n = 0};
    struct poa_tx_view v;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    op_raw(&o, POA_OP_DATA_OFFER, &poa_op_offer_record, op);
    struct poa_list list = {poa_slice(o.bytes, o.n), 1};
    cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, c.user[2].seed, 0, 10, 0, &list, &w, id),
                 POA_OK);
    return poa_tx_check(c.id, poa_written(&w), &v);
}

Test(data, what_bytes_alone_rule_out)
{
    struct poa_op_offer good = {
        .price = 1, .slots = 1, .dispute_slots = 1, .title = poa_slice("t", 1)};
    struct poa_op_offer x = good;
    cr_assert_eq(check(&x), POA_OK);
    x.price = 0;
    cr_assert_eq(check(&x), POA_E_TX_AMOUNT_ZERO);
    x = good;
    x.title = poa_slice("", 0);
    cr_assert_eq(check(&x), POA_E_TX_MALFORMED);
    x = good;
    x.slots = 0;
    cr_assert_eq(check(&x), POA_E_TX_TIMEOUT);
    x = good;
    x.dispute_slots = POA_ESCROW_SLOTS_MAX + 1;
    cr_assert_eq(check(&x), POA_E_TX_TIMEOUT);
}
