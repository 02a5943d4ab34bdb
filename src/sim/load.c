/* What happens on the network: genesis, transfers, what is committed. */
#include "world.h"

#define TX_BUCKETS 4096u

/* --- genesis ------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
    return memcmp(((const struct account *)a)->address, ((const struct account *)b)->address, 32);
}

static void make_accounts(struct poa_sim *s)
{
    s->account = calloc(s->config.accounts + 1, sizeof *s->account);
    POA_ASSERT(s->account);
    for (uint32_t i = 0; i < s->config.accounts; i++) {
        struct account *a = &s->account[i];
        uint8_t pk[32];
        memset(a->secret, 0x40, 32);
        poa_put_le32(a->secret, i + 1);
        sim_public(SIM_KEY_ACCOUNT, i, a->secret, pk);
        poa_address_of_key(POA_KEY_ED25519, pk, a->address);
    }
    for (uint32_t i = 0; i < s->config.accounts; i++)
        s->account[i].behind = UINT64_MAX;
    qsort(s->account, s->config.accounts, sizeof *s->account, by_address);
}

static struct poa_op_witness witness_of(const struct poa_sim *s, uint32_t i);

int load_genesis(struct poa_sim *s)
{
    const struct poa_sim_config *c = &s->config;
    static uint8_t accounts[64 * 64], makers[512], witnesses[64 * 512], devices[128 * 1024];
    struct poa_writer wa = poa_writer_over(accounts, sizeof accounts);
    struct poa_writer wm = poa_writer_over(makers, sizeof makers);
    struct poa_writer ww = poa_writer_over(witnesses, sizeof witnesses);
    struct poa_writer wd = poa_writer_over(devices, sizeof devices);
    uint8_t maker_seed[32], zero[32] = {0};
    make_accounts(s);
    devices_make(s);
    for (uint32_t i = 0; i < c->accounts; i++) {
        struct poa_genesis_account a = {.balance = 1000000000};
        memcpy(a.address, s->account[i].address, 32);
        POA_ASSERT(poa_genesis_account_encode(&wa, &a) == POA_OK);
    }
    memset(maker_seed, 0x77, 32);
    struct poa_op_maker m = {.maker = 1, .name = poa_slice("maker", 5)};
    sim_public(SIM_KEY_MAKER, 0, maker_seed, m.key);
    POA_ASSERT(poa_op_maker_encode(&wm, &m) == POA_OK);
    for (uint32_t i = 0; i < c->nodes; i++) {
        struct poa_op_witness w = witness_of(s, i);
        if (!i || i > c->joiners)
            POA_ASSERT(poa_op_witness_encode(&ww, &w) == POA_OK);
    }
    for (uint32_t i = 0; i < c->devices; i++) {
        struct poa_op_device d = {.maker = 1, .region = (uint16_t)(i % 3)};
        memset(d.owner, 0x11, 32);
        memcpy(d.payout, s->device[i].payout, 32);
        if (c->sim_mutant == POA_SIM_MUTANT_FOREIGN_PAYOUT && i == 0)
            memcpy(d.payout, s->account[0].address, 32);
        poa_device_attest(s->suite, zero, maker_seed, s->device[i].seed, &d);
        POA_ASSERT(poa_op_device_encode(&wd, &d) == POA_OK);
    }
    struct poa_genesis g = {
        .version = 1,
        .name = poa_slice("sim", 3),
        .devnet = 1,
        .time_ms = s->genesis_ms,
        .slot_ms = c->slot_ms,
        .block_min_ms = c->block_min_ms,
        .heartbeat_ms = c->heartbeat_ms,
        .timeout_ms = c->timeout_ms,
        .timeout_max_ms = c->timeout_max_ms,
        .drift_ms = c->drift_ms,
        .epoch_views = c->epoch_views,
        .committee_size = c->committee_size,
        .policy = c->policy,
        .window_slots = c->window_slots,
        .seats_per_slot = c->seats_per_slot,
        .seal_slots = c->seal_slots,
        .subsidy = 1000,
        .miner_bp = 6000,
        .sealers_bp = 3000,
        .tip = 1,
        .accounts = {poa_written(&wa), c->accounts},
        .makers = {poa_written(&wm), 1},
        .witnesses = {poa_written(&ww), c->nodes - c->joiners},
        .devices = {poa_written(&wd), c->devices},
    };
    memset(g.treasury, 0x99, 32);
    memcpy(g.steering, s->account[0].address, 32);
    size_t cap = wa.n + wm.n + ww.n + wd.n + 4096;
    s->genesis = malloc(cap);
    POA_ASSERT(s->genesis);
    struct poa_writer w = poa_writer_over(s->genesis, cap);
    int e = poa_genesis_encode(&w, &g);
    s->genesis_n = w.n;
    poa_genesis_chain_id(poa_written(&w), s->chain);
    return e;
}

/* --- batches ------------------------------------------------------------------------------ */

