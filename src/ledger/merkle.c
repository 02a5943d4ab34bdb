/* The state tree. See internal.h for its shape, proof.c for its hashes.
 *
 * A block's changes are merged in one pass over the sorted batch, so that each
 * inner node on their paths is made and hashed once, however many of them pass
 * it. For keys that the tree has, no comparison is needed on the way: their
 * bits lead to their leaf. A new key is first looked up, which gives the bit in
 * which it leaves the tree. */
#include "internal.h"

unsigned poa_key_diff(const uint8_t a[32], const uint8_t b[32])
{
    for (unsigned i = 0; i < 32; i += 8) {
        uint64_t x = poa_be64(a + i) ^ poa_be64(b + i);
        if (x)
            return i * 8 + (unsigned)__builtin_clzll(x);
    }
    return 256;
}

static struct inner *inner_at(const struct tree *t, uint32_t node)
{
    return pool_at(&t->inner, node);
}

static struct leaf *leaf_at(const struct tree *t, uint32_t node)
{
    return pool_at(&t->leaf, node & ~LEAF_BIT);
}

const uint8_t *poa_tree_hash(const struct tree *t, uint32_t node)
{
    static const uint8_t empty[32];
    return node == NIL         ? empty
           : (node & LEAF_BIT) ? leaf_at(t, node)->hash
                               : inner_at(t, node)->hash;
}

uint32_t poa_tree_find(const struct tree *t, uint32_t root, const uint8_t key[32])
{
    while (!(root & LEAF_BIT)) {
        const struct inner *n = inner_at(t, root);
        root = n->child[key_bit(key, n->bit)];
    }
    return root; /* NIL has the leaf bit too */
}

void poa_tree_free_node(struct tree *t, uint32_t node)
{
    if (node & LEAF_BIT)
        poa_pool_give(&t->leaf, node & ~LEAF_BIT);
    else
        poa_pool_give(&t->inner, node);
}

/* --- sorting -------------------------------------------------------------------------- */

static int change_less(const struct change *a, const struct change *b)
{
    return a->prefix != b->prefix ? a->prefix < b->prefix : memcmp(a->key, b->key, 32) < 0;
}

void poa_changes_sort(struct change *c, struct change *scratch, uint32_t n)
{
    /* Radix by the first 64 bits, then insertion for what shares them: nobody
     * can grind many keys that do. */
    if (n > 96) {
        struct change *from = c, *to = scratch;
        for (unsigned shift = 0; shift < 64; shift += 8) {
            uint32_t at[257] = {0};
            for (uint32_t i = 0; i < n; i++)
                at[(from[i].prefix >> shift & 0xff) + 1]++;
            for (unsigned k = 1; k < 256; k++)
                at[k] += at[k - 1];
            for (uint32_t i = 0; i < n; i++)
                to[at[from[i].prefix >> shift & 0xff]++] = from[i];
            struct change *swap = from;
            from = to;
            to = swap;
        }
    }
    for (uint32_t i = 1; i < n; i++) {
        struct change x = c[i];
        uint32_t k = i;
        for (; k && change_less(&x, &c[k - 1]); k--)
            c[k] = c[k - 1];
        c[k] = x;
    }
}

/* --- making nodes ------------------------------------------------------------------------ */

static uint32_t note_made(struct tree_op *op, uint32_t node)
{
    if (op->o && !poa_id_push(op->l, op->o, &op->o->made, node)) {
        poa_tree_free_node(&op->l->tree, node);
        op->full = true;
        return NIL;
    }
    return node;
}

static void note_replaced(struct tree_op *op, uint32_t node)
{
    if (!op->o)
        poa_tree_free_node(&op->l->tree, node);
    else if (!poa_id_push(op->l, op->o, &op->o->replaced, node))
        op->full = true;
}

static uint32_t make_leaf(struct tree_op *op, const uint8_t key[32], struct poa_slice value)
{
    uint8_t claim[1 + POA_LEAF_INLINE_MAX];
    uint32_t i = poa_pool_take(&op->l->tree.leaf);
    if (i == NIL) {
        op->full = true;
        return NIL;
    }
    struct leaf *n = leaf_at(&op->l->tree, i);
    memcpy(n->key, key, 32);
    poa_leaf_hash(key, claim, poa_leaf_claim(value, claim), n->hash);
    return note_made(op, i | LEAF_BIT);
}

static uint32_t join(struct tree_op *op, unsigned bit, uint32_t left, uint32_t right)
{
    struct tree *t = &op->l->tree;
    if (left == NIL)
        return right;
    if (right == NIL || op->full)
        return left;
    uint32_t i = poa_pool_take(&t->inner);
    if (i == NIL) {
        op->full = true;
        return NIL;
    }
    struct inner *n = inner_at(t, i);
    n->child[0] = left;
    n->child[1] = right;
    n->bit = (uint8_t)bit;
    poa_node_hash(n->bit, poa_tree_hash(t, left), poa_tree_hash(t, right), n->hash);
    return note_made(op, i);
}

/* --- merging ------------------------------------------------------------------------------ */

