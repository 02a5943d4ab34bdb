/* What an archive proves by itself. */
#include <stdlib.h>
#include <string.h>

#include "archive.h"

static void *heap_take(void *ctx, size_t n)
{
    (void)ctx;
    return calloc(1, n);
}

static void heap_give(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

int archive_ledger_new(struct poa_slice genesis, struct poa_ledger **out)
{
    struct poa_ledger_config config = {.suite = &poa_suite_ed25519,
                                       .alloc = {.alloc = heap_take, .free = heap_give},
                                       .genesis = genesis};
    poa_random(&config.salt, sizeof config.salt);
    return poa_ledger_new(&config, out);
}

void archive_tell(const struct poa_archive_progress *p, const char *what, uint64_t done,
                  uint64_t total)
{
    if (p && p->tell)
        p->tell(p->ctx, what, done, total);
}

/* --- committees ------------------------------------------------------------------------- */

int committees_add(struct committees *c, uint32_t epoch, struct poa_slice next)
{
    if (!c->n)
        c->first = epoch;
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? 2 * c->cap : 64;
        struct poa_slice *p = realloc(c->next, cap * sizeof *p);
        if (!p)
            return POA_E_NO_MEMORY;
        c->next = p;
        c->cap = cap;
    }
    uint8_t *own = malloc(next.n + 1);
    if (!own)
        return POA_E_NO_MEMORY;
    if (next.n)
        memcpy(own, next.p, next.n);
    c->next[c->n++] = poa_slice(own, next.n);
    return POA_OK;
}

void committees_free(struct committees *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        free((void *)(uintptr_t)c->next[i].p);
    free(c->next);
    memset(c, 0, sizeof *c);
}

/* --- following --------------------------------------------------------------------------- */

int follow_begin(struct poa_chain_check *check, struct poa_slice genesis)
{
    struct poa_ledger *l = NULL;
    struct poa_committee committee;
    int rc = archive_ledger_new(genesis, &l);
    if (!rc)
        rc = poa_ledger_epoch(l, POA_STATE_BASE, 0, NULL, &committee, NULL);
    if (!rc)
        rc = poa_chain_begin(check, &poa_suite_ed25519, poa_ledger_chain(l),
                             poa_ledger_genesis(l)->epoch_views, poa_ledger_genesis(l)->time_ms,
                             &committee);
    poa_ledger_free(l);
    return rc;
}

static int add_header(struct follower *f, struct poa_slice header)
{
    struct poa_writer w = {f->headers, sizeof f->headers, f->headers_n, false};
    struct poa_raw_header raw = {.header = header};
    if (f->count == POA_RUN_HEADERS_MAX)
        return POA_E_BLOCK_INVALID;
    int rc = poa_raw_header_encode(&w, &raw);
    f->headers_n = w.n;
    f->count++;
    return rc;
}

int follow_block(struct follower *f, const struct poa_header *h, struct poa_slice header,
                 struct poa_slice cert, struct poa_slice fillers, uint16_t fillers_n, bool *proven)
{
    struct poa_writer w = poa_writer_over(f->run, sizeof f->run);
    struct poa_run run = {.cert = cert};
    bool closing = h->kind == POA_BLOCK_CLOSING;
    *proven = false;
    f->check.wrong = NULL;
    if ((fillers_n || fillers.n) && !closing)
        return POA_E_BLOCK_INVALID;
    int rc = add_header(f, header);
    for (uint16_t i = 0; !rc && i < fillers_n; i++) {
        struct poa_archive_filler b;
        rc = poa_record_take(&poa_archive_filler_record, &fillers, &b);
        if (!rc)
            rc = add_header(f, b.header);
    }
    if (!rc && fillers.n)
        rc = POA_E_TRAILING;
    f->last = *h;
    if (rc || !cert.n)
        return rc ? rc : closing ? POA_E_BLOCK_INVALID : POA_OK;
    if (closing) {
        const struct committees *c = f->committees;
        if (h->epoch < c->first || h->epoch - c->first >= c->n)
            return POA_E_EPOCH;
        run.next = c->next[h->epoch - c->first];
    }
    run.headers = (struct poa_list){poa_slice(f->headers, f->headers_n), f->count};
    rc = poa_run_encode(&w, &run);
    if (!rc)
        rc = poa_chain_run(&f->check, &run, f->gap);
    f->gap = false;
    f->headers_n = 0;
    f->count = 0;
    *proven = !rc;
    return rc;
}