struct sim_batch *batch_by_digest(struct poa_sim *s, const uint8_t digest[32])
{
    struct sim_batch *b = s->batch[poa_le32(digest) % s->batch_buckets];
    while (b && memcmp(b->checked.digest, digest, 32))
        b = b->next;
    return b;
}

/* What a worker makes of BYTES; NULL when they are no batch at all. */
struct sim_batch *batch_get(struct poa_sim *s, struct poa_slice bytes)
{
    struct poa_batch r;
    struct poa_raw_tx raw;
    uint8_t digest[32];
    if (poa_batch_decode(bytes, &r))
        return NULL;
    poa_batch_digest(bytes, digest);
    struct sim_batch *b = batch_by_digest(s, digest);
    if (b)
        return b;
    b = calloc(1, sizeof *b + bytes.n);
    struct poa_tx_view *views = calloc(r.txs.count + 1, sizeof *views);
    POA_ASSERT(b && views);
    memcpy(b->bytes, bytes.p, bytes.n);
    b->n = bytes.n;
    POA_ASSERT(poa_batch_decode(poa_slice(b->bytes, b->n), &r) == POA_OK);
    b->checked.bytes = poa_slice(b->bytes, b->n);
    memcpy(b->checked.digest, digest, 32);
    b->checked.tx = views;
    b->checked.token = b;
    struct poa_list_iter it = poa_list_begin(&r.txs);
    while (poa_raw_tx_next(&it, &raw) && !b->checked.code) {
        b->checked.code = s->config.real_crypto
                              ? poa_tx_check(s->chain, raw.tx, &views[b->checked.txs])
                              : poa_tx_parse(s->chain, raw.tx, &views[b->checked.txs]);
        b->checked.txs++;
    }
    b->next = s->batch[poa_le32(digest) % s->batch_buckets];
    s->batch[poa_le32(digest) % s->batch_buckets] = b;
    return b;
}

/* --- transfers ------------------------------------------------------------------------------- */

static struct sim_tx *tx_find(const struct poa_sim *s, const uint8_t id[32])
{
    struct sim_tx *t = s->tx[poa_le32(id) % TX_BUCKETS];
    while (t && memcmp(t->id, id, 32))
        t = t->next;
    return t;
}

uint64_t poa_sim_final(const struct poa_sim *s, const uint8_t id32[32])
{
    const struct sim_tx *t = tx_find(s, id32);
    return t ? t->height : 0;
}

int poa_sim_gone(const struct poa_sim *s, const uint8_t id32[32])
{
    const struct sim_tx *t = tx_find(s, id32);
    return t && !t->height ? t->gone : POA_OK;
}

/* The nonce that comes next as NODE's ledger knows it. */
static uint64_t state_nonce(struct poa_sim *s, const struct node *n, const uint8_t address[32])
{
    struct poa_st_account a;
    (void)s;
    if (poa_ledger_read(poa_core_ledger(n->core), POA_STATE_BASE, POA_STATE_ACCOUNT, address, 32,
                        &a))
        return 0;
    return a.nonce;
}

