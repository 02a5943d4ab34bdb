/* Finding peers: the configured ones are where it begins; they are asked for
 * others, what they tell goes into the address book, and while there are too few
 * connections somebody from the book is dialed. Whoever proves its key there is a
 * peer like the others. The book outlives the process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node.h"
#include "poa_book.h"

#define BOOK_FILE "peers.book"
#define ROUND_S   1
#define SAVE_S    30
/* Between two questions: while there are too few, and later. */
#define ASK_SOON_S 3
#define ASK_S      60
/* Looked for at the same time, and how long. */
#define TRIALS_MAX 4
#define TRIAL_S    8
/* Now and then somebody new is looked at although there are enough. */
#define FEELER_S 20
/* Who was found and is away for so long is no peer any more: places among the peers
 * are few, and witnesses need theirs. */
#define GONE_S 15
/* Found ones beyond those that are wanted: they come and go. */
#define FOUND_MORE 8

struct trial {
    bool used;
    int peer;
    uint64_t until_s;
};

struct node_discover {
    struct poa_node *node;
    pthread_t thread;
    pthread_mutex_t mutex; /* the book and STOP; nothing of the node is locked inside */
    pthread_cond_t cond;
    bool runs, stop;
    char path[POA_CONFIG_TEXT_MAX + 32];
    char own[129]; /* where this node listens; may be empty */
    struct poa_book book;
    struct trial trial[TRIALS_MAX];
    uint64_t gone_s[POA_P2P_PEERS_MAX]; /* since when a peer is away; 0: it is there */
    uint64_t ask_s, save_s, feeler_s;
};

static uint64_t wall_s(const struct node_discover *d)
{
    return poa_clock_wall_ms(d->node->clock) / 1000;
}

static uint64_t now_s(const struct node_discover *d)
{
    return poa_clock_monotonic_us(d->node->clock) / 1000000;
}

static uint32_t dice(void)
{
    uint32_t n;
    poa_random(&n, sizeof n);
    return n;
}

static void was_there(struct node_discover *d, const struct node_peer *p)
{
    pthread_mutex_lock(&d->mutex);
    poa_book_good(&d->book, p->key, p->address, wall_s(d));
    pthread_mutex_unlock(&d->mutex);
}

static void was_not_there(struct node_discover *d, const struct node_peer *p)
{
    pthread_mutex_lock(&d->mutex);
    poa_book_failed(&d->book, p->key, wall_s(d), dice());
    pthread_mutex_unlock(&d->mutex);
}

/* --- what others tell --------------------------------------------------------------- */

struct question {
    struct node_discover *discover;
    uint8_t key[32];
};

static void told(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct question *q = ctx;
    struct node_discover *d = q->discover;
    struct poa_peers_told r;
    struct poa_known_node k;
    if (!error && type == POA_MSG_ANS_PEERS && !poa_peers_told_decode(bytes, &r)) {
        struct poa_list_iter it = poa_list_begin(&r.nodes);
        pthread_mutex_lock(&d->mutex);
        while (poa_known_node_next(&it, &k))
            if (memcmp(k.key, d->node->key, 32) != 0)
                (void)poa_book_learn(&d->book, k.key, k.address, q->key);
        pthread_mutex_unlock(&d->mutex);
    } else if (!error) {
        poa_p2p_blame(d->node->p2p, q->key, POA_P2P_FAULT_INVALID);
    }
    free(q);
}

static void ask(struct node_discover *d)
{
    uint8_t bytes[160];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_peers_ask r = {.address = poa_slice(d->own, strlen(d->own))};
    int peer = node_pick_server(d->node, -1);
    struct question *q = peer >= 0 ? malloc(sizeof *q) : NULL;
    if (!q)
        return;
    q->discover = d;
    pthread_mutex_lock(&d->node->peers_mutex);
    memcpy(q->key, d->node->peer[peer].key, 32);
    pthread_mutex_unlock(&d->node->peers_mutex);
    if (poa_peers_ask_encode(&w, &r) || node_request(d->node, peer, q->key, POA_MSG_REQ_PEERS,
                                                     poa_written(&w), NODE_REQUEST_MS, told, q))
        free(q);
}

void node_discover_serve(struct poa_node *n, const struct poa_p2p_message *m)
{
    struct node_discover *d = n->discover;
    struct poa_peers_ask r;
    uint8_t *bytes = malloc(16384);
    struct poa_writer w = poa_writer_over(bytes, 16384);
    int rc = bytes ? poa_peers_ask_decode(m->bytes, &r) : POA_E_NO_MEMORY;
    if (!rc) {
        pthread_mutex_lock(&d->mutex);
        if (r.address.n)
            (void)poa_book_learn(&d->book, m->key32, r.address, m->key32);
        rc = poa_book_tell(&d->book, wall_s(d), dice(), m->key32, &w);
        pthread_mutex_unlock(&d->mutex);
    }
    if (!rc)
        rc = poa_p2p_answer(n->p2p, m->token, POA_MSG_ANS_PEERS, poa_written(&w));
    else
        rc = poa_p2p_refuse(n->p2p, m->token, rc);
    (void)rc; /* the asker may be gone */
    free(bytes);
}

