/* What a follower hands to a server: transactions and mining items. One
 * request of each kind is under way to a server at a time; what comes meanwhile
 * waits and shares the next one, so that load makes requests larger, not more. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

#define TXS_MAX     4096
#define BYTES_MAX   ((size_t)512 << 10)
#define ITEMS_MAX   512
#define TRIES       3
#define WAITING_MAX 65536

struct item {
    struct item *next;
    node_mining_done *done;
    void *ctx;
    uint32_t tickets, seals, evidence;
    size_t n;
    uint8_t bytes[];
};

struct node_forward {
    struct poa_node *node;
    pthread_mutex_t mutex;
    struct node_submission *tx, **tx_last;
    struct item *item, **item_last;
    uint32_t tx_waiting, item_waiting;
    bool tx_busy, mining_busy, stop;
    int server;
    /* One transaction that a server took, until it is final: how long that takes. */
    uint8_t probe[32];
    uint64_t probe_us, lag_us, lag_at_us; /* 0: none */
};

int node_forward_start(struct poa_node *n)
{
    struct node_forward *f = calloc(1, sizeof *f);
    if (!f)
        return POA_E_NO_MEMORY;
    f->node = n;
    f->tx_last = &f->tx;
    f->item_last = &f->item;
    f->server = -1;
    pthread_mutex_init(&f->mutex, NULL);
    n->forward = f;
    return POA_OK;
}

/* --- which server --------------------------------------------------------------------- */

int node_pick_server(struct poa_node *n, int avoid)
{
    int best = -1, best_rank = 0;
    uint32_t equals = 0, dice = 0;
    pthread_mutex_lock(&n->peers_mutex);
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++) {
        const struct node_peer *p = &n->peer[i];
        if (!p->known || !p->up)
            continue;
        int rank = 1 + 2 * p->member + (i != avoid ? 4 : 0);
        if (rank < best_rank)
            continue;
        equals = rank > best_rank ? 1 : equals + 1;
        best_rank = rank;
        poa_random(&dice, sizeof dice);
        if (dice % equals == 0) /* each of the best is as likely */
            best = i;
    }
    pthread_mutex_unlock(&n->peers_mutex);
    return best;
}

/* The server that answered last, or another. */
static int server_of(struct node_forward *f, int avoid)
{
    struct poa_node *n = f->node;
    pthread_mutex_lock(&n->peers_mutex);
    bool good = f->server >= 0 && f->server != avoid && n->peer[f->server].up;
    pthread_mutex_unlock(&n->peers_mutex);
    if (!good)
        f->server = node_pick_server(n, avoid);
    return f->server;
}

/* --- how long it takes ------------------------------------------------------------------- */

/* A transaction that was taken and never came is forgotten. */
#define PROBE_US 10000000u

