#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_ledger.h"
#include "poa_node_memo.h"
#include "poa_store.h"

/* Batches that workers hold or that wait for execution. */
#define AHEAD 16
/* Write-ahead references of blocks older than this are forgotten. */
#define FORGET_BLOCKS 8

struct poa_store *pipe_store(const struct world *w, const char *dir, bool tx_index)
{
    struct poa_store *s = NULL;
    struct poa_why why = {""};
    /* As poad's defaults: docs/config.md. */
    struct poa_store_config c = {.dir = dir,
                                 .chain32 = w->chain,
                                 .create = true,
                                 .tx_index = tx_index,
                                 .write_buffer_bytes = (size_t)1 << 20,
                                 .cache_bytes = (size_t)1 << 20,
                                 .max_open_files = 100};
    if (poa_store_open(&c, &s, &why)) {
        fprintf(stderr, "bench: %s\n", why.text);
        exit(1);
    }
    return s;
}

/* --- I/O thread ------------------------------------------------------------------------ */

static void io_send(void *ctx, const struct node_send *to, struct poa_slice bytes)
{
    (void)ctx;
    (void)to;
    (void)bytes;
}

static void io_durable(void *ctx, uint64_t seq)
{
    __atomic_store_n(&((struct pipe *)ctx)->durable, seq, __ATOMIC_RELEASE);
}

static void io_stored(void *ctx, uint64_t height)
{
    (void)ctx;
    (void)height;
}

static void io_failed(void *ctx, int error, const char *why)
{
    (void)ctx;
    fprintf(stderr, "bench: cannot write: %s\n", why);
    bench_must(error, "store");
}

void pipe_open(struct pipe *p, const struct world *w, struct poa_ledger *l, struct poa_store *s,
               unsigned workers)
{
    *p = (struct pipe){.world = w, .ledger = l, .store = s};
    struct node_io_config c = {.store = s,
                               .bytes_max = (size_t)64 << 20,
                               .ctx = p,
                               .send = io_send,
                               .durable = io_durable,
                               .stored = io_stored,
                               .failed = io_failed};
    /* A node that starts remembers no signature. */
    node_memo_open(&poa_suite_ed25519);
    bench_must(node_io_start(&c, &p->io), "I/O thread");
    bench_must(node_workers_new(w->chain, workers, 1024, &p->workers), "workers");
    world_helpers.workers = p->workers;
}

void pipe_close(struct pipe *p)
{
    world_helpers.workers = NULL;
    node_io_stop(p->io);
    node_workers_stop(p->workers);
    node_workers_free(p->workers);
}

size_t pipe_checkpoint(struct pipe *p)
{
    struct node_checkpoint c;
    bench_must(node_checkpoint_new(p->ledger, &c), "checkpoint");
    bench_must(node_io_checkpoint(p->io, &c), "checkpoint");
    bench_must(node_io_sync(p->io), "checkpoint");
    return c.n;
}

/* --- batches through the workers --------------------------------------------------------- */

/* A batch on its way; as the node's (submit.c), it is copied, decoded and
 * checked once. */
struct item {
    struct node_check *check;
    struct poa_slice bytes;
    uint8_t digest[32];
    bool ready;
};

struct stream {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct item item[AHEAD];
};

struct checking {
    struct stream *stream;
    struct item *item;
};

static void batch_checked(struct node_check *c)
{
    struct checking *k = c->ctx;
    for (uint32_t i = 0; i < c->n; i++)
        bench_must(c->code[i], "a transaction of the load");
    poa_batch_digest(k->item->bytes, k->item->digest);
    pthread_mutex_lock(&k->stream->mutex);
    k->item->ready = true;
    pthread_cond_signal(&k->stream->cond);
    pthread_mutex_unlock(&k->stream->mutex);
}

static void check_batch(struct pipe *p, struct stream *s, struct item *item, struct poa_slice bytes)
{
    struct poa_batch batch;
    struct poa_raw_tx tx;
    void *extra = NULL;
    bench_must(poa_batch_decode(bytes, &batch), "batch");
    struct node_check *c =
        node_check_new(batch.txs.count, sizeof(struct checking) + bytes.n, &extra);
    bench_must(c ? POA_OK : POA_E_NO_MEMORY, "batch");
    struct checking *k = extra;
    uint8_t *copy = (uint8_t *)(k + 1);
    memcpy(copy, bytes.p, bytes.n);
    *k = (struct checking){s, item};
    item->check = c;
    item->bytes = poa_slice(copy, bytes.n);
    item->ready = false;
    c->ctx = k;
    c->done = batch_checked;
    struct poa_list_iter it = poa_list_begin(&batch.txs);
    for (uint32_t i = 0; poa_raw_tx_next(&it, &tx); i++)
        c->raw[i] = poa_slice(copy + (tx.tx.p - bytes.p), tx.tx.n);
    bench_must(node_workers_check(p->workers, c), "workers");
}

