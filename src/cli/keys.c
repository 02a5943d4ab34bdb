/* poa keys */
#include <stdio.h>
#include <string.h>

#include "cli_tx.h"

static json_t *info_json(const struct poa_keystore_info *info, const char *path)
{
    char pk[65], address[POA_ADDRESS_TEXT_BYTES];
    poa_hex(info->pk, 32, pk);
    poa_address_to_text(info->address, address);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s}", "label", info->label, "kind",
                     poa_key_kind_name((uint8_t)info->kind), "type",
                     poa_key_type_name((uint8_t)info->type), "public", pk, "address", address,
                     "passphrase", (int)!info->no_passphrase, "path", path);
}

static int show(const struct cli *c, const struct poa_keystore_info *info, const char *path)
{
    if (c->json)
        return cli_print_json(info_json(info, path));
    char pk[65], address[POA_ADDRESS_TEXT_BYTES];
    poa_hex(info->pk, 32, pk);
    poa_address_to_text(info->address, address);
    printf("label    %s\nkind     %s\ntype     %s\npublic   %s\naddress  %s\nfile     %s%s\n",
           info->label, poa_key_kind_name((uint8_t)info->kind),
           poa_key_type_name((uint8_t)info->type), pk, address, path,
           info->no_passphrase ? " (no passphrase)" : "");
    return 0;
}

/* Kind and type from the options. */
static int kind_and_type(const struct cli *c, enum poa_key_kind *kind, enum poa_key_type *type)
{
    *kind = POA_KEY_ACCOUNT;
    if (c->option[CLI_KIND] != NULL && poa_key_kind_parse(c->option[CLI_KIND], kind) != POA_OK)
        return cli_misuse("--kind is account, node or device");
    *type = *kind == POA_KEY_ACCOUNT ? POA_KEY_BIP340 : POA_KEY_ED25519;
    if (c->option[CLI_TYPE] != NULL && poa_key_type_parse(c->option[CLI_TYPE], type) != POA_OK)
        return cli_misuse("--type is bip340 or ed25519");
    if (*kind != POA_KEY_ACCOUNT && *type != POA_KEY_ED25519)
        return cli_misuse("--type: the key of a %s is an ed25519 key", c->option[CLI_KIND]);
    return 0;
}

static int store(const struct cli *c, enum poa_key_kind kind, enum poa_key_type type,
                 const uint8_t secret32[32])
{
    const char *label = c->argument[0];
    char path[600];
    struct poa_why why = {{0}};
    struct poa_passphrase pass;
    struct poa_keystore_info info;
    memset(&pass, 0, sizeof pass);
    if (cli_key_path(c, label, true, path, sizeof path) != POA_OK || cli_label_free(c, label) != 0)
        return 1;
    if (c->option[CLI_NO_PASSPHRASE] == NULL && cli_passphrase(c, label, true, &pass) != POA_OK)
        return 1;
    int rc = poa_keystore_create(path, kind, type, label, secret32, &pass, POA_KEYSTORE_MODERATE,
                                 &info, &why);
    poa_wipe(&pass, sizeof pass);
    return rc == POA_OK ? show(c, &info, path) : cli_fail("%s", why.text);
}

int cli_keys_new(const struct cli *c)
{
    enum poa_key_kind kind;
    enum poa_key_type type;
    int rc = kind_and_type(c, &kind, &type);
    if (rc != 0)
        return rc;
    uint8_t secret[32], pk[32];
    if (poa_key_new(type, secret, pk) != POA_OK)
        return cli_fail("cannot make a key");
    rc = store(c, kind, type, secret);
    poa_wipe(secret, sizeof secret);
    return rc;
}

