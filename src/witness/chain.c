/* A chain of headers, from genesis on: what a certificate proves, and what the
 * committees that sign them are.
 *
 * The committee of epoch 0 follows from genesis. Each closing header names the
 * next one by its hash, and is final by the committee known so far: so every
 * committee follows from the one before, and no two of them are compared
 * instead (overlaps of committees prove nothing). */
#include <string.h>

#include "poa_witness.h"

static const uint8_t zero32[32];

static int refuse(struct poa_chain_check *c, uint64_t height, int error, const char *wrong)
{
    c->wrong_height = height;
    c->wrong = wrong;
    return error;
}

static int take_committee(struct poa_chain_check *c, const struct poa_committee *committee)
{
    int e = poa_committee_check(committee);
    if (e)
        return e;
    c->committee = *committee;
    memcpy(c->members, committee->members.bytes.p, committee->members.bytes.n);
    c->committee.members.bytes.p = c->members;
    return POA_OK;
}

int poa_chain_begin(struct poa_chain_check *c, const struct poa_suite *suite,
                    const uint8_t chain32[32], uint64_t epoch_views, uint64_t time_ms,
                    const struct poa_committee *committee)
{
    memset(c, 0, sizeof *c);
    c->suite = suite;
    memcpy(c->chain, chain32, 32);
    memcpy(c->hash, chain32, 32);
    c->epoch_views = epoch_views;
    c->epoch = committee->epoch;
    c->time_ms = time_ms;
    return take_committee(c, committee);
}

/* What a header must be whatever came before it. */
static int check_alone(struct poa_chain_check *c, const struct poa_header *h, uint64_t closing)
{
    bool after = h->view > c->epoch_views;
    if (h->version != 1)
        return refuse(c, h->height, POA_E_BLOCK_INVALID, "the header has an unknown version");
    if (memcmp(h->chain, c->chain, 32))
        return refuse(c, h->height, POA_E_CHAIN, "the header belongs to another chain");
    if (h->epoch != c->epoch)
        return refuse(c, h->height, POA_E_EPOCH,
                      "the header is not of the epoch whose committee is known here");
    if (h->leader >= c->committee.members.count)
        return refuse(c, h->height, POA_E_NOT_MEMBER, "its leader is no member of the committee");
    if (!h->view || (h->kind == POA_BLOCK_NORMAL) == after)
        return refuse(c, h->height, POA_E_BLOCK_INVALID, "its kind does not fit its view");
    if (h->closing_height != closing)
        return refuse(c, h->height, POA_E_BLOCK_INVALID, "it names a wrong closing height");
    if ((h->kind == POA_BLOCK_CLOSING) != (memcmp(h->next_committee, zero32, 32) != 0))
        return refuse(c, h->height, POA_E_BLOCK_INVALID,
                      "it names a next committee although it closes no epoch, or none although it "
                      "does");
    return POA_OK;
}

/* H stands on what was verified last. */
static int check_link(struct poa_chain_check *c, const struct poa_header *h)
{
    if (h->height > c->height + 1)
        return refuse(c, c->height + 1, POA_E_BLOCK_PARENT, "headers are missing from here on");
    if (h->height <= c->height)
        return refuse(c, h->height, POA_E_BLOCK_PARENT, "the header comes out of order");
    if (memcmp(h->parent, c->hash, 32))
        return refuse(c, h->height, POA_E_BLOCK_PARENT, "its parent is another block");
    if (h->parent_view != c->view || h->view <= c->view)
        return refuse(c, h->height, POA_E_BLOCK_INVALID, "its views do not follow its parent's");
    if (h->time_ms <= c->time_ms)
        return refuse(c, h->height, POA_E_BLOCK_INVALID, "its time is not after its parent's");
    return POA_OK;
}

static void move(struct poa_chain_check *c, const struct poa_header *h)
{
    c->height = h->height;
    c->time_ms = h->time_ms;
    c->view = h->view;
    poa_header_hash(h, c->hash);
    c->headers++;
}

