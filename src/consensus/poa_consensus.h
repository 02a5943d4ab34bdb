/* consensus: the node's core as a pure state machine, step(event) -> effects.
 *
 *             events                    effects, in order
 *   mesh ───────────────┐          ┌──> persist  (write-ahead record, batch)
 *   workers (checked tx,│  ┌────┐  ├──> send     (may wait for the persists before it)
 *     checked batch) ───┼─>│core│──┼──> commit   (finalized block)
 *   clock (deadline) ───┤  └────┘  ├──> check    (have a worker verify signatures)
 *   persisted ──────────┘          └──> conflict / halt
 *
 * One core per node: Simplex views and votes (simplex.c), block tree and
 * execution (chain.c), batches and their availability (batches.c, listing.c, pack.c), beacon,
 * epochs and hand-over (epoch.c), tickets and seals that wait for a block
 * (mining.c). The same code runs in poad and, under faults, in poa-sim. It
 * never reads a clock, draws randomness, does I/O or allocates in a step.
 *
 * The driver's loop:
 *   at start   poa_core_new with the ledger of the last checkpoint; EVENT_BLOCK
 *              for the stored blocks above it; EVENT_RESTORE for every
 *              write-ahead record that was not forgotten, in the order written
 *              (batches from the batch store); EVENT_RESTORED
 *   always     poa_core_reserve, poa_core_step, then the effects in order
 *              (sends without WAIT, and releases, may come after all others); a
 *              TICK when poa_core_deadline_us has come. A step executes at most
 *              one block; the deadline is 0 while more work waits.
 *
 * Source: docs/consensus.md; Chan and Pass, "Simplex Consensus", 2023.
 */
#ifndef POA_CONSENSUS_H
#define POA_CONSENSUS_H

#include "poa_ledger.h"

/* --- mesh messages ------------------------------------------------------------
 *
 * X(NAME, number, priority, record, "text"). Priority: 0 first. Numbers are
 * the frame types of the mesh. REQ rows travel as requests (p2p request /
 * answer), the others are pushed. */
#define POA_MESSAGES(X)                                                                            \
    X(VOTE, 1, 0, vote, "a vote")                                                                  \
    X(CERT, 2, 0, cert, "a certificate")                                                           \
    X(PROPOSAL, 3, 1, proposal, "a block proposal with its justification")                         \
    X(BATCH, 4, 2, batch, "a batch of transactions")                                               \
    X(BATCH_ACK, 5, 1, batch_ack, "batches that the sender holds durably")                         \
    X(TX, 6, 2, txs, "transactions on their way to their home server")                             \
    X(MINING, 7, 2, mining, "tickets, seals and evidence for inclusion")                           \
    X(GET_CERTS, 8, 1, get_certs, "asks for certificates and blocks of a range of views")          \
    X(GET_BLOCK, 9, 1, get_block, "asks for a proposal by header hash")                            \
    X(GET_BATCH, 10, 1, get_batch, "asks for batches by digest")                                   \
    X(RECOVER, 11, 0, recover, "operators' order: two views are skipped, logs were lost")          \
    X(RECOVERED, 12, 0, recovered, "a quorum of those")                                            \
    X(BEACON, 13, 1, beacon_ahead, "a leader's beacon proof, ahead of its proposal")               \
    X(REQ_FOLLOW, 32, 3, follow, "request: finalized blocks after a height, waits for news")       \
    X(ANS_FOLLOW, 33, 3, blocks, "answer: consecutive finalized blocks and a certificate")         \
    X(REQ_SUBMIT, 34, 2, txs, "request: transactions from a follower or gateway")                  \
    X(ANS_SUBMIT, 35, 2, codes, "answer: one code per transaction")                                \
    X(REQ_MINING, 36, 2, mining, "request: tickets and seals from a gateway")                      \
    X(ANS_MINING, 37, 2, codes, "answer: one code each")                                           \
    X(REQ_STATUS, 38, 3, none, "request: tip of the peer")                                         \
    X(ANS_STATUS, 39, 3, peer_status, "answer: tip of the peer")

