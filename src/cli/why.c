/* poa why: why a device was, or was not, assigned to a slot, and what became of it;
 * recomputed here from what the chain says, with the numbers to check it.
 *
 *   registered?  suspended?  eligible under which seed?
 *   first window, policies random and weighted: the public draws
 *   policy vrf: the ticket that a block of the window before carried, its draws
 *   the seats of the slot, who sealed, when, and by when a seal had to be there */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_assign.h"
#include "poa_cli.h"
#include "poa_rpc_client.h"
#include "poa_rpc_json.h"

struct why {
    const struct cli *c;
    struct poa_rpc_client *client;
    char device[65];
    uint8_t key[32], chain[32], seed[32];
    uint64_t slot;
    uint64_t tip_slot;
    struct poa_genesis g; /* the parameters that do not change */
    uint32_t epoch, eligible, index;
    uint64_t first_slot;
    json_t *state, *out; /* registry entry; the answer */
    char because[400];
};

/* The result of METHOD; NULL when there is none (PARAMS are taken). A line is
 * printed for errors other than NOT_FOUND, and *FAILED set. */
static json_t *ask(struct why *w, const char *method, json_t *params, bool *failed)
{
    json_t *v = NULL;
    struct poa_why why = {{0}};
    int rc = poa_rpc_client_call(w->client, method, params, &v, &why);
    if (rc != POA_OK && rc != POA_E_NOT_FOUND && rc != POA_E_DEVICE_UNKNOWN) {
        cli_fail("%s", why.text);
        *failed = true;
    }
    return rc == POA_OK ? v : NULL;
}

static json_t *ask_u64(struct why *w, const char *method, const char *name, uint64_t value,
                       bool *failed)
{
    return ask(w, method, json_pack("{s:o}", name, poa_json_u64(value)), failed);
}

__attribute__((format(printf, 2, 3))) static void because(struct why *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->because, sizeof w->because, format, args);
    va_end(args);
}

static void put(struct why *w, const char *key, json_t *value)
{
    json_object_set_new(w->out, key, value);
}

/* --- what the chain says ------------------------------------------------------------ */

static bool read_rules(struct why *w)
{
    bool failed = false;
    json_t *v = ask(w, "poa_genesis_get", NULL, &failed);
    uint8_t *raw = NULL;
    bool fine = v != NULL;
    if (fine) {
        const char *text = cli_text(v, "raw");
        size_t n = strlen(text) / 2;
        raw = malloc(n ? n : 1);
        fine = raw != NULL && poa_unhex(text, raw, n) == POA_OK &&
               poa_genesis_decode(poa_slice(raw, n), &w->g) == POA_OK;
        if (fine)
            poa_genesis_chain_id(poa_slice(raw, n), w->chain);
        else
            cli_fail("the node's genesis record cannot be read: has it the same version?");
    }
    free(raw); /* only numbers of it are used */
    json_decref(v);
    v = fine ? ask(w, "poa_slot_get", json_object(), &failed) : NULL;
    if (fine && v == NULL && !failed)
        cli_fail("no slot has a block yet");
    if (v != NULL)
        w->tip_slot = cli_number(v, "slot");
    fine = v != NULL;
    json_decref(v);
    return fine;
}

/* The epoch that the slot belongs to, by its sealing block or else by its number. */
static bool read_epoch(struct why *w, const json_t *slot)
{
    bool failed = false;
    json_t *v =
        slot != NULL && cli_number(slot, "height")
            ? ask(w, "poa_epoch_get",
                  json_pack("{s:I}", "epoch", (json_int_t)cli_number(slot, "epoch")), &failed)
            : ask(w, "poa_epoch_get", json_object(), &failed);
    while (v != NULL && cli_number(v, "first_slot") > w->slot && cli_number(v, "epoch") > 0) {
        json_t *before =
            ask(w, "poa_epoch_get",
                json_pack("{s:I}", "epoch", (json_int_t)cli_number(v, "epoch") - 1), &failed);
        json_decref(v);
        v = before;
    }
    if (v == NULL) {
        if (!failed)
            cli_fail("slot %" PRIu64 " is of an epoch that this node no longer keeps", w->slot);
        return false;
    }
    w->epoch = (uint32_t)cli_number(v, "epoch");
    w->first_slot = cli_number(v, "first_slot");
    w->eligible = (uint32_t)cli_number(v, "eligible");
    bool fine = poa_unhex(cli_text(v, "seed"), w->seed, 32) == POA_OK;
    put(w, "epoch", json_integer(w->epoch));
    put(w, "seed", json_string(cli_text(v, "seed")));
    put(w, "eligible_devices", json_integer(w->eligible));
    put(w, "eligible", json_boolean(w->index < w->eligible));
    json_decref(v);
    return fine;
}

