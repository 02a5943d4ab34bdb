/* Command lines from end to end within one process: what goes to standard output,
 * and the exit code. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "poa_cli.h"
#include "poa_rpc_json.h"

static char dir[64];

static void fresh(void)
{
    strcpy(dir, "/tmp/poa-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("POA_KEYS", dir, 1);
    unsetenv("POA_RPC");
}

static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

/* Runs LINE, words separated by blanks; its standard output goes to OUT. */
static int run(const char *line, char *out, size_t cap)
{
    char text[2048], *words[40] = {(char *)"poa"}, path[128];
    int n = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *w = strtok(text, " "); w != NULL && n < 39; w = strtok(NULL, " "))
        words[n++] = strcmp(w, "''") == 0 ? (char *)"" : w;
    snprintf(path, sizeof path, "%s/out", dir);
    fflush(stdout);
    int saved = dup(1);
    FILE *f = fopen(path, "w+");
    cr_assert(saved >= 0 && f != NULL);
    dup2(fileno(f), 1);
    int rc = cli_main(n, words);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    rewind(f);
    size_t got = fread(out, 1, cap - 1, f);
    out[got] = 0;
    fclose(f);
    return rc;
}

static char out[65536];

#define SK "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define PK "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
/* RFC 9381, appendix B.3, example 16. */
#define PI                                                                                         \
    "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f47" \
    "9d9727d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
#define BETA                                                                                       \
    "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff66b71dda49d2de59d03450451af0" \
    "26798e8f81cd2e333de5cdf4f3e140fdd8ae"

Test(cli, vrf, .init = fresh, .fini = clean)
{
    cr_expect_eq(run("vrf prove --suite tai --sk " SK " --alpha ''", out, sizeof out), 0);
    cr_expect_str_eq(out, "pi=" PI "\nbeta=" BETA "\n");
    cr_expect_eq(run("vrf verify --suite tai --pk " PK " --alpha '' --pi " PI, out, sizeof out), 0);
    cr_expect_str_eq(out, "beta=" BETA "\n");
    cr_redirect_stderr();
    /* What proves nothing; what is no command line is for test_misuse.c. */
    static const char *const bad[] = {
        "vrf verify --suite tai --pk " PK " --alpha 00 --pi " PI,
        "vrf verify --suite ell2 --pk " PK " --alpha '' --pi " PI,
        "vrf verify --suite tai --pk " PK " --alpha '' --pi 00",
        "vrf verify --suite tai --pk 00 --alpha '' --pi " PI,
        "vrf verify --suite tai --pk " PK " --alpha '' --pi " PI "00",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(run(bad[i], out, sizeof out), 1, "%s", bad[i]);
        cr_expect_str_eq(out, "");
    }
}

Test(cli, every_command_has_help_with_examples, .init = fresh, .fini = clean)
{
    static const char *const words[] = {
#define ROW(words, function, arguments, least, most, options, summary, examples) words,
        CLI_COMMANDS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s --help", words[i]);
        cr_expect_eq(run(line, out, sizeof out), 0, "%s", line);
        cr_expect_not_null(strstr(out, "examples:\n  poa "), "%s", line);
        char as_help[65536];
        snprintf(line, sizeof line, "help %s", words[i]);
        cr_expect_eq(run(line, as_help, sizeof as_help), 0, "%s", line);
        cr_expect_str_eq(out, as_help);
    }
    cr_expect_eq(run("help", out, sizeof out), 0);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        cr_expect_not_null(strstr(out, words[i]), "%s", words[i]);
}

/* What an example types is what the command takes. */
Test(cli, examples_use_the_options_of_their_command)
{
    static const struct {
        const char *words, *examples;
        cli_options options;
    } commands[] = {
#define ROW(words, function, arguments, least, most, options, summary, examples)                   \
    {words, examples, options},
        CLI_COMMANDS(ROW)
#undef ROW
    };
    static const char *const names[] = {
#define ROW(id, name, argument, help) name,
        CLI_OPTIONS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char text[2048], *rest = text, *line;
        snprintf(text, sizeof text, "%s", commands[i].examples);
        while ((line = strsep(&rest, "\n")) != NULL) {
            char *pipe = strstr(line, " | "), *save = NULL;
            if (pipe != NULL)
                *pipe = 0;
            for (char *word = strtok_r(line, " ", &save); word != NULL;
                 word = strtok_r(NULL, " ", &save)) {
                if (strncmp(word, "--", 2) != 0)
                    continue;
                bool taken = false;
                for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
                    taken |= strcmp(word + 2, names[k]) == 0 && (commands[i].options >> k & 1);
                cr_expect(taken, "poa %s does not take %s", commands[i].words, word);
            }
        }
    }
}

