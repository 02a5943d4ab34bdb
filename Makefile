# poa: build, test and run. `make help` lists the targets.
#
# One build directory per profile: build/release, build/debug, build/asan,
# build/tsan, build/cov, build/fuzz. A module is a folder src/NAME with a module.mk that
# says
#   NAME_SRC           its sources
#   NAME_DEPS          the modules it may include (docs/architecture.md)
#   NAME_LIBS          libraries its users link
#   NAME_FREESTANDING  the sources that devices compile too
#   NAME_TEST_MODULES  what tests/unit/NAME links, when more than the above
# and adds its programs: PROGRAMS += P, P_MAIN = main file, P_MODULES = what it
# links, dependants first. Only the folders of the modules named there are on
# an include path, so a layering mistake does not compile.

PROFILE ?= release
BUILD   ?= build
# One name for each file, however it is said: dependencies are written down by name.
override BUILD := $(BUILD:$(CURDIR)/%=%)
O       := $(BUILD)/$(PROFILE)
ifeq ($(origin CC),default)
CC := gcc
endif
AR      ?= ar
PREFIX  ?= /usr/local
JOBS    ?= $(shell nproc 2>/dev/null || echo 1)

MODULES := base vrf session witness ledger consensus device store archive p2p gateway rpc node agent fleet cli sim vectors doc
# Modules that never see a clock, a socket, a random source, a file or malloc.
CORE_MODULES ?= vrf session witness ledger consensus device

WARN := -Wall -Wextra -Wconversion -Wswitch-enum -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPT_release := -O2 -g1 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_cov     := -O0 -g --coverage
# clang, for libFuzzer: `make fuzz` sets CC. The warnings are those of gcc;
# adding 0 to NULL, which clang reports, is defined from C2y on.
OPT_fuzz    := -O1 -g -w -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=pointer-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(OPT_$(PROFILE)),)
$(error PROFILE=$(PROFILE) is not one of release, debug, asan, tsan, cov, fuzz)
endif
CFLAGS_ALL  := -std=c11 -D_GNU_SOURCE -pthread -fPIE -ffunction-sections -fdata-sections $(WARN) $(OPT_$(PROFILE)) $(CFLAGS)
LDFLAGS_ALL := -pthread -pie -Wl,--as-needed -Wl,-z,relro,-z,now $(OPT_$(PROFILE)) $(LDFLAGS)
# Programs drop what they do not use. Tests must not: nothing refers to the
# section in which Criterion finds them.
LDFLAGS_PROGRAM := $(LDFLAGS_ALL) -Wl,--gc-sections
CFLAGS_DEVICE := -std=c99 -O2 -ffreestanding -Wall -Wextra -Wconversion -Werror -pedantic

all: programs chaos-build bench-build ## build the programs and benchmarks of PROFILE (default: release)

include $(foreach m,$(MODULES),$(wildcard src/$(m)/module.mk))

# --- commands that changed ---------------------------------------------------
# A stamp holds the command lines that depend on it and changes only when they
# do, so that new flags, sources or rules rebuild exactly what they concern.
# $(1) stamp file, $(2) text, which may contain commas
define stamp_rules
$(1): STAMP = $(2)
$(1): FORCE
	@mkdir -p $$(@D)
	@printf '%s\n' '$$(call quoted,$$(STAMP))' | cmp -s - $$@ || printf '%s\n' '$$(call quoted,$$(STAMP))' >$$@
endef
quoted = $(subst ','\'',$(1))
FORCE:
.PHONY: FORCE

# One short line per command; V=1 shows the commands themselves.
say = @$(if $(V),:,printf '  %-5s %s\n' $(1) '$@')
Q  := $(if $(V),,@)

