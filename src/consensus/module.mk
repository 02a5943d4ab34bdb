consensus_SRC  := messages.c arena.c simplex.c beacon.c answer.c blocks.c chain.c propose.c bundle.c \
    batches.c listing.c pack.c acks.c homes.c epoch.c mining.c recovery.c core.c
consensus_DEPS := ledger witness session vrf base
# Its tests play on the simulated network.
consensus_TEST_MODULES := sim consensus ledger witness session vrf base
