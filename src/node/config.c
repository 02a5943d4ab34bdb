/* Everything about configuration comes from POA_CONFIG_KEYS. */
#include "poa_config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "poa_codec.h"
#include "poa_log.h"
#include "poa_rpc_tokens.h"
#include "poa_version.h"

#define FILE_MAX  (1024 * 1024)
#define PRUNE_MIN 100

enum type { TEXT, U32, FLAG };

struct row {
    const char *name;
    const char *unit;
    const char *help;
    uint64_t min, max;
    size_t offset;
    enum type type;
};

#define ROW(type_, name_, unit_, min_, max_, def_, help_)                                          \
    {.name = #name_,                                                                               \
     .unit = unit_,                                                                                \
     .help = help_,                                                                                \
     .min = min_,                                                                                  \
     .max = max_,                                                                                  \
     .offset = offsetof(struct poa_config, name_),                                                 \
     .type = type_},
static const struct row rows[] = {POA_CONFIG_KEYS(ROW)};
#define ROWS (sizeof rows / sizeof rows[0])

#define SET_TEXT(name, def)                            snprintf(c->name, sizeof c->name, "%s", def);
#define SET_U32(name, def)                             c->name = def;
#define SET_FLAG(name, def)                            c->name = def;
#define DEFAULT(type, name, unit, min, max, def, help) SET_##type(name, def)

void poa_config_defaults(struct poa_config *c)
{
    memset(c, 0, sizeof *c);
    POA_CONFIG_KEYS(DEFAULT)
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
            return false;
    return *a == *b;
}

static const struct row *find(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (same_name(rows[i].name, name))
            return &rows[i];
    return NULL;
}

static void *member(struct poa_config *c, const struct row *r)
{
    return (char *)c + r->offset;
}

static int set_u32(struct poa_config *c, const struct row *r, const char *value,
                   struct poa_why *why)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (!*value || *end || errno || strchr(value, '-') || v < r->min || v > r->max)
        return poa_because(why, POA_E_CONFIG, "%s: \"%s\" is not a number from %llu to %llu%s%s",
                           r->name, value, (unsigned long long)r->min, (unsigned long long)r->max,
                           *r->unit ? " " : "", r->unit);
    *(uint32_t *)member(c, r) = (uint32_t)v;
    return POA_OK;
}

static int set_flag(struct poa_config *c, const struct row *r, const char *value,
                    struct poa_why *why)
{
    bool yes = strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "no") != 0 && strcmp(value, "false") != 0)
        return poa_because(why, POA_E_CONFIG, "%s: \"%s\" is neither yes nor no", r->name, value);
    *(bool *)member(c, r) = yes;
    return POA_OK;
}

static int set_text(struct poa_config *c, const struct row *r, const char *value,
                    struct poa_why *why)
{
    size_t n = strlen(value);
    if (n < r->min || n > r->max)
        return poa_because(why, POA_E_CONFIG, "%s: %zu characters, must be %llu to %llu", r->name,
                           n, (unsigned long long)r->min, (unsigned long long)r->max);
    snprintf(member(c, r), POA_CONFIG_TEXT_MAX + 1, "%s", value);
    return POA_OK;
}

static int set_peer(struct poa_config *c, const char *value, struct poa_why *why)
{
    if (c->peers == POA_CONFIG_PEERS_MAX)
        return poa_because(why, POA_E_CONFIG, "peer: more than %d peers", POA_CONFIG_PEERS_MAX);
    struct poa_config_peer *p = &c->peer[c->peers];
    char key[65];
    size_t n = strcspn(value, "@");
    const char *address = value[n] ? value + n + 1 : "";
    char host[128];
    uint16_t port;
    if (n == 64)
        memcpy(key, value, 64);
    key[64] = 0;
    if (n != 64 || poa_unhex(key, p->key, 32))
        return poa_because(why, POA_E_CONFIG,
                           "peer: \"%s\" is not KEY@HOST:PORT with a key of 64 "
                           "hex digits",
                           value);
    if (*address && poa_config_address(address, host, sizeof host, &port, NULL))
        return poa_because(why, POA_E_CONFIG, "peer: \"%s\" is not HOST:PORT", address);
    for (uint32_t i = 0; i < c->peers; i++)
        if (memcmp(c->peer[i].key, p->key, 32) == 0)
            return poa_because(why, POA_E_CONFIG, "peer: %.16s... is listed twice", value);
    snprintf(p->address, sizeof p->address, "%s", address);
    c->peers++;
    return POA_OK;
}

