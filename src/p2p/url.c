/* Addresses: "host:port" to NNG's URLs. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh.h"

struct address {
    char host[POA_P2P_ADDRESS_MAX]; /* with brackets when IPv6 */
    unsigned port;
};

/* NNG would take more (wildcards, user names); we take only what cannot be
 * misread. */
static bool host_ok(const char *host, size_t n)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char v6[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:%";
    if (n == 0)
        return false;
    if (host[0] == '[')
        return n > 3 && host[n - 1] == ']' && strspn(host + 1, v6) == n - 2;
    return strspn(host, plain) == n;
}

static int parse(const char *text, struct address *out)
{
    const char *colon = strrchr(text, ':');
    size_t n = strlen(text), host_n;
    if (n >= POA_P2P_ADDRESS_MAX || colon == NULL)
        return POA_E_CONFIG;
    host_n = (size_t)(colon - text);
    const char *digits = colon + 1;
    size_t digits_n = strlen(digits);
    if (digits_n == 0 || digits_n > 5 || strspn(digits, "0123456789") != digits_n)
        return POA_E_CONFIG;
    unsigned long port = strtoul(digits, NULL, 10);
    if (port > 65535)
        return POA_E_CONFIG;
    memcpy(out->host, text, host_n);
    out->host[host_n] = 0;
    out->port = (unsigned)port;
    return host_ok(out->host, host_n) ? POA_OK : POA_E_CONFIG;
}

static void write_url(char url[MESH_URL_MAX], const struct address *a)
{
    int n = snprintf(url, MESH_URL_MAX, "tcp://%s:%u", a->host, a->port);
    POA_ASSERT(n > 0 && n < MESH_URL_MAX + 8);
}

int mesh_urls(const char *address, const char *push, char url[MESH_URL_MAX],
              char push_url[MESH_URL_MAX])
{
    struct address a, b;
    int rc = parse(address, &a);
    if (rc != POA_OK)
        return rc;
    if (push != NULL) {
        rc = parse(push, &b);
        if (rc != POA_OK)
            return rc;
    } else {
        b = a;
        b.port = a.port == 0 ? 0 : a.port + 1;
        if (b.port > 65535)
            return POA_E_CONFIG;
    }
    write_url(url, &a);
    write_url(push_url, &b);
    return POA_OK;
}

bool mesh_url_ip(const char *url, uint8_t ip[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const char *host = url + strlen("tcp://");
    size_t n = (size_t)(strrchr(url, ':') - host);
    char text[POA_P2P_ADDRESS_MAX];
    if (n >= sizeof text)
        return false;
    memcpy(text, host, n);
    text[n] = 0;
    memcpy(ip, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, ip + 12) == 1)
        return true;
    if (text[0] != '[')
        return false;
    text[n - 1] = 0;
    return inet_pton(AF_INET6, text + 1, ip) == 1;
}