# --- modules -----------------------------------------------------------------
# $(1) module
define module_rules
$(1)_OBJ := $$(patsubst %.c,$(O)/src/$(1)/%.o,$$($(1)_SRC))
$(1)_INC := $$(foreach d,$(1) $$($(1)_DEPS),-iquote src/$$(d))
$$(eval $$(call stamp_rules,$(O)/src/$(1)/.command,$$(CC) $$(AR) $$(CFLAGS_ALL) $$($(1)_INC) $$($(1)_SRC)))
$(O)/src/$(1)/%.o: src/$(1)/%.c $(O)/src/$(1)/.command
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$($(1)_INC) -MMD -MP -c $$< -o $$@
$(O)/lib/libpoa_$(1).a: $$($(1)_OBJ) $(O)/src/$(1)/.command
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call say,AR)
	$$(Q)$$(AR) rcs $$@ $$($(1)_OBJ)
-include $$($(1)_OBJ:.o=.d)
endef
$(foreach m,$(MODULES),$(if $($(m)_SRC),$(eval $(call module_rules,$(m)))))

# Archives and libraries that module $(1) links against, dependants first.
archives = $(foreach m,$(1),$(if $($(m)_SRC),$(O)/lib/libpoa_$(m).a))
libs     = $(sort $(foreach m,$(1),$($(m)_LIBS)))
link     = -Wl,--start-group $(call archives,$(1)) -Wl,--end-group $(call libs,$(1))

# --- programs ----------------------------------------------------------------
define program_rules
$$(eval $$(call stamp_rules,$(O)/main/$(1).command,$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_PROGRAM) $$($(1)_MAIN) $$($(1)_MODULES) $$(call libs,$$($(1)_MODULES))))
$(O)/$(1): $(O)/main/$(1).o $$(call archives,$$($(1)_MODULES)) $(O)/main/$(1).command
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LDFLAGS_PROGRAM) -o $$@ $$< $$(call link,$$($(1)_MODULES))
$(O)/main/$(1).o: $$($(1)_MAIN) $(O)/main/$(1).command
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(foreach d,$$($(1)_MODULES),-iquote src/$$(d)) -MMD -MP -c $$< -o $$@
-include $(O)/main/$(1).d
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$(p))))
programs: $(addprefix $(O)/,$(PROGRAMS))

