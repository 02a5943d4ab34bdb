/* Handshakes and frames: any bytes, in any order. Whatever arrives, a side
 * reads only what the other wrote, each frame once. */
#include "fuzz.h"
#include "poa_session.h"

static const char *const patterns[] = {"IK", "XX", "NK", "XK", "KK", "NN", "NX", "N"};

struct side {
    struct poa_noise n;
    uint8_t sk[32], pk[32], e[32];
};

static void keys(struct side *s, uint8_t mark)
{
    memset(s->sk, mark, 32);
    memset(s->e, mark ^ 0x55, 32);
    poa_x25519_public(s->sk, s->pk);
}

static int init(struct side *s, const struct side *other, const char *pattern,
                enum poa_noise_hash hash, bool initiator)
{
    const struct poa_noise_config c = {.pattern = poa_noise_pattern_find(pattern, strlen(pattern)),
                                       .hash = hash,
                                       .initiator = initiator,
                                       .prologue = poa_slice("fuzz", 4),
                                       .static_sk32 = s->sk,
                                       .static_pk32 = s->pk,
                                       .remote_pk32 = other->pk,
                                       .ephemeral32 = s->e};
    FUZZ_CHECK(c.pattern != NULL);
    return poa_noise_init(&s->n, &c);
}

/* --- handshakes ------------------------------------------------------------------ */

static void handshake(struct fuzz_in *in)
{
    static struct side side[2];
    if (!side[0].sk[0]) {
        keys(&side[0], 1);
        keys(&side[1], 2);
    }
    uint8_t flags = fuzz_u8(in);
    const char *pattern = patterns[flags % 8];
    enum poa_noise_hash hash = (enum poa_noise_hash)(flags / 8 % 3);
    FUZZ_CHECK(!init(&side[0], &side[1], pattern, hash, true));
    FUZZ_CHECK(!init(&side[1], &side[0], pattern, hash, false));
    bool tampered = false;
    for (unsigned step = 0; step < 8 && in->n; step++) {
        uint8_t op = fuzz_u8(in), message[1024], payload[1024];
        struct side *to = &side[op & 1], *from = &side[!(op & 1)];
        struct poa_writer m = poa_writer_over(message, sizeof message);
        struct poa_writer p = poa_writer_over(payload, op & 2 ? 8 : sizeof payload);
        struct poa_slice sent = poa_slice(NULL, 0);
        if (op & 4) { /* what the other side writes, perhaps changed */
            struct poa_noise before = from->n;
            sent = fuzz_slice(in, fuzz_u8(in));
            bool turn = poa_noise_my_turn(&from->n);
            size_t size = poa_noise_message_size(&from->n, sent.n);
            int e = poa_noise_write(&from->n, sent, &m);
            FUZZ_CHECK((e == POA_OK) == (turn && !before.failed));
            FUZZ_CHECK(e || m.n == size);
            if (e)
                continue;
            if (op & 8) {
                uint16_t at = fuzz_u16(in);
                uint8_t change = fuzz_u8(in);
                message[at % m.n] ^= change;
                tampered |= change != 0;
            }
            if (op & 16) {
                m.n = fuzz_u8(in) % (m.n + 1);
                tampered = true;
            }
        } else {
            struct poa_slice any = fuzz_chunk(in);
            poa_write(&m, any.p, any.n);
            tampered = true;
        }
        uint8_t *exact = fuzz_copy(message, m.n);
        int e = poa_noise_read(&to->n, poa_slice(exact, m.n), &p);
        free(exact);
        FUZZ_CHECK(!p.overflow);
        if (!e && !tampered)
            FUZZ_CHECK(poa_slice_equal(poa_written(&p), sent));
    }
    struct poa_session s[2];
    bool both = poa_noise_done(&side[0].n) && poa_noise_done(&side[1].n);
    for (int i = 0; i < 2; i++)
        FUZZ_CHECK((poa_session_start(&s[i], &side[i].n, POA_SESSION_STRICT) == POA_OK) ==
                   poa_noise_done(&side[i].n));
    /* Both done on one transcript: they understand one another. */
    if (both && poa_slice_equal(poa_noise_transcript(&side[0].n), poa_noise_transcript(&side[1].n)))
        FUZZ_CHECK(!memcmp(s[0].send.key, s[1].receive.key, 32) &&
                   !memcmp(s[1].send.key, s[0].receive.key, 32) && s[0].id == s[1].id);
}

/* --- transport ------------------------------------------------------------------- */

/* A pair of fresh sessions, made once. */
static const struct poa_session *ready(void)
{
    static struct poa_session s[2];
    struct side side[2];
    uint8_t message[128];
    if (s[0].id)
        return s;
    keys(&side[0], 3);
    keys(&side[1], 4);
    FUZZ_CHECK(!init(&side[0], &side[1], "IK", POA_NOISE_BLAKE2B, true));
    FUZZ_CHECK(!init(&side[1], &side[0], "IK", POA_NOISE_BLAKE2B, false));
    for (int i = 0; i < 2; i++) {
        struct poa_writer m = poa_writer_over(message, sizeof message);
        struct poa_writer none = poa_writer_over(NULL, 0);
        FUZZ_CHECK(!poa_noise_write(&side[i].n, poa_slice(NULL, 0), &m));
        FUZZ_CHECK(!poa_noise_read(&side[!i].n, poa_written(&m), &none));
    }
    for (int i = 0; i < 2; i++)
        FUZZ_CHECK(!poa_session_start(&s[i], &side[i].n, POA_SESSION_STRICT));
    return s;
}

