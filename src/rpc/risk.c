/* The witness bound of the committee in work. */
#include <math.h>

#include "poa_rpc_json.h"

int poa_rpc_risk(const struct poa_rpc_node *node, uint32_t epoch, struct poa_risk *out,
                 bool *devnet)
{
    const struct poa_rpc_backend *b = node->backend;
    uint8_t key[4], epoch_bytes[256], committee_bytes[POA_COMMITTEE_BYTES_MAX];
    struct poa_writer w = poa_writer_over(epoch_bytes, sizeof epoch_bytes);
    struct poa_writer c = poa_writer_over(committee_bytes, sizeof committee_bytes);
    struct poa_genesis genesis;
    struct poa_st_epoch state;
    struct poa_committee committee;
    poa_put_le32(key, epoch);
    int rc = poa_rpc_params(node, epoch, &genesis);
    if (rc == POA_OK)
        rc = b->read(b->ctx, POA_STATE_EPOCH, key, sizeof key, &w);
    if (rc == POA_OK)
        rc = b->read(b->ctx, POA_STATE_COMMITTEE, key, sizeof key, &c);
    if (rc == POA_OK && (w.overflow || c.overflow))
        rc = POA_E_BUFFER;
    if (rc == POA_OK)
        rc = poa_st_epoch_decode(poa_written(&w), &state);
    if (rc == POA_OK)
        rc = poa_committee_decode(poa_written(&c), &committee);
    if (rc != POA_OK)
        return rc;
    poa_risk_of(&genesis, &committee, state.relaxed, state.eligible, out);
    *devnet = genesis.devnet != 0;
    return POA_OK;
}

static json_t *log10_json(struct poa_prob a)
{
    return isinf(a.ln) ? json_null() : json_real(a.ln / M_LN10);
}

static json_t *target_json(double target)
{
    return target > 0 ? json_real(target) : json_null();
}

/* Null without grade 2. */
static json_t *seals_json(const struct poa_risk *r)
{
    if (!(r->seals.forge.value > 0) && !(r->seals.delay.value > 0))
        return json_null();
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "devices", (json_int_t)r->devices, "p",
                     r->device_p, "offline", r->device_offline, "forge", r->seals.forge.value,
                     "delay", r->seals.delay.value);
}

json_t *poa_json_risk(const struct poa_risk *r, bool devnet)
{
    json_t *v = json_pack(
        "{s:I, s:I, s:f, s:f, s:o, s:o, s:b, s:b, s:f, s:f, s:f, s:{s:o, s:o, s:o}, s:I, "
        "s:{s:I, s:I, s:I, s:f, s:f}}",
        "members", (json_int_t)r->n, "quorum", (json_int_t)r->q, "p", r->p, "offline", r->offline,
        "target", target_json(r->target), "stall_target", target_json(r->stall_target), "met",
        (int)r->met, "devnet", (int)devnet, "forge", r->bounds.forge.value, "fork",
        r->bounds.fork.value, "stall", r->bounds.stall.value, "log10", "forge",
        log10_json(r->bounds.forge), "fork", log10_json(r->bounds.fork), "stall",
        log10_json(r->bounds.stall), "relaxed", (json_int_t)r->relaxed, "group", "maker",
        (json_int_t)r->maker, "region", (json_int_t)r->region, "provider", (json_int_t)r->provider,
        "fork", r->group.fork.value, "stall", r->group.stall.value);
    if (v != NULL)
        json_object_set_new(v, "grade2", seals_json(r));
    return v;
}
