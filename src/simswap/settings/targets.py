"""What a ``_target_`` may name. Nothing else is ever imported or called for a configuration.

A node takes the names on its own list (`TARGETS`), the public classes of one library module that have one base class
(`LIBRARIES`), and the classes and functions of the packages that the command line trusts (`simswap.settings.trusted`)
where they are of the node's kind (`KINDS`).
"""

import importlib
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

from simswap.compat.hydra import BASIC_TARGETS
from simswap.errors import InputError
from simswap.settings.photometric import PACKAGE, photometric
from simswap.settings.recorded_names import NULLABLE, current_target
from simswap.settings.trusted import KEY, is_trusted
from simswap.settings.words import nearest

_RECOGNIZERS = (
    "simswap.models.builtin.recognizer",
    "simswap.models.recognition.onnx_recognizer",
    "simswap.models.arcface.arcface_recognizer",
    "simswap.models.iresnet.iresnet_recognizer",
    "simswap.models.dlib_recognizer.dlib_recognizer",
)
TARGETS: dict[str, tuple[str, ...]] = {
    "data": ("simswap.data.datamodule.SwapDataModule",),
    "generator": ("simswap.models.generator.Generator",),
    "discriminator": ("simswap.models.discriminator.Discriminators",),
    "recognition": _RECOGNIZERS,
    "loss_recognition.*": ("simswap.models.builtin.judge", *_RECOGNIZERS),
    "judge": ("simswap.models.builtin.judge", *_RECOGNIZERS),
    "judges.*": ("simswap.models.builtin.judge", *_RECOGNIZERS),
    "pose": (
        "simswap.models.builtin.pose_estimator",
        "simswap.models.pose.PnPPose",
        "simswap.models.hopenet.HopenetPose",
        "simswap.models.landmark_pose.Landmarks68Pose",
        "simswap.models.dlib_pose.Dlib68Pose",
    ),
    "gaze": ("simswap.models.gaze.gaze_estimator",),
    "fid": ("simswap.models.features.FeatureNetwork", "simswap.models.inception.Inception"),
    "lpips": ("simswap.models.lpips.PerceptualDistance",),
    "detector": ("simswap.faces.detection.InsightFaceDetector", "simswap.faces.dlib_detector.DlibDetector"),
    "objective": ("simswap.losses.objective.Objective",),
    "optimizer": ("simswap.training.optimization.OptimizerSettings",),
    "optimizer.algorithm": ("torch.optim.Adam", "torch.optim.AdamW"),
    "trainer": ("lightning.Trainer",),
    "strategy": ("simswap.launching.distributed.Processes",),
    "logger": ("simswap.tracking.logger.build_loggers",),
    "profiler": (
        "lightning.pytorch.profilers.SimpleProfiler",
        "lightning.pytorch.profilers.AdvancedProfiler",
        "lightning.pytorch.profilers.PyTorchProfiler",
    ),
    "origin": ("simswap.rendered.dataset.write_dataset",),
    "protocol": (
        "simswap.evaluation.persons.Persons",
        "simswap.evaluation.folder.Folder",
        "simswap.evaluation.faceforensics.FaceForensics",
    ),
}
"""Node of a configuration → the names of this project that its ``_target_`` takes. A new choice in conf/ needs its
line here."""

TRANSFORMS = "data.augmentation.transforms"
"""A list of photometric transforms of albumentations, which are allowed by their type."""

_ALL = {name for names in TARGETS.values() for name in names}

LIBRARIES = {
    "optimizer.algorithm": "torch.optim.Optimizer",
    "callbacks.*": "lightning.pytorch.callbacks.Callback",
    "profiler": "lightning.pytorch.profilers.Profiler",
    "logger.more.*": "lightning.pytorch.loggers.Logger",
}
"""Node → a base class. The node takes each public subclass under its name in the base class's module."""

KINDS = LIBRARIES | {
    "data": "simswap.data.datamodule.SwapDataModule",
    "discriminator": "simswap.models.discriminator_contract.DiscriminatorPyramid",
    "recognition": "simswap.models.recognition.Recognizer",
    "loss_recognition.*": "simswap.models.recognition.Recognizer",
    "judge": "simswap.models.recognition.Recognizer",
    "judges.*": "simswap.models.recognition.Recognizer",
    "pose": "simswap.models.pose.PoseEstimator",
    "gaze": "simswap.models.gaze.GazeEstimator",
    "fid": "simswap.models.features.FeatureNetwork",
    "lpips": "simswap.models.lpips.PerceptualDistance",
    "detector": "simswap.faces.detection.Detector",
    "protocol": "simswap.evaluation.protocol_data.EvaluationProtocol",
    "origin": "",
}
"""Node → the class or typing.Protocol that a class of a trusted package must have, or a function of it must return;
empty where any function will do."""

UNSUITABLE = {
    "torch.optim.LBFGS": "it evaluates the loss several times in each step",
    "torch.optim.SparseAdam": "it takes sparse gradients, and these are dense",
    "torch.optim.Muon": "it takes matrices, and convolutions have four dimensions",
    "lightning.pytorch.loggers.WandbLogger": "the group logger has its own settings for W&B",
}
"""Classes of the libraries that cannot work here, with the reason."""

NO_TARGET = ("loss_recognition.*",)
"""Entries of groups that may say ``_target_: null``: the conditioning's recognizer, which ``recognition`` names."""

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
"""What Hydra itself may run: its callbacks, launchers and sweepers."""

LOGGING_CLASSES = ("logging.StreamHandler", "logging.FileHandler", "logging.Formatter", "logging.NullHandler")
"""Classes that Hydra's logging may use."""

COMMANDS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_", "()")
"""Keys that ask for a call: Hydra's, and that of Python's logging."""


