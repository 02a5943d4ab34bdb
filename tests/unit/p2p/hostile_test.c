/* Peers that break the rules: they must not crash, stall or bloat the mesh, nor
 * get a message through. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "poa_clock.h"
#include "poa_session.h"

/* A pair of nodes that talk while a test does its worst to B. */
struct pair {
    struct node *a, *b;
    int ab, ba;
    uint16_t next;
};

static struct pair pair_open(const struct poa_p2p_config *more)
{
    struct pair x = {.a = node_open(1, NULL), .b = node_open(2, more), .next = 1000};
    x.ab = node_knows(x.a, x.b, true, POA_P2P_MESH);
    x.ba = node_knows(x.b, x.a, true, POA_P2P_MESH);
    UNTIL(node_up(x.a, x.ab) && node_up(x.b, x.ba));
    return x;
}

/* A push and a request get through, both ways round. */
static void pair_works(struct pair *x)
{
    struct answer r = {0};
    uint16_t type = x->next++;
    UNTIL(node_up(x->a, x->ab) && node_up(x->b, x->ba));
    /* A push may be lost with the connection that a test just broke. */
    for (int i = 0; i < 200 && !(node_count(x->a, type) > 0 && node_count(x->b, type) > 0); i++) {
        cr_assert_eq(push_text(x->a, x->ab, 0, type, "alive"), POA_OK);
        cr_assert_eq(push_text(x->b, x->ba, 0, type, "alive"), POA_OK);
        for (int k = 0; k < 50 && node_count(x->a, type) * node_count(x->b, type) == 0; k++)
            sleep_ms(2);
    }
    cr_assert(node_count(x->a, type) > 0 && node_count(x->b, type) > 0);
    for (int i = 0; i < 20 && (i == 0 || r.error != POA_OK); i++) {
        r.calls = 0;
        cr_assert_eq(poa_p2p_request(x->a->p, x->ab, 50, poa_slice("?", 1), 10000, on_answer, &r),
                     POA_OK);
        UNTIL(r.calls == 1);
    }
    cr_assert_eq(r.error, POA_OK);
}

static void pair_close(struct pair *x)
{
    pair_works(x);
    node_close(x->a);
    node_close(x->b);
}

static struct poa_p2p_totals totals(struct node *n)
{
    struct poa_p2p_totals t;
    poa_p2p_totals(n->p, &t);
    return t;
}

static uint32_t noise_state = 1;
static uint8_t noise(void)
{
    noise_state = noise_state * 1664525 + 1013904223;
    return (uint8_t)(noise_state >> 24);
}

/* Sends an SP message with the REQ header that REP expects. */
static bool sp_send(int fd, bool req, const void *bytes, size_t n)
{
    uint8_t head[12] = {0};
    size_t body = n + (req ? 4 : 0);
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)((uint64_t)body >> (56 - 8 * i));
    head[8] = 0x80;
    head[11] = 1;
    return raw_send(fd, head, req ? 12 : 8) && raw_send(fd, bytes, n);
}

Test(hostile, garbage_on_both_ports)
{
    struct pair x = pair_open(NULL);
    size_t before = node_total(x.b);
    for (int round = 0; round < 60; round++) {
        bool req = round % 2 == 0;
        int fd = raw_connect(req ? poa_p2p_port(x.b->p) : poa_p2p_push_port(x.b->p));
        uint8_t junk[300];
        size_t n = (size_t)round * 5;
        cr_assert(fd >= 0);
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = noise();
        if (round % 3 != 0)
            raw_preamble(fd, req ? 0x30 : 0x50);
        if (round % 3 == 1) { /* a whole message of junk, some with a known kind */
            junk[0] = (uint8_t)(round % 5);
            sp_send(fd, req, junk, n);
        } else {
            raw_send(fd, junk, n);
        }
        if (round % 3 == 1 && (!req || round % 5 != 2))
            cr_assert(raw_closed(fd), "round %d", round);
        close(fd);
    }
    cr_assert_eq(node_total(x.b), before);
    cr_assert(totals(x.b).frames_refused + totals(x.b).handshakes_refused > 0);
    pair_works(&x);
    pair_close(&x);
}

