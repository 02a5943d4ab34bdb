#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_mesh.h"
#include "poa_file.h"
#include "poa_keys.h"
#include "poa_rpc_json.h"

#define READY_S 60.0

static void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void nap(double s)
{
    usleep((useconds_t)(s * 1e6));
}

/* --- files of a devnet --------------------------------------------------------------- */

static char *slurp(const struct net *net, const char *name)
{
    char path[512], *text = NULL;
    size_t n = 0;
    struct poa_why why;
    snprintf(path, sizeof path, "%s/%s", net->dir, name);
    return poa_file_read(path, (size_t)64 << 20, 0, &text, &n, &why) ? NULL : text;
}

static bool find_word(const char *text, const char *before, char *out, size_t cap)
{
    const char *p = strstr(text, before);
    if (!p)
        return false;
    p += strlen(before);
    size_t n = strcspn(p, " \n");
    if (n >= cap)
        return false;
    memcpy(out, p, n);
    out[n] = 0;
    return true;
}

/* The lock file says who runs, the log where its mesh listens. */
static bool look_up(struct net *net)
{
    char *text = slurp(net, "devnet.lock");
    json_t *v = text ? json_loads(text, 0, NULL) : NULL;
    json_t *list = json_object_get(v, "processes"), *p;
    size_t i;
    unsigned found = 0;
    free(text);
    json_array_foreach(list, i, p)
    {
        struct node *n = &net->node[found];
        const char *url = json_string_value(json_object_get(p, "rpc"));
        char log[64], hex[80] = "";
        snprintf(log, sizeof log, "ledger-%u/log", found);
        if (!url || found == net->n)
            continue;
        snprintf(n->name, sizeof n->name, "%s", json_string_value(json_object_get(p, "name")));
        snprintf(n->url, sizeof n->url, "%s", url);
        n->pid = (pid_t)json_integer_value(json_object_get(p, "pid"));
        text = slurp(net, log);
        bool fine = n->pid > 0 && text && strstr(text, "\nready") &&
                    find_word(text, "key ", hex, sizeof hex) && !poa_unhex(hex, n->key, 32) &&
                    find_word(text, "mesh ", n->mesh, sizeof n->mesh);
        free(text);
        if (!fine)
            break;
        found++;
    }
    json_decref(v);
    return found == net->n;
}

static json_t *ask(struct node *n, const char *method)
{
    struct poa_why why;
    json_t *result = NULL;
    if (n->dead)
        return NULL;
    if (!n->client)
        bench_must(poa_rpc_client_new(n->url, NULL, 10000, &n->client, &why), n->url);
    return poa_rpc_client_call(n->client, method, NULL, &result, &why) ? NULL : result;
}

static uint64_t number(json_t *v, const char *key)
{
    json_t *x = json_object_get(v, key);
    return json_is_string(x)    ? strtoull(json_string_value(x), NULL, 10)
           : json_is_integer(x) ? (uint64_t)json_integer_value(x)
                                : 0;
}

/* --- start and stop -------------------------------------------------------------------- */

static pid_t spawn(const struct net *net, const char *bin)
{
    char program[400], ledgers[16], out[400], peer[65];
    uint8_t key[32];
    poa_ed25519_public(net->submitter, key);
    poa_hex(key, 32, peer);
    snprintf(program, sizeof program, "%s/poa", bin);
    snprintf(ledgers, sizeof ledgers, "%u", net->n);
    snprintf(out, sizeof out, "%s.out", net->dir);
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    execl(program, program, "devnet", "--ledgers", ledgers, "--trusted", "0", "--devices", "0",
          "--data-dir", net->dir, "--peer", peer, (char *)NULL);
    _exit(127);
}

void net_start(struct net *net, const char *bin, const char *dir, unsigned n)
{
    memset(net, 0, sizeof *net);
    net->n = n;
    static unsigned nets; /* a chain of its own for each */
    snprintf(net->dir, sizeof net->dir, "%s/net%u", dir, nets++);
    poa_random(net->submitter, sizeof net->submitter);
    net->devnet = spawn(net, bin);
    double until = bench_now() + READY_S;
    while (!look_up(net)) {
        if (bench_now() > until || waitpid(net->devnet, NULL, WNOHANG) == net->devnet)
            die("the devnet does not start");
        nap(0.05);
    }
    char *text = slurp(net, "keys/load.seed");
    if (!text || strlen(text) < 64)
        die("no keys/load.seed");
    text[64] = 0;
    bench_must(poa_unhex(text, net->seed, 32), "load.seed");
    free(text);
    for (unsigned i = 0; i < n; i++) {
        bool ready = false;
        while (!ready) {
            json_t *v = ask(&net->node[i], "poa_status");
            ready = json_is_true(json_object_get(v, "ready"));
            if (ready)
                bench_must(
                    poa_unhex(json_string_value(json_object_get(v, "chain")), net->chain, 32),
                    "chain");
            json_decref(v);
            if (bench_now() > until)
                die("a server is not ready");
            nap(0.05);
        }
    }
}

