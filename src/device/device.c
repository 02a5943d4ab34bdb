/* The micro-miner's state machine: see poa_device.h. */
#include <string.h>

#include "device_internal.h"

#define TICKET_RETRY_MS 1000
#define SEAL_RETRY_MS   500
#define PING_MIN_MS     1000
#define WAIT_MAX_MS     60000

static const uint8_t zero32[32];

static struct poa_device_event event_of(enum poa_device_event_kind kind, int code)
{
    struct poa_device_event e;
    memset(&e, 0, sizeof e);
    e.kind = kind;
    e.code = code;
    return e;
}

static void tell(const struct poa_device *d, const struct poa_device_event *e)
{
    if (d->config.event)
        d->config.event(d->config.ctx, e);
}

/* The gateway showed that it is broken or hostile: tell, and end with CODE. */
static int alarm(const struct poa_device *d, int code, struct poa_slice header)
{
    struct poa_device_event e = event_of(POA_DEVICE_ALARM, code);
    e.header = header;
    tell(d, &e);
    return code;
}

/* --- time ----------------------------------------------------------------------- */

uint64_t poa_device_wall_ms(const struct poa_device *d, struct poa_device_time now)
{
    uint64_t wall = now.wall_ms;
    if (!wall && d->have_offset)
        wall = now.mono_ms + d->offset_ms;
    /* A verified header proves that its time has come. */
    return wall > d->top_ms ? wall : d->top_ms;
}

static uint64_t wall_ms(const struct poa_device *d)
{
    return poa_device_wall_ms(d, d->now);
}

static void set_clock(struct poa_device *d, uint64_t gateway_ms)
{
    d->offset_ms = gateway_ms - d->now.mono_ms; /* modulo 2^64: the gateway says any time */
    d->have_offset = true;
}

static uint64_t slot_at(const struct poa_device *d, uint64_t ms)
{
    return ms < d->params.genesis_ms ? 0 : (ms - d->params.genesis_ms) / d->params.slot_ms;
}

/* --- sending ---------------------------------------------------------------------- */

static int spoke(struct poa_device *d, const struct poa_writer *w, int e)
{
    if (!e) {
        d->tx_n = w->n;
        d->spoke_ms = d->now.mono_ms;
    }
    return e;
}

static int put(struct poa_device *d, uint8_t type, const struct poa_record *rec, const void *r)
{
    struct poa_writer w = {d->config.tx, d->config.tx_bytes, d->tx_n, false};
    return spoke(d, &w, poa_edge_put(&d->link.session, type, rec, r, &w));
}

#define PUT(d, NAME, rec, r) put(d, POA_EDGE_##NAME, &poa_##rec##_record, r)

struct poa_slice poa_device_output(const struct poa_device *d)
{
    return poa_slice(d->config.tx, d->tx_n);
}

void poa_device_sent(struct poa_device *d, size_t n)
{
    if (n > d->tx_n)
        n = d->tx_n;
    memmove(d->config.tx, d->config.tx + n, d->tx_n - n);
    d->tx_n -= n;
}

int poa_device_pack(struct poa_device *d, struct poa_slice pack)
{
    struct poa_writer w = {d->config.tx, d->config.tx_bytes, d->tx_n, false};
    if (d->state != POA_DEVICE_READY)
        return POA_E_AGAIN;
    return spoke(d, &w, poa_edge_put_raw(&d->link.session, POA_EDGE_PACK, pack, &w));
}

int poa_device_submit(struct poa_device *d, uint32_t ref, struct poa_slice tx)
{
    struct poa_edge_tx m = {ref, tx};
    return d->state == POA_DEVICE_READY ? PUT(d, TX, edge_tx, &m) : POA_E_AGAIN;
}

int poa_device_query(struct poa_device *d, uint32_t ref, uint8_t table, struct poa_slice key)
{
    if (d->state != POA_DEVICE_READY || d->query_open)
        return POA_E_AGAIN;
    if (!d->config.proof_check)
        return POA_E_UNSUPPORTED;
    if (key.n > sizeof d->query_key)
        return POA_E_TOO_LONG;
    if (key.n)
        memcpy(d->query_key, key.p, key.n);
    d->query.ref = ref;
    d->query.table = table;
    d->query.key = poa_slice(d->query_key, key.n);
    int e = PUT(d, QUERY, edge_query, &d->query);
    d->query_open = !e;
    return e;
}

/* --- trust ------------------------------------------------------------------------- */

/* What of a header decides whether it may stand for finality. FILLER_OK: only
 * as the certified end of a chain of links. */
