"""The code of a run in W&B: its commit and the uncommitted changes; W&B itself adds the versions of all packages."""

import subprocess
from pathlib import Path
from typing import Any

from simswap import version
from simswap.settings.wandb_environment import say
from simswap.tracking.wandb_run import files_of

CODE = "code"
"""The key of a run's config in W&B, and the folder of its files."""
CHANGES = f"{CODE}/uncommitted.diff"
LARGEST = 5_000_000
"""Bytes of changes that are still sent."""


def log_code(experiment: Any, package: Path = Path(version.__file__).parent) -> None:
    """Put the package's version and commit into the run's config, and its uncommitted changes into the run's files.

    W&B's own record has the repository of the current folder, which may be another one.

    Args:
        experiment: W&B's run object.
        package: A folder of the checkout.
    """
    commit = version.git_commit()
    experiment.config.update({CODE: {"version": version.__version__, "commit": commit}}, allow_val_change=True)
    changes = uncommitted(package) if commit.endswith("-dirty") else b""
    if len(changes) > LARGEST:
        say(f"W&B: the uncommitted changes are left out ({len(changes) / 1e6:.0f} MB)")
    elif changes:
        folder = files_of(experiment)
        (folder / CHANGES).parent.mkdir(parents=True, exist_ok=True)
        (folder / CHANGES).write_bytes(changes)
        experiment.save(str(folder / CHANGES), base_path=str(folder), policy="now")


def uncommitted(folder: Path) -> bytes:
    """The difference between a checkout's tracked files and its commit, as ``git apply`` takes it."""
    command = ["git", "-C", str(folder), "diff", "--no-ext-diff", "--no-color", "HEAD", "--", ":/"]
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
