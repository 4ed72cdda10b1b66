# All commands for working on this project. Each sets up what it needs in .venv and .cache, once.

# The Python that creates .venv; default: the first of python3.11, 3.12, 3.10 and python3 that runs.
PYTHON ?=
FLINK_VERSION ?= 2.3.0
# The oldest supported Flink: the cluster tests also run on it.
FLINK_OLDEST := 1.20.5
# More arguments for every pytest run, for example: make test PYTEST_ARGS="-k retry"
PYTEST_ARGS ?=
# How many files of cluster tests run at a time, each on its own cluster
CLUSTERS ?= 1
# More arguments for the demo, see: make demo DEMO_ARGS=--help
DEMO_ARGS ?=
# More arguments for the pictures, see: make pictures PICTURES_ARGS=--help
PICTURES_ARGS ?=
# More arguments for the chaos tests, see: make chaos CHAOS_ARGS=--help
CHAOS_ARGS ?=
# More arguments for the fuzzing, see: make fuzz FUZZ_ARGS=--help
FUZZ_ARGS ?=
# More arguments for the benchmarks: --quick takes three minutes instead of half an hour
BENCH_ARGS ?=
# Which benchmarks to run
BENCHMARKS ?= encode writer ways job latency exchange steps

# The supported versions; the fast tests run on each of them that this machine has.
PYTHONS := 3.10 3.11 3.12