static int check_final(struct poa_device *d, struct poa_slice header, struct poa_slice cert_bytes,
                       bool filler_ok, struct poa_header *h, uint8_t hash[32])
{
    struct poa_cert cert;
    int e = poa_header_decode(header, h);
    if (!e)
        e = poa_cert_decode(cert_bytes, &cert);
    if (e)
        return e;
    if (!d->have_trust)
        return POA_E_EPOCH;
    if (filler_ok && h->kind == POA_BLOCK_FILLER) {
        if (memcmp(h->chain, d->chain, 32))
            return POA_E_CHAIN;
        poa_hash(POA_DOMAIN_HEADER, header.p, header.n, hash);
        if (cert.kind != POA_VOTE_FINALIZE || h->epoch != cert.epoch || h->view != cert.view ||
            memcmp(hash, cert.hash, 32))
            return POA_E_BLOCK_INVALID;
        return poa_cert_check(d->config.suite, d->chain, &d->committee, &cert);
    }
    e = poa_final_check(d->config.suite, d->chain, &d->committee, h, &cert);
    memcpy(hash, cert.hash, 32);
    return e;
}

/* A header was proven final: two of one height are a fork. */
static int note_top(struct poa_device *d, const struct poa_header *h, const uint8_t hash[32],
                    struct poa_slice bytes)
{
    if (h->height == d->top_height && memcmp(d->top_hash, zero32, 32) &&
        memcmp(hash, d->top_hash, 32))
        return alarm(d, POA_E_EQUIVOCATION, bytes);
    if (h->height >= d->top_height) {
        d->top_height = h->height;
        d->top_ms = h->time_ms > d->top_ms ? h->time_ms : d->top_ms;
        memcpy(d->top_hash, hash, 32);
    }
    return POA_OK;
}

/* Errors of a check that an honest gateway cannot cause. An epoch that is not
 * ours can be an accident of timing. */
static bool forged(int e)
{
    return e == POA_E_SIGNATURE || e == POA_E_QUORUM || e == POA_E_NOT_MEMBER ||
           e == POA_E_NOT_CANONICAL || e == POA_E_BLOCK_INVALID || e == POA_E_CHAIN ||
           e == POA_E_KEY || e == POA_E_PROOF;
}

static void remember_final(struct poa_device *d, const struct poa_header *h, const uint8_t hash[32])
{
    memcpy(d->fin.hash, hash, 32);
    memcpy(d->fin.parent, h->parent, 32);
    memcpy(d->fin.state, h->state, 32);
    memcpy(d->fin.next_committee, h->next_committee, 32);
    d->fin.height = h->height;
    d->fin.time_ms = h->time_ms;
    d->fin.kind = h->kind;
    d->proven = true;
}

static int on_final(struct poa_device *d, const struct poa_edge_final *m)
{
    struct poa_header h;
    uint8_t hash[32];
    d->proven = false;
    int e = check_final(d, m->header, m->cert, true, &h, hash);
    if (forged(e))
        return alarm(d, e, m->header);
    if (e)
        return e == POA_E_EPOCH ? POA_OK : e; /* what rests on it will be refused */
    if (h.kind != POA_BLOCK_FILLER)
        e = note_top(d, &h, hash, m->header);
    if (!e)
        remember_final(d, &h, hash);
    return e;
}

static int on_link(struct poa_device *d, const struct poa_edge_link *m)
{
    struct poa_header h;
    uint8_t hash[32];
    int e = poa_header_decode(m->header, &h);
    if (e || !d->proven)
        return e;
    poa_hash(POA_DOMAIN_HEADER, m->header.p, m->header.n, hash);
    if (memcmp(hash, d->fin.parent, 32)) {
        d->proven = false;
        return alarm(d, POA_E_BLOCK_PARENT, m->header);
    }
    remember_final(d, &h, hash);
    return POA_OK;
}

/* Asks for the next hand-over while the gateway is ahead of our committee. */
static void plan_handover(struct poa_device *d)
{
    uint32_t target = d->welcome_epoch;
    if (d->have_ahead && d->ahead.epoch > target)
        target = d->ahead.epoch;
    d->want_handover = !d->have_trust || d->committee.epoch < target;
    d->asked_handover = false;
}

static void ask_handover(struct poa_device *d)
{
    struct poa_edge_get_handover m = {d->have_trust ? d->committee.epoch : POA_EPOCH_NONE};
    if (d->state == POA_DEVICE_READY && d->want_handover && !d->asked_handover &&
        !PUT(d, GET_HANDOVER, edge_get_handover, &m))
        d->asked_handover = true;
}

