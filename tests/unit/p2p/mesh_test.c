/* Nodes that talk to one another. */
#include "harness.h"
#include "poa_clock.h"
#include "wake.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

Test(p2p, two_nodes)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    int ab = node_knows(a, b, true, POA_P2P_MESH), ba = node_knows(b, a, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab) && node_up(b, ba));
    cr_assert_eq(push_text(a, ab, 0, 7, "vote"), POA_OK);
    cr_assert_eq(push_text(b, ba, 2, 8, ""), POA_OK);
    struct got g;
    UNTIL(node_find(b, 7, &g));
    cr_assert_eq(g.peer, ba);
    cr_assert_eq(g.n, 4);
    cr_assert_eq(g.token, 0);
    cr_assert_arr_eq(g.head, "vote", 4);
    UNTIL(node_find(a, 8, &g));
    cr_assert_eq(g.n, 0);

    struct answer r = {0};
    cr_assert_eq(poa_p2p_request(a->p, ab, 38, poa_slice("who?", 4), 10000, on_answer, &r), POA_OK);
    UNTIL(r.calls == 1);
    cr_assert_eq(r.error, POA_OK);
    cr_assert_eq(r.type, 39);
    cr_assert_eq(r.n, 4);
    cr_assert_arr_eq(r.head, "who?", 4);
    UNTIL(node_stats(a, ab).rtt_us > 0);
    struct poa_p2p_stats s = node_stats(a, ab);
    cr_assert(s.inbound);
    /* One, unless a slow machine lost the first connection on the way. */
    cr_assert(s.handshakes >= 1 && s.handshakes <= 3);
    /* None, unless it called before B knew it: what it had as a stranger ends then. */
    cr_assert(s.handshakes_failed <= 2);
    cr_assert_eq(s.refused_frames, 0);
    UNTIL(atomic_load(&a->ups) >= 1);
    node_close(a);
    node_close(b);
}

/* The C library forgets to wake NNG's task threads while a node ends. */
Test(p2p, lost_wake_up, .timeout = 60)
{
    for (int round = 0; round < 6; round++) {
        int lose = 1 + round % 2;
        struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
        node_knows(b, a, false, POA_P2P_MESH);
        int ab = node_knows(a, b, true, POA_P2P_MESH);
        UNTIL(node_up(a, ab));
        atomic_store(&wake_lose, lose);
        node_stop(a);
        node_stop(b);
        cr_assert(atomic_exchange(&wake_lose, 0) < lose, "no signal was lost");
        node_close(a);
        node_close(b);
    }
}

Test(p2p, ipv6)
{
    struct node *a = node_open_on(1, "[::1]", NULL), *b = node_open_on(2, "[::1]", NULL);
    node_knows(b, a, false, POA_P2P_MESH);
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    cr_assert_eq(push_text(a, ab, 0, 7, "six"), POA_OK);
    UNTIL(node_count(b, 7) == 1);
    node_close(a);
    node_close(b);
}

Test(p2p, four_nodes_broadcast_in_order)
{
    enum { N = 4, EACH = 300 };
    struct node *n[N];
    int index[N][N];
    for (unsigned i = 0; i < N; i++)
        n[i] = node_open(i + 1, NULL);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (i != j)
                index[i][j] = node_knows(n[i], n[j], true, POA_P2P_MESH);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (i != j)
                UNTIL(node_up(n[i], index[i][j]));
    for (uint32_t k = 0; k < EACH; k++)
        for (int i = 0; i < N; i++)
            cr_assert_eq(poa_p2p_broadcast(n[i]->p, NULL, 1, 4, poa_slice(&k, sizeof k)), POA_OK);
    for (int i = 0; i < N; i++)
        UNTIL(node_count(n[i], 4) == (N - 1) * EACH);
    for (int i = 0; i < N; i++) {
        uint32_t next[POA_P2P_PEERS_MAX] = {0};
        for (size_t k = 0; k < node_total(n[i]); k++) {
            struct got g = node_at(n[i], k);
            uint32_t value;
            memcpy(&value, g.head, sizeof value);
            cr_assert_eq(value, next[g.peer]++, "pushes of one peer and priority keep their order");
        }
    }
    /* To some only. */
    uint8_t set[POA_P2P_SET_BYTES] = {0};
    set[index[0][2] / 8] |= (uint8_t)(1U << (index[0][2] % 8));
    cr_assert_eq(poa_p2p_broadcast(n[0]->p, set, 0, 5, poa_slice("x", 1)), POA_OK);
    UNTIL(node_count(n[2], 5) == 1);
    sleep_ms(50);
    cr_assert_eq(node_count(n[1], 5) + node_count(n[3], 5), 0);
    /* Several things in one frame, unless something else goes to the same node meanwhile. */
    bool together = false;
    for (uint16_t type = 6; type < 16 && !together; type++) {
        struct poa_p2p_stats before, after;
        cr_assert_eq(poa_p2p_stats(n[0]->p, index[0][2], &before), POA_OK);
        for (int i = 0; i < 5; i++)
            cr_assert_eq(poa_p2p_queue(n[0]->p, set, 1, type, poa_slice("x", 1)), POA_OK);
        sleep_ms(50);
        bool early = node_count(n[2], type) > 0;
        poa_p2p_kick(n[0]->p);
        UNTIL(node_count(n[2], type) == 5);
        UNTIL(poa_p2p_stats(n[0]->p, index[0][2], &after) == POA_OK &&
              after.messages_out >= before.messages_out + 5);
        together = !early && after.frames_out == before.frames_out + 1;
    }
    cr_assert(together, "not before the kick, and then in one frame");
    for (int i = 0; i < N; i++)
        node_close(n[i]);
}

