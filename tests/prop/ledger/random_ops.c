#include "random_ops.h"

#define KNOWN  16
#define ASSETS 4

enum { ESCROWS, OFFERS, SALES, RINGS };
static struct {
    uint8_t id[KNOWN][32];
    uint32_t n;
} ring[RINGS];

void random_forget(void)
{
    memset(ring, 0, sizeof ring);
}

static void pick(struct random *rnd, int which, uint8_t id[32])
{
    memset(id, 1, 32);
    uint32_t n = ring[which].n < KNOWN ? ring[which].n : KNOWN;
    if (n)
        memcpy(id, ring[which].id[random_below(rnd, n)], 32);
}

/* One that USER pays (or is paid), if some draws find one; DELIVERED or not. */
static void pick_of(const struct chain *c, struct random *rnd, int which, uint32_t user, bool pays,
                    bool delivered, uint8_t id[32])
{
    struct poa_st_escrow e;
    for (int i = 0; i < 12; i++) {
        pick(rnd, which, id);
        if (!poa_ledger_read(c->l, POA_STATE_BASE, POA_STATE_ESCROW, id, 32, &e) &&
            !memcmp(pays ? e.payer : e.payee, c->address[user], 32) && e.delivered == delivered)
            return;
    }
}

void random_note(const struct ops *o, const uint8_t id32[32])
{
    struct poa_list list = {poa_slice(o->bytes, o->n), o->count};
    struct poa_list_iter it = poa_list_begin(&list);
    struct poa_op op;
    for (uint8_t i = 0; poa_op_next(&it, &op); i++) {
        int which = op.kind == POA_OP_ESCROW_OPEN  ? ESCROWS
                    : op.kind == POA_OP_DATA_OFFER ? OFFERS
                    : op.kind == POA_OP_DATA_BUY   ? SALES
                                                   : RINGS;
        if (which < RINGS)
            poa_object_id(id32, i, ring[which].id[ring[which].n++ % KNOWN]);
    }
}

void random_tally(struct tally *t, const struct poa_tx_view *tx, int code)
{
    struct poa_list_iter it = poa_list_begin(&tx->tx.ops);
    struct poa_op op;
    while (poa_op_next(&it, &op)) {
        t->made[op.kind]++;
        t->done[op.kind] += code == POA_OK;
    }
}

static void user_address(const struct chain *c, struct random *rnd, uint8_t out[32])
{
    memcpy(out, c->address[random_below(rnd, USERS)], 32);
}

static uint32_t asset(struct random *rnd)
{
    return (uint32_t)random_below(rnd, ASSETS);
}

static void buyer_key(uint8_t secret[32], uint8_t key[32])
{
    memset(secret, 0x42, 32);
    poa_x25519_public(secret, key);
}

static void value_op(struct ops *o, const struct chain *c, struct random *rnd, uint32_t user,
                     uint64_t which)
{
    struct poa_op_transfer transfer = {.asset = asset(rnd), .amount = 1 + random_below(rnd, 500)};
    struct poa_op_purchase purchase = {.asset = asset(rnd), .amount = 1 + random_below(rnd, 5000)};
    struct poa_op_asset create = {.asset = 1 + asset(rnd),
                                  .name = poa_slice("A", 1),
                                  .supply = random_below(rnd, 3000),
                                  .max = 3000 + random_below(rnd, 100000)};
    struct poa_op_mint mint = {.asset = asset(rnd), .amount = 1 + random_below(rnd, 20000)};
    struct poa_op_escrow escrow = {.asset = asset(rnd),
                                   .amount = 1 + random_below(rnd, 3000),
                                   .slots = 1 + (uint32_t)random_below(rnd, 12),
                                   .commerce = (uint8_t)random_below(rnd, 2)};
    struct poa_op_escrow_id id;
    int of = random_below(rnd, 3) ? ESCROWS : SALES;
    switch (which) {
    case 0:
        user_address(c, rnd, transfer.to);
        op_raw(o, POA_OP_TRANSFER, &poa_op_transfer_record, &transfer);
        break;
    case 1:
        user_address(c, rnd, purchase.to);
        op_raw(o, POA_OP_PURCHASE, &poa_op_purchase_record, &purchase);
        break;
    case 2:
        op_raw(o, POA_OP_ASSET_CREATE, &poa_op_asset_record, &create);
        break;
    case 3:
        user_address(c, rnd, mint.to);
        op_raw(o, POA_OP_ASSET_MINT, &poa_op_mint_record, &mint);
        break;
    case 4:
    case 5:
        user_address(c, rnd, escrow.payee);
        user_address(c, rnd, escrow.confirmer);
        user_address(c, rnd, escrow.arbiter);
        op_raw(o, POA_OP_ESCROW_OPEN, &poa_op_escrow_record, &escrow);
        break;
    case 6:
        pick_of(c, rnd, of, user, true, random_below(rnd, 2), id.escrow);
        op_raw(o, POA_OP_ESCROW_RELEASE, &poa_op_escrow_id_record, &id);
        break;
    default:
        pick_of(c, rnd, of, user, false, random_below(rnd, 2), id.escrow);
        op_raw(o, POA_OP_ESCROW_REFUND, &poa_op_escrow_id_record, &id);
        break;
    }
}

