/* Golden transcripts: whole scenes as text, in tests/trace. They are documents
 * as much as tests; POA_TRACE_UPDATE=1 writes them anew. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_sim.h"

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = f ? calloc(1, 1 << 20) : NULL;
    if (text)
        (void)!fread(text, 1, (1 << 20) - 1, f);
    if (f)
        fclose(f);
    return text;
}

static void first_difference(const char *want, const char *got, char *out, size_t out_n)
{
    unsigned line = 1;
    while (*want && *want == *got) {
        line += *want == '\n';
        want++;
        got++;
    }
    snprintf(out, out_n, "line %u: expected '%.60s', got '%.60s'", line, want, got);
}

static void compare(const char *name, const char *got)
{
    char path[128], why[256];
    snprintf(path, sizeof path, "tests/trace/%s.txt", name);
    if (getenv("POA_TRACE_UPDATE")) {
        FILE *f = fopen(path, "w");
        cr_assert(f != NULL);
        fputs(got, f);
        fclose(f);
        return;
    }
    char *want = read_all(path);
    cr_assert(want != NULL, "%s is missing (run in the top folder)", path);
    first_difference(want, got, why, sizeof why);
    cr_expect(strcmp(want, got) == 0, "%s, %s", path, why);
    free(want);
}

struct scene {
    char *text;
    size_t n;
    struct poa_sim *s;
    struct poa_sim_config config;
};

static void open_scene(struct scene *x, const char *title)
{
    x->config.trace = open_memstream(&x->text, &x->n);
    cr_assert(x->config.trace != NULL);
    fputs(title, x->config.trace);
    x->s = poa_sim_new(&x->config);
    cr_assert(x->s != NULL);
}

static void close_scene(struct scene *x, const char *name)
{
    cr_expect(eq(u32, poa_sim_result(x->s)->violations, 0));
    poa_sim_free(x->s);
    fclose(x->config.trace);
    compare(name, x->text);
    free(x->text);
}

static void quiet(struct scene *x)
{
    memset(x, 0, sizeof *x);
    poa_sim_config_default(&x->config);
    x->config.delay_min_us = x->config.delay_max_us = 10000;
    x->config.fsync_min_us = x->config.fsync_max_us = 1000;
    x->config.heartbeat_ms = 100;
    x->config.timeout_ms = 60;
}

Test(trace, round_with_a_transfer)
{
    struct scene x;
    uint8_t id[32];
    quiet(&x);
    open_scene(&x, "# Four nodes, 10 ms apart, 1 ms to sync. A heartbeat block, then a transfer\n"
                   "# that node 0 accepts: home, batch, proposal, notarize, finalize.\n");
    poa_sim_run(x.s, 150000);
    cr_assert(eq(int, poa_sim_transfer(x.s, 0, 1, 2, 5, id), POA_OK));
    poa_sim_run(x.s, 230000);
    cr_expect(lt(u64, 0, poa_sim_final(x.s, id)));
    close_scene(&x, "round");
}

Test(trace, nullified_view)
{
    struct scene x;
    quiet(&x);
    open_scene(&x, "# Node 2 dies. When its turn comes, the others wait for a heartbeat and the\n"
                   "# skip timer, nullify the view and go on; the next proposal proves it.\n");
    poa_sim_run(x.s, 140000);
    poa_sim_kill(x.s, 2);
    poa_sim_run(x.s, 760000);
    close_scene(&x, "nullified");
}

Test(trace, hand_over)
{
    struct scene x;
    quiet(&x);
    x.config.epoch_views = 4;
    x.config.heartbeat_ms = 50;
    open_scene(&x, "# An epoch of four views: the closing block of view 5, a filler until it is\n"
                   "# final, and the first view of the next epoch on it.\n");
    poa_sim_run(x.s, 360000);
    close_scene(&x, "hand-over");
}

Test(trace, restart)
{
    struct scene x;
    quiet(&x);
    open_scene(&x, "# Node 1 crashes after its vote and comes back: it says again what it said,\n"
                   "# and follows what it missed.\n");
    poa_sim_run(x.s, 225000);
    poa_sim_kill(x.s, 1);
    poa_sim_run(x.s, 420000);
    poa_sim_start(x.s, 1);
    poa_sim_run(x.s, 560000);
    close_scene(&x, "restart");
}

/* --- scenes with a hand in them ------------------------------------------------- */

static struct poa_proposal proposal_of(struct poa_slice bytes, struct poa_header *h)
{
    struct poa_proposal p;
    cr_assert(eq(int, poa_proposal_decode(bytes, &p), POA_OK));
    cr_assert(eq(int, poa_header_decode(p.header, h), POA_OK));
    return p;
}

