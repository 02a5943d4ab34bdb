/* What the core thread hands to the I/O thread: frozen copies, so that neither
 * waits for the other. */
#include <stdlib.h>
#include <string.h>

#include "poa_node_io.h"

struct node_commit *node_commit_new(const struct poa_commit *c)
{
    size_t digests = 32 * (size_t)c->batches;
    size_t fates = c->txs * sizeof(struct poa_store_fate);
    size_t n = sizeof(struct node_commit) + c->header_bytes.n + c->body.n + c->cert.n +
               c->fillers.n + digests + fates + 16;
    struct node_commit *k = malloc(n);
    if (!k)
        return NULL;
    memset(k, 0, sizeof *k);
    k->bytes = n;
    struct poa_store_block *b = &k->block;
    /* What needs alignment first. */
    struct poa_store_fate *fate = (struct poa_store_fate *)(void *)(k + 1);
    for (uint32_t i = 0; i < c->txs; i++) {
        memcpy(fate[i].id, c->tx[i].id, 32);
        fate[i].code = (uint16_t)-c->tx[i].code;
    }
    struct poa_writer w = poa_writer_over((uint8_t *)(fate + c->txs), n - sizeof *k - fates);
    const struct poa_slice *from[] = {&c->header_bytes, &c->body, &c->cert, &c->fillers};
    struct poa_slice *to[] = {&b->header, &b->body, &b->cert, &b->fillers};
    for (size_t i = 0; i < 4; i++) {
        *to[i] = poa_slice(w.p + w.n, from[i]->n);
        poa_write(&w, from[i]->p, from[i]->n);
    }
    b->batch = (const uint8_t(*)[32])(void *)(w.p + w.n);
    poa_write(&w, c->batch, digests);
    POA_ASSERT(!w.overflow);
    b->height = c->header->height;
    b->fillers_n = (uint16_t)c->fillers_n;
    memcpy(b->hash, c->hash, 32);
    memcpy(b->root, c->root, 32);
    b->batches = c->batches;
    b->tx = fate;
    b->txs = c->txs;
    return k;
}

static int add_entry(void *ctx, const struct poa_entry *e)
{
    struct node_checkpoint *c = ctx;
    size_t need = 36 + e->value.n;
    if (c->cap - c->n < need) {
        size_t cap = c->cap ? c->cap : 65536;
        while (cap - c->n < need)
            cap *= 2;
        uint8_t *p = realloc(c->entries, cap);
        if (!p)
            return POA_E_NO_MEMORY;
        c->entries = p;
        c->cap = cap;
    }
    uint8_t *p = c->entries + c->n;
    memcpy(p, e->key, 32);
    poa_put_le32(p + 32, (uint32_t)e->value.n);
    if (e->value.n)
        memcpy(p + 36, e->value.p, e->value.n);
    c->n += need;
    return POA_OK;
}

int node_checkpoint_new(struct poa_ledger *l, struct node_checkpoint *out)
{
    struct poa_st_global g;
    *out = (struct node_checkpoint){.n = 0};
    poa_ledger_global(l, POA_STATE_BASE, &g);
    out->at.height = g.height;
    poa_ledger_root(l, POA_STATE_BASE, out->at.root);
    int rc = poa_ledger_changes(l, add_entry, out);
    if (rc) {
        free(out->entries);
        return rc;
    }
    poa_ledger_checkpointed(l);
    return POA_OK;
}
