# poa: build, test and run. `make help` lists the targets.
#
# One build directory per profile: build/release, build/debug, build/asan,
# build/tsan, build/cov. A module is a folder src/NAME with a module.mk that
# names its sources and the modules it may include; only those folders are on
# its include path, so a layering mistake does not compile.

PROFILE ?= release
BUILD   ?= build
O       := $(BUILD)/$(PROFILE)
CC      ?= gcc
AR      ?= ar

MODULES := base vrf session witness ledger consensus device store p2p gateway rpc node cli sim agent vectors

WARN := -Wall -Wextra -Wconversion -Wswitch-enum -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPT_release := -O2 -g1 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_cov     := -O0 -g --coverage
ifeq ($(OPT_$(PROFILE)),)
$(error PROFILE=$(PROFILE) is not one of release, debug, asan, tsan, cov)
endif
CFLAGS_ALL  := -std=c11 -D_GNU_SOURCE -pthread -fPIE -ffunction-sections -fdata-sections $(WARN) $(OPT_$(PROFILE)) $(CFLAGS)
LDFLAGS_ALL := -pthread -pie -Wl,--gc-sections -Wl,-z,relro,-z,now $(OPT_$(PROFILE)) $(LDFLAGS)

all: programs

include $(foreach m,$(MODULES),$(wildcard src/$(m)/module.mk))

# --- modules -----------------------------------------------------------------
# $(1) module
define module_rules
$(1)_OBJ := $$(patsubst %.c,$(O)/src/$(1)/%.o,$$($(1)_SRC))
$(1)_INC := $$(foreach d,$(1) $$($(1)_DEPS),-iquote src/$$(d))
$(O)/src/$(1)/%.o: src/$(1)/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS_ALL) $$($(1)_INC) -MMD -MP -c $$< -o $$@
$(O)/lib/libpoa_$(1).a: $$($(1)_OBJ)
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(AR) rcs $$@ $$^
-include $$($(1)_OBJ:.o=.d)
endef
$(foreach m,$(MODULES),$(if $($(m)_SRC),$(eval $(call module_rules,$(m)))))

# Archives and libraries that module $(1) links against, dependants first.
archives = $(foreach m,$(1),$(if $($(m)_SRC),$(O)/lib/libpoa_$(m).a))
libs     = $(sort $(foreach m,$(1),$($(m)_LIBS)))

# --- programs ----------------------------------------------------------------
# A module.mk adds to PROGRAMS and sets NAME_MAIN (its main file) and
# NAME_MODULES (what it links, dependants first).
define program_rules
$(O)/$(1): $(O)/main/$(1).o $$(call archives,$$($(1)_MODULES))
	$$(CC) $$(LDFLAGS_ALL) -o $$@ $$< -Wl,--start-group $$(call archives,$$($(1)_MODULES)) -Wl,--end-group $$(call libs,$$($(1)_MODULES))
$(O)/main/$(1).o: $$($(1)_MAIN)
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS_ALL) $$(foreach d,$$($(1)_MODULES),-iquote src/$$(d)) -MMD -MP -c $$< -o $$@
-include $(O)/main/$(1).d
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$(p))))
programs: $(addprefix $(O)/,$(PROGRAMS))

# --- unit tests --------------------------------------------------------------
# tests/unit/NAME/*.c is one Criterion program per module, NAME_TEST_MODULES
# what it links (default: the module and what it may include).
test_modules = $(if $($(1)_TEST_MODULES),$($(1)_TEST_MODULES),$(1) $($(1)_DEPS))
define test_rules
$(1)_TEST_OBJ := $$(patsubst tests/unit/%.c,$(O)/tests/unit/%.o,$$(wildcard tests/unit/$(1)/*.c))
$(O)/tests/unit/$(1)/%.o: tests/unit/$(1)/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS_ALL) $$(foreach d,$$(call test_modules,$(1)),-iquote src/$$(d)) -iquote tests/runner -MMD -MP -c $$< -o $$@
$(O)/tests/unit_$(1): $$($(1)_TEST_OBJ) $$(call archives,$$(call test_modules,$(1)))
	$$(CC) $$(LDFLAGS_ALL) -o $$@ $$($(1)_TEST_OBJ) -Wl,--start-group $$(call archives,$$(call test_modules,$(1))) -Wl,--end-group $$(call libs,$$(call test_modules,$(1))) -lcriterion
-include $$($(1)_TEST_OBJ:.o=.d)
endef
TESTED := $(foreach m,$(MODULES),$(if $(wildcard tests/unit/$(m)/*.c),$(m)))
$(foreach m,$(TESTED),$(eval $(call test_rules,$(m))))

.PHONY: all programs
