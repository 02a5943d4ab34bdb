/* Transactions that wait at their home server.
 *
 * A sender's transactions come in the order of their nonces and leave in it;
 * senders take turns, one transaction each. Rows and bytes are taken from
 * arrays that are made once: adding allocates nothing. The pool is never full for
 * all because of a few: a sender may have as much as is still free, so one alone
 * gets half, two a third each, and who has nothing here finds room. When even
 * that is gone, because very many wait, who has nothing here takes the place of
 * the last ones of the sender that pays least for its bytes, for a tenth more and
 * with a transaction that must pay: docs/ledger.md says why that cannot be gamed.
 * Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds for
 * Shared-Memory Packet Switches", 1998, with alpha = 1. */
#include "ledger.h"

#define BLOCK_BYTES 128u
/* A transaction that left for a batch and is in no block after this long is
 * forgotten: its batch is lost or expired. */
#define TAKEN_MS 60000u
/* How often everything is looked through for what can no longer run. */
#define SWEEP_MS 1000u
/* Fees count up to this, so that sums and products stay in range. */
#define FEE_COUNTS_MAX ((uint64_t)1 << 40)

struct row {
    uint8_t id[32];
    uint8_t sender[32];
    uint64_t nonce, cost, fee, valid_until;
    uint64_t since_ms;     /* added, or taken */
    uint32_t bytes, block; /* length, first block */
    uint32_t id_next;      /* in its bucket */
    uint32_t earlier;      /* same sender, nonce before */
    uint32_t later;        /* and next; free list */
    bool used, taken;
    bool certain; /* nothing but its own account decides whether it pays */
    bool settled; /* a final block had it, whatever came of that */
};

struct account {
    uint8_t sender[32];
    uint32_t first, last; /* rows by nonce */
    uint32_t wait;        /* first row that waits, as do all after it; NIL: none */
    uint32_t count, blocks;
    uint32_t next;          /* in its bucket; free list */
    uint32_t before, after; /* whose turn is next: while WAIT */
    /* Of the rows that wait. */
    uint64_t fees;
    uint32_t wait_blocks;
    uint32_t heap; /* place in the heap + 1; 0: nothing waits */
};

struct poa_mempool {
    struct poa_alloc alloc;
    struct poa_mempool_limits limits;
    struct row *row;
    struct account *account;
    uint8_t *bytes;
    uint32_t *block_next;
    uint32_t *id_bucket, *account_bucket;
    uint32_t *heap; /* accounts with something that waits; each pays no more than those below */
    uint32_t heap_n;
    uint32_t bucket_mask;
    uint32_t blocks, block_used, block_free, block_free_count;
    uint32_t row_used, row_free;
    uint32_t account_used, account_free;
    uint32_t first, last; /* accounts in turn */
    uint32_t count;
    uint64_t now_ms, swept_ms;
    struct poa_tx_gone_list *gone; /* or NULL */
};

int poa_mempool_new(const struct poa_alloc *alloc, const struct poa_mempool_limits *limits,
                    struct poa_mempool **out)
{
    if (!limits->txs || limits->txs > 1u << 24 || !limits->per_account ||
        limits->bytes / BLOCK_BYTES > UINT32_MAX - 1)
        return POA_E_RANGE;
    struct poa_mempool *m = poa_mem_new(alloc, sizeof *m);
    if (!m)
        return POA_E_NO_MEMORY;
    uint32_t buckets = 64;
    while (buckets < limits->txs)
        buckets *= 2;
    m->alloc = *alloc;
    m->limits = *limits;
    m->blocks = (uint32_t)(limits->bytes / BLOCK_BYTES);
    m->bucket_mask = buckets - 1;
    m->block_free = m->row_free = m->account_free = m->first = m->last = NIL;
    m->row = poa_mem_new(alloc, limits->txs * sizeof *m->row);
    m->account = poa_mem_new(alloc, limits->txs * sizeof *m->account);
    m->heap = poa_mem_new(alloc, limits->txs * sizeof *m->heap);
    m->bytes = poa_mem_new(alloc, (size_t)m->blocks * BLOCK_BYTES + 1);
    m->block_next = poa_mem_new(alloc, ((size_t)m->blocks + 1) * sizeof *m->block_next);
    /* Buckets hold index + 1, so that fresh zeroed memory is empty. */
    m->id_bucket = poa_mem_new(alloc, buckets * sizeof *m->id_bucket);
    m->account_bucket = poa_mem_new(alloc, buckets * sizeof *m->account_bucket);
    if (!m->row || !m->account || !m->heap || !m->bytes || !m->block_next || !m->id_bucket ||
        !m->account_bucket) {
        poa_mempool_free(m);
        return POA_E_NO_MEMORY;
    }
    *out = m;
    return POA_OK;
}

