/* Transactions on state: all or nothing. */
#include "ledger.h"

uint64_t poa_fee_min(const struct poa_genesis *g, size_t size_bytes)
{
    return g->fee_min + g->fee_per_kib * ((size_bytes + 1023) / 1024);
}

bool poa_state_has(const struct poa_ledger *l, const struct overlay *o, enum poa_state_table table,
                   const void *key, size_t key_n)
{
    uint8_t skey[32];
    struct poa_slice ignored;
    poa_state_key_from(&l->key_begun, table, key, key_n, skey);
    return poa_state_get(l, o, skey, &ignored);
}

static bool exists_u32(const struct poa_ledger *l, const struct overlay *o,
                       enum poa_state_table table, uint32_t key)
{
    uint8_t raw[4];
    poa_put_le32(raw, key);
    return poa_state_has(l, o, table, raw, sizeof raw);
}

/* The rules of an operation that need the state, the native balance aside. */
static int judge_op(const struct judge *j, uint16_t kind, const union op_record *op)
{
    const struct poa_ledger *l = j->l;
    const struct overlay *o = j->o;
    struct poa_st_maker maker;
    struct poa_st_witness witness;
    switch ((enum poa_op_kind)kind) {
    case POA_OP_TRANSFER:
        return poa_asset_judge(j, op->TRANSFER.asset, op->TRANSFER.amount);
    case POA_OP_HOLD: /* rules of the whole transaction: poa_hold_judge */
        return POA_OK;
    case POA_OP_PURCHASE:
    case POA_OP_ASSET_CREATE:
    case POA_OP_ASSET_MINT:
    case POA_OP_ESCROW_OPEN:
    case POA_OP_ESCROW_RELEASE:
    case POA_OP_ESCROW_REFUND:
        return poa_value_judge(j, kind, op);
    case POA_OP_DATA_OFFER:
    case POA_OP_DATA_BUY:
    case POA_OP_DATA_DELIVER:
    case POA_OP_DATA_DISPUTE:
    case POA_OP_DATA_CLOSE:
        return poa_data_judge(j, kind, op);
    case POA_OP_DEVICE_REGISTER:
        if (poa_state_read_u32(l, o, POA_STATE_MAKER, op->DEVICE_REGISTER.maker, &maker) ||
            maker.status)
            return POA_E_TX_MAKER_UNKNOWN;
        if (memcmp(maker.key, op->DEVICE_REGISTER.maker_key, 32))
            return POA_E_TX_ATTESTATION;
        return poa_state_has(l, o, POA_STATE_DEVICE, op->DEVICE_REGISTER.device, 32)
                   ? POA_E_TX_DEVICE_EXISTS
                   : POA_OK;
    case POA_OP_MAKER_ADD:
        if (memcmp(j->sender, j->g->steering, 32))
            return POA_E_TX_NOT_ALLOWED;
        return exists_u32(l, o, POA_STATE_MAKER, op->MAKER_ADD.maker) ? POA_E_TX_EXISTS : POA_OK;
    case POA_OP_WITNESS_ADD:
        if (memcmp(j->sender, j->g->steering, 32))
            return POA_E_TX_NOT_ALLOWED;
        if (poa_state_has(l, o, POA_STATE_WITNESS, op->WITNESS_ADD.key, 32))
            return POA_E_TX_EXISTS;
        return exists_u32(l, o, POA_STATE_WITNESS_INDEX, POA_WITNESSES_MAX - 1) ? POA_E_LIMIT
                                                                                : POA_OK;
    case POA_OP_WITNESS_LEAVE:
        if (memcmp(j->sender, j->g->steering, 32))
            return POA_E_TX_NOT_ALLOWED;
        if (poa_state_read(l, o, POA_STATE_WITNESS, op->WITNESS_LEAVE.key, 32, &witness) ||
            witness.status)
            return POA_E_NOT_FOUND;
        return poa_leave_judge(j);
    case POA_OP_READMIT:
        return memcmp(j->sender, j->g->steering, 32) ? POA_E_TX_NOT_ALLOWED
                                                     : poa_readmit_judge(l, o, op->READMIT.key);
    case POA_OP_PARAM_SET:
        return poa_params_judge(j, &op->PARAM_SET);
    case POA_OP_ANCHOR:
        return poa_state_has(l, o, POA_STATE_ANCHOR, op->ANCHOR.root, 32) ? POA_E_TX_EXISTS
                                                                          : POA_OK;
    }
    return POA_E_TX_OP_UNKNOWN;
}