enum poa_message {
#define POA_MESSAGE_ROW(name, number, prio, record, text) POA_MSG_##name = (number),
    POA_MESSAGES(POA_MESSAGE_ROW)
#undef POA_MESSAGE_ROW
};

#define POA_RAW_CERT_TABLE(F) F(BLOB, cert, 8254, _, "encoded certificate")
POA_RECORD_DECLARE(raw_cert, POA_RAW_CERT_TABLE)

#define POA_PROPOSAL_TABLE(F)                                                                      \
    F(BLOB, header, 289, _, "encoded header")                                                      \
    F(FIX, sig, 64, _, "leader's signature")                                                       \
    F(BLOB, body, 1048576, _, "encoded body")                                                      \
    F(LIST, just, 65, raw_cert,                                                                    \
      "notarization (or finalization) of the parent, nullifications of "                           \
      "every view between")
POA_RECORD_DECLARE(proposal, POA_PROPOSAL_TABLE)

#define POA_BATCH_ACK_TABLE(F)                                                                     \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(LIST, batches, 256, digest, "digests")
POA_RECORD_DECLARE(batch_ack, POA_BATCH_ACK_TABLE)
#define POA_TXS_TABLE(F) F(LIST, txs, 4096, raw_tx, "transactions")
POA_RECORD_DECLARE(txs, POA_TXS_TABLE)
#define POA_MINING_TABLE(F)                                                                        \
    F(LIST, tickets, 512, ticket, "tickets")                                                       \
    F(LIST, seals, 512, seal, "seals")                                                             \
    F(LIST, evidence, 16, evidence, "evidence")
POA_RECORD_DECLARE(mining, POA_MINING_TABLE)
#define POA_GET_CERTS_TABLE(F)                                                                     \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(U64, from, 0, _, "first view")                                                               \
    F(U64, to, 0, _, "last view")
POA_RECORD_DECLARE(get_certs, POA_GET_CERTS_TABLE)
#define POA_GET_BLOCK_TABLE(F) F(FIX, hash, 32, _, "header hash")
POA_RECORD_DECLARE(get_block, POA_GET_BLOCK_TABLE)
#define POA_GET_BATCH_TABLE(F) F(LIST, batches, 256, digest, "digests")
POA_RECORD_DECLARE(get_batch, POA_GET_BATCH_TABLE)

/* Lost logs: recovery.c. */
#define POA_RECOVER_TABLE(F)                                                                       \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(U64, view, 0, _, "this view and the next one are skipped: never finalized by the signer")    \
    F(FIX, token, 32, _, "the operators', drawn after the logs were lost")                         \
    F(U16, voter, 127, _, "index in the committee")                                                \
    F(FIX, sig, 64, _, "over domain, chain, epoch, view, token")
POA_RECORD_DECLARE(recover, POA_RECOVER_TABLE)
#define POA_RECOVERED_TABLE(F)                                                                     \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(U64, view, 0, _, "as in recover")                                                            \
    F(FIX, token, 32, _, "as in recover")                                                          \
    F(FIX, signers, 16, _, "bit i of byte i/8: member i signed")                                   \
    F(LIST, sigs, 128, sig, "one per set bit, in order")
POA_RECORD_DECLARE(recovered, POA_RECOVERED_TABLE)

/* Only to save time: the proposal carries the same proof. */
#define POA_BEACON_AHEAD_TABLE(F)                                                                  \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(U64, view, 0, _, "view that the sender leads")                                               \
    F(FIX, proof, 80, _, "the beacon of its header")
POA_RECORD_DECLARE(beacon_ahead, POA_BEACON_AHEAD_TABLE)

#define POA_FOLLOW_TABLE(F)                                                                        \
    F(U64, after, 0, _, "height the asker has")                                                    \
    F(U64, until, 0, _, "not beyond the first certified block from here on; 0: all there is")      \
    F(U32, max_bytes, 0, _, "largest answer it takes")
