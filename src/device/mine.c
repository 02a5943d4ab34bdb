/* Mining: tickets into the lottery, tasks checked, seals given once. */
#include <string.h>

#include "device_internal.h"

#define TICKET_RETRY_MS 1000
#define SEAL_RETRY_MS   500

/* --- tickets ------------------------------------------------------------------------- */

/* Spreads the devices over the first quarter of a window, not at its very start:
 * blocks follow the clock by a little. */
static uint64_t ticket_jitter_ms(const struct poa_device *d, uint32_t window)
{
    uint64_t quarter = (uint64_t)d->params.window_slots * d->params.slot_ms / 4;
    uint32_t mix = poa_le32(d->config.key32) ^ (window * UINT32_C(2654435761));
    return quarter ? quarter / 4 + mix % (quarter - quarter / 4) : 0;
}

static POA_NOINLINE int put_ticket(struct poa_device *d, int i)
{
    struct poa_ticket t;
    memcpy(t.device, d->config.key32, 32);
    t.epoch = d->draw[i].epoch;
    t.window = d->draw[i].window;
    memcpy(t.proof, d->draw[i].proof, sizeof t.proof);
    return PUT(d, TICKET, ticket, &t);
}

uint64_t poa_device_run_tickets(struct poa_device *d)
{
    const struct poa_edge_epoch *e = &d->ahead;
    uint64_t wall = poa_device_wall(d);
    if (d->state != POA_DEVICE_READY || d->params.policy != POA_EDGE_POLICY_VRF ||
        d->status != POA_EDGE_ACTIVE || !d->have_ahead || d->index >= e->eligible || !wall)
        return UINT64_MAX;
    uint64_t window_ms = (uint64_t)d->params.window_slots * d->params.slot_ms;
    uint64_t first_ms = d->params.genesis_ms + e->first_slot * d->params.slot_ms;
    uint64_t running = wall < first_ms ? 0 : (wall - first_ms) / window_ms;
    uint64_t start_ms = first_ms + running * window_ms;
    if (running >= UINT32_MAX)
        return UINT64_MAX;
    uint32_t next = (uint32_t)running + 1;
    if (d->ticket_epoch == e->epoch && d->ticket_window >= next)
        return start_ms + window_ms + ticket_jitter_ms(d, next + 1);
    if (wall < start_ms + ticket_jitter_ms(d, next))
        return start_ms + ticket_jitter_ms(d, next);
    if (d->now.mono_ms < d->ticket_retry_ms)
        return wall + (d->ticket_retry_ms - d->now.mono_ms);

    int i = poa_device_draw(d, e, next);
    uint32_t n = i < 0 ? 0 : poa_device_draw_seats(d, e, i);
    if (n && put_ticket(d, i))
        return UINT64_MAX; /* no room: the next call tries again */
    d->ticket_epoch = e->epoch;
    d->ticket_window = next;
    d->ticket_open = n > 0;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_TICKET, i < 0 ? i : POA_OK);
    ev.epoch = e->epoch;
    ev.window = next;
    ev.count = n;
    poa_device_tell(d, &ev);
    return start_ms + window_ms + ticket_jitter_ms(d, next + 1);
}

void poa_device_reopen_ticket(struct poa_device *d)
{
    d->ticket_open = false;
    d->ticket_window = 0;
    d->ticket_epoch = POA_EPOCH_NONE;
}

int poa_device_on_ticket_result(struct poa_device *d, const void *edge_ticket_result)
{
    const struct poa_edge_ticket_result *m =
        (const struct poa_edge_ticket_result *)edge_ticket_result;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_TICKET_RESULT, -(int)m->code);
    if (d->ticket_open && m->epoch == d->ticket_epoch && m->window == d->ticket_window) {
        d->ticket_open = false;
        /* The chain may be a block behind our clock at the turn of a window. */
        if (poa_error_retry(-(int)m->code) || -(int)m->code == POA_E_TICKET_WINDOW) {
            poa_device_reopen_ticket(d);
            d->ticket_retry_ms = d->now.mono_ms + TICKET_RETRY_MS;
        }
    }
    ev.epoch = m->epoch;
    ev.window = m->window;
    poa_device_tell(d, &ev);
    return POA_OK;
}

/* --- tasks and seals ------------------------------------------------------------------ */

/* The record of seal I. */
static void seal_of(const struct poa_device *d, size_t i, struct poa_seal *s)
{
    memcpy(s->device, d->config.key32, 32);
    s->epoch = d->seals[i].epoch;
    s->slot = d->seals[i].slot;
    s->height = d->seals[i].height;
    memcpy(s->hash, d->seals[i].hash, 32);
    memcpy(s->sig, d->seals[i].sig, sizeof s->sig);
}

static POA_NOINLINE int put_seal(struct poa_device *d, size_t i)
{
    struct poa_seal s;
    seal_of(d, i, &s);
    return PUT(d, SEAL, seal, &s);
}

void poa_device_send_seals(struct poa_device *d)
{
    uint64_t slot = poa_device_slot(d, poa_device_wall(d));
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++) {
        if (!d->seals[i].used)
            continue;
        if (slot > d->seals[i].slot + d->params.seal_slots)
            d->seals[i].used = false; /* nobody would pay it any more */
        else if (!d->seals[i].sent && d->state == POA_DEVICE_READY &&
                 d->now.mono_ms >= d->seal_retry_ms)
            d->seals[i].sent = !put_seal(d, i);
    }
}