/* CERT finalizes the header that C stands on, a filler perhaps: poa_final_check
 * takes none for final. */
static int check_cert(struct poa_chain_check *c, struct poa_slice bytes)
{
    struct poa_cert cert;
    int e = poa_cert_decode(bytes, &cert);
    if (e)
        return refuse(c, c->height, e, "its certificate is damaged");
    if (cert.kind != POA_VOTE_FINALIZE || cert.view != c->view || memcmp(cert.hash, c->hash, 32))
        return refuse(c, c->height, POA_E_BLOCK_INVALID,
                      "its certificate does not finalize this header");
    e = poa_cert_check(c->suite, c->chain, &c->committee, &cert);
    if (e == POA_E_QUORUM)
        return refuse(c, c->height, e, "its certificate has too few signatures");
    if (e == POA_E_EPOCH)
        return refuse(c, c->height, e, "its certificate is of another epoch");
    if (e)
        return refuse(c, c->height, e,
                      "its certificate holds a signature that no member of the committee gave");
    c->certificates++;
    return POA_OK;
}

/* The epoch ends at CLOSING, which is final: its successor's committee. */
static int hand_over(struct poa_chain_check *c, const struct poa_header *closing,
                     struct poa_slice next)
{
    struct poa_committee committee;
    uint8_t hash[32];
    int e = poa_committee_decode(next, &committee);
    if (e)
        return refuse(c, closing->height, e, "the next committee is missing or damaged");
    poa_committee_hash(&committee, hash);
    if (memcmp(hash, closing->next_committee, 32))
        return refuse(c, closing->height, POA_E_BLOCK_INVALID,
                      "the next committee is not the one that the closing header names");
    if (committee.epoch != c->epoch + 1)
        return refuse(c, closing->height, POA_E_EPOCH, "the next committee is of another epoch");
    e = take_committee(c, &committee);
    if (e)
        return refuse(c, closing->height, e, "the next committee breaks the rules of committees");
    c->epoch++;
    c->hand_overs++;
    /* The next epoch stands on the closing header itself; its views begin anew. */
    c->height = closing->height;
    c->time_ms = closing->time_ms;
    poa_header_hash(closing, c->hash);
    c->view = 0;
    return POA_OK;
}

int poa_chain_run(struct poa_chain_check *c, const struct poa_run *run, bool gap)
{
    struct poa_list_iter it = poa_list_begin(&run->headers);
    struct poa_raw_header raw;
    struct poa_header h, closing;
    uint64_t closed = 0;
    c->wrong = NULL;
    if (!run->headers.count)
        return refuse(c, c->height + 1, POA_E_BLOCK_INVALID, "a run without headers");
    for (bool first = true; poa_raw_header_next(&it, &raw); first = false) {
        int e = poa_header_decode(raw.header, &h);
        if (e)
            return refuse(c, c->height + 1, e, "the header is damaged");
        if (closed ? h.kind != POA_BLOCK_FILLER : h.kind == POA_BLOCK_FILLER)
            return refuse(c, h.height, POA_E_BLOCK_INVALID,
                          "between an epoch's closing header and its certificate stand fillers, "
                          "and nowhere else");
        e = check_alone(c, &h, h.kind == POA_BLOCK_FILLER ? closed : 0);
        if (!e && gap && first && h.height > c->height + 1) {
            if (h.time_ms <= c->time_ms || h.view <= c->view)
                e = refuse(c, h.height, POA_E_BLOCK_INVALID, "it is older than what came before");
        } else if (!e) {
            e = check_link(c, &h);
        }
        if (e)
            return e;
        move(c, &h);
        if (h.kind == POA_BLOCK_CLOSING) {
            closing = h;
            closed = h.height;
        }
    }
    int e = check_cert(c, run->cert);
    if (e)
        return e;
    if (closed)
        return hand_over(c, &closing, run->next);
    return run->next.n ? refuse(c, c->height, POA_E_BLOCK_INVALID,
                                "a next committee without a closing header")
                       : POA_OK;
}
