/* The device library on a Cortex-M4 without an operating system: known answers of
 * the cryptography, every record through its codec, and a device against a
 * gateway that speaks the real edge protocol, in the same memory. */
#include <sodium.h>
#include <string.h>

#include "board.h"
#include "poa_device.h"
#include "poa_vrf.h"
#include "poa_wallet.h"

#define MEMBERS 31
#define QUORUM  21
#define SLOT_MS 1000
#define SLOT    40

static int failures, checks;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        checks++;                                                                                  \
        if (!(cond)) {                                                                             \
            failures++;                                                                            \
            board_print("FAIL: " #cond "\n");                                                      \
        }                                                                                          \
    } while (0)

/* --- the world: a chain with one committee -------------------------------------------- */

static struct {
    uint8_t chain[32], gateway_seed[32], gateway_key[32], device_seed[32], device_key[32];
    uint8_t seed[MEMBERS][32], members[MEMBERS * POA_MEMBER_BYTES], committee[7 + MEMBERS * 42];
    struct poa_committee c;
    struct poa_edge_params params;
    uint8_t header[POA_HEADER_BYTES], cert[62 + 64 * QUORUM], hash[32], state[32];
    struct poa_header h;
    uint8_t params_bytes[POA_EDGE_PARAMS_BYTES];
} w;

static void make_world(void)
{
    struct poa_writer out = poa_writer_over(w.members, sizeof w.members);
    memset(w.chain, 0xc4, 32);
    memset(w.gateway_seed, 1, 32);
    memset(w.device_seed, 2, 32);
    poa_ed25519_public(w.gateway_seed, w.gateway_key);
    poa_ed25519_public(w.device_seed, w.device_key);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct poa_member m = {.maker = i + 1, .region = 1, .provider = 1};
        memset(w.seed[i], (int)(16 + i), 32);
        poa_ed25519_public(w.seed[i], m.key);
        CHECK(!poa_member_encode(&out, &m));
    }
    w.c = (struct poa_committee){3, QUORUM, {poa_written(&out), MEMBERS}};
    out = poa_writer_over(w.committee, sizeof w.committee);
    CHECK(!poa_committee_encode(&out, &w.c));
    w.params = (struct poa_edge_params){.genesis_ms = 1700000000000,
                                        .slot_ms = SLOT_MS,
                                        .window_slots = 16,
                                        .seats_per_slot = 3,
                                        .seal_slots = 64,
                                        .drift_ms = 500,
                                        .policy = POA_EDGE_POLICY_VRF};
    out = poa_writer_over(w.params_bytes, sizeof w.params_bytes);
    CHECK(!poa_edge_params_encode(&out, &w.params));
}

static void make_block(uint64_t height)
{
    uint8_t sigs[64 * QUORUM], digest[32], key[32];
    struct poa_cert cert = {.kind = POA_VOTE_FINALIZE, .epoch = 3, .view = height};
    struct poa_writer out = poa_writer_over(w.header, sizeof w.header);
    memset(&w.h, 0, sizeof w.h);
    w.h.version = 1;
    memcpy(w.h.chain, w.chain, 32);
    memcpy(w.h.state, w.state, 32);
    w.h.epoch = 3;
    w.h.view = w.h.height = height;
    w.h.time_ms = w.params.genesis_ms + SLOT * SLOT_MS + 10;
    CHECK(!poa_header_encode(&out, &w.h));
    poa_header_hash(&w.h, w.hash);
    memcpy(cert.hash, w.hash, 32);
    poa_vote_digest(w.chain, cert.kind, 3, height, w.hash, digest);
    for (uint32_t i = 0; i < QUORUM; i++) {
        cert.signers[i / 8] |= (uint8_t)(1u << i % 8);
        memcpy(key, w.members + i * POA_MEMBER_BYTES, 32);
        poa_ed25519_sign(w.seed[i], key, digest, 32, sigs + 64 * i);
    }
    cert.sigs = (struct poa_list){poa_slice(sigs, sizeof sigs), QUORUM};
    out = poa_writer_over(w.cert, sizeof w.cert);
    CHECK(!poa_cert_encode(&out, &cert));
    CHECK(out.n == sizeof w.cert);
}

/* --- the device and its storage --------------------------------------------------------- */

static struct poa_device d;
static uint8_t rx[POA_DEVICE_RX_MIN], tx[POA_DEVICE_TX_MIN];
static uint8_t stored[2][POA_DEVICE_TRUST_MAX];
static size_t stored_n[2];
static struct poa_device_event last;
static uint32_t told[POA_DEVICE_BYE + 1];
static struct poa_session session;
static struct poa_device_time now;
static uint32_t deepest;

