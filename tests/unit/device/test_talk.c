/* Two devices and between them a gateway that passes on, loses, repeats, changes and
 * mixes up what they say. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_talk.h"

#define QUEUE 64

struct side {
    struct poa_talk t;
    uint8_t seed[32], key[32];
    struct {
        uint8_t bytes[POA_EDGE_RELAY_MAX];
        size_t n;
    } out[QUEUE]; /* on its way to the other side */
    size_t from, to;
    char heard[4096];
    size_t heard_n, texts;
    int error; /* the last one */
};

static struct side a, b; /* A has the lower key */
static uint8_t chain[32] = {0xc4};
static uint64_t now = 1000000;

static void fresh(struct side *s, const struct side *other)
{
    memset(&s->t, 0, sizeof s->t);
    cr_assert_eq(poa_talk_init(&s->t, chain, s->seed, s->key, other->key), POA_OK);
    s->error = POA_OK;
}

static void start(void)
{
    cr_assert_eq(poa_crypto_init(), POA_OK);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.seed[0] = 1;
    b.seed[0] = 2;
    poa_ed25519_public(a.seed, a.key);
    poa_ed25519_public(b.seed, b.key);
    if (memcmp(a.key, b.key, 32) > 0) {
        struct side swap = a;
        a = b;
        b = swap;
    }
    fresh(&a, &b);
    fresh(&b, &a);
}

static void send(struct side *s, const struct poa_writer *w)
{
    if (!w->n)
        return;
    cr_assert(s->to - s->from < QUEUE);
    memcpy(s->out[s->to % QUEUE].bytes, w->p, w->n);
    s->out[s->to++ % QUEUE].n = w->n;
}

static uint64_t poll(struct side *s)
{
    uint8_t entropy[32], bytes[POA_TALK_REPLY];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    uint64_t wait;
    poa_random(entropy, sizeof entropy);
    poa_talk_poll(&s->t, now, entropy, &w, &wait);
    send(s, &w);
    return wait;
}

