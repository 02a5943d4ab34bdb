/* What comes over the mesh: pushes go to the core, requests are answered here. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node.h"
#include "poa_book.h"
#include "poa_snapshot.h"

#define WAITING_MAX 256
/* Invalid transactions of one request that count. */
#define BLAMED_MAX 20
/* So many that are known already cost a point. */
#define KNOWN_EACH 16

/* --- pushes -------------------------------------------------------------------------- */

struct pushed {
    struct node_event event;
    struct poa_node *node;
    struct node_check *check; /* what it claims; NULL: nothing */
    struct node_claim *claim;
    int peer;
    uint8_t key[32];
    uint16_t type;
    size_t n;
    uint8_t bytes[];
};

static void blame(struct poa_node *n, const uint8_t key[32], uint16_t type, int rc,
                  enum poa_p2p_fault fault)
{
    char hex[9];
    if (!n->p2p || poa_error_class(rc) != POA_CLASS_PEER)
        return;
    poa_hex(key, 4, hex);
    /* Who comes back after long begins with the epoch that it knows; a ban is told anyway. */
    if (fault == POA_P2P_FAULT_OUTDATED)
        POA_LOG_DEBUG(NODE, "message %u of node %s is of an epoch long past", type, hex);
    else
        POA_LOG_LIMITED(10000, POA_LOG_WARN, NODE, "message %u of node %s is refused: %s", type,
                        hex, poa_error_text(rc));
    poa_p2p_blame(n->p2p, key, fault);
}

/* Of an epoch that ended more than one epoch ago. Messages of the next ones come
 * to a node that catches up, and are nobody's fault. */
static bool is_outdated(struct poa_node *n, uint16_t type, struct poa_slice bytes)
{
    struct poa_vote vote;
    struct poa_cert cert;
    struct poa_batch batch;
    uint32_t epoch = UINT32_MAX - 1;
    if (type == POA_MSG_VOTE && !poa_vote_decode(bytes, &vote))
        epoch = vote.epoch;
    if (type == POA_MSG_CERT && !poa_cert_decode(bytes, &cert))
        epoch = cert.epoch;
    if (type == POA_MSG_BATCH && !poa_batch_decode(bytes, &batch))
        epoch = batch.epoch;
    pthread_mutex_lock(&n->roster_mutex);
    bool old = epoch + 1 < n->roster.epoch;
    pthread_mutex_unlock(&n->roster_mutex);
    return old;
}

static void blame_push(struct poa_node *n, const uint8_t key[32], uint16_t type,
                       struct poa_slice bytes, int rc)
{
    if (rc == POA_E_EPOCH && is_outdated(n, type, bytes))
        blame(n, key, type, rc, POA_P2P_FAULT_OUTDATED);
    /* What crosses on the way is nobody's fault. */
    else if (rc != POA_E_DUPLICATE && rc != POA_E_VIEW && rc != POA_E_EPOCH && rc != POA_E_RANGE)
        blame(n, key, type, rc, POA_P2P_FAULT_INVALID);
}

static void free_pushed(struct pushed *m)
{
    free(m->claim);
    free(m->check);
    free(m);
}

static void run_pushed(struct node_event *e, void *ctx)
{
    struct poa_node *n = ctx;
    struct pushed *m = (struct pushed *)e;
    pthread_mutex_lock(&n->peers_mutex);
    int member = m->peer >= 0 ? n->peer_member[m->peer] : -1;
    pthread_mutex_unlock(&n->peers_mutex);
    struct poa_event event = {.kind = POA_EVENT_MESSAGE,
                              .peer = member >= 0 ? (uint16_t)member : POA_PEER_OTHER,
                              .type = m->type,
                              .bytes = poa_slice(m->bytes, m->n)};
    POA_LOG_TRACE(NODE, "in: type %u, %zu bytes, member %d", m->type, m->n, member);
    int rc = node_step(n, &event);
    if (rc)
        blame_push(n, m->key, m->type, event.bytes, rc);
    free_pushed(m);
}

