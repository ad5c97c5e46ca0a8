# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# Tandem. `sudo make demo` shows it, `sudo make check` tests it; both install
# what they need first. A new .c file needs no edit here: a program is its folder,
# a test is its file.

VARIANT    ?= release
B          ?= build/$(VARIANT)
PREFIX     ?= /usr
SYSCONFDIR ?= /etc
DESTDIR    ?=
JOBS       ?= 2
SECONDS_EACH ?= 30
VERSION    := 0.1.0

# One thing per variant: what is different about it.
FLAGS_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
FLAGS_asan    := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_fuzz    := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -fsanitize=fuzzer-no-link
LINK_release  := -pie -Wl,-z,relro,-z,now
LINK_asan     := -fsanitize=address,undefined
LINK_fuzz     := -fsanitize=address,undefined
ifeq ($(VARIANT),fuzz)
CC := clang-14
endif

CPPFLAGS += -I. -D_GNU_SOURCE -DOPENSSL_API_COMPAT=0x30000000L -DTANDEM_VERSION='"$(VERSION)"' -MMD -MP
CFLAGS   += -std=c11 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wno-unused-parameter $(FLAGS_$(VARIANT))
LDFLAGS  += $(LINK_$(VARIANT))
LDLIBS   := -luv -lconfuse -lssl -lcrypto -ljansson -lexpat -lhttp_parser -loath -lcrypt -lnftables -lmnl -lseccomp -lcap-ng

# Intel's AES-GCM, three times as fast as OpenSSL 3.0's on processors with VAES.
# Elsewhere it does not exist, and OpenSSL does all.
ifneq ($(wildcard /usr/include/intel-ipsec-mb.h),)
CPPFLAGS += -DHAVE_IPSEC_MB
LDLIBS   += -Wl,--as-needed -lIPSec_MB -Wl,--no-as-needed
endif

PROGRAMS := vpnd ctl hasync acme ddns
MAINS    := vpnd/vpnd.c ctl/vpnctl.c hasync/hasync.c acme/acmed.c ddns/ddnsd.c

