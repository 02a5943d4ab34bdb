/* poa keys watch, forget: labels of addresses whose keys are elsewhere, kept beside the keys as
 * LABEL.watch: {"address"}. A label names one thing: a key, an account of several, or an address.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_tx.h"

#define FILE_MAX 4096

int cli_label_path(const struct cli *c, const char *label, const char *suffix, bool create,
                   char *path, size_t n)
{
    int rc = cli_key_path(c, label, create, path, n);
    if (rc != POA_OK)
        return rc;
    size_t end = strlen(path) - strlen(".json");
    if (end + strlen(suffix) >= n)
        return cli_misuse("%.80s: path too long", label), POA_E_LIMIT;
    strcpy(path + end, suffix);
    return POA_OK;
}

int cli_label_free(const struct cli *c, const char *label)
{
    static const struct {
        const char *suffix, *what;
    } kinds[] = {{".json", "a key"}, {CLI_MULTISIG, "a multisig account"}, {CLI_WATCH, "watched"}};
    char path[600];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (cli_label_path(c, label, kinds[i].suffix, true, path, sizeof path) != POA_OK)
            return 1;
        if (access(path, F_OK) == 0)
            return cli_fail("%s is there already, %s: choose another label", path, kinds[i].what);
    }
    return 0;
}

/* The address in the file PATH. POA_E_NOT_FOUND without a line. */
static int read_watch(const char *path, uint8_t address32[32])
{
    char *text;
    size_t n;
    struct poa_why why = {{0}};
    int rc = poa_file_read(path, FILE_MAX, 0, &text, &n, &why);
    if (rc != POA_OK) {
        if (rc != POA_E_NOT_FOUND)
            cli_fail("%s", why.text);
        return rc;
    }
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    rc = poa_address_from_text(cli_text(v, "address"), address32, NULL);
    json_decref(v);
    return rc == POA_OK ? POA_OK : (cli_fail("%s is damaged", path), POA_E_TEXT);
}

int cli_watched(const struct cli *c, const char *label, uint8_t address32[32], bool *found)
{
    char path[600];
    *found = false;
    if (strchr(label, '/') != NULL)
        return 0;
    if (cli_label_path(c, label, CLI_WATCH, false, path, sizeof path) != POA_OK)
        return 1;
    int rc = read_watch(path, address32);
    *found = rc == POA_OK;
    return rc == POA_OK || rc == POA_E_NOT_FOUND ? 0 : 1;
}

static json_t *watch_json(const char *label, const char *kind, const uint8_t address32[32],
                          const char *path)
{
    return json_pack("{s:s, s:s, s:o, s:s}", "label", label, "kind", kind, "address",
                     poa_json_address(address32), "path", path);
}

int cli_print_watched(const struct cli *c, const char *label, const uint8_t address32[32])
{
    char path[600], text[POA_ADDRESS_TEXT_BYTES];
    if (cli_label_path(c, label, CLI_WATCH, false, path, sizeof path) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(watch_json(label, "watched", address32, path));
    poa_address_to_text(address32, text);
    printf("label    %s\nkind     watched: its key is elsewhere\naddress  %s\nfile     %s\n", label,
           text, path);
    return 0;
}

int cli_keys_watch(const struct cli *c)
{
    const char *label = c->argument[0];
    uint8_t address[32];
    char path[600], text[POA_ADDRESS_TEXT_BYTES], json[POA_ADDRESS_TEXT_BYTES + 32];
    enum poa_address_fault fault = POA_ADDRESS_FINE;
    struct poa_why why = {{0}};
    if (poa_address_from_text(c->argument[1], address, &fault) != POA_OK)
        return cli_misuse("%s: %s", c->argument[1], poa_address_fault_text(fault));
    if (cli_label_free(c, label) != 0 ||
        cli_label_path(c, label, CLI_WATCH, true, path, sizeof path) != POA_OK)
        return 1;
    poa_address_to_text(address, text);
    int n = snprintf(json, sizeof json, "{\n  \"address\": \"%s\"\n}\n", text);
    if (poa_file_write(path, json, (size_t)n, 0644, POA_FILE_NEW, &why) != POA_OK)
        return cli_fail("%s", why.text);
    return cli_print_watched(c, label, address);
}

int cli_keys_forget(const struct cli *c)
{
    const char *label = c->argument[0];
    uint8_t address[32];
    char path[600];
    bool found;
    if (cli_watched(c, label, address, &found) != 0)
        return 1;
    if (!found)
        return cli_fail("%s is not watched; only watched addresses are forgotten, never keys",
                        label);
    if (cli_label_path(c, label, CLI_WATCH, false, path, sizeof path) != POA_OK)
        return 1;
    if (unlink(path) != 0)
        return cli_fail("%s: %s", path, strerror(errno));
    if (c->json)
        return cli_print_json(watch_json(label, "watched", address, path));
    printf("forgot %s\n", label);
    return 0;
}

/* --- lists ------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    return n > k && name[0] != '.' && strcmp(name + n - k, suffix) == 0;
}

static int is_other(const struct dirent *d)
{
    return ends_with(d->d_name, CLI_MULTISIG) || ends_with(d->d_name, CLI_WATCH);
}

static int one_label(const struct cli *c, const char *dir, const char *name, json_t *list)
{
    char label[POA_KEY_LABEL_MAX + 1], path[1024], text[POA_ADDRESS_TEXT_BYTES];
    bool multisig = ends_with(name, CLI_MULTISIG), found = false;
    size_t n = strlen(name) - strlen(multisig ? CLI_MULTISIG : CLI_WATCH);
    struct cli_sender s;
    if (n > POA_KEY_LABEL_MAX)
        return 0;
    memcpy(label, name, n);
    label[n] = 0;
    snprintf(path, sizeof path, "%.512s/%.200s", dir, name);
    int rc =
        multisig ? cli_multisig(c, label, &s, &found) : cli_watched(c, label, s.address, &found);
    if (rc != 0 || !found)
        return rc;
    const char *kind = multisig ? "multisig" : "watched";
    poa_address_to_text(s.address, text);
    if (list != NULL)
        json_array_append_new(list, watch_json(label, kind, s.address, path));
    else
        printf("%-20s %-8s %-8s %s\n", label, kind, "-", text);
    return 0;
}

int cli_list_labels(const struct cli *c, const char *dir, json_t *list, size_t *count)
{
    struct dirent **names;
    int rc = 0, n = scandir(dir, &names, is_other, alphasort);
    for (int i = 0; i < n; i++) {
        if (one_label(c, dir, names[i]->d_name, list) != 0)
            rc = 1;
        (*count)++;
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return rc;
}
