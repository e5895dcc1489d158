# make demo    a first look, on a SQLite database of its own; needs only Python 3.11+ and make
# make test    every test, on SQLite and on a real PostgreSQL, both brought along
# make check   lint, format and types; changes nothing
# make fix     let ruff mend what it can
#
# make example-fastapi, make example-flask    an application with session_store in it, installed from the wheel
#
# make matrix        the long suite: each way to install by each way to migrate, the examples end to end, ...
# make faults        real damage around the store, and a row for each fault of what was lost; SHARE=0.02 for little
# make fuzz          every public call with good, bad and hostile arguments, some 200,000 times
# make bench         what every call costs beside SQL by hand, with PEERS=1 beside other libraries; see benchmarks/README.md
# make bench-smoke   each benchmark once, on next to nothing
# make conformance   the conformance suite on every Python that is here
# make docs          the documentation as a site, in build/docs
# make pages         the pages that are made of the code: the picture of the package, the command line

PYTHON ?= python3
VENV ?= .venv
SQLALCHEMY ?= $(shell sed -n 's/^sqlalchemy==//p' constraints.txt)
SQLALCHEMY_OLDER := 2.0.58
JOBS ?= 2
ARGS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --editable

# pip takes pins for the build backend from the second name, older pips from the first.
export PIP_CONSTRAINT := $(VENV)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(VENV)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Without its cached bytecode pytest rewrites every test module again at each start.
unexport PYTHONDONTWRITEBYTECODE

PEERS ?=
PEERS_VENV := .venv-peers
BENCH_DIR ?= build/benchmarks
BENCH_PYTHON := $(if $(PEERS),$(PEERS_VENV),$(VENV))/bin/python

