/* JSON: the JSON-RPC 2.0 dispatcher and the conversion of records.
 *
 * The dispatcher is a function from text to text over a method table that the
 * caller passes, so that the specification's own examples run against it.
 * Source: https://www.jsonrpc.org/specification
 */
#ifndef POA_RPC_JSON_H
#define POA_RPC_JSON_H

#include <jansson.h>

#include "poa_risk.h"
#include "poa_rpc.h"

/* --- methods -------------------------------------------------------------------- */

#define POA_RPC_PARAMS_MAX  8
#define POA_RPC_BATCH_MAX   1000               /* calls in one request */
#define POA_RPC_ANSWERS_MAX ((size_t)16 << 20) /* bytes of their answers together */
#define POA_RPC_DEPTH_MAX   32                 /* nesting of a request */

/* How JSON is written: 15 digits come back from any double as they went in, 0.1 stays 0.1. */
#define POA_RPC_DUMP (JSON_COMPACT | JSON_REAL_PRECISION(15))

/* JSON-RPC error codes; application errors carry their own number in data. */
enum poa_rpc_code {
    POA_RPC_PARSE = -32700,
    POA_RPC_INVALID_REQUEST = -32600,
    POA_RPC_NO_METHOD = -32601,
    POA_RPC_BAD_PARAMS = -32602,
    POA_RPC_INTERNAL = -32603,
    POA_RPC_APPLICATION = -32000,
};

/* A method gets its parameters in the order of its table row, each NULL when
 * absent and of the declared type otherwise, and either ends the call before it
 * returns (poa_rpc_result, poa_rpc_fail, poa_rpc_refuse) or keeps it (poa_rpc_defer).
 *
 * PARAMS: names with types, "height:u64? hash:hash?"; `?` marks optional ones.
 *   u32 u64   integer, or its decimal digits in a string
 *   hash      64 hex digits      bytes  hex digits, even number
 *   address   bech32m            text   string
 *   bool any
 * "*" alone: whatever array or object came, unchecked, as the first parameter. */
enum poa_rpc_keep {
    POA_RPC_FRESH, /* it must be worked out each time */
    POA_RPC_BRIEF, /* for a tenth of a second, while the state is the same */
    POA_RPC_STATE, /* while the finalized state is the same */
};
struct poa_rpc_method {
    const char *name;
    const char *params;
    void (*handler)(void *ctx, json_t *const *param, struct poa_rpc_call *call);
    const char *help;
    enum poa_rpc_right right; /* that a caller needs */
    enum poa_rpc_keep keep;   /* how long its answer is right */
};
struct poa_rpc_methods {
    const struct poa_rpc_method *method;
    size_t n;
    enum poa_rpc_keep *keep; /* lowered to the least of the methods called; NULL: not wanted */
    bool limited;            /* to what HAS allows; else everything may be called */
    enum poa_rpc_right has;
    uint64_t who; /* asks: equal for the same token, or the same address without one */
};

