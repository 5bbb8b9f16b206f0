# Everything a newcomer needs; `make help` lists it. Each target installs what it needs by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# else each of the hundred Python processes of a test run would compile the same files anew
unexport PYTHONDONTWRITEBYTECODE
UV_VERSION := 0.13.8
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# tests wait for half of their time, so four at once keep two cores busy; where pods run, too, it is two.
# Files stay in the order that tests/conftest.py gives them: long ones first.
PYTEST := $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder
PYTEST_PODS := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
# the only folders with tests marked e2e (tests/conftest.py sees to it): to look through the others takes 13 s a process
PODS := tests/lab tests/e2e
# the second runs also when the first fails, so that one run tells everything
both = trap 'exit 130' INT; $(1); first=$$?; $(2); second=$$?; exit $$(( first || second ))
# only when it is said to make: many shells have a KUBECONFIG of some cluster that is no playground
ON_CLUSTER = $(if $(findstring command,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements-dev.lock pyproject.toml
	@echo "==> Python environment in $(VENV)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .
	@touch $@

PEERS_engine = --peer-helm-operator $(PEERS)/operator-sdk
PEERS_dataplane = --peer-ingress-nginx $(PEERS)/ingress-root --peer-traefik $(PEERS)/traefik
PEERS_all = $(PEERS_engine) $(PEERS_dataplane)

.PHONY: demo
demo: $(READY) ## Everything at work on local clusters (KUBECONFIG=file: on a cluster of yours)
	@$(BIN)/python -m lab demo $(ON_CLUSTER)

.PHONY: demo-down
demo-down: $(READY) ## Take the demo away
	@$(BIN)/python -m lab demo-down $(ON_CLUSTER)

.PHONY: test
test: $(READY) ## Every test, on real parts
	@$(BIN)/python -m lab build
	$(call both,$(PYTEST) -m "not e2e and not long" tests,$(PYTEST_PODS) -m "e2e and not long" $(PODS))

.PHONY: test-long
test-long: $(READY) ## The tests that take long, too
	@$(BIN)/python -m lab build
	$(call both,$(PYTEST) -m "not e2e" tests,$(PYTEST_PODS) -m e2e $(PODS))

.PHONY: bench
bench: $(READY) ## Benchmarks (NAME=engine: one; PEERS=folder: beside the peers that lie there)
	@$(BIN)/python -m bench $(NAME) $(if $(PEERS),$(PEERS_$(or $(NAME),all)))

.PHONY: check
check: $(READY) ## Formatter, linter, types, layers, dead dependencies, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/codespell

.PHONY: format
format: $(READY) ## Let the formatter and the linter mend what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: generate
generate: $(READY) ## Write the CRDs from the models
	$(BIN)/python -m gateway_operator.crds

.PHONY: lock
lock: $(READY) ## Resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  pyproject.toml --group dev -o requirements-dev.lock

.PHONY: clean
clean: ## Remove what was built in the checkout (the lab's cache stays)
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
