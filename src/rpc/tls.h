/* rpc: TLS, over OpenSSL by libevent's bufferevents. Not for other modules. */
#ifndef POA_RPC_TLS_H
#define POA_RPC_TLS_H

#include <event2/bufferevent.h>

#include "poa_base.h"
#include "poa_rpc_client.h"

struct ssl_ctx_st;
struct ssl_st;

/* Certificate chain and key, PEM. Errors: CONFIG; WHY names the file, what is wrong with it
 * and what to do: missing, not readable, no PEM, readable by others, encrypted, of another
 * certificate, expired; AGAIN: not valid yet, by a clock that may come right. *AT: which of the two
 * settings names that file. */
POA_MUST_USE int rpc_tls_server(const char *cert, const char *key, struct ssl_ctx_st **out,
                                const char **at, struct poa_why *why);
void rpc_tls_free(struct ssl_ctx_st *ctx);
/* For a connection that will be accepted; NULL: out of memory. */
struct bufferevent *rpc_tls_accept(struct event_base *base, struct ssl_ctx_st *ctx);

/* What the client trusts: a file of certificates (NULL: those of the system), or the
 * certificate with this SHA-256 alone. */
POA_MUST_USE int rpc_tls_client(const struct poa_rpc_trust *trust, struct ssl_ctx_st **out,
                                struct poa_why *why);
/* Connects to HOST, which the certificate must be for unless it is pinned. *SSL is borrowed
 * from the result. */
struct bufferevent *rpc_tls_connect(struct event_base *base, struct ssl_ctx_st *ctx,
                                    const struct poa_rpc_trust *trust, const char *host,
                                    struct ssl_st **ssl);
/* Whether HOST is this machine and nobody else, so that plain text does no harm. */
bool rpc_loopback_name(const char *host);
/* NULL, or why the certificate of the other side was not accepted. */
const char *rpc_tls_refusal(const struct ssl_st *ssl);

#endif
