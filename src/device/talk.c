/* Device to device through a gateway: see poa_talk.h. */
#include "poa_talk.h"

#include <string.h>

#define WAIT_MAX_MS 60000

static void forget(struct poa_talk_link *l)
{
    poa_wipe(l, sizeof *l);
}

static void forget_dial(struct poa_talk *t)
{
    poa_noise_wipe(&t->dial);
    t->dialing = false;
}

int poa_talk_init(struct poa_talk *t, const uint8_t chain32[32], const uint8_t seed32[32],
                  const uint8_t key32[32], const uint8_t peer32[32])
{
    memset(t, 0, sizeof *t);
    if (!memcmp(key32, peer32, 32) || poa_ed25519_pk_to_x25519(peer32, t->peer_x))
        return POA_E_KEY;
    t->seed32 = seed32;
    t->key32 = key32;
    memcpy(t->chain, chain32, 32);
    memcpy(t->peer, peer32, 32);
    uint8_t sk[32];
    poa_ed25519_seed_to_x25519(seed32, sk);
    poa_x25519_public(sk, t->x_pk);
    poa_wipe(sk, sizeof sk);
    return POA_OK;
}

void poa_talk_wipe(struct poa_talk *t)
{
    poa_wipe(t, sizeof *t);
}

void poa_talk_open(struct poa_talk *t)
{
    t->wanted = true;
}

bool poa_talk_ready(const struct poa_talk *t)
{
    return t->now.used;
}

/* --- handshakes ------------------------------------------------------------------ */

static int start(struct poa_talk *t, struct poa_noise *n, bool initiator,
                 const uint8_t entropy32[32])
{
    uint8_t prologue[sizeof POA_TALK_PROLOGUE - 1 + 96], sk[32];
    struct poa_writer w = poa_writer_over(prologue, sizeof prologue);
    struct poa_noise_config c;
    poa_write(&w, POA_TALK_PROLOGUE, sizeof POA_TALK_PROLOGUE - 1);
    poa_write(&w, t->chain, 32);
    poa_write(&w, initiator ? t->key32 : t->peer, 32);
    poa_write(&w, initiator ? t->peer : t->key32, 32);
    memset(&c, 0, sizeof c);
    poa_ed25519_seed_to_x25519(t->seed32, sk);
    c.pattern = &poa_noise_ik;
    c.hash = POA_NOISE_BLAKE2B;
    c.initiator = initiator;
    c.prologue = poa_written(&w);
    c.static_sk32 = sk;
    c.static_pk32 = t->x_pk;
    c.remote_pk32 = t->peer_x;
    c.ephemeral32 = entropy32;
    int e = poa_noise_init(n, &c);
    poa_wipe(sk, sizeof sk);
    return e;
}

/* Appends the next handshake message of N as KIND. */
static int put(struct poa_noise *n, enum poa_talk_kind kind, struct poa_writer *out)
{
    struct poa_writer w = *out;
    poa_write_u8(&w, (uint8_t)kind);
    int e = w.overflow ? POA_E_BUFFER : poa_noise_write(n, poa_slice(NULL, 0), &w);
    if (!e)
        *out = w;
    return e;
}

static uint64_t retry_ms(const struct poa_talk *t)
{
    uint64_t ms = POA_TALK_RETRY_MS;
    for (uint32_t i = 1; i < t->tries && ms < POA_TALK_RETRY_MAX_MS; i++)
        ms *= 2;
    return ms < POA_TALK_RETRY_MAX_MS ? ms : POA_TALK_RETRY_MAX_MS;
}

static bool may_dial(const struct poa_talk *t, uint64_t now)
{
    return !t->dialed || now - t->dialed_ms >= retry_ms(t);
}

static void dial(struct poa_talk *t, uint64_t now, const uint8_t entropy32[32],
                 struct poa_writer *reply)
{
    forget_dial(t);
    t->dialed = true;
    t->dialed_ms = now;
    t->tries++;
    t->dialing = !start(t, &t->dial, true, entropy32) && !put(&t->dial, POA_TALK_FIRST, reply);
    if (!t->dialing)
        forget_dial(t);
}

static int on_first(struct poa_talk *t, uint64_t now, const uint8_t entropy32[32],
                    struct poa_slice first, struct poa_writer *reply)
{
    struct poa_noise n;
    struct poa_talk_link link;
    struct poa_writer none = poa_writer_over(NULL, 0), w = *reply;
    if (first.n != POA_EDGE_FIRST_BYTES)
        return POA_E_TRUNCATED;
    /* Crossing: the peer, whose key is higher, answers our dial. */
    if (t->dialing && now - t->dialed_ms < POA_TALK_RETRY_MS && memcmp(t->key32, t->peer, 32) < 0)
        return POA_E_AGAIN;
    if (t->answered && now - t->answered_ms < POA_TALK_ANSWER_MS)
        return POA_E_RATE;
    t->answered = true;
    t->answered_ms = now;
    memset(&link, 0, sizeof link);
    int e = start(t, &n, false, entropy32);
    if (!e && poa_noise_read(&n, first, &none))
        e = POA_E_HANDSHAKE;
    if (!e && !poa_equal_ct(poa_noise_remote(&n), t->peer_x, 32))
        e = POA_E_KEY;
    if (!e)
        e = put(&n, POA_TALK_SECOND, &w);
    if (!e)
        e = poa_session_start(&link.session, &n, POA_SESSION_STRICT);
    poa_noise_wipe(&n);
    if (!e) {
        link.since_ms = now;
        link.used = true;
        *reply = w;
        t->next = link;
        forget_dial(t);
        /* The dialer has its turn to confirm before we would dial. */
        t->dialed = true;
        t->dialed_ms = now;
    }
    forget(&link);
    return e;
}

