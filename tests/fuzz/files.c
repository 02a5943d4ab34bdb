/* Files that a node reads at start: configuration, genesis in both forms, key
 * files. What is refused comes with a reason; what is accepted is written again
 * and means the same. Files live in memory. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "ledger.h"
#include "poa_config.h"
#include "poa_genesis_json.h"
#include "poa_keystore.h"

enum mode { CONFIG, GENESIS, GENESIS_JSON, KEY, PASSPHRASE, OPTION, MODES };

static int file(struct poa_slice bytes, char path[64])
{
    int fd = memfd_create("fuzz", 0);
    FUZZ_CHECK(fd >= 0 && !fchmod(fd, 0600));
    for (size_t at = 0; at < bytes.n;) {
        ssize_t n = write(fd, bytes.p + at, bytes.n - at);
        FUZZ_CHECK(n > 0);
        at += (size_t)n;
    }
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static char *printed(const struct poa_config *c, size_t *n)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    FUZZ_CHECK(f != NULL);
    poa_config_print(c, f);
    FUZZ_CHECK(!fclose(f) && text);
    return text;
}

/* C prints, reads back, and prints the same. */
static void config_again(const struct poa_config *c)
{
    static struct poa_config again;
    char path[64];
    size_t n, m;
    struct poa_why why = {""};
    char *first = printed(c, &n);
    int fd = file(poa_slice(first, n), path);
    poa_config_defaults(&again);
    int e = poa_config_read(&again, path, &why);
    if (e)
        fprintf(stderr, "%s\n", why.text);
    FUZZ_CHECK(!e);
    char *second = printed(&again, &m);
    FUZZ_CHECK(n == m && !memcmp(first, second, n));
    close(fd);
    free(first);
    free(second);
}

static void config(const char *path)
{
    static struct poa_config c;
    struct poa_why why = {""};
    poa_config_defaults(&c);
    int e = poa_config_read(&c, path, &why);
    FUZZ_CHECK(!e || (e == POA_E_CONFIG && why.text[0]));
    if (e)
        return;
    config_again(&c);
    e = poa_config_check(&c, &why);
    FUZZ_CHECK(!e || why.text[0]);
    FUZZ_CHECK(e || c.ledger || c.trusted);
}

/* As options give them: any bytes but zero. */
static void option(struct fuzz_in *in)
{
    static struct poa_config c;
    struct poa_why why = {""};
    poa_config_defaults(&c);
    while (in->n) {
        char name[40], value[600];
        struct poa_slice s = fuzz_slice(in, fuzz_u8(in) % sizeof name);
        snprintf(name, sizeof name, "%.*s", (int)s.n, s.n ? (const char *)s.p : "");
        s = fuzz_slice(in, fuzz_u16(in) % sizeof value);
        snprintf(value, sizeof value, "%.*s", (int)s.n, s.n ? (const char *)s.p : "");
        int e = poa_config_set(&c, name, value, &why);
        FUZZ_CHECK(!e || (e == POA_E_CONFIG && why.text[0]));
    }
    config_again(&c);
    FUZZ_CHECK(!poa_config_check(&c, &why) || why.text[0]);
}

static void genesis(const char *path)
{
    uint8_t *bytes = NULL, *again = NULL;
    size_t n = 0, m = 0;
    struct poa_genesis g;
    struct poa_why why = {""};
    int e = poa_genesis_load(path, &bytes, &n, &g, &why);
    FUZZ_CHECK(!e || (e == POA_E_CONFIG && why.text[0]));
    if (e)
        return;
    json_t *v = poa_genesis_to_json(poa_slice(bytes, n));
    FUZZ_CHECK(v != NULL);
    FUZZ_CHECK(!poa_genesis_from_json(v, &again, &m, &why));
    FUZZ_CHECK(n == m && !memcmp(bytes, again, n));
    json_decref(v);
    free(bytes);
    free(again);
}

/* JSON to record without the rules of a genesis, which few mutations meet. */
static void genesis_json(const char *text, size_t n)
{
    uint8_t *bytes = NULL, *again = NULL;
    size_t bytes_n = 0, again_n = 0;
    struct poa_why why = {""};
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (!v)
        return;
    int e = poa_genesis_from_json(v, &bytes, &bytes_n, &why);
    FUZZ_CHECK(!e || (e == POA_E_CONFIG && why.text[0]));
    json_decref(v);
    if (e)
        return;
    struct poa_genesis g;
    const char *reason = NULL;
    FUZZ_CHECK(!poa_genesis_decode(poa_slice(bytes, bytes_n), &g));
    if (!poa_genesis_check(&g, &reason)) {
        v = poa_genesis_to_json(poa_slice(bytes, bytes_n));
        FUZZ_CHECK(v && !poa_genesis_from_json(v, &again, &again_n, &why));
        FUZZ_CHECK(bytes_n == again_n && !memcmp(bytes, again, bytes_n));
        json_decref(v);
        free(again);
    }
    free(bytes);
}

