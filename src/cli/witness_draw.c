/* poa witness draw: the committee of an epoch, drawn again from what the chain
 * says: the rule in genesis, the seed, and the registry of witnesses. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_tx.h"
#include "poa_risk.h"
#include "poa_vrf.h"

#define PAGE 200u

struct chain {
    const struct cli *c;
    struct cli_rules rules;
    uint8_t id[32];
    struct poa_genesis genesis; /* with the parameters of the epoch in question */
};

/* What an epoch's record says. */
struct epoch {
    uint8_t seed[32];
    uint64_t first_height;
    uint32_t witnesses, relaxed;
    json_t *committee; /* borrowed from JSON */
    json_t *json;
};

static bool hash_of(const json_t *object, const char *key, uint8_t out32[32])
{
    const char *text = cli_text(object, key);
    return strlen(text) == 64 && poa_unhex(text, out32, 32) == POA_OK;
}

static int strange(void)
{
    return cli_fail("the node's answer is not what it should be: is it of another version?");
}

/* The state keeps the parameters before and after the last change: an epoch before
 * the last but one is drawn again by rules that it did not have, and then differs. */
static int read_genesis(struct chain *chain, uint32_t epoch)
{
    if (cli_rules(chain->c, &chain->rules) != POA_OK)
        return 1;
    chain->genesis = chain->rules.g;
    memcpy(chain->id, chain->rules.chain, 32);
    return cli_rules_at(&chain->rules, epoch, &chain->genesis) == POA_OK ? 0 : 1;
}

static int read_epoch(const struct chain *chain, uint32_t number, struct epoch *out)
{
    json_t *v;
    if (cli_call(chain->c, "poa_epoch_get", json_pack("{s:I}", "epoch", (json_int_t)number), &v) !=
        POA_OK)
        return 1;
    *out = (struct epoch){.first_height = cli_number(v, "first_height"),
                          .witnesses = (uint32_t)cli_number(v, "witnesses"),
                          .relaxed = (uint32_t)cli_number(v, "relaxed"),
                          .committee = json_object_get(v, "committee"),
                          .json = v};
    return hash_of(v, "seed", out->seed) ? 0 : strange();
}

/* The committee of the next epoch is drawn by the block that closes this one. */
static int has_begun(const struct chain *chain, uint32_t number)
{
    json_t *v;
    if (cli_call(chain->c, "poa_epoch_get", NULL, &v) != POA_OK)
        return 1;
    uint64_t now = cli_number(v, "epoch");
    json_decref(v);
    return number <= now + 1 ? 0
                             : cli_fail("epoch %" PRIu32 " has not begun: the chain is in epoch "
                                        "%" PRIu64,
                                        number, now);
}

/* --- the pool ------------------------------------------------------------------------------ */

struct pool {
    struct poa_candidate *candidate;
    uint32_t n, early; /* EARLY: of them, registered before the cut */
};

/* Who could be drawn for EPOCH: the first WITNESSES of the registry without those
 * who had been suspended by then; everybody when that leaves nobody. */
static int read_pool(const struct chain *chain, uint32_t epoch, uint32_t witnesses,
                     uint32_t eligible, struct pool *out)
{
    uint32_t active = 0, active_early = 0, n = 0;
    struct poa_candidate *all = calloc(witnesses ? witnesses : 1, sizeof *all);
    bool *serves = calloc(witnesses ? witnesses : 1, sizeof *serves);
    int rc = all == NULL || serves == NULL ? cli_fail("out of memory") : 0;
    while (rc == 0 && n < witnesses) {
        json_t *v, *item;
        size_t i;
        if (cli_call(chain->c, "poa_witnesses_list",
                     json_pack("{s:I, s:I}", "from", (json_int_t)n, "limit", (json_int_t)PAGE),
                     &v) != POA_OK) {
            rc = 1;
            break;
        }
        json_t *items = json_object_get(v, "items");
        if (json_array_size(items) == 0)
            rc = strange();
        json_array_foreach(items, i, item)
        {
            if (rc != 0 || n >= witnesses)
                break;
            struct poa_member *m = &all[n].member;
            if (!hash_of(item, "key", m->key) || cli_number(item, "index") != n)
                rc = strange();
            m->maker = (uint32_t)cli_number(item, "maker");
            m->region = (uint16_t)cli_number(item, "region");
            m->provider = (uint32_t)cli_number(item, "provider");
            serves[n] = cli_number(item, "status") == 0 || cli_number(item, "until") >= epoch;
            active += serves[n];
            active_early += serves[n] && n < eligible;
            n++;
        }
        json_decref(v);
    }
    if (rc == 0) {
        out->n = 0;
        for (uint32_t i = 0; i < n; i++)
            if (serves[i] || !active)
                all[out->n++] = all[i];
        out->early = active ? active_early : eligible < n ? eligible : n;
        out->candidate = all;
    } else {
        free(all);
    }
    free(serves);
    return rc;
}

