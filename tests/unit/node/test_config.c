/* The configuration: what the table says holds for the file, the options and
 * what is printed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_config.h"

static struct poa_config c;
static struct poa_why why;

static void defaults(void)
{
    poa_config_defaults(&c);
    memset(&why, 0, sizeof why);
}
TestSuite(config, .init = defaults);

#define KEY_A  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef4"
#define KEY_B  "10112233445566778899aabbccddeeff00112233445566778899aabbccddeee7"
#define NO_KEY "abababababababababababababababababababababababababababababababab"

/* A file with TEXT; the name is static. */
static const char *file_of(const char *text)
{
    static char path[256];
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/poa-config.%ld", tmp ? tmp : "/tmp", (long)getpid());
    FILE *f = fopen(path, "w");
    cr_assert(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static int read_text(const char *text)
{
    const char *path = file_of(text);
    int rc = poa_config_read(&c, path, &why);
    unlink(path);
    return rc;
}

static void within(const char *name, uint64_t value, uint64_t min, uint64_t max)
{
    cr_assert(value >= min && value <= max, "%s", name);
}

Test(config, defaults_are_within_their_rules)
{
#define DEFAULT_TEXT(name, min)     strlen(c.name)
#define DEFAULT_U32(name, min)      c.name
#define DEFAULT_U32_OR_0(name, min) (c.name ? c.name : (min))
#define DEFAULT_FLAG(name, min)     c.name
#define ROW(type, name, unit, min, max, def, help)                                                 \
    cr_assert_gt(strlen(help), 0);                                                                 \
    within(#name, DEFAULT_##type(name, min), min, max);
    POA_CONFIG_KEYS(ROW)
#undef ROW
    cr_assert_eq(poa_config_check(&c, &why), POA_OK, "%s", why.text);
    cr_assert_str_eq(c.genesis, "poa-data/genesis.poa");
    cr_assert_str_eq(c.key, "poa-data/node.json");
    cr_assert_str_eq(c.gateway, "");
    cr_assert(c.ledger && !c.trusted);
}

Test(config, reads_a_file)
{
    int rc = read_text("# a comment\n"
                       "  data_dir =  /var/lib/poa  \n"
                       "\n"
                       "role=trusted, ledger\r\n"
                       "tx-index = no\n"
                       "checkpoint_s = 7\n"
                       "peer = " KEY_A "@127.0.0.1:7640\n"
                       "peer = " KEY_B "\n");
    cr_assert_eq(rc, POA_OK, "%s", why.text);
    cr_assert_eq(poa_config_check(&c, &why), POA_OK, "%s", why.text);
    cr_assert_str_eq(c.data_dir, "/var/lib/poa");
    cr_assert(c.ledger && c.trusted && !c.tx_index);
    cr_assert_eq(c.checkpoint_s, 7);
    cr_assert_eq(c.peers, 2);
    cr_assert_str_eq(c.peer[0].address, "127.0.0.1:7640");
    cr_assert_eq(c.peer[0].key[1], 0x11);
    cr_assert_str_eq(c.peer[1].address, "");
}

static const struct {
    const char *text, *says;
} bad_files[] = {
    {"no equals sign\n", ":1: \"no equals sign\" is not KEY = VALUE"},
    {"\n\nunknown = 1\n", ":3: \"unknown\" is not a key"},
    {"workers = 65\n", ":1: workers: \"65\" is not a number from 0 to 64 threads"},
    {"workers = -1\n", "is not a number"},
    {"workers = 1x\n", "is not a number"},
    {"workers =\n", "is not a number"},
    {"workers = 1\nworkers = 1\n", ":2: workers is set twice"},
    {"log_json = maybe\n", "neither yes nor no"},
    {"data_dir =\n", ":1: data_dir: must not be empty"},
    {"peer = nonsense\n", "not KEY@HOST:PORT"},
    {"peer = " KEY_A "@host\n", "not HOST:PORT"},
    {"peer = " KEY_A "\npeer = " KEY_A "\n", ":2: peer: 0011223344556677... is listed twice"},
};

Test(config, bad_files_are_refused_with_their_line)
{
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        defaults();
        cr_assert_eq(read_text(bad_files[i].text), POA_E_CONFIG, "%s", bad_files[i].text);
        cr_assert(strstr(why.text, bad_files[i].says), "%s for %s", why.text, bad_files[i].text);
    }
    cr_assert_eq(poa_config_read(&c, "/nonexistent/poad.conf", &why), POA_E_NOT_FOUND);
}

/* --- every key, and what does not fit it ------------------------------------------------- */

/* One line: the file's, with its name, the line and the key; the option's, with the option. */
static void begins(const char *place, const char *key, const char *value)
{
    cr_assert(strncmp(why.text, place, strlen(place)) == 0, "%s = %.60s: %s", key, value, why.text);
    cr_assert(strlen(why.text) > strlen(place) + 8, "%s = %.60s: %s", key, value, why.text);
    cr_assert(!strchr(why.text, '\n') && strlen(why.text) < sizeof why.text - 1, "%s", why.text);
}

static void refused(const char *key, const char *value)
{
    char text[1200], place[400], dashed[64];
    snprintf(text, sizeof text, "# a comment\n%s = %s\n", key, value);
    defaults();
    const char *path = file_of(text);
    int rc = poa_config_read(&c, path, &why);
    if (!rc)
        rc = poa_config_check(&c, &why);
    unlink(path);
    cr_assert_eq(rc, POA_E_CONFIG, "%s = %.60s is accepted", key, value);
    snprintf(place, sizeof place, "%s:2: %s: ", path, key);
    begins(place, key, value);

    snprintf(dashed, sizeof dashed, "%s", key);
    for (char *p = dashed; *p; p++)
        *p = *p == '_' ? '-' : *p;
    defaults();
    rc = poa_config_set(&c, dashed, value, &why);
    if (!rc)
        rc = poa_config_check(&c, &why);
    cr_assert_eq(rc, POA_E_CONFIG, "--%s %.60s is accepted", dashed, value);
    snprintf(place, sizeof place, "--%s: ", dashed);
    begins(place, key, value);
}

static void texts(const char *key, uint64_t min, uint64_t max)
{
    char value[600];
    memset(value, 'x', max + 1);
    value[max + 1] = 0;
    refused(key, value);
    refused(key, "a\tb");
    refused(key, "a\x7f");
    if (min)
        refused(key, "");
}

static void numbers(const char *key, uint64_t min, uint64_t max)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "-1",
                                      "+1",
                                      "1.5",
                                      "1 2",
                                      "1x",
                                      "0x10",
                                      "1e3",
                                      "yes",
                                      "99999999999999999999999999"};
    char value[32];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(key, bad[i]);
    snprintf(value, sizeof value, "%llu", (unsigned long long)max + 1);
    refused(key, value);
    if (min) {
        snprintf(value, sizeof value, "%llu", (unsigned long long)min - 1);
        refused(key, value);
    }
}

