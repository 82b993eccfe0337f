"""``python -m fmcompress_cli``: the command line, as a module that ``torchrun -m`` can start."""

from .entry import run

run()
