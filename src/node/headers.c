/* Runs of headers from the store. The one that ends an epoch is kept by itself,
 * a few kilobytes, for ever: a chain is verified from its first epoch, the state
 * keeps the committees of the last ones only, and blocks may be deleted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

/* A run ends at the next certified header after so many. */
#define RUN_HEADERS 256

static void name_of(uint32_t epoch, char name[POA_STORE_NAME_MAX + 1])
{
    snprintf(name, POA_STORE_NAME_MAX + 1, POA_META_HAND_OVER, epoch);
}

/* --- building a run -------------------------------------------------------------- */

struct building {
    struct poa_writer headers;
    uint32_t count;
};

static int add_header(struct building *b, struct poa_slice header)
{
    struct poa_raw_header raw = {.header = header};
    if (b->count == POA_RUN_HEADERS_MAX)
        return POA_E_LIMIT;
    b->count++;
    return poa_raw_header_encode(&b->headers, &raw);
}

static int add_fillers(struct building *b, const struct poa_stored_block *blk)
{
    struct poa_list list = {.bytes = blk->fillers, .count = blk->fillers_n};
    struct poa_list_iter it = poa_list_begin(&list);
    struct poa_block filler;
    int rc = POA_OK;
    while (!rc && poa_block_next(&it, &filler))
        rc = add_header(b, filler.header);
    return rc;
}

static int encode_run(const struct building *b, uint32_t count, size_t headers_n,
                      struct poa_slice cert, struct poa_slice next, uint8_t **bytes, size_t *n)
{
    struct poa_run run = {.headers = {.bytes = poa_slice(b->headers.p, headers_n), .count = count},
                          .cert = cert,
                          .next = next};
    size_t cap = headers_n + cert.n + next.n + 16;
    uint8_t *out = malloc(cap);
    struct poa_writer w = poa_writer_over(out, cap);
    int rc = out ? poa_run_encode(&w, &run) : POA_E_NO_MEMORY;
    if (rc) {
        free(out);
        return rc;
    }
    *bytes = out;
    *n = w.n;
    return POA_OK;
}

/* What is certified so far. */
struct certified {
    uint32_t count;
    size_t headers_n, cert_n;
    uint8_t cert[16384];
};

/* Header of BLK into B. *CLOSES: it ends epoch *EPOCH. */
static int add_block(struct building *b, const struct poa_stored_block *blk, struct certified *at,
                     bool *closes, uint32_t *epoch)
{
    struct poa_header h;
    int rc = poa_header_decode(blk->header, &h) ? POA_E_STORE_CORRUPT : add_header(b, blk->header);
    if (!rc)
        rc = add_fillers(b, blk);
    if (rc)
        return rc;
    *closes = h.kind == POA_BLOCK_CLOSING;
    *epoch = h.epoch;
    if (blk->cert.n && blk->cert.n <= sizeof at->cert) {
        memcpy(at->cert, blk->cert.p, blk->cert.n);
        at->cert_n = blk->cert.n;
        at->count = b->count;
        at->headers_n = b->headers.n;
    }
    return POA_OK;
}

static int read_hand_over(struct poa_store *s, uint32_t epoch, struct poa_store_value *v,
                          struct poa_run *out)
{
    char name[POA_STORE_NAME_MAX + 1];
    name_of(epoch, name);
    int rc = poa_store_get_meta(s, name, v);
    return rc ? rc : poa_run_decode(v->bytes, out) ? POA_E_STORE_CORRUPT : POA_OK;
}

