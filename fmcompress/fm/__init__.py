"""The factorization machine: its fields, its weights, how they are quantized, and its scorer."""
