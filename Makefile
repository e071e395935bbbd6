# Everything a user types: make demo, make test. Each sets up its own environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CORES ?= all
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Where Python is told to keep no compiled files, each of hundreds of processes would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo docs test test-slow test-slurm test-conda fingerprints lint format clean gpu-check lock schema

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

setup: $(STAMP)  ## Make the environment in .venv

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else "nsff needs Python 3.11 to 3.13, $(PYTHON) is %d.%d; run make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	-$(BIN)/python -m nsff.models.gaussians.compile_ahead
	@touch $@

demo: $(STAMP)  ## Run the whole workflow on the demo clip (CPU, some minutes)
	snakemake --cores $(CORES)
	@echo "Open results/demo/report.html, or results/demo/scene.html, the scene to fly through"

test: $(STAMP)  ## Run the tests, in two processes
	python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 40

test-slow: $(STAMP)  ## Run the tests that take minutes
	python -m pytest -m slow

test-slurm: $(STAMP)  ## Run the workflow through a sandbox Slurm (root, Debian packages slurm-wlm and munge)
	python -m pytest -m slurm

test-conda: $(STAMP)  ## Run every rule in the environment of its own conda file (stand-in for conda, gigabytes)
	python -m pytest -m conda

fingerprints: $(STAMP)  ## Write down anew what the stages' sources and results are (after a version was raised)
	NSFF_UPDATE_FINGERPRINTS=1 python -m pytest --no-header -q tests/workflow/test_fingerprints.py

lint: $(STAMP)  ## Check style, types, rules
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	deptry nsff scripts
	snakefmt --check Snakefile rules
	snakemake --lint

format: $(STAMP)  ## Format Python and rules
	ruff check --fix --quiet . || true
	ruff format .
	snakefmt Snakefile rules

gpu-check: $(STAMP)  ## Run the tests that need a GPU and write docs/gpu_check.json
	python -m nsff.gpu_check

docs: $(STAMP)  ## Build the documents as a site, in site/
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

lock:  ## Resolve requirements.lock anew
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra cluster --extra docs --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --universal --python-version 3.11 --output-file requirements.lock

schema: $(STAMP)  ## Regenerate schemas/ and docs/configuration.md from the models
	python -m nsff.config.document

clean:  ## Remove results and caches (keeps .venv)
	rm -rf .snakemake .pytest_cache .ruff_cache .mypy_cache build *.egg-info
	find results -mindepth 1 ! -name README.md -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