/* The committee of EPOCH as we draw it; its members are in BYTES. */
static int draw(const struct chain *chain, uint32_t epoch, const uint8_t seed32[32],
                struct pool *pool, uint8_t *bytes, struct poa_committee *out, uint32_t *relaxed)
{
    const struct poa_genesis *g = &chain->genesis;
    struct poa_committee_rule rule = {.size = g->committee_size,
                                      .quorum_extra = g->quorum_extra,
                                      .cap_maker = g->cap_maker,
                                      .cap_region = g->cap_region,
                                      .cap_provider = g->cap_provider};
    uint32_t size = rule.size ? rule.size : POA_COMMITTEE_MAX, n = pool->n;
    if (size < n && pool->early >= size)
        n = pool->early;
    struct poa_writer w = poa_writer_over(bytes, POA_COMMITTEE_BYTES_MAX);
    *relaxed = poa_committee_draw(&rule, seed32, pool->candidate, n);
    int rc = poa_committee_build(&rule, epoch, pool->candidate, n, &w, out);
    return rc == POA_OK ? 0 : cli_fail("the draw cannot be repeated: %s", poa_error_text(rc));
}

/* --- what the chain says --------------------------------------------------------------------- */

/* Whether the committee that the state keeps is OURS. */
static bool same_committee(const json_t *chain, const struct poa_committee *ours)
{
    const json_t *members = json_object_get(chain, "members");
    struct poa_list_iter it = poa_list_begin(&ours->members);
    struct poa_member m;
    if (cli_number(chain, "quorum") != ours->quorum ||
        json_array_size(members) != ours->members.count)
        return false;
    for (size_t i = 0; poa_member_next(&it, &m); i++) {
        uint8_t key[32];
        const json_t *theirs = json_array_get(members, i);
        if (!hash_of(theirs, "key", key) || memcmp(key, m.key, 32) != 0 ||
            cli_number(theirs, "maker") != m.maker || cli_number(theirs, "region") != m.region ||
            cli_number(theirs, "provider") != m.provider)
            return false;
    }
    return true;
}

/* Header of block HEIGHT; NULL with WHY. */
static json_t *header_at(struct poa_rpc_client *client, uint64_t height, struct poa_why *why)
{
    char text[24];
    json_t *v = NULL;
    snprintf(text, sizeof text, "%" PRIu64, height);
    if (poa_rpc_client_call(client, "poa_block_get", json_pack("{s:s}", "height", text), &v, why) !=
        POA_OK)
        return NULL;
    json_t *header = json_incref(json_object_get(v, "header"));
    json_decref(v);
    return header;
}

/* The committee hash in the block that closed the epoch before; false when this
 * node does not keep that block. */
static bool closing_hash(struct poa_rpc_client *client, const struct epoch *e, uint8_t hash32[32])
{
    struct poa_why why = {{0}};
    json_t *h = header_at(client, e->first_height - 1, &why);
    bool ok = h != NULL && cli_number(h, "kind") == POA_BLOCK_CLOSING &&
              hash_of(h, "next_committee", hash32);
    json_decref(h);
    return ok;
}

