/* Certificates in parts: committees of any size against their hash alone. */
#include "peer.h"

#define LARGE   POA_COMMITTEE_MAX
#define SLOT_OK 20

static struct bench b;
static uint8_t seed[LARGE][32], members[LARGE * POA_MEMBER_BYTES];
static uint32_t n, quorum;

/* What a gateway may do wrong. */
enum lie {
    NONE,
    FEW,
    WRONG_SIG,
    SWAPPED,
    FOREIGN,
    QUORUM_LOW,
    MEMBERS_LESS,
    MORE,
    EMPTY,
    SHORT_SIG,
    SLIPPED
};

static void committee(uint32_t size, uint32_t epoch, struct poa_committee *out)
{
    struct poa_writer w = poa_writer_over(members, sizeof members);
    n = size;
    quorum = n - poa_committee_faults(n);
    for (uint32_t i = 0; i < n; i++) {
        struct poa_member m = {.maker = i + 1, .region = 1, .provider = 1};
        world_keys(seed[i], m.key, 1000 + i);
        cr_assert_eq(poa_member_encode(&w, &m), POA_OK);
    }
    *out = (struct poa_committee){epoch, (uint16_t)quorum, {poa_written(&w), n}};
}

static int committee_id(uint32_t size, uint32_t epoch)
{
    struct poa_committee c;
    struct poa_edge_committee_id id = {epoch, (uint8_t)size, {0}};
    committee(size, epoch, &c);
    poa_committee_hash(&c, id.hash);
    return SAY(&b, COMMITTEE_ID, edge_committee_id, &id);
}

/* BLOCK certified by the committee, in parts, with LIE. */
static int parts(const struct block *block, enum lie lie)
{
    uint8_t digest[32], sig[64], part[4 * 107];
    struct poa_edge_final_head head = {block_header(block),
                                       (uint16_t)(lie == QUORUM_LOW ? quorum - 1 : quorum),
                                       (uint8_t)(lie == MEMBERS_LESS ? n - 1 : n)};
    uint32_t sign = lie == FEW ? quorum - 1 : quorum;
    int e = SAY(&b, FINAL_HEAD, edge_final_head, &head);
    if (!e && lie == SLIPPED) { /* another header, so that these members seem to sign it */
        struct block other = block_make(&b.w, EPOCH_NOW, SLOT_OK);
        other.h.state[0] ^= 1;
        block_encode(&other);
        block_certify(&b.w, &other, ALL);
        e = bench_final(&b, &other);
    }
    poa_vote_digest(b.w.chain, POA_VOTE_FINALIZE, block->h.epoch, block->h.view, block->hash,
                    digest);
    for (uint32_t i = 0; !e && i < head.members;) {
        struct poa_writer w = poa_writer_over(part, sizeof part);
        struct poa_edge_final_part m = {{{NULL, 0}, 0}};
        if (lie == EMPTY)
            return SAY(&b, FINAL_PART, edge_final_part, &m);
        for (; i < head.members && m.witnesses.count < 4; i++, m.witnesses.count++) {
            uint32_t k = lie == SWAPPED && i < 2 ? 1 - i : i;
            struct poa_edge_witness v = {.sig = {NULL, 0}};
            uint8_t key[32];
            memcpy(v.member, members + k * POA_MEMBER_BYTES, POA_MEMBER_BYTES);
            memcpy(key, v.member, 32);
            if (i < sign) {
                SUITE->sign(seed[k], key, digest, 32, sig);
                if (lie == FOREIGN && !i) { /* a key of the gateway's own, well signed */
                    uint8_t own[32];
                    world_keys(own, v.member, 5000);
                    SUITE->sign(own, v.member, digest, 32, sig);
                }
                sig[0] ^= lie == WRONG_SIG && i == 1;
                v.sig = poa_slice(sig, lie == SHORT_SIG ? 63 : 64);
            }
            cr_assert_eq(poa_edge_witness_encode(&w, &v), POA_OK);
        }
        m.witnesses.bytes = poa_written(&w);
        e = SAY(&b, FINAL_PART, edge_final_part, &m);
        if (!e && lie == MORE && i == head.members)
            e = SAY(&b, FINAL_PART, edge_final_part, &m);
    }
    return e;
}

