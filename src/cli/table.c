/* Commands and options: parsing and help, from the tables in poa_cli.h. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_cli.h"
#include "poa_version.h"

struct command {
    const char *words;
    int (*run)(const struct cli *c);
    const char *arguments;
    int least, most;
    cli_options options;
    const char *summary, *examples;
};

static const struct command commands[] = {
#define ROW(words, function, arguments, least, most, options, summary, examples)                   \
    {words, function, arguments, least, most, options, summary, examples},
    CLI_COMMANDS(ROW)
#undef ROW
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const struct {
    const char *name, *argument, *help;
} options[CLI_OPTION_COUNT] = {
#define ROW(id, name, argument, help) {name, argument, help},
    CLI_OPTIONS(ROW)
#undef ROW
};

/* --- help -------------------------------------------------------------------------- */

static void print_command_help(const struct command *m)
{
    printf("%s.\n\nusage: poa %s%s%s [options]\n\noptions:\n", m->summary, m->words,
           m->arguments[0] ? " " : "", m->arguments);
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        if (!(m->options >> i & 1))
            continue;
        char name[64];
        snprintf(name, sizeof name, "--%s%s%s", options[i].name, options[i].argument ? " " : "",
                 options[i].argument ? options[i].argument : "");
        printf("  %-24s %s\n", name, options[i].help);
    }
    printf("\nexamples:\n");
    for (const char *line = m->examples; *line;) {
        size_t n = strcspn(line, "\n");
        printf("  %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

static void print_help(void)
{
    printf("poa " POA_VERSION ": Proof-of-Assignment ledger, command line.\n\n"
           "usage: poa COMMAND [arguments] [options]\n\ncommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-16s %s\n", commands[i].words, commands[i].summary);
    printf("\n`poa COMMAND --help` tells more, with examples.\n");
}

static const struct command *named(const char *words)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].words, words) == 0)
            return &commands[i];
    return NULL;
}

/* The command that the first one or two of ARGV name, and how many it took. */
static const struct command *find(int argc, char **argv, int *taken)
{
    char two[64];
    /* `poa devnet` and `poa devnet --load 5` mean `poa devnet up`. */
    if (strcmp(argv[0], "devnet") == 0 && (argc == 1 || argv[1][0] == '-')) {
        *taken = 1;
        return named("devnet up");
    }
    const struct command *m = NULL;
    if (argc > 1) {
        /* What other wallets call it. */
        const char *word = strcmp(argv[0], "tx") != 0      ? argv[1]
                           : strcmp(argv[1], "build") == 0 ? "make"
                           : strcmp(argv[1], "send") == 0  ? "submit"
                                                           : argv[1];
        snprintf(two, sizeof two, "%s %s", argv[0], word);
        m = named(two);
    }
    *taken = m != NULL ? 2 : 1;
    return m != NULL ? m : named(argv[0]);
}

/* Lines for the commands that start with WORD; false when there are none. */
static bool print_family(const char *word)
{
    bool any = false;
    size_t n = strlen(word);
    for (size_t i = 0; i < COMMANDS; i++)
        if (strncmp(commands[i].words, word, n) == 0 && commands[i].words[n] == ' ') {
            printf("  %-16s %s\n", commands[i].words, commands[i].summary);
            any = true;
        }
    return any;
}

int cli_help(const struct cli *c)
{
    int taken = 0;
    if (c->arguments == 0) {
        print_help();
        return 0;
    }
    const struct command *m = find(c->arguments, c->argument, &taken);
    if (m != NULL && taken == c->arguments)
        print_command_help(m);
    else if (!print_family(c->argument[0]))
        return cli_misuse("no command %s; `poa help` lists them", c->argument[0]);
    return 0;
}

int cli_version(const struct cli *c)
{
    if (c->json)
        return cli_print_json(json_pack("{s:s}", "version", POA_VERSION));
    printf("poa %s\n", POA_VERSION);
    return 0;
}

/* --- what an argument of an option looks like ----------------------------------------- */

static bool whole(const char *text)
{
    errno = 0;
    (void)strtoull(text, NULL, 10);
    return text[0] != 0 && strspn(text, "0123456789") == strlen(text) && errno == 0;
}

static bool fraction(const char *text)
{
    char *end = NULL;
    double v = strtod(text, &end);
    return end != text && *end == 0 && v >= 0 && v <= 1;
}

static bool hex(const char *text)
{
    size_t n = strlen(text);
    return n % 2 == 0 && strspn(text, "0123456789abcdefABCDEF") == n;
}

static bool fingerprint(const char *text)
{
    uint8_t digest[32];
    return cli_fingerprint(text, digest);
}

static bool url(const char *text)
{
    return poa_rpc_client_url(text, NULL) == POA_OK;
}

