/* poa witness draw against a node whose registry has a history: members convicted
 * before and after the draw, and newcomers who may not take part in it yet. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_cli.h"
#include "poa_rpc_json.h"

enum { POOL = 10, EARLY = 8, SIZE = 4, EPOCH = 5 };

static uint8_t key[POOL][32], seed[32], members[SIZE * 42], genesis_bytes[512];
static struct poa_st_witness witness[POOL];
static uint16_t relaxed;
static uint32_t drawn = EPOCH; /* the epoch that MEMBERS serve */
static uint32_t changed_from;  /* epoch from which on the committee is smaller; 0: never */

static int encode(struct poa_writer *out, const struct poa_record *rec, const void *from)
{
    return poa_record_encode(rec, out, from);
}

static int fake_read(void *ctx, enum poa_state_table table, const void *k, size_t n,
                     struct poa_writer *out)
{
    uint32_t number = n == 4 ? poa_le32(k) : 0;
    (void)ctx;
    if (table == POA_STATE_GLOBAL) {
        struct poa_st_global g = {.epoch = EPOCH, .witnesses = POOL};
        return encode(out, &poa_st_global_record, &g);
    }
    if (table == POA_STATE_WITNESS_INDEX && number < POOL) {
        struct poa_digest d;
        memcpy(d.digest, key[number], 32);
        return encode(out, &poa_digest_record, &d);
    }
    if (table == POA_STATE_PARAMS && changed_from) {
        uint8_t bytes[64];
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        struct poa_param_change smaller = {.param = POA_PARAM_COMMITTEE_SIZE, .value = SIZE - 1};
        cr_assert_eq(poa_param_change_encode(&w, &smaller), POA_OK);
        struct poa_st_params p = {.from = changed_from, .next = {poa_written(&w), 1}};
        return encode(out, &poa_st_params_record, &p);
    }
    for (int i = 0; table == POA_STATE_WITNESS && i < POOL; i++)
        if (memcmp(k, key[i], 32) == 0)
            return encode(out, &poa_st_witness_record, &witness[i]);
    if (table == POA_STATE_EPOCH && number <= EPOCH) {
        struct poa_st_epoch e = {.first_height = 100 * number,
                                 .witnesses = number < EPOCH - 1 ? EARLY : POOL,
                                 .relaxed = number == EPOCH ? relaxed : 0};
        memcpy(e.seed, seed, 32);
        e.seed[31] = (uint8_t)number;
        return encode(out, &poa_st_epoch_record, &e);
    }
    if (table == POA_STATE_COMMITTEE && number <= EPOCH) {
        struct poa_committee c = {
            .epoch = number, .quorum = 3, .members = {poa_slice(members, sizeof members), SIZE}};
        return encode(out, &poa_committee_record, &c);
    }
    return POA_E_NOT_FOUND;
}

static void fake_status(void *ctx, struct poa_rpc_status *out)
{
    (void)ctx;
    out->core.epoch = EPOCH;
    out->version = "x";
}

static const struct poa_rpc_backend backend = {.status = fake_status, .read = fake_read};

/* The four lowest scores of WHO (a bit each) make the committee that the state
 * keeps; the seed of the epoch before decides. */
static void keep_committee(uint32_t who)
{
    uint8_t of[32];
    struct poa_writer w = poa_writer_over(members, sizeof members);
    memcpy(of, seed, 32);
    of[31] = (uint8_t)(drawn - 1);
    for (int seat = 0; seat < SIZE; seat++) {
        int best = -1;
        uint8_t low[32], score[32];
        for (int i = 0; i < POOL; i++) {
            if (!(who >> i & 1))
                continue;
            poa_hash2(POA_DOMAIN_DRAW, of, 32, key[i], 32, score);
            if (best < 0 || memcmp(score, low, 32) < 0) {
                best = i;
                memcpy(low, score, 32);
            }
        }
        struct poa_member m = {.maker = witness[best].maker, .region = 1, .provider = 2};
        memcpy(m.key, key[best], 32);
        cr_assert_eq(poa_member_encode(&w, &m), POA_OK);
        who &= ~(1u << best);
    }
}

