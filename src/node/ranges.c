#include "poa_node_ranges.h"

#include <string.h>

/* One server may have so many questions when there is nobody else. */
#define EACH 2u

void node_ranges_init(struct node_ranges *r)
{
    memset(r, 0, sizeof *r);
    r->span = 16;
    r->patience_ms = NODE_PATIENCE_MS;
}

/* --- servers ------------------------------------------------------------------------- */

/* Who was asked for G, while it has its place still. */
static struct node_server *server_of(struct node_ranges *r, const struct node_range *g)
{
    struct node_server *s = &r->server[g->server];
    return memcmp(s->key, g->key, 32) ? NULL : s;
}

static void rest(struct node_ranges *r, const struct node_range *g, uint64_t now_us, uint64_t us)
{
    struct node_server *s = server_of(r, g);
    if (!s)
        return;
    s->failed_us = now_us;
    s->rest_us = now_us + (us << s->fails);
    s->fails += s->fails < 6;
}

/* Somebody else came into a place: nothing is known of him. */
static void meet(struct node_ranges *r, const struct node_ranges_now *now)
{
    for (uint32_t i = 0; i < now->sources; i++) {
        struct node_server *s = &r->server[now->source[i].server];
        if (memcmp(s->key, now->source[i].key, 32) == 0)
            continue;
        memset(s, 0, sizeof *s);
        memcpy(s->key, now->source[i].key, 32);
    }
}

uint32_t node_ranges_asked(const struct node_ranges *r, int server)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n; i++)
        n += r->range[i].state == NODE_RANGE_ASKED && r->range[i].server == server;
    return n;
}

/* Whether A is better asked for what comes after AFTER than B. */
static bool better(const struct node_ranges *r, const struct node_ranges_now *now, uint64_t after,
                   const struct node_source *a, const struct node_source *b)
{
    uint64_t rest_a = r->server[a->server].rest_us, rest_b = r->server[b->server].rest_us;
    rest_a = rest_a > now->us ? rest_a : 0;
    rest_b = rest_b > now->us ? rest_b : 0;
    /* Before what they say of themselves: that costs nothing. */
    if (rest_a != rest_b)
        return rest_a < rest_b;
    if (after < now->target && (a->height > after) != (b->height > after))
        return a->height > after;
    uint32_t asked_a = node_ranges_asked(r, a->server), asked_b = node_ranges_asked(r, b->server);
    if (asked_a != asked_b)
        return asked_a < asked_b;
    if (a->member != b->member)
        return a->member;
    return r->server[a->server].turn < r->server[b->server].turn;
}

static const struct node_source *
choose(const struct node_ranges *r, const struct node_ranges_now *now, uint64_t after, bool first)
{
    const struct node_source *best = NULL;
    for (uint32_t i = 0; i < now->sources; i++) {
        const struct node_source *s = &now->source[i];
        bool fresh = r->server[s->server].failed_us &&
                     now->us < r->server[s->server].failed_us + NODE_RETRY_US;
        /* Only what is waited for is worth a try. */
        bool doubtful = s->height <= after || r->server[s->server].rest_us > now->us;
        if (fresh || node_ranges_asked(r, s->server) >= EACH || (!first && doubtful))
            continue;
        if (!best || better(r, now, after, s, best))
            best = s;
    }
    return best;
}

static void fail(struct node_ranges *r, struct node_range *g, int code, uint64_t now_us)
{
    uint32_t longer = 2 * r->patience_ms;
    g->state = NODE_RANGE_WANTED;
    if (code == POA_E_TIMEOUT)
        r->patience_ms = longer < NODE_PATIENCE_MAX_MS ? longer : NODE_PATIENCE_MAX_MS;
    rest(r, g, now_us, NODE_REST_US);
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
    meet(r, now);
    /* The core may have got there by itself. */
    while (r->n && r->range[0].state != NODE_RANGE_HELD && r->range[0].until &&
           r->range[0].until <= now->tip)
        drop_first(r);
    /* Nobody knew that it would be news to somebody. */
    if (r->n && r->range[0].state == NODE_RANGE_ASKED && r->range[0].after < now->target &&
        now->us - r->range[0].asked_us >= r->patience_ms * UINT64_C(1000))
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
    g->id = ++r->id;
    g->asked_us = now->us;
    r->server[s->server].turn = r->id;
    *out = (struct node_question){.id = g->id,
                                  .server = g->server,
                                  .after = after,
                                  .until = g->until,
                                  .timeout_ms = g->known ? r->patience_ms : NODE_PATIENCE_MAX_MS};
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
    if (code) {
        fail(r, g, code, now_us);
        return code;
    }
    if (!bundle) {
        g->state = NODE_RANGE_WANTED;
        /* It has less than it said, or did not wait for news. */
        if (g->known || now_us - g->asked_us < NODE_LATE_US)
            rest(r, g, now_us, NODE_REST_US);
        return POA_OK;
    }
    uint64_t took_ms = (now_us - g->asked_us) / 1000;
    uint32_t shorter = r->patience_ms / 2;
    if (took_ms * 4 < r->patience_ms)
        r->patience_ms = shorter > NODE_PATIENCE_MS ? shorter : NODE_PATIENCE_MS;
    g->late = !at && is_late(r, now_us);
    g->late |= is_stingy(g, bundle);
    if (g->late)
        rest(r, g, now_us, NODE_REST_US);
    g->state = NODE_RANGE_HELD;
    g->bundle = bundle;
    *dropped = NULL;
    if (g->open)
        g->until = bundle->last;
    else if (bundle->last < g->until)
        split(r, at, bundle->last, dropped);
    return POA_OK;
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
    struct node_server *s = server_of(r, g);
    if (!g->late && s)
        s->fails = 0;
    uint64_t fit = NODE_RANGE_BYTES * blocks / (b->bytes_n ? b->bytes_n : 1);
    fit = fit < 1 ? 1 : fit > NODE_RANGE_BLOCKS ? NODE_RANGE_BLOCKS : fit;
    r->span = fit < 2 * r->span ? fit : 2 * r->span;
    drop_first(r);
}
