vectors_SRC  := tally.c vrf.c wycheproof.c ed25519.c hash.c bip340.c noise.c
vectors_DEPS := session vrf base
vectors_LIBS := -ljansson

PROGRAMS            += poa-vectors
poa-vectors_MAIN    := src/vectors/main.c
poa-vectors_MODULES := vectors session vrf base
