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
#define ASK_MAX_MS  2000

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

/* The lock file's content, and the file; NULL with the reason when no devnet runs there. */
static json_t *running(const char *dir, int *fd, struct poa_why *why)
{
    char path[512];
    if ((size_t)snprintf(path, sizeof path, "%s/devnet.lock", dir) >= sizeof path) {
        poa_because(why, POA_E_LIMIT, "%.200s...: path too long", dir);
        return NULL;
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 && errno != ENOENT) {
        poa_because(why, POA_E_IO, "cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    for (int tries = 0; tries < HALF_TRIES && *fd >= 0 && poa_file_locked(*fd);
         tries++, pause_ms(20)) {
        json_t *v = json_load_file(path, 0, NULL);
        if (v != NULL)
            return v;
    }
    if (*fd >= 0 && poa_file_locked(*fd))
        poa_because(why, POA_E_AGAIN, "the devnet in %s is starting or stopping", dir);
    else
        poa_because(why, POA_E_NOT_FOUND,
                    "no devnet runs in %s; `poa devnet --data-dir %s` starts one", dir, dir);
    if (*fd >= 0)
        close(*fd);
    return NULL;
}

static const char *directory(const struct cli *c)
{
    return c->option[CLI_DATA_DIR] != NULL ? c->option[CLI_DATA_DIR] : "devnet-data";
}

int cli_devnet_down(const struct cli *c)
{
    int fd;
    struct poa_why why;
    json_t *v = running(directory(c), &fd, &why);
    if (v == NULL)
        return cli_fail("%s", why.text);
    pid_t pid = (pid_t)json_integer_value(json_object_get(v, "pid"));
    json_decref(v);
    int rc = 0;
    if (pid <= 1 || kill(pid, SIGTERM) != 0) {
        rc = cli_fail("cannot stop process %d: %s", (int)pid, strerror(errno));
    } else {
        uint64_t until = devnet_now_ms() + STOP_MAX_MS;
        while (poa_file_locked(fd) && devnet_now_ms() < until)
            pause_ms(POLL_MS / 2);
        rc = poa_file_locked(fd) ? cli_fail("process %d does not stop", (int)pid) : 0;
    }
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
    uint64_t until = devnet_now_ms() + wait_ms;
    json_t *v;
    for (;; pause_ms(POLL_MS)) {
        int fd;
        struct poa_why why;
        bool ready = false, late = devnet_now_ms() >= until;
        v = running(directory(c), &fd, &why);
        if (v != NULL) {
            close(fd);
            ready = ask_nodes(json_object_get(v, "processes"), &why);
        }
        if (ready || (v != NULL && wait_ms == 0))
            break;
        json_decref(v);
        if (late)
            return cli_fail("%s", why.text);
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
