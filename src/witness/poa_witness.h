/* witness: the signed records of the protocol and their checks.
 *
 * Everything that a device, a node or an auditor needs to judge a block by
 * itself: header, vote, certificate, ticket, seal, evidence, committee. Pure
 * and freestanding (records.c, check.c, chain.c, draw.c): devices link them. The bounds
 * (bounds.c) are for hosts.
 *
 * Source: docs/consensus.md (Simplex, Chan and Pass 2023) and
 * docs/assignment.md.
 */
#ifndef POA_WITNESS_H
#define POA_WITNESS_H

#include "poa_codec.h"
#include "poa_crypto.h"

#define POA_COMMITTEE_MAX  128
#define POA_SIG_BYTES      64
#define POA_VRF_PI_BYTES   80
#define POA_VRF_BETA_BYTES 64

/* --- the signature suite ---------------------------------------------------
 *
 * All signing and checking goes through this table, so that the simulator can
 * replace cryptography by a keyed hash and run a hundred times faster. */
struct poa_suite {
    /* Errors: POA_E_SIGNATURE */
    int (*verify)(const uint8_t pk32[32], const void *msg, size_t n, const uint8_t sig64[64]);
    void (*sign)(const uint8_t seed32[32], const uint8_t pk32[32], const void *msg, size_t n,
                 uint8_t sig64[64]);
    /* Errors: POA_E_PROOF, POA_E_KEY; ECVRF-EDWARDS25519-SHA512-TAI */
    int (*vrf_verify)(const uint8_t pk32[32], const void *alpha, size_t n, const uint8_t pi80[80],
                      uint8_t beta64[64]);
    int (*vrf_prove)(const uint8_t seed32[32], const uint8_t pk32[32], const void *alpha, size_t n,
                     uint8_t pi80[80]);
    /* The output of a proof that others have verified: a tenth of the work.
     * Errors: POA_E_PROOF */
    int (*vrf_output)(const uint8_t pk32[32], const void *alpha, size_t n, const uint8_t pi80[80],
                      uint8_t beta64[64]);
};
extern const struct poa_suite poa_suite_ed25519;

/* --- block header ---------------------------------------------------------- */

enum poa_block_kind {
    POA_BLOCK_NORMAL = 0,
    POA_BLOCK_CLOSING = 1, /* last of an epoch: empty, names the next committee */
    POA_BLOCK_FILLER = 2,  /* after a closing block, until that is final: links proofs, never
                              sealed, rewarded or taken for finality by a client */
};

#define POA_HEADER_TABLE(F)                                                                        \
    F(U16, version, 1, _, "1")                                                                     \
    F(U8, kind, 2, _, "0 normal, 1 closing, 2 filler")                                             \
    F(FIX, chain, 32, _, "chain id: hash of the genesis record")                                   \
    F(U32, epoch, 0, _, "epoch whose committee signs this block")                                  \
    F(U64, view, 0, _, "view within the epoch, from 1")                                            \
    F(U64, height, 0, _, "1 for the first block after genesis")                                    \
    F(FIX, parent, 32, _, "hash of the parent's header; chain id at height 1")                     \
    F(U64, parent_view, 0, _, "view of the parent in this epoch; 0 for the epoch's root")          \
    F(U64, time_ms, 0, _, "Unix time in ms, later than the parent's")                              \
    F(U16, leader, 127, _, "index of the proposer in the committee")                               \
    F(FIX, beacon, 80, _, "proposer's VRF proof on (chain, epoch, view, seed)")                    \
    F(FIX, body, 32, _, "hash of the block body")                                                  \
    F(FIX, state, 32, _, "state root after the parent block")                                      \
    F(U64, closing_height, 0, _, "filler: height of the closing block; otherwise 0")               \
    F(FIX, next_committee, 32, _, "closing: hash of the next committee; otherwise zero")
POA_RECORD_DECLARE(header, POA_HEADER_TABLE)

