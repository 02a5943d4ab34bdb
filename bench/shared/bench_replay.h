/* The driver of a core that only replays blocks, for benchmarks that link consensus. */
#ifndef BENCH_REPLAY_H
#define BENCH_REPLAY_H

#include "bench.h"
#include "poa_consensus.h"

struct bench_replay {
    struct poa_core *core;
    uint64_t txs; /* committed */
};

static inline struct poa_now bench_replay_now(void)
{
    return (struct poa_now){.us = (uint64_t)(bench_now() * 1e6), .wall_ms = 2000000000000};
}

/* step of node_replay_config; CTX is a struct bench_replay. */
static inline int bench_replay_step(void *ctx, const struct poa_event *e)
{
    struct bench_replay *r = ctx;
    struct poa_effects effects = {.n = 0};
    int rc = poa_core_reserve(r->core);
    if (rc)
        return rc;
    rc = poa_core_step(r->core, e, bench_replay_now(), &effects);
    for (size_t i = 0; i < effects.n; i++) {
        if (effects.effect[i].kind == POA_EFFECT_COMMIT)
            r->txs += effects.effect[i].commit->txs;
        if (effects.effect[i].kind == POA_EFFECT_HALT)
            bench_must(effects.effect[i].code, effects.effect[i].text);
    }
    return rc;
}

#endif
