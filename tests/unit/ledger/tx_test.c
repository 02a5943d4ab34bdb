/* Transactions: each refusal has its code and leaves the state alone. */
#include "support.h"

static struct chain c;
static struct body b;
static struct setup setup;

static void open_chain(void)
{
    setup = setup_default();
    chain_open(&c, &setup);
    body_reset(&b);
}

static void close_chain(void)
{
    chain_close(&c);
}

TestSuite(tx, .init = open_chain, .fini = close_chain);

/* The wire form of a transfer of user 1. */
static struct poa_slice wire(uint8_t *buffer, size_t cap, const struct ops *o, uint64_t nonce,
                             uint64_t fee)
{
    struct poa_writer w = poa_writer_over(buffer, cap);
    struct poa_list list = {poa_slice(o->bytes, o->n), o->count};
    uint8_t id[32];
    cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, c.user[1].seed, nonce, fee, 0, &list, &w, id),
                 POA_OK);
    return poa_written(&w);
}

static uint8_t buffer[65536];

static int check(struct poa_slice raw)
{
    struct poa_tx_view v;
    return poa_tx_check(c.id, raw, &v);
}

Test(tx, stateless)
{
    struct ops o = {.n = 0}, none = {.n = 0}, zero = {.n = 0}, big = {.n = 0};
    struct poa_tx_view v;
    op_transfer(&o, c.address[2], 5);
    struct poa_slice raw = wire(buffer, sizeof buffer, &o, 0, 10);
    cr_assert_eq(check(raw), POA_OK);

    for (size_t n = 0; n < raw.n; n++)
        cr_assert_eq(check(poa_slice(raw.p, n)), POA_E_TX_TRUNCATED, "%zu bytes", n);
    buffer[raw.n] = 0;
    cr_assert_eq(check(poa_slice(raw.p, raw.n + 1)), POA_E_TX_TRAILING);

    uint8_t other[32] = {0};
    cr_assert_eq(poa_tx_check(other, raw, &v), POA_E_TX_CHAIN);
    memcpy(other, c.id, 32);
    other[31] ^= 1; /* same first four bytes: the signature covers all of it */
    cr_assert_eq(poa_tx_check(other, raw, &v), POA_E_TX_SIGNATURE);

    buffer[raw.n - 1] ^= 1;
    cr_assert_eq(check(raw), POA_E_TX_SIGNATURE);
    cr_assert_eq(poa_tx_parse(c.id, raw, &v), POA_OK);
    buffer[raw.n - 1] ^= 1;
    buffer[4] ^= 1; /* sender */
    cr_assert_eq(check(raw), POA_E_TX_SENDER);

    cr_assert_eq(check(wire(buffer, sizeof buffer, &none, 0, 10)), POA_E_TX_OP_COUNT);
    op_transfer(&zero, c.address[2], 0);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &zero, 0, 10)), POA_E_TX_AMOUNT_ZERO);
    op_transfer(&big, c.address[2], UINT64_MAX - 5);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &big, 0, 5)), POA_OK);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &big, 0, 6)), POA_E_TX_OVERFLOW);
    op_transfer(&big, c.address[2], 6);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &big, 0, 0)), POA_E_TX_OVERFLOW);
}

