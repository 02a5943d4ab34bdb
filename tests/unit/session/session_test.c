/* Transport frames: order, replay, rekey, lanes, damage. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_session.h"

static void establish(struct poa_session *a, struct poa_session *b, enum poa_session_order order)
{
    static const uint8_t a_sk[32] = {1, 2, 3}, b_sk[32] = {4, 5, 6};
    uint8_t b_pk[32], e[2][32], buf[256], none[16];
    struct poa_noise n[2];
    poa_x25519_public(b_sk, b_pk);
    poa_random(e, sizeof e);
    struct poa_noise_config c = {.pattern = &poa_noise_ik,
                                 .initiator = true,
                                 .static_sk32 = a_sk,
                                 .remote_pk32 = b_pk,
                                 .ephemeral32 = e[0]};
    cr_assert_eq(poa_noise_init(&n[0], &c), POA_OK);
    c.initiator = false;
    c.static_sk32 = b_sk;
    c.ephemeral32 = e[1];
    cr_assert_eq(poa_noise_init(&n[1], &c), POA_OK);
    for (int m = 0; m < 2; m++) {
        struct poa_writer w = poa_writer_over(buf, sizeof buf);
        struct poa_writer r = poa_writer_over(none, sizeof none);
        cr_assert_eq(poa_noise_write(&n[m], poa_slice(NULL, 0), &w), POA_OK);
        cr_assert_eq(poa_noise_read(&n[1 - m], poa_written(&w), &r), POA_OK);
    }
    cr_assert_eq(poa_session_start(a, &n[0], order), POA_OK);
    cr_assert_eq(poa_session_start(b, &n[1], order), POA_OK);
    poa_noise_wipe(&n[0]);
    poa_noise_wipe(&n[1]);
}

struct frame {
    uint8_t bytes[POA_SESSION_OVERHEAD + 16];
    size_t n;
};

static struct frame seal(struct poa_session *s, const char *text)
{
    struct frame f;
    struct poa_writer w = poa_writer_over(f.bytes, sizeof f.bytes);
    cr_assert_eq(poa_session_seal(s, poa_slice(text, strlen(text)), &w), POA_OK);
    f.n = w.n;
    return f;
}

static int open_frame(struct poa_session *s, const struct frame *f, const char *text)
{
    uint8_t got[32];
    struct poa_writer r = poa_writer_over(got, sizeof got);
    int rc = poa_session_open(s, poa_slice(f->bytes, f->n), &r);
    if (rc == POA_OK)
        cr_assert(poa_slice_equal(poa_written(&r), poa_slice(text, strlen(text))));
    else
        cr_assert_eq(r.n, 0);
    return rc;
}

/* Seals and throws away until the next counter is N. */
static void skip_to(struct poa_session *s, uint64_t n)
{
    while (s->send.n < n)
        (void)seal(s, "");
}

Test(session, both_ways_and_confirmation)
{
    struct poa_session a, b;
    establish(&a, &b, POA_SESSION_STRICT);
    cr_assert(poa_session_confirmed(&a), "message 2 proved the responder");
    cr_assert(!poa_session_confirmed(&b), "message 1 may be a replay");
    struct frame answer = seal(&b, "early");
    cr_assert_eq(open_frame(&a, &answer, "early"), POA_OK);
    struct frame f = seal(&a, "hello");
    uint64_t id;
    cr_assert_eq(poa_session_frame_id(poa_slice(f.bytes, f.n), &id), POA_OK);
    cr_assert_eq(id, b.id);
    cr_assert_eq(f.n, POA_SESSION_OVERHEAD + 5);
    cr_assert_eq(open_frame(&b, &f, "hello"), POA_OK);
    cr_assert(poa_session_confirmed(&b));
    /* A frame does not come back to its sender. */
    f = seal(&a, "mirror");
    cr_assert_eq(open_frame(&a, &f, "mirror"), POA_E_DECRYPT);
}

Test(session, strict_replay_gap_reorder)
{
    struct poa_session a, b;
    struct frame f[6];
    establish(&a, &b, POA_SESSION_STRICT);
    for (int i = 0; i < 6; i++)
        f[i] = seal(&a, "x");
    cr_assert_eq(open_frame(&b, &f[0], "x"), POA_OK);
    cr_assert_eq(open_frame(&b, &f[0], "x"), POA_E_REPLAY);
    cr_assert_eq(open_frame(&b, &f[3], "x"), POA_OK, "gaps are fine");
    cr_assert_eq(open_frame(&b, &f[2], "x"), POA_E_REPLAY, "older is not");
    cr_assert_eq(open_frame(&b, &f[3], "x"), POA_E_REPLAY);
    cr_assert_eq(open_frame(&b, &f[5], "x"), POA_OK);
    cr_assert_eq(open_frame(&b, &f[4], "x"), POA_E_REPLAY);
}

