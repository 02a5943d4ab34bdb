/* The state file: what it must still know after any interruption. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "poa_agent.h"

static char path[64];
static const uint8_t device[32] = {1, 2, 3};
static struct agent_keep *k;

static void start(void)
{
    strcpy(path, "/tmp/poa-keep-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    unlink(path);
    cr_assert_eq(poa_crypto_init(), POA_OK);
}

static void end(void)
{
    agent_keep_close(k);
    unlink(path);
}

TestSuite(keep, .init = start, .fini = end);

static int reopen(uint32_t packs)
{
    struct poa_why why = {""};
    agent_keep_close(k);
    k = NULL;
    return agent_keep_open(path, device, packs, &k, &why);
}

static void patch(uint64_t at, size_t n)
{
    uint8_t bytes[512];
    int fd = open(path, O_RDWR);
    memset(bytes, 0xee, sizeof bytes);
    cr_assert_eq(pwrite(fd, bytes, n, (off_t)at), (ssize_t)n);
    close(fd);
}

static int push(uint64_t cursor)
{
    struct poa_pack p = {.seq = agent_keep_next_seq(k),
                         .from_ms = 1,
                         .to_ms = 2,
                         .readings = 1,
                         .content = poa_slice("hello", 5)};
    return agent_keep_push(k, &p, cursor);
}

Test(keep, records_survive)
{
    uint8_t out[256];
    size_t n;
    cr_assert_eq(reopen(8), POA_OK);
    struct poa_device_port port = agent_keep_port(k);
    cr_assert_eq(port.load_mark(port.ctx, out, sizeof out, &n), POA_E_NOT_FOUND);
    cr_assert_eq(port.load_trust(port.ctx, out, sizeof out, &n), POA_E_NOT_FOUND);
    for (uint8_t i = 1; i <= 5; i++) {
        cr_assert_eq(port.store_mark(port.ctx, &i, 1), POA_OK);
        cr_assert_eq(reopen(8), POA_OK);
        port = agent_keep_port(k);
        cr_assert_eq(port.load_mark(port.ctx, out, sizeof out, &n), POA_OK);
        cr_assert(n == 1 && out[0] == i);
    }
    cr_assert_eq(port.store_trust(port.ctx, (const uint8_t *)"trust", 5), POA_OK);
    cr_assert_eq(reopen(8), POA_OK);
    port = agent_keep_port(k);
    cr_assert_eq(port.load_trust(port.ctx, out, sizeof out, &n), POA_OK);
    cr_assert(n == 5 && !memcmp(out, "trust", 5));
}

/* Marks lie at 4096 and 8192, written in turn. */
Test(keep, a_torn_write_leaves_the_mark_before)
{
    uint8_t out[256], a = 1, b = 2;
    size_t n;
    cr_assert_eq(reopen(8), POA_OK);
    struct poa_device_port port = agent_keep_port(k);
    cr_assert_eq(port.store_mark(port.ctx, &a, 1), POA_OK);
    patch(8192, 20); /* the second write begins and the power goes */
    cr_assert_eq(reopen(8), POA_OK);
    port = agent_keep_port(k);
    cr_assert_eq(port.load_mark(port.ctx, out, sizeof out, &n), POA_OK);
    cr_assert_eq(out[0], 1);
    cr_assert_eq(port.store_mark(port.ctx, &b, 1), POA_OK);
    patch(4096, 20); /* and the third */
    cr_assert_eq(reopen(8), POA_OK);
    port = agent_keep_port(k);
    cr_assert_eq(port.load_mark(port.ctx, out, sizeof out, &n), POA_OK);
    cr_assert_eq(out[0], 2);
}

Test(keep, a_torn_first_write_is_nothing)
{
    uint8_t out[256];
    size_t n;
    cr_assert_eq(reopen(8), POA_OK);
    patch(4096, 20);
    cr_assert_eq(reopen(8), POA_OK);
    struct poa_device_port port = agent_keep_port(k);
    cr_assert_eq(port.load_mark(port.ctx, out, sizeof out, &n), POA_E_NOT_FOUND);
}

