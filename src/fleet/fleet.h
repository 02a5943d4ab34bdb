/* Between the files of src/fleet. All on the fleet's thread. */
#ifndef POA_FLEET_FLEET_H
#define POA_FLEET_FLEET_H

#include <pthread.h>
#include <stdatomic.h>

#include "poa_clock.h"
#include "poa_fleet.h"

#define FLEET_TX_BYTES 16384
#define FLEET_RECV     65536
/* Handshakes that a trunk has open at a time. */
#define FLEET_OPENING_MAX 100
#define FLEET_DIAL_MS     10000

/* A byte stream: of a unit, or of a trunk. */
struct wire {
    int fd; /* -1: none */
    bool dialing;
    bool writing; /* epoll watches for room */
    uint64_t dialed_ms;
    uint8_t *in, *out; /* part of a frame; what the socket did not take */
    size_t in_n, out_n, out_cap;
};

struct unit {
    struct poa_device d;
    struct agent_link link;
    uint8_t key[32], seed[32];
    struct wire wire;              /* without trunks */
    bool up, ready, opening, came; /* CAME: was connected once */
    uint64_t dial_ms;
    size_t gateway; /* READY: connected to it */
    bool bye;       /* it was told to leave */
    uint32_t bye_ms;
    int error; /* of the last input */
    uint8_t mark[POA_EDGE_MARK_BYTES];
    size_t mark_n;
    uint64_t slot, height; /* last sealed */
    uint64_t sealed;
    uint32_t vrf; /* of the library's count, those that were added up */

    /* One pack at a time: kept until its receipt. */
    uint8_t *pack;
    size_t pack_n;
    uint8_t pack_id[32];
    uint64_t pack_seq, pack_due_ms, pack_retry_ms;
    bool pack_sent;
};

struct trunk {
    struct wire wire;
    struct agent_link link;
    uint64_t dial_ms;
    bool up;
    uint32_t first, count; /* units */
    uint32_t opening;
};

struct poa_fleet {
    struct poa_fleet_config config;
    struct agent_gateway gateway[AGENT_GATEWAYS_MAX];
    const struct poa_clock *clock;
    struct unit *unit;
    uint64_t *due_ms; /* of each unit: when to look at it again */
    struct trunk *trunk;
    uint32_t trunks;
    int epoll_fd;
    pthread_t thread;
    bool running;
    atomic_bool stop, quiet;

    uint8_t rx[POA_EDGE_DOWN_MAX], tx[FLEET_TX_BYTES], recv[FLEET_RECV];

    pthread_mutex_t shown_mutex; /* what the loop did by the end of its last turn */
    struct poa_fleet_stats shown;
    uint32_t shown_at[AGENT_GATEWAYS_MAX];

    pthread_mutex_t mutex; /* what follows */
    struct poa_fleet_stats stat;
    uint32_t at[AGENT_GATEWAYS_MAX]; /* devices that are connected, by gateway */
    uint64_t start_ms;
    uint32_t reached;
    uint64_t *reach_ms; /* reach_ms[k]: when the k-th device was connected */
    uint8_t (*root)[32];
    size_t roots;
};

static inline uint64_t fleet_now_ms(const struct poa_fleet *f)
{
    return poa_clock_monotonic_ms(f->clock);
}
static inline uint32_t unit_index(const struct poa_fleet *f, const struct unit *u)
{
    return (uint32_t)(u - f->unit);
}
static inline struct trunk *unit_trunk(struct poa_fleet *f, const struct unit *u)
{
    return f->trunks ? &f->trunk[unit_index(f, u) / f->config.per_trunk] : NULL;
}

/* wire.c: ID is what epoll says. False: the stream is dead. */
void wire_init(struct wire *w);
/* Starts to connect from an address that depends on ID. */
bool wire_dial(struct poa_fleet *f, struct wire *w, uint32_t id, const struct agent_gateway *g);
/* The connection stands, or not. */
bool wire_dialed(struct poa_fleet *f, struct wire *w, uint32_t id);
bool wire_send(struct poa_fleet *f, struct wire *w, uint32_t id, const uint8_t *bytes, size_t n);
bool wire_flush(struct poa_fleet *f, struct wire *w, uint32_t id);
void wire_close(struct poa_fleet *f, struct wire *w);
/* Reads once and gives each whole frame body to FRAME, which says whether to go on. */
typedef bool (*wire_frame)(struct poa_fleet *f, void *ctx, uint8_t *frame, size_t n);
bool wire_read(struct poa_fleet *f, struct wire *w, wire_frame frame, void *ctx);

/* unit.c */
int unit_init(struct poa_fleet *f, struct unit *u, struct poa_why *why);
/* Its time has come, or its socket is ready. */
void unit_cut(struct poa_fleet *f, struct unit *u);
void unit_turn(struct poa_fleet *f, struct unit *u);
void unit_ready(struct poa_fleet *f, struct unit *u, bool in, bool out);
void trunk_cut(struct poa_fleet *f, struct trunk *t);
void trunk_turn(struct poa_fleet *f, struct trunk *t);
void trunk_ready(struct poa_fleet *f, struct trunk *t, bool in, bool out);

#endif
