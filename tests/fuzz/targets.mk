# Fuzz targets: NAME_FUZZ_MODULES is what tests/fuzz/NAME.c links, dependants first.
FUZZ_TARGETS := archive core device files gateway mesh proof records rpc session store talk text tx vrf witness
archive_FUZZ_MODULES := archive store ledger witness session vrf base
core_FUZZ_MODULES    := consensus ledger witness session vrf base
device_FUZZ_MODULES  := device witness session vrf base
files_FUZZ_MODULES   := node rpc gateway p2p store device consensus ledger witness session vrf base
gateway_FUZZ_MODULES := gateway device ledger witness session vrf base
mesh_FUZZ_MODULES    := p2p witness session vrf base
proof_FUZZ_MODULES   := ledger witness session vrf base
records_FUZZ_MODULES := archive p2p store consensus ledger device witness session vrf base
rpc_FUZZ_MODULES     := rpc consensus ledger witness session vrf base
session_FUZZ_MODULES := session vrf base
store_FUZZ_MODULES   := store base
talk_FUZZ_MODULES    := device witness session vrf base
text_FUZZ_MODULES    := node rpc gateway p2p store device consensus ledger witness session vrf base
tx_FUZZ_MODULES      := ledger witness session vrf base
vrf_FUZZ_MODULES     := vrf base
witness_FUZZ_MODULES := witness session vrf base
