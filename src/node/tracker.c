#include "poa_node_tracker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS NODE_TRACKED_MAX /* a power of two */

/* Entries are a ring in order of arrival: NEXT chains a bucket, 0 ends it. */
struct entry {
    uint8_t id[32];
    uint64_t accepted_us;
    uint32_t next;
    int gone; /* why, or POA_OK: it waits */
    bool used, accepted;
};

struct node_tracker {
    pthread_mutex_t mutex;
    uint32_t head;          /* the next to be written */
    uint32_t used, waiting; /* entries, and those that were not let go */
    struct poa_histogram latency;
    uint32_t bucket[BUCKETS]; /* index + 1 */
    struct entry entry[NODE_TRACKED_MAX];
};

int node_tracker_new(struct node_tracker **out)
{
    /* Zero pages cost nothing until they are written. */
    struct node_tracker *t = calloc(1, sizeof *t);
    if (!t)
        return POA_E_NO_MEMORY;
    pthread_mutex_init(&t->mutex, NULL);
    *out = t;
    return POA_OK;
}

void node_tracker_free(struct node_tracker *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

static uint32_t *bucket_of(struct node_tracker *t, const uint8_t id[32])
{
    return &t->bucket[poa_le32(id) % BUCKETS];
}

/* Where the chain points to ID, or to its end. */
static uint32_t *find(struct node_tracker *t, const uint8_t id[32])
{
    uint32_t *at = bucket_of(t, id);
    while (*at && memcmp(t->entry[*at - 1].id, id, 32) != 0)
        at = &t->entry[*at - 1].next;
    return at;
}

static void unlink_entry(struct node_tracker *t, uint32_t *at)
{
    struct entry *e = &t->entry[*at - 1];
    *at = e->next;
    e->used = false;
    t->used--;
    t->waiting -= !e->gone;
}

void node_tracker_add(struct node_tracker *t, const uint8_t id[32], uint64_t accepted_us)
{
    pthread_mutex_lock(&t->mutex);
    uint32_t known = *find(t, id);
    if (known && t->entry[known - 1].gone) {
        t->entry[known - 1].gone = POA_OK;
        t->entry[known - 1].accepted = false;
        t->entry[known - 1].accepted_us = accepted_us;
        t->waiting++;
    } else if (!known) {
        struct entry *e = &t->entry[t->head];
        if (e->used)
            unlink_entry(t, find(t, e->id));
        uint32_t *bucket = bucket_of(t, id);
        memcpy(e->id, id, 32);
        e->accepted_us = accepted_us;
        e->gone = POA_OK;
        e->accepted = false;
        e->used = true;
        e->next = *bucket;
        *bucket = t->head + 1;
        t->head = (t->head + 1) % NODE_TRACKED_MAX;
        t->waiting++;
        t->used++;
    }
    pthread_mutex_unlock(&t->mutex);
}

bool node_tracker_accepted(struct node_tracker *t, const uint8_t id[32])
{
    pthread_mutex_lock(&t->mutex);
    uint32_t at = *find(t, id);
    bool first = at && !t->entry[at - 1].accepted;
    if (first)
        t->entry[at - 1].accepted = true;
    pthread_mutex_unlock(&t->mutex);
    return first;
}

void node_tracker_drop(struct node_tracker *t, const uint8_t id[32])
{
    pthread_mutex_lock(&t->mutex);
    uint32_t *at = find(t, id);
    if (*at && !t->entry[*at - 1].accepted)
        unlink_entry(t, at);
    pthread_mutex_unlock(&t->mutex);
}

void node_tracker_unsure(struct node_tracker *t, const uint8_t id[32], int code)
{
    pthread_mutex_lock(&t->mutex);
    uint32_t at = *find(t, id);
    if (at && !t->entry[at - 1].accepted && !t->entry[at - 1].gone) {
        t->entry[at - 1].gone = code;
        t->waiting--;
    }
    pthread_mutex_unlock(&t->mutex);
}

void node_tracker_gone(struct node_tracker *t, const struct poa_tx_gone *gone, size_t n)
{
    pthread_mutex_lock(&t->mutex);
    for (size_t i = 0; i < n && t->waiting; i++) {
        uint32_t at = *find(t, gone[i].id);
        if (!at || t->entry[at - 1].gone)
            continue;
        t->entry[at - 1].gone = gone[i].code;
        t->waiting--;
    }
    pthread_mutex_unlock(&t->mutex);
}

int node_tracker_get(struct node_tracker *t, const uint8_t id[32])
{
    pthread_mutex_lock(&t->mutex);
    uint32_t at = *find(t, id);
    int code = at ? t->entry[at - 1].gone : POA_E_NOT_FOUND;
    pthread_mutex_unlock(&t->mutex);
    return code;
}

void node_tracker_final(struct node_tracker *t, const struct poa_tx_result *tx, size_t n,
                        uint64_t now_us)
{
    pthread_mutex_lock(&t->mutex);
    for (size_t i = 0; i < n && t->used; i++) {
        uint32_t *at = find(t, tx[i].id);
        if (!*at)
            continue;
        uint64_t since = t->entry[*at - 1].accepted_us;
        if (!t->entry[*at - 1].gone)
            poa_histogram_add(&t->latency, now_us > since ? now_us - since : 0);
        unlink_entry(t, at);
    }
    pthread_mutex_unlock(&t->mutex);
}

void node_tracker_latency(struct node_tracker *t, struct poa_histogram *out)
{
    pthread_mutex_lock(&t->mutex);
    *out = t->latency;
    pthread_mutex_unlock(&t->mutex);
}
