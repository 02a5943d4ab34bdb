device_SRC  := edge.c pack.c senml.c assign.c store.c trust.c mine.c receive.c device.c talk.c
device_DEPS := witness session vrf base
device_FREESTANDING := $(device_SRC)
