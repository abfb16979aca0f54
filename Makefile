# Two commands do everything from a fresh clone: `make demo` and `make test`.
# Needs only Python 3.11+ with headers, a C++20 compiler and a package registry.

VENV ?= .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv pip install --quiet --python $(PY)
# uv does not look at pip's own setting of local wheels; empty elsewhere.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
NATIVE := $(wildcard native/*.cpp native/*.h native/*/*.cpp native/*/*.h) CMakeLists.txt
# Sizes of the corpora that `make bench` builds.
SIZES ?= 10000,100000
# Experiments that `make crash` does: writers killed, and power cuts worked out.
KILLS ?= 2000
REPLAYS ?= 2000
SEED ?= 1
SOURCES := src tests examples benchmarks scripts packages

.PHONY: help demo test test-slow test-train crash check lint types imports docs bench format parity weight cross clean
help:
	@echo "make demo       index and search the bundled Cranfield collection"
	@echo "make test       run the tests"
	@echo "make test-slow  run the long tests"
	@echo "make test-train run the tests of training (installs torch)"
	@echo "make crash      kill writers and cut the power; KILLS=2000 REPLAYS=2000 SEED=1"
	@echo "make check      tests, lint, types, import rule, documentation: what CI runs"
	@echo "make bench DATA=folder   benchmarks on a folder of BEIR data sets; SIZES=10000,1000000 and ONLY=scale choose"
	@echo "make parity PARITY=folder   compare encoders with colbert-ai, PyLate and sentence-transformers"
	@echo "make weight     size of a base installation"
	@echo "make cross      compile the kernels for aarch64, and run them in qemu"

# The base installation: the package and what it needs to run.
$(VENV)/.base: pyproject.toml constraints.txt $(NATIVE)
	@test -x $(PY) || python3 -m venv $(VENV)
	@echo "installing plait into $(VENV) (builds the native kernels)"
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@$(UV) -c constraints.txt --group build
	@$(UV) -c constraints.txt --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@$(UV) -c constraints.txt --group dev
	@touch $@

# What training needs; torch alone is some hundred megabytes, so nothing else asks for it.
$(VENV)/.train: $(VENV)/.dev
	@$(UV) -c constraints.txt --no-build-isolation --editable '.[train]'
	@touch $@

demo: $(VENV)/.base
	@$(PY) examples/demo.py

test: $(VENV)/.dev
	$(PY) -m pytest -m "not slow"

test-slow: $(VENV)/.dev
	$(PY) -m pytest -m slow

# One thread: what is trained in tests is tiny.
test-train: $(VENV)/.train
	OMP_NUM_THREADS=1 $(PY) -m pytest tests/train

crash: $(VENV)/.dev
	$(PY) -m tests.crash --kills $(KILLS) --replays $(REPLAYS) --seed $(SEED)

lint: $(VENV)/.dev
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)

types: $(VENV)/.dev
	$(PY) -m mypy

imports: $(VENV)/.dev
	$(VENV)/bin/lint-imports --no-cache

docs: $(VENV)/.dev
	$(PY) -m pytest tests/test_docs.py
	$(PY) benchmarks/report.py README.md docs/benchmarks.md --check

check: lint types imports docs test test-slow test-train

format: $(VENV)/.dev
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

bench: $(VENV)/.dev
	@test -n "$(DATA)" || { echo "say where the data sets are: make bench DATA=folder"; exit 2; }
	$(PY) benchmarks/run.py $(DATA) --sizes $(SIZES) $(if $(ONLY),--only $(ONLY)) $(if $(WORK),--work $(WORK))
	$(PY) benchmarks/report.py README.md docs/benchmarks.md

# Compares with the libraries that checkpoints come from; PARITY is a folder for their environments (3 GB).
parity: $(VENV)/.dev
	@test -n "$(PARITY)" || { echo "say where environments can be made: make parity PARITY=folder"; exit 2; }
	$(PY) scripts/make_parity_goldens.py $(PARITY)

weight: $(VENV)/.base
	@scripts/weight.sh

cross:
	@scripts/cross_compile.sh

clean:
	rm -rf $(VENV) build demo_index
