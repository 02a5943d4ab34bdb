/* Random chains with forks, failing transactions, tickets, seals, epochs and
 * long pauses. After every block that becomes final:
 *   - a replica that saw only the final blocks has the same root
 *   - the supply is conserved, nonces only grow
 * and at the end of each run:
 *   - a ledger restored from the checkpoints has the same root
 *   - random keys have valid proofs of presence or absence
 *   - nothing of the dropped forks is left in memory
 *
 * POA_SEED=n reruns one seed, POA_SEEDS=n runs so many. */
#include <stdio.h>

#include "disk.h"
#include "random_ops.h"

#define NODES 10

struct node {
    bool used;
    int parent; /* -1: the base */
    poa_state_id state;
    uint64_t view;
    bool closed; /* closing block or filler: its children */
    struct poa_header header;
    uint8_t *body;
    size_t body_n;
    struct body *b;
};

static struct chain c;
static struct poa_ledger *replica;
static struct counting replica_memory;
static struct node node[NODES];
static struct random rnd;
static uint64_t base_view;
static uint64_t blocks, txs, failed, seals, tickets, epochs, convictions; /* of all runs */
static struct tally tally;

/* --- a store --------------------------------------------------------------------------- */

static void checkpoint(void)
{
    disk_checkpoint(c.l);
}

static void check_restore(void)
{
    checkpoint();
    disk_check(&c, random_next(&rnd));
}

/* --- bodies ------------------------------------------------------------------------------- */

static void random_address(uint8_t out[32])
{
    uint64_t pick = random_below(&rnd, 12);
    if (pick < USERS) {
        memcpy(out, c.address[pick], 32);
        return;
    }
    poa_put_le64(out, random_below(&rnd, 500));
    poa_hash(POA_DOMAIN_SIM, out, 8, out);
}

static void random_tx(struct body *b, poa_state_id s, uint64_t nonce[USERS])
{
    struct ops o = {.n = 0};
    uint32_t user = (uint32_t)random_below(&rnd, 4);
    uint32_t ops = random_below(&rnd, 3) ? 1 : 1 + (uint32_t)random_below(&rnd, 4);
    for (uint32_t i = 0; i < ops; i++) {
        uint8_t to[32];
        struct poa_op_device d;
        switch (random_below(&rnd, 24)) {
        case 0:
            op_anchor(&o, (uint8_t)random_below(&rnd, 30));
            break;
        case 1:
            d = device_of(&c, 8 + (uint32_t)random_below(&rnd, DEVICES - 8),
                          (uint32_t)random_below(&rnd, MAKERS));
            op_device(&o, &d);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
        case 6:
        case 7:
        case 8:
        case 9:
        case 10:
        case 11:
        case 12:
        case 13:
            random_value_op(&o, &c, &rnd, user);
            break;
        default:
            random_address(to);
            op_transfer(&o, to,
                        random_below(&rnd, 20) ? 1 + random_below(&rnd, 1000000)
                                               : 1 + random_below(&rnd, 3000000000));
            break;
        }
    }
    struct poa_op_hold hold = {2};
    if (!random_below(&rnd, 6))
        op_raw(&o, POA_OP_HOLD, &poa_op_hold_record, &hold);
    uint64_t n = nonce[user];
    if (!random_below(&rnd, 15))
        n += random_below(&rnd, 3) - 1;
    body_tx(b, &c, user, n, random_below(&rnd, 20) ? 8 + random_below(&rnd, 100) : 0, &o);
    /* One that fails uses no nonce; most of those would only make the next ones
     * fail too. What others of this block do to it nobody knows yet. */
    struct poa_st_account a = {.nonce = 0};
    (void)!poa_ledger_read(c.l, s, POA_STATE_ACCOUNT, c.address[user], 32, &a);
    bool fine = n == nonce[user] && n >= a.nonce &&
                !poa_ledger_try_tx(c.l, s, c.time_ms + 1, b->tx[b->txs - 1], n - a.nonce, 0);
    if (!fine && random_below(&rnd, 3)) {
        b->txs--;
        return;
    }
    random_note(&o, b->tx[b->txs - 1]->id);
    nonce[user] += fine;
}

