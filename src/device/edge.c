/* Records, frames and handshake of the device edge: see poa_edge.h. */
#include "poa_edge.h"

#include <string.h>

#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_params, k, n, m, s, d)
POA_RECORD_DEFINE(edge_params, POA_EDGE_PARAMS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_hello, k, n, m, s, d)
POA_RECORD_DEFINE(edge_hello, POA_EDGE_HELLO_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_welcome, k, n, m, s, d)
POA_RECORD_DEFINE(edge_welcome, POA_EDGE_WELCOME_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_epoch, k, n, m, s, d)
POA_RECORD_DEFINE(edge_epoch, POA_EDGE_EPOCH_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_task, k, n, m, s, d)
POA_RECORD_DEFINE(edge_task, POA_EDGE_TASK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_final, k, n, m, s, d)
POA_RECORD_DEFINE(edge_final, POA_EDGE_FINAL_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_final_head, k, n, m, s, d)
POA_RECORD_DEFINE(edge_final_head, POA_EDGE_FINAL_HEAD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_witness, k, n, m, s, d)
POA_RECORD_DEFINE(edge_witness, POA_EDGE_WITNESS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_final_part, k, n, m, s, d)
POA_RECORD_DEFINE(edge_final_part, POA_EDGE_FINAL_PART_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_committee_id, k, n, m, s, d)
POA_RECORD_DEFINE(edge_committee_id, POA_EDGE_COMMITTEE_ID_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_link, k, n, m, s, d)
POA_RECORD_DEFINE(edge_link, POA_EDGE_LINK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_get_handover, k, n, m, s, d)
POA_RECORD_DEFINE(edge_get_handover, POA_EDGE_GET_HANDOVER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_ticket_result, k, n, m, s, d)
POA_RECORD_DEFINE(edge_ticket_result, POA_EDGE_TICKET_RESULT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_seal_result, k, n, m, s, d)
POA_RECORD_DEFINE(edge_seal_result, POA_EDGE_SEAL_RESULT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_pack_result, k, n, m, s, d)
POA_RECORD_DEFINE(edge_pack_result, POA_EDGE_PACK_RESULT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_receipt, k, n, m, s, d)
POA_RECORD_DEFINE(edge_receipt, POA_EDGE_RECEIPT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_reward, k, n, m, s, d)
POA_RECORD_DEFINE(edge_reward, POA_EDGE_REWARD_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_tx, k, n, m, s, d)
POA_RECORD_DEFINE(edge_tx, POA_EDGE_TX_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_tx_result, k, n, m, s, d)
POA_RECORD_DEFINE(edge_tx_result, POA_EDGE_TX_RESULT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_query, k, n, m, s, d)
POA_RECORD_DEFINE(edge_query, POA_EDGE_QUERY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_answer, k, n, m, s, d)
POA_RECORD_DEFINE(edge_answer, POA_EDGE_ANSWER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_ping, k, n, m, s, d)
POA_RECORD_DEFINE(edge_ping, POA_EDGE_PING_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_pong, k, n, m, s, d)
POA_RECORD_DEFINE(edge_pong, POA_EDGE_PONG_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_bye, k, n, m, s, d)
POA_RECORD_DEFINE(edge_bye, POA_EDGE_BYE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_pass, k, n, m, s, d)
POA_RECORD_DEFINE(edge_pass, POA_EDGE_PASS_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_listen, k, n, m, s, d)
POA_RECORD_DEFINE(edge_listen, POA_EDGE_LISTEN_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_relay, k, n, m, s, d)
POA_RECORD_DEFINE(edge_relay, POA_EDGE_RELAY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_relay_result, k, n, m, s, d)
POA_RECORD_DEFINE(edge_relay_result, POA_EDGE_RELAY_RESULT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_mark, k, n, m, s, d)
POA_RECORD_DEFINE(edge_mark, POA_EDGE_MARK_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(edge_trust, k, n, m, s, d)
POA_RECORD_DEFINE(edge_trust, POA_EDGE_TRUST_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(pack, k, n, m, s, d)
POA_RECORD_DEFINE(pack, POA_PACK_TABLE)
#undef F

const char *poa_edge_message_name(uint8_t type)
{
    switch (type) {
#define POA_EDGE_MESSAGE_CASE(name, number, record, text)                                          \
    case number:                                                                                   \
        return #name;
        POA_EDGE_MESSAGES(POA_EDGE_MESSAGE_CASE)
#undef POA_EDGE_MESSAGE_CASE
    default:
        return "unknown";
    }
}

/* --- frames ------------------------------------------------------------------- */

/* Where the plain text of the next frame goes, so that sealing it moves no
 * byte: behind the length and the head of the session's frame. */
static int plain_writer(const struct poa_writer *out, uint8_t type, struct poa_writer *plain)
{
    size_t before = POA_EDGE_HEAD_BYTES + POA_SESSION_HEAD_BYTES;
    size_t room = out->cap - out->n;
    if (out->overflow || room < before + 1 + POA_NOISE_TAG_BYTES)
        return POA_E_BUFFER;
    *plain = poa_writer_over(out->p + out->n + before, room - before - POA_NOISE_TAG_BYTES);
    poa_write_u8(plain, type);
    return POA_OK;
}

static int seal_plain(struct poa_session *s, const struct poa_writer *plain, struct poa_writer *out)
{
    size_t frame = plain->n + POA_SESSION_OVERHEAD;
    if (plain->overflow)
        return POA_E_BUFFER;
    if (frame > UINT16_MAX)
        return POA_E_TOO_LONG;
    struct poa_writer w = {out->p, out->cap, out->n, false};
    poa_write_u16(&w, (uint16_t)frame);
    int e = poa_session_seal(s, poa_written(plain), &w);
    if (e)
        return e;
    *out = w;
    return POA_OK;
}

int poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec, const void *r,
                 struct poa_writer *out)
{
    struct poa_writer plain;
    int e = plain_writer(out, type, &plain);
    if (!e)
        e = poa_record_encode(rec, &plain, r);
    return e ? e : seal_plain(s, &plain, out);
}

int poa_edge_put_raw(struct poa_session *s, uint8_t type, struct poa_slice encoded,
                     struct poa_writer *out)
{
    struct poa_writer plain;
    int e = plain_writer(out, type, &plain);
    if (e)
        return e;
    poa_write(&plain, encoded.p, encoded.n);
    return seal_plain(s, &plain, out);
}

int poa_edge_take(struct poa_session *s, uint8_t *body, size_t n, uint8_t *type,
                  struct poa_slice *payload)
{
    if (n < POA_SESSION_OVERHEAD + 1)
        return POA_E_TRUNCATED;
    struct poa_writer plain =
        poa_writer_over(body + POA_SESSION_HEAD_BYTES, n - POA_SESSION_HEAD_BYTES);
    int e = poa_session_open(s, poa_slice(body, n), &plain);
    if (e)
        return e;
    *type = plain.p[0];
    *payload = poa_slice(plain.p + 1, plain.n - 1);
    return POA_OK;
}

/* --- handshake ------------------------------------------------------------------ */

static struct poa_noise_config noise_config(bool initiator)
{
    struct poa_noise_config c;
    memset(&c, 0, sizeof c);
    c.pattern = &poa_noise_ik;
    c.hash = POA_NOISE_BLAKE2B;
    c.initiator = initiator;
    c.prologue = poa_slice(POA_EDGE_PROLOGUE, sizeof POA_EDGE_PROLOGUE - 1);
    return c;
}

/* Appends the next handshake message of N with its length. */
static int put_handshake(struct poa_noise *n, size_t size, struct poa_writer *out)
{
    struct poa_writer w = *out;
    poa_write_u16(&w, (uint16_t)size);
    int e = w.overflow ? POA_E_BUFFER : poa_noise_write(n, poa_slice(NULL, 0), &w);
    if (!e)
        *out = w;
    return e;
}

int poa_edge_dial(struct poa_noise *n, const uint8_t seed32[32], const uint8_t *x_pk32,
                  const uint8_t gateway32[32], const uint8_t entropy32[32], struct poa_writer *out)
{
    uint8_t sk[32], gateway[32];
    int e = poa_ed25519_pk_to_x25519(gateway32, gateway);
    if (e)
        return e;
    poa_ed25519_seed_to_x25519(seed32, sk);
    struct poa_noise_config c = noise_config(true);
    c.static_sk32 = sk;
    c.static_pk32 = x_pk32;
    c.remote_pk32 = gateway;
    c.ephemeral32 = entropy32;
    e = poa_noise_init(n, &c);
    if (!e)
        e = put_handshake(n, POA_EDGE_FIRST_BYTES, out);
    poa_wipe(sk, sizeof sk);
    if (e)
        poa_noise_wipe(n);
    return e;
}

int poa_edge_start(struct poa_noise *n, struct poa_slice second, struct poa_session *out)
{
    struct poa_writer none = poa_writer_over(NULL, 0);
    int e = second.n == POA_EDGE_SECOND_BYTES ? POA_OK : POA_E_HANDSHAKE;
    if (!e && poa_noise_read(n, second, &none))
        e = POA_E_HANDSHAKE;
    /* OUT may share its memory with N, so the session is made aside. */
    struct poa_session s;
    if (!e && poa_session_start(&s, n, POA_SESSION_STRICT))
        e = POA_E_HANDSHAKE;
    poa_noise_wipe(n);
    if (!e)
        *out = s;
    poa_session_wipe(&s);
    return e;
}

int poa_edge_answer_dial(const uint8_t x_sk32[32], const uint8_t x_pk32[32],
                         const uint8_t entropy32[32], struct poa_slice first,
                         struct poa_writer *out, struct poa_session *session, uint8_t remote32[32])
{
    struct poa_noise n;
    struct poa_writer none = poa_writer_over(NULL, 0);
    struct poa_noise_config c = noise_config(false);
    if (first.n != POA_EDGE_FIRST_BYTES)
        return POA_E_HANDSHAKE;
    c.static_sk32 = x_sk32;
    c.static_pk32 = x_pk32;
    c.ephemeral32 = entropy32;
    int e = poa_noise_init(&n, &c);
    if (!e && poa_noise_read(&n, first, &none))
        e = POA_E_HANDSHAKE;
    if (!e)
        e = put_handshake(&n, POA_EDGE_SECOND_BYTES, out);
    if (!e) {
        memcpy(remote32, poa_noise_remote(&n), 32);
        e = poa_session_start(session, &n, POA_SESSION_STRICT);
    }
    poa_noise_wipe(&n);
    return e;
}
