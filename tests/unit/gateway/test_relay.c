/* What devices say to one another through a gateway (poa_talk.h), over real sockets. */
#include <stdatomic.h>

#include "edge_node.h"
#include "poa_talk.h"

static struct fake f;
static struct client a, b;

TestSuite(relay, .timeout = 120);

/* What a client was relayed last. */
static struct heard {
    uint8_t from[32], bytes[POA_EDGE_RELAY_MAX];
    size_t n, count, refused;
    int code;
} heard_a, heard_b;

static void on_event(struct client *c, struct heard *h, const struct poa_device_event *e)
{
    if (e->kind == POA_DEVICE_RELAYED) {
        memcpy(h->from, e->hash, 32);
        memcpy(h->bytes, e->value.p, e->value.n);
        h->n = e->value.n;
        h->count++;
    } else if (e->kind == POA_DEVICE_RELAY_RESULT) {
        h->code = e->code;
        h->refused++;
    } else if (e->kind != POA_DEVICE_REFUSED) { /* of many tasks */
        client_event(c, e);
    }
}

static void event_a(void *ctx, const struct poa_device_event *e)
{
    on_event(ctx, &heard_a, e);
}

static void event_b(void *ctx, const struct poa_device_event *e)
{
    on_event(ctx, &heard_b, e);
}

static void connect_both(const struct poa_gateway_config *config, bool listen)
{
    memset(&heard_a, 0, sizeof heard_a);
    memset(&heard_b, 0, sizeof heard_b);
    fake_open(&f, config);
    client_make(&a, &f, 100);
    client_make(&b, &f, 101);
    fake_device(&f, b.key, 1);
    a.d.config.event = event_a;
    b.d.config.event = event_b;
    a.d.config.listen = b.d.config.listen = listen;
    client_ready(&a);
    client_ready(&b);
    client_barrier(&b); /* it listens */
}

