/* poa status, block, tx, devices: what a node knows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "poa_cli.h"

/* What the committee in work withstands, and a warning when that is less than
 * the network promised. */
static void print_bound(const json_t *w)
{
    const json_t *target = json_object_get(w, "target");
    bool met = json_is_true(json_object_get(w, "met"));
    if (!json_is_object(w))
        return;
    printf("bound      fork %.3g, stall %.3g (p = %g, offline %g); ",
           json_number_value(json_object_get(w, "fork")),
           json_number_value(json_object_get(w, "stall")),
           json_number_value(json_object_get(w, "p")),
           json_number_value(json_object_get(w, "offline")));
    if (json_is_number(target))
        printf("targets %g and %g %s", json_number_value(target),
               json_number_value(json_object_get(w, "stall_target")), met ? "met" : "MISSED");
    else
        printf("no target");
    printf("%s\n", json_is_true(json_object_get(w, "devnet")) ? " (devnet)" : "");
    if (json_is_number(target) && !met && !json_is_true(json_object_get(w, "devnet")))
        printf("WARNING    this committee is less safe than the network promises: see `poa witness "
               "plan`\n");
    if (cli_number(w, "relaxed") > 0)
        printf("WARNING    the draw had to raise the caps by %" PRIu64
               ": too many witnesses of one maker, region or provider\n",
               cli_number(w, "relaxed"));
}

#define SYNC_BAR 20

/* FULL in a hundred. */
static void print_bar(const char *name, uint64_t full)
{
    int marks = (int)((full < 100 ? full : 100) * SYNC_BAR / 100);
    printf("%-10s [%.*s%*s] %" PRIu64 " %%", name, marks, "####################", SYNC_BAR - marks,
           "", full);
}

static void print_left(const json_t *v)
{
    if (cli_number(v, "left_s") > 0)
        printf(", about %" PRIu64 " s left", cli_number(v, "left_s"));
    printf("\n");
}

/* A new node that has no state yet, so that there is nothing else to say of it. */
static void print_join(const json_t *v)
{
    uint64_t bytes = cli_number(v, "bytes"), parts = cli_number(v, "parts");
    uint64_t held = cli_number(v, "bytes_held"), servers = cli_number(v, "servers");
    if (parts == 0 || bytes == 0)
        return;
    print_bar("snapshot", held * 100 / bytes);
    printf(", %" PRIu64 " of %" PRIu64 " parts, %" PRIu64 " of %" PRIu64 " bytes of height %" PRIu64
           " from %" PRIu64 " server%s",
           cli_number(v, "parts_held"), parts, held, bytes, cli_number(v, "height"), servers,
           servers == 1 ? "" : "s");
    print_left(v);
}

static void print_ready(const json_t *v)
{
    if (json_is_true(json_object_get(v, "ready")))
        printf("ready      yes\n");
    else
        printf("ready      no: %s\n", cli_text(v, "why"));
}

