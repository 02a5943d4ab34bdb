/* Batches that somebody keeps back, and batches of the committee before. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "poa_sim.h"

static struct poa_core_status status(struct poa_sim *s, uint32_t node)
{
    struct poa_core_status st;
    poa_core_status(poa_sim_core(s, node), &st);
    return st;
}

static void run_ms(struct poa_sim *s, uint64_t ms)
{
    poa_sim_run(s, poa_sim_now_us(s) + ms * 1000);
}

static void finish(struct poa_sim *s)
{
    cr_expect(eq(u32, poa_sim_result(s)->violations, 0), "%s", poa_sim_result(s)->first);
    poa_sim_free(s);
}

#define LIAR 6u

struct withheld {
    uint8_t digest[32]; /* the liar's first batch */
    bool have, open;
    uint32_t kept, listed;
};

/* Whether a proposal of it lists the batch with DIGEST. */
static bool lists(struct poa_slice proposal, const uint8_t digest[32])
{
    struct poa_proposal p;
    struct poa_body body;
    struct poa_digest d;
    if (poa_proposal_decode(proposal, &p) || poa_body_decode(p.body, &body))
        return false;
    struct poa_list_iter it = poa_list_begin(&body.batches);
    while (poa_digest_next(&it, &d))
        if (!memcmp(d.digest, digest, 32))
            return true;
    return false;
}

/* The liar's first batch reaches node 0 only, the others everybody. */
static bool withhold(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct withheld *w = ctx;
    uint8_t digest[32];
    w->listed += type == POA_MSG_PROPOSAL && w->have && lists(bytes, w->digest);
    if (type != POA_MSG_BATCH || w->open)
        return true;
    poa_batch_digest(bytes, digest);
    if (from == LIAR && !w->have) {
        memcpy(w->digest, digest, 32);
        w->have = true;
    }
    bool keep = w->have && to && !memcmp(w->digest, digest, 32);
    w->kept += keep;
    return !keep;
}

Test(batches, a_withheld_one_does_not_block_those_after_it)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.nodes = 7; /* one that is shown to a single member cannot be listed */
    c.accounts = 100;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    uint8_t id[100][32];
    uint32_t n = 0;
    run_ms(s, 300);
    int at = poa_committee_find(poa_core_committee(poa_sim_core(s, 0)), poa_sim_key(s, LIAR));
    struct withheld w = {.have = false};
    poa_sim_filter(s, withhold, &w);
    for (uint32_t from = 0; from < c.accounts; from++) {
        if (poa_core_home(poa_sim_core(s, 1), poa_sim_account(s, from)) != at)
            continue;
        cr_assert(eq(int, poa_sim_transfer(s, 1, from, 0, 5, id[n++]), POA_OK));
        run_ms(s, 30); /* each in a batch of its own */
    }
    cr_assert(lt(u32, 5, n));
    run_ms(s, 2000);
    cr_expect(w.have && w.kept >= 5, "nothing was withheld");
    for (uint32_t i = 1; i < n; i++)
        cr_expect(lt(u64, 0, poa_sim_final(s, id[i])), "transfer %u waits", i);
    /* The author and that member are two of the three that have to hold it. */
    cr_expect(eq(u32, w.listed, 0));
    w.open = true;
    run_ms(s, 20000);
    cr_expect(lt(u32, 0, w.listed), "not even when all have it");
    finish(s);
}

static bool no_batches(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    (void)ctx;
    (void)from;
    (void)to;
    (void)bytes;
    return type != POA_MSG_BATCH;
}

/* Batches of one epoch arrive in the next, at a node that started from a state
 * saved there, and without which there is no quorum. */
Test(batches, of_the_committee_before_are_taken_after_a_restart)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.epoch_views = 12;
    c.save_ppm = 1000000;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    uint8_t id[16][32];
    run_ms(s, 300);
    uint32_t epoch = status(s, 0).epoch;
    for (int i = 0; i < 3000 && status(s, 0).epoch == epoch; i++)
        run_ms(s, 1);
    epoch++;
    poa_sim_filter(s, no_batches, NULL);
    for (uint32_t i = 0; i < 16; i++)
        cr_assert(eq(int, poa_sim_transfer(s, i % 2, i, 0, 5, id[i]), POA_OK));
    run_ms(s, 50); /* packed */
    for (int i = 0; i < 8000 && (status(s, 3).epoch == epoch || !status(s, 3).tip_view); i++)
        run_ms(s, 1);
    cr_assert(eq(u32, status(s, 3).epoch, epoch + 1));
    poa_sim_kill(s, 3);
    poa_sim_start(s, 3);
    poa_sim_kill(s, 2);
    poa_sim_filter(s, NULL, NULL);
    run_ms(s, 4000);
    for (uint32_t i = 0; i < 16; i++)
        cr_expect(lt(u64, 0, poa_sim_final(s, id[i])), "transfer %u waits", i);
    finish(s);
}

struct waiting {
    int home;
    bool stopped; /* no block lists anything */
    uint32_t batches;
};

static bool no_blocks(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct waiting *w = ctx;
    (void)bytes;
    w->batches += type == POA_MSG_BATCH && (int)from == w->home && to == (from + 1) % 4;
    return type != POA_MSG_PROPOSAL || !w->stopped;
}

/* One transfer a millisecond to one home: without a wait a batch each 2 ms. */
Test(batches, grow_while_others_wait_for_a_block)
{
    struct poa_sim_config c;
    poa_sim_config_default(&c);
    c.accounts = 100;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    run_ms(s, 300);
    const struct poa_core *core = poa_sim_core(s, 0);
    struct waiting w = {.stopped = true};
    for (uint32_t i = 0; i < 4; i++)
        if (poa_committee_find(poa_core_committee(core), poa_sim_key(s, i)) ==
            poa_core_home(core, poa_sim_account(s, 0)))
            w.home = (int)i;
    uint16_t home = poa_core_home(core, poa_sim_account(s, 0));
    poa_sim_filter(s, no_blocks, &w);
    uint8_t id[80][32];
    uint32_t n = 0, first = 0;
    for (uint32_t from = 0; n < 80; from = (from + 1) % c.accounts) {
        if (poa_core_home(core, poa_sim_account(s, from)) != home)
            continue;
        cr_assert(eq(int,
                     poa_sim_transfer(s, (uint32_t)w.home, from, (from + 1) % c.accounts, 5, id[n]),
                     POA_OK));
        run_ms(s, 1);
        if (!n++)
            first = w.batches;
    }
    cr_expect(eq(u32, n, 80));
    cr_expect(eq(u32, first, 1), "the first waited for company");
    cr_expect(w.batches >= 5 && w.batches <= 12, "%u batches of 80 transfers", w.batches);
    w.stopped = false;
    run_ms(s, 3000);
    for (uint32_t i = 0; i < n; i++)
        cr_expect(lt(u64, 0, poa_sim_final(s, id[i])), "transfer %u waits", i);
    finish(s);
}
