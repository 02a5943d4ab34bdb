#include "support.h"

static struct committee m;
static uint8_t sigs[POA_COMMITTEE_MAX * 64];
static const uint8_t hash_a[32] = {0xaa}, hash_b[32] = {0xbb}, none[32];

static void four(void)
{
    committee_make(&m, 4, 3);
}

TestSuite(check, .init = four);

Test(check, header_has_its_size)
{
    cr_assert_eq(poa_record_fixed_size(&poa_header_record), POA_HEADER_BYTES);
    cr_assert_eq(poa_record_max_size(&poa_cert_record), POA_CERT_BYTES_MAX);
    cr_assert_eq(poa_record_fixed_size(&poa_member_record), 42);
}

Test(check, header_hash_covers_every_field)
{
    struct poa_header h = header_make(&m, 3, 7);
    uint8_t bytes[POA_HEADER_BYTES], first[32], other[32];
    poa_header_hash(&h, first);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_header_encode(&w, &h), POA_OK);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        if (poa_header_decode(poa_slice(bytes, sizeof bytes), &h) == POA_OK) {
            poa_header_hash(&h, other);
            cr_assert(memcmp(first, other, 32), "byte %zu is not covered", i);
        }
        bytes[i] ^= 1;
    }
}

Test(check, vote_is_accepted)
{
    for (uint8_t kind = 0; kind < 3; kind++) {
        struct poa_vote v = vote_make(&m, 2, kind, 9, 0xaa);
        cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &v), POA_OK);
    }
}

Test(check, vote_is_refused)
{
    struct poa_vote v = vote_make(&m, 2, POA_VOTE_FINALIZE, 9, 0xaa), x = v;
    cr_assert_eq(poa_vote_check(SUITE, chain_b, &m.c, &v), POA_E_SIGNATURE);
    x.epoch++;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_EPOCH);
    x = v;
    x.voter = 4;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_NOT_MEMBER);
    x.voter = 1;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x = v;
    x.kind = POA_VOTE_NOTARIZE;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x = v;
    x.view++;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x = v;
    x.hash[31] ^= 1;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x = v;
    x.sig[0] ^= 1;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x = vote_make(&m, 2, POA_VOTE_NULLIFY, 9, 0);
    x.hash[0] = 1;
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &x), POA_E_NOT_CANONICAL);
}

Test(check, signature_of_another_domain_is_no_vote)
{
    /* The same bytes, hashed for another use. */
    struct poa_vote v = vote_make(&m, 0, POA_VOTE_FINALIZE, 9, 0xaa);
    uint8_t bytes[77], digest[32];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    poa_write(&w, chain_a, 32);
    poa_write_u8(&w, v.kind);
    poa_write_u32(&w, v.epoch);
    poa_write_u64(&w, v.view);
    poa_write(&w, v.hash, 32);
    poa_hash(POA_DOMAIN_SEAL, bytes, w.n, digest);
    SUITE->sign(m.seed[0], m.key[0], digest, 32, v.sig);
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &v), POA_E_SIGNATURE);
    poa_hash(POA_DOMAIN_VOTE, bytes, w.n, digest);
    SUITE->sign(m.seed[0], m.key[0], digest, 32, v.sig);
    cr_assert_eq(poa_vote_check(SUITE, chain_a, &m.c, &v), POA_OK);
}

Test(check, cert_needs_a_quorum)
{
    for (uint32_t mask = 0; mask < 16; mask++) {
        struct poa_cert c = cert_make(&m, POA_VOTE_NOTARIZE, 3, hash_a, mask, sigs);
        int want = __builtin_popcount(mask) >= 3 ? POA_OK : POA_E_QUORUM;
        cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &c), want, "mask %u", mask);
    }
}

Test(check, cert_is_refused)
{
    struct poa_cert c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash_a, 7, sigs), x = c;
    cr_assert_eq(poa_cert_check(SUITE, chain_b, &m.c, &c), POA_E_SIGNATURE);
    x.epoch = 4;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_EPOCH);
    x = c;
    x.view = 4;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x = c;
    x.kind = POA_VOTE_NOTARIZE;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x = c;
    x.hash[3] = 1;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
    x.kind = POA_VOTE_NULLIFY;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_NOT_CANONICAL);
    /* a signer who is not in the committee */
    for (unsigned i = 4; i < 128; i++) {
        x = c;
        x.signers[i / 8] |= (uint8_t)(1 << i % 8);
        cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_NOT_MEMBER);
    }
    /* more or fewer bits than signatures */
    x = c;
    x.signers[0] = 15;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_NOT_CANONICAL);
    x.signers[0] = 3;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_NOT_CANONICAL);
    /* another member's bit */
    x.signers[0] = 11;
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &x), POA_E_SIGNATURE);
}

