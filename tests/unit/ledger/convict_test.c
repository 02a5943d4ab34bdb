/* Convictions: who is suspended, on what evidence, and how one comes back. */
#include "slots.h"

static struct poa_evidence evidence_of(uint8_t kind, const uint8_t author[32],
                                       const struct poa_seal *first, const struct poa_seal *second)
{
    static uint8_t bytes[2][POA_SEAL_BYTES];
    struct poa_evidence e = {.kind = kind, .first = poa_slice(bytes[0], POA_SEAL_BYTES)};
    struct poa_writer w = poa_writer_over(bytes[0], POA_SEAL_BYTES);
    cr_assert_eq(poa_seal_encode(&w, first), POA_OK);
    if (second) {
        w = poa_writer_over(bytes[1], POA_SEAL_BYTES);
        cr_assert_eq(poa_seal_encode(&w, second), POA_OK);
        e.second = poa_written(&w);
    }
    memcpy(e.author, author, 32);
    return e;
}

static void body_evidence(const struct poa_evidence *e)
{
    struct poa_writer w = poa_writer_over(b.evidence, sizeof b.evidence);
    cr_assert_eq(poa_evidence_encode(&w, e), POA_OK);
    b.evidence_bytes = w.n;
    b.evidence_n = 1;
}

/* What a leader is told, and what a block with it is. */
static int judged(const struct poa_evidence *e, uint64_t time)
{
    int tried = poa_ledger_try_evidence(c.l, POA_STATE_BASE, e);
    body_evidence(e);
    cr_assert_eq(refusal(time), tried);
    return tried;
}

Test(convict, contradicting_seals_convict)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    struct poa_st_slot s = slot_of(0);
    uint32_t d = device_of_key(seat_at(&s, 0).device);
    struct poa_seal honest = seal_for(d, 0), lie = seal_make(&c, d, 0, 1, 0, c.id);
    uint8_t first[148], second[148];
    struct poa_writer w1 = poa_writer_over(first, 148), w2 = poa_writer_over(second, 148);
    cr_assert_eq(poa_seal_encode(&w1, &honest), POA_OK);
    cr_assert_eq(poa_seal_encode(&w2, &lie), POA_OK);
    struct poa_evidence e = {
        .kind = POA_EVIDENCE_SEALS, .first = poa_written(&w1), .second = poa_written(&w1)};
    memcpy(e.author, c.device[d].pk, 32);
    for (int bad = 1; bad >= 0; bad--) {
        if (!bad)
            e.second = poa_written(&w2);
        struct poa_writer w = poa_writer_over(b.evidence, sizeof b.evidence);
        cr_assert_eq(poa_evidence_encode(&w, &e), POA_OK);
        b.evidence_bytes = w.n;
        b.evidence_n = 1;
        if (bad)
            cr_assert_eq(refusal(200), POA_E_PROOF);
    }
    cr_assert_eq(poa_ledger_try_evidence(c.l, POA_STATE_BASE, &e), POA_OK);
    block_add(&c, &b, 200);
    body_reset(&b);
    cr_assert_eq(device_state(d).status, 1);
    cr_assert_eq(poa_ledger_try_evidence(c.l, POA_STATE_BASE, &e), POA_E_EXISTS);
    cr_assert_eq(refused_seal(&honest, 300), POA_E_DEVICE_SUSPENDED);
    struct poa_ticket t = ticket_make(&c, d, 0, 1);
    cr_assert_eq(poa_ledger_try_ticket(c.l, POA_STATE_BASE, c.s.g.time_ms + 300, &t),
                 POA_E_DEVICE_SUSPENDED);
    for (uint64_t slot = 1; slot < 16; slot++) { /* nor is it drawn any more */
        block_add(&c, NULL, slot * 1000);
        struct poa_st_slot st = slot_of(slot);
        for (uint32_t i = 0; i < st.seats.count; i++)
            cr_assert_neq(device_of_key(seat_at(&st, i).device), d);
    }
    chain_close(&c);
}

