doc_SRC  := programs.c man.c complete.c
doc_DEPS := vectors agent sim cli node rpc archive store device consensus ledger witness session vrf base

PROGRAMS        += poa-doc
poa-doc_MAIN    := src/doc/main.c
poa-doc_MODULES := doc cli node rpc p2p archive store device consensus ledger witness session vrf base
