/* The memory of verified signatures, and the workers that fill it. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_node_memo.h"
#include "poa_node_workers.h"

static const uint8_t chain[32] = {7};
static _Atomic unsigned verified, proved;
static pthread_t core; /* the thread that must find everything done */
static _Atomic unsigned by_core;

static void counted(_Atomic unsigned *what)
{
    (*what)++;
    by_core += pthread_equal(pthread_self(), core) != 0;
}

static int verify(const uint8_t pk[32], const void *msg, size_t n, const uint8_t sig[64])
{
    counted(&verified);
    return poa_suite_ed25519.verify(pk, msg, n, sig);
}

static int vrf_verify(const uint8_t pk[32], const void *alpha, size_t n, const uint8_t pi[80],
                      uint8_t beta[64])
{
    counted(&proved);
    usleep(1000); /* others may ask meanwhile */
    return poa_suite_ed25519.vrf_verify(pk, alpha, n, pi, beta);
}

static _Atomic unsigned made;

static int vrf_prove(const uint8_t seed[32], const uint8_t pk[32], const void *alpha, size_t n,
                     uint8_t pi[80])
{
    counted(&made);
    return poa_suite_ed25519.vrf_prove(seed, pk, alpha, n, pi);
}

static int vrf_output(const uint8_t pk[32], const void *alpha, size_t n, const uint8_t pi[80],
                      uint8_t beta[64])
{
    return poa_suite_ed25519.vrf_output(pk, alpha, n, pi, beta);
}

static const struct poa_suite counting = {
    .verify = verify, .vrf_verify = vrf_verify, .vrf_prove = vrf_prove, .vrf_output = vrf_output};

static void setup(void)
{
    cr_assert_eq(poa_crypto_init(), POA_OK);
    core = pthread_self();
    verified = proved = made = by_core = 0;
    node_memo_open(&counting);
}

static struct node_claim signature(uint32_t i)
{
    struct node_claim k = {.msg = {0}};
    uint8_t seed[32] = {1};
    poa_put_le32(seed + 1, i % 4);
    poa_put_le32(k.msg, i);
    poa_ed25519_public(seed, k.key);
    poa_ed25519_sign(seed, k.key, k.msg, 32, k.proof);
    return k;
}

static struct node_claim proof(uint32_t i)
{
    struct node_claim k = {.vrf = true};
    uint8_t seed[32] = {2};
    poa_put_le32(k.msg, i);
    poa_ed25519_public(seed, k.key);
    cr_assert_eq(poa_suite_ed25519.vrf_prove(seed, k.key, k.msg, 32, k.proof), POA_OK);
    return k;
}

static int ask(const struct node_claim *k, uint8_t beta[64])
{
    return k->vrf ? node_suite.vrf_verify(k->key, k->msg, 32, k->proof, beta)
                  : node_suite.verify(k->key, k->msg, 32, k->proof);
}

Test(memo, verifies_once, .init = setup)
{
    uint8_t beta[64], again[64];
    struct node_claim s = signature(1), p = proof(1);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask(&s, NULL), POA_OK);
    cr_assert_eq(ask(&p, beta), POA_OK);
    cr_assert_eq(ask(&p, again), POA_OK);
    cr_assert_eq(memcmp(beta, again, 64), 0);
    cr_assert_eq(verified, 1);
    cr_assert_eq(proved, 1);
    struct node_memo_stats st;
    node_memo_stats(&st);
    cr_assert_eq(st.by_others, 2);
    cr_assert_eq(st.by_workers, 0);
    cr_assert_eq(st.remembered, 3);
}

/* Of a block that a certificate covers: the same output, and nothing is verified. */
Test(memo, takes_outputs_unverified, .init = setup)
{
    uint8_t beta[64], taken[64];
    struct node_claim p = proof(9);
    cr_assert_eq(node_suite.vrf_output(p.key, p.msg, 32, p.proof, taken), POA_OK);
    cr_assert_eq(proved, 0);
    cr_assert_eq(ask(&p, beta), POA_OK);
    cr_assert_eq(memcmp(beta, taken, 64), 0);
    memset(p.proof, 0xff, 80); /* no point, no scalar */
    cr_assert_eq(node_suite.vrf_output(p.key, p.msg, 32, p.proof, taken), POA_E_PROOF);
}