Test(convict, a_lying_witness_leaves_with_the_epoch)
{
    struct setup s = setup_default();
    s.g.epoch_views = 4;
    open_with(s);
    uint8_t bytes[2][200];
    struct poa_writer w[2];
    for (int i = 0; i < 2; i++) {
        struct poa_vote v = {.kind = POA_VOTE_NOTARIZE, .view = 7, .voter = 2};
        uint8_t digest[32];
        v.hash[0] = (uint8_t)i;
        poa_vote_digest(c.id, v.kind, 0, 7, v.hash, digest);
        c.suite->sign(c.witness[2].seed, c.witness[2].pk, digest, 32, v.sig);
        w[i] = poa_writer_over(bytes[i], sizeof bytes[i]);
        cr_assert_eq(poa_vote_encode(&w[i], &v), POA_OK);
    }
    struct poa_evidence e = {
        .kind = POA_EVIDENCE_VOTES, .first = poa_written(&w[0]), .second = poa_written(&w[1])};
    memcpy(e.author, c.witness[1].pk, 32);
    cr_assert_eq(poa_ledger_try_evidence(c.l, POA_STATE_BASE, &e), POA_E_NOT_MEMBER);
    memcpy(e.author, c.witness[2].pk, 32);
    struct poa_writer out = poa_writer_over(b.evidence, sizeof b.evidence);
    cr_assert_eq(poa_evidence_encode(&out, &e), POA_OK);
    b.evidence_bytes = out.n;
    b.evidence_n = 1;
    block_add(&c, &b, 100);
    body_reset(&b);
    struct poa_committee committee;
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, NULL, &committee, NULL), POA_OK);
    cr_assert_eq(poa_committee_find(&committee, c.witness[2].pk), 2);
    for (uint32_t i = 1; i < 5; i++)
        block_add(&c, NULL, 100 + 100 * i);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 1, NULL, &committee, NULL), POA_OK);
    cr_assert_eq(committee.members.count, 3);
    cr_assert_eq(poa_committee_find(&committee, c.witness[2].pk), POA_E_NOT_MEMBER);
    chain_close(&c);
}

/* One seal is enough when it contradicts what the quorum finalized; what a gateway
 * can make an honest device sign is not. */
Test(convict, a_seal_against_the_quorum)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    block_add(&c, NULL, 200); /* final, of the same slot, and not its sealing block */
    uint8_t second[32];
    memcpy(second, c.hash, 32);
    struct poa_st_slot s = slot_of(0);
    uint32_t d = device_of_key(seat_at(&s, 0).device);
    const uint8_t *key = c.device[d].pk;
    struct poa_seal honest = seal_for(d, 0), late = seal_make(&c, d, 0, 2, 0, second),
                    lie = seal_make(&c, d, 0, 1, 0, c.id),
                    nowhere = seal_make(&c, d, 9, 1, 0, c.id), forged = lie;
    struct poa_evidence e = evidence_of(POA_EVIDENCE_FORK, key, &honest, NULL);
    cr_assert_eq(judged(&e, 300), POA_E_PROOF);
    e = evidence_of(POA_EVIDENCE_FORK, key, &late, NULL);
    cr_assert_eq(judged(&e, 300), POA_E_PROOF);
    e = evidence_of(POA_EVIDENCE_FORK, key, &nowhere, NULL);
    cr_assert_eq(judged(&e, 300), POA_E_SLOT_UNKNOWN);
    forged.sig[5] ^= 1;
    e = evidence_of(POA_EVIDENCE_FORK, key, &forged, NULL);
    cr_assert_eq(judged(&e, 300), POA_E_SIGNATURE);
    uint32_t other = (d + 1) % 8;
    e = evidence_of(POA_EVIDENCE_FORK, c.device[other].pk, &lie, NULL);
    cr_assert_eq(judged(&e, 300), POA_E_NOT_MEMBER);
    e = evidence_of(POA_EVIDENCE_FORK, c.device[40].pk, &lie, NULL);
    cr_assert_eq(judged(&e, 300), POA_E_DEVICE_UNKNOWN);
    e = evidence_of(POA_EVIDENCE_FORK, key, &lie, &honest);
    cr_assert_eq(judged(&e, 300), POA_E_NOT_CANONICAL);
    e = evidence_of(POA_EVIDENCE_FORK, key, &lie, NULL);
    cr_assert_eq(judged(&e, 300), POA_OK);
    body_evidence(&e);
    block_add(&c, &b, 300);
    body_reset(&b);
    cr_assert_eq(device_state(d).status, 1);
    cr_assert_eq(device_state(d).convicted, 3); /* the block to look at */
    for (uint32_t i = 0; i < 8; i++)
        cr_assert(i == d || !device_state(i).status);
    cr_assert_eq(judged(&e, 400), POA_E_EXISTS);
    chain_close(&c);
}

