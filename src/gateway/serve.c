/* What devices say, and what comes of it. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Slots after its deadline by which a seal is paid. */
#define REWARD_SLOTS 2

/* --- tokens ------------------------------------------------------------------- */

static bool grow_tokens(struct poa_gateway *g)
{
    uint32_t n = g->tokens ? g->tokens * 2 : 64;
    if (n > GATEWAY_TOKENS_MAX)
        return false;
    struct token *t = realloc(g->token, n * sizeof *t);
    if (!t)
        return false;
    memset(t + g->tokens, 0, (n - g->tokens) * sizeof *t);
    for (uint32_t i = n; i-- > g->tokens;) {
        t[i].conn = g->token_free;
        g->token_free = i;
    }
    g->token = t;
    g->tokens = n;
    return true;
}

int token_new(struct poa_gateway *g, const struct conn *c, enum token_kind kind, uint64_t a,
              uint32_t b, uint64_t *out)
{
    if (g->token_free == UINT32_MAX && !grow_tokens(g))
        return POA_E_FULL;
    uint32_t i = g->token_free;
    struct token *t = &g->token[i];
    g->token_free = t->conn;
    t->kind = (uint8_t)kind;
    t->gen++;
    t->conn = c ? c->index : UINT32_MAX;
    t->serial = c ? c->serial : 0;
    t->a = a;
    t->b = b;
    *out = (uint64_t)t->gen << 32 | i;
    return POA_OK;
}

static struct token *token_find(struct poa_gateway *g, uint64_t token)
{
    uint32_t i = (uint32_t)token;
    return i < g->tokens && g->token[i].kind != TOKEN_FREE && g->token[i].gen == token >> 32
               ? &g->token[i]
               : NULL;
}

/* Its connection, when it is still the same one. */
static struct conn *token_conn(const struct poa_gateway *g, const struct token *t)
{
    struct conn *c = t->conn < g->high ? g->conn[t->conn] : NULL;
    return c && c->serial == t->serial ? c : NULL;
}

void token_free(struct poa_gateway *g, uint64_t token)
{
    struct token *t = token_find(g, token);
    if (!t)
        return;
    t->kind = TOKEN_FREE;
    t->conn = g->token_free;
    g->token_free = (uint32_t)token;
}

static void send_ticket_result(struct conn *c, uint32_t epoch, uint32_t window, int code)
{
    struct poa_edge_ticket_result m = {epoch, window, gateway_code(code)};
    CONN_SEND(c, TICKET_RESULT, edge_ticket_result, &m);
}

static void send_seal_result(struct conn *c, uint64_t slot, int code)
{
    struct poa_edge_seal_result m = {slot, gateway_code(code)};
    CONN_SEND(c, SEAL_RESULT, edge_seal_result, &m);
    if (!code)
        c->reward_slot = slot + c->g->config.genesis->seal_slots + REWARD_SLOTS;
}

static void send_tx_result(struct conn *c, uint32_t ref, int code)
{
    struct poa_edge_tx_result m = {ref, gateway_code(code)};
    CONN_SEND(c, TX_RESULT, edge_tx_result, &m);
}

static void send_refusal(struct conn *c, uint32_t ref, int code)
{
    struct poa_edge_answer a = {ref, gateway_code(code), poa_slice(NULL, 0), poa_slice(NULL, 0)};
    CONN_SEND(c, ANSWER, edge_answer, &a);
}

void serve_result(struct poa_gateway *g, uint64_t token, int code)
{
    struct token *found = token_find(g, token);
    if (!found)
        return;
    struct token t = *found;
    token_free(g, token);
    if (t.kind == TOKEN_ANCHOR) {
        anchor_result(g, token, code);
        return;
    }
    struct conn *c = token_conn(g, &t);
    if (!c)
        return;
    switch ((enum token_kind)t.kind) {
    case TOKEN_TICKET:
        send_ticket_result(c, (uint32_t)t.a, t.b, code);
        break;
    case TOKEN_SEAL:
        send_seal_result(c, t.a, code);
        break;
    case TOKEN_TX:
        send_tx_result(c, (uint32_t)t.a, code);
        break;
    case TOKEN_QUERY: /* a result instead of a proof: refused */
        c->asking = false;
        send_refusal(c, (uint32_t)t.a, code ? code : POA_E_INVALID);
        break;
    case TOKEN_ANCHOR:
    case TOKEN_FREE:
        break;
    }
}

