# make demo | test (what is not slow) | test-all | lint | bench | figures | reference; everything runs in the environment VENV, made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test test-all lint bench figures reference clean

install: $(INSTALLED)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/prunebench sweep sweeps/digits.yaml --results results/digits --wandb off --jobs 2
	$(BIN)/prunebench report results/digits

test: install
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-all: install
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: install
	$(BIN)/python -m bench --out bench.json

figures: install
	$(BIN)/python docs/remake.py

reference: install
	$(BIN)/prunebench sweep digits --results results/reference --wandb off --jobs 2
	$(BIN)/python docs/remake.py pack results/reference digits
	$(BIN)/python docs/remake.py

clean:
	rm -rf build *.egg-info .pytest_cache .ruff_cache .hypothesis
