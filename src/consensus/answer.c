/* Asking for certificates and answering; what is said again when nothing moves. */
#include "core.h"

/* --- asking and answering -------------------------------------------------------------- */

void core_behind(struct poa_core *c, uint64_t height)
{
    if (c->restoring || c->now.us < c->behind_us)
        return;
    c->behind_us = c->now.us + core_t0_us(c);
    struct poa_effect *e = core_effect_add(c, POA_EFFECT_BEHIND, false);
    if (e)
        e->height = height;
}

bool core_serve_allowed(struct poa_core *c, uint16_t peer, uint32_t cost)
{
    if (peer >= c->n)
        return false;
    if (c->now.us >= c->serve_us) {
        memset(c->served, 0, sizeof c->served);
        c->serve_us = c->now.us + core_t0_us(c);
    }
    if (c->served[peer] > 512)
        return false;
    c->served[peer] += cost;
    return true;
}

/* PEER is behind our tip: one finalization clears everything for it. */
void core_help(struct poa_core *c, uint16_t peer)
{
    if (peer >= c->n || (int32_t)peer == c->self || c->restoring ||
        c->now.us < c->helped_us[peer] || c->mutant == POA_MUTANT_NO_RELAY)
        return;
    c->helped_us[peer] = c->now.us + core_t0_us(c);
    if (core_has_cert(c, c->tip_view, POA_VOTE_FINALIZE)) {
        const struct cert_at *at = &core_slot_get(c, c->tip_view)->cert[POA_VOTE_FINALIZE];
        core_send_to(c, POA_MSG_CERT, poa_slice(at->bytes, at->n), peer, 0);
    }
    if (c->prev_cert)
        core_send_to(c, POA_MSG_CERT, poa_slice(c->prev_cert, c->prev_cert_n), peer, 0);
}

/* The N-th other member in turn, for requests. */
static uint16_t member_in_turn(struct poa_core *c)
{
    c->turn = (c->turn + 1) % c->n;
    if ((int32_t)c->turn == c->self)
        c->turn = (c->turn + 1) % c->n;
    return (uint16_t)c->turn;
}

bool core_ask_certs(struct poa_core *c, uint64_t from, uint64_t to)
{
    if (c->now.us < c->certs_us || c->n < 2 || c->self < 0 || c->restoring ||
        c->mutant == POA_MUTANT_NO_FETCH)
        return false;
    c->certs_us = c->now.us + core_t0_us(c) / 2;
    struct poa_get_certs get = {.epoch = c->epoch, .from = from, .to = to};
    struct poa_slice bytes = core_encode(c, &poa_get_certs_record, &get);
    if (!bytes.n)
        return false;
    core_send_to(c, POA_MSG_GET_CERTS, bytes, member_in_turn(c), 0);
    if (c->n > 2)
        core_send_to(c, POA_MSG_GET_CERTS, bytes, member_in_turn(c), 0);
    return true;
}

int core_on_get_certs(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_get_certs get;
    int e = poa_get_certs_decode(bytes, &get);
    if (e)
        return e;
    if (peer >= c->n || (int32_t)peer == c->self || get.from > get.to)
        return POA_E_RANGE;
    if (c->mutant == POA_MUTANT_NO_RELAY)
        return POA_OK;
    if (get.epoch != c->epoch || get.from <= c->tip_view)
        core_help(c, peer);
    if (get.epoch != c->epoch)
        return get.epoch < c->epoch ? POA_OK : POA_E_EPOCH;
    if (!core_serve_allowed(c, peer, 64))
        return POA_E_RATE;
    uint64_t from = get.from > c->tip_view ? get.from : c->tip_view;
    /* Counted from FROM: the end of the range may be the last number there is. */
    uint64_t more = get.to < from ? 0 : get.to - from < 64 ? get.to - from + 1 : 64;
    uint64_t to = from + more - 1;
    for (uint64_t v = from; v - from < more; v++) {
        struct slot *s = core_slot_get(c, v);
        for (int k = 0; s && k < 3; k++)
            if (s->cert[k].have)
                core_send_to(c, POA_MSG_CERT, poa_slice(s->cert[k].bytes, s->cert[k].n), peer, 0);
    }
    core_recovery_resend(c, peer);
    if (c->final_view > to && core_has_cert(c, c->final_view, POA_VOTE_FINALIZE)) {
        const struct cert_at *at = &core_slot_get(c, c->final_view)->cert[POA_VOTE_FINALIZE];
        core_send_to(c, POA_MSG_CERT, poa_slice(at->bytes, at->n), peer, 0);
    }
    return POA_OK;
}

/* Nothing was finalized for a while: everybody says again what may be missing.
 * Messages are lost for good when a connection dies, so the protocol itself
 * must repeat them. */
void core_resend(struct poa_core *c)
{
    if (c->self < 0)
        return;
    bool certs = c->mutant != POA_MUTANT_NO_RELAY;
    uint64_t from = c->view > STANDSTILL_VIEWS ? c->view - STANDSTILL_VIEWS : 1;
    if (from <= c->tip_view)
        from = c->tip_view + 1;
    uint64_t top = c->final_view > c->tip_view ? c->final_view : c->tip_view;
    if (certs && core_has_cert(c, top, POA_VOTE_FINALIZE)) {
        const struct cert_at *at = &core_slot_get(c, top)->cert[POA_VOTE_FINALIZE];
        core_send_all(c, POA_MSG_CERT, poa_slice(at->bytes, at->n), false, 0);
    } else if (certs && c->prev_cert && !c->tip_view) {
        core_send_all(c, POA_MSG_CERT, poa_slice(c->prev_cert, c->prev_cert_n), false, 0);
    }
    for (uint64_t v = from; v <= c->view; v++) {
        struct slot *s = core_slot_get(c, v);
        if (!s)
            continue;
        for (int k = 0; certs && k < 2; k++)
            if (s->cert[k].have)
                core_send_all(c, POA_MSG_CERT, poa_slice(s->cert[k].bytes, s->cert[k].n), false, 0);
        if (!voter(c) || c->mutant == POA_MUTANT_NO_STANDSTILL)
            continue;
        if (s->voted)
            core_vote_send(c, s, POA_VOTE_NOTARIZE);
        if (c->mutant == POA_MUTANT_NULL_AFTER_FINAL && s->finaled)
            core_nullify(c, v);
        if (s->nulled)
            core_vote_send(c, s, POA_VOTE_NULLIFY);
        if (s->finaled)
            core_vote_send(c, s, POA_VOTE_FINALIZE);
    }
    core_recovery_resend(c, POA_PEER_OTHER);
    struct slot *s = core_slot_get(c, c->view);
    if (voter(c) && s && s->proposed && s->prop) {
        struct poa_list just = core_just_build(c, s->prop);
        struct poa_slice bytes = core_proposal_encode(c, s->prop, &just);
        if (bytes.n)
            core_send_all(c, POA_MSG_PROPOSAL, bytes, false, s->prop_seq);
    }
}
