/* A block on its parent's state: header rules, slots, seals, transactions,
 * beacon, epochs, in the order of docs/ledger.md. */
#include "ledger.h"

/* --- reading and writing while a block executes ------------------------------------ */

int poa_exec_read(const struct exec *x, enum poa_state_table table, const void *key, size_t key_n,
                  void *out)
{
    uint8_t skey[32];
    struct poa_slice value;
    poa_ledger_key(x->l, table, key, key_n, skey);
    if (!poa_state_get(x->l, x->o, skey, &value))
        return POA_E_NOT_FOUND;
    return poa_record_decode(poa_state_record(table), value, out);
}

static void put_bytes(struct exec *x, enum poa_state_table table, const void *key, size_t key_n,
                      struct poa_slice value)
{
    uint8_t skey[32];
    if (x->full)
        return;
    poa_ledger_key(x->l, table, key, key_n, skey);
    if (poa_overlay_put(x->l, x->o, skey, table, key, key_n, value))
        x->full = true;
}

void poa_exec_put(struct exec *x, enum poa_state_table table, const void *key, size_t key_n,
                  const void *record)
{
    struct poa_writer w = poa_writer_over(x->value, POA_VALUE_MAX);
    int e = poa_record_encode(poa_state_record(table), &w, record);
    POA_ASSERT(e == POA_OK); /* every field came from a decoded record or is in range */
    put_bytes(x, table, key, key_n, poa_written(&w));
}

void poa_exec_delete(struct exec *x, enum poa_state_table table, const void *key, size_t key_n)
{
    put_bytes(x, table, key, key_n, poa_slice(NULL, 0));
}

void poa_exec_credit(struct exec *x, const uint8_t address[32], uint64_t amount)
{
    struct poa_st_account a = {.balance = 0};
    if (!amount)
        return;
    int e = poa_exec_read(x, POA_STATE_ACCOUNT, address, 32, &a);
    POA_ASSERT(e == POA_OK || e == POA_E_NOT_FOUND);
    POA_ASSERT(a.balance <= UINT64_MAX - amount); /* the supply fits, by poa_genesis_check */
    a.balance += amount;
    poa_exec_put(x, POA_STATE_ACCOUNT, address, 32, &a);
}

/* --- committees ----------------------------------------------------------------------- */

int poa_draw_committee(const struct poa_ledger *l, const struct overlay *o, uint32_t epoch,
                       uint32_t witnesses, uint32_t eligible, const uint8_t seed[32],
                       struct poa_writer *buffer, struct poa_committee *out)
{
    struct poa_genesis g;
    uint32_t n = 0, early = 0;
    poa_params_at(l, o, epoch, &g);
    struct poa_committee_rule rule = poa_genesis_rule(&g);
    /* Were everybody suspended, all would serve: a chain that stops helps nobody. */
    for (int all = 0; all < 2 && !n; all++)
        for (uint32_t i = 0; i < witnesses && n < POA_WITNESSES_MAX; i++) {
            struct poa_digest key;
            struct poa_st_witness w;
            if (poa_state_read_u32(l, o, POA_STATE_WITNESS_INDEX, i, &key) ||
                poa_state_read(l, o, POA_STATE_WITNESS, key.digest, 32, &w) || (w.status && !all))
                continue;
            struct poa_candidate *c = &l->candidate[n++];
            *c = (struct poa_candidate){
                .member = {.maker = w.maker, .region = w.region, .provider = w.provider}};
            memcpy(c->member.key, key.digest, 32);
            early += i < eligible;
        }
    /* Whoever chose a key after the seed leaked could grind it: when there is a
     * choice, only those who were in the pool long before take part in it. */
    uint32_t size = rule.size ? rule.size : POA_COMMITTEE_MAX;
    if (size < n && early >= size)
        n = early;
    uint32_t relaxed = poa_committee_draw(&rule, seed, l->candidate, n);
    int e = poa_committee_build(&rule, epoch, l->candidate, n, buffer, out);
    return e ? e : (int)relaxed;
}