Test(memo, tells_every_byte_apart, .init = setup)
{
    uint8_t beta[64];
    for (int vrf = 0; vrf < 2; vrf++) {
        struct node_claim good = vrf ? proof(3) : signature(3);
        cr_assert_eq(ask(&good, beta), POA_OK);
        for (size_t i = 0; i < 32 + 32 + (vrf ? 80u : 64u); i++) {
            struct node_claim bad = good;
            uint8_t *at = i < 32 ? &bad.key[i] : i < 64 ? &bad.msg[i - 32] : &bad.proof[i - 64];
            *at ^= 1;
            int wrong = ask(&bad, beta);
            cr_assert_neq(wrong, POA_OK, "byte %zu", i);
            unsigned before = verified + proved;
            cr_assert_eq(ask(&bad, beta), wrong, "byte %zu", i);
            cr_assert_eq(verified + proved, before, "a refusal is remembered too");
        }
        cr_assert_eq(ask(&good, beta), POA_OK);
    }
}

Test(memo, forgets_the_oldest_and_stays_right, .init = setup)
{
    enum { MANY = 40000 };
    for (uint32_t i = 0; i < MANY; i++) {
        struct node_claim k = signature(i);
        k.proof[0] ^= i % 5 == 4;
        cr_assert_eq(ask(&k, NULL), i % 5 == 4 ? POA_E_SIGNATURE : POA_OK);
    }
    cr_assert_eq(verified, MANY);
    struct node_claim first = signature(0), last = signature(MANY - 2);
    cr_assert_eq(ask(&last, NULL), POA_OK);
    cr_assert_eq(verified, MANY);
    cr_assert_eq(ask(&first, NULL), POA_OK);
    cr_assert_eq(verified, MANY + 1);
}

static void *asker(void *claims)
{
    const struct node_claim *k = claims;
    uint8_t beta[64];
    for (uint32_t i = 0; i < 32; i++)
        cr_assert_eq(ask(&k[i], beta), POA_OK);
    return NULL;
}

Test(memo, two_that_ask_at_once_share_the_answer, .init = setup)
{
    static struct node_claim k[32];
    pthread_t t[4];
    for (uint32_t i = 0; i < 32; i++)
        k[i] = proof(i);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, asker, k), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    cr_assert_eq(proved, 32);
}

/* --- through the workers, as a node does ------------------------------------------ */

static sem_t finished;

static void done(struct node_check *c)
{
    (void)c;
    sem_post(&finished);
}

static void check(struct node_workers *w, const struct node_claim *k, uint32_t n)
{
    struct node_check *c = node_check_new(0, 0, NULL);
    cr_assert(c);
    c->claim = k;
    c->claims = n;
    c->done = done;
    cr_assert_eq(node_workers_check(w, c), POA_OK);
    sem_wait(&finished);
    free(c);
}

/* The votes of a view one by one, then the certificate made of them, then the
 * core: it asks for all of it and verifies nothing. */
Test(memo, workers_leave_nothing_to_the_core, .init = setup)
{
    static struct node_claim vote[86];
    struct node_workers *w = NULL;
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 3, 64, &w), POA_OK);
    for (uint32_t i = 0; i < 86; i++)
        vote[i] = signature(1000 + i);
    for (uint32_t i = 0; i < 40; i++)
        check(w, &vote[i], 1);
    check(w, vote, 86);
    for (uint32_t i = 0; i < 86; i++)
        cr_assert_eq(ask(&vote[i], NULL), POA_OK);
    cr_assert_eq(verified, 86);
    cr_assert_eq(by_core, 0);
    node_workers_free(w);
}

Test(memo, a_worker_hashes_a_batch, .init = setup)
{
    uint8_t bytes[256], digest[32], seed[32] = {9};
    struct poa_batch b = {.epoch = 3, .author = 1, .seq = 5};
    struct node_claim k = {.vrf = false};
    struct node_workers *w = NULL;
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 4, &w), POA_OK);
    struct poa_writer o = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_batch_encode(&o, &b), POA_OK);
    poa_batch_digest(poa_written(&o), digest);
    poa_batch_sig_digest(chain, digest, k.msg);
    poa_ed25519_public(seed, k.key);
    poa_ed25519_sign(seed, k.key, k.msg, 32, k.proof);
    struct node_claim asked = k;
    memset(asked.msg, 0, 32);
    asked.batch = poa_written(&o);
    check(w, &asked, 1);
    cr_assert_eq(ask(&k, NULL), POA_OK);
    cr_assert_eq(verified, 1);
    cr_assert_eq(by_core, 0);
    node_workers_free(w);
}

