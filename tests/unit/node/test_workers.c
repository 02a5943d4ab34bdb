/* The worker pool on real transactions. */
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "poa_node_workers.h"

static const uint8_t chain[32] = {7};
static sem_t finished;
static _Atomic int done_count;

static void done(struct node_check *c)
{
    (void)c;
    done_count++;
    sem_post(&finished);
}

static size_t sign_one(uint64_t nonce, uint8_t *out, size_t cap)
{
    uint8_t secret[32] = {9}, body[256], ops[300], id[32];
    struct poa_op_transfer t = {.to = {1}, .amount = 5};
    struct poa_writer w = poa_writer_over(body, sizeof body);
    cr_assert_eq(poa_op_transfer_encode(&w, &t), POA_OK);
    struct poa_op op = {.kind = POA_OP_TRANSFER, .body = poa_written(&w)};
    struct poa_writer list = poa_writer_over(ops, sizeof ops);
    cr_assert_eq(poa_op_encode(&list, &op), POA_OK);
    struct poa_list all = {.bytes = poa_written(&list), .count = 1};
    struct poa_writer o = poa_writer_over(out, cap);
    cr_assert_eq(poa_tx_sign(chain, POA_KEY_BIP340, secret, nonce, 10, 0, &all, &o, id), POA_OK);
    return o.n;
}

/* N transactions, each third with a flipped byte in its signature. */
static struct node_check *make(uint32_t n)
{
    void *extra = NULL;
    struct node_check *c = node_check_new(n, n * (size_t)1024, &extra);
    cr_assert(c);
    uint8_t *p = extra;
    for (uint32_t i = 0; i < n; i++, p += 1024) {
        size_t size = sign_one(i, p, 1024);
        if (i % 3 == 2)
            p[size - 1] ^= 1;
        c->raw[i] = poa_slice(p, size);
    }
    c->done = done;
    return c;
}

static void expect_codes(const struct node_check *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        cr_assert_eq(c->code[i], i % 3 == 2 ? POA_E_TX_SIGNATURE : POA_OK, "%u: %s", i,
                     poa_error_name(c->code[i]));
        if (!c->code[i])
            cr_assert_eq(c->view[i].tx.nonce, i);
    }
}

Test(workers, check_every_transaction_once)
{
    struct node_workers *w = NULL;
    cr_assert_eq(poa_crypto_init(), POA_OK);
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 3, 64, &w), POA_OK);
    cr_assert_eq(node_workers_threads(w), 3);
    uint32_t sizes[] = {0, 1, 15, 16, 17, 100};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct node_check *c = make(sizes[i]);
        cr_assert_eq(node_workers_check(w, c), POA_OK);
        sem_wait(&finished);
        expect_codes(c);
        free(c);
    }
    struct node_check *many[20];
    for (int i = 0; i < 20; i++) {
        many[i] = make(7);
        cr_assert_eq(node_workers_check(w, many[i]), POA_OK);
    }
    for (int i = 0; i < 20; i++)
        sem_wait(&finished);
    cr_assert_eq(done_count, 26);
    for (int i = 0; i < 20; i++) {
        expect_codes(many[i]);
        free(many[i]);
    }
    node_workers_free(w);
}

Test(workers, parse_leaves_signatures_alone)
{
    struct node_workers *w = NULL;
    cr_assert_eq(poa_crypto_init(), POA_OK);
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 4, &w), POA_OK);
    struct node_check *c = make(3);
    c->parse_only = true;
    cr_assert_eq(node_workers_check(w, c), POA_OK);
    sem_wait(&finished);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(c->code[i], POA_OK);
    free(c);
    node_workers_free(w);
}

