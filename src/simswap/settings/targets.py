"""What a ``_target_`` may name: an exact list for each node. Nothing else is ever imported or called for a config."""

import importlib
import re
from collections.abc import Callable
from typing import Any

from simswap.compat.hydra import BASIC_TARGETS
from simswap.errors import InputError
from simswap.settings.photometric import PACKAGE, photometric
from simswap.settings.recorded_names import current_target
from simswap.settings.words import nearest

_RECOGNIZERS = (
    "simswap.models.builtin.recognizer",
    "simswap.models.recognition.onnx_recognizer",
    "simswap.models.arcface.arcface_recognizer",
    "simswap.models.iresnet.iresnet_recognizer",
)
TARGETS: dict[str, tuple[str, ...]] = {
    "data": ("simswap.data.datamodule.SwapDataModule",),
    "generator": ("simswap.models.generator.Generator",),
    "discriminator": ("simswap.models.discriminator.Discriminators",),
    "recognition": _RECOGNIZERS,
    "judge": ("simswap.models.builtin.judge", *_RECOGNIZERS),
    "pose": (
        "simswap.models.builtin.pose_estimator",
        "simswap.models.pose.PnPPose",
        "simswap.models.hopenet.HopenetPose",
        "simswap.models.landmark_pose.Landmarks68Pose",
    ),
    "gaze": ("simswap.models.gaze.gaze_estimator",),
    "fid": ("simswap.models.features.FeatureNetwork",),
    "detector": ("simswap.faces.detection.InsightFaceDetector",),
    "objective": ("simswap.losses.objective.Objective",),
    "optimizer": ("simswap.training.optimization.OptimizerSettings",),
    "trainer": ("lightning.Trainer",),
    "strategy": ("simswap.launching.distributed.Processes",),
    "logger": ("simswap.tracking.logger.build_loggers",),
    "origin": ("simswap.rendered.dataset.write_dataset",),
    "protocol": (
        "simswap.evaluation.persons.Persons",
        "simswap.evaluation.folder.Folder",
        "simswap.evaluation.faceforensics.FaceForensics",
    ),
}
"""Node of a config → what its ``_target_`` may be. A new choice in conf/ needs its line here."""

TRANSFORMS = "data.augmentation.transforms"
"""A list of photometric transforms of albumentations, which are allowed by their type."""

_ALL = {name for names in TARGETS.values() for name in names}

HYDRA_TARGETS = (
    "simswap.launching.jobs.FailedJobs",
    *BASIC_TARGETS,
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
    "hydra_plugins.simswap_layer_ranges.LayerRangesSweeper",
    "hydra_plugins.simswap_sweeping.study_sweeper.StudySweeper",
    "hydra_plugins.simswap_sweeping.slurm_launcher.PatientSlurmLauncher",
)
"""What Hydra itself may be asked to run, before any check of ours: its callbacks, launcher and sweeper."""

LOGGING_CLASSES = ("logging.StreamHandler", "logging.FileHandler", "logging.Formatter", "logging.NullHandler")
"""Classes that Hydra's logging may name."""

COMMANDS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_", "()")
"""Keys with which a config asks for a call: Hydra's, and that of Python's logging."""


def check_targets(tree: Any, path: str = "") -> None:
    """Raise InputError where a tree of plain values asks for a call that is not on the lists, at any depth."""
    if isinstance(tree, list):
        for place, value in enumerate(tree):
            check_targets(value, f"{path}[{place}]")
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        where = f"{path}.{key}" if path else str(key)
        if key == "_target_":
            check_target(value, path)
        elif key in COMMANDS:
            raise InputError(f"{where}: a configuration calls nothing in this way; remove it")
        elif key == "class" and path.startswith("hydra.") and value not in LOGGING_CLASSES:
            raise InputError(f"{where} is {value!r}: logging takes {', '.join(LOGGING_CLASSES)}")
        else:
            check_targets(value, where)


def check_any_targets(tree: Any, path: str = "") -> None:
    """`check_targets` for a file of which is not known where in a config it goes: each name need only be on a list."""
    if isinstance(tree, list):
        for value in tree:
            check_any_targets(value, path)
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        where = f"{path}.{key}".lstrip(".")
        if key == "_target_" and str(value).startswith(f"{PACKAGE}."):
            photometric(value, path)
        elif key == "_target_" and value is not None and current_target(value) not in (*_ALL, *HYDRA_TARGETS):
            raise InputError(f"{where} is {value!r}: it is not on the list of what may be called")
        if key in COMMANDS[1:]:
            raise InputError(f"{where}: a configuration calls nothing in this way; remove it")
        if key == "class" and value not in LOGGING_CLASSES:
            raise InputError(f"{where} is {value!r}: logging takes {', '.join(LOGGING_CLASSES)}")
        check_any_targets(value, where)


def check_target(target: Any, node: str) -> None:
    """Raise InputError unless the node of that dotted name may have this ``_target_`` (None: it is left out)."""
    if re.fullmatch(rf"{re.escape(TRANSFORMS)}\[\d+\]", node):
        photometric(target, node)
        return
    in_hydra = node == "hydra" or node.startswith("hydra.")
    allowed = HYDRA_TARGETS if in_hydra else TARGETS.get(node, ())
    if target is None and (node in TARGETS or in_hydra):
        return
    if not isinstance(target, str) or current_target(target) not in allowed:
        raise InputError(
            f"{node}._target_ is {target!r}: it is not on the list of what may be called there"
            f"{nearest(str(target), allowed)}"
        )


def import_target(target: Any) -> Callable[..., Any]:
    """The class or function of that name. Raises InputError for a name that is on no node's list."""
    target = current_target(target)
    if target not in _ALL:
        raise InputError(f"_target_ is {target!r}: it is not on the list of what may be called")
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)
