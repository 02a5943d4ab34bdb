/* What this node accepted and a server took over is asked for again while it is not
 * final: the server may have died with it, or may have let it go. A refusal that is
 * repeated is what became of it. A node that is a member itself learns that from its
 * own core (EFFECT_GONE), and asks nobody. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

#define EVERY_US  3000000u
#define TXS_MAX   256u
#define BYTES_MAX ((size_t)8 << 20) /* kept; beyond it the oldest is not asked for again */
/* A refusal may come because a block had it that is not here yet. */
#define REFUSED_MAX 2
/* Taken so often as if it were new, and never in a block. */
#define TAKEN_MAX 8

struct kept {
    struct kept *next;
    uint64_t due_us;
    uint32_t refused, taken;
    uint8_t id[32];
    size_t n;
    uint8_t raw[];
};

struct node_again {
    struct poa_node *node;
    pthread_mutex_t mutex;
    struct kept *first, **last; /* by DUE_US */
    size_t bytes;
};

int node_again_new(struct poa_node *n)
{
    struct node_again *a = calloc(1, sizeof *a);
    if (!a)
        return POA_E_NO_MEMORY;
    a->node = n;
    a->last = &a->first;
    pthread_mutex_init(&a->mutex, NULL);
    n->again = a;
    return POA_OK;
}

static struct kept *take_first(struct node_again *a)
{
    struct kept *k = a->first;
    a->first = k->next;
    if (!a->first)
        a->last = &a->first;
    a->bytes -= sizeof *k + k->n;
    return k;
}

void node_again_free(struct node_again *a)
{
    if (!a)
        return;
    while (a->first)
        free(take_first(a));
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

static void keep(struct node_again *a, struct kept *k)
{
    k->next = NULL;
    k->due_us = poa_clock_monotonic_us(a->node->clock) + EVERY_US;
    pthread_mutex_lock(&a->mutex);
    *a->last = k;
    a->last = &k->next;
    a->bytes += sizeof *k + k->n;
    while (a->bytes > BYTES_MAX)
        free(take_first(a));
    pthread_mutex_unlock(&a->mutex);
}

void node_again_keep(struct node_again *a, const struct poa_tx_view *tx)
{
    struct kept *k = calloc(1, sizeof *k + tx->raw.n);
    if (!k)
        return;
    memcpy(k->id, tx->id, 32);
    k->n = tx->raw.n;
    memcpy(k->raw, tx->raw.p, tx->raw.n);
    keep(a, k);
}

/* POA_OK: nobody knows yet. */
static int verdict(struct kept *k, int code)
{
    if (code == POA_OK)
        return ++k->taken < TAKEN_MAX ? POA_OK : POA_E_TX_LOST;
    if (code == POA_E_TX_DUPLICATE) {
        k->refused = 0;
        return POA_OK;
    }
    if (poa_error_class(code) == POA_CLASS_RESOURCE || code == POA_E_CLOSED ||
        code == POA_E_TIMEOUT)
        return POA_OK; /* about the way there */
    return ++k->refused < REFUSED_MAX ? POA_OK : code;
}

static void answered(struct node_submission *s)
{
    struct poa_node *n = s->node;
    struct kept *k = s->ctx;
    for (uint32_t i = 0; i < s->check->n; i++) {
        struct kept *next = k->next;
        struct poa_tx_gone gone = {.code = verdict(k, s->check->code[i])};
        memcpy(gone.id, k->id, 32);
        if (gone.code) {
            node_tracker_gone(n->tracker, &gone, 1);
            free(k);
        } else {
            keep(n->again, k);
        }
        k = next;
    }
}

static void ask(struct poa_node *n, struct kept *list, uint32_t count, size_t total)
{
    uint8_t *p = NULL;
    struct node_submission *s = node_submission_new(n, count, total, &p);
    if (!s) {
        while (list) {
            struct kept *next = list->next;
            keep(n->again, list);
            list = next;
        }
        return;
    }
    struct kept *k = list;
    for (uint32_t i = 0; i < count; i++, k = k->next) {
        memcpy(p, k->raw, k->n);
        s->check->raw[i] = poa_slice(p, k->n);
        p += k->n;
    }
    s->check->submitter = node_submitter(NODE_HERE, NULL);
    s->ctx = list;
    s->done = answered;
    node_submit(s);
}

void node_again_tick(struct node_again *a, uint64_t now_us)
{
    struct kept *list = NULL, **last = &list;
    uint32_t count = 0;
    size_t total = 0;
    pthread_mutex_lock(&a->mutex);
    while (a->first && a->first->due_us <= now_us && count < TXS_MAX) {
        struct kept *k = take_first(a);
        if (node_tracker_get(a->node->tracker, k->id)) { /* final, or gone */
            free(k);
            continue;
        }
        k->next = NULL;
        *last = k;
        last = &k->next;
        total += k->n;
        count++;
    }
    pthread_mutex_unlock(&a->mutex);
    if (count)
        ask(a->node, list, count, total);
}
