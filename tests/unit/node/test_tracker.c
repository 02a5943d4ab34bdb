/* Transactions between acceptance and finality. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_node_tracker.h"

static void id_of(uint32_t i, uint8_t id[32])
{
    memset(id, 0, 32);
    poa_put_le32(id, i % 7); /* crowded buckets */
    poa_put_le32(id + 4, i);
}

static void final(struct node_tracker *t, uint32_t i, uint64_t now)
{
    struct poa_tx_result r = {.code = 0};
    id_of(i, r.id);
    node_tracker_final(t, &r, 1, now);
}

Test(tracker, measures_from_acceptance_to_finality)
{
    struct node_tracker *t = NULL;
    struct poa_histogram h;
    uint8_t id[32];
    cr_assert_eq(node_tracker_new(&t), POA_OK);
    for (uint32_t i = 0; i < 100; i++) {
        id_of(i, id);
        node_tracker_add(t, id, 1000);
        node_tracker_add(t, id, 2000000); /* known: the first time counts */
    }
    id_of(3, id);
    node_tracker_drop(t, id);
    cr_assert_eq(node_tracker_get(t, id), POA_E_NOT_FOUND);
    id_of(4, id);
    cr_assert_eq(node_tracker_get(t, id), POA_OK);
    for (uint32_t i = 0; i < 100; i++)
        final(t, i, 1000 + 100 * (i + 1));
    final(t, 4, 99999999);
    cr_assert_eq(node_tracker_get(t, id), POA_E_NOT_FOUND);
    node_tracker_latency(t, &h);
    cr_assert_eq(h.count, 99);
    cr_assert_eq(h.max_us, 10000);
    uint64_t median = poa_histogram_quantile(&h, 0.5);
    cr_assert(median >= 5000 && median <= 5300, "%u", (unsigned)median);
    node_tracker_free(t);
}

/* Sent a second time, while the first is on its way. */
Test(tracker, a_second_refusal_takes_nothing_back)
{
    struct node_tracker *t = NULL;
    const uint8_t id[32] = {7};
    cr_assert_eq(node_tracker_new(&t), POA_OK);
    cr_expect_not(node_tracker_accepted(t, id), "never heard of");
    node_tracker_add(t, id, 1000);
    node_tracker_drop(t, id);
    cr_expect_eq(node_tracker_get(t, id), POA_E_NOT_FOUND);
    node_tracker_add(t, id, 1000);
    cr_expect(node_tracker_accepted(t, id));
    cr_expect_not(node_tracker_accepted(t, id), "once");
    node_tracker_add(t, id, 2000);
    node_tracker_drop(t, id);
    cr_expect_eq(node_tracker_get(t, id), POA_OK);
    node_tracker_unsure(t, id, POA_E_CLOSED);
    cr_expect_eq(node_tracker_get(t, id), POA_OK);
    /* Let go, it is as new. */
    struct poa_tx_gone gone = {.code = POA_E_TX_EVICTED};
    memcpy(gone.id, id, 32);
    node_tracker_gone(t, &gone, 1);
    node_tracker_add(t, id, 3000);
    node_tracker_drop(t, id);
    cr_expect_eq(node_tracker_get(t, id), POA_E_NOT_FOUND);
    /* Sent, and nobody answered: it may come, but nobody says that it is on its way. */
    node_tracker_add(t, id, 4000);
    node_tracker_unsure(t, id, POA_E_CLOSED);
    cr_expect_eq(node_tracker_get(t, id), POA_E_CLOSED);
    struct poa_tx_result r = {.code = POA_OK};
    memcpy(r.id, id, 32);
    node_tracker_final(t, &r, 1, 5000);
    cr_expect_eq(node_tracker_get(t, id), POA_E_NOT_FOUND);
    node_tracker_free(t);
}

Test(tracker, forgets_the_oldest_when_full)
{
    struct node_tracker *t = NULL;
    uint8_t id[32];
    cr_assert_eq(node_tracker_new(&t), POA_OK);
    for (uint32_t i = 0; i < NODE_TRACKED_MAX + 10; i++) {
        memset(id, 0, 32);
        poa_put_le32(id, i * 2654435761u);
        poa_put_le32(id + 4, i);
        node_tracker_add(t, id, i);
        if (i == 9 || i == 10 || i == NODE_TRACKED_MAX + 9)
            cr_assert_eq(node_tracker_get(t, id), POA_OK);
    }
    for (uint32_t i = 0; i < 20; i++) {
        memset(id, 0, 32);
        poa_put_le32(id, i * 2654435761u);
        poa_put_le32(id + 4, i);
        cr_assert_eq(node_tracker_get(t, id), i >= 10 ? POA_OK : POA_E_NOT_FOUND, "%u", i);
    }
    node_tracker_free(t);
}

Test(tracker, remembers_why_some_were_let_go)
{
    struct node_tracker *t = NULL;
    struct poa_histogram h;
    struct poa_tx_gone gone[3] = {{.code = POA_E_TX_EXPIRED},
                                  {.code = POA_E_TX_EVICTED},
                                  {.code = POA_E_TX_LOST}}; /* the last one is not ours */
    cr_assert_eq(node_tracker_new(&t), POA_OK);
    for (uint32_t i = 0; i < 3; i++)
        id_of(i, gone[i].id);
    for (uint32_t i = 0; i < 2; i++)
        node_tracker_add(t, gone[i].id, 1000);
    node_tracker_gone(t, gone, 3);
    cr_assert_eq(node_tracker_get(t, gone[0].id), POA_E_TX_EXPIRED);
    cr_assert_eq(node_tracker_get(t, gone[1].id), POA_E_TX_EVICTED);
    cr_assert_eq(node_tracker_get(t, gone[2].id), POA_E_NOT_FOUND);
    /* Sent again, it waits again, and its time begins anew. */
    node_tracker_add(t, gone[1].id, 5000);
    cr_assert_eq(node_tracker_get(t, gone[1].id), POA_OK);
    final(t, 1, 6000);
    final(t, 0, 9000); /* somebody else had sent it */
    cr_assert_eq(node_tracker_get(t, gone[0].id), POA_E_NOT_FOUND);
    cr_assert_eq(node_tracker_get(t, gone[1].id), POA_E_NOT_FOUND);
    node_tracker_latency(t, &h);
    cr_assert_eq(h.count, 1, "what was let go is no latency");
    cr_assert_eq(h.max_us, 1000);
    node_tracker_free(t);
}
