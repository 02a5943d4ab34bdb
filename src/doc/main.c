/* poa-doc TOPIC: prints a page of the reference from the tables that the code
 * is made of, so that the page cannot say anything else. `make docs` writes
 * them; `make check` compares. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "poa_access.h"
#include "poa_base.h"
#include "poa_book.h"
#include "poa_cli.h"
#include "poa_config.h"
#include "poa_consensus.h"
#include "poa_edge.h"
#include "poa_proof.h"
#include "poa_rpc_json.h"
#include "poa_snapshot.h"

#define PRINTED_MAX 256

/* The payload of a message that has none. */
static const struct poa_record poa_none_record = {.name = "none"};

/* Each record is shown once, where it is first used. */
static const struct poa_record *printed[PRINTED_MAX];
static size_t printed_n;

static bool first_time(const struct poa_record *rec)
{
    for (size_t i = 0; i < printed_n; i++)
        if (printed[i] == rec)
            return false;
    POA_ASSERT(printed_n < PRINTED_MAX);
    printed[printed_n++] = rec;
    return true;
}

static void print_type(const struct poa_field *f)
{
    switch ((enum poa_kind)f->kind) {
    case POA_KIND_U8:
    case POA_KIND_U16:
    case POA_KIND_U32:
    case POA_KIND_U64:
        printf("u%d", 8 << f->kind);
        if (f->max)
            printf(", 0..%llu", (unsigned long long)f->max);
        break;
    case POA_KIND_FIX:
        printf("%llu bytes", (unsigned long long)f->max);
        break;
    case POA_KIND_BLOB:
        printf("0..%llu bytes", (unsigned long long)f->max);
        break;
    case POA_KIND_LIST:
        printf("0..%llu × [%s](#%s)", (unsigned long long)f->max, f->sub->name, f->sub->name);
        break;
    }
}

static void print_record(const struct poa_record *rec)
{
    if (!first_time(rec))
        return;
    size_t fixed = poa_record_fixed_size(rec);
    uint64_t most = poa_record_max_size(rec);
    printf("### %s\n\n", rec->name);
    if (!rec->fields)
        printf("No bytes.\n\n");
    else if (fixed)
        printf("%zu bytes.\n\n", fixed);
    else if (most)
        printf("At most %llu bytes.\n\n", (unsigned long long)most);
    if (!rec->fields)
        return;
    printf("| field | type | meaning |\n|---|---|---|\n");
    for (uint16_t i = 0; i < rec->fields; i++) {
        printf("| `%s` | ", rec->field[i].name);
        print_type(&rec->field[i]);
        printf(" | %s |\n", rec->field[i].doc);
    }
    printf("\n");
    for (uint16_t i = 0; i < rec->fields; i++)
        if (rec->field[i].kind == POA_KIND_LIST)
            print_record(rec->field[i].sub);
}

static void section(const char *title, const char *text)
{
    printf("## %s\n\n%s\n\n", title, text);
}

