/* edge: what a device and its gateway say to each other.
 *
 *   TCP stream:  n u16 | n bytes | n u16 | n bytes | ...
 *
 *   device                                gateway
 *     first Noise IK message  ------------->      96 bytes, no payload
 *     <-----------  second Noise IK message       48 bytes, no payload
 *     session frame (HELLO)   ------------->
 *     <------------  session frame (WELCOME)      then any of the table
 *
 * or, when the device has a pass of this gateway (PASS) that is younger than an hour,
 * without a scalar multiplication on either side:
 *
 *     pass | nonce            ------------->      112 bytes
 *     <-----------  nonce                         32 bytes; 1 byte: refused, dial anew
 *     session frame (HELLO)   ------------->      and so on, as above
 *
 * The plain text of a session frame is the message number (u8) and one record.
 * The Noise keys are the X25519 keys of the two Ed25519 identities, so that
 * the handshake proves who speaks: the gateway compares the device key in
 * HELLO, converted, with the static key that it saw. Prologue:
 * POA_EDGE_PROLOGUE.
 *
 * Everything here is freestanding C99 and shared by both sides.
 */
#ifndef POA_EDGE_H
#define POA_EDGE_H

#include "poa_session.h"
#include "poa_witness.h"

#define POA_EDGE_VERSION       2
#define POA_EDGE_VERSION_MIN   1 /* of devices that a gateway serves: without PASS */
#define POA_EDGE_PROLOGUE      "poa/edge/1"
#define POA_EDGE_FIRST_BYTES   96 /* e, s + tag, tag */
#define POA_EDGE_SECOND_BYTES  48 /* e, tag */
#define POA_EDGE_HEAD_BYTES    2  /* length before each frame */
#define POA_EDGE_PASS_BYTES    80
#define POA_EDGE_RESUME_BYTES  (POA_EDGE_PASS_BYTES + 32) /* pass, nonce */
#define POA_EDGE_RESUMED_BYTES 32                         /* nonce */
#define POA_EDGE_REFUSED_BYTES 1
/* A stream may carry many devices: its first frame is POA_EDGE_TRUNK, and each
 * later one n u16 | channel u32 | frame of that channel without its length,
 * both ways. A channel is a device, with a handshake and a session of its own
 * that who holds the stream cannot read; a frame without a body ends it. */
#define POA_EDGE_TRUNK         "poa/trunk/1"
#define POA_EDGE_CHANNEL_BYTES 4
/* Plain text grows by this much in a frame on the wire. */
#define POA_EDGE_OVERHEAD (POA_EDGE_HEAD_BYTES + POA_SESSION_OVERHEAD + 1)
/* Largest frame body that a device may send. */
#define POA_EDGE_UP_MAX 8192
/* Largest that a gateway may send, to a device that takes so much (HELLO). */
#define POA_EDGE_DOWN_MAX     16384
#define POA_EDGE_PACK_CONTENT 4000
#define POA_EDGE_TX_MAX       4096
#define POA_EDGE_KEY_MAX      64
#define POA_EDGE_RELAY_MAX    1057
#define POA_EDGE_PATH_MAX     32 /* hashes: 2^32 packs under one root */

/* Numbers below 64 go up (device to gateway), the others down.
 * X(NAME, number, record, "text") */
