/* Start and stop of everything. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node.h"
#include "poa_node_parallel.h"

/* Checks that wait for a worker; a batch takes one place per worker. */
#define CHECKS_MAX 65536

static const struct node_queue_limit queue_limits[NODE_CLASSES] = {
    [NODE_CLASS_VOTE] = {65536, (size_t)32 << 20},
    [NODE_CLASS_BLOCK] = {8192, (size_t)64 << 20},
    [NODE_CLASS_BULK] = {8192, (size_t)128 << 20},
    [NODE_CLASS_LOCAL] = {65536, (size_t)64 << 20},
};
#define IO_BYTES_MAX ((size_t)64 << 20)

bool node_told_to_stop(void)
{
    sigset_t s;
    return !sigpending(&s) && (sigismember(&s, SIGTERM) == 1 || sigismember(&s, SIGINT) == 1);
}

struct poa_now node_now(const struct poa_node *n)
{
    return (struct poa_now){.us = poa_clock_monotonic_us(n->clock),
                            .wall_ms = poa_clock_wall_ms(n->clock)};
}

int node_thread(pthread_t *thread, const char *name, size_t stack, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, stack);
    int rc = pthread_create(thread, &attr, run, arg) ? POA_E_THREADS : POA_OK;
    pthread_attr_destroy(&attr);
    if (!rc)
        (void)pthread_setname_np(*thread, name);
    return rc;
}

void node_halt(struct poa_node *n, const char *format, ...)
{
    struct poa_why why;
    va_list ap;
    va_start(ap, format);
    vsnprintf(why.text, sizeof why.text, format, ap);
    va_end(ap);
    pthread_mutex_lock(&n->halt_mutex);
    bool first = !n->halted;
    if (first)
        n->halt_why = why;
    n->halted = true;
    pthread_cond_broadcast(&n->halt_cond);
    pthread_mutex_unlock(&n->halt_mutex);
    if (first)
        POA_LOG_ERROR(NODE, "halted: %s", why.text);
}

void node_status_get(struct poa_node *n, struct node_status *out)
{
    pthread_mutex_lock(&n->status_mutex);
    *out = n->status;
    pthread_mutex_unlock(&n->status_mutex);
    /* The core steps only when something happens. */
    uint64_t now_us = poa_clock_monotonic_us(n->clock);
    out->core.final_us += now_us > out->at_us ? now_us - out->at_us : 0;
}

bool node_starting(struct poa_node *n)
{
    pthread_mutex_lock(&n->status_mutex);
    bool starting = n->status.starting;
    pthread_mutex_unlock(&n->status_mutex);
    return starting;
}

bool node_wait_stored(struct poa_node *n, uint64_t height, uint32_t timeout_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_mutex_lock(&n->status_mutex);
    while (n->status.stored < height &&
           pthread_cond_timedwait(&n->status_cond, &n->status_mutex, &t) == 0)
        ;
    bool there = n->status.stored >= height;
    pthread_mutex_unlock(&n->status_mutex);
    return there;
}

/* --- callbacks of the I/O thread ------------------------------------------------------- */

static void io_send(void *ctx, const struct node_send *to, struct poa_slice bytes)
{
    node_send(ctx, to, bytes, false);
}

static void io_sent(void *ctx)
{
    struct poa_node *n = ctx;
    if (n->p2p)
        poa_p2p_kick(n->p2p);
}

static void io_durable(void *ctx, uint64_t seq)
{
    node_queue_persisted(&((struct poa_node *)ctx)->queue, seq);
}

static void io_stored(void *ctx, uint64_t height)
{
    struct poa_node *n = ctx;
    pthread_mutex_lock(&n->status_mutex);
    if (height > n->status.stored)
        n->status.stored = height;
    pthread_cond_broadcast(&n->status_cond);
    pthread_mutex_unlock(&n->status_mutex);
    struct poa_rpc *rpc = __atomic_load_n(&n->rpc, __ATOMIC_ACQUIRE);
    if (rpc)
        poa_rpc_tip(rpc, height);
}

