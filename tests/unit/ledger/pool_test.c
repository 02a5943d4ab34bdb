/* The pool of witnesses: who may change it, from when on, and the quorum that
 * follows the size of the committee. */
#include "support.h"

static struct chain c;
static struct body b;
static uint64_t nonce;

static void open_chain(uint16_t quorum_extra)
{
    struct setup s = setup_default();
    s.g.epoch_views = 12;
    s.g.quorum_extra = quorum_extra;
    chain_open(&c, &s);
    nonce = 0;
}

static int run(uint32_t user, struct ops *o)
{
    uint64_t n = user ? 0 : nonce;
    struct poa_tx_view v;
    body_reset(&b);
    body_tx(&b, &c, user, n, 10, o);
    v = *b.tx[0];
    int judged = poa_ledger_try_tx(c.l, POA_STATE_BASE, c.time_ms + 1, &v, 0, 0);
    block_add(&c, &b, c.time_ms - c.s.g.time_ms + 10);
    cr_assert_eq(judged, b.result[0].code); /* the home server says what the chain says */
    nonce += b.result[0].code == POA_OK && !user;
    return b.result[0].code;
}

static struct ops admit_op(uint32_t i)
{
    struct ops o = {.n = 0};
    struct poa_op_witness w = {.maker = i, .name = poa_slice("new", 3)};
    memcpy(w.key, c.witness[i].pk, 32);
    op_raw(&o, POA_OP_WITNESS_ADD, &poa_op_witness_record, &w);
    return o;
}

static struct ops leave_op(const uint8_t key[32])
{
    struct ops o = {.n = 0};
    struct poa_op_witness_leave w;
    memcpy(w.key, key, 32);
    op_raw(&o, POA_OP_WITNESS_LEAVE, &poa_op_witness_leave_record, &w);
    return o;
}

static int admit(uint32_t i)
{
    struct ops o = admit_op(i);
    return run(0, &o);
}

static int leave(uint32_t i)
{
    struct ops o = leave_op(c.witness[i].pk);
    return run(0, &o);
}

static void next_epoch(void)
{
    uint32_t epoch = poa_ledger_next_epoch(c.l, POA_STATE_BASE);
    while (poa_ledger_next_epoch(c.l, POA_STATE_BASE) == epoch)
        block_add(&c, NULL, c.time_ms - c.s.g.time_ms + 10);
    c.view = 0;
    block_add(&c, NULL, c.time_ms - c.s.g.time_ms + 10);
    cr_assert_eq(c.header.epoch, epoch + 1);
}

static struct poa_committee committee(void)
{
    struct poa_committee k;
    uint32_t epoch = poa_ledger_next_epoch(c.l, POA_STATE_BASE);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, epoch, NULL, &k, NULL), POA_OK);
    cr_assert_eq(k.epoch, epoch);
    return k;
}

static void expect(uint32_t n, uint16_t q)
{
    struct poa_committee k = committee();
    cr_assert_eq(k.members.count, n);
    cr_assert_eq(k.quorum, q, "n %u: quorum %u, not %u", n, k.quorum, q);
}

static bool serves(uint32_t i)
{
    struct poa_committee k = committee();
    return poa_committee_find(&k, c.witness[i].pk) >= 0;
}

Test(pool, quorum_follows_the_committee_at_epoch_boundaries)
{
    open_chain(0);
    expect(4, 3);
    cr_assert_eq(admit(4), POA_OK);
    expect(4, 3); /* not before the epoch ends */
    cr_assert(!serves(4));
    next_epoch();
    expect(5, 4);
    cr_assert(serves(4));
    cr_assert_eq(admit(5), POA_OK);
    cr_assert_eq(admit(6), POA_OK);
    next_epoch();
    expect(7, 5);
    cr_assert_eq(leave(0), POA_OK);
    expect(7, 5);
    cr_assert(serves(0)); /* to the end of its epoch */
    next_epoch();
    expect(6, 5);
    cr_assert(!serves(0) && serves(6));
    for (uint32_t i = 1; i < 6; i++)
        cr_assert_eq(leave(i), POA_OK, "%u", i);
    cr_assert_eq(leave(6), POA_E_LIMIT); /* somebody has to stay */
    next_epoch();
    expect(1, 1);
    cr_assert(serves(6));
    cr_assert(audit(&c));
    chain_close(&c);
}

Test(pool, a_raised_quorum_stays_within_the_committee)
{
    open_chain(2);
    expect(4, 4);
    cr_assert_eq(admit(4), POA_OK);
    next_epoch();
    expect(5, 5);
    cr_assert_eq(admit(5), POA_OK);
    cr_assert_eq(admit(6), POA_OK);
    next_epoch();
    expect(7, 7);
    cr_assert_eq(admit(7), POA_OK);
    next_epoch();
    expect(8, 8);
    chain_close(&c);
}

Test(pool, who_may_and_who_may_leave)
{
    open_chain(0);
    struct ops add = admit_op(4), go = leave_op(c.witness[1].pk), unknown = leave_op(c.user[1].pk);
    cr_assert_eq(run(1, &add), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(run(1, &go), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(run(0, &unknown), POA_E_NOT_FOUND);
    next_epoch();
    expect(4, 3);
    cr_assert_eq(leave(1), POA_OK);
    cr_assert_eq(leave(1), POA_E_NOT_FOUND);
    struct poa_st_witness w;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_WITNESS, c.witness[1].pk, 32, &w),
                 POA_OK);
    cr_assert_eq(w.status, 2);
    cr_assert_eq(w.until, 1); /* it was drawn for this epoch, and is for none after it */
    cr_assert_eq(admit(1), POA_E_TX_EXISTS); /* its key never enters again */
    next_epoch();
    expect(3, 3);
    chain_close(&c);
}

Test(pool, leaving_and_entering_in_one_transaction)
{
    open_chain(0);
    struct ops o = leave_op(c.witness[2].pk);
    struct poa_op_witness w = {.maker = 1, .name = poa_slice("new", 3)};
    memcpy(w.key, c.witness[4].pk, 32);
    op_raw(&o, POA_OP_WITNESS_ADD, &poa_op_witness_record, &w);
    cr_assert_eq(run(0, &o), POA_OK);
    next_epoch();
    expect(4, 3);
    cr_assert(!serves(2) && serves(4));
    chain_close(&c);
}
