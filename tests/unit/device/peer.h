/* A device in memory beside a scripted gateway. */
#ifndef DEVICE_PEER_H
#define DEVICE_PEER_H

#include "edge_world.h"

#define EVENTS_MAX 64
#define MAIL_MAX   32

struct mail {
    uint8_t type;
    uint8_t bytes[1024];
    size_t n;
};

struct bench {
    struct world w;
    struct poa_device d;
    struct poa_device_config config;
    uint8_t rx[POA_DEVICE_RX_MIN], tx[8192];
    struct poa_device_time now;
    uint64_t wait_ms;

    /* Storage of the device: survives a restart. */
    uint8_t mark[POA_EDGE_MARK_BYTES], trust[POA_DEVICE_TRUST_MAX];
    size_t mark_n, trust_n;
    uint32_t marks_stored, seals_when_stored, trusts_stored;
    int store_fails;

    struct poa_device_event event[EVENTS_MAX];
    size_t events;

    /* The gateway's end. */
    struct poa_session session;
    struct poa_edge_pass pass; /* that the device was given */
    bool refuses;              /* to take it back */
    bool up;
    struct mail mail[MAIL_MAX];
    size_t mails;
    size_t piece;     /* bytes per input call */
    uint32_t ping_ms; /* of its WELCOME; 0: 30 s */
    int result;       /* of the last input */
};

static inline int bench_load(const uint8_t *from, size_t from_n, uint8_t *buffer, size_t cap,
                             size_t *n)
{
    if (!from_n)
        return POA_E_NOT_FOUND;
    cr_assert_leq(from_n, cap);
    memcpy(buffer, from, from_n);
    *n = from_n;
    return POA_OK;
}

static inline int bench_load_mark(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct bench *b = ctx;
    return bench_load(b->mark, b->mark_n, buffer, cap, n);
}

static inline int bench_load_trust(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct bench *b = ctx;
    return bench_load(b->trust, b->trust_n, buffer, cap, n);
}

static inline int bench_store_mark(void *ctx, const uint8_t *bytes, size_t n)
{
    struct bench *b = ctx;
    if (b->store_fails)
        return b->store_fails;
    memcpy(b->mark, bytes, n);
    b->mark_n = n;
    b->marks_stored++;
    b->seals_when_stored = b->d.counts[POA_DEVICE_COUNT_SEAL];
    return POA_OK;
}

static inline int bench_store_trust(void *ctx, const uint8_t *bytes, size_t n)
{
    struct bench *b = ctx;
    cr_assert_leq(n, sizeof b->trust);
    memcpy(b->trust, bytes, n);
    b->trust_n = n;
    b->trusts_stored++;
    return POA_OK;
}

static inline void bench_event(void *ctx, const struct poa_device_event *e)
{
    struct bench *b = ctx;
    cr_assert_lt(b->events, EVENTS_MAX);
    b->event[b->events++] = *e;
}

/* A device that was just switched on, over whatever storage holds. */
static inline int bench_power_on(struct bench *b)
{
    b->events = 0;
    b->up = false;
    return poa_device_init(&b->d, &b->config);
}

static inline void bench_make(struct bench *b, uint8_t policy)
{
    memset(b, 0, sizeof *b);
    world_make(&b->w, policy);
    b->config = (struct poa_device_config){
        .suite = SUITE,
        .seed32 = b->w.device_seed,
        .key32 = b->w.device_key,
        .rx = b->rx,
        .tx = b->tx,
        .rx_bytes = sizeof b->rx,
        .tx_bytes = sizeof b->tx,
        .port = {bench_load_mark, bench_store_mark, bench_load_trust, bench_store_trust, b},
        .trust_first = true,
        .event = bench_event,
        .ctx = b,
    };
    b->now.mono_ms = 5000;
    b->piece = SIZE_MAX;
    cr_assert_eq(bench_power_on(b), POA_OK);
}

static inline void bench_slot(struct bench *b, uint64_t slot)
{
    uint64_t wall = world_time(slot);
    b->now.mono_ms += b->now.wall_ms && wall > b->now.wall_ms ? wall - b->now.wall_ms : 0;
    b->now.wall_ms = wall;
}

