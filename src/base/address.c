#include "poa_keys.h"

#include <string.h>

#define F(k, n, m, s, d) POA_FIELD_ROW_(policy_key, k, n, m, s, d)
POA_RECORD_DEFINE(policy_key, POA_POLICY_KEY_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(policy, k, n, m, s, d)
POA_RECORD_DEFINE(policy, POA_POLICY_TABLE)
#undef F

int poa_policy_check(const struct poa_policy *p)
{
    struct poa_policy_key seen[POA_POLICY_KEYS_MAX], key;
    struct poa_list_iter it = poa_list_begin(&p->keys);
    uint32_t n = 0;

    while (poa_policy_key_next(&it, &key)) {
        if (n == POA_POLICY_KEYS_MAX)
            return POA_E_RANGE;
        if (key.type != POA_KEY_BIP340 && key.type != POA_KEY_ED25519)
            return POA_E_RANGE;
        for (uint32_t i = 0; i < n; i++)
            if (seen[i].type == key.type && memcmp(seen[i].key, key.key, 32) == 0)
                return POA_E_NOT_CANONICAL;
        seen[n++] = key;
    }
    if (p->m == 0 || p->m > n)
        return POA_E_RANGE;
    return p->m == 1 && p->limit != 0 ? POA_E_NOT_CANONICAL : POA_OK;
}

int poa_address_of(const struct poa_policy *p, uint8_t address32[32])
{
    uint8_t bytes[POA_POLICY_BYTES_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int rc = poa_policy_check(p);
    if (rc == POA_OK)
        rc = poa_policy_encode(&w, p);
    if (rc == POA_OK)
        poa_hash(POA_DOMAIN_ADDRESS, bytes, w.n, address32);
    return rc;
}

void poa_address_of_key(enum poa_key_type type, const uint8_t key32[32], uint8_t address32[32])
{
    uint8_t bytes[33];
    bytes[0] = (uint8_t)type;
    memcpy(bytes + 1, key32, 32);
    struct poa_policy p = {1, 0, {poa_slice(bytes, sizeof bytes), 1}};
    int rc = poa_address_of(&p, address32);
    POA_ASSERT(rc == POA_OK);
}
