/* A gateway on loopback over a node in memory, and devices that dial it. */
#ifndef EDGE_NODE_H
#define EDGE_NODE_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge_world.h"
#include "poa_gateway.h"

#define STATE_MAX   256
#define BLOBS_MAX   512
#define SUBMITS_MAX 256
#define PATIENCE_MS 30000

struct state_entry {
    enum poa_state_table table;
    uint8_t key[64], value[512];
    size_t key_n, value_n;
};

struct blob {
    enum poa_blob_kind kind;
    uint8_t key[32];
    uint8_t *bytes;
    size_t n;
};

struct submitted {
    char kind; /* t, s, x */
    struct poa_ticket ticket;
    struct poa_seal seal;
    uint8_t tx[1024];
    size_t tx_n;
};

struct fake {
    struct world w;
    struct poa_genesis genesis;
    struct poa_gateway *g;
    pthread_mutex_t mutex;
    struct state_entry state[STATE_MAX];
    size_t states;
    struct blob blob[BLOBS_MAX];
    atomic_size_t blobs, syncs;
    struct submitted submit[SUBMITS_MAX];
    atomic_size_t submits, proofs;
    atomic_int refuse;   /* code that submissions get at once */
    atomic_bool full;    /* packs find no room */
    atomic_int result;   /* code that they get later */
    atomic_bool lose_tx; /* transactions never become final */
    uint64_t time_ms;    /* of the newest block */
    uint8_t account[32], account_secret[32];
};

/* --- state ---------------------------------------------------------------------- */

static inline struct state_entry *fake_find(struct fake *f, enum poa_state_table t,
                                            struct poa_slice key)
{
    for (size_t i = 0; i < f->states; i++)
        if (f->state[i].table == t &&
            poa_slice_equal(poa_slice(f->state[i].key, f->state[i].key_n), key))
            return &f->state[i];
    return NULL;
}

static inline void fake_put_locked(struct fake *f, enum poa_state_table t, struct poa_slice key,
                                   const struct poa_record *rec, const void *r)
{
    struct state_entry *s = fake_find(f, t, key);
    if (!s) {
        cr_assert_lt(f->states, STATE_MAX);
        s = &f->state[f->states++];
        s->table = t;
        s->key_n = key.n;
        if (key.n)
            memcpy(s->key, key.p, key.n);
    }
    struct poa_writer w = poa_writer_over(s->value, sizeof s->value);
    cr_assert_eq(poa_record_encode(rec, &w, r), POA_OK);
    s->value_n = w.n;
}

static inline void fake_put(struct fake *f, enum poa_state_table t, struct poa_slice key,
                            const struct poa_record *rec, const void *r)
{
    pthread_mutex_lock(&f->mutex);
    fake_put_locked(f, t, key, rec, r);
    pthread_mutex_unlock(&f->mutex);
}

static inline int fake_state_get(void *ctx, enum poa_state_table t, struct poa_slice key,
                                 struct poa_writer *out)
{
    struct fake *f = ctx;
    if (t == POA_STATE_COMMITTEE) { /* the same members in every epoch */
        uint8_t bytes[8 + 42 * MEMBERS];
        struct poa_slice c = world_committee(&f->w, poa_le32(key.p), bytes);
        poa_write(out, c.p, c.n);
        return POA_OK;
    }
    pthread_mutex_lock(&f->mutex);
    struct state_entry *s = fake_find(f, t, key);
    if (s)
        poa_write(out, s->value, s->value_n);
    pthread_mutex_unlock(&f->mutex);
    return s ? POA_OK : POA_E_NOT_FOUND;
}

/* Proof: none but a state root that hashes the entry. */
static inline void fake_root(enum poa_state_table t, struct poa_slice key, struct poa_slice value,
                             uint8_t out32[32])
{
    uint8_t bytes[1024];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    poa_write_u8(&w, (uint8_t)t);
    poa_write(&w, key.p, key.n);
    poa_write(&w, value.p, value.n);
    poa_hash(POA_DOMAIN_SIM, w.p, w.n, out32);
}

