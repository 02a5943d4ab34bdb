/* Blocks: proposals, their rules, execution on overlays, commits, and
 * bundles of final blocks from peers. */
#include "core.h"

/* --- the pool ------------------------------------------------------------------ */

struct block *core_block_find(const struct poa_core *c, const uint8_t hash[32])
{
    struct block *b = c->bucket[hash_low(hash) % BLOCK_BUCKETS];
    while (b && !hash_eq(b->hash, hash))
        b = b->next;
    return b;
}

static void block_drop(struct poa_core *c, struct block *b)
{
    struct block **at = &c->bucket[hash_low(b->hash) % BLOCK_BUCKETS];
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    struct slot *s = core_slot_get(c, b->h.view);
    if (s && s->prop == b)
        s->prop = NULL;
    if (b->own_state)
        poa_ledger_drop(c->ledger, b->state);
    if (c->tip_block == b)
        c->tip_block = NULL;
    core_give_later(c, b->body);
    core_give_later(c, b->tx);
    memset(b, 0, sizeof *b);
}

static bool certified(struct poa_core *c, const struct block *b)
{
    const struct slot *s = core_slot_get(c, b->h.view);
    return s &&
           ((s->cert[POA_VOTE_NOTARIZE].have &&
             hash_eq(s->cert[POA_VOTE_NOTARIZE].hash, b->hash)) ||
            (s->cert[POA_VOTE_FINALIZE].have && hash_eq(s->cert[POA_VOTE_FINALIZE].hash, b->hash)));
}

/* Nothing stands on a block that was not certified in its view. Should it be
 * certified late, it is executed again. */
void core_overlays_evict(struct poa_core *c)
{
    if (c->view < c->tip_view + 16)
        return;
    for (uint32_t i = 0; i < c->block_top; i++) {
        struct block *b = &c->block[i];
        if (!b->used || b->final || !b->own_state || b->h.view + 4 > c->view || certified(c, b))
            continue;
        poa_ledger_drop(c->ledger, b->state);
        b->own_state = false;
        b->exec = EXEC_NONE;
        core_give_later(c, b->tx);
        b->tx = NULL;
    }
}

/* Room for one more: the furthest header ahead of us goes first, then the
 * oldest that was not certified; both can be fetched again. */
static struct block *block_slot(struct poa_core *c)
{
    struct block *worst = NULL, *oldest = NULL;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct block *b = &c->block[i];
        if (!b->used) {
            if (i >= c->block_top)
                c->block_top = i + 1;
            return b;
        }
        if (!b->final && !b->own_state && b->h.view > c->view &&
            (!worst || b->h.view > worst->h.view))
            worst = b;
        if (!b->final && !b->own_state && b->h.view < c->view && !certified(c, b) &&
            (!oldest || b->h.view < oldest->h.view))
            oldest = b;
    }
    if (!worst)
        worst = oldest;
    if (worst)
        block_drop(c, worst);
    return worst;
}

static struct block *block_insert(struct poa_core *c, const uint8_t hash[32],
                                  const struct poa_header *h, struct poa_slice header,
                                  const uint8_t sig[64], struct poa_slice body)
{
    struct block *b = block_slot(c);
    uint8_t *copy = b ? core_arena_take(&c->arena, body.n ? body.n : 1) : NULL;
    if (!copy)
        return NULL;
    memset(b, 0, sizeof *b);
    memcpy(copy, body.p, body.n);
    b->body = copy;
    b->body_n = (uint32_t)body.n;
    if (poa_body_decode(poa_slice(copy, body.n), &b->b)) {
        core_arena_give(&c->arena, copy);
        b->body = NULL;
        return NULL;
    }
    b->used = true;
    b->h = *h;
    memcpy(b->hash, hash, 32);
    memcpy(b->header, header.p, POA_HEADER_BYTES);
    memcpy(b->sig, sig, 64);
    b->next = c->bucket[hash_low(hash) % BLOCK_BUCKETS];
    c->bucket[hash_low(hash) % BLOCK_BUCKETS] = b;
    return b;
}

/* Drops what a commit left behind: first the states of dead forks, children
 * before parents, then their blocks. KEEP is the block being committed, NULL
 * to drop all that is not final. */
