"""Fixtures for the whole suite."""

import os
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _few_threads():
    """Where other processes take the cores, OpenMP's threads wait for each other: one is quicker for small networks."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real faces and networks beside the checkout, or a skip."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "lfw" / "images").is_dir():
        pytest.skip(f"real faces and networks are not there: {folder}")
    return folder
