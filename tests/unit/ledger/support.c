#include "support.h"

/* --- the fake suite -------------------------------------------------------------- */

static void fake_tag(const uint8_t pk[32], const void *msg, size_t n, uint8_t out[32])
{
    poa_hash2(POA_DOMAIN_SIM, pk, 32, msg, n, out);
}

static int fake_verify(const uint8_t pk[32], const void *msg, size_t n, const uint8_t sig[64])
{
    uint8_t want[32];
    fake_tag(pk, msg, n, want);
    return memcmp(want, sig, 32) || memcmp(want, sig + 32, 32) ? POA_E_SIGNATURE : POA_OK;
}

static void fake_sign(const uint8_t seed[32], const uint8_t pk[32], const void *msg, size_t n,
                      uint8_t sig[64])
{
    (void)seed;
    fake_tag(pk, msg, n, sig);
    memcpy(sig + 32, sig, 32);
}

static int fake_vrf_verify(const uint8_t pk[32], const void *alpha, size_t n, const uint8_t pi[80],
                           uint8_t beta[64])
{
    uint8_t want[32];
    fake_tag(pk, alpha, n, want);
    if (memcmp(want, pi, 32))
        return POA_E_PROOF;
    poa_hash(POA_DOMAIN_SIM, want, 32, beta);
    poa_hash(POA_DOMAIN_SIM, beta, 32, beta + 32);
    return POA_OK;
}

static int fake_vrf_prove(const uint8_t seed[32], const uint8_t pk[32], const void *alpha, size_t n,
                          uint8_t pi[80])
{
    (void)seed;
    memset(pi, 0, 80);
    fake_tag(pk, alpha, n, pi);
    return POA_OK;
}

const struct poa_suite fake_suite = {fake_verify, fake_sign, fake_vrf_verify, fake_vrf_prove,
                                     fake_vrf_verify};

/* --- memory ------------------------------------------------------------------------ */

static void *count_alloc(void *ctx, size_t n)
{
    struct counting *c = ctx;
    if (++c->calls == c->fail_at)
        return NULL;
    void *p = calloc(1, n);
    c->live += p != NULL;
    return p;
}

static void count_free(void *ctx, void *p)
{
    struct counting *c = ctx;
    c->live -= p != NULL;
    free(p);
}

struct poa_alloc counting_alloc(struct counting *c)
{
    return (struct poa_alloc){count_alloc, count_free, c};
}

/* --- genesis ------------------------------------------------------------------------- */

struct setup setup_default(void)
{
    struct setup s = {.suite = &fake_suite, .policy = POA_POLICY_VRF, .witnesses = 4, .devices = 8};
    s.g = (struct poa_genesis){.version = 1,
                               .name = poa_slice("test", 4),
                               .devnet = 1,
                               .time_ms = 1000000,
                               .slot_ms = 1000,
                               .block_min_ms = 1,
                               .heartbeat_ms = 500,
                               .timeout_ms = 500,
                               .timeout_max_ms = 5000,
                               .drift_ms = 500,
                               .epoch_views = 1000000,
                               .window_slots = 16,
                               .seats_per_slot = 3,
                               .seal_slots = 8,
                               .subsidy = 1000003,
                               .miner_bp = 6000,
                               .sealers_bp = 3000,
                               .tip = 10,
                               .fee_min = 5,
                               .fee_per_kib = 1};
    return s;
}

static void key_make(struct key *k, uint8_t kind, uint32_t i)
{
    memset(k, 0, sizeof *k);
    k->seed[0] = kind;
    poa_put_le32(k->seed + 1, i + 1);
    poa_ed25519_public(k->seed, k->pk);
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct key *)a)->pk, ((const struct key *)b)->pk, 32);
}

