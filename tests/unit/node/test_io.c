/* The I/O thread: nothing leaves before what it waits for is on disk, in order. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#include "poa_node_io.h"
#include "support.h"

#define SENDS 200

struct seen {
    struct poa_store *store;
    uint32_t sent[SENDS];
    uint32_t early; /* sends before their record could be read */
    _Atomic uint32_t n, kicked;
    _Atomic uint64_t durable, stored;
    _Atomic int failed;
    char why[256];
};

struct find {
    uint64_t seq;
    bool there;
};

static int look(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    struct find *f = ctx;
    (void)type;
    (void)bytes;
    f->there |= seq == f->seq;
    return POA_OK;
}

static void on_send(void *ctx, const struct node_send *to, struct poa_slice bytes)
{
    struct seen *s = ctx;
    uint32_t number = poa_le32(bytes.p);
    struct find f = {.seq = number};
    cr_assert_eq(to->type, 7);
    cr_assert_eq(poa_store_each_record(s->store, look, &f), POA_OK);
    s->early += !f.there;
    s->sent[s->n] = number;
    s->n++;
}

static void on_sent(void *ctx)
{
    struct seen *s = ctx;
    s->kicked = s->n;
}

static void on_durable(void *ctx, uint64_t seq)
{
    ((struct seen *)ctx)->durable = seq;
}

static void on_stored(void *ctx, uint64_t height)
{
    ((struct seen *)ctx)->stored = height;
}

static void on_failed(void *ctx, int error, const char *why)
{
    struct seen *s = ctx;
    snprintf(s->why, sizeof s->why, "%s", why);
    s->failed = error;
}

static struct node_io *start(struct seen *s, size_t bytes_max)
{
    struct node_io *io = NULL;
    struct node_io_config c = {.store = s->store,
                               .bytes_max = bytes_max,
                               .ctx = s,
                               .send = on_send,
                               .sent = on_sent,
                               .durable = on_durable,
                               .stored = on_stored,
                               .failed = on_failed};
    cr_assert_eq(node_io_start(&c, &io), POA_OK);
    return io;
}

static struct node_commit *commit_of(uint64_t height)
{
    struct node_commit *c = calloc(1, sizeof *c);
    c->block.height = height;
    c->block.header = poa_slice("header", 6);
    c->block.body = poa_slice("body", 4);
    c->bytes = sizeof *c;
    return c;
}

Test(io, sends_follow_their_records_in_order)
{
    static struct seen s;
    s.store = test_store_new();
    struct node_io *io = start(&s, 4096); /* small: the producer has to wait at times */
    struct node_send to = {.type = 7, .others = true};
    for (uint32_t i = 1; i <= SENDS; i++) {
        uint8_t le[64] = {0};
        poa_put_le32(le, i);
        cr_assert_eq(node_io_record(io, i, 2, poa_slice(le, sizeof le)), POA_OK);
        cr_assert_eq(node_io_send(io, &to, poa_slice(le, 4)), POA_OK);
        if (i % 50 == 0)
            cr_assert_eq(node_io_commit(io, commit_of(i / 50)), POA_OK);
    }
    cr_assert_eq(node_io_sync(io), POA_OK);
    cr_assert_eq(s.n, SENDS);
    cr_assert_eq(s.kicked, SENDS, "none waits for others");
    cr_assert_eq(s.early, 0);
    for (uint32_t i = 0; i < SENDS; i++)
        cr_assert_eq(s.sent[i], i + 1);
    node_io_stop(io);
    cr_assert_eq(s.durable, SENDS);
    cr_assert_eq(s.stored, SENDS / 50);
    cr_assert_eq(s.failed, 0);
    test_store_remove(s.store);
}

Test(io, what_has_time_makes_no_frame_of_its_own)
{
    static struct seen s;
    s.store = test_store_new();
    struct node_io *io = start(&s, 1 << 20);
    struct node_send lazy = {.type = 7, .others = true, .lazy = true};
    struct node_send now = {.type = 7, .others = true};
    uint8_t le[4];
    poa_put_le32(le, 1);
    cr_assert_eq(node_io_record(io, 1, 2, poa_slice(le, 4)), POA_OK);
    cr_assert_eq(node_io_send(io, &lazy, poa_slice(le, 4)), POA_OK);
    cr_assert_eq(node_io_sync(io), POA_OK);
    cr_expect_eq(s.n, 1, "it is handed over");
    cr_expect_eq(s.kicked, 0, "and waits there");
    poa_put_le32(le, 2);
    cr_assert_eq(node_io_record(io, 2, 2, poa_slice(le, 4)), POA_OK);
    cr_assert_eq(node_io_send(io, &now, poa_slice(le, 4)), POA_OK);
    cr_assert_eq(node_io_sync(io), POA_OK);
    cr_expect_eq(s.n, 2);
    cr_expect_eq(s.kicked, 2, "both go");
    node_io_stop(io);
    test_store_remove(s.store);
}

/* A disk that stands still: the first round ends only when the test says so. */
static sem_t disk;
static void on_durable_slowly(void *ctx, uint64_t seq)
{
    if (!((struct seen *)ctx)->durable)
        while (sem_wait(&disk))
            ;
    on_durable(ctx, seq);
}

