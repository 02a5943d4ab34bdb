/* Rules that the table of keys cannot say. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "poa_codec.h"
#include "poa_config.h"
#include "poa_log.h"
#include "poa_rpc_tokens.h"

/* --- addresses ------------------------------------------------------------------------- */

/* A number that is none, such as 300.1.2.3, must not be looked up as a name. */
static bool host_ok(const char *host, bool v6)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    struct in6_addr address;
    char bare[128];
    if (!v6)
        return strspn(host, name) == strlen(host) && (strspn(host, "0123456789.") != strlen(host) ||
                                                      inet_pton(AF_INET, host, &address) == 1);
    size_t n = strcspn(host, "%"); /* the interface of a link-local address */
    if (n >= sizeof bare || strspn(host + n, name) + strspn(host + n, "%") < strlen(host + n))
        return false;
    memcpy(bare, host, n);
    bare[n] = 0;
    return inet_pton(AF_INET6, bare, &address) == 1;
}

int poa_config_address(const char *text, char *host, size_t host_n, uint16_t *port,
                       struct poa_why *why)
{
    const char *colon = strrchr(text, ':'), *from = text;
    char *end = NULL;
    unsigned long v = colon ? strtoul(colon + 1, &end, 10) : 0;
    size_t n = colon ? (size_t)(colon - text) : 0;
    bool v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (v6) {
        from++;
        n -= 2;
    }
    bool fine = n && n < host_n && isdigit((unsigned char)colon[1]) && !*end && v <= 65535;
    if (fine) {
        memcpy(host, from, n);
        host[n] = 0;
        *port = (uint16_t)v;
        fine = host_ok(host, v6);
    }
    return fine ? POA_OK : poa_because(why, POA_E_CONFIG, "\"%.100s\" is not HOST:PORT", text);
}

/* 0.0.0.0 and ::, where one can listen and which nobody can dial. */
static bool anywhere(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;
    return (inet_pton(AF_INET, host, &v4) == 1 && v4.s_addr == 0) ||
           (inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6));
}

const char *poa_config_undialable(const char *address)
{
    char host[128];
    uint16_t port;
    if (poa_config_address(address, host, sizeof host, &port, NULL))
        return "not HOST:PORT";
    if (anywhere(host))
        return "that is every address of a machine, which nobody can dial: name one";
    return port > 0 && port < 65535
               ? NULL
               : "the port of a mesh is 1 to 65534, the one after it is used too";
}

struct place {
    const char *key;
    char host[128];
    uint32_t first, last; /* ports; 0: any free one, or none at all */
};

/* Empties VALUE when it is "off". */
static int read_place(const struct poa_config *c, const char *key, char *value, uint32_t ports,
                      struct place *p, struct poa_why *why)
{
    uint16_t port = 0;
    *p = (struct place){.key = key};
    if (strcmp(value, "off") == 0)
        value[0] = 0;
    if (!value[0])
        return POA_OK;
    if (poa_config_address(value, p->host, sizeof p->host, &port, NULL))
        return poa_config_wrong(c, key, why, "\"%.100s\" is neither HOST:PORT nor off", value);
    p->first = port;
    p->last = port ? port + ports - 1 : 0;
    return p->last > 65535
               ? poa_config_wrong(c, key, why,
                                  "%.100s: the port after it is used too, so at most 65534", value)
               : POA_OK;
}

static bool overlap(const struct place *a, const struct place *b)
{
    return a->first && b->first && a->first <= b->last && b->first <= a->last &&
           (strcmp(a->host, b->host) == 0 || anywhere(a->host) || anywhere(b->host));
}

