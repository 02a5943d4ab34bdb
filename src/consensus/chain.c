/* The chain: what blocks owe their parents, execution on overlays, what makes a
 * proposal worth a vote, commits. */
#include "core.h"

/* --- rules -------------------------------------------------------------------------- */

uint8_t core_kind_after(const struct poa_core *c, const struct parent *p, uint64_t view)
{
    if (view <= c->genesis->epoch_views)
        return POA_BLOCK_NORMAL;
    return p->kind == POA_BLOCK_NORMAL ? POA_BLOCK_CLOSING : POA_BLOCK_FILLER;
}

uint64_t core_min_time(const struct poa_core *c, const struct parent *p)
{
    return p->time_ms + (c->genesis->block_min_ms ? c->genesis->block_min_ms : 1);
}

int core_next_committee_hash(struct poa_core *c, poa_state_id state, uint8_t out32[32])
{
    uint8_t buffer[POA_COMMITTEE_BYTES_MAX];
    struct poa_committee next;
    int e = poa_ledger_next_committee(c->ledger, state, buffer, &next);
    if (!e)
        poa_committee_hash(&next, out32);
    return e;
}

/* What a block owes its parent, whoever looks and whenever. */
int core_block_rules(struct poa_core *c, const struct block *b, const struct parent *p)
{
    const struct poa_header *h = &b->h;
    uint8_t next[32] = {0};
    if (h->height != p->height + 1 || h->time_ms < core_min_time(c, p))
        return POA_E_BLOCK_INVALID;
    if (h->kind != core_kind_after(c, p, h->view))
        return POA_E_BLOCK_INVALID;
    if (h->closing_height != (h->kind != POA_BLOCK_FILLER    ? 0
                              : p->kind == POA_BLOCK_CLOSING ? p->height
                                                             : p->closing_height))
        return POA_E_BLOCK_INVALID;
    if (h->kind != POA_BLOCK_NORMAL && !hash_eq(h->body, c->empty_body))
        return POA_E_BLOCK_INVALID;
    if (!hash_eq(h->state, p->root))
        return POA_E_STATE_ROOT;
    if (h->kind == POA_BLOCK_CLOSING && core_next_committee_hash(c, p->state, next))
        return POA_E_BLOCK_INVALID;
    if (!hash_eq(h->next_committee, next))
        return POA_E_BLOCK_INVALID;
    return POA_OK;
}

/* --- execution ------------------------------------------------------------------------ */

/* Collects the transactions of the listed batches into c->gather. */
static enum verdict gather(struct poa_core *c, const struct block *b, uint32_t *txs)
{
    struct poa_list_iter it = poa_list_begin(&b->b.batches);
    struct poa_digest d;
    bool missing = false;
    *txs = 0;
    while (poa_digest_next(&it, &d)) {
        struct batch *x = core_batch_find(c, d.digest);
        if (x && x->state == BATCH_INVALID)
            return V_INVALID;
        if (!x || !x->token_held) {
            (void)core_batch_want(c, d.digest, b->h.leader);
            missing = true;
            continue;
        }
        if (x->txs > BLOCK_TXS - *txs)
            return V_INVALID;
        for (uint32_t i = 0; i < x->txs; i++)
            c->gather[(*txs)++] = &x->tx[i];
    }
    return missing ? V_WAIT : V_OK;
}

