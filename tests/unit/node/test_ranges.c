/* Which blocks are asked of whom: a chain is fetched from servers that are honest,
 * lie, stall, are slow, short, empty or pruned. Time is a number here. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "poa_error.h"
#include "poa_node_ranges.h"

#define SERVERS     4
#define FLIGHTS_MAX 64
#define BLOCK_BYTES 3000
#define CERTIFIED   3   /* every third block */
#define CLOSING     500 /* an answer ends with an epoch */

enum kind { HONEST, LIAR, STALLER, SLOW, SHORT, EMPTY, PRUNED };

static struct server {
    enum kind kind;
    uint64_t delay_us;
    uint32_t asked, failed, given; /* questions; that failed; blocks that were executed */
    uint64_t fetched;              /* blocks that it sent */
} server[SERVERS];

static struct flight {
    bool used;
    struct node_question q;
    uint64_t due_us;
    int code;
    struct node_bundle *bundle;
} flight[FLIGHTS_MAX];

static struct node_ranges ranges;
static struct node_source source[SERVERS];
static uint64_t now_us, chain, tip, target;
static uint64_t core_due_us;            /* 0: the core is idle */
static uint32_t servers, most, most_of; /* questions at once, and of how many servers */

static void set_up(void)
{
    node_ranges_init(&ranges);
    now_us = 1000000;
    tip = target = 0;
    chain = 5000;
    servers = SERVERS;
    for (int i = 0; i < SERVERS; i++)
        server[i] = (struct server){.delay_us = 20000};
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < ranges.n; i++)
        node_bundle_free(ranges.range[i].bundle);
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        if (flight[i].used)
            node_bundle_free(flight[i].bundle);
}

TestSuite(ranges, .init = set_up, .fini = tear_down);

/* --- the world ------------------------------------------------------------------------ */

static uint64_t end_of(const struct node_question *q)
{
    uint64_t end = q->after;
    do
        end++;
    while (end < chain && end % CLOSING && end - q->after < NODE_BUNDLE_BLOCKS &&
           (end - q->after) * BLOCK_BYTES < NODE_BUNDLE_BYTES &&
           !(q->until && end >= q->until && end % CERTIFIED == 0));
    return end;
}

static void send_question(const struct node_question *q)
{
    struct server *s = &server[q->server];
    struct flight *f = flight;
    while (f->used)
        cr_assert(++f < flight + FLIGHTS_MAX);
    *f = (struct flight){.used = true, .q = *q, .due_us = now_us + s->delay_us};
    s->asked++;
    uint64_t end = s->kind == SHORT ? q->after + 1 : end_of(q);
    if (s->kind == STALLER) {
        f->due_us = now_us + q->timeout_ms * 1000u;
        f->code = POA_E_TIMEOUT;
    } else if (s->kind == PRUNED) {
        f->code = POA_E_NOT_KEPT;
    } else if (q->after >= chain) {
        f->due_us = now_us + NODE_FOLLOW_WAIT_MS * 1000u;
    } else if (s->kind != EMPTY) {
        f->bundle = calloc(1, sizeof *f->bundle);
        f->bundle->first = q->after + 1;
        f->bundle->last = end;
        f->bundle->closing = end % CLOSING == 0;
        f->bundle->bytes_n = (size_t)(end - q->after) * BLOCK_BYTES;
        f->bundle->ctx = s->kind == LIAR ? s : NULL;
        s->fetched += end - q->after;
    }
}

static void ask(void)
{
    for (uint32_t i = 0; i < servers; i++)
        source[i] = (struct node_source){.server = (int)i,
                                         .key = {(uint8_t)(i + 1)},
                                         .member = i == 0,
                                         .height = tip || target ? chain : 0};
    struct node_ranges_now now = {
        .us = now_us, .tip = tip, .target = target, .source = source, .sources = servers};
    struct node_question q;
    while (node_ranges_next(&ranges, &now, &q))
        send_question(&q);
    uint32_t asked = 0, of = 0, held = 0;
    for (int i = 0; i < SERVERS; i++) {
        asked += node_ranges_asked(&ranges, i);
        of += node_ranges_asked(&ranges, i) > 0;
    }
    for (uint32_t i = 0; i < ranges.n; i++) {
        held += ranges.range[i].state == NODE_RANGE_HELD;
        cr_assert(!i || ranges.range[i].after == ranges.range[i - 1].until, "a gap");
    }
    cr_assert(asked + held <= NODE_RANGES + 1, "%u answers", asked + held);
    most = asked > most ? asked : most;
    most_of = of > most_of ? of : most_of;
}

