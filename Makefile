# Every target that people and the continuous integration use. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# python3 when the lock has wheels for it, else the newest such Python there is.
# `command -v` alone would not do: version managers leave names that refuse to run.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; \
	then echo "$$python"; break; fi; done)
endif

# As the programs have it: see agents/__init__.py.
export OPENBLAS_NUM_THREADS ?= 1

VENV := .venv
BIN := $(VENV)/bin
SECOND_VENV := .venv-second
# The state from which an upgrade is tried: its source and what it needs, apart from today's.
RELEASED_VENV := .venv-released
# What `make bench` compares with, and nothing of Keepstream's.
PEERS_VENV := .venv-peers
# What `make docs` needs, and nothing of Keepstream's.
DOCS_VENV := .venv-docs
RELEASED := tests/kafka/upgrade/released
# What both halves of the tests print, each by itself.
TEST_LOGS := out/tests
# A Python of another version; `make digests` fetches one unless it is named before the first time.
SECOND ?=
UV ?= uv
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input
PACKAGES := config models streams agents
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	--annotation-style line
OURS := pyproject.toml requirements/build.in

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/installed-runtime ## Make .venv and install what running it needs, by hash
	@:

.PHONY: setup-dev
setup-dev: $(VENV)/installed-dev ## The same, with what tests and checks need
	@:

.PHONY: setup-traces
setup-traces: $(VENV)/installed-traces ## `make setup`, with what sending traces needs (KEEPSTREAM_TRACES_URL)
	@:

.PHONY: test
test: setup-dev $(RELEASED_VENV)/installed ## Run all tests, the ones on a real broker included (ARGS="-m 'not kafka'" leaves those out)
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@# Tests on a broker wait for most of their time. The others use it, and give way to them.
	@$(MAKE) --no-print-directory --jobs 2 --keep-going test-on-broker test-elsewhere; status=$$?; \
	tail --quiet --lines 1 $(TEST_LOGS)/on-broker.log $(TEST_LOGS)/elsewhere.log; exit $$status
endif

# File by file in this order, for the longest are in tests/kafka and none may come last. Each process
# starts a broker of its own.
.PHONY: test-on-broker
test-on-broker: setup-dev $(RELEASED_VENV)/installed
	@mkdir -p $(TEST_LOGS)
	@set -o pipefail; $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m kafka \
		$$(grep -rl --include='test_*.py' 'mark\.kafka' tests | sort) 2>&1 \
		| tee $(TEST_LOGS)/on-broker.log | sed -u 's/^/broker | /'

.PHONY: test-elsewhere
test-elsewhere: setup-dev
	@mkdir -p $(TEST_LOGS)
	@set -o pipefail; nice $(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not kafka" 2>&1 \
		| tee $(TEST_LOGS)/elsewhere.log | sed -u 's/^/       | /'

.PHONY: nightly test-nightly
test-nightly: nightly
nightly: setup-dev $(RELEASED_VENV)/installed $(PEERS_VENV)/installed $(DOCS_VENV)/installed ## Run all tests and the long ones: a hundred thousand events through kills, brokers that crash
	$(BIN)/python -m pytest --nightly $(ARGS)

.PHONY: soak
soak: setup-dev ## Random faults for half an hour (SECONDS=n), with memory, descriptors and disk measured and plotted in out/soak
	$(BIN)/python -m tests.kafka.soak --seconds $(or $(SECONDS),1800) $(ARGS)

.PHONY: mutants
mutants: setup-dev ## Take each protection out, one after the other: its test must fail then (ARGS="fetch ack" runs some)
	$(BIN)/python -m tests.mutants.run $(ARGS)

.PHONY: digests
digests: setup-dev $(SECOND_VENV)/installed ## Fold one log on two versions of Python, and compiled: all must give the same bytes
	$(BIN)/python -m tests.replay.digest --compiled $(SECOND_VENV)/bin/python

.PHONY: compile
compile: $(VENV)/installed-compile ## Compile the core; needs gcc or clang. KEEPSTREAM_COMPILED=off runs it interpreted
	$(BIN)/python -m agents.compiler

.PHONY: catalogue
catalogue: setup-dev ## Write docs/catalogue.md anew from the registries of parts, learners and outputs
	$(BIN)/python -m agents.catalogue > docs/catalogue.md

.PHONY: documents
documents: setup ## Write docs/openapi.json and docs/asyncapi.json anew from the tables and types that the programs run on
	$(BIN)/keepstream schema openapi > docs/openapi.json
	$(BIN)/keepstream schema asyncapi > docs/asyncapi.json

.PHONY: reference
reference: setup-dev ## Write docs/reference anew from settings, parameters, commands, metrics and topics
	$(BIN)/python -m agents.reference docs/reference

.PHONY: docs
docs: $(DOCS_VENV)/installed ## Make a site of README.md and docs/ in site/; a warning is an error
	$(DOCS_VENV)/bin/sphinx-build --fail-on-warning --keep-going --quiet --jobs auto --conf-dir docs/site --doctree-dir site/.doctrees . site
	@echo "site/index.html is the first page; searching it needs no network."

.PHONY: check
check: setup-dev ## Lint, formatting, types, layers; changes no file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python -m agents.catalogue | diff -u docs/catalogue.md - || { \
		echo "docs/catalogue.md is out of date: run 'make catalogue'." >&2; exit 1; }
	@for name in openapi asyncapi; do \
		$(BIN)/keepstream schema $$name | diff -u docs/$$name.json - | head -40; \
		[ "$${PIPESTATUS[1]}" = 0 ] || { \
		echo "docs/$$name.json is out of date: run 'make documents'." >&2; exit 1; }; done

