/* Transactions and batches: what can be judged from their bytes alone. */
#include "ledger.h"
#include "poa_wallet.h"

const struct poa_record *poa_op_record_of(uint16_t kind)
{
    switch (kind) {
#define OP_ROW(name, number, record, text)                                                         \
    case number:                                                                                   \
        return &poa_##record##_record;
        POA_OPS(OP_ROW)
#undef OP_ROW
    default:
        return NULL;
    }
}

/* --- operations ------------------------------------------------------------------ */

static void attest_digest(enum poa_domain domain, const uint8_t chain[32],
                          const struct poa_op_device *d, uint8_t out[32])
{
    /* All fixed fields, and META with its length. */
    uint8_t bytes[32 + 4 + 32 + 2 + 32 + 32 + 2 + 255 + 2 * POA_SIG_BYTES];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int e = poa_op_device_encode(&w, d);
    POA_ASSERT(e == POA_OK); /* META is a slice of at most 255 bytes */
    poa_hash2(domain, chain, 32, bytes, w.n - 2 * POA_SIG_BYTES, out);
}

void poa_attest_digests(const uint8_t chain32[32], const struct poa_op_device *d,
                        uint8_t maker32[32], uint8_t device32[32])
{
    attest_digest(POA_DOMAIN_ATTEST, chain32, d, maker32);
    attest_digest(POA_DOMAIN_DEVICE, chain32, d, device32);
}

void poa_device_attest(const struct poa_suite *suite, const uint8_t chain32[32],
                       const uint8_t maker_seed32[32], const uint8_t device_seed32[32],
                       struct poa_op_device *d)
{
    uint8_t maker[32], device[32];
    poa_ed25519_public(maker_seed32, d->maker_key);
    poa_ed25519_public(device_seed32, d->device);
    poa_attest_digests(chain32, d, maker, device);
    suite->sign(maker_seed32, d->maker_key, maker, sizeof maker, d->maker_sig);
    suite->sign(device_seed32, d->device, device, sizeof device, d->device_sig);
}

int poa_device_attest_check(const struct poa_suite *suite, const uint8_t chain32[32],
                            const struct poa_op_device *d)
{
    uint8_t maker[32], device[32];
    poa_attest_digests(chain32, d, maker, device);
    if (suite->verify(d->maker_key, maker, sizeof maker, d->maker_sig))
        return POA_E_TX_ATTESTATION;
    if (suite->verify(d->device, device, sizeof device, d->device_sig))
        return POA_E_TX_DEVICE_PROOF;
    return POA_OK;
}

bool poa_text_ok(struct poa_slice s)
{
    size_t i = 0;
    while (i < s.n) { /* RFC 3629: shortest form, no surrogates, up to U+10FFFF */
        uint8_t c = s.p[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;
        uint32_t v = c;
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4 || s.n - i <= more)
            return false;
        if (more)
            v = c & (0x3fu >> more);
        for (size_t k = 1; k <= more; k++) {
            if ((s.p[i + k] & 0xc0) != 0x80)
                return false;
            v = v << 6 | (s.p[i + k] & 0x3f);
        }
        if ((more == 2 && (v < 0x800 || (v >= 0xd800 && v < 0xe000))) ||
            (more == 3 && (v < 0x10000 || v > 0x10ffff)))
            return false;
        i += more + 1;
    }
    return true;
}

bool poa_name_ok(struct poa_slice s)
{
    return s.n && poa_text_ok(s);
}

/* Adds what an operation spends of the native asset. */
int poa_cost_add(uint32_t asset, uint64_t amount, uint64_t *cost)
{
    if (!amount)
        return POA_E_TX_AMOUNT_ZERO;
    if (asset)
        return POA_OK;
    if (amount > UINT64_MAX - *cost)
        return POA_E_TX_OVERFLOW;
    *cost += amount;
    return POA_OK;
}

