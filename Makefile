# The verbs of this repository. Each is one line of hack/, which only needs Python 3.11.
PYTHON ?= python3
HOA_PORT ?= 8080
export HOA_PORT

CLUSTER := $(PYTHON) -m hack.cluster
TESTING := $(PYTHON) -m hack.testing
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help up down status logs env load-image install check test test-unit test-contract test-chart test-cluster test-faults faults test-bench test-e2e figures bench reference render lock

help: ## what there is to do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## the local cluster with HOA Connect and three sample tenants, at HOA_PORT (8080); again: brought to what is here now
	@$(CLUSTER) up

down: ## take the local cluster away, without a trace
	@$(CLUSTER) down

status: ## the node's parts, its pods, the tenants
	@$(CLUSTER) status

logs: ## the end of a component's log: make logs C=operator; without C: which there are
	@$(CLUSTER) logs $(C)

env: ## shell lines that make kubectl and helm work here: eval "$(make -s env)"
	@$(CLUSTER) env

load-image: ## build an image of ours and load it into the running node: make load-image I="app operator"
	@$(CLUSTER) load-image $(I)

install: ## .venv with every dependency, by hash
	@$(TESTING) install

check: ## format, lint, types, import contracts, migrations, shell scripts
	@$(TESTING) check

test: ## check, then every level of tests, end to end on the local cluster included
	@$(TESTING) all

test-unit: ## seconds; needs nothing
	@$(TESTING) unit

test-contract: ## against a real Postgres
	@$(TESTING) contract

test-chart: ## what the chart renders
	@$(TESTING) chart

test-cluster: ## the operator against a real Kubernetes API
	@$(TESTING) cluster

test-faults: ## the operator broken on purpose: a share of what make faults does
	@$(TESTING) faults

faults: ## as much of it as you like: make faults CRASH=all N=2000 SEED=7 BUGS=all
	@HOA_FAULTS_CRASH="$(CRASH)" HOA_FAULTS_N=$(N) HOA_FAULTS_SEED=$(SEED) HOA_FAULTS_BUGS=$(BUGS) $(TESTING) faults

test-bench: ## does make bench work? Small and short, and no bar is read
	@$(TESTING) bench

test-e2e: ## the whole, in a browser, on the local cluster (brought up and taken away unless it runs already)
	@$(TESTING) e2e

figures: ## measure the running local cluster and print one table
	@$(TESTING) figures
	@PYTHONPATH=operator:app:. .venv/bin/python -m tests.bench.figures

bench: ## against the bare libraries and the peers: docs/benchmarks.md: make bench ONLY=request_path COMPARE=an-earlier.json
	@$(TESTING) benchmarks
	@PYTHONPATH=operator:app:. .venv/bin/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(if $(COMPARE),--compare $(COMPARE))

reference: install ## write docs/reference from the code
	@PYTHONPATH=operator:app:. .venv/bin/python -m hack.reference

render: ## write manifests/install.yaml from the chart
	@$(PYTHON) charts/render.py --helm "$$($(CLUSTER) tools helm)/helm"

lock: install ## renew the locked dependencies from requirements/*.in; UPGRADE=--upgrade takes newer versions
	$(LOCK) $(UPGRADE) requirements/dev.in -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt requirements/operator.in -o requirements/operator.txt
	$(LOCK) -c requirements/dev.txt requirements/app.in -o requirements/app.txt
	$(LOCK) $(UPGRADE) --no-deps requirements/assets.in -o requirements/assets.txt
	$(LOCK) -c requirements/dev.txt hack/mailcatcher/requirements.in -o hack/mailcatcher/requirements.txt
	$(LOCK) $(UPGRADE) tests/bench/peers/django_tenants/requirements.in -o tests/bench/peers/django_tenants/requirements.txt
	$(LOCK) $(UPGRADE) tests/bench/peers/fastapi_sqlalchemy/requirements.in -o tests/bench/peers/fastapi_sqlalchemy/requirements.txt
	$(LOCK) $(UPGRADE) hack/tools/go.in -o hack/tools/go.txt