static bool number(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static bool loopback(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;
    return inet_pton(AF_INET, host, &v4) == 1
               ? ntohl(v4.s_addr) >> 24 == 127
               : inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Of RPC and gateway: a name could come to mean another address. */
static int check_server(const struct poa_config *c, const struct place *p, const char *value,
                        struct poa_why *why)
{
    return value[0] && !number(p->host)
               ? poa_config_wrong(c, p->key, why,
                                  "%.100s: give a numeric address, such as 127.0.0.1", value)
               : POA_OK;
}

static int check_public(const struct poa_config *c, const struct place *rpc, struct poa_why *why)
{
    if (!c->rpc[0] || loopback(rpc->host) || c->rpc_tls_cert[0] || c->rpc_behind_tls_proxy)
        return POA_OK;
    return poa_config_wrong(c, "rpc", why,
                            "%.60s is reachable from other machines: give rpc_tls_cert and "
                            "rpc_tls_key, or put a TLS proxy in front and say so "
                            "(rpc_behind_tls_proxy), or use 127.0.0.1",
                            c->rpc);
}

static int check_places(struct poa_config *c, struct poa_why *why)
{
    struct place at[3];
    int rc = read_place(c, "listen", c->listen, 2, &at[0], why);
    if (!rc)
        rc = read_place(c, "rpc", c->rpc, 1, &at[1], why);
    if (!rc)
        rc = read_place(c, "gateway", c->gateway, 1, &at[2], why);
    if (!rc)
        rc = check_server(c, &at[1], c->rpc, why);
    if (!rc)
        rc = check_server(c, &at[2], c->gateway, why);
    if (!rc)
        rc = check_public(c, &at[1], why);
    for (size_t i = 1; !rc && i < 3; i++)
        for (size_t k = 0; !rc && k < i; k++)
            if (overlap(&at[i], &at[k]))
                rc = poa_config_wrong(c, at[i].key, why, "port %u is that of %s%s", at[i].first,
                                      at[k].key,
                                      k ? "" : ", which takes two: its own and the one after it");
    if (!rc && c->gateway[0] && !c->trusted)
        rc = poa_config_wrong(c, "gateway", why, "needs role trusted");
    const char *wrong = c->advertise[0] ? poa_config_undialable(c->advertise) : NULL;
    if (!rc && wrong)
        rc = poa_config_wrong(c, "advertise", why, "\"%.100s\": %s", c->advertise, wrong);
    if (!rc && c->advertise[0] && !c->listen[0])
        rc = poa_config_wrong(c, "advertise", why, "listen is off: nobody could be sent here");
    return rc;
}

/* --- pages of other sites -------------------------------------------------------------- */

/* What is wrong with an origin; NULL: nothing. It has to be what browsers send, byte by byte. */
static const char *origin_fault(const char *o)
{
    const char *host = strncmp(o, "https://", 8) == 0  ? o + 8
                       : strncmp(o, "http://", 7) == 0 ? o + 7
                                                       : NULL;
    char with_port[POA_CONFIG_TEXT_MAX + 8], name[POA_CONFIG_TEXT_MAX + 1];
    uint16_t port = 0;
    if (!o[0])
        return "there is nothing between two commas";
    if (strcmp(o, "*") == 0)
        return "that is every site: name those that may call";
    if (!host)
        return "an origin is https://HOST or http://HOST, perhaps with :PORT";
    if (strchr(host, '/'))
        return "an origin ends after the host, or its port: no / and no path";
    for (const char *p = host; *p; p++)
        if (isupper((unsigned char)*p))
            return "browsers send it in lower case";
    const char *colon = strrchr(host, ':');
    bool has = colon && !strchr(colon, ']');
    snprintf(with_port, sizeof with_port, "%s%s", host, has ? "" : ":1");
    if (poa_config_address(with_port, name, sizeof name, &port, NULL) || !port)
        return "that is no host, or no port";
    return has && port == (o[4] == 's' ? 443 : 80) ? "browsers leave the usual port out" : NULL;
}

static char *trimmed(char *s)
{
    s += strspn(s, " ");
    for (size_t n = strlen(s); n && s[n - 1] == ' '; n--)
        s[n - 1] = 0;
    return s;
}

static int check_origins(const struct poa_config *c, struct poa_why *why)
{
    char list[POA_CONFIG_TEXT_MAX + 1], *rest = list, *item, *seen[64];
    size_t n = 0;
    snprintf(list, sizeof list, "%s", c->rpc_cors);
    while (c->rpc_cors[0] && (item = strsep(&rest, ","))) {
        item = trimmed(item);
        const char *fault = origin_fault(item);
        for (size_t i = 0; !fault && i < n; i++)
            if (strcmp(seen[i], item) == 0)
                fault = "it is listed twice";
        if (fault)
            return poa_config_wrong(c, "rpc_cors", why, "\"%.100s\": %s", item, fault);
        if (n < sizeof seen / sizeof seen[0])
            seen[n++] = item;
    }
    return POA_OK;
}

/* --- words ------------------------------------------------------------------------------ */

int poa_config_recover(const char *text, uint32_t *epoch, uint8_t token32[32])
{
    char *end = NULL;
    unsigned long v = strtoul(text, &end, 10);
    memset(token32, 0, 32);
    *epoch = (uint32_t)v;
    return text[0] >= '0' && text[0] <= '9' && v <= UINT32_MAX && *end == '-' &&
                   strlen(end + 1) == 32 && poa_unhex(end + 1, token32, 16) == POA_OK
               ? POA_OK
               : POA_E_CONFIG;
}

static int check_role(struct poa_config *c, struct poa_why *why)
{
    char list[POA_CONFIG_TEXT_MAX + 1], *rest = list, *role;
    snprintf(list, sizeof list, "%s", c->role);
    c->ledger = c->trusted = false;
    while ((role = strsep(&rest, ","))) {
        role = trimmed(role);
        bool *is = strcmp(role, "ledger") == 0    ? &c->ledger
                   : strcmp(role, "trusted") == 0 ? &c->trusted
                                                  : NULL;
        if (!is)
            return poa_config_wrong(c, "role", why, "\"%.60s\" is neither ledger nor trusted",
                                    role);
        if (*is)
            return poa_config_wrong(c, "role", why, "%s is listed twice", role);
        *is = true;
    }
    return POA_OK;
}

static int check_words(const struct poa_config *c, struct poa_why *why)
{
    enum poa_log_level level;
    uint8_t token[32];
    uint32_t epoch;
    if (poa_log_level_parse(c->log_level, &level))
        return poa_config_wrong(c, "log_level", why,
                                "\"%.60s\" is none of error, warn, info, debug, trace",
                                c->log_level);
    if (c->recover[0] && poa_config_recover(c->recover, &epoch, token))
        return poa_config_wrong(c, "recover", why,
                                "\"%.60s\" is no token; `poa witness recovery` makes one",
                                c->recover);
    if (c->rpc_anonymous[0] && strcmp(c->rpc_anonymous, "nothing") != 0 &&
        poa_rpc_right_find(c->rpc_anonymous) == POA_RPC_NOTHING)
        return poa_config_wrong(c, "rpc_anonymous", why,
                                "\"%.60s\" is none of nothing, read, submit, operate",
                                c->rpc_anonymous);
    if (!c->rpc_tls_cert[0] != !c->rpc_tls_key[0])
        return poa_config_wrong(c, c->rpc_tls_cert[0] ? "rpc_tls_cert" : "rpc_tls_key", why,
                                "needs %s too",
                                c->rpc_tls_cert[0] ? "rpc_tls_key" : "rpc_tls_cert");
    return POA_OK;
}

int poa_config_check(struct poa_config *c, struct poa_why *why)
{
    int rc = check_role(c, why);
    if (!rc)
        rc = check_words(c, why);
    if (!rc)
        rc = check_places(c, why);
    if (!rc)
        rc = check_origins(c, why);
    if (!rc && !c->genesis[0])
        snprintf(c->genesis, sizeof c->genesis, "%.400s/genesis.poa", c->data_dir);
    if (!rc && !c->key[0])
        snprintf(c->key, sizeof c->key, "%.400s/node.json", c->data_dir);
    return rc;
}