VENV := .venv
VENV_OLDEST := .venv-flink1.20
VENV_PEERS := .venv-peers
FAST_TESTS := tests/unit tests/distribution
# Also fast, but the same on every Python. The ones with many random cases would take twice as long if traced.
SAME_ON_EACH_PYTHON := $(TRACED_TOO) tests/property tests/receivers tests/fuzz
TRACED_TOO := tests/conformance
INTEGRATION_TESTS := tests/integration
NATIVE_TESTS := tests/integration/test_prometheus_server.py
RECORDING := .cache/recording/flights.jsonl
# Type-checked less strictly, see tests/mypy.ini; tests/typing is checked with the package.
LOOSELY_TYPED := $(filter-out tests/typing/,$(sort $(dir $(wildcard tests/*/*.py)))) tests/conftest.py benchmarks/ tools/
READY := $(VENV)/.ready-$(FLINK_VERSION)
READY_OLDEST := $(VENV_OLDEST)/.ready-$(FLINK_OLDEST)
# Other projects' libraries, to compare our encoders with; they need a different protobuf version than Flink's.
PEERS := opentelemetry-exporter-prometheus-remote-write==0.66b1 prometheus-remote-writer==1.1.3
READY_PEERS := $(VENV_PEERS)/.ready
BIN := $(VENV)/bin

# Some images set this. Python would then never save the compiled form of packages that uv has installed, and workers
# would take three times as long to start.
unexport PYTHONDONTWRITEBYTECODE

# PyFlink starts Java, and its workers start a plain `python`: both must be the ones that were set up here.
WITH_JAVA = JAVA_HOME="$$($(BIN)/python tools/get_java.py)" && export JAVA_HOME &&
IN_PARALLEL = $(if $(filter-out 1,$(CLUSTERS)),-n $(CLUSTERS) --dist loadfile)
# A layer has not failed if -k or a similar option deselects all its tests.
NOTHING_SELECTED = { [ $$? -eq 5 ] && [ -n "$(PYTEST_ARGS)" ]; }

.PHONY: help demo demo-serve cluster cluster-down recording pictures test test-fast test-pythons test-integration \
  test-native test-cluster test-oldest test-compose fuzz chaos coverage docs bench check format build zip \
  release-check proto clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) $(RECORDING) ## write three hours of recorded flights to a temporary Prometheus and show what it stored
	@$(WITH_JAVA) $(BIN)/python tools/demo.py $(DEMO_ARGS)

demo-serve: $(READY) ## serve the data of the last demo, to explore it
	@$(BIN)/python tools/demo.py --serve $(DEMO_ARGS)

cluster: $(READY) $(RECORDING) ## start Flink, Prometheus and Grafana in Docker, run the pipeline, print the addresses
	@$(BIN)/python tools/cluster.py

cluster-down: ## stop that cluster and delete its data
	@docker compose down --volumes --remove-orphans

pictures: $(READY) $(RECORDING) ## run the example jobs and draw the pictures of docs/jobs.md from Prometheus's data
	@$(WITH_JAVA) $(BIN)/python tools/draw_jobs.py $(PICTURES_ARGS)

recording: $(READY) ## fetch the recorded flights and print their path
	@$(BIN)/python tools/get_recording.py

test: test-fast test-cluster test-integration test-oldest test-compose ## run all tests

test-fast: $(READY) ## unit, property, conformance, distribution and fuzz tests, and the tests on model receivers
	$(BIN)/python -m pytest $(FAST_TESTS) $(SAME_ON_EACH_PYTHON) $(PYTEST_ARGS) || $(NOTHING_SELECTED)

test-pythons: $(addprefix test-python-,$(PYTHONS)) ## unit and distribution tests on the other Pythons this machine has

test-python-%: $(READY)
	@sh tools/test_python.sh $(FLINK_VERSION) $* $(FAST_TESTS) $(PYTEST_ARGS) || $(NOTHING_SELECTED)

coverage: $(READY) ## test-fast, and fail if it covers less of the package than it used to
	$(BIN)/python -m pytest $(FAST_TESTS) $(TRACED_TOO) --cov --cov-report=term:skip-covered $(PYTEST_ARGS)
	$(BIN)/python -m pytest $(filter-out $(TRACED_TOO),$(SAME_ON_EACH_PYTHON)) $(PYTEST_ARGS)

fuzz: $(READY) ## an hour of random and broken responses, records, configurations, files and rescues
	$(BIN)/python tests/fuzz/fuzz.py $(FUZZ_ARGS)

chaos: $(READY) ## an hour or two of failures around running jobs, with a hundred seeds, two at a time
	@$(fetch_prometheus)
	$(WITH_JAVA) $(BIN)/python tools/chaos.py $(CHAOS_ARGS)

test-integration: $(READY) ## against a real Prometheus: PROMETHEUS_TESTS=docker|native selects which
	@$(fetch_prometheus)
	@$(fetch_receivers)
	$(WITH_JAVA) $(BIN)/python -m pytest $(INTEGRATION_TESTS) $(PYTEST_ARGS) || $(NOTHING_SELECTED)

test-native: $(READY) ## PrometheusServer's tests natively, even if Docker runs; NATIVE_TESTS=tests/integration: all
	@PROMETHEUS_TESTS=native $(MAKE) --no-print-directory test-integration INTEGRATION_TESTS=$(NATIVE_TESTS)

test-cluster: $(READY) $(RECORDING) ## tests on a standalone Flink cluster
	@$(fetch_prometheus)
	@$(fetch_native)
	$(WITH_JAVA) $(BIN)/python -m pytest tests/cluster --durations=12 $(IN_PARALLEL) $(PYTEST_ARGS) || $(NOTHING_SELECTED)

test-oldest: $(READY) $(RECORDING) ## the cluster tests on the oldest supported Flink
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then \
	  echo "SKIPPED: the cluster tests on Flink $(FLINK_OLDEST), which does not run on Python 3.12; use 3.11 for them"; \
	else $(MAKE) --no-print-directory test-oldest-flink; fi

.PHONY: test-oldest-flink
test-oldest-flink: $(READY_OLDEST)
	@$(fetch_prometheus)
	$(WITH_JAVA) $(VENV_OLDEST)/bin/python -m pytest tests/cluster -m "not once" --durations=12 $(PYTEST_ARGS) || $(NOTHING_SELECTED)

test-compose: $(READY) $(RECORDING) ## tests of `make cluster`'s cluster; skipped without Docker unless COMPOSE=required
	$(BIN)/python -m pytest tests/compose --durations=5 $(PYTEST_ARGS) || $(NOTHING_SELECTED)

# Where Docker runs Prometheus, nothing has to be fetched unless native is requested.
fetch_prometheus = case "$(PROMETHEUS_TESTS)" in \
	  docker) ;; \
	  native) $(BIN)/python tools/get_prometheus.py >/dev/null ;; \
	  *) $(BIN)/python tools/get_prometheus.py --unless-docker >/dev/null ;; \
	esac

# The Prometheus that scrapes clusters on this machine, and promtool, are always native. If they are missing: as below.
fetch_native = { $(BIN)/python tools/get_prometheus.py && $(BIN)/python tools/get_prometheus.py --promtool; } >/dev/null \
	  || [ "$$RECEIVERS" != required ]

# Without these receivers, their tests are skipped unless RECEIVERS=required. An engine may have only Prometheus.
fetch_receivers = case "$(PROMETHEUS_TESTS)" in \
	  native) $(BIN)/python tools/get_receivers.py >/dev/null ;; \
	  *) $(BIN)/python tools/get_receivers.py --unless-docker >/dev/null ;; \
	esac || [ "$$RECEIVERS" != required ]

docs: $(READY) ## build the site of README, guides and API reference, in site/
	@$(BIN)/python tools/site/diagrams.py --check
	@# Not --quiet: it would also let warnings pass.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(READY) $(READY_PEERS) ## run the benchmarks, and write the results to benchmarks/results/
	@$(BIN)/python tools/get_prometheus.py >/dev/null
	@$(BIN)/python tools/get_receivers.py >/dev/null
	@$(WITH_JAVA) for each in $(BENCHMARKS); do $(BIN)/python benchmarks/$$each.py $(BENCH_ARGS) || exit 1; done

check: $(READY) ## check lint rules, formatting, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	@for each in $(LOOSELY_TYPED); do echo "mypy $$each" && \
	  MYPYPATH=$$each $(BIN)/mypy --config-file tests/mypy.ini $$each || exit 1; done

format: $(READY) ## fix the formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(READY) ## build the wheel and the source distribution in dist/
	rm -rf dist
	$(BIN)/python -m build

zip: $(READY) ## build dist/pyflink_prometheus-VERSION.zip for `flink run -pyfs` where nothing can be installed
	@$(BIN)/python tools/make_zip.py

release-check: $(READY) ## build wheel, sdist and zip; run jobs with the wheel, and with the zip beside only Flink
	@$(WITH_JAVA) $(BIN)/python tools/release_check.py $(FLINK_VERSION) $(FLINK_OLDEST)

proto: $(READY) ## generate the protobuf classes from proto/
	$(BIN)/python tools/generate_proto.py

clean: ## remove everything that was set up, fetched and built
	rm -rf $(VENV) $(VENV_OLDEST) $(VENV_PEERS) $(VENV)-python* .cache build dist site .mypy_cache .pytest_cache .ruff_cache \
	  .hypothesis .coverage

$(RECORDING): | $(READY)
	@$(BIN)/python tools/get_recording.py >/dev/null

$(READY): pyproject.toml
	@sh tools/make_venv.sh $(VENV) $(FLINK_VERSION) dev $(PYTHON)
	@touch $@

$(READY_OLDEST): pyproject.toml $(READY)
	@sh tools/make_venv.sh $(VENV_OLDEST) $(FLINK_OLDEST) test $(BIN)/python
	@touch $@

$(READY_PEERS): | $(READY)
	@$(BIN)/python -m venv $(VENV_PEERS)
	@$(VENV_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(PEERS)
	@touch $@
