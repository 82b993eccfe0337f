"""xLearn's factorization machines."""