void poa_mempool_free(struct poa_mempool *m)
{
    if (!m)
        return;
    struct poa_alloc alloc = m->alloc;
    poa_mem_free(&alloc, m->row);
    poa_mem_free(&alloc, m->account);
    poa_mem_free(&alloc, m->heap);
    poa_mem_free(&alloc, m->bytes);
    poa_mem_free(&alloc, m->block_next);
    poa_mem_free(&alloc, m->id_bucket);
    poa_mem_free(&alloc, m->account_bucket);
    poa_mem_free(&alloc, m);
}

uint32_t poa_mempool_count(const struct poa_mempool *m)
{
    return m->count;
}

void poa_mempool_tell(struct poa_mempool *m, struct poa_tx_gone_list *list)
{
    m->gone = list;
}

void poa_tx_gone_add(struct poa_tx_gone_list *list, const uint8_t id32[32], int code)
{
    if (list->n == list->cap)
        return;
    struct poa_tx_gone *g = &list->tx[list->n++];
    memcpy(g->id, id32, 32);
    g->code = code;
}

/* --- finding ------------------------------------------------------------------------- */

static uint32_t *bucket_of(const struct poa_mempool *m, uint32_t *buckets, const uint8_t key[32])
{
    return &buckets[poa_le32(key + 8) & m->bucket_mask];
}

static uint32_t find_row(const struct poa_mempool *m, const uint8_t id[32])
{
    uint32_t i = *bucket_of(m, m->id_bucket, id);
    while (i && memcmp(m->row[i - 1].id, id, 32))
        i = m->row[i - 1].id_next;
    return i ? i - 1 : NIL;
}

static uint32_t find_account(const struct poa_mempool *m, const uint8_t sender[32])
{
    uint32_t i = *bucket_of(m, m->account_bucket, sender);
    while (i && memcmp(m->account[i - 1].sender, sender, 32))
        i = m->account[i - 1].next;
    return i ? i - 1 : NIL;
}

/* --- bytes ------------------------------------------------------------------------------ */

static uint32_t blocks_for(size_t n)
{
    return (uint32_t)((n + BLOCK_BYTES - 1) / BLOCK_BYTES);
}

static uint32_t store_bytes(struct poa_mempool *m, struct poa_slice s)
{
    uint32_t first = NIL, *link = &first;
    while (s.n) {
        uint32_t b = m->block_free;
        if (b != NIL) {
            m->block_free = m->block_next[b];
            m->block_free_count--;
        } else {
            b = m->block_used++;
        }
        size_t part = s.n < BLOCK_BYTES ? s.n : BLOCK_BYTES;
        memcpy(m->bytes + (size_t)b * BLOCK_BYTES, s.p, part);
        s = poa_slice(s.p + part, s.n - part);
        *link = b;
        link = &m->block_next[b];
    }
    *link = NIL;
    return first;
}

static void free_bytes(struct poa_mempool *m, uint32_t b)
{
    while (b != NIL) {
        uint32_t next = m->block_next[b];
        m->block_next[b] = m->block_free;
        m->block_free = b;
        m->block_free_count++;
        b = next;
    }
}

/* --- who pays least ------------------------------------------------------------------------ */

__extension__ typedef unsigned __int128 wide;

/* Whether A fees for A_BLOCKS are less per block than B fees for B_BLOCKS. */
static bool pays_less(uint64_t a, uint32_t a_blocks, uint64_t b, uint32_t b_blocks)
{
    return (wide)a * b_blocks < (wide)b * a_blocks;
}

static bool below(const struct poa_mempool *m, uint32_t i, uint32_t k)
{
    const struct account *a = &m->account[m->heap[i]], *b = &m->account[m->heap[k]];
    return pays_less(a->fees, a->wait_blocks, b->fees, b->wait_blocks);
}

static void heap_put(struct poa_mempool *m, uint32_t at, uint32_t a)
{
    m->heap[at] = a;
    m->account[a].heap = at + 1;
}

