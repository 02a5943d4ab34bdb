/* What commands share: errors, JSON, the node, keys. */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli_tx.h"
#include "poa_archive.h"
#include "poa_witness.h"

static void complain(const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "poa: %s\n", text);
}

/* Whether cli_misuse spoke. */
static bool misused;

void cli_begin(void)
{
    misused = false;
}

int cli_exit_code(int rc)
{
    return rc != 0 && misused ? 2 : rc;
}

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    return 1;
}

int cli_new_file(const char *path)
{
    struct poa_why why = {{0}};
    if (strcmp(path, "-") == 0)
        return cli_misuse("--output -: this command writes to a file only, not to standard output");
    return poa_file_absent(path, &why) == POA_OK ? 0 : cli_fail("%s", why.text);
}

int cli_misuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    misused = true;
    return 2;
}

int cli_print_json(json_t *value)
{
    if (value == NULL)
        return cli_fail("out of memory");
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) |
                                       JSON_INDENT(isatty(1) ? 2 : 0));
    json_decref(value);
    if (text == NULL)
        return cli_fail("out of memory");
    puts(text);
    free(text);
    return 0;
}

const char *cli_looks_like(const void *bytes, size_t n)
{
    const char *text = bytes;
    struct poa_genesis g;
    if (n >= 8 && memcmp(text, POA_ARCHIVE_MAGIC, 8) == 0)
        return "; it is an archive: `poa store import FILE DIR` verifies and loads one of a whole "
               "chain, `poa snapshot restore` one of its state";
    if (n >= 8 && memcmp(text, POA_CHAIN_FILE_MAGIC, 8) == 0)
        return "; it is an exported chain of headers: `poa verify chain` checks it";
    if (n > 0 && poa_genesis_decode(poa_slice(text, n), &g) == POA_OK)
        return "; it is a genesis record: `poa genesis show` prints it";
    size_t blank = 0;
    while (blank < n && strchr(" \t\r\n", text[blank]) != NULL)
        blank++;
    return blank < n && (text[blank] == '{' || text[blank] == '[') ? "; it is JSON" : "";
}

const char *cli_file_looks_like(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return "";
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return cli_looks_like(bytes, n);
}

FILE *cli_open_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        cli_fail("cannot open %s: %s", path, strerror(errno));
    } else if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
        cli_fail("%s is a directory: give a file", path);
        fclose(f);
        f = NULL;
    }
    return f;
}

json_t *cli_json_file(const char *path)
{
    json_error_t at;
    bool input = strcmp(path, "-") == 0;
    FILE *f = input ? stdin : cli_open_file(path);
    if (f == NULL)
        return NULL;
    json_t *v = json_loadf(f, JSON_REJECT_DUPLICATES, &at);
    if (!input)
        fclose(f);
    const char *is = v == NULL && !input ? cli_file_looks_like(path) : "";
    if (v == NULL && is[0] != 0 && strstr(is, "JSON") == NULL)
        cli_fail("%s is not JSON%s", path, is);
    else if (v == NULL)
        cli_fail("%s:%d: %s", input ? "standard input" : path, at.line, at.text);
    return v;
}

bool cli_duration(const char *what, const char *text, uint64_t *ms)
{
    char *end = NULL;
    errno = 0;
    double v = strtod(text, &end);
    double unit = strcmp(end, "ms") == 0                 ? 1
                  : strcmp(end, "s") == 0 || end[0] == 0 ? 1000
                  : strcmp(end, "m") == 0                ? 60000
                  : strcmp(end, "h") == 0                ? 3600000
                                                         : 0;
    if (end == text || errno != 0 || unit == 0 || !(v > 0) || v * unit > 1e12) {
        cli_misuse("%s %s: give a duration like 20s, 5m or 500ms", what, text);
        return false;
    }
    *ms = (uint64_t)(v * unit);
    return true;
}

