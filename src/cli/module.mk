cli_SRC  := table.c common.c keys.c watch.c wallet.c query.c peers.c proof.c vrf.c lottery.c why.c genesis.c genesis_new.c token.c chain.c witness.c witness_draw.c witness_costs.c devnet.c devnet_setup.c devnet_lock.c devnet_ports.c devnet_genesis.c devnet_run.c devnet_ready.c devnet_load.c devnet_chaos.c
cli_SRC  += sign.c send.c multisig.c params.c value.c data.c
cli_SRC  += store.c govern.c fleet.c fleet_network.c packs.c packs_verify.c progress.c device.c
cli_DEPS := fleet agent device rpc archive store consensus ledger witness session vrf base
cli_LIBS := -ljansson

PROGRAMS += poa
poa_MAIN    := src/cli/main.c
poa_MODULES := cli $(cli_DEPS)