.PHONY: format
format: setup-dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: demo
demo: $(VENV)/installed-runtime ## A simulated shop on a real Kafka, one to five minutes (SUMMARY=file.json also writes figures)
	$(BIN)/keepstream demo $(if $(SUMMARY),--summary "$(SUMMARY)") $(ARGS)

.PHONY: up
up: $(VENV)/installed-runtime ## A broker, a store and a worker that stay up until Ctrl-C (ARGS="--workers 2 --demo")
	$(BIN)/keepstream up $(ARGS)

.PHONY: demo-forever
demo-forever: $(VENV)/installed-runtime ## The same shop until Ctrl-C
	$(BIN)/keepstream demo --forever $(ARGS)

.PHONY: demo-real
demo-real: $(VENV)/installed-real ## The same with a year of real purchases, and how good the models were (SUMMARY=file.json)
	$(BIN)/keepstream demo-real $(if $(SUMMARY),--summary "$(SUMMARY)") $(ARGS)

.PHONY: evaluate
evaluate: $(VENV)/installed-bench ## How good the scores are on real purchases, beside other models (SEED=n, SHUFFLE_LABELS=1, OUT=dir)
	$(BIN)/keepstream evaluate $(if $(SEED),--seed "$(SEED)") $(if $(filter-out 0,$(SHUFFLE_LABELS)),--shuffle-labels) \
		$(if $(OUT),--out "$(OUT)") $(ARGS)

.PHONY: bench
bench: $(VENV)/installed-bench $(PEERS_VENV)/installed ## What an event costs, beside other engines on the same job (FULL=1: a million customers too; ARGS=peers runs some)
	$(BIN)/python -m tests.benchmarks.bench $(if $(FULL),--full) $(ARGS)

.PHONY: parts
parts: setup-dev ## What each part costs that can be switched off: CPU and calls an event, bytes a customer (ARGS="--rounds 9 --part tiers")
	$(BIN)/python -m tests.benchmarks.parts $(ARGS)

.PHONY: lock
lock: ## Resolve again and rewrite requirements/*.txt (UPGRADE=1 takes newer versions); needs uv
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it with '$(BIN)/python -m pip install uv' and run 'make lock UV=$(BIN)/uv'." >&2; exit 1; }
	$(LOCK) $(OURS) $(if $(UPGRADE),--upgrade) --extra dev --extra compile --extra real --extra bench --extra traces --output-file requirements/dev.txt
	@# Held to dev.txt, so that what is tested is what is run.
	$(LOCK) $(OURS) --constraints requirements/dev.txt --output-file requirements/runtime.txt
	$(LOCK) $(OURS) --extra traces --constraints requirements/dev.txt --output-file requirements/traces.txt
	$(LOCK) $(OURS) --extra compile --constraints requirements/dev.txt --output-file requirements/compile.txt
	$(LOCK) $(OURS) --extra real --constraints requirements/dev.txt --output-file requirements/real.txt
	$(LOCK) $(OURS) --extra bench --constraints requirements/dev.txt --output-file requirements/bench.txt
	$(LOCK) requirements/peers.in $(if $(UPGRADE),--upgrade) --output-file requirements/peers.txt
	$(LOCK) requirements/docs.in $(if $(UPGRADE),--upgrade) --output-file requirements/docs.txt

