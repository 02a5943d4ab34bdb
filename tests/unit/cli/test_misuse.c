/* A wrong word on the command line is exit code 2 and one line, on every verb of the table,
 * before a node is asked or a file is looked for; what fails for another reason is 1. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_cli.h"

static char dir[64], line_err[4096];

static void fresh(void)
{
    strcpy(dir, "/tmp/poa-misuse-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    cr_assert(freopen("/dev/null", "r", stdin));
    setenv("POA_KEYS", dir, 1);
    setenv("POA_RPC", "http://127.0.0.1:1", 1); /* nobody is there */
}

static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}
TestSuite(misuse, .init = fresh, .fini = clean);

/* Runs LINE, words separated by blanks; standard error goes to line_err. */
static int run(const char *line)
{
    char text[1024], *words[200] = {(char *)"poa"};
    int n = 1, saved[2] = {dup(1), dup(2)}, null = open("/dev/null", O_WRONLY);
    snprintf(text, sizeof text, "%s", line);
    for (char *w = strtok(text, " "); w != NULL && n < 199; w = strtok(NULL, " "))
        words[n++] = strcmp(w, "''") == 0 ? (char *)"" : w;
    FILE *f = tmpfile();
    cr_assert(f != NULL && null >= 0);
    fflush(stdout);
    dup2(null, 1);
    dup2(fileno(f), 2);
    int rc = cli_main(n, words);
    fflush(stdout);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    rewind(f);
    line_err[fread(line_err, 1, sizeof line_err - 1, f)] = 0;
    fclose(f);
    close(null);
    close(saved[0]);
    close(saved[1]);
    return rc;
}

static void misused(const char *line, const char *says)
{
    cr_expect_eq(run(line), 2, "poa %s: not 2; it says: %s", line, line_err);
    const char *end = strchr(line_err, '\n');
    cr_expect(strncmp(line_err, "poa: ", 5) == 0 && end != NULL && end[1] == 0,
              "poa %s: not one line: %s", line, line_err);
    cr_expect(strstr(line_err, says), "poa %s: no '%s' in: %s", line, says, line_err);
}

static const struct {
    const char *words;
    int least, most;
    cli_options options;
} commands[] = {
#define ROW(words, function, arguments, least, most, options, summary, examples)                   \
    {words, least, most, options},
    CLI_COMMANDS(ROW)
#undef ROW
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const struct {
    const char *name, *argument;
} options[] = {
#define ROW(id, name, argument, help) {name, argument},
    CLI_OPTIONS(ROW)
#undef ROW
};
#define OPTIONS (sizeof options / sizeof options[0])

Test(misuse, too_few_and_too_many_arguments)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        char line[1024];
        int n = snprintf(line, sizeof line, "%s", commands[i].words);
        if (commands[i].least > 0)
            misused(line, "needs");
        for (int k = 0; k <= commands[i].most; k++)
            n += snprintf(line + n, sizeof line - (size_t)n, " a%d", k);
        if (commands[i].most >= 0)
            misused(line, "does not take");
    }
}

Test(misuse, options_that_do_not_exist_or_lack_their_argument)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        char line[256];
        snprintf(line, sizeof line, "%s --colour", commands[i].words);
        misused(line, "does not take --colour");
        for (size_t k = 0; k < OPTIONS; k++) {
            if (!(commands[i].options >> k & 1) || options[k].argument == NULL)
                continue;
            snprintf(line, sizeof line, "%s --%s", commands[i].words, options[k].name);
            misused(line, "needs an argument");
            snprintf(line, sizeof line, "%s --%s 1 --%s 1", commands[i].words, options[k].name,
                     options[k].name);
            cr_expect_eq(run(line), 2, "%s", line);
        }
    }
}

/* Each option, with each verb that takes it, whose argument is a number, an address of a node,
 * hex digits or the like. */