bool cli_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0 || v < min || v > max) {
        cli_misuse("%s: %s is not a number from %" PRIu64 " to %" PRIu64, what, text, min, max);
        return false;
    }
    *out = v;
    return true;
}

const char *cli_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

uint64_t cli_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    if (json_is_integer(v))
        return (uint64_t)json_integer_value(v);
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : 0;
}

/* --- the node ------------------------------------------------------------------------- */

const char *cli_rpc_url(const struct cli *c)
{
    if (c->option[CLI_RPC] != NULL)
        return c->option[CLI_RPC];
    const char *env = getenv("POA_RPC");
    return env != NULL && env[0] != 0 ? env : "http://127.0.0.1:7645";
}

/* The first line of --token-file, which others must not read. */
static int read_token(const char *path, char *out, size_t cap, struct poa_why *why)
{
    char *text = NULL;
    size_t n = 0;
    int rc = poa_file_read(path, 4096, POA_FILE_SECRET, &text, &n, why);
    if (rc != POA_OK)
        return rc;
    text[strcspn(text, "\r\n")] = 0;
    if (text[0] == 0 || strlen(text) >= cap || strpbrk(text, " \t") != NULL)
        rc = poa_because(why, POA_E_CONFIG, "%s: the first line is no token", path);
    else
        memcpy(out, text, strlen(text) + 1);
    poa_wipe(text, n);
    free(text);
    return rc;
}

bool cli_fingerprint(const char *text, uint8_t out32[32])
{
    char hex[65];
    size_t n = 0;
    for (; *text && n < 64; text++)
        if (*text != ':')
            hex[n++] = *text;
    hex[n] = 0;
    return !*text && n == 64 && poa_unhex(hex, out32, 32) == POA_OK;
}

int cli_client(const struct cli *c, uint32_t timeout_ms, struct poa_rpc_client **out)
{
    struct poa_rpc_trust trust = {.cacert = c->option[CLI_CACERT]};
    struct poa_why why = {{0}};
    const char *pin = c->option[CLI_PIN], *file = c->option[CLI_TOKEN_FILE];
    int rc = POA_OK;
    if (file == NULL)
        file = getenv("POA_TOKEN_FILE");
    trust.pinned = pin != NULL && cli_fingerprint(pin, trust.pin32);
    if (file != NULL && file[0])
        rc = read_token(file, trust.token, sizeof trust.token, &why);
    if (rc != POA_OK)
        return cli_fail("%s", why.text), rc;
    rc = poa_rpc_client_new(cli_rpc_url(c), &trust, timeout_ms, out, &why);
    poa_wipe(trust.token, sizeof trust.token);
    if (rc == POA_E_CONFIG)
        cli_misuse("%s", why.text);
    else if (rc != POA_OK)
        cli_fail("%s", why.text);
    return rc;
}

uint32_t cli_timeout_ms(const struct cli *c)
{
    const char *text = c->option[CLI_TIMEOUT];
    return 1000 * (uint32_t)(text != NULL ? strtoull(text, NULL, 10) : 10);
}

int cli_call_about(const struct cli *c, const char *about, const char *method, json_t *params,
                   json_t **result)
{
    struct poa_why why = {{0}};
    struct poa_rpc_client *client = NULL;
    int rc = cli_client(c, cli_timeout_ms(c), &client);
    if (rc != POA_OK) {
        json_decref(params);
        return rc;
    }
    rc = poa_rpc_client_call(client, method, params, result, &why);
    poa_rpc_client_free(client);
    const char *bare = poa_error_text(POA_E_NOT_FOUND); /* else the node says why */
    bool plain = strncmp(why.text, bare, strlen(bare)) == 0;
    if (rc == POA_E_NOT_FOUND && about != NULL && plain)
        cli_fail("%s: not known to the node at %s", about, cli_rpc_url(c));
    else if (rc == POA_E_NOT_FOUND && about != NULL)
        cli_fail("%s: %s", about, why.text);
    else if (rc != POA_OK)
        cli_fail("%s", why.text);
    return rc;
}

