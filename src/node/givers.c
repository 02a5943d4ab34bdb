#include "poa_node_givers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "poa_book.h"
#include "poa_error.h"
#include "poa_snapshot.h"

/* --- servers ------------------------------------------------------------------------- */

static bool is_known(const struct node_givers *g, const uint8_t key32[32])
{
    bool known = memcmp(key32, g->self, 32) == 0;
    for (uint32_t i = 0; i < g->n; i++)
        known |= memcmp(g->server[i].key, key32, 32) == 0;
    return known;
}

static void know(struct node_givers *g, const uint8_t key32[32], const char *address, bool hearsay)
{
    struct node_giver *s = &g->server[g->n];
    *s = (struct node_giver){.hearsay = hearsay, .group = -1};
    memcpy(s->key, key32, 32);
    snprintf(s->address, sizeof s->address, "%s", address);
    if (!g->mesh.know(g->mesh.ctx, key32, address, hearsay, &s->at))
        g->n++;
}

void node_givers_know(struct node_givers *g, const uint8_t key32[32], const char *address)
{
    if (g->n < g->cap && !is_known(g, key32))
        know(g, key32, address, false);
}

uint32_t node_givers_members(const struct node_givers *g, int group)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++)
        n += !g->server[i].out && g->server[i].group == group;
    return n;
}

static bool is_fresh(const struct node_giver *s)
{
    return !s->out && !s->slow && !s->broken;
}

uint32_t node_givers_fresh(const struct node_givers *g, int group)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++)
        n += g->server[i].group == group && is_fresh(&g->server[i]);
    return n;
}

uint32_t node_givers_gave(const struct node_givers *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++)
        n += g->server[i].gave > 0;
    return n;
}

/* --- what it costs ------------------------------------------------------------------- */

static void stalled(struct node_givers *g, const struct node_giver *s)
{
    if (!s->hearsay)
        g->mesh.blame(g->mesh.ctx, s, POA_P2P_FAULT_STALLED, "does not answer", "");
}

/* What it was asked for comes from others. */
static void leave(struct node_givers *g, struct node_giver *s)
{
    if (g->parts.n && s->group == g->chosen)
        node_parts_leave(&g->parts, s->at);
    s->group = -1;
}

/* S did not give what it had offered, or not in time. Each time that may be chance, but who never
 * gives any of it would keep the node from beginning without. */
static void broke(struct node_givers *g, struct node_giver *s)
{
    if (++s->broken < NODE_GIVERS_BROKEN_MAX)
        return;
    leave(g, s);
    s->out = true;
    g->mesh.blame(g->mesh.ctx, s, POA_P2P_FAULT_STALLED, "offers a snapshot, and does not give it",
                  "");
}

void node_givers_drop(struct node_givers *g, uint32_t server)
{
    leave(g, &g->server[server]);
    g->server[server].out = true;
}

void node_givers_lied(struct node_givers *g, uint32_t server, const char *what, const char *why)
{
    node_givers_drop(g, server);
    g->mesh.blame(g->mesh.ctx, &g->server[server], POA_P2P_FAULT_FORGED, what, why);
}

/* --- questions ----------------------------------------------------------------------- */

static void came(void *answer, int error, uint16_t type, struct poa_slice bytes)
{
    struct node_answer *a = answer;
    struct node_givers *g = a->givers;
    a->error = error;
    a->type = type;
    a->n = bytes.n;
    a->bytes = error ? NULL : malloc(bytes.n + 1);
    if (!error && !a->bytes)
        a->error = POA_E_NO_MEMORY;
    else if (!error && bytes.n)
        memcpy(a->bytes, bytes.p, bytes.n);
    pthread_mutex_lock(&g->mutex);
    *g->last = a;
    g->last = &a->next;
    pthread_cond_signal(&g->cond);
    pthread_mutex_unlock(&g->mutex);
}

static int ask(struct node_givers *g, enum node_give kind, uint32_t server, uint32_t id,
               uint16_t type, struct poa_slice bytes, uint32_t timeout_ms)
{
    struct node_answer *a = calloc(1, sizeof *a);
    if (!a)
        return POA_E_NO_MEMORY;
    *a = (struct node_answer){
        .givers = g, .kind = kind, .server = server, .id = id, .round = g->round};
    int rc = g->mesh.ask(g->mesh.ctx, g->server[server].at, type, bytes, timeout_ms, came, a);
    if (rc)
        free(a);
    return rc;
}

