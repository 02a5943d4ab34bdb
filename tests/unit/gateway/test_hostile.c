/* Peers that are hostile, broken, too many, or not who they say. */
#include "edge_node.h"

static struct fake f;
static struct client a, b;

#define DEVICE_A 100 /* the world's device */
#define DEVICE_B 101

TestSuite(hostile, .timeout = 120);

/* The gateway closed FD within the test's patience. */
static bool closed_by_gateway(int fd)
{
    uint8_t byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, PATIENCE_MS) > 0) {
        ssize_t n = recv(fd, &byte, 1, 0);
        if (n <= 0)
            return true;
    }
    return false;
}

static void still_serves(void)
{
    /* Whoever was closed just now may still take a place. */
    for (int i = 0; i < 500 && fake_stats(&f).connections; i++)
        usleep(10000);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    client_barrier(&a);
    client_close(&a);
}

Test(hostile, garbage_is_closed)
{
    uint8_t garbage[200];
    fake_start(&f);
    for (int i = 0; i < 4; i++) {
        int fd = client_socket(&f);
        poa_random(garbage, sizeof garbage);
        size_t n = sizeof garbage;
        garbage[0] = i == 0 ? 0 : i == 1 ? 0xff : POA_EDGE_FIRST_BYTES;
        garbage[1] = i == 1 ? 0xff : 0;
        cr_assert_eq(send(fd, garbage, n, MSG_NOSIGNAL), (ssize_t)n);
        cr_assert(closed_by_gateway(fd), "case %d", i);
        close(fd);
    }
    still_serves();
    EXPECT_STAT(handshakes_failed, 4);
    fake_stop(&f);
}

Test(hostile, whoever_dawdles_is_closed)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.handshake_ms = 300;
    fake_open(&f, &config);
    int silent = client_socket(&f), slow = client_socket(&f);
    uint8_t head[3] = {POA_EDGE_FIRST_BYTES, 0, 7};
    cr_assert_eq(send(slow, head, 3, MSG_NOSIGNAL), 3);
    cr_assert(closed_by_gateway(silent));
    cr_assert(closed_by_gateway(slow));
    /* After the handshake, the greeting is due as well. */
    client_make(&b, &f, DEVICE_B);
    client_dial(&b);
    struct poa_slice out = poa_device_output(&b.d);
    cr_assert_eq(send(b.fd, out.p, out.n, MSG_NOSIGNAL), (ssize_t)out.n);
    cr_assert(closed_by_gateway(b.fd));
    client_close(&b);
    close(silent);
    close(slow);
    still_serves();
    fake_stop(&f);
}

Test(hostile, connections_are_capped)
{
    struct poa_gateway_config config = fake_config(&f);
    int fd[8];
    config.limits.connections = 4;
    fake_open(&f, &config);
    for (int i = 0; i < 8; i++)
        fd[i] = client_socket(&f);
    for (int i = 4; i < 8; i++)
        cr_assert(closed_by_gateway(fd[i]));
    EXPECT_STAT(refused, 4);
    for (int i = 0; i < 8; i++)
        close(fd[i]);
    still_serves();
    fake_stop(&f);
}

Test(hostile, strangers_wait_until_others_left)
{
    struct poa_gateway_config config = fake_config(&f);
    int fd[4];
    config.limits.strangers = 4;
    config.limits.handshake_ms = 500;
    fake_open(&f, &config);
    for (int i = 0; i < 4; i++)
        fd[i] = client_socket(&f);
    EXPECT_STAT(connections, 4);
    /* Not refused: it has its turn when the silent ones are gone. */
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_expect_eq(fake_stats(&f).refused, 0);
    for (int i = 0; i < 4; i++) {
        cr_expect(closed_by_gateway(fd[i]));
        close(fd[i]);
    }
    client_close(&a);
    fake_stop(&f);
}