static void blocks_sweep(struct poa_core *c, const struct block *keep)
{
    struct block *dead[BLOCKS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->block_top; i++) {
        struct block *b = &c->block[i];
        if (!b->used || b == keep)
            continue;
        if (b->final) {
            if (b->h.height + RECENT_BLOCKS < c->height)
                block_drop(c, b);
            continue;
        }
        const struct block *x = b;
        while (keep && x != keep && x->h.height > keep->h.height) {
            const struct block *p = core_block_find(c, x->h.parent);
            if (!p)
                break;
            x = p;
        }
        /* An orphan above KEEP may still turn out to descend from it. */
        bool alive =
            keep && (x == keep || x->h.height > keep->h.height) && b->h.view > keep->h.view;
        if (!alive)
            dead[n++] = b;
    }
    while (n) {
        uint32_t top = 0;
        for (uint32_t i = 1; i < n; i++)
            if (dead[i]->h.height > dead[top]->h.height)
                top = i;
        block_drop(c, dead[top]);
        dead[top] = dead[--n];
    }
}

void core_blocks_reset(struct poa_core *c)
{
    blocks_sweep(c, NULL);
    memset(c->want, 0, sizeof c->want);
}

/* --- fetching -------------------------------------------------------------------- */

static uint64_t ask_interval(const struct poa_core *c)
{
    return (uint64_t)c->genesis->timeout_ms * 500;
}

static void ask(struct poa_core *c, struct want *w)
{
    struct poa_get_block get;
    memcpy(get.hash, w->hash, 32);
    struct poa_slice bytes = core_encode(c, &poa_get_block_record, &get);
    w->ask_us = c->now.us + ask_interval(c);
    if (!bytes.n || c->n < 2)
        return;
    uint16_t first = w->hint;
    if (w->tries || w->hint >= c->n || (int32_t)w->hint == c->self)
        first = (uint16_t)((w->tries + hash_low(w->hash)) % c->n);
    if ((int32_t)first == c->self)
        first = (uint16_t)((first + 1) % c->n);
    core_send_to(c, POA_MSG_GET_BLOCK, bytes, first, 0);
    /* Whoever is asked may not have it either: widen with every try. */
    for (uint32_t i = 1; i < w->tries && i < c->n; i++) {
        uint16_t other = (uint16_t)((first + i) % c->n);
        if ((int32_t)other != c->self)
            core_send_to(c, POA_MSG_GET_BLOCK, bytes, other, 0);
    }
    w->tries++;
    if (w->tries > 6)
        core_behind(c, c->height + 1);
}

void core_want_block(struct poa_core *c, const uint8_t hash[32], uint16_t hint)
{
    struct want *free_want = NULL;
    if (c->self < 0 || c->restoring || c->mutant == POA_MUTANT_NO_FETCH)
        return;
    for (uint32_t i = 0; i < WANTS; i++) {
        if (c->want[i].used && hash_eq(c->want[i].hash, hash))
            return;
        if (!c->want[i].used)
            free_want = &c->want[i];
    }
    if (!free_want)
        return;
    memset(free_want, 0, sizeof *free_want);
    free_want->used = true;
    memcpy(free_want->hash, hash, 32);
    free_want->hint = hint;
    ask(c, free_want);
}

static bool wanted(const struct poa_core *c, const uint8_t hash[32])
{
    for (uint32_t i = 0; i < WANTS; i++)
        if (c->want[i].used && hash_eq(c->want[i].hash, hash))
            return true;
    return false;
}

static void want_done(struct poa_core *c, const uint8_t hash[32])
{
    for (uint32_t i = 0; i < WANTS; i++)
        if (c->want[i].used && hash_eq(c->want[i].hash, hash))
            c->want[i].used = false;
}

void core_wants_tick(struct poa_core *c)
{
    for (uint32_t i = 0; i < WANTS; i++) {
        struct want *w = &c->want[i];
        if (!w->used || w->ask_us > c->now.us)
            continue;
        if (w->tries > 12)
            w->used = false;
        else
            ask(c, w);
    }
}

uint64_t core_wants_deadline(const struct poa_core *c)
{
    uint64_t d = NO_DEADLINE;
    for (uint32_t i = 0; i < WANTS; i++)
        if (c->want[i].used && c->want[i].ask_us < d)
            d = c->want[i].ask_us;
    return d;
}

int core_on_get_block(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_get_block get;
    int e = poa_get_block_decode(bytes, &get);
    if (e)
        return e;
    const struct block *b = core_block_find(c, get.hash);
    if (!b || !b->has_sig)
        return POA_E_NOT_FOUND;
    if (!core_serve_allowed(c, peer, 16))
        return POA_E_RATE;
    struct poa_list none = {.bytes = {NULL, 0}, .count = 0};
    struct poa_slice p = core_proposal_encode(c, b, &none);
    if (p.n)
        core_send_to(c, POA_MSG_PROPOSAL, p, peer, 0);
    return POA_OK;
}

