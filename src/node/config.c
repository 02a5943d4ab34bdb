/* Everything about configuration comes from POA_CONFIG_KEYS. */
#include "poa_config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "poa_codec.h"
#include "poa_crypto.h"
#include "poa_version.h"

#define FILE_MAX (1024 * 1024)

enum type { TEXT, U32, U32_OR_0, FLAG };

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
_Static_assert(ROWS == POA_CONFIG_KEY_COUNT, "a row for each key");

#define SET_TEXT(name, def)                            snprintf(c->name, sizeof c->name, "%s", def);
#define SET_U32(name, def)                             c->name = def;
#define SET_U32_OR_0(name, def)                        c->name = def;
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

/* --- what is wrong, and where it stands ----------------------------------------------- */

#define OPTION_NAME_MAX 64

static void option_name(const char *key, char out[OPTION_NAME_MAX])
{
    snprintf(out, OPTION_NAME_MAX, "%s", key);
    for (char *p = out; *p; p++)
        if (*p == '_')
            *p = '-';
}

static int complain(const struct poa_config *c, uint32_t from, const char *key, struct poa_why *why,
                    const char *what)
{
    char option[OPTION_NAME_MAX];
    option_name(key, option);
    if (from == POA_CONFIG_OPTION)
        return poa_because(why, POA_E_CONFIG, "--%s: %s", option, what);
    return from ? poa_because(why, POA_E_CONFIG, "%.150s:%u: %s: %s", c->file, from, key, what)
                : poa_because(why, POA_E_CONFIG, "%s: %s", key, what);
}

int poa_config_wrong(const struct poa_config *c, const char *key, struct poa_why *why,
                     const char *format, ...)
{
    const struct row *r = find(key);
    char what[sizeof why->text];
    va_list ap;
    POA_ASSERT(r);
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return complain(c, c->from[r - rows], r->name, why, what);
}

/* --- values ------------------------------------------------------------------------------ */

static int set_u32(struct poa_config *c, const struct row *r, const char *value,
                   struct poa_why *why)
{
    errno = 0;
    unsigned long long v = strtoull(value, NULL, 10);
    bool or_0 = r->type == U32_OR_0,
         number = *value && strspn(value, "0123456789") == strlen(value);
    if (!number || errno || ((v < r->min || v > r->max) && !(or_0 && v == 0)))
        return poa_config_wrong(c, r->name, why,
                                "\"%.60s\" is not %sa number from %llu to %llu%s%s", value,
                                or_0 ? "0 or " : "", (unsigned long long)r->min,
                                (unsigned long long)r->max, *r->unit ? " " : "", r->unit);
    *(uint32_t *)member(c, r) = (uint32_t)v;
    return POA_OK;
}

static int set_flag(struct poa_config *c, const struct row *r, const char *value,
                    struct poa_why *why)
{
    bool yes = strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "no") != 0 && strcmp(value, "false") != 0)
        return poa_config_wrong(c, r->name, why, "\"%.60s\" is neither yes nor no", value);
    *(bool *)member(c, r) = yes;
    return POA_OK;
}

static int set_text(struct poa_config *c, const struct row *r, const char *value,
                    struct poa_why *why)
{
    size_t n = strlen(value);
    if (n < r->min)
        return poa_config_wrong(c, r->name, why, "must not be empty: give a %s", r->unit);
    if (n > r->max)
        return poa_config_wrong(c, r->name, why, "%zu characters, at most %llu fit", n,
                                (unsigned long long)r->max);
    snprintf(member(c, r), POA_CONFIG_TEXT_MAX + 1, "%s", value);
    return POA_OK;
}

