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
