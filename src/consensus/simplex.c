/* Views, votes and certificates: Simplex.
 *
 * A view is cleared by a notarization or a nullification of it, or by any
 * finalization at or beyond it; the frontier is the lowest view that is not
 * cleared. Safety is two local rules: one notarize vote per view, and never
 * both nullify and finalize in one view. Everything else is liveness.
 *
 * Source: docs/consensus.md; Chan and Pass 2023, section 3.
 */
#include "core.h"

uint64_t core_t0_us(const struct poa_core *c)
{
    return (uint64_t)c->genesis->timeout_ms * 1000;
}

static uint64_t cap_us(const struct poa_core *c)
{
    uint64_t cap = (uint64_t)c->genesis->timeout_max_ms * 1000;
    return cap > core_t0_us(c) ? cap : core_t0_us(c);
}

uint64_t core_heartbeat_us(const struct poa_core *c)
{
    return (uint64_t)c->genesis->heartbeat_ms * 1000;
}

/* BASE * 1.5^K, at most the cap. */
static uint64_t grown(const struct poa_core *c, uint64_t base, uint64_t k)
{
    uint64_t cap = cap_us(c) > base ? cap_us(c) : base;
    for (; k && base < cap; k--)
        base += base / 2 + 1;
    return base < cap ? base : cap;
}

uint16_t core_leader_of(const struct poa_core *c, uint64_t view)
{
    return c->order[view % c->n];
}

uint16_t poa_core_leader(const struct poa_core *c, uint64_t view)
{
    return c->n ? core_leader_of(c, view) : 0;
}

bool core_silent(const struct poa_core *c, uint16_t member)
{
    return (int32_t)member != c->self && c->view > c->heard[member] + SILENT_VIEWS;
}

void core_heard_from(struct poa_core *c, uint16_t peer, uint64_t view)
{
    if (peer >= c->n)
        return;
    c->heard[peer] = c->view;
    if (view > c->peer_view[peer])
        c->peer_view[peer] = view;
}

/* --- slots ------------------------------------------------------------------- */

struct slot *core_slot_get(struct poa_core *c, uint64_t view)
{
    struct slot *s = &c->ring[view % RING];
    return view && s->view == view ? s : NULL;
}

static void slot_clear(struct poa_core *c, struct slot *s)
{
    for (int k = 0; k < 3; k++)
        core_give_later(c, s->cert[k].bytes);
    memset(s, 0, sizeof *s);
}

struct slot *core_slot_open(struct poa_core *c, uint64_t view)
{
    struct slot *s = &c->ring[view % RING];
    if (view < c->tip_view || !view || view >= c->tip_view + RING)
        return NULL;
    if (s->view == view)
        return s;
    slot_clear(c, s);
    s->view = view;
    if (view > c->slot_top)
        c->slot_top = view;
    return s;
}

void core_slots_reset(struct poa_core *c)
{
    for (uint32_t i = 0; i < RING; i++)
        if (c->ring[i].view)
            slot_clear(c, &c->ring[i]);
    for (uint32_t i = 0; i < TABLES; i++)
        c->table[i].view = 0;
    c->pruned = c->slot_top = 0;
    c->relays = 0;
    memset(c->heard, 0, sizeof c->heard);
    memset(c->peer_view, 0, sizeof c->peer_view);
}

/* The slot of the tip stays: its certificate justifies the next proposal. */
void core_slots_prune(struct poa_core *c, uint64_t below)
{
    uint64_t from = below > c->pruned + RING ? below - RING : c->pruned;
    for (uint64_t v = from; v < below; v++)
        if (c->ring[v % RING].view && c->ring[v % RING].view < below)
            slot_clear(c, &c->ring[v % RING]);
    c->pruned = below;
}

/* Vote cells of VIEW, or NULL when newer views use the table. */
static struct vote_cell *cells(struct poa_core *c, uint64_t view)
{
    struct vote_table *t = &c->table[view % TABLES];
    size_t stride = (size_t)3 * c->n;
    struct vote_cell *cell = c->cell + (size_t)(view % TABLES) * stride;
    if (t->view > view)
        return NULL;
    if (t->view < view) {
        memset(cell, 0, stride * sizeof *cell);
        t->view = view;
    }
    return cell;
}