static inline int fake_proof_check(const uint8_t root32[32], uint8_t table, struct poa_slice key,
                                   struct poa_slice value, struct poa_slice proof)
{
    uint8_t h[32];
    fake_root((enum poa_state_table)table, key, value, h);
    return memcmp(h, root32, 32) || !poa_slice_equal(proof, poa_slice("path", 4)) ? POA_E_PROOF
                                                                                  : POA_OK;
}

static inline uint64_t fake_wall(void)
{
    return poa_clock_wall_ms(poa_clock_system());
}

static inline uint64_t fake_slot(const struct fake *f)
{
    return (fake_wall() - f->genesis.time_ms) / f->genesis.slot_ms;
}

/* A block of now: the world's genesis time is fixed, the gateway's clock is not. */
static inline struct block fake_block(const struct fake *f, uint32_t epoch, uint64_t slot)
{
    struct block b = block_make(&f->w, epoch, slot);
    b.h.time_ms = f->genesis.time_ms + slot * f->genesis.slot_ms;
    block_encode(&b);
    block_certify(&f->w, &b, ALL);
    return b;
}

static inline int fake_prove(void *ctx, uint64_t token, enum poa_state_table t,
                             struct poa_slice key)
{
    struct fake *f = ctx;
    uint8_t bytes[512];
    struct poa_writer value = poa_writer_over(bytes, sizeof bytes);
    int e = fake_state_get(ctx, t, key, &value);
    if (f->refuse)
        return f->refuse;
    if (e && e != POA_E_NOT_FOUND)
        return e;
    struct block b = fake_block(f, 3, fake_slot(f));
    fake_root(t, key, poa_written(&value), b.h.state);
    block_encode(&b);
    block_certify(&f->w, &b, ALL);
    struct block child = block_child(&f->w, &b, POA_BLOCK_NORMAL);
    struct poa_gateway_answer a = {
        .value = poa_written(&value),
        .proof = poa_slice("path", 4),
        .block = {block_header(&b), poa_slice(NULL, 0), block_cert(&b)},
    };
    /* Every other header is final through its child. */
    if (f->proofs++ % 2)
        a.block =
            (struct poa_gateway_proof){block_header(&b), block_header(&child), block_cert(&child)};
    poa_gateway_proved(f->g, token, f->result, &a);
    return POA_OK;
}

static inline int fake_handover(void *ctx, uint32_t epoch, struct poa_writer *header,
                                struct poa_writer *links, struct poa_writer *cert,
                                struct poa_writer *committee)
{
    struct fake *f = ctx;
    uint8_t bytes[8 + 42 * MEMBERS];
    /* Odd epochs ended with a filler, so that both forms are seen. */
    struct block closing = block_closing(&f->w, epoch, 100 + 10 * epoch);
    struct block filler = block_child(&f->w, &closing, POA_BLOCK_FILLER);
    poa_write(header, closing.header, sizeof closing.header);
    if (epoch % 2) {
        poa_write(links, filler.header, sizeof filler.header);
        poa_write(cert, filler.cert, filler.cert_n);
    } else {
        poa_write(cert, closing.cert, closing.cert_n);
    }
    struct poa_slice c = world_committee(&f->w, epoch + 1, bytes);
    poa_write(committee, c.p, c.n);
    return POA_OK;
}

/* --- submissions ------------------------------------------------------------------- */

static inline struct submitted *fake_note(struct fake *f, char kind)
{
    cr_assert_lt(f->submits, SUBMITS_MAX);
    struct submitted *s = &f->submit[f->submits++];
    s->kind = kind;
    return s;
}

static inline int fake_ticket(void *ctx, uint64_t token, const struct poa_ticket *t)
{
    struct fake *f = ctx;
    pthread_mutex_lock(&f->mutex);
    fake_note(f, 't')->ticket = *t;
    int refuse = f->refuse, result = f->result;
    pthread_mutex_unlock(&f->mutex);
    if (!refuse)
        poa_gateway_result(f->g, token, result);
    return refuse;
}