static int ask_get(struct node_givers *g, enum node_give kind, uint32_t server, uint32_t id,
                   const struct poa_snapshot_get *get, uint32_t timeout_ms)
{
    uint8_t buffer[64];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    POA_ASSERT(!poa_snapshot_get_encode(&w, get));
    return ask(g, kind, server, id, POA_MSG_REQ_PART, poa_written(&w), timeout_ms);
}

/* --- who knows whom ------------------------------------------------------------------ */

void node_givers_ask_peers(struct node_givers *g)
{
    uint8_t buffer[8];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_peers_ask r = {.address = poa_slice("", 0)};
    POA_ASSERT(!poa_peers_ask_encode(&w, &r));
    for (uint32_t i = 0; i < g->n; i++)
        g->server[i].telling =
            !ask(g, NODE_GIVE_PEERS, i, 0, POA_MSG_REQ_PEERS, poa_written(&w), NODE_PATIENCE_MS);
}

static void take_peers(struct node_givers *g, const struct node_answer *a)
{
    struct poa_peers_told r;
    struct poa_known_node k;
    uint32_t told = 0;
    g->server[a->server].telling = false;
    if (a->error || a->type != POA_MSG_ANS_PEERS ||
        poa_peers_told_decode(poa_slice(a->bytes, a->n), &r))
        return;
    struct poa_list_iter it = poa_list_begin(&r.nodes);
    while (g->n < g->cap && told < NODE_GIVERS_TOLD_MAX && poa_known_node_next(&it, &k)) {
        char address[POA_P2P_ADDRESS_MAX];
        if (is_known(g, k.key) || !poa_book_address_ok(k.address))
            continue;
        snprintf(address, sizeof address, "%.*s", (int)k.address.n, (const char *)k.address.p);
        know(g, k.key, address, true);
        told++;
    }
}

/* --- who has which ------------------------------------------------------------------- */

void node_givers_ask_offers(struct node_givers *g, uint64_t base, uint64_t now_us)
{
    uint8_t buffer[16];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    struct poa_snapshot_ask r = {.base = base};
    POA_ASSERT(!poa_snapshot_ask_encode(&w, &r));
    for (uint32_t i = 0; i < g->n; i++) {
        struct node_giver *s = &g->server[i];
        if (s->out || s->asked || s->group >= 0 || now_us < s->ask_us)
            continue;
        s->ask_us = now_us + node_waits_again_us(0);
        s->asked = !ask(g, NODE_GIVE_OFFER, i, 0, POA_MSG_REQ_SNAPSHOT, poa_written(&w),
                        node_waits_offer_ms(s->silent));
    }
}

bool node_givers_pending(const struct node_givers *g)
{
    bool pending = false;
    for (uint32_t i = 0; i < g->n; i++)
        pending |= !g->server[i].out && (g->server[i].asked || g->server[i].telling);
    return pending;
}

static bool is_silent(const struct node_giver *s)
{
    return !s->out && !s->hearsay && !s->answers;
}

uint32_t node_givers_silent(const struct node_givers *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++)
        n += is_silent(&g->server[i]);
    return n;
}

bool node_givers_hope(const struct node_givers *g, uint64_t now_us)
{
    return (node_givers_pending(g) || node_givers_silent(g)) &&
           node_waits_for_offers(&g->waits, now_us);
}

/* Appends to TEXT, which has room for N bytes, as far as it fits. */
static void add(char *text, size_t n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(char *text, size_t n, const char *format, ...)
{
    size_t at = strlen(text);
    va_list ap;
    va_start(ap, format);
    vsnprintf(text + at, n - at, format, ap);
    va_end(ap);
}

void node_givers_why(const struct node_givers *g, char *text, size_t n)
{
    uint32_t silent = node_givers_silent(g), out = 0, none = 0, named = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < g->n; i++) {
        const struct node_giver *s = &g->server[i];
        out += s->out;
        none += !s->out && s->answers && s->group < 0;
    }
    if (!g->n)
        add(text, n, "no peer of the configuration has an address");
    for (uint32_t i = 0; i < g->n && named < NODE_GIVERS_NAMED_MAX; i++) {
        const struct node_giver *s = &g->server[i];
        char key[17];
        if (!is_silent(s))
            continue;
        poa_hex(s->key, 8, key);
        add(text, n, "%s%s... at %s",
            named++       ? ", "
            : out || none ? "no answer of "
                          : "no server answered: ",
            key, s->address);
        if (s->error && s->error != POA_E_TIMEOUT)
            add(text, n, " (%s)", poa_error_text(s->error));
    }
    if (silent > named)
        add(text, n, " and %u more", silent - named);
    if (none)
        add(text, n, "%s%u server%s none", silent ? "; " : "", none, none == 1 ? " has" : "s have");
    if (out)
        add(text, n, "%s%u did not give what %s offered", silent || none ? "; " : "", out,
            out == 1 ? "it" : "they");
    if (!text[0])
        add(text, n, "nothing came for a minute");
}