/* One operation of account FROM, signed and handed to NODE. */
static int operate(struct poa_sim *s, uint32_t node, uint32_t from, uint16_t kind,
                   struct poa_slice body, uint8_t id32[32])
{
    struct account *a = &s->account[from];
    struct node *n = &s->node[node];
    uint8_t ops[1024], wire[2048];
    struct poa_op op = {.kind = kind, .body = body};
    struct poa_writer wo = poa_writer_over(ops, sizeof ops);
    POA_ASSERT(n->up && poa_op_encode(&wo, &op) == POA_OK);
    struct poa_list list = {.bytes = poa_written(&wo), .count = 1};
    struct poa_writer out = poa_writer_over(wire, sizeof wire);
    struct poa_tx_view view;
    if (s->config.real_crypto) {
        POA_ASSERT(poa_tx_sign(s->chain, POA_KEY_ED25519, a->secret, a->nonce, 0, 0, &list, &out,
                               id32) == POA_OK);
    } else {
        struct poa_tx tx = {.chain = poa_le32(s->chain),
                            .nonce = a->nonce,
                            .ops = list,
                            .auth = poa_slice("simulated", 9)};
        memcpy(tx.sender, a->address, 32);
        POA_ASSERT(poa_tx_encode(&out, &tx) == POA_OK);
    }
    POA_ASSERT(poa_tx_parse(s->chain, poa_written(&out), &view) == POA_OK);
    memcpy(id32, view.id, 32);
    int code = POA_OK;
    struct poa_event e = {
        .kind = POA_EVENT_TX, .peer = POA_PEER_OTHER, .tx = &view, .txs = 1, .codes = &code};
    (void)node_step(s, n, &e);
    if (code)
        return code;
    struct sim_tx *r = calloc(1, sizeof *r + out.n);
    POA_ASSERT(r);
    memcpy(r->raw, wire, out.n);
    r->n = out.n;
    memcpy(r->id, view.id, 32);
    r->node = node;
    r->life = n->life;
    r->account = from;
    r->nonce = a->nonce++;
    r->next = s->tx[poa_le32(r->id) % TX_BUCKETS];
    s->tx[poa_le32(r->id) % TX_BUCKETS] = r;
    r->open = s->open_tx;
    s->open_tx = r;
    s->result.txs_accepted++;
    return POA_OK;
}

int poa_sim_transfer(struct poa_sim *s, uint32_t node, uint32_t from, uint32_t to, uint64_t amount,
                     uint8_t id32[32])
{
    uint8_t body[512];
    struct poa_writer w = poa_writer_over(body, sizeof body);
    struct poa_op_transfer t = {.amount = amount};
    memcpy(t.to, s->account[to].address, 32);
    POA_ASSERT(poa_op_transfer_encode(&w, &t) == POA_OK);
    return operate(s, node, from, POA_OP_TRANSFER, poa_written(&w), id32);
}

/* --- witnesses that come and go ------------------------------------------------------------ */

static struct poa_op_witness witness_of(const struct poa_sim *s, uint32_t i)
{
    struct poa_op_witness w = {
        .maker = 1, .region = (uint16_t)i, .provider = i, .name = poa_slice("witness", 7)};
    memcpy(w.key, s->node[i].key, 32);
    memset(w.payout, (int)(0x80 + i), 32);
    return w;
}

/* The steering account, whose node is node 0, admits nodes 1 .. JOINERS and
 * lets the one after them go, each as often as it takes. */