static int say(struct side *s, const char *text)
{
    uint8_t bytes[POA_EDGE_RELAY_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int e = poa_talk_say(&s->t, poa_slice(text, strlen(text)), &w);
    cr_assert(e == POA_OK || w.n == 0);
    send(s, &w);
    return e;
}

static int hear(struct side *s, const uint8_t *bytes, size_t n)
{
    uint8_t entropy[32], text[POA_TALK_TEXT_MAX], reply[POA_TALK_REPLY];
    struct poa_writer h = poa_writer_over(text, sizeof text);
    struct poa_writer w = poa_writer_over(reply, sizeof reply);
    poa_random(entropy, sizeof entropy);
    s->error = poa_talk_input(&s->t, now, entropy, poa_slice(bytes, n), &h, &w);
    cr_assert(s->error == POA_OK || h.n == 0);
    send(s, &w);
    if (h.n) {
        cr_assert(s->heard_n + h.n < sizeof s->heard);
        memcpy(s->heard + s->heard_n, h.p, h.n);
        s->heard_n += h.n;
        s->texts++;
    }
    return s->error;
}

/* The next message of FROM arrives. */
static int pass(struct side *from, struct side *to)
{
    size_t i = from->from++ % QUEUE;
    return hear(to, from->out[i].bytes, from->out[i].n);
}

static void settle(void)
{
    while (a.from < a.to || b.from < b.to) {
        if (a.from < a.to)
            (void)pass(&a, &b);
        if (b.from < b.to)
            (void)pass(&b, &a);
    }
}

static void connect(void)
{
    poa_talk_open(&a.t);
    (void)poll(&a);
    settle();
    cr_assert(poa_talk_ready(&a.t) && poa_talk_ready(&b.t));
}

#define HEARD(s, text)                                                                             \
    cr_assert((s)->heard_n == strlen(text) && !memcmp((s)->heard, text, (s)->heard_n),             \
              "heard %.*s", (int)(s)->heard_n, (s)->heard)

static bool contains(const uint8_t *bytes, size_t n, const void *what, size_t size)
{
    for (size_t i = 0; i + size <= n; i++)
        if (!memcmp(bytes + i, what, size))
            return true;
    return false;
}

TestSuite(talk, .init = start);

Test(talk, both_ways_and_nothing_in_the_clear)
{
    poa_talk_open(&a.t);
    cr_assert_eq(say(&a, "early"), POA_E_AGAIN);
    (void)poll(&a);
    /* The dialer's key is hidden from the gateway too, though it knows who is connected. */
    cr_assert(!contains(a.out[0].bytes, a.out[0].n, a.key, 32));
    cr_assert_eq(pass(&a, &b), POA_OK);
    cr_assert(!poa_talk_ready(&b.t), "not before the dialer showed that it has the keys");
    cr_assert_eq(pass(&b, &a), POA_OK);
    cr_assert(poa_talk_ready(&a.t));
    cr_assert_eq(pass(&a, &b), POA_OK);
    cr_assert(poa_talk_ready(&b.t));
    cr_assert_eq(say(&a, "the kettle is on"), POA_OK);
    cr_assert_eq(say(&b, "good"), POA_OK);
    for (size_t i = 0; i < a.to; i++)
        cr_assert(!contains(a.out[i].bytes, a.out[i].n, "kettle", 6));
    settle();
    HEARD(&b, "the kettle is on");
    HEARD(&a, "good");
    static uint8_t large[POA_TALK_TEXT_MAX + 1];
    uint8_t bytes[POA_EDGE_RELAY_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_talk_say(&a.t, poa_slice(large, sizeof large), &w), POA_E_TOO_LONG);
    cr_assert_eq(poa_talk_say(&a.t, poa_slice(large, sizeof large - 1), &w), POA_OK);
    cr_assert_eq(w.n, POA_EDGE_RELAY_MAX);
}

/* Both dial before they hear of one another, whoever is heard first. */
Test(talk, crossing_handshakes)
{
    for (int order = 0; order < 4; order++) {
        start();
        poa_talk_open(&a.t);
        poa_talk_open(&b.t);
        (void)poll(&a);
        (void)poll(&b);
        if (order & 1) {
            cr_assert_eq(pass(&b, &a), POA_E_AGAIN, "the lower key's dial wins");
            cr_assert_eq(pass(&a, &b), POA_OK);
        } else {
            cr_assert_eq(pass(&a, &b), POA_OK);
            if (order & 2)
                cr_assert_eq(pass(&b, &a), POA_E_AGAIN);
        }
        settle();
        cr_assert(poa_talk_ready(&a.t) && poa_talk_ready(&b.t));
        cr_assert_eq(a.t.now.session.id, b.t.now.session.id, "one session, the same");
        cr_assert(!a.t.dialing && !b.t.dialing && !a.t.next.used && !b.t.next.used);
        cr_assert_eq(say(&a, "x") | say(&b, "y"), POA_OK);
        settle();
        HEARD(&a, "y");
        HEARD(&b, "x");
        cr_assert_eq(a.to + b.to, 6, "%zu messages", a.to + b.to); /* 2 dials, answer, 3 texts */
    }
}

/* The lower key's dial got lost: it does not insist on it. */
Test(talk, a_dial_that_was_lost)
{
    poa_talk_open(&a.t);
    poa_talk_open(&b.t);
    (void)poll(&a);
    a.from = a.to;
    (void)poll(&b);
    cr_assert_eq(pass(&b, &a), POA_E_AGAIN);
    now += POA_TALK_RETRY_MS;
    (void)poll(&a);
    settle();
    cr_assert(poa_talk_ready(&a.t) && poa_talk_ready(&b.t));
    /* Told that it was not passed on, it answers at once. */
    start();
    poa_talk_open(&a.t);
    (void)poll(&a);
    a.from = a.to;
    poa_talk_lost(&a.t);
    poa_talk_open(&b.t);
    (void)poll(&b);
    settle();
    cr_assert(poa_talk_ready(&a.t) && poa_talk_ready(&b.t));
}

Test(talk, nobody_there_is_called_ever_less)
{
    unsigned dials = 0;
    poa_talk_open(&a.t);
    for (uint64_t end = now + 3600000; now < end;) {
        size_t had = a.to;
        uint64_t wait = poll(&a);
        dials += a.to > had;
        a.from = a.to;
        cr_assert(wait > 0 && wait <= POA_TALK_RETRY_MAX_MS);
        now += wait;
    }
    cr_assert(dials > 50 && dials < 80, "%u", dials);
}

/* The gateway says whom a message is from, and cannot lie about it. */
Test(talk, a_message_under_another_name)
{
    struct side c = {.seed = {3}};
    poa_ed25519_public(c.seed, c.key);
    /* C dials B; the gateway says that A did. */
    fresh(&c, &b);
    poa_talk_open(&c.t);
    (void)poll(&c);
    cr_assert_eq(pass(&c, &b), POA_E_HANDSHAKE);
    /* C says itself that it is A, and has all but A's key. */
    memcpy(c.key, a.key, 32);
    fresh(&c, &b);
    poa_talk_open(&c.t);
    now += POA_TALK_ANSWER_MS;
    (void)poll(&c);
    cr_assert_eq(pass(&c, &b), POA_E_KEY);
    cr_assert_eq(b.to, 0);
    /* A of another chain. */
    chain[0] ^= 1;
    fresh(&c, &b);
    memcpy(c.seed, a.seed, 32);
    chain[0] ^= 1;
    poa_talk_open(&c.t);
    now += POA_TALK_ANSWER_MS;
    (void)poll(&c);
    cr_assert_eq(pass(&c, &b), POA_E_HANDSHAKE);
    /* What A says to B is no message of B to A. */
    now += POA_TALK_ANSWER_MS;
    connect();
    cr_assert_eq(say(&a, "mirror"), POA_OK);
    cr_assert_eq(hear(&a, a.out[a.from % QUEUE].bytes, a.out[a.from % QUEUE].n), POA_E_DECRYPT);
}

Test(talk, our_own_key_and_none)
{
    struct poa_talk t;
    static const uint8_t none[32] = {2};
    cr_assert_eq(poa_talk_init(&t, chain, a.seed, a.key, a.key), POA_E_KEY);
    cr_assert_eq(poa_talk_init(&t, chain, a.seed, a.key, none), POA_E_KEY);
}

/* What was recorded displaces nothing and is not heard twice. */
Test(talk, replays)
{
    connect();
    cr_assert_eq(say(&a, "pay"), POA_OK);
    settle();
    uint64_t id = b.t.now.session.id;
    size_t recorded = a.to;
    now += POA_TALK_RETRY_MS;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < recorded; i++) {
            (void)hear(&b, a.out[i].bytes, a.out[i].n);
            now += POA_TALK_ANSWER_MS;
        }
        for (size_t i = 0; i < 1; i++)
            cr_assert_neq(hear(&a, b.out[i].bytes, b.out[i].n), POA_OK);
        a.from = a.to;
        b.from = b.to; /* nobody answers what B says to the recording */
    }
    cr_assert_eq(b.texts, 1);
    cr_assert_eq(b.t.now.session.id, id, "the session that works is still in use");
    cr_assert_eq(say(&b, "still here"), POA_OK);
    cr_assert_eq(pass(&b, &a), POA_OK);
    HEARD(&a, "still here");
    cr_assert_eq(say(&a, "!"), POA_OK);
    cr_assert_eq(pass(&a, &b), POA_OK);
    HEARD(&b, "pay!");
}