static const struct shape {
    const char *argument; /* as in the table of options */
    bool (*fits)(const char *text);
    const char *what;
} shapes[] = {
    {"URL", url, "an address like http://127.0.0.1:7645"},
    {"SHA256", fingerprint, "64 hex digits, as openssl x509 -fingerprint -sha256 prints them"},
    {"HEX", hex, "an even number of hex digits"},
    {"P", fraction, "a probability from 0 to 1"},
#define WHOLE(word)                                                                                \
    {                                                                                              \
        word, whole, "a whole number"                                                              \
    }
    WHOLE("UNITS"),
    WHOLE("SECONDS"),
    WHOLE("DAYS"),
    WHOLE("N"),
    WHOLE("M"),
    WHOLE("Q"),
    WHOLE("B"),
    WHOLE("C"),
    WHOLE("E"),
    WHOLE("K"),
    WHOLE("S"),
    WHOLE("T"),
    WHOLE("TPS"),
    WHOLE("ID"),
#undef WHOLE
};

/* 0, or 2 with a line. */
static int check_shape(int option, const char *text)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].argument, options[option].argument) == 0 && !shapes[i].fits(text))
            return cli_misuse("--%s: %s is not %s", options[option].name, text, shapes[i].what);
    return 0;
}

/* --- parsing ------------------------------------------------------------------------ */

static int parse(const struct command *m, int argc, char **argv, struct cli *c)
{
    struct option longs[CLI_OPTION_COUNT + 1];
    size_t n = 0;
    memset(longs, 0, sizeof longs);
    for (int i = 0; i < CLI_OPTION_COUNT; i++)
        if (m->options >> i & 1)
            longs[n++] = (struct option){options[i].name,
                                         options[i].argument ? required_argument : no_argument,
                                         NULL, 256 + i};
    optind = 0;
    opterr = 0;
    int found;
    while ((found = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (found == ':')
            return cli_misuse("%s needs an argument", argv[optind - 1]);
        if (found == '?')
            return cli_misuse("poa %s does not take %s; see `poa %s --help`", m->words,
                              argv[optind - 1], m->words);
        int i = found == 'h' ? CLI_HELP : found - 256;
        /* `--for --json`: the argument was forgotten. */
        if (optarg != NULL && strncmp(optarg, "--", 2) == 0)
            return cli_misuse("--%s needs an argument, not %s", options[i].name, optarg);
        if (c->option[i] != NULL && options[i].argument != NULL)
            return cli_misuse("--%s is given twice", options[i].name);
        c->option[i] = optarg != NULL ? optarg : "";
        if (optarg != NULL && check_shape(i, optarg) != 0)
            return 2;
    }
    c->argument = argv + optind;
    c->arguments = argc - optind;
    c->json = c->option[CLI_JSON] != NULL;
    if (c->option[CLI_HELP] != NULL)
        return 0;
    uint64_t seconds;
    if (c->option[CLI_TIMEOUT] != NULL &&
        !cli_u64("--timeout", c->option[CLI_TIMEOUT], 1, 3600, &seconds))
        return 2;
    if (c->option[CLI_NO_PASSPHRASE] != NULL && c->option[CLI_PASSPHRASE_FILE] != NULL)
        return cli_misuse("--no-passphrase and --passphrase-file exclude each other");
    if (c->arguments < m->least)
        return cli_misuse("poa %s needs %s; see `poa %s --help`", m->words, m->arguments, m->words);
    if (m->most >= 0 && c->arguments > m->most)
        return cli_misuse("poa %s does not take %s; see `poa %s --help`", m->words,
                          c->argument[m->most], m->words);
    return 0;
}

static int run(int argc, char **argv)
{
    const char *what = NULL;
    if (poa_crypto_selftest(&what) != POA_OK)
        return cli_fail("the cryptographic self-test failed (%s): this libsodium or libsecp256k1 "
                        "must not be used",
                        what ? what : "?");
    if (argc < 2) {
        print_help();
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("poa %s\n", POA_VERSION);
        return 0;
    }
    int taken = 0;
    const struct command *m = find(argc - 1, argv + 1, &taken);
    if (m == NULL) {
        if (!print_family(argv[1]))
            return cli_misuse("no command %s; `poa help` lists them", argv[1]);
        return argc > 2 && argv[2][0] != '-'
                   ? cli_misuse("no command %s %s; these are there", argv[1], argv[2])
                   : 2;
    }
    struct cli c;
    memset(&c, 0, sizeof c);
    int rc = parse(m, argc - taken, argv + taken, &c);
    if (rc != 0)
        return rc;
    if (c.option[CLI_HELP] != NULL) {
        print_command_help(m);
        return 0;
    }
    return m->run(&c);
}

int cli_main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed reader shows as a write error */
    cli_begin();
    int rc = run(argc, argv);
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    return written || rc != 0 ? cli_exit_code(rc) : cli_fail("cannot write to standard output");
}
