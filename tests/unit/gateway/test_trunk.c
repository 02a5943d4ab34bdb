/* Many devices behind one connection: channels of a trunk. */
#include <netinet/tcp.h>

#include "edge_node.h"

static struct fake f;
static struct client a, b;
#define DEVICE_A 1
#define DEVICE_B 2

/* --- a trunk in the test's hands -------------------------------------------------- */

struct line {
    int fd;
    uint8_t in[65536];
    size_t in_n;
};

static void put(const struct line *l, const void *body, size_t n)
{
    uint8_t head[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
    cr_assert_eq(send(l->fd, head, 2, MSG_NOSIGNAL), 2);
    cr_assert_eq(send(l->fd, body, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void line_open(struct line *l)
{
    l->in_n = 0;
    l->fd = client_socket(&f);
    put(l, POA_EDGE_TRUNK, sizeof POA_EDGE_TRUNK - 1);
}

static void put_channel(const struct line *l, uint32_t channel, const uint8_t *body, size_t n)
{
    uint8_t frame[20000];
    poa_put_le32(frame, channel);
    if (n)
        memcpy(frame + 4, body, n);
    put(l, frame, n + 4);
}

/* What C has to say goes out on CHANNEL. */
static void say(const struct line *l, struct client *c, uint32_t channel)
{
    uint64_t wait;
    if (c->d.state == POA_DEVICE_IDLE || poa_device_poll(&c->d, client_now(), &wait))
        return;
    struct poa_slice out = poa_device_output(&c->d);
    for (size_t at = 0; at < out.n;) {
        size_t body = poa_le16(out.p + at);
        put_channel(l, channel, out.p + at + 2, body);
        at += 2 + body;
    }
    poa_device_sent(&c->d, out.n);
}

/* The next frame; false: none within MS, or the trunk was closed. */
static bool take(struct line *l, int ms, uint32_t *channel, uint8_t *body, size_t *n)
{
    for (;;) {
        if (l->in_n >= 2 && l->in_n - 2 >= poa_le16(l->in)) {
            size_t all = 2u + poa_le16(l->in);
            cr_assert_geq(all, 6);
            *channel = poa_le32(l->in + 2);
            *n = all - 6;
            memcpy(body, l->in + 6, *n);
            memmove(l->in, l->in + all, l->in_n - all);
            l->in_n -= all;
            return true;
        }
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        if (poll(&p, 1, ms) <= 0)
            return false;
        ssize_t got = recv(l->fd, l->in + l->in_n, sizeof l->in - l->in_n, 0);
        if (got <= 0)
            return false;
        l->in_n += (size_t)got;
    }
}

static void hand(struct client *c, const uint8_t *body, size_t n)
{
    uint8_t head[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
    c->error = poa_device_input(&c->d, client_now(), head, 2);
    if (!c->error)
        c->error = poa_device_input(&c->d, client_now(), body, n);
}

/* Turns for device A on channel 7 and B on channel 0 until CONDITION. */
static bool ended_a, ended_b;
static void turn(struct line *l)
{
    uint8_t body[20000];
    uint32_t channel;
    size_t n;
    say(l, &a, 7);
    say(l, &b, 0);
    if (!take(l, 20, &channel, body, &n))
        return;
    cr_assert(channel == 7 || channel == 0);
    if (!n)
        *(channel == 7 ? &ended_a : &ended_b) = true;
    else
        hand(channel == 7 ? &a : &b, body, n);
}
#define TURN_UNTIL(l, condition)                                                                   \
    do {                                                                                           \
        uint64_t end_ = client_now().mono_ms + PATIENCE_MS;                                        \
        while (!(condition) && client_now().mono_ms < end_)                                        \
            turn(l);                                                                               \
        cr_assert(condition, "waited for " #condition);                                            \
    } while (0)

static void begin(struct client *c, uint32_t number)
{
    uint8_t entropy[32];
    poa_random(entropy, sizeof entropy);
    client_make(c, &f, number);
    fake_device(&f, c->key, number);
    cr_assert_eq(poa_device_connect(&c->d, client_now(), f.w.gateway_key, entropy), POA_OK);
}

static void both_ready(struct line *l)
{
    ended_a = ended_b = false;
    line_open(l);
    begin(&a, DEVICE_A);
    begin(&b, DEVICE_B);
    TURN_UNTIL(l, a.d.state == POA_DEVICE_READY && b.d.state == POA_DEVICE_READY);
    TURN_UNTIL(l, a.d.have_trust && b.d.have_trust);
}

static bool closed(struct line *l)
{
    uint8_t body[20000];
    uint32_t channel;
    size_t n;
    while (take(l, PATIENCE_MS, &channel, body, &n))
        ;
    uint8_t byte;
    return recv(l->fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* --- tests ---------------------------------------------------------------------------- */

Test(trunk, devices_share_a_connection)
{
    static struct line l;
    fake_start(&f);
    both_ready(&l);
    cr_expect_eq(fake_stats(&f).devices, 2);
    cr_expect_eq(fake_stats(&f).connections, 3); /* with the trunk */
    struct poa_gateway_presence who;
    cr_expect(poa_gateway_presence(f.g, a.key, &who));
    cr_expect(who.shared);
    cr_expect_leq(who.since_ms, fake_wall());
    cr_expect_gt(who.since_ms + 60000, fake_wall());
    cr_expect_not(poa_gateway_presence(f.g, f.w.gateway_key, &who));
    fake_epoch(&f, 4, 32);
    TURN_UNTIL(&l, a.d.committee.epoch == 4 && b.d.committee.epoch == 4);
    /* One leaves, the other stays. */
    put_channel(&l, 7, NULL, 0);
    TURN_UNTIL(&l, ended_a && fake_stats(&f).devices == 1);
    cr_expect_not(ended_b);
    fake_epoch(&f, 5, 48);
    TURN_UNTIL(&l, b.d.committee.epoch == 5);
    /* And it may come back on its channel. */
    client_close(&a);
    begin(&a, DEVICE_A);
    TURN_UNTIL(&l, fake_stats(&f).devices == 2 && a.d.state == POA_DEVICE_READY);
    close(l.fd);
    uint64_t end = client_now().mono_ms + PATIENCE_MS;
    while (fake_stats(&f).connections && client_now().mono_ms < end)
        usleep(10000);
    cr_expect_eq(fake_stats(&f).connections, 0);
    cr_expect_eq(fake_stats(&f).devices, 0);
    fake_stop(&f);
}

Test(trunk, a_bad_channel_does_not_hurt_the_others)
{
    static struct line l;
    uint8_t junk[96] = {1};
    fake_start(&f);
    both_ready(&l);
    put_channel(&l, 7, junk, sizeof junk); /* not of its session */
    TURN_UNTIL(&l, ended_a);
    put_channel(&l, 7, junk, sizeof junk); /* no handshake either */
    ended_a = false;
    TURN_UNTIL(&l, ended_a);
    put_channel(&l, 7, junk, 5); /* of a session that is gone: passed over */
    TURN_UNTIL(&l, fake_stats(&f).devices == 1);
    cr_expect_not(ended_b);
    close(l.fd);
    fake_stop(&f);
}

Test(trunk, who_floods_is_told_to_leave_and_the_others_stay)
{
    static struct line l;
    struct poa_gateway_config config = fake_config(&f);
    config.limits.frames_per_s = 5;
    fake_open(&f, &config);
    both_ready(&l);
    for (uint64_t end = client_now().mono_ms + PATIENCE_MS;
         !ended_a && client_now().mono_ms < end;) {
        a.d.spoke_ms = 0; /* a ping is due */
        turn(&l);
    }
    cr_assert(ended_a);
    cr_expect_not_null(client_told(&a, POA_DEVICE_BYE));
    cr_expect_not(ended_b);
    cr_expect_eq(fake_stats(&f).devices, 1);
    close(l.fd);
    fake_stop(&f);
}

/* Its old channel is told to leave, and the trunk, with the new channel on it, dies of that. */
Test(trunk, a_device_that_comes_twice_over_a_trunk_that_breaks)
{
    static struct line l;
    const struct linger at_once = {1, 0};
    const int on = 1;
    struct poa_gateway_presence who;
    uint8_t body[20000];
    uint32_t channel = UINT32_MAX;
    size_t n = 0;
    fake_start(&f);
    line_open(&l);
    cr_assert_eq(setsockopt(l.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    begin(&a, DEVICE_A);
    TURN_UNTIL(&l, a.d.state == POA_DEVICE_READY && a.d.have_trust);
    begin(&b, DEVICE_A);
    say(&l, &b, 0);
    while (channel != 0)
        cr_assert(take(&l, PATIENCE_MS, &channel, body, &n));
    hand(&b, body, n); /* the handshake: HELLO is next */
    pthread_mutex_lock(&f.mutex);
    say(&l, &b, 0);
    /* The gateway waits for the registry meanwhile. */
    cr_assert_eq(setsockopt(l.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(l.fd);
    pthread_mutex_unlock(&f.mutex);
    uint64_t end = client_now().mono_ms + PATIENCE_MS;
    while (fake_stats(&f).connections && client_now().mono_ms < end)
        usleep(10000);
    cr_expect_eq(fake_stats(&f).connections, 0);
    cr_expect_eq(fake_stats(&f).devices, 0);
    cr_expect_not(poa_gateway_presence(f.g, a.key, &who));
    client_close(&a);
    client_close(&b);
    client_make(&a, &f, DEVICE_A);
    client_ready(&a);
    client_close(&a);
    fake_stop(&f);
}

Test(trunk, one_device_leaves_no_more_unread_than_without_a_trunk)
{
    static struct line l;
    struct poa_gateway_config config = fake_config(&f);
    config.limits.send_queue_bytes = POA_EDGE_DOWN_MAX;
    fake_open(&f, &config);
    line_open(&l);
    begin(&a, DEVICE_A);
    TURN_UNTIL(&l, a.d.state == POA_DEVICE_READY && a.d.have_trust);
    struct block block = fake_block(&f, 3, fake_slot(&f));
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0), block_cert(&block)};
    uint8_t seats[1][32];
    memcpy(seats[0], a.key, 32);
    for (int i = 0; i < 100000 && fake_stats(&f).connections; i++) {
        poa_gateway_slot(f.g, fake_slot(&f), &proof, (const uint8_t(*)[32])seats, 1);
        if (i % 100 == 0)
            usleep(1000);
    }
    for (int i = 0; i < 1000 && fake_stats(&f).connections; i++)
        usleep(10000);
    cr_assert_eq(fake_stats(&f).connections, 0, "it was not dropped");
    struct poa_gateway_stats s = fake_stats(&f);
    cr_expect_gt(s.tasks, 10);
    cr_expect_lt(s.tasks * (POA_HEADER_BYTES + block.cert_n), s.bytes_out + 2 * POA_EDGE_DOWN_MAX);
    close(l.fd);
    client_close(&a);
    fake_stop(&f);
}

Test(trunk, a_drain_tells_every_device)
{
    static struct line l;
    fake_start(&f);
    both_ready(&l);
    poa_gateway_stop(f.g, 1500);
    TURN_UNTIL(&l, client_told(&a, POA_DEVICE_BYE) && client_told(&b, POA_DEVICE_BYE));
    cr_expect(closed(&l));
    close(l.fd);
    fake_stop(&f);
}

Test(trunk, nonsense_closes_it)
{
    static struct line l;
    uint8_t junk[100] = {0};
    struct poa_gateway_config config = fake_config(&f);
    config.limits.handshake_ms = 500;
    fake_open(&f, &config);
    l.in_n = 0;
    l.fd = client_socket(&f);
    put(&l, "poa/trunk/2", 11);
    cr_expect(closed(&l));
    close(l.fd);
    line_open(&l);
    put(&l, junk, 3); /* no channel */
    cr_expect(closed(&l));
    close(l.fd);
    line_open(&l);
    put_channel(&l, UINT32_MAX, junk, 96);
    cr_expect(closed(&l));
    close(l.fd);
    /* Nobody behind it: it does not stay. */
    line_open(&l);
    cr_expect(closed(&l));
    close(l.fd);
    fake_stop(&f);
}

Test(trunk, channels_are_connections_and_capped_as_such)
{
    static struct line l;
    uint8_t body[20000], first[96] = {0};
    uint32_t channel;
    size_t n;
    struct poa_gateway_config config = fake_config(&f);
    config.limits.connections = 8;
    fake_open(&f, &config);
    both_ready(&l);
    int fd[5];
    for (int i = 0; i < 5; i++)
        fd[i] = client_socket(&f);
    TURN_UNTIL(&l, fake_stats(&f).connections == 8);
    put_channel(&l, 1, first, sizeof first);
    bool refused = false;
    while (!refused && take(&l, PATIENCE_MS, &channel, body, &n))
        refused = channel == 1 && !n;
    cr_expect(refused);
    cr_expect_eq(fake_stats(&f).refused, 1);
    cr_expect_eq(fake_stats(&f).devices, 2);
    for (int i = 0; i < 5; i++)
        close(fd[i]);
    close(l.fd);
    fake_stop(&f);
}
