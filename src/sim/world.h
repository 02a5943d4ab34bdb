/* The simulation's inside. */
#ifndef POA_SIM_WORLD_H
#define POA_SIM_WORLD_H

#include <stdlib.h>
#include <string.h>

#include "poa_sim.h"

#define NEVER UINT64_MAX

/* --- randomness: splitmix64 ------------------------------------------------------ */

uint64_t sim_random(uint64_t *state);
/* suite.c: folds N bytes into the sum S. */
void sim_fold(uint64_t *s, const void *p, size_t n);
enum { SIM_KEY_NODE, SIM_KEY_ACCOUNT, SIM_KEY_DEVICE, SIM_KEY_MAKER, SIM_KEY_KINDS };
void sim_public(uint32_t kind, uint32_t index, const uint8_t seed32[32], uint8_t pk32[32]);
static inline uint32_t below(uint64_t *state, uint64_t n)
{
    return n ? (uint32_t)(sim_random(state) % n) : 0;
}
static inline bool chance(uint64_t *state, uint32_t ppm)
{
    return below(state, 1000000) < ppm;
}
static inline uint32_t between(uint64_t *state, uint32_t low, uint32_t high)
{
    return high > low ? low + below(state, (uint64_t)high - low + 1) : low;
}

/* --- messages and batches ----------------------------------------------------------- */

struct message {
    uint32_t refs;
    uint32_t from;
    uint16_t type;
    size_t n;
    uint8_t bytes[];
};

/* A batch as every node that holds it sees it: content is shared. */
struct sim_batch {
    struct poa_checked_batch checked;
    struct sim_batch *next;
    size_t n;
    uint8_t bytes[];
};

/* A final block, shared by all nodes that have the same. */
struct sim_block {
    struct sim_block *next; /* same height, other hash: a fork */
    uint8_t hash[32], root[32];
    uint64_t height;
    uint32_t epoch;
    uint8_t kind;
    struct poa_slice header, body;
    uint32_t batches;
    uint8_t (*batch)[32];
    uint8_t data[];
};

/* --- disk -------------------------------------------------------------------------------- */

enum op_kind { OP_RECORD, OP_COMMIT, OP_FORGET, OP_STATE };

struct disk_op {
    enum op_kind kind;
    uint16_t type;
    uint64_t seq;
    uint8_t *bytes; /* RECORD: the record; COMMIT: the certificate */
    size_t n;
    uint64_t height; /* STATE: what BYTES makes of the one before */
    uint8_t root[32];
    struct sim_block *block;
    uint8_t *fillers; /* COMMIT: what leads from the block to the certificate */
    size_t fillers_bytes;
    uint32_t fillers_n;
};

struct stored {
    struct sim_block *block;
    uint8_t *cert, *fillers;
    size_t cert_n, fillers_bytes;
    uint32_t fillers_n;
};

struct state_entry {
    uint8_t key[32], *value;
    uint32_t n;
};

struct disk {
    struct disk_op *op; /* records that are not forgotten; commits and forgets until applied */
    size_t ops, cap;
    size_t synced;        /* of op */
    size_t syncing;       /* 0: no fsync under way */
    struct stored *block; /* durable, by height from 1 */
    uint64_t height, block_cap;
    struct state_entry *entry; /* the saved state of STATE_HEIGHT, 0: none */
    size_t entries, entry_cap;
    uint64_t state_height;
    uint8_t state_root[32];
};

/* --- memory of cores: region.c ---------------------------------------------------------- */

struct region {
    uint8_t *base;
    size_t used;
};
void *region_alloc(void *ctx, size_t bytes); /* zeroed */
void region_free(void *ctx, void *p);
void region_reset(struct region *r); /* nothing in it is used any more */
void region_drop(struct region *r);

/* --- nodes ----------------------------------------------------------------------------------- */

