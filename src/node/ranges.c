#include "poa_node_ranges.h"

#include <string.h>

#include "poa_error.h"

/* One server may have so many questions when there is nobody else. */
#define EACH 2u

void node_ranges_init(struct node_ranges *r)
{
    memset(r, 0, sizeof *r);
    r->span = 16;
    node_turns_init(&r->turns);
}

/* --- servers ------------------------------------------------------------------------- */

uint32_t node_ranges_asked(const struct node_ranges *r, int server)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n; i++)
        n += r->range[i].state == NODE_RANGE_ASKED && r->range[i].server == server;
    return n;
}

static const struct node_source *
choose(const struct node_ranges *r, const struct node_ranges_now *now, uint64_t after, bool first)
{
    struct node_turn of[POA_P2P_PEERS_MAX];
    for (uint32_t i = 0; i < now->sources; i++) {
        const struct node_source *s = &now->source[i];
        bool has = s->height > after;
        of[i] = (struct node_turn){.server = s->server,
                                   .has = has,
                                   .before = has && after < now->target,
                                   .member = s->member,
                                   .asked = node_ranges_asked(r, s->server),
                                   .most = EACH};
    }
    int best = node_turns_choose(&r->turns, now->us, of, now->sources, first);
    return best < 0 ? NULL : &now->source[best];
}

static void fail(struct node_ranges *r, struct node_range *g, int code, uint64_t now_us)
{
    g->state = NODE_RANGE_WANTED;
    node_turns_failed(&r->turns, g->server, g->key, code, now_us);
}

/* --- the plan ---------------------------------------------------------------------------- */

static void drop_first(struct node_ranges *r)
{
    r->n--;
    memmove(r->range, r->range + 1, r->n * sizeof r->range[0]);
}

/* A place for what is missing most: *AT and its UNTIL. False: nothing is. */
static bool plan(struct node_ranges *r, const struct node_ranges_now *now, uint32_t *at)
{
    uint32_t busy = 0, asked = 0, wanted = r->n;
    for (uint32_t i = r->n; i-- > 0;) {
        busy += r->range[i].state != NODE_RANGE_WANTED;
        asked += r->range[i].state == NODE_RANGE_ASKED;
        if (r->range[i].state == NODE_RANGE_WANTED)
            wanted = i;
    }
    *at = wanted;
    if (wanted < r->n)
        return !wanted || busy < NODE_RANGES;
    if (busy >= NODE_RANGES || r->n == NODE_RANGES_MAX)
        return false;
    uint64_t end = r->n ? r->range[r->n - 1].until : now->tip;
    if (r->n && !end)
        return false;
    bool known = end < now->target;
    if (!known && asked)
        return false;
    bool open = !known || now->target - end <= r->span;
    r->range[r->n] = (struct node_range){
        .after = end, .until = open ? 0 : end + r->span, .open = open, .server = -1};
    return true;
}

bool node_ranges_next(struct node_ranges *r, const struct node_ranges_now *now,
                      struct node_question *out)
{
    uint32_t at;
    for (uint32_t i = 0; i < now->sources; i++)
        node_turns_meet(&r->turns, now->source[i].server, now->source[i].key);
    /* The core may have got there by itself. */
    while (r->n && r->range[0].state != NODE_RANGE_HELD && r->range[0].until &&
           r->range[0].until <= now->tip)
        drop_first(r);
    /* Nobody knew that it would be news to somebody. */
    if (r->n && r->range[0].state == NODE_RANGE_ASKED && r->range[0].after < now->target &&
        now->us - r->range[0].asked_us >= r->turns.patience_ms * UINT64_C(1000))
        fail(r, &r->range[0], POA_E_TIMEOUT, now->us);
    if (!plan(r, now, &at))
        return false;
    struct node_range *g = &r->range[at];
    uint64_t after = g->after > now->tip ? g->after : now->tip;
    const struct node_source *s = choose(r, now, after, !at);
    if (!s)
        return false;
    r->n += at == r->n;
    g->state = NODE_RANGE_ASKED;
    g->after = after;
    g->server = s->server;
    memcpy(g->key, s->key, 32);
    g->known = s->height > after;
    g->id = node_turns_asked(&r->turns, s->server);
    g->asked_us = now->us;
    *out = (struct node_question){.id = g->id,
                                  .server = g->server,
                                  .after = after,
                                  .until = g->until,
                                  .timeout_ms =
                                      g->known ? r->turns.patience_ms : NODE_PATIENCE_MAX_MS};
    memcpy(out->key, g->key, 32);
    return true;
}

void node_ranges_rest(struct node_ranges *r)
{
    while (r->n && r->range[r->n - 1].state == NODE_RANGE_WANTED)
        r->n--;
}

/* --- answers -------------------------------------------------------------------------------- */

