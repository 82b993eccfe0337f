# Each target sets up what it needs in .venv; PYTHON says which interpreter that is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(VENV)/.native

.PHONY: demo test test-quick test-portable lint bench docs wheel native clean

$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	FMCOMPRESS_NATIVE=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,dev]'
	touch $(STAMP)

# The native core, in the source tree, which installing has left out. Where there is a C compiler, it has to compile.
$(NATIVE): $(STAMP) $(wildcard native/src/*.[ch] native/include/*.h)
	if command -v $${CC:-cc} >/dev/null; then export FMCOMPRESS_NATIVE=$${FMCOMPRESS_NATIVE-1}; fi; \
		$(BIN)/python setup.py -q build_native --inplace
	touch $(NATIVE)

native: $(NATIVE)

demo: $(NATIVE)
	$(BIN)/fmcompress demo

# Two processes, one thread each: what the smallest machines have. A file's tests stay together, and share what they set up.
# What scores rows is tested without the native core first.
test: $(NATIVE)
	FMCOMPRESS_NATIVE=0 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/serve tests/evaluation tests/test_kinds.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Under a minute: all that is not marked slow.
test-quick: $(NATIVE)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

# What is asserted of numbers that training, k-means, tuning and scoring come to, under other arithmetic than this machine's.
PORTABLE := $(addprefix tests/, artifact/test_elsewhere.py backbones baselines cli/test_commands.py cli/test_methods.py \
	cli/test_sweep.py docs/test_commands.py docs/test_golden.py evaluation examples/test_release.py export \
	finetune gates methods quantization real/test_every_tool.py serve sweeping test_api.py test_kinds.py)

test-portable: $(NATIVE)
	$(BIN)/python -m tests.portable $(PORTABLE)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(NATIVE)
	$(BIN)/python -m benchmarks

docs: $(STAMP)
	$(BIN)/python -m docs.reference

# Two wheels for every Python 3: for any platform, and for this one, with the native core. pip takes the latter where it fits.
wheel: $(STAMP)
	rm -rf build/lib build/bdist.*
	FMCOMPRESS_NATIVE=0 $(BIN)/python -m build --no-isolation --wheel
	FMCOMPRESS_NATIVE=1 $(BIN)/python -m build --no-isolation --wheel

clean:
	rm -f fmcompress/serve/libfmcompress.* fmcompress/serve/fmcompress.h
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
