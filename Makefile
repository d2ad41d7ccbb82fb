# Everything a newcomer or CI needs. Each target does its own set-up; nothing is to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= $(shell $(BIN)/python -c 'from podling.cluster.data_dir import default_path as p; print(p())' 2>/dev/null)

.PHONY: up down test lint bench prove docs setup setup-dev clean

up: setup ## a running cluster with a Pod that serves a page
	@$(BIN)/python examples/hello.py

down: setup ## stop it, and leave nothing behind but its data
	@$(BIN)/podling down

test: setup-dev ## the whole suite, under ten minutes on two cores, four files at a time: many of them wait
	$(BIN)/python -m pytest -n 4 --dist loadfile

lint: setup-dev ## style, types, layers, and generated files being current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_api.py --check
	$(BIN)/python tools/generate_docs.py --check

bench: setup-dev ## the table of what this build can do on this machine
	$(BIN)/python bench/run.py

prove: setup-dev ## repetitions and soaks: the same suite with more examples, several times over
	PODLING_PROVE=1 $(BIN)/python -m pytest -m "not clients" --timeout 1200
	for seed in 1 2 3 4 5; do PODLING_SEED=$$seed $(BIN)/python -m pytest tests/scenario tests/e2e --timeout 1200 || exit 1; done

docs: setup-dev ## diagrams and tables that are drawn from the code
	$(BIN)/python tools/generate_docs.py
	$(BIN)/python tools/generate_api.py

setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev

$(VENV)/.runtime: pyproject.toml tools/setup.sh
	@PYTHON=$(PYTHON) bash tools/setup.sh runtime

$(VENV)/.dev: $(VENV)/.runtime
	@PYTHON=$(PYTHON) bash tools/setup.sh dev

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