#define FRAMES 24

static void transport(struct fuzz_in *in)
{
    struct poa_session a = ready()[0], b = ready()[1];
    uint8_t frame[FRAMES][POA_SESSION_OVERHEAD + 64], plain[FRAMES][64], out[128];
    size_t frame_n[FRAMES], made = 0;
    unsigned read[FRAMES] = {0};
    uint64_t counter[FRAMES], top = 0;
    bool any = false;
    uint8_t order = fuzz_u8(in) & 1;
    a.order = b.order = order;
    for (unsigned step = 0; step < 64 && in->n; step++) {
        uint8_t op = fuzz_u8(in);
        if (op & 1) { /* a writes a frame */
            if (made == FRAMES)
                continue;
            if (op & 2) /* after a gap, which may cross an epoch of keys */
                while (a.send.n % POA_SESSION_EPOCH_FRAMES != POA_SESSION_EPOCH_FRAMES - 1 &&
                       (op & 4 || a.send.n % 300))
                    a.send.n++;
            struct poa_slice text = fuzz_slice(in, op >> 3 & 15);
            struct poa_writer w = poa_writer_over(frame[made], sizeof frame[made]);
            counter[made] = a.send.n;
            FUZZ_CHECK(!poa_session_seal(&a, text, &w));
            FUZZ_CHECK(w.n == text.n + POA_SESSION_OVERHEAD);
            if (text.n)
                memcpy(plain[made], text.p, text.n);
            frame_n[made++] = w.n;
            continue;
        }
        struct poa_session before;
        memcpy(&before, &b, sizeof b); /* with its padding */
        struct poa_writer w = poa_writer_over(out, sizeof out);
        if (op & 2 && made) { /* one of them arrives, perhaps changed or again */
            size_t i = fuzz_u8(in) % made;
            uint8_t change = op & 4 ? fuzz_u8(in) : 0;
            size_t at = op & 4 ? fuzz_u8(in) % frame_n[i] : 0;
            uint8_t *copy = fuzz_copy(frame[i], frame_n[i]);
            copy[at] ^= change;
            int e = poa_session_open(&b, poa_slice(copy, frame_n[i]), &w);
            free(copy);
            if (e) {
                FUZZ_CHECK(!memcmp(&before, &b, sizeof b) && !w.n);
                /* Untouched, new, in order and near: it must be read. */
                FUZZ_CHECK(change || read[i] || (any && counter[i] < top) ||
                           counter[i] / POA_SESSION_EPOCH_FRAMES > POA_SESSION_EPOCH_SKIP);
            } else {
                FUZZ_CHECK(!change && !read[i]);
                FUZZ_CHECK(order == POA_SESSION_WINDOWED || !any || counter[i] > top);
                FUZZ_CHECK(poa_slice_equal(poa_written(&w), poa_slice(plain[i], w.n)) &&
                           w.n + POA_SESSION_OVERHEAD == frame_n[i]);
                read[i]++;
                top = any && top > counter[i] ? top : counter[i];
                any = true;
            }
        } else {
            struct poa_slice bytes = fuzz_chunk(in);
            uint8_t *copy = fuzz_copy(bytes.p, bytes.n);
            uint64_t id;
            if (bytes.n >= 8 && op & 4)
                poa_put_le64(copy, b.id);
            FUZZ_CHECK(poa_session_frame_id(poa_slice(copy, bytes.n), &id) != POA_OK ||
                       (bytes.n >= 8 && id == poa_le64(copy)));
            FUZZ_CHECK(poa_session_open(&b, poa_slice(copy, bytes.n), &w) != POA_OK);
            FUZZ_CHECK(!memcmp(&before, &b, sizeof b));
            free(copy);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    if (fuzz_u8(&in) & 1)
        transport(&in);
    else
        handshake(&in);
    return 0;
}

void fuzz_seeds(void)
{
    for (uint8_t p = 0; p < 8; p++) {
        /* Each message in turn, with a payload of two bytes. */
        const uint8_t honest[] = {0, p, 5, 2, 'h', 'i', 4, 2, 'y', 'o', 5, 2, 'o', 'k'};
        char name[] = "handshake-XX";
        snprintf(name + 10, 3, "%s", patterns[p]);
        fuzz_seed(name, honest, sizeof honest);
    }
    static const uint8_t changed[] = {0, 0, 13, 2, 'h', 'i', 40, 0, 1, 4, 2, 'y', 'o'};
    fuzz_seed("handshake-changed", changed, sizeof changed);
    uint8_t any[5 + 96] = {0, 0, 1, 96, 0};
    memset(any + 5, 9, 96);
    fuzz_seed("handshake-any", any, sizeof any);
    static const uint8_t frames[] = {1,  0,   17,  'a', 'b', 17, 'c', 'd', 2,   0, 2,
                                     1,  2,   0,   6,   1,   1,  19,  'e', 'f', 2, 2,
                                     23, 'g', 'h', 2,   3,   4,  20,  0,   1,   2, 3};
    fuzz_seed("frames-strict", frames, sizeof frames);
    uint8_t windowed[sizeof frames];
    memcpy(windowed, frames, sizeof frames);
    windowed[1] = 1;
    fuzz_seed("frames-windowed", windowed, sizeof windowed);
}