/* Bytes to the device, in pieces. */
static inline int bench_input(struct bench *b, const uint8_t *p, size_t n)
{
    b->result = POA_OK;
    while (n && !b->result) {
        size_t k = n < b->piece ? n : b->piece;
        b->result = poa_device_input(&b->d, b->now, p, k);
        p += k;
        n -= k;
    }
    return b->result;
}

/* The device shows what can only be the pass that it was given. */
static inline void bench_resume(struct bench *b, const uint8_t *shown)
{
    uint8_t answer[2 + POA_EDGE_RESUMED_BYTES] = {POA_EDGE_RESUMED_BYTES}, nonces[64];
    cr_assert_eq(memcmp(shown, b->pass.pass, POA_EDGE_PASS_BYTES), 0);
    if (b->refuses) {
        answer[0] = POA_EDGE_REFUSED_BYTES;
        (void)bench_input(b, answer, 2 + POA_EDGE_REFUSED_BYTES);
        return;
    }
    poa_random(answer + 2, 32);
    memcpy(nonces, shown + POA_EDGE_PASS_BYTES, 32);
    memcpy(nonces + 32, answer + 2, 32);
    poa_session_resume(&b->session, false, b->pass.secret, nonces);
    b->up = true;
    cr_assert_eq(bench_input(b, answer, sizeof answer), POA_OK);
}

/* Takes what the device wrote; answers a handshake, collects messages. */
static inline void bench_collect(struct bench *b)
{
    struct poa_slice out = poa_device_output(&b->d);
    uint8_t bytes[8192], answer[64], remote[32], sk[32], pk[32], entropy[32];
    size_t n = out.n, at = 0;
    memcpy(bytes, out.p, n);
    poa_device_sent(&b->d, n);
    while (at < n) {
        size_t body = poa_le16(bytes + at);
        at += 2;
        cr_assert_leq(at + body, n);
        if (!b->up && body == POA_EDGE_RESUME_BYTES) {
            bench_resume(b, bytes + at);
            if (b->up)
                bench_collect(b);
            return;
        }
        if (!b->up) {
            struct poa_writer w = poa_writer_over(answer, sizeof answer);
            poa_ed25519_seed_to_x25519(b->w.gateway_seed, sk);
            poa_x25519_public(sk, pk);
            memset(entropy, 0x77, 32);
            entropy[0] = (uint8_t)b->now.mono_ms;
            cr_assert_eq(poa_edge_answer_dial(sk, pk, entropy, poa_slice(bytes + at, body), &w,
                                              &b->session, remote),
                         POA_OK);
            b->up = true;
            cr_assert_eq(bench_input(b, w.p, w.n), POA_OK);
            at += body;
            cr_assert_eq(at, n);
            bench_collect(b);
            return;
        }
        struct poa_slice payload;
        struct mail *m = &b->mail[b->mails];
        cr_assert_lt(b->mails, MAIL_MAX);
        cr_assert_eq(poa_edge_take(&b->session, bytes + at, body, &m->type, &payload), POA_OK);
        cr_assert_leq(payload.n, sizeof m->bytes);
        memcpy(m->bytes, payload.p, payload.n);
        m->n = payload.n;
        b->mails++;
        at += body;
    }
}

static inline void bench_dial_only(struct bench *b)
{
    uint8_t entropy[32];
    memset(entropy, 0x33, 32);
    entropy[1] = (uint8_t)b->now.mono_ms;
    b->up = false;
    b->mails = 0;
    cr_assert_eq(poa_device_connect(&b->d, b->now, b->w.gateway_key, entropy), POA_OK);
}

static inline void bench_dial(struct bench *b)
{
    bench_dial_only(b);
    bench_collect(b);
}

/* A message of the gateway; the result of the device's input. */
static inline int bench_say(struct bench *b, uint8_t type, const struct poa_record *rec,
                            const void *r)
{
    static uint8_t bytes[POA_EDGE_DOWN_MAX + 2];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_edge_put(&b->session, type, rec, r, &w), POA_OK);
    int e = bench_input(b, w.p, w.n);
    if (!e)
        bench_collect(b);
    return e;
}
#define SAY(b, NAME, rec, r) bench_say(b, POA_EDGE_##NAME, &poa_##rec##_record, r)

static inline int bench_say_raw(struct bench *b, uint8_t type, struct poa_slice in)
{
    static uint8_t bytes[POA_EDGE_DOWN_MAX + 2];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_edge_put_raw(&b->session, type, in, &w), POA_OK);
    int e = bench_input(b, w.p, w.n);
    if (!e)
        bench_collect(b);
    return e;
}