bool core_has_cert(struct poa_core *c, uint64_t view, int kind)
{
    struct slot *s = core_slot_get(c, view);
    return s && s->cert[kind].have;
}

static bool cleared(struct poa_core *c, uint64_t view)
{
    return view <= c->final_view || core_has_cert(c, view, POA_VOTE_NOTARIZE) ||
           core_has_cert(c, view, POA_VOTE_NULLIFY) || core_recovered(c, view);
}

/* --- casting ------------------------------------------------------------------- */

void core_vote_send(struct poa_core *c, const struct slot *s, int kind)
{
    struct poa_vote v = {
        .kind = (uint8_t)kind, .epoch = c->epoch, .view = s->view, .voter = (uint16_t)c->self};
    memcpy(v.hash, s->hash[kind], 32);
    memcpy(v.sig, s->sig[kind], 64);
    struct poa_slice bytes = core_encode(c, &poa_vote_record, &v);
    if (bytes.n)
        core_send_all(c, POA_MSG_VOTE, bytes, true, s->vote_seq[kind]);
}

/* The record is durable before the vote leaves; the own tally sees the vote
 * only when it comes back through the driver. */
static void cast(struct poa_core *c, struct slot *s, int kind, const uint8_t hash[32])
{
    struct poa_vote v = {
        .kind = (uint8_t)kind, .epoch = c->epoch, .view = s->view, .voter = (uint16_t)c->self};
    uint8_t digest[32], buffer[256];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    memcpy(v.hash, hash, 32);
    poa_vote_digest(c->chain, v.kind, v.epoch, v.view, v.hash, digest);
    c->suite->sign(c->seed, c->key, digest, sizeof digest, v.sig);
    POA_ASSERT(poa_vote_encode(&w, &v) == POA_OK);
    memcpy(s->hash[kind], hash, 32);
    memcpy(s->sig[kind], v.sig, 64);
    uint64_t seq = core_persist(c, POA_WAL_VOTE, poa_written(&w));
    if (!s->seq)
        s->seq = seq;
    s->vote_seq[kind] = seq;
    core_vote_send(c, s, kind);
}

void core_nullify(struct poa_core *c, uint64_t view)
{
    struct slot *s = core_slot_open(c, view);
    if (!voter(c) || !s || s->nulled || c->mutant == POA_MUTANT_NO_NULLIFY)
        return;
    if (s->finaled && c->mutant != POA_MUTANT_NULL_AFTER_FINAL)
        return;
    s->nulled = true;
    cast(c, s, POA_VOTE_NULLIFY, core_zero32);
}

void core_restore_vote(struct poa_core *c, const struct poa_vote *v, uint64_t seq)
{
    if (v->epoch != c->epoch || c->self < 0 || v->voter != c->self || v->view <= c->tip_view)
        return;
    struct slot *s = core_slot_open(c, v->view);
    if (!s || v->kind > POA_VOTE_FINALIZE)
        return;
    if (!s->seq)
        s->seq = seq;
    memcpy(s->hash[v->kind], v->hash, 32);
    memcpy(s->sig[v->kind], v->sig, 64);
    s->vote_seq[v->kind] = seq;
    if (v->kind == POA_VOTE_NOTARIZE)
        s->voted = true;
    else if (v->kind == POA_VOTE_NULLIFY)
        s->nulled = true;
    else
        s->finaled = true;
}

/* --- certificates ----------------------------------------------------------------- */

static void relay_add(struct poa_core *c, uint64_t view, int kind)
{
    struct slot *s = core_slot_get(c, view);
    if (!s || c->restoring || c->self < 0)
        return;
    if (c->relays == RELAYS) {
        memmove(c->relay, c->relay + 1, (RELAYS - 1) * sizeof c->relay[0]);
        c->relays--;
    }
    s->cert[kind].relay_us = c->now.us + core_t0_us(c) / 4;
    c->relay[c->relays++] = (struct relay){.view = view, .kind = (uint8_t)kind};
}

/* Relays wait a quarter of the skip timer and then go only to members that did
 * not show in the meantime that they need none: at full speed nothing is sent. */