static void key(const char *path)
{
    struct poa_keystore_info info, opened;
    struct poa_why why = {""};
    uint8_t secret[32], pk[32];
    int e = poa_keystore_info(path, &info, &why);
    FUZZ_CHECK(e <= 0 && (!e || why.text[0]));
    if (e)
        return;
    FUZZ_CHECK(info.label[0] && strlen(info.label) <= POA_KEY_LABEL_MAX);
    FUZZ_CHECK(!strchr(info.label, '/'));
    if (!info.no_passphrase)
        return; /* deriving a key is slow on purpose */
    e = poa_keystore_open(path, NULL, &opened, secret, &why);
    FUZZ_CHECK(e <= 0 && (!e || why.text[0]));
    if (e)
        return;
    FUZZ_CHECK(!poa_key_public(opened.type, secret, pk) && !memcmp(pk, opened.pk, 32));
    FUZZ_CHECK(!strcmp(info.label, opened.label) && info.kind == opened.kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    enum mode mode = fuzz_u8(&in) % MODES;
    struct poa_why why = {""};
    char path[64];
    int fd;
    if (mode == OPTION) {
        option(&in);
        return 0;
    }
    if (mode == GENESIS_JSON) {
        char *exact = (char *)fuzz_copy(in.p, in.n);
        genesis_json(exact, in.n);
        free(exact);
        return 0;
    }
    fd = file(poa_slice(in.p, in.n), path);
    if (mode == CONFIG) {
        config(path);
    } else if (mode == GENESIS) {
        genesis(path);
    } else if (mode == KEY) {
        key(path);
    } else {
        struct poa_passphrase pass;
        int e = poa_passphrase_read(path, &pass, &why);
        FUZZ_CHECK(e <= 0 && (!e || why.text[0]));
        if (!e)
            FUZZ_CHECK(strlen(pass.text) == pass.n && !strchr(pass.text, '\n'));
    }
    close(fd);
    return 0;
}

void fuzz_seeds(void)
{
    static struct poa_config c;
    static uint8_t buffer[65536];
    static const char *const kinds[] = {"account", "node"};
    struct poa_writer w;
    struct poa_why why;
    size_t n;
#define BEGIN(mode) w = poa_writer_over(buffer, sizeof buffer), poa_write_u8(&w, mode)
    poa_config_defaults(&c);
    FUZZ_CHECK(!poa_config_set(&c, "role", "trusted", &why));
    FUZZ_CHECK(!poa_config_set(
        &c, "peer", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef@host:7640",
        &why));
    char *text = printed(&c, &n);
    BEGIN(CONFIG);
    poa_write(&w, text, n);
    fuzz_seed("config", w.p, w.n);
    free(text);
#define SEED(name, mode, literal)                                                                  \
    BEGIN(mode);                                                                                   \
    poa_write(&w, literal, sizeof literal - 1);                                                    \
    fuzz_seed(name, w.p, w.n)
    SEED("config-short", CONFIG, "# node\nrole = ledger,trusted\nrpc=off\ngateway = [::1]:7\n");
    SEED("option", OPTION,
         "\x04"
         "name"
         "\x03\0a b"
         "\x07"
         "workers"
         "\x01\0"
         "3");
    SEED("passphrase", PASSPHRASE, "correct horse\n");

    BEGIN(GENESIS);
    fuzz_genesis_write(&poa_suite_ed25519, 4, &w);
    fuzz_seed("genesis", w.p, w.n);
    json_t *v = poa_genesis_to_json(poa_slice(w.p + 1, w.n - 1));
    char *json = json_dumps(v, JSON_INDENT(1));
    FUZZ_CHECK(json != NULL);
    for (int mode = GENESIS; mode <= GENESIS_JSON; mode++) {
        BEGIN((uint8_t)mode);
        poa_write(&w, json, strlen(json));
        FUZZ_CHECK(!w.overflow);
        fuzz_seed(mode == GENESIS ? "genesis-file" : "genesis-json", w.p, w.n);
    }
    free(json);
    json_decref(v);

    for (int i = 0; i < 2; i++) {
        char path[64], name[24];
        uint8_t secret[32];
        memset(secret, 3 + i, sizeof secret);
        snprintf(path, sizeof path, "/tmp/fuzz-key-%d.json", (int)getpid());
        FUZZ_CHECK(!poa_keystore_create(path, i ? POA_KEY_NODE : POA_KEY_ACCOUNT,
                                        i ? POA_KEY_ED25519 : POA_KEY_BIP340, "wallet-1", secret,
                                        NULL, POA_KEYSTORE_CHEAP, NULL, &why));
        FUZZ_CHECK(!poa_file_read(path, 8192, 0, &text, &n, &why));
        unlink(path);
        BEGIN(KEY);
        poa_write(&w, text, n);
        snprintf(name, sizeof name, "key-%s", kinds[i]);
        fuzz_seed(name, w.p, w.n);
        free(text);
    }
}