/* Which announced epoch belongs to committee number EPOCH. */
static struct poa_slice epoch_info(const struct poa_device *d, uint32_t epoch, uint8_t buffer[64])
{
    struct poa_writer w = poa_writer_over(buffer, 64);
    const struct poa_edge_epoch *e = d->have_ahead && d->ahead.epoch == epoch ? &d->ahead
                                     : d->epoch.epoch == epoch                ? &d->epoch
                                                                              : NULL;
    if (!e || poa_edge_epoch_encode(&w, e))
        return poa_slice(NULL, 0);
    return poa_written(&w);
}

static int store_trust(struct poa_device *d, const struct poa_edge_params *params,
                       struct poa_slice committee, uint32_t epoch)
{
    uint8_t info[64], params_bytes[POA_EDGE_PARAMS_BYTES];
    struct poa_writer w = poa_writer_over(params_bytes, sizeof params_bytes);
    struct poa_edge_trust t;
    memset(&t, 0, sizeof t);
    int e = poa_edge_params_encode(&w, params);
    if (e)
        return e;
    memcpy(t.chain, d->chain, 32);
    t.params = poa_written(&w);
    t.time_ms = d->top_ms;
    t.height = d->top_height;
    t.epoch = epoch_info(d, epoch, info);
    t.committee = committee;
    return poa_device_trust(d, &t);
}

static int on_committee(struct poa_device *d, struct poa_slice bytes)
{
    struct poa_committee c;
    uint8_t hash[32];
    int e = poa_committee_decode(bytes, &c);
    if (!e)
        e = poa_committee_check(&c);
    if (e)
        return alarm(d, e, poa_slice(NULL, 0));
    if (d->have_trust && c.epoch <= d->committee.epoch)
        return POA_OK; /* known: two answers crossed */
    if (c.members.count > POA_DEVICE_COMMITTEE_MAX)
        return POA_E_LIMIT;
    if (d->have_trust) {
        bool expired = d->config.trust_ms && d->top_ms && d->now.wall_ms > d->top_ms &&
                       d->now.wall_ms - d->top_ms > d->config.trust_ms;
        if (expired)
            return alarm(d, POA_E_TIMEOUT, poa_slice(NULL, 0));
        poa_committee_hash(&c, hash);
        if (!d->proven || d->fin.kind != POA_BLOCK_CLOSING || c.epoch != d->committee.epoch + 1 ||
            memcmp(hash, d->fin.next_committee, 32))
            return alarm(d, POA_E_PROOF, poa_slice(NULL, 0));
    } else if (c.epoch != d->welcome_epoch && !(d->have_ahead && c.epoch == d->ahead.epoch)) {
        return POA_E_EPOCH; /* trust_first: checked at WELCOME */
    }
    e = store_trust(d, &d->params, bytes, c.epoch);
    if (e)
        return e;
    struct poa_device_event ev = event_of(POA_DEVICE_COMMITTEE, POA_OK);
    ev.epoch = c.epoch;
    tell(d, &ev);
    plan_handover(d);
    return POA_OK;
}

static int on_welcome(struct poa_device *d, const struct poa_edge_welcome *m)
{
    struct poa_edge_params params;
    bool again = d->state == POA_DEVICE_READY;
    int e = poa_edge_params_decode(m->params, &params);
    if (e)
        return e;
    if (m->version != POA_EDGE_VERSION)
        return POA_E_UNSUPPORTED;
    if (!params.slot_ms || !params.window_slots)
        return alarm(d, POA_E_RANGE, poa_slice(NULL, 0));
    if (d->have_trust || again) {
        uint8_t own[POA_EDGE_PARAMS_BYTES];
        struct poa_writer w = poa_writer_over(own, sizeof own);
        e = poa_edge_params_encode(&w, &d->params);
        if (e)
            return e;
        /* The parameters are part of what the chain id commits to. */
        if (memcmp(m->chain, d->chain, 32) || !poa_slice_equal(poa_written(&w), m->params))
            return alarm(d, POA_E_CHAIN, poa_slice(NULL, 0));
    } else {
        if (d->config.chain32 && memcmp(m->chain, d->config.chain32, 32))
            return alarm(d, POA_E_CHAIN, poa_slice(NULL, 0));
        if (!d->config.trust_first)
            return POA_E_CONFIG;
        memcpy(d->chain, m->chain, 32);
        d->params = params;
        d->have_params = true;
    }
    set_clock(d, m->time_ms);
    bool news = !again || d->status != m->status || d->index != m->index;
    d->status = m->status;
    d->index = m->index;
    d->ping_ms = m->ping_ms < PING_MIN_MS ? PING_MIN_MS : m->ping_ms;
    d->welcome_epoch = m->epoch;
    d->state = POA_DEVICE_READY;
    if (!again)
        plan_handover(d);
    if (news) {
        struct poa_device_event ev = event_of(POA_DEVICE_WELCOMED, POA_OK);
        ev.status = m->status;
        ev.index = m->index;
        ev.epoch = m->epoch;
        tell(d, &ev);
    }
    return POA_OK;
}

