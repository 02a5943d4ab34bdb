/* Who may do what: TLS, bearer tokens, pages of other sites, how often. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server.h"
#include "tls.h"

/* What a node was told to guard with. Made anew when its files change (SIGHUP). */
struct rpc_guard {
    struct ssl_ctx_st *tls; /* NULL: plain text */
    struct poa_rpc_tokens tokens;
};

static void guard_free(struct rpc_guard *g)
{
    if (g == NULL)
        return;
    rpc_tls_free(g->tls);
    free(g);
}

/* *AT: the setting whose file is wrong. */
static int guard_read(const char *cert, const char *key, const char *tokens, struct rpc_guard **out,
                      const char **at, struct poa_why *why)
{
    struct rpc_guard *g = calloc(1, sizeof *g);
    int rc = g != NULL ? POA_OK : poa_because(why, POA_E_NO_MEMORY, "out of memory");
    *at = "rpc";
    if (rc == POA_OK && cert[0])
        rc = rpc_tls_server(cert, key, &g->tls, at, why);
    if (rc == POA_OK && tokens[0]) {
        *at = "rpc_tokens";
        rc = poa_rpc_tokens_read(tokens, &g->tokens, why);
    }
    if (rc != POA_OK)
        guard_free(g);
    else
        *out = g;
    return rc;
}

int poa_rpc_files_check(const char *cert, const char *key, const char *tokens, const char **at,
                        struct poa_why *why)
{
    struct rpc_guard *g = NULL;
    int rc = guard_read(cert, key, tokens, &g, at, why);
    guard_free(g);
    return rc;
}

static int guard_new(const struct poa_rpc *r, struct rpc_guard **out, struct poa_why *why)
{
    const char *at = "";
    struct poa_why inner = {""};
    int rc = guard_read(r->tls_cert, r->tls_key, r->tokens, out, &at, &inner);
    return rc != POA_OK ? poa_because(why, rc, "%s: %s", at, inner.text) : POA_OK;
}

static bool copied(char *to, size_t cap, const char *from)
{
    return (size_t)snprintf(to, cap, "%s", from != NULL ? from : "") < cap;
}

int rpc_guard_start(struct poa_rpc *r, const struct poa_rpc_config *c, struct poa_why *why)
{
    bool cert = c->tls_cert != NULL && c->tls_cert[0], key = c->tls_key != NULL && c->tls_key[0];
    if (cert != key)
        return poa_because(why, POA_E_CONFIG,
                           "rpc_tls_cert and rpc_tls_key belong together: %s is missing",
                           cert ? "the key" : "the certificate");
    if (!copied(r->tls_cert, sizeof r->tls_cert, c->tls_cert) ||
        !copied(r->tls_key, sizeof r->tls_key, c->tls_key) ||
        !copied(r->tokens, sizeof r->tokens, c->tokens) ||
        !copied(r->cors, sizeof r->cors, c->cors))
        return poa_because(why, POA_E_CONFIG, "rpc: the name of a file is too long");
    r->tls = cert;
    r->rate = c->rate;
    poa_random(r->bucket_key, sizeof r->bucket_key);
    if (c->rate != 0) {
        r->bucket = calloc(RPC_BUCKETS, sizeof *r->bucket);
        if (r->bucket == NULL)
            return poa_because(why, POA_E_NO_MEMORY, "rpc: out of memory");
    }
    r->anonymous = c->anonymous != POA_RPC_NOTHING ? c->anonymous
                   : r->tokens[0]                  ? POA_RPC_READ
                                                   : POA_RPC_OPERATE;
    if (c->no_anonymous)
        r->anonymous = POA_RPC_NOTHING;
    return guard_new(r, &r->guard, why);
}

void rpc_guard_stop(struct poa_rpc *r)
{
    guard_free(r->guard);
    guard_free(__atomic_exchange_n(&r->guard_next, NULL, __ATOMIC_ACQ_REL));
    r->guard = NULL;
    free(r->bucket);
    r->bucket = NULL;
}

int poa_rpc_reload(struct poa_rpc *r, struct poa_why *why)
{
    struct rpc_guard *g = NULL;
    int rc = guard_new(r, &g, why);
    if (rc != POA_OK)
        return rc;
    guard_free(__atomic_exchange_n(&r->guard_next, g, __ATOMIC_ACQ_REL));
    rpc_wake(r);
    return POA_OK;
}

void rpc_guard_take(struct poa_rpc *r)
{
    struct rpc_guard *g = __atomic_exchange_n(&r->guard_next, NULL, __ATOMIC_ACQ_REL);
    if (g == NULL)
        return;
    guard_free(r->guard); /* open connections have their own reference */
    r->guard = g;
}

struct bufferevent *rpc_guard_accept(struct poa_rpc *r)
{
    return r->guard->tls != NULL ? rpc_tls_accept(r->base, r->guard->tls)
                                 : bufferevent_socket_new(r->base, -1, BEV_OPT_CLOSE_ON_FREE);
}

/* --- pages of other sites -------------------------------------------------------------- */

