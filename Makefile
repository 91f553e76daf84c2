# Everything a developer or a machine runs stands here; `make help` lists it.
# The virtual environment is .venv/ (so the program is .venv/bin/qianwan); packages come from PyPI only.

SHELL := /bin/bash
.DEFAULT_GOAL := build
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := build/stamps
SOURCES := $(shell find cmodules frame crypto gateway_core control benchmarks tests -name '*.pyx' -o -name '*.pxd' -o -name '*.h' 2>/dev/null) setup.py
PYTEST_ARGS ?=
# Tests run in lanes beside one another, more of them than cores because they mostly wait. A module stays in one
# lane, so that what it starts is started once.
LANES ?= 4
# Compiled modules are kept: hundreds of servers start, and each would compile them again.
unexport PYTHONDONTWRITEBYTECODE
PYTEST_LANES := -n $(LANES) --dist loadfile --no-loadscope-reorder
# What a target needs beside Python packages is there, is installed, or is named before anything runs.
SYSTEM := tools/system_packages.sh build

.PHONY: help kafka dev build debug sanitize coverage test faults lint deb wheel shipped generate demo cluster-demo bench instructions fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMPS)/venv: pyproject.toml constraints.txt sdk/python/pyproject.toml tools/find_python.sh
	@mkdir -p $(STAMPS)
	@$(SYSTEM)
	@python=$$(tools/find_python.sh) && { [ -x $(PY) ] || "$$python" -m venv $(VENV); }
	@echo "installing Python packages into $(VENV)"
	@$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt setuptools wheel Cython PyNaCl zstandard
	@$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e sdk/python
	@QIANWAN_MODULES=none $(PY) -m pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/venv
	@echo "installing the tools of tests, lint and benchmarks into $(VENV)"
	@QIANWAN_MODULES=none $(PY) -m pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

$(STAMPS)/modules: $(STAMPS)/venv $(SOURCES)
	@echo "building the C modules (about a minute on two cores)"
	@$(PY) setup.py -q build_ext --inplace --parallel $$(nproc) > build/build.log 2>&1 || { cat build/build.log; exit 1; }
	@touch $@

.PHONY: tested-with measured-with joined-with faulted-with packed-with
tested-with:
	@$(SYSTEM) test
joined-with:
	@$(SYSTEM) cluster
faulted-with:
	@$(SYSTEM) faults
packed-with:
	@$(SYSTEM) package
measured-with:
	@$(SYSTEM) measure

dev: $(STAMPS)/dev ## install what tests, lint and benchmarks need

build: $(STAMPS)/modules ## build the C modules in place (release)

debug: $(STAMPS)/venv ## build the C modules in place with -O1 -g
	QIANWAN_BUILD=debug $(PY) setup.py -q build_ext --inplace --force --parallel $$(nproc)
	@rm -f $(STAMPS)/modules

sanitize: tested-with dev ## build under AddressSanitizer and UBSan in a copy of the tree and run the tests of the C modules and of whole servers
	$(PY) tools/sanitize.py $(SANITIZE_ARGS)

coverage: tested-with dev ## run the tests in a copy of the tree and show which lines of Python and of the C modules ran
	$(PY) tools/coverage.py $(COVERAGE_ARGS)

lint: build dev ## ruff, mypy strict, stubtest, generated files fresh, no more Any than before, every test module loads; beside one another
	@$(MAKE) --no-print-directory -j --output-sync lint-style lint-types lint-stubs lint-generated lint-any $(STAMPS)/collected

.PHONY: lint-style lint-types lint-stubs lint-generated lint-any
lint-style:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
lint-types:
	$(PY) -m mypy
lint-stubs:
	$(PY) tools/stubtest.py
lint-generated:
	$(PY) tools/generate.py --check
lint-any:
	$(PY) -m pytest -q -p no:cacheprovider tests/architecture/test_any.py

# Modules of tests are compiled once here, not by each lane at the same time: half of what collecting costs.
$(STAMPS)/collected: pyproject.toml $(shell find tests -name '*.py')
	$(PY) -m pytest -qq --collect-only > build/collected.log || { tail -40 build/collected.log; exit 1; }
	@touch $@

test: tested-with dev build lint ## install what is missing, build, lint and run every test; LANES=1 one after another
	$(PY) -m pytest $(PYTEST_LANES) $(PYTEST_ARGS)

deb: packed-with build ## the Debian package, into dist/: the wheel in /opt/qianwan, units, settings
	$(PY) tools/deb.py

wheel: build ## the sdist and the wheels of server and client, into dist/
	$(PY) tools/wheels.py

shipped: wheel deb ## run what people install: the wheels in a fresh environment and the unpacked package serve
	$(PY) tools/shipped.py

faults: tested-with faulted-with build dev ## what make test shows with small numbers, with large ones: kills amid 60,000 messages, the event copy amid 100,000 of them, 20 starts of an im process, a primary that stands still, each fault of each kind of process, a storm of 20,000, a flood of 100,000 resumes, a bad policy for a tenth of 2,000 clients
	QIANWAN_TEST_SENDS=400 $(PY) -m pytest -q tests/adversity/server/test_kill.py
	QIANWAN_TEST_STARTS=20 $(PY) -m pytest -q tests/integration/control/test_starts.py
	QIANWAN_TEST_LONG=1 $(PY) -m pytest -q -s tests/adversity/server/test_postgres_failover.py
	QIANWAN_TEST_LIVES=40 $(PY) -m pytest -q -s tests/integration/im_service/test_kill.py
	$(PY) tools/faults.py --starts 20 $(FAULTS_ARGS)
	$(PY) -m tools.faults_copy $(COPY_ARGS)
	$(VENV)/bin/qianwan bench storm
	$(VENV)/bin/qianwan bench flood
	QIANWAN_TEST_PHONES=2000 $(PY) -m pytest -q -s tests/integration/control/test_policy_canary.py

generate: dev ## write every generated file: constants, sample settings, tables of the docs
	$(PY) tools/generate.py protocol core_config
	@$(MAKE) --no-print-directory build
	$(PY) tools/generate.py

demo: build ## two people and a chatroom talk through a real server
	$(VENV)/bin/qianwan demo

# Readable by the user that PostgreSQL runs as where this is root.
cluster-demo: joined-with build dev ## etcd x3, NATS x3, PostgreSQL, two of each role: people of two gateways chat, one gateway is killed
	@folder=$$(mktemp -d) && chmod 755 $$folder && trap "$(VENV)/bin/qianwan cluster down --folder $$folder --purge" EXIT && \
	$(VENV)/bin/qianwan cluster up --folder $$folder && $(VENV)/bin/qianwan cluster demo --folder $$folder

bench: build dev ## the short set of benchmarks (see docs/PERFORMANCE.md)
	$(VENV)/bin/qianwan bench quick

instructions: measured-with build dev ## instructions per delivered and relayed message under callgrind, compared with the committed figure
	$(PY) tools/instructions.py

kafka: ## a Kafka broker for its tests, into build/kafka (needs Java and Maven)
	mvn -q -B -f tests/support/kafka.pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/build/kafka

fuzz: tested-with dev ## coverage-guided fuzzing of the parsers under ASan and UBSan (FUZZ_SECONDS per target, default 60)
	$(PY) tools/fuzz.py --seconds $${FUZZ_SECONDS:-60}

clean: ## remove everything that was built (keeps .venv)
	rm -rf build dist sdk/python/build bench-report.html *.egg-info sdk/python/*.egg-info
	find frame crypto gateway_core control benchmarks tests -name '*.so' -delete
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
