witness_SRC  := records.c check.c committee.c
witness_DEPS := session vrf base
witness_LIBS := -lm
witness_FREESTANDING := records.c check.c
