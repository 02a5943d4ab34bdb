/* Bundles of final blocks: the certificate that was checked is the one that counts, also when
 * the memory is another bundle's by the time that the core goes on with it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "poa_sim.h"

#define BEHIND 3u /* the node that was away */
#define SEEN   256u

static struct seen {
    uint8_t hash[32];
    struct poa_header h;
    uint8_t header[400], body[1000];
    size_t header_n, body_n;
} seen[SEEN];
static uint32_t seen_n;
static uint8_t cert[POA_CERT_BYTES_MAX];
static size_t cert_n;
static uint8_t cert_of[32];

static void note(const struct poa_proposal *p)
{
    struct seen *b = &seen[seen_n];
    if (seen_n == SEEN || poa_header_decode(p->header, &b->h) || p->body.n > sizeof b->body)
        return;
    poa_header_hash(&b->h, b->hash);
    memcpy(b->header, p->header.p, b->header_n = p->header.n);
    memcpy(b->body, p->body.p, b->body_n = p->body.n);
    seen_n++;
}

static bool listen(void *ctx, uint32_t from, uint32_t to, uint16_t type, struct poa_slice bytes)
{
    (void)ctx;
    (void)from;
    struct poa_proposal p;
    struct poa_cert c;
    if (type == POA_MSG_PROPOSAL && to != BEHIND && !poa_proposal_decode(bytes, &p))
        note(&p);
    if (type == POA_MSG_CERT && !poa_cert_decode(bytes, &c) && c.kind == POA_VOTE_FINALIZE) {
        memcpy(cert, bytes.p, cert_n = bytes.n);
        memcpy(cert_of, c.hash, 32);
    }
    return true;
}

static const struct seen *find(const uint8_t hash[32])
{
    for (uint32_t i = 0; i < seen_n; i++)
        if (memcmp(seen[i].hash, hash, 32) == 0)
            return &seen[i];
    return NULL;
}

/* The bundle from height 1 to the last certificate that was heard; *N blocks. */
static struct poa_slice make(uint32_t *n)
{
    static uint8_t list[100000], out[110000];
    const struct seen *path[SEEN], *b = find(cert_of);
    struct poa_writer l = poa_writer_over(list, sizeof list), w = poa_writer_over(out, sizeof out);
    for (*n = 0; b; b = find(b->h.parent))
        path[(*n)++] = b;
    uint64_t first = *n ? path[*n - 1]->h.height : 0;
    cr_assert(lt(u32, 4, *n));
    cr_assert(eq(u64, first, 1));
    for (uint32_t i = *n; i-- > 0;) {
        struct poa_block raw = {.header = poa_slice(path[i]->header, path[i]->header_n),
                                .body = poa_slice(path[i]->body, path[i]->body_n)};
        cr_assert(eq(int, poa_block_encode(&l, &raw), POA_OK));
    }
    struct poa_blocks all = {.blocks = {poa_written(&l), *n}, .cert = poa_slice(cert, cert_n)};
    cr_assert(eq(int, poa_blocks_encode(&w, &all), POA_OK));
    return poa_written(&w);
}

static int step(struct poa_sim *s, struct poa_slice bytes)
{
    struct poa_core *c = poa_sim_core(s, BEHIND);
    struct poa_event e = {.kind = POA_EVENT_BLOCK, .bytes = bytes};
    struct poa_now now = {.us = poa_sim_now_us(s), .wall_ms = 2000000000000};
    struct poa_effects effects;
    cr_assert(eq(int, poa_core_reserve(c), POA_OK));
    return poa_core_step(c, &e, now, &effects);
}

static uint64_t height(struct poa_sim *s)
{
    struct poa_core_status st;
    poa_core_status(poa_sim_core(s, BEHIND), &st);
    return st.height;
}

static struct poa_sim *network(void)
{
    struct poa_sim_config c;
    poa_sim_config_clean(&c, 4);
    c.txs_per_s = 0;
    c.devices = 0;
    struct poa_sim *s = poa_sim_new(&c);
    cr_assert(s != NULL);
    seen_n = 0;
    cert_n = 0;
    poa_sim_filter(s, listen, NULL);
    poa_sim_run(s, 10000);
    poa_sim_kill(s, BEHIND);
    poa_sim_run(s, 3000000);
    poa_sim_start(s, BEHIND);
    cr_assert(poa_sim_core(s, BEHIND) != NULL);
    cr_assert(eq(u64, height(s), 0));
    return s;
}

/* What the core has executed of it when it is left alone: two blocks. */
static void begin(struct poa_sim *s, struct poa_slice bytes)
{
    for (int i = 0; i < 100 && height(s) < 2; i++)
        cr_assert(eq(int, step(s, bytes), POA_E_AGAIN));
    cr_assert(eq(u64, height(s), 2));
}

static int end(struct poa_sim *s, struct poa_slice bytes)
{
    int code = POA_E_AGAIN;
    for (int i = 0; i < 10000 && code == POA_E_AGAIN; i++)
        code = step(s, bytes);
    return code;
}

Test(bundle, another_certificate_in_its_place_counts_for_nothing)
{
    struct poa_sim *s = network();
    uint32_t n;
    struct poa_slice bytes = make(&n);
    uint8_t *at = (uint8_t *)(uintptr_t)bytes.p + bytes.n - cert_n + 1 + 4 + 8;
    begin(s, bytes);
    at[3] ^= 1; /* for a block that nobody has seen */
    cr_expect(eq(int, end(s, bytes), POA_E_BLOCK_INVALID));
    cr_expect(eq(u64, height(s), n - 1));
    at[3] ^= 1;
    cr_expect(eq(int, end(s, bytes), POA_OK));
    cr_expect(eq(u64, height(s), n));
    poa_sim_free(s);
}

Test(bundle, blocks_that_are_gone_end_it)
{
    struct poa_sim *s = network();
    uint32_t n;
    struct poa_slice bytes = make(&n);
    uint8_t *at = (uint8_t *)(uintptr_t)bytes.p;
    begin(s, bytes);
    memset(at + 2, 0xff, bytes.n - cert_n - 2); /* nothing that can be decoded */
    at[bytes.n - cert_n + 1 + 4 + 8] ^= 1;
    cr_expect(eq(int, end(s, bytes), POA_E_BLOCK_INVALID));
    cr_expect(eq(u64, height(s), 2));
    poa_sim_free(s);
}