Test(keep, two_damaged_marks_stop_the_device)
{
    uint8_t a = 1;
    cr_assert_eq(reopen(8), POA_OK);
    struct poa_device_port port = agent_keep_port(k);
    cr_assert_eq(port.store_mark(port.ctx, &a, 1), POA_OK);
    cr_assert_eq(port.store_mark(port.ctx, &a, 1), POA_OK);
    patch(4096, 60);
    patch(8192, 60);
    cr_assert_eq(reopen(8), POA_E_STORE_CORRUPT);
}

Test(keep, packs_wait_in_order)
{
    uint8_t buffer[POA_PACK_BYTES_MAX];
    struct poa_pack p;
    cr_assert_eq(reopen(8), POA_OK);
    for (uint64_t i = 1; i <= 5; i++)
        cr_assert_eq(push(100 * i), POA_OK);
    agent_keep_done(k, agent_keep_at(k, 1));
    cr_assert_eq(reopen(8), POA_OK);
    cr_assert_eq(agent_keep_count(k), 4);
    cr_assert_eq(agent_keep_at(k, 0)->seq, 1);
    cr_assert_eq(agent_keep_at(k, 1)->seq, 3);
    cr_assert_eq(agent_keep_next_seq(k), 6);
    cr_assert_eq(agent_keep_cursor(k), 500);
    cr_assert_eq(agent_keep_read(k, agent_keep_at(k, 1), buffer, &p), POA_OK);
    cr_assert_eq(p.seq, 3);
    cr_assert_eq(p.content.n, 5);
    cr_assert_null(agent_keep_at(k, 4));
}

Test(keep, a_full_ring_refuses_and_remembers_its_place)
{
    cr_assert_eq(reopen(4), POA_OK);
    uint64_t n = 0;
    while (!push(++n))
        ;
    cr_assert_eq(n - 1, 4);
    cr_assert_eq(push(9), POA_E_FULL);
    /* Many rounds over the ring: sequence and cursor are those of the newest. */
    for (int i = 0; i < 50; i++) {
        while (agent_keep_count(k))
            agent_keep_done(k, agent_keep_at(k, 0));
        cr_assert_eq(push(1000 + (uint64_t)i), POA_OK);
        uint64_t seq = agent_keep_next_seq(k);
        cr_assert_eq(reopen(4), POA_OK);
        cr_assert_eq(agent_keep_next_seq(k), seq);
        cr_assert_eq(agent_keep_cursor(k), 1000 + (uint64_t)i);
        cr_assert_eq(agent_keep_count(k), 1);
    }
    agent_keep_done(k, agent_keep_at(k, 0));
    cr_assert_eq(reopen(4), POA_OK);
    cr_assert_eq(agent_keep_count(k), 0);
    cr_assert_eq(agent_keep_cursor(k), 1049);
}

Test(keep, a_torn_pack_was_never_accepted)
{
    cr_assert_eq(reopen(4), POA_OK);
    cr_assert_eq(push(1), POA_OK);
    cr_assert_eq(push(2), POA_OK);
    uint32_t place = agent_keep_at(k, 1)->place;
    patch(28672 + place * 4608u + 60, 4);
    cr_assert_eq(reopen(4), POA_OK);
    cr_assert_eq(agent_keep_count(k), 1);
    cr_assert_eq(agent_keep_cursor(k), 1);
}

Test(keep, one_process_at_a_time)
{
    struct agent_keep *second;
    struct poa_why why = {""};
    cr_assert_eq(reopen(4), POA_OK);
    cr_assert_eq(agent_keep_open(path, device, 4, &second, &why), POA_E_LOCKED);
    cr_assert_gt(strlen(why.text), 0);
}

Test(keep, another_devices_file_is_refused)
{
    static const uint8_t other[32] = {9};
    struct poa_why why = {""};
    cr_assert_eq(reopen(4), POA_OK);
    agent_keep_close(k);
    k = NULL;
    cr_assert_eq(agent_keep_open(path, other, 4, &k, &why), POA_E_KEY);
}

