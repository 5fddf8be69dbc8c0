"""Numba kernels and nothing else."""
