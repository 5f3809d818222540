# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO = demo

.PHONY: demo test test-slow test-cluster bench lint clean

demo: $(VENV)/.installed
	mkdir -p $(DEMO)
	$(BIN)/python -m bigquant sample $(DEMO)/photo.tif --megapixels 50 --overwrite
	$(BIN)/python -m bigquant info $(DEMO)/photo.tif
	$(BIN)/python -m bigquant fit $(DEMO)/photo.tif -k 32 --overwrite

test: $(VENV)/.tests-installed
	$(BIN)/python -m pytest -m "not slow and not cluster" -n 2 --dist loadfile

test-slow: $(VENV)/.tests-installed
	$(BIN)/python -m pytest -m "slow and not cluster"

# What took too long on a busy machine is tried once more; what came out wrong is not.
AGAIN = --reruns 1 --only-rerun TimeoutExpired --only-rerun "in vain" --only-rerun "has not ended"

# As root on Debian, whose packages it installs; builds an image, so it needs the network.
test-cluster: $(VENV)/.tests-installed
	$(BIN)/python -m pytest -m cluster $(AGAIN)

# About an hour, and 15 GB of disk; with BENCH="--scale 0.002" to see that it runs.
bench: $(VENV)/.bench-installed
	$(BIN)/python -m benchmarks --json benchmarks/results.json $(BENCH)

lint: $(VENV)/.lint-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(DEMO)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.tests-installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/.bench-installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	touch $@

$(VENV)/.lint-installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	touch $@
