rpc_SRC  := $(notdir $(wildcard src/rpc/*.c))
rpc_DEPS := consensus ledger witness session vrf base
rpc_LIBS := -levent_core -levent_extra -ljansson
