/* What a device believes: headers under a certificate of its committee, and the
 * committee that such a header names. */
#include <string.h>

#include "device_internal.h"

static const uint8_t zero32[32];

/* Errors of a check that an honest gateway cannot cause. An epoch that is not
 * ours can be an accident of timing. */
static bool forged(int e)
{
    return e == POA_E_SIGNATURE || e == POA_E_QUORUM || e == POA_E_NOT_MEMBER ||
           e == POA_E_NOT_CANONICAL || e == POA_E_BLOCK_INVALID || e == POA_E_CHAIN ||
           e == POA_E_KEY || e == POA_E_PROOF;
}

/* Decodes HEADER into d->fin, which proves nothing yet, and neither do members that
 * are still to come: they sign what was there before. FILLER_OK: only as the
 * certified end of a chain of links. */
static POA_NOINLINE int take_header(struct poa_device *d, struct poa_slice header, bool filler_ok)
{
    struct poa_header h;
    d->proven = false;
    d->stream.left = 0;
    int e = poa_header_decode(header, &h);
    if (e)
        return e;
    if (memcmp(h.chain, d->chain, 32))
        return POA_E_CHAIN;
    if (h.kind > POA_BLOCK_CLOSING && !filler_ok)
        return POA_E_BLOCK_INVALID;
    poa_hash(POA_DOMAIN_HEADER, header.p, header.n, d->fin.hash);
    memcpy(d->fin.parent, h.parent, 32);
    memcpy(d->fin.state, h.state, 32);
    memcpy(d->fin.next_committee, h.next_committee, 32);
    d->fin.height = h.height;
    d->fin.time_ms = h.time_ms;
    d->fin.view = h.view;
    d->fin.epoch = h.epoch;
    d->fin.kind = h.kind;
    return POA_OK;
}

/* d->fin was proven final: two of one height are a fork. */
static int proven(struct poa_device *d, struct poa_slice header)
{
    if (d->fin.kind != POA_BLOCK_FILLER) {
        if (d->fin.height == d->top_height && memcmp(d->top_hash, zero32, 32) &&
            memcmp(d->fin.hash, d->top_hash, 32))
            return poa_device_alarm(d, POA_E_EQUIVOCATION, header);
        if (d->fin.height >= d->top_height) {
            d->top_height = d->fin.height;
            d->top_ms = d->fin.time_ms > d->top_ms ? d->fin.time_ms : d->top_ms;
            memcpy(d->top_hash, d->fin.hash, 32);
        }
    }
    d->proven = true;
    return POA_OK;
}

int poa_device_prove(struct poa_device *d, struct poa_slice header, struct poa_slice cert_bytes,
                     bool filler_ok)
{
    struct poa_cert cert;
    int e = take_header(d, header, filler_ok);
    if (!e)
        e = poa_cert_decode(cert_bytes, &cert);
    if (!e && !d->have_trust)
        return POA_E_EPOCH;
    if (!e && cert.kind != POA_VOTE_FINALIZE)
        e = POA_E_QUORUM;
    if (!e && (cert.epoch != d->fin.epoch || cert.view != d->fin.view ||
               memcmp(cert.hash, d->fin.hash, 32)))
        e = POA_E_BLOCK_INVALID;
    if (!e && !d->committee.members.count)
        return POA_E_EPOCH; /* known by its hash: the certificate must come in parts */
    if (!e)
        e = poa_cert_check(d->config.suite, d->chain, &d->committee, &cert);
    if (forged(e))
        return poa_device_alarm(d, e, header);
    return e ? e : proven(d, header);
}

int poa_device_on_final(struct poa_device *d, const void *edge_final)
{
    const struct poa_edge_final *m = (const struct poa_edge_final *)edge_final;
    int e = poa_device_prove(d, m->header, m->cert, true);
    return e == POA_E_EPOCH ? POA_OK : e; /* what rests on it will be refused */
}

/* --- certificates in parts ------------------------------------------------------------
 *
 * The committee is known by its hash. Its members come one after another, those
 * that signed with their signature: each signature is checked at once, and at
 * the end the hash of all members shows that they were the committee. */