/* Whether an operation makes nothing that a later one of the same transaction
 * could stand on. */
static bool stands_alone(uint16_t kind)
{
    return kind == POA_OP_TRANSFER || kind == POA_OP_HOLD || kind == POA_OP_ANCHOR;
}

/* At the home server the operations cannot run one by one: those behind one that
 * they may depend on are judged when the transaction executes. */
static int judge_ops(struct judge *j, const struct poa_tx_view *tx)
{
    struct poa_list_iter it = poa_list_begin(&tx->tx.ops);
    struct poa_op op;
    union op_record u;
    int e = POA_OK;
    for (bool alone = true; !e && alone && poa_op_next(&it, &op); j->index++) {
        /* Transfers before it may pay the account that is to govern. */
        if (op.kind == POA_OP_PARAM_SET && j->index)
            break;
        e = poa_record_decode(poa_op_record_of(op.kind), op.body, &u);
        if (!e)
            e = judge_op(j, op.kind, &u);
        alone = stands_alone(op.kind);
    }
    return e;
}

static void apply_anchor(struct exec *x, const uint8_t sender[32], const struct poa_op_anchor *a)
{
    struct poa_st_anchor st = {
        .height = x->header->height, .packs = a->packs, .from_ms = a->from_ms, .to_ms = a->to_ms};
    memcpy(st.sender, sender, 32);
    poa_exec_put(x, POA_STATE_ANCHOR, a->root, 32, &st);
    poa_mining_publish(x, &a->devices);
    x->global.anchors++;
}

/* Judged: it is there. The draw passes over it from the end of this epoch on. */
static void apply_leave(struct exec *x, const struct poa_op_witness_leave *leave)
{
    struct poa_st_witness st;
    int e = poa_exec_read(x, POA_STATE_WITNESS, leave->key, 32, &st);
    POA_ASSERT(e == POA_OK);
    st.status = 2;
    st.until = x->header->epoch;
    poa_exec_put(x, POA_STATE_WITNESS, leave->key, 32, &st);
}

static int apply_op(struct tx_run *r, const struct poa_op *op)
{
    struct exec *x = r->x;
    union op_record u;
    int e = poa_record_decode(poa_op_record_of(op->kind), op->body, &u);
    if (!e)
        e = judge_op(&r->j, op->kind, &u);
    if (e)
        return e;
    switch ((enum poa_op_kind)op->kind) {
    case POA_OP_TRANSFER:
        poa_asset_take(r, u.TRANSFER.asset, u.TRANSFER.amount);
        poa_asset_pay(r, u.TRANSFER.asset, u.TRANSFER.to, u.TRANSFER.amount);
        break;
    case POA_OP_PURCHASE:
    case POA_OP_ASSET_CREATE:
    case POA_OP_ASSET_MINT:
    case POA_OP_ESCROW_OPEN:
    case POA_OP_ESCROW_RELEASE:
    case POA_OP_ESCROW_REFUND:
        poa_value_apply(r, op->kind, &u);
        break;
    case POA_OP_DATA_OFFER:
    case POA_OP_DATA_BUY:
    case POA_OP_DATA_DELIVER:
    case POA_OP_DATA_DISPUTE:
    case POA_OP_DATA_CLOSE:
        poa_data_apply(r, op->kind, &u);
        break;
    case POA_OP_HOLD:
        break;
    case POA_OP_DEVICE_REGISTER:
        poa_put_device(x, &u.DEVICE_REGISTER);
        break;
    case POA_OP_MAKER_ADD:
        poa_put_maker(x, &u.MAKER_ADD);
        break;
    case POA_OP_WITNESS_ADD:
        poa_put_witness(x, &u.WITNESS_ADD);
        break;
    case POA_OP_WITNESS_LEAVE:
        apply_leave(x, &u.WITNESS_LEAVE);
        break;
    case POA_OP_READMIT:
        poa_readmit(x, u.READMIT.key);
        break;
    case POA_OP_PARAM_SET:
        poa_params_put(x, &u.PARAM_SET);
        break;
    case POA_OP_ANCHOR:
        apply_anchor(x, r->j.sender, &u.ANCHOR);
        break;
    }
    return POA_OK;
}

