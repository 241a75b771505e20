"""Files of checkpoints and of weights, read as data and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from simswap.checkpoint.description import KEY
from simswap.errors import InputError
from simswap.files import NOT_A_PICKLE
from simswap.models.torch_files import load_data
from simswap.settings.recorded_names import described, with_current_names
from simswap.stand_ins import refuse_stand_in
from simswap.wandb_files import local_file


def check_finite(weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Check a network's weights.

    Raises:
        InputError: some are NaN or infinite; the first is named.
    """
    bad = {
        name: count
        for name, value in weights.items()
        if value.is_floating_point() and (count := int((~value.isfinite()).sum()))
    }
    if bad:
        raise InputError(
            f"{where}: {sum(bad.values()):,} of its weights are no finite numbers, the first in "
            f"{next(iter(bad))}: training diverged, or the file is damaged; use another"
        )


def check_shapes(described: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> None:
    """Check that a described network, which may be on the meta device, has exactly these weights.

    Raises:
        RuntimeError: A shape differs, or a weight is in only one of the two; the message names it.
    """
    for name, value in described.items():
        if name in weights and weights[name].shape != value.shape:
            raise RuntimeError(f"{name} has the shape {list(weights[name].shape)}, described is {list(value.shape)}")
    if described.keys() != weights.keys():
        raise RuntimeError(f"{min(described.keys() ^ weights.keys())} is there, or described, but not both")


def weights_below(prefix: str, content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint whose names start with the prefix, without it, in fp32 where they are floats."""
    return {
        name.removeprefix(prefix): value.float() if value.is_floating_point() else value
        for name, value in content["state_dict"].items()
        if name.startswith(prefix)
    }


def read(path: Path) -> dict[str, Any]:
    """The complete content of a file, or of ``wandb:entity/project/name:alias``, as data, with our description.

    Raises:
        InputError: it is no such file, or W&B does not give it.
    """
    path = local_file(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; give a run's .ckpt file, as in outputs/…/checkpoints/last.ckpt")
    refuse_stand_in(path, "a checkpoint", "torch")
    try:
        content = load_data(path)
    except NOT_A_PICKLE as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"{path} is no checkpoint, or is cut off ({reason}); copy it again or use another") from error
    if not isinstance(content, dict) or not isinstance(content.get(KEY), dict):
        raise InputError(f"{path} is not a checkpoint of this project: it does not describe itself; use another")
    content[KEY] = described(content[KEY])
    if isinstance(content[KEY].get("config"), dict):
        content[KEY]["config"] = with_current_names(content[KEY]["config"])
    return content


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A plain file of weights, as data.

    Raises:
        InputError: it contains, or asks for, anything but tensors by name.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights")
    refuse_stand_in(path, "a file of weights", "torch")
    try:
        content = load_data(path)
    except Exception as error:  # hostile and broken files make torch raise nearly anything
        raise InputError(f"{path} is no plain file of weights, or is cut off; nothing in it was run") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise InputError(f"{path} holds something else than tensors by name; give the generator's state dict")
    return content
