/* Small files, read and replaced whole: keys, configuration, markers. */
#ifndef POA_FILE_H
#define POA_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "poa_error.h"

/* What went wrong, for people: one line, no newline, no secret. */
struct poa_why {
    char text[480];
};
/* Formats WHY (may be NULL). Returns ERROR. */
int poa_because(struct poa_why *why, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum poa_file_flags {
    POA_FILE_NEW = 1,    /* writing: POA_E_EXISTS when the file is there */
    POA_FILE_SECRET = 2, /* reading: refuse a file that others may read */
};

/* Writes a temporary file beside PATH, makes it durable, and moves it to PATH:
 * after a crash there is the old file or the new one, never a part.
 * Errors: POA_E_EXISTS, POA_E_IO (nothing is changed). */
POA_MUST_USE int poa_file_write(const char *path, const void *bytes, size_t n, unsigned mode,
                                unsigned flags, struct poa_why *why);
/* Whether nothing has the name PATH: no file, link, pipe or device. For writers of
 * long files, before they begin and before they take the name.
 * Errors: POA_E_EXISTS, POA_E_IO. */
POA_MUST_USE int poa_file_absent(const char *path, struct poa_why *why);
/* Reads at most CAP bytes into *OUT (malloc'ed, owned by the caller, with a zero
 * after the last byte).
 * Errors: POA_E_NOT_FOUND, POA_E_LIMIT (larger than CAP), POA_E_CONFIG (not a
 * regular file, or too widely readable), POA_E_IO, POA_E_NO_MEMORY. */
POA_MUST_USE int poa_file_read(const char *path, size_t cap, unsigned flags, char **out,
                               size_t *out_n, struct poa_why *why);
/* For who reads a file, changes it and writes it anew: waits until no other process does so in
 * the folder of PATH, and keeps them waiting until *FD is closed. Errors: POA_E_IO. */
POA_MUST_USE int poa_file_hold(const char *path, int *fd, struct poa_why *why);
/* Takes the lock of the open file FD (open for writing), which ends with it; POA_E_LOCKED when
 * another open file has it. */
POA_MUST_USE int poa_file_lock(int fd, struct poa_why *why);
/* Whether another open file has the lock. Does not take it, not even for a moment, in which
 * whoever wants it would be refused. */
bool poa_file_locked(int fd);
/* Makes what happened to the names in a directory durable. */
POA_MUST_USE int poa_dir_sync(const char *dir, struct poa_why *why);

#endif