#define POA_EDGE_MESSAGES(X)                                                                       \
    X(HELLO, 1, edge_hello, "first message of a device: who it is and what it has")                \
    X(TICKET, 2, ticket, "a winning ticket for the next window")                                   \
    X(SEAL, 3, seal, "a seal for a task")                                                          \
    X(PACK, 4, pack, "a signed pack of readings")                                                  \
    X(TX, 5, edge_tx, "a signed transaction for the ledger")                                       \
    X(QUERY, 6, edge_query, "asks for a state entry with its proof")                               \
    X(GET_HANDOVER, 7, edge_get_handover, "asks for the committee after an epoch")                 \
    X(PING, 8, edge_ping, "keeps the connection and asks for the time")                            \
    X(LISTEN, 9, edge_listen, "takes what other devices say (RELAYED), or no more")                \
    X(RELAY, 10, edge_relay, "to be passed on to another device, unread")                          \
    X(WELCOME, 64, edge_welcome, "answer to HELLO; again whenever the device's state changes")     \
    X(EPOCH, 65, edge_epoch, "a new epoch: once to every device")                                  \
    X(TASK, 66, edge_task, "to the assigned only: seal this final block")                          \
    X(FINAL, 67, edge_final, "a header with its certificate: what follows rests on it")            \
    X(FINAL_HEAD, 79, edge_final_head, "the same in parts, for a device without the committee")    \
    X(FINAL_PART, 80, edge_final_part, "members of the committee in order, with their signatures") \
    X(LINK, 68, edge_link, "the parent of the header before it")                                   \
    X(COMMITTEE, 78, committee, "the committee that the closing header before it names")           \
    X(COMMITTEE_ID, 81, edge_committee_id, "the same for a device that holds no members")          \
    X(TICKET_RESULT, 69, edge_ticket_result, "fate of a ticket")                                   \
    X(SEAL_RESULT, 70, edge_seal_result, "fate of a seal")                                         \
    X(PACK_RESULT, 71, edge_pack_result, "the gateway keeps the pack, or why not")                 \
    X(RECEIPT, 72, edge_receipt, "the pack is on the ledger: its path to the anchored root")       \
    X(REWARD, 73, edge_reward, "what the registry says the device earned")                         \
    X(TX_RESULT, 74, edge_tx_result, "fate of a transaction")                                      \
    X(ANSWER, 75, edge_answer, "state entry and proof; FINAL with its header came before")         \
    X(PONG, 76, edge_pong, "answer to PING")                                                       \
    X(BYE, 77, edge_bye, "the gateway closes: why, and when to come back")                         \
    X(PASS, 82, edge_pass, "to come back within the hour without a handshake, once")               \
    X(RELAYED, 83, edge_relay, "what another device said")                                         \
    X(RELAY_RESULT, 84, edge_relay_result, "a RELAY was not passed on, and why")

enum poa_edge_message {
#define POA_EDGE_MESSAGE_ROW(name, number, record, text) POA_EDGE_##name = (number),
    POA_EDGE_MESSAGES(POA_EDGE_MESSAGE_ROW)
#undef POA_EDGE_MESSAGE_ROW
};
/* "HELLO", or "unknown". */
const char *poa_edge_message_name(uint8_t type);

/* --- records ----------------------------------------------------------------- */

#define POA_EPOCH_NONE UINT32_MAX
#define POA_SLOT_NONE  UINT64_MAX

/* What of the genesis a device needs. Travels and is stored encoded, so that
 * two versions of it can be compared byte by byte. */
#define POA_EDGE_PARAMS_TABLE(F)                                                                   \
    F(U64, genesis_ms, 0, _, "start of slot 0, Unix ms")                                           \
    F(U32, slot_ms, 0, _, "length of a slot, at least 1")                                          \
    F(U32, window_slots, 0, _, "slots per assignment window, at least 1")                          \
    F(U32, seats_per_slot, 0, _, "expected assigned devices per slot")                             \
    F(U32, seal_slots, 0, _, "a seal counts when included within this many slots")                 \
    F(U32, drift_ms, 0, _, "how far a header's time may be ahead")                                 \
    F(U8, policy, 2, _, "0 vrf, 1 random, 2 weighted")                                             \
    F(U64, fee_min, 0, _, "smallest fee of a transaction")                                         \
    F(U64, fee_per_kib, 0, _, "and per started KiB of it")
POA_RECORD_DECLARE(edge_params, POA_EDGE_PARAMS_TABLE)
#define POA_EDGE_PARAMS_BYTES 45
enum poa_edge_policy {
    POA_EDGE_POLICY_VRF = 0,
    POA_EDGE_POLICY_RANDOM = 1,
    POA_EDGE_POLICY_WEIGHTED = 2,
};

