# Every target that needs it sets .venv up first, from a bare Python >= 3.11.

# The first that runs, is new enough and can make virtual environments: a name on PATH may be a
# shim that only prints an error.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check lint type bench gpu clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 15
	@echo "  PYTHON=path    the Python that .venv is made with"

demo: .venv/.ready ## show on this machine what augfeed does; ARGS="..." is passed on
	@$(BIN)/augfeed demo $(ARGS)

test: .venv/.ready ## run the tests; ARGS="-k policy" is passed on to pytest
	@$(BIN)/python -m pytest $(ARGS)

check: lint type test ## all that CI checks

lint: .venv/.ready ## ruff, its formatter, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

type: .venv/.ready ## mypy, strict
	$(BIN)/mypy

bench: .venv/.ready-bench ## measure; FASHION=folder and PHOTOS=folder say where the data are
	$(BIN)/python -m benchmarks.bench_arrays $(if $(FASHION),--data $(FASHION)) $(ARGS)
	$(BIN)/python -m benchmarks.bench_photos $(if $(PHOTOS),--data $(PHOTOS)) $(ARGS)
	$(BIN)/python -m benchmarks.bench_photos --large $(if $(PHOTOS),--data $(PHOTOS)) $(ARGS)
	$(BIN)/python -m benchmarks.bench_kernel $(ARGS)
	$(BIN)/python -m benchmarks.bench_resident $(ARGS)
	$(BIN)/python -m benchmarks.bench_service

gpu: .venv/.ready-bench ## check and measure all that needs an NVIDIA GPU; results in gpu-results/
	$(BIN)/python -m benchmarks.gpu gpu-results $(ARGS)

clean: ## remove caches and built files; .venv stays
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		python="$(PYTHON)"; \
		test -n "$$python" || { echo "no Python >= 3.11 with venv found: name one, PYTHON=path" >&2; exit 1; }; \
		echo "==> making .venv with $$("$$python" -V)"; \
		"$$python" -m venv --clear .venv; }
	@echo "==> installing augfeed and its development tools into .venv: minutes, the first time"
	@$(INSTALL) -e '.[dev]'
	@touch $@
	@echo "==> .venv is ready"

.venv/.ready-bench: .venv/.ready
	@echo "==> installing what the benchmarks need into .venv"
	@$(INSTALL) -e '.[dev,bench]'
	@touch $@
