# Fuzz targets: NAME_FUZZ_MODULES is what tests/fuzz/NAME.c links, dependants first.
FUZZ_TARGETS := records
records_FUZZ_MODULES := store device witness session vrf base