static int next_committee(const struct poa_ledger *l, const struct overlay *o, uint8_t *buffer,
                          struct poa_committee *out)
{
    struct poa_st_global g;
    struct poa_st_epoch now, before;
    int e = poa_state_read(l, o, POA_STATE_GLOBAL, NULL, 0, &g);
    if (e)
        return e;
    uint32_t epoch = poa_epoch_of_next(&g); /* the one that the block will close */
    e = poa_state_read_u32(l, o, POA_STATE_EPOCH, epoch, &now);
    if (!e)
        e = poa_state_read_u32(l, o, POA_STATE_EPOCH, epoch ? epoch - 1 : 0, &before);
    if (e)
        return e;
    struct poa_writer w = poa_writer_over(buffer, POA_COMMITTEE_BYTES_MAX);
    return poa_draw_committee(l, o, epoch + 1, g.witnesses, before.witnesses, now.seed, &w, out);
}

int poa_ledger_next_committee(const struct poa_ledger *l, poa_state_id s, uint8_t *buffer,
                              struct poa_committee *out)
{
    int e = next_committee(l, poa_state_overlay(l, s), buffer, out);
    return e < 0 ? e : POA_OK;
}

int poa_ledger_epoch(const struct poa_ledger *l, poa_state_id s, uint32_t epoch,
                     struct poa_st_epoch *epoch_out, struct poa_committee *committee,
                     struct poa_lottery *lottery)
{
    const struct overlay *o = poa_state_overlay(l, s);
    struct poa_st_epoch st;
    int e = poa_state_read_u32(l, o, POA_STATE_EPOCH, epoch, &st);
    if (!e && committee)
        e = poa_state_read_u32(l, o, POA_STATE_COMMITTEE, epoch, committee);
    if (!e && epoch_out)
        *epoch_out = st;
    if (!e && lottery)
        *lottery =
            (struct poa_lottery){st.eligible, l->genesis.seats_per_slot, l->genesis.window_slots};
    return e;
}

/* --- header rules ------------------------------------------------------------------------ */

static int check_kind(const struct exec *x)
{
    const struct poa_header *h = x->header;
    const struct poa_st_global *g = &x->global;
    static const uint8_t zero[32];
    bool normal_views = h->view <= x->g->epoch_views;
    uint64_t closing = 0;
    bool parent_open = g->kind == POA_BLOCK_NORMAL;
    switch ((enum poa_block_kind)h->kind) {
    case POA_BLOCK_NORMAL:
        /* The first block of an epoch stands on the closing block; fillers
         * have no successors but fillers. */
        if (!normal_views || g->kind == POA_BLOCK_FILLER || h->epoch != poa_epoch_of_next(g))
            return POA_E_BLOCK_INVALID;
        break;
    case POA_BLOCK_CLOSING:
        /* An epoch without any block before it closes too. */
        if (normal_views || g->kind == POA_BLOCK_FILLER || h->epoch != poa_epoch_of_next(g))
            return POA_E_BLOCK_INVALID;
        break;
    case POA_BLOCK_FILLER:
        if (normal_views || parent_open || h->epoch != g->epoch)
            return POA_E_BLOCK_INVALID;
        closing = g->closing_height;
        break;
    default:
        return POA_E_BLOCK_INVALID;
    }
    if (h->closing_height != closing)
        return POA_E_BLOCK_INVALID;
    return h->kind != POA_BLOCK_CLOSING && memcmp(h->next_committee, zero, 32) ? POA_E_BLOCK_INVALID
                                                                               : POA_OK;
}

static int check_header(struct exec *x, const struct overlay *parent, const struct poa_block_in *in)
{
    const struct poa_header *h = x->header;
    const struct poa_st_global *g = &x->global;
    uint8_t body[32];
    if (h->version != 1 || memcmp(h->chain, x->l->chain, 32) || h->height != g->height + 1 ||
        memcmp(h->parent, g->hash, 32) || h->time_ms <= g->time_ms)
        return POA_E_BLOCK_INVALID;
    poa_body_hash(in->body, body);
    if (in->body.n > POA_BODY_BYTES_MAX || memcmp(h->body, body, 32))
        return POA_E_BLOCK_INVALID;
    int e = check_kind(x);
    if (e)
        return e;
    return memcmp(h->state, state_root(x->l, parent)->hash, 32) ? POA_E_STATE_ROOT : POA_OK;
}

