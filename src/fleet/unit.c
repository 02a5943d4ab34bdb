/* One simulated device, and the trunk that it may share. */
#include <stdlib.h>
#include <string.h>

#include "fleet.h"

#define LATER_MS     2000 /* after the gateway said "later" to a pack */
#define TRUNK_ASK_MS 20   /* until a trunk may have room for another handshake */
#define PACK_MAX     512

static struct poa_device_time now_of(const struct poa_fleet *f)
{
    return (struct poa_device_time){fleet_now_ms(f), poa_clock_wall_ms(f->clock)};
}

/* --- what a device keeps ----------------------------------------------------------- */

static int load_mark(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct unit *u = ctx;
    (void)cap;
    memcpy(buffer, u->mark, u->mark_n);
    *n = u->mark_n;
    return u->mark_n ? POA_OK : POA_E_NOT_FOUND;
}

static int store_mark(void *ctx, const uint8_t *bytes, size_t n)
{
    struct unit *u = ctx;
    if (n > sizeof u->mark)
        return POA_E_TOO_LONG;
    memcpy(u->mark, bytes, n);
    u->mark_n = n;
    return POA_OK;
}

/* Devices do not restart here: the struct itself remembers what it trusts. */
static int store_trust(void *ctx, const uint8_t *bytes, size_t n)
{
    (void)ctx;
    (void)bytes;
    (void)n;
    return POA_OK;
}

/* The one fleet of this thread: ports know their device only. */
static _Thread_local struct poa_fleet *running;

static int load_trust(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct poa_slice t = running->config.trust;
    (void)ctx;
    if (!t.n)
        return POA_E_NOT_FOUND;
    if (t.n > cap)
        return POA_E_TOO_LONG;
    memcpy(buffer, t.p, t.n);
    *n = t.n;
    return POA_OK;
}

/* --- what it says --------------------------------------------------------------------- */

static void note_root(struct poa_fleet *f, const uint8_t root32[32])
{
    /* Receipts of one root come in a row. */
    for (size_t i = f->roots, k = 0; i-- > 0 && k < 64; k++)
        if (!memcmp(f->root[i], root32, 32))
            return;
    if (f->roots < POA_FLEET_ROOTS_MAX)
        memcpy(f->root[f->roots++], root32, 32);
}

static void drop_pack(struct unit *u)
{
    free(u->pack);
    u->pack = NULL;
    u->pack_sent = false;
}

static void on_pack_result(struct poa_fleet *f, struct unit *u, const struct poa_device_event *e)
{
    f->stat.pack_bytes += 34;
    if (!e->code || !u->pack || memcmp(e->hash, u->pack_id, 32))
        return;
    enum poa_error_class class = poa_error_class(e->code);
    if (class == POA_CLASS_RETRY || class == POA_CLASS_RESOURCE ||
        e->code == POA_E_DEVICE_UNKNOWN) {
        u->pack_sent = false;
        u->pack_retry_ms = fleet_now_ms(f) + LATER_MS;
        return;
    }
    f->stat.packs_refused++;
    drop_pack(u);
}

static void on_event(void *ctx, const struct poa_device_event *e)
{
    struct unit *u = ctx;
    struct poa_fleet *f = running;
    switch (e->kind) {
    case POA_DEVICE_TICKET:
        f->stat.tickets += e->count > 0;
        break;
    case POA_DEVICE_SEALED:
        f->stat.seals++;
        /* Counted by us, not by what the library thinks of it. */
        if (u->sealed && (e->slot <= u->slot || e->height <= u->height))
            f->stat.double_seals++;
        u->slot = e->slot;
        u->height = e->height;
        u->sealed++;
        break;
    case POA_DEVICE_SEAL_RESULT:
        f->stat.seals_accepted += !e->code;
        f->stat.seals_refused += e->code != 0;
        break;
    case POA_DEVICE_PACK_RESULT:
        on_pack_result(f, u, e);
        break;
    case POA_DEVICE_RECEIPT:
        f->stat.pack_bytes += 82 + e->receipt->path.n;
        if (u->pack && !memcmp(e->hash, u->pack_id, 32)) {
            f->stat.receipts++;
            note_root(f, e->receipt->root);
            drop_pack(u);
        }
        break;
    case POA_DEVICE_ALARM:
        f->stat.alarms++;
        break;
    case POA_DEVICE_BYE:
        u->bye = true;
        u->bye_ms = e->retry_ms;
        break;
    case POA_DEVICE_WELCOMED:
    case POA_DEVICE_EPOCH:
    case POA_DEVICE_COMMITTEE:
    case POA_DEVICE_TICKET_RESULT:
    case POA_DEVICE_REFUSED:
    case POA_DEVICE_REWARD:
    case POA_DEVICE_TX_RESULT:
    case POA_DEVICE_ANSWER:
    case POA_DEVICE_RELAYED:
    case POA_DEVICE_RELAY_RESULT:
        break;
    }
}

