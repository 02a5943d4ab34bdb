/* What the gateway asks of the node, and what the node tells it: epochs, and
 * the sealing block of each slot with the proof that it is final. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

/* Headers kept to link a block to a later certificate; slots that wait for one. */
#define RING    128u
#define PENDING 16u
/* Proofs that wait for the block whose header certifies them. */
#define PROOFS 256u
#define DAY_MS UINT64_C(86400000)
/* In the data directory: what devices come back with after a restart (poa_gateway.h). */
#define PASS_FILE "passes"

struct sealed {
    uint64_t slot, height;
    uint32_t seats;
    uint8_t seat[POA_SLOT_SEATS_MAX][32];
};

/* An answer without its header yet. */
struct proof {
    struct proof *next;
    uint64_t token, height; /* of the header to come */
    size_t value_n, proof_n;
    uint8_t bytes[]; /* value, proof */
};

/* Core thread only, but for what the mutex guards. */
struct node_edge {
    char pass_path[512];
    pthread_mutex_t mutex;
    struct proof *proofs;
    uint32_t proofs_n;
    struct poa_gateway *gateway;
    uint64_t first, last; /* heights in the ring; 0: empty */
    uint8_t header[RING][POA_HEADER_BYTES];
    struct sealed pending[PENDING];
    uint32_t pending_n;
    uint8_t links[POA_GATEWAY_LINKS_MAX * POA_HEADER_BYTES];
    uint8_t committee[POA_COMMITTEE_BYTES_MAX];
};

/* --- telling ------------------------------------------------------------------------- */

static int tell_epoch(struct poa_node *n, uint32_t epoch, const struct poa_gateway_proof *closing)
{
    struct poa_st_epoch st;
    struct poa_committee committee;
    struct poa_lottery lottery;
    int rc = poa_ledger_epoch(n->ledger, POA_STATE_BASE, epoch, &st, &committee, &lottery);
    if (rc)
        return rc;
    struct poa_writer w = poa_writer_over(n->edge->committee, sizeof n->edge->committee);
    rc = poa_committee_encode(&w, &committee);
    if (rc)
        return rc;
    struct poa_gateway_epoch e = {
        .info = {.epoch = epoch, .eligible = st.eligible, .first_slot = st.first_slot},
        .committee = poa_written(&w)};
    memcpy(e.info.seed, st.seed, 32);
    if (closing)
        e.closing = *closing;
    poa_gateway_epoch(n->gateway, &e);
    return POA_OK;
}

static void remember(struct node_edge *e, const struct poa_commit *c)
{
    uint64_t height = c->header->height;
    if (e->last + 1 != height) {
        e->first = height;
        e->pending_n = 0;
    }
    e->last = height;
    if (e->last - e->first >= RING)
        e->first = e->last - RING + 1;
    memcpy(e->header[height % RING], c->header_bytes.p, POA_HEADER_BYTES);
}

/* When C seals its slot, the slot waits for a certificate. */
static void seal(struct poa_node *n, const struct poa_commit *c)
{
    struct node_edge *e = n->edge;
    struct poa_st_slot st;
    uint64_t slot = poa_slot_of(&n->genesis, c->header->time_ms);
    uint64_t now = poa_slot_of(&n->genesis, poa_clock_wall_ms(n->clock));
    uint8_t key[8];
    poa_put_le64(key, slot);
    if (slot + n->genesis.seal_slots < now || c->header->kind == POA_BLOCK_FILLER)
        return;
    if (poa_ledger_read(n->ledger, POA_STATE_BASE, POA_STATE_SLOT, key, 8, &st) ||
        st.height != c->header->height || !st.seats.count)
        return;
    if (e->pending_n == PENDING) {
        memmove(e->pending, e->pending + 1, (PENDING - 1) * sizeof e->pending[0]);
        e->pending_n--;
    }
    struct sealed *s = &e->pending[e->pending_n++];
    struct poa_list_iter it = poa_list_begin(&st.seats);
    struct poa_st_seat seat;
    s->slot = slot;
    s->height = c->header->height;
    s->seats = 0;
    while (poa_st_seat_next(&it, &seat) == 1 && s->seats < POA_SLOT_SEATS_MAX)
        memcpy(s->seat[s->seats++], seat.device, 32);
}

