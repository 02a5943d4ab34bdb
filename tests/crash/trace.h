/* What shim.c writes and cuts.c reads: a head and its payload, repeated. */
#ifndef TRACE_H
#define TRACE_H

enum trace_op {
    TRACE_CREATE = 1, /* name; empty file under a new number */
    TRACE_OPEN,       /* name; for appending */
    TRACE_WRITE,      /* bytes at the end */
    TRACE_SYNC,       /* of a file; 0: the folder */
    TRACE_RENAME,     /* from, 0, to */
    TRACE_UNLINK,     /* name */
    TRACE_MARK,       /* u64: everything up to here was promised */
};
struct trace_head {
    unsigned op, file, n;
};

#endif