/* A quorum of good signatures, each over the same fields but for another use, or
 * by the right members over another vote. */
Test(check, cert_of_another_domain_epoch_or_kind_is_refused)
{
    struct poa_cert c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash_a, 7, sigs);
    uint8_t bytes[77], digest[3][32];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    poa_write(&w, chain_a, 32);
    poa_write_u8(&w, c.kind);
    poa_write_u32(&w, c.epoch);
    poa_write_u64(&w, c.view);
    poa_write(&w, c.hash, 32);
    poa_hash(POA_DOMAIN_SEAL, bytes, w.n, digest[0]);
    poa_vote_digest(chain_a, c.kind, c.epoch + 1, c.view, c.hash, digest[1]);
    poa_vote_digest(chain_a, POA_VOTE_NOTARIZE, c.epoch, c.view, c.hash, digest[2]);
    for (unsigned k = 0; k < 3; k++) {
        for (unsigned i = 0; i < 3; i++)
            SUITE->sign(m.seed[i], m.key[i], digest[k], 32, sigs + 64 * i);
        cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &c), POA_E_SIGNATURE, "digest %u", k);
    }
    c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash_a, 7, sigs);
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &c), POA_OK);
}

Test(check, one_signature_counts_once)
{
    struct poa_cert c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash_a, 7, sigs);
    memcpy(sigs + 128, sigs, 64);
    cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &c), POA_E_SIGNATURE);
    for (unsigned i = 0; i < 3; i++) {
        c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash_a, 7, sigs);
        for (unsigned byte = 0; byte < 64; byte++) {
            sigs[64 * i + byte] ^= 0x10;
            cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &c), POA_E_SIGNATURE);
            sigs[64 * i + byte] ^= 0x10;
        }
        cr_assert_eq(poa_cert_check(SUITE, chain_a, &m.c, &c), POA_OK);
    }
}

Test(check, final_is_what_its_certificate_names)
{
    struct poa_header h = header_make(&m, 3, 7), x;
    uint8_t hash[32];
    poa_header_hash(&h, hash);
    struct poa_cert c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash, 13, sigs), n;
    cr_assert_eq(poa_final_check(SUITE, chain_a, &m.c, &h, &c), POA_OK);
    cr_assert_eq(poa_final_check(SUITE, chain_b, &m.c, &h, &c), POA_E_CHAIN);
    x = h;
    x.height++;
    cr_assert_eq(poa_final_check(SUITE, chain_a, &m.c, &x, &c), POA_E_BLOCK_INVALID);
    x = h;
    x.view++;
    cr_assert_eq(poa_final_check(SUITE, chain_a, &m.c, &x, &c), POA_E_BLOCK_INVALID);
    x = h;
    x.epoch++;
    cr_assert_eq(poa_final_check(SUITE, chain_a, &m.c, &x, &c), POA_E_EPOCH);
    n = cert_make(&m, POA_VOTE_NOTARIZE, 3, hash, 13, sigs);
    cr_assert_eq(poa_final_check(SUITE, chain_a, &m.c, &h, &n), POA_E_QUORUM);
    h.kind = POA_BLOCK_FILLER;
    poa_header_hash(&h, hash);
    c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash, 13, sigs);
    cr_assert_eq(poa_final_check(SUITE, chain_a, &m.c, &h, &c), POA_E_BLOCK_INVALID);
    h.kind = POA_BLOCK_CLOSING;
    poa_header_hash(&h, hash);
    c = cert_make(&m, POA_VOTE_FINALIZE, 3, hash, 7, sigs);
    cr_assert_eq(poa_final_check(SUITE, chain_a, &m.c, &h, &c), POA_OK);
}

Test(check, committee_structure)
{
    struct poa_committee c = m.c;
    uint8_t key[32], hash[32], other[32];
    cr_assert_eq(poa_committee_find(&c, m.key[3]), 3);
    cr_assert_eq(poa_committee_find(&c, none), POA_E_NOT_MEMBER);
    cr_assert_eq(poa_committee_key(&c, 3, key), POA_OK);
    cr_assert_arr_eq(key, m.key[3], 32);
    cr_assert_eq(poa_committee_key(&c, 4, key), POA_E_NOT_MEMBER);
    c.quorum = 2;
    cr_assert_eq(poa_committee_check(&c), POA_E_RANGE);
    c.quorum = 5;
    cr_assert_eq(poa_committee_check(&c), POA_E_RANGE);
    c.quorum = 4;
    cr_assert_eq(poa_committee_check(&c), POA_OK);
    c.members.count = 0;
    cr_assert_eq(poa_committee_check(&c), POA_E_RANGE);
    c = m.c;
    poa_committee_hash(&c, hash);
    c.epoch++;
    poa_committee_hash(&c, other);
    cr_assert(memcmp(hash, other, 32));
    /* the hash is that of the encoding */
    uint8_t bytes[512];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_committee_encode(&w, &m.c), POA_OK);
    poa_hash(POA_DOMAIN_COMMITTEE, bytes, w.n, other);
    cr_assert_arr_eq(hash, other, 32);
    memcpy(m.bytes + 42, m.bytes, 32);
    cr_assert_eq(poa_committee_check(&m.c), POA_E_DUPLICATE);
}

