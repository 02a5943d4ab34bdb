/* Transactions and batches through the workers, into the core. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

/* --- submissions ------------------------------------------------------------------- */

struct node_submission *node_submission_new(struct poa_node *node, uint32_t n, size_t total,
                                            uint8_t **bytes)
{
    void *extra = NULL;
    struct node_check *c = node_check_new(n, sizeof(struct node_submission) + total, &extra);
    if (!c)
        return NULL;
    struct node_submission *s = extra;
    s->node = node;
    s->check = c;
    s->peer = POA_PEER_OTHER;
    c->ctx = s;
    *bytes = (uint8_t *)(s + 1);
    return s;
}

int node_submission_from(struct poa_node *node, struct poa_slice encoded,
                         struct node_submission **out)
{
    struct poa_txs r;
    int rc = poa_txs_decode(encoded, &r);
    if (rc)
        return rc;
    uint8_t *p = NULL;
    struct node_submission *s = node_submission_new(node, r.txs.count, r.txs.bytes.n, &p);
    if (!s)
        return POA_E_NO_MEMORY;
    struct poa_list_iter it = poa_list_begin(&r.txs);
    struct poa_raw_tx tx;
    for (uint32_t i = 0; poa_raw_tx_next(&it, &tx); i++) {
        memcpy(p, tx.tx.p, tx.tx.n);
        s->check->raw[i] = poa_slice(p, tx.tx.n);
        p += tx.tx.n;
    }
    *out = s;
    return POA_OK;
}

static void finish(struct node_submission *s)
{
    struct poa_node *n = s->node;
    if (s->local) {
        uint64_t accepted = 0;
        for (uint32_t i = 0; i < s->check->n; i++)
            accepted += s->check->code[i] == POA_OK;
        pthread_mutex_lock(&n->status_mutex);
        n->txs_accepted += accepted;
        n->txs_rejected += s->check->n - accepted;
        pthread_mutex_unlock(&n->status_mutex);
    }
    if (s->done)
        s->done(s);
    free(s->check);
}

void node_submission_end(struct node_submission *s, int code)
{
    for (uint32_t i = 0; i < s->check->n; i++)
        if (!s->check->code[i])
            s->check->code[i] = code;
    finish(s);
}

static void run_submission(struct node_event *e, void *ctx)
{
    struct poa_node *n = ctx;
    struct node_submission *s = (struct node_submission *)e;
    struct node_check *c = s->check;
    /* Those that passed, in front; INDEX remembers where they were. */
    uint32_t *index = malloc((c->n + 1) * sizeof *index);
    int *codes = calloc(c->n + 1, sizeof *codes);
    uint32_t ok = 0;
    if (!index || !codes) {
        free(index);
        free(codes);
        node_submission_end(s, POA_E_NO_MEMORY);
        return;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->code[i])
            continue;
        index[ok] = i;
        if (ok != i)
            c->view[ok] = c->view[i];
        ok++;
    }
    if (ok) {
        struct poa_event event = {
            .kind = POA_EVENT_TX, .peer = s->peer, .tx = c->view, .txs = ok, .codes = codes};
        /* Before the step: a committee of one finalizes within it. */
        for (uint32_t i = 0; s->local && i < ok; i++)
            node_tracker_add(n->tracker, c->view[i].id, s->accepted_us);
        (void)node_step(n, &event);
        for (uint32_t i = 0; i < ok; i++) {
            c->code[index[i]] = codes[i];
            if (s->local && (!codes[i] || codes[i] == POA_E_TX_DUPLICATE))
                (void)node_tracker_accepted(n->tracker, c->view[i].id);
            else if (s->local)
                node_tracker_drop(n->tracker, c->view[i].id);
        }
        /* What the caller looks at is in its old place again. */
        for (uint32_t i = ok; i-- > 0;)
            if (index[i] != i)
                c->view[index[i]] = c->view[i];
    }
    free(index);
    free(codes);
    finish(s);
}

static void drop_submission(struct node_event *e)
{
    node_submission_end((struct node_submission *)e, POA_E_CLOSED);
}