void poa_rpc_result(struct poa_rpc_call *call, json_t *result); /* takes RESULT; NULL: no memory */
/* The caller's mistake, as the application says: a poa_error number. */
void poa_rpc_fail(struct poa_rpc_call *call, int error);
/* The same with a line that says more than the error's text. */
void poa_rpc_fail_why(struct poa_rpc_call *call, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* JSON-RPC error CODE with one line in data. */
void poa_rpc_refuse(struct poa_rpc_call *call, enum poa_rpc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The call stays open until poa_rpc_done; FINISH then turns the outcome into an
 * answer (poa_rpc_result or poa_rpc_fail) on the server's thread. */
void poa_rpc_defer(struct poa_rpc_call *call,
                   void (*finish)(struct poa_rpc_call *call, int code, const uint8_t *id32));
/* For FINISH: what poa_rpc_done_bytes brought. */
struct poa_slice poa_rpc_bytes(const struct poa_rpc_call *call);

/* Where calls ended by other threads wait for the server's thread. WAKE is
 * called, from any thread, when the first one arrives. */
struct poa_rpc_inbox;
struct poa_rpc_inbox *poa_rpc_inbox_new(void (*wake)(void *ctx), void *ctx);
void poa_rpc_inbox_drain(struct poa_rpc_inbox *box); /* answers them; on the server's thread */
/* From here on, ended calls are dropped without an answer, and so are those that
 * wait. */
void poa_rpc_inbox_close(struct poa_rpc_inbox *box);
void poa_rpc_inbox_free(struct poa_rpc_inbox *box); /* every call must have ended */

/* Handles the text of one request. REPLY is called once, when every call in it
 * has ended, perhaps before this returns; TEXT is borrowed, and NULL when nothing
 * is to be sent (notifications alone). */
void poa_rpc_dispatch(const struct poa_rpc_methods *methods, void *ctx, struct poa_rpc_inbox *box,
                      const char *text, size_t n,
                      void (*reply)(void *reply_ctx, const char *text, size_t n), void *reply_ctx);

/* Where the id of a single call stands in its TEXT, when it is a whole number of at most
 * POA_RPC_ID_MAX digits and sign, written as everybody writes it; else empty. If TEXT is a
 * request, its answer is that of the same text with another such number, but for the number,
 * with which, and a brace, it ends. What is no request may be taken for anything. */
#define POA_RPC_ID_MAX 18
struct poa_slice poa_rpc_request_id(const char *text, size_t n);

/* One call of METHOD, which need not come from text. PARAMS is taken. REPLY gets its result or
 * else its error, borrowed; neither: memory was short. */
void poa_rpc_call_method(const struct poa_rpc_methods *methods, void *ctx,
                         struct poa_rpc_inbox *box, const char *method, json_t *params,
                         void (*reply)(void *reply_ctx, json_t *result, json_t *error),
                         void *reply_ctx);

/* GET of PATH, which begins with /v1, and QUERY (NULL: none): a read of METHODS as a plain
 * resource. REPLY as above. */
void poa_rpc_get(const struct poa_rpc_methods *methods, void *ctx, struct poa_rpc_inbox *box,
                 const char *path, const char *query,
                 void (*reply)(void *reply_ctx, json_t *result, json_t *error), void *reply_ctx);
/* What HTTP says for ERROR; NULL: memory was short. */
int poa_rpc_http_status(const json_t *error, const char **reason);

/* OpenRPC 1.2.6 document of METHODS. */
json_t *poa_rpc_openrpc(const struct poa_rpc_methods *methods, const char *title,
                        const char *version);

/* Typed access to checked parameters. */
uint64_t poa_rpc_u64(const json_t *v, uint64_t absent);
void poa_rpc_hash(const json_t *v, uint8_t out32[32]);
void poa_rpc_address(const json_t *v, uint8_t out32[32]);

/* --- values ----------------------------------------------------------------------- */

/* All return a new reference, NULL when memory is short. */
json_t *poa_json_u64(uint64_t v); /* decimal digits in a string */
json_t *poa_json_hex(const void *bytes, size_t n);
json_t *poa_json_address(const uint8_t address32[32]);
/* BYTES as text when they are UTF-8 without control characters, else null. */
json_t *poa_json_text(struct poa_slice bytes);

/* Any record from its table: integers up to 32 bits are numbers, 64-bit ones
 * strings, hashes, keys and blobs hex; fields that hold addresses bech32m, names
 * text; lists arrays. */
json_t *poa_json_record(const struct poa_record *rec, const void *from);
/* The way back: every field must be there, and no other. Blobs and lists are
 * encoded into SCRATCH, which must outlive OUT. *WHY names the field.
 * Errors: POA_E_TEXT, POA_E_RANGE, POA_E_TOO_LONG, POA_E_BUFFER. */
POA_MUST_USE int poa_json_to_record(const struct poa_record *rec, const json_t *from,
                                    struct poa_writer *scratch, void *out, struct poa_why *why);
/* Entry of a state table; null when VALUE is empty or cannot be decoded. */
json_t *poa_json_state_entry(enum poa_state_table table, struct poa_slice value);
/* "ACCOUNT"; found whatever its case. */
const char *poa_rpc_table_name(enum poa_state_table table);
bool poa_rpc_table_find(const char *text, enum poa_state_table *out);
/* A transaction with its operations; NULL when RAW cannot be decoded. */
json_t *poa_json_tx(struct poa_slice raw);
/* Replaces the hex of OBJECT's "terms" by an object, when it is a terms record. */
int poa_json_terms(json_t *object);
/* An operation as poa_json_tx shows it ("operation" names it, "kind" is not
 * needed), appended to OUT as a list element of ops. *WHY says what is wrong.
 * Errors: TX_OP_UNKNOWN, those of poa_json_to_record, BUFFER. */
POA_MUST_USE int poa_json_to_op(const json_t *from, struct poa_writer *out, struct poa_why *why);

/* The witness bound: {"members", "quorum", "p", "offline", "target", "stall_target"
 * (null: none is stated), "met", "devnet", "forge", "fork", "stall", "log10": {...}, "relaxed",
 * "group": {"maker", "region", "provider", "fork", "stall"}}. */
json_t *poa_json_risk(const struct poa_risk *r, bool devnet);

/* --- the node's methods ------------------------------------------------------------- */

struct poa_rpc_node {
    const struct poa_rpc_backend *backend;
    struct poa_slice genesis;
    const struct poa_genesis *parsed; /* the same, decoded; NULL: it is decoded when needed */
    uint8_t chain[32];
};
/* Their CTX is a struct poa_rpc_node. */
extern const struct poa_rpc_methods poa_rpc_node_methods;
POA_MUST_USE int poa_rpc_genesis(const struct poa_rpc_node *node, struct poa_genesis *out);
/* Bound of the committee that serves EPOCH, from the finalized state. NOT_FOUND. */
POA_MUST_USE int poa_rpc_risk(const struct poa_rpc_node *node, uint32_t epoch, struct poa_risk *out,
                              bool *devnet);
/* The parameters that hold in EPOCH, by the finalized state. */
POA_MUST_USE int poa_rpc_params(const struct poa_rpc_node *node, uint32_t epoch,
                                struct poa_genesis *out);
/* {"epoch": next block's, "parameters": [{"name", "number", "unit", "value",
 * "next": from the next epoch on, "min", "max", "text"}]} */
POA_MUST_USE int poa_rpc_params_json(const struct poa_rpc_node *node, json_t **out);
/* From the finalized state. TX_ASSET, TX_ESCROW, TX_OFFER: there is none. */
POA_MUST_USE int poa_rpc_asset_json(const struct poa_rpc_node *node, uint32_t asset, json_t **out);
POA_MUST_USE int poa_rpc_escrow_json(const struct poa_rpc_node *node, const uint8_t id32[32],
                                     json_t **out);
POA_MUST_USE int poa_rpc_offer_json(const struct poa_rpc_node *node, const uint8_t id32[32],
                                    json_t **out);
/* What ADDRESS has of an asset that is not the native one; 0 when nothing. */
POA_MUST_USE int poa_rpc_balance(const struct poa_rpc_node *node, uint32_t asset,
                                 const uint8_t address32[32], uint64_t *out);
/* Prometheus text format 0.0.4; malloc'ed. */
char *poa_rpc_metrics_text(const struct poa_rpc_node *node, size_t *n);

#endif
