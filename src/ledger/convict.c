/* Convictions: who signed what contradicts itself or the quorum is suspended, on
 * evidence that carries the signatures; nobody else ever is. */
#include "ledger.h"

/* The epoch that the first object of E names. */
static int evidence_epoch(const struct poa_evidence *e, uint32_t *epoch)
{
    struct poa_vote vote = {.epoch = 0};
    struct poa_signed_header signed_header;
    struct poa_header header = {.epoch = 0};
    struct poa_batch batch = {.epoch = 0};
    int rc = POA_OK;
    switch ((enum poa_evidence_kind)e->kind) {
    case POA_EVIDENCE_VOTES:
        rc = poa_vote_decode(e->first, &vote);
        break;
    case POA_EVIDENCE_HEADERS:
        rc = poa_signed_header_decode(e->first, &signed_header);
        if (!rc)
            rc = poa_header_decode(signed_header.header, &header);
        break;
    case POA_EVIDENCE_BATCH:
        rc = poa_batch_decode(e->first, &batch);
        break;
    case POA_EVIDENCE_SEALS:
    case POA_EVIDENCE_FORK:
        break;
    }
    *epoch = vote.epoch + header.epoch + batch.epoch; /* only one is not 0 */
    return rc;
}

static int check_batch_evidence(const struct poa_ledger *l, const struct poa_committee *c,
                                const struct poa_evidence *e)
{
    struct poa_batch batch;
    uint8_t digest[32];
    if (e->second.n)
        return POA_E_NOT_CANONICAL;
    int rc = poa_batch_check(l->config.suite, l->chain, c, e->first,
                             l->config.tx_check ? l->config.tx_check : poa_tx_check, &batch, digest,
                             NULL, NULL);
    if (rc == POA_OK)
        return POA_E_PROOF;
    if (rc != POA_E_BATCH_INVALID)
        return rc;
    return poa_committee_find(c, e->author) == (int)batch.author ? POA_OK : POA_E_NOT_MEMBER;
}

/* A seal that contradicts the quorum. The block that sealed the seal's slot is
 * final, and has the seal's height: an honest device, which seals final blocks,
 * cannot have met another one. A seal of another height proves nothing: a
 * gateway may have shown a later block of the same slot. */
static int check_fork(const struct poa_ledger *l, const struct overlay *o,
                      const struct poa_evidence *e)
{
    struct poa_seal s;
    struct poa_st_slot slot;
    uint8_t key[8];
    int rc = e->second.n ? POA_E_NOT_CANONICAL : poa_seal_decode(e->first, &s);
    if (rc)
        return rc;
    poa_put_le64(key, s.slot);
    if (memcmp(s.device, e->author, 32))
        return POA_E_NOT_MEMBER;
    if (poa_state_read(l, o, POA_STATE_SLOT, key, sizeof key, &slot) || !slot.height)
        return POA_E_SLOT_UNKNOWN;
    if (s.height != slot.height || !memcmp(s.hash, slot.hash, 32))
        return POA_E_PROOF;
    return poa_seal_check(l->config.suite, l->chain, &s);
}

static int judge_device(const struct poa_ledger *l, const struct overlay *o,
                        const struct poa_evidence *e)
{
    struct poa_st_device device;
    struct poa_seal a, b;
    if (poa_state_read(l, o, POA_STATE_DEVICE, e->author, 32, &device))
        return POA_E_DEVICE_UNKNOWN;
    if (device.status)
        return POA_E_EXISTS;
    bool fork = e->kind == POA_EVIDENCE_FORK;
    int rc = poa_seal_decode(e->first, &a);
    if (!rc && !fork)
        rc = poa_seal_decode(e->second, &b);
    if (rc)
        return rc;
    if (device.pardoned && a.height <= device.pardoned && (fork || b.height <= device.pardoned))
        return POA_E_EXISTS; /* that is over */
    if (fork)
        return check_fork(l, o, e);
    return poa_evidence_check(l->config.suite, l->chain, NULL, e);
}

int poa_evidence_judge(const struct poa_ledger *l, const struct overlay *o,
                       const struct poa_evidence *e)
{
    struct poa_committee c;
    uint32_t epoch = 0;
    if (e->kind == POA_EVIDENCE_SEALS || e->kind == POA_EVIDENCE_FORK)
        return judge_device(l, o, e);
    struct poa_st_witness witness;
    if (poa_state_read(l, o, POA_STATE_WITNESS, e->author, 32, &witness))
        return POA_E_NOT_MEMBER;
    if (witness.status)
        return POA_E_EXISTS;
    int rc = evidence_epoch(e, &epoch);
    if (rc)
        return rc;
    if (epoch < witness.pardoned)
        return POA_E_EXISTS; /* that is over */
    if (poa_state_read_u32(l, o, POA_STATE_COMMITTEE, epoch, &c))
        return POA_E_EPOCH;
    if (e->kind == POA_EVIDENCE_BATCH)
        return check_batch_evidence(l, &c, e);
    return poa_evidence_check(l->config.suite, l->chain, &c, e);
}

void poa_mining_evidence(struct exec *x, const struct poa_evidence *e)
{
    /* A witness serves until its epoch ends: the draw skips it from then on.
     * Two copies in one block convict once. */
    if (e->kind == POA_EVIDENCE_SEALS || e->kind == POA_EVIDENCE_FORK) {
        struct poa_st_device device;
        if (!poa_exec_read(x, POA_STATE_DEVICE, e->author, 32, &device)) {
            device.status = 1;
            device.convicted = x->header->height;
            poa_exec_put(x, POA_STATE_DEVICE, e->author, 32, &device);
        }
    } else {
        struct poa_st_witness witness;
        if (!poa_exec_read(x, POA_STATE_WITNESS, e->author, 32, &witness)) {
            witness.status = 1;
            witness.convicted = x->header->height;
            witness.until = x->header->epoch;
            poa_exec_put(x, POA_STATE_WITNESS, e->author, 32, &witness);
        }
    }
}

/* --- re-admission ------------------------------------------------------------- */

int poa_readmit_judge(const struct poa_ledger *l, const struct overlay *o, const uint8_t key32[32])
{
    struct poa_st_device device;
    struct poa_st_witness witness;
    if (!poa_state_read(l, o, POA_STATE_DEVICE, key32, 32, &device))
        return device.status == 1 ? POA_OK : POA_E_TX_EXISTS;
    if (!poa_state_read(l, o, POA_STATE_WITNESS, key32, 32, &witness))
        return witness.status == 1 ? POA_OK : POA_E_TX_EXISTS;
    return POA_E_NOT_FOUND;
}

void poa_readmit(struct exec *x, const uint8_t key32[32])
{
    struct poa_st_device device;
    struct poa_st_witness witness;
    if (!poa_exec_read(x, POA_STATE_DEVICE, key32, 32, &device)) {
        device.status = 0;
        device.pardoned = x->header->height;
        poa_exec_put(x, POA_STATE_DEVICE, key32, 32, &device);
    } else if (!poa_exec_read(x, POA_STATE_WITNESS, key32, 32, &witness)) {
        /* In the pool again from the next draw on. */
        witness.status = 0;
        witness.until = 0;
        witness.pardoned = x->header->epoch + 1;
        poa_exec_put(x, POA_STATE_WITNESS, key32, 32, &witness);
    }
}