static void ready(uint32_t size)
{
    bench_make(&b, POA_EDGE_POLICY_WEIGHTED);
    b.config.streaming = true;
    b.config.rx_bytes = POA_DEVICE_RX_STREAMING;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    bench_slot(&b, SLOT_OK);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW, POA_EDGE_ACTIVE, 0), POA_OK);
    cr_assert_eq(bench_epoch(&b, EPOCH_NOW, FIRST, 1), POA_OK);
    cr_assert_eq(committee_id(size, EPOCH_NOW), POA_OK);
    cr_assert(b.d.have_trust);
    b.mails = b.events = 0;
}

static int task(const struct block *block)
{
    struct poa_edge_task m = {SLOT_OK, block_header(block), poa_slice(NULL, 0)};
    return SAY(&b, TASK, edge_task, &m);
}

Test(device_parts, hello_says_that_no_committee_is_held)
{
    struct poa_edge_hello hello;
    bench_make(&b, POA_EDGE_POLICY_VRF);
    for (int streaming = 0; streaming < 2; streaming++) {
        b.config.streaming = streaming;
        cr_assert_eq(bench_power_on(&b), POA_OK);
        bench_slot(&b, SLOT_OK);
        bench_dial(&b);
        const struct mail *m = bench_mail(&b, POA_EDGE_HELLO);
        cr_assert_eq(poa_edge_hello_decode(poa_slice(m->bytes, m->n), &hello), POA_OK);
        cr_assert_eq(hello.committee_max, streaming ? 0 : POA_DEVICE_COMMITTEE_MAX);
        poa_device_close(&b.d);
    }
}

Test(device_parts, committees_of_all_sizes)
{
    static const uint32_t size[] = {1, 2, 4, 5, 31, 32, 64, LARGE};
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        ready(size[i]);
        struct block block = block_make(&b.w, EPOCH_NOW, SLOT_OK);
        cr_assert_eq(parts(&block, NONE), POA_OK);
        cr_assert(b.d.proven, "%u members", size[i]);
        cr_assert_eq(task(&block), POA_OK);
        cr_assert_eq(bench_count(&b, POA_EDGE_SEAL), 1);
    }
}

Test(device_parts, whatever_is_forged_is_noticed)
{
    static const struct {
        enum lie lie;
        int code;
    } row[] = {
        {FEW, POA_E_QUORUM},         {WRONG_SIG, POA_E_SIGNATURE}, {SWAPPED, POA_E_NOT_MEMBER},
        {FOREIGN, POA_E_NOT_MEMBER}, {QUORUM_LOW, POA_E_QUORUM},   {MEMBERS_LESS, POA_E_NOT_MEMBER},
        {MORE, POA_E_RANGE},         {EMPTY, POA_E_RANGE},         {SHORT_SIG, POA_E_RANGE},
        {SLIPPED, POA_E_RANGE},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        ready(64);
        struct block block = block_make(&b.w, EPOCH_NOW, SLOT_OK);
        cr_assert_eq(parts(&block, row[i].lie), row[i].code, "lie %d", row[i].lie);
        cr_assert_eq(b.d.state, POA_DEVICE_IDLE);
        cr_assert_not(b.d.proven);
        if (row[i].code != POA_E_RANGE)
            cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, row[i].code);
    }
}