void net_stop(struct net *net)
{
    kill(net->devnet, SIGCONT);
    kill(net->devnet, SIGINT);
    for (unsigned i = 0; i < net->n; i++)
        poa_rpc_client_free(net->node[i].client);
    while (waitpid(net->devnet, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* The devnet would start it again: it stands still from here on. */
void net_kill(struct net *net, unsigned i)
{
    kill(net->devnet, SIGSTOP);
    kill(net->node[i].pid, SIGKILL);
    net->node[i].dead = true;
}

/* As devnets derive them. */
void net_secret(const struct net *net, uint32_t account, uint8_t sk[32])
{
    uint8_t le[4];
    poa_put_le32(le, account);
    poa_hash2(POA_DOMAIN_SIM, net->seed, 32, le, sizeof le, sk);
}

void net_address(const struct net *net, uint32_t account, uint8_t address[32])
{
    uint8_t sk[32], pk[32];
    net_secret(net, account, sk);
    bench_must(poa_bip340_public(sk, pk), "key");
    poa_address_of_key(POA_KEY_BIP340, pk, address);
}

/* --- asking ------------------------------------------------------------------------------- */

uint64_t net_rss(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * 1024;
}

double net_cpu(pid_t pid)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    const char *p = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    if (!p ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        user = system = 0;
    if (f)
        fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* The text of URL/metrics. */
static void metrics_of(const struct node *n, char *out, size_t cap)
{
    static const char get[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(n->url, ':');
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t at = 0;
    a.sin_port = htons((uint16_t)atoi(port ? port + 1 : "0"));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        write(fd, get, sizeof get - 1) == (ssize_t)sizeof get - 1)
        for (ssize_t k; at + 1 < cap && (k = read(fd, out + at, cap - 1 - at)) > 0;)
            at += (size_t)k;
    out[at] = 0;
    if (fd >= 0)
        close(fd);
}

static double metric(const char *text, const char *name)
{
    char line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *p = strstr(text, line);
    return p ? atof(p + strlen(line)) : 0;
}

uint64_t net_txs(struct node *n)
{
    json_t *v = ask(n, "poa_status");
    uint64_t txs = number(json_object_get(v, "state"), "txs");
    json_decref(v);
    return txs;
}

void net_ask(struct net *net, struct said *out)
{
    bool first = true;
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < net->n; i++) {
        struct node *n = &net->node[i];
        if (n->dead)
            continue;
        json_t *v = first ? ask(n, "poa_status") : NULL;
        if (v) {
            out->txs = number(json_object_get(v, "state"), "txs");
            out->at = bench_now();
            first = false;
        }
        json_decref(v);
        v = ask(n, "poa_peers_list");
        json_t *list = json_is_array(v) ? v : json_object_get(v, "peers"), *p;
        size_t k;
        json_array_foreach(list, k, p) out->sent_bytes += number(p, "sent_bytes");
        json_decref(v);
        uint64_t rss = net_rss(n->pid);
        if (rss > out->rss_max)
            out->rss_max = rss;
        out->cpu += net_cpu(n->pid);
        static char text[1 << 17];
        metrics_of(n, text, sizeof text);
        out->fsyncs += metric(text, "poa_io_rounds_total");
        out->fsync_s += metric(text, "poa_io_fsync_seconds_total");
    }
}

void net_latency(struct net *net, struct poa_histogram *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < net->n; i++) {
        json_t *v = ask(&net->node[i], "poa_latency_get"), *b;
        size_t k;
        out->count += number(v, "count");
        out->sum_us += number(v, "sum_us");
        uint64_t most = number(v, "max_us");
        if (most > out->max_us)
            out->max_us = most;
        json_array_foreach(json_object_get(v, "buckets"), k, b)
        {
            uint64_t at = (uint64_t)json_integer_value(json_array_get(b, 0));
            const char *count = json_string_value(json_array_get(b, 1));
            if (at < POA_HISTOGRAM_BUCKETS && count)
                out->bucket[at] += strtoull(count, NULL, 10);
        }
        json_decref(v);
    }
}
