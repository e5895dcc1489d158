# make demo    a first look, on a SQLite database of its own; needs only Python 3.11+ and make
# make test    every test, on SQLite and on a real PostgreSQL, both brought along
# make check   lint, format and types; changes nothing
# make fix     let ruff mend what it can

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

.PHONY: demo test test-older check fix coverage

demo: $(VENV)/cli.stamp
	$(BIN)/python examples/demo.py

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(JOBS) $(ARGS)

# The older line of SQLAlchemy, together with the older PostgreSQL.
test-older: export SESSION_STORE_TEST_POSTGRES_VERSION = 16
test-older:
	$(MAKE) test VENV=.venv-sqlalchemy20 SQLALCHEMY=$(SQLALCHEMY_OLDER)

check: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

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

$(VENV)/constraints.txt: constraints.txt
	PIP_CONSTRAINT= $(PYTHON) -m venv $(VENV)
	sed 's/^sqlalchemy==.*/sqlalchemy==$(SQLALCHEMY)/' constraints.txt > $@
