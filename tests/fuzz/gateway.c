/* A gateway on loopback before a device that is hostile or broken: raw bytes,
 * or any messages under the right session keys. It answers with well-formed
 * frames, closes when the device has closed, and goes on serving. What the device
 * says to another one arrives there, under its name and in order, or is refused.
 *
 * The gateway runs in a thread of its own and lives as long as the program. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ledger.h"
#include "poa_gateway.h"

#define PATIENCE_MS 20000 /* a machine may be slow; a gateway that waits is broken */
#define BLOBS       64
#define STEPS       60

static struct {
    struct poa_gateway *g;
    struct poa_ledger *ledger;
    struct poa_genesis genesis;
    struct fuzz_committee committee;
    uint8_t header[POA_HEADER_BYTES], cert[512], key[32];
    size_t cert_n;
    struct {
        uint8_t kind, key[32], bytes[POA_PACK_BYTES_MAX];
        size_t n;
    } blob[BLOBS];
    unsigned blobs;
} w;

/* A device's end: the one of the input, and one that listens to it (RELAYED). */
static struct end {
    int fd;
    bool keyed;
    struct poa_session session;
    uint8_t seed[32], key[32], in[20000];
    size_t in_n;
    uint64_t pings, pong; /* of our own; the newest answer */
    bool closed, raw;     /* it said what may be half a frame */
} end[2], *d;
#define EAR (&end[1])
/* What the one said to the other: as much of it as was not refused is heard, in order. */
static struct {
    uint8_t bytes[STEPS][POA_EDGE_RELAY_MAX];
    size_t size[STEPS];
    size_t said, at; /* heard: up to here */
    size_t relays, heard, refused;
} words;

/* --- the node --------------------------------------------------------------------- */

static int state_get(void *ctx, enum poa_state_table table, struct poa_slice key,
                     struct poa_writer *out)
{
    struct poa_slice value;
    (void)ctx;
    int e = poa_ledger_get(w.ledger, POA_STATE_BASE, table, key.p, key.n, &value);
    if (!e)
        poa_write(out, value.p, value.n);
    return e;
}
static int prove(void *ctx, uint64_t token, enum poa_state_table table, struct poa_slice key)
{
    uint8_t value[4096], proof[POA_PROOF_BYTES_MAX];
    struct poa_writer v = poa_writer_over(value, sizeof value),
                      p = poa_writer_over(proof, sizeof proof);
    (void)ctx;
    int e = state_get(NULL, table, key, &v);
    if (!e || e == POA_E_NOT_FOUND)
        e = poa_ledger_prove(w.ledger, table, key.p, key.n, &p);
    const struct poa_gateway_answer a = {.value = poa_written(&v),
                                         .proof = poa_written(&p),
                                         .block = {.header = poa_slice(w.header, sizeof w.header),
                                                   .cert = poa_slice(w.cert, w.cert_n)}};
    poa_gateway_proved(w.g, token, e, &a);
    return POA_OK;
}
static int handover(void *ctx, uint32_t epoch, struct poa_writer *header, struct poa_writer *links,
                    struct poa_writer *cert, struct poa_writer *committee)
{
    (void)ctx;
    if (epoch > 3)
        return POA_E_NOT_FOUND;
    poa_write(header, w.header, sizeof w.header);
    poa_write(links, w.header, sizeof w.header);
    poa_write(cert, w.cert, w.cert_n);
    return poa_committee_encode(committee, &w.committee.c);
}
/* Refused at once, accepted, or refused later, as the first byte says. */
static int fate(uint64_t token, uint8_t how)
{
    if (how % 3 == 0)
        return POA_E_TICKET_LOST;
    poa_gateway_result(w.g, token, how % 3 == 1 ? POA_OK : POA_E_FULL);
    return POA_OK;
}
static int submit_ticket(void *ctx, uint64_t token, const struct poa_ticket *ticket)
{
    (void)ctx;
    return fate(token, ticket->proof[0]);
}
static int submit_seal(void *ctx, uint64_t token, const struct poa_seal *seal)
{
    (void)ctx;
    return fate(token, seal->sig[0]);
}
static int submit_tx(void *ctx, uint64_t token, struct poa_slice tx)
{
    (void)ctx;
    return fate(token, tx.n ? tx.p[0] : 0);
}
static int blob_put(void *ctx, const struct poa_gateway_blob *blob, size_t n)
{
    (void)ctx;
    for (size_t k = 0; k < n; k++) {
        unsigned i = w.blobs++ % BLOBS;
        FUZZ_CHECK(blob[k].bytes.n <= sizeof w.blob[i].bytes);
        w.blob[i].kind = (uint8_t)blob[k].kind;
        memcpy(w.blob[i].key, blob[k].key32, 32);
        memcpy(w.blob[i].bytes, blob[k].bytes.p, blob[k].bytes.n);
        w.blob[i].n = blob[k].bytes.n;
    }
    return POA_OK;
}
static int blob_sync(void *ctx)
{
    (void)ctx;
    return POA_OK;
}
static int blob_get(void *ctx, enum poa_blob_kind kind, const uint8_t key32[32],
                    struct poa_writer *out)
{
    (void)ctx;
    for (unsigned i = 0; i < BLOBS; i++)
        if (w.blob[i].kind == kind && !memcmp(w.blob[i].key, key32, 32)) {
            poa_write(out, w.blob[i].bytes, w.blob[i].n);
            return POA_OK;
        }
    return POA_E_NOT_FOUND;
}

