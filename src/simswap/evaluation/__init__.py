"""Which swaps are measured, how they are measured, how the figures are shown."""
