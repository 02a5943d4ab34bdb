/* The state tree. See ledger.h for its shape, proof.c for its hashes.
 *
 * A block's changes are merged in one pass over the sorted batch, so that each
 * inner node on their paths is made and hashed once, however many of them pass
 * it. For keys that the tree has, no comparison is needed on the way: their
 * bits lead to their leaf. A new key is first looked up, which gives the bit in
 * which it leaves the tree. */
#include "ledger.h"

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

uint32_t poa_tree_find(const struct tree *t, uint32_t root, const uint8_t key[32])
{
    while (!(root & LEAF_BIT)) {
        const struct inner *n = inner_at(t, root);
        root = n->child[key_bit(key, n->bit)];
    }
    return root; /* NIL has the leaf bit too */
}

static void free_node(struct tree *t, uint32_t node)
{
    if (node & LEAF_BIT)
        poa_pool_give(&t->leaf, node & ~LEAF_BIT);
    else
        poa_pool_give(&t->inner, node);
}

void poa_tree_free_nodes(struct tree *t, const struct id_block *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        free_node(t, b->id[i]);
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

/* Next node of POOL for OP, named in its list; NIL. */
static uint32_t take_node(struct tree_op *op, struct pool *pool, struct pool_hand *hand,
                          uint32_t leaf_bit)
{
    uint32_t i = poa_pool_take(pool, hand);
    if (i != NIL && !poa_id_push(op->l, &op->chunks, &op->made, i | leaf_bit)) {
        hand->id[hand->n++] = i; /* where it was */
        i = NIL;
    }
    op->full |= i == NIL;
    return i;
}

static void note_replaced(struct tree_op *op, uint32_t node)
{
    if (!poa_id_push(op->l, &op->chunks, &op->replaced, node))
        op->full = true;
}

static void leaf_value(const struct tree_op *op, const uint8_t key[32], struct poa_slice value,
                       struct subtree *out)
{
    uint8_t claim[1 + POA_LEAF_INLINE_MAX];
    poa_leaf_hash_from(&op->l->leaf_begun, key, claim, poa_leaf_claim(value, claim), out->hash);
}

static void empty(struct subtree *out)
{
    *out = (struct subtree){.node = NIL};
}

static void make_leaf(struct tree_op *op, const uint8_t key[32], struct poa_slice value,
                      struct subtree *out)
{
    uint32_t i =
        op->range ? op->range->leaf++ : take_node(op, &op->l->tree.leaf, &op->leaf, LEAF_BIT);
    if (i == NIL) {
        empty(out);
        return;
    }
    memcpy(leaf_at(&op->l->tree, i)->key, key, 32);
    leaf_value(op, key, value, out);
    out->node = i | LEAF_BIT;
}

/* OUT may be LEFT or RIGHT. */
static void join(struct tree_op *op, unsigned bit, const struct subtree *left,
                 const struct subtree *right, struct subtree *out)
{
    struct tree *t = &op->l->tree;
    if (left->node == NIL || right->node == NIL || op->full) {
        *out = left->node == NIL ? *right : *left;
        return;
    }
    uint32_t i = op->range ? op->range->inner++ : take_node(op, &t->inner, &op->inner, 0);
    if (i == NIL) {
        empty(out);
        return;
    }
    struct inner *n = inner_at(t, i);
    memcpy(n->hash[0], left->hash, 32);
    memcpy(n->hash[1], right->hash, 32);
    n->child[0] = left->node;
    n->child[1] = right->node;
    n->bit = (uint8_t)bit;
    poa_node_hash_from(&op->l->node_begun, n->bit, n->hash[0], n->hash[1], out->hash);
    out->node = i;
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

static void build(struct tree_op *op, const struct change *c, uint32_t n, struct subtree *out)
{
    struct subtree right;
    if (!n || op->full) {
        empty(out);
    } else if (n == 1) {
        if (c->value_n)
            make_leaf(op, c->key, poa_slice(c->value, c->value_n), out);
        else
            empty(out);
    } else {
        unsigned bit = poa_key_diff(c[0].key, c[n - 1].key);
        uint32_t m = split(c, n, bit);
        build(op, c, m, out);
        build(op, c + m, n - m, &right);
        join(op, bit, out, &right, out);
    }
}

/* NODE is a leaf. */
static void merge_leaf(struct tree_op *op, const struct subtree *node, const struct change *c,
                       uint32_t n, struct subtree *out)
{
    struct subtree other;
    if (!n || op->full) {
        *out = *node;
        return;
    }
    if (n == 1 && c->diverge == 256) { /* this very key */
        if (c->value_n) {
            out->node = node->node;
            leaf_value(op, c->key, poa_slice(c->value, c->value_n), out);
        } else {
            note_replaced(op, node->node);
            empty(out);
        }
        return;
    }
    const uint8_t *key = leaf_at(&op->l->tree, node->node)->key;
    const uint8_t *low = memcmp(key, c[0].key, 32) < 0 ? key : c[0].key;
    const uint8_t *high = memcmp(key, c[n - 1].key, 32) > 0 ? key : c[n - 1].key;
    unsigned bit = poa_key_diff(low, high);
    uint32_t m = split(c, n, bit);
    if (key_bit(key, bit)) {
        build(op, c, m, &other);
        merge_leaf(op, node, c + m, n - m, out);
        join(op, bit, &other, out, out);
    } else {
        build(op, c + m, n - m, &other);
        merge_leaf(op, node, c, m, out);
        join(op, bit, out, &other, out);
    }
}

static void child_of(const struct inner *n, int side, struct subtree *out)
{
    out->node = n->child[side];
    memcpy(out->hash, n->hash[side], 32);
}

static void fetch_inner(const struct tree *t, uint32_t node)
{
    const struct inner *n = inner_at(t, node);
    __builtin_prefetch(n);
    __builtin_prefetch(&n->child);
}

/* Follows the N changes down from NODE together, a level at a time, so that
 * their nodes come from memory at the same time; the merge then finds all in
 * the cache. */
#define WALK 32u
static void walk(const struct tree_op *op, uint32_t node, const struct change *c, uint32_t n)
{
    const struct tree *t = &op->l->tree;
    uint32_t at[WALK], which[WALK], left = n;
    for (uint32_t i = 0; i < n; i++) {
        at[i] = node;
        which[i] = i;
    }
    while (left) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < left; i++) {
            const struct inner *in = inner_at(t, at[i]);
            uint32_t next = in->child[key_bit(c[which[i]].key, in->bit)];
            if (next & LEAF_BIT)
                continue;
            fetch_inner(t, next);
            at[kept] = next;
            which[kept++] = which[i];
        }
        left = kept;
    }
}

