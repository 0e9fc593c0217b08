# `make help` lists the targets. Everything else is ansible-playbook with its own options.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
LAB ?= demo

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## Install system packages and the locked Python environment
	@scripts/setup.sh

.PHONY: lock
lock: setup ## Renew requirements.lock from pyproject.toml
	.bootstrap/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header --group dev \
	    --python .venv/bin/python pyproject.toml --output-file requirements.lock

.PHONY: dist
dist: setup ## Build the installable collection ops.runbook into dist/
	@python scripts/dist.py

.PHONY: docs
docs: setup ## Build the runbook's site into site/
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "site/index.html"

.PHONY: lab
lab: setup ## Start the container lab with the reference platform (LAB=name for another one)
	@python -m tests.lab up --name $(LAB)

.PHONY: lab-down
lab-down: setup ## Remove the lab
	@python -m tests.lab down --name $(LAB)

.PHONY: demo
demo: lab docs ## Start the lab and run the daily operations on it
	@LAB=$(LAB) ansible-playbook playbooks/operational_procedures.yml -i inventories/lab
	@bin/runbook-ledger verify

.PHONY: test
test: setup ## Lint, unit tests, sanity, contract tests and all Molecule scenarios
	@python -m tests.lab images
	@pytest --numprocesses 3 --dist loadgroup

.PHONY: test-trixie
test-trixie: export LAB_RELEASE := trixie
test-trixie: setup ## Run the health scenarios on Debian 13 with PostgreSQL 17
	@python -m tests.lab images
	@pytest tests/scenarios -k 'health_checks or operational_procedures'

.PHONY: test-interruptions
test-interruptions: setup ## Kill every mutating procedure after each of its changes in turn (an hour; ONLY=name for one)
	@python -m tests.lab images
	@pytest tests/interruptions/every_change.py --numprocesses 2 $(if $(ONLY),-k $(ONLY))

.PHONY: bench
bench: setup ## Compare the procedures with bare tools and peers, as tables of ratios (PARTS="sweep ledger" for some)
	@PYTHONPATH=collections python -m tests.bench $(PARTS)
