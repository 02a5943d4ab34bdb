#include "poa_node_memo.h"

#include "poa_vrf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* A signature is asked for again within seconds: 16,384 are those of a minute of
 * a small committee, and of ten seconds of one of 128. Forged ones have room of
 * their own, so that they push no other out. */
#define STRIPES    256u
#define SIGNATURES 64u
#define PROOFS     16u
#define REFUSED    8u
#define PROVED     2u
/* Everything that the protocol signs is a digest of 32 bytes. */
#define MESSAGE_BYTES 32u

/* Transactions on their way to a block: 65,536, a few seconds of full load. */
#define TX_SETS 64u
#define TX_WAYS 4u

struct tag {
    uint8_t hash[32];
};
struct tx_tag {
    uint8_t hash[16];
};
struct stripe {
    pthread_mutex_t mutex; /* held while one of its own is verified */
    struct tag signature[SIGNATURES], proof[PROOFS], refused[REFUSED];
    uint8_t beta[PROOFS][64];
    struct tag proved[PROVED];
    uint8_t pi[PROVED][80];
    int why[REFUSED];
    uint32_t signatures, proofs, refusals, proofs_made; /* put in so far */
    struct tx_tag tx[TX_SETS][TX_WAYS];                 /* newest first */
};

static struct stripe stripes[STRIPES];
static uint8_t salt[32];
static const struct poa_suite *below = &poa_suite_ed25519;
static _Atomic uint64_t by_workers, by_others, remembered;
static _Thread_local bool is_worker;

void node_memo_open(const struct poa_suite *under)
{
    below = under;
    poa_random(salt, sizeof salt);
    memset(stripes, 0, sizeof stripes);
    for (uint32_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&stripes[i].mutex, NULL);
    by_workers = by_others = remembered = 0;
}

void node_memo_worker(void)
{
    is_worker = true;
}

void node_memo_stats(struct node_memo_stats *out)
{
    *out = (struct node_memo_stats){by_workers, by_others, remembered};
}

/* Salted, so that nobody outside knows what falls into one stripe. */
static struct stripe *find(uint8_t kind, const uint8_t pk[32], const void *msg,
                           const uint8_t *proof, size_t proof_n, struct tag *tag)
{
    uint8_t in[1 + 32 + MESSAGE_BYTES + POA_VRF_PI_BYTES];
    in[0] = kind;
    memcpy(in + 1, pk, 32);
    memcpy(in + 33, msg, MESSAGE_BYTES);
    if (proof_n)
        memcpy(in + 33 + MESSAGE_BYTES, proof, proof_n);
    poa_blake2b(in, 33 + MESSAGE_BYTES + proof_n, salt, sizeof salt, tag->hash, 32);
    return &stripes[tag->hash[31] % STRIPES];
}

/* Place of TAG among the last MAX that were put in, or -1. */
static int look(const struct tag *list, uint32_t max, uint32_t n, const struct tag *tag)
{
    for (uint32_t i = 0; i < max && i < n; i++)
        if (!memcmp(list[i].hash, tag->hash, 32))
            return (int)i;
    return -1;
}

static void refuse(struct stripe *s, const struct tag *tag, int rc)
{
    s->why[s->refusals % REFUSED] = rc;
    s->refused[s->refusals++ % REFUSED] = *tag;
}

static void count(void)
{
    if (is_worker)
        by_workers++;
    else
        by_others++;
}