/* Whoever sends 128 forged signatures costs one verification, or as many as there
 * are workers. */
Test(memo, a_forged_list_is_left_at_its_first_lie, .init = setup)
{
    static struct node_claim k[128];
    struct node_workers *w = NULL;
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 2, 4, &w), POA_OK);
    for (uint32_t i = 0; i < 128; i++) {
        k[i] = signature(i);
        k[i].proof[5] ^= 1;
    }
    check(w, k, 128);
    cr_assert_leq(verified, 2);
    node_workers_free(w);
}

static bool known(const uint8_t *raw, size_t n)
{
    struct node_memo_tx tx;
    return node_memo_tx_find(poa_slice(raw, n), &tx);
}

static void add(const uint8_t *raw, size_t n)
{
    struct node_memo_tx tx;
    (void)node_memo_tx_find(poa_slice(raw, n), &tx);
    node_memo_tx_add(&tx);
}

Test(memo, knows_transactions_again, .init = setup)
{
    uint8_t a[] = "a transaction", b[] = "b transaction", many[64];
    cr_assert_not(known(a, sizeof a));
    add(a, sizeof a);
    cr_assert(known(a, sizeof a));
    cr_assert_not(known(a, sizeof a - 1));
    cr_assert_not(known(b, sizeof b));
    memset(many, 1, sizeof many);
    for (uint32_t i = 0; i < 1000000; i++) {
        poa_put_le32(many, i);
        add(many, sizeof many);
    }
    cr_assert(known(many, sizeof many));
    cr_assert_not(known(a, sizeof a), "forgotten");
}

/* A batch that convicts its author: every transaction in it is looked at, and those that are
 * valid are known when the core judges it. */
Test(memo, workers_look_into_evidence, .init = setup)
{
    uint8_t secret[32] = {9}, body[256], ops[300], id[32], good[512], bad[512];
    struct poa_op_transfer t = {.to = {1}, .amount = 5};
    struct poa_writer b = poa_writer_over(body, sizeof body), l = poa_writer_over(ops, sizeof ops),
                      o = poa_writer_over(good, sizeof good);
    cr_assert_eq(poa_op_transfer_encode(&b, &t), POA_OK);
    struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&b)};
    cr_assert_eq(poa_op_encode(&l, &op), POA_OK);
    struct poa_list all = {.bytes = poa_written(&l), .count = 1};
    cr_assert_eq(poa_tx_sign(chain, POA_KEY_BIP340, secret, 0, 10, 0, &all, &o, id), POA_OK);
    memcpy(bad, good, o.n);
    bad[o.n - 1] ^= 1;
    struct node_claim k[2] = {{.tx = poa_slice(bad, o.n)}, {.tx = poa_slice(good, o.n)}};
    struct node_workers *w = NULL;
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 4, &w), POA_OK);
    check(w, k, 2);
    cr_expect(known(good, o.n), "one that is bad ends nothing");
    cr_expect_not(known(bad, o.n));
    cr_expect_eq(verified, 0, "and is no signature of the protocol");
    struct poa_tx_view view;
    cr_expect_eq(node_memo_tx_check(chain, k[0].tx, &view), POA_E_TX_SIGNATURE);
    cr_expect_eq(node_memo_tx_check(chain, k[1].tx, &view), POA_OK);
    node_workers_free(w);
}

/* The proof of a turn to come: the core finds it made, and judged. */
Test(memo, a_worker_proves_ahead, .init = setup)
{
    uint8_t seed[32] = {9}, pi[80], beta[64];
    struct node_claim k = {.vrf = false, .msg = {4}, .seed = seed};
    struct node_workers *w = NULL;
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 4, &w), POA_OK);
    poa_ed25519_public(seed, k.key);
    check(w, &k, 1);
    cr_assert_eq(node_suite.vrf_prove(seed, k.key, k.msg, 32, pi), POA_OK);
    cr_assert_eq(node_suite.vrf_verify(k.key, k.msg, 32, pi, beta), POA_OK);
    cr_assert_eq(made, 1);
    cr_assert_eq(proved, 0, "it is its own");
    cr_assert_eq(by_core, 0);
    uint8_t again[64];
    cr_assert_eq(poa_suite_ed25519.vrf_verify(k.key, k.msg, 32, pi, again), POA_OK);
    cr_assert_eq(memcmp(beta, again, 64), 0);
    node_workers_free(w);
}

