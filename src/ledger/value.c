/* Assets, purchases with a commission, and escrow.
 *
 * Escrows with the same deadline form a list: DUE[deadline] has its first, each
 * its neighbours, so that one that ends early leaves it at once, and time-outs
 * never search. */
#include "ledger.h"

/* Time-outs that a block settles, and slots that it looks at: never much at once.
 * An escrow whose deadline has passed can no longer be decided by anybody, so it
 * does not matter which block gets to it. */
#define TIMEOUTS_PER_BLOCK 256
#define DUE_PER_BLOCK      4096

static const uint8_t nobody[32];

static bool same(const uint8_t a[32], const uint8_t b[32])
{
    return !memcmp(a, b, 32);
}

/* --- terms ------------------------------------------------------------------------- */

bool poa_terms_ok(struct poa_slice terms)
{
    struct poa_terms t;
    if (poa_terms_decode(terms, &t) || !poa_text_ok(t.text))
        return false;
    return !t.deliveries ? !t.first_ms && !t.every_ms
                         : t.first_ms && (t.deliveries > 1) == (t.every_ms != 0);
}

/* --- balances ------------------------------------------------------------------------ */

static void balance_key(uint32_t asset, const uint8_t address[32], uint8_t key[36])
{
    poa_put_le32(key, asset);
    memcpy(key + 4, address, 32);
}

static uint64_t balance_of(const struct poa_ledger *l, const struct overlay *o, uint32_t asset,
                           const uint8_t address[32])
{
    struct poa_st_balance b;
    uint8_t key[36];
    balance_key(asset, address, key);
    return poa_state_read(l, o, POA_STATE_BALANCE, key, sizeof key, &b) ? 0 : b.balance;
}

static void put_balance(struct exec *x, uint32_t asset, const uint8_t address[32], uint64_t balance)
{
    struct poa_st_balance b = {balance};
    uint8_t key[36];
    balance_key(asset, address, key);
    if (balance)
        poa_exec_put(x, POA_STATE_BALANCE, key, sizeof key, &b);
    else
        poa_exec_delete(x, POA_STATE_BALANCE, key, sizeof key);
}

int poa_asset_judge(const struct judge *j, uint32_t asset, uint64_t amount)
{
    struct poa_st_asset st;
    if (!asset)
        return POA_OK;
    if (poa_state_read_u32(j->l, j->o, POA_STATE_ASSET, asset, &st))
        return POA_E_TX_ASSET;
    return balance_of(j->l, j->o, asset, j->sender) < amount ? POA_E_TX_BALANCE : POA_OK;
}

void poa_asset_take(struct tx_run *r, uint32_t asset, uint64_t amount)
{
    if (asset)
        put_balance(r->x, asset, r->j.sender,
                    balance_of(r->x->l, r->x->o, asset, r->j.sender) - amount);
}

/* All that was minted fits into 64 bits, so no balance can overflow. */
static void credit(struct exec *x, uint32_t asset, const uint8_t to[32], uint64_t amount)
{
    if (!asset)
        poa_exec_credit(x, to, amount);
    else if (amount)
        put_balance(x, asset, to, balance_of(x->l, x->o, asset, to) + amount);
}

void poa_asset_pay(struct tx_run *r, uint32_t asset, const uint8_t to[32], uint64_t amount)
{
    if (!asset && same(to, r->j.sender))
        r->account.balance += amount;
    else
        credit(r->x, asset, to, amount);
}

/* --- escrows --------------------------------------------------------------------------- */

static int read_escrow(const struct exec *x, const uint8_t id[32], struct poa_st_escrow *out)
{
    return poa_exec_read(x, POA_STATE_ESCROW, id, 32, out);
}

static void put_escrow(struct exec *x, const uint8_t id[32], const struct poa_st_escrow *e)
{
    poa_exec_put(x, POA_STATE_ESCROW, id, 32, e);
}

/* A neighbour in a list: it is there as long as somebody points at it. The record
 * borrows its terms from the state, where they stay until it is put back. */
static void relink(struct exec *x, const uint8_t id[32], const uint8_t *prev, const uint8_t *next)
{
    struct poa_st_escrow e;
    int rc = read_escrow(x, id, &e);
    POA_ASSERT(rc == POA_OK);
    if (prev)
        memcpy(e.prev, prev, 32);
    if (next)
        memcpy(e.next, next, 32);
    put_escrow(x, id, &e);
}

void poa_escrow_put(struct exec *x, const uint8_t id[32], struct poa_st_escrow *e, uint32_t slots)
{
    struct poa_st_due due = {{0}};
    uint8_t key[8];
    e->deadline = x->slot + slots;
    poa_put_le64(key, e->deadline);
    if (!poa_exec_read(x, POA_STATE_DUE, key, sizeof key, &due))
        relink(x, due.first, id, NULL);
    memcpy(e->prev, nobody, 32);
    memcpy(e->next, due.first, 32);
    memcpy(due.first, id, 32);
    put_escrow(x, id, e);
    poa_exec_put(x, POA_STATE_DUE, key, sizeof key, &due);
    x->global.escrows++;
    x->global.escrowed += e->asset ? 0 : e->amount;
}