/* --- public draws ------------------------------------------------------------------------ */

/* Of a slot that has its block, the draws are answered from what the chain recorded
 * with it; of one to come, from the registry as it is now. */
struct registry {
    struct why *w;
    uint8_t weight[POA_ASSIGN_DRAWS_MAX]; /* recorded */
    size_t recorded, draws;
    bool failed;
};

/* What DEVICE, an entry of the registry, weighs in this slot with today's history and
 * balance. */
static struct poa_weight weigh(struct why *w, const json_t *device, bool *failed)
{
    struct poa_st_device st = {.history = (uint32_t)cli_number(device, "history"),
                               .since = cli_number(device, "since")};
    json_t *account = ask(w, "poa_account_get",
                          json_pack("{s:s}", "address", cli_text(device, "payout")), failed);
    struct poa_weight weight = poa_assign_weight(&st, cli_number(account, "balance"), w->slot);
    json_decref(account);
    return weight;
}

static bool pool_device(void *ctx, uint32_t index, uint8_t key32[32], uint32_t *weight)
{
    struct registry *r = ctx;
    if (r->recorded > 0) { /* the index names it as well as its key */
        uint32_t was = r->draws < r->recorded ? r->weight[r->draws] : 0;
        r->draws++;
        memset(key32, 0, 32);
        poa_put_le32(key32, index);
        if (weight != NULL)
            *weight = was;
        return was != 0;
    }
    json_t *list =
        ask(r->w, "poa_devices_list",
            json_pack("{s:I, s:I}", "from", (json_int_t)index, "limit", (json_int_t)1), &r->failed);
    const json_t *d = json_array_get(json_object_get(list, "items"), 0);
    bool active = d != NULL && cli_number(d, "status") == 0 &&
                  poa_unhex(cli_text(d, "device"), key32, 32) == POA_OK;
    if (active && weight != NULL)
        *weight = weigh(r->w, d, &r->failed).sum;
    json_decref(list);
    return active;
}

static void put_weight_now(struct why *w, bool *failed)
{
    struct poa_weight now = weigh(w, w->state, failed);
    put(w, "weight_now",
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "base", (json_int_t)now.base, "reliability",
                  (json_int_t)now.reliability, "age", (json_int_t)now.age, "balance",
                  (json_int_t)now.balance, "sum", (json_int_t)now.sum));
}

