/* Proofs of random entries of every table, present and absent, down from a
 * certificate: all of them hold, and none holds with any single bit changed.
 *
 * POA_PROOFS=n proofs are checked (100,000 in the soak), POA_MUTATED=n of them
 * with every bit turned (1,000 in the soak). POA_SEED=n reruns one seed. */
#include <stdio.h>

#include "../../runner/seed.h"
#include "../../unit/ledger/support.h"
#include "poa_proof.h"

#define ACCOUNTS 40000u
#define MEMBERS  4u
#define QUORUM   3u

static struct chain c;
static struct poa_ledger *big; /* what c holds, and ACCOUNTS more */
static struct seed rnd;

/* --- a state with many entries ----------------------------------------------------- */

static struct {
    struct poa_entry e;
    uint8_t *own;
} * entries;
static size_t entries_n, entries_cap;

static int keep(void *ctx, const struct poa_entry *e)
{
    (void)ctx;
    if (entries_n == entries_cap) {
        entries_cap = entries_cap ? 2 * entries_cap : 4096;
        entries = realloc(entries, entries_cap * sizeof *entries);
        cr_assert_not_null(entries);
    }
    uint8_t *own = malloc(e->value.n + 1);
    memcpy(own, e->value.p, e->value.n);
    entries[entries_n].own = own;
    entries[entries_n].e = *e;
    entries[entries_n++].e.value.p = own;
    return POA_OK;
}

static void account_address(uint32_t i, uint8_t out[32])
{
    poa_hash(POA_DOMAIN_SIM, &i, sizeof i, out);
}

static void keep_account(uint32_t i)
{
    uint8_t value[64];
    struct poa_writer w = poa_writer_over(value, sizeof value);
    struct poa_st_account a = {.balance = seed_next(&rnd), .nonce = i};
    struct poa_entry e;
    poa_write_u8(&w, POA_STATE_ACCOUNT);
    poa_write_u8(&w, 32);
    account_address(i, w.p + w.n);
    uint8_t number = POA_STATE_ACCOUNT;
    poa_hash2(POA_DOMAIN_STATE_KEY, &number, 1, w.p + w.n, 32, e.key);
    w.n += 32;
    cr_assert_eq(poa_st_account_encode(&w, &a), POA_OK);
    e.value = poa_written(&w);
    cr_assert_eq(keep(NULL, &e), POA_OK);
}

static int restore_all(const uint8_t root[32])
{
    cr_assert_eq(poa_ledger_restore_begin(big), POA_OK);
    for (size_t i = 0; i < entries_n; i++)
        cr_assert_eq(poa_ledger_restore_put(big, &entries[i].e), POA_OK);
    return poa_ledger_restore_end(big, root);
}

/* Parts of the tree, in another order than that of the ledger's own thread. */
static uint32_t parts;
static void backwards(void *ctx, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n)
{
    (void)ctx;
    for (; n; parts++)
        task(arg, --n);
}

static void fill(struct counting *memory)
{
    struct poa_ledger_config config = {.suite = c.suite,
                                       .alloc = counting_alloc(memory),
                                       .genesis = poa_slice(c.genesis, c.genesis_n)};
    uint8_t root[32] = {0}, alone[32];
    cr_assert_eq(poa_ledger_changes(c.l, keep, NULL), POA_OK);
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        keep_account(i);
    cr_assert_eq(poa_ledger_new(&config, &big), POA_OK);
    cr_assert_eq(restore_all(root), POA_E_STORE_CORRUPT);
    poa_ledger_root(big, POA_STATE_BASE, alone);
    poa_ledger_free(big);
    config.parallel = backwards;
    cr_assert_eq(poa_ledger_new(&config, &big), POA_OK);
    cr_assert_eq(restore_all(NULL), POA_OK);
    poa_ledger_root(big, POA_STATE_BASE, root);
    cr_assert_arr_eq(root, alone, 32, "the same tree, whoever makes its parts");
    cr_assert_eq(parts, 64);
    /* Its root is what comes out; with that it restores. */
    cr_assert_eq(restore_all(root), POA_OK);
}

/* --- a certificate over its root ----------------------------------------------------- */

static struct {
    uint8_t seed[MEMBERS][32], key[MEMBERS][32];
    uint8_t members[MEMBERS * 42], run[2048];
    size_t run_n;
    struct poa_chain_check check; /* before the run */
} quorum;

