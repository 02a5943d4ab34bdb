doc_SRC  :=
doc_DEPS := cli node rpc archive store device consensus ledger witness session vrf base

PROGRAMS        += poa-doc
poa-doc_MAIN    := src/doc/main.c
poa-doc_MODULES := cli node rpc archive store device consensus ledger witness session vrf base
