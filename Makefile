# Everything a developer runs. Needs make and Python 3.11 or newer; the rest is set up in .venv.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
SHELL := /bin/bash

BIN := .venv/bin
DEMO := var/demo
CATALOGUE := src/dozor/locale/ru/LC_MESSAGES/dozor
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock"

.PHONY: help
help: ## Show these targets
	@echo "Dozor: make TARGET"
	@echo
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)$$/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: venv
venv: .venv/.ready $(CATALOGUE).mo ## Set up .venv from the locked requirements, with the command dozor
	@:

# The stamp is written last, so that an interrupted set-up is done again.
.venv/.ready: requirements/dev.txt pyproject.toml hatch_build.py tools/venv.sh
	@bash tools/venv.sh
	@touch $@

$(CATALOGUE).mo: $(CATALOGUE).po | .venv/.ready
	@$(BIN)/pybabel --quiet compile --domain dozor --directory src/dozor/locale

.PHONY: up
up: venv ## Start Dozor with demo traffic: the console is on http://127.0.0.1:5000 until Ctrl-C
	@exec $(BIN)/dozor up --demo --data-dir var/up

.PHONY: demo
demo: venv ## Make a day of demo traffic and show its report
	@$(BIN)/dozor demo traffic --out $(DEMO) --days 1 --seed 7
	@$(BIN)/dozor report $(DEMO)/access.log $(DEMO)/error.log --html $(DEMO)/report.html
	@$(BIN)/dozor report $(DEMO)/access.log $(DEMO)/error.log
	@echo "The same as a page: $(CURDIR)/$(DEMO)/report.html"
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open >/dev/null; then \
		xdg-open $(DEMO)/report.html; fi

.PHONY: test
test: check pytest ## Run every check and every test but the long ones

.PHONY: pytest
pytest: venv
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile

.PHONY: test-long
test-long: venv ## Run the tests that take minutes
	@$(BIN)/python -m pytest -m long --timeout 1800

.PHONY: check
check: venv ## Check format, lint, types, import contracts and catalogues
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tools.i18n check

.PHONY: fmt
fmt: venv ## Format the code and repair what the linter can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: bench
bench: venv ## Measure speed, memory and detection
	@$(BIN)/python -m bench

.PHONY: i18n
i18n: venv ## Take new texts into the catalogues and compile them
	@$(BIN)/python -m tools.i18n update
	@$(BIN)/pybabel --quiet compile --domain dozor --directory src/dozor/locale

.PHONY: docs
docs: venv ## Write the generated pages of the documentation
	@$(BIN)/python -m tools.docs

.PHONY: build
build: venv ## Build the wheel and the source archive into dist/
	@$(BIN)/python -m hatchling build --clean

.PHONY: audit
audit: venv ## Ask for known vulnerabilities of the locked packages; needs the network
	@$(BIN)/python -m venv .venv/audit
	@VIRTUAL_ENV=.venv/audit $(BIN)/uv pip sync --quiet --require-hashes requirements/audit.txt
	@.venv/audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.txt

.PHONY: lock
lock: venv ## Resolve the requirements anew, newest first
	@$(COMPILE) --upgrade pyproject.toml --output-file requirements/runtime.txt
	@$(COMPILE) --upgrade pyproject.toml --group dev --constraints requirements/runtime.txt \
		--output-file requirements/dev.txt
	@$(COMPILE) --upgrade --group bootstrap --constraints requirements/dev.txt \
		--output-file requirements/bootstrap.txt
	@$(COMPILE) --upgrade --group audit --output-file requirements/audit.txt