static void start(void)
{
    static uint8_t sigs[64 * POA_COMMITTEE_MAX], committee[512];
    struct poa_header h = {
        .version = 1, .epoch = 1, .view = 1, .height = 1, .time_ms = FUZZ_GENESIS_MS + 5};
    struct poa_gateway_config c = {
        .host = "127.0.0.1",
        .limits = poa_gateway_limits_default,
        .backend = {.state_get = state_get,
                    .prove = prove,
                    .handover = handover,
                    .submit_ticket = submit_ticket,
                    .submit_seal = submit_seal,
                    .submit_tx = submit_tx,
                    .blob_put = blob_put,
                    .blob_sync = blob_sync,
                    .blob_get = blob_get},
    };
    struct poa_why why = {""};
    uint8_t hash[32];
    if (w.g)
        return;
    w.ledger = fuzz_ledger(4);
    FUZZ_CHECK(!poa_genesis_decode(fuzz_genesis(4), &w.genesis));
    fuzz_committee(&w.committee, 1, 4);
    memcpy(c.chain, poa_ledger_chain(w.ledger), 32);
    memcpy(h.chain, c.chain, 32);
    struct poa_writer hw = poa_writer_over(w.header, sizeof w.header);
    FUZZ_CHECK(!poa_header_encode(&hw, &h));
    poa_header_hash(&h, hash);
    struct poa_cert cert = fuzz_cert(&w.committee, POA_VOTE_FINALIZE, 1, hash, sigs);
    struct poa_writer cw = poa_writer_over(w.cert, sizeof w.cert);
    FUZZ_CHECK(!poa_cert_encode(&cw, &cert));
    w.cert_n = cw.n;
    fuzz_identity(60, c.seed32, w.key);
    c.genesis = &w.genesis;
    c.limits.handshakes_per_s = c.limits.frames_per_s = 100000000;
    c.limits.bytes_per_s = 500000000;
    int e = poa_gateway_new(&c, &w.g, &why);
    if (e)
        fprintf(stderr, "%s\n", why.text);
    FUZZ_CHECK(!e);
    FUZZ_CHECK(!poa_gateway_start(w.g));
    struct poa_writer k = poa_writer_over(committee, sizeof committee);
    FUZZ_CHECK(!poa_committee_encode(&k, &w.committee.c));
    const struct poa_gateway_epoch epoch = {.info = {.epoch = 1, .eligible = 3},
                                            .committee = poa_written(&k)};
    poa_gateway_epoch(w.g, &epoch);
}

/* --- the device ------------------------------------------------------------------------ */

