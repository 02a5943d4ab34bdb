/* Elligator 2 for edwards25519: the sign that libsodium leaves to its caller.
 * Private to src/vrf. */
#ifndef POA_VRF_ELL2_H
#define POA_VRF_ELL2_H

#include <stdint.h>

/* encode_to_curve of edwards25519_XMD:SHA-512_ELL2_NU_ (RFC 9380) from its 48
 * uniform bytes: one field element, mapped, times the cofactor. */
void poa_vrf_ell2(const uint8_t uniform48[48], uint8_t point32[32]);

#endif