/* --- greeting ------------------------------------------------------------------- */

static int read_device(struct poa_gateway *g, const uint8_t key[32], struct poa_st_device *out)
{
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_writer w = poa_writer_over(g->state, sizeof g->state);
    int e = b->state_get(b->ctx, POA_STATE_DEVICE, poa_slice(key, 32), &w);
    return e ? e : poa_st_device_decode(poa_written(&w), out);
}

bool serve_status(struct conn *c)
{
    struct poa_st_device d;
    uint8_t status = POA_EDGE_UNREGISTERED;
    uint32_t index = 0;
    if (!read_device(c->g, c->key, &d)) {
        status = d.status ? POA_EDGE_SUSPENDED : POA_EDGE_ACTIVE;
        index = d.index;
        c->earned = c->reward_slot ? c->earned : d.earned;
    }
    bool changed = status != c->status || index != c->device;
    if (c->state == CONN_GREETED) {
        c->g->unregistered -= c->status == POA_EDGE_UNREGISTERED;
        c->g->unregistered += status == POA_EDGE_UNREGISTERED;
    }
    c->status = status;
    c->device = index;
    return changed;
}

bool serve_welcome(struct conn *c)
{
    struct poa_gateway *g = c->g;
    struct poa_edge_welcome m = {
        .version = c->version,
        .params = poa_slice(g->params, sizeof g->params),
        .time_ms = poa_clock_wall_ms(g->clock),
        .epoch = g->epoch.epoch,
        .status = c->status,
        .index = c->device,
        .ping_ms = g->config.limits.ping_ms,
        .frame_max = POA_EDGE_UP_MAX,
    };
    memcpy(m.chain, g->config.chain, 32);
    return CONN_SEND(c, WELCOME, edge_welcome, &m);
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(((const struct conn *)a)->key, ((const struct conn *)b)->key, 32);
}

static int on_hello(struct conn *c, struct poa_slice in)
{
    static const uint8_t none[32];
    struct poa_gateway *g = c->g;
    struct poa_edge_hello m;
    uint8_t x[32];
    int e = poa_edge_hello_decode(in, &m);
    if (e)
        return e;
    /* The handshake proved an X25519 key; it must be the named device's. A pass names the
     * device itself. */
    if (c->resumed)
        memcpy(x, m.device, 32);
    else if (poa_ed25519_pk_to_x25519(m.device, x))
        return POA_E_KEY;
    if (!poa_equal_ct(x, c->key, 32))
        return POA_E_KEY;
    if (m.version < POA_EDGE_VERSION_MIN || m.version > POA_EDGE_VERSION) {
        conn_bye(c, POA_E_UNSUPPORTED, 0);
        return POA_OK;
    }
    if (memcmp(m.chain, none, 32) && memcmp(m.chain, g->config.chain, 32)) {
        conn_bye(c, POA_E_CHAIN, 0);
        return POA_OK;
    }
    if (atomic_load(&g->away)) {
        conn_away(c);
        return POA_OK;
    }
    if (!g->have_epoch) {
        conn_bye(c, POA_E_AGAIN, GATEWAY_RETRY_MS);
        return POA_OK;
    }
    c->version = (uint8_t)m.version;
    memcpy(c->key, m.device, 32);
    serve_status(c);
    if (c->status == POA_EDGE_UNREGISTERED && g->unregistered >= g->config.limits.unregistered) {
        conn_bye(c, POA_E_FULL, 10 * GATEWAY_RETRY_MS);
        return POA_OK;
    }
    /* A device that lost its connection may be back before we noticed. */
    struct conn *old = conn_of_device(g, m.device);
    if (old)
        conn_bye(old, POA_E_EXISTS, GATEWAY_RETRY_MS);
    if (c->state == CONN_DEAD)
        return POA_OK; /* with the trunk that both came over */
    c->presence = (struct poa_gateway_presence){
        .since_ms = poa_clock_wall_ms(g->clock), .shared = c->trunk != NULL, .status = c->status};
    pthread_mutex_lock(&g->who);
    bool known = tsearch(c, &g->by_key, compare_keys) != NULL;
    pthread_mutex_unlock(&g->who);
    if (!known)
        return POA_E_NO_MEMORY;
    conn_known(c);
    c->state = CONN_GREETED;
    if (c->trunk)
        trunk_greeted(c);
    g->unregistered += c->status == POA_EDGE_UNREGISTERED;
    c->frame_max = m.frame_max;
    c->committee_max = m.committee_max;
    c->epoch = m.epoch;
    STAT_ADD(g, devices, 1);
    c->told = g->epoch.epoch;
    if (!serve_welcome(c) || !CONN_SEND(c, EPOCH, edge_epoch, &g->epoch) ||
        (c->version > 1 && !pass_send(c)))
        return POA_OK;
    if (c->epoch == g->epoch.epoch)
        tasks_catch_up(c);
    return POA_OK;
}

