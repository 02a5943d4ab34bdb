/* Inside of the node, shared by the files of src/node.
 *
 *    p2p, rpc, gateway threads          workers          I/O thread
 *      │ post        │ submit        check │ post          │ durable, stored
 *      v             v                     v               v
 *   ┌──────────────────────── queue (classes) ────────────────────────┐
 *   │                         core thread: step, effects              │
 *   └── send now ── record, commit, send after it ── check ── publish ┘
 *
 * The core thread alone touches the core. Others read the base of the state
 * under state_lock, the published status under status_mutex, and the store.
 */
#ifndef POA_NODE_INTERNAL_H
#define POA_NODE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "poa_config.h"
#include "poa_consensus.h"
#include "poa_gateway.h"
#include "poa_keystore.h"
#include "poa_log.h"
#include "poa_node.h"
#include "poa_node_behind.h"
#include "poa_node_bundle.h"
#include "poa_node_io.h"
#include "poa_node_memo.h"
#include "poa_node_pace.h"
#include "poa_node_pages.h"
#include "poa_node_queue.h"
#include "poa_node_ranges.h"
#include "poa_node_saving.h"
#include "poa_node_skew.h"
#include "poa_node_tracker.h"
#include "poa_node_workers.h"
#include "poa_p2p.h"
#include "poa_progress.h"
#include "poa_rpc.h"

#define NODE "node"

#define NODE_REQUEST_MS 10000
/* Threads of this module need little; the core's own frames are the largest. */
#define NODE_CORE_STACK  (1024 * 1024)
#define NODE_SMALL_STACK (256 * 1024)

struct node_follow;
struct node_forward;
struct node_again;
struct node_discover;
struct node_serve;
struct node_edge;
struct checked;
struct node_snapshot;
struct node_proof;

/* A member of the mesh, by its index in p2p. */
struct node_peer {
    uint8_t key[32];
    char address[128];
    bool known, up;
    bool found;                       /* by discover.c: it goes when it is away */
    unsigned flags;                   /* enum poa_p2p_flag, as p2p has them */
    bool witness;                     /* admitted by governance */
    bool member;                      /* in the committee of the current epoch */
    bool heard;                       /* it said its height */
    uint64_t height;                  /* last heard of */
    uint64_t highest;                 /* that it ever said: less after its restart is no news */
    char name[POA_KEY_LABEL_MAX + 1]; /* of an admitted witness */
};

/* Who lied or stalled before the mesh was open. */
struct node_fault {
    uint8_t key[32];
    enum poa_p2p_fault fault;
};

/* Whose signatures count in the epoch in work. */
struct node_roster {
    uint32_t epoch, n;
    uint64_t view, tip_view;
    uint16_t leader[2]; /* of VIEW and the next one */
    uint8_t seed[32], key[POA_COMMITTEE_MAX][32];
};

struct node_status {
    struct poa_core_status core; /* FINAL_US: up to when it is read */
    uint64_t at_us;
    struct poa_st_global global;
    uint64_t first_block_ms;
    uint64_t stored;  /* height up to which the store can be read */
    uint64_t woke_us; /* when it had stood still, or started */
    bool starting;    /* it executes its own blocks again: nothing is taken yet */
    uint64_t commits, steps, checkpoints;
    int64_t clock_ms; /* our clock is so far ahead of the blocks */
};

struct poa_node {
    struct poa_config config;
    const struct poa_clock *clock;
    uint64_t started_us;
    uint8_t seed[32], key[32], chain[32];
    char name[POA_KEY_LABEL_MAX + 1];
    uint8_t *genesis_bytes;
    size_t genesis_n;
    struct poa_genesis genesis;

    struct poa_store *store;
    struct node_pages ledger_pages;
    struct poa_ledger *ledger; /* the core's; base readable under state_lock */
    struct poa_core *core;
    pthread_rwlock_t state_lock;
    uint64_t state_version; /* atomic; counts what was written under STATE_LOCK */
    struct node_queue queue;
    struct node_workers *workers;
    struct node_io *io;
    struct poa_p2p *p2p;
    struct poa_rpc *rpc;
    struct poa_gateway *gateway;
    struct node_tracker *tracker;
    _Atomic uint64_t strangers_accepted; /* their transactions that were taken */
    struct node_follow *follow;
    struct node_forward *forward;
    struct node_again *again;
    struct node_serve *serve;
    struct node_discover *discover;
    struct node_edge *edge;
    bool serves;     /* current.c, the follow thread's: the gateway serves */
    uint64_t lag_us; /* since when it should not; 0: it should */
    struct poa_rpc_backend rpc_backend;
    struct poa_rpc *join_rpc; /* joining.c: until RPC takes its place */
    struct poa_rpc_backend join_backend;
    pthread_t core_thread;
    bool core_runs;

