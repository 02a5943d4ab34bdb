/* Snapshots for peers. Every server saves the state after each block whose height is a
 * multiple of `snapshot_blocks`: so all have the same parts (poa_snapshot.h), and a
 * new node may take them from all. The last two are kept: who fetches one is not
 * interrupted by the next, and servers that are a moment apart have one in common.
 *
 *   core ── checkpoint of just that height ──> I/O thread ── frozen view ──> thread here
 *
 * What the disk made of a file is seen before it is sent: who sends it would be taken for a
 * liar by whoever joins, and the file is removed. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node.h"
#include "poa_snapshot.h"

#define NAME_FORMAT "peers-%020llu.snapshot"
#define KEPT        2
/* Until the block that certifies the state is stored. */
#define RETRY_MS 100

struct node_snapshot {
    struct poa_node *node;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool runs, stop;
    bool look;                /* the state that is in the store may have no file */
    struct poa_store *frozen; /* to be written, or NULL */
    /* Of its own: who reads a file must not keep the I/O thread waiting. */
    pthread_mutex_t files_mutex;
    struct poa_snapshot_file file[KEPT]; /* the newest first */
};

static void path_of(const struct poa_node *n, uint64_t base, char path[POA_CONFIG_TEXT_MAX + 64])
{
    snprintf(path, POA_CONFIG_TEXT_MAX + 64, "%s/" NAME_FORMAT, n->config.data_dir,
             (unsigned long long)base);
}

/* --- making -------------------------------------------------------------------------- */

/* With files_mutex, or before anybody is served. */
static void put_file(struct node_snapshot *s, const struct poa_snapshot_file *f)
{
    poa_snapshot_file_close(&s->file[KEPT - 1]);
    memmove(s->file + 1, s->file, (KEPT - 1) * sizeof *f);
    s->file[0] = *f;
}

/* Removes what is not served. As put_file. */
static void remove_others(const struct poa_node *n, const struct node_snapshot *s)
{
    char path[POA_CONFIG_TEXT_MAX + 512], keep[POA_CONFIG_TEXT_MAX + 64];
    DIR *dir = opendir(n->config.data_dir);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        bool old = strcmp(e->d_name, "peers.snapshot") == 0; /* of before there were parts */
        if (!old && (strncmp(e->d_name, "peers-", 6) != 0 || !strstr(e->d_name, ".snapshot")))
            continue;
        snprintf(path, sizeof path, "%s/%s", n->config.data_dir, e->d_name);
        bool kept = false;
        for (int i = 0; s && i < KEPT; i++) {
            path_of(n, s->file[i].s.base, keep);
            kept |= s->file[i].fd >= 0 && strcmp(keep, path) == 0;
        }
        if (!kept)
            unlink(path);
    }
    if (dir)
        closedir(dir);
}

static bool is_due(const struct poa_node *n, uint64_t height)
{
    return n->config.snapshot_blocks && height % n->config.snapshot_blocks == 0;
}

/* Says that the file of BASE is of no use, and why. */
static void tell_damage(const struct poa_node *n, uint64_t base, const char *what)
{
    char path[POA_CONFIG_TEXT_MAX + 64];
    path_of(n, base, path);
    POA_LOG_WARN(NODE,
                 "snapshot of height %llu for peers: %s: %s; it is removed, and the next one is "
                 "made in at most %u blocks. If that happens again, look after the disk",
                 (unsigned long long)base, path, what, n->config.snapshot_blocks);
}

/* Those that an earlier run made. */
static void find_files(struct node_snapshot *s)
{
    DIR *dir = opendir(s->node->config.data_dir);
    const struct dirent *e;
    uint64_t found[KEPT] = {0};
    while (dir && (e = readdir(dir))) {
        unsigned long long base = 0;
        char name[64];
        if (sscanf(e->d_name, "peers-%20llu", &base) != 1)
            continue;
        snprintf(name, sizeof name, NAME_FORMAT, base);
        if (strcmp(name, e->d_name) != 0)
            continue;
        for (int i = 0; i < KEPT; i++)
            if (base > found[i]) {
                uint64_t next = found[i];
                found[i] = base;
                base = next;
            }
    }
    if (dir)
        closedir(dir);
    for (int i = KEPT; i-- > 0;) {
        char path[POA_CONFIG_TEXT_MAX + 64];
        struct poa_snapshot_file f;
        path_of(s->node, found[i], path);
        int rc = found[i] ? poa_snapshot_file_open(path, &f) : POA_E_NOT_FOUND;
        if (!rc)
            put_file(s, &f);
        else if (rc != POA_E_NOT_FOUND)
            tell_damage(s->node, found[i], "damaged, or of another version");
    }
    remove_others(s->node, s);
}