static void add_header(struct poa_writer *list, const struct poa_header *h)
{
    uint8_t bytes[POA_HEADER_BYTES];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    struct poa_raw_header raw = {.header = poa_slice(bytes, sizeof bytes)};
    cr_assert_eq(poa_header_encode(&w, h), POA_OK);
    cr_assert_eq(poa_raw_header_encode(list, &raw), POA_OK);
}

/* The first header carries the root, the second is the one certified. */
static void certify(void)
{
    struct poa_writer m = poa_writer_over(quorum.members, sizeof quorum.members);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct poa_member member = {.maker = i};
        memset(quorum.seed[i], (int)i + 1, 32);
        poa_ed25519_public(quorum.seed[i], quorum.key[i]);
        memcpy(member.key, quorum.key[i], 32);
        cr_assert_eq(poa_member_encode(&m, &member), POA_OK);
    }
    struct poa_committee committee = {.quorum = QUORUM,
                                      .members = {.bytes = poa_written(&m), .count = MEMBERS}};
    cr_assert_eq(poa_chain_begin(&quorum.check, &poa_suite_ed25519, c.id, 1000, 1, &committee),
                 POA_OK);
    uint8_t headers[1024], bytes[1024];
    struct poa_writer list = poa_writer_over(headers, sizeof headers);
    struct poa_header h = {.version = 1, .view = 7, .height = 90, .time_ms = 5};
    memcpy(h.chain, c.id, 32);
    poa_ledger_root(big, POA_STATE_BASE, h.state);
    add_header(&list, &h);
    poa_header_hash(&h, h.parent);
    h.parent_view = h.view++;
    h.height++;
    h.time_ms++;
    memset(h.state, 0x77, 32);
    add_header(&list, &h);
    uint8_t digest[32], sigs[QUORUM * 64];
    struct poa_cert cert = {.kind = POA_VOTE_FINALIZE, .view = h.view, .signers = {7}};
    poa_header_hash(&h, cert.hash);
    poa_vote_digest(c.id, cert.kind, cert.epoch, cert.view, cert.hash, digest);
    for (uint32_t i = 0; i < QUORUM; i++)
        poa_suite_ed25519.sign(quorum.seed[i], quorum.key[i], digest, 32, sigs + 64 * i);
    cert.sigs = (struct poa_list){poa_slice(sigs, sizeof sigs), QUORUM};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    cr_assert_eq(poa_cert_encode(&w, &cert), POA_OK);
    struct poa_run run = {.headers = {poa_written(&list), 2}, .cert = poa_written(&w)};
    struct poa_writer r = poa_writer_over(quorum.run, sizeof quorum.run);
    cr_assert_eq(poa_run_encode(&r, &run), POA_OK);
    quorum.run_n = r.n;
}

/* --- proofs ------------------------------------------------------------------------------- */

struct proof {
    uint8_t key[255], path[POA_PROOF_BYTES_MAX], bytes[POA_PROOF_BYTES_MAX + 16384];
    size_t n;
    bool present;
    uint8_t table;
};

/* Any entry that there is, or a key near one. */
static void random_proof(struct proof *out)
{
    const struct poa_entry *e = &entries[seed_below(&rnd, (uint32_t)entries_n)].e;
    struct poa_slice value = {NULL, 0}, key = poa_slice(e->value.p + 2, e->value.p[1]);
    if (seed_chance(&rnd, 0.5)) /* most entries are accounts, most tables are small */
        while (e->value.p[0] == POA_STATE_ACCOUNT)
            e = &entries[seed_below(&rnd, (uint32_t)(entries_n - ACCOUNTS))].e;
    key = poa_slice(e->value.p + 2, e->value.p[1]);
    memcpy(out->key, key.p, key.n);
    if (seed_chance(&rnd, 0.4)) {
        if (key.n)
            out->key[seed_below(&rnd, (uint32_t)key.n)] ^= (uint8_t)(1 + seed_below(&rnd, 255));
        else
            out->key[key.n++] = (uint8_t)seed_next(&rnd);
    }
    out->table = e->value.p[0];
    enum poa_state_table table = (enum poa_state_table)out->table;
    int rc = poa_ledger_get(big, POA_STATE_BASE, table, out->key, key.n, &value);
    cr_assert(rc == POA_OK || rc == POA_E_NOT_FOUND);
    out->present = !rc;
    struct poa_writer path = poa_writer_over(out->path, sizeof out->path);
    cr_assert_eq(poa_ledger_prove(big, table, out->key, key.n, &path), POA_OK);
    struct poa_state_proof p = {.table = out->table,
                                .key = poa_slice(out->key, key.n),
                                .value = rc ? poa_slice(NULL, 0) : value,
                                .proof = poa_written(&path),
                                .run = poa_slice(quorum.run, quorum.run_n)};
    struct poa_writer w = poa_writer_over(out->bytes, sizeof out->bytes);
    cr_assert_eq(poa_state_proof_encode(&w, &p), POA_OK);
    out->n = w.n;
}

