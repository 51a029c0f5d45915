# Quench: one binary, one Makefile.
#
#   make                build/release/quench
#   make demo           installs what is missing, builds, hardens a real image end to end
#   make check          installs what is missing, builds, runs every test
#   make install        DESTDIR, PREFIX, SYSCONFDIR and UNITDIR are respected
#   make help           every target
#
# FLAVOUR is release, debug, asan, tsan, cov or fuzz; each has its own objects under build/FLAVOUR.
FLAVOUR    ?= release
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR    ?= /lib/systemd/system
VERSION    := 0.1.0
B          := build/$(FLAVOUR)

ifeq ($(FLAVOUR),fuzz)
CC := clang
else
CC ?= gcc
endif
CC_IS_CLANG := $(findstring clang,$(shell $(CC) --version | head -n 1))

PKGS    := libmicrohttpd libcurl jansson libcrypto libarchive sqlite3 yaml-0.1 libzstd zlib libisal libseccomp
LIBS     = $(shell pkg-config --libs $(PKGS)) -lcrypt -lpthread -lm
PKGDIRS  = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(PKGS)))

WARN := -Wall -Wextra -Wpedantic -Werror -Wformat=2 -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wold-style-definition -Wredundant-decls -Wnested-externs -Wpointer-arith -Wcast-qual \
        -Wcast-align -Wwrite-strings -Wundef -Wvla -Walloca -Wswitch-enum -Wswitch-default -Wimplicit-fallthrough \
        -Wnull-dereference -Wdouble-promotion -Wdate-time -Wframe-larger-than=40960 -Wno-format-truncation
ifeq ($(CC_IS_CLANG),)
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Walloc-zero -Wtrampolines \
        -Wcast-align=strict
else
WARN += -Wconditional-uninitialized -Wno-gnu-statement-expression -Wno-unknown-warning-option -Wno-pedantic
endif
# The sanitizers change what the optimizer can see; these two then warn about code that cannot run.
SANWARN := -Wno-null-dereference -Wno-stringop-overflow -Wno-maybe-uninitialized

BASE    := -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fno-common -fno-strict-aliasing -fno-omit-frame-pointer \
           -Ilib -I. -DQN_VERSION='"$(VERSION)"'
HARDEN  := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
ifeq ($(CC_IS_CLANG),)
HARDEN  += -fstack-clash-protection -ftrivial-auto-var-init=zero
endif
FLAGS.release := -O2 -g $(HARDEN)
FLAGS.debug   := -O0 -g -fPIE
FLAGS.asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fPIE $(SANWARN)
FLAGS.tsan    := -O1 -g -fsanitize=thread -fPIE $(SANWARN)
FLAGS.cov     := -O0 -g --coverage -fPIE
FLAGS.fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fPIE $(SANWARN)
LINK.release  := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed
LINK.debug    := -pie
LINK.asan     := -pie -fsanitize=address,undefined
LINK.tsan     := -pie -fsanitize=thread
LINK.cov      := -pie --coverage
LINK.fuzz     := -fsanitize=address,undefined
CFLAGS_ALL     = $(BASE) $(WARN) $(FLAGS.$(FLAVOUR)) $(PKGDIRS) $(CFLAGS)
LDFLAGS_ALL    = $(LINK.$(FLAVOUR)) $(LDFLAGS)