static void drop_pushed(struct node_event *e)
{
    free_pushed((struct pushed *)e);
}

static int class_of(uint16_t type, enum node_class *class)
{
    switch (type) {
    case POA_MSG_VOTE:
    case POA_MSG_CERT:
    case POA_MSG_RECOVER:
    case POA_MSG_RECOVERED:
        *class = NODE_CLASS_VOTE;
        return POA_OK;
    case POA_MSG_PROPOSAL:
    case POA_MSG_BEACON:
    case POA_MSG_BATCH_ACK:
    case POA_MSG_GET_CERTS:
    case POA_MSG_GET_BLOCK:
    case POA_MSG_GET_BATCH:
        *class = NODE_CLASS_BLOCK;
        return POA_OK;
    case POA_MSG_BATCH:
    case POA_MSG_TX:
    case POA_MSG_MINING:
        *class = NODE_CLASS_BULK;
        return POA_OK;
    default:
        return POA_E_UNSUPPORTED;
    }
}

static void post_pushed(struct pushed *p)
{
    enum node_class class;
    int rc = class_of(p->type, &class);
    if (!rc)
        rc = node_queue_post(&p->node->queue, class, &p->event);
    if (!rc)
        return;
    if (rc == POA_E_FULL)
        POA_LOG_LIMITED(10000, POA_LOG_WARN, NODE, "too busy: a message of type %u is dropped",
                        p->type);
    free_pushed(p);
}

static void pushed_checked(struct node_check *c)
{
    struct pushed *p = c->ctx;
    /* Members pass on only what they checked: the core has no time for the rest. */
    bool own_fault = p->type == POA_MSG_BEACON || p->type == POA_MSG_MINING;
    if (own_fault && c->wrong)
        blame(p->node, p->key, p->type, POA_E_PROOF, POA_P2P_FAULT_INVALID);
    else if (p->type != POA_MSG_BEACON) { /* which only came to be checked */
        post_pushed(p);
        return;
    }
    free_pushed(p);
}

static void on_push(struct poa_node *n, const struct poa_p2p_message *m)
{
    enum node_class class;
    if (class_of(m->type, &class))
        return;
    struct pushed *p = malloc(sizeof *p + m->bytes.n);
    if (!p)
        return;
    memset(p, 0, sizeof *p);
    p->node = n;
    p->event = (struct node_event){.run = run_pushed, .drop = drop_pushed, .bytes = m->bytes.n};
    p->peer = m->peer;
    memcpy(p->key, m->key32, 32);
    p->type = m->type;
    p->n = m->bytes.n;
    memcpy(p->bytes, m->bytes.p, m->bytes.n);
    uint32_t claims = 0;
    p->claim = node_claims_message(n, p->type, poa_slice(p->bytes, p->n), &claims);
    if (claims == 1)
        p->claim->first_hand = memcmp(p->claim->key, m->key32, 32) == 0;
    p->check = claims ? node_check_new(0, 0, NULL) : NULL;
    if (p->check) {
        p->check->claim = p->claim;
        p->check->claims = claims;
        p->check->done = pushed_checked;
        p->check->ctx = p;
        if (!node_workers_check(n->workers, p->check))
            return;
    }
    post_pushed(p);
}

/* --- requests ------------------------------------------------------------------------ */

static void answer(struct poa_node *n, uint64_t token, uint16_t type, const struct poa_record *rec,
                   const void *r, size_t cap)
{
    if (!n->p2p)
        return; /* the node stops */
    uint8_t *p = malloc(cap);
    struct poa_writer w = poa_writer_over(p, cap);
    int rc = p ? poa_record_encode(rec, &w, r) : POA_E_NO_MEMORY;
    if (!rc)
        rc = poa_p2p_answer(n->p2p, token, type, poa_written(&w));
    else
        rc = poa_p2p_refuse(n->p2p, token, rc);
    (void)rc; /* the asker may be gone */
    free(p);
}