static int make(struct node_snapshot *s, struct poa_store *frozen)
{
    struct poa_node *n = s->node;
    struct poa_stored_checkpoint at;
    struct poa_snapshot_file f;
    struct poa_why why = {""};
    char path[POA_CONFIG_TEXT_MAX + 64];
    int rc = poa_store_get_checkpoint(frozen, &at);
    path_of(n, rc ? 0 : at.height, path);
    if (!rc)
        rc = poa_snapshot_write(frozen, n->store, path, &why);
    if (!rc)
        rc = poa_snapshot_file_open(path, &f);
    if (rc == POA_E_AGAIN)
        return rc;
    if (rc) {
        POA_LOG_LIMITED(60000, POA_LOG_WARN, NODE, "no snapshot for peers: %s",
                        why.text[0] ? why.text : poa_error_text(rc));
        return rc;
    }
    POA_LOG_INFO(NODE, "snapshot of height %llu for peers: %llu bytes in %u parts",
                 (unsigned long long)f.s.base, (unsigned long long)f.s.bytes, f.s.parts);
    pthread_mutex_lock(&s->files_mutex);
    put_file(s, &f);
    remove_others(n, s);
    pthread_mutex_unlock(&s->files_mutex);
    return POA_OK;
}

static bool has_file(struct node_snapshot *s, uint64_t base)
{
    bool has = false;
    pthread_mutex_lock(&s->files_mutex);
    for (int i = 0; i < KEPT; i++)
        has |= s->file[i].fd >= 0 && s->file[i].s.base == base;
    pthread_mutex_unlock(&s->files_mutex);
    return has;
}

/* A view of the store, when it has just the state of a height that has no file: the file was
 * damaged, or the process was killed before it was written. */
static struct poa_store *without_file(struct node_snapshot *s)
{
    struct poa_stored_checkpoint at;
    struct poa_store *frozen = NULL;
    if (poa_store_freeze(s->node->store, &frozen))
        return NULL;
    if (!poa_store_get_checkpoint(frozen, &at) && is_due(s->node, at.height) &&
        !has_file(s, at.height))
        return frozen;
    poa_store_thaw(frozen);
    return NULL;
}

