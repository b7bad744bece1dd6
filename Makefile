# simlane: the front door.
#
#   make            build the daemon and the tool into build/
#   make demo       set everything up and show the main job, step by step
#   make run        a developer's daemon in the foreground, key and token made
#   make check      every test: unit, contract, scenario   [SANITIZE=address,undefined|thread]
#   make bench      load against this daemon, its floor and its peers, as ratios   [SCALE=1 QUICK=1]
#   make fuzz       every fuzz target for FUZZ_SECONDS (60) each
#   make lint       layers, clang-format, clang-tidy, cppcheck, shellcheck
#   make format     clang-format in place
#   make install    DESTDIR= PREFIX=/usr/local
#   make help       this text
#
# Variables: BUILD (build), CC, CFLAGS, SANITIZE, UNIT=name, SCENARIO="-k words".

SHELL := /bin/sh
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SECONDARY:

# V=1 shows the commands whole
V ?=
say = $(if $(V),,@printf '  %-5s %s\n' $(1) '$(patsubst $(CURDIR)/%,%,$@)' &&)

comma := ,
SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
PREFIX ?= /usr/local
DESTDIR ?=

# ---- goals that first see to the machine, then call make again ------------

FRONT := demo check run bench fuzz lint help clean format deps
ifneq ($(filter-out $(FRONT),$(or $(MAKECMDGOALS),all)),)
BUILDING := yes
endif

.PHONY: $(FRONT)

help:
	@sed -n '/^# simlane/,/^$$/s/^# \{0,1\}//p' Makefile

deps:
	tools/install-deps build

demo:
	@tools/install-deps demo
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/demo

run:
	@tools/install-deps build
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tools/run-dev

check:
	@tools/install-deps check
	@$(MAKE) --no-print-directory WERROR=-Werror all check-all

bench:
	@tools/install-deps bench
	@$(MAKE) --no-print-directory all bench-all

fuzz:
	@tools/install-deps check
	@$(MAKE) --no-print-directory fuzz-all

lint:
	@tools/install-deps check
	@$(MAKE) --no-print-directory lint-all

