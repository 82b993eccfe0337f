"""The size-quality curve: a checkpoint quantized to several budgets, and measured."""