Test(workers, refuse_when_too_much_waits_and_end_what_waits)
{
    struct node_workers *w = NULL;
    cr_assert_eq(poa_crypto_init(), POA_OK);
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 2, &w), POA_OK);
    struct node_check *c[8];
    int taken = 0, refused = 0;
    for (int i = 0; i < 8; i++)
        c[i] = make(200);
    for (int i = 0; i < 8; i++) {
        if (node_workers_check(w, c[i])) {
            refused++;
            free(c[i]);
            c[i] = NULL;
        } else {
            taken++;
        }
    }
    cr_assert_gt(refused, 0);
    node_workers_free(w);
    cr_assert_eq(done_count, taken, "each ends exactly once");
    for (int i = 0; i < 8; i++)
        free(c[i]);
}

/* --- turns --------------------------------------------------------------------------- */

static sem_t gate;
static char order[256];
static size_t order_n;

static void held(struct node_check *c)
{
    while (sem_wait(&gate))
        ;
    free(c);
}

static void noted(struct node_check *c)
{
    order[order_n++] = *(const char *)c->ctx;
    free(c);
    sem_post(&finished);
}

static uint32_t price = 16;

/* COUNT checks of 8 transactions whose letter is NAME, while the worker is held. */
static void hand_in(struct node_workers *w, const char *name, enum node_submitter kind, int count)
{
    const uint8_t key[32] = {(uint8_t)*name};
    for (int i = 0; i < count; i++) {
        struct node_check *c = make(8);
        c->done = noted;
        c->ctx = (void *)(uintptr_t)name;
        c->parse_only = true;
        c->submitter = node_submitter(kind, key);
        c->price = price;
        cr_assert_eq(node_workers_check(w, c), POA_OK);
    }
}

static size_t among_first(char letter, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += order[i] == letter;
    return found;
}

static struct node_workers *held_worker(void)
{
    struct node_workers *w = NULL;
    struct node_check *c;
    cr_assert_eq(poa_crypto_init(), POA_OK);
    sem_init(&finished, 0, 0);
    sem_init(&gate, 0, 0);
    cr_assert_eq(node_workers_new(chain, 1, 4096, &w), POA_OK);
    cr_assert((c = make(1)));
    c->done = held;
    cr_assert_eq(node_workers_check(w, c), POA_OK);
    return w;
}

static void release_worker(int checks)
{
    sem_post(&gate);
    while (checks--)
        sem_wait(&finished);
}

Test(workers, who_floods_waits_behind_himself)
{
    struct node_workers *w = held_worker();
    hand_in(w, "F", NODE_LISTED, 60);
    hand_in(w, "a", NODE_LISTED, 10);
    hand_in(w, "r", NODE_HERE, 10);
    release_worker(80);
    cr_assert_geq(among_first('a', 33), 10, "%s", order);
    cr_assert_geq(among_first('r', 33), 10, "%s", order);
    node_workers_free(w);
}

Test(workers, strangers_share_one_turn)
{
    static const char *const names[] = {"1", "2", "3", "4", "5", "6", "7", "8"};
    struct node_workers *w = held_worker();
    for (int i = 0; i < 8; i++)
        hand_in(w, names[i], NODE_STRANGER, 10);
    hand_in(w, "r", NODE_HERE, 20);
    release_worker(100);
    /* Each may be first once before it has cost anything. */
    cr_assert_geq(among_first('r', 60), 20, "%s", order);
    node_workers_free(w);
}

/* Users of the RPC take turns with one another, and are one for the others. */
Test(workers, users_of_the_rpc_share_one_turn)
{
    struct node_workers *w = held_worker();
    hand_in(w, "F", NODE_HERE, 60);
    hand_in(w, "u", NODE_HERE, 10);
    hand_in(w, "n", NODE_LISTED, 20);
    release_worker(90);
    cr_assert(among_first('u', 45) >= 10, "%s", order);
    cr_assert(among_first('n', 45) >= 18, "%s", order);
    node_workers_free(w);
}