int cli_call(const struct cli *c, const char *method, json_t *params, json_t **result)
{
    return cli_call_about(c, NULL, method, params, result);
}

/* --- keys -------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void cli_remove_tree(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int cli_make_dirs(const char *path)
{
    char part[512];
    size_t n = strlen(path);
    if (n == 0)
        return cli_fail("the name of a directory is empty"), POA_E_CONFIG;
    if (n >= sizeof part)
        return cli_fail("%.100s...: path too long", path), POA_E_LIMIT;
    for (size_t i = 1; i <= n; i++)
        if (path[i] == '/' || path[i] == 0) {
            memcpy(part, path, i);
            part[i] = 0;
            if (mkdir(part, 0700) != 0 && errno != EEXIST)
                return cli_fail("cannot make the directory %s: %s", part, strerror(errno)),
                       POA_E_IO;
        }
    return POA_OK;
}

int cli_keys_dir(const struct cli *c, bool create, char *dir, size_t n)
{
    const char *env = getenv("POA_KEYS"), *home = getenv("HOME");
    int k;
    if (c->option[CLI_KEYS] != NULL)
        k = snprintf(dir, n, "%s", c->option[CLI_KEYS]);
    else if (env != NULL && env[0] != 0)
        k = snprintf(dir, n, "%s", env);
    else if (home != NULL && home[0] != 0)
        k = snprintf(dir, n, "%s/.poa/keys", home);
    else
        return cli_fail("no home directory: say where keys are with --keys DIR"), POA_E_CONFIG;
    if (k <= 0 || (size_t)k >= n)
        return cli_misuse("the directory of keys has too long a name"), POA_E_LIMIT;
    return create ? cli_make_dirs(dir) : POA_OK;
}

int cli_key_path(const struct cli *c, const char *label, bool create, char *path, size_t n)
{
    if (strchr(label, '/') != NULL && !create) {
        if ((size_t)snprintf(path, n, "%s", label) >= n)
            return cli_misuse("%.100s...: path too long", label), POA_E_LIMIT;
        return POA_OK;
    }
    char dir[512];
    struct poa_why why = {{0}};
    int rc = cli_keys_dir(c, create, dir, sizeof dir);
    if (rc != POA_OK)
        return rc;
    rc = poa_keystore_path(dir, label, path, n, &why);
    if (rc != POA_OK)
        cli_misuse("%.80s: %s", label, why.text);
    return rc;
}

/* Reads a line from the terminal without showing it. */
static int ask_secretly(const char *prompt, struct poa_passphrase *out)
{
    FILE *tty = fopen("/dev/tty", "r+");
    if (tty == NULL)
        return cli_fail("no terminal to ask for the passphrase: use --passphrase-file FILE"),
               POA_E_PASSPHRASE;
    setbuf(tty, NULL);
    struct termios before, quiet;
    bool terminal = tcgetattr(fileno(tty), &before) == 0;
    quiet = before;
    quiet.c_lflag &= (tcflag_t)~ECHO;
    fputs(prompt, tty);
    if (terminal)
        tcsetattr(fileno(tty), TCSAFLUSH, &quiet);
    char *got = fgets(out->text, sizeof out->text, tty);
    if (terminal)
        tcsetattr(fileno(tty), TCSAFLUSH, &before);
    fputs("\n", tty);
    fclose(tty);
    if (got == NULL)
        return cli_fail("no passphrase"), POA_E_PASSPHRASE;
    out->n = strcspn(out->text, "\n");
    out->text[out->n] = 0;
    return POA_OK;
}

