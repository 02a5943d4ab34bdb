/* What a node says while it joins: it has no state yet, and its RPC tells how far the
 * snapshot is. Everything else is asked again later. */
#include <stdio.h>
#include <string.h>

#include "node.h"
#include "poa_version.h"

/* How long it will take is looked at so often. */
#define PACE_US UINT64_C(2000000)

void node_joining_set(struct poa_node *n, const struct poa_rpc_join *join, const char *why)
{
    pthread_mutex_lock(&n->status_mutex);
    n->join = *join;
    snprintf(n->join_why, sizeof n->join_why, "%s", why);
    pthread_mutex_unlock(&n->status_mutex);
}

static void say_fetching(struct poa_node *n, struct node_joining_pace *p, struct poa_rpc_join *join,
                         uint64_t now_us)
{
    unsigned long long held = join->bytes_held, percent = held * 100 / join->bytes;
    char bar[21] = "....................", left[40] = "no progress", why[128];
    if (now_us - p->at_us >= PACE_US) {
        /* What was there does not say how long the rest takes. */
        const struct node_behind_pace all = {held - p->had, now_us - p->begun_us};
        const struct node_behind_pace lately = {held - p->at, now_us - p->at_us};
        p->left_s = node_behind_left_s(all, lately, join->bytes - held);
        p->at_us = now_us;
        p->at = held;
    }
    join->left_s = p->left_s;
    snprintf(why, sizeof why, "joining: %u of %u parts of the snapshot of height %llu, %llu %%",
             join->parts_held, join->parts, (unsigned long long)join->height, percent);
    node_joining_set(n, join, why);
    if (!poa_progress_due(&p->progress, "fetching", now_us, false))
        return;
    memset(bar, '#', (size_t)(percent / 5));
    if (p->left_s)
        snprintf(left, sizeof left, "about %llu s left", (unsigned long long)p->left_s);
    POA_LOG_INFO(NODE,
                 "snapshot: fetching: [%s] %u of %u parts, %llu of %llu bytes, %llu %%, from %u "
                 "server%s, %s",
                 bar, join->parts_held, join->parts, held, (unsigned long long)join->bytes, percent,
                 join->servers, join->servers == 1 ? "" : "s", left);
}

void node_joining_say(struct poa_node *n, struct node_joining_pace *p, struct poa_rpc_join *join,
                      uint32_t silent, uint64_t now_us)
{
    char why[128] = "joining: looks for a snapshot";
    if (silent)
        snprintf(why, sizeof why, "joining: looks for a snapshot; %u server%s not answer yet",
                 silent, silent == 1 ? " does" : "s do");
    if (strcmp(join->doing, "fetching") == 0) {
        say_fetching(n, p, join, now_us);
        return;
    }
    if (join->height)
        snprintf(why, sizeof why, "joining: fetches the proof of the snapshot of height %llu",
                 (unsigned long long)join->height);
    node_joining_set(n, join, why);
}

void node_joining_tell(struct poa_node *n, struct node_joining_pace *p,
                       const struct poa_rpc_join *join, const char *what, uint64_t done,
                       uint64_t total)
{
    char text[POA_PROGRESS_TEXT_MAX], why[128];
    uint64_t now_us = poa_clock_monotonic_us(n->clock);
    bool due = poa_progress_due(&p->progress, what, now_us, false);
    poa_progress_text(&p->progress, now_us, done, total, text);
    snprintf(why, sizeof why, "joining: snapshot: %s: %s", what, text);
    node_joining_set(n, join, why);
    if (due)
        POA_LOG_INFO(NODE, "snapshot: %s: %s", what, text);
}

static void do_status(void *ctx, struct poa_rpc_status *out)
{
    struct poa_node *n = ctx;
    memset(out, 0, sizeof *out);
    out->version = POA_VERSION;
    pthread_mutex_lock(&n->peers_mutex);
    snprintf(out->name, sizeof out->name, "%s", n->name);
    pthread_mutex_unlock(&n->peers_mutex);
    out->ledger = n->config.ledger;
    out->trusted = n->config.trusted;
    memcpy(out->key, n->key, 32);
    out->core.member = -1;
    out->slot = poa_slot_of(&n->genesis, poa_clock_wall_ms(n->clock));
    out->uptime_ms = (poa_clock_monotonic_us(n->clock) - n->started_us) / 1000;
    out->first_block_ms = POA_NEVER;
    out->faucet = n->faucet;
    pthread_mutex_lock(&n->status_mutex);
    out->join = n->join;
    snprintf(out->why, sizeof out->why, "%s", n->join_why);
    pthread_mutex_unlock(&n->status_mutex);
    out->peers = out->join.offered;
}

static int do_read(void *ctx, enum poa_state_table table, const void *key, size_t key_n,
                   struct poa_writer *out)
{
    (void)ctx, (void)table, (void)key, (void)key_n, (void)out;
    return POA_E_AGAIN;
}

static int do_block(void *ctx, uint64_t height, const uint8_t *hash32, struct poa_rpc_block *out)
{
    (void)ctx, (void)height, (void)hash32, (void)out;
    return POA_E_AGAIN;
}

static int do_run(void *ctx, uint64_t after, uint8_t **bytes, size_t *n, uint64_t *last)
{
    (void)ctx, (void)after, (void)bytes, (void)n, (void)last;
    return POA_E_AGAIN;
}

static int do_hand_over(void *ctx, uint32_t epoch, uint8_t **bytes, size_t *n, uint64_t *last)
{
    (void)ctx, (void)epoch, (void)bytes, (void)n, (void)last;
    return POA_E_AGAIN;
}

static int do_tx(void *ctx, const uint8_t id32[32], struct poa_rpc_tx *out)
{
    (void)ctx, (void)id32, (void)out;
    return POA_E_AGAIN;
}

static void do_submit(void *ctx, struct poa_slice raw, struct poa_rpc_call *call)
{
    (void)ctx, (void)raw;
    poa_rpc_done(call, POA_E_AGAIN, NULL);
}

static void do_prove(void *ctx, enum poa_state_table table, struct poa_slice key,
                     struct poa_rpc_call *call)
{
    (void)ctx, (void)table, (void)key;
    poa_rpc_done_bytes(call, POA_E_AGAIN, NULL, 0);
}

static void do_faucet(void *ctx, const uint8_t address32[32], uint64_t amount,
                      struct poa_rpc_call *call)
{
    (void)ctx, (void)address32, (void)amount;
    poa_rpc_done(call, POA_E_AGAIN, NULL);
}

static int do_audit(void *ctx, bool *conserved, uint64_t *height)
{
    (void)ctx, (void)conserved, (void)height;
    return POA_E_AGAIN;
}

void node_joining_backend(struct poa_node *n, struct poa_rpc_backend *out)
{
    *out = (struct poa_rpc_backend){.ctx = n,
                                    .status = do_status,
                                    .read = do_read,
                                    .block = do_block,
                                    .run = do_run,
                                    .hand_over = do_hand_over,
                                    .tx = do_tx,
                                    .submit = do_submit,
                                    .prove = do_prove,
                                    .faucet = do_faucet,
                                    .audit = do_audit};
}