static int on_epoch(struct poa_device *d, const struct poa_edge_epoch *m)
{
    if (d->have_ahead && m->epoch < d->ahead.epoch)
        return POA_OK;
    /* Another gateway, another seed: one of the two lied, so what was drawn on
     * the first counts for nothing. */
    if (m->epoch == d->ahead.epoch && memcmp(m->seed, d->ahead.seed, 32))
        d->draw[0].valid = d->draw[1].valid = false;
    d->ahead = *m;
    d->have_ahead = true;
    if (d->have_trust && d->committee.epoch == m->epoch &&
        (d->epoch.epoch != m->epoch || memcmp(d->epoch.seed, m->seed, 32))) {
        struct poa_edge_trust t;
        poa_device_trusted(d, &t);
        int e = store_trust(d, &d->params, t.committee, m->epoch);
        if (e)
            return e;
    }
    struct poa_device_event ev = event_of(POA_DEVICE_EPOCH, POA_OK);
    ev.epoch = m->epoch;
    tell(d, &ev);
    if (!d->asked_handover)
        plan_handover(d);
    return POA_OK;
}

/* --- tickets ------------------------------------------------------------------------- */

/* Spreads the devices over the first quarter of a window, not at its very start:
 * blocks follow the clock by a little. */
static uint64_t ticket_jitter_ms(const struct poa_device *d, uint32_t window)
{
    uint64_t quarter = (uint64_t)d->params.window_slots * d->params.slot_ms / 4;
    uint32_t mix = poa_le32(d->config.key32) ^ (window * UINT32_C(2654435761));
    return quarter ? quarter / 4 + mix % (quarter - quarter / 4) : 0;
}

/* Draws and sends the ticket for the next window when it is time; returns the
 * wall time of the next thing to do, UINT64_MAX: nothing to wait for. */
static uint64_t run_tickets(struct poa_device *d)
{
    const struct poa_edge_epoch *e = &d->ahead;
    uint64_t wall = wall_ms(d);
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
    struct poa_seat seats[POA_DRAWS_MAX];
    size_t n = i < 0 ? 0 : poa_device_draw_seats(d, e, i, seats);
    if (n) {
        struct poa_ticket t;
        memcpy(t.device, d->config.key32, 32);
        t.epoch = e->epoch;
        t.window = next;
        memcpy(t.proof, d->draw[i].proof, sizeof t.proof);
        if (PUT(d, TICKET, ticket, &t))
            return UINT64_MAX; /* no room: the next call tries again */
    }
    d->ticket_epoch = e->epoch;
    d->ticket_window = next;
    d->ticket_open = n > 0;
    struct poa_device_event ev = event_of(POA_DEVICE_TICKET, i < 0 ? i : POA_OK);
    ev.epoch = e->epoch;
    ev.window = next;
    ev.count = (uint32_t)n;
    tell(d, &ev);
    return start_ms + window_ms + ticket_jitter_ms(d, next + 1);
}

/* The ticket goes out again: its result never came, or said "later". */
static void reopen_ticket(struct poa_device *d)
{
    d->ticket_open = false;
    d->ticket_window = 0;
    d->ticket_epoch = POA_EPOCH_NONE;
}

static void on_ticket_result(struct poa_device *d, const struct poa_edge_ticket_result *m)
{
    struct poa_device_event ev = event_of(POA_DEVICE_TICKET_RESULT, -(int)m->code);
    if (d->ticket_open && m->epoch == d->ticket_epoch && m->window == d->ticket_window) {
        d->ticket_open = false;
        /* The chain may be a block behind our clock at the turn of a window. */
        if (poa_error_retry(-(int)m->code) ||
            -(int)m->code == POA_E_TICKET_WINDOW) {
            reopen_ticket(d);
            d->ticket_retry_ms = d->now.mono_ms + TICKET_RETRY_MS;
        }
    }
    ev.epoch = m->epoch;
    ev.window = m->window;
    tell(d, &ev);
}

/* --- tasks and seals ------------------------------------------------------------------ */

