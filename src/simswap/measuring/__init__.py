"""Swappers measured by fixed pairs and instruments, in validation and in evaluation."""