static int load(int i, uint8_t *buffer, size_t cap, size_t *n)
{
    if (!stored_n[i])
        return POA_E_NOT_FOUND;
    if (stored_n[i] > cap)
        return POA_E_LIMIT;
    memcpy(buffer, stored[i], stored_n[i]);
    *n = stored_n[i];
    return POA_OK;
}
static int store(int i, const uint8_t *bytes, size_t n)
{
    memcpy(stored[i], bytes, n);
    stored_n[i] = n;
    return POA_OK;
}
static int load_mark(void *ctx, uint8_t *b, size_t cap, size_t *n)
{
    (void)ctx;
    return load(0, b, cap, n);
}
static int store_mark(void *ctx, const uint8_t *b, size_t n)
{
    (void)ctx;
    return store(0, b, n);
}
static int load_trust(void *ctx, uint8_t *b, size_t cap, size_t *n)
{
    (void)ctx;
    return load(1, b, cap, n);
}
static int store_trust(void *ctx, const uint8_t *b, size_t n)
{
    (void)ctx;
    return store(1, b, n);
}
static void on_event(void *ctx, const struct poa_device_event *e)
{
    (void)ctx;
    last = *e;
    told[e->kind]++;
}

/* Messages of the device, taken out of its send buffer. */
static struct {
    uint8_t type, bytes[512];
    size_t n;
} mail[8];
static size_t mails;

static int input(const uint8_t *p, size_t n)
{
    uint32_t top;
    int e;
    board_paint();
    e = poa_device_input(&d, now, p, n);
    if (board_depth(&top) > deepest)
        deepest = board_depth(&top);
    return e;
}

static void poll(void)
{
    uint32_t top;
    uint64_t wait;
    board_paint();
    CHECK(!poa_device_poll(&d, now, &wait));
    if (board_depth(&top) > deepest)
        deepest = board_depth(&top);
}

static void collect(void)
{
    struct poa_slice out = poa_device_output(&d);
    static uint8_t bytes[POA_DEVICE_TX_MIN];
    size_t n = out.n, at = 0;
    memcpy(bytes, out.p, n);
    poa_device_sent(&d, n);
    while (at < n) {
        struct poa_slice payload;
        size_t body = poa_le16(bytes + at);
        CHECK(mails < 8 &&
              !poa_edge_take(&session, bytes + at + 2, body, &mail[mails].type, &payload));
        memcpy(mail[mails].bytes, payload.p, payload.n);
        mail[mails].n = payload.n;
        mails++;
        at += 2 + body;
    }
}

static int say(uint8_t type, const struct poa_record *rec, const void *r)
{
    static uint8_t frame[4096];
    struct poa_writer out = poa_writer_over(frame, sizeof frame);
    CHECK(!poa_edge_put(&session, type, rec, r, &out));
    int e = input(frame, out.n);
    if (!e)
        collect();
    return e;
}
#define SAY(NAME, rec, r) say(POA_EDGE_##NAME, &poa_##rec##_record, r)

static void power_on(bool streaming)
{
    struct poa_device_config config;
    memset(&config, 0, sizeof config);
    config.suite = &poa_suite_ed25519;
    config.seed32 = w.device_seed;
    config.key32 = w.device_key;
    config.rx = rx;
    config.rx_bytes = sizeof rx;
    config.tx = tx;
    config.tx_bytes = sizeof tx;
    config.port = (struct poa_device_port){load_mark, store_mark, load_trust, store_trust, NULL};
    config.trust_first = true;
    config.streaming = streaming;
    config.event = on_event;
    config.proof_check = poa_wallet_proof;
    CHECK(!poa_device_init(&d, &config));
    memset(told, 0, sizeof told);
    now.mono_ms = 1000;
    now.wall_ms = w.params.genesis_ms + SLOT * SLOT_MS + 200;
}

