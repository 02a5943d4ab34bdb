/* Scores, bans with their reasons, and who is told about them. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "harness.h"

static bool find(struct node *n, enum poa_p2p_contact_kind kind, const char *address,
                 const uint8_t *key32, struct poa_p2p_contact *out)
{
    static struct poa_p2p_contact all[600];
    size_t count = poa_p2p_contacts(n->p, all, 600);
    for (size_t i = 0; i < count; i++)
        if (all[i].kind == kind && (address == NULL || strcmp(all[i].address, address) == 0) &&
            (key32 == NULL || memcmp(all[i].key, key32, 32) == 0)) {
            *out = all[i];
            return true;
        }
    return false;
}

static bool address_banned(struct node *n, const char *address)
{
    struct poa_p2p_contact c;
    return find(n, POA_P2P_ADDRESS, address, NULL, &c) && c.banned;
}

/* One message that is none, from SOURCE. */
static void garbage_from(struct node *n, const char *source)
{
    int fd = raw_connect_from(poa_p2p_port(n->p), source);
    const uint8_t junk[] = {0, 0, 0, 0, 0, 0, 0, 8, 0x80, 0, 0, 1, 9, 9, 9, 9};
    if (fd < 0)
        return;
    raw_preamble(fd, 0x30);
    raw_send(fd, junk, sizeof junk);
    (void)raw_closed(fd);
    close(fd);
}

/* Five are enough, but for the points that fade between them. */
static void banned_for_garbage(struct node *n, const char *source)
{
    for (int i = 0; i < 50 && !address_banned(n, source); i++)
        garbage_from(n, source);
}

Test(standing, address_that_sends_garbage)
{
    struct node *n = node_open(1, &(struct poa_p2p_config){.ban_ms = 4000});
    struct poa_p2p_contact c;
    for (int i = 0; i < 4; i++)
        garbage_from(n, "127.0.0.3");
    cr_assert(find(n, POA_P2P_ADDRESS, "127.0.0.3", NULL, &c));
    cr_assert(!c.banned && c.score > 600 && c.score <= 800, "%u", c.score);
    banned_for_garbage(n, "127.0.0.3");
    cr_assert(find(n, POA_P2P_ADDRESS, "127.0.0.3", NULL, &c));
    cr_assert(c.banned && c.bans == 1 && c.ban_ms > 0 && c.ban_ms <= 4000);
    cr_assert_str_eq(c.reason, "bytes that are no message");
    int fd = raw_connect_from(poa_p2p_port(n->p), "127.0.0.3");
    cr_assert(fd >= 0);
    raw_preamble(fd, 0x30);
    cr_assert(raw_closed(fd)); /* refused */
    close(fd);
    cr_assert(!address_banned(n, "127.0.0.4"));
    UNTIL(!address_banned(n, "127.0.0.3")); /* it ends by itself */
    banned_for_garbage(n, "127.0.0.3");
    cr_assert(find(n, POA_P2P_ADDRESS, "127.0.0.3", NULL, &c));
    cr_assert(c.banned && c.bans == 2 && c.ban_ms > 4000, "the second is longer");
    node_close(n);
}

/* Where a node on the list lives, strangers are closed, and not banned. */
Test(standing, address_of_a_listed_node)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    node_knows(b, a, true, POA_P2P_MESH);
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    for (int i = 0; i < 20; i++)
        garbage_from(b, "127.0.0.1");
    cr_assert(!address_banned(b, "127.0.0.1"));
    cr_assert_eq(push_text(a, ab, 0, 7, "still here"), POA_OK);
    UNTIL(node_count(b, 7) == 1);
    node_close(a);
    node_close(b);
}

/* An address that others told protects nobody; the node there stays a peer. */
Test(standing, address_of_a_node_that_was_found)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    int ba = node_knows(b, a, true, POA_P2P_HEARSAY);
    UNTIL(node_up(b, ba));
    for (int i = 0; i < 20; i++)
        garbage_from(b, "127.0.0.1");
    cr_assert(address_banned(b, "127.0.0.1"));
    cr_assert(node_up(b, ba) && !node_stats(b, ba).banned);
    node_close(a);
    node_close(b);
}