format:
	clang-format -i $(wildcard include/simlane/*.h src/*.c src/*/*.[ch] tests/*/*.[ch] bench/*.c)

clean:
	rm -rf $(BUILD)

# ---- configure ------------------------------------------------------------

ifdef BUILDING
-include $(BUILD)/config.mk
endif

$(BUILD)/configure: configure.ac
	@mkdir -p $(BUILD)
	cd $(BUILD) && autoconf -o configure "$(CURDIR)/configure.ac"

$(BUILD)/config.mk: $(BUILD)/configure tools/config.mk.in tools/config.h.in
	cd $(BUILD) && ./configure --quiet --srcdir='$(CURDIR)' CC='$(CC)'

$(BUILD)/config.h: $(BUILD)/config.mk

# ---- flags ----------------------------------------------------------------

ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O2 -g
WERROR ?=
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
ifdef SANITIZE
HARDEN := -fno-omit-frame-pointer -fsanitize=$(SANITIZE) $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize-recover=undefined)
HARDEN_LD := -fsanitize=$(SANITIZE)
else
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
HARDEN_LD := -pie -Wl,-z,relro,-z,now
endif
ALL_CPPFLAGS = -D_GNU_SOURCE -Iinclude -I$(BUILD) $(LIB_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=c11 $(WARN) $(WERROR) -pthread $(HARDEN) $(CFLAGS)
ALL_LDFLAGS = -pthread $(HARDEN_LD) -Wl,--as-needed $(LDFLAGS)
LIBS = $(MICROHTTPD_LIBS) $(JANSSON_LIBS) $(PCRE2_LIBS) $(SODIUM_LIBS) $(UTF8PROC_LIBS) $(SQLITE_LIBS) $(HIREDIS_LIBS) -lm

# ---- modules: one library a folder, in the order of the layers -------------

MODULES := http service sim inbox store token policy config base
# modules_of NAME: what a test or bench named NAME_... is linked with
modules_of = $(if $(filter $(1),http service vectors all),$(MODULES),$(filter $(1),$(MODULES)) base)

lib = $(BUILD)/lib/lib$(1).a
libs_of = $(foreach m,$(call modules_of,$(1)),$(call lib,$(m)))
objects_of = $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/$(1)/*.c))

GENERATED_policy := $(BUILD)/gen/policy_default.o
GENERATED_http := $(BUILD)/gen/openapi.o
REDIS_SCRIPTS := $(patsubst src/store/redis/%.lua,%,$(wildcard src/store/redis/*.lua))
GENERATED_store := $(patsubst %,$(BUILD)/gen/redis_%.o,$(REDIS_SCRIPTS))

define module_rule
$(call lib,$(1)): $(call objects_of,$(1)) $$(GENERATED_$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call say,AR) $$(AR) crs $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call module_rule,$(m))))

$(BUILD)/gen/policy_default.c: etc/policy.json tools/embed
	@mkdir -p $(@D)
	$(call say,EMBED) tools/embed policy_default_json etc/policy.json > $@

$(BUILD)/gen/openapi.c: openapi/simlane.json tools/embed $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(call say,EMBED) tools/embed openapi_json openapi/simlane.json $(VERSION) > $@

$(BUILD)/gen/redis_%.c: src/store/redis/%.lua tools/embed
	@mkdir -p $(@D)
	$(call say,EMBED) tools/embed redis_$*_lua $< > $@

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(call say,CC) $(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.c $(BUILD)/config.h
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CPPFLAGS) $(EXTRA_CFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%.o: EXTRA_CFLAGS = $(CHECK_CFLAGS)

# ---- programs ---------------------------------------------------------------

.PHONY: all
all: $(BUILD)/simlaned $(BUILD)/simlane

ALL_LIBS = $(foreach m,$(MODULES),$(call lib,$(m)))

$(BUILD)/simlaned: $(BUILD)/src/main.o $(ALL_LIBS)
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

TOOL_LIBS = $(call lib,token) $(call lib,policy) $(call lib,config) $(call lib,base)
$(BUILD)/simlane: $(call objects_of,cli) $(TOOL_LIBS)
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# ---- tests ------------------------------------------------------------------

# Asked when it is needed, not by configure: `make check` may be the one that
# installs it into a tree that is configured already.
CHECK_CFLAGS = $(shell pkg-config --cflags check)
CHECK_LIBS = $(shell pkg-config --libs check)

UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
CONTRACT_TESTS := $(patsubst tests/contract/%.c,%,$(wildcard tests/contract/test_*.c))
UNIT ?=
unit_wanted = $(if $(UNIT),$(filter test_$(UNIT) test_$(UNIT)_%,$(UNIT_TESTS)),$(UNIT_TESTS))

# test_inbox_merge is linked with module inbox: the word after test_ names it
.SECONDEXPANSION:
word_of = $(firstword $(subst _, ,$(patsubst test_%,%,$(1))))
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $$(call libs_of,$$(call word_of,$$*))
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBS)

CONTRACT_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/contract/*.c))
$(BUILD)/tests/contract/test_store: $(CONTRACT_OBJECTS) $(call libs_of,store)
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBS)

SHIMS := $(patsubst tests/shim/%.c,$(BUILD)/tests/shim/%.so,$(wildcard tests/shim/*.c))
$(BUILD)/tests/shim/%.so: tests/shim/%.c
	@mkdir -p $(@D)
	$(call say,SHIM) $(CC) -D_GNU_SOURCE -std=c11 $(WARN) $(WERROR) -O1 -g -fPIC -shared -o $@ $< -ldl

.PHONY: unit contract scenario settings-check check-all
unit: $(foreach t,$(unit_wanted),$(BUILD)/tests/unit/$(t))
	@tools/run-tests $^

contract: $(foreach t,$(CONTRACT_TESTS),$(BUILD)/tests/contract/$(t)) | $(SHIMS)
	@tools/run-tests $^

scenario: all $(SHIMS)
	SIMLANE_BUILD=$(BUILD) SIMLANE_SANITIZE=$(SANITIZE) /usr/bin/python3 -m pytest -q tests/scenario $(SCENARIO)

# README.md and etc/simlane.env say what the table of settings says
settings-check: $(BUILD)/simlane
	@BUILD=$(BUILD) tools/update-settings --check

check-all: settings-check unit contract scenario

# ---- fuzz -------------------------------------------------------------------

FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ ?=
FUZZ_SECONDS ?= 60
FUZZ_BUILD = $(BUILD)/fuzz
FUZZ_SOURCES = $(filter-out src/cli/%,$(wildcard src/*/*.c))
FUZZ_OBJECTS = $(patsubst %.c,$(FUZZ_BUILD)/obj/%.o,$(FUZZ_SOURCES)) \
	$(patsubst $(BUILD)/%,$(FUZZ_BUILD)/obj/%,$(foreach m,$(MODULES),$(GENERATED_$(m))))
