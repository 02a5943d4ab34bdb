sim_SRC  := config.c world.c node.c faults.c trace.c network.c disk.c state.c load.c check.c check_chain.c byzantine.c suite.c run.c region.c
sim_DEPS := consensus ledger witness session vrf base

PROGRAMS        += poa-sim
poa-sim_MAIN    := src/sim/main.c
poa-sim_MODULES := sim consensus ledger witness session vrf base
