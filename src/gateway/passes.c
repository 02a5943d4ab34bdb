/* Passes: how a device comes back within the hour without a handshake.
 *
 * The gateway remembers nothing of who is away. A pass holds the device's key and the time
 * of its last handshake, sealed under a key that the gateway makes anew every hour and
 * forgets an hour later; the session's secret is a keyed hash of the pass. Both are told to
 * the device inside its session. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define NONCE_BYTES 24 /* of the pass; then its text, then the tag */
#define TEXT_BYTES  40 /* device key, time of the handshake */
#define SEALED_AS   "poa/pass/1"

_Static_assert(NONCE_BYTES + TEXT_BYTES + 16 == POA_EDGE_PASS_BYTES, "what a pass is made of");

/* AT is not in the future and less than an hour ago. */
static bool recent(uint64_t at, uint64_t now)
{
    return at <= now && now - at < POA_SESSION_AGE_RENEW_MS;
}

static void encode(const struct pass_key *k, uint8_t out[PASS_KEY_BYTES])
{
    poa_put_le64(out, k->made_ms);
    memcpy(out + 8, k->seal, 32);
    memcpy(out + 40, k->secret, 32);
}

static void decode(const uint8_t in[PASS_KEY_BYTES], struct pass_key *k)
{
    k->made_ms = poa_le64(in);
    memcpy(k->seal, in + 8, 32);
    memcpy(k->secret, in + 40, 32);
}

/* So that a restarted gateway knows the devices of the one before. */
static void keep(const struct poa_gateway *g)
{
    uint8_t bytes[2 * PASS_KEY_BYTES];
    struct poa_why why = {""};
    if (!g->config.pass_path)
        return;
    encode(&g->pass[0], bytes);
    encode(&g->pass[1], bytes + PASS_KEY_BYTES);
    if (poa_file_write(g->config.pass_path, bytes, sizeof bytes, 0600, 0, &why))
        POA_LOG_WARN("gateway", "%s: after a restart devices make handshakes", why.text);
    poa_wipe(bytes, sizeof bytes);
}

void passes_init(struct poa_gateway *g)
{
    struct poa_why why = {""};
    char *bytes = NULL;
    size_t n = 0;
    int e = g->config.pass_path ? poa_file_read(g->config.pass_path, 2 * PASS_KEY_BYTES,
                                                POA_FILE_SECRET, &bytes, &n, &why)
                                : POA_E_NOT_FOUND;
    if (!e && n == 2 * PASS_KEY_BYTES) {
        decode((const uint8_t *)bytes, &g->pass[0]);
        decode((const uint8_t *)bytes + PASS_KEY_BYTES, &g->pass[1]);
    } else if (e != POA_E_NOT_FOUND) {
        POA_LOG_WARN("gateway", "%s is not used: %s", g->config.pass_path,
                     e ? why.text : "it is damaged");
    }
    if (bytes)
        poa_wipe(bytes, n);
    free(bytes);
    passes_tick(g);
}

void passes_tick(struct poa_gateway *g)
{
    uint64_t now = poa_clock_wall_ms(g->clock);
    if (recent(g->pass[0].made_ms, now))
        return;
    /* Passes of a key that was replaced late are too old themselves. */
    g->pass[1] = g->pass[0];
    if (now < g->pass[0].made_ms || now - g->pass[0].made_ms >= 2 * POA_SESSION_AGE_RENEW_MS)
        poa_wipe(&g->pass[1], sizeof g->pass[1]);
    g->pass[0].made_ms = now;
    poa_random(g->pass[0].seal, 32);
    poa_random(g->pass[0].secret, 32);
    keep(g);
}

static void secret_of(const struct pass_key *k, const uint8_t *pass, uint8_t out32[32])
{
    poa_blake2b(pass, POA_EDGE_PASS_BYTES, k->secret, 32, out32, 32);
}

bool pass_send(struct conn *c)
{
    const struct pass_key *k = &c->g->pass[0];
    uint8_t text[TEXT_BYTES];
    struct poa_edge_pass m;
    memcpy(text, c->key, 32);
    poa_put_le64(text + 32, c->keyed_ms);
    poa_random(m.pass, NONCE_BYTES);
    poa_xaead_seal(k->seal, m.pass, poa_slice(SEALED_AS, sizeof SEALED_AS - 1),
                   poa_slice(text, sizeof text), m.pass + NONCE_BYTES);
    secret_of(k, m.pass, m.secret);
    bool fine = CONN_SEND(c, PASS, edge_pass, &m);
    poa_wipe(&m, sizeof m);
    return fine;
}

bool pass_take(struct conn *c, const uint8_t shown[POA_EDGE_RESUME_BYTES], uint8_t nonce32[32])
{
    struct poa_gateway *g = c->g;
    uint64_t now = poa_clock_wall_ms(g->clock);
    uint8_t text[TEXT_BYTES], secret[32], nonces[64];
    const struct pass_key *k = NULL;
    for (size_t i = 0; i < 2 && !k; i++)
        if (g->pass[i].made_ms &&
            !poa_xaead_open(g->pass[i].seal, shown, poa_slice(SEALED_AS, sizeof SEALED_AS - 1),
                            poa_slice(shown + NONCE_BYTES, POA_EDGE_PASS_BYTES - NONCE_BYTES),
                            text))
            k = &g->pass[i];
    if (!k || !recent(poa_le64(text + 32), now))
        return false;
    poa_random(nonce32, 32);
    memcpy(nonces, shown + POA_EDGE_PASS_BYTES, 32);
    memcpy(nonces + 32, nonce32, 32);
    secret_of(k, shown, secret);
    poa_session_resume(&c->session, false, secret, nonces);
    poa_wipe(secret, sizeof secret);
    memcpy(c->key, text, 32);
    c->keyed_ms = poa_le64(text + 32);
    return true;
}