#define POA_EDGE_HELLO_TABLE(F)                                                                    \
    F(U16, version, 0, _, "POA_EDGE_VERSION")                                                      \
    F(FIX, device, 32, _, "Ed25519 device key")                                                    \
    F(FIX, chain, 32, _, "chain id that it trusts; zero at first contact")                         \
    F(U32, epoch, 0, _, "epoch of the committee that it trusts; 2^32-1 = none")                    \
    F(U16, frame_max, 0, _, "largest frame body that it takes")                                    \
    F(U8, committee_max, POA_COMMITTEE_MAX, _,                                                     \
      "holds committees up to this; certificates of larger ones come in parts")
POA_RECORD_DECLARE(edge_hello, POA_EDGE_HELLO_TABLE)

enum poa_edge_status {
    POA_EDGE_ACTIVE = 0,
    POA_EDGE_SUSPENDED = 1,
    POA_EDGE_UNREGISTERED = 2,
};
#define POA_EDGE_WELCOME_TABLE(F)                                                                  \
    F(U16, version, 0, _, "POA_EDGE_VERSION")                                                      \
    F(FIX, chain, 32, _, "chain id")                                                               \
    F(BLOB, params, 64, _, "encoded edge_params")                                                  \
    F(U64, time_ms, 0, _, "gateway's clock, Unix ms")                                              \
    F(U32, epoch, 0, _, "current epoch")                                                           \
    F(U8, status, 2, _, "of the device: 0 active, 1 suspended, 2 not registered")                  \
    F(U32, index, 0, _, "registry index of the device; 0 when not registered")                     \
    F(U32, ping_ms, 0, _, "say something at least this often")                                     \
    F(U16, frame_max, 0, _, "largest frame body that the gateway takes")
POA_RECORD_DECLARE(edge_welcome, POA_EDGE_WELCOME_TABLE)

#define POA_EDGE_EPOCH_TABLE(F)                                                                    \
    F(U32, epoch, 0, _, "epoch")                                                                   \
    F(FIX, seed, 32, _, "its public seed")                                                         \
    F(U32, eligible, 0, _, "devices that may be drawn: registry indices below this")               \
    F(U64, first_slot, 0, _, "slot that window 0 starts at")
POA_RECORD_DECLARE(edge_epoch, POA_EDGE_EPOCH_TABLE)

#define POA_EDGE_TASK_TABLE(F)                                                                     \
    F(U64, slot, 0, _, "slot of the header's time")                                                \
    F(BLOB, header, POA_HEADER_BYTES, _, "encoded header of the slot's sealing block")             \
    F(BLOB, cert, POA_CERT_BYTES_MAX, _, "its finalization; empty: FINAL and LINKs came before")
POA_RECORD_DECLARE(edge_task, POA_EDGE_TASK_TABLE)

/* A block may be final through a certificate of a descendant (closing blocks
 * often are, through a filler). Then FINAL carries that descendant, and LINKs
 * walk down to it, so that a device checks one header at a time. */
#define POA_EDGE_FINAL_TABLE(F)                                                                    \
    F(BLOB, header, POA_HEADER_BYTES, _, "encoded header")                                         \
    F(BLOB, cert, POA_CERT_BYTES_MAX, _, "encoded finalization certificate")
POA_RECORD_DECLARE(edge_final, POA_EDGE_FINAL_TABLE)
/* A committee of any size in little memory: every member comes once, in order,
 * and so does each signature; the device hashes the members and compares with
 * the hash of the committee that it trusts. */
#define POA_EDGE_FINAL_HEAD_TABLE(F)                                                               \
    F(BLOB, header, POA_HEADER_BYTES, _, "encoded header")                                         \
    F(U16, quorum, POA_COMMITTEE_MAX, _, "of the committee")                                       \
    F(U8, members, POA_COMMITTEE_MAX, _, "of the committee: so many come in FINAL_PARTs")
POA_RECORD_DECLARE(edge_final_head, POA_EDGE_FINAL_HEAD_TABLE)
#define POA_EDGE_WITNESS_TABLE(F)                                                                  \
    F(FIX, member, POA_MEMBER_BYTES, _, "encoded member")                                          \
    F(BLOB, sig, 64, _, "its signature, or empty")