def check_targets(tree: Any, path: str = "") -> None:
    """Raise InputError if a tree of plain values asks, at any depth, for a call that is not allowed there."""
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
    """`check_targets` for a file whose place in a configuration is not known: a name must be right for some node."""
    if isinstance(tree, list):
        for value in tree:
            check_any_targets(value, path)
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        where = f"{path}.{key}".lstrip(".")
        if key == "_target_" and str(value).startswith(f"{PACKAGE}."):
            photometric(value, path)
        elif key == "_target_" and value is not None:
            target = current_target(value)
            if target not in HYDRA_TARGETS and not is_allowed_somewhere(target):
                raise InputError(f"{where} is {value!r}: {_not_on_the_list(value)}")
        if key in COMMANDS[1:]:
            raise InputError(f"{where}: a configuration calls nothing in this way; remove it")
        if key == "class" and value not in LOGGING_CLASSES:
            raise InputError(f"{where} is {value!r}: logging takes {', '.join(LOGGING_CLASSES)}")
        check_any_targets(value, where)


def check_target(target: Any, node: str) -> None:
    """Check what a node asks for.

    Args:
        target: The value of ``_target_``; None leaves an optional node out.
        node: The node's dotted name.

    Raises:
        InputError: The node may not have this ``_target_``.
    """
    if re.fullmatch(rf"{re.escape(TRANSFORMS)}\[\d+\]", node):
        photometric(target, node)
        return
    in_hydra = node == "hydra" or node.startswith("hydra.")
    allowed = HYDRA_TARGETS if in_hydra else TARGETS.get(node_rule(node), ())
    if target is None and (node in NULLABLE or node_rule(node) in NO_TARGET or in_hydra):
        return
    name, kind = current_target(target), None if in_hydra else kind_of(node)
    if isinstance(name, str) and name in allowed:
        return
    if isinstance(name, str) and kind is not None:
        if node_rule(node) in LIBRARIES and _is_public_subclass(name, kind):
            return
        if is_trusted(name):
            _check_kind(name, kind, node)
            return
    raise InputError(f"{node}._target_ is {target!r}: {_not_on_the_list(target, node)}{nearest(str(target), allowed)}")


def _not_on_the_list(target: Any, node: str | None = None) -> str:
    text = "it is not on the list of what may be called" + (" there" if node else "")
    package = str(target).split(".")[0]
    if str(target) in UNSUITABLE:
        return f"it cannot work here: {UNSUITABLE[str(target)]}"
    if node is not None and is_trusted(str(target)):
        return f"{text}, whatever is trusted"
    if "." in str(target) and package not in ("simswap", "torch", "lightning", "hydra", "hydra_plugins"):
        return f"{text}; to use a package of your own, add {KEY}=[{package}] to the command line"
    return text


def node_rule(node: str) -> str:
    """The key under which `KINDS` and `LIBRARIES` have a node; an entry of a group of named entries has ``group.*``."""
    any_entry = f"{node.rpartition('.')[0]}.*"
    return any_entry if any_entry in KINDS else node


def kind_of(node: str) -> str | None:
    """The dotted name of the class that a node takes; None for a node that takes its own list alone."""
    return KINDS.get(node_rule(node))


def is_library(target: str) -> bool:
    """Whether this is a public subclass in one of the modules of `LIBRARIES`."""
    return any(_is_public_subclass(target, base) for base in LIBRARIES.values())


def is_allowed_somewhere(target: Any) -> bool:
    """Whether some node takes this name."""
    return isinstance(target, str) and (target in _ALL or is_library(target) or is_trusted(target))


def _is_public_subclass(target: str, base: str) -> bool:
    module, _, base_name = base.rpartition(".")
    found, _, name = target.rpartition(".")
    if found != module or name in (base_name, "") or name.startswith("_") or target in UNSUITABLE:
        return False
    library = importlib.import_module(module)
    kind = vars(library).get(name)
    return inspect.isclass(kind) and issubclass(kind, getattr(library, base_name))


def _check_kind(target: str, kind: str, node: str) -> None:
    """Check that a class of a trusted package, or what its function returns, is of the kind that a node takes."""
    made = import_target(target)
    if not kind:
        return
    base = _named(kind)
    if inspect.isclass(made):
        returned: Any = made
    else:
        try:
            returned = typing.get_type_hints(made).get("return")
        except (NameError, TypeError):
            returned = None
        if not inspect.isclass(returned):
            raise InputError(f"{node}: {target} must say what it returns, as in: def {made.__name__}(…) -> {kind}")
    if getattr(base, "_is_protocol", False):
        methods = [name for name in vars(base) if not name.startswith("_") and callable(getattr(base, name))]
        lacking = [name for name in methods if not callable(getattr(returned, name, None))]
        if lacking:
            raise InputError(f"{node}: {target} has no method {lacking[0]}; {kind} says what it takes and returns")
    elif not issubclass(returned, base):
        raise InputError(f"{node}: {target} is no {base.__name__}; derive it from {kind}")


def _named(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def import_target(target: Any) -> Callable[..., Any]:
    """The class or function of this name.

    Raises:
        InputError: No node may have this name, or a trusted package has nothing of this name.
    """
    target = current_target(target)
    if not is_allowed_somewhere(target):
        raise InputError(f"_target_ is {target!r}: {_not_on_the_list(target)}")
    if not is_trusted(target):
        return _named(target)
    try:
        made = _named(target)
    except (ImportError, AttributeError) as error:
        raise InputError(f"_target_ is {target!r}: there is no such name ({error})") from error
    home = str(getattr(made, "__module__", ""))
    if not callable(made) or not is_trusted(f"{home}."):
        raise InputError(f"_target_ is {target!r}: this is no class or function that the package itself defines")
    return made