/* Answers cost: a flood of dials gets few. */
Test(talk, a_flood_of_dials)
{
    poa_talk_open(&a.t);
    (void)poll(&a);
    unsigned answers = 0;
    for (int i = 0; i < 1000; i++, now++)
        answers += hear(&b, a.out[0].bytes, a.out[0].n) == POA_OK;
    cr_assert_eq(answers, 1000 / POA_TALK_ANSWER_MS);
}

/* A device that was switched off comes back without a session. */
Test(talk, a_reset)
{
    connect();
    fresh(&b, &a);
    cr_assert_eq(say(&a, "lost"), POA_OK);
    cr_assert_eq(pass(&a, &b), POA_E_SESSION_UNKNOWN);
    cr_assert_eq(b.to - b.from, 1, "it dials");
    settle();
    cr_assert(poa_talk_ready(&b.t));
    cr_assert_eq(a.t.now.session.id, b.t.now.session.id);
    cr_assert_eq(say(&a, "again"), POA_OK);
    settle();
    HEARD(&b, "again");
    /* Nobody makes it dial more often. */
    uint8_t junk[64] = {POA_TALK_DATA, 1};
    size_t had = b.to;
    for (int i = 0; i < 1000; i++, now++)
        cr_assert_eq(hear(&b, junk, sizeof junk), POA_E_SESSION_UNKNOWN);
    cr_assert_leq(b.to - had, 1);
}

