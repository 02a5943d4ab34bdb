/* A poad whose gateway misbehaves: the product's program, where node and gateway
 * meet through here (ld --wrap). POA_CHAOS_FILE says what it does (mode.h):
 *
 *   drop    no task reaches a device, nothing of a device reaches the node; every
 *           submission looks accepted
 *   double  everything is said twice, in both directions
 *   withhold  no epoch and no task reaches a device; the rest is answered
 *
 * and what a device has to notice by itself (tests/e2e/liars.sh):
 *
 *   cert        tasks carry a certificate in which a signature is not a member's
 *   committee   a new epoch comes with a committee of the gateway's own choice
 *   stale       tasks carry a final block, but one of an earlier slot
 *   old         answers are what the same question was answered first, whole: true once,
 *               with its own certificate
 *   proof       answers come with a proof that is not theirs
 *   entry       answers say more than the ledger: of an account a larger balance, of a
 *               device a better record
 *
 * or what two devices that talk through it must not care about (tests/e2e/talk.sh):
 *
 *   hear        what it passes on between devices is also appended to POA_CHAOS_FILE.heard
 *   tamper      and one bit of it is changed
 *   repeat      and it comes twice
 *
 * Anything else: honest. */
#include <string.h>

#include "mode.h"
#include "poa_gateway.h"

static struct poa_gateway_backend node;

int __real_poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                           struct poa_why *why);
int __wrap_poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                           struct poa_why *why);
void __real_poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e);
void __wrap_poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e);
void __real_poa_gateway_slot(struct poa_gateway *g, uint64_t slot,
                             const struct poa_gateway_proof *block, const uint8_t (*seats)[32],
                             size_t seats_n);
void __wrap_poa_gateway_slot(struct poa_gateway *g, uint64_t slot,
                             const struct poa_gateway_proof *block, const uint8_t (*seats)[32],
                             size_t seats_n);
void __real_poa_gateway_proved(struct poa_gateway *g, uint64_t token, int code,
                               const struct poa_gateway_answer *a);
void __wrap_poa_gateway_proved(struct poa_gateway *g, uint64_t token, int code,
                               const struct poa_gateway_answer *a);
void __real_poa_gateway_result(struct poa_gateway *g, uint64_t token, int code);
void __wrap_poa_gateway_result(struct poa_gateway *g, uint64_t token, int code);

/* --- from devices to the node --- */

static int submit_ticket(void *ctx, uint64_t token, const struct poa_ticket *ticket)
{
    if (chaos_is("drop"))
        return POA_OK;
    if (chaos_is("double") && node.submit_ticket(ctx, token, ticket))
        return POA_E_AGAIN;
    return node.submit_ticket(ctx, token, ticket);
}

static int submit_seal(void *ctx, uint64_t token, const struct poa_seal *seal)
{
    if (chaos_is("drop"))
        return POA_OK;
    if (chaos_is("double") && node.submit_seal(ctx, token, seal))
        return POA_E_AGAIN;
    return node.submit_seal(ctx, token, seal);
}

static int submit_tx(void *ctx, uint64_t token, struct poa_slice tx)
{
    if (chaos_is("drop"))
        return POA_OK;
    if (chaos_is("double") && node.submit_tx(ctx, token, tx))
        return POA_E_AGAIN;
    return node.submit_tx(ctx, token, tx);
}

int __wrap_poa_gateway_new(const struct poa_gateway_config *config, struct poa_gateway **out,
                           struct poa_why *why)
{
    struct poa_gateway_config c = *config;
    node = c.backend;
    c.backend.submit_ticket = submit_ticket;
    c.backend.submit_seal = submit_seal;
    c.backend.submit_tx = submit_tx;
    return __real_poa_gateway_new(&c, out, why);
}

/* --- from the node to devices --- */

void __wrap_poa_gateway_epoch(struct poa_gateway *g, const struct poa_gateway_epoch *e)
{
    if (chaos_is("withhold"))
        return;
    /* Not dropped: it would keep devices out when the fault is long over. */
    uint8_t bytes[POA_COMMITTEE_BYTES_MAX];
    struct poa_gateway_epoch forged = *e;
    if (chaos_is("committee") && e->committee.n <= sizeof bytes) {
        memcpy(bytes, e->committee.p, e->committee.n);
        bytes[e->committee.n - POA_MEMBER_BYTES] ^= 1; /* the last one's key */
        forged.committee = poa_slice(bytes, e->committee.n);
        e = &forged;
    }
    __real_poa_gateway_epoch(g, e);
    if (chaos_is("double"))
        __real_poa_gateway_epoch(g, e);
}

