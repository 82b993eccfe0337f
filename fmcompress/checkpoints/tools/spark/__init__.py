"""Spark MLlib's factorization machines."""