POA_RECORD_DECLARE(edge_witness, POA_EDGE_WITNESS_TABLE)
#define POA_EDGE_PART_WITNESSES 4
#define POA_EDGE_FINAL_PART_TABLE(F)                                                               \
    F(LIST, witnesses, POA_EDGE_PART_WITNESSES, edge_witness, "the next members")
POA_RECORD_DECLARE(edge_final_part, POA_EDGE_FINAL_PART_TABLE)
#define POA_EDGE_COMMITTEE_ID_TABLE(F)                                                             \
    F(U32, epoch, 0, _, "its epoch")                                                               \
    F(U8, members, POA_COMMITTEE_MAX, _, "how many it has")                                        \
    F(FIX, hash, 32, _, "its hash, which commits to the above")
POA_RECORD_DECLARE(edge_committee_id, POA_EDGE_COMMITTEE_ID_TABLE)
#define POA_EDGE_COMMITTEE_ID_BYTES 37

#define POA_EDGE_LINK_TABLE(F)                                                                     \
    F(BLOB, header, POA_HEADER_BYTES, _, "encoded header: parent of the one before")
POA_RECORD_DECLARE(edge_link, POA_EDGE_LINK_TABLE)

#define POA_EDGE_GET_HANDOVER_TABLE(F)                                                             \
    F(U32, epoch, 0, _, "epoch of the committee that the device has; 2^32-1 = none")
POA_RECORD_DECLARE(edge_get_handover, POA_EDGE_GET_HANDOVER_TABLE)

/* Codes are 0 or the number of a row in poa_error.h. */
#define POA_EDGE_TICKET_RESULT_TABLE(F)                                                            \
    F(U32, epoch, 0, _, "of the ticket")                                                           \
    F(U32, window, 0, _, "of the ticket")                                                          \
    F(U16, code, 0, _, "0 = waits for inclusion")
POA_RECORD_DECLARE(edge_ticket_result, POA_EDGE_TICKET_RESULT_TABLE)

#define POA_EDGE_SEAL_RESULT_TABLE(F)                                                              \
    F(U64, slot, 0, _, "of the seal")                                                              \
    F(U16, code, 0, _, "0 = waits for inclusion")
POA_RECORD_DECLARE(edge_seal_result, POA_EDGE_SEAL_RESULT_TABLE)

#define POA_EDGE_PACK_RESULT_TABLE(F)                                                              \
    F(FIX, id, 32, _, "pack id")                                                                   \
    F(U16, code, 0, _, "0 = stored")
POA_RECORD_DECLARE(edge_pack_result, POA_EDGE_PACK_RESULT_TABLE)

/* Also kept beside the pack: whoever has both can prove the reading. */
#define POA_EDGE_RECEIPT_TABLE(F)                                                                  \
    F(FIX, id, 32, _, "pack id")                                                                   \
    F(FIX, root, 32, _, "anchored Merkle root")                                                    \
    F(U64, height, 0, _, "block that carried the anchor")                                          \
    F(U32, index, 0, _, "of the pack under the root")                                              \
    F(U32, packs, 0, _, "packs under the root")                                                    \
    F(BLOB, path, 1024, _, "sibling hashes, leaf first")
POA_RECORD_DECLARE(edge_receipt, POA_EDGE_RECEIPT_TABLE)

#define POA_EDGE_REWARD_TABLE(F)                                                                   \
    F(U64, earned, 0, _, "paid out so far, smallest unit")                                         \
    F(U64, sealed, 0, _, "seals accepted in time")                                                 \
    F(U64, assigned, 0, _, "slots it was assigned to")                                             \
    F(U64, balance, 0, _, "of its payout account")
POA_RECORD_DECLARE(edge_reward, POA_EDGE_REWARD_TABLE)

#define POA_EDGE_TX_TABLE(F)                                                                       \
    F(U32, ref, 0, _, "chosen by the device, comes back in the result")                            \
    F(BLOB, tx, POA_EDGE_TX_MAX, _, "encoded transaction")
