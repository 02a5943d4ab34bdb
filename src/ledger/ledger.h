/* What the files of this module share. Not for outsiders. */
#ifndef LEDGER_H
#define LEDGER_H

#include <string.h>

#include "poa_ledger.h"

/* --- memory -------------------------------------------------------------------
 *
 * Three kinds, all made in poa_ledger_reserve and never moved:
 *
 *   node pools   tree nodes by 32-bit index, a free list each
 *   base slab    entries of the finalized state, in granules of 16 bytes
 *   chunks       64 KiB pieces that overlays take and give back whole */

void *poa_mem_new(const struct poa_alloc *a, size_t bytes);
void poa_mem_free(const struct poa_alloc *a, void *p);

/* Each chunk ends with room for as many free indices as it has items: so the
 * stack of free items grows with the pool, and giving one back touches only that. */
struct pool {
    uint8_t **chunk;
    uint32_t chunks, chunk_cap;
    uint32_t item; /* bytes */
    uint32_t used; /* ever handed out; below: in use or on the stack */
    uint32_t free_count;
};
#define POOL_CHUNK_ITEMS 16384u
#define NIL              UINT32_MAX

static inline void *pool_at(const struct pool *p, uint32_t i)
{
    return p->chunk[i / POOL_CHUNK_ITEMS] + (size_t)(i % POOL_CHUNK_ITEMS) * p->item;
}
static inline uint32_t pool_room(const struct pool *p)
{
    return p->free_count + (p->chunks * POOL_CHUNK_ITEMS - p->used);
}

/* Items that were taken from a pool and are not in use yet. Several threads may
 * take, each through its own hand, while nobody gives back. */
#define POOL_HAND 32u
struct pool_hand {
    uint32_t n, id[POOL_HAND];
};

int poa_pool_reserve(struct poa_ledger *l, struct pool *p, uint64_t room);
uint32_t poa_pool_take(struct pool *p, struct pool_hand *h); /* NIL when empty */
void poa_pool_give(struct pool *p, uint32_t i);
void poa_pool_give_hand(struct pool *p, struct pool_hand *h);
void poa_pool_clear(struct poa_ledger *l, struct pool *p);
int poa_slab_reserve(struct poa_ledger *l, uint32_t slabs);
int poa_chunks_reserve(struct poa_ledger *l, uint64_t n);
void poa_chunks_clear(struct poa_ledger *l);

struct chunk {
    struct chunk *next;
    uint32_t used; /* bytes of data */
    uint32_t pad;
    uint8_t data[65536 - 16];
};

/* --- the tree (merkle.c) --------------------------------------------------------
 *
 * Compact binary (crit-bit) over the 256 bits of the state key: an inner node
 * has the first bit in which its leaves differ, and two children with their
 * hashes, so that hashing a path anew touches no sibling. Nodes are never
 * changed once made: an update makes new inner nodes on the paths it touches
 * and lists those they replace; a leaf, which is its key, stays. */
#define LEAF_BIT 0x80000000u /* of a node index */

struct inner {
    uint8_t hash[2][32];
    uint32_t child[2];
    uint8_t bit; /* 0 is the top bit of the key's first byte */
};
struct leaf {
    uint8_t key[32];
};
struct subtree {
    uint32_t node; /* NIL: empty, its hash is zero */
    uint8_t hash[32];
};
struct tree {
    struct pool inner, leaf;
};

/* One key of a batch; the batch is sorted by key. */
struct change {
    uint64_t prefix; /* first 8 bytes of the key, big-endian: what the sort looks at */
    const uint8_t *key, *value;
    uint32_t value_n; /* 0: delete */
    uint16_t diverge; /* 256: in the tree; of a new key: first bit in which it leaves the tree */
};

/* Blocks of node indices in an overlay's chunks. */
struct id_block {
    struct id_block *next;
    uint32_t n;
    uint32_t id[62];
};

/* The next leaf and inner node of a tree that is made as a whole. */
struct id_range {
    uint32_t leaf, inner;
};

struct overlay;
struct tree_plan;
struct tree_op {
    struct poa_ledger *l;
    struct id_range *range;           /* where nodes are taken from; NULL: the pools */
    struct chunk *chunks;             /* what the lists are in */
    struct id_block *made, *replaced; /* nodes; without RANGE */
    struct pool_hand inner, leaf;
    const struct change *walked; /* changes before it have their paths in the cache */
    struct tree_plan *plan;      /* NULL: this thread does it all */
    bool full;
};

