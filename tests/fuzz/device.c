/* A device before a gateway that is hostile, broken, or honest with its words
 * in the wrong order: raw bytes, or any messages under the right session keys.
 * It must never seal a slot twice, and must speak well-formed frames. */
#include "poa_device.h"
#include "suite.h"

#define EPOCH 5
static const uint8_t chain[32] = {1, 2, 3};

static struct {
    bool ready;
    uint8_t seed[32], key[32], gateway_seed[32], gateway_key[32], x_sk[32], x_pk[32], entropy[32];
    struct fuzz_committee committee, next;
} world;

/* The device under test and its gateway's end. Static, because the device's
 * committee points into the struct: a copy may only be put back in place. */
static struct poa_device device;
static struct poa_session gateway;
static uint8_t rx[POA_DEVICE_RX_MIN], tx[4096];
static struct {
    uint8_t mark[POA_EDGE_MARK_BYTES], trust[POA_DEVICE_TRUST_MAX];
    size_t mark_n, trust_n;
    bool have_mark, fail, keyed;
    struct poa_edge_mark last;
    uint32_t sealed, alarms;
} side;
static struct poa_device_time now;

static int load(const uint8_t *from, size_t from_n, uint8_t *buffer, size_t cap, size_t *n)
{
    FUZZ_CHECK(from_n <= cap);
    memcpy(buffer, from, from_n);
    *n = from_n;
    return from_n ? POA_OK : POA_E_NOT_FOUND;
}
static int load_mark(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    (void)ctx;
    return load(side.mark, side.mark_n, buffer, cap, n);
}
static int load_trust(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    (void)ctx;
    return load(side.trust, side.trust_n, buffer, cap, n);
}
static int store_mark(void *ctx, const uint8_t *bytes, size_t n)
{
    struct poa_edge_mark m;
    (void)ctx;
    FUZZ_CHECK(n <= sizeof side.mark && !poa_edge_mark_decode(poa_slice(bytes, n), &m));
    if (side.fail)
        return POA_E_IO;
    if (side.have_mark && !memcmp(m.chain, side.last.chain, 32))
        FUZZ_CHECK(m.slot > side.last.slot && m.height > side.last.height);
    memcpy(side.mark, bytes, n);
    side.mark_n = n;
    side.last = m;
    side.have_mark = true;
    return POA_OK;
}
static int store_trust(void *ctx, const uint8_t *bytes, size_t n)
{
    struct poa_edge_trust t;
    (void)ctx;
    FUZZ_CHECK(n <= sizeof side.trust && !poa_edge_trust_decode(poa_slice(bytes, n), &t));
    if (side.fail)
        return POA_E_IO;
    memcpy(side.trust, bytes, n);
    side.trust_n = n;
    return POA_OK;
}
/* As the ledger's, but any proof that begins with FUZZ_VALID is one. */
static int proof_check(const uint8_t root32[32], uint8_t table, struct poa_slice key,
                       struct poa_slice value, struct poa_slice proof)
{
    (void)root32;
    (void)table;
    (void)key;
    (void)value;
    return proof.n && proof.p[0] == FUZZ_VALID ? POA_OK : POA_E_PROOF;
}
static void on_event(void *ctx, const struct poa_device_event *e)
{
    (void)ctx;
    FUZZ_CHECK(e->code <= 0);
    if (e->kind == POA_DEVICE_SEALED) {
        FUZZ_CHECK(side.have_mark && side.last.slot == e->slot && side.last.height == e->height);
        FUZZ_CHECK(!memcmp(side.last.hash, e->hash, 32));
        side.sealed++;
    }
    side.alarms += e->kind == POA_DEVICE_ALARM;
}

static const struct poa_edge_params params = {.slot_ms = 1000,
                                              .window_slots = 8,
                                              .seats_per_slot = 1000,
                                              .seal_slots = 64,
                                              .drift_ms = 1000,
                                              .policy = POA_EDGE_POLICY_RANDOM};