/* --- a block ----------------------------------------------------------------------------- */

/* The header of the next block, as its leader makes it. */
static void next_header(struct pipe *p, struct poa_slice body, struct poa_header *h,
                        uint8_t beta[64])
{
    struct poa_st_global g;
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    uint8_t alpha[32], key[32];
    poa_ledger_global(p->ledger, POA_STATE_BASE, &g);
    *h = (struct poa_header){.version = 1,
                             .view = p->view + 1,
                             .height = g.height + 1,
                             .parent_view = p->view,
                             .time_ms = g.time_ms + 100};
    p->view++;
    memcpy(h->chain, p->world->chain, 32);
    memcpy(h->parent, g.hash, 32);
    poa_body_hash(body, h->body);
    poa_ledger_root(p->ledger, POA_STATE_BASE, h->state);
    bench_must(poa_ledger_epoch(p->ledger, POA_STATE_BASE, 0, &epoch, &committee, NULL), "epoch");
    h->leader = (uint16_t)(h->view % WITNESSES);
    bench_must(poa_committee_key(&committee, h->leader, key), "leader");
    poa_beacon_alpha(p->world->chain, 0, h->view, epoch.seed, alpha);
    for (uint32_t i = 0; i < WITNESSES; i++)
        if (!memcmp(p->world->witness[i].key, key, 32))
            bench_must(
                poa_suite_ed25519.vrf_prove(p->world->witness[i].seed, key, alpha, 32, h->beacon),
                "beacon");
    bench_must(poa_suite_ed25519.vrf_verify(key, alpha, 32, h->beacon, beta), "beacon");
}

/* The finalization that a quorum signs. */
static struct poa_slice certify(const struct pipe *p, const struct poa_header *h,
                                const uint8_t hash[32], uint8_t *out, size_t cap)
{
    struct poa_committee committee;
    uint8_t sigs[QUORUM * 64], digest[32], key[32];
    struct poa_cert c = {.kind = POA_VOTE_FINALIZE, .view = h->view};
    struct poa_writer w = poa_writer_over(out, cap);
    bench_must(poa_ledger_epoch(p->ledger, POA_STATE_BASE, 0, NULL, &committee, NULL), "epoch");
    memcpy(c.hash, hash, 32);
    c.signers[0] = (1u << QUORUM) - 1;
    poa_vote_digest(p->world->chain, POA_VOTE_FINALIZE, 0, h->view, hash, digest);
    for (uint32_t i = 0; i < QUORUM; i++) {
        bench_must(poa_committee_key(&committee, i, key), "member");
        for (uint32_t k = 0; k < WITNESSES; k++)
            if (!memcmp(p->world->witness[k].key, key, 32))
                poa_suite_ed25519.sign(p->world->witness[k].seed, key, digest, 32, sigs + 64 * i);
    }
    c.sigs = (struct poa_list){poa_slice(sigs, sizeof sigs), QUORUM};
    bench_must(poa_cert_encode(&w, &c), "certificate");
    return poa_written(&w);
}

/* Executes VIEW as the next block; HEADER and HASH say which. */
static void execute(struct pipe *p, const struct poa_tx_view *const *view, uint32_t txs,
                    struct poa_slice body, struct poa_header *h, uint8_t hash[32],
                    struct poa_block_result *result)
{
    uint8_t beta[64];
    next_header(p, body, h, beta);
    struct poa_block_in in = {
        .header = h, .body = body, .tx = view, .txs = txs, .beacon_beta = beta};
    poa_header_hash(h, hash);
    memcpy(in.hash, hash, 32);
    poa_state_id s = POA_STATE_BASE;
    int rc;
    do {
        bench_must(poa_ledger_reserve(p->ledger), "memory");
        rc = poa_ledger_execute(p->ledger, POA_STATE_BASE, &in, &s, result);
    } while (rc == POA_E_FULL);
    bench_must(rc, "block");
    bench_must(poa_ledger_apply(p->ledger, s), "apply");
    p->executed += result->executed;
    p->failed += result->failed;
}