static bool explain_public(struct why *w, const json_t *slot)
{
    enum poa_policy_kind policy =
        w->g.policy == POA_POLICY_WEIGHTED ? POA_POLICY_WEIGHTED : POA_POLICY_RANDOM;
    struct registry r = {.w = w};
    size_t hex = strlen(cli_text(slot, "weights")) / 2;
    if (hex > 0 && hex <= sizeof r.weight &&
        poa_unhex(cli_text(slot, "weights"), r.weight, hex) == POA_OK)
        r.recorded = hex;
    struct poa_assign_pool pool = {&r, w->eligible, pool_device};
    struct poa_assign_draw draw[POA_ASSIGN_DRAWS_MAX];
    struct poa_seat_list list;
    uint32_t n = poa_assign_public(policy, w->chain, w->seed, w->slot, w->g.seats_per_slot, &pool,
                                   &list, draw);
    json_t *draws = json_array();
    const struct poa_assign_draw *mine = NULL, *passed = NULL;
    for (uint32_t j = 0; j < n; j++) {
        json_t *d = json_pack("{s:I, s:I, s:o, s:b}", "draw", (json_int_t)j, "index",
                              (json_int_t)draw[j].index, "rank", poa_json_u64(draw[j].rank),
                              "seated", (int)draw[j].seated);
        if (policy == POA_POLICY_WEIGHTED) {
            json_object_set_new(d, "lot", json_integer(draw[j].lot));
            json_object_set_new(d, "weight", json_integer(draw[j].weight));
        }
        json_array_append_new(draws, d);
        if (draw[j].index == w->index && draw[j].seated)
            mine = &draw[j];
        else if (draw[j].index == w->index)
            passed = &draw[j];
    }
    put(w, "weights_recorded", json_boolean(r.recorded > 0));
    if (policy == POA_POLICY_WEIGHTED)
        put_weight_now(w, &r.failed);
    put(w, "drawn_by", json_string(policy == POA_POLICY_WEIGHTED ? "weighted" : "random"));
    put(w, "draws", draws);
    if (mine && policy == POA_POLICY_WEIGHTED)
        because(w, "it was drawn with lot %u, below its weight %u", mine->lot, mine->weight);
    else if (mine)
        because(w, "it was drawn");
    else if (passed && passed->weight == 0)
        because(w, "it was drawn while it was suspended, and passed over");
    else if (passed)
        because(w, "it was drawn with lot %u, which is not below its weight %u", passed->lot,
                passed->weight);
    else
        because(w, "the %u draws for this slot fell on other devices", n);
    return !r.failed;
}

/* --- tickets ---------------------------------------------------------------------------- */

/* Heights of the blocks that could carry tickets for WINDOW. */
static bool ticket_blocks(struct why *w, uint64_t window, uint64_t *from, uint64_t *to)
{
    uint64_t slot = w->first_slot + (window - 1) * w->g.window_slots;
    uint64_t end = slot + w->g.window_slots;
    bool failed = false;
    *from = *to = 0;
    for (; slot < end && slot <= w->tip_slot && !failed && !*from; slot++) {
        json_t *v = ask_u64(w, "poa_slot_get", "slot", slot, &failed);
        *from = cli_number(v, "height");
        json_decref(v);
    }
    for (slot = end; slot < end + w->g.window_slots && slot <= w->tip_slot && !failed && !*to;
         slot++) {
        json_t *v = ask_u64(w, "poa_slot_get", "slot", slot, &failed);
        *to = cli_number(v, "height");
        json_decref(v);
    }
    if (!*to && !failed) {
        json_t *v = ask(w, "poa_block_get", json_object(), &failed);
        *to = cli_number(json_object_get(v, "header"), "height") + 1;
        json_decref(v);
    }
    return !failed;
}

/* The device's ticket for WINDOW in blocks FROM to before TO. */
static bool find_ticket(struct why *w, uint64_t window, uint64_t from, uint64_t to,
                        struct poa_ticket *t, uint64_t *height)
{
    bool failed = false;
    *height = 0;
    for (uint64_t h = from; h && h < to && !failed && !*height; h++) {
        json_t *v = ask_u64(w, "poa_block_get", "height", h, &failed);
        const json_t *tickets = json_object_get(json_object_get(v, "body"), "tickets");
        for (size_t i = 0; i < json_array_size(tickets); i++) {
            const json_t *x = json_array_get(tickets, i);
            if (strcmp(cli_text(x, "device"), w->device) != 0 ||
                cli_number(x, "window") != window || cli_number(x, "epoch") != w->epoch ||
                poa_unhex(cli_text(x, "proof"), t->proof, sizeof t->proof) != POA_OK)
                continue;
            memcpy(t->device, w->key, 32);
            t->epoch = w->epoch;
            t->window = (uint32_t)window;
            *height = h;
        }
        json_decref(v);
    }
    return !failed;
}

