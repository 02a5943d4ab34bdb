/* The two records that outlive a restart. */
#include <string.h>

#include "device_internal.h"

/* Encodes T at the start of the receive buffer, which may hold T's committee. */
static int encode(struct poa_device *d, const struct poa_edge_trust *t, size_t *n)
{
    struct poa_edge_trust at = *t;
    size_t before = 32 + 1 + t->params.n + 8 + 8 + 1 + t->epoch.n + 2;
    if (before + t->committee.n > sizeof d->record.bytes ||
        before + t->committee.n > d->config.rx_bytes)
        return POA_E_LIMIT;
    at.committee.p = d->config.rx + before;
    memmove(d->config.rx + before, t->committee.p, t->committee.n);
    struct poa_writer w = poa_writer_over(d->config.rx, d->config.rx_bytes);
    int e = poa_edge_trust_encode(&w, &at);
    *n = w.n;
    return e;
}

static void take(struct poa_device *d, size_t n)
{
    memcpy(d->record.bytes, d->config.rx, n);
    d->trust_n = n;
}

static bool holds(const struct poa_device *d, const struct poa_committee *c)
{
    return !d->config.streaming && c->members.count <= POA_DEVICE_COMMITTEE_MAX;
}

/* Of a stored committee that is not to be held, keeps only what names it. */
static POA_NOINLINE int forget_members(struct poa_device *d)
{
    struct poa_edge_trust t;
    struct poa_committee c;
    struct poa_edge_committee_id id;
    uint8_t bytes[POA_EDGE_COMMITTEE_ID_BYTES];
    size_t n = 0;
    if (poa_edge_trust_decode(poa_slice(d->record.bytes, d->trust_n), &t))
        return POA_E_STORE_CORRUPT;
    if (t.committee.n == POA_EDGE_COMMITTEE_ID_BYTES)
        return POA_OK;
    if (poa_committee_decode(t.committee, &c) || poa_committee_check(&c))
        return POA_E_STORE_CORRUPT;
    if (holds(d, &c))
        return POA_OK;
    id.epoch = c.epoch;
    id.members = (uint8_t)c.members.count;
    poa_committee_hash(&c, id.hash);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int e = poa_edge_committee_id_encode(&w, &id);
    t.committee = poa_written(&w);
    if (!e)
        e = encode(d, &t, &n);
    if (!e)
        take(d, n);
    return e;
}

/* Decodes the record into the members that borrow from it. */
static int adopt(struct poa_device *d)
{
    struct poa_edge_trust t;
    struct poa_committee c;
    if (poa_edge_trust_decode(poa_slice(d->record.bytes, d->trust_n), &t) ||
        poa_edge_params_decode(t.params, &d->params) || !d->params.slot_ms ||
        !d->params.window_slots)
        return POA_E_STORE_CORRUPT;
    if (t.committee.n == POA_EDGE_COMMITTEE_ID_BYTES) {
        struct poa_edge_committee_id id;
        if (poa_edge_committee_id_decode(t.committee, &id))
            return POA_E_STORE_CORRUPT;
        memset(&c, 0, sizeof c);
        c.epoch = id.epoch;
        d->members = id.members;
        memcpy(d->committee_hash, id.hash, 32);
    } else {
        if (poa_committee_decode(t.committee, &c) || poa_committee_check(&c))
            return POA_E_STORE_CORRUPT;
        POA_ASSERT(holds(d, &c)); /* whoever stores it has looked */
        d->members = (uint8_t)c.members.count;
    }
    memset(&d->epoch, 0, sizeof d->epoch);
    d->epoch.epoch = POA_EPOCH_NONE;
    if (t.epoch.n && poa_edge_epoch_decode(t.epoch, &d->epoch))
        return POA_E_STORE_CORRUPT;
    d->committee = c;
    memcpy(d->chain, t.chain, 32);
    d->have_trust = d->have_params = true;
    return POA_OK;
}

int poa_device_load(struct poa_device *d)
{
    const struct poa_device_port *port = &d->config.port;
    uint8_t mark[POA_EDGE_MARK_BYTES];
    size_t n = 0;

    int e = port->load_mark(port->ctx, mark, sizeof mark, &n);
    if (!e)
        e = poa_edge_mark_decode(poa_slice(mark, n), &d->mark) ? POA_E_STORE_CORRUPT : POA_OK;
    if (e && e != POA_E_NOT_FOUND)
        return e;
    d->have_mark = !e;

    n = 0;
    e = port->load_trust(port->ctx, d->record.bytes, sizeof d->record.bytes, &n);
    if (e == POA_E_NOT_FOUND)
        return POA_OK;
    if (e)
        return e;
    d->trust_n = n;
    if (n > sizeof d->record.bytes)
        return POA_E_LIMIT;
    e = forget_members(d);
    if (!e)
        e = adopt(d);
    if (e)
        return e;
    struct poa_edge_trust t;
    poa_device_trusted(d, &t);
    d->top_height = t.height;
    d->top_ms = t.time_ms;
    return POA_OK;
}

void poa_device_trusted(const struct poa_device *d, struct poa_edge_trust *t)
{
    memset(t, 0, sizeof *t);
    if (d->have_trust)
        POA_ASSERT(!poa_edge_trust_decode(poa_slice(d->record.bytes, d->trust_n), t));
}

int poa_device_trust(struct poa_device *d, const struct poa_edge_trust *t)
{
    size_t n = 0;
    int e = encode(d, t, &n);
    if (!e)
        e = d->config.port.store_trust(d->config.port.ctx, d->config.rx, n);
    if (e)
        return e;
    take(d, n);
    return adopt(d);
}

int poa_device_mark(struct poa_device *d, uint64_t slot, uint64_t height, const uint8_t hash32[32])
{
    struct poa_edge_mark mark;
    uint8_t bytes[POA_EDGE_MARK_BYTES];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memcpy(mark.chain, d->chain, 32);
    mark.slot = slot;
    mark.height = height;
    memcpy(mark.hash, hash32, 32);
    int e = poa_edge_mark_encode(&w, &mark);
    /* In memory first: should the store fail half-way, this run will not seal
     * the slot either. */
    d->mark = mark;
    d->have_mark = true;
    if (!e)
        e = d->config.port.store_mark(d->config.port.ctx, bytes, w.n);
    return e;
}
