# make demo    a first look, on a SQLite database of its own; needs only Python 3.11+ and make
# make test    every test, on SQLite and on a real PostgreSQL, both installed with the tools
# make check   lint, format, types and the order of imports; make fix lets ruff fix what it can
# make pages   rewrite the pages that are made from the code: the picture of the package, the command line
#
# The rest is in noxfile.py, mostly in environments of its own:
# make test-older    the tests on the older SQLAlchemy and PostgreSQL
# make matrix        each way to install by each way to migrate, the examples end to end, ...; make matrix-sample
# make faults        real damage around the store, and what was lost; SHARE=0.02 for a short run
# make fuzz          every public call with good, bad and hostile arguments, some 200,000 times; EXAMPLES=1000
# make bench         the cost of every call beside SQL by hand; PEERS=1 adds other libraries; make bench-smoke
# make conformance   the conformance suite on every Python of this machine
# make docs          the documentation as a site, in build/docs
# make example-fastapi, make example-flask    an application with session_store, installed from a wheel

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

# pip takes the pins of a build backend from the second name, older versions of pip from the first.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := $(PIP_CONSTRAINT)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Without its cached bytecode pytest rewrites every test module again at each start.
unexport PYTHONDONTWRITEBYTECODE

IN_NOX := test-older matrix matrix-sample faults fuzz bench bench-smoke conformance docs example-fastapi example-flask
.PHONY: demo test coverage check fix pages $(IN_NOX)

demo: $(VENV)/.cli
	$(BIN)/python examples/demo.py

test coverage: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses $(JOBS) $(if $(filter coverage,$@),--cov) $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/words.py

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pages: $(VENV)/.dev
	$(BIN)/python -m docs.architecture
	$(BIN)/python -m docs.commands

$(IN_NOX): $(VENV)/.dev
	$(BIN)/nox --session $@

# The environment with the package and the extra of this name; what has dev has cli.
$(VENV)/.%: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $(VENV)/.cli $@
