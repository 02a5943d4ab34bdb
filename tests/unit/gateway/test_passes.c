/* Devices that come back without a handshake, and who cannot. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "edge_node.h"

static struct fake f;
static struct client a, b;
static char path[64];
static atomic_uint_least64_t ahead_ms; /* of the gateway's wall clock */

#define DEVICE_A 100
#define DEVICE_B 101
#define MINUTE   UINT64_C(60000)

static uint64_t true_monotonic(void *ctx)
{
    (void)ctx;
    return poa_clock_monotonic_us(poa_clock_system());
}

static uint64_t shifted_wall(void *ctx)
{
    (void)ctx;
    return fake_wall() + ahead_ms;
}

static const struct poa_clock clock_ahead = {true_monotonic, shifted_wall, NULL};

static uint64_t genesis_ms; /* of the chain, which outlives gateways; 0: a new one */

static void start(bool keeps)
{
    struct poa_gateway_config c = fake_config(&f);
    if (genesis_ms)
        f.genesis.time_ms = genesis_ms;
    c.clock = &clock_ahead;
    c.pass_path = keeps ? path : NULL;
    fake_open(&f, &c);
}

static void make_path(void)
{
    snprintf(path, sizeof path, "/tmp/poa-passes-%d", (int)getpid());
    unlink(path);
}

static void remove_path(void)
{
    unlink(path);
}

TestSuite(passes, .init = make_path, .fini = remove_path, .timeout = 120);

static void come(struct client *c)
{
    client_ready(c);
    EXPECT_UNTIL(c, c->d.have_pass);
}

static void refused(struct client *c)
{
    client_dial(c);
    cr_assert(c->d.resumed);
    EXPECT_UNTIL(c, c->fd < 0);
    cr_assert_eq(c->error, POA_E_REKEY);
    cr_assert_not(c->d.have_pass);
    come(c);
    cr_assert_not(c->d.resumed);
}

Test(passes, a_link_that_broke_costs_no_handshake)
{
    uint8_t pack[512];
    start(false);
    client_make(&a, &f, DEVICE_A);
    come(&a);
    cr_assert_not(a.d.resumed);
    for (uint64_t i = 1; i <= 3; i++) {
        client_close(&a);
        come(&a);
        cr_assert(a.d.resumed);
        EXPECT_STAT(resumed, i);
    }
    EXPECT_STAT(handshakes, 1);
    cr_assert_eq(client_told(&a, POA_DEVICE_WELCOMED)->status, POA_EDGE_ACTIVE);
    cr_assert_eq(poa_device_pack(&a.d, client_sign_pack(&a, 1, pack, sizeof pack)), POA_OK);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_PACK_RESULT));
    cr_assert_eq(client_told(&a, POA_DEVICE_PACK_RESULT)->code, POA_OK);
    client_close(&a);
    fake_stop(&f);
}

/* The budget of handshakes is for those: more come back at once than it has for some seconds. On
 * a busy machine not each of them is quick. */
Test(passes, the_ration_of_handshakes_is_not_theirs)
{
    struct poa_gateway_config c = fake_config(&f);
    c.limits.handshakes_per_s = 1;
    fake_open(&f, &c);
    client_make(&a, &f, DEVICE_A);
    come(&a);
    uint64_t came = 0, quick = 0;
    for (; came < 60 && quick < 12; came++) {
        uint64_t start_ms = client_now().mono_ms;
        client_close(&a);
        come(&a);
        quick += client_now().mono_ms - start_ms < 700;
    }
    cr_assert_eq(quick, 12);
    EXPECT_STAT(resumed, came);
    EXPECT_STAT(handshakes, 1);
    client_close(&a);
    fake_stop(&f);
}

Test(passes, a_restarted_gateway_takes_them)
{
    start(true);
    client_make(&a, &f, DEVICE_A);
    come(&a);
    genesis_ms = f.genesis.time_ms;
    for (int keeps = 1; keeps >= 0; keeps--) {
        client_close(&a);
        fake_stop(&f);
        start(keeps);
        if (keeps) {
            come(&a);
            cr_assert(a.d.resumed);
            EXPECT_STAT(handshakes, 0);
        } else {
            refused(&a);
            EXPECT_STAT(passes_refused, 1);
        }
    }
    client_close(&a);
    fake_stop(&f);
}

Test(passes, a_damaged_file_is_replaced)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs("not ours", file);
    fclose(file);
    chmod(path, 0600);
    start(true);
    client_make(&a, &f, DEVICE_A);
    come(&a);
    client_close(&a);
    come(&a);
    cr_assert(a.d.resumed);
    client_close(&a);
    fake_stop(&f);
}

static uint64_t made_ms(void)
{
    uint8_t le[8] = {0};
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    cr_assert_eq(fread(le, 1, 8, file), 8);
    fclose(file);
    return poa_le64(le);
}

Test(passes, none_is_older_than_an_hour)
{
    ahead_ms = 0;
    start(true);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    fake_device(&f, b.key, 1);
    come(&a);
    client_close(&a);
    /* Another key after an hour; what the one before sealed goes on. */
    ahead_ms = 30 * MINUTE;
    come(&b);
    client_close(&b);
    ahead_ms = 59 * MINUTE;
    come(&a);
    cr_assert(a.d.resumed);
    client_close(&a);
    uint64_t first = made_ms();
    ahead_ms = 61 * MINUTE;
    for (int i = 0; i < 2000 && made_ms() == first; i++)
        usleep(10000);
    cr_assert(made_ms() != first);
    come(&b);
    cr_assert(b.d.resumed);
    client_close(&b);
    /* Coming back often does not make it younger: the handshake counts. */
    refused(&a);
    client_close(&a);
    /* A clock that was put back: nothing is of the future. */
    ahead_ms = 0;
    refused(&a);
    client_close(&a);
    fake_stop(&f);
}