static inline int bench_welcome(struct bench *b, uint32_t epoch, uint8_t status, uint32_t index)
{
    uint8_t params[POA_EDGE_PARAMS_BYTES];
    struct poa_writer w = poa_writer_over(params, sizeof params);
    cr_assert_eq(poa_edge_params_encode(&w, &b->w.params), POA_OK);
    struct poa_edge_welcome m = {.version = POA_EDGE_VERSION,
                                 .params = poa_written(&w),
                                 .time_ms = b->now.wall_ms ? b->now.wall_ms : world_time(20),
                                 .epoch = epoch,
                                 .status = status,
                                 .index = index,
                                 .ping_ms = b->ping_ms ? b->ping_ms : 30000,
                                 .frame_max = POA_EDGE_UP_MAX};
    memcpy(m.chain, b->w.chain, 32);
    return SAY(b, WELCOME, edge_welcome, &m);
}

static inline int bench_committee(struct bench *b, uint32_t epoch)
{
    uint8_t bytes[8 + 42 * MEMBERS];
    return bench_say_raw(b, POA_EDGE_COMMITTEE, world_committee(&b->w, epoch, bytes));
}

static inline int bench_epoch(struct bench *b, uint32_t epoch, uint64_t first, uint32_t eligible)
{
    struct poa_edge_epoch e = world_epoch(epoch, first, eligible);
    return SAY(b, EPOCH, edge_epoch, &e);
}

static inline int bench_task(struct bench *b, uint64_t slot, const struct block *block)
{
    struct poa_edge_task m = {slot, block_header(block), block_cert(block)};
    return SAY(b, TASK, edge_task, &m);
}

static inline int bench_final(struct bench *b, const struct block *block)
{
    struct poa_edge_final m = {block_header(block), block_cert(block)};
    return SAY(b, FINAL, edge_final, &m);
}

/* Connected and in step with epoch 3, which began at slot 16. */
#define EPOCH_NOW 3
#define FIRST     16
static inline void bench_ready(struct bench *b, uint64_t slot)
{
    bench_slot(b, slot);
    bench_dial(b);
    cr_assert_eq(bench_welcome(b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_eq(bench_epoch(b, EPOCH_NOW, FIRST, 1), POA_OK);
    if (!b->d.have_trust)
        cr_assert_eq(bench_committee(b, EPOCH_NOW), POA_OK);
    cr_assert_eq(b->d.state, POA_DEVICE_READY);
    b->mails = 0;
    b->events = 0;
}

static inline void bench_poll(struct bench *b)
{
    b->result = poa_device_poll(&b->d, b->now, &b->wait_ms);
    if (!b->result)
        bench_collect(b);
}

static inline const struct mail *bench_mail(const struct bench *b, uint8_t type)
{
    for (size_t i = 0; i < b->mails; i++)
        if (b->mail[i].type == type)
            return &b->mail[i];
    return NULL;
}

static inline size_t bench_count(const struct bench *b, uint8_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < b->mails; i++)
        n += b->mail[i].type == type;
    return n;
}

static inline const struct poa_device_event *bench_told(const struct bench *b,
                                                        enum poa_device_event_kind kind)
{
    for (size_t i = b->events; i-- > 0;)
        if (b->event[i].kind == kind)
            return &b->event[i];
    return NULL;
}

/* A task that it does not seal, and says why: the connection goes on. */
static inline void bench_refuses(struct bench *b, uint64_t slot, const struct block *block,
                                 int code)
{
    uint32_t sealed = b->d.counts[POA_DEVICE_COUNT_SEAL];
    b->events = b->mails = 0;
    cr_assert_eq(bench_task(b, slot, block), POA_OK);
    const struct poa_device_event *e = bench_told(b, POA_DEVICE_REFUSED);
    cr_assert_not_null(e);
    cr_assert_eq(e->code, code, "%s", poa_error_name(e->code));
    cr_assert_null(bench_mail(b, POA_EDGE_SEAL));
    cr_assert_eq(b->d.counts[POA_DEVICE_COUNT_SEAL], sealed);
    cr_assert_eq(b->d.state, POA_DEVICE_READY);
}

#endif
