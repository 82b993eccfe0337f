"""Quantization: sensitivity, the knapsack, k-means, codebooks."""