/* A length that would reserve gigabytes, and one just over the limit. */
static uint64_t ms_until_closed(int fd)
{
    uint64_t from = poa_clock_monotonic_ms(poa_clock_system());
    cr_assert(raw_closed(fd));
    return poa_clock_monotonic_ms(poa_clock_system()) - from;
}

/* Half a message ends the connection anyway, after seconds, and until then its room is
 * reserved. The best of several tries: the machine may be busy. */
#define AT_ONCE_MS 1500

Test(hostile, oversized)
{
    struct pair x = pair_open(
        &(struct poa_p2p_config){.message_max_bytes = 100000, .request_max_bytes = 100000});
    uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
    for (int round = 0; round < 8; round++) {
        bool req = round % 2 == 0;
        int fd = raw_connect(req ? poa_p2p_port(x.b->p) : poa_p2p_push_port(x.b->p));
        uint8_t head[8] = {0};
        raw_preamble(fd, req ? 0x30 : 0x50);
        if (round < 4)
            memset(head, round < 2 ? 0xff : 0x02, 4);
        else
            head[5] = 0x02; /* 131072 */
        raw_send(fd, head, sizeof head);
        uint64_t ms = ms_until_closed(fd);
        if (round >= 4 && ms < best[req])
            best[req] = ms;
        close(fd);
    }
    cr_expect(best[0] < AT_ONCE_MS && best[1] < AT_ONCE_MS, "%lu and %lu ms",
              (unsigned long)best[0], (unsigned long)best[1]);
    pair_close(&x);
}

/* Who is dialed announces an answer that is too long. */
Test(hostile, oversized_answer)
{
    struct node *a = node_open(1, NULL);
    uint16_t port;
    int listener = raw_listen(&port), index;
    uint8_t key[32];
    static const uint8_t seed[32] = {78}, head[8] = {0, 0, 0, 0, 0x40}; /* 1 GiB */
    char address[32];
    uint64_t best = UINT64_MAX;
    poa_ed25519_public(seed, key);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    cr_assert_eq(poa_p2p_peer_set(a->p, key, address, NULL, 0, &index), POA_OK);
    for (int round = 0; round < 4; round++) {
        int fd = accept(listener, NULL, NULL);
        cr_assert_geq(fd, 0);
        raw_preamble(fd, 0x31);
        raw_send(fd, head, sizeof head);
        uint64_t ms = ms_until_closed(fd);
        best = ms < best ? ms : best;
        close(fd);
    }
    cr_expect(best < AT_ONCE_MS, "%lu ms", (unsigned long)best);
    close(listener);
    node_close(a);
}

/* Connections that say nothing, or stop in the middle, are closed; while they
 * are there, others get in. */
Test(hostile, silent_connections)
{
    enum { N = 150 };
    struct pair x = pair_open(NULL);
    int fd[N];
    for (int i = 0; i < N; i++) {
        bool req = i % 2 == 0;
        fd[i] = raw_connect(req ? poa_p2p_port(x.b->p) : poa_p2p_push_port(x.b->p));
        cr_assert(fd[i] >= 0);
        raw_preamble(fd[i], req ? 0x30 : 0x50);
        if (i % 3 == 0) {
            uint8_t head[8] = {0, 0, 0, 0, 0, 0, 4, 0};
            raw_send(fd[i], head, sizeof head);
        }
    }
    struct node *late = node_open(3, NULL);
    node_knows(x.b, late, false, POA_P2P_MESH);
    int index = node_knows(late, x.b, true, POA_P2P_MESH);
    UNTIL(node_up(late, index));
    UNTIL(totals(x.b).pipes <= 8); /* within seconds, all of them */
    for (int i = 0; i < N; i++)
        close(fd[i]);
    node_close(late);
    pair_close(&x);
}

/* What was recorded on the wire and is sent again changes nothing: neither in a
 * new connection nor to a node that was started anew. */
