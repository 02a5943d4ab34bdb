/* Checkpoints of the base, restoring from them, and the audit of the supply. */
#include "ledger.h"

int poa_ledger_changes(struct poa_ledger *l, int (*visit)(void *ctx, const struct poa_entry *e),
                       void *ctx)
{
    const struct base *b = &l->base;
    int rc = POA_OK;
    for (uint32_t ref = b->dirty_head; !rc && ref != DIRTY_END; ref = base_entry(b, ref)->dirty) {
        const struct entry *e = base_entry(b, ref);
        struct poa_entry out = {.value = {NULL, 0}};
        if (e->value_n == ENTRY_MOVED)
            continue; /* its successor is in the list too */
        memcpy(out.key, e->key, 32);
        if (e->value_n != ENTRY_GONE)
            out.value = poa_slice(&e->table, 2 + (size_t)e->key_n + e->value_n);
        rc = visit(ctx, &out);
    }
    return rc;
}

void poa_ledger_checkpointed(struct poa_ledger *l)
{
    poa_ledger_write_begin(l);
    poa_base_checkpointed(&l->base);
    poa_ledger_write_end(l);
}

int poa_entry_leaf(const struct poa_entry *e, uint8_t out32[32])
{
    uint8_t key[32], claim[1 + POA_LEAF_INLINE_MAX];
    if (e->value.n < 3 || e->value.n - 2 <= e->value.p[1])
        return POA_E_STORE_CORRUPT;
    struct poa_slice value = e->value;
    size_t key_n = value.p[1];
    poa_state_key((enum poa_state_table)value.p[0], value.p + 2, key_n, key);
    if (memcmp(key, e->key, 32) != 0)
        return POA_E_STORE_CORRUPT;
    size_t n = poa_leaf_claim(poa_slice(value.p + 2 + key_n, value.n - 2 - key_n), claim);
    poa_hash2(POA_DOMAIN_STATE_LEAF, key, 32, claim, n, out32);
    return POA_OK;
}

void poa_tree_node(uint8_t bit, const uint8_t left32[32], const uint8_t right32[32],
                   uint8_t out32[32])
{
    uint8_t in[33];
    in[0] = bit;
    memcpy(in + 1, left32, 32);
    poa_hash2(POA_DOMAIN_STATE_NODE, in, sizeof in, right32, 32, out32);
}

/* --- restoring ----------------------------------------------------------------------- */

int poa_ledger_restore_begin(struct poa_ledger *l)
{
    if (l->overlays)
        return POA_E_INVALID;
    poa_ledger_write_begin(l);
    poa_base_clear(l);
    poa_pool_clear(l, &l->tree.inner);
    poa_pool_clear(l, &l->tree.leaf);
    l->base_root = (struct subtree){.node = NIL};
    int e = poa_base_init(l);
    poa_ledger_write_end(l);
    l->restore_n = 0;
    l->restoring = e == POA_OK;
    return e;
}

static int note_ref(struct poa_ledger *l, uint32_t ref)
{
    if (l->restore_n == l->restore_cap) {
        uint32_t cap = l->restore_cap ? 2 * l->restore_cap : 65536;
        uint32_t *more = poa_mem_new(&l->config.alloc, cap * sizeof *more);
        if (!more)
            return POA_E_NO_MEMORY;
        if (l->restore_n)
            memcpy(more, l->restore_ref, l->restore_n * sizeof *more);
        poa_mem_free(&l->config.alloc, l->restore_ref);
        l->restore_ref = more;
        l->restore_cap = cap;
    }
    l->restore_ref[l->restore_n++] = ref;
    return POA_OK;
}

int poa_ledger_restore_put(struct poa_ledger *l, const struct poa_entry *e)
{
    union { /* every record of the state */
#define MEMBER_ROW(name, number, record, key) struct poa_##record name##_;
        POA_STATE_TABLES(MEMBER_ROW)
#undef MEMBER_ROW
    } decoded;
    if (!l->restoring || e->value.n < 3 || e->value.n - 2 <= e->value.p[1])
        return POA_E_STORE_CORRUPT;
    enum poa_state_table table = (enum poa_state_table)e->value.p[0];
    struct poa_slice key = poa_slice(e->value.p + 2, e->value.p[1]);
    struct poa_slice value = poa_slice(key.p + key.n, e->value.n - 2 - key.n);
    const struct poa_record *record = poa_state_record(table);
    if (!record || value.n > POA_VALUE_MAX || poa_record_decode(record, value, &decoded) ||
        poa_base_find(&l->base, e->key))
        return POA_E_STORE_CORRUPT;
    int rc = poa_base_reserve(l, 1, entry_granules((uint32_t)key.n, (uint32_t)value.n));
    return rc ? rc : note_ref(l, poa_base_put(&l->base, e->key, (uint8_t)table, key, value));
}

