/* Server-sent events: what becomes final, to whoever listens.
 *
 *   GET /v1/events?topics=block,finality,seal,status&account=poa1...&account=...
 *
 *   event     once per         data
 *   block     final block      height, hash, time, epoch, view, leader, how much is in it
 *   finality  certificate      height, hash, view, who signed
 *   seal      seal in a block  height (of that block), device, slot, sealed height
 *   tx        transaction      of an account that was asked for: id, height, result, the tx
 *   status    second           rate, views, peers, devices, seals, anchors, rewards
 *
 * An event is made once and copied to all who want it. A reader with more than BACKLOG_MAX
 * unread is dropped; it comes back with Last-Event-ID, which the browser does by itself, and
 * gets what it missed, as far as REPLAY_MAX blocks reach.
 * Source: https://html.spec.whatwg.org/multipage/server-sent-events.html */
#include <event2/keyvalq_struct.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define BACKLOG_MAX  ((size_t)256 << 10)
#define REPLAY_MAX   64 /* blocks */
#define ACCOUNTS_MAX 16 /* of one reader */
#define ROUND_US     100
#define ROUND_MAX_US 250000
#define QUIET_TICKS  15 /* a comment after so many seconds shows whether the reader is there */

enum topic {
    TOPIC_BLOCK = 1,
    TOPIC_FINALITY = 2,
    TOPIC_SEAL = 4,
    TOPIC_STATUS = 8,
    TOPIC_TX = 16, /* by its accounts */
};
static const struct {
    enum topic topic;
    const char *name;
} topics[] = {{TOPIC_BLOCK, "block"},
              {TOPIC_FINALITY, "finality"},
              {TOPIC_SEAL, "seal"},
              {TOPIC_STATUS, "status"}};

/* An account that a reader asked for: in the bucket of its address, so that looking for who
 * wants a transaction costs the same however many readers there are. */
struct rpc_watch {
    struct rpc_watch *next;
    struct rpc_stream *stream;
    uint8_t account[32];
};

struct rpc_stream {
    struct rpc_stream *prev, *next;
    struct poa_rpc *server;
    struct rpc_conn *conn;
    struct evhttp_request *req;
    unsigned topics;
    uint32_t ticks;
    uint32_t accounts;
    struct rpc_watch watch[ACCOUNTS_MAX];
    uint64_t tx; /* the last one that it was told, by its number here */
};

/* --- readers --------------------------------------------------------------------------- */

static struct rpc_watch **watch_at(struct poa_rpc *r, const uint8_t account[32])
{
    uint8_t hash[16];
    poa_siphash(r->watch_key, account, 32, hash); /* so that nobody fills one bucket */
    return &r->watch[(hash[0] | (size_t)hash[1] << 8) % RPC_WATCH_BUCKETS];
}

static void watch(struct poa_rpc *r, struct rpc_stream *s)
{
    for (uint32_t i = 0; i < s->accounts; i++) {
        struct rpc_watch *w = &s->watch[i], **at = watch_at(r, w->account);
        w->stream = s;
        w->next = *at;
        *at = w;
        r->watched[w->account[0]]++;
    }
}

static void unwatch(struct poa_rpc *r, struct rpc_stream *s)
{
    for (uint32_t i = 0; i < s->accounts; i++) {
        struct rpc_watch **at = watch_at(r, s->watch[i].account);
        while (*at != &s->watch[i])
            at = &(*at)->next;
        *at = s->watch[i].next;
        r->watched[s->watch[i].account[0]]--;
    }
}

void rpc_stream_closed(struct rpc_stream *s)
{
    struct poa_rpc *r = s->server;
    unwatch(r, s);
    *(s->prev != NULL ? &s->prev->next : &r->streams) = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (--r->streams_n == 0 && r->tick != NULL)
        event_del(r->tick);
    /* evhttp frees the request with its connection, unless it gave it up before. */
    if (evhttp_request_get_connection(s->req) == NULL)
        evhttp_send_reply_end(s->req);
    free(s);
}

/* One chunk of the answer, framed once for all readers. */
struct chunk {
    char *text;
    size_t n;
};

static void chunk_free(struct chunk *c)
{
    free(c->text);
    c->text = NULL;
}