/* A peer that comes back has forgotten the session: both sides find out and
 * shake hands again, whoever talks first. */
Test(p2p, restart)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    int ab = node_knows(a, b, true, POA_P2P_MESH), ba = node_knows(b, a, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab) && node_up(b, ba));
    for (int round = 0; round < 3; round++) {
        uint16_t type = (uint16_t)(100 + round);
        node_stop(b);
        UNTIL(!node_up(a, ab));
        UNTIL(atomic_load(&a->downs) > (unsigned)round);
        sleep_ms(300);
        node_reopen(b, NULL);
        ba = node_knows(b, a, true, POA_P2P_MESH);
        UNTIL(node_up(a, ab) && node_up(b, ba));
        cr_assert_eq(push_text(a, ab, 0, type, "again"), POA_OK);
        cr_assert_eq(push_text(b, ba, 0, type, "again"), POA_OK);
        struct answer r = {0};
        cr_assert_eq(poa_p2p_request(a->p, ab, 50, poa_slice("?", 1), 10000, on_answer, &r), 0);
        UNTIL(r.calls == 1);
        cr_assert_eq(r.error, POA_OK);
        UNTIL(node_count(a, type) == 1 && node_count(b, type) == 1);
    }
    cr_assert_geq(node_stats(a, ab).handshakes, 4);
    node_close(a);
    node_close(b);
}

/* What the list says changed: sessions end, and the dialer notices by itself. */
Test(p2p, removed_and_listed_again)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    int ba = node_knows(b, a, false, POA_P2P_MESH), ab = node_knows(a, b, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    for (uint16_t round = 0; round < 4; round++) {
        uint64_t handshakes = node_stats(a, ab).handshakes;
        cr_assert_eq(poa_p2p_peer_remove(b->p, ba), POA_OK);
        ba = node_knows(b, a, false, POA_P2P_MESH);
        UNTIL(node_stats(a, ab).handshakes > handshakes && node_up(a, ab));
        cr_assert_eq(push_text(a, ab, 0, (uint16_t)(70 + round), "here"), POA_OK);
        UNTIL(node_count(b, (uint16_t)(70 + round)) == 1);
    }
    node_close(a);
    node_close(b);
}

/* The session is gone, the connection is not: the next request finds out, and is
 * served all the same. */
Test(p2p, forgotten_session)
{
    struct poa_p2p_config one = {.strangers_max = 1};
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL), *server = node_open(3, &one);
    int as = node_knows(a, server, true, 0), bs;
    UNTIL(node_up(a, as) && node_stats(a, as).rtt_us > 0);
    bs = node_knows(b, server, true, 0);
    UNTIL(node_up(b, bs));
    for (int round = 0; round < 3; round++) {
        struct answer r[2] = {0};
        cr_assert_eq(poa_p2p_request(a->p, as, 50, poa_slice("a", 1), 10000, on_answer, &r[0]), 0);
        UNTIL(r[0].calls == 1);
        cr_assert_eq(r[0].error, POA_OK);
        cr_assert_eq(poa_p2p_request(b->p, bs, 50, poa_slice("b", 1), 10000, on_answer, &r[1]), 0);
        UNTIL(r[1].calls == 1);
        cr_assert_eq(r[1].error, POA_OK);
    }
    cr_assert(node_stats(a, as).handshakes + node_stats(b, bs).handshakes >= 6);
    node_close(a);
    node_close(b);
    node_close(server);
}