Test(misuse, arguments_of_the_wrong_kind)
{
    static const char *const anything[] = {
        "FILE",   "DIR",     "KEY",       "KEY[,KEY...]", "WHO",     "TEXT",
        "DEVICE", "KIND",    "TYPE",      "NATURE",       "SUITE",   "POLICY",
        "RIGHT",  "ADDRESS", "HOST:PORT", "HEX|FILE",     "DURATION"};
    static const char *const wrong[] = {"-1", "@", "1x", "0x7", "1.5", "", "zz"};
    size_t tried = 0;
    for (size_t k = 0; k < OPTIONS; k++) {
        bool any = options[k].argument == NULL;
        for (size_t i = 0; i < sizeof anything / sizeof anything[0]; i++)
            any = any || strcmp(options[k].argument, anything[i]) == 0;
        for (size_t i = 0; !any && i < COMMANDS; i++) {
            if (!(commands[i].options >> k & 1))
                continue;
            for (size_t w = 0; w < sizeof wrong / sizeof wrong[0]; w++) {
                char line[256], says[64];
                if (strcmp(options[k].argument, "HEX") == 0 && !*wrong[w])
                    continue;
                snprintf(says, sizeof says, "--%s: ", options[k].name);
                snprintf(line, sizeof line, "%s --%s=%s", commands[i].words, options[k].name,
                         wrong[w]);
                misused(line, says);
                tried++;
            }
        }
    }
    cr_expect(tried > 1000, "%zu", tried);
}

#define K64 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

