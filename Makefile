# Everything runs from a virtual environment of its own, made on first use from constraints.txt.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# dbt-core and mypy want different versions of pathspec: dbt gets an environment of its own.
DBT_VENV := .venv-dbt
DBT_BIN := $(DBT_VENV)/bin
DBT_STAMP := $(DBT_VENV)/.installed
# oaklib brings 67 packages that nothing else needs.
OAK_VENV := .venv-oak
OAK_BIN := $(OAK_VENV)/bin
OAK_STAMP := $(OAK_VENV)/.installed
PORT := 3000
RUNS := 1000
SEED := 1
REV := HEAD~1
SETTINGS :=
ROUNDS := 3
ONTOLOGIES := 27
SCALE := 0.005
PASSES := 1 2 4 sensor kills
CLASSES := 94000
UI_HOME := .efo/dagster_home
CLEANED = $(VENV) $(DBT_VENV) $(OAK_VENV) dbt/target dbt/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis \
  .import_linter_cache $(if $(DATA),.efo,.efo/demo)
export DAGSTER_MODULE_NAME := efo_assets.definitions
# Dagster starts twice as slowly where its bytecode can't be kept.
unexport PYTHONDONTWRITEBYTECODE
# A virtual environment of somebody else's must not leak into ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# $(call pip_install,ENVIRONMENT,CONSTRAINTS,WHAT): tells every ten seconds where pip is, and all that
# it said where it fails. Its bars are not ASCII, so they might be cut within a character.
define pip_install
@log=$(1)/pip.log; : >$$log; s=0; \
while sleep 10 >/dev/null 2>&1; do s=$$((s + 10)); echo "  $$s s: $$(tail -n 1 $$log | cut -c 1-70)"; done & \
ticker=$$!; \
trap 'kill $$ticker' EXIT; trap 'exit 130' INT TERM; \
$(1)/bin/python -m pip install --progress-bar off --constraint $(2) --editable $(3) >$$log 2>&1 || \
  { cat $$log >&2; exit 1; }
@$(1)/bin/python -m compileall -q -j 0 $(1)/lib >/dev/null 2>&1 || true
endef

.DEFAULT_GOAL := help
.PHONY: help demo test coverage faults chaos catalogue readers search dev ui library two deployed run bench bench-against lint dbt dbt-test oak clean

help: ## Show this list
	@LC_ALL=C awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## Load a generated ontology of 20,000 classes end to end and ask it three questions
	@$(BIN)/python -m efo_assets demo

test: $(STAMP) ## Run the tests, offline, on a real PostgreSQL
	@$(BIN)/python -m pytest

coverage: $(STAMP) ## Run the tests and list the lines that none of them comes by
	@$(BIN)/python -m pytest --cov

faults: $(STAMP) ## List every fault of docs/faults.md with the tests that cover it
	@$(BIN)/python -m pytest -n 0 --collect-only -q --fault-table | sed -n '/^[A-Z][0-9][0-9]  /p; / covered$$/p'

chaos: $(STAMP) ## Load under random faults, RUNS=1000 times from SEED=1 on, and compare every row
	@$(BIN)/python -m efo_assets_tests.chaos --runs $(RUNS) --seed $(SEED)

catalogue: $(STAMP) ## Load a catalogue of ONTOLOGIES=27 by Dagster's services, and kill them (270, SCALE=0.05: OLS's at 1/20)
	@$(BIN)/python -m efo_assets_tests.catalogue --ontologies $(ONTOLOGIES) --scale $(SCALE) --passes $(PASSES)

readers: $(STAMP) ## Read 100,000 times while 200 releases are published, half of them under faults
	@$(BIN)/python -m pytest -n 0 -m campaign efo_assets_tests/faults/test_readers.py

search: $(STAMP) ## Seek forty names, misspelt, abbreviated or without accents, among 94,000 classes
	@$(BIN)/python -m pytest -n 0 -m campaign efo_assets_tests/warehouse/test_search.py

# The instance is that of `make dev`, so that the UI shows the run. Dagster warns of its own command
# and of a parameter within it.
run: $(STAMP) $(UI_HOME)/dagster.yaml ## Load EFO from OLS into the configured database (the embedded one by default)
	@PYTHONWARNINGS='ignore:Function,ignore:Parameter' DAGSTER_HOME="$(abspath $(UI_HOME))" \
	  $(BIN)/dagster asset materialize --select '*'

ifdef SAMPLE
DEV = $(BIN)/python -m efo_assets demo --ui
else
# `dg dev` names the code location to its processes; a module name beside it makes them hang.
DEV = env -u DAGSTER_MODULE_NAME DAGSTER_HOME="$(abspath $(UI_HOME))" \
  VIRTUAL_ENV="$(abspath $(VENV))" PATH="$(abspath $(BIN)):$$PATH" \
  $(BIN)/dg dev --host 127.0.0.1