/* A stranger that is heard of keeps its session, and is one entry of the list. */
Test(standing, stranger_that_becomes_a_peer)
{
    struct node *server = node_open(1, NULL), *one = node_open(9, NULL);
    struct poa_p2p_contact c;
    int os = node_knows(one, server, true, 0), so;
    UNTIL(node_up(one, os) && find(server, POA_P2P_UNLISTED, NULL, one->key, &c) && c.inbound);
    so = node_knows(server, one, true, POA_P2P_HEARSAY);
    UNTIL(node_up(server, so));
    cr_assert(find(server, POA_P2P_LISTED, NULL, one->key, &c) && c.inbound && c.bytes_in > 0);
    cr_assert(!find(server, POA_P2P_UNLISTED, NULL, one->key, &c));
    cr_assert(node_stats(server, so).inbound);
    cr_assert_eq(node_stats(one, os).handshakes, 1);
    cr_assert_eq(atomic_load(&one->downs), 0);
    poa_p2p_ban(server->p, so, "test", 10000); /* both of its sides end */
    UNTIL(!node_up(one, os) && !node_up(server, so));
    node_close(one);
    node_close(server);
}

/* The owner blames a stranger: the key is shut out, and comes back later. */
Test(standing, stranger)
{
    struct node *server = node_open(1, &(struct poa_p2p_config){.ban_ms = 3000});
    struct node *stranger = node_open(9, NULL);
    struct poa_p2p_contact c;
    int index = node_knows(stranger, server, true, 0);
    UNTIL(node_up(stranger, index));
    UNTIL(find(server, POA_P2P_UNLISTED, NULL, stranger->key, &c) && c.inbound && c.bytes_in > 0);
    cr_assert_str_eq(c.address, "127.0.0.1");
    poa_p2p_blame(server->p, stranger->key, POA_P2P_FAULT_STALLED);
    cr_assert(find(server, POA_P2P_UNLISTED, NULL, stranger->key, &c));
    cr_assert(c.score > 150 && c.score <= 250 && !c.banned, "%u",
              c.score); /* ten fade in a second */
    poa_p2p_blame(server->p, stranger->key, POA_P2P_FAULT_FORGED);
    cr_assert(find(server, POA_P2P_UNLISTED, NULL, stranger->key, &c) && c.banned);
    cr_assert_str_eq(c.reason, "a chain that is forged");
    UNTIL(!node_up(stranger, index));
    UNTIL(node_up(stranger, index));
    node_close(stranger);
    node_close(server);
}

/* A session that is kept for its dialer's return is no connection. */
Test(standing, who_is_gone_is_not_connected)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL), *stranger = node_open(9, NULL);
    struct poa_p2p_contact c;
    int ab = node_knows(a, b, true, POA_P2P_MESH), sb = node_knows(stranger, b, true, 0);
    (void)node_knows(b, a, true, POA_P2P_MESH);
    UNTIL(find(b, POA_P2P_LISTED, NULL, a->key, &c) && c.inbound && c.outbound && c.rtt_us > 0);
    UNTIL(find(b, POA_P2P_UNLISTED, NULL, stranger->key, &c) && c.inbound);
    cr_assert(node_up(a, ab) && node_up(stranger, sb));
    node_stop(a);
    node_stop(stranger);
    UNTIL(find(b, POA_P2P_LISTED, NULL, a->key, &c) && !c.inbound && !c.outbound);
    cr_assert_eq(c.rtt_us, 0);
    UNTIL(!find(b, POA_P2P_UNLISTED, NULL, stranger->key, &c));
    node_close(stranger);
    node_close(a);
    node_close(b);
}

/* What `poa peers` says of a peer that is not reached. */
static void troubled(struct node *n, const struct node *who, const char *word)
{
    struct poa_p2p_contact c;
    UNTIL(find(n, POA_P2P_LISTED, NULL, who->key, &c) && strstr(c.trouble, word) != NULL);
    cr_assert(!c.outbound && c.connected_ms == 0);
}

Test(standing, why_a_peer_is_not_reached)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL), *x = node_open(3, NULL);
    struct node *elsewhere = node_open(4, &(struct poa_p2p_config){.chain32 = chain_b});
    char dead[64];
    uint16_t port;
    int silent = raw_listen(&port), index;
    snprintf(dead, sizeof dead, "127.0.0.1:%u", port);
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, dead, dead, 0, &index), POA_OK);
    troubled(a, b, "says nothing");
    close(silent);
    UNTIL(raw_connect(port) < 0);
    cr_assert_eq(poa_p2p_peer_remove(a->p, index), POA_OK);
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, dead, dead, 0, &index), POA_OK);
    troubled(a, b, "refused");
    cr_assert_eq(poa_p2p_peer_set(a->p, b->key, b->push_address, dead, 0, &index), POA_OK);
    troubled(a, b, "port for pushes");
    cr_assert_eq(poa_p2p_peer_set(a->p, x->key, b->address, NULL, 0, &index), POA_OK);
    troubled(a, x, "another key");
    (void)node_knows(a, elsewhere, true, 0);
    troubled(a, elsewhere, "another chain");
    int at = node_knows(a, b, true, 0);
    struct poa_p2p_contact c;
    UNTIL(node_up(a, at) && find(a, POA_P2P_LISTED, NULL, b->key, &c) && c.heard_ms < 10000);
    cr_assert(c.trouble[0] == 0 && c.connected_ms > 0);
    node_close(a);
    node_close(b);
    node_close(x);
    node_close(elsewhere);
}