static void relay_tick(struct poa_core *c)
{
    uint32_t done = 0;
    while (done < c->relays) {
        struct relay r = c->relay[done];
        struct slot *s = core_slot_get(c, r.view);
        if (s && s->cert[r.kind].have && s->cert[r.kind].relay_us > c->now.us)
            break;
        done++;
        if (!s || !s->cert[r.kind].have || c->mutant == POA_MUTANT_NO_RELAY)
            continue;
        if (r.kind == POA_VOTE_FINALIZE ? r.view < c->final_view : r.view < c->tip_view)
            continue;
        uint8_t to[16] = {0};
        for (uint32_t i = 0; i < c->n; i++)
            if ((int32_t)i != c->self && (r.kind == POA_VOTE_FINALIZE || c->peer_view[i] <= r.view))
                bit_set(to, i);
        core_send_mask(c, POA_MSG_CERT, poa_slice(s->cert[r.kind].bytes, s->cert[r.kind].n), to, 0);
    }
    if (done) {
        c->relays -= done;
        memmove(c->relay, c->relay + done, c->relays * sizeof c->relay[0]);
    }
}

int core_cert_verify(struct poa_core *c, const struct poa_cert *cert)
{
    struct poa_list_iter it = poa_list_begin(&cert->sigs);
    struct poa_sig sig;
    uint8_t digest[32];
    if (cert->epoch != c->epoch)
        return POA_E_EPOCH;
    if (cert->kind == POA_VOTE_NULLIFY && !hash_eq(cert->hash, core_zero32))
        return POA_E_NOT_CANONICAL;
    if (cert->sigs.count < c->q || bit_count(cert->signers) != cert->sigs.count)
        return POA_E_QUORUM;
    const struct vote_cell *cell =
        cert->view > c->tip_view && cert->view <= c->view + AHEAD ? cells(c, cert->view) : NULL;
    poa_vote_digest(c->chain, cert->kind, cert->epoch, cert->view, cert->hash, digest);
    for (uint32_t i = 0; i < POA_COMMITTEE_MAX; i++) {
        if (!bit_get(cert->signers, i))
            continue;
        if (i >= c->n || !poa_sig_next(&it, &sig))
            return POA_E_NOT_MEMBER;
        const struct vote_cell *v = cell ? &cell[(uint32_t)cert->kind * c->n + i] : NULL;
        if (v && v->have && hash_eq(v->hash, cert->hash) && memcmp(v->sig, sig.sig, 64) == 0)
            continue;
        int e = c->suite->verify(c->keys[i], digest, sizeof digest, sig.sig);
        if (e)
            return e;
    }
    return POA_OK;
}

static int cert_install(struct poa_core *c, const struct poa_cert *cert, struct poa_slice bytes,
                        uint64_t seq)
{
    struct slot *s = core_slot_open(c, cert->view);
    if (!s)
        return POA_E_VIEW;
    struct cert_at *at = &s->cert[cert->kind];
    if (at->have) {
        if (cert->kind != POA_VOTE_NULLIFY && !hash_eq(at->hash, cert->hash))
            core_halt(c, POA_E_EQUIVOCATION,
                      "two certificates for one view: the committee is broken");
        return POA_E_DUPLICATE;
    }
    uint8_t *copy = core_arena_take(&c->arena, bytes.n);
    if (!copy)
        return POA_E_FULL;
    memcpy(copy, bytes.p, bytes.n);
    at->have = true;
    at->bytes = copy;
    at->n = (uint32_t)bytes.n;
    memcpy(at->hash, cert->hash, 32);
    if (!c->restoring && c->self >= 0)
        seq = core_persist(c, POA_WAL_CERT, poa_slice(copy, bytes.n));
    if (!s->seq)
        s->seq = seq;
    relay_add(c, cert->view, cert->kind);
    if (cert->kind == POA_VOTE_FINALIZE && cert->view > c->final_view) {
        c->final_view = cert->view;
        memcpy(c->final_hash, cert->hash, 32);
    } else if (cert->kind == POA_VOTE_NOTARIZE) {
        c->notarized++;
        if (c->mutant == POA_MUTANT_COMMIT_EARLY && cert->view > c->final_view) {
            struct poa_cert final = *cert;
            uint8_t *forged = core_out_take(c, bytes.n);
            if (forged && core_slot_open(c, cert->view)) {
                memcpy(forged, bytes.p, bytes.n);
                forged[0] = final.kind = POA_VOTE_FINALIZE;
                return cert_install(c, &final, poa_slice(forged, bytes.n), 0);
            }
        }
    } else if (cert->kind == POA_VOTE_NULLIFY) {
        c->nullified++;
    }
    return POA_OK;
}