static void govern(struct poa_sim *s)
{
    const struct poa_sim_config *c = &s->config;
    struct node *n = &s->node[0];
    uint8_t body[512];
    if (s->now < s->govern_at || !n->up || n->kind != HONEST)
        return;
    /* A second one would fail, and what comes after it wait for its nonce. */
    const struct sim_tx *t = tx_find(s, s->govern_id);
    if (t && t->life == n->life && state_nonce(s, n, s->account[0].address) <= t->nonce)
        return;
    s->govern_at = s->now + between(&s->random, 100000, 300000);
    if (s->account[0].life != n->life) {
        s->account[0].life = n->life;
        s->account[0].nonce = state_nonce(s, n, s->account[0].address);
    }
    for (uint32_t i = 1; i <= c->joiners + c->leavers; i++) {
        struct poa_st_witness st;
        bool joins = i <= c->joiners;
        bool in = !poa_ledger_read(poa_core_ledger(n->core), POA_STATE_BASE, POA_STATE_WITNESS,
                                   s->node[i].key, 32, &st);
        struct poa_writer w = poa_writer_over(body, sizeof body);
        if (joins ? in : !in || st.status)
            continue;
        struct poa_op_witness join = witness_of(s, i);
        struct poa_op_witness_leave leave;
        memcpy(leave.key, s->node[i].key, 32);
        POA_ASSERT((joins ? poa_op_witness_encode(&w, &join)
                          : poa_op_witness_leave_encode(&w, &leave)) == POA_OK);
        (void)operate(s, 0, 0, joins ? POA_OP_WITNESS_ADD : POA_OP_WITNESS_LEAVE, poa_written(&w),
                      s->govern_id);
        return;
    }
}

/* Its turn has come and it can never be executed: it uses no nonce, so what its
 * account sent after it waits for one that its owner has to give anew. */
static bool hopeless(struct poa_sim *s, const struct sim_tx *t)
{
    const struct node *owner = &s->node[t->node];
    struct poa_tx_view v;
    POA_ASSERT(poa_tx_parse(s->chain, poa_slice(t->raw, t->n), &v) == POA_OK);
    int e = poa_ledger_try_tx(poa_core_ledger(owner->core), POA_STATE_BASE,
                              node_now(s, owner).wall_ms, &v, 0, 0);
    return e && e != POA_E_TX_NONCE_USED && poa_error_class(e) != POA_CLASS_RETRY;
}

/* Counts what a node accepted that lives on, and that is neither final nor
 * overtaken. */
static uint64_t lost(struct poa_sim *s, const struct sim_tx **first)
{
    uint64_t n = 0;
    for (const struct sim_tx *t = s->open_tx; t; t = t->open) {
        const struct node *owner = &s->node[t->node];
        if (!t->height && owner->up && owner->life == t->life && hopeless(s, t))
            s->account[t->account].behind = t->nonce;
    }
    for (struct sim_tx **at = &s->open_tx; *at;) {
        const struct sim_tx *t = *at;
        const struct node *owner = &s->node[t->node];
        const struct account *a = &s->account[t->account];
        uint64_t next = state_nonce(s, owner, a->address);
        bool over = t->height || !owner->up || owner->life != t->life || next > t->nonce ||
                    next == a->behind;
        if (over) {
            *at = t->open;
            continue;
        }
        if (first && !*first)
            *first = t;
        n++;
        at = &(*at)->open;
    }
    return n;
}

/* Accounts belong to nodes: what a crash of its node makes an account lose, the
 * account sends again with the nonces that the ledger expects. */
