vrf_SRC  := vrf.c ell2.c
vrf_DEPS := base
vrf_FREESTANDING := $(vrf_SRC)