static void send_seals(struct poa_device *d)
{
    uint64_t slot = slot_at(d, wall_ms(d));
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++) {
        if (!d->seals[i].used)
            continue;
        if (slot > d->seals[i].seal.slot + d->params.seal_slots)
            d->seals[i].used = false; /* nobody would pay it any more */
        else if (!d->seals[i].sent && d->state == POA_DEVICE_READY &&
                 d->now.mono_ms >= d->seal_retry_ms)
            d->seals[i].sent = !PUT(d, SEAL, seal, &d->seals[i].seal);
    }
}

/* A place for a new seal: a free one, else that of the oldest. */
static size_t seal_place(const struct poa_device *d)
{
    size_t best = 0;
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++) {
        if (!d->seals[i].used)
            return i;
        if (d->seals[i].seal.slot < d->seals[best].seal.slot)
            best = i;
    }
    return best;
}

/* Everything about a task that costs no signature check. */
static int check_task(struct poa_device *d, const struct poa_edge_task *m,
                      const struct poa_header *h)
{
    const struct poa_edge_epoch *e = d->have_ahead && d->ahead.epoch == h->epoch ? &d->ahead
                                     : d->epoch.epoch == h->epoch                ? &d->epoch
                                                                                 : NULL;
    uint64_t wall = wall_ms(d);
    if (memcmp(h->chain, d->chain, 32))
        return POA_E_CHAIN;
    if (!d->have_trust || h->epoch != d->committee.epoch || !e)
        return POA_E_EPOCH;
    if (h->kind == POA_BLOCK_FILLER)
        return POA_E_BLOCK_INVALID;
    if (h->time_ms < d->params.genesis_ms || slot_at(d, h->time_ms) != m->slot)
        return POA_E_SLOT_UNKNOWN;
    if (h->time_ms > wall + d->params.drift_ms)
        return POA_E_BLOCK_TIME;
    if (slot_at(d, wall) > m->slot + d->params.seal_slots)
        return POA_E_SEAL_LATE;
    if (d->have_mark && !memcmp(d->mark.chain, d->chain, 32) &&
        (m->slot <= d->mark.slot || h->height <= d->mark.height))
        return POA_E_SEAL_TWICE;
    return poa_device_assigned(d, e, m->slot);
}

static int refuse(const struct poa_device *d, const struct poa_edge_task *m, int code)
{
    struct poa_device_event ev = event_of(POA_DEVICE_REFUSED, code);
    ev.slot = m->slot;
    ev.header = m->header;
    tell(d, &ev);
    return POA_OK;
}

static int on_task(struct poa_device *d, const struct poa_edge_task *m)
{
    struct poa_header h;
    uint8_t hash[32], digest[32];
    int e = poa_header_decode(m->header, &h);
    if (e)
        return e;
    e = check_task(d, m, &h);
    if (e)
        return forged(e) ? alarm(d, e, m->header) : refuse(d, m, e);
    if (m->cert.n) {
        e = check_final(d, m->header, m->cert, false, &h, hash);
    } else {
        poa_header_hash(&h, hash);
        e = d->proven && !memcmp(hash, d->fin.hash, 32) ? POA_OK : POA_E_PROOF;
    }
    if (!e)
        e = note_top(d, &h, hash, m->header);
    else if (forged(e))
        return alarm(d, e, m->header);
    if (e)
        return e;

    /* Recorded, then signed: whatever happens in between, no second seal. */
    e = poa_device_mark(d, m->slot, h.height, hash);
    if (e)
        return e;
    size_t i = seal_place(d);
    struct poa_seal *s = &d->seals[i].seal;
    memcpy(s->device, d->config.key32, 32);
    s->epoch = h.epoch;
    s->slot = m->slot;
    s->height = h.height;
    memcpy(s->hash, hash, 32);
    poa_seal_digest(d->chain, s, digest);
    d->config.suite->sign(d->config.seed32, d->config.key32, digest, sizeof digest, s->sig);
    d->counts[POA_DEVICE_COUNT_SEAL]++;
    d->seals[i].used = true;
    d->seals[i].sent = false;
    struct poa_device_event ev = event_of(POA_DEVICE_SEALED, POA_OK);
    ev.slot = m->slot;
    ev.height = h.height;
    ev.epoch = h.epoch;
    ev.hash = hash;
    tell(d, &ev);
    send_seals(d);
    return POA_OK;
}

