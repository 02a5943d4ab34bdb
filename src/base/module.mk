base_SRC  := error.c codec.c hash.c crypto.c keys.c bech32m.c keystore.c log.c clock.c selftest.c
base_DEPS :=
base_LIBS := -lsodium -lsecp256k1 -ljansson
# What devices link too: C99, no allocation, no stdio.
base_FREESTANDING := error.c codec.c hash.c crypto.c