static void io_checkpointed(void *ctx, uint64_t height)
{
    node_snapshot_saved(ctx, height);
}

static void io_failed(void *ctx, int error, const char *why)
{
    const char *dir = ((struct poa_node *)ctx)->config.data_dir;
    struct poa_why full;
    snprintf(full.text, sizeof full.text, "%s", why);
    poa_store_advise(dir, &full);
    node_halt(ctx, "cannot write to %s: %s (%s); start again when the disk works", dir, full.text,
              poa_error_name(error));
}

/* --- start -------------------------------------------------------------------------------- */

static int tx_ids(const uint8_t chain32[32], struct poa_slice bytes,
                  int (*emit)(void *ctx, const uint8_t id32[32]), void *ctx)
{
    struct poa_batch batch;
    struct poa_raw_tx tx;
    int rc = poa_batch_decode(bytes, &batch);
    struct poa_list_iter it = rc ? (struct poa_list_iter){.left = 0} : poa_list_begin(&batch.txs);
    while (!rc && poa_raw_tx_next(&it, &tx)) {
        struct poa_tx_view view;
        rc = poa_tx_parse(chain32, tx.tx, &view);
        if (!rc)
            rc = emit(ctx, view.id);
    }
    return rc ? POA_E_STORE_CORRUPT : POA_OK;
}

static int open_store(struct poa_node *n, struct poa_why *why)
{
    struct poa_store_config c = {
        .dir = n->config.data_dir,
        .chain32 = n->chain,
        .create = true,
        .tx_index = n->config.tx_index,
        .tx_ids = tx_ids,
        .write_buffer_bytes = (size_t)n->config.store_write_buffer_kib * 1024,
        .cache_bytes = (size_t)n->config.store_cache_kib * 1024,
        .max_open_files = (int)n->config.store_open_files,
    };
    struct poa_store_stats st;
    struct poa_why inner = {""};
    int rc = poa_store_open(&c, &n->store, &inner);
    if (rc == POA_E_STORE_CHAIN)
        return poa_config_wrong(&n->config, "data_dir", why, "%s", inner.text);
    if (rc)
        return poa_because(why, rc, "%s", inner.text);
    poa_store_stats(n->store, &st);
    if (st.torn_bytes)
        POA_LOG_WARN(NODE,
                     "the log in %s ended torn, as after a power cut: %llu bytes that were "
                     "never synced are cut off",
                     n->config.data_dir, (unsigned long long)st.torn_bytes);
    return POA_OK;
}

static int open_mesh(struct poa_node *n, struct poa_why *why)
{
    const struct poa_config *k = &n->config;
    struct poa_why inner = {""};
    struct poa_p2p_config c = {.seed32 = n->seed,
                               .chain32 = n->chain,
                               .listen = k->listen[0] ? k->listen : NULL,
                               .message_max_bytes = POA_P2P_PAYLOAD_MAX,
                               .stranger_requests_per_s = 500,
                               .strangers_max = k->strangers,
                               .no_strangers = k->strangers == 0,
                               .ban_ms = k->ban_s * 1000,
                               .why = &inner,
                               .ctx = n,
                               .on_message = node_on_message,
                               .on_peer = node_on_peer};
    int rc = poa_p2p_open(&n->p2p, &c);
    if (rc && inner.text[0]) /* the address may come up later, so it is not called misconfigured */
        return poa_because(why, rc == POA_E_LOCKED ? rc : POA_E_IO, "listen: %s%s", inner.text,
                           rc == POA_E_LOCKED ? " (the mesh takes two ports: that of `listen` and "
                                                "the one after it)"
                                              : "");
    if (rc)
        return poa_because(why, rc == POA_E_CONFIG ? POA_E_IO : rc, "mesh: %s", poa_error_text(rc));
    for (uint32_t i = 0; i < k->peers; i++) {
        const struct poa_config_peer *p = &k->peer[i];
        int at = -1;
        if (memcmp(p->key, n->key, 32) == 0)
            continue;
        unsigned flags = node_peer_flags(n, p->key);
        /* The callbacks know a peer from here on. */
        pthread_mutex_lock(&n->peers_mutex);
        rc = poa_p2p_peer_set(n->p2p, p->key, p->address[0] ? p->address : NULL, NULL, flags, &at);
        if (!rc) {
            memcpy(n->peer[at].key, p->key, 32);
            memcpy(n->peer[at].address, p->address, sizeof n->peer[at].address);
            n->peer[at].known = true;
            n->peer[at].flags = flags;
        }
        pthread_mutex_unlock(&n->peers_mutex);
        if (rc)
            return poa_because(why, rc, "peer %s: %s", p->address, poa_error_text(rc));
    }
    for (uint32_t i = 0; i < n->faults_n; i++)
        poa_p2p_blame(n->p2p, n->faults[i].key, n->faults[i].fault);
    return POA_OK;
}