# --- unit tests --------------------------------------------------------------
# tests/unit/NAME/*.c is one Criterion program per module, $(O)/tests/unit_NAME;
# tests/prop/NAME/*.c, properties over many seeds, another, $(O)/tests/prop_NAME.
# Criterion's own runner serves release and debug; the other profiles put
# tests/runner in front of it, because it aborts under TSan and hides leaks.
# tests/runner/wake.c serves all of them.
# Criterion's assertions with values (criterion/new/assert.h) trip -Wconversion.
CFLAGS_TEST := $(CFLAGS_ALL) -Wno-conversion
RUNNER_OBJ := $(O)/tests/runner/wake.o $(if $(filter asan tsan cov,$(PROFILE)),$(O)/tests/runner/runner.o)
$(eval $(call stamp_rules,$(O)/tests/.command,$$(CC) $$(CFLAGS_TEST) $$(LDFLAGS_ALL) $$(RUNNER_OBJ)))
$(O)/tests/runner/%.o: tests/runner/%.c $(O)/tests/.command
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS_TEST) -MMD -MP -c $< -o $@
-include $(wildcard $(O)/tests/runner/*.d)

test_modules = $(if $($(1)_TEST_MODULES),$($(1)_TEST_MODULES),$(1) $($(1)_DEPS))
# $(1) module, $(2) unit or prop
define test_rules
$(1)_$(2)_TEST_OBJ := $$(patsubst tests/$(2)/%.c,$(O)/tests/$(2)/%.o,$$(wildcard tests/$(2)/$(1)/*.c))
$$(eval $$(call stamp_rules,$(O)/tests/$(2)/$(1)/.command,$$($(1)_$(2)_TEST_OBJ) $$(call test_modules,$(1)) $$(call libs,$$(call test_modules,$(1)))))
$(O)/tests/$(2)/$(1)/%.o: tests/$(2)/$(1)/%.c $(O)/tests/.command $(O)/tests/$(2)/$(1)/.command
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(CFLAGS_TEST) $$(foreach d,$$(call test_modules,$(1)),-iquote src/$$(d)) -iquote tests/runner -iquote tests/shared -MMD -MP -c $$< -o $$@
$(O)/tests/$(2)_$(1): $$($(1)_$(2)_TEST_OBJ) $$(RUNNER_OBJ) $$(call archives,$$(call test_modules,$(1))) $(O)/tests/.command $(O)/tests/$(2)/$(1)/.command
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LDFLAGS_ALL) -o $$@ $$($(1)_$(2)_TEST_OBJ) $$(RUNNER_OBJ) $$(call link,$$(call test_modules,$(1))) -lcriterion
-include $$($(1)_$(2)_TEST_OBJ:.o=.d)
endef
TESTED := $(foreach m,$(MODULES),$(if $(wildcard tests/unit/$(m)/*.c),$(m)))
PROPPED := $(foreach m,$(MODULES),$(if $(wildcard tests/prop/$(m)/*.c),$(m)))
$(foreach m,$(TESTED),$(eval $(call test_rules,$(m),unit)))
$(foreach m,$(PROPPED),$(eval $(call test_rules,$(m),prop)))
UNIT := $(TESTED:%=$(O)/tests/unit_%) $(PROPPED:%=$(O)/tests/prop_%)
unit-build: $(UNIT)

# Tests of the test machinery: see tests/runner/planted.sh.
PLANTED := $(patsubst tests/runner/%.c,$(O)/tests/%,$(wildcard tests/runner/planted_*.c))
$(PLANTED): $(O)/tests/%: $(O)/tests/runner/%.o $(RUNNER_OBJ) $(O)/tests/.command
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(RUNNER_OBJ) -lcriterion
planted-build: $(PLANTED)

# C helpers of the end-to-end scripts: tests/e2e/X.c is $POA_BIN/tests/e2e/X.
E2E_HELPERS := $(patsubst tests/e2e/%.c,$(O)/tests/e2e/%,$(wildcard tests/e2e/*.c))
E2E_MODULES := archive store p2p consensus ledger witness session vrf base
$(E2E_HELPERS): $(O)/tests/e2e/%: tests/e2e/%.c $(call archives,$(E2E_MODULES)) $(O)/tests/.command
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(foreach d,$(E2E_MODULES),-iquote src/$(d)) -o $@ $< $(call link,$(E2E_MODULES))
# Libraries for LD_PRELOAD: tests/e2e/preload/X.c is $POA_BIN/tests/e2e/preload/X.so.
E2E_PRELOADS := $(patsubst tests/e2e/%.c,$(O)/tests/e2e/%.so,$(wildcard tests/e2e/preload/*.c))
$(E2E_PRELOADS): $(O)/tests/e2e/%.so: tests/e2e/%.c $(O)/tests/.command
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS_ALL) -fPIC -shared -o $@ $<

# Power cuts and sick disks: tests/crash/shim.c goes under LevelDB.
CRASH := $(O)/tests/crash/shim.so $(O)/tests/crash/writer $(O)/tests/crash/cuts
CRASH_MODULES := store base
$(O)/tests/crash/shim.so: tests/crash/shim.c tests/crash/trace.h $(O)/tests/.command
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -fPIC -shared -O1 -g $(WARN) -Wno-conversion -o $@ $<
$(O)/tests/crash/writer $(O)/tests/crash/cuts: $(O)/tests/crash/%: tests/crash/%.c tests/crash/work.h tests/crash/trace.h $(call archives,$(CRASH_MODULES)) $(O)/tests/.command
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(foreach d,$(CRASH_MODULES),-iquote src/$(d)) -o $@ $< $(call link,$(CRASH_MODULES))
crash-build: $(CRASH)

# Devices and gateways that lie, for `poa devnet --chaos`: a program of the product in
# which some calls between modules go through tests/chaos/X.c.
CHAOS := $(O)/tests/chaos/poa-device $(O)/tests/chaos/poad
chaos_poa-device_SRC  := device
chaos_poa-device_WRAP := poa_device_init poa_edge_put
chaos_poad_SRC  := gateway
chaos_poad_WRAP := poa_gateway_new poa_gateway_epoch poa_gateway_slot poa_gateway_proved poa_gateway_result poa_edge_put
# $(1) program
define chaos_rules
$(O)/tests/chaos/$(1): tests/chaos/$$(chaos_$(1)_SRC).c tests/chaos/mode.h $(O)/main/$(1).o $$(call archives,$$($(1)_MODULES)) $(O)/main/$(1).command $(O)/tests/.command
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) $$(foreach d,$$($(1)_MODULES),-iquote src/$$(d)) $$(chaos_$(1)_WRAP:%=-Wl,--wrap=%) -o $$@ $$< $(O)/main/$(1).o $$(call link,$$($(1)_MODULES))
endef
$(foreach p,poa-device poad,$(eval $(call chaos_rules,$(p))))
chaos-build: $(CHAOS)
e2e-build: programs chaos-build bench-build $(E2E_HELPERS) $(E2E_PRELOADS) $(CRASH)

# --- benchmarks --------------------------------------------------------------
# bench/NAME/*.c is $(O)/bench-NAME, bench/shared what they share; bench/module.mk
# says what each links. They are no tests: what they print depends on the machine.
-include bench/module.mk
# $(1) name
define bench_rules
bench_$(1)_OBJ := $$(patsubst bench/%.c,$(O)/bench/%.o,$$(wildcard bench/$(1)/*.c bench/shared/*.c))
bench_$(1)_DIRS := $$(foreach d,$$($(1)_BENCH_MODULES),-iquote src/$$(d)) -iquote bench/shared
$$(eval $$(call stamp_rules,$(O)/bench/$(1).command,$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_PROGRAM) $$(bench_$(1)_OBJ) $$(call libs,$$($(1)_BENCH_MODULES))))
$(O)/bench/$(1)/%.o: bench/$(1)/%.c $(O)/bench/$(1).command
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(bench_$(1)_DIRS) -MMD -MP -c $$< -o $$@
$(O)/bench-$(1): $$(bench_$(1)_OBJ) $$(call archives,$$($(1)_BENCH_MODULES)) $(O)/bench/$(1).command
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LDFLAGS_PROGRAM) -o $$@ $$(bench_$(1)_OBJ) $$(call link,$$($(1)_BENCH_MODULES))
-include $$(patsubst %.o,%.d,$$(bench_$(1)_OBJ))
endef
$(foreach b,$(BENCHES),$(eval $(call bench_rules,$(b))))
$(O)/bench/shared/%.o: bench/shared/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS_ALL) -iquote src/base -MMD -MP -c $< -o $@
bench-build: $(BENCHES:%=$(O)/bench-%)

bench: bench-build ## quick benchmarks: ratios to limits measured in the same run (docs/performance.md)
	@for b in $(BENCHES); do $(O)/bench-$$b --quick || exit 1; done

# --- fuzzing -----------------------------------------------------------------
# tests/fuzz/NAME.c is one target; tests/fuzz/targets.mk says what it links. In
# PROFILE=fuzz libFuzzer drives it, elsewhere replay.c, which runs the inputs
# that tests/fuzz/corpus/NAME keeps.
-include tests/fuzz/targets.mk
FUZZ_DRIVER := $(if $(filter fuzz,$(PROFILE)),,$(O)/tests/fuzz/replay.o)
LDFLAGS_FUZZ := $(LDFLAGS_ALL) $(if $(filter fuzz,$(PROFILE)),-fsanitize=fuzzer)
$(eval $(call stamp_rules,$(O)/tests/fuzz/.command,$$(CC) $$(CFLAGS_TEST) $$(LDFLAGS_FUZZ)))
$(O)/tests/fuzz/fuzz.o $(O)/tests/fuzz/replay.o: $(O)/tests/fuzz/%.o: tests/fuzz/%.c $(O)/tests/fuzz/.command
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS_TEST) -iquote src/base -MMD -MP -c $< -o $@
-include $(O)/tests/fuzz/fuzz.d $(O)/tests/fuzz/replay.d
# $(1) target
define fuzz_rules
$$(eval $$(call stamp_rules,$(O)/tests/fuzz/$(1).command,$$($(1)_FUZZ_MODULES) $$(call libs,$$($(1)_FUZZ_MODULES)) $$($(1)_FUZZ_LIBS)))
$(O)/tests/fuzz/$(1).o: tests/fuzz/$(1).c $(O)/tests/fuzz/.command $(O)/tests/fuzz/$(1).command
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(CFLAGS_TEST) $$(foreach d,$$($(1)_FUZZ_MODULES),-iquote src/$$(d)) -iquote $(O)/tests/fuzz -MMD -MP -c $$< -o $$@
$(O)/tests/fuzz_$(1): $(O)/tests/fuzz/$(1).o $(O)/tests/fuzz/fuzz.o $(FUZZ_DRIVER) $$(call archives,$$($(1)_FUZZ_MODULES))
	$$(call say,LINK)
	$$(Q)$$(CC) $$(LDFLAGS_FUZZ) -o $$@ $$(filter %.o,$$^) $$(call link,$$($(1)_FUZZ_MODULES)) $$($(1)_FUZZ_LIBS)
-include $(O)/tests/fuzz/$(1).d
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_rules,$(t))))
FUZZ_PROGRAMS := $(addprefix $(O)/tests/fuzz_,$(FUZZ_TARGETS))
fuzz-build: $(FUZZ_PROGRAMS)

# The target `records` knows every record that a header declares.
FUZZ_RECORD_HEADERS = $(shell grep -l '^POA_RECORD_DECLARE' $(foreach m,$(records_FUZZ_MODULES),src/$(m)/*.h))
$(O)/tests/fuzz/records.o: $(O)/tests/fuzz/records.inc
$(O)/tests/fuzz/records.inc: FORCE
	@mkdir -p $(@D)
	@{ printf '#include "%s"\n' $(notdir $(FUZZ_RECORD_HEADERS)); printf '#define RECORDS(X)'; \
	   sed -n 's/^POA_RECORD_DECLARE(\([a-z0-9_]*\),.*/X(\1)/p' $(FUZZ_RECORD_HEADERS) | tr '\n' ' '; \
	   echo; } >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

fuzz-seeds: $(FUZZ_PROGRAMS) ## write the seeds of the fuzz corpus anew (not with PROFILE=fuzz)
	@for t in $(FUZZ_TARGETS); do mkdir -p tests/fuzz/corpus/$$t && \
	    $(O)/tests/fuzz_$$t --seeds tests/fuzz/corpus/$$t || exit 1; done

FUZZ         ?= $(FUZZ_TARGETS)
FUZZ_SECONDS ?= 60
fuzz: ## fuzz with libFuzzer and clang-14 (FUZZ=targets, FUZZ_SECONDS=60 each)
	@tools/install-packages.sh build fuzz
	@$(MAKE) --no-print-directory PROFILE=fuzz CC=clang-14 $(foreach t,$(FUZZ),$(BUILD)/fuzz/tests/fuzz_$(t))
	@BUILD='$(BUILD)' tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ)

