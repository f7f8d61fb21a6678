# Everything happens in a virtual environment of its own, made on the first call and again when pyproject.toml changes.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
TRANSPARENCY_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := .demo

.PHONY: help demo test check bench growth house soak fuzz transparency format readme clean

help:
	@echo "make demo    see it work: an untouched training script, and what was recorded of it"
	@echo "make test    the whole test suite"
	@echo "make check   static checks, then the whole test suite"
	@echo "make bench   what recording costs, against its budgets, and README.md's table of it"
	@echo "make growth  how that cost grows with rows, candidates and runs"
	@echo "make soak    kill programs that record at 200 random moments, and see that nothing is lost"
	@echo "make fuzz    look for input that crashes a parser: two minutes each"
	@echo "make house   the code measured against the house's style"
	@echo "make transparency  scikit-learn's own tests, and programs, with autotrack on and off: nothing may differ"
	@echo "make format  format the code"
	@echo "make readme  write the generated tables of README.md anew"
	@echo "make clean   remove what these made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "autotrack needs Python 3.10 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# The demo needs scikit-learn; its scripts read data frames.
$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[sklearn]' pandas
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed-demo

demo: $(VENV)/.installed-demo
	@rm -rf $(DEMO) && mkdir -p $(DEMO)/.autotrack
	@BIN=$(abspath $(BIN)) sh tools/demo.sh $(DEMO)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

bench: $(VENV)/.installed-dev
	-$(BIN)/python benchmarks/run.py --write $(BENCH_ARGS)
	$(BIN)/python tools/readme.py --write

growth: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/growth.py

house: $(VENV)/.installed-dev
	$(BIN)/python tools/house.py

soak: $(VENV)/.installed-dev
	$(BIN)/python tools/soak.py $(SOAK_ARGS)

# atheris is for this alone, and has no wheels for every Python: it is no dependency of the tests.
FUZZ := mlmodel enforce search journal command_line
FUZZ_SECONDS ?= 120

fuzz: $(VENV)/.installed-dev
	$(PIP) install --quiet atheris
	@for target in $(FUZZ); do \
		mkdir -p .fuzz/$$target && PYTHONPATH=.:tests/fuzz AUTOTRACK_TRACKING_URI=.fuzz/store \
		$(BIN)/python tests/fuzz/fuzz.py $$target -max_total_time=$(FUZZ_SECONDS) -timeout=20 -max_len=4096 \
		-artifact_prefix=.fuzz/ .fuzz/$$target || exit 1; \
	done

transparency: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/transparency/run.py $(TRANSPARENCY_ARGS)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

readme: $(VENV)/.installed-dev
	$(BIN)/python tools/readme.py --write

clean:
	rm -rf $(VENV) $(DEMO) .fuzz build dist