/* What a line of the file cannot hold, an option must not set either. */
static bool one_line(const char *value)
{
    size_t n = strlen(value);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
            return false;
    return !n || (value[0] != ' ' && value[n - 1] != ' ');
}

int poa_config_set(struct poa_config *c, const char *name, const char *value, struct poa_why *why)
{
    if (!one_line(value))
        return poa_because(why, POA_E_CONFIG,
                           "%.60s: control characters, and blanks at the ends, are not allowed",
                           name);
    if (same_name(name, "peer"))
        return set_peer(c, value, why);
    const struct row *r = find(name);
    if (!r)
        return poa_because(why, POA_E_CONFIG, "\"%s\" is not a key; poad --print-config lists them",
                           name);
    switch (r->type) {
    case TEXT:
        return set_text(c, r, value, why);
    case U32:
        return set_u32(c, r, value, why);
    case FLAG:
        return set_flag(c, r, value, why);
    }
    return POA_E_INVALID;
}

/* --- the file ---------------------------------------------------------------------- */

static char *trim(char *s)
{
    s += strspn(s, " \t\r");
    size_t n = strlen(s);
    while (n && strchr(" \t\r", s[n - 1]))
        s[--n] = 0;
    return s;
}

static int read_line(struct poa_config *c, char *line, bool *seen, struct poa_why *why)
{
    line = trim(line);
    if (!*line || *line == '#')
        return POA_OK;
    char *equals = strchr(line, '=');
    if (!equals)
        return poa_because(why, POA_E_CONFIG, "\"%.60s\" is not KEY = VALUE", line);
    *equals = 0;
    char *name = trim(line);
    const struct row *r = find(name);
    if (r && seen[r - rows])
        return poa_because(why, POA_E_CONFIG, "%s is set twice", r->name);
    if (r)
        seen[r - rows] = true;
    return poa_config_set(c, name, trim(equals + 1), why);
}

int poa_config_read(struct poa_config *c, const char *path, struct poa_why *why)
{
    char *text = NULL, *rest = NULL, *line;
    size_t n = 0;
    int rc = poa_file_read(path, FILE_MAX, 0, &text, &n, why);
    if (rc)
        return rc;
    bool seen[ROWS] = {false};
    int number = 0;
    rest = text;
    if (strlen(text) != n)
        rc = poa_because(why, POA_E_CONFIG, "%s is not a text file", path);
    while (!rc && (line = strsep(&rest, "\n"))) {
        struct poa_why inner = {""};
        number++;
        rc = read_line(c, line, seen, &inner);
        if (rc)
            poa_because(why, rc, "%s:%d: %.200s", path, number, inner.text);
    }
    free(text);
    return rc;
}

void poa_config_print(const struct poa_config *c, FILE *to)
{
    fprintf(to, "# poad " POA_VERSION ". Values shown are in force; lines may be left out.\n");
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        const void *p = (const char *)c + r->offset;
        fprintf(to, "\n# %s", r->help);
        switch (r->type) {
        case TEXT:
            fprintf(to, " [%s]\n%s = %s\n", r->unit, r->name, (const char *)p);
            break;
        case U32:
            fprintf(to, " [%s, %llu to %llu]\n%s = %u\n", r->unit, (unsigned long long)r->min,
                    (unsigned long long)r->max, r->name, *(const uint32_t *)p);
            break;
        case FLAG:
            fprintf(to, " [yes or no]\n%s = %s\n", r->name, *(const bool *)p ? "yes" : "no");
            break;
        }
    }
    fprintf(to, "\n# other nodes, one line each; without an address the peer dials us "
                "[KEY@HOST:PORT]\n");
    for (uint32_t i = 0; i < c->peers; i++) {
        char key[65];
        poa_hex(c->peer[i].key, 32, key);
        fprintf(to, "peer = %s%s%s\n", key, c->peer[i].address[0] ? "@" : "", c->peer[i].address);
    }
    if (!c->peers)
        fprintf(to, "# peer = <64 hex digits>@203.0.113.7:7640\n");
}

