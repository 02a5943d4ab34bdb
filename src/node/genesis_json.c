#include "poa_genesis_json.h"

#include <stdlib.h>
#include <string.h>

#include "poa_rpc_json.h"

/* Room for an encoding: JSON is never shorter than what it says, and every
 * nested list is encoded twice, into its parent's list and the parent. */
#define NESTING 4

static int encode(const struct poa_genesis *g, size_t cap, uint8_t **bytes, size_t *n,
                  struct poa_why *why)
{
    uint8_t *p = malloc(cap);
    if (!p)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    struct poa_writer w = poa_writer_over(p, cap);
    int rc = poa_genesis_encode(&w, g);
    if (rc) {
        free(p);
        return poa_because(why, POA_E_CONFIG, "a field is out of range: %s", poa_error_text(rc));
    }
    *bytes = p;
    *n = w.n;
    return POA_OK;
}

int poa_genesis_from_json(const json_t *from, uint8_t **bytes, size_t *n, struct poa_why *why)
{
    char *text = json_dumps(from, JSON_COMPACT);
    if (!text)
        return poa_because(why, POA_E_CONFIG, "not a JSON object");
    size_t cap = NESTING * strlen(text) + 4096;
    free(text);
    uint8_t *scratch = malloc(cap);
    if (!scratch)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    struct poa_writer w = poa_writer_over(scratch, cap);
    struct poa_genesis g;
    struct poa_why inner = {""};
    int rc = poa_json_to_record(&poa_genesis_record, from, &w, &g, &inner);
    if (rc)
        rc = poa_because(why, POA_E_CONFIG, "%s", inner.text[0] ? inner.text : poa_error_text(rc));
    else
        rc = encode(&g, cap, bytes, n, why);
    free(scratch);
    return rc;
}

json_t *poa_genesis_to_json(struct poa_slice encoded)
{
    struct poa_genesis g;
    return poa_genesis_decode(encoded, &g) ? NULL : poa_json_record(&poa_genesis_record, &g);
}

int poa_genesis_save(const char *path, const struct poa_genesis *g, struct poa_why *why)
{
    size_t cap =
        4096 + g->accounts.bytes.n + g->makers.bytes.n + g->witnesses.bytes.n + g->devices.bytes.n;
    uint8_t *bytes = NULL;
    size_t n = 0;
    int rc = encode(g, cap, &bytes, &n, why);
    if (!rc)
        rc = poa_file_write(path, bytes, n, 0644, POA_FILE_NEW, why);
    free(bytes);
    return rc;
}

static int from_text(const char *path, const char *text, size_t text_n, uint8_t **bytes, size_t *n,
                     struct poa_why *why)
{
    json_error_t error;
    json_t *root = json_loadb(text, text_n, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return poa_because(why, POA_E_CONFIG, "%s:%d: %s", path, error.line, error.text);
    struct poa_why inner = {""};
    int rc = poa_genesis_from_json(root, bytes, n, &inner);
    if (rc)
        poa_because(why, rc, "%s: %.200s", path, inner.text);
    json_decref(root);
    return rc;
}

int poa_genesis_load(const char *path, uint8_t **bytes, size_t *n, struct poa_genesis *out,
                     struct poa_why *why)
{
    char *text = NULL;
    size_t text_n = 0;
    const char *broken = "";
    int rc = poa_file_read(path, POA_GENESIS_FILE_MAX, 0, &text, &text_n, why);
    if (rc)
        return rc;
    *bytes = NULL;
    if (text_n && (text[0] == '{' || text[0] == ' ' || text[0] == '\n')) {
        rc = from_text(path, text, text_n, bytes, n, why);
        free(text);
    } else {
        *bytes = (uint8_t *)text;
        *n = text_n;
    }
    if (rc)
        return rc;
    rc = poa_genesis_decode(poa_slice(*bytes, *n), out);
    if (rc)
        rc = poa_because(why, POA_E_CONFIG, "%s is not a genesis file: %s", path,
                         poa_error_text(rc));
    else if (poa_genesis_check(out, &broken))
        rc = poa_because(why, POA_E_CONFIG, "%s: %s", path, broken);
    if (rc) {
        free(*bytes);
        *bytes = NULL;
    }
    return rc;
}