/* First of the sorted changes with BIT set; all agree on the bits before it. */
static uint32_t split(const struct change *c, uint32_t n, unsigned bit)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (key_bit(c[mid].key, bit))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static uint32_t build(struct tree_op *op, const struct change *c, uint32_t n)
{
    if (!n || op->full)
        return NIL;
    if (n == 1)
        return c->value_n ? make_leaf(op, c->key, poa_slice(c->value, c->value_n)) : NIL;
    unsigned bit = poa_key_diff(c[0].key, c[n - 1].key);
    uint32_t m = split(c, n, bit);
    uint32_t left = build(op, c, m);
    return join(op, bit, left, build(op, c + m, n - m));
}

static uint32_t merge_leaf(struct tree_op *op, uint32_t node, const struct change *c, uint32_t n)
{
    if (!n || op->full)
        return node;
    const uint8_t *key = leaf_at(&op->l->tree, node)->key;
    const uint8_t *low = memcmp(key, c[0].key, 32) < 0 ? key : c[0].key;
    const uint8_t *high = memcmp(key, c[n - 1].key, 32) > 0 ? key : c[n - 1].key;
    unsigned bit = poa_key_diff(low, high);
    if (bit == 256) { /* this very leaf */
        note_replaced(op, node);
        return build(op, c, 1);
    }
    uint32_t m = split(c, n, bit), left, right;
    if (key_bit(key, bit)) {
        left = build(op, c, m);
        right = merge_leaf(op, node, c + m, n - m);
    } else {
        left = merge_leaf(op, node, c, m);
        right = build(op, c + m, n - m);
    }
    return join(op, bit, left, right);
}

static uint32_t merge(struct tree_op *op, uint32_t node, const struct change *c, uint32_t n)
{
    if (!n || op->full)
        return node;
    if (node == NIL)
        return build(op, c, n);
    if (node & LEAF_BIT)
        return merge_leaf(op, node, c, n);
    const struct inner *in = inner_at(&op->l->tree, node);
    unsigned first = in->bit;
    uint32_t leaver = 0, m, left, right;
    for (uint32_t i = 0; i < n; i++)
        if (c[i].diverge < first) {
            first = c[i].diverge;
            leaver = i;
        }
    m = split(c, n, first);
    if (first < in->bit) {
        /* Some leave the tree above this node, which goes where they do not. */
        if (key_bit(c[leaver].key, first)) {
            left = merge(op, node, c, m);
            right = build(op, c + m, n - m);
        } else {
            left = build(op, c, m);
            right = merge(op, node, c + m, n - m);
        }
        return join(op, first, left, right);
    }
    left = merge(op, in->child[0], c, m);
    right = merge(op, in->child[1], c + m, n - m);
    note_replaced(op, node);
    return join(op, first, left, right);
}

uint32_t poa_tree_update(struct tree_op *op, uint32_t root, struct change *c, uint32_t n)
{
    return merge(op, root, c, n);
}

/* --- from a whole base ----------------------------------------------------------------------- */

static uint32_t build_refs(struct tree_op *op, const uint32_t *ref, uint32_t n)
{
    const struct base *b = &op->l->base;
    if (!n || op->full)
        return NIL;
    const uint8_t *first = base_entry(b, ref[0])->key;
    if (n == 1) {
        const struct entry *e = base_entry(b, ref[0]);
        return make_leaf(op, first, poa_slice(e->data + e->key_n, e->value_n));
    }
    unsigned bit = poa_key_diff(first, base_entry(b, ref[n - 1])->key);
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (key_bit(base_entry(b, ref[mid])->key, bit))
            hi = mid;
        else
            lo = mid + 1;
    }
    uint32_t left = build_refs(op, ref, lo);
    return join(op, bit, left, build_refs(op, ref + lo, n - lo));
}

uint32_t poa_tree_build(struct poa_ledger *l, const uint32_t *ref, uint32_t n, bool *full)
{
    struct tree_op op = {.l = l};
    uint32_t root = build_refs(&op, ref, n);
    *full = op.full;
    return root;
}

/* --- proofs ------------------------------------------------------------------------------------
 */

int poa_ledger_prove(const struct poa_ledger *l, enum poa_state_table table, const void *key,
                     size_t key_n, struct poa_writer *out)
{
    const struct tree *t = &l->tree;
    uint8_t skey[32];
    uint16_t steps = 0;
    uint32_t node = l->base_root;
    poa_state_key(table, key, key_n, skey);
    for (uint32_t at = node; !(at & LEAF_BIT); steps++)
        at = inner_at(t, at)->child[key_bit(skey, inner_at(t, at)->bit)];
    poa_write_u16(out, steps);
    while (!(node & LEAF_BIT)) {
        const struct inner *n = inner_at(t, node);
        int side = key_bit(skey, n->bit);
        poa_write_u8(out, n->bit);
        poa_write(out, poa_tree_hash(t, n->child[!side]), 32);
        node = n->child[side];
    }
    if (node != NIL && memcmp(leaf_at(t, node)->key, skey, 32)) {
        uint8_t claim[1 + POA_LEAF_INLINE_MAX];
        const struct entry *e = poa_base_find(&l->base, leaf_at(t, node)->key);
        POA_ASSERT(e);
        poa_write(out, e->key, 32);
        poa_write(out, claim, poa_leaf_claim(poa_slice(e->data + e->key_n, e->value_n), claim));
    }
    return out->overflow ? POA_E_BUFFER : POA_OK;
}
