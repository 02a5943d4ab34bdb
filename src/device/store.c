/* The two records that outlive a restart. */
#include <string.h>

#include "device_internal.h"

/* Decodes d->trust into the members that borrow from it. */
static int adopt(struct poa_device *d)
{
    struct poa_edge_trust t;
    struct poa_committee c;
    if (poa_edge_trust_decode(poa_slice(d->trust, d->trust_n), &t) ||
        poa_edge_params_decode(t.params, &d->params) || !d->params.slot_ms ||
        !d->params.window_slots)
        return POA_E_STORE_CORRUPT;
    if (poa_committee_decode(t.committee, &c))
        return POA_E_STORE_CORRUPT;
    if (c.members.count > POA_DEVICE_COMMITTEE_MAX)
        return POA_E_LIMIT;
    if (poa_committee_check(&c))
        return POA_E_STORE_CORRUPT;
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
    e = port->load_trust(port->ctx, d->trust, sizeof d->trust, &n);
    if (e == POA_E_NOT_FOUND)
        return POA_OK;
    if (e)
        return e;
    d->trust_n = n;
    if (n > sizeof d->trust)
        return POA_E_STORE_CORRUPT;
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
        POA_ASSERT(!poa_edge_trust_decode(poa_slice(d->trust, d->trust_n), t));
}

int poa_device_trust(struct poa_device *d, const struct poa_edge_trust *t)
{
    uint8_t next[POA_DEVICE_TRUST_MAX];
    struct poa_writer w = poa_writer_over(next, sizeof next);
    int e = poa_edge_trust_encode(&w, t);
    if (e)
        return e == POA_E_BUFFER ? POA_E_LIMIT : e;
    e = d->config.port.store_trust(d->config.port.ctx, next, w.n);
    if (e)
        return e;
    memcpy(d->trust, next, w.n);
    d->trust_n = w.n;
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
