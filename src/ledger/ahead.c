/* Accounts of a block's transactions, looked for before they are needed.
 *
 * At a million accounts most of what a transaction reads is in no cache. Their
 * order is known, so the table's slot is asked for AHEAD accounts before its
 * use, and the entry that it points to some accounts later: the core waits for
 * several at once instead of one after the other. The state keys, which take a
 * hash each, are kept for the reads and writes to come. */
#include "ledger.h"

#define AHEAD 48u

static struct key_row *row_of(struct poa_ledger *l, const uint8_t address[32])
{
    return &l->key_row[poa_le32(address + 4) % KEY_ROWS];
}

static struct key_row *account_row(struct poa_ledger *l, const uint8_t address[32])
{
    struct key_row *r = row_of(l, address);
    if (!r->used || memcmp(r->address, address, 32)) {
        memcpy(r->address, address, 32);
        poa_state_key_from(&l->key_begun, POA_STATE_ACCOUNT, address, 32, r->key);
        r->used = true;
    }
    return r;
}

void poa_ledger_key(struct poa_ledger *l, enum poa_state_table table, const void *key, size_t key_n,
                    uint8_t out32[32])
{
    if (table == POA_STATE_ACCOUNT && key_n == 32)
        memcpy(out32, account_row(l, key)->key, 32);
    else
        poa_state_key_from(&l->key_begun, table, key, key_n, out32);
}

/* The next account in the order of execution; NULL: an operation without. */
static const uint8_t *next_account(struct ahead *a)
{
    struct poa_op op;
    if (a->ops.left && poa_op_next(&a->ops, &op))
        return op.kind == POA_OP_TRANSFER && op.body.n >= 32 ? op.body.p : NULL;
    const struct poa_tx_view *v = a->in->tx[a->tx++];
    a->ops = poa_list_begin(&v->tx.ops);
    return v->tx.sender;
}

void poa_ahead_fetch(struct poa_ledger *l, struct ahead *a)
{
    while (a->fetched < a->used + AHEAD && (a->tx < a->in->txs || a->ops.left)) {
        const uint8_t *address = next_account(a);
        struct key_row *r = address ? account_row(l, address) : NULL;
        if (r)
            poa_base_fetch_slot(&l->base, r->key);
        struct key_row **later = &a->row[a->fetched++ % AHEAD_LATER];
        if (*later)
            poa_base_fetch_entry(&l->base, (*later)->key);
        *later = r;
    }
}