.PHONY: clean
clean: ## Remove .venv, caches and build leftovers
	rm -rf $(VENV) $(SECOND_VENV) $(RELEASED_VENV) $(PEERS_VENV) $(DOCS_VENV) site build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf models/__compiled__
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last: an interrupted installation starts again.
$(VENV)/installed-runtime: requirements/runtime.txt pyproject.toml | $(VENV)/made
	$(call install,runtime)
	@touch $@

$(VENV)/installed-dev: requirements/dev.txt requirements/runtime.txt pyproject.toml | $(VENV)/made
	$(call install,dev)
	@touch $(VENV)/installed-runtime $(VENV)/installed-real $(VENV)/installed-bench \
		$(VENV)/installed-traces $(VENV)/installed-compile $@

$(VENV)/installed-traces: requirements/traces.txt requirements/runtime.txt pyproject.toml | $(VENV)/made
	$(call install,traces)
	@touch $(VENV)/installed-runtime $@

$(VENV)/installed-compile: requirements/compile.txt requirements/runtime.txt pyproject.toml | $(VENV)/made
	$(call install,compile)
	@touch $(VENV)/installed-runtime $@

$(VENV)/installed-real: requirements/real.txt requirements/runtime.txt pyproject.toml | $(VENV)/made
	$(call install,real)
	@touch $(VENV)/installed-runtime $@

$(VENV)/installed-bench: requirements/bench.txt requirements/runtime.txt pyproject.toml | $(VENV)/made
	$(call install,bench)
	@touch $(VENV)/installed-runtime $(VENV)/installed-real $@

$(SECOND_VENV)/installed: requirements/runtime.txt .ci/second-python .ci/second-python.sha256 | $(VENV)/installed-dev
	second="$(SECOND)"; "$${second:-$$($(BIN)/python .ci/second-python)}" -m venv --clear $(SECOND_VENV)
	@echo "Installing requirements/runtime.txt into $(SECOND_VENV)"
	@$(SECOND_VENV)/bin/python -m pip install --disable-pip-version-check --no-input --quiet \
		--require-hashes -r requirements/runtime.txt
	@touch $@

# Its dependencies are those of its own lock, whatever today's are.
$(RELEASED_VENV)/installed: $(RELEASED)/source.tar.xz
	@rm -rf $(RELEASED_VENV)
	"$(PYTHON)" -m venv $(RELEASED_VENV)
	@mkdir $(RELEASED_VENV)/source
	@"$(PYTHON)" -m tarfile -e $< $(RELEASED_VENV)/source
	@echo "Installing the earlier state, from which an upgrade is tried, into $(RELEASED_VENV)"
	@$(RELEASED_VENV)/bin/python -m pip install --disable-pip-version-check --no-input --quiet \
		--require-hashes -r $(RELEASED_VENV)/source/requirements/runtime.txt
	@touch $@

$(DOCS_VENV)/installed: requirements/docs.txt | $(VENV)/made
	"$(PYTHON)" -m venv --clear $(DOCS_VENV)
	@echo "Installing what the site is made with into $(DOCS_VENV)"
	@$(DOCS_VENV)/bin/python -m pip install --disable-pip-version-check --no-input --quiet \
		--require-hashes -r requirements/docs.txt
	@touch $@

$(PEERS_VENV)/installed: requirements/peers.txt
	"$(PYTHON)" -m venv --clear $(PEERS_VENV)
	@echo "Installing what Keepstream is compared with into $(PEERS_VENV)"
	@$(PEERS_VENV)/bin/python -m pip install --disable-pip-version-check --no-input --quiet \
		--require-hashes -r requirements/peers.txt
	@touch $@

define install
	@echo "Installing requirements/$(1).txt into $(VENV) (the first time fetches about 200 MB)"
	@$(PIP_INSTALL) --require-hashes -r requirements/$(1).txt
	@$(PIP_INSTALL) --quiet --no-deps --no-build-isolation --no-index --editable .
endef

$(VENV)/made:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Keepstream needs Python 3.11, 3.12, 3.13 or 3.14, and none was found (python3 is $$(python3 --version 2>&1))." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Keepstream needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." >&2; \
		echo "Name another: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its venv or ensurepip module is missing." >&2; \
		echo "On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@