static int by_address(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

struct poa_op_device device_of(const struct chain *c, uint32_t d, uint32_t m)
{
    struct poa_op_device op = {
        .maker = m + 1, .region = (uint16_t)(d % 5), .meta = poa_slice("kettle", 6)};
    memcpy(op.owner, c->address[1], 32);
    memcpy(op.payout, c->address[2 + d % 2], 32); /* users 2 and 3 are paid */
    poa_device_attest(&poa_suite_ed25519, c->id, c->maker[m].seed, c->device[d].seed, &op);
    return op;
}

void genesis_make(struct chain *c, const struct setup *s)
{
    static const uint8_t no_chain[32];
    static uint8_t lists[4][32768];
    struct poa_genesis g = s->g;
    struct poa_writer w[4];
    uint8_t address[USERS][32];
    for (int i = 0; i < 4; i++)
        w[i] = poa_writer_over(lists[i], sizeof lists[i]);
    g.policy = s->policy;
    memcpy(g.steering, c->address[0], 32);
    memcpy(g.treasury, c->address[5], 32);
    memcpy(address, c->address, sizeof address);
    qsort(address, USERS, 32, by_address);
    for (uint32_t i = 0; i < USERS; i++) {
        struct poa_genesis_account a = {.balance = 1000000000};
        memcpy(a.address, address[i], 32);
        if (!memcmp(address[i], c->address[4], 32) || !memcmp(address[i], c->address[5], 32))
            continue; /* users 4 and 5 start with nothing */
        cr_assert_eq(poa_genesis_account_encode(&w[0], &a), POA_OK);
        g.accounts.count++;
    }
    for (uint32_t i = 0; i < MAKERS - 1; i++) { /* the last is not admitted */
        struct poa_op_maker m = {.maker = i + 1, .name = poa_slice("maker", 5)};
        memcpy(m.key, c->maker[i].pk, 32);
        cr_assert_eq(poa_op_maker_encode(&w[1], &m), POA_OK);
        g.makers.count++;
    }
    for (uint32_t i = 0; i < s->witnesses; i++) {
        struct poa_op_witness x = {.maker = i, .name = poa_slice("witness", 7)};
        memcpy(x.key, c->witness[i].pk, 32);
        memcpy(x.payout, c->address[4], 32);
        cr_assert_eq(poa_op_witness_encode(&w[2], &x), POA_OK);
        g.witnesses.count++;
    }
    for (uint32_t i = 0; i < s->devices; i++) {
        struct poa_op_device d = {.maker = 1 + i % 2, .region = (uint16_t)(i % 5)};
        memcpy(d.owner, c->address[1], 32);
        memcpy(d.payout, c->address[2 + i % 2], 32);
        poa_device_attest(s->suite, no_chain, c->maker[i % 2].seed, c->device[i].seed, &d);
        cr_assert_eq(poa_op_device_encode(&w[3], &d), POA_OK);
        g.devices.count++;
    }
    g.accounts.bytes = poa_written(&w[0]);
    g.makers.bytes = poa_written(&w[1]);
    g.witnesses.bytes = poa_written(&w[2]);
    g.devices.bytes = poa_written(&w[3]);
    struct poa_writer out = poa_writer_over(c->genesis, sizeof c->genesis);
    cr_assert_eq(poa_genesis_encode(&out, &g), POA_OK);
    c->genesis_n = out.n;
    poa_genesis_chain_id(poa_written(&out), c->id);
}

static void keys_make(struct chain *c)
{
    for (uint32_t i = 0; i < USERS; i++) {
        memset(c->user[i].seed, (int)i + 1, 32);
        cr_assert_eq(poa_key_public(POA_KEY_BIP340, c->user[i].seed, c->user[i].pk), POA_OK);
        poa_address_of_key(POA_KEY_BIP340, c->user[i].pk, c->address[i]);
    }
    for (uint32_t i = 0; i < DEVICES; i++)
        key_make(&c->device[i], 1, i);
    for (uint32_t i = 0; i < MAKERS; i++)
        key_make(&c->maker[i], 2, i);
    for (uint32_t i = 0; i < WITNESSES; i++)
        key_make(&c->witness[i], 3, i);
    /* Those in genesis ascend; the rest come later in any order. */
    qsort(c->device, c->s.devices, sizeof c->device[0], by_key);
}

unsigned txs_checked;

static int check_tx(const uint8_t chain32[32], struct poa_slice raw, struct poa_tx_view *out)
{
    txs_checked++;
    return poa_tx_check(chain32, raw, out);
}

void chain_open(struct chain *c, const struct setup *s)
{
    memset(c, 0, sizeof *c);
    c->s = *s;
    c->suite = s->suite;
    keys_make(c);
    genesis_make(c, s);
    struct poa_ledger_config config = {.suite = s->suite,
                                       .alloc = counting_alloc(&c->memory),
                                       .genesis = poa_slice(c->genesis, c->genesis_n),
                                       .salt = 42,
                                       .tx_check = check_tx};
    cr_assert_eq(poa_ledger_new(&config, &c->l), POA_OK);
    cr_assert_arr_eq(poa_ledger_chain(c->l), c->id, 32);
    c->time_ms = s->g.time_ms;
}

void chain_close(struct chain *c)
{
    poa_ledger_free(c->l);
    cr_assert_eq(c->memory.live, 0, "%zu pieces of memory are lost", c->memory.live);
}

/* --- transactions -------------------------------------------------------------------------- */

void op_raw(struct ops *o, uint16_t kind, const struct poa_record *record, const void *value)
{
    uint8_t body[1024];
    struct poa_writer w = poa_writer_over(body, sizeof body);
    struct poa_writer out = poa_writer_over(o->bytes, sizeof o->bytes);
    struct poa_op op = {.kind = kind};
    out.n = o->n;
    cr_assert_eq(poa_record_encode(record, &w, value), POA_OK);
    op.body = poa_written(&w);
    cr_assert_eq(poa_op_encode(&out, &op), POA_OK);
    o->n = out.n;
    o->count++;
}

void op_transfer(struct ops *o, const uint8_t to[32], uint64_t amount)
{
    struct poa_op_transfer t = {.amount = amount};
    memcpy(t.to, to, 32);
    op_raw(o, POA_OP_TRANSFER, &poa_op_transfer_record, &t);
}

void op_anchor(struct ops *o, uint8_t mark)
{
    struct poa_op_anchor a = {.packs = 3, .from_ms = 10, .to_ms = 20};
    memset(a.root, mark, 32);
    op_raw(o, POA_OP_ANCHOR, &poa_op_anchor_record, &a);
}

void op_device(struct ops *o, const struct poa_op_device *d)
{
    op_raw(o, POA_OP_DEVICE_REGISTER, &poa_op_device_record, d);
}

void body_reset(struct body *b)
{
    b->used = b->evidence_bytes = 0;
    b->txs = b->ticket_n = b->seal_n = b->evidence_n = 0;
}

void body_tx(struct body *b, const struct chain *c, uint32_t user, uint64_t nonce, uint64_t fee,
             const struct ops *o)
{
    struct poa_writer w = poa_writer_over(b->bytes + b->used, sizeof b->bytes - b->used);
    struct poa_list list = {poa_slice(o->bytes, o->n), o->count};
    uint8_t id[32];
    cr_assert_lt(b->txs, BODY_TXS);
    cr_assert_eq(
        poa_tx_sign(c->id, POA_KEY_BIP340, c->user[user].seed, nonce, fee, 0, &list, &w, id),
        POA_OK);
    struct poa_tx_view *v = &b->view[b->txs];
    cr_assert_eq(poa_tx_parse(c->id, poa_written(&w), v), POA_OK);
    cr_assert_arr_eq(v->id, id, 32);
    b->used += w.n;
    b->tx[b->txs++] = v;
}

void body_seal(struct body *b, const struct poa_seal *s)
{
    struct poa_writer w = poa_writer_over(b->seals + 148 * b->seal_n++, 148);
    cr_assert_eq(poa_seal_encode(&w, s), POA_OK);
}

void body_ticket(struct body *b, const struct poa_ticket *t)
{
    struct poa_writer w = poa_writer_over(b->tickets + 120 * b->ticket_n++, 120);
    cr_assert_eq(poa_ticket_encode(&w, t), POA_OK);
}

struct poa_seal seal_make(const struct chain *c, uint32_t device, uint64_t slot, uint64_t height,
                          uint32_t epoch, const uint8_t hash[32])
{
    struct poa_seal s = {.epoch = epoch, .slot = slot, .height = height};
    uint8_t digest[32];
    memcpy(s.device, c->device[device].pk, 32);
    memcpy(s.hash, hash, 32);
    poa_seal_digest(c->id, &s, digest);
    c->suite->sign(c->device[device].seed, c->device[device].pk, digest, 32, s.sig);
    return s;
}

struct poa_ticket ticket_make(const struct chain *c, uint32_t device, uint32_t epoch,
                              uint32_t window)
{
    struct poa_ticket t = {.epoch = epoch, .window = window};
    struct poa_st_epoch st;
    uint8_t alpha[32];
    cr_assert_eq(poa_ledger_epoch(c->l, POA_STATE_BASE, epoch, &st, NULL, NULL), POA_OK);
    memcpy(t.device, c->device[device].pk, 32);
    poa_ticket_alpha(c->id, st.seed, epoch, window, alpha);
    cr_assert_eq(
        c->suite->vrf_prove(c->device[device].seed, c->device[device].pk, alpha, 32, t.proof),
        POA_OK);
    return t;
}

/* --- blocks ------------------------------------------------------------------------------------
 */

struct poa_header header_next(const struct chain *c, poa_state_id s, const struct body *b,
                              uint64_t time, struct poa_slice *body)
{
    static uint8_t bytes[POA_BODY_BYTES_MAX];
    static uint8_t buffer[POA_COMMITTEE_BYTES_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_st_global g;
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    uint8_t digest[32] = {1}, key[32], alpha[32];
    struct poa_body out = {.batches = {poa_slice(digest, 0), 0}};
    poa_ledger_global(c->l, s, &g);
    if (b && b->txs)
        out.batches = (struct poa_list){poa_slice(digest, 32), 1};
    if (b) {
        out.tickets = (struct poa_list){poa_slice(b->tickets, 120 * b->ticket_n), b->ticket_n};
        out.seals = (struct poa_list){poa_slice(b->seals, 148 * b->seal_n), b->seal_n};
        out.evidence = (struct poa_list){poa_slice(b->evidence, b->evidence_bytes), b->evidence_n};
    }
    cr_assert_eq(poa_body_encode(&w, &out), POA_OK);
    *body = poa_written(&w);
    struct poa_header h = {.version = 1,
                           .epoch = poa_ledger_next_epoch(c->l, s),
                           .view = c->view + 1,
                           .height = g.height + 1,
                           .parent_view = c->view,
                           .time_ms = c->s.g.time_ms + time};
    if (g.kind == POA_BLOCK_FILLER)
        h.epoch = g.epoch;
    if (h.view > c->s.g.epoch_views)
        h.kind = g.kind == POA_BLOCK_NORMAL || c->fresh ? POA_BLOCK_CLOSING : POA_BLOCK_FILLER;
    if (h.kind == POA_BLOCK_FILLER) {
        h.epoch = g.epoch;
        h.closing_height = g.closing_height;
    }
    memcpy(h.chain, c->id, 32);
    memcpy(h.parent, g.hash, 32);
    poa_body_hash(*body, h.body);
    root_of(c, s, h.state);
    cr_assert_eq(poa_ledger_epoch(c->l, s, h.epoch, &epoch, &committee, NULL), POA_OK);
    h.leader = (uint16_t)(h.view % committee.members.count);
    cr_assert_eq(poa_committee_key(&committee, h.leader, key), POA_OK);
    poa_beacon_alpha(c->id, h.epoch, h.view, epoch.seed, alpha);
    for (uint32_t i = 0; i < WITNESSES; i++)
        if (!memcmp(c->witness[i].pk, key, 32))
            cr_assert_eq(c->suite->vrf_prove(c->witness[i].seed, key, alpha, 32, h.beacon), POA_OK);
    if (h.kind == POA_BLOCK_CLOSING) {
        cr_assert_eq(poa_ledger_next_committee(c->l, s, buffer, &committee), POA_OK);
        poa_committee_hash(&committee, h.next_committee);
    }
    return h;
}

int block_try(struct chain *c, poa_state_id s, const struct poa_header *h, struct poa_slice body,
              const struct body *b, poa_state_id *out, struct poa_block_result *r)
{
    struct poa_block_in in = {
        .header = h, .body = body, .tx = b ? b->tx : NULL, .txs = b ? b->txs : 0};
    poa_header_hash(h, in.hash);
    memset(r, 0, sizeof *r);
    r->tx = b ? (struct poa_tx_result *)(uintptr_t)b->result : NULL;
    return poa_ledger_execute(c->l, s, &in, out, r);
}

struct poa_block_result block_add(struct chain *c, struct body *b, uint64_t time)
{
    struct poa_block_result r;
    struct poa_slice body;
    poa_state_id s;
    cr_assert_eq(poa_ledger_reserve(c->l), POA_OK);
    c->header = header_next(c, POA_STATE_BASE, b, time, &body);
    int e = block_try(c, POA_STATE_BASE, &c->header, body, b, &s, &r);
    cr_assert_eq(e, POA_OK, "%s at height %llu", poa_error_name(e),
                 (unsigned long long)c->header.height);
    cr_assert_eq(poa_ledger_apply(c->l, s), POA_OK);
    poa_header_hash(&c->header, c->hash);
    c->time_ms = c->header.time_ms;
    c->view++;
    return r;
}

uint64_t balance_of(const struct chain *c, const uint8_t address[32])
{
    struct poa_st_account a;
    int e = poa_ledger_read(c->l, POA_STATE_BASE, POA_STATE_ACCOUNT, address, 32, &a);
    return e ? 0 : a.balance;
}

void root_of(const struct chain *c, poa_state_id s, uint8_t out[32])
{
    poa_ledger_root(c->l, s, out);
}

bool audit(const struct chain *c)
{
    bool conserved = false;
    cr_assert_eq(poa_ledger_audit(c->l, &conserved), POA_OK);
    return conserved;
}

uint64_t chain_nonce(const struct chain *c, uint32_t user)
{
    struct poa_st_account a;
    int e = poa_ledger_read(c->l, POA_STATE_BASE, POA_STATE_ACCOUNT, c->address[user], 32, &a);
    return e ? 0 : a.nonce;
}

uint64_t asset_of(const struct chain *c, uint32_t asset, const uint8_t address[32])
{
    struct poa_st_balance b;
    uint8_t key[36];
    if (!asset)
        return balance_of(c, address);
    poa_put_le32(key, asset);
    memcpy(key + 4, address, 32);
    return poa_ledger_read(c->l, POA_STATE_BASE, POA_STATE_BALANCE, key, sizeof key, &b)
               ? 0
               : b.balance;
}

int chain_run(struct chain *c, uint32_t user, uint64_t fee, const struct ops *o, uint64_t time,
              uint8_t id32[32])
{
    static struct body b;
    struct poa_block_result r;
    struct poa_slice body;
    poa_state_id s;
    uint8_t with[32], without[32];
    uint64_t at = c->time_ms - c->s.g.time_ms + time;
    body_reset(&b);
    body_tx(&b, c, user, chain_nonce(c, user), fee, o);
    if (id32)
        memcpy(id32, b.tx[0]->id, 32);
    struct poa_tx_view checked;
    cr_assert_eq(poa_tx_check(c->id, b.tx[0]->raw, &checked), POA_OK);
    int judged = poa_ledger_try_tx(c->l, POA_STATE_BASE, c->s.g.time_ms + at, b.tx[0], 0, 0);
    /* The same block without it, to compare. */
    cr_assert_eq(poa_ledger_reserve(c->l), POA_OK);
    struct poa_header h = header_next(c, POA_STATE_BASE, &b, at, &body);
    struct poa_block_in in = {.header = &h, .hash = {1}, .body = body};
    memset(&r, 0, sizeof r);
    cr_assert_eq(poa_ledger_execute(c->l, POA_STATE_BASE, &in, &s, &r), POA_OK);
    memcpy(without, r.root, 32);
    poa_ledger_drop(c->l, s);
    in.tx = b.tx;
    in.txs = 1;
    r.tx = b.result;
    cr_assert_eq(poa_ledger_execute(c->l, POA_STATE_BASE, &in, &s, &r), POA_OK);
    memcpy(with, r.root, 32);
    poa_ledger_drop(c->l, s);
    cr_assert_eq(!memcmp(with, without, 32), b.result[0].code != POA_OK);
    block_add(c, &b, at);
    cr_assert_eq(judged, b.result[0].code, "the home server says %s, the chain %s",
                 poa_error_name(judged), poa_error_name(b.result[0].code));
    cr_assert(audit(c));
    return b.result[0].code;
}

uint64_t random_next(struct random *r)
{
    r->s ^= r->s << 13;
    r->s ^= r->s >> 7;
    r->s ^= r->s << 17;
    return r->s * 0x2545f4914f6cdd1du;
}

uint64_t random_below(struct random *r, uint64_t n)
{
    return random_next(r) % n;
}