Test(workers, the_network_goes_before_submitters)
{
    struct node_workers *w = held_worker();
    hand_in(w, "r", NODE_HERE, 20);
    hand_in(w, "B", NODE_OWN, 40);
    release_worker(60);
    cr_assert_geq(among_first('B', 50), 38, "%s", order);
    node_workers_free(w);
}

static void refused(struct node_check *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        cr_assert_eq(c->code[i], POA_E_TX_FEE_FLOOR);
    free(c);
    sem_post(&finished);
}

Test(workers, strangers_who_pay_less_than_the_floor_wait)
{
    struct node_workers *w = held_worker();
    node_workers_floor(w, 32);
    hand_in(w, "s", NODE_STRANGER, 5);
    price = 32;
    hand_in(w, "p", NODE_STRANGER, 5);
    hand_in(w, "r", NODE_HERE, 5);
    release_worker(10);
    cr_assert_eq(order_n, 10);
    cr_assert_eq(among_first('s', order_n), 0, "%s", order);
    cr_assert_eq(node_workers_strangers(w), 40);
    node_workers_floor(w, 16);
    for (int i = 0; i < 5; i++)
        sem_wait(&finished);
    cr_assert_eq(among_first('s', order_n), 5, "%s", order);
    /* Whoever waits too long is told why. */
    node_workers_floor(w, 64);
    struct node_check *c = make(8);
    c->submitter = node_submitter(NODE_STRANGER, NULL);
    c->price = 63;
    c->done = refused;
    cr_assert_eq(node_workers_check(w, c), POA_OK);
    while (sem_trywait(&finished))
        node_workers_floor(w, 64);
    /* Stopping waits for nobody's price. */
    price = 1;
    hand_in(w, "e", NODE_STRANGER, 3);
    node_workers_free(w);
    cr_assert_eq(among_first('e', order_n), 3, "%s", order);
}

/* Checks that are held take no line from those that are not. */
Test(workers, strangers_who_wait_leave_lines_for_others, .timeout = 120)
{
    enum { MANY = 100 };
    static char names[MANY];
    struct node_workers *w = held_worker();
    node_workers_floor(w, 32);
    for (int i = 0; i < MANY; i++) {
        names[i] = (char)(128 + i);
        hand_in(w, &names[i], NODE_STRANGER, 1);
    }
    hand_in(w, "n", NODE_LISTED, 5);
    hand_in(w, "r", NODE_HERE, 5);
    release_worker(10);
    cr_assert_eq(among_first('n', 10), 5);
    cr_assert_eq(among_first('r', 10), 5);
    node_workers_free(w);
}

struct sums {
    uint8_t did[500];
    _Atomic uint32_t sum;
};

static void add(void *arg, uint32_t i)
{
    struct sums *s = arg;
    s->did[i]++;
    s->sum += i;
}

/* While the workers are busy, idle, and stopped. */
Test(workers, help_with_tasks)
{
    struct node_workers *w = NULL;
    cr_assert_eq(poa_crypto_init(), POA_OK);
    sem_init(&finished, 0, 0);
    cr_assert_eq(node_workers_new(chain, 3, 64, &w), POA_OK);
    for (int round = 0; round < 200; round++) {
        struct sums s = {.sum = 0};
        struct node_check *c = round % 20 ? NULL : make(60);
        if (c)
            cr_assert_eq(node_workers_check(w, c), POA_OK);
        if (round == 150)
            node_workers_stop(w);
        uint32_t n = (uint32_t)round % 3 ? sizeof s.did : (uint32_t)round % 2;
        node_workers_parallel(w, add, &s, n);
        for (uint32_t i = 0; i < sizeof s.did; i++)
            cr_assert_eq(s.did[i], i < n, "task %u of %u was done %u times", i, n, s.did[i]);
        cr_assert_eq(s.sum, n ? n * (n - 1) / 2 : 0);
        if (c) {
            sem_wait(&finished);
            expect_codes(c);
            free(c);
        }
        if (round == 150)
            break;
    }
    node_workers_free(w);
}
