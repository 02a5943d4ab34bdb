vectors_SRC  := tally.c vrf.c wycheproof.c ed25519.c hash.c bip340.c noise.c binomial.c
vectors_DEPS := witness session vrf base
vectors_LIBS := -ljansson -lm

PROGRAMS            += poa-vectors
poa-vectors_MAIN    := src/vectors/main.c
poa-vectors_MODULES := vectors witness session vrf base
