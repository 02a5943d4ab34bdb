/* Client of a node's JSON-RPC, over libevent's HTTP client. */
#ifndef POA_RPC_CLIENT_H
#define POA_RPC_CLIENT_H

#include <jansson.h>

#include "poa_rpc.h"

/* --- one call at a time ------------------------------------------------------- */

struct poa_rpc_client; /* keeps its connection; one thread */

/* What a client of https trusts, and what it shows. */
struct poa_rpc_trust {
    const char *cacert; /* file of certificates, PEM; NULL: those of the system */
    bool pinned;        /* only the certificate with this SHA-256, whoever signed it */
    uint8_t pin32[32];
    char token[160]; /* bearer token; "": none. Never sent in plain text beyond the loopback */
};

/* Whether poa_rpc_client_new takes URL. POA_E_CONFIG with WHY, which may be NULL. */
POA_MUST_USE int poa_rpc_client_url(const char *url, struct poa_why *why);
/* URL: http://HOST[:PORT][/], or https. TRUST may be NULL; it is copied, its CACERT borrowed.
 * POA_E_CONFIG with WHY. */
POA_MUST_USE int poa_rpc_client_new(const char *url, const struct poa_rpc_trust *trust,
                                    uint32_t timeout_ms, struct poa_rpc_client **out,
                                    struct poa_why *why);
void poa_rpc_client_free(struct poa_rpc_client *c);
/* Calls METHOD and waits. PARAMS (may be NULL) is taken. On POA_OK *RESULT is a
 * new reference. When the node answered with an error: its number (negative, as
 * in poa_error.h), or POA_E_INVALID for a JSON-RPC error, and WHY has the text.
 * Errors: POA_E_CLOSED (nobody listens), POA_E_TIMEOUT, POA_E_TEXT (not an answer
 * of JSON-RPC). */
POA_MUST_USE int poa_rpc_client_call(struct poa_rpc_client *c, const char *method, json_t *params,
                                     json_t **result, struct poa_why *why);

/* Calls METHOD once for each of the array PARAMS, which is taken, in one request: the
 * answers come together, when the last call is done. At most POA_RPC_BATCH_MAX. On POA_OK
 * *RESULTS is a new array in the same order; else the error of the first call that has
 * one, as above. */
POA_MUST_USE int poa_rpc_client_batch(struct poa_rpc_client *c, const char *method, json_t *params,
                                      json_t **results, struct poa_why *why);

/* --- a paced stream of requests -------------------------------------------------
 *
 * Sends ready-made request bodies to several nodes over keep-alive connections
 * from one thread of its own, at a steady rate. A request that fails because its
 * node died goes to the next node. Order: requests of one LANE travel one after
 * another on one connection at a time, so that an account's nonces stay in order. */
struct poa_rpc_load_item {
    const char *body; /* borrowed */
    uint32_t body_n;
    uint32_t lane;
};
struct poa_rpc_load_config {
    const char *const *url; /* HTTP addresses of the nodes */
    size_t urls;
    const struct poa_rpc_load_item *item; /* in the order to send */
    size_t items;
    uint32_t lanes;
    double per_second; /* 0: as fast as the window allows */
    uint32_t window;   /* requests under way, at most */
    uint32_t timeout_ms;
    uint32_t retries; /* per item, over all nodes */
};
struct poa_rpc_load_stats {
    uint64_t offered, accepted, rejected, failed, rerouted; /* failed: no node answered */
    int first_error;                                        /* first refusal: poa_error number */
    struct poa_histogram answer;                            /* request to answer */
};
struct poa_rpc_load;
POA_MUST_USE int poa_rpc_load_start(const struct poa_rpc_load_config *config,
                                    struct poa_rpc_load **out, struct poa_why *why);
/* So far; any thread. True when every item is done. */
bool poa_rpc_load_stats(struct poa_rpc_load *l, struct poa_rpc_load_stats *out);
/* Stops sending, waits for the thread, frees. */
void poa_rpc_load_free(struct poa_rpc_load *l);

#endif
