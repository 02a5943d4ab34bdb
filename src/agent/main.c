/* poa-device: a micro-miner for Linux. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "poa_agent.h"
#include "poa_agent_options.h"
#include "poa_keystore.h"
#include "poa_ledger.h"
#include "poa_log.h"
#include "poa_talk.h"
#include "poa_wallet.h"

#define GENESIS_MAX (64u << 20)

static atomic_int stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static int fail(const char *text)
{
    fprintf(stderr, "poa-device: %s\n", text);
    return 1;
}

static void help(void)
{
    printf("usage: " POA_AGENT_USAGE "\n" POA_AGENT_ABOUT "\n\noptions:\n");
#define HELP_ROW(name, letter, argument, text)                                                     \
    printf("  --%-15s %-14s %s\n", name, (argument) ? (const char *)(argument) : "", text);
    POA_AGENT_OPTIONS(HELP_ROW)
#undef HELP_ROW
    printf("\nexamples:\n");
#define EXAMPLE_ROW(line) printf("  %s\n", line);
    POA_AGENT_EXAMPLES(EXAMPLE_ROW)
#undef EXAMPLE_ROW
    printf("\nExit status: " POA_AGENT_EXITS "\n");
}

/* Seconds with a fraction, as milliseconds. */
static bool seconds(const char *text, uint32_t *ms)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= 0) || v > 1e6)
        return false;
    *ms = (uint32_t)(v * 1000 + 0.5);
    return true;
}

static bool duration(const char *text, uint64_t *ms)
{
    char *end;
    double v = strtod(text, &end);
    double unit = !strcmp(end, "ms")           ? 1
                  : !strcmp(end, "s") || !*end ? 1000
                  : !strcmp(end, "m")          ? 60000
                  : !strcmp(end, "h")          ? 3600000
                  : !strcmp(end, "d")          ? 86400000
                                               : 0;
    if (end == text || unit == 0 || !(v > 0) || v * unit > 1e13)
        return false;
    *ms = (uint64_t)(v * unit + 0.5);
    return true;
}