/* Headers of FILLERS, the last one first, behind those in LINKS; how many. */
static size_t add_fillers(struct poa_slice fillers, uint32_t count, uint8_t *links, size_t max)
{
    if (count > max)
        return max + 1;
    for (uint32_t i = 0; i < count; i++) {
        struct poa_block b;
        if (poa_record_take(&poa_block_record, &fillers, &b) || b.header.n != POA_HEADER_BYTES)
            return max + 1;
        memcpy(links + (count - 1 - i) * POA_HEADER_BYTES, b.header.p, POA_HEADER_BYTES);
    }
    return count;
}

/* Why the block at HEIGHT is final by the certificate of C, with FILLERS links
 * of the latter in place. False: its header is too far back. */
static bool prove_final(struct node_edge *e, const struct poa_commit *c, size_t fillers,
                        uint64_t height, struct poa_gateway_proof *out)
{
    size_t links = fillers;
    if (height < e->first || height > c->header->height ||
        c->header->height - height > POA_GATEWAY_LINKS_MAX - fillers)
        return false;
    for (uint64_t h = c->header->height; h > height; h--)
        memcpy(e->links + links++ * POA_HEADER_BYTES, e->header[h % RING], POA_HEADER_BYTES);
    *out =
        (struct poa_gateway_proof){.header = poa_slice(e->header[height % RING], POA_HEADER_BYTES),
                                   .links = poa_slice(e->links, links * POA_HEADER_BYTES),
                                   .cert = c->cert};
    return true;
}

/* Sends the answers whose header is final now. */
static void answer(struct poa_node *n, const struct poa_commit *c, size_t fillers)
{
    struct node_edge *e = n->edge;
    struct proof *ready = NULL, **at;
    pthread_mutex_lock(&e->mutex);
    for (at = &e->proofs; *at;) {
        struct proof *p = *at;
        if (p->height > c->header->height) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        p->next = ready;
        ready = p;
        e->proofs_n--;
    }
    pthread_mutex_unlock(&e->mutex);
    while (ready) {
        struct proof *p = ready;
        struct poa_gateway_answer a = {.value = poa_slice(p->bytes, p->value_n),
                                       .proof = poa_slice(p->bytes + p->value_n, p->proof_n)};
        int rc = prove_final(e, c, fillers, p->height, &a.block) ? POA_OK : POA_E_AGAIN;
        poa_gateway_proved(n->gateway, p->token, rc, &a);
        ready = p->next;
        free(p);
    }
}

void node_edge_commit(struct poa_node *n, const struct poa_commit *c)
{
    struct node_edge *e = n->edge;
    if (!n->gateway || c->header_bytes.n != POA_HEADER_BYTES)
        return;
    remember(e, c);
    seal(n, c);
    if (!c->cert.n)
        return;
    size_t fillers = add_fillers(c->fillers, c->fillers_n, e->links, POA_GATEWAY_LINKS_MAX);
    if (fillers > POA_GATEWAY_LINKS_MAX)
        return;
    for (uint32_t i = 0; i < e->pending_n; i++) {
        const struct sealed *s = &e->pending[i];
        struct poa_gateway_proof proof;
        if (prove_final(e, c, fillers, s->height, &proof))
            poa_gateway_slot(n->gateway, s->slot, &proof, (const uint8_t(*)[32])s->seat, s->seats);
    }
    e->pending_n = 0;
    answer(n, c, fillers);
    if (c->header->kind == POA_BLOCK_CLOSING) {
        struct poa_gateway_proof closing = {.header = c->header_bytes,
                                            .links =
                                                poa_slice(e->links, fillers * POA_HEADER_BYTES),
                                            .cert = c->cert};
        int rc = tell_epoch(n, c->header->epoch + 1, &closing);
        if (rc)
            POA_LOG_WARN(NODE, "epoch %u is not told to the devices: %s", c->header->epoch + 1,
                         poa_error_text(rc));
    }
}