int cli_keys_import(const struct cli *c)
{
    enum poa_key_kind kind;
    enum poa_key_type type;
    int rc = kind_and_type(c, &kind, &type);
    if (rc != 0)
        return rc;
    const char *file = c->option[CLI_SECRET_FILE];
    if (file == NULL)
        return cli_misuse("say where the secret is: --secret-file FILE, or - for standard input "
                          "(never on the command line, where others can see it)");
    if (cli_label_free(c, c->argument[0]) != 0)
        return 1;
    struct poa_passphrase text; /* a line that is wiped: what a secret needs */
    memset(&text, 0, sizeof text);
    struct poa_why why = {{0}};
    if (strcmp(file, "-") == 0) {
        if (fgets(text.text, sizeof text.text, stdin) == NULL)
            return cli_fail("standard input is empty");
        text.text[strcspn(text.text, "\n")] = 0;
    } else if (poa_passphrase_read(file, &text, &why) != POA_OK) {
        return cli_fail("%s", why.text);
    }
    uint8_t secret[32];
    if (poa_unhex(text.text, secret, sizeof secret) != POA_OK)
        rc = cli_fail("%s does not hold 64 hex digits", file);
    else
        rc = store(c, kind, type, secret);
    poa_wipe(&text, sizeof text);
    poa_wipe(secret, sizeof secret);
    return rc;
}

int cli_keys_show(const struct cli *c)
{
    char path[600];
    struct poa_why why = {{0}};
    struct poa_keystore_info info;
    if (cli_key_path(c, c->argument[0], false, path, sizeof path) != POA_OK)
        return 1;
    uint8_t address[32];
    bool watched = false;
    int rc = poa_keystore_info(path, &info, &why);
    if (rc == POA_E_NOT_FOUND && cli_watched(c, c->argument[0], address, &watched) != 0)
        return 1;
    if (watched)
        return cli_print_watched(c, c->argument[0], address);
    if (rc == POA_E_NOT_FOUND)
        return cli_fail("no key %s; `poa keys list` shows what there is", c->argument[0]);
    return rc == POA_OK ? show(c, &info, path) : cli_fail("%s", why.text);
}

int cli_keys_export(const struct cli *c)
{
    const char *file = c->option[CLI_OUTPUT];
    if (file == NULL)
        return cli_misuse("say where to: --output FILE, or - for standard output");
    struct poa_keystore_info info;
    uint8_t secret[32];
    if (cli_open_key(c, c->argument[0], &info, secret) != POA_OK)
        return 1;
    char text[66];
    poa_hex(secret, sizeof secret, text);
    text[64] = '\n';
    text[65] = 0;
    int rc = 0;
    struct poa_why why = {{0}};
    if (strcmp(file, "-") == 0)
        fputs(text, stdout);
    else if (poa_file_write(file, text, 65, 0600, POA_FILE_NEW, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    poa_wipe(secret, sizeof secret);
    poa_wipe(text, sizeof text);
    return rc;
}

struct listing {
    bool json;
    json_t *items;
    bool failed;
    size_t n;
};

static bool list_one(void *ctx, const char *path, int rc, const struct poa_keystore_info *info,
                     const struct poa_why *why)
{
    struct listing *l = ctx;
    if (rc != POA_OK) {
        cli_fail("%s", why->text);
        l->failed = true;
        return true;
    }
    l->n++;
    if (l->json) {
        json_array_append_new(l->items, info_json(info, path));
        return true;
    }
    char address[POA_ADDRESS_TEXT_BYTES], pk[65];
    poa_address_to_text(info->address, address);
    poa_hex(info->pk, 32, pk);
    printf("%-20s %-8s %-8s %s\n", info->label, poa_key_kind_name((uint8_t)info->kind),
           poa_key_type_name((uint8_t)info->type), info->kind == POA_KEY_ACCOUNT ? address : pk);
    return true;
}

int cli_keys_list(const struct cli *c)
{
    char dir[512];
    struct poa_why why = {{0}};
    if (cli_keys_dir(c, false, dir, sizeof dir) != POA_OK)
        return 1;
    struct listing l = {c->json, json_array(), false, 0};
    int rc = poa_keystore_list(dir, list_one, &l, &why);
    if (rc != POA_OK && rc != POA_E_NOT_FOUND) {
        json_decref(l.items);
        return cli_fail("%s", why.text);
    }
    if (cli_list_labels(c, dir, l.json ? l.items : NULL, &l.n) != 0)
        l.failed = true;
    if (l.json)
        return cli_print_json(l.items) != 0 || l.failed;
    json_decref(l.items);
    if (l.n == 0 && !l.failed)
        fprintf(stderr, "no keys in %s; `poa keys new LABEL` makes one\n", dir);
    return l.failed;
}
