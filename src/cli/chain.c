/* poa chain export, poa verify chain: headers, hand-overs and certificates as a
 * file, and their check against nothing but genesis. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_cli.h"
#include "poa_ledger.h"

#define GENESIS_MAX ((size_t)64 * 1024 * 1024)
#define HEAD_BYTES  (8 + 2 + 32 + 4 + 8 + 32)

/* --- export -------------------------------------------------------------------- */

struct export
{
    const struct cli *c;
    FILE *to;
    struct poa_chain_file head;
    uint32_t epoch; /* of the next header */
    uint64_t runs, bytes;
};

/* Writes the run of answer V and learns from it where the file ends. */
static int write_run(struct export *x, const json_t *v)
{
    const char *hex = cli_text(v, "run");
    size_t n = strlen(hex) / 2;
    uint8_t *bytes = malloc(n + 4);
    struct poa_run run;
    struct poa_raw_header raw;
    struct poa_header h;
    int rc = 0;
    if (bytes == NULL)
        return cli_fail("out of memory");
    poa_put_le32(bytes, (uint32_t)n);
    if (n == 0 || poa_unhex(hex, bytes + 4, n) != POA_OK ||
        poa_run_decode(poa_slice(bytes + 4, n), &run) != POA_OK)
        rc = cli_fail("the node's answer is no run of headers");
    struct poa_list_iter it =
        rc == 0 ? poa_list_begin(&run.headers) : (struct poa_list_iter){.left = 0};
    while (rc == 0 && poa_raw_header_next(&it, &raw)) {
        if (poa_header_decode(raw.header, &h) != POA_OK)
            rc = cli_fail("the node's answer is no run of headers");
        else if (h.kind != POA_BLOCK_FILLER) {
            x->head.height = h.height;
            poa_header_hash(&h, x->head.hash);
            x->epoch = h.kind == POA_BLOCK_CLOSING ? h.epoch + 1 : h.epoch;
        }
    }
    if (rc == 0 && fwrite(bytes, 1, n + 4, x->to) != n + 4)
        rc = cli_fail("cannot write: %s", strerror(errno));
    x->runs++;
    x->bytes += n + 4;
    free(bytes);
    return rc;
}