int block_bodies(struct poa_slice header, struct poa_slice body,
                 int (*next)(void *ctx, struct poa_slice *batch), void *ctx, struct poa_header *h,
                 uint64_t *txs)
{
    struct poa_body b;
    struct poa_digest d;
    uint8_t hash[32];
    *txs = 0;
    int rc = poa_header_decode(header, h);
    if (!rc)
        rc = poa_body_decode(body, &b);
    if (rc)
        return rc;
    poa_body_hash(body, hash);
    if (memcmp(hash, h->body, 32) != 0)
        return POA_E_BLOCK_INVALID;
    struct poa_list_iter it = poa_list_begin(&b.batches);
    while (!rc && poa_digest_next(&it, &d)) {
        struct poa_slice bytes;
        struct poa_batch batch;
        rc = next(ctx, &bytes);
        if (!rc)
            rc = poa_batch_decode(bytes, &batch);
        if (rc)
            break;
        poa_batch_digest(bytes, hash);
        if (memcmp(hash, d.digest, 32) != 0)
            rc = POA_E_BATCH_INVALID;
        *txs += batch.txs.count;
    }
    return rc;
}

/* --- an archive ------------------------------------------------------------------------------ */

struct verify {
    struct chunk_reader r;
    struct poa_archive_head head;
    struct poa_chain_check at; /* as far as the hand-overs have led */
    struct committees committees;
    struct follower *f;
    bool placed; /* F stands where the first block follows */
    uint64_t entries, blocks, height;
    uint8_t key[32];  /* of the last entry */
    bool short_chunk; /* the last state chunk could have taken more */
    struct poa_archive_info *info;
};

static int take_head(struct verify *v, const uint8_t *chain32, struct poa_why *why)
{
    static const uint8_t zero[32];
    struct poa_archive_head *h = &v->head;
    int rc = chunk_next(&v->r, why);
    if (rc)
        return rc;
    if (v->r.kind != POA_ARCHIVE_HEAD || poa_archive_head_decode(v->r.payload, h))
        return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "the head is damaged");
    if (h->version != POA_ARCHIVE_VERSION)
        return poa_because(why, POA_E_STORE_VERSION,
                           "%s has version %u of the format, this program reads %d", v->r.name,
                           h->version, POA_ARCHIVE_VERSION);
    if (chain32 && memcmp(chain32, h->chain, 32) != 0)
        return poa_because(why, POA_E_CHAIN, "%s is of another chain", v->r.name);
    bool full = !h->base;
    if (h->first != (full ? 1 : h->base) || h->last < h->first + !full ||
        (full && (h->epoch || memcmp(h->root, zero, 32) != 0)))
        return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "the head contradicts itself");
    v->height = h->first;
    return POA_OK;
}

static int take_genesis(struct verify *v, struct poa_why *why)
{
    uint8_t chain[32];
    int rc = chunk_next(&v->r, why);
    if (rc)
        return rc;
    poa_genesis_chain_id(v->r.payload, chain);
    if (v->r.kind != POA_ARCHIVE_GENESIS || memcmp(chain, v->head.chain, 32) != 0)
        return chunk_wrong(&v->r, why, POA_E_CHAIN, "the genesis record is not the chain's");
    rc = follow_begin(&v->at, v->r.payload);
    return rc ? chunk_wrong(&v->r, why, rc, "the genesis record is not valid") : POA_OK;
}

/* The first block follows when the hand-overs have led to its epoch. */
static void place(struct verify *v)
{
    if (v->placed || v->at.epoch != v->head.epoch)
        return;
    v->f->check = v->at;
    v->f->check.committee.members.bytes.p = v->f->check.members;
    v->f->committees = &v->committees;
    v->f->gap = v->head.base != 0;
    v->placed = true;
}

static int take_run(struct verify *v, struct poa_why *why)
{
    struct poa_run run;
    uint32_t epoch = v->at.epoch;
    int rc = poa_run_decode(v->r.payload, &run);
    if (!rc)
        rc = poa_chain_run(&v->at, &run, true);
    if (!rc && v->at.epoch != epoch + 1)
        rc = POA_E_BLOCK_INVALID;
    if (rc)
        return chunk_wrong(&v->r, why, rc,
                           v->at.wrong ? v->at.wrong : "the hand-over of an epoch is not valid");
    rc = committees_add(&v->committees, epoch, run.next);
    place(v);
    return rc ? poa_because(why, rc, "out of memory") : POA_OK;
}