/* An hour old: a new session beside the old one, whose frames still arrive. */
Test(talk, rekey_by_time)
{
    connect();
    uint64_t id = a.t.now.session.id;
    cr_assert_eq(say(&a, "1"), POA_OK);
    cr_assert_eq(say(&b, "2"), POA_OK);
    now += POA_SESSION_AGE_RENEW_MS;
    (void)poll(&b);
    (void)poll(&a); /* both: they cross */
    cr_assert_eq(say(&b, "3"), POA_OK);
    settle();
    HEARD(&a, "23");
    HEARD(&b, "1");
    cr_assert_neq(a.t.now.session.id, id);
    cr_assert_eq(a.t.now.session.id, b.t.now.session.id);
    cr_assert_eq(say(&a, "4"), POA_OK);
    settle();
    HEARD(&b, "14");
    cr_assert(a.t.old.used, "B said nothing in the new one yet");
    now += POA_TALK_OLD_MS;
    (void)poll(&a);
    cr_assert(!a.t.old.used, "the old key is gone");
    static const struct poa_talk_link zero;
    cr_assert_eq(memcmp(&a.t.old, &zero, sizeof zero), 0);
    /* Nobody answers: the session ends, it does not live on. */
    now += POA_TALK_AGE_MAX_MS;
    (void)poll(&a);
    cr_assert(!poa_talk_ready(&a.t));
    cr_assert_eq(say(&a, "x"), POA_E_AGAIN);
}

/* What a gateway kept of the session before does not come after what was said in this one. */
Test(talk, kept_over_a_rekey)
{
    connect();
    cr_assert_eq(say(&b, "1"), POA_OK);
    cr_assert_eq(say(&b, "2"), POA_OK);
    size_t kept = b.from + 1; /* the second of them */
    cr_assert_eq(pass(&b, &a), POA_OK);
    b.from = b.to;
    now += POA_SESSION_AGE_RENEW_MS;
    (void)poll(&a);
    settle();
    cr_assert_eq(say(&b, "3"), POA_OK);
    settle();
    HEARD(&a, "13");
    cr_assert_eq(hear(&a, b.out[kept % QUEUE].bytes, b.out[kept % QUEUE].n), POA_E_SESSION_UNKNOWN);
    HEARD(&a, "13");
}