static void heap_swap(struct poa_mempool *m, uint32_t i, uint32_t k)
{
    uint32_t a = m->heap[i], b = m->heap[k];
    heap_put(m, i, b);
    heap_put(m, k, a);
}

static void heap_fix(struct poa_mempool *m, uint32_t at)
{
    for (; at && below(m, at, (at - 1) / 2); at = (at - 1) / 2)
        heap_swap(m, at, (at - 1) / 2);
    for (uint32_t child; (child = 2 * at + 1) < m->heap_n; at = child) {
        child += child + 1 < m->heap_n && below(m, child + 1, child);
        if (!below(m, child, at))
            return;
        heap_swap(m, at, child);
    }
}

/* What account A has waiting changed. */
static void reweigh(struct poa_mempool *m, uint32_t a)
{
    struct account *acc = &m->account[a];
    if (acc->wait_blocks && !acc->heap)
        heap_put(m, m->heap_n++, a);
    if (acc->wait_blocks) {
        heap_fix(m, acc->heap - 1);
    } else if (acc->heap) {
        uint32_t at = acc->heap - 1, last = m->heap[--m->heap_n];
        acc->heap = 0;
        if (last != a) {
            heap_put(m, at, last);
            heap_fix(m, at);
        }
    }
}

static uint64_t counted(uint64_t fee)
{
    return fee < FEE_COUNTS_MAX ? fee : FEE_COUNTS_MAX;
}

static void starts_waiting(struct account *acc, const struct row *r)
{
    acc->fees += counted(r->fee);
    acc->wait_blocks += blocks_for(r->bytes);
}

static void stops_waiting(struct account *acc, const struct row *r)
{
    acc->fees -= counted(r->fee);
    acc->wait_blocks -= blocks_for(r->bytes);
}

/* --- rows --------------------------------------------------------------------------------- */

/* Puts account A behind the others; takes it out. */
static void turn_last(struct poa_mempool *m, uint32_t a)
{
    struct account *acc = &m->account[a];
    acc->before = m->last;
    acc->after = NIL;
    *(m->last == NIL ? &m->first : &m->account[m->last].after) = a;
    m->last = a;
}

static void turn_over(struct poa_mempool *m, uint32_t a)
{
    const struct account *acc = &m->account[a];
    *(acc->before == NIL ? &m->first : &m->account[acc->before].after) = acc->after;
    *(acc->after == NIL ? &m->last : &m->account[acc->after].before) = acc->before;
}

/* WHY (POA_OK: nobody needs to know) row R is let go. */
static void tell(struct poa_mempool *m, const struct row *r, int why)
{
    if (why && m->gone && !r->settled)
        poa_tx_gone_add(m->gone, r->id, why);
}

/* Takes row I of account A out of everything. */
static void remove_row(struct poa_mempool *m, uint32_t a, uint32_t i, int why)
{
    struct account *acc = &m->account[a];
    struct row *r = &m->row[i];
    tell(m, r, why);
    uint32_t *link = bucket_of(m, m->id_bucket, r->id);
    while (*link != i + 1)
        link = &m->row[*link - 1].id_next;
    *link = r->id_next;
    if (!r->taken) {
        stops_waiting(acc, r);
        reweigh(m, a);
    }
    if (acc->wait == i) {
        acc->wait = r->later;
        if (acc->wait == NIL)
            turn_over(m, a);
    }
    free_bytes(m, r->block);
    acc->blocks -= blocks_for(r->bytes);
    *(r->earlier == NIL ? &acc->first : &m->row[r->earlier].later) = r->later;
    *(r->later == NIL ? &acc->last : &m->row[r->later].earlier) = r->earlier;
    acc->count--;
    r->used = false;
    r->later = m->row_free;
    m->row_free = i;
    m->count--;
    if (acc->count)
        return;
    link = bucket_of(m, m->account_bucket, acc->sender);
    while (*link != a + 1)
        link = &m->account[*link - 1].next;
    *link = acc->next;
    acc->next = m->account_free;
    m->account_free = a;
}

static void remove_first(struct poa_mempool *m, uint32_t a, int why)
{
    remove_row(m, a, m->account[a].first, why);
}

/* The first for WHY; those behind it wait for a nonce that will not come. */
static void remove_all(struct poa_mempool *m, uint32_t a, int why)
{
    for (uint32_t n = m->account[a].count; n; n--) {
        remove_first(m, a, why);
        why = why ? POA_E_TX_NONCE_GAP : POA_OK;
    }
}

