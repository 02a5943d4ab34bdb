/* Who is asked for a snapshot, and what it costs to lie, to stall, to refuse or to answer late.
 * The mesh is made of questions that the test answers; time is a number. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "poa_book.h"
#include "poa_error.h"
#include "poa_node_givers.h"
#include "poa_snapshot.h"

#define S         UINT64_C(1000000)
#define CAP       8u
#define QUESTIONS 256
#define PARTS     40u

static const uint8_t self[32] = {99}, manifest[32] = {7};

static struct node_givers g;
static uint64_t now_us;

/* Questions that wait for their answer. */
static struct question {
    bool used;
    int at;
    uint16_t type;
    struct poa_snapshot_get get;
    uint64_t base;
    uint32_t timeout_ms;
    poa_p2p_answer_fn *on_answer;
    void *ctx;
} question[QUESTIONS];

static struct {
    uint32_t blamed[CAP], forged[CAP];
    int known, refuse; /* REFUSE: the mesh takes no question */
} mesh;

static int do_know(void *ctx, const uint8_t key32[32], const char *address, bool hearsay, int *at)
{
    (void)ctx, (void)key32, (void)hearsay;
    if (strcmp(address, "refused:1") == 0)
        return POA_E_KEY;
    *at = mesh.known++ + 10; /* no number of ours */
    return POA_OK;
}

static int do_ask(void *ctx, int at, uint16_t type, struct poa_slice bytes, uint32_t timeout_ms,
                  poa_p2p_answer_fn *on_answer, void *answer)
{
    struct poa_snapshot_ask ask;
    struct question *q = question;
    (void)ctx;
    if (mesh.refuse)
        return mesh.refuse;
    while (q->used)
        cr_assert(++q < question + QUESTIONS);
    *q = (struct question){.used = true,
                           .at = at - 10,
                           .type = type,
                           .timeout_ms = timeout_ms,
                           .on_answer = on_answer,
                           .ctx = answer};
    if (type == POA_MSG_REQ_PART)
        cr_assert_eq(poa_snapshot_get_decode(bytes, &q->get), POA_OK);
    if (type == POA_MSG_REQ_SNAPSHOT) {
        cr_assert_eq(poa_snapshot_ask_decode(bytes, &ask), POA_OK);
        q->base = ask.base;
    }
    return POA_OK;
}

static void do_blame(void *ctx, const struct node_giver *s, enum poa_p2p_fault fault,
                     const char *what, const char *why)
{
    uint32_t i = (uint32_t)(s - g.server);
    (void)ctx;
    cr_assert(i < g.n && what[0] && why);
    mesh.blamed[i]++;
    mesh.forged[i] += fault == POA_P2P_FAULT_FORGED;
}

static void set_up(void)
{
    const struct node_givers_mesh m = {.know = do_know, .ask = do_ask, .blame = do_blame};
    memset(question, 0, sizeof question);
    memset(&mesh, 0, sizeof mesh);
    now_us = 1000 * S;
    cr_assert_eq(node_givers_open(&g, &m, self, CAP, now_us), POA_OK);
}

/* As the mesh does when it closes: every question ends. */
static void tear_down(void)
{
    for (struct question *q = question; q < question + QUESTIONS; q++)
        if (q->used)
            q->on_answer(q->ctx, POA_E_CLOSED, 0, poa_slice(NULL, 0));
    node_givers_close(&g);
}

TestSuite(givers, .init = set_up, .fini = tear_down);

static void know(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t key[32] = {(uint8_t)(i + 1)};
        char address[32];
        snprintf(address, sizeof address, "127.0.0.1:%u", 7000 + i);
        node_givers_know(&g, key, address);
    }
    cr_assert_eq(g.n, n);
}

static struct question *asked(int server, uint16_t type)
{
    for (struct question *q = question; q < question + QUESTIONS; q++)
        if (q->used && q->at == server && q->type == type)
            return q;
    return NULL;
}

static uint32_t waiting(uint16_t type)
{
    uint32_t n = 0;
    for (struct question *q = question; q < question + QUESTIONS; q++)
        n += q->used && q->type == type;
    return n;
}

static void answer(struct question *q, int error, uint16_t type, struct poa_slice bytes)
{
    cr_assert(q && q->used);
    q->used = false;
    q->on_answer(q->ctx, error, type, bytes);
}