/* --- rules ---------------------------------------------------------------------------- */

int poa_config_address(const char *text, char *host, size_t host_n, uint16_t *port,
                       struct poa_why *why)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long v = colon ? strtoul(colon + 1, &end, 10) : 0;
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    } else if (n && memchr(text, ':', n)) {
        n = 0; /* an IPv6 address without brackets is ambiguous */
    }
    if (!colon || !n || n >= host_n || !isdigit((unsigned char)colon[1]) || *end || v > 65535 ||
        strcspn(text, " \t") < n)
        return poa_because(why, POA_E_CONFIG, "\"%s\" is not HOST:PORT", text);
    memcpy(host, text, n);
    host[n] = 0;
    *port = (uint16_t)v;
    return POA_OK;
}

static int check_address(const char *name, char *value, struct poa_why *why)
{
    char host[128];
    uint16_t port;
    if (strcmp(value, "off") == 0)
        value[0] = 0;
    if (value[0] && poa_config_address(value, host, sizeof host, &port, NULL))
        return poa_because(why, POA_E_CONFIG, "%s: \"%s\" is neither HOST:PORT nor off", name,
                           value);
    return POA_OK;
}

int poa_config_recover(const char *text, uint32_t *epoch, uint8_t token32[32])
{
    char *end = NULL;
    unsigned long v = strtoul(text, &end, 10);
    memset(token32, 0, 32);
    *epoch = (uint32_t)v;
    return text[0] >= '0' && text[0] <= '9' && v <= UINT32_MAX && *end == '-' &&
                   strlen(end + 1) == 32 && poa_unhex(end + 1, token32, 16) == POA_OK
               ? POA_OK
               : POA_E_CONFIG;
}

int poa_config_check(struct poa_config *c, struct poa_why *why)
{
    char list[POA_CONFIG_TEXT_MAX + 1], *rest = list, *role;
    snprintf(list, sizeof list, "%s", c->role);
    c->ledger = c->trusted = false;
    while ((role = strsep(&rest, ","))) {
        role = trim(role);
        if (strcmp(role, "ledger") == 0)
            c->ledger = true;
        else if (strcmp(role, "trusted") == 0)
            c->trusted = true;
        else
            return poa_because(why, POA_E_CONFIG, "role: \"%s\" is neither ledger nor trusted",
                               role);
    }
    enum poa_log_level level;
    if (poa_log_level_parse(c->log_level, &level))
        return poa_because(why, POA_E_CONFIG,
                           "log_level: \"%s\" is none of error, warn, info, debug, trace",
                           c->log_level);
    uint8_t token[32];
    uint32_t epoch;
    if (c->recover[0] && poa_config_recover(c->recover, &epoch, token))
        return poa_because(why, POA_E_CONFIG,
                           "recover: \"%s\" is no token; `poa witness recovery` makes one",
                           c->recover);
    if (c->rpc_anonymous[0] && strcmp(c->rpc_anonymous, "nothing") != 0 &&
        poa_rpc_right_find(c->rpc_anonymous) == POA_RPC_NOTHING)
        return poa_because(why, POA_E_CONFIG,
                           "rpc_anonymous: \"%s\" is none of nothing, read, submit, operate",
                           c->rpc_anonymous);
    if (!c->rpc_tls_cert[0] != !c->rpc_tls_key[0])
        return poa_because(why, POA_E_CONFIG, "rpc_tls_cert and rpc_tls_key belong together");
    int rc = check_address("listen", c->listen, why);
    if (!rc && c->advertise[0])
        rc = check_address("advertise", c->advertise, why);
    if (!rc)
        rc = check_address("rpc", c->rpc, why);
    if (!rc)
        rc = check_address("gateway", c->gateway, why);
    if (!rc && c->gateway[0] && !c->trusted)
        rc = poa_because(why, POA_E_CONFIG, "gateway: needs role trusted");
    if (!rc && c->prune && c->prune < PRUNE_MIN)
        rc = poa_because(why, POA_E_CONFIG,
                         "prune: keep at least %d blocks, or nobody can catch up from here",
                         PRUNE_MIN);
    if (!rc && !c->genesis[0])
        snprintf(c->genesis, sizeof c->genesis, "%.400s/genesis.poa", c->data_dir);
    if (!rc && !c->key[0])
        snprintf(c->key, sizeof c->key, "%.400s/node.json", c->data_dir);
    return rc;
}

