# Every target is one line of help and few lines of work; CI calls these and nothing else.
PYTHON ?= python3
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# One thread a process: tests and the tiny run start several processes on few cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup check audit test test-all cluster-programs images sbom test-fast mutants generate verify licences bench run-tiny clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk 'BEGIN {FS = ":.*## "} {printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements/dev.txt requirements/uv.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version.split()[0] + "; say PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(UV) pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements/dev.txt
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	touch $@

setup: $(VENV)/.installed ## Create .venv with the exact locked versions

check: setup ## Lint, types, import contracts, spelling, secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy operator/src trainer/src tests bench
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/yamllint --strict .
	$(BIN)/hadolint operator/Dockerfile trainer/Dockerfile
	git ls-files -z | PATH="$(abspath $(BIN)):$$PATH" xargs -0 -P $(JOBS) -n 200 scripts/find_secrets.sh

audit: setup ## Known vulnerabilities of the locked versions; asks pypi.org
	$(BIN)/python scripts/audit.py

# A file's tests stay on one worker, because they share what they trained or started. Three
# workers for two cores: the cluster's tests mostly wait.
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Programs and images are built beside the first tests; what needs them waits for them.
test: setup ## All tests: two-process training, the tiny run and the test cluster included
	[ "$$QINSTRUCT_SKIP_CLUSTER" = 1 ] || $(MAKE) --no-print-directory cluster-programs & $(PYTEST)

test-all: export QINSTRUCT_TEST_ALL = 1
test-all: test ## The same with every case of the long matrices, of which `make test` takes a sample

cluster-programs: setup ## Build the test cluster's Go programs and images, once
	PYTHONPATH=tests nice $(BIN)/python -m cluster.harness.programs
	PYTHONPATH=tests nice $(BIN)/python -m cluster.node.images

# IMAGES="operator prep" builds some; scripts/images.sh says what else may be set.
images: ## Build the images, with docker, podman or buildah
	bash scripts/images.sh $(IMAGES)

sbom: setup ## Write build/sbom/IMAGE.json (CycloneDX) of the images that `make images` has built
	bash scripts/sbom.sh $(IMAGES)

test-fast: setup ## The tests that need seconds, not minutes
	$(PYTEST) -m "not slow and not cluster"

# SAMPLE=0 tries them all, which takes hours; ROOMS=contract one room alone.
mutants: setup ## Seed small bugs, a sample of each room: do the tests notice them?
	CI=1 $(BIN)/python scripts/mutants.py --sample $(or $(SAMPLE),60) $(ROOMS)

generate: setup ## Rewrite everything generated: CRD, chart's README, locked requirements
	PATH="$(abspath $(BIN)):$$PATH" bash scripts/generate.sh .

verify: setup ## Prove that everything generated is fresh
	PATH="$(abspath $(BIN)):$$PATH" bash scripts/verify.sh

licences: setup ## List the licence of every package in the images
	$(BIN)/python scripts/licences.py

bench: setup ## Run every benchmark in bench/ and print its figures
	for script in bench/*.py; do echo "== $$script"; PYTHONPATH=tests $(BIN)/python $$script || exit 1; done

run-tiny: setup ## Train the tiny LLaVA end to end on this machine
	$(BIN)/qinstruct run manifests/samples/run-tiny.yaml --workdir runs

clean: ## Remove the environment, caches and tiny runs
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