Test(p2p, strangers)
{
    struct node *server = node_open(1, NULL), *stranger = node_open(9, NULL);
    /* The stranger would push, but the server takes only requests from it. */
    int index = node_knows(stranger, server, true, POA_P2P_MESH);
    UNTIL(node_up(stranger, index));
    cr_assert_eq(push_text(stranger, index, 0, 7, "spam"), POA_OK);
    struct answer r = {0};
    cr_assert_eq(poa_p2p_request(stranger->p, index, 32, poa_slice("hi", 2), 10000, on_answer, &r),
                 POA_OK);
    UNTIL(r.calls == 1);
    cr_assert_eq(r.error, POA_OK);
    struct got g;
    cr_assert(node_find(server, 32, &g));
    cr_assert_eq(g.peer, POA_P2P_STRANGER);
    struct poa_p2p_totals t;
    poa_p2p_totals(server->p, &t);
    cr_assert_eq(t.strangers, 1);
    UNTIL(node_stats(stranger, index).dropped[0] == 1);
    cr_assert_eq(node_count(server, 7), 0);
    /* Put on the list at run time, it may push. */
    int known = node_knows(server, stranger, false, POA_P2P_MESH);
    for (int i = 0; i < 500 && node_count(server, 7) == 0; i++) {
        cr_assert_eq(push_text(stranger, index, 0, 7, "news"), POA_OK);
        sleep_ms(20);
    }
    cr_assert(node_find(server, 7, &g));
    cr_assert_eq(g.peer, known);
    node_close(stranger);
    node_close(server);
}

Test(p2p, stranger_rate)
{
    struct poa_p2p_config slow = {.stranger_requests_per_s = 5};
    struct node *server = node_open(1, &slow), *stranger = node_open(9, NULL);
    int index = node_knows(stranger, server, true, 0);
    static struct answer r[40];
    UNTIL(node_up(stranger, index));
    for (int i = 0; i < 40; i++)
        cr_assert_eq(
            poa_p2p_request(stranger->p, index, 32, poa_slice("hi", 2), 10000, on_answer, &r[i]),
            POA_OK);
    int served = 0;
    for (int i = 0; i < 40; i++) {
        UNTIL(r[i].calls == 1);
        served += r[i].error == POA_OK;
    }
    cr_assert(served >= 1 && served < 40, "%d", served);
    node_close(stranger);
    node_close(server);
}

static bool never_up(const struct poa_p2p_config *server_config,
                     const struct poa_p2p_config *client_config, int *error)
{
    struct node *server = node_open(1, server_config), *client = node_open(9, client_config);
    int index = node_knows(client, server, true, POA_P2P_MESH);
    UNTIL(node_stats(client, index).handshakes_failed >= 2);
    struct answer r = {0};
    cr_assert_eq(poa_p2p_request(client->p, index, 32, poa_slice("hi", 2), 100, on_answer, &r), 0);
    UNTIL(r.calls == 1);
    cr_assert_eq(r.error, POA_E_TIMEOUT);
    *error = node_stats(client, index).last_error;
    bool never = !node_up(client, index) && node_count(server, 32) == 0;
    node_close(client);
    node_close(server);
    return never;
}

Test(p2p, closed_to_strangers)
{
    int error;
    cr_assert(never_up(&(struct poa_p2p_config){.no_strangers = true}, NULL, &error));
}

Test(p2p, another_chain)
{
    int error;
    cr_assert(never_up(NULL, &(struct poa_p2p_config){.chain32 = chain_b}, &error));
}

/* It moves to where nobody answers: whoever was told that the link works is told that it
 * does not, although that was another one. */