/* --- parents ---------------------------------------------------------------------- */

bool core_parent_find(struct poa_core *c, const uint8_t hash[32], uint64_t view, struct parent *out)
{
    memset(out, 0, sizeof *out);
    if (hash_eq(hash, c->tip)) {
        out->height = c->height;
        out->time_ms = c->tip_time;
        out->kind = c->tip_kind;
        out->executed = true;
        out->state = POA_STATE_BASE;
        memcpy(out->root, c->tip_root, 32);
        return view == c->tip_view;
    }
    struct block *b = core_block_find(c, hash);
    if (!b || b->final || b->h.view != view || b->h.epoch != c->epoch)
        return false;
    out->height = b->h.height;
    out->time_ms = b->h.time_ms;
    out->kind = b->h.kind;
    out->closing_height = b->h.closing_height;
    out->executed = b->exec == EXEC_DONE;
    out->state = b->state;
    memcpy(out->root, b->root, 32);
    out->block = b;
    return true;
}

void core_path_mark(struct poa_core *c, const struct block *b)
{
    c->mark++;
    for (; b && !b->final; b = core_block_find(c, b->h.parent)) {
        struct poa_list_iter it = poa_list_begin(&b->b.batches);
        struct poa_digest d;
        while (poa_digest_next(&it, &d)) {
            struct batch *x = core_batch_find(c, d.digest);
            if (x)
                x->mark = c->mark;
        }
    }
}

void core_blocks_mark(struct poa_core *c)
{
    c->mark++;
    for (uint32_t i = 0; i < c->block_top; i++) {
        const struct block *b = &c->block[i];
        if (!b->used || b->final)
            continue;
        struct poa_list_iter it = poa_list_begin(&b->b.batches);
        struct poa_digest d;
        while (poa_digest_next(&it, &d)) {
            struct batch *x = core_batch_find(c, d.digest);
            if (x)
                x->mark = c->mark;
        }
    }
}

/* --- rules -------------------------------------------------------------------------- */

static uint8_t kind_after(const struct poa_core *c, const struct parent *p, uint64_t view)
{
    if (view <= c->genesis->epoch_views)
        return POA_BLOCK_NORMAL;
    return p->kind == POA_BLOCK_NORMAL ? POA_BLOCK_CLOSING : POA_BLOCK_FILLER;
}

static uint64_t min_time(const struct poa_core *c, const struct parent *p)
{
    return p->time_ms + (c->genesis->block_min_ms ? c->genesis->block_min_ms : 1);
}

static int next_committee_hash(struct poa_core *c, poa_state_id state, uint8_t out32[32])
{
    uint8_t buffer[POA_COMMITTEE_BYTES_MAX];
    struct poa_committee next;
    int e = poa_ledger_next_committee(c->ledger, state, buffer, &next);
    if (!e)
        poa_committee_hash(&next, out32);
    return e;
}

/* What a block owes its parent, whoever looks and whenever. */
static int rules(struct poa_core *c, const struct block *b, const struct parent *p)
{
    const struct poa_header *h = &b->h;
    uint8_t next[32] = {0};
    if (h->height != p->height + 1 || h->time_ms < min_time(c, p))
        return POA_E_BLOCK_INVALID;
    if (h->kind != kind_after(c, p, h->view))
        return POA_E_BLOCK_INVALID;
    if (h->closing_height != (h->kind != POA_BLOCK_FILLER    ? 0
                              : p->kind == POA_BLOCK_CLOSING ? p->height
                                                             : p->closing_height))
        return POA_E_BLOCK_INVALID;
    if (h->kind != POA_BLOCK_NORMAL && !hash_eq(h->body, c->empty_body))
        return POA_E_BLOCK_INVALID;
    if (!hash_eq(h->state, p->root))
        return POA_E_STATE_ROOT;
    if (h->kind == POA_BLOCK_CLOSING && next_committee_hash(c, p->state, next))
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
static enum verdict run(struct poa_core *c, struct block *b, const struct parent *p, uint32_t txs)
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
    int e = rules(c, b, &p);
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
        v = run(c, b, &p, txs);
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
        if (!s || !s->cert[POA_VOTE_NULLIFY].have) {
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
        c->retry_us = c->now.us + (wait < 60000 ? wait : 60000) * 1000;
        return V_WAIT;
    }
    v = listing(c, b);
    if (v != V_OK)
        return v;
    return core_block_execute(c, b, false);
}

