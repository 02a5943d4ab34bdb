/* How the product receives keys and signatures: fixed fields of a record, so
 * that a signature of another length ends at the decoder. Private to
 * src/vectors. */
#ifndef POA_VECTORS_RECORD_H
#define POA_VECTORS_RECORD_H

#include "vectors.h"

bool poa_vectors_ed25519_verify(const struct poa_vectors_bytes *pk,
                                const struct poa_vectors_bytes *msg,
                                const struct poa_vectors_bytes *sig);

#endif
