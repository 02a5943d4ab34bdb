/* Recovery: when so many members lost their logs that nothing can be certified,
 * the operators agree to skip the view in work and the one after it, and the
 * members without a log vote again after those.
 *
 * A statement (recover) of a member that kept its log is a promise: it finalized
 * neither view and never will. It is made in the view in work only, so that
 * everything it said before is of that view, w, or earlier. When n-q+1 have said
 * so, no certificate of w+1 can have existed: of any q members one of them would
 * have had to vote in w+1. So nobody, whatever it forgot, was ever in w+2: from
 * there on a member without a log may vote. And neither w nor w+1 can be final,
 * so its own statement for both, which completes the quorum, is true.
 *
 * That holds for statements made after the losses: the operators' token, which is
 * drawn after them, tells those from older ones. It assumes that those n-q+1 are
 * honest: f liars on top of so many losses are more than any rule survives.
 *
 * Source: docs/consensus.md, Lost logs. */
#include "core.h"

static struct recovered *find(struct poa_core *c, uint64_t view)
{
    for (uint32_t i = 0; i < RECOVERIES; i++)
        if (c->recovered[i].bytes && c->recovered[i].view == view)
            return &c->recovered[i];
    return NULL;
}

bool core_recovered(const struct poa_core *c, uint64_t view)
{
    for (uint32_t i = 0; i < RECOVERIES; i++)
        if (c->recovered[i].bytes &&
            (c->recovered[i].view == view || c->recovered[i].view + 1 == view))
            return true;
    return false;
}

static void digest_of(const struct poa_core *c, uint32_t epoch, uint64_t view,
                      const uint8_t token[32], uint8_t out[32])
{
    uint8_t buffer[32 + 4 + 8 + 32];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    poa_write(&w, c->chain, 32);
    poa_write_u32(&w, epoch);
    poa_write_u64(&w, view);
    poa_write(&w, token, 32);
    poa_hash(POA_DOMAIN_RECOVER, buffer, w.n, out);
}

void core_recovery_reset(struct poa_core *c)
{
    for (uint32_t i = 0; i < RECOVERIES; i++) {
        core_give_later(c, c->recovered[i].bytes);
        c->recovered[i].bytes = NULL;
    }
    memset(&c->recovery, 0, sizeof c->recovery);
    c->vote_from = 0;
}

/* What is behind the tip clears nothing any more; and a recovery is over when
 * something became final after it. */
void core_recovery_prune(struct poa_core *c)
{
    for (uint32_t i = 0; i < RECOVERIES; i++)
        if (c->recovered[i].bytes && c->recovered[i].view + 1 < c->tip_view) {
            core_give_later(c, c->recovered[i].bytes);
            c->recovered[i].bytes = NULL;
            c->recovery.on = false;
        }
    if (c->recovery.own.view && c->recovery.own.view + 1 < c->tip_view)
        c->recovery.on = false;
}

/* --- statements ------------------------------------------------------------------ */

static bool promise(struct poa_core *c, uint64_t view, uint64_t seq)
{
    for (uint64_t v = view; v <= view + 1; v++) {
        struct slot *s = core_slot_open(c, v);
        if (!s || s->finaled)
            return false;
    }
    for (uint64_t v = view; v <= view + 1; v++) {
        struct slot *s = core_slot_get(c, v);
        s->skipped = true;
        if (!s->seq)
            s->seq = seq;
    }
    return true;
}

static void say(struct poa_core *c, const struct poa_recover *r, uint64_t wait)
{
    struct poa_slice bytes = core_encode(c, &poa_recover_record, r);
    if (bytes.n)
        core_send_all(c, POA_MSG_RECOVER, bytes, true, wait);
}

static void state(struct poa_core *c, uint64_t view, bool lost)
{
    struct poa_recover *own = &c->recovery.own;
    uint8_t digest[32], buffer[256];
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    if (!promise(c, view, c->seq + 1))
        return;
    *own = (struct poa_recover){.epoch = c->epoch, .view = view, .voter = (uint16_t)c->self};
    memcpy(own->token, c->recovery.token, 32);
    digest_of(c, c->epoch, view, own->token, digest);
    c->suite->sign(c->seed, c->key, digest, sizeof digest, own->sig);
    POA_ASSERT(poa_recover_encode(&w, own) == POA_OK);
    c->recovery.own_seq = core_persist(c, POA_WAL_RECOVER, poa_written(&w));
    if (lost) {
        if (c->vote_from < view + 2 && c->mutant != POA_MUTANT_RECOVER_SOON)
            c->vote_from = view + 2;
        c->abstain = c->amnesia = false;
        core_epoch_log(c);
        c->recovery.own_seq = c->epoch_seq;
    }
    say(c, own, c->recovery.own_seq);
}