static void *snapshot_thread(void *arg)
{
    struct node_snapshot *s = arg;
    struct poa_store *frozen = NULL;
    pthread_mutex_lock(&s->mutex);
    while (!s->stop) {
        if (s->frozen) { /* newer than what there may be */
            poa_store_thaw(frozen);
            frozen = s->frozen;
            s->frozen = NULL;
        }
        if (!frozen && s->look) {
            s->look = false;
            pthread_mutex_unlock(&s->mutex);
            frozen = without_file(s);
            pthread_mutex_lock(&s->mutex);
            continue;
        }
        if (!frozen) {
            pthread_cond_wait(&s->cond, &s->mutex);
            continue;
        }
        pthread_mutex_unlock(&s->mutex);
        int rc = make(s, frozen);
        pthread_mutex_lock(&s->mutex);
        if (rc != POA_E_AGAIN) {
            poa_store_thaw(frozen);
            frozen = NULL;
            continue;
        }
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += RETRY_MS * 1000000L;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        if (!s->stop && !s->frozen)
            (void)pthread_cond_timedwait(&s->cond, &s->mutex, &t);
    }
    poa_store_thaw(frozen);
    poa_store_thaw(s->frozen);
    s->frozen = NULL;
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

int node_snapshot_start(struct poa_node *n)
{
    if (!n->config.snapshot_blocks) {
        remove_others(n, NULL);
        return POA_OK;
    }
    struct node_snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return POA_E_NO_MEMORY;
    s->node = n;
    s->look = true;
    for (int i = 0; i < KEPT; i++)
        s->file[i].fd = -1;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_mutex_init(&s->files_mutex, NULL);
    pthread_cond_init(&s->cond, &attr);
    pthread_condattr_destroy(&attr);
    find_files(s);
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
    for (int i = 0; i < KEPT; i++)
        poa_snapshot_file_close(&s->file[i]);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    pthread_mutex_destroy(&s->files_mutex);
    free(s);
    n->snapshot = NULL;
}

static struct node_snapshot *snapshot_of(struct poa_node *n)
{
    pthread_mutex_lock(&n->status_mutex);
    struct node_snapshot *s = n->snapshot;
    pthread_mutex_unlock(&n->status_mutex);
    return s;
}

bool node_snapshot_due(struct poa_node *n, uint64_t height)
{
    if (!is_due(n, height))
        return false;
    /* Who is far behind passes many such heights, and has none to give. */
    pthread_mutex_lock(&n->status_mutex);
    bool due = n->snapshot && !n->sync_target;
    pthread_mutex_unlock(&n->status_mutex);
    return due;
}

void node_snapshot_saved(struct poa_node *n, uint64_t height)
{
    struct node_snapshot *s = is_due(n, height) ? snapshot_of(n) : NULL;
    struct poa_store *frozen = NULL;
    if (!s)
        return;
    pthread_mutex_lock(&s->mutex);
    if (!s->stop && !poa_store_freeze(n->store, &frozen)) {
        poa_store_thaw(s->frozen);
        s->frozen = frozen;
        pthread_cond_signal(&s->cond);
    }
    pthread_mutex_unlock(&s->mutex);
}

/* --- giving ---------------------------------------------------------------------------- */

/* With files_mutex. */
static int read_offer(const struct node_snapshot *s, const struct poa_snapshot_ask *ask,
                      uint8_t **bytes, size_t *n)
{
    for (int i = 0; i < KEPT; i++) {
        const struct poa_snapshot_file *f = &s->file[i];
        if (f->fd < 0 || (ask->base && ask->base != f->s.base))
            continue;
        *bytes = malloc(f->manifest_n + 1);
        if (!*bytes)
            return POA_E_NO_MEMORY;
        memcpy(*bytes, f->manifest, f->manifest_n);
        *n = f->manifest_n;
        return POA_OK;
    }
    return POA_E_NOT_FOUND;
}

/* With files_mutex: file I cannot be read as it was written. */
static void drop_file(struct node_snapshot *s, int i)
{
    char path[POA_CONFIG_TEXT_MAX + 64];
    tell_damage(s->node, s->file[i].s.base, "damaged on the disk");
    path_of(s->node, s->file[i].s.base, path);
    unlink(path);
    poa_snapshot_file_close(&s->file[i]);
    for (; i + 1 < KEPT; i++)
        s->file[i] = s->file[i + 1];
    s->file[KEPT - 1] = (struct poa_snapshot_file){.fd = -1};
}

/* With files_mutex. DROPPED: a file. */
static int read_part(struct node_snapshot *s, const struct poa_snapshot_get *get, uint8_t **bytes,
                     size_t *n, bool *dropped)
{
    for (int i = 0; i < KEPT; i++) {
        const struct poa_snapshot_file *f = &s->file[i];
        if (f->fd < 0 || memcmp(get->manifest, f->s.id, 32) != 0)
            continue;
        *bytes = malloc(POA_SNAPSHOT_PIECE_BYTES);
        int rc = *bytes ? poa_snapshot_read(f, get, *bytes, n) : POA_E_NO_MEMORY;
        *dropped = rc == POA_E_STORE_CORRUPT || rc == POA_E_IO;
        if (!*dropped)
            return rc;
        drop_file(s, i);
        break;
    }
    return POA_E_NOT_FOUND; /* there is a newer one: begin again */
}

/* Whoever has none of its parts any more may have them again. */
static void look_again(struct node_snapshot *s)
{
    pthread_mutex_lock(&s->mutex);
    s->look = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
}

void node_snapshot_serve(struct poa_node *n, const struct poa_p2p_message *m)
{
    struct node_snapshot *s = snapshot_of(n);
    struct poa_snapshot_ask ask;
    struct poa_snapshot_get get;
    uint8_t *bytes = NULL;
    size_t bytes_n = 0;
    bool offer = m->type == POA_MSG_REQ_SNAPSHOT, dropped = false;
    int rc =
        offer ? poa_snapshot_ask_decode(m->bytes, &ask) : poa_snapshot_get_decode(m->bytes, &get);
    if (!rc && !s)
        rc = POA_E_UNSUPPORTED;
    if (!rc) {
        pthread_mutex_lock(&s->files_mutex);
        rc = offer ? read_offer(s, &ask, &bytes, &bytes_n)
                   : read_part(s, &get, &bytes, &bytes_n, &dropped);
        pthread_mutex_unlock(&s->files_mutex);
    }
    if (dropped)
        look_again(s);
    if (!rc)
        rc = poa_p2p_answer(n->p2p, m->token, offer ? POA_MSG_ANS_SNAPSHOT : POA_MSG_ANS_PART,
                            poa_slice(bytes, bytes_n));
    else
        rc = poa_p2p_refuse(n->p2p, m->token, rc);
    (void)rc; /* the asker may be gone */
    free(bytes);
}