static void random_mining(struct body *b, poa_state_id s, uint64_t time)
{
    struct poa_st_global g;
    uint64_t now = c.s.g.time_ms + time;
    uint32_t epoch = poa_ledger_next_epoch(c.l, s);
    struct poa_st_epoch st;
    poa_ledger_global(c.l, s, &g);
    cr_assert_eq(poa_ledger_epoch(c.l, s, epoch, &st, NULL, NULL), POA_OK);
    uint64_t slot = poa_slot_of(&c.s.g, now);
    for (uint32_t k = 0; k < 4 && slot >= st.first_slot; k++) {
        struct poa_ticket t = {
            .epoch = epoch, .window = (uint32_t)((slot - st.first_slot) / c.s.g.window_slots + 1)};
        uint32_t d = (uint32_t)random_below(&rnd, 16);
        uint8_t alpha[32];
        bool twice = false;
        memcpy(t.device, c.device[d].pk, 32);
        poa_ticket_alpha(c.id, st.seed, epoch, t.window, alpha);
        cr_assert_eq(c.suite->vrf_prove(c.device[d].seed, t.device, alpha, 32, t.proof), POA_OK);
        for (uint32_t i = 0; i < b->ticket_n; i++)
            twice |= !memcmp(b->tickets + 120 * i, t.device, 32);
        if (!twice && !poa_ledger_try_ticket(c.l, s, now, &t))
            body_ticket(b, &t);
    }
    for (uint64_t back = 0; back <= 8 && g.slot != UINT64_MAX; back++) {
        struct poa_st_slot slot_st;
        uint8_t key[8];
        poa_put_le64(key, g.slot - back);
        if (back > g.slot || poa_ledger_read(c.l, s, POA_STATE_SLOT, key, 8, &slot_st) ||
            !slot_st.height || slot_st.settled)
            continue;
        for (uint32_t i = 0; i < slot_st.seats.count; i++) {
            struct poa_st_seat seat;
            cr_assert_eq(poa_list_at(&poa_st_seat_record, &slot_st.seats, i, &seat), POA_OK);
            if (seat.sealed || random_below(&rnd, 3))
                continue;
            for (uint32_t d = 0; d < DEVICES; d++)
                if (!memcmp(c.device[d].pk, seat.device, 32)) {
                    struct poa_seal seal = seal_make(&c, d, g.slot - back, slot_st.height,
                                                     slot_st.epoch, slot_st.hash);
                    if (!poa_ledger_try_seal(c.l, s, now, &seal))
                        body_seal(b, &seal);
                }
        }
    }
}

/* Now and then somebody lies: a device that seals another chain's block, a
 * witness that votes twice in a view. */
static void random_evidence(struct body *b, poa_state_id s)
{
    static uint8_t bytes[2][200];
    struct poa_writer w[2] = {poa_writer_over(bytes[0], 200), poa_writer_over(bytes[1], 200)};
    struct poa_evidence e = {.kind = POA_EVIDENCE_FORK};
    struct poa_st_global g;
    struct poa_st_slot slot;
    struct poa_committee committee;
    uint8_t key[8];
    poa_ledger_global(c.l, s, &g);
    poa_put_le64(key, g.slot);
    if (random_below(&rnd, 2)) {
        struct poa_st_seat seat;
        if (g.slot == UINT64_MAX || poa_ledger_read(c.l, s, POA_STATE_SLOT, key, 8, &slot) ||
            !slot.height || !slot.seats.count)
            return;
        cr_assert_eq(poa_list_at(&poa_st_seat_record, &slot.seats,
                                 (uint32_t)random_below(&rnd, slot.seats.count), &seat),
                     POA_OK);
        for (uint32_t d = 0; d < DEVICES; d++)
            if (!memcmp(c.device[d].pk, seat.device, 32)) {
                struct poa_seal lie = seal_make(&c, d, g.slot, slot.height, slot.epoch, c.id);
                cr_assert_eq(poa_seal_encode(&w[0], &lie), POA_OK);
            }
        memcpy(e.author, seat.device, 32);
    } else {
        uint32_t epoch = poa_ledger_next_epoch(c.l, s);
        uint64_t at = random_below(&rnd, WITNESSES);
        cr_assert_eq(poa_ledger_epoch(c.l, s, epoch, NULL, &committee, NULL), POA_OK);
        int voter = poa_committee_find(&committee, c.witness[at].pk);
        if (voter < 0)
            return;
        for (int i = 0; i < 2; i++) {
            struct poa_vote v = {
                .kind = POA_VOTE_NOTARIZE, .epoch = epoch, .view = 1, .voter = (uint16_t)voter};
            uint8_t digest[32];
            v.hash[0] = (uint8_t)i;
            poa_vote_digest(c.id, v.kind, epoch, v.view, v.hash, digest);
            c.suite->sign(c.witness[at].seed, c.witness[at].pk, digest, 32, v.sig);
            cr_assert_eq(poa_vote_encode(&w[i], &v), POA_OK);
        }
        e.kind = POA_EVIDENCE_VOTES;
        e.second = poa_written(&w[1]);
        memcpy(e.author, c.witness[at].pk, 32);
    }
    e.first = poa_written(&w[0]);
    if (poa_ledger_try_evidence(c.l, s, &e))
        return;
    struct poa_writer out = poa_writer_over(b->evidence, sizeof b->evidence);
    cr_assert_eq(poa_evidence_encode(&out, &e), POA_OK);
    b->evidence_bytes = out.n;
    b->evidence_n = 1;
    convictions++;
}