/* It ends before it should: what is missing before the next one becomes a range of
 * its own. */
static void split(struct node_ranges *r, uint32_t at, uint64_t last, struct node_bundle **dropped)
{
    if (at + 1 == r->n) {
        r->range[at].until = last;
        return;
    }
    if (r->n == NODE_RANGES_MAX)
        *dropped = r->range[--r->n].bundle;
    memmove(r->range + at + 2, r->range + at + 1, (r->n - at - 1) * sizeof r->range[0]);
    r->n++;
    r->range[at + 1] =
        (struct node_range){.after = last, .until = r->range[at].until, .server = -1};
    r->range[at].until = last;
}

/* All others wait for the first one. */
static bool is_late(const struct node_ranges *r, uint64_t now_us)
{
    uint32_t held = 0;
    for (uint32_t i = 1; i < r->n; i++)
        held += r->range[i].state == NODE_RANGE_HELD;
    return held + 1 >= NODE_RANGES && now_us - r->range[0].asked_us >= NODE_LATE_US;
}

/* It kept back what it has: each such answer costs a question. */
static bool is_stingy(const struct node_range *g, const struct node_bundle *b)
{
    return g->known && !g->open && !b->closing && b->bytes_n < NODE_BUNDLE_BYTES / 2 &&
           (b->last - g->after) * 2 < g->until - g->after;
}

int node_ranges_answered(struct node_ranges *r, uint32_t id, int code, struct node_bundle *bundle,
                         uint64_t now_us, struct node_bundle **dropped)
{
    uint32_t at = 0;
    while (at < r->n && !(r->range[at].state == NODE_RANGE_ASKED && r->range[at].id == id))
        at++;
    *dropped = bundle;
    if (at == r->n) /* given up meanwhile */
        return code;
    struct node_range *g = &r->range[at];
    if (!code && bundle && (bundle->first != g->after + 1 || bundle->last < bundle->first))
        code = POA_E_BLOCK_INVALID;
    if (code == POA_E_NOT_KEPT) {
        memcpy(r->kept[g->server].key, g->key, 32);
        r->kept[g->server].gone = g->after + 1;
    }
    if (code) {
        fail(r, g, code, now_us);
        return code;
    }
    if (!bundle) {
        g->state = NODE_RANGE_WANTED;
        /* It has less than it said, or did not wait for news. */
        if (g->known || now_us - g->asked_us < NODE_LATE_US)
            node_turns_rest(&r->turns, g->server, g->key, now_us);
        return POA_OK;
    }
    node_turns_answered(&r->turns, (now_us - g->asked_us) / 1000);
    g->late = !at && is_late(r, now_us);
    g->late |= is_stingy(g, bundle);
    if (g->late)
        node_turns_rest(&r->turns, g->server, g->key, now_us);
    g->state = NODE_RANGE_HELD;
    g->bundle = bundle;
    *dropped = NULL;
    if (g->open)
        g->until = bundle->last;
    else if (bundle->last < g->until)
        split(r, at, bundle->last, dropped);
    return POA_OK;
}

uint32_t node_ranges_nobody(const struct node_ranges *r, const struct node_ranges_now *now)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < now->sources; i++) {
        const struct node_source *s = &now->source[i];
        if (s->height <= now->tip || now->target <= now->tip)
            continue;
        if (memcmp(r->kept[s->server].key, s->key, 32) != 0 || r->kept[s->server].gone <= now->tip)
            return 0;
        n++;
    }
    return n;
}

bool node_ranges_wanted(const struct node_ranges *r)
{
    bool wanted = !r->n;
    for (uint32_t i = 0; i < r->n; i++)
        wanted |= r->range[i].state == NODE_RANGE_WANTED;
    return wanted;
}

struct node_range *node_ranges_first(struct node_ranges *r)
{
    return r->n && r->range[0].state == NODE_RANGE_HELD ? &r->range[0] : NULL;
}

void node_ranges_applied(struct node_ranges *r, int code, uint64_t now_us)
{
    struct node_range *g = &r->range[0];
    const struct node_bundle *b = g->bundle;
    uint64_t blocks = b->last - b->first + 1;
    g->bundle = NULL;
    if (code) {
        fail(r, g, code, now_us);
        if (g->open && r->n == 1)
            g->until = 0;
        return;
    }
    if (!g->late)
        node_turns_good(&r->turns, g->server, g->key);
    uint64_t fit = NODE_RANGE_BYTES * blocks / (b->bytes_n ? b->bytes_n : 1);
    fit = fit < 1 ? 1 : fit > NODE_RANGE_BLOCKS ? NODE_RANGE_BLOCKS : fit;
    r->span = fit < 2 * r->span ? fit : 2 * r->span;
    drop_first(r);
}
