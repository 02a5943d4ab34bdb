/* Transport: frames with explicit counters over the two keys of a handshake. */
#include "poa_session.h"

#include <string.h>

/* Noise uses nonce 2^64-1 for Rekey; the nonces just below it derive lanes. No
 * frame comes near them: POA_SESSION_FRAMES_MAX is 2^40. */
#define LANE_NONCE(lane) (UINT64_MAX - 1 - (uint64_t)(lane))

static uint64_t epoch_of(uint64_t counter)
{
    return counter / POA_SESSION_EPOCH_FRAMES;
}

int poa_session_start(struct poa_session *s, const struct poa_noise *n,
                      enum poa_session_order order)
{
    bool wrote_last;
    int rc;
    if (POA_LEAN && order != POA_SESSION_STRICT)
        return POA_E_UNSUPPORTED;
    memset(s, 0, sizeof *s);
    rc = poa_noise_split(n, &s->send, &s->receive);
    if (rc != POA_OK)
        return rc;
    s->id = poa_le64(poa_noise_transcript(n).p);
    s->order = (uint8_t)order;
    wrote_last = (n->pattern->messages % 2 == 1) == n->initiator;
    s->confirmed = !wrote_last;
    return POA_OK;
}

void poa_session_resume(struct poa_session *s, bool initiator, const uint8_t secret32[32],
                        const uint8_t nonces64[64])
{
    uint8_t keys[64];
    memset(s, 0, sizeof *s);
    poa_blake2b(nonces64, 64, secret32, 32, keys, sizeof keys);
    memcpy(s->send.key, keys + (initiator ? 0 : 32), 32);
    memcpy(s->receive.key, keys + (initiator ? 32 : 0), 32);
    /* BLAKE2b's output depends on its length: nothing of the keys shows. */
    poa_blake2b(nonces64, 64, secret32, 32, keys, 8);
    s->id = poa_le64(keys);
    s->order = POA_SESSION_STRICT;
    poa_wipe(keys, sizeof keys);
}

static void derive_lane(const uint8_t key[32], uint8_t lane, uint8_t out[32])
{
    struct poa_cipher c;
    uint8_t text[32 + POA_NOISE_TAG_BYTES];
    static const uint8_t zeros[32];
    int rc;
    memcpy(c.key, key, sizeof c.key);
    c.n = LANE_NONCE(lane);
    rc = poa_cipher_seal(&c, poa_slice(NULL, 0), poa_slice(zeros, sizeof zeros), text);
    POA_ASSERT(rc == POA_OK);
    memcpy(out, text, 32);
    poa_wipe(&c, sizeof c);
    poa_wipe(text, sizeof text);
}

int poa_session_lane(struct poa_session *out, const struct poa_session *s, uint8_t lane,
                     enum poa_session_order order)
{
    if (s->send.n != 0 || s->receive.n != 0)
        return POA_E_INVALID;
    memset(out, 0, sizeof *out);
    out->id = s->id;
    out->order = (uint8_t)order;
    out->confirmed = s->confirmed;
    derive_lane(s->send.key, lane, out->send.key);
    derive_lane(s->receive.key, lane, out->receive.key);
    return POA_OK;
}

int poa_session_seal(struct poa_session *s, struct poa_slice plain, struct poa_writer *out)
{
    uint64_t counter = s->send.n;
    int rc;
    if (counter >= POA_SESSION_FRAMES_MAX)
        return POA_E_REKEY;
    if (out->overflow || out->cap - out->n < POA_SESSION_OVERHEAD ||
        out->cap - out->n - POA_SESSION_OVERHEAD < plain.n)
        return POA_E_BUFFER;
    if (counter != 0 && counter % POA_SESSION_EPOCH_FRAMES == 0)
        poa_cipher_rekey(&s->send);
    poa_write_u64(out, s->id);
    poa_write_u64(out, counter);
    rc = poa_cipher_seal(&s->send, poa_slice(NULL, 0), plain, out->p + out->n);
    POA_ASSERT(rc == POA_OK);
    out->n += plain.n + POA_NOISE_TAG_BYTES;
    return POA_OK;
}

/* A build for devices has no windowed sessions. */
static bool strict(const struct poa_session *s)
{
    return POA_LEAN || s->order == POA_SESSION_STRICT;
}

static bool seen(const struct poa_session *s, uint64_t counter)
{
    uint64_t bit = counter % POA_SESSION_WINDOW;
    return (s->seen[bit / 64] >> (bit % 64) & 1) != 0;
}

