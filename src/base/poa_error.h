/* Errors: one table for the whole product.
 *
 * Functions return POA_OK (0) or a negative enum poa_error. The class says what
 * a caller does about it:
 *   CALLER    the request was wrong: tell whoever asked, change nothing
 *   PEER      a peer broke the protocol: drop the message, lower its score
 *   CORRUPT   stored bytes are not what we wrote: stop and name the file
 *   RESOURCE  the machine refused (memory, disk, descriptor): retry or stop
 *   RETRY     not now: the same call may succeed later
 */
#ifndef POA_ERROR_H
#define POA_ERROR_H

#include <stdbool.h>

/* A build for devices leaves out what only people and conformance tools need:
 * names and texts in tables, algorithms that poa itself does not speak. */
#ifndef POA_LEAN
#if __STDC_HOSTED__
#define POA_LEAN 0
#else
#define POA_LEAN 1
#endif
#endif

/* X(name, number, class, text). Numbers are stable: they appear in JSON-RPC
 * answers and in receipts. 1-99 general, 100-199 codec and cryptography,
 * 200-299 transactions, 300-399 mining, 400-499 consensus, 500-599 network,
 * 600-699 storage. */
#define POA_ERRORS(X)                                                                              \
    X(INVALID, 1, CALLER, "invalid argument")                                                      \
    X(NOT_FOUND, 2, CALLER, "not found")                                                           \
    X(EXISTS, 3, CALLER, "already exists")                                                         \
    X(NO_MEMORY, 4, RESOURCE, "out of memory")                                                     \
    X(FULL, 5, RETRY, "full: try again later")                                                     \
    X(AGAIN, 6, RETRY, "not ready yet")                                                            \
    X(LIMIT, 7, CALLER, "over a limit")                                                            \
    X(UNSUPPORTED, 8, CALLER, "not supported")                                                     \
    X(IO, 9, RESOURCE, "input or output failed")                                                   \
    X(CONFIG, 10, CALLER, "bad configuration")                                                     \
    X(LOCKED, 11, CALLER, "locked or in use by another process")                                   \
    X(PASSPHRASE, 12, CALLER, "wrong passphrase or damaged key file")                              \
    X(TIMEOUT, 13, RETRY, "timed out")                                                             \
    X(THREADS, 14, RESOURCE, "cannot start a thread: raise the limit (ulimit -u, TasksMax)")       \
    X(FORBIDDEN, 15, CALLER, "not allowed: a token with the right for it is needed")               \
    X(NO_GATEWAY, 16, CALLER, "this node is no gateway: ask the gateway of the device")            \
    X(TRUNCATED, 100, PEER, "input ends early")                                                    \
    X(TRAILING, 101, PEER, "bytes left after the end")                                             \
    X(RANGE, 102, PEER, "value out of range")                                                      \
    X(NOT_CANONICAL, 103, PEER, "not in canonical form")                                           \
    X(TOO_LONG, 104, PEER, "longer than its maximum")                                              \
    X(BUFFER, 105, CALLER, "output buffer too small")                                              \
    X(SIGNATURE, 106, PEER, "bad signature")                                                       \
    X(KEY, 107, PEER, "bad key")                                                                   \
    X(PROOF, 108, PEER, "bad proof")                                                               \
    X(DECRYPT, 109, PEER, "decryption failed")                                                     \
    X(TEXT, 110, CALLER, "bad text encoding")                                                      \
    X(SELFTEST, 111, RESOURCE, "cryptographic self-test failed")                                   \
    X(REPLAY, 112, PEER, "replayed or too old")                                                    \
    X(TX_CHAIN, 200, CALLER, "transaction is for another chain")                                   \
    X(TX_SIGNATURE, 201, CALLER, "transaction signature is not valid")                             \
    X(TX_SENDER, 202, CALLER, "sender address does not match the keys")                            \
    X(TX_NONCE_USED, 203, CALLER, "nonce already used")                                            \
    X(TX_NONCE_GAP, 204, RETRY, "nonce is ahead of the account")                                   \
    X(TX_BALANCE, 205, CALLER, "balance too low")                                                  \
    X(TX_AMOUNT_ZERO, 206, CALLER, "amount is zero")                                               \
    X(TX_OVERFLOW, 207, CALLER, "amounts overflow")                                                \
    X(TX_FEE, 208, CALLER, "fee below the minimum")                                                \
    X(TX_EXPIRED, 209, CALLER, "valid_until has passed")                                           \
    X(TX_OP_UNKNOWN, 210, CALLER, "unknown operation")                                             \
    X(TX_OP_COUNT, 211, CALLER, "a transaction needs 1 to 64 operations")                          \
    X(TX_NOT_ALLOWED, 212, CALLER, "sender may not do this")                                       \
    X(TX_MALFORMED, 213, CALLER, "transaction bytes cannot be decoded")                            \
    X(TX_DUPLICATE, 214, CALLER, "transaction is already known")                                   \
    X(TX_ASSET, 215, CALLER, "no such asset")                                                      \
    X(TX_MAKER_UNKNOWN, 216, CALLER, "manufacturer is not admitted")                               \
    X(TX_ATTESTATION, 217, CALLER, "manufacturer's attestation is not valid")                      \
    X(TX_DEVICE_EXISTS, 218, CALLER, "device is already registered")                               \
    X(TX_DEVICE_PROOF, 219, CALLER, "device did not sign its own registration")                    \
    X(TX_EXISTS, 220, CALLER, "already on the ledger")                                             \
    X(TX_POOL_FULL, 221, RETRY, "too many transactions wait: try again later")                     \
    X(TX_TRAILING, 222, CALLER, "bytes left after the transaction")                                \
    X(TX_TRUNCATED, 223, CALLER, "transaction ends early")                                         \
    X(TX_TERMS, 224, CALLER, "terms are not a terms record, or contradict themselves")             \
    X(TX_TIMEOUT, 225, CALLER, "time-out must be 1 to 100000000 slots")                            \
    X(TX_MINT, 226, CALLER, "more than the asset's limit")                                         \
    X(TX_ESCROW, 227, CALLER, "no such escrow or sale, or it is settled")                          \
    X(TX_LATE, 228, CALLER, "the time-out has passed")                                             \
    X(TX_OFFER, 229, CALLER, "no such offer, or at another price")                                 \
    X(TX_PARAM, 230, CALLER, "no such parameter, or its value is out of range")                    \
    X(TX_BOUND, 231, CALLER, "this committee would miss the network's own target")                 \
    X(TX_DELIVERED, 232, CALLER, "the sale was delivered, or was not yet")                         \
    X(TX_DISPUTE, 233, CALLER, "not the buyer's secret, or the delivered key is the promised one") \
    X(TX_ACCOUNT_FULL, 234, RETRY, "too many transactions of this account wait")                   \
    X(TX_REPLACE, 235, CALLER,                                                                     \
      "a transaction with this nonce waits: a tenth more fee replaces it")                         \
    X(TX_REPLACED, 236, CALLER, "one with the same nonce and a higher fee took its place")         \
    X(TX_EVICTED, 237, RETRY, "pushed out of a full pool by one that pays more")                   \
    X(TX_LOST, 238, RETRY, "left for a block, but came into none within a minute")                 \
    X(TX_FEE_FLOOR, 239, RETRY,                                                                    \
      "less than strangers pay here while the server is busy: pay more, or try again later")       \
    X(TX_HOLD_OFF, 240, CALLER, "this network has no grade 2 to wait for")                         \
    X(TX_HOLD_OPS, 241, CALLER, "only transfers can wait for grade 2: send the others apart")      \
    X(TX_HOLD_FULL, 242, RETRY, "too many transfers wait for grade 2: try again later")            \
    X(DEVICE_UNKNOWN, 300, CALLER, "device is not registered")                                     \
    X(DEVICE_SUSPENDED, 301, CALLER, "device is suspended")                                        \
    X(DEVICE_TOO_NEW, 302, CALLER, "device registered too late for this epoch")                    \
    X(TICKET_WINDOW, 303, PEER, "ticket is for another window")                                    \
    X(TICKET_LOST, 304, PEER, "ticket did not win the draw")                                       \
    X(TICKET_DUPLICATE, 305, PEER, "ticket is already on the ledger")                              \
    X(SLOT_UNKNOWN, 306, PEER, "slot has no sealing block")                                        \
    X(SLOT_FULL, 307, PEER, "slot has no seat left")                                               \
    X(SEAL_NOT_ASSIGNED, 308, PEER, "device is not assigned to this slot")                         \
    X(SEAL_DUPLICATE, 309, PEER, "seal is already on the ledger")                                  \
    X(SEAL_LATE, 310, PEER, "seal came after its deadline")                                        \
    X(SEAL_FORK, 311, PEER, "seal is for another block")                                           \
    X(SEAL_TWICE, 312, CALLER, "this slot was already sealed by this device")                      \
    X(SEAL_DEPENDENT, 313, PEER, "device's maker rules the committee: its seal adds nothing")      \
    X(DATA_NOT_ALLOWED, 320, CALLER,                                                               \
      "the owner of the device does not let this key read its data")                               \
    X(DATA_FUTURE, 321, CALLER, "the time of a reading lies in the future: is a clock wrong?")     \
    X(DUPLICATE, 400, PEER, "already have it")                                                     \
    X(EQUIVOCATION, 401, PEER, "signed two conflicting messages")                                  \
    X(NOT_MEMBER, 402, PEER, "signer is not in the committee")                                     \
    X(QUORUM, 403, PEER, "not enough distinct signatures")                                         \
    X(EPOCH, 404, PEER, "wrong epoch")                                                             \
    X(VIEW, 405, PEER, "view outside the window")                                                  \
    X(LEADER, 406, PEER, "not the leader of this view")                                            \
    X(BLOCK_INVALID, 407, PEER, "block breaks a rule")                                             \
    X(BLOCK_PARENT, 408, RETRY, "parent is not known yet")                                         \
    X(BLOCK_TIME, 409, RETRY, "block time is not acceptable yet")                                  \
    X(BATCH_MISSING, 410, RETRY, "a listed batch is not here yet")                                 \
    X(STATE_ROOT, 411, CORRUPT, "state root differs from the certified one")                       \
    X(CHAIN, 412, PEER, "message is for another chain")                                            \
    X(BATCH_INVALID, 413, PEER, "batch breaks a rule")                                             \
    X(HANDSHAKE, 500, PEER, "handshake failed")                                                    \
    X(SESSION_UNKNOWN, 501, PEER, "no such session")                                               \
    X(PEER_UNKNOWN, 502, PEER, "peer is not on the list")                                          \
    X(CLOSED, 503, RETRY, "connection closed")                                                     \
    X(RATE, 504, PEER, "too many requests")                                                        \
    X(REKEY, 505, RETRY, "session must be renewed")                                                \
    X(STORE, 600, RESOURCE, "storage failed")                                                      \
    X(STORE_CORRUPT, 601, CORRUPT, "stored bytes are damaged")                                     \
    X(STORE_VERSION, 602, CALLER, "data directory has another format version")                     \
    X(STORE_CHAIN, 603, CALLER, "data directory belongs to another chain")                         \
    X(NOT_KEPT, 604, CALLER, "not kept here any more: ask a node that keeps all blocks")