static uint32_t take_slot(uint32_t *used, uint32_t *free_head, uint32_t next)
{
    uint32_t i = *free_head;
    if (i == NIL)
        return (*used)++;
    *free_head = next;
    return i;
}

static uint32_t new_account(struct poa_mempool *m, const uint8_t sender[32])
{
    uint32_t a = take_slot(&m->account_used, &m->account_free,
                           m->account_free == NIL ? NIL : m->account[m->account_free].next);
    struct account *acc = &m->account[a];
    uint32_t *bucket = bucket_of(m, m->account_bucket, sender);
    *acc = (struct account){.first = NIL, .last = NIL, .wait = NIL, .next = *bucket};
    memcpy(acc->sender, sender, 32);
    *bucket = a + 1;
    return a;
}

/* Same sender and nonce, not yet taken, for a fee a tenth higher: takes the
 * place of ROW. */
static void replace(struct poa_mempool *m, uint32_t a, uint32_t i, const struct poa_tx_view *tx,
                    bool certain)
{
    struct row *r = &m->row[i];
    tell(m, r, POA_E_TX_REPLACED);
    stops_waiting(&m->account[a], r);
    m->account[a].blocks += blocks_for(tx->raw.n) - blocks_for(r->bytes);
    uint32_t *link = bucket_of(m, m->id_bucket, r->id);
    while (*link != i + 1)
        link = &m->row[*link - 1].id_next;
    *link = r->id_next;
    free_bytes(m, r->block);
    memcpy(r->id, tx->id, 32);
    r->cost = tx->cost;
    r->fee = tx->tx.fee;
    r->valid_until = tx->tx.valid_until;
    r->bytes = (uint32_t)tx->raw.n;
    r->block = store_bytes(m, tx->raw);
    r->certain = certain;
    starts_waiting(&m->account[a], r);
    reweigh(m, a);
    link = bucket_of(m, m->id_bucket, r->id);
    r->id_next = *link;
    *link = i + 1;
}

static void append(struct poa_mempool *m, uint32_t a, const struct poa_tx_view *tx, bool certain)
{
    uint32_t i =
        take_slot(&m->row_used, &m->row_free, m->row_free == NIL ? NIL : m->row[m->row_free].later);
    struct row *r = &m->row[i];
    struct account *acc = &m->account[a];
    uint32_t *bucket = bucket_of(m, m->id_bucket, tx->id);
    *r = (struct row){.nonce = tx->tx.nonce,
                      .cost = tx->cost,
                      .fee = tx->tx.fee,
                      .valid_until = tx->tx.valid_until,
                      .since_ms = m->now_ms,
                      .bytes = (uint32_t)tx->raw.n,
                      .block = store_bytes(m, tx->raw),
                      .id_next = *bucket,
                      .earlier = acc->count ? acc->last : NIL,
                      .later = NIL,
                      .used = true,
                      .certain = certain};
    memcpy(r->id, tx->id, 32);
    memcpy(r->sender, tx->tx.sender, 32);
    *bucket = i + 1;
    *(acc->count ? &m->row[acc->last].later : &acc->first) = i;
    acc->last = i;
    acc->count++;
    acc->blocks += blocks_for(tx->raw.n);
    m->count++;
    if (acc->wait == NIL) {
        acc->wait = i;
        turn_last(m, a);
    }
    starts_waiting(acc, r);
    reweigh(m, a);
}

void poa_mempool_clear(struct poa_mempool *m)
{
    for (uint32_t i = 0; i < m->row_used && m->count; i++)
        if (m->row[i].used)
            remove_all(m, find_account(m, m->row[i].sender), POA_OK);
}

/* --- a full pool ------------------------------------------------------------------------------ */

static bool native(const struct poa_op *op)
{
    union op_record u;
    if (poa_record_decode(poa_op_record_of(op->kind), op->body, &u))
        return false;
    return op->kind == POA_OP_TRANSFER      ? !u.TRANSFER.asset
           : op->kind == POA_OP_PURCHASE    ? !u.PURCHASE.asset
           : op->kind == POA_OP_ESCROW_OPEN ? !u.ESCROW_OPEN.asset
                                            : false;
}

/* Whether nothing but its sender's nonce and native balance decides if TX is
 * executed, and so pays: no other account can make it fail. */
