/* Signed records as a stranger sends them: what a check accepts has what the
 * check promises. */
#include "suite.h"

static const uint8_t chain[32] = {1, 2, 3};
#define EPOCH 5

static struct fuzz_committee *committee(void)
{
    static struct fuzz_committee f;
    if (!f.c.members.count)
        fuzz_committee(&f, EPOCH, 7);
    return &f;
}

enum mode {
    VOTE,
    CERT,
    FINAL,
    FINAL_FIXED, /* with the hash filled in, which no mutation finds */
    EVIDENCE,
    SEAL,
    TICKET,
    LOTTERY,
    COMMITTEE,
    DRAW,
    RUN,
    RUN_GAP,
    MODES
};

static unsigned bits(const uint8_t *p, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < 8 * n; i++)
        sum += p[i / 8] >> i % 8 & 1;
    return sum;
}

static void check_final(struct fuzz_in in, bool fix)
{
    const struct poa_committee *c = &committee()->c;
    struct poa_header h;
    struct poa_cert cert;
    if (poa_header_decode(fuzz_slice(&in, POA_HEADER_BYTES), &h) ||
        poa_cert_decode(poa_slice(in.p, in.n), &cert))
        return;
    if (fix) {
        memcpy(h.chain, chain, 32);
        cert.kind = POA_VOTE_FINALIZE;
        h.epoch = cert.epoch = EPOCH;
        h.view = cert.view;
        poa_header_hash(&h, cert.hash);
    }
    if (poa_final_check(&fuzz_suite, chain, c, &h, &cert))
        return;
    uint8_t hash[32];
    poa_header_hash(&h, hash);
    FUZZ_CHECK(!memcmp(hash, cert.hash, 32) && h.kind != POA_BLOCK_FILLER);
    FUZZ_CHECK(cert.kind == POA_VOTE_FINALIZE && cert.view == h.view && cert.epoch == EPOCH);
    FUZZ_CHECK(cert.sigs.count >= c->quorum && bits(cert.signers, 16) == cert.sigs.count);
}

static void check_evidence(struct poa_slice bytes)
{
    const struct poa_committee *c = &committee()->c;
    struct poa_evidence e;
    if (poa_evidence_decode(bytes, &e))
        return;
    if (poa_evidence_check(&fuzz_suite, chain, c, &e))
        return;
    FUZZ_CHECK(!poa_slice_equal(e.first, e.second));
    FUZZ_CHECK(e.kind == POA_EVIDENCE_SEALS || poa_committee_find(c, e.author) >= 0);
    /* Order does not matter for who is guilty. */
    struct poa_slice first = e.first;
    e.first = e.second;
    e.second = first;
    FUZZ_CHECK(poa_evidence_check(&fuzz_suite, chain, c, &e) == POA_OK);
}

static void check_lottery(struct fuzz_in *in)
{
    uint32_t eligible = fuzz_u32(in), seats = fuzz_u32(in), slots = fuzz_u32(in);
    struct poa_lottery l = {.eligible = eligible, .seats_per_slot = seats, .window_slots = slots};
    struct poa_seat seat[POA_DRAWS_MAX];
    uint8_t beta[64], seed[32];
    uint32_t index;
    uint64_t rank, slot = fuzz_u64(in);
    fuzz_fill(in, beta, sizeof beta);
    fuzz_fill(in, seed, sizeof seed);
    if (!l.eligible || !l.window_slots)
        return; /* nobody draws then */
    uint32_t k = poa_lottery_draws(&l);
    FUZZ_CHECK(k && k <= POA_DRAWS_MAX && l.window_slots % k == 0 && !(k & (k - 1)));
    size_t n = poa_ticket_seats(&l, beta, seat);
    FUZZ_CHECK(n <= k);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(seat[i].slot < l.window_slots && (!i || seat[i].slot > seat[i - 1].slot));
    for (uint32_t j = 0; j < 3; j++) {
        poa_random_seat(chain, seed, slot, j, l.eligible, &index, &rank);
        FUZZ_CHECK(index < l.eligible);
    }
}

static void check_committee(struct poa_slice bytes)
{
    struct poa_committee c;
    uint8_t key[32];
    if (poa_committee_decode(bytes, &c) || poa_committee_check(&c))
        return;
    FUZZ_CHECK(c.members.count && c.quorum <= c.members.count);
    FUZZ_CHECK(2 * c.quorum > c.members.count);
    for (uint32_t i = 0; i < c.members.count; i++) {
        FUZZ_CHECK(poa_committee_key(&c, i, key) == POA_OK);
        FUZZ_CHECK(poa_committee_find(&c, key) == (int)i);
    }
    FUZZ_CHECK(poa_committee_key(&c, c.members.count, key) == POA_E_NOT_MEMBER);
    poa_committee_hash(&c, key);
}

