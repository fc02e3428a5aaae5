# Every target makes the set-up that it needs; nothing else has to be installed.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SETUP := $(VENV)/.installed
# PyTorch and transformers, which only tests against them need.
PEERS := .venv-peers
# Two processes of tests where there are two cores; each grows to 4 GB.
WORKERS := --numprocesses=logical --maxprocesses=2 --dist=worksteal

.PHONY: train test test-slow test-faults test-peers lint bench clean

train: $(SETUP)
	$(PY) train.py

test: $(SETUP)
	$(PY) -m pytest $(WORKERS) -m "not slow and not peers"

test-slow: $(SETUP)
	$(PY) -m pytest -m slow

# About four hours on two cores; writes docs/reliability.md.
test-faults: $(SETUP)
	cd tests && ../$(PY) -m campaigns

test-peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m pytest -m peers

lint: $(SETUP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-cache

bench: $(SETUP)
	for network in cifar_resnet20 cifar_resnet32 resnet50; do \
	  $(PY) benchmarks/train_step.py --network=$$network --write $(STEP) || exit 1; done
	$(PY) benchmarks/start_up.py
	$(PY) benchmarks/input.py $(INPUT)

$(VENV)/.installed: EXTRAS := test
$(PEERS)/.installed: EXTRAS := test,peers

%/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.10 to 3.13 is needed; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) *.egg-info build .pytest_cache .ruff_cache
