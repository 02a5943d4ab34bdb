/* hostile ATTACK [options]: does its worst to one node for a while, with real
 * sockets, and prints one JSON line of what it did. tests/e2e/hostile.sh and
 * tests/soak/hostile.sh say what the node must do meanwhile. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "poa_clock.h"
#include "poa_consensus.h"
#include "poa_keystore.h"
#include "poa_ledger.h"
#include "poa_log.h"
#include "poa_p2p.h"
#include "poa_session.h"
#include "poa_snapshot.h"

#define REQ  0x30
#define PUSH 0x50

static struct {
    char host[64];
    uint16_t port; /* the push port is the next one */
    uint8_t node[32], chain[32], seed[32];
    const char *from, *listen, *mode, *payer;
    double seconds;
    uint32_t epoch;
} o;

static struct {
    unsigned long connections, messages, bytes, refused, answered;
} did;

static double now_s(void)
{
    return (double)poa_clock_monotonic_us(poa_clock_system()) / 1e6;
}

static void die(const char *what)
{
    fprintf(stderr, "hostile: %s\n", what);
    exit(1);
}

static void must(int rc, const char *what)
{
    if (rc) {
        fprintf(stderr, "hostile: %s: %s\n", what, poa_error_text(rc));
        exit(1);
    }
}

/* SIGTERM: an attack that is done again and again has lasted long enough. */
static volatile sig_atomic_t enough;

static void on_term(int signal)
{
    (void)signal;
    enough = 1;
}

static void nap_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static uint8_t noise(void)
{
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return (uint8_t)(state >> 24);
}

static void fill(uint8_t *p, size_t n)
{
    while (n--)
        *p++ = noise();
}

/* --- raw sockets ------------------------------------------------------------------- */

static int dial(bool push)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)(o.port + (push ? 1 : 0)))};
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct timeval patience = {.tv_sec = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    inet_pton(AF_INET, o.host, &to.sin_addr);
    inet_pton(AF_INET, o.from, &from.sin_addr);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) ||
        connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        did.refused++;
        nap_ms(1);
        return -1;
    }
    did.connections++;
    return fd;
}

static bool out(int fd, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
        did.bytes += (size_t)k;
    }
    return true;
}