FUZZ_FLAGS := -std=c11 -O1 -g -pthread -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
fuzz_wanted = $(if $(FUZZ),fuzz_$(FUZZ),$(FUZZ_TARGETS))

$(FUZZ_BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c
	@mkdir -p $(@D)
	$(call say,FUZZ) clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

$(FUZZ_BUILD)/obj/%.o: %.c $(BUILD)/config.h
	@mkdir -p $(@D)
	$(call say,FUZZ) clang $(ALL_CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/libfuzzed.a: $(FUZZ_OBJECTS)
	@rm -f $@
	@$(AR) crs $@ $^

$(FUZZ_BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_BUILD)/libfuzzed.a
	$(call say,FUZZ) clang $(ALL_CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

.PHONY: fuzz-build fuzz-all
fuzz-build: $(foreach t,$(fuzz_wanted),$(FUZZ_BUILD)/$(t))
fuzz-all: fuzz-build
	@tools/run-fuzz $(FUZZ_BUILD) $(FUZZ_SECONDS) $(fuzz_wanted)

# ---- bench ------------------------------------------------------------------

BENCH_PROGRAMS := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
BENCH_MODULES_decision := policy
BENCH_MODULES_memory := store
BENCH_MODULES_fsync := inbox
$(BUILD)/bench/%: $(BUILD)/bench/%.o $$(call libs_of,$$(BENCH_MODULES_$$*))
	$(call say,LINK) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: bench-build bench-all
bench-build: $(BENCH_PROGRAMS)
bench-all: all bench-build
	@BUILD=$(BUILD) bench/run

# ---- lint -------------------------------------------------------------------

C_FILES := $(wildcard src/*.c src/*/*.c)
ALL_C_FILES := $(wildcard include/simlane/*.h src/*.c src/*/*.[ch] tests/*/*.[ch] bench/*.c)

.PHONY: lint-all lint-fast
lint-fast:
	tools/check-layers
	clang-format --dry-run -Werror $(ALL_C_FILES)
	shellcheck -x -S warning tools/embed tools/install-deps tools/run-* tools/check-layers tools/update-settings tests/demo \
		bench/run bench/scale bench/common .ci/run
lint-all: lint-fast $(BUILD)/config.h
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem -D_GNU_SOURCE -Iinclude -I$(BUILD) $(C_FILES)
	tools/run-tidy $(BUILD) $(ALL_CPPFLAGS) -std=c11 -- $(C_FILES)

# ---- install ----------------------------------------------------------------

.PHONY: install
install: all $(BUILD)/simlaned.8
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/doc/simlane \
		$(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)/etc/simlane
	install -m 0755 $(BUILD)/simlaned $(DESTDIR)$(PREFIX)/sbin/simlaned
	install -m 0755 $(BUILD)/simlane $(DESTDIR)$(PREFIX)/bin/simlane
	install -m 0644 doc/simlane.1 $(DESTDIR)$(PREFIX)/share/man/man1/simlane.1
	install -m 0644 $(BUILD)/simlaned.8 $(DESTDIR)$(PREFIX)/share/man/man8/simlaned.8
	install -m 0644 README.md LICENSE CHANGELOG.md etc/policy.json $(filter-out doc/simlane.1 doc/%.in,$(wildcard doc/*)) \
		$(DESTDIR)$(PREFIX)/share/doc/simlane/
	sed 's|@SBINDIR@|$(PREFIX)/sbin|' systemd/simlaned.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/simlaned.service
	test -e $(DESTDIR)/etc/simlane/simlane.env || \
		install -m 0640 etc/simlane.env $(DESTDIR)/etc/simlane/simlane.env

# the settings are the table's own words
$(BUILD)/simlaned.8: doc/simlaned.8.in $(BUILD)/simlane
	$(BUILD)/simlane settings man >$@.settings
	sed -e '/^@SETTINGS@$$/{r $@.settings' -e 'd;}' doc/simlaned.8.in >$@

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
