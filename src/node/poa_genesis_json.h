/* Genesis files: the encoded record, or its JSON form (docs/genesis.md). */
#ifndef POA_GENESIS_JSON_H
#define POA_GENESIS_JSON_H

#include <jansson.h>

#include "poa_file.h"
#include "poa_ledger.h"

#define POA_GENESIS_FILE_MAX ((size_t)128 << 20)

/* Reads a file of either form. *BYTES (malloc'ed) is the encoding, OUT borrows
 * from it. The rules of a genesis are checked.
 * Errors: NOT_FOUND, CONFIG (WHY says what is wrong and where), NO_MEMORY. */
POA_MUST_USE int poa_genesis_load(const char *path, uint8_t **bytes, size_t *n,
                                  struct poa_genesis *out, struct poa_why *why);
/* FROM to the encoding, malloc'ed. CONFIG. */
POA_MUST_USE int poa_genesis_from_json(const json_t *from, uint8_t **bytes, size_t *n,
                                       struct poa_why *why);
/* New reference; NULL when ENCODED is no genesis. */
json_t *poa_genesis_to_json(struct poa_slice encoded);
/* Writes the encoded form, a new file. */
POA_MUST_USE int poa_genesis_save(const char *path, const struct poa_genesis *g,
                                  struct poa_why *why);

#endif
