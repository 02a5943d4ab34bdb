/* The micro-miner, from outside: connection, time, buffers. See poa_device.h. */
#include <string.h>

#include "device_internal.h"

#define WAIT_MAX_MS     60000
#define TICKET_RETRY_MS 1000

struct poa_device_event poa_device_event_of(enum poa_device_event_kind kind, int code)
{
    struct poa_device_event e;
    memset(&e, 0, sizeof e);
    e.kind = kind;
    e.code = code;
    return e;
}

void poa_device_tell(const struct poa_device *d, const struct poa_device_event *e)
{
    if (d->config.event)
        d->config.event(d->config.ctx, e);
}

int poa_device_alarm(const struct poa_device *d, int code, struct poa_slice header)
{
    struct poa_device_event e = poa_device_event_of(POA_DEVICE_ALARM, code);
    e.header = header;
    poa_device_tell(d, &e);
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

uint64_t poa_device_wall(const struct poa_device *d)
{
    return poa_device_wall_ms(d, d->now);
}

void poa_device_set_clock(struct poa_device *d, uint64_t gateway_ms)
{
    d->offset_ms = gateway_ms - d->now.mono_ms; /* modulo 2^64: the gateway says any time */
    d->have_offset = true;
}

uint64_t poa_device_slot(const struct poa_device *d, uint64_t ms)
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

int poa_device_put(struct poa_device *d, uint8_t type, const struct poa_record *rec, const void *r)
{
    struct poa_writer w = {d->config.tx, d->config.tx_bytes, d->tx_n, false};
    return spoke(d, &w, poa_edge_put(&d->link.on.session, type, rec, r, &w));
}

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
    return spoke(d, &w, poa_edge_put_raw(&d->link.on.session, POA_EDGE_PACK, pack, &w));
}

int poa_device_submit(struct poa_device *d, uint32_t ref, struct poa_slice tx)
{
    struct poa_edge_tx m = {ref, tx};
    return d->state == POA_DEVICE_READY ? PUT(d, TX, edge_tx, &m) : POA_E_AGAIN;
}

int poa_device_relay(struct poa_device *d, const uint8_t device32[32], struct poa_slice bytes)
{
    struct poa_edge_relay m;
    if (d->state != POA_DEVICE_READY)
        return POA_E_AGAIN;
    memcpy(m.device, device32, 32);
    m.bytes = bytes;
    return PUT(d, RELAY, edge_relay, &m);
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

/* --- the connection ------------------------------------------------------------------- */

static uint8_t committee_max(const struct poa_device *d)
{
    bool by_hash = d->have_trust && !d->committee.members.count;
    return d->config.streaming || (by_hash && d->members <= POA_DEVICE_COMMITTEE_MAX)
               ? 0
               : POA_DEVICE_COMMITTEE_MAX;
}

/* The gateway's half of the handshake came: the session starts with HELLO. */
static POA_NOINLINE int greet(struct poa_device *d)
{
    uint8_t *nonces = d->link.on.pass.pass;
    int e;
    if (d->resumed && d->rx_need != POA_EDGE_RESUMED_BYTES)
        return POA_E_REKEY; /* refused */
    if (d->resumed) {
        memcpy(nonces + 32, d->config.rx, 32);
        poa_session_resume(&d->link.on.session, true, d->link.on.pass.secret, nonces);
        poa_wipe(&d->link.on.pass, sizeof d->link.on.pass);
    } else {
        e = poa_edge_start(&d->link.noise, poa_slice(d->config.rx, d->rx_need),
                           &d->link.on.session);
        if (e)
            return e;
    }
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
    /* A committee that we know by its hash alone: its certificates come in parts. */
    m.committee_max = committee_max(d);
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
        return greet(d);
    int e = poa_edge_take(&d->link.on.session, d->config.rx, d->rx_need, &type, &payload);
    if (e)
        return e;
    if (type == POA_EDGE_TASK && payload.n >= 8)
        poa_device_prepare(d, poa_le64(payload.p)); /* its slot comes first */
    return poa_device_receive(d, type, payload);
}

/* What may be due after any event. */
static void run(struct poa_device *d)
{
    poa_device_ask_handover(d);
    if (d->state == POA_DEVICE_READY)
        poa_device_send_seals(d);
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
        else if (poa_session_needs_rekey(&d->link.on.session, now.mono_ms - d->keyed_ms))
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
        uint64_t wall = poa_device_wall(d);
        uint64_t due = poa_device_run_tickets(d);
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
    int e = POA_OK;
    d->resumed = d->have_pass && now.mono_ms - d->keyed_ms < POA_SESSION_AGE_RENEW_MS &&
                 !memcmp(d->gateway, gateway32, 32);
    d->have_pass = false; /* used once, whatever comes of it */
    if (d->resumed) {
        uint8_t *pass = d->link.on.pass.pass;
        poa_write_u16(&w, POA_EDGE_RESUME_BYTES);
        poa_write(&w, pass, POA_EDGE_PASS_BYTES);
        poa_write(&w, entropy32, 32);
        memcpy(pass, entropy32, 32); /* one of the nonces */
    } else {
        e = poa_edge_dial(&d->link.noise, d->config.seed32, d->x25519, gateway32, entropy32, &w);
        d->keyed_ms = now.mono_ms;
    }
    if (e)
        return e;
    memcpy(d->gateway, gateway32, 32);
    d->tx_n = w.n;
    d->started_ms = d->heard_ms = d->spoke_ms = now.mono_ms;
    d->state = POA_DEVICE_DIALING;
    return POA_OK;
}

void poa_device_close(struct poa_device *d)
{
    if (d->have_pass)
        poa_session_wipe(&d->link.on.session);
    else
        poa_wipe(&d->link, sizeof d->link);
    d->state = POA_DEVICE_IDLE;
    d->head_n = 0;
    d->rx_n = d->rx_need = d->tx_n = 0;
    d->stream.left = 0;
    d->proven = d->query_open = d->want_handover = d->asked_handover = false;
    /* The next gateway may be on another view of things; what was not answered
     * is said again. */
    d->have_ahead = false;
    if (d->ticket_open)
        poa_device_reopen_ticket(d);
    for (size_t i = 0; i < POA_DEVICE_SEALS; i++)
        d->seals[i].sent = false;
}

int poa_device_init(struct poa_device *d, const struct poa_device_config *c)
{
    memset(d, 0, sizeof *d);
    if (!c->suite || !c->seed32 || !c->key32 || !c->rx || !c->tx ||
        c->rx_bytes < (c->streaming ? POA_DEVICE_RX_STREAMING : POA_DEVICE_RX_MIN) ||
        c->tx_bytes < POA_DEVICE_TX_MIN || !c->port.load_mark || !c->port.store_mark ||
        !c->port.load_trust || !c->port.store_trust)
        return POA_E_INVALID;
    d->config = *c;
    uint8_t x_sk[32];
    poa_ed25519_seed_to_x25519(c->seed32, x_sk);
    poa_x25519_public(x_sk, d->x25519);
    poa_wipe(x_sk, sizeof x_sk);
    d->epoch.epoch = POA_EPOCH_NONE;
    d->status = POA_EDGE_UNREGISTERED;
    poa_device_reopen_ticket(d);
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
