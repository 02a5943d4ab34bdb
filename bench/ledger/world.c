#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_ledger.h"
#include "poa_crypto.h"
#include "poa_node_parallel.h"
#include "poa_store.h"

#define BALANCE UINT64_C(1000000000)

void world_secret(uint32_t i, uint8_t sk32[32])
{
    poa_put_le32(sk32, i);
    poa_hash(POA_DOMAIN_SIM, sk32, 4, sk32);
}

/* Signers are derived in shares of so many. */
#define SHARE 1000u

static void derive(void *arg, uint32_t share)
{
    struct world *w = arg;
    for (uint32_t i = share * SHARE; i < w->signers && i < (share + 1) * SHARE; i++) {
        uint8_t sk[32], pk[32];
        world_secret(i, sk);
        bench_must(poa_bip340_public(sk, pk), "key");
        poa_address_of_key(POA_KEY_BIP340, pk, w->address[i]);
    }
}

void world_make(struct world *w, uint32_t signers)
{
    static uint8_t list[2048];
    struct poa_writer lw = poa_writer_over(list, sizeof list);
    memset(w, 0, sizeof *w);
    w->genesis = (struct poa_genesis){.version = 1,
                                      .name = poa_slice("bench", 5),
                                      .devnet = 1,
                                      .time_ms = 1000000,
                                      .slot_ms = 1000,
                                      .block_min_ms = 1,
                                      .heartbeat_ms = 500,
                                      .timeout_ms = 500,
                                      .timeout_max_ms = 5000,
                                      .drift_ms = 500,
                                      .epoch_views = 1000000000,
                                      .window_slots = 16,
                                      .seats_per_slot = 3,
                                      .seal_slots = 8,
                                      .policy = POA_POLICY_VRF,
                                      .fee_min = 5,
                                      .fee_per_kib = 1};
    memset(w->genesis.steering, 1, 32);
    memset(w->genesis.treasury, 2, 32);
    for (uint32_t i = 0; i < WITNESSES; i++) {
        struct poa_op_witness x = {.maker = i, .name = poa_slice("witness", 7)};
        memset(w->witness[i].seed, (int)i + 1, 32);
        poa_ed25519_public(w->witness[i].seed, w->witness[i].key);
        memcpy(x.key, w->witness[i].key, 32);
        bench_must(poa_op_witness_encode(&lw, &x), "genesis");
    }
    w->genesis.witnesses = (struct poa_list){poa_written(&lw), WITNESSES};
    struct poa_writer out = poa_writer_over(w->bytes, sizeof w->bytes);
    bench_must(poa_genesis_encode(&out, &w->genesis), "genesis");
    w->encoded = poa_written(&out);
    const char *why = NULL;
    if (poa_genesis_check(&w->genesis, &why)) {
        fprintf(stderr, "bench: genesis: %s\n", why);
        exit(1);
    }
    poa_genesis_chain_id(w->encoded, w->chain);

    w->signers = signers;
    w->address = malloc(signers * sizeof *w->address + 1);
    bench_must(w->address ? POA_OK : POA_E_NO_MEMORY, "signers");
    node_parallel(NULL, derive, w, (signers + SHARE - 1) / SHARE);
}

void world_free(struct world *w)
{
    free(w->address);
}

void world_address(const struct world *w, uint64_t i, uint8_t out32[32])
{
    if (i < w->signers) {
        memcpy(out32, w->address[i], 32);
    } else {
        poa_put_le64(out32, i);
        poa_hash(POA_DOMAIN_SIM, out32, 8, out32);
    }
}

/* --- ledgers -------------------------------------------------------------------------- */

struct helpers world_helpers;

/* As the node's (restore.c). */
static void parallel(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n)
{
    (void)ctx;
    if (world_helpers.nobody)
        for (uint32_t i = 0; i < n; i++)
            task(arg, i);
    else if (world_helpers.workers)
        node_workers_parallel(world_helpers.workers, task, arg, n);
    else
        node_parallel(NULL, task, arg, n);
}

struct poa_ledger *world_ledger(const struct world *w, struct node_pages *m)
{
    struct poa_ledger *l = NULL;
    struct poa_ledger_config c = {.suite = &poa_suite_ed25519,
                                  .alloc = node_pages_alloc(m),
                                  .genesis = w->encoded,
                                  .parallel = parallel};
    poa_random(&c.salt, sizeof c.salt);
    bench_must(poa_ledger_new(&c, &l), "ledger");
    return l;
}

struct row {
    uint8_t key[32];
    uint8_t address[32];           /* of an account */
    const struct poa_slice *value; /* of an entry of genesis */
};

struct genesis_rows {
    struct row row[64];
    struct poa_slice value[64];
    uint32_t n;
    uint8_t bytes[32768];
    size_t used;
    uint64_t supply;
};

