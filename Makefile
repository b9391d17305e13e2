# Two commands matter: `make run` and `make test`. Both make the environment first.
PYTHON ?= python3
BIN := .venv/bin
STUDY ?= studies/digits
# Two workers, each a file at a time in the order of their names: large files come early and doctests last.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test test-all lint bench docs clean

run: .venv/installed
	$(BIN)/surrogate-nas run $(STUDY) --data digits --space tiny --budget 40 --initial 32 --batch 4 \
	  --max-macs 200e3 --min-accuracy 0.8 --epochs 8 --seed 0

test: .venv/installed
	$(PYTEST) -m "not slow"

test-all: .venv/installed
	$(PYTEST)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/tools/check_words.py
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python scripts/bench/speed/cost.py
	$(BIN)/python scripts/bench/speed/query.py $(STUDY)

docs: .venv/installed
	$(BIN)/python scripts/tools/write_reference.py
	$(BIN)/sphinx-build -q -W --keep-going -c docs . docs/_build/html

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf docs/_build .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