enum byzantine_kind {
    HONEST,
    BYZ_SILENT,
    BYZ_EQUIVOCATE, /* two headers a view, votes for both, nullify and finalize */
    BYZ_HALF,       /* every message to some only */
    BYZ_LATE,
    BYZ_FORGE,    /* others' votes, broken certificates, garbage */
    BYZ_REPLAY,   /* old messages again */
    BYZ_WITHHOLD, /* neither certificates nor answers */
    BYZ_GAP,      /* proposes on the last final block, whatever came after; finalizes nothing */
    BYZ_SLEEPER,  /* half of everything, then nothing once the network is well */
    BYZ_STRIKE,   /* honest up to one view, which a single node sees notarized; then silent */
    BYZ_KINDS
};

struct waiting {
    uint64_t seq;
    uint8_t to[16];
    uint32_t epoch;
    struct message *m;
};

struct vote_seen {
    uint64_t key; /* of (kind, epoch, view) */
    uint8_t hash[32];
};

#define PAIRS 4u

struct node {
    uint32_t id;
    bool up, started, restored;
    uint32_t life; /* incarnation */
    enum byzantine_kind kind;
    uint8_t seed[32], key[32];
    bool has_key;
    int64_t skew_ms;
    struct poa_core *core;
    struct poa_ledger *ledger; /* the core's */
    bool lost;                 /* its log, once: it abstains for the rest of that epoch */
    struct region memory;      /* of the core */
    struct disk disk;
    uint64_t durable; /* seq */
    struct waiting *wait;
    size_t waits, wait_cap;
    uint64_t tick_at;
    uint64_t height; /* told by commits */
    uint64_t follow_at;
    bool behind;
    uint32_t epoch;                    /* for which member[] holds */
    int32_t member[POA_SIM_NODES_MAX]; /* node -> index in this core's committee */
    int32_t node_of[POA_COMMITTEE_MAX];
    uint32_t members;
    struct message *last[16]; /* BYZ_REPLAY */
    uint32_t last_n;
    struct message *pair[PAIRS][2]; /* BYZ_EQUIVOCATE: both headers of its last views */
    uint32_t pairs;
    struct vote_seen *seen; /* votes that left: hash table */
    size_t seens, seen_cap;
    uint64_t *vote_tag; /* of durable vote records: hash set */
    size_t vote_tags, vote_tag_cap;
};

enum event_kind {
    EV_DELIVER,
    EV_TICK,
    EV_FSYNC,
    EV_BATCH, /* a worker is done */
    EV_TXS,
    EV_SUBMIT, /* a follower's request arrives */
    EV_FOLLOW,
    EV_BUNDLE,
    EV_START,
    EV_CRASH,
    EV_CHAOS,
    EV_PARTITION,
    EV_CUT,
    EV_LOAD,
    EV_EVE, /* before a disaster */
    EV_DISASTER,
    EV_OPERATORS,
};

struct event {
    uint64_t at, order;
    enum event_kind kind;
    uint32_t node, life;
    uint16_t peer;
    struct message *m;
    struct sim_batch *batch;
    uint64_t value;
};

#define CUTS 3u
struct cut {
    uint64_t until;
    uint32_t from, to;     /* bits of nodes */
    uint32_t types, kinds; /* of messages; of votes */
};

/* --- what is known of all: checks
 * ------------------------------------------------------------------ */

struct pair {
    uint64_t key;
    uint8_t hash[32];
    bool used;
};
struct pairs {
    struct pair *pair;
    size_t n, cap;
};

struct sim_tx {
    uint8_t id[32];
    uint32_t node; /* that accepted it */
    uint32_t life; /* of that node then */
    uint32_t account;
    uint64_t nonce, height;
    int gone;            /* why that node let it go */
    struct sim_tx *next; /* hash chain */
    struct sim_tx *open; /* not known to be over */
    size_t n;
    uint8_t raw[];
};