void poa_escrow_unlink(struct exec *x, const struct poa_st_escrow *e)
{
    struct poa_st_due due;
    uint8_t key[8];
    poa_put_le64(key, e->deadline);
    memcpy(due.first, e->next, 32);
    if (!same(e->next, nobody))
        relink(x, e->next, e->prev, NULL);
    if (!same(e->prev, nobody))
        relink(x, e->prev, NULL, e->next);
    else if (!same(e->next, nobody))
        poa_exec_put(x, POA_STATE_DUE, key, sizeof key, &due);
    else
        poa_exec_delete(x, POA_STATE_DUE, key, sizeof key);
    x->global.escrows--;
    x->global.escrowed -= e->asset ? 0 : e->amount;
}

int poa_escrow_find(const struct judge *j, const uint8_t id[32], struct poa_st_escrow *out)
{
    if (poa_state_read(j->l, j->o, POA_STATE_ESCROW, id, 32, out))
        return POA_E_TX_ESCROW;
    return j->slot > out->deadline ? POA_E_TX_LATE : POA_OK;
}

void poa_escrow_settle(struct exec *x, struct tx_run *r, const uint8_t id[32],
                       const struct poa_st_escrow *e, bool to_payee)
{
    const struct poa_st_escrow c = *e; /* E's terms are not needed any more */
    uint64_t commission = to_payee ? poa_share(c.amount, c.commission_bp) : 0;
    const uint8_t *to = to_payee ? c.payee : c.payer;
    poa_escrow_unlink(x, &c);
    poa_exec_delete(x, POA_STATE_ESCROW, id, 32);
    if (c.sale)
        poa_exec_delete(x, POA_STATE_SALE, id, 32);
    if (r) {
        poa_asset_pay(r, c.asset, to, c.amount - commission);
        poa_asset_pay(r, c.asset, x->g->treasury, commission);
    } else {
        credit(x, c.asset, to, c.amount - commission);
        credit(x, c.asset, x->g->treasury, commission);
    }
}

void poa_escrow_timeouts(struct exec *x)
{
    struct poa_st_global *g = &x->global;
    int looks = DUE_PER_BLOCK, settled = 0;
    if (!g->escrows)
        g->due = x->slot;
    while (g->due < x->slot && looks-- > 0 && !x->full) {
        struct poa_st_due due;
        struct poa_st_escrow e;
        uint8_t key[8];
        poa_put_le64(key, g->due);
        while (!x->full && !poa_exec_read(x, POA_STATE_DUE, key, sizeof key, &due)) {
            int rc = read_escrow(x, due.first, &e);
            POA_ASSERT(rc == POA_OK);
            if (settled++ == TIMEOUTS_PER_BLOCK)
                return;
            poa_escrow_settle(x, NULL, due.first, &e, e.delivered);
        }
        g->due++;
    }
}

/* --- operations: by their bytes ------------------------------------------------------------ */

static int check_escrow(const struct poa_op_escrow *op, uint64_t *cost)
{
    if (!op->slots || op->slots > POA_ESCROW_SLOTS_MAX)
        return POA_E_TX_TIMEOUT;
    if (op->terms.n && !poa_terms_ok(op->terms))
        return POA_E_TX_TERMS;
    return poa_cost_add(op->asset, op->amount, cost);
}

int poa_value_check(uint16_t kind, const union op_record *op, uint64_t *cost)
{
    switch (kind) {
    case POA_OP_PURCHASE:
        if (op->PURCHASE.terms.n && !poa_terms_ok(op->PURCHASE.terms))
            return POA_E_TX_TERMS;
        return poa_cost_add(op->PURCHASE.asset, op->PURCHASE.amount, cost);
    case POA_OP_ASSET_CREATE:
        if (!op->ASSET_CREATE.asset || !poa_name_ok(op->ASSET_CREATE.name))
            return POA_E_TX_MALFORMED;
        return op->ASSET_CREATE.max && op->ASSET_CREATE.supply <= op->ASSET_CREATE.max
                   ? POA_OK
                   : POA_E_TX_MINT;
    case POA_OP_ASSET_MINT:
        return op->ASSET_MINT.amount ? POA_OK : POA_E_TX_AMOUNT_ZERO;
    case POA_OP_ESCROW_OPEN:
        return check_escrow(&op->ESCROW_OPEN, cost);
    default:
        return POA_OK;
    }
}

/* --- by the state ----------------------------------------------------------------------------- */

static int judge_mint(const struct judge *j, const struct poa_op_mint *op)
{
    struct poa_st_asset a;
    if (poa_state_read_u32(j->l, j->o, POA_STATE_ASSET, op->asset, &a))
        return POA_E_TX_ASSET;
    if (!same(a.issuer, j->sender))
        return POA_E_TX_NOT_ALLOWED;
    return op->amount > a.max - a.supply ? POA_E_TX_MINT : POA_OK;
}

static bool is_one_of(const uint8_t who[32], const uint8_t a[32], const uint8_t b[32],
                      const uint8_t c[32])
{
    return same(who, a) || same(who, b) || same(who, c);
}

