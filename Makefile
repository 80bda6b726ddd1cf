# Everything here sets itself up: a virtual environment in .venv, the pinned packages, then the work.
PYTHON ?= python3
BIN := .venv/bin
MEASURE := .venv/.measure
READY := .venv/.ready
CPU_TORCH := https://download.pytorch.org/whl/cpu

.PHONY: help demo test test-docs test-long lint bench bench-evaluation bench-plan board findings recompute docs zoo calibrate blend clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

demo: $(MEASURE)  ## measure, score, pack, load and rank on the embedded digits
	$(BIN)/safer-bench demo

test: $(READY) fashion-mnist text chromium  ## the default tests
	$(BIN)/python -m pytest -q -n 2 -m "not long"

TIMED := tests/test_long.py tests/evaluation/test_bootstrap.py tests/truth/test_merge.py tests/measurement/test_forecast.py \
  tests/measurement/executors/test_execute.py tests/dataset/test_speed.py
test-long: $(READY) fashion-mnist text chromium  ## the tests that take long
	$(BIN)/python -m pytest -q -n 2 -m long $(TIMED:%=--ignore=%)
	$(BIN)/python -m pytest -q -m long $(TIMED)  # one by one, since they take the time

DOCS := tests/test_tutorials.py tests/test_site.py tests/test_typing.py tests/cli
test-docs: $(READY) fashion-mnist text chromium  ## of these the ones of tutorials, site and commands
	$(BIN)/python -m pytest -q -n 2 -m long $(DOCS)

lint: $(READY)  ## style, types, what may import what, and the form of submissions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/safer-bench check submissions

bench: $(READY) fashion-mnist  ## the engine beside the loops that people write: ten minutes on two cores
	$(BIN)/python -m benchmarks

bench-evaluation: $(READY)  ## results and page of 220 made-up submissions: a minute on two cores
	$(BIN)/python -m benchmarks.evaluation

bench-plan: SHELL := /bin/bash
bench-plan: $(READY)  ## bits for each layer of a ResNet-18 from nothing, 500 images at 128 px: the time that it takes
	rm -rf runs/bench-plan
	time $(BIN)/safer-bench plan --task quantize --network benchmarks/resnet18.py:full --level 8 --level 4 --budget 5 --out runs/bench-plan

board: $(READY)  ## the leaderboard over the committed truth
	$(BIN)/safer-bench evaluate submissions --budget docs/budgets --out docs/board

findings: $(READY)  ## what the published tables show: docs/findings.md and its figures, what levels cost, what budgets keep
	$(BIN)/python -m docs.findings
	$(BIN)/python -m docs.levels
	$(BIN)/python -m docs.budget

recompute: $(MEASURE) fashion-mnist  ## scores submissions again by their code, which this runs, and notes which follow from it
	$(BIN)/safer-bench check submissions --recompute

docs: $(READY)  ## the pages made from the code: perturbations and criteria, the tables, the command line
	$(BIN)/python -m docs.entries
	$(BIN)/python -m docs.tables
	$(BIN)/python -m docs.cli

.PHONY: site
site: $(READY)  ## the site of all documents, in site/
	$(BIN)/mkdocs build --strict

zoo: $(READY) fashion-mnist text  ## trains the networks whose weights are missing: hours; goes on where it was stopped
	$(BIN)/safer-bench train --missing

calibrate: $(READY) fashion-mnist text  ## measures what docs/calibration/ does not hold, and proposes levels of perturbations
	$(BIN)/python -m benchmarks.calibration

blend: $(READY)  ## learns the criterion learned_blend again from the committed truth's validation networks: seconds
	$(BIN)/python -m benchmarks.learn_blend

$(MEASURE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call apt,python3-venv)
	$(PYTHON) -m venv .venv
	@echo "Installing torch, its build for CPUs where that can be had ($(CPU_TORCH)): minutes without a word"
	@$(BIN)/python -m pip install --quiet --no-deps --retries 0 --timeout 10 --index-url $(CPU_TORCH) \
	  $$(grep -E '^torch(vision)?==' constraints.txt) 2>/dev/null || echo "It cannot be had here: PyPI's build instead"
	@echo "Installing what measuring needs, without a word either"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[measure]"
	@touch $@

$(READY): $(MEASURE)
	@echo "Installing what tests need, without a word either"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

.PHONY: fashion-mnist
fashion-mnist:
	@test -n "$$SAFER_BENCH_DATA" || test -e /usr/share/datasets/fashion-mnist || $(call apt,dataset-fashion-mnist) || \
	  echo "Fashion-MNIST is not here: the tests that need its images are skipped."

.PHONY: text
text:
	@test -n "$$SAFER_BENCH_DATA" || test -e /usr/bin/bible || $(call apt,bible-kjv bible-kjv-text) || \
	  echo "The King James Version is not here: the tests that need its text are skipped."

.PHONY: chromium
chromium:
	@test -e /usr/bin/chromium || $(call apt,chromium) || \
	  echo "Chromium is not here: the tests of the leaderboard page in a browser are skipped."

clean:
	rm -rf .venv build dist site *.egg-info

# Installs a Debian package where permission allows, else says which one is missing.
apt = { if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq $(1); \
  elif sudo -n true 2>/dev/null; then sudo apt-get update -qq && sudo apt-get install -y -qq $(1); \
  else echo "Please install the Debian package $(1)."; false; fi; } >&2