static void dial(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                   .sin_port = htons(poa_gateway_port(w.g))};
    const struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* leave no port behind */
    memset(d, 0, sizeof *d);
    d->fd = socket(AF_INET, SOCK_STREAM, 0);
    FUZZ_CHECK(d->fd >= 0 && !setsockopt(d->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
    FUZZ_CHECK(!connect(d->fd, (const struct sockaddr *)&to, sizeof to));
}

static void say_raw(struct poa_slice bytes)
{
    while (bytes.n && !d->closed) {
        ssize_t n = send(d->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n <= 0) {
            d->closed = true;
            break;
        }
        bytes = poa_slice(bytes.p + n, bytes.n - (size_t)n);
    }
}

static void relayed(const struct poa_edge_relay *m)
{
    FUZZ_CHECK(d == EAR && !memcmp(m->device, end[0].key, 32));
    while (words.at < words.said &&
           !poa_slice_equal(poa_slice(words.bytes[words.at], words.size[words.at]), m->bytes))
        words.at++;
    FUZZ_CHECK(words.at++ < words.said);
    words.heard++;
}

/* Whole frames that came: each opens and decodes. */
static void take_frames(void)
{
    while (d->in_n >= 2) {
        size_t n = poa_le16(d->in);
        uint8_t type;
        struct poa_slice payload;
        uint64_t record[128];
        const struct poa_record *rec = NULL;
        FUZZ_CHECK(n && n <= POA_EDGE_DOWN_MAX);
        if (d->in_n < 2 + n)
            return;
        if (d->keyed) {
            FUZZ_CHECK(!poa_edge_take(&d->session, d->in + 2, n, &type, &payload));
#define ROW(name, number, record_, text)                                                           \
    if (type == (number) && (number) >= 64)                                                        \
        rec = &poa_##record_##_record;
            POA_EDGE_MESSAGES(ROW)
#undef ROW
            FUZZ_CHECK(rec && rec->size <= sizeof record);
            FUZZ_CHECK(!poa_record_decode(rec, payload, record));
            if (type == POA_EDGE_PONG)
                d->pong = ((const struct poa_edge_pong *)(const void *)record)->nonce;
            if (type == POA_EDGE_RELAYED)
                relayed((const struct poa_edge_relay *)(const void *)record);
            if (type == POA_EDGE_RELAY_RESULT)
                words.refused++;
        }
        memmove(d->in, d->in + 2 + n, d->in_n - 2 - n);
        d->in_n -= 2 + n;
    }
}

/* Reads once; false when the gateway has closed. */
static bool hear(void)
{
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&p, 1, PATIENCE_MS);
    while (ready < 0);
    FUZZ_CHECK(ready == 1);
    ssize_t n = recv(d->fd, d->in + d->in_n, sizeof d->in - d->in_n, 0);
    if (n <= 0)
        return false;
    d->in_n += (size_t)n;
    return true;
}

static void shake(uint8_t who)
{
    uint8_t entropy[32], first[128];
    struct poa_noise n;
    struct poa_writer o = poa_writer_over(first, sizeof first);
    fuzz_identity(who, d->seed, d->key);
    memset(entropy, 7, sizeof entropy);
    FUZZ_CHECK(!poa_edge_dial(&n, d->seed, NULL, w.key, entropy, &o));
    say_raw(poa_written(&o));
    while (d->in_n < 2 + POA_EDGE_SECOND_BYTES)
        FUZZ_CHECK(hear());
    FUZZ_CHECK(poa_le16(d->in) == POA_EDGE_SECOND_BYTES);
    FUZZ_CHECK(!poa_edge_start(&n, poa_slice(d->in + 2, POA_EDGE_SECOND_BYTES), &d->session));
    d->in_n -= 2 + POA_EDGE_SECOND_BYTES;
    memmove(d->in, d->in + 2 + POA_EDGE_SECOND_BYTES, d->in_n);
    d->keyed = true;
}

static void said(struct poa_slice payload)
{
    struct poa_edge_relay m;
    if (d == EAR || poa_edge_relay_decode(payload, &m))
        return;
    words.relays++;
    if (!EAR->keyed || memcmp(m.device, EAR->key, 32))
        return;
    memcpy(words.bytes[words.said], m.bytes.p, m.bytes.n);
    words.size[words.said++] = m.bytes.n;
}