/* What the caller is to look at, of the one answer that came; it frees it. */
static struct node_answer *taken(void)
{
    struct node_answer *a = node_givers_wait(&g);
    cr_assert(a && !a->next, "one answer is expected");
    if (node_givers_take(&g, a, now_us))
        return a;
    node_answer_free(a);
    return NULL;
}

static void answer_nobody(struct question *q, int error)
{
    answer(q, error, 0, poa_slice(NULL, 0));
    cr_assert_null(taken());
}

/* Server I offers the snapshot of GROUP. */
static void offer(int i, int group)
{
    answer(asked(i, POA_MSG_REQ_SNAPSHOT), POA_OK, POA_MSG_ANS_SNAPSHOT, poa_slice("m", 1));
    struct node_answer *a = taken();
    cr_assert(a && a->kind == NODE_GIVE_OFFER && a->server == (uint32_t)i && a->n == 1);
    node_answer_free(a);
    node_givers_offered(&g, (uint32_t)i, group, now_us);
}

/* N servers of group 0, which is chosen; with parts when PROVEN. */
static void chosen(uint32_t n, bool proven)
{
    know(n);
    node_givers_ask_offers(&g, 0, now_us);
    for (uint32_t i = 0; i < n; i++)
        offer((int)i, 0);
    g.chosen = 0;
    if (!proven)
        return;
    cr_assert_eq(node_parts_init(&g.parts, PARTS), POA_OK);
    node_waits_parts(&g.waits, now_us);
}

/* The answer to part question Q, of CODE as the caller finds it. */
static void part(struct question *q, int code)
{
    uint32_t number = q->get.part;
    answer(q, POA_OK, POA_MSG_ANS_PART, poa_slice("part", 4));
    struct node_answer *a = taken();
    cr_assert(a && a->kind == NODE_GIVE_PART && a->part == number);
    node_givers_part(&g, a, code, now_us);
    node_answer_free(a);
}

/* --- whom ---------------------------------------------------------------------------------- */

Test(givers, everybody_once)
{
    know(3);
    know(3);
    node_givers_know(&g, self, "127.0.0.1:1");
    node_givers_know(&g, (const uint8_t[32]){50}, "refused:1");
    cr_expect_eq(g.n, 3, "%u", g.n);
    know(CAP);
    node_givers_know(&g, (const uint8_t[32]){51}, "127.0.0.1:1");
    cr_expect_eq(g.n, CAP);
}

static void tell(int server, const uint8_t *keys, const char *address, uint32_t n)
{
    uint8_t list[4096], bytes[4096];
    struct poa_writer l = poa_writer_over(list, sizeof list),
                      w = poa_writer_over(bytes, sizeof bytes);
    for (uint32_t i = 0; i < n; i++) {
        struct poa_known_node k = {.address = poa_slice(address, strlen(address))};
        k.key[0] = keys[i];
        cr_assert_eq(poa_known_node_encode(&l, &k), POA_OK);
    }
    struct poa_peers_told told = {.nodes = {poa_written(&l), n}};
    cr_assert_eq(poa_peers_told_encode(&w, &told), POA_OK);
    answer(asked(server, POA_MSG_REQ_PEERS), POA_OK, POA_MSG_ANS_PEERS, poa_written(&w));
    cr_assert_null(taken());
}

Test(givers, a_few_that_each_one_knows)
{
    know(3);
    node_givers_ask_peers(&g);
    cr_expect_eq(waiting(POA_MSG_REQ_PEERS), 3);
    cr_expect(node_givers_pending(&g));
    tell(0, (const uint8_t[]){1, 99, 60, 61, 62, 63, 64, 65}, "127.0.0.1:9", 8);
    cr_expect_eq(g.n, 3 + NODE_GIVERS_TOLD_MAX, "%u", g.n);
    cr_expect(g.server[3].hearsay && g.server[3].key[0] == 60);
    tell(1, (const uint8_t[]){70}, "no address", 1);
    cr_expect_eq(g.n, 7);
    answer(asked(2, POA_MSG_REQ_PEERS), POA_OK, POA_MSG_ANS_PEERS, poa_slice("\xff\xff", 2));
    cr_expect_null(taken());
    cr_expect_eq(g.n, 7);
    cr_expect_not(node_givers_pending(&g));
}

