/* The I/O thread: makes records durable, then lets the messages go that wait
 * for them, in order.
 *
 *   core thread ── record, batch, commit, send ──> [queue] ── one group, one
 *   fsync ──> sends in order ──> durable(highest sequence number)
 *
 * Everything that waits when a round begins shares its fsync. Order: what was
 * handed over first is written first, and a send leaves after everything handed
 * over before it is durable. */
#ifndef POA_NODE_IO_H
#define POA_NODE_IO_H

#include "poa_consensus.h"
#include "poa_p2p.h"
#include "poa_store.h"

/* A message on its way out. */
struct node_send {
    uint16_t type;
    bool own;    /* to ourselves too */
    bool others; /* to the peers in SET */
    bool lazy;   /* to them with what else they get */
    uint8_t set[POA_P2P_SET_BYTES];
};

struct node_io_config {
    struct poa_store *store;
    size_t bytes_max; /* handing over waits while more than this is queued */
    void *ctx;
    /* To others, then (or) to ourselves. */
    void (*send)(void *ctx, const struct node_send *to, struct poa_slice bytes);
    /* That was all to others for now; may be NULL. */
    void (*sent)(void *ctx);
    void (*durable)(void *ctx, uint64_t seq);
    /* Everything up to block HEIGHT can be read from the store. */
    void (*stored)(void *ctx, uint64_t height);
    /* The state of HEIGHT is durable, and nothing is written until this returns; may be
     * NULL. */
    void (*checkpointed)(void *ctx, uint64_t height);
    /* A write failed: the node stops. Called once; nothing is sent after it. */
    void (*failed)(void *ctx, int error, const char *why);
};

/* A finalized block; one allocation, free() releases it. */
struct node_commit {
    struct poa_store_block block;
    size_t bytes; /* of this allocation */
};
/* A copy of C, or NULL. */
struct node_commit *node_commit_new(const struct poa_commit *c);

/* Changed entries of the state, frozen. */
struct node_checkpoint {
    struct poa_stored_checkpoint at;
    uint8_t *entries; /* key 32, length u32 LE, value; repeated; malloc'ed */
    size_t n, cap;
};
/* Takes what changed in the base since the last time. NO_MEMORY: nothing is
 * forgotten. */
POA_MUST_USE int node_checkpoint_new(struct poa_ledger *l, struct node_checkpoint *out);

struct node_io;
POA_MUST_USE int node_io_start(const struct node_io_config *config, struct node_io **out);
/* Writes what is queued, then stops. */
void node_io_stop(struct node_io *io);

/* From one thread, the core's. Bytes are copied; NO_MEMORY. Between cork and
 * uncork nothing starts: what one step hands over stays together. */
void node_io_cork(struct node_io *io);
void node_io_uncork(struct node_io *io);
POA_MUST_USE int node_io_record(struct node_io *io, uint64_t seq, uint16_t type,
                                struct poa_slice bytes);
POA_MUST_USE int node_io_batch(struct node_io *io, uint64_t seq, struct poa_slice bytes);
POA_MUST_USE int node_io_send(struct node_io *io, const struct node_send *to,
                              struct poa_slice bytes);
POA_MUST_USE int node_io_meta(struct node_io *io, const char *name, struct poa_slice value);
POA_MUST_USE int node_io_forget(struct node_io *io, uint64_t seq);
POA_MUST_USE int node_io_prune(struct node_io *io, uint64_t height);
POA_MUST_USE int node_io_expire(struct node_io *io, uint64_t now_ms);
/* Takes COMMIT or CHECKPOINT over, also on error. */
POA_MUST_USE int node_io_commit(struct node_io *io, struct node_commit *commit);
POA_MUST_USE int node_io_checkpoint(struct node_io *io, const struct node_checkpoint *c);
/* From any thread. All of LIST or none survives a crash, but for a first one whose key waits
 * already: that may be there alone. */
struct node_blob {
    uint8_t kind;
    const uint8_t *hash32;
    struct poa_slice bytes;
};
POA_MUST_USE int node_io_blobs(struct node_io *io, uint64_t expires_ms,
                               const struct node_blob *list, size_t n);
/* Waits until everything handed over before is durable; not from the core
 * thread. STORE when writing failed. */
POA_MUST_USE int node_io_sync(struct node_io *io);

struct node_io_stats {
    uint64_t rounds, sends;
    uint64_t fsync_us_sum, fsync_us_max;
    size_t queued_bytes;
};
void node_io_stats(struct node_io *io, struct node_io_stats *out);

#endif