/* The record of an operation, with the rules that need no state. Adds to COST. */
static int check_op(const struct poa_op *op, uint64_t *cost)
{
    union op_record u;
    const struct poa_record *record = poa_op_record_of(op->kind);
    if (!record)
        return POA_E_TX_OP_UNKNOWN;
    if (poa_record_decode(record, op->body, &u))
        return POA_E_TX_MALFORMED;
    switch ((enum poa_op_kind)op->kind) {
    case POA_OP_TRANSFER:
        if (u.TRANSFER.terms.n && !poa_terms_ok(u.TRANSFER.terms))
            return POA_E_TX_TERMS;
        return poa_cost_add(u.TRANSFER.asset, u.TRANSFER.amount, cost);
    case POA_OP_PURCHASE:
    case POA_OP_ASSET_CREATE:
    case POA_OP_ASSET_MINT:
    case POA_OP_ESCROW_OPEN:
    case POA_OP_ESCROW_RELEASE:
    case POA_OP_ESCROW_REFUND:
        return poa_value_check(op->kind, &u, cost);
    case POA_OP_DATA_OFFER:
    case POA_OP_DATA_BUY:
    case POA_OP_DATA_DELIVER:
    case POA_OP_DATA_DISPUTE:
    case POA_OP_DATA_CLOSE:
        return poa_data_check(op->kind, &u, cost);
    case POA_OP_HOLD:
        return u.HOLD.grade == 2 ? POA_OK : POA_E_TX_MALFORMED;
    case POA_OP_DEVICE_REGISTER:
        return POA_OK;
    case POA_OP_MAKER_ADD:
        return u.MAKER_ADD.maker && poa_name_ok(u.MAKER_ADD.name) ? POA_OK : POA_E_TX_MALFORMED;
    case POA_OP_WITNESS_ADD:
        return poa_name_ok(u.WITNESS_ADD.name) ? POA_OK : POA_E_TX_MALFORMED;
    case POA_OP_WITNESS_LEAVE:
    case POA_OP_READMIT:
        return POA_OK;
    case POA_OP_PARAM_SET:
        return u.PARAM_SET.changes.count ? POA_OK : POA_E_TX_PARAM;
    case POA_OP_ANCHOR:
        return u.ANCHOR.packs && u.ANCHOR.from_ms <= u.ANCHOR.to_ms ? POA_OK : POA_E_TX_MALFORMED;
    }
    return POA_E_TX_OP_UNKNOWN;
}

static int tx_cost(const struct poa_tx_view *tx, uint64_t *out)
{
    struct poa_list_iter it = poa_list_begin(&tx->tx.ops);
    struct poa_op op;
    *out = tx->tx.fee;
    while (poa_op_next(&it, &op)) {
        int e = check_op(&op, out);
        if (e)
            return e;
    }
    return POA_OK;
}

/* --- decoding ------------------------------------------------------------------------ */

int poa_tx_parse(const uint8_t chain[32], struct poa_slice raw, struct poa_tx_view *out)
{
    int e = raw.n > POA_TX_BYTES_MAX ? POA_E_TOO_LONG : poa_tx_decode(raw, &out->tx);
    if (e)
        return e == POA_E_TRUNCATED  ? POA_E_TX_TRUNCATED
               : e == POA_E_TRAILING ? POA_E_TX_TRAILING
                                     : POA_E_TX_MALFORMED;
    if (out->tx.chain != poa_le32(chain))
        return POA_E_TX_CHAIN;
    if (!out->tx.ops.count)
        return POA_E_TX_OP_COUNT;
    out->raw = raw;
    e = tx_cost(out, &out->cost);
    if (e)
        return e;
    /* The auth field is the last: its length, then its bytes. */
    poa_hash2(POA_DOMAIN_TX, chain, 32, raw.p, raw.n - out->tx.auth.n - 2, out->id);
    return POA_OK;
}

/* --- signatures ----------------------------------------------------------------------- */

/* What the first key of a multisig account may do alone: what is counted against
 * its limit, and what spends nothing. */
static bool alone_may(const struct poa_op *op)
{
    struct poa_op_transfer t;
    struct poa_op_purchase p;
    if (op->kind == POA_OP_TRANSFER)
        return !poa_op_transfer_decode(op->body, &t) && !t.asset;
    if (op->kind == POA_OP_PURCHASE)
        return !poa_op_purchase_decode(op->body, &p) && !p.asset;
    return op->kind == POA_OP_HOLD || op->kind == POA_OP_ANCHOR || op->kind == POA_OP_DATA_DELIVER;
}

static int check_auth(const struct poa_tx_view *v)
{
    struct poa_policy policy;
    struct poa_list sigs;
    struct poa_list_iter ops = poa_list_begin(&v->tx.ops);
    struct poa_op op;
    int e = poa_auth_open(v->tx.auth, v->tx.sender, &policy, &sigs);
    if (e)
        return e;
    bool alone = sigs.count == 1 && policy.m > 1 && v->cost <= policy.limit;
    while (alone && poa_op_next(&ops, &op))
        if (!alone_may(&op))
            return POA_E_TX_SIGNATURE;
    return poa_auth_verify(&policy, &sigs, alone, v->id);
}