/* --- proposals ------------------------------------------------------------------------------- */

struct poa_slice core_proposal_encode(struct poa_core *c, const struct block *b,
                                      const struct poa_list *just)
{
    struct poa_proposal p = {.header = poa_slice(b->header, POA_HEADER_BYTES),
                             .body = poa_slice(b->body, b->body_n),
                             .just = *just};
    memcpy(p.sig, b->sig, 64);
    return core_encode(c, &poa_proposal_record, &p);
}

/* Parent's certificate and the last nullifications below B's view; who lacks
 * older ones asks for them. */
struct poa_list core_just_build(struct poa_core *c, const struct block *b)
{
    struct poa_list none = {.bytes = {NULL, 0}, .count = 0};
    uint64_t first = b->h.parent_view + 1;
    if (b->h.view - first > 64)
        first = b->h.view - 64;
    size_t cap = 0;
    for (uint64_t v = b->h.parent_view; v < b->h.view;
         v = v == b->h.parent_view && first > v + 1 ? first : v + 1)
        cap += POA_CERT_BYTES_MAX + 8;
    uint8_t *buffer = core_out_take(c, cap);
    struct poa_writer w = poa_writer_over(buffer, cap);
    uint32_t count = 0;
    if (!buffer)
        return none;
    for (uint64_t v = b->h.parent_view; v < b->h.view;
         v = v == b->h.parent_view && first > v + 1 ? first : v + 1) {
        const struct slot *s = core_slot_get(c, v);
        int k = v != b->h.parent_view                  ? POA_VOTE_NULLIFY
                : s && s->cert[POA_VOTE_FINALIZE].have ? POA_VOTE_FINALIZE
                                                       : POA_VOTE_NOTARIZE;
        if (!s || !s->cert[k].have)
            continue;
        struct poa_raw_cert raw = {.cert = poa_slice(s->cert[k].bytes, s->cert[k].n)};
        if (poa_raw_cert_encode(&w, &raw))
            return none;
        count++;
    }
    return (struct poa_list){.bytes = poa_written(&w), .count = count};
}

static void accuse_headers(struct poa_core *c, const struct block *a, const struct poa_proposal *p)
{
    uint8_t first[512], second[512];
    struct poa_writer wa = poa_writer_over(first, sizeof first);
    struct poa_writer wb = poa_writer_over(second, sizeof second);
    struct poa_signed_header ha = {.header = poa_slice(a->header, POA_HEADER_BYTES)};
    struct poa_signed_header hb = {.header = p->header};
    memcpy(ha.sig, a->sig, 64);
    memcpy(hb.sig, p->sig, 64);
    if (c->convicted[a->h.leader])
        return;
    c->convicted[a->h.leader] = 1;
    if (poa_signed_header_encode(&wa, &ha) == POA_OK &&
        poa_signed_header_encode(&wb, &hb) == POA_OK)
        core_accuse(c, POA_EVIDENCE_HEADERS, c->keys[a->h.leader], poa_written(&wa),
                    poa_written(&wb));
}

static int header_decode(const struct poa_core *c, struct poa_slice bytes, struct poa_header *h)
{
    int e = bytes.n == POA_HEADER_BYTES ? poa_header_decode(bytes, h) : POA_E_RANGE;
    if (e)
        return e;
    if (h->version != 1)
        return POA_E_UNSUPPORTED;
    return hash_eq(h->chain, c->chain) ? POA_OK : POA_E_CHAIN;
}

/* The pace of views counts from when the leader proposed, as its header says,
 * so that transit and the disk are not waited for a second time; at most
 * block_min earlier than now, whatever the header says. */
static void paced_from(struct poa_core *c, uint64_t time_ms)
{
    uint64_t age = c->now.wall_ms > time_ms ? c->now.wall_ms - time_ms : 0;
    if (age > c->genesis->block_min_ms)
        age = c->genesis->block_min_ms;
    age *= 1000;
    c->prop_us = c->now.us > age ? c->now.us - age : 0;
}

