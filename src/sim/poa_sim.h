/* sim: a deterministic network of the product's own cores and ledgers.
 *
 * N nodes, each a poa_core on a poa_ledger, under a virtual clock, a simulated
 * network and simulated disks, all drawn from one seed: the same seed gives the
 * same run, so a failure can be replayed and read. Signatures go through a
 * keyed hash behind poa_suite (real cryptography on demand), which makes a run
 * a hundred times faster and changes nothing in the protocol.
 *
 * Faults: loss, duplication, reordering, delay spikes, partitions that heal,
 * crashes that lose what was not synced, skewed clocks, and Byzantine nodes
 * (see byzantine.c). After GST_US the network heals; from then on everybody
 * must make progress.
 *
 * Checked all the time: see check.c. Hosted code; one simulation per thread.
 */
#ifndef POA_SIM_H
#define POA_SIM_H

#include <stdio.h>

#include "poa_consensus.h"

#define POA_SIM_NODES_MAX 32

/* Mutants of the driver; those of the core are POA_MUTANTS. */
#define POA_SIM_MUTANTS(X)                                                                         \
    X(SEND_EARLY, "send-before-persist", "messages leave before their record is durable")          \
    X(LOSE_LOG, "lose-log", "a restarted node finds its log empty and does not notice")            \
    X(NO_ORDER, "no-order", "too many logs are lost and no operator does anything")                \
    X(OTHER_ROOT, "other-root", "one node says another state root than it has")                    \
    X(COMMIT_TWICE, "commit-twice", "height 5 is committed a second time")                         \
    X(LIST_TWICE, "list-twice", "tickets and seals of a block are counted again")                  \
    X(HONEST_LIES, "honest-lies", "a device that counts as honest seals another block")            \
    X(FOREIGN_PAYOUT, "foreign-payout", "what a device earns goes to another account")             \
    X(ANY_SEAL, "any-seal", "forged signatures of seals are taken for good")                       \
    X(PAY_TWICE, "pay-twice", "twice as much is issued as the state says")                         \
    X(LEAK, "leak", "every block takes 4 MB that are never used again")

enum poa_sim_mutant {
    POA_SIM_MUTANT_NONE,
#define POA_SIM_MUTANT_ROW(name, text, what) POA_SIM_MUTANT_##name,
    POA_SIM_MUTANTS(POA_SIM_MUTANT_ROW)
#undef POA_SIM_MUTANT_ROW
};

/* What is wrong with devices, or with their gateways. */
#define POA_SIM_DEVICE_FAULTS(X)                                                                   \
    X(MIXED, "mixed", "one in eight lies, the others miss a seal now and then")                    \
    X(GOOD, "good", "nothing")                                                                     \
    X(OFFLINE, "offline", "all are away")                                                          \
    X(LYING, "lying", "every seal is of another block")                                            \
    X(REPLAYING, "replaying", "half of them say their old seals, and others', again")              \
    X(FORGING, "forging", "half of them forge signatures, proofs, names, slots and windows")       \
    X(DROPPED, "dropped", "gateways drop everything")                                              \
    X(DOUBLED, "doubled", "gateways duplicate everything")

enum poa_sim_devices {
#define POA_SIM_DEVICE_FAULT_ROW(name, text, what) POA_SIM_DEVICES_##name,
    POA_SIM_DEVICE_FAULTS(POA_SIM_DEVICE_FAULT_ROW)
#undef POA_SIM_DEVICE_FAULT_ROW
        POA_SIM_DEVICES_FAULTS
};

struct poa_sim_config {
    uint64_t seed;
    uint32_t nodes;     /* witnesses in the pool */
    uint32_t joiners;   /* of these, nodes 1 .. are admitted only in the course of things */
    uint32_t leavers;   /* nodes after the joiners that have to go */
    uint32_t followers; /* nodes without a key */
    uint32_t byzantine; /* of the witnesses: the last ones */
    uint32_t devices, accounts;
    uint8_t device_fault;        /* enum poa_sim_devices */
    uint32_t device_ms, link_ms; /* a device works on one task for so long; each way to it */
    uint32_t window_slots, seal_slots, seats_per_slot;

    uint32_t delay_min_us, delay_max_us; /* one way */
    uint32_t fsync_min_us, fsync_max_us;
    uint32_t check_us;                               /* a worker's time for a batch */
    uint32_t loss_ppm, dup_ppm, spike_ppm, spike_us; /* before GST */
    uint32_t loss_after_ppm;
    uint32_t crash_ppm;     /* per node and 50 ms, before GST */
    uint32_t partition_ppm; /* chance that a period of 200 ms is partitioned, before GST */
    uint32_t cut_ppm;       /* chance, every 20 ms before GST, that one of three cuts begins: a
                               link, a node's ears, or a kind of message between some nodes */
    uint32_t save_ppm;      /* chance at each block that a node saves its state */
    uint32_t losses;        /* of a whole log in a crash before GST */
    uint32_t disaster;      /* so many lose their logs at once before GST; operators notice */
    uint32_t skew_ms;       /* clocks differ by up to this */
    uint64_t gst_us, end_us;
    uint64_t load_us; /* after GST: transfers stop, what is under way has to arrive */
    bool settle;      /* ends as soon as everybody has caught up and went on; END_US is the limit */
    uint32_t txs_per_s;