static void submission_checked(struct node_check *c)
{
    struct node_submission *s = c->ctx;
    struct poa_node *n = s->node;
    uint32_t ok = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        ok += c->code[i] == POA_OK;
        bytes += c->raw[i].n;
    }
    if (!ok) {
        finish(s);
        return;
    }
    struct node_status status;
    node_status_get(n, &status);
    if (status.core.member < 0) {
        node_forward_txs(n->forward, s);
        return;
    }
    s->event = (struct node_event){.run = run_submission, .drop = drop_submission, .bytes = bytes};
    if (node_queue_post(&n->queue, s->peer == POA_PEER_OTHER ? NODE_CLASS_LOCAL : NODE_CLASS_BULK,
                        &s->event))
        node_submission_end(s, POA_E_TX_POOL_FULL);
}

void node_submit(struct node_submission *s)
{
    s->check->done = submission_checked;
    if (node_workers_check(s->node->workers, s->check))
        node_submission_end(s, POA_E_TX_POOL_FULL);
}

/* --- batches --------------------------------------------------------------------------- */

/* In the node's list from the core thread's hand-over to its release. */
struct checked {
    struct node_event event;
    struct checked *older, *newer;
    struct node_check *check;
    struct poa_node *node;
    struct poa_checked_batch batch;
};

static void run_batch(struct node_event *e, void *ctx)
{
    struct checked *k = (struct checked *)e;
    struct poa_event event = {
        .kind = POA_EVENT_BATCH, .peer = POA_PEER_OTHER, .batch = &k->batch, .batches = 1};
    /* The core keeps the batch until it releases the token. */
    (void)node_step(ctx, &event);
}

static void drop_batch(struct node_event *e)
{
    (void)e; /* it is in the list */
}

void node_release(struct poa_node *n, void *token)
{
    struct checked *k = token;
    if (!k)
        return;
    if (k->newer)
        k->newer->older = k->older;
    else
        n->checked = k->older;
    if (k->older)
        k->older->newer = k->newer;
    free(k->check);
}

void node_release_all(struct poa_node *n)
{
    while (n->checked)
        node_release(n, n->checked);
}

static void batch_checked(struct node_check *c)
{
    struct checked *k = c->ctx;
    for (uint32_t i = 0; i < c->n && !k->batch.code; i++)
        k->batch.code = c->code[i];
    poa_batch_digest(k->batch.bytes, k->batch.digest);
    k->batch.tx = c->view;
    k->batch.txs = c->n;
    k->event = (struct node_event){.run = run_batch, .drop = drop_batch, .bytes = k->batch.bytes.n};
    (void)!node_queue_post(&k->node->queue, NODE_CLASS_OWN, &k->event);
}

void node_check_batch(struct poa_node *n, struct poa_slice bytes, bool trusted)
{
    struct poa_batch batch;
    int rc = poa_batch_decode(bytes, &batch);
    void *extra = NULL;
    struct node_check *c =
        node_check_new(rc ? 0 : batch.txs.count, sizeof(struct checked) + bytes.n, &extra);
    if (!c) {
        POA_LOG_LIMITED(10000, POA_LOG_ERROR, NODE, "out of memory for a batch");
        return;
    }
    struct checked *k = extra;
    uint8_t *copy = (uint8_t *)(k + 1);
    memcpy(copy, bytes.p, bytes.n);
    k->node = n;
    k->check = c;
    k->batch.bytes = poa_slice(copy, bytes.n);
    k->batch.code = rc;
    k->batch.token = k;
    k->older = n->checked;
    if (k->older)
        k->older->newer = k;
    n->checked = k;
    c->ctx = k;
    c->done = batch_checked;
    c->parse_only = trusted;
    if (!rc) { /* members take turns */
        uint8_t author[32] = {(uint8_t)batch.author, (uint8_t)(batch.author >> 8)};
        c->submitter = node_submitter(NODE_OWN, author);
    }
    if (!rc) {
        struct poa_list_iter it = poa_list_begin(&batch.txs);
        struct poa_raw_tx tx;
        for (uint32_t i = 0; poa_raw_tx_next(&it, &tx); i++)
            c->raw[i] = poa_slice(copy + (tx.tx.p - bytes.p), tx.tx.n);
    }
    /* The core waits for the verdict of every batch: when the ring is full, the
     * core thread checks this one itself. */
    if (node_workers_check(n->workers, c)) {
        for (uint32_t i = 0; i < c->n; i++)
            c->code[i] =
                (trusted ? poa_tx_parse : node_memo_tx_check)(n->chain, c->raw[i], &c->view[i]);
        batch_checked(c);
    }
}