/* Takes a certificate from the wire, a justification, the log or the own tally. */
int core_cert_take(struct poa_core *c, struct poa_slice bytes, bool trusted, uint16_t peer)
{
    struct poa_cert cert;
    int e = poa_cert_decode(bytes, &cert);
    if (e)
        return e;
    if (cert.epoch < c->epoch) {
        core_help(c, peer);
        return POA_E_EPOCH;
    }
    if (cert.epoch > c->epoch) {
        if (peer < c->n)
            core_behind(c, c->height + 1);
        return POA_E_EPOCH;
    }
    if (cert.view < c->tip_view || (cert.view == c->tip_view && cert.kind != POA_VOTE_FINALIZE))
        return POA_E_DUPLICATE;
    struct slot *s = core_slot_get(c, cert.view);
    if (s && s->cert[cert.kind].have &&
        (cert.kind == POA_VOTE_NULLIFY || hash_eq(s->cert[cert.kind].hash, cert.hash)))
        return POA_E_DUPLICATE;
    if (cert.kind == POA_VOTE_FINALIZE ? cert.view <= c->final_view && cert.view != c->tip_view
                                       : false)
        return POA_E_DUPLICATE;
    if (cert.kind != POA_VOTE_FINALIZE && cert.view > c->view + AHEAD) {
        core_ask_certs(c, c->view, cert.view);
        return POA_E_VIEW;
    }
    if (c->mutant == POA_MUTANT_IGNORE_LATE_NOTAR && cert.kind == POA_VOTE_NOTARIZE && s &&
        s->nulled)
        return POA_E_DUPLICATE;
    if (!trusted) {
        e = core_cert_verify(c, &cert);
        if (e)
            return e;
    }
    if (cert.view >= c->tip_view + RING - AHEAD) {
        core_behind(c, c->height + 1);
        return POA_E_VIEW;
    }
    return cert_install(c, &cert, bytes, c->restore_seq);
}

int core_on_cert(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    int e = core_cert_take(c, bytes, false, peer);
    if (!e)
        core_progress(c);
    return e;
}

/* Makes a certificate of the votes for HASH. */
static void cert_make(struct poa_core *c, uint64_t view, int kind, const uint8_t hash[32])
{
    const struct vote_cell *cell = cells(c, view);
    uint8_t *sigs = core_out_take(c, (size_t)64 * c->n);
    struct poa_cert cert = {.kind = (uint8_t)kind, .epoch = c->epoch, .view = view};
    if (!cell || !sigs)
        return;
    memcpy(cert.hash, hash, 32);
    cert.sigs.bytes.p = sigs;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct vote_cell *v = &cell[(uint32_t)kind * c->n + i];
        if (!v->have || !hash_eq(v->hash, hash))
            continue;
        bit_set(cert.signers, i);
        memcpy(sigs + (size_t)64 * cert.sigs.count, v->sig, 64);
        cert.sigs.count++;
    }
    cert.sigs.bytes.n = (size_t)64 * cert.sigs.count;
    struct poa_slice bytes = core_encode(c, &poa_cert_record, &cert);
    if (bytes.n)
        (void)core_cert_take(c, bytes, true, POA_PEER_OTHER);
}

/* --- votes --------------------------------------------------------------------------- */

static void accuse_votes(struct poa_core *c, const struct poa_vote *a, const struct poa_vote *b)
{
    uint8_t first[256], second[256];
    struct poa_writer wa = poa_writer_over(first, sizeof first);
    struct poa_writer wb = poa_writer_over(second, sizeof second);
    if (c->convicted[a->voter])
        return;
    c->convicted[a->voter] = 1;
    if (poa_vote_encode(&wa, a) == POA_OK && poa_vote_encode(&wb, b) == POA_OK)
        core_accuse(c, POA_EVIDENCE_VOTES, c->keys[a->voter], poa_written(&wa), poa_written(&wb));
}