/* Runs B on its executed parent; c->gather holds its transactions. */
enum verdict core_block_run(struct poa_core *c, struct block *b, const struct parent *p,
                            uint32_t txs)
{
    struct poa_block_result result;
    struct poa_block_in in = {
        .header = &b->h, .body = poa_slice(b->body, b->body_n), .tx = c->gather, .txs = txs};
    if (!c->exec_ready) {
        c->more = true;
        return V_WAIT;
    }
    memset(&result, 0, sizeof result);
    memcpy(in.hash, b->hash, 32);
    if (b->beacon_ok)
        in.beacon_beta = b->beta;
    if (txs) {
        b->tx = (struct poa_tx_result *)(void *)core_arena_take(&c->arena, txs * sizeof *b->tx);
        if (!b->tx)
            return V_WAIT;
    }
    result.tx = b->tx;
    c->exec_ready = false;
    int e = poa_ledger_execute(c->ledger, p->state, &in, &b->state, &result);
    if (e) {
        core_arena_give(&c->arena, b->tx);
        b->tx = NULL;
        if (poa_error_class(e) == POA_CLASS_RETRY) {
            /* Larger than what was reserved: the next reserve makes more room. */
            if (b->full_tries++ < 10)
                c->more = true;
            else
                c->retry_us = c->now.us + 1000;
            return V_WAIT;
        }
        if (poa_error_class(e) == POA_CLASS_RESOURCE) {
            core_halt(c, e, "executing a block failed");
            return V_WAIT;
        }
        return V_INVALID;
    }
    b->exec = EXEC_DONE;
    b->own_state = true;
    b->txs = txs;
    memcpy(b->root, result.root, 32);
    return V_OK;
}

static enum verdict execute_one(struct poa_core *c, struct block *b, bool certified)
{
    struct parent p;
    uint32_t txs;
    if (!core_parent_find(c, b->h.parent, b->h.parent_view, &p))
        return V_INVALID;
    int e = core_block_rules(c, b, &p);
    enum verdict v = e ? V_INVALID : gather(c, b, &txs);
    if (v == V_OK && b->h.kind == POA_BLOCK_FILLER) {
        /* A filler changes nothing: whoever comes after the closing block sees
         * the closing block's state. */
        b->exec = EXEC_DONE;
        b->state = p.state;
        memcpy(b->root, p.root, 32);
        return V_OK;
    }
    if (v == V_OK)
        v = core_block_run(c, b, &p, txs);
    if (v == V_INVALID) {
        b->exec = EXEC_INVALID;
        if (certified)
            core_halt(c, e ? e : POA_E_BLOCK_INVALID,
                      e == POA_E_STATE_ROOT ? "a certified block has another state root than ours"
                                            : "a certified block breaks a rule here");
    }
    return v;
}

enum verdict core_block_execute(struct poa_core *c, struct block *b, bool certified)
{
    struct block *x = b;
    while (b->exec == EXEC_NONE) {
        struct block *p;
        if (hash_eq(x->h.parent, c->tip))
            break;
        p = core_block_find(c, x->h.parent);
        if (!p) {
            core_want_block(c, x->h.parent, b->h.leader);
            return V_WAIT;
        }
        if (p->exec == EXEC_INVALID) {
            b->exec = EXEC_INVALID;
            break;
        }
        if (p->final || p->h.view >= x->h.view)
            return V_INVALID; /* a fork below the tip */
        if (p->exec == EXEC_DONE)
            break;
        x = p;
    }
    if (b->exec != EXEC_NONE)
        return b->exec == EXEC_DONE ? V_OK : V_INVALID;
    enum verdict v = execute_one(c, x, certified);
    if (v != V_OK || x == b)
        return v;
    c->more = true; /* the next ancestor in the next step */
    return V_WAIT;
}

/* --- voting -------------------------------------------------------------------------------- */

/* Certificates that place B: parent certified, every view between nullified. */
static enum verdict justified(struct poa_core *c, const struct block *b)
{
    uint64_t p = b->h.parent_view;
    if (p < c->tip_view || (p == c->tip_view && !hash_eq(b->h.parent, c->tip)))
        return V_INVALID;
    if (p != c->tip_view) {
        const struct slot *s = core_slot_get(c, p);
        const struct cert_at *n = s && s->cert[POA_VOTE_NOTARIZE].have ? &s->cert[POA_VOTE_NOTARIZE]
                                  : s                                  ? &s->cert[POA_VOTE_FINALIZE]
                                                                       : NULL;
        if (!n || !n->have) {
            core_ask_certs(c, p, b->h.view);
            return V_WAIT;
        }
        if (!hash_eq(n->hash, b->h.parent))
            return V_INVALID;
    }
    for (uint64_t v = p + 1; v < b->h.view && c->mutant != POA_MUTANT_UNCHECKED_GAP; v++) {
        const struct slot *s = core_slot_get(c, v);
        if ((!s || !s->cert[POA_VOTE_NULLIFY].have) && !core_recovered(c, v)) {
            core_ask_certs(c, v, b->h.view);
            return V_WAIT;
        }
    }
    return V_OK;
}

