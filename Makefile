# One door: every target builds .venv first, on a machine with nothing but Python 3.11, git and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
# An extra package index for torch, for example one with CPU-only wheels; nothing is added when it is empty.
TORCH_INDEX ?=
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2

KILLS ?= 500
ROUNDS ?= 100

.PHONY: demo test long lint bench mutants soak drill hostile docs reference wheel clean

# Entry points are written at install: the stamp depends on what declares them.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) hatchling editables
	$(PIP) $(INDEX) --no-build-isolation -e '.[dev,torch,paillier]'
	touch $@

.PHONY: .venv
.venv: $(STAMP)

demo: $(STAMP)
	$(BIN)/secagg demo heart $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not slow and not long" $(ARGS)

# Real processes that are killed, cut off, filled up and flooded: minutes by the clock, little of it work.
long: $(STAMP)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "long and not slow" $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Plots need matplotlib; the packages that we are compared with are left out where they have no wheel. A quick run takes
# what is there.
bench: $(STAMP)
	test -n "$(QUICK)" || $(BIN)/python -c "import matplotlib" 2>/dev/null || $(PIP) --no-build-isolation -e '.[bench]'
	test -n "$(QUICK)" || $(BIN)/python -c "import paillier, tenseal" 2>/dev/null \
		|| $(PIP) --no-build-isolation -e '.[compare]' \
		|| echo "the extra 'compare' cannot be installed here: those comparisons are skipped"
	nice -n 5 $(BIN)/python -m secagg.bench.suite $(if $(QUICK),--quick) $(ARGS)

mutants: $(STAMP)
	$(BIN)/python tests/support/mutants.py tests/attacks/defences.toml $(ARGS)

soak: $(STAMP)
	$(BIN)/python tests/support/soak.py $(or $(SEEDS),0-500) --workers $(WORKERS) $(if $(ENGINE),--engine $(ENGINE)) $(if $(BUG),--bug $(BUG)) $(if $(TRACE),--trace)

# Real processes die, freeze and lose their links, for minutes; an interrupted run goes on where it was.
drill: $(STAMP)
	PYTHONPATH=tests $(BIN)/python tests/support/drills.py --kills $(KILLS) --state drill-state.json $(ARGS)
	PYTHONPATH=tests $(BIN)/python tests/support/admissions.py
	PYTHONPATH=tests $(BIN)/python tests/support/weather.py --rounds $(ROUNDS) $(ARGS)

# What the broker bears, and how fast it is beside a bare relay: idle strangers, hostile members, revocation.
hostile: $(STAMP)
	PYTHONPATH=tests $(BIN)/python tests/support/hostile.py $(ARGS)
	PYTHONPATH=tests $(BIN)/python tests/support/throughput.py

docs: $(STAMP)
	$(BIN)/python -m pytest -q tests/unit/house/test_docs.py tests/unit/house/test_reference.py $(ARGS)

# The pages in docs/reference that are printed from the code.
reference: $(STAMP)
	PYTHONPATH=tests:. $(BIN)/python tests/support/reference.py --write

# What an institution installs: dist/secagg-….whl, without torch unless its extra is asked for.
wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