static const struct poa_tx_view *view[16384];
static struct poa_tx_result fate[16384];

static void run_block(struct pipe *p, struct item *const *item, uint32_t items)
{
    uint8_t digests[BLOCK_BATCHES][32], body[4096], cert[2048], header[POA_HEADER_BYTES];
    struct poa_header h;
    struct poa_block_result result = {.tx = fate};
    struct poa_writer bw = poa_writer_over(body, sizeof body);
    struct poa_writer hw = poa_writer_over(header, sizeof header);
    struct poa_body b = {.batches = {poa_slice(digests, 32 * items), items}};
    struct poa_commit c = {.header = &h, .batches = items, .tx = fate};
    for (uint32_t i = 0; i < items; i++) {
        memcpy(digests[i], item[i]->digest, 32);
        for (uint32_t k = 0; k < item[i]->check->n; k++)
            view[c.txs++] = &item[i]->check->view[k];
    }
    bench_must(poa_body_encode(&bw, &b), "body");
    execute(p, view, c.txs, poa_written(&bw), &h, c.hash, &result);
    bench_must(poa_header_encode(&hw, &h), "header");
    c.header_bytes = poa_written(&hw);
    c.body = poa_written(&bw);
    c.batch = (const uint8_t(*)[32])digests;
    c.cert = certify(p, &h, c.hash, cert, sizeof cert);
    memcpy(c.root, result.root, 32);
    struct node_commit *k = node_commit_new(&c);
    bench_must(k ? node_io_commit(p->io, k) : POA_E_NO_MEMORY, "commit");
    if (p->seq > FORGET_BLOCKS * BLOCK_BATCHES)
        bench_must(node_io_forget(p->io, p->seq - FORGET_BLOCKS * BLOCK_BATCHES), "forget");
}

double pipe_state(struct pipe *p, const struct plain *plain)
{
    uint8_t digest[32] = {1}, body[64], hash[32];
    struct poa_writer bw = poa_writer_over(body, sizeof body);
    struct poa_body b = {.batches = {poa_slice(digest, 32), 1}};
    struct poa_header h;
    bench_must(poa_body_encode(&bw, &b), "body");
    world_helpers.nobody = true;
    double begin = bench_thread_cpu();
    for (uint32_t at = 0; at < plain->txs; at += BLOCK_TXS) {
        struct poa_block_result result = {.tx = fate};
        uint32_t n = plain->txs - at < BLOCK_TXS ? plain->txs - at : BLOCK_TXS;
        for (uint32_t i = 0; i < n; i++)
            view[i] = &plain->view[at + i];
        execute(p, view, n, poa_written(&bw), &h, hash, &result);
    }
    double spent = bench_thread_cpu() - begin;
    world_helpers.nobody = false;
    return spent;
}

struct spent pipe_run(struct pipe *p, const struct load *load, uint32_t from, uint32_t to)
{
    struct stream s;
    struct item *block[BLOCK_BATCHES];
    uint32_t sent = from, in_block = 0;
    double wall = bench_now(), cpu = bench_cpu();
    pthread_mutex_init(&s.mutex, NULL);
    pthread_cond_init(&s.cond, NULL);
    for (uint32_t at = from; at < to; at++) {
        for (; sent < to && sent - at < AHEAD - BLOCK_BATCHES; sent++)
            check_batch(p, &s, &s.item[sent % AHEAD], load->batch[sent]);
        struct item *item = &s.item[at % AHEAD];
        pthread_mutex_lock(&s.mutex);
        while (!item->ready)
            pthread_cond_wait(&s.cond, &s.mutex);
        pthread_mutex_unlock(&s.mutex);
        /* Durable on arrival, before any vote for a block that lists it. */
        bench_must(node_io_batch(p->io, ++p->seq, item->bytes), "batch");
        block[in_block++] = item;
        if (in_block == BLOCK_BATCHES || at + 1 == to) {
            run_block(p, block, in_block);
            for (uint32_t i = 0; i < in_block; i++)
                free(block[i]->check);
            in_block = 0;
        }
    }
    bench_must(node_io_sync(p->io), "sync");
    pthread_cond_destroy(&s.cond);
    pthread_mutex_destroy(&s.mutex);
    return (struct spent){bench_now() - wall, bench_cpu() - cpu};
}
