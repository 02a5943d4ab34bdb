/* bench-rpc: reads of a running node over HTTP on one core, as a ratio to a bare evhttp
 * handler that answers as many bytes, driven by wrk in turns. docs/performance.md. */
#include <dirent.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "poa_rpc_client.h"
#include "poa_rpc_json.h"

#define CONNECTIONS 32
#define ROUNDS_MAX  16
#define NICENESS    5

/* X(name, kind, method, parameters as JSON; %s: the address of alice). SAME: byte for byte;
 * NEXT: each time with the next id, as clients do; NEW: each time of another account, or from
 * another number on, so that no kept answer serves it. */
#define READS(X)                                                                                   \
    X("status", SAME, "poa_status", "[]")                                                          \
    X("account", SAME, "poa_account_get", "[\"%s\"]")                                              \
    X("block", SAME, "poa_block_get", "[1]")                                                       \
    X("devices", SAME, "poa_devices_list", "[]")                                                   \
    X("params", SAME, "poa_params_get", "[]")                                                      \
    X("next_account", NEXT, "poa_account_get", "[\"%s\"]")                                         \
    X("next_devices", NEXT, "poa_devices_list", "[0]")                                             \
    X("new_account", NEW, "poa_account_get", "[\"%s\"]")                                           \
    X("new_devices", NEW, "poa_devices_list", "[0]")
enum kind { SAME, NEXT, NEW, KINDS };
static const struct {
    const char *name;
    enum kind kind;
    const char *method, *params;
} reads[] = {
#define ROW(name, kind, method, params) {name, kind, method, params},
    READS(ROW)
#undef ROW
};
#define READS_N (sizeof reads / sizeof reads[0])

static struct {
    double node, bare, node_cpu_us, bare_cpu_us;
    size_t bytes;
} result[READS_N];

static char tmp[256], bin[400], url[128];
static pid_t net = -1, node = -1;
static bool json;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "bench-rpc: ");
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/* --- processes ---------------------------------------------------------------------------- */

static void clean_up(void)
{
    char command[400];
    if (net > 0) {
        kill(net, SIGTERM);
        waitpid(net, NULL, 0);
    }
    net = -1;
    if (tmp[0] && snprintf(command, sizeof command, "rm -rf '%s'", tmp) > 0 && system(command))
        fprintf(stderr, "bench-rpc: %s is left behind\n", tmp);
}

/* Every thread of PID on the first core; wrk gets the last one. */
static void pin(pid_t pid, unsigned core)
{
    char path[64];
    cpu_set_t set;
    struct dirent *e;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            (void)sched_setaffinity((pid_t)atoi(e->d_name), sizeof set, &set);
    if (d)
        closedir(d);
}

/* CPU seconds of PID. */
static double cpu_of(pid_t pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
    char *after = strrchr(text, ')');
    if (!after || sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &system) != 2)
        fail("%s cannot be read", path);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void start_node(void)
{
    char dir[300], program[500], command[1200];
    snprintf(dir, sizeof dir, "%s/net", tmp);
    snprintf(program, sizeof program, "%s/poa", bin);
    snprintf(command, sizeof command, "'%s' devnet status --data-dir '%s' --json 2>/dev/null",
             program, dir);
    net = fork();
    if (net == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(127);
        execl(program, program, "devnet", "--ledgers", "1", "--trusted", "0", "--devices", "0",
              "--data-dir", dir, "--json", NULL);
        _exit(127);
    }
    for (int i = 0; i < 600; i++) {
        FILE *f = popen(command, "r");
        json_t *v = f ? json_loadf(f, 0, NULL) : NULL, *p;
        if (f)
            pclose(f);
        size_t k;
        json_array_foreach(json_object_get(v, "processes"), k, p)
        {
            const char *rpc = json_string_value(json_object_get(p, "rpc"));
            if (rpc) {
                snprintf(url, sizeof url, "%s", rpc);
                node = (pid_t)json_integer_value(json_object_get(p, "pid"));
            }
        }
        json_decref(v);
        struct poa_rpc_client *client = NULL;
        struct poa_why why;
        json_t *status = NULL;
        bool up = url[0] && !poa_rpc_client_new(url, NULL, 2000, &client, &why) &&
                  !poa_rpc_client_call(client, "poa_status", NULL, &status, &why) &&
                  atoi(json_string_value(json_object_get(status, "height"))) > 20;
        json_decref(status);
        poa_rpc_client_free(client);
        if (up)
            return;
        if (waitpid(net, NULL, WNOHANG) != 0)
            break;
        usleep(200000);
    }
    fail("no node: see what %s devnet says", program);
}

/* --- the bare handler ------------------------------------------------------------------------ */