/* Who was not there, where others say that it is, did nothing wrong. */
Test(givers, hearsay_is_not_blamed_before_it_answers)
{
    know(1);
    node_givers_ask_peers(&g);
    tell(0, (const uint8_t[]){60}, "127.0.0.1:9", 1);
    node_givers_ask_offers(&g, 0, now_us);
    answer_nobody(asked(1, POA_MSG_REQ_SNAPSHOT), POA_E_TIMEOUT);
    cr_expect_eq(mesh.blamed[1], 0);
}

/* --- offers ---------------------------------------------------------------------------------- */

Test(givers, one_question_for_an_offer_at_a_time)
{
    know(2);
    node_givers_ask_offers(&g, 4711, now_us);
    node_givers_ask_offers(&g, 4711, now_us + 100 * S);
    cr_expect_eq(waiting(POA_MSG_REQ_SNAPSHOT), 2);
    cr_expect_eq(asked(0, POA_MSG_REQ_SNAPSHOT)->base, 4711);
    offer(0, 0);
    answer_nobody(asked(1, POA_MSG_REQ_SNAPSHOT), POA_E_NOT_FOUND);
    cr_expect_not(node_givers_pending(&g));
    node_givers_ask_offers(&g, 0, now_us + 2 * S - 1);
    cr_expect_eq(waiting(POA_MSG_REQ_SNAPSHOT), 0, "asked again too early");
    node_givers_ask_offers(&g, 0, now_us + 2 * S);
    cr_expect_eq(waiting(POA_MSG_REQ_SNAPSHOT), 1);
    cr_expect_not_null(asked(1, POA_MSG_REQ_SNAPSHOT), "the other one has a group");
    cr_expect_eq(mesh.blamed[1], 0, "to have none is no fault");
}

Test(givers, who_is_silent_is_blamed_once_and_asked_less)
{
    static const uint64_t again_s[] = {2, 4, 8, 16, 32, 64, 64};
    know(1);
    for (uint32_t i = 0; i < sizeof again_s / sizeof again_s[0]; i++) {
        node_givers_ask_offers(&g, 0, now_us);
        answer_nobody(asked(0, POA_MSG_REQ_SNAPSHOT), POA_E_TIMEOUT);
        node_givers_ask_offers(&g, 0, now_us + again_s[i] * S - 1);
        cr_expect_eq(waiting(POA_MSG_REQ_SNAPSHOT), 0, "%u", i);
        now_us += again_s[i] * S;
    }
    cr_expect_eq(mesh.blamed[0], 1);
    cr_expect_eq(mesh.forged[0], 0);
}

/* The caller may wait for who does not answer; who has none is not waited for. */
Test(givers, who_does_not_answer_is_asked_again_with_more_patience)
{
    static const uint32_t patience_ms[] = {3000, 6000, 12000, 24000, 24000};
    know(2);
    cr_expect_eq(node_givers_silent(&g), 2);
    cr_expect(node_givers_hope(&g, now_us));
    node_givers_ask_offers(&g, 0, now_us);
    answer_nobody(asked(0, POA_MSG_REQ_SNAPSHOT), POA_E_NOT_FOUND);
    cr_expect_eq(node_givers_silent(&g), 1);
    for (uint32_t i = 0; i < sizeof patience_ms / sizeof patience_ms[0]; i++) {
        node_givers_ask_offers(&g, 0, now_us);
        struct question *q = asked(1, POA_MSG_REQ_SNAPSHOT);
        cr_assert(q);
        cr_expect_eq(q->timeout_ms, patience_ms[i], "%u: %u", i, q->timeout_ms);
        answer_nobody(q, POA_E_TIMEOUT);
        cr_expect_eq(node_givers_silent(&g), 1);
        cr_expect(node_givers_hope(&g, now_us));
        now_us += 64 * S;
    }
    cr_expect(g.server[1].group < 0);
    node_givers_ask_offers(&g, 0, now_us);
    offer(1, 0);
    cr_expect_eq(node_givers_silent(&g), 0);
    cr_expect_eq(node_givers_members(&g, 0), 1);
}

/* Who is silent holds nobody up who has an offer. */
Test(givers, an_offer_is_not_kept_waiting)
{
    know(2);
    node_givers_ask_offers(&g, 0, now_us);
    answer_nobody(asked(0, POA_MSG_REQ_SNAPSHOT), POA_E_TIMEOUT);
    offer(1, 0);
    cr_expect(node_givers_hope(&g, now_us + NODE_WAITS_OFFERS_US - 1));
    cr_expect_not(node_givers_hope(&g, now_us + NODE_WAITS_OFFERS_US));
}

