rpc_SRC  := histogram.c json.c ops.c values.c dispatch.c methods.c metrics.c risk.c server.c client.c
rpc_SRC  += proofs.c
rpc_SRC  += grades.c
rpc_DEPS := consensus ledger witness session vrf base
rpc_LIBS := -levent_core -levent_extra -ljansson