int cli_passphrase(const struct cli *c, const char *label, bool confirm, struct poa_passphrase *out)
{
    struct poa_why why = {{0}};
    memset(out, 0, sizeof *out);
    if (c->option[CLI_PASSPHRASE_FILE] != NULL) {
        const char *file = c->option[CLI_PASSPHRASE_FILE];
        int rc = poa_passphrase_read(file, out, &why);
        if (rc == POA_OK && out->n == 0 && confirm)
            rc = poa_because(&why, POA_E_PASSPHRASE,
                             "%s: the first line is empty, which protects nothing: say "
                             "--no-passphrase to mean it",
                             file);
        if (rc != POA_OK)
            cli_fail("%s", why.text);
        return rc;
    }
    char prompt[128];
    snprintf(prompt, sizeof prompt, "Passphrase for %.64s: ", label);
    int rc = ask_secretly(prompt, out);
    if (rc != POA_OK || !confirm)
        return rc;
    if (out->n == 0)
        return cli_fail("an empty passphrase protects nothing: say --no-passphrase to mean it"),
               POA_E_PASSPHRASE;
    struct poa_passphrase again;
    memset(&again, 0, sizeof again);
    rc = ask_secretly("Once more: ", &again);
    if (rc == POA_OK && (again.n != out->n || memcmp(again.text, out->text, out->n) != 0))
        rc = (cli_fail("the passphrases differ"), POA_E_PASSPHRASE);
    poa_wipe(&again, sizeof again);
    return rc;
}

int cli_no_key(const struct cli *c, const char *label)
{
    uint8_t address[32];
    bool watched = false;
    if (cli_watched(c, label, address, &watched) != 0)
        return 1;
    return watched
               ? cli_fail("%s is only watched: its key is not here", label)
               : cli_fail("no key %s; `poa keys list` shows what there is, `poa keys new` makes "
                          "one",
                          label);
}

int cli_open_key(const struct cli *c, const char *label, struct poa_keystore_info *info,
                 uint8_t secret32[32])
{
    char path[600];
    struct poa_why why = {{0}};
    int rc = cli_key_path(c, label, false, path, sizeof path);
    if (rc != POA_OK)
        return rc;
    rc = poa_keystore_info(path, info, &why);
    struct poa_passphrase pass;
    memset(&pass, 0, sizeof pass);
    if (rc == POA_OK && !info->no_passphrase) {
        rc = cli_passphrase(c, info->label, false, &pass);
        if (rc != POA_OK)
            return rc;
    }
    if (rc == POA_OK)
        rc = poa_keystore_open(path, &pass, info, secret32, &why);
    poa_wipe(&pass, sizeof pass);
    if (rc == POA_E_NOT_FOUND)
        cli_no_key(c, label);
    else if (rc != POA_OK)
        cli_fail("%s", why.text);
    return rc;
}

int cli_address(const struct cli *c, const char *text, uint8_t address32[32])
{
    enum poa_address_fault fault = POA_ADDRESS_FINE;
    if (poa_address_from_text(text, address32, &fault) == POA_OK)
        return POA_OK;
    if (strncasecmp(text, POA_ADDRESS_HRP "1", 4) == 0)
        return cli_misuse("%s: %s", text, poa_address_fault_text(fault)), POA_E_TEXT;
    struct cli_sender account;
    bool found;
    if (cli_multisig(c, text, &account, &found) != 0)
        return POA_E_CONFIG;
    if (found) {
        memcpy(address32, account.address, 32);
        return POA_OK;
    }
    if (cli_watched(c, text, address32, &found) != 0)
        return POA_E_CONFIG;
    if (found)
        return POA_OK;
    char path[600];
    struct poa_keystore_info info;
    struct poa_why why = {{0}};
    int rc = cli_key_path(c, text, false, path, sizeof path);
    if (rc != POA_OK)
        return rc;
    rc = poa_keystore_info(path, &info, &why);
    if (rc == POA_E_NOT_FOUND)
        cli_fail("%s is neither an address (poa1...) nor a key here", text);
    else if (rc != POA_OK)
        cli_fail("%s", why.text);
    else
        memcpy(address32, info.address, 32);
    return rc;
}