/* --- the tree of blocks ---------------------------------------------------------------------- */

static void forget(int i)
{
    free(node[i].body);
    free(node[i].b);
    node[i] = (struct node){.used = false};
}

static void grow(void)
{
    int at = 0, parent = -1;
    while (at < NODES && node[at].used)
        at++;
    if (at == NODES)
        return;
    int pick = (int)random_below(&rnd, NODES + 2);
    if (pick < NODES && node[pick].used)
        parent = pick;
    poa_state_id s = parent < 0 ? POA_STATE_BASE : node[parent].state;
    struct poa_st_global g;
    struct poa_slice body;
    struct poa_block_result r;
    uint64_t nonce[USERS];
    poa_ledger_global(c.l, s, &g);
    bool fresh = g.kind == POA_BLOCK_CLOSING && random_below(&rnd, 4) > 0;
    uint64_t view = parent < 0 ? base_view : node[parent].view;
    c.view = (fresh ? 0 : view) + random_below(&rnd, 3);
    c.fresh = fresh;
    if (g.kind == POA_BLOCK_CLOSING && !fresh && c.view < c.s.g.epoch_views)
        c.view = c.s.g.epoch_views;
    uint64_t time =
        g.time_ms - c.s.g.time_ms + 1 +
        (random_below(&rnd, 40) ? random_below(&rnd, 2000) : random_below(&rnd, 100000));
    struct body *b = calloc(1, sizeof *b);
    if (c.view + 1 <= c.s.g.epoch_views) {
        for (uint32_t u = 0; u < USERS; u++) {
            struct poa_st_account a = {.nonce = 0};
            nonce[u] =
                poa_ledger_read(c.l, s, POA_STATE_ACCOUNT, c.address[u], 32, &a) ? 0 : a.nonce;
        }
        for (uint64_t n = random_below(&rnd, 6); n; n--)
            random_tx(b, s, nonce);
        random_mining(b, s, time);
        if (!random_below(&rnd, 20))
            random_evidence(b, s);
    }
    cr_assert_eq(poa_ledger_reserve(c.l), POA_OK);
    struct poa_header h = header_next(&c, s, b, time, &body);
    poa_state_id out;
    int e = block_try(&c, s, &h, body, b, &out, &r);
    if (e == POA_E_SLOT_FULL) { /* tickets of one block can crowd each other out */
        free(b);
        return;
    }
    cr_assert_eq(e, POA_OK, "%s", poa_error_name(e));
    node[at] = (struct node){.used = true,
                             .parent = parent,
                             .state = out,
                             .view = c.view + 1,
                             .header = h,
                             .body = malloc(body.n),
                             .body_n = body.n,
                             .b = b};
    memcpy(node[at].body, body.p, body.n);
}

static bool descends(int i, int from)
{
    while (i >= 0 && i != from)
        i = node[i].parent;
    return i == from;
}

static void drop_tree(int i)
{
    for (int k = 0; k < NODES; k++)
        if (node[k].used && node[k].parent == i)
            drop_tree(k);
    poa_ledger_drop(c.l, node[i].state);
    forget(i);
}

