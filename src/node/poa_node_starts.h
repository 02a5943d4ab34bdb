/* How often this node was started: a count in a file beside its key and the same one in its
 * database. Together they tell whether the database is an older copy (memory.c).
 *
 *   file \ database     none           behind         as far or further
 *   none                first start    unsure         unsure
 *   a count             lost           older          nothing is lost
 *   0                   first start       -           nothing is lost
 *   no count            lost           unsure         unsure
 *
 * Before a database knows its node for the first time there is a 0 in the file, so a database
 * without a file never is one whose first start was interrupted. */
#ifndef POA_NODE_STARTS_H
#define POA_NODE_STARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "poa_file.h"

/* Counts are smaller: one more is always a count. */
#define NODE_STARTS_MAX (UINT64_C(1) << 62)
/* More than anybody starts a node: added when it is not known how often that was. Every other
 * copy of the database is older from then on. */
#define NODE_STARTS_UNSURE (UINT64_C(1) << 32)

enum node_starts_file { NODE_STARTS_ABSENT, NODE_STARTS_READ, NODE_STARTS_NO_COUNT };

struct node_starts {
    enum node_starts_file file;
    uint64_t count;     /* READ; else 0 */
    struct poa_why why; /* else: what is wrong with the file, with its name */
};

/* What PATH says. A file that cannot be read, or holds anything but what node_starts_write wrote,
 * has NO_COUNT.
 * Errors: NO_MEMORY. */
POA_MUST_USE int node_starts_read(const char *path, struct node_starts *out);
/* Errors: as poa_file_write. */
POA_MUST_USE int node_starts_write(const char *path, uint64_t count, struct poa_why *why);

enum node_starts_found {
    NODE_STARTS_FIRST,    /* this key never voted on this chain */
    NODE_STARTS_WHOLE,    /* the database knows all that it said */
    NODE_STARTS_LOST,     /* it knows nothing, and there was something */
    NODE_STARTS_OLDER,    /* it is a copy of before the last start */
    NODE_STARTS_NOT_SURE, /* it may be one */
};

/* KNOWN: the database is that of this node, and was started STORED times. */
enum node_starts_found node_starts_compare(const struct node_starts *s, bool known,
                                           uint64_t stored);

#endif
