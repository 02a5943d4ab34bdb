/* What a block costs the device edge: messages to the assigned only, however
 * large the fleet. Another process is the fleet; POA_FLEET=10000 makes it larger. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edge_node.h"

#define SLOTS   20
#define WAIT_MS 400000

static struct world w;

/* Whoever asks is a registered, active device. */
static int every_device(void *ctx, enum poa_state_table table, struct poa_slice key,
                        struct poa_writer *out)
{
    struct poa_st_device d = {.index = 1, .maker = 1};
    struct poa_st_account account = {.balance = 5};
    (void)ctx;
    (void)key;
    if (table == POA_STATE_DEVICE)
        return poa_st_device_encode(out, &d);
    return table == POA_STATE_ACCOUNT ? poa_st_account_encode(out, &account) : POA_E_NOT_FOUND;
}

static void keys_of(uint32_t device, uint8_t seed[32], uint8_t key[32])
{
    memset(seed, 0x77, 32);
    poa_put_le32(seed, device);
    poa_ed25519_public(seed, key);
}

static void must(bool fine)
{
    if (!fine)
        _exit(1);
}

static void all(int fd, uint8_t *p, size_t n, bool out)
{
    while (n > 0) {
        ssize_t k = out ? send(fd, p, n, MSG_NOSIGNAL) : recv(fd, p, n, 0);
        must(k > 0);
        p += k;
        n -= (size_t)k;
    }
}

/* One device: greeted, with the committee of the epoch already. */
static void join(uint32_t device, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct poa_edge_hello hello = {.version = POA_EDGE_VERSION,
                                   .epoch = 3,
                                   .frame_max = 16384,
                                   .committee_max = POA_COMMITTEE_MAX};
    struct poa_noise noise;
    struct poa_session session;
    uint8_t seed[32], entropy[32], frame[512];
    struct poa_writer out = poa_writer_over(frame, sizeof frame);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    keys_of(device, seed, hello.device);
    memcpy(hello.chain, w.chain, 32);
    poa_random(entropy, sizeof entropy);
    must(poa_edge_dial(&noise, seed, NULL, w.gateway_key, entropy, &out) == POA_OK);
    all(fd, frame, out.n, true);
    all(fd, frame, POA_EDGE_HEAD_BYTES + POA_EDGE_SECOND_BYTES, false);
    must(poa_edge_start(&noise, poa_slice(frame + POA_EDGE_HEAD_BYTES, POA_EDGE_SECOND_BYTES),
                        &session) == POA_OK);
    out = poa_writer_over(frame, sizeof frame);
    must(POA_EDGE_PUT(&session, HELLO, edge_hello, &hello, &out) == POA_OK);
    all(fd, frame, out.n, true);
}

static pid_t fleet(uint32_t devices, uint16_t port)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (uint32_t i = 0; i < devices; i++)
        join(i, port);
    for (;;)
        pause();
}

struct cost {
    uint64_t frames, bytes, tasks;
};

static struct poa_gateway_stats stats_of(const struct poa_gateway *g)
{
    struct poa_gateway_stats s;
    poa_gateway_stats(g, &s);
    return s;
}

/* What SLOTS slots of three seats send to DEVICES devices. */
static struct cost measure(uint32_t devices)
{
    struct poa_genesis genesis = {.time_ms = GENESIS_MS,
                                  .slot_ms = SLOT_MS,
                                  .window_slots = WINDOW,
                                  .seats_per_slot = SEATS,
                                  .seal_slots = SEAL_SLOTS,
                                  .drift_ms = DRIFT_MS};
    struct poa_gateway_config c = {.host = "127.0.0.1",
                                   .genesis = &genesis,
                                   .limits = poa_gateway_limits_default,
                                   .backend = {.state_get = every_device}};
    struct poa_gateway *g;
    struct poa_why why;
    uint8_t bytes[2048], seats[SEATS][32], seed[32];
    memcpy(c.chain, w.chain, 32);
    memcpy(c.seed32, w.gateway_seed, 32);
    c.limits.connections = c.limits.strangers = c.limits.per_address = devices + 10;
    c.limits.handshakes_per_s = 1000000;
    c.limits.ping_ms = c.limits.handshake_ms = WAIT_MS;
    cr_assert_eq(poa_gateway_new(&c, &g, &why), POA_OK, "%s", why.text);
    cr_assert_eq(poa_gateway_start(g), POA_OK);
    struct poa_gateway_epoch epoch = {.info = {.epoch = 3, .eligible = devices},
                                      .committee = world_committee(&w, 3, bytes)};
    poa_gateway_epoch(g, &epoch);
    pid_t pid = fleet(devices, poa_gateway_port(g));
    for (uint32_t ms = 0; stats_of(g).devices < devices; ms += 10) {
        cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0, "the fleet is gone");
        cr_assert_lt(ms, WAIT_MS, "%lu devices came", (unsigned long)stats_of(g).devices);
        usleep(10000);
    }
    /* What they were greeted with is out: each gets the same. */
    uint64_t out = 0;
    for (uint32_t ms = 0; ms < 60000; ms += 500) {
        uint64_t now = stats_of(g).frames_out;
        if (now && now == out && now % devices == 0)
            break;
        out = now;
        usleep(500000);
    }
    struct poa_gateway_stats before = stats_of(g);
    for (uint64_t slot = 1; slot <= SLOTS; slot++) {
        struct block b = block_make(&w, 3, slot);
        struct poa_gateway_proof proof = {.header = block_header(&b), .cert = block_cert(&b)};
        for (uint32_t i = 0; i < SEATS; i++)
            keys_of((uint32_t)((slot * 7919 + i * 104729) % devices), seed, seats[i]);
        poa_gateway_slot(g, slot, &proof, (const uint8_t(*)[32])seats, SEATS);
    }
    for (uint32_t ms = 0; ms < 60000; ms += 10) {
        struct poa_gateway_stats now = stats_of(g);
        if (now.tasks >= before.tasks + SLOTS * SEATS &&
            now.frames_out >= before.frames_out + SLOTS * SEATS)
            break;
        usleep(10000);
    }
    usleep(300000); /* nothing comes after it */
    struct poa_gateway_stats after = stats_of(g);
    cr_expect_eq(after.devices, devices);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    poa_gateway_stop(g, 0);
    poa_gateway_free(g);
    return (struct cost){after.frames_out - before.frames_out, after.bytes_out - before.bytes_out,
                         after.tasks - before.tasks};
}

Test(fleet, messages_per_block_do_not_depend_on_its_size, .timeout = 1000)
{
    const char *wanted = getenv("POA_FLEET");
    uint32_t sizes[2] = {100, wanted ? (uint32_t)atoi(wanted) : 1000};
    struct cost cost[2];
    world_make(&w, POA_EDGE_POLICY_VRF);
    for (int i = 0; i < 2; i++) {
        cost[i] = measure(sizes[i]);
        fprintf(stderr, "%u devices: %.2f messages and %.0f bytes per block\n", sizes[i],
                (double)cost[i].frames / SLOTS, (double)cost[i].bytes / SLOTS);
        cr_expect_eq(cost[i].tasks, SLOTS * SEATS);
        cr_expect_eq(cost[i].frames, SLOTS * SEATS);
    }
    cr_expect_eq(cost[1].frames, cost[0].frames);
    cr_expect_eq(cost[1].bytes, cost[0].bytes);
}