static inline int fake_seal(void *ctx, uint64_t token, const struct poa_seal *s)
{
    struct fake *f = ctx;
    pthread_mutex_lock(&f->mutex);
    fake_note(f, 's')->seal = *s;
    int refuse = f->refuse, result = f->result;
    pthread_mutex_unlock(&f->mutex);
    if (!refuse)
        poa_gateway_result(f->g, token, result);
    return refuse;
}

/* Executes an anchor at once. */
static inline void fake_execute(struct fake *f, struct poa_slice raw)
{
    struct poa_tx_view v;
    struct poa_op op;
    struct poa_op_anchor a;
    struct poa_tx tx;
    struct poa_st_account account = {.balance = 1000};
    if (poa_tx_decode(raw, &tx) || memcmp(tx.sender, f->account, 32))
        return; /* of a device, which may send anything */
    cr_assert_eq(poa_tx_check(f->w.chain, raw, &v), POA_OK, "a wrong transaction of the gateway");
    struct poa_list_iter it = poa_list_begin(&v.tx.ops);
    cr_assert_eq(poa_op_next(&it, &op), 1);
    if (op.kind != POA_OP_ANCHOR)
        return;
    cr_assert_eq(poa_op_anchor_decode(op.body, &a), POA_OK);
    struct state_entry *s = fake_find(f, POA_STATE_ACCOUNT, poa_slice(v.tx.sender, 32));
    cr_assert_not_null(s);
    cr_assert_eq(poa_st_account_decode(poa_slice(s->value, s->value_n), &account), POA_OK);
    cr_assert_eq(v.tx.nonce, account.nonce);
    account.nonce++;
    fake_put_locked(f, POA_STATE_ACCOUNT, poa_slice(v.tx.sender, 32), &poa_st_account_record,
                    &account);
    struct poa_st_anchor st = {
        .height = 77, .packs = a.packs, .from_ms = a.from_ms, .to_ms = a.to_ms};
    fake_put_locked(f, POA_STATE_ANCHOR, poa_slice(a.root, 32), &poa_st_anchor_record, &st);
}

static inline int fake_tx(void *ctx, uint64_t token, struct poa_slice tx)
{
    struct fake *f = ctx;
    pthread_mutex_lock(&f->mutex);
    struct submitted *s = fake_note(f, 'x');
    int refuse = f->refuse, result = f->result;
    cr_assert_leq(tx.n, sizeof s->tx);
    memcpy(s->tx, tx.p, tx.n);
    s->tx_n = tx.n;
    if (!refuse && !result && !f->lose_tx && tx.n > 100)
        fake_execute(f, tx);
    pthread_mutex_unlock(&f->mutex);
    if (!refuse)
        poa_gateway_result(f->g, token, result);
    return refuse;
}

static inline void fake_blob_set(struct fake *f, enum poa_blob_kind kind, const uint8_t key[32],
                                 struct poa_slice bytes)
{
    struct blob *b = NULL;
    for (size_t i = 0; i < f->blobs && !b; i++)
        if (f->blob[i].kind == kind && !memcmp(f->blob[i].key, key, 32))
            b = &f->blob[i];
    if (b) {
        free(b->bytes);
    } else {
        cr_assert_lt(f->blobs, BLOBS_MAX);
        b = &f->blob[f->blobs++];
    }
    b->kind = kind;
    memcpy(b->key, key, 32);
    b->bytes = malloc(bytes.n);
    memcpy(b->bytes, bytes.p, bytes.n);
    b->n = bytes.n;
}