struct account {
    uint8_t address[32], secret[32];
    uint64_t nonce;
    uint32_t life;   /* of its node, when the nonce was read */
    uint64_t behind; /* nonce of one that can never be executed; UINT64_MAX: none */
};

struct device {
    uint8_t seed[32], key[32], payout[32];
    uint32_t gateway;
    uint64_t ticket;         /* epoch << 32 | window of its last one */
    uint64_t busy_us;        /* until then it checks and signs */
    struct poa_seal said[4]; /* its last seals */
    uint32_t said_n;
    bool liar;
    uint64_t counted; /* its seals in final blocks */
};
/* A forged signature or proof begins with it. */
#define SIM_FORGED UINT64_C(0x6465677266666f72)

static inline uint64_t view_key(uint32_t epoch, uint64_t view)
{
    return (uint64_t)epoch << 40 | view;
}

struct poa_sim {
    struct poa_sim_config config;
    struct poa_sim_result result;
    const struct poa_suite *suite;
    uint64_t random, now, order;
    struct event *heap;
    size_t events, heap_cap;
    struct node node[POA_SIM_NODES_MAX];
    uint32_t nodes;
    uint32_t losses;    /* of logs, that may still happen */
    uint32_t lost_logs; /* so far */
    struct {
        uint8_t token[32];
        uint32_t lost_logs, epoch;        /* when the token was drawn; of the order */
        uint32_t told[POA_SIM_NODES_MAX]; /* life of the node */
        uint32_t crashes;
    } operators;
    uint64_t govern_at;
    uint8_t govern_id[32]; /* the last transaction for that */
    uint8_t *genesis;
    size_t genesis_n;
    uint8_t chain[32];
    uint64_t genesis_ms;
    bool partitioned;
    uint8_t side[POA_SIM_NODES_MAX];
    struct cut cut[CUTS];
    struct { /* of BYZ_STRIKE nodes, who are in it together */
        uint64_t at, view;
        uint32_t epoch, victim, told; /* bits of nodes that get the proposal */
        bool done;
    } strike;
    bool (*filter)(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes);
    void *filter_ctx;

    struct sim_batch **batch;
    size_t batch_buckets;
    struct sim_block **block; /* by height from 1 */
    uint64_t blocks, block_cap;
    struct pairs notarized, cleared, finalized, committed; /* by epoch and view */
    struct pairs certs, seeds, once;
    uint64_t checked;   /* heights that an honest node committed */
    uint8_t beacon[32]; /* running hash of the outputs up to there */
    uint64_t slots, last_slot;
    struct sim_tx **tx, *open_tx;
    struct account *account;
    struct device *device;
    struct pairs names; /* of blocks, in a trace */
    uint64_t named;
    uint64_t healed_height;
    bool healed, settled;
    struct pairs proposed; /* header hash -> time of its proposal (clean runs) */
    double finality_sum, period_sum;
    uint64_t finality_n, period_n, last_proposal_us;
};

/* world.c */
void event_push(struct poa_sim *s, struct event e);

/* network.c */
struct message *message_new(uint32_t from, uint16_t type, struct poa_slice bytes);
void message_free(struct message *m);
void network(struct poa_sim *s, uint32_t from, uint32_t to, struct message *m);
void network_at(struct poa_sim *s, uint32_t to, struct message *m, uint64_t at);
void network_partition(struct poa_sim *s); /* events */
void network_cuts(struct poa_sim *s);

/* node.c */
int node_step(struct poa_sim *s, struct node *n, const struct poa_event *e);
void node_event(struct poa_sim *s, struct node *n, const struct event *ev);
struct poa_now node_now(const struct poa_sim *s, const struct node *n);
uint32_t random_up(struct poa_sim *s);

/* faults.c: events */
void faults_chaos(struct poa_sim *s);
void faults_eve(struct poa_sim *s);
void faults_disaster(struct poa_sim *s);
void faults_operators(struct poa_sim *s);