static bool whole(const char *text, unsigned long min, unsigned long max, uint32_t *out)
{
    unsigned long v = strtoul(text, NULL, 10);
    if (!*text || strspn(text, "0123456789") != strlen(text) || v < min || v > max)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* "ID@KEY". */
static bool maker(const char *text, struct poa_op_device *d)
{
    char *end;
    unsigned long id = strtoul(text, &end, 10);
    d->maker = (uint32_t)id;
    return end != text && *end == '@' && id > 0 && id <= UINT32_MAX && strlen(end + 1) == 64 &&
           poa_unhex(end + 1, d->maker_key, 32) == POA_OK;
}

struct options {
    int argc;
    char **argv;
    bool pairing;
    struct poa_op_device pair;
    const char *key, *passphrase_file, *state, *genesis;
    struct agent_gateway gateway[AGENT_GATEWAYS_MAX];
    uint8_t chain[32];
    char *genesis_bytes, *default_state; /* owned */
    enum poa_log_level level;
    bool json;
    uint8_t peer[32];
    struct agent_question question;
    uint8_t talk[AGENT_TALKS_MAX][32];
    struct agent_config agent;
    int exit_code;
};

/* Exit codes beside 0, done, and 1, failed; the last two of --check. */
#define EXIT_MISUSED   2
#define EXIT_UNKNOWN   3
#define EXIT_SUSPENDED 4

/* What an account holds, proven; one that the ledger does not know holds nothing. */
static void on_account(void *ctx, struct poa_slice value, uint64_t height, uint64_t time_ms)
{
    struct options *o = ctx;
    struct poa_st_account a = {0};
    char address[POA_ADDRESS_TEXT_BYTES];
    (void)time_ms;
    poa_address_to_text(o->peer, address);
    o->exit_code = poa_wallet_account(value, &a) ? EXIT_UNKNOWN : 0;
    printf(o->json ? "{\"account\":\"%s\",\"balance\":\"%" PRIu64 "\",\"nonce\":%" PRIu64
                     ",\"height\":%" PRIu64 "}\n"
                   : "account %s holds %" PRIu64 ", nonce %" PRIu64 "; proven at height %" PRIu64
                     "\n",
           address, a.balance, a.nonce, height);
}

static void on_peer(void *ctx, struct poa_slice value, uint64_t height, uint64_t time_ms)
{
    struct options *o = ctx;
    struct poa_st_device d;
    char key[65], owner[POA_ADDRESS_TEXT_BYTES], payout[POA_ADDRESS_TEXT_BYTES];
    poa_hex(o->peer, 32, key);
    bool known = value.n && !poa_st_device_decode(value, &d);
    if (!known)
        memset(&d, 0, sizeof d);
    poa_address_to_text(d.owner, owner);
    poa_address_to_text(d.payout, payout);
    o->exit_code = !known ? EXIT_UNKNOWN : d.status ? EXIT_SUSPENDED : 0;
    const char *status = !known ? "unknown" : d.status ? "suspended" : "active";
    if (!o->json) {
        printf("device %s is %s", key, status);
        if (known)
            printf(": maker %" PRIu32 ", region %u, owner %s, sealed %" PRIu64 " of %" PRIu64,
                   d.maker, d.region, owner, d.sealed, d.assigned);
        printf("; proven at height %" PRIu64 "\n", height);
        return;
    }
    json_t *v = json_pack("{s:s, s:s, s:I, s:I}", "device", key, "status", status, "height",
                          (json_int_t)height, "time_ms", (json_int_t)time_ms);
    if (known && v)
        json_object_update_new(v, json_pack("{s:I, s:I, s:I, s:s, s:s, s:I, s:I}", "index",
                                            (json_int_t)d.index, "maker", (json_int_t)d.maker,
                                            "region", (json_int_t)d.region, "owner", owner,
                                            "payout", payout, "sealed", (json_int_t)d.sealed,
                                            "assigned", (json_int_t)d.assigned));
    char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(v);
}

static int bad(struct poa_why *why, const char *option, const char *value, const char *want)
{
    return poa_because(why, POA_E_CONFIG, "--%s: \"%.80s\" is not %s", option, value, want);
}

/* RC and its reason INNER, as what is wrong with OPTION. */
static int blame(struct poa_why *why, const char *option, int rc, const struct poa_why *inner)
{
    return rc ? poa_because(why, rc == POA_E_NO_MEMORY ? rc : POA_E_CONFIG, "--%s: %s", option,
                            inner->text)
              : POA_OK;
}

static int question(struct options *o, const char *text, struct poa_why *why)
{
    if (!poa_address_from_text(text, o->peer, NULL))
        o->question =
            (struct agent_question){POA_STATE_ACCOUNT, poa_slice(o->peer, 32), on_account, o};
    else if (strlen(text) == 64 && !poa_unhex(text, o->peer, 32))
        o->question = (struct agent_question){POA_STATE_DEVICE, poa_slice(o->peer, 32), on_peer, o};
    else
        return bad(why, "check", text, "a device's key (64 hex digits) or an address (poa1...)");
    o->agent.question = &o->question;
    o->agent.source = NULL;
    return POA_OK;
}

/* One line for each text, in order. What is no text is printed in hex. */
static void on_heard(void *ctx, const uint8_t from32[32], struct poa_slice text)
{
    const struct options *o = ctx;
    char from[65], hex[2 * POA_EDGE_RELAY_MAX + 1];
    poa_hex(from32, 32, from);
    json_t *said = json_stringn((const char *)text.p, text.n);
    if (!said || memchr(text.p, 0, text.n)) {
        json_decref(said);
        poa_hex(text.p, text.n, hex);
        said = json_string(hex);
    }
    json_t *v = json_pack("{s:s, s:o}", "from", from, "said", said);
    /* Escaped in both forms: it comes from somebody else. */
    char *line = o->json ? json_dumps(v, JSON_COMPACT) : json_dumps(said, JSON_ENCODE_ANY);
    if (line && o->json)
        puts(line);
    else if (line)
        printf("device %s said %s\n", from, line);
    fflush(stdout);
    free(line);
    json_decref(v);
}

static int talk_to(struct options *o, const char *text, struct poa_why *why)
{
    struct agent_config *a = &o->agent;
    if (a->talks == AGENT_TALKS_MAX)
        return poa_because(why, POA_E_CONFIG, "--talk: at most %d devices", AGENT_TALKS_MAX);
    if (strlen(text) != 64 || poa_unhex(text, o->talk[a->talks], 32))
        return bad(why, "talk", text, "a device's key, which has 64 hex digits");
    for (size_t i = 0; i < a->talks; i++)
        if (!memcmp(o->talk[i], o->talk[a->talks], 32))
            return bad(why, "talk", text, "another device: it is given twice");
    a->talks++;
    a->talk = (const uint8_t(*)[32])o->talk;
    a->heard = on_heard;
    a->heard_ctx = o;
    return POA_OK;
}

/* What takes an argument. */
static int argument(struct options *o, int letter, const char *text, struct poa_why *why)
{
    struct agent_config *a = &o->agent;
    struct poa_why inner = {""};
    uint32_t number = 0;
    enum poa_address_fault fault;
    switch (letter) {
    case 'k':
        o->key = text;
        return POA_OK;
    case 'p':
        o->passphrase_file = text;
        return POA_OK;
    case 'g':
        return blame(why, "gateway", agent_gateways_parse(text, o->gateway, &a->gateways, &inner),
                     &inner);
    case 'G':
        o->genesis = text;
        return POA_OK;
    case 'c':
        if (strlen(text) != 64 || poa_unhex(text, o->chain, 32))
            return bad(why, "chain", text, "a chain id, which has 64 hex digits");
        a->chain32 = o->chain;
        return POA_OK;
    case 'D':
        if (!whole(text, 0, 36500, &number))
            return bad(why, "trust-days", text, "a number from 0 to 36500 days");
        a->trust_ms = (uint64_t)number * 86400000;
        return POA_OK;
    case 's':
        a->source = strcmp(text, "none") ? text : NULL;
        return POA_OK;
    case 'i':
        return seconds(text, &a->interval_ms)
                   ? POA_OK
                   : bad(why, "interval", text, "a number of seconds from 0 to 1000000");
    case 'P':
        return seconds(text, &a->pack_ms)
                   ? POA_OK
                   : bad(why, "pack-every", text, "a number of seconds from 0 to 1000000");
    case 'S':
        o->state = text;
        return POA_OK;
    case 'q': /* one place for the pack under construction, one for the next */
        return whole(text, 2, AGENT_KEEP_PACKS_MAX, &a->queue_packs)
                   ? POA_OK
                   : bad(why, "queue", text, "a number from 2 to 65536 packs");
    case 'f':
        return duration(text, &a->for_ms) ? POA_OK
                                          : bad(why, "for", text, "a time such as 30s, 5m or 2h");
    case 'C':
        return question(o, text, why);
    case 'T':
        return talk_to(o, text, why);
    case 'y':
        if (!*text || strlen(text) > POA_TALK_TEXT_MAX)
            return poa_because(why, POA_E_CONFIG, "--say: from 1 to %d bytes",
                               (int)POA_TALK_TEXT_MAX);
        a->say = text;
        return POA_OK;
    case 'w':
        if (poa_address_from_text(text, o->pair.owner, &fault))
            return poa_because(why, POA_E_CONFIG, "--pair: \"%.80s\" is no address: %s", text,
                               poa_address_fault_text(fault));
        o->pairing = true;
        return POA_OK;
    case 'm':
        return maker(text, &o->pair)
                   ? POA_OK
                   : bad(why, "maker", text, "ID@KEY, a number and a key of 64 hex digits");
    case 'r':
        if (!whole(text, 0, UINT16_MAX, &number))
            return bad(why, "region", text, "a number from 0 to 65535");
        o->pair.region = (uint16_t)number;
        return POA_OK;
    case 'l':
        return poa_log_level_parse(text, &o->level)
                   ? bad(why, "log-level", text, "one of error, warn, info, debug, trace")
                   : POA_OK;
    default:
        return POA_E_INVALID;
    }
}

static const struct option longs[] = {
#define LONG_ROW(name, letter, argument, text)                                                     \
    {name, (argument) ? required_argument : no_argument, NULL, letter},
    POA_AGENT_OPTIONS(LONG_ROW)
#undef LONG_ROW
        {NULL, 0, NULL, 0}};
#define OPTIONS (sizeof longs / sizeof longs[0] - 1)

/* What the options need of each other. */
static int agree(const struct options *o, struct poa_why *why)
{
    const struct agent_config *a = &o->agent;
    if (!o->key)
        return poa_because(why, POA_E_CONFIG,
                           "--key: missing: make one with `poa keys new --kind device`");
    if (o->pairing && !o->pair.maker)
        return poa_because(why, POA_E_CONFIG, "--maker: missing: --pair needs ID@KEY");
    if (o->pairing && !(o->genesis || a->chain32))
        return poa_because(why, POA_E_CONFIG,
                           "--genesis: missing: --pair needs the network, by it or by --chain");
    if (a->say && !a->talks)
        return poa_because(why, POA_E_CONFIG, "--talk: missing: --say needs to know whom");
    if (!a->gateways && !o->pairing)
        return poa_because(why, POA_E_CONFIG, "--gateway: missing: KEY@HOST:PORT");
    if (a->once && a->source && strncmp(a->source, "csv:", 4) != 0)
        return poa_because(why, POA_E_CONFIG,
                           "--once: this source never ends; --source csv:FILE does");
    return POA_OK;
}

static int parse(int argc, char **argv, struct options *o, struct poa_why *why)
{
    bool given[OPTIONS] = {false};
    int c, rc = POA_OK;
    o->level = POA_LOG_INFO;
    o->agent.source = "procfs";
    o->agent.interval_ms = 5000;
    o->agent.pack_ms = 10000;
    o->agent.queue_packs = 256;
    o->agent.gateway = o->gateway;
    opterr = 0;
    while (!rc && (c = getopt_long(argc, argv, ":k:g:s:h", longs, NULL)) != -1) {
        if (c == ':' || c == '?')
            return poa_because(why, POA_E_CONFIG,
                               c == ':' ? "%s: needs a value; see --help"
                                        : "%s: no such option; see --help",
                               argv[optind - 1]);
        size_t i = 0;
        while (longs[i].val != c)
            i++;
        if (given[i] && c != 'g' && c != 'T')
            return poa_because(why, POA_E_CONFIG, "--%s: given twice", longs[i].name);
        given[i] = true;
        if (c == 'h') {
            help();
            exit(0);
        }
        if (c == 'o')
            o->agent.once = true;
        else if (c == 't')
            o->agent.streaming = true;
        else if (c == 'j')
            o->json = true;
        else
            rc = argument(o, c, optarg, why);
    }
    if (!rc && optind < argc)
        rc = poa_because(why, POA_E_CONFIG, "unexpected argument \"%.80s\"; see --help",
                         argv[optind]);
    if (!rc)
        rc = agree(o, why);
    struct poa_log_config log = {.fd = 2, .level = o->level};
    poa_log_setup(&log);
    return rc;
}

/* --- what the options name ------------------------------------------------------------ */

static int open_key(struct options *o, struct poa_why *why)
{
    struct poa_passphrase pass = {.n = 0};
    struct poa_keystore_info info;
    struct poa_why inner = {""};
    int e = POA_OK;
    if (o->passphrase_file)
        e = poa_passphrase_read(o->passphrase_file, &pass, &inner);
    if (e)
        return blame(why, "passphrase-file", e, &inner);
    e = poa_keystore_open(o->key, &pass, &info, o->agent.seed32, &inner);
    poa_wipe(&pass, sizeof pass);
    if (e == POA_E_NOT_FOUND)
        return poa_because(
            why, POA_E_CONFIG,
            "--key: there is no %.120s: `poa keys new LABEL --kind device` makes one", o->key);
    if (e == POA_E_PASSPHRASE && !o->passphrase_file)
        return poa_because(why, POA_E_CONFIG, "--key: %s: say where it is with --passphrase-file",
                           inner.text);
    if (e)
        return blame(why, e == POA_E_PASSPHRASE ? "passphrase-file" : "key", e, &inner);
    if (info.type != POA_KEY_ED25519)
        return poa_because(why, POA_E_CONFIG,
                           "--key: %.120s is not the key of a device, which is ed25519: `poa keys "
                           "new LABEL --kind device` makes one",
                           o->key);
    memcpy(o->agent.key32, info.pk, 32);
    return POA_OK;
}

static int read_genesis(struct options *o, struct poa_why *why)
{
    struct poa_why inner = {""};
    struct poa_genesis g;
    uint8_t chain[32];
    size_t n = 0;
    int e = poa_file_read(o->genesis, GENESIS_MAX, 0, &o->genesis_bytes, &n, &inner);
    if (e)
        return blame(why, "genesis", e, &inner);
    o->agent.genesis = poa_slice(o->genesis_bytes, n);
    if (poa_genesis_decode(o->agent.genesis, &g))
        return poa_because(why, POA_E_CONFIG,
                           "--genesis: %.120s is no genesis record: `poa genesis create` makes one",
                           o->genesis);
    poa_genesis_chain_id(o->agent.genesis, chain);
    if (o->agent.chain32 && memcmp(chain, o->chain, 32) != 0)
        return poa_because(why, POA_E_CONFIG, "--chain: %.120s is of another chain", o->genesis);
    memcpy(o->chain, chain, 32);
    o->agent.chain32 = o->chain;
    return POA_OK;
}

static int check_source(const char *source, struct poa_why *why)
{
    struct poa_why inner = {""};
    struct agent_csv *csv = NULL;
    if (!source || strcmp(source, "procfs") == 0 || (strncmp(source, "exec:", 5) == 0 && source[5]))
        return POA_OK;
    if (strncmp(source, "csv:", 4) != 0)
        return bad(why, "source", source, "procfs, csv:FILE, exec:COMMAND or none");
    int e = blame(why, "source", agent_csv_open(source + 4, &csv, &inner), &inner);
    agent_csv_close(csv);
    return e;
}

/* A state file is made where one can be made. */
static int check_state(const char *path, struct poa_why *why)
{
    char parent[PATH_MAX];
    struct stat st;
    snprintf(parent, sizeof parent, "%s", path);
    const char *dir = dirname(parent);
    if (stat(dir, &st) != 0)
        return poa_because(why, POA_E_CONFIG, "--state: directory %.120s: %s%s", dir,
                           strerror(errno), errno == ENOENT ? ": make it first" : "");
    if (access(dir, W_OK | X_OK) != 0)
        return poa_because(why, POA_E_CONFIG, "--state: directory %.120s: %s", dir,
                           strerror(errno));
    return POA_OK;
}

/* Before a file is written: a start that cannot succeed leaves nothing behind. */
static int prepare(struct options *o, struct poa_why *why)
{
    int e = open_key(o, why);
    if (!e && o->genesis)
        e = read_genesis(o, why);
    if (!e)
        e = check_source(o->agent.source, why);
    if (!e && !o->state) {
        if (asprintf(&o->default_state, "%s.state", o->key) < 0)
            return poa_because(why, POA_E_NO_MEMORY, "out of memory");
        o->state = o->default_state;
    }
    /* Which device it is, is known by now. */
    for (size_t i = 0; !e && i < o->agent.talks; i++) {
        struct poa_talk t;
        if (poa_talk_init(&t, o->agent.key32, o->agent.seed32, o->agent.key32, o->talk[i]))
            e = poa_because(why, POA_E_CONFIG, "--talk: %s",
                            memcmp(o->talk[i], o->agent.key32, 32) ? "no key of a device"
                                                                   : "this device itself");
        poa_talk_wipe(&t);
    }
    return e || o->pairing ? e : check_state(o->state, why);
}

/* Shows what the owner needs. */
static int show_pairing(struct options *o)
{
    char text[AGENT_PAIR_TEXT];
    poa_address_of_key(POA_KEY_ED25519, o->agent.key32, o->pair.payout); /* its own wallet */
    if (agent_pair_text(o->agent.chain32, o->agent.seed32, &o->pair, text))
        return fail("the pairing code cannot be made");
    if (o->json) {
        printf("{\"pair\":\"%s\"}\n", text);
        return 0;
    }
    if (agent_qr_print(stdout, text))
        return fail("the pairing code does not fit in a QR code");
    printf("%s\n\nThe manufacturer vouches for it: poa device attest CODE --maker-key MAKER\n"
           "The owner scans it and runs: poa device pair CODE --attestation HEX --from OWNER\n"
           "HEX is what the first command prints.\n",
           text);
    return 0;
}

static void print_summary(const struct agent_summary *s)
{
    json_t *v = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                          "connects", (json_int_t)s->connects, "resumed", (json_int_t)s->resumed,
                          "vrf", (json_int_t)s->vrf, "tickets", (json_int_t)s->tickets, "sealed",
                          (json_int_t)s->sealed, "seals_accepted", (json_int_t)s->seals_accepted,
                          "seals_refused", (json_int_t)s->seals_refused, "readings",
                          (json_int_t)s->readings, "packs", (json_int_t)s->packs, "receipts",
                          (json_int_t)s->receipts, "packs_refused", (json_int_t)s->packs_refused,
                          "packs_waiting", (json_int_t)s->waiting, "alarms", (json_int_t)s->alarms);
    char earned[24];
    /* Amounts are strings: JSON numbers lose the last digits of 64 bits. */
    snprintf(earned, sizeof earned, "%" PRIu64, s->earned);
    json_object_set_new(v, "earned", json_string(earned));
    char *text = json_dumps(v, JSON_COMPACT);
    if (text)
        puts(text);
    free(text);
    json_decref(v);
}