static void data_op(struct ops *o, const struct chain *c, struct random *rnd, uint32_t user,
                    uint64_t which)
{
    struct poa_op_offer offer = {.asset = asset(rnd),
                                 .price = 1 + random_below(rnd, 3),
                                 .slots = 1 + (uint32_t)random_below(rnd, 12),
                                 .dispute_slots = 1 + (uint32_t)random_below(rnd, 12),
                                 .title = poa_slice("t", 1)};
    struct poa_op_buy buy = {.price = 1 + random_below(rnd, 3)};
    struct poa_op_deliver deliver;
    struct poa_op_dispute dispute;
    struct poa_op_offer_id id;
    struct poa_st_offer st;
    uint8_t secret[32], key[32], data_key[32] = {7};
    buyer_key(secret, key);
    switch (which) {
    case 0:
    case 1:
        poa_hash(POA_DOMAIN_DATA_KEY, data_key, 32, offer.key_hash);
        op_raw(o, POA_OP_DATA_OFFER, &poa_op_offer_record, &offer);
        break;
    case 2:
    case 3:
        pick(rnd, OFFERS, buy.offer);
        memcpy(buy.key, key, 32);
        /* At its price, when there is such an offer on the base. */
        if (!poa_ledger_read(c->l, POA_STATE_BASE, POA_STATE_OFFER, buy.offer, 32, &st)) {
            buy.asset = st.asset;
            buy.price = st.price;
        }
        op_raw(o, POA_OP_DATA_BUY, &poa_op_buy_record, &buy);
        break;
    case 4:
        pick_of(c, rnd, SALES, user, false, false, deliver.sale);
        data_key[0] = (uint8_t)(7 + random_below(rnd, 2));
        cr_assert_eq(poa_sealed_make(key, data_key, deliver.sealed), POA_OK);
        op_raw(o, POA_OP_DATA_DELIVER, &poa_op_deliver_record, &deliver);
        break;
    case 5:
        pick_of(c, rnd, SALES, user, true, true, dispute.sale);
        memcpy(dispute.secret, secret, 32);
        op_raw(o, POA_OP_DATA_DISPUTE, &poa_op_dispute_record, &dispute);
        break;
    default:
        pick(rnd, OFFERS, id.offer);
        op_raw(o, POA_OP_DATA_CLOSE, &poa_op_offer_id_record, &id);
        break;
    }
}

static void param_op(struct ops *o, struct random *rnd)
{
    static const uint16_t some[] = {POA_PARAM_FEE_MIN,  POA_PARAM_COMMERCE_BP,
                                    POA_PARAM_MINER_BP, POA_PARAM_SUBSIDY,
                                    POA_PARAM_TIP,      POA_PARAM_COMMITTEE_SIZE};
    uint8_t bytes[42];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    uint16_t param = some[random_below(rnd, sizeof some / sizeof some[0])];
    struct poa_param_change change = {
        .param = param, .value = random_below(rnd, param == POA_PARAM_FEE_MIN ? 9 : 5000)};
    if (param == POA_PARAM_COMMITTEE_SIZE)
        change.value %= 6;
    cr_assert_eq(poa_param_change_encode(&w, &change), POA_OK);
    struct poa_op_params op = {.changes = {poa_written(&w), 1}};
    op_raw(o, POA_OP_PARAM_SET, &poa_op_params_record, &op);
}

/* One that is suspended, if some draws find one. */
static void suspect(const struct chain *c, struct random *rnd, uint8_t key[32])
{
    for (int i = 0; i < 100; i++) {
        struct poa_st_device d = {.status = 0};
        struct poa_st_witness w = {.status = 0};
        if (random_below(rnd, 2)) {
            memcpy(key, c->device[random_below(rnd, DEVICES)].pk, 32);
            if (!poa_ledger_read(c->l, POA_STATE_BASE, POA_STATE_DEVICE, key, 32, &d) && d.status)
                return;
        } else {
            memcpy(key, c->witness[random_below(rnd, WITNESSES)].pk, 32);
            if (!poa_ledger_read(c->l, POA_STATE_BASE, POA_STATE_WITNESS, key, 32, &w) &&
                w.status == 1) /* not one that left */
                return;
        }
    }
}

/* What the steering committee does; of others it is refused. */
static void governance_op(struct ops *o, const struct chain *c, struct random *rnd, uint64_t which)
{
    struct poa_op_maker maker = {.maker = 1 + (uint32_t)random_below(rnd, MAKERS + 2),
                                 .name = poa_slice("maker", 5)};
    uint64_t w = random_below(rnd, WITNESSES);
    struct poa_op_witness witness = {.maker = (uint32_t)w,
                                     .region = (uint16_t)random_below(rnd, 3),
                                     .name = poa_slice("late", 4)};
    struct poa_op_witness_leave leave;
    struct poa_op_readmit readmit;
    switch (which) {
    case 0:
        memcpy(maker.key, c->maker[MAKERS - 1].pk, 32);
        op_raw(o, POA_OP_MAKER_ADD, &poa_op_maker_record, &maker);
        break;
    case 1:
        memcpy(witness.key, c->witness[w].pk, 32);
        user_address(c, rnd, witness.payout);
        op_raw(o, POA_OP_WITNESS_ADD, &poa_op_witness_record, &witness);
        break;
    case 2:
        memcpy(leave.key, c->witness[w].pk, 32);
        op_raw(o, POA_OP_WITNESS_LEAVE, &poa_op_witness_leave_record, &leave);
        break;
    default:
        suspect(c, rnd, readmit.key);
        op_raw(o, POA_OP_READMIT, &poa_op_readmit_record, &readmit);
        break;
    }
}

void random_value_op(struct ops *o, const struct chain *c, struct random *rnd, uint32_t user)
{
    uint64_t which = random_below(rnd, 20);
    if (which < 8)
        value_op(o, c, rnd, user, which);
    else if (which < 15)
        data_op(o, c, rnd, user, which - 8);
    else if (which < 16)
        param_op(o, rnd);
    else
        governance_op(o, c, rnd, which - 16);
}