/* The bytes of a header as the mesh, the store and devices carry it. */
#define POA_HEADER_BYTES 289
void poa_header_hash(const struct poa_header *h, uint8_t out32[32]);
/* VRF input of the leader of (EPOCH, VIEW); does not depend on the block. */
void poa_beacon_alpha(const uint8_t chain32[32], uint32_t epoch, uint64_t view,
                      const uint8_t seed32[32], uint8_t out32[32]);
/* What a proposer signs for a header hash. */
void poa_proposal_digest(const uint8_t hash32[32], uint8_t out32[32]);

/* --- committee ------------------------------------------------------------- */

#define POA_MEMBER_TABLE(F)                                                                        \
    F(FIX, key, 32, _, "Ed25519 node key")                                                         \
    F(U32, maker, 0, _, "manufacturer of its hardware, as attested")                               \
    F(U16, region, 0, _, "region, as attested")                                                    \
    F(U32, provider, 0, _, "hosting provider, as attested")
POA_RECORD_DECLARE(member, POA_MEMBER_TABLE)
#define POA_MEMBER_BYTES 42

#define POA_COMMITTEE_TABLE(F)                                                                     \
    F(U32, epoch, 0, _, "epoch it serves")                                                         \
    F(U16, quorum, 128, _, "signatures that make a certificate")                                   \
    F(LIST, members, 128, member, "in the order of their indices")
POA_RECORD_DECLARE(committee, POA_COMMITTEE_TABLE)

/* f of n: how many may be bad. q >= n - f. */
static inline uint16_t poa_committee_faults(uint32_t n)
{
    return n ? (uint16_t)((n - 1) / 3) : 0;
}
void poa_committee_hash(const struct poa_committee *c, uint8_t out32[32]);
/* The same for whoever sees one encoded member at a time: poa_hash_update with
 * each, in order, then poa_hash_final. */
void poa_committee_hash_begin(struct poa_hash_state *s, uint32_t epoch, uint16_t quorum,
                              uint8_t members);
/* Whether a quorum is left when members that are device DEVICE32 itself, or whose
 * hardware is of its MAKER, do not count: else the device's word adds nothing to
 * the committee's. */
bool poa_committee_independent(const struct poa_committee *c, const uint8_t device32[32],
                               uint32_t maker);
/* Structure: 1..128 distinct members, n-f <= quorum <= n. POA_E_RANGE,
 * POA_E_DUPLICATE. */
POA_MUST_USE int poa_committee_check(const struct poa_committee *c);
/* Index of KEY, or POA_E_NOT_MEMBER. */
POA_MUST_USE int poa_committee_find(const struct poa_committee *c, const uint8_t key32[32]);
/* Key of member INDEX; POA_E_NOT_MEMBER. */
POA_MUST_USE int poa_committee_key(const struct poa_committee *c, uint32_t index,
                                   uint8_t key32[32]);

/* The draw of a committee from the pool, which anybody can repeat.
 *
 * The whole pool in its order when it fits into SIZE; else the first committee
 * that keeps every cap, in the order of H(DRAW, seed || key): candidates are
 * taken in turn, passing over whoever would break a cap or leave seats that
 * nobody to come could fill. When there is none, all caps rise by one. */
struct poa_committee_rule {
    uint16_t size; /* 0 = the whole pool, at most POA_COMMITTEE_MAX */
    uint16_t quorum_extra;
    uint16_t cap_maker, cap_region, cap_provider; /* 0 = none */
};
struct poa_candidate {
    struct poa_member member; /* in */
    uint8_t score[32];
    uint16_t seat; /* out: 1 + index in the committee; 0 = not drawn */
    /* The draw's own. */
    uint16_t order, group[3], used[3], left[3];
};
/* N at most 65,535.
 * Returns by how much the caps had to be raised to fill every seat (or more, when
 * the search for less took too long: docs/witness.md); 0 = none. A pool that
 * serves as a whole counts as raised to what it needs. */
uint32_t poa_committee_draw(const struct poa_committee_rule *rule, const uint8_t seed32[32],
                            struct poa_candidate *pool, size_t n);
/* The drawn committee; its members are appended to BUFFER, which must outlive
 * OUT. POA_E_RANGE (nobody drawn), POA_E_BUFFER, POA_E_DUPLICATE. */