int poa_device_on_final_head(struct poa_device *d, const void *edge_final_head)
{
    const struct poa_edge_final_head *m = (const struct poa_edge_final_head *)edge_final_head;
    if (d->committee.members.count || !m->members)
        return POA_E_RANGE; /* that is not how we asked for it in HELLO */
    int e = take_header(d, m->header, true);
    if (forged(e))
        return poa_device_alarm(d, e, m->header);
    if (e)
        return e;
    d->stream.left = m->members;
    d->stream.skip = !d->have_trust || d->fin.epoch != d->committee.epoch;
    if (d->stream.skip)
        return POA_OK; /* what rests on it will be refused */
    if (m->quorum > m->members || m->quorum < m->members - poa_committee_faults(m->members))
        return poa_device_alarm(d, POA_E_QUORUM, m->header);
    d->stream.quorum = m->quorum;
    d->stream.signers = 0;
    poa_vote_digest(d->chain, POA_VOTE_FINALIZE, d->fin.epoch, d->fin.view, d->fin.hash,
                    d->stream.digest);
    poa_committee_hash_begin(&d->record.by_hash.members, d->fin.epoch, m->quorum, m->members);
    return POA_OK;
}

/* The last member was seen. */
static POA_NOINLINE int stream_end(struct poa_device *d)
{
    uint8_t hash[32];
    int e = POA_OK;
    poa_hash_final(&d->record.by_hash.members, hash);
    if (memcmp(hash, d->committee_hash, 32))
        e = POA_E_NOT_MEMBER;
    else if (d->stream.signers < d->stream.quorum)
        e = POA_E_QUORUM;
    return e ? poa_device_alarm(d, e, poa_slice(NULL, 0)) : proven(d, poa_slice(NULL, 0));
}

int poa_device_on_final_part(struct poa_device *d, const void *edge_final_part)
{
    const struct poa_edge_final_part *m = (const struct poa_edge_final_part *)edge_final_part;
    struct poa_list_iter it = poa_list_begin(&m->witnesses);
    struct poa_edge_witness w;
    while (poa_edge_witness_next(&it, &w)) {
        if (!d->stream.left || (w.sig.n && w.sig.n != POA_SIG_BYTES))
            return POA_E_RANGE;
        d->stream.left--;
        if (d->stream.skip)
            continue;
        poa_hash_update(&d->record.by_hash.members, w.member, sizeof w.member);
        if (w.sig.n) {
            /* A member starts with its key. */
            if (d->config.suite->verify(w.member, d->stream.digest, 32, w.sig.p))
                return poa_device_alarm(d, POA_E_SIGNATURE, poa_slice(NULL, 0));
            d->stream.signers++;
        }
        if (!d->stream.left)
            return it.left ? POA_E_RANGE : stream_end(d);
    }
    return m->witnesses.count ? POA_OK : POA_E_RANGE;
}

int poa_device_on_link(struct poa_device *d, const void *edge_link)
{
    const struct poa_edge_link *m = (const struct poa_edge_link *)edge_link;
    uint8_t parent[32];
    if (!d->proven)
        return POA_OK; /* the FINAL before it was of an epoch that we do not have */
    memcpy(parent, d->fin.parent, 32);
    int e = take_header(d, m->header, true);
    if (!e && memcmp(d->fin.hash, parent, 32))
        e = POA_E_BLOCK_PARENT;
    if (e == POA_E_BLOCK_PARENT || forged(e))
        return poa_device_alarm(d, e, m->header);
    d->proven = !e;
    return e;
}

/* --- the committee --------------------------------------------------------------------- */

void poa_device_plan_handover(struct poa_device *d)
{
    uint32_t target = d->welcome_epoch;
    if (d->have_ahead && d->ahead.epoch > target)
        target = d->ahead.epoch;
    d->want_handover = !d->have_trust || d->committee.epoch < target;
    d->asked_handover = false;
}

void poa_device_ask_handover(struct poa_device *d)
{
    struct poa_edge_get_handover m = {d->have_trust ? d->committee.epoch : POA_EPOCH_NONE};
    if (d->state == POA_DEVICE_READY && d->want_handover && !d->asked_handover &&
        !PUT(d, GET_HANDOVER, edge_get_handover, &m))
        d->asked_handover = true;
}

/* Stores COMMITTEE (whole, or its id) of EPOCH with all that belongs to it. */
static POA_NOINLINE int store_trust(struct poa_device *d, struct poa_slice committee,
                                    uint32_t epoch)
{
    uint8_t info[48], params[POA_EDGE_PARAMS_BYTES];
    struct poa_writer w = poa_writer_over(params, sizeof params);
    const struct poa_edge_epoch *announced = poa_device_epoch(d, epoch);
    struct poa_edge_trust t;
    memset(&t, 0, sizeof t);
    int e = poa_edge_params_encode(&w, &d->params);
    t.params = poa_written(&w);
    if (!e && announced) {
        w = poa_writer_over(info, sizeof info);
        e = poa_edge_epoch_encode(&w, announced);
        t.epoch = poa_written(&w);
    }
    if (e)
        return e;
    memcpy(t.chain, d->chain, 32);
    t.time_ms = d->top_ms;
    t.height = d->top_height;
    t.committee = committee;
    return poa_device_trust(d, &t);
}