static void finalize(void)
{
    static uint64_t last_nonce[USERS];
    int at = (int)random_below(&rnd, NODES);
    uint8_t want[32], root[32];
    poa_state_id s;
    struct poa_block_result r = {.tx = NULL};
    /* A filler is never final by itself: what comes next stands on the closing block. */
    if (!node[at].used || node[at].parent >= 0 || node[at].header.kind == POA_BLOCK_FILLER)
        return;
    for (int k = 0; k < NODES; k++)
        if (node[k].used && !descends(k, at) && node[k].parent < 0)
            drop_tree(k);
    cr_assert_eq(poa_ledger_apply(c.l, node[at].state), POA_OK);
    for (int k = 0; k < NODES; k++)
        if (node[k].used && node[k].parent == at)
            node[k].parent = -1;
    struct poa_block_in in = {.header = &node[at].header,
                              .body = poa_slice(node[at].body, node[at].body_n),
                              .tx = node[at].b->tx,
                              .txs = node[at].b->txs};
    poa_header_hash(in.header, in.hash);
    cr_assert_eq(poa_ledger_reserve(replica), POA_OK);
    cr_assert_eq(poa_ledger_execute(replica, POA_STATE_BASE, &in, &s, &r), POA_OK);
    failed += r.failed;
    for (uint32_t i = 0; i < in.txs; i++)
        random_tally(&tally, in.tx[i], node[at].b->result[i].code);
    tickets += r.tickets;
    cr_assert_eq(poa_ledger_apply(replica, s), POA_OK);
    poa_ledger_root(c.l, POA_STATE_BASE, want);
    poa_ledger_root(replica, POA_STATE_BASE, root);
    cr_assert_arr_eq(root, want, 32);
    cr_assert(audit(&c));
    if (in.header->height == 1)
        memset(last_nonce, 0, sizeof last_nonce);
    for (uint32_t u = 0; u < USERS; u++) {
        struct poa_st_account a;
        if (poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ACCOUNT, c.address[u], 32, &a))
            continue;
        cr_assert_geq(a.nonce, last_nonce[u]);
        last_nonce[u] = a.nonce;
    }
    base_view = node[at].view;
    forget(at);
    if (!random_below(&rnd, 6))
        checkpoint();
}

static void check_proofs(void)
{
    static uint8_t bytes[POA_PROOF_BYTES_MAX];
    uint8_t root[32], key[32];
    poa_ledger_root(c.l, POA_STATE_BASE, root);
    for (int i = 0; i < 40; i++) {
        struct poa_slice value = {NULL, 0};
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        enum poa_state_table table = random_below(&rnd, 2) ? POA_STATE_ACCOUNT : POA_STATE_DEVICE;
        if (table == POA_STATE_ACCOUNT)
            random_address(key);
        else
            memcpy(key, c.device[random_below(&rnd, DEVICES)].pk, 32);
        int e = poa_ledger_get(c.l, POA_STATE_BASE, table, key, 32, &value);
        cr_assert(e == POA_OK || e == POA_E_NOT_FOUND);
        cr_assert_eq(poa_ledger_prove(c.l, table, key, 32, &w), POA_OK);
        cr_assert_eq(poa_proof_check(root, table, key, 32, value, poa_written(&w)), POA_OK);
    }
}

static void run(uint64_t seed, int steps)
{
    struct setup s = setup_default();
    rnd.s = seed * 0x9e3779b97f4a7c15u + 1;
    s.g.epoch_views = 12 + random_below(&rnd, 40);
    s.g.window_slots = 4u << random_below(&rnd, 3);
    s.g.halving_slots = random_below(&rnd, 2) ? 0 : 20;
    s.g.seal_slots = 2 + (uint32_t)random_below(&rnd, 20);
    s.policy = (uint8_t)random_below(&rnd, 3);
    if (s.policy == POA_POLICY_VRF && random_below(&rnd, 4)) { /* holds come and go */
        s.g.grade2_seals = 1 + (uint32_t)random_below(&rnd, 3);
        s.g.grade2_span = 4 + (uint32_t)random_below(&rnd, 8);
        s.g.grade2_makers = 1 + (uint16_t)random_below(&rnd, 2);
        s.g.hold_above = random_below(&rnd, 2) ? 500000 : 0;
        s.g.hold_slots = s.g.grade2_span + s.g.seal_slots + (uint32_t)random_below(&rnd, 8);
    }
    s.g.commerce_bp = (uint16_t)random_below(&rnd, 300);
    random_forget();
    chain_open(&c, &s);
    struct poa_ledger_config config = {.suite = c.suite,
                                       .alloc = counting_alloc(&replica_memory),
                                       .genesis = poa_slice(c.genesis, c.genesis_n),
                                       .salt = 7};
    cr_assert_eq(poa_ledger_new(&config, &replica), POA_OK);
    base_view = 0;
    for (int i = 0; i < steps; i++) {
        grow();
        finalize();
    }
    struct poa_st_global g;
    poa_ledger_global(c.l, POA_STATE_BASE, &g);
    blocks += g.height;
    txs += g.txs;
    seals += g.seals;
    epochs += g.epoch;
    check_proofs();
    for (int i = 0; i < NODES; i++)
        if (node[i].used && node[i].parent < 0)
            drop_tree(i);
    check_restore();
    disk_clear();
    poa_ledger_free(replica);
    cr_assert_eq(replica_memory.live, 0);
    chain_close(&c);
}

