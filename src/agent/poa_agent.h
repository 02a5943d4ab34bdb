/* agent: the host side of a device. Sources of readings, what must survive a
 * restart, the connection to a gateway: around src/device, which knows no file
 * and no socket. The program poa-device is this and an option parser. One
 * thread.
 *
 *   source ──readings──> pack (SenML) ──> state file ──> device ──> gateway
 *                                             ^─── receipt: forgotten ──┘
 */
#ifndef POA_AGENT_H
#define POA_AGENT_H

#include <stdatomic.h>
#include <stdio.h>

#include "poa_clock.h"
#include "poa_device.h"
#include "poa_file.h"
#include "poa_ledger.h"

/* --- readings ------------------------------------------------------------------- */

#define AGENT_NAME_MAX 48
struct agent_reading {
    char name[AGENT_NAME_MAX + 1]; /* fit for SenML */
    const char *unit;              /* SenML unit or NULL; static */
    uint64_t time_ms;              /* Unix */
    char number[40];               /* JSON number */
};

/* TEXT as a name that SenML allows; "vN" when nothing of it is left. */
void agent_name(const char *text, size_t n, char out[AGENT_NAME_MAX + 1]);

/* --- CSV ---------------------------------------------------------------------------
 *
 * Any file with a time column and numeric columns: commas, semicolons or tabs,
 * with or without a header line, LF or CRLF, quoted cells. Times: ISO 8601 with
 * T or a blank (with zone or UTC), day/month/year, or Unix seconds,
 * milliseconds or microseconds. Empty and non-numeric cells are passed over, and
 * numbers that are too large. Names are those of the first line that calls a column
 * a time; else of the first that is no comment and no row. */
struct agent_csv;
#define AGENT_CSV_COLUMNS 32

/* Errors: POA_E_NOT_FOUND, POA_E_IO, POA_E_TEXT (no row with a time and a
 * number in its first hundred lines); WHY. */
POA_MUST_USE int agent_csv_open(const char *path, struct agent_csv **out, struct poa_why *why);
void agent_csv_close(struct agent_csv *c);
/* The next row: its readings, borrowed until the next call. Lines without a
 * time or a number are counted and passed over. POA_E_NOT_FOUND at the end,
 * POA_E_IO. */
POA_MUST_USE int agent_csv_next(struct agent_csv *c, const struct agent_reading **out, size_t *n);
/* Where the next row begins; the reader goes on there. POA_E_RANGE past the end. */
uint64_t agent_csv_offset(const struct agent_csv *c);
POA_MUST_USE int agent_csv_seek(struct agent_csv *c, uint64_t offset);
uint64_t agent_csv_skipped(const struct agent_csv *c);
/* Numbers passed over: see poa_json_number. */
uint64_t agent_csv_too_large(const struct agent_csv *c);
/* Time in one cell; DAY_FIRST decides 3/4/2011 and is corrected by what it
 * sees. POA_E_TEXT. */
POA_MUST_USE int agent_csv_time(const char *text, bool *day_first, uint64_t *ms);

/* --- the host's own readings --------------------------------------------------------
 *
 * Load, processor use, memory, disk and network counters, temperatures where
 * there are any, from ROOT ("" on a real host) and its proc and sys. */
#define AGENT_PROCFS_MAX 16
struct agent_procfs {
    const char *root;
    uint64_t busy, total; /* processor time at the last sample */
};
/* How many readings were taken; what cannot be read is left out. */
size_t agent_procfs_read(struct agent_procfs *p, uint64_t now_ms,
                         struct agent_reading out[AGENT_PROCFS_MAX]);

/* --- a command -------------------------------------------------------------------------
 *
 * `sh -c COMMAND` runs for each sample and prints lines NAME VALUE [UNIT], also with
 * `=`, `,` or tabs between. Others are passed over; of a command that fails or runs
 * for more than 30 s nothing is taken. The loop never waits for it. */
struct agent_exec;
#define AGENT_EXEC_READINGS 32
POA_MUST_USE int agent_exec_open(const char *command, struct agent_exec **out, struct poa_why *why);
void agent_exec_close(struct agent_exec *e); /* kills it */
/* Starts it, unless it runs; its readings will be of WALL_MS. */
void agent_exec_start(struct agent_exec *e, uint64_t mono_ms, uint64_t wall_ms);
int agent_exec_fd(const struct agent_exec *e); /* readable: call read; -1: it does not run */
/* POA_E_AGAIN: it runs, or does not. POA_OK: it ended, or its time is over; its readings,
 * borrowed until it is started again. */