    /* Faucet: rpc thread only. */
    bool faucet;
    enum poa_key_type faucet_type;
    uint8_t faucet_secret[32], faucet_address[32];
    enum poa_key_type anchor_type;
    uint8_t anchor_secret[32];
    uint64_t faucet_next, faucet_us;

    struct node_snapshot *snapshot; /* status_mutex, or before the mesh runs */
    struct node_fault *faults;      /* join.c, before the mesh runs */
    uint32_t faults_n;

    /* Core thread only. */
    int member_peer[POA_COMMITTEE_MAX]; /* index in p2p, or -1 */
    int self;
    uint32_t mapped_epoch;
    bool mapped;
    _Atomic bool peer_found; /* discover.c: somebody proved its key, or went */
    bool amnesia;            /* memory.c: in the store, until the core votes again */
    uint64_t starts_later;   /* memory.c: the count when it does; 0: it is written */
    bool recover_done;       /* the order was given, or is over */
    bool recovering;         /* it is being carried out */
    uint64_t stall_log_us;   /* peers.c */
    struct checked *checked; /* batches that workers or the core hold, newest first */
    bool replaying;          /* blocks that the store has are stepped through again */
    uint64_t replay_stored;  /* highest of them */
    struct node_saved saved;
    bool caught_up; /* status_mutex; the follow thread's: the state is worth saving */
    uint64_t house_us, heights_us, expire_us;
    uint64_t sealed_slot;
    uint64_t steps;
    uint32_t beacon_epoch; /* last proof of ours that a worker was asked for */
    uint64_t beacon_view;
    struct node_pace pace;
    struct node_skew skew;
    uint64_t ahead_view; /* of the last proposal that came from a clock ahead of ours */
    uint32_t fee_epoch;  /* that FEE_MIN and FEE_KIB were read for, + 1 */

    /* peers_mutex */
    pthread_mutex_t peers_mutex;
    struct node_peer peer[POA_P2P_PEERS_MAX];
    int peer_member[POA_P2P_PEERS_MAX]; /* committee index, or -1 */

    /* roster_mutex */
    pthread_mutex_t roster_mutex;
    struct node_roster roster;

    /* status_mutex */
    pthread_mutex_t status_mutex;
    pthread_cond_t status_cond; /* stored grew, or there is something to serve */
    struct node_proof *proofs;
    uint32_t proofs_n;
    bool proofs_open; /* while the thread that answers them runs */
    struct node_status status;
    uint32_t fee_floor;        /* sixteenths of the smallest fee, for strangers */
    uint64_t fee_min, fee_kib; /* of the epoch in work */
    struct node_behind behind;
    uint64_t sync_target, sync_left_s; /* 0: not far behind; not known */
    uint32_t unkept;          /* so many peers keep the next block no more, and none does */
    struct poa_rpc_join join; /* joining.c: before the node has a state */
    char join_why[128];
    uint64_t txs_accepted, txs_rejected;

    /* Halt: the first reason stays. */
    pthread_mutex_t halt_mutex;
    pthread_cond_t halt_cond;
    bool halted, stopping;
    struct poa_why halt_why;
};

/* --- node.c ------------------------------------------------------------------------ */