/* An event with DATA, which is taken; ID 0: none. */
static struct chunk chunk_event(const char *event, uint64_t id, json_t *data)
{
    struct chunk c = {NULL, 0};
    char *json = data != NULL ? json_dumps(data, POA_RPC_DUMP) : NULL;
    char head[96];
    int head_n = id != 0
                     ? snprintf(head, sizeof head, "event: %s\nid: %" PRIu64 "\ndata: ", event, id)
                     : snprintf(head, sizeof head, "event: %s\ndata: ", event);
    json_decref(data);
    if (json == NULL)
        return c;
    size_t body = (size_t)head_n + strlen(json) + 2;
    c.text = malloc(body + 32);
    if (c.text != NULL)
        c.n = (size_t)sprintf(c.text, "%zx\r\n%s%s\n\n\r\n", body, head, json);
    free(json);
    return c;
}

/* Who does not read is closed, but not from here: evhttp may be at work on it. */
static void stream_put(struct rpc_stream *s, const struct chunk *c)
{
    struct evbuffer *out =
        bufferevent_get_output(evhttp_connection_get_bufferevent(s->conn->evcon));
    if (c->text == NULL || s->conn->doomed)
        return;
    s->ticks = 0;
    if (evbuffer_get_length(out) + c->n <= BACKLOG_MAX && evbuffer_add(out, c->text, c->n) == 0)
        return;
    s->server->streams_dropped++;
    s->conn->doomed = true;
    event_active(s->server->attach, 0, 0);
}

static void put_all(struct poa_rpc *r, struct rpc_stream *only, unsigned topic,
                    const struct chunk *c)
{
    for (struct rpc_stream *s = r->streams; s != NULL; s = s->next)
        if ((s->topics & topic) != 0 && (only == NULL || only == s))
            stream_put(s, c);
}

static unsigned wanted(const struct poa_rpc *r, const struct rpc_stream *only)
{
    unsigned all = 0;
    for (const struct rpc_stream *s = r->streams; s != NULL; s = s->next)
        if (only == NULL || only == s)
            all |= s->topics;
    return all;
}

/* --- what is told of a block -------------------------------------------------------------- */

static json_t *hex32(const uint8_t b[32])
{
    return poa_json_hex(b, 32);
}

static void tell_seals(struct poa_rpc *r, struct rpc_stream *only, uint64_t height,
                       const struct poa_body *body)
{
    struct poa_list_iter it = poa_list_begin(&body->seals);
    struct poa_seal seal;
    while (poa_seal_next(&it, &seal)) {
        struct chunk c =
            chunk_event("seal", height,
                        json_pack("{s:o, s:o, s:o, s:o}", "height", poa_json_u64(height), "device",
                                  hex32(seal.device), "slot", poa_json_u64(seal.slot), "sealed",
                                  poa_json_u64(seal.height)));
        put_all(r, only, TOPIC_SEAL, &c);
        chunk_free(&c);
    }
}

struct tx_visit {
    struct poa_rpc *server;
    struct rpc_stream *only;
    const struct poa_rpc_block *block;
    uint64_t height;
    size_t index;
};

static struct chunk chunk_tx(const struct tx_visit *v, size_t index, struct poa_slice raw)
{
    int code = v->block->tx[index].code;
    return chunk_event(
        "tx", v->height,
        json_pack("{s:o, s:o, s:I, s:i, s:s, s:o}", "id", hex32(v->block->tx[index].id), "height",
                  poa_json_u64(v->height), "index", (json_int_t)index, "code", -code, "result",
                  code == POA_OK ? "OK" : poa_error_name(code), "tx", poa_json_tx(raw)));
}