static inline int fake_blob_put(void *ctx, const struct poa_gateway_blob *blob, size_t n)
{
    struct fake *f = ctx;
    bool full = false;
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < n; i++)
        full |= f->full && blob[i].kind == POA_BLOB_PACK;
    for (size_t i = 0; i < n && !full; i++)
        fake_blob_set(f, blob[i].kind, blob[i].key32, blob[i].bytes);
    pthread_mutex_unlock(&f->mutex);
    return full ? POA_E_FULL : POA_OK;
}

static inline int fake_blob_sync(void *ctx)
{
    struct fake *f = ctx;
    pthread_mutex_lock(&f->mutex);
    f->syncs++;
    pthread_mutex_unlock(&f->mutex);
    return POA_OK;
}

static inline int fake_blob_get(void *ctx, enum poa_blob_kind kind, const uint8_t key[32],
                                struct poa_writer *out)
{
    struct fake *f = ctx;
    int e = POA_E_NOT_FOUND;
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < f->blobs && e; i++)
        if (f->blob[i].kind == kind && !memcmp(f->blob[i].key, key, 32)) {
            poa_write(out, f->blob[i].bytes, f->blob[i].n);
            e = POA_OK;
        }
    pthread_mutex_unlock(&f->mutex);
    return e;
}

/* --- life ------------------------------------------------------------------------------ */

static inline void fake_device(struct fake *f, const uint8_t key[32], uint32_t index)
{
    struct poa_st_device d = {.index = index, .maker = 1, .region = 1};
    memset(d.payout, 0x11, 32);
    fake_put(f, POA_STATE_DEVICE, poa_slice(key, 32), &poa_st_device_record, &d);
}

static inline void fake_epoch(struct fake *f, uint32_t epoch, uint64_t first_slot)
{
    uint8_t committee[8 + 42 * MEMBERS];
    struct block closing = block_closing(&f->w, epoch - 1, first_slot);
    struct poa_gateway_epoch e = {
        .info = world_epoch(epoch, first_slot, 10),
        .committee = world_committee(&f->w, epoch, committee),
        .closing = {block_header(&closing), poa_slice(NULL, 0), block_cert(&closing)},
    };
    poa_gateway_epoch(f->g, &e);
}

/* Not started yet, so that a test can set limits and state. */
static inline struct poa_gateway_config fake_config(struct fake *f)
{
    memset(f, 0, sizeof *f);
    world_make(&f->w, POA_EDGE_POLICY_RANDOM);
    pthread_mutex_init(&f->mutex, NULL);
    f->genesis = (struct poa_genesis){
        .time_ms = (fake_wall() / 1000 - 1000) * 1000,
        .slot_ms = f->w.params.slot_ms,
        .window_slots = f->w.params.window_slots,
        .seats_per_slot = f->w.params.seats_per_slot,
        .seal_slots = f->w.params.seal_slots,
        .drift_ms = 5000,
        .policy = f->w.params.policy,
        .fee_min = 1,
        .fee_per_kib = 2,
    };
    memset(f->account_secret, 0x42, 32);
    uint8_t pk[32];
    cr_assert_eq(poa_key_public(POA_KEY_BIP340, f->account_secret, pk), POA_OK);
    poa_address_of_key(POA_KEY_BIP340, pk, f->account);
    struct poa_st_account account = {.balance = 1000, .nonce = 5};
    fake_put(f, POA_STATE_ACCOUNT, poa_slice(f->account, 32), &poa_st_account_record, &account);
    fake_device(f, f->w.device_key, 0);
    struct poa_gateway_config c = {
        .host = "127.0.0.1",
        .genesis = &f->genesis,
        .limits = poa_gateway_limits_default,
        .backend = {f, fake_state_get, fake_prove, fake_handover, fake_ticket, fake_seal, fake_tx,
                    fake_blob_put, fake_blob_sync, fake_blob_get},
        .anchor_key_type = POA_KEY_BIP340,
        .anchor_ms = 100,
    };
    memcpy(c.chain, f->w.chain, 32);
    memcpy(c.seed32, f->w.gateway_seed, 32);
    memcpy(c.anchor_secret32, f->account_secret, 32);
    return c;
}