/* A block of transactions does to every account what one block for each of
 * them does. */
Test(chain_prop, a_block_is_its_transactions)
{
    static struct body all, single;
    const char *one = getenv("POA_SEED");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : 40;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct setup s = setup_default();
        uint64_t nonce[USERS] = {0};
        uint8_t hash[2][32];
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        rnd.s = seed * 0x9e3779b97f4a7c15u + 1;
        chain_open(&c, &s);
        random_forget();
        body_reset(&all);
        for (int i = 0; i < 30; i++)
            random_tx(&all, POA_STATE_BASE, nonce);
        for (int split = 0; split < 2; split++) {
            if (split) {
                chain_close(&c);
                chain_open(&c, &s);
            }
            for (uint32_t i = 0; i < (split ? all.txs : 1); i++) {
                body_reset(&single);
                single.tx[0] = all.tx[i];
                single.txs = 1;
                block_add(&c, split ? &single : &all, 100 + i);
                if (split)
                    cr_assert_eq(single.result[0].code, all.result[i].code);
            }
            struct poa_hash_state h;
            poa_hash_init(&h, POA_DOMAIN_SIM);
            for (uint32_t i = 0; i < USERS + 500; i++) {
                struct poa_st_account a = {.balance = 0};
                uint8_t address[32] = {0};
                poa_put_le64(address, i - USERS);
                poa_hash(POA_DOMAIN_SIM, address, 8, address);
                int e = poa_ledger_read(c.l, POA_STATE_BASE, POA_STATE_ACCOUNT,
                                        i < USERS ? c.address[i] : address, 32, &a);
                cr_assert(e == POA_OK || e == POA_E_NOT_FOUND);
                poa_hash_update(&h, &a, sizeof a);
            }
            struct poa_st_global g;
            poa_ledger_global(c.l, POA_STATE_BASE, &g);
            poa_hash_update(&h, &g.escrowed, 2 * sizeof g.escrowed); /* and escrows */
            for (uint32_t i = 0; i < USERS; i++)
                for (uint32_t asset = 1; asset < 8; asset++) {
                    uint64_t owns = asset_of(&c, asset, c.address[i]);
                    poa_hash_update(&h, &owns, sizeof owns);
                }
            cr_assert(audit(&c));
            poa_hash_final(&h, hash[split]);
        }
        cr_assert_arr_eq(hash[0], hash[1], 32);
        chain_close(&c);
    }
}

Test(chain_prop, replicas_agree_and_supply_is_conserved)
{
    const char *one = getenv("POA_SEED"), *many = getenv("POA_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t last = one ? first : many ? strtoull(many, NULL, 10) : 25;
    for (uint64_t seed = first; seed <= last; seed++) {
        fprintf(stderr, "seed %llu (rerun: POA_SEED=%llu)\n", (unsigned long long)seed,
                (unsigned long long)seed);
        run(seed, 150);
    }
    fprintf(stderr,
            "%llu final blocks, %llu transactions, %llu failed, %llu seals, %llu tickets, "
            "%llu epochs, %llu convictions\n",
            (unsigned long long)blocks, (unsigned long long)txs, (unsigned long long)failed,
            (unsigned long long)seals, (unsigned long long)tickets, (unsigned long long)epochs,
            (unsigned long long)convictions);
    /* A run that never gets to the point proves nothing. */
    cr_assert(one || (blocks && txs && failed && seals && tickets && epochs && convictions));
    static const uint16_t rare[] = {POA_OP_MAKER_ADD, POA_OP_WITNESS_ADD, POA_OP_WITNESS_LEAVE,
                                    POA_OP_READMIT,   POA_OP_PARAM_SET,   POA_OP_HOLD};
    for (size_t i = 0; i < sizeof rare / sizeof rare[0]; i++) {
        fprintf(stderr, "operation %#x: %llu of %llu\n", rare[i],
                (unsigned long long)tally.done[rare[i]], (unsigned long long)tally.made[rare[i]]);
        cr_assert(one || tally.done[rare[i]]);
    }
}