int unit_init(struct poa_fleet *f, struct unit *u, struct poa_why *why)
{
    uint32_t i = unit_index(f, u);
    wire_init(&u->wire);
    running = f;
    poa_fleet_seed(f->config.seed32, i, u->seed);
    poa_ed25519_public(u->seed, u->key);
    agent_link_init(&u->link, f->config.gateways);
    u->link.next = i % f->config.gateways;
    struct poa_device_config c = {
        .suite = &poa_suite_ed25519,
        .seed32 = u->seed,
        .key32 = u->key,
        .rx = f->rx, /* only whole frames are given to it */
        .tx = f->tx, /* and what it says is taken at once */
        .rx_bytes = sizeof f->rx,
        .tx_bytes = sizeof f->tx,
        .port = {load_mark, store_mark, load_trust, store_trust, u},
        .trust_first = !f->config.trust.n,
        .event = on_event,
        .ctx = u,
    };
    uint32_t jitter;
    poa_random(&jitter, sizeof jitter);
    u->dial_ms = f->start_ms + jitter % 1000;
    poa_random(&jitter, sizeof jitter);
    if (f->config.pack_ms)
        u->pack_due_ms = f->start_ms + jitter % f->config.pack_ms;
    int e = poa_device_init(&u->d, &c);
    return e ? poa_because(why, e, "the library does not take the trust record: %s",
                           poa_error_text(e))
             : POA_OK;
}

static void put_head(uint8_t *out, size_t n)
{
    out[0] = (uint8_t)n;
    out[1] = (uint8_t)(n >> 8);
}

/* --- the connection --------------------------------------------------------------------- */

static void opened(struct poa_fleet *f, struct unit *u)
{
    struct trunk *t = unit_trunk(f, u);
    if (u->opening && t)
        t->opening--;
    u->opening = false;
}

static void count_vrf(struct poa_fleet *f, struct unit *u)
{
    f->stat.vrf += u->d.counts[POA_DEVICE_COUNT_VRF] - u->vrf;
    u->vrf = u->d.counts[POA_DEVICE_COUNT_VRF];
}

/* The session is gone; when to dial again. */
static void unit_down(struct poa_fleet *f, struct unit *u, enum agent_down why, bool tell_trunk)
{
    struct trunk *t = unit_trunk(f, u);
    if (tell_trunk && t && t->up) {
        uint8_t frame[POA_EDGE_HEAD_BYTES + POA_EDGE_CHANNEL_BYTES];
        put_head(frame, POA_EDGE_CHANNEL_BYTES);
        poa_put_le32(frame + POA_EDGE_HEAD_BYTES, unit_index(f, u) - t->first);
        (void)wire_send(f, &t->wire, f->config.devices + (uint32_t)(t - f->trunk), frame,
                        sizeof frame);
    }
    count_vrf(f, u);
    opened(f, u);
    if (u->ready) {
        f->stat.connected--;
        f->stat.lost++;
        f->at[u->gateway]--;
    } else {
        f->stat.failed++;
    }
    uint64_t wait = agent_link_down(&u->link,
                                    u->bye                                 ? AGENT_DOWN_TOLD
                                    : u->ready && why != AGENT_DOWN_BROKEN ? AGENT_DOWN_LOST
                                                                           : why,
                                    u->bye_ms);
    poa_device_close(&u->d);
    wire_close(f, &u->wire);
    u->up = false;
    u->ready = false;
    u->bye = false;
    u->pack_sent = false;
    u->dial_ms = fleet_now_ms(f) + wait;
    f->due_ms[unit_index(f, u)] = u->dial_ms;
}