/* Rules of listing: each batch here, unexpired, not listed twice. They bind
 * votes only; execution copes with whatever is certified. */
static enum verdict listing(struct poa_core *c, const struct block *b)
{
    struct poa_list_iter it = poa_list_begin(&b->b.batches);
    struct poa_digest d;
    bool missing = false;
    core_path_mark(c, core_block_find(c, b->h.parent));
    while (poa_digest_next(&it, &d)) {
        struct batch *x = core_batch_find(c, d.digest);
        if (!x || x->state == BATCH_HINT || x->state == BATCH_WANTED ||
            x->state == BATCH_CHECKING) {
            (void)core_batch_want(c, d.digest, b->h.leader);
            missing = true;
            continue;
        }
        if (x->state != BATCH_VALID || x->mark == c->mark || x->expires_ms < b->h.time_ms)
            return V_INVALID;
        x->mark = c->mark;
    }
    return missing ? V_WAIT : V_OK;
}

enum verdict core_block_check(struct poa_core *c, struct block *b)
{
    if (b->exec == EXEC_INVALID)
        return V_INVALID;
    enum verdict v = justified(c, b);
    if (v != V_OK)
        return v;
    if (!b->beacon_ok) {
        uint8_t alpha[32];
        poa_beacon_alpha(c->chain, c->epoch, b->h.view, c->epoch_seed, alpha);
        if (c->suite->vrf_verify(c->keys[b->h.leader], alpha, sizeof alpha, b->h.beacon, b->beta))
            return V_INVALID;
        b->beacon_ok = true;
    }
    if (b->h.time_ms > c->now.wall_ms + c->genesis->drift_ms) {
        uint64_t wait = b->h.time_ms - c->now.wall_ms - c->genesis->drift_ms;
        if (b->h.view != c->ahead_view) { /* how far at first, not when it is looked at again */
            c->ahead_view = b->h.view;
            c->ahead_ms = wait + c->genesis->drift_ms;
            memcpy(c->ahead_key, c->keys[b->h.leader], 32);
        }
        c->retry_us = c->now.us + (wait < 60000 ? wait : 60000) * 1000;
        return V_WAIT;
    }
    v = listing(c, b);
    if (v != V_OK)
        return v;
    return core_block_execute(c, b, false);
}

/* --- commits ------------------------------------------------------------------------------------
 */

/* Makes executed B, child of the tip, the tip. */
bool core_block_commit(struct poa_core *c, struct block *b, struct poa_slice cert,
                       struct poa_slice fillers, uint32_t fillers_n)
{
    bool marked = c->commits && c->mark_blocks && c->height % c->mark_blocks == 0;
    if (c->commits == COMMITS || marked) {
        c->more = true;
        return false;
    }
    core_blocks_sweep(c, b);
    int e = poa_ledger_apply(c->ledger, b->state);
    if (e) {
        core_halt(c, e, "applying a final block failed");
        return false;
    }
    struct poa_commit *out = &c->commit[c->commits++];
    memset(out, 0, sizeof *out);
    out->header = &b->h;
    memcpy(out->hash, b->hash, 32);
    out->header_bytes = poa_slice(b->header, POA_HEADER_BYTES);
    out->body = poa_slice(b->body, b->body_n);
    out->cert = cert;
    out->fillers = fillers;
    out->fillers_n = fillers_n;
    out->batch = (const uint8_t(*)[32])(const void *)b->b.batches.bytes.p;
    out->batches = b->b.batches.count;
    out->tx = b->tx;
    out->txs = b->txs;
    memcpy(out->root, b->root, 32);
    out->state = POA_STATE_BASE;
    struct poa_effect *f = core_effect_add(c, POA_EFFECT_COMMIT, true);
    f->commit = out;
    f->height = b->h.height;