/* --- mining --------------------------------------------------------------------------------- */

struct mining {
    struct node_event event;
    struct poa_node *node;
    struct node_check *check; /* what the items claim; NULL: nothing */
    struct node_claim *claim;
    node_mining_done *done;
    void *ctx;
    uint32_t items;
    int *codes;
    size_t n;
    uint8_t bytes[];
};

static void free_mining(struct mining *m)
{
    free(m->claim);
    free(m->check);
    free(m->codes);
    free(m);
}

static void run_mining(struct node_event *e, void *ctx)
{
    struct mining *m = (struct mining *)e;
    struct poa_event event = {.kind = POA_EVENT_MINING,
                              .peer = POA_PEER_OTHER,
                              .bytes = poa_slice(m->bytes, m->n),
                              .codes = m->codes};
    int rc = node_step(ctx, &event);
    for (uint32_t i = 0; rc && i < m->items; i++)
        m->codes[i] = m->codes[i] ? m->codes[i] : rc;
    m->done(m->ctx, m->codes, m->items);
    free_mining(m);
}

static void end_mining(struct mining *m, int code)
{
    for (uint32_t i = 0; i < m->items; i++)
        m->codes[i] = code;
    m->done(m->ctx, m->codes, m->items);
    free_mining(m);
}

static void drop_mining(struct node_event *e)
{
    end_mining((struct mining *)e, POA_E_CLOSED);
}

static void post_mining(struct mining *m)
{
    if (node_queue_post(&m->node->queue, NODE_CLASS_BULK, &m->event))
        end_mining(m, POA_E_FULL);
}

static void mining_checked(struct node_check *c)
{
    post_mining(c->ctx);
}

static void refuse_mining(node_mining_done *done, void *ctx, int code, uint32_t items)
{
    int codes[64];
    for (uint32_t i = 0; i < 64; i++)
        codes[i] = code;
    /* A longer list is not told item by item: whoever sent it sends again. */
    done(ctx, codes, items < 64 ? items : 64);
}

void node_mine(struct poa_node *n, struct poa_slice encoded, node_mining_done *done, void *ctx)
{
    struct poa_mining r;
    struct node_status status;
    int rc = poa_mining_decode(encoded, &r);
    if (rc) {
        refuse_mining(done, ctx, rc, 0);
        return;
    }
    uint32_t items = r.tickets.count + r.seals.count + r.evidence.count;
    node_status_get(n, &status);
    if (status.core.member < 0) {
        node_forward_mining(n->forward, encoded, done, ctx);
        return;
    }
    struct mining *m = malloc(sizeof *m + encoded.n);
    int *codes = calloc(items + 1, sizeof *codes);
    if (!m || !codes) {
        free(m);
        free(codes);
        refuse_mining(done, ctx, POA_E_NO_MEMORY, items);
        return;
    }
    *m = (struct mining){.event = {.run = run_mining, .drop = drop_mining, .bytes = encoded.n},
                         .node = n,
                         .done = done,
                         .ctx = ctx,
                         .items = items,
                         .codes = codes,
                         .n = encoded.n};
    memcpy(m->bytes, encoded.p, encoded.n);
    uint32_t claims = 0;
    m->claim = node_claims_message(n, POA_MSG_MINING, poa_slice(m->bytes, m->n), &claims);
    m->check = claims ? node_check_new(0, 0, NULL) : NULL;
    if (m->check) {
        m->check->claim = m->claim;
        m->check->claims = claims;
        m->check->done = mining_checked;
        m->check->ctx = m;
        if (!node_workers_check(n->workers, m->check))
            return;
    }
    post_mining(m);
}
