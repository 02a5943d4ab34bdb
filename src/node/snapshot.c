/* Snapshots between nodes: a server makes one now and then and gives it away in
 * parts; a node without a database fetches one before it starts. It believes
 * nothing of it: what a peer sends is verified from genesis on, and a peer that
 * lies or stalls is named and the next one asked. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "node.h"
#include "poa_archive.h"
#include "poa_progress.h"

#define OWN_FILE   "peers.snapshot"
#define OTHER_FILE "fetched.snapshot"
#define LOOK_S     1
/* A peer has so long for one part, and for its link to work. */
#define PART_MS 10000
/* Slower than this, after the first half minute, another one may be faster. */
#define SLOW_US          UINT64_C(30000000)
#define SLOW_BYTES_PER_S ((uint64_t)128 << 10)

/* --- giving ----------------------------------------------------------------------- */

struct node_snapshot {
    struct poa_node *node;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool runs, stop;
    int fd; /* of the newest one, or -1 */
    uint64_t base, size;
};

static void make(struct node_snapshot *s)
{
    struct poa_node *n = s->node;
    struct poa_archive_info info;
    struct poa_why why = {""};
    char path[POA_CONFIG_TEXT_MAX + 32];
    struct stat st;
    snprintf(path, sizeof path, "%s/" OWN_FILE, n->config.data_dir);
    int rc = poa_archive_write(n->store, path, true, 0, NULL, &info, &why);
    if (rc) {
        if (rc != POA_E_AGAIN)
            POA_LOG_LIMITED(60000, POA_LOG_WARN, NODE, "no snapshot for peers: %s", why.text);
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    pthread_mutex_lock(&s->mutex);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = fd;
    s->base = info.head.base;
    s->size = (uint64_t)st.st_size;
    pthread_mutex_unlock(&s->mutex);
    POA_LOG_INFO(NODE, "snapshot of height %llu for peers: %llu bytes",
                 (unsigned long long)info.head.base, (unsigned long long)st.st_size);
}

/* A snapshot is of the last checkpoint: until the next one it would be the same again. */
static bool newer_state(const struct node_snapshot *s)
{
    struct poa_stored_checkpoint c;
    return poa_store_get_checkpoint(s->node->store, &c) == POA_OK && c.height > s->base;
}

static void *snapshot_thread(void *arg)
{
    struct node_snapshot *s = arg;
    pthread_mutex_lock(&s->mutex);
    while (!s->stop) {
        struct node_status status;
        node_status_get(s->node, &status);
        if (status.stored >= s->base + s->node->config.snapshot_blocks && newer_state(s)) {
            pthread_mutex_unlock(&s->mutex);
            make(s);
            pthread_mutex_lock(&s->mutex);
        }
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += LOOK_S;
        if (!s->stop)
            (void)pthread_cond_timedwait(&s->cond, &s->mutex, &t);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

int node_snapshot_start(struct poa_node *n)
{
    if (!n->config.snapshot_blocks)
        return POA_OK;
    struct node_snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return POA_E_NO_MEMORY;
    s->node = n;
    s->fd = -1;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->cond, &attr);
    pthread_condattr_destroy(&attr);
    int rc = node_thread(&s->thread, "snapshot", NODE_SMALL_STACK, snapshot_thread, s);
    s->runs = !rc;
    pthread_mutex_lock(&n->status_mutex);
    n->snapshot = s;
    pthread_mutex_unlock(&n->status_mutex);
    return rc;
}

void node_snapshot_stop(struct poa_node *n)
{
    struct node_snapshot *s = n->snapshot;
    if (!s || !s->runs)
        return;
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    s->runs = false;
}

void node_snapshot_free(struct poa_node *n)
{
    struct node_snapshot *s = n->snapshot;
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    free(s);
    n->snapshot = NULL;
}

/* A part of it, or why not. */
static int read_part(struct node_snapshot *s, const struct poa_snapshot_get *get,
                     struct poa_snapshot_part *part, uint8_t *buffer)
{
    pthread_mutex_lock(&s->mutex);
    int rc = s->fd < 0 ? POA_E_NOT_FOUND : POA_OK;
    if (!rc && get->base && get->base != s->base)
        rc = POA_E_AGAIN; /* there is a newer one: begin again */
    if (!rc && get->offset > s->size)
        rc = POA_E_RANGE;
    ssize_t n = rc ? 0 : pread(s->fd, buffer, POA_SNAPSHOT_PART_BYTES, (off_t)get->offset);
    if (n < 0)
        rc = POA_E_IO;
    part->base = s->base;
    part->size = s->size;
    part->bytes = poa_slice(buffer, rc ? 0 : (size_t)n);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

void node_snapshot_serve(struct poa_node *n, const struct poa_p2p_message *m)
{
    struct poa_snapshot_get get;
    struct poa_snapshot_part part;
    pthread_mutex_lock(&n->status_mutex);
    struct node_snapshot *s = n->snapshot;
    pthread_mutex_unlock(&n->status_mutex);
    uint8_t *buffer = malloc(2 * (POA_SNAPSHOT_PART_BYTES + 64));
    int rc = buffer ? poa_snapshot_get_decode(m->bytes, &get) : POA_E_NO_MEMORY;
    if (!rc)
        rc = s ? read_part(s, &get, &part, buffer) : POA_E_UNSUPPORTED;
    if (!rc) {
        struct poa_writer w =
            poa_writer_over(buffer + POA_SNAPSHOT_PART_BYTES + 64, POA_SNAPSHOT_PART_BYTES + 64);
        rc = poa_snapshot_part_encode(&w, &part);
        if (!rc)
            rc = poa_p2p_answer(n->p2p, m->token, POA_MSG_ANS_SNAPSHOT, poa_written(&w));
    } else {
        rc = poa_p2p_refuse(n->p2p, m->token, rc);
    }
    (void)rc; /* the asker may be gone */
    free(buffer);
}

/* --- taking --------------------------------------------------------------------------- */

struct taking {
    struct poa_node *node;
    struct poa_p2p *p2p;
    FILE *to;
    const char *path;
    /* The answer under way. */
    sem_t came;
    int error;
    uint16_t type;
    uint8_t *bytes;
    size_t bytes_n;
    struct poa_progress progress;
};

static void refuse_all(void *ctx, const struct poa_p2p_message *m)
{
    struct taking *t = ctx;
    if (m->token)
        (void)!poa_p2p_refuse(t->p2p, m->token, POA_E_AGAIN);
}

static void part_came(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct taking *t = ctx;
    t->error = error;
    t->type = type;
    t->bytes = error ? NULL : malloc(bytes.n + 1);
    t->bytes_n = bytes.n;
    if (t->bytes && bytes.n)
        memcpy(t->bytes, bytes.p, bytes.n);
    sem_post(&t->came);
}

static int ask_part(struct taking *t, int peer, const struct poa_snapshot_get *get,
                    struct poa_snapshot_part *part)
{
    uint8_t buffer[32];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    free(t->bytes);
    t->bytes = NULL;
    int rc = poa_snapshot_get_encode(&w, get);
    if (!rc)
        rc = poa_p2p_request(t->p2p, peer, POA_MSG_REQ_SNAPSHOT, poa_written(&w), PART_MS,
                             part_came, t);
    if (rc)
        return rc;
    while (sem_wait(&t->came))
        ;
    if (t->error)
        return t->error;
    if (!t->bytes)
        return POA_E_NO_MEMORY;
    return t->type == POA_MSG_ANS_SNAPSHOT
               ? poa_snapshot_part_decode(poa_slice(t->bytes, t->bytes_n), part)
               : POA_E_INVALID;
}

/* Room for the file, and for the database that comes of it. */
static bool fits(const struct taking *t, uint64_t size)
{
    struct statvfs v;
    return !statvfs(t->node->config.data_dir, &v) && size < (uint64_t)v.f_bavail * v.f_frsize / 4;
}

static void tell(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct taking *t = ctx;
    char text[POA_PROGRESS_TEXT_MAX];
    uint64_t now_us = poa_clock_monotonic_us(t->node->clock);
    if (!poa_progress_due(&t->progress, what, now_us, false))
        return;
    poa_progress_text(&t->progress, now_us, done, total, text);
    POA_LOG_INFO(NODE, "snapshot: %s: %s", what, text);
}

static int download(struct taking *t, int peer, struct poa_why *why)
{
    struct poa_snapshot_get get = {.base = 0};
    struct poa_snapshot_part part;
    uint64_t size = 0, begun_us = poa_clock_monotonic_us(t->node->clock);
    int rc = POA_OK;
    rewind(t->to);
    if (ftruncate(fileno(t->to), 0))
        return poa_because(why, POA_E_IO, "%s: %s", t->path, strerror(errno));
    do {
        rc = ask_part(t, peer, &get, &part);
        if (rc)
            return poa_because(why, rc, "%s", poa_error_text(rc));
        if (!get.base) {
            get.base = part.base;
            size = part.size;
            POA_LOG_INFO(NODE, "fetching a snapshot of height %llu, %llu bytes",
                         (unsigned long long)part.base, (unsigned long long)size);
        }
        if (!part.base || part.base != get.base || part.size != size || !part.bytes.n ||
            part.bytes.n > size - get.offset)
            return poa_because(why, POA_E_INVALID, "it contradicts itself");
        if (poa_clock_monotonic_us(t->node->clock) - begun_us >
            SLOW_US + get.offset / SLOW_BYTES_PER_S * 1000000)
            return poa_because(why, POA_E_TIMEOUT, "it is too slow");
        if (!fits(t, size))
            return poa_because(why, POA_E_LIMIT, "%llu bytes do not fit on this disk",
                               (unsigned long long)size);
        if (fwrite(part.bytes.p, 1, part.bytes.n, t->to) != part.bytes.n)
            return poa_because(why, POA_E_IO, "%s: %s", t->path, strerror(errno));
        get.offset += part.bytes.n;
        tell(t, "fetching", get.offset, size);
    } while (get.offset < size);
    return fflush(t->to) ? poa_because(why, POA_E_IO, "%s: %s", t->path, strerror(errno)) : POA_OK;
}

static int try_peer(struct taking *t, const struct poa_config_peer *p)
{
    struct poa_archive_progress progress = {.tell = tell, .ctx = t};
    struct poa_archive_info info;
    struct poa_why why = {""};
    char key[17];
    int at = -1;
    poa_hex(p->key, 8, key);
    int rc = poa_p2p_peer_set(t->p2p, p->key, p->address, NULL, 0, &at);
    if (!rc) {
        rc = download(t, at, &why);
        if (!rc)
            rc = poa_archive_load(t->path, t->node->config.data_dir, t->node->chain,
                                  t->node->config.tx_index, &progress, &info, &why);
        (void)!poa_p2p_peer_remove(t->p2p, at);
    }
    if (rc)
        POA_LOG_WARN(NODE, "no snapshot from peer %s... at %s: %s", key, p->address,
                     why.text[0] ? why.text : poa_error_text(rc));
    else
        POA_LOG_INFO(NODE, "snapshot from peer %s...: height %llu, verified from genesis on", key,
                     (unsigned long long)info.head.last);
    return rc;
}

void node_snapshot_fetch(struct poa_node *n)
{
    char path[POA_CONFIG_TEXT_MAX + 32], db[POA_CONFIG_TEXT_MAX + 32];
    struct taking t = {.node = n, .path = path};
    struct poa_p2p_config c = {.seed32 = n->seed,
                               .chain32 = n->chain,
                               .message_max_bytes = POA_P2P_PAYLOAD_MAX,
                               .ctx = &t,
                               .on_message = refuse_all};
    int rc = POA_E_NOT_FOUND;
    snprintf(db, sizeof db, "%s/db", n->config.data_dir);
    snprintf(path, sizeof path, "%s/" OTHER_FILE, n->config.data_dir);
    if (!n->config.snapshot || access(db, F_OK) == 0)
        return;
    sem_init(&t.came, 0, 0);
    (void)!mkdir(n->config.data_dir, 0700);
    t.to = fopen(path, "w+b");
    if (!t.to || poa_p2p_open(&t.p2p, &c)) {
        POA_LOG_WARN(NODE, "no snapshot: %s: %s", path, strerror(errno));
    } else {
        for (uint32_t i = 0; rc && i < n->config.peers; i++)
            if (n->config.peer[i].address[0] && memcmp(n->config.peer[i].key, n->key, 32) != 0)
                rc = try_peer(&t, &n->config.peer[i]);
        if (rc)
            POA_LOG_WARN(NODE, "no peer gave a snapshot: starting from genesis");
        poa_p2p_close(t.p2p);
    }
    if (t.to)
        fclose(t.to);
    unlink(path);
    free(t.bytes);
    sem_destroy(&t.came);
}