Test(tx, every_bit_counts)
{
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[2], 5);
    struct poa_slice raw = wire(buffer, sizeof buffer, &o, 0, 10);
    for (size_t i = 0; i < raw.n * 8; i++) {
        buffer[i / 8] ^= (uint8_t)(1 << i % 8);
        cr_assert_neq(check(raw), POA_OK, "bit %zu", i);
        buffer[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

Test(tx, operations_are_checked)
{
    struct ops o = {.n = 0};
    struct poa_op_transfer asset = {.asset = 1, .amount = 1};
    struct poa_op_anchor anchor = {.packs = 0};
    struct poa_op_maker maker = {.maker = 9, .name = poa_slice("\xff", 1)};
    op_raw(&o, 0x7777, &poa_op_transfer_record, &asset);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o, 0, 10)), POA_E_TX_OP_UNKNOWN);
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_MAKER_ADD, &poa_op_transfer_record, &asset);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o, 0, 10)), POA_E_TX_MALFORMED);
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_ANCHOR, &poa_op_anchor_record, &anchor);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o, 0, 10)), POA_E_TX_MALFORMED);
    anchor = (struct poa_op_anchor){.packs = 1, .from_ms = 2, .to_ms = 1};
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_ANCHOR, &poa_op_anchor_record, &anchor);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o, 0, 10)), POA_E_TX_MALFORMED);
    memcpy(maker.key, c.maker[2].pk, 32);
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_MAKER_ADD, &poa_op_maker_record, &maker);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o, 0, 10)), POA_E_TX_MALFORMED);
    maker.name = poa_slice("good \xc3\xa4", 7);
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_MAKER_ADD, &poa_op_maker_record, &maker);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o, 0, 10)), POA_OK);
    memset(maker.key, 0xff, 32); /* no point */
    o = (struct ops){.n = 0};
    op_raw(&o, POA_OP_MAKER_ADD, &poa_op_maker_record, &maker);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o, 0, 10)), POA_E_KEY);
}

/* A transaction of an m-of-n account: SIGNERS are indices of users. */
static struct poa_slice multisig(uint8_t m, uint64_t limit, const uint8_t *signers, size_t n,
                                 const struct ops *o, uint64_t fee)
{
    uint8_t keys[3 * 33], policy_bytes[256], sigs[16 * 65], auth_bytes[2048];
    for (int i = 0; i < 3; i++) {
        keys[33 * i] = POA_KEY_BIP340;
        memcpy(keys + 33 * i + 1, c.user[i].pk, 32);
    }
    struct poa_policy policy = {.m = m, .limit = limit, .keys = {poa_slice(keys, 99), 3}};
    struct poa_writer w = poa_writer_over(policy_bytes, sizeof policy_bytes);
    cr_assert_eq(poa_policy_encode(&w, &policy), POA_OK);
    struct poa_tx tx = {.chain = poa_le32(c.id),
                        .fee = fee,
                        .ops = {poa_slice(o->bytes, o->n), o->count},
                        .auth = poa_slice(auth_bytes, 0)};
    cr_assert_eq(poa_address_of(&policy, tx.sender), POA_OK);
    struct poa_writer out = poa_writer_over(buffer, sizeof buffer);
    uint8_t id[32];
    cr_assert_eq(poa_tx_encode(&out, &tx), POA_OK);
    poa_hash2(POA_DOMAIN_TX, c.id, 32, buffer, out.n - 2, id);
    for (size_t i = 0; i < n; i++) {
        sigs[65 * i] = signers[i];
        cr_assert_eq(poa_bip340_sign(c.user[signers[i] % 3].seed, id, 32, NULL, sigs + 65 * i + 1),
                     POA_OK);
    }
    struct poa_auth auth = {.policy = poa_written(&w),
                            .sigs = {poa_slice(sigs, 65 * n), (uint32_t)n}};
    struct poa_writer a = poa_writer_over(auth_bytes, sizeof auth_bytes);
    cr_assert_eq(poa_auth_encode(&a, &auth), POA_OK);
    tx.auth = poa_written(&a);
    out = poa_writer_over(buffer, sizeof buffer);
    cr_assert_eq(poa_tx_encode(&out, &tx), POA_OK);
    return poa_written(&out);
}

