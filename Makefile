# Every target works as the first command in a fresh clone: what it needs is installed below this
# folder (.venv, .tools), once. A changed pyproject.toml or pinned version installs again.

PYTHON ?= python3
# Half as many again as there are cores: tests often wait, for servers and for what they start.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() * 3 // 2)' 2>/dev/null || echo auto)
N ?= 10000
ONLY ?=

AZURITE_VERSION := 3.35.0
LOCALSTACK_VERSION := 4.9.2
KUSTO_VERSION := 12.4.1
# Newer releases of these four break LocalStack 4.9.2, the last one that runs on Python 3.11.
LOCALSTACK_PINS := "cbor2<6" "pyopenssl<26" "cryptography<47" "service-identity<26"
CHECKOV_VERSION := 3.3.30
# Checkov asks for an older one, which cannot read all of Bicep.
CHECKOV_PYCEP := 0.7.1

# One stamp file for each thing installed, written last, so that an interrupted install is repeated.
DEMO := .venv/.demo
DEV := .venv/.dev
AZURITE := .tools/azurite/.$(AZURITE_VERSION)
LOCALSTACK := .tools/localstack/.$(LOCALSTACK_VERSION)
KUSTO := .tools/kusto/.$(KUSTO_VERSION)
CHECKS := .tools/checks/.installed
CHECKOV := .tools/checkov/.$(CHECKOV_VERSION)

# Of the function app: infra/ names the same.
AZURE_PYTHON := 3.12

BIN := .venv/bin
CHECK := .tools/checks/bin
LOCK := $(CHECK)/uv pip compile --quiet --no-config --generate-hashes --annotation-style line
PIP := -m pip install --quiet --disable-pip-version-check --no-input
CODE := $(wildcard copy_core tests bench tools function_app.py)
MAKEFLAGS += --no-print-directory
# `make -j clean test` stays in order; only the installs of `make setup` run side by side.
ifndef PARALLEL
.NOTPARALLEL:
endif
.PHONY: help demo setup installed test test-mssql matrix lint bench cost crash clean need-python need-node
.PHONY: need-mssql need-odbc coverage audit advisories lock infra-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

demo: $(DEMO) ## copy real tables on this machine, kill it half-way, check the result
	@$(BIN)/copyjob demo

setup: need-python need-node ## install all that the tests need, side by side
	@$(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,--jobs=3) PARALLEL=1 installed

installed: $(DEV) $(AZURITE) $(LOCALSTACK) $(KUSTO)
	@$(MAKE) need-odbc

test: setup lint ## lint, then all tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-mssql: need-mssql need-node $(DEV) $(AZURITE) ## tests on a live SQL Server: COPYJOB_TEST_MSSQL names it
	@$(BIN)/python -m pytest tests/mssql -n $(WORKERS) --dist worksteal

matrix: setup ## copy from every system to every other, in every mode, and compare
	@$(BIN)/python -m tests.matrix $(if $(ONLY),--only $(ONLY))

coverage: setup ## all tests, and how much of the code they run: it only rises
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=0
	@$(BIN)/python -m tests.coverage_floor

lint: $(DEV) ## ruff and mypy (strict)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --diff .
	@$(BIN)/mypy --no-error-summary $(CODE)

audit: $(CHECKS) ## bandit, secrets in the files and their history, workflows and Dependabot
	@$(CHECK)/bandit --quiet --recursive copy_core function_app.py --configfile pyproject.toml
	@$(CHECK)/kingfisher scan . --no-validate --no-update-check --redact --quiet
	@$(CHECK)/zizmor --offline --quiet --persona pedantic .github
	@$(CHECK)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(CHECK)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml

advisories: $(CHECKS) ## known vulnerabilities in what is pinned; asks pypi.org
	@$(CHECK)/pip-audit --strict --progress-spinner off --disable-pip --require-hashes \
	  $(foreach file,requirements.txt $(wildcard .github/requirements/*.txt),--requirement $(file))

# What is pinned already stays: a new version comes with a change of its bounds, or from Dependabot.
lock: $(CHECKS) ## pin what Azure installs, and the tools of checks and releases, by hash
	@$(LOCK) --extra azure-monitor --python-version $(AZURE_PYTHON) --python-platform x86_64-manylinux_2_28 \
	  --custom-compile-command 'make lock' --output-file requirements.txt pyproject.toml
	@cd .github/requirements && for each in checks release; do \
	  ../../$(LOCK) --universal --python-version 3.11 --output-file $$each.txt $$each.in; done

infra-check: $(DEV) $(CHECKOV) $(KUSTO) ## the Bicep: against the code, against itself, and by checkov
	@$(BIN)/python -m pytest tests/infra
	@.tools/checkov/bin/checkov --config-file infra/checkov.yaml
	@if bicep --version 2>/dev/null; then bicep build --stdout infra/main.bicep >/dev/null; else \
	  echo "There is no Bicep compiler here, so it was not compiled."; fi

bench: $(DEV) ## benchmarks; one of them: make bench ONLY=name
	@$(BIN)/python -m bench $(ONLY)

cost: setup ## count what runs take on Azure, and write the tables of docs/cost.md anew
	@$(BIN)/python -m tools.cost

crash: setup ## random crash schedules: make crash N=10000
	@$(BIN)/python -m tests.crash --schedules $(N)

clean: ## back to a fresh clone: remove what was installed and cached
	rm -rf .venv .tools .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
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

$(KUSTO): | need-node
	@echo "Installing the Kusto parser $(KUSTO_VERSION) into .tools/kusto"
	@mkdir -p $(@D)
	@npm install --prefix $(@D) --no-audit --no-fund --loglevel=error @kusto/language-service-next@$(KUSTO_VERSION) </dev/null
	@touch $@

$(LOCALSTACK): | need-python
	@echo "Installing LocalStack $(LOCALSTACK_VERSION) into .tools/localstack"
	@$(PYTHON) -m venv .tools/localstack
	@.tools/localstack/bin/python $(PIP) "localstack-core[base-runtime]==$(LOCALSTACK_VERSION)" $(LOCALSTACK_PINS)
	@touch $@

$(CHECKS): .github/requirements/checks.txt | need-python
	@echo "Installing the tools of the checks into .tools/checks"
	@$(PYTHON) -m venv .tools/checks
	@.tools/checks/bin/python $(PIP) --require-hashes --requirement $<
	@touch $@

$(CHECKOV): | need-python
	@echo "Installing checkov $(CHECKOV_VERSION) into .tools/checkov"
	@$(PYTHON) -m venv .tools/checkov
	@.tools/checkov/bin/python $(PIP) "checkov==$(CHECKOV_VERSION)"
	@.tools/checkov/bin/python $(PIP) --no-deps "pycep-parser==$(CHECKOV_PYCEP)"
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