Test(hostile, replay)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    struct proxy *req = proxy_open(poa_p2p_port(b->p)), *push = proxy_open(poa_p2p_push_port(b->p));
    char address[32], push_address[32];
    int ab;
    snprintf(address, sizeof address, "127.0.0.1:%u", proxy_port(req));
    snprintf(push_address, sizeof push_address, "127.0.0.1:%u", proxy_port(push));
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, address, push_address, POA_P2P_MESH, &ab), POA_OK);
    node_knows(b, a, false, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    for (int i = 0; i < 5; i++) {
        struct answer r = {0};
        cr_assert_eq(push_text(a, ab, 0, 7, "pay 5 to nobody"), POA_OK);
        cr_assert_eq(poa_p2p_request(a->p, ab, 50, poa_slice("twice?", 6), 10000, on_answer, &r),
                     POA_OK);
        UNTIL(r.calls == 1 && node_count(b, 7) == (size_t)i + 1);
    }
    size_t before = node_total(b), n[2];
    uint8_t *bytes[2] = {proxy_sent(req, 0, &n[0]), proxy_sent(push, 0, &n[1])};
    cr_assert(bytes[0] != NULL && bytes[1] != NULL);
    for (int round = 0; round < 2; round++) {
        for (int dir = 0; dir < 2; dir++) {
            uint64_t refused = totals(b).frames_refused;
            int fd = raw_connect(dir == 0 ? poa_p2p_port(b->p) : poa_p2p_push_port(b->p));
            cr_assert(fd >= 0);
            raw_send(fd, bytes[dir], n[dir]);
            UNTIL(totals(b).frames_refused > refused);
            close(fd);
        }
        cr_assert_eq(node_total(b), before, "a replayed message was delivered");
        if (round == 0) { /* to a node that forgot the session */
            node_stop(b);
            node_reopen(b, NULL);
            node_knows(b, a, false, POA_P2P_MESH);
        }
    }
    /* The replayed HELLO did not disturb the real peer. */
    UNTIL(node_up(a, ab));
    cr_assert_eq(push_text(a, ab, 0, 8, "still here"), POA_OK);
    UNTIL(node_count(b, 8) == 1);
    free(bytes[0]);
    free(bytes[1]);
    node_close(a);
    node_close(b);
    proxy_close(req);
    proxy_close(push);
}

/* Nothing that the nodes say shows on the wire, in either direction; not even
 * who they are. */
Test(hostile, nothing_in_the_clear)
{
    static const char secret[] = "SECRET-PAYLOAD-0123456789";
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    struct proxy *req = proxy_open(poa_p2p_port(b->p)), *push = proxy_open(poa_p2p_push_port(b->p));
    char address[32], push_address[32];
    int ab;
    snprintf(address, sizeof address, "127.0.0.1:%u", proxy_port(req));
    snprintf(push_address, sizeof push_address, "127.0.0.1:%u", proxy_port(push));
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, address, push_address, POA_P2P_MESH, &ab), POA_OK);
    node_knows(b, a, false, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    struct answer r = {0};
    cr_assert_eq(push_text(a, ab, 0, 7, secret), POA_OK);
    /* A request may be lost with a connection that is only just made. */
    for (int i = 0; i < 20 && (i == 0 || r.error != POA_OK); i++) {
        r.calls = 0;
        cr_assert_eq(
            poa_p2p_request(a->p, ab, 50, poa_slice(secret, sizeof secret), 10000, on_answer, &r),
            POA_OK);
        UNTIL(r.calls == 1);
    }
    UNTIL(node_count(b, 7) == 1);
    cr_assert_arr_eq(r.head, secret, sizeof secret); /* echoed */
    cr_assert(proxy_bytes(req) > 200 && proxy_bytes(push) > 50, "the proxy saw the traffic");
    uint8_t x[32];
    cr_assert_eq(poa_ed25519_pk_to_x25519(a->key, x), POA_OK);
    struct proxy *all[2] = {req, push};
    for (int i = 0; i < 2; i++) {
        cr_assert(!proxy_saw(all[i], "SECRET-PAYLOAD", 14));
        cr_assert(!proxy_saw(all[i], a->key, 32));
        cr_assert(!proxy_saw(all[i], b->key, 32));
        cr_assert(!proxy_saw(all[i], x, 32));
    }
    node_close(a);
    node_close(b);
    proxy_close(req);
    proxy_close(push);
}

