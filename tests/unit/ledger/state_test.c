/* Overlays, forks, proofs, checkpoints, memory. */
#include "support.h"

static struct chain c;
static struct body b;

static void open_chain(void)
{
    struct setup s = setup_default();
    chain_open(&c, &s);
    body_reset(&b);
}

static void close_chain(void)
{
    chain_close(&c);
}

TestSuite(state, .init = open_chain, .fini = close_chain);

static poa_state_id child(poa_state_id parent, uint64_t view, uint64_t time, const struct body *txs)
{
    struct poa_block_result r;
    struct poa_slice body;
    poa_state_id s;
    cr_assert_eq(poa_ledger_reserve(c.l), POA_OK);
    c.view = view - 1;
    struct poa_header h = header_next(&c, parent, txs, time, &body);
    int e = block_try(&c, parent, &h, body, txs, &s, &r);
    cr_assert_eq(e, POA_OK, "%s", poa_error_name(e));
    return s;
}

static uint64_t balance_in(poa_state_id s, const uint8_t address[32])
{
    struct poa_st_account a = {.balance = 0};
    cr_assert(!poa_ledger_read(c.l, s, POA_STATE_ACCOUNT, address, 32, &a) || !a.balance);
    return a.balance;
}

Test(state, forks_see_their_own)
{
    /*  base - A - B
     *       \ C      */
    struct ops five = {.n = 0}, seven = {.n = 0};
    op_transfer(&five, c.address[5], 5);
    op_transfer(&seven, c.address[5], 7);
    uint8_t base[32], other[32], id[32];
    root_of(&c, POA_STATE_BASE, base);
    body_tx(&b, &c, 1, 0, 10, &five);
    poa_state_id a = child(POA_STATE_BASE, 1, 500, &b);
    body_reset(&b);
    body_tx(&b, &c, 1, 1, 10, &five);
    poa_state_id bb = child(a, 2, 600, &b);
    body_reset(&b);
    body_tx(&b, &c, 1, 0, 10, &seven);
    poa_state_id cc = child(POA_STATE_BASE, 3, 500, &b);
    cr_assert_eq(balance_in(POA_STATE_BASE, c.address[5]), 0);
    cr_assert_eq(balance_in(a, c.address[5]), 5);
    cr_assert_eq(balance_in(bb, c.address[5]), 10);
    cr_assert_eq(balance_in(cc, c.address[5]), 7);
    root_of(&c, POA_STATE_BASE, other);
    cr_assert_arr_eq(base, other, 32); /* executing touches nothing below */
    root_of(&c, bb, id);
    cr_assert_eq(poa_ledger_apply(c.l, bb), POA_E_INVALID); /* its parent is not the base */
    cr_assert_eq(poa_ledger_apply(c.l, a), POA_OK);
    cr_assert_eq(balance_in(POA_STATE_BASE, c.address[5]), 5);
    poa_ledger_drop(c.l, cc);
    cr_assert_eq(balance_in(bb, c.address[5]), 10);
    cr_assert_eq(poa_ledger_apply(c.l, bb), POA_OK);
    cr_assert_eq(balance_in(POA_STATE_BASE, c.address[5]), 10);
    root_of(&c, POA_STATE_BASE, other);
    cr_assert_arr_eq(id, other, 32);
    cr_assert(audit(&c));
}