static void say(uint8_t type, struct poa_slice payload)
{
    uint8_t frame[70000];
    struct poa_writer o = poa_writer_over(frame, sizeof frame);
    if (poa_edge_put_raw(&d->session, type, payload, &o))
        return;
    if (type == POA_EDGE_RELAY)
        said(payload);
    say_raw(poa_written(&o));
}
#define SAY(NAME, rec, r)                                                                          \
    do {                                                                                           \
        uint8_t bytes_[8192];                                                                      \
        struct poa_writer w_ = poa_writer_over(bytes_, sizeof bytes_);                             \
        FUZZ_CHECK(!poa_record_encode(&poa_##rec##_record, &w_, r));                               \
        say(POA_EDGE_##NAME, poa_written(&w_));                                                    \
    } while (0)

/* Until the gateway has read all that was said. */
static void settle(void)
{
    /* Not to be taken for one of the input's. */
    const struct poa_edge_ping p = {.nonce = UINT64_C(0x5e77000000000000) + ++d->pings};
    if (d->raw)
        return;
    SAY(PING, edge_ping, &p);
    while (d->pong != p.nonce && !d->closed) {
        d->closed |= !hear();
        take_frames();
    }
}

static void hello(uint8_t flags)
{
    struct poa_edge_hello m = {.version = POA_EDGE_VERSION, .epoch = POA_EPOCH_NONE};
    memcpy(m.device, d->key, 32);
    memcpy(m.chain, poa_ledger_chain(w.ledger), 32);
    m.frame_max = flags & 1 ? 300 : POA_EDGE_DOWN_MAX;
    m.epoch = flags & 2 ? 0 : 1;
    m.device[0] ^= flags & 4;
    m.chain[0] ^= flags & 8;
    SAY(HELLO, edge_hello, &m);
}

static void pack(struct fuzz_in *in)
{
    uint8_t encoded[POA_PACK_BYTES_MAX];
    struct poa_writer o = poa_writer_over(encoded, sizeof encoded);
    struct poa_pack p = {.seq = fuzz_u8(in), .from_ms = 1, .to_ms = fuzz_u8(in), .readings = 1};
    p.content = fuzz_slice(in, fuzz_u8(in));
    if (!poa_pack_sign(&poa_suite_ed25519, poa_ledger_chain(w.ledger), d->seed, d->key, &p, &o))
        say(POA_EDGE_PACK, poa_written(&o));
}

/* To the ear, which listens or does not; to itself; or to nobody. */
static void relay(struct fuzz_in *in, unsigned who)
{
    uint8_t seed[32], how = fuzz_u8(in);
    const struct poa_edge_listen listen = {how & 1};
    struct poa_edge_relay m = {.bytes = fuzz_slice(in, fuzz_u8(in))};
    d = EAR;
    if (!d->keyed) {
        dial();
        shake((uint8_t)(30 + (who + 1) % FUZZ_DEVICES));
        hello(0);
    }
    SAY(LISTEN, edge_listen, &listen);
    settle();
    FUZZ_CHECK(!d->closed);
    memcpy(m.device, d->key, 32);
    d = &end[0];
    if (how & 2)
        fuzz_identity((uint8_t)(how & 4 ? 90 : 30 + who), seed, m.device);
    SAY(RELAY, edge_relay, &m);
}

static void hang_up(void)
{
    shutdown(d->fd, SHUT_WR);
    do
        take_frames();
    while (!d->closed && hear());
    close(d->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in);
    unsigned who = flags >> 1 & 7;
    start();
    memset(end, 0, sizeof end);
    memset(&words, 0, sizeof words);
    d = &end[0];
    dial();
    if (flags & 1)
        shake((uint8_t)(30 + who)); /* two of the eight are not registered */
    for (unsigned step = 0; step < STEPS && in.n && !d->closed; step++) {
        uint8_t op = fuzz_u8(&in);
        if (!d->keyed) {
            say_raw(fuzz_chunk(&in));
            continue;
        }
        switch (op & 15) {
        case 0: {
            uint8_t type = fuzz_u8(&in);
            say(type, fuzz_chunk(&in));
            break;
        }
        case 1:
            hello(op >> 4);
            break;
        case 2:
            pack(&in);
            break;
        case 3: {
            struct poa_ticket t = {.epoch = 1, .window = fuzz_u8(&in)};
            memcpy(t.device, d->key, 32);
            t.proof[0] = fuzz_u8(&in);
            SAY(TICKET, ticket, &t);
            break;
        }
        case 4: {
            struct poa_seal s = {.epoch = 1, .slot = fuzz_u8(&in)};
            memcpy(s.device, d->key, 32);
            s.sig[0] = fuzz_u8(&in);
            SAY(SEAL, seal, &s);
            break;
        }
        case 5: {
            struct poa_edge_tx t = {.ref = op, .tx = fuzz_slice(&in, fuzz_u8(&in))};
            SAY(TX, edge_tx, &t);
            break;
        }
        case 6: {
            uint8_t key[POA_EDGE_KEY_MAX], table = fuzz_u8(&in) % 13;
            size_t n = fuzz_u8(&in) % (sizeof key + 1);
            fuzz_fill(&in, key, n);
            if (n == 32 && op & 16)
                memcpy(key, d->key, 32);
            const struct poa_edge_query q = {.ref = op, .table = table, .key = poa_slice(key, n)};
            SAY(QUERY, edge_query, &q);
            break;
        }
        case 7: {
            const struct poa_edge_get_handover q = {.epoch = fuzz_u8(&in)};
            SAY(GET_HANDOVER, edge_get_handover, &q);
            break;
        }
        case 8: {
            const struct poa_edge_ping p = {.nonce = op};
            SAY(PING, edge_ping, &p);
            break;
        }
        case 9: { /* its slot is sealed: a task */
            const struct poa_gateway_proof p = {.header = poa_slice(w.header, sizeof w.header),
                                                .links = poa_slice(w.header, op & 16 ? 289 : 0),
                                                .cert = poa_slice(w.cert, w.cert_n)};
            settle();
            poa_gateway_slot(w.g, fuzz_u8(&in), &p, (const uint8_t(*)[32])d->key, 1);
            break;
        }
        case 10:
            d->raw = true;
            say_raw(fuzz_chunk(&in));
            break;
        case 11:
            relay(&in, who);
            break;
        default:
            break;
        }
    }
    if (EAR->keyed && !d->closed) {
        settle(); /* the gateway has it all; then the ear has */
        bool all = !d->closed && !d->raw;
        d = EAR;
        settle();
        FUZZ_CHECK(!d->closed && (!all || words.heard + words.refused == words.relays));
        hang_up();
        d = &end[0];
    }
    hang_up();
    return 0;
}

void fuzz_seeds(void)
{
    static const uint8_t raw[] = {0, 0, 5, 0, 3, 0, 1, 2, 3, 0, 2, 0, 96, 0};
    fuzz_seed("raw", raw, sizeof raw);
    static const uint8_t talk[] = {1, 0x01, 8, 2,    1, 9,  4, '[', '{', '}', ']', 3, 1, 0, 3, 2,
                                   1, 3,    2, 2,    4, 5,  1, 4,   6,   0,   5,   3, 1, 2, 3, 5,
                                   2, 2,    2, 0x16, 2, 32, 6, 0,   0,   7,   1,   7, 9, 9, 3, 8};
    fuzz_seed("talk", talk, sizeof talk);
    static const uint8_t stranger[] = {0x0f, 0x01, 5, 3, 1, 2, 3, 3, 1, 1, 2, 1, 9, 1, 'x', 8};
    fuzz_seed("unregistered", stranger, sizeof stranger);
    static const uint8_t task[] = {1, 0x01, 9, 3, 0x19, 4, 8};
    fuzz_seed("task", task, sizeof task);
    static const uint8_t relays[] = {1,   0x01, 11, 1, 2,   'h', 'i', 11, 1,   1,  '!', 11, 0,   1,
                                     'x', 11,   3,  1, 'y', 11,  7,   1,  'z', 11, 1,   1,  '.', 8};
    fuzz_seed("relays", relays, sizeof relays);
    static const uint8_t early[] = {1, 11, 1, 1, 'x', 0x01, 8};
    fuzz_seed("relay-before-hello", early, sizeof early);
    static const uint8_t small[] = {3, 0x11, 9, 1, 7, 0, 8};
    fuzz_seed("small-frames", small, sizeof small);
    for (uint8_t flags = 2; flags < 16; flags = (uint8_t)(flags * 2)) {
        const uint8_t greeting[] = {1, (uint8_t)(flags << 4 | 1), 8};
        char name[] = "hello-0";
        name[6] = (char)('0' + flags / 2);
        fuzz_seed(name, greeting, sizeof greeting);
    }
#define ROW(name, number, rec, text)                                                               \
    {                                                                                              \
        uint8_t zeros[256] = {0}, all[512];                                                        \
        uint64_t out[128];                                                                         \
        struct poa_writer o = poa_writer_over(all, sizeof all);                                    \
        size_t n = 0;                                                                              \
        while (n < sizeof zeros &&                                                                 \
               poa_record_decode(&poa_##rec##_record, poa_slice(zeros, n), out))                   \
            n++;                                                                                   \
        poa_write(&o, (const uint8_t[]){1, 1, 0, number}, 4);                                      \
        fuzz_put_chunk(&o, poa_slice(zeros, n));                                                   \
        fuzz_seed("message-" #name, all, o.n);                                                     \
    }
    POA_EDGE_MESSAGES(ROW)
#undef ROW
}
