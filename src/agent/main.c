/* poa-device: a micro-miner for Linux. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "poa_agent.h"
#include "poa_agent_options.h"
#include "poa_keystore.h"
#include "poa_ledger.h"
#include "poa_log.h"
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

static bool whole(const char *text, unsigned long max, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (end == text || *end || *text == '-' || v > max)
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
    bool pairing;
    struct poa_op_device pair;
    const char *key, *passphrase_file, *state, *genesis;
    struct agent_gateway gateway[AGENT_GATEWAYS_MAX];
    uint8_t chain[32];
    bool json;
    uint8_t peer[32];
    struct agent_question question;
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

static int bad(struct poa_why *why, const char *option, const char *value)
{
    return poa_because(why, POA_E_CONFIG, "--%s cannot be %s: see --help", option, value);
}

static int parse(int argc, char **argv, struct options *o, struct poa_why *why)
{
#define LONG_ROW(name, letter, argument, text)                                                     \
    {name, (argument) ? required_argument : no_argument, NULL, letter},
    static const struct option longs[] = {POA_AGENT_OPTIONS(LONG_ROW){NULL, 0, NULL, 0}};
#undef LONG_ROW
    struct agent_config *a = &o->agent;
    enum poa_log_level level = POA_LOG_INFO;
    uint32_t days = 0, region = 0;
    enum poa_address_fault fault;
    int c;
    a->source = "procfs";
    a->interval_ms = 5000;
    a->pack_ms = 10000;
    a->queue_packs = 256;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":k:g:s:h", longs, NULL)) != -1) {
        switch (c) {
        case 'k':
            o->key = optarg;
            break;
        case 'p':
            o->passphrase_file = optarg;
            break;
        case 'g':
            if (agent_gateways_parse(optarg, o->gateway, &a->gateways, why))
                return POA_E_CONFIG;
            break;
        case 'G':
            o->genesis = optarg;
            break;
        case 'c':
            if (strlen(optarg) != 64 || poa_unhex(optarg, o->chain, 32))
                return bad(why, "chain", optarg);
            a->chain32 = o->chain;
            break;
        case 'D':
            if (!whole(optarg, 36500, &days))
                return bad(why, "trust-days", optarg);
            a->trust_ms = (uint64_t)days * 86400000;
            break;
        case 's':
            a->source = strcmp(optarg, "none") ? optarg : NULL;
            break;
        case 'i':
            if (!seconds(optarg, &a->interval_ms))
                return bad(why, "interval", optarg);
            break;
        case 'P':
            if (!seconds(optarg, &a->pack_ms))
                return bad(why, "pack-every", optarg);
            break;
        case 'S':
            o->state = optarg;
            break;
        case 'q':
            if (!whole(optarg, AGENT_KEEP_PACKS_MAX, &a->queue_packs))
                return bad(why, "queue", optarg);
            break;
        case 'f':
            if (!duration(optarg, &a->for_ms))
                return bad(why, "for", optarg);
            break;
        case 'o':
            a->once = true;
            break;
        case 'C':
            if (!poa_address_from_text(optarg, o->peer, NULL))
                o->question = (struct agent_question){POA_STATE_ACCOUNT, poa_slice(o->peer, 32),
                                                      on_account, o};
            else if (strlen(optarg) == 64 && !poa_unhex(optarg, o->peer, 32))
                o->question =
                    (struct agent_question){POA_STATE_DEVICE, poa_slice(o->peer, 32), on_peer, o};
            else
                return bad(why, "check", optarg);
            a->question = &o->question;
            a->source = NULL;
            break;
        case 'w':
            if (poa_address_from_text(optarg, o->pair.owner, &fault))
                return poa_because(why, POA_E_CONFIG, "--pair: %s", poa_address_fault_text(fault));
            o->pairing = true;
            break;
        case 'm':
            if (!maker(optarg, &o->pair))
                return bad(why, "maker", optarg);
            break;
        case 'r':
            if (!whole(optarg, UINT16_MAX, &region))
                return bad(why, "region", optarg);
            o->pair.region = (uint16_t)region;
            break;
        case 'j':
            o->json = true;
            break;
        case 'l':
            if (poa_log_level_parse(optarg, &level))
                return bad(why, "log-level", optarg);
            break;
        case 'h':
            help();
            exit(0);
        case ':':
            return poa_because(why, POA_E_CONFIG, "option %s needs a value: see --help",
                               argv[optind - 1]);
        default:
            return poa_because(why, POA_E_CONFIG, "unknown option %s: see --help",
                               argv[optind - 1]);
        }
    }
    if (optind < argc)
        return poa_because(why, POA_E_CONFIG, "unexpected argument %s: see --help", argv[optind]);
    if (!o->key)
        return poa_because(why, POA_E_CONFIG,
                           "--key is missing: make one with `poa keys new --kind device`");
    if (o->pairing && (!o->pair.maker || !(o->genesis || a->chain32)))
        return poa_because(why, POA_E_CONFIG,
                           "--pair needs --maker ID@KEY and the network: --genesis or --chain");
    if (!a->gateways && !o->pairing)
        return poa_because(why, POA_E_CONFIG, "--gateway is missing: see --help");
    a->gateway = o->gateway;
    struct poa_log_config log = {.fd = 2, .level = level};
    poa_log_setup(&log);
    return POA_OK;
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

static int open_key(struct options *o, struct poa_why *why)
{
    struct poa_passphrase pass = {.n = 0};
    struct poa_keystore_info info;
    int e = POA_OK;
    if (o->passphrase_file)
        e = poa_passphrase_read(o->passphrase_file, &pass, why);
    if (!e)
        e = poa_keystore_open(o->key, &pass, &info, o->agent.seed32, why);
    poa_wipe(&pass, sizeof pass);
    if (!e && info.type != POA_KEY_ED25519)
        e = poa_because(why, POA_E_KEY, "%s is not an Ed25519 key, which devices need", o->key);
    if (!e)
        memcpy(o->agent.key32, info.pk, 32);
    return e;
}

static void print_summary(const struct agent_summary *s)
{
    json_t *v =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connects",
                  (json_int_t)s->connects, "vrf", (json_int_t)s->vrf, "tickets",
                  (json_int_t)s->tickets, "sealed", (json_int_t)s->sealed, "seals_accepted",
                  (json_int_t)s->seals_accepted, "seals_refused", (json_int_t)s->seals_refused,
                  "readings", (json_int_t)s->readings, "packs", (json_int_t)s->packs, "receipts",
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

int main(int argc, char **argv)
{
    struct options o = {0};
    struct poa_why why = {""};
    struct agent_summary sum = {0};
    const char *what;
    char *genesis = NULL, *state = NULL;
    size_t genesis_n = 0;
    umask(0077);
    if (parse(argc, argv, &o, &why)) {
        fail(why.text);
        return EXIT_MISUSED;
    }
    if (poa_crypto_init() || poa_crypto_selftest_device(&what))
        return fail("the cryptographic library fails its self-test");
    if (open_key(&o, &why))
        return fail(why.text);
    if (!o.state) {
        if (asprintf(&state, "%s.state", o.key) < 0)
            return fail("out of memory");
        o.state = state;
    }
    if (o.genesis) {
        if (poa_file_read(o.genesis, GENESIS_MAX, 0, &genesis, &genesis_n, &why))
            return fail(why.text);
        o.agent.genesis = poa_slice(genesis, genesis_n);
        if (!o.agent.chain32) {
            poa_genesis_chain_id(o.agent.genesis, o.chain);
            o.agent.chain32 = o.chain;
        }
    }
    if (o.pairing) {
        int rc = show_pairing(&o);
        poa_wipe(o.agent.seed32, 32);
        free(genesis);
        free(state);
        return rc;
    }
    o.agent.state_path = o.state;
    o.agent.clock = poa_clock_system();
    o.agent.stop = &stopped;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int e = agent_run(&o.agent, &sum, &why);
    poa_wipe(o.agent.seed32, 32);
    free(genesis);
    free(state);
    if (e)
        return fail(why.text);
    if (o.agent.question && !sum.answered)
        return fail("no answer: is the gateway there?");
    if (o.json && !o.agent.question)
        print_summary(&sum);
    return o.exit_code;
}