    b->final = true;
    b->own_state = false;
    b->state = POA_STATE_BASE;
    c->height = b->h.height;
    c->tip_view = b->h.view;
    c->tip_time = b->h.time_ms;
    c->tip_kind = b->h.kind;
    c->tip_block = b;
    memcpy(c->tip, b->hash, 32);
    memcpy(c->tip_root, b->root, 32);
    if (c->mutant == POA_MUTANT_OWN_BEACON && b->beacon_ok) {
        poa_hash2(POA_DOMAIN_SEED, c->epoch_seed, 32, b->beta, 64, c->epoch_seed);
        core_order_leaders(c);
    }
    core_batches_final(c, &b->b, b->h.height, b->tx, b->txs);
    core_mining_final(c, &b->b);
    core_give_later(c, b->tx); /* lives until the next step, as the effect does */
    b->tx = NULL;
    return true;
}

/* The last step of an epoch: CERT finalizes the closing block, which is the
 * tip, or a filler on it. */
void core_hand_over(struct poa_core *c, struct poa_slice cert)
{
    uint8_t *copy = core_arena_take(&c->arena, cert.n);
    if (copy)
        memcpy(copy, cert.p, cert.n);
    core_epoch_enter(c, copy, copy ? (uint32_t)cert.n : 0);
}

void core_try_commit(struct poa_core *c)
{
    struct block *path[BLOCKS];
    uint32_t n = 0;
    if (c->final_view <= c->tip_view)
        return;
    struct block *b = core_block_find(c, c->final_hash);
    const uint8_t *missing = b ? NULL : c->final_hash;
    struct block *top = b;
    for (; b && !hash_eq(b->hash, c->tip); b = core_block_find(c, b->h.parent)) {
        if (b->final || b->h.height <= c->height || n == BLOCKS) {
            core_halt(c, POA_E_EQUIVOCATION, "final blocks fork: the committee is broken");
            return;
        }
        path[n++] = b;
        if (!hash_eq(b->h.parent, c->tip) && !core_block_find(c, b->h.parent))
            missing = b->h.parent;
    }
    if (missing) {
        core_want_block(c, missing, top ? top->h.leader : core_leader_of(c, c->final_view));
        if (top && n && path[n - 1]->h.height > c->height + 16)
            core_behind(c, top->h.height);
        return;
    }
    const struct slot *s = core_slot_get(c, c->final_view);
    struct poa_slice cert =
        poa_slice(s->cert[POA_VOTE_FINALIZE].bytes, s->cert[POA_VOTE_FINALIZE].n);
    while (n && !c->halted) {
        b = path[n - 1];
        if (core_block_execute(c, b, true) != V_OK)
            return;
        if (b->h.kind != POA_BLOCK_CLOSING) {
            if (!core_block_commit(c, b, n == 1 ? cert : poa_slice(NULL, 0), poa_slice(NULL, 0), 0))
                return;
            core_final_advance(c);
            if (n == 1)
                core_log_trim(c);
            n--;
            continue;
        }
        size_t cap = (size_t)n * 1024;
        uint8_t *buffer = core_out_take(c, cap);
        struct poa_writer w = poa_writer_over(buffer, cap);
        if (!buffer) {
            c->more = true;
            return;
        }
        for (uint32_t i = n - 1; i-- > 0;) {
            struct poa_block filler = {.header = poa_slice(path[i]->header, POA_HEADER_BYTES),
                                       .body = poa_slice(path[i]->body, path[i]->body_n)};
            POA_ASSERT(poa_block_encode(&w, &filler) == POA_OK);
        }
        /* The fillers stay for members that still have to see them. */
        if (!core_block_commit(c, b, cert, poa_written(&w), n - 1))
            return;
        for (uint32_t i = 0; i + 1 < n; i++)
            if (core_block_find(c, path[i]->hash) == path[i])
                path[i]->final = true;
        core_hand_over(c, cert);
        core_final_advance(c);
        core_log_trim(c);
        return;
    }
}