enum poa_error {
    POA_OK = 0,
#define POA_ERROR_ROW(name, number, class, text) POA_E_##name = -(number),
    POA_ERRORS(POA_ERROR_ROW)
#undef POA_ERROR_ROW
};

enum poa_error_class {
    POA_CLASS_NONE,
    POA_CLASS_CALLER,
    POA_CLASS_PEER,
    POA_CLASS_CORRUPT,
    POA_CLASS_RESOURCE,
    POA_CLASS_RETRY,
};

#define POA_MUST_USE __attribute__((warn_unused_result))
/* Keeps what a function needs on the stack off its caller's. */
#define POA_NOINLINE __attribute__((noinline))

/* Whether ERROR is of class RETRY; no table behind it. */
static inline bool poa_error_retry(int error)
{
#define POA_ERROR_ROW(name, number, class, text)                                                   \
    || (POA_CLASS_##class == POA_CLASS_RETRY && error == -(number))
    return false POA_ERRORS(POA_ERROR_ROW);
#undef POA_ERROR_ROW
}

/* Short name ("TX_NONCE_USED"), one-line text, class; any int is accepted. Hosts only. */
const char *poa_error_name(int error);
const char *poa_error_text(int error);
enum poa_error_class poa_error_class(int error);

#if POA_LEAN
#define POA_ASSERT_TEXT(cond) ""
#define POA_ASSERT_FILE       ""
#else
#define POA_ASSERT_TEXT(cond) #cond
#define POA_ASSERT_FILE       __FILE__
#endif

/* Invariants that no input can break. Stays on in release builds. */
#define POA_ASSERT(cond)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            poa_panic(POA_ASSERT_TEXT(cond), POA_ASSERT_FILE, __LINE__);                           \
    } while (0)
/* Provided by log.c on hosts and by the firmware on devices, whose WHAT and FILE
 * are empty. Does not return. */
void poa_panic(const char *what, const char *file, int line);

#endif
