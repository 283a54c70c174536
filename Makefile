# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test lint check soak clean

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing Heed into $(VENV); the first time this takes a minute or two." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . >&2
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]' >&2
	@touch $@

demo: $(VENV)/.installed  ## the whole loop on the bundled starter model
	@$(BIN)/heed demo $(ARGS)

test: $(VENV)/.installed-test  ## every test
	@$(BIN)/python -m tests.journeys.browser
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-test  ## format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd clients/python && ../../$(BIN)/lint-imports

check: lint test  ## what continuous integration and pre-commit hold

soak: $(VENV)/.installed-test  ## the long loops: the same tests with a bigger count
	HEED_TEST_COUNT=50 $(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info
