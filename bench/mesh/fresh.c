/* A node that joins: catch-up and its measure, the replay of what it fetched; and
 * a pruned follower. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_mesh.h"
#include "bench_replay.h"
#include "poa_file.h"
#include "poa_keystore.h"
#include "poa_ledger.h"
#include "poa_node_memo.h"
#include "poa_node_pages.h"
#include "poa_node_parallel.h"
#include "poa_node_replay.h"
#include "poa_store.h"

#define READY_S 60.0

/* --- a poad of our own -------------------------------------------------------------- */

static void write_config(const struct net *net, const struct fresh *f, const char *more)
{
    char path[400];
    struct poa_why why;
    uint8_t secret[32], pk[32];
    bench_must(mkdir(f->dir, 0700) ? POA_E_IO : POA_OK, f->dir);
    bench_must(poa_key_new(POA_KEY_ED25519, secret, pk), "key");
    snprintf(path, sizeof path, "%s/key.json", f->dir);
    bench_must(poa_keystore_create(path, POA_KEY_NODE, POA_KEY_ED25519, "fresh", secret, NULL,
                                   POA_KEYSTORE_CHEAP, NULL, &why),
               path);
    snprintf(path, sizeof path, "%s/poad.conf", f->dir);
    FILE *c = fopen(path, "w");
    bench_must(c ? POA_OK : POA_E_IO, path);
    fprintf(c,
            "name = fresh\ndata_dir = %s/data\ngenesis = %s/genesis.poa\nkey = %s/key.json\n"
            "listen = off\nrpc = 127.0.0.1:0\nready_file = %s/ready\n%s",
            f->dir, net->dir, f->dir, f->dir, more);
    for (unsigned i = 0; i < net->n; i++) {
        char key[65];
        poa_hex(net->node[i].key, 32, key);
        fprintf(c, "peer = %s@%s\n", key, net->node[i].mesh);
    }
    bench_must(fclose(c) ? POA_E_IO : POA_OK, path);
}

void fresh_start(struct fresh *f, const struct net *net, const char *bin, const char *name,
                 const char *more)
{
    char program[500], config[400], log[400], path[400], *text = NULL;
    struct poa_why why;
    size_t n = 0;
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "%.200s-%s", net->dir, name);
    write_config(net, f, more);
    snprintf(program, sizeof program, "%s/poad", bin);
    snprintf(config, sizeof config, "%s/poad.conf", f->dir);
    snprintf(log, sizeof log, "%s/log", f->dir);
    f->node.pid = fork();
    if (!f->node.pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
            _exit(126);
        execl(program, program, "--config", config, (char *)NULL);
        _exit(127);
    }
    snprintf(path, sizeof path, "%s/ready", f->dir);
    double until = bench_now() + READY_S;
    while (poa_file_read(path, 4096, 0, &text, &n, &why)) {
        bench_must(bench_now() > until || waitpid(f->node.pid, NULL, WNOHANG) == f->node.pid
                       ? POA_E_TIMEOUT
                       : POA_OK,
                   "the fresh node does not start");
        usleep(20000);
    }
    const char *rpc = strstr(text, "rpc ");
    bench_must(rpc ? POA_OK : POA_E_INVALID, path);
    rpc += 4;
    bool whole = strncmp(rpc, "http", 4) == 0;
    snprintf(f->node.url, sizeof f->node.url, "%s%.*s", whole ? "" : "http://",
             (int)strcspn(rpc, " \n"), rpc);
    free(text);
}

void fresh_stop(struct fresh *f)
{
    kill(f->node.pid, SIGTERM);
    poa_rpc_client_free(f->node.client);
    f->node.client = NULL;
    while (waitpid(f->node.pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* --- catch-up ------------------------------------------------------------------------- */

void catch_up(struct net *net, const char *bin, double seconds_max, struct caught *out)
{
    struct fresh f;
    struct said goal, now;
    double begin = 0, cpu = 0;
    uint64_t first = 0;
    memset(out, 0, sizeof *out);
    net_ask(net, &goal);
    fresh_start(&f, net, bin, "fresh", "role = ledger\n");
    double until = bench_now() + seconds_max;
    for (;;) {
        uint64_t txs = net_txs(&f.node), rss = net_rss(f.node.pid);
        if (rss > out->rss_max)
            out->rss_max = rss;
        if (txs && !begin) {
            begin = bench_now();
            cpu = net_cpu(f.node.pid);
            first = txs;
        }
        if (txs >= goal.txs || bench_now() > until) {
            out->txs = txs - first;
            out->all = txs >= goal.txs;
            break;
        }
        usleep(10000);
    }
    out->seconds = bench_now() - begin;
    out->per_s = (double)out->txs / out->seconds;
    out->cpu_us = (net_cpu(f.node.pid) - cpu) / (double)(out->txs ? out->txs : 1) * 1e6;
    net_ask(net, &now);
    out->others_txs = now.txs - goal.txs;
    fresh_stop(&f);
    snprintf(out->dir, sizeof out->dir, "%s/data", f.dir);
}

/* --- the same blocks from the own disk ---------------------------------------------------- */

static void parallel(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n)
{
    struct node_workers **pool = ctx;
    if (*pool)
        node_workers_parallel(*pool, task, arg, n);
    else
        node_parallel(NULL, task, arg, n);
}

double replay_of(const struct net *net, const char *dir, unsigned cores, bool verify)
{
    char path[400], *genesis = NULL;
    size_t n = 0;
    struct poa_why why;
    struct bench_replay r = {.txs = 0};
    struct node_workers *pool = NULL;
    struct node_pages pages = {0};
    struct poa_store *s = NULL;
    struct poa_ledger *l = NULL;
    uint64_t first = 0, last = 0, height = 0;
    snprintf(path, sizeof path, "%s/genesis.poa", net->dir);
    bench_must(poa_file_read(path, (size_t)128 << 20, 0, &genesis, &n, &why), path);
    struct poa_store_config sc = {.dir = dir, .chain32 = net->chain, .tx_index = true};
    bench_must(poa_store_open(&sc, &s, &why), dir);
    struct poa_alloc alloc = node_pages_alloc(&pages);
    struct poa_ledger_config lc = {.suite = &node_suite,
                                   .alloc = alloc,
                                   .genesis = poa_slice(genesis, n),
                                   .parallel = parallel,
                                   .parallel_ctx = &pool};
    poa_random(&lc.salt, sizeof lc.salt);
    bench_must(poa_ledger_new(&lc, &l), "ledger");
    struct poa_core_config c = {.suite = &node_suite, .alloc = alloc, .ledger = l};
    node_memo_open(&poa_suite_ed25519);
    bench_must(poa_core_new(&c, bench_replay_now(), &r.core), "core");
    bench_must(node_workers_new(net->chain, cores, 1024, &pool), "workers");
    bench_must(poa_store_heights(s, &first, &last), "heights");
    struct node_replay_config config = {
        .store = s, .workers = pool, .verify = verify, .ctx = &r, .step = bench_replay_step};
    double begin = bench_now();
    bench_must(node_replay(&config, &height, last), "replay");
    double took = bench_now() - begin;
    node_workers_free(pool);
    pool = NULL;
    poa_core_free(r.core);
    poa_store_close(s);
    free(genesis);
    return (double)r.txs / took;
}