/* Marks COUNTER; every counter skipped on the way up is still acceptable. */
static void mark(struct poa_session *s, uint64_t counter)
{
    uint64_t bit, i;
    if (strict(s)) {
        s->receive.n = counter + 1;
        return;
    }
    if (counter >= s->receive.n) {
        uint64_t steps = counter - s->receive.n;
        if (steps >= POA_SESSION_WINDOW)
            memset(s->seen, 0, sizeof s->seen);
        else
            for (i = s->receive.n; i < counter; i++)
                s->seen[i % POA_SESSION_WINDOW / 64] &= ~((uint64_t)1 << (i % 64));
        s->receive.n = counter + 1;
    }
    bit = counter % POA_SESSION_WINDOW;
    s->seen[bit / 64] |= (uint64_t)1 << (bit % 64);
}

/* Whether COUNTER may still be accepted, before any decryption. */
static int admit(const struct poa_session *s, uint64_t counter)
{
    uint64_t epoch = s->receive.n == 0 ? 0 : epoch_of(s->receive.n - 1);
    if (counter >= POA_SESSION_FRAMES_MAX || epoch_of(counter) > epoch + POA_SESSION_EPOCH_SKIP)
        return POA_E_RANGE;
    if (counter >= s->receive.n)
        return POA_OK;
    if (strict(s) || s->receive.n - counter > POA_SESSION_WINDOW || seen(s, counter))
        return POA_E_REPLAY;
    if (epoch_of(counter) < epoch && !s->have_before)
        return POA_E_REPLAY;
    return POA_OK;
}

int poa_session_open(struct poa_session *s, struct poa_slice frame, struct poa_writer *out)
{
    struct poa_cipher c;
    uint8_t before[POA_NOISE_KEY_BYTES];
    uint64_t counter, epoch, now;
    size_t size;
    int rc;
    if (frame.n < POA_SESSION_OVERHEAD)
        return POA_E_TRUNCATED;
    if (poa_le64(frame.p) != s->id)
        return POA_E_SESSION_UNKNOWN;
    counter = poa_le64(frame.p + 8);
    rc = admit(s, counter);
    if (rc != POA_OK)
        return rc;
    size = frame.n - POA_SESSION_OVERHEAD;
    if (out->overflow || out->cap - out->n < size)
        return POA_E_BUFFER;

    now = s->receive.n == 0 ? 0 : epoch_of(s->receive.n - 1);
    epoch = epoch_of(counter);
    memcpy(c.key, !strict(s) && epoch < now ? s->before : s->receive.key, sizeof c.key);
    memcpy(before, c.key, sizeof before);
    for (; now < epoch; now++) {
        memcpy(before, c.key, sizeof before);
        poa_cipher_rekey(&c);
    }
    c.n = counter;
    rc = poa_cipher_open(
        &c, poa_slice(NULL, 0),
        poa_slice(frame.p + POA_SESSION_HEAD_BYTES, frame.n - POA_SESSION_HEAD_BYTES),
        out->p + out->n);
    if (rc == POA_OK) {
        out->n += size;
        if (counter >= s->receive.n) {
            now = s->receive.n == 0 ? 0 : epoch_of(s->receive.n - 1);
            if (epoch > now) {
                memcpy(s->receive.key, c.key, sizeof c.key);
                if (!strict(s)) {
                    memcpy(s->before, before, sizeof before);
                    s->have_before = true;
                }
            }
            /* Out of the window's reach, the old key has no use any more. */
            if (!strict(s) &&
                (counter % POA_SESSION_EPOCH_FRAMES >= POA_SESSION_WINDOW || !s->have_before)) {
                poa_wipe(s->before, sizeof s->before);
                s->have_before = false;
            }
        }
        mark(s, counter);
        s->confirmed = true;
    }
    poa_wipe(&c, sizeof c);
    poa_wipe(before, sizeof before);
    return rc;
}

int poa_session_frame_id(struct poa_slice frame, uint64_t *id)
{
    if (frame.n < POA_SESSION_OVERHEAD)
        return POA_E_TRUNCATED;
    *id = poa_le64(frame.p);
    return POA_OK;
}

bool poa_session_confirmed(const struct poa_session *s)
{
    return s->confirmed;
}

bool poa_session_needs_rekey(const struct poa_session *s, uint64_t age_ms)
{
    return age_ms >= POA_SESSION_AGE_RENEW_MS || s->send.n >= POA_SESSION_FRAMES_RENEW ||
           s->receive.n >= POA_SESSION_FRAMES_RENEW;
}

void poa_session_wipe(struct poa_session *s)
{
    poa_wipe(s, sizeof *s);
}