/* A peer whose machine went away keeps its connections open and says nothing:
 * pings find out, and the link comes back when it does. */
Test(hostile, dead_peer)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    struct proxy *req = proxy_open(poa_p2p_port(b->p)), *push = proxy_open(poa_p2p_push_port(b->p));
    char address[32], push_address[32];
    int ab;
    snprintf(address, sizeof address, "127.0.0.1:%u", proxy_port(req));
    snprintf(push_address, sizeof push_address, "127.0.0.1:%u", proxy_port(push));
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, address, push_address, POA_P2P_MESH, &ab), POA_OK);
    node_knows(b, a, false, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    proxy_deaf(req, true);
    proxy_deaf(push, true);
    UNTIL(!node_up(a, ab));
    proxy_deaf(req, false);
    proxy_deaf(push, false);
    UNTIL(node_up(a, ab));
    cr_assert_eq(push_text(a, ab, 0, 8, "back"), POA_OK);
    UNTIL(node_count(b, 8) == 1);
    node_close(a);
    node_close(b);
    proxy_close(req);
    proxy_close(push);
}

/* A peer that takes nothing costs bounded memory, and the caller never waits. */
Test(hostile, slow_peer)
{
    struct poa_p2p_config c = {.queue_max_bytes = {100000, 0, 2000000, 0}};
    struct node *a = node_open(1, &c), *b = node_open(2, NULL);
    struct proxy *push = proxy_open(poa_p2p_push_port(b->p));
    char push_address[32];
    int ab;
    static uint8_t batch[100000];
    snprintf(push_address, sizeof push_address, "127.0.0.1:%u", proxy_port(push));
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, b->address, push_address, POA_P2P_MESH, &ab), 0);
    node_knows(b, a, false, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    proxy_deaf(push, true);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(poa_p2p_push(a->p, ab, 2, 4, poa_slice(batch, sizeof batch)), POA_OK);
        cr_assert(node_stats(a, ab).queued_bytes <= 2000000 + 100000);
    }
    cr_assert(node_stats(a, ab).dropped[2] > 200);
    proxy_deaf(push, false);
    UNTIL(node_count(b, 4) > 0);
    /* Other peers and requests never noticed. */
    struct answer r = {0};
    cr_assert_eq(poa_p2p_request(a->p, ab, 50, poa_slice("?", 1), 10000, on_answer, &r), POA_OK);
    UNTIL(r.calls == 1);
    cr_assert_eq(r.error, POA_OK);
    node_close(a);
    node_close(b);
    proxy_close(push);
}

/* --- a listed node that went bad: it holds a key, and speaks for itself ----- */

struct evil {
    uint8_t key[32], sk[32], pk[32];
    uint8_t server_pk[32];
    int req, push;
    struct poa_session lane, push_lane;
};

static bool sp_receive(int fd, uint8_t *bytes, size_t cap, size_t *n)
{
    uint8_t head[12];
    if (!raw_receive(fd, head, sizeof head) || head[10] != 0)
        return false;
    *n = ((size_t)head[6] << 8 | head[7]) - 4;
    return *n <= cap && raw_receive(fd, bytes, *n);
}

