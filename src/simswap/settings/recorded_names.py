"""Names of earlier versions: what old files and old command lines say, read under the current names."""

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from simswap.errors import InputError

MODULES = {
    "simswap.faces.rendered_dataset": "simswap.rendered.dataset",
    "simswap.jobs": "simswap.launching.jobs",
    "simswap.training.distributed": "simswap.launching.distributed",
}
"""Modules in a ``_target_``: earlier name → current name."""

FUNCTIONS = {
    "recogniser": "recognizer",
    "onnx_recogniser": "onnx_recognizer",
    "arcface_recogniser": "arcface_recognizer",
    "iresnet_recogniser": "iresnet_recognizer",
}
"""Functions in a ``_target_``: earlier name → current name."""

KEYS = {
    "average_decay": "ema_decay",
    "if_begun": "on_existing_run",
    "resume_changes": "resume_overrides",
    "sweep_metrics": "sweep.metrics",
    "guards.warmup": "guards.start_iteration",
    "optimizer.accumulate": "optimizer.micro_batches",
    "strategy.own_process": "strategy.subprocess",
    "data.augmentation.colour": "data.augmentation.color",
    "paste.colour": "paste.color",
    "data_root": "data.root",
    "recogniser_path": "recognition.path",
    "optimizer.betas": "optimizer.algorithm.betas",
    "optimizer.eps": "optimizer.algorithm.eps",
    "optimizer.discriminator_betas": "optimizer.discriminator_algorithm.betas",
}
"""Dotted keys of a configuration: earlier name → current name. A key is never renamed twice in this table."""

REMOVED = ("strategy.find_unused_parameters",)
"""Dotted keys that earlier versions had. They have no effect any more."""

FIGURES = {"self_reconstruction": "self_reconstruction_l1"}
"""Figures in evaluation.json, metrics.csv, Parquet files and W&B: earlier name → current name."""

FIGURE_LISTS = ("sweep.metrics", "columns", "curves")
"""Dotted keys whose values are lists of figures."""

LATER: dict[str, Any] = {"data.augmentation.transforms": []}
"""Keys that a complete configuration of an earlier version lacks → the value with which nothing changes."""

PREPARED_LATER: dict[str, Any] = {"reduced_decoding": False}
"""Settings that prepare.json of an earlier version lacks → the value with which its crops were made."""

ADDED = {"optimizer.algorithm": {"_target_": "torch.optim.Adam"}}
"""What a node holds that earlier configurations lack, where a key moves into it."""

NULLABLE = ("judge", "gaze", "fid", "lpips", "detector", "origin", "profiler", "loss_recognition")
"""Groups that may be null. Earlier configurations wrote ``{_target_: null}``."""

DESCRIPTIONS = {"recogniser": "recognizer", "recogniser_view": "recognizer_view"}
"""Keys of a checkpoint's description and of an evaluation's protocol: earlier name → current name."""

CALLBACKS = {"Surroundings": "RunFingerprint", "OrderlyStop": "GracefulStop", "Watch": "SpeedMonitor"}
"""Callbacks whose state a training checkpoint holds: earlier class name → current class name."""


def current_target(target: Any) -> Any:
    """A ``_target_`` under its current name; anything that is no earlier name is returned as it is."""
    module, dot, name = target.rpartition(".") if isinstance(target, str) else ("", "", "")
    if not module:
        return target
    return MODULES.get(module, module) + dot + (FUNCTIONS.get(name, name) if module.startswith("simswap.") else name)


