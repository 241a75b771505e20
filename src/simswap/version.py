"""The version of the package, which checkpoints, status files, pictures and pages record."""

import subprocess
from pathlib import Path

__version__ = "0.1.0"


def git_commit() -> str:
    """The commit of the package's checkout, with ``-dirty`` if files differ; ``unknown`` without a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"
