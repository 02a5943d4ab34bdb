/* Sealed boxes: keys that only their receiver can open. */
#include <sodium.h>
#include <string.h>

#include "poa_crypto.h"

_Static_assert(crypto_box_SEALBYTES + 32 == 80, "a sealed key has 80 bytes");

int poa_sealed_make(const uint8_t pk32[32], const uint8_t key32[32], uint8_t out80[80])
{
    return crypto_box_seal(out80, key32, 32, pk32) ? POA_E_KEY : POA_OK;
}

int poa_sealed_open(const uint8_t sk32[32], const uint8_t sealed80[80], uint8_t out32[32])
{
    uint8_t pk[32];
    if (crypto_scalarmult_base(pk, sk32))
        return POA_E_KEY;
    return crypto_box_seal_open(out32, sealed80, 80, pk, sk32) ? POA_E_DECRYPT : POA_OK;
}