/* --- answering: gateway thread ------------------------------------------------------------ */

static int state_get(void *ctx, enum poa_state_table table, struct poa_slice key,
                     struct poa_writer *out)
{
    struct poa_node *n = ctx;
    struct poa_slice value;
    pthread_rwlock_rdlock(&n->state_lock);
    int rc = poa_ledger_get(n->ledger, POA_STATE_BASE, table, key.p, key.n, &value);
    if (!rc)
        poa_write(out, value.p, value.n);
    pthread_rwlock_unlock(&n->state_lock);
    return rc ? rc : out->overflow ? POA_E_BUFFER : POA_OK;
}

/* Header h+1 carries the state after block h: the proof is taken now, and its
 * answer leaves when that header is final. */
static int prove(void *ctx, uint64_t token, enum poa_state_table table, struct poa_slice key)
{
    struct poa_node *n = ctx;
    struct node_edge *e = n->edge;
    struct poa_st_global g;
    struct poa_slice value = {NULL, 0};
    uint8_t buffer[POA_PROOF_BYTES_MAX];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct proof *p = NULL;
    /* Held over both, so that the commit of the block that it waits for, if it
     * is not in this state yet, finds it in the list. */
    pthread_mutex_lock(&e->mutex);
    int rc = e->proofs_n < PROOFS ? POA_OK : POA_E_FULL;
    pthread_rwlock_rdlock(&n->state_lock);
    if (!rc) {
        poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
        rc = poa_ledger_get(n->ledger, POA_STATE_BASE, table, key.p, key.n, &value);
        if (rc == POA_E_NOT_FOUND) {
            value = poa_slice(NULL, 0);
            rc = POA_OK;
        }
    }
    if (!rc)
        rc = poa_ledger_prove(n->ledger, table, key.p, key.n, &w);
    if (!rc) {
        p = malloc(sizeof *p + value.n + w.n);
        rc = p ? POA_OK : POA_E_NO_MEMORY;
    }
    if (!rc) {
        *p = (struct proof){.next = e->proofs,
                            .token = token,
                            .height = g.height + 1,
                            .value_n = value.n,
                            .proof_n = w.n};
        if (value.n)
            memcpy(p->bytes, value.p, value.n);
        memcpy(p->bytes + value.n, buffer, w.n);
        e->proofs = p;
        e->proofs_n++;
    }
    pthread_rwlock_unlock(&n->state_lock);
    pthread_mutex_unlock(&e->mutex);
    return rc;
}

static int handover(void *ctx, uint32_t epoch, struct poa_writer *header, struct poa_writer *links,
                    struct poa_writer *cert, struct poa_writer *committee)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    uint64_t height = 0;
    struct poa_run run;
    struct poa_raw_header raw;
    int rc = node_hand_over_read(((struct poa_node *)ctx)->store, epoch, &bytes, &n, &height);
    if (rc)
        return rc;
    rc = poa_run_decode(poa_slice(bytes, n), &run);
    size_t fillers = rc ? 0 : run.headers.count - 1u;
    if (fillers > POA_GATEWAY_LINKS_MAX)
        rc = POA_E_NOT_FOUND;
    struct poa_list_iter it = rc ? (struct poa_list_iter){.left = 0} : poa_list_begin(&run.headers);
    for (size_t i = 0; !rc && poa_raw_header_next(&it, &raw); i++) {
        if (raw.header.n != POA_HEADER_BYTES)
            rc = POA_E_STORE_CORRUPT;
        else if (!i)
            poa_write(header, raw.header.p, raw.header.n);
        else /* newest first */
            memcpy(links->p + (fillers - i) * POA_HEADER_BYTES, raw.header.p, POA_HEADER_BYTES);
    }
    if (!rc) {
        links->n = fillers * POA_HEADER_BYTES;
        poa_write(cert, run.cert.p, run.cert.n);
        poa_write(committee, run.next.p, run.next.n);
    }
    free(bytes);
    return rc;
}