Test(hostile, one_address_does_not_take_all_places)
{
    struct poa_gateway_config config = fake_config(&f);
    int fd[4];
    config.limits.per_address = 2;
    fake_open(&f, &config);
    for (int i = 0; i < 4; i++)
        fd[i] = client_socket(&f);
    cr_assert(closed_by_gateway(fd[2]));
    cr_assert(closed_by_gateway(fd[3]));
    EXPECT_STAT(refused, 2);
    /* Somebody else is served meanwhile: all of 127/8 is this host. */
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(poa_gateway_port(f.g)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t entropy[32] = {1};
    client_make(&a, &f, DEVICE_A);
    a.fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(a.fd, (struct sockaddr *)&from, sizeof from), 0);
    cr_assert_eq(connect(a.fd, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(poa_device_connect(&a.d, client_now(), f.w.gateway_key, entropy), POA_OK);
    EXPECT_UNTIL(&a, a.d.state == POA_DEVICE_READY);
    client_close(&a);
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    fake_stop(&f);
}

Test(hostile, unknown_devices_are_capped)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.unregistered = 1;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_B);
    client_make(&b, &f, DEVICE_B + 1);
    client_ready(&a);
    client_dial(&b);
    EXPECT_UNTIL(&b, b.fd < 0);
    cr_assert_eq(client_told(&b, POA_DEVICE_BYE)->code, POA_E_FULL);
    client_close(&a);
    for (int i = 0; i < 500 && fake_stats(&f).devices; i++)
        usleep(10000);
    client_ready(&b);
    client_close(&b);
    fake_stop(&f);
}

Test(hostile, handshakes_are_rationed)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.handshakes_per_s = 5;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    for (int i = 0; i < 12; i++) {
        client_ready(&a);
        client_close(&a);
        poa_wipe(a.d.gateway, sizeof a.d.gateway); /* so that it does not resume */
    }
    /* All were served, and none at the price of another second's budget. */
    EXPECT_STAT(handshakes, 12);
    fake_stop(&f);
}

Test(hostile, somebody_elses_key_is_refused)
{
    fake_start(&f);
    client_make(&b, &f, DEVICE_B);
    memcpy(b.key, f.w.device_key, 32); /* the identity it claims; the seed is its own */
    client_dial(&b);
    EXPECT_UNTIL(&b, b.fd < 0);
    cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
    cr_assert_null(client_told(&b, POA_DEVICE_WELCOMED));
    fake_stop(&f);
}

Test(hostile, a_replayed_greeting_goes_nowhere)
{
    uint8_t said[1024], bytes[4096];
    size_t said_n = 0;
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_dial(&a);
    /* Plays man in the middle: keeps what the device says. */
    while (a.d.state != POA_DEVICE_READY) {
        struct poa_slice out = poa_device_output(&a.d);
        if (out.n) {
            memcpy(said + said_n, out.p, out.n);
            said_n += out.n;
            cr_assert_eq(send(a.fd, out.p, out.n, MSG_NOSIGNAL), (ssize_t)out.n);
            poa_device_sent(&a.d, out.n);
        }
        ssize_t n = recv(a.fd, bytes, sizeof bytes, 0);
        cr_assert_gt(n, 0);
        cr_assert_eq(poa_device_input(&a.d, client_now(), bytes, (size_t)n), POA_OK);
    }
    int fd = client_socket(&f);
    cr_assert_eq(send(fd, said, said_n, MSG_NOSIGNAL), (ssize_t)said_n);
    cr_assert(closed_by_gateway(fd));
    close(fd);
    /* The real one is still there. */
    client_barrier(&a);
    EXPECT_STAT(devices, 1);
    client_close(&a);
    fake_stop(&f);
}

Test(hostile, the_newer_connection_of_a_device_stays)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_A);
    client_ready(&a);
    client_ready(&b);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->code, POA_E_EXISTS);
    client_barrier(&b);
    EXPECT_STAT(devices, 1);
    client_close(&b);
    fake_stop(&f);
}

Test(hostile, another_chain_is_told_so)
{
    fake_start(&f);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    client_close(&a);
    a.d.chain[0] ^= 1;
    client_dial(&a);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_eq(client_told(&a, POA_DEVICE_BYE)->code, POA_E_CHAIN);
    fake_stop(&f);
}

