/* The wallet of a device, and of every account with one key: poa_wallet.h. */
#include "poa_wallet.h"

#include <string.h>

#include "poa_proof.h"

#define POLICY_BYTES (1 + 8 + 1 + 33)
#define AUTH_BYTES   (2 + POLICY_BYTES + 1 + 65)

/* The policy of an account with one key, encoded. */
static int put_policy(uint8_t key_type, const uint8_t key32[32], struct poa_writer *out)
{
    uint8_t key[33];
    struct poa_policy policy = {.m = 1, .keys = {poa_slice(key, sizeof key), 1}};
    key[0] = key_type;
    memcpy(key + 1, key32, 32);
    return poa_policy_encode(out, &policy);
}

/* The auth record with room for a signature; its policy's hash is the ADDRESS. */
static POA_NOINLINE int put_auth(uint8_t key_type, const uint8_t key32[32], struct poa_writer *out,
                                 uint8_t address32[32])
{
    uint8_t bytes[POLICY_BYTES], sig[65] = {0};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int e = put_policy(key_type, key32, &w);
    struct poa_auth auth = {.policy = poa_written(&w), .sigs = {poa_slice(sig, sizeof sig), 1}};
    if (e)
        return e;
    poa_hash(POA_DOMAIN_ADDRESS, w.p, w.n, address32);
    return poa_auth_encode(out, &auth);
}

void poa_wallet_address(const uint8_t key32[32], uint8_t address32[32])
{
    uint8_t bytes[POLICY_BYTES];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int e = put_policy(POA_KEY_ED25519, key32, &w);
    POA_ASSERT(!e);
    poa_hash(POA_DOMAIN_ADDRESS, w.p, w.n, address32);
}

int poa_wallet_tx(const uint8_t chain32[32], uint8_t key_type, const uint8_t key32[32],
                  const struct poa_payment *p, const struct poa_list *ops, struct poa_writer *out,
                  uint8_t id32[32])
{
    uint8_t auth[AUTH_BYTES];
    struct poa_writer w = poa_writer_over(auth, sizeof auth);
    struct poa_tx tx = {.chain = poa_le32(chain32),
                        .nonce = p->nonce,
                        .fee = p->fee,
                        .valid_until = p->valid_until_ms,
                        .ops = *ops};
    size_t start = out->n;
    int e = put_auth(key_type, key32, &w, tx.sender);
    tx.auth = poa_written(&w);
    if (!e)
        e = poa_tx_encode(out, &tx);
    if (e)
        return e;
    /* The signature is the end of auth, and auth the end of all. */
    poa_hash2(POA_DOMAIN_TX, chain32, 32, out->p + start, out->n - start - tx.auth.n - 2, id32);
    return POA_OK;
}

int poa_wallet_pay(const uint8_t chain32[32], const uint8_t seed32[32], const uint8_t key32[32],
                   const struct poa_payment *p, const uint8_t to32[32], uint64_t amount,
                   struct poa_writer *out, uint8_t id32[32])
{
    uint8_t body[32 + 4 + 8 + 1], bytes[2 + 2 + sizeof body];
    struct poa_op_transfer transfer = {.asset = 0, .amount = amount};
    struct poa_writer w = poa_writer_over(body, sizeof body);
    if (!amount)
        return POA_E_TX_AMOUNT_ZERO;
    memcpy(transfer.to, to32, 32);
    int e = poa_op_transfer_encode(&w, &transfer);
    struct poa_op op = {POA_OP_TRANSFER, poa_written(&w)};
    w = poa_writer_over(bytes, sizeof bytes);
    if (!e)
        e = poa_op_encode(&w, &op);
    struct poa_list ops = {poa_written(&w), 1};
    if (!e)
        e = poa_wallet_tx(chain32, POA_KEY_ED25519, key32, p, &ops, out, id32);
    if (!e)
        poa_ed25519_sign(seed32, key32, id32, 32, out->p + out->n - POA_SIG_BYTES);
    return e;
}

int poa_wallet_proof(const uint8_t root32[32], uint8_t table, struct poa_slice key,
                     struct poa_slice value, struct poa_slice proof)
{
    return poa_proof_check(root32, (enum poa_state_table)table, key.p, key.n, value, proof);
}

int poa_wallet_account(struct poa_slice value, struct poa_st_account *out)
{
    return value.n ? poa_st_account_decode(value, out) : POA_E_NOT_FOUND;
}

int poa_wallet_peer(struct poa_slice value, struct poa_st_device *out)
{
    return value.n ? poa_st_device_decode(value, out) : POA_E_NOT_FOUND;
}
