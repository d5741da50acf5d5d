# Two commands do everything: `make run` serves the embedded sandbox, `make test` proves it all.
# Each sets up .venv with pinned versions first, and the command levelup-ov in it. Other targets: lint, format, coverage,
# test-lowest, docs, architecture, demo-checkout, demo-order, demo-fftp, demo-vendure, demo-agent, matrix, faults,
# simulate, simulate-mutants, bench, bench-check, soak, clean.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUPTOOLS = $(shell sed -n 's/^\(setuptools==[^ ]*\).*/\1/p' requirements-dev.txt)

export LEVELUP_OV_ENV ?= development

.PHONY: run test test-lowest coverage lint format docs architecture demo-checkout demo-order demo-fftp demo-vendure demo-agent matrix faults faults-outer faults-checkout simulate simulate-mutants bench bench-check soak clean

run: $(VENV)/runtime
	$(BIN)/levelup-ov run

# Runs in as many processes as tests/conftest.py says, each file in one of them, in the order given there. It ends when
# one of them crashes: pytest-xdist 3.8 can wait forever for the files of a process that it replaced.
test: $(VENV)/development lint
	env -u LEVELUP_OV_ENV $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

# The suite with the share of lines that it runs. Ends with an error below the floor in setup.cfg.
coverage: $(VENV)/development
	env -u LEVELUP_OV_ENV $(BIN)/python -m coverage run -m pytest $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

# The suite over the lowest version of each library that setup.cfg allows, in a virtual environment of its own.
test-lowest: $(VENV)-lowest/installed
	env -u LEVELUP_OV_ENV $(VENV)-lowest/bin/python -m pytest $(ARGS)

lint: $(VENV)/development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/development
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/development
	$(BIN)/python -m sphinx -n -W --keep-going -b html docs docs/_build
	@echo "the first page is docs/_build/index.html"

demo-checkout: $(VENV)/development
	$(BIN)/python -u scripts/demo_checkout.py

# A phone's app that orders ahead, from LevelUp's side to the kitchen.
demo-order: $(VENV)/development
	$(BIN)/python -u scripts/demo_order.py

demo-fftp: $(VENV)/development
	$(BIN)/python -u scripts/demo_fftp.py

demo-vendure: $(VENV)/development
	$(BIN)/python -u scripts/demo_vendure.py

# The official MCP client, unmodified, orders lunch at real restaurants.
demo-agent: $(VENV)/development
	$(BIN)/python -u scripts/demo_agent.py

# Draws the packages for the first page of the docs.
architecture: $(VENV)/runtime
	$(BIN)/python -m scripts.architecture

# Renews the README's table of what each provider can do.
matrix: $(VENV)/runtime
	$(BIN)/python -m scripts.matrix

# N submissions through an unreliable network, seeded with SEED; LEDGER=sqlite or postgresql, PROVIDER=sandbox or fftp.
# ARGS=--fails-over: a copy of the ledger that lacks the last second takes over now and then; ARGS=--events: orders are
# watched and canceled, and a receiver that fails counts the events.
faults: $(VENV)/development
	$(BIN)/python -m tests.faults $(or $(N),10000) $(or $(SEED),1) --ledger $(or $(LEDGER),postgresql) --provider $(or $(PROVIDER),sandbox) $(ARGS)

# N trials of a simulated world, seeded with SEED; a failure names the seed that repeats it. ARGS=--checkout: with
# LevelUp in it.
simulate: $(VENV)/development
	$(BIN)/python -m tests.simulation $(or $(N),20000) $(or $(SEED),1) $(ARGS)

# For each rule put back to the old way: how many trials show it, of N at the most.
simulate-mutants: $(VENV)/development
	$(BIN)/python -m tests.simulation $(or $(N),20000) $(or $(SEED),1) --mutants $(ARGS)

# The same from a phone's app to the provider: N orders ahead, every link failing.
faults-outer: $(VENV)/development
	$(BIN)/python -m tests.faults.outer $(or $(N),2000) $(or $(SEED),1)

# The same for web checkout: N orders that are charged and submitted, every link failing, workers killed.
faults-checkout: $(VENV)/development
	$(BIN)/python -m tests.faults.checkout $(or $(N),2000) $(or $(SEED),1) --provider $(or $(PROVIDER),sandbox) $(ARGS)

bench: $(VENV)/bench
	$(BIN)/python -m bench.run $(ARGS)

# Whether every measurement still runs, each once and as short as it can be; under a minute.
bench-check: $(VENV)/development $(VENV)/bench
	$(BIN)/python -m bench.check

# Hostile and friendly callers mixed, for MINUTES; the attacks alone: python -m bench.hostile bodies, connections.
soak: $(VENV)/bench
	$(BIN)/python -m bench.hostile soak --minutes $(or $(MINUTES),10)

clean:
	rm -rf $(VENV) $(VENV)-lowest .cache build dist docs/_build *.egg-info

# The project itself is installed last, in place: the command levelup-ov runs what is in this directory.
$(VENV)/runtime: requirements.txt setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt $(SETUPTOOLS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/development: $(VENV)/runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)-lowest/installed: setup.cfg requirements-dev.txt scripts/lowest.py
	test -x $(VENV)-lowest/bin/python || $(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) scripts/lowest.py > $(VENV)-lowest/requirements.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)-lowest/requirements.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/bench: $(VENV)/runtime bench/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@
