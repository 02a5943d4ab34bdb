node_SRC  := config.c config_check.c prepare.c genesis_json.c queue.c memo.c workers.c pages.c claims.c io.c frozen.c tracker.c bundle.c headers.c replay.c restore.c memory.c starts.c effects.c node.c submit.c forward.c follow.c ranges.c turns.c parts.c waits.c saving.c serve.c backend.c current.c edge.c packs.c risk.c
node_SRC  += prove.c snapshot.c join.c joining.c givers.c peers.c discover.c
node_SRC  += again.c behind.c pace.c skew.c parallel.c watch.c
node_DEPS := rpc gateway p2p archive store device consensus ledger witness session vrf base
node_LIBS := -ljansson

PROGRAMS += poad
poad_MAIN    := src/node/main.c
poad_MODULES := node $(node_DEPS)
