/* The core's inside: state shared by simplex.c, chain.c, batches.c, epoch.c,
 * mining.c and core.c. Nobody else includes it. */
#ifndef POA_CONSENSUS_CORE_H
#define POA_CONSENSUS_CORE_H

#include <string.h>

#include "poa_consensus.h"

/* Views that may be unfinalized at once: the frontier stops there. At the cap
 * of the skip timer that takes hours in which nullifications of a quorum get
 * through and no proposal does. */
#define RING          2048u
#define AHEAD         64u  /* votes are taken up to this many views ahead */
#define TABLES        256u /* views around the frontier that have vote tables */
#define BLOCKS        1024u
#define BLOCK_BUCKETS 1024u
#define RECENT_BLOCKS 64u /* finalized blocks kept for peers that ask */
#define DEPTH_MAX     POA_OVERLAYS_MAX
#define BLOCK_TXS     16384u /* transactions of a block */
#define BUNDLE_MAX    1024u

#define EFFECTS      2048u /* beyond one RELEASE for every batch */
#define EFFECTS_SEND 1024u
#define OUT_BYTES    ((size_t)24 << 20)
#define OUT_RESERVED ((size_t)12 << 20)

#define SILENT_VIEWS     10u /* a leader unheard for so long is nullified at once */
#define WANTS            64u
#define RELAYS           128u
#define STANDSTILL_VIEWS 64u
#define EVIDENCE         16u
#define RECOVERIES       4u /* recovered pairs of views that are not final yet */

#define LIST_TICKETS    32u /* per block; each costs every voter a VRF check */
#define LIST_SEALS      128u
#define BATCH_TTL_MS    60000u
#define LIFE_BITS       10u /* of a batch's number count from 0, the rest is when its author started */
#define RELEASE_BLOCKS  32u /* batches stay in memory for so many blocks after theirs */
#define OWN_BATCHES_MAX 256u
#define NO_DEADLINE     UINT64_MAX

/* --- arena.c ----------------------------------------------------------------- */

#define ARENA_ORDERS 24u
struct arena {
    uint8_t *base;
    uint8_t *head; /* per unit: order and whether a block starts here */
    uint32_t free[ARENA_ORDERS];
    uint32_t top;
    size_t used;
};
POA_MUST_USE int core_arena_init(struct arena *a, const struct poa_alloc *alloc, size_t bytes);
void core_arena_free_all(struct arena *a, const struct poa_alloc *alloc);
uint8_t *core_arena_take(struct arena *a, size_t n); /* NULL: full */
void core_arena_give(struct arena *a, void *p);
static inline size_t core_arena_size(const struct arena *a)
{
    return (size_t)256 << a->top;
}

/* --- views --------------------------------------------------------------------- */

struct vote_cell {
    bool have;
    uint8_t hash[32];
    uint8_t sig[64];
};
/* Votes of one view: cell[kind * n + voter]. */
struct vote_table {
    uint64_t view;
};

struct cert_at {
    bool have, relayed;
    uint8_t hash[32];
    uint8_t *bytes; /* encoded, in the arena */
    uint32_t n;
    uint64_t relay_us;
};

struct block;

struct slot {
    uint64_t view; /* 0: unused */
    uint64_t seq;  /* oldest write-ahead record of this view, 0 = none */
    bool voted, nulled, finaled, proposed;
    bool skipped;        /* never to be finalized: recovery.c */
    bool conflict;       /* a second header was seen: evidence is made once */
    uint8_t hash[3][32]; /* own votes, by kind */
    uint8_t sig[3][64];
    uint64_t vote_seq[3], prop_seq; /* of their write-ahead records */
    struct cert_at cert[3];
    struct block *prop; /* the leader's header that came first */
};

/* --- recovery.c --- */

struct recovered { /* a certificate; bytes NULL: none */
    uint64_t view;
    uint8_t *bytes; /* in the arena */
    uint32_t n;
};
struct recovery {
    bool on;
    uint8_t token[32];
    struct poa_recover own; /* the last one said; view 0: none */
    uint64_t own_seq;
    struct {
        uint64_t view;
        uint8_t sig[64];
    } said[POA_COMMITTEE_MAX]; /* under our token */
};

/* --- blocks --------------------------------------------------------------------- */

enum exec_state { EXEC_NONE, EXEC_DONE, EXEC_INVALID };