static void begin(void)
{
    if (!world.ready) {
        fuzz_identity(50, world.seed, world.key);
        fuzz_identity(60, world.gateway_seed, world.gateway_key);
        poa_ed25519_seed_to_x25519(world.gateway_seed, world.x_sk);
        poa_x25519_public(world.x_sk, world.x_pk);
        memset(world.entropy, 8, sizeof world.entropy);
        fuzz_committee(&world.committee, EPOCH, 4);
        fuzz_committee(&world.next, EPOCH + 1, 7);
        world.ready = true;
    }
    memset(&side, 0, sizeof side);
    now = (struct poa_device_time){.mono_ms = 1000, .wall_ms = 0};
}

static const struct poa_edge_epoch epoch_info = {.epoch = EPOCH, .seed = {9}, .eligible = 1};

static void provision(void)
{
    uint8_t p[64], e[64], c[1024];
    struct poa_writer pw = poa_writer_over(p, sizeof p), ew = poa_writer_over(e, sizeof e),
                      cw = poa_writer_over(c, sizeof c),
                      w = poa_writer_over(side.trust, sizeof side.trust);
    struct poa_edge_trust t = {.time_ms = 1000, .height = 3};
    memcpy(t.chain, chain, 32);
    FUZZ_CHECK(!poa_edge_params_encode(&pw, &params) && !poa_edge_epoch_encode(&ew, &epoch_info) &&
               !poa_committee_encode(&cw, &world.committee.c));
    t.params = poa_written(&pw);
    t.epoch = poa_written(&ew);
    t.committee = poa_written(&cw);
    FUZZ_CHECK(!poa_edge_trust_encode(&w, &t));
    side.trust_n = w.n;
}

static void start(void)
{
    const struct poa_device_config config = {
        .suite = &fuzz_suite,
        .seed32 = world.seed,
        .key32 = world.key,
        .rx = rx,
        .tx = tx,
        .rx_bytes = sizeof rx,
        .tx_bytes = sizeof tx,
        .port = {load_mark, store_mark, load_trust, store_trust, NULL},
        .trust_first = !side.trust_n,
        .proof_check = proof_check,
        .event = on_event};
    FUZZ_CHECK(!poa_device_init(&device, &config));
    FUZZ_CHECK(!poa_device_connect(&device, now, world.gateway_key, world.entropy));
}

/* The device's own frames: every one opens and decodes. */
static void drain(void)
{
    struct poa_slice out = poa_device_output(&device);
    size_t at = 0;
    while (side.keyed && at + 2 <= out.n) {
        uint8_t body[sizeof tx], type;
        size_t n = poa_le16(out.p + at);
        struct poa_slice payload;
        uint64_t record[64];
        const struct poa_record *rec = NULL;
        FUZZ_CHECK(n && at + 2 + n <= out.n);
        memcpy(body, out.p + at + 2, n);
        at += 2 + n;
        FUZZ_CHECK(!poa_edge_take(&gateway, body, n, &type, &payload));
#define ROW(name, number, record_, text)                                                           \
    if (type == (number) && (number) < 64)                                                         \
        rec = &poa_##record_##_record;
        POA_EDGE_MESSAGES(ROW)
#undef ROW
        FUZZ_CHECK(rec && rec->size <= sizeof record);
        if (type != POA_EDGE_PACK) /* the application's own bytes */
            FUZZ_CHECK(!poa_record_decode(rec, payload, record));
    }
    if (side.keyed)
        FUZZ_CHECK(at == out.n);
    poa_device_sent(&device, out.n);
}

/* Goes through the handshake with the gateway's key; what follows comes under
 * the session. */
static void shake(void)
{
    uint8_t second[64], remote[32];
    struct poa_slice first = poa_device_output(&device);
    struct poa_writer w = poa_writer_over(second, sizeof second);
    FUZZ_CHECK(!poa_edge_answer_dial(world.x_sk, world.x_pk, world.entropy,
                                     poa_slice(first.p + 2, first.n - 2), &w, &gateway, remote));
    poa_device_sent(&device, first.n);
    FUZZ_CHECK(!poa_device_input(&device, now, second, w.n));
    side.keyed = true;
    drain();
    FUZZ_CHECK(device.state == POA_DEVICE_GREETED);
}

/* --- messages that no mutation would find ------------------------------------------ */

