/* The whole agent against a gateway on loopback, and its parts. */
#include <stdio.h>
#include <sys/stat.h>

#include "edge_node.h"
#include "poa_agent.h"

#define DEVICE_A 100

/* --- gateways ------------------------------------------------------------------- */

#define K "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

Test(gateways, forms)
{
    struct agent_gateway g[AGENT_GATEWAYS_MAX];
    struct poa_why why;
    size_t n = 0;
    cr_assert_eq(agent_gateways_parse(K "@127.0.0.1:7000," K "@[::1]:7001", g, &n, &why), POA_OK);
    cr_assert_eq(agent_gateways_parse(K "@gw.example:65535", g, &n, &why), POA_OK);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(g[0].host, "127.0.0.1");
    cr_assert_str_eq(g[0].port, "7000");
    cr_assert_str_eq(g[1].host, "::1");
    cr_assert_str_eq(g[2].port, "65535");
    cr_assert_eq(g[2].key[1], 0x11);
}

Test(gateways, refusals)
{
    static const char *const bad[] = {
        "127.0.0.1:7000", "00@h:1",  K "@h",  K "@h:",      K "@:1",  K "@h:0",
        K "@h:99999",     K "@h:1x", K "h:1", "," K "@h:1", K "@h:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct agent_gateway g[AGENT_GATEWAYS_MAX];
        struct poa_why why = {""};
        size_t n = 0;
        cr_assert_eq(agent_gateways_parse(bad[i], g, &n, &why), POA_E_TEXT, "%s", bad[i]);
        cr_assert_gt(strlen(why.text), 0);
    }
}

Test(gateways, none_sends_a_device_away_for_long)
{
    struct agent_link l;
    agent_link_init(&l, 1);
    for (int i = 0; i < 100; i++) {
        uint64_t wait = agent_link_down(&l, AGENT_DOWN_TOLD, UINT32_MAX);
        cr_assert_geq(wait, 600000);
        cr_assert_leq(wait, 751000);
    }
    for (int i = 0; i < 3; i++) {
        agent_link_up(&l);
        uint64_t wait = agent_link_down(&l, AGENT_DOWN_TOLD, 2000);
        cr_assert(wait >= 2000 && wait <= 2750);
    }
}

Test(gateways, all_that_send_a_device_away_are_asked_more_and_more_slowly)
{
    struct agent_link l;
    uint64_t most = 0;
    agent_link_init(&l, 3);
    agent_link_up(&l);
    for (size_t i = 0; i < 40; i++) {
        uint64_t wait = agent_link_down(&l, AGENT_DOWN_TOLD, 1000);
        cr_expect_eq(l.next, (i + 1) % 3);
        if (i < 2)
            cr_expect(wait < 1000, "the others are asked first: %llu ms", (unsigned long long)wait);
        else
            cr_expect(wait >= 1000);
        most = wait > most ? wait : most;
    }
    cr_expect(most >= 60000 && most <= 76000, "%llu", (unsigned long long)most);
    agent_link_up(&l);
    cr_expect(agent_link_down(&l, AGENT_DOWN_TOLD, 1000) < 1000);
}

Test(gateways, a_lost_one_is_tried_once_more_a_silent_one_is_not)
{
    struct agent_link l;
    agent_link_init(&l, 2);
    agent_link_up(&l);
    cr_expect(agent_link_down(&l, AGENT_DOWN_LOST, 0) < 1000);
    cr_expect_eq(l.next, 0);
    cr_expect(agent_link_down(&l, AGENT_DOWN_FAILED, 0) < 1000);
    cr_expect_eq(l.next, 1);
    agent_link_up(&l);
    cr_expect(agent_link_down(&l, AGENT_DOWN_BROKEN, 0) < 1000);
    cr_expect_eq(l.next, 0);
}

Test(gateways, every_address_of_a_name_has_its_turn)
{
    struct agent_link l;
    agent_link_init(&l, 2);
    cr_assert_eq(agent_link_address(&l, 3), 0);
    for (size_t round = 0; round < 7; round++)
        for (size_t i = 0; i < 2; i++) { /* each gateway at the same one */
            cr_expect_eq(l.next, i);
            cr_expect_eq(agent_link_address(&l, 3), round % 3);
            cr_expect_eq(agent_link_address(&l, 1), 0);
            (void)agent_link_down(&l, AGENT_DOWN_FAILED, 0);
        }
    agent_link_up(&l);
    cr_expect_eq(agent_link_address(&l, 3), 0);
}

