# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Many tests wait for a process or a clock, so that there is work for one more than a machine of two cores has.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test lint check soak clean

# Compiled afterwards by all cores, without the packages' own tests: pip would compile everything, on
# one core, and that took half of the time.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
COMPILE = $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Heed into $(VENV); the first time this takes a minute or two." >&2
	@$(INSTALL) -e . >&2
	@$(COMPILE)
	@touch $@

# All that .installed has and more, so that neither waits for the other.
$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Heed and what its tests need into $(VENV): a minute or two." >&2
	@$(INSTALL) -e '.[test]' >&2
	@$(COMPILE)
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed  ## the whole loop on the bundled starter model
	@$(BIN)/heed demo $(ARGS)

test: $(VENV)/.installed-test  ## every test
	@$(BIN)/python -m tests.journeys.browser
	$(PYTEST) $(ARGS)

lint: $(VENV)/.installed-test  ## format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd clients/python && ../../$(BIN)/lint-imports

check: lint test  ## what continuous integration and pre-commit hold

soak: $(VENV)/.installed-test  ## the long loops: the same tests with a bigger count
	HEED_TEST_COUNT=50 $(PYTEST) -m "slow or not slow" $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info
