# The verbs of the project. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PYTEST := $(PY) -m pytest -q
CLUSTER := python3 -m hack.cluster

.PHONY: help up down status logs env install check format lock render figures \
        test test-unit test-contract test-cluster test-chart test-e2e programs

help: ## List the verbs
	@awk -F':.*## ' '/^[a-z][a-z0-9-]*:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Bring up a local Kubernetes with the platform and three sample companies
	@$(CLUSTER) up
down: ## Take the local Kubernetes down; nothing is left behind
	@$(CLUSTER) down
status: ## Show the node, the platform and the companies
	@$(CLUSTER) status
logs: ## Show logs (make logs WHAT=operator|app|worker|postgres)
	@$(CLUSTER) logs $(WHAT)
env: ## Print the shell settings that reach the local cluster: eval "$$(make -s env)"
	@$(CLUSTER) env

install: $(STAMP) ## Install the Python dependencies into .venv, by hash
$(STAMP): requirements/dev.txt requirements/assets.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || python3 -m hack.cluster packages python3-venv
	@test -x $(PY) || python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/assets.txt
	@touch $(STAMP)

check: $(STAMP) ## What CI checks without running anything: format, lint, types, import contracts
	$(VENV)/bin/ruff format --check operator app hack tests charts
	$(VENV)/bin/ruff check operator app hack tests charts
	test ! -e operator/__init__.py
	PYTHONPATH=operator:app $(VENV)/bin/lint-imports
	$(VENV)/bin/mypy operator/hoa_operator
	$(VENV)/bin/mypy app/hoa_app
	$(VENV)/bin/mypy hack tests/bench

format: $(STAMP) ## Format the code
	$(VENV)/bin/ruff format operator app hack tests charts
	$(VENV)/bin/ruff check --fix-only --quiet operator app hack tests charts

lock: $(STAMP) ## Lock the dependencies: hashes, no index addresses
	cd requirements; for list in dev operator app; do \
	  constraint=$$([ $$list = dev ] || echo "-c dev.txt"); \
	  ../$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" $$constraint -o $$list.txt $$list.in; done; \
	../$(VENV)/bin/uv pip compile -q --no-deps --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" -o assets.txt assets.in

render: $(STAMP) ## Render manifests/install.yaml from the chart
	$(PY) charts/render.py --helm "$$($(CLUSTER) tools helm)/helm"

programs: ## Install the programs that tests need
	@$(CLUSTER) packages postgresql-15 etcd-server prometheus chromium
	@$(CLUSTER) tools kubernetes helm kubeconform > /dev/null

test: ## Every level of tests; the local cluster is brought up for it if it is not up already
	@$(MAKE) --no-print-directory install programs
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test-unit test-contract test-chart test-cluster
	@$(MAKE) --no-print-directory test-e2e

test-unit: $(STAMP) ## Unit tests: seconds, need nothing
	$(PYTEST) tests/unit
test-contract: $(STAMP) ## Contract tests: operator and app against one real Postgres
	$(PYTEST) tests/contract
test-chart: $(STAMP) ## The chart against a real API server
	$(PYTEST) tests/chart
test-cluster: $(STAMP) ## CRDs and the operator against a real API server and Postgres
	$(PYTEST) tests/cluster
test-e2e: $(STAMP) ## End to end on the local cluster, in a browser
	@was_up=$$($(CLUSTER) running && echo yes || echo no); \
	if [ $$was_up = no ]; then trap '$(CLUSTER) down' EXIT; fi; \
	$(CLUSTER) up; \
	$(PYTEST) tests/e2e

figures: $(STAMP) ## Measure the platform on the local cluster and print one table
	$(PY) -m tests.bench.figures