/* Stops the node with one line; any thread. */
void node_halt(struct poa_node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
void node_status_get(struct poa_node *n, struct node_status *out);
/* It executes its own blocks again: nobody takes events yet. */
bool node_starting(struct poa_node *n);
/* Waits until block HEIGHT can be read from the store, TIMEOUT_MS at most. */
bool node_wait_stored(struct poa_node *n, uint64_t height, uint32_t timeout_ms);
/* A signal asks the program to end, and waits until there is somebody who takes it: for what
 * takes long before that. */
bool node_told_to_stop(void);
struct poa_now node_now(const struct poa_node *n);
int node_thread(pthread_t *thread, const char *name, size_t stack, void *(*run)(void *), void *arg);

/* --- effects.c: core thread ---------------------------------------------------------- */

/* One step with its effects; EVENT_BLOCK may say POA_E_AGAIN. */
int node_step(struct poa_node *n, const struct poa_event *event);
void node_publish(struct poa_node *n);
void node_checkpoint(struct poa_node *n);
/* The same if a start would be slowed by what it had to execute again. */
void node_checkpoint_work(struct poa_node *n);
void *node_core_thread(void *node);
/* NOW, or with the next kick of the mesh. Any thread. */
void node_send(struct poa_node *n, const struct node_send *to, struct poa_slice bytes, bool now);
/* Which mesh peers the committee's members are, and who may push: before the
 * effects of a step that began an epoch, because they name members of the new
 * committee. */
void node_map(struct poa_node *n);
/* What p2p is told of a peer: witnesses push to one another. Core thread, or
 * before it runs. */
unsigned node_peer_flags(struct poa_node *n, const uint8_t key32[32]);
/* It stood still less than a stall period ago: it does not know yet who is silent. Any thread. */
bool node_woke(struct poa_node *n, uint64_t now_us);
/* Says so when nothing becomes final any more, and who is silent. */
void node_stall_tell(struct poa_node *n, const struct poa_core_status *s, uint64_t now_us);
/* poa_p2p_request to PEER, while it is KEY32 who has that place: places are given again.
 * Errors: its, NOT_FOUND. Any thread; the answer never comes from inside. */
POA_MUST_USE int node_request(struct poa_node *n, int peer, const uint8_t key32[32], uint16_t type,
                              struct poa_slice bytes, uint32_t timeout_ms,
                              poa_p2p_answer_fn *on_answer, void *ctx);
/* (the last five: peers.c) */
/* Asks every connected peer for its height. */
void node_ask_heights(struct poa_node *n);

/* --- watch.c: core thread ------------------------------------------------------------- */

/* A block of TIME_MS is final: what that says of this machine's clock. */
void node_watch_block(struct poa_node *n, uint64_t now_us, uint64_t time_ms);
/* Every round of its housekeeping, due at n->house_us, also when nothing happens. */
void node_watch_round(struct poa_node *n, const struct poa_core_status *core, uint64_t now_us);
/* What strangers pay from now on; after a step, and in each round. */
void node_watch_floor(struct poa_node *n, const struct poa_core_status *core, uint64_t now_us);

/* --- claims.c ------------------------------------------------------------------------------ */

/* Core thread: a new epoch; new views. */
void node_roster_set(struct poa_node *n);
void node_roster_view(struct poa_node *n, const struct poa_core_status *s);
/* What a message claims, for a check by the workers before the core steps through
 * it; *COUNT of them, NULL when there are none. free() releases them, after the
 * check and before BYTES. Any thread. */
struct node_claim *node_claims_message(struct poa_node *n, uint16_t type, struct poa_slice bytes,
                                       uint32_t *count);
/* Core thread: has a worker make the proof that the core wants next. */
void node_claims_beacon(struct poa_node *n);
/* Adds to the check of an open bundle what its blocks claim. */
void node_claims_bundle(struct node_bundle *b);

/* --- risk.c -------------------------------------------------------------------------------- */

/* Refuses a genesis that misses its own target, and says which committee would
 * meet it. */
int node_risk_check(struct poa_node *n, struct poa_why *why);
/* Core thread: warns when the committee in work misses the target or the caps. */
void node_risk_epoch(struct poa_node *n);

/* --- restore.c --------------------------------------------------------------------------- */

int node_restore_ledger(struct poa_node *n, struct poa_why *why);
/* Sets up the core at the last checkpoint, so that there is a status to read. */
int node_restore_core(struct poa_node *n, struct poa_why *why);
/* The blocks after it, and the write-ahead log. CLOSED: a signal asks the program to end. */
int node_restore_blocks(struct poa_node *n, struct poa_why *why);

/* --- join.c -------------------------------------------------------------------------------- */

/* The configuration asks for a snapshot, and there is no database yet. */
bool node_snapshot_wanted(const struct poa_node *n);
/* Before the store is opened: makes the database from a snapshot that peers have when one is
 * wanted. Failing is no error: the node then begins at genesis. CLOSED: a signal asks the
 * program to end; NO_MEMORY. */
int node_snapshot_fetch(struct poa_node *n);

/* --- joining.c: what it says meanwhile ------------------------------------------------------- */

/* An RPC that knows how far the snapshot is, and is not ready for anything else. */
void node_joining_backend(struct poa_node *n, struct poa_rpc_backend *out);
/* How fast the state comes: since the beginning, without what was there, and since the last
 * look at it. */
struct node_joining_pace {
    struct poa_progress progress;
    uint64_t begun_us, at_us, had, at, left_s;
};
/* Now and then: status, and the log when it is time. SILENT servers did not answer yet. */
void node_joining_say(struct poa_node *n, struct node_joining_pace *p, struct poa_rpc_join *join,
                      uint32_t silent, uint64_t now_us);
/* The same of our own work, of which DONE of TOTAL is done. */
void node_joining_tell(struct poa_node *n, struct node_joining_pace *p,
                       const struct poa_rpc_join *join, const char *what, uint64_t done,
                       uint64_t total);
/* WHY: why the node is not ready. */
void node_joining_set(struct poa_node *n, const struct poa_rpc_join *join, const char *why);

/* --- snapshot.c: a snapshot for peers ------------------------------------------------------- */

int node_snapshot_start(struct poa_node *n);
void node_snapshot_stop(struct poa_node *n);
void node_snapshot_free(struct poa_node *n);
/* Core thread: the state of block HEIGHT, which was just committed, is to be saved for one. */
bool node_snapshot_due(struct poa_node *n, uint64_t height);
/* I/O thread: the state of HEIGHT is in the store, and nothing was written since. */
void node_snapshot_saved(struct poa_node *n, uint64_t height);
/* REQ_SNAPSHOT, REQ_PART. */
void node_snapshot_serve(struct poa_node *n, const struct poa_p2p_message *m);

/* --- prove.c ------------------------------------------------------------------------------- */

/* The backend of the RPC. */
/* packs.c: see struct poa_rpc_backend. */
int node_rpc_presence(void *ctx, const uint8_t device32[32], uint64_t *since_ms, bool *shared);
int node_rpc_packs(void *ctx, struct poa_slice request, uint64_t from, uint32_t max,
                   int (*visit)(void *v, const struct poa_rpc_pack *pack), void *v, uint64_t *count,
                   uint64_t *next);
void node_rpc_prove(void *ctx, enum poa_state_table table, struct poa_slice key,
                    struct poa_rpc_call *call);
/* Serve thread: with status_mutex, those that can be answered; without it, their
 * answers (CODE: all are refused). */
struct node_proof *node_proofs_take(struct poa_node *n, uint64_t now_us, uint64_t *next_us);
void node_proofs_answer(struct poa_node *n, struct node_proof *due, int code);

/* STORE failed while the node starts: WHY names the directory and, but for STORE_CORRUPT,
 * what to do. */
int node_store_fault(struct poa_node *n, int rc, struct poa_why *why);

/* --- memory.c: what this node knows of its own past ------------------------------------------- */

/* Whether it may have voted and does not remember it. */
int node_memory_check(struct poa_node *n, bool *amnesia, struct poa_why *why);
/* Core thread, after a step: it may vote again. */
void node_memory_regained(struct poa_node *n);
/* Core thread, now and then: the operators' order (`recover`), when its epoch is
 * the core's. */
void node_recover(struct poa_node *n);

/* --- submit.c --------------------------------------------------------------------------------- */

/* Transactions on their way to the core: checked by workers, then stepped (or
 * forwarded to a server by a follower). One allocation. */
struct node_submission {
    struct node_event event;
    struct node_submission *next;
    struct poa_node *node;
    struct node_check *check;
    uint16_t peer;    /* committee index, or POA_PEER_OTHER */
    bool local;       /* submitted here: its latency counts */
    uint8_t from[32]; /* key of the node that asked */
    uint32_t tries;
    uint64_t accepted_us;
    uint64_t token;
    void *ctx;
    /* Any thread; codes are in check->code. Then the submission is freed. */
    void (*done)(struct node_submission *s);
};
/* N transactions of TOTAL bytes; the caller fills check->raw with slices of
 * *BYTES. NULL when out of memory. */
struct node_submission *node_submission_new(struct poa_node *node, uint32_t n, size_t total,
                                            uint8_t **bytes);
/* From a record `txs`. */
int node_submission_from(struct poa_node *node, struct poa_slice encoded,
                         struct node_submission **out);
/* Always ends with DONE (when not NULL), perhaps before it returns. */
void node_submit(struct node_submission *s);
/* Ends it with CODE for every transaction that has no code yet. */
void node_submission_end(struct node_submission *s, int code);
/* EFFECT_CHECK. */
void node_check_batch(struct poa_node *n, struct poa_slice bytes, bool trusted);
void node_release(struct poa_node *n, void *token);
/* At the end: what the core still held. */
void node_release_all(struct poa_node *n);
/* Mining items to the core; DONE gets one code per item (tickets, seals,
 * evidence), on any thread. */
typedef void node_mining_done(void *ctx, const int *codes, uint32_t n);
void node_mine(struct poa_node *n, struct poa_slice encoded, node_mining_done *done, void *ctx);

/* --- forward.c: what a follower hands to a server --------------------------------------------- */

int node_forward_start(struct poa_node *n);
void node_forward_stop(struct node_forward *f);
void node_forward_free(struct node_forward *f);
void node_forward_txs(struct node_forward *f, struct node_submission *s);
/* Core thread: these became final. */
void node_forward_final(struct node_forward *f, const struct poa_tx_result *tx, uint32_t txs,
                        uint64_t now_us);
/* From a server's taking a transaction to its being final here: the last one, or the one under
 * way; 0: none for a second. */
uint64_t node_forward_lag(struct node_forward *f, uint64_t now_us);
void node_forward_mining(struct node_forward *f, struct poa_slice encoded, node_mining_done *done,
                         void *ctx);
/* EFFECT_SUBMIT. */
void node_forward_raw(struct node_forward *f, uint16_t type, struct poa_slice bytes);
/* A server whose link is up: members first, then in turn; -1: none. */
int node_pick_server(struct poa_node *n, int avoid);

/* --- again.c: what a server took over is asked for again ----------------------------------------
 */

int node_again_new(struct poa_node *n);
void node_again_free(struct node_again *a);
/* TX, accepted over RPC, is with a server now. Any thread. */
void node_again_keep(struct node_again *a, const struct poa_tx_view *tx);
/* Core thread, every second. */
void node_again_tick(struct node_again *a, uint64_t now_us);

/* --- follow.c ------------------------------------------------------------------------------------
 */

int node_follow_new(struct poa_node *n);
int node_follow_start(struct node_follow *f);
void node_follow_stop(struct node_follow *f);
void node_follow_free(struct node_follow *f);
/* Others are at HEIGHT: follow until we are. */
void node_follow_behind(struct node_follow *f, uint64_t height);

/* --- serve.c
 * --------------------------------------------------------------------------------------- */

void node_on_message(void *node, const struct poa_p2p_message *m);
void node_on_peer(void *node, int peer, const uint8_t key32[32], bool up);
/* Follow requests that wait for a block. */
int node_serve_new(struct poa_node *n);
int node_serve_start(struct poa_node *n);
void node_serve_stop(struct poa_node *n);

/* --- discover.c: peers that the configuration does not name ------------------------- */

int node_discover_new(struct poa_node *n);
int node_discover_start(struct poa_node *n); /* when the mesh is open */
void node_discover_stop(struct poa_node *n);
void node_discover_free(struct poa_node *n);
/* REQ_PEERS. */
void node_discover_serve(struct poa_node *n, const struct poa_p2p_message *m);
/* What the address book says of KEY32. */
bool node_discover_address(struct poa_node *n, const uint8_t key32[32], char *out, size_t out_n);

/* --- headers.c: runs of headers for those who verify the chain ----------------------------------
 */

/* Core thread: the closing block C is final. */
int node_hand_over_keep(struct poa_node *n, const struct poa_commit *c);
/* An encoded `run` from the store; *BYTES is malloc'ed, *LAST the height that it
 * ends at. After AFTER, up to a closing block. NOT_FOUND: nothing final after
 * AFTER, or no longer kept. */
int node_run_read(struct poa_store *s, uint64_t after, uint8_t **bytes, size_t *n, uint64_t *last);
/* The shortest one that proves block HEIGHT, which it begins with. */
int node_run_final(struct poa_store *s, uint64_t height, uint8_t **bytes, size_t *n);
/* The closing block of EPOCH with its fillers alone: also when its blocks are no
 * longer kept. */
int node_hand_over_read(struct poa_store *s, uint32_t epoch, uint8_t **bytes, size_t *n,
                        uint64_t *last);

/* --- current.c: whether answers are current ----------------------------------------- */

/* False: WHY. Any thread. */
bool node_current(struct poa_node *n, char *why, size_t cap);
/* The follow thread: the gateway serves devices, or sends them away. */
void node_current_tell(struct poa_node *n);

/* --- backend.c, edge.c ---------------------------------------------------------------------------
 */

void node_rpc_backend(struct poa_node *n, struct poa_rpc_backend *out);
/* Reads what the configuration names: genesis, keys, certificates, tokens; and looks whether
 * the directories can be written. Nothing is opened or written. CONFIG with the place in the
 * configuration; NO_MEMORY. */
int node_prepare(struct poa_node *n, struct poa_why *why);
int node_edge_open(struct poa_node *n, struct poa_why *why);
int node_edge_tell(struct poa_node *n, struct poa_why *why);
int node_edge_start(struct poa_node *n, struct poa_why *why);
void node_edge_stop(struct poa_node *n);
void node_edge_free(struct poa_node *n);
/* Core thread: a block was committed. */
void node_edge_commit(struct poa_node *n, const struct poa_commit *c);

#endif