void unit_cut(struct poa_fleet *f, struct unit *u)
{
    if (u->up || u->wire.fd >= 0)
        unit_down(f, u, AGENT_DOWN_LOST, false);
}

/* What the library has to say goes out; false: the stream is dead. */
static bool say(struct poa_fleet *f, struct unit *u)
{
    struct poa_slice out = poa_device_output(&u->d);
    struct trunk *t = unit_trunk(f, u);
    bool fine = true;
    if (!out.n)
        return true;
    if (!t) {
        fine = wire_send(f, &u->wire, unit_index(f, u), out.p, out.n);
    } else {
        /* Frame by frame, each with its channel. */
        uint32_t id = f->config.devices + (uint32_t)(t - f->trunk);
        for (size_t at = 0; fine && at < out.n;) {
            uint8_t head[POA_EDGE_HEAD_BYTES + POA_EDGE_CHANNEL_BYTES];
            size_t body = poa_le16(out.p + at);
            put_head(head, body + POA_EDGE_CHANNEL_BYTES);
            poa_put_le32(head + POA_EDGE_HEAD_BYTES, unit_index(f, u) - t->first);
            fine = wire_send(f, &t->wire, id, head, sizeof head) &&
                   wire_send(f, &t->wire, id, out.p + at + POA_EDGE_HEAD_BYTES, body);
            at += POA_EDGE_HEAD_BYTES + body;
        }
    }
    poa_device_sent(&u->d, out.n);
    return fine;
}

static void start_session(struct poa_fleet *f, struct unit *u)
{
    uint8_t entropy[32];
    poa_random(entropy, sizeof entropy);
    struct trunk *t = unit_trunk(f, u);
    size_t gateway = t ? t->link.next : u->link.next;
    int e = poa_device_connect(&u->d, now_of(f), f->config.gateway[gateway].key, entropy);
    u->up = true;
    if (t) {
        t->opening++;
        u->opening = true;
    }
    if (e || !say(f, u))
        unit_down(f, u, AGENT_DOWN_FAILED, true);
}

static void dial(struct poa_fleet *f, struct unit *u)
{
    struct trunk *t = unit_trunk(f, u);
    if (t) {
        if (t->up && t->opening < FLEET_OPENING_MAX)
            start_session(f, u);
        else
            f->due_ms[unit_index(f, u)] = fleet_now_ms(f) + TRUNK_ASK_MS;
        return;
    }
    if (!wire_dial(f, &u->wire, unit_index(f, u), &f->config.gateway[u->link.next]))
        unit_down(f, u, AGENT_DOWN_FAILED, false);
    else
        f->due_ms[unit_index(f, u)] = u->wire.dialed_ms + FLEET_DIAL_MS;
}

/* --- packs --------------------------------------------------------------------------------- */

static void make_pack(struct poa_fleet *f, struct unit *u, uint64_t wall_ms)
{
    uint8_t content[200], encoded[PACK_MAX];
    struct poa_writer text = poa_writer_over(content, sizeof content);
    struct poa_writer out = poa_writer_over(encoded, sizeof encoded);
    struct poa_senml senml;
    struct poa_pack p = {.seq = ++u->pack_seq, .readings = 1};
    poa_senml_begin(&senml, &text, "urn:dev:poa:fleet:", wall_ms);
    if (poa_senml_add(&senml, "power", "W", wall_ms, (int64_t)(u->pack_seq % 3000), 0) ||
        poa_senml_end(&senml))
        return;
    p.from_ms = senml.from_ms;
    p.to_ms = senml.to_ms;
    p.content = poa_written(&text);
    if (poa_pack_sign(&poa_suite_ed25519, poa_device_chain(&u->d), u->seed, u->key, &p, &out))
        return;
    u->pack = malloc(out.n);
    if (!u->pack)
        return;
    memcpy(u->pack, encoded, out.n);
    u->pack_n = out.n;
    poa_pack_id(poa_written(&out), u->pack_id);
    u->pack_retry_ms = 0;
    f->stat.packs++;
}