/* Said by a node that runs: one that does not start has one reason for that. */
static void tell_own_peers(const struct poa_node *n)
{
    for (uint32_t i = 0; i < n->config.peers; i++)
        if (memcmp(n->config.peer[i].key, n->key, 32) == 0)
            POA_LOG_WARN(NODE,
                         "peer %s has this node's own key and is passed over: fine in a list that "
                         "all machines share; if that is another machine, it must not have this "
                         "node's key",
                         n->config.peer[i].address);
}

static int open_rpc(struct poa_node *n, const struct poa_rpc_backend *backend, struct poa_rpc **out,
                    struct poa_why *why)
{
    char host[128];
    uint16_t port = 0;
    if (!n->config.rpc[0])
        return POA_OK;
    int rc = poa_config_address(n->config.rpc, host, sizeof host, &port, why);
    if (rc)
        return rc;
    struct poa_rpc_config c = {.host = host,
                               .port = port,
                               .tls_cert = n->config.rpc_tls_cert,
                               .tls_key = n->config.rpc_tls_key,
                               .tokens = n->config.rpc_tokens,
                               .anonymous = poa_rpc_right_find(n->config.rpc_anonymous),
                               .no_anonymous = strcmp(n->config.rpc_anonymous, "nothing") == 0,
                               .cors = n->config.rpc_cors,
                               .rate = n->config.rpc_rate,
                               .behind_tls_proxy = n->config.rpc_behind_tls_proxy,
                               .connections_max = n->config.rpc_connections,
                               .genesis = poa_slice(n->genesis_bytes, n->genesis_n),
                               .backend = backend};
    return poa_rpc_start(&c, out, why);
}

/* Fetching a state takes long. */
static int open_joining(struct poa_node *n, struct poa_why *why)
{
    const struct poa_rpc_join join = {.doing = "looking"};
    node_joining_set(n, &join, "joining: looks for a snapshot");
    node_joining_backend(n, &n->join_backend);
    return open_rpc(n, &n->join_backend, &n->join_rpc, why);
}

static void close_joining(struct poa_node *n)
{
    if (!n->join_rpc)
        return;
    poa_rpc_stop(n->join_rpc);
    poa_rpc_free(n->join_rpc);
    n->join_rpc = NULL;
}

static int open_node_rpc(struct poa_node *n, struct poa_why *why)
{
    struct poa_rpc *rpc = NULL; /* the I/O thread sees it when it is whole */
    close_joining(n);
    node_rpc_backend(n, &n->rpc_backend);
    int rc = open_rpc(n, &n->rpc_backend, &rpc, why);
    __atomic_store_n(&n->rpc, rpc, __ATOMIC_RELEASE);
    return rc;
}

static int open_threads(struct poa_node *n, struct poa_why *why)
{
    struct node_io_config io = {.store = n->store,
                                .bytes_max = IO_BYTES_MAX,
                                .ctx = n,
                                .send = io_send,
                                .sent = io_sent,
                                .durable = io_durable,
                                .stored = io_stored,
                                .checkpointed = io_checkpointed,
                                .failed = io_failed};
    int rc = node_tracker_new(&n->tracker);
    if (!rc)
        rc = node_forward_start(n);
    if (!rc)
        rc = node_again_new(n);
    if (!rc)
        rc = node_serve_new(n);
    if (!rc)
        rc = node_follow_new(n);
    if (!rc)
        rc = node_discover_new(n);
    if (!rc)
        rc = node_io_start(&io, &n->io);
    if (!rc)
        rc = node_workers_new(n->chain, n->config.workers ? n->config.workers : node_cores(),
                              CHECKS_MAX, &n->workers);
    return rc ? poa_because(why, rc, "cannot start threads: %s", poa_error_text(rc)) : POA_OK;
}