bool node_discover_address(struct poa_node *n, const uint8_t key32[32], char *out, size_t out_n)
{
    struct node_discover *d = n->discover;
    if (!d)
        return false;
    pthread_mutex_lock(&d->mutex);
    const struct poa_book_entry *e = poa_book_find(&d->book, key32);
    bool found = e && (size_t)snprintf(out, out_n, "%s", e->address) < out_n;
    pthread_mutex_unlock(&d->mutex);
    return found;
}

/* --- who is looked for ----------------------------------------------------------------- */

static bool is_peer(void *ctx, const uint8_t key32[32])
{
    struct poa_node *n = ctx;
    int at;
    return memcmp(key32, n->key, 32) == 0 || poa_p2p_peer_find(n->p2p, key32, &at) == POA_OK;
}

static void try_one(struct node_discover *d)
{
    struct poa_node *n = d->node;
    struct trial *t = NULL;
    struct node_peer p = {.known = true, .found = true, .flags = POA_P2P_HEARSAY};
    int at = -1;
    for (int i = 0; i < TRIALS_MAX; i++)
        if (!d->trial[i].used)
            t = &d->trial[i];
    if (!t)
        return;
    pthread_mutex_lock(&d->mutex);
    const struct poa_book_entry *e = poa_book_pick(&d->book, wall_s(d), dice(), is_peer, n);
    if (e) {
        memcpy(p.key, e->key, 32);
        snprintf(p.address, sizeof p.address, "%.127s", e->address);
    }
    pthread_mutex_unlock(&d->mutex);
    if (!p.address[0])
        return;
    pthread_mutex_lock(&n->peers_mutex);
    /* Whether it is a witness shows when it proved its key. */
    int rc = poa_p2p_peer_set(n->p2p, p.key, p.address, NULL, p.flags, &at);
    if (!rc)
        n->peer[at] = p;
    pthread_mutex_unlock(&n->peers_mutex);
    if (rc) {
        was_not_there(d, &p);
        return;
    }
    *t = (struct trial){true, at, now_s(d) + TRIAL_S};
    d->gone_s[at] = now_s(d);
}

/* P, which was at AT; a witness among witnesses it may be now, and stays. */
static void forget_peer(struct poa_node *n, int at, const struct node_peer *p)
{
    pthread_mutex_lock(&n->peers_mutex);
    const struct node_peer *now = &n->peer[at];
    if (now->known && now->found && memcmp(now->key, p->key, 32) == 0 &&
        (now->flags & POA_P2P_MESH) == 0) {
        (void)!poa_p2p_peer_remove(n->p2p, at);
        n->peer[at].known = n->peer[at].up = false;
        n->peer_member[at] = -1;
        atomic_store(&n->peer_found, true); /* its seat leads elsewhere now */
    }
    pthread_mutex_unlock(&n->peers_mutex);
}

/* Those that answered stay while they are wanted. */
static void judge(struct node_discover *d, uint32_t up)
{
    struct poa_node *n = d->node;
    for (int i = 0; i < TRIALS_MAX; i++) {
        struct trial *t = &d->trial[i];
        struct node_peer p;
        if (!t->used)
            continue;
        pthread_mutex_lock(&n->peers_mutex);
        p = n->peer[t->peer];
        pthread_mutex_unlock(&n->peers_mutex);
        if (!p.up && now_s(d) < t->until_s)
            continue;
        t->used = false;
        if (p.up) {
            was_there(d, &p);
            atomic_store(&n->peer_found, true);
            if (up <= n->config.peers_wanted)
                POA_LOG_INFO(NODE, "found peer %02x%02x%02x%02x at %s", p.key[0], p.key[1],
                             p.key[2], p.key[3], p.address);
        } else {
            was_not_there(d, &p);
        }
        if (!p.up || up > n->config.peers_wanted)
            forget_peer(n, t->peer, &p);
    }
}

/* Connected peers are good; how many there are. FOUND: how many were found, and are
 * peers still. */
static uint32_t look(struct node_discover *d, uint32_t *found)
{
    struct poa_node *n = d->node;
    uint32_t up = 0;
    *found = 0;
    for (int i = 0; i < POA_P2P_PEERS_MAX; i++) {
        pthread_mutex_lock(&n->peers_mutex);
        struct node_peer p = n->peer[i];
        pthread_mutex_unlock(&n->peers_mutex);
        if (!p.known)
            continue;
        if (p.up)
            d->gone_s[i] = 0;
        else if (!d->gone_s[i])
            d->gone_s[i] = now_s(d);
        bool ours = p.found && (p.flags & POA_P2P_MESH) == 0;
        if (ours && !p.up && now_s(d) >= d->gone_s[i] + GONE_S) {
            was_not_there(d, &p);
            forget_peer(n, i, &p);
            continue;
        }
        *found += ours;
        if (!p.up || !p.address[0])
            continue;
        up++;
        was_there(d, &p);
    }
    return up;
}

