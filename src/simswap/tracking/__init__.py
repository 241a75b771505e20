"""Runs written down (metrics.csv, W&B) and read back."""