static void execute(void)
{
    struct node_range *g = node_ranges_first(&ranges);
    if (!g || (core_due_us && now_us < core_due_us))
        return;
    if (!core_due_us) {
        core_due_us = now_us + 5000;
        return;
    }
    core_due_us = 0;
    struct node_bundle *b = g->bundle;
    struct server *s = &server[g->server];
    cr_assert(b->first <= tip + 1, "block %lu before %lu", (unsigned long)b->first,
              (unsigned long)tip + 1);
    int code = b->ctx ? POA_E_SIGNATURE : POA_OK;
    s->failed += code != POA_OK;
    if (!code && b->last > tip) {
        s->given += (uint32_t)(b->last - tip);
        tip = b->last;
    }
    node_ranges_applied(&ranges, code, now_us);
    node_bundle_free(b);
}

static void arrive(void)
{
    for (struct flight *f = flight; f < flight + FLIGHTS_MAX; f++) {
        struct node_bundle *dropped;
        if (!f->used || f->due_us > now_us)
            continue;
        f->used = false;
        server[f->q.server].failed +=
            node_ranges_answered(&ranges, f->q.id, f->code, f->bundle, now_us, &dropped) != POA_OK;
        node_bundle_free(dropped);
    }
}

/* Until the whole chain is here; how long it took. */
static uint64_t fetch(void)
{
    uint64_t begun_us = now_us;
    most = most_of = 0;
    while (tip < chain) {
        ask();
        now_us += 1000;
        arrive();
        execute();
        if (tip)
            target = chain; /* heights come a little later */
        cr_assert(now_us - begun_us < UINT64_C(600000000), "stands still at %lu of %lu",
                  (unsigned long)tip, (unsigned long)chain);
    }
    return now_us - begun_us;
}

/* --- tests -------------------------------------------------------------------------------- */

Test(ranges, asks_several_at_once)
{
    uint64_t took_us = fetch(), questions = 0, fetched = 0;
    cr_assert(most_of >= 4, "%u servers at once", most_of);
    for (int i = 0; i < SERVERS; i++) {
        cr_assert(server[i].given * 8 > chain, "server %d gave %u blocks", i, server[i].given);
        cr_assert_eq(server[i].failed, 0);
        questions += server[i].asked;
        fetched += server[i].fetched;
    }
    cr_assert(fetched <= chain + questions * (CERTIFIED - 1), "%lu blocks", (unsigned long)fetched);
    cr_assert(took_us < questions * 20000 * 2 / 3, "one after the other: %lu us for %lu",
              (unsigned long)took_us, (unsigned long)questions);
}

/* One lies and one does not answer: all is there soon, whoever is honest is not
 * suspected, and what the honest ones sent is not fetched again. */
Test(ranges, a_liar_and_a_staller_of_four)
{
    server[1].kind = LIAR;
    server[2].kind = STALLER;
    chain = 20000;
    uint64_t took_us = fetch();
    cr_assert_eq(server[0].failed + server[3].failed, 0);
    cr_assert(server[1].failed >= 1 && server[1].failed <= 4, "the liar: %u", server[1].failed);
    cr_assert(server[2].failed >= 1 && server[2].failed <= 4, "the staller: %u", server[2].failed);
    cr_assert_eq(server[1].given + server[2].given, 0);
    uint64_t questions = server[0].asked + server[3].asked;
    cr_assert(server[0].fetched + server[3].fetched <= chain + questions * CERTIFIED,
              "%lu of %lu blocks", (unsigned long)(server[0].fetched + server[3].fetched),
              (unsigned long)chain);
    /* Two patiences of the staller, and what two servers take. */
    cr_assert(took_us < 2 * NODE_PATIENCE_MS * 1000 + questions * 20000, "%lu us",
              (unsigned long)took_us);
}

Test(ranges, all_but_one_lie_or_stall)
{
    server[0].kind = LIAR;
    server[1].kind = STALLER;
    server[2].kind = EMPTY;
    (void)fetch();
    cr_assert_eq(server[3].given, chain);
    cr_assert_eq(server[3].failed, 0);
}

/* An answer just before it would be late holds up all others once in a while only. */
Test(ranges, a_slow_one_rests)
{
    server[1].kind = SLOW;
    server[1].delay_us = (NODE_PATIENCE_MS - 100) * 1000;
    chain = 40000;
    (void)fetch();
    cr_assert_eq(server[1].failed, 0, "it is not wrong");
    cr_assert(server[1].asked >= 1 && server[1].asked * 8 < server[0].asked, "%u of %u",
              server[1].asked, server[0].asked);
}

/* Rests of short answers are asked of others, and the window stays bounded. */
Test(ranges, short_answers)
{
    server[0].kind = server[1].kind = server[2].kind = SHORT;
    chain = 2000;
    (void)fetch();
    cr_assert_eq(server[0].failed + server[1].failed + server[2].failed, 0);
    cr_assert(server[3].given * 2 > chain, "%u", server[3].given);
}

