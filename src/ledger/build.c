/* Transactions of accounts with several keys: made once, signed one after
 * another, perhaps on different machines. */
#include "ledger.h"

#define AUTH_BYTES_MAX 2048u
#define SIG_BYTES      65u

/* Writes TX with the auth record of POLICY and SIGS. */
static int put(struct poa_tx *tx, struct poa_slice policy, const struct poa_list *sigs,
               struct poa_writer *out)
{
    uint8_t bytes[AUTH_BYTES_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_auth auth = {.policy = policy, .sigs = *sigs};
    int e = poa_auth_encode(&w, &auth);
    tx->auth = poa_written(&w);
    return e ? e : poa_tx_encode(out, tx);
}

int poa_tx_unsigned(const uint8_t chain32[32], const struct poa_policy *policy, uint64_t nonce,
                    uint64_t fee, uint64_t valid_until, const struct poa_list *ops,
                    struct poa_writer *out)
{
    uint8_t policy_bytes[POA_POLICY_BYTES_MAX];
    const struct poa_list none = {.count = 0};
    struct poa_tx tx = {.chain = poa_le32(chain32),
                        .nonce = nonce,
                        .fee = fee,
                        .valid_until = valid_until,
                        .ops = *ops};
    struct poa_writer w = poa_writer_over(policy_bytes, sizeof policy_bytes);
    int e = poa_address_of(policy, tx.sender);
    if (!e)
        e = poa_policy_encode(&w, policy);
    return e ? e : put(&tx, poa_written(&w), &none, out);
}

int poa_tx_signers(const struct poa_tx *tx, struct poa_policy *policy, struct poa_list *sigs)
{
    struct poa_auth auth;
    int e = poa_auth_decode(tx->auth, &auth);
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

int poa_tx_cosign(const uint8_t chain32[32], struct poa_slice raw, uint8_t key_type,
                  const uint8_t sk32[32], struct poa_writer *out)
{
    struct poa_tx tx;
    struct poa_auth auth;
    struct poa_policy policy;
    struct poa_policy_key key;
    struct poa_list sigs;
    struct poa_auth_sig sig = {.key = 0};
    uint8_t pk[32], id[32], bytes[16 * SIG_BYTES];
    if (poa_tx_decode(raw, &tx) || poa_auth_decode(tx.auth, &auth) ||
        poa_tx_signers(&tx, &policy, &sigs))
        return POA_E_TX_MALFORMED;
    if (tx.chain != poa_le32(chain32))
        return POA_E_TX_CHAIN;
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
    poa_hash2(POA_DOMAIN_TX, chain32, 32, raw.p, raw.n - tx.auth.n - 2, id);
    e = poa_key_sign((enum poa_key_type)key_type, sk32, id, 32, sig.sig);
    if (!e)
        e = insert_sig(&sigs, &sig, bytes, &sigs);
    return e ? e : put(&tx, auth.policy, &sigs, out);
}

void poa_object_id(const uint8_t tx_id32[32], uint8_t index, uint8_t out32[32])
{
    uint8_t id[32];
    memcpy(id, tx_id32, 32); /* OUT32 may be the same */
    poa_hash2(POA_DOMAIN_OBJECT, id, 32, &index, 1, out32);
}
