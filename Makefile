# Every target that needs it sets .venv up first, from a bare Python >= 3.11.

# The first that runs, is new enough and can make virtual environments: a name on PATH may be a
# shim that only prints an error.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

BIN := .venv/bin
BENCH := .venv-bench/bin/python -m
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check lint type docs generate matrix peers bench ray gpu clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16
	@echo "  PYTHON=path   the Python that .venv is made with"

demo: .venv/.ready ## show on this machine what augfeed does; ARGS="..." is passed on
	@$(BIN)/augfeed demo $(ARGS)

# In a process more than there are cores, 4 at most (tests/conftest.py); ARGS="-n 0" runs in one.
SPREAD := $(if $(findstring no:xdist,$(ARGS)),,-n auto --dist worksteal)

test: .venv/.ready ## run the tests; ARGS="-k policy" is passed on to pytest
	@$(BIN)/python -m pytest $(SPREAD) $(ARGS)

test-all: .venv/.ready ## run the tests, and all that `test` leaves out of its products
	@$(BIN)/python -m pytest $(SPREAD) --all $(ARGS)

check: lint type test ## all that CI checks

lint: .venv/.ready ## ruff, its formatter, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

type: .venv/.ready ## mypy, strict
	$(BIN)/mypy

docs: .venv/.ready ## build the documentation site in site/; ARGS=serve shows it while you write
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs -q $(or $(ARGS),build)

generate: .venv/.ready ## write what follows from the declarations of operations
	$(BIN)/python -m augfeed.ops.generate
	$(BIN)/python -m docs.gallery

matrix: ## run the core tests on each Python promised, and on the lowest versions; ARGS="--only lowest"
	@"$(PYTHON)" tests/matrix.py $(ARGS)

# Tests of `tests/peers` need torchvision and timm; everywhere else they are skipped.
peers: .venv-bench/.ready ## hold our laws and pixels against torchvision's and timm's own samplers
	@$(BENCH) pytest $(SPREAD) tests/peers $(ARGS)

bench: .venv-bench/.ready ## measure, beside the peers; FASHION=folder and PHOTOS=folder say where data are
	$(BENCH) benchmarks.bench_arrays $(if $(FASHION),--data $(FASHION)) $(ARGS)
	$(BENCH) benchmarks.bench_arrays --color $(ARGS)
	$(BENCH) benchmarks.bench_photos $(if $(PHOTOS),--data $(PHOTOS)) $(ARGS)
	$(BENCH) benchmarks.bench_photos --large $(if $(PHOTOS),--data $(PHOTOS)) $(ARGS)
	$(BENCH) benchmarks.bench_views $(if $(PHOTOS),--data $(PHOTOS)) $(ARGS)
	$(BENCH) benchmarks.bench_recipes $(if $(PHOTOS),--data $(PHOTOS)) $(ARGS)
	$(BENCH) benchmarks.bench_kernel $(ARGS)
	$(BENCH) benchmarks.bench_resident $(ARGS)
	$(BENCH) benchmarks.bench_scaling $(if $(PHOTOS),--data $(PHOTOS)) $(ARGS)
	$(BENCH) benchmarks.bench_training $(if $(FASHION),--arrays $(FASHION)) $(if $(PHOTOS),--photos $(PHOTOS)) $(ARGS)
	$(BENCH) benchmarks.bench_service
	$(BENCH) benchmarks.bench_startup

ray: .venv-ray/.ready ## run the tests that need Ray, in an environment with it: minutes
	@.venv-ray/bin/python -m pytest -p no:xdist --all tests/augfeed/ray tests/service/ray $(ARGS)

gpu: .venv-bench/.ready ## check and measure all that needs an NVIDIA GPU; results in gpu-results/
	$(BENCH) benchmarks.gpu gpu-results $(ARGS)

clean: ## remove caches and built files; environments stay
	rm -rf build dist site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name '.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		python="$(PYTHON)"; \
		test -n "$$python" || { echo "no Python >= 3.11 with venv found: name one, PYTHON=path" >&2; exit 1; }; \
		echo "==> making .venv with $$("$$python" -V)"; \
		"$$python" -m venv --clear .venv; }
	@echo "==> installing augfeed and its development tools into .venv: minutes, the first time"
	@$(INSTALL) --no-compile -e '.[dev]'
	@# pip compiles on one core, and all tests of what it installs, too.
	@$(BIN)/python -m compileall -qq -j 0 -x '/(tests?|torch/testing/_internal)/' .venv/lib || true
	@touch $@
	@echo "==> .venv is ready"

# The peers need a torch that torchvision was built for, so they have an environment of their own:
# `===` is PyPI's build, never another one of the same version.
.venv-bench/.ready: .venv/.ready
	@echo "==> making .venv-bench, with the peers and a CUDA build of torch: some GB"
	@$(BIN)/python -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt \
		'torch===2.13.0' -e '.[dev,bench,peers]'
	@touch $@

.venv-ray/.ready: .venv/.ready
	@echo "==> making .venv-ray: what .venv has, and 300 MB of Ray"
	@$(BIN)/python -m venv --clear .venv-ray
	@.venv-ray/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev,ray]'
	@touch $@
