"""Swapped photographs: find faces, align, swap, paste back, and write with metadata."""