static void answer_codes(struct poa_node *n, uint64_t token, uint16_t type, const int *codes,
                         uint32_t count)
{
    uint8_t *list = malloc(2 * (size_t)count + 1);
    if (!list)
        return; /* the asker's time runs out */
    struct poa_writer w = poa_writer_over(list, 2 * (size_t)count);
    for (uint32_t i = 0; i < count; i++)
        poa_write_u16(&w, (uint16_t)-codes[i]);
    struct poa_codes r = {.codes = {.bytes = poa_written(&w), .count = count}};
    answer(n, token, type, &poa_codes_record, &r, w.n + 16);
    free(list);
}

/* A node checks what it passes on: these are its own faults. */
static bool is_invalid(int code)
{
    return code == POA_E_TX_SIGNATURE || code == POA_E_TX_MALFORMED || code == POA_E_TX_CHAIN ||
           code == POA_E_TX_SENDER || code == POA_E_TX_TRAILING || code == POA_E_TX_TRUNCATED ||
           code == POA_E_TX_OP_UNKNOWN || code == POA_E_TX_OP_COUNT;
}

/* Who repeats itself when an answer was lost does so once; who does nothing else makes work
 * that no fee pays. */
static void stranger_submitted(struct node_submission *s)
{
    uint32_t taken = 0, known = 0;
    for (uint32_t i = 0; i < s->check->n; i++) {
        int code = s->check->code[i];
        taken += code == POA_OK;
        known += code == POA_E_TX_DUPLICATE || code == POA_E_TX_NONCE_USED;
    }
    s->node->strangers_accepted += taken;
    for (uint32_t i = 0; i < known && known == s->check->n && s->node->p2p; i += KNOWN_EACH)
        poa_p2p_blame(s->node->p2p, s->from, POA_P2P_FAULT_KNOWN);
}

static void submitted(struct node_submission *s)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < s->check->n && bad < BLAMED_MAX; i++)
        bad += is_invalid(s->check->code[i]);
    while (bad-- && s->node->p2p)
        poa_p2p_blame(s->node->p2p, s->from, POA_P2P_FAULT_INVALID);
    if (s->check->submitter >> 56 == NODE_STRANGER)
        stranger_submitted(s);
    answer_codes(s->node, s->token, POA_MSG_ANS_SUBMIT, s->check->code, s->check->n);
}

/* What the transactions of C offer, together, in sixteenths of the smallest fees: before
 * anything is verified. Who claims what is not there is blamed for it, or refused. */
static uint32_t price_of(struct poa_node *n, const struct node_check *c)
{
    uint64_t fees = 0, least = 0;
    pthread_mutex_lock(&n->status_mutex);
    const struct poa_genesis g = {.fee_min = n->fee_min, .fee_per_kib = n->fee_kib};
    pthread_mutex_unlock(&n->status_mutex);
    for (uint32_t i = 0; i < c->n; i++) {
        struct poa_tx tx;
        uint64_t min = poa_fee_min(&g, c->raw[i].n), most = min * (NODE_PACE_MOST / 16);
        if (!poa_tx_decode(c->raw[i], &tx))
            fees += tx.fee < most ? tx.fee : most;
        least += min;
    }
    return least ? (uint32_t)((double)fees * NODE_PACE_LEAST / (double)least) : NODE_PACE_MOST;
}

static void on_submit(struct poa_node *n, const struct poa_p2p_message *m)
{
    struct node_submission *s = NULL;
    int rc = node_submission_from(n, m->bytes, &s);
    if (rc) {
        blame(n, m->key32, m->type, rc, POA_P2P_FAULT_INVALID);
        (void)!poa_p2p_refuse(n->p2p, m->token, rc);
        return;
    }
    memcpy(s->from, m->key32, 32);
    s->check->submitter = node_submitter(m->peer >= 0 ? NODE_LISTED : NODE_STRANGER, m->key32);
    if (m->peer < 0)
        s->check->price = price_of(n, s->check);
    s->token = m->token;
    s->done = submitted;
    node_submit(s);
}