Test(io, one_fsync_for_what_waits_together)
{
    static struct seen s;
    struct node_io *io = NULL;
    s.store = test_store_new();
    sem_init(&disk, 0, 0);
    struct node_io_config c = {.store = s.store,
                               .bytes_max = 1 << 20,
                               .ctx = &s,
                               .durable = on_durable_slowly,
                               .failed = on_failed};
    cr_assert_eq(node_io_start(&c, &io), POA_OK);
    struct node_io_stats st;
    uint8_t bytes[32] = {0};
    for (uint32_t i = 1; i <= 2000; i++)
        cr_assert_eq(node_io_record(io, i, 2, poa_slice(bytes, sizeof bytes)), POA_OK);
    sem_post(&disk);
    cr_assert_eq(node_io_sync(io), POA_OK);
    /* The bytes are given back just after the waiter is told. */
    for (int i = 0; i < 1000; i++) {
        node_io_stats(io, &st);
        if (!st.queued_bytes)
            break;
        usleep(5000);
    }
    cr_assert_lt(st.rounds, 10, "%u fsyncs", (unsigned)st.rounds);
    cr_assert_eq(st.queued_bytes, 0);
    node_io_stop(io);
    sem_destroy(&disk);
    test_store_remove(s.store);
}

/* Seen from the core thread. */
Test(io, execution_does_not_wait_for_the_disk, .timeout = 120)
{
    static struct seen s;
    struct node_io *io = NULL;
    s.store = test_store_new();
    sem_init(&disk, 0, 0);
    struct node_io_config c = {.store = s.store,
                               .bytes_max = 1 << 20,
                               .ctx = &s,
                               .send = on_send,
                               .durable = on_durable_slowly,
                               .stored = on_stored,
                               .failed = on_failed};
    cr_assert_eq(node_io_start(&c, &io), POA_OK);
    uint8_t bytes[64] = {0};
    for (uint64_t i = 1; i <= 500; i++) {
        cr_assert_eq(node_io_record(io, i, 2, poa_slice(bytes, sizeof bytes)), POA_OK);
        cr_assert_eq(node_io_commit(io, commit_of(i)), POA_OK);
    }
    struct node_checkpoint none = {.at = {.height = 500}};
    cr_assert_eq(node_io_checkpoint(io, &none), POA_OK);
    /* All of it is handed over, and nothing was durable yet. */
    cr_assert_eq(s.durable, 0);
    sem_post(&disk);
    cr_assert_eq(node_io_sync(io), POA_OK);
    cr_assert_eq(s.durable, 500);
    cr_assert_eq(s.stored, 500);
    node_io_stop(io);
    sem_destroy(&disk);
    test_store_remove(s.store);
}

static int count_state(void *ctx, const uint8_t key[32], struct poa_slice value)
{
    (void)key;
    cr_assert_eq(value.n, 5);
    ++*(int *)ctx;
    return POA_OK;
}

Test(io, checkpoint_holds_entries_and_height)
{
    static struct seen s;
    s.store = test_store_new();
    struct node_io *io = start(&s, 1 << 20);
    struct node_checkpoint c = {.at = {.height = 9, .root = {3}}, .entries = malloc(3 * 41)};
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t *p = c.entries + c.n;
        memset(p, 0, 41);
        p[0] = i;
        poa_put_le32(p + 32, 5);
        c.n += 41;
    }
    cr_assert_eq(node_io_checkpoint(io, &c), POA_OK);
    node_io_stop(io);
    poa_store_close(s.store);
    s.store = test_store_open();
    struct poa_stored_checkpoint got;
    int n = 0;
    cr_assert_eq(poa_store_get_checkpoint(s.store, &got), POA_OK);
    cr_assert(got.height == 9 && got.root[0] == 3);
    cr_assert_eq(poa_store_each_state(s.store, count_state, &n), POA_OK);
    cr_assert_eq(n, 3);
    test_store_remove(s.store);
}

Test(io, blobs_are_put_together)
{
    static struct seen s;
    static const uint8_t device[32] = {1}, first[32] = {2}, second[32] = {3};
    s.store = test_store_new();
    struct node_io *io = start(&s, 1 << 20);
    struct node_blob list[] = {{4, device, poa_slice("one", 3)}, {1, first, poa_slice("first", 5)}};
    struct node_blob more[] = {{4, device, poa_slice("two", 3)},
                               {1, second, poa_slice("second", 6)}};
    cr_assert_eq(node_io_blobs(io, 1000, list, 2), POA_OK);
    cr_assert_eq(node_io_blobs(io, 1000, more, 2), POA_OK);
    node_io_stop(io);
    const struct node_blob *now[] = {&more[0], &list[1], &more[1]};
    for (size_t i = 0; i < 3; i++) {
        struct poa_store_value v;
        cr_assert_eq(poa_store_get_blob(s.store, now[i]->kind, now[i]->hash32, &v), POA_OK);
        cr_expect(poa_slice_equal(v.bytes, now[i]->bytes));
        poa_store_value_free(&v);
    }
    test_store_remove(s.store);
}

/* A block whose batch is not there cannot be stored: nothing is sent after it. */
Test(io, a_failed_write_is_the_end)
{
    static struct seen s;
    s.store = test_store_new();
    struct node_io *io = start(&s, 1 << 20);
    static const uint8_t digest[1][32] = {{5}};
    struct node_commit *bad = commit_of(1);
    bad->block.batch = digest;
    bad->block.batches = 1;
    uint8_t le[4];
    struct node_send to = {.type = 7, .others = true};
    poa_put_le32(le, 1);
    cr_assert_eq(node_io_commit(io, bad), POA_OK);
    cr_assert_eq(node_io_record(io, 1, 2, poa_slice(le, 4)), POA_OK);
    cr_assert_eq(node_io_send(io, &to, poa_slice(le, 4)), POA_OK);
    cr_assert_eq(node_io_sync(io), POA_E_STORE);
    cr_assert_eq(node_io_send(io, &to, poa_slice(le, 4)), POA_OK);
    cr_assert_eq(node_io_sync(io), POA_E_STORE);
    node_io_stop(io);
    cr_assert_eq(s.failed, POA_E_NOT_FOUND);
    cr_assert_eq(s.n, 0);
    cr_assert_eq(s.durable, 0);
    test_store_remove(s.store);
}