static int check(const struct proof *p)
{
    struct poa_state_proof s;
    struct poa_header h;
    struct poa_chain_check chain = quorum.check;
    chain.committee.members.bytes.p = chain.members;
    int e = poa_state_proof_decode(poa_slice(p->bytes, p->n), &s);
    return e ? e : poa_state_proof_check(&chain, &s, &h);
}

/* A path may lead another absent key's bits to the same neighbour: by chance, for one
 * of 2^depth keys. What such a proof claims is true. */
static bool claims_an_absence(const struct proof *p)
{
    struct poa_state_proof s;
    struct poa_slice value;
    cr_assert_eq(poa_state_proof_decode(poa_slice(p->bytes, p->n), &s), POA_OK);
    return s.table == p->table && !s.value.n && !p->present &&
           poa_ledger_get(big, POA_STATE_BASE, (enum poa_state_table)s.table, s.key.p, s.key.n,
                          &value) == POA_E_NOT_FOUND;
}

static uint32_t count_of(const char *name, uint32_t few)
{
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 10) : few;
}

Test(proof_prop, hold_and_break, .timeout = 36000)
{
    static struct body b;
    static struct proof p;
    struct setup s = setup_default();
    struct counting memory = {0};
    uint32_t proofs = count_of("POA_PROOFS", 3000), mutated = count_of("POA_MUTATED", 3);
    uint64_t present = 0, absent = 0, bits = 0, bytes = 0, tables = 0, others = 0;
    rnd = seed_take();
    chain_open(&c, &s);
    struct ops o = {.n = 0};
    op_transfer(&o, c.address[2], 5);
    op_anchor(&o, 1);
    body_tx(&b, &c, 1, 0, 1000, &o);
    for (uint64_t i = 0; i < 8; i++) {
        block_add(&c, &b, 1000 * (i + 1));
        body_reset(&b);
    }
    fill(&memory);
    certify();
    for (uint32_t i = 0; i < proofs; i++) {
        random_proof(&p);
        seed_assert(&rnd, check(&p) == POA_OK, "proof %u of table %u is refused", i, p.table);
        *(p.present ? &present : &absent) += 1;
        tables |= UINT64_C(1) << p.table;
        bytes += p.n;
        if (i >= mutated)
            continue;
        for (size_t bit = 0; bit < 8 * p.n; bit++) {
            p.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            bool held = check(&p) == POA_OK, fine = !held || claims_an_absence(&p);
            seed_assert(&rnd, fine, "proof %u of table %u holds without bit %zu", i, p.table, bit);
            others += held;
            p.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            bits++;
        }
    }
    printf("proofs: %u hold (%llu present, %llu absent, %d tables, %llu bytes each); %llu with one "
           "bit changed do not; %llu prove the absence of another key\n",
           proofs, (unsigned long long)present, (unsigned long long)absent,
           __builtin_popcountll(tables), (unsigned long long)(bytes / proofs),
           (unsigned long long)(bits - others), (unsigned long long)others);
    cr_assert_leq(others, 1 + bits / 10000);
    cr_assert(present > proofs / 5 && absent > proofs / 5);
#define TABLE_ROW(name, number, record, key) +1
    cr_assert_geq(__builtin_popcountll(tables), 8);
    cr_assert_leq(__builtin_popcountll(tables), 0 POA_STATE_TABLES(TABLE_ROW));
    for (size_t i = 0; i < entries_n; i++)
        free(entries[i].own);
    free(entries);
    poa_ledger_free(big);
    chain_close(&c);
}