static inline void fake_open(struct fake *f, const struct poa_gateway_config *c)
{
    struct poa_why why = {""};
    cr_assert_eq(poa_gateway_new(c, &f->g, &why), POA_OK, "%s", why.text);
    cr_assert_eq(memcmp(poa_gateway_key(f->g), f->w.gateway_key, 32), 0);
    fake_epoch(f, 3, 16);
    cr_assert_eq(poa_gateway_start(f->g), POA_OK);
}

static inline void fake_start(struct fake *f)
{
    struct poa_gateway_config c = fake_config(f);
    fake_open(f, &c);
}

static inline void fake_stop(struct fake *f)
{
    poa_gateway_stop(f->g, 1500);
    poa_gateway_free(f->g);
    for (size_t i = 0; i < f->blobs; i++)
        free(f->blob[i].bytes);
    pthread_mutex_destroy(&f->mutex);
}

static inline struct poa_gateway_stats fake_stats(const struct fake *f)
{
    struct poa_gateway_stats s;
    poa_gateway_stats(f->g, &s);
    return s;
}

/* --- a device over a socket ---------------------------------------------------------------- */

#define CLIENT_EVENTS 256
struct client {
    struct fake *f;
    struct poa_device d;
    int fd;
    int error; /* why the connection ended */
    uint8_t seed[32], key[32];
    uint8_t rx[16384], tx[16384];
    uint8_t mark[128], trust[2048];
    size_t mark_n, trust_n;
    struct poa_device_event event[CLIENT_EVENTS];
    uint8_t hash[CLIENT_EVENTS][32];
    size_t events;
};

static inline int client_load_mark(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct client *c = ctx;
    (void)cap;
    memcpy(buffer, c->mark, c->mark_n);
    *n = c->mark_n;
    return c->mark_n ? POA_OK : POA_E_NOT_FOUND;
}

static inline int client_store_mark(void *ctx, const uint8_t *bytes, size_t n)
{
    struct client *c = ctx;
    memcpy(c->mark, bytes, n);
    c->mark_n = n;
    return POA_OK;
}

static inline int client_load_trust(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct client *c = ctx;
    (void)cap;
    memcpy(buffer, c->trust, c->trust_n);
    *n = c->trust_n;
    return c->trust_n ? POA_OK : POA_E_NOT_FOUND;
}

static inline int client_store_trust(void *ctx, const uint8_t *bytes, size_t n)
{
    struct client *c = ctx;
    memcpy(c->trust, bytes, n);
    c->trust_n = n;
    return POA_OK;
}

static inline void client_event(void *ctx, const struct poa_device_event *e)
{
    struct client *c = ctx;
    cr_assert_lt(c->events, CLIENT_EVENTS);
    if (e->hash)
        memcpy(c->hash[c->events], e->hash, 32);
    c->event[c->events++] = *e;
}

static inline struct poa_device_time client_now(void)
{
    const struct poa_clock *clock = poa_clock_system();
    return (struct poa_device_time){poa_clock_monotonic_ms(clock), poa_clock_wall_ms(clock)};
}