struct block {
    bool used, final;
    bool beacon_ok, has_sig;
    uint8_t beta[64]; /* of the beacon, when BEACON_OK */
    uint8_t full_tries;
    uint8_t hash[32];
    struct poa_header h;
    uint8_t header[POA_HEADER_BYTES];
    uint8_t sig[64];
    uint8_t *body; /* encoded, in the arena */
    uint32_t body_n;
    struct poa_body b; /* borrows from body */
    enum exec_state exec;
    bool own_state; /* state is an overlay that this block made */
    poa_state_id state;
    uint8_t root[32];
    struct poa_tx_result *tx; /* in the arena */
    uint32_t txs;
    struct block *next; /* hash chain */
};

/* What a child needs to know of its parent. */
struct parent {
    uint64_t height, time_ms;
    uint8_t kind;
    uint64_t closing_height;
    bool executed;
    poa_state_id state;
    uint8_t root[32];
    struct block *block; /* NULL: the tip */
};

/* --- batches ---------------------------------------------------------------------- */

enum batch_state {
    BATCH_HINT,     /* acknowledged by somebody, not seen */
    BATCH_WANTED,   /* a block lists it */
    BATCH_CHECKING, /* with a worker */
    BATCH_VALID,
    BATCH_INVALID,
    BATCH_FINAL, /* in a finalized block; TOKEN goes back later */
};

struct batch {
    bool used, own, durable, restored, token_held, linked;
    bool told; /* everybody has our acknowledgement */
    bool safe; /* f+1 hold it durably, or the log of ours will before anything that is sent
                  from now on: it will be listed */
    enum batch_state state;
    uint8_t digest[32];
    uint32_t epoch;
    uint16_t author, hint;
    uint64_t number, expires_ms;
    struct poa_slice bytes;
    const struct poa_tx_view *tx;
    uint32_t txs;
    void *token;
    uint64_t seq; /* of its write-ahead record */
    uint8_t holders[16];
    uint64_t height; /* FINAL: of its block */
    uint64_t since_us, ask_us, send_us;
    uint32_t tries;
    uint8_t sends;               /* again, of an own one: each waits longer */
    uint64_t mark;               /* path that lists it */
    struct batch *next;          /* hash chain; free list */
    struct batch *older, *newer; /* of one author, by number: VALID only */
    struct batch *queue;         /* FINAL: release order */
};

/* A transaction accepted here whose home is elsewhere. */
struct routed {
    bool used;
    uint8_t id[32], sender[32];
    uint64_t nonce, valid_until, height; /* HEIGHT: when it came */
    uint8_t *raw;                        /* in the arena TX_ARENA */
    uint32_t n;
    uint64_t sent_us, since_us;
    bool batched;
    bool parked; /* we are its home, but its nonce is ahead of what we know */
    uint16_t home;
    uint32_t tries;
    struct routed *go;                      /* to be sent in this step */
    struct routed *next;                    /* hash chain; free list */
    struct routed *older, *newer;           /* by arrival */
    struct routed *near_older, *near_newer; /* PARKED: those of its bucket of turns */
    struct routed *late_older, *late_newer; /* PARKED: since they were looked at */
};
#define ROUTED_BUCKETS 4096u

/* --- mining ------------------------------------------------------------------------- */

struct pending {
    bool used, is_seal;
    uint8_t tries;
    uint64_t key;
    uint64_t since_us;
    union {
        struct poa_ticket ticket;
        struct poa_seal seal;
    } u;
    struct pending *next;
    struct pending *older, *newer;
};
#define PENDING_BUCKETS 1024u

struct accusation {
    bool used;
    uint8_t tries;
    struct poa_evidence e; /* first and second point into BYTES */
    uint8_t *bytes;
};

struct want {
    bool used;
    uint8_t hash[32];
    uint16_t hint;
    uint32_t tries;
    uint64_t ask_us;
};

struct relay {
    uint64_t view;
    uint8_t kind;
};

/* --- the core ------------------------------------------------------------------------- */

struct poa_core {
    struct poa_core_limits limits;
    const struct poa_suite *suite;
    struct poa_alloc alloc;
    struct poa_ledger *ledger;
    const struct poa_genesis *genesis;
    uint8_t chain[32];
    bool has_key;
    uint64_t mark_blocks;
    uint8_t mutant;
    uint8_t seed[32], key[32]; /* of this node */
    uint8_t empty_body[32];

