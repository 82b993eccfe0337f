"""Tuning a quantized factorization machine on data, end to end."""