static struct poa_vote vote_of(const struct poa_core *c, const struct vote_cell *cell,
                               const struct poa_vote *like, uint8_t kind)
{
    struct poa_vote v = {.kind = kind, .epoch = c->epoch, .view = like->view, .voter = like->voter};
    memcpy(v.hash, cell->hash, 32);
    memcpy(v.sig, cell->sig, 64);
    return v;
}

int core_on_vote(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_vote v;
    int e = poa_vote_decode(bytes, &v);
    if (e)
        return e;
    if (v.epoch != c->epoch) {
        if (v.epoch < c->epoch)
            core_help(c, peer);
        else if (peer < c->n)
            core_behind(c, c->height + 1);
        return POA_E_EPOCH;
    }
    bool unchecked = c->mutant == POA_MUTANT_UNCHECKED_VOTES;
    if (v.voter >= c->n || (v.voter != peer && !unchecked))
        return POA_E_NOT_MEMBER;
    if (v.kind == POA_VOTE_NULLIFY && !hash_eq(v.hash, core_zero32))
        return POA_E_NOT_CANONICAL;
    /* Who finalizes a view is past it. */
    core_heard_from(c, peer, v.kind == POA_VOTE_FINALIZE ? v.view + 1 : v.view);
    if (v.view <= c->tip_view) {
        if (v.kind == POA_VOTE_NULLIFY || v.view + 4 < c->tip_view)
            core_help(c, peer);
        return POA_E_VIEW;
    }
    if (v.view > c->view + AHEAD) {
        core_ask_certs(c, c->view, v.view);
        return POA_E_VIEW;
    }
    struct vote_cell *cell = cells(c, v.view);
    if (!cell || !core_slot_open(c, v.view))
        return POA_E_VIEW;
    struct vote_cell *mine = &cell[(uint32_t)v.kind * c->n + v.voter];
    if (mine->have && hash_eq(mine->hash, v.hash))
        return POA_E_DUPLICATE;
    const struct slot *s = core_slot_get(c, v.view);
    if (!mine->have && s->cert[v.kind].have && hash_eq(s->cert[v.kind].hash, v.hash) &&
        v.kind == POA_VOTE_NOTARIZE)
        return POA_E_DUPLICATE; /* decided; a conflicting vote would still be looked at */
    if ((int32_t)peer != c->self && !unchecked) {
        e = poa_vote_check(c->suite, c->chain, &c->committee, &v);
        if (e)
            return e;
    }
    if (mine->have) {
        struct poa_vote first = vote_of(c, mine, &v, v.kind);
        accuse_votes(c, &first, &v);
        return POA_E_EQUIVOCATION;
    }
    mine->have = true;
    memcpy(mine->hash, v.hash, 32);
    memcpy(mine->sig, v.sig, 64);
    if (v.kind != POA_VOTE_NOTARIZE) {
        uint8_t other = v.kind == POA_VOTE_NULLIFY ? POA_VOTE_FINALIZE : POA_VOTE_NULLIFY;
        const struct vote_cell *clash = &cell[(uint32_t)other * c->n + v.voter];
        if (clash->have) {
            struct poa_vote first = vote_of(c, clash, &v, other);
            if (other == POA_VOTE_NULLIFY)
                accuse_votes(c, &first, &v);
            else
                accuse_votes(c, &v, &first);
        }
    }
    if (s->cert[v.kind].have)
        return POA_OK;
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct vote_cell *o = &cell[(uint32_t)v.kind * c->n + i];
        count += o->have && hash_eq(o->hash, v.hash);
    }
    if (count >= c->q) {
        cert_make(c, v.view, v.kind, v.hash);
        core_progress(c);
    }
    return POA_OK;
}

void core_heard_in(const struct poa_core *c, uint64_t view, uint8_t out[16])
{
    const struct vote_cell *cell = c->cell + (size_t)(view % TABLES) * 3 * c->n;
    memset(out, 0, 16);
    for (uint32_t i = 0; c->table[view % TABLES].view == view && i < (uint32_t)3 * c->n; i++)
        if (cell[i].have)
            bit_set(out, i % c->n);
}

/* --- progress ------------------------------------------------------------------------------ */