static inline int key_bit(const uint8_t *key, unsigned bit)
{
    return key[bit >> 3] >> (7 - (bit & 7)) & 1;
}
/* Sorts by key; SCRATCH has room for N. */
void poa_changes_sort(struct change *c, struct change *scratch, uint32_t n);
/* Merges the N sorted changes into O's tree; lists what it makes and replaces
 * there. FULL: O is to be closed. */
int poa_tree_update(struct poa_ledger *l, struct overlay *o, const struct change *c, uint32_t n);
/* The leaf where KEY's bits lead, or NIL. */
uint32_t poa_tree_find(const struct tree *t, uint32_t root, const uint8_t key[32]);
void poa_tree_free_nodes(struct tree *t, const struct id_block *b);
/* Changes or entries from which on other threads help. */
#define POA_PARALLEL_LEAST 2048u
/* Into at most so many parts. */
#define POA_TREE_PARTS 32u
size_t poa_tree_plan_bytes(void);
/* New tree from base entries (refs) in ascending key order; the pools are empty
 * and have room. STORE_CORRUPT: an entry's key is not its hash. */
int poa_tree_build(struct poa_ledger *l, const uint32_t *ref, uint32_t n, struct subtree *out);

/* Shared with devices (proof.c). */
void poa_state_key(enum poa_state_table table, const void *key, size_t key_n, uint8_t out32[32]);
/* What a leaf says of its value: u8 length and the bytes, up to
 * POA_LEAF_INLINE_MAX; or 0xff and their hash. Returns its length. */
#define POA_LEAF_INLINE_MAX 64
size_t poa_leaf_claim(struct poa_slice value, uint8_t out[1 + POA_LEAF_INLINE_MAX]);
/* The state after poa_hash_init, which takes a third of the time of hashes this
 * short: a ledger keeps one for each use. Bytes, because a poa_hash_state is
 * aligned more than what the allocator gives. */
struct hash_begun {
    uint8_t bytes[sizeof(struct poa_hash_state)];
};
static inline void hash_begin(struct hash_begun *b, enum poa_domain domain)
{
    struct poa_hash_state s;
    poa_hash_init(&s, domain);
    memcpy(b->bytes, &s, sizeof s);
}
void poa_state_key_from(const struct hash_begun *begun, enum poa_state_table table, const void *key,
                        size_t key_n, uint8_t out32[32]);
void poa_leaf_hash_from(const struct hash_begun *begun, const uint8_t key[32], const uint8_t *claim,
                        size_t claim_n, uint8_t out32[32]);
void poa_node_hash_from(const struct hash_begun *begun, uint8_t bit, const uint8_t left[32],
                        const uint8_t right[32], uint8_t out32[32]);

/* --- finalized base (base.c) ------------------------------------------------------
 *
 * Entry: this header, then table u8, key length u8, key, value: what a
 * checkpoint stores. References count granules. */
struct entry {
    uint8_t key[32];
    uint32_t dirty;   /* next reference in the list of changed entries; 0 = unchanged */
    uint16_t value_n; /* ENTRY_GONE: deleted, ENTRY_MOVED: replaced by a larger one */
    uint8_t table, key_n;
    uint8_t data[]; /* key, value */
};
#define ENTRY_HEAD     40u
#define ENTRY_GONE     0xffffu
#define ENTRY_MOVED    0xfffeu
#define DIRTY_END      UINT32_MAX
#define GRANULE        16u
#define SLAB_BYTES     262144u
#define SLAB_GRANULES  (SLAB_BYTES / GRANULE)
#define ENTRY_GRANULES 384u /* of the longest entry: a committee of 128 */

struct slot32 {
    uint32_t ref; /* 0 = empty */
    uint32_t tag;
};
struct table {
    struct slot32 *slot;
    uint32_t mask; /* slots - 1 */
    uint8_t shift;
};
struct base {
    struct table now, old; /* old: while entries move over, from slot `moved` on */
    uint32_t moved;
    uint32_t count; /* entries in the tables, deleted ones included */
    uint32_t live;
    uint8_t **slab;
    uint32_t slabs, slab_cap;
    uint32_t slab_now, slab_used; /* granules of the current slab that are taken */
    uint32_t free_head[ENTRY_GRANULES + 1];
    uint32_t dirty_head;
    uint64_t multiplier[2]; /* spread keys by something the network cannot guess */
};