/* Makes the next pack, or sends the one that waits; when to look again. */
static uint64_t run_packs(struct poa_fleet *f, struct unit *u, uint64_t now)
{
    if (!f->config.pack_ms || u->d.state != POA_DEVICE_READY || u->d.status != POA_EDGE_ACTIVE)
        return UINT64_MAX;
    if (!u->pack && now >= u->pack_due_ms && !f->quiet) {
        make_pack(f, u, poa_clock_wall_ms(f->clock));
        u->pack_due_ms += f->config.pack_ms * (1 + (now - u->pack_due_ms) / f->config.pack_ms);
    }
    if (u->pack && !u->pack_sent && now >= u->pack_retry_ms &&
        !poa_device_pack(&u->d, poa_slice(u->pack, u->pack_n))) {
        u->pack_sent = true;
        f->stat.pack_bytes += u->pack_n;
    }
    return u->pack ? (u->pack_sent ? UINT64_MAX : u->pack_retry_ms) : u->pack_due_ms;
}

/* --- turns ---------------------------------------------------------------------------------- */

static void reached(struct poa_fleet *f, struct unit *u)
{
    struct trunk *t = unit_trunk(f, u);
    u->ready = true;
    u->gateway = t ? t->link.next : u->link.next;
    f->at[u->gateway]++;
    opened(f, u);
    agent_link_up(&u->link);
    f->stat.connected++;
    f->stat.connects++;
    f->stat.resumed += u->d.resumed;
    if (!u->came)
        f->reach_ms[f->reached++] = fleet_now_ms(f) - f->start_ms;
    u->came = true;
}

void unit_turn(struct poa_fleet *f, struct unit *u)
{
    uint64_t now = fleet_now_ms(f), wait;
    running = f;
    if (!u->up) {
        if (u->wire.fd < 0) {
            if (now >= u->dial_ms)
                dial(f, u);
            else
                f->due_ms[unit_index(f, u)] = u->dial_ms;
        } else if (now >= u->wire.dialed_ms + FLEET_DIAL_MS) {
            unit_down(f, u, AGENT_DOWN_FAILED, false);
        }
        return;
    }
    int e = poa_device_poll(&u->d, now_of(f), &wait);
    if (!e && !u->ready && u->d.state == POA_DEVICE_READY)
        reached(f, u);
    uint64_t pack_ms = e ? 0 : run_packs(f, u, now);
    if (e || !say(f, u)) {
        unit_down(f, u,
                  e == POA_E_REKEY                 ? AGENT_DOWN_RENEW
                  : e == POA_E_TIMEOUT && u->ready ? AGENT_DOWN_BROKEN
                                                   : AGENT_DOWN_FAILED,
                  true);
        return;
    }
    count_vrf(f, u);
    f->due_ms[unit_index(f, u)] = now + wait < pack_ms ? now + wait : pack_ms;
}

/* Something came from the gateway. What is due by time, a draw for example, waits for the
 * unit's turn; an answer and a handshake do not. */
static void heard(struct poa_fleet *f, struct unit *u)
{
    if (u->d.state != POA_DEVICE_READY) {
        unit_turn(f, u);
        return;
    }
    if (!u->ready)
        reached(f, u);
    f->due_ms[unit_index(f, u)] = 0;
    if (!say(f, u))
        unit_down(f, u, AGENT_DOWN_FAILED, true);
}

static bool unit_frame(struct poa_fleet *f, void *ctx, uint8_t *frame, size_t n)
{
    struct unit *u = ctx;
    u->error = poa_device_input(&u->d, now_of(f), frame, n);
    return u->error == POA_OK;
}

static enum agent_down down_by(int e)
{
    return e == POA_E_REKEY ? AGENT_DOWN_RENEW : AGENT_DOWN_FAILED;
}