void load_tick(struct poa_sim *s)
{
    const struct poa_sim_config *c = &s->config;
    uint8_t id[32];
    bool stop = s->now > c->gst_us + c->load_us;
    if (!stop && c->joiners + c->leavers)
        govern(s);
    uint32_t count = c->txs_per_s / 100 + chance(&s->random, c->txs_per_s % 100 * 10000);
    for (uint32_t i = 0; i < count && !stop; i++) {
        uint32_t from = below(&s->random, c->accounts);
        struct node *n = &s->node[from % s->nodes];
        if (!n->up || n->kind != HONEST)
            continue;
        struct account *a = &s->account[from];
        if (a->life != n->life) {
            a->life = n->life;
            a->nonce = state_nonce(s, n, a->address);
        }
        (void)poa_sim_transfer(s, n->id, from, below(&s->random, c->accounts),
                               1 + below(&s->random, 1000), id);
    }
    if (stop && c->settle && check_settled(s) && !lost(s, NULL))
        s->settled = true;
    else if (s->now < c->end_us)
        event_push(s, (struct event){.at = s->now + 10000, .kind = EV_LOAD});
}

void load_committed(struct poa_sim *s, struct node *n, const struct poa_commit *c)
{
    for (uint32_t i = 0; i < c->txs; i++) {
        struct sim_tx *t = tx_find(s, c->tx[i].id);
        if (t && c->tx[i].code)
            trace(s, n, "skips transaction %llu of account %u: %s", (unsigned long long)t->nonce,
                  t->account, poa_error_name(c->tx[i].code));
        if (!t || c->tx[i].code)
            continue;
        if (t->height && t->height != c->header->height)
            violation(s, n, "a transaction was executed twice, at heights %llu and %llu",
                      (unsigned long long)t->height, (unsigned long long)c->header->height);
        if (!t->height)
            s->result.txs_final++;
        t->height = c->header->height;
    }
    if (n->kind == HONEST && s->config.devices && n->restored)
        devices_look(s, n);
}

void load_gone(struct poa_sim *s, struct node *n, const struct poa_tx_gone *gone, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sim_tx *t = tx_find(s, gone[i].id);
        if (!t || t->node != n->id || t->height)
            continue;
        trace(s, n, "lets go of transaction %llu of account %u: %s", (unsigned long long)t->nonce,
              t->account, poa_error_name(gone[i].code));
        t->gone = gone[i].code;
    }
}

void poa_sim_finish(struct poa_sim *s)
{
    const struct sim_tx *first = NULL;
    check_finish(s);
    if (!s->result.violations)
        s->result.txs_lost = lost(s, &first);
    if (first && !s->result.stuck) {
        s->result.stuck++;
        snprintf(s->result.first, sizeof s->result.first,
                 "at the end: a transaction that node %u accepted is not final (account %u, "
                 "nonce %llu, %llu comes next)",
                 first->node, first->account, (unsigned long long)first->nonce,
                 (unsigned long long)state_nonce(s, &s->node[first->node],
                                                 s->account[first->account].address));
    }
    double delay = s->config.delay_min_us ? s->config.delay_min_us : 1;
    if (s->finality_n)
        s->result.finality_delays = s->finality_sum / (double)s->finality_n / delay;
    if (s->period_n)
        s->result.period_delays = s->period_sum / (double)s->period_n / delay;
    for (uint32_t i = 0; i < s->nodes; i++) {
        struct poa_st_global g;
        if (!s->node[i].up)
            continue;
        poa_ledger_global(poa_core_ledger(s->node[i].core), POA_STATE_BASE, &g);
        if (g.seals > s->result.seals)
            s->result.seals = g.seals;
    }
}

void load_free(struct poa_sim *s)
{
    for (size_t i = 0; i < s->batch_buckets; i++)
        for (struct sim_batch *b = s->batch[i], *next; b; b = next) {
            next = b->next;
            free((void *)(uintptr_t)b->checked.tx);
            free(b);
        }
    for (uint32_t i = 0; i < TX_BUCKETS; i++)
        for (struct sim_tx *t = s->tx[i], *next; t; t = next) {
            next = t->next;
            free(t);
        }
    for (uint64_t h = 0; h < s->blocks; h++)
        for (struct sim_block *b = s->block[h], *next; b; b = next) {
            next = b->next;
            free(b);
        }
    free(s->batch);
    free(s->block);
    free(s->tx);
    free(s->account);
    free(s->device);
}