int core_on_proposal(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_proposal p;
    struct poa_header h;
    uint8_t hash[32], digest[32], body[32];
    int e = poa_proposal_decode(bytes, &p);
    if (!e)
        e = header_decode(c, p.header, &h);
    if (e)
        return e;
    if (h.epoch != c->epoch) {
        if (h.epoch < c->epoch)
            core_help(c, peer);
        else if (peer < c->n)
            core_behind(c, c->height + 1);
        return POA_E_EPOCH;
    }
    if (h.leader >= c->n || h.leader != core_leader_of(c, h.view))
        return POA_E_LEADER;
    struct poa_list_iter it = poa_list_begin(&p.just);
    struct poa_raw_cert raw;
    while (poa_raw_cert_next(&it, &raw)) {
        e = core_cert_take(c, raw.cert, false, peer);
        if (e && poa_error_class(e) == POA_CLASS_PEER && e != POA_E_DUPLICATE && e != POA_E_VIEW &&
            e != POA_E_EPOCH)
            return e; /* a forged justification */
    }
    if (p.just.count)
        core_progress(c);
    if (h.epoch != c->epoch || h.view <= c->tip_view || h.parent_view >= h.view)
        return POA_E_VIEW;
    poa_header_hash(&h, hash);
    if (h.leader == peer)
        core_heard_from(c, peer, h.view);
    if (core_block_find(c, hash))
        return POA_E_DUPLICATE;
    bool fetched = wanted(c, hash);
    struct slot *s = core_slot_open(c, h.view);
    if (!s || (!fetched && h.view > c->view + AHEAD))
        return POA_E_VIEW;
    if (s->prop && s->conflict && !fetched && c->mutant != POA_MUTANT_VOTE_TWICE)
        return POA_E_EQUIVOCATION;
    poa_proposal_digest(hash, digest);
    e = c->suite->verify(c->keys[h.leader], digest, sizeof digest, p.sig);
    if (e)
        return e;
    if (s->prop) {
        s->conflict = true;
        accuse_headers(c, s->prop, &p);
        if (!fetched && c->mutant != POA_MUTANT_VOTE_TWICE)
            return POA_E_EQUIVOCATION;
    }
    poa_body_hash(p.body, body);
    if (!hash_eq(body, h.body))
        return POA_E_BLOCK_INVALID;
    struct block *b = block_insert(c, hash, &h, p.header, p.sig, p.body);
    if (!b)
        return POA_E_FULL;
    b->has_sig = true;
    want_done(c, hash);
    if (!s->prop) {
        s->prop = b;
        if (h.view >= c->view)
            paced_from(c, h.time_ms);
    } else if (c->mutant == POA_MUTANT_VOTE_TWICE && !fetched) {
        s->prop = b;
        s->voted = false;
    }
    core_progress(c);
    return POA_OK;
}

int core_restore_proposal(struct poa_core *c, struct poa_slice bytes, bool own, uint64_t seq)
{
    struct poa_proposal p;
    struct poa_header h;
    uint8_t hash[32];
    int e = poa_proposal_decode(bytes, &p);
    if (!e)
        e = header_decode(c, p.header, &h);
    if (e)
        return e;
    if (h.epoch != c->epoch || h.view <= c->tip_view)
        return POA_OK;
    poa_header_hash(&h, hash);
    struct slot *s = core_slot_open(c, h.view);
    if (!s || core_block_find(c, hash))
        return POA_OK;
    struct block *b = block_insert(c, hash, &h, p.header, p.sig, p.body);
    if (!b)
        return POA_E_FULL;
    b->has_sig = true;
    if (!s->seq)
        s->seq = seq;
    s->prop = b;
    if (own) {
        s->proposed = true;
        s->prop_seq = seq;
    }
    return POA_OK;
}

/* The highest notarized view below ours, with nullifications after it. */
static bool parent_choose(struct poa_core *c, struct parent *p, uint8_t hash[32], uint64_t *view)
{
    for (uint64_t v = c->view - 1; v > c->tip_view && c->mutant != POA_MUTANT_STALE_PARENT; v--) {
        const struct slot *s = core_slot_get(c, v);
        const struct cert_at *n = s && s->cert[POA_VOTE_NOTARIZE].have ? &s->cert[POA_VOTE_NOTARIZE]
                                  : s && s->cert[POA_VOTE_FINALIZE].have
                                      ? &s->cert[POA_VOTE_FINALIZE]
                                      : NULL;
        if (n) {
            struct block *b = core_block_find(c, n->hash);
            if (!b) {
                core_want_block(c, n->hash, core_leader_of(c, v));
                return false;
            }
            if (core_block_execute(c, b, true) != V_OK)
                return false;
            memcpy(hash, b->hash, 32);
            *view = v;
            return core_parent_find(c, hash, v, p);
        }
        if (!s || !s->cert[POA_VOTE_NULLIFY].have) {
            core_ask_certs(c, v, c->view);
            return false;
        }
    }
    memcpy(hash, c->tip, 32);
    *view = c->tip_view;
    return core_parent_find(c, hash, c->tip_view, p);
}