/* Seed of EPOCH from the seed before it and the beacon outputs of every block
 * between: what all of them together fixed, and nobody alone chose. */
static int seed_from_blocks(const struct chain *chain, struct poa_rpc_client *client,
                            uint32_t epoch, const struct epoch *before, uint64_t end,
                            uint8_t seed32[32])
{
    struct poa_why why = {{0}};
    uint8_t beacon[32], number[4];
    int rc = 0;
    if (epoch == 0) {
        poa_hash(POA_DOMAIN_SEED, chain->id, 32, seed32);
        return 0;
    }
    memcpy(beacon, before->seed, 32);
    for (uint64_t height = before->first_height; rc == 0 && height < end; height++) {
        uint8_t pi[80], beta[64];
        json_t *h = header_at(client, height, &why);
        const char *hex = cli_text(h, "beacon");
        if (h == NULL)
            rc = cli_fail("block %" PRIu64 ": %s", height, why.text);
        else if (strlen(hex) != 160 || poa_unhex(hex, pi, 80) != POA_OK ||
                 poa_vrf_proof_to_hash(POA_VRF_TAI, pi, beta) != POA_OK)
            rc = strange();
        else if (cli_number(h, "kind") == POA_BLOCK_NORMAL)
            poa_hash2(POA_DOMAIN_SEED, beacon, 32, beta, 64, beacon);
        json_decref(h);
    }
    poa_put_le32(number, epoch);
    poa_hash2(POA_DOMAIN_SEED, beacon, 32, number, sizeof number, seed32);
    return rc;
}

/* --- the command --------------------------------------------------------------------------------
 */

struct answer {
    uint32_t epoch, relaxed;
    bool state, closing, has_closing, seed, has_seed;
    bool changed; /* parameters, since */
    uint8_t hash[32];
    struct poa_committee committee;
    struct poa_risk risk;
};

static int print_answer(const struct cli *c, const struct answer *a)
{
    bool equal = a->state && (!a->has_closing || a->closing) && (!a->has_seed || a->seed);
    char hex[65];
    struct poa_list_iter it = poa_list_begin(&a->committee.members);
    struct poa_member m;
    poa_hex(a->hash, 32, hex);
    if (c->json) {
        json_t *members = json_array();
        while (poa_member_next(&it, &m)) {
            char key[65];
            poa_hex(m.key, 32, key);
            json_array_append_new(members,
                                  json_pack("{s:s, s:I, s:I, s:I}", "key", key, "maker",
                                            (json_int_t)m.maker, "region", (json_int_t)m.region,
                                            "provider", (json_int_t)m.provider));
        }
        json_t *v = json_pack(
            "{s:I, s:b, s:b, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:o}", "epoch",
            (json_int_t)a->epoch, "equal", (int)equal, "state", (int)a->state, "hash", hex, "n",
            (json_int_t)a->committee.members.count, "q", (json_int_t)a->committee.quorum, "relaxed",
            (json_int_t)a->relaxed, "forge", a->risk.bounds.forge.value, "fork",
            a->risk.bounds.fork.value, "stall", a->risk.bounds.stall.value, "members", members);
        json_object_set_new(v, "closing", a->has_closing ? json_boolean(a->closing) : json_null());
        json_object_set_new(v, "seed", a->has_seed ? json_boolean(a->seed) : json_null());
        int rc = cli_print_json(v);
        return rc != 0 ? rc : !equal;
    }
    printf("epoch      %" PRIu32 "\ncommittee  %s\n           %" PRIu32 " members, quorum %" PRIu16
           ", caps raised by %" PRIu32 "\n",
           a->epoch, hex, a->committee.members.count, a->committee.quorum, a->relaxed);
    for (uint32_t i = 0; poa_member_next(&it, &m); i++) {
        char key[65];
        poa_hex(m.key, 32, key);
        printf("  %3" PRIu32 "  %s  maker %" PRIu32 " region %" PRIu16 " provider %" PRIu32 "\n", i,
               key, m.maker, m.region, m.provider);
    }
    printf("fork       %.3g, stall %.3g, forge %.3g (p = %g, offline %g)\n",
           a->risk.bounds.fork.value, a->risk.bounds.stall.value, a->risk.bounds.forge.value,
           a->risk.p, a->risk.offline);
    printf("state      %s\n", a->state ? "the same" : "DIFFERS");
    if (a->has_closing)
        printf("closing    %s\n", a->closing ? "the same, by hash" : "DIFFERS");
    if (a->has_seed)
        printf("seed       %s\n", a->seed ? "follows from the blocks" : "DIFFERS");
    fflush(stdout);
    return equal
               ? 0
               : cli_fail("the chain's committee of epoch %" PRIu32 " is not what the draw gives%s",
                          a->epoch,
                          a->changed ? ": or governance changed parameters more than once since, "
                                       "and the state keeps only the last change"
                                     : "");
}