/* The leader's payout address and its output of the beacon. */
static int check_leader(struct exec *x, const struct overlay *parent, const struct poa_block_in *in,
                        uint8_t beta[64])
{
    const struct poa_header *h = x->header;
    struct poa_st_epoch epoch;
    struct poa_st_witness witness;
    uint8_t key[32], alpha[32];
    if (poa_state_read_u32(x->l, parent, POA_STATE_EPOCH, h->epoch, &epoch) ||
        poa_state_read_u32(x->l, parent, POA_STATE_COMMITTEE, h->epoch, &x->committee) ||
        poa_committee_key(&x->committee, h->leader, key) ||
        poa_state_read(x->l, parent, POA_STATE_WITNESS, key, 32, &witness))
        return POA_E_BLOCK_INVALID;
    memcpy(x->leader_payout, witness.payout, 32);
    if (in->beacon_beta) {
        memcpy(beta, in->beacon_beta, 64);
        return POA_OK;
    }
    poa_beacon_alpha(x->l->chain, h->epoch, h->view, epoch.seed, alpha);
    return x->l->config.suite->vrf_verify(key, alpha, sizeof alpha, h->beacon, beta) ? POA_E_PROOF
                                                                                     : POA_OK;
}

/* --- the parts of a body ------------------------------------------------------------------- */

static int run_mining(struct exec *x, const struct poa_body *body, struct poa_block_result *r)
{
    struct poa_list_iter tickets = poa_list_begin(&body->tickets);
    struct poa_list_iter seals = poa_list_begin(&body->seals);
    struct poa_list_iter evidence = poa_list_begin(&body->evidence);
    struct poa_ticket ticket;
    struct poa_seal seal;
    struct poa_evidence ev;
    struct seats seats;
    int e = POA_OK;
    while (!e && !x->full && poa_ticket_next(&tickets, &ticket)) {
        e = poa_ticket_judge(x->l, x->o, x->header->epoch, x->slot, &ticket, &seats);
        if (e)
            return e;
        poa_mining_ticket(x, &ticket, &seats);
        r->tickets++;
    }
    while (!x->full && poa_seal_next(&seals, &seal)) {
        e = poa_seal_judge(x->l, x->o, x->slot, &seal);
        if (e)
            return e;
        poa_mining_seal(x, &seal);
        r->seals++;
    }
    while (!x->full && poa_evidence_next(&evidence, &ev)) {
        e = poa_evidence_judge(x->l, x->o, &ev);
        if (e)
            return e;
        poa_mining_evidence(x, &ev);
    }
    return POA_OK;
}

static void run_txs(struct exec *x, const struct poa_block_in *in, struct poa_block_result *r)
{
    struct ahead ahead = {.in = in};
    for (size_t i = 0; i < in->txs && !x->full; i++) {
        poa_ahead_fetch(x->l, &ahead);
        int code = poa_tx_apply(x, in->tx[i]);
        ahead.used += 1 + in->tx[i]->tx.ops.count;
        r->executed += code == POA_OK;
        r->failed += code != POA_OK;
        if (r->tx) {
            memcpy(r->tx[i].id, in->tx[i]->id, 32);
            r->tx[i].code = code;
        }
    }
}

/* The next epoch: seed, committee, who may be drawn. */
static int run_closing(struct exec *x, const struct overlay *parent)
{
    struct poa_st_global *g = &x->global;
    struct poa_committee c;
    struct poa_st_epoch now, next = {.first_height = x->header->height + 1,
                                     .first_slot = x->slot + 1,
                                     .devices = g->devices,
                                     .witnesses = g->witnesses};
    uint8_t hash[32], key[4];
    uint32_t epoch = x->header->epoch;
    /* Drawn from the parent's state, as whoever proposes this block draws it. */
    int relaxed = next_committee(x->l, parent, x->value + POA_VALUE_MAX, &c);
    if (relaxed < 0)
        return relaxed;
    poa_committee_hash(&c, hash);
    if (c.epoch != epoch + 1 || memcmp(hash, x->header->next_committee, 32) ||
        poa_state_read_u32(x->l, x->o, POA_STATE_EPOCH, epoch, &now))
        return POA_E_BLOCK_INVALID;
    next.eligible = now.devices;
    next.relaxed = (uint16_t)relaxed;
    poa_put_le32(key, epoch + 1);
    poa_hash2(POA_DOMAIN_SEED, g->beacon, 32, key, sizeof key, next.seed);
    memcpy(g->beacon, next.seed, 32);
    poa_exec_put(x, POA_STATE_EPOCH, key, sizeof key, &next);
    poa_exec_put(x, POA_STATE_COMMITTEE, key, sizeof key, &c);
    if (epoch + 1 >= POA_EPOCHS_KEPT) {
        poa_put_le32(key, epoch + 1 - POA_EPOCHS_KEPT);
        poa_exec_delete(x, POA_STATE_EPOCH, key, sizeof key);
        poa_exec_delete(x, POA_STATE_COMMITTEE, key, sizeof key);
    }
    return POA_OK;
}

