/* LD_PRELOAD shim under LevelDB, for tests of power cuts and sick disks.
 *
 * Files below $POA_SHIM_DIR only:
 *   POA_SHIM_TRACE=FILE  every change is appended to FILE, in order (trace.h)
 *   POA_SHIM_FULL=BYTES  writes fail with ENOSPC after so many bytes
 *   POA_SHIM_SICK=N      fdatasync and fsync fail with EIO from the Nth on
 *   POA_SHIM_READONLY=1  nothing opens for writing: EROFS
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace.h"

#define FDS 65536

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *dir;
static size_t dir_n;
static int trace = -1;
static unsigned file_of[FDS]; /* 0: not ours; else its number */
static char name_of[FDS][32];
static unsigned files;
static unsigned long long written, full, syncs, sick, readonly;

static unsigned long long number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

static void begin(void)
{
    const char *to = getenv("POA_SHIM_TRACE");
    dir = getenv("POA_SHIM_DIR");
    dir_n = dir ? strlen(dir) : 0;
    full = number("POA_SHIM_FULL");
    sick = number("POA_SHIM_SICK");
    readonly = number("POA_SHIM_READONLY");
    if (to && dir)
        trace =
            (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static const char *ours(const char *path)
{
    pthread_once(&once, begin);
    if (!dir || strncmp(path, dir, dir_n) != 0)
        return NULL;
    return path[dir_n] == '/' ? path + dir_n + 1 : path[dir_n] ? NULL : path + dir_n;
}

/* With the mutex. */
static void note(enum trace_op op, unsigned file, const void *bytes, size_t n)
{
    struct trace_head h = {(unsigned)op, file, (unsigned)n};
    if (trace < 0)
        return;
    if (syscall(SYS_write, trace, &h, sizeof h) != (long)sizeof h ||
        (n && syscall(SYS_write, trace, bytes, n) != (long)n))
        abort();
}

/* Called by the program under test: everything up to SEQ is promised. */
void poa_shim_mark(unsigned long long seq);
void poa_shim_mark(unsigned long long seq)
{
    pthread_once(&once, begin);
    pthread_mutex_lock(&mutex);
    note(TRACE_MARK, 0, &seq, sizeof seq);
    pthread_mutex_unlock(&mutex);
}

static int opened(int fd, const char *path, int flags)
{
    const char *name = fd >= 0 && fd < FDS ? ours(path) : NULL;
    int saved = errno;
    if (fd >= 0 && fd < FDS) {
        pthread_mutex_lock(&mutex);
        file_of[fd] = 0;
        if (name && !*name) {
            file_of[fd] = UINT32_MAX; /* the folder itself */
        } else if (name && (flags & O_ACCMODE) != O_RDONLY) {
            file_of[fd] = ++files;
            snprintf(name_of[fd], sizeof name_of[fd], "%s", name);
            note(flags & O_TRUNC ? TRACE_CREATE : TRACE_OPEN, file_of[fd], name, strlen(name));
        }
        pthread_mutex_unlock(&mutex);
    }
    errno = saved;
    return fd;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...);                                                    \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                       \
            va_list ap;                                                                            \
            va_start(ap, flags);                                                                   \
            mode = va_arg(ap, mode_t);                                                             \
            va_end(ap);                                                                            \
        }                                                                                          \
        const char *own = ours(path);                                                              \
        if (readonly && own && (flags & O_ACCMODE) != O_RDONLY) {                                  \
            errno = EROFS;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        long fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);                                \
        return opened((int)fd, path, flags);                                                       \
    }
OPEN(open)
OPEN(open64)
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open(path, flags);
}
int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
    return open(path, flags);
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS) {
        pthread_mutex_lock(&mutex);
        file_of[fd] = 0;
        pthread_mutex_unlock(&mutex);
    }
    return (int)syscall(SYS_close, fd);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    if (fd < 0 || fd >= FDS || !file_of[fd])
        return syscall(SYS_write, fd, bytes, n);
    pthread_mutex_lock(&mutex);
    ssize_t done = -1;
    if (full && written + n > full) {
        errno = ENOSPC;
    } else {
        done = syscall(SYS_write, fd, bytes, n);
        if (done > 0) {
            written += (unsigned long long)done;
            note(TRACE_WRITE, file_of[fd], bytes, (size_t)done);
        }
    }
    pthread_mutex_unlock(&mutex);
    return done;
}

/* A file that is overwritten whole: on the disk as if another one took its place. */
static ssize_t overwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (fd < 0 || fd >= FDS || !file_of[fd])
        return syscall(SYS_pwrite64, fd, bytes, n, at);
    pthread_mutex_lock(&mutex);
    ssize_t done = -1;
    if (at)
        abort(); /* nothing of ours does, and the trace could not say it */
    if (full && written + n > full) {
        errno = ENOSPC;
    } else {
        done = syscall(SYS_pwrite64, fd, bytes, n, at);
        if (done > 0) {
            file_of[fd] = ++files;
            note(TRACE_CREATE, file_of[fd], name_of[fd], strlen(name_of[fd]));
            note(TRACE_WRITE, file_of[fd], bytes, (size_t)done);
        }
    }
    pthread_mutex_unlock(&mutex);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return overwrite(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    return overwrite(fd, bytes, n, at);
}

static int synced(int fd, long call)
{
    if (fd < 0 || fd >= FDS || !file_of[fd])
        return (int)syscall(call, fd);
    pthread_mutex_lock(&mutex);
    int rc = -1;
    if (sick && ++syncs >= sick) {
        errno = EIO;
    } else {
        rc = (int)syscall(call, fd);
        if (!rc)
            note(TRACE_SYNC, file_of[fd] == UINT32_MAX ? 0 : file_of[fd], NULL, 0);
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

int fdatasync(int fd)
{
    return synced(fd, SYS_fdatasync);
}

int fsync(int fd)
{
    return synced(fd, SYS_fsync);
}

int rename(const char *from, const char *to)
{
    const char *a = ours(from), *b = ours(to);
    pthread_mutex_lock(&mutex);
    int rc = (int)syscall(SYS_rename, from, to);
    if (!rc && a && b) {
        char both[512];
        int n = snprintf(both, sizeof both, "%s%c%s", a, 0, b);
        note(TRACE_RENAME, 0, both, (size_t)n);
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

int unlink(const char *path)
{
    const char *name = ours(path);
    pthread_mutex_lock(&mutex);
    int rc = (int)syscall(SYS_unlink, path);
    if (!rc && name)
        note(TRACE_UNLINK, 0, name, strlen(name));
    pthread_mutex_unlock(&mutex);
    return rc;
}

int remove(const char *path)
{
    return unlink(path);
}
