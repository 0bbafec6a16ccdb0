# Every target makes .venv and installs by itself: a fresh clone needs Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test check kills format crash world fuzz interop bench evidence docs clean
help: ## what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)
install: $(STAMP) ## make the virtual environment

demo: $(STAMP) ## the main job, end to end, with an embedded server and simulated carriers (KEEP=1 leaves it running)
	$(BIN)/dispatcher demo $(if $(KEEP),--keep)

# One file each at a time, in our own order (tests/conftest.py). More workers than two cores: most tests wait for processes.
PYTEST := $(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder
# The suite starts Python some hundred times: without compiled files each of them compiles the packages anew.
unexport PYTHONDONTWRITEBYTECODE
test: $(STAMP) ## the fast suite against a real embedded server
	$(PYTEST)

check: $(STAMP) ## format, lint, strict types, house rules, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

kills: $(STAMP) ## the tests in which processes come, go and are killed under load
	$(BIN)/python -m pytest -q -m 'kills and not long'

format: $(STAMP) ## let ruff lay out the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

crash: $(STAMP) ## kill -9 of engines, HTTP process, server and supervisor under load (ROUNDS=3)
	$(BIN)/python -m tests.process.crash --rounds $(or $(ROUNDS),3) --workers 2

world: $(STAMP) ## the simulated world: SEED=n replays one, SEEDS=1-300 JOBS=2 runs many, HUNT=60 looks for planted bugs
	$(BIN)/python -m tests.world $(if $(SEED),--seed $(SEED),$(if $(HUNT),--hunt $(HUNT),--seeds $(or $(SEEDS),1-100))) --jobs $(or $(JOBS),2) --size $(or $(SIZE),200)

fuzz: $(STAMP) ## every decoder of carriers' bytes under atheris (RUNS=10000000 each, JOBS=2, DECODER=name for one)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz --runs $(or $(RUNS),10000000) --jobs $(or $(JOBS),2) $(if $(DECODER),--decoder $(DECODER))

interop: $(STAMP) ## foreign programs (installs them by apt, npm, pip); ALL=1: 100,000 texts through foreign calculators too
	$(BIN)/python -m tests.interop.run
	$(BIN)/python -m tests.interop.peers
	$(if $(ALL),$(BIN)/python -m tests.interop.segments --texts 100000)

bench: $(STAMP) ## benchmarks, tables and JSON under benchmarks/results/
	$(BIN)/python -m benchmarks.all

evidence: $(STAMP) ## the long runs: tests that wait, many seeds, kills, power cuts, drawn requests, the soak (two hours), fuzzing (RUNS=n, else hours)
	$(BIN)/python -m pytest -q -m long
	$(BIN)/python -m tests.world --seeds 1-3000 --jobs 2
	$(BIN)/python -m tests.process.crash --rounds 20 --workers 2
	$(BIN)/python -m tests.process.powercut --rounds 20
	$(BIN)/python -m tests.contract.fuzz --examples 150
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),60)
	$(MAKE) fuzz

docs: $(STAMP) ## regenerate what docs/ and grafana/ take from definitions
	$(BIN)/python -m dispatcher.commands.pages

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info build dist