/* Whether committee ID may follow ours. POA_E_EXISTS: known. */
static int check_next(const struct poa_device *d, const struct poa_edge_committee_id *id)
{
    if (!d->have_trust)
        /* trust_first: checked at WELCOME. */
        return id->epoch == d->welcome_epoch || (d->have_ahead && id->epoch == d->ahead.epoch)
                   ? POA_OK
                   : POA_E_EPOCH;
    if (id->epoch <= d->committee.epoch)
        return POA_E_EXISTS; /* two answers crossed */
    if (d->config.trust_ms && d->top_ms && d->now.wall_ms > d->top_ms &&
        d->now.wall_ms - d->top_ms > d->config.trust_ms)
        return poa_device_alarm(d, POA_E_TIMEOUT, poa_slice(NULL, 0));
    if (!d->proven || d->fin.kind != POA_BLOCK_CLOSING || id->epoch != d->committee.epoch + 1 ||
        memcmp(id->hash, d->fin.next_committee, 32))
        return poa_device_alarm(d, POA_E_PROOF, poa_slice(NULL, 0));
    return POA_OK;
}

/* Takes the committee ID, whole as BYTES when it is to be held. */
static int take_committee(struct poa_device *d, const struct poa_edge_committee_id *id,
                          struct poa_slice bytes)
{
    uint8_t own[POA_EDGE_COMMITTEE_ID_BYTES];
    int e = check_next(d, id);
    if (e)
        return e == POA_E_EXISTS ? POA_OK : e;
    if (!bytes.n) {
        struct poa_writer w = poa_writer_over(own, sizeof own);
        e = poa_edge_committee_id_encode(&w, id);
        bytes = poa_written(&w);
    }
    if (!e)
        e = store_trust(d, bytes, id->epoch);
    if (e)
        return e;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_COMMITTEE, POA_OK);
    ev.epoch = id->epoch;
    ev.count = id->members;
    poa_device_tell(d, &ev);
    poa_device_plan_handover(d);
    return POA_OK;
}

int poa_device_on_committee(struct poa_device *d, struct poa_slice bytes)
{
    struct poa_committee c;
    struct poa_edge_committee_id id;
    int e = poa_committee_decode(bytes, &c);
    if (!e)
        e = poa_committee_check(&c);
    if (e)
        return poa_device_alarm(d, e, poa_slice(NULL, 0));
    id.epoch = c.epoch;
    id.members = (uint8_t)c.members.count;
    poa_committee_hash(&c, id.hash);
    if (d->config.streaming || c.members.count > POA_DEVICE_COMMITTEE_MAX)
        bytes.n = 0;
    return take_committee(d, &id, bytes);
}

int poa_device_on_committee_id(struct poa_device *d, const void *edge_committee_id)
{
    return take_committee(d, (const struct poa_edge_committee_id *)edge_committee_id,
                          poa_slice(NULL, 0));
}

int poa_device_on_epoch(struct poa_device *d, const void *edge_epoch)
{
    const struct poa_edge_epoch *m = (const struct poa_edge_epoch *)edge_epoch;
    if (d->have_ahead && m->epoch < d->ahead.epoch)
        return POA_OK;
    /* Another gateway, another seed: one of the two lied, so what was drawn on
     * the first counts for nothing. */
    if ((m->epoch == d->ahead.epoch && memcmp(m->seed, d->ahead.seed, 32)) ||
        (m->epoch == d->epoch.epoch && memcmp(m->seed, d->epoch.seed, 32)))
        d->draw[0].valid = d->draw[1].valid = false;
    d->ahead = *m;
    d->have_ahead = true;
    /* Once: storage wears out, and seeds are what anybody can say. */
    if (d->have_trust && d->committee.epoch == m->epoch && d->epoch.epoch != m->epoch) {
        struct poa_edge_trust t;
        poa_device_trusted(d, &t);
        int e = store_trust(d, t.committee, m->epoch);
        if (e)
            return e;
    }
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_EPOCH, POA_OK);
    ev.epoch = m->epoch;
    poa_device_tell(d, &ev);
    if (!d->asked_handover)
        poa_device_plan_handover(d);
    return POA_OK;
}
