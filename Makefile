PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
EXTRAS ?= projected
# One more than there are cores: tests often wait for a server or a browser.
PROCESSES ?= $(shell nproc | awk '{print ($$1 < 4 ? $$1 : 4) + 1}')
PACKAGES := api broker cli client migrations service workers
LOCK := $(BIN)/uv pip compile --constraints constraints.txt --generate-hashes --only-binary :all: --python-version 3.11 \
	--python-platform linux --no-annotate --no-emit-index-url --custom-compile-command 'make lock' --upgrade --quiet

.PHONY: help setup demo evaluate up test check docs lock bench chaos

help: ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(INSTALLED) ## Make .venv with everything that is needed

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

demo: setup ## Dissect a general network and what mammograms make of it, end to end on this machine
	$(BIN)/mammodissect demo

evaluate: setup ## Dissect with a dissector fitted on your own mammograms and reports (DATA=folder OUT=.evaluation)
	$(if $(DATA),,$(error Say where the manifest is: make evaluate DATA=folder (docs/evaluation.md)))
	$(BIN)/mammodissect evaluate $(DATA) --out $(or $(OUT),.evaluation)

up: setup ## Run the whole service on this machine (DATA_DIR=.stack PORT=8000)
	$(BIN)/mammodissect up --data-dir $(or $(DATA_DIR),.stack) --port $(or $(PORT),8000)

test: setup ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal

check: setup ## Formatting, lint, types, import direction, dependencies, docstrings, links of the documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry $(PACKAGES)
	$(BIN)/deptry --ignore DEP002,DEP004 $(PACKAGES) benchmarks checks tests website
	$(BIN)/python -m checks.docstrings
	$(BIN)/python -m checks.compatibility
	$(BIN)/python -m website build/docs

docs: setup ## Build the documentation as a website into build/docs; a warning is an error
	$(BIN)/python -m website build/docs

lock: setup ## Renew the locks of the image: what it installs, with hashes (EXTRAS='projected s3')
	$(LOCK) $(EXTRAS:%=--extra %) --output-file requirements.lock pyproject.toml
	echo setuptools | $(LOCK) --output-file requirements-build.lock -

chaos: setup ## Kill workers, broker and database under load, at full size (about 15 minutes)
	$(BIN)/python -m tests.chaos

bench: setup ## Measure speed and memory as ratios against named baselines
	$(BIN)/python -m benchmarks
