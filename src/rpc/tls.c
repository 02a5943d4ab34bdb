/* TLS of server and client: the only place that knows OpenSSL. */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* --- the server ------------------------------------------------------------------------ */

static int no_passphrase(char *buffer, int n, int writing, void *arg)
{
    (void)buffer;
    (void)n;
    (void)writing;
    (void)arg;
    return 0;
}

static int readable(const char *path, struct poa_why *why)
{
    if (access(path, R_OK) == 0)
        return POA_OK;
    return poa_because(why, POA_E_CONFIG, "%s: %s%s", path, strerror(errno),
                       errno == EACCES ? " (this user must be able to read it)" : "");
}

static void date(const ASN1_TIME *t, char out[32])
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(out, 32, "an unknown date");
}

static int use_cert(SSL_CTX *ctx, const char *path, struct poa_why *why)
{
    char when[32];
    if (readable(path, why) != POA_OK)
        return POA_E_CONFIG;
    if (SSL_CTX_use_certificate_chain_file(ctx, path) != 1)
        return poa_because(why, POA_E_CONFIG,
                           "%s: no certificate in PEM form (-----BEGIN CERTIFICATE)", path);
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
        date(X509_get0_notAfter(cert), when);
        return poa_because(why, POA_E_CONFIG, "%s: expired on %s: renew it", path, when);
    }
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        date(X509_get0_notBefore(cert), when);
        return poa_because(why, POA_E_AGAIN, "%s: not valid before %s: is the clock right?", path,
                           when);
    }
    return POA_OK;
}

static int use_key(SSL_CTX *ctx, const char *path, const char *cert, struct poa_why *why)
{
    struct stat st;
    if (readable(path, why) != POA_OK)
        return POA_E_CONFIG;
    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXO) != 0)
        return poa_because(why, POA_E_CONFIG, "%s: others may read it (mode %03o): chmod 600", path,
                           (unsigned)st.st_mode & 0777);
    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) != 1) {
        bool other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
                     ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH;
        return poa_because(why, POA_E_CONFIG,
                           other ? "%s: not the key of the certificate %s"
                                 : "%s: no private key in PEM form without a "
                                   "passphrase, which could not be asked for",
                           path, cert);
    }
    if (SSL_CTX_check_private_key(ctx) != 1)
        return poa_because(why, POA_E_CONFIG, "%s: not the key of the certificate %s", path, cert);
    return POA_OK;
}

int rpc_tls_server(const char *cert, const char *key, SSL_CTX **out, const char **at,
                   struct poa_why *why)
{
    *at = "rpc_tls_cert";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* Idle connections hold no buffers. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    int rc = use_cert(ctx, cert, why);
    if (rc == POA_OK) {
        *at = "rpc_tls_key";
        rc = use_key(ctx, key, cert, why);
    }
    ERR_clear_error();
    if (rc != POA_OK)
        SSL_CTX_free(ctx);
    else
        *out = ctx;
    return rc;
}

void rpc_tls_free(SSL_CTX *ctx)
{
    SSL_CTX_free(ctx);
}

static struct bufferevent *over(struct event_base *base, SSL *ssl, enum bufferevent_ssl_state state)
{
    struct bufferevent *bev =
        ssl != NULL ? bufferevent_openssl_socket_new(base, -1, ssl, state, BEV_OPT_CLOSE_ON_FREE)
                    : NULL;
    if (bev == NULL)
        SSL_free(ssl);
    else /* many clients just close; what counts has its own length */
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

struct bufferevent *rpc_tls_accept(struct event_base *base, SSL_CTX *ctx)
{
    return over(base, SSL_new(ctx), BUFFEREVENT_SSL_ACCEPTING);
}

/* --- the client ------------------------------------------------------------------------ */

int rpc_tls_client(const struct poa_rpc_trust *trust, SSL_CTX **out, struct poa_why *why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    int rc = POA_OK;
    if (trust->cacert == NULL)
        SSL_CTX_set_default_verify_paths(ctx);
    else if (access(trust->cacert, R_OK) != 0)
        rc = poa_because(why, POA_E_CONFIG, "--cacert %s: %s", trust->cacert, strerror(errno));
    else if (SSL_CTX_load_verify_locations(ctx, trust->cacert, NULL) != 1)
        rc = poa_because(why, POA_E_CONFIG, "--cacert %s: no certificates in PEM form",
                         trust->cacert);
    ERR_clear_error();
    if (rc != POA_OK)
        SSL_CTX_free(ctx);
    else
        *out = ctx;
    return rc;
}

/* A pinned certificate needs no chain and no name: it is this one, or it is not. */
static int check_pin(X509_STORE_CTX *store, void *arg)
{
    const struct poa_rpc_trust *trust = arg;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    bool same = cert != NULL && X509_digest(cert, EVP_sha256(), digest, &n) == 1 && n == 32 &&
                memcmp(digest, trust->pin32, 32) == 0;
    X509_STORE_CTX_set_error(store, same ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return same;
}

struct bufferevent *rpc_tls_connect(struct event_base *base, SSL_CTX *ctx,
                                    const struct poa_rpc_trust *trust, const char *host, SSL **out)
{
    struct in6_addr address;
    SSL *ssl = NULL;
    if (trust->pinned)
        SSL_CTX_set_cert_verify_callback(ctx, check_pin, (void *)(uintptr_t)trust);
    ssl = SSL_new(ctx);
    if (ssl == NULL)
        return NULL;
    bool number =
        inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    bool fine = number ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1
                       : SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
    if (!fine) {
        SSL_free(ssl);
        return NULL;
    }
    *out = ssl;
    return over(base, ssl, BUFFEREVENT_SSL_CONNECTING);
}

bool rpc_loopback_name(const char *host)
{
    struct in_addr v4;
    return (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127) ||
           strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0;
}

const char *rpc_tls_refusal(const SSL *ssl)
{
    long result = SSL_get_verify_result(ssl);
    return result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
}