/* How many said that they skip VIEW. */
static uint32_t count(const struct poa_core *c, uint64_t view)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        n += c->recovery.said[i].view == view;
    return n;
}

void core_recovery_try(struct poa_core *c)
{
    bool lost = c->abstain || c->view < c->vote_from;
    if (!c->recovery.on || c->self < 0 || c->restoring || c->halted ||
        c->recovery.own.view >= c->view)
        return;
    /* Who kept its log speaks first, and in a standstill only; who did not needs
     * enough of those to know that nothing it forgot matters. */
    if (lost && c->mutant != POA_MUTANT_RECOVER_ALONE ? count(c, c->view) > (uint32_t)(c->n - c->q)
                                                      : c->skip_fired)
        state(c, c->view, lost);
}

int core_recovery_begin(struct poa_core *c, uint64_t epoch, struct poa_slice token)
{
    if (token.n != 32)
        return POA_E_INVALID;
    if (epoch != c->epoch)
        return POA_E_EPOCH;
    if (c->self < 0)
        return POA_E_NOT_MEMBER;
    bool same = hash_eq(c->recovery.own.token, token.p);
    uint64_t own_view = same ? c->recovery.own.view : 0;
    memcpy(c->recovery.token, token.p, 32);
    memset(c->recovery.said, 0, sizeof c->recovery.said);
    c->recovery.on = true;
    c->recovery.own.view = own_view;
    if (own_view)
        say(c, &c->recovery.own, c->recovery.own_seq);
    core_recovery_try(c);
    return POA_OK;
}

/* --- certificates ------------------------------------------------------------------- */

static int install(struct poa_core *c, const struct poa_recovered *r, struct poa_slice bytes,
                   uint64_t seq)
{
    struct slot *s = core_slot_open(c, r->view);
    struct recovered *at = NULL;
    if (!s)
        return POA_E_VIEW;
    if (find(c, r->view))
        return POA_E_DUPLICATE;
    for (uint32_t i = 0; i < RECOVERIES && !at; i++)
        if (!c->recovered[i].bytes)
            at = &c->recovered[i];
    uint8_t *copy = at ? core_arena_take(&c->arena, bytes.n) : NULL;
    if (!copy)
        return POA_E_FULL;
    memcpy(copy, bytes.p, bytes.n);
    if (!c->restoring && c->self >= 0)
        seq = core_persist(c, POA_WAL_RECOVERED, poa_slice(copy, bytes.n));
    if (!s->seq)
        s->seq = seq;
    *at = (struct recovered){.view = r->view, .bytes = copy, .n = (uint32_t)bytes.n};
    return POA_OK;
}

static void make(struct poa_core *c, uint64_t view)
{
    struct poa_recovered r = {.epoch = c->epoch, .view = view};
    uint8_t *sigs = core_out_take(c, (size_t)64 * c->n);
    if (!sigs || find(c, view))
        return;
    memcpy(r.token, c->recovery.token, 32);
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->recovery.said[i].view != view)
            continue;
        bit_set(r.signers, i);
        memcpy(sigs + (size_t)64 * r.sigs.count++, c->recovery.said[i].sig, 64);
    }
    r.sigs.bytes = poa_slice(sigs, (size_t)64 * r.sigs.count);
    struct poa_slice bytes = core_encode(c, &poa_recovered_record, &r);
    if (bytes.n && !install(c, &r, bytes, 0))
        core_send_all(c, POA_MSG_RECOVERED, bytes, false, 0);
}

static int verify(const struct poa_core *c, const struct poa_recovered *r)
{
    struct poa_list_iter it = poa_list_begin(&r->sigs);
    struct poa_sig sig;
    uint8_t digest[32];
    if (r->sigs.count < c->q || bit_count(r->signers) != r->sigs.count)
        return POA_E_QUORUM;
    digest_of(c, r->epoch, r->view, r->token, digest);
    for (uint32_t i = 0; i < POA_COMMITTEE_MAX; i++) {
        if (!bit_get(r->signers, i))
            continue;
        if (i >= c->n || !poa_sig_next(&it, &sig))
            return POA_E_NOT_MEMBER;
        int e = c->suite->verify(c->keys[i], digest, sizeof digest, sig.sig);
        if (e)
            return e;
    }
    return POA_OK;
}

