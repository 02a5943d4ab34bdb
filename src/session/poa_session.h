/* Sessions (InterVault): Noise handshakes (revision 34) and the encrypted
 * transport that follows them. Node to node, device to gateway, and device to
 * device through a gateway that cannot read them.
 *
 *   initiator                                responder
 *   poa_noise_init                           poa_noise_init
 *   poa_noise_write  ---- e, es, s, ss ---->  poa_noise_read        (IK)
 *   poa_noise_read   <---- e, ee, se -------  poa_noise_write
 *   poa_session_start                        poa_session_start
 *   poa_session_seal ---- frame ----------->  poa_session_open
 *
 * Everything is create and consume: bytes in, bytes out, no socket, clock,
 * randomness or allocation. The caller owns the structs, passes the ephemeral
 * secret in, and wipes. Freestanding C99; nothing here is thread-safe.
 *
 * poa speaks Noise_IK_25519_ChaChaPoly_BLAKE2b. XX is for programs that do not know the
 * responder's key. The other patterns and hashes exist for the
 * conformance vectors; a build for devices (POA_LEAN) has BLAKE2b only, and no
 * pre-shared keys.
 *
 * Scalar multiplications (90 us each on the reference machine), ephemeral
 * public key included, per side:
 *   IK, XK, KK: 5 for IK and KK, 4 for XK;  XX 4;  NK, NX 3;  NN 2
 * plus one when poa_noise_config has no static_pk32. A responder spends one on
 * the first message of a stranger who does not know its public key (IK, XK,
 * NK), none when the length is wrong, and two until it has seen the
 * initiator's static key.
 */
#ifndef POA_SESSION_H
#define POA_SESSION_H

#include "poa_crypto.h"

#define POA_NOISE_KEY_BYTES   32
#define POA_NOISE_TAG_BYTES   16
#define POA_NOISE_HASH_MAX    64
#define POA_NOISE_MESSAGES    3     /* of a handshake, at most */
#define POA_NOISE_MESSAGE_MAX 65535 /* bytes; Noise section 3 */

enum poa_noise_hash {
    POA_NOISE_BLAKE2B,
    POA_NOISE_SHA256,
    POA_NOISE_SHA512,
};

enum poa_noise_token {
    POA_NOISE_END,
    POA_NOISE_E,
    POA_NOISE_S,
    POA_NOISE_EE,
    POA_NOISE_ES,
    POA_NOISE_SE,
    POA_NOISE_SS,
};

/* One row of Noise sections 7.4 and 7.5. */
struct poa_noise_pattern {
    char name[4];
    bool knows_initiator; /* pre-message -> s */
    bool knows_responder; /* pre-message <- s */
    uint8_t messages;
    uint8_t token[POA_NOISE_MESSAGES][5]; /* enum poa_noise_token, END after the last */
};

extern const struct poa_noise_pattern poa_noise_ik;
extern const struct poa_noise_pattern poa_noise_xx;
/* Any fundamental pattern by its name ("NK", "XX", "N"), or NULL. */
const struct poa_noise_pattern *poa_noise_pattern_find(const char *name, size_t n);

/* A key and the nonce that it is used with next (Noise section 5.1). */
struct poa_cipher {
    uint8_t key[POA_NOISE_KEY_BYTES];
    uint64_t n;
};

struct poa_noise_config {
    const struct poa_noise_pattern *pattern;
    enum poa_noise_hash hash;
    bool initiator;
    /* Bit 0: psk0, bit i: psk at the end of message i; psk32 holds one key per
     * set bit, in order. Borrowed until the handshake is done. */
    uint8_t psk_slots;
    const uint8_t *psk32;
    struct poa_slice prologue;  /* both sides must agree on it */
    const uint8_t *static_sk32; /* NULL when the pattern needs none */
    const uint8_t *static_pk32; /* its public key, or NULL: computed */
    const uint8_t *remote_pk32; /* when a pre-message says so, else ignored */
    const uint8_t *ephemeral32; /* fresh random bytes, used once, then wiped by the caller */
};