POA_MUST_USE int poa_committee_build(const struct poa_committee_rule *rule, uint32_t epoch,
                                     const struct poa_candidate *pool, size_t n,
                                     struct poa_writer *buffer, struct poa_committee *out);

/* --- votes and certificates ------------------------------------------------ */

enum poa_vote_kind {
    POA_VOTE_NOTARIZE = 0,
    POA_VOTE_NULLIFY = 1,
    POA_VOTE_FINALIZE = 2,
};

#define POA_VOTE_TABLE(F)                                                                          \
    F(U8, kind, 2, _, "0 notarize, 1 nullify, 2 finalize")                                         \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(U64, view, 0, _, "view")                                                                     \
    F(FIX, hash, 32, _, "header hash; zero for nullify")                                           \
    F(U16, voter, 127, _, "index in the committee")                                                \
    F(FIX, sig, 64, _, "over domain, chain, epoch, view, kind, hash")
POA_RECORD_DECLARE(vote, POA_VOTE_TABLE)

#define POA_SIG_TABLE(F) F(FIX, sig, 64, _, "Ed25519 signature")
POA_RECORD_DECLARE(sig, POA_SIG_TABLE)

#define POA_CERT_TABLE(F)                                                                          \
    F(U8, kind, 2, _, "as in a vote")                                                              \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(U64, view, 0, _, "view")                                                                     \
    F(FIX, hash, 32, _, "header hash; zero for nullify")                                           \
    F(FIX, signers, 16, _, "bit i of byte i/8: member i signed")                                   \
    F(LIST, sigs, 128, sig, "one per set bit, in order")
POA_RECORD_DECLARE(cert, POA_CERT_TABLE)
#define POA_CERT_BYTES_MAX (1 + 4 + 8 + 32 + 16 + 1 + 64 * POA_COMMITTEE_MAX)

void poa_vote_digest(const uint8_t chain32[32], uint8_t kind, uint32_t epoch, uint64_t view,
                     const uint8_t hash32[32], uint8_t out32[32]);
/* Errors: POA_E_EPOCH, POA_E_NOT_MEMBER, POA_E_SIGNATURE, POA_E_NOT_CANONICAL
 * (nullify with a hash). */
POA_MUST_USE int poa_vote_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                const struct poa_committee *c, const struct poa_vote *v);
/* Errors: as above, and POA_E_QUORUM. Every signature is checked. */
POA_MUST_USE int poa_cert_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                const struct poa_committee *c, const struct poa_cert *cert);
/* The light client's rule: HEADER is final by CERT of committee C.
 * Errors: POA_E_BLOCK_INVALID (hash or view differ, filler), POA_E_CHAIN,
 * POA_E_QUORUM (not a finalization), as above. */
POA_MUST_USE int poa_final_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                 const struct poa_committee *c, const struct poa_header *header,
                                 const struct poa_cert *cert);

/* --- a chain of headers -------------------------------------------------------
 *
 * What a verifier who trusts nothing but genesis needs: headers in order, cut
 * into runs that each end with a finalization. A closing header, with the fillers
 * that link it to its finalization, ends a run; the committee that it names
 * follows it. `poa chain export` writes files of them, poa_chain_get gives them. */

#define POA_RUN_HEADERS_MAX 1024

#define POA_RAW_HEADER_TABLE(F) F(BLOB, header, 289, _, "encoded header")
POA_RECORD_DECLARE(raw_header, POA_RAW_HEADER_TABLE)

#define POA_RUN_TABLE(F)                                                                           \
    F(LIST, headers, 1024, raw_header, "consecutive; a closing one is followed by fillers only")   \
    F(BLOB, cert, 8254, _, "finalization of the last one")                                         \
    F(BLOB, next, 5384, _, "closing: encoded committee of the next epoch; otherwise empty")
POA_RECORD_DECLARE(run, POA_RUN_TABLE)

/* A file: this record, then for each run its length in four bytes,
 * little-endian, and the run. */