Test(session, window)
{
    enum { N = 3 * POA_SESSION_WINDOW };
    static struct frame f[N];
    struct poa_session a, b;
    establish(&a, &b, POA_SESSION_WINDOWED);
    for (int i = 0; i < N; i++)
        f[i] = seal(&a, "x");
    /* Pairs swapped, then everything again. */
    for (int i = 0; i < N; i += 2) {
        cr_assert_eq(open_frame(&b, &f[i + 1], "x"), POA_OK);
        cr_assert_eq(open_frame(&b, &f[i], "x"), POA_OK);
    }
    for (int i = 0; i < N; i++)
        cr_assert_eq(open_frame(&b, &f[i], "x"), POA_E_REPLAY);

    /* The edge: WINDOW back is the last that is still accepted. */
    establish(&a, &b, POA_SESSION_WINDOWED);
    for (int i = 0; i < N; i++)
        f[i] = seal(&a, "x");
    cr_assert_eq(open_frame(&b, &f[2 * POA_SESSION_WINDOW], "x"), POA_OK);
    cr_assert_eq(open_frame(&b, &f[POA_SESSION_WINDOW + 1], "x"), POA_OK);
    cr_assert_eq(open_frame(&b, &f[POA_SESSION_WINDOW], "x"), POA_E_REPLAY);
    cr_assert_eq(open_frame(&b, &f[POA_SESSION_WINDOW + 1], "x"), POA_E_REPLAY);
    cr_assert_eq(open_frame(&b, &f[N - 1], "x"), POA_OK);
    for (int i = 2 * POA_SESSION_WINDOW + 1; i < N - 1; i++) {
        cr_assert_eq(open_frame(&b, &f[i], "x"), POA_OK, "%d", i);
        cr_assert_eq(open_frame(&b, &f[i], "x"), POA_E_REPLAY, "%d", i);
    }
}

/* Random orders and losses against a model that remembers every counter. */
Test(session, window_against_a_model)
{
    enum { N = 2000 };
    static struct frame f[N];
    static bool taken[N];
    struct poa_session a, b;
    uint64_t top = 0;
    uint32_t x = 12345;
    establish(&a, &b, POA_SESSION_WINDOWED);
    for (int i = 0; i < N; i++)
        f[i] = seal(&a, "x");
    for (int round = 0; round < 20000; round++) {
        x = x * 1664525 + 1013904223;
        uint64_t base = (uint64_t)round * N / 20000;
        uint64_t i = base + (x >> 8) % 400;
        if (i >= N)
            continue;
        bool fresh = !taken[i] && i + POA_SESSION_WINDOW >= top;
        cr_assert_eq(open_frame(&b, &f[i], "x"), fresh ? POA_OK : POA_E_REPLAY, "%d", round);
        taken[i] = true;
        if (i + 1 > top)
            top = i + 1;
    }
}

Test(session, damage)
{
    struct poa_session a, b;
    establish(&a, &b, POA_SESSION_STRICT);
    struct frame good = seal(&a, "hello");
    for (size_t bit = 0; bit < good.n * 8; bit++) {
        struct frame f = good;
        f.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        int rc = open_frame(&b, &f, "hello");
        if (bit < 64)
            cr_assert_eq(rc, POA_E_SESSION_UNKNOWN);
        else if (bit < 128)
            cr_assert(rc == POA_E_DECRYPT || rc == POA_E_RANGE, "%d", rc);
        else
            cr_assert_eq(rc, POA_E_DECRYPT);
    }
    for (size_t n = 0; n < good.n; n++) {
        struct frame f = good;
        f.n = n;
        int rc = open_frame(&b, &f, "hello");
        cr_assert_eq(rc, n < POA_SESSION_OVERHEAD ? POA_E_TRUNCATED : POA_E_DECRYPT);
    }
    uint8_t small[4];
    struct poa_writer r = poa_writer_over(small, sizeof small);
    cr_assert_eq(poa_session_open(&b, poa_slice(good.bytes, good.n), &r), POA_E_BUFFER);
    cr_assert_eq(open_frame(&b, &good, "hello"), POA_OK, "none of it moved the state");
    struct poa_session c, d;
    establish(&c, &d, POA_SESSION_STRICT);
    cr_assert_eq(open_frame(&d, &good, "hello"), POA_E_SESSION_UNKNOWN);
    d.id = a.id;
    cr_assert_eq(open_frame(&d, &good, "hello"), POA_E_DECRYPT);
}

