#include "poa_node_queue.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void node_queue_init(struct node_queue *q, const struct node_queue_limit limit[NODE_CLASSES])
{
    memset(q, 0, sizeof *q);
    pthread_mutex_init(&q->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->cond, &attr);
    pthread_condattr_destroy(&attr);
    for (int i = 0; i < NODE_CLASSES; i++) {
        q->class[i].last = &q->class[i].first;
        q->class[i].limit = limit[i];
    }
}

void node_queue_destroy(struct node_queue *q)
{
    for (int i = 0; i < NODE_CLASSES; i++) {
        struct node_event *e;
        while ((e = q->class[i].first)) {
            q->class[i].first = e->next;
            e->drop(e);
        }
    }
    pthread_cond_destroy(&q->cond);
    pthread_mutex_destroy(&q->mutex);
}

int node_queue_post(struct node_queue *q, enum node_class class, struct node_event *e)
{
    int rc = POA_OK;
    bool wake = false;
    e->next = NULL;
    pthread_mutex_lock(&q->mutex);
    if (q->stop || (class != NODE_CLASS_OWN &&
                    (q->class[class].events >= q->class[class].limit.events ||
                     q->class[class].bytes + e->bytes > q->class[class].limit.bytes))) {
        /* What our own threads post after the stop is freed with the rest. */
        if (class != NODE_CLASS_OWN) {
            q->class[class].refused += !q->stop;
            rc = q->stop ? POA_E_CLOSED : POA_E_FULL;
        }
    }
    if (!rc) {
        *q->class[class].last = e;
        q->class[class].last = &e->next;
        q->class[class].events++;
        q->class[class].bytes += e->bytes;
        wake = q->waiting;
        q->waiting = false;
    }
    pthread_mutex_unlock(&q->mutex);
    if (wake)
        pthread_cond_signal(&q->cond);
    return rc;
}

void node_queue_persisted(struct node_queue *q, uint64_t seq)
{
    pthread_mutex_lock(&q->mutex);
    if (!q->has_persisted || seq > q->persisted)
        q->persisted = seq;
    q->has_persisted = true;
    q->waiting = false;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->cond);
}

void node_queue_stop(struct node_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->stop = true;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->cond);
}

static bool take(struct node_queue *q, struct node_wakeup *out)
{
    if (q->has_persisted) {
        out->has_persisted = true;
        out->persisted = q->persisted;
        q->has_persisted = false;
        return true;
    }
    if (q->stop) {
        out->stop = true;
        return true;
    }
    for (int i = 0; i < NODE_CLASSES; i++) {
        struct node_event *e = q->class[i].first;
        if (!e)
            continue;
        q->class[i].first = e->next;
        if (!e->next)
            q->class[i].last = &q->class[i].first;
        q->class[i].events--;
        q->class[i].bytes -= e->bytes;
        out->event = e;
        return true;
    }
    return false;
}

void node_queue_wait(struct node_queue *q, uint64_t deadline_us, struct node_wakeup *out)
{
    *out = (struct node_wakeup){.event = NULL};
    pthread_mutex_lock(&q->mutex);
    while (!take(q, out)) {
        q->waiting = true;
        if (deadline_us == UINT64_MAX) {
            pthread_cond_wait(&q->cond, &q->mutex);
            continue;
        }
        struct timespec until = {.tv_sec = (time_t)(deadline_us / 1000000),
                                 .tv_nsec = (long)(deadline_us % 1000000 * 1000)};
        if (pthread_cond_timedwait(&q->cond, &q->mutex, &until) == ETIMEDOUT) {
            (void)take(q, out);
            break;
        }
    }
    q->waiting = false;
    pthread_mutex_unlock(&q->mutex);
}

uint64_t node_queue_refused(struct node_queue *q, enum node_class class)
{
    pthread_mutex_lock(&q->mutex);
    uint64_t n = q->class[class].refused;
    pthread_mutex_unlock(&q->mutex);
    return n;
}

size_t node_queue_depth(struct node_queue *q, enum node_class class)
{
    pthread_mutex_lock(&q->mutex);
    size_t n = q->class[class].events;
    pthread_mutex_unlock(&q->mutex);
    return n;
}
