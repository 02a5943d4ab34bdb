gateway_SRC  := gateway.c conn.c passes.c trunk.c serve.c tasks.c anchor.c usage.c
gateway_DEPS := device ledger witness session vrf base
gateway_LIBS := -levent_core
