/* Reads of the finalized state: accounts and values, slots, epochs, anchors. */
#include <string.h>

#include "grades.h"
#include "methods.h"
#include "proofs.h"

void rpc_account_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    uint8_t buffer[RPC_VALUE_MAX], address[32];
    poa_rpc_address(param[0], address);
    if (poa_rpc_proven(ctx, param[2], POA_STATE_ACCOUNT, address, sizeof address, call))
        return;
    struct poa_st_account account;
    uint64_t of_asset = 0;
    uint32_t asset = (uint32_t)poa_rpc_u64(param[1], 0);
    memset(&account, 0, sizeof account);
    int rc = RPC_READ(ctx, ACCOUNT, address, sizeof address, buffer, st_account, &account);
    if (rc == POA_E_NOT_FOUND) /* every address is an account with nothing in it */
        rc = POA_OK;
    if (rc == POA_OK && asset != 0)
        rc = poa_rpc_balance(ctx, asset, address, &of_asset);
    json_t *v = rpc_with(poa_json_record(&poa_st_account_record, &account), "address",
                         poa_json_address(address));
    if (rc == POA_OK && v != NULL)
        rc = poa_rpc_add_outgoing(ctx, address, v);
    if (asset != 0)
        v = rpc_with(rpc_with(v, "asset", json_integer(asset)), "asset_balance",
                     poa_json_u64(of_asset));
    rpc_answer(call, rc, v);
}

void rpc_asset_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    uint32_t asset = (uint32_t)poa_rpc_u64(param[0], 0);
    uint8_t key[4];
    poa_put_le32(key, asset);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_ASSET, key, sizeof key, call))
        return;
    int rc = poa_rpc_asset_json(ctx, asset, &v);
    rpc_answer(call, rc, v);
}

void rpc_escrow_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    uint8_t id[32];
    poa_rpc_hash(param[0], id);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_ESCROW, id, sizeof id, call))
        return;
    int rc = poa_rpc_escrow_json(ctx, id, &v);
    rpc_answer(call, rc, v);
}

void rpc_offer_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    json_t *v;
    uint8_t id[32];
    poa_rpc_hash(param[0], id);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_OFFER, id, sizeof id, call))
        return;
    int rc = poa_rpc_offer_json(ctx, id, &v);
    rpc_answer(call, rc, v);
}

void rpc_maker_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    uint8_t buffer[RPC_VALUE_MAX];
    uint32_t id = (uint32_t)poa_rpc_u64(param[0], 0);
    uint8_t le[4];
    poa_put_le32(le, id);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_MAKER, le, sizeof le, call))
        return;
    struct poa_st_maker maker;
    int rc = rpc_read_u32(ctx, POA_STATE_MAKER, id, buffer, &poa_st_maker_record, &maker);
    rpc_answer(call, rc,
               rc == POA_OK ? rpc_with(poa_json_record(&poa_st_maker_record, &maker), "maker",
                                       json_integer(id))
                            : NULL);
}

void rpc_slot_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    uint8_t buffer[RPC_VALUE_MAX], key[8];
    uint64_t slot;
    if (param[0] != NULL) {
        slot = poa_rpc_u64(param[0], 0);
    } else {
        struct poa_st_global global;
        int rc = RPC_READ(ctx, GLOBAL, "", 0, buffer, st_global, &global);
        if (rc != POA_OK || global.slot == POA_NEVER) {
            poa_rpc_fail(call, rc != POA_OK ? rc : POA_E_NOT_FOUND);
            return;
        }
        slot = global.slot;
    }
    poa_put_le64(key, slot);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_SLOT, key, sizeof key, call))
        return;
    struct poa_st_slot s;
    int rc = RPC_READ(ctx, SLOT, key, sizeof key, buffer, st_slot, &s);
    rpc_answer(call, rc,
               rc == POA_OK
                   ? rpc_with(poa_json_record(&poa_st_slot_record, &s), "slot", poa_json_u64(slot))
                   : NULL);
}

void rpc_epoch_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    uint8_t buffer[RPC_VALUE_MAX];
    struct poa_st_global global;
    int rc = RPC_READ(ctx, GLOBAL, "", 0, buffer, st_global, &global);
    uint32_t epoch = (uint32_t)poa_rpc_u64(param[0], rc == POA_OK ? global.epoch : 0);
    uint8_t le[4];
    poa_put_le32(le, epoch);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_EPOCH, le, sizeof le, call))
        return;
    struct poa_st_epoch e;
    if (rc == POA_OK)
        rc = rpc_read_u32(ctx, POA_STATE_EPOCH, epoch, buffer, &poa_st_epoch_record, &e);
    if (rc != POA_OK) {
        poa_rpc_fail(call, rc);
        return;
    }
    json_t *v = rpc_with(poa_json_record(&poa_st_epoch_record, &e), "epoch", json_integer(epoch));
    struct poa_committee committee;
    rc = rpc_read_u32(ctx, POA_STATE_COMMITTEE, epoch, buffer, &poa_committee_record, &committee);
    if (rc == POA_OK)
        v = rpc_with(v, "committee", poa_json_record(&poa_committee_record, &committee));
    v = rpc_with(v, "witness", rpc_witness_bound(ctx, epoch));
    rpc_answer(call, rc == POA_E_NOT_FOUND ? POA_OK : rc, v);
}

void rpc_anchor_get(void *ctx, json_t *const *param, struct poa_rpc_call *call)
{
    uint8_t buffer[RPC_VALUE_MAX], root[32];
    poa_rpc_hash(param[0], root);
    if (poa_rpc_proven(ctx, param[1], POA_STATE_ANCHOR, root, sizeof root, call))
        return;
    struct poa_st_anchor anchor;
    int rc = RPC_READ(ctx, ANCHOR, root, sizeof root, buffer, st_anchor, &anchor);
    rpc_answer(call, rc,
               rc == POA_OK ? rpc_with(poa_json_record(&poa_st_anchor_record, &anchor), "root",
                                       rpc_hash(root))
                            : NULL);
}
