/* Usage data for sale: offer, buy, deliver, dispute. A sale is an escrow whose
 * time-out pays the buyer before delivery, and the seller after it. */
#include "ledger.h"

static bool slots_ok(uint32_t slots)
{
    return slots && slots <= POA_ESCROW_SLOTS_MAX;
}

int poa_data_check(uint16_t kind, const union op_record *op, uint64_t *cost)
{
    switch (kind) {
    case POA_OP_DATA_OFFER:
        if (!poa_name_ok(op->DATA_OFFER.title))
            return POA_E_TX_MALFORMED;
        if (!slots_ok(op->DATA_OFFER.slots) || !slots_ok(op->DATA_OFFER.dispute_slots))
            return POA_E_TX_TIMEOUT;
        return op->DATA_OFFER.price ? POA_OK : POA_E_TX_AMOUNT_ZERO;
    case POA_OP_DATA_BUY:
        return poa_cost_add(op->DATA_BUY.asset, op->DATA_BUY.price, cost);
    default:
        return POA_OK;
    }
}

/* --- by the state ---------------------------------------------------------------- */

static int find_sale(const struct judge *j, const uint8_t id[32], struct poa_st_escrow *e,
                     struct poa_st_sale *sale)
{
    int rc = poa_escrow_find(j, id, e);
    if (!rc && poa_state_read(j->l, j->o, POA_STATE_SALE, id, 32, sale))
        rc = POA_E_TX_ESCROW;
    return rc;
}

static int judge_buy(const struct judge *j, const struct poa_op_buy *op)
{
    struct poa_st_offer o;
    if (poa_state_read(j->l, j->o, POA_STATE_OFFER, op->offer, 32, &o) || op->asset != o.asset ||
        op->price != o.price)
        return POA_E_TX_OFFER;
    return poa_asset_judge(j, op->asset, op->price);
}

static int judge_deliver(const struct judge *j, const struct poa_op_deliver *op)
{
    struct poa_st_escrow e;
    struct poa_st_sale sale;
    int rc = find_sale(j, op->sale, &e, &sale);
    if (!rc && memcmp(e.payee, j->sender, 32))
        rc = POA_E_TX_NOT_ALLOWED;
    return !rc && e.delivered ? POA_E_TX_DELIVERED : rc;
}

/* Whether SECRET, the buyer's, opens what was delivered to the promised key. */
static bool delivered_key_is_right(const struct poa_st_sale *sale, const uint8_t secret[32])
{
    uint8_t key[32], hash[32];
    if (poa_sealed_open(secret, sale->sealed.p, key))
        return false;
    poa_hash(POA_DOMAIN_DATA_KEY, key, 32, hash);
    return !memcmp(hash, sale->key_hash, 32);
}

static int judge_dispute(const struct judge *j, const struct poa_op_dispute *op)
{
    struct poa_st_escrow e;
    struct poa_st_sale sale;
    uint8_t key[32];
    int rc = find_sale(j, op->sale, &e, &sale);
    if (rc)
        return rc;
    if (memcmp(e.payer, j->sender, 32))
        return POA_E_TX_NOT_ALLOWED;
    if (!e.delivered)
        return POA_E_TX_DELIVERED;
    poa_x25519_public(op->secret, key);
    return memcmp(key, sale.key, 32) || delivered_key_is_right(&sale, op->secret) ? POA_E_TX_DISPUTE
                                                                                  : POA_OK;
}

int poa_data_judge(const struct judge *j, uint16_t kind, const union op_record *op)
{
    struct poa_st_offer o;
    struct poa_st_asset asset;
    switch (kind) {
    case POA_OP_DATA_OFFER:
        return op->DATA_OFFER.asset &&
                       poa_state_read_u32(j->l, j->o, POA_STATE_ASSET, op->DATA_OFFER.asset, &asset)
                   ? POA_E_TX_ASSET
                   : POA_OK;
    case POA_OP_DATA_BUY:
        return judge_buy(j, &op->DATA_BUY);
    case POA_OP_DATA_DELIVER:
        return judge_deliver(j, &op->DATA_DELIVER);
    case POA_OP_DATA_DISPUTE:
        return judge_dispute(j, &op->DATA_DISPUTE);
    case POA_OP_DATA_CLOSE:
        if (poa_state_read(j->l, j->o, POA_STATE_OFFER, op->DATA_CLOSE.offer, 32, &o))
            return POA_E_TX_OFFER;
        return memcmp(o.seller, j->sender, 32) ? POA_E_TX_NOT_ALLOWED : POA_OK;
    default:
        return POA_OK;
    }
}