POA_RECORD_DECLARE(edge_tx, POA_EDGE_TX_TABLE)

#define POA_EDGE_TX_RESULT_TABLE(F)                                                                \
    F(U32, ref, 0, _, "of the request")                                                            \
    F(U16, code, 0, _, "0 = accepted")
POA_RECORD_DECLARE(edge_tx_result, POA_EDGE_TX_RESULT_TABLE)

#define POA_EDGE_QUERY_TABLE(F)                                                                    \
    F(U32, ref, 0, _, "chosen by the device, comes back in the answer")                            \
    F(U8, table, 0, _, "number of the state table")                                                \
    F(BLOB, key, POA_EDGE_KEY_MAX, _, "key in that table")
POA_RECORD_DECLARE(edge_query, POA_EDGE_QUERY_TABLE)

#define POA_EDGE_ANSWER_TABLE(F)                                                                   \
    F(U32, ref, 0, _, "of the query")                                                              \
    F(U16, code, 0, _, "0 = answered")                                                             \
    F(BLOB, value, 2048, _, "encoded entry; empty: there is none")                                 \
    F(BLOB, proof, 12288, _, "path from the entry to the header's state root")
POA_RECORD_DECLARE(edge_answer, POA_EDGE_ANSWER_TABLE)

#define POA_EDGE_PING_TABLE(F) F(U64, nonce, 0, _, "comes back")
POA_RECORD_DECLARE(edge_ping, POA_EDGE_PING_TABLE)

#define POA_EDGE_PONG_TABLE(F)                                                                     \
    F(U64, nonce, 0, _, "of the ping")                                                             \
    F(U64, time_ms, 0, _, "gateway's clock, Unix ms")
POA_RECORD_DECLARE(edge_pong, POA_EDGE_PONG_TABLE)

#define POA_EDGE_BYE_TABLE(F)                                                                      \
    F(U16, code, 0, _, "error number; 0 = the gateway drains")                                     \
    F(U32, retry_ms, 0, _, "come back (or go elsewhere) after this")
POA_RECORD_DECLARE(edge_bye, POA_EDGE_BYE_TABLE)

/* The device does not read the pass: the gateway sealed its key and the time of the last
 * handshake in it, so that it need not remember who is away. */
#define POA_EDGE_PASS_TABLE(F)                                                                     \
    F(FIX, pass, POA_EDGE_PASS_BYTES, _, "to be shown")                                            \
    F(FIX, secret, 32, _, "what the next session's keys come from")
POA_RECORD_DECLARE(edge_pass, POA_EDGE_PASS_TABLE)

#define POA_EDGE_LISTEN_TABLE(F) F(U8, on, 1, _, "1: from now on, 0: no more")
POA_RECORD_DECLARE(edge_listen, POA_EDGE_LISTEN_TABLE)

/* Between two devices that are connected here; what is in it is theirs (poa_talk.h). */
#define POA_EDGE_RELAY_TABLE(F)                                                                    \
    F(FIX, device, 32, _, "RELAY: whom it is for; RELAYED: whom it is from")                       \
    F(BLOB, bytes, POA_EDGE_RELAY_MAX, _, "what the gateway cannot read")
POA_RECORD_DECLARE(edge_relay, POA_EDGE_RELAY_TABLE)

#define POA_EDGE_RELAY_RESULT_TABLE(F)                                                             \
    F(FIX, device, 32, _, "whom it was for")                                                       \
    F(U16, code, 0, _, "why not")
POA_RECORD_DECLARE(edge_relay_result, POA_EDGE_RELAY_RESULT_TABLE)

/* --- what a device keeps across restarts ---------------------------------------
 *
 * `mark` is replaced before every seal, `trust` once per epoch. A firmware is
 * provisioned with a `trust` record: its anchor. */
#define POA_EDGE_MARK_TABLE(F)                                                                     \
    F(FIX, chain, 32, _, "chain id")                                                               \
    F(U64, slot, 0, _, "last slot that it sealed")                                                 \
    F(U64, height, 0, _, "height of the block that it sealed")                                     \
    F(FIX, hash, 32, _, "hash of that block's header")