void core_try_propose(struct poa_core *c)
{
    struct parent p;
    struct poa_header h;
    uint8_t hash[32], digest[32], sig[64], alpha[32];
    if (!voter(c) || core_leader_of(c, c->view) != c->self)
        return;
    struct slot *s = core_slot_open(c, c->view);
    if (!s || s->proposed)
        return;
    uint64_t pace = c->prop_us + (uint64_t)c->genesis->block_min_ms * 1000;
    if (c->now.us < pace)
        return;
    if (!core_batch_waits(c) && c->now.us < c->prop_us + (uint64_t)c->genesis->heartbeat_ms * 1000)
        return;
    memset(&h, 0, sizeof h);
    if (!parent_choose(c, &p, h.parent, &h.parent_view))
        return;
    h.version = 1;
    h.kind = kind_after(c, &p, c->view);
    memcpy(h.chain, c->chain, 32);
    h.epoch = c->epoch;
    h.view = c->view;
    h.height = p.height + 1;
    h.time_ms = c->now.wall_ms > min_time(c, &p) ? c->now.wall_ms : min_time(c, &p);
    h.leader = (uint16_t)c->self;
    memcpy(h.state, p.root, 32);
    if (h.kind == POA_BLOCK_FILLER)
        h.closing_height = p.kind == POA_BLOCK_CLOSING ? p.height : p.closing_height;
    if (h.kind == POA_BLOCK_CLOSING && next_committee_hash(c, p.state, h.next_committee))
        return;
    if (h.time_ms > c->now.wall_ms + c->genesis->drift_ms) {
        /* Others would not accept it yet; a slow clock waits for the chain's. */
        c->retry_us = c->now.us + (h.time_ms - c->now.wall_ms - c->genesis->drift_ms) * 1000;
        return;
    }
    if (c->beacon_view != c->view) {
        poa_beacon_alpha(c->chain, c->epoch, c->view, c->epoch_seed, alpha);
        if (c->suite->vrf_prove(c->seed, c->key, alpha, sizeof alpha, c->beacon))
            return;
        c->beacon_view = c->view;
    }
    memcpy(h.beacon, c->beacon, 80);

    struct poa_body body;
    struct poa_writer w = poa_writer_over(c->scratch, SCRATCH_BYTES);
    memset(&body, 0, sizeof body);
    if (h.kind == POA_BLOCK_NORMAL && p.height - c->height < DEPTH_MAX - 8) {
        core_path_mark(c, p.block);
        body.batches.count = core_batches_list(c, h.time_ms, &w);
        body.batches.bytes = poa_written(&w);
        core_mining_list(c, p.state, h.time_ms, &body, &w);
    }
    struct poa_writer out = poa_writer_over(c->scratch + SCRATCH_BYTES / 2, SCRATCH_BYTES / 2);
    if (w.n > SCRATCH_BYTES / 2 || poa_body_encode(&out, &body))
        return;
    poa_body_hash(poa_written(&out), h.body);
    uint8_t encoded[POA_HEADER_BYTES];
    struct poa_writer hw = poa_writer_over(encoded, sizeof encoded);
    POA_ASSERT(poa_header_encode(&hw, &h) == POA_OK && hw.n == sizeof encoded);
    poa_header_hash(&h, hash);
    poa_proposal_digest(hash, digest);
    c->suite->sign(c->seed, c->key, digest, sizeof digest, sig);
    struct block *b =
        block_insert(c, hash, &h, poa_slice(encoded, sizeof encoded), sig, poa_written(&out));
    if (!b)
        return;
    b->has_sig = true;
    if (body.tickets.count) {
        /* Tickets compete for seats, so that two which the parent's state takes
         * may not go together: look before others do. */
        enum verdict v = core_block_execute(c, b, false);
        if (v != V_OK) {
            if (v == V_INVALID)
                core_mining_distrust(c, &body);
            block_drop(c, b);
            c->more = true;
            return;
        }
    }
    struct poa_list just = core_just_build(c, b);
    struct poa_slice bytes = core_proposal_encode(c, b, &just);
    if (!bytes.n) {
        block_drop(c, b);
        return;
    }
    s->proposed = true;
    s->prop = b;
    c->prop_us = c->now.us;
    uint64_t seq = core_persist(c, POA_WAL_PROPOSAL, bytes);
    s->prop_seq = seq;
    if (!s->seq)
        s->seq = seq;
    core_send_all(c, POA_MSG_PROPOSAL, bytes, true, seq);
    /* Others should not wait for our execution: that is for the next step. */
    if (body.batches.count) {
        c->exec_ready = false;
        c->more = true;
    }
}

