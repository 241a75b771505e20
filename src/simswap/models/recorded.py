"""The frozen networks that a checkpoint's config names, rebuilt from plain values.

A checkpoint is data: its ``_target_`` is never called. It is only compared with the few names below.
"""

from collections.abc import Mapping
from typing import Any

from simswap.errors import InputError
from simswap.models import builtin
from simswap.models.arcface import arcface_recogniser
from simswap.models.hopenet import HopenetPose
from simswap.models.iresnet import iresnet_recogniser
from simswap.models.landmark_pose import Landmarks68Pose
from simswap.models.pose import PnPPose, PoseEstimator
from simswap.models.recognition import Recogniser, onnx_recogniser

READERS = {
    "simswap.models.recognition.onnx_recogniser": onnx_recogniser,
    "simswap.models.arcface.arcface_recogniser": arcface_recogniser,
    "simswap.models.iresnet.iresnet_recogniser": iresnet_recogniser,
}

ESTIMATORS: dict[str, type[PoseEstimator]] = {
    "simswap.models.pose.PnPPose": PnPPose,
    "simswap.models.hopenet.HopenetPose": HopenetPose,
    "simswap.models.landmark_pose.Landmarks68Pose": Landmarks68Pose,
}


def recogniser_of(config: Mapping[str, Any], path: str | None) -> Recogniser:
    """The recogniser that a checkpoint was trained with; ``path`` where its file has moved."""
    if path:
        return READERS.get(str((config.get("recognition") or {}).get("_target_")), onnx_recogniser)(path)
    return _recogniser(config.get("recognition") or {}, "recogniser_path=<file>") or builtin.recogniser()


def judge_of(config: Mapping[str, Any]) -> Recogniser | None:
    """The judge of its validation, or None where it had none."""
    judge = config.get("judge") or {}
    if judge.get("_target_") == "simswap.models.builtin.judge":
        return builtin.judge()
    return _recogniser(judge, "judge=onnx judge.path=<file>")


def pose_of(config: Mapping[str, Any]) -> PoseEstimator:
    """The pose estimator of its validation."""
    pose = config.get("pose") or {}
    if pose.get("_target_") == "simswap.models.builtin.pose_estimator":
        return builtin.pose_estimator()
    kind = ESTIMATORS.get(str(pose.get("_target_")))
    if kind is not None:
        settings = {name: value for name, value in pose.items() if name != "_target_"}
        try:
            return kind(**settings)
        except TypeError as error:
            raise InputError(f"the checkpoint's pose settings do not fit ({error}); give pose=…") from error
    if not config:
        raise InputError(
            "there is no checkpoint that names a pose estimator: give pose=pnp pose.pack=<pack>, or "
            "pose=builtin for rendered faces"
        )
    raise InputError(f"the checkpoint names the pose estimator {pose.get('_target_')!r}; give pose=…")


def _recogniser(settings: Mapping[str, Any], how: str) -> Recogniser | None:
    target = settings.get("_target_")
    if target in (None, "simswap.models.builtin.recogniser"):
        return builtin.recogniser() if target else None
    if target in READERS:
        return READERS[target](str(settings.get("path")))
    raise InputError(f"the checkpoint names the recogniser {target!r}, which is not one of this project's; give {how}")