    /* Epoch: epoch.c */
    uint32_t epoch;
    uint16_t n, q, f;
    int32_t self;
    struct poa_committee committee;
    uint8_t *committee_bytes;
    uint8_t keys[POA_COMMITTEE_MAX][32];
    uint8_t order[POA_COMMITTEE_MAX]; /* leaders */
    uint8_t epoch_seed[32];
    uint32_t prev_epoch; /* committee before: its batches may still be listed */
    uint16_t prev_n;
    uint8_t prev_keys[POA_COMMITTEE_MAX][32];
    uint8_t *prev_cert; /* finalization that ended it, in the arena */
    uint32_t prev_cert_n;
    bool amnesia, abstain, restoring;
    bool epoch_known, epoch_logged; /* in the log: this node; the present epoch */
    uint64_t vote_from;             /* earlier views of this epoch: perhaps forgotten votes */
    struct recovery recovery;
    struct recovered recovered[RECOVERIES];
    bool live_handover; /* not in a bundle: the hand-over happens before our eyes */

    /* Finalized tip */
    uint64_t height, tip_view, tip_time;
    uint8_t tip[32], tip_root[32], tip_kind;
    struct block *tip_block; /* NULL after a restart */

    /* Views: simplex.c */
    uint64_t view;
    struct slot *ring;
    uint64_t pruned;   /* slots below are empty */
    uint64_t slot_top; /* and those above */
    struct vote_table *table;
    struct vote_cell *cell; /* TABLES * 3 * POA_COMMITTEE_MAX */
    uint64_t final_view;    /* highest verified finalization, committed or not */
    uint8_t final_hash[32];
    uint64_t entered_us, prop_us, tried_us, skip_us, stand_us, finality_us;
    bool skip_fired;
    uint32_t stand_k;
    uint64_t heard[POA_COMMITTEE_MAX];     /* our view when the member was last heard */
    uint64_t peer_view[POA_COMMITTEE_MAX]; /* highest view it showed to be in */
    uint64_t helped_us[POA_COMMITTEE_MAX];
    uint32_t served[POA_COMMITTEE_MAX];
    uint64_t serve_us;
    struct relay relay[RELAYS];
    uint32_t relays;
    uint64_t nullified, notarized;
    uint64_t beacon_view; /* own proof made in advance */
    uint64_t beacon_told; /* view whose proof others have from us */
    uint8_t beacon[80];
    uint64_t behind_us;
    uint64_t certs_us; /* next GET_CERTS */
    uint32_t turn;     /* members in turn, for requests */
    uint64_t retry_us; /* header time not reached yet */
    bool more;         /* work that waits for the next step */

    /* Blocks: chain.c */
    struct block *block; /* BLOCKS */
    uint32_t block_top;  /* all beyond are unused */
    struct block *bucket[BLOCK_BUCKETS];
    struct arena arena;
    bool exec_ready;
    const struct poa_tx_view **gather; /* BLOCK_TXS */
    struct want want[WANTS];
    uint32_t wants; /* used ones */
    void **garbage; /* arena blocks that effects of this step may refer to */
    uint32_t garbages;
    struct {
        uint64_t first;
        uint32_t n;
        uint8_t (*hash)[32];    /* BUNDLE_MAX */
        struct poa_slice bytes; /* only its place is looked at */
        struct poa_slice cert;
        uint8_t cert_hash[32];
        struct poa_list_iter next; /* of its blocks */
        uint32_t at, batches;      /* blocks before it, and their batches */
    } bundle;

