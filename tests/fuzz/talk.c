/* Two devices that talk through a gateway that is hostile: it loses, keeps, repeats, changes,
 * reflects and invents messages, says that they are from somebody else, and has a device of
 * its own. What a device hears was said by whom it is said to be from, once, unchanged and in
 * order; nobody else has a session in that name; each costs it a bounded number of handshakes;
 * and when the gateway passes on what they say, they talk. */
#include "fuzz.h"
#include "poa_talk.h"

#define MESSAGES 96 /* kept by the gateway: as many as one input makes */
#define STEPS    64
#define TEXTS    64

/* Devices A, B and the gateway's own M; then M once more under the names of A and B. */
enum { A, B, M, DEVICES };
static const struct {
    uint8_t self, peer, name; /* whose keys, whom it talks to, who it says it is */
} role[] = {{A, B, A}, {B, A, B}, {A, M, A}, {M, A, M}, {B, M, B}, {M, B, M}, {M, B, A}, {M, A, B}};
#define SIDES   8
#define HONEST  6 /* the sides before this one may have a session, with SIDE ^ 1 */
#define PEER(i) ((i) ^ 1u)

static const uint8_t chain[32] = {1, 2, 3};
static struct {
    uint8_t seed[32], key[32];
} device[DEVICES];

struct made {
    uint64_t id;
    uint8_t send[32], receive[32];
};
static struct side {
    struct poa_talk t;
    uint16_t said, heard; /* texts; the last one that was heard */
    uint8_t size[TEXTS];
    struct made made[MESSAGES]; /* sessions that it made */
    size_t made_n;
    uint64_t first_ms, second_ms;
    bool first, second; /* sent */
} side[SIDES];
/* What the gateway has. */
static struct kept {
    struct {
        uint8_t bytes[POA_EDGE_RELAY_MAX];
        size_t n;
        unsigned from;
        bool passed;
    } message[MESSAGES];
    size_t messages;
} g;
static uint64_t now, drawn;

static void fresh(unsigned i)
{
    memset(&side[i].t, 0, sizeof side[i].t);
    side[i].first = side[i].second = false;
    FUZZ_CHECK(!poa_talk_init(&side[i].t, chain, device[role[i].self].seed,
                              device[role[i].name].key, device[role[i].peer].key));
}

/* Never the same twice. */
static void entropy(uint8_t out[32])
{
    memset(out, 0x42, 32);
    poa_put_le64(out + 8, ++drawn);
}

/* --- what must hold ------------------------------------------------------------------- */

static void made(struct side *s, const struct poa_talk_link *l)
{
    if (!l->used)
        return;
    for (size_t k = 0; k < s->made_n; k++)
        if (s->made[k].id == l->session.id)
            return;
    FUZZ_CHECK(s->made_n < MESSAGES);
    struct made *m = &s->made[s->made_n++];
    m->id = l->session.id;
    memcpy(m->send, l->session.send.key, 32);
    memcpy(m->receive, l->session.receive.key, 32);
}

/* After anything that happened to side I. A session that is in use is the peer's too, with
 * the same keys. */
static void check(unsigned i)
{
    struct side *s = &side[i];
    const struct poa_session *mine = &s->t.now.session;
    made(s, &s->t.now);
    made(s, &s->t.next);
    if (!poa_talk_ready(&s->t))
        return;
    FUZZ_CHECK(i < HONEST);
    const struct side *p = &side[PEER(i)];
    size_t k = 0;
    while (k < p->made_n && p->made[k].id != mine->id)
        k++;
    FUZZ_CHECK(k < p->made_n);
    FUZZ_CHECK(!memcmp(p->made[k].send, mine->receive.key, 32) &&
               !memcmp(p->made[k].receive, mine->send.key, 32));
}

