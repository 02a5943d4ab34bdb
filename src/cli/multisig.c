/* poa multisig: accounts of several keys, kept beside the keys as
 * LABEL.multisig: {"m", "limit", "keys": [{"type", "key", "label"}]}. Nothing in
 * the file is secret, but money sent to the address needs it: back it up. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_tx.h"

#define FILE_MAX 16384

static int path_of(const struct cli *c, const char *label, bool create, char *path, size_t n)
{
    if (strchr(label, '/') != NULL) {
        if (create)
            return cli_misuse("%s: a label, without slashes", label);
        return (size_t)snprintf(path, n, "%s", label) < n ? 0 : cli_fail("path too long");
    }
    return cli_label_path(c, label, CLI_MULTISIG, create, path, n) == POA_OK ? 0 : 1;
}

/* TYPE:HEX, or the label of a key here. */
static int read_key(const struct cli *c, const char *text, struct cli_sender *out, uint32_t i)
{
    enum poa_key_type type;
    char name[16];
    const char *colon = strchr(text, ':');
    uint8_t *key = out->keys + (size_t)33 * i;
    if (colon != NULL && (size_t)(colon - text) < sizeof name) {
        memcpy(name, text, (size_t)(colon - text));
        name[colon - text] = 0;
        if (poa_key_type_parse(name, &type) == POA_OK && strlen(colon + 1) == 64 &&
            poa_unhex(colon + 1, key + 1, 32) == POA_OK) {
            key[0] = (uint8_t)type;
            return 0;
        }
        return cli_misuse("%s: a public key of others is bip340:HEX or ed25519:HEX", text);
    }
    char path[600];
    struct poa_keystore_info info;
    struct poa_why why = {{0}};
    if (cli_key_path(c, text, false, path, sizeof path) != POA_OK)
        return 1;
    int rc = poa_keystore_info(path, &info, &why);
    if (rc == POA_E_NOT_FOUND)
        return cli_fail("no key %s here; keys of others are bip340:HEX or ed25519:HEX", text);
    if (rc != POA_OK)
        return cli_fail("%s", why.text);
    key[0] = (uint8_t)info.type;
    memcpy(key + 1, info.pk, 32);
    snprintf(out->label[i], sizeof out->label[i], "%s", info.label);
    return 0;
}

/* The address of what was put together; NULL, or what is wrong with it. */
static const char *finish(struct cli_sender *s, uint32_t keys)
{
    s->policy.keys = (struct poa_list){poa_slice(s->keys, (size_t)33 * keys), keys};
    int rc = poa_address_of(&s->policy, s->address);
    return rc == POA_OK        ? NULL
           : rc == POA_E_RANGE ? "m must be 1 to the number of keys, and no limit goes with m = 1"
                               : "a key is there twice";
}

static json_t *account_json(const struct cli_sender *s)
{
    json_t *keys = json_array();
    for (uint32_t i = 0; i < s->policy.keys.count; i++) {
        const uint8_t *key = s->keys + (size_t)33 * i;
        json_array_append_new(keys,
                              json_pack("{s:s, s:o, s:s}", "type", poa_key_type_name(key[0]), "key",
                                        poa_json_hex(key + 1, 32), "label", s->label[i]));
    }
    return json_pack("{s:o, s:I, s:o, s:o}", "address", poa_json_address(s->address), "m",
                     (json_int_t)s->policy.m, "limit", poa_json_u64(s->policy.limit), "keys", keys);
}

static int print(const struct cli *c, const struct cli_sender *s)
{
    char text[POA_ADDRESS_TEXT_BYTES];
    if (c->json)
        return cli_print_json(account_json(s));
    poa_address_to_text(s->address, text);
    printf("address    %s\nsignatures %u of %u\n", text, (unsigned)s->policy.m,
           (unsigned)s->policy.keys.count);
    if (s->policy.limit > 0)
        printf("limit      %" PRIu64 ", up to which the first key alone may spend\n",
               s->policy.limit);
    for (uint32_t i = 0; i < s->policy.keys.count; i++) {
        char hex[65];
        poa_hex(s->keys + (size_t)33 * i + 1, 32, hex);
        printf("key %-2u     %s:%s %s\n", i, poa_key_type_name(s->keys[33 * i]), hex, s->label[i]);
    }
    return 0;
}