/* Two quorums always share an honest member when at most f are bad: every
 * committee of up to 7, every pair of certificates. */
Test(check, quorums_intersect_in_an_honest_member)
{
    for (uint32_t n = 1; n <= 7; n++) {
        uint32_t f = poa_committee_faults(n);
        for (uint32_t q = n - f; q <= n; q++)
            for (uint32_t a = 0; a < 1u << n; a++)
                for (uint32_t b = 0; b < 1u << n; b++)
                    if ((uint32_t)__builtin_popcount(a) >= q &&
                        (uint32_t)__builtin_popcount(b) >= q)
                        cr_assert_gt((uint32_t)__builtin_popcount(a & b), f);
    }
}

Test(check, seal)
{
    struct poa_seal s = {.epoch = 5, .slot = 77, .height = 12}, x;
    uint8_t digest[32];
    memcpy(s.device, m.key[1], 32);
    memcpy(s.hash, hash_a, 32);
    poa_seal_digest(chain_a, &s, digest);
    SUITE->sign(m.seed[1], m.key[1], digest, 32, s.sig);
    cr_assert_eq(poa_seal_check(SUITE, chain_a, &s), POA_OK);
    cr_assert_eq(poa_seal_check(SUITE, chain_b, &s), POA_E_SIGNATURE);
#define BREAK(change)                                                                              \
    x = s;                                                                                         \
    change;                                                                                        \
    cr_assert_eq(poa_seal_check(SUITE, chain_a, &x), POA_E_SIGNATURE, #change)
    BREAK(x.slot++);
    BREAK(x.epoch++);
    BREAK(x.height++);
    BREAK(x.hash[0] ^= 1);
    BREAK(memcpy(x.device, m.key[2], 32));
}

Test(check, ticket)
{
    struct poa_ticket t = {.epoch = 5, .window = 3}, x;
    uint8_t seed[32] = {7}, alpha[32], beta[64], again[64];
    memcpy(t.device, m.key[1], 32);
    poa_ticket_alpha(chain_a, seed, 5, 3, alpha);
    cr_assert_eq(SUITE->vrf_prove(m.seed[1], m.key[1], alpha, 32, t.proof), POA_OK);
    cr_assert_eq(poa_ticket_check(SUITE, chain_a, seed, &t, beta), POA_OK);
    cr_assert_eq(poa_ticket_check(SUITE, chain_a, seed, &t, again), POA_OK);
    cr_assert_arr_eq(beta, again, 64);
    cr_assert_eq(poa_ticket_check(SUITE, chain_b, seed, &t, beta), POA_E_PROOF);
    x = t;
    x.window++;
    cr_assert_eq(poa_ticket_check(SUITE, chain_a, seed, &x, beta), POA_E_PROOF);
    x = t;
    x.epoch++;
    cr_assert_eq(poa_ticket_check(SUITE, chain_a, seed, &x, beta), POA_E_PROOF);
    x = t;
    memcpy(x.device, m.key[2], 32);
    cr_assert_eq(poa_ticket_check(SUITE, chain_a, seed, &x, beta), POA_E_PROOF);
    seed[0]++;
    cr_assert_eq(poa_ticket_check(SUITE, chain_a, seed, &t, beta), POA_E_PROOF);
}

/* --- evidence ----------------------------------------------------------------- */

static uint8_t first[400], second[400];

static struct poa_evidence evidence_of_votes(struct poa_vote a, struct poa_vote b)
{
    struct poa_writer wa = poa_writer_over(first, sizeof first);
    struct poa_writer wb = poa_writer_over(second, sizeof second);
    struct poa_evidence e = {.kind = POA_EVIDENCE_VOTES};
    cr_assert_eq(poa_vote_encode(&wa, &a), POA_OK);
    cr_assert_eq(poa_vote_encode(&wb, &b), POA_OK);
    memcpy(e.author, m.key[a.voter], 32);
    e.first = poa_written(&wa);
    e.second = poa_written(&wb);
    return e;
}

Test(check, evidence_of_votes)
{
    /* Every pair of kinds, same and other hash: only real contradictions convict. */
    for (uint8_t ka = 0; ka < 3; ka++)
        for (uint8_t kb = 0; kb < 3; kb++)
            for (uint8_t mark = 1; mark <= 2; mark++) {
                struct poa_evidence e =
                    evidence_of_votes(vote_make(&m, 1, ka, 9, 1), vote_make(&m, 1, kb, 9, mark));
                bool bad = ka == kb ? ka != POA_VOTE_NULLIFY && mark == 2
                                    : ka != POA_VOTE_NOTARIZE && kb != POA_VOTE_NOTARIZE;
                cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e),
                             bad ? POA_OK : POA_E_PROOF, "%d %d %d", ka, kb, mark);
            }
    struct poa_vote a = vote_make(&m, 1, 0, 9, 1), b = vote_make(&m, 1, 0, 9, 2), x;
    struct poa_evidence e = evidence_of_votes(a, vote_make(&m, 1, 0, 10, 2));
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_PROOF);
    e = evidence_of_votes(a, vote_make(&m, 2, 0, 9, 2));
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_PROOF);
    e = evidence_of_votes(a, b);
    cr_assert_eq(poa_evidence_check(SUITE, chain_b, &m.c, &e), POA_E_SIGNATURE);
    memcpy(e.author, m.key[2], 32);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_NOT_MEMBER);
    x = b;
    x.sig[5] ^= 1;
    e = evidence_of_votes(a, x);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_SIGNATURE);
    e = evidence_of_votes(x, a);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_SIGNATURE);
    e = evidence_of_votes(a, b);
    e.second.n--;
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_TRUNCATED);
    e.kind = POA_EVIDENCE_BATCH;
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_UNSUPPORTED);
}