/* Connects and shakes hands; what B answered, as kind byte. */
static int evil_shake(struct evil *e, const struct node *b, const uint8_t claim[32])
{
    static const uint8_t seed[32] = {66, 66};
    uint8_t hello[2 + 32] = {1, 0}, out[256], in[256], payload[16], ephemeral[32];
    uint8_t prologue[10 + 32] = "poa mesh 1";
    size_t n;
    memset(e, 0, sizeof *e);
    poa_ed25519_public(seed, e->key);
    poa_ed25519_seed_to_x25519(seed, e->sk);
    cr_assert_eq(poa_ed25519_pk_to_x25519(b->key, e->server_pk), POA_OK);
    memcpy(prologue + 10, chain_a, 32);
    memcpy(hello + 2, claim != NULL ? claim : e->key, 32);
    poa_random(ephemeral, sizeof ephemeral);
    struct poa_noise noise_;
    struct poa_noise_config c = {.pattern = &poa_noise_ik,
                                 .hash = POA_NOISE_BLAKE2B,
                                 .initiator = true,
                                 .prologue = poa_slice(prologue, sizeof prologue),
                                 .static_sk32 = e->sk,
                                 .remote_pk32 = e->server_pk,
                                 .ephemeral32 = ephemeral};
    cr_assert_eq(poa_noise_init(&noise_, &c), POA_OK);
    struct poa_writer w = poa_writer_over(out, sizeof out), r = poa_writer_over(payload, 16);
    poa_write_u8(&w, 1);
    cr_assert_eq(poa_noise_write(&noise_, poa_slice(hello, sizeof hello), &w), POA_OK);
    e->req = raw_connect(poa_p2p_port(b->p));
    e->push = raw_connect(poa_p2p_push_port(b->p));
    uint8_t preamble[8];
    raw_preamble(e->req, 0x30);
    raw_preamble(e->push, 0x50);
    cr_assert(raw_receive(e->req, preamble, 8) && raw_receive(e->push, preamble, 8));
    sp_send(e->req, true, out, w.n);
    if (!sp_receive(e->req, in, sizeof in, &n))
        return -1;
    if (in[0] != 1)
        return in[0];
    cr_assert_eq(poa_noise_read(&noise_, poa_slice(in + 1, n - 1), &r), POA_OK);
    struct poa_session s;
    cr_assert_eq(poa_session_start(&s, &noise_, POA_SESSION_STRICT), POA_OK);
    cr_assert_eq(poa_session_lane(&e->lane, &s, 0, POA_SESSION_WINDOWED), POA_OK);
    cr_assert_eq(poa_session_lane(&e->push_lane, &s, 1, POA_SESSION_STRICT), POA_OK);
    return 1;
}

static bool evil_send(struct evil *e, bool req, const void *plain, size_t n)
{
    uint8_t out[512] = {2};
    struct poa_writer w = poa_writer_over(out + 1, sizeof out - 1);
    cr_assert_eq(poa_session_seal(req ? &e->lane : &e->push_lane, poa_slice(plain, n), &w), 0);
    return sp_send(req ? e->req : e->push, req, out, 1 + w.n);
}

static void evil_close(struct evil *e)
{
    close(e->req);
    close(e->push);
}

Test(hostile, listed_node_sends_garbage)
{
    static const struct {
        const char *what;
        size_t n;
        uint8_t plain[16];
    } bad[] = {
        {"half an item", 3, {7, 0, 5}},
        {"longer than it is", 8, {7, 0, 200, 0, 0, 0, 1, 2}},
        {"longer than anything", 8, {7, 0, 255, 255, 255, 255, 1, 2}},
        {"good, then half", 10, {7, 0, 1, 0, 0, 0, 'x', 7, 0, 5}},
        {"a reserved type", 7, {0, 0xff, 1, 0, 0, 0, 'x'}},
    };
    struct pair x = pair_open(NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int req = 0; req < 2; req++) {
            struct evil e;
            int index;
            uint8_t key[32];
            static const uint8_t seed[32] = {66, 66};
            poa_ed25519_public(seed, key);
            cr_assert_eq(poa_p2p_peer_set(x.b->p, key, NULL, NULL, POA_P2P_MESH, &index), POA_OK);
            cr_assert_eq(evil_shake(&e, x.b, NULL), 1);
            size_t before = node_total(x.b);
            cr_assert(evil_send(&e, false, "\7\0\2\0\0\0ok", 8));
            UNTIL(node_total(x.b) == before + 1); /* so far it behaves */
            cr_assert(!node_stats(x.b, index).banned);
            cr_assert(evil_send(&e, req == 1, bad[i].plain, bad[i].n));
            if (req == 1 && i == 4) { /* a request of a reserved type is just refused */
                uint8_t in[256];
                size_t n;
                cr_assert(sp_receive(e.req, in, sizeof in, &n) && in[0] == 2);
            } else {
                UNTIL(node_stats(x.b, index).banned);
                cr_assert(raw_closed(req == 1 ? e.req : e.push), "%s", bad[i].what);
                struct evil again;
                cr_assert_neq(evil_shake(&again, x.b, NULL), 1, "banned");
                evil_close(&again);
            }
            cr_assert_eq(node_total(x.b), before + 1, "%s was delivered in part", bad[i].what);
            evil_close(&e);
            cr_assert_eq(poa_p2p_peer_remove(x.b->p, index), POA_OK);
        }
    }
    pair_close(&x);
}