/* Each changed bit of each message is noticed, and harms nothing. */
Test(talk, damage)
{
    for (int step = 0; step < 3; step++) {
        start();
        poa_talk_open(&a.t);
        (void)poll(&a);
        struct side *from = &a, *to = &b;
        for (int i = 0; i < step; i++) {
            cr_assert_eq(pass(from, to), POA_OK);
            struct side *swap = from;
            from = to;
            to = swap;
        }
        size_t at = from->from % QUEUE, n = from->out[at].n;
        uint8_t bytes[POA_EDGE_RELAY_MAX];
        for (size_t bit = 0; bit < n * 8; bit += step == 2 ? 1 : 7) {
            memcpy(bytes, from->out[at].bytes, n);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            now += POA_TALK_ANSWER_MS;
            size_t had = to->to;
            cr_assert_neq(hear(to, bytes, n), POA_OK, "step %d bit %zu", step, bit);
            to->to = had;
        }
        for (size_t cut = 0; cut < n; cut++)
            cr_assert_neq(hear(to, from->out[at].bytes, cut), POA_OK);
        now += POA_TALK_RETRY_MS;
        to->from = to->to;
        cr_assert_eq(pass(from, to), POA_OK, "step %d", step);
        settle();
        cr_assert(poa_talk_ready(&a.t) && poa_talk_ready(&b.t), "step %d", step);
    }
}

/* A gateway that loses, repeats, delays, changes and invents, and devices that are
 * switched off in between: nothing is heard twice, changed or out of order, and when it
 * behaves again they talk. */
Test(talk, any_gateway)
{
    for (uint32_t seed = 1; seed <= 60; seed++) {
        uint32_t x = seed * 2654435761u, said[2] = {0, 0}, heard[2] = {0, 0};
        struct side *side[2] = {&a, &b};
        start();
        poa_talk_open(&a.t);
        if (seed & 1)
            poa_talk_open(&b.t);
        for (int step = 0; step < 3000; step++) {
            x = x * 1664525 + 1013904223;
            int i = (int)(x >> 31);
            struct side *s = side[i], *o = side[1 - i];
            uint32_t what = (x >> 16) % 100;
            now += (x >> 8) % 300;
            if (what == 0)
                fresh(s, o); /* answers only, from now on, or dials anew */
            if (what < 2 && s == &a)
                poa_talk_open(&s->t);
            (void)poll(s);
            if (what < 30) {
                char text[16];
                int n = 0;
                for (uint32_t v = ++said[i]; v; v /= 10)
                    text[n++] = (char)('0' + v % 10);
                text[n] = 0;
                (void)say(s, text);
            }
            while (s->to - s->from > QUEUE / 2)
                s->from++;
            if (s->from == s->to)
                continue;
            size_t at = s->from % QUEUE;
            if (what >= 70 && what < 75 && s->to > 8) /* repeats */
                at = (s->to - 1 - (x >> 4) % 8) % QUEUE;
            else if (what < 95)
                s->from++; /* or repeats it later */
            if (what >= 90)
                continue; /* loses it, or not yet */
            uint8_t bytes[POA_EDGE_RELAY_MAX];
            memcpy(bytes, s->out[at].bytes, s->out[at].n);
            if (what >= 75 && what < 80)
                bytes[(x >> 3) % s->out[at].n] ^= 1;
            o->heard_n = 0;
            size_t texts = o->texts;
            (void)hear(o, bytes, s->out[at].n);
            while (o->to - o->from > QUEUE / 2)
                o->from++;
            if (o->texts == texts)
                continue;
            uint32_t v = 0;
            for (size_t k = o->heard_n; k-- > 0;)
                v = v * 10 + (uint32_t)(o->heard[k] - '0');
            cr_assert(v > heard[i] && v <= said[i], "seed %u: %u after %u", seed, v, heard[i]);
            heard[i] = v;
        }
        cr_assert(heard[0] > 20 && heard[1] > 20, "seed %u: %u and %u", seed, heard[0], heard[1]);
        a.from = a.to;
        b.from = b.to;
        poa_talk_open(&a.t);
        for (int i = 0; i < 5; i++) {
            now += POA_TALK_RETRY_MAX_MS;
            (void)poll(&a);
            (void)poll(&b);
            settle();
            (void)say(&a, "?");
            (void)say(&b, "?");
            settle();
        }
        a.heard_n = b.heard_n = 0;
        cr_assert_eq(say(&a, "to b") | say(&b, "to a"), POA_OK, "seed %u", seed);
        settle();
        HEARD(&a, "to a");
        HEARD(&b, "to b");
    }
}