static int verify(const uint8_t pk[32], const void *msg, size_t n, const uint8_t sig[64])
{
    struct tag tag;
    if (n != MESSAGE_BYTES) {
        count();
        return below->verify(pk, msg, n, sig);
    }
    struct stripe *s = find(0, pk, msg, sig, POA_SIG_BYTES, &tag);
    int rc = POA_OK, no;
    pthread_mutex_lock(&s->mutex);
    if (look(s->signature, SIGNATURES, s->signatures, &tag) >= 0) {
        remembered++;
    } else if ((no = look(s->refused, REFUSED, s->refusals, &tag)) >= 0) {
        remembered++;
        rc = s->why[no];
    } else {
        count();
        rc = below->verify(pk, msg, n, sig);
        if (rc)
            refuse(s, &tag, rc);
        else
            s->signature[s->signatures++ % SIGNATURES] = tag;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int vrf_verify(const uint8_t pk[32], const void *alpha, size_t n, const uint8_t pi[80],
                      uint8_t beta[64])
{
    struct tag tag;
    if (n != MESSAGE_BYTES) {
        count();
        return below->vrf_verify(pk, alpha, n, pi, beta);
    }
    struct stripe *s = find(1, pk, alpha, pi, POA_VRF_PI_BYTES, &tag);
    int rc = POA_OK, no;
    pthread_mutex_lock(&s->mutex);
    int at = look(s->proof, PROOFS, s->proofs, &tag);
    if (at >= 0) {
        remembered++;
        memcpy(beta, s->beta[at], 64);
    } else if ((no = look(s->refused, REFUSED, s->refusals, &tag)) >= 0) {
        remembered++;
        rc = s->why[no];
    } else {
        count();
        rc = below->vrf_verify(pk, alpha, n, pi, beta);
        if (rc) {
            refuse(s, &tag, rc);
        } else {
            memcpy(s->beta[s->proofs % PROOFS], beta, 64);
            s->proof[s->proofs++ % PROOFS] = tag;
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static struct tx_tag *set_of(const struct node_memo_tx *tx, struct stripe **s)
{
    *s = &stripes[tx->tag[0] % STRIPES];
    return (*s)->tx[tx->tag[1] % TX_SETS];
}

bool node_memo_tx_find(struct poa_slice raw, struct node_memo_tx *out)
{
    struct stripe *s;
    bool known = false;
    poa_siphash(salt, raw.p, raw.n, out->tag);
    const struct tx_tag *set = set_of(out, &s);
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < TX_WAYS && !known; i++)
        known = !memcmp(set[i].hash, out->tag, sizeof set[i].hash);
    pthread_mutex_unlock(&s->mutex);
    return known;
}

void node_memo_tx_add(const struct node_memo_tx *tx)
{
    struct stripe *s;
    struct tx_tag *set = set_of(tx, &s);
    pthread_mutex_lock(&s->mutex);
    memmove(set + 1, set, (TX_WAYS - 1) * sizeof *set);
    memcpy(set[0].hash, tx->tag, sizeof set[0].hash);
    pthread_mutex_unlock(&s->mutex);
}

int node_memo_tx_check(const uint8_t chain32[32], struct poa_slice raw, struct poa_tx_view *out)
{
    struct node_memo_tx tx;
    if (node_memo_tx_find(raw, &tx))
        return poa_tx_parse(chain32, raw, out);
    int rc = poa_tx_check(chain32, raw, out);
    if (!rc)
        node_memo_tx_add(&tx);
    return rc;
}

static void sign(const uint8_t seed[32], const uint8_t pk[32], const void *msg, size_t n,
                 uint8_t sig[64])
{
    below->sign(seed, pk, msg, n, sig);
}

/* What this node proved itself it need not verify when it comes back in a block. */
static void own_proof(const uint8_t pk[32], const void *alpha, const uint8_t pi[80])
{
    struct tag tag;
    uint8_t beta[64];
    if (poa_vrf_proof_to_hash(POA_VRF_TAI, pi, beta))
        return;
    struct stripe *s = find(1, pk, alpha, pi, POA_VRF_PI_BYTES, &tag);
    pthread_mutex_lock(&s->mutex);
    if (look(s->proof, PROOFS, s->proofs, &tag) < 0) {
        memcpy(s->beta[s->proofs % PROOFS], beta, 64);
        s->proof[s->proofs++ % PROOFS] = tag;
    }
    pthread_mutex_unlock(&s->mutex);
}

static int vrf_output(const uint8_t pk[32], const void *alpha, size_t n, const uint8_t pi[80],
                      uint8_t beta[64])
{
    return below->vrf_output(pk, alpha, n, pi, beta);
}

/* Proofs are the same whenever they are made (RFC 9381, section 5.4.2.2). */
static int vrf_prove(const uint8_t seed[32], const uint8_t pk[32], const void *alpha, size_t n,
                     uint8_t pi[80])
{
    struct tag tag;
    if (n != MESSAGE_BYTES)
        return below->vrf_prove(seed, pk, alpha, n, pi);
    struct stripe *s = find(2, pk, alpha, NULL, 0, &tag);
    int rc = POA_OK;
    bool made = false;
    pthread_mutex_lock(&s->mutex);
    int at = look(s->proved, PROVED, s->proofs_made, &tag);
    if (at >= 0) {
        memcpy(pi, s->pi[at], 80);
    } else {
        rc = below->vrf_prove(seed, pk, alpha, n, pi);
        made = !rc;
        if (made) {
            memcpy(s->pi[s->proofs_made % PROVED], pi, 80);
            s->proved[s->proofs_made++ % PROVED] = tag;
        }
    }
    pthread_mutex_unlock(&s->mutex);
    if (made)
        own_proof(pk, alpha, pi);
    return rc;
}

const struct poa_suite node_suite = {.verify = verify,
                                     .sign = sign,
                                     .vrf_verify = vrf_verify,
                                     .vrf_prove = vrf_prove,
                                     .vrf_output = vrf_output};