POA_MUST_USE int agent_exec_read(struct agent_exec *e, uint64_t mono_ms,
                                 const struct agent_reading **out, size_t *n);

/* --- SenML, read -------------------------------------------------------------------- */

struct agent_senml {
    char *name; /* base name and name */
    char *unit; /* or NULL */
    double time;
    double value;
    bool has_value; /* a number; others have a string, boolean or data */
};
/* Resolves the N bytes at TEXT (RFC 8428 section 4.6). *OUT is malloc'ed: free
 * with agent_senml_free. NOW_S: what times below 2^28 are relative to.
 * Errors: POA_E_TEXT (WHY), POA_E_NO_MEMORY. */
POA_MUST_USE int agent_senml_read(const char *text, size_t n, double now_s,
                                  struct agent_senml **out, size_t *out_n, struct poa_why *why);
void agent_senml_free(struct agent_senml *records, size_t n);

/* --- the state file -------------------------------------------------------------------
 *
 * One file of fixed size, written in place and made durable before anything
 * depends on it: the last sealed slot and the trusted committee, each in two
 * places in turn, and a ring of packs that have no receipt yet. One process
 * holds it at a time. */
struct agent_keep;
#define AGENT_KEEP_PACKS_MAX 65536

/* Errors: POA_E_LOCKED, POA_E_STORE_CORRUPT (another device's, or damaged),
 * POA_E_IO, POA_E_NO_MEMORY; WHY. PACKS: places of a new file's ring. */
POA_MUST_USE int agent_keep_open(const char *path, const uint8_t device32[32], uint32_t packs,
                                 struct agent_keep **out, struct poa_why *why);
void agent_keep_close(struct agent_keep *k);
/* Of the device library; its context is the struct agent_keep. */
struct poa_device_port agent_keep_port(struct agent_keep *k);

/* A pack that waits; SIG is not filled in. */
struct agent_kept {
    uint64_t seq;
    uint64_t cursor; /* position of the source after its last reading */
    uint8_t id[32];  /* the owner's: zero at first */
    uint32_t place;
    bool used, sent, stored;
    uint64_t sent_ms;
};
/* Durable on return. POA_E_FULL: no place, POA_E_IO. */
POA_MUST_USE int agent_keep_push(struct agent_keep *k, const struct poa_pack *pack,
                                 uint64_t cursor);
/* It has its receipt (or will never get one): its place is free. */
void agent_keep_done(struct agent_keep *k, struct agent_kept *p);
/* The I-th waiting pack, oldest first, or NULL. */
struct agent_kept *agent_keep_at(struct agent_keep *k, size_t i);
size_t agent_keep_count(const struct agent_keep *k);
size_t agent_keep_free(const struct agent_keep *k);
/* Reads it into BUFFER of POA_PACK_BYTES_MAX bytes; OUT borrows from it. */
POA_MUST_USE int agent_keep_read(struct agent_keep *k, const struct agent_kept *p, uint8_t *buffer,
                                 struct poa_pack *out);
/* Of the newest pack ever pushed: the next sequence number and the cursor. */
uint64_t agent_keep_next_seq(const struct agent_keep *k);
uint64_t agent_keep_cursor(const struct agent_keep *k);

/* --- a source and the packs made of it ---------------------------------------------------- */

struct agent_source;
/* SPEC: "procfs", "csv:FILE" or "exec:COMMAND". */
POA_MUST_USE int agent_source_open(const char *spec, const uint8_t device32[32],
                                   struct agent_keep *keep, struct agent_source **out,
                                   struct poa_why *why);
void agent_source_close(struct agent_source *s);
/* Takes one sample (a row, a set of host readings). POA_E_FULL: no place for
 * packs, nothing was read; POA_E_NOT_FOUND: the source has ended. */
POA_MUST_USE int agent_source_sample(struct agent_source *s, uint64_t now_ms);
/* A sample that comes later (exec): when FD, if there is one, is readable, collect
 * takes it; POA_E_AGAIN: not whole yet. */