/* A link that needs longer than our patience is not broken. */
Test(ranges, patience_grows)
{
    servers = 1;
    server[0].kind = SLOW;
    server[0].delay_us = UINT64_C(4000000);
    chain = 300;
    struct node_question q;
    struct node_bundle *dropped;
    source[0] = (struct node_source){.server = 0, .member = true, .height = chain};
    struct node_ranges_now now = {.us = now_us, .target = chain, .source = source, .sources = 1};
    cr_assert(node_ranges_next(&ranges, &now, &q));
    cr_assert_eq(q.timeout_ms, NODE_PATIENCE_MS);
    now.us += NODE_PATIENCE_MS * 1000;
    cr_assert_eq(node_ranges_answered(&ranges, q.id, POA_E_TIMEOUT, NULL, now.us, &dropped),
                 POA_E_TIMEOUT);
    cr_assert_not(node_ranges_next(&ranges, &now, &q) && q.after == 0, "at once");
    now.us += NODE_RETRY_US;
    do
        cr_assert(node_ranges_next(&ranges, &now, &q));
    while (q.after);
    cr_assert(q.timeout_ms >= 2 * NODE_PATIENCE_MS, "%u ms", q.timeout_ms);
}

/* The first question, when no heights are known yet, goes to one who does not answer;
 * then it turns out that there is something. */
Test(ranges, a_staller_is_asked_first)
{
    struct node_question q;
    struct node_bundle *dropped;
    for (int i = 0; i < 2; i++)
        source[i] = (struct node_source){.server = i, .key = {(uint8_t)(i + 1)}, .member = i == 0};
    struct node_ranges_now now = {.us = now_us, .source = source, .sources = 2};
    cr_assert(node_ranges_next(&ranges, &now, &q));
    cr_assert_eq(q.server, 0);
    cr_assert_eq(q.timeout_ms, NODE_PATIENCE_MAX_MS, "it may wait for news");
    uint32_t first = q.id;
    cr_assert_not(node_ranges_next(&ranges, &now, &q), "one at a time");
    now.target = source[1].height = chain;
    cr_assert_not(node_ranges_next(&ranges, &now, &q));
    now.us += NODE_PATIENCE_MS * 1000;
    cr_assert(node_ranges_next(&ranges, &now, &q));
    cr_assert_eq(q.server, 1);
    cr_assert_eq(q.after, 0);
    cr_assert_eq(node_ranges_answered(&ranges, first, POA_E_TIMEOUT, NULL, now.us, &dropped),
                 POA_E_TIMEOUT, "to be blamed");
}

/* Nobody has the first blocks: known when all have said so, and as long as nobody else comes. */
Test(ranges, nobody_keeps_the_next_block)
{
    uint64_t until_us = now_us + UINT64_C(60000000);
    struct node_ranges_now now = {.target = chain, .source = source, .sources = SERVERS};
    target = chain;
    for (int i = 0; i < SERVERS; i++)
        server[i].kind = PRUNED;
    server[2].kind = EMPTY; /* it may have them yet */
    for (; now_us < until_us; now_us += 10000) {
        ask();
        arrive();
        cr_assert_eq(node_ranges_nobody(&ranges, &now), 0);
    }
    for (int i = 0; i < SERVERS; i++)
        cr_assert(server[i].asked, "server %d is not asked", i);
    server[2].kind = PRUNED;
    until_us += UINT64_C(600000000);
    for (; !node_ranges_nobody(&ranges, &now); now_us += 10000) {
        cr_assert(now_us < until_us);
        ask();
        arrive();
    }
    cr_expect_eq(node_ranges_nobody(&ranges, &now), SERVERS);
    source[1].height = 0; /* one that has nothing itself, or did not say */
    cr_expect_eq(node_ranges_nobody(&ranges, &now), SERVERS - 1);
    source[0].key[0] = 77;
    cr_expect_eq(node_ranges_nobody(&ranges, &now), 0, "that is another one");
    now.sources = 0;
    cr_expect_eq(node_ranges_nobody(&ranges, &now), 0, "nobody is there");
    now.sources = SERVERS;
    source[0].key[0] = 1;
    cr_expect(node_ranges_nobody(&ranges, &now));
    now.target = 0;
    cr_expect_eq(node_ranges_nobody(&ranges, &now), 0, "most are no further: these boast");
    now.target = chain;
    now.tip = chain - 1;
    cr_expect_eq(node_ranges_nobody(&ranges, &now), 0, "there is another next one");
}

/* One of four keeps all. */
Test(ranges, pruned_servers_hold_nobody_up)
{
    server[0].kind = server[1].kind = server[2].kind = PRUNED;
    (void)fetch();
    cr_assert_eq(server[3].given, chain);
}

