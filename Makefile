# Every target sets itself up. Wanted: Python 3.11 or newer with venv, make, git. ARGS go to the tool behind a target.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin/python
UV     := $(BIN) -m uv
LOCKED := pyproject.toml tools/bootstrap.py $(wildcard requirements/*.txt)
SOAK_SECONDS ?= 60
FUZZ_EXAMPLES ?= 5000
MUTATION_SECONDS ?= 600
# Worker processes of the tests: one more than cores, for many tests wait for other processes; or a number.
WORKERS ?= $(shell expr 1 + $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN))
PARALLEL = -n $(WORKERS) --dist worksteal

# The tools of the environment go first: its node serves pyright and the end-to-end provider.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
# Tests start hundreds of interpreters: compiled once, whatever the machine's own setting.
export PYTHONDONTWRITEBYTECODE :=
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint types docs docs-serve look cov test-lowest test-newest web-lowest web-newest fuzz mutation parameters soak bench regression native lanes crash servers logins fleet fleet-processes measure lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Run the main job on the embedded provider (ARGS=--json for machines)
	@$(BIN) -m py_identity_model.testing.demo $(ARGS)

test: $(VENV)/.dev native ## Run all tests, in about ten minutes on two cores (WORKERS=0 without parallel workers)
	$(BIN) -m pytest $(PARALLEL) $(ARGS)

lint: $(VENV)/.dev ## Check style and formatting
	$(BIN) -m ruff check
	$(BIN) -m ruff format --check

types: $(VENV)/.dev ## Check types with mypy (strict) and pyright
	$(BIN) -m mypy
	$(BIN) -m pyright

docs: $(VENV)/.dev ## Build the documentation into site/, warnings are errors
	$(BIN) -m mkdocs build --strict

docs-serve: $(VENV)/.dev ## Serve the documentation on loopback while you write it
	$(BIN) -m mkdocs serve $(ARGS)

look: docs ## Look at every page in a browser, at two widths, for what is cut off (ARGS="--pictures look --dark")
	$(BIN) tools/look.py $(ARGS)

cov: $(VENV)/.dev native ## Run the tests with branch coverage; _core/ must stay above 95 %
	$(BIN) -m coverage run -m pytest $(ARGS)
	$(BIN) -m coverage report --skip-covered
	$(BIN) -m coverage report --include='*/py_identity_model/_core/*' --fail-under=95

test-lowest: $(VENV)/.dev ## Run the tests on the lowest dependency versions that we promise
	$(BIN) tools/against.py lowest $(ARGS)

test-newest: $(VENV)/.dev ## Run the tests on the newest dependency versions there are
	$(BIN) tools/against.py newest $(ARGS)

web-lowest: $(VENV)/.dev ## Run the tests of the doors on the lowest versions of frameworks and servers
	$(BIN) tools/against.py lowest --web $(ARGS)

web-newest: $(VENV)/.dev ## Run them on the newest (PYTHON=python3.12: Django 6 wants it)
	$(BIN) tools/against.py newest --python $(PYTHON) --web $(ARGS)

fuzz: $(VENV)/.dev native ## Fuzz the parsers and validators (FUZZ_EXAMPLES=5000 each)
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN) -m pytest $(PARALLEL) tests/test_fuzz*.py $(ARGS)

mutation: $(VENV)/.dev ## Break what decides on purpose, expect red (MUTATION_SECONDS=600, ARGS=MODULE...)
	$(BIN) tools/mutate.py --seconds $(MUTATION_SECONDS) $(ARGS)

parameters: $(VENV)/.dev ## Take arguments back on purpose, expect red (ARGS="--find FILE..." looks for tests)
	$(BIN) tools/parameters.py $(ARGS)

soak: $(VENV)/.dev native ## Validate for a while under rotations, outages and forgeries (SOAK_SECONDS=60)
	$(BIN) tools/soak.py --seconds $(SOAK_SECONDS) $(ARGS)

bench: $(VENV)/.dev ## Measure against other libraries (ARGS="--quick", "--python /path/to/python3.13")
	$(BIN) tools/bench.py $(ARGS)

regression: $(VENV)/.dev native ## Compare speed with the stored baseline (ARGS=--update stores a new one)
	$(BIN) tools/regression.py $(ARGS)
	$(BIN) -m bench.batches

# The native engine: built where cargo is, needed nowhere but in CI.
native: $(VENV)/.dev ## Build the native engine into the environment, where cargo is present
	@$(BIN) tools/native.py

lanes: $(VENV)/.dev native ## Compare eight signatures at once with two other verifiers, 10 million times (ARGS="--count 1000000")
	$(BIN) tests/lane_mutations.py $(ARGS)

crash: $(VENV)/.dev ## Kill processes in 500 renewals and 10,000 replay marks, servers and disks too
	STORE_KILLS=25 STORE_RENEWALS=500 STORE_MARKS=10000 $(BIN) -m pytest tests/test_crashes.py tests/test_stores.py -o faulthandler_timeout=3000 -k "kill or grow or deleted" $(ARGS)

servers: $(VENV)/.dev ## Send the one table of requests to every framework on every server it runs on
	DOOR_SERVERS=all $(BIN) -m pytest $(PARALLEL) --dist loadscope tests/test_doors.py $(ARGS)

logins: $(VENV)/.dev ## Log in with Chromium in every framework, then have 1,000 sessions renew all the time, on SQLite and Redis
	LOGIN_SHOPS=all $(BIN) -m pytest tests/e2e/test_web_login.py tests/e2e/test_web_login_bff.py $(ARGS)
	LOGIN_SESSIONS=1000 LOGIN_SECONDS=120 LOGIN_LIFE=5 LOGIN_WORKERS=4 $(BIN) -m pytest -s tests/e2e/test_web_login_load.py -o faulthandler_timeout=3000 $(ARGS)

fleet: $(VENV)/.demo ## Simulate a day of 1,000 pods and 10,000 issuers, and draw it (ARGS="--pods 100")
	$(BIN) tools/fleet.py --draw docs/assets/fleet $(ARGS)

fleet-processes: $(VENV)/.dev ## Run 16 real processes with 8 issuers on SQLite, then on Redis
	$(BIN) tools/fleet_processes.py --draw docs/assets/fleet $(ARGS)

measure: $(VENV)/.dev ## Measure the library: sizes, repeated lines, import cycles, type completeness
	@$(BIN) tools/measure.py $(ARGS)

lock: ## Write requirements/ anew from pyproject.toml (ARGS=--upgrade takes the newest versions)
	$(PYTHON) tools/bootstrap.py
	$(BIN) tools/lock.py $(ARGS)

clean: ## Remove what the targets made
	rm -rf $(VENV) .venv-lowest* .venv-newest* .venv-bench .bench site build dist htmlcov .coverage .coverage.* \
	  .mutation .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.demo: $(LOCKED)
	$(PYTHON) tools/bootstrap.py demo
	@touch $@

$(VENV)/.dev: $(LOCKED)
	$(PYTHON) tools/bootstrap.py dev --optional distributed
	@touch $@ $(VENV)/.demo
