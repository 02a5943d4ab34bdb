/* Bundles: what is read from the store opens as the same blocks and batches. */
#include "poa_node_bundle.h"
#include "support.h"

static struct poa_store_batch *group;
static struct poa_store *store;

/* Transactions here are texts, as long as the shortest real ones are. */
#define TX_BYTES 160

/* A batch with TXS transactions; its digest. */
static void put_batch(uint32_t number, uint32_t txs, uint8_t digest[32])
{
    uint8_t list[1024], bytes[2048];
    struct poa_writer w = poa_writer_over(list, sizeof list);
    for (uint32_t i = 0; i < txs; i++) {
        char text[TX_BYTES] = {0};
        snprintf(text, sizeof text, "tx %u of batch %u", i, number);
        struct poa_raw_tx tx = {.tx = poa_slice(text, sizeof text)};
        cr_assert_eq(poa_raw_tx_encode(&w, &tx), POA_OK);
    }
    struct poa_batch b = {.seq = number, .txs = {.bytes = poa_written(&w), .count = txs}};
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_batch_encode(&o, &b), POA_OK);
    poa_batch_digest(poa_written(&o), digest);
    cr_assert_eq(poa_store_put_batch(group, 0, POA_WAL_BATCH, digest, poa_written(&o)), POA_OK);
}

static size_t header_of(uint64_t height, uint8_t kind, uint8_t *out, size_t cap)
{
    struct poa_header h = {.version = 1, .kind = kind, .height = height};
    struct poa_writer w = poa_writer_over(out, cap);
    cr_assert_eq(poa_header_encode(&w, &h), POA_OK);
    return w.n;
}

static void put_block(uint64_t height, uint8_t kind, bool cert, uint32_t batches,
                      struct poa_slice fillers, uint16_t fillers_n)
{
    uint8_t header[512], digest[4][32];
    for (uint32_t i = 0; i < batches; i++)
        put_batch((uint32_t)height * 10 + i, 3, digest[i]);
    size_t n = header_of(height, kind, header, sizeof header);
    struct poa_store_block b = {.height = height,
                                .header = poa_slice(header, n),
                                .body = poa_slice("body", 4),
                                .cert = cert ? poa_slice("cert", 4) : poa_slice(NULL, 0),
                                .fillers = fillers,
                                .fillers_n = fillers_n,
                                .batch = (const uint8_t(*)[32])digest,
                                .batches = batches};
    cr_assert_eq(poa_store_put_block(group, &b), POA_OK);
    cr_assert_eq(poa_store_write(group, false), POA_OK);
}

static struct poa_slice filler(uint64_t height)
{
    static uint8_t bytes[1024];
    uint8_t header[512];
    size_t n = header_of(height, POA_BLOCK_FILLER, header, sizeof header);
    struct poa_block b = {.header = poa_slice(header, n), .body = poa_slice("body", 4)};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_block_encode(&w, &b), POA_OK);
    return poa_written(&w);
}

static void set_up(void)
{
    store = test_store_new();
    cr_assert_eq(poa_store_batch_new(store, &group), POA_OK);
}

static void tear_down(void)
{
    poa_store_batch_free(group);
    test_store_remove(store);
}

TestSuite(bundle, .init = set_up, .fini = tear_down);

/* Reads after AFTER; how many block records, or -1 when there is nothing. */
static int read_after(uint64_t after, size_t max, uint64_t *last, struct node_bundle **out)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    struct poa_blocks r;
    int rc = node_bundle_read(store, after, 0, max, &bytes, &n, last);
    if (rc == POA_E_NOT_FOUND)
        return -1;
    cr_assert_eq(rc, POA_OK);
    cr_assert_eq(poa_blocks_decode(poa_slice(bytes, n), &r), POA_OK);
    cr_assert(poa_slice_equal(r.cert, poa_slice("cert", 4)));
    int count = (int)r.blocks.count;
    if (out)
        cr_assert_eq(node_bundle_open(NULL, bytes, n, out), POA_OK);
    else
        free(bytes);
    return count;
}

Test(bundle, ends_with_a_certificate)
{
    uint64_t last = 0;
    cr_assert_eq(read_after(0, 1 << 20, &last, NULL), -1, "nothing yet");
    put_block(1, POA_BLOCK_NORMAL, false, 1, poa_slice(NULL, 0), 0);
    cr_assert_eq(read_after(0, 1 << 20, &last, NULL), -1, "not certified yet");
    put_block(2, POA_BLOCK_NORMAL, true, 2, poa_slice(NULL, 0), 0);
    put_block(3, POA_BLOCK_NORMAL, true, 0, poa_slice(NULL, 0), 0);
    put_block(4, POA_BLOCK_NORMAL, false, 0, poa_slice(NULL, 0), 0);
    cr_assert_eq(read_after(0, 1 << 20, &last, NULL), 3);
    cr_assert_eq(last, 3);
    cr_assert_eq(read_after(0, 1, &last, NULL), 2, "small: up to the first certificate");
    cr_assert_eq(last, 2);
    cr_assert_eq(read_after(2, 1 << 20, &last, NULL), 1);
    cr_assert_eq(read_after(3, 1 << 20, &last, NULL), -1);
    cr_assert_eq(read_after(99, 1 << 20, &last, NULL), -1);
}

