"""Quantization: sensitivity, menu, allocation, codebooks."""
