/* poa genesis */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_cli.h"
#include "poa_ledger.h"
#include "poa_risk.h"
#include "poa_rpc_json.h"

#define FILE_MAX ((size_t)64 * 1024 * 1024)

static int load(const char *path, char **bytes, struct poa_genesis *g, uint8_t chain32[32])
{
    size_t n = 0;
    struct poa_why why = {{0}};
    if (poa_file_read(path, FILE_MAX, 0, bytes, &n, &why) != POA_OK)
        return cli_fail("%s", why.text);
    struct poa_slice raw = poa_slice(*bytes, n);
    int rc = poa_genesis_decode(raw, g);
    if (rc != POA_OK) {
        free(*bytes);
        *bytes = NULL;
        return cli_fail("%s is no genesis record: %s%s", path, poa_error_text(rc),
                        cli_file_looks_like(path));
    }
    poa_genesis_chain_id(raw, chain32);
    return 0;
}

static int check(const char *path, const struct poa_genesis *g, struct poa_risk *risk)
{
    const char *broken = NULL;
    struct poa_why why = {{0}};
    if (poa_genesis_check(g, &broken) != POA_OK)
        return cli_fail("%s: %s", path, broken != NULL ? broken : "a rule is broken");
    if (poa_risk_check(g, risk, &why) != POA_OK)
        return cli_fail("%s: %s", path, why.text);
    return 0;
}

/* What the network withstands; a devnet is not refused, but it is told. */
static void print_risk(const struct poa_genesis *g, const struct poa_risk *r)
{
    printf("committee  %u of %u witnesses, quorum %u\n", r->n, g->witnesses.count, r->q);
    printf("bound      fork %.3g, stall %.3g, forge %.3g (p = %g, offline %g)\n",
           r->bounds.fork.value, r->bounds.stall.value, r->bounds.forge.value, r->p, r->offline);
    printf("groups     %u of a maker, %u of a region, %u of a provider; when the largest falls: "
           "fork %.3g\n",
           r->maker, r->region, r->provider, r->group.fork.value);
    if (r->target > 0)
        printf("target     fork %g, stall %g: %s%s\n", r->target, r->stall_target,
               r->met ? "met" : "MISSED",
               g->devnet && !r->met ? ", allowed: this is a devnet" : "");
    else
        printf("target     not stated, allowed: this is a devnet\n");
}

static int print_chain(const struct cli *c, const struct poa_genesis *g,
                       const struct poa_risk *risk, const uint8_t chain32[32])
{
    char hex[65];
    poa_hex(chain32, 32, hex);
    if (c->json)
        return cli_print_json(json_pack(
            "{s:s, s:o, s:I, s:I, s:I, s:I, s:o}", "chain", hex, "name", poa_json_text(g->name),
            "accounts", (json_int_t)g->accounts.count, "makers", (json_int_t)g->makers.count,
            "witnesses", (json_int_t)g->witnesses.count, "devices", (json_int_t)g->devices.count,
            "witness", poa_json_risk(risk, g->devnet)));
    printf("%s\n", hex);
    return 0;
}

int cli_genesis_create(const struct cli *c)
{
    const char *in = c->argument[0], *out = c->option[CLI_OUTPUT];
    if (out == NULL)
        return cli_misuse("say where to: --output FILE.poa");
    if (cli_new_file(out) != 0)
        return 1;
    json_t *v = cli_json_file(in);
    if (v == NULL)
        return 1;
    size_t cap = FILE_MAX;
    struct poa_genesis g;
    struct poa_risk risk;
    struct poa_why why = {{0}};
    memset(&g, 0, sizeof g);
    uint8_t *scratch = malloc(cap), *encoded = malloc(cap);
    struct poa_writer s = poa_writer_over(scratch, cap), w = poa_writer_over(encoded, cap);
    int rc = 0;
    if (scratch == NULL || encoded == NULL)
        rc = cli_fail("out of memory");
    else if (poa_json_to_record(&poa_genesis_record, v, &s, &g, &why) != POA_OK)
        rc = cli_fail("%s: %s", in, why.text);
    else if ((rc = check(in, &g, &risk)) == 0) {
        uint8_t chain[32];
        int code = poa_genesis_encode(&w, &g);
        if (code != POA_OK)
            rc = cli_fail("%s: %s", in, poa_error_text(code));
        else if (poa_file_write(out, encoded, w.n, 0644, POA_FILE_NEW, &why) != POA_OK)
            rc = cli_fail("%s", why.text);
        else {
            poa_genesis_chain_id(poa_written(&w), chain);
            rc = print_chain(c, &g, &risk, chain);
        }
    }
    free(scratch);
    free(encoded);
    json_decref(v);
    return rc;
}

int cli_genesis_show(const struct cli *c)
{
    char *bytes = NULL;
    struct poa_genesis g;
    uint8_t chain[32];
    int rc = load(c->argument[0], &bytes, &g, chain);
    if (rc != 0)
        return rc;
    json_t *v = poa_json_record(&poa_genesis_record, &g);
    char *text = v != NULL ? json_dumps(v, JSON_INDENT(2)) : NULL;
    if (text != NULL)
        puts(text);
    else
        rc = cli_fail("out of memory");
    free(text);
    json_decref(v);
    free(bytes);
    return rc;
}

int cli_genesis_check(const struct cli *c)
{
    char *bytes = NULL;
    struct poa_genesis g;
    struct poa_risk risk;
    uint8_t chain[32];
    int rc = load(c->argument[0], &bytes, &g, chain);
    if (rc == 0)
        rc = check(c->argument[0], &g, &risk);
    if (rc == 0)
        rc = print_chain(c, &g, &risk, chain);
    if (rc == 0 && !c->json)
        print_risk(&g, &risk);
    free(bytes);
    return rc;
}