HOSTS := .venv-hosts
REQUIREMENTS := $(wildcard examples/*/requirements.txt)
SOURCES := $(shell find session_store -name '*.py')
LONG := matrix or hosts or long or faults
SHARE ?= 1
EXAMPLES ?= 32000
PYTHONS := $(foreach version,3.11 3.12 3.13,$(if $(shell python$(version) -c 'print(1)' 2>/dev/null),python$(version)))

.PHONY: demo test test-older matrix matrix-sample faults fuzz bench bench-smoke conformance docs pages example-fastapi example-flask check fix coverage

demo: $(VENV)/cli.stamp
	$(BIN)/python examples/demo.py

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(JOBS) $(ARGS)

# The older line of SQLAlchemy, together with the older PostgreSQL.
test-older: export SESSION_STORE_TEST_POSTGRES_VERSION = 16
test-older:
	$(MAKE) test VENV=.venv-sqlalchemy20 SQLALCHEMY=$(SQLALCHEMY_OLDER) ARGS='-m "not ($(LONG) or once)" $(ARGS)'

# Two example hosts, and the tests that need environments of their own or more time than a change allows.
matrix: export SESSION_STORE_TEST_HOSTS_PYTHON = $(CURDIR)/$(HOSTS)/bin/python
matrix: $(VENV)/dev.stamp
	$(MAKE) VENV=$(HOSTS) $(HOSTS)/hosts.stamp
	$(BIN)/python -m pytest --numprocesses $(JOBS) --verbose -m 'matrix or hosts or long' $(ARGS)

# One of each kind.
matrix-sample:
	$(MAKE) matrix ARGS='-m matrix_sample'

faults: export SESSION_STORE_TEST_FAULTS = $(SHARE)
faults: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(JOBS) -m faults tests/faults $(ARGS)

# Each property takes its share of this number; all together make six to seven times as many examples.
fuzz: export SESSION_STORE_TEST_EXAMPLES = $(EXAMPLES)
fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(JOBS) tests/fuzz $(ARGS)

# Whole it takes an hour and 60 GB of disk; BENCH_DIR is where the databases are made.
bench: $(if $(PEERS),$(PEERS_VENV)/peers.stamp,$(VENV)/dev.stamp)
	mkdir -p $(BENCH_DIR)
	$(BENCH_PYTHON) -m benchmarks.budget $(if $(PEERS),--peers) --dir $(BENCH_DIR)
	$(BENCH_PYTHON) -m benchmarks.cost $(if $(PEERS),--peers) --dir $(BENCH_DIR)
	$(BENCH_PYTHON) -m benchmarks.scale --dir $(BENCH_DIR)
	$(BENCH_PYTHON) -m benchmarks.analytics --dir $(BENCH_DIR)
	$(BENCH_PYTHON) -m benchmarks.charts
	$(BENCH_PYTHON) -m benchmarks.figures
	$(BENCH_PYTHON) -m benchmarks.neighbours --dir $(BENCH_DIR)
	test -z "$(SESSION_STORE_TEST_CORPORA)" || $(BENCH_PYTHON) -m benchmarks.search --dir $(BENCH_DIR)

bench-smoke: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.budget --smoke
	$(BIN)/python -m benchmarks.scale --smoke
	$(BIN)/python -m benchmarks.cost --smoke
	$(BIN)/python -m benchmarks.analytics --smoke

conformance:
	for python in $(PYTHONS); do \
		$(MAKE) test PYTHON=$$python VENV=.venv-$$python ARGS=tests/conformance || exit 1; \
	done

# Anew each time, for a page that is not read again warns of nothing. -n: what leads nowhere is a warning.
docs: $(VENV)/docs.stamp
	$(BIN)/python -m sphinx -W --keep-going -n -E -q -b html -c docs . build/docs
	@echo build/docs/index.html

pages: $(VENV)/dev.stamp
	$(BIN)/python -m docs.architecture
	$(BIN)/python -m docs.commands

example-fastapi:
	$(MAKE) VENV=$(HOSTS) $(HOSTS)/hosts.stamp
	cd examples/fastapi_shop && $(CURDIR)/$(HOSTS)/bin/alembic upgrade heads
	cd examples/fastapi_shop && exec $(CURDIR)/$(HOSTS)/bin/uvicorn shop.app:app $(ARGS)

example-flask:
	$(MAKE) VENV=$(HOSTS) $(HOSTS)/hosts.stamp
	cd examples/flask_support && $(CURDIR)/$(HOSTS)/bin/flask --app support db upgrade
	cd examples/flask_support && exec $(CURDIR)/$(HOSTS)/bin/flask --app support run $(ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

coverage: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(JOBS) --cov $(ARGS)

$(VENV)/cli.stamp: $(VENV)/constraints.txt pyproject.toml
	$(INSTALL) '.[cli]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/constraints.txt pyproject.toml
	$(INSTALL) '.[dev]'
	touch $@ $(VENV)/cli.stamp

$(VENV)/docs.stamp: $(VENV)/constraints.txt pyproject.toml
	$(INSTALL) '.[docs]'
	touch $@

# As a host has it: from the wheel. Its version stays the same from build to build, so it is installed by force.
$(VENV)/hosts.stamp: $(VENV)/constraints.txt pyproject.toml $(REQUIREMENTS) $(SOURCES)
	rm -rf $(VENV)/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $(VENV)/wheel .
	$(BIN)/python -m pip install --quiet $(REQUIREMENTS:%=--requirement %) $(VENV)/wheel/*.whl
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall $(VENV)/wheel/*.whl
	touch $@

# Without our constraints: one of the peers wants an older version of something than is pinned there.
$(PEERS_VENV)/peers.stamp: pyproject.toml benchmarks/peers/requirements.txt
	PIP_CONSTRAINT= $(PYTHON) -m venv $(PEERS_VENV)
	PIP_CONSTRAINT= PIP_BUILD_CONSTRAINT= $(PEERS_VENV)/bin/python -m pip install --quiet --editable '.[dev]' \
		--requirement benchmarks/peers/requirements.txt
	touch $@

$(VENV)/constraints.txt: constraints.txt
	PIP_CONSTRAINT= $(PYTHON) -m venv $(VENV)
	sed 's/^sqlalchemy==.*/sqlalchemy==$(SQLALCHEMY)/' constraints.txt > $@