/* --- requests ---------------------------------------------------------------------- */

/* Until the ledger knows a device it may ask and register, no more. */
static bool registered(const struct conn *c)
{
    return c->status != POA_EDGE_UNREGISTERED;
}

static int on_ticket(struct conn *c, struct poa_slice in)
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_ticket t;
    uint64_t token = 0;
    int e = poa_ticket_decode(in, &t);
    if (!e && memcmp(t.device, c->key, 32))
        e = POA_E_KEY;
    if (e)
        return e;
    int code = registered(c) ? POA_OK : POA_E_DEVICE_UNKNOWN;
    if (!code)
        code = token_new(g, c, TOKEN_TICKET, t.epoch, t.window, &token);
    if (!code) {
        STAT_ADD(g, tickets, 1);
        code = b->submit_ticket(b->ctx, token, &t);
        if (!code)
            return POA_OK;
        token_free(g, token);
    }
    send_ticket_result(c, t.epoch, t.window, code);
    return POA_OK;
}

static int on_seal(struct conn *c, struct poa_slice in)
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_seal s;
    uint64_t token = 0;
    int e = poa_seal_decode(in, &s);
    if (!e && memcmp(s.device, c->key, 32))
        e = POA_E_KEY;
    if (e)
        return e;
    int code = registered(c) ? POA_OK : POA_E_DEVICE_UNKNOWN;
    if (!code)
        code = token_new(g, c, TOKEN_SEAL, s.slot, 0, &token);
    if (!code) {
        STAT_ADD(g, seals, 1);
        code = b->submit_seal(b->ctx, token, &s);
        if (!code)
            return POA_OK;
        token_free(g, token);
    }
    send_seal_result(c, s.slot, code);
    return POA_OK;
}

static int on_tx(struct conn *c, struct poa_slice in)
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_edge_tx m;
    uint64_t token;
    int e = poa_edge_tx_decode(in, &m);
    if (e)
        return e;
    int code = token_new(g, c, TOKEN_TX, m.ref, 0, &token);
    if (!code) {
        STAT_ADD(g, txs, 1);
        code = b->submit_tx(b->ctx, token, m.tx);
        if (!code)
            return POA_OK;
        token_free(g, token);
    }
    send_tx_result(c, m.ref, code);
    return POA_OK;
}

static int on_query(struct conn *c, struct poa_slice in)
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_edge_query m;
    uint64_t token = 0;
    int e = poa_edge_query_decode(in, &m);
    if (e)
        return e;
    int code = c->asking ? POA_E_AGAIN : token_new(g, c, TOKEN_QUERY, m.ref, 0, &token);
    if (!code) {
        STAT_ADD(g, queries, 1);
        c->asking = true;
        code = b->prove(b->ctx, token, (enum poa_state_table)m.table, m.key);
        if (!code)
            return POA_OK;
        c->asking = false;
        token_free(g, token);
    }
    send_refusal(c, m.ref, code);
    return POA_OK;
}

void serve_proved(struct poa_gateway *g, uint64_t token, int code,
                  const struct poa_gateway_answer *a)
{
    struct token *t = token_find(g, token);
    if (!t || t->kind != TOKEN_QUERY)
        return;
    uint32_t ref = (uint32_t)t->a;
    struct conn *c = token_conn(g, t);
    token_free(g, token);
    if (!c)
        return;
    c->asking = false;
    /* What does not fit the device's buffer is not sent at all. */
    if (!code && (POA_EDGE_OVERHEAD + 16 + a->value.n + a->proof.n > c->frame_max ||
                  (!tasks_in_parts(c, a->block.cert) &&
                   POA_EDGE_OVERHEAD + 8 + a->block.header.n + a->block.cert.n > c->frame_max)))
        code = POA_E_TOO_LONG;
    if (code) {
        send_refusal(c, ref, code);
        return;
    }
    struct poa_edge_answer m = {ref, 0, a->value, a->proof};
    if (tasks_proof(c, &a->block))
        CONN_SEND(c, ANSWER, edge_answer, &m);
}