Test(state, depth_is_bounded)
{
    static poa_state_id s[600] = {POA_STATE_BASE};
    struct ops o = {.n = 0};
    poa_state_id more;
    struct poa_block_result r;
    struct poa_slice body;
    op_transfer(&o, c.address[4], 1);
    body_tx(&b, &c, 1, 0, 10, &o);
    for (uint32_t i = 0; i < POA_OVERLAYS_MAX; i++)
        s[i + 1] = child(s[i], i + 1, 10 * i + 10, NULL);
    struct poa_header h = header_next(&c, s[POA_OVERLAYS_MAX], &b, 5000, &body);
    cr_assert_eq(block_try(&c, s[POA_OVERLAYS_MAX], &h, body, &b, &more, &r), POA_E_FULL);
    cr_assert_eq(poa_ledger_apply(c.l, s[1]), POA_OK);
    cr_assert_eq(block_try(&c, s[POA_OVERLAYS_MAX], &h, body, &b, &more, &r), POA_OK);
    poa_ledger_drop(c.l, more);
    /* Empty blocks go on, until there is no row left. */
    uint32_t n = POA_OVERLAYS_MAX;
    for (int e = POA_OK; !e && n < 599;) {
        cr_assert_eq(poa_ledger_reserve(c.l), POA_OK);
        h = header_next(&c, s[n], NULL, 5000 + 10 * n, &body);
        e = block_try(&c, s[n], &h, body, NULL, &s[n + 1], &r);
        cr_assert(e == POA_OK || e == POA_E_FULL);
        n += !e;
    }
    cr_assert_eq(n, 512 + 1); /* one was applied */
    cr_assert_eq(poa_ledger_apply(c.l, s[2]), POA_OK);
    cr_assert_eq(block_try(&c, s[n], &h, body, NULL, &s[n + 1], &r), POA_OK);
    for (uint32_t i = n + 1; i > 2; i--)
        poa_ledger_drop(c.l, s[i]);
    block_add(&c, NULL, 50000);
}