/* Goes to who watches an account that it names: every address in it is a field of 32 bytes. */
static int visit_tx(void *ctx, struct poa_slice raw)
{
    struct tx_visit *v = ctx;
    struct poa_rpc *r = v->server;
    size_t index = v->index++;
    struct poa_tx_view view;
    if (index >= v->block->txs || poa_tx_parse(r->node.chain, raw, &view) != POA_OK)
        return POA_OK;
    struct chunk c = {NULL, 0};
    r->tx_number++;
    for (size_t at = 0; at + 32 <= raw.n; at++) {
        const uint8_t *address = raw.p + at;
        if (r->watched[address[0]] == 0)
            continue;
        for (struct rpc_watch *w = *watch_at(r, address); w != NULL; w = w->next) {
            struct rpc_stream *s = w->stream;
            if (s->tx == r->tx_number || memcmp(w->account, address, 32) != 0 ||
                (v->only != NULL && v->only != s))
                continue;
            s->tx = r->tx_number;
            if (c.text == NULL)
                c = chunk_tx(v, index, raw);
            stream_put(s, &c);
        }
    }
    chunk_free(&c);
    return POA_OK;
}

static void tell_block(struct poa_rpc *r, struct rpc_stream *only, uint64_t height)
{
    const struct poa_rpc_backend *b = r->node.backend;
    struct poa_rpc_block block;
    struct poa_header header;
    struct poa_body body;
    struct poa_cert cert;
    unsigned want = wanted(r, only);
    memset(&block, 0, sizeof block);
    if (want == 0 || b->block == NULL || b->block(b->ctx, height, NULL, &block) != POA_OK)
        return;
    if (poa_header_decode(block.header, &header) == POA_OK &&
        poa_body_decode(block.body, &body) == POA_OK) {
        struct chunk c = chunk_event(
            "block", height,
            json_pack("{s:o, s:o, s:o, s:I, s:o, s:i, s:i, s:I, s:I, s:I, s:I}", "height",
                      poa_json_u64(height), "hash", hex32(block.hash), "time_ms",
                      poa_json_u64(header.time_ms), "epoch", (json_int_t)header.epoch, "view",
                      poa_json_u64(header.view), "kind", (int)header.kind, "leader",
                      (int)header.leader, "transactions", (json_int_t)block.txs, "seals",
                      (json_int_t)body.seals.count, "tickets", (json_int_t)body.tickets.count,
                      "evidence", (json_int_t)body.evidence.count));
        put_all(r, only, TOPIC_BLOCK, &c);
        chunk_free(&c);
        if ((want & TOPIC_FINALITY) != 0 && block.cert.n > 0 &&
            poa_cert_decode(block.cert, &cert) == POA_OK) {
            c = chunk_event("finality", height,
                            json_pack("{s:o, s:o, s:I, s:o, s:o, s:I}", "height",
                                      poa_json_u64(height), "hash", hex32(block.hash), "epoch",
                                      (json_int_t)cert.epoch, "view", poa_json_u64(cert.view),
                                      "signers", poa_json_hex(cert.signers, sizeof cert.signers),
                                      "signatures", (json_int_t)cert.sigs.count));
            put_all(r, only, TOPIC_FINALITY, &c);
            chunk_free(&c);
        }
        if ((want & TOPIC_SEAL) != 0)
            tell_seals(r, only, height, &body);
        if ((want & TOPIC_TX) != 0 && block.txs > 0 && b->block_txs != NULL) {
            struct tx_visit v = {r, only, &block, height, 0};
            (void)b->block_txs(b->ctx, height, visit_tx, &v);
        }
    }
    if (b->block_free != NULL)
        b->block_free(b->ctx, &block);
}

/* A write to each reader costs the more the more there are, and blocks may be a few
 * milliseconds apart: so many microseconds per reader pass between two rounds, which then
 * carry several blocks. One reader never waits, a thousand a tenth of a second. */
