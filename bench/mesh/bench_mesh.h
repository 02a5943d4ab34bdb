/* Inside of bench-mesh.
 *
 *   net    a devnet of real poad processes on the loopback, and what they say
 *   load   transfers signed beforehand, offered over the mesh or over RPC
 *   floor  what no implementation can go below on this machine: disk, loopback,
 *          signatures */
#ifndef BENCH_MESH_H
#define BENCH_MESH_H

#include <sys/types.h>

#include "bench.h"
#include "poa_consensus.h"
#include "poa_rpc_client.h"

#define NODES_MAX 7
#define ACCOUNTS  1024 /* that a devnet funds */
#define SLOW      128  /* the last of them: for load at a low, steady rate */

/* --- net.c --------------------------------------------------------------------------- */

struct node {
    char name[32], url[64], mesh[64];
    uint8_t key[32];
    pid_t pid;
    bool dead;
    struct poa_rpc_client *client;
};
struct net {
    char dir[300];
    pid_t devnet;
    unsigned n;
    struct node node[NODES_MAX];
    uint8_t chain[32], seed[32];
    uint8_t submitter[32]; /* seed of a node on the list of every server */
};
/* N ledger servers, ready; their files below DIR. BIN: where poa and poad are. */
void net_start(struct net *net, const char *bin, const char *dir, unsigned n);
void net_stop(struct net *net);
/* Kills server I, for good. */
void net_kill(struct net *net, unsigned i);
void net_secret(const struct net *net, uint32_t account, uint8_t sk32[32]);
void net_address(const struct net *net, uint32_t account, uint8_t address32[32]);

struct said {
    uint64_t txs;           /* executed, of the first server alive */
    uint64_t sent_bytes;    /* by all, on the wire */
    uint64_t rss_max;       /* of the largest */
    double cpu;             /* seconds, of all */
    double fsyncs, fsync_s; /* of all: how many, and the time in them */
    double at;              /* bench_now */
};
void net_ask(struct net *net, struct said *out);
/* Transactions accepted by any server: acceptance to finality, since the start. */
void net_latency(struct net *net, struct poa_histogram *out);

uint64_t net_txs(struct node *n); /* executed, 0 also when it does not answer */
uint64_t net_rss(pid_t pid);      /* bytes */
double net_cpu(pid_t pid);        /* seconds */

/* --- fresh.c ------------------------------------------------------------------------- */

/* A node of our own that follows the servers. */
struct fresh {
    char dir[320];
    struct node node;
};
/* MORE: lines for its configuration. */
void fresh_start(struct fresh *f, const struct net *net, const char *bin, const char *name,
                 const char *more);
void fresh_stop(struct fresh *f);

struct caught {
    char dir[340];            /* its database, stopped */
    uint64_t txs, others_txs; /* that it executed; that the servers committed meanwhile */
    bool all;
    double seconds, per_s, cpu_us;
    uint64_t rss_max;
};
/* A fresh ledger node until it has what the servers had when it began. */
void catch_up(struct net *net, const char *bin, double seconds_max, struct caught *out);
/* Transactions per second of a replay of the database in DIR from genesis on. */
double replay_of(const struct net *net, const char *dir, unsigned cores, bool verify);

/* --- load.c -------------------------------------------------------------------------- */

struct load {
    uint32_t accounts, each; /* transfers of each account */
    uint32_t first;          /* account */
    uint8_t *bytes;
    struct poa_slice *piece; /* raw_tx record of transfer K of account A: A * EACH + K */
    size_t tx_bytes;         /* mean size of a transfer */
    double sign_s;           /* it took */
};
void load_sign(struct load *l, const struct net *net, uint32_t first, uint32_t accounts,
               uint32_t each, uint32_t nonce, unsigned threads);
void load_free(struct load *l);

/* Offers L over the mesh as a gateway does, REQUEST transfers at a time to each
 * server, while less than WINDOW are not final; 0 < PER_S: at this rate. */
struct offer;
struct offer *offer_start(struct net *net, struct load *l, uint32_t window, double per_s);
/* Tells how many are final: the window goes on from there. */
void offer_final(struct offer *o, uint64_t txs);
struct offered {
    uint64_t accepted, refused;
    int first_refusal;
    bool all;
};
void offer_stats(struct offer *o, struct offered *out);
void offer_stop(struct offer *o);

/* The same over RPC, one call per transfer. */
struct trickle;
struct trickle *trickle_start(struct net *net, const struct load *l, double per_s);
void trickle_stop(struct trickle *t, uint64_t *accepted);

/* --- floor.c -------------------------------------------------------------------------- */

struct floor {
    unsigned servers, cores;
    double fsync_us, hop_us; /* what the servers needed in the same seconds; half a round trip */
    double probe_us;         /* fsync of a file of ours, one after the other: median */
    double sign_us, verify_us, vrf_us, account_us; /* CPU: medians of the same seconds */
    double known_us;      /* of a transfer's signature when the sender's key is remembered */
    double signatures_us; /* of the critical path, of all servers, spread over the cores */
    double total_us;      /* 3 * (fsync + hop) + signatures */
};
/* Disk and loopback; what signatures cost comes from a sampler. */
struct floor floor_measure(const char *dir, unsigned servers, unsigned cores);
struct sampler *floor_sample(void);
/* Ends S. FSYNC_US: the mean of the servers; 0: they had none. */
void floor_sampled(struct floor *f, struct sampler *s, double fsync_us);

#endif