struct mining_asker {
    struct poa_node *node;
    uint64_t token;
};

static void mined(void *ctx, const int *codes, uint32_t count)
{
    struct mining_asker *a = ctx;
    answer_codes(a->node, a->token, POA_MSG_ANS_MINING, codes, count);
    free(a);
}

static void on_mining(struct poa_node *n, const struct poa_p2p_message *m)
{
    struct mining_asker *a = malloc(sizeof *a);
    struct poa_mining r;
    blame(n, m->key32, m->type, poa_mining_decode(m->bytes, &r), POA_P2P_FAULT_INVALID);
    if (!a) {
        (void)!poa_p2p_refuse(n->p2p, m->token, POA_E_NO_MEMORY);
        return;
    }
    *a = (struct mining_asker){n, m->token};
    node_mine(n, m->bytes, mined, a);
}

static void on_status(struct poa_node *n, const struct poa_p2p_message *m)
{
    struct node_status s;
    node_status_get(n, &s);
    struct poa_peer_status r = {.height = s.core.height, .epoch = s.core.epoch};
    memcpy(r.chain, n->chain, 32);
    memcpy(r.hash, s.core.hash, 32);
    answer(n, m->token, POA_MSG_ANS_STATUS, &poa_peer_status_record, &r, 128);
}

struct height_asker {
    struct poa_node *node;
    int peer;
    uint8_t key[32];
};

static void height_came(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct height_asker *a = ctx;
    struct poa_peer_status r;
    if (!error && type == POA_MSG_ANS_STATUS && !poa_peer_status_decode(bytes, &r)) {
        pthread_mutex_lock(&a->node->peers_mutex);
        struct node_peer *p = &a->node->peer[a->peer];
        if (memcmp(p->key, a->key, 32) == 0) { /* nobody else has its place */
            p->height = r.height;
            p->highest = node_behind_highest(p->highest, r.height);
            p->heard = true;
        }
        pthread_mutex_unlock(&a->node->peers_mutex);
    }
    free(a);
}

static void ask_height(struct poa_node *n, int peer)
{
    struct height_asker *a = malloc(sizeof *a);
    if (!a)
        return;
    *a = (struct height_asker){.node = n, .peer = peer};
    pthread_mutex_lock(&n->peers_mutex);
    memcpy(a->key, n->peer[peer].key, 32);
    pthread_mutex_unlock(&n->peers_mutex);
    if (node_request(n, peer, a->key, POA_MSG_REQ_STATUS, poa_slice(NULL, 0), NODE_REQUEST_MS,
                     height_came, a))
        free(a);
}

void node_ask_heights(struct poa_node *n)
{
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++) {
        pthread_mutex_lock(&n->peers_mutex);
        bool up = n->peer[i].known && n->peer[i].up;
        pthread_mutex_unlock(&n->peers_mutex);
        if (up)
            ask_height(n, i);
    }
}

/* --- follow requests --------------------------------------------------------------------- */

struct asker {
    struct asker *next;
    uint64_t token, after, until, deadline_us;
    size_t max_bytes;
};

struct node_serve {
    struct poa_node *node;
    pthread_t thread;
    bool runs, stop;
    struct asker *first; /* status_mutex */
    uint32_t waiting;
};