/* An answer, unless it says that it is to be asked later. Who stopped in between is missed. */
Test(givers, what_an_answer_is)
{
    static const struct {
        int error;
        uint32_t silent;
    } answers[] = {{POA_E_UNSUPPORTED, 0}, {POA_E_AGAIN, 1},   {POA_E_NOT_FOUND, 0},
                   {POA_E_CLOSED, 1},      {POA_E_INVALID, 0}, {POA_E_TIMEOUT, 1},
                   {POA_E_KEY, 0},         {POA_E_FULL, 1}};
    know(1);
    for (uint32_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        node_givers_ask_offers(&g, 0, now_us);
        answer_nobody(asked(0, POA_MSG_REQ_SNAPSHOT), answers[i].error);
        cr_expect_eq(node_givers_silent(&g), answers[i].silent, "%u", i);
        now_us += 64 * S;
    }
}

Test(givers, nobody_waits_for_hearsay_or_liars)
{
    know(2);
    node_givers_ask_peers(&g);
    tell(0, (const uint8_t[]){60, 61}, "127.0.0.1:9", 2);
    cr_assert_eq(g.n, 4);
    node_givers_lied(&g, 1, "lies", "");
    cr_expect_eq(node_givers_silent(&g), 1);
    node_givers_ask_offers(&g, 0, now_us);
    answer_nobody(asked(0, POA_MSG_REQ_SNAPSHOT), POA_E_NOT_FOUND);
    answer_nobody(asked(2, POA_MSG_REQ_SNAPSHOT), POA_E_TIMEOUT);
    answer_nobody(asked(3, POA_MSG_REQ_SNAPSHOT), POA_E_CLOSED);
    cr_expect_eq(node_givers_silent(&g), 0);
}

static void expect_why(const char *expected)
{
    char why[512];
    node_givers_why(&g, why, sizeof why);
    cr_expect_str_eq(why, expected);
}

Test(givers, why_there_is_nothing)
{
    expect_why("no peer of the configuration has an address");
    know(6);
    node_givers_ask_offers(&g, 0, now_us);
    for (int i = 0; i < 6; i++)
        answer_nobody(asked(i, POA_MSG_REQ_SNAPSHOT), POA_E_TIMEOUT);
    expect_why("no server answered: 0100000000000000... at 127.0.0.1:7000, "
               "0200000000000000... at 127.0.0.1:7001, 0300000000000000... at 127.0.0.1:7002, "
               "0400000000000000... at 127.0.0.1:7003 and 2 more");
    now_us += 64 * S;
    node_givers_ask_offers(&g, 0, now_us);
    for (int i = 0; i < 5; i++)
        answer_nobody(asked(i, POA_MSG_REQ_SNAPSHOT), i ? POA_E_NOT_FOUND : POA_E_AGAIN);
    offer(5, 0);
    node_givers_lied(&g, 5, "lies", "");
    expect_why("no answer of 0100000000000000... at 127.0.0.1:7000 (not ready yet); "
               "4 servers have none; 1 did not give what it offered");
    now_us += 64 * S;
    node_givers_ask_offers(&g, 0, now_us);
    offer(0, 0);
    node_givers_lied(&g, 0, "lies", "");
    for (uint32_t i = 1; i < 4; i++)
        node_givers_drop(&g, i);
    expect_why("1 server has none; 5 did not give what they offered");
}

/* However small the text is. */
Test(givers, why_in_little_room)
{
    char why[40];
    know(CAP);
    memset(why, '#', sizeof why);
    node_givers_why(&g, why, 20);
    cr_expect_str_eq(why, "no server answered:");
    cr_expect_eq(why[20], '#');
}

Test(givers, a_question_that_the_mesh_does_not_take_is_not_under_way)
{
    know(2);
    mesh.refuse = POA_E_FULL;
    node_givers_ask_peers(&g);
    node_givers_ask_offers(&g, 0, now_us);
    cr_expect_not(node_givers_pending(&g));
    mesh.refuse = 0;
    node_givers_ask_offers(&g, 0, now_us + 2 * S);
    cr_expect_eq(waiting(POA_MSG_REQ_SNAPSHOT), 2);
    offer(0, 0);
    g.chosen = 0;
    cr_assert(node_givers_next(&g, now_us));
    mesh.refuse = POA_E_FULL;
    node_givers_ask_piece(&g, manifest, 0);
    mesh.refuse = 0;
    node_givers_ask_piece(&g, manifest, 0);
    cr_expect_eq(waiting(POA_MSG_REQ_PART), 1);
}