static bool body_empty(const struct poa_body *b)
{
    return !b->batches.count && !b->tickets.count && !b->seals.count && !b->evidence.count;
}

static int run(struct exec *x, const struct overlay *parent, const struct poa_block_in *in,
               const struct poa_body *body, const uint8_t beta[64], struct poa_block_result *r)
{
    const struct poa_header *h = x->header;
    struct poa_st_global *g = &x->global;
    int e = POA_OK;
    if (h->kind != POA_BLOCK_FILLER) {
        poa_mining_slot(x);
        poa_mining_settle(x);
        poa_hold_expire(x);
        poa_escrow_timeouts(x);
    }
    if (h->kind == POA_BLOCK_NORMAL) {
        e = run_mining(x, body, r);
        if (e)
            return e;
        run_txs(x, in, r);
        poa_exec_credit(x, x->leader_payout, x->fees);
        poa_hash2(POA_DOMAIN_SEED, g->beacon, 32, beta, 64, g->beacon);
    } else if (h->kind == POA_BLOCK_CLOSING) {
        e = run_closing(x, parent);
        if (e)
            return e;
        g->closing_height = h->height;
    }
    if (h->kind == POA_BLOCK_NORMAL)
        g->closing_height = 0;
    g->height = h->height;
    g->time_ms = h->time_ms;
    memcpy(g->hash, x->hash, 32);
    g->epoch = h->epoch;
    g->kind = h->kind;
    poa_exec_put(x, POA_STATE_GLOBAL, NULL, 0, g);
    return x->full ? POA_E_FULL : POA_OK;
}

/* About how many entries the block changes, and that it is not too long. */
static int estimate(const struct poa_block_in *in, const struct poa_body *body, uint64_t *changes)
{
    uint64_t bytes = 0;
    *changes = 16 + 4 * (uint64_t)body->tickets.count + 2 * (uint64_t)body->seals.count;
    for (size_t i = 0; i < in->txs; i++) {
        *changes += 1 + in->tx[i]->tx.ops.count;
        bytes += in->tx[i]->raw.n;
    }
    return bytes > POA_BLOCK_TX_BYTES_MAX ? POA_E_BLOCK_INVALID : POA_OK;
}

/* A block needed more room than there was: the next reserve makes twice as much. */
static int out_of_room(struct poa_ledger *l)
{
    if (l->want_changes < POA_CHANGES_MAX)
        l->want_changes *= 2;
    return POA_E_FULL;
}

int poa_ledger_execute(struct poa_ledger *l, poa_state_id parent, const struct poa_block_in *in,
                       poa_state_id *out, struct poa_block_result *result)
{
    struct overlay *below = poa_state_overlay(l, parent);
    struct poa_genesis g;
    struct exec x = {.l = l, .g = &g, .header = in->header, .hash = in->hash, .value = l->value};
    struct poa_body body;
    uint8_t beta[64];
    uint64_t changes;
    result->executed = result->failed = result->tickets = result->seals = 0;
    int e = poa_state_read(l, below, POA_STATE_GLOBAL, NULL, 0, &x.global);
    POA_ASSERT(e == POA_OK);
    poa_params_at(l, below, in->header->epoch, &g);
    e = check_header(&x, below, in);
    if (e)
        return e;
    if (poa_body_decode(in->body, &body) ||
        (in->header->kind != POA_BLOCK_NORMAL && (!body_empty(&body) || in->txs)))
        return POA_E_BLOCK_INVALID;
    e = estimate(in, &body, &changes);
    if (!e)
        e = check_leader(&x, below, in, beta);
    if (e)
        return e;
    x.slot = poa_slot_of(x.g, in->header->time_ms);
    e = poa_overlay_open(l, below, body_empty(&body) && !in->txs ? OVERLAY_ROWS : POA_OVERLAYS_MAX,
                         changes < 65536 ? (uint32_t)changes : 65536, &x.o);
    if (e)
        return e;
    e = run(&x, below, in, &body, beta, result);
    if (!e || x.full)
        e = x.full ? POA_E_FULL : poa_overlay_seal(l, x.o);
    if (e) {
        poa_overlay_close(l, x.o);
        return e == POA_E_FULL ? out_of_room(l) : e;
    }
    memcpy(result->root, x.o->root.hash, 32);
    *out = poa_overlay_id(l, x.o);
    return POA_OK;
}