static void bare(struct evhttp_request *req, void *arg)
{
    const struct evbuffer *answer = arg;
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
    evbuffer_add(out, evbuffer_pullup((struct evbuffer *)(uintptr_t)answer, -1),
                 evbuffer_get_length(answer));
    evhttp_send_reply(req, 200, "OK", NULL);
}

static pid_t start_bare(size_t bytes, uint16_t *port)
{
    int pipes[2];
    if (pipe(pipes) != 0)
        fail("no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        /* As the node's thread: on a busy core both get the same share. */
        (void)setpriority(PRIO_PROCESS, 0, NICENESS);
        struct event_base *base = event_base_new();
        struct evhttp *http = evhttp_new(base);
        struct evbuffer *answer = evbuffer_new();
        struct sockaddr_in at;
        socklen_t n = sizeof at;
        for (size_t i = 0; i < bytes; i++)
            evbuffer_add(answer, "x", 1);
        evhttp_set_gencb(http, bare, answer);
        struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
        if (!s || getsockname(evhttp_bound_socket_get_fd(s), (struct sockaddr *)&at, &n))
            _exit(1);
        uint16_t bound = ntohs(at.sin_port);
        if (write(pipes[1], &bound, sizeof bound) != sizeof bound)
            _exit(1);
        event_base_dispatch(base);
        _exit(0);
    }
    close(pipes[1]);
    if (read(pipes[0], port, sizeof *port) != sizeof *port)
        fail("the bare server does not start");
    close(pipes[0]);
    return pid;
}

/* --- listeners ---------------------------------------------------------------------------------
 */

/* N readers of the event stream at TO, which read all of it. */
static void listen_to(const char *to, unsigned n)
{
    static const char request[] = "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static char sink[1 << 16];
    int poll = epoll_create1(0);
    at.sin_port = htons((uint16_t)atoi(strrchr(to, ':') + 1));
    for (unsigned i = 0; i < n; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) ||
            write(fd, request, sizeof request - 1) != sizeof request - 1 ||
            epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e))
            _exit(1);
    }
    for (;;) {
        struct epoll_event e[256];
        int k = epoll_wait(poll, e, 256, -1);
        for (int i = 0; i < k; i++)
            if (read(e[i].data.fd, sink, sizeof sink) <= 0)
                _exit(1);
    }
}

/* Median finality of a network of four under LOAD for SECONDS, while N listen to one of its
 * nodes; *CPU: the share of a core that this node took. */
static double finality(unsigned n, unsigned seconds, double *cpu)
{
    char command[1400], line[4096] = "";
    snprintf(command, sizeof command,
             "'%s/poa' devnet --ledgers 4 --trusted 0 --devices 0 --load 50 --for %us --data-dir "
             "'%s/%u' --json 2>/dev/null",
             bin, seconds, tmp, n);
    FILE *f = popen(command, "r");
    char status[1400];
    snprintf(status, sizeof status, "'%s/poa' devnet status --data-dir '%s/%u' --json 2>/dev/null",
             bin, tmp, n);
    pid_t first = 0, reader = 0;
    for (int i = 0; i < 100 && !first; i++) {
        usleep(100000);
        FILE *g = popen(status, "r");
        json_t *v = g ? json_loadf(g, 0, NULL) : NULL;
        json_t *p = json_array_get(json_object_get(v, "processes"), 0);
        if (json_is_true(json_object_get(p, "ready"))) {
            first = (pid_t)json_integer_value(json_object_get(p, "pid"));
            reader = n ? fork() : 0;
            if (n && reader == 0)
                listen_to(json_string_value(json_object_get(p, "rpc")), n);
        }
        json_decref(v);
        if (g)
            pclose(g);
    }
    double before = first ? cpu_of(first) : 0;
    sleep(seconds / 2);
    *cpu = first ? (cpu_of(first) - before) / (seconds / 2) : 0;
    bool lost = reader > 0 && waitpid(reader, NULL, WNOHANG) != 0;
    while (f && fgets(line, sizeof line, f))
        ;
    if (reader > 0 && !lost) {
        kill(reader, SIGKILL);
        waitpid(reader, NULL, 0);
    }
    json_t *v = json_loads(line, 0, NULL);
    double p50 = json_real_value(json_object_get(v, "finality_ms_p50"));
    if (!f || pclose(f) != 0 || !json_is_true(json_object_get(v, "healthy")) || lost || p50 <= 0)
        fail("the network with %u listeners: %.300s%s", n, line,
             lost ? " (a reader was lost)" : "");
    json_decref(v);
    return p50;
}