/* Two nodes with one key: their peer says so. */
Test(standing, two_nodes_with_one_key)
{
    struct poa_p2p_config often = {.session_renew_ms = 300};
    struct node *b = node_open(2, NULL), *one = node_open(1, &often), *two = node_open(1, &often);
    struct poa_p2p_contact c;
    (void)node_knows(b, one, false, POA_P2P_MESH);
    (void)node_knows(one, b, true, POA_P2P_MESH);
    UNTIL(node_stats(one, 0).handshakes > 8);
    cr_assert(find(b, POA_P2P_LISTED, NULL, one->key, &c) && c.trouble[0] == 0, "%s", c.trouble);
    (void)node_knows(two, b, true, POA_P2P_MESH);
    UNTIL(find(b, POA_P2P_LISTED, NULL, one->key, &c) && strstr(c.trouble, "two nodes") != NULL);
    node_close(one);
    node_close(two);
    node_close(b);
}

Test(standing, pushes_over_the_rate)
{
    struct node *a = node_open(1, NULL);
    struct node *b = node_open(2, &(struct poa_p2p_config){.pushes_per_s = 50});
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    int ba = node_knows(b, a, false, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    for (int i = 0; i < 1000 && !node_stats(b, ba).banned; i++) {
        for (int k = 0; k < 4; k++)
            (void)!push_text(a, ab, 0, 7, "me");
        sleep_ms(1);
    }
    struct poa_p2p_contact c;
    UNTIL(node_stats(b, ba).banned);
    cr_assert(find(b, POA_P2P_LISTED, NULL, a->key, &c));
    cr_assert_str_eq(c.reason, "more than its rate");
    cr_assert_lt(node_count(b, 7), 1000);
    struct poa_p2p_totals t;
    poa_p2p_totals(b->p, &t);
    cr_assert(t.pushes_refused > 0 && t.bans == 1);
    node_close(a);
    node_close(b);
}

/* A new address for a node on the list does not wash it clean. */
Test(standing, survives_a_new_address)
{
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    int ba = node_knows(b, a, false, POA_P2P_MESH), again;
    poa_p2p_blame(b->p, a->key, POA_P2P_FAULT_MALFORMED);
    cr_assert(node_stats(b, ba).banned);
    cr_assert_eq(poa_p2p_peer_set(b->p, a->key, a->address, a->push_address, 0, &again), POA_OK);
    cr_assert(node_stats(b, again).banned);
    node_close(a);
    node_close(b);
}

/* More culprits than are remembered: the banned ones stay. */
Test(standing, memory_is_bounded)
{
    struct node *n = node_open(1, NULL);
    uint8_t bad[32] = {1}, key[32] = {2};
    struct poa_p2p_contact c;
    poa_p2p_blame(n->p, bad, POA_P2P_FAULT_FORGED);
    for (unsigned i = 0; i < 2000; i++) {
        memcpy(key + 4, &i, sizeof i);
        poa_p2p_blame(n->p, key, POA_P2P_FAULT_SESSION);
    }
    cr_assert(find(n, POA_P2P_UNLISTED, NULL, bad, &c) && c.banned);
    node_close(n);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 20000; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

/* Connections that do not even send the preamble: NNG would keep every one of
 * them for ten seconds, and the process would run out of descriptors. */
Test(standing, connections_without_a_word)
{
    enum { N = 1500 };
    struct node *a = node_open(1, NULL), *b = node_open(2, NULL);
    node_knows(b, a, false, POA_P2P_MESH);
    static int fd[N];
    unsigned before = open_descriptors(), most = 0;
    for (int i = 0; i < N; i++) {
        fd[i] = raw_connect_from(i % 2 ? poa_p2p_port(b->p) : poa_p2p_push_port(b->p), "127.0.0.9");
        cr_assert(fd[i] >= 0);
    }
    UNTIL(address_banned(b, "127.0.0.9"));
    sleep_ms(300);
    most = open_descriptors() - before;
    cr_assert(most < N + 300, "%u descriptors are open, %u of them by the clients", most, N);
    int ab = node_knows(a, b, true, POA_P2P_MESH);
    UNTIL(node_up(a, ab));
    for (int i = 0; i < N; i++)
        close(fd[i]);
    node_close(a);
    node_close(b);
}