static void skip_arm(struct poa_core *c)
{
    uint64_t gap = c->view - (c->final_view < c->view ? c->final_view : c->view);
    uint64_t t = grown(c, core_t0_us(c), gap > 3 ? gap - 3 : 0);
    uint64_t from = c->entered_us;
    uint64_t pace = c->prop_us + (uint64_t)c->genesis->block_min_ms * 1000;
    uint64_t idle = c->prop_us + core_heartbeat_us(c);
    if (pace > from)
        from = pace;
    if (!core_batch_waits(c) && idle > from)
        from = idle;
    c->skip_us = from + t;
    if (core_silent(c, core_leader_of(c, c->view)))
        c->skip_us = c->now.us;
}

/* A batch became available: the leader need not wait for the heartbeat, so
 * neither do we. */
void core_batch_ready(struct poa_core *c)
{
    if (c->restoring || c->self < 0 || c->skip_fired)
        return;
    uint64_t gap = c->view - (c->final_view < c->view ? c->final_view : c->view);
    uint64_t t = grown(c, core_t0_us(c), gap > 3 ? gap - 3 : 0);
    uint64_t from = c->prop_us + (uint64_t)c->genesis->block_min_ms * 1000;
    if (from < c->now.us)
        from = c->now.us;
    if (from + t < c->skip_us)
        c->skip_us = from + t;
    core_try_propose(c);
}

static void advance(struct poa_core *c)
{
    uint64_t before = c->view;
    while (cleared(c, c->view) && c->view + AHEAD + 1 < c->tip_view + RING)
        c->view++;
    if (c->view == before)
        return;
    c->entered_us = c->now.us;
    c->skip_fired = false;
    c->retry_us = NO_DEADLINE;
    core_overlays_evict(c);
    core_batches_count(c);
    core_acks_view(c, before);
    skip_arm(c);
}

/* A notarized view that we did not nullify may become final. */
static void try_finals(struct poa_core *c)
{
    if (!voter(c))
        return;
    for (uint64_t v = c->tip_view + 1; v <= c->view + AHEAD && v <= c->slot_top; v++) {
        struct slot *s = core_slot_get(c, v);
        if (!s || !s->cert[POA_VOTE_NOTARIZE].have || s->finaled)
            continue;
        if (s->nulled && c->mutant != POA_MUTANT_FINAL_AFTER_NULL)
            continue;
        if (s->skipped || v < c->vote_from)
            continue;
        struct block *b = core_block_find(c, s->cert[POA_VOTE_NOTARIZE].hash);
        if (!b) {
            core_want_block(c, s->cert[POA_VOTE_NOTARIZE].hash, core_leader_of(c, v));
            continue;
        }
        if (core_block_execute(c, b, true) != V_OK)
            continue;
        s->finaled = true;
        cast(c, s, POA_VOTE_FINALIZE, b->hash);
    }
}

static void try_notar(struct poa_core *c)
{
    struct slot *s = core_slot_get(c, c->view);
    if (!voter(c) || !s || s->voted || !s->prop)
        return;
    struct block *b = s->prop;
    switch (core_block_check(c, b)) {
    case V_OK:
        break;
    case V_WAIT:
        return;
    case V_INVALID:
        core_nullify(c, c->view);
        return;
    }
    s->voted = true;
    if (!s->proposed) {
        struct poa_list none = {.bytes = {NULL, 0}, .count = 0};
        uint64_t seq = core_persist(c, POA_WAL_SEAT, core_proposal_encode(c, b, &none));
        if (!s->seq)
            s->seq = seq;
    }
    cast(c, s, POA_VOTE_NOTARIZE, b->hash);
}

void core_progress(struct poa_core *c)
{
    for (int i = 0; i < 8 && !c->restoring && !c->halted; i++) {
        uint64_t view = c->view;
        uint32_t epoch = c->epoch;
        core_try_commit(c);
        if (c->self >= 0) {
            try_finals(c);
            advance(c);
            core_recovery_try(c);
            core_try_propose(c);
            try_notar(c);
        }
        if (view == c->view && epoch == c->epoch)
            break;
    }
}

void core_final_advance(struct poa_core *c)
{
    core_slots_prune(c, c->tip_view);
    core_recovery_prune(c);
    if (c->final_view < c->tip_view)
        c->final_view = c->tip_view;
    c->finality_us = c->now.us;
    c->stand_k = 0;
    c->stand_us = c->now.us + core_heartbeat_us(c) + 2 * core_t0_us(c);
    if (!c->restoring)
        core_batches_count(c);
}