/* --- commits ------------------------------------------------------------------------------------
 */

/* Makes executed B, child of the tip, the tip. */
static bool commit(struct poa_core *c, struct block *b, struct poa_slice cert,
                   struct poa_slice fillers, uint32_t fillers_n)
{
    if (c->commits == COMMITS) {
        c->more = true;
        return false;
    }
    blocks_sweep(c, b);
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
    core_batches_final(c, &b->b, b->h.height, b->tx, b->txs);
    core_mining_final(c, &b->b);
    core_give_later(c, b->tx); /* lives until the next step, as the effect does */
    b->tx = NULL;
    return true;
}

/* The last step of an epoch: CERT finalizes the closing block, which is the
 * tip, or a filler on it. */
static void hand_over(struct poa_core *c, struct poa_slice cert)
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
            if (!commit(c, b, n == 1 ? cert : poa_slice(NULL, 0), poa_slice(NULL, 0), 0))
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
        if (!commit(c, b, cert, poa_written(&w), n - 1))
            return;
        for (uint32_t i = 0; i + 1 < n; i++)
            if (core_block_find(c, path[i]->hash) == path[i])
                path[i]->final = true;
        hand_over(c, cert);
        core_final_advance(c);
        core_log_trim(c);
        return;
    }
}

/* --- bundles -------------------------------------------------------------------------------------
 */

/* Checks links and the certificate of a bundle once and remembers the hashes. */
static int bundle_check(struct poa_core *c, const struct poa_blocks *bundle)
{
    struct poa_list_iter it = poa_list_begin(&bundle->blocks);
    struct poa_block raw;
    struct poa_header h;
    struct poa_cert cert;
    uint8_t hash[32], body[32];
    uint32_t n = 0;
    int e = poa_cert_decode(bundle->cert, &cert);
    if (e)
        return e;
    if (cert.epoch != c->epoch)
        return cert.epoch < c->epoch ? POA_E_DUPLICATE : POA_E_EPOCH;
    c->bundle.n = 0;
    while (poa_block_next(&it, &raw)) {
        e = header_decode(c, raw.header, &h);
        if (e)
            return e;
        poa_body_hash(raw.body, body);
        if (!hash_eq(body, h.body))
            return POA_E_BLOCK_INVALID;
        poa_header_hash(&h, c->bundle.hash[n]);
        if (n && (h.height != c->bundle.first + n || !hash_eq(h.parent, hash)))
            return POA_E_BLOCK_INVALID;
        if (h.height > c->height && h.epoch != c->epoch)
            return POA_E_EPOCH;
        if (!n)
            c->bundle.first = h.height;
        if (h.height == c->height && !hash_eq(c->bundle.hash[n], c->tip))
            return POA_E_BLOCK_INVALID;
        if (h.height == c->height + 1 && !hash_eq(h.parent, c->tip))
            return POA_E_BLOCK_INVALID;
        memcpy(hash, c->bundle.hash[n++], 32);
    }
    if (!n || c->bundle.first > c->height + 1)
        return POA_E_BLOCK_PARENT;
    if (h.height <= c->height)
        return POA_E_DUPLICATE;
    if (cert.kind != POA_VOTE_FINALIZE || !hash_eq(cert.hash, hash) || cert.view != h.view)
        return POA_E_BLOCK_INVALID;
    e = core_cert_verify(c, &cert);
    if (e)
        return e;
    c->bundle.n = n;
    return POA_OK;
}

/* Executes one block of a checked bundle on the tip and commits it. LAST: the
 * certificate is for it. */