int agent_source_fd(const struct agent_source *s);
POA_MUST_USE int agent_source_collect(struct agent_source *s);
/* Closes the pack under construction; POA_OK when there is none. */
POA_MUST_USE int agent_source_flush(struct agent_source *s);
/* Readings in the pack under construction, and of all packs so far. */
size_t agent_source_open_readings(const struct agent_source *s);
uint64_t agent_source_readings(const struct agent_source *s);

/* --- trust --------------------------------------------------------------------------------
 *
 * The trust record (edge_trust) that a device starts with: committee and
 * parameters of epoch 0 of the encoded GENESIS. Codec errors, POA_E_INVALID,
 * POA_E_NO_MEMORY; WHY. */
POA_MUST_USE int agent_trust_of_genesis(struct poa_slice genesis, struct poa_writer *out,
                                        struct poa_why *why);

/* --- pairing -------------------------------------------------------------------------
 *
 * A device shows its registration, which names its owner, maker and payout and which it
 * has signed: text in capitals, for a QR code. The maker's signature comes later. */
#define AGENT_PAIR_BYTES 640
#define AGENT_PAIR_TEXT  (2 * AGENT_PAIR_BYTES)
/* D's other fields are set; device and device_sig are filled in. Codec errors. */
POA_MUST_USE int agent_pair_text(const uint8_t chain32[32], const uint8_t seed32[32],
                                 struct poa_op_device *d, char text[AGENT_PAIR_TEXT]);
/* OUT borrows from BUFFER; its maker_sig is zero. POA_E_TEXT. */
POA_MUST_USE int agent_pair_parse(const char *text, uint8_t buffer[AGENT_PAIR_BYTES],
                                  struct poa_op_device *out);
/* TEXT as a QR code for a terminal with a dark ground. POA_E_TOO_LONG. */
POA_MUST_USE int agent_qr_print(FILE *to, const char *text);

/* --- which gateway, when -------------------------------------------------------------------- */

enum agent_down {
    AGENT_DOWN_FAILED, /* never worked */
    AGENT_DOWN_LOST,   /* worked, then the stream broke: the same gateway once more */
    AGENT_DOWN_BROKEN, /* worked, then said what it should not, or nothing new: another one */
    AGENT_DOWN_TOLD,   /* the gateway said when to return */
    AGENT_DOWN_RENEW,  /* the session got old: same gateway, at once */
};

/* Jittered back-off over several gateways. */
struct agent_link {
    size_t gateways;
    size_t next;     /* gateway to dial */
    size_t failures; /* in a row */
    bool stayed;     /* with the gateway that was lost, which is cheap (poa_edge.h) */
};

void agent_link_init(struct agent_link *l, size_t gateways);
void agent_link_up(struct agent_link *l);
/* Which of the N addresses that the gateway's name has to dial: another one after each
 * round in which no gateway answered. */
size_t agent_link_address(const struct agent_link *l, size_t n);
/* Milliseconds until the next dial. */
uint64_t agent_link_down(struct agent_link *l, enum agent_down why, uint64_t retry_ms);

/* --- a gateway that keeps the news to itself -----------------------------------------
 *
 * It answers, so it looks alive, but nothing new comes: what it withholds a device cannot
 * see, only miss. Two things do not depend on how many devices there are or what they do:
 *
 * - a new epoch comes to everybody, certified. Three times as long as one takes (the mean
 *   since genesis, or the last one when that took longer; 20 s at least) without any is
 *   enough, and 20 s when the gateway's epoch is one that the device has left behind;
 * - of the seats that it drew some come as tasks: 32 without any, of four windows or more
 *   and for 20 s, are enough.
 *
 * Then it is another gateway's turn. Who has news serves on. When each was asked and nobody
 * has any it is the chain that stands: the patience doubles with every round, with a
 * quarter of it at random. Only time that it is connected and awake counts. */
struct agent_news {
    uint32_t epoch, said; /* trusted; the gateway's word */
    uint64_t time_ms;     /* of the header that ended the epoch before */
    uint64_t usual_ms;    /* how long an epoch takes; 0: not known */
    uint64_t turn_ms, quiet_ms;
    uint64_t idle_ms, seats, windows; /* since the last seal; drawn */
    unsigned epoch_moves, task_moves;
    size_t gateway;
    uint8_t jitter;
};

enum agent_withheld {
    AGENT_NOTHING_WITHHELD,
    AGENT_NO_EPOCH,
    AGENT_OLD_EPOCH,
    AGENT_NO_TASK,
};