/* Called when the tip has its certificate in the store: a node that comes up
 * throws away blocks above the last certificate, and then needs its votes. */
void core_log_trim(struct poa_core *c)
{
    if (c->restoring)
        return;
    /* What the log must still tell after a crash: everything of views that are
     * not final, batches that wait, and that this node may vote. */
    uint64_t low = c->seq + 1;
    for (uint64_t v = c->tip_view + 1; v <= c->view + AHEAD && v <= c->slot_top; v++) {
        const struct slot *s = core_slot_get(c, v);
        if (s && s->seq && s->seq < low)
            low = s->seq;
    }
    low = core_batches_oldest_seq(c, low);
    if (low >= c->forgotten + 1024)
        low = core_batches_checking_seq(c, low);
    if (low < c->forgotten + c->limits.log_records)
        return;
    if (c->has_key && !c->abstain && c->epoch_seq < low)
        core_epoch_log(c);
    struct poa_effect *e = core_effect_add(c, POA_EFFECT_FORGET, false);
    if (e) {
        e->seq = low;
        e->wait = c->epoch_seq;
        c->forgotten = low;
    }
}

void core_simplex_start(struct poa_core *c)
{
    if (!c->view)
        c->view = 1;
    if (c->view <= c->final_view)
        c->view = c->final_view + 1;
    c->entered_us = c->now.us;
    c->finality_us = c->now.us;
    c->skip_fired = false;
    c->stand_k = 0;
    c->stand_us = c->now.us + core_heartbeat_us(c) + 2 * core_t0_us(c);
    c->retry_us = NO_DEADLINE;
    c->certs_us = 0;
    for (uint32_t i = 0; i < POA_COMMITTEE_MAX; i++)
        c->heard[i] = c->view;
    if (c->self >= 0)
        skip_arm(c);
}

void core_simplex_tick(struct poa_core *c)
{
    if (c->self < 0)
        return;
    if (!c->skip_fired && c->now.us >= c->skip_us) {
        c->skip_fired = true;
        core_nullify(c, c->view);
    }
    relay_tick(c);
    core_wants_tick(c);
    if (c->now.us >= c->stand_us) {
        core_resend(c);
        if (c->stand_k)
            core_behind(c, c->height + 1); /* the others may have a committee without us */
        c->stand_k++;
        c->stand_us = c->now.us + grown(c, core_heartbeat_us(c) + 2 * core_t0_us(c), c->stand_k);
    }
    core_beacon_tick(c);
    if (c->retry_us <= c->now.us)
        c->retry_us = NO_DEADLINE;
    core_progress(c);
}

static uint64_t propose_due(const struct poa_core *c)
{
    const struct slot *s = &c->ring[c->view % RING];
    if (!voter(c) || core_leader_of(c, c->view) != c->self || (s->view == c->view && s->proposed))
        return NO_DEADLINE;
    uint64_t due = c->prop_us + (uint64_t)c->genesis->block_min_ms * 1000;
    if (!core_batch_waits(c) && c->prop_us + core_heartbeat_us(c) > due)
        due = c->prop_us + core_heartbeat_us(c);
    /* Not over before it was tried: a message that is handled at the very moment
     * must not make the leader miss its turn. */
    return due > c->tried_us ? due : NO_DEADLINE;
}

uint64_t core_simplex_deadline(const struct poa_core *c)
{
    if (c->self < 0 || c->restoring)
        return NO_DEADLINE;
    uint64_t d = c->stand_us;
    if (!c->skip_fired && c->skip_us < d)
        d = c->skip_us;
    if (c->retry_us < d)
        d = c->retry_us;
    uint64_t due = propose_due(c);
    if (due < d)
        d = due;
    if (c->relays) {
        const struct slot *s = &c->ring[c->relay[0].view % RING];
        uint64_t at = s->view == c->relay[0].view ? s->cert[c->relay[0].kind].relay_us : 0;
        if (at < d)
            d = at;
    }
    due = core_beacon_deadline(c);
    if (due < d)
        d = due;
    uint64_t w = core_wants_deadline(c);
    return w < d ? w : d;
}
