/* Replay: every block once and in order, whatever the workers do first. */
#include "poa_node_replay.h"
#include "support.h"

#define BLOCKS 40

static struct poa_store *store;
static struct node_workers *workers;

/* One batch of TXS texts, and a certified block that lists it. */
static void put_block(struct poa_store_batch *group, uint64_t height, uint32_t txs)
{
    static uint8_t list[400000], bytes[410000];
    uint8_t digest[1][32], header[512];
    struct poa_writer w = poa_writer_over(list, sizeof list);
    for (uint32_t i = 0; i < txs; i++) {
        char text[160] = {0};
        snprintf(text, sizeof text, "tx %u of block %u", i, (unsigned)height);
        struct poa_raw_tx tx = {.tx = poa_slice(text, sizeof text)};
        cr_assert_eq(poa_raw_tx_encode(&w, &tx), POA_OK);
    }
    struct poa_batch b = {.seq = height, .txs = {.bytes = poa_written(&w), .count = txs}};
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_batch_encode(&o, &b), POA_OK);
    poa_batch_digest(poa_written(&o), digest[0]);
    cr_assert_eq(poa_store_put_batch(group, 0, POA_WAL_BATCH, digest[0], poa_written(&o)), POA_OK);
    struct poa_header h = {.version = 1, .height = height};
    struct poa_writer hw = poa_writer_over(header, sizeof header);
    cr_assert_eq(poa_header_encode(&hw, &h), POA_OK);
    struct poa_store_block blk = {.height = height,
                                  .header = poa_written(&hw),
                                  .body = poa_slice("body", 4),
                                  .cert = poa_slice("cert", 4),
                                  .batch = (const uint8_t(*)[32])digest,
                                  .batches = 1};
    cr_assert_eq(poa_store_put_block(group, &blk), POA_OK);
    cr_assert_eq(poa_store_write(group, false), POA_OK);
}

static void set_up(void)
{
    static const uint8_t chain[32] = {1};
    struct poa_store_batch *group = NULL;
    store = test_store_new();
    cr_assert_eq(poa_store_batch_new(store, &group), POA_OK);
    for (uint64_t h = 1; h <= BLOCKS; h++)
        put_block(group, h, 2000); /* a bundle holds about ten of them */
    poa_store_batch_free(group);
    cr_assert_eq(node_workers_new(chain, 3, 64, &workers), POA_OK);
}

static void tear_down(void)
{
    node_workers_stop(workers);
    node_workers_free(workers);
    test_store_remove(store);
}

TestSuite(replay, .init = set_up, .fini = tear_down);

struct seen {
    uint64_t height;  /* last block */
    uint32_t again;   /* asked for the same event again */
    uint64_t fail_at; /* refuses what has this height */
    uint32_t steps, batches;
};

static int step(void *ctx, const struct poa_event *e)
{
    struct seen *s = ctx;
    struct poa_blocks r;
    struct poa_block blk;
    struct poa_header h;
    cr_assert_eq(e->kind, POA_EVENT_BLOCK);
    if (s->steps++ % 2 == 0) {
        s->again++;
        return POA_E_AGAIN;
    }
    cr_assert_eq(poa_blocks_decode(e->bytes, &r), POA_OK);
    struct poa_list_iter it = poa_list_begin(&r.blocks);
    while (poa_block_next(&it, &blk)) {
        cr_assert_eq(poa_header_decode(blk.header, &h), POA_OK);
        cr_assert_eq(h.height, s->height + 1);
        if (h.height == s->fail_at)
            return POA_E_BLOCK_INVALID;
        s->height++;
    }
    cr_assert_eq(e->batches, r.blocks.count);
    for (uint32_t i = 0; i < e->batches; i++) {
        cr_assert_eq(e->batch[i].txs, 2000);
        cr_assert_neq(e->batch[i].code, POA_OK, "the workers looked at them");
    }
    s->batches += e->batches;
    return POA_OK;
}

Test(replay, hands_over_every_block_once_and_in_order)
{
    for (int verify = 0; verify < 2; verify++) {
        struct seen s = {.height = 3};
        uint64_t height = 3;
        struct node_replay_config c = {
            .store = store, .workers = workers, .verify = verify, .ctx = &s, .step = step};
        cr_assert_eq(node_replay(&c, &height, BLOCKS), POA_OK);
        cr_assert_eq(height, BLOCKS);
        cr_assert_eq(s.height, BLOCKS);
        cr_assert_eq(s.batches, BLOCKS - 3);
        cr_assert_geq(s.again, 3, "more bundles than one");
    }
}

Test(replay, stops_at_the_first_refusal)
{
    struct seen s = {.fail_at = 15};
    uint64_t height = 0;
    struct node_replay_config c = {.store = store, .workers = workers, .ctx = &s, .step = step};
    cr_assert_eq(node_replay(&c, &height, BLOCKS), POA_E_BLOCK_INVALID);
    cr_assert_eq(s.height, 14);
    cr_assert_lt(height, 15);
}

Test(replay, has_nothing_to_do_after_the_last_block)
{
    struct seen s = {.height = BLOCKS};
    uint64_t height = BLOCKS;
    struct node_replay_config c = {.store = store, .workers = workers, .ctx = &s, .step = step};
    cr_assert_eq(node_replay(&c, &height, BLOCKS + 5), POA_OK);
    cr_assert_eq(height, BLOCKS);
    cr_assert_eq(s.steps, 0);
}
