# Python 3.11, make and a network to the package registry are all that is needed. The first target that is called sets
# up .venv; `make` alone lists the targets.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first Python that runs: a version manager's stand-in may lie on the path without a Python behind it.
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: help setup book test lint verdicts clean
.DEFAULT_GOAL := help

help:
	@echo "make book     run the chapters that are stale, build the book, say where to open it"
	@echo "make test     lint, then all tests: package, chapters, book, README"
	@echo "make setup    the environment alone"
	@echo "make lint     ruff, the rule of imports, types"
	@echo "make verdicts write the verdict tables of README and front page from the store"
	@echo "make clean    remove what was built; the environment stays"

setup: $(STAMP)

book: $(STAMP)
	@$(BIN)/lmam book

test: lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist worksteal --durations=20

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@said="$$($(BIN)/lint-imports --no-logo)" || { echo "$$said"; exit 1; }
	@$(BIN)/python -m mypy --no-error-summary

verdicts: $(STAMP)
	@$(BIN)/python -m lmam_book.build.generated

clean:
	rm -rf _build .pytest_cache .ruff_cache .import_linter_cache .mypy_cache

# pip's own output is long: one line for every 25 packages shows that it goes on; errors pass through, warnings do not.
# Only files whose hash is in a lock file are installed. Of torch it is the CPU build where an index has it; with
# TORCH_INDEX that one alone is asked for it, and for nothing else.
PIP := $(BIN)/pip install --disable-pip-version-check --no-deps
$(STAMP): $(wildcard requirements*.lock) pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python found: install Python 3.11 or later." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5) and "$(PYTHON) is Python " + sys.version.split()[0] + ": install Python 3.11.5 or later.")'
	@test -x $(BIN)/pip || { echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing $$(grep -c == requirements.lock) packages into $(VENV) (a few minutes the first time)"
	@$(PIP) -qq $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) --require-hashes -r requirements-cpu.lock 2>/dev/null || true
	@set -o pipefail; $(PIP) --progress-bar off --require-hashes -r requirements.lock \
		2> >(grep -v ^WARNING >&2) | \
		awk '/^(Collecting|Requirement already)/ && ++n % 25 == 0 {print "  " n " packages found"; fflush()} \
			/^Installing collected/ {print "  unpacking"; fflush()}'
	@! grep -q '^Requires-Dist: nvidia-' $(VENV)/lib/python3*/site-packages/torch-*.dist-info/METADATA || { \
		echo "installing CUDA's libraries for torch"; $(PIP) -qq --require-hashes -r requirements-cuda.lock; }
	@$(PIP) -qq --no-build-isolation --editable .
	@touch $@
