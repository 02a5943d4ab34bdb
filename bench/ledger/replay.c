#include <stdlib.h>
#include <string.h>

#include "bench_ledger.h"
#include "poa_node_memo.h"
#include "poa_store.h"

struct run {
    struct poa_core *core;
    uint64_t txs;
};

static struct poa_now now(void)
{
    return (struct poa_now){.us = (uint64_t)(bench_now() * 1e6), .wall_ms = 2000000000000};
}

static int step(void *ctx, const struct poa_event *e)
{
    struct run *r = ctx;
    struct poa_effects effects = {.n = 0};
    int rc = poa_core_reserve(r->core);
    if (rc)
        return rc;
    rc = poa_core_step(r->core, e, now(), &effects);
    for (size_t i = 0; i < effects.n; i++) {
        if (effects.effect[i].kind == POA_EFFECT_COMMIT)
            r->txs += effects.effect[i].commit->txs;
        if (effects.effect[i].kind == POA_EFFECT_HALT)
            bench_must(effects.effect[i].code, effects.effect[i].text);
    }
    return rc;
}

static int put_state(void *ctx, const uint8_t key[32], struct poa_slice value)
{
    struct poa_entry e = {.value = value};
    memcpy(e.key, key, 32);
    return poa_ledger_restore_put(ctx, &e);
}

void replay_run(const struct world *w, struct poa_store *s, bool verify, unsigned workers,
                struct replayed *out)
{
    struct node_pages m = {0};
    struct run r = {.txs = 0};
    struct node_workers *pool = NULL;
    struct poa_stored_checkpoint at;
    uint64_t first = 0, last = 0;
    double begin = bench_now();
    /* As node_restore_ledger. */
    struct poa_ledger *l = world_ledger(w, &m);
    bench_must(poa_store_get_checkpoint(s, &at), "checkpoint");
    bench_must(poa_ledger_restore_begin(l), "state");
    bench_must(poa_store_each_state(s, put_state, l), "state");
    bench_must(poa_ledger_restore_end(l, at.root), "state");
    out->start = bench_now() - begin;
    /* A follower's core: it votes on nothing. */
    struct poa_core_config c = {
        .suite = &poa_suite_ed25519, .alloc = node_pages_alloc(&m), .ledger = l};
    bench_must(poa_core_new(&c, now(), &r.core), "core");
    node_memo_open(&poa_suite_ed25519);
    bench_must(node_workers_new(w->chain, workers, 1024, &pool), "workers");
    world_helpers.workers = pool;
    bench_must(poa_store_heights(s, &first, &last), "heights");
    struct node_replay_config config = {
        .store = s, .workers = pool, .verify = verify, .ctx = &r, .step = step};
    out->height = at.height;
    begin = bench_now();
    bench_must(node_replay(&config, &out->height, last), "replay");
    out->replay = bench_now() - begin;
    out->txs = r.txs;
    poa_ledger_root(l, POA_STATE_BASE, out->root);
    world_helpers.workers = NULL;
    node_workers_stop(pool);
    node_workers_free(pool);
    poa_core_free(r.core);
}
