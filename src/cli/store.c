/* poa store, poa snapshot: the data directory of a stopped node, and files that
 * carry a chain or its state. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_archive.h"
#include "poa_cli.h"
#include "poa_rpc_json.h"
#include "poa_store.h"

/* --- opening ---------------------------------------------------------------------------- */

/* A node's DATA_DIR. */
static struct poa_store *open_dir(const char *dir)
{
    struct poa_store *s = NULL;
    struct poa_why why = {""};
    struct poa_store_config c = {.dir = dir,
                                 .write_buffer_bytes = (size_t)4 << 20,
                                 .cache_bytes = (size_t)8 << 20,
                                 .max_open_files = 100};
    int rc = poa_store_open(&c, &s, &why);
    if (rc == POA_E_NOT_FOUND)
        cli_fail("%s holds no database: give the data_dir of a node", dir);
    else if (rc == POA_E_STORE_CORRUPT)
        cli_fail("%s: the database is damaged: " POA_STORE_MEND, why.text, dir);
    else if (rc)
        cli_fail("%s", why.text);
    return rc ? NULL : s;
}

/* --- poa store check ---------------------------------------------------------------------- */

#define FAULTS_SHOWN 50

struct faults {
    json_t *list;
    uint64_t n;
    bool json;
};

static void note_fault(void *ctx, const char *text)
{
    struct faults *f = ctx;
    f->n++;
    if (f->n > FAULTS_SHOWN)
        return;
    if (f->json)
        json_array_append_new(f->list, json_string(text));
    else
        printf("fault      %s\n", text);
}

int cli_store_check(const struct cli *c)
{
    struct cli_progress t = {.said = false};
    struct faults f = {.list = json_array(), .json = c->json};
    struct poa_archive_check k = {.progress = {cli_progress, &t}, .wrong = note_fault, .ctx = &f};
    char *genesis = NULL, chain[65];
    size_t genesis_n = 0;
    struct poa_why why = {""};
    if (c->option[CLI_GENESIS] &&
        poa_file_read(c->option[CLI_GENESIS], (size_t)64 << 20, 0, &genesis, &genesis_n, &why)) {
        json_decref(f.list);
        return cli_fail("%s", why.text);
    }
    struct poa_store *s = open_dir(c->argument[0]);
    if (!s) {
        free(genesis);
        json_decref(f.list);
        return 1;
    }
    k.genesis = poa_slice(genesis, genesis_n);
    poa_hex(poa_store_chain(s), 32, chain);
    uint8_t trusted[32];
    if (genesis)
        poa_genesis_chain_id(k.genesis, trusted);
    if (genesis && memcmp(trusted, poa_store_chain(s), 32) != 0) {
        poa_store_close(s);
        free(genesis);
        json_decref(f.list);
        return cli_fail("%s is of another chain than %s: its chain is %s", c->argument[0],
                        c->option[CLI_GENESIS], chain);
    }
    int rc = poa_archive_check(s, &k);
    poa_store_close(s);
    free(genesis);
    cli_progress_end(&t);
    if (c->json) {
        int printed = cli_print_json(json_pack(
            "{s:b, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "sound",
            !rc, "faults", f.list, "faults_total", poa_json_u64(k.faults), "chain", chain, "first",
            poa_json_u64(k.first), "last", poa_json_u64(k.last), "proven", poa_json_u64(k.proven),
            "certificates", poa_json_u64(k.certificates), "transactions", poa_json_u64(k.txs),
            "checkpoint", poa_json_u64(k.checkpoint), "state_entries",
            poa_json_u64(k.state_entries), "entries", poa_json_u64(k.entries), "bytes",
            poa_json_u64(k.bytes), "packs_bytes", poa_json_u64(k.blob_bytes), "packs_bytes_said",
            poa_json_u64(k.blob_bytes_said)));
        return rc ? 1 : printed;
    }
    json_decref(f.list);
    if (f.n > FAULTS_SHOWN)
        printf("fault      and %" PRIu64 " more\n", f.n - FAULTS_SHOWN);
    printf("chain      %s\n", chain);
    printf("blocks     %" PRIu64 " to %" PRIu64 ", proven from genesis up to %" PRIu64
           " by %" PRIu64 " certificates; %" PRIu64 " transactions\n",
           k.first, k.last, k.proven, k.certificates, k.txs);
    printf("state      height %" PRIu64 ", %" PRIu64 " entries\n", k.checkpoint, k.state_entries);
    printf("database   %" PRIu64 " entries, %" PRIu64 " bytes\n", k.entries, k.bytes);
    if (k.blob_bytes != k.blob_bytes_said)
        printf("note       the packs take %" PRIu64 " bytes and are said to take %" PRIu64
               ": nothing is lost, and poa store compact counts them again\n",
               k.blob_bytes, k.blob_bytes_said);
    if (rc)
        return cli_fail("%s is damaged, %" PRIu64
                        " faults: restore a snapshot or a backup, or sync into a new directory",
                        c->argument[0], k.faults);
    printf("sound\n");
    return 0;
}

