sim_SRC  := config.c world.c node.c faults.c trace.c network.c disk.c state.c load.c devices.c check.c check_chain.c check_devices.c byzantine.c suite.c run.c region.c
sim_DEPS := consensus ledger witness session vrf base

PROGRAMS        += poa-sim
poa-sim_MAIN    := src/sim/main.c
poa-sim_MODULES := sim consensus ledger witness session vrf base
