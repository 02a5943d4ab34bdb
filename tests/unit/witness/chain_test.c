/* poa_chain_run: a chain of headers, over hand-overs, and everything that a
 * committee could sign but must not get away with. */
#include "support.h"

#define VIEWS 4 /* an epoch closes after this view */

/* Two committees that share nobody, and a chain under construction. */
static struct committee first, second;
static struct poa_chain_check check;
static struct poa_header last;
static uint8_t last_hash[32];

static struct {
    uint8_t headers[64 * (POA_HEADER_BYTES + 2)], cert[POA_CERT_BYTES_MAX], next[8192];
    uint8_t sigs[64 * POA_COMMITTEE_MAX];
    struct poa_writer w;
    struct poa_run run;
} built;

static void set_up(void)
{
    committee_make(&first, 4, 3);
    committee_make(&second, 7, 5);
    first.c.epoch = 0;
    second.c.epoch = 1;
    for (uint32_t i = 0; i < second.n; i++) { /* other keys than the first ones */
        memset(second.seed[i], 7, 32);
        poa_put_le32(second.seed[i], i + 1);
        poa_ed25519_public(second.seed[i], second.key[i]);
        memcpy(second.bytes + (size_t)i * 42, second.key[i], 32);
    }
    cr_assert_eq(poa_chain_begin(&check, SUITE, chain_a, VIEWS, 1000, &first.c), POA_OK);
    memset(&last, 0, sizeof last);
    last.time_ms = 1000;
    memcpy(last_hash, chain_a, 32);
    memset(&built, 0, sizeof built);
    built.w = poa_writer_over(built.headers, sizeof built.headers);
}

/* The header that follows LAST at VIEW. */
static struct poa_header next_header(uint32_t epoch, uint64_t view)
{
    struct poa_header h = {.version = 1,
                           .epoch = epoch,
                           .view = view,
                           .height = last.height + 1,
                           .parent_view = last.epoch == epoch ? last.view : 0,
                           .time_ms = last.time_ms + 10};
    memcpy(h.chain, chain_a, 32);
    memcpy(h.parent, last_hash, 32);
    if (view > VIEWS)
        h.kind = last.kind == POA_BLOCK_NORMAL ? POA_BLOCK_CLOSING : POA_BLOCK_FILLER;
    if (h.kind == POA_BLOCK_CLOSING)
        poa_committee_hash(&second.c, h.next_committee);
    if (h.kind == POA_BLOCK_FILLER)
        h.closing_height = last.kind == POA_BLOCK_CLOSING ? last.height : last.closing_height;
    return h;
}

static void add(const struct poa_header *h)
{
    uint8_t bytes[POA_HEADER_BYTES];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_raw_header raw;
    cr_assert_eq(poa_header_encode(&w, h), POA_OK);
    raw.header = poa_written(&w);
    cr_assert_eq(poa_raw_header_encode(&built.w, &raw), POA_OK);
    built.run.headers.count++;
    last = *h;
    poa_header_hash(h, last_hash);
}

static void add_view(uint32_t epoch, uint64_t view)
{
    struct poa_header h = next_header(epoch, view);
    add(&h);
}

static int submit(const struct committee *by, uint8_t kind, uint32_t mask, bool next, bool gap)
{
    uint8_t hash[32];
    memcpy(hash, last_hash, 32);
    if (kind == POA_VOTE_NULLIFY)
        memset(hash, 0, 32);
    struct poa_cert cert = cert_make(by, kind, last.view, hash, mask, built.sigs);
    struct poa_writer c = poa_writer_over(built.cert, sizeof built.cert);
    struct poa_writer n = poa_writer_over(built.next, sizeof built.next);
    cr_assert_eq(poa_cert_encode(&c, &cert), POA_OK);
    built.run.cert = poa_written(&c);
    if (next)
        cr_assert_eq(poa_committee_encode(&n, &second.c), POA_OK);
    built.run.next = poa_written(&n);
    built.run.headers.bytes = poa_written(&built.w);
    int e = poa_chain_run(&check, &built.run, gap);
    built.w.n = 0;
    built.run.headers.count = 0;
    return e;
}