static bool take_offer(struct node_givers *g, const struct node_answer *a, uint64_t now_us)
{
    struct node_giver *s = &g->server[a->server];
    s->asked = false;
    if (s->out)
        return false;
    if (a->error == POA_E_TIMEOUT) {
        if (!s->silent)
            stalled(g, s);
        s->ask_us = now_us + node_waits_again_us(s->silent++);
    }
    s->answers = a->error != POA_E_NO_MEMORY && poa_error_class(a->error) != POA_CLASS_RETRY;
    s->error = a->error;
    s->hearsay = s->hearsay && (a->error == POA_E_TIMEOUT || a->error == POA_E_CLOSED);
    if (!a->error)
        s->silent = 0;
    return !a->error;
}

int node_givers_room(struct node_givers *g, uint32_t server, int groups)
{
    int room = -1;
    for (int i = 0; i < groups; i++)
        if (i != g->chosen && !node_givers_members(g, i))
            return i;
    /* Who has nothing to give but offers of its own would keep all others out. */
    for (int i = 0; i < groups && is_fresh(&g->server[server]); i++)
        if (i != g->chosen && !node_givers_fresh(g, i))
            room = i;
    for (uint32_t i = 0; i < g->n && room >= 0; i++)
        if (g->server[i].group == room)
            leave(g, &g->server[i]);
    return room;
}

void node_givers_offered(struct node_givers *g, uint32_t server, int group, uint64_t now_us)
{
    g->server[server].group = group;
    if (group >= 0)
        node_waits_offer(&g->waits, now_us);
}

void node_givers_again(struct node_givers *g)
{
    bool there = false;
    for (uint32_t i = 0; i < g->n; i++) {
        struct node_giver *s = &g->server[i];
        if (s->group == g->chosen)
            leave(g, s);
        s->ask_us = 0;
        s->tried = false;
        there |= s->group >= 0;
    }
    node_parts_free(&g->parts);
    g->round++;
    g->chosen = -1;
    g->piece_asked = false;
    node_waits_again(&g->waits, there);
}

/* --- the proof ----------------------------------------------------------------------- */

bool node_givers_next(struct node_givers *g, uint64_t now_us)
{
    for (uint32_t i = 0; i < g->n; i++) {
        struct node_giver *s = &g->server[i];
        if (s->out || s->tried || s->group != g->chosen)
            continue;
        s->tried = true;
        g->giver = i;
        node_waits_proof(&g->waits, now_us);
        return true;
    }
    return false;
}

void node_givers_ask_piece(struct node_givers *g, const uint8_t manifest32[32], uint64_t offset)
{
    struct poa_snapshot_get get = {.part = POA_SNAPSHOT_PROOF, .offset = offset};
    if (g->piece_asked)
        return;
    memcpy(get.manifest, manifest32, 32);
    g->piece++;
    g->piece_asked = !ask_get(g, NODE_GIVE_PIECE, g->giver, g->piece, &get, g->waits.patience_ms);
}

static bool take_piece(struct node_givers *g, const struct node_answer *a)
{
    struct node_giver *s = &g->server[a->server];
    if (a->round != g->round || !g->piece_asked || a->id != g->piece)
        return false;
    g->piece_asked = false;
    if (a->error == POA_E_TIMEOUT)
        stalled(g, s);
    else if (a->error)
        leave(g, s);
    if (a->error)
        broke(g, s);
    return true;
}

bool node_givers_late(struct node_givers *g, uint64_t now_us)
{
    struct node_giver *s = &g->server[g->giver];
    bool others = false;
    for (uint32_t i = 0; i < g->n; i++)
        others |= i != g->giver && !g->server[i].out && g->server[i].group >= 0;
    if (!node_waits_proof_late(&g->waits, now_us, others))
        return false;
    s->slow = true;
    stalled(g, s);
    broke(g, s);
    return true;
}

/* --- the parts ----------------------------------------------------------------------- */

bool node_givers_ask_parts(struct node_givers *g, const uint8_t manifest32[32], uint64_t now_us)
{
    struct node_parts_question q;
    struct poa_snapshot_get get = {.offset = 0};
    int at[POA_P2P_PEERS_MAX];
    uint32_t n = 0;
    memcpy(get.manifest, manifest32, 32);
    for (uint32_t i = 0; i < g->n; i++)
        if (!g->server[i].out && g->server[i].group == g->chosen)
            at[n++] = g->server[i].at;
    while (node_parts_next(&g->parts, now_us, at, n, &q)) {
        uint32_t i = 0;
        while (g->server[i].at != q.server)
            i++;
        get.part = q.part;
        if (ask_get(g, NODE_GIVE_PART, i, q.id, &get, q.timeout_ms))
            (void)node_parts_answered(&g->parts, q.id, POA_E_CLOSED, now_us);
    }
    return n || g->parts.held == g->parts.n;
}