/* A server for each group, and one more: whose place may it have? */
Test(givers, who_failed_makes_room_for_a_new_offer)
{
    enum { GROUPS = 3 };
    know(5);
    node_givers_ask_offers(&g, 0, now_us);
    for (int i = 0; i < GROUPS; i++) {
        cr_expect_eq(node_givers_room(&g, (uint32_t)i, GROUPS), i);
        offer(i, i);
    }
    cr_expect_eq(node_givers_room(&g, 3, GROUPS), -1);
    g.server[1].broken = 1;
    g.chosen = 1;
    cr_expect_eq(node_givers_room(&g, 3, GROUPS), -1, "that one is fetched");
    g.chosen = -1;
    g.server[4].broken = 1;
    cr_expect_eq(node_givers_room(&g, 4, GROUPS), -1, "it is no better");
    cr_expect_eq(g.server[1].group, 1);
    cr_expect_eq(node_givers_room(&g, 3, GROUPS), 1);
    cr_expect_eq(g.server[1].group, -1);
    offer(3, 1);
    cr_expect_eq(node_givers_members(&g, 1), 1);
    cr_expect_eq(node_givers_room(&g, 1, GROUPS), -1);
    g.server[0].slow = g.server[2].slow = true;
    cr_expect_eq(node_givers_room(&g, 1, GROUPS), -1);
    g.server[1].broken = 0;
    cr_expect(node_givers_room(&g, 1, GROUPS) >= 0);
    cr_expect_eq(node_givers_members(&g, 0) + node_givers_members(&g, 2), 1);
}

/* --- the proof ------------------------------------------------------------------------------- */

Test(givers, one_gives_its_proof_and_then_the_next)
{
    chosen(3, false);
    for (int i = 0; i < 3; i++) {
        cr_assert(node_givers_next(&g, now_us));
        node_givers_ask_piece(&g, manifest, 5);
        node_givers_ask_piece(&g, manifest, 5);
        struct question *q = asked(i, POA_MSG_REQ_PART);
        cr_assert_eq(waiting(POA_MSG_REQ_PART), 1);
        cr_assert(q, "another one is asked");
        cr_expect_eq(q->get.part, POA_SNAPSHOT_PROOF);
        cr_expect_eq(q->get.offset, 5);
        cr_expect_eq(memcmp(q->get.manifest, manifest, 32), 0);
        answer(q, POA_E_TIMEOUT, 0, poa_slice(NULL, 0));
        struct node_answer *a = taken();
        cr_assert(a && a->kind == NODE_GIVE_PIECE && a->error == POA_E_TIMEOUT);
        node_answer_free(a);
        cr_expect_eq(mesh.blamed[i], 1);
    }
    cr_expect_not(node_givers_next(&g, now_us), "all had their turn");
    cr_expect_eq(node_givers_members(&g, 0), 3, "who is slow may come through the next time");
}

Test(givers, who_refuses_its_proof_offers_anew)
{
    chosen(2, false);
    cr_assert(node_givers_next(&g, now_us));
    node_givers_ask_piece(&g, manifest, 0);
    answer(asked(0, POA_MSG_REQ_PART), POA_E_NOT_FOUND, 0, poa_slice(NULL, 0));
    node_answer_free(taken());
    cr_expect_eq(mesh.blamed[0], 0);
    cr_expect_eq(node_givers_members(&g, 0), 1);
    node_givers_ask_offers(&g, 1, now_us + 2 * S);
    offer(0, 0);
    cr_assert(node_givers_next(&g, now_us));
    cr_expect_eq(g.giver, 1, "it had its turn");
}

/* A piece that comes after its round is over is of a file that is not there any more. */
Test(givers, a_piece_of_an_earlier_round_is_nothing)
{
    chosen(1, false);
    cr_assert(node_givers_next(&g, now_us));
    node_givers_ask_piece(&g, manifest, 0);
    struct question *old = asked(0, POA_MSG_REQ_PART);
    node_givers_again(&g);
    node_givers_ask_offers(&g, 0, now_us);
    offer(0, 0);
    g.chosen = 0;
    cr_assert(node_givers_next(&g, now_us), "it has its turn again");
    node_givers_ask_piece(&g, manifest, 0);
    cr_assert_eq(waiting(POA_MSG_REQ_PART), 2);
    answer(old, POA_OK, POA_MSG_ANS_PART, poa_slice("old", 3));
    cr_expect_null(taken());
    cr_expect_eq(mesh.blamed[0], 0);
    answer(asked(0, POA_MSG_REQ_PART), POA_OK, POA_MSG_ANS_PART, poa_slice("new", 3));
    struct node_answer *a = taken();
    cr_assert(a && a->n == 3 && memcmp(a->bytes, "new", 3) == 0);
    node_answer_free(a);
}

