# The commands that people and CI run. `make help` lists the targets.

# All dependencies have wheels for Python 3.11 to 3.13. A newer Python is used only if there is no other; PYTHON=/path/to/python
# chooses one.
python_from = $(shell $(1) -c 'import sys; (3, 11) <= sys.version_info < (3, $(2)) and print("$(1)")' 2>/dev/null)
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(call python_from,$(p),14)) $(call python_from,python3,99))
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The duration of `make demo` in seconds, and further options of a command: make demo DURATION=60 ARGS="--source rtsp://..."
DURATION ?=
ARGS ?=
# Benchmarks by name, or all of them.
BENCHES ?= all
# Of `make soak`, `make day` and `make fleet`: the duration, the frames a second, and the model.
MINUTES ?= 20
RATE ?= 50
MODEL ?= null
# 1 or 3; empty keeps the present number.
BROKERS ?=

export UV_HTTP_TIMEOUT ?= 300
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test check static format-check lint types layers unit search integration gpu system format bench faults soak day fleet up down status lock clean kafka-tools

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: venv kafka-tools ## run the whole pipeline on this machine (DURATION=60 ends it after a minute)
	$(BIN)/sightline demo $(if $(DURATION),--duration $(DURATION)) $(ARGS)

test: unit integration ## the everyday tests: unit, real broker, whole processes, real model

check: static unit ## check format, lint, types and layers, and run the unit tests

static: format-check lint types layers ## check format, lint, types and layers, without running any test

format-check: venv ## check that every file is formatted
	$(BIN)/ruff format --check .

lint: venv ## check the rules of ruff
	$(BIN)/ruff check .

types: venv ## check types with mypy --strict, in packages and tests
	$(BIN)/mypy

layers: venv ## check which package imports which
	$(BIN)/lint-imports

unit: venv ## run the unit tests, without a network
	$(BIN)/python -m pytest tests/unit -q -n 2 --dist worksteal

search: venv ## run the property tests with thousands of new random examples (minutes)
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -q $$(grep -l "^from hypothesis" -r tests/unit --include=*.py) $(ARGS)

# These tests mostly wait. Three at a time, each with its own broker, take four fifths of the time of two at a time.
integration: venv kafka-tools ## run only the tests that need a real broker or the real model
	$(BIN)/python -m pytest tests/kafka tests/e2e tests/model tests/bench -m "not system" -q -n 3 --dist worksteal
	$(BIN)/python -m pytest tests/gpu -q

gpu: venv ## run the tests that need an NVIDIA device, and keep their figures in .sightline/gpu_figures.json
	$(BIN)/python -m pytest tests/gpu -q $(ARGS)

system: venv kafka-tools ## run the longer tests that `make test` leaves out: processes killed many times (minutes)
	$(BIN)/python -m pytest tests/kafka tests/e2e -m system -q -n 3 --dist worksteal $(ARGS)

format: venv ## format every file and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: venv kafka-tools ## run every benchmark and print JSON lines (BENCHES="stream infer" chooses some)
	@for name in $(BENCHES); do $(BIN)/sightline bench $$name --json $(ARGS) || exit 1; done

faults: venv kafka-tools ## run the fault suite: kill processes, cut connections, corrupt data, and count every frame (tens of minutes)
	$(BIN)/python -m pytest tests/faults -q $(ARGS)

soak: venv kafka-tools ## run under random faults, then count every frame (MINUTES=20 RATE=50 MODEL=null; ARGS="--seed N" repeats a run, "--harm around" spares the stages)
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --rate $(RATE) --model $(MODEL) $(ARGS)

day: venv kafka-tools ## run cameras that misbehave, one of each kind, beside good ones, then count every frame (MINUTES=20 MODEL=null)
	$(BIN)/python -m tests.faults.day --minutes $(MINUTES) --model $(MODEL) $(ARGS)

fleet: venv kafka-tools ## run 20 RTSP cameras under chaos (servers killed, ports held, pictures frozen, the file edited), then count every frame (MINUTES=20)
	$(BIN)/python -m tests.faults.fleet --minutes $(MINUTES) --model $(MODEL) $(ARGS)

up: venv kafka-tools ## start a local Kafka and Valkey (BROKERS=3 for three brokers)
	$(BIN)/sightline up $(if $(BROKERS),--brokers $(BROKERS))

down: venv ## stop the local Kafka and Valkey; their data stays
	$(BIN)/sightline down

status: venv ## show where Kafka and Redis are, and whether they answer
	$(BIN)/sightline status

venv: $(READY) ## create the environment: locked dependencies, and Sightline itself as an editable install

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is missing: sudo apt-get install -y python3 python3-venv" >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) \
		|| { echo "make: this Python cannot make environments: sudo apt-get install -y python3-venv" >&2; exit 1; }
	@test "$$($(BIN)/uv --version 2>/dev/null | cut -d' ' -f2)" = "$(UV_VERSION)" || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@echo "installing the locked dependencies (5 GB the first time, minutes)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# The local Kafka needs Java to run and Maven to download it. If the settings name another Kafka, neither is needed.
kafka-tools:
ifndef SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS
	@java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' \
		|| { echo "make: Java 17 or newer is missing: sudo apt-get install -y openjdk-17-jre-headless" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "make: Maven is missing: sudo apt-get install -y maven" >&2; exit 1; }
endif

lock: venv ## resolve the newest dependencies into requirements.lock
	$(BIN)/uv pip compile --quiet --extra dev --generate-hashes --no-emit-index-url --no-header --upgrade \
		--python-version 3.11 pyproject.toml --output-file requirements.lock

clean: ## remove the environment and the caches; the data of the local services in .sightline stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
