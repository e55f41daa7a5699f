# PGXS builds the module; the gateway is a program of its own with its own rule, because one PGXS
# Makefile may hold a module or a program, not both. The version is read from rtd.control.
EXTENSION = rtd
RTD_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" rtd.control)
DATA_built = rtd--$(RTD_VERSION).sql
MODULE_big = rtd

BUILD = build
OBJS = $(patsubst %.cpp,%.o,src/rtd.cpp $(wildcard src/pg/*/*.cpp))
CORE = $(BUILD)/librtd_core.a
CORE_OBJS = $(patsubst src/%.cpp,$(BUILD)/%.o,$(wildcard src/core/*.cpp src/router/*.cpp))
GATEWAY = $(BUILD)/rtd-gateway
GATEWAY_OBJS = $(patsubst src/%.cpp,$(BUILD)/%.o,$(wildcard src/gateway/*.cpp src/gateway/*/*.cpp))
GATEWAY_LIBS = -luv -lwslay -ljansson -lssl -lcrypto -lz

SHLIB_LINK = $(CORE) -lstdc++ -ljansson

REGRESS = $(patsubst expected/%.out,%,$(sort $(wildcard expected/*.out)))
REGRESS_OPTS = --inputdir=. --load-extension=rtd

EXTRA_CLEAN = $(BUILD) $(OBJS:.o=.d)

# The same choice as in tests and demo: the pg_config of the path if its server is whole, else the
# newest whole server. What it lacks is said below, where it is needed.
ifndef PG_CONFIG
PG_CONFIG := $(shell . test/lib/deps.sh && choose_server && echo "$$PG_CONFIG")
endif
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
SERVER_HEADERS := $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)
# From the command line or the environment; PGXS would have its server's.
RTD_CXX := $(if $(filter default undefined,$(origin CXX)),g++,$(CXX))
override with_llvm = no
-include $(PGXS)

CXX = $(RTD_CXX)
CXX_STANDARD = -std=c++20
# What a newer compiler warns of is no reason for a user's build to end.
WARNINGS = -Wall -Wextra $(if $(filter 1 true yes,$(CI) $(WERROR)),-Werror)
OPTIMISE ?= -O2 -g
DEFINES = -DRTD_VERSION='"$(RTD_VERSION)"'
# -isystem keeps warnings in the server's headers from being ours; no exceptions cross into C.
MODULE_FLAGS = $(CXX_STANDARD) $(WARNINGS) $(OPTIMISE) -fPIC -fvisibility=hidden -Isrc \
	-isystem $(SERVER_HEADERS) -D_GNU_SOURCE $(DEFINES)
# No server header is in the include path of anything that goes into the gateway: the fence.
PLAIN_FLAGS = $(CXX_STANDARD) $(WARNINGS) $(OPTIMISE) -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	-Isrc $(DEFINES)

all: $(BUILD)/server $(GATEWAY)

# Objects of the module are of one server: another PG_CONFIG compiles them anew.
$(BUILD)/server: FORCE
	@[ -f '$(SERVER_HEADERS)/postgres.h' ] && [ -f '$(PGXS)' ] || { \
		echo "There is no postgres.h and pgxs.mk of a server where '$(PG_CONFIG)' says."; \
		echo "Debian has them in postgresql-server-dev-N; PG_CONFIG=... names another server's pg_config."; \
		exit 1; } >&2
	@mkdir -p $(@D)
	@echo '$(SERVER_HEADERS) $(VERSION)' | cmp -s - $@ || echo '$(SERVER_HEADERS) $(VERSION)' >$@

FORCE:

$(OBJS): $(BUILD)/server

src/%.o: src/%.cpp
	$(CXX) $(MODULE_FLAGS) -MMD -MP -c -o $@ $<

# core/ is built once, for the module and the gateway.
$(BUILD)/%.o: src/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(PLAIN_FLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$(CORE): $(CORE_OBJS)
	$(RM) $@
	$(AR) rcs $@ $^

rtd.so: $(CORE)

$(GATEWAY): $(GATEWAY_OBJS) $(CORE)
	$(CXX) $(OPTIMISE) -pie -Wl,-z,relro,-z,now -o $@ $^ $(GATEWAY_LIBS)

# page.cpp embeds the page; the assembler's .incbin is invisible to -MMD.
$(BUILD)/gateway/http/page.o: src/gateway/http/page.html

rtd--$(RTD_VERSION).sql: sql/rtd.sql
	cp $< $@

install: install-gateway
install-gateway: $(BUILD)/server $(GATEWAY)
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_PROGRAM) $(GATEWAY) '$(DESTDIR)$(pkglibdir)/rtd-gateway'

uninstall: uninstall-gateway
uninstall-gateway: $(BUILD)/server
	rm -f '$(DESTDIR)$(pkglibdir)/rtd-gateway'

-include $(OBJS:.o=.d) $(CORE_OBJS:.o=.d) $(GATEWAY_OBJS:.o=.d)

.PHONY: FORCE install-gateway uninstall-gateway

# ---- Development: tests, demo, measurements. What they need is in test/lib/deps.sh. ----

# Everything; `make check` is what needs no server and takes less than a minute.
test:
	./test/run

# PGXS claims `check`, only to say that it cannot; ours is there, with make's warning, when asked for.
ifneq ($(filter check,$(MAKECMDGOALS)),)
check: $(GATEWAY)
	@for suite in $(wildcard test/unit/run test/gateway/run test/tidy.sh); do ./$$suite || exit 1; done
endif

demo:
	./demo/run

bench:
	./bench/latency/run
	./bench/writers/run
	./bench/fanout/run
	./bench/keyed/run
	./bench/instances/run
	./bench/deflate/run
	./bench/idle

# The load generator of bench/fanout.
$(BUILD)/bench/fanout-load: bench/fanout/load.cpp bench/fanout/histogram.h
	@mkdir -p $(@D)
	$(CXX) $(PLAIN_FLAGS) -o $@ $< -luv

$(BUILD)/bench/deflate: bench/deflate/deflate.cpp $(CORE)
	@mkdir -p $(@D)
	$(CXX) $(PLAIN_FLAGS) -o $@ $^ -ljansson -lz

SOURCES = $(wildcard src/*.cpp src/*/*.cpp src/*/*.h src/*/*/*.cpp src/*/*/*.h test/unit/*.cpp test/gateway/*.cpp test/gateway/*.h bench/*/*.cpp bench/*/*.h)

format:
	clang-format -i $(SOURCES)

lint:
	clang-format --dry-run -Werror $(SOURCES)
	clang-tidy --quiet $(wildcard src/core/*.cpp src/router/*.cpp src/gateway/*.cpp src/gateway/*/*.cpp) -- $(PLAIN_FLAGS) -Werror
	clang-tidy --quiet $(wildcard src/*.cpp src/pg/*/*.cpp) -- $(MODULE_FLAGS) -Werror

.PHONY: test check demo bench format lint