Test(tx, multisig_and_its_limit)
{
    struct ops o = {.n = 0}, steer = {.n = 0};
    struct poa_op_maker maker = {.maker = 9, .name = poa_slice("m", 1)};
    const uint8_t s01[] = {0, 1}, s10[] = {1, 0}, s00[] = {0, 0}, s012[] = {0, 1, 2},
                  s03[] = {0, 3};
    op_transfer(&o, c.address[2], 90);
    memcpy(maker.key, c.maker[2].pk, 32);
    op_raw(&steer, POA_OP_MAKER_ADD, &poa_op_maker_record, &maker);
    cr_assert_eq(check(multisig(2, 0, s01, 2, &o, 10)), POA_OK);
    cr_assert_eq(check(multisig(2, 0, s10, 2, &o, 10)), POA_E_TX_SIGNATURE); /* not ascending */
    cr_assert_eq(check(multisig(2, 0, s00, 2, &o, 10)), POA_E_TX_SIGNATURE);
    cr_assert_eq(check(multisig(2, 0, s012, 3, &o, 10)), POA_E_TX_SIGNATURE); /* exactly m */
    cr_assert_eq(check(multisig(2, 0, s03, 2, &o, 10)), POA_E_TX_SIGNATURE);
    cr_assert_eq(check(multisig(2, 0, s01, 1, &o, 10)), POA_E_TX_SIGNATURE);
    cr_assert_eq(check(multisig(2, 0, s01, 0, &o, 10)), POA_E_TX_SIGNATURE);
    cr_assert_eq(check(multisig(2, 100, s01, 1, &o, 10)), POA_OK); /* 90 + 10: within the limit */
    cr_assert_eq(check(multisig(2, 100, s10, 1, &o, 10)), POA_E_TX_SIGNATURE); /* first key only */
    cr_assert_eq(check(multisig(2, 99, s01, 1, &o, 10)), POA_E_TX_SIGNATURE);
    cr_assert_eq(check(multisig(2, 100, s01, 1, &steer, 10)), POA_E_TX_SIGNATURE);
    cr_assert_eq(check(multisig(2, 100, s01, 2, &steer, 10)), POA_OK);
}

/* --- on the ledger ------------------------------------------------------------------ */

/* Root after the first TXS transactions of the body, and the code of the last.
 * The block's hash is fixed, so that the root tells about transactions only. */
static int run(uint32_t txs, uint8_t root[32])
{
    struct poa_block_result r = {.tx = b.result};
    struct poa_slice body;
    poa_state_id s;
    uint32_t all = b.txs;
    b.txs = txs;
    struct poa_header h = header_next(&c, POA_STATE_BASE, &b, 1500, &body);
    b.txs = all;
    struct poa_block_in in = {.header = &h, .hash = {1}, .body = body, .tx = b.tx, .txs = txs};
    cr_assert_eq(poa_ledger_reserve(c.l), POA_OK);
    cr_assert_eq(poa_ledger_execute(c.l, POA_STATE_BASE, &in, &s, &r), POA_OK);
    memcpy(root, r.root, 32);
    poa_ledger_drop(c.l, s);
    return txs ? b.result[txs - 1].code : POA_OK;
}

/* The last transaction gives CODE, and no trace when that is an error. */
static void expect(int code)
{
    uint8_t with[32], without[32];
    int got = run(b.txs, with);
    cr_assert_eq(got, code, "%s", poa_error_name(got));
    run(b.txs - 1, without);
    cr_assert_eq(!memcmp(with, without, 32), code != POA_OK);
}

Test(tx, nonce_balance_fee_time)
{
    struct ops o = {.n = 0}, rich = {.n = 0};
    op_transfer(&o, c.address[2], 5);
    op_transfer(&rich, c.address[2], 1000000000);
    body_tx(&b, &c, 1, 0, 10, &o);
    expect(POA_OK);
    body_reset(&b);
    body_tx(&b, &c, 1, 0, 10, &o);
    body_tx(&b, &c, 1, 0, 11, &o);
    expect(POA_E_TX_NONCE_USED);
    body_reset(&b);
    body_tx(&b, &c, 1, 1, 10, &o);
    expect(POA_E_TX_NONCE_GAP);
    body_reset(&b);
    body_tx(&b, &c, 1, 0, 10, &rich);
    expect(POA_E_TX_BALANCE);
    body_reset(&b);
    body_tx(&b, &c, 4, 0, 10, &o); /* has nothing */
    expect(POA_E_TX_BALANCE);
    body_reset(&b);
    body_tx(&b, &c, 1, 0, 5, &o); /* 5 + 1 per KiB */
    expect(POA_E_TX_FEE);
    body_reset(&b);
    op_anchor(&rich, 1); /* the first operation is in order, the balance is not */
    body_tx(&b, &c, 1, 0, 10, &rich);
    expect(POA_E_TX_BALANCE);
}

