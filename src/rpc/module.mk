rpc_SRC  := $(notdir $(wildcard src/rpc/*.c))
rpc_DEPS := consensus ledger witness session vrf base
rpc_LIBS := -levent_core -levent_extra -levent_openssl -lssl -lcrypto -ljansson

# What src/rpc/explorer.c takes in.
$(O)/src/rpc/explorer.o: $(wildcard src/explorer/*) $(wildcard /usr/share/javascript/dygraphs/dygraph.min.*)
