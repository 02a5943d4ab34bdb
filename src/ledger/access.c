/* Grants and requests of usage data: see poa_access.h. */
#include <string.h>

#include "poa_access.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(data_grant, k, n, m, s, d)
POA_RECORD_DEFINE(data_grant, POA_DATA_GRANT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(data_request, k, n, m, s, d)
POA_RECORD_DEFINE(data_request, POA_DATA_REQUEST_TABLE)
#undef F

/* TAIL: length of the last field, which is the signature or the signatures. */
static void digest(enum poa_domain domain, const uint8_t chain32[32], struct poa_slice encoded,
                   size_t tail, uint8_t out32[32])
{
    poa_hash2(domain, chain32, 32, encoded.p, encoded.n - tail, out32);
}

int poa_data_grant_unsigned(const struct poa_policy *owner, const struct poa_data_grant *g,
                            struct poa_writer *out)
{
    struct poa_data_grant made = *g;
    uint8_t auth[2048];
    struct poa_writer w = poa_writer_over(auth, sizeof auth);
    int e = poa_auth_unsigned(owner, &w);
    made.auth = poa_written(&w);
    return e ? e : poa_data_grant_encode(out, &made);
}

int poa_data_grant_cosign(const uint8_t chain32[32], struct poa_slice raw, uint8_t key_type,
                          const uint8_t secret32[32], struct poa_writer *out)
{
    struct poa_data_grant g;
    uint8_t auth[2048], d[32];
    struct poa_writer w = poa_writer_over(auth, sizeof auth);
    if (poa_data_grant_decode(raw, &g))
        return POA_E_TX_MALFORMED;
    digest(POA_DOMAIN_DATA_GRANT, chain32, raw, g.auth.n + 2, d);
    int e = poa_auth_cosign(g.auth, d, key_type, secret32, &w);
    g.auth = poa_written(&w);
    return e ? e : poa_data_grant_encode(out, &g);
}

int poa_data_request_sign(const uint8_t chain32[32], enum poa_key_type type,
                          const uint8_t secret32[32], struct poa_data_request *r,
                          struct poa_writer *out)
{
    size_t start = out->n;
    uint8_t d[32];
    r->reader_type = (uint8_t)type;
    int e = poa_key_public(type, secret32, r->reader);
    if (!e)
        e = poa_data_request_encode(out, r);
    if (e)
        return e;
    digest(POA_DOMAIN_DATA_REQUEST, chain32, poa_slice(out->p + start, out->n - start), 64, d);
    e = poa_key_sign(type, secret32, d, sizeof d, r->sig);
    if (!e)
        memcpy(out->p + out->n - 64, r->sig, 64);
    return e;
}

int poa_data_request_device(struct poa_slice encoded, uint8_t device32[32])
{
    struct poa_data_request r;
    int e = poa_data_request_decode(encoded, &r);
    if (!e)
        memcpy(device32, r.device, 32);
    return e;
}

static bool owns(const struct poa_st_device *device, uint8_t type, const uint8_t key32[32])
{
    uint8_t address[32];
    if (type != POA_KEY_BIP340 && type != POA_KEY_ED25519)
        return false;
    poa_address_of_key((enum poa_key_type)type, key32, address);
    return memcmp(address, device->owner, 32) == 0;
}

static int check_grant(const uint8_t chain32[32], uint64_t now_ms,
                       const struct poa_st_device *device, const struct poa_data_request *r,
                       uint64_t *from_ms, uint64_t *to_ms)
{
    static const uint8_t anybody[32];
    struct poa_data_grant g;
    struct poa_policy policy;
    struct poa_list sigs;
    uint8_t d[32];
    int e = poa_data_grant_decode(r->grant, &g);
    if (e)
        return e;
    e = poa_auth_open(g.auth, device->owner, &policy, &sigs);
    bool named = g.reader_type == r->reader_type && memcmp(g.reader, r->reader, 32) == 0;
    if (e == POA_E_TX_SENDER || memcmp(g.device, r->device, 32) != 0 ||
        !(named || memcmp(g.reader, anybody, 32) == 0))
        return POA_E_DATA_NOT_ALLOWED;
    digest(POA_DOMAIN_DATA_GRANT, chain32, r->grant, g.auth.n + 2, d);
    if (!e)
        e = poa_auth_verify(&policy, &sigs, false, d);
    if (e)
        return e;
    *from_ms = g.from_ms;
    *to_ms = g.to_ms;
    return now_ms > g.until_ms ? POA_E_TIMEOUT : POA_OK;
}

int poa_data_request_check(const uint8_t chain32[32], const uint8_t node32[32], uint64_t now_ms,
                           const struct poa_st_device *device, struct poa_slice encoded,
                           uint64_t *from_ms, uint64_t *to_ms)
{
    struct poa_data_request r;
    uint8_t d[32];
    int e = poa_data_request_decode(encoded, &r);
    if (e)
        return e;
    digest(POA_DOMAIN_DATA_REQUEST, chain32, encoded, sizeof r.sig, d);
    e = poa_key_verify(r.reader_type, r.reader, d, sizeof d, r.sig);
    if (e)
        return e;
    if (memcmp(r.node, node32, 32) != 0)
        return POA_E_DATA_NOT_ALLOWED;
    if ((now_ms > r.time_ms ? now_ms - r.time_ms : r.time_ms - now_ms) > POA_DATA_REQUEST_MS)
        return POA_E_TIMEOUT;
    *from_ms = 0;
    *to_ms = UINT64_MAX;
    if (r.grant.n)
        return check_grant(chain32, now_ms, device, &r, from_ms, to_ms);
    bool itself = r.reader_type == POA_KEY_ED25519 && memcmp(r.reader, r.device, 32) == 0;
    return itself || owns(device, r.reader_type, r.reader) ? POA_OK : POA_E_DATA_NOT_ALLOWED;
}