/* The update of one tree on several threads: one goes down from the root twice,
 * on the same way. First it lists the parts, subtrees with few enough changes or
 * places where it is not two subtrees below a node; when they are done it makes
 * the nodes above them. */
#define PLAN_PARTS POA_TREE_PARTS
struct tree_plan {
    bool listing;
    uint32_t grain; /* changes of a part */
    uint32_t parts, taken;
    struct {
        struct tree_op op;
        struct subtree node, out;
        const struct change *c;
        uint32_t n;
    } part[PLAN_PARTS];
};

/* Whether the plan takes care of these changes: lists the part, or OUT is what
 * became of it. A part that found no room in the list is merged on the way up. */
static bool planned(struct tree_op *op, const struct subtree *node, const struct change *c,
                    uint32_t n, struct subtree *out)
{
    struct tree_plan *p = op->plan;
    if (n > p->grain && !(node->node & LEAF_BIT))
        return false;
    if (!p->listing && p->taken == p->parts)
        return false;
    if (!p->listing) {
        *out = p->part[p->taken++].out;
        return true;
    }
    *out = *node;
    if (p->parts < PLAN_PARTS) {
        p->part[p->parts].node = *node;
        p->part[p->parts].c = c;
        p->part[p->parts++].n = n;
    }
    return true;
}