static void numbers_or_0(const char *key, uint64_t min, uint64_t max)
{
    cr_assert(min > 1, "%s: 0 is one of them", key);
    numbers(key, min, max);
    refused(key, "1");
    defaults();
    cr_assert_eq(poa_config_set(&c, key, "0", &why), POA_OK, "%s", why.text);
    cr_assert_eq(poa_config_check(&c, &why), POA_OK, "%s", why.text);
}

static void flags(const char *key, uint64_t min, uint64_t max)
{
    static const char *const bad[] = {"", "1", "maybe", "YES", "yes no", "on"};
    (void)min;
    (void)max;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(key, bad[i]);
}

Test(config, every_key_refuses_what_does_not_fit)
{
#define BAD_TEXT                                   texts
#define BAD_U32                                    numbers
#define BAD_U32_OR_0                               numbers_or_0
#define BAD_FLAG                                   flags
#define ROW(type, name, unit, min, max, def, help) BAD_##type(#name, min, max);
    POA_CONFIG_KEYS(ROW)
#undef ROW
    texts("peer", 1, 511);
}

Test(config, every_key_stands_once)
{
    char text[1200], value[64];
    const char *path;
#define VALUE_TEXT(def) snprintf(value, sizeof value, "%s", (const char *)(def))
#define VALUE_U32(def)  snprintf(value, sizeof value, "%u", (unsigned)(def))
#define VALUE_U32_OR_0  VALUE_U32
#define VALUE_FLAG(def) snprintf(value, sizeof value, "%s", (def) ? "yes" : "no")
#define ROW(type, name, unit, min, max, def, help)                                                 \
    VALUE_##type(def);                                                                             \
    snprintf(text, sizeof text, #name " = %s\n\n" #name "=%s\n", value, value);                    \
    defaults();                                                                                    \
    path = file_of(text);                                                                          \
    cr_assert_eq(poa_config_read(&c, path, &why), POA_E_CONFIG, #name);                            \
    cr_assert(strstr(why.text, ":3: " #name " is set twice, first in line 1"), "%s", why.text);    \
    unlink(path);
    POA_CONFIG_KEYS(ROW)
#undef ROW
}

static const struct {
    const char *name, *value, *says;
} bad_values[] = {
    {"role", "ledger,king", "\"king\" is neither"},
    {"role", "ledger, ledger", "ledger is listed twice"},
    {"role", ",", "\"\" is neither"},
    {"log_level", "loud", "none of error"},
    {"listen", "127.0.0.1", "\"127.0.0.1\" is neither"},
    {"listen", "127.0.0.1:65535", "the port after it"},
    {"listen", "a/b:7640", "neither HOST:PORT"},
    {"listen", "300.0.0.1:7640", "neither HOST:PORT"},
    {"advertise", "0.0.0.0:1", "nobody can dial"},
    {"advertise", "[::]:7640", "nobody can dial"},
    {"advertise", "203.0.113.7:0", "1 to 65534"},
    {"advertise", "203.0.113.7:65535", "1 to 65534"},
    {"advertise", "off", "not HOST:PORT"},
    {"rpc", "127.0.0.1:65536", "neither HOST:PORT nor off"},
    {"rpc", "::1:80", "neither HOST:PORT nor off"},
    {"rpc", "localhost:80", "numeric"},
    {"rpc", "0.0.0.0:80", "reachable from other machines"},
    {"rpc", "127.0.0.1:7641", "port 7641 is that of listen"},
    {"rpc_cors", "foo", "an origin is https://HOST"},
    {"rpc_cors", "*", "every site"},
    {"rpc_cors", "https://wallet.example/", "no / and no path"},
    {"rpc_cors", "https://Wallet.example", "lower case"},
    {"rpc_cors", "https://wallet.example:443", "the usual port"},
    {"rpc_cors", "http://wallet.example:80", "the usual port"},
    {"rpc_cors", "https://a.example,,https://b.example", "nothing between"},
    {"rpc_cors", "https://a.example, https://a.example", "listed twice"},
    {"rpc_cors", "ftp://a.example", "an origin is https://HOST"},
    {"rpc_cors", "https://", "no host"},
    {"rpc_cors", "https://a.example:x", "no port"},
    {"rpc_cors", "https://a.example https://b.example", "no / and no path"},
    {"rpc_anonymous", "all", "none of nothing, read, submit, operate"},
    {"rpc_tls_cert", "cert.pem", "needs rpc_tls_key too"},
    {"rpc_tls_key", "key.pem", "needs rpc_tls_cert too"},
    {"gateway", "127.0.0.1:7000", "needs role trusted"},
    {"gateway", "localhost:7000", "numeric"},
    {"prune", "99", "is not 0 or a number from 100 to 4294967295 blocks"},
    {"listen", "", "must not be empty: give a host:port"},
    {"rpc", "", "must not be empty"},
    {"gateway", "", "must not be empty"},
    {"recover", "3-xyz", "is no token"},
    {"peer", "nonsense", "KEY@HOST:PORT"},
    {"peer", KEY_A "@", "KEY@HOST:PORT"},
    {"peer", KEY_A "@host", "not HOST:PORT"},
    {"peer", KEY_A "@0.0.0.0:7640", "nobody can dial"},
    {"peer", KEY_A "@host:0", "1 to 65534"},
    {"peer", NO_KEY "@127.0.0.1:7640", "no point of the curve"},
};

Test(config, values_that_mean_nothing_are_refused)
{
    for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++) {
        refused(bad_values[i].name, bad_values[i].value);
        cr_assert(strstr(why.text, bad_values[i].says), "%s", why.text);
    }
    defaults();
    cr_assert_eq(poa_config_set(&c, "rpc_cors", "https://a.example, http://[::1]:8080", &why),
                 POA_OK);
    cr_assert_eq(poa_config_set(&c, "advertise", "node.example:7640", &why), POA_OK);
    cr_assert_eq(poa_config_check(&c, &why), POA_OK, "%s", why.text);
}

Test(config, rules_over_several_keys)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"rpc = 127.0.0.1:7000\nrole = trusted\ngateway = 127.0.0.1:7000\n",
         ":3: gateway: port 7000 is that of rpc"},
        {"role = trusted\nlisten = 0.0.0.0:7000\ngateway = 127.0.0.1:7001\n",
         ":3: gateway: port 7001 is that of listen"},
        {"listen = off\nadvertise = node.example:7640\n", ":2: advertise: listen is off"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        defaults();
        cr_assert_eq(read_text(bad[i].text), POA_OK, "%s", why.text);
        cr_assert_eq(poa_config_check(&c, &why), POA_E_CONFIG, "%s", bad[i].text);
        cr_assert(strstr(why.text, bad[i].says), "%s", why.text);
    }
    defaults();
    cr_assert_eq(read_text("role = trusted\nrpc = 127.0.0.1:0\ngateway = 127.0.0.1:0\n"), POA_OK);
    cr_assert_eq(poa_config_check(&c, &why), POA_OK, "%s", why.text);
}

/* What an option sets, --print-config must be able to write. */
Test(config, values_fit_on_a_line)
{
    static const char *const bad[] = {" x", "x ", "a\nworkers = 1", "a\tb", "\x7f"};
    defaults();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(poa_config_set(&c, "name", bad[i], &why), POA_E_CONFIG, "%zu", i);
        cr_assert(strstr(why.text, "name: control characters"), "%s", why.text);
    }
    cr_assert_eq(poa_config_set(&c, "name", "a kettle \xc3\xa4", &why), POA_OK);
}

