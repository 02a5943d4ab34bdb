base_SRC  := error.c codec.c crypto.c crypto_selftest.c address.c bech32m.c keys.c keystore.c file.c log.c print.c clock.c selftest.c
base_SRC  += sealed.c progress.c
base_DEPS :=
base_LIBS := -lsodium -lsecp256k1 -ljansson
# What devices link too: C99, no allocation, no stdio.
base_FREESTANDING := codec.c crypto.c crypto_selftest.c address.c bech32m.c