/* What is held against one who left does not fall to the one who has its place now. */
Test(ranges, a_place_is_given_again)
{
    struct node_question q, next;
    struct node_bundle *dropped;
    source[0] = (struct node_source){.key = {1}, .height = chain};
    struct node_ranges_now now = {.us = now_us, .target = 1, .source = source, .sources = 1};
    cr_assert(node_ranges_next(&ranges, &now, &q));
    cr_assert_eq(q.key[0], 1);
    cr_assert_eq(node_ranges_answered(&ranges, q.id, POA_E_CLOSED, NULL, now.us, &dropped),
                 POA_E_CLOSED);
    cr_assert_not(node_ranges_next(&ranges, &now, &next), "it failed a moment ago");
    source[0].key[0] = 2;
    cr_assert(node_ranges_next(&ranges, &now, &q), "that was another one");
    cr_assert_eq(q.key[0], 2);
    source[0].key[0] = 3;
    cr_assert_not(node_ranges_next(&ranges, &now, &next), "asked already");
    cr_assert_eq(node_ranges_answered(&ranges, q.id, POA_E_TIMEOUT, NULL, now.us, &dropped),
                 POA_E_TIMEOUT);
    cr_assert(node_ranges_next(&ranges, &now, &q), "the one before left it waiting");
    cr_assert_eq(q.key[0], 3);
}

/* Near the tip everybody's height is a little old, but for the one who says he has
 * everything and does not answer. */
Test(ranges, who_boasts_is_not_asked_again_and_again)
{
    (void)fetch();
    source[1].height = UINT64_MAX;
    server[1].kind = STALLER;
    uint32_t before = server[1].asked;
    for (uint64_t begun_us = now_us; now_us < begun_us + 60000000;) {
        struct node_ranges_now now = {
            .us = now_us, .tip = tip, .target = chain, .source = source, .sources = SERVERS};
        struct node_question q;
        while (node_ranges_next(&ranges, &now, &q))
            send_question(&q);
        now_us += 1000;
        chain += now_us % 100000 == 0;
        arrive();
        execute();
    }
    cr_assert(server[1].asked - before <= 8, "%u questions", server[1].asked - before);
    cr_assert(tip + 100 > chain, "%lu of %lu", (unsigned long)tip, (unsigned long)chain);
}

/* At the tip one question waits for news, however many servers there are. */
Test(ranges, one_question_waits_for_news)
{
    (void)fetch();
    for (uint64_t until_us = now_us + 3 * NODE_FOLLOW_WAIT_MS * 1000; now_us < until_us;) {
        ask();
        uint32_t asked = 0;
        for (int i = 0; i < SERVERS; i++)
            asked += node_ranges_asked(&ranges, i);
        cr_assert(asked <= 1, "%u questions", asked);
        now_us += 10000;
        arrive();
    }
    uint64_t failed = 0;
    for (int i = 0; i < SERVERS; i++)
        failed += server[i].failed;
    cr_assert_eq(failed, 0, "nothing new is no fault");
}

/* The core got there by itself: answers to old questions are not needed. */
Test(ranges, what_is_known_is_given_up)
{
    tip = 10;
    target = chain;
    ask();
    cr_assert(ranges.n >= 2);
    struct node_question old = flight[0].q;
    tip = chain;
    ask();
    for (uint32_t i = 0; i < ranges.n; i++)
        cr_assert(ranges.range[i].after >= chain || !ranges.range[i].until, "range %u", i);
    struct node_bundle *b = flight[0].bundle, *dropped = NULL;
    flight[0].used = false;
    cr_assert_eq(node_ranges_answered(&ranges, old.id, POA_OK, b, now_us, &dropped), POA_OK);
    cr_assert_eq(dropped, b);
    node_bundle_free(b);
    node_ranges_rest(&ranges);
}

Test(ranges, refuses_what_was_not_asked_for)
{
    tip = 10;
    target = chain;
    ask();
    struct flight *f = &flight[0];
    struct node_bundle *dropped = NULL;
    f->used = false;
    f->bundle->first++;
    cr_assert_eq(node_ranges_answered(&ranges, f->q.id, POA_OK, f->bundle, now_us, &dropped),
                 POA_E_BLOCK_INVALID);
    cr_assert_eq(dropped, f->bundle);
    node_bundle_free(dropped);
    cr_assert(node_ranges_wanted(&ranges));
    int liar = f->q.server;
    now_us += 1000;
    ask();
    for (uint32_t i = 0; i < ranges.n; i++)
        cr_assert(ranges.range[i].after != 10 || ranges.range[i].server != liar,
                  "the same one again");
}