Test(p2p, a_new_address_that_is_dead)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL), *c = node_open(3, NULL);
    node_knows(b, a, false, POA_P2P_MESH);
    int ab = node_knows(a, b, true, POA_P2P_MESH), index = -1;
    UNTIL(atomic_load(&a->ups) >= 1 && node_up(a, ab));
    UNTIL(atomic_load(&a->ups) == atomic_load(&a->downs) + 1);
    unsigned downs = atomic_load(&a->downs);
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, c->address, c->push_address, POA_P2P_MESH, &index),
                 POA_OK);
    cr_assert_eq(index, ab);
    UNTIL(atomic_load(&a->downs) > downs);
    cr_assert(!node_up(a, index));
    node_close(a);
    node_close(b);
    node_close(c);
}

/* The address is right but somebody else answers there. */
Test(p2p, wrong_key)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL), *c = node_open(3, NULL);
    int index;
    cr_assert_eq(poa_p2p_peer_set(a->p, c->key, b->address, b->push_address, POA_P2P_MESH, &index),
                 POA_OK);
    UNTIL(node_stats(a, index).handshakes_failed >= 1);
    cr_assert(!node_up(a, index));
    node_close(a);
    node_close(b);
    node_close(c);
}

/* --- requests -------------------------------------------------------------- */

/* B knows A before A calls: making a stranger known ends the session that it
 * had as a stranger, with whatever was asked in it. */
Test(p2p, answers_in_any_order)
{
    enum { N = 30 };
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    node_knows(b, a, false, 0);
    int ab = node_knows(a, b, true, 0);
    static struct answer r[N];
    b->echo = false;
    UNTIL(node_up(a, ab));
    for (uint8_t i = 0; i < N; i++)
        cr_assert_eq(poa_p2p_request(a->p, ab, 32, poa_slice(&i, 1), 15000, on_answer, &r[i]), 0);
    UNTIL(node_count(b, 32) == N);
    struct poa_p2p_totals t;
    poa_p2p_totals(b->p, &t);
    cr_assert_eq(t.waiting, N);
    for (size_t i = N; i-- > 0;) {
        struct got g = node_at(b, i);
        int rc = i == 3 ? poa_p2p_refuse(b->p, g.token, POA_E_NOT_FOUND)
                        : poa_p2p_answer(b->p, g.token, 33, poa_slice(g.head, 1));
        cr_assert_eq(rc, POA_OK);
        cr_assert_eq(poa_p2p_answer(b->p, g.token, 33, poa_slice(g.head, 1)), POA_E_NOT_FOUND,
                     "once only");
    }
    int refused = 0;
    for (uint8_t i = 0; i < N; i++) {
        UNTIL(r[i].calls == 1);
        if (r[i].error == POA_E_NOT_FOUND)
            refused++;
        else
            cr_assert(r[i].error == POA_OK && r[i].head[0] == i);
    }
    cr_assert_eq(refused, 1);
    cr_assert_eq(poa_p2p_refuse(b->p, 12345, POA_E_INVALID), POA_E_NOT_FOUND);
    node_close(a);
    node_close(b);
}

/* However many wait for an answer, the mesh itself goes on. */
Test(p2p, waiting_is_bounded)
{
    struct poa_p2p_config few = {.waiting_max = 8};
    struct node *a = node_open(1, NULL), *b = node_open(2, &few);
    node_knows(b, a, false, 0);
    int ab = node_knows(a, b, true, 0);
    static struct answer r[20];
    b->echo = false;
    UNTIL(node_up(a, ab));
    for (int i = 0; i < 20; i++)
        cr_assert_eq(poa_p2p_request(a->p, ab, 32, poa_slice("?", 1), 15000, on_answer, &r[i]), 0);
    int full = 0, done = 0;
    UNTIL(({
        done = 0;
        for (int i = 0; i < 20; i++)
            done += r[i].calls;
        done >= 16 && node_count(b, 32) == 4;
    }));
    for (int i = 0; i < 20; i++)
        full += r[i].calls == 1 && r[i].error == POA_E_FULL;
    cr_assert_eq(full, 16, "one peer may hold half of the places");
    uint64_t frames = node_stats(b, 0).frames_in;
    UNTIL(node_stats(b, 0).frames_in > frames); /* pings */
    cr_assert(node_up(a, ab));
    node_close(a); /* with 4 under way */
    UNTIL(({
        struct poa_p2p_totals t;
        poa_p2p_totals(b->p, &t);
        t.waiting == 0;
    }));
    for (int i = 0; i < 20; i++)
        cr_assert_eq(r[i].calls, 1);
    struct got g = node_at(b, 0);
    cr_assert_eq(poa_p2p_answer(b->p, g.token, 33, poa_slice("late", 4)), POA_E_NOT_FOUND);
    node_close(b);
}