static int repeat(const struct chain *chain, uint32_t number, struct epoch e[3], uint8_t *bytes)
{
    struct answer a = {.epoch = number,
                       .changed = number < cli_number(chain->rules.params, "changed")};
    struct pool pool = {NULL, 0, 0};
    struct poa_rpc_client *client = NULL;
    uint8_t hash[32];
    /* The seed is that of the epoch in which the draw was made, the cut the
     * registry's size one epoch before: keys came first, the seed after. */
    int rc = has_begun(chain, number);
    if (rc == 0)
        rc = read_epoch(chain, number, &e[0]);
    if (rc == 0)
        rc = read_epoch(chain, number ? number - 1 : 0, &e[1]);
    if (rc == 0)
        rc = read_epoch(chain, number > 1 ? number - 2 : 0, &e[2]);
    if (rc == 0)
        rc = read_pool(chain, number, e[0].witnesses, e[2].witnesses, &pool);
    if (rc == 0)
        rc = draw(chain, number, e[1].seed, &pool, bytes, &a.committee, &a.relaxed);
    if (rc == 0 && cli_client(chain->c, 10000, &client) != POA_OK)
        rc = 1;
    if (rc == 0 && chain->c->option[CLI_SEED] != NULL) {
        uint8_t seed[32];
        rc = seed_from_blocks(chain, client, number ? number - 1 : 0, &e[2], e[1].first_height,
                              seed);
        a.has_seed = true;
        a.seed = memcmp(seed, e[1].seed, 32) == 0;
    }
    if (rc == 0) {
        poa_committee_hash(&a.committee, a.hash);
        poa_risk_of(&chain->genesis, &a.committee, a.relaxed, chain->genesis.devices.count,
                    &a.risk);
        a.state = same_committee(e[0].committee, &a.committee) && e[0].relaxed == a.relaxed;
        a.has_closing = number > 0 && closing_hash(client, &e[0], hash);
        a.closing = a.has_closing && memcmp(hash, a.hash, 32) == 0;
        rc = print_answer(chain->c, &a);
    }
    poa_rpc_client_free(client);
    free(pool.candidate);
    return rc;
}

int cli_witness_draw(const struct cli *c)
{
    struct chain chain = {.c = c};
    struct epoch e[3] = {{.json = NULL}, {.json = NULL}, {.json = NULL}};
    uint64_t number = 0;
    if (c->option[CLI_EPOCH] == NULL)
        return cli_misuse("--epoch is missing: the epoch that the committee serves");
    if (!cli_u64("--epoch", c->option[CLI_EPOCH], 0, UINT32_MAX - 1, &number))
        return 2;
    uint8_t *bytes = malloc(POA_COMMITTEE_BYTES_MAX);
    int rc = bytes != NULL ? read_genesis(&chain, (uint32_t)number) : cli_fail("out of memory");
    if (rc == 0)
        rc = repeat(&chain, (uint32_t)number, e, bytes);
    for (int i = 0; i < 3; i++)
        json_decref(e[i].json);
    cli_rules_free(&chain.rules);
    free(bytes);
    return rc;
}
