/* A node's mesh ports before a stranger: raw TCP, messages of the scalability
 * protocols, and any plain text under a session. It answers with well-formed
 * messages, closes when the stranger has closed, and goes on serving.
 *
 * The mesh runs in threads of its own and lives as long as the program. So does
 * the stranger's session, until the node ends it: handshakes are limited to
 * some hundred a second. */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "poa_p2p.h"
#include "poa_session.h"
#include "suite.h"

#define PATIENCE_MS 20000
#define HELLO       1 /* kinds of message */
#define FRAME       2
#define REFUSE      3

/* NNG 1.5.2 itself loses an answer whose asker goes away at the wrong moment:
 * the send succeeds, and nobody frees the message. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng\n";
}

static const uint8_t chain[32] = {1, 2, 3};

static struct {
    struct poa_p2p *p;
    uint8_t seed[32], key[32];
} node;

static struct {
    int fd;
    bool push, sp, closed;
    uint8_t in[70000];
    size_t in_n;
    uint32_t request;
    /* Of the stranger; they outlive an input. */
    bool keyed;
    struct poa_session lane, push_lane;
    struct poa_noise noise;
    bool shaking;
} s;

/* Requests are answered, refused, or answered with something else. */
static void on_message(void *ctx, const struct poa_p2p_message *m)
{
    (void)ctx;
    FUZZ_CHECK(m->type < POA_P2P_TYPE_RESERVED && m->peer == POA_P2P_STRANGER);
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < m->bytes.n; i++)
        sum = (uint8_t)(sum + m->bytes.p[i]);
    FUZZ_CHECK(m->token); /* strangers may not push */
    int e = m->type & 1 ? poa_p2p_answer(node.p, m->token, (uint16_t)(m->type / 2), m->bytes)
                        : poa_p2p_refuse(node.p, m->token, POA_E_FULL);
    FUZZ_CHECK(e == POA_OK || e == POA_E_NOT_FOUND);
}

static void start(void)
{
    struct poa_p2p_config c = {.listen = "127.0.0.1:0",
                               .listen_push = "127.0.0.1:0",
                               .seed32 = node.seed,
                               .chain32 = chain,
                               .stranger_requests_per_s = 1000000,
                               .on_message = on_message};
    if (node.p)
        return;
    fuzz_identity(1, node.seed, node.key);
    FUZZ_CHECK(!poa_p2p_open(&node.p, &c));
}

/* --- the stranger -------------------------------------------------------------------- */

static void say_raw(struct poa_slice bytes)
{
    while (bytes.n && !s.closed) {
        ssize_t n = send(s.fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n <= 0) {
            s.closed = true;
            break;
        }
        bytes = poa_slice(bytes.p + n, bytes.n - (size_t)n);
    }
}