/* Signatures and keys inside of an operation. */
static int check_op_keys(const uint8_t chain[32], const struct poa_op *op)
{
    union op_record u;
    int e = POA_OK;
    switch ((enum poa_op_kind)op->kind) {
    case POA_OP_DEVICE_REGISTER:
        e = poa_op_device_decode(op->body, &u.DEVICE_REGISTER);
        return e ? e : poa_device_attest_check(&poa_suite_ed25519, chain, &u.DEVICE_REGISTER);
    case POA_OP_MAKER_ADD:
        e = poa_op_maker_decode(op->body, &u.MAKER_ADD);
        return e ? e : poa_point_check(u.MAKER_ADD.key);
    case POA_OP_WITNESS_ADD:
        e = poa_op_witness_decode(op->body, &u.WITNESS_ADD);
        return e ? e : poa_point_check(u.WITNESS_ADD.key);
    case POA_OP_TRANSFER:
    case POA_OP_PURCHASE:
    case POA_OP_ASSET_CREATE:
    case POA_OP_ASSET_MINT:
    case POA_OP_ESCROW_OPEN:
    case POA_OP_ESCROW_RELEASE:
    case POA_OP_ESCROW_REFUND:
    case POA_OP_DATA_OFFER:
    case POA_OP_DATA_BUY:
    case POA_OP_DATA_DELIVER:
    case POA_OP_DATA_DISPUTE:
    case POA_OP_DATA_CLOSE:
    case POA_OP_HOLD:
    case POA_OP_WITNESS_LEAVE:
    case POA_OP_READMIT:
    case POA_OP_PARAM_SET:
    case POA_OP_ANCHOR:
        break;
    }
    return POA_OK;
}

int poa_tx_check(const uint8_t chain32[32], struct poa_slice raw, struct poa_tx_view *out)
{
    int e = poa_tx_parse(chain32, raw, out);
    if (!e)
        e = check_auth(out);
    struct poa_list_iter it = poa_list_begin(&out->tx.ops);
    struct poa_op op;
    while (!e && poa_op_next(&it, &op))
        e = check_op_keys(chain32, &op);
    return e;
}

int poa_tx_sign(const uint8_t chain32[32], uint8_t key_type, const uint8_t sk32[32], uint64_t nonce,
                uint64_t fee, uint64_t valid_until, const struct poa_list *ops,
                struct poa_writer *out, uint8_t id32[32])
{
    uint8_t pk[32];
    enum poa_key_type type = (enum poa_key_type)key_type;
    if (key_type != POA_KEY_BIP340 && key_type != POA_KEY_ED25519)
        return POA_E_RANGE;
    int e = poa_key_public(type, sk32, pk);
    struct poa_payment p = {nonce, fee, valid_until};
    if (!e)
        e = poa_wallet_tx(chain32, key_type, pk, &p, ops, out, id32);
    return e ? e : poa_key_sign(type, sk32, id32, 32, out->p + out->n - POA_SIG_BYTES);
}

/* --- batches and bodies ------------------------------------------------------------------ */

void poa_batch_digest(struct poa_slice encoded, uint8_t out32[32])
{
    size_t sig = encoded.n < POA_SIG_BYTES ? encoded.n : POA_SIG_BYTES;
    poa_hash(POA_DOMAIN_BATCH, encoded.p, encoded.n - sig, out32);
}

void poa_batch_sig_digest(const uint8_t chain32[32], const uint8_t digest32[32], uint8_t out32[32])
{
    poa_hash2(POA_DOMAIN_BATCH_SIG, chain32, 32, digest32, 32, out32);
}

void poa_body_hash(struct poa_slice encoded, uint8_t out32[32])
{
    poa_hash(POA_DOMAIN_BODY, encoded.p, encoded.n, out32);
}

int poa_batch_check(const struct poa_suite *suite, const uint8_t chain32[32],
                    const struct poa_committee *c, struct poa_slice encoded, poa_tx_check_fn *check,
                    struct poa_batch *out, uint8_t digest32[32], struct poa_tx_view *views,
                    int *tx_code)
{
    uint8_t key[32], signed32[32];
    struct poa_tx_view view;
    struct poa_raw_tx raw;
    int e = poa_batch_decode(encoded, out);
    if (e)
        return e;
    if (out->epoch != c->epoch)
        return POA_E_EPOCH;
    e = poa_committee_key(c, out->author, key);
    if (e)
        return e;
    poa_batch_digest(encoded, digest32);
    poa_batch_sig_digest(chain32, digest32, signed32);
    e = suite->verify(key, signed32, sizeof signed32, out->sig);
    if (e)
        return e;
    if (tx_code)
        *tx_code = POA_OK;
    if (encoded.n > POA_BATCH_BYTES_MAX || !out->txs.count)
        return POA_E_BATCH_INVALID;
    struct poa_list_iter it = poa_list_begin(&out->txs);
    for (uint32_t i = 0; poa_raw_tx_next(&it, &raw); i++) {
        struct poa_tx_view *v = views ? &views[i] : &view;
        e = check(chain32, raw.tx, v);
        if (e) {
            if (tx_code)
                *tx_code = e;
            return POA_E_BATCH_INVALID;
        }
    }
    return POA_OK;
}
