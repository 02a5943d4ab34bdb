/* poa witness admit, leave, recovery: the pool, by the steering committee's
 * account; and the order that gets a chain going again whose logs are lost. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli_tx.h"

/* A node key: 64 hex digits, or the label of a key here. */
static int node_key(const struct cli *c, const char *text, uint8_t key32[32])
{
    char path[600];
    struct poa_keystore_info info;
    struct poa_why why = {{0}};
    size_t n = strlen(text);
    if (n == 64 && poa_unhex(text, key32, 32) == POA_OK)
        return poa_point_is_prime_order(key32)
                   ? 0
                   : cli_misuse("%s is no public key: nobody can have the secret of it", text);
    if (n > 32 && strspn(text, "0123456789abcdefABCDEF") == n)
        return cli_misuse("%s has %zu hex digits, a node key has 64", text, n);
    if (cli_key_path(c, text, false, path, sizeof path) != POA_OK)
        return 1;
    int rc = poa_keystore_info(path, &info, &why);
    if (rc == POA_E_NOT_FOUND)
        return cli_fail("%s is neither a node key (64 hex digits) nor the label of one here", text);
    if (rc != POA_OK)
        return cli_fail("%s", why.text);
    if (info.kind != POA_KEY_NODE)
        return cli_fail("%s is no node key; `poa keys new LABEL --kind node` makes one", text);
    memcpy(key32, info.pk, 32);
    return 0;
}

static bool number(const struct cli *c, int option, const char *name, uint64_t max, uint64_t *out)
{
    *out = 0;
    return c->option[option] == NULL || cli_u64(name, c->option[option], 0, max, out);
}

/* HOST:PORT, for a port below the last: pushes go to the next one. */
static bool mesh_ok(const char *text)
{
    const char *colon = strrchr(text, ':');
    unsigned port = 0;
    char end;
    return colon != NULL && colon != text && strcspn(text, " \t\n") == strlen(text) &&
           sscanf(colon + 1, "%5u%c", &port, &end) == 1 && port > 0 && port < 65535;
}

int cli_witness_admit(const struct cli *c)
{
    static struct cli_ops ops;
    struct poa_op_witness op = {.maker = 0};
    const char *name = c->option[CLI_NAME], *mesh = c->option[CLI_MESH];
    char meta[256];
    uint64_t maker, region, provider;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (!number(c, CLI_MAKER, "--maker", UINT32_MAX, &maker) ||
        !number(c, CLI_REGION, "--region", UINT16_MAX, &region) ||
        !number(c, CLI_PROVIDER, "--provider", UINT32_MAX, &provider))
        return 2;
    if (mesh != NULL &&
        (!mesh_ok(mesh) ||
         (size_t)snprintf(meta, sizeof meta, POA_WITNESS_META_MESH "%s", mesh) >= sizeof meta))
        return cli_misuse("--mesh: %s is not HOST:PORT", mesh);
    if (node_key(c, c->argument[0], op.key) != 0)
        return 1;
    if (cli_address(c, c->option[CLI_PAYOUT] != NULL ? c->option[CLI_PAYOUT] : c->option[CLI_FROM],
                    op.payout) != POA_OK)
        return 1;
    if (name == NULL)
        name = strlen(c->argument[0]) <= 64 ? c->argument[0] : "witness";
    op.maker = (uint32_t)maker;
    op.region = (uint16_t)region;
    op.provider = (uint32_t)provider;
    op.name = poa_slice(name, strlen(name));
    op.meta = mesh != NULL ? poa_slice(meta, strlen(meta)) : poa_slice(NULL, 0);
    int rc = cli_op(&ops, POA_OP_WITNESS_ADD, &poa_op_witness_record, &op);
    return rc != 0 ? rc : cli_transact(c, &ops, NULL);
}

int cli_witness_leave(const struct cli *c)
{
    static struct cli_ops ops;
    struct poa_op_witness_leave op;
    if (c->option[CLI_FROM] == NULL)
        return cli_no_payer();
    if (node_key(c, c->argument[0], op.key) != 0)
        return 1;
    int rc = cli_op(&ops, POA_OP_WITNESS_LEAVE, &poa_op_witness_leave_record, &op);
    return rc != 0 ? rc : cli_transact(c, &ops, NULL);
}

int cli_witness_recovery(const struct cli *c)
{
    json_t *v;
    uint8_t token[16];
    char hex[33], order[48];
    if (cli_call(c, "poa_status", json_object(), &v) != POA_OK)
        return 1;
    const json_t *k = json_object_get(v, "consensus");
    const json_t *silent = json_object_get(k, "silent");
    uint64_t epoch = cli_number(k, "epoch"), members = cli_number(k, "members");
    uint64_t quorum = cli_number(k, "quorum"), voting = members - json_array_size(silent);
    bool stalled = json_array_size(silent) > 0 && voting < quorum;
    bool member = json_integer_value(json_object_get(k, "member")) >= 0;
    if (member && json_is_true(json_object_get(k, "abstaining"))) {
        json_decref(v);
        return stalled ? cli_fail("this node abstains, because it lost its log: make the order at "
                                  "a witness that votes (--rpc URL), and restart this one with it")
                       : cli_fail("nothing to recover, as this node sees it: it lost its log, "
                                  "abstains, and votes again from the next epoch on; if none "
                                  "comes, ask a witness that votes (--rpc URL)");
    }
    if (!stalled) {
        json_decref(v);
        return cli_fail("the chain is not stalled for want of votes, as this node sees it (ask a "
                        "witness): nothing to recover");
    }
    poa_random(token, sizeof token);
    poa_hex(token, sizeof token, hex);
    snprintf(order, sizeof order, "%" PRIu64 "-%s", epoch, hex);
    if (c->json) {
        json_t *out = json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:O}", "epoch", (json_int_t)epoch,
                                "recover", order, "members", (json_int_t)members, "quorum",
                                (json_int_t)quorum, "voting", (json_int_t)voting, "needed",
                                (json_int_t)(members - quorum + 1), "silent", silent);
        json_decref(v);
        return cli_print_json(out);
    }
    printf("epoch      %" PRIu64 ", view %s, nothing final for %" PRIu64 " s\n", epoch,
           cli_text(k, "view"), cli_number(k, "final_age_ms") / 1000);
    printf("votes      %" PRIu64 " of %" PRIu64 " members, %" PRIu64 " must; silent:\n", voting,
           members, quorum);
    for (size_t i = 0; i < json_array_size(silent); i++)
        printf("           %s\n", json_string_value(json_array_get(silent, i)));
    printf("order      --recover %s\n\n"
           "Restart with this option at least %" PRIu64
           " witnesses that have their logs and can be trusted, and\n"
           "those that lost them, until %" PRIu64
           " take part. See Recovery in docs/node.md first: an order that is\n"
           "used again, or was made before a log was lost, can fork the chain.\n",
           order, members - quorum + 1, quorum);
    json_decref(v);
    return 0;
}
