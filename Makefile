# Two commands are all a new user needs: make demo, make test.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two processes, a file of tests in one of them; their waiting threads leave the cores to each other.
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: help demo test test-slow quick contract lint types bench clean

help:
	@echo "make demo       install, then the whole loop on the microworld (a few minutes, no GPU)"
	@echo "make test       the test suite"
	@echo "make test-slow  the test suite with the slow tests"
	@echo "make quick ROOM=gate   the fast tests of one room, in seconds"
	@echo "make lint types ruff, the contract on imports, mypy"
	@echo "make bench      benchmarks and long simulations; figures go to benchmarks/results"
	@echo "make clean      remove the virtual environment and the demo's output"

# Versions from constraints.txt; what was installed is then held against the hashes of requirements.lock.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
$(STAMP): pyproject.toml setup.py constraints.txt requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --report $(VENV)/torch.json torch
	$(INSTALL) --report $(VENV)/rest.json -e '.[dev]'
	$(BIN)/python .ci/installed.py requirements.lock $(VENV)/torch.json $(VENV)/rest.json
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/steelyard demo

# One thread each: tiny matrices only lose time between threads. CI runs all tests with the threads that users have.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST)

# A room is a folder of tests: gate is tests/harness/gate, loops is tests/trainers/loops, and so on.
ROOM ?= stats
quick: $(STAMP)
	@folders="$$(find tests -type d -path '*/$(ROOM)' -not -path '*/__pycache__/*')"; \
	if [ -z "$$folders" ]; then echo "no tests for a room '$(ROOM)'; see docs/house.md" >&2; exit 2; fi; \
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -m "not slow" $$folders

# import-linter reads the modules as they are imported, so it runs where they have their import name.
contract: $(STAMP) build/types
	cd build/types && $(abspath $(BIN))/lint-imports $(CURDIR)/pyproject.toml --no-cache

lint: $(STAMP) contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The folders under their one import name, for tools that do not follow an editable install.
build/types: $(wildcard steelyard/*)
	rm -rf $@ && mkdir -p $@/steelyard
	ln -s $(CURDIR)/steelyard/* $@/steelyard/
	for folder in harness reports tasks trainers; do ln -s $(CURDIR)/$$folder $@/steelyard/; done

types: $(STAMP) build/types
	$(BIN)/mypy

bench: $(STAMP)
	@for script in $(filter-out benchmarks/same_scores.py benchmarks/scoring_change.py,$(wildcard benchmarks/*.py)) benchmarks/attack; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) steelyard-demo