/* Whether LIST, separated by commas, has ORIGIN. */
static bool listed(const char *list, const char *origin)
{
    size_t n = strlen(origin);
    while (*list) {
        size_t k = strcspn(list, ", ");
        if (k == n && memcmp(list, origin, n) == 0)
            return true;
        list += k;
        list += strspn(list, ", ");
    }
    return false;
}

const char *rpc_guard_refusal(struct poa_rpc *r, struct evhttp_request *req)
{
    const char *host = evhttp_request_get_host(req); /* without the port */
    if (r->loopback && !r->tls && host != NULL && !rpc_loopback_name(host))
        return "this node answers on localhost only: use http://127.0.0.1";
    struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const char *origin = evhttp_find_header(headers, "Origin");
    if (origin == NULL)
        return NULL;
    const char *authority = evhttp_find_header(headers, "Host");
    if (listed(r->cors, origin)) {
        struct evkeyvalq *out = evhttp_request_get_output_headers(req);
        evhttp_add_header(out, "Access-Control-Allow-Origin", origin);
        evhttp_add_header(out, "Vary", "Origin");
        return NULL;
    }
    const char *from = strstr(origin, "://");
    return from != NULL && authority != NULL && strcasecmp(from + 3, authority) == 0
               ? NULL
               : "cross-origin requests are not allowed";
}

bool rpc_guard_preflight(struct poa_rpc *r, struct evhttp_request *req)
{
    if (evhttp_request_get_command(req) != EVHTTP_REQ_OPTIONS)
        return false;
    struct evkeyvalq *out = evhttp_request_get_output_headers(req);
    evhttp_add_header(out, "Allow", "GET, HEAD, POST, OPTIONS");
    evhttp_add_header(out, "Access-Control-Allow-Methods", "GET, HEAD, POST");
    evhttp_add_header(out, "Access-Control-Allow-Headers", "authorization, content-type");
    evhttp_add_header(out, "Access-Control-Max-Age", "600");
    rpc_send(r, req, 204, "No Content", NULL, NULL, 0);
    return true;
}

/* --- tokens ------------------------------------------------------------------------------- */

static bool refuse_token(struct poa_rpc *r, struct evhttp_request *req, const char *line)
{
    evhttp_add_header(evhttp_request_get_output_headers(req), "WWW-Authenticate",
                      "Bearer realm=\"poa\"");
    rpc_send_line(r, req, 401, "Unauthorized", line);
    return false;
}

static uint64_t who_is(const struct poa_rpc *r, const void *p, size_t n)
{
    uint8_t hash[16];
    poa_siphash(r->bucket_key, p, n, hash);
    return poa_le64(hash);
}

/* Answers REQ and says false when it may not have what needs NEEDED. */
bool rpc_guard_allows(struct poa_rpc *r, struct evhttp_request *req, const struct rpc_conn *conn,
                      enum poa_rpc_right needed, enum poa_rpc_right *has, uint64_t *who)
{
    static const char scheme[] = "Bearer ";
    struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const char *given = r->tokens[0] ? evhttp_find_header(headers, "Authorization") : NULL;
    *has = r->anonymous;
    *who = conn != NULL ? who_is(r, rpc_conn_address(conn), 8) : 0;
    if (given != NULL && strncasecmp(given, scheme, strlen(scheme)) == 0) {
        const char *forwarded = evhttp_find_header(headers, "X-Forwarded-Proto");
        const char *token = given + strlen(scheme);
        if (!r->tls && forwarded != NULL && strcasecmp(forwarded, "https") != 0) {
            rpc_send_line(r, req, 403, "Forbidden",
                          "a token came to the proxy in plain text: revoke it, and use https");
            return false;
        }
        enum poa_rpc_right right = poa_rpc_tokens_right(&r->guard->tokens, token, strlen(token));
        if (right == POA_RPC_NOTHING)
            return refuse_token(r, req, "this token is not known here");
        *has = right > *has ? right : *has;
        *who = who_is(r, token, strlen(token));
    }
    if (*has >= needed)
        return true;
    return refuse_token(r, req, "a token is needed: Authorization: Bearer ...");
}

/* --- rate ---------------------------------------------------------------------------------- */

/* Nobody can aim at the bucket of another address, and none is ever forgotten. Those of the
 * loopback have none. */
bool rpc_guard_within_rate(struct poa_rpc *r, const uint8_t address[8])
{
    static const uint8_t v6_loopback[8] = {0}; /* all of ::/64, which is nobody else's */
    struct timespec now;
    uint8_t hash[16];
    if (r->rate == 0 || address[0] == 127 || memcmp(address, v6_loopback, 8) == 0)
        return true;
    poa_siphash(r->bucket_key, address, 8, hash);
    struct rpc_bucket *b = &r->bucket[(hash[0] | (size_t)hash[1] << 8) % RPC_BUCKETS];
    clock_gettime(CLOCK_MONOTONIC, &now);
    double t = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    b->left += b->at > 0 ? (t - b->at) * r->rate : r->rate;
    b->left = b->left > r->rate ? r->rate : b->left;
    b->at = t;
    if (b->left < 1)
        return false;
    b->left -= 1;
    return true;
}
