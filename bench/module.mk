# bench/NAME/*.c is the program bench-NAME; NAME_BENCH_MODULES is what it links.
BENCHES += ledger
ledger_BENCH_MODULES := node rpc gateway p2p store device consensus ledger witness session vrf base

BENCHES += mesh
mesh_BENCH_MODULES := node rpc gateway p2p archive store device consensus ledger witness session vrf base

BENCHES += rpc
rpc_BENCH_MODULES := rpc consensus ledger witness session vrf base
