#include <stdlib.h>
#include <string.h>

#include "bench_ledger.h"
#include "bench_replay.h"
#include "poa_node_memo.h"
#include "poa_store.h"

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
    struct bench_replay r = {.txs = 0};
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
    bench_must(poa_core_new(&c, bench_replay_now(), &r.core), "core");
    node_memo_open(&poa_suite_ed25519);
    bench_must(node_workers_new(w->chain, workers, 1024, &pool), "workers");
    world_helpers.workers = pool;
    bench_must(poa_store_heights(s, &first, &last), "heights");
    struct node_replay_config config = {
        .store = s, .workers = pool, .verify = verify, .ctx = &r, .step = bench_replay_step};
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