Test(p2p, request_timeout_and_loss)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    node_knows(b, a, false, 0);
    int ab = node_knows(a, b, true, 0);
    struct answer r = {0}, lost = {0}, waiting = {0};
    b->echo = false;
    UNTIL(node_up(a, ab));
    cr_assert_eq(poa_p2p_request(a->p, ab, 32, poa_slice("?", 1), 100, on_answer, &r), POA_OK);
    UNTIL(r.calls == 1);
    cr_assert_eq(r.error, POA_E_TIMEOUT);
    cr_assert_eq(poa_p2p_request(a->p, ab, 34, poa_slice("?", 1), 15000, on_answer, &lost), 0);
    UNTIL(node_count(b, 34) == 1);
    node_stop(b);
    UNTIL(lost.calls == 1);
    cr_assert_eq(lost.error, POA_E_CLOSED, "nobody knows whether it was served");
    /* Asked while the peer is away: served when it is back. */
    UNTIL(!node_up(a, ab));
    cr_assert_eq(poa_p2p_request(a->p, ab, 36, poa_slice("?", 1), 15000, on_answer, &waiting), 0);
    b->echo = true;
    node_reopen(b, NULL);
    UNTIL(waiting.calls == 1);
    cr_assert_eq(waiting.error, POA_OK);
    node_close(a);
    node_close(b);
}

Test(p2p, close_ends_requests)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    node_knows(b, a, false, 0);
    int ab = node_knows(a, b, true, 0);
    static struct answer r[20];
    b->echo = false;
    UNTIL(node_up(a, ab));
    for (int i = 0; i < 20; i++)
        cr_assert_eq(poa_p2p_request(a->p, ab, 32, poa_slice("?", 1), 60000, on_answer, &r[i]), 0);
    node_close(a);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(r[i].calls, 1);
        cr_assert_eq(r[i].error, POA_E_CLOSED);
    }
    node_close(b);
}

Test(p2p, refused_calls)
{
    struct poa_p2p_config small = {.message_max_bytes = 1000};
    struct node *a = node_open(1, &small), *b = node_open(2, NULL);
    int ba = node_knows(b, a, false, POA_P2P_MESH), ab = node_knows(a, b, true, 0), index;
    static uint8_t big[2000];
    struct answer r = {0};
    cr_assert_eq(push_text(a, ab, 0, 1, "x"), POA_E_INVALID, "not a mesh peer");
    cr_assert_eq(push_text(b, ba, 0, 1, "x"), POA_E_INVALID, "no address");
    cr_assert_eq(push_text(a, 17, 0, 1, "x"), POA_E_NOT_FOUND);
    cr_assert_eq(push_text(a, -1, 0, 1, "x"), POA_E_NOT_FOUND);
    cr_assert_eq(push_text(a, ab, POA_P2P_PRIORITIES, 1, "x"), POA_E_INVALID);
    cr_assert_eq(push_text(a, ab, 0, POA_P2P_TYPE_RESERVED, "x"), POA_E_INVALID);
    cr_assert_eq(poa_p2p_push(a->p, ab, 0, 1, poa_slice(big, 1001)), POA_E_TOO_LONG);
    cr_assert_eq(poa_p2p_request(b->p, ba, 1, poa_slice("x", 1), 10, on_answer, &r), POA_E_INVALID);
    cr_assert_eq(poa_p2p_request(a->p, ab, 1, poa_slice(big, 1001), 10, on_answer, &r),
                 POA_E_TOO_LONG);
    cr_assert_eq(poa_p2p_peer_set(a->p, a->key, NULL, NULL, 0, &index), POA_E_INVALID);
    cr_assert_eq(poa_p2p_peer_remove(a->p, 99), POA_E_NOT_FOUND);
    cr_assert_eq(poa_p2p_peer_find(a->p, b->key, &index), POA_OK);
    cr_assert_eq(index, ab);
    uint8_t bad_key[32] = {2};
    cr_assert_eq(poa_p2p_peer_set(a->p, bad_key, NULL, NULL, 0, &index), POA_E_KEY);
    static const char *const bad[] = {
        "",         "host",        "host:",       ":1",    "host:x",     "host:65536",
        "host:1:2", "[::1]",       "[::1:5",      "::1:5", "ho st:1",    "tcp://h:1",
        "h:65535",  "user@host:1", "host/path:1", "[]:1",  "host:000001"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(poa_p2p_peer_set(a->p, b->key, bad[i], NULL, 0, &index), POA_E_CONFIG, "%s",
                     bad[i]);
    }
    cr_assert_eq(r.calls, 0);
    struct poa_p2p_config c = {.seed32 = a->seed,
                               .chain32 = chain_a,
                               .listen = b->address,
                               .listen_push = b->push_address,
                               .on_message = NULL};
    struct poa_p2p *p;
    cr_assert_eq(poa_p2p_open(&p, &c), POA_E_INVALID);
    node_close(a);
    node_close(b);
}