static inline int client_socket(const struct fake *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(poa_gateway_port(f->g))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline void client_make(struct client *c, struct fake *f, uint32_t number)
{
    memset(c, 0, sizeof *c);
    c->f = f;
    c->fd = -1;
    world_keys(c->seed, c->key, number);
    struct poa_device_config config = {
        .suite = SUITE,
        .seed32 = c->seed,
        .key32 = c->key,
        .rx = c->rx,
        .tx = c->tx,
        .rx_bytes = sizeof c->rx,
        .tx_bytes = sizeof c->tx,
        .port = {client_load_mark, client_store_mark, client_load_trust, client_store_trust, c},
        .trust_first = true,
        .proof_check = fake_proof_check,
        .event = client_event,
        .ctx = c,
    };
    cr_assert_eq(poa_device_init(&c->d, &config), POA_OK);
}

static inline void client_dial(struct client *c)
{
    uint8_t entropy[32];
    poa_random(entropy, sizeof entropy);
    c->fd = client_socket(c->f);
    c->error = POA_OK;
    cr_assert_eq(poa_device_connect(&c->d, client_now(), c->f->w.gateway_key, entropy), POA_OK);
}

static inline void client_close(struct client *c)
{
    poa_device_close(&c->d);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* One turn: sends, waits a little, receives. */
static inline void client_turn(struct client *c, int wait_ms)
{
    uint8_t bytes[4096];
    uint64_t wait;
    if (c->fd < 0)
        return;
    int e = poa_device_poll(&c->d, client_now(), &wait);
    struct poa_slice out = poa_device_output(&c->d);
    while (!e && out.n) {
        ssize_t n = send(c->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break;
        poa_device_sent(&c->d, (size_t)n);
        out = poa_device_output(&c->d);
    }
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    if (!e && poll(&p, 1, wait_ms) > 0) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        e = n > 0 ? poa_device_input(&c->d, client_now(), bytes, (size_t)n) : POA_E_CLOSED;
    }
    if (e) {
        c->error = e;
        client_close(c);
    }
}

/* Turns until CONDITION; false when patience ends first. */
#define CLIENT_UNTIL(c, condition)                                                                 \
    ({                                                                                             \
        uint64_t end_ = client_now().mono_ms + PATIENCE_MS;                                        \
        while (!(condition) && client_now().mono_ms < end_)                                        \
            client_turn(c, 5);                                                                     \
        (condition);                                                                               \
    })
#define EXPECT_UNTIL(c, condition) cr_assert(CLIENT_UNTIL(c, condition), "waited for " #condition)
/* Of the gateway of F. It counts on a thread of its own, maybe just after what it sent. */
#define EXPECT_STAT(name, value)                                                                   \
    do {                                                                                           \
        for (int i_ = 0; i_ < 1000 && fake_stats(&f).name != (value); i_++)                        \
            usleep(10000);                                                                         \
        cr_assert_eq(fake_stats(&f).name, value);                                                  \
    } while (0)

static inline const struct poa_device_event *client_told(const struct client *c,
                                                         enum poa_device_event_kind kind)
{
    for (size_t i = c->events; i-- > 0;)
        if (c->event[i].kind == kind)
            return &c->event[i];
    return NULL;
}

static inline size_t client_count(const struct client *c, enum poa_device_event_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < c->events; i++)
        n += c->event[i].kind == kind;
    return n;
}

/* Connected, welcomed, in step with the gateway's committee. */
static inline void client_ready(struct client *c)
{
    client_dial(c);
    EXPECT_UNTIL(c, c->d.state == POA_DEVICE_READY && c->d.have_trust && c->d.have_ahead &&
                        c->d.committee.epoch == c->d.ahead.epoch);
}

/* Everything that the gateway sent so far has arrived: a ping came back. */
static inline void client_barrier(struct client *c)
{
    c->d.spoke_ms = 0; /* a ping is due */
    c->d.offset_ms = 0;
    client_turn(c, 0);
    EXPECT_UNTIL(c, c->d.offset_ms != 0);
}

static inline struct poa_slice client_sign_pack(struct client *c, uint64_t seq, uint8_t *bytes,
                                                size_t cap)
{
    static const char content[] = "[{\"bn\":\"urn:dev:x\",\"bt\":1700000000,\"v\":1}]";
    struct poa_pack p = {.seq = seq,
                         .from_ms = fake_wall() - 1000,
                         .to_ms = fake_wall() - 500,
                         .readings = 1,
                         .content = poa_slice(content, sizeof content - 1)};
    struct poa_writer w = poa_writer_over(bytes, cap);
    cr_assert_eq(poa_pack_sign(SUITE, c->f->w.chain, c->seed, c->key, &p, &w), POA_OK);
    return poa_written(&w);
}

#endif
