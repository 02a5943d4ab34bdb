ledger_SRC  := records.c tx.c genesis.c memory.c base.c state.c merkle.c proof.c execute.c apply.c params.c assign.c mining.c convict.c hold.c grade.c checkpoint.c mempool.c risk.c
ledger_SRC  += auth.c build.c value.c data.c
ledger_SRC  += ahead.c
ledger_SRC  += light.c access.c wallet.c
ledger_DEPS := witness session vrf base
ledger_FREESTANDING := proof.c
ledger_FREESTANDING += light.c
# A device owns a wallet.
ledger_FREESTANDING += wallet.c records.c
