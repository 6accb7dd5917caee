# make demo    set up and cut out the cat and the portrait
# make test    set up what the tests need and run them
# make test-all   the same, and the editors' tests with their newest releases
# make check   formatter, linter, types, import and security rules
# make bench   the figures of docs/benchmarks.md
# make soak    ten thousand jobs, kills, strangers, limits: the figures of docs/reliability.md
# make bench-transport   how fast pixels travel: the other figures there
# make bench-closed-form   our solver beside pymatting's
# make bench-matters   how long our models take beside pymatting's
# make messages   bring the plug-ins' translations up to date with the sources
# make clean   delete the environment, build/ with all results of evaluations and runs, and demo/

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export SMART_MATTE_DATA ?= ../shared/data
# Which build of torch: auto looks for a GPU driver; also cpu, cu130, … (uv's --torch-backend).
TORCH_BACKEND ?= auto
# What make bench compares.
MATTERS ?= --matter fba-compact --matter closed-form --matter pymatting-cf --segmenter grabcut

.PHONY: demo test test-all check format bench soak bench-transport bench-closed-form bench-matters messages clean

demo: .venv/ready
	$(BIN)/smart-matte demo --output demo --overwrite

test: .venv/ready-dev
	$(BIN)/python -m pytest

test-all: test
	SMART_MATTE_EDITORS=forky $(BIN)/python -m pytest tests/editors

check: .venv/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_import_rules.py tests/test_static_rules.py

format: .venv/ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready-dev
	$(BIN)/smart-matte evaluate $(MATTERS) --output build/evaluation

soak: .venv/ready-dev
	@missed=; for program in "soak.py --requests 10000" faults.py strangers.py limits.py weights.py large.py; do \
	  echo "tests/soak/$$program"; \
	  $(BIN)/python tests/soak/$$program --write docs/reliability.md || missed="$$missed $$program"; \
	done; test -z "$$missed" || { echo "Goals missed:$$missed"; exit 1; }

bench-transport: .venv/ready-dev
	$(BIN)/python tests/soak/transport.py --repetitions 9 --write docs/reliability.md

bench-closed-form: .venv/ready-dev
	$(BIN)/python tests/benchmarks/closed_form.py

bench-matters: .venv/ready-dev
	$(BIN)/python tests/benchmarks/matters.py --matter fba-compact --matter closed-form

messages: .venv/ready-dev
	$(BIN)/python -m smart_matte.install.messages

clean:
	rm -rf .venv build demo

.venv/ready: .venv/bin/uv pyproject.toml
	@$(call install,.[demo])
	@echo "Compiling pymatting's kernels once (about a minute)…"
	@$(BIN)/python -c "import pymatting"
	@touch $@

.venv/ready-dev: .venv/ready
	@$(call install,.[demo$(comma)dev$(comma)train])
	@touch $@

.venv/bin/uv:
	@test -n "$(PYTHON)" || { echo "Smart Matte needs Python 3.11 or newer: apt install python3"; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "Smart Matte needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c "import ensurepip" 2>/dev/null || \
	  { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq python3-venv; } || \
	  { echo "Python cannot make virtual environments here; run: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet uv

# torch and torchvision are resolved together, from the index that has the build this machine
# wants; where that index can't be reached, from the usual one (there the Linux build brings CUDA:
# larger, and it runs on the CPU as well).
comma := ,
uv_install = $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --editable "$(1)"
install = echo "Installing $(1)…"; \
  $(call uv_install,$(1)) --torch-backend=$(TORCH_BACKEND) 2>.venv/torch-backend.log || \
  { echo "The $(TORCH_BACKEND) build of torch could not be had (.venv/torch-backend.log); taking the default one."; \
    $(call uv_install,$(1)); }
