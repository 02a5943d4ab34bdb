/* One message of the gateway: decoded, then handled. */
#include <string.h>

#include "device_internal.h"

#define PING_MIN_MS 1000
#define PING_MAX_MS 600000 /* a gateway that died must be noticed */

static int on_welcome(struct poa_device *d, const void *edge_welcome)
{
    const struct poa_edge_welcome *m = (const struct poa_edge_welcome *)edge_welcome;
    struct poa_edge_params params;
    bool again = d->state == POA_DEVICE_READY;
    int e = poa_edge_params_decode(m->params, &params);
    if (e)
        return e;
    if (m->version != POA_EDGE_VERSION)
        return POA_E_UNSUPPORTED;
    if (!params.slot_ms || !params.window_slots)
        return poa_device_alarm(d, POA_E_RANGE, poa_slice(NULL, 0));
    if (d->have_trust || again) {
        uint8_t own[POA_EDGE_PARAMS_BYTES];
        struct poa_writer w = poa_writer_over(own, sizeof own);
        e = poa_edge_params_encode(&w, &d->params);
        if (e)
            return e;
        /* The parameters are part of what the chain id commits to. */
        if (memcmp(m->chain, d->chain, 32) || !poa_slice_equal(poa_written(&w), m->params))
            return poa_device_alarm(d, POA_E_CHAIN, poa_slice(NULL, 0));
    } else {
        if (d->config.chain32 && memcmp(m->chain, d->config.chain32, 32))
            return poa_device_alarm(d, POA_E_CHAIN, poa_slice(NULL, 0));
        if (!d->config.trust_first)
            return POA_E_CONFIG;
        memcpy(d->chain, m->chain, 32);
        d->params = params;
        d->have_params = true;
    }
    poa_device_set_clock(d, m->time_ms);
    bool news = !again || d->status != m->status || d->index != m->index;
    d->status = m->status;
    d->index = m->index;
    d->ping_ms = m->ping_ms < PING_MIN_MS   ? PING_MIN_MS
                 : m->ping_ms > PING_MAX_MS ? PING_MAX_MS
                                            : m->ping_ms;
    d->welcome_epoch = m->epoch;
    d->state = POA_DEVICE_READY;
    if (!again)
        poa_device_plan_handover(d);
    if (news) {
        struct poa_device_event ev = poa_device_event_of(POA_DEVICE_WELCOMED, POA_OK);
        ev.status = m->status;
        ev.index = m->index;
        ev.epoch = m->epoch;
        poa_device_tell(d, &ev);
    }
    if (!again && d->config.listen) {
        struct poa_edge_listen on = {1};
        return PUT(d, LISTEN, edge_listen, &on);
    }
    return POA_OK;
}

static int on_answer(struct poa_device *d, const void *edge_answer)
{
    const struct poa_edge_answer *m = (const struct poa_edge_answer *)edge_answer;
    if (!d->query_open || m->ref != d->query.ref)
        return POA_OK;
    d->query_open = false;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_ANSWER, -(int)m->code);
    ev.ref = m->ref;
    if (!m->code) {
        if (!d->proven || d->fin.kind == POA_BLOCK_FILLER)
            ev.code = POA_E_EPOCH; /* certified by a committee that we do not have */
        else if (poa_device_wall(d) > d->fin.time_ms + POA_DEVICE_ANSWER_AGE_MS)
            ev.code = POA_E_TIMEOUT;
        else if (d->config.proof_check(d->fin.state, d->query.table, d->query.key, m->value,
                                       m->proof))
            return poa_device_alarm(d, POA_E_PROOF, poa_slice(NULL, 0));
    }
    if (!ev.code) {
        ev.value = m->value;
        ev.height = d->fin.height;
        ev.time_ms = d->fin.time_ms;
    }
    poa_device_tell(d, &ev);
    return POA_OK;
}

static int on_receipt(struct poa_device *d, const void *edge_receipt)
{
    const struct poa_edge_receipt *m = (const struct poa_edge_receipt *)edge_receipt;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_RECEIPT, POA_OK);
    if (poa_pack_path_check(m->id, m->index, m->packs, m->path, m->root))
        return poa_device_alarm(d, POA_E_PROOF, poa_slice(NULL, 0));
    ev.hash = m->id;
    ev.height = m->height;
    ev.receipt = m;
    poa_device_tell(d, &ev);
    return POA_OK;
}

static int on_pack_result(struct poa_device *d, const void *edge_pack_result)
{
    const struct poa_edge_pack_result *m = (const struct poa_edge_pack_result *)edge_pack_result;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_PACK_RESULT, -(int)m->code);
    ev.hash = m->id;
    poa_device_tell(d, &ev);
    return POA_OK;
}

