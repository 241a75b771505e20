"""Sweeps: the space of settings, the study that remembers its trials, and what is given up early."""