/* Nonce, fee, time and balance against ACCOUNT. */
static int judge_account(const struct poa_genesis *g, const struct poa_st_account *account,
                         uint64_t time_ms, const struct poa_tx_view *tx)
{
    if (tx->tx.nonce != account->nonce)
        return tx->tx.nonce < account->nonce ? POA_E_TX_NONCE_USED : POA_E_TX_NONCE_GAP;
    if (tx->tx.valid_until && tx->tx.valid_until < time_ms)
        return POA_E_TX_EXPIRED;
    if (tx->tx.fee < poa_fee_min(g, tx->raw.n))
        return POA_E_TX_FEE;
    return tx->cost > account->balance ? POA_E_TX_BALANCE : POA_OK;
}

static int run(struct exec *x, const struct poa_tx_view *tx)
{
    struct tx_run r = {.x = x,
                       .j = {.l = x->l,
                             .o = x->o,
                             .g = x->g,
                             .epoch = x->header->epoch,
                             .slot = x->slot,
                             .sender = tx->tx.sender,
                             .tx = tx->id}};
    struct poa_list_iter it = poa_list_begin(&tx->tx.ops);
    struct poa_op op;
    const uint64_t cost = tx->cost;
    bool held = false;
    int e = poa_exec_read(x, POA_STATE_ACCOUNT, tx->tx.sender, 32, &r.account);
    if (e && e != POA_E_NOT_FOUND)
        return e;
    e = judge_account(x->g, &r.account, x->header->time_ms, tx);
    if (!e)
        e = poa_hold_judge(&r.j, tx, cost - tx->tx.fee, &held);
    r.account.balance -= e ? 0 : cost;
    r.j.left = r.account.balance;
    r.account.nonce++;
    if (!e && held)
        e = poa_hold_add(x, tx, cost - tx->tx.fee);
    else if (!e)
        poa_hold_count(x, tx->tx.sender, cost - tx->tx.fee);
    for (; !e && !held && !x->full && poa_op_next(&it, &op); r.j.index++)
        e = apply_op(&r, &op);
    if (!e)
        poa_exec_put(x, POA_STATE_ACCOUNT, tx->tx.sender, 32, &r.account);
    return e;
}

int poa_tx_apply(struct exec *x, const struct poa_tx_view *tx)
{
    struct poa_st_global before = x->global;
    poa_overlay_begin(x->l);
    int e = run(x, tx);
    if (e) {
        poa_overlay_rollback(x->l);
        x->global = before;
        return e;
    }
    poa_overlay_commit(x->l);
    x->fees += tx->tx.fee;
    x->global.txs++;
    return POA_OK;
}

int poa_ledger_try_tx(const struct poa_ledger *l, poa_state_id s, uint64_t time_ms,
                      const struct poa_tx_view *tx, uint64_t pending, uint64_t spent)
{
    const struct overlay *o = poa_state_overlay(l, s);
    struct poa_st_account account = {.balance = 0};
    struct poa_genesis g;
    struct judge j = {.l = l,
                      .o = o,
                      .g = &g,
                      .epoch = poa_ledger_next_epoch(l, s),
                      .slot = poa_slot_of(&l->genesis, time_ms),
                      .sender = tx->tx.sender,
                      .tx = tx->id};
    bool held;
    int e = poa_state_read(l, o, POA_STATE_ACCOUNT, tx->tx.sender, 32, &account);
    if (e && e != POA_E_NOT_FOUND)
        return e;
    poa_params_at(l, o, j.epoch, &g);
    account.nonce += pending;
    account.balance = spent > account.balance ? 0 : account.balance - spent;
    e = judge_account(&g, &account, time_ms, tx);
    if (!e)
        e = poa_hold_judge(&j, tx, tx->cost - tx->tx.fee, &held);
    if (e)
        return e;
    j.left = account.balance - tx->cost;
    return judge_ops(&j, tx);
}
