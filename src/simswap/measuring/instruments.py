"""The instruments: judge, recognizer, pose estimator, gaze estimator and feature network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from simswap.checkpoint import SwapCheckpoint
from simswap.errors import InputError
from simswap.measuring.predictions import Predictions, embedding_of, registered_digests
from simswap.measuring.swappers import Faces
from simswap.models.described import describe
from simswap.models.embedder import Embedder
from simswap.models.features import FeatureNetwork
from simswap.models.gaze import GazeEstimator
from simswap.models.inception import Inception
from simswap.models.lpips import PerceptualDistance
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer
from simswap.precision import full_precision

PRECISION = "fp32"
"""The precision of all measurements, on every device (`simswap.precision`)."""


@dataclass(frozen=True)
class Instruments:
    """The networks that measure faces; without an optional one, its figures are left out.

    Attributes:
        judge: The recognizer for retrieval and similarities.
        pose: The head pose estimator.
        trained: The recognizer used in training, for the identity loss.
        gaze: The gaze estimator.
        features: Images in unit range [B, 3, S, S] → [B, F], for FID.
        lpips: The perceptual distance.
        judges: Further judges by name.
    """

    judge: Embedder
    pose: PoseEstimator
    trained: Embedder | None = None
    gaze: GazeEstimator | None = None
    features: FeatureNetwork | Inception | None = None
    lpips: PerceptualDistance | None = None
    judges: Mapping[str, Embedder] = field(default_factory=dict)

    def to(self, device: torch.device) -> None:
        """Move all networks to a device."""
        single = (self.judge, self.pose, self.trained, self.gaze, self.features, self.lpips)
        for network in (*single, *self.judges.values()):
            if network is not None:
                network.to(device)

    @torch.inference_mode()
    def read(self, faces: Faces, template: str) -> Predictions:
        """All predictions for crops of a template, float32; in full precision whatever the caller's precision is."""
        with full_precision():
            return self._read(Faces(faces.images.float().clamp(0, 1), faces.view), template)

    def _read(self, faces: Faces, template: str) -> Predictions:
        images = faces.images
        pose, points = self.pose.pose_and_points(images, template, faces.view)
        predictions = {"embedding": self.judge(images, faces.view).float(), "pose": pose.float()}
        if points is not None:
            predictions["points"] = points.float()
        if self.trained is not None:
            predictions["identity"] = self.trained(images, faces.view).float()
        if self.gaze is not None:
            predictions["gaze"] = self.gaze(images, template, faces.view).float()
        if self.features is not None:
            predictions["features"] = self.features(images).float()
        for name, judge in self.judges.items():
            predictions[embedding_of(name)] = judge(images, faces.view).float()
        return predictions


def instruments_for(
    first: SwapCheckpoint | None,
    recognizer: Recognizer | None,
    judge: Recognizer | None,
    pose: PoseEstimator,
    gaze: GazeEstimator | None,
    features: FeatureNetwork | Inception | None,
    template: str,
    size: int,
    judges: Mapping[str, Recognizer] | None = None,
) -> Instruments:
    """The instruments for crops of this template and size.

    Args:
        first: The checkpoint whose recognizer gives the identity loss; None without one.
        recognizer: That recognizer, which also judges if there is no judge.
        judge: The judge; None for the recognizer.
        pose: The pose estimator.
        gaze: The gaze estimator; None without one.
        features: The feature network; None without one.
        template: The template of the crops.
        size: The size of the crops in pixels.
        judges: Further judges by name.

    Raises:
        InputError: If there is neither a judge nor a recognizer, or one judge is given twice.
    """
    judging = judge or recognizer
    if judging is None:
        raise InputError(
            "there is no judge and no checkpoint whose recognizer could judge: give judge=onnx judge.path=<file>, or "
            "judge=builtin for rendered faces"
        )
    trained = None
    if first is not None and recognizer is not None:
        trained = Embedder(recognizer, template, size, first.recognizer_view)
    further = {name: Embedder(network, template, size) for name, network in (judges or {}).items()}
    made = Instruments(Embedder(judging, template, size), pose, trained, gaze, features, judges=further)
    _refuse_twice(made)
    return made


def _refuse_twice(instruments: Instruments) -> None:
    """Raise InputError if two judges are the same network with the same settings."""
    known: dict[str, str] = {}
    for key, described in [("judge", describe_judge(instruments.judge)), *describe_judges(instruments).items()]:
        before = known.setdefault(described["digest"], key)
        if before != key:
            raise InputError(
                f"{key} and {before} are the same network ({described['name']}, sha256 {described['sha256'][:8]}), "
                f"which would agree with itself: leave out {key}, or choose another"
            )


def describe_judge(judge: Embedder) -> dict[str, Any]:
    """A judge's description, with its view of the crops."""
    return describe(judge.recognizer, view=judge.view.how)


def describe_judges(instruments: Instruments) -> dict[str, dict[str, Any]]:
    """The further judges' descriptions by their keys in the configuration, ``judges.<name>``."""
    return {f"judges.{name}": describe_judge(judge) for name, judge in instruments.judges.items()}


def descriptions(instruments: Instruments) -> dict[str, dict[str, Any] | None]:
    """The description of each instrument (`describe`), of recognizers with their view; None for a missing one."""
    judge, trained = instruments.judge, instruments.trained
    return {
        "judge": describe_judge(judge),
        "recognizer": None if trained is None else describe(trained.recognizer, view=trained.view.how),
        "pose": describe(instruments.pose),
        "gaze": None if instruments.gaze is None else describe(instruments.gaze),
        "fid": None if instruments.features is None else describe(instruments.features),
        "lpips": None if instruments.lpips is None else describe(instruments.lpips),
    }


def signature(instruments: Instruments) -> list[str]:
    """Digests that identify these instruments and everything they predict."""
    described = descriptions(instruments) | describe_judges(instruments)
    digests = {what: found["digest"] for what, found in described.items() if found}
    return [*(f"{PRECISION} {what} {digest}" for what, digest in digests.items()), *registered_digests()]
