/* print: readable text of any record, from its table. */
#ifndef POA_PRINT_H
#define POA_PRINT_H

#include "poa_codec.h"

/* Largest struct of a list element that can be printed. */
#define POA_PRINT_STRUCT_MAX 1024

/* Writes `name{field=value ...}` and a NUL to OUT, cut off at CAP; byte fields
 * in hex, longer than 12 bytes by their first eight and their length. Returns
 * the length that the whole text has, like snprintf. */
size_t poa_record_print(const struct poa_record *rec, const void *from, char *out, size_t cap);

#endif