/* A place for a new seal: a free one, else that of the oldest. */
static size_t seal_place(const struct poa_device *d)
{
    size_t best = 0;
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++) {
        if (!d->seals[i].used)
            return i;
        if (d->seals[i].slot < d->seals[best].slot)
            best = i;
    }
    return best;
}

/* Everything about a task that costs no signature check. */
static POA_NOINLINE int check_task(const struct poa_device *d, const struct poa_edge_task *m)
{
    struct poa_header h;
    int code = poa_header_decode(m->header, &h);
    if (code)
        return code;
    uint64_t wall = poa_device_wall(d);
    if (memcmp(h.chain, d->chain, 32))
        return POA_E_CHAIN;
    if (!d->have_trust || h.epoch != d->committee.epoch || !poa_device_epoch(d, h.epoch))
        return POA_E_EPOCH;
    if (h.kind == POA_BLOCK_FILLER)
        return POA_E_BLOCK_INVALID;
    if (h.time_ms < d->params.genesis_ms || poa_device_slot(d, h.time_ms) != m->slot)
        return POA_E_SLOT_UNKNOWN;
    if (h.time_ms > wall + d->params.drift_ms)
        return POA_E_BLOCK_TIME;
    if (poa_device_slot(d, wall) > m->slot + d->params.seal_slots)
        return POA_E_SEAL_LATE;
    if (d->have_mark && !memcmp(d->mark.chain, d->chain, 32) &&
        (m->slot <= d->mark.slot || h.height <= d->mark.height))
        return POA_E_SEAL_TWICE;
    return POA_OK;
}

/* What check_task found is an accident of timing, or a lie; bytes that are no
 * header at all end the connection without an alarm. */
static int refuse(const struct poa_device *d, const struct poa_edge_task *m, int code)
{
    switch (code) {
    case POA_E_CHAIN:
    case POA_E_BLOCK_INVALID:
    case POA_E_NOT_CANONICAL:
        return poa_device_alarm(d, code, m->header);
    case POA_E_TRUNCATED:
    case POA_E_TRAILING:
    case POA_E_RANGE:
    case POA_E_TOO_LONG:
        return code;
    default:
        break;
    }
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_REFUSED, code);
    ev.slot = m->slot;
    ev.header = m->header;
    poa_device_tell(d, &ev);
    return POA_OK;
}

/* Whether HEADER is what FINAL and LINKs proved just before. */
static POA_NOINLINE int check_proven(struct poa_device *d, struct poa_slice header)
{
    uint8_t hash[32];
    poa_hash(POA_DOMAIN_HEADER, header.p, header.n, hash);
    return d->proven && !memcmp(hash, d->fin.hash, 32) ? POA_OK : POA_E_PROOF;
}

static POA_NOINLINE void digest_of(const struct poa_device *d, size_t i, uint8_t digest32[32])
{
    struct poa_seal s;
    seal_of(d, i, &s);
    poa_seal_digest(d->chain, &s, digest32);
}

/* Seals what d->fin holds, for SLOT. */
static POA_NOINLINE void seal(struct poa_device *d, uint64_t slot)
{
    uint8_t digest[32];
    size_t i = seal_place(d);
    d->seals[i].slot = slot;
    d->seals[i].height = d->fin.height;
    d->seals[i].epoch = d->fin.epoch;
    memcpy(d->seals[i].hash, d->fin.hash, 32);
    digest_of(d, i, digest);
    d->config.suite->sign(d->config.seed32, d->config.key32, digest, sizeof digest,
                          d->seals[i].sig);
    d->counts[POA_DEVICE_COUNT_SEAL]++;
    d->seals[i].used = true;
    d->seals[i].sent = false;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_SEALED, POA_OK);
    ev.slot = slot;
    ev.height = d->fin.height;
    ev.epoch = d->fin.epoch;
    ev.hash = d->fin.hash;
    poa_device_tell(d, &ev);
}

int poa_device_on_task(struct poa_device *d, const void *edge_task)
{
    const struct poa_edge_task *m = (const struct poa_edge_task *)edge_task;
    int e = check_task(d, m);
    if (!e)
        e = poa_device_assigned(d, poa_device_epoch(d, d->committee.epoch), m->slot);
    if (e)
        return refuse(d, m, e);
    if (m->cert.n)
        e = poa_device_prove(d, m->header, m->cert, false);
    else if (check_proven(d, m->header))
        e = poa_device_alarm(d, POA_E_PROOF, m->header);
    if (e)
        return e;
    /* Recorded, then signed: whatever happens in between, no second seal. */
    e = poa_device_mark(d, m->slot, d->fin.height, d->fin.hash);
    if (e)
        return e;
    seal(d, m->slot);
    poa_device_send_seals(d);
    return POA_OK;
}

int poa_device_on_seal_result(struct poa_device *d, const void *edge_seal_result)
{
    const struct poa_edge_seal_result *m = (const struct poa_edge_seal_result *)edge_seal_result;
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++) {
        if (!d->seals[i].used || d->seals[i].slot != m->slot)
            continue;
        if (poa_error_retry(-(int)m->code)) {
            d->seals[i].sent = false;
            d->seal_retry_ms = d->now.mono_ms + SEAL_RETRY_MS;
        } else {
            d->seals[i].used = false;
        }
    }
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_SEAL_RESULT, -(int)m->code);
    ev.slot = m->slot;
    poa_device_tell(d, &ev);
    return POA_OK;
}