static int wire(void)
{
    printf(
        "# Wire formats\n\n"
        "Printed by `poa-doc wire` from the tables in `src/*/poa_*.h`.\n\n"
        "Fields follow one another in order without padding; integers are little-endian. A\n"
        "byte string is its length and its bytes, a list its count and its elements; length and\n"
        "count take the fewest whole bytes (1, 2 or 4) that hold the maximum shown. Only the\n"
        "canonical encoding is accepted, and nothing may follow the last field.\n\n");

    section("Signed records", "What a device or an auditor needs to judge a block by itself.");
    static const struct poa_record *const signed_records[] = {
        &poa_header_record,   &poa_committee_record,     &poa_vote_record,
        &poa_cert_record,     &poa_ticket_record,        &poa_seal_record,
        &poa_evidence_record, &poa_signed_header_record, &poa_chain_file_record,
        &poa_run_record,
    };
    for (size_t i = 0; i < sizeof signed_records / sizeof *signed_records; i++)
        print_record(signed_records[i]);

    section("Transactions", "The id of a transaction, which its keys sign, is "
                            "BLAKE2b-256(`poa/tx`, chain id ‖ encoding without `auth`).");
    print_record(&poa_tx_record);
    print_record(&poa_auth_record);
    print_record(&poa_policy_record);
    printf("Operations:\n\n| number | name | record | meaning |\n|---|---|---|---|\n");
#define ROW(name, number, record, text)                                                            \
    printf("| 0x%04x | %s | [%s](#%s) | %s |\n", number, #name, #record, #record, text);
    POA_OPS(ROW)
#undef ROW
    printf("\n");
#define ROW(name, number, record, text) print_record(&poa_##record##_record);
    POA_OPS(ROW)
#undef ROW

    section("Blocks and genesis", "A block body lists batches by digest; a batch travels ahead.");
    print_record(&poa_body_record);
    print_record(&poa_batch_record);
    print_record(&poa_genesis_record);

    section("State", "State key = BLAKE2b-256(`poa/state-key`, table number u8 ‖ key).");
    printf("| number | table | record | key |\n|---|---|---|---|\n");
#define ROW(name, number, record, key)                                                             \
    printf("| %d | %s | [%s](#%s) | %s |\n", number, #name, #record, #record, key);
    POA_STATE_TABLES(ROW)
#undef ROW
    printf("\n");
#define ROW(name, number, record, key) print_record(&poa_##record##_record);
    POA_STATE_TABLES(ROW)
#undef ROW

    section("Proofs", "What leads from a certificate to an entry of the state.");
    print_record(&poa_state_proof_record);

    section("Archives",
            "Parts of exported chains and snapshots, and the messages that carry\n"
            "snapshots between nodes: who has which (types 44 and 45), and their parts\n"
            "(46 and 47; the answer is the bytes).");
    print_record(&poa_archive_head_record);
    print_record(&poa_archive_entry_record);
    print_record(&poa_archive_block_record);
    print_record(&poa_archive_end_record);
    print_record(&poa_snapshot_ask_record);
    print_record(&poa_snapshot_manifest_record);
    print_record(&poa_snapshot_get_record);
    section("Addresses of nodes", "Who knows whom (types 42 and 43 of the mesh).");
    print_record(&poa_peers_ask_record);
    print_record(&poa_peers_told_record);
    print_record(&poa_known_node_record);

    section("Mesh messages", "Frame types between nodes, inside a session. Priority 0 goes first.");
    printf("| type | name | priority | record | meaning |\n|---|---|---|---|---|\n");
#define ROW(name, number, prio, record, text)                                                      \
    printf("| %d | %s | %d | [%s](#%s) | %s |\n", number, #name, prio, #record, #record, text);
    POA_MESSAGES(ROW)
#undef ROW
    printf("\n");
#define ROW(name, number, prio, record, text) print_record(&poa_##record##_record);
    POA_MESSAGES(ROW)
#undef ROW

    section("Usage data", "What readers of packs sign, and what a gateway keeps beside a pack.");
    print_record(&poa_data_grant_record);
    print_record(&poa_data_request_record);

    section("Device edge", "Messages between a device and its gateway, inside a session.");
    printf("| type | name | record | meaning |\n|---|---|---|---|\n");
#define ROW(name, number, record, text)                                                            \
    printf("| %d | %s | [%s](#%s) | %s |\n", number, #name, #record, #record, text);
    POA_EDGE_MESSAGES(ROW)
#undef ROW
    printf("\n");
#define ROW(name, number, record, text) print_record(&poa_##record##_record);
    POA_EDGE_MESSAGES(ROW)
#undef ROW
    return 0;
}

static int errors(void)
{
    static const char *const class_name[] = {
        [POA_CLASS_NONE] = "none",         [POA_CLASS_CALLER] = "caller",
        [POA_CLASS_PEER] = "peer",         [POA_CLASS_CORRUPT] = "corrupt",
        [POA_CLASS_RESOURCE] = "resource", [POA_CLASS_RETRY] = "retry",
    };
    printf("# Errors\n\n"
           "Printed by `poa-doc errors` from `src/base/poa_error.h`. The class says what to do:\n"
           "`caller` mend the request; `peer` the other side broke the protocol; `corrupt` stored\n"
           "bytes are damaged; `resource` the machine refused; `retry` the same call may succeed\n"
           "later.\n\n| number | name | class | meaning |\n|---|---|---|---|\n");
#define ROW(name, number, class, text)                                                             \
    printf("| %d | %s | %s | %s |\n", number, #name, class_name[POA_CLASS_##class], text);
    POA_ERRORS(ROW)
#undef ROW
    return 0;
}

/* TEXT with `|` escaped, as a cell wants it. */
static void print_cell(const char *text)
{
    for (; *text; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static int rpc(void)
{
    printf("# JSON-RPC\n\n"
           "Printed by `poa-doc rpc` from the method table in `src/rpc/methods.h`; a node answers\n"
           "`rpc.discover` with the same table as an OpenRPC document.\n\n"
           "POST JSON-RPC 2.0 to `http://127.0.0.1:%d/` (key `rpc` of the configuration), single\n"
           "calls or batches of at most %d. Parameters go by name or by position; `?` marks\n"
           "optional ones. Numbers of 64 bits are strings of decimal digits, because a browser\n"
           "loses them otherwise; hashes, keys and bytes are hex, addresses bech32m. Reads answer\n"
           "from the finalized state.\n\n"
           "With `proof`, a read answers once the block that certifies the entry is final: its\n"
           "fields as they are proven, and under `proof` what `poa_proof_get` answers\n"
           "([proofs](proofs.md)), also when there is no such entry (`present` is false).\n\n"
           "What the ledger refuses has the JSON-RPC code %d, and in `error.data` its own number,\n"
           "name and class ([errors](errors.md)).\n\n"
           "| method | parameters | right | what it does |\n|---|---|---|---|\n",
           POA_RPC_PORT_DEFAULT, POA_RPC_BATCH_MAX, POA_RPC_APPLICATION);
    for (size_t i = 0; i < poa_rpc_node_methods.n; i++) {
        const struct poa_rpc_method *m = &poa_rpc_node_methods.method[i];
        printf("| `%s` | %s%s%s | %s | %s |\n", m->name, m->params[0] ? "`" : "", m->params,
               m->params[0] ? "`" : "", poa_rpc_right_name(m->right), m->help);
    }
    printf("\n`poa_peers_list` answers with one object per peer; `poa peers` has the same under "
           "these\n"
           "headings, and the rest below the line of a peer with which something is wrong.\n\n"
           "| field | heading | what it says |\n|---|---|---|\n");
#define ROW(name, kind, head, width, text)                                                         \
    printf("| `%s` | %s | %s |\n", #name, (head) != NULL ? (head) : "", text);
    POA_RPC_PEER_TABLE(ROW)
#undef ROW
    printf(
        "\n| type | JSON |\n|---|---|\n"
        "| u32, u64 | number, or string of decimal digits |\n"
        "| hash | 64 hex digits |\n"
        "| bytes | hex digits |\n"
        "| address | bech32m, `poa1...` |\n\n"
        "## Reads by GET\n\n"
        "`GET /v1/X` is the method `poa_X_get` or `poa_X_list`: `/v1/block/7`,\n"
        "`/v1/account/poa1...`, `/v1/devices?from=100&limit=50`. Parts of the path are parameters\n"
        "in their order, the query has them by name; `GET /v1` lists all. Answers are the results\n"
        "alone; what fails is `{\"error\": ...}` as in JSON-RPC with status 400 (parameters), 404\n"
        "(there is none), 422 (the ledger refuses), 501 (not on this node) or 503 (try again).\n"
        "Nothing can be submitted by GET.\n\n"
        "## Events\n\n"
        "`GET /v1/events?topics=LIST&account=ADDRESS` streams server-sent events. LIST names\n"
        "topics, separated by commas; without it and without accounts all of them come.\n\n"
        "| event | once per | data |\n|---|---|---|\n"
        "| `block` | final block | height, hash, time, epoch, view, leader, counts |\n"
        "| `finality` | block that carries its certificate | height, hash, view, signers |\n"
        "| `seal` | seal in a block | height of that block, device, slot, sealed height |\n"
        "| `status` | second | rate of the last seconds, views, peers, devices, seals, anchors, "
        "rewards issued |\n"
        "| `tx` | transaction that names an `account` of the query (at most 16) | the "
        "transaction and its result |\n\n"
        "The id of an event is the height of its block; a reader that comes back with\n"
        "`Last-Event-ID` gets what it missed, up to 64 blocks. A reader with more than 256 KiB\n"
        "unread is dropped. With many readers events come in rounds, 100 µs per reader apart.\n\n"
        "## Limits\n\n"
        "Connections: `rpc_connections` in all, half of them of one address (an IPv6 network of\n"
        "64 bits counts as one). At its share an address loses its longest idle connection, and\n"
        "when all are in use the address with most of them does; requests in work are never cut.\n"
        "A request has at most 1 MiB (else 413, once up to 32 MiB of it have been read; beyond, "
        "the\n"
        "connection ends) and 8 KiB of headers; requests that are coming\n"
        "and answers that are not read yet take at most 64 MiB together, then the largest of the\n"
        "address that holds most is closed. Idle or slow connections end after 60 s.\n\n"
        "## Pages\n\n"
        "| path | what it is |\n|---|---|\n"
        "| `/healthz` | 200 while the process answers |\n"
        "| `/readyz` | 200 when its answers are current, else 503 and why |\n"
        "| `/metrics` | Prometheus text |\n\n"
        "## TLS and tokens\n\n"
        "A node answers on the loopback only, unless it has a certificate (`rpc_tls_cert`,\n"
        "`rpc_tls_key`), and then speaks https alone, TLS 1.2 or 1.3, or a proxy in front of it\n"
        "does TLS and its configuration says so (`rpc_behind_tls_proxy`). A certificate that is\n"
        "missing, not readable, expired, or whose key is another's, is refused at the start in\n"
        "one line. SIGHUP (`systemctl reload poad`) reads certificate, key and tokens again.\n\n"
        "With `rpc_tokens` a caller shows `Authorization: Bearer TOKEN`; `poa token new` makes "
        "one\n"
        "and prints it once, the file keeps BLAKE2b-256(`poa/token`, token). Rights include those\n"
        "before them: read, submit, operate. Without a token a caller may do what\n"
        "`rpc_anonymous` says. A token that is not known is answered with 401, a method beyond\n"
        "the caller's right with FORBIDDEN (by GET 403). `poa` shows the token of\n"
        "`--token-file`, never in plain text beyond the loopback, and checks a certificate\n"
        "against the system's, `--cacert`, or its own fingerprint `--pin`.\n\n"
        "Requests from pages of other sites (`Origin`, `Host`) are refused, but those of the\n"
        "origins in `rpc_cors`. An address beyond the loopback has `rpc_rate` requests per\n"
        "second, then 429.\n");
    return 0;
}

static int cli(void)
{
    printf("# poa, the command line\n\n"
           "Printed by `poa-doc cli` from the tables in `src/cli/poa_cli.h`; `poa COMMAND --help`\n"
           "says the same with the options of each command.\n\n"
           "Exit codes: 0 done, 1 failed (one line on standard error says why), 2 used wrongly.\n\n"
           "| command | what it does |\n|---|---|\n");
#define ROW(words, function, arguments, least, most, options, summary, examples)                   \
    printf("| `poa %s%s", words, *(arguments) ? " " : "");                                         \
    print_cell(arguments);                                                                         \
    printf("` | %s |\n", summary);
    CLI_COMMANDS(ROW)
#undef ROW
    printf("\n## Options\n\n| option | meaning |\n|---|---|\n");
#define ROW(id, name, argument, help)                                                              \
    printf("| `--%s%s%s` | %s |\n", name, (argument) ? " " : "", (argument) ? (argument) : "",     \
           help);
    CLI_OPTIONS(ROW)
#undef ROW
    return 0;
}

static void default_TEXT(const char *v, uint64_t min, uint64_t max, const char *unit)
{
    (void)min;
    (void)max;
    printf("%s | %s%s%s", unit, *v ? "`" : "", v, *v ? "`" : "");
}

static void default_U32(uint64_t v, uint64_t min, uint64_t max, const char *unit)
{
    printf("%s, %llu to %llu | %llu", unit, (unsigned long long)min, (unsigned long long)max,
           (unsigned long long)v);
}

static void default_U32_OR_0(uint64_t v, uint64_t min, uint64_t max, const char *unit)
{
    printf("%s, 0 or %llu to %llu | %llu", unit, (unsigned long long)min, (unsigned long long)max,
           (unsigned long long)v);
}

static void default_FLAG(bool v, uint64_t min, uint64_t max, const char *unit)
{
    (void)min;
    (void)max;
    (void)unit;
    printf("yes or no | %s", v ? "yes" : "no");
}

static int config(void)
{
    printf(
        "# Configuration of poad\n\n"
        "Printed by `poa-doc config` from `src/node/poa_config.h`; `poad --print-config` prints\n"
        "a commented file with what is in force.\n\n"
        "The file (`poad --config FILE`) has lines `key = value`; `#` starts a comment line. Each\n"
        "key may stand once. Each is an option of the command line too, with `-` for `_`\n"
        "(`--data-dir DIR`), once, and options win. What does not fit is refused with file, line "
        "and\n"
        "key, or the option, and what would; so is a file that is missing, damaged or open to\n"
        "others, before anything is written. Exit code 2.\n\n"
        "| key | value | default | meaning |\n|---|---|---|---|\n");
#define ROW(type, name, unit, min, max, def, help)                                                 \
    printf("| `%s` | ", #name);                                                                    \
    default_##type(def, min, max, unit);                                                           \
    printf(" | %s |\n", help);
    POA_CONFIG_KEYS(ROW)
#undef ROW
    printf("| `peer` | KEY@HOST:PORT | | another node, one line each, at most %d; without an "
           "address the peer dials us |\n",
           POA_CONFIG_PEERS_MAX);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*print)(void);
    } topics[] = {
        {"wire", wire}, {"errors", errors}, {"rpc", rpc}, {"cli", cli}, {"config", config}};
    for (size_t i = 0; argc == 2 && i < sizeof topics / sizeof *topics; i++)
        if (!strcmp(argv[1], topics[i].name))
            return topics[i].print() || fflush(stdout) ? 1 : 0;
    const struct doc_program *p = argc > 2 ? doc_program_named(argv[argc - 1]) : NULL;
    if (p != NULL && argc == 3 && strcmp(argv[1], "man") == 0) {
        doc_man(p);
        return fflush(stdout) ? 1 : 0;
    }
    if (p != NULL && argc == 4 && !strcmp(argv[1], "completion") && doc_completion(argv[2], p))
        return fflush(stdout) ? 1 : 0;
    bool help = argc == 2 && !strcmp(argv[1], "--help");
    fprintf(help ? stdout : stderr,
            "usage: poa-doc wire|errors|rpc|cli|config\n"
            "       poa-doc man PROGRAM\n"
            "       poa-doc completion bash|zsh|fish PROGRAM\n"
            "Prints a page of the reference, a manual page or a shell's completion from the\n"
            "tables that the programs parse with.\n\nexamples:\n"
            "  poa-doc man poa | man -l -\n  poa-doc completion bash poa > poa.bash\n");
    return help ? 0 : 1;
}