static int bundle_block(struct poa_core *c, const struct poa_block *raw, const struct poa_header *h,
                        const uint8_t hash[32], const struct poa_checked_batch *batch,
                        struct poa_slice cert, struct poa_slice fillers, uint32_t fillers_n)
{
    struct block *b = core_block_find(c, hash);
    if (b && b->exec == EXEC_INVALID)
        b->exec = EXEC_NONE; /* certified: look again, with the batches at hand */
    if (!b) {
        static const uint8_t no_sig[64];
        b = block_insert(c, hash, h, raw->header, no_sig, raw->body);
        if (!b)
            return POA_E_AGAIN;
    }
    struct poa_list_iter it = poa_list_begin(&b->b.batches);
    struct poa_digest d;
    uint32_t txs = 0;
    for (uint32_t i = 0; poa_digest_next(&it, &d); i++) {
        if (!hash_eq(batch[i].digest, d.digest))
            return POA_E_BATCH_INVALID;
        if (batch[i].code)
            return batch[i].code;
        if (batch[i].txs > BLOCK_TXS - txs)
            return POA_E_BATCH_INVALID;
        for (uint32_t k = 0; k < batch[i].txs; k++)
            c->gather[txs++] = &batch[i].tx[k];
    }
    if (b->exec == EXEC_NONE) {
        struct parent p;
        if (!core_parent_find(c, h->parent, h->parent_view, &p))
            return POA_E_BLOCK_PARENT;
        int e = rules(c, b, &p);
        enum verdict v = e ? V_INVALID : run(c, b, &p, txs);
        if (v == V_WAIT)
            return POA_E_AGAIN;
        if (v == V_INVALID) {
            core_halt(c, e ? e : POA_E_BLOCK_INVALID,
                      e == POA_E_STATE_ROOT ? "a certified block has another state root than ours"
                                            : "a certified block breaks a rule here");
            return e ? e : POA_E_BLOCK_INVALID;
        }
    }
    it = poa_list_begin(&b->b.batches);
    for (uint32_t i = 0; poa_digest_next(&it, &d) && !c->restoring; i++) {
        const struct batch *x = core_batch_find(c, d.digest);
        if (!x || !x->seq)
            (void)core_persist(c, POA_WAL_BATCH, batch[i].bytes);
    }
    return commit(c, b, cert, fillers, fillers_n) ? POA_OK : POA_E_AGAIN;
}

int core_on_bundle(struct poa_core *c, const struct poa_event *ev)
{
    struct poa_blocks bundle;
    struct poa_block raw;
    struct poa_header h;
    int e = poa_blocks_decode(ev->bytes, &bundle);
    if (e)
        return e;
    if (!bundle.blocks.count)
        return POA_OK;
    /* The same bundle again goes on where it stopped. */
    bool known = c->bundle.n && c->bundle.n == bundle.blocks.count &&
                 c->bundle.bytes.p == ev->bytes.p && c->bundle.bytes.n == ev->bytes.n;
    if (!known) {
        e = bundle_check(c, &bundle);
        if (e)
            return e == POA_E_DUPLICATE ? POA_OK : e;
        c->bundle.bytes = ev->bytes;
    }
    struct poa_list_iter it = poa_list_begin(&bundle.blocks);
    const struct poa_checked_batch *batch = ev->batch;
    uint32_t left = ev->batches;
    bool closed = false;
    for (uint32_t i = 0; poa_block_next(&it, &raw) && !closed; i++) {
        struct poa_body body;
        if (header_decode(c, raw.header, &h) || poa_body_decode(raw.body, &body))
            return POA_E_BLOCK_INVALID;
        if (body.batches.count > left)
            return POA_E_BATCH_MISSING;
        const struct poa_checked_batch *own = batch;
        batch += body.batches.count;
        left -= body.batches.count;
        if (h.height <= c->height)
            continue;
        uint8_t hash[32];
        poa_header_hash(&h, hash);
        if (!hash_eq(hash, c->bundle.hash[i]))
            return POA_E_BLOCK_INVALID;
        poa_body_hash(raw.body, hash);
        if (!hash_eq(hash, h.body))
            return POA_E_BLOCK_INVALID;
        closed = h.kind == POA_BLOCK_CLOSING;
        bool last = it.left == 0 || closed;
        e = bundle_block(c, &raw, &h, c->bundle.hash[i], own,
                         last ? bundle.cert : poa_slice(NULL, 0),
                         closed ? it.rest : poa_slice(NULL, 0), closed ? it.left : 0);
        if (e) {
            if (e != POA_E_AGAIN)
                c->bundle.n = 0;
            return e;
        }
        core_final_advance(c);
        if (it.left && !closed) {
            c->more = true;
            return POA_E_AGAIN;
        }
    }
    c->bundle.n = 0;
    if (closed) {
        c->live_handover = false;
        hand_over(c, bundle.cert);
        core_final_advance(c);
        c->live_handover = true;
    } else {
        (void)core_cert_take(c, bundle.cert, true, POA_PEER_OTHER);
        if (c->view <= c->tip_view) {
            c->view = c->tip_view + 1;
            core_simplex_start(c);
        }
    }
    core_log_trim(c);
    core_progress(c);
    return POA_OK;
}