/* L is what both sides speak now. */
static void take_over(struct poa_talk *t, const struct poa_talk_link *l, uint64_t now)
{
    t->old = t->now;
    t->old.since_ms = now;
    t->now = *l;
    forget(&t->next);
    forget_dial(t);
    t->tries = 0;
}

static int on_second(struct poa_talk *t, uint64_t now, struct poa_slice second,
                     struct poa_writer *reply)
{
    /* On a copy: what a gateway made up does not end the handshake. */
    struct poa_noise n;
    struct poa_talk_link link;
    struct poa_writer none = poa_writer_over(NULL, 0);
    if (!t->dialing)
        return POA_E_HANDSHAKE;
    n = t->dial;
    memset(&link, 0, sizeof link);
    int e = second.n == POA_EDGE_SECOND_BYTES ? POA_OK : POA_E_TRUNCATED;
    if (!e && poa_noise_read(&n, second, &none))
        e = POA_E_HANDSHAKE;
    if (!e)
        e = poa_session_start(&link.session, &n, POA_SESSION_STRICT);
    poa_noise_wipe(&n);
    if (!e) {
        link.since_ms = now;
        link.used = true;
        take_over(t, &link, now);
        e = poa_talk_say(t, poa_slice(NULL, 0), reply);
    }
    forget(&link);
    return e;
}

void poa_talk_lost(struct poa_talk *t)
{
    forget_dial(t);
}

/* --- what is said ------------------------------------------------------------------ */

static int on_data(struct poa_talk *t, uint64_t now, const uint8_t entropy32[32],
                   struct poa_slice frame, struct poa_writer *text, struct poa_writer *reply)
{
    struct poa_talk_link *links[] = {&t->now, &t->next, &t->old}, *l = NULL;
    uint64_t id;
    int e = poa_session_frame_id(frame, &id);
    if (e)
        return e;
    for (size_t i = 0; i < sizeof links / sizeof links[0] && !l; i++)
        if (links[i]->used && links[i]->session.id == id)
            l = links[i];
    if (!l) {
        if (may_dial(t, now))
            dial(t, now, entropy32, reply);
        return POA_E_SESSION_UNKNOWN;
    }
    e = poa_session_open(&l->session, frame, text);
    if (!e && l == &t->next) {
        struct poa_talk_link confirmed = t->next;
        take_over(t, &confirmed, now);
        forget(&confirmed);
    }
    /* Who speaks in a session has said all that there was to say in the one before: what a
     * gateway kept of it would come out of order. */
    if (!e && l != &t->old)
        forget(&t->old);
    return e;
}

int poa_talk_input(struct poa_talk *t, uint64_t mono_ms, const uint8_t entropy32[32],
                   struct poa_slice message, struct poa_writer *text, struct poa_writer *reply)
{
    struct poa_slice rest;
    if (!message.n)
        return POA_E_TRUNCATED;
    rest = poa_slice(message.p + 1, message.n - 1);
    switch (message.p[0]) {
    case POA_TALK_FIRST:
        return on_first(t, mono_ms, entropy32, rest, reply);
    case POA_TALK_SECOND:
        return on_second(t, mono_ms, rest, reply);
    case POA_TALK_DATA:
        return on_data(t, mono_ms, entropy32, rest, text, reply);
    default:
        return POA_E_RANGE;
    }
}

int poa_talk_say(struct poa_talk *t, struct poa_slice text, struct poa_writer *out)
{
    struct poa_writer w = *out;
    if (!t->now.used)
        return POA_E_AGAIN;
    if (text.n > POA_TALK_TEXT_MAX)
        return POA_E_TOO_LONG;
    poa_write_u8(&w, POA_TALK_DATA);
    int e = poa_session_seal(&t->now.session, text, &w);
    if (!e)
        *out = w;
    return e;
}

void poa_talk_poll(struct poa_talk *t, uint64_t mono_ms, const uint8_t entropy32[32],
                   struct poa_writer *reply, uint64_t *wait_ms)
{
    uint64_t age = t->now.used ? mono_ms - t->now.since_ms : 0;
    *wait_ms = WAIT_MAX_MS;
    if (t->old.used && mono_ms - t->old.since_ms >= POA_TALK_OLD_MS)
        forget(&t->old);
    if (t->now.used && age >= POA_TALK_AGE_MAX_MS)
        forget(&t->now);
    bool due = t->now.used ? poa_session_needs_rekey(&t->now.session, age) : t->wanted;
    if (!due)
        return;
    if (may_dial(t, mono_ms))
        dial(t, mono_ms, entropy32, reply);
    uint64_t left = retry_ms(t) - (mono_ms - t->dialed_ms);
    if (left < *wait_ms)
        *wait_ms = left;
}
