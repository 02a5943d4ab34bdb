vrf_SRC  := vrf.c
vrf_DEPS := base
vrf_FREESTANDING := $(vrf_SRC)
