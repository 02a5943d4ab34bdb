#include "poa_node_replay.h"

#include <stdlib.h>

/* Bundles that are read, checked or wait for the core: about 12 MB. */
#define AHEAD       4
#define STACK_BYTES (256 * 1024)

/* One bundle on its way. */
struct place {
    struct replay *replay;
    struct node_bundle *bundle;
    uint64_t last;
    bool ready;
};

struct replay {
    const struct node_replay_config *config;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct place place[AHEAD];
    uint64_t read, stepped; /* bundles; those between are in PLACE */
    uint64_t after, last;   /* reader's */
    int read_error;
    bool ended, stop;
};

static void checked(struct node_check *c)
{
    struct place *p = ((struct node_bundle *)c->ctx)->ctx;
    struct replay *r = p->replay;
    node_bundle_parsed(p->bundle);
    pthread_mutex_lock(&r->mutex);
    p->ready = true;
    pthread_cond_broadcast(&r->cond);
    pthread_mutex_unlock(&r->mutex);
}

/* Reads the next bundle into P and hands it to the workers. */
static int read_one(struct replay *r, struct place *p)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    int rc =
        node_bundle_read(r->config->store, r->after, 0, NODE_BUNDLE_BYTES, &bytes, &n, &p->last);
    if (rc)
        return rc;
    rc = node_bundle_open(NULL, bytes, n, &p->bundle);
    if (rc)
        return rc;
    p->replay = r;
    p->ready = false;
    p->bundle->ctx = p;
    p->bundle->check->parse_only = !r->config->verify;
    p->bundle->check->done = checked;
    if (r->config->opened)
        r->config->opened(r->config->ctx, p->bundle);
    r->after = p->last;
    return POA_OK;
}

static void *reader(void *arg)
{
    struct replay *r = arg;
    int rc = POA_OK;
    pthread_mutex_lock(&r->mutex);
    while (!r->stop && !rc && r->after < r->last) {
        if (r->read - r->stepped == AHEAD) {
            pthread_cond_wait(&r->cond, &r->mutex);
            continue;
        }
        struct place *p = &r->place[r->read % AHEAD];
        pthread_mutex_unlock(&r->mutex);
        rc = read_one(r, p);
        pthread_mutex_lock(&r->mutex);
        if (rc)
            break;
        r->read++;
        pthread_cond_broadcast(&r->cond);
        pthread_mutex_unlock(&r->mutex);
        if (node_workers_check(r->config->workers, p->bundle->check)) {
            for (uint32_t i = 0; i < p->bundle->check->n; i++)
                p->bundle->check->code[i] = POA_E_CLOSED;
            checked(p->bundle->check);
        }
        pthread_mutex_lock(&r->mutex);
    }
    r->read_error = rc == POA_E_NOT_FOUND ? POA_OK : rc;
    r->ended = true;
    pthread_cond_broadcast(&r->cond);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

static int step_all(const struct replay *r, struct node_bundle *b)
{
    struct poa_event e = node_bundle_event(b);
    int rc;
    do
        rc = r->config->step(r->config->ctx, &e);
    while (rc == POA_E_AGAIN);
    return rc;
}

/* With the mutex: the next bundle in order, once the workers are done with it;
 * NULL at the end. */
static struct place *next(struct replay *r)
{
    for (;;) {
        struct place *p = &r->place[r->stepped % AHEAD];
        if (r->stepped < r->read && p->ready)
            return p;
        if (r->stepped == r->read && r->ended)
            return NULL;
        pthread_cond_wait(&r->cond, &r->mutex);
    }
}

int node_replay(const struct node_replay_config *c, uint64_t *height, uint64_t last)
{
    struct replay r = {.config = c, .after = *height, .last = last};
    pthread_t thread;
    pthread_attr_t attr;
    int rc = POA_OK;
    pthread_mutex_init(&r.mutex, NULL);
    pthread_cond_init(&r.cond, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&thread, &attr, reader, &r))
        rc = POA_E_THREADS;
    pthread_attr_destroy(&attr);
    if (!rc) {
        pthread_mutex_lock(&r.mutex);
        for (struct place *p; (p = next(&r));) {
            pthread_mutex_unlock(&r.mutex);
            if (!rc)
                rc = step_all(&r, p->bundle);
            if (!rc)
                *height = p->last;
            node_bundle_free(p->bundle);
            pthread_mutex_lock(&r.mutex);
            r.stop |= rc != POA_OK;
            r.stepped++;
            pthread_cond_broadcast(&r.cond);
        }
        pthread_mutex_unlock(&r.mutex);
        pthread_join(thread, NULL);
        rc = rc ? rc : r.read_error;
    }
    pthread_cond_destroy(&r.cond);
    pthread_mutex_destroy(&r.mutex);
    return rc;
}
