# Everything a newcomer needs: `make demo` and `make test`, each alone on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: demo test faults lint format benchmarks docs clean

demo: $(READY)
	$(BIN)/modelwright demo

test: $(READY)
	$(BIN)/pytest

faults: $(READY)
	MODELWRIGHT_KILLS=200 $(BIN)/pytest tests/faults

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: $(READY)
	$(BIN)/python benchmarks/spine.py

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache

# Torch comes first and alone: its pin must be met before anything else asks for it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demos,hub,postgres,qlora,ray,dev]'
	touch $(READY)