/* Good seals do not help who is convicted before they are settled: the others share,
 * and when there is nobody else the slot is burned. */
Test(convict, nothing_is_paid_to_who_was_convicted_before_settlement)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    struct poa_st_slot s = slot_of(0);
    uint32_t d[3];
    cr_assert_eq(s.seats.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        d[i] = device_of_key(seat_at(&s, i).device);
        struct poa_seal seal = seal_for(d[i], 0);
        body_seal(&b, &seal);
    }
    block_add(&c, &b, 200);
    body_reset(&b);
    struct poa_st_slot before = slot_of(0);
    uint32_t miner = device_of_key(seat_at(&before, 2).device); /* the lowest rank */
    for (uint32_t i = 0; i < 3; i++) {
        if (d[i] != miner && i != 0)
            continue;
        struct poa_seal lie = seal_make(&c, d[i], 0, 1, 0, c.id);
        struct poa_evidence e = evidence_of(POA_EVIDENCE_FORK, c.device[d[i]].pk, &lie, NULL);
        body_evidence(&e);
        block_add(&c, &b, 300 + 10 * i);
        body_reset(&b);
    }
    block_add(&c, NULL, 60000); /* slot 0 is settled */
    uint32_t paid = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct poa_st_device st = device_state(d[i]);
        cr_assert_eq(st.sealed, 1);
        cr_assert(!st.status == (st.earned > 0));
        paid += st.earned > 0;
    }
    cr_assert_eq(paid, 1);
    struct poa_st_slot after = slot_of(0);
    cr_assert(after.settled && !device_state(device_of_key(after.miner)).status);
    cr_assert(audit(&c));
    chain_close(&c);
}

static int as_steering(uint32_t user, const uint8_t key[32], uint64_t time)
{
    struct ops o = {.n = 0};
    struct poa_op_readmit op;
    struct poa_st_account a = {.nonce = 0};
    memcpy(op.key, key, 32);
    op_raw(&o, POA_OP_READMIT, &poa_op_readmit_record, &op);
    int e = poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ACCOUNT, c.address[user], 32, &a);
    cr_assert(e == POA_OK || e == POA_E_NOT_FOUND);
    body_tx(&b, &c, user, a.nonce, 10, &o);
    int tried = poa_ledger_try_tx(c.l, POA_STATE_BASE, c.s.g.time_ms + time, b.tx[0], 0, 0);
    block_add(&c, &b, time);
    cr_assert_eq(b.result[0].code, tried);
    body_reset(&b);
    return tried;
}