static void init_locks(struct poa_node *n)
{
    pthread_condattr_t mono;
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_mutex_init(&n->peers_mutex, NULL);
    pthread_mutex_init(&n->roster_mutex, NULL);
    pthread_mutex_init(&n->status_mutex, NULL);
    pthread_cond_init(&n->status_cond, &mono);
    pthread_mutex_init(&n->halt_mutex, NULL);
    pthread_cond_init(&n->halt_cond, NULL);
    pthread_condattr_destroy(&mono);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&n->state_lock, &attr);
    pthread_rwlockattr_destroy(&attr);
}

static int start(struct poa_node *n, struct poa_why *why)
{
    int rc = node_prepare(n, why);
    if (rc)
        return rc;
    if (n->config.prune && n->config.ledger)
        POA_LOG_INFO(NODE, "blocks older than %u are deleted here: this is no full history",
                     n->config.prune);
    if (node_snapshot_wanted(n))
        rc = open_joining(n, why);
    if (rc)
        return rc;
    rc = node_snapshot_fetch(n);
    if (rc)
        return poa_because(why, rc, "stopped: %s", poa_error_text(rc));
    rc = open_store(n, why);
    if (!rc)
        rc = node_restore_ledger(n, why);
    if (!rc)
        rc = open_threads(n, why);
    if (!rc)
        rc = open_mesh(n, why);
    if (!rc)
        rc = node_edge_open(n, why);
    if (!rc)
        rc = node_restore_core(n, why);
    /* Whoever asks during a long replay is answered: operators, and peers who would take
     * silence for a fault. */
    if (!rc && node_serve_start(n))
        rc = poa_because(why, POA_E_THREADS, "cannot start threads: %s",
                         poa_error_text(POA_E_THREADS));
    if (!rc)
        rc = open_node_rpc(n, why);
    if (!rc)
        rc = node_restore_blocks(n, why);
    if (!rc)
        rc = node_edge_tell(n, why);
    if (rc)
        return rc;
    rc = node_thread(&n->core_thread, "core", NODE_CORE_STACK, node_core_thread, n);
    n->core_runs = !rc;
    pthread_mutex_lock(&n->status_mutex);
    n->status.starting = false;
    pthread_mutex_unlock(&n->status_mutex);
    if (!rc)
        rc = node_follow_start(n->follow);
    if (!rc)
        rc = node_snapshot_start(n);
    if (!rc)
        rc = node_discover_start(n);
    if (rc)
        return poa_because(why, rc, "cannot start threads: %s", poa_error_text(rc));
    tell_own_peers(n);
    return node_edge_start(n, why);
}

int poa_node_start(const struct poa_config *config, uint64_t started_us, struct poa_node **out,
                   struct poa_why *why)
{
    struct poa_node *n = calloc(1, sizeof *n);
    if (!n)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    n->config = *config;
    n->clock = poa_clock_system();
    n->started_us = started_us;
    n->self = -1;
    n->status.first_block_ms = POA_NEVER;
    n->status.starting = true;
    for (int i = 0; i < POA_COMMITTEE_MAX; i++)
        n->member_peer[i] = -1;
    init_locks(n);
    node_memo_open(&poa_suite_ed25519);
    node_queue_init(&n->queue, queue_limits);
    int rc = start(n, why);
    if (rc) {
        poa_node_stop(n);
        return rc;
    }
    *out = n;
    return POA_OK;
}

