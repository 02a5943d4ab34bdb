/* What an account of one key or several signs: a policy, and signatures that are added one
 * after another, perhaps on different machines. */
#include "ledger.h"

#define SIG_BYTES 65u

static int put(struct poa_slice policy, const struct poa_list *sigs, struct poa_writer *out)
{
    struct poa_auth auth = {.policy = policy, .sigs = *sigs};
    return poa_auth_encode(out, &auth);
}

int poa_auth_unsigned(const struct poa_policy *policy, struct poa_writer *out)
{
    uint8_t bytes[POA_POLICY_BYTES_MAX];
    const struct poa_list none = {.count = 0};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int e = poa_policy_check(policy);
    if (!e)
        e = poa_policy_encode(&w, policy);
    return e ? e : put(poa_written(&w), &none, out);
}

int poa_auth_signers(struct poa_slice encoded, struct poa_policy *policy, struct poa_list *sigs)
{
    struct poa_auth auth;
    int e = poa_auth_decode(encoded, &auth);
    if (!e)
        e = poa_policy_decode(auth.policy, policy);
    if (!e)
        e = poa_policy_check(policy);
    *sigs = auth.sigs;
    return e ? POA_E_TX_MALFORMED : POA_OK;
}

/* The list of A's signatures with NEW in its place. */
static int insert_sig(const struct poa_list *a, const struct poa_auth_sig *new_sig,
                      uint8_t bytes[16 * SIG_BYTES], struct poa_list *out)
{
    struct poa_writer w = poa_writer_over(bytes, 16 * SIG_BYTES);
    struct poa_list_iter it = poa_list_begin(a);
    struct poa_auth_sig sig;
    bool placed = false;
    int e = POA_OK;
    while (!e && poa_auth_sig_next(&it, &sig)) {
        if (sig.key == new_sig->key)
            return POA_E_EXISTS;
        if (sig.key > new_sig->key && !placed) {
            e = poa_auth_sig_encode(&w, new_sig);
            placed = true;
        }
        if (!e)
            e = poa_auth_sig_encode(&w, &sig);
    }
    if (!e && !placed)
        e = poa_auth_sig_encode(&w, new_sig);
    *out = (struct poa_list){poa_written(&w), a->count + 1};
    return e;
}

int poa_auth_cosign(struct poa_slice encoded, const uint8_t digest32[32], uint8_t key_type,
                    const uint8_t sk32[32], struct poa_writer *out)
{
    struct poa_auth auth;
    struct poa_policy policy;
    struct poa_policy_key key;
    struct poa_list sigs;
    struct poa_auth_sig sig = {.key = 0};
    uint8_t pk[32], bytes[16 * SIG_BYTES];
    if (poa_auth_decode(encoded, &auth) || poa_auth_signers(encoded, &policy, &sigs))
        return POA_E_TX_MALFORMED;
    int e = key_type == POA_KEY_BIP340 || key_type == POA_KEY_ED25519
                ? poa_key_public((enum poa_key_type)key_type, sk32, pk)
                : POA_E_RANGE;
    if (e)
        return e;
    while (!poa_list_at(&poa_policy_key_record, &policy.keys, sig.key, &key) &&
           (key.type != key_type || memcmp(key.key, pk, 32)))
        sig.key++;
    if (sig.key >= policy.keys.count)
        return POA_E_TX_SENDER;
    e = poa_key_sign((enum poa_key_type)key_type, sk32, digest32, 32, sig.sig);
    if (!e)
        e = insert_sig(&sigs, &sig, bytes, &sigs);
    return e ? e : put(auth.policy, &sigs, out);
}

int poa_auth_open(struct poa_slice encoded, const uint8_t address32[32], struct poa_policy *policy,
                  struct poa_list *sigs)
{
    struct poa_auth auth;
    uint8_t address[32];
    if (poa_auth_decode(encoded, &auth) || poa_policy_decode(auth.policy, policy))
        return POA_E_TX_MALFORMED;
    *sigs = auth.sigs;
    return poa_address_of(policy, address) || memcmp(address, address32, 32) ? POA_E_TX_SENDER
                                                                             : POA_OK;
}

int poa_auth_verify(const struct poa_policy *policy, const struct poa_list *sigs, bool alone,
                    const uint8_t digest32[32])
{
    struct poa_list_iter it = poa_list_begin(sigs);
    struct poa_auth_sig sig;
    int last = -1;
    if (sigs->count != (alone ? 1 : policy->m))
        return POA_E_TX_SIGNATURE;
    while (poa_auth_sig_next(&it, &sig)) {
        struct poa_policy_key key;
        if (sig.key <= last || poa_list_at(&poa_policy_key_record, &policy->keys, sig.key, &key))
            return POA_E_TX_SIGNATURE;
        last = sig.key;
        if ((alone && sig.key) || poa_key_verify(key.type, key.key, digest32, 32, sig.sig))
            return POA_E_TX_SIGNATURE;
    }
    return POA_OK;
}