Test(bundle, ends_with_an_epoch)
{
    uint64_t last = 0;
    put_block(1, POA_BLOCK_NORMAL, true, 0, poa_slice(NULL, 0), 0);
    put_block(2, POA_BLOCK_CLOSING, true, 0, filler(3), 1);
    put_block(3, POA_BLOCK_NORMAL, true, 0, poa_slice(NULL, 0), 0);
    cr_assert_eq(read_after(0, 1 << 20, &last, NULL), 3, "two blocks and a filler");
    cr_assert_eq(last, 2);
    cr_assert_eq(read_after(2, 1 << 20, &last, NULL), 1);
    cr_assert_eq(last, 3);
}

Test(bundle, opens_with_its_transactions_in_order)
{
    uint64_t last = 0;
    struct node_bundle *b = NULL;
    put_block(1, POA_BLOCK_NORMAL, false, 2, poa_slice(NULL, 0), 0);
    put_block(2, POA_BLOCK_NORMAL, true, 1, poa_slice(NULL, 0), 0);
    cr_assert_eq(read_after(0, 1 << 20, &last, &b), 2);
    cr_assert_eq(b->first, 1);
    cr_assert_eq(b->last, 2);
    cr_assert_eq(b->batches, 3);
    cr_assert_eq(b->check->n, 9);
    const char *want[] = {"tx 0 of batch 10", "tx 1 of batch 10", "tx 2 of batch 10",
                          "tx 0 of batch 11", "tx 1 of batch 11", "tx 2 of batch 11",
                          "tx 0 of batch 20", "tx 1 of batch 20", "tx 2 of batch 20"};
    for (uint32_t i = 0; i < 9; i++)
        cr_assert(b->check->raw[i].n == TX_BYTES &&
                      strcmp((const char *)b->check->raw[i].p, want[i]) == 0,
                  "%u", i);
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t digest[32];
        poa_batch_digest(b->batch[i].bytes, digest);
        cr_assert_eq(memcmp(digest, b->batch[i].digest, 32), 0);
        cr_assert_eq(b->batch[i].txs, 3);
    }
    b->check->code[4] = POA_E_TX_MALFORMED;
    node_bundle_parsed(b);
    cr_assert_eq(b->batch[0].code, POA_OK);
    cr_assert_eq(b->batch[1].code, POA_E_TX_MALFORMED);
    cr_assert_eq(b->batch[2].code, POA_OK);
    node_bundle_free(b);
}

Test(bundle, refuses_what_is_none)
{
    struct node_bundle *b = NULL;
    uint8_t *junk = malloc(5);
    memset(junk, 0xff, 5);
    cr_assert_neq(node_bundle_open(NULL, junk, 5, &b), POA_OK);
}

/* A view is allocated per transaction: what claims thousands in a few bytes each
 * is refused before that. */
Test(bundle, refuses_transactions_too_short_to_be_any)
{
    uint8_t list[4096] = {0}, bytes[8192], block[16384], *copy = malloc(32768);
    struct poa_raw_tx tx = {.tx = poa_slice("", 0)};
    struct poa_writer w = poa_writer_over(list, sizeof list);
    for (int i = 0; i < 512; i++)
        cr_assert_eq(poa_raw_tx_encode(&w, &tx), POA_OK);
    struct poa_batch b = {.txs = {.bytes = poa_written(&w), .count = 512}};
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_batch_encode(&o, &b), POA_OK);
    struct poa_raw_batch raw = {.batch = poa_written(&o)};
    uint8_t raws[8192 + 8];
    struct poa_writer rw = poa_writer_over(raws, sizeof raws);
    cr_assert_eq(poa_raw_batch_encode(&rw, &raw), POA_OK);
    struct poa_block blk = {.batches = {.bytes = poa_written(&rw), .count = 1}};
    struct poa_writer bw = poa_writer_over(block, sizeof block);
    cr_assert_eq(poa_block_encode(&bw, &blk), POA_OK);
    struct poa_blocks r = {.blocks = {.bytes = poa_written(&bw), .count = 1}};
    struct poa_writer all = poa_writer_over(copy, 32768);
    cr_assert_eq(poa_blocks_encode(&all, &r), POA_OK);
    struct node_bundle *out = NULL;
    cr_assert_eq(node_bundle_open(NULL, copy, all.n, &out), POA_E_BATCH_INVALID);
}

/* What is asked for up to a height ends with the first certified block from there. */
Test(bundle, ends_where_it_is_asked_to)
{
    uint64_t last = 0;
    uint8_t *bytes = NULL;
    size_t n = 0;
    for (uint64_t h = 1; h <= 9; h++)
        put_block(h, POA_BLOCK_NORMAL, h % 3 == 0, 0, poa_slice(NULL, 0), 0);
    const uint64_t until[] = {1, 3, 4, 6, 7, 20}, end[] = {3, 3, 6, 6, 9, 9};
    for (size_t i = 0; i < 6; i++) {
        cr_assert_eq(node_bundle_read(store, 0, until[i], 1 << 20, &bytes, &n, &last), POA_OK);
        cr_assert_eq(last, end[i], "up to %d", (int)until[i]);
        free(bytes);
    }
}

/* Fillers have heights of their own: the next block follows the closing one. */
Test(bundle, fillers_do_not_count)
{
    uint64_t last = 0;
    struct node_bundle *b = NULL;
    put_block(1, POA_BLOCK_NORMAL, true, 0, poa_slice(NULL, 0), 0);
    put_block(2, POA_BLOCK_CLOSING, true, 0, filler(3), 1);
    cr_assert_eq(read_after(0, 1 << 20, &last, &b), 3);
    cr_assert_eq(b->first, 1);
    cr_assert_eq(b->last, 2);
    cr_assert(b->closing);
    node_bundle_free(b);
}