static int take_state(struct verify *v, struct poa_why *why)
{
    struct poa_slice rest = v->r.payload;
    struct poa_archive_entry e;
    size_t last = 0;
    if (!v->head.base || v->short_chunk || v->blocks || !rest.n)
        return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "a part of the state is out of place");
    while (rest.n) {
        last = v->r.payload.n - rest.n;
        if (poa_record_take(&poa_archive_entry_record, &rest, &e))
            return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "an entry cannot be decoded");
        if (v->entries++ && memcmp(e.key, v->key, 32) <= 0)
            return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "entries are out of order");
        memcpy(v->key, e.key, 32);
    }
    if (last >= POA_ARCHIVE_STATE_BYTES)
        return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "a part of the state is too long");
    v->short_chunk = v->r.payload.n < POA_ARCHIVE_STATE_BYTES;
    return POA_OK;
}

static int next_batch(void *ctx, struct poa_slice *out)
{
    struct poa_archive_batch b;
    if (!poa_archive_batch_next(ctx, &b))
        return POA_E_BATCH_MISSING;
    *out = b.batch;
    return POA_OK;
}

static int take_block(struct verify *v, struct poa_why *why)
{
    struct poa_archive_block b = {.fillers_n = 0};
    struct poa_header h;
    uint64_t txs = 0;
    bool proven = false;
    int rc = v->placed ? poa_archive_block_decode(v->r.payload, &b) : POA_E_EPOCH;
    struct poa_list_iter it = poa_list_begin(&b.batches);
    if (!rc)
        rc = block_bodies(b.header, b.body, next_batch, &it, &h, &txs);
    if (!rc && it.left)
        rc = POA_E_TRAILING;
    if (!rc && (h.height != v->height || v->height > v->head.last))
        rc = POA_E_BLOCK_PARENT;
    if (!rc && v->head.base && h.height == v->head.base + 1 &&
        memcmp(h.state, v->head.root, 32) != 0)
        rc = POA_E_STATE_ROOT;
    if (!rc && h.height == v->head.first && h.epoch != v->head.epoch)
        rc = POA_E_EPOCH;
    if (!rc)
        rc = follow_block(v->f, &h, b.header, b.cert, b.fillers, b.fillers_n, &proven);
    if (rc) {
        char text[200];
        snprintf(text, sizeof text, "block %llu: %s", (unsigned long long)v->height,
                 v->placed && v->f->check.wrong ? v->f->check.wrong : poa_error_text(rc));
        return chunk_wrong(&v->r, why, rc, text);
    }
    if (h.height == v->head.last && !proven)
        return chunk_wrong(&v->r, why, POA_E_QUORUM, "the last block has no certificate");
    v->info->txs += txs;
    v->blocks++;
    v->height++;
    return POA_OK;
}

static int take_rest(struct verify *v, const struct poa_archive_progress *progress,
                     struct poa_why *why)
{
    uint8_t before = POA_ARCHIVE_GENESIS;
    for (;;) {
        int rc = chunk_next(&v->r, why);
        if (rc)
            return rc;
        if (v->r.kind < before)
            return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "parts are out of order");
        before = v->r.kind;
        switch ((enum poa_archive_chunk)v->r.kind) {
        case POA_ARCHIVE_RUN:
            rc = take_run(v, why);
            break;
        case POA_ARCHIVE_STATE:
            rc = take_state(v, why);
            break;
        case POA_ARCHIVE_BLOCK:
            rc = take_block(v, why);
            break;
        case POA_ARCHIVE_END:
            if (v->height != v->head.last + 1)
                return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "blocks are missing");
            return chunk_at_end(&v->r, v->entries, v->blocks, &v->info->end, why);
        case POA_ARCHIVE_HEAD:
        case POA_ARCHIVE_GENESIS:
        default:
            return chunk_wrong(&v->r, why, POA_E_STORE_CORRUPT, "an unknown part");
        }
        if (rc)
            return rc;
        archive_tell(progress, "verifying", v->r.bytes, v->r.size);
    }
}

int poa_archive_verify(FILE *from, const char *name, const uint8_t *chain32,
                       const struct poa_archive_progress *progress, struct poa_archive_info *info,
                       struct poa_why *why)
{
    struct verify *v = calloc(1, sizeof *v);
    struct follower *f = calloc(1, sizeof *f);
    memset(info, 0, sizeof *info);
    if (!v || !f) {
        free(v);
        free(f);
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    }
    v->f = f;
    v->info = info;
    int rc = chunk_open(&v->r, from, name, why);
    if (!rc)
        rc = take_head(v, chain32, why);
    if (!rc)
        rc = take_genesis(v, why);
    if (!rc) {
        place(v);
        rc = take_rest(v, progress, why);
    }
    info->head = v->head;
    info->bytes = v->r.bytes;
    chunk_close(&v->r);
    committees_free(&v->committees);
    free(f);
    free(v);
    return rc;
}