static void merge(struct tree_op *op, const struct subtree *node, const struct change *c,
                  uint32_t n, struct subtree *out)
{
    if (!n || op->full) {
        *out = *node;
        return;
    }
    if (op->plan && planned(op, node, c, n, out))
        return;
    if (node->node == NIL) {
        build(op, c, n, out);
        return;
    }
    if (node->node & LEAF_BIT) {
        merge_leaf(op, node, c, n, out);
        return;
    }
    if (n <= WALK && c >= op->walked) {
        walk(op, node->node, c, n);
        op->walked = c + n;
    }
    const struct inner *in = inner_at(&op->l->tree, node->node);
    struct subtree left, right;
    unsigned first = in->bit;
    uint32_t leaver = 0;
    for (uint32_t i = 0; i < n; i++)
        if (c[i].diverge < first) {
            first = c[i].diverge;
            leaver = i;
        }
    uint32_t m = split(c, n, first);
    if (first < in->bit) {
        /* Some leave the tree above this node, which goes where they do not. */
        bool goes_left = key_bit(c[leaver].key, first);
        if (op->plan && op->plan->listing) {
            merge(op, node, goes_left ? c : c + m, goes_left ? m : n - m, out);
            return;
        }
        if (goes_left) {
            merge(op, node, c, m, &left);
            build(op, c + m, n - m, &right);
        } else {
            build(op, c, m, &left);
            merge(op, node, c + m, n - m, &right);
        }
        join(op, first, &left, &right, out);
        return;
    }
    child_of(in, 0, &left);
    child_of(in, 1, &right);
    merge(op, &left, c, m, &left);
    merge(op, &right, c + m, n - m, &right);
    if (op->plan && op->plan->listing)
        return;
    note_replaced(op, node->node);
    join(op, first, &left, &right, out);
}

size_t poa_tree_plan_bytes(void)
{
    return sizeof(struct tree_plan);
}

static void merge_part(void *arg, uint32_t i)
{
    struct tree_plan *p = arg;
    merge(&p->part[i].op, &p->part[i].node, p->part[i].c, p->part[i].n, &p->part[i].out);
}

/* What PART made and took becomes OP's. */
static void add_part(struct tree_op *op, struct tree_op *part)
{
    struct id_block **made = &part->made, **replaced = &part->replaced;
    struct chunk **chunks = &part->chunks;
    while (*made)
        made = &(*made)->next;
    while (*replaced)
        replaced = &(*replaced)->next;
    while (*chunks)
        chunks = &(*chunks)->next;
    *made = op->made;
    *replaced = op->replaced;
    *chunks = op->chunks;
    op->made = part->made;
    op->replaced = part->replaced;
    op->chunks = part->chunks;
    op->full |= part->full;
    poa_pool_give_hand(&op->l->tree.inner, &part->inner);
    poa_pool_give_hand(&op->l->tree.leaf, &part->leaf);
}

/* Merges the parts on several threads, for OP to make what is above them. */
static void merge_parts(struct tree_op *op, const struct subtree *root, const struct change *c,
                        uint32_t n)
{
    struct poa_ledger *l = op->l;
    struct tree_plan *plan = op->plan = l->plan;
    struct subtree ignored;
    *plan = (struct tree_plan){.listing = true, .grain = n / (PLAN_PARTS / 4)};
    merge(op, root, c, n, &ignored);
    plan->listing = false;
    for (uint32_t i = 0; i < plan->parts; i++)
        plan->part[i].op = (struct tree_op){.l = l};
    l->config.parallel(l->config.parallel_ctx, merge_part, plan, plan->parts);
    for (uint32_t i = 0; i < plan->parts; i++)
        add_part(op, &plan->part[i].op);
}

int poa_tree_update(struct poa_ledger *l, struct overlay *o, const struct change *c, uint32_t n)
{
    struct tree_op op = {.l = l, .chunks = o->chunks};
    struct subtree root;
    if (l->plan && n >= POA_PARALLEL_LEAST)
        merge_parts(&op, &o->root, c, n);
    merge(&op, &o->root, c, n, &root);
    o->chunks = op.chunks;
    o->made = op.made;
    o->replaced = op.replaced;
    poa_pool_give_hand(&l->tree.inner, &op.inner);
    poa_pool_give_hand(&l->tree.leaf, &op.leaf);
    if (op.full)
        return POA_E_FULL;
    o->root = root;
    return POA_OK;
}

/* --- from a whole base ----------------------------------------------------------------------- */

static void build_refs(struct tree_op *op, const uint32_t *ref, uint32_t n, struct subtree *out)
{
    const struct base *b = &op->l->base;
    struct subtree right;
    if (!n || op->full) {
        empty(out);
        return;
    }
    const struct entry *first = base_entry(b, ref[0]);
    if (n == 1) {
        make_leaf(op, first->key, poa_slice(first->data + first->key_n, first->value_n), out);
        return;
    }
    unsigned bit = poa_key_diff(first->key, base_entry(b, ref[n - 1])->key);
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (key_bit(base_entry(b, ref[mid])->key, bit))
            hi = mid;
        else
            lo = mid + 1;
    }
    build_refs(op, ref, lo, out);
    build_refs(op, ref + lo, n - lo, &right);
    join(op, bit, out, &right, out);
}

