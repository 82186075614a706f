# Each target works on a fresh machine by itself: `make env` is made when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_DIR ?= runs/demo
APP_DEMO_DIR ?= runs/app_demo

.PHONY: help env demo app-demo test test-long lint format clean

help:
	@echo "make demo       set up and run the whole job on phantoms (under 15 minutes on 2 cores)"
	@echo "make app-demo   Orthanc and the MONAI Label app on phantom studies, on this machine alone"
	@echo "make test       set up and run the tests (under 25 minutes on 2 cores)"
	@echo "make test-long  faults, full-size steps and servers (under 30 minutes)"
	@echo "make env        .venv with every extra"
	@echo "make lint       ruff and mypy"
	@echo "make format     let ruff mend what it can"

# What the demo needs; the other extras come with `make env`.
$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not ((3, 10) <= sys.version_info < (3, 13)) and "monai_sfda needs Python 3.10 to 3.12: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.all: $(VENV)/.base
	$(PIP) install --quiet --constraint constraints.txt --editable '.[benchmark,dicom,label,test]'
	touch $@

env: $(VENV)/.all

demo: $(VENV)/.base
	$(BIN)/monai-sfda demo --out $(DEMO_DIR)

# Needs Debian's orthanc and orthanc-dicomweb; says so when they are not there. Ctrl-C ends it.
app-demo: $(VENV)/.all
	$(BIN)/python -m monai_sfda.label.demo --out $(APP_DEMO_DIR)

# Small networks compute faster on one thread than on two, and two processes at once twice as much.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(VENV)/.all
	$(PYTEST) -m "not long" tests

test-long: $(VENV)/.all
	$(PYTEST) -m long tests

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