ROOMS      := base formats store upstream image harden worker service
LIB_SRC    := $(sort $(foreach r,$(ROOMS),$(wildcard lib/$(r)/*.c)))
DAEMON_SRC := $(sort $(wildcard daemon/*.c))
UNIT_SRC   := $(sort $(wildcard tests/unit/*.c))
FUZZ_SRC   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
LIB_OBJ    := $(LIB_SRC:%.c=$(B)/%.o)
# The daemon's objects without main(), for the unit tests.
DAEMON_OBJ := $(filter-out $(B)/daemon/main.o,$(DAEMON_SRC:%.c=$(B)/%.o))
UNIT_OBJ   := $(UNIT_SRC:%.c=$(B)/%.o)
FUZZ_OBJ   := $(FUZZ_SRC:%.c=$(B)/%.o)
BENCH_OBJ  := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard tests/bench/*.c)))

all: $(B)/quench

help: ## print this list
	@sed -n 's/^\([a-z_-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 24

# A change of compiler or flags rebuilds everything of the flavour.
$(B)/.flags: FORCE
	@mkdir -p $(B)
	@echo '$(subst ','\'',$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL))' | cmp -s - $@ || \
	 echo '$(subst ','\'',$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL))' > $@
FORCE:

$(B)/%.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	@echo '  CC      $<'
	@$(CC) $(CFLAGS_ALL) $(EXTRA_$(subst /,_,$*)) -MMD -MP -c -o $@ $<

$(B)/libquench.a: $(LIB_OBJ)
	@rm -f $@
	@ar rcsD $@ $^

$(B)/quench: $(B)/daemon/main.o $(DAEMON_OBJ) $(B)/libquench.a
	@echo '  LINK    $@'
	@$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# Files embedded with .incbin must rebuild their user.
$(B)/lib/store/sql.o: lib/store/schema.sql
$(B)/daemon/admin_snippet.o: $(wildcard conf/snippets/*/*)
$(B)/daemon/%.o: EXTRA = -DQN_SOURCE_ROOT='"$(CURDIR)"'

# --- tests -----------------------------------------------------------------------------------------------------
$(B)/tests/unit/suites.h: $(UNIT_SRC)
	@mkdir -p $(@D)
	@for f in $(basename $(notdir $(filter tests/unit/test_%,$(UNIT_SRC)))); do echo "X($${f#test_})"; done > $@
$(B)/tests/unit/main.o: $(B)/tests/unit/suites.h
$(UNIT_OBJ): CFLAGS_ALL += -I$(B)/tests/unit -Itests -Wno-missing-prototypes -Wno-format-nonliteral -Wno-switch-enum -Wno-null-dereference

$(B)/unit: $(UNIT_OBJ) $(DAEMON_OBJ) $(B)/libquench.a
	@echo '  LINK    $@'
	@$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs check) $(LIBS)

unit: ## unit tests of this flavour
	@$(MAKE) --no-print-directory $(B)/unit
	@QUENCH_WORKER=$(CURDIR)/$(B)/quench $(B)/unit

$(B)/tests/fuzz/targets.h: $(FUZZ_SRC)
	@mkdir -p $(@D)
	@for f in $(FUZZ_NAMES); do echo "X($$f)"; done > $@
$(B)/tests/fuzz/replay.o: $(B)/tests/fuzz/targets.h
$(B)/tests/fuzz/replay.o: CFLAGS_ALL += -I$(B)/tests/fuzz
ifneq ($(FLAVOUR),fuzz)
$(B)/tests/fuzz/fuzz_%.o: CFLAGS_ALL += -DLLVMFuzzerTestOneInput=qn_$(notdir $*) -Itests
else
$(B)/tests/fuzz/fuzz_%.o: CFLAGS_ALL += -Itests
endif
$(B)/replay: $(FUZZ_OBJ) $(B)/tests/fuzz/replay.o $(DAEMON_OBJ) $(B)/libquench.a
	@echo '  LINK    $@'
	@$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)
replay: ## every fuzz target over its corpus, and over simple mutations of it
	@$(MAKE) --no-print-directory $(B)/replay
	@$(B)/replay tests/fuzz/corpus

$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(DAEMON_OBJ) $(B)/libquench.a
	@$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS)
FUZZ_TIME ?= 60
fuzz: ## libFuzzer over every target, FUZZ_TIME seconds each (FLAVOUR=fuzz is implied)
	@$(MAKE) --no-print-directory FLAVOUR=fuzz $(FUZZ_NAMES:%=build/fuzz/fuzz_%)
	@for f in $(FUZZ_NAMES); do mkdir -p build/fuzz/corpus/$$f tests/fuzz/corpus/$$f; \
	 echo "== $$f"; build/fuzz/fuzz_$$f -max_total_time=$(FUZZ_TIME) -timeout=20 -rss_limit_mb=2048 -print_final_stats=0 \
	   -verbosity=0 build/fuzz/corpus/$$f tests/fuzz/corpus/$$f || exit 1; done

