session_SRC  := noise.c patterns.c session.c
session_DEPS := vrf base
session_FREESTANDING := $(session_SRC)