#define POA_CHAIN_FILE_MAGIC "poachain"
#define POA_CHAIN_FILE_TABLE(F)                                                                    \
    F(FIX, magic, 8, _, "poachain")                                                                \
    F(U16, version, 1, _, "1")                                                                     \
    F(FIX, chain, 32, _, "chain id")                                                               \
    F(U32, from_epoch, 0, _, "every header from here on; of earlier epochs at least the last")     \
    F(U64, height, 0, _, "of the last header")                                                     \
    F(FIX, hash, 32, _, "its hash")
POA_RECORD_DECLARE(chain_file, POA_CHAIN_FILE_TABLE)

/* Verified so far; the fields may be read. */
struct poa_chain_check {
    const struct poa_suite *suite;
    uint8_t chain[32];
    uint64_t epoch_views;
    uint32_t epoch; /* of the next header */
    uint64_t height, time_ms, view;
    uint8_t hash[32];
    uint64_t headers, certificates, hand_overs; /* how many were checked */
    struct poa_committee committee;             /* of EPOCH */
    uint8_t members[POA_COMMITTEE_MAX * 42];    /* COMMITTEE points here */
    /* After a refusal: at which height, and what was wrong (static). */
    uint64_t wrong_height;
    const char *wrong;
};
/* From genesis: its chain id, `epoch_views`, time, and the committee of epoch 0
 * (copied). Errors: those of poa_committee_check. */
POA_MUST_USE int poa_chain_begin(struct poa_chain_check *c, const struct poa_suite *suite,
                                 const uint8_t chain32[32], uint64_t epoch_views, uint64_t time_ms,
                                 const struct poa_committee *committee);
/* Checks RUN and moves on to its end. GAP: headers before its first one may be
 * missing, as far as they are of the same epoch: enough to follow hand-overs.
 * Errors: BLOCK_INVALID, BLOCK_PARENT, CHAIN, EPOCH, SIGNATURE, QUORUM,
 * NOT_MEMBER, NOT_CANONICAL, and the decoder's; C is then of no further use, but
 * for WRONG. */
POA_MUST_USE int poa_chain_run(struct poa_chain_check *c, const struct poa_run *run, bool gap);

/* --- assignment: tickets, seats, seals --------------------------------------
 *
 * A device evaluates its VRF once per window. From beta it derives k draws,
 * h_j = H(LOTTERY, beta || j): draw j wins a seat when the first 8 bytes of h_j
 * are below 2^64 * seats_per_slot * window_slots / (eligible * k); the next 8
 * give its slot in the j-th of k equal parts of the window, the next 8 its
 * rank. Expected seats per slot is a genesis parameter. */

#define POA_TICKET_TABLE(F)                                                                        \
    F(FIX, device, 32, _, "Ed25519 device key")                                                    \
    F(U32, epoch, 0, _, "epoch whose seed it draws on")                                            \
    F(U32, window, 0, _, "window of that epoch, from 1 (window 0 is drawn by `random`)")           \
    F(FIX, proof, 80, _, "VRF proof")
POA_RECORD_DECLARE(ticket, POA_TICKET_TABLE)

#define POA_SEAL_TABLE(F)                                                                          \
    F(FIX, device, 32, _, "Ed25519 device key")                                                    \
    F(U32, epoch, 0, _, "epoch of the sealed block")                                               \
    F(U64, slot, 0, _, "slot it was assigned to")                                                  \
    F(U64, height, 0, _, "height of the slot's sealing block")                                     \
    F(FIX, hash, 32, _, "hash of that block's header")                                             \
    F(FIX, sig, 64, _, "device's signature over domain, chain and the above")
POA_RECORD_DECLARE(seal, POA_SEAL_TABLE)
#define POA_SEAL_BYTES 148

/* What a lottery needs to know; integers only. */
struct poa_lottery {
    uint32_t eligible;       /* devices registered in time for this epoch */
    uint32_t seats_per_slot; /* expected */
    uint32_t window_slots;
};
#define POA_DRAWS_MAX 64

