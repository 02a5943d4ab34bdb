/* Judging signed records. Every signature of a certificate is checked, and
 * each by the one rule of the suite: nodes and devices must agree on all. */
#include <string.h>

#include "poa_witness.h"

static const uint8_t zero32[32];

/* An encoded member starts with its key. */
static const uint8_t *member_key(const struct poa_committee *c, uint32_t i)
{
    return c->members.bytes.p + (size_t)i * POA_MEMBER_BYTES;
}

int poa_committee_check(const struct poa_committee *c)
{
    uint32_t n = c->members.count;
    if (!n || n > POA_COMMITTEE_MAX || c->members.bytes.n != (size_t)n * POA_MEMBER_BYTES)
        return POA_E_RANGE;
    if (c->quorum > n || c->quorum < n - poa_committee_faults(n))
        return POA_E_RANGE;
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!memcmp(member_key(c, i), member_key(c, k), 32))
                return POA_E_DUPLICATE;
    return POA_OK;
}

int poa_committee_find(const struct poa_committee *c, const uint8_t key32[32])
{
    for (uint32_t i = 0; i < c->members.count; i++)
        if (!memcmp(member_key(c, i), key32, 32))
            return (int)i;
    return POA_E_NOT_MEMBER;
}

bool poa_committee_independent(const struct poa_committee *c, const uint8_t device32[32],
                               uint32_t maker)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < c->members.count; i++)
        left += memcmp(member_key(c, i), device32, 32) && poa_le32(member_key(c, i) + 32) != maker;
    return left >= c->quorum;
}

int poa_committee_key(const struct poa_committee *c, uint32_t index, uint8_t key32[32])
{
    if (index >= c->members.count)
        return POA_E_NOT_MEMBER;
    memcpy(key32, member_key(c, index), 32);
    return POA_OK;
}

/* What votes and certificates have in common. */
static int check_subject(const struct poa_committee *c, uint8_t kind, uint32_t epoch,
                         const uint8_t hash[32])
{
    if (epoch != c->epoch)
        return POA_E_EPOCH;
    if (kind > POA_VOTE_FINALIZE)
        return POA_E_RANGE;
    if (kind == POA_VOTE_NULLIFY && memcmp(hash, zero32, 32))
        return POA_E_NOT_CANONICAL;
    return POA_OK;
}

int poa_vote_check(const struct poa_suite *suite, const uint8_t chain32[32],
                   const struct poa_committee *c, const struct poa_vote *v)
{
    uint8_t digest[32];
    int e = check_subject(c, v->kind, v->epoch, v->hash);
    if (e)
        return e;
    if (v->voter >= c->members.count)
        return POA_E_NOT_MEMBER;
    poa_vote_digest(chain32, v->kind, v->epoch, v->view, v->hash, digest);
    return suite->verify(member_key(c, v->voter), digest, sizeof digest, v->sig);
}

int poa_cert_check(const struct poa_suite *suite, const uint8_t chain32[32],
                   const struct poa_committee *c, const struct poa_cert *cert)
{
    uint8_t digest[32];
    uint32_t signers = 0;
    int e = check_subject(c, cert->kind, cert->epoch, cert->hash);
    if (e)
        return e;
    for (uint32_t i = 0; i < POA_COMMITTEE_MAX; i++) {
        if (!(cert->signers[i / 8] >> i % 8 & 1))
            continue;
        if (i >= c->members.count)
            return POA_E_NOT_MEMBER;
        signers++;
    }
    if (signers != cert->sigs.count || cert->sigs.bytes.n != (size_t)signers * POA_SIG_BYTES)
        return POA_E_NOT_CANONICAL;
    if (signers < c->quorum)
        return POA_E_QUORUM;
    poa_vote_digest(chain32, cert->kind, cert->epoch, cert->view, cert->hash, digest);
    const uint8_t *sig = cert->sigs.bytes.p;
    for (uint32_t i = 0; i < c->members.count; i++) {
        if (!(cert->signers[i / 8] >> i % 8 & 1))
            continue;
        e = suite->verify(member_key(c, i), digest, sizeof digest, sig);
        if (e)
            return e;
        sig += POA_SIG_BYTES;
    }
    return POA_OK;
}

int poa_final_check(const struct poa_suite *suite, const uint8_t chain32[32],
                    const struct poa_committee *c, const struct poa_header *header,
                    const struct poa_cert *cert)
{
    uint8_t hash[32];
    if (cert->kind != POA_VOTE_FINALIZE)
        return POA_E_QUORUM;
    if (memcmp(header->chain, chain32, 32))
        return POA_E_CHAIN;
    if (header->epoch != cert->epoch)
        return POA_E_EPOCH;
    if (header->kind > POA_BLOCK_CLOSING || header->view != cert->view)
        return POA_E_BLOCK_INVALID;
    poa_header_hash(header, hash);
    if (memcmp(hash, cert->hash, 32))
        return POA_E_BLOCK_INVALID;
    return poa_cert_check(suite, chain32, c, cert);
}

