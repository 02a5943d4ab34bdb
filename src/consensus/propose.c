/* Proposals: taking, making, re-making them. */
#include "core.h"

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

int core_header_decode(const struct poa_core *c, struct poa_slice bytes, struct poa_header *h)
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
        e = core_header_decode(c, p.header, &h);
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
    bool fetched = core_want_find(c, hash);
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
    struct block *b = core_block_insert(c, hash, &h, p.header, p.sig, p.body);
    if (!b)
        return POA_E_FULL;
    b->has_sig = true;
    core_want_done(c, hash);
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
        e = core_header_decode(c, p.header, &h);
    if (e)
        return e;
    if (h.epoch != c->epoch || h.view <= c->tip_view)
        return POA_OK;
    poa_header_hash(&h, hash);
    struct slot *s = core_slot_open(c, h.view);
    if (!s || core_block_find(c, hash))
        return POA_OK;
    struct block *b = core_block_insert(c, hash, &h, p.header, p.sig, p.body);
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
        if ((!s || !s->cert[POA_VOTE_NULLIFY].have) && !core_recovered(c, v)) {
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
    c->tried_us = c->now.us;
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
    h.kind = core_kind_after(c, &p, c->view);
    memcpy(h.chain, c->chain, 32);
    h.epoch = c->epoch;
    h.view = c->view;
    h.height = p.height + 1;
    h.time_ms = c->now.wall_ms > core_min_time(c, &p) ? c->now.wall_ms : core_min_time(c, &p);
    h.leader = (uint16_t)c->self;
    memcpy(h.state, p.root, 32);
    if (h.kind == POA_BLOCK_FILLER)
        h.closing_height = p.kind == POA_BLOCK_CLOSING ? p.height : p.closing_height;
    if (h.kind == POA_BLOCK_CLOSING && core_next_committee_hash(c, p.state, h.next_committee))
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
        core_block_insert(c, hash, &h, poa_slice(encoded, sizeof encoded), sig, poa_written(&out));
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
            core_block_drop(c, b);
            c->more = true;
            return;
        }
    }
    struct poa_list just = core_just_build(c, b);
    struct poa_slice bytes = core_proposal_encode(c, b, &just);
    if (!bytes.n) {
        core_block_drop(c, b);
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