Test(config, addresses)
{
    char host[64];
    uint16_t port = 0;
    cr_assert_eq(poa_config_address("[::1]:7640", host, sizeof host, &port, &why), POA_OK);
    cr_assert_str_eq(host, "::1");
    cr_assert_eq(port, 7640);
    cr_assert_eq(poa_config_address("localhost:0", host, sizeof host, &port, &why), POA_OK);
    cr_assert_eq(port, 0);
    const char *bad[] = {"",        ":",      "host:",  ":80",      "host:80x", "host:+80",
                         "host:-1", "a:b:80", "a b:80", " host:80", "host: 80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(poa_config_address(bad[i], host, sizeof host, &port, &why), POA_E_CONFIG, "%s",
                     bad[i]);
    cr_assert_eq(poa_config_address("0123456789:1", host, 5, &port, &why), POA_E_CONFIG);
}

/* What is printed says the same when it is read. */
Test(config, prints_what_it_reads)
{
    cr_assert_eq(read_text("name = kettle\ntx_index = no\nworkers = 3\nrpc = off\n"
                           "peer = " KEY_A "@[::1]:7640\npeer = " KEY_B "\n"),
                 POA_OK);
    cr_assert_eq(poa_config_check(&c, &why), POA_OK);
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    poa_config_print(&c, f);
    fclose(f);
    static struct poa_config before;
    before = c;
    defaults();
    cr_assert_eq(read_text(text), POA_OK, "%s", why.text);
    cr_assert_eq(poa_config_check(&c, &why), POA_OK);
#define SAME_TEXT(name)                            cr_assert_str_eq(c.name, before.name);
#define SAME_U32(name)                             cr_assert_eq(c.name, before.name);
#define SAME_U32_OR_0(name)                        cr_assert_eq(c.name, before.name);
#define SAME_FLAG(name)                            cr_assert_eq(c.name, before.name);
#define ROW(type, name, unit, min, max, def, help) SAME_##type(name)
    POA_CONFIG_KEYS(ROW)
#undef ROW
    cr_assert_eq(c.peers, 2);
    for (uint32_t i = 0; i < 2; i++)
        cr_assert(memcmp(c.peer[i].key, before.peer[i].key, 32) == 0 &&
                  strcmp(c.peer[i].address, before.peer[i].address) == 0);
    free(text);
}

