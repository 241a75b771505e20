"""Weights from another run: a new run that starts from its checkpoint, so that variants share a beginning."""

from pathlib import Path
from typing import Any

from simswap import checkpoint
from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.training.module import SimSwapModule
from simswap.wandb_files import local_file

SHARED = ("image_size", "pixel_range", "template", "generator", "recognizer")
"""What both runs must have in common, as the checkpoint's description names it; of the recognizer, its SHA-256."""


def start_from(module: SimSwapModule, path: str | Path) -> None:
    """Load generator, EMA and discriminators from another run's checkpoint; the optimizers start anew.

    The checkpoint is a file, or ``wandb:entity/project/name:alias`` of a run with ``logger.checkpoints=full``.

    The origin is added to the module's description, and so to every checkpoint: ``started_from`` with the file's
    SHA-256 and iteration.

    Raises:
        InputError: the networks differ, or the file has no discriminators.
    """
    file = local_file(path)
    content = checkpoint.read(file)
    theirs = content[checkpoint.KEY]
    for name in SHARED:
        if _identifying(theirs.get(name)) != _identifying(module.description[name]):
            raise InputError(
                f"start_from={path}: its {name} is {str(theirs.get(name))[:200]}, this run's is "
                f"{module.description[name]}; "
                "branch off a run of the same networks and crops"
            )
    checkpoint.check_finite(content["state_dict"], f"start_from={path}")
    try:
        module.load_state_dict(content["state_dict"])
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"start_from={path}: the weights of generator, average and discriminators are not all there or do not fit "
            f"({reason}); give a run's checkpoints/last.ckpt with the same discriminator settings"
        ) from error
    module.description["started_from"] = {
        "path": str(path),
        "sha256": sha256_of(file),
        "iteration": int(content.get("global_step", 0)),
    }


def _identifying(value: Any) -> Any:
    """What identifies a network: a renamed file is still the same one."""
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value
