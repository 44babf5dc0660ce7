# Everything a person types here. It needs `make` and Python 3.11 or newer; the rest is installed into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
INSTALLED := $(VENV)/.installed
PEERS := .venv-peers/.installed
PACKAGES := agent_service stack tests benchmarks
SERVICE := $(BIN)/agent-service
MODE := auto
# What `python -m stack up` says by its exit code when there is no engine, or no images.
NOT_HERE := 3

.PHONY: help install init up down logs urls demo fault check format test test-browser test-chaos bench bench-levers
.PHONY: bench-memory bench-profiles lock clean

help:  ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Install everything into .venv; the other targets do so by themselves

init: $(INSTALLED)  ## Write .env with a random API key and random passwords
	@$(SERVICE) init
	@$(STACK) passwords

up: $(INSTALLED) .env  ## Start everything: the whole stack with Docker, else without: make up [MODE=docker|embedded]
	@if [ "$(MODE)" != embedded ]; then \
	  code=0; $(STACK) up || code=$$?; \
	  if [ $$code -ne $(NOT_HERE) ] || [ "$(MODE)" = docker ]; then exit $$code; fi; \
	  echo "So the embedded form starts instead of the whole stack; Ctrl-C stops it."; \
	fi; \
	exec $(SERVICE) up

down: $(INSTALLED) .env  ## Stop what runs, in whichever form; all data stays
	@if $(STACK) is-up; then $(STACK) down; else $(SERVICE) down; fi

logs: $(INSTALLED) .env  ## Follow the logs: make logs [S=service]
	@if $(STACK) is-up; then exec $(COMPOSE) logs --follow --tail 50 $(S); fi; \
	ls var/log/*.json >/dev/null 2>&1 || { echo "There are no log files yet; \`make up\` starts the service." >&2; exit 1; }; \
	exec tail -n 20 -F var/log/*.json

urls: $(INSTALLED) .env  ## Print where everything is
	@if $(STACK) is-up; then $(STACK) urls; else $(SERVICE) urls; fi

demo: $(INSTALLED) .env  ## Have a document reported on and show every signal of it: make demo [FILE=path]
	@$(SERVICE) demo $(if $(FILE),"$(FILE)")

fault: $(INSTALLED) .env  ## Cause a fault, to see the alert that finds it: make fault NAME=list|slow|... [SECONDS=60]
	@if $(STACK) is-up; then cause="$(STACK)"; else cause="$(SERVICE)"; fi; \
	exec $$cause fault "$(or $(NAME),list)" $(if $(SECONDS),--seconds "$(SECONDS)")

check: $(INSTALLED)  ## Check the code, what may import what, and each file of the stack with its own program
	@$(BIN)/ruff check $(PACKAGES)
	@$(BIN)/ruff format --check $(PACKAGES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(STACK) check

format: $(INSTALLED)  ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix $(PACKAGES)
	@$(BIN)/ruff format $(PACKAGES)

test: check  ## Run the checks, then the unit tests, then the integration tests: make test [ARGS="-k name"]
	@$(BIN)/pytest -n auto --dist loadfile $(ARGS)

test-browser: $(INSTALLED)  ## Use the console in a real browser; pictures of its pages go to var/test-artefacts
	@command -v chromium chromium-browser google-chrome >/dev/null \
	  || { echo "No chromium is found on the PATH; on Debian and Ubuntu: apt install chromium" >&2; exit 1; }
	@$(BIN)/pytest -s tests/browser $(ARGS)

test-chaos: $(INSTALLED)  ## Kill, cut off and fill up what there is while 11 000 tasks flow; account for each
	@$(BIN)/pytest -s tests/chaos $(ARGS)

bench: $(INSTALLED) $(PEERS)  ## Measure the service against other queues, and say which goals are met: make bench [ROUNDS=2] [ARGS=--write]
	@for name in log_line idle_memory; do $(BIN)/python -m benchmarks.$$name; done
	@PEERS_PYTHON=$(CURDIR)/.venv-peers/bin/python $(BIN)/python -m benchmarks $(ROUNDS) $(ARGS)

bench-levers: $(INSTALLED)  ## Measure what each lever of docs/performance-guide.md is worth: make bench-levers [ROUNDS=3]
	@$(BIN)/python -m benchmarks.levers $(ROUNDS)

bench-profiles: $(INSTALLED)  ## Measure what profiles cost, off and on
	@$(BIN)/python -m benchmarks.profile_cost

bench-memory: $(INSTALLED)  ## Put 200 000 tasks through the service and show that its memory stays flat: make bench-memory [TASKS=n]
	@$(BIN)/python -m benchmarks.memory_flat $(TASKS)

lock: $(INSTALLED)  ## Write the lock files anew from pyproject.toml, with the newest versions that it allows
	@$(call compile,service,)
	@$(call compile,dev,--group dev)
	@$(call compile,peers,--group peers)
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.13 \
	  --custom-compile-command "make lock" --group log-alerts -o requirements/log-alerts.txt

clean:  ## Remove .venv, .venv-peers and the caches; .env and var/ stay
	@rm -rf $(VENV) .venv-peers .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.env: | $(INSTALLED)
	@$(SERVICE) init
	@$(STACK) passwords

include stack.mk

define compile
$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
  --custom-compile-command "make lock" pyproject.toml $(2) -o requirements/$(1).txt
endef

# Stamped, so that nothing is looked at again until a lock file or the project changes.
$(INSTALLED): requirements/service.txt requirements/dev.txt pyproject.toml | $(BIN)/uv
	@echo "Installing $$(grep -c == requirements/dev.txt) locked packages into $(VENV) ..."
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --compile-bytecode --require-hashes --requirements requirements/dev.txt 2>&1 \
	  | { grep -v '^ [-+~] ' || true; }
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

# The other queues live in an environment of their own, never in the product's.
$(PEERS): requirements/peers.txt | $(BIN)/uv
	@test -x .venv-peers/bin/python || $(BIN)/uv venv --quiet .venv-peers
	@VIRTUAL_ENV=.venv-peers $(BIN)/uv pip install --quiet --require-hashes --requirements requirements/peers.txt
	@VIRTUAL_ENV=.venv-peers $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

$(BIN)/uv:
	@python=""; \
	for name in python3.13 python3.12 python3.11 python3; do \
	  if command -v $$name >/dev/null && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed and not found on the PATH" >&2; exit 1; fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python has no venv module; on Debian and Ubuntu: apt install $$($$python -c \
	    'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$python --version) ..."; \
	$$python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