static void ignore(void *ctx, const struct poa_p2p_message *m)
{
    (void)ctx;
    (void)m;
}

Test(p2p, address_in_use)
{
    struct node *a = node_open(1, NULL);
    struct poa_p2p_config c = {.seed32 = a->seed,
                               .chain32 = chain_a,
                               .listen = a->address,
                               .listen_push = "127.0.0.1:0",
                               .on_message = ignore};
    struct poa_p2p *p;
    cr_assert_eq(poa_p2p_open(&p, &c), POA_E_LOCKED);
    c.listen = "nonsense";
    cr_assert_eq(poa_p2p_open(&p, &c), POA_E_CONFIG);
    node_close(a);
}

/* --- queues ---------------------------------------------------------------- */

static uint64_t dropped(struct node *n, int index)
{
    struct poa_p2p_stats s = node_stats(n, index);
    return s.dropped[0] + s.dropped[1] + s.dropped[2] + s.dropped[3];
}

/* False: the machine stood still until some were stale. */
static bool urgent_first(void)
{
    struct poa_p2p_config c = {.queue_max_bytes = {0, 0, 1060, 0}};
    struct node *a = node_open(1, &c), *b = node_open(2, NULL);
    node_stop(b);
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    uint8_t bytes[100] = {0};
    uint64_t begun = poa_clock_monotonic_ms(poa_clock_system());
    for (uint8_t i = 0; i < 20; i++) {
        bytes[0] = i;
        cr_assert_eq(poa_p2p_push(a->p, ab, 2, 4, poa_slice(bytes, sizeof bytes)), POA_OK);
    }
    cr_assert_eq(push_text(a, ab, 1, 3, "proposal"), POA_OK);
    cr_assert_eq(push_text(a, ab, 0, 1, "vote"), POA_OK);
    cr_assert_eq(poa_p2p_push(a->p, ab, 2, 4, poa_slice(c.queue_max_bytes, 0)), POA_OK);
    struct poa_p2p_stats s = node_stats(a, ab);
    bool late = poa_clock_monotonic_ms(poa_clock_system()) - begun >= POA_P2P_STALE_MS;
    cr_assert(late || s.dropped[2] == 11, "%lu", (unsigned long)s.dropped[2]);
    cr_assert(s.queued_bytes <= 1060 + 100);
    node_reopen(b, NULL);
    node_knows(b, a, false, POA_P2P_MESH);
    UNTIL(node_count(b, 4) == 10 || dropped(a, ab) > 11);
    late = dropped(a, ab) > 11;
    if (!late) {
        cr_assert_eq(node_at(b, 0).type, 1);
        cr_assert_eq(node_at(b, 1).type, 3);
        for (size_t i = 0; i < 9; i++)
            cr_assert_eq(node_at(b, 2 + i).head[0], 11 + i);
        cr_assert_eq(node_at(b, 11).n, 0);
        UNTIL(node_stats(a, ab).queued_bytes == 0);
    }
    cr_assert_eq(poa_p2p_push(a->p, ab, 2, 4, poa_slice(a->got, 1055)), POA_E_TOO_LONG);
    node_close(a);
    node_close(b);
    return !late;
}

Test(p2p, urgent_first_oldest_dropped)
{
    bool in_time = false;
    for (int i = 0; i < 10 && !in_time; i++)
        in_time = urgent_first();
    cr_assert(in_time);
}

Test(p2p, stale_pushes_are_not_sent)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    node_stop(b);
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    cr_assert_eq(push_text(a, ab, 0, 1, "old"), POA_OK);
    UNTIL(node_stats(a, ab).dropped[0] == 1);
    cr_assert_eq(node_stats(a, ab).queued_bytes, 0);
    node_close(a);
    node_close(b);
}

