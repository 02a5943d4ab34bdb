/* Transactions and batches of strangers. What is accepted encodes to the same
 * bytes, its operations decode, its cost is the sum of its parts, and a signed
 * transaction that was changed is never accepted. */
#include "ledger.h"

static const uint8_t *chain(void)
{
    static uint8_t id[32];
    if (!id[0])
        poa_genesis_chain_id(fuzz_genesis(4), id);
    return id;
}

enum mode { RAW, SAME_CHAIN, CHANGED, BUILT, BATCH, MODES };

/* What an operation takes of the native asset. */
static uint64_t spends(uint16_t kind, const void *body)
{
    const struct poa_op_transfer *t = body;
    const struct poa_op_purchase *p = body;
    const struct poa_op_escrow *e = body;
    const struct poa_op_buy *b = body;
    switch (kind) {
    case POA_OP_TRANSFER:
        FUZZ_CHECK(t->amount);
        return t->asset ? 0 : t->amount;
    case POA_OP_PURCHASE:
        FUZZ_CHECK(p->amount);
        return p->asset ? 0 : p->amount;
    case POA_OP_ESCROW_OPEN:
        FUZZ_CHECK(e->amount && e->slots);
        return e->asset ? 0 : e->amount;
    case POA_OP_DATA_BUY:
        FUZZ_CHECK(b->price);
        return b->asset ? 0 : b->price;
    default:
        return 0;
    }
}

static void check_view(struct poa_slice raw, const struct poa_tx_view *v)
{
    uint8_t *again = malloc(raw.n);
    FUZZ_CHECK(again != NULL);
    struct poa_writer w = poa_writer_over(again, raw.n);
    FUZZ_CHECK(!poa_tx_encode(&w, &v->tx));
    FUZZ_CHECK(poa_slice_equal(poa_written(&w), raw) && poa_slice_equal(v->raw, raw));
    free(again);
    struct poa_list_iter it = poa_list_begin(&v->tx.ops);
    struct poa_op op;
    uint64_t sum = v->tx.fee;
    while (poa_op_next(&it, &op)) {
        uint64_t body[96];
        const struct poa_record *rec = poa_op_record_of(op.kind);
        FUZZ_CHECK(rec && rec->size <= sizeof body);
        FUZZ_CHECK(!poa_record_decode(rec, op.body, body));
        uint64_t spent = spends(op.kind, body);
        FUZZ_CHECK(sum + spent >= sum);
        sum += spent;
    }
    FUZZ_CHECK(v->cost == sum && v->tx.ops.count);
}

/* Both checks of RAW; true when the signatures hold too. */
static bool check_tx(struct poa_slice bytes)
{
    uint8_t *exact = fuzz_copy(bytes.p, bytes.n);
    struct poa_slice raw = poa_slice(exact, bytes.n);
    struct poa_tx_view v, parsed;
    int e = poa_tx_check(chain(), raw, &v), p = poa_tx_parse(chain(), raw, &parsed);
    FUZZ_CHECK(e <= 0 && p <= 0 && (e || !p));
    if (!p)
        check_view(raw, &parsed);
    if (!e) {
        check_view(raw, &v);
        FUZZ_CHECK(!memcmp(v.id, parsed.id, 32));
    }
    free(exact);
    return !e;
}

/* Operations from the input, signed as they are. */
static void check_built(struct fuzz_in *in)
{
    static uint8_t ops[70000], out[80000];
    struct poa_writer w = poa_writer_over(ops, sizeof ops), o = poa_writer_over(out, sizeof out);
    uint8_t seed[32], key[32], id[32], type = fuzz_u8(in) & 1 ? POA_KEY_BIP340 : POA_KEY_ED25519;
    uint64_t fee = fuzz_u64(in);
    uint32_t count = 0;
    fuzz_identity(41, seed, key);
    while (in->n && count < 70) {
        struct poa_op op = {.kind = fuzz_u16(in)};
        op.body = fuzz_chunk(in);
        if (op.body.n > 1024)
            op.body.n = 1024;
        FUZZ_CHECK(!poa_op_encode(&w, &op));
        count++;
    }
    const struct poa_list list = {poa_written(&w), count};
    if (poa_tx_sign(chain(), type, seed, 0, fee, 0, &list, &o, id))
        return;
    check_tx(poa_written(&o));
}