static void listeners(unsigned n, unsigned seconds)
{
    double without[3], with[3], cpu[2] = {0}, c;
    char command[400];
    for (int i = 0; i < 3; i++) {
        without[i] = finality(0, seconds, &c);
        cpu[0] += c / 3;
        with[i] = finality(n, seconds, &c);
        cpu[1] += c / 3;
        snprintf(command, sizeof command, "rm -rf '%s'/*", tmp);
        if (system(command) != 0)
            fail("cannot remove %s", tmp);
    }
    double a = bench_median(without, 3), b = bench_median(with, 3);
    printf("{\"listeners\":%u,\"finality_ms_p50\":%.1f,\"finality_ms_p50_with\":%.1f,"
           "\"ratio_finality\":%.2f,\"node_cpu\":%.2f,\"node_cpu_with\":%.2f}\n",
           n, a, b, b / a, cpu[0], cpu[1]);
}

/* --- wrk ---------------------------------------------------------------------------------------
 */

/* More accounts than answers are kept. */
#define ADDRESSES 8192

static void write_script(const char *path, const char *body, enum kind kind, const char *alice)
{
    FILE *f = fopen(path, "w");
    if (!f)
        fail("cannot write %s", path);
    fprintf(f,
            "wrk.method = 'POST'\nwrk.body = [==[%s]==]\n"
            "wrk.headers['Content-Type'] = 'application/json'\n",
            body);
    if (kind == NEXT)
        fprintf(f, "local n = 0\nlocal body = wrk.body\nfunction request()\n  n = n + 1\n"
                   "  return wrk.format(nil, nil, nil, (body:gsub('\"id\":1', '\"id\":' .. n)))\n"
                   "end\n");
    if (kind == NEW) {
        fprintf(f, "local who = {");
        for (uint32_t i = 0; i < ADDRESSES; i++) {
            uint8_t address[32] = {0};
            char text[POA_ADDRESS_TEXT_BYTES];
            poa_hash(POA_DOMAIN_ADDRESS, &i, sizeof i, address);
            poa_address_to_text(address, text);
            fprintf(f, "'%s',", text);
        }
        fprintf(f,
                "}\nlocal n = 0\nlocal body = wrk.body\nfunction request()\n  n = n + 1\n"
                "  local b = body:gsub('%s', who[n %% %d + 1]):gsub('%%[0%%]', '[' .. n .. ']')\n"
                "  return wrk.format(nil, nil, nil, b)\nend\n",
                alice, ADDRESSES);
    }
    fclose(f);
}

/* Requests per second. */
static double drive(const char *to, const char *script, double seconds)
{
    char command[900], line[256];
    double rate = 0;
    unsigned bad = 0;
    snprintf(command, sizeof command, "taskset -c %u wrk -t1 -c%d -d%.0fs -s '%s' '%s/' 2>&1",
             bench_cores() - 1, CONNECTIONS, seconds, script, to);
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof line, f)) {
        (void)sscanf(line, "Requests/sec: %lf", &rate);
        (void)sscanf(line, "  Non-2xx or 3xx responses: %u", &bad);
    }
    if (!f || pclose(f) != 0 || rate <= 0 || bad)
        fail("wrk failed (apt-get install wrk), or %u requests were refused", bad);
    return rate;
}

static size_t answer_bytes(const char *method, const char *params)
{
    struct poa_rpc_client *client = NULL;
    struct poa_why why;
    json_t *v = NULL;
    if (poa_rpc_client_new(url, NULL, 5000, &client, &why) ||
        poa_rpc_client_call(client, method, json_loads(params, 0, NULL), &v, &why))
        fail("%s: %s", method, why.text);
    size_t n =
        json_dumpb(v, NULL, 0, POA_RPC_DUMP) + strlen("{\"jsonrpc\":\"2.0\",\"result\":,\"id\":1}");
    json_decref(v);
    poa_rpc_client_free(client);
    return n;
}

static void address_of_alice(char *out, size_t n)
{
    char command[1200];
    snprintf(command, sizeof command, "'%s/poa' keys show alice --keys '%s/net/keys' --json", bin,
             tmp);
    FILE *f = popen(command, "r");
    json_t *v = f ? json_loadf(f, 0, NULL) : NULL;
    const char *address = json_string_value(json_object_get(v, "address"));
    if (!address)
        fail("no account to read");
    snprintf(out, n, "%s", address);
    json_decref(v);
    pclose(f);
}