static bool is_certain(const struct poa_ledger *l, const struct poa_tx_view *tx)
{
    struct poa_list_iter it = poa_list_begin(&tx->tx.ops);
    struct poa_op op;
    if (l->genesis.hold_above)
        return false; /* what is held needs room there */
    while (poa_op_next(&it, &op))
        if (!native(&op))
            return false;
    return true;
}

static uint32_t room(const struct poa_mempool *m)
{
    return m->blocks - m->block_used + m->block_free_count;
}

/* Makes room for TX of BLOCKS, whose sender has nothing here; nothing is changed
 * when it cannot. */
static bool make_room(struct poa_mempool *m, const struct poa_ledger *l,
                      const struct poa_tx_view *tx, uint32_t blocks)
{
    uint32_t v = m->heap_n ? m->heap[0] : NIL;
    const struct account *poor = &m->account[v == NIL ? 0 : v];
    if (v == NIL || !is_certain(l, tx))
        return false;
    /* One that expires before its turn never pays. */
    if (tx->tx.valid_until && tx->tx.valid_until < m->now_ms + TAKEN_MS)
        return false;
    if (!pays_less(poor->fees * 11, poor->wait_blocks * 10, counted(tx->tx.fee), blocks))
        return false;
    /* The last ones of that account, as many as it takes. */
    uint32_t i = poor->last, leave = 1, freed;
    for (freed = blocks_for(m->row[i].bytes); room(m) + freed < blocks; leave++) {
        i = m->row[i].earlier;
        if (i == NIL || m->row[i].taken)
            return false;
        freed += blocks_for(m->row[i].bytes);
    }
    for (; leave; leave--)
        remove_row(m, v, m->account[v].last, POA_E_TX_EVICTED);
    return true;
}

int poa_mempool_add(struct poa_mempool *m, const struct poa_ledger *l, poa_state_id s,
                    uint64_t time_ms, const struct poa_tx_view *tx)
{
    struct poa_st_account st = {.balance = 0};
    uint64_t pending = 0, spent = 0, behind = 0;
    uint32_t a = find_account(m, tx->tx.sender), same = NIL;
    if (time_ms > m->now_ms)
        m->now_ms = time_ms;
    if (find_row(m, tx->id) != NIL)
        return POA_E_TX_DUPLICATE;
    int e = poa_ledger_read(l, s, POA_STATE_ACCOUNT, tx->tx.sender, 32, &st);
    if (e && e != POA_E_NOT_FOUND)
        return e;
    /* What waits before it and S has not seen; what waits behind the one it replaces. */
    for (uint32_t i = a == NIL ? NIL : m->account[a].first; i != NIL; i = m->row[i].later) {
        const struct row *r = &m->row[i];
        uint64_t *sum = same == NIL ? &spent : &behind;
        if (r->nonce < st.nonce)
            continue;
        if (r->nonce == tx->tx.nonce) {
            same = i;
            continue;
        }
        pending += same == NIL;
        *sum = r->cost > UINT64_MAX - *sum ? UINT64_MAX : *sum + r->cost;
    }
    e = poa_ledger_try_tx(l, s, time_ms, tx, pending, spent);
    if (e)
        return e;
    bool certain = is_certain(l, tx);
    uint32_t blocks = blocks_for(tx->raw.n);
    if (same != NIL) {
        const struct row *r = &m->row[same];
        if (r->taken)
            return POA_E_TX_NONCE_USED;
        if (tx->tx.fee < r->fee + r->fee / 10 + 1 || (r->certain && !certain))
            return POA_E_TX_REPLACE;
        if (behind > st.balance - spent - tx->cost) /* those behind it could not pay any more */
            return POA_E_TX_BALANCE;
        if (room(m) + blocks_for(r->bytes) < blocks)
            return POA_E_TX_POOL_FULL;
        replace(m, a, same, tx, certain);
        return POA_OK;
    }
    uint32_t has = a == NIL ? 0 : m->account[a].count, holds = a == NIL ? 0 : m->account[a].blocks;
    bool shares = room(m) >= holds + blocks && m->limits.txs - m->count > has;
    if (has && (!shares || has >= m->limits.per_account))
        return POA_E_TX_ACCOUNT_FULL;
    if (!shares && !make_room(m, l, tx, blocks))
        return POA_E_TX_POOL_FULL;
    append(m, a == NIL ? new_account(m, tx->tx.sender) : a, tx, certain);
    return POA_OK;
}

