"""Checkpoints to share: written from a generator, or from a training checkpoint without what only training needs."""

from pathlib import Path
from typing import Any

import torch

from simswap.checkpoint.description import DISCRIMINATORS_PREFIX, GENERATOR_PREFIX, KEY, of_training
from simswap.checkpoint.discriminators import without_discriminators
from simswap.checkpoint.reading import check_finite, read
from simswap.errors import InputError
from simswap.files import atomic_write
from simswap.models.generator import Generator


def write_generator(out: Path, generator: Generator, description: dict[str, Any]) -> None:
    """Write a generator as a slim checkpoint, in its own precision."""
    weights = {f"{GENERATOR_PREFIX}{name}": value for name, value in generator.state_dict().items()}
    with atomic_write(out) as part:
        torch.save({KEY: description, "state_dict": weights}, part)


def write_slim(source: Path, out: Path, notes: dict[str, str] | None = None, discriminators: bool = False) -> None:
    """Write only the description and the EMA generator, in half precision.

    A slim checkpoint is to be shared, so absolute paths in its description lose their folders: they name places on one
    machine and may hold a user's name.

    Args:
        source: A training checkpoint, or a slim one.
        out: The file to write.
        notes: Kept in the description.
        discriminators: Whether to keep the discriminators too.

    Raises:
        InputError: A weight is not finite in half precision, or discriminators are asked for and there are none.
    """
    content = read(source)
    content[KEY] = _without_folders(content[KEY])
    kept = (GENERATOR_PREFIX, DISCRIMINATORS_PREFIX) if discriminators else (GENERATOR_PREFIX,)
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in content["state_dict"].items()
        if name.startswith(kept)
    }
    if discriminators and not any(name.startswith(DISCRIMINATORS_PREFIX) for name in weights):
        raise InputError(without_discriminators(source))
    check_finite(weights, f"{source} in half precision")
    slim = {KEY: of_training(content) | content[KEY] | {"notes": notes or {}}, "state_dict": weights}
    with atomic_write(out) as part:
        torch.save(slim, part)


def _without_folders(value: Any) -> Any:
    """Plain values with every absolute path cut to its last name."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
