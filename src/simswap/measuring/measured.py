"""What was measured of one swapper: from the instruments' readings of its results to figures with intervals."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.usable import is_direction
from simswap.metrics.feature_distance import FeatureDistance
from simswap.metrics.gaze_error import GazeError
from simswap.metrics.intervals import ONE_A_TARGET, figure_interval
from simswap.metrics.landmark_error import LandmarkError
from simswap.metrics.per_sample import PerSampleMetric
from simswap.metrics.pose_error import PoseError
from simswap.metrics.reconstruction import PairsReconstruction
from simswap.metrics.retrieval import IdentityRetrieval
from simswap.metrics.similarity import IdentitySimilarity
from simswap.metrics.temporal_jitter import TemporalJitter

# What the instruments say of B pictures, by name: embedding [B, E] (judge), pose [B, 3] degrees; and where they are at
# hand identity [B, E'] (recognizer trained with), points [B, P, 2], gaze [B, 2] degrees, features [B, F].
Predictions = dict[str, Tensor]


class Figure(NamedTuple):
    """A mean and its 95 % interval, clustered by persons in both roles (NaN where it cannot be told); n: over how many
    results, of self-reconstruction over how many distinct targets."""

    value: float
    low: float
    high: float
    n: int


class Measured:
    """One swapper's figures. Every figure's samples are in the order of the pairs, NaN where it has no result.

    pairs: the protocol's. person: int64 [rows], of every row of the data. gallery: the readings of the gallery's
    pictures. gaze: float [rows, 2], the true gaze in degrees where it is known.
    """

    def __init__(self, pairs: ProtocolPairs, person: Tensor, gallery: Predictions, gaze: Tensor | None = None) -> None:
        self._pairs, self._person, self._gallery, self._gaze = pairs, person, gallery, gaze
        device = gallery["embedding"].device
        self.retrieval = IdentityRetrieval().to(device)
        rows = torch.from_numpy(pairs.gallery).to(device)
        known = is_direction(gallery["embedding"])
        self.retrieval.set_gallery(gallery["embedding"][known], person[rows][known], rows[known])
        self.to_source, self.to_target, self.to_identity = (IdentitySimilarity().to(device) for _ in range(3))
        self.pose_error, self.landmark_error = PoseError().to(device), LandmarkError().to(device)
        self.gaze_error, self.jitter = GazeError().to(device), TemporalJitter().to(device)
        self.self_reconstruction = PairsReconstruction(pairs.target).to(device)
        self.distance = FeatureDistance(gallery["features"].shape[1]).to(device) if "features" in gallery else None
        self._places: list[Tensor] = []
        #: of the pairs that were measured here, how many had no usable result; for those who measure a share
        self.unusable = 0

    def add(self, results: Predictions) -> None:
        """Add some results: their readings; ``place`` int64 [B], which pair each is of; and where they were made,
        ``l1``, ``psnr``, ``ssim`` of the self-swaps, ``poses`` [B, 3, 3] and ``embeddings`` [B, 3, E] of three frames.
        """
        place = results["place"].cpu().numpy()
        self._places.append(results["place"])
        target_rows, source_rows = self._pairs.target[place], self._pairs.source[place]
        targets, sources = (np.searchsorted(self._pairs.gallery, rows) for rows in (target_rows, source_rows))
        gallery, rows = self._gallery, torch.from_numpy(source_rows).to(self._person.device)
        self.retrieval.update(results["embedding"], self._person[rows], rows)
        self.to_source.update(results["embedding"], gallery["embedding"][sources])
        self.to_target.update(results["embedding"], gallery["embedding"][targets])
        self.pose_error.update(results["pose"], gallery["pose"][targets])
        if "identity" in results:
            self.to_identity.update(results["identity"], gallery["identity"][sources])
        if "points" in results:
            self.landmark_error.update(results["points"], gallery["points"][targets])
        if "gaze" in results and self._gaze is not None:
            self.gaze_error.update(results["gaze"], self._gaze[target_rows])
        if "l1" in results:
            self.self_reconstruction.update(**{name: results[name] for name in self.self_reconstruction.columns})
        if "poses" in results:
            self.jitter.update(results["poses"], results["embeddings"])
        if self.distance is not None:
            made, real = results["features"], gallery["features"][targets]
            known = made.isfinite().all(dim=1) & real.isfinite().all(dim=1)  # one NaN would be in every sum
            self.distance.update(made[known], real=False)
            self.distance.update(real[known], real=True)

    def samples(self, chosen: np.ndarray | None = None) -> dict[str, Tensor]:
        """Every figure's value per pair, float [n], NaN where it is not defined; a figure that nothing measured is
        left out (the five of every table are always there).

        chosen: bool [n], the pairs among which each target's self-reconstruction counts once; None for all.
        """
        again = {
            f"self_reconstruction_{column}": self.self_reconstruction.in_pairs(column, chosen)
            for column in self.self_reconstruction.kept
        }
        optional = {
            "identity_loss": (self.to_identity, "cosine"),
            "landmark_error": (self.landmark_error, "error"),
            "gaze_error_deg": (self.gaze_error, "gaze"),
            "jitter_pose_deg": (self.jitter, "pose"),
            "jitter_identity": (self.jitter, "identity"),
        }
        always = {
            "id_retrieval": self.retrieval.hits("top1"),
            "id_retrieval_top5": self.retrieval.hits("top5"),
            "id_retrieval_without_source": self.retrieval.hits("top1_without_source"),
            "id_similarity": self.to_source.values("cosine"),
            "target_similarity": self.to_target.values("cosine"),
            "pose_error_deg": self.pose_error.values("pose"),
            **{f"{axis}_error_deg": self.pose_error.values(axis) for axis in ("yaw", "pitch", "roll", "geodesic")},
        }
        there = {name: metric.values(column) for name, (metric, column) in optional.items() if _has(metric, column)}
        if "identity_loss" in there:
            there["identity_loss"] = 1 - there["identity_loss"]
        there = {name: self._in_order(values) for name, values in (always | there).items()}
        return there | {
            name: values
            for name, values in again.items()
            if name == "self_reconstruction_l1" or not bool(values.isnan().all())
        }

    def _in_order(self, values: Tensor) -> Tensor:
        whole = values.new_full((len(self._pairs.target),), torch.nan)
        if len(values):
            whole[torch.cat(self._places)] = values
        return whole

    def figures(self, chosen: np.ndarray | None = None) -> dict[str, Figure]:
        """Means with intervals, over all pairs or the ``chosen`` ones (bool [n]); FID over all pairs alone, without."""
        person = self._person.cpu().numpy()
        mask = np.ones(len(self._pairs.target), dtype=bool) if chosen is None else chosen
        sources, targets = person[self._pairs.source[mask]], person[self._pairs.target[mask]]
        found = {}
        for name, values in self.samples(mask).items():
            sample = values.cpu().numpy()[mask]
            with_whom = targets if name in ONE_A_TARGET else sources  # a target swapped with itself
            n = int((~np.isnan(sample)).sum())
            found[name] = Figure(*figure_interval(name, sample, with_whom, targets), n)
        if self.distance is not None and chosen is None:
            results = len(self._pairs.target) - self.missed_results
            found["fid"] = Figure(float(self.distance.compute()), float("nan"), float("nan"), results)
        return found

    def means(self, distributed: bool = True) -> dict[str, float]:
        """The figures of a validation, over all ranks together, or of this process alone."""
        used: tuple[Metric, ...] = (
            self.retrieval,
            self.to_source,
            self.to_target,
            self.pose_error,
            self.self_reconstruction,
        )
        for metric in used:
            metric._to_sync = distributed
        return {
            "id_retrieval": float(self.retrieval.compute()["top1"]),
            "id_similarity": float(self.to_source.compute()),
            "target_similarity": float(self.to_target.compute()),
            "pose_error_deg": float(self.pose_error.compute()["pose_error_deg"]),
            "self_reconstruction": float(self.self_reconstruction.compute()["l1"]),
        }

    @property
    def missed_results(self) -> int:
        """Pairs without a usable result: none that can be read, one that is no picture (NaN), or one that the judge
        cannot embed; and pairs whose target or source it cannot."""
        return len(self._pairs.target) - sum(len(places) for places in self._places)

    @property
    def missed_poses(self) -> int:
        """Results on which, or on whose target, no face was found: no pose error can be told there."""
        return int(self.pose_error.values("pose").isnan().sum())

    @property
    def chance(self) -> float:
        """Top-1 retrieval of a gallery image drawn blindly."""
        return float(self.retrieval.values("chance").double().nanmean())


def _has(metric: PerSampleMetric, column: str) -> bool:
    values = metric.values(column)
    return bool(len(values)) and not bool(values.isnan().all())