int cli_multisig_new(const struct cli *c)
{
    char path[600];
    struct poa_why why = {{0}};
    uint64_t m = 0, limit = 0;
    uint32_t keys = (uint32_t)c->arguments - 1;
    struct cli_sender s;
    memset(&s, 0, sizeof s);
    if (c->option[CLI_M] == NULL)
        return cli_misuse("say how many signatures it takes: --m M");
    if (!cli_u64("--m", c->option[CLI_M], 1, POA_POLICY_KEYS_MAX, &m) ||
        (c->option[CLI_ALONE] != NULL &&
         !cli_u64("--alone", c->option[CLI_ALONE], 1, UINT64_MAX, &limit)))
        return 2;
    int rc = path_of(c, c->argument[0], true, path, sizeof path);
    for (uint32_t i = 0; rc == 0 && i < keys; i++)
        rc = read_key(c, c->argument[1 + i], &s, i);
    s.policy.m = (uint8_t)m;
    s.policy.limit = limit;
    const char *wrong = rc == 0 ? finish(&s, keys) : NULL;
    if (wrong != NULL)
        return cli_misuse("%s", wrong);
    if (rc != 0)
        return rc;
    if (cli_label_free(c, c->argument[0]) != 0)
        return 1;
    json_t *v = account_json(&s);
    char *text = v != NULL ? json_dumps(v, JSON_INDENT(2)) : NULL;
    json_decref(v);
    if (text == NULL)
        return cli_fail("out of memory");
    rc = poa_file_write(path, text, strlen(text), 0644, POA_FILE_NEW, &why);
    free(text);
    return rc == POA_OK ? print(c, &s) : cli_fail("%s", why.text);
}

static int parse(const char *path, const json_t *v, struct cli_sender *out)
{
    const json_t *keys = json_object_get(v, "keys"), *k;
    size_t i;
    char address[POA_ADDRESS_TEXT_BYTES];
    memset(out, 0, sizeof *out);
    out->policy.m = (uint8_t)cli_number(v, "m");
    out->policy.limit = cli_number(v, "limit");
    bool ok = json_is_array(keys) && json_array_size(keys) <= POA_POLICY_KEYS_MAX &&
              cli_number(v, "m") <= POA_POLICY_KEYS_MAX;
    if (ok)
        json_array_foreach((json_t *)(uintptr_t)keys, i, k)
        {
            enum poa_key_type type;
            uint8_t *key = out->keys + 33 * i;
            const char *hex = cli_text(k, "key");
            ok = ok && poa_key_type_parse(cli_text(k, "type"), &type) == POA_OK &&
                 strlen(hex) == 64 && poa_unhex(hex, key + 1, 32) == POA_OK;
            if (ok)
                key[0] = (uint8_t)type;
            snprintf(out->label[i], sizeof out->label[i], "%s", cli_text(k, "label"));
        }
    if (!ok)
        return cli_fail("%s is damaged", path);
    const char *wrong = finish(out, (uint32_t)json_array_size(keys));
    if (wrong != NULL)
        return cli_fail("%s is damaged: %s", path, wrong);
    poa_address_to_text(out->address, address);
    return strcmp(address, cli_text(v, "address")) == 0
               ? 0
               : cli_fail("%s: its keys do not give its address", path);
}

int cli_multisig(const struct cli *c, const char *label, struct cli_sender *out, bool *found)
{
    char path[600], *text;
    size_t n;
    struct poa_why why = {{0}};
    *found = false;
    if (strchr(label, '/') != NULL && strstr(label, CLI_MULTISIG) == NULL)
        return 0;
    if (path_of(c, label, false, path, sizeof path) != 0)
        return 1;
    int rc = poa_file_read(path, FILE_MAX, 0, &text, &n, &why);
    if (rc == POA_E_NOT_FOUND)
        return 0;
    if (rc != POA_OK)
        return cli_fail("%s", why.text);
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    *found = true;
    rc = v == NULL ? cli_fail("%s is damaged", path) : parse(path, v, out);
    json_decref(v);
    return rc;
}

int cli_multisig_show(const struct cli *c)
{
    struct cli_sender s;
    bool found;
    int rc = cli_multisig(c, c->argument[0], &s, &found);
    if (rc != 0)
        return rc;
    return found ? print(c, &s)
                 : cli_fail("no multisig account %s; `poa multisig new` makes one", c->argument[0]);
}