/* Until COUNT is reached on one of them, both take turns. */
#define BOTH_UNTIL(condition)                                                                      \
    do {                                                                                           \
        for (uint64_t end_ = client_now().mono_ms + PATIENCE_MS;                                   \
             !(condition) && client_now().mono_ms < end_;) {                                       \
            client_turn(&a, 2);                                                                    \
            client_turn(&b, 2);                                                                    \
        }                                                                                          \
        cr_assert(condition, "waited for " #condition);                                            \
    } while (0)

/* B does not read meanwhile. */
static int refusal(const uint8_t to[32])
{
    size_t had = heard_a.refused;
    cr_assert_eq(poa_device_relay(&a.d, to, poa_slice("x", 1)), POA_OK);
    EXPECT_UNTIL(&a, heard_a.refused > had);
    return heard_a.code;
}

/* Not one byte more or less, and from whom it is. */
Test(relay, between_two_devices)
{
    static uint8_t large[POA_EDGE_RELAY_MAX];
    struct poa_gateway_config c = fake_config(&f);
    connect_both(&c, true);
    cr_assert_eq(poa_device_relay(&a.d, b.key, poa_slice("anything", 8)), POA_OK);
    BOTH_UNTIL(heard_b.count == 1);
    cr_assert_arr_eq(heard_b.from, a.key, 32);
    cr_assert_eq(heard_b.n, 8);
    cr_assert_arr_eq(heard_b.bytes, "anything", 8);
    memset(large, 7, sizeof large);
    cr_assert_eq(poa_device_relay(&b.d, a.key, poa_slice(large, sizeof large)), POA_OK);
    BOTH_UNTIL(heard_a.count == 1);
    cr_assert_eq(heard_a.n, sizeof large);
    cr_assert_arr_eq(heard_a.bytes, large, sizeof large);
    cr_assert_eq(heard_a.refused + heard_b.refused, 0);
    for (int i = 0; i < 500 && fake_stats(&f).relays < 2; i++)
        usleep(10000);
    cr_assert_eq(fake_stats(&f).relays, 2);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

Test(relay, a_session_from_end_to_end)
{
    struct poa_gateway_config c = fake_config(&f);
    struct poa_talk ta, tb;
    uint8_t entropy[32] = {0}, out[POA_EDGE_RELAY_MAX], text[POA_TALK_TEXT_MAX];
    uint64_t wait;
    connect_both(&c, true);
    cr_assert_eq(poa_talk_init(&ta, f.w.chain, a.seed, a.key, b.key), POA_OK);
    cr_assert_eq(poa_talk_init(&tb, f.w.chain, b.seed, b.key, a.key), POA_OK);
    poa_talk_open(&ta);
    struct poa_writer w = poa_writer_over(out, sizeof out), h = poa_writer_over(text, sizeof text);
    poa_random(entropy, sizeof entropy);
    poa_talk_poll(&ta, 1, entropy, &w, &wait);
    cr_assert_eq(poa_device_relay(&a.d, b.key, poa_written(&w)), POA_OK);
    BOTH_UNTIL(heard_b.count == 1);
    w.n = 0;
    poa_random(entropy, sizeof entropy);
    cr_assert_eq(poa_talk_input(&tb, 1, entropy, poa_slice(heard_b.bytes, heard_b.n), &h, &w),
                 POA_OK);
    cr_assert_eq(poa_device_relay(&b.d, a.key, poa_written(&w)), POA_OK);
    BOTH_UNTIL(heard_a.count == 1);
    w.n = 0;
    cr_assert_eq(poa_talk_input(&ta, 1, entropy, poa_slice(heard_a.bytes, heard_a.n), &h, &w),
                 POA_OK);
    cr_assert(poa_talk_ready(&ta));
    cr_assert_eq(poa_device_relay(&a.d, b.key, poa_written(&w)), POA_OK);
    w.n = 0;
    cr_assert_eq(poa_talk_say(&ta, poa_slice("on", 2), &w), POA_OK);
    BOTH_UNTIL(heard_b.count == 2);
    cr_assert_eq(poa_talk_input(&tb, 1, entropy, poa_slice(heard_b.bytes, heard_b.n), &h, &w),
                 POA_OK);
    cr_assert_eq(poa_device_relay(&a.d, b.key, poa_written(&w)), POA_OK);
    BOTH_UNTIL(heard_b.count == 3);
    cr_assert_eq(poa_talk_input(&tb, 1, entropy, poa_slice(heard_b.bytes, heard_b.n), &h, &w),
                 POA_OK);
    cr_assert_eq(h.n, 2);
    cr_assert_arr_eq(text, "on", 2);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

Test(relay, who_is_not_reached)
{
    struct poa_gateway_config c = fake_config(&f);
    static const uint8_t nobody[32] = {9};
    connect_both(&c, false);
    cr_assert_eq(refusal(b.key), POA_E_NOT_FOUND, "it did not say that it listens");
    cr_assert_eq(refusal(nobody), POA_E_NOT_FOUND);
    cr_assert_eq(refusal(a.key), POA_E_NOT_FOUND);
    cr_assert_eq(heard_b.count, 0);
    cr_assert_eq(fake_stats(&f).relays_refused, 3);
    /* Whom the ledger does not know, and whom it suspended, says nothing to anybody. */
    client_close(&b);
    b.d.config.listen = true;
    client_ready(&b);
    client_barrier(&b);
    struct poa_st_device d = {.index = 0, .status = 1};
    fake_put(&f, POA_STATE_DEVICE, poa_slice(a.key, 32), &poa_st_device_record, &d);
    client_close(&a);
    client_ready(&a);
    cr_assert_eq(refusal(b.key), POA_E_DEVICE_SUSPENDED);
    client_close(&a);
    client_make(&a, &f, 102);
    a.d.config.event = event_a;
    client_ready(&a);
    cr_assert_eq(refusal(b.key), POA_E_DEVICE_UNKNOWN);
    cr_assert_eq(heard_b.count, 0);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

/* Many must not drown one, though none of them is over its own rate. */
Test(relay, a_flood_does_not_reach_a_device)
{
    struct poa_gateway_config c = fake_config(&f);
    c.limits.frames_per_s = 100000;
    c.limits.bytes_per_s = 100000000;
    connect_both(&c, true);
    uint64_t start = client_now().mono_ms;
    size_t sent = 0;
    while (sent < 2000) {
        sent += poa_device_relay(&a.d, b.key, poa_slice("flood", 5)) == POA_OK;
        client_turn(&a, 0);
    }
    BOTH_UNTIL(heard_b.count + heard_a.refused == sent);
    uint64_t seconds = (client_now().mono_ms - start) / 1000 + 2;
    cr_assert(heard_b.count <= 50 * seconds, "%zu in %lu s", heard_b.count, (unsigned long)seconds);
    cr_assert_eq(heard_a.code, POA_E_FULL);
    cr_assert(b.fd >= 0 && a.fd >= 0);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}

/* What others say to a device that does not read is refused before it becomes the reason to
 * drop the device. */
Test(relay, a_device_that_does_not_read_is_left_in_peace)
{
    struct poa_gateway_config c = fake_config(&f);
    c.limits.send_queue_bytes = POA_EDGE_DOWN_MAX;
    c.limits.frames_per_s = 100000;
    c.limits.bytes_per_s = 100000000;
    connect_both(&c, true);
    struct block block = fake_block(&f, 3, fake_slot(&f));
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0), block_cert(&block)};
    uint8_t seats[1][32];
    memcpy(seats[0], b.key, 32);
    /* Tasks, until the socket takes no more and some of them wait in the gateway. What waits is
     * counted in bytes: a socket that was full takes some more after a while. */
    struct poa_session like = b.d.link.on.session;
    uint8_t frame[2048];
    struct poa_writer task = poa_writer_over(frame, sizeof frame), pong = task;
    struct poa_edge_task m = {1, proof.header, proof.cert};
    cr_assert_eq(POA_EDGE_PUT(&like, TASK, edge_task, &m, &task), POA_OK);
    cr_assert_eq(POA_EDGE_PUT(&like, PONG, edge_pong, &(struct poa_edge_pong){0}, &pong), POA_OK);
    uint64_t begin = fake_stats(&f).bytes_out, left = 0;
    for (uint64_t pongs = 1; pongs < 100000; pongs++) {
        poa_gateway_slot(f.g, fake_slot(&f), &proof, (const uint8_t(*)[32])seats, 1);
        client_barrier(&a);
        struct poa_gateway_stats s = fake_stats(&f);
        left = s.bytes_out;
        if (s.tasks * task.n + pongs * pong.n > left - begin + POA_EDGE_DOWN_MAX / 2)
            break;
    }
    cr_assert_eq(fake_stats(&f).dropped, 0);
    cr_assert_eq(refusal(b.key), POA_E_FULL);
    BOTH_UNTIL(fake_stats(&f).bytes_out > left + 5000); /* it reads */
    client_barrier(&b);
    cr_assert_eq(poa_device_relay(&a.d, b.key, poa_slice("now", 3)), POA_OK);
    BOTH_UNTIL(heard_b.count == 1);
    cr_assert_eq(fake_stats(&f).dropped, 0);
    client_close(&a);
    client_close(&b);
    fake_stop(&f);
}