static struct poa_rpc *node(void)
{
    struct poa_genesis g = {
        .version = 1, .name = poa_slice("t", 1), .devnet = 1, .committee_size = SIZE};
    struct poa_writer w = poa_writer_over(genesis_bytes, sizeof genesis_bytes);
    struct poa_rpc *r = NULL;
    struct poa_why why = {{0}};
    char url[64];
    cr_assert_eq(poa_genesis_encode(&w, &g), POA_OK);
    for (int i = 0; i < POOL; i++) {
        poa_put_le32(key[i], (uint32_t)i + 1);
        witness[i] = (struct poa_st_witness){.index = (uint32_t)i,
                                             .maker = (uint32_t)i,
                                             .region = 1,
                                             .provider = 2,
                                             .name = poa_slice("w", 1)};
    }
    witness[1].status = 1; /* before the draw */
    witness[1].until = EPOCH - 1;
    witness[2].status = 1; /* after it: it was drawn like everybody */
    witness[2].until = EPOCH;
    struct poa_rpc_config c = {.genesis = poa_written(&w), .backend = &backend};
    cr_assert_eq(poa_rpc_start(&c, &r, &why), POA_OK, "%s", why.text);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)poa_rpc_port(r));
    setenv("POA_RPC", url, 1);
    return r;
}

static int draw(const char *epoch)
{
    char *words[] = {(char *)"poa",     (char *)"witness", (char *)"draw",
                     (char *)"--epoch", (char *)epoch,     (char *)"--json"};
    return cli_main(6, words);
}

/* A pipe to the test's parent would fill up. */
static void quiet(void)
{
    cr_assert_not_null(freopen("/dev/null", "w", stdout));
}

#define ALL ((1u << EARLY) - 1)

Test(witness_draw, follows_the_registry_as_it_was, .init = quiet)
{
    struct poa_rpc *r = node();
    for (uint8_t k = 0; k < 50; k++) { /* seeds under which each of them matters */
        seed[0] = k;
        keep_committee(ALL & ~2u);
        cr_assert_eq(draw("5"), 0, "seed %u", k);
    }
    poa_rpc_stop(r);
    poa_rpc_free(r);
}

Test(witness_draw, a_difference_is_found, .init = quiet)
{
    struct poa_rpc *r = node();
    static const uint32_t wrong[] = {ALL, ALL & ~6u, (ALL & ~2u) | 3u << EARLY};
    cr_redirect_stderr();
    for (int w = 0; w < 3; w++) { /* with the convicted, without the other, with newcomers */
        int found = 0;
        for (uint8_t k = 0; k < 50; k++) {
            seed[0] = k;
            keep_committee(wrong[w]);
            found += draw("5") == 1;
        }
        cr_expect(found > 10 && found < 50, "%d: %d of 50", w, found);
    }
    seed[0] = 0;
    keep_committee(ALL & ~2u);
    relaxed = 1;
    cr_expect_eq(draw("5"), 1);
    relaxed = 0;
    cr_expect_eq(draw("5"), 0);
    members[32]++; /* another maker */
    cr_expect_eq(draw("5"), 1);
    cr_expect_eq(draw("7"), 1); /* has not begun */
    poa_rpc_stop(r);
    poa_rpc_free(r);
}

Test(witness_draw, knows_the_rules_before_the_last_change, .init = quiet)
{
    struct poa_rpc *r = node();
    changed_from = EPOCH;
    drawn = EPOCH - 1;
    for (uint8_t k = 0; k < 10; k++) {
        seed[0] = k;
        keep_committee(ALL);
        cr_assert_eq(draw("4"), 0, "seed %u", k);
    }
    cr_redirect_stderr();
    cr_assert_eq(draw("5"), 1, "a committee of the new rules is smaller");
    poa_rpc_stop(r);
    poa_rpc_free(r);
}