Test(passes, one_that_was_changed_is_refused)
{
    start(false);
    client_make(&a, &f, DEVICE_A);
    for (size_t i = 0; i < POA_EDGE_PASS_BYTES; i += 13) {
        come(&a);
        client_close(&a);
        a.d.link.on.pass.pass[i] ^= 1;
        refused(&a);
        client_close(&a);
    }
    /* With another secret the session is nobody's. */
    come(&a);
    client_close(&a);
    a.d.link.on.pass.secret[0] ^= 1;
    client_dial(&a);
    EXPECT_UNTIL(&a, a.fd < 0);
    cr_assert_neq(a.d.state, POA_DEVICE_READY);
    come(&a);
    cr_assert_not(a.d.resumed);
    client_close(&a);
    fake_stop(&f);
}

Test(passes, somebody_elses_does_not_make_one_it)
{
    start(false);
    client_make(&a, &f, DEVICE_A);
    client_make(&b, &f, DEVICE_B);
    come(&a);
    client_close(&a);
    EXPECT_STAT(devices, 0);
    b.d.link.on.pass = a.d.link.on.pass;
    memcpy(b.d.gateway, a.d.gateway, 32);
    b.d.have_pass = true;
    b.d.keyed_ms = client_now().mono_ms;
    client_dial(&b);
    EXPECT_UNTIL(&b, b.fd < 0);
    cr_assert_null(client_told(&b, POA_DEVICE_WELCOMED));
    EXPECT_STAT(handshakes_failed, 1);
    fake_stop(&f);
}

/* Bytes of C's next connection, as somebody on the way saw them. */
Test(passes, what_was_recorded_goes_nowhere)
{
    uint8_t seen[1024], answer[64];
    start(false);
    client_make(&a, &f, DEVICE_A);
    come(&a);
    client_close(&a);
    client_dial(&a);
    struct poa_slice out = poa_device_output(&a.d);
    cr_assert_eq(out.n, POA_EDGE_HEAD_BYTES + POA_EDGE_RESUME_BYTES);
    memcpy(seen, out.p, out.n);
    size_t n = out.n;
    /* The answer, and then HELLO. */
    client_turn(&a, PATIENCE_MS);
    out = poa_device_output(&a.d);
    cr_assert(out.n > 0);
    memcpy(seen + n, out.p, out.n);
    n += out.n;
    EXPECT_UNTIL(&a, a.d.state == POA_DEVICE_READY && a.d.have_pass);
    cr_assert(a.d.resumed);
    int fd = client_socket(&f);
    cr_assert_eq(send(fd, seen, n, MSG_NOSIGNAL), (ssize_t)n);
    ssize_t got = recv(fd, answer, sizeof answer, MSG_WAITALL);
    cr_assert_eq(got, POA_EDGE_HEAD_BYTES + POA_EDGE_RESUMED_BYTES, "more than a nonce: %zd", got);
    close(fd);
    EXPECT_STAT(handshakes_failed, 1);
    client_barrier(&a); /* and it is served as before */
    EXPECT_STAT(devices, 1);
    client_close(&a);
    fake_stop(&f);
}

Test(passes, a_device_that_does_not_know_them_gets_none)
{
    uint8_t frame[512], entropy[32] = {3}, in[512];
    struct poa_noise noise;
    struct poa_session s;
    start(false);
    struct poa_writer w = poa_writer_over(frame, sizeof frame);
    cr_assert_eq(poa_edge_dial(&noise, f.w.device_seed, NULL, f.w.gateway_key, entropy, &w),
                 POA_OK);
    int fd = client_socket(&f);
    cr_assert_eq(send(fd, w.p, w.n, MSG_NOSIGNAL), (ssize_t)w.n);
    cr_assert_eq(recv(fd, in, 2 + POA_EDGE_SECOND_BYTES, MSG_WAITALL), 2 + POA_EDGE_SECOND_BYTES);
    cr_assert_eq(poa_edge_start(&noise, poa_slice(in + 2, POA_EDGE_SECOND_BYTES), &s), POA_OK);
    struct poa_edge_hello hello = {
        .version = 1, .epoch = POA_EPOCH_NONE, .frame_max = POA_EDGE_DOWN_MAX};
    struct poa_edge_ping ping = {.nonce = 5};
    memcpy(hello.device, f.w.device_key, 32);
    w = poa_writer_over(frame, sizeof frame);
    cr_assert_eq(POA_EDGE_PUT(&s, HELLO, edge_hello, &hello, &w), POA_OK);
    cr_assert_eq(POA_EDGE_PUT(&s, PING, edge_ping, &ping, &w), POA_OK);
    cr_assert_eq(send(fd, w.p, w.n, MSG_NOSIGNAL), (ssize_t)w.n);
    uint8_t type = 0;
    for (int i = 0; type != POA_EDGE_PONG; i++) {
        struct poa_slice payload;
        struct poa_edge_welcome welcome;
        cr_assert_eq(recv(fd, in, 2, MSG_WAITALL), 2);
        size_t n = poa_le16(in);
        cr_assert_eq(recv(fd, in, n, MSG_WAITALL), (ssize_t)n);
        cr_assert_eq(poa_edge_take(&s, in, n, &type, &payload), POA_OK);
        cr_assert_neq(type, POA_EDGE_PASS);
        if (i == 0) {
            cr_assert_eq(poa_edge_welcome_decode(payload, &welcome), POA_OK);
            cr_assert_eq(welcome.version, 1);
        }
    }
    close(fd);
    fake_stop(&f);
}