Test(hostile, messages_that_are_not_a_devices_end_the_connection)
{
    static const uint8_t types[] = {0, POA_EDGE_HELLO, POA_EDGE_WELCOME, POA_EDGE_TASK, 200};
    fake_start(&f);
    for (size_t i = 0; i < sizeof types; i++) {
        uint8_t bytes[256];
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        client_make(&a, &f, DEVICE_A);
        client_ready(&a);
        cr_assert_eq(poa_edge_put_raw(&a.d.link.on.session, types[i], poa_slice("abc", 3), &w),
                     POA_OK);
        cr_assert_eq(send(a.fd, w.p, w.n, MSG_NOSIGNAL), (ssize_t)w.n);
        EXPECT_UNTIL(&a, a.fd < 0);
    }
    EXPECT_STAT(dropped, sizeof types);
    fake_stop(&f);
}

Test(hostile, random_messages_break_nothing)
{
    static const uint8_t types[] = {POA_EDGE_TICKET, POA_EDGE_SEAL,  POA_EDGE_PACK,
                                    POA_EDGE_TX,     POA_EDGE_QUERY, POA_EDGE_GET_HANDOVER,
                                    POA_EDGE_PING};
    uint8_t payload[300], bytes[512];
    fake_start(&f);
    for (uint32_t round = 0; round < 150; round++) {
        client_make(&a, &f, DEVICE_A);
        client_ready(&a);
        uint8_t type = types[round % sizeof types];
        poa_random(payload, sizeof payload);
        for (size_t i = 0; i < sizeof payload; i++)
            payload[i] = payload[i] % 3 ? payload[i] : 0;
        size_t n = payload[299] % 3 ? payload[298] : 4 + round % 300 / 4;
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        cr_assert_eq(poa_edge_put_raw(&a.d.link.on.session, type, poa_slice(payload, n), &w),
                     POA_OK);
        cr_assert_eq(send(a.fd, w.p, w.n, MSG_NOSIGNAL), (ssize_t)w.n);
        client_turn(&a, 2);
        client_close(&a);
    }
    for (size_t i = 0; i < f.submits; i++)
        cr_assert_eq(f.submit[i].kind, 'x', "a ticket or seal of another device was carried");
    still_serves();
    fake_stop(&f);
}

Test(hostile, a_device_that_floods_is_slowed_and_served)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.frames_per_s = 500;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    client_ready(&a);
    client_ready(&b);
    /* Four seconds' worth may come at once; more has to wait. */
    for (int i = 0; i < 2500 || (i < 100000 && !fake_stats(&f).throttled); i++) {
        a.d.spoke_ms = 0;
        client_turn(&a, 0);
        cr_assert_geq(a.fd, 0);
    }
    client_barrier(&b);
    client_barrier(&a);
    cr_assert_geq(fake_stats(&f).throttled, 1);
    EXPECT_STAT(dropped, 0);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

Test(hostile, a_device_that_does_not_read_is_dropped)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.send_queue_bytes = POA_EDGE_DOWN_MAX;
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    struct block block = fake_block(&f, 3, fake_slot(&f));
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0), block_cert(&block)};
    uint8_t seats[1][32];
    memcpy(seats[0], a.key, 32);
    for (int i = 0; i < 100000 && !fake_stats(&f).dropped; i++) {
        poa_gateway_slot(f.g, fake_slot(&f), &proof, (const uint8_t(*)[32])seats, 1);
        if (i % 100 == 0)
            usleep(1000);
    }
    for (int i = 0; i < 500 && !fake_stats(&f).dropped; i++)
        usleep(10000);
    EXPECT_STAT(dropped, 1);
    client_close(&a);
    fake_stop(&f);
}

Test(hostile, a_silent_device_is_dropped)
{
    struct poa_gateway_config config = fake_config(&f);
    config.limits.ping_ms = 700; /* a test that stands still meanwhile is not silent yet */
    fake_open(&f, &config);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    cr_assert(closed_by_gateway(a.fd));
    client_close(&a);
    fake_stop(&f);
}
