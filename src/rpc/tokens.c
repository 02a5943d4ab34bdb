/* Bearer tokens: 256 random bits, of which the file has the hash. */
#include "poa_rpc_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)64 << 10)
#define PREFIX   "poa_"

static const char *const names[] = {NULL,
#define ROW(name, text, help) text,
                                    POA_RPC_RIGHTS(ROW)
#undef ROW
};

const char *poa_rpc_right_name(enum poa_rpc_right right)
{
    return names[right];
}

enum poa_rpc_right poa_rpc_right_find(const char *text)
{
    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], text) == 0)
            return (enum poa_rpc_right)i;
    return POA_RPC_NOTHING;
}

static bool label_ok(const char *label)
{
    size_t n = strlen(label);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)label[i] <= ' ' || label[i] == 0x7f)
            return false;
    return n > 0 && n <= POA_RPC_TOKEN_LABEL_MAX;
}

static const struct poa_rpc_token *labelled(const struct poa_rpc_tokens *tokens, const char *label)
{
    for (size_t i = 0; i < tokens->n; i++)
        if (strcmp(tokens->token[i].label, label) == 0)
            return &tokens->token[i];
    return NULL;
}

/* NULL, or what is wrong. */
static const char *read_line(char *line, struct poa_rpc_tokens *out)
{
    char *rest = NULL;
    char *hash = strtok_r(line, " \t\r", &rest), *right = strtok_r(NULL, " \t\r", &rest);
    char *label = strtok_r(NULL, " \t\r", &rest);
    if (hash == NULL || hash[0] == '#')
        return NULL;
    if (label == NULL || strtok_r(NULL, " \t\r", &rest) != NULL)
        return "a line is HASH RIGHT LABEL; `poa token new` writes it";
    if (out->n == POA_RPC_TOKENS_MAX)
        return "too many tokens";
    struct poa_rpc_token *t = &out->token[out->n];
    t->right = poa_rpc_right_find(right);
    if (strlen(hash) != 64 || poa_unhex(hash, t->hash, 32) != POA_OK)
        return "the hash of a token has 64 hex digits";
    if (t->right == POA_RPC_NOTHING)
        return "the right of a token is read, submit or operate";
    if (!label_ok(label) || labelled(out, label) != NULL)
        return "a label has at most 64 characters and stands once";
    snprintf(t->label, sizeof t->label, "%s", label);
    out->n++;
    return NULL;
}

int poa_rpc_tokens_read(const char *path, struct poa_rpc_tokens *out, struct poa_why *why)
{
    char *text = NULL, *line;
    size_t n = 0;
    memset(out, 0, sizeof *out);
    int rc = poa_file_read(path, FILE_MAX, 0, &text, &n, why);
    if (rc != POA_OK)
        return rc;
    char *rest = text;
    for (int number = 1; rc == POA_OK && (line = strsep(&rest, "\n")) != NULL; number++) {
        const char *wrong = read_line(line, out);
        if (wrong != NULL)
            rc = poa_because(why, POA_E_CONFIG, "%s:%d: %s", path, number, wrong);
    }
    free(text);
    return rc;
}

int poa_rpc_tokens_write(const char *path, const struct poa_rpc_tokens *tokens, struct poa_why *why)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    fputs("# Tokens of a node's RPC: hash, right, label. Written by `poa token`.\n", f);
    for (size_t i = 0; i < tokens->n; i++) {
        const struct poa_rpc_token *t = &tokens->token[i];
        char hex[65];
        poa_hex(t->hash, 32, hex);
        fprintf(f, "%s %s %s\n", hex, poa_rpc_right_name(t->right), t->label);
    }
    int rc = fclose(f) == 0 ? POA_OK : poa_because(why, POA_E_NO_MEMORY, "out of memory");
    if (rc == POA_OK)
        rc = poa_file_write(path, text, n, 0640, 0, why);
    free(text);
    return rc;
}

static void hash_of(const char *text, size_t n, uint8_t out32[32])
{
    poa_hash(POA_DOMAIN_TOKEN, text, n, out32);
}

int poa_rpc_tokens_add(struct poa_rpc_tokens *tokens, const char *label, enum poa_rpc_right right,
                       char text[POA_RPC_TOKEN_TEXT])
{
    uint8_t secret[32];
    if (tokens->n == POA_RPC_TOKENS_MAX)
        return POA_E_LIMIT;
    if (!label_ok(label) || right == POA_RPC_NOTHING)
        return POA_E_CONFIG;
    if (labelled(tokens, label) != NULL)
        return POA_E_EXISTS;
    struct poa_rpc_token *t = &tokens->token[tokens->n++];
    poa_random(secret, sizeof secret);
    memcpy(text, PREFIX, sizeof PREFIX);
    poa_hex(secret, sizeof secret, text + strlen(PREFIX));
    poa_wipe(secret, sizeof secret);
    hash_of(text, strlen(text), t->hash);
    t->right = right;
    snprintf(t->label, sizeof t->label, "%s", label);
    return POA_OK;
}

enum poa_rpc_right poa_rpc_tokens_right(const struct poa_rpc_tokens *tokens, const char *text,
                                        size_t n)
{
    uint8_t hash[32];
    unsigned right = POA_RPC_NOTHING;
    hash_of(text, n, hash);
    for (size_t i = 0; i < tokens->n; i++)
        right |=
            poa_equal_ct(tokens->token[i].hash, hash, 32) ? (unsigned)tokens->token[i].right : 0u;
    return (enum poa_rpc_right)right;
}
