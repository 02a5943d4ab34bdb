# Fuzz targets: NAME_FUZZ_MODULES is what tests/fuzz/NAME.c links, dependants first.
FUZZ_TARGETS := records session vrf witness
records_FUZZ_MODULES := store device witness session vrf base
session_FUZZ_MODULES := session vrf base
vrf_FUZZ_MODULES     := vrf base
witness_FUZZ_MODULES := witness session vrf base