Test(tx, expiry)
{
    struct ops o = {.n = 0};
    uint8_t id[32];
    struct poa_tx_view v;
    op_transfer(&o, c.address[2], 5);
    struct poa_list list = {poa_slice(o.bytes, o.n), o.count};
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    uint64_t until = setup.g.time_ms + 1500;
    cr_assert_eq(poa_tx_sign(c.id, POA_KEY_BIP340, c.user[1].seed, 0, 10, until, &list, &w, id),
                 POA_OK);
    cr_assert_eq(poa_tx_check(c.id, poa_written(&w), &v), POA_OK);
    cr_assert_eq(poa_ledger_try_tx(c.l, POA_STATE_BASE, until, &v, 0, 0), POA_OK);
    cr_assert_eq(poa_ledger_try_tx(c.l, POA_STATE_BASE, until + 1, &v, 0, 0), POA_E_TX_EXPIRED);
    cr_assert_eq(poa_ledger_try_tx(c.l, POA_STATE_BASE, until, &v, 1, 0), POA_E_TX_NONCE_USED);
    cr_assert_eq(poa_ledger_try_tx(c.l, POA_STATE_BASE, until, &v, 0, 999999985), POA_OK);
    cr_assert_eq(poa_ledger_try_tx(c.l, POA_STATE_BASE, until, &v, 0, 999999986), POA_E_TX_BALANCE);
}

Test(tx, transfers_move_and_fees_go_to_the_leader)
{
    struct ops o = {.n = 0}, self = {.n = 0};
    op_transfer(&o, c.address[2], 100);
    op_transfer(&o, c.address[4], 7);
    op_transfer(&self, c.address[1], 1000);
    body_tx(&b, &c, 1, 0, 10, &o);
    body_tx(&b, &c, 1, 1, 20, &self);
    struct poa_block_result r = block_add(&c, &b, 1500);
    cr_assert_eq(r.executed, 2);
    cr_assert_eq(balance_of(&c, c.address[1]), 1000000000 - 107 - 30);
    cr_assert_eq(balance_of(&c, c.address[2]), 1000000100);
    cr_assert_eq(balance_of(&c, c.address[4]), 7 + 30); /* also the witnesses' payout */
    cr_assert(audit(&c));
}

Test(tx, all_or_nothing)
{
    /* The second operation fails: the first leaves no trace, no nonce is used. */
    struct ops bad = {.n = 0}, first = {.n = 0}, good = {.n = 0};
    op_anchor(&first, 7);
    op_transfer(&bad, c.address[4], 100);
    op_anchor(&bad, 8);
    op_anchor(&bad, 7);
    op_transfer(&good, c.address[4], 1);
    body_tx(&b, &c, 2, 0, 10, &first);
    body_tx(&b, &c, 1, 0, 10, &bad);
    body_tx(&b, &c, 1, 0, 10, &good);
    struct poa_block_result r = block_add(&c, &b, 1500);
    cr_assert_eq(r.executed, 2);
    cr_assert_eq(r.failed, 1);
    cr_assert_eq(b.result[1].code, POA_E_TX_EXISTS);
    struct poa_st_anchor a;
    uint8_t root[32];
    memset(root, 8, 32);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ANCHOR, root, 32, &a),
                 POA_E_NOT_FOUND);
    memset(root, 7, 32);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ANCHOR, root, 32, &a), POA_OK);
    cr_assert_arr_eq(a.sender, c.address[2], 32);
    cr_assert_eq(balance_of(&c, c.address[4]), 1 + 20);
}

