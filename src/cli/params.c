/* poa params: what governance may change. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli_tx.h"
#include "poa_risk.h"

int cli_params_show(const struct cli *c)
{
    json_t *v;
    if (cli_call(c, "poa_params_get", NULL, &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    const json_t *all = json_object_get(v, "parameters"), *p;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)all, i, p)
    {
        const char *now = cli_text(p, "value"), *next = cli_text(p, "next");
        printf("%-17s %s%s%s  %s; %s\n", cli_text(p, "name"), now,
               strcmp(now, next) != 0 ? ", then " : "", strcmp(now, next) != 0 ? next : "",
               cli_text(p, "unit"), cli_text(p, "text"));
    }
    json_decref(v);
    return 0;
}

struct wanted {
    bool set[64];
    struct poa_param_change change[64];
};

static int want(const struct cli *c, const char *name, const char *value, struct wanted *w)
{
    unsigned number = 0;
    bool address = false;
#define ROW(name_, number_, kind, field, min, max, unit, text)                                     \
    if (strcasecmp(name, #name_) == 0 || strcasecmp(name, #field) == 0) {                          \
        number = number_;                                                                          \
        address = strcmp(#kind, "FIX") == 0;                                                       \
    }
    POA_PARAMS(ROW)
#undef ROW
    if (number == 0)
        return cli_misuse("%s is no parameter that may change; `poa params show` lists them", name);
    if (w->set[number])
        return cli_misuse("%s is there twice", name);
    struct poa_param_change *change = &w->change[number];
    w->set[number] = true;
    change->param = (uint16_t)number;
    if (address)
        return cli_address(c, value, change->address) == POA_OK ? 0 : 1;
    return cli_u64(name, value, 0, UINT64_MAX, &change->value) ? 0 : 2;
}

static int active_witnesses(const struct cli *c, uint32_t *out)
{
    *out = 0;
    for (json_int_t from = 0;;) {
        json_t *v;
        if (cli_call(c, "poa_witnesses_list", json_pack("{s:I, s:i}", "from", from, "limit", 200),
                     &v) != POA_OK)
            return 1;
        const json_t *items = json_object_get(v, "items"), *w;
        size_t i;
        json_array_foreach((json_t *)(uintptr_t)items, i, w) *out += cli_number(w, "status") == 0;
        const json_t *next = json_object_get(v, "next");
        bool more = json_is_integer(next);
        from = json_integer_value(next);
        json_decref(v);
        if (!more)
            return 0;
    }
}

/* Whether who is to govern can pay the fees that are to hold. */
static int payable(const struct cli *c, const struct poa_genesis *before,
                   const struct poa_genesis *g)
{
    char text[POA_ADDRESS_TEXT_BYTES];
    json_t *v;
    poa_address_to_text(g->steering, text);
    if (cli_call(c, "poa_account_get", json_pack("{s:s}", "address", text), &v) != POA_OK)
        return 1;
    uint64_t balance = cli_number(v, "balance"), fee = poa_fee_min(g, 1024);
    json_decref(v);
    if (poa_params_payable(before, g, balance))
        return 0;
    return cli_fail("the steering account would be %s, whose balance of %" PRIu64
                    " does not pay for %d transactions at the %" PRIu64
                    " that 1 KiB would cost: nobody could change the fees again; send it coins "
                    "first, or ask for less",
                    text, balance, POA_STEERING_TXS, fee);
}

/* What the ledger would refuse, with the reason in full. */
static int check(const struct cli *c, const struct poa_list *changes)
{
    struct cli_rules r;
    struct poa_genesis first, before, g;
    const char *reason = NULL;
    uint32_t witnesses;
    if (cli_rules(c, &r) != POA_OK)
        return 1;
    first = g = r.g;
    first.subsidy = UINT64_MAX; /* that of genesis is for the ledger to compare */
    int rc = cli_rules_at(&r, r.epoch + 1, &g) == POA_OK ? active_witnesses(c, &witnesses) : 1;
    before = g;
    if (rc == 0 && poa_params_change(&g, changes) != POA_OK)
        rc = cli_fail("a value is out of its bounds; `poa params show --json` lists them");
    if (rc == 0) {
        struct poa_why why = {{0}};
        int e = poa_params_check(&first, &before, &g, witnesses, &reason);
        if (e == POA_E_TX_BOUND && poa_risk_change(&g, witnesses, &why) != POA_OK)
            rc = cli_fail("%s", why.text);
        else if (e != POA_OK)
            rc = cli_fail("%s", reason);
        else
            rc = payable(c, &before, &g);
    }
    cli_rules_free(&r);
    return rc;
}

int cli_params_set(const struct cli *c)
{
    static struct cli_ops ops;
    struct wanted w;
    uint8_t bytes[POA_PARAMS_MAX * 42];
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_op_params op = {.changes = {.count = 0}};
    int rc = 0;
    memset(&w, 0, sizeof w);
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (c->arguments % 2 != 0)
        return cli_misuse("say what to change to what, in pairs: poa params set NAME VALUE...");
    for (int i = 0; rc == 0 && i < c->arguments; i += 2)
        rc = want(c, c->argument[i], c->argument[i + 1], &w);
    for (size_t i = 0; rc == 0 && i < sizeof w.set / sizeof w.set[0]; i++)
        if (w.set[i]) {
            op.changes.count++;
            if (poa_param_change_encode(&out, &w.change[i]) != POA_OK)
                rc = cli_fail("too many parameters");
        }
    op.changes.bytes = poa_written(&out);
    if (rc == 0)
        rc = check(c, &op.changes);
    if (rc == 0)
        rc = cli_op(&ops, POA_OP_PARAM_SET, &poa_op_params_record, &op);
    return rc != 0 ? rc : cli_transact(c, &ops, NULL);
}

int cli_readmit(const struct cli *c)
{
    static struct cli_ops ops;
    struct poa_op_readmit op;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (strlen(c->argument[0]) != 64 || poa_unhex(c->argument[0], op.key, 32) != POA_OK)
        return cli_misuse("%s: the key of a device or witness has 64 hex digits", c->argument[0]);
    int rc = cli_op(&ops, POA_OP_READMIT, &poa_op_readmit_record, &op);
    return rc != 0 ? rc : cli_transact(c, &ops, NULL);
}
