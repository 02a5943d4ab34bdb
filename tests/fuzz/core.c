/* Cores in any order of events. Real cores talk to one another through a
 * network that the input rules; the input also changes, repeats, drops and
 * invents messages, and speaks for one member and for strangers.
 *
 *   flags bit 0   one core that is its own committee, else three of four
 *   flags bit 1   the input cannot forge the signatures of the real cores: then
 *                 they must never commit two blocks of one height, nor halt
 *   flags bit 2   writes become durable late
 *
 * Always: no panic, no allocation in a step, memory within a bound, effects of
 * the documented shape. */
#include "world.h"

#define BUNDLES 8

/* --- what the input says ------------------------------------------------------------------ */

#define BYZANTINE 3 /* committee index of the member without a core */

/* Signs as the member without a core, or, when anybody can forge, as anybody. */
static uint16_t author(struct fuzz_in *in)
{
    uint16_t m = fuzz_u8(in) % (w.members + 1);
    return w.members == 1 ? 0 : w.sound || m >= w.members ? BYZANTINE : m;
}
static void sign_as(uint16_t member, const uint8_t digest[32], uint8_t sig[64])
{
    uint8_t seed[32], key[32];
    fuzz_identity((uint8_t)(member + 1), seed, key);
    if (w.members == 1 && w.sound)
        key[0] ^= 1; /* no member is ours */
    w.suite->sign(seed, key, digest, 32, sig);
}
static uint64_t view_near(struct fuzz_in *in)
{
    struct poa_core_status s;
    poa_core_status(w.node[0].core, &s);
    return s.view + (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
}
static uint32_t epoch_near(uint8_t op)
{
    struct poa_core_status s;
    poa_core_status(w.node[0].core, &s);
    return s.epoch + (op >> 7);
}
static void hash_near(struct fuzz_in *in, uint8_t hash[32])
{
    uint8_t i = fuzz_u8(in);
    if (i < 200)
        memcpy(hash, recent[i % 16], 32);
    else
        memset(hash, i, 32);
}
/* From outside: nobody else speaks under a core's own number, which a driver
 * gives only to what the core sent itself. */
static void inject(uint16_t from, unsigned to, uint16_t type, struct poa_slice bytes)
{
    deliver_bytes(from == to || from >= w.members ? POA_PEER_OTHER : from, to, type, bytes);
}
static void to_all(uint16_t from, uint16_t type, struct poa_slice bytes)
{
    for (unsigned i = 0; i < w.cores; i++)
        inject(from, i, type, bytes);
}

static void vote(struct fuzz_in *in, uint8_t op)
{
    uint8_t bytes[256], digest[32];
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    struct poa_vote v = {.kind = (op >> 4) % 3, .epoch = epoch_near(op), .voter = author(in)};
    v.view = view_near(in);
    if (v.kind != POA_VOTE_NULLIFY)
        hash_near(in, v.hash);
    poa_vote_digest(w.chain, v.kind, v.epoch, v.view, v.hash, digest);
    sign_as(v.voter, digest, v.sig);
    FUZZ_CHECK(!poa_vote_encode(&o, &v));
    to_all(v.voter, POA_MSG_VOTE, poa_written(&o));
}

static void cert(struct fuzz_in *in, uint8_t op)
{
    static uint8_t sigs[64 * 4];
    uint8_t bytes[512], digest[32];
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    struct poa_cert c = {.kind = (op >> 4) % 3, .epoch = epoch_near(op)};
    c.view = view_near(in);
    if (c.kind != POA_VOTE_NULLIFY)
        hash_near(in, c.hash);
    c.signers[0] = fuzz_u8(in) & 15;
    poa_vote_digest(w.chain, c.kind, c.epoch, c.view, c.hash, digest);
    for (uint16_t m = 0; m < 4; m++)
        if (c.signers[0] >> m & 1)
            sign_as(w.sound ? BYZANTINE : m, digest, sigs + 64 * c.sigs.count++);
    c.sigs.bytes = poa_slice(sigs, (size_t)64 * c.sigs.count);
    FUZZ_CHECK(!poa_cert_encode(&o, &c));
    to_all(fuzz_u8(in) & 1 ? BYZANTINE : POA_PEER_OTHER, POA_MSG_CERT, poa_written(&o));
}

/* A proposal that passed by, with fields of the header and the body replaced,
 * signed again. */
static void proposal(struct fuzz_in *in, uint8_t op)
{
    static uint8_t body[8192], bytes[32768];
    uint8_t header[POA_HEADER_BYTES], hash[32], digest[32], seed[32], key[32], alpha[32];
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    struct poa_lottery lottery;
    struct poa_writer hw = poa_writer_over(header, sizeof header);
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    struct poa_proposal p;
    struct poa_header h;
    const struct mail *m = NULL;
    for (unsigned i = 0; i < w.mails && !m; i++)
        if (w.mail[i].type == POA_MSG_PROPOSAL)
            m = &w.mail[i];
    if (!m || poa_proposal_decode(poa_slice(m->bytes, m->n), &p) || poa_header_decode(p.header, &h))
        return;
    for (unsigned i = op >> 4; i; i--) {
        switch (fuzz_u8(in) % 12) {
        case 0:
            h.kind = fuzz_u8(in) % 3;
            break;
        case 1:
            h.view = view_near(in);
            break;
        case 2:
            h.height += (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
            break;
        case 3:
            hash_near(in, h.parent);
            break;
        case 4:
            h.parent_view = view_near(in);
            break;
        case 5:
            h.time_ms += (uint64_t)(int64_t)(int32_t)fuzz_u32(in);
            break;
        case 6:
            h.state[0] ^= fuzz_u8(in);
            break;
        case 7:
            h.closing_height = fuzz_u8(in);
            break;
        case 8:
            hash_near(in, h.next_committee);
            break;
        case 9:
            h.time_ms = fuzz_u64(in);
            break;
        case 10:
        case 11: { /* any body that can be decoded */
            struct poa_body b;
            struct poa_slice s = fuzz_chunk(in);
            if (s.n <= sizeof body && !poa_body_decode(s, &b)) {
                memcpy(body, s.p, s.n);
                p.body = poa_slice(body, s.n);
                poa_body_hash(p.body, h.body);
            }
            break;
        }
        }
    }
    h.leader = author(in);
    fuzz_identity((uint8_t)(h.leader + 1), seed, key);
    if (!poa_ledger_epoch(poa_core_ledger(w.node[0].core), POA_STATE_BASE, h.epoch, &epoch,
                          &committee, &lottery)) {
        poa_beacon_alpha(w.chain, h.epoch, h.view, epoch.seed, alpha);
        (void)w.suite->vrf_prove(seed, key, alpha, sizeof alpha, h.beacon);
    }
    if (poa_header_encode(&hw, &h))
        return;
    poa_header_hash(&h, hash);
    memcpy(recent[recents++ % 16], hash, 32);
    poa_proposal_digest(hash, digest);
    sign_as(h.leader, digest, p.sig);
    p.header = poa_written(&hw);
    if (!poa_proposal_encode(&o, &p))
        to_all(h.leader, POA_MSG_PROPOSAL, poa_written(&o));
}

/* A list of transactions, valid ones of account OP and perhaps a broken one. */
static uint32_t transfers(struct fuzz_in *in, uint8_t op, struct poa_writer *o)
{
    uint32_t n = 1u + (op >> 4 & 3);
    uint8_t account = (op >> 6) % FUZZ_ACCOUNTS;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t tx[512], id[32], how = fuzz_u8(in);
        uint64_t nonce = how & 1 ? how >> 1 : w.nonce[account]++;
        size_t size = fuzz_transfer(w.chain, account, nonce, 1u + how, tx, sizeof tx, id);
        if (how == 255)
            tx[fuzz_u16(in) % size] ^= 1;
        const struct poa_raw_tx raw = {poa_slice(tx, size)};
        FUZZ_CHECK(!poa_raw_tx_encode(o, &raw));
    }
    return n;
}

static void txs(struct fuzz_in *in, uint8_t op, bool message)
{
    static uint8_t list[4096], bytes[4200];
    struct poa_writer l = poa_writer_over(list, sizeof list),
                      o = poa_writer_over(bytes, sizeof bytes);
    uint32_t n = transfers(in, op, &l);
    const struct poa_txs t = {{poa_written(&l), n}};
    FUZZ_CHECK(!poa_txs_encode(&o, &t));
    unsigned to = fuzz_u8(in) % w.cores;
    if (message)
        inject(BYZANTINE, to, POA_MSG_TX, poa_written(&o));
    else
        tx_event(to, POA_PEER_OTHER, poa_written(&o));
}

static void batch(struct fuzz_in *in, uint8_t op)
{
    static uint8_t list[4096], bytes[4400];
    uint8_t digest[32], signed32[32];
    struct poa_writer l = poa_writer_over(list, sizeof list),
                      o = poa_writer_over(bytes, sizeof bytes);
    uint32_t n = transfers(in, op, &l);
    struct poa_batch b = {
        .epoch = epoch_near(0), .author = author(in), .txs = {poa_written(&l), n}};
    b.seq = fuzz_u16(in);
    b.expires_ms = w.now.wall_ms + (uint64_t)(int64_t)(int32_t)fuzz_u32(in);
    FUZZ_CHECK(!poa_batch_encode(&o, &b));
    poa_batch_digest(poa_written(&o), digest);
    poa_batch_sig_digest(w.chain, digest, signed32);
    sign_as(b.author, signed32, b.sig);
    o.n = 0;
    FUZZ_CHECK(!poa_batch_encode(&o, &b));
    to_all(b.author, POA_MSG_BATCH, poa_written(&o));
    if (fuzz_u8(in) & 1) { /* and says that it holds it */
        struct poa_writer a = poa_writer_over(list, sizeof list);
        const struct poa_batch_ack ack = {b.epoch, {poa_slice(digest, 32), 1}};
        FUZZ_CHECK(!poa_batch_ack_encode(&a, &ack));
        to_all(BYZANTINE, POA_MSG_BATCH_ACK, poa_written(&a));
    }
}

static void mining(struct fuzz_in *in, uint8_t op)
{
    uint8_t tickets[1024], seals[1024], bytes[4096], digest[32], alpha[32], seed[32];
    struct poa_writer t = poa_writer_over(tickets, sizeof tickets),
                      s = poa_writer_over(seals, sizeof seals),
                      o = poa_writer_over(bytes, sizeof bytes);
    struct poa_mining m = {.tickets = {.count = op >> 4 & 3}, .seals = {.count = op >> 6}};
    struct poa_st_epoch epoch;
    struct poa_committee committee;
    struct poa_lottery lottery;
    struct poa_core_status status;
    poa_core_status(w.node[0].core, &status);
    if (poa_ledger_epoch(poa_core_ledger(w.node[0].core), POA_STATE_BASE, status.epoch, &epoch,
                         &committee, &lottery))
        return;
    for (uint32_t i = 0; i < m.tickets.count; i++) {
        struct poa_ticket x = {.epoch = status.epoch, .window = fuzz_u8(in) % 4};
        fuzz_identity((uint8_t)(30 + fuzz_u8(in) % (FUZZ_DEVICES + 1)), seed, x.device);
        poa_ticket_alpha(w.chain, epoch.seed, x.epoch, x.window, alpha);
        (void)w.suite->vrf_prove(seed, x.device, alpha, sizeof alpha, x.proof);
        FUZZ_CHECK(!poa_ticket_encode(&t, &x));
    }
    for (uint32_t i = 0; i < m.seals.count; i++) {
        struct poa_seal x = {.epoch = status.epoch, .slot = fuzz_u8(in) % 32};
        struct poa_st_slot slot;
        uint8_t key[8];
        uint8_t device = fuzz_u8(in);
        poa_put_le64(key, x.slot);
        fuzz_identity((uint8_t)(30 + device % (FUZZ_DEVICES + 1)), seed, x.device);
        if (!poa_ledger_read(poa_core_ledger(w.node[0].core), POA_STATE_BASE, POA_STATE_SLOT, key,
                             sizeof key, &slot)) {
            struct poa_st_seat seat;
            x.height = slot.height;
            x.epoch = slot.epoch;
            memcpy(x.hash, slot.hash, 32);
            if (device > 128 && slot.seats.count &&
                !poa_list_at(&poa_st_seat_record, &slot.seats, device % slot.seats.count, &seat))
                memcpy(x.device, seat.device, 32);
        }
        poa_seal_digest(w.chain, &x, digest);
        w.suite->sign(seed, x.device, digest, 32, x.sig);
        FUZZ_CHECK(!poa_seal_encode(&s, &x));
    }
    m.tickets.bytes = poa_written(&t);
    m.seals.bytes = poa_written(&s);
    FUZZ_CHECK(!poa_mining_encode(&o, &m));
    int codes[8] = {0};
    const struct poa_event e = {
        .kind = POA_EVENT_MINING, .peer = POA_PEER_OTHER, .bytes = poa_written(&o), .codes = codes};
    step(fuzz_u8(in) % w.cores, &e);
}

/* Blocks of a server that is not to be trusted. */
static void bundle(struct fuzz_in *in)
{
    struct poa_slice s = fuzz_chunk(in);
    struct poa_blocks r;
    struct poa_block blk;
    struct checked *held[BUNDLES];
    struct poa_checked_batch batches[BUNDLES];
    uint32_t n = 0;
    uint8_t *exact = fuzz_copy(s.p, s.n);
    if (!poa_blocks_decode(poa_slice(exact, s.n), &r)) {
        struct poa_list_iter it = poa_list_begin(&r.blocks);
        bool whole = true;
        while (poa_block_next(&it, &blk)) {
            struct poa_list_iter raws = poa_list_begin(&blk.batches);
            struct poa_raw_batch raw;
            while (poa_raw_batch_next(&raws, &raw)) {
                struct poa_batch b;
                if (n == BUNDLES || poa_batch_decode(raw.batch, &b)) {
                    whole = false; /* a node gives such a bundle up */
                    continue;
                }
                held[n] = check_batch(raw.batch, NULL, true);
                batches[n] = held[n]->batch;
                n++;
            }
        }
        const struct poa_event e = {.kind = POA_EVENT_BLOCK,
                                    .peer = POA_PEER_OTHER,
                                    .bytes = poa_slice(exact, s.n),
                                    .batch = batches,
                                    .batches = n};
        if (whole)
            step(0, &e);
        for (uint32_t i = 0; i < n; i++)
            checked_free(held[i]);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in);
    begin(flags);
    restore(&in, flags);
    while (in.n && w.steps < STEPS) {
        uint8_t op = fuzz_u8(&in);
        switch (op & 15) {
        case 0:
            for (unsigned k = 1u + (op >> 4) * 4; k; k--)
                run_once();
            break;
        case 1:
            deliver(fuzz_u8(&in) % QUEUE);
            break;
        case 2: { /* a message changed on its way */
            unsigned i = fuzz_u8(&in), to = fuzz_u8(&in) % w.cores;
            uint16_t at = fuzz_u16(&in);
            uint8_t change = fuzz_u8(&in);
            if (!w.mails)
                break;
            struct mail *m = &w.mail[i % w.mails];
            uint8_t *copy = fuzz_copy(m->bytes, m->n);
            size_t n = op & 16 ? at % (m->n + 1) : m->n;
            if (n)
                copy[at % n] ^= change;
            uint16_t from = op & 32 ? m->from : op & 64 ? POA_PEER_OTHER : BYZANTINE;
            uint16_t type = op & 128 ? fuzz_u8(&in) : m->type;
            inject(from, to, type, poa_slice(copy, n));
            free(copy);
            break;
        }
        case 3: {
            uint16_t type = fuzz_u8(&in);
            uint16_t from = op & 16 ? POA_PEER_OTHER : fuzz_u8(&in) % w.members;
            unsigned to = op >> 5 & 1 ? 0 : fuzz_u8(&in) % w.cores;
            inject(from, to, type, fuzz_chunk(&in));
            break;
        }
        case 4:
            txs(&in, op, false);
            break;
        case 5:
            txs(&in, op, true);
            break;
        case 6:
            vote(&in, op);
            break;
        case 7:
            cert(&in, op);
            break;
        case 8:
            proposal(&in, op);
            break;
        case 9:
            batch(&in, op);
            break;
        case 10:
            mining(&in, op);
            break;
        case 11:
            if (w.mails)
                drop(fuzz_u8(&in) % w.mails);
            break;
        case 12: {
            uint32_t us = fuzz_u32(&in) >> (op >> 4);
            w.now.us += us;
            w.now.wall_ms += us / 1000;
            tick(fuzz_u8(&in) % w.cores);
            break;
        }
        case 13:
            bundle(&in);
            break;
        case 14:
            if (w.mails) {
                struct mail *m = &w.mail[fuzz_u8(&in) % w.mails];
                uint8_t *copy = fuzz_copy(m->bytes, m->n);
                size_t n = m->n;
                uint16_t from = m->from, type = m->type;
                deliver_bytes(from, m->to, type, poa_slice(copy, n)); /* twice */
                to_all(from, type, poa_slice(copy, n));
                free(copy);
            }
            break;
        case 15:
            durable((op >> 4) % w.cores);
            break;
        }
    }
    end();
    return 0;
}

void fuzz_seeds(void)
{
    for (uint8_t flags = 0; flags < 8; flags++) {
        /* Blocks; transfers; a ticket and seals; votes, certificates, proposals,
         * batches of the last member; a changed, a dropped and a doubled message. */
        uint8_t ops[] = {flags, 0x70, 0x34, 2,    4,   6,    0,    0xf0, 0x7a, 1,    0,    2,
                         1,     3,    2,    1,    200, 0,    0xf0, 0x06, 3,    1,    0,    0x40,
                         0x17,  1,    1,    15,   1,   0x40, 0x18, 5,    100,  0,    0,    0,
                         3,     0x40, 0x29, 2,    4,   6,    3,    1,    0,    255,  255,  0,
                         0,     1,    0xf0, 0x22, 0,   1,    9,    0,    4,    0x40, 0x0b, 0,
                         0x0e,  1,    0x0c, 0,    0,   32,   0,    1,    0xf0, 0xf0};
        char name[] = "mixed-0";
        name[6] = (char)('0' + flags);
        fuzz_seed(name, ops, sizeof ops);
        uint8_t calm[12];
        memset(calm, 0xf0, sizeof calm);
        calm[0] = flags;
        name[0] = 'c', name[1] = 'a', name[2] = 'l', name[3] = 'm', name[4] = '-';
        name[5] = (char)('0' + flags), name[6] = 0;
        fuzz_seed(name, calm, sizeof calm);
    }
    /* Every message type, by a member and a stranger, in a minimal encoding. */
    static const struct {
        const char *name;
        uint8_t type;
    } types[] = {
#define ROW(NAME, number, prio, rec, text) {#NAME, number},
        POA_MESSAGES(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint8_t ops[200] = {1, 0x30, 3, types[i].type, 0, 0, 120, 0};
        char name[40];
        snprintf(name, sizeof name, "zeros-%s", types[i].name);
        fuzz_seed(name, ops, 8 + 120);
    }
    /* Views up to the last number there is. */
    uint8_t certs[40];
    struct poa_writer o = poa_writer_over(certs, sizeof certs);
    poa_write(&o, (const uint8_t[]){0, 3, POA_MSG_GET_CERTS, BYZANTINE, 0, 20, 0}, 7);
    poa_write_u32(&o, 0);
    poa_write_u64(&o, UINT64_MAX - 63);
    poa_write_u64(&o, UINT64_MAX);
    fuzz_seed("get-certs-to-the-end", certs, o.n);
}
