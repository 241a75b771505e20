"""The version of the package, which checkpoints, status files, pictures and pages record."""

__version__ = "0.1.0"
