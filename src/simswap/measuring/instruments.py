"""What looks at pictures: judge, recognizer, pose and gaze estimator, features; and how they are told from others."""

from dataclasses import dataclass
from typing import Any

import torch

from simswap.checkpoint import SwapCheckpoint
from simswap.errors import InputError
from simswap.measuring.predictions import Predictions, registered_digests
from simswap.measuring.swappers import Faces
from simswap.models.described import describe
from simswap.models.embedder import Embedder
from simswap.models.features import FeatureNetwork
from simswap.models.gaze import GazeEstimator
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer
from simswap.precision import full_precision

PRECISION = "fp32"
"""In which everything is measured, on every device (`simswap.precision`)."""


@dataclass(frozen=True)
class Instruments:
    """What looks at pictures. trained: the recognizer that the swapper was trained with, for the identity loss beside
    the judge's word. features: pictures in unit range [B, 3, S, S] → [B, F], for FID. None: that figure is left out."""

    judge: Embedder
    pose: PoseEstimator
    trained: Embedder | None = None
    gaze: GazeEstimator | None = None
    features: FeatureNetwork | None = None

    def to(self, device: torch.device) -> None:
        for network in (self.judge, self.pose, self.trained, self.gaze, self.features):
            if network is not None:
                network.to(device)

    @torch.no_grad()
    def read(self, faces: Faces, template: str) -> Predictions:
        """All that is asked for, of crops of a template; in `full_precision`, float32, whatever runs around it."""
        with full_precision():
            return self._read(Faces(faces.images.float().clamp(0, 1), faces.view), template)

    def _read(self, faces: Faces, template: str) -> Predictions:
        images = faces.images
        pose, points = self.pose.pose_and_points(images, template, faces.view)
        readings = {"embedding": self.judge(images, faces.view).float(), "pose": pose.float()}
        if points is not None:
            readings["points"] = points.float()
        if self.trained is not None:
            readings["identity"] = self.trained(images, faces.view).float()
        if self.gaze is not None:
            readings["gaze"] = self.gaze(images, template, faces.view).float()
        if self.features is not None:
            readings["features"] = self.features(images).float()
        return readings


def instruments_for(
    first: SwapCheckpoint | None,
    recognizer: Recognizer | None,
    judge: Recognizer | None,
    pose: PoseEstimator,
    gaze: GazeEstimator | None,
    features: FeatureNetwork | None,
    template: str,
    size: int,
) -> Instruments:
    """What looks at crops of this template and size. first: the checkpoint whose recognizer gives the identity loss,
    and judges where there is no judge. Raises InputError where neither is there."""
    judging = judge or recognizer
    if judging is None:
        raise InputError(
            "there is no checkpoint whose recognizer could judge: give judge=onnx judge.path=<file>, or "
            "judge=builtin for rendered faces"
        )
    trained = None
    if first is not None and recognizer is not None:
        trained = Embedder(recognizer, template, size, first.recognizer_view)
    return Instruments(Embedder(judging, template, size), pose, trained, gaze, features)


def descriptions(instruments: Instruments) -> dict[str, dict[str, Any] | None]:
    """Each instrument's word on itself (`describe`), None where there is none; the recognizers' with their view."""
    judge, trained = instruments.judge, instruments.trained
    return {
        "judge": describe(judge.recognizer, view=judge.view.how),
        "recognizer": None if trained is None else describe(trained.recognizer, view=trained.view.how),
        "pose": describe(instruments.pose),
        "gaze": None if instruments.gaze is None else describe(instruments.gaze),
        "fid": None if instruments.features is None else describe(instruments.features),
    }


def signature(instruments: Instruments) -> list[str]:
    """What tells these instruments, and what they read, from others: their digests."""
    digests = {what: found["digest"] for what, found in descriptions(instruments).items() if found}
    return [*(f"{PRECISION} {what} {digest}" for what, digest in digests.items()), *registered_digests()]