static void connect(void)
{
    static uint8_t entropy[32] = {9};
    uint8_t sk[32], pk[32], remote[32], frame[64], want[32];
    struct poa_writer out = poa_writer_over(frame, sizeof frame);
    uint32_t top;
    entropy[1]++;
    poa_ed25519_seed_to_x25519(w.gateway_seed, sk);
    poa_x25519_public(sk, pk);
    board_paint();
    CHECK(!poa_device_connect(&d, now, w.gateway_key, entropy));
    if (board_depth(&top) > deepest)
        deepest = board_depth(&top);
    struct poa_slice first = poa_device_output(&d);
    CHECK(!poa_edge_answer_dial(sk, pk, entropy, poa_slice(first.p + 2, first.n - 2), &out,
                                &session, remote));
    CHECK(!poa_ed25519_pk_to_x25519(w.device_key, want) && !memcmp(want, remote, 32));
    poa_device_sent(&d, first.n);
    mails = 0;
    CHECK(!input(frame, out.n));
    collect();
    CHECK(mails == 1 && mail[0].type == POA_EDGE_HELLO);
    struct poa_edge_welcome m = {.version = POA_EDGE_VERSION,
                                 .params = poa_slice(w.params_bytes, sizeof w.params_bytes),
                                 .time_ms = now.wall_ms,
                                 .epoch = 3,
                                 .status = POA_EDGE_ACTIVE,
                                 .index = 0,
                                 .ping_ms = 30000,
                                 .frame_max = POA_EDGE_UP_MAX};
    struct poa_edge_epoch epoch = {.epoch = 3, .eligible = 1, .first_slot = 16};
    memcpy(m.chain, w.chain, 32);
    CHECK(!SAY(WELCOME, edge_welcome, &m));
    CHECK(!SAY(EPOCH, edge_epoch, &epoch));
}

static const uint8_t *sent(uint8_t type)
{
    for (size_t i = 0; i < mails; i++)
        if (mail[i].type == type)
            return mail[i].bytes;
    return NULL;
}

static int task(bool with_cert)
{
    struct poa_edge_task m = {SLOT, poa_slice(w.header, sizeof w.header),
                              poa_slice(w.cert, with_cert ? sizeof w.cert : 0)};
    return SAY(TASK, edge_task, &m);
}

static void check_seal(void)
{
    struct poa_seal seal;
    const uint8_t *bytes = sent(POA_EDGE_SEAL);
    CHECK(bytes && !poa_seal_decode(poa_slice(bytes, POA_SEAL_BYTES), &seal));
    CHECK(bytes && !poa_seal_check(&poa_suite_ed25519, w.chain, &seal));
    CHECK(bytes && seal.slot == SLOT && !memcmp(seal.hash, w.hash, 32));
}

/* --- what is tested ----------------------------------------------------------------------- */

static void crypto(void)
{
    static const uint8_t empty[1];
    const char *what;
    uint8_t seed[32], key[32], pi[80], want[80], beta[64], want_beta[64];
    CHECK(!poa_crypto_selftest_device(&what));
    /* RFC 9381, example 16. */
    CHECK(!poa_unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed, 32));
    CHECK(!poa_unhex("8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
                     "26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12"
                     "68a1b0db10836d9826a528ca76567805",
                     want, 80));
    CHECK(!poa_unhex("90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
                     "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
                     want_beta, 64));
    poa_ed25519_public(seed, key);
    CHECK(!poa_vrf_prove(POA_VRF_TAI, seed, key, poa_slice(empty, 0), pi) && !memcmp(pi, want, 80));
    CHECK(!poa_vrf_proof_to_hash(POA_VRF_TAI, pi, beta) && !memcmp(beta, want_beta, 64));
    CHECK(!poa_vrf_verify(POA_VRF_TAI, key, poa_slice(empty, 0), pi, beta));
    pi[79] ^= 1;
    CHECK(poa_vrf_verify(POA_VRF_TAI, key, poa_slice(empty, 0), pi, beta));
}

/* A record from bytes of every kind: decoded, encoded, the same; at odd addresses. */
static void codec(const struct poa_record *rec, size_t struct_bytes)
{
    static uint8_t in[2048 + 1], out[2048 + 1];
    static uint64_t object[64];
    CHECK(struct_bytes <= sizeof object && rec->size == struct_bytes);
    for (size_t n = 0; n < 600; n++) {
        uint8_t *at = in + 1;
        for (size_t i = 0; i < n; i++)
            at[i] = i < 8 || i % 7 == 0 ? 1 : 0;
        if (poa_record_decode(rec, poa_slice(at, n), object))
            continue;
        struct poa_writer wr = poa_writer_over(out + 1, 2048);
        CHECK(!poa_record_encode(rec, &wr, object));
        CHECK(wr.n == n && !memcmp(out + 1, at, n));
    }
}