/* Holds back proposals for VIEW of epoch 0, and keeps the first. */
struct hold {
    uint64_t view;
    uint32_t from;
    uint8_t bytes[1 << 14];
    size_t n;
};

static bool hold(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct hold *k = ctx;
    struct poa_header h;
    (void)to;
    if (type != POA_MSG_PROPOSAL)
        return true;
    (void)proposal_of(bytes, &h);
    if (h.epoch || h.view != k->view)
        return true;
    if (!k->n) {
        cr_assert(le(sz, bytes.n, sizeof k->bytes));
        memcpy(k->bytes, bytes.p, bytes.n);
        k->n = bytes.n;
        k->from = from;
    }
    return false;
}

/* And loses the nullify votes of all but node 0. */
static bool hold_nulls(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    struct hold *k = ctx;
    struct poa_vote v;
    if (type == POA_MSG_VOTE && !poa_vote_decode(bytes, &v) && v.kind == POA_VOTE_NULLIFY &&
        v.view == k->view && from >= 1)
        return false;
    return hold(ctx, from, to, type, bytes);
}

Test(trace, late_notarization)
{
    static struct hold k = {.view = 2};
    struct scene x;
    quiet(&x);
    open_scene(&x, "# The proposal of view 2 is late for everybody: all four vote to nullify the\n"
                   "# view, and three of those votes are lost. Then the proposal arrives. Whoever\n"
                   "# nullified may still notarize, so the view is cleared by a notarization;\n"
                   "# nobody finalizes it, and the next block, on top of it, makes it final.\n");
    poa_sim_filter(x.s, hold_nulls, &k);
    poa_sim_run(x.s, 330000);
    poa_sim_filter(x.s, NULL, NULL);
    for (uint32_t i = 0; i < 4; i++)
        if (i != k.from)
            poa_sim_inject(x.s, k.from, i, POA_MSG_PROPOSAL, poa_slice(k.bytes, k.n));
    poa_sim_run(x.s, 480000);
    close_scene(&x, "late-notarization");
}

Test(trace, equivocating_leader)
{
    static struct hold k = {.view = 2};
    static uint8_t second[1 << 14];
    struct scene x;
    struct poa_header h;
    uint8_t header[POA_HEADER_BYTES], hash[32], digest[32];
    quiet(&x);
    x.config.epoch_views = 4;
    x.config.heartbeat_ms = 50;
    open_scene(&x,
               "# The leader of view 2 signs two headers and shows each to half of the others:\n"
               "# neither is notarized. Who then sees the other header too has evidence, and\n"
               "# lists it in a block when it leads; the next epoch's committee is without the\n"
               "# liar. Three members tolerate nobody: all three must sign.\n");
    poa_sim_filter(x.s, hold, &k);
    while (!k.n && poa_sim_now_us(x.s) < 1000000)
        poa_sim_run(x.s, poa_sim_now_us(x.s) + 1000);
    cr_assert(ne(sz, k.n, 0));
    struct poa_proposal p = proposal_of(poa_slice(k.bytes, k.n), &h);
    h.time_ms++;
    struct poa_writer w = poa_writer_over(header, sizeof header);
    cr_assert(eq(int, poa_header_encode(&w, &h), POA_OK));
    poa_header_hash(&h, hash);
    poa_proposal_digest(hash, digest);
    poa_sim_suite(x.s)->sign(poa_sim_seed(x.s, k.from), poa_sim_key(x.s, k.from), digest, 32,
                             p.sig);
    p.header = poa_slice(header, sizeof header);
    w = poa_writer_over(second, sizeof second);
    cr_assert(eq(int, poa_proposal_encode(&w, &p), POA_OK));
    for (uint32_t i = 0; i < 4; i++)
        if (i != k.from)
            poa_sim_inject(x.s, k.from, i, POA_MSG_PROPOSAL,
                           i % 2 ? poa_slice(k.bytes, k.n) : poa_written(&w));
    poa_sim_run(x.s, poa_sim_now_us(x.s) + 15000);
    for (uint32_t i = 0; i < 4; i += 2)
        if (i != k.from)
            poa_sim_inject(x.s, k.from, i, POA_MSG_PROPOSAL, poa_slice(k.bytes, k.n));
    poa_sim_filter(x.s, NULL, NULL);
    poa_sim_run(x.s, 460000);
    close_scene(&x, "equivocating-leader");
}
