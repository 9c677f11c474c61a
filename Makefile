# Everything a fresh Debian machine needs beyond python3, python3-venv, make and git is set up by the targets themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
# More arguments for the programs: make test PYTEST_ARGS="-k scheduler", make bench BENCH_ARGS="--quick"
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
# The environment is as good as what it was made from: the requirements, the interpreter, and the folder it lies in.
STAMP := .venv/made-from-$(shell { cat pyproject.toml; pwd; $(PYTHON) -VV; } 2>&1 | sha256sum | cut -c1-16)
DOCS_STAMP := .venv/docs-$(notdir $(STAMP))
BENCH_STAMP := .venv/bench-$(notdir $(STAMP))
PEERS_STAMP := .venv-peers/$(notdir $(STAMP))

.PHONY: help demo test docs bench bench-peers lint format system clean

help:
	@echo "make demo    start a small cluster on this machine and show what Rain does"
	@echo "make test    what CI runs: format, lint, types, layers, tests"
	@echo "make lint    the same without the tests"
	@echo "make format  format the code and repair what ruff can repair"
	@echo "make docs    write the reference from the sources, build the pages; a warning is an error"
	@echo "make bench   measure; make bench-peers: beside Dask and Ray"
	@echo "make clean   remove everything that these commands made"

demo: $(STAMP) system
	@$(BIN)/python examples/demo.py $(DEMO_ARGS)
	@scripts/system-packages --report

test: lint system
	$(BIN)/pytest $(PYTEST_ARGS)
	@scripts/system-packages --report

docs: $(DOCS_STAMP)
	$(BIN)/python -m scripts.reference
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --builder dirhtml docs build/docs
	@echo "Open build/docs/index.html"

bench: $(BENCH_STAMP) system
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

# In an environment of its own: what Rain is compared with is no part of it.
bench-peers: $(PEERS_STAMP) system
	@.venv-peers/bin/python -m benchmarks --peers $(BENCH_ARGS)

$(PEERS_STAMP):
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --editable '.[peers]'
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

system:
	@scripts/system-packages

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Rain needs Python 3.11 or newer, " + \
	    sys.executable + " is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@echo "Making the virtual environment .venv (once; again when pyproject.toml changes)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(BENCH_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv .venv-peers build dist .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