static void measure(size_t i, unsigned rounds, double seconds, const char *alice)
{
    char params[256], body[512], script[320], bare_url[64];
    double node_v[ROUNDS_MAX], bare_v[ROUNDS_MAX], node_cpu = 0, bare_cpu = 0, node_n = 0,
                                                   bare_n = 0;
    uint16_t port = 0;
    if (strstr(reads[i].params, "%s"))
        snprintf(params, sizeof params, "[\"%s\"]", alice);
    else
        snprintf(params, sizeof params, "%s", reads[i].params);
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
             reads[i].method, params);
    snprintf(script, sizeof script, "%s/script.lua", tmp);
    write_script(script, body, reads[i].kind, alice);
    result[i].bytes = answer_bytes(reads[i].method, params);
    pid_t server = start_bare(result[i].bytes, &port);
    snprintf(bare_url, sizeof bare_url, "http://127.0.0.1:%u", port);
    pin(server, 0);
    pin(node, 0);
    for (unsigned k = 0; k < rounds; k++) {
        double before = cpu_of(server);
        bare_v[k] = drive(bare_url, script, seconds);
        bare_cpu += cpu_of(server) - before;
        bare_n += bare_v[k] * seconds;
        before = cpu_of(node);
        node_v[k] = drive(url, script, seconds);
        node_cpu += cpu_of(node) - before;
        node_n += node_v[k] * seconds;
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    result[i].node = bench_median(node_v, rounds);
    result[i].bare = bench_median(bare_v, rounds);
    result[i].node_cpu_us = node_cpu / node_n * 1e6;
    result[i].bare_cpu_us = bare_cpu / bare_n * 1e6;
    if (!json)
        printf("%-12s %6zu bytes  %7.0f /s of %7.0f /s: %.2f   CPU %.1f us of %.1f us: %.2f\n",
               reads[i].name, result[i].bytes, result[i].node, result[i].bare,
               result[i].node / result[i].bare, result[i].bare_cpu_us, result[i].node_cpu_us,
               result[i].bare_cpu_us / result[i].node_cpu_us);
    fflush(stdout);
}

/* The same number of each: times add up. */
static void report(void)
{
    double node_s[KINDS] = {0}, bare_s[KINDS] = {0}, node_cpu[KINDS] = {0}, bare_cpu[KINDS] = {0};
    json_t *all = json_object();
    for (size_t i = 0; i < READS_N; i++) {
        enum kind k = reads[i].kind;
        node_s[k] += 1 / result[i].node;
        bare_s[k] += 1 / result[i].bare;
        node_cpu[k] += result[i].node_cpu_us;
        bare_cpu[k] += result[i].bare_cpu_us;
        json_object_set_new(all, reads[i].name,
                            json_pack("{s:I, s:f, s:f, s:f, s:f}", "bytes",
                                      (json_int_t)result[i].bytes, "per_s", result[i].node,
                                      "bare_per_s", result[i].bare, "ratio",
                                      result[i].node / result[i].bare, "cpu_ratio",
                                      result[i].bare_cpu_us / result[i].node_cpu_us));
    }
    static const char *const names[KINDS][2] = {
        {"ratio_to_bare_evhttp", "cpu_ratio_to_bare_evhttp"},
        {"ratio_next_id", "cpu_ratio_next_id"},
        {"ratio_new", "cpu_ratio_new"},
    };
    json_t *v = json_object();
    for (size_t k = 0; k < KINDS; k++) {
        json_object_set_new(v, names[k][0], json_real(bare_s[k] / node_s[k]));
        json_object_set_new(v, names[k][1], json_real(bare_cpu[k] / node_cpu[k]));
    }
    json_object_set_new(v, "connections", json_integer(CONNECTIONS));
    json_object_set_new(v, "reads", all);
    char *text = json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(4));
    puts(text);
    free(text);
    json_decref(v);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"quick", no_argument, NULL, 'q'},
                                            {"listeners", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    unsigned rounds = 5, readers = 0;
    double seconds = 3;
    char self[400], alice[128];
    int k;
    while ((k = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (k == 'j')
            json = true;
        else if (k == 'q')
            rounds = 2, seconds = 1;
        else if (k == 'l' && atoi(optarg) > 0)
            readers = (unsigned)atoi(optarg);
        else {
            fprintf(k == 'h' ? stdout : stderr,
                    "usage: bench-rpc [--quick] [--json] [--listeners N]\n"
                    "Reads of a node on one core, as a ratio to a bare evhttp handler. Needs wrk.\n"
                    "With --listeners: finality of a network while N read the events of a node.\n");
            return k == 'h' ? 0 : 2;
        }
    }
    if (!readers && system("command -v wrk >/dev/null") != 0) {
        fprintf(stderr, "bench-rpc: skipped: no wrk (apt-get install wrk)\n");
        return 0;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        fail("/proc is needed");
    self[n] = 0;
    snprintf(bin, sizeof bin, "%s", dirname(self));
    snprintf(tmp, sizeof tmp, "%s/bench-rpc.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(tmp))
        fail("cannot make %s", tmp);
    atexit(clean_up);
    if (readers) {
        listeners(readers, rounds == 2 ? 6 : 12);
        return 0;
    }
    start_node();
    address_of_alice(alice, sizeof alice);
    for (size_t i = 0; i < READS_N; i++)
        measure(i, rounds, seconds, alice);
    report();
    return 0;
}