/* --- procfs --------------------------------------------------------------------- */

static void put(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s", dir, name);
    for (char *p = path + strlen(dir) + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(path, 0700);
            *p = '/';
        }
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *value_of(const struct agent_reading *r, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(r[i].name, name))
            return r[i].number;
    return NULL;
}

Test(procfs, reads_what_the_host_says)
{
    char dir[] = "/tmp/poa-proc-XXXXXX";
    struct agent_reading r[AGENT_PROCFS_MAX];
    cr_assert_not_null(mkdtemp(dir));
    struct agent_procfs p = {.root = dir};
    cr_assert_eq(agent_procfs_read(&p, 1700000000000, r), 0, "nothing there, nothing said");
    put(dir, "/proc/loadavg", "0.52 0.40 0.31 2/300 1234\n");
    put(dir, "/proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n");
    put(dir, "/proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n");
    put(dir, "/proc/diskstats",
        "   8       0 sda 10 0 100 5 20 0 200 5 0 5 5\n"
        "   8       1 sda1 10 0 100 5 20 0 200 5 0 5 5\n"
        " 259       0 nvme0n1 1 0 8 5 2 0 16 5 0 5 5\n"
        " 259       1 nvme0n1p1 1 0 8 5 2 0 16 5 0 5 5\n"
        "   7       0 loop0 1 0 8 5 2 0 16 5 0 5 5\n");
    put(dir, "/proc/net/dev",
        "Inter-|   Receive  |  Transmit\n face |bytes packets\n"
        "    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n"
        "  eth0: 1000 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0\n"
        "  wlan0:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n");
    put(dir, "/sys/class/thermal/thermal_zone0/temp", "-5250\n");
    size_t n = agent_procfs_read(&p, 1700000000000, r);
    cr_assert_str_eq(value_of(r, n, "load"), "0.520");
    cr_assert_null(value_of(r, n, "cpu"), "a share needs two samples");
    cr_assert_str_eq(value_of(r, n, "mem_total"), "2097152");
    cr_assert_str_eq(value_of(r, n, "mem_available"), "1048576");
    cr_assert_str_eq(value_of(r, n, "disk_read"), "55296");
    cr_assert_str_eq(value_of(r, n, "disk_written"), "110592");
    cr_assert_str_eq(value_of(r, n, "net_received"), "1005");
    cr_assert_str_eq(value_of(r, n, "net_sent"), "2007");
    cr_assert_str_eq(value_of(r, n, "temp0"), "-5.250");
    put(dir, "/proc/stat", "cpu  150 0 150 900 0 0 0 0 0 0\n");
    n = agent_procfs_read(&p, 1700000005000, r);
    cr_assert_str_eq(value_of(r, n, "cpu"), "0.500");
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(poa_json_number(r[i].number, strlen(r[i].number)), POA_OK, "%s", r[i].number);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

Test(procfs, this_host_says_something)
{
    struct agent_reading r[AGENT_PROCFS_MAX];
    struct agent_procfs p = {.root = ""};
    size_t n = agent_procfs_read(&p, 1700000000000, r);
    cr_assert_not_null(value_of(r, n, "mem_total"));
}

/* --- the whole ---------------------------------------------------------------------- */

static struct fake f;
static char dir[32];

struct runner {
    struct agent_config config;
    struct agent_gateway gateway[2];
    struct agent_summary sum;
    struct poa_why why;
    char state[64], source[128];
    atomic_int stop;
    pthread_t thread;
    int result;
};

static void *run(void *arg)
{
    struct runner *r = arg;
    r->result = agent_run(&r->config, &r->sum, &r->why);
    return NULL;
}

/* Looks every ten milliseconds; fails when patience ends. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        int left_ = PATIENCE_MS / 10;                                                              \
        while (!(condition) && left_-- > 0)                                                        \
            usleep(10000);                                                                         \
        cr_assert(condition, "waited for " #condition);                                            \
    } while (0)

static void prepare(struct runner *r)
{
    memset(r, 0, sizeof *r);
    world_keys(r->config.seed32, r->config.key32, DEVICE_A);
    memcpy(r->gateway[0].key, f.w.gateway_key, 32);
    strcpy(r->gateway[0].host, "127.0.0.1");
    snprintf(r->gateway[0].port, sizeof r->gateway[0].port, "%u", poa_gateway_port(f.g));
    snprintf(r->state, sizeof r->state, "%s/state", dir);
    r->config.state_path = r->state;
    r->config.gateway = r->gateway;
    r->config.gateways = 1;
    r->config.pack_ms = 100;
    r->config.queue_packs = 64;
    r->config.clock = poa_clock_system();
    r->config.stop = &r->stop;
    r->config.for_ms = 100000;
}

static void launch(struct runner *r)
{
    cr_assert_eq(pthread_create(&r->thread, NULL, run, r), 0);
}

static void finish(struct runner *r)
{
    r->stop = 1;
    pthread_join(r->thread, NULL);
    cr_assert_eq(r->result, POA_OK, "%s", r->why.text);
}

static void make_dir(void)
{
    strcpy(dir, "/tmp/poa-agent-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(agent, .init = make_dir, .fini = remove_dir, .timeout = 120);

static size_t write_csv(const char *path, size_t rows)
{
    FILE *file = fopen(path, "w");
    fputs("timestamp,power,voltage\n", file);
    for (size_t i = 0; i < rows; i++)
        fprintf(file, "2020-01-01T%02zu:%02zu:%02zu,%zu,230.%zu\n", i / 3600, i / 60 % 60, i % 60,
                i, i % 10);
    fclose(file);
    return rows;
}

/* Readings of all stored packs, each checked against its receipt. */
static size_t anchored_readings(uint32_t *seen, size_t rows)
{
    size_t total = 0;
    for (size_t i = 0; i < f.blobs; i++) {
        struct poa_pack p;
        struct agent_senml *r;
        struct poa_edge_receipt receipt;
        uint8_t bytes[2048];
        size_t n;
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        if (f.blob[i].kind != POA_BLOB_PACK)
            continue;
        struct poa_slice pack = poa_slice(f.blob[i].bytes, f.blob[i].n);
        cr_assert_eq(poa_pack_check(SUITE, f.w.chain, pack, &p), POA_OK);
        cr_assert_eq(fake_blob_get(&f, POA_BLOB_RECEIPT, f.blob[i].key, &w), POA_OK);
        cr_assert_eq(poa_edge_receipt_decode(poa_written(&w), &receipt), POA_OK);
        cr_assert_eq(poa_pack_path_check(f.blob[i].key, receipt.index, receipt.packs, receipt.path,
                                         receipt.root),
                     POA_OK);
        cr_assert_eq(agent_senml_read((const char *)p.content.p, p.content.n, 0, &r, &n,
                                      &(struct poa_why){""}),
                     POA_OK);
        cr_assert_eq(n, p.readings);
        for (size_t k = 0; k < n; k++) {
            size_t name = strlen(r[k].name);
            if (name > 5 && !strcmp(r[k].name + name - 5, "power")) {
                cr_assert_lt(r[k].value, rows);
                seen[(size_t)r[k].value]++;
                cr_assert_eq(r[k].time, 1577836800.0 + r[k].value);
            }
        }
        total += n;
        agent_senml_free(r, n);
    }
    return total;
}

Test(agent, every_reading_of_a_file_is_anchored_once)
{
    struct runner r;
    char csv[64];
    static uint32_t seen[2000];
    fake_start(&f);
    prepare(&r);
    snprintf(csv, sizeof csv, "%s/a.csv", dir);
    size_t rows = write_csv(csv, 2000);
    snprintf(r.source, sizeof r.source, "csv:%s", csv);
    r.config.source = r.source;
    r.config.once = true;
    r.config.queue_packs = 8; /* smaller than the file: the source has to wait */
    launch(&r);
    pthread_join(r.thread, NULL);
    cr_assert_eq(r.result, POA_OK, "%s", r.why.text);
    cr_assert_eq(r.sum.readings, 2 * rows);
    cr_assert_eq(r.sum.waiting, 0);
    cr_assert_eq(r.sum.receipts, r.sum.packs);
    cr_assert_eq(anchored_readings(seen, rows), 2 * rows);
    for (size_t i = 0; i < rows; i++)
        cr_assert_eq(seen[i], 1, "reading %zu was anchored %u times", i, seen[i]);
    fake_stop(&f);
}

Test(agent, packs_wait_on_disk_for_a_gateway)
{
    struct runner r;
    char csv[64];
    static uint32_t seen[300];
    struct poa_gateway_config config = fake_config(&f);
    fake_open(&f, &config);
    prepare(&r);
    uint16_t port = poa_gateway_port(f.g);
    poa_gateway_stop(f.g, 0);
    poa_gateway_free(f.g); /* nobody is there */
    snprintf(csv, sizeof csv, "%s/a.csv", dir);
    size_t rows = write_csv(csv, 300);
    snprintf(r.source, sizeof r.source, "csv:%s", csv);
    r.config.source = r.source;
    r.config.for_ms = 3000;
    launch(&r);
    pthread_join(r.thread, NULL);
    cr_assert_eq(r.result, POA_OK, "%s", r.why.text);
    cr_assert_gt(r.sum.waiting, 0);
    cr_assert_eq(r.sum.receipts, 0);
    /* Another process, later, with a gateway: nothing is lost, nothing read twice. */
    config.port = port;
    fake_open(&f, &config);
    r.config.for_ms = 100000;
    r.config.once = true;
    launch(&r);
    pthread_join(r.thread, NULL);
    cr_assert_eq(r.result, POA_OK, "%s", r.why.text);
    cr_assert_eq(r.sum.waiting, 0);
    cr_assert_eq(anchored_readings(seen, rows), 2 * rows);
    for (size_t i = 0; i < rows; i++)
        cr_assert_eq(seen[i], 1);
    fake_stop(&f);
}

Test(agent, live_readings_and_a_seal)
{
    struct runner r;
    struct poa_gateway_config config = fake_config(&f);
    f.genesis.seal_slots = 1000;
    fake_open(&f, &config);
    prepare(&r);
    r.config.source = "procfs";
    r.config.interval_ms = 20;
    launch(&r);
    AWAIT(fake_stats(&f).receipts >= 3);
    /* A task, as soon as the lottery gives it a slot. */
    for (uint64_t slot = fake_slot(&f);; slot--) {
        struct poa_edge_epoch e = world_epoch(3, 16, 10);
        uint32_t index;
        uint64_t rank;
        poa_random_seat(f.w.chain, e.seed, slot, 0, e.eligible, &index, &rank);
        if (index)
            continue;
        struct block block = fake_block(&f, 3, slot);
        struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0),
                                          block_cert(&block)};
        poa_gateway_slot(f.g, slot, &proof, (const uint8_t(*)[32])r.config.key32, 1);
        break;
    }
    AWAIT(fake_stats(&f).seals);
    finish(&r);
    cr_assert_eq(r.sum.sealed, 1);
    cr_assert_eq(r.sum.connects, 1);
    cr_assert_gt(r.sum.readings, 0);
    fake_stop(&f);
}