/* A quorum is less than all: votes that come after it cost nothing. */
Test(memo, workers_leave_out_votes_of_decided_views, .init = setup)
{
    struct node_workers *w = NULL;
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 4, &w), POA_OK);
    node_workers_at(w, 3, 10, 8);
    static const struct {
        uint8_t kind;
        uint32_t epoch;
        uint64_t view;
        bool wanted;
    } c[] = {{POA_VOTE_NOTARIZE, 3, 9, false}, {POA_VOTE_NOTARIZE, 3, 10, true},
             {POA_VOTE_FINALIZE, 3, 8, false}, {POA_VOTE_FINALIZE, 3, 9, true},
             {POA_VOTE_NULLIFY, 3, 8, false},  {POA_VOTE_NULLIFY, 3, 9, true},
             {POA_VOTE_NOTARIZE, 4, 9, true}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        uint8_t seed[32] = {9};
        struct node_claim k = {.vote = (uint8_t)(1 + c[i].kind),
                               .epoch = c[i].epoch,
                               .view = c[i].view,
                               .msg = {(uint8_t)i}};
        unsigned before = verified;
        poa_ed25519_public(seed, k.key);
        poa_ed25519_sign(seed, k.key, k.msg, 32, k.proof);
        check(w, &k, 1);
        cr_assert_eq(verified - before, c[i].wanted, "case %zu", i);
    }
    node_workers_free(w);
}

static _Atomic unsigned answered;
static struct node_claim votes[6];
static unsigned order[6];   /* which was answered as the how manieth */
static bool alone, hearsay; /* one voter sends all; somebody else does */

static void count_answer(struct node_check *c)
{
    order[c->claim - votes] = answered++;
    free(c);
    sem_post(&finished);
}

/* A claim of its own each: the first VOTES are finalize votes of VIEW. */
static void claim_all(struct node_workers *w, uint32_t all, uint32_t count, uint64_t view)
{
    answered = 0;
    for (uint32_t i = 0; i < all; i++) {
        struct node_claim *k = &votes[i];
        uint8_t seed[32] = {(uint8_t)(20 + i)};
        *k = (struct node_claim){.epoch = 3, .view = view, .msg = {(uint8_t)view, (uint8_t)i, 5}};
        k->vote = i < count ? 1 + POA_VOTE_FINALIZE : 0;
        k->voter = (uint8_t)(alone ? 1 : i);
        k->first_hand = !hearsay;
        poa_ed25519_public(seed, k->key);
        poa_ed25519_sign(seed, k->key, k->msg, 32, k->proof);
    }
    for (uint32_t i = 0; i < all; i++) {
        struct node_check *c = node_check_new(0, 0, NULL);
        cr_assert(c);
        c->claim = &votes[i];
        c->claims = 1;
        c->done = count_answer;
        cr_assert_eq(node_workers_check(w, c), POA_OK);
    }
}

/* The third vote of others in a committee of four lets those pass that came after it, and
 * is answered unverified when the view is decided meanwhile, else verified. */
Test(memo, workers_keep_votes_beyond_a_quorum_for_later, .init = setup)
{
    struct node_workers *w = NULL;
    bool passed = false;
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 16, &w), POA_OK);
    node_workers_enough(w, 2);
    node_workers_at(w, 3, 10, 8);
    /* Again when this thread was late itself. */
    for (uint64_t view = 10; view < 110 && !passed; view++) {
        unsigned before = verified;
        claim_all(w, 4, 3, view);
        for (int i = 0; i < 4; i++)
            sem_wait(&finished);
        cr_assert_eq(verified - before, 4);
        cr_assert(order[0] < order[1]);
        passed = order[3] < order[2];
    }
    cr_assert(passed);
    node_workers_at(w, 3, 200, 199);
    unsigned before = verified;
    claim_all(w, 4, 3, 120);
    for (int i = 0; i < 4; i++)
        sem_wait(&finished);
    cr_assert_eq(verified - before, 1);
    /* Nobody makes himself many, to hold up the others. */
    node_workers_at(w, 3, 10, 8);
    for (int i = 0; i < 20; i++) {
        alone = i % 2;
        hearsay = !alone;
        claim_all(w, 6, 5, 121 + (uint64_t)i);
        for (int k = 0; k < 6; k++)
            sem_wait(&finished);
        for (unsigned k = 0; k < 6; k++)
            cr_assert_eq(order[k], k);
    }
    alone = hearsay = false;
    node_workers_at(w, 3, 200, 100);
    claim_all(w, 6, 6, 190);
    node_workers_free(w);
    cr_assert_eq(answered, 6);
}
