# Each target sets up what it needs in .venv; PYTHON says which interpreter that is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-quick test-portable lint bench docs clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/fmcompress demo

# Two processes, one thread each: what the smallest machines have. A file's tests stay together, and share what they set up.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Under a minute: all that is not marked slow.
test-quick: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

# What is asserted of numbers that training, k-means, tuning and scoring come to, under other arithmetic than this machine's.
PORTABLE := $(addprefix tests/, artifact/test_elsewhere.py backbones baselines cli/test_commands.py cli/test_methods.py \
	cli/test_sweep.py docs/test_commands.py evaluation examples/test_release.py finetune gates methods quantization \
	real/test_every_tool.py serve sweeping test_api.py test_kinds.py)

test-portable: $(STAMP)
	$(BIN)/python -m tests.portable $(PORTABLE)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m benchmarks

docs: $(STAMP)
	$(BIN)/python -m docs.reference

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