/* --- what leaders ask before they list ----------------------------------------------------------
 */

int poa_ledger_try_ticket(const struct poa_ledger *l, poa_state_id s, uint64_t time_ms,
                          const struct poa_ticket *t)
{
    struct seats seats;
    return poa_ticket_judge(l, poa_state_overlay(l, s), poa_ledger_next_epoch(l, s),
                            poa_slot_of(&l->genesis, time_ms), t, &seats);
}

int poa_ledger_try_seal(const struct poa_ledger *l, poa_state_id s, uint64_t time_ms,
                        const struct poa_seal *seal)
{
    return poa_seal_judge(l, poa_state_overlay(l, s), poa_slot_of(&l->genesis, time_ms), seal);
}

int poa_ledger_try_evidence(const struct poa_ledger *l, poa_state_id s,
                            const struct poa_evidence *e)
{
    return poa_evidence_judge(l, poa_state_overlay(l, s), e);
}

/* --- a ledger
 * ---------------------------------------------------------------------------------------- */

/* Makes GENESIS the base. Grows until it fits: no step waits for it. */
static int load_genesis(struct poa_ledger *l)
{
    for (;;) {
        struct exec x = {.l = l, .g = &l->genesis, .value = l->value};
        int e = poa_ledger_reserve(l);
        if (e)
            return e;
        e = poa_overlay_open(l, NULL, 1, 65536, &x.o);
        if (!e) {
            e = poa_genesis_apply(&x);
            if (!e)
                e = x.full ? POA_E_FULL : poa_overlay_seal(l, x.o);
            if (!e)
                return poa_ledger_apply(l, poa_overlay_id(l, x.o));
            poa_overlay_close(l, x.o);
        }
        if (e != POA_E_FULL || l->want_changes >= POA_CHANGES_MAX)
            return e;
        l->want_changes *= 2;
    }
}

int poa_ledger_new(const struct poa_ledger_config *config, struct poa_ledger **out)
{
    const char *why;
    struct poa_ledger *l = poa_mem_new(&config->alloc, sizeof *l);
    if (!l)
        return POA_E_NO_MEMORY;
    l->config = *config;
    hash_begin(&l->key_begun, POA_DOMAIN_STATE_KEY);
    hash_begin(&l->leaf_begun, POA_DOMAIN_STATE_LEAF);
    hash_begin(&l->node_begun, POA_DOMAIN_STATE_NODE);
    l->tree.inner.item = sizeof(struct inner);
    l->tree.leaf.item = sizeof(struct leaf);
    l->base_root.node = NIL;
    l->want_changes = POA_CHANGES_FIRST;
    l->value = poa_mem_new(&config->alloc, 2 * POA_VALUE_MAX);
    l->candidate = poa_mem_new(&config->alloc, POA_WITNESSES_MAX * sizeof *l->candidate);
    if (config->parallel)
        l->plan = poa_mem_new(&config->alloc, poa_tree_plan_bytes());
    bool made = l->value && l->candidate && (l->plan || !config->parallel);
    int e = made ? poa_base_init(l) : POA_E_NO_MEMORY;
    if (!e)
        e = poa_genesis_decode(config->genesis, &l->genesis);
    if (!e)
        e = poa_genesis_check_suite(config->suite, &l->genesis, &why);
    if (!e) {
        poa_genesis_chain_id(config->genesis, l->chain);
        e = load_genesis(l);
    }
    l->want_changes = POA_CHANGES_FIRST;
    if (!e)
        e = poa_ledger_reserve(l);
    if (e) {
        poa_ledger_free(l);
        return e;
    }
    *out = l;
    return POA_OK;
}

void poa_ledger_free(struct poa_ledger *l)
{
    if (!l)
        return;
    struct poa_alloc alloc = l->config.alloc;
    poa_pool_clear(l, &l->tree.inner);
    poa_pool_clear(l, &l->tree.leaf);
    poa_chunks_clear(l);
    poa_base_clear(l);
    poa_mem_free(&alloc, l->change);
    poa_mem_free(&alloc, l->change_scratch);
    poa_mem_free(&alloc, l->candidate);
    poa_mem_free(&alloc, l->plan);
    poa_mem_free(&alloc, l->restore_ref);
    poa_mem_free(&alloc, l->value);
    poa_mem_free(&alloc, l);
}