Test(givers, who_drips_makes_room_while_others_have_something)
{
    chosen(2, false);
    cr_assert(node_givers_next(&g, now_us));
    cr_expect_not(node_givers_late(&g, now_us + NODE_WAITS_PROOF_US));
    cr_expect(node_givers_late(&g, now_us + NODE_WAITS_PROOF_US + 1));
    cr_expect_eq(mesh.blamed[0], 1);
    cr_expect_eq(node_givers_fresh(&g, 0), 1);
    node_givers_drop(&g, 0);
    cr_assert(node_givers_next(&g, now_us));
    cr_expect_not(node_givers_late(&g, now_us + NODE_WAITS_PROOF_US + 1), "it is the last one");
    cr_expect(node_givers_late(&g, now_us + NODE_WAITS_PROOF_US * NODE_WAITS_PROOF_LAST + 1));
}

/* --- the parts ------------------------------------------------------------------------------- */

Test(givers, parts_come_from_all)
{
    chosen(4, true);
    while (g.parts.held < PARTS) {
        cr_assert(node_givers_ask_parts(&g, manifest, now_us));
        cr_assert(waiting(POA_MSG_REQ_PART) > 0);
        now_us += S / 100;
        for (int i = 0; i < 4; i++)
            for (struct question *q; (q = asked(i, POA_MSG_REQ_PART));)
                part(q, POA_OK);
    }
    cr_expect_eq(node_givers_gave(&g), 4);
    cr_expect(node_givers_ask_parts(&g, manifest, now_us));
    cr_expect_eq(waiting(POA_MSG_REQ_PART), 0, "nothing is missing");
    for (int i = 0; i < 4; i++)
        cr_expect_eq(mesh.blamed[i], 0);
}

/* What a liar was asked for comes from the others, and what it still sends is nothing. */
Test(givers, a_liar_costs_its_own)
{
    chosen(2, true);
    cr_assert(node_givers_ask_parts(&g, manifest, now_us));
    part(asked(0, POA_MSG_REQ_PART), POA_OK); /* it may have two under way now */
    cr_assert(node_givers_ask_parts(&g, manifest, now_us));
    struct question *second = NULL, *first = asked(0, POA_MSG_REQ_PART);
    for (struct question *q = question; q < question + QUESTIONS; q++)
        if (q->used && q->at == 0 && q != first)
            second = q;
    cr_assert(second);
    uint32_t held = g.parts.held;
    part(first, POA_E_PROOF);
    cr_expect_eq(mesh.forged[0], 1);
    cr_expect_eq(node_givers_members(&g, 0), 1);
    answer(second, POA_OK, POA_MSG_ANS_PART, poa_slice("part", 4));
    cr_expect_null(taken(), "somebody else is asked for it");
    cr_expect_eq(g.parts.held, held);
    while (g.parts.held < PARTS) {
        cr_assert(node_givers_ask_parts(&g, manifest, now_us));
        cr_assert_null(asked(0, POA_MSG_REQ_PART), "the liar is asked");
        part(asked(1, POA_MSG_REQ_PART), POA_OK);
    }
    node_givers_ask_offers(&g, 0, now_us + 100 * S);
    cr_expect_null(asked(0, POA_MSG_REQ_SNAPSHOT), "the liar is asked");
    cr_expect_eq(mesh.blamed[1], 0);
}

Test(givers, who_has_a_newer_one_is_nobodys_fault)
{
    chosen(2, true);
    cr_assert(node_givers_ask_parts(&g, manifest, now_us));
    answer_nobody(asked(0, POA_MSG_REQ_PART), POA_E_NOT_FOUND);
    cr_expect_eq(node_givers_members(&g, 0), 1);
    answer_nobody(asked(1, POA_MSG_REQ_PART), POA_E_NOT_FOUND);
    cr_expect_not(node_givers_ask_parts(&g, manifest, now_us), "nobody has them any more");
    cr_expect_eq(mesh.blamed[0] + mesh.blamed[1], 0);
    node_givers_again(&g);
    cr_expect_eq(g.parts.n, 0);
    node_givers_ask_offers(&g, 0, now_us);
    cr_expect_eq(waiting(POA_MSG_REQ_SNAPSHOT), 2, "at once");
}