/* Heapsort by key; only when the entries did not come in order. */
static void sift(const struct base *b, uint32_t *ref, uint32_t at, uint32_t n)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n &&
            memcmp(base_entry(b, ref[child])->key, base_entry(b, ref[child + 1])->key, 32) < 0)
            child++;
        if (memcmp(base_entry(b, ref[at])->key, base_entry(b, ref[child])->key, 32) >= 0)
            return;
        uint32_t swap = ref[at];
        ref[at] = ref[child];
        ref[child] = swap;
    }
}

static void sort_refs(const struct base *b, uint32_t *ref, uint32_t n)
{
    uint32_t i = 1;
    while (i < n && memcmp(base_entry(b, ref[i - 1])->key, base_entry(b, ref[i])->key, 32) < 0)
        i++;
    if (i >= n)
        return;
    for (uint32_t k = n / 2; k-- > 0;)
        sift(b, ref, k, n);
    for (uint32_t end = n; end-- > 1;) {
        uint32_t swap = ref[0];
        ref[0] = ref[end];
        ref[end] = swap;
        sift(b, ref, 0, end);
    }
}

int poa_ledger_restore_end(struct poa_ledger *l, const uint8_t root32[32])
{
    struct poa_st_global g;
    if (!l->restoring)
        return POA_E_INVALID;
    l->restoring = false;
    sort_refs(&l->base, l->restore_ref, l->restore_n);
    int e = poa_pool_reserve(l, &l->tree.leaf, l->restore_n);
    if (!e)
        e = poa_pool_reserve(l, &l->tree.inner, l->restore_n);
    if (e)
        return e;
    poa_ledger_write_begin(l);
    e = poa_tree_build(l, l->restore_ref, l->restore_n, &l->base_root);
    poa_base_checkpointed(&l->base);
    poa_ledger_write_end(l);
    poa_mem_free(&l->config.alloc, l->restore_ref);
    l->restore_ref = NULL;
    l->restore_n = l->restore_cap = 0;
    if (e || (root32 && memcmp(l->base_root.hash, root32, 32)) ||
        poa_state_read(l, NULL, POA_STATE_GLOBAL, NULL, 0, &g))
        return POA_E_STORE_CORRUPT;
    return poa_ledger_reserve(l);
}

/* --- audit ------------------------------------------------------------------------------ */

/* Of every asset the supply must equal what balances and escrows hold. All are
 * added up at once, each with a weight of its own that the network cannot guess:
 * the sums agree by chance once in 2^64. */
struct sum {
    uint64_t balances, held, escrowed, escrows;
    uint64_t minted, owned; /* of the other assets, weighted */
    uint64_t salt;
    bool overflow;
};

static uint64_t weight(const struct sum *s, uint32_t asset)
{
    uint64_t z = s->salt + (asset + 1) * 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) | 1;
}

static int add_escrow(struct sum *s, struct poa_slice value)
{
    struct poa_st_escrow e;
    int rc = poa_st_escrow_decode(value, &e);
    if (rc)
        return rc;
    s->escrows++;
    if (e.asset)
        s->owned += weight(s, e.asset) * e.amount;
    else
        s->escrowed += e.amount;
    return POA_OK;
}

static int add_entry(void *ctx, const struct entry *e)
{
    struct sum *s = ctx;
    struct poa_slice value = poa_slice(e->data + e->key_n, e->value_n);
    struct poa_st_account a;
    struct poa_st_outgoing out;
    struct poa_st_asset asset;
    struct poa_st_balance b;
    int rc = POA_OK;
    if (e->table == POA_STATE_ACCOUNT) {
        rc = poa_st_account_decode(value, &a);
        s->overflow |= !rc && a.balance > UINT64_MAX - s->balances;
        s->balances += rc ? 0 : a.balance;
    } else if (e->table == POA_STATE_OUTGOING) {
        rc = poa_st_outgoing_decode(value, &out);
        s->held += rc ? 0 : out.held; /* less than g.held, or the comparison fails */
    } else if (e->table == POA_STATE_ASSET) {
        rc = poa_st_asset_decode(value, &asset);
        s->minted += rc ? 0 : weight(s, poa_le32(e->data)) * asset.supply;
    } else if (e->table == POA_STATE_BALANCE) {
        rc = poa_st_balance_decode(value, &b);
        s->owned += rc ? 0 : weight(s, poa_le32(e->data)) * b.balance;
    } else if (e->table == POA_STATE_ESCROW) {
        rc = add_escrow(s, value);
    }
    return rc;
}

int poa_ledger_audit(const struct poa_ledger *l, bool *conserved)
{
    struct sum s = {.salt = l->config.salt};
    struct poa_st_global g;
    int e = poa_state_read(l, NULL, POA_STATE_GLOBAL, NULL, 0, &g);
    if (!e)
        e = poa_base_visit(&l->base, add_entry, &s);
    *conserved = !e && !s.overflow && g.burned <= g.issued && s.held == g.held &&
                 s.escrowed == g.escrowed && s.escrows == g.escrows && s.minted == s.owned &&
                 s.balances + s.held + s.escrowed == g.genesis_supply + (g.issued - g.burned);
    return e;
}