    /* Batches: batches.c */
    struct batch *batch;
    struct batch **batch_bucket;
    uint32_t batch_cap, batch_fresh, batch_buckets, batches_used, batches_pending;
    uint32_t listable, batches_done; /* done: FINAL ones among the used */
    size_t batch_bytes;
    struct batch *batch_free;
    struct batch *author_head[2][POA_COMMITTEE_MAX], *author_tail[2][POA_COMMITTEE_MAX];
    struct batch *release_head, *release_next, *release_tail; /* FINAL, oldest first */
    uint64_t author_listed[2][POA_COMMITTEE_MAX];             /* highest number in a final block */
    uint32_t author_n[2][POA_COMMITTEE_MAX];                  /* batches linked, and their bytes */
    size_t author_bytes[2][POA_COMMITTEE_MAX];
    uint32_t hints[POA_COMMITTEE_MAX]; /* HINT batches that a member was the first to name */
    uint64_t batch_number;
    uint32_t own_pending;
    uint64_t ahead_ms, ahead_view; /* the last proposal from a clock ahead of ours */
    uint8_t ahead_key[32];
    uint64_t lag_us, lag_at_us; /* of the own batch that was final last, and when */
    uint64_t flush_us, flushed_us, batch_tick_us;
    uint64_t ack_us; /* when what still waits is acknowledged to everybody */
    uint64_t mark;
    struct poa_mempool *mempool;
    struct routed *routed;
    struct routed *routed_bucket[ROUTED_BUCKETS];
    uint32_t routed_of[ROUTED_BUCKETS];       /* how many, by sender */
    struct routed *parked_at[ROUTED_BUCKETS]; /* by sender and nonce */
    struct routed *parked_head, *parked_tail;
    struct routed *routed_free, *routed_head, *routed_tail;
    struct routed *go_head;
    struct routed *route_next;    /* where core_route_tick goes on; NULL: at the oldest */
    struct poa_tx_gone_list gone; /* in this step */
    uint32_t routed_n, routed_cap, routed_fresh, parked_n;
    uint64_t home_us[POA_COMMITTEE_MAX]; /* last batch of the member */
    bool home_skip[POA_COMMITTEE_MAX];   /* it made none while transactions waited for it */
    size_t pool_bytes;                   /* taken into the mempool since the last flush, about */
    bool settle_more;
    struct arena tx_arena;

    /* Mining: mining.c */
    struct pending *pending;
    struct pending *pending_bucket[PENDING_BUCKETS];
    struct pending *pending_free, *pending_head, *pending_tail;
    uint32_t pending_n, pending_fresh;
    bool one_ticket;
    struct accusation accusation[EVIDENCE];
    uint8_t convicted[POA_COMMITTEE_MAX]; /* this epoch: evidence was made */

    /* Step */
    struct poa_now now;
    uint64_t seq, durable, forgotten, epoch_seq;
    struct poa_effect *effect;
    uint32_t effects, effects_cap, sends;
    uint64_t restore_seq; /* of the certificate being restored */
    struct poa_commit *commit;
    uint32_t commits;
    uint8_t *out;
    size_t out_n;
    uint8_t *scratch; /* building bodies and proposals */
    uint64_t deadline;
    bool halted;
};
#define SCRATCH_BYTES ((size_t)2 << 20)
#define COMMITS       32u /* per step; fewer than RECENT_BLOCKS */
#define GARBAGE       8192u

/* Authors whose batches may be here: of this epoch and the one before. */
static inline uint32_t authors(const struct poa_core *c)
{
    return c->n > c->prev_n ? c->n : c->prev_n;
}

static inline bool voter(const struct poa_core *c)
{
    return c->self >= 0 && !c->abstain && !c->restoring && !c->halted && c->view >= c->vote_from;
}

/* --- core.c: effects -------------------------------------------------------------------- */

/* Bytes that live until the next step, or NULL when this step has sent enough. */
uint8_t *core_out_take(struct poa_core *c, size_t n);
/* Writes a record; returns its SEQ. */
uint64_t core_persist(struct poa_core *c, enum poa_record_kind kind, struct poa_slice bytes);
/* Encodes R into bytes of this step. {NULL, 0} when there is no room. */
struct poa_slice core_encode(struct poa_core *c, const struct poa_record *rec, const void *r);
void core_send_to(struct poa_core *c, uint16_t type, struct poa_slice bytes, uint16_t member,
                  uint64_t wait);
void core_send_all(struct poa_core *c, uint16_t type, struct poa_slice bytes, bool self,
                   uint64_t wait);
/* NULL when there is nobody to send to, or no room. */
struct poa_effect *core_send_mask(struct poa_core *c, uint16_t type, struct poa_slice bytes,
                                  const uint8_t to[16], uint64_t wait);
