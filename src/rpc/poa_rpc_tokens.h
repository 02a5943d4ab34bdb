/* Bearer tokens of the RPC: a file with a line for each,
 *
 *   HASH RIGHT LABEL
 *
 * HASH is BLAKE2b-256(`poa/token`, token) in hex, so that who reads the file cannot use
 * them. `#` starts a comment line. `poa token` writes it. */
#ifndef POA_RPC_TOKENS_H
#define POA_RPC_TOKENS_H

#include "poa_base.h"

/* What a caller may do; each includes those before it. X(NAME, "name", "help") */
#define POA_RPC_RIGHTS(X)                                                                          \
    X(READ, "read", "every read, events, metrics")                                                 \
    X(SUBMIT, "submit", "and send transactions")                                                   \
    X(OPERATE, "operate", "and what concerns the node itself")
enum poa_rpc_right {
    POA_RPC_NOTHING,
#define POA_RPC_RIGHT_ROW(name, text, help) POA_RPC_##name,
    POA_RPC_RIGHTS(POA_RPC_RIGHT_ROW)
#undef POA_RPC_RIGHT_ROW
};

#define POA_RPC_TOKENS_MAX      256
#define POA_RPC_TOKEN_LABEL_MAX 64
#define POA_RPC_TOKEN_TEXT      (4 + 64 + 1) /* with the NUL */
struct poa_rpc_token {
    uint8_t hash[32];
    enum poa_rpc_right right;
    char label[POA_RPC_TOKEN_LABEL_MAX + 1];
};
struct poa_rpc_tokens {
    struct poa_rpc_token token[POA_RPC_TOKENS_MAX];
    size_t n;
};

/* "read", ...; NULL for NOTHING. */
const char *poa_rpc_right_name(enum poa_rpc_right right);
/* NOTHING when TEXT names none. */
enum poa_rpc_right poa_rpc_right_find(const char *text);

/* Errors: NOT_FOUND, CONFIG (WHY starts with FILE:LINE), IO. */
POA_MUST_USE int poa_rpc_tokens_read(const char *path, struct poa_rpc_tokens *out,
                                     struct poa_why *why);
/* Replaces the file whole. */
POA_MUST_USE int poa_rpc_tokens_write(const char *path, const struct poa_rpc_tokens *tokens,
                                      struct poa_why *why);
/* A new token: its TEXT, which is kept nowhere, and its row.
 * Errors: LIMIT (too many), EXISTS (the label), CONFIG (a bad label). */
POA_MUST_USE int poa_rpc_tokens_add(struct poa_rpc_tokens *tokens, const char *label,
                                    enum poa_rpc_right right, char text[POA_RPC_TOKEN_TEXT]);
/* What who shows TEXT (N bytes) may do; NOTHING when it is no token. Takes as long whichever
 * it is, and however much of one is right. */
enum poa_rpc_right poa_rpc_tokens_right(const struct poa_rpc_tokens *tokens, const char *text,
                                        size_t n);

#endif