/* Hand-overs up to the first epoch that is wanted whole, then everything. */
static int write_runs(struct export *x, uint64_t tip)
{
    char about[80];
    json_t *v;
    while (x->epoch < x->head.from_epoch) {
        snprintf(about, sizeof about, "the end of epoch %" PRIu32, x->epoch);
        if (cli_call_about(x->c, about, "poa_handover_get",
                           json_pack("{s:I}", "epoch", (json_int_t)x->epoch), &v) != POA_OK)
            return 1;
        int rc = write_run(x, v);
        json_decref(v);
        if (rc != 0)
            return rc;
    }
    while (x->head.height < tip) {
        char after[24];
        snprintf(after, sizeof after, "%" PRIu64, x->head.height);
        uint64_t before = x->head.height;
        snprintf(about, sizeof about, "headers after height %" PRIu64, x->head.height);
        if (cli_call_about(x->c, about, "poa_chain_get", json_pack("{s:s}", "after", after), &v) !=
            POA_OK)
            return 1;
        int rc = write_run(x, v);
        json_decref(v);
        if (rc == 0 && x->head.height <= before)
            rc = cli_fail("the node answers headers that were asked for before");
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int write_head(struct export *x)
{
    uint8_t bytes[HEAD_BYTES];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memcpy(x->head.magic, POA_CHAIN_FILE_MAGIC, 8);
    x->head.version = 1;
    int rc = poa_chain_file_encode(&w, &x->head);
    if (rc != POA_OK || fseek(x->to, 0, SEEK_SET) != 0 ||
        fwrite(bytes, 1, sizeof bytes, x->to) != sizeof bytes)
        return cli_fail("cannot write: %s", rc != POA_OK ? poa_error_text(rc) : strerror(errno));
    return 0;
}

static int export_to(struct export *x)
{
    json_t *v;
    static const uint8_t room[HEAD_BYTES];
    if (cli_call(x->c, "poa_status", json_object(), &v) != POA_OK)
        return 1;
    uint64_t tip = cli_number(v, "height");
    int rc = strlen(cli_text(v, "chain")) == 64 &&
                     poa_unhex(cli_text(v, "chain"), x->head.chain, 32) == POA_OK
                 ? 0
                 : cli_fail("the node does not say which chain it has");
    json_decref(v);
    if (rc == 0 && tip == 0)
        rc = cli_fail("the node has no final block yet");
    if (rc == 0 && fwrite(room, 1, sizeof room, x->to) != sizeof room)
        rc = cli_fail("cannot write: %s", strerror(errno));
    if (rc == 0)
        rc = write_runs(x, tip);
    return rc == 0 ? write_head(x) : rc;
}

static bool from_epoch(const struct cli *c, uint32_t *out)
{
    uint64_t epoch = 0;
    if (c->option[CLI_FROM_EPOCH] != NULL &&
        !cli_u64("--from-epoch", c->option[CLI_FROM_EPOCH], 0, UINT32_MAX - 1, &epoch))
        return false;
    *out = (uint32_t)epoch;
    return true;
}

int cli_chain_export(const struct cli *c)
{
    struct export x = {.c = c};
    const char *path = c->option[CLI_OUTPUT];
    char part[600];
    if (path == NULL)
        return cli_misuse("say where to: --output FILE");
    if (!from_epoch(c, &x.head.from_epoch))
        return 2;
    if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part)
        return cli_fail("%.100s...: path too long", path);
    struct poa_why why = {{0}};
    if (cli_new_file(path) != 0 || cli_new_file(part) != 0)
        return 1;
    x.to = fopen(part, "wbx");
    if (x.to == NULL)
        return cli_fail("%s: %s", part, strerror(errno));
    int rc = export_to(&x);
    if (rc == 0 && (fflush(x.to) != 0 || fsync(fileno(x.to)) != 0))
        rc = cli_fail("%s: %s", part, strerror(errno));
    fclose(x.to);
    if (rc == 0 && poa_file_absent(path, &why) != POA_OK)
        rc = cli_fail("%s", why.text);
    if (rc == 0 && rename(part, path) != 0)
        rc = cli_fail("%s: %s", path, strerror(errno));
    if (rc != 0) {
        unlink(part);
        return rc;
    }
    char hash[65];
    poa_hex(x.head.hash, 32, hash);
    if (c->json)
        return cli_print_json(
            json_pack("{s:I, s:I, s:s, s:I, s:I}", "from_epoch", (json_int_t)x.head.from_epoch,
                      "height", (json_int_t)x.head.height, "hash", hash, "runs", (json_int_t)x.runs,
                      "bytes", (json_int_t)(x.bytes + HEAD_BYTES)));
    printf("height %" PRIu64 ", %" PRIu64 " bytes\n", x.head.height, x.bytes + HEAD_BYTES);
    return 0;
}

/* --- verify -------------------------------------------------------------------- */

static void *take(void *ctx, size_t bytes)
{
    (void)ctx;
    return calloc(1, bytes);
}

static void give(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

/* What a verifier trusts: the chain id and committee 0 that follow from genesis. */
static int begin(const char *path, struct poa_chain_check *check)
{
    char *bytes = NULL;
    size_t n = 0;
    struct poa_why why = {{0}};
    struct poa_ledger *l = NULL;
    struct poa_committee committee;
    if (poa_file_read(path, GENESIS_MAX, 0, &bytes, &n, &why) != POA_OK)
        return cli_fail("%s", why.text);
    struct poa_ledger_config k = {.suite = &poa_suite_ed25519,
                                  .alloc = {.alloc = take, .free = give},
                                  .genesis = poa_slice(bytes, n)};
    int rc = poa_ledger_new(&k, &l);
    if (rc == POA_OK)
        rc = poa_ledger_epoch(l, POA_STATE_BASE, 0, NULL, &committee, NULL);
    if (rc == POA_OK) {
        const struct poa_genesis *g = poa_ledger_genesis(l);
        rc = poa_chain_begin(check, &poa_suite_ed25519, poa_ledger_chain(l), g->epoch_views,
                             g->time_ms, &committee);
    }
    poa_ledger_free(l);
    free(bytes);
    return rc == POA_OK ? 0
                        : cli_fail("%s is no genesis record: %s; `poa genesis create` makes one",
                                   path, poa_error_text(rc));
}

struct input {
    const char *name;
    FILE *from;
    struct poa_chain_file head;
};

static int read_head(struct input *in, const struct poa_chain_check *check, uint32_t from)
{
    uint8_t bytes[HEAD_BYTES];
    size_t n = fread(bytes, 1, sizeof bytes, in->from);
    if (ferror(in->from))
        return cli_fail("%s: %s", in->name, strerror(errno));
    if (n != sizeof bytes || memcmp(bytes, POA_CHAIN_FILE_MAGIC, 8) != 0 ||
        poa_chain_file_decode(poa_slice(bytes, n), &in->head) != POA_OK || in->head.version != 1) {
        const char *is = cli_looks_like(bytes, n);
        if (is[0] == 0 && in->from != stdin)
            is = cli_file_looks_like(in->name);
        return cli_fail("%s is no exported chain%s", in->name,
                        is[0] != 0 ? is : "; `poa chain export` writes one");
    }
    if (memcmp(in->head.chain, check->chain, 32) != 0)
        return cli_fail("%s is of another chain than the genesis", in->name);
    if (in->head.from_epoch > from)
        return cli_fail("%s has all headers from epoch %" PRIu32
                        " on only: export it with --from-epoch %" PRIu32,
                        in->name, in->head.from_epoch, from);
    return 0;
}

/* 1: a run in *BUFFER; 0: the end; -1: an error was printed. */
static int read_run(struct input *in, uint64_t height, uint8_t **buffer, size_t *cap,
                    struct poa_slice *run)
{
    uint8_t length[4];
    size_t max = (size_t)poa_record_max_size(&poa_run_record);
    size_t n = fread(length, 1, sizeof length, in->from);
    if (n == 0 && !ferror(in->from))
        return 0;
    size_t want = n == sizeof length ? poa_le32(length) : 0, got = 0;
    if (n == sizeof length && (want == 0 || want > max)) {
        cli_fail("%s: after height %" PRIu64 ": the length of a run is damaged", in->name, height);
        return -1;
    }
    if (want > *cap) {
        free(*buffer);
        *buffer = malloc(want);
        *cap = *buffer != NULL ? want : 0;
        if (*buffer == NULL) {
            cli_fail("out of memory");
            return -1;
        }
    }
    if (n == sizeof length)
        got = fread(*buffer, 1, want, in->from);
    if (n != sizeof length || got != want) {
        if (ferror(in->from))
            cli_fail("%s: %s", in->name, strerror(errno));
        else
            cli_fail("%s: after height %" PRIu64 ": the file ends in the middle of a run", in->name,
                     height);
        return -1;
    }
    *run = poa_slice(*buffer, want);
    return 1;
}

static int check_runs(struct input *in, struct poa_chain_check *check)
{
    uint8_t *buffer = NULL;
    size_t cap = 0;
    struct poa_slice bytes;
    int more, rc = 0;
    while (rc == 0 && (more = read_run(in, check->height, &buffer, &cap, &bytes)) != 0) {
        struct poa_run run;
        if (more < 0) {
            rc = 1;
        } else if (check->height >= in->head.height) {
            rc = cli_fail("%s goes on after height %" PRIu64 ", where it should end", in->name,
                          in->head.height);
        } else if (poa_run_decode(bytes, &run) != POA_OK) {
            rc =
                cli_fail("%s: after height %" PRIu64 ": a run is damaged", in->name, check->height);
        } else if (poa_chain_run(check, &run, check->epoch < in->head.from_epoch) != POA_OK) {
            rc =
                cli_fail("%s: height %" PRIu64 ": %s", in->name, check->wrong_height, check->wrong);
        }
    }
    free(buffer);
    if (rc == 0 && check->height < in->head.height)
        return cli_fail("%s: headers after height %" PRIu64
                        " are missing: it should reach %" PRIu64,
                        in->name, check->height, in->head.height);
    if (rc == 0 &&
        (check->height != in->head.height || memcmp(check->hash, in->head.hash, 32) != 0))
        return cli_fail("%s ends with another block than it should", in->name);
    return rc;
}

static int print_verified(const struct cli *c, const struct poa_chain_check *check)
{
    char chain[65], hash[65];
    poa_hex(check->chain, 32, chain);
    poa_hex(check->hash, 32, hash);
    if (c->json)
        return cli_print_json(
            json_pack("{s:b, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "verified", 1, "chain",
                      chain, "height", (json_int_t)check->height, "hash", hash, "epoch",
                      (json_int_t)check->epoch, "time_ms", (json_int_t)check->time_ms, "headers",
                      (json_int_t)check->headers, "certificates", (json_int_t)check->certificates,
                      "hand_overs", (json_int_t)check->hand_overs));
    printf("verified   %" PRIu64 " headers, %" PRIu64 " certificates, %" PRIu64 " hand-overs\n"
           "chain      %s\n"
           "height     %" PRIu64 ", epoch %" PRIu32 " is next or in work\n"
           "hash       %s\n",
           check->headers, check->certificates, check->hand_overs, chain, check->height,
           check->epoch, hash);
    return 0;
}

int cli_verify_chain(const struct cli *c)
{
    struct input in = {.name = "standard input", .from = stdin};
    struct poa_chain_check *check = malloc(sizeof *check);
    uint32_t from = 0;
    if (check == NULL)
        return cli_fail("out of memory");
    int rc = c->option[CLI_GENESIS] == NULL ? cli_misuse("say what to trust: --genesis FILE.poa")
             : !from_epoch(c, &from)        ? 2
                                            : begin(c->option[CLI_GENESIS], check);
    if (rc == 0 && c->arguments > 0 && strcmp(c->argument[0], "-") != 0) {
        in.name = c->argument[0];
        in.from = fopen(in.name, "rb");
        if (in.from == NULL)
            rc = cli_fail("%s: %s", in.name, strerror(errno));
    }
    if (rc == 0)
        rc = read_head(&in, check, from);
    if (rc == 0)
        rc = check_runs(&in, check);
    if (in.from != NULL && in.from != stdin)
        fclose(in.from);
    if (rc == 0)
        rc = print_verified(c, check);
    free(check);
    return rc;
}