/* --- the command line ----------------------------------------------------------------- */

enum { OPT_CONFIG = 1000, OPT_PRINT, OPT_HELP, OPT_VERSION, OPT_PEER, OPT_ROW };

static char names[ROWS][64];

static void make_options(struct option *o)
{
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "%s", rows[i].name);
        for (char *p = names[i]; *p; p++)
            if (*p == '_')
                *p = '-';
        o[i] = (struct option){names[i], required_argument, NULL, OPT_ROW + (int)i};
    }
    const struct option more[] = {
        {"config", required_argument, NULL, OPT_CONFIG},
        {"peer", required_argument, NULL, OPT_PEER},
        {"print-config", no_argument, NULL, OPT_PRINT},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
    };
    memcpy(o + ROWS, more, sizeof more);
}

static void print_option(const char *name, const char *argument, const char *help)
{
    int n = printf("  --%s%s%s", name, argument ? " " : "", argument ? argument : "");
    printf("%*s %s\n", n < 36 ? 36 - n : 0, "", help);
}

static void print_help(void)
{
    printf("usage: " POA_CONFIG_USAGE "\n" POA_CONFIG_ABOUT "\n\noptions:\n");
#define OPTION(name, argument, help) print_option(name, argument, help);
    POA_CONFIG_OPTIONS(OPTION)
#undef OPTION
    printf("\nkeys of the configuration, which are options too and win over the file:\n");
    for (size_t i = 0; i < ROWS; i++) {
        print_option(names[i], rows[i].type == FLAG ? "yes|no" : rows[i].unit, rows[i].help);
    }
    printf("\nexamples:\n");
#define EXAMPLE(line) printf("  %s\n", line);
    POA_CONFIG_EXAMPLES(EXAMPLE)
#undef EXAMPLE
    printf("\nExit status: " POA_CONFIG_EXITS "\n");
}

static enum poa_config_action fail(const char *what, const struct poa_why *why)
{
    fprintf(stderr, "poad: %s%s\n", what, why->text);
    return POA_CONFIG_ERROR;
}

enum poa_config_action poa_config_arguments(struct poa_config *c, int argc, char **argv)
{
    struct option options[ROWS + 8];
    struct poa_why why = {""};
    bool print = false;
    int opt;
    make_options(options);
    poa_config_defaults(c);
    /* The file first, wherever --config stands. */
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (opt == '?' || opt == ':') {
            fprintf(stderr, "poad: %s %s; try 'poad --help'\n", argv[optind - 1],
                    opt == ':' ? "needs an argument" : "is not an option");
            return POA_CONFIG_ERROR;
        }
        if (opt == OPT_HELP) {
            print_help();
            return POA_CONFIG_DONE;
        }
        if (opt == OPT_VERSION) {
            printf("poad " POA_VERSION "\n");
            return POA_CONFIG_DONE;
        }
        if (opt == OPT_CONFIG && poa_config_read(c, optarg, &why))
            return fail("", &why);
    }
    if (optind < argc) {
        fprintf(stderr, "poad: unexpected argument \"%s\"; try 'poad --help'\n", argv[optind]);
        return POA_CONFIG_ERROR;
    }
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int rc = POA_OK;
        if (opt == OPT_PRINT)
            print = true;
        else if (opt == OPT_PEER)
            rc = poa_config_set(c, "peer", optarg, &why);
        else if (opt >= OPT_ROW)
            rc = poa_config_set(c, rows[opt - OPT_ROW].name, optarg, &why);
        if (rc)
            return fail("--", &why);
    }
    if (poa_config_check(c, &why))
        return fail("", &why);
    if (print) {
        poa_config_print(c, stdout);
        return POA_CONFIG_DONE;
    }
    return POA_CONFIG_RUN;
}