int poa_ticket_check(const struct poa_suite *suite, const uint8_t chain32[32],
                     const uint8_t seed32[32], const struct poa_ticket *t, uint8_t beta64[64])
{
    uint8_t alpha[32];
    poa_ticket_alpha(chain32, seed32, t->epoch, t->window, alpha);
    return suite->vrf_verify(t->device, alpha, sizeof alpha, t->proof, beta64) ? POA_E_PROOF
                                                                               : POA_OK;
}

int poa_seal_check(const struct poa_suite *suite, const uint8_t chain32[32],
                   const struct poa_seal *s)
{
    uint8_t digest[32];
    poa_seal_digest(chain32, s, digest);
    return suite->verify(s->device, digest, sizeof digest, s->sig);
}

/* --- evidence ---------------------------------------------------------------- */

static int evidence_votes(const struct poa_suite *suite, const uint8_t chain32[32],
                          const struct poa_committee *c, const struct poa_evidence *e)
{
    struct poa_vote a, b;
    int rc = poa_vote_decode(e->first, &a);
    if (!rc)
        rc = poa_vote_decode(e->second, &b);
    if (rc)
        return rc;
    if (a.epoch != b.epoch || a.view != b.view || a.voter != b.voter)
        return POA_E_PROOF;
    if (a.kind == b.kind) {
        if (a.kind == POA_VOTE_NULLIFY || !memcmp(a.hash, b.hash, 32))
            return POA_E_PROOF;
    } else if (a.kind == POA_VOTE_NOTARIZE || b.kind == POA_VOTE_NOTARIZE) {
        return POA_E_PROOF; /* to notarize and then nullify or finalize is the protocol */
    }
    if (poa_committee_find(c, e->author) != (int)a.voter)
        return POA_E_NOT_MEMBER;
    rc = poa_vote_check(suite, chain32, c, &a);
    return rc ? rc : poa_vote_check(suite, chain32, c, &b);
}

static int take_signed_header(const struct poa_suite *suite, const uint8_t chain32[32],
                              const struct poa_committee *c, const uint8_t author[32],
                              struct poa_slice in, struct poa_header *h, uint8_t hash[32])
{
    struct poa_signed_header s;
    uint8_t digest[32];
    int rc = poa_signed_header_decode(in, &s);
    if (!rc)
        rc = poa_header_decode(s.header, h);
    if (rc)
        return rc;
    if (memcmp(h->chain, chain32, 32))
        return POA_E_CHAIN;
    if (h->epoch != c->epoch)
        return POA_E_EPOCH;
    if (poa_committee_find(c, author) != (int)h->leader)
        return POA_E_NOT_MEMBER;
    poa_hash(POA_DOMAIN_HEADER, s.header.p, s.header.n, hash);
    poa_proposal_digest(hash, digest);
    return suite->verify(author, digest, sizeof digest, s.sig);
}

static int evidence_headers(const struct poa_suite *suite, const uint8_t chain32[32],
                            const struct poa_committee *c, const struct poa_evidence *e)
{
    struct poa_header a, b;
    uint8_t ha[32], hb[32];
    int rc = take_signed_header(suite, chain32, c, e->author, e->first, &a, ha);
    if (!rc)
        rc = take_signed_header(suite, chain32, c, e->author, e->second, &b, hb);
    if (rc)
        return rc;
    return a.view == b.view && memcmp(ha, hb, 32) ? POA_OK : POA_E_PROOF;
}

static int evidence_seals(const struct poa_suite *suite, const uint8_t chain32[32],
                          const struct poa_evidence *e)
{
    struct poa_seal a, b;
    int rc = poa_seal_decode(e->first, &a);
    if (!rc)
        rc = poa_seal_decode(e->second, &b);
    if (rc)
        return rc;
    if (a.slot != b.slot || !memcmp(a.hash, b.hash, 32))
        return POA_E_PROOF;
    if (memcmp(a.device, e->author, 32) || memcmp(b.device, e->author, 32))
        return POA_E_NOT_MEMBER;
    rc = poa_seal_check(suite, chain32, &a);
    return rc ? rc : poa_seal_check(suite, chain32, &b);
}

int poa_evidence_check(const struct poa_suite *suite, const uint8_t chain32[32],
                       const struct poa_committee *c, const struct poa_evidence *e)
{
    switch (e->kind) {
    case POA_EVIDENCE_VOTES:
        return evidence_votes(suite, chain32, c, e);
    case POA_EVIDENCE_HEADERS:
        return evidence_headers(suite, chain32, c, e);
    case POA_EVIDENCE_SEALS:
        return evidence_seals(suite, chain32, e);
    default:
        return POA_E_UNSUPPORTED;
    }
}