/* Entry sizes in granules. */
static inline uint32_t entry_granules(uint32_t key_n, uint32_t value_n)
{
    /* At least 4 bytes of value: a deleted entry keeps its size there. */
    return (ENTRY_HEAD + key_n + (value_n < 4 ? 4 : value_n) + GRANULE - 1) / GRANULE;
}
static inline struct entry *base_entry(const struct base *b, uint32_t ref)
{
    return (struct entry *)(void *)(b->slab[ref / SLAB_GRANULES] +
                                    (size_t)(ref % SLAB_GRANULES) * GRANULE);
}
int poa_base_init(struct poa_ledger *l);
void poa_base_clear(struct poa_ledger *l); /* gives everything back */
/* The live entry of KEY, or NULL. */
struct entry *poa_base_find(const struct base *b, const uint8_t key[32]);
/* Asks for the memory that finding KEY will need: its slot; its entry, when the
 * slot is here. */
void poa_base_fetch_slot(const struct base *b, const uint8_t key[32]);
void poa_base_fetch_entry(const struct base *b, const uint8_t key[32]);
/* Room for COUNT more entries of BYTES in all. */
bool poa_base_has_room(const struct base *b, uint64_t count, uint64_t granules);
int poa_base_reserve(struct poa_ledger *l, uint64_t count, uint64_t granules);
/* Puts or (value_n 0) deletes; room was reserved. Marks the entry as changed.
 * Its reference, 0 when deleted. */
uint32_t poa_base_put(struct base *b, const uint8_t key[32], uint8_t table,
                      struct poa_slice raw_key, struct poa_slice value);
/* Every live entry, until VISIT returns an error. */
int poa_base_visit(const struct base *b, int (*visit)(void *ctx, const struct entry *e), void *ctx);
void poa_base_checkpointed(struct base *b);

/* --- overlays (state.c) ------------------------------------------------------------ */

enum ov_state {
    OV_INHERIT, /* as in the parent: a transaction that failed had touched it */
    OV_PRESENT,
    OV_DELETED,
};
struct ov_entry {
    struct ov_entry *next; /* in its bucket */
    struct ov_entry *prev_made;
    uint8_t *value;
    uint8_t key[32];
    uint32_t stamp; /* transaction that wrote it last */
    uint16_t value_n, value_cap;
    uint8_t table, raw_n;
    uint8_t state;   /* enum ov_state */
    uint8_t existed; /* in the parent */
    uint8_t raw[];
};

#define OV_SEGMENTS        16u
#define OV_SEGMENT_BUCKETS 4096u

struct overlay {
    uint32_t generation;
    bool used;
    uint32_t depth; /* 1: on the base */
    struct overlay *parent;
    struct chunk *chunks;                  /* newest first */
    struct ov_entry **bucket[OV_SEGMENTS]; /* OV_SEGMENT_BUCKETS each, or fewer in the only one */
    uint32_t bucket_mask;
    struct ov_entry *last_made;
    uint32_t entries;
    uint64_t new_count, granules; /* what apply may take from the base */
    struct id_block *made, *replaced;
    struct subtree root;
};

/* State keys of accounts, for as long as no other takes the row. */
struct key_row {
    uint8_t address[32], key[32];
    bool used;
};
#define KEY_ROWS 1024u

struct journal_row {
    struct ov_entry *e;
    uint8_t *value;
    uint32_t stamp;
    uint16_t value_n, value_cap;
    uint8_t state;
};
/* A transaction writes at most this many entries: 64 operations of at most
 * eight each, and its sender. */
#define JOURNAL_MAX 576u
/* Blocks with content go POA_OVERLAYS_MAX deep. Empty ones may go on: were they
 * refused too, nobody could vote any more for what makes the others final. */
#define OVERLAY_ROWS 512u
#define ROW_BITS     10u /* of a handle */

struct poa_ledger {
    struct hash_begun key_begun, leaf_begun, node_begun;
    struct key_row key_row[KEY_ROWS];
    struct poa_ledger_config config;
    struct poa_genesis genesis;
    uint8_t chain[32];
    struct base base;
    struct tree tree;
    struct subtree base_root;
    struct overlay overlay[OVERLAY_ROWS];
    uint32_t overlays, row_top;               /* open ones; above the highest of them */
    uint64_t pending_count, pending_granules; /* of all overlays */