static int run(struct options *o)
{
    struct poa_why why = {""};
    struct agent_summary sum = {0};
    const char *what;
    int e = parse(o->argc, o->argv, o, &why);
    if (!e && (poa_crypto_init() || poa_crypto_selftest_device(&what)))
        return fail("the cryptographic library fails its self-test");
    if (!e)
        e = prepare(o, &why);
    if (e) {
        fail(why.text);
        return e == POA_E_CONFIG ? EXIT_MISUSED : 1;
    }
    if (o->pairing)
        return show_pairing(o);
    o->agent.state_path = o->state;
    o->agent.clock = poa_clock_system();
    o->agent.stop = &stopped;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (agent_run(&o->agent, &sum, &why))
        return fail(why.text);
    if (o->agent.question && !sum.answered)
        return fail("no answer: is the gateway there?");
    if (o->json && !o->agent.question)
        print_summary(&sum);
    /* Who asked for all of a file is told that some of it is nowhere. */
    if (o->agent.once && sum.packs_refused) {
        snprintf(why.text, sizeof why.text, "%" PRIu64 " packs were refused for good: %s",
                 sum.packs_refused, poa_error_text(sum.refused_code));
        return fail(why.text);
    }
    if (o->agent.once && (!sum.ended || sum.waiting)) {
        snprintf(why.text, sizeof why.text,
                 "stopped before the end: %s%" PRIu64 " packs wait for their receipt; the same "
                 "command goes on, nothing is lost",
                 sum.ended ? "" : "not all was read, and ", sum.waiting);
        return fail(why.text);
    }
    return o->exit_code;
}

int main(int argc, char **argv)
{
    static struct options o;
    o.argc = argc;
    o.argv = argv;
    umask(0077);
    int rc = run(&o);
    poa_wipe(o.agent.seed32, 32);
    free(o.genesis_bytes);
    free(o.default_state);
    return rc;
}