static bool round_is_due(struct poa_rpc *r)
{
    uint64_t now = poa_clock_monotonic_us(poa_clock_system());
    if (now >= r->round_us) {
        uint64_t gap = (uint64_t)r->streams_n * ROUND_US;
        r->round_us = now + (gap < ROUND_MAX_US ? gap : ROUND_MAX_US);
        return true;
    }
    uint64_t left = r->round_us - now;
    const struct timeval in = {(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    if (!event_pending(r->round, EV_TIMEOUT, NULL))
        event_add(r->round, &in);
    return false;
}

static void on_round(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    rpc_events_tell(arg);
}

void rpc_events_tell(struct poa_rpc *r)
{
    uint64_t tip = __atomic_load_n(&r->tip, __ATOMIC_ACQUIRE);
    if (tip <= r->told || (r->streams != NULL && !round_is_due(r)))
        return;
    uint64_t from = tip - r->told > REPLAY_MAX ? tip - REPLAY_MAX : r->told;
    r->told = tip;
    for (uint64_t h = from + 1; r->streams != NULL && h <= tip; h++)
        tell_block(r, NULL, h);
}

/* --- once a second -------------------------------------------------------------------------- */

static double pace(struct poa_rpc *r, uint64_t txs)
{
    struct rpc_pace *p = &r->pace;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    size_t i = p->n++ % RPC_PACE_S;
    uint64_t old_txs = p->n > RPC_PACE_S ? p->txs[i] : p->txs[0];
    uint64_t old_us = p->n > RPC_PACE_S ? p->time_us[i] : p->time_us[0];
    p->txs[i] = txs;
    p->time_us[i] = now_us;
    if (p->n == 1 || now_us <= old_us || txs < old_txs)
        return 0;
    return (double)(txs - old_txs) * 1e6 / (double)(now_us - old_us);
}

static json_t *status_json(struct poa_rpc *r)
{
    const struct poa_rpc_backend *b = r->node.backend;
    struct poa_rpc_status s;
    memset(&s, 0, sizeof s);
    b->status(b->ctx, &s);
    return json_pack(
        "{s:o, s:f, s:o, s:o, s:I, s:i, s:i, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:b, s:s}",
        "height", poa_json_u64(s.core.height), "tps", pace(r, s.global.txs), "nullified",
        poa_json_u64(s.core.views_nullified), "notarized", poa_json_u64(s.core.views_notarized),
        "epoch", (json_int_t)s.core.epoch, "members", (int)s.core.members, "quorum",
        (int)s.core.quorum, "mempool", (json_int_t)s.core.mempool, "peers", (json_int_t)s.peers,
        "devices", (json_int_t)s.devices, "txs", poa_json_u64(s.global.txs), "seals",
        poa_json_u64(s.global.seals), "anchors", poa_json_u64(s.global.anchors), "issued",
        poa_json_u64(s.global.issued), "packs", poa_json_u64(s.packs), "slot", poa_json_u64(s.slot),
        "ready", (int)s.ready, "why", s.ready ? "" : s.why);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct poa_rpc *r = arg;
    (void)fd;
    (void)what;
    if ((wanted(r, NULL) & TOPIC_STATUS) != 0) {
        struct chunk c = chunk_event("status", 0, status_json(r));
        put_all(r, NULL, TOPIC_STATUS, &c);
        chunk_free(&c);
    }
    char ping[] = "3\r\n:\n\n\r\n";
    const struct chunk c = {ping, sizeof ping - 1};
    for (struct rpc_stream *s = r->streams; s != NULL; s = s->next)
        if (++s->ticks >= QUIET_TICKS)
            stream_put(s, &c);
}

/* --- a new reader ----------------------------------------------------------------------------- */

static bool parse_topics(const char *text, unsigned *out)
{
    *out = 0;
    while (*text != 0) {
        size_t n = strcspn(text, ",");
        size_t i = 0;
        while (i < sizeof topics / sizeof topics[0] &&
               (strlen(topics[i].name) != n || memcmp(topics[i].name, text, n) != 0))
            i++;
        if (i == sizeof topics / sizeof topics[0])
            return false;
        *out |= topics[i].topic;
        text += n;
        text += *text == ',';
    }
    return true;
}

/* NULL, or what is wrong with the query. */
static const char *parse_query(const struct evkeyvalq *query, struct rpc_stream *s)
{
    bool given = false;
    for (const struct evkeyval *kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
        enum poa_address_fault fault;
        if (strcmp(kv->key, "topics") == 0) {
            unsigned more = 0;
            if (!parse_topics(kv->value, &more))
                return "topics: block, finality, seal and status, separated by commas";
            s->topics |= more;
            given = true;
        } else if (strcmp(kv->key, "account") == 0) {
            if (s->accounts == ACCOUNTS_MAX)
                return "account: at most 16 of them";
            if (poa_address_from_text(kv->value, s->watch[s->accounts].account, &fault) != POA_OK)
                return poa_address_fault_text(fault);
            s->accounts++;
            s->topics |= TOPIC_TX;
        } else {
            return "parameters of /v1/events are topics and account";
        }
    }
    if (!given && s->accounts == 0)
        s->topics |= TOPIC_BLOCK | TOPIC_FINALITY | TOPIC_SEAL | TOPIC_STATUS;
    return NULL;
}

static void link_stream(struct poa_rpc *r, struct rpc_stream *s)
{
    static const struct timeval second = {1, 0};
    s->next = r->streams;
    if (s->next != NULL)
        s->next->prev = s;
    r->streams = s;
    watch(r, s);
    if (r->streams_n++ == 0) {
        r->pace.n = 0;
        event_add(r->tick, &second);
    }
}

static void begin(struct poa_rpc *r, struct rpc_stream *s)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(s->req);
    evhttp_add_header(headers, "Content-Type", "text/event-stream");
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(headers, "X-Accel-Buffering", "no"); /* a proxy must not collect them */
    s->conn->stream = s;
    s->conn->state = CONN_STREAM;
    link_stream(r, s);
    evhttp_send_reply_start(s->req, 200, "OK");
    /* The reader says nothing more; that it is gone shows when we write. */
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(s->conn->evcon), NULL, NULL);
}