static void codecs(void)
{
#define RECORD(rec) codec(&poa_##rec##_record, sizeof(struct poa_##rec))
    RECORD(header);
    RECORD(member);
    RECORD(committee);
    RECORD(vote);
    RECORD(cert);
    RECORD(ticket);
    RECORD(seal);
    RECORD(edge_params);
    RECORD(edge_hello);
    RECORD(edge_welcome);
    RECORD(edge_epoch);
    RECORD(edge_task);
    RECORD(edge_final);
    RECORD(edge_final_head);
    RECORD(edge_final_part);
    RECORD(edge_committee_id);
    RECORD(edge_link);
    RECORD(edge_receipt);
    RECORD(edge_answer);
    RECORD(edge_reward);
    RECORD(edge_mark);
    RECORD(edge_trust);
    RECORD(pack);
    RECORD(tx);
    RECORD(op_transfer);
    RECORD(st_account);
    RECORD(st_device);
}

static void mining(void)
{
    power_on(false);
    connect();
    struct poa_edge_task none;
    (void)none;
    CHECK(!say(POA_EDGE_COMMITTEE, &poa_committee_record, &w.c));
    CHECK(d.committee.epoch == 3 && d.committee.members.count == MEMBERS);
    make_block(100);
    CHECK(!task(true));
    CHECK(told[POA_DEVICE_SEALED] == 1);
    check_seal();
    /* A second block of the slot, then the power is cut and it comes again. */
    make_block(101);
    CHECK(!task(true));
    CHECK(told[POA_DEVICE_SEALED] == 1 && last.code == POA_E_SEAL_TWICE);
    power_on(false);
    connect();
    CHECK(!task(true) && told[POA_DEVICE_SEALED] == 0 && last.code == POA_E_SEAL_TWICE);
    /* The lottery: a window ahead. */
    now.mono_ms += 60000;
    now.wall_ms += 5 * SLOT_MS;
    mails = 0;
    poll();
    collect();
    CHECK(told[POA_DEVICE_TICKET] == 1 && sent(POA_EDGE_TICKET));
    /* Forged: one signature is another's. */
    stored_n[0] = 0;
    power_on(false);
    connect();
    w.cert[70] ^= 1;
    CHECK(task(true) == POA_E_SIGNATURE && told[POA_DEVICE_ALARM] == 1);
}

static int parts(bool forged)
{
    uint8_t part[POA_EDGE_PART_WITNESSES * 107];
    struct poa_edge_final_head head = {poa_slice(w.header, sizeof w.header), QUORUM, MEMBERS};
    struct poa_cert cert;
    CHECK(!poa_cert_decode(poa_slice(w.cert, sizeof w.cert), &cert));
    int e = SAY(FINAL_HEAD, edge_final_head, &head);
    for (uint32_t i = 0; !e && i < MEMBERS;) {
        struct poa_writer out = poa_writer_over(part, sizeof part);
        struct poa_edge_final_part m = {{{NULL, 0}, 0}};
        for (; i < MEMBERS && m.witnesses.count < POA_EDGE_PART_WITNESSES;
             i++, m.witnesses.count++) {
            struct poa_edge_witness v = {.sig = {NULL, 0}};
            memcpy(v.member, w.members + i * POA_MEMBER_BYTES, POA_MEMBER_BYTES);
            v.member[41] ^= forged && i == MEMBERS - 1; /* its provider */
            if (i < QUORUM)
                v.sig = poa_slice(cert.sigs.bytes.p + 64 * i, 64);
            CHECK(!poa_edge_witness_encode(&out, &v));
        }
        m.witnesses.bytes = poa_written(&out);
        e = SAY(FINAL_PART, edge_final_part, &m);
    }
    return e;
}

static void streaming(void)
{
    struct poa_edge_committee_id id = {3, MEMBERS, {0}};
    stored_n[0] = stored_n[1] = 0;
    power_on(true);
    connect();
    poa_committee_hash(&w.c, id.hash);
    CHECK(!SAY(COMMITTEE_ID, edge_committee_id, &id));
    make_block(200);
    CHECK(!parts(false));
    CHECK(!task(false));
    CHECK(told[POA_DEVICE_SEALED] == 1);
    check_seal();
    CHECK(parts(true) == POA_E_NOT_MEMBER && told[POA_DEVICE_ALARM] == 1);
}