/* A handshake in progress. Wipe it when done or abandoned. */
struct poa_noise {
    const struct poa_noise_pattern *pattern;
    const uint8_t *psk32;
    struct poa_cipher cipher;
    uint8_t h[POA_NOISE_HASH_MAX];
    uint8_t ck[POA_NOISE_HASH_MAX];
    uint8_t s_sk[32], s_pk[32], e_sk[32];
    uint8_t rs[32], re[32];
    uint8_t hash; /* enum poa_noise_hash */
    uint8_t step; /* messages done */
    uint8_t psk_slots;
    bool initiator;
    bool keyed; /* cipher.key is set */
    bool have_rs;
    bool failed;
};

/* Errors: POA_E_INVALID when the pattern needs a key that is missing,
 *         POA_E_KEY for a remote key of all zeros, POA_E_UNSUPPORTED what this
 *         build leaves out. */
POA_MUST_USE int poa_noise_init(struct poa_noise *n, const struct poa_noise_config *config);

/* True when this side writes the next message; false too when done. */
bool poa_noise_my_turn(const struct poa_noise *n);
bool poa_noise_done(const struct poa_noise *n);

/* Bytes of the next message around a payload of PAYLOAD_N, 0 when done. */
size_t poa_noise_message_size(const struct poa_noise *n, size_t payload_n);

/* poa_noise_write appends the next message to OUT.
 * Errors: POA_E_INVALID not our turn or the handshake failed before,
 *         POA_E_BUFFER and POA_E_TOO_LONG (nothing changed),
 *         POA_E_KEY low-order remote key (handshake dead). */
POA_MUST_USE int poa_noise_write(struct poa_noise *n, struct poa_slice payload,
                                 struct poa_writer *out);

/* poa_noise_read consumes the next message and appends its payload to PAYLOAD.
 * The payload of a message is only as secret and as authentic as Noise section
 * 7.7 says for it: IK's first message can be replayed to the responder.
 * Errors: POA_E_INVALID, POA_E_BUFFER (nothing changed); POA_E_TRUNCATED,
 *         POA_E_TOO_LONG, POA_E_KEY, POA_E_DECRYPT: the handshake is dead. */
POA_MUST_USE int poa_noise_read(struct poa_noise *n, struct poa_slice message,
                                struct poa_writer *payload);

/* The remote static key once known, else NULL. Authentic only after the
 * message that proves it (IK: the first, XX: the second and third). */
const uint8_t *poa_noise_remote(const struct poa_noise *n);
/* Channel binding (Noise section 11.2): the transcript hash when done. */
struct poa_slice poa_noise_transcript(const struct poa_noise *n);

/* Ends a finished handshake: the bare cipher states (Noise section 5.2).
 * POA_E_INVALID when it is not finished. */
POA_MUST_USE int poa_noise_split(const struct poa_noise *n, struct poa_cipher *send,
                                 struct poa_cipher *receive);
void poa_noise_wipe(struct poa_noise *n);

/* Noise EncryptWithAd, DecryptWithAd, Rekey. OUT takes n + 16 or n - 16 bytes
 * and may be the input. Opening a wrong text changes nothing. */
POA_MUST_USE int poa_cipher_seal(struct poa_cipher *c, struct poa_slice ad, struct poa_slice plain,
                                 uint8_t *out);
POA_MUST_USE int poa_cipher_open(struct poa_cipher *c, struct poa_slice ad, struct poa_slice cipher,
                                 uint8_t *out);
void poa_cipher_rekey(struct poa_cipher *c);

/* --- transport ---------------------------------------------------------------
 *
 * A frame is    id u64 | counter u64 | Noise transport message, nonce = counter
 *
 * id is the first 8 bytes of the transcript hash, so both sides know it and
 * nobody chooses it. Counters of a direction only grow: gaps are fine (the
 * network may lose frames), a counter is accepted once. A strict session also
 * refuses every counter below the last accepted one (one ordered connection);
 * a windowed one accepts POA_SESSION_WINDOW counters back, for frames that
 * threads or several connections may reorder.
 *
 * Rekey by count: after every POA_SESSION_EPOCH_FRAMES frames of a direction
 * both sides apply Noise Rekey, told by the counter alone, so a key that leaks
 * does not open what was sent before it. Rekey by time: the owner, who has the
 * clock, starts a new handshake when poa_session_needs_rekey says so.
 */