/* Arguments by place, for every verb that takes any but names of files. */
static const struct {
    const char *words, *rest;
} lines[] = {
    {"keys new", "@ --no-passphrase"},
    {"keys new", "../x --no-passphrase"},
    {"keys new", "a --kind horse"},
    {"keys new", "a --type horse"},
    {"keys new", "a --kind device --type bip340"},
    {"keys show", "@"},
    {"keys import", "@ --secret-file -"},
    {"keys export", "@ --output -"},
    {"keys watch", "@ poa1qqqq"},
    {"keys watch", "shop poa1qqqq"},
    {"keys watch", "shop alice"},
    {"keys forget", "@"},
    {"multisig new", "@ a b --m 1"},
    {"multisig new", "m bip340:zz --m 1"},
    {"multisig new", "m bip340:" K64 " bip340:" K64 " --m 2"},
    {"multisig new", "m bip340:" K64 " --m 2"},
    {"multisig show", "@"},
    {"send", "poa1qqqq 5 --from a"},
    {"send", "@ 5 --from a"},
    {"send", "bob x --from a"},
    {"send", "bob 5"},
    {"send", "bob 5 carol --from a"},
    {"send", "bob 5 --from a --nature weather"},
    {"purchase", "poa1qqqq 5 --from a"},
    {"purchase", "bob -- -5"},
    {"asset create", "x Name --max 5 --from a"},
    {"asset create", "7 Name --from a"},
    {"asset create", "7 '' --max 5 --from a"},
    {"asset mint", "x bob 5 --from a"},
    {"asset mint", "7 poa1qqqq 5 --from a"},
    {"asset show", "x"},
    {"escrow open", "poa1qqqq 5 --slots 5 --from a"},
    {"escrow open", "bob 0 --slots 5 --from a"},
    {"escrow release", "zz --from a"},
    {"escrow refund", "zz --from a"},
    {"escrow show", "zz"},
    {"data seal", "file"},
    {"data offer", "file --from a --price x"},
    {"data grant", "zz --from a --reader bip340:zz"},
    {"data get", "zz --from a --output f"},
    {"data verify", "/dev/null"},
    {"data show", "zz"},
    {"data sign", "file"},
    {"data buy", "zz --from a --secret-file f"},
    {"data deliver", "zz --from a --data-key f"},
    {"data open", "zz file --secret-file f --output g"},
    {"data dispute", "zz --from a --secret-file f"},
    {"data close", "zz --from a"},
    {"params set", "nonsense 5 --from a"},
    {"params set", "fee_min x --from a"},
    {"params set", "fee_min --from a"},
    {"readmit", "zz --from a"},
    {"tx make", "file"},
    {"tx sign", "file"},
    {"tx", "zz"},
    {"balance", "poa1qqqq"},
    {"balance", "@"},
    {"faucet", "poa1qqqq"},
    {"faucet", "alice x"},
    {"block", "5x"},
    {"block", "zz"},
    {"block", "-- -1"},
    {"device pair", "zz --from a"},
    {"device presence", "zz"},
    {"device attest", "zz --maker-key m"},
    {"devices", "zz"},
    {"proof", "nothing"},
    {"proof", "slot x"},
    {"proof", "account poa1qqqq"},
    {"store export", "dir"},
    {"store import", "file dir"},
    {"snapshot create", "dir"},
    {"snapshot restore", "file dir --chain 00"},
    {"token new", "label"},
    {"token new", "label --tokens f --right x"},
    {"token revoke", "label"},
    {"vrf prove", ""},
    {"vrf prove", "--suite tai --sk 00 --alpha 00"},
    {"vrf verify", "--suite none"},
    {"vrf verify", "--suite tai --pk " K64},
    {"genesis new", "one --output f"},
    {"genesis create", "file"},
    {"witness admit", "@ --from a"},
    {"witness admit", "1234567890123456789012345678901234567890 --from a"},
    {"witness admit", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff --from a"},
    {"witness admit", K64 " --mesh host --from a"},
    {"witness leave", "@ --from a"},
    {"witness draw", ""},
    {"witness bounds", ""},
    {"witness plan", ""},
    {"chain export", ""},
    {"verify chain", "file"},
    {"why", "zz"},
    {"why", "4f9c --slot x"},
    {"devnet status", "--wait forever"},
    {"devnet up", "--for forever"},
    {"devnet up", "--chaos weather"},
    {"devnet up", "--peer 12"},
    {"devnet up", "--policy weather"},
    {"devnet up", "--epoch-views 9"},
    {"devnet up", "--epoch-views many"},
    {"devnet up", "--prune -1"},
    {"devnet up", "--prune 99"},
    {"fleet simulate", "--for forever"},
    {"fleet simulate", "--epoch-views 0"},
    {"lottery simulate", "--policy weather"},
    {"help", "nothing"},
};

Test(misuse, arguments_that_cannot_be_meant)
{
    /* Their arguments name files and directories, which may be missing: that is 1. */
    static const char *const files[] = {"tx submit",    "tx show",       "verify proof",
                                        "store check",  "store compact", "genesis show",
                                        "genesis check"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char line[512];
        snprintf(line, sizeof line, "%s %s", lines[i].words, lines[i].rest);
        misused(line, "");
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        bool tried = commands[i].most == 0;
        for (size_t k = 0; k < sizeof lines / sizeof lines[0]; k++)
            tried = tried || strcmp(lines[k].words, commands[i].words) == 0;
        for (size_t k = 0; k < sizeof files / sizeof files[0]; k++)
            tried = tried || strcmp(files[k], commands[i].words) == 0;
        cr_expect(tried, "no wrong argument of poa %s is tried", commands[i].words);
    }
}

Test(misuse, what_is_accepted_is_said)
{
    misused("block zz", "a height, which is a number from 1 on, or a hash, 64 hex digits");
}

Test(misuse, what_fails_is_not_misuse)
{
    static const char *const fails[] = {
        "balance nobody",
        "keys show nobody",
        "status",
        "tx show none",
        "tx submit none",
        "store check none",
        "genesis check none",
        "verify proof none",
        "multisig show nobody",
        "witness admit nobody --from nobody",
        "block 5",
        "verify chain none --genesis none",
    };
    for (size_t i = 0; i < sizeof fails / sizeof fails[0]; i++)
        cr_expect_eq(run(fails[i]), 1, "poa %s: %s", fails[i], line_err);
    run("verify proof none");
    cr_expect(strstr(line_err, "cannot open none: No such file"), "%s", line_err);
    cr_expect_eq(run("verify proof /"), 1);
    cr_expect(strstr(line_err, "/ is a directory"), "%s", line_err);
    cr_expect_eq(run("balance poa1qqqq"), 2);
    cr_expect_eq(run("status"), 1, "the one before counts no more");
}