int poa_node_wait(struct poa_node *n, struct poa_why *why)
{
    pthread_mutex_lock(&n->halt_mutex);
    while (!n->halted && !n->stopping)
        pthread_cond_wait(&n->halt_cond, &n->halt_mutex);
    int rc = POA_OK;
    if (n->halted)
        rc = poa_because(why, POA_E_STORE, "%s", n->halt_why.text);
    pthread_mutex_unlock(&n->halt_mutex);
    return rc;
}

void poa_node_reload(struct poa_node *n)
{
    struct poa_why why = {""};
    struct poa_rpc *rpc = __atomic_load_n(&n->rpc, __ATOMIC_ACQUIRE);
    if (rpc && poa_rpc_reload(rpc, &why))
        POA_LOG_ERROR("node", "not reloaded, all stays as it was: %s", why.text);
    else
        POA_LOG_INFO("node", "certificate and tokens of the RPC are read again");
}

void poa_node_wake(struct poa_node *n)
{
    pthread_mutex_lock(&n->halt_mutex);
    n->stopping = true;
    pthread_cond_broadcast(&n->halt_cond);
    pthread_mutex_unlock(&n->halt_mutex);
}

/* Whoever is called back must outlive whoever calls: askers first, then the
 * core, then what it writes and sends, the workers, and the mesh. What they left
 * in the queue is dropped last, when there is nobody to answer any more. */
void poa_node_stop(struct poa_node *n)
{
    close_joining(n);
    if (n->rpc)
        poa_rpc_stop(n->rpc);
    node_edge_stop(n);
    node_discover_stop(n);
    node_follow_stop(n->follow);
    node_serve_stop(n);
    node_snapshot_stop(n);
    node_forward_stop(n->forward);
    node_queue_stop(&n->queue);
    if (n->core_runs)
        pthread_join(n->core_thread, NULL);
    node_io_stop(n->io);
    node_workers_stop(n->workers);
    if (n->p2p)
        poa_p2p_close(n->p2p);
    n->p2p = NULL;
    node_workers_free(n->workers);
    node_queue_destroy(&n->queue);
    node_edge_free(n);
    poa_rpc_free(n->rpc);
    if (n->core)
        poa_core_free(n->core);
    else
        poa_ledger_free(n->ledger);
    node_release_all(n);
    poa_store_close(n->store);
    node_follow_free(n->follow);
    node_discover_free(n);
    node_snapshot_free(n);
    node_forward_free(n->forward);
    node_again_free(n->again);
    node_tracker_free(n->tracker);
    free(n->serve);
    free(n->faults);
    free(n->genesis_bytes);
    poa_wipe(n->seed, sizeof n->seed);
    poa_wipe(n->faucet_secret, sizeof n->faucet_secret);
    poa_wipe(n->anchor_secret, sizeof n->anchor_secret);
    pthread_rwlock_destroy(&n->state_lock);
    pthread_mutex_destroy(&n->peers_mutex);
    pthread_mutex_destroy(&n->roster_mutex);
    pthread_mutex_destroy(&n->status_mutex);
    pthread_cond_destroy(&n->status_cond);
    pthread_mutex_destroy(&n->halt_mutex);
    pthread_cond_destroy(&n->halt_cond);
    free(n);
}

void poa_node_addresses(const struct poa_node *n, char *out, size_t out_n)
{
    char key[65];
    poa_hex(n->key, 32, key);
    int at = snprintf(out, out_n, "key %s\n", key);
    const struct {
        const char *name, *text;
        uint16_t port;
    } all[] = {{"mesh", n->config.listen, n->p2p ? poa_p2p_port(n->p2p) : 0},
               {"rpc", n->config.rpc, n->rpc ? poa_rpc_port(n->rpc) : 0},
               {"gateway", n->config.gateway, n->gateway ? poa_gateway_port(n->gateway) : 0}};
    for (size_t i = 0; i < sizeof all / sizeof all[0] && (size_t)at < out_n; i++) {
        const char *colon = strrchr(all[i].text, ':');
        if (all[i].port && colon)
            at += snprintf(out + at, out_n - (size_t)at, "%s %.*s:%u\n", all[i].name,
                           (int)(colon - all[i].text), all[i].text, all[i].port);
    }
}