/* Counters: a frame twice, an old one, one far ahead, another lane's. */
Test(hostile, counters)
{
    struct pair x = pair_open(NULL);
    struct evil e;
    int index;
    uint8_t key[32], f[2][128] = {{2}, {2}}, in[256];
    static const uint8_t seed[32] = {66, 66};
    size_t n[2], got;
    poa_ed25519_public(seed, key);
    cr_assert_eq(poa_p2p_peer_set(x.b->p, key, NULL, NULL, POA_P2P_MESH, &index), POA_OK);
    cr_assert_eq(evil_shake(&e, x.b, NULL), 1);
    for (int i = 0; i < 2; i++) {
        struct poa_writer w = poa_writer_over(f[i] + 1, sizeof f[i] - 1);
        cr_assert_eq(poa_session_seal(&e.lane, poa_slice("\7\0\2\0\0\0ok", 8), &w), 0);
        n[i] = 1 + w.n;
    }
    size_t before = node_count(x.b, 7);
    sp_send(e.req, true, f[1], n[1]); /* overtaken: fine in the request lane */
    cr_assert(sp_receive(e.req, in, sizeof in, &got) && in[0] == 2);
    sp_send(e.req, true, f[0], n[0]);
    cr_assert(sp_receive(e.req, in, sizeof in, &got) && in[0] == 2);
    sp_send(e.req, true, f[0], n[0]); /* twice: refused in the clear */
    cr_assert(sp_receive(e.req, in, sizeof in, &got) && in[0] == 3);
    cr_assert_eq(-(in[1] | in[2] << 8), POA_E_REPLAY);
    cr_assert_eq(node_count(x.b, 7), before + 2);
    f[0][9] ^= 0x40; /* another counter */
    sp_send(e.req, true, f[0], n[0]);
    cr_assert(raw_closed(e.req));
    sp_send(e.push, false, f[1], n[1]); /* a request on the push port */
    cr_assert(raw_closed(e.push));
    cr_assert_eq(node_count(x.b, 7), before + 2);
    cr_assert(!node_stats(x.b, index).banned, "anybody on the path can do that");
    evil_close(&e);
    pair_close(&x);
}

/* A node that asks and takes no answer holds its share of contexts and no more. */
Test(hostile, answers_not_taken)
{
    struct pair x = pair_open(NULL);
    struct evil e;
    int index;
    uint8_t key[32];
    static const uint8_t seed[32] = {66, 66};
    static uint8_t plain[6 + 1000000], out[1 + POA_SESSION_OVERHEAD + sizeof plain];
    uint32_t n = sizeof plain - 6;
    poa_ed25519_public(seed, key);
    cr_assert_eq(poa_p2p_peer_set(x.b->p, key, NULL, NULL, POA_P2P_MESH, &index), POA_OK);
    cr_assert_eq(evil_shake(&e, x.b, NULL), 1);
    plain[0] = 50;
    memcpy(plain + 2, &n, 4);
    bool open = true;
    for (int i = 0; i < 60 && open; i++) { /* B echoes a megabyte for each */
        struct poa_writer w = poa_writer_over(out + 1, sizeof out - 1);
        out[0] = 2;
        cr_assert_eq(poa_session_seal(&e.lane, poa_slice(plain, sizeof plain), &w), 0);
        open = sp_send(e.req, true, out, 1 + w.n);
        cr_assert(totals(x.b).waiting <= 32);
    }
    for (int i = 0; i < 300 && open; i++) { /* and pings until B has enough of it */
        open = evil_send(&e, true, "\0\377\0\0\0\0", 6);
        if (i % 10 == 0)
            sleep_ms(50);
    }
    cr_assert(!open, "the connection was cut");
    pair_works(&x);
    UNTIL(totals(x.b).waiting == 0);
    evil_close(&e);
    pair_close(&x);
}