static int on_reward(struct poa_device *d, const void *edge_reward)
{
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_REWARD, POA_OK);
    ev.reward = (const struct poa_edge_reward *)edge_reward;
    poa_device_tell(d, &ev);
    return POA_OK;
}

static int on_tx_result(struct poa_device *d, const void *edge_tx_result)
{
    const struct poa_edge_tx_result *m = (const struct poa_edge_tx_result *)edge_tx_result;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_TX_RESULT, -(int)m->code);
    ev.ref = m->ref;
    poa_device_tell(d, &ev);
    return POA_OK;
}

static int on_pong(struct poa_device *d, const void *edge_pong)
{
    const struct poa_edge_pong *m = (const struct poa_edge_pong *)edge_pong;
    if (m->nonce == d->nonce)
        poa_device_set_clock(d, m->time_ms);
    return POA_OK;
}

static int on_relayed(struct poa_device *d, const void *edge_relay)
{
    const struct poa_edge_relay *m = (const struct poa_edge_relay *)edge_relay;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_RELAYED, POA_OK);
    ev.hash = m->device;
    ev.value = m->bytes;
    poa_device_tell(d, &ev);
    return POA_OK;
}

static int on_relay_result(struct poa_device *d, const void *edge_relay_result)
{
    const struct poa_edge_relay_result *m = (const struct poa_edge_relay_result *)edge_relay_result;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_RELAY_RESULT, -(int)m->code);
    ev.hash = m->device;
    poa_device_tell(d, &ev);
    return POA_OK;
}

static int on_bye(struct poa_device *d, const void *edge_bye)
{
    const struct poa_edge_bye *m = (const struct poa_edge_bye *)edge_bye;
    struct poa_device_event ev = poa_device_event_of(POA_DEVICE_BYE, -(int)m->code);
    ev.retry_ms = m->retry_ms;
    poa_device_tell(d, &ev);
    return POA_E_CLOSED;
}

/* X(NAME, record, handler): what a gateway may say, but for COMMITTEE, which
 * is handled as bytes, and PASS, which has its place. */
#define RECEIVED(X)                                                                                \
    X(WELCOME, edge_welcome, on_welcome)                                                           \
    X(EPOCH, edge_epoch, poa_device_on_epoch)                                                      \
    X(TASK, edge_task, poa_device_on_task)                                                         \
    X(FINAL, edge_final, poa_device_on_final)                                                      \
    X(FINAL_HEAD, edge_final_head, poa_device_on_final_head)                                       \
    X(FINAL_PART, edge_final_part, poa_device_on_final_part)                                       \
    X(LINK, edge_link, poa_device_on_link)                                                         \
    X(COMMITTEE_ID, edge_committee_id, poa_device_on_committee_id)                                 \
    X(TICKET_RESULT, edge_ticket_result, poa_device_on_ticket_result)                              \
    X(SEAL_RESULT, edge_seal_result, poa_device_on_seal_result)                                    \
    X(PACK_RESULT, edge_pack_result, on_pack_result)                                               \
    X(RECEIPT, edge_receipt, on_receipt)                                                           \
    X(REWARD, edge_reward, on_reward)                                                              \
    X(TX_RESULT, edge_tx_result, on_tx_result)                                                     \
    X(ANSWER, edge_answer, on_answer)                                                              \
    X(RELAYED, edge_relay, on_relayed)                                                             \
    X(RELAY_RESULT, edge_relay_result, on_relay_result)                                            \
    X(PONG, edge_pong, on_pong)                                                                    \
    X(BYE, edge_bye, on_bye)

int poa_device_receive(struct poa_device *d, uint8_t type, struct poa_slice in)
{
    static const struct {
        const struct poa_record *record;
        int (*handle)(struct poa_device *d, const void *message);
        uint8_t type;
    } row[] = {
#define ROW(NAME, rec, handler) {&poa_##rec##_record, handler, POA_EDGE_##NAME},
        RECEIVED(ROW)
#undef ROW
    };
    union {
#define MEMBER(NAME, rec, handler) struct poa_##rec rec;
        RECEIVED(MEMBER)
#undef MEMBER
    } message;
    if (d->state == POA_DEVICE_GREETED && type != POA_EDGE_WELCOME && type != POA_EDGE_BYE)
        return POA_E_RANGE;
    if (type == POA_EDGE_PASS) {
        int e = poa_edge_pass_decode(in, &d->link.on.pass);
        d->have_pass = !e;
        return e;
    }
    if (type == POA_EDGE_COMMITTEE)
        return poa_device_on_committee(d, in);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        if (row[i].type != type)
            continue;
        int e = poa_record_decode(row[i].record, in, &message);
        return e ? e : row[i].handle(d, &message);
    }
    return POA_E_RANGE;
}