static bool explain_ticket(struct why *w, uint64_t window, bool held)
{
    struct poa_lottery lottery = {w->eligible, w->g.seats_per_slot, w->g.window_slots};
    uint64_t start = w->first_slot + window * w->g.window_slots, from, to, height, threshold;
    uint32_t draws = poa_lottery_draws(&lottery);
    struct poa_ticket t;
    struct poa_seat seat[POA_DRAWS_MAX];
    uint8_t beta[64], alpha[32];
    bool always = poa_lottery_threshold(&lottery, &threshold);
    put(w, "drawn_by", json_string("ticket"));
    put(w, "draws_per_ticket", json_integer(draws));
    put(w, "threshold", always ? json_string("every draw wins") : poa_json_u64(threshold));
    poa_ticket_alpha(w->chain, w->seed, w->epoch, (uint32_t)window, alpha);
    put(w, "vrf_input", poa_json_hex(alpha, 32));
    if (!ticket_blocks(w, window, &from, &to) || !find_ticket(w, window, from, to, &t, &height))
        return false;
    if (!height && start > w->tip_slot) {
        put(w, "ticket", json_null());
        because(w,
                "window %" PRIu64 " has not begun, and no block carries its ticket for it yet: the "
                "newest is of slot %" PRIu64,
                window, w->tip_slot);
        return true;
    }
    if (!height) {
        put(w, "ticket", json_null());
        because(
            w,
            "no block of window %" PRIu64 " (%" PRIu64 " to %" PRIu64 ") carries its ticket for "
            "window %" PRIu64 ": it was away, or its VRF output won none of its %u draws, which "
            "only its key can tell: poa vrf prove --alpha VRF_INPUT",
            window - 1, from, to ? to - 1 : 0, window, draws);
        return true;
    }
    int rc = poa_ticket_check(&poa_suite_ed25519, w->chain, w->seed, &t, beta);
    size_t n = rc == POA_OK ? poa_ticket_seats(&lottery, beta, seat) : 0;
    json_t *won = json_array();
    bool mine = false;
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(won,
                              json_pack("{s:o, s:o}", "slot", poa_json_u64(start + seat[i].slot),
                                        "rank", poa_json_u64(seat[i].rank)));
        mine |= start + seat[i].slot == w->slot;
    }
    put(w, "ticket",
        json_pack("{s:o, s:o, s:o, s:o, s:b}", "height", poa_json_u64(height), "proof",
                  poa_json_hex(t.proof, sizeof t.proof), "beta", poa_json_hex(beta, sizeof beta),
                  "won", won, "proof_verifies", (int)(rc == POA_OK)));
    if (mine && held)
        because(w, "its ticket in block %" PRIu64 " won this slot", height);
    else if (mine)
        because(w, "its ticket in block %" PRIu64 " won this slot, where %d lower ranks sit",
                height, POA_SLOT_SEATS_MAX);
    else
        because(w,
                "its ticket in block %" PRIu64 " won %zu other slots of the window, not this one",
                height, n);
    return true;
}

/* --- the slot ------------------------------------------------------------------------------ */

/* Slot of the block at HEIGHT. */
static uint64_t slot_of_block(struct why *w, uint64_t height, bool *failed)
{
    json_t *v = ask_u64(w, "poa_block_get", "height", height, failed);
    uint64_t slot = poa_slot_of(&w->g, cli_number(json_object_get(v, "header"), "time_ms"));
    json_decref(v);
    return slot;
}

/* The seats of SLOT with their seals; returns ours, or NULL. */
static const json_t *explain_seats(struct why *w, const json_t *slot, bool *failed)
{
    const json_t *seats = json_object_get(slot, "seats"), *mine = NULL;
    json_t *list = json_array();
    uint64_t deadline = w->slot + w->g.seal_slots;
    for (size_t i = 0; i < json_array_size(seats) && !*failed; i++) {
        const json_t *s = json_array_get(seats, i);
        uint64_t sealed = cli_number(s, "sealed");
        json_t *row = json_pack("{s:s, s:s, s:b}", "device", cli_text(s, "device"), "rank",
                                cli_text(s, "rank"), "sealed", (int)(sealed != 0));
        if (sealed) {
            uint64_t at = slot_of_block(w, sealed, failed);
            json_object_set_new(row, "sealed_height", poa_json_u64(sealed));
            json_object_set_new(row, "slots_later", poa_json_u64(at - w->slot));
        }
        json_array_append_new(list, row);
        if (strcmp(cli_text(s, "device"), w->device) == 0)
            mine = s;
    }
    put(w, "seats", list);
    put(w, "sealing_block",
        cli_number(slot, "height") ? json_pack("{s:s, s:s}", "height", cli_text(slot, "height"),
                                               "hash", cli_text(slot, "hash"))
                                   : json_null());
    put(w, "seal_deadline_slot", poa_json_u64(deadline));
    put(w, "settled", json_boolean(cli_number(slot, "settled") != 0));
    if (cli_number(slot, "settled"))
        put(w, "miner", json_string(cli_text(slot, "miner")));
    return mine;
}

