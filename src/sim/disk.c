/* Disks: an ordered log of operations whose tail is lost in a crash, block
 * stores, and how a node comes up from them. */
#include "world.h"

static void op_free(struct disk_op *op)
{
    free(op->bytes);
    free(op->fillers);
    op->bytes = op->fillers = NULL;
}

static void sync_start(struct poa_sim *s, struct node *n)
{
    struct disk *d = &n->disk;
    if (d->syncing || d->ops == d->synced)
        return;
    d->syncing = d->ops;
    event_push(s, (struct event){.at = s->now + between(&s->random, s->config.fsync_min_us,
                                                        s->config.fsync_max_us),
                                 .kind = EV_FSYNC,
                                 .node = n->id,
                                 .life = n->life,
                                 .value = d->ops});
}

void disk_append(struct poa_sim *s, struct node *n, struct disk_op op)
{
    struct disk *d = &n->disk;
    if (d->ops == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 256;
        d->op = realloc(d->op, d->cap * sizeof *d->op);
        POA_ASSERT(d->op);
    }
    d->op[d->ops++] = op;
    sync_start(s, n);
}

static void store_block(struct disk *d, struct disk_op *op)
{
    uint64_t h = op->block->height;
    if (h != d->height + 1)
        return; /* replayed at start */
    if (h > d->block_cap) {
        d->block_cap = d->block_cap ? d->block_cap * 2 : 256;
        d->block = realloc(d->block, d->block_cap * sizeof *d->block);
        POA_ASSERT(d->block);
    }
    d->block[h - 1] = (struct stored){.block = op->block,
                                      .cert = op->bytes,
                                      .cert_n = op->n,
                                      .fillers = op->fillers,
                                      .fillers_bytes = op->fillers_bytes,
                                      .fillers_n = op->fillers_n};
    op->bytes = op->fillers = NULL;
    d->height = h;
}

/* The first OPS operations are on the platter: applies commits and deletions
 * in their order, keeps records. */
void disk_synced(struct poa_sim *s, struct node *n, size_t ops)
{
    struct disk *d = &n->disk;
    uint64_t forget = 0;
    for (size_t i = d->synced; i < ops; i++) {
        struct disk_op *op = &d->op[i];
        if (op->kind == OP_RECORD) {
            n->durable = op->seq;
            check_durable(n, op->type, poa_slice(op->bytes, op->n));
        } else if (op->kind == OP_COMMIT) {
            store_block(d, op);
        } else if (op->kind == OP_STATE) {
            state_synced(d, op);
        } else {
            forget = op->seq;
        }
    }
    size_t kept = forget ? 0 : d->synced;
    for (size_t i = kept; i < ops; i++) {
        struct disk_op op = d->op[i];
        if (op.kind == OP_RECORD && op.seq >= forget)
            d->op[kept++] = op;
        else
            op_free(&op);
    }
    if (kept != ops)
        memmove(d->op + kept, d->op + ops, (d->ops - ops) * sizeof *d->op);
    d->ops -= ops - kept;
    d->synced = kept;
    d->syncing = 0;
    sync_start(s, n);
}

/* What was not synced is lost, but for some of its oldest part. */
void disk_crash(struct poa_sim *s, struct node *n)
{
    struct disk *d = &n->disk;
    size_t lucky = d->synced + below(&s->random, d->ops - d->synced + 1);
    d->syncing = 1; /* nothing new starts */
    for (size_t i = lucky; i < d->ops; i++)
        op_free(&d->op[i]);
    d->ops = lucky;
    disk_synced(s, n, lucky);
    d->syncing = 0;
    /* Blocks above the last certificate prove nothing: they are fetched again.
     * Those of the saved state were final when it was saved. */
    while (d->height > d->state_height && !d->block[d->height - 1].cert_n)
        free(d->block[--d->height].fillers);
}

void disk_free(struct disk *d)
{
    for (size_t i = 0; i < d->ops; i++)
        op_free(&d->op[i]);
    for (uint64_t h = 0; h < d->height; h++) {
        free(d->block[h].cert);
        free(d->block[h].fillers);
    }
    free(d->op);
    free(d->block);
    state_free(d);
}

