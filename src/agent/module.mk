agent_SRC  := keep.c csv.c procfs.c exec.c senml.c source.c link.c pair.c qr.c trust.c talks.c news.c agent.c
agent_DEPS := device ledger witness session vrf base
agent_LIBS := -ljansson -lqrencode
agent_TEST_MODULES := agent gateway $(agent_DEPS)

PROGRAMS += poa-device
poa-device_MAIN    := src/agent/main.c
poa-device_MODULES := agent $(agent_DEPS)