static void add_outcome(struct why *w, const json_t *slot, const json_t *mine)
{
    size_t n = strlen(w->because);
    uint64_t sealed = cli_number(mine, "sealed");
    const char *end;
    if (sealed && cli_number(slot, "settled") && strcmp(cli_text(slot, "miner"), w->device) == 0)
        end = "; its seal had the lowest rank: it mined the slot";
    else if (sealed)
        end = "; its seal is on the ledger in time";
    else if (!cli_number(slot, "height"))
        end = "; the slot has no block (yet)";
    else if (w->tip_slot > w->slot + w->g.seal_slots)
        end = "; no seal of it was included by the deadline: it was away, too slow, or not carried";
    else
        end = "; its seal is awaited until the deadline";
    snprintf(w->because + n, sizeof w->because - n, "%s", end);
}

static bool explain_slot(struct why *w)
{
    bool failed = false;
    json_t *slot = ask_u64(w, "poa_slot_get", "slot", w->slot, &failed);
    if (!failed && slot == NULL && w->slot > w->tip_slot) {
        put(w, "assigned", json_false());
        because(w,
                "the slot has not begun: the newest block is of slot %" PRIu64
                "; ask again when the chain is there",
                w->tip_slot);
        return true;
    }
    if (failed || !read_epoch(w, slot)) {
        json_decref(slot);
        return false;
    }
    const json_t *mine = slot != NULL ? explain_seats(w, slot, &failed) : NULL;
    uint64_t window = (w->slot - w->first_slot) / w->g.window_slots;
    put(w, "window", poa_json_u64(window));
    put(w, "assigned", json_boolean(mine != NULL));
    bool fine = !failed;
    if (!fine)
        ;
    else if (w->index >= w->eligible)
        because(
            w,
            "it is number %u of the registry, and epoch %u draws from the first %u only: those "
            "registered before the epoch before it began, so that nobody chooses a key for a seed; "
            "until it is drawn it earns for its readings only",
            w->index, w->epoch, w->eligible);
    else if (slot == NULL && w->slot <= w->tip_slot)
        because(w, "the slot passed without a block, or is no longer in the state of this node");
    else if (w->g.policy == POA_POLICY_VRF && window > 0)
        fine = explain_ticket(w, window, mine != NULL);
    else
        fine = explain_public(w, slot);
    if (fine && mine != NULL)
        add_outcome(w, slot, mine);
    json_decref(slot);
    return fine;
}

/* Who convicted it, from the block that carries the evidence. */
static bool explain_suspended(struct why *w)
{
    bool failed = false;
    uint64_t height = cli_number(w->state, "convicted");
    json_t *v = ask_u64(w, "poa_block_get", "height", height, &failed);
    const json_t *all = json_object_get(json_object_get(v, "body"), "evidence");
    for (size_t i = 0; i < json_array_size(all); i++)
        if (strcmp(cli_text(json_array_get(all, i), "author"), w->device) == 0)
            put(w, "evidence", json_incref(json_array_get(all, i)));
    json_decref(v);
    because(w,
            "it is suspended: block %" PRIu64 " carries evidence, with its own signature, that it "
            "sealed another block than the final one; governance alone can readmit it",
            height);
    return !failed;
}

/* --- the command -------------------------------------------------------------------------------
 */

