"""The vanilla factorization machine: its model, its trainer, its scorer."""
