#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_ledger.h"
#include "poa_crypto.h"
#include "poa_store.h"

#define BALANCE UINT64_C(1000000000)

void world_secret(uint32_t i, uint8_t sk32[32])
{
    poa_put_le32(sk32, i);
    poa_hash(POA_DOMAIN_SIM, sk32, 4, sk32);
}

/* A part of the signers, for one core. */
struct share {
    pthread_t thread;
    uint32_t from, to;
    uint8_t (*address)[32];
};

static void *derive(void *arg)
{
    struct share *s = arg;
    for (uint32_t i = s->from; i < s->to; i++) {
        uint8_t sk[32], pk[32];
        world_secret(i, sk);
        bench_must(poa_bip340_public(sk, pk), "key");
        poa_address_of_key(POA_KEY_BIP340, pk, s->address[i]);
    }
    return NULL;
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

    struct share s[BENCH_CORES_MAX];
    unsigned n = bench_cores();
    w->signers = signers;
    w->address = malloc(signers * sizeof *w->address + 1);
    bench_must(w->address ? POA_OK : POA_E_NO_MEMORY, "signers");
    for (unsigned i = 0; i < n; i++) {
        s[i] = (struct share){.from = (uint32_t)((uint64_t)signers * i / n),
                              .to = (uint32_t)((uint64_t)signers * (i + 1) / n),
                              .address = w->address};
        bench_must(pthread_create(&s[i].thread, NULL, derive, &s[i]) ? POA_E_NO_MEMORY : POA_OK,
                   "thread");
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(s[i].thread, NULL);
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

static void *count_alloc(void *ctx, size_t n)
{
    struct memory *m = ctx;
    void *p = calloc(1, n);
    m->bytes += p ? malloc_usable_size(p) : 0;
    return p;
}

static void count_free(void *ctx, void *p)
{
    struct memory *m = ctx;
    m->bytes -= malloc_usable_size(p);
    free(p);
}

struct poa_alloc memory_alloc(struct memory *m)
{
    return (struct poa_alloc){count_alloc, count_free, m};
}

struct poa_ledger *world_ledger(const struct world *w, struct memory *m)
{
    struct poa_ledger *l = NULL;
    struct poa_ledger_config c = {
        .suite = &poa_suite_ed25519, .alloc = memory_alloc(m), .genesis = w->encoded};
    poa_random(&c.salt, sizeof c.salt);
    bench_must(poa_ledger_new(&c, &l), "ledger");
    return l;
}

struct row {
    uint8_t key[32];
    uint64_t account; /* or UINT64_MAX: an entry of genesis */
    struct poa_slice value;
};

struct genesis_rows {
    struct row row[64];
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
    r->account = UINT64_MAX;
    r->value = poa_slice(p, e->value.n);
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

/* By the first two bytes, then each group by itself: quicker than one sort. */
static struct row *sorted(struct row *from, uint64_t n)
{
    static uint64_t at[65537];
    struct row *to = malloc((n + 1) * sizeof *to);
    bench_must(to ? POA_OK : POA_E_NO_MEMORY, "state");
    memset(at, 0, sizeof at);
    for (uint64_t i = 0; i < n; i++)
        at[(unsigned)from[i].key[0] << 8 | from[i].key[1]]++;
    for (uint64_t k = 0, sum = 0; k <= 65536; k++) {
        uint64_t count = at[k];
        at[k] = sum;
        sum += count;
    }
    for (uint64_t i = 0; i < n; i++)
        to[at[(unsigned)from[i].key[0] << 8 | from[i].key[1]]++] = from[i];
    for (uint64_t k = 0; k < 65536; k++) {
        uint64_t first = k ? at[k - 1] : 0;
        qsort(to + first, at[k] - first, sizeof *to, by_key);
    }
    free(from);
    return to;
}

#define GROUP_BYTES ((size_t)4 << 20)

struct poa_ledger *world_state(const struct world *w, uint64_t accounts, struct memory *m,
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
    struct row *row = malloc((accounts + g.n) * sizeof *row);
    bench_must(row ? POA_OK : POA_E_NO_MEMORY, "state");
    uint8_t value[2 + 32 + 16] = {POA_STATE_ACCOUNT, 32};
    struct poa_st_account a = {.balance = BALANCE};
    struct poa_writer vw = poa_writer_over(value + 34, 16);
    bench_must(poa_st_account_encode(&vw, &a), "state");
    for (uint64_t i = 0; i < accounts; i++) {
        uint8_t address[32], table = POA_STATE_ACCOUNT;
        world_address(w, i, address);
        poa_hash2(POA_DOMAIN_STATE_KEY, &table, 1, address, 32, row[i].key);
        row[i].account = i;
    }
    memcpy(row + accounts, g.row, g.n * sizeof *row);
    row = sorted(row, accounts + g.n);
    bench_must(poa_ledger_restore_begin(l), "state");
    for (uint64_t i = 0; i < accounts + g.n; i++) {
        struct poa_entry e = {.value = row[i].value};
        memcpy(e.key, row[i].key, 32);
        if (row[i].account != UINT64_MAX) {
            world_address(w, row[i].account, value + 2);
            e.value = poa_slice(value, sizeof value);
        }
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