void unit_ready(struct poa_fleet *f, struct unit *u, bool in, bool out)
{
    running = f;
    if (u->wire.fd < 0)
        return;
    if (u->wire.dialing) {
        if (wire_dialed(f, &u->wire, unit_index(f, u)))
            start_session(f, u);
        else
            unit_down(f, u, AGENT_DOWN_FAILED, false);
        return;
    }
    u->error = POA_OK;
    bool fine = !out || wire_flush(f, &u->wire, unit_index(f, u));
    if (fine && in)
        fine = wire_read(f, &u->wire, unit_frame, u);
    if (fine)
        heard(f, u);
    else
        unit_down(f, u, down_by(u->error), false);
}

/* --- trunks ------------------------------------------------------------------------------------
 */

static uint32_t trunk_id(const struct poa_fleet *f, const struct trunk *t)
{
    return f->config.devices + (uint32_t)(t - f->trunk);
}

static void trunk_down(struct poa_fleet *f, struct trunk *t)
{
    t->dial_ms =
        fleet_now_ms(f) + agent_link_down(&t->link, t->up ? AGENT_DOWN_LOST : AGENT_DOWN_FAILED, 0);
    t->up = false;
    wire_close(f, &t->wire);
    for (uint32_t i = t->first; i < t->first + t->count; i++)
        if (f->unit[i].up)
            unit_down(f, &f->unit[i], AGENT_DOWN_FAILED, false);
    t->opening = 0;
}

void trunk_cut(struct poa_fleet *f, struct trunk *t)
{
    if (t->wire.fd >= 0)
        trunk_down(f, t);
}

void trunk_turn(struct poa_fleet *f, struct trunk *t)
{
    uint64_t now = fleet_now_ms(f);
    if (t->wire.fd < 0 && now >= t->dial_ms &&
        !wire_dial(f, &t->wire, trunk_id(f, t), &f->config.gateway[t->link.next]))
        trunk_down(f, t);
    else if (t->wire.fd >= 0 && t->wire.dialing && now >= t->wire.dialed_ms + FLEET_DIAL_MS)
        trunk_down(f, t);
}

static bool trunk_frame(struct poa_fleet *f, void *ctx, uint8_t *frame, size_t n)
{
    struct trunk *t = ctx;
    if (n < POA_EDGE_HEAD_BYTES + POA_EDGE_CHANNEL_BYTES)
        return false;
    uint32_t channel = poa_le32(frame + POA_EDGE_HEAD_BYTES);
    if (channel >= t->count)
        return false;
    struct unit *u = &f->unit[t->first + channel];
    if (!u->up)
        return true; /* of a session that ended here already */
    if (n == POA_EDGE_HEAD_BYTES + POA_EDGE_CHANNEL_BYTES) {
        unit_down(f, u, AGENT_DOWN_FAILED, false);
        return true;
    }
    /* The inner frame has its length where the channel was. */
    frame += POA_EDGE_CHANNEL_BYTES;
    n -= POA_EDGE_CHANNEL_BYTES;
    put_head(frame, n - POA_EDGE_HEAD_BYTES);
    u->error = poa_device_input(&u->d, now_of(f), frame, n);
    if (u->error)
        unit_down(f, u, down_by(u->error), true);
    else
        heard(f, u);
    return true;
}

void trunk_ready(struct poa_fleet *f, struct trunk *t, bool in, bool out)
{
    static const uint8_t hello[] = POA_EDGE_TRUNK;
    running = f;
    if (t->wire.fd < 0)
        return;
    bool fine = true;
    if (t->wire.dialing) {
        uint8_t head[POA_EDGE_HEAD_BYTES];
        put_head(head, sizeof hello - 1);
        fine = wire_dialed(f, &t->wire, trunk_id(f, t)) &&
               wire_send(f, &t->wire, trunk_id(f, t), head, sizeof head) &&
               wire_send(f, &t->wire, trunk_id(f, t), hello, sizeof hello - 1);
        t->up = fine;
        if (fine)
            agent_link_up(&t->link);
    } else {
        fine = !out || wire_flush(f, &t->wire, trunk_id(f, t));
        if (fine && in)
            fine = wire_read(f, &t->wire, trunk_frame, t);
    }
    if (!fine)
        trunk_down(f, t);
}