/* What a reader missed that comes back; one that is new gets the last block. */
static void catch_up(struct poa_rpc *r, struct rpc_stream *s, const char *last_id)
{
    struct poa_rpc_status status;
    memset(&status, 0, sizeof status);
    uint64_t tip = r->told;
    if (tip == 0) { /* no block came since the start: what there is */
        r->node.backend->status(r->node.backend->ctx, &status);
        tip = status.core.height;
    }
    uint64_t seen = last_id != NULL ? strtoull(last_id, NULL, 10) : 0;
    uint64_t from = seen > 0 && seen <= tip ? seen : tip > 0 ? tip - 1 : 0;
    if (tip - from > REPLAY_MAX)
        from = tip - REPLAY_MAX;
    for (uint64_t h = from + 1; h <= tip; h++)
        tell_block(r, s, h);
    if ((s->topics & TOPIC_STATUS) != 0) {
        struct chunk c = chunk_event("status", 0, status_json(r));
        stream_put(s, &c);
        chunk_free(&c);
    }
}

void rpc_events_open(struct poa_rpc *r, struct evhttp_request *req, struct rpc_conn *conn)
{
    struct rpc_stream *s = calloc(1, sizeof *s);
    struct evkeyvalq pairs = {NULL, &pairs.tqh_first};
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
    const char *wrong = "";
    if (s == NULL || conn == NULL)
        rpc_send_line(r, req, 500, "Internal Server Error", "out of memory");
    else if (query != NULL && evhttp_parse_query_str(query, &pairs) != 0)
        rpc_send_line(r, req, 400, "Bad Request", "the query is not name=value&...");
    else if ((wrong = parse_query(&pairs, s)) != NULL)
        rpc_send_line(r, req, 400, "Bad Request", wrong);
    else if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD)
        rpc_send(r, req, 200, "OK", "text/event-stream", NULL, 0);
    else
        wrong = NULL;
    evhttp_clear_headers(&pairs);
    if (s == NULL || wrong != NULL || conn == NULL || conn->state != CONN_CALL) {
        free(s);
        return;
    }
    const char *last_id =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Last-Event-ID");
    s->server = r;
    s->conn = conn;
    s->req = req;
    begin(r, s);
    catch_up(r, s, last_id);
}

int rpc_events_start(struct poa_rpc *r)
{
    poa_random(r->watch_key, sizeof r->watch_key);
    r->tick = event_new(r->base, -1, EV_PERSIST, on_tick, r);
    r->round = evtimer_new(r->base, on_round, r);
    return r->tick != NULL && r->round != NULL ? POA_OK : POA_E_NO_MEMORY;
}

void rpc_events_stop(struct poa_rpc *r)
{
    if (r->tick != NULL)
        event_free(r->tick);
    if (r->round != NULL)
        event_free(r->round);
    r->tick = r->round = NULL;
}
