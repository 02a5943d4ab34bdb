/* Inside of bench-ledger.
 *
 *   world   a chain: genesis, four witnesses, signers, a state of N accounts
 *   load    signed transactions in signed batches, made before any clock runs
 *   pipe    the node's pipeline: workers, ledger, I/O thread, LevelDB, fsync
 *   replay  the node's replay of the store that a pipe left */
#ifndef BENCH_LEDGER_H
#define BENCH_LEDGER_H

#include <pthread.h>

#include "bench.h"
#include "poa_consensus.h"
#include "poa_node_io.h"
#include "poa_node_pages.h"
#include "poa_node_replay.h"
#include "poa_node_workers.h"

#define WITNESSES     4
#define QUORUM        3
#define BLOCK_BATCHES 4
#define BATCH_TXS     1250
#define BLOCK_TXS     (BLOCK_BATCHES * BATCH_TXS)
#define FEE           10u

/* --- world.c ------------------------------------------------------------------------- */

struct world {
    struct poa_genesis genesis;
    uint8_t bytes[8192];
    struct poa_slice encoded;
    uint8_t chain[32];
    struct {
        uint8_t seed[32], key[32];
    } witness[WITNESSES];
    uint32_t signers;
    uint8_t (*address)[32]; /* of the signers */
};
void world_make(struct world *w, uint32_t signers);
void world_free(struct world *w);
/* Secret key of signer I. */
void world_secret(uint32_t i, uint8_t sk32[32]);
/* Address of account I: the signers come first. */
void world_address(const struct world *w, uint64_t i, uint8_t out32[32]);

/* Who helps the ledgers; without either: threads for the occasion. */
struct helpers {
    struct node_workers *workers;
    bool nobody;
};
extern struct helpers world_helpers;
struct poa_ledger *world_ledger(const struct world *w, struct node_pages *m);
/* A ledger with ACCOUNTS accounts of equal balance; STORE, when not NULL, gets
 * it as a checkpoint. */
struct poa_ledger *world_state(const struct world *w, uint64_t accounts, struct node_pages *m,
                               struct poa_store *store);

/* --- load.c -------------------------------------------------------------------------- */

struct load {
    uint8_t *bytes;
    struct poa_slice *batch;
    uint32_t batches, txs, transfers;
    uint64_t wire_bytes; /* of the transactions */
};
struct load_kind {
    uint32_t txs;          /* how many */
    uint32_t ops;          /* transfers of each */
    uint32_t first_signer; /* transaction I comes from signer FIRST + I % SIGNERS */
    uint32_t signers;
    uint64_t accounts; /* receivers: any of so many */
    uint32_t seq;      /* of the first batch */
};
void load_make(struct load *l, const struct world *w, const struct load_kind *kind);
void load_free(struct load *l);
/* Transactions of any account, with a signature that nobody checks: FIRST to
 * FIRST + TXS of an endless sequence that visits all ACCOUNTS in turn. NONCE: what
 * the first SIGNERS accounts have used already. */
struct plain {
    uint8_t *bytes;
    struct poa_tx_view *view;
    uint32_t txs;
};
void plain_make(struct plain *p, const struct world *w, uint64_t accounts, uint64_t first,
                uint32_t txs, uint32_t signers, uint32_t nonce);
void plain_free(struct plain *p);

/* --- pipe.c -------------------------------------------------------------------------- */

struct pipe {
    const struct world *world;
    struct poa_ledger *ledger;
    struct poa_store *store;
    struct node_workers *workers;
    struct node_io *io;
    uint64_t view, seq;
    uint64_t executed, failed; /* transactions */
    uint64_t durable;          /* sequence number, by the I/O thread */
};
struct poa_store *pipe_store(const struct world *w, const char *dir, bool tx_index);
/* The pipe does not own STORE and LEDGER. */
void pipe_open(struct pipe *p, const struct world *w, struct poa_ledger *l, struct poa_store *s,
               unsigned workers);
/* Saves what changed in the state, durably; how many bytes. */
size_t pipe_checkpoint(struct pipe *p);
struct spent {
    double wall, cpu; /* seconds */
};
/* Blocks of BLOCK_TXS through the ledger alone, on this thread: no signatures,
 * no disk. */
double pipe_state(struct pipe *p, const struct plain *plain);
/* Batches FROM to TO of LOAD through the pipeline, until all are durable. */
struct spent pipe_run(struct pipe *p, const struct load *load, uint32_t from, uint32_t to);
void pipe_close(struct pipe *p);

/* --- replay.c ------------------------------------------------------------------------ */

struct replayed {
    double start, replay; /* seconds: state of the checkpoint; blocks after it */
    uint64_t height, txs;
    uint8_t root[32];
};
/* Starts from STORE's checkpoint and replays its blocks. */
void replay_run(const struct world *w, struct poa_store *s, bool verify, unsigned workers,
                struct replayed *out);

#endif
