#include "poa_node_bundle.h"

#include <stdlib.h>
#include <string.h>

/* A run of blocks without a certificate is never longer than what one
 * finalization commits. */
#define BUNDLE_HARD_BYTES ((size_t)14 << 20)

struct buffer {
    uint8_t *p;
    size_t n, cap;
};

/* Room for N more bytes, or NULL. */
static uint8_t *grow(struct buffer *b, size_t n)
{
    if (b->cap - b->n < n) {
        size_t cap = b->cap ? b->cap : 16384;
        while (cap - b->n < n)
            cap *= 2;
        uint8_t *p = realloc(b->p, cap);
        if (!p)
            return NULL;
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

static bool is_closing(struct poa_slice header)
{
    return header.n > 2 && header.p[2] == POA_BLOCK_CLOSING;
}

/* The listed batches of BLK as a list of raw_batch in OUT. */
static int read_batches(struct poa_store *s, const struct poa_stored_block *blk, struct buffer *out)
{
    struct poa_list_iter it = poa_list_begin(&blk->batches);
    struct poa_stored_locator at;
    out->n = 0;
    while (poa_stored_locator_next(&it, &at)) {
        struct poa_store_value v;
        int rc = poa_store_get_batch_at(s, at.number, &v);
        if (rc)
            return rc;
        struct poa_raw_batch raw = {.batch = v.bytes};
        uint8_t *p = grow(out, v.bytes.n + 8);
        struct poa_writer w = poa_writer_over(p, v.bytes.n + 8);
        rc = p ? poa_raw_batch_encode(&w, &raw) : POA_E_NO_MEMORY;
        poa_store_value_free(&v);
        if (rc)
            return rc;
        out->n += w.n;
    }
    return POA_OK;
}

static int add_block(struct poa_store *s, const struct poa_stored_block *blk,
                     struct buffer *batches, struct buffer *list)
{
    int rc = read_batches(s, blk, batches);
    if (rc)
        return rc;
    struct poa_block b = {
        .header = blk->header,
        .body = blk->body,
        .batches = {.bytes = poa_slice(batches->p, batches->n), .count = blk->batches.count}};
    size_t cap = blk->header.n + blk->body.n + batches->n + 32;
    uint8_t *p = grow(list, cap + blk->fillers.n);
    if (!p)
        return POA_E_NO_MEMORY;
    struct poa_writer w = poa_writer_over(p, cap + blk->fillers.n);
    rc = poa_block_encode(&w, &b);
    poa_write(&w, blk->fillers.p, blk->fillers.n);
    list->n += w.n;
    return rc;
}

int node_bundle_read(struct poa_store *s, uint64_t after, uint64_t until, size_t max_bytes,
                     uint8_t **bytes, size_t *n, uint64_t *last)
{
    struct buffer list = {.p = NULL}, batches = {.p = NULL};
    struct poa_store_value v = {.own = NULL};
    uint8_t cert[16384];
    size_t cert_n = 0, end = 0;
    uint32_t blocks = 0, count = 0;
    int rc = POA_OK;
    for (uint64_t h = after + 1; !rc; h++) {
        struct poa_stored_block blk;
        rc = poa_store_get_block(s, h, &v, &blk);
        if (rc)
            break;
        rc = add_block(s, &blk, &batches, &list);
        blocks += 1u + blk.fillers_n;
        bool closing = is_closing(blk.header);
        if (!rc && blk.cert.n && blk.cert.n <= sizeof cert && list.n <= BUNDLE_HARD_BYTES &&
            blocks <= NODE_BUNDLE_BLOCKS) {
            memcpy(cert, blk.cert.p, blk.cert.n);
            cert_n = blk.cert.n;
            end = list.n;
            count = blocks;
            *last = h;
        }
        poa_store_value_free(&v);
        /* The committee changes after a closing block, and one certificate
         * covers one bundle. */
        if (closing || list.n > BUNDLE_HARD_BYTES || blocks >= NODE_BUNDLE_BLOCKS ||
            (count && (list.n >= max_bytes || (until && *last >= until))))
            break;
    }
    poa_store_value_free(&v);
    free(batches.p);
    if (rc == POA_E_NOT_FOUND)
        rc = POA_OK;
    if (!rc && !count)
        rc = POA_E_NOT_FOUND;
    uint8_t *out = rc ? NULL : malloc(end + cert_n + 16);
    if (!rc && !out)
        rc = POA_E_NO_MEMORY;
    if (!rc) {
        struct poa_blocks r = {.blocks = {.bytes = poa_slice(list.p, end), .count = count},
                               .cert = poa_slice(cert, cert_n)};
        struct poa_writer w = poa_writer_over(out, end + cert_n + 16);
        rc = poa_blocks_encode(&w, &r);
        *bytes = out;
        *n = w.n;
        if (rc)
            free(out);
    }
    free(list.p);
    return rc;
}

/* No transaction with one operation, one key and one signature is shorter. */
#define TX_BYTES_MIN 128

/* --- opening -------------------------------------------------------------------------- */

/* Counts batches and transactions of a decoded bundle, or fills B with them. */
static int walk(const struct poa_blocks *r, struct node_bundle *b, uint32_t *batches, uint32_t *txs)
{
    struct poa_list_iter blocks = poa_list_begin(&r->blocks);
    struct poa_block blk;
    *batches = *txs = 0;
    while (poa_block_next(&blocks, &blk)) {
        if (b && !b->closing)
            b->last++;
        if (b)
            b->closing |= is_closing(blk.header);
        struct poa_list_iter raws = poa_list_begin(&blk.batches);
        struct poa_raw_batch raw;
        while (poa_raw_batch_next(&raws, &raw)) {
            struct poa_batch batch;
            int rc = poa_batch_decode(raw.batch, &batch);
            if (rc)
                return rc;
            /* A view per transaction is allocated: a bundle of empty ones would
             * cost fifty times what it takes to send. */
            if (batch.txs.count > batch.txs.bytes.n / TX_BYTES_MIN)
                return POA_E_BATCH_INVALID;
            if (b) {
                struct poa_checked_batch *c = &b->batch[*batches];
                c->bytes = raw.batch;
                poa_batch_digest(raw.batch, c->digest);
                c->tx = &b->check->view[*txs];
                c->txs = batch.txs.count;
                struct poa_list_iter it = poa_list_begin(&batch.txs);
                struct poa_raw_tx tx;
                uint32_t i = *txs;
                while (poa_raw_tx_next(&it, &tx))
                    b->check->raw[i++] = tx.tx;
            }
            *txs += batch.txs.count;
            (*batches)++;
        }
    }
    return POA_OK;
}

int node_bundle_open(struct poa_node *node, uint8_t *bytes, size_t n, struct node_bundle **out)
{
    struct poa_blocks r;
    struct poa_block blk;
    struct poa_header h;
    uint32_t batches = 0, txs = 0;
    struct node_bundle *b = calloc(1, sizeof *b);
    if (!b) {
        free(bytes);
        return POA_E_NO_MEMORY;
    }
    b->node = node;
    b->bytes = bytes;
    b->bytes_n = n;
    int rc = poa_blocks_decode(poa_slice(bytes, n), &r);
    if (!rc)
        rc = walk(&r, NULL, &batches, &txs);
    if (!rc && r.blocks.count) {
        struct poa_list_iter it = poa_list_begin(&r.blocks);
        if (poa_block_next(&it, &blk))
            rc = poa_header_decode(blk.header, &h);
        if (!rc && (!h.height || h.height > UINT64_MAX / 2))
            rc = POA_E_BLOCK_INVALID;
        if (!rc)
            b->first = h.height;
        b->last = b->first - 1;
    }
    if (!rc) {
        b->check = node_check_new(txs, 0, NULL);
        b->batch = calloc(batches ? batches : 1, sizeof *b->batch);
        b->batches = batches;
        if (!b->check || !b->batch)
            rc = POA_E_NO_MEMORY;
    }
    if (!rc) {
        b->check->parse_only = true;
        b->check->ctx = b;
        rc = walk(&r, b, &batches, &txs);
    }
    if (rc) {
        node_bundle_free(b);
        return rc;
    }
    *out = b;
    return POA_OK;
}

void node_bundle_parsed(struct node_bundle *b)
{
    for (uint32_t i = 0; i < b->batches; i++) {
        struct poa_checked_batch *c = &b->batch[i];
        size_t first = (size_t)(c->tx - b->check->view);
        for (uint32_t k = 0; k < c->txs && !c->code; k++)
            c->code = b->check->code[first + k];
    }
}

void node_bundle_free(struct node_bundle *b)
{
    if (!b)
        return;
    free(b->bytes);
    free(b->batch);
    free(b->check);
    free(b->claim);
    free(b);
}

struct poa_event node_bundle_event(const struct node_bundle *b)
{
    return (struct poa_event){.kind = POA_EVENT_BLOCK,
                              .peer = POA_PEER_OTHER,
                              .bytes = poa_slice(b->bytes, b->bytes_n),
                              .batch = b->batch,
                              .batches = b->batches};
}