Test(session, in_place)
{
    struct poa_session a, b;
    uint8_t buf[POA_SESSION_OVERHEAD + 5];
    establish(&a, &b, POA_SESSION_STRICT);
    memcpy(buf + POA_SESSION_HEAD_BYTES, "hello", 5);
    struct poa_writer w = poa_writer_over(buf, sizeof buf);
    cr_assert_eq(poa_session_seal(&a, poa_slice(buf + POA_SESSION_HEAD_BYTES, 5), &w), POA_OK);
    cr_assert_eq(w.n, sizeof buf);
    struct poa_writer r = poa_writer_over(buf + POA_SESSION_HEAD_BYTES, 5);
    cr_assert_eq(poa_session_open(&b, poa_slice(buf, sizeof buf), &r), POA_OK);
    cr_assert_arr_eq(buf + POA_SESSION_HEAD_BYTES, "hello", 5);
}

/* Keys change at each epoch boundary on both sides, whatever got lost there. */
Test(session, ratchet)
{
    const uint64_t e = POA_SESSION_EPOCH_FRAMES;
    struct poa_session a, b;
    uint8_t first[32];
    establish(&a, &b, POA_SESSION_STRICT);
    memcpy(first, a.send.key, 32);
    struct frame f = seal(&a, "0");
    cr_assert_eq(open_frame(&b, &f, "0"), POA_OK);
    skip_to(&a, e - 1);
    struct frame last = seal(&a, "last");
    cr_assert_arr_eq(a.send.key, first, 32);
    f = seal(&a, "next");
    cr_assert(memcmp(a.send.key, first, 32) != 0);
    cr_assert_eq(open_frame(&b, &f, "next"), POA_OK);
    cr_assert_arr_eq(b.receive.key, a.send.key, 32);
    cr_assert(!b.have_before);
    cr_assert_eq(open_frame(&b, &last, "last"), POA_E_REPLAY);
    /* A damaged frame far ahead does not move the key. */
    struct frame bad = seal(&a, "x");
    poa_put_le64(bad.bytes + 8, 5 * e);
    cr_assert_eq(open_frame(&b, &bad, "x"), POA_E_DECRYPT);
    cr_assert_arr_eq(b.receive.key, a.send.key, 32);
    poa_put_le64(bad.bytes + 8, (2 + POA_SESSION_EPOCH_SKIP) * e);
    cr_assert_eq(open_frame(&b, &bad, "x"), POA_E_RANGE);
    poa_put_le64(bad.bytes + 8, UINT64_MAX);
    cr_assert_eq(open_frame(&b, &bad, "x"), POA_E_RANGE);
    /* Three epochs lost. */
    skip_to(&a, 4 * e + 7);
    f = seal(&a, "after");
    cr_assert_eq(open_frame(&b, &f, "after"), POA_OK);
    cr_assert_arr_eq(b.receive.key, a.send.key, 32);
}

Test(session, ratchet_in_a_window)
{
    const uint64_t e = POA_SESSION_EPOCH_FRAMES;
    struct poa_session a, b;
    establish(&a, &b, POA_SESSION_WINDOWED);
    skip_to(&a, e - 2);
    struct frame old1 = seal(&a, "old1"), old2 = seal(&a, "old2");
    struct frame new1 = seal(&a, "new1"), new2 = seal(&a, "new2");
    cr_assert_eq(open_frame(&b, &new2, "new2"), POA_OK);
    cr_assert_eq(open_frame(&b, &old2, "old2"), POA_OK, "the epoch before is still readable");
    cr_assert_eq(open_frame(&b, &old2, "old2"), POA_E_REPLAY);
    cr_assert_eq(open_frame(&b, &new1, "new1"), POA_OK);
    skip_to(&a, e + POA_SESSION_WINDOW);
    struct frame f = seal(&a, "far");
    cr_assert_eq(open_frame(&b, &f, "far"), POA_OK);
    cr_assert(!b.have_before, "the old key is gone once out of reach");
    cr_assert_eq(open_frame(&b, &old1, "old1"), POA_E_REPLAY);
    /* A jump over several epochs keeps exactly the one before. */
    skip_to(&a, 3 * e - 1);
    struct frame before = seal(&a, "before"), after = seal(&a, "after");
    cr_assert_eq(open_frame(&b, &after, "after"), POA_OK);
    cr_assert_eq(open_frame(&b, &before, "before"), POA_OK);
}