# --- suites ------------------------------------------------------------------
# tests/runner/run.sh takes KIND:WHAT items, prints a line for each, the log of
# whatever fails, and `N passed, N failed` as its last line.
E2E := $(sort $(wildcard tests/e2e/*.sh))
run_with = +@MAKE='$(MAKE)' JOBS='$(JOBS)' BUILD='$(BUILD)' PROFILE='$(1)' tests/runner/run.sh
RUN      = $(call run_with,$(PROFILE))

unit: ## unit tests of PROFILE
	$(RUN) build:unit-build $(UNIT:%=unit:%)

fuzz-replay: ## the fuzz targets over their stored inputs
	$(RUN) build:fuzz-build $(FUZZ_PROGRAMS:%=fuzz:%)

e2e: ## end-to-end tests: real processes, real sockets, real kills
	$(RUN) build:e2e-build $(E2E:%=e2e:%)

check: ## install what is missing, then build and test everything
	@tools/install-packages.sh build test
	$(RUN) build:e2e-build build:unit-build build:fuzz-build \
	    make:format-check make:docs-check make:check-layers make:check-freestanding \
	    $(patsubst %,script:%,$(wildcard tests/house/*.sh)) \
	    $(UNIT:%=unit:%) $(FUZZ_PROGRAMS:%=fuzz:%) script:tests/runner/planted.sh script:tests/sim/sim.sh $(E2E:%=e2e:%)

asan: ## unit tests and stored fuzz inputs under AddressSanitizer, LeakSanitizer and UBSan
	@tools/install-packages.sh build test
	$(call run_with,asan) build:unit-build build:fuzz-build $(UNIT:$(O)/%=unit:$(BUILD)/asan/%) $(FUZZ_PROGRAMS:$(O)/%=fuzz:$(BUILD)/asan/%)

tsan: ## unit tests under ThreadSanitizer
	@tools/install-packages.sh build test
	@$(MAKE) --no-print-directory PROFILE=tsan unit

cov: ## unit tests with line coverage per module
	@tools/install-packages.sh build test
	@find $(BUILD)/cov -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory PROFILE=cov unit
	@tools/coverage.sh $(BUILD)/cov

model: ## model checking of the consensus rules with spin (docs/model)
	@tools/install-packages.sh build model
	@BUILD='$(abspath $(BUILD))' CC='$(CC)' docs/model/run.sh $(MODEL)

SIM_SEEDS ?= 1..2000
sim: ## the consensus core under simulated faults, and every mutant of it (SIM_SEEDS)
	@tools/install-packages.sh build
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) $(O)/poa-sim
	@POA_BIN='$(abspath $(O))' SIM_SEEDS='$(SIM_SEEDS)' SIM_MUTANTS=all tests/sim/sim.sh

SOAK_SECONDS ?= 600
SOAK         ?= $(basename $(notdir $(sort $(wildcard tests/soak/*.sh))))
soak: ## the long tests: tests/soak/*.sh (SOAK=names, SOAK_SECONDS for `network`)
	@tools/install-packages.sh build test
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) e2e-build chaos-build unit-build
	@for s in $(SOAK); do echo "# $$s"; \
	    POA_BIN='$(abspath $(O))' SOAK_SECONDS='$(SOAK_SECONDS)' tests/soak/$$s.sh || exit 1; done

browser: ## drive the explorer with a headless Chromium (needs npm: not part of check)
	@tools/install-packages.sh build test browser
	@$(MAKE) --no-print-directory programs
	@POA_BIN='$(abspath $(O))' tests/browser/run.sh $(SCREENSHOTS)

# --- the house ---------------------------------------------------------------
C_FILES = $(shell git ls-files '*.c' '*.h' 2>/dev/null || find src tests bench -name '*.[ch]')

DOC_PAGES := wire errors rpc cli config
docs: $(O)/poa-doc ## write the reference pages anew from the program's tables
	@for p in $(DOC_PAGES); do $(O)/poa-doc $$p >docs/$$p.md || exit 1; done

docs-charts: $(O)/poa $(O)/bench-ledger ## draw the charts of the documents anew (measures some minutes)
	@tools/witness-chart.sh $(O)/poa >docs/witness-bound.svg
	@tools/lottery-chart.sh $(O)/poa >docs/lottery-share.svg
	@tools/growth-chart.sh $(O)/bench-ledger >docs/ledger-growth.svg

docs-check: $(O)/poa-doc
	@for p in $(DOC_PAGES); do $(O)/poa-doc $$p | diff -u docs/$$p.md - || \
	    { echo "docs/$$p.md is not what the tables say: run make docs"; exit 1; }; done

format: ## format every tracked source
	clang-format -i $(C_FILES)

format-check: ## every tracked source is formatted
	@clang-format --dry-run -Werror $(C_FILES)

# What may include what, in the order of the layers.
LAYERS = $(foreach m,$(MODULES),'module $(m) $($(m)_DEPS)') \
    $(foreach p,$(PROGRAMS),'program $($(p)_MAIN) $($(p)_MODULES)') \
    $(foreach m,$(TESTED),'test $(m) $(call test_modules,$(m))') \
    $(foreach b,$(BENCHES),'bench $(b) $($(b)_BENCH_MODULES)')
check-includes:
	@tools/check-layers.sh $(LAYERS)
check-layers: check-includes $(call archives,$(CORE_MODULES)) ## includes obey the layers; the core is pure
	@tools/check-symbols.sh tools/core-symbols.txt $(call archives,$(CORE_MODULES))

# $(1) module
define freestanding_rules
$(1)_DEVICE_OBJ := $$(patsubst %.c,$(O)/freestanding/$(1)/%.o,$$($(1)_FREESTANDING))
$(O)/freestanding/$(1)/%.o: src/$(1)/%.c $(O)/src/$(1)/.command
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(CFLAGS_DEVICE) $$($(1)_INC) -MMD -MP -c $$< -o $$@
-include $$($(1)_DEVICE_OBJ:.o=.d)
endef
DEVICE_MODULES := $(foreach m,$(MODULES),$(if $($(m)_FREESTANDING),$(m)))
$(foreach m,$(DEVICE_MODULES),$(eval $(call freestanding_rules,$(m))))
DEVICE_OBJ := $(foreach m,$(DEVICE_MODULES),$($(m)_DEVICE_OBJ))
check-freestanding: $(DEVICE_OBJ) ## what devices link is C99, without malloc and stdio
	@tools/check-symbols.sh tools/device-symbols.txt $(DEVICE_OBJ)

# --- firmware ---------------------------------------------------------------------
# The library on a Cortex-M4 (docs/device.md). Call graphs come from the compiler
# itself, so no cache may stand in for it.
CORTEX     := $(BUILD)/cortex-m4
CORTEX_CC  := CCACHE_DISABLE=1 arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -mno-unaligned-access -Os -ffunction-sections -fdata-sections -fcallgraph-info=su
DEVICE_SRC := $(foreach m,$(DEVICE_MODULES),$(addprefix src/$(m)/,$($(m)_FREESTANDING)))
footprint: ## flash, RAM and stack of the device library on a Cortex-M4; fails above budget
	@tools/install-packages.sh build firmware
	@firmware/libsodium.sh $(CORTEX)/libsodium 'env $(CORTEX_CC)'
	@firmware/footprint.sh $(CORTEX) 'env $(CORTEX_CC)' $(DEVICE_SRC)

check-32bit: $(O)/tests/fuzz/records.inc ## every record through its codec in a 32-bit program
	@tools/install-packages.sh build firmware
	@firmware/records32.sh $(O) $(records_FUZZ_MODULES)

qemu: ## the device library's tests on a Cortex-M4 board in QEMU, unaligned accesses trapping
	@tools/install-packages.sh build firmware
	@firmware/libsodium.sh $(CORTEX)/libsodium 'env $(CORTEX_CC)'
	@firmware/qemu.sh $(CORTEX) 'env $(CORTEX_CC)' $(DEVICE_SRC)

# --- use ---------------------------------------------------------------------
DEVNET_DIR  ?= devnet-data
DEVNET_ARGS ?=
devnet: ## install what is missing, build, run a local network (DEVNET_ARGS: options; DEVNET_DIR: its --data-dir)
	@tools/install-packages.sh build
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) PROFILE=release programs
	@exec $(BUILD)/release/poa devnet --data-dir $(DEVNET_DIR) $(DEVNET_ARGS)

# What people call; poa-doc only prints pages.
INSTALLED := $(filter-out poa-doc,$(PROGRAMS))
# Manual pages and completion: from the tables that the programs parse with.
MAN_PAGES  := $(patsubst %,$(O)/man/%.1,$(filter-out poad,$(INSTALLED))) $(O)/man/poad.8
COMPLETION := $(foreach p,$(INSTALLED),$(addprefix $(O)/completion/$(p).,bash zsh fish))
$(O)/man/%: $(O)/poa-doc
	@mkdir -p $(@D)
	$(call say,MAN)
	$(Q)$< man $(basename $*) >$@
$(COMPLETION): $(O)/completion/%: $(O)/poa-doc
	@mkdir -p $(@D)
	$(call say,SH)
	$(Q)$< completion $(subst .,,$(suffix $*)) $(basename $*) >$@
man: $(MAN_PAGES) $(COMPLETION) ## manual pages and completion for bash, zsh and fish

D = $(DESTDIR)$(PREFIX)
BASH_COMPLETIONS ?= share/bash-completion/completions
ZSH_COMPLETIONS  ?= share/zsh/site-functions
FISH_COMPLETIONS ?= share/fish/vendor_completions.d
UNITS            ?= lib/systemd/system
UNIT_FILES := poad.service poa-device@.service
SHARED := ops/alerts.yml ops/grafana.json
install: programs man ## install programs, manual pages, completion and unit (DESTDIR, PREFIX)
	install -d $(D)/bin $(D)/share/man/man1 $(D)/share/man/man8 $(D)/share/poa $(D)/$(UNITS) \
	    $(D)/$(BASH_COMPLETIONS) $(D)/$(ZSH_COMPLETIONS) $(D)/$(FISH_COMPLETIONS)
	install -m 755 $(addprefix $(O)/,$(INSTALLED)) $(D)/bin
	install -m 644 $(filter %.1,$(MAN_PAGES)) $(D)/share/man/man1
	install -m 644 $(filter %.8,$(MAN_PAGES)) $(D)/share/man/man8
	for p in $(INSTALLED); do \
	    install -m 644 $(O)/completion/$$p.bash $(D)/$(BASH_COMPLETIONS)/$$p && \
	    install -m 644 $(O)/completion/$$p.zsh $(D)/$(ZSH_COMPLETIONS)/_$$p && \
	    install -m 644 $(O)/completion/$$p.fish $(D)/$(FISH_COMPLETIONS)/$$p.fish || exit 1; done
	install -m 644 $(SHARED) $(D)/share/poa
	for u in $(UNIT_FILES); do \
	    sed 's|^ExecStart=/usr/bin/|ExecStart=$(PREFIX)/bin/|' ops/$$u >$(D)/$(UNITS)/$$u && \
	    chmod 644 $(D)/$(UNITS)/$$u || exit 1; done

uninstall: ## remove what install put there
	rm -f $(addprefix $(D)/bin/,$(INSTALLED)) $(addprefix $(D)/$(BASH_COMPLETIONS)/,$(INSTALLED)) \
	    $(addprefix $(D)/share/man/man1/,$(notdir $(MAN_PAGES))) $(D)/share/man/man8/poad.8 \
	    $(addprefix $(D)/$(ZSH_COMPLETIONS)/_,$(INSTALLED)) $(addprefix $(D)/$(FISH_COMPLETIONS)/,$(addsuffix .fish,$(INSTALLED))) \
	    $(addprefix $(D)/share/poa/,$(notdir $(SHARED))) $(addprefix $(D)/$(UNITS)/,$(UNIT_FILES))
	-rmdir $(D)/share/poa

deb: ## a Debian package in BUILD (docs/operating.md)
	@tools/install-packages.sh build package
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) PROFILE=release programs man
	@BUILD='$(BUILD)' MAKE='$(MAKE)' ops/debian/build.sh

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' Makefile
	@echo 'Variables: PROFILE=$(PROFILE) (release debug asan tsan cov fuzz), BUILD=$(BUILD), JOBS=$(JOBS), V=1 shows commands.'

.PHONY: all bench browser bench-build programs unit-build planted-build e2e-build chaos-build fuzz-build unit e2e fuzz fuzz-replay fuzz-seeds check asan tsan cov model sim soak format format-check \
    check-includes check-layers check-freestanding docs docs-charts docs-check footprint qemu check-32bit devnet man install uninstall deb clean help
.DELETE_ON_ERROR:
# Intermediate objects are kept.
.SECONDARY:
