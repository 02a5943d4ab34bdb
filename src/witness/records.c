/* The record tables of poa_witness.h, and the hashes that name records. */
#include "poa_witness.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(header, k, n, m, s, d)
POA_RECORD_DEFINE(header, POA_HEADER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(member, k, n, m, s, d)
POA_RECORD_DEFINE(member, POA_MEMBER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(committee, k, n, m, s, d)
POA_RECORD_DEFINE(committee, POA_COMMITTEE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(vote, k, n, m, s, d)
POA_RECORD_DEFINE(vote, POA_VOTE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(sig, k, n, m, s, d)
POA_RECORD_DEFINE(sig, POA_SIG_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(cert, k, n, m, s, d)
POA_RECORD_DEFINE(cert, POA_CERT_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(ticket, k, n, m, s, d)
POA_RECORD_DEFINE(ticket, POA_TICKET_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(seal, k, n, m, s, d)
POA_RECORD_DEFINE(seal, POA_SEAL_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(signed_header, k, n, m, s, d)
POA_RECORD_DEFINE(signed_header, POA_SIGNED_HEADER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(evidence, k, n, m, s, d)
POA_RECORD_DEFINE(evidence, POA_EVIDENCE_TABLE)
#undef F

#define F(k, n, m, s, d) POA_FIELD_ROW_(raw_header, k, n, m, s, d)
POA_RECORD_DEFINE(raw_header, POA_RAW_HEADER_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(run, k, n, m, s, d)
POA_RECORD_DEFINE(run, POA_RUN_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(chain_file, k, n, m, s, d)
POA_RECORD_DEFINE(chain_file, POA_CHAIN_FILE_TABLE)
#undef F

void poa_header_hash(const struct poa_header *h, uint8_t out32[32])
{
    uint8_t buffer[POA_HEADER_BYTES];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    int e = poa_header_encode(&w, h);
    /* Fails only on a struct that no decoder produces (kind or leader out of
     * range); such a header is ours, and a bug. */
    POA_ASSERT(e == POA_OK && w.n == sizeof buffer);
    poa_hash(POA_DOMAIN_HEADER, buffer, w.n, out32);
}

void poa_beacon_alpha(const uint8_t chain32[32], uint32_t epoch, uint64_t view,
                      const uint8_t seed32[32], uint8_t out32[32])
{
    uint8_t buffer[32 + 4 + 8 + 32];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    poa_write(&w, chain32, 32);
    poa_write_u32(&w, epoch);
    poa_write_u64(&w, view);
    poa_write(&w, seed32, 32);
    poa_hash(POA_DOMAIN_BEACON, buffer, w.n, out32);
}

void poa_proposal_digest(const uint8_t hash32[32], uint8_t out32[32])
{
    /* The header, and so its hash, already names the chain. */
    poa_hash(POA_DOMAIN_PROPOSAL, hash32, 32, out32);
}

void poa_committee_hash_begin(struct poa_hash_state *s, uint32_t epoch, uint16_t quorum,
                              uint8_t members)
{
    uint8_t head[4 + 2 + 1];
    struct poa_writer w = poa_writer_over(head, sizeof head);
    poa_write_u32(&w, epoch);
    poa_write_u16(&w, quorum);
    poa_write_u8(&w, members);
    poa_hash_init(s, POA_DOMAIN_COMMITTEE);
    poa_hash_update(s, head, w.n);
}

void poa_committee_hash(const struct poa_committee *c, uint8_t out32[32])
{
    struct poa_hash_state s;
    poa_committee_hash_begin(&s, c->epoch, c->quorum, (uint8_t)c->members.count);
    poa_hash_update(&s, c->members.bytes.p, c->members.bytes.n);
    poa_hash_final(&s, out32);
}

void poa_vote_digest(const uint8_t chain32[32], uint8_t kind, uint32_t epoch, uint64_t view,
                     const uint8_t hash32[32], uint8_t out32[32])
{
    uint8_t buffer[32 + 1 + 4 + 8 + 32];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    poa_write(&w, chain32, 32);
    poa_write_u8(&w, kind);
    poa_write_u32(&w, epoch);
    poa_write_u64(&w, view);
    poa_write(&w, hash32, 32);
    poa_hash(POA_DOMAIN_VOTE, buffer, w.n, out32);
}

void poa_ticket_alpha(const uint8_t chain32[32], const uint8_t seed32[32], uint32_t epoch,
                      uint32_t window, uint8_t out32[32])
{
    uint8_t buffer[32 + 32 + 4 + 4];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    poa_write(&w, chain32, 32);
    poa_write(&w, seed32, 32);
    poa_write_u32(&w, epoch);
    poa_write_u32(&w, window);
    poa_hash(POA_DOMAIN_TICKET, buffer, w.n, out32);
}

void poa_seal_digest(const uint8_t chain32[32], const struct poa_seal *s, uint8_t out32[32])
{
    uint8_t buffer[32 + 32 + 4 + 8 + 8 + 32];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    poa_write(&w, chain32, 32);
    poa_write(&w, s->device, 32);
    poa_write_u32(&w, s->epoch);
    poa_write_u64(&w, s->slot);
    poa_write_u64(&w, s->height);
    poa_write(&w, s->hash, 32);
    poa_hash(POA_DOMAIN_SEAL, buffer, w.n, out32);
}