static int build(struct poa_store *s, uint64_t first, uint32_t wanted, struct building *b,
                 struct certified *at, uint8_t **bytes, size_t *n, uint64_t *last)
{
    struct poa_store_value v = {.own = NULL}, next_v = {.own = NULL};
    struct poa_run next = {.next = {NULL, 0}};
    bool closes = false;
    uint32_t epoch = 0;
    int rc = POA_OK;
    for (uint64_t h = first; !rc && !closes && at->count < wanted; h++) {
        struct poa_stored_block blk;
        rc = poa_store_get_block(s, h, &v, &blk);
        if (!rc)
            rc = add_block(b, &blk, at, &closes, &epoch);
        if (!rc && at->count == b->count)
            *last = h;
        poa_store_value_free(&v);
    }
    /* What is not certified yet, or does not fit, comes with the next run. */
    if ((rc == POA_E_NOT_FOUND || rc == POA_E_LIMIT) && at->count)
        rc = POA_OK;
    if (!rc && !at->count)
        rc = POA_E_NOT_FOUND;
    if (!rc && closes && at->count == b->count)
        rc = read_hand_over(s, epoch, &next_v, &next);
    if (!rc)
        rc = encode_run(b, at->count, at->headers_n, poa_slice(at->cert, at->cert_n), next.next,
                        bytes, n);
    poa_store_value_free(&next_v);
    return rc;
}

static int read_run(struct poa_store *s, uint64_t first, uint32_t wanted, uint8_t **bytes,
                    size_t *n, uint64_t *last)
{
    size_t cap = (size_t)POA_RUN_HEADERS_MAX * (POA_HEADER_BYTES + 2);
    uint8_t *room = malloc(cap);
    struct certified *at = calloc(1, sizeof *at);
    struct building b = {.headers = poa_writer_over(room, cap)};
    int rc = room && at ? build(s, first, wanted, &b, at, bytes, n, last) : POA_E_NO_MEMORY;
    free(at);
    free(room);
    return rc;
}

int node_run_read(struct poa_store *s, uint64_t after, uint8_t **bytes, size_t *n, uint64_t *last)
{
    return read_run(s, after + 1, RUN_HEADERS, bytes, n, last);
}

int node_run_final(struct poa_store *s, uint64_t height, uint8_t **bytes, size_t *n)
{
    uint64_t last;
    return read_run(s, height, 1, bytes, n, &last);
}

/* --- hand-overs ------------------------------------------------------------------- */

int node_hand_over_keep(struct poa_node *n, const struct poa_commit *c)
{
    uint8_t key[4], *bytes = NULL;
    size_t bytes_n = 0, cap = (c->fillers_n + 1u) * (size_t)(POA_HEADER_BYTES + 2);
    char name[POA_STORE_NAME_MAX + 1];
    struct poa_slice next;
    struct poa_stored_block blk = {.fillers = c->fillers, .fillers_n = (uint16_t)c->fillers_n};
    struct building b = {.headers = poa_writer_over(malloc(cap), cap)};
    poa_put_le32(key, c->header->epoch + 1);
    int rc = b.headers.p ? POA_OK : POA_E_NO_MEMORY;
    if (!rc)
        rc = poa_ledger_get(n->ledger, POA_STATE_BASE, POA_STATE_COMMITTEE, key, sizeof key, &next);
    if (!rc)
        rc = add_header(&b, c->header_bytes);
    if (!rc)
        rc = add_fillers(&b, &blk);
    if (!rc)
        rc = encode_run(&b, b.count, b.headers.n, c->cert, next, &bytes, &bytes_n);
    name_of(c->header->epoch, name);
    if (!rc)
        rc = node_io_meta(n->io, name, poa_slice(bytes, bytes_n));
    free(b.headers.p);
    free(bytes);
    return rc;
}

int node_hand_over_read(struct poa_store *s, uint32_t epoch, uint8_t **bytes, size_t *n,
                        uint64_t *last)
{
    struct poa_store_value v = {.own = NULL};
    struct poa_raw_header raw;
    struct poa_header h;
    struct poa_run run;
    int rc = read_hand_over(s, epoch, &v, &run);
    struct poa_list_iter it = rc ? (struct poa_list_iter){.left = 0} : poa_list_begin(&run.headers);
    if (!rc && (!poa_raw_header_next(&it, &raw) || poa_header_decode(raw.header, &h)))
        rc = POA_E_STORE_CORRUPT;
    *bytes = rc ? NULL : malloc(v.bytes.n + 1);
    if (!rc && !*bytes)
        rc = POA_E_NO_MEMORY;
    if (!rc) {
        memcpy(*bytes, v.bytes.p, v.bytes.n);
        *n = v.bytes.n;
        *last = h.height;
    }
    poa_store_value_free(&v);
    return rc;
}