/* --- what they do ------------------------------------------------------------------- */

static void offer(struct tx_run *r, const struct poa_op_offer *op)
{
    struct poa_st_offer o = {.bytes = op->bytes,
                             .asset = op->asset,
                             .price = op->price,
                             .slots = op->slots,
                             .dispute_slots = op->dispute_slots,
                             .title = op->title,
                             .meta = op->meta};
    uint8_t id[32];
    poa_object_id(r->j.tx, r->j.index, id);
    memcpy(o.seller, r->j.sender, 32);
    memcpy(o.content, op->content, 32);
    memcpy(o.key_hash, op->key_hash, 32);
    poa_exec_put(r->x, POA_STATE_OFFER, id, 32, &o);
}

static void buy(struct tx_run *r, const struct poa_op_buy *op)
{
    struct poa_st_offer o;
    int rc = poa_exec_read(r->x, POA_STATE_OFFER, op->offer, 32, &o);
    POA_ASSERT(rc == POA_OK); /* judged, as below */
    struct poa_st_escrow e = {.asset = op->asset,
                              .amount = op->price,
                              .commission_bp = r->x->g->commerce_bp,
                              .sale = 1,
                              .height = r->x->header->height};
    struct poa_st_sale sale = {.dispute_slots = o.dispute_slots};
    uint8_t id[32];
    uint32_t slots = o.slots;
    poa_object_id(r->j.tx, r->j.index, id);
    memcpy(e.payer, r->j.sender, 32);
    memcpy(e.payee, o.seller, 32);
    memcpy(sale.offer, op->offer, 32);
    memcpy(sale.key, op->key, 32);
    memcpy(sale.key_hash, o.key_hash, 32);
    o.sold += o.sold < UINT32_MAX;
    poa_exec_put(r->x, POA_STATE_OFFER, op->offer, 32, &o);
    poa_asset_take(r, op->asset, op->price);
    poa_escrow_put(r->x, id, &e, slots);
    poa_exec_put(r->x, POA_STATE_SALE, id, 32, &sale);
}

static void deliver(struct tx_run *r, const struct poa_op_deliver *op)
{
    struct poa_st_escrow e;
    struct poa_st_sale sale;
    int rc = poa_exec_read(r->x, POA_STATE_ESCROW, op->sale, 32, &e);
    POA_ASSERT(rc == POA_OK);
    rc = poa_exec_read(r->x, POA_STATE_SALE, op->sale, 32, &sale);
    POA_ASSERT(rc == POA_OK);
    sale.sealed = poa_slice(op->sealed, sizeof op->sealed);
    poa_escrow_unlink(r->x, &e);
    e.delivered = 1;
    poa_escrow_put(r->x, op->sale, &e, sale.dispute_slots);
    poa_exec_put(r->x, POA_STATE_SALE, op->sale, 32, &sale);
}

void poa_data_apply(struct tx_run *r, uint16_t kind, const union op_record *op)
{
    struct poa_st_escrow e;
    int rc;
    switch (kind) {
    case POA_OP_DATA_OFFER:
        offer(r, &op->DATA_OFFER);
        break;
    case POA_OP_DATA_BUY:
        buy(r, &op->DATA_BUY);
        break;
    case POA_OP_DATA_DELIVER:
        deliver(r, &op->DATA_DELIVER);
        break;
    case POA_OP_DATA_DISPUTE:
        rc = poa_exec_read(r->x, POA_STATE_ESCROW, op->DATA_DISPUTE.sale, 32, &e);
        POA_ASSERT(rc == POA_OK);
        poa_escrow_settle(r->x, r, op->DATA_DISPUTE.sale, &e, false);
        break;
    case POA_OP_DATA_CLOSE:
        poa_exec_delete(r->x, POA_STATE_OFFER, op->DATA_CLOSE.offer, 32);
        break;
    default:
        break;
    }
}