static bool in(int fd, void *bytes, size_t n)
{
    uint8_t *p = bytes;
    while (n) {
        ssize_t k = recv(fd, p, n, 0);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool preamble(int fd, uint8_t protocol)
{
    const uint8_t sp[8] = {0, 'S', 'P', 0, 0, protocol, 0, 0};
    return out(fd, sp, sizeof sp);
}

static bool sp_send(int fd, bool req, const void *bytes, size_t n)
{
    static uint32_t id = 1;
    uint8_t head[12] = {0};
    size_t body = n + (req ? 4 : 0);
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)((uint64_t)body >> (56 - 8 * i));
    id++;
    head[8] = 0x80;
    head[9] = (uint8_t)(id >> 16);
    head[10] = (uint8_t)(id >> 8);
    head[11] = (uint8_t)id;
    bool ok = out(fd, head, req ? 12 : 8) && out(fd, bytes, n);
    did.messages += ok;
    return ok;
}

/* --- sessions ------------------------------------------------------------------------ */

struct session {
    int req, push;
    struct poa_session lane, push_lane;
    uint8_t hello[256], frame[4096]; /* as sent, for replays */
    size_t hello_n, frame_n;
};

static void hang_up(struct session *s)
{
    close(s->req);
    close(s->push);
}

static bool shake(struct session *s, const uint8_t seed[32])
{
    uint8_t hello[2 + 32] = {1, 0}, answer[256], payload[16], ephemeral[32], sk[32], server[32];
    uint8_t prologue[10 + 32] = "poa mesh 1", head[12], sp[8];
    memset(s, 0, sizeof *s);
    poa_ed25519_public(seed, hello + 2);
    poa_ed25519_seed_to_x25519(seed, sk);
    must(poa_ed25519_pk_to_x25519(o.node, server), "node key");
    memcpy(prologue + 10, o.chain, 32);
    poa_random(ephemeral, sizeof ephemeral);
    struct poa_noise n;
    struct poa_noise_config c = {.pattern = &poa_noise_ik,
                                 .hash = POA_NOISE_BLAKE2B,
                                 .initiator = true,
                                 .prologue = poa_slice(prologue, sizeof prologue),
                                 .static_sk32 = sk,
                                 .remote_pk32 = server,
                                 .ephemeral32 = ephemeral};
    must(poa_noise_init(&n, &c), "handshake");
    struct poa_writer w = poa_writer_over(s->hello, sizeof s->hello);
    struct poa_writer r = poa_writer_over(payload, sizeof payload);
    poa_write_u8(&w, 1);
    must(poa_noise_write(&n, poa_slice(hello, sizeof hello), &w), "handshake");
    s->hello_n = w.n;
    s->req = dial(false);
    s->push = dial(true);
    bool ok = s->req >= 0 && s->push >= 0 && preamble(s->req, REQ) && preamble(s->push, PUSH) &&
              in(s->req, sp, 8) && in(s->push, sp, 8) && sp_send(s->req, true, s->hello, w.n) &&
              in(s->req, head, 12);
    size_t size = ok ? ((size_t)head[6] << 8 | head[7]) - 4 : 0;
    ok = ok && size <= sizeof answer && in(s->req, answer, size) && answer[0] == 1 &&
         !poa_noise_read(&n, poa_slice(answer + 1, size - 1), &r);
    struct poa_session base;
    if (ok) {
        must(poa_session_start(&base, &n, POA_SESSION_STRICT), "session");
        must(poa_session_lane(&s->lane, &base, 0, POA_SESSION_WINDOWED), "lane");
        must(poa_session_lane(&s->push_lane, &base, 1, POA_SESSION_STRICT), "lane");
    } else {
        did.refused++;
        hang_up(s);
        nap_ms(20);
    }
    return ok;
}

static bool frame(struct session *s, bool req, const void *plain, size_t n)
{
    uint8_t *bytes = malloc(n + 256);
    struct poa_writer w = poa_writer_over(bytes + 1, n + 255);
    bytes[0] = 2;
    must(poa_session_seal(req ? &s->lane : &s->push_lane, poa_slice(plain, n), &w), "seal");
    bool ok = sp_send(req ? s->req : s->push, req, bytes, 1 + w.n);
    if (1 + w.n <= sizeof s->frame) {
        memcpy(s->frame, bytes, 1 + w.n);
        s->frame_n = 1 + w.n;
    }
    free(bytes);
    return ok;
}

/* One item of TYPE. */
static bool item(struct session *s, bool req, uint16_t type, const void *bytes, size_t n)
{
    uint8_t *plain = malloc(n + 6);
    struct poa_writer w = poa_writer_over(plain, n + 6);
    poa_write_u16(&w, type);
    poa_write_u32(&w, (uint32_t)n);
    poa_write(&w, bytes, n);
    bool ok = frame(s, req, plain, w.n);
    free(plain);
    return ok;
}

/* Takes what came, so that nothing but the intended attack fills up. */
static void drain(int fd)
{
    uint8_t buffer[65536];
    ssize_t k;
    while ((k = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
        did.answered++;
}

static void random_key(uint8_t seed[32])
{
    poa_random(seed, 32);
}

/* --- attacks: before a session --------------------------------------------------------- */

static void attack_preamble(void)
{
    uint8_t junk[64];
    int fd = dial(noise() & 1);
    fill(junk, sizeof junk);
    if (fd < 0)
        return;
    did.messages += out(fd, junk, sizeof junk);
    close(fd);
}

static void attack_garbage(void)
{
    uint8_t junk[300];
    bool push = noise() & 1;
    int fd = dial(push);
    fill(junk, sizeof junk);
    junk[0] = noise() % 5;
    if (fd >= 0 && preamble(fd, push ? PUSH : REQ))
        for (int i = 0; i < 20 && sp_send(fd, !push, junk, noise() + 1u); i++)
            ;
    if (fd >= 0)
        close(fd);
}

/* Keeps as many as it can; MODE "word": with the preamble and a head, a byte each
 * 100 ms after that. */
static void hold(bool word)
{
    enum { N = 1000 };
    static int fd[N];
    static bool open_[N];
    static unsigned at;
    for (int i = 0; i < 20; i++, at++) {
        unsigned k = at % N;
        if (open_[k])
            close(fd[k]);
        fd[k] = dial(k & 1);
        open_[k] = fd[k] >= 0;
        if (word && open_[k]) {
            const uint8_t head[8] = {0, 0, 0, 0, 0, 0, 1, 0};
            (void)(preamble(fd[k], k & 1 ? PUSH : REQ) && out(fd[k], head, 8));
        }
    }
    for (unsigned k = 0; word && k < N; k++)
        if (open_[k] && !out(fd[k], "x", 1)) {
            close(fd[k]);
            open_[k] = false;
        }
    nap_ms(20);
}

static void attack_silent(void)
{
    hold(false);
}

static void attack_slowloris(void)
{
    hold(true);
}

static void attack_giant(void)
{
    uint8_t head[8] = {0};
    bool push = noise() & 1;
    int fd = dial(push);
    if (fd < 0)
        return;
    memset(head, noise() & 1 ? 0xff : 0x01, noise() % 5 + 1u);
    if (preamble(fd, push ? PUSH : REQ) && out(fd, head, 8)) {
        did.messages++;
        drain(fd);
    }
    close(fd);
}

/* Frames of one byte in the clear, as many as the connection takes. */
static void attack_tiny(void)
{
    bool push = noise() & 1;
    int fd = dial(push);
    if (fd >= 0 && preamble(fd, push ? PUSH : REQ))
        for (int i = 0; i < 20000 && sp_send(fd, !push, "\2", 1); i++)
            ;
    if (fd >= 0)
        close(fd);
}

/* --- attacks: inside a session ------------------------------------------------------------ */

/* A million questions, or pushes when the key is a witness's. */
static void attack_tiny_session(void)
{
    struct session s;
    uint8_t seed[32];
    random_key(seed);
    if (!shake(&s, o.mode ? o.seed : seed))
        return;
    for (int i = 0; i < 100000; i++) {
        bool ok = o.mode ? item(&s, false, POA_MSG_GET_CERTS, "", 0)
                         : item(&s, true, POA_MSG_REQ_STATUS, "", 0);
        if (!ok)
            break;
        if (i % 64 == 0)
            drain(s.req);
    }
    hang_up(&s);
}

static void attack_invalid(void)
{
    static const uint16_t requests[] = {POA_MSG_REQ_FOLLOW, POA_MSG_REQ_SUBMIT, POA_MSG_REQ_MINING,
                                        POA_MSG_REQ_STATUS, 999};
    struct session s;
    uint8_t seed[32], junk[2000];
    random_key(seed);
    if (!shake(&s, o.mode ? o.seed : seed))
        return;
    for (int i = 0; i < 500; i++) {
        size_t n = (size_t)noise() * 7 + noise();
        bool ok = true;
        fill(junk, sizeof junk);
        for (uint16_t type = 1; o.mode && ok && type < 12; type++)
            ok = item(&s, false, type, junk, n);
        if (ok)
            ok = item(&s, true, requests[noise() % 5], junk, n);
        drain(s.req);
        if (!ok)
            break;
    }
    hang_up(&s);
}

/* Its own recorded bytes, again and again, on new connections. */
static void attack_replay(void)
{
    static struct session s;
    static bool have;
    uint8_t seed[32];
    random_key(seed);
    if (!have) {
        have = shake(&s, seed) && item(&s, true, POA_MSG_REQ_STATUS, "", 0);
        return;
    }
    int fd = dial(false);
    if (fd >= 0 && preamble(fd, REQ)) {
        (void)sp_send(fd, true, s.hello, s.hello_n);
        for (int i = 0; i < 50 && sp_send(fd, true, s.frame, s.frame_n); i++)
            ;
        drain(fd);
    }
    if (fd >= 0)
        close(fd);
}

/* Asks for the whole chain and reads nothing. */
static void attack_unread(void)
{
    enum { N = 24 };
    static struct session s[N];
    static bool open_[N];
    uint8_t seed[32], ask[24];
    struct poa_follow r = {.after = 0, .max_bytes = 16u << 20};
    struct poa_writer w = poa_writer_over(ask, sizeof ask);
    must(poa_follow_encode(&w, &r), "follow");
    for (int i = 0; i < N; i++) {
        random_key(seed);
        if (!open_[i]) {
            open_[i] = shake(&s[i], seed);
            if (open_[i]) { /* a small window, so that it fills soon */
                int little = 4096;
                (void)setsockopt(s[i].req, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
            }
        }
        if (open_[i] && !item(&s[i], true, POA_MSG_REQ_FOLLOW, w.p, w.n)) {
            hang_up(&s[i]);
            open_[i] = false;
        }
    }
    nap_ms(20);
}

/* A witness with votes, well signed, of epochs long past. */
static void attack_old_epoch(void)
{
    struct session s;
    uint8_t bytes[256], key[32];
    poa_ed25519_public(o.seed, key);
    if (!shake(&s, o.seed))
        return;
    for (int i = 0; i < 20000; i++) {
        struct poa_vote v = {.kind = noise() % 3u, .epoch = 0, .view = (uint64_t)i, .voter = 4};
        uint8_t digest[32];
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        fill(v.hash, v.kind == 1 ? 0 : 32);
        poa_vote_digest(o.chain, v.kind, v.epoch, v.view, v.hash, digest);
        poa_ed25519_sign(o.seed, key, digest, sizeof digest, v.sig);
        must(poa_vote_encode(&w, &v), "vote");
        if (!item(&s, false, POA_MSG_VOTE, w.p, w.n))
            break;
    }
    hang_up(&s);
}

/* --- attacks: with the mesh's own code ------------------------------------------------------ */

#define PAYERS 64
#define EACH   60 /* per second: more than are taken, so that none comes twice */

static struct {
    struct poa_p2p *p2p;
    int peer;
    _Atomic int waiting;
    _Atomic unsigned long taken, refused;
} flood;

static void payer(uint32_t i, uint8_t sk[32], uint8_t address[32])
{
    uint8_t le[4], pk[32];
    poa_put_le32(le, i);
    poa_hash2(POA_DOMAIN_SIM, o.seed, 32, le, sizeof le, sk);
    must(poa_bip340_public(sk, pk), "key");
    poa_address_of_key(POA_KEY_BIP340, pk, address);
}

static void flooded(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct poa_codes r;
    (void)ctx;
    if (!error && type == POA_MSG_ANS_SUBMIT && !poa_codes_decode(bytes, &r)) {
        struct poa_list_iter it = poa_list_begin(&r.codes);
        struct poa_code c;
        while (poa_code_next(&it, &c) == 1)
            if (c.code)
                flood.refused++;
            else
                flood.taken++;
    } else {
        flood.refused++;
    }
    flood.waiting--;
}

static int submit(const uint8_t *txs, size_t n, uint32_t count)
{
    static uint8_t record[600000];
    struct poa_txs r = {.txs = {.bytes = poa_slice(txs, n), .count = count}};
    struct poa_writer w = poa_writer_over(record, sizeof record);
    must(poa_txs_encode(&w, &r), "transactions");
    flood.waiting++;
    int rc = poa_p2p_request(flood.p2p, flood.peer, POA_MSG_REQ_SUBMIT, poa_written(&w), 10000,
                             flooded, NULL);
    flood.waiting -= rc != 0;
    did.messages += count;
    did.bytes += n;
    return rc;
}

static size_t sign(uint8_t *to, size_t cap, const uint8_t sk[32], uint64_t nonce, uint64_t fee,
                   const struct poa_op_transfer *t, uint32_t n)
{
    static uint8_t body[8192], ops[16384];
    uint8_t id[32];
    static uint8_t tx[20000];
    struct poa_writer lw = poa_writer_over(ops, sizeof ops), w = poa_writer_over(tx, sizeof tx);
    struct poa_writer bw = poa_writer_over(body, sizeof body), all = poa_writer_over(to, cap);
    for (uint32_t i = 0; i < n; i++) {
        size_t before = bw.n;
        must(poa_op_transfer_encode(&bw, &t[i]), "operation");
        struct poa_op op = {.kind = POA_OP_TRANSFER,
                            .body = poa_slice(body + before, bw.n - before)};
        must(poa_op_encode(&lw, &op), "operation");
    }
    struct poa_list list = {poa_written(&lw), n};
    must(poa_tx_sign(o.chain, POA_KEY_BIP340, sk, nonce, fee, 0, &list, &w, id), "sign");
    struct poa_raw_tx raw = {.tx = poa_written(&w)};
    must(poa_raw_tx_encode(&all, &raw), "transaction");
    return all.n;
}

static void nobody(void *ctx, const struct poa_p2p_message *m)
{
    (void)ctx;
    (void)m;
}

static void open_mesh(const char *listen,
                      void (*on_message)(void *, const struct poa_p2p_message *))
{
    static char address[80];
    struct poa_p2p_config c = {
        .seed32 = o.seed, .chain32 = o.chain, .listen = listen, .on_message = on_message};
    must(poa_p2p_open(&flood.p2p, &c), "mesh");
    snprintf(address, sizeof address, "%s:%u", o.host, o.port);
    must(poa_p2p_peer_set(flood.p2p, o.node, address, NULL, 0, &flood.peer), "peer");
}

/* Valid transactions at the lowest fee, signed before; as fast as they are taken. MODE
 * "again": the first ones again and again. */
static void run_lowfee(void)
{
    static uint8_t first[20000];
    static struct poa_op_transfer to[PAYERS];
    static uint8_t sk[PAYERS][32];
    struct poa_keystore_info info;
    struct poa_why why = {""};
    uint8_t payer_sk[32];
    /* One request of 256 is enough to repeat. */
    const uint32_t each = o.mode ? 256 / PAYERS : (uint32_t)(EACH * (o.seconds + 1));
    size_t n = 0, cap = (size_t)PAYERS * each * 260;
    uint8_t *all = malloc(cap);
    size_t *end = calloc((size_t)PAYERS * each + 1, sizeof *end);
    if (!all || !end || poa_keystore_open(o.payer, NULL, &info, payer_sk, &why))
        die("no key of a payer");
    for (uint32_t i = 0; i < PAYERS; i++) {
        payer(i, sk[i], to[i].to);
        to[i].amount = 10000000;
    }
    for (uint32_t k = 0; k < each; k++)
        for (uint32_t i = 0; i < PAYERS; i++) {
            struct poa_op_transfer t = {.amount = 1};
            memcpy(t.to, to[(i + 1) % PAYERS].to, 32);
            n += sign(all + n, cap - n, sk[i], k, 20, &t, 1);
            end[k * PAYERS + i + 1] = n;
        }
    open_mesh(NULL, nobody);
    size_t m = sign(first, sizeof first, payer_sk, 0, 1000, to, PAYERS);
    while (submit(first, m, 1))
        nap_ms(50);
    while (flood.waiting)
        nap_ms(10);
    if (!flood.taken)
        die("the accounts of the flood were not funded");
    nap_ms(1500);
    printf("ready\n");
    fflush(stdout);
    double until = now_s() + o.seconds;
    for (uint32_t at = 0; !enough && now_s() < until;) {
        uint32_t count = 256;
        if (o.mode || at + count > PAYERS * each)
            at = 0; /* again: known ones are refused after they were looked at */
        if (flood.waiting >= 4 || submit(all + end[at], end[at + count] - end[at], count)) {
            nap_ms(1);
            continue;
        }
        at += count;
    }
    did.answered = flood.taken;
    did.refused = flood.refused;
}

/* --- a server that lies ------------------------------------------------------------------------
 */

struct question {
    uint64_t token;
    bool part; /* of a snapshot, and not its proof */
    uint64_t after;
};

/* What an honest node answered, made wrong, and passed on. */
static void lie(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct question *q = ctx;
    uint8_t *copy = malloc(bytes.n + 1);
    struct poa_blocks r;
    if (error || type != POA_MSG_ANS_FOLLOW || poa_blocks_decode(bytes, &r) || !r.blocks.count) {
        (void)!poa_p2p_answer(flood.p2p, q->token, POA_MSG_ANS_FOLLOW, bytes);
    } else {
        memcpy(copy, bytes.p, bytes.n);
        if (!strcmp(o.mode, "signature"))
            copy[bytes.n - 5] ^= 1;
        else if (!strcmp(o.mode, "block")) /* in the first header, behind version and kind */
            copy[40] ^= 1;
        else
            fill(copy, bytes.n);
        (void)!poa_p2p_answer(flood.p2p, q->token, POA_MSG_ANS_FOLLOW, poa_slice(copy, bytes.n));
        did.messages++;
    }
    free(copy);
    free(q);
}

static uint8_t honest_manifest[32];

/* A manifest that is all right by itself, of a state that no chain has. */
static size_t false_manifest(struct poa_slice honest, uint8_t *to, size_t cap)
{
    struct poa_snapshot_manifest m;
    struct poa_snapshot_part part = {.bytes = 100000};
    uint8_t list[64];
    struct poa_writer l = poa_writer_over(list, sizeof list), w = poa_writer_over(to, cap);
    must(poa_snapshot_manifest_decode(honest, &m), "manifest");
    fill(part.hash, 32);
    memcpy(m.root, part.hash, 32);
    must(poa_snapshot_part_encode(&l, &part), "part");
    m.bytes = part.bytes;
    m.parts = (struct poa_list){poa_written(&l), 1};
    must(poa_snapshot_manifest_encode(&w, &m), "manifest");
    return w.n;
}

/* Parts that a server of mode "few" gives. */
#define FEW 4

/* MODE "part": parts are wrong; "proof"; "state": a false state; "nopart": parts do not
 * come; "few": none after the first ones; "drip": the proof never ends; "takeback": it has
 * nothing of what it offered; "empty": nothing but the proof. What an honest node answered
 * otherwise. */
static void lie_of_state(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    struct question *q = ctx;
    uint8_t *copy = malloc(bytes.n + 512);
    size_t n = bytes.n;
    bool offer = type == POA_MSG_ANS_SNAPSHOT;
    if (error || !copy) {
        (void)!poa_p2p_refuse(flood.p2p, q->token, error ? error : POA_E_NO_MEMORY);
        free(copy);
        free(q);
        return;
    }
    memcpy(copy, bytes.p, n);
    if (offer)
        poa_hash(POA_DOMAIN_SNAPSHOT, bytes.p, n, honest_manifest);
    if (offer && !strcmp(o.mode, "state"))
        n = false_manifest(bytes, copy, n + 512);
    else if (!offer && n && !strcmp(o.mode, q->part ? "part" : "proof"))
        copy[n / 2] ^= 1;
    did.messages++;
    (void)!poa_p2p_answer(flood.p2p, q->token, type, poa_slice(copy, n));
    free(copy);
    free(q);
}

/* Whether M was about a snapshot. */
static bool serve_state(const struct poa_p2p_message *m)
{
    struct poa_snapshot_get get;
    uint8_t bytes[64];
    bool silent = false;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_slice ask = m->bytes;
    if (m->type != POA_MSG_REQ_SNAPSHOT && m->type != POA_MSG_REQ_PART)
        return false;
    struct question *q = calloc(1, sizeof *q);
    if (!q)
        return true;
    q->token = m->token;
    if (m->type == POA_MSG_REQ_PART && !poa_snapshot_get_decode(m->bytes, &get)) {
        q->part = get.part != POA_SNAPSHOT_PROOF;
        silent =
            q->part && (!strcmp(o.mode, "nopart") || (!strcmp(o.mode, "few") && get.part >= FEW));
        if (!strcmp(o.mode, "takeback") || (q->part && !strcmp(o.mode, "empty"))) {
            (void)!poa_p2p_refuse(flood.p2p, m->token, POA_E_NOT_FOUND);
            did.messages++;
            free(q);
            return true;
        }
        if (!q->part && !strcmp(o.mode, "drip")) {
            static uint8_t junk[POA_SNAPSHOT_PIECE_BYTES];
            nap_ms(1000);
            (void)!poa_p2p_answer(flood.p2p, m->token, POA_MSG_ANS_PART,
                                  poa_slice(junk, sizeof junk));
            free(q);
            return true;
        }
        if (!strcmp(o.mode, "state"))
            memcpy(get.manifest, honest_manifest, 32);
        must(poa_snapshot_get_encode(&w, &get), "question");
        ask = poa_written(&w);
    }
    if (silent || poa_p2p_request(flood.p2p, flood.peer, m->type, ask, 8000, lie_of_state, q))
        free(q);
    return true;
}

static void serve_lies(void *ctx, const struct poa_p2p_message *m)
{
    (void)ctx;
    if (!m->token)
        return;
    did.answered++;
    /* All of them have everything, they say. */
    if (m->type == POA_MSG_REQ_STATUS) {
        struct poa_peer_status s = {.height = UINT32_MAX, .epoch = 9};
        uint8_t out_[128];
        struct poa_writer w = poa_writer_over(out_, sizeof out_);
        memcpy(s.chain, o.chain, 32);
        must(poa_peer_status_encode(&w, &s), "status");
        (void)!poa_p2p_answer(flood.p2p, m->token, POA_MSG_ANS_STATUS, poa_written(&w));
        return;
    }
    if (!strcmp(o.mode, "stall") || serve_state(m))
        return;
    struct question *q = malloc(sizeof *q);
    if (m->type != POA_MSG_REQ_FOLLOW || !q) {
        free(q);
        (void)!poa_p2p_refuse(flood.p2p, m->token, POA_E_UNSUPPORTED);
        return;
    }
    q->token = m->token;
    if (poa_p2p_request(flood.p2p, flood.peer, m->type, m->bytes, 8000, lie, q))
        free(q);
}

static void run_forged(void)
{
    open_mesh(o.listen, serve_lies);
    printf("ready %u\n", poa_p2p_port(flood.p2p));
    fflush(stdout);
    nap_ms((unsigned)(o.seconds * 1000));
}

/* --- main ------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*round)(void); /* again and again, or */
    void (*run)(void);
} attacks[] = {
    {"preamble", attack_preamble, NULL},
    {"garbage", attack_garbage, NULL},
    {"silent", attack_silent, NULL},
    {"slowloris", attack_slowloris, NULL},
    {"giant", attack_giant, NULL},
    {"tiny", attack_tiny, NULL},
    {"tiny-session", attack_tiny_session, NULL},
    {"invalid", attack_invalid, NULL},
    {"replay", attack_replay, NULL},
    {"unread", attack_unread, NULL},
    {"old-epoch", attack_old_epoch, NULL},
    {"lowfee", NULL, run_lowfee},
    {"forged", NULL, run_forged},
};
#define ATTACKS (sizeof attacks / sizeof attacks[0])

static void key_of(const char *path)
{
    struct poa_keystore_info info;
    struct poa_why why = {""};
    if (poa_keystore_open(path, NULL, &info, o.seed, &why))
        die(why.text);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"mesh", required_argument, NULL, 'm'},   {"node", required_argument, NULL, 'n'},
        {"chain", required_argument, NULL, 'c'},  {"from", required_argument, NULL, 'f'},
        {"key", required_argument, NULL, 'k'},    {"seconds", required_argument, NULL, 's'},
        {"listen", required_argument, NULL, 'l'}, {"mode", required_argument, NULL, 'o'},
        {"payer", required_argument, NULL, 'p'},  {0}};
    size_t a = 0;
    signal(SIGPIPE, SIG_IGN);
    must(poa_crypto_init(), "crypto");
    struct poa_log_config silent = {.fd = STDERR_FILENO, .level = POA_LOG_ERROR};
    poa_log_setup(&silent);
    o.from = "127.0.0.1";
    o.seconds = 5;
    random_key(o.seed);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *colon = c == 'm' ? strrchr(optarg, ':') : NULL;
        if (c == 'm' && colon) {
            snprintf(o.host, sizeof o.host, "%.*s", (int)(colon - optarg), optarg);
            o.port = (uint16_t)atoi(colon + 1);
        } else if (c == 'n' || c == 'c')
            must(poa_unhex(optarg, c == 'n' ? o.node : o.chain, 32), "hex");
        else if (c == 'f')
            o.from = optarg;
        else if (c == 'k')
            key_of(optarg);
        else if (c == 's')
            o.seconds = atof(optarg);
        else if (c == 'l')
            o.listen = optarg;
        else if (c == 'o')
            o.mode = optarg;
        else if (c == 'p')
            o.payer = optarg;
        else
            die("see the source for the options");
    }
    while (a < ATTACKS && (optind >= argc || strcmp(attacks[a].name, argv[optind]) != 0))
        a++;
    if (a == ATTACKS || !o.port)
        die("hostile ATTACK --mesh HOST:PORT --node KEY --chain ID");
    if (attacks[a].round || (attacks[a].run == run_lowfee && o.mode))
        (void)sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    if (attacks[a].run)
        attacks[a].run();
    for (double until = now_s() + o.seconds; attacks[a].round && !enough && now_s() < until;)
        attacks[a].round();
    printf("{\"attack\": \"%s\", \"connections\": %lu, \"messages\": %lu, \"bytes\": %lu, "
           "\"refused\": %lu, \"answered\": %lu}\n",
           attacks[a].name, did.connections, did.messages, did.bytes, did.refused, did.answered);
    return 0;
}