Test(convict, governance_alone_readmits_a_device_and_old_evidence_is_spent)
{
    open_with(setup_default());
    block_add(&c, NULL, 100);
    struct poa_st_slot s = slot_of(0);
    uint32_t d = device_of_key(seat_at(&s, 0).device);
    struct poa_seal lie = seal_make(&c, d, 0, 1, 0, c.id), honest = seal_for(d, 0);
    struct poa_evidence e = evidence_of(POA_EVIDENCE_FORK, c.device[d].pk, &lie, NULL);
    cr_assert_eq(as_steering(0, c.device[d].pk, 150), POA_E_TX_EXISTS); /* not suspended */
    cr_assert_eq(as_steering(0, c.device[40].pk, 160), POA_E_NOT_FOUND);
    body_evidence(&e);
    block_add(&c, &b, 200);
    body_reset(&b);
    cr_assert_eq(as_steering(1, c.device[d].pk, 300), POA_E_TX_NOT_ALLOWED);
    cr_assert_eq(device_state(d).status, 1);
    cr_assert_eq(as_steering(0, c.device[d].pk, 400), POA_OK);
    cr_assert_eq(device_state(d).status, 0);
    cr_assert_neq(device_state(d).convicted, 0); /* it stays known */
    cr_assert_eq(judged(&e, 500), POA_E_EXISTS);
    e = evidence_of(POA_EVIDENCE_SEALS, c.device[d].pk, &lie, &honest);
    cr_assert_eq(judged(&e, 500), POA_E_EXISTS);
    cr_assert_eq(refused_seal(&honest, 500), POA_OK); /* it may seal again */
    /* and be convicted of what it does from now on */
    uint64_t slot = 1;
    for (;; slot++) {
        block_add(&c, NULL, slot * 1000 + 100);
        struct poa_st_slot st = slot_of(slot);
        bool drawn = false;
        for (uint32_t i = 0; i < st.seats.count; i++)
            drawn |= device_of_key(seat_at(&st, i).device) == d;
        if (drawn)
            break;
        cr_assert_lt(slot, 15);
    }
    struct poa_st_slot st = slot_of(slot);
    struct poa_seal again = seal_make(&c, d, slot, st.height, 0, c.id);
    e = evidence_of(POA_EVIDENCE_FORK, c.device[d].pk, &again, NULL);
    cr_assert_eq(judged(&e, slot * 1000 + 200), POA_OK);
    chain_close(&c);
}

Test(convict, a_witness_returns_the_same_way)
{
    struct setup s = setup_default();
    s.g.epoch_views = 6;
    open_with(s);
    uint8_t bytes[2][200];
    struct poa_writer w[2];
    for (int i = 0; i < 2; i++) {
        struct poa_vote v = {.kind = POA_VOTE_NOTARIZE, .view = 7, .voter = 2};
        uint8_t digest[32];
        v.hash[0] = (uint8_t)i;
        poa_vote_digest(c.id, v.kind, 0, 7, v.hash, digest);
        c.suite->sign(c.witness[2].seed, c.witness[2].pk, digest, 32, v.sig);
        w[i] = poa_writer_over(bytes[i], sizeof bytes[i]);
        cr_assert_eq(poa_vote_encode(&w[i], &v), POA_OK);
    }
    struct poa_evidence e = {
        .kind = POA_EVIDENCE_VOTES, .first = poa_written(&w[0]), .second = poa_written(&w[1])};
    memcpy(e.author, c.witness[2].pk, 32);
    body_evidence(&e);
    block_add(&c, &b, 100);
    body_reset(&b);
    struct poa_st_witness st;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_WITNESS, c.witness[2].pk, 32, &st),
                 POA_OK);
    cr_assert_eq(st.status, 1);
    cr_assert_eq(st.convicted, 1);
    cr_assert_eq(as_steering(0, c.witness[2].pk, 200), POA_OK);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_WITNESS, c.witness[2].pk, 32, &st),
                 POA_OK);
    cr_assert_eq(st.status, 0);
    cr_assert_eq(judged(&e, 300), POA_E_EXISTS);
    for (uint32_t i = 0; i < 5; i++)
        block_add(&c, NULL, 300 + 100 * i);
    struct poa_committee committee;
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 1, NULL, &committee, NULL), POA_OK);
    cr_assert_eq(poa_committee_find(&committee, c.witness[2].pk), 2);
    chain_close(&c);
}
