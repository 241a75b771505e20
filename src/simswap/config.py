"""The checked configuration: what a node builds, and the reference that a given config is checked against."""

from collections.abc import Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from simswap.settings.targets import import_target
from simswap.settings.words import hydra_quoted

# Groups whose files change other groups' keys: they are what is checked, so they are no part of the reference.
OVERLAY_GROUPS = ("experiment", "ablation", "sweep", "launcher")


def build(node: DictConfig, **more: Any) -> Any:
    """Call a checked node's ``_target_`` with its keys (plain containers) and ``more``.

    Nothing below the node is called. Raises InputError where the target is not on the list.
    """
    settings: Any = OmegaConf.to_container(node, resolve=True)
    return import_target(settings.pop("_target_"))(**(settings | more))


def reference_for(config_name: str, more: Sequence[str] = ()) -> DictConfig:
    """The default configuration with the same group choices, without overlays and single overrides.

    more: further overrides. Must be called inside a Hydra job.
    """
    choices = HydraConfig.get().runtime.choices
    overrides = [
        f"{group}={hydra_quoted(choice)}"
        for group, choice in choices.items()
        if not group.startswith("hydra/") and group not in OVERLAY_GROUPS and choice not in (None, "null")
    ]
    return hydra.compose(config_name, overrides=[*overrides, *more])
