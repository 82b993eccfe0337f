"""Golden vectors: small artifacts of every kind with rows and predictions, for whoever writes a reader."""