Test(agent, it_goes_to_another_gateway)
{
    struct runner r;
    static struct fake second;
    struct poa_gateway_config config = fake_config(&second);
    world_keys(config.seed32, second.w.gateway_key, 333);
    second.genesis.time_ms = 0;
    fake_start(&f);
    second.genesis = f.genesis; /* the same chain */
    fake_open(&second, &config);
    prepare(&r);
    r.gateway[1] = r.gateway[0];
    memcpy(r.gateway[1].key, second.w.gateway_key, 32);
    snprintf(r.gateway[1].port, sizeof r.gateway[1].port, "%u", poa_gateway_port(second.g));
    r.config.gateways = 2;
    launch(&r);
    AWAIT(fake_stats(&f).devices);
    poa_gateway_stop(f.g, 1000);
    AWAIT(fake_stats(&second).devices);
    finish(&r);
    cr_assert_geq(r.sum.connects, 2);
    fake_stop(&f);
    fake_stop(&second);
}

Test(agent, bad_configuration_is_said)
{
    struct runner r;
    fake_start(&f);
    prepare(&r);
    r.config.source = "csv:/nonexistent";
    cr_assert_eq(agent_run(&r.config, &r.sum, &r.why), POA_E_NOT_FOUND);
    cr_assert_not_null(strstr(r.why.text, "/nonexistent"));
    r.config.source = "tea";
    cr_assert_eq(agent_run(&r.config, &r.sum, &r.why), POA_E_CONFIG);
    r.config.source = NULL;
    r.config.state_path = "/nonexistent/state";
    cr_assert_eq(agent_run(&r.config, &r.sum, &r.why), POA_E_IO);
    fake_stop(&f);
}