/* One round in which all that are left refuse the first part, or the proof: as a caller goes on,
 * it looks for another snapshot. */
static void a_round(uint32_t n, bool proof, bool parts)
{
    node_givers_ask_offers(&g, 0, now_us);
    for (uint32_t i = 0; i < n; i++)
        if (asked((int)i, POA_MSG_REQ_SNAPSHOT))
            offer((int)i, 0);
    g.chosen = 0;
    while (proof && node_givers_next(&g, now_us)) {
        node_givers_ask_piece(&g, manifest, 0);
        answer(asked((int)g.giver, POA_MSG_REQ_PART), POA_E_NOT_FOUND, 0, poa_slice(NULL, 0));
        node_answer_free(taken());
    }
    if (parts) {
        cr_assert_eq(node_parts_init(&g.parts, PARTS), POA_OK);
        cr_assert(node_givers_ask_parts(&g, manifest, now_us));
        for (uint32_t i = 0; i < n; i++)
            if (asked((int)i, POA_MSG_REQ_PART))
                answer_nobody(asked((int)i, POA_MSG_REQ_PART), POA_E_NOT_FOUND);
    }
    node_givers_again(&g);
}

static void gives_nothing(bool proof, bool parts)
{
    know(2);
    for (uint32_t i = 1; i < NODE_GIVERS_BROKEN_MAX; i++) {
        a_round(2, proof, parts);
        cr_expect_eq(mesh.blamed[0] + mesh.blamed[1], 0, "after %u", i);
        cr_expect_not(node_givers_fresh(&g, -1), "others go first");
    }
    a_round(2, proof, parts);
    cr_expect(g.server[0].out && g.server[1].out);
    cr_expect(mesh.blamed[0] == 1 && mesh.blamed[1] == 1);
    cr_expect_eq(mesh.forged[0] + mesh.forged[1], 0, "it may have had newer ones");
    node_givers_ask_offers(&g, 0, now_us + 100 * S);
    cr_expect_eq(waiting(POA_MSG_REQ_SNAPSHOT), 0);
}

Test(givers, who_offers_and_never_gives_its_proof_is_left)
{
    gives_nothing(true, false);
}

Test(givers, who_offers_and_never_gives_a_part_is_left)
{
    gives_nothing(false, true);
}

Test(givers, who_never_answers_for_its_proof_is_left)
{
    know(1);
    for (uint32_t i = 0; i < NODE_GIVERS_BROKEN_MAX; i++) {
        cr_assert_not(g.server[0].out, "after %u", i);
        node_givers_ask_offers(&g, 0, now_us);
        offer(0, 0);
        g.chosen = 0;
        cr_assert(node_givers_next(&g, now_us));
        node_givers_ask_piece(&g, manifest, 0);
        answer(asked(0, POA_MSG_REQ_PART), POA_E_TIMEOUT, 0, poa_slice(NULL, 0));
        node_answer_free(taken());
        node_givers_again(&g);
    }
    cr_expect(g.server[0].out);
}

Test(givers, whose_proof_never_ends_is_left)
{
    know(1);
    for (uint32_t i = 0; i < NODE_GIVERS_BROKEN_MAX; i++) {
        cr_assert_not(g.server[0].out, "after %u", i);
        node_givers_ask_offers(&g, 0, now_us);
        offer(0, 0);
        g.chosen = 0;
        cr_assert(node_givers_next(&g, now_us));
        while (!node_givers_late(&g, now_us))
            now_us += 10 * S;
        node_waits_round(&g.waits);
        node_givers_again(&g);
    }
    cr_expect(g.server[0].out);
    cr_expect(now_us < UINT64_C(12) * 3600 * S, "%lu s", (unsigned long)(now_us / S));
}