static void on_seal_result(struct poa_device *d, const struct poa_edge_seal_result *m)
{
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++) {
        if (!d->seals[i].used || d->seals[i].seal.slot != m->slot)
            continue;
        if (poa_error_retry(-(int)m->code)) {
            d->seals[i].sent = false;
            d->seal_retry_ms = d->now.mono_ms + SEAL_RETRY_MS;
        } else {
            d->seals[i].used = false;
        }
    }
    struct poa_device_event ev = event_of(POA_DEVICE_SEAL_RESULT, -(int)m->code);
    ev.slot = m->slot;
    tell(d, &ev);
}

/* --- answers ---------------------------------------------------------------------------- */

static int on_answer(struct poa_device *d, const struct poa_edge_answer *m)
{
    if (!d->query_open || m->ref != d->query.ref)
        return POA_OK;
    d->query_open = false;
    struct poa_device_event ev = event_of(POA_DEVICE_ANSWER, -(int)m->code);
    ev.ref = m->ref;
    if (!m->code) {
        if (!d->proven || d->fin.kind == POA_BLOCK_FILLER)
            ev.code = POA_E_EPOCH; /* certified by a committee that we do not have */
        else if (wall_ms(d) > d->fin.time_ms + POA_DEVICE_ANSWER_AGE_MS)
            ev.code = POA_E_TIMEOUT;
        else if (d->config.proof_check(d->fin.state, d->query.table, d->query.key, m->value,
                                       m->proof))
            return alarm(d, POA_E_PROOF, poa_slice(NULL, 0));
    }
    if (!ev.code) {
        ev.value = m->value;
        ev.height = d->fin.height;
        ev.time_ms = d->fin.time_ms;
    }
    tell(d, &ev);
    return POA_OK;
}

static int on_receipt(struct poa_device *d, const struct poa_edge_receipt *m)
{
    struct poa_device_event ev = event_of(POA_DEVICE_RECEIPT, POA_OK);
    if (poa_pack_path_check(m->id, m->index, m->packs, m->path, m->root))
        return alarm(d, POA_E_PROOF, poa_slice(NULL, 0));
    ev.hash = m->id;
    ev.height = m->height;
    ev.receipt = m;
    tell(d, &ev);
    return POA_OK;
}

/* --- the connection ------------------------------------------------------------------------ */

/* One scratch struct for whatever message came: none outlives its handler. */
union message {
    struct poa_edge_welcome welcome;
    struct poa_edge_epoch epoch;
    struct poa_edge_task task;
    struct poa_edge_final final;
    struct poa_edge_link link;
    struct poa_edge_ticket_result ticket_result;
    struct poa_edge_seal_result seal_result;
    struct poa_edge_pack_result pack_result;
    struct poa_edge_receipt receipt;
    struct poa_edge_reward reward;
    struct poa_edge_tx_result tx_result;
    struct poa_edge_answer answer;
    struct poa_edge_pong pong;
    struct poa_edge_bye bye;
};

static int on_message(struct poa_device *d, uint8_t type, struct poa_slice in)
{
    union message m;
    struct poa_device_event ev;
    int e = POA_OK;
    if (d->state == POA_DEVICE_GREETED && type != POA_EDGE_WELCOME && type != POA_EDGE_BYE)
        return POA_E_RANGE;
    switch (type) {
    case POA_EDGE_WELCOME:
        e = poa_edge_welcome_decode(in, &m.welcome);
        return e ? e : on_welcome(d, &m.welcome);
    case POA_EDGE_EPOCH:
        e = poa_edge_epoch_decode(in, &m.epoch);
        return e ? e : on_epoch(d, &m.epoch);
    case POA_EDGE_TASK:
        e = poa_edge_task_decode(in, &m.task);
        return e ? e : on_task(d, &m.task);
    case POA_EDGE_FINAL:
        e = poa_edge_final_decode(in, &m.final);
        return e ? e : on_final(d, &m.final);
    case POA_EDGE_LINK:
        e = poa_edge_link_decode(in, &m.link);
        return e ? e : on_link(d, &m.link);
    case POA_EDGE_COMMITTEE:
        return on_committee(d, in);
    case POA_EDGE_TICKET_RESULT:
        e = poa_edge_ticket_result_decode(in, &m.ticket_result);
        if (!e)
            on_ticket_result(d, &m.ticket_result);
        return e;
    case POA_EDGE_SEAL_RESULT:
        e = poa_edge_seal_result_decode(in, &m.seal_result);
        if (!e)
            on_seal_result(d, &m.seal_result);
        return e;
    case POA_EDGE_PACK_RESULT:
        e = poa_edge_pack_result_decode(in, &m.pack_result);
        if (e)
            return e;
        ev = event_of(POA_DEVICE_PACK_RESULT, -(int)m.pack_result.code);
        ev.hash = m.pack_result.id;
        break;
    case POA_EDGE_RECEIPT:
        e = poa_edge_receipt_decode(in, &m.receipt);
        return e ? e : on_receipt(d, &m.receipt);
    case POA_EDGE_REWARD:
        e = poa_edge_reward_decode(in, &m.reward);
        if (e)
            return e;
        ev = event_of(POA_DEVICE_REWARD, POA_OK);
        ev.reward = &m.reward;
        break;
    case POA_EDGE_TX_RESULT:
        e = poa_edge_tx_result_decode(in, &m.tx_result);
        if (e)
            return e;
        ev = event_of(POA_DEVICE_TX_RESULT, -(int)m.tx_result.code);
        ev.ref = m.tx_result.ref;
        break;
    case POA_EDGE_ANSWER:
        e = poa_edge_answer_decode(in, &m.answer);
        return e ? e : on_answer(d, &m.answer);
    case POA_EDGE_PONG:
        e = poa_edge_pong_decode(in, &m.pong);
        if (!e && m.pong.nonce == d->nonce)
            set_clock(d, m.pong.time_ms);
        return e;
    case POA_EDGE_BYE:
        e = poa_edge_bye_decode(in, &m.bye);
        if (e)
            return e;
        ev = event_of(POA_DEVICE_BYE, -(int)m.bye.code);
        ev.retry_ms = m.bye.retry_ms;
        e = POA_E_CLOSED;
        break;
    default:
        return POA_E_RANGE;
    }
    tell(d, &ev);
    return e;
}