static struct poa_slice signed_header(uint8_t *buffer, size_t cap, const struct poa_header *h,
                                      uint32_t signer)
{
    uint8_t bytes[POA_HEADER_BYTES], hash[32], digest[32];
    struct poa_signed_header s;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes), out = poa_writer_over(buffer, cap);
    cr_assert_eq(poa_header_encode(&w, h), POA_OK);
    s.header = poa_written(&w);
    poa_header_hash(h, hash);
    poa_proposal_digest(hash, digest);
    SUITE->sign(m.seed[signer], m.key[signer], digest, 32, s.sig);
    cr_assert_eq(poa_signed_header_encode(&out, &s), POA_OK);
    return poa_written(&out);
}

Test(check, evidence_of_headers)
{
    struct poa_header a = header_make(&m, 3, 7), b = a, x;
    struct poa_evidence e = {.kind = POA_EVIDENCE_HEADERS};
    a.leader = b.leader = 2;
    b.time_ms++;
    memcpy(e.author, m.key[2], 32);
    e.first = signed_header(first, sizeof first, &a, 2);
    e.second = signed_header(second, sizeof second, &b, 2);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_OK);
    cr_assert_eq(poa_evidence_check(SUITE, chain_b, &m.c, &e), POA_E_CHAIN);
    e.second = signed_header(second, sizeof second, &a, 2);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_PROOF);
    x = b;
    x.view++;
    e.second = signed_header(second, sizeof second, &x, 2);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_PROOF);
    x = b;
    x.leader = 1;
    e.second = signed_header(second, sizeof second, &x, 1);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_NOT_MEMBER);
    x = b;
    x.epoch++;
    e.second = signed_header(second, sizeof second, &x, 2);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_EPOCH);
    e.second = signed_header(second, sizeof second, &b, 1); /* forged by a colleague */
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, &m.c, &e), POA_E_SIGNATURE);
}

Test(check, evidence_of_seals)
{
    struct poa_seal s[2];
    uint8_t digest[32];
    struct poa_evidence e = {.kind = POA_EVIDENCE_SEALS};
    uint8_t *buffer[2] = {first, second};
    memcpy(e.author, m.key[1], 32);
    for (int i = 0; i < 2; i++) {
        struct poa_writer w = poa_writer_over(buffer[i], 400);
        s[i] = (struct poa_seal){.epoch = 5, .slot = 77, .height = 12};
        memcpy(s[i].device, m.key[1], 32);
        memcpy(s[i].hash, i ? hash_b : hash_a, 32);
        poa_seal_digest(chain_a, &s[i], digest);
        SUITE->sign(m.seed[1], m.key[1], digest, 32, s[i].sig);
        cr_assert_eq(poa_seal_encode(&w, &s[i]), POA_OK);
        *(i ? &e.second : &e.first) = poa_written(&w);
    }
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, NULL, &e), POA_OK);
    cr_assert_eq(poa_evidence_check(SUITE, chain_b, NULL, &e), POA_E_SIGNATURE);
    memcpy(e.author, m.key[2], 32);
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, NULL, &e), POA_E_NOT_MEMBER);
    memcpy(e.author, m.key[1], 32);
    e.second = e.first;
    cr_assert_eq(poa_evidence_check(SUITE, chain_a, NULL, &e), POA_E_PROOF);
}