/* A good handshake with somebody else's name in it. */
Test(hostile, borrowed_name)
{
    struct pair x = pair_open(NULL);
    struct evil e;
    cr_assert_eq(evil_shake(&e, x.b, x.a->key), -1);
    evil_close(&e);
    pair_close(&x);
}

/* Strangers from elsewhere who do their worst do not keep a listed node out. */
Test(hostile, flood_from_elsewhere)
{
    struct pair x = pair_open(NULL);
    uint8_t hello[147] = {1};
    int silent[100];
    for (int i = 0; i < 100; i++) {
        silent[i] = raw_connect_from(poa_p2p_port(x.b->p), "127.0.0.2");
        cr_assert(silent[i] >= 0);
        raw_preamble(silent[i], 0x30);
    }
    for (int i = 0; i < 400; i++) { /* more than the rate of strangers allows */
        int fd = raw_connect_from(poa_p2p_port(x.b->p), "127.0.0.2");
        if (fd < 0)
            continue;
        raw_preamble(fd, 0x30);
        sp_send(fd, true, hello, sizeof hello);
        close(fd);
    }
    node_stop(x.a);
    node_reopen(x.a, NULL);
    x.ab = node_knows(x.a, x.b, true, POA_P2P_MESH);
    pair_works(&x);
    for (int i = 0; i < 100; i++)
        close(silent[i]);
    pair_close(&x);
}

/* Many handshakes from one connection are slowed down, not served. */
Test(hostile, handshake_flood)
{
    struct pair x = pair_open(NULL);
    uint8_t hello[147] = {1};
    uint64_t before = totals(x.b).handshakes_refused;
    for (int i = 0; i < 40; i++) {
        int fd = raw_connect(poa_p2p_port(x.b->p));
        cr_assert(fd >= 0);
        raw_preamble(fd, 0x30);
        for (size_t k = 1; k < sizeof hello; k++)
            hello[k] = noise();
        sp_send(fd, true, hello, sizeof hello);
        cr_assert(raw_closed(fd));
        close(fd);
    }
    cr_assert_eq(totals(x.b).handshakes_refused, before + 40);
    pair_close(&x);
}

/* A listener that closes its PULL side again and again while we push: NNG 1.5.2
 * would send on a connection that it freed. */
struct storm {
    struct pair *x;
    _Atomic bool stop;
};

static void *push_storm(void *arg)
{
    struct storm *s = arg;
    while (!atomic_load(&s->stop)) {
        (void)!push_text(s->x->a, s->x->ab, 0, 7, "vote");
        sleep_ms(0);
    }
    return NULL;
}

Test(hostile, pushes_cut_off)
{
    struct pair x = pair_open(NULL);
    struct storm s = {.x = &x};
    pthread_t t;
    cr_assert_eq(pthread_create(&t, NULL, push_storm, &s), 0);
    for (int round = 0; round < 60; round++) {
        uint64_t handshakes = node_stats(x.a, x.ab).handshakes;
        poa_p2p_ban(x.b->p, x.ba, "test", 1);
        UNTIL(node_stats(x.a, x.ab).handshakes > handshakes);
        sleep_ms((unsigned)round % 7);
    }
    atomic_store(&s.stop, true);
    pthread_join(t, NULL);
    pair_close(&x);
}

/* Connections that are cut in the middle of traffic: NNG 1.5.2 loses a
 * completion then, unless repaired, and its reaper waits for ever. */
Test(hostile, cut_in_the_middle)
{
    struct pair x = pair_open(NULL);
    uint8_t frame[64] = {2};
    for (int round = 0; round < 300; round++) {
        int fd = raw_connect(poa_p2p_port(x.b->p));
        cr_assert(fd >= 0);
        raw_preamble(fd, 0x30);
        for (int i = 0; i < 12; i++)
            if (!sp_send(fd, true, frame, sizeof frame))
                break;
        if (round % 2 == 0) {
            struct linger reset = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        close(fd);
    }
    UNTIL(totals(x.b).pipes <= 4);
    pair_close(&x);
}
