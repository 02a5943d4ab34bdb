consensus_SRC  := messages.c arena.c simplex.c chain.c batches.c epoch.c mining.c core.c
consensus_DEPS := ledger witness session vrf base
# Its tests play on the simulated network.
consensus_TEST_MODULES := sim consensus ledger witness session vrf base