/* Its snapshots are too short-lived for all of their parts, but they do come. */
Test(givers, who_gave_a_part_may_break_as_many_offers_again)
{
    know(1);
    for (uint32_t i = 0; i < 3 * NODE_GIVERS_BROKEN_MAX; i++) {
        if (i % (NODE_GIVERS_BROKEN_MAX - 1)) {
            a_round(1, false, true);
            continue;
        }
        node_givers_ask_offers(&g, 0, now_us);
        offer(0, 0);
        g.chosen = 0;
        cr_assert_eq(node_parts_init(&g.parts, PARTS), POA_OK);
        cr_assert(node_givers_ask_parts(&g, manifest, now_us));
        part(asked(0, POA_MSG_REQ_PART), POA_OK);
        node_givers_again(&g);
    }
    cr_expect_not(g.server[0].out);
    cr_expect_eq(mesh.blamed[0], 0);
}

/* Our own memory is not their fault; what broke is asked of another one. */
Test(givers, our_own_failures_cost_nobody)
{
    chosen(2, true);
    cr_assert(node_givers_ask_parts(&g, manifest, now_us));
    uint32_t number = asked(0, POA_MSG_REQ_PART)->get.part;
    part(asked(0, POA_MSG_REQ_PART), POA_E_NO_MEMORY);
    answer_nobody(asked(1, POA_MSG_REQ_PART), POA_E_CLOSED);
    cr_expect_eq(mesh.blamed[0] + mesh.blamed[1], 0);
    cr_expect_eq(node_givers_members(&g, 0), 2);
    now_us += 10 * S;
    cr_assert(node_givers_ask_parts(&g, manifest, now_us));
    bool again = false;
    for (struct question *q = question; q < question + QUESTIONS; q++)
        again |= q->used && q->type == POA_MSG_REQ_PART && q->get.part == number;
    cr_expect(again);
}

/* Parts of a snapshot that is given up are not those of the next one with the same numbers. */
Test(givers, a_part_of_an_earlier_round_is_nothing)
{
    chosen(1, true);
    cr_assert(node_givers_ask_parts(&g, manifest, now_us));
    struct question *old = asked(0, POA_MSG_REQ_PART);
    node_givers_again(&g);
    node_givers_ask_offers(&g, 0, now_us);
    offer(0, 1);
    g.chosen = 1;
    cr_assert_eq(node_parts_init(&g.parts, PARTS), POA_OK);
    cr_assert(node_givers_ask_parts(&g, manifest, now_us));
    answer(old, POA_OK, POA_MSG_ANS_PART, poa_slice("old", 3));
    cr_expect_null(taken());
    part(asked(0, POA_MSG_REQ_PART), POA_OK);
    cr_expect_eq(g.parts.held, 1);
}

Test(givers, a_slow_group_is_left_for_another)
{
    chosen(2, true);
    cr_expect_not(node_givers_slow(&g, 0, now_us + 100 * S), "nobody has another one");
    g.server[1].group = 1;
    cr_expect_not(node_givers_slow(&g, 0, now_us + NODE_WAITS_SLOW_US - 1));
    cr_expect(node_givers_slow(&g, 0, now_us + NODE_WAITS_SLOW_US));
    cr_expect_eq(node_givers_fresh(&g, 0), 0);
    cr_expect_eq(node_givers_fresh(&g, 1), 1);
    g.chosen = 1;
    cr_expect_not(node_givers_slow(&g, 0, now_us + 100 * S), "the other one was slow, too");
    cr_expect_eq(mesh.blamed[0] + mesh.blamed[1], 0);
}

/* --- the queue ------------------------------------------------------------------------------- */

static void *answer_all(void *arg)
{
    (void)arg;
    for (struct question *q = question; q < question + QUESTIONS; q++)
        if (q->used) {
            q->used = false;
            q->on_answer(q->ctx, POA_E_NOT_FOUND, 0, poa_slice(NULL, 0));
        }
    return NULL;
}

Test(givers, answers_come_from_threads_of_the_mesh)
{
    pthread_t thread;
    uint32_t n = 0;
    know(CAP);
    node_givers_ask_peers(&g);
    node_givers_ask_offers(&g, 0, now_us);
    cr_assert_eq(pthread_create(&thread, NULL, answer_all, NULL), 0);
    while (n < 2 * CAP)
        for (struct node_answer *a = node_givers_wait(&g), *next; a; a = next, n++) {
            next = a->next;
            cr_expect_not(node_givers_take(&g, a, now_us));
            node_answer_free(a);
        }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(n, 2 * CAP);
    cr_expect_not(node_givers_pending(&g));
    cr_expect_null(node_givers_wait(&g), "nothing came");
}