static void print(const struct why *w)
{
    const json_t *v = w->out, *t = json_object_get(v, "ticket");
    const json_t *seats = json_object_get(v, "seats"), *draws = json_object_get(v, "draws");
    printf("device     %s\n", w->device);
    if (json_object_get(v, "index") != NULL)
        printf("registry   number %" PRIu64 ", since slot %s, %s\n", cli_number(v, "index"),
               cli_text(v, "since"), cli_text(v, "status"));
    if (json_object_get(v, "epoch") == NULL)
        printf("slot       %" PRIu64 "\n", w->slot);
    else {
        printf("slot       %" PRIu64 ", epoch %u, window %s\n", w->slot, w->epoch,
               cli_text(v, "window"));
        printf("seed       %s, drawn from the first %u devices\n", cli_text(v, "seed"),
               w->eligible);
    }
    if (json_object_get(v, "threshold") != NULL)
        printf("lottery    %" PRIu64 " draws per ticket, each wins below %s\nvrf input  %s\n",
               cli_number(v, "draws_per_ticket"), cli_text(v, "threshold"),
               cli_text(v, "vrf_input"));
    if (json_is_object(t)) {
        printf("ticket     in block %s, proof %s\n", cli_text(t, "height"), cli_text(t, "proof"));
        for (size_t i = 0; i < json_array_size(json_object_get(t, "won")); i++) {
            const json_t *s = json_array_get(json_object_get(t, "won"), i);
            printf("  won      slot %s, rank %s\n", cli_text(s, "slot"), cli_text(s, "rank"));
        }
    }
    for (size_t i = 0; i < json_array_size(draws); i++) {
        const json_t *d = json_array_get(draws, i);
        printf("  draw %-3" PRIu64 " device number %" PRIu64 ", rank %s", cli_number(d, "draw"),
               cli_number(d, "index"), cli_text(d, "rank"));
        if (json_object_get(d, "lot") != NULL)
            printf(", lot %" PRIu64 " of weight %" PRIu64, cli_number(d, "lot"),
                   cli_number(d, "weight"));
        printf("%s\n", json_is_true(json_object_get(d, "seated")) ? "" : ", passed over");
    }
    if (json_is_object(json_object_get(v, "sealing_block")))
        printf("block      %s, seals count until slot %s\n",
               cli_text(json_object_get(v, "sealing_block"), "height"),
               cli_text(v, "seal_deadline_slot"));
    for (size_t i = 0; i < json_array_size(seats); i++) {
        const json_t *s = json_array_get(seats, i);
        printf("  seat %-3zu %.16s.. rank %s%s%s\n", i, cli_text(s, "device"), cli_text(s, "rank"),
               json_is_true(json_object_get(s, "sealed")) ? ", sealed in block " : "",
               cli_text(s, "sealed_height"));
    }
    printf("because    %s\n", w->because);
}

int cli_why(const struct cli *c)
{
    struct why w = {.c = c, .out = json_object()};
    bool failed = false;
    int rc = cli_device_key(c, c->argument[0], w.device);
    if (rc != 0) {
        json_decref(w.out);
        return rc;
    }
    if (poa_unhex(w.device, w.key, 32) != POA_OK)
        rc = cli_fail("the key of a device has 64 hex digits");
    else if (cli_client(c, 10000, &w.client) != POA_OK)
        rc = 1;
    if (rc != 0) {
        json_decref(w.out);
        return rc;
    }
    put(&w, "device", json_string(w.device));
    bool fine = read_rules(&w);
    w.slot = w.tip_slot;
    if (c->option[CLI_SLOT] != NULL)
        fine = fine && cli_u64("--slot", c->option[CLI_SLOT], 0, UINT64_MAX, &w.slot);
    w.state =
        fine ? ask(&w, "poa_device_get", json_pack("{s:s}", "device", w.device), &failed) : NULL;
    put(&w, "slot", poa_json_u64(w.slot));
    put(&w, "registered", json_boolean(w.state != NULL));
    fine = fine && !failed;
    if (fine && w.state == NULL) {
        because(&w, "it is not registered: its manufacturer attests it first");
    } else if (fine) {
        bool suspended = cli_number(w.state, "status") != 0;
        w.index = (uint32_t)cli_number(w.state, "index");
        put(&w, "index", json_integer(w.index));
        put(&w, "since", json_string(cli_text(w.state, "since")));
        put(&w, "status", json_string(suspended ? "suspended" : "active"));
        fine = suspended ? explain_suspended(&w) : explain_slot(&w);
    }
    poa_rpc_client_free(w.client);
    put(&w, "because", json_string(w.because));
    if (fine && c->json)
        rc = cli_print_json(json_incref(w.out));
    else if (fine)
        print(&w);
    json_decref(w.state);
    json_decref(w.out);
    return fine ? rc : 1;
}