/* A copy of an entry of genesis; the supply becomes that of the accounts. */
static int take_entry(void *ctx, const struct poa_entry *e)
{
    struct genesis_rows *g = ctx;
    struct row *r = &g->row[g->n++];
    POA_ASSERT(g->n <= 64 && g->used + e->value.n <= sizeof g->bytes);
    uint8_t *p = g->bytes + g->used;
    memcpy(p, e->value.p, e->value.n);
    memcpy(r->key, e->key, 32);
    g->value[g->n - 1] = poa_slice(p, e->value.n);
    r->value = &g->value[g->n - 1];
    g->used += e->value.n;
    if (p[0] == POA_STATE_GLOBAL) {
        struct poa_st_global st;
        struct poa_writer w = poa_writer_over(p + 2, e->value.n - 2);
        int rc = poa_st_global_decode(poa_slice(p + 2, e->value.n - 2), &st);
        st.genesis_supply = g->supply;
        return rc ? rc : poa_st_global_encode(&w, &st);
    }
    return POA_OK;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct row *)a)->key, ((const struct row *)b)->key, 32);
}

/* Rows in groups by the first two bytes of their keys. */
#define GROUPS 65536u
struct sorting {
    const struct world *world;
    struct row *row, *to;
    uint64_t accounts, n;
    uint64_t end[GROUPS];
};

#define ROW_SHARE 16384u

static void make_rows(void *arg, uint32_t share)
{
    struct sorting *s = arg;
    uint64_t first = (uint64_t)share * ROW_SHARE;
    for (uint64_t i = first; i < s->accounts && i < first + ROW_SHARE; i++) {
        uint8_t table = POA_STATE_ACCOUNT;
        struct row *r = &s->row[i];
        world_address(s->world, i, r->address);
        poa_hash2(POA_DOMAIN_STATE_KEY, &table, 1, r->address, 32, r->key);
        r->value = NULL;
    }
}

static void sort_groups(void *arg, uint32_t share)
{
    struct sorting *s = arg;
    for (uint32_t k = share * 256; k < (share + 1) * 256; k++) {
        uint64_t first = k ? s->end[k - 1] : 0;
        qsort(s->to + first, s->end[k] - first, sizeof *s->to, by_key);
    }
}

static uint32_t group_of(const struct row *r)
{
    return (uint32_t)r->key[0] << 8 | r->key[1];
}

/* All rows in the order of their keys. */
static struct row *sorted_rows(const struct world *w, uint64_t accounts,
                               const struct genesis_rows *g, uint64_t *n)
{
    static struct sorting s;
    s = (struct sorting){.world = w, .accounts = accounts, .n = accounts + g->n};
    s.row = malloc(s.n * sizeof *s.row);
    s.to = malloc(s.n * sizeof *s.to);
    bench_must(s.row && s.to ? POA_OK : POA_E_NO_MEMORY, "state");
    node_parallel(NULL, make_rows, &s, (uint32_t)((accounts + ROW_SHARE - 1) / ROW_SHARE));
    memcpy(s.row + accounts, g->row, g->n * sizeof *s.row);
    for (uint64_t i = 0; i < s.n; i++)
        s.end[group_of(&s.row[i])]++;
    for (uint64_t k = 0, sum = 0; k < GROUPS; k++) {
        uint64_t count = s.end[k];
        s.end[k] = sum;
        sum += count;
    }
    for (uint64_t i = 0; i < s.n; i++)
        s.to[s.end[group_of(&s.row[i])]++] = s.row[i];
    free(s.row);
    node_parallel(NULL, sort_groups, &s, GROUPS / 256);
    *n = s.n;
    return s.to;
}

#define GROUP_BYTES ((size_t)4 << 20)

struct poa_ledger *world_state(const struct world *w, uint64_t accounts, struct node_pages *m,
                               struct poa_store *store)
{
    struct poa_store_batch *group = NULL;
    if (store)
        bench_must(poa_store_batch_new(store, &group), "store");
    static struct genesis_rows g;
    struct poa_ledger *l = world_ledger(w, m);
    memset(&g, 0, sizeof g);
    g.supply = accounts * BALANCE;
    bench_must(poa_ledger_changes(l, take_entry, &g), "genesis");
    uint64_t n;
    struct row *row = sorted_rows(w, accounts, &g, &n);
    uint8_t value[2 + 32 + 16] = {POA_STATE_ACCOUNT, 32};
    struct poa_st_account a = {.balance = BALANCE};
    struct poa_writer vw = poa_writer_over(value + 34, 16);
    bench_must(poa_st_account_encode(&vw, &a), "state");
    bench_must(poa_ledger_restore_begin(l), "state");
    for (uint64_t i = 0; i < n; i++) {
        struct poa_entry e = {.value = poa_slice(value, sizeof value)};
        memcpy(e.key, row[i].key, 32);
        memcpy(value + 2, row[i].address, 32);
        if (row[i].value)
            e.value = *row[i].value;
        bench_must(poa_ledger_restore_put(l, &e), "state");
        if (group)
            poa_store_put_state(group, e.key, e.value);
        if (group && poa_store_batch_bytes(group) > GROUP_BYTES)
            bench_must(poa_store_write(group, false), "store");
    }
    free(row);
    bench_must(poa_ledger_restore_end(l, NULL), "state");
    if (group) {
        struct poa_stored_checkpoint at = {.height = 0};
        poa_ledger_root(l, POA_STATE_BASE, at.root);
        bench_must(poa_store_put_checkpoint(group, &at), "store");
        bench_must(poa_store_write(group, true), "store");
        poa_store_batch_free(group);
    }
    return l;
}