void poa_sim_wipe_log(struct poa_sim *s, uint32_t node)
{
    struct disk *d = &s->node[node].disk;
    for (size_t i = 0; i < d->ops; i++)
        op_free(&d->op[i]);
    d->ops = d->synced = 0;
}

/* --- bundles ----------------------------------------------------------------------- */

static size_t block_bytes(struct poa_sim *s, const struct sim_block *b)
{
    size_t n = b->header.n + b->body.n + 16;
    for (uint32_t i = 0; i < b->batches; i++) {
        const struct sim_batch *x = batch_by_digest(s, b->batch[i]);
        n += x ? x->n + 8 : 0;
    }
    return n;
}

static void block_write(struct poa_sim *s, struct poa_writer *w, const struct sim_block *b)
{
    uint8_t *list = malloc(block_bytes(s, b));
    struct poa_writer l = poa_writer_over(list, block_bytes(s, b));
    struct poa_block out = {.header = b->header, .body = b->body};
    POA_ASSERT(list);
    for (uint32_t i = 0; i < b->batches; i++) {
        const struct sim_batch *x = batch_by_digest(s, b->batch[i]);
        POA_ASSERT(x); /* it was persisted before the commit */
        struct poa_raw_batch raw = {.batch = poa_slice(x->bytes, x->n)};
        POA_ASSERT(poa_raw_batch_encode(&l, &raw) == POA_OK);
    }
    out.batches = (struct poa_list){.bytes = poa_written(&l), .count = b->batches};
    POA_ASSERT(poa_block_encode(w, &out) == POA_OK);
    free(list);
}

/* Blocks after AFTER, of one epoch, up to one that has a certificate. */
struct message *bundle_make(struct poa_sim *s, const struct node *n, uint64_t after)
{
    const struct disk *d = &n->disk;
    uint64_t last = 0;
    size_t bytes = 0, upto = 0;
    for (uint64_t h = after + 1; h <= d->height && h <= after + 64; h++) {
        const struct stored *b = &d->block[h - 1];
        bytes += block_bytes(s, b->block) + b->fillers_bytes;
        if (b->cert_n) {
            last = h;
            upto = bytes;
        }
        if (b->block->kind == POA_BLOCK_CLOSING || bytes > 4000000)
            break;
    }
    if (!last)
        return NULL;
    const struct stored *end = &d->block[last - 1];
    uint8_t *list = malloc(upto);
    size_t cap = upto + end->cert_n + 16;
    uint8_t *out = malloc(cap);
    POA_ASSERT(list && out);
    struct poa_writer l = poa_writer_over(list, upto), w = poa_writer_over(out, cap);
    for (uint64_t h = after + 1; h <= last; h++)
        block_write(s, &l, d->block[h - 1].block);
    poa_write(&l, end->fillers, end->fillers_bytes);
    struct poa_blocks bundle = {
        .blocks = {.bytes = poa_written(&l), .count = (uint32_t)(last - after) + end->fillers_n},
        .cert = poa_slice(end->cert, end->cert_n)};
    POA_ASSERT(poa_blocks_encode(&w, &bundle) == POA_OK);
    struct message *m = message_new(n->id, POA_MSG_ANS_FOLLOW, poa_written(&w));
    free(list);
    free(out);
    return m;
}

int bundle_feed(struct poa_sim *s, struct node *n, struct poa_slice bytes)
{
    struct poa_blocks bundle;
    struct poa_block block;
    struct poa_raw_batch raw;
    uint32_t count = 0, life = n->life;
    if (poa_blocks_decode(bytes, &bundle))
        return POA_E_TRUNCATED;
    struct poa_list_iter it = poa_list_begin(&bundle.blocks);
    while (poa_block_next(&it, &block))
        count += block.batches.count;
    struct poa_checked_batch *checked = calloc(count + 1, sizeof *checked);
    POA_ASSERT(checked);
    uint32_t i = 0;
    it = poa_list_begin(&bundle.blocks);
    while (poa_block_next(&it, &block)) {
        struct poa_list_iter bt = poa_list_begin(&block.batches);
        while (poa_raw_batch_next(&bt, &raw)) {
            const struct sim_batch *b = batch_get(s, raw.batch);
            POA_ASSERT(b);
            checked[i++] = b->checked;
        }
    }
    struct poa_event e = {
        .kind = POA_EVENT_BLOCK, .bytes = bytes, .batch = checked, .batches = count};
    int code;
    do
        code = node_step(s, n, &e);
    while (code == POA_E_AGAIN && n->up && n->life == life);
    free(checked);
    return code;
}

