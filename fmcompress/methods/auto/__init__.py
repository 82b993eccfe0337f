"""``auto``: bits are allocated exactly, by what errors cost this factorization machine."""
