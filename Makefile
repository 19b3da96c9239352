# Needs python3 (3.11 or newer) and make; .ci/bootstrap brings the rest.
# On a camera: apt's python3-picamera2, then `pip install .[pi]` in an environment made with --system-site-packages.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo demo-pi sim test torture vectors fuzz machine-test test-libcamera soak bench trace lint lock clean

export SOURCE
PYTHON := .venv/bin/python
PYTEST_ARGS ?=
MINUTES ?= 10
RUNS ?= 200000
TARGETS ?= $(sort $(patsubst tests/fuzz/fuzz_%.py,%,$(wildcard tests/fuzz/fuzz_*.py)))
SOAK_ARGS ?=
# The longest first: two processes share them.
TORTURE := tests/system/test_long_runs.py $(addprefix tests/faults/test_,real_disk.py every_syscall.py every_cut.py every_call_fails.py) tests/machine/power_cuts.py tests/system/test_lip_sync.py
BENCH_ARGS ?=

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: ## one officer's shift on the simulated camera; SOURCE=FILE replays a video of yours
	@.ci/bootstrap demo
	@.venv/bin/oathcam demo $${SOURCE:+--source "$$SOURCE"}

sim: ## the virtual camera on a page, in your hand; SOURCE=FILE lets it look at a video of yours
	@.ci/bootstrap demo
	@.venv/bin/oathcam sim --web $${SOURCE:+--source "$$SOURCE"}

demo-pi: ## the same shift in real time on the Pi's back-end, on the bench of the tests; SOURCE=FILE as above
	@.ci/bootstrap test
	@$(PYTHON) tests/pi_shift.py $${SOURCE:+--source "$$SOURCE"}

# Tests in real time mostly wait: in groups of their own they share the machine with the rest, which mostly computes.
test: ## the test suite, with samples of the torture; PYTEST_ARGS='-k name' for a part of it, '-n 0' for one process
	@.ci/bootstrap test
	@$(PYTHON) -m pytest -n 4 --dist loadgroup $(PYTEST_ARGS)

torture: ## power cuts on a real ext4 and f2fs, four thousand (root), and at every step and ten thousand instants of a simulated shift; every call on the card fails; a month of shifts; lips and voice over four hours (hours)
	@.ci/bootstrap test
	@OATHCAM_TORTURE=1 $(PYTHON) -m pytest -n 2 --dist loadgroup -rsP $(TORTURE) $(PYTEST_ARGS)

vectors: ## make the golden vectors again from their builders; what is checked in does not change by it
	@.ci/bootstrap test
	@$(PYTHON) -m tests.vectors.build

fuzz: ## every parser under atheris, RUNS=200000 each, TARGETS='sei hint' for some; then every bit of a device directory (hours)
	@.ci/bootstrap test
	@set -e; for name in $(TARGETS); do echo "fuzz: $$name"; $(PYTHON) -m tests.fuzz $$name $(RUNS); done
	@OATHCAM_EXHAUSTIVE=1 $(PYTHON) -m pytest -q -n 2 tests/properties/test_device_tampering.py

machine-test: ## the recorder in a user-mode Linux machine, on hardware that its kernel simulates; PYTEST_ARGS as above
	@.ci/bootstrap test
	@$(PYTHON) -m pytest -v tests/machine/scenarios.py $(PYTEST_ARGS)

test-libcamera: ## the Pi's camera port on real libcamera's virtual sensor, in a Debian sid root; skips when that cannot be had
	@.ci/bootstrap test
	@$(PYTHON) -m pytest -v -rP tests/machine/on_libcamera.py $(PYTEST_ARGS)

soak: ## a long recording in real time, MINUTES=10, SOAK_ARGS='--backend pi-libav'; writes soak.json and soak.html
	@.ci/bootstrap test
	@$(PYTHON) tests/machine/soak.py --minutes $(MINUTES) $(SOAK_ARGS)

bench: ## what the recorder costs and how fast it is, each figure against a peer; BENCH_ARGS='--only NAME'; writes bench.json
	@.ci/bootstrap test
	@$(PYTHON) tests/bench $(BENCH_ARGS)

trace: ## docs/traceability.md made again, from the requirements, the rules, the code and the tests
	@.ci/bootstrap demo
	@$(PYTHON) -m tools.traceability --write

lint: ## style, types and import rules
	@.ci/bootstrap demo
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

lock: ## resolve requirements.lock anew (needs pip-tools in .venv)
	@.ci/lock

clean: ## remove what the other targets made, the environment too
	@rm -rf .venv .cache demo demo-pi dist build bench.json soak.json soak.html .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find firmware hal tools tests -name __pycache__ -type d -prune -exec rm -rf {} +