Test(keep, a_file_that_is_not_ours_is_left_alone)
{
    struct poa_why why = {""};
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    char text[200], after[200];
    memset(text, 'x', sizeof text);
    cr_assert_eq(write(fd, text, sizeof text), (ssize_t)sizeof text);
    cr_assert_eq(agent_keep_open(path, device, 4, &k, &why), POA_E_STORE_CORRUPT);
    cr_assert_eq(pread(fd, after, sizeof after, 0), (ssize_t)sizeof after);
    cr_assert_eq(memcmp(text, after, sizeof text), 0);
    close(fd);
}

/* What is left of a device's memory is no new device: it could seal a slot twice. */
Test(keep, an_emptied_or_cut_file_is_refused)
{
    uint8_t a = 1;
    cr_assert_eq(reopen(8), POA_OK);
    struct poa_device_port port = agent_keep_port(k);
    cr_assert_eq(port.store_mark(port.ctx, &a, 1), POA_OK);
    agent_keep_close(k);
    k = NULL;
    int fd = open(path, O_RDWR);
    off_t whole = lseek(fd, 0, SEEK_END);
    static const off_t sizes[] = {40000, 12288, 4096, 4095, 76, 10, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct poa_why why = {""};
        cr_assert_eq(ftruncate(fd, sizes[i]), 0);
        cr_assert_eq(agent_keep_open(path, device, 8, &k, &why), POA_E_STORE_CORRUPT);
        cr_assert(strstr(why.text, "seal a slot twice"), "%s", why.text);
        cr_assert_eq(lseek(fd, 0, SEEK_END), sizes[i]); /* nothing was made of it */
    }
    cr_assert_eq(ftruncate(fd, whole), 0); /* all zeros */
    cr_assert_eq(reopen(8), POA_E_STORE_CORRUPT);
    close(fd);
}

/* A creation that was interrupted left a file of another name. */
Test(keep, an_interrupted_creation_is_repeated)
{
    char fresh[80];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd = open(fresh, O_CREAT | O_RDWR, 0600);
    cr_assert_eq(write(fd, "torn", 4), 4);
    close(fd);
    cr_assert_eq(reopen(8), POA_OK);
    cr_assert_neq(access(fresh, F_OK), 0);
    cr_assert_eq(push(1), POA_OK);
    cr_assert_eq(reopen(8), POA_OK);
    cr_assert_eq(agent_keep_count(k), 1);
}

/* A process that is killed at some write of a long series: whatever it said was
 * durable is there. */
Test(keep, killed_at_any_moment, .timeout = 60)
{
    for (int round = 0; round < 20; round++) {
        int say[2];
        uint64_t last = 0, v;
        cr_assert_eq(pipe(say), 0);
        pid_t pid = fork();
        if (!pid) {
            struct agent_keep *mine;
            if (agent_keep_open(path, device, 16, &mine, NULL))
                _exit(1);
            struct poa_device_port port = agent_keep_port(mine);
            uint8_t bytes[8];
            size_t n;
            v = port.load_mark(port.ctx, bytes, 8, &n) ? 0 : poa_le64(bytes);
            for (;;) {
                poa_put_le64(bytes, ++v);
                if (port.store_mark(port.ctx, bytes, 8) || write(say[1], &v, 8) != 8)
                    _exit(1);
            }
        }
        close(say[1]);
        usleep(2000 + (useconds_t)(round * 1500));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(say[0], &v, 8) == 8)
            last = v;
        close(say[0]);
        uint8_t bytes[8];
        size_t n;
        cr_assert_eq(reopen(16), POA_OK);
        struct poa_device_port port = agent_keep_port(k);
        int e = port.load_mark(port.ctx, bytes, 8, &n);
        cr_assert_eq(e, last ? POA_OK : e);
        if (!e)
            cr_assert_geq(poa_le64(bytes), last);
        agent_keep_close(k);
        k = NULL;
    }
}