    uint32_t block_min_ms, heartbeat_ms, timeout_ms, timeout_max_ms, drift_ms, slot_ms;
    uint64_t epoch_views;
    uint16_t committee_size;
    uint8_t policy;
    struct poa_core_limits limits;

    bool real_crypto;
    uint8_t mutant;     /* enum poa_mutant, of all honest cores */
    uint8_t sim_mutant; /* enum poa_sim_mutant */
    FILE *trace;        /* readable log, or NULL */
};

/* Quiet defaults: four nodes, no faults. */
void poa_sim_config_default(struct poa_sim_config *c);
/* Everything drawn from SEED; NODES 0: that too. */
void poa_sim_config_random(struct poa_sim_config *c, uint64_t seed, uint32_t nodes);
/* One message delay apart and nothing else: what docs/consensus.md counts. */
void poa_sim_config_clean(struct poa_sim_config *c, uint32_t nodes);

struct poa_sim_result {
    uint32_t violations, stuck, false_accusations;
    uint64_t height; /* highest final */
    uint64_t epochs, nullified;
    uint64_t txs_accepted, txs_final, txs_lost;
    uint64_t seals, restarts, messages, evidence;
    double finality_delays, period_delays; /* mean, in units of delay_min_us */
    char first[200];                       /* the first thing that went wrong */
};

struct poa_sim;
struct poa_sim *poa_sim_new(const struct poa_sim_config *config);
void poa_sim_free(struct poa_sim *s);
void poa_sim_run(struct poa_sim *s, uint64_t until_us);
/* Liveness and final checks; call after the last run. */
void poa_sim_finish(struct poa_sim *s);
const struct poa_sim_result *poa_sim_result(const struct poa_sim *s);

/* --- many seeds ------------------------------------------------------------------ */

#define POA_SIM_JOBS_MAX 64

/* One whole run of C. */
void poa_sim_whole(const struct poa_sim_config *c, struct poa_sim_result *out);

typedef void (*poa_sim_configure)(void *ctx, uint64_t seed, struct poa_sim_config *out);
typedef void (*poa_sim_done)(void *ctx, uint64_t seed, const struct poa_sim_result *result);
/* Runs seeds FROM..TO in JOBS processes. CONFIGURE is called in those, DONE in
 * this one, in the order of the seeds. A process that dies is a violation of
 * the seed that it ran. */
POA_MUST_USE int poa_sim_seeds(uint64_t from, uint64_t to, uint32_t jobs,
                               poa_sim_configure configure, poa_sim_done done, void *ctx);

/* --- for scenarios ------------------------------------------------------------ */

uint64_t poa_sim_now_us(const struct poa_sim *s);
struct poa_core *poa_sim_core(struct poa_sim *s, uint32_t node); /* NULL: down */
/* For who steps a core himself and does not carry out its effects: NODE's disk has this. */
void poa_sim_durable(struct poa_sim *s, uint32_t node, uint16_t type, struct poa_slice bytes);
uint64_t poa_sim_height(const struct poa_sim *s, uint32_t node); /* of its store */
/* Header hash that NODE has stored at HEIGHT; NULL when it has none. */
const uint8_t *poa_sim_hash(const struct poa_sim *s, uint32_t node, uint64_t height);
void poa_sim_kill(struct poa_sim *s, uint32_t node); /* loses what was not synced */
void poa_sim_start(struct poa_sim *s, uint32_t node);
void poa_sim_wipe_log(struct poa_sim *s, uint32_t node); /* of a node that is down */
/* The order of NODE's operator, for the epoch that it is in; the core's answer. */
int poa_sim_recover(struct poa_sim *s, uint32_t node, const uint8_t token32[32]);
/* Every message passes FILTER: false drops it. */
void poa_sim_filter(struct poa_sim *s,
                    bool (*filter)(void *ctx, uint32_t from, uint32_t to, uint16_t type,
                                   struct poa_slice bytes),
                    void *ctx);
/* Sends BYTES from node FROM to node TO as if the network had carried it. */
void poa_sim_inject(struct poa_sim *s, uint32_t from, uint32_t to, uint16_t type,
                    struct poa_slice bytes);
/* A transfer of account FROM to account TO (indices), handed to NODE; returns
 * the code and the id. */
int poa_sim_transfer(struct poa_sim *s, uint32_t node, uint32_t from, uint32_t to, uint64_t amount,
                     uint8_t id32[32]);
/* Height at which the transaction became final, 0 = not yet. */
uint64_t poa_sim_final(const struct poa_sim *s, const uint8_t id32[32]);
/* Why the node that it was handed to let it go; POA_OK: it did not, or it is final. */
int poa_sim_gone(const struct poa_sim *s, const uint8_t id32[32]);
const uint8_t *poa_sim_account(const struct poa_sim *s, uint32_t index);
/* Node key and seed of a witness. */
const uint8_t *poa_sim_key(const struct poa_sim *s, uint32_t node);
const uint8_t *poa_sim_seed(const struct poa_sim *s, uint32_t node);
const struct poa_suite *poa_sim_suite(const struct poa_sim *s);

/* Keyed hashes in the place of signatures and proofs. */
extern const struct poa_suite poa_suite_sim;

#endif
