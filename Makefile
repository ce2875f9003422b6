# `make run` and `make test` install what they need. VENV, VENV_DEV and PYTHON may be overridden.
PYTHON ?= python3
VENV ?= .venv
VENV_DEV ?= .venv-dev

# The console log of one environment must not depend on another one that happens to be active.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.PHONY: setup setup-dev clients run test soak check doctor format gpu-check clean

setup:  ## what a user runs: the live program and WebRTC, no torch
	@$(PYTHON) tools/setup.py --venv "$(VENV)" --extras webrtc

setup-dev:  ## everything: torch, training, tests, lint, types
	@$(PYTHON) tools/setup.py --venv "$(VENV_DEV)" --extras dev

clients:  ## WHIP and WHEP clients by others, by npm, for the tests that try them
	@$(PYTHON) tools/clients.py

run: setup
	@"$(VENV)/bin/python" run_stream.py $(ARGS)

doctor: setup
	@"$(VENV)/bin/python" run_stream.py --doctor

# Two processes: the live program's native libraries and the trainer's do not outlive each other in one. Side by side:
# much of either is waiting. The trainer's words come when the other has ended. `make soak` runs what takes minutes.
# Which file is where makes both take about as long. Threads of either that wait leave the other their core.
TORCH_TESTS = tests/train $(filter-out %/test_grouped.py,$(wildcard tests/apdgan/test_*.py))
test: export OMP_WAIT_POLICY = PASSIVE
test: setup-dev
ifeq ($(strip $(ARGS)),)
	@log=$$(mktemp); "$(VENV_DEV)/bin/python" -m pytest -m "not soak" $(TORCH_TESTS) > "$$log" 2>&1 & other=$$!; \
	"$(VENV_DEV)/bin/python" -m pytest -m "not soak" $(TORCH_TESTS:%=--ignore=%); first=$$?; \
	wait $$other; second=$$?; cat "$$log"; rm -f "$$log"; test $$first = 0 && test $$second = 0
else
	"$(VENV_DEV)/bin/python" -m pytest $(ARGS)
endif

soak: setup-dev
	"$(VENV_DEV)/bin/python" -m pytest -m soak

gpu-check:  ## what this machine's NVIDIA GPU shows, under nine minutes; installs nothing, PYTHON is used as it is
	@"$(PYTHON)" -m benchmarks.gpu_check $(if $(RECORDING),--recording "$(RECORDING)") $(ARGS)

check: setup-dev
	"$(VENV_DEV)/bin/python" -m ruff check .
	"$(VENV_DEV)/bin/python" -m ruff format --check .
	"$(VENV_DEV)/bin/python" -m mypy
	@$(MAKE) --no-print-directory test

format: setup-dev
	"$(VENV_DEV)/bin/python" -m ruff check --fix .
	"$(VENV_DEV)/bin/python" -m ruff format .

clean:
	rm -rf "$(VENV)" "$(VENV_DEV)" out build *.egg-info .pytest_cache .mypy_cache .ruff_cache