/* The two may be of one trunk, whose end is also C's. */
static int on_relay(struct conn *c, struct poa_slice in)
{
    struct poa_gateway *g = c->g;
    struct poa_edge_relay m;
    struct poa_edge_relay_result refused;
    int e = poa_edge_relay_decode(in, &m);
    if (e)
        return e;
    struct conn *to = conn_of_device(g, m.device);
    uint64_t second = gateway_now_ms(g) / 1000;
    int code = c->status == POA_EDGE_UNREGISTERED ? POA_E_DEVICE_UNKNOWN
               : c->status == POA_EDGE_SUSPENDED  ? POA_E_DEVICE_SUSPENDED
               : !to || to == c || !to->listens   ? POA_E_NOT_FOUND
                                                  : POA_OK;
    if (!code && POA_EDGE_OVERHEAD + 34 + m.bytes.n > to->frame_max)
        code = POA_E_TOO_LONG;
    if (!code && to->relay_s != second) {
        to->relay_s = second;
        to->relays = 0;
    }
    /* What others have for a device must neither crowd out what we have for it, nor drop it. */
    if (!code && (to->relays >= GATEWAY_RELAYS_PER_S || conn_behind(to)))
        code = POA_E_FULL;
    if (code) {
        memcpy(refused.device, m.device, 32);
        refused.code = gateway_code(code);
        STAT_ADD(g, relays_refused, 1);
        CONN_SEND(c, RELAY_RESULT, edge_relay_result, &refused);
        return POA_OK;
    }
    to->relays++;
    memcpy(m.device, c->key, 32);
    if (CONN_SEND(to, RELAYED, edge_relay, &m))
        STAT_ADD(g, relays, 1);
    return POA_OK;
}

int serve_message(struct conn *c, uint8_t type, struct poa_slice in)
{
    struct poa_edge_get_handover get;
    struct poa_edge_ping ping;
    struct poa_edge_pong pong;
    struct poa_edge_listen listen;
    int e;
    if (c->state == CONN_KEYED)
        return type == POA_EDGE_HELLO ? on_hello(c, in) : POA_E_RANGE;
    switch (type) {
    case POA_EDGE_TICKET:
        return on_ticket(c, in);
    case POA_EDGE_SEAL:
        return on_seal(c, in);
    case POA_EDGE_PACK:
        return anchor_pack(c, in);
    case POA_EDGE_TX:
        return on_tx(c, in);
    case POA_EDGE_QUERY:
        return on_query(c, in);
    case POA_EDGE_RELAY:
        return on_relay(c, in);
    case POA_EDGE_LISTEN:
        e = poa_edge_listen_decode(in, &listen);
        if (!e)
            c->listens = listen.on;
        return e;
    case POA_EDGE_GET_HANDOVER:
        e = poa_edge_get_handover_decode(in, &get);
        if (!e)
            tasks_handover(c, get.epoch);
        return e;
    case POA_EDGE_PING:
        e = poa_edge_ping_decode(in, &ping);
        if (e)
            return e;
        pong.nonce = ping.nonce;
        pong.time_ms = poa_clock_wall_ms(c->g->clock);
        CONN_SEND(c, PONG, edge_pong, &pong);
        return POA_OK;
    default:
        return POA_E_RANGE;
    }
}

void serve_reward(struct conn *c)
{
    struct poa_gateway *g = c->g;
    const struct poa_gateway_backend *b = &g->config.backend;
    struct poa_st_device d;
    struct poa_st_account a;
    c->reward_slot = 0;
    if (read_device(g, c->key, &d) || d.earned == c->earned)
        return;
    struct poa_edge_reward m = {
        .earned = d.earned, .sealed = d.sealed, .assigned = d.assigned, .balance = 0};
    uint8_t payout[32];
    memcpy(payout, d.payout, 32);
    c->earned = d.earned;
    struct poa_writer w = poa_writer_over(g->state, sizeof g->state);
    if (!b->state_get(b->ctx, POA_STATE_ACCOUNT, poa_slice(payout, 32), &w) &&
        !poa_st_account_decode(poa_written(&w), &a))
        m.balance = a.balance;
    CONN_SEND(c, REWARD, edge_reward, &m);
}