static int on_answer_dial(struct poa_device *d)
{
    struct poa_session s;
    int e = poa_edge_start(&d->link.noise, poa_slice(d->config.rx, d->rx_need), &s);
    if (e)
        return e;
    d->link.session = s;
    poa_session_wipe(&s);
    struct poa_edge_hello m;
    memset(&m, 0, sizeof m);
    m.version = POA_EDGE_VERSION;
    memcpy(m.device, d->config.key32, 32);
    if (d->have_trust)
        memcpy(m.chain, d->chain, 32);
    else if (d->config.chain32)
        memcpy(m.chain, d->config.chain32, 32);
    m.epoch = d->have_trust ? d->committee.epoch : POA_EPOCH_NONE;
    m.frame_max =
        (uint16_t)(d->config.rx_bytes < POA_EDGE_DOWN_MAX ? d->config.rx_bytes : POA_EDGE_DOWN_MAX);
    e = PUT(d, HELLO, edge_hello, &m);
    if (!e)
        d->state = POA_DEVICE_GREETED;
    return e;
}

static int on_frame(struct poa_device *d)
{
    uint8_t type;
    struct poa_slice payload;
    if (d->state == POA_DEVICE_DIALING)
        return on_answer_dial(d);
    int e = poa_edge_take(&d->link.session, d->config.rx, d->rx_need, &type, &payload);
    return e ? e : on_message(d, type, payload);
}

/* What may be due after any event. */
static void run(struct poa_device *d)
{
    ask_handover(d);
    if (d->state == POA_DEVICE_READY)
        send_seals(d);
}

int poa_device_input(struct poa_device *d, struct poa_device_time now, const uint8_t *bytes,
                     size_t n)
{
    d->now = now;
    if (d->state == POA_DEVICE_IDLE)
        return POA_E_INVALID;
    if (n)
        d->heard_ms = now.mono_ms;
    while (n) {
        if (d->head_n < POA_EDGE_HEAD_BYTES) {
            d->head[d->head_n++] = *bytes++;
            n--;
            if (d->head_n < POA_EDGE_HEAD_BYTES)
                continue;
            d->rx_need = poa_le16(d->head);
            if (!d->rx_need || d->rx_need > d->config.rx_bytes) {
                poa_device_close(d);
                return POA_E_TOO_LONG;
            }
            continue;
        }
        size_t take = d->rx_need - d->rx_n < n ? d->rx_need - d->rx_n : n;
        memcpy(d->config.rx + d->rx_n, bytes, take);
        d->rx_n += take;
        bytes += take;
        n -= take;
        if (d->rx_n < d->rx_need)
            break;
        d->head_n = 0;
        d->rx_n = 0;
        int e = on_frame(d);
        if (e) {
            poa_device_close(d);
            return e;
        }
    }
    run(d);
    return POA_OK;
}

