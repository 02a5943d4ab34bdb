/* Who runs a devnet: its lock file, and the commands that look from outside. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devnet.h"

#define POLL_MS     100
#define HALF_TRIES  100 /* looks at a file that is being written, 20 ms apart */
#define STOP_MAX_MS 300000
/* In looks, not in time: when the machine or this process stood still, nobody had the chance. */
#define PAUSED_LOOKS (10000 / POLL_MS) /* who is stopped by a signal does not end by itself */
#define BEGIN_LOOKS  (60000 / POLL_MS) /* --wait: until there is a devnet to wait for */
#define TELL_MS      4000              /* between two lines about what is waited for */
#define ASK_MAX_MS   2000

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int runs_already(const char *dir)
{
    return cli_fail("a devnet is running in %s; `poa devnet down --data-dir %s` stops it", dir,
                    dir);
}

int devnet_lock(struct devnet *d)
{
    char path[512];
    if (devnet_path(d, path, sizeof path, "devnet.lock") != 0)
        return 1;
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return cli_fail("cannot open %s: %s", path, strerror(errno));
    struct poa_why why;
    int rc = poa_file_lock(d->lock_fd, &why);
    /* What a killed one left names processes and ports that may be others' by now. */
    if (rc == POA_OK && ftruncate(d->lock_fd, 0) != 0)
        rc = poa_because(&why, POA_E_IO, "cannot empty it: %s", strerror(errno));
    if (rc == POA_OK)
        return 0;
    rc = rc == POA_E_LOCKED ? runs_already(d->dir) : cli_fail("%s: %s", path, why.text);
    close(d->lock_fd); /* the other one's: it stays as it is */
    d->lock_fd = -1;
    return rc;
}

int devnet_check_idle(const char *dir)
{
    char path[DEVNET_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/devnet.lock", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool taken = fd >= 0 && poa_file_locked(fd);
    if (fd >= 0)
        close(fd);
    return taken ? runs_already(dir) : 0;
}

void devnet_write_lock(const struct devnet *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->processes; i++) {
        const struct devnet_process *p = &d->process[i];
        json_t *item = json_pack("{s:s, s:i, s:i}", "name", p->name, "pid", (int)p->pid, "restarts",
                                 (int)p->restarts);
        if (p->rpc != 0) {
            char url[64];
            snprintf(url, sizeof url, "http://127.0.0.1:%u", p->rpc);
            json_object_set_new(item, "rpc", json_string(url));
        }
        if (p->gateway != 0)
            json_object_set_new(item, "gateway", json_integer(p->gateway));
        json_array_append_new(list, item);
    }
    json_t *v =
        json_pack("{s:i, s:s, s:o}", "pid", (int)getpid(), "dir", d->dir, "processes", list);
    char *text = v != NULL ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    /* In place: the lock is on this file. A reader that meets half of it retries. */
    if (text == NULL || ftruncate(d->lock_fd, 0) != 0 ||
        pwrite(d->lock_fd, text, strlen(text), 0) != (ssize_t)strlen(text))
        cli_fail("cannot write the lock file");
    free(text);
}

/* --- the commands ------------------------------------------------------------------------ */

/* The lock file's content, and the file. Errors, with the reason: POA_E_NOT_FOUND no devnet runs
 * there; POA_E_AGAIN it is starting or stopping. */
static int running(const char *dir, json_t **out, int *fd, struct poa_why *why)
{
    char path[512];
    *out = NULL;
    if ((size_t)snprintf(path, sizeof path, "%s/devnet.lock", dir) >= sizeof path)
        return poa_because(why, POA_E_LIMIT, "%.200s...: path too long", dir);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 && errno != ENOENT)
        return poa_because(why, POA_E_IO, "cannot open %s: %s", path, strerror(errno));
    for (int tries = 0; tries < HALF_TRIES && *fd >= 0 && poa_file_locked(*fd);
         tries++, pause_ms(20)) {
        *out = json_load_file(path, 0, NULL);
        if (*out != NULL)
            return POA_OK;
    }
    int rc =
        *fd >= 0 && poa_file_locked(*fd)
            ? poa_because(why, POA_E_AGAIN, "the devnet in %s is starting or stopping", dir)
            : poa_because(why, POA_E_NOT_FOUND,
                          "no devnet runs in %s; `poa devnet --data-dir %s` starts one", dir, dir);
    if (*fd >= 0)
        close(*fd);
    return rc;
}

/* Whether a signal stopped PID, as SIGSTOP or a debugger does. */
static bool paused(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    text[n] = 0;
    const char *name_end = strrchr(text, ')');
    return name_end != NULL &&
           (strncmp(name_end, ") T", 3) == 0 || strncmp(name_end, ") t", 3) == 0);
}

static const char *directory(const struct cli *c)
{
    return c->option[CLI_DATA_DIR] != NULL ? c->option[CLI_DATA_DIR] : "devnet-data";
}

/* "waiting for process 12 and the 7 processes that it stops: ledger-0, ..." */
static void tell_stopping(const json_t *processes, pid_t pid)
{
    size_t i, n = 0, left = 0;
    const json_t *p;
    char names[300] = "";
    json_array_foreach(processes, i, p)
    {
        pid_t child = (pid_t)json_integer_value(json_object_get(p, "pid"));
        if (child <= 1 || kill(child, 0) != 0)
            continue;
        left++;
        if (n + 60 < sizeof names)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", left > 1 ? ", " : "",
                                  cli_text(p, "name"));
        else if (names[n - 1] != '.')
            n += (size_t)snprintf(names + n, sizeof names - n, ", ...");
    }
    fprintf(stderr, "waiting for process %d%s", (int)pid,
            paused(pid) ? ", which is stopped by a signal" : "");
    if (left > 0)
        fprintf(stderr, " and the %zu that it ends: %s", left, names);
    fputc('\n', stderr);
}