struct poa_seat {
    uint32_t slot; /* within the window, 0..window_slots-1 */
    uint64_t rank; /* lower is better */
};

void poa_ticket_alpha(const uint8_t chain32[32], const uint8_t seed32[32], uint32_t epoch,
                      uint32_t window, uint8_t out32[32]);
/* k, the draws per ticket: a power of two that divides the window. */
uint32_t poa_lottery_draws(const struct poa_lottery *l);
/* What the first 8 bytes of a draw have to stay below to win; true: every draw
 * wins, and *BELOW means nothing. */
bool poa_lottery_threshold(const struct poa_lottery *l, uint64_t *below);
/* Whether draw J of BETA, below poa_lottery_draws, wins: then its seat in OUT. */
bool poa_ticket_seat(const struct poa_lottery *l, const uint8_t beta64[64], uint32_t j,
                     struct poa_seat *out);
/* Seats that BETA wins, slots ascending and distinct; returns how many. */
size_t poa_ticket_seats(const struct poa_lottery *l, const uint8_t beta64[64],
                        struct poa_seat out[POA_DRAWS_MAX]);
/* Policies `random` and `weighted`: registry index (0..eligible-1, ELIGIBLE at
 * least 1) and rank of the J-th draw for SLOT. Returns its lot, 0..POA_LOTS-1:
 * `weighted` seats a device whose weight is above it. */
#define POA_LOTS 64
uint32_t poa_random_seat(const uint8_t chain32[32], const uint8_t seed32[32], uint64_t slot,
                         uint32_t j, uint32_t eligible, uint32_t *index, uint64_t *rank);
/* POA_E_PROOF; BETA on success. */
POA_MUST_USE int poa_ticket_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                  const uint8_t seed32[32], const struct poa_ticket *t,
                                  uint8_t beta64[64]);
void poa_seal_digest(const uint8_t chain32[32], const struct poa_seal *s, uint8_t out32[32]);
POA_MUST_USE int poa_seal_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                const struct poa_seal *s); /* signature only */

/* --- evidence ---------------------------------------------------------------
 *
 * Two signed objects of one author that an honest one never makes. */
enum poa_evidence_kind {
    POA_EVIDENCE_VOTES = 0,   /* two `vote`: notarize/notarize or finalize/finalize with other
                                 hashes, or nullify and finalize, same epoch and view */
    POA_EVIDENCE_HEADERS = 1, /* two `signed_header` of one (epoch, view, leader) */
    POA_EVIDENCE_SEALS = 2,   /* two `seal` of one device and slot with other hashes */
    POA_EVIDENCE_BATCH = 3,   /* a signed batch that breaks a stateless rule; second is empty */
    POA_EVIDENCE_FORK = 4,    /* a `seal` of another block than the final one of its height, which
                                 sealed its slot; second is empty */
};

#define POA_SIGNED_HEADER_TABLE(F)                                                                 \
    F(BLOB, header, 289, _, "encoded header")                                                      \
    F(FIX, sig, 64, _, "leader's signature over the proposal digest")
POA_RECORD_DECLARE(signed_header, POA_SIGNED_HEADER_TABLE)

#define POA_EVIDENCE_TABLE(F)                                                                      \
    F(U8, kind, 4, _, "enum poa_evidence_kind")                                                    \
    F(FIX, author, 32, _, "key of who is convicted")                                               \
    F(BLOB, first, 600000, _, "signed object")                                                     \
    F(BLOB, second, 600, _, "signed object")
POA_RECORD_DECLARE(evidence, POA_EVIDENCE_TABLE)

/* Votes, headers and seals; a batch or a fork is checked by the ledger
 * (UNSUPPORTED here). C is the committee of the epoch that the objects name; seals do not
 * need one (may be NULL).
 * Errors: POA_E_PROOF (the two do not contradict each other), POA_E_NOT_MEMBER
 * (not the author's), POA_E_SIGNATURE, POA_E_EPOCH, POA_E_CHAIN, those of the
 * decoder. */
POA_MUST_USE int poa_evidence_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                    const struct poa_committee *c, const struct poa_evidence *e);

#endif
