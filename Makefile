# Every target works as the first command in a fresh clone: what it needs is installed below this
# folder (.venv, .tools), once. A changed pyproject.toml or pinned version installs again.

PYTHON ?= python3
WORKERS ?= auto
N ?= 10000
ONLY ?=

AZURITE_VERSION := 3.35.0
LOCALSTACK_VERSION := 4.9.2
# Newer releases of these four break LocalStack 4.9.2, the last one that runs on Python 3.11.
LOCALSTACK_PINS := "cbor2<6" "pyopenssl<26" "cryptography<47" "service-identity<26"

# One stamp file for each thing installed, written last, so that an interrupted install is repeated.
DEMO := .venv/.demo
DEV := .venv/.dev
AZURITE := .tools/azurite/.$(AZURITE_VERSION)
LOCALSTACK := .tools/localstack/.$(LOCALSTACK_VERSION)

BIN := .venv/bin
PIP := -m pip install --quiet --disable-pip-version-check --no-input
CODE := $(wildcard copy_core tests bench tools function_app.py)
MAKEFLAGS += --no-print-directory
# `make -j clean test` stays in order; only the installs of `make setup` run side by side.
ifndef PARALLEL
.NOTPARALLEL:
endif
.PHONY: help demo setup installed test test-mssql matrix lint bench crash clean need-python need-node
.PHONY: need-mssql need-odbc

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(DEMO) ## copy real tables on this machine, kill it half-way, check the result
	@$(BIN)/copyjob demo

setup: need-python need-node ## install all that the tests need, side by side
	@$(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,--jobs=3) PARALLEL=1 installed

installed: $(DEV) $(AZURITE) $(LOCALSTACK)
	@$(MAKE) need-odbc

test: setup lint ## lint, then all tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-mssql: need-mssql need-node $(DEV) $(AZURITE) ## tests on a live SQL Server: COPYJOB_TEST_MSSQL names it
	@$(BIN)/python -m pytest tests/mssql -n $(WORKERS) --dist worksteal

matrix: setup ## copy from every system to every other, in every mode, and compare
	@$(BIN)/python -m tests.matrix $(if $(ONLY),--only $(ONLY))

lint: $(DEV) ## ruff and mypy (strict)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --diff .
	@$(BIN)/mypy --no-error-summary $(CODE)

bench: $(DEV) ## benchmarks; one of them: make bench ONLY=name
	@$(BIN)/python -m bench $(ONLY)

crash: setup ## random crash schedules: make crash N=10000
	@$(BIN)/python -m tests.crash --schedules $(N)

clean: ## back to a fresh clone: remove what was installed and cached
	rm -rf .venv .tools .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO): pyproject.toml | need-python
	@echo "Installing copyjob into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP) -e '.[demo]'
	@touch $@

# On top of the demo's, so that two pips never write one environment at the same time.
$(DEV): $(DEMO)
	@echo "Installing the development tools into .venv"
	@$(BIN)/python $(PIP) -e '.[demo,dev]'
	@touch $@

$(AZURITE): | need-node
	@echo "Installing Azurite $(AZURITE_VERSION) into .tools/azurite"
	@mkdir -p $(@D)
	@npm install --prefix $(@D) --no-audit --no-fund --loglevel=error azurite@$(AZURITE_VERSION) </dev/null
	@touch $@

$(LOCALSTACK): | need-python
	@echo "Installing LocalStack $(LOCALSTACK_VERSION) into .tools/localstack"
	@$(PYTHON) -m venv .tools/localstack
	@.tools/localstack/bin/python $(PIP) "localstack-core[base-runtime]==$(LOCALSTACK_VERSION)" $(LOCALSTACK_PINS)
	@touch $@

need-python:
	@$(PYTHON) -c '' 2>/dev/null || \
	  { echo "copyjob needs Python 3.11 or newer, and '$(PYTHON)' does not run: install it from https://www.python.org/downloads/ or your system's packages, or name one with 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "copyjob needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1): install a newer one, or name it with 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "'$(PYTHON)' has no venv module: install it (Debian and Ubuntu: sudo apt install python3-venv)." >&2; exit 1; }

need-node:
	@node --version >/dev/null 2>&1 || \
	  { echo "The tests run Azurite, which needs Node.js, and 'node' does not run: install version 20 or newer from https://nodejs.org/ or your system's packages." >&2; exit 1; }
	@test -e $(AZURITE) || npm --version >/dev/null 2>&1 || \
	  { echo "The tests install Azurite with npm, and 'npm' does not run: install it (it comes with Node.js; Debian and Ubuntu: sudo apt install npm)." >&2; exit 1; }

need-odbc:
	@$(BIN)/python -c 'import pyodbc' 2>/dev/null || \
	  { echo "The SQL Server connector needs a library of the system: $$($(BIN)/python -c 'import pyodbc' 2>&1 | tail -n 1). On Debian and Ubuntu: sudo apt install libodbc2; on others: unixODBC." >&2; exit 1; }

need-mssql:
	@test -n "$$COPYJOB_TEST_MSSQL" || \
	  { echo "COPYJOB_TEST_MSSQL names no server: set it to an ODBC connection string of a login that may create databases, such as 'Server=127.0.0.1,1433;UID=sa;PWD=...;Encrypt=yes;TrustServerCertificate=yes'." >&2; exit 1; }
