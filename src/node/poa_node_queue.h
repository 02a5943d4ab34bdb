/* What waits for the core thread: one queue, in classes of falling urgency, so
 * that a flood of transactions never stands before a vote. Each class but the
 * first has limits; what does not fit is refused, and the protocol re-sends. */
#ifndef POA_NODE_QUEUE_H
#define POA_NODE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "poa_error.h"

enum node_class {
    NODE_CLASS_OWN,   /* results of our own threads: never refused */
    NODE_CLASS_VOTE,  /* votes and certificates */
    NODE_CLASS_BLOCK, /* proposals, acknowledgements, questions */
    NODE_CLASS_BULK,  /* batches, forwarded transactions, mining */
    NODE_CLASS_LOCAL, /* what was submitted here */
    NODE_CLASSES
};

struct node_event {
    struct node_event *next;
    void (*run)(struct node_event *e, void *ctx); /* on the core thread; frees E */
    void (*drop)(struct node_event *e);           /* instead of run: frees E */
    size_t bytes;
};

struct node_queue_limit {
    uint32_t events;
    size_t bytes;
};

struct node_queue {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct {
        struct node_event *first, **last;
        uint32_t events;
        size_t bytes;
        struct node_queue_limit limit;
        uint64_t refused;
    } class[NODE_CLASSES];
    uint64_t persisted; /* highest durable sequence number, not taken yet */
    bool has_persisted;
    bool stop;
    bool waiting;
};

void node_queue_init(struct node_queue *q, const struct node_queue_limit limit[NODE_CLASSES]);
/* Drops what is left. */
void node_queue_destroy(struct node_queue *q);
/* FULL, CLOSED (stopped): the caller still owns E. */
POA_MUST_USE int node_queue_post(struct node_queue *q, enum node_class class, struct node_event *e);
void node_queue_persisted(struct node_queue *q, uint64_t seq);
void node_queue_stop(struct node_queue *q);

struct node_wakeup {
    struct node_event *event;
    uint64_t persisted; /* when has_persisted */
    bool has_persisted;
    bool stop; /* nothing else is left */
};
/* The next event by class, at most one; waits until DEADLINE_US of the
 * monotonic clock (UINT64_MAX: for ever). All empty: the deadline passed. */
void node_queue_wait(struct node_queue *q, uint64_t deadline_us, struct node_wakeup *out);
uint64_t node_queue_refused(struct node_queue *q, enum node_class class);
size_t node_queue_depth(struct node_queue *q, enum node_class class);

#endif