/* The wallet's account in a state of one entry: its leaf is the root. */
static void owning(void)
{
    uint8_t value[16], address[32], leaf[32], key[32], bytes[POA_WALLET_PAY_BYTES], id[32];
    uint8_t in[32 + 1 + 16];
    static const uint8_t proof[2]; /* no steps */
    struct poa_st_account a = {1000, 7}, b;
    struct poa_writer out = poa_writer_over(value, sizeof value);
    CHECK(!poa_st_account_encode(&out, &a) && out.n == 16);
    poa_wallet_address(w.device_key, address);
    in[0] = POA_STATE_ACCOUNT;
    poa_hash2(POA_DOMAIN_STATE_KEY, in, 1, address, 32, key);
    memcpy(in, key, 32);
    in[32] = 16;
    memcpy(in + 33, value, 16);
    poa_hash(POA_DOMAIN_STATE_LEAF, in, sizeof in, leaf);
    memcpy(w.state, leaf, 32);
    stored_n[0] = stored_n[1] = 0;
    power_on(false);
    connect();
    CHECK(!say(POA_EDGE_COMMITTEE, &poa_committee_record, &w.c));
    make_block(300);
    CHECK(!poa_device_query(&d, 5, POA_STATE_ACCOUNT, poa_slice(address, 32)));
    collect();
    struct poa_edge_final final = {poa_slice(w.header, sizeof w.header),
                                   poa_slice(w.cert, sizeof w.cert)};
    struct poa_edge_answer answer = {5, 0, poa_written(&out), poa_slice(proof, 2)};
    CHECK(!SAY(FINAL, edge_final, &final));
    CHECK(!SAY(ANSWER, edge_answer, &answer));
    CHECK(told[POA_DEVICE_ANSWER] == 1 && !last.code);
    CHECK(!poa_wallet_account(poa_written(&out), &b) && b.nonce == 7);
    /* A gateway that says there is more: */
    CHECK(!poa_device_query(&d, 6, POA_STATE_ACCOUNT, poa_slice(address, 32)));
    collect();
    value[0] ^= 1;
    answer.ref = 6;
    CHECK(!SAY(FINAL, edge_final, &final));
    CHECK(SAY(ANSWER, edge_answer, &answer) == POA_E_PROOF && told[POA_DEVICE_ALARM] == 1);
    struct poa_payment p = {b.nonce, 10, 0};
    out = poa_writer_over(bytes, sizeof bytes);
    CHECK(!poa_wallet_pay(w.chain, w.device_seed, w.device_key, &p, address, 5, &out, id));
    CHECK(!poa_ed25519_verify(w.device_key, id, 32, bytes + out.n - 64));
}

static void readings(void)
{
    uint8_t content[200], bytes[400];
    struct poa_writer text = poa_writer_over(content, sizeof content);
    struct poa_writer out = poa_writer_over(bytes, sizeof bytes);
    struct poa_senml senml;
    struct poa_pack pack;
    static const char want[] = "[{\"bn\":\"urn:dev:poa:m4:\",\"bt\":1700000000,\"n\":\"power\","
                               "\"u\":\"W\",\"t\":0.25,\"v\":-12.3}]";
    poa_senml_begin(&senml, &text, "urn:dev:poa:m4:", 1700000000000);
    CHECK(!poa_senml_add(&senml, "power", "W", 1700000000250, -123, 1));
    CHECK(!poa_senml_end(&senml));
    CHECK(text.n == sizeof want - 1 && !memcmp(content, want, text.n));
    memset(&pack, 0, sizeof pack);
    pack.seq = 1;
    pack.from_ms = senml.from_ms;
    pack.to_ms = senml.to_ms;
    pack.readings = senml.count;
    pack.content = poa_written(&text);
    CHECK(!poa_pack_sign(&poa_suite_ed25519, w.chain, w.device_seed, w.device_key, &pack, &out));
    CHECK(!poa_pack_check(&poa_suite_ed25519, w.chain, poa_written(&out), &pack));
}

/* --- the board's randomness: none, every test says its own ------------------------------ */

static const char *rng_name(void)
{
    return "board";
}
static uint32_t rng_word(void)
{
    return 4;
}
static void rng_bytes(void *out, size_t n)
{
    memset(out, 4, n);
}
static randombytes_implementation rng = {rng_name, rng_word, NULL, NULL, rng_bytes, NULL};

int main(void)
{
    static void (*const test[])(void) = {crypto, codecs, mining, streaming, owning, readings};
    static const char *const name[] = {
        "cryptography",      "codecs",  "mining", "certificates in parts",
        "wallet and proofs", "readings"};
    randombytes_set_implementation(&rng);
    CHECK(!poa_crypto_init());
    make_world();
    for (size_t i = 0; i < sizeof test / sizeof *test; i++) {
        int before = failures;
        test[i]();
        board_print(failures == before ? "ok    " : "FAIL  ");
        board_print(name[i]);
        board_print("\n");
    }
    board_print("{\"checks\":");
    board_number((uint32_t)checks);
    board_print(",\"failures\":");
    board_number((uint32_t)failures);
    board_print(",\"stack_bytes\":");
    board_number(deepest);
    board_print("}\n");
    return failures != 0;
}