def with_current_targets(tree: Any) -> Any:
    """A copy of a tree of plain values in which each ``_target_`` has its current name."""
    if isinstance(tree, list):
        return [with_current_targets(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    return {k: current_target(value) if k == "_target_" else with_current_targets(value) for k, value in tree.items()}


def with_current_names(tree: dict[str, Any]) -> dict[str, Any]:
    """A copy of a complete configuration, as plain nested values, with current targets and keys, and the later ones.

    Where a file has a key under both names, the earlier name holds what its author set: it wins.
    """
    tree = with_current_targets(tree)
    for old, new in KEYS.items():
        node, name = _place(tree, old)
        if name not in node:
            continue
        value = node.pop(name)
        new_parent, _, new_name = new.rpartition(".")
        above, _, last = new_parent.rpartition(".")
        if not isinstance(_below(tree, new_parent), dict):
            _below(tree, above)[last] = dict(ADDED.get(new_parent, {}))
        _below(tree, new_parent)[new_name] = value
    for key in REMOVED:
        node, name = _place(tree, key)
        node.pop(name, None)
    for key in FIGURE_LISTS:
        node, name = _place(tree, key)
        if isinstance(node.get(name), list):
            node[name] = [current_figure(one) for one in node[name]]
    for key, value in LATER.items():
        node, name = _place(tree, key)
        node.setdefault(name, deepcopy(value))
    for group in NULLABLE:
        if _is_empty(tree.get(group)):
            tree[group] = None
    return tree


def _is_empty(node: Any) -> bool:
    return isinstance(node, Mapping) and "_target_" in node and node["_target_"] is None


def _place(tree: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The node that holds a dotted key, and the key's own name there; an empty node apart from the tree without one."""
    parent, _, name = key.rpartition(".")
    node = _below(tree, parent)
    return (node if isinstance(node, dict) else {}), name


def _below(tree: dict[str, Any], path: str) -> Any:
    node: Any = tree
    for name in path.split(".") if path else []:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def current_key(key: str) -> str:
    """The current name of a dotted key."""
    return KEYS.get(key, key)


def current_figure(name: Any) -> Any:
    """The current name of a figure or of its series, such as ``val/copy_source/<figure>``; other values unchanged."""
    if not isinstance(name, str):
        return name
    prefix, slash, figure = name.rpartition("/")
    return prefix + slash + FIGURES.get(figure, figure)


def earlier_figures(name: str) -> list[str]:
    """The earlier names of a figure or of its series."""
    prefix, slash, figure = name.rpartition("/")
    return [prefix + slash + old for old, new in FIGURES.items() if new == figure]


def with_current_figures(named: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a mapping whose keys are figures or their series, under their current names."""
    return {current_figure(name): value for name, value in named.items()}


def current_override(text: str) -> str:
    """``key=value``, with Hydra's ``+``, ``++`` or ``~`` before it, under the key's current name."""
    key, equals, value = text.partition("=")
    bare = key.lstrip("+~")
    return key[: len(key) - len(bare)] + current_key(bare) + equals + value


def renamed(old: str, new: str = "") -> str:
    """The warning for an earlier name."""
    return f"warning: {old} is now called {new or KEYS[old]}; the earlier name still works"


def removed(text: str) -> str:
    """The warning for an override of a key that was removed; empty for any other."""
    key = text.lstrip("+~").partition("=")[0]
    return f"warning: {key} has no effect any more; leave it out" if key in REMOVED else ""


def move_earlier_keys(cfg: DictConfig, given: Collection[str] = ()) -> list[str]:
    """Give the values of earlier keys in a composed config to the current keys, in place; returns a warning for each.

    Lists of figures (`FIGURE_LISTS`) get the figures' current names, with a warning for each earlier one.

    given: keys that the command line sets. Raises InputError where it sets a key that a file sets by its earlier name.
    """
    warnings = []
    for old, new in KEYS.items():
        parent, _, name = old.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if not isinstance(node, DictConfig) or name not in node:
            continue
        if new in given:
            raise InputError(f"{new} is given, and a YAML file sets it by its earlier name {old}: rename it there")
        value = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[call-overload, index]
        OmegaConf.set_struct(node, False)
        del node[name]
        new_parent = new.rpartition(".")[0]
        if new_parent in ADDED and OmegaConf.select(cfg, new_parent) is None:
            OmegaConf.update(cfg, new_parent, ADDED[new_parent], force_add=True)
        OmegaConf.update(cfg, new, value, force_add=True)
        warnings.append(renamed(old))
    for key in REMOVED:
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(cfg, parent)
        if isinstance(node, DictConfig) and name in node:
            OmegaConf.set_struct(node, False)
            del node[name]
            warnings.append(removed(key))
    for key in FIGURE_LISTS:
        names = OmegaConf.select(cfg, key)
        earlier = [name for name in names if current_figure(name) != name] if isinstance(names, ListConfig) else []
        if earlier:
            OmegaConf.update(cfg, key, [current_figure(name) for name in names])
        warnings += [renamed(name, current_figure(name)) for name in earlier]
    for group in NULLABLE:
        if group in cfg and _is_empty(OmegaConf.to_container(cfg, resolve=False)[group]):  # type: ignore[call-overload, index]
            cfg[group] = None
    return warnings


def described(content: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's description, or an evaluation's protocol, under current names."""
    return {DESCRIPTIONS.get(key, key): value for key, value in content.items()}