/* --- poa store compact ------------------------------------------------------------------------ */

int cli_store_compact(const struct cli *c)
{
    struct poa_store *s = open_dir(c->argument[0]);
    if (!s)
        return 1;
    uint64_t before = poa_store_files_bytes(c->argument[0]);
    struct poa_why why = {""};
    if (isatty(2))
        fprintf(stderr, "poa: rewriting %" PRIu64 " bytes...\n", before);
    int rc = poa_store_compact(s);
    poa_store_why(s, &why);
    poa_store_close(s);
    poa_store_advise(c->argument[0], &why);
    if (rc)
        return cli_fail("%s: %s", c->argument[0], why.text[0] ? why.text : poa_error_text(rc));
    uint64_t after = poa_store_files_bytes(c->argument[0]);
    if (c->json)
        return cli_print_json(json_pack("{s:o, s:o}", "bytes_before", poa_json_u64(before),
                                        "bytes_after", poa_json_u64(after)));
    printf("%" PRIu64 " bytes, before %" PRIu64 "\n", after, before);
    return 0;
}

/* --- files ---------------------------------------------------------------------------------------
 */

static int print_info(const struct cli *c, const struct poa_archive_info *i, const char *what)
{
    char chain[65], root[65], all[65];
    poa_hex(i->head.chain, 32, chain);
    poa_hex(i->head.base ? i->head.root : i->root, 32, root);
    poa_hex(i->end.all, 32, all);
    if (c->json)
        return cli_print_json(
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "chain", chain, "base",
                      poa_json_u64(i->head.base), "first", poa_json_u64(i->head.first), "last",
                      poa_json_u64(i->head.last), "entries", poa_json_u64(i->end.entries), "bytes",
                      poa_json_u64(i->bytes), "checksum", all));
    printf("%s: ", what);
    if (i->head.base)
        printf("state of height %" PRIu64 " (%" PRIu64 " entries), ", i->head.base, i->end.entries);
    printf("blocks %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes\nchain      %s\n", i->head.first,
           i->head.last, i->bytes, chain);
    return 0;
}

static int write_archive(const struct cli *c, bool snapshot)
{
    struct cli_progress t = {.said = false};
    struct poa_archive_progress p = {cli_progress, &t};
    struct poa_archive_info info;
    struct poa_why why = {""};
    if (!c->option[CLI_OUTPUT])
        return cli_misuse("say where to: --output FILE");
    if (cli_new_file(c->option[CLI_OUTPUT]) != 0)
        return 1;
    struct poa_store *s = open_dir(c->argument[0]);
    if (!s)
        return 1;
    int rc = poa_archive_write(s, c->option[CLI_OUTPUT], snapshot, POA_FILE_NEW, &p, &info, &why);
    poa_store_close(s);
    cli_progress_end(&t);
    if (rc)
        return cli_fail("%s: %s", c->argument[0], why.text);
    return print_info(c, &info, c->option[CLI_OUTPUT]);
}

static int load_archive(const struct cli *c)
{
    struct cli_progress t = {.said = false};
    struct poa_archive_progress p = {cli_progress, &t};
    struct poa_archive_info info;
    struct poa_why why = {""};
    uint8_t chain[32];
    bool pinned = false;
    if (c->option[CLI_GENESIS]) {
        char *bytes = NULL;
        size_t n = 0;
        if (poa_file_read(c->option[CLI_GENESIS], (size_t)64 << 20, 0, &bytes, &n, &why))
            return cli_fail("%s", why.text);
        poa_genesis_chain_id(poa_slice(bytes, n), chain);
        free(bytes);
        pinned = true;
    } else if (c->option[CLI_CHAIN]) {
        if (strlen(c->option[CLI_CHAIN]) != 64 || poa_unhex(c->option[CLI_CHAIN], chain, 32))
            return cli_misuse("--chain: a chain id has 64 hex digits");
        pinned = true;
    }
    if (!pinned)
        return cli_misuse("say which chain you trust: --genesis FILE or --chain ID");
    int rc = poa_archive_load(c->argument[0], c->argument[1], chain, true, &p, &info, &why);
    cli_progress_end(&t);
    if (rc) {
        const char *is = cli_file_looks_like(c->argument[0]);
        return cli_fail("%s%s", why.text, strstr(is, "an archive") == NULL ? is : "");
    }
    return print_info(c, &info, c->argument[1]);
}

int cli_store_export(const struct cli *c)
{
    return write_archive(c, false);
}

int cli_store_import(const struct cli *c)
{
    return load_archive(c);
}

int cli_snapshot_create(const struct cli *c)
{
    return write_archive(c, true);
}

int cli_snapshot_restore(const struct cli *c)
{
    return load_archive(c);
}