struct poa_effect *core_effect_add(struct poa_core *c, enum poa_effect_kind kind, bool reserved);
void core_halt(struct poa_core *c, int code, const char *text);
/* Frees arena memory once the effects of this step were executed. */
void core_give_later(struct poa_core *c, void *p);
static inline bool bit_get(const uint8_t *mask, uint32_t i)
{
    return (unsigned)(mask[i / 8] >> (i % 8)) & 1u;
}
static inline void bit_set(uint8_t *mask, uint32_t i)
{
    mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
}
static inline uint32_t bit_count(const uint8_t mask[16])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < 16; i++)
        for (uint8_t b = mask[i]; b; b = (uint8_t)(b & (b - 1)))
            n++;
    return n;
}
static inline bool hash_eq(const uint8_t a[32], const uint8_t b[32])
{
    return memcmp(a, b, 32) == 0;
}
static inline uint32_t hash_low(const uint8_t h[32])
{
    return poa_le32(h);
}
extern const uint8_t core_zero32[32];

/* --- simplex.c, answer.c
 * ---------------------------------------------------------------------------- */

struct slot *core_slot_get(struct poa_core *c, uint64_t view);  /* NULL: none yet */
struct slot *core_slot_open(struct poa_core *c, uint64_t view); /* NULL: outside the ring */
void core_slots_reset(struct poa_core *c);                      /* new epoch */
void core_slots_prune(struct poa_core *c, uint64_t below);
int core_on_vote(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_on_cert(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_on_get_certs(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_cert_take(struct poa_core *c, struct poa_slice bytes, bool trusted, uint16_t peer);
/* Signatures equal to votes that were checked already are not checked again. */
int core_cert_verify(struct poa_core *c, const struct poa_cert *cert);
void core_progress(struct poa_core *c);
void core_simplex_tick(struct poa_core *c);
uint64_t core_simplex_deadline(const struct poa_core *c);
void core_restore_vote(struct poa_core *c, const struct poa_vote *v, uint64_t seq);
void core_simplex_start(struct poa_core *c); /* after restore, and at a new epoch */
void core_resend(struct poa_core *c);
uint16_t core_leader_of(const struct poa_core *c, uint64_t view);
bool core_silent(const struct poa_core *c, uint16_t member);
void core_vote_send(struct poa_core *c, const struct slot *s, int kind);
void core_nullify(struct poa_core *c, uint64_t view);
bool core_has_cert(struct poa_core *c, uint64_t view, int kind);
uint64_t core_t0_us(const struct poa_core *c);
uint64_t core_heartbeat_us(const struct poa_core *c);
void core_batch_ready(struct poa_core *c); /* a batch may be listed from now on */
void core_heard_from(struct poa_core *c, uint16_t peer, uint64_t view);
void core_behind(struct poa_core *c, uint64_t height);
void core_help(struct poa_core *c, uint16_t peer);
bool core_serve_allowed(struct poa_core *c, uint16_t peer, uint32_t cost);
void core_final_advance(struct poa_core *c); /* a block was committed */
/* Members whose votes of VIEW are here. */
void core_heard_in(const struct poa_core *c, uint64_t view, uint8_t out[16]);
void core_log_trim(struct poa_core *c); /* ... with its certificate */
bool core_ask_certs(struct poa_core *c, uint64_t from, uint64_t to);

/* --- recovery.c ---------------------------------------------------------------------- */

int core_recovery_begin(struct poa_core *c, uint64_t epoch, struct poa_slice token);
void core_recovery_try(struct poa_core *c);
void core_recovery_reset(struct poa_core *c); /* a new epoch */
void core_recovery_prune(struct poa_core *c); /* a block was committed */
void core_recovery_resend(struct poa_core *c, uint16_t peer);
/* A quorum skipped VIEW. */
bool core_recovered(const struct poa_core *c, uint64_t view);
int core_on_recover(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_on_recovered(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_restore_recover(struct poa_core *c, struct poa_slice bytes, uint64_t seq);
int core_restore_recovered(struct poa_core *c, struct poa_slice bytes, uint64_t seq);

/* --- blocks.c, chain.c, propose.c, bundle.c --- */

enum verdict { V_OK, V_WAIT, V_INVALID };

struct block *core_block_find(const struct poa_core *c, const uint8_t hash[32]);
/* Copies header and body; NULL: no room, or the body does not decode. */
struct block *core_block_insert(struct poa_core *c, const uint8_t hash[32],
                                const struct poa_header *h, struct poa_slice header,
                                const uint8_t sig[64], struct poa_slice body);
void core_block_drop(struct poa_core *c, struct block *b);
/* Drops what the commit of KEEP leaves behind; NULL: all that is not final. */
void core_blocks_sweep(struct poa_core *c, const struct block *keep);
bool core_want_find(const struct poa_core *c, const uint8_t hash[32]);
void core_want_done(struct poa_core *c, const uint8_t hash[32]);
int core_header_decode(const struct poa_core *c, struct poa_slice bytes, struct poa_header *h);
/* What a block on parent P must be, and the earliest time it may have. */
uint8_t core_kind_after(const struct poa_core *c, const struct parent *p, uint64_t view);
uint64_t core_min_time(const struct poa_core *c, const struct parent *p);
int core_next_committee_hash(struct poa_core *c, poa_state_id state, uint8_t out32[32]);
/* What a block owes its parent, whoever looks and whenever. */
int core_block_rules(struct poa_core *c, const struct block *b, const struct parent *p);
/* Runs B on its executed parent; c->gather holds its TXS transactions. */
enum verdict core_block_run(struct poa_core *c, struct block *b, const struct parent *p,
                            uint32_t txs);
/* Makes executed B, child of the tip, the tip; false: not in this step. */
bool core_block_commit(struct poa_core *c, struct block *b, struct poa_slice cert,
                       struct poa_slice fillers, uint32_t fillers_n);
/* CERT finalizes the closing block, which is the tip, or a filler on it. */
void core_hand_over(struct poa_core *c, struct poa_slice cert);
int core_on_proposal(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_on_get_block(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_restore_proposal(struct poa_core *c, struct poa_slice bytes, bool own, uint64_t seq);
/* May this node vote for B now? Executes it when it can. */
enum verdict core_block_check(struct poa_core *c, struct block *b);
/* Executes B and its ancestors as far as this step may. */
enum verdict core_block_execute(struct poa_core *c, struct block *b, bool certified);
void core_try_commit(struct poa_core *c);
void core_try_propose(struct poa_core *c);
bool core_parent_find(struct poa_core *c, const uint8_t hash[32], uint64_t view,
                      struct parent *out);
int core_on_bundle(struct poa_core *c, const struct poa_event *e);
void core_want_block(struct poa_core *c, const uint8_t hash[32], uint16_t hint);
void core_wants_tick(struct poa_core *c);
uint64_t core_wants_deadline(const struct poa_core *c);
/* Gives up states of blocks that were not certified in their view. */
void core_overlays_evict(struct poa_core *c);
void core_blocks_reset(struct poa_core *c); /* drops everything that is not final */
struct poa_slice core_proposal_encode(struct poa_core *c, const struct block *b,
                                      const struct poa_list *just);
struct poa_list core_just_build(struct poa_core *c, const struct block *b);
/* Marks with a fresh c->mark the batches that unfinalized ancestors of (and) B list. */
void core_path_mark(struct poa_core *c, const struct block *b);
/* The same for every block that is not final. */
void core_blocks_mark(struct poa_core *c);

/* --- batches.c, listing.c, pack.c, homes.c --- */

int core_batches_new(struct poa_core *c);
uint64_t core_two_heartbeats(const struct poa_core *c);
struct routed *core_routed_find(const struct poa_core *c, const uint8_t id[32]);
void core_routed_drop(struct poa_core *c, struct routed *r);
/* B, which will be listed, carries some of the transactions that were sent to their homes. */
void core_routed_batched(struct poa_core *c, const struct batch *b);
/* Keeps TX until it is final. CHECK: tell the caller at once what the base
 * already rules out. */
int core_route_add(struct poa_core *c, const struct poa_tx_view *tx, bool check,
                   struct routed **out);
/* Transactions of a batch that will not be listed look for a home again. */
void core_reroute(struct poa_core *c, const struct poa_tx_view *tx, uint32_t txs);
void core_route_tick(struct poa_core *c);
void core_parked_retry(struct poa_core *c);
/* R does not wait here any more, but goes elsewhere. */
void core_parked_end(struct poa_core *c, struct routed *r);
int core_pool_add(struct poa_core *c, const struct poa_tx_view *tx);
void core_flush_soon(struct poa_core *c); /* transactions wait for a batch */
void core_check_effect(struct poa_core *c, uint16_t type, struct poa_slice bytes, bool trusted,
                       uint16_t peer);
/* Rank 0 is the home; members that are silent or make no batches are passed
 * over. */
uint16_t core_home_rank(const struct poa_core *c, const uint8_t sender[32], uint32_t rank);
void core_batches_free(struct poa_core *c);
int core_on_batch(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_on_checked_batch(struct poa_core *c, const struct poa_checked_batch *b);
int core_on_batch_ack(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_on_get_batch(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
int core_on_tx(struct poa_core *c, const struct poa_event *e);
int core_on_raw_txs(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
void core_batches_durable(struct poa_core *c);
int core_restore_batch(struct poa_core *c, struct poa_slice bytes, uint64_t seq);
struct batch *core_batch_add(struct poa_core *c, const uint8_t digest[32]); /* NULL: full */
void core_batch_drop(struct poa_core *c, struct batch *b);
void core_batch_fill(struct batch *b, const struct poa_batch *r);
void core_batch_count_holders(struct poa_core *c, struct batch *b);
bool core_batch_has_run(struct poa_core *c, const struct batch *b);
void core_batches_changed(struct poa_core *c); /* one may have become listable */
bool core_author_key(const struct poa_core *c, uint32_t epoch, uint16_t author,
                     const uint8_t **key);
struct batch *core_batch_find(const struct poa_core *c, const uint8_t digest[32]);
struct batch *core_batch_want(struct poa_core *c, const uint8_t digest[32], uint16_t hint);
bool core_batch_listable(const struct poa_core *c, const struct batch *b);
bool core_batch_waits(const struct poa_core *c); /* a batch waits that no block of the path lists */
/* Lists batches on top of PARENT for a block of TIME_MS. */
uint32_t core_batches_list(struct poa_core *c, uint64_t time_ms, struct poa_writer *w);
void core_batches_final(struct poa_core *c, const struct poa_body *body, uint64_t height,
                        const struct poa_tx_result *tx, uint32_t txs);
void core_batches_epoch(struct poa_core *c);
void core_batches_life(struct poa_core *c); /* restored: own batches get fresh numbers */
void core_homeless(struct poa_core *c);     /* no member (any more) */
void core_batches_count(struct poa_core *c);
void core_batches_tick(struct poa_core *c);
uint64_t core_batches_deadline(const struct poa_core *c);
uint64_t core_batches_lag(const struct poa_core *c);
uint64_t core_batches_oldest_seq(const struct poa_core *c, uint64_t below);
uint64_t core_batches_checking_seq(const struct poa_core *c, uint64_t below);

/* --- beacon.c --------------------------------------------------------------------------------
 */

int core_on_beacon(struct poa_core *c, struct poa_slice bytes, uint16_t peer);
void core_beacon_tick(struct poa_core *c);
uint64_t core_beacon_deadline(const struct poa_core *c);

/* --- acks.c -----------------------------------------------------------------------------------
 */

int32_t core_batch_author(const struct poa_core *c, const struct batch *b); /* batches.c */
void core_batch_acknowledge(struct poa_core *c, struct batch *b);
void core_acks_view(struct poa_core *c, uint64_t before); /* the view was BEFORE */
void core_acks_tell(struct poa_core *c);

/* --- epoch.c ------------------------------------------------------------------------------------
 */

void core_order_leaders(struct poa_core *c);
int core_epoch_load(struct poa_core *c, uint32_t epoch); /* committee, order, seed from the base */
/* The committee in work becomes the one before, whose batches may still be listed. */
void core_epoch_remember(struct poa_core *c);
void core_epoch_enter(struct poa_core *c, const uint8_t *cert, uint32_t cert_n);
void core_epoch_log(struct poa_core *c); /* writes that this node may vote */

/* --- mining.c
 * -------------------------------------------------------------------------------------- */

int core_mining_new(struct poa_core *c);
void core_mining_free(struct poa_core *c);
int core_on_mining(struct poa_core *c, const struct poa_event *e, bool local);
void core_mining_list(struct poa_core *c, poa_state_id state, uint64_t time_ms,
                      struct poa_body *body, struct poa_writer *w);
/* A body with these tickets was refused as a whole: one at a time from now on. */
void core_mining_distrust(struct poa_core *c, const struct poa_body *body);
void core_mining_final(struct poa_core *c, const struct poa_body *body);
void core_accuse(struct poa_core *c, uint8_t kind, const uint8_t author32[32],
                 struct poa_slice first, struct poa_slice second);

#endif
