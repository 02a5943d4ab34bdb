/* Transactions of accounts with several keys: made once, signed one after another. */
#include "ledger.h"

#define AUTH_BYTES_MAX 2048u

int poa_tx_unsigned(const uint8_t chain32[32], const struct poa_policy *policy, uint64_t nonce,
                    uint64_t fee, uint64_t valid_until, const struct poa_list *ops,
                    struct poa_writer *out)
{
    uint8_t auth[AUTH_BYTES_MAX];
    struct poa_tx tx = {.chain = poa_le32(chain32),
                        .nonce = nonce,
                        .fee = fee,
                        .valid_until = valid_until,
                        .ops = *ops};
    struct poa_writer w = poa_writer_over(auth, sizeof auth);
    int e = poa_address_of(policy, tx.sender);
    if (!e)
        e = poa_auth_unsigned(policy, &w);
    tx.auth = poa_written(&w);
    return e ? e : poa_tx_encode(out, &tx);
}

int poa_tx_cosign(const uint8_t chain32[32], struct poa_slice raw, uint8_t key_type,
                  const uint8_t sk32[32], struct poa_writer *out)
{
    struct poa_tx tx;
    uint8_t id[32], auth[AUTH_BYTES_MAX];
    struct poa_writer w = poa_writer_over(auth, sizeof auth);
    if (poa_tx_decode(raw, &tx))
        return POA_E_TX_MALFORMED;
    if (tx.chain != poa_le32(chain32))
        return POA_E_TX_CHAIN;
    poa_hash2(POA_DOMAIN_TX, chain32, 32, raw.p, raw.n - tx.auth.n - 2, id);
    int e = poa_auth_cosign(tx.auth, id, key_type, sk32, &w);
    tx.auth = poa_written(&w);
    return e ? e : poa_tx_encode(out, &tx);
}

void poa_object_id(const uint8_t tx_id32[32], uint8_t index, uint8_t out32[32])
{
    uint8_t id[32];
    memcpy(id, tx_id32, 32); /* OUT32 may be the same */
    poa_hash2(POA_DOMAIN_OBJECT, id, 32, &index, 1, out32);
}