    struct chunk *free_chunks;
    uint32_t free_chunk_count;
    struct chunk *all_chunks; /* blocks of chunks, to free them */

    struct tree_plan *plan; /* NULL without config.parallel */
    struct change *change, *change_scratch;
    uint32_t change_cap;
    uint32_t want_changes; /* reserve makes room for a block with so many */

    struct journal_row journal[JOURNAL_MAX];
    uint32_t journal_n;
    uint32_t stamp, last_stamp; /* of the transaction in work; 0 = none */

    struct poa_candidate *candidate; /* POA_WITNESSES_MAX */
    uint8_t *value;                  /* 2 * POA_VALUE_MAX, for struct exec */
    uint32_t *restore_ref;
    uint32_t restore_n, restore_cap;
    bool restoring;
};

static inline const struct subtree *state_root(const struct poa_ledger *l, const struct overlay *o)
{
    return o ? &o->root : &l->base_root;
}

/* A state to read: an overlay and what is below it; NULL: the base. */
struct overlay *poa_state_overlay(const struct poa_ledger *l, poa_state_id s);
bool poa_state_get(const struct poa_ledger *l, const struct overlay *o, const uint8_t key[32],
                   struct poa_slice *value);
/* Finds (TABLE, KEY) and decodes it; NOT_FOUND. */
int poa_state_read(const struct poa_ledger *l, const struct overlay *o, enum poa_state_table table,
                   const void *key, size_t key_n, void *out);
int poa_state_read_u32(const struct poa_ledger *l, const struct overlay *o,
                       enum poa_state_table table, uint32_t key, void *out);
const struct poa_record *poa_state_record(enum poa_state_table table);

/* Opens an overlay on PARENT for about CHANGES entries; at most LIMIT deep. FULL. */
int poa_overlay_open(struct poa_ledger *l, struct overlay *parent, uint32_t limit, uint32_t changes,
                     struct overlay **out);
void poa_overlay_close(struct poa_ledger *l, struct overlay *o); /* drops it */
poa_state_id poa_overlay_id(const struct poa_ledger *l, const struct overlay *o);
/* N bytes that live as long as the overlay, or NULL. */
void *poa_overlay_bytes(struct poa_ledger *l, struct overlay *o, size_t n);
/* N bytes in CHUNKS, to which it may add one. On several threads at once, each
 * with its own CHUNKS, while nobody gives chunks back. */
void *poa_chunk_bytes(struct poa_ledger *l, struct chunk **chunks, size_t n);
/* VALUE empty: deletes. FULL. */
int poa_overlay_put(struct poa_ledger *l, struct overlay *o, const uint8_t key[32],
                    enum poa_state_table table, const void *raw, size_t raw_n,
                    struct poa_slice value);
/* Between begin and commit, puts can be undone. */
void poa_overlay_begin(struct poa_ledger *l);
void poa_overlay_commit(struct poa_ledger *l);
void poa_overlay_rollback(struct poa_ledger *l);
/* Computes the root of O from its entries. FULL. */
int poa_overlay_seal(struct poa_ledger *l, struct overlay *o);
bool poa_id_push(struct poa_ledger *l, struct chunk **chunks, struct id_block **list, uint32_t id);
void poa_ledger_write_begin(struct poa_ledger *l);
void poa_ledger_write_end(struct poa_ledger *l);

/* --- execution --------------------------------------------------------------------- */

/* A block in work; G has the parameters of its epoch. Errors of puts are kept in FULL and reported
 * once. */
struct exec {
    struct poa_ledger *l;
    struct overlay *o;
    const struct poa_genesis *g;
    struct poa_st_global global;
    const struct poa_header *header;
    const uint8_t *hash;
    uint64_t slot;
    uint8_t leader_payout[32];
    struct poa_committee committee;
    uint64_t fees;
    uint8_t *value; /* room for one encoded record, POA_VALUE_MAX */
    bool full;
};
#define POA_VALUE_MAX 6144u