POA_RECORD_DECLARE(follow, POA_FOLLOW_TABLE)
#define POA_RAW_BATCH_TABLE(F) F(BLOB, batch, 524288, _, "encoded batch")
POA_RECORD_DECLARE(raw_batch, POA_RAW_BATCH_TABLE)
#define POA_BLOCK_TABLE(F)                                                                         \
    F(BLOB, header, 289, _, "encoded header")                                                      \
    F(BLOB, body, 1048576, _, "encoded body")                                                      \
    F(LIST, batches, 256, raw_batch, "the listed batches, in order")
POA_RECORD_DECLARE(block, POA_BLOCK_TABLE)
#define POA_BLOCKS_TABLE(F)                                                                        \
    F(LIST, blocks, 1024, block, "consecutive heights")                                            \
    F(BLOB, cert, 8254, _, "finalization of the last one; empty when blocks is empty")
POA_RECORD_DECLARE(blocks, POA_BLOCKS_TABLE)
#define POA_CODE_TABLE(F) F(U16, code, 0, _, "0 = accepted, else the error number")
POA_RECORD_DECLARE(code, POA_CODE_TABLE)
#define POA_CODES_TABLE(F) F(LIST, codes, 4096, code, "in the order of the request")
POA_RECORD_DECLARE(codes, POA_CODES_TABLE)
#define POA_PEER_STATUS_TABLE(F)                                                                   \
    F(FIX, chain, 32, _, "chain id")                                                               \
    F(U64, height, 0, _, "finalized height")                                                       \
    F(FIX, hash, 32, _, "its header hash")                                                         \
    F(U32, epoch, 0, _, "its epoch")
POA_RECORD_DECLARE(peer_status, POA_PEER_STATUS_TABLE)

/* --- events --------------------------------------------------------------------- */

enum poa_event_kind {
    POA_EVENT_TICK,    /* the deadline passed, or any time */
    POA_EVENT_MESSAGE, /* pushed message from member PEER; own broadcasts (SEND with the own bit)
                          come back here too, once what they waited for is durable */
    POA_EVENT_TX,      /* transactions whose signatures a worker checked: from the RPC, the gateway
                          or a submit request (PEER = POA_PEER_OTHER), or after EFFECT_CHECK of
                          type TX (PEER as in the effect) */
    POA_EVENT_BATCH,   /* a batch whose signatures a worker checked (or refused: code) */
    POA_EVENT_MINING,  /* tickets, seals and evidence from the local gateway or a request */
    POA_EVENT_PERSISTED, /* everything up to persist SEQ is durable */
    POA_EVENT_BLOCK,     /* finalized blocks: a poa_blocks bundle from a follow answer or the own
                            store. POA_E_AGAIN: not all executed yet; reserve and step again with
                            the same event. Blocks that the core has are skipped. */
    POA_EVENT_RESTORE,   /* at start: write-ahead record TYPE, SEQ, BYTES as it was persisted */
    POA_EVENT_RECOVER,   /* operators' order: epoch SEQ stands still for lost logs, go on under the
                            token BYTES (32). POA_E_EPOCH: it is over */
    POA_EVENT_RESTORED,  /* at start: no more; the core begins to take part */
};

/* A batch that a worker decoded and checked. Handed over with poa_core_step:
 * the core keeps BYTES and TX until poa_effect RELEASE gives TOKEN back. */
struct poa_checked_batch {
    struct poa_slice bytes;
    uint8_t digest[32];
    const struct poa_tx_view *tx;
    uint32_t txs;
    int code; /* POA_OK, or why the batch breaks a stateless rule */
    void *token;
};

struct poa_event {
    enum poa_event_kind kind;
    uint16_t peer;                /* MESSAGE: committee index of the sender, or POA_PEER_OTHER */
    uint16_t type;                /* MESSAGE, RESTORE: enum poa_message / enum poa_record_kind */
    struct poa_slice bytes;       /* MESSAGE, MINING, BLOCK, RESTORE; borrowed until the effects of
                                     the step were executed */
    const struct poa_tx_view *tx; /* TX */
    uint32_t txs;
    int *codes;                            /* TX, MINING: out, one per item; may be NULL */
    const struct poa_checked_batch *batch; /* BATCH: one; BLOCK: those of all its blocks, in order,
                                              parsed only (the certificate covers them), borrowed */
    uint32_t batches;
    uint64_t seq; /* PERSISTED, RESTORE, RECOVER */
};
#define POA_PEER_OTHER UINT16_MAX