Test(state, header_rules)
{
    struct poa_header good, h;
    struct poa_slice body;
    struct poa_block_result r;
    poa_state_id s;
    uint8_t before[32], after[32];
    root_of(&c, POA_STATE_BASE, before);
    good = header_next(&c, POA_STATE_BASE, NULL, 500, &body);
#define REFUSED(code, change)                                                                      \
    h = good;                                                                                      \
    change;                                                                                        \
    cr_assert_eq(block_try(&c, POA_STATE_BASE, &h, body, NULL, &s, &r), code, #change)
    REFUSED(POA_E_BLOCK_INVALID, h.chain[0] ^= 1);
    REFUSED(POA_E_BLOCK_INVALID, h.height++);
    REFUSED(POA_E_BLOCK_INVALID, h.parent[0] ^= 1);
    REFUSED(POA_E_BLOCK_INVALID, h.time_ms = c.s.g.time_ms);
    REFUSED(POA_E_BLOCK_INVALID, h.body[0] ^= 1);
    REFUSED(POA_E_STATE_ROOT, h.state[0] ^= 1);
    REFUSED(POA_E_BLOCK_INVALID, h.epoch++);
    REFUSED(POA_E_BLOCK_INVALID, h.kind = POA_BLOCK_CLOSING);
    REFUSED(POA_E_BLOCK_INVALID, h.kind = POA_BLOCK_FILLER);
    REFUSED(POA_E_BLOCK_INVALID, h.next_committee[0] ^= 1);
    REFUSED(POA_E_BLOCK_INVALID, h.closing_height = 1);
    REFUSED(POA_E_BLOCK_INVALID, h.leader = 4);
    REFUSED(POA_E_BLOCK_INVALID, h.version = 0);
    REFUSED(POA_E_PROOF, h.beacon[0] ^= 1);
    REFUSED(POA_E_PROOF, h.leader ^= 1);
    REFUSED(POA_E_PROOF, h.view++);
    REFUSED(POA_E_BLOCK_INVALID, body.n--; poa_body_hash(body, h.body));
    body.n++;
    root_of(&c, POA_STATE_BASE, after);
    cr_assert_arr_eq(before, after, 32);
    REFUSED(POA_OK, (void)h);
    poa_ledger_drop(c.l, s);
}

/* --- proofs -------------------------------------------------------------------------- */

static uint8_t proof_bytes[POA_PROOF_BYTES_MAX];

static struct poa_slice prove(enum poa_state_table table, const void *key, size_t n)
{
    struct poa_writer w = poa_writer_over(proof_bytes, sizeof proof_bytes);
    cr_assert_eq(poa_ledger_prove(c.l, table, key, n, &w), POA_OK);
    return poa_written(&w);
}

Test(state, proofs_of_presence_and_absence)
{
    uint8_t root[32], absent[32];
    struct poa_slice value;
    root_of(&c, POA_STATE_BASE, root);
    for (uint32_t u = 0; u < 4; u++) {
        struct poa_slice p = prove(POA_STATE_ACCOUNT, c.address[u], 32);
        cr_assert_eq(
            poa_ledger_get(c.l, POA_STATE_BASE, POA_STATE_ACCOUNT, c.address[u], 32, &value),
            POA_OK);
        cr_assert_eq(poa_proof_check(root, POA_STATE_ACCOUNT, c.address[u], 32, value, p), POA_OK);
        /* not of another table, key, value, nor of absence */
        cr_assert_eq(poa_proof_check(root, POA_STATE_DEVICE, c.address[u], 32, value, p),
                     POA_E_PROOF);
        cr_assert_eq(poa_proof_check(root, POA_STATE_ACCOUNT, c.address[u ^ 1], 32, value, p),
                     POA_E_PROOF);
        cr_assert_eq(poa_proof_check(root, POA_STATE_ACCOUNT, c.address[u], 32,
                                     poa_slice(value.p, value.n - 1), p),
                     POA_E_PROOF);
        cr_assert_eq(
            poa_proof_check(root, POA_STATE_ACCOUNT, c.address[u], 32, poa_slice(NULL, 0), p),
            POA_E_PROOF);
    }
    for (uint32_t i = 0; i < 500; i++) {
        poa_put_le32(absent, i);
        poa_hash(POA_DOMAIN_SIM, absent, 4, absent);
        struct poa_slice p = prove(POA_STATE_ACCOUNT, absent, 32);
        cr_assert_eq(poa_proof_check(root, POA_STATE_ACCOUNT, absent, 32, poa_slice(NULL, 0), p),
                     POA_OK);
        cr_assert_eq(poa_proof_check(root, POA_STATE_ACCOUNT, absent, 32, poa_slice("x", 1), p),
                     POA_E_PROOF);
        /* the same leaf does not prove the absence of what is there */
        cr_assert_eq(
            poa_proof_check(root, POA_STATE_ACCOUNT, c.address[1], 32, poa_slice(NULL, 0), p),
            POA_E_PROOF);
    }
    /* a long value: its hash is in the leaf */
    struct poa_slice p = prove(POA_STATE_COMMITTEE, "\0\0\0", 4);
    cr_assert_eq(poa_ledger_get(c.l, POA_STATE_BASE, POA_STATE_COMMITTEE, "\0\0\0", 4, &value),
                 POA_OK);
    cr_assert_gt(value.n, 64);
    cr_assert_eq(poa_proof_check(root, POA_STATE_COMMITTEE, "\0\0\0", 4, value, p), POA_OK);
}

Test(state, every_bit_of_a_proof_counts)
{
    uint8_t root[32], absent[32] = {9}, copy[POA_PROOF_BYTES_MAX];
    root_of(&c, POA_STATE_BASE, root);
    for (int there = 0; there < 2; there++) {
        const uint8_t *key = there ? c.address[1] : absent;
        struct poa_slice value = {NULL, 0}, p = prove(POA_STATE_ACCOUNT, key, 32);
        if (there)
            cr_assert_eq(poa_ledger_get(c.l, POA_STATE_BASE, POA_STATE_ACCOUNT, key, 32, &value),
                         POA_OK);
        memcpy(copy, p.p, p.n);
        cr_assert_eq(poa_proof_check(root, POA_STATE_ACCOUNT, key, 32, value, poa_slice(copy, p.n)),
                     POA_OK);
        for (size_t i = 0; i < p.n * 8; i++) {
            copy[i / 8] ^= (uint8_t)(1 << i % 8);
            cr_assert_eq(
                poa_proof_check(root, POA_STATE_ACCOUNT, key, 32, value, poa_slice(copy, p.n)),
                POA_E_PROOF, "bit %zu", i);
            copy[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        for (size_t n = 0; n < p.n; n++)
            cr_assert_eq(
                poa_proof_check(root, POA_STATE_ACCOUNT, key, 32, value, poa_slice(copy, n)),
                POA_E_PROOF);
        copy[p.n] = 0;
        cr_assert_eq(
            poa_proof_check(root, POA_STATE_ACCOUNT, key, 32, value, poa_slice(copy, p.n + 1)),
            POA_E_PROOF);
    }
    uint8_t zero[32] = {0};
    cr_assert_eq(poa_proof_check(zero, POA_STATE_ACCOUNT, absent, 32, poa_slice(NULL, 0),
                                 poa_slice("\0\0", 2)),
                 POA_OK); /* the empty tree */
}

/* A root that no honest tree has: a bit asked twice, or out of order. */
Test(state, proof_steps_ascend)
{
    static const uint8_t bits[][2] = {{3, 5}, {5, 3}, {5, 5}};
    static const uint8_t table = POA_STATE_ACCOUNT;
    uint8_t skey[32], claim[] = {1, 'x'}, other[32] = {4};
    poa_hash2(POA_DOMAIN_STATE_KEY, &table, 1, c.address[1], 32, skey);
    for (int k = 0; k < 3; k++) {
        uint8_t proof[2 + 2 * 33] = {2, 0}, hash[32];
        poa_hash2(POA_DOMAIN_STATE_LEAF, skey, 32, claim, sizeof claim, hash);
        for (int i = 1; i >= 0; i--) {
            uint8_t bit = bits[k][i], in[65] = {bit};
            int side = skey[bit / 8] >> (7 - bit % 8) & 1;
            proof[2 + 33 * i] = bit;
            memcpy(proof + 2 + 33 * i + 1, other, 32);
            memcpy(in + 1 + 32 * side, hash, 32);
            memcpy(in + 1 + 32 * !side, other, 32);
            poa_hash(POA_DOMAIN_STATE_NODE, in, sizeof in, hash);
        }
        cr_assert_eq(poa_proof_check(hash, POA_STATE_ACCOUNT, c.address[1], 32, poa_slice("x", 1),
                                     poa_slice(proof, sizeof proof)),
                     k ? POA_E_PROOF : POA_OK);
    }
}

/* --- checkpoints ------------------------------------------------------------------------- */

struct disk { /* a store: entries by key, the last put counts */
    struct {
        uint8_t key[32], value[6400];
        size_t n;
    } row[400];
    size_t n, puts;
};

static int disk_put(void *ctx, const struct poa_entry *e)
{
    struct disk *d = ctx;
    size_t i = 0;
    while (i < d->n && memcmp(d->row[i].key, e->key, 32))
        i++;
    if (i == 400)
        return POA_E_STORE;
    if (i == d->n)
        memcpy(d->row[d->n++].key, e->key, 32);
    d->row[i].n = e->value.n;
    if (e->value.n)
        memcpy(d->row[i].value, e->value.p, e->value.n);
    d->puts++;
    return POA_OK;
}

static int restore(struct poa_ledger *l, const struct disk *d, const uint8_t root[32])
{
    int e = poa_ledger_restore_begin(l);
    for (size_t i = 0; !e && i < d->n; i++) {
        struct poa_entry entry = {.value = poa_slice(d->row[i].value, d->row[i].n)};
        memcpy(entry.key, d->row[i].key, 32);
        if (d->row[i].n)
            e = poa_ledger_restore_put(l, &entry);
    }
    return e ? e : poa_ledger_restore_end(l, root);
}

/* The root from entries alone: split where the keys of a range first differ. */
static void tree_of(const struct poa_entry *e, size_t n, uint8_t out[32])
{
    uint8_t right[32];
    size_t at = 0;
    if (n == 1) {
        cr_assert_eq(poa_entry_leaf(e, out), POA_OK);
        return;
    }
    unsigned bit = poa_key_diff(e[0].key, e[n - 1].key);
    while (!(e[at].key[bit / 8] >> (7 - bit % 8) & 1))
        at++;
    tree_of(e, at, out);
    tree_of(e + at, n - at, right);
    poa_tree_node((uint8_t)bit, out, right, out);
}

static int by_key(const void *x, const void *y)
{
    return memcmp(((const struct poa_entry *)x)->key, ((const struct poa_entry *)y)->key, 32);
}

Test(state, entries_make_the_root)
{
    static struct disk disk;
    static struct poa_entry e[400];
    uint8_t root[32], other[32];
    size_t n = 0;
    cr_assert_eq(poa_ledger_changes(c.l, disk_put, &disk), POA_OK);
    for (size_t i = 0; i < disk.n; i++) {
        if (!disk.row[i].n)
            continue;
        memcpy(e[n].key, disk.row[i].key, 32);
        e[n++].value = poa_slice(disk.row[i].value, disk.row[i].n);
    }
    qsort(e, n, sizeof *e, by_key);
    tree_of(e, n, other);
    root_of(&c, POA_STATE_BASE, root);
    cr_assert_arr_eq(root, other, 32);
    cr_assert_eq(poa_key_diff(e[0].key, e[0].key), 256);
    e[0].key[31] ^= 1;
    cr_assert_eq(poa_entry_leaf(&e[0], other), POA_E_STORE_CORRUPT, "another key");
    e[0].key[31] ^= 1;
    e[0].value.n = 2;
    cr_assert_eq(poa_entry_leaf(&e[0], other), POA_E_STORE_CORRUPT, "no key at all");
}

Test(state, restore_is_replay)
{
    static struct disk disk;
    uint8_t root[32], again[32];
    struct ops o = {.n = 0};
    struct counting memory = {0};
    struct poa_ledger *l;
    op_transfer(&o, c.address[4], 5);
    for (uint64_t h = 0; h < 60; h++) {
        body_reset(&b);
        body_tx(&b, &c, 1, h, 10, &o);
        block_add(&c, &b, 400 * h + 400);
        if (h % 7 == 0) {
            cr_assert_eq(poa_ledger_changes(c.l, disk_put, &disk), POA_OK);
            poa_ledger_checkpointed(c.l);
        }
    }
    cr_assert_eq(poa_ledger_changes(c.l, disk_put, &disk), POA_OK);
    poa_ledger_checkpointed(c.l);
    size_t puts = disk.puts;
    cr_assert_eq(poa_ledger_changes(c.l, disk_put, &disk), POA_OK);
    cr_assert_eq(disk.puts, puts, "a checkpoint forgets the changes");
    root_of(&c, POA_STATE_BASE, root);

    struct poa_ledger_config config = {.suite = c.suite,
                                       .alloc = counting_alloc(&memory),
                                       .genesis = poa_slice(c.genesis, c.genesis_n)};
    cr_assert_eq(poa_ledger_new(&config, &l), POA_OK);
    cr_assert_eq(restore(l, &disk, root), POA_OK);
    poa_ledger_root(l, POA_STATE_BASE, again);
    cr_assert_arr_eq(root, again, 32);
    bool conserved;
    cr_assert_eq(poa_ledger_audit(l, &conserved), POA_OK);
    cr_assert(conserved);
    /* Nothing to write after a restore, and it goes on like the original. */
    puts = disk.puts;
    cr_assert_eq(poa_ledger_changes(l, disk_put, &disk), POA_OK);
    cr_assert_eq(disk.puts, puts);
    struct poa_ledger *original = c.l;
    for (int i = 0; i < 2; i++) {
        uint64_t view = c.view;
        c.l = i ? l : original;
        block_add(&c, NULL, 30000);
        c.view = view;
        poa_ledger_root(c.l, POA_STATE_BASE, i ? again : root);
    }
    c.l = original;
    cr_assert_arr_eq(root, again, 32);

    /* Damage is found. */
    disk.row[3].value[disk.row[3].n - 1] ^= 1;
    cr_assert_eq(restore(l, &disk, root), POA_E_STORE_CORRUPT);
    disk.row[3].value[disk.row[3].n - 1] ^= 1;
    disk.row[3].key[0] ^= 1;
    cr_assert_eq(restore(l, &disk, root), POA_E_STORE_CORRUPT);
    disk.row[3].key[0] ^= 1;
    size_t n = disk.row[3].n;
    disk.row[3].n = 0; /* one is missing */
    cr_assert_eq(restore(l, &disk, root), POA_E_STORE_CORRUPT);
    disk.row[3].n = n;
    poa_ledger_free(l);
    cr_assert_eq(memory.live, 0);
}

/* --- memory ---------------------------------------------------------------------------------- */

Test(state, executing_never_allocates)
{
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[4], 5);
    for (uint64_t h = 0; h < 20; h++) {
        struct poa_block_result r;
        struct poa_slice body;
        poa_state_id s;
        body_reset(&b);
        for (uint64_t i = 0; i < 50; i++)
            body_tx(&b, &c, 1, h * 50 + i, 10, &o);
        cr_assert_eq(poa_ledger_reserve(c.l), POA_OK);
        size_t calls = c.memory.calls;
        struct poa_header head = header_next(&c, POA_STATE_BASE, &b, 700 * h + 700, &body);
        cr_assert_eq(block_try(&c, POA_STATE_BASE, &head, body, &b, &s, &r), POA_OK);
        cr_assert_eq(poa_ledger_apply(c.l, s), POA_OK);
        cr_assert_eq(c.memory.calls, calls);
    }
}

/* Overlays that were applied or dropped give everything back: a state that does
 * not grow takes no more memory, whatever happens on it. */
Test(state, memory_comes_back)
{
    size_t calls = 0;
    struct random r = {77};
    for (uint64_t h = 0; h < 3000; h++) {
        poa_state_id s[3];
        body_reset(&b);
        for (uint64_t n = 0; n < 3; n++) {
            struct ops o = {.n = 0};
            uint8_t to[32] = {1};
            to[1] = (uint8_t)random_below(&r, 200);
            op_transfer(&o, to, 1);
            body_tx(&b, &c, 1, 3 * h + n, 10, &o);
        }
        for (uint32_t i = 0; i < 3; i++) /* forks that nobody wanted, one on the other */
            s[i] = child(i == 2 ? s[1] : POA_STATE_BASE, h + 1 + (i == 2), 20 * h + 10 + i,
                         i == 2 ? NULL : &b);
        poa_ledger_drop(c.l, s[2]);
        poa_ledger_drop(c.l, s[1]);
        cr_assert_eq(poa_ledger_apply(c.l, s[0]), POA_OK);
        if (h % 50 == 0)
            poa_ledger_checkpointed(c.l);
        if (h == 1000)
            calls = c.memory.calls;
    }
    cr_assert_eq(c.memory.calls, calls);
}

Test(state, every_allocation_may_fail)
{
    struct counting memory;
    struct poa_ledger *l;
    size_t failed = 0;
    for (size_t at = 1;; at++) {
        memory = (struct counting){.fail_at = at};
        struct poa_ledger_config config = {.suite = c.suite,
                                           .alloc = counting_alloc(&memory),
                                           .genesis = poa_slice(c.genesis, c.genesis_n)};
        int e = poa_ledger_new(&config, &l);
        if (!e) {
            poa_ledger_free(l);
            cr_assert_eq(memory.live, 0);
            break;
        }
        cr_assert_eq(e, POA_E_NO_MEMORY);
        cr_assert_eq(memory.live, 0, "allocation %zu", at);
        failed++;
    }
    cr_assert_gt(failed, 8);
}

static int depth_of_write;
static void write_begin(void *ctx)
{
    (void)ctx;
    cr_assert_eq(depth_of_write++, 0);
}
static void write_end(void *ctx)
{
    (void)ctx;
    cr_assert_eq(--depth_of_write, 0);
}

Test(state, write_sections_do_not_nest)
{
    struct counting memory = {0};
    struct poa_ledger *l, *original = c.l;
    struct poa_ledger_config config = {.suite = c.suite,
                                       .alloc = counting_alloc(&memory),
                                       .genesis = poa_slice(c.genesis, c.genesis_n),
                                       .write_begin = write_begin,
                                       .write_end = write_end};
    cr_assert_eq(poa_ledger_new(&config, &l), POA_OK);
    c.l = l;
    for (uint64_t i = 0; i < 5; i++)
        block_add(&c, NULL, 500 * i + 500);
    poa_ledger_checkpointed(l);
    c.l = original;
    cr_assert_eq(depth_of_write, 0);
    poa_ledger_free(l);
}