int poa_value_judge(const struct judge *j, uint16_t kind, const union op_record *op)
{
    struct poa_st_asset asset;
    struct poa_st_escrow e;
    int rc;
    switch (kind) {
    case POA_OP_PURCHASE:
        return poa_asset_judge(j, op->PURCHASE.asset, op->PURCHASE.amount);
    case POA_OP_ASSET_CREATE:
        return poa_state_read_u32(j->l, j->o, POA_STATE_ASSET, op->ASSET_CREATE.asset, &asset)
                   ? POA_OK
                   : POA_E_TX_EXISTS;
    case POA_OP_ASSET_MINT:
        return judge_mint(j, &op->ASSET_MINT);
    case POA_OP_ESCROW_OPEN:
        return poa_asset_judge(j, op->ESCROW_OPEN.asset, op->ESCROW_OPEN.amount);
    case POA_OP_ESCROW_RELEASE:
        rc = poa_escrow_find(j, op->ESCROW_RELEASE.escrow, &e);
        if (!rc && !is_one_of(j->sender, e.payer, e.confirmer, e.arbiter))
            rc = POA_E_TX_NOT_ALLOWED;
        return rc;
    case POA_OP_ESCROW_REFUND:
        rc = poa_escrow_find(j, op->ESCROW_REFUND.escrow, &e);
        if (!rc && !is_one_of(j->sender, e.payee, e.arbiter, e.arbiter))
            rc = POA_E_TX_NOT_ALLOWED;
        return rc;
    default:
        return POA_OK;
    }
}

/* --- what they do --------------------------------------------------------------------------------
 */

static void create(struct tx_run *r, const struct poa_op_asset *op)
{
    struct poa_st_asset a = {.supply = op->supply,
                             .max = op->max,
                             .decimals = op->decimals,
                             .name = op->name,
                             .meta = op->meta};
    uint8_t key[4];
    memcpy(a.issuer, r->j.sender, 32);
    poa_put_le32(key, op->asset);
    poa_exec_put(r->x, POA_STATE_ASSET, key, sizeof key, &a);
    poa_asset_pay(r, op->asset, r->j.sender, op->supply);
}

static void mint(struct tx_run *r, const struct poa_op_mint *op)
{
    struct poa_st_asset a;
    uint8_t key[4];
    poa_put_le32(key, op->asset);
    int e = poa_exec_read(r->x, POA_STATE_ASSET, key, sizeof key, &a);
    POA_ASSERT(e == POA_OK); /* judged */
    a.supply += op->amount;
    poa_exec_put(r->x, POA_STATE_ASSET, key, sizeof key, &a);
    poa_asset_pay(r, op->asset, op->to, op->amount);
}

static void purchase(struct tx_run *r, const struct poa_op_purchase *op)
{
    uint64_t commission = poa_share(op->amount, r->x->g->commerce_bp);
    poa_asset_take(r, op->asset, op->amount);
    poa_asset_pay(r, op->asset, op->to, op->amount - commission);
    poa_asset_pay(r, op->asset, r->x->g->treasury, commission);
}

static void open_escrow(struct tx_run *r, const struct poa_op_escrow *op)
{
    struct poa_st_escrow e = {.asset = op->asset,
                              .amount = op->amount,
                              .commission_bp = op->commerce ? r->x->g->commerce_bp : 0,
                              .height = r->x->header->height,
                              .terms = op->terms};
    uint8_t id[32];
    poa_object_id(r->j.tx, r->j.index, id);
    memcpy(e.payer, r->j.sender, 32);
    memcpy(e.payee, op->payee, 32);
    memcpy(e.confirmer, op->confirmer, 32);
    memcpy(e.arbiter, op->arbiter, 32);
    poa_asset_take(r, op->asset, op->amount);
    poa_escrow_put(r->x, id, &e, op->slots);
}

static void end_escrow(struct tx_run *r, const uint8_t id[32], bool to_payee)
{
    struct poa_st_escrow e;
    int rc = read_escrow(r->x, id, &e);
    POA_ASSERT(rc == POA_OK); /* judged */
    poa_escrow_settle(r->x, r, id, &e, to_payee);
}

void poa_value_apply(struct tx_run *r, uint16_t kind, const union op_record *op)
{
    switch (kind) {
    case POA_OP_PURCHASE:
        purchase(r, &op->PURCHASE);
        break;
    case POA_OP_ASSET_CREATE:
        create(r, &op->ASSET_CREATE);
        break;
    case POA_OP_ASSET_MINT:
        mint(r, &op->ASSET_MINT);
        break;
    case POA_OP_ESCROW_OPEN:
        open_escrow(r, &op->ESCROW_OPEN);
        break;
    case POA_OP_ESCROW_RELEASE:
        end_escrow(r, op->ESCROW_RELEASE.escrow, true);
        break;
    case POA_OP_ESCROW_REFUND:
        end_escrow(r, op->ESCROW_REFUND.escrow, false);
        break;
    default:
        break;
    }
}
