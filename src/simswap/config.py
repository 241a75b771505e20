"""Building objects from a checked configuration, and the reference for the check."""

from collections.abc import Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from simswap.errors import InputError
from simswap.settings.targets import import_target, is_library
from simswap.settings.words import hydra_quoted

OF_TRAINING = "of_training"
"""The value of ``judge`` and ``pose`` that takes the network from the checkpoint's own configuration."""

NETWORKS = {"judge": "judge", "pose": "pose estimator"}

# Groups whose files change the keys of other groups. The check applies to them, so the reference leaves them out.
OVERLAY_GROUPS = ("experiment", "ablation", "sweep", "launcher")


def build(node: DictConfig, **more: Any) -> Any:
    """Call a checked node's ``_target_`` with its keys, as plain containers, and ``more``.

    Nothing below the node is called.

    Raises:
        InputError: The target is not allowed, or a class of torch or Lightning does not take its settings.
    """
    settings: Any = OmegaConf.to_container(node, resolve=True)
    target = settings.pop("_target_")
    make = import_target(target)
    try:
        return make(**(settings | more))
    except Exception as error:  # torch and Lightning have their own checks, each with its own kind of error
        if type(error).__name__ == "MisconfigurationException":
            raise InputError(f"Lightning refuses this configuration: {' '.join(str(error).split())}") from error
        if is_library(target):
            raise InputError(f"{target} does not take {settings} ({' '.join(str(error).split())})") from error
        raise


def build_optional(node: DictConfig | None, **more: Any) -> Any:
    """`build`, or None for a node that is null."""
    return None if node is None else build(node, **more)


def refuse_of_training(cfg: DictConfig, checkpoint: str | None) -> None:
    """Check that each ``of_training`` in a configuration has a checkpoint whose training it can mean.

    Raises:
        InputError: The judge or the pose estimator is ``of_training``, and there is no checkpoint.
    """
    for group in ("judge", "pose"):
        node = OmegaConf.select(cfg, group)
        if isinstance(node, str) and node != OF_TRAINING:
            raise InputError(f"{group} is {node!r}: choose a member of the group, as in {group}=builtin")
        if node == OF_TRAINING and checkpoint is None:
            example = "judge=onnx judge.path=<file>" if group == "judge" else "pose=pnp pose.pack=<pack>"
            raise InputError(
                f"{group}={OF_TRAINING} takes the {NETWORKS[group]} from a checkpoint, and there is none here: "
                f"give {example}, or {group}=builtin for rendered faces"
            )
    for name, node in (OmegaConf.select(cfg, "judges") or {}).items():
        if node == OF_TRAINING and checkpoint is None:
            raise InputError(
                f"judges.{name}={OF_TRAINING} takes the judge from a checkpoint, and there is none here: give another"
            )


def reference_for(config_name: str, more: Sequence[str] = ()) -> DictConfig:
    """Compose the default configuration with the current job's group choices, without overlays and single overrides.

    It must be called inside a Hydra job.

    Args:
        config_name: Name of the command's file in conf/.
        more: Further overrides.
    """
    choices = HydraConfig.get().runtime.choices
    overrides = [
        f"{'+' if '@' in group else ''}{group}={hydra_quoted(choice)}"
        for group, choice in choices.items()
        if not group.startswith("hydra/") and group not in OVERLAY_GROUPS and choice not in (None, "null")
    ]
    return hydra.compose(config_name, overrides=[*overrides, *more])