/* trace.c */
void trace(struct poa_sim *s, const struct node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Blocks are called A, B, C, ... in the order in which they are first seen. */
const char *trace_name(struct poa_sim *s, const uint8_t hash[32]);
void trace_message(struct poa_sim *s, struct node *n, const char *what, uint16_t type,
                   struct poa_slice bytes);
void trace_convictions(struct poa_sim *s, const struct node *n, struct poa_slice bytes);

/* disk.c */
void disk_append(struct poa_sim *s, struct node *n, struct disk_op op);
void disk_synced(struct poa_sim *s, struct node *n, size_t ops);
void disk_crash(struct poa_sim *s, struct node *n);
void disk_free(struct disk *d);
int node_open(struct poa_sim *s, struct node *n); /* new core, blocks and log fed to it */
struct message *bundle_make(struct poa_sim *s, const struct node *n, uint64_t after);
int bundle_feed(struct poa_sim *s, struct node *n, struct poa_slice bytes);

/* state.c */
void state_save(struct poa_sim *s, struct node *n);
void state_synced(struct disk *d, const struct disk_op *op);
int state_load(const struct disk *d, struct poa_ledger *l);
void state_free(struct disk *d);

/* suite.c */
extern const struct poa_suite sim_suite_any;

/* devices.c */
void devices_make(struct poa_sim *s);
void devices_look(struct poa_sim *s, struct node *n); /* it has committed a block */

/* load.c */
int load_genesis(struct poa_sim *s);
void load_tick(struct poa_sim *s);
void load_committed(struct poa_sim *s, struct node *n, const struct poa_commit *c);
void load_gone(struct poa_sim *s, struct node *n, const struct poa_tx_gone *gone, uint32_t count);
struct sim_batch *batch_get(struct poa_sim *s, struct poa_slice bytes);
struct sim_batch *batch_by_digest(struct poa_sim *s, const uint8_t digest[32]);
void load_free(struct poa_sim *s);

/* check.c */
void violation(struct poa_sim *s, const struct node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void check_recovered(struct poa_sim *s, struct node *n, struct poa_slice bytes);
void check_cert(struct poa_sim *s, struct node *n, struct poa_slice bytes);
void check_durable(struct node *n, uint16_t type, struct poa_slice bytes);
void check_sent_vote(struct poa_sim *s, struct node *n, struct poa_slice bytes);
void check_sent_proposal(struct poa_sim *s, struct node *n, struct poa_slice bytes);
void check_sent_batch(struct poa_sim *s, struct node *n, struct poa_slice bytes);
void check_sent_ack(struct poa_sim *s, struct node *n, struct poa_slice bytes);
bool check_voted(struct node *n, uint32_t epoch, uint64_t view, const uint8_t hash[32]);
bool check_agrees(struct pairs *p, uint64_t key, const uint8_t hash[32]);
void check_memory(struct poa_sim *s, const struct node *n);
void check_first(struct poa_sim *s, const struct node *n); /* its core is at genesis */
struct sim_block *check_commit(struct poa_sim *s, struct node *n, const struct poa_commit *c);
void check_seal(struct poa_sim *s, struct node *n, const struct poa_seal *x);
void check_devices(struct poa_sim *s, struct node *n);
void check_evidence(struct poa_sim *s, struct node *n, struct poa_slice bytes);
struct pair *pair_at(struct pairs *p, uint64_t key);
void check_finish(struct poa_sim *s);
bool check_settled(const struct poa_sim *s);

/* byzantine.c: what a Byzantine node makes of a message that it would send. */
void byzantine_send(struct poa_sim *s, struct node *n, uint32_t to, struct message *m);
/* Node VICTIM came up again: liars offer it what it may have forgotten. */
void byzantine_restarted(struct poa_sim *s, uint32_t victim);
/* Honest N voted to notarize in VIEW (view_key). */
void byzantine_voted(struct poa_sim *s, const struct node *n, uint64_t view);

#endif