struct asker {
    struct poa_node *node;
    uint64_t token;
};

static void mined(void *ctx, const int *codes, uint32_t count)
{
    struct asker *a = ctx;
    poa_gateway_result(a->node->gateway, a->token, count ? codes[0] : POA_E_INVALID);
    free(a);
}

static int mine(struct poa_node *n, uint64_t token, const struct poa_mining *m)
{
    uint8_t buffer[1024];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct asker *a = malloc(sizeof *a);
    int rc = poa_mining_encode(&w, m);
    if (rc || !a) {
        free(a);
        return rc ? rc : POA_E_NO_MEMORY;
    }
    *a = (struct asker){n, token};
    node_mine(n, poa_written(&w), mined, a);
    return POA_OK;
}

static int submit_ticket(void *ctx, uint64_t token, const struct poa_ticket *ticket)
{
    uint8_t buffer[256];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    int rc = poa_ticket_encode(&w, ticket);
    struct poa_mining m = {.tickets = {.bytes = poa_written(&w), .count = 1}};
    return rc ? rc : mine(ctx, token, &m);
}

static int submit_seal(void *ctx, uint64_t token, const struct poa_seal *s)
{
    uint8_t buffer[256];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    int rc = poa_seal_encode(&w, s);
    struct poa_mining m = {.seals = {.bytes = poa_written(&w), .count = 1}};
    return rc ? rc : mine(ctx, token, &m);
}

static void tx_done(struct node_submission *s)
{
    poa_gateway_result(s->node->gateway, s->token, s->check->code[0]);
}

static int submit_tx(void *ctx, uint64_t token, struct poa_slice tx)
{
    uint8_t *bytes = NULL;
    struct node_submission *s = node_submission_new(ctx, 1, tx.n, &bytes);
    if (!s)
        return POA_E_NO_MEMORY;
    memcpy(bytes, tx.p, tx.n);
    s->check->raw[0] = poa_slice(bytes, tx.n);
    s->token = token;
    s->done = tx_done;
    node_submit(s);
    return POA_OK;
}

/* A new pack finds room; what comes with one that was taken always does. */
static int pack_room(const struct poa_node *n, size_t bytes)
{
    uint64_t limit = (uint64_t)n->config.pack_store_kib * 1024;
    uint64_t taken = poa_store_blob_bytes(n->store);
    struct node_io_stats io; /* what is on its way, whatever it is */
    node_io_stats(n->io, &io);
    if (!limit || taken + io.queued_bytes + bytes <= limit)
        return POA_OK;
    POA_LOG_LIMITED(60000, POA_LOG_WARN, NODE,
                    "no room for packs: they take %llu of %u KiB (pack_store_kib) and go after %u "
                    "days (blob_days); devices keep theirs until then",
                    (unsigned long long)(taken / 1024), n->config.pack_store_kib,
                    n->config.blob_days);
    return POA_E_FULL;
}

static int blob_put(void *ctx, const struct poa_gateway_blob *blob, size_t count)
{
    struct poa_node *n = ctx;
    struct node_blob list[POA_GATEWAY_BLOBS];
    POA_ASSERT(count <= POA_GATEWAY_BLOBS);
    for (size_t i = 0; i < count; i++) {
        int rc = blob[i].kind == POA_BLOB_PACK ? pack_room(n, blob[i].bytes.n) : POA_OK;
        if (rc)
            return rc;
        list[i] = (struct node_blob){(uint8_t)blob[i].kind, blob[i].key32, blob[i].bytes};
    }
    return node_io_blobs(n->io, poa_clock_wall_ms(n->clock) + n->config.blob_days * DAY_MS, list,
                         count);
}