static int final(const struct committee *by, bool next)
{
    return submit(by, POA_VOTE_FINALIZE, (1u << by->c.quorum) - 1, next, false);
}

#define REFUSED(call, error, text)                                                                 \
    do {                                                                                           \
        int e_ = (call);                                                                           \
        cr_assert_eq(e_, POA_E_##error, "%s", poa_error_name(e_));                                 \
        cr_assert(strstr(check.wrong, text) != NULL, "%s", check.wrong);                           \
    } while (0)

/* Epoch 0 with two nullified views, its closing block with two fillers, epoch 1. */
static void to_epoch_1(void)
{
    add_view(0, 1);
    add_view(0, 3);
    cr_assert_eq(final(&first, false), POA_OK);
    add_view(0, 4);
    add_view(0, 6);
    struct poa_header closing = last;
    uint8_t hash[32];
    memcpy(hash, last_hash, 32);
    add_view(0, 7);
    add_view(0, 8);
    cr_assert_eq(final(&first, true), POA_OK);
    last = closing; /* the fillers are dropped */
    memcpy(last_hash, hash, 32);
}

Test(chain, over_a_hand_over, .init = set_up)
{
    to_epoch_1();
    cr_assert_eq(check.epoch, 1);
    cr_assert_eq(check.height, 4);
    cr_assert_eq(check.committee.members.count, 7);
    add_view(1, 1);
    cr_assert_eq(final(&second, false), POA_OK);
    cr_assert_eq(check.height, 5);
    cr_assert_eq(check.headers, 7);
    cr_assert_eq(check.certificates, 3);
    cr_assert_eq(check.hand_overs, 1);
    cr_assert_eq(memcmp(check.hash, last_hash, 32), 0);
}

Test(chain, who_left_signs_nothing, .init = set_up)
{
    to_epoch_1();
    add_view(1, 1);
    first.c.epoch = 1; /* the old committee claims the new epoch */
    REFUSED(final(&first, false), QUORUM, "too few");
    set_up();
    to_epoch_1();
    add_view(1, 1);
    first.c.epoch = 1;
    REFUSED(submit(&first, POA_VOTE_FINALIZE, 15, false, false), QUORUM, "too few");
}

Test(chain, signatures, .init = set_up)
{
    add_view(0, 1);
    REFUSED(submit(&first, POA_VOTE_FINALIZE, 3, false, false), QUORUM, "too few");
    set_up();
    add_view(0, 1);
    REFUSED(submit(&first, POA_VOTE_NOTARIZE, 7, false, false), BLOCK_INVALID, "not finalize");
    set_up();
    add_view(0, 1);
    REFUSED(submit(&first, POA_VOTE_NULLIFY, 7, false, false), BLOCK_INVALID, "not finalize");
    set_up();
    add_view(0, 1);
    second.c.epoch = 0; /* real signatures, of others */
    REFUSED(submit(&second, POA_VOTE_FINALIZE, 15, false, false), SIGNATURE, "no member");
    set_up();
    add_view(0, 1);
    second.c.epoch = 0;
    REFUSED(submit(&second, POA_VOTE_FINALIZE, 0x78, false, false), NOT_MEMBER, "no member");
    set_up();
    add_view(0, 1);
    first.c.epoch = 1;
    REFUSED(submit(&first, POA_VOTE_FINALIZE, 7, false, false), EPOCH, "another epoch");
}

/* Headers that break a rule are refused although a whole committee signed them. */
#define WRONG(change, error, text)                                                                 \
    do {                                                                                           \
        set_up();                                                                                  \
        add_view(0, 1);                                                                            \
        struct poa_header h = next_header(0, 2);                                                   \
        change;                                                                                    \
        add(&h);                                                                                   \
        REFUSED(final(&first, false), error, text);                                                \
    } while (0)

Test(chain, headers)
{
    WRONG(h.version = 0, BLOCK_INVALID, "version");
    WRONG(h.chain[0] ^= 1, CHAIN, "another chain");
    WRONG(h.epoch = 1, EPOCH, "epoch");
    WRONG(h.height = 3, BLOCK_PARENT, "missing");
    WRONG(h.height = 1, BLOCK_PARENT, "out of order");
    WRONG(h.parent[0] ^= 1, BLOCK_PARENT, "another block");
    WRONG(h.parent_view = 0, BLOCK_INVALID, "views");
    WRONG(h.view = 1, BLOCK_INVALID, "views");
    WRONG(h.view = 0, BLOCK_INVALID, "kind");
    WRONG(h.time_ms = last.time_ms, BLOCK_INVALID, "time");
    WRONG(h.leader = 4, NOT_MEMBER, "leader");
    WRONG(h.kind = POA_BLOCK_CLOSING, BLOCK_INVALID, "kind");
    WRONG(h.kind = POA_BLOCK_FILLER, BLOCK_INVALID, "fillers");
    WRONG(h.view = VIEWS + 1, BLOCK_INVALID, "kind");
    WRONG(h.closing_height = 1, BLOCK_INVALID, "closing height");
    WRONG(h.next_committee[3] = 1, BLOCK_INVALID, "closes no epoch");
}

Test(chain, closing, .init = set_up)
{
    add_view(0, 5);
    REFUSED(final(&first, false), TRUNCATED, "missing or damaged");
    set_up();
    struct poa_header h = next_header(0, 5);
    memset(h.next_committee, 0, 32);
    add(&h);
    REFUSED(final(&first, true), BLOCK_INVALID, "closes no epoch");
    set_up();
    h = next_header(0, 5);
    h.next_committee[0] ^= 1;
    add(&h);
    REFUSED(final(&first, true), BLOCK_INVALID, "not the one");
    set_up();
    second.c.epoch = 2;
    add_view(0, 5);
    REFUSED(final(&first, true), EPOCH, "another epoch");
    set_up();
    second.c.quorum = 4; /* below n - f of seven */
    add_view(0, 5);
    REFUSED(final(&first, true), RANGE, "rules of committees");
    set_up();
    add_view(0, 1);
    REFUSED(final(&first, true), BLOCK_INVALID, "without a closing");
    set_up(); /* a normal block after the closing one */
    add_view(0, 5);
    h = next_header(0, 6);
    h.kind = POA_BLOCK_NORMAL;
    h.closing_height = 0;
    add(&h);
    REFUSED(final(&first, true), BLOCK_INVALID, "fillers");
    set_up(); /* fillers name their closing block */
    add_view(0, 5);
    h = next_header(0, 6);
    h.closing_height = 9;
    add(&h);
    REFUSED(final(&first, true), BLOCK_INVALID, "closing height");
    set_up(); /* the end of an epoch is not final by half of its run */
    add_view(0, 5);
    cr_assert_eq(submit(&first, POA_VOTE_FINALIZE, 7, true, false), POA_OK);
    last = next_header(0, 6);
    add(&last);
    REFUSED(final(&first, false), BLOCK_INVALID, "fillers");
}

Test(chain, hand_overs_alone, .init = set_up)
{
    add_view(0, 1);
    add_view(0, 2);
    built.w.n = 0; /* nobody has them any more */
    built.run.headers.count = 0;
    add_view(0, 5);
    REFUSED(submit(&first, POA_VOTE_FINALIZE, 7, true, false), BLOCK_PARENT, "missing");
    set_up();
    add_view(0, 1);
    add_view(0, 2);
    built.w.n = 0;
    built.run.headers.count = 0;
    add_view(0, 5);
    cr_assert_eq(submit(&first, POA_VOTE_FINALIZE, 7, true, true), POA_OK);
    cr_assert_eq(check.epoch, 1);
    cr_assert_eq(check.height, 3);
    /* A gap never skips an epoch. */
    struct poa_header h = next_header(2, 1);
    h.height += 5;
    add(&h);
    REFUSED(submit(&second, POA_VOTE_FINALIZE, 31, false, true), EPOCH, "epoch");
}

Test(chain, nothing_to_check, .init = set_up)
{
    REFUSED(poa_chain_run(&check, &built.run, false), BLOCK_INVALID, "without headers");
    first.c.quorum = 2;
    cr_assert_eq(poa_chain_begin(&check, SUITE, chain_a, VIEWS, 0, &first.c), POA_E_RANGE);
}
