# The commands of the README. Everything they need is installed by themselves: uv from PyPI, Python packages from
# uv.lock, the cluster's binaries from source (e2e/cluster).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := .tools/uv-$(UV_VERSION)/bin/uv
RUN := $(UV) run --frozen --all-packages --all-extras
export PYTHONUNBUFFERED := 1

$(UV):
	@echo "installing uv $(UV_VERSION)"
	@python3 -m venv .tools/uv-$(UV_VERSION)
	@.tools/uv-$(UV_VERSION)/bin/pip install --quiet uv==$(UV_VERSION)

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

.PHONY: sync
sync: $(UV) ## the virtual environment, exactly as uv.lock says
	@$(UV) sync --frozen --all-packages --all-extras --quiet

.PHONY: lint
lint: sync ## ruff, mypy --strict, import-linter; containers and manifests by hadolint and checkov
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python -m e2e.scan

.PHONY: unit
unit: sync ## tests of the pure core: no network, under a minute
	$(RUN) pytest tests/unit

.PHONY: serving
serving: sync ## the real model server and a real MLflow on loopback
	$(RUN) pytest tests/serving

.PHONY: controlplane
controlplane: sync ## the operator on a real API server with a real Prometheus; pods are KWOK's
	$(RUN) pytest tests/controlplane

.PHONY: e2e
e2e: sync ## real pods, real clients: a good version promoted, a bad one taken back, nothing lost
	$(RUN) pytest -s e2e --ignore e2e/acceptance

.PHONY: acceptance
acceptance: sync ## half an hour on real pods: releases under load, registries and metrics that go away, changed models
	$(RUN) pytest -s e2e/acceptance

.PHONY: test
test: lint unit serving controlplane e2e ## everything that CI runs

.PHONY: demo
demo: sync ## a real model is released, promoted, taken back and rolled back on real pods; the cluster stays up
	@$(RUN) python -m e2e.demo up

.PHONY: demo-down
demo-down: sync ## end the demo's cluster: no process, mount or network rule of it stays
	@$(RUN) python -m e2e.demo down
