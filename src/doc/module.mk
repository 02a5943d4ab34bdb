doc_SRC  :=
doc_DEPS := device consensus ledger witness session vrf base

PROGRAMS        += poa-doc
poa-doc_MAIN    := src/doc/main.c
poa-doc_MODULES := device consensus ledger witness session vrf base