/* The gateway gets what side I has to be relayed: one message at most. */
static void sent(unsigned i, const struct poa_writer *w)
{
    struct side *s = &side[i];
    FUZZ_CHECK(!w->overflow);
    if (!w->n)
        return;
    if (w->p[0] == POA_TALK_FIRST) {
        FUZZ_CHECK(w->n == 1 + POA_EDGE_FIRST_BYTES);
        FUZZ_CHECK(!s->first || now - s->first_ms >= POA_TALK_RETRY_MS);
        s->first = true;
        s->first_ms = now;
    } else if (w->p[0] == POA_TALK_SECOND) {
        FUZZ_CHECK(w->n == 1 + POA_EDGE_SECOND_BYTES);
        FUZZ_CHECK(!s->second || now - s->second_ms >= POA_TALK_ANSWER_MS);
        s->second = true;
        s->second_ms = now;
    }
    if (g.messages == MESSAGES)
        return;
    memcpy(g.message[g.messages].bytes, w->p, w->n);
    g.message[g.messages].n = w->n;
    g.message[g.messages].from = i;
    g.message[g.messages++].passed = false;
}

static size_t text_of(unsigned i, uint16_t number, uint8_t out[TEXTS * 4])
{
    size_t n = 2 + side[i].size[number % TEXTS];
    memset(out, number, n);
    out[0] = (uint8_t)i;
    out[1] = (uint8_t)number;
    return n;
}

static void heard(unsigned i, struct poa_slice text)
{
    uint8_t said[TEXTS * 4];
    struct side *s = &side[i];
    FUZZ_CHECK(i < HONEST && text.n >= 2 && text.p[0] == PEER(i));
    uint16_t number = text.p[1];
    FUZZ_CHECK(number > s->heard && number <= side[PEER(i)].said);
    s->heard = number;
    size_t n = text_of(PEER(i), number, said);
    FUZZ_CHECK(poa_slice_equal(text, poa_slice(said, n)));
}

/* --- what happens ---------------------------------------------------------------------- */

static void deliver(unsigned i, struct poa_slice bytes)
{
    uint8_t random[32], text[POA_TALK_TEXT_MAX], reply[POA_TALK_REPLY];
    uint8_t *exact = fuzz_copy(bytes.p, bytes.n);
    struct poa_writer h = poa_writer_over(text, sizeof text);
    struct poa_writer w = poa_writer_over(reply, sizeof reply);
    struct poa_talk *t = &side[i].t, before;
    memcpy(&before, t, sizeof before);
    entropy(random);
    int e = poa_talk_input(t, now, random, poa_slice(exact, bytes.n), &h, &w);
    free(exact);
    FUZZ_CHECK(e <= 0 && !h.overflow);
    if (e) {
        FUZZ_CHECK(!h.n && (!w.n || e == POA_E_SESSION_UNKNOWN));
        FUZZ_CHECK(!memcmp(&before.now, &t->now, sizeof t->now) &&
                   !memcmp(&before.next, &t->next, sizeof t->next) &&
                   !memcmp(&before.old, &t->old, sizeof t->old));
    }
    sent(i, &w);
    check(i);
    if (h.n)
        heard(i, poa_written(&h));
}

static void poll(unsigned i)
{
    uint8_t random[32], reply[POA_TALK_REPLY];
    struct poa_writer w = poa_writer_over(reply, sizeof reply);
    uint64_t wait = 0;
    entropy(random);
    poa_talk_poll(&side[i].t, now, random, &w, &wait);
    FUZZ_CHECK(wait && wait <= POA_TALK_RETRY_MAX_MS);
    sent(i, &w);
    check(i);
}