/* Looks ahead in a block's transactions (ahead.c). */
#define AHEAD_LATER 16u /* accounts between asking for a slot and for its entry */
struct ahead {
    const struct poa_block_in *in;
    size_t tx; /* the one after OPS */
    struct poa_list_iter ops;
    uint64_t fetched, used; /* accounts and other operations */
    struct key_row *row[AHEAD_LATER];
};
void poa_ahead_fetch(struct poa_ledger *l, struct ahead *a);
/* poa_state_key, with a memory for accounts. */
void poa_ledger_key(struct poa_ledger *l, enum poa_state_table table, const void *key, size_t key_n,
                    uint8_t out32[32]);

int poa_exec_read(const struct exec *x, enum poa_state_table table, const void *key, size_t key_n,
                  void *out);
void poa_exec_put(struct exec *x, enum poa_state_table table, const void *key, size_t key_n,
                  const void *record);
void poa_exec_delete(struct exec *x, enum poa_state_table table, const void *key, size_t key_n);
/* Adds AMOUNT to an account; the supply is bounded, so it cannot overflow. */
void poa_exec_credit(struct exec *x, const uint8_t address[32], uint64_t amount);

/* Entries that reserve foresees for a block: at first, and at most. */
#define POA_CHANGES_FIRST 4096u
#define POA_CHANGES_MAX   1048576u

/* Without halving, the subsidy ends here: 35,000 years of 1 s slots. */
#define POA_SUBSIDY_SLOTS ((uint64_t)1 << 40)
/* Settled slots stay in state this long. */
#define POA_SLOTS_KEPT 4096u
/* Epochs whose records stay in state. */
#define POA_EPOCHS_KEPT 256u

uint32_t poa_epoch_of_next(const struct poa_st_global *g);

/* Mining (mining.c, convict.c). The checks leave the state alone. BETA64 and CHECKED: the
 * proof or signature was checked before. */
struct seats {
    struct poa_st_device device;
    struct poa_seat seat[POA_DRAWS_MAX];
    size_t n;
    uint64_t first_slot; /* of the ticket's window */
};
int poa_ticket_judge(const struct poa_ledger *l, const struct overlay *o, uint32_t epoch,
                     uint64_t slot, const struct poa_ticket *t, struct seats *out);
int poa_seal_judge(const struct poa_ledger *l, const struct overlay *o, uint64_t slot,
                   const struct poa_seal *s);
int poa_evidence_judge(const struct poa_ledger *l, const struct overlay *o,
                       const struct poa_evidence *e);
void poa_mining_slot(struct exec *x);
void poa_mining_settle(struct exec *x);
void poa_mining_ticket(struct exec *x, const struct poa_ticket *t, struct seats *seats);
void poa_mining_seal(struct exec *x, const struct poa_seal *s);
/* The devices that an anchor names, for the slot in work. */
void poa_mining_publish(struct exec *x, const struct poa_list *devices);
#define POA_PUBLISHERS_MAX 64
void poa_mining_evidence(struct exec *x, const struct poa_evidence *e);
/* NOT_FOUND; TX_EXISTS: KEY32 is not suspended. */
int poa_readmit_judge(const struct poa_ledger *l, const struct overlay *o, const uint8_t key32[32]);
void poa_readmit(struct exec *x, const uint8_t key32[32]);

/* --- transactions on state (apply.c) ----------------------------------------------- */

/* A decoded operation: a member for each, by its name. */
union op_record {
#define OP_MEMBER_ROW(name, number, record, text) struct poa_##record name;
    POA_OPS(OP_MEMBER_ROW)
#undef OP_MEMBER_ROW
};

/* Where an operation stands when its rules are asked. */
struct judge {
    const struct poa_ledger *l;
    const struct overlay *o;
    const struct poa_genesis *g; /* parameters that hold */
    uint32_t epoch;
    uint64_t slot;
    const uint8_t *sender, *tx; /* address; id of the transaction */
    uint8_t index;              /* of the operation in it */
    uint64_t left;              /* of the sender's balance, once the transaction is paid for */
};

/* Holds (hold.c). Whether TX, which moves AMOUNT besides its fee, has to wait.
 * TX_HOLD_OFF, TX_HOLD_OPS. */
int poa_hold_judge(const struct judge *j, const struct poa_tx_view *tx, uint64_t amount,
                   bool *held);
/* TX_HOLD_FULL: nothing may stay of what it did. */
int poa_hold_add(struct exec *x, const struct poa_tx_view *tx, uint64_t amount);
void poa_hold_count(struct exec *x, const uint8_t sender[32], uint64_t amount);
void poa_hold_seal(struct exec *x, const struct poa_seal *s, const struct poa_st_device *device);
void poa_hold_expire(struct exec *x);