/* The statements in it count as those that came by themselves: who is told of the certificate
 * before it heard enough of them would be left out until the next epoch. */
static void hear(struct poa_core *c, const struct poa_recovered *r)
{
    struct poa_list_iter it = poa_list_begin(&r->sigs);
    struct poa_sig sig;
    if (!c->recovery.on || !hash_eq(r->token, c->recovery.token))
        return;
    for (uint32_t i = 0; i < c->n; i++) {
        if (!bit_get(r->signers, i) || !poa_sig_next(&it, &sig) ||
            r->view <= c->recovery.said[i].view)
            continue;
        c->recovery.said[i].view = r->view;
        memcpy(c->recovery.said[i].sig, sig.sig, 64);
    }
    core_recovery_try(c);
}

/* --- messages, the log ----------------------------------------------------------------- */

static int place(struct poa_core *c, uint32_t epoch, uint64_t view, uint16_t peer)
{
    if (epoch < c->epoch) {
        core_help(c, peer);
        return POA_E_EPOCH;
    }
    if (epoch > c->epoch) {
        if (peer < c->n)
            core_behind(c, c->height + 1);
        return POA_E_EPOCH;
    }
    return view <= c->tip_view || view > c->view + AHEAD ? POA_E_VIEW : POA_OK;
}

int core_on_recover(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_recover r;
    uint8_t digest[32];
    int e = poa_recover_decode(bytes, &r);
    if (!e)
        e = place(c, r.epoch, r.view, peer);
    if (e)
        return e;
    if (r.voter >= c->n || r.voter != peer)
        return POA_E_NOT_MEMBER;
    if (!c->recovery.on || !hash_eq(r.token, c->recovery.token))
        return POA_OK; /* of other operators, or of an older recovery */
    if (r.view <= c->recovery.said[r.voter].view)
        return POA_E_DUPLICATE;
    digest_of(c, r.epoch, r.view, r.token, digest);
    e = c->suite->verify(c->keys[r.voter], digest, sizeof digest, r.sig);
    if (e)
        return e;
    c->recovery.said[r.voter].view = r.view;
    memcpy(c->recovery.said[r.voter].sig, r.sig, 64);
    core_recovery_try(c);
    if (count(c, r.view) >= c->q)
        make(c, r.view);
    core_progress(c);
    return POA_OK;
}

int core_on_recovered(struct poa_core *c, struct poa_slice bytes, uint16_t peer)
{
    struct poa_recovered r;
    int e = poa_recovered_decode(bytes, &r);
    if (!e)
        e = place(c, r.epoch, r.view, peer);
    if (!e && find(c, r.view))
        e = POA_E_DUPLICATE;
    if (!e)
        e = verify(c, &r);
    if (!e) {
        hear(c, &r);
        e = install(c, &r, bytes, 0);
    }
    if (!e)
        core_progress(c);
    return e;
}

int core_restore_recover(struct poa_core *c, struct poa_slice bytes, uint64_t seq)
{
    struct poa_recover r;
    int e = poa_recover_decode(bytes, &r);
    if (e || r.epoch != c->epoch || r.view <= c->tip_view || c->self != r.voter)
        return e;
    (void)promise(c, r.view, seq);
    c->recovery.own = r;
    c->recovery.own_seq = seq;
    return POA_OK;
}

int core_restore_recovered(struct poa_core *c, struct poa_slice bytes, uint64_t seq)
{
    struct poa_recovered r;
    int e = poa_recovered_decode(bytes, &r);
    if (e || r.epoch != c->epoch || r.view <= c->tip_view)
        return e;
    e = install(c, &r, bytes, seq);
    return e == POA_E_DUPLICATE ? POA_OK : e;
}

/* Nothing moves: what was said, and what is certified, again. PEER: to one member
 * that asks for certificates. */
void core_recovery_resend(struct poa_core *c, uint16_t peer)
{
    for (uint32_t i = 0; i < RECOVERIES; i++) {
        const struct recovered *r = &c->recovered[i];
        struct poa_slice bytes = poa_slice(r->bytes, r->n);
        if (r->bytes && peer < c->n)
            core_send_to(c, POA_MSG_RECOVERED, bytes, peer, 0);
        else if (r->bytes)
            core_send_all(c, POA_MSG_RECOVERED, bytes, false, 0);
    }
    if (peer >= c->n && c->recovery.own.view > c->tip_view && !c->halted)
        say(c, &c->recovery.own, c->recovery.own_seq);
}
