"""The instruments that a checkpoint's config names, rebuilt from plain values.

A checkpoint is data: its ``_target_`` is never called. It is only compared with the few names below.
"""

from collections.abc import Mapping
from typing import Any

import torch

from simswap.checkpoint import SwapCheckpoint
from simswap.described import describe
from simswap.errors import InputError
from simswap.launching import ranks
from simswap.measuring.evaluator import Instruments
from simswap.models import builtin
from simswap.models.arcface import arcface_recogniser
from simswap.models.embedder import Embedder
from simswap.models.features import FeatureNetwork
from simswap.models.gaze import GazeEstimator
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

PRECISION = "fp32"
"""In which everything is measured, on every device (`simswap.precision`)."""

ESTIMATORS: dict[str, type[PoseEstimator]] = {
    "simswap.models.pose.PnPPose": PnPPose,
    "simswap.models.hopenet.HopenetPose": HopenetPose,
    "simswap.models.landmark_pose.Landmarks68Pose": Landmarks68Pose,
}


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto``: a GPU where there is one.

    Of several processes of a machine each takes its own GPU, by its number there; one that sees a single GPU takes it.
    Raises InputError for a name of no device.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"device={name}: choose auto, cpu, cuda, cuda:<number> or mps") from error
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(f"device={name}: this process sees {count} GPU(s); choose another, or device=cpu")
    started = ranks.from_environment()
    if device.type == "cuda" and device.index is None and started is not None:
        return torch.device("cuda", started.local_rank % count)
    return device


def instruments_for(
    first: SwapCheckpoint | None, recogniser: Recogniser | None, judge: Recogniser | None, pose: PoseEstimator,
    gaze: GazeEstimator | None, features: FeatureNetwork | None, template: str, size: int,
) -> Instruments:  # fmt: skip
    """What looks at crops of this template and size. first: the checkpoint whose recogniser gives the identity loss,
    and judges where there is no judge. Raises InputError where neither is there."""
    judging = judge or recogniser
    if judging is None:
        raise InputError("there is no checkpoint whose recogniser could judge: give judge=onnx judge.path=<file>, or "
                         "judge=builtin for rendered faces")
    trained = None
    if first is not None and recogniser is not None:
        trained = Embedder(recogniser, template, size, first.recogniser_view)
    return Instruments(Embedder(judging, template, size), pose, trained, gaze, features)


def descriptions(instruments: Instruments) -> dict[str, dict[str, Any] | None]:
    """Each instrument's word on itself (`describe`), None where there is none; the recognisers' with their view."""
    judge, trained = instruments.judge, instruments.trained
    return {
        "judge": describe(judge.recogniser, view=judge.view.how),
        "recogniser": None if trained is None else describe(trained.recogniser, view=trained.view.how),
        "pose": describe(instruments.pose),
        "gaze": None if instruments.gaze is None else describe(instruments.gaze),
        "fid": None if instruments.features is None else describe(instruments.features),
    }


def signature(instruments: Instruments) -> list[str]:
    """What tells these instruments, and what they read, from others: their digests."""
    return [f"{PRECISION} {what} {found['digest']}" for what, found in descriptions(instruments).items() if found]


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
        raise InputError("there is no checkpoint that names a pose estimator: give pose=pnp pose.pack=<pack>, or "
                         "pose=builtin for rendered faces")
    raise InputError(f"the checkpoint names the pose estimator {pose.get('_target_')!r}; give pose=…")


def _recogniser(settings: Mapping[str, Any], how: str) -> Recogniser | None:
    target = settings.get("_target_")
    if target in (None, "simswap.models.builtin.recogniser"):
        return builtin.recogniser() if target else None
    if target in READERS:
        return READERS[target](str(settings.get("path")))
    raise InputError(f"the checkpoint names the recogniser {target!r}, which is not one of this project's; give {how}")
