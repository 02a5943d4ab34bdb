/* The processes of a devnet: start, watch, stop. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "devnet.h"

#define STOP_GRACE_MS 60000
#define RESTART_MS    2000
#define SOON_MS       10000 /* who ends so soon after its start waits twice as long each time */
#define DOUBLINGS     4
/* LevelDB asks for its next log whole. */
#define DISK_FULL_BYTES (1u << 20)

uint64_t devnet_now_ms(void)
{
    return poa_clock_monotonic_ms(poa_clock_system());
}

/* Our environment and what P has beside it; NULL: out of memory. */
static char **environment(struct devnet_process *p)
{
    size_t n = 0;
    while (environ[n] != NULL)
        n++;
    char **e = calloc(n + 2, sizeof *e);
    if (e == NULL)
        return NULL;
    memcpy(e, environ, n * sizeof *e);
    e[n] = p->chaos[0] != 0 ? p->chaos : NULL;
    return e;
}

int devnet_start(struct devnet *d, struct devnet_process *p)
{
    char log[512];
    if (devnet_path(d, log, sizeof log, "%s/log", p->name) != 0)
        return 1;
    char **env = environment(p);
    if (env == NULL)
        return cli_fail("out of memory");
    pid_t parent = getpid();
    /* A signal between fork and exec would reach our handler in the child, and be
     * lost: it waits until the child has its own. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid != 0) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        free(env);
    }
    if (pid < 0)
        return cli_fail("cannot start %s: %s", p->name, strerror(errno));
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        /* Only async-signal-safe calls: another thread may hold any lock. It dies
         * with us, even when we are killed; and Ctrl-C reaches us alone. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        setpgid(0, 0);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        int in = open("/dev/null", O_RDONLY);
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
            _exit(126);
        if (in > 2)
            close(in);
        if (out > 2)
            close(out);
        execve(p->argument[0], p->argument, env);
        _exit(127);
    }
    setpgid(pid, pid); /* whoever comes first */
    p->pid = pid;
    p->started_ms = devnet_now_ms();
    p->restart_ms = 0;
    return 0;
}

void devnet_print_log_tail(const struct devnet *d, const struct devnet_process *p)
{
    char path[512], line[512], last[512] = "";
    if (devnet_path(d, path, sizeof path, "%s/log", p->name) != 0)
        return;
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        snprintf(last, sizeof last, "%.*s", (int)strcspn(line, "\n"), line);
    if (f != NULL)
        fclose(f);
    if (last[0] != 0)
        fprintf(stderr, "  it said: %s\n", last);
}

static void ended(struct devnet *d, struct devnet_process *p, int status)
{
    char how[64];
    p->failures = devnet_now_ms() - p->started_ms < SOON_MS ? p->failures + 1 : 1;
    uint64_t wait_ms = (uint64_t)RESTART_MS
                       << (p->failures - 1 < DOUBLINGS ? p->failures - 1 : DOUBLINGS);
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was killed by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "ended with code %d", WEXITSTATUS(status));
    fprintf(stderr, "%s%s %s; its log is %s/%s/log; it starts again in %d s\n",
            isatty(2) ? "\r\033[K" : "", p->name, how, d->dir, p->name, (int)(wait_ms / 1000));
    if (WIFEXITED(status))
        devnet_print_log_tail(d, p);
    struct statvfs disk; /* then the log is cut as well */
    if (statvfs(d->dir, &disk) == 0 && disk.f_bavail * disk.f_frsize < DISK_FULL_BYTES)
        fprintf(stderr, "  the disk that holds %s is full\n", d->dir);
    p->pid = 0;
    p->restart_ms = devnet_now_ms() + wait_ms;
}

struct devnet_process *devnet_running(const struct devnet *d)
{
    size_t i = 0;
    while (i < devnet_nodes(d) && d->process[i].pid <= 0)
        i++;
    return &d->process[i < devnet_nodes(d) ? i : 0];
}

unsigned devnet_watch(struct devnet *d)
{
    unsigned n = 0;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < d->processes; i++)
            if (d->process[i].pid == pid) {
                ended(d, &d->process[i], status);
                n++;
            }
    bool started = false;
    for (size_t i = 0; i < d->processes; i++) {
        struct devnet_process *p = &d->process[i];
        if (p->pid == 0 && p->restart_ms != 0 && devnet_now_ms() >= p->restart_ms) {
            p->restarts++;
            started = true;
            if (devnet_start(d, p) != 0)
                p->restart_ms = devnet_now_ms() + RESTART_MS;
        }
    }
    if (n > 0 || started)
        devnet_write_lock(d);
    return n;
}

static size_t alive(struct devnet *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->processes; i++) {
        struct devnet_process *p = &d->process[i];
        if (p->pid > 0 && (waitpid(p->pid, NULL, WNOHANG) == p->pid || kill(p->pid, 0) != 0))
            p->pid = 0;
        n += p->pid > 0;
    }
    return n;
}

void devnet_stop_all(struct devnet *d)
{
    /* Devices first, so that gateways see them go rather than drop them. */
    for (size_t i = d->processes; i-- > 0;)
        if (d->process[i].pid > 0)
            kill(d->process[i].pid, SIGTERM);
    uint64_t until = devnet_now_ms() + STOP_GRACE_MS;
    while (alive(d) > 0 && devnet_now_ms() < until)
        nanosleep(&(struct timespec){0, 10 * 1000000}, NULL);
    for (size_t i = 0; i < d->processes; i++) {
        struct devnet_process *p = &d->process[i];
        if (p->pid <= 0)
            continue;
        fprintf(stderr, "%s did not end within %d s: killed\n", p->name, STOP_GRACE_MS / 1000);
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        p->pid = 0;
    }
}

json_t *devnet_ask(struct devnet_process *p, const char *method, json_t *params)
{
    json_t *v = NULL;
    struct poa_why why;
    if (p->pid <= 0) {
        json_decref(params);
        return NULL;
    }
    return poa_rpc_client_call(p->client, method, params, &v, &why) == POA_OK ? v : NULL;
}

uint64_t devnet_rss_bytes(pid_t pid)
{
    char path[64];
    unsigned long long total = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    int n = fscanf(f, "%llu %llu", &total, &resident);
    fclose(f);
    return n == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