/* --- effects --------------------------------------------------------------------- */

enum poa_effect_kind {
    POA_EFFECT_PERSIST,  /* write-ahead RECORD under SEQ (enum poa_record_kind) */
    POA_EFFECT_SEND,     /* TYPE and BYTES to the members in TO, after persist WAIT is durable */
    POA_EFFECT_SUBMIT,   /* follower: TYPE (REQ_SUBMIT, REQ_MINING) and BYTES as a request to any
                            member of the committee */
    POA_EFFECT_COMMIT,   /* COMMIT is final: store it. Its batches were persisted before */
    POA_EFFECT_CHECK,    /* have a worker check BYTES of TYPE BATCH (poa_tx_check of every
                            transaction; poa_tx_parse when TRUSTED), then EVENT_BATCH; or of TYPE
                            TX, then EVENT_TX with those that pass and PEER */
    POA_EFFECT_RELEASE,  /* TOKEN of a checked batch is no longer needed */
    POA_EFFECT_FORGET,   /* write-ahead records below SEQ may be deleted, once persist WAIT and
                            every commit before this effect are durable */
    POA_EFFECT_BEHIND,   /* others are at HEIGHT or beyond: follow a server from our height */
    POA_EFFECT_CONFLICT, /* BYTES is evidence (for the log) */
    POA_EFFECT_GONE,     /* GONE_N transactions that were accepted here are no longer on their
                            way, and why: nobody sees to it any more that a block has them. Comes
                            after COMMIT of the same step, and may name what a block had */
    POA_EFFECT_HALT,     /* stop the node: CODE and TEXT say why */
};

enum poa_record_kind {
    POA_WAL_EPOCH = 1,    /* written at init and at each hand-over */
    POA_WAL_VOTE = 2,     /* encoded vote, before it is sent */
    POA_WAL_PROPOSAL = 3, /* encoded proposal of our own, before it is sent */
    POA_WAL_CERT = 4,
    POA_WAL_BATCH = 5, /* encoded batch; goes to the batch store under its digest */
    POA_WAL_SEAT = 6,  /* encoded proposal of another leader that we voted for */
    POA_WAL_RECOVER = 7,
    POA_WAL_RECOVERED = 8,
};

#define POA_WAL_EPOCH_TABLE(F)                                                                     \
    F(FIX, chain, 32, _, "chain id")                                                               \
    F(FIX, key, 32, _, "node key")                                                                 \
    F(U32, epoch, 0, _, "epoch in which this node may vote: it lost nothing since it began")       \
    F(U64, from_view, 0, _, "in views from here on only: what it said before was lost; 0 = all")
POA_RECORD_DECLARE(wal_epoch, POA_WAL_EPOCH_TABLE)

/* A committed block; slices borrow until the next step. */
struct poa_commit {
    const struct poa_header *header;
    uint8_t hash[32];
    struct poa_slice header_bytes, body;
    struct poa_slice cert;    /* finalization of this block (of its last filler when there are
                                 any), or empty: that of a later block covers it */
    struct poa_slice fillers; /* closing block: encoded poa_block records that link it to the
                                 block that CERT finalizes; a bundle of poa_blocks ends with
                                 them and cert. Store them with the block */
    uint32_t fillers_n;
    const uint8_t (*batch)[32]; /* digests listed */
    uint32_t batches;
    const struct poa_tx_result *tx; /* every transaction's fate, in order */
    uint32_t txs;
    uint8_t root[32];   /* state root after it */
    poa_state_id state; /* applied when the effect is handed out: base */
};