static void say(uint8_t type, struct poa_slice payload, size_t piece)
{
    uint8_t frame[20000];
    struct poa_writer w = poa_writer_over(frame, sizeof frame);
    if (poa_edge_put_raw(&gateway, type, payload, &w))
        return;
    for (size_t at = 0; at < w.n && device.state != POA_DEVICE_IDLE; at += piece) {
        size_t n = piece < w.n - at ? piece : w.n - at;
        uint8_t *exact = fuzz_copy(frame + at, n);
        int e = poa_device_input(&device, now, exact, n);
        free(exact);
        FUZZ_CHECK(e <= 0 && (e == 0) == (device.state != POA_DEVICE_IDLE));
    }
    if (device.state == POA_DEVICE_IDLE)
        side.keyed = false;
    drain();
}

#define SAY(NAME, rec, r)                                                                          \
    do {                                                                                           \
        uint8_t bytes_[12000];                                                                     \
        struct poa_writer w_ = poa_writer_over(bytes_, sizeof bytes_);                             \
        if (!poa_record_encode(&poa_##rec##_record, &w_, r))                                       \
            say(POA_EDGE_##NAME, poa_written(&w_), 4096);                                          \
    } while (0)

static void welcome(struct fuzz_in *in)
{
    uint8_t bytes[64];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_edge_params p = params;
    struct poa_edge_welcome m = {
        .version = POA_EDGE_VERSION, .epoch = EPOCH, .ping_ms = 5000, .frame_max = POA_EDGE_UP_MAX};
    uint8_t flags = fuzz_u8(in);
    if (flags & 1)
        p.policy = POA_EDGE_POLICY_VRF;
    if (flags & 2)
        p.slot_ms = fuzz_u32(in);
    if (flags & 4)
        p.genesis_ms = fuzz_u64(in);
    if (flags & 8)
        p.window_slots = fuzz_u32(in);
    m.time_ms = flags & 16 ? fuzz_u64(in) : 10000;
    FUZZ_CHECK(!poa_edge_params_encode(&w, &p));
    memcpy(m.chain, chain, 32);
    m.params = poa_written(&w);
    m.status = flags >> 6 & 1;
    SAY(WELCOME, edge_welcome, &m);
}

static struct poa_header header_from(struct fuzz_in *in)
{
    struct poa_header h = {.version = 1, .epoch = device.committee.epoch};
    memcpy(h.chain, chain, 32);
    h.kind = fuzz_u8(in) % 3;
    h.view = fuzz_u8(in);
    h.height = fuzz_u8(in);
    h.time_ms = 250ull * fuzz_u8(in);
    return h;
}

/* FINAL, LINK or TASK with a certificate that holds; a closing header names
 * the next committee. PARENT: the header comes after it. */
static void certified(struct fuzz_in *in, uint8_t what)
{
    static uint8_t sigs[64 * POA_COMMITTEE_MAX];
    const struct fuzz_committee *f =
        device.committee.epoch == EPOCH ? &world.committee : &world.next;
    uint8_t header[POA_HEADER_BYTES], child[POA_HEADER_BYTES], cert[2048], hash[32];
    struct poa_header h = header_from(in);
    struct poa_writer hw = poa_writer_over(header, sizeof header);
    struct poa_writer chw = poa_writer_over(child, sizeof child);
    struct poa_writer cw = poa_writer_over(cert, sizeof cert);
    if (h.kind == POA_BLOCK_CLOSING)
        poa_committee_hash(&world.next.c, h.next_committee);
    FUZZ_CHECK(!poa_header_encode(&hw, &h));
    poa_header_hash(&h, hash);
    if (what & 1) { /* final through its child */
        struct poa_header c = header_from(in);
        memcpy(c.parent, hash, 32);
        poa_header_hash(&c, hash);
        FUZZ_CHECK(!poa_header_encode(&chw, &c));
        h.view = c.view;
    }
    struct poa_cert c = fuzz_cert(f, POA_VOTE_FINALIZE, h.view, hash, sigs);
    FUZZ_CHECK(!poa_cert_encode(&cw, &c));
    struct poa_edge_final final = {poa_written(what & 1 ? &chw : &hw), poa_written(&cw)};
    struct poa_edge_link link = {poa_written(&hw)};
    struct poa_edge_task task = {.slot = (h.time_ms - params.genesis_ms) / params.slot_ms,
                                 .header = poa_written(&hw),
                                 .cert = what & 1 ? poa_slice(NULL, 0) : poa_written(&cw)};
    if (what & 3)
        SAY(FINAL, edge_final, &final);
    if (what & 1)
        SAY(LINK, edge_link, &link);
    if (what & 4)
        SAY(TASK, edge_task, &task);
    if (what & 8)
        SAY(COMMITTEE, committee, &world.next.c);
}

static void receipt(struct fuzz_in *in)
{
    uint8_t tree[40][32], path[1024];
    struct poa_writer w = poa_writer_over(path, sizeof path);
    struct poa_edge_receipt r = {.packs = 1u + fuzz_u8(in) % 16, .height = 4};
    r.index = fuzz_u8(in) % r.packs;
    memset(tree, 0, sizeof tree);
    for (uint32_t i = 0; i < r.packs; i++)
        tree[i][0] = (uint8_t)i;
    FUZZ_CHECK(poa_pack_tree_size(r.packs) <= 40);
    poa_pack_tree(tree, r.packs);
    FUZZ_CHECK(!poa_pack_path((const uint8_t(*)[32])tree, r.packs, r.index, &w));
    memcpy(r.id, tree[r.index], 32);
    memcpy(r.root, tree[poa_pack_tree_size(r.packs) - 1], 32);
    r.path = poa_written(&w);
    r.index = (r.index + fuzz_u8(in)) % (r.packs + 2);
    uint32_t alarms = side.alarms;
    SAY(RECEIPT, edge_receipt, &r);
    FUZZ_CHECK(alarms == side.alarms || r.index >= r.packs || r.id[0] != r.index);
}

/* The state after that, which is always the same for one KIND of start: five
 * scalar multiplications a side are saved. */
static void greeted(unsigned kind)
{
    static struct {
        bool made;
        struct poa_device device;
        struct poa_session gateway;
    } after[4];
    if (!after[kind].made) {
        start();
        shake();
        memcpy(&after[kind].device, &device, sizeof device);
        after[kind].gateway = gateway;
        after[kind].made = true;
    }
    memcpy(&device, &after[kind].device, sizeof device);
    gateway = after[kind].gateway;
    side.keyed = true;
}

static void structured(struct fuzz_in *in)
{
    for (unsigned step = 0; step < 40 && in->n && device.state != POA_DEVICE_IDLE; step++) {
        uint8_t op = fuzz_u8(in);
        uint64_t wait;
        switch (op & 15) {
        case 0: {
            uint8_t type = fuzz_u8(in);
            struct poa_slice payload = fuzz_chunk(in);
            say(type, payload, op & 16 ? 1 : 4096);
            break;
        }
        case 1:
            welcome(in);
            break;
        case 2: {
            struct poa_edge_epoch e = epoch_info;
            e.epoch = EPOCH + (op >> 4 & 1);
            if (op & 32)
                e.eligible = fuzz_u32(in);
            if (op & 64)
                e.first_slot = fuzz_u64(in);
            SAY(EPOCH, edge_epoch, &e);
            break;
        }
        case 3:
        case 4:
            certified(in, op >> 4);
            break;
        case 5:
            now.mono_ms += fuzz_u16(in);
            if (op & 16)
                now.wall_ms = op & 32 ? fuzz_u64(in) : 0;
            int e = poa_device_poll(&device, now, &wait);
            FUZZ_CHECK((e == 0) == (device.state != POA_DEVICE_IDLE));
            if (e)
                side.keyed = false;
            drain();
            break;
        case 6: {
            uint8_t key[80] = {0};
            int rc = op & 16   ? poa_device_pack(&device, fuzz_chunk(in))
                     : op & 32 ? poa_device_submit(&device, op, fuzz_chunk(in))
                               : poa_device_query(&device, op, 1, poa_slice(key, fuzz_u8(in) % 80));
            FUZZ_CHECK(rc <= 0);
            drain();
            break;
        }
        case 7:
            receipt(in);
            break;
        case 8: {
            struct poa_edge_answer m = {.ref = fuzz_u8(in), .code = op & 16 ? fuzz_u16(in) : 0};
            m.value = fuzz_slice(in, 16);
            m.proof = fuzz_slice(in, 4);
            SAY(ANSWER, edge_answer, &m);
            break;
        }
        case 9:
            side.fail = op & 16;
            break;
        }
    }
    FUZZ_CHECK(side.sealed == device.counts[POA_DEVICE_COUNT_SEAL]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in);
    begin();
    if (flags & 2)
        provision();
    if (flags & 4)
        now.wall_ms = 12000;
    if (flags & 9)
        greeted(flags >> 1 & 3);
    else
        start();
    if (flags & 1) {
        structured(&in);
    } else {
        side.keyed = false;
        while (in.n && device.state != POA_DEVICE_IDLE) {
            struct poa_slice bytes = flags & 16 ? fuzz_slice(&in, 1) : fuzz_chunk(&in);
            uint8_t *exact = fuzz_copy(bytes.p, bytes.n);
            int e = poa_device_input(&device, now, exact, bytes.n);
            free(exact);
            FUZZ_CHECK((e == 0) == (device.state != POA_DEVICE_IDLE));
        }
        FUZZ_CHECK(!side.sealed);
    }
    /* What it stored loads again. */
    poa_device_wipe(&device);
    start();
    poa_device_wipe(&device);
    return 0;
}

void fuzz_seeds(void)
{
    static const uint8_t raw[] = {0, 3, 0, 48, 0, 1, 2, 0, 2, 3};
    fuzz_seed("raw", raw, sizeof raw);
    static const uint8_t pieces[] = {26, 40, 0, 1, 2, 3, 4, 5};
    fuzz_seed("raw-greeted", pieces, sizeof pieces);
    /* Welcomed; a task that is sealed, another through its child, a poll. */
    static const uint8_t tasks[] = {7,  1, 0,  2,  0x43, 0,    9, 10, 44, 0x53, 0, 9,   11,
                                    45, 0, 10, 12, 48,   0x43, 0, 9,  10, 44,   5, 100, 0};
    fuzz_seed("tasks", tasks, sizeof tasks);
    static const uint8_t handover[] = {7, 1, 0, 0xa3, 1, 9, 10, 44, 0x12, 0x43, 0, 9, 11, 46};
    fuzz_seed("hand-over", handover, sizeof handover);
    static const uint8_t first[] = {5, 1, 0, 2, 0, 78, 4, 0, 5, 0, 0, 0, 5, 1, 0};
    fuzz_seed("first-contact", first, sizeof first);
    static const uint8_t query[] = {7, 1, 0, 0x23, 0, 9, 8,  40, 6,  40, 8,  6,  1,  2,         3,
                                    4, 5, 6, 7,    8, 9, 10, 11, 12, 13, 14, 15, 16, FUZZ_VALID};
    fuzz_seed("query", query, sizeof query);
    /* A clock at either end of what 64 bits hold. */
    static const uint8_t late[] = {1, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0x80, 5, 255, 15};
    fuzz_seed("time-late", late, sizeof late);
    static const uint8_t later[] = {1, 1, 16, 255, 255, 255, 255, 255, 255, 255, 0x7f, 5, 255, 15};
    fuzz_seed("time-later", later, sizeof later);
    static const uint8_t receipts[] = {7, 1, 0, 7, 3, 1, 0, 7, 15, 14, 0, 7, 6, 2, 1};
    fuzz_seed("receipts", receipts, sizeof receipts);
    static const uint8_t vrf[] = {5,  1, 1,   0x22, 50, 0,   0,  0, 5,   255,
                                  15, 5, 255, 15,   5,  255, 15, 5, 255, 15};
    fuzz_seed("tickets", vrf, sizeof vrf);
    /* Every message in its shortest encoding. */
#define ROW(name, number, rec, text)                                                               \
    if ((number) >= 64) {                                                                          \
        uint8_t zeros[256] = {0}, all[512];                                                        \
        uint64_t out[64];                                                                          \
        struct poa_writer w = poa_writer_over(all, sizeof all);                                    \
        size_t n = 0;                                                                              \
        while (n < sizeof zeros &&                                                                 \
               poa_record_decode(&poa_##rec##_record, poa_slice(zeros, n), out))                   \
            n++;                                                                                   \
        poa_write(&w, (const uint8_t[]){7, 1, 0, 0, number}, 5);                                   \
        fuzz_put_chunk(&w, poa_slice(zeros, n));                                                   \
        FUZZ_CHECK(!w.overflow);                                                                   \
        fuzz_seed("message-" #name, all, w.n);                                                     \
    }
    POA_EDGE_MESSAGES(ROW)
#undef ROW
}