/* --- coming up ------------------------------------------------------------------------- */

static int core_make(struct poa_sim *s, struct node *n)
{
    struct poa_alloc alloc = {.alloc = region_alloc, .free = region_free, .ctx = &n->memory};
    struct poa_ledger_config lc = {.suite = s->suite,
                                   .alloc = alloc,
                                   .genesis = poa_slice(s->genesis, s->genesis_n),
                                   .salt = n->id};
    struct poa_core_config cc = {
        .suite = s->suite,
        .alloc = alloc,
        .seed32 = n->has_key ? n->seed : NULL,
        .key32 = n->has_key ? n->key : NULL,
        .limits = s->config.limits,
        .mutant = n->kind == HONEST    ? s->config.mutant
                  : n->kind == BYZ_GAP ? POA_MUTANT_STALE_PARENT
                                       : POA_MUTANT_NONE,
    };
    struct poa_ledger *ledger;
    int e = poa_ledger_new(&lc, &ledger);
    if (e)
        return e;
    const struct disk *d = &n->disk;
    if (d->state_height) {
        const struct stored *tip = &d->block[d->state_height - 1];
        e = state_load(d, ledger);
        if (e) {
            poa_ledger_free(ledger);
            return e;
        }
        cc.tip_header = tip->block->header;
        cc.tip_cert = poa_slice(tip->cert, tip->cert_n);
    }
    cc.ledger = n->ledger = ledger;
    e = poa_core_new(&cc, node_now(s, n), &n->core);
    if (e)
        poa_ledger_free(ledger);
    return e;
}

int node_open(struct poa_sim *s, struct node *n)
{
    struct disk *d = &n->disk;
    uint32_t life = n->life;
    int e = core_make(s, n);
    if (e)
        return e;
    n->restored = false;
    check_first(s, n);
    if (!d->ops && !d->height && n->has_key && !n->lost) {
        uint8_t buffer[128];
        struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
        e = poa_core_init_record(s->chain, n->key, &w);
        struct disk_op op = {
            .kind = OP_RECORD, .type = POA_WAL_EPOCH, .seq = 1, .bytes = malloc(w.n), .n = w.n};
        POA_ASSERT(!e && op.bytes);
        memcpy(op.bytes, buffer, w.n);
        disk_append(s, n, op);
        d->synced = d->ops;
        d->syncing = 0;
    }
    if (s->config.sim_mutant == POA_SIM_MUTANT_LOSE_LOG && n->kind == HONEST)
        for (size_t i = 0; i < d->ops;) {
            if (d->op[i].type == POA_WAL_EPOCH) {
                i++;
                continue;
            }
            op_free(&d->op[i]);
            memmove(d->op + i, d->op + i + 1, (--d->ops - i) * sizeof *d->op);
            d->synced = d->ops;
        }
    n->height = d->state_height;
    n->durable = d->synced ? d->op[d->synced - 1].seq : 0;
    for (struct message *m; (m = bundle_make(s, n, n->height));) {
        e = bundle_feed(s, n, poa_slice(m->bytes, m->n));
        message_free(m);
        if (e || !n->up || n->life != life)
            return e;
    }
    size_t ops = d->ops;
    for (size_t i = 0; i < ops && n->up && n->life == life; i++) {
        struct poa_event ev = {.kind = POA_EVENT_RESTORE,
                               .type = d->op[i].type,
                               .seq = d->op[i].seq,
                               .bytes = poa_slice(d->op[i].bytes, d->op[i].n)};
        if (d->op[i].kind == OP_RECORD && (e = node_step(s, n, &ev)) != POA_OK)
            return e;
    }
    struct poa_event ev = {.kind = POA_EVENT_RESTORED};
    n->restored = true;
    return node_step(s, n, &ev);
}
