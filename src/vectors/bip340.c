/* BIP340's own CSV: a header line names the columns; the comment, last, may hold
 * commas. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "poa_codec.h"
#include "poa_keys.h"
#include "vectors.h"

enum column { INDEX, SECRET, PUBLIC, AUX, MESSAGE, SIGNATURE, RESULT, COMMENT, COLUMNS };

static const char *const names[COLUMNS] = {
    "index",   "secret key", "public key",          "aux_rand",
    "message", "signature",  "verification result", "comment",
};

/* Cuts LINE at its commas; the last column takes the rest. */
static unsigned split(char *line, char *cell[COLUMNS])
{
    unsigned n = 0;
    line[strcspn(line, "\r")] = '\0';
    while (n < COMMENT && line != NULL)
        cell[n++] = strsep(&line, ",");
    if (line != NULL)
        cell[n++] = line;
    return n;
}

static const char *check(const struct poa_vectors_bytes b[COLUMNS], bool valid)
{
    uint8_t pk[32], sig[64];
    int rc = POA_E_SIGNATURE;
    if (b[PUBLIC].n == 32 && b[SIGNATURE].n == 64)
        rc = poa_bip340_verify(b[PUBLIC].p, b[MESSAGE].p, b[MESSAGE].n, b[SIGNATURE].p);
    if (valid != (rc == POA_OK))
        return valid ? "a valid signature was refused" : "an invalid signature was accepted";
    if (b[SECRET].n == 0)
        return NULL;
    if (b[SECRET].n != 32 || (b[AUX].n != 32 && b[AUX].n != 0))
        return "odd: the secret key or aux_rand is not 32 bytes";
    if (poa_bip340_public(b[SECRET].p, pk) != POA_OK || memcmp(pk, b[PUBLIC].p, 32) != 0)
        return "another public key";
    if (poa_bip340_sign(b[SECRET].p, b[MESSAGE].p, b[MESSAGE].n, b[AUX].n == 32 ? b[AUX].p : NULL,
                        sig) != POA_OK ||
        memcmp(sig, b[SIGNATURE].p, 64) != 0)
        return "another signature";
    return NULL;
}

static void run(char *line, struct poa_vectors_tally *tally)
{
    char *cell[COLUMNS];
    struct poa_vectors_bytes b[COLUMNS] = {{NULL, 0}};
    bool ok = split(line, cell) >= RESULT + 1;
    bool valid = ok && strcasecmp(cell[RESULT], "TRUE") == 0;
    ok = ok && (valid || strcasecmp(cell[RESULT], "FALSE") == 0);
    for (int c = SECRET; ok && c <= SIGNATURE; c++) {
        b[c] = poa_vectors_unhex(cell[c]);
        ok = b[c].p != NULL;
    }
    const char *wrong = ok ? check(b, valid) : "odd: a column is missing or is not hex";
    POA_VECTORS_CHECK(tally, wrong == NULL, "row %s: %s", cell[INDEX], wrong);
    for (int c = SECRET; c <= SIGNATURE; c++)
        poa_vectors_free(&b[c]);
}

bool poa_vectors_bip340(const char *text, struct poa_vectors_tally *tally)
{
    char *copy = strdup(text), *rest = copy, *line, *cell[COLUMNS];
    bool mine =
        copy != NULL && (line = strsep(&rest, "\n")) != NULL && split(line, cell) >= RESULT + 1;
    for (unsigned c = 0; mine && c <= RESULT; c++)
        mine = strcasecmp(cell[c], names[c]) == 0;
    while (mine && (line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0' && line[0] != '\r')
            run(line, tally);
    free(copy);
    return mine;
}