/* Threads look at the clock before they have the mutex, so NOW may be the earlier one. */
static uint64_t since(uint64_t now_us, uint64_t then_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

static void probe_begin(struct node_forward *f, const uint8_t id[32], uint64_t now_us)
{
    pthread_mutex_lock(&f->mutex);
    if (!f->probe_us || now_us > f->probe_us + PROBE_US) {
        memcpy(f->probe, id, 32);
        f->probe_us = now_us;
    }
    pthread_mutex_unlock(&f->mutex);
}

void node_forward_final(struct node_forward *f, const struct poa_tx_result *tx, uint32_t txs,
                        uint64_t now_us)
{
    pthread_mutex_lock(&f->mutex);
    for (uint32_t i = 0; i < txs && f->probe_us; i++)
        if (!memcmp(tx[i].id, f->probe, 32)) {
            f->lag_us = since(now_us, f->probe_us);
            f->lag_at_us = now_us;
            f->probe_us = 0;
        }
    pthread_mutex_unlock(&f->mutex);
}

uint64_t node_forward_lag(struct node_forward *f, uint64_t now_us)
{
    pthread_mutex_lock(&f->mutex);
    uint64_t lag = now_us < f->lag_at_us + 1000000 ? f->lag_us : 0;
    uint64_t under_way = f->probe_us ? since(now_us, f->probe_us) : 0;
    if (under_way > lag && under_way < PROBE_US)
        lag = under_way;
    pthread_mutex_unlock(&f->mutex);
    return lag;
}

/* --- transactions ------------------------------------------------------------------------ */

struct tx_request {
    struct node_forward *forward;
    struct node_submission *list;
    int server;
};

static void send_txs(struct node_forward *f, int avoid);

static void end_all(struct node_submission *list, int code)
{
    while (list) {
        struct node_submission *next = list->next;
        node_submission_end(list, code);
        list = next;
    }
}

/* CODES in the order of what was sent: every transaction that passed here. */
static void settle(struct poa_node *n, struct node_submission *list, struct poa_list codes)
{
    const uint8_t *taken = NULL;
    struct poa_list_iter it = poa_list_begin(&codes);
    while (list) {
        struct node_submission *next = list->next;
        struct node_check *c = list->check;
        for (uint32_t i = 0; i < c->n; i++) {
            struct poa_code code;
            if (c->code[i])
                continue;
            if (poa_code_next(&it, &code) != 1)
                c->code[i] = POA_E_CLOSED;
            else
                c->code[i] = -(int)code.code;
            if (!c->code[i] && !taken) {
                taken = c->view[i].id;
                probe_begin(n->forward, taken, poa_clock_monotonic_us(n->clock));
            }
            /* Sent again after a lost answer, it is known there; or that is what took its own
             * nonce meanwhile. When another one did, again.c learns it. */
            if (list->tries > 1 &&
                (c->code[i] == POA_E_TX_DUPLICATE || c->code[i] == POA_E_TX_NONCE_USED))
                c->code[i] = POA_OK;
            if (!list->local)
                continue;
            if (c->code[i] && c->code[i] != POA_E_TX_DUPLICATE)
                node_tracker_drop(n->tracker, c->view[i].id);
            else if (node_tracker_accepted(n->tracker, c->view[i].id))
                node_again_keep(n->again, &c->view[i]);
        }
        node_submission_end(list, POA_OK);
        list = next;
    }
}

static void put_back(struct node_forward *f, struct node_submission *list)
{
    struct node_submission *last = list;
    while (last->next)
        last = last->next;
    last->next = f->tx;
    if (!f->tx)
        f->tx_last = &last->next;
    f->tx = list;
    for (; list != last->next; list = list->next)
        f->tx_waiting++;
}

/* No answer, for reason CODE. What was SENT, now or before, may be on its way all the same. */
static void untrack(struct poa_node *n, const struct node_submission *s, bool sent, int code)
{
    for (; s; s = s->next)
        for (uint32_t i = 0; s->local && i < s->check->n; i++) {
            if (s->check->code[i])
                continue;
            if (sent || s->tries > 1)
                node_tracker_unsure(n->tracker, s->check->view[i].id, code);
            else
                node_tracker_drop(n->tracker, s->check->view[i].id);
        }
}

static void txs_answered(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct tx_request *r = ctx;
    struct node_forward *f = r->forward;
    struct poa_codes codes;
    if (!error && (type != POA_MSG_ANS_SUBMIT || poa_codes_decode(bytes, &codes)))
        error = POA_E_INVALID;
    if (!error)
        settle(f->node, r->list, codes.codes);
    bool again = error && r->list->tries < TRIES && !f->stop;
    if (error && !again) {
        untrack(f->node, r->list, true, error);
        end_all(r->list, error);
    }
    pthread_mutex_lock(&f->mutex);
    f->tx_busy = false;
    if (again)
        put_back(f, r->list);
    pthread_mutex_unlock(&f->mutex);
    send_txs(f, error ? r->server : -1);
    free(r);
}

/* Encodes the submissions in front that fit; cuts them off the list. */
static uint8_t *take_txs(struct node_forward *f, struct node_submission **list, size_t *n)
{
    uint32_t count = 0;
    size_t bytes = 0;
    struct node_submission *s = f->tx, *last = NULL;
    for (; s; last = s, s = s->next) {
        size_t need = 0;
        uint32_t more = 0;
        for (uint32_t i = 0; i < s->check->n; i++) {
            if (s->check->code[i])
                continue;
            need += s->check->raw[i].n + 4;
            more++;
        }
        if (last && (bytes + need > BYTES_MAX || count + more > TXS_MAX))
            break;
        bytes += need;
        count += more;
        f->tx_waiting--;
    }
    uint8_t *p = malloc(bytes + 16), *out = malloc(bytes + 32);
    *list = f->tx;
    f->tx = s;
    last->next = NULL;
    if (!s)
        f->tx_last = &f->tx;
    struct poa_writer w = poa_writer_over(p, bytes + 16), all = poa_writer_over(out, bytes + 32);
    int rc = p && out ? POA_OK : POA_E_NO_MEMORY;
    for (s = *list; s && !rc; s = s->next) {
        s->tries++;
        for (uint32_t i = 0; i < s->check->n && !rc; i++) {
            struct poa_raw_tx tx = {.tx = s->check->raw[i]};
            if (!s->check->code[i])
                rc = poa_raw_tx_encode(&w, &tx);
        }
    }
    struct poa_txs r = {.txs = {.bytes = poa_written(&w), .count = count}};
    if (!rc)
        rc = poa_txs_encode(&all, &r);
    free(p);
    if (rc) {
        free(out);
        return NULL;
    }
    *n = all.n;
    return out;
}

static void send_txs(struct node_forward *f, int avoid)
{
    for (;;) {
        struct node_submission *list = NULL;
        size_t n = 0;
        pthread_mutex_lock(&f->mutex);
        if (f->tx_busy || !f->tx) {
            pthread_mutex_unlock(&f->mutex);
            return;
        }
        uint8_t *bytes = take_txs(f, &list, &n);
        int server = f->stop ? -1 : server_of(f, avoid);
        struct tx_request *r = malloc(sizeof *r);
        int rc = !bytes || !r ? POA_E_NO_MEMORY : server < 0 ? POA_E_CLOSED : POA_OK;
        if (!rc) {
            *r = (struct tx_request){.forward = f, .list = list, .server = server};
            f->tx_busy = true;
        }
        pthread_mutex_unlock(&f->mutex);
        if (!rc) {
            for (struct node_submission *s = list; s; s = s->next)
                for (uint32_t i = 0; s->local && i < s->check->n; i++)
                    if (!s->check->code[i])
                        node_tracker_add(f->node->tracker, s->check->view[i].id, s->accepted_us);
            rc = poa_p2p_request(f->node->p2p, server, POA_MSG_REQ_SUBMIT, poa_slice(bytes, n),
                                 NODE_REQUEST_MS, txs_answered, r);
            if (rc) {
                pthread_mutex_lock(&f->mutex);
                f->tx_busy = false;
                pthread_mutex_unlock(&f->mutex);
            }
        }
        free(bytes);
        if (!rc)
            return;
        free(r);
        untrack(f->node, list, false, rc);
        end_all(list, rc);
    }
}

void node_forward_txs(struct node_forward *f, struct node_submission *s)
{
    s->next = NULL;
    pthread_mutex_lock(&f->mutex);
    bool full = f->stop || f->tx_waiting >= WAITING_MAX;
    if (!full) {
        *f->tx_last = s;
        f->tx_last = &s->next;
        f->tx_waiting++;
    }
    pthread_mutex_unlock(&f->mutex);
    if (full)
        node_submission_end(s, POA_E_TX_POOL_FULL);
    else
        send_txs(f, -1);
}

/* --- mining --------------------------------------------------------------------------------- */

struct mining_request {
    struct node_forward *forward;
    struct item *list;
    int server;
};

static void send_mining(struct node_forward *f, int avoid);

static void item_end(struct item *it, const int *codes, int code)
{
    uint32_t n = it->tickets + it->seals + it->evidence;
    int same[64];
    if (!codes) {
        n = n < 64 ? n : 64;
        for (uint32_t i = 0; i < n; i++)
            same[i] = code;
        codes = same;
    }
    if (it->done)
        it->done(it->ctx, codes, n);
    free(it);
}

static void items_end(struct item *list, int code)
{
    while (list) {
        struct item *next = list->next;
        item_end(list, NULL, code);
        list = next;
    }
}

/* The answer lists all tickets, then all seals, then all evidence. */
static void mining_settle(struct item *list, const struct poa_codes *r)
{
    uint32_t tickets = 0, seals = 0, ticket = 0, seal = 0, evidence = 0;
    for (const struct item *it = list; it; it = it->next) {
        tickets += it->tickets;
        seals += it->seals;
    }
    while (list) {
        struct item *next = list->next;
        int codes[ITEMS_MAX * 3];
        uint32_t n = 0;
        const struct {
            uint32_t count, *at, base;
        } kind[3] = {{list->tickets, &ticket, 0},
                     {list->seals, &seal, tickets},
                     {list->evidence, &evidence, tickets + seals}};
        for (int k = 0; k < 3; k++) {
            for (uint32_t i = 0; i < kind[k].count && n < ITEMS_MAX * 3; i++) {
                struct poa_code c = {.code = 0};
                int rc =
                    poa_list_at(&poa_code_record, &r->codes, kind[k].base + (*kind[k].at)++, &c);
                codes[n++] = rc ? POA_E_CLOSED : -(int)c.code;
            }
        }
        item_end(list, codes, 0);
        list = next;
    }
}

static void mining_answered(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct mining_request *r = ctx;
    struct node_forward *f = r->forward;
    struct poa_codes codes;
    if (!error && (type != POA_MSG_ANS_MINING || poa_codes_decode(bytes, &codes)))
        error = POA_E_INVALID;
    if (error)
        items_end(r->list, error);
    else
        mining_settle(r->list, &codes);
    pthread_mutex_lock(&f->mutex);
    f->mining_busy = false;
    pthread_mutex_unlock(&f->mutex);
    send_mining(f, error ? r->server : -1);
    free(r);
}

/* Several lists as one; NULL when out of memory. */
static uint8_t *join(struct item *list, size_t *n)
{
    size_t bytes = 64;
    for (const struct item *it = list; it; it = it->next)
        bytes += it->n;
    uint8_t *part[3], *out = malloc(bytes);
    struct poa_writer w[3], all = poa_writer_over(out, bytes);
    struct poa_mining sum = {.tickets = {.count = 0}};
    struct poa_list *to[3] = {&sum.tickets, &sum.seals, &sum.evidence};
    int rc = out ? POA_OK : POA_E_NO_MEMORY;
    for (int k = 0; k < 3; k++) {
        part[k] = malloc(bytes);
        w[k] = poa_writer_over(part[k], bytes);
        rc = part[k] ? rc : POA_E_NO_MEMORY;
    }
    for (struct item *it = list; it && !rc; it = it->next) {
        struct poa_mining m;
        rc = poa_mining_decode(poa_slice(it->bytes, it->n), &m);
        const struct poa_list *from[3] = {&m.tickets, &m.seals, &m.evidence};
        for (int k = 0; k < 3 && !rc; k++) {
            poa_write(&w[k], from[k]->bytes.p, from[k]->bytes.n);
            to[k]->count += from[k]->count;
        }
    }
    for (int k = 0; k < 3; k++)
        to[k]->bytes = poa_written(&w[k]);
    if (!rc)
        rc = poa_mining_encode(&all, &sum);
    for (int k = 0; k < 3; k++)
        free(part[k]);
    if (rc) {
        free(out);
        return NULL;
    }
    *n = all.n;
    return out;
}

static void send_mining(struct node_forward *f, int avoid)
{
    for (;;) {
        pthread_mutex_lock(&f->mutex);
        if (f->mining_busy || !f->item) {
            pthread_mutex_unlock(&f->mutex);
            return;
        }
        struct item *list = f->item, *last = NULL, *it = list;
        uint32_t tickets = 0, seals = 0, evidence = 0;
        for (; it; last = it, it = it->next) {
            if (last && (tickets + it->tickets > ITEMS_MAX || seals + it->seals > ITEMS_MAX ||
                         evidence + it->evidence > 16))
                break;
            tickets += it->tickets;
            seals += it->seals;
            evidence += it->evidence;
            f->item_waiting--;
        }
        last->next = NULL;
        f->item = it;
        if (!it)
            f->item_last = &f->item;
        int server = f->stop ? -1 : server_of(f, avoid);
        f->mining_busy = true;
        pthread_mutex_unlock(&f->mutex);

        size_t n = 0;
        uint8_t *bytes = join(list, &n);
        struct mining_request *r = malloc(sizeof *r);
        int rc = !bytes || !r ? POA_E_NO_MEMORY : server < 0 ? POA_E_CLOSED : POA_OK;
        if (!rc) {
            *r = (struct mining_request){.forward = f, .list = list, .server = server};
            rc = poa_p2p_request(f->node->p2p, server, POA_MSG_REQ_MINING, poa_slice(bytes, n),
                                 NODE_REQUEST_MS, mining_answered, r);
        }
        free(bytes);
        if (!rc)
            return;
        free(r);
        items_end(list, rc);
        pthread_mutex_lock(&f->mutex);
        f->mining_busy = false;
        pthread_mutex_unlock(&f->mutex);
    }
}

void node_forward_mining(struct node_forward *f, struct poa_slice encoded, node_mining_done *done,
                         void *ctx)
{
    struct poa_mining m;
    struct item *it = malloc(sizeof *it + encoded.n);
    if (!it || poa_mining_decode(encoded, &m)) {
        free(it);
        if (done)
            done(ctx, (const int[]){POA_E_INVALID}, 1);
        return;
    }
    *it = (struct item){.done = done,
                        .ctx = ctx,
                        .tickets = m.tickets.count,
                        .seals = m.seals.count,
                        .evidence = m.evidence.count,
                        .n = encoded.n};
    memcpy(it->bytes, encoded.p, encoded.n);
    pthread_mutex_lock(&f->mutex);
    bool full = f->stop || f->item_waiting >= WAITING_MAX;
    if (!full) {
        *f->item_last = it;
        f->item_last = &it->next;
        f->item_waiting++;
    }
    pthread_mutex_unlock(&f->mutex);
    if (full)
        item_end(it, NULL, POA_E_FULL);
    else
        send_mining(f, -1);
}

/* --- what the core submits by itself ------------------------------------------------------------
 */

void node_forward_raw(struct node_forward *f, uint16_t type, struct poa_slice bytes)
{
    if (type == POA_MSG_REQ_MINING) {
        node_forward_mining(f, bytes, NULL, NULL);
        return;
    }
    struct node_submission *s = NULL;
    if (type != POA_MSG_REQ_SUBMIT || node_submission_from(f->node, bytes, &s))
        return;
    /* The core checked them before. */
    node_forward_txs(f, s);
}

void node_forward_stop(struct node_forward *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->mutex);
    f->stop = true;
    pthread_mutex_unlock(&f->mutex);
    send_txs(f, -1);
    send_mining(f, -1);
}

void node_forward_free(struct node_forward *f)
{
    if (!f)
        return;
    pthread_mutex_destroy(&f->mutex);
    free(f);
}