Test(p2p, large)
{
    size_t n = (size_t)8 << 20;
    uint8_t *big = calloc(1, n);
    struct poa_p2p_config c = {.queue_max_bytes = {0, 0, (size_t)64 << 20, 0},
                               .request_max_bytes = (size_t)8 << 20};
    struct node *a = node_open(1, &c), *b = node_open(2, &c);
    node_knows(b, a, false, POA_P2P_MESH);
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    memcpy(big, "big", 3);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(poa_p2p_push(a->p, ab, 2, 4, poa_slice(big, n)), POA_OK);
        cr_assert_eq(push_text(a, ab, 0, 1, "vote"), POA_OK);
    }
    struct answer r = {0};
    cr_assert_eq(poa_p2p_request(a->p, ab, 34, poa_slice(big, n), 15000, on_answer, &r), POA_OK);
    UNTIL(node_count(b, 4) == 4 && node_count(b, 1) == 4 && r.calls == 1);
    cr_assert_eq(r.error, POA_OK);
    cr_assert_eq(r.n, n);
    cr_assert_arr_eq(r.head, "big", 3);
    struct got g;
    cr_assert(node_find(b, 4, &g));
    cr_assert_eq(g.n, n);
    free(big);
    node_close(a);
    node_close(b);
}

/* Several small pushes share a message when they come faster than NNG sends. */
Test(p2p, packing)
{
    enum { N = 10000 };
    struct poa_p2p_config c = {.queue_max_bytes = {4 << 20, 0, 0, 0}};
    struct node *a = node_open(1, &c), *b = node_open(2, NULL);
    node_knows(b, a, false, POA_P2P_MESH);
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    uint8_t vote[200] = {1};
    for (int i = 0; i < N; i++)
        cr_assert_eq(poa_p2p_push(a->p, ab, 0, 1, poa_slice(vote, sizeof vote)), POA_OK);
    UNTIL(node_count(b, 1) == N);
    struct poa_p2p_stats s = node_stats(a, ab);
    cr_assert(s.frames_out < s.messages_out, "%lu frames, %lu messages",
              (unsigned long)s.frames_out, (unsigned long)s.messages_out);
    cr_assert_eq(s.dropped[0], 0);
    node_close(a);
    node_close(b);
}

Test(p2p, ban)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    int ba = node_knows(b, a, false, POA_P2P_MESH), ab = node_knows(a, b, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    poa_p2p_ban(b->p, ba, "test", 4000);
    cr_assert(node_stats(b, ba).banned);
    (void)!push_text(a, ab, 0, 7, "hello?");
    UNTIL(!node_up(a, ab));
    UNTIL(node_stats(a, ab).last_error == POA_E_PEER_UNKNOWN);
    cr_assert_eq(node_count(b, 7), 0);
    UNTIL(node_up(a, ab)); /* over */
    cr_assert(!node_stats(b, ba).banned);
    cr_assert_eq(push_text(a, ab, 0, 8, "hello"), POA_OK);
    UNTIL(node_count(b, 8) == 1);
    node_close(a);
    node_close(b);
}

/* New sessions while pushes and requests are under way: nothing is lost. */
Test(p2p, renewal)
{
    struct poa_p2p_config often = {.session_renew_ms = 50};
    struct node *a = node_open(1, &often), *b = node_open(2, NULL);
    int ba = node_knows(b, a, false, POA_P2P_MESH), ab = node_knows(a, b, true, POA_P2P_MESH);
    static struct answer r[400];
    uint32_t sent = 0;
    int asked = 0;
    UNTIL(node_up(a, ab) && node_stats(b, ba).inbound);
    unsigned downs = atomic_load(&a->downs); /* it may have begun as a stranger */
    while (node_stats(a, ab).handshakes < 8 && sent < 4000) {
        cr_assert_eq(poa_p2p_push(a->p, ab, 1, 4, poa_slice(&sent, sizeof sent)), POA_OK);
        sent++;
        if (sent % 10 == 0 && asked < 400) {
            cr_assert_eq(
                poa_p2p_request(a->p, ab, 50, poa_slice("?", 1), 10000, on_answer, &r[asked]),
                POA_OK);
            asked++;
        }
        sleep_ms(1);
    }
    cr_assert_geq(node_stats(a, ab).handshakes, 8);
    for (int i = 0; i < asked; i++) {
        UNTIL(r[i].calls == 1);
        cr_assert_eq(r[i].error, POA_OK, "%s", poa_error_name(r[i].error));
    }
    UNTIL(node_count(b, 4) == sent);
    uint32_t next = 0;
    for (size_t i = 0; i < node_total(b); i++) {
        struct got g = node_at(b, i);
        uint32_t value;
        memcpy(&value, g.head, sizeof value);
        if (g.type == 4)
            cr_assert_eq(value, next++);
    }
    cr_assert_eq(atomic_load(&a->downs), downs);
    cr_assert_eq(node_stats(b, ba).refused_frames, 0);
    node_close(a);
    node_close(b);
}

