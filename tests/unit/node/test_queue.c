/* What waits for the core: urgency, limits, deadlines, the end. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "poa_clock.h"
#include "poa_node_queue.h"

static const struct node_queue_limit limits[NODE_CLASSES] = {
    [NODE_CLASS_VOTE] = {2, 1000},
    [NODE_CLASS_BLOCK] = {10, 100},
    [NODE_CLASS_BULK] = {10, 100},
    [NODE_CLASS_LOCAL] = {10, 100},
};

struct numbered {
    struct node_event event;
    int number;
};
static int dropped;

static void run(struct node_event *e, void *ctx)
{
    *(int *)ctx = ((struct numbered *)e)->number;
    free(e);
}

static void drop(struct node_event *e)
{
    dropped++;
    free(e);
}

static int post(struct node_queue *q, enum node_class class, int number, size_t bytes)
{
    struct numbered *n = calloc(1, sizeof *n);
    n->event = (struct node_event){.run = run, .drop = drop, .bytes = bytes};
    n->number = number;
    int rc = node_queue_post(q, class, &n->event);
    if (rc)
        free(n);
    return rc;
}

/* The next number, 0 when there is none. */
static int next(struct node_queue *q)
{
    struct node_wakeup w;
    int number = 0;
    node_queue_wait(q, 0, &w);
    if (w.event)
        w.event->run(w.event, &number);
    return number;
}

Test(queue, urgent_first_then_order)
{
    struct node_queue q;
    node_queue_init(&q, limits);
    cr_assert_eq(post(&q, NODE_CLASS_LOCAL, 6, 1), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_BULK, 5, 1), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_BLOCK, 4, 1), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_VOTE, 2, 1), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_VOTE, 3, 1), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_OWN, 1, 1), POA_OK);
    for (int i = 1; i <= 6; i++)
        cr_assert_eq(next(&q), i);
    cr_assert_eq(next(&q), 0);
    node_queue_destroy(&q);
}

Test(queue, each_class_has_its_limits)
{
    struct node_queue q;
    node_queue_init(&q, limits);
    cr_assert_eq(post(&q, NODE_CLASS_VOTE, 1, 1), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_VOTE, 2, 1), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_VOTE, 3, 1), POA_E_FULL);
    cr_assert_eq(post(&q, NODE_CLASS_BLOCK, 4, 60), POA_OK);
    cr_assert_eq(post(&q, NODE_CLASS_BLOCK, 5, 60), POA_E_FULL);
    cr_assert_eq(post(&q, NODE_CLASS_BLOCK, 6, 40), POA_OK);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(post(&q, NODE_CLASS_OWN, 9, 1000), POA_OK, "our own results always fit");
    cr_assert_eq(node_queue_refused(&q, NODE_CLASS_VOTE), 1);
    cr_assert_eq(node_queue_refused(&q, NODE_CLASS_BLOCK), 1);
    cr_assert_eq(node_queue_depth(&q, NODE_CLASS_OWN), 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(next(&q), 9);
    cr_assert_eq(next(&q), 1);
    cr_assert_eq(post(&q, NODE_CLASS_VOTE, 7, 1), POA_OK, "room again");
    dropped = 0;
    node_queue_destroy(&q);
    cr_assert_eq(dropped, 4);
}

Test(queue, durable_records_come_first_and_only_the_last_counts)
{
    struct node_queue q;
    struct node_wakeup w;
    node_queue_init(&q, limits);
    cr_assert_eq(post(&q, NODE_CLASS_OWN, 1, 1), POA_OK);
    node_queue_persisted(&q, 7);
    node_queue_persisted(&q, 9);
    node_queue_persisted(&q, 8);
    node_queue_wait(&q, UINT64_MAX, &w);
    cr_assert(w.has_persisted && w.persisted == 9 && !w.event);
    cr_assert_eq(next(&q), 1);
    node_queue_destroy(&q);
}

Test(queue, waits_until_the_deadline)
{
    struct node_queue q;
    struct node_wakeup w;
    node_queue_init(&q, limits);
    uint64_t until = poa_clock_monotonic_us(poa_clock_system()) + 20000;
    node_queue_wait(&q, until, &w);
    cr_assert(!w.event && !w.stop && !w.has_persisted);
    cr_assert_geq(poa_clock_monotonic_us(poa_clock_system()), until);
    node_queue_destroy(&q);
}

static void *post_later(void *arg)
{
    for (int i = 1; i <= 1000; i++)
        while (post(arg, NODE_CLASS_VOTE, i, 1))
            ;
    node_queue_stop(arg);
    return NULL;
}

Test(queue, one_thread_posts_another_takes)
{
    struct node_queue q;
    struct node_wakeup w;
    pthread_t t;
    int expect = 1;
    node_queue_init(&q, limits);
    cr_assert_eq(pthread_create(&t, NULL, post_later, &q), 0);
    for (;;) {
        node_queue_wait(&q, UINT64_MAX, &w);
        if (w.stop)
            break;
        int number = 0;
        w.event->run(w.event, &number);
        cr_assert_eq(number, expect++);
    }
    pthread_join(t, NULL);
    node_queue_destroy(&q);
}

Test(queue, after_the_stop_only_our_own_is_taken)
{
    struct node_queue q;
    node_queue_init(&q, limits);
    node_queue_stop(&q);
    cr_assert_eq(post(&q, NODE_CLASS_LOCAL, 1, 1), POA_E_CLOSED);
    cr_assert_eq(post(&q, NODE_CLASS_OWN, 2, 1), POA_OK);
    struct node_wakeup w;
    node_queue_wait(&q, UINT64_MAX, &w);
    cr_assert(w.stop && !w.event);
    dropped = 0;
    node_queue_destroy(&q);
    cr_assert_eq(dropped, 1, "and dropped");
}