Test(tx, governance)
{
    struct ops maker = {.n = 0}, witness = {.n = 0};
    struct poa_op_maker m = {.maker = 3, .name = poa_slice("new", 3)};
    struct poa_op_witness w = {.maker = 3, .name = poa_slice("new", 3)};
    memcpy(m.key, c.maker[2].pk, 32);
    memcpy(w.key, c.witness[6].pk, 32);
    op_raw(&maker, POA_OP_MAKER_ADD, &poa_op_maker_record, &m);
    op_raw(&witness, POA_OP_WITNESS_ADD, &poa_op_witness_record, &w);
    body_tx(&b, &c, 1, 0, 10, &maker);
    body_tx(&b, &c, 1, 0, 10, &witness);
    body_tx(&b, &c, 0, 0, 10, &maker);
    body_tx(&b, &c, 0, 1, 10, &witness);
    body_tx(&b, &c, 0, 2, 10, &maker);
    body_tx(&b, &c, 0, 2, 10, &witness);
    block_add(&c, &b, 1500);
    const int want[] = {POA_E_TX_NOT_ALLOWED, POA_E_TX_NOT_ALLOWED, POA_OK, POA_OK,
                        POA_E_TX_EXISTS,      POA_E_TX_EXISTS};
    for (int i = 0; i < 6; i++)
        cr_assert_eq(b.result[i].code, want[i], "%d: %s", i, poa_error_name(b.result[i].code));
    struct poa_st_witness st;
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_WITNESS, w.key, 32, &st), POA_OK);
    cr_assert_eq(st.index, 4);
}

Test(tx, devices_need_their_maker)
{
    struct ops o[6] = {{.n = 0}};
    struct poa_op_device d = device_of(&c, 20, 0), x;
    struct poa_tx_view v;
    /* stateless: both signatures */
    x = d;
    x.maker_sig[3] ^= 1;
    op_device(&o[0], &x);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o[0], 0, 10)), POA_E_TX_ATTESTATION);
    x = d;
    x.device_sig[3] ^= 1;
    op_device(&o[1], &x);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o[1], 0, 10)), POA_E_TX_DEVICE_PROOF);
    x = d;
    x.payout[0] ^= 1; /* what was attested cannot be changed */
    op_device(&o[2], &x);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o[2], 0, 10)), POA_E_TX_ATTESTATION);
    op_device(&o[3], &d);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &o[3], 0, 10)), POA_OK);
    uint8_t other[32];
    memcpy(other, c.id, 32);
    other[30] ^= 1;
    cr_assert_neq(poa_tx_check(other, wire(buffer, sizeof buffer, &o[3], 0, 10), &v), POA_OK);
    static struct ops longest;
    x = d;
    uint8_t meta[255] = {0};
    x.meta = poa_slice(meta, sizeof meta); /* as long as it may be */
    poa_device_attest(&poa_suite_ed25519, c.id, c.maker[0].seed, c.device[20].seed, &x);
    op_device(&longest, &x);
    cr_assert_eq(check(wire(buffer, sizeof buffer, &longest, 0, 10)), POA_OK);
    /* with state: the maker must be admitted, with that key, the device new */
    x = device_of(&c, 21, 2);
    op_device(&o[4], &x);
    x = device_of(&c, 22, 0);
    x.maker = 2; /* signed by maker 1, as if it were 2 */
    poa_device_attest(&poa_suite_ed25519, c.id, c.maker[0].seed, c.device[22].seed, &x);
    op_device(&o[5], &x);
    body_tx(&b, &c, 1, 0, 10, &o[3]);
    body_tx(&b, &c, 1, 1, 10, &o[3]);
    body_tx(&b, &c, 1, 1, 10, &o[4]);
    body_tx(&b, &c, 1, 1, 10, &o[5]);
    block_add(&c, &b, 1500);
    cr_assert_eq(b.result[0].code, POA_OK);
    cr_assert_eq(b.result[1].code, POA_E_TX_DEVICE_EXISTS);
    cr_assert_eq(b.result[2].code, POA_E_TX_MAKER_UNKNOWN);
    cr_assert_eq(b.result[3].code, POA_E_TX_ATTESTATION);
    struct poa_st_device st;
    struct poa_st_maker m;
    uint8_t key[4];
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_DEVICE, d.device, 32, &st), POA_OK);
    cr_assert_eq(st.index, 8);
    cr_assert_eq(st.height, 1);
    poa_put_le32(key, 1);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_MAKER, key, 4, &m), POA_OK);
    cr_assert_eq(m.devices, 5);
    struct poa_digest index;
    poa_put_le32(key, 8);
    cr_assert_eq(poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_DEVICE_INDEX, key, 4, &index),
                 POA_OK);
    cr_assert_arr_eq(index.digest, d.device, 32);
}