POA_RECORD_DECLARE(edge_mark, POA_EDGE_MARK_TABLE)
#define POA_EDGE_MARK_BYTES 80

#define POA_EDGE_TRUST_TABLE(F)                                                                    \
    F(FIX, chain, 32, _, "chain id")                                                               \
    F(BLOB, params, 64, _, "encoded edge_params")                                                  \
    F(U64, time_ms, 0, _, "time of the newest header that it verified")                            \
    F(U64, height, 0, _, "height of that header")                                                  \
    F(BLOB, epoch, 64, _, "encoded edge_epoch of the committee's epoch; may be empty")             \
    F(BLOB, committee, 5384, _, "encoded committee, or committee_id when members are not held")
POA_RECORD_DECLARE(edge_trust, POA_EDGE_TRUST_TABLE)

/* --- packs ----------------------------------------------------------------------
 *
 * id = H(PACK_LEAF, encoded pack); it names the pack in the store and is its
 * leaf under the anchored root. Inner nodes are H(PACK_NODE, left || right);
 * the last hash of an odd level moves up unchanged, so the number of packs,
 * which the anchor commits to, fixes the shape. */
#define POA_PACK_TABLE(F)                                                                          \
    F(FIX, device, 32, _, "Ed25519 device key")                                                    \
    F(U64, seq, 0, _, "device's counter of packs")                                                 \
    F(U64, from_ms, 0, _, "time of the earliest reading, Unix ms")                                 \
    F(U64, to_ms, 0, _, "time of the latest reading")                                              \
    F(U16, readings, 0, _, "how many, at least 1")                                                 \
    F(BLOB, content, POA_EDGE_PACK_CONTENT, _, "SenML JSON (RFC 8428)")                            \
    F(FIX, sig, 64, _, "device's signature over domain, chain and the above")
POA_RECORD_DECLARE(pack, POA_PACK_TABLE)
#define POA_PACK_BYTES_MAX (32 + 8 + 8 + 8 + 2 + 2 + POA_EDGE_PACK_CONTENT + 64)

/* Fills P->device and P->sig and appends the encoding to OUT.
 * Errors: POA_E_BUFFER, POA_E_RANGE (no readings, times crossed), POA_E_TOO_LONG. */
POA_MUST_USE int poa_pack_sign(const struct poa_suite *suite, const uint8_t chain32[32],
                               const uint8_t seed32[32], const uint8_t pk32[32], struct poa_pack *p,
                               struct poa_writer *out);
/* Decodes and checks signature and times. OUT borrows from ENCODED.
 * Errors: codec, POA_E_RANGE, POA_E_SIGNATURE. */
POA_MUST_USE int poa_pack_check(const struct poa_suite *suite, const uint8_t chain32[32],
                                struct poa_slice encoded, struct poa_pack *out);
void poa_pack_id(struct poa_slice encoded, uint8_t id32[32]);

/* Hashes in the tree over N packs, leaves included. N >= 1. */
size_t poa_pack_tree_size(uint32_t n);
/* TREE holds the N ids; the rest is filled in; the root is its last hash. */
void poa_pack_tree(uint8_t (*tree)[32], uint32_t n);
/* Appends the path of leaf INDEX. POA_E_BUFFER, POA_E_RANGE. */
POA_MUST_USE int poa_pack_path(const uint8_t (*tree)[32], uint32_t n, uint32_t index,
                               struct poa_writer *out);
/* Whether ID is leaf INDEX of N under ROOT. POA_E_PROOF. */
POA_MUST_USE int poa_pack_path_check(const uint8_t id32[32], uint32_t index, uint32_t n,
                                     struct poa_slice path, const uint8_t root32[32]);

/* --- frames ---------------------------------------------------------------------- */

/* Appends message TYPE with record R as a whole frame, length included.
 * Errors: POA_E_BUFFER, POA_E_TOO_LONG, POA_E_RANGE, POA_E_REKEY; OUT unchanged. */
