/* ledger, wallet: what a device needs to own and to ask. Freestanding C99.
 *
 *   poa_wallet_address   its account: the Ed25519 key that it seals with
 *   poa_device_query     balance and nonce (table ACCOUNT), or who another device
 *                        is (table DEVICE), with poa_wallet_proof as proof_check
 *   poa_wallet_account, poa_wallet_peer   read what was proven
 *   poa_wallet_pay       a signed transfer for poa_device_submit
 */
#ifndef POA_WALLET_H
#define POA_WALLET_H

#include "poa_ledger.h"

/* What every transaction says beside its operations. */
struct poa_payment {
    uint64_t nonce;          /* of the account, see poa_wallet_account */
    uint64_t fee;            /* smallest unit; the parameters in WELCOME say the least */
    uint64_t valid_until_ms; /* no block of a later time may carry it; 0 = no limit */
};
/* Bytes of a transfer that poa_wallet_pay writes. */
#define POA_WALLET_PAY_BYTES 223

/* The address of the account of an Ed25519 key. */
void poa_wallet_address(const uint8_t key32[32], uint8_t address32[32]);
/* Appends a transfer of AMOUNT of the native asset to address TO, signed; ID names
 * it on the ledger. Errors: POA_E_BUFFER, POA_E_TX_AMOUNT_ZERO. */
POA_MUST_USE int poa_wallet_pay(const uint8_t chain32[32], const uint8_t seed32[32],
                                const uint8_t key32[32], const struct poa_payment *p,
                                const uint8_t to32[32], uint64_t amount, struct poa_writer *out,
                                uint8_t id32[32]);
/* Appends a transaction of a single-key account with any operations, but for the
 * signature over ID32, which belongs into its last 64 bytes. POA_E_BUFFER. */
POA_MUST_USE int poa_wallet_tx(const uint8_t chain32[32], uint8_t key_type, const uint8_t key32[32],
                               const struct poa_payment *p, const struct poa_list *ops,
                               struct poa_writer *out, uint8_t id32[32]);

/* proof_check of poa_device_config. */
POA_MUST_USE int poa_wallet_proof(const uint8_t root32[32], uint8_t table, struct poa_slice key,
                                  struct poa_slice value, struct poa_slice proof);
/* A proven VALUE; empty, which is proven absent, gives POA_E_NOT_FOUND. */
POA_MUST_USE int poa_wallet_account(struct poa_slice value, struct poa_st_account *out);
POA_MUST_USE int poa_wallet_peer(struct poa_slice value, struct poa_st_device *out);

#endif
