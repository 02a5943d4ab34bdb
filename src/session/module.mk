session_SRC  := noise.c session.c
session_DEPS := vrf base
session_FREESTANDING := $(session_SRC)