int poa_device_poll(struct poa_device *d, struct poa_device_time now, uint64_t *wait_ms)
{
    d->now = now;
    uint64_t wait = WAIT_MAX_MS;
    int e = POA_OK;
    switch ((enum poa_device_state)d->state) {
    case POA_DEVICE_IDLE:
        break;
    case POA_DEVICE_DIALING:
    case POA_DEVICE_GREETED:
        if (now.mono_ms - d->started_ms >= POA_DEVICE_HANDSHAKE_MS)
            e = POA_E_TIMEOUT;
        else
            wait = POA_DEVICE_HANDSHAKE_MS - (now.mono_ms - d->started_ms);
        break;
    case POA_DEVICE_READY:
        if (now.mono_ms - d->heard_ms >= (uint64_t)POA_DEVICE_SILENCE_PINGS * d->ping_ms)
            e = POA_E_TIMEOUT;
        else if (poa_session_needs_rekey(&d->link.session, now.mono_ms - d->started_ms))
            e = POA_E_REKEY;
        break;
    }
    if (e) {
        poa_device_close(d);
        *wait_ms = 0;
        return e;
    }
    if (d->state == POA_DEVICE_READY) {
        run(d);
        uint64_t wall = wall_ms(d);
        uint64_t due = run_tickets(d);
        /* A gateway whose numbers leave nothing sensible to wait for must not
         * keep us awake. */
        if (due <= wall)
            due = wall + TICKET_RETRY_MS;
        if (due - wall < wait)
            wait = due - wall;
        if (now.mono_ms - d->spoke_ms >= d->ping_ms) {
            struct poa_edge_ping m = {++d->nonce};
            /* A full send buffer counts as speech that has not left yet. */
            if (PUT(d, PING, edge_ping, &m))
                d->spoke_ms = now.mono_ms;
        }
        if (d->ping_ms - (now.mono_ms - d->spoke_ms) < wait)
            wait = d->ping_ms - (now.mono_ms - d->spoke_ms);
        if (d->seal_retry_ms > now.mono_ms && d->seal_retry_ms - now.mono_ms < wait)
            wait = d->seal_retry_ms - now.mono_ms;
    }
    *wait_ms = wait;
    return POA_OK;
}

int poa_device_connect(struct poa_device *d, struct poa_device_time now,
                       const uint8_t gateway32[32], const uint8_t entropy32[32])
{
    if (d->state != POA_DEVICE_IDLE)
        return POA_E_INVALID;
    d->now = now;
    struct poa_writer w = poa_writer_over(d->config.tx, d->config.tx_bytes);
    int e = poa_edge_dial(&d->link.noise, d->config.seed32, gateway32, entropy32, &w);
    if (e)
        return e;
    d->tx_n = w.n;
    d->started_ms = d->heard_ms = d->spoke_ms = now.mono_ms;
    d->state = POA_DEVICE_DIALING;
    return POA_OK;
}

void poa_device_close(struct poa_device *d)
{
    poa_wipe(&d->link, sizeof d->link);
    d->state = POA_DEVICE_IDLE;
    d->head_n = 0;
    d->rx_n = d->rx_need = d->tx_n = 0;
    d->proven = d->query_open = d->want_handover = d->asked_handover = false;
    /* The next gateway may be on another view of things; what was not answered
     * is said again. */
    d->have_ahead = false;
    if (d->ticket_open)
        reopen_ticket(d);
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++)
        d->seals[i].sent = false;
}

int poa_device_init(struct poa_device *d, const struct poa_device_config *c)
{
    memset(d, 0, sizeof *d);
    if (!c->suite || !c->seed32 || !c->key32 || !c->rx || !c->tx ||
        c->rx_bytes < POA_DEVICE_RX_MIN || c->tx_bytes < POA_DEVICE_TX_MIN || !c->port.load_mark ||
        !c->port.store_mark || !c->port.load_trust || !c->port.store_trust)
        return POA_E_INVALID;
    d->config = *c;
    d->epoch.epoch = POA_EPOCH_NONE;
    d->status = POA_EDGE_UNREGISTERED;
    reopen_ticket(d);
    int e = poa_device_load(d);
    if (!e && d->have_trust && c->chain32 && memcmp(c->chain32, d->chain, 32))
        e = POA_E_CHAIN;
    return e;
}

void poa_device_wipe(struct poa_device *d)
{
    if (d->config.rx)
        poa_wipe(d->config.rx, d->config.rx_bytes);
    if (d->config.tx)
        poa_wipe(d->config.tx, d->config.tx_bytes);
    poa_wipe(d, sizeof *d);
}

const uint8_t *poa_device_chain(const struct poa_device *d)
{
    return d->have_params ? d->chain : NULL;
}
