/* Which parts are asked of whom: a snapshot is fetched from servers that are honest,
 * lie, stall or are slow. Time is a number here. */
#include <criterion/criterion.h>

#include "poa_node_parts.h"

#define SERVERS 4
#define PARTS   400u

enum kind { HONEST, LIAR, STALLER, SLOW };

static struct server {
    enum kind kind;
    uint64_t delay_us;
    uint32_t asked, gave, blamed;
    bool out;
} server[SERVERS];

static struct flight {
    bool used;
    struct node_parts_question q;
    uint64_t due_us;
    int code;
} flight[NODE_PARTS_ASKED * 2];

static struct node_parts parts;
static uint64_t now_us;
static uint32_t times[PARTS]; /* that it was given */

static void set_up(void)
{
    cr_assert_eq(node_parts_init(&parts, PARTS), POA_OK);
    now_us = 1000000;
    for (int i = 0; i < SERVERS; i++)
        server[i] = (struct server){.delay_us = 20000};
}

static void tear_down(void)
{
    node_parts_free(&parts);
}

TestSuite(parts, .init = set_up, .fini = tear_down);

static void ask(void)
{
    int of[SERVERS];
    uint32_t n = 0;
    struct node_parts_question q;
    for (int i = 0; i < SERVERS; i++)
        if (!server[i].out)
            of[n++] = i;
    while (node_parts_next(&parts, now_us, of, n, &q)) {
        struct server *s = &server[q.server];
        struct flight *f = flight;
        while (f->used)
            cr_assert(++f < flight + NODE_PARTS_ASKED * 2);
        *f = (struct flight){.used = true, .q = q, .due_us = now_us + s->delay_us};
        s->asked++;
        cr_assert(node_parts_asked(&parts, q.server) <= NODE_PARTS_EACH);
        if (s->kind == STALLER) {
            f->due_us = now_us + q.timeout_ms * 1000u;
            f->code = POA_E_TIMEOUT;
        } else if (s->delay_us > q.timeout_ms * 1000u) {
            f->due_us = now_us + q.timeout_ms * 1000u;
            f->code = POA_E_TIMEOUT;
        } else if (s->kind == LIAR) {
            f->code = POA_E_PROOF;
        }
    }
}

static void arrive(void)
{
    for (struct flight *f = flight; f < flight + NODE_PARTS_ASKED * 2; f++) {
        if (!f->used || f->due_us > now_us)
            continue;
        struct server *s = &server[f->q.server];
        f->used = false;
        if (s->out)
            continue;
        s->blamed += node_parts_answered(&parts, f->q.id, f->code, now_us);
        if (f->code == POA_E_PROOF) {
            node_parts_leave(&parts, f->q.server);
            s->out = true;
        } else if (!f->code) {
            s->gave++;
            times[f->q.part]++;
        }
    }
}

static uint64_t fetch(uint64_t limit_us)
{
    uint64_t begun_us = now_us;
    while (parts.held < PARTS && now_us - begun_us < limit_us) {
        ask();
        now_us += 1000;
        arrive();
    }
    cr_assert_eq(parts.held, PARTS, "%u of %u after %lu us", parts.held, PARTS,
                 (unsigned long)limit_us);
    for (uint32_t i = 0; i < PARTS; i++)
        cr_assert_eq(times[i], 1, "part %u came %u times", i, times[i]);
    return now_us - begun_us;
}

Test(parts, come_from_all_servers)
{
    uint64_t took_us = fetch(60000000);
    for (int i = 0; i < SERVERS; i++) {
        cr_assert(server[i].gave * 8 > PARTS, "server %d gave %u", i, server[i].gave);
        cr_assert_eq(server[i].blamed, 0);
    }
    /* 4 servers with 4 questions each. */
    cr_assert(took_us < PARTS / (SERVERS * NODE_PARTS_EACH) * 21000 + 500000, "%lu us",
              (unsigned long)took_us);
}

Test(parts, a_liar_and_a_staller_cost_their_own)
{
    server[1].kind = LIAR;
    server[2].kind = STALLER;
    uint64_t took_us = fetch(60000000);
    cr_assert_eq(server[0].blamed + server[3].blamed, 0);
    cr_assert_eq(server[1].blamed, 1);
    cr_assert(server[1].asked <= 1, "the liar was asked %u times", server[1].asked);
    cr_assert(server[2].asked <= 2, "the staller was asked %u times", server[2].asked);
    cr_assert(took_us < NODE_PATIENCE_MS * 1000 + 5000000, "%lu us", (unsigned long)took_us);
}

Test(parts, only_liars_end_it)
{
    for (int i = 0; i < SERVERS; i++)
        server[i].kind = LIAR;
    for (int i = 0; i < 1000; i++) {
        ask();
        now_us += 1000;
        arrive();
    }
    for (int i = 0; i < SERVERS; i++)
        cr_assert(server[i].out && server[i].asked == 1);
    cr_assert_eq(parts.held, 0);
}

/* One that answers slowly, but in time, gives what it can, and nobody blames it. */
Test(parts, a_slow_server_is_not_blamed)
{
    server[1].kind = SLOW;
    server[1].delay_us = (NODE_PATIENCE_MS - 100) * 1000;
    fetch(60000000);
    cr_assert_eq(server[1].blamed, 0);
    cr_assert(server[1].asked >= 1 && server[1].asked * 8 < server[0].asked, "%u of %u",
              server[1].asked, server[0].asked);
}

/* The only one, slower than patience: it gets longer until it is enough. */
Test(parts, patience_grows)
{
    for (int i = 1; i < SERVERS; i++)
        server[i].out = true;
    server[0].delay_us = 4000000;
    fetch(UINT64_C(3000000000));
    cr_assert(server[0].blamed <= 2, "blamed %u times", server[0].blamed);
}

/* What was under way to one that fails counts once. */
Test(parts, one_stall_is_one_fault)
{
    for (int i = 0; i < 100; i++) {
        ask();
        now_us += 5000;
        arrive();
    }
    server[0].kind = STALLER;
    ask();
    uint32_t asked = 0;
    for (uint64_t until = now_us + NODE_PATIENCE_MS * 1000 + 100000; now_us < until;) {
        ask();
        asked = node_parts_asked(&parts, 0) > asked ? node_parts_asked(&parts, 0) : asked;
        now_us += 5000;
        arrive();
        if (parts.held == PARTS)
            break;
    }
    cr_assert(server[0].blamed <= 1, "blamed %u times for %u", server[0].blamed, asked);
}

Test(parts, what_is_there_is_not_asked)
{
    for (uint32_t i = 0; i < PARTS; i += 2) {
        node_parts_have(&parts, i);
        node_parts_have(&parts, i);
        times[i] = 1;
    }
    cr_assert_eq(parts.held, PARTS / 2);
    fetch(60000000);
    uint32_t asked = 0;
    for (int i = 0; i < SERVERS; i++)
        asked += server[i].asked;
    cr_assert_eq(asked, PARTS / 2);
}