void __wrap_poa_gateway_slot(struct poa_gateway *g, uint64_t slot,
                             const struct poa_gateway_proof *block, const uint8_t (*seats)[32],
                             size_t seats_n)
{
    /* The newest block of an earlier slot, whole. */
    static struct {
        uint8_t header[POA_HEADER_BYTES], links[POA_GATEWAY_LINKS_MAX * POA_HEADER_BYTES];
        uint8_t cert[POA_CERT_BYTES_MAX];
        struct poa_gateway_proof block;
    } old;
    uint8_t cert[POA_CERT_BYTES_MAX];
    struct poa_gateway_proof forged = *block;
    if (chaos_is("drop") || chaos_is("withhold"))
        return;
    if (chaos_is("cert") && block->cert.n <= sizeof cert) {
        memcpy(cert, block->cert.p, block->cert.n);
        cert[block->cert.n - 1] ^= 1;
        forged.cert = poa_slice(cert, block->cert.n);
    }
    if (chaos_is("stale") && old.block.header.n)
        forged = old.block;
    __real_poa_gateway_slot(g, slot, &forged, seats, seats_n);
    if (!chaos_is("stale") && block->links.n <= sizeof old.links) {
        memcpy(old.header, block->header.p, block->header.n);
        if (block->links.n)
            memcpy(old.links, block->links.p, block->links.n);
        memcpy(old.cert, block->cert.p, block->cert.n);
        old.block = (struct poa_gateway_proof){poa_slice(old.header, block->header.n),
                                               poa_slice(old.links, block->links.n),
                                               poa_slice(old.cert, block->cert.n)};
    }
    if (chaos_is("double"))
        __real_poa_gateway_slot(g, slot, block, seats, seats_n);
}

void __wrap_poa_gateway_result(struct poa_gateway *g, uint64_t token, int code)
{
    if (chaos_is("drop"))
        return;
    __real_poa_gateway_result(g, token, code);
    if (chaos_is("double"))
        __real_poa_gateway_result(g, token, code);
}

/* VALUE, better than it is. */
static struct poa_slice flattered(struct poa_slice value, uint8_t *bytes, size_t cap)
{
    struct poa_writer w = poa_writer_over(bytes, cap);
    struct poa_st_device d;
    struct poa_st_account a;
    if (!poa_st_account_decode(value, &a)) {
        a.balance += 1000000;
        return poa_st_account_encode(&w, &a) ? value : poa_written(&w);
    }
    if (poa_st_device_decode(value, &d))
        return value;
    d.sealed += 1000;
    d.assigned += 1000;
    return poa_st_device_encode(&w, &d) ? value : poa_written(&w);
}

/* The first honest answer, kept whole. */
static struct {
    uint8_t bytes[65536];
    size_t n;
    struct poa_gateway_answer a;
    bool full;
} first;

static struct poa_slice keep(struct poa_slice s)
{
    uint8_t *p = first.bytes + first.n;
    if (first.n + s.n > sizeof first.bytes)
        return poa_slice(p, 0);
    if (s.n)
        memcpy(p, s.p, s.n);
    first.n += s.n;
    return poa_slice(p, s.n);
}

static void keep_first(const struct poa_gateway_answer *a)
{
    if (first.full)
        return;
    first.full = true;
    first.a.value = keep(a->value);
    first.a.proof = keep(a->proof);
    first.a.block.header = keep(a->block.header);
    first.a.block.links = keep(a->block.links);
    first.a.block.cert = keep(a->block.cert);
}

void __wrap_poa_gateway_proved(struct poa_gateway *g, uint64_t token, int code,
                               const struct poa_gateway_answer *a)
{
    uint8_t value[1024], proof[12288];
    struct poa_gateway_answer forged;
    if (!code && chaos_is("honest"))
        keep_first(a);
    if (chaos_is("old") && first.full) {
        __real_poa_gateway_proved(g, token, POA_OK, &first.a);
        return;
    }
    if (code) {
        __real_poa_gateway_proved(g, token, code, a);
        return;
    }
    forged = *a;
    if (chaos_is("entry"))
        forged.value = flattered(a->value, value, sizeof value);
    if (chaos_is("proof") && a->proof.n > 2 && a->proof.n <= sizeof proof) {
        memcpy(proof, a->proof.p, a->proof.n);
        proof[a->proof.n - 1] ^= 1;
        forged.proof = poa_slice(proof, a->proof.n);
    }
    __real_poa_gateway_proved(g, token, code, &forged);
}

/* --- from device to device --- */

int __real_poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec,
                        const void *r, struct poa_writer *out);
int __wrap_poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec,
                        const void *r, struct poa_writer *out);

static void write_down(struct poa_slice bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.heard", getenv("POA_CHAOS_FILE"));
    FILE *f = fopen(path, "ae");
    if (!f)
        return;
    (void)fwrite(bytes.p, 1, bytes.n, f);
    (void)fputc('\n', f);
    fclose(f);
}

int __wrap_poa_edge_put(struct poa_session *s, uint8_t type, const struct poa_record *rec,
                        const void *r, struct poa_writer *out)
{
    struct poa_edge_relay m;
    uint8_t bytes[POA_EDGE_RELAY_MAX];
    if (type != POA_EDGE_RELAYED)
        return __real_poa_edge_put(s, type, rec, r, out);
    memcpy(&m, r, sizeof m);
    if (chaos_is("hear"))
        write_down(m.bytes);
    if (chaos_is("tamper") && m.bytes.n) {
        memcpy(bytes, m.bytes.p, m.bytes.n);
        bytes[m.bytes.n - 1] ^= 1;
        m.bytes = poa_slice(bytes, m.bytes.n);
    }
    if (chaos_is("repeat") && __real_poa_edge_put(s, type, rec, &m, out))
        return POA_E_BUFFER;
    return __real_poa_edge_put(s, type, rec, &m, out);
}