Test(cli, genesis_new, .init = fresh, .fini = clean)
{
    static const char key[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    char line[512];
    cr_redirect_stderr();
    cr_assert_eq(chdir(dir), 0);
    cr_expect_eq(run("keys new boss --no-passphrase", out, sizeof out), 0);
    snprintf(line, sizeof line,
             "genesis new one=%s@192.0.2.7:7640 --steering boss --output net.json", key);
    cr_expect_eq(run(line, out, sizeof out), 0);
    cr_expect_not_null(strstr(out, "1 witnesses, quorum 1"));
    cr_expect_eq(run(line, out, sizeof out), 1, "an existing file is kept");
    cr_expect_eq(run("genesis create net.json --output net.poa", out, sizeof out), 0);
    cr_expect_eq(run("genesis show net.poa", out, sizeof out), 0);
    /* mesh=192.0.2.7:7640 */
    cr_expect_not_null(strstr(out, "6d6573683d3139322e302e322e373a37363430"));
    static const char *const bad[] = {
        "genesis new one --steering boss --output n.json",
        "genesis new one=00@h:1 --steering boss --output n.json",
        "genesis new --steering boss --output n.json",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(run(bad[i], out, sizeof out), 2, "%s", bad[i]);
    snprintf(line, sizeof line, "genesis new a=%s@h:1 --steering boss --output n.json --p 2", key);
    cr_expect_eq(run(line, out, sizeof out), 2);
    snprintf(line, sizeof line, "genesis new a=%s@h:1 b=%s@h:1 --steering boss --output n.json",
             key, key);
    cr_expect_eq(run(line, out, sizeof out), 1, "a witness twice");
}

Test(cli, misuse_is_exit_code_2, .init = fresh, .fini = clean)
{
    cr_redirect_stderr();
    static const char *const lines[] = {
        "bogus",
        "keys",
        "keys bogus",
        "keys new",
        "keys new a b",
        "keys new a --bogus",
        "keys new a --kind",
        "keys new a --kind horse --no-passphrase",
        "keys new a --type horse --no-passphrase",
        "keys list --rpc x",
        "block 5x",
        "block -- -1",
        "tx 12",
        "send poa1x 0 --from a",
        "send poa1x 1",
        "devnet --for forever",
        "devnet --for -5s",
        "devnet --load 10",
        "devnet --load 10 --load 11 --for 1s",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect_eq(run(lines[i], out, sizeof out), 2, "%s", lines[i]);
}

Test(cli, keys, .init = fresh, .fini = clean)
{
    char line[256], secret[80];
    cr_expect_eq(run("keys new alice --no-passphrase --json", out, sizeof out), 0);
    json_t *v = json_loads(out, 0, NULL);
    cr_assert_not_null(v);
    cr_expect_str_eq(json_string_value(json_object_get(v, "type")), "bip340");
    struct stat st;
    cr_assert_eq(stat(json_string_value(json_object_get(v, "path")), &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_expect_eq(run("keys export alice --output -", secret, sizeof secret), 0);
    cr_expect_eq(strlen(secret), 65);
    /* Nothing but export tells the secret. */
    secret[64] = 0;
    cr_expect_null(strstr(out, secret));
    cr_expect_eq(run("keys show alice", out, sizeof out), 0);
    cr_expect_null(strstr(out, secret));

    snprintf(line, sizeof line, "keys export alice --output %s/secret.hex", dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    snprintf(line, sizeof line, "%s/secret.hex", dir);
    cr_assert_eq(stat(line, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);

    /* With a passphrase from a file: import, and open again. */
    snprintf(line, sizeof line, "%s/pass", dir);
    FILE *f = fopen(line, "w");
    cr_assert_not_null(f);
    fputs("correct horse\n", f);
    fclose(f);
    chmod(line, 0600);
    snprintf(line, sizeof line,
             "keys import copy --secret-file %s/secret.hex --passphrase-file %s/pass --json", dir,
             dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    json_t *copy = json_loads(out, 0, NULL);
    cr_expect_str_eq(json_string_value(json_object_get(copy, "address")),
                     json_string_value(json_object_get(v, "address")));
    cr_expect(json_is_true(json_object_get(copy, "passphrase")));
    json_decref(copy);
    snprintf(line, sizeof line, "keys export copy --output - --passphrase-file %s/pass", dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    out[64] = 0;
    cr_expect_str_eq(out, secret);
    f = fopen(strcat(strcpy(line, dir), "/wrong"), "w");
    cr_assert_not_null(f);
    fputs("wrong horse\n", f);
    fclose(f);
    chmod(line, 0600);
    cr_redirect_stderr();
    snprintf(line, sizeof line, "keys export copy --output - --passphrase-file %s/wrong", dir);
    cr_expect_eq(run(line, out, sizeof out), 1);
    cr_expect_eq(run("keys new alice --no-passphrase", out, sizeof out), 1); /* it is there */
    cr_expect_eq(run("keys show nobody", out, sizeof out), 1);
    cr_expect_eq(run("keys new ../x --no-passphrase", out, sizeof out), 2);
    cr_expect_eq(run("keys import x", out, sizeof out), 2);
    snprintf(line, sizeof line, "%s/wrong", dir);
    unlink(line);
    snprintf(line, sizeof line, "%s/pass", dir);
    unlink(line);
    cr_expect_eq(run("keys list --json", out, sizeof out), 0);
    json_t *list = json_loads(out, 0, NULL);
    cr_expect_eq(json_array_size(list), 2);
    json_decref(list);
    json_decref(v);
}

/* An address without its key has a label like a key, and a label names one thing. */
Test(cli, watched_addresses, .init = fresh, .fini = clean)
{
    char line[256], address[128];
    cr_redirect_stderr();
    cr_expect_eq(run("keys new owner --no-passphrase --json", out, sizeof out), 0);
    json_t *v = json_loads(out, 0, NULL);
    snprintf(address, sizeof address, "%s", json_string_value(json_object_get(v, "address")));
    json_decref(v);
    snprintf(line, sizeof line, "keys watch shop %s", address);
    cr_expect_eq(run(line, out, sizeof out), 0);
    cr_expect(strstr(out, address) && strstr(out, "watched"));
    cr_expect_eq(run(line, out, sizeof out), 1, "the label is taken");
    cr_expect_eq(run("keys new shop --no-passphrase", out, sizeof out), 1, "for a key too");
    cr_expect_eq(run("multisig new shop owner --m 1", out, sizeof out), 1, "and for an account");
    snprintf(line, sizeof line, "keys watch owner %s", address);
    cr_expect_eq(run(line, out, sizeof out), 1, "a key has this label");
    cr_expect_eq(run("keys list --json", out, sizeof out), 0);
    v = json_loads(out, 0, NULL);
    cr_assert_eq(json_array_size(v), 2);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(v, 1), "kind")), "watched");
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(v, 1), "address")), address);
    json_decref(v);
    cr_expect_eq(run("keys show shop", out, sizeof out), 0);
    cr_expect_not_null(strstr(out, address));
    cr_expect_eq(run("keys export shop --output -", out, sizeof out), 1, "its key is not here");
    cr_expect_eq(run("keys forget owner", out, sizeof out), 1, "keys are not forgotten");
    cr_expect_eq(run("keys forget shop", out, sizeof out), 0);
    cr_expect_eq(run("keys show shop", out, sizeof out), 1);
    cr_expect_eq(run("keys show owner", out, sizeof out), 0);
}

Test(cli, addresses_say_what_is_wrong, .init = fresh, .fini = clean)
{
    cr_redirect_stderr();
    /* One wrong letter: the checksum tells before anybody is asked. */
    cr_expect_eq(run("balance poa12p2ps6k0x0mu49ygkxsju8ftw9c2mqze2vjd205nuppekn246d5sxwwxpd", out,
                     sizeof out),
                 2);
    cr_expect_eq(run("balance nobody", out, sizeof out), 1);
    fflush(stderr);
    char want[512];
    snprintf(want, sizeof want,
             "poa: poa12p2ps6k0x0mu49ygkxsju8ftw9c2mqze2vjd205nuppekn246d5sxwwxpd: %s\n"
             "poa: nobody is neither an address (poa1...) nor a key here\n",
             poa_address_fault_text(POA_ADDRESS_CHECKSUM));
    cr_assert_stderr_eq_str(want);
}

/* --- genesis ----------------------------------------------------------------------------- */

static json_t *small_genesis(void)
{
    struct poa_genesis g;
    static uint8_t bytes[1024];
    uint8_t seed[32] = {5};
    memset(&g, 0, sizeof g);
    g.version = 1;
    g.name = poa_slice("test", 4);
    g.devnet = 1;
    g.time_ms = 1700000000000u;
    g.slot_ms = 1000;
    g.heartbeat_ms = 500;
    g.timeout_ms = g.timeout_max_ms = 500;
    g.epoch_views = 100;
    g.window_slots = 64;
    g.seats_per_slot = 3;
    g.seal_slots = 64;
    g.treasury[0] = 1;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_op_witness witness = {
        .maker = 1, .region = 1, .provider = 1, .name = poa_slice("w", 1)};
    poa_ed25519_public(seed, witness.key);
    cr_assert_eq(poa_op_witness_encode(&w, &witness), POA_OK);
    g.witnesses = (struct poa_list){poa_written(&w), 1};
    return poa_json_record(&poa_genesis_record, &g);
}

Test(cli, genesis, .init = fresh, .fini = clean)
{
    char line[256], in[128];
    json_t *v = small_genesis();
    snprintf(in, sizeof in, "%s/g.json", dir);
    cr_assert_eq(json_dump_file(v, in, 0), 0);
    snprintf(line, sizeof line, "genesis create %s --output %s/g.poa", in, dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    cr_expect_eq(strlen(out), 65);
    char chain[1024];
    snprintf(line, sizeof line, "genesis check %s/g.poa", dir);
    cr_expect_eq(run(line, chain, sizeof chain), 0);
    cr_expect(strncmp(out, chain, 65) == 0); /* then the bound */
    snprintf(line, sizeof line, "genesis show %s/g.poa", dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    json_t *shown = json_loads(out, 0, NULL);
    cr_expect(json_equal(v, shown));
    json_decref(shown);

    cr_redirect_stderr();
    snprintf(line, sizeof line, "genesis create %s --output %s/bad.poa", in, dir);
    json_object_set_new(v, "devnet", json_integer(0)); /* one witness is no network */
    cr_assert_eq(json_dump_file(v, in, 0), 0);
    cr_expect_eq(run(line, out, sizeof out), 1);
    json_object_set_new(v, "devnet", json_integer(1));
    json_object_set_new(v, "slot_ms", json_integer(1));
    cr_assert_eq(json_dump_file(v, in, 0), 0);
    cr_expect_eq(run(line, out, sizeof out), 1);
    json_object_set_new(v, "slot_ms", json_integer(1000));
    json_object_set_new(v, "more", json_integer(1));
    cr_assert_eq(json_dump_file(v, in, 0), 0);
    cr_expect_eq(run(line, out, sizeof out), 1);
    snprintf(line, sizeof line, "genesis check %s", in);
    cr_expect_eq(run(line, out, sizeof out), 1);
    json_decref(v);
}

/* --- witness ----------------------------------------------------------------------------- */

static double number_at(const json_t *v, const char *key)
{
    cr_assert(json_is_number(json_object_get(v, key)), "no number %s", key);
    return json_number_value(json_object_get(v, key));
}

static json_t *run_json(const char *line)
{
    cr_assert_eq(run(line, out, sizeof out), 0, "%s", line);
    json_t *v = json_loads(out, 0, NULL);
    cr_assert_not_null(v, "%s: %s", line, out);
    return v;
}

/* What FILE of the test's directory holds. */
static void slurp(const char *file, char *text, size_t cap)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    text[fread(text, 1, cap - 1, f)] = 0;
    fclose(f);
}

Test(cli, a_transaction_is_never_signed_beyond_what_it_takes, .init = fresh, .fini = clean)
{
    char line[512], make[256], before[4096], after[4096];
    static const char *const keys[] = {"alice", "bob", "fridge"};
    json_t *v = small_genesis();
    snprintf(line, sizeof line, "%s/g.json", dir);
    cr_assert_eq(json_dump_file(v, line, 0), 0);
    json_decref(v);
    snprintf(line, sizeof line, "genesis create %s/g.json --output %s/g.poa", dir, dir);
    cr_assert_eq(run(line, out, sizeof out), 0);
    for (size_t i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "keys new %s --no-passphrase", keys[i]);
        cr_assert_eq(run(line, out, sizeof out), 0);
    }
    /* What the first key may pay alone takes one signature, and another one spoils it. */
    cr_assert_eq(run("multisig new cellar alice bob fridge --m 3 --alone 50000", out, sizeof out),
                 0);
    for (unsigned amount = 40000; amount <= 60000; amount += 20000) {
        snprintf(line, sizeof line,
                 "send bob %u --from cellar --nonce 0 --fee 1000 --genesis %s/g.poa --output "
                 "%s/%u.tx",
                 amount, dir, dir, amount);
        cr_expect_eq(run(line, out, sizeof out), 0);
        cr_expect(strstr(out, amount == 40000 ? "1 of 3 signatures; `poa tx submit` sends it"
                                              : "3 of 3 signatures; `poa tx submit` sends it"),
                  "%s", out);
    }

    cr_assert_eq(run("multisig new kitchen alice bob fridge --m 2", out, sizeof out), 0);
    snprintf(make, sizeof make,
             "send bob 40000 --from kitchen --nonce 0 --fee 1000 --genesis %s/g.poa", dir);

    snprintf(line, sizeof line, "%s --sign fridge,bob --output %s/m.tx", make, dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    cr_expect(strstr(out, "2 of 2 signatures; `poa tx submit` sends it"), "%s", out);
    slurp("m.tx", before, sizeof before);
    cr_redirect_stderr();
    snprintf(line, sizeof line, "tx sign %s/m.tx --sign alice --genesis %s/g.poa", dir, dir);
    cr_expect_eq(run(line, out, sizeof out), 1, "a third of two signatures");
    slurp("m.tx", after, sizeof after);
    cr_expect_str_eq(before, after, "the file is as it was");
    snprintf(line, sizeof line, "%s --sign fridge,bob,alice --output %s/n.tx", make, dir);
    cr_expect_eq(run(line, out, sizeof out), 1, "three at once");
    snprintf(line, sizeof line, "%s/n.tx", dir);
    cr_expect_neq(access(line, F_OK), 0, "nothing is written");

    snprintf(line, sizeof line, "%s --sign fridge --output %s/o.tx", make, dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    slurp("o.tx", before, sizeof before);
    snprintf(line, sizeof line, "tx sign %s/o.tx --sign bob,alice --genesis %s/g.poa", dir, dir);
    cr_expect_eq(run(line, out, sizeof out), 1, "two where one is missing");
    slurp("o.tx", after, sizeof after);
    cr_expect_str_eq(before, after);
    snprintf(line, sizeof line, "tx sign %s/o.tx --sign bob --genesis %s/g.poa", dir, dir);
    cr_expect_eq(run(line, out, sizeof out), 0);
    cr_expect(strstr(out, "2 of 2 signatures"), "%s", out);
    snprintf(line, sizeof line, "tx sign %s/40000.tx --sign bob --genesis %s/g.poa", dir, dir);
    cr_expect_eq(run(line, out, sizeof out), 1);
    fflush(stderr);
    FILE *said = cr_get_redirected_stderr();
    char text[2048];
    text[fread(text, 1, sizeof text - 1, said)] = 0;
    cr_expect(strstr(text, "m.tx has all signatures it needs: `poa tx submit`"), "%s", text);
    cr_expect(strstr(text, "40000.tx has all signatures it needs"), "%s", text);
    cr_expect(strstr(text, "2 signatures are needed, and there: that of alice is one too many"),
              "%s", text);
}

Test(cli, witness_bounds, .init = fresh, .fini = clean)
{
    json_t *v = run_json("witness bounds --n 31 --q 21 --p 0.1 --json");
    cr_expect_float_eq(number_at(v, "forge") / 1.6277e-14, 1, 1e-3);
    cr_expect_float_eq(number_at(v, "fork") / 1.2559e-4, 1, 1e-3);
    cr_expect_float_eq(number_at(v, "stall") / 1.2559e-4, 1, 1e-3);
    json_decref(v);
    /* n - f is the usual quorum; offline ones stall but do not fork */
    v = run_json("witness bounds --n 31 --p 0.1 --offline 0.05 --json");
    cr_expect_eq(number_at(v, "q"), 21);
    cr_expect_float_eq(number_at(v, "fork") / 1.2559e-4, 1, 1e-3);
    cr_expect_gt(number_at(v, "stall"), 1e-3);
    json_decref(v);
    v = run_json("witness bounds --n 31 --q 21 --p 0.1 --pool 200 --bad 20 --group 4 --json");
    cr_expect_float_eq(number_at(v, "fork") / 1.4415e-5, 1, 1e-3);
    cr_expect_eq(number_at(v, "forge"), 0); /* only 20 are bad */
    cr_expect_float_eq(number_at(json_object_get(v, "binomial"), "fork") / 1.2559e-4, 1, 1e-3);
    cr_expect_gt(number_at(json_object_get(v, "group"), "fork"), 1e-3);
    json_decref(v);
    /* too small for a double: the logarithm is left */
    v = run_json("witness bounds --n 128 --q 128 --p 1e-9 --json");
    cr_expect_eq(number_at(v, "forge"), 0);
    cr_expect_float_eq(number_at(json_object_get(v, "log10"), "forge"), -1152, 1e-6);
    json_decref(v);
    v = run_json("witness bounds --seals 63 --seats 192 --p 0.1 --offline 0.4 --json");
    cr_expect_float_eq(number_at(v, "forge") / 2.3227e-15, 1, 1e-3);
    cr_expect_float_eq(number_at(v, "delay") / 6.7536e-6, 1, 1e-3);
    json_decref(v);
    cr_redirect_stderr();
    static const char *const wrong[] = {
        "witness bounds --q 3 --p 0.1",
        "witness bounds --n 31",
        "witness bounds --n 31 --q 32 --p 0.1",
        "witness bounds --n 31 --p 1.1",
        "witness bounds --n 31 --p nan",
        "witness bounds --n 31 --p 0.1x",
        "witness bounds --n 0 --p 0.1",
        "witness bounds --n 31 --p 0.1 --pool 200",
        "witness bounds --n 31 --p 0.1 --pool 20 --bad 2",
        "witness bounds --n 31 --pool 200 --bad 201",
        "witness bounds --n 31 --pool 200 --bad 2 --group 4",
        "witness bounds --n 31 --p 0.1 --seals 3 --seats 9",
        "witness bounds --seals 3 --p 0.1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_eq(run(wrong[i], out, sizeof out), 2, "%s", wrong[i]);
}

Test(cli, witness_plan, .init = fresh, .fini = clean)
{
    json_t *v = run_json("witness plan --p 0.05 --target 1e-12 --offline 0.01 --json");
    cr_expect_eq(number_at(v, "n"), 70);
    cr_expect_eq(number_at(v, "q"), 47);
    cr_expect_leq(number_at(v, "fork"), 1e-12);
    cr_expect_leq(number_at(v, "stall"), 1e-12);
    cr_expect_eq(number_at(v, "certificate_bytes"), 62 + 64 * 47);
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(v, "table"), i, row)
    {
        bool meets = number_at(row, "fork") <= 1e-12 && number_at(row, "stall") <= 1e-12;
        cr_expect_eq(json_is_true(json_object_get(row, "meets")), meets);
        cr_expect(!meets || number_at(row, "n") >= 70);
    }
    cr_expect_eq(i, 9);
    json_decref(v);
    v = run_json("witness plan --p 0.05 --target 1e-12 --stall-target 1e-6 --offline 0.05 --json");
    cr_expect(number_at(v, "n") == 59 && number_at(v, "q") == 40);
    json_decref(v);
    cr_redirect_stderr();
    cr_expect_eq(run("witness plan --p 0.2 --target 1e-12", out, sizeof out), 1);
    cr_expect_eq(run("witness plan --p 0.4 --target 1e-12", out, sizeof out), 1);
    cr_expect_eq(run("witness plan --p 0.2", out, sizeof out), 2);
    cr_expect_eq(run("witness draw", out, sizeof out), 2);
}
