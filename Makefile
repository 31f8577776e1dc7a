# SPDX-License-Identifier: Apache-2.0
# A thin layer: meson builds, pip installs into .venv, meson and pytest test. `make help` lists the targets.

PYTHON ?= python3
CC     ?= cc
VENV   ?= .venv
BUILD  ?= build
WERROR ?= false

PYTHONS = 3.10 3.11 3.12 3.13
C_FILES = $(shell git ls-files '*.[ch]')
SOURCES = $(shell find include lib python -name '.*cache' -prune -o -name __pycache__ -prune -o -print) \
          $(shell find . -name meson.build -not -path './build*') meson.options pyproject.toml

BIN   = $(CURDIR)/$(VENV)/bin
MESON = PATH="$(BIN):$$PATH" meson
PIP   = $(BIN)/python -m pip --disable-pip-version-check --quiet

# SIGABRT makes a hung run print its stacks: pytest's own watchdog ignores a test that has already failed.
# Tests mostly wait for processes, so as many run at once as there are CPUs.
JOBS  ?= $(shell nproc)
PYTEST = timeout --foreground --signal ABRT --kill-after 30 20m $(BIN)/python -m pytest --quiet --numprocesses $(JOBS)

# System packages for the build: Debian's name, and a command that succeeds if the package is there.
define SYSTEM_PACKAGES
gcc           $(CC) --version
g++           c++ --version
libc6-dev     echo '#include <stdio.h>' | $(CC) -E -
pkg-config    pkg-config --version
libcmocka-dev pkg-config --exists cmocka
libseccomp-dev pkg-config --exists libseccomp
python3-dev   $(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'
python3-venv  $(PYTHON) -c 'import ensurepip, venv'
endef
export SYSTEM_PACKAGES

# Further packages for `make fuzz`: clang, and its sanitizers, which have a package of their own.
CLANG_MAJOR = $(shell apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$$/\1/p')
define FUZZ_PACKAGES
clang         clang --version
libclang-rt-$(CLANG_MAJOR)-dev echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c - -o /dev/null
endef
fuzz-packages: SYSTEM_PACKAGES = $(FUZZ_PACKAGES)

MISSING = echo "$$SYSTEM_PACKAGES" | while read -r package probe; do sh -c "$$probe" >/dev/null 2>&1 || echo $$package; done | xargs
APT = apt-get install --yes --no-install-recommends

.NOTPARALLEL:
.DELETE_ON_ERROR:

build: $(VENV)/.pinfold ## build the package into .venv; the C library, its tests and examples into build/ (default)

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

system-packages fuzz-packages:
	@missing=$$($(MISSING)); [ -z "$$missing" ] && exit; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	    echo >&2 "Missing from this system; on Debian or Ubuntu: sudo $(APT) $$missing"; exit 1; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update --quiet; $(APT) $$missing; \
	missing=$$($(MISSING)); [ -z "$$missing" ] || { echo >&2 "Still missing: $$missing"; exit 1; }

$(VENV)/.packages: pyproject.toml
	@$(MAKE) --no-print-directory system-packages
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --group build --group test --group demo
	touch $@

$(VENV)/.pinfold: $(VENV)/.packages $(SOURCES)
	PATH="$(BIN):$$PATH" $(PIP) install --no-build-isolation . \
	    -Cbuild-dir=$(BUILD) -Csetup-args=-Dtests=enabled -Csetup-args=-Dwerror=$(WERROR)
	touch $@

# Some tests of each folder, none of them slow.
FAST = $(addprefix tests/python/, codec/test_codec_data.py codec/test_codec_pickle.py codec/test_wire.py \
    $(addprefix api/test_, backend.py call.py config.py errors.py futures.py handlers.py hooks.py house.py) \
    engine/test_interrupts.py engine/test_shutdown.py sandbox/test_cgroup.py \
    $(addprefix worker/test_execute_, call.py error.py path.py reset.py))

# Times hold on two quiet cores with an existing build; a clean one adds half a minute.
test-fast: build ## run the C unit tests and the quick Python tests, after each edit: under 60 s
	$(MESON) test -C $(BUILD) --print-errorlogs --suite unit
	$(PYTEST) -m "not long and not exhaustive" $(FAST)

test: test-c test-python ## run the C and Python tests, before each commit: under 6 minutes

test-full: test-long test-libraries test-asan test-tsan ## run what `make test` leaves out: about half an hour

test-c: build ## part of `make test`: the C tests and examples
	$(MESON) test -C $(BUILD) --print-errorlogs

test-python: build ## part of `make test`: the Python tests
	$(PYTEST) -m "not long and not exhaustive"

test-long: build ## part of `make test-full`: Python tests that take long, with short rounds of chaos and soak
	$(PYTEST) -m long

test-exhaustive: build ## run every program of the tests beside Python, and every impostor, in every mode and sandbox
	$(PYTEST) -m exhaustive

# A second build, all of it instrumented. gcc's ASan must be the first library of a process that it did not link, and
# sees Python's allocations only if they use malloc. Leaks of the interpreter itself are ignored.
ASAN_BUILD = build-asan
ASAN_SITE  = $(CURDIR)/$(ASAN_BUILD)/stage/site
ASAN_ENV   = LD_PRELOAD=$$($(CC) -print-file-name=libasan.so) PYTHONMALLOC=malloc PYTHONPATH=$(ASAN_SITE) \
             ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1

ASAN_INSTALL = $(MESON) install -C $(ASAN_BUILD) --quiet --tags python-runtime \
               --destdir $(CURDIR)/$(ASAN_BUILD)/stage

$(ASAN_BUILD)/build.ninja: $(VENV)/.packages meson.options
	rm -rf $(ASAN_BUILD)
	$(MESON) setup $(ASAN_BUILD) -Doptimization=1 -Dtests=enabled -Dfaults=enabled -Dwerror=$(WERROR) \
	    -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fno-sanitize-recover=undefined \
	    -Dprefix=/ -Dpython.platlibdir=/site -Dpython.purelibdir=/site

test-asan: build $(ASAN_BUILD)/build.ninja ## part of `make test-full`: C tests, extensions, faults under ASan and UBSan
	$(MESON) test -C $(ASAN_BUILD) --print-errorlogs --timeout-multiplier 4
	$(ASAN_INSTALL)
	$(ASAN_ENV) $(PYTEST) -m extension

# A scenario that fails does not keep the next one from running.
FAULTS     = $(BIN)/python tests/stress/faults/every_fault.py
OF_RUNTIME = --only '^(_(runtime|state|box|probe)|pinfold-guard)' --calls $(FAULTS_CALLS) $(ASAN_BUILD) \
             env $(ASAN_ENV) $(BIN)/python tests/stress/faults/scenario.py
FAULTS_CALLS ?= 1

faults: build $(ASAN_BUILD)/build.ninja ## let every call to the kernel and the allocator fail; hours with FAULTS_CALLS=1000
	$(MESON) compile -C $(ASAN_BUILD)
	$(ASAN_INSTALL)
	@status=0; \
	for isolation in 0 1 2; do $(FAULTS) $(ASAN_BUILD) $(ASAN_BUILD)/tests/c/scenario $$isolation || status=1; done; \
	for isolation in 'fresh none' 'reuse none' 'spawn standard' 'fresh strict'; do \
	    $(FAULTS) $(OF_RUNTIME) $$isolation || status=1; \
	done; exit $$status

# A third build, of the C library alone. ThreadSanitizer needs a known address layout, so randomisation is off where
# setarch can turn it off.
TSAN_BUILD = build-tsan
RACES     ?= 24
NO_ASLR    = $(shell setarch -R true 2>/dev/null && echo setarch -R)

$(TSAN_BUILD)/build.ninja: $(VENV)/.packages
	rm -rf $(TSAN_BUILD)
	$(MESON) setup $(TSAN_BUILD) -Doptimization=1 -Dtests=enabled -Dpython=false -Dwerror=$(WERROR) \
	    -Db_sanitize=thread -Db_lundef=false

test-tsan: $(TSAN_BUILD)/build.ninja ## part of `make test-full`: the C library's threads under TSan; RACES=24 steps each
	PATH="$(BIN):$$PATH" PINFOLD_RACES=$(RACES) $(NO_ASLR) meson test -C $(TSAN_BUILD) --print-errorlogs \
	    --timeout-multiplier 4 ahead races threads

test-all: ## run all Python tests on each of Python 3.10 to 3.13 that this machine has
	@for version in $(PYTHONS); do \
	    python=$$(pyenv prefix $$version 2>/dev/null)/bin/python3; \
	    [ -x "$$python" ] || python=python$$version; \
	    if $$python -c '' 2>/dev/null; then \
	        echo "== Python $$version"; \
	        $(MAKE) --no-print-directory test-python test-long PYTHON=$$python \
	            VENV=.venv-$$version BUILD=build-$$version || exit; \
	    else \
	        echo "== Python $$version: skipped, not on this machine"; \
	    fi; \
	done

# Computing libraries, in a virtual environment of their own, with the package as .venv has it. Torch's CPU build is
# 0.7 GB; where pip would install the GPU build, PIP_EXTRA_INDEX_URL can name an index with the CPU build.
LIBRARIES = .venv-libraries

$(LIBRARIES)/.packages: tests/python/libraries.txt $(VENV)/.packages
	$(BIN)/python -m venv $(LIBRARIES)
	$(LIBRARIES)/bin/python -m pip --disable-pip-version-check --quiet install --upgrade -r tests/python/libraries.txt
	touch $@

$(LIBRARIES)/.pinfold: $(LIBRARIES)/.packages $(VENV)/.pinfold
	rm -rf $(BUILD)/wheel
	PATH="$(BIN):$$PATH" $(PIP) wheel --no-build-isolation --no-deps --wheel-dir $(BUILD)/wheel . \
	    -Cbuild-dir=$(BUILD) -Csetup-args=-Dtests=enabled -Csetup-args=-Dwerror=$(WERROR)
	$(LIBRARIES)/bin/python -m pip --disable-pip-version-check --quiet install --force-reinstall --no-deps \
	    $(BUILD)/wheel/*.whl
	touch $@

test-libraries: $(LIBRARIES)/.pinfold ## part of `make test-full`: other libraries in calls; installs them
	timeout --foreground --signal ABRT --kill-after 30 20m $(LIBRARIES)/bin/python -m pytest --quiet -m libraries

# Peers are installed at their newest releases, but with the same numpy. Ray is large, and not every Python has it.
.venv-bench/.packages: bench/peers.txt $(VENV)/.packages
	$(BIN)/python -m venv .venv-bench
	.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install --upgrade -r bench/peers.txt \
	    "numpy==$$($(BIN)/python -c 'import numpy; print(numpy.__version__)')"
	-.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install --upgrade --only-binary :all: ray
	touch $@

bench: build .venv-bench/.packages ## measure beside other pools; BENCH=name for one scenario
	$(BIN)/python -m bench $(BENCH)

chaos: build ## kill processes at random, CHAOS_ROUNDS=400; CHAOS_SEED= repeats a round, CHAOS_CLOCK=1 turns the clock
	$(BIN)/python tests/stress/chaos/chaos.py

hostile: build ## run every hostile program at every level; write the table into docs/security.md
	$(BIN)/python tests/stress/hostile/hostile_run.py --markdown $(BUILD)/hostile.md
	$(BIN)/python tests/stress/hostile/insert.py $(BUILD)/hostile.md docs/security.md

# A fourth build, by clang: libFuzzer's targets, and the extensions that two of them load.
FUZZ_BUILD    = build-fuzz
FUZZ_SECONDS ?= 60
FUZZ_TARGET  ?= frame payload pool channel data

$(FUZZ_BUILD)/build.ninja: $(VENV)/.packages
	$(MAKE) --no-print-directory fuzz-packages
	rm -rf $(FUZZ_BUILD)
	CC=clang $(MESON) setup $(FUZZ_BUILD) -Doptimization=1 -Dfuzzer=true -Dtests=disabled -Dprefix=/ \
	    -Dpython.platlibdir=/site -Dpython.purelibdir=/site -Db_sanitize=address,undefined -Db_lundef=false \
	    -Dc_args='-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined'

fuzz: $(FUZZ_BUILD)/build.ninja ## run each fuzz target for FUZZ_SECONDS=60, or those of FUZZ_TARGET=
	$(MESON) compile -C $(FUZZ_BUILD)
	$(MESON) install -C $(FUZZ_BUILD) --quiet --tags python-runtime --destdir $(CURDIR)/$(FUZZ_BUILD)/stage
	$(BIN)/python fuzz/run.py $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZ_TARGET)

SOAK_CALLS ?= 1000000
soak: build ## run a long mixed load, SOAK_CALLS=1000000, and report whether anything grows
	$(BIN)/python tests/stress/soak/soak.py --calls $(SOAK_CALLS)

demo: build ## evaluate a folder of candidate programs
	$(BIN)/python examples/circle_packing/demo.py

$(VENV)/.lint-packages: $(VENV)/.packages
	$(PIP) install --group lint
	touch $@

lint: $(VENV)/.lint-packages ## run clang-format, ruff, mypy --strict
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.lint-packages ## run clang-format and ruff to repair what `make lint` would refuse
	$(BIN)/clang-format -i $(C_FILES)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

tidy: build ## run clang-tidy
	clang-tidy --quiet -p $(BUILD) $(filter %.c,$(C_FILES))

clean: ## remove the builds
	rm -rf build build-* .venv/.pinfold .venv-*/.pinfold .pytest_cache .hypothesis .mypy_cache .ruff_cache

distclean: clean ## remove the builds and the virtual environments
	rm -rf .venv .venv-*

.PHONY: build help system-packages test-fast test test-full test-c test-python test-long test-exhaustive test-libraries test-asan test-tsan test-all faults chaos bench hostile fuzz fuzz-packages soak demo lint format tidy clean distclean
