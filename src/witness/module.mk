witness_SRC  := records.c check.c chain.c draw.c suite.c bounds.c
witness_DEPS := session vrf base
witness_LIBS := -lm
witness_FREESTANDING := records.c check.c chain.c draw.c suite.c