static void dial(bool push)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(push ? poa_p2p_push_port(node.p) : poa_p2p_port(node.p))};
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    s.push = push;
    s.sp = s.closed = s.shaking = false;
    s.in_n = 0;
    s.request = 0;
    s.fd = socket(AF_INET, SOCK_STREAM, 0);
    FUZZ_CHECK(s.fd >= 0 && !setsockopt(s.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
    FUZZ_CHECK(!connect(s.fd, (const struct sockaddr *)&to, sizeof to));
}

/* The protocol's greeting: REQ or PUSH. */
static void greet(void)
{
    const uint8_t hello[8] = {0, 'S', 'P', 0, 0, s.push ? 0x50 : 0x30, 0, 0};
    s.sp = true;
    say_raw(poa_slice(hello, sizeof hello));
}

static void say(struct poa_slice body)
{
    uint8_t head[12];
    size_t n = s.push ? 0 : 4;
    poa_put_be64(head, body.n + n);
    s.request++;
    head[8] = 0x80;
    head[9] = (uint8_t)(s.request >> 16);
    head[10] = (uint8_t)(s.request >> 8);
    head[11] = (uint8_t)s.request;
    say_raw(poa_slice(head, 8 + n));
    say_raw(body);
}

static void judge(const uint8_t *body, size_t n)
{
    uint8_t plain[65536];
    FUZZ_CHECK(n >= 1);
    if (body[0] == FRAME) { /* in our session, or in one that ended */
        struct poa_writer w = poa_writer_over(plain, sizeof plain);
        if (s.keyed && !poa_session_open(&s.lane, poa_slice(body + 1, n - 1), &w))
            FUZZ_CHECK(w.n >= 12); /* request, code, type */
        return;
    }
    if (body[0] == HELLO) {
        struct poa_session base;
        struct poa_writer w = poa_writer_over(plain, sizeof plain);
        if (!s.shaking || poa_noise_read(&s.noise, poa_slice(body + 1, n - 1), &w))
            return;
        FUZZ_CHECK(w.n == 3);
        FUZZ_CHECK(!poa_session_start(&base, &s.noise, POA_SESSION_STRICT));
        FUZZ_CHECK(!poa_session_lane(&s.lane, &base, 0, POA_SESSION_WINDOWED));
        FUZZ_CHECK(!poa_session_lane(&s.push_lane, &base, 1, POA_SESSION_STRICT));
        s.keyed = true;
        s.shaking = false;
        return;
    }
    FUZZ_CHECK(body[0] == REFUSE && n == 3);
    if (-(int)poa_le16(body + 1) == POA_E_SESSION_UNKNOWN)
        s.keyed = false;
}

/* Whole messages that came. */
static void take(void)
{
    size_t at = 0;
    if (!s.sp || s.in_n < 8)
        return;
    if (s.in[0] == 0 && s.in[1] == 'S') /* its own greeting comes first */
        at = 8;
    while (s.in_n - at >= 8) {
        uint64_t n = poa_be64(s.in + at);
        FUZZ_CHECK(n >= (s.push ? 0 : 4) && n <= sizeof s.in - 16);
        if (s.in_n - at - 8 < n)
            break;
        FUZZ_CHECK(!s.push);
        judge(s.in + at + 12, (size_t)n - 4);
        at += 8 + (size_t)n;
        if (at >= 16) { /* the greeting is dealt with */
            memmove(s.in + 8, s.in + at, s.in_n - at);
            s.in_n -= at - 8;
            at = 8;
        }
    }
}

static bool hear(int patience_ms)
{
    struct pollfd p = {.fd = s.fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&p, 1, patience_ms);
    while (ready < 0);
    if (!ready)
        return false;
    ssize_t n = recv(s.fd, s.in + s.in_n, sizeof s.in - s.in_n, 0);
    if (n <= 0) {
        s.closed = true;
        return false;
    }
    s.in_n += (size_t)n;
    take();
    return true;
}

static void hello(uint8_t flags)
{
    uint8_t x_sk[32], node_x[32], prologue[64], text[64], body[256], entropy[32];
    uint8_t seed[32], key[32];
    struct poa_writer p = poa_writer_over(prologue, sizeof prologue),
                      t = poa_writer_over(text, sizeof text),
                      o = poa_writer_over(body, sizeof body);
    static uint64_t count;
    fuzz_identity(9, seed, key);
    memset(entropy, 5, sizeof entropy);
    poa_put_le64(entropy, ++count); /* sessions have different keys */
    poa_ed25519_seed_to_x25519(seed, x_sk);
    FUZZ_CHECK(!poa_ed25519_pk_to_x25519(node.key, node_x));
    poa_write(&p, "poa mesh 1", 10);
    poa_write(&p, chain, 32);
    const struct poa_noise_config c = {.pattern = &poa_noise_ik,
                                       .hash = POA_NOISE_BLAKE2B,
                                       .initiator = true,
                                       .prologue = poa_written(&p),
                                       .static_sk32 = x_sk,
                                       .remote_pk32 = node_x,
                                       .ephemeral32 = entropy};
    FUZZ_CHECK(!poa_noise_init(&s.noise, &c));
    poa_write_u16(&t, flags & 1 ? 7 : 1);
    key[0] ^= flags & 2;
    poa_write(&t, key, sizeof key);
    if (flags & 4)
        poa_write_u8(&t, 0);
    poa_write_u8(&o, HELLO);
    FUZZ_CHECK(!poa_noise_write(&s.noise, poa_written(&t), &o));
    s.shaking = true;
    say(poa_written(&o));
}

static void frame(struct poa_slice plain, bool push_lane)
{
    uint8_t body[65536 + 64];
    struct poa_writer o = poa_writer_over(body, sizeof body);
    poa_write_u8(&o, FRAME);
    if (!poa_session_seal(push_lane ? &s.push_lane : &s.lane, plain, &o))
        say(poa_written(&o));
}

static void item(struct fuzz_in *in)
{
    uint8_t plain[65536 + 8];
    struct poa_writer o = poa_writer_over(plain, sizeof plain);
    uint16_t type = fuzz_u16(in);
    struct poa_slice bytes = fuzz_chunk(in);
    poa_write_u16(&o, type);
    poa_write_u32(&o, (uint32_t)bytes.n);
    poa_write(&o, bytes.p, bytes.n);
    frame(poa_written(&o), s.push);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in);
    start();
    if (flags & 2 && !s.keyed) { /* needs a session: through the front door */
        dial(false);
        greet();
        hello(0);
        while (!s.keyed && !s.closed && s.in_n < 8 + 12 + 3 && hear(PATIENCE_MS))
            ;
        close(s.fd);
    }
    dial(flags & 1);
    if (flags & 4)
        greet();
    for (unsigned step = 0; step < 40 && in.n && !s.closed; step++) {
        uint8_t op = fuzz_u8(&in);
        if (!s.sp) {
            say_raw(fuzz_chunk(&in));
            continue;
        }
        switch (op & 7) {
        case 0:
            say(fuzz_chunk(&in));
            break;
        case 1:
            hello(op >> 3);
            break;
        case 2:
            if (s.keyed)
                frame(fuzz_chunk(&in), op & 8 ? !s.push : s.push);
            break;
        case 3:
            if (s.keyed)
                item(&in);
            break;
        case 4: { /* a frame that was changed, or of no session */
            uint8_t body[64] = {FRAME};
            if (s.keyed && op & 8)
                poa_put_le64(body + 1, s.lane.id);
            fuzz_fill(&in, body + 9, sizeof body - 9);
            say(poa_slice(body, fuzz_u8(&in) % sizeof body));
            break;
        }
        case 5:
            say_raw(fuzz_chunk(&in));
            break;
        default:
            break;
        }
    }
    /* A request that the input leaves half said is never answered: our end is
     * closed, and so is the node's soon. */
    shutdown(s.fd, SHUT_WR);
    while (!s.closed && hear(PATIENCE_MS))
        ;
    FUZZ_CHECK(s.closed);
    close(s.fd);
    return 0;
}

