/* Kills the process at a chosen step of what poa-device does with its state file and its
 * socket. POA_KILL is WHAT:WHEN:N, the N-th time:
 *
 *   WHAT  mark, trust, pack, done: a write of that record to the state file
 *         sync-mark, sync-trust, sync-pack: the fdatasync after it
 *         send-mark, send-pack: the first bytes sent after that
 *         recv-mark, recv-pack: the first bytes received after those
 *   WHEN  before, torn (half of it is written or sent), after
 *
 * POA_KILL_SEEN names a file to which each killing appends its WHAT:WHEN. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* Where the records are in the state file: src/agent/keep.c. */
#define MARK_AT   4096
#define TRUST_AT  12288
#define PLACES_AT 28672
#define DONE_AT   40 /* in a cell */

static const char *written = ""; /* last record that was written */
static const char *synced = "";  /* and made durable: nothing was sent since */
static const char *sent = "";    /* nothing was received since */
static unsigned times;

/* Whether this is where it ends. */
static int now(const char *what, const char *name, const char *when)
{
    const char *plan = getenv("POA_KILL");
    char here[64];
    int n = snprintf(here, sizeof here, "%s%s:%s:", what, name, when);
    if (!plan || n <= 0 || strncmp(plan, here, (size_t)n) != 0)
        return 0;
    return ++times >= (unsigned)atoi(plan + n);
}

static void die(const char *what, const char *name, const char *when)
{
    const char *path = getenv("POA_KILL_SEEN");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (fd >= 0)
        dprintf(fd, "%s%s:%s\n", what, name, when);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void maybe(const char *what, const char *name, const char *when)
{
    if (now(what, name, when))
        die(what, name, when);
}

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    const uint8_t *cell = p;
    const char *kind = at < MARK_AT     ? "head"
                       : at < TRUST_AT  ? "mark"
                       : at < PLACES_AT ? "trust"
                       : cell[DONE_AT]  ? "done"
                                        : "pack";
    maybe("", kind, "before");
    if (now("", kind, "torn")) {
        if (REAL(pwrite64)(fd, p, n / 2, at) < 0)
            abort();
        die("", kind, "torn");
    }
    ssize_t done = REAL(pwrite64)(fd, p, n, at);
    maybe("", kind, "after");
    written = kind;
    return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return pwrite64(fd, p, n, at);
}

int fdatasync(int fd)
{
    maybe("sync-", written, "before");
    int rc = REAL(fdatasync)(fd);
    maybe("sync-", written, "after");
    synced = written;
    return rc;
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    if (*synced) {
        maybe("send-", synced, "before");
        if (now("send-", synced, "torn")) {
            if (REAL(send)(fd, p, n / 2, flags) < 0)
                abort();
            die("send-", synced, "torn");
        }
    }
    ssize_t done = REAL(send)(fd, p, n, flags);
    if (done > 0 && *synced) {
        maybe("send-", synced, "after");
        sent = synced;
        synced = "";
    }
    return done;
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    ssize_t done = REAL(recv)(fd, p, n, flags);
    if (done > 0 && *sent) {
        maybe("recv-", sent, "after");
        sent = "";
    }
    return done;
}