Test(config, options_win_over_the_file)
{
    const char *path = file_of("workers = 3\ncheckpoint_s = 9\n");
    char *argv[] = {"poad",   "--workers", "5",      "--config", (char *)path, "--tx-index", "no",
                    "--peer", KEY_A,       "--role", "trusted",  "--gateway",  "[::1]:99",   NULL};
    cr_assert_eq(poa_config_arguments(&c, 13, argv), POA_CONFIG_RUN);
    unlink(path);
    cr_assert_eq(c.workers, 5);
    cr_assert_eq(c.checkpoint_s, 9);
    cr_assert(!c.tx_index && c.trusted && !c.ledger);
    cr_assert_eq(c.peers, 1);
    cr_assert_str_eq(c.gateway, "[::1]:99");
}

Test(config, bad_options_are_errors)
{
    cr_assert(freopen("/dev/null", "w", stderr));
    char *unknown[] = {"poad", "--no-such-key", "1", NULL};
    char *value[] = {"poad", "--workers", "many", NULL};
    char *word[] = {"poad", "word", NULL};
    char *twice[] = {"poad", "--workers", "1", "--workers", "1", NULL};
    char *files[] = {"poad", "--config", "/dev/null", "--config", "/dev/null", NULL};
    cr_assert_eq(poa_config_arguments(&c, 3, unknown), POA_CONFIG_ERROR);
    cr_assert_eq(poa_config_arguments(&c, 3, value), POA_CONFIG_ERROR);
    cr_assert_eq(poa_config_arguments(&c, 2, word), POA_CONFIG_ERROR);
    cr_assert_eq(poa_config_arguments(&c, 5, twice), POA_CONFIG_ERROR);
    cr_assert_eq(poa_config_arguments(&c, 5, files), POA_CONFIG_ERROR);
}
