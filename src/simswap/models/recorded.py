"""The frozen networks that a checkpoint's configuration names, rebuilt from plain values.

A checkpoint is data: its ``_target_`` is compared with the names below. Beside those, only a class or function of a
package that the command line trusts is called.
"""

from collections.abc import Callable, Mapping
from typing import Any

from simswap.errors import InputError
from simswap.models import builtin
from simswap.models.arcface import arcface_recognizer
from simswap.models.dlib_pose import Dlib68Pose
from simswap.models.dlib_recognizer import dlib_recognizer
from simswap.models.hopenet import HopenetPose
from simswap.models.iresnet import iresnet_recognizer
from simswap.models.landmark_pose import Landmarks68Pose
from simswap.models.pose import PnPPose, PoseEstimator
from simswap.models.recognition import Recognizer, onnx_recognizer
from simswap.settings.targets import check_target, import_target
from simswap.settings.trusted import is_trusted

READERS: dict[str, Callable[..., Recognizer]] = {
    "simswap.models.recognition.onnx_recognizer": onnx_recognizer,
    "simswap.models.arcface.arcface_recognizer": arcface_recognizer,
    "simswap.models.iresnet.iresnet_recognizer": iresnet_recognizer,
    "simswap.models.dlib_recognizer.dlib_recognizer": dlib_recognizer,
}

ESTIMATORS: dict[str, type[PoseEstimator]] = {
    "simswap.models.pose.PnPPose": PnPPose,
    "simswap.models.hopenet.HopenetPose": HopenetPose,
    "simswap.models.landmark_pose.Landmarks68Pose": Landmarks68Pose,
    "simswap.models.dlib_pose.Dlib68Pose": Dlib68Pose,
}


def recognizer_of(config: Mapping[str, Any], path: str | None) -> Recognizer:
    """The recognizer that a checkpoint was trained with.

    Args:
        config: The checkpoint's config.
        path: Where the recognizer's file is now, or None for the path in the config.

    Raises:
        InputError: The recognizer is not one of this project's, or its file cannot be read.
    """
    settings = config.get("recognition") or {}
    if path and str(settings.get("_target_")) not in READERS and not is_trusted(str(settings.get("_target_"))):
        return onnx_recognizer(path)
    moved = {"path": path} if path else {}
    return _recognizer(settings | moved, "recognition", "recognition.path=<file>") or builtin.recognizer()


def judge_of(config: Mapping[str, Any]) -> Recognizer | None:
    """The judge of a checkpoint's validation, or None if it had none; raises InputError as `recognizer_of`."""
    judge = config.get("judge") or {}
    if judge.get("_target_") == "simswap.models.builtin.judge":
        return builtin.judge()
    return _recognizer(judge, "judge", "judge=onnx judge.path=<file>")


def pose_of(config: Mapping[str, Any]) -> PoseEstimator:
    """The pose estimator of a checkpoint's validation; raises InputError where the config does not give one."""
    pose = config.get("pose") or {}
    if pose.get("_target_") == "simswap.models.builtin.pose_estimator":
        return builtin.pose_estimator()
    if is_trusted(str(pose.get("_target_"))):
        return _of_trusted_package(pose, "pose")
    kind = ESTIMATORS.get(str(pose.get("_target_")))
    if kind is not None:
        settings = {name: value for name, value in pose.items() if name != "_target_"}
        try:
            return kind(**settings)
        except TypeError as error:
            raise InputError(f"the pose settings of the checkpoint do not fit ({error}); set pose=…") from error
    if not config:
        raise InputError(
            "no checkpoint names a pose estimator: set pose=pnp pose.pack=<pack>, or pose=builtin for rendered faces"
        )
    raise InputError(
        f"the checkpoint names an unknown pose estimator, {pose.get('_target_')!r}; set pose=…{_hint(pose)}"
    )


def _recognizer(settings: Mapping[str, Any], group: str, how: str) -> Recognizer | None:
    target = settings.get("_target_")
    if target in (None, "simswap.models.builtin.recognizer"):
        return builtin.recognizer() if target else None
    if target in READERS:
        # A string, or nothing: no other type of a checkpoint's config reaches a reader.
        own = {"centered": bool(settings["centered"])} if "centered" in settings else {}
        path = settings.get("path")
        return READERS[target](path if path is None else str(path), **own)
    if is_trusted(str(target)):
        return _of_trusted_package(settings, group)
    raise InputError(f"the checkpoint names an unknown recognizer, {target!r}; set {how}{_hint(settings)}")


def _of_trusted_package(settings: Mapping[str, Any], group: str) -> Any:
    """Build a node's network by a class or function that a trusted package defines."""
    check_target(settings["_target_"], group)
    return import_target(settings["_target_"])(**{name: one for name, one in settings.items() if name != "_target_"})


def _hint(settings: Mapping[str, Any]) -> str:
    package = str(settings.get("_target_")).split(".")[0]
    return "" if package in ("None", "simswap") else f", or trusted=[{package}] if you trust that package"