#define POA_SESSION_HEAD_BYTES   16
#define POA_SESSION_OVERHEAD     (POA_SESSION_HEAD_BYTES + POA_NOISE_TAG_BYTES)
#define POA_SESSION_WINDOW       256
#define POA_SESSION_EPOCH_FRAMES ((uint64_t)1 << 16)
#define POA_SESSION_EPOCH_SKIP   64 /* epochs that one gap may span */
#define POA_SESSION_FRAMES_RENEW ((uint64_t)1 << 32)
#define POA_SESSION_FRAMES_MAX   ((uint64_t)1 << 40)
#define POA_SESSION_AGE_RENEW_MS ((uint64_t)3600 * 1000)

enum poa_session_order {
    POA_SESSION_STRICT,
    POA_SESSION_WINDOWED,
};

struct poa_session {
    uint64_t id;
    struct poa_cipher send;                 /* n: the next counter */
    struct poa_cipher receive;              /* n: one past the highest counter accepted */
    uint8_t before[POA_NOISE_KEY_BYTES];    /* receive key of the epoch before */
    uint64_t seen[POA_SESSION_WINDOW / 64]; /* windowed: counters accepted, as a ring of bits */
    uint8_t order;                          /* enum poa_session_order */
    bool have_before;
    bool confirmed;
};

/* Starts the transport of a finished handshake; POA_E_INVALID when it is not,
 * POA_E_UNSUPPORTED: windowed, in a build for devices. */
POA_MUST_USE int poa_session_start(struct poa_session *s, const struct poa_noise *n,
                                   enum poa_session_order order);

/* Starts a strict session without a handshake, from a SECRET that both sides have and
 * the nonces of the initiator and of the responder, 32 fresh random bytes each: the keys
 * are BLAKE2b-512 of the nonces under SECRET, the id BLAKE2b-64. Whoever knows SECRET
 * reads the session, so it is used once and lives shortly (poa_edge.h). The peer is
 * authentic with its first frame. */
void poa_session_resume(struct poa_session *s, bool initiator, const uint8_t secret32[32],
                        const uint8_t nonces64[64]);

/* poa_session_lane makes an independent session from one that has not been
 * used: same id, keys of its own, counters from zero. Two connections that
 * carry one session's frames take a lane each, because frames on different
 * connections overtake each other.
 * In: lane 0..255, the same on both sides. POA_E_INVALID: S was used. */
POA_MUST_USE int poa_session_lane(struct poa_session *out, const struct poa_session *s,
                                  uint8_t lane, enum poa_session_order order);

/* Appends a frame to OUT. Errors: POA_E_BUFFER (nothing changed),
 * POA_E_REKEY past POA_SESSION_FRAMES_MAX. PLAIN may already lie at its place
 * in OUT, POA_SESSION_HEAD_BYTES after the end of what OUT holds. */
POA_MUST_USE int poa_session_seal(struct poa_session *s, struct poa_slice plain,
                                  struct poa_writer *out);

/* poa_session_open appends the plain text of FRAME to OUT.
 * PLAIN may be decrypted in place: OUT over the frame, POA_SESSION_HEAD_BYTES in.
 * Errors: nothing changes on any. POA_E_TRUNCATED, POA_E_SESSION_UNKNOWN
 *         another id, POA_E_REPLAY replayed or too old, POA_E_RANGE too far
 *         ahead, POA_E_DECRYPT, POA_E_BUFFER. */
POA_MUST_USE int poa_session_open(struct poa_session *s, struct poa_slice frame,
                                  struct poa_writer *out);

/* The id of a frame, to find its session; POA_E_TRUNCATED. */
POA_MUST_USE int poa_session_frame_id(struct poa_slice frame, uint64_t *id);

/* Key confirmation: true once the peer has shown that it holds the keys, by the
 * last handshake message (for its reader) or by a frame (for its writer). An IK
 * responder must not drop an older session for one that is not confirmed:
 * whoever replays a first message gets no further than this. */
bool poa_session_confirmed(const struct poa_session *s);

bool poa_session_needs_rekey(const struct poa_session *s, uint64_t age_ms);
void poa_session_wipe(struct poa_session *s);

#endif