struct poa_effect {
    enum poa_effect_kind kind;
    uint16_t type;
    uint8_t to[16];         /* SEND: bit per member; the own bit: deliver to ourselves too */
    struct poa_slice bytes; /* borrowed until the next step */
    uint64_t seq, wait;     /* WAIT 0: send at once */
    uint16_t peer;          /* CHECK of TX: goes into the event */
    bool trusted;           /* CHECK: signatures were checked before */
    bool lazy;              /* SEND: with what else goes there, or in a second */
    const struct poa_commit *commit;
    const struct poa_tx_gone *gone; /* borrowed until the next step */
    uint32_t gone_n;
    void *token;
    uint64_t height;
    int code;
    const char *text;
};

struct poa_effects {
    const struct poa_effect *effect;
    size_t n;
};

/* --- the core ----------------------------------------------------------------------- */

struct poa_core;

struct poa_core_limits {
    uint32_t pending_batches; /* held, not yet final */
    size_t pending_batch_bytes;
    uint32_t pending_mining; /* tickets and seals that wait for a block */
    struct poa_mempool_limits mempool;
    size_t batch_flush_bytes; /* default 512 KB */
    uint32_t batch_flush_us;  /* default 2,000; longer while own batches wait for blocks */
    uint32_t log_records;     /* write-ahead records that may be forgotten before FORGET says so;
                                 default 1,024 */
    size_t arena_bytes;       /* block bodies, certificates, results; default 64 MB, of address
                                 space: pages count when they are used */
};

struct poa_core_config {
    const struct poa_suite *suite;
    struct poa_alloc alloc;
    struct poa_ledger *ledger;     /* at the last checkpoint; owned by the core from here on */
    const uint8_t *seed32, *key32; /* node key; NULL: follower that never votes */
    struct poa_core_limits limits; /* 0: the default */
    struct poa_slice tip_header;   /* encoded header of the ledger's last block; empty at genesis */
    struct poa_slice tip_cert; /* its finalization, or empty: that of a later block covered it */
    bool amnesia;              /* write-ahead log lost or restored from a backup: abstain until
                                  a hand-over that this node sees live */
    uint64_t mark_blocks;      /* after a block whose height is a multiple of this a step commits
                                  no other: the driver can save just that state; 0: none */
    uint8_t mutant;            /* enum poa_mutant: 0 but in the simulator */
};

/* Broken variants of single rules. poa-sim runs them to show that its checkers
 * see what the rule prevents; nothing else sets poa_core_config.mutant. */
#define POA_MUTANTS(X)                                                                             \
    X(VOTE_TWICE, "vote-twice", "votes for every header of a view")                                \
    X(FINAL_AFTER_NULL, "final-after-null", "finalizes a view that it nullified")                  \
    X(NULL_AFTER_FINAL, "null-after-final", "nullifies a view that it finalized")                  \
    X(QUORUM_LESS, "quorum-less-one", "certificates with one signature too few")                   \
    X(UNCHECKED_GAP, "unchecked-gap", "votes without nullifications between parent and view")      \
    X(NO_RELAY, "no-relay", "never passes on or re-sends a certificate")                           \
    X(IGNORE_LATE_NOTAR, "ignore-late-notar", "ignores a notarization after its own nullify")      \
    X(NO_STANDSTILL, "no-standstill", "never re-sends votes")                                      \
    X(NO_FETCH, "no-fetch", "never asks for what it lacks")                                        \
    X(NO_NULLIFY, "no-nullify", "never nullifies a view")                                          \
    X(FORGET_VOTES, "forget-votes", "restarts without its votes")                                  \
    X(FORGET_NULLIFY, "forget-nullify", "restarts without its nullify votes")                      \
    X(FORGET_NOTAR, "forget-notarize", "restarts without its notarize votes and their blocks")     \
    X(OWN_BEACON, "beacon-own-epoch", "uses the beacon's outputs in their own epoch")              \
    X(STALE_PARENT, "stale-parent", "proposes on the last final block, whatever came after")       \
    X(COMMIT_EARLY, "commit-on-notarize", "takes a notarization for finality")                     \
    X(UNCHECKED_VOTES, "unchecked-votes", "counts votes without looking at who signed")            \
    X(ACCUSE_REPLAYS, "accuse-replays", "takes a device's old seal for a false one")               \
    X(RECOVER_ALONE, "recover-alone", "without its log, votes on before it heard who has theirs")  \
    X(TRUST_AUTHOR, "trust-author",                                                                \
      "lists a batch when its author has not said that it is durable")                             \
    X(RECOVER_SOON, "recover-soon", "without its log, votes in views in which it may have voted")