bool node_givers_slow(struct node_givers *g, uint64_t bytes, uint64_t now_us)
{
    bool other = false; /* who was not found so yet, and has another one */
    for (uint32_t i = 0; i < g->n; i++) {
        const struct node_giver *s = &g->server[i];
        other |= !s->out && !s->slow && s->group >= 0 && s->group != g->chosen;
    }
    if (!other || !node_waits_slow(&g->waits, now_us, bytes))
        return false;
    for (uint32_t i = 0; i < g->n; i++)
        g->server[i].slow |= g->server[i].group == g->chosen;
    return true;
}

/* The part that question ID asked for; none when it is given up. */
static uint32_t part_of(const struct node_givers *g, uint32_t id)
{
    for (uint32_t i = 0; i < NODE_PARTS_ASKED; i++)
        if (g->parts.flight[i].used && g->parts.flight[i].id == id)
            return g->parts.flight[i].part;
    return UINT32_MAX;
}

void node_givers_part(struct node_givers *g, const struct node_answer *a, int code, uint64_t now_us)
{
    struct node_giver *s = &g->server[a->server];
    bool first = node_parts_answered(&g->parts, a->id, code, now_us);
    if (!code) {
        s->gave++;
        s->broken = 0;
        node_waits_moved(&g->waits, now_us);
    } else if (!a->error && code != POA_E_NO_MEMORY) {
        node_givers_lied(g, a->server, "sent a part of the state that is wrong", "");
    } else if (code == POA_E_TIMEOUT && first) {
        stalled(g, s);
    } else if (code == POA_E_NOT_FOUND) {
        leave(g, s); /* it has a newer one */
        broke(g, s);
    }
}

static bool take_part(struct node_givers *g, struct node_answer *a, uint64_t now_us)
{
    a->part = a->round == g->round ? part_of(g, a->id) : UINT32_MAX;
    if (a->part == UINT32_MAX)
        return false;
    if (a->error)
        node_givers_part(g, a, a->error, now_us);
    return !a->error;
}

/* --- answers ------------------------------------------------------------------------- */

struct node_answer *node_givers_wait(struct node_givers *g)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += NODE_GIVERS_WAIT_MS * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_mutex_lock(&g->mutex);
    while (!g->first && !pthread_cond_timedwait(&g->cond, &g->mutex, &t))
        ;
    struct node_answer *a = g->first;
    g->first = NULL;
    g->last = &g->first;
    pthread_mutex_unlock(&g->mutex);
    return a;
}

void node_answer_free(struct node_answer *a)
{
    free(a->bytes);
    free(a);
}

bool node_givers_take(struct node_givers *g, struct node_answer *a, uint64_t now_us)
{
    switch (a->kind) {
    case NODE_GIVE_PEERS:
        take_peers(g, a);
        return false;
    case NODE_GIVE_OFFER:
        return take_offer(g, a, now_us);
    case NODE_GIVE_PIECE:
        return take_piece(g, a);
    case NODE_GIVE_PART:
        return take_part(g, a, now_us);
    }
    return false;
}

/* --- beginning and end --------------------------------------------------------------- */

int node_givers_open(struct node_givers *g, const struct node_givers_mesh *mesh,
                     const uint8_t self32[32], uint32_t cap, uint64_t now_us)
{
    pthread_condattr_t attr;
    memset(g, 0, sizeof *g);
    g->server = calloc(cap + 1, sizeof *g->server);
    if (!g->server)
        return POA_E_NO_MEMORY;
    g->mesh = *mesh;
    memcpy(g->self, self32, 32);
    g->cap = cap < POA_P2P_PEERS_MAX ? cap : POA_P2P_PEERS_MAX;
    g->chosen = -1;
    g->last = &g->first;
    node_waits_begin(&g->waits, now_us);
    pthread_mutex_init(&g->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->cond, &attr);
    pthread_condattr_destroy(&attr);
    return POA_OK;
}

void node_givers_close(struct node_givers *g)
{
    while (g->first) {
        struct node_answer *a = g->first;
        g->first = a->next;
        node_answer_free(a);
    }
    node_parts_free(&g->parts);
    free(g->server);
    pthread_mutex_destroy(&g->mutex);
    pthread_cond_destroy(&g->cond);
}