/* The tree in parts by the top bits of the keys, which are built on any threads.
 * K leaves need K - 1 inner nodes: so each part knows which it may use, and
 * leaves the last one of its share to the nodes above the parts. */
#define PART_BITS 6u
#define PARTS     (1u << PART_BITS)

struct part {
    uint32_t first, n; /* of the references */
    uint32_t spare;    /* inner node */
    struct subtree tree;
    bool damaged;
};
struct whole {
    struct poa_ledger *l;
    const uint32_t *ref;
    struct part part[PARTS];
};

/* That the entries' keys are the hashes of what they are about. */
static bool keys_right(const struct poa_ledger *l, const uint32_t *ref, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct entry *e = base_entry(&l->base, ref[i]);
        uint8_t key[32];
        poa_state_key_from(&l->key_begun, (enum poa_state_table)e->table, e->data, e->key_n, key);
        if (memcmp(key, e->key, 32))
            return false;
    }
    return true;
}

static void build_part(void *arg, uint32_t i)
{
    struct whole *w = arg;
    struct part *p = &w->part[i];
    struct id_range range = {p->first, p->first};
    struct tree_op op = {.l = w->l, .range = &range};
    p->damaged = !keys_right(w->l, w->ref + p->first, p->n);
    build_refs(&op, w->ref + p->first, p->n, &p->tree);
    p->spare = range.inner;
}

/* Parts LO to HI - 1, which agree on the bits before BIT. */
static void join_parts(struct tree_op *op, const struct whole *w, uint32_t lo, uint32_t hi,
                       unsigned bit, uint32_t *spare, struct subtree *out)
{
    struct subtree right;
    if (hi - lo == 1) {
        *out = w->part[lo].tree;
        return;
    }
    uint32_t mid = lo + (hi - lo) / 2;
    join_parts(op, w, lo, mid, bit + 1, spare, out);
    join_parts(op, w, mid, hi, bit + 1, spare, &right);
    if (out->node != NIL && right.node != NIL) {
        while (!w->part[*spare].n)
            ++*spare;
        op->range->inner = w->part[(*spare)++].spare;
    }
    join(op, bit, out, &right, out);
}

int poa_tree_build(struct poa_ledger *l, const uint32_t *ref, uint32_t n, struct subtree *out)
{
    struct whole w = {.l = l, .ref = ref};
    struct id_range range = {0};
    struct tree_op op = {.l = l, .range = &range};
    uint32_t spare = 0;
    for (uint32_t i = 0, at = 0; i < PARTS; i++) {
        w.part[i].first = at;
        while (at < n && base_entry(&l->base, ref[at])->key[0] >> (8 - PART_BITS) == i)
            at++;
        w.part[i].n = at - w.part[i].first;
    }
    l->tree.inner.used = l->tree.leaf.used = n;
    if (l->config.parallel && n > POA_PARALLEL_LEAST)
        l->config.parallel(l->config.parallel_ctx, build_part, &w, PARTS);
    else
        for (uint32_t i = 0; i < PARTS; i++)
            build_part(&w, i);
    join_parts(&op, &w, 0, PARTS, 0, &spare, out);
    for (; spare < PARTS; spare++) /* one is left when there is any */
        if (w.part[spare].n)
            poa_pool_give(&l->tree.inner, w.part[spare].spare);
    for (uint32_t i = 0; i < PARTS; i++)
        if (w.part[i].damaged)
            return POA_E_STORE_CORRUPT;
    return POA_OK;
}

/* --- proofs ------------------------------------------------------------------------------------
 */

int poa_ledger_prove(const struct poa_ledger *l, enum poa_state_table table, const void *key,
                     size_t key_n, struct poa_writer *out)
{
    const struct tree *t = &l->tree;
    uint8_t skey[32];
    uint16_t steps = 0;
    uint32_t node = l->base_root.node;
    poa_state_key_from(&l->key_begun, table, key, key_n, skey);
    for (uint32_t at = node; !(at & LEAF_BIT); steps++)
        at = inner_at(t, at)->child[key_bit(skey, inner_at(t, at)->bit)];
    poa_write_u16(out, steps);
    while (!(node & LEAF_BIT)) {
        const struct inner *n = inner_at(t, node);
        int side = key_bit(skey, n->bit);
        poa_write_u8(out, n->bit);
        poa_write(out, n->hash[!side], 32);
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