static void on_follow(struct poa_node *n, const struct poa_p2p_message *m)
{
    struct poa_follow r;
    int rc = poa_follow_decode(m->bytes, &r);
    struct asker *a = rc ? NULL : malloc(sizeof *a);
    if (!rc && !a)
        rc = POA_E_NO_MEMORY;
    if (!rc) {
        *a = (struct asker){
            .token = m->token,
            .after = r.after,
            .until = r.until,
            .deadline_us = poa_clock_monotonic_us(n->clock) + NODE_FOLLOW_WAIT_MS * 1000u,
            .max_bytes = r.max_bytes < NODE_BUNDLE_BYTES ? r.max_bytes : NODE_BUNDLE_BYTES};
        pthread_mutex_lock(&n->status_mutex);
        if (n->serve->stop) {
            rc = POA_E_CLOSED;
        } else if (n->serve->waiting < WAITING_MAX) {
            a->next = n->serve->first;
            n->serve->first = a;
            n->serve->waiting++;
            pthread_cond_broadcast(&n->status_cond);
        } else {
            rc = POA_E_FULL;
        }
        pthread_mutex_unlock(&n->status_mutex);
    }
    if (rc) {
        free(a);
        blame(n, m->key32, m->type, rc, POA_P2P_FAULT_INVALID);
        (void)!poa_p2p_refuse(n->p2p, m->token, rc);
        return;
    }
    if (m->peer >= 0) {
        pthread_mutex_lock(&n->peers_mutex);
        if (r.after > n->peer[m->peer].height)
            n->peer[m->peer].height = r.after;
        pthread_mutex_unlock(&n->peers_mutex);
    }
}

/* With status_mutex: those that need not wait any longer. */
static struct asker *take_due(struct node_serve *v, uint64_t now_us, uint64_t *next_us)
{
    struct asker *due = NULL;
    *next_us = UINT64_MAX;
    for (struct asker **at = &v->first; *at;) {
        struct asker *a = *at;
        if (a->after < v->node->status.stored || a->deadline_us <= now_us) {
            *at = a->next;
            a->next = due;
            due = a;
            v->waiting--;
            continue;
        }
        if (a->deadline_us < *next_us)
            *next_us = a->deadline_us;
        at = &a->next;
    }
    return due;
}

/* The block after AFTER was deleted here, or was never needed. */
static bool is_gone(struct poa_node *n, uint64_t after)
{
    uint64_t first = 0, last = 0;
    return !poa_store_heights(n->store, &first, &last) && after + 1 < first;
}

/* Followers mostly ask for the same: what was read once serves all of them. */
static void serve_due(struct poa_node *n, struct asker *due)
{
    uint8_t *bytes = NULL, empty[16];
    size_t bytes_n = 0, read_max = 0;
    uint64_t read_after = UINT64_MAX, read_until = 0, last = 0;
    bool gone = false;
    struct poa_writer w = poa_writer_over(empty, sizeof empty);
    struct poa_blocks none = {.cert = poa_slice(NULL, 0)};
    POA_ASSERT(!poa_blocks_encode(&w, &none));
    while (due) {
        struct asker *a = due;
        due = a->next;
        if (a->after != read_after || a->until != read_until || a->max_bytes != read_max) {
            free(bytes);
            bytes = NULL;
            read_after = a->after;
            read_until = a->until;
            read_max = a->max_bytes;
            int rc = node_bundle_read(n->store, a->after, a->until, a->max_bytes, &bytes, &bytes_n,
                                      &last);
            if (rc)
                bytes = NULL;
            gone = rc == POA_E_NOT_FOUND && is_gone(n, a->after);
            if (rc && rc != POA_E_NOT_FOUND)
                POA_LOG_LIMITED(10000, POA_LOG_ERROR, NODE, "cannot read blocks after %llu: %s",
                                (unsigned long long)a->after, poa_error_text(rc));
        }
        struct poa_slice out = bytes ? poa_slice(bytes, bytes_n) : poa_written(&w);
        if (gone)
            (void)!poa_p2p_refuse(n->p2p, a->token, POA_E_NOT_KEPT);
        else
            (void)!poa_p2p_answer(n->p2p, a->token, POA_MSG_ANS_FOLLOW, out);
        free(a);
    }
    free(bytes);
}

