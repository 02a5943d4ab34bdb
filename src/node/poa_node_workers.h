/* Threads that check signatures.
 *
 * A check is a list of encoded transactions. Several workers take pieces of
 * one list, so that a batch of 4,096 transactions uses every core; whoever
 * finishes the last piece calls DONE. */
#ifndef POA_NODE_WORKERS_H
#define POA_NODE_WORKERS_H

#include <pthread.h>
#include <stdatomic.h>

#include "poa_ledger.h"

struct node_check {
    struct poa_slice *raw;    /* N, borrowed for the check */
    struct poa_tx_view *view; /* N, filled where CODE is POA_OK */
    int *code;                /* N */
    uint32_t n;
    bool parse_only; /* the signatures are covered by a certificate */
    /* On a worker thread (or on the caller's, when N is 0). Owns the check. */
    void (*done)(struct node_check *c);
    void *ctx;
    /* The pool's. */
    _Atomic uint32_t next, left;
};

struct node_workers;
POA_MUST_USE int node_workers_new(const uint8_t chain32[32], unsigned threads, size_t queue_max,
                                  struct node_workers **out);
/* Waits for what runs; what waits ends with DONE and code CLOSED; from then on
 * checks are refused. */
void node_workers_stop(struct node_workers *w);
void node_workers_free(struct node_workers *w); /* stops it too */
/* FULL: too much waits; DONE is not called. */
POA_MUST_USE int node_workers_check(struct node_workers *w, struct node_check *c);
unsigned node_workers_threads(const struct node_workers *w);

/* C with room for N items, in one allocation that free() releases; NULL when out
 * of memory. */
struct node_check *node_check_new(uint32_t n, size_t extra, void **extra_out);

#endif