static int wait_stopped(int fd, const json_t *processes, pid_t pid)
{
    uint64_t now = devnet_now_ms(), until = now + STOP_MAX_MS, tell = now + TELL_MS / 2;
    for (int looks = 0; poa_file_locked(fd); pause_ms(POLL_MS)) {
        now = devnet_now_ms();
        looks = paused(pid) ? looks + 1 : 0;
        if (now > tell) {
            tell_stopping(processes, pid);
            tell = now + TELL_MS;
        }
        if (looks > PAUSED_LOOKS)
            return cli_fail("process %d of the devnet is stopped by a signal: `kill -CONT %d` "
                            "lets it go on, and it ends then",
                            (int)pid, (int)pid);
        if (now > until)
            return cli_fail("process %d of the devnet does not end within %d s; `kill -KILL %d` "
                            "ends it and its nodes",
                            (int)pid, STOP_MAX_MS / 1000, (int)pid);
    }
    return 0;
}

int cli_devnet_down(const struct cli *c)
{
    int fd;
    struct poa_why why;
    json_t *v;
    if (running(directory(c), &v, &fd, &why) != POA_OK)
        return cli_fail("%s", why.text);
    pid_t pid = (pid_t)json_integer_value(json_object_get(v, "pid"));
    int rc = pid <= 1 || kill(pid, SIGTERM) != 0
                 ? cli_fail("cannot stop process %d: %s", (int)pid, strerror(errno))
                 : wait_stopped(fd, json_object_get(v, "processes"), pid);
    json_decref(v);
    close(fd);
    if (rc == 0 && c->json)
        return cli_print_json(json_pack("{s:b, s:i}", "stopped", 1, "pid", (int)pid));
    if (rc == 0)
        printf("stopped\n");
    return rc;
}

/* Adds what each node says of itself to the list of processes. Whether all are ready; else WHY
 * names one that is not. */
static bool ask_nodes(json_t *list, struct poa_why *why)
{
    bool all = true;
    json_t *p;
    size_t i;
    json_array_foreach(list, i, p)
    {
        struct poa_rpc_client *client = NULL;
        struct poa_why reason;
        json_t *s = NULL;
        if (cli_text(p, "rpc")[0] == 0)
            continue;
        if (poa_rpc_client_new(cli_text(p, "rpc"), NULL, ASK_MAX_MS, &client, &reason) == POA_OK &&
            poa_rpc_client_call(client, "poa_status", NULL, &s, &reason) == POA_OK) {
            json_object_set_new(p, "height", json_string(cli_text(s, "height")));
            json_object_set(p, "ready", json_object_get(s, "ready"));
            snprintf(reason.text, sizeof reason.text, "%s", cli_text(s, "why"));
        } else {
            json_object_set_new(p, "ready", json_false());
        }
        if (all && !json_is_true(json_object_get(p, "ready"))) {
            all = false;
            poa_because(why, POA_E_AGAIN, "%s is not ready: %s", cli_text(p, "name"), reason.text);
        }
        json_decref(s);
        poa_rpc_client_free(client);
    }
    return all;
}

int cli_devnet_status(const struct cli *c)
{
    uint64_t wait_ms = 0;
    if (c->option[CLI_WAIT] != NULL && !cli_duration("--wait", c->option[CLI_WAIT], &wait_ms))
        return 2;
    uint64_t begin = devnet_now_ms(), tell = begin + TELL_MS;
    bool began = false;
    json_t *v;
    for (int looks = 0;; looks++, pause_ms(POLL_MS)) {
        int fd;
        struct poa_why why;
        uint64_t now = devnet_now_ms();
        bool late = now - begin >= wait_ms;
        int rc = running(directory(c), &v, &fd, &why);
        if (rc == POA_OK) {
            close(fd);
            if (ask_nodes(json_object_get(v, "processes"), &why) || wait_ms == 0)
                break;
            json_decref(v);
        }
        if (rc == POA_E_NOT_FOUND && began)
            return cli_fail("the devnet in %s ended; what it printed says why", directory(c));
        began |= rc == POA_OK || rc == POA_E_AGAIN;
        late |= !began && (rc != POA_E_NOT_FOUND || looks > BEGIN_LOOKS);
        if (late)
            return cli_fail("%s", why.text);
        if (now > tell) {
            fprintf(stderr, "waiting: %s\n", why.text);
            tell = now + TELL_MS;
        }
    }
    if (c->json)
        return cli_print_json(v);
    json_t *list = json_object_get(v, "processes"), *p;
    size_t i;
    printf("devnet in %s, process %" PRIu64 "\n", cli_text(v, "dir"), cli_number(v, "pid"));
    json_array_foreach(list, i, p)
    {
        printf("  %-12s pid %-8" PRIu64 " %s", cli_text(p, "name"), cli_number(p, "pid"),
               cli_text(p, "rpc"));
        if (json_object_get(p, "height") != NULL)
            printf("  height %s", cli_text(p, "height"));
        printf("%s\n", cli_number(p, "pid") == 0 ? "  not running" : "");
    }
    json_decref(v);
    return 0;
}
