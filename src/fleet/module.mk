fleet_SRC  := fleet.c unit.c wire.c
fleet_DEPS := agent device ledger witness session vrf base
fleet_TEST_MODULES := fleet gateway $(fleet_DEPS)