static void *serve_thread(void *arg)
{
    struct node_serve *v = arg;
    struct poa_node *n = v->node;
    pthread_mutex_lock(&n->status_mutex);
    while (!v->stop) {
        uint64_t next_us = 0;
        uint64_t now_us = poa_clock_monotonic_us(n->clock);
        struct asker *due = take_due(v, now_us, &next_us);
        struct node_proof *proofs = node_proofs_take(n, now_us, &next_us);
        if (due || proofs) {
            pthread_mutex_unlock(&n->status_mutex);
            serve_due(n, due);
            node_proofs_answer(n, proofs, POA_OK);
            pthread_mutex_lock(&n->status_mutex);
            continue;
        }
        if (next_us == UINT64_MAX) {
            pthread_cond_wait(&n->status_cond, &n->status_mutex);
            continue;
        }
        struct timespec t = {.tv_sec = (time_t)(next_us / 1000000),
                             .tv_nsec = (long)(next_us % 1000000 * 1000)};
        (void)pthread_cond_timedwait(&n->status_cond, &n->status_mutex, &t);
    }
    struct asker *left = v->first;
    struct node_proof *proofs = n->proofs;
    v->first = NULL;
    n->proofs = NULL;
    n->proofs_open = false;
    pthread_mutex_unlock(&n->status_mutex);
    node_proofs_answer(n, proofs, POA_E_CLOSED);
    while (left) {
        struct asker *next = left->next;
        (void)!poa_p2p_refuse(n->p2p, left->token, POA_E_CLOSED);
        free(left);
        left = next;
    }
    return NULL;
}

int node_serve_new(struct poa_node *n)
{
    n->serve = calloc(1, sizeof *n->serve);
    if (!n->serve)
        return POA_E_NO_MEMORY;
    n->serve->node = n;
    return POA_OK;
}

int node_serve_start(struct poa_node *n)
{
    n->proofs_open = true;
    int rc = node_thread(&n->serve->thread, "serve", NODE_SMALL_STACK, serve_thread, n->serve);
    n->serve->runs = !rc;
    return rc;
}

void node_serve_stop(struct poa_node *n)
{
    if (!n->serve || !n->serve->runs)
        return;
    pthread_mutex_lock(&n->status_mutex);
    n->serve->stop = true;
    pthread_cond_broadcast(&n->status_cond);
    pthread_mutex_unlock(&n->status_mutex);
    pthread_join(n->serve->thread, NULL);
    n->serve->runs = false;
}

/* --- the mesh's callbacks ------------------------------------------------------------------- */

void node_on_message(void *ctx, const struct poa_p2p_message *m)
{
    struct poa_node *n = ctx;
    if (!m->token) {
        on_push(n, m);
        return;
    }
    if ((m->type == POA_MSG_REQ_SUBMIT || m->type == POA_MSG_REQ_MINING) && node_starting(n)) {
        (void)!poa_p2p_refuse(n->p2p, m->token, POA_E_AGAIN);
        return;
    }
    switch (m->type) {
    case POA_MSG_REQ_FOLLOW:
        on_follow(n, m);
        return;
    case POA_MSG_REQ_SUBMIT:
        on_submit(n, m);
        return;
    case POA_MSG_REQ_MINING:
        on_mining(n, m);
        return;
    case POA_MSG_REQ_STATUS:
        on_status(n, m);
        return;
    case POA_MSG_REQ_SNAPSHOT:
    case POA_MSG_REQ_PART:
        node_snapshot_serve(n, m);
        return;
    case POA_MSG_REQ_PEERS:
        node_discover_serve(n, m);
        return;
    default:
        poa_p2p_blame(n->p2p, m->key32, POA_P2P_FAULT_INVALID);
        (void)!poa_p2p_refuse(n->p2p, m->token, POA_E_UNSUPPORTED);
    }
}

void node_on_peer(void *ctx, int peer, const uint8_t key32[32], bool up)
{
    struct poa_node *n = ctx;
    char key[9];
    poa_hex(key32, 4, key);
    pthread_mutex_lock(&n->peers_mutex);
    bool here = memcmp(n->peer[peer].key, key32, 32) == 0;
    if (here)
        n->peer[peer].up = up;
    pthread_mutex_unlock(&n->peers_mutex);
    if (!here)
        return;
    POA_LOG_INFO(NODE, "node %s is %s", key, up ? "connected" : "gone");
    if (up)
        ask_height(n, peer);
}