int cli_status(const struct cli *c)
{
    json_t *v;
    if (cli_call(c, "poa_status", NULL, &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    const json_t *k = json_object_get(v, "consensus"), *s = json_object_get(v, "state");
    const json_t *roles = json_object_get(v, "roles");
    printf("node       %s, %s", cli_text(v, "name"), cli_text(v, "version"));
    for (size_t i = 0; i < json_array_size(roles); i++)
        printf("%s%s", i == 0 ? ", " : " and ", json_string_value(json_array_get(roles, i)));
    printf("\nkey        %s\n", cli_text(v, "key"));
    printf("chain      %s\n", cli_text(v, "chain"));
    if (json_is_object(json_object_get(v, "snapshot"))) {
        print_join(json_object_get(v, "snapshot"));
        print_ready(v);
        json_decref(v);
        return 0;
    }
    printf("height     %s  %s\n", cli_text(v, "height"), cli_text(v, "hash"));
    printf("slot       %s\n", cli_text(v, "slot"));
    printf("epoch      %" PRIu64 ", view %s\n", cli_number(k, "epoch"), cli_text(k, "view"));
    printf("committee  %" PRIu64 " members, quorum %" PRIu64 "%s\n", cli_number(k, "members"),
           cli_number(k, "quorum"),
           json_integer_value(json_object_get(k, "member")) >= 0 ? ", this node is one" : "");
    print_bound(json_object_get(v, "witness"));
    printf("ledger     %s transactions, %s anchors, %s seals\n", cli_text(s, "txs"),
           cli_text(s, "anchors"), cli_text(s, "seals"));
    printf("devices    %" PRIu64 " registered, %" PRIu64 " connected here\n",
           cli_number(s, "devices"), cli_number(v, "devices"));
    printf("peers      %" PRIu64 "\n", cli_number(v, "peers"));
    const json_t *sync = json_object_get(v, "sync");
    uint64_t target = cli_number(sync, "target");
    if (json_is_object(sync) && target > 0) {
        uint64_t height = cli_number(v, "height");
        height = height < target ? height : target;
        print_bar("sync", height * 100 / target);
        printf(" of %" PRIu64 " blocks", target);
        print_left(sync);
    }
    size_t silent = json_array_size(json_object_get(k, "silent"));
    if (json_is_true(json_object_get(k, "abstaining")))
        printf("votes      no: this node lost its log, or may have an older copy of it; %s\n",
               json_integer_value(json_object_get(k, "member")) >= 0
                   ? "it votes again from the next epoch on"
                   : "it is not in the committee, and may vote when it is in the next one");
    if (silent > 0)
        printf("stalled    for %" PRIu64 " s: %zu of %" PRIu64 " members vote, %" PRIu64
               " must; see Recovery in docs/node.md\n",
               cli_number(k, "final_age_ms") / 1000, (size_t)cli_number(k, "members") - silent,
               cli_number(k, "members"), cli_number(k, "quorum"));
    for (size_t i = 0; i < silent; i++)
        printf("  silent   %s\n",
               json_string_value(json_array_get(json_object_get(k, "silent"), i)));
    print_ready(v);
    json_decref(v);
    return 0;
}

static bool is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

int cli_block(const struct cli *c)
{
    json_t *params = NULL, *v;
    char about[96] = "the latest block";
    if (c->arguments == 1)
        snprintf(about, sizeof about, "block %.70s", c->argument[0]);
    if (c->arguments == 1 && is_hash(c->argument[0])) {
        params = json_pack("{s:s}", "hash", c->argument[0]);
    } else if (c->arguments == 1) {
        uint64_t height;
        if (strspn(c->argument[0], "0123456789") != strlen(c->argument[0]))
            return cli_misuse("block %.70s: give a height, which is a number from 1 on, or a hash, "
                              "64 hex digits",
                              c->argument[0]);
        if (!cli_u64("HEIGHT", c->argument[0], 1, UINT64_MAX, &height))
            return 2;
        params = json_pack("{s:s}", "height", c->argument[0]);
    }
    if (cli_call_about(c, about, "poa_block_get", params, &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    static const char *const kinds[] = {"normal", "closing", "filler"};
    const json_t *h = json_object_get(v, "header"), *b = json_object_get(v, "body");
    const json_t *cert = json_object_get(v, "certificate");
    const json_t *txs = json_object_get(v, "transactions");
    uint64_t kind = cli_number(h, "kind");
    printf("block      %s  %s\n", cli_text(h, "height"), cli_text(v, "hash"));
    printf("parent     %s\n", cli_text(h, "parent"));
    printf("epoch      %" PRIu64 ", view %s, leader %" PRIu64 ", %s\n", cli_number(h, "epoch"),
           cli_text(h, "view"), cli_number(h, "leader"), kind < 3 ? kinds[kind] : "?");
    printf("time       %s ms\n", cli_text(h, "time_ms"));
    printf("state      %s (after the parent)\n", cli_text(h, "state"));
    printf("carries    %zu transactions, %zu tickets, %zu seals\n", json_array_size(txs),
           json_array_size(json_object_get(b, "tickets")),
           json_array_size(json_object_get(b, "seals")));
    if (cert != NULL)
        printf("final by   %zu signatures\n", json_array_size(json_object_get(cert, "sigs")));
    for (size_t i = 0; i < json_array_size(txs); i++) {
        const json_t *tx = json_array_get(txs, i);
        printf("  %s  %s\n", cli_text(tx, "id"), cli_text(tx, "result"));
    }
    json_decref(v);
    return 0;
}

/* Grade of a transaction, what is counted towards grade 2, and its hold. */
static void print_grade(const json_t *v)
{
    const json_t *g = json_object_get(v, "grade2"), *hold = json_object_get(v, "hold");
    const json_t *needs = json_object_get(g, "needs");
    if (json_object_get(v, "grade") == NULL)
        return;
    printf("grade      %" PRIu64, cli_number(v, "grade"));
    if (json_is_null(g))
        printf(" (this network has no grade 2)");
    else if (json_is_true(json_object_get(g, "expired")))
        printf(" (its slots are no longer in the state: whether it had grade 2 is not known here)");
    else
        printf(": seals of %" PRIu64 " of %" PRIu64 " devices, %" PRIu64 " of %" PRIu64
               " makers, %" PRIu64 " of %" PRIu64 " regions, in slots %s to %s%s",
               cli_number(g, "devices"), cli_number(needs, "devices"), cli_number(g, "makers"),
               cli_number(needs, "makers"), cli_number(g, "regions"), cli_number(needs, "regions"),
               cli_text(g, "first_slot"), cli_text(g, "last_slot"),
               json_is_true(json_object_get(g, "closed")) ? " (over)" : "");
    printf("\n");
    if (!json_is_object(hold))
        return;
    printf("hold       %s %s", cli_text(hold, "amount"), cli_text(hold, "state"));
    if (strcmp(cli_text(hold, "state"), "held") == 0)
        printf(", until grade 2; refunded after slot %s", cli_text(hold, "refund_after_slot"));
    else
        printf(" in block %s", cli_text(hold, "ended_height"));
    printf("\n");
}

int cli_tx(const struct cli *c)
{
    json_t *v;
    if (!is_hash(c->argument[0]))
        return cli_misuse("%s: a transaction id has 64 hex digits", c->argument[0]);
    char about[96];
    snprintf(about, sizeof about, "transaction %.70s", c->argument[0]);
    if (cli_call_about(c, about, "poa_tx_get", json_pack("{s:s}", "id", c->argument[0]), &v) !=
        POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    printf("id         %s\nstate      %s\n", cli_text(v, "id"), cli_text(v, "state"));
    if (strcmp(cli_text(v, "state"), "final") == 0)
        printf("block      %s, index %" PRIu64 "\nresult     %s%s%s\n", cli_text(v, "height"),
               cli_number(v, "index"), cli_text(v, "result"), cli_text(v, "why")[0] ? ": " : "",
               cli_text(v, "why"));
    else if (strcmp(cli_text(v, "state"), "dropped") == 0)
        printf("result     %s: %s\n", cli_text(v, "result"), cli_text(v, "why"));
    print_grade(v);
    const json_t *tx = json_object_get(v, "tx"), *ops = json_object_get(tx, "ops");
    if (json_is_object(tx))
        printf("sender     %s\nnonce      %s, fee %s\n", cli_text(tx, "sender"),
               cli_text(tx, "nonce"), cli_text(tx, "fee"));
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);
        printf("  %s", cli_text(op, "operation"));
        if (strcmp(cli_text(op, "operation"), "TRANSFER") == 0)
            printf(" %s to %s", cli_text(op, "amount"), cli_text(op, "to"));
        printf("\n");
    }
    json_decref(v);
    return 0;
}

static void print_device(const json_t *d)
{
    printf("%6" PRIu64 "  %.16s..  maker %-4" PRIu64 " region %-4" PRIu64
           " assigned %-6s sealed %-6s earned %s%s\n",
           cli_number(d, "index"), cli_text(d, "device"), cli_number(d, "maker"),
           cli_number(d, "region"), cli_text(d, "assigned"), cli_text(d, "sealed"),
           cli_text(d, "earned"), cli_number(d, "status") ? "  suspended" : "");
}

/* Looks through the registry from FROM on for devices whose key starts with START, or (START
 * is NULL) at the one with that number; KEY is the last one FOUND. 0, or 1 with a line. */
static int find_devices(const struct cli *c, const char *start, uint64_t from, unsigned *found,
                        char key[65])
{
    *found = 0;
    for (bool more = true; more && *found < 2;) {
        json_t *v, *item;
        size_t i;
        if (cli_call(c, "poa_devices_list",
                     json_pack("{s:I, s:i}", "from", (json_int_t)from, "limit",
                               start == NULL ? 1 : 1000),
                     &v) != POA_OK)
            return 1;
        json_array_foreach(json_object_get(v, "items"), i, item)
        {
            const char *device = cli_text(item, "device");
            if (start == NULL || strncasecmp(device, start, strlen(start)) == 0) {
                snprintf(key, 65, "%s", device);
                ++*found;
            }
        }
        more = start != NULL && json_is_integer(json_object_get(v, "next"));
        from = cli_number(v, "next");
        json_decref(v);
    }
    return 0;
}

int cli_device_key(const struct cli *c, const char *start, char key[65])
{
    size_t n = strlen(start);
    bool hex = n > 0 && n <= 64 && strspn(start, "0123456789abcdefABCDEF") == n;
    bool index = hex && n < 6 && strspn(start, "0123456789") == n;
    unsigned found = 0;
    int rc = 0;
    if (!hex || (!index && n < 4))
        return cli_misuse("%s: give a device's key, at least 4 hex digits of its start, or its "
                          "number in `poa devices`",
                          start);
    if (n == 64) {
        snprintf(key, 65, "%s", start);
        return 0;
    }
    if (index)
        rc = find_devices(c, NULL, strtoull(start, NULL, 10), &found, key);
    /* Who meant a number that no device has may have meant a key: its digits can be all 0 to 9. */
    if (rc == 0 && found == 0 && n >= 4)
        rc = find_devices(c, start, 0, &found, key);
    if (rc != 0 || found == 1)
        return rc;
    return found == 0 ? cli_fail("no device %s; `poa devices` lists them", start)
                      : cli_fail("%s: several devices start like that; give more digits", start);
}

int cli_devices(const struct cli *c)
{
    json_t *v;
    if (c->arguments == 1) {
        char key[65], about[80];
        int rc = cli_device_key(c, c->argument[0], key);
        if (rc != 0)
            return rc;
        snprintf(about, sizeof about, "device %s", key);
        if (cli_call_about(c, about, "poa_device_get", json_pack("{s:s}", "device", key), &v) !=
            POA_OK)
            return 1;
        if (c->json)
            return cli_print_json(v);
        printf("device     %s\nowner      %s\npayout     %s\n", cli_text(v, "device"),
               cli_text(v, "owner"), cli_text(v, "payout"));
        print_device(v);
        json_decref(v);
        return 0;
    }
    uint64_t from = 0, limit = 100;
    if ((c->option[CLI_OFFSET] != NULL &&
         !cli_u64("--offset", c->option[CLI_OFFSET], 0, UINT32_MAX, &from)) ||
        (c->option[CLI_LIMIT] != NULL &&
         !cli_u64("--limit", c->option[CLI_LIMIT], 1, 1000, &limit)))
        return 2;
    if (cli_call(c, "poa_devices_list",
                 json_pack("{s:I, s:I}", "from", (json_int_t)from, "limit", (json_int_t)limit),
                 &v) != POA_OK)
        return 1;
    if (c->json)
        return cli_print_json(v);
    const json_t *items = json_object_get(v, "items");
    for (size_t i = 0; i < json_array_size(items); i++)
        print_device(json_array_get(items, i));
    if (!json_is_null(json_object_get(v, "next")))
        printf("of %" PRIu64 "; --offset %" PRIu64 " shows more\n", cli_number(v, "total"),
               cli_number(v, "next"));
    json_decref(v);
    return 0;
}