/* Nobody who asks for peers waits for the disk. */
static void save(struct node_discover *d)
{
    struct poa_why why = {""};
    pthread_mutex_lock(&d->mutex);
    struct poa_book *copy = d->book.changed ? malloc(sizeof *copy) : NULL;
    if (copy) {
        *copy = d->book;
        d->book.changed = false;
    }
    pthread_mutex_unlock(&d->mutex);
    int rc = copy ? poa_book_write(copy, d->path, &why) : POA_OK;
    free(copy);
    if (!rc)
        return;
    POA_LOG_LIMITED(600000, POA_LOG_WARN, NODE, "the address book is not kept: %s", why.text);
    pthread_mutex_lock(&d->mutex);
    d->book.changed = true;
    pthread_mutex_unlock(&d->mutex);
}

static void round_of(struct node_discover *d)
{
    uint64_t now = now_s(d);
    uint32_t found, up = look(d, &found);
    bool few = up < d->node->config.peers_wanted;
    judge(d, up);
    if ((few || now >= d->feeler_s) && found < d->node->config.peers_wanted + FOUND_MORE) {
        try_one(d);
        d->feeler_s = now + FEELER_S / 2 + dice() % FEELER_S;
    }
    if (now >= d->ask_s) {
        ask(d);
        d->ask_s = now + (few ? ASK_SOON_S : ASK_S);
    }
    if (now >= d->save_s) {
        save(d);
        d->save_s = now + SAVE_S;
    }
}

static void *discover_thread(void *arg)
{
    struct node_discover *d = arg;
    pthread_mutex_lock(&d->mutex);
    while (!d->stop) {
        pthread_mutex_unlock(&d->mutex);
        round_of(d);
        pthread_mutex_lock(&d->mutex);
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += ROUND_S;
        if (!d->stop)
            (void)pthread_cond_timedwait(&d->cond, &d->mutex, &t);
    }
    pthread_mutex_unlock(&d->mutex);
    save(d);
    return NULL;
}

/* --- start and stop ------------------------------------------------------------------------ */

/* What others are told: as configured, or where it listens when that is one address. */
static void own_address(struct node_discover *d)
{
    const struct poa_config *k = &d->node->config;
    const char *colon = strrchr(k->listen, ':');
    char host[128];
    uint16_t port = 0;
    struct poa_why why;
    if (k->advertise[0]) {
        snprintf(d->own, sizeof d->own, "%.128s", k->advertise);
    } else if (k->listen[0] && colon &&
               !poa_config_address(k->listen, host, sizeof host, &port, &why) &&
               strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0) {
        snprintf(d->own, sizeof d->own, "%.*s:%u", (int)(colon - k->listen), k->listen,
                 poa_p2p_port(d->node->p2p));
    }
}

int node_discover_new(struct poa_node *n)
{
    struct node_discover *d = calloc(1, sizeof *d);
    struct poa_why why = {""};
    pthread_condattr_t attr;
    if (!d)
        return POA_E_NO_MEMORY;
    d->node = n;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->cond, &attr);
    pthread_condattr_destroy(&attr);
    snprintf(d->path, sizeof d->path, "%s/" BOOK_FILE, n->config.data_dir);
    if (poa_book_read(&d->book, d->path, &why) == POA_E_CONFIG)
        POA_LOG_WARN(NODE, "%s", why.text);
    n->discover = d;
    return POA_OK;
}

int node_discover_start(struct poa_node *n)
{
    struct node_discover *d = n->discover;
    own_address(d);
    if (!n->config.peers_wanted)
        return POA_OK;
    d->save_s = now_s(d) + SAVE_S;
    d->feeler_s = now_s(d) + FEELER_S;
    int rc = node_thread(&d->thread, "discover", NODE_SMALL_STACK, discover_thread, d);
    d->runs = !rc;
    return rc;
}

void node_discover_stop(struct poa_node *n)
{
    struct node_discover *d = n->discover;
    if (!d || !d->runs)
        return;
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    pthread_cond_signal(&d->cond);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->thread, NULL);
    d->runs = false;
}

void node_discover_free(struct poa_node *n)
{
    struct node_discover *d = n->discover;
    if (!d)
        return;
    pthread_cond_destroy(&d->cond);
    pthread_mutex_destroy(&d->mutex);
    free(d);
    n->discover = NULL;
}