POA_MUST_USE int poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec,
                              const void *r, struct poa_writer *out);
/* The same for a record that is encoded already. */
POA_MUST_USE int poa_edge_put_raw(struct poa_session *s, uint8_t type, struct poa_slice encoded,
                                  struct poa_writer *out);
#define POA_EDGE_PUT(session, NAME, rec, r, out)                                                   \
    poa_edge_put(session, POA_EDGE_##NAME, &poa_##rec##_record, r, out)
/* Decrypts the frame body BODY of N bytes in place: TYPE and PAYLOAD, which
 * borrows. Errors: as poa_session_open, POA_E_TRUNCATED (no message number). */
POA_MUST_USE int poa_edge_take(struct poa_session *s, uint8_t *body, size_t n, uint8_t *type,
                               struct poa_slice *payload);

/* Device's side of the handshake: N is kept until poa_edge_start. The first
 * frame, length included, goes to OUT. SEED is the Ed25519 seed, X_PK the public
 * X25519 key of it (NULL: computed, which costs a multiplication), GATEWAY the
 * Ed25519 key of the gateway. POA_E_KEY, POA_E_BUFFER. */
POA_MUST_USE int poa_edge_dial(struct poa_noise *n, const uint8_t seed32[32], const uint8_t *x_pk32,
                               const uint8_t gateway32[32], const uint8_t entropy32[32],
                               struct poa_writer *out);
/* The gateway's answer came. Wipes N. POA_E_HANDSHAKE. */
POA_MUST_USE int poa_edge_start(struct poa_noise *n, struct poa_slice second,
                                struct poa_session *out);
/* Gateway's side, whole: first frame body in, second frame (length included)
 * out, session started. X_SK is its X25519 secret, X_PK the public key; the
 * device's X25519 key goes to REMOTE. POA_E_HANDSHAKE, POA_E_BUFFER. */
POA_MUST_USE int poa_edge_answer_dial(const uint8_t x_sk32[32], const uint8_t x_pk32[32],
                                      const uint8_t entropy32[32], struct poa_slice first,
                                      struct poa_writer *out, struct poa_session *session,
                                      uint8_t remote32[32]);

/* --- readings as SenML (RFC 8428), written without an allocation -------------------
 *
 *   poa_senml_begin(&s, &w, "urn:dev:poa:ab12:", 1700000000000)
 *   poa_senml_add(&s, "power", "W", t, 1234, 1)       123.4 W
 *   poa_senml_end(&s)
 *
 * Numbers are decimal, mantissa * 10^-decimals, or the text of a JSON number. */
struct poa_senml {
    struct poa_writer *w;
    const char *base_name;
    uint64_t base_ms;
    uint64_t from_ms, to_ms; /* of what was added */
    uint16_t count;
};
/* BASE_MS at least 2^28 s: below, RFC 8428 takes a time as relative to now. */
void poa_senml_begin(struct poa_senml *s, struct poa_writer *w, const char *base_name,
                     uint64_t base_ms);
/* UNIT may be NULL. Leaves room for the end. Errors, nothing is written:
 * POA_E_BUFFER (close this pack, begin another), POA_E_TEXT (name or number),
 * POA_E_RANGE (time, decimals above 18, number from 1e308 on). */
POA_MUST_USE int poa_senml_add(struct poa_senml *s, const char *name, const char *unit,
                               uint64_t time_ms, int64_t mantissa, unsigned decimals);
POA_MUST_USE int poa_senml_add_text(struct poa_senml *s, const char *name, const char *unit,
                                    uint64_t time_ms, const char *number, size_t number_n);
/* POA_E_RANGE when nothing was added. */
POA_MUST_USE int poa_senml_end(struct poa_senml *s);
/* Whether the N bytes at TEXT are a JSON number (else POA_E_TEXT) below 1e308 (else
 * POA_E_RANGE): a reader with doubles finds no value in a larger one, and many then refuse
 * the whole pack. */
POA_MUST_USE int poa_json_number(const char *text, size_t n);

#endif