static void check_draw(struct fuzz_in *in)
{
    struct poa_committee_rule rule = {.size = fuzz_u8(in),
                                      .quorum_extra = fuzz_u8(in),
                                      .cap_maker = fuzz_u8(in),
                                      .cap_region = fuzz_u8(in),
                                      .cap_provider = fuzz_u8(in)};
    struct poa_candidate pool[160];
    uint8_t seed[32], buffer[POA_COMMITTEE_MAX * 42];
    struct poa_committee c;
    size_t n = fuzz_u8(in), drawn = 0;
    if (n > 160)
        n = 160;
    if (rule.size > POA_COMMITTEE_MAX)
        rule.size = POA_COMMITTEE_MAX; /* as poa_genesis_check has it */
    fuzz_fill(in, seed, sizeof seed);
    memset(pool, 0, sizeof pool);
    for (size_t i = 0; i < n; i++) {
        memset(pool[i].member.key, 0x40, 32);
        poa_put_le32(pool[i].member.key, (uint32_t)i);
        pool[i].member.maker = fuzz_u8(in);
        pool[i].member.region = pool[i].member.maker % 5;
        pool[i].member.provider = pool[i].member.maker % 3;
    }
    uint32_t relaxed = poa_committee_draw(&rule, seed, pool, n);
    size_t want = rule.size && rule.size < n ? rule.size : n;
    if (want > POA_COMMITTEE_MAX)
        want = POA_COMMITTEE_MAX;
    for (size_t i = 0; i < n; i++)
        drawn += pool[i].seat != 0;
    FUZZ_CHECK(drawn == want);
    FUZZ_CHECK(!relaxed || rule.cap_maker || rule.cap_region || rule.cap_provider);
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    int e = poa_committee_build(&rule, EPOCH, pool, n, &w, &c);
    FUZZ_CHECK(e == (n ? POA_OK : POA_E_RANGE));
    if (!e)
        FUZZ_CHECK(c.members.count == drawn && poa_committee_check(&c) == POA_OK);
}

/* Headers as a file brings them; the epoch ends after view 4. */
static void check_run(struct poa_slice bytes, bool gap)
{
    static struct poa_chain_check check;
    const struct poa_committee *c = &committee()->c;
    struct poa_run run;
    if (poa_run_decode(bytes, &run))
        return;
    FUZZ_CHECK(poa_chain_begin(&check, &fuzz_suite, chain, 4, 1000, c) == POA_OK);
    int e = poa_chain_run(&check, &run, gap);
    FUZZ_CHECK(!e == !check.wrong);
    if (e)
        return;
    FUZZ_CHECK(check.headers == run.headers.count && check.certificates == 1);
    FUZZ_CHECK(check.hand_overs == (run.next.n ? 1u : 0u));
    FUZZ_CHECK(check.epoch == EPOCH + check.hand_overs && check.time_ms > 1000);
    FUZZ_CHECK(gap || check.height <= run.headers.count);
    FUZZ_CHECK(poa_committee_check(&check.committee) == POA_OK);
    FUZZ_CHECK(poa_chain_run(&check, &run, gap) != POA_OK); /* never twice */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    enum mode mode = fuzz_u8(&in) % MODES;
    uint8_t *exact = fuzz_copy(in.p, in.n);
    struct poa_slice bytes = poa_slice(exact, in.n);
    struct fuzz_in rest = {exact, in.n};
    const struct poa_committee *c = &committee()->c;
    struct poa_vote v;
    struct poa_cert cert;
    struct poa_seal seal;
    struct poa_ticket t;
    uint8_t beta[64];
    switch (mode) {
    case VOTE:
        if (!poa_vote_decode(bytes, &v) && !poa_vote_check(&fuzz_suite, chain, c, &v))
            FUZZ_CHECK(v.epoch == EPOCH && v.voter < c->members.count);
        break;
    case CERT:
        if (!poa_cert_decode(bytes, &cert) && !poa_cert_check(&fuzz_suite, chain, c, &cert))
            FUZZ_CHECK(cert.epoch == EPOCH && cert.sigs.count >= c->quorum &&
                       bits(cert.signers, 16) == cert.sigs.count);
        break;
    case FINAL:
    case FINAL_FIXED:
        check_final(rest, mode == FINAL_FIXED);
        break;
    case EVIDENCE:
        check_evidence(bytes);
        break;
    case SEAL:
        if (!poa_seal_decode(bytes, &seal) && !poa_seal_check(&fuzz_suite, chain, &seal))
            FUZZ_CHECK(seal.sig[0] == FUZZ_VALID);
        break;
    case TICKET:
        if (!poa_ticket_decode(bytes, &t) && !poa_ticket_check(&fuzz_suite, chain, chain, &t, beta))
            FUZZ_CHECK(t.proof[0] == FUZZ_VALID);
        break;
    case LOTTERY:
        check_lottery(&rest);
        break;
    case COMMITTEE:
        check_committee(bytes);
        break;
    case DRAW:
        check_draw(&rest);
        break;
    case RUN:
    case RUN_GAP:
        check_run(bytes, mode == RUN_GAP);
        break;
    case MODES:
        break;
    }
    free(exact);
    return 0;
}