Test(session, lanes)
{
    struct poa_session a, b, la[2], lb[2];
    establish(&a, &b, POA_SESSION_STRICT);
    for (uint8_t i = 0; i < 2; i++) {
        cr_assert_eq(poa_session_lane(&la[i], &a, i, POA_SESSION_WINDOWED), POA_OK);
        cr_assert_eq(poa_session_lane(&lb[i], &b, i, POA_SESSION_WINDOWED), POA_OK);
        cr_assert_eq(la[i].id, a.id);
    }
    struct frame f0 = seal(&la[0], "zero"), f1 = seal(&la[1], "one"), f = seal(&a, "own");
    cr_assert_eq(open_frame(&lb[1], &f0, "zero"), POA_E_DECRYPT);
    cr_assert_eq(open_frame(&b, &f0, "zero"), POA_E_DECRYPT);
    cr_assert_eq(open_frame(&lb[0], &f0, "zero"), POA_OK);
    cr_assert_eq(open_frame(&lb[1], &f1, "one"), POA_OK);
    cr_assert_eq(open_frame(&b, &f, "own"), POA_OK);
    cr_assert_eq(poa_session_lane(&la[0], &a, 0, POA_SESSION_STRICT), POA_E_INVALID,
                 "a used session has no lanes");
}

Test(session, resumed)
{
    static const uint8_t secret[32] = {7}, other[32] = {8};
    uint8_t nonces[64] = {1};
    struct poa_session a, b, c, again;
    nonces[40] = 2;
    poa_session_resume(&a, true, secret, nonces);
    poa_session_resume(&b, false, secret, nonces);
    cr_assert_eq(a.id, b.id);
    cr_assert_neq(memcmp(a.send.key, a.receive.key, 32), 0);
    cr_assert(!poa_session_confirmed(&a) && !poa_session_confirmed(&b));
    struct frame up = seal(&a, "up"), down = seal(&b, "down");
    cr_assert_eq(open_frame(&b, &up, "up"), POA_OK);
    cr_assert_eq(open_frame(&b, &up, "up"), POA_E_REPLAY);
    cr_assert_eq(open_frame(&a, &down, "down"), POA_OK);
    cr_assert(poa_session_confirmed(&a) && poa_session_confirmed(&b));
    /* Another nonce of either side, or another secret: other keys. */
    for (size_t i = 0; i < 64; i += 63) {
        nonces[i] ^= 1;
        poa_session_resume(&again, false, secret, nonces);
        nonces[i] ^= 1;
        cr_assert_neq(memcmp(again.receive.key, a.send.key, 32), 0);
        cr_assert_neq(again.id, a.id);
        again.id = a.id;
        cr_assert_eq(open_frame(&again, &up, "up"), POA_E_DECRYPT);
    }
    poa_session_resume(&c, false, other, nonces);
    c.id = a.id;
    cr_assert_eq(open_frame(&c, &up, "up"), POA_E_DECRYPT);
}

Test(session, limits)
{
    struct poa_session a, b;
    establish(&a, &b, POA_SESSION_STRICT);
    cr_assert(!poa_session_needs_rekey(&a, 0));
    cr_assert(poa_session_needs_rekey(&a, POA_SESSION_AGE_RENEW_MS));
    a.send.n = POA_SESSION_FRAMES_RENEW;
    cr_assert(poa_session_needs_rekey(&a, 0));
    b.receive.n = POA_SESSION_FRAMES_RENEW;
    cr_assert(poa_session_needs_rekey(&b, 0));
    a.send.n = POA_SESSION_FRAMES_MAX;
    uint8_t buf[64];
    struct poa_writer w = poa_writer_over(buf, sizeof buf);
    cr_assert_eq(poa_session_seal(&a, poa_slice(NULL, 0), &w), POA_E_REKEY);
    cr_assert_eq(w.n, 0);
    a.send.n = 0;
    w = poa_writer_over(buf, POA_SESSION_OVERHEAD - 1);
    cr_assert_eq(poa_session_seal(&a, poa_slice(NULL, 0), &w), POA_E_BUFFER);
    cr_assert_eq(a.send.n, 0);
    poa_session_wipe(&a);
    static const struct poa_session zero;
    cr_assert_eq(memcmp(&a, &zero, sizeof a), 0);
}
