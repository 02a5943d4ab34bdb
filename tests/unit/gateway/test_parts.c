/* A device that holds no committee, through a real gateway over real sockets:
 * everything that rests on a certificate comes in parts. */
#include "edge_node.h"

static struct fake f;
static struct client a;

TestSuite(gateway_parts, .timeout = 120);

static void start(void)
{
    struct poa_gateway_config config = fake_config(&f);
    f.genesis.seal_slots = 1000; /* no draw can be too late */
    f.w.params.seal_slots = 1000;
    fake_open(&f, &config);
    client_make(&a, &f, 100); /* the world's device */
    struct poa_device_config streaming = a.d.config;
    streaming.streaming = true;
    streaming.rx_bytes = POA_DEVICE_RX_ANSWER;
    cr_assert_eq(poa_device_init(&a.d, &streaming), POA_OK);
    client_ready(&a);
    cr_assert_eq(a.d.committee.members.count, 0);
    cr_assert_eq(a.d.members, MEMBERS);
}

static void stop(void)
{
    client_close(&a);
    fake_stop(&f);
}

/* The newest slot that the lottery gives to the device. */
static uint64_t own_slot(void)
{
    struct poa_edge_epoch e = world_epoch(3, 16, 10);
    for (uint64_t slot = fake_slot(&f);; slot--)
        for (uint32_t j = 0; j < SEATS; j++) {
            uint32_t index;
            uint64_t rank;
            poa_random_seat(f.w.chain, e.seed, slot, j, e.eligible, &index, &rank);
            if (index == 0)
                return slot;
        }
}

static void post(uint64_t slot, const struct poa_gateway_proof *proof)
{
    uint8_t seats[1][32];
    memcpy(seats[0], a.key, 32);
    poa_gateway_slot(f.g, slot, proof, (const uint8_t(*)[32])seats, 1);
    EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_SEAL_RESULT));
    cr_assert_eq(f.submit[0].seal.slot, slot);
}

Test(gateway_parts, a_task_is_sealed)
{
    start();
    uint64_t slot = own_slot();
    struct block block = fake_block(&f, 3, slot);
    struct poa_gateway_proof proof = {block_header(&block), poa_slice(NULL, 0), block_cert(&block)};
    post(slot, &proof);
    stop();
}

Test(gateway_parts, a_task_is_sealed_through_a_descendant)
{
    start();
    uint64_t slot = own_slot();
    struct block block = fake_block(&f, 3, slot);
    struct block child = block_child(&f.w, &block, POA_BLOCK_NORMAL);
    struct poa_gateway_proof proof = {block_header(&block), block_header(&child),
                                      block_cert(&child)};
    post(slot, &proof);
    stop();
}

Test(gateway_parts, committees_follow_one_another)
{
    start();
    fake_epoch(&f, 4, 40);
    EXPECT_UNTIL(&a, a.d.committee.epoch == 4);
    client_close(&a);
    for (uint32_t epoch = 5; epoch <= 9; epoch++)
        fake_epoch(&f, epoch, 10 * epoch);
    client_ready(&a);
    cr_assert_eq(a.d.committee.epoch, 9);
    cr_assert_eq(a.d.committee.members.count, 0);
    stop();
}

Test(gateway_parts, answers_are_proven)
{
    start();
    for (uint32_t i = 0; i < 2; i++) {
        a.events = 0;
        cr_assert_eq(poa_device_query(&a.d, i, POA_STATE_ACCOUNT, poa_slice(f.account, 32)),
                     POA_OK);
        EXPECT_UNTIL(&a, client_told(&a, POA_DEVICE_ANSWER));
        cr_assert_eq(client_told(&a, POA_DEVICE_ANSWER)->code, POA_OK);
        cr_assert_gt(client_told(&a, POA_DEVICE_ANSWER)->value.n, 0);
    }
    stop();
}