Test(tx, batches)
{
    static struct poa_tx_view views[POA_BATCH_TXS_MAX];
    static uint8_t list[65536], encoded[70000];
    struct ops o = {.n = 0}, zero = {.n = 0};
    struct poa_batch batch = {.epoch = 0, .author = 2, .seq = 1}, out;
    struct poa_committee committee;
    uint8_t digest[32], sign[32], other[32] = {0};
    int code;
    op_transfer(&o, c.address[2], 5);
    op_transfer(&zero, c.address[2], 0);
    cr_assert_eq(poa_ledger_epoch(c.l, POA_STATE_BASE, 0, NULL, &committee, NULL), POA_OK);
    for (int bad = 0; bad < 3; bad++) { /* 0: fine, 1: a zero amount, 2: no transactions */
        struct poa_writer w = poa_writer_over(list, sizeof list);
        struct poa_raw_tx raw;
        for (uint64_t n = 0; n < 3 && bad < 2; n++) {
            raw.tx = wire(buffer, sizeof buffer, bad && n == 1 ? &zero : &o, n, 10);
            cr_assert_eq(poa_raw_tx_encode(&w, &raw), POA_OK);
        }
        batch.txs = (struct poa_list){poa_written(&w), bad < 2 ? 3 : 0};
        struct poa_writer e = poa_writer_over(encoded, sizeof encoded);
        cr_assert_eq(poa_batch_encode(&e, &batch), POA_OK);
        poa_batch_digest(poa_written(&e), digest);
        poa_batch_sig_digest(c.id, digest, sign);
        c.suite->sign(c.witness[2].seed, c.witness[2].pk, sign, 32, batch.sig);
        e.n = 0;
        cr_assert_eq(poa_batch_encode(&e, &batch), POA_OK);
        struct poa_slice bytes = poa_written(&e);
        int want = bad ? POA_E_BATCH_INVALID : POA_OK;
        cr_assert_eq(poa_batch_check(c.suite, c.id, &committee, bytes, poa_tx_check, &out, digest,
                                     views, &code),
                     want);
        cr_assert_eq(code, bad == 1 ? POA_E_TX_AMOUNT_ZERO : POA_OK);
        cr_assert_eq(poa_batch_check(c.suite, c.id, &committee, bytes, poa_tx_parse, &out, other,
                                     NULL, NULL),
                     want);
        cr_assert_arr_eq(digest, other, 32);
        struct poa_evidence ev = {
            .kind = POA_EVIDENCE_BATCH, .first = bytes, .second = poa_slice(NULL, 0)};
        memcpy(ev.author, c.witness[2].pk, 32);
        txs_checked = 0;
        cr_assert_eq(poa_ledger_try_evidence(c.l, POA_STATE_BASE, &ev), bad ? POA_OK : POA_E_PROOF);
        cr_assert_eq(txs_checked, 3 - (unsigned)bad - (bad == 2), "up to the first bad one");
        memcpy(ev.author, c.witness[1].pk, 32);
        cr_assert_neq(poa_ledger_try_evidence(c.l, POA_STATE_BASE, &ev), POA_OK);
        encoded[e.n - 1] ^= 1;
        cr_assert_eq(poa_batch_check(c.suite, c.id, &committee, bytes, poa_tx_check, &out, digest,
                                     views, &code),
                     POA_E_SIGNATURE);
    }
}