endif
dev: $(STAMP) $(UI_HOME)/dagster.yaml ## Serve the UI at http://127.0.0.1:3000 (PORT=3001 for another port; SAMPLE=1 on generated data)
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || \
	  { echo "Port $(PORT) of 127.0.0.1 is taken: make dev PORT=3001 takes another." >&2; exit 1; }
	@$(DEV) --port $(PORT)

ui: $(STAMP) ## Press "Materialize all" in a real browser (Debian's chromium) and picture the lineage graph
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[browser]'
	@$(BIN)/python -m pytest -n 0 -m campaign efo_assets_tests/graph/test_ui.py --picture docs/lineage.png

library: $(STAMP) ## Install the wheel into an empty environment and run the lines of docs/library.md there
	@$(BIN)/python -m pytest -n 0 -m campaign efo_assets_tests/graph/test_library.py

two: RUNS := 20
two: $(STAMP) ## Load two ontologies at once by dg's commands, RUNS=20 times on empty databases
	@$(BIN)/python -m pytest -n 0 -v -m campaign efo_assets_tests/graph/test_component.py --runs $(RUNS)

deployed: $(STAMP) ## Kill one service of the deployment after the other in the middle of a load
	@$(BIN)/python -m pytest -n 0 -m 'campaign or not campaign' efo_assets_tests/deployment/test_services.py

bench: $(STAMP) ## Measure everything the README claims (about 10 minutes); writes benchmarks/results.md
	@$(BIN)/python -m benchmarks

bench-against: $(STAMP) ## Measure an older commit and this tree in turn: REV=a209675 ROUNDS=3 CLASSES=94000 SETTINGS=EFO_SEMSQL=1
	@$(BIN)/python -m benchmarks.against $(REV) --rounds $(ROUNDS) --classes $(CLASSES) --settings $(SETTINGS)

lint: $(STAMP) ## Check style, types and imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

dbt: $(DBT_STAMP) ## Build dbt's models and run its tests on what `make demo` has loaded
	@$(DBT_BIN)/python -m efo_assets --demo dbt build

dbt-test: $(DBT_STAMP) ## Run the tests of the extra `dbt`
	@$(DBT_BIN)/python -m pytest -n 0 efo_assets_tests/dbt/test_dbt.py

oak: CLASSES := 2000
oak: $(OAK_STAMP) ## Ask OAK's commands of PostgreSQL and of SemSQL's SQLite file, of CLASSES=2000 (94000: times)
	@$(OAK_BIN)/python -m pytest -n 0 efo_assets_tests/oak/test_oak.py
	@$(OAK_BIN)/python -W ignore -m efo_assets_tests.oak --classes $(CLASSES)

clean: ## Remove the environment, the demo's data and caches; with DATA=1 what was loaded, too
	@echo "Removing, with the bytecode of all folders:"; du -sh $(wildcard $(CLEANED)) /dev/null | sed '$$d; s/^/  /'
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m efo_assets clean .efo/demo $(if $(DATA),.efo); fi
	@rm -rf $(CLEANED)
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -d .efo ] && ! rmdir .efo 2>/dev/null; then \
	  echo "Keeping what was loaded (make clean DATA=1 removes it, too):"; du -sh .efo | sed 's/^/  /'; fi

$(UI_HOME)/dagster.yaml: dagster.yaml
	@mkdir -p $(UI_HOME) && cp dagster.yaml $@

# The newest Python that fits and can make virtual environments.
$(STAMP): pyproject.toml constraints.txt
	@python=; for candidate in python3.13 python3.12 python3.11 python3; do \
	  if command -v $$candidate >/dev/null 2>&1 && $$candidate -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then \
	    python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11, 3.12 or 3.13 with its venv module is needed (on Debian: apt install python3 python3-venv)." >&2; exit 1; fi; \
	echo "Installing into $(VENV) with $$python: once, one to three minutes, 0.6 GB"; \
	rm -rf $(VENV) && $$python -m venv $(VENV)
	$(call pip_install,$(VENV),constraints.txt,'.[dev]')
	@touch $@

# With the Python of the ordinary environment.
$(OAK_STAMP): pyproject.toml constraints-oak.txt | $(STAMP)
	@echo "Installing OAK into $(OAK_VENV): once, one to three minutes, 1 GB"
	@rm -rf $(OAK_VENV) && $(BIN)/python -m venv $(OAK_VENV)
	$(call pip_install,$(OAK_VENV),constraints-oak.txt,. oaklib pytest pytest-xdist)
	@touch $@

$(DBT_STAMP): pyproject.toml constraints-dbt.txt | $(STAMP)
	@echo "Installing dbt into $(DBT_VENV): once, one to three minutes, 0.6 GB"
	@rm -rf $(DBT_VENV) && $(BIN)/python -m venv $(DBT_VENV)
	$(call pip_install,$(DBT_VENV),constraints-dbt.txt,'.[dbt]' pytest pytest-xdist)
	@touch $@