static void say(unsigned i, uint8_t size)
{
    uint8_t text[TEXTS * 4], bytes[POA_EDGE_RELAY_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct side *s = &side[i];
    bool ready = poa_talk_ready(&s->t);
    if (s->said + 1 == TEXTS)
        return;
    s->size[++s->said] = size;
    size_t n = text_of(i, s->said, text);
    int e = poa_talk_say(&s->t, poa_slice(text, n), &w);
    FUZZ_CHECK(ready ? e == POA_OK : e == POA_E_AGAIN && !w.n);
    sent(i, &w);
}

/* The oldest message of side I that was not passed on yet, to whom it is for. */
static bool pass(unsigned i)
{
    for (size_t k = 0; k < g.messages; k++)
        if (g.message[k].from == i && !g.message[k].passed) {
            g.message[k].passed = true;
            deliver(PEER(i), poa_slice(g.message[k].bytes, g.message[k].n));
            return true;
        }
    return false;
}

static void change(unsigned to, size_t k, struct fuzz_in *in)
{
    uint8_t bytes[POA_EDGE_RELAY_MAX];
    size_t n = g.message[k].n, at = fuzz_u16(in) % n;
    uint8_t how = fuzz_u8(in);
    memcpy(bytes, g.message[k].bytes, n);
    if (how)
        bytes[at] ^= how;
    else
        n = at;
    deliver(to, poa_slice(bytes, n));
}

/* A frame with the id of a session that I has, and a counter that fits. */
static void forge(unsigned i, struct fuzz_in *in)
{
    uint8_t bytes[1 + POA_SESSION_OVERHEAD + 32] = {POA_TALK_DATA};
    poa_put_le64(bytes + 1, side[i].t.now.session.id);
    poa_put_le64(bytes + 9, side[i].t.now.session.receive.n + fuzz_u8(in));
    fuzz_fill(in, bytes + 1 + POA_SESSION_HEAD_BYTES, 48);
    deliver(i, poa_slice(bytes, 1 + POA_SESSION_HEAD_BYTES + 16 + fuzz_u8(in) % 33));
}

static void step(struct fuzz_in *in)
{
    uint8_t op = fuzz_u8(in);
    unsigned i = op >> 3 & 7;
    size_t k;
    switch (op & 7) {
    case 0:
        if (i < HONEST)
            say(i, fuzz_u8(in) % 128);
        break;
    case 1:
        (void)pass(i);
        break;
    case 2: /* any message to anybody, changed or not */
    case 3:
        k = fuzz_u8(in);
        if (k >= g.messages)
            break;
        if (op & 1)
            change(i, k, in);
        else
            deliver(i, poa_slice(g.message[k].bytes, g.message[k].n));
        break;
    case 4:
        deliver(i, fuzz_chunk(in));
        break;
    case 5:
        poll(i);
        break;
    case 6: {
        static const uint64_t unit[] = {1, 50, 1000, 15000, 120000};
        now += op & 128 ? POA_SESSION_AGE_RENEW_MS : unit[i % 5] * fuzz_u8(in);
        break;
    }
    default:
        switch (op >> 6) {
        case 0:
            poa_talk_open(&side[i].t);
            poll(i);
            break;
        case 1:
            poa_talk_lost(&side[i].t);
            check(i);
            break;
        case 2:
            fresh(i); /* switched off and on */
            break;
        default:
            if (poa_talk_ready(&side[i].t))
                forge(i, in);
            break;
        }
    }
}

/* The gateway relays again: soon A and B talk. */
static void recover(void)
{
    poa_talk_open(&side[0].t);
    for (size_t round = 0;; round++) {
        FUZZ_CHECK(round < 5);
        g.messages = 0; /* what it kept, it keeps */
        now += POA_TALK_RETRY_MAX_MS;
        poll(0);
        poll(1);
        while (pass(0) || pass(1))
            ;
        side[0].said = side[1].said = side[0].heard = side[1].heard = 0;
        say(0, 1);
        say(1, 2);
        while (pass(0) || pass(1))
            ;
        if (side[0].heard && side[1].heard)
            return;
    }
}

/* From nothing, or when A and B have a session: the same state each time, which saves its
 * handshakes. */
static void begin(bool talking)
{
    static struct side start[2][SIDES];
    static struct kept kept[2];
    static bool ready;
    now = 1000000;
    drawn = 0;
    if (!ready) {
        for (uint8_t d = 0; d < DEVICES; d++) {
            memset(device[d].seed, d + 1, 32);
            poa_ed25519_public(device[d].seed, device[d].key);
        }
        for (unsigned i = 0; i < SIDES; i++)
            fresh(i);
        memcpy(start[0], side, sizeof side);
        poa_talk_open(&side[0].t);
        poll(0);
        FUZZ_CHECK(pass(0) && pass(1) && pass(0) && poa_talk_ready(&side[1].t));
        memcpy(start[1], side, sizeof side);
        kept[1] = g;
        ready = true;
    }
    memcpy(side, start[talking], sizeof side);
    g = kept[talking];
    drawn = talking ? 1000 : 0; /* it drew some */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    begin(fuzz_u8(&in) & 1);
    for (unsigned steps = 0; steps < STEPS && in.n; steps++)
        step(&in);
    recover();
    return 0;
}

#define SAY(i)    (uint8_t)((i) << 3), 4
#define PASS(i)   (uint8_t)((i) << 3 | 1)
#define GIVE(i)   (uint8_t)((i) << 3 | 2) /* number of a message */
#define CHANGE(i) (uint8_t)((i) << 3 | 3)
#define POLL(i)   (uint8_t)((i) << 3 | 5)
#define HOUR      (uint8_t)(128 | 6)
#define OPEN(i)   (uint8_t)((i) << 3 | 7)
#define LOST(i)   (uint8_t)(64 | (i) << 3 | 7)
#define OFF(i)    (uint8_t)(128 | (i) << 3 | 7)
#define FORGE(i)  (uint8_t)(192 | (i) << 3 | 7)
#define CONNECT   1 /* messages 0 to 2 */

void fuzz_seeds(void)
{
    static const uint8_t talk[] = {0,      OPEN(0), PASS(0), PASS(1), PASS(0), SAY(0),
                                   SAY(1), PASS(0), PASS(1), SAY(0),  PASS(0)};
    fuzz_seed("talk", talk, sizeof talk);
    static const uint8_t crossing[] = {0,       OPEN(0), OPEN(1), PASS(1), PASS(0), PASS(1),
                                       PASS(0), SAY(0),  SAY(1),  PASS(0), PASS(1)};
    fuzz_seed("crossing", crossing, sizeof crossing);
    static const uint8_t rekey[] = {CONNECT, HOUR,   POLL(1), PASS(1), PASS(0),
                                    PASS(1), SAY(0), SAY(1),  PASS(0), PASS(1)};
    fuzz_seed("rekey", rekey, sizeof rekey);
    /* What was said before the new session comes after what was said in it. */
    static const uint8_t late[] = {CONNECT, SAY(1), HOUR,   POLL(0), PASS(0), GIVE(0), 5,
                                   GIVE(1), 6,      SAY(1), GIVE(0), 7,       GIVE(0), 3};
    fuzz_seed("late", late, sizeof late);
    static const uint8_t replay[] = {CONNECT, SAY(0),  PASS(0), HOUR,    GIVE(1), 0,       GIVE(1),
                                     2,       GIVE(1), 3,       GIVE(0), 1,       GIVE(0), 4,
                                     SAY(1),  PASS(1), SAY(0),  PASS(0), GIVE(0), 3};
    fuzz_seed("replay", replay, sizeof replay);
    /* M in the name of A and of B, and what A says to M given to B. */
    static const uint8_t name[] = {0, OPEN(6), GIVE(1), 0,       OPEN(7), GIVE(0),
                                   1, GIVE(6), 1,       GIVE(7), 0};
    fuzz_seed("name", name, sizeof name);
    static const uint8_t other[] = {CONNECT, OPEN(2), PASS(2), PASS(3), PASS(2), SAY(2), SAY(3),
                                    GIVE(1), 3,       GIVE(1), 5,       GIVE(1), 6,      GIVE(0),
                                    7,       GIVE(0), 4,       SAY(0),  PASS(0), SAY(1), PASS(1)};
    fuzz_seed("other", other, sizeof other);
    static const uint8_t reset[] = {CONNECT, OFF(1), SAY(0),  PASS(0), PASS(1), PASS(0),
                                    PASS(1), SAY(1), PASS(1), OFF(0),  POLL(1), LOST(1)};
    fuzz_seed("reset", reset, sizeof reset);
    static const uint8_t damage[] = {CONNECT,   SAY(0), CHANGE(1), 3, 9, 0,        1,
                                     CHANGE(1), 3,      9,         0, 0, FORGE(0), 1,
                                     2,         3,      FORGE(1),  0, 7, 7,        PASS(0)};
    fuzz_seed("damage", damage, sizeof damage);
    uint8_t any[4 + 1 + POA_EDGE_FIRST_BYTES] = {1, 4, 1 + POA_EDGE_FIRST_BYTES, 0};
    for (uint8_t kind = 0; kind < 5; kind++) {
        char of[] = "any-0";
        of[4] = (char)('0' + kind);
        any[4] = kind;
        fuzz_seed(of, any, sizeof any);
    }
}