void agent_news_init(struct agent_news *n);
/* The trust record (edge_trust), as it was loaded or stored. */
void agent_news_trust(struct agent_news *n, struct poa_slice record);
/* Welcomed by GATEWAY, which says that it is EPOCH; it says so again. */
void agent_news_connected(struct agent_news *n, size_t gateway, uint32_t epoch);
void agent_news_said(struct agent_news *n, uint32_t epoch);
void agent_news_drawn(struct agent_news *n, uint32_t seats);
void agent_news_sealed(struct agent_news *n);
/* Once a turn of the loop. Anything but NOTHING: go to another gateway; it is told once. */
enum agent_withheld agent_news_turn(struct agent_news *n, uint64_t mono_ms, bool connected,
                                    size_t gateways);

/* --- all together ---------------------------------------------------------------------------- */

#define AGENT_GATEWAYS_MAX 16
struct agent_gateway {
    uint8_t key[32];
    char host[256];
    char port[8];
};
/* "HEXKEY@host:port[,...]" appended to LIST of N. POA_E_TEXT, POA_E_LIMIT; WHY. */
POA_MUST_USE int agent_gateways_parse(const char *text, struct agent_gateway *list, size_t *n,
                                      struct poa_why *why);

/* Asks for one entry of the state, proven, and ends the run. */
struct agent_question {
    uint8_t table;
    struct poa_slice key;
    /* VALUE empty: proven absent. Borrowed until it returns. */
    void (*answer)(void *ctx, struct poa_slice value, uint64_t height, uint64_t time_ms);
    void *ctx;
};

#define AGENT_TALKS_MAX 8

struct agent_config {
    uint8_t seed32[32], key32[32];
    const char *state_path;
    const struct agent_gateway *gateway;
    size_t gateways;
    const char *source;       /* NULL: mining only */
    uint32_t interval_ms;     /* between samples; 0: as fast as packs find a place */
    uint32_t pack_ms;         /* a pack is closed after this long at the latest */
    uint32_t queue_packs;     /* of a new state file */
    const uint8_t *chain32;   /* or NULL */
    struct poa_slice genesis; /* encoded, or empty: the committee comes from the first gateway */
    uint64_t trust_ms;
    uint64_t for_ms; /* 0: until stopped */
    bool streaming;  /* hold no committee (poa_device.h) */
    bool once;       /* until the source has ended and every pack has its receipt */
    const struct agent_question *question; /* or NULL */
    const uint8_t (*talk)[32];             /* Ed25519 keys of devices that it talks to */
    size_t talks;                          /* at most AGENT_TALKS_MAX */
    const char *say;                       /* once to each of them; NULL: only listen */
    /* What one of them said; called in the run. */
    void (*heard)(void *ctx, const uint8_t from32[32], struct poa_slice text);
    void *heard_ctx;
    const struct poa_clock *clock;
    atomic_int *stop; /* set from a signal handler or another thread */
};

struct agent_summary {
    uint64_t connects, resumed, sealed, seals_accepted, seals_refused, tickets, alarms;
    uint64_t readings, packs, receipts, packs_refused, waiting;
    uint64_t earned, balance;
    uint32_t vrf;
    int refused_code; /* of the last pack that was refused */
    bool answered;
    bool ended; /* the source, if there is one, was read to its end */
};
/* Runs until stopped. Errors: what makes it pointless to go on; WHY. */
POA_MUST_USE int agent_run(const struct agent_config *config, struct agent_summary *out,
                           struct poa_why *why);

/* --- talking to other devices -------------------------------------------------------------
 *
 * Sessions with the devices of CONFIG (borrowed), through D's gateway, that it cannot read
 * (poa_talk.h). *OUT is NULL when there are none; the others take NULL. */
struct agent_talks;
POA_MUST_USE int agent_talks_open(const struct agent_config *config, struct agent_talks **out);
void agent_talks_close(struct agent_talks *t);
/* What is due; lowers *WAIT to when it is to be called again. */
void agent_talks_turn(struct agent_talks *t, struct poa_device *d, uint64_t now, uint64_t *wait);
/* RELAYED, RELAY_RESULT. */
void agent_talks_heard(struct agent_talks *t, struct poa_device *d, uint64_t now,
                       const struct poa_device_event *e);
void agent_talks_lost(struct agent_talks *t, const struct poa_device_event *e);

#endif