enum poa_mutant {
    POA_MUTANT_NONE,
#define POA_MUTANT_ROW(name, text, what) POA_MUTANT_##name,
    POA_MUTANTS(POA_MUTANT_ROW)
#undef POA_MUTANT_ROW
};

/* NOW_US is a monotonic clock, WALL_MS Unix time; both come with each step. */
struct poa_now {
    uint64_t us;
    uint64_t wall_ms;
};

POA_MUST_USE int poa_core_new(const struct poa_core_config *config, struct poa_now now,
                              struct poa_core **out);
void poa_core_free(struct poa_core *c);
/* Allocates what the next step may need; call between steps. */
POA_MUST_USE int poa_core_reserve(struct poa_core *c);
/* One event in, effects out (borrowed until the next step). The result is the
 * fate of the event (a peer's fault shows here); effects are valid either way. */
int poa_core_step(struct poa_core *c, const struct poa_event *event, struct poa_now now,
                  struct poa_effects *out);
/* When the next TICK is due, in NOW_US's clock; UINT64_MAX: never. */
uint64_t poa_core_deadline_us(const struct poa_core *c);
const struct poa_ledger *poa_core_ledger(const struct poa_core *c);
/* Write-ahead record for `init` of a new node: what makes it a member that has
 * lost nothing. */
POA_MUST_USE int poa_core_init_record(const uint8_t chain32[32], const uint8_t key32[32],
                                      struct poa_writer *out);

struct poa_core_status {
    uint64_t height, time_ms; /* finalized tip */
    uint8_t hash[32];
    uint32_t epoch;
    uint64_t view;     /* the one in work */
    uint64_t tip_view; /* of the finalized tip; 0: it belongs to the epoch before */
    int32_t member;    /* own index in the committee, or -1 */
    uint16_t members, quorum;
    uint64_t notarized_height;
    uint64_t views_nullified, views_notarized;
    uint32_t mempool, batches_pending, mining_pending, evidence_pending;
    bool abstaining;
    bool recovering;   /* the operators' order is being carried out */
    uint64_t lag_us;   /* from making a batch of ours to its block being final: the last one, or
                          the oldest that waits; 0: none for a second */
    uint64_t final_us; /* since the last block became final, or the epoch or the node began */
    uint8_t heard[16]; /* members whose vote in the view in work is here: bit i of byte i/8 */
    bool synced;       /* no certificate is known beyond the tip */
    /* The last proposal whose time was further ahead of our clock than drift_ms; 0: none. */
    uint64_t ahead_ms, ahead_view;
    uint8_t ahead_key[32]; /* its leader's */
};
/* Nothing final for so long in a committee that works means that it does not. */
static inline uint64_t poa_stall_us(const struct poa_genesis *g)
{
    return ((uint64_t)g->heartbeat_ms + 10 * (uint64_t)g->timeout_ms) * 1000;
}
void poa_core_status(const struct poa_core *c, struct poa_core_status *out);
/* Where a transaction of SENDER belongs now: committee index. */
uint16_t poa_core_home(const struct poa_core *c, const uint8_t sender32[32]);
/* Who leads VIEW of the current epoch: committee index. */
uint16_t poa_core_leader(const struct poa_core *c, uint64_t view);
/* VRF input of the proof that this node makes soon, for its turn in VIEW; false:
 * none. A driver may have it made elsewhere first, behind the suite. */
bool poa_core_beacon_next(const struct poa_core *c, uint64_t *view, uint8_t alpha32[32]);
/* Committee of the current epoch; borrowed until the next step. */
const struct poa_committee *poa_core_committee(const struct poa_core *c);

#endif
