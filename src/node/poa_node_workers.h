/* Threads that check signatures.
 *
 * A check is a list of claims (signatures and proofs of the protocol, verified
 * into the memory behind node_suite) and a list of encoded transactions.
 * Several workers take pieces of one check, so that a batch of 4,096
 * transactions uses every core; whoever finishes the last piece calls DONE. A
 * check without transactions goes before those with: a vote never waits for
 * more than a piece of a batch.
 *
 * Those with transactions wait in a line per submitter, and submitters take
 * turns by what their checks cost, not by how many they hand in: who floods waits
 * behind himself. What the network needs (batches, blocks) counts a quarter;
 * strangers, whose keys cost nothing, share the turns of one submitter, and wait
 * while they pay less than a floor.
 * Source: Goyal, Vin and Cheng, "Start-time Fair Queueing", 1996. */
#ifndef POA_NODE_WORKERS_H
#define POA_NODE_WORKERS_H

#include <pthread.h>
#include <stdatomic.h>

#include "poa_ledger.h"

/* KEY signed MSG, or proved its VRF on it; with SEED: shall prove it. */
struct node_claim {
    bool vrf;
    const uint8_t *seed;                 /* of KEY, 32 bytes, borrowed; or NULL */
    uint8_t key[32], msg[32], proof[80]; /* a signature: its first 64 bytes */
    uint8_t vote; /* 0, or 1 + the kind of a vote of VIEW in EPOCH: left out when that is decided */
    uint8_t voter;   /* below POA_COMMITTEE_MAX */
    bool first_hand; /* it came from its voter, so nobody else makes it many */
    uint32_t epoch;
    uint64_t view;
    struct poa_slice batch; /* when not empty, of this encoded batch: it is long to hash, and MSG
                               is left to the worker. Borrowed */
    struct poa_slice tx;    /* when not empty, nothing else: that it is valid. Borrowed */
};

enum node_submitter {
    NODE_OWN,  /* batches of a member, blocks that are followed: KEY tells them apart */
    NODE_HERE, /* over RPC: KEY tells tokens and addresses apart, which share one turn */
    NODE_LISTED,
    NODE_STRANGER,
};
/* KEY32 may be NULL. */
uint64_t node_submitter(enum node_submitter kind, const uint8_t *key32);

struct node_check {
    const struct node_claim *claim; /* CLAIMS; after a wrong one the others may be left out */
    uint32_t claims;
    struct poa_slice *raw;    /* N, borrowed for the check */
    struct poa_tx_view *view; /* N, filled where CODE is POA_OK */
    int *code;                /* N */
    uint32_t n;
    uint64_t submitter; /* node_submitter(); 0 is fine */
    uint32_t price;     /* of a stranger's: its fees in sixteenths of the smallest ones */
    bool parse_only;    /* the signatures are covered by a certificate */
    /* On a worker thread. Owns the check. */
    void (*done)(struct node_check *c);
    void *ctx;
    /* The pool's. */
    struct node_check *after;
    uint64_t since_us;
    uint32_t helpers; /* who may still take it */
    bool taken;
    _Atomic uint32_t next, left;
    _Atomic bool wrong;
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
/* poa_ledger_config's parallel, with the pool as its context: the caller does the tasks
 * together with the workers that have no check. One caller at a time. */
void node_workers_parallel(void *workers, void (*task)(void *arg, uint32_t i), void *arg,
                           uint32_t n);
/* Where the core is: notarize votes before VIEW and votes up to TIP_VIEW are not
 * looked at any more. Any thread. */
void node_workers_at(struct node_workers *w, uint32_t epoch, uint64_t view, uint64_t tip_view);
/* A quorum needs so many VOTES of others: when as many voters were heard, first hand, those of
 * the same kind and view that come after wait some milliseconds; 0: none does. Any thread. */
void node_workers_enough(struct node_workers *w, uint32_t votes);
/* Strangers' checks at less than FLOOR wait from now on; those that wait for
 * NODE_HELD_US are refused with TX_FEE_FLOOR. Any thread, now and then. */
#define NODE_HELD_US 2000000u
void node_workers_floor(struct node_workers *w, uint32_t floor);
/* Transactions of strangers' checks that were begun. */
uint64_t node_workers_strangers(const struct node_workers *w);
unsigned node_workers_threads(const struct node_workers *w);

/* C with room for N items, in one allocation that free() releases; NULL when out
 * of memory. */
struct node_check *node_check_new(uint32_t n, size_t extra, void **extra_out);

#endif