static void check_batch(struct fuzz_in *in)
{
    static struct fuzz_committee f;
    static struct poa_tx_view views[POA_BATCH_TXS_MAX];
    if (!f.c.members.count)
        fuzz_committee(&f, 5, 4);
    poa_tx_check_fn *check = fuzz_u8(in) & 1 ? poa_tx_check : poa_tx_parse;
    struct poa_slice bytes = poa_slice(in->p, in->n);
    struct poa_batch b;
    uint8_t digest[32];
    int code = 1;
    int e = poa_batch_check(&fuzz_suite, chain(), &f.c, bytes, check, &b, digest, views, &code);
    FUZZ_CHECK(poa_batch_check(&fuzz_suite, chain(), &f.c, bytes, check, &b, digest, NULL, NULL) ==
               e);
    if (e)
        return;
    FUZZ_CHECK(!code && b.txs.count && b.author < 4);
    for (uint32_t i = 0; i < b.txs.count; i++)
        check_view(views[i].raw, &views[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    enum mode mode = fuzz_u8(&in) % MODES;
    switch (mode) {
    case RAW:
        check_tx(poa_slice(in.p, in.n));
        break;
    case SAME_CHAIN: {
        uint8_t *copy = fuzz_copy(in.p, in.n);
        if (in.n >= 4)
            memcpy(copy, chain(), 4);
        check_tx(poa_slice(copy, in.n));
        free(copy);
        break;
    }
    case CHANGED: {
        uint8_t tx[512], id[32];
        uint8_t nonce = fuzz_u8(&in), amount = fuzz_u8(&in);
        size_t n = fuzz_transfer(chain(), 1, nonce, 1u + amount, tx, sizeof tx, id);
        uint16_t at = fuzz_u16(&in);
        uint8_t change = fuzz_u8(&in), cut = fuzz_u8(&in);
        tx[at % n] ^= change;
        FUZZ_CHECK(check_tx(poa_slice(tx, n - cut % n)) == (!change && !(cut % n)));
        break;
    }
    case BUILT:
        check_built(&in);
        break;
    case BATCH:
        check_batch(&in);
        break;
    case MODES:
        break;
    }
    return 0;
}

void fuzz_seeds(void)
{
    static uint8_t buffer[8192], tx[512];
    uint8_t id[32], seed[32], key[32], maker_seed[32];
    struct poa_writer w;
    size_t n = fuzz_transfer(chain(), 0, 7, 100, tx, sizeof tx, id);
#define BEGIN(mode) w = poa_writer_over(buffer, sizeof buffer), poa_write_u8(&w, mode)
    BEGIN(RAW);
    poa_write(&w, tx, n);
    fuzz_seed("transfer", w.p, w.n);
    BEGIN(SAME_CHAIN);
    poa_write(&w, tx, n);
    fuzz_seed("transfer-same-chain", w.p, w.n);
    static const uint8_t changed[][7] = {{CHANGED, 1, 9, 0, 0, 0, 0}, {CHANGED, 1, 9, 80, 0, 4, 0}};
    fuzz_seed("unchanged", changed[0], sizeof changed[0]);
    fuzz_seed("changed", changed[1], sizeof changed[1]);

    /* Every operation, valid. */
    struct poa_op_transfer transfer = {.amount = 5};
    struct poa_op_device device = {.maker = 1};
    struct poa_op_maker maker = {.maker = 2, .name = {(const uint8_t *)"m", 1}};
    struct poa_op_witness witness = {.maker = 2, .name = {(const uint8_t *)"w", 1}};
    struct poa_op_witness_leave leave = {{0}};
    struct poa_op_anchor anchor = {.packs = 1, .from_ms = 1, .to_ms = 2};
    uint8_t change_bytes[64];
    struct poa_writer changes = poa_writer_over(change_bytes, sizeof change_bytes);
    struct poa_param_change change = {.param = POA_PARAM_FEE_MIN, .value = 5};
    FUZZ_CHECK(!poa_param_change_encode(&changes, &change));
    struct poa_op_params params = {.changes = {poa_written(&changes), 1}};
    struct poa_op_purchase purchase = {.amount = 5};
    struct poa_op_asset asset = {.asset = 3, .name = {(const uint8_t *)"A", 1}, .max = 9};
    struct poa_op_mint mint = {.asset = 3, .amount = 4};
    struct poa_op_escrow escrow = {.amount = 5, .slots = 10, .commerce = 1};
    struct poa_op_escrow_id escrow_id = {{1}};
    struct poa_op_offer offer = {
        .price = 5, .slots = 9, .dispute_slots = 9, .title = {(const uint8_t *)"t", 1}};
    struct poa_op_buy buy = {.price = 5};
    struct poa_op_deliver deliver = {{1}, {2}};
    struct poa_op_dispute dispute = {{1}, {2}};
    struct poa_op_offer_id offer_id = {{1}};
    uint8_t terms_bytes[256];
    struct poa_writer terms_w = poa_writer_over(terms_bytes, sizeof terms_bytes);
    struct poa_terms terms = {
        .nature = POA_NATURE_GOODS, .deliveries = 2, .first_ms = 1, .every_ms = 1};
    FUZZ_CHECK(!poa_terms_encode(&terms_w, &terms));
    struct poa_op_transfer agreed = {.amount = 5, .terms = poa_written(&terms_w)};
    fuzz_identity(20, maker_seed, key);
    fuzz_identity(33, seed, key);
    poa_device_attest(&poa_suite_ed25519, chain(), maker_seed, seed, &device);
    memcpy(maker.key, key, 32);
    memcpy(witness.key, key, 32);
    const struct {
        const struct poa_record *rec;
        const void *r;
        const char *name;
        uint16_t kind;
    } op[] = {{&poa_op_transfer_record, &transfer, "built-transfer", POA_OP_TRANSFER},
              {&poa_op_device_record, &device, "built-device", POA_OP_DEVICE_REGISTER},
              {&poa_op_maker_record, &maker, "built-maker", POA_OP_MAKER_ADD},
              {&poa_op_witness_record, &witness, "built-witness", POA_OP_WITNESS_ADD},
              {&poa_op_witness_leave_record, &leave, "built-leave", POA_OP_WITNESS_LEAVE},
              {&poa_op_anchor_record, &anchor, "built-anchor", POA_OP_ANCHOR},
              {&poa_op_params_record, &params, "built-params", POA_OP_PARAM_SET},
              {&poa_op_transfer_record, &agreed, "built-terms", POA_OP_TRANSFER},
              {&poa_op_purchase_record, &purchase, "built-purchase", POA_OP_PURCHASE},
              {&poa_op_asset_record, &asset, "built-asset", POA_OP_ASSET_CREATE},
              {&poa_op_mint_record, &mint, "built-mint", POA_OP_ASSET_MINT},
              {&poa_op_escrow_record, &escrow, "built-escrow", POA_OP_ESCROW_OPEN},
              {&poa_op_escrow_id_record, &escrow_id, "built-release", POA_OP_ESCROW_RELEASE},
              {&poa_op_escrow_id_record, &escrow_id, "built-refund", POA_OP_ESCROW_REFUND},
              {&poa_op_offer_record, &offer, "built-offer", POA_OP_DATA_OFFER},
              {&poa_op_buy_record, &buy, "built-buy", POA_OP_DATA_BUY},
              {&poa_op_deliver_record, &deliver, "built-deliver", POA_OP_DATA_DELIVER},
              {&poa_op_dispute_record, &dispute, "built-dispute", POA_OP_DATA_DISPUTE},
              {&poa_op_offer_id_record, &offer_id, "built-close", POA_OP_DATA_CLOSE}};
    for (size_t i = 0; i < sizeof op / sizeof op[0]; i++) {
        uint8_t body[1024];
        struct poa_writer b = poa_writer_over(body, sizeof body);
        FUZZ_CHECK(!poa_record_encode(op[i].rec, &b, op[i].r));
        BEGIN(BUILT);
        poa_write_u8(&w, (uint8_t)i);
        poa_write_u64(&w, 10);
        poa_write_u16(&w, op[i].kind);
        fuzz_put_chunk(&w, poa_written(&b));
        fuzz_seed(op[i].name, w.p, w.n);
    }

    uint8_t list[1200];
    struct poa_writer l = poa_writer_over(list, sizeof list);
    for (uint32_t i = 0; i < 2; i++) {
        struct poa_raw_tx raw = {poa_slice(tx, n)};
        FUZZ_CHECK(!poa_raw_tx_encode(&l, &raw));
    }
    struct poa_batch batch = {
        .epoch = 5, .author = 2, .seq = 1, .txs = {poa_written(&l), 2}, .sig = {FUZZ_VALID}};
    for (uint8_t check = 0; check < 2; check++) {
        BEGIN(BATCH);
        poa_write_u8(&w, check);
        FUZZ_CHECK(!poa_batch_encode(&w, &batch));
        fuzz_seed(check ? "batch-checked" : "batch-parsed", w.p, w.n);
    }
}