/* Callers from several threads, peers that come and go. */
struct worker {
    struct node *n;
    _Atomic bool *stop;
    _Atomic int answers;
    int sent;
};

static void count_answer(void *ctx, int error, uint16_t type, struct poa_slice bytes)
{
    (void)error;
    (void)type;
    (void)bytes;
    atomic_fetch_add(&((struct worker *)ctx)->answers, 1);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(w->stop)) {
        for (int i = 0; i < 4; i++) {
            (void)!push_text(w->n, i, (unsigned)i, 4, "payload");
            w->sent +=
                poa_p2p_request(w->n->p, i, 32, poa_slice("?", 1), 300, count_answer, w) == POA_OK;
        }
        (void)!poa_p2p_broadcast(w->n->p, NULL, 1, 5, poa_slice("all", 3));
        sleep_ms(1);
    }
    return NULL;
}

void __lsan_do_leak_check(void) __attribute__((weak));

Test(p2p, churn)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL), *c = node_open(3, NULL);
    _Atomic bool stop = false;
    struct worker w[2] = {{.n = a, .stop = &stop}, {.n = a, .stop = &stop}};
    pthread_t t[2];
    node_knows(a, b, true, POA_P2P_MESH);
    node_knows(b, a, true, POA_P2P_MESH);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, work, &w[i]), 0);
    for (int round = 0; round < 15; round++) {
        int ac = node_knows(a, c, true, POA_P2P_MESH), ca = node_knows(c, a, true, POA_P2P_MESH);
        sleep_ms((unsigned)round * 10);
        cr_assert_eq(poa_p2p_peer_remove(a->p, ac), POA_OK);
        sleep_ms(10);
        cr_assert_eq(poa_p2p_peer_remove(c->p, ca), POA_OK);
        if (round % 5 == 4) {
            node_stop(b);
            sleep_ms(20);
            node_reopen(b, NULL);
            node_knows(b, a, true, POA_P2P_MESH);
        }
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    UNTIL(w[0].answers + w[1].answers == w[0].sent + w[1].sent);
    node_close(a);
    node_close(b);
    node_close(c);
    /* NNG 1.5.2 loses a few kilobytes when a dialer is closed in the moment that
     * its connection is agreed on: no leak check after this one. */
    if (__lsan_do_leak_check != NULL)
        _exit(0);
}

/* Connections that come to LISTENER within MS; each is closed at once. */
static unsigned calls(int listener, unsigned ms)
{
    unsigned n = 0;
    struct pollfd f = {.fd = listener, .events = POLLIN};
    uint64_t until = poa_clock_monotonic_ms(poa_clock_system()) + ms, now;
    while ((now = poa_clock_monotonic_ms(poa_clock_system())) < until) {
        if (poll(&f, 1, (int)(until - now)) <= 0)
            continue;
        int fd = accept4(listener, NULL, NULL, 0);
        n += fd >= 0;
        if (fd >= 0)
            close(fd);
    }
    return n;
}

/* Who is away is called often at first, and seldom later. */
Test(p2p, back_off)
{
    uint16_t port;
    int listener = raw_listen(&port), index;
    struct node *a = node_open(1, NULL);
    uint8_t key[32];
    static const uint8_t seed[32] = {77};
    char address[32];
    poa_ed25519_public(seed, key);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    cr_assert_eq(poa_p2p_peer_set(a->p, key, address, NULL, 0, &index), POA_OK);
    unsigned first = calls(listener, 3000);
    (void)calls(listener, 10000);
    unsigned later = calls(listener, 3000);
    cr_assert_geq(first, 6, "%u", first);
    cr_assert_leq(later, first / 2, "%u calls at first, %u later", first, later);
    close(listener);
    node_close(a);
}