static int peer_wrong(const struct poa_config *c, uint32_t from, struct poa_why *why,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
static int peer_wrong(const struct poa_config *c, uint32_t from, struct poa_why *why,
                      const char *format, ...)
{
    char what[sizeof why->text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return complain(c, from, "peer", why, what);
}

static int set_peer(struct poa_config *c, const char *value, uint32_t from, struct poa_why *why)
{
    if (c->peers == POA_CONFIG_PEERS_MAX)
        return peer_wrong(c, from, why, "more than %d of them", POA_CONFIG_PEERS_MAX);
    struct poa_config_peer *p = &c->peer[c->peers];
    char key[65];
    uint8_t x32[32];
    size_t n = strcspn(value, "@");
    const char *address = value[n] ? value + n + 1 : "";
    if (n == 64)
        memcpy(key, value, 64);
    key[64] = 0;
    if (n != 64 || poa_unhex(key, p->key, 32) || (value[n] && !*address))
        return peer_wrong(c, from, why,
                          "\"%.100s\" is not KEY@HOST:PORT with a key of 64 hex digits", value);
    if (poa_ed25519_pk_to_x25519(p->key, x32))
        return peer_wrong(c, from, why, "%.16s... is nobody's key: no point of the curve", value);
    const char *wrong = *address ? poa_config_undialable(address) : NULL;
    if (strlen(address) >= sizeof p->address)
        wrong = "longer than an address";
    if (wrong)
        return peer_wrong(c, from, why, "\"%.100s\": %s", address, wrong);
    for (uint32_t i = 0; i < c->peers; i++)
        if (memcmp(c->peer[i].key, p->key, 32) == 0)
            return peer_wrong(c, from, why, "%.16s... is listed twice", value);
    snprintf(p->address, sizeof p->address, "%s", address);
    p->from = from;
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

static int set(struct poa_config *c, const char *name, const char *value, uint32_t from,
               struct poa_why *why)
{
    static const char unprintable[] = "control characters, and blanks at the ends, are not allowed";
    if (same_name(name, "peer"))
        return one_line(value) ? set_peer(c, value, from, why)
                               : complain(c, from, "peer", why, unprintable);
    const struct row *r = find(name);
    char what[128];
    snprintf(what, sizeof what, "\"%.60s\" is not a key; poad --print-config lists them", name);
    if (!r)
        return from == POA_CONFIG_OPTION
                   ? poa_because(why, POA_E_CONFIG, "%s", what)
                   : poa_because(why, POA_E_CONFIG, "%.150s:%u: %s", c->file, from, what);
    c->from[r - rows] = from;
    if (!one_line(value))
        return poa_config_wrong(c, r->name, why, "%s", unprintable);
    switch (r->type) {
    case TEXT:
        return set_text(c, r, value, why);
    case U32:
    case U32_OR_0:
        return set_u32(c, r, value, why);
    case FLAG:
        return set_flag(c, r, value, why);
    }
    return POA_E_INVALID;
}

int poa_config_set(struct poa_config *c, const char *name, const char *value, struct poa_why *why)
{
    return set(c, name, value, POA_CONFIG_OPTION, why);
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

static int read_line(struct poa_config *c, char *line, uint32_t number, uint32_t *seen,
                     struct poa_why *why)
{
    line = trim(line);
    if (!*line || *line == '#')
        return POA_OK;
    char *equals = strchr(line, '=');
    if (!equals)
        return poa_because(why, POA_E_CONFIG, "%.150s:%u: \"%.60s\" is not KEY = VALUE", c->file,
                           number, line);
    *equals = 0;
    char *name = trim(line);
    const struct row *r = find(name);
    if (r && seen[r - rows])
        return poa_because(why, POA_E_CONFIG, "%.150s:%u: %s is set twice, first in line %u",
                           c->file, number, r->name, seen[r - rows]);
    if (r)
        seen[r - rows] = number;
    return set(c, name, trim(equals + 1), number, why);
}

int poa_config_read(struct poa_config *c, const char *path, struct poa_why *why)
{
    char *text = NULL, *rest = NULL, *line;
    size_t n = 0;
    int rc = poa_file_read(path, FILE_MAX, 0, &text, &n, why);
    if (rc)
        return rc;
    uint32_t seen[ROWS] = {0}, number = 0;
    snprintf(c->file, sizeof c->file, "%s", path);
    rest = text;
    if (strlen(text) != n)
        rc = poa_because(why, POA_E_CONFIG, "%s is not a text file", path);
    while (!rc && (line = strsep(&rest, "\n")))
        rc = read_line(c, line, ++number, seen, why);
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
        case TEXT: /* an address that is off was emptied by the check */
            fprintf(to, " [%s]\n%s = %s\n", r->unit, r->name,
                    r->min > 0 && !*(const char *)p ? "off" : (const char *)p);
            break;
        case U32:
        case U32_OR_0:
            fprintf(to, " [%s, %s%llu to %llu]\n%s = %u\n", r->unit,
                    r->type == U32_OR_0 ? "0 or " : "", (unsigned long long)r->min,
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

/* --- the command line ----------------------------------------------------------------- */

enum { OPT_CONFIG = 1000, OPT_PRINT, OPT_HELP, OPT_VERSION, OPT_PEER, OPT_ROW };

static char names[ROWS][OPTION_NAME_MAX];

static void make_options(struct option *o)
{
    for (size_t i = 0; i < ROWS; i++) {
        option_name(rows[i].name, names[i]);
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

static enum poa_config_action fail(const struct poa_why *why)
{
    fprintf(stderr, "poad: %s\n", why->text);
    return POA_CONFIG_ERROR;
}

static int set_option(struct poa_config *c, const char *name, const char *value,
                      struct poa_why *why)
{
    const struct row *r = find(name);
    if (r && c->from[r - rows] == POA_CONFIG_OPTION)
        return poa_config_wrong(c, name, why, "given twice");
    return poa_config_set(c, name, value, why);
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
        if (opt != OPT_CONFIG)
            continue;
        if (c->file[0]) {
            fprintf(stderr, "poad: --config: given twice\n");
            return POA_CONFIG_ERROR;
        }
        if (poa_config_read(c, optarg, &why)) {
            if (!c->file[0])
                fprintf(stderr, "poad: --config: %s\n", why.text);
            return c->file[0] ? fail(&why) : POA_CONFIG_ERROR;
        }
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
            rc = set_option(c, "peer", optarg, &why);
        else if (opt >= OPT_ROW)
            rc = set_option(c, rows[opt - OPT_ROW].name, optarg, &why);
        if (rc)
            return fail(&why);
    }
    if (poa_config_check(c, &why))
        return fail(&why);
    if (print) {
        poa_config_print(c, stdout);
        return POA_CONFIG_DONE;
    }
    return POA_CONFIG_RUN;
}