static int blob_sync(void *ctx)
{
    return node_io_sync(((struct poa_node *)ctx)->io);
}

static int blob_get(void *ctx, enum poa_blob_kind kind, const uint8_t key32[32],
                    struct poa_writer *out)
{
    struct poa_node *n = ctx;
    struct poa_store_value v;
    int rc = poa_store_get_blob(n->store, (uint8_t)kind, key32, &v);
    if (rc)
        return rc;
    poa_write(out, v.bytes.p, v.bytes.n);
    poa_store_value_free(&v);
    return out->overflow ? POA_E_BUFFER : POA_OK;
}

/* --- life ---------------------------------------------------------------------------------- */

int node_edge_open(struct poa_node *n, struct poa_why *why)
{
    char host[128];
    struct poa_gateway_config c = {.host = host,
                                   .genesis = &n->genesis,
                                   .limits = poa_gateway_limits_default,
                                   .backend = {.ctx = n,
                                               .state_get = state_get,
                                               .prove = prove,
                                               .handover = handover,
                                               .submit_ticket = submit_ticket,
                                               .submit_seal = submit_seal,
                                               .submit_tx = submit_tx,
                                               .blob_put = blob_put,
                                               .blob_sync = blob_sync,
                                               .blob_get = blob_get},
                                   .anchor_ms = n->config.anchor_ms};
    if (!n->config.gateway[0])
        return POA_OK;
    n->edge = calloc(1, sizeof *n->edge);
    if (!n->edge)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    pthread_mutex_init(&n->edge->mutex, NULL);
    int rc = poa_config_address(n->config.gateway, host, sizeof host, &c.port, why);
    c.anchor_key_type = (uint8_t)n->anchor_type;
    memcpy(c.anchor_secret32, n->anchor_secret, 32);
    if (!rc) {
        snprintf(n->edge->pass_path, sizeof n->edge->pass_path, "%.400s/" PASS_FILE,
                 n->config.data_dir);
        c.pass_path = n->edge->pass_path;
        memcpy(c.chain, n->chain, 32);
        memcpy(c.seed32, n->seed, 32);
        c.limits.connections = n->config.gateway_devices;
        c.limits.day_kib = n->config.pack_day_kib;
        rc = poa_gateway_new(&c, &n->gateway, why);
        if (!rc)
            poa_gateway_serve(n->gateway, false); /* until this node is where the others are */
    }
    poa_wipe(c.seed32, 32);
    poa_wipe(c.anchor_secret32, 32);
    return rc;
}

/* After the restore, before the core thread runs: the current epoch is told
 * before anything else. */
int node_edge_tell(struct poa_node *n, struct poa_why *why)
{
    struct poa_core_status s;
    if (!n->gateway)
        return POA_OK;
    poa_core_status(n->core, &s);
    int rc = tell_epoch(n, s.epoch, NULL);
    return rc ? poa_because(why, rc, "gateway: the epoch is not in the state: %s",
                            poa_error_text(rc))
              : POA_OK;
}

int node_edge_start(struct poa_node *n, struct poa_why *why)
{
    int rc = n->gateway ? poa_gateway_start(n->gateway) : POA_OK;
    return rc ? poa_because(why, rc, "gateway: %s", poa_error_text(rc)) : POA_OK;
}

/* Devices come back about when a restart is over. */
#define RETRY_MS 2000

void node_edge_stop(struct poa_node *n)
{
    if (n->gateway)
        poa_gateway_stop(n->gateway, RETRY_MS);
}

void node_edge_free(struct poa_node *n)
{
    poa_gateway_free(n->gateway);
    if (!n->edge)
        return;
    while (n->edge->proofs) {
        struct proof *next = n->edge->proofs->next;
        free(n->edge->proofs);
        n->edge->proofs = next;
    }
    pthread_mutex_destroy(&n->edge->mutex);
    free(n->edge);
}