uint32_t poa_mempool_take(struct poa_mempool *m, struct poa_writer *out, size_t max_bytes,
                          uint32_t max_txs)
{
    uint32_t taken = 0;
    size_t start = out->n;
    while (m->first != NIL && taken < max_txs) {
        uint32_t a = m->first;
        struct account *acc = &m->account[a];
        struct row *r = &m->row[acc->wait];
        size_t left = r->bytes;
        /* raw_tx: u32 length, bytes. */
        if (out->n - start + 4 + left > max_bytes || out->cap - out->n < 4 + left)
            break;
        poa_write_u32(out, r->bytes);
        for (uint32_t b = r->block; b != NIL; b = m->block_next[b]) {
            size_t part = left < BLOCK_BYTES ? left : BLOCK_BYTES;
            poa_write(out, m->bytes + (size_t)b * BLOCK_BYTES, part);
            left -= part;
        }
        stops_waiting(acc, r);
        reweigh(m, a);
        turn_over(m, a);
        acc->wait = r->later;
        if (acc->wait != NIL)
            turn_last(m, a);
        r->taken = true;
        r->since_ms = m->now_ms;
        taken++;
    }
    return taken;
}

/* Forgets what of account A the chain has passed, and all of it when its first
 * can never run. */
static void sweep_account(struct poa_mempool *m, const struct poa_ledger *l, uint32_t a,
                          uint64_t time_ms)
{
    struct poa_st_account st = {.balance = 0};
    int e = poa_ledger_read(l, POA_STATE_BASE, POA_STATE_ACCOUNT, m->account[a].sender, 32, &st);
    POA_ASSERT(e == POA_OK || e == POA_E_NOT_FOUND);
    while (m->account[a].count) {
        const struct row *r = &m->row[m->account[a].first];
        if (r->nonce >= st.nonce) {
            bool late = r->valid_until && r->valid_until < time_ms;
            /* Ahead of the base is normal while a block that will run its
             * predecessor is not final yet. */
            bool stuck = (r->taken || r->nonce > st.nonce) && time_ms > r->since_ms + TAKEN_MS;
            if (late || stuck)
                remove_all(m, a,
                           late       ? POA_E_TX_EXPIRED
                           : r->taken ? POA_E_TX_LOST
                                      : POA_E_TX_NONCE_GAP);
            return;
        }
        remove_first(m, a, POA_E_TX_NONCE_USED);
    }
}

/* A batch ran before one that it depends on: what account A had given away
 * waits again, in the order of nonces. */
static void requeue(struct poa_mempool *m, uint32_t a)
{
    struct account *acc = &m->account[a];
    for (uint32_t i = acc->first; i != NIL; i = m->row[i].later) {
        if (m->row[i].taken)
            starts_waiting(acc, &m->row[i]);
        m->row[i].taken = false;
        m->row[i].since_ms = m->now_ms;
    }
    reweigh(m, a);
    if (acc->wait == NIL)
        turn_last(m, a);
    acc->wait = acc->first;
}

void poa_mempool_settle(struct poa_mempool *m, const struct poa_ledger *l,
                        const struct poa_tx_result *results, size_t n, uint64_t time_ms)
{
    for (size_t k = 0; k < n; k++) {
        uint32_t i = find_row(m, results[k].id);
        if (i != NIL && results[k].code != POA_E_TX_NONCE_GAP)
            m->row[i].settled = true;
    }
    for (size_t k = 0; k < n; k++) {
        uint32_t i = find_row(m, results[k].id);
        if (i == NIL)
            continue;
        uint32_t a = find_account(m, m->row[i].sender);
        if (results[k].code == POA_OK || results[k].code == POA_E_TX_NONCE_USED)
            sweep_account(m, l, a, time_ms); /* used: two homes had it, one was first */
        else if (results[k].code == POA_E_TX_NONCE_GAP)
            requeue(m, a);
        else
            remove_all(m, a, POA_E_TX_NONCE_GAP);
    }
    if (time_ms > m->now_ms)
        m->now_ms = time_ms;
    if (time_ms < m->swept_ms + SWEEP_MS)
        return;
    m->swept_ms = time_ms;
    for (uint32_t i = 0; i < m->row_used; i++)
        if (m->row[i].used) {
            uint32_t a = find_account(m, m->row[i].sender);
            if (m->account[a].first == i)
                sweep_account(m, l, a, time_ms);
        }
}