src       = $(sort $(shell find $(1) -name '*.c'))
obj       = $(patsubst %.c,$(B)/obj/%.o,$(1))
# Everything but the main()s, so that a test links just what it uses.
lib_src  := $(filter-out $(MAINS),$(call src,common $(PROGRAMS)))
link      = $(filter %.o,$^) $(filter-out $(B)/lib.a,$(filter %.a,$^)) $(B)/lib.a
# Daemons use the same short names; each of these has an archive of its own.
OWN      := hasync acme ddns
lib_src  := $(filter-out $(OWN:%=%/%),$(lib_src))
own_src   = $(filter-out $(MAINS),$(call src,$(1)))
unit_src := $(wildcard tests/unit/*.c)
fuzz_src := $(wildcard tests/fuzz/fuzz_*.c)
perf_src := $(wildcard tests/perf/*.c)
units    := $(unit_src:tests/unit/%.c=$(B)/unit/%.t)
fuzzers  := $(fuzz_src:tests/fuzz/%.c=$(B)/fuzz/%)
perfs    := $(perf_src:tests/perf/%.c=$(B)/perf/%)

.PHONY: all check units unit system requirements asan fuzz fuzzers lint format demo deps-build deps-test \
        bench-login bench-idle bench-data bench-latency bench-fairness bench-failover bench-storm bench-return bench-swap bench-ddns bench-floods perfs install uninstall clean
all: $(addprefix $(B)/bin/,vpnd vpnctl hasync acmed ddnsd)

$(B)/lib.a: $(call obj,$(lib_src))
	@rm -f $@; ar rcs $@ $^
$(B)/hasync.a: $(call obj,$(call own_src,hasync))
$(B)/acme.a: $(call obj,$(call own_src,acme))
$(B)/ddns.a: $(call obj,$(call own_src,ddns))
$(OWN:%=$(B)/%.a):
	@rm -f $@; ar rcs $@ $^
$(B)/bin/vpnd: $(call obj,vpnd/vpnd.c) $(B)/lib.a
$(B)/bin/vpnctl: $(call obj,ctl/vpnctl.c) $(B)/lib.a
$(B)/bin/hasync: $(call obj,hasync/hasync.c) $(B)/hasync.a $(B)/lib.a
$(B)/bin/acmed: $(call obj,acme/acmed.c) $(B)/acme.a $(B)/lib.a
$(B)/bin/ddnsd: $(call obj,ddns/ddnsd.c) $(B)/ddns.a $(B)/lib.a
$(B)/bin/hasync: LDLIBS += -lcpg -lcmap
$(B)/bin/acmed: LDLIBS += -lcurl
$(B)/bin/ddnsd: LDLIBS += -lcurl -lldns
$(B)/bin/%:
	@mkdir -p $(@D); echo "  LD $@"; $(CC) $(LDFLAGS) -o $@ $(link) $(LDLIBS)
$(B)/unit/%.t: $(B)/obj/tests/unit/%.o $(B)/lib.a
	@mkdir -p $(@D); echo "  LD $@"; $(CC) $(LDFLAGS) -o $@ $(link) $(LDLIBS)
$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(B)/lib.a
	@mkdir -p $(@D); echo "  LD $@"; $(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(link) $(LDLIBS)
$(B)/perf/%: $(B)/obj/tests/perf/%.o $(B)/lib.a
	@mkdir -p $(@D); echo "  LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# A test of such a daemon says so by what it includes.
tests_of  = $(foreach t,$(shell grep -l '"$(1)/' tests/unit/*.c),$(t:tests/unit/%.c=$(B)/unit/%.t)) \
            $(foreach t,$(shell grep -l '"$(1)/' tests/fuzz/fuzz_*.c),$(t:tests/fuzz/%.c=$(B)/fuzz/%))
$(call tests_of,hasync): $(B)/hasync.a
$(call tests_of,acme): $(B)/acme.a
$(call tests_of,acme): LDLIBS += -lcurl
$(call tests_of,ddns): $(B)/ddns.a
$(call tests_of,ddns): LDLIBS += -lcurl -lldns
$(B)/obj/%.o: %.c
	@mkdir -p $(@D); echo "  CC $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# ---- tests ----

TANDEM_BIN := $(CURDIR)/$(B)/bin
export TANDEM_BIN
PROVE := prove -j$(JOBS) --timer -e tests/lib/tap-save
tests := $(wildcard tests/system/*.t)

deps-build:
	@deploy/setup build
deps-test:
	@deploy/setup test

check: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) all perfs units
	@$(PROVE) $(units) $(tests)
units: $(units)
unit: units
	@$(PROVE) $(units)
system: all perfs
	@$(PROVE) $(tests)

# Which requirement is tested where, with what result; runs the tests whose result is
# missing or old.
requirements: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) all perfs units
	@stale=$$(tests/requirements --stale $(units) $(tests)); \
	 [ -z "$$stale" ] || $(PROVE) $$stale || true
	@tests/requirements

# Unit tests under the sanitizers; `make asan WHAT=system` runs the system tests so,
# without the search for leaks: it needs ptrace, which confined processes do not have.
WHAT ?= unit
asan: deps-test
	@ASAN_OPTIONS=detect_leaks=$(if $(filter unit,$(WHAT)),1,0):abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
	 $(MAKE) --no-print-directory -j$(JOBS) VARIANT=asan $(WHAT)

fuzz: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=fuzz fuzzers
	@tests/fuzz/run build/fuzz/fuzz $(SECONDS_EACH) $(JOBS)
fuzzers: $(fuzzers)

lint: deps-test
	@deploy/lint
format:
	@clang-format-14 -i $$(git ls-files '*.c' '*.h')

demo: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@DEMO=$(DEMO) deploy/demo/demo.sh

bench-login bench-idle bench-data bench-latency bench-fairness bench-failover bench-storm bench-return bench-swap bench-ddns bench-floods: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) all perfs
	@tests/perf/$@
perfs: $(perfs)

# ---- installation ----

sbindir  := $(DESTDIR)$(PREFIX)/sbin
bindir   := $(DESTDIR)$(PREFIX)/bin
mandir   := $(DESTDIR)$(PREFIX)/share/man
docdir   := $(DESTDIR)$(PREFIX)/share/doc/tandem
compdir  := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
unitdir  := $(DESTDIR)/lib/systemd/system
userdir  := $(DESTDIR)$(PREFIX)/lib/sysusers.d
confdir  := $(DESTDIR)$(SYSCONFDIR)/tandem
SBIN     := vpnd hasync acmed ddnsd
mans     := $(wildcard doc/man/*.[578])

# Configuration that is there is never overwritten.
install: all
	install -d $(sbindir) $(bindir) $(docdir) $(compdir) $(unitdir) $(userdir) $(confdir)
	install -m755 $(addprefix $(B)/bin/,$(SBIN)) $(sbindir)/
	install -m755 $(B)/bin/vpnctl $(bindir)/vpnctl
	install -m644 deploy/completion/vpnctl $(compdir)/vpnctl
	install -m644 deploy/systemd/*.service $(unitdir)/
	install -d $(unitdir)/keepalived.service.d $(unitdir)/corosync.service.d
	install -m644 deploy/keepalived/tandem.conf $(unitdir)/keepalived.service.d/tandem.conf
	install -m644 deploy/corosync/tandem.conf $(unitdir)/corosync.service.d/tandem.conf
	install -m644 deploy/systemd/tandem.sysusers $(userdir)/tandem.conf
	[ -n "$(DESTDIR)" ] || ! command -v systemd-sysusers >/dev/null || systemd-sysusers tandem.conf
	install -m644 README.md CHANGES.md LICENSE deploy/tandem.conf deploy/node.conf $(docdir)/
	for f in tandem node; do [ -e $(confdir)/$$f.conf ] || \
	  install -m644 deploy/$$f.conf $(confdir)/$$f.conf; done
	for m in $(mans); do d=$(mandir)/man$${m##*.}; install -d $$d && install -m644 $$m $$d/; done

# The configuration and the state (users, keys, leases) stay: PURGE=1 removes them.
uninstall:
	rm -f $(addprefix $(sbindir)/,$(SBIN)) $(bindir)/vpnctl $(compdir)/vpnctl
	rm -f $(addprefix $(unitdir)/,$(notdir $(wildcard deploy/systemd/*.service))) $(userdir)/tandem.conf
	rm -f $(unitdir)/keepalived.service.d/tandem.conf $(unitdir)/corosync.service.d/tandem.conf
	rm -rf $(docdir)
	for m in $(notdir $(mans)); do rm -f $(mandir)/man$${m##*.}/$$m; done
	[ -z "$(PURGE)" ] || rm -rf $(confdir) $(DESTDIR)/var/lib/tandem

clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:
