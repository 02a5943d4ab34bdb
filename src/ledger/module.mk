ledger_SRC  := records.c tx.c genesis.c state.c merkle.c proof.c execute.c mining.c mempool.c
ledger_DEPS := witness session vrf base
ledger_FREESTANDING := proof.c