lint: ## floors, sizes, tables, banned calls, format
	@python3 scripts/lint.py
format: ## rewrite every C file as .clang-format says
	@clang-format -i $(wildcard lib/*/*.[ch] daemon/*.[ch] tests/unit/*.[ch] tests/fuzz/*.[ch] tests/bench/*.[ch])
headers: ## every header compiles alone
	@for h in $(filter-out lib/base/compiler.h,$(wildcard lib/*/*.h daemon/*.h)); do \
	 echo "#include \"$$h\"" | $(CC) $(BASE) $(WARN) $(PKGDIRS) -x c -fsyntax-only - || { echo "$$h does not stand alone"; exit 1; }; done

deps: ## install build and run dependencies from Debian packages
	@scripts/install-deps build
deps-test: ## install what the tests need as well
	@scripts/install-deps test

check: ## everything: dependencies, build, lint, unit, replay, integration
	@scripts/check
integration: ## pytest against the release binary
	@$(MAKE) --no-print-directory FLAVOUR=release build/release/quench
	@python3 -m pytest -q tests/integration
conformance: ## the OCI distribution specification's tests against a real server; needs Go 1.24
	@scripts/install-deps test
	@$(MAKE) --no-print-directory FLAVOUR=release build/release/quench
	@python3 scripts/conformance.py
crash: ## kill -9 in the middle of pushes, KILLS times
	@$(MAKE) --no-print-directory FLAVOUR=release build/release/quench
	@QUENCH_KILLS=$(or $(KILLS),300) python3 -m pytest -q -s tests/integration/test_push_crash.py
corpus: ## every image of the corpus before and after, under every profile, as a table
	@scripts/install-deps corpus
	@$(MAKE) --no-print-directory FLAVOUR=release build/release/quench
	@python3 tests/corpus/run.py $(CORPUS)
demo: ## harden a real image end to end
	@scripts/demo
$(B)/engine: $(B)/tests/bench/engine.o $(B)/libquench.a
	@$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)
bench: ## ratios against peers in one interleaved run
	@scripts/install-deps bench
	@$(MAKE) --no-print-directory FLAVOUR=release build/release/quench build/release/engine
	@python3 tests/bench/run.py $(BENCH)

install: ## install binary, configuration, units
	@$(MAKE) --no-print-directory FLAVOUR=release build/release/quench
	install -D -m 0755 build/release/quench $(DESTDIR)$(PREFIX)/bin/quench
	install -D -m 0644 systemd/quench.service $(DESTDIR)$(UNITDIR)/quench.service
	install -D -m 0644 systemd/quench.socket $(DESTDIR)$(UNITDIR)/quench.socket
	@if [ -e $(DESTDIR)$(SYSCONFDIR)/quench/quench.yaml ]; then echo "keeping $(DESTDIR)$(SYSCONFDIR)/quench/quench.yaml"; \
	 else install -D -m 0644 conf/quench.yaml $(DESTDIR)$(SYSCONFDIR)/quench/quench.yaml; fi
	sed -i 's|@PREFIX@|$(PREFIX)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g' $(DESTDIR)$(UNITDIR)/quench.service
uninstall: ## remove what install put there; the configuration stays
	rm -f $(DESTDIR)$(PREFIX)/bin/quench $(DESTDIR)$(UNITDIR)/quench.service $(DESTDIR)$(UNITDIR)/quench.socket

compile_commands: ## compile_commands.json for clang tools
	@python3 scripts/compile_commands.py '$(BASE) $(FLAGS.debug) $(PKGDIRS)' > compile_commands.json
clean: ## remove everything built
	rm -rf build

.PHONY: all help unit replay fuzz lint format headers deps deps-test check integration conformance crash corpus demo bench install uninstall \
        compile_commands clean FORCE
.SECONDARY:

-include $(LIB_OBJ:.o=.d) $(DAEMON_SRC:%.c=$(B)/%.d) $(UNIT_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d) $(BENCH_OBJ:.o=.d)