int poa_tx_apply(struct exec *x, const struct poa_tx_view *tx);

/* A transaction in work. The sender's account is here until the end: what it
 * pays to itself must not meet an older copy. Its native cost was taken before. */
struct tx_run {
    struct exec *x;
    struct judge j;
    struct poa_st_account account;
};
bool poa_state_has(const struct poa_ledger *l, const struct overlay *o, enum poa_state_table table,
                   const void *key, size_t key_n);
uint64_t poa_share(uint64_t amount, uint16_t bp); /* rounded down */

/* Assets, purchases, escrow (value.c); usage data (data.c): the rules of an
 * operation by its bytes, by the state, and what it does once they hold. */
int poa_cost_add(uint32_t asset, uint64_t amount, uint64_t *cost);
bool poa_terms_ok(struct poa_slice terms);
int poa_value_check(uint16_t kind, const union op_record *op, uint64_t *cost);
int poa_value_judge(const struct judge *j, uint16_t kind, const union op_record *op);
void poa_value_apply(struct tx_run *r, uint16_t kind, const union op_record *op);
int poa_data_check(uint16_t kind, const union op_record *op, uint64_t *cost);
int poa_data_judge(const struct judge *j, uint16_t kind, const union op_record *op);
void poa_data_apply(struct tx_run *r, uint16_t kind, const union op_record *op);
/* TX_ASSET, TX_BALANCE: the sender has AMOUNT of ASSET; of the native one it does. */
int poa_asset_judge(const struct judge *j, uint32_t asset, uint64_t amount);
/* From the sender into nowhere; to somebody. */
void poa_asset_take(struct tx_run *r, uint32_t asset, uint64_t amount);
void poa_asset_pay(struct tx_run *r, uint32_t asset, const uint8_t to[32], uint64_t amount);
/* Puts a new escrow with a deadline SLOTS from now, and into the list of that. */
void poa_escrow_put(struct exec *x, const uint8_t id[32], struct poa_st_escrow *e, uint32_t slots);
void poa_escrow_unlink(struct exec *x, const struct poa_st_escrow *e);
/* TX_ESCROW, TX_LATE. */
int poa_escrow_find(const struct judge *j, const uint8_t id[32], struct poa_st_escrow *out);
/* Ends it. R: the transaction that does; NULL: time-out. */
void poa_escrow_settle(struct exec *x, struct tx_run *r, const uint8_t id[32],
                       const struct poa_st_escrow *e, bool to_payee);
void poa_escrow_timeouts(struct exec *x);

/* Parameters (params.c). */
void poa_params_at(const struct poa_ledger *l, const struct overlay *o, uint32_t epoch,
                   struct poa_genesis *out);
int poa_params_judge(const struct judge *j, const struct poa_op_params *op);
int poa_leave_judge(const struct judge *j); /* whether a witness may go: LIMIT, TX_BOUND */
void poa_params_put(struct exec *x, const struct poa_op_params *op);

int poa_genesis_check_suite(const struct poa_suite *suite, const struct poa_genesis *g,
                            const char **why);
/* The rules of its numbers: what is broken, or NULL. */
const char *poa_genesis_parameters(const struct poa_genesis *g);
int poa_genesis_apply(struct exec *x);
struct poa_committee_rule poa_genesis_rule(const struct poa_genesis *g);
void poa_put_maker(struct exec *x, const struct poa_op_maker *m);
/* Members of the pool that may be drawn. */
uint32_t poa_witnesses_active(const struct poa_ledger *l, const struct overlay *o);
void poa_put_witness(struct exec *x, const struct poa_op_witness *w);
void poa_put_device(struct exec *x, const struct poa_op_device *d);
bool poa_text_ok(struct poa_slice s); /* UTF-8 without control characters */
bool poa_name_ok(struct poa_slice s); /* and not empty */
/* Draws from the first WITNESSES of the pool, or when it must choose from the
 * first ELIGIBLE. Returns by how much the caps were raised, or an error. */
int poa_draw_committee(const struct poa_ledger *l, const struct overlay *o, uint32_t epoch,
                       uint32_t witnesses, uint32_t eligible, const uint8_t seed[32],
                       struct poa_writer *buffer, struct poa_committee *out);

#endif
