#include "poa_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int poa_because(struct poa_why *why, int error, const char *format, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(why->text, sizeof why->text, format, ap);
        va_end(ap);
    }
    return error;
}

int poa_dir_sync(const char *dir, struct poa_why *why)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = fd < 0 || fsync(fd) != 0;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (bad)
        return poa_because(why, POA_E_IO, "cannot sync directory %s: %s", dir, strerror(saved));
    return POA_OK;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -1;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

static int exists(const char *path, struct poa_why *why)
{
    return poa_because(why, POA_E_EXISTS, "%s already exists: choose another name or remove it",
                       path);
}

int poa_file_absent(const char *path, struct poa_why *why)
{
    struct stat st;
    if (lstat(path, &st) == 0)
        return exists(path, why);
    if (errno != ENOENT)
        return poa_because(why, POA_E_IO, "cannot write %s: %s", path, strerror(errno));
    return POA_OK;
}

int poa_file_write(const char *path, const void *bytes, size_t n, unsigned mode, unsigned flags,
                   struct poa_why *why)
{
    char temp[PATH_MAX], parent[PATH_MAX];
    int len = snprintf(temp, sizeof temp, "%s.tmp.XXXXXX", path);
    if (len < 0 || (size_t)len >= sizeof temp)
        return poa_because(why, POA_E_IO, "cannot write %s: the path is too long", path);
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return poa_because(why, POA_E_IO, "cannot write %s: %s", path, strerror(errno));
    int bad = fchmod(fd, (mode_t)mode) != 0 || write_all(fd, bytes, n) != 0 || fsync(fd) != 0;
    int saved = errno;
    if (close(fd) != 0 && !bad) {
        bad = 1;
        saved = errno;
    }
    if (!bad) {
        /* link refuses to replace, rename replaces. */
        bad = (flags & POA_FILE_NEW) ? link(temp, path) != 0 : rename(temp, path) != 0;
        saved = errno;
    }
    if (bad || (flags & POA_FILE_NEW))
        unlink(temp);
    if (bad && saved == EEXIST)
        return exists(path, why);
    if (bad)
        return poa_because(why, POA_E_IO, "cannot write %s: %s", path, strerror(saved));
    snprintf(parent, sizeof parent, "%s", path);
    return poa_dir_sync(dirname(parent), why);
}

int poa_file_hold(const char *path, int *fd, struct poa_why *why)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    const char *dir = dirname(parent);
    int rc;
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    do
        rc = *fd < 0 ? -1 : flock(*fd, LOCK_EX);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return POA_OK;
    rc = poa_because(why, POA_E_IO, "cannot lock %s: %s", dir, strerror(errno));
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return rc;
}

/* Locks of open file descriptions (fcntl(2)): like flock(), but they can be asked for. */
static const struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

int poa_file_lock(int fd, struct poa_why *why)
{
    struct flock l = whole_file;
    if (fcntl(fd, F_OFD_SETLK, &l) == 0)
        return POA_OK;
    return errno == EAGAIN || errno == EACCES
               ? poa_because(why, POA_E_LOCKED, "in use by another process")
               : poa_because(why, POA_E_IO, "cannot lock: %s", strerror(errno));
}

bool poa_file_locked(int fd)
{
    struct flock l = whole_file;
    return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

static int read_all(int fd, char *p, size_t cap, size_t *n)
{
    *n = 0;
    while (*n < cap) {
        ssize_t r = read(fd, p + *n, cap - *n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        *n += (size_t)r;
    }
    return 0;
}

static int check_file(int fd, const char *path, unsigned flags, struct poa_why *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return poa_because(why, POA_E_IO, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return poa_because(why, POA_E_CONFIG, "%s is not a regular file", path);
    if ((flags & POA_FILE_SECRET) && (st.st_mode & 077) != 0)
        return poa_because(why, POA_E_CONFIG,
                           "%s can be read by others (mode %04o): run chmod 600 on it", path,
                           (unsigned)st.st_mode & 07777);
    return POA_OK;
}

int poa_file_read(const char *path, size_t cap, unsigned flags, char **out, size_t *out_n,
                  struct poa_why *why)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return poa_because(why, errno == ENOENT ? POA_E_NOT_FOUND : POA_E_IO, "cannot open %s: %s",
                           path, strerror(errno));
    int rc = check_file(fd, path, flags, why);
    char *p = NULL;
    if (rc == POA_OK && (p = malloc(cap + 1)) == NULL)
        rc = poa_because(why, POA_E_NO_MEMORY, "no memory to read %s", path);
    /* One byte more than allowed shows that the file is too large. */
    if (rc == POA_OK && read_all(fd, p, cap + 1, out_n) != 0)
        rc = poa_because(why, POA_E_IO, "cannot read %s: %s", path, strerror(errno));
    if (rc == POA_OK && *out_n > cap)
        rc = poa_because(why, POA_E_LIMIT, "%s is larger than %zu bytes", path, cap);
    close(fd);
    if (rc != POA_OK) {
        free(p);
        return rc;
    }
    p[*out_n] = '\0';
    *out = p;
    return POA_OK;
}
