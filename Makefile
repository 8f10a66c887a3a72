# The developer's verbs. `make demo` and `make test` work in a fresh clone on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test check format reference docs clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "whylabel needs Python 3.11 or newer: make PYTHON=python3.12")'
	@echo 'Installing whylabel and the tools of its developers into .venv; this takes some minutes.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/whylabel demo

test: setup
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell *.md CITATION.cff benchmarks deploy docs experiments recipes scripts src

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: setup
	for page in cli recipe python http; do $(BIN)/python scripts/$${page}_reference.py || exit 1; done

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv runs site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