Test(device_parts, nothing_counts_before_the_last_member)
{
    ready(64);
    struct block block = block_make(&b.w, EPOCH_NOW, SLOT_OK);
    struct poa_edge_final_head head = {block_header(&block), (uint16_t)quorum, 64};
    cr_assert_eq(SAY(&b, FINAL_HEAD, edge_final_head, &head), POA_OK);
    cr_assert_eq(task(&block), POA_E_PROOF);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, POA_E_PROOF);
    cr_assert_eq(b.marks_stored, 0);
}

Test(device_parts, a_certificate_in_one_piece_cannot_be_checked)
{
    ready(4);
    struct block block = block_make(&b.w, EPOCH_NOW, SLOT_OK);
    cr_assert_eq(bench_task(&b, SLOT_OK, &block), POA_E_EPOCH);
    cr_assert_eq(b.marks_stored, 0);
}

Test(device_parts, another_epoch_is_skipped)
{
    ready(5);
    struct block block = block_make(&b.w, EPOCH_NOW + 1, SLOT_OK);
    cr_assert_eq(parts(&block, WRONG_SIG), POA_OK);
    cr_assert_not(b.d.proven);
    cr_assert_null(bench_told(&b, POA_DEVICE_ALARM));
    block = block_make(&b.w, EPOCH_NOW, SLOT_OK);
    cr_assert_eq(parts(&block, NONE), POA_OK);
    cr_assert(b.d.proven);
}

/* The closing block names the next committee by the same hash. */
Test(device_parts, hand_over_to_a_larger_committee_and_back)
{
    struct poa_committee c;
    ready(4);
    struct block closing = block_make(&b.w, EPOCH_NOW, 30);
    committee(LARGE, EPOCH_NOW + 1, &c);
    closing.h.kind = POA_BLOCK_CLOSING;
    poa_committee_hash(&c, closing.h.next_committee);
    block_encode(&closing);
    committee(4, EPOCH_NOW, &c);
    bench_slot(&b, 40);
    cr_assert_eq(parts(&closing, NONE), POA_OK);
    cr_assert_eq(committee_id(LARGE, EPOCH_NOW + 1), POA_OK);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW + 1);
    cr_assert_eq(b.d.members, LARGE);
    cr_assert_eq(b.trust_n, POA_DEVICE_TRUST_ID - 48, "no members, no seed yet");
    /* It survives a restart. */
    cr_assert_eq(bench_power_on(&b), POA_OK);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW + 1);
    bench_dial(&b);
    cr_assert_eq(bench_welcome(&b, EPOCH_NOW + 1, POA_EDGE_ACTIVE, 0), POA_OK);
    struct block block = block_make(&b.w, EPOCH_NOW + 1, 38);
    cr_assert_eq(parts(&block, NONE), POA_OK);
    cr_assert(b.d.proven);
    /* A committee that the closing block did not name. */
    closing = block_make(&b.w, EPOCH_NOW + 1, 39);
    closing.h.kind = POA_BLOCK_CLOSING;
    block_encode(&closing);
    cr_assert_eq(parts(&closing, NONE), POA_OK);
    cr_assert_eq(committee_id(4, EPOCH_NOW + 2), POA_E_PROOF);
    cr_assert_eq(bench_told(&b, POA_DEVICE_ALARM)->code, POA_E_PROOF);
    cr_assert_eq(b.d.committee.epoch, EPOCH_NOW + 1);
}

/* A record with the members, read by a firmware that holds none. */
Test(device_parts, a_stored_committee_is_reduced_to_its_hash)
{
    bench_make(&b, POA_EDGE_POLICY_VRF);
    bench_ready(&b, 20);
    uint8_t hash[32];
    poa_committee_hash(&b.d.committee, hash);
    b.config.streaming = true;
    cr_assert_eq(bench_power_on(&b), POA_OK);
    cr_assert_eq(b.d.committee.members.count, 0);
    cr_assert_eq(b.d.members, MEMBERS);
    cr_assert_eq(memcmp(b.d.committee_hash, hash, 32), 0);
    cr_assert_eq(b.d.epoch.epoch, EPOCH_NOW);
}