void fuzz_seeds(void)
{
    static const uint8_t raw[] = {0, 0, 4, 0, 1, 2, 3, 4, 0, 1, 0, 0};
    fuzz_seed("raw", raw, sizeof raw);
    static const uint8_t huge[] = {4, 5, 8, 0, 255, 255, 255, 255, 255, 255, 255, 255};
    fuzz_seed("length-huge", huge, sizeof huge);
    static const uint8_t messages[] = {4, 0, 1, 0, 1, 0, 1, 0, 3, 0, 0, 0, 0, 4, 0, 2, 9, 9, 9};
    fuzz_seed("messages", messages, sizeof messages);
    for (uint8_t i = 0; i < 8; i++) {
        const uint8_t greeting[] = {4, (uint8_t)(1 | i << 3)};
        char name[] = "hello-0";
        name[6] = (char)('0' + i);
        fuzz_seed(name, greeting, sizeof greeting);
    }
    static const uint8_t requests[] = {6, 3, 33,  0, 3, 0,   'a', 'b', 'c', 3, 32, 0,
                                       1, 0, 'x', 3, 0, 255, 0,   0,   12,  1, 2,  3};
    fuzz_seed("requests", requests, sizeof requests);
    static const uint8_t garbage[] = {6, 2, 3, 0, 1, 2, 3, 3, 1, 0, 0, 0};
    fuzz_seed("sealed-garbage", garbage, sizeof garbage);
    static const uint8_t pushes[] = {7, 3, 1, 0, 2, 0, 'p', 'q', 2, 4, 0, 1, 0, 9, 9};
    fuzz_seed("pushes", pushes, sizeof pushes);
}