#define SEED(name, w) fuzz_seed(name, (w).p, (w).n)

void fuzz_seeds(void)
{
    static uint8_t buffer[65536], sub[2][4096], sigs[64 * 128];
    const struct fuzz_committee *f = committee();
    struct poa_writer w, s[2];
    struct poa_header h = {.version = 1, .epoch = EPOCH, .view = 9, .height = 20, .time_ms = 1000};
    struct poa_evidence ev = {.kind = POA_EVIDENCE_VOTES};
    uint8_t hash[32], seed[32];
    memcpy(h.chain, chain, 32);
    poa_header_hash(&h, hash);

#define BEGIN(mode) w = poa_writer_over(buffer, sizeof buffer), poa_write_u8(&w, mode)
    struct poa_vote v = {.kind = POA_VOTE_NOTARIZE, .epoch = EPOCH, .view = 9, .voter = 3};
    v.sig[0] = FUZZ_VALID;
    BEGIN(VOTE);
    FUZZ_CHECK(!poa_vote_encode(&w, &v));
    SEED("vote", w);

    for (uint8_t kind = 0; kind < 3; kind++) {
        char name[] = "cert-0";
        struct poa_cert cert = fuzz_cert(f, kind, 9, hash, sigs);
        name[5] = (char)('0' + kind);
        BEGIN(CERT);
        FUZZ_CHECK(!poa_cert_encode(&w, &cert));
        SEED(name, w);
    }
    struct poa_cert cert = fuzz_cert(f, POA_VOTE_FINALIZE, 9, hash, sigs);
    for (uint8_t mode = FINAL; mode <= FINAL_FIXED; mode++) {
        BEGIN(mode);
        FUZZ_CHECK(!poa_header_encode(&w, &h) && !poa_cert_encode(&w, &cert));
        SEED(mode == FINAL ? "final" : "final-fixed", w);
    }

    for (int i = 0; i < 2; i++) {
        s[i] = poa_writer_over(sub[i], sizeof sub[i]);
        v.hash[0] = (uint8_t)i;
        FUZZ_CHECK(!poa_vote_encode(&s[i], &v));
    }
    fuzz_identity(4, seed, ev.author);
    ev.first = poa_written(&s[0]);
    ev.second = poa_written(&s[1]);
    BEGIN(EVIDENCE);
    FUZZ_CHECK(!poa_evidence_encode(&w, &ev));
    FUZZ_CHECK(!poa_evidence_check(&fuzz_suite, chain, &f->c, &ev));
    SEED("evidence-votes", w);

    for (int i = 0; i < 2; i++) {
        uint8_t header[POA_HEADER_BYTES];
        struct poa_writer hw = poa_writer_over(header, sizeof header);
        struct poa_signed_header sh = {.sig = {FUZZ_VALID}};
        h.leader = 2;
        h.time_ms = 1000 + (uint64_t)i;
        FUZZ_CHECK(!poa_header_encode(&hw, &h));
        sh.header = poa_written(&hw);
        s[i] = poa_writer_over(sub[i], sizeof sub[i]);
        FUZZ_CHECK(!poa_signed_header_encode(&s[i], &sh));
    }
    ev.kind = POA_EVIDENCE_HEADERS;
    fuzz_identity(3, seed, ev.author);
    ev.first = poa_written(&s[0]);
    ev.second = poa_written(&s[1]);
    BEGIN(EVIDENCE);
    FUZZ_CHECK(!poa_evidence_encode(&w, &ev));
    FUZZ_CHECK(!poa_evidence_check(&fuzz_suite, chain, &f->c, &ev));
    SEED("evidence-headers", w);

    struct poa_seal seal = {.epoch = EPOCH, .slot = 7, .height = 20, .sig = {FUZZ_VALID}};
    fuzz_identity(9, seed, seal.device);
    BEGIN(SEAL);
    FUZZ_CHECK(!poa_seal_encode(&w, &seal));
    SEED("seal", w);
    for (int i = 0; i < 2; i++) {
        s[i] = poa_writer_over(sub[i], sizeof sub[i]);
        seal.hash[0] = (uint8_t)i;
        FUZZ_CHECK(!poa_seal_encode(&s[i], &seal));
    }
    ev.kind = POA_EVIDENCE_SEALS;
    memcpy(ev.author, seal.device, 32);
    ev.first = poa_written(&s[0]);
    ev.second = poa_written(&s[1]);
    BEGIN(EVIDENCE);
    FUZZ_CHECK(!poa_evidence_encode(&w, &ev));
    FUZZ_CHECK(!poa_evidence_check(&fuzz_suite, chain, &f->c, &ev));
    SEED("evidence-seals", w);

    /* An epoch's closing header and its hand-over; with a gap, and without. */
    static struct fuzz_committee next;
    fuzz_committee(&next, EPOCH + 1, 4);
    for (uint8_t mode = RUN; mode <= RUN_GAP; mode++) {
        uint8_t header[POA_HEADER_BYTES], list[512], cert_bytes[POA_CERT_BYTES_MAX], members[512];
        struct poa_writer hw = poa_writer_over(header, sizeof header);
        struct poa_writer lw = poa_writer_over(list, sizeof list);
        struct poa_writer cw = poa_writer_over(cert_bytes, sizeof cert_bytes);
        struct poa_writer mw = poa_writer_over(members, sizeof members);
        struct poa_header closing = {.version = 1,
                                     .kind = POA_BLOCK_CLOSING,
                                     .epoch = EPOCH,
                                     .view = 5,
                                     .height = mode == RUN ? 1 : 77,
                                     .time_ms = 2000};
        memcpy(closing.chain, chain, 32);
        memcpy(closing.parent, chain, 32);
        poa_committee_hash(&next.c, closing.next_committee);
        poa_header_hash(&closing, hash);
        cert = fuzz_cert(f, POA_VOTE_FINALIZE, 5, hash, sigs);
        FUZZ_CHECK(!poa_header_encode(&hw, &closing) && !poa_cert_encode(&cw, &cert) &&
                   !poa_committee_encode(&mw, &next.c));
        struct poa_raw_header raw = {.header = poa_written(&hw)};
        FUZZ_CHECK(!poa_raw_header_encode(&lw, &raw));
        struct poa_run run = {.headers = {.bytes = poa_written(&lw), .count = 1},
                              .cert = poa_written(&cw),
                              .next = poa_written(&mw)};
        static struct poa_chain_check check;
        FUZZ_CHECK(!poa_chain_begin(&check, &fuzz_suite, chain, 4, 1000, &f->c) &&
                   !poa_chain_run(&check, &run, mode == RUN_GAP) && check.hand_overs == 1);
        BEGIN(mode);
        FUZZ_CHECK(!poa_run_encode(&w, &run));
        SEED(mode == RUN ? "run" : "run-gap", w);
    }

    struct poa_ticket t = {.epoch = EPOCH, .window = 2, .proof = {FUZZ_VALID}};
    BEGIN(TICKET);
    FUZZ_CHECK(!poa_ticket_encode(&w, &t));
    SEED("ticket", w);

    BEGIN(LOTTERY);
    poa_write_u32(&w, 20);
    poa_write_u32(&w, 5);
    poa_write_u32(&w, 16);
    poa_write_u64(&w, 77);
    poa_write(&w, hash, 32);
    SEED("lottery", w);

    BEGIN(COMMITTEE);
    FUZZ_CHECK(!poa_committee_encode(&w, &f->c));
    SEED("committee", w);

    BEGIN(DRAW);
    poa_write(&w, (const uint8_t[]){7, 1, 2, 3, 4, 30}, 6);
    poa_write(&w, hash, 32);
    for (uint8_t i = 0; i < 30; i++)
        poa_write_u8(&w, i);
    SEED("draw", w);
}
