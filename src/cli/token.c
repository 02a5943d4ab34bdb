/* poa token: who may ask a node what. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "poa_cli.h"
#include "poa_rpc_tokens.h"

static int load(const struct cli *c, bool fresh, const char **path, struct poa_rpc_tokens *out)
{
    struct poa_why why = {{0}};
    *path = c->option[CLI_TOKENS];
    if (*path == NULL)
        return cli_misuse("say which file: --tokens FILE, the node's rpc_tokens");
    int rc = poa_rpc_tokens_read(*path, out, &why);
    if (rc == POA_E_NOT_FOUND && fresh)
        return 0; /* the first token */
    return rc == POA_OK ? 0 : cli_fail("%s", why.text);
}

/* RUN reads the file and writes it anew: one at a time. */
static int alone(const struct cli *c, int (*run)(const struct cli *c))
{
    struct poa_why why = {{0}};
    int fd = -1;
    const char *path = c->option[CLI_TOKENS];
    if (path != NULL && poa_file_hold(path, &fd, &why) != POA_OK)
        return cli_fail("%s", why.text);
    int rc = run(c);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int token_new(const struct cli *c)
{
    static struct poa_rpc_tokens tokens;
    const char *path = NULL, *name = c->option[CLI_RIGHT] != NULL ? c->option[CLI_RIGHT] : "read";
    enum poa_rpc_right right = poa_rpc_right_find(name);
    char text[POA_RPC_TOKEN_TEXT];
    struct poa_why why = {{0}};
    if (right == POA_RPC_NOTHING)
        return cli_misuse("--right: %s is none of read, submit, operate", name);
    int rc = load(c, true, &path, &tokens);
    if (rc != 0)
        return rc;
    switch (poa_rpc_tokens_add(&tokens, c->argument[0], right, text)) {
    case POA_OK:
        break;
    case POA_E_EXISTS:
        return cli_fail("%s has a token %s already; `poa token revoke` removes it", path,
                        c->argument[0]);
    case POA_E_LIMIT:
        return cli_fail("%s is full: at most %d tokens", path, POA_RPC_TOKENS_MAX);
    default:
        return cli_misuse("a label has 1 to %d characters and no blanks", POA_RPC_TOKEN_LABEL_MAX);
    }
    if (poa_rpc_tokens_write(path, &tokens, &why) != POA_OK)
        return cli_fail("%s", why.text);
    rc = c->json ? cli_print_json(json_pack("{s:s, s:s, s:s}", "label", c->argument[0], "right",
                                            name, "token", text))
                 : (puts(text), 0);
    poa_wipe(text, sizeof text);
    return rc;
}

int cli_token_new(const struct cli *c)
{
    return alone(c, token_new);
}

int cli_token_list(const struct cli *c)
{
    static struct poa_rpc_tokens tokens;
    const char *path = NULL;
    int rc = load(c, false, &path, &tokens);
    if (rc != 0)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < tokens.n; i++) {
        const struct poa_rpc_token *t = &tokens.token[i];
        if (c->json)
            json_array_append_new(list, json_pack("{s:s, s:s}", "label", t->label, "right",
                                                  poa_rpc_right_name(t->right)));
        else
            printf("%-8s %s\n", poa_rpc_right_name(t->right), t->label);
    }
    if (c->json)
        return cli_print_json(list);
    json_decref(list);
    return 0;
}

static int token_revoke(const struct cli *c)
{
    static struct poa_rpc_tokens tokens;
    const char *path = NULL;
    struct poa_why why = {{0}};
    int rc = load(c, false, &path, &tokens);
    if (rc != 0)
        return rc;
    size_t i = 0;
    while (i < tokens.n && strcmp(tokens.token[i].label, c->argument[0]) != 0)
        i++;
    if (i == tokens.n)
        return cli_fail("%s has no token %s", path, c->argument[0]);
    memmove(&tokens.token[i], &tokens.token[i + 1], (tokens.n - i - 1) * sizeof tokens.token[0]);
    tokens.n--;
    if (poa_rpc_tokens_write(path, &tokens, &why) != POA_OK)
        return cli_fail("%s", why.text);
    if (c->json)
        return cli_print_json(json_pack("{s:s}", "revoked", c->argument[0]));
    printf("revoked %s; `systemctl reload poad`, or SIGHUP, tells the node\n", c->argument[0]);
    return 0;
}

int cli_token_revoke(const struct cli *c)
{
    return alone(c, token_revoke);
}
