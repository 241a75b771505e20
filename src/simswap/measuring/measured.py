"""What was measured of one swapper: from predictions for its results to figures with intervals."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simswap.faces.mean_shape import POINTS
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.judged import Judged, Kept, agreement, kappa
from simswap.measuring.predictions import PREFIX, Predictions, embedding_of
from simswap.metrics.expression_error import ExpressionError
from simswap.metrics.feature_distance import FeatureDistance
from simswap.metrics.figures import FIGURES, registered
from simswap.metrics.gaze_error import GazeError
from simswap.metrics.intervals import figure_interval
from simswap.metrics.landmark_error import LandmarkError
from simswap.metrics.per_sample import PairValues
from simswap.metrics.pose_error import PoseError
from simswap.metrics.reconstruction import PairsPerceptual, PairsReconstruction
from simswap.metrics.similarity import IdentitySimilarity
from simswap.metrics.temporal_jitter import TemporalJitter


class Estimate(NamedTuple):
    """A figure's mean over ``n`` values and its 95 % interval; NaN where it is not known.

    The interval is clustered by persons in both roles. The values are one per pair, or one per distinct target.
    """

    value: float
    low: float
    high: float
    n: int


class Measured:
    """One swapper's figures; the values of each are in the order of the pairs, NaN where there is none.

    Args:
        pairs: The protocol's pairs.
        person: int64 [rows], the person of every row of the data.
        gallery: Predictions for the gallery images, in the order of ``pairs.gallery``.
        gaze: Float [rows, 2], the true gaze in degrees where it is known; None if it never is.
        judges: The names of the further judges.
    """

    def __init__(
        self,
        pairs: ProtocolPairs,
        person: Tensor,
        gallery: Predictions,
        gaze: Tensor | None = None,
        judges: Sequence[str] = (),
    ) -> None:
        self._pairs, self._person, self._gallery, self._gaze = pairs, person, gallery, gaze
        device = gallery["embedding"].device
        self.judged = Judged(pairs, person, gallery["embedding"])
        #: By the further judges, by name.
        self.judges = {name: Judged(pairs, person, gallery[embedding_of(name)]) for name in judges}
        self.to_identity = IdentitySimilarity().to(device)
        self.pose_error, self.landmark_error = PoseError().to(device), LandmarkError().to(device)
        self.expression_error = ExpressionError().to(device)
        self.gaze_error, self.jitter = GazeError().to(device), TemporalJitter().to(device)
        self.self_reconstruction = PairsReconstruction(pairs.target).to(device)
        self.lpips, self.self_lpips = PairValues(("lpips",)).to(device), PairsPerceptual(pairs.target).to(device)
        self.distance = FeatureDistance(gallery["features"].shape[1]).to(device) if "features" in gallery else None
        self.registered = PairValues(tuple(PREFIX + figure.name for figure in registered())).to(device)
        self._places: list[Tensor] = []
        #: Pairs measured here without a usable result; for callers that measure a share of all pairs.
        self.unusable = 0

    def add(self, results: Predictions) -> None:
        """Add some pairs.

        Args:
            results: Predictions for the results, and ``place`` int64 [B], the place of each pair in the protocol.
                Where they were made: ``l1``, ``psnr``, ``ssim``, ``self_lpips`` [B] of the self-swaps, ``lpips`` [B] to
                the targets, ``poses`` [B, 3, 3] and ``embeddings`` [B, 3, E] of three frames, and the registered
                figures [B].
        """
        place = results["place"].cpu().numpy()
        self._places.append(results["place"])
        target_rows, source_rows = self._pairs.target[place], self._pairs.source[place]
        targets, sources = (np.searchsorted(self._pairs.gallery, rows) for rows in (target_rows, source_rows))
        gallery = self._gallery
        self.judged.add(results["place"], results["embedding"], usable=True)
        for name, judged in self.judges.items():
            judged.add(results["place"], results[embedding_of(name)])
        self.pose_error.update(results["pose"], gallery["pose"][targets])
        if "identity" in results:
            self.to_identity.update(results["identity"], gallery["identity"][sources])
        if "points" in results:
            self.landmark_error.update(results["points"], gallery["points"][targets])
            if results["points"].shape[1] == POINTS:
                self.expression_error.update(results["points"], gallery["points"][targets])
        if "gaze" in results and self._gaze is not None:
            self.gaze_error.update(results["gaze"], self._gaze[target_rows])
        for metric in (self.self_reconstruction, self.self_lpips, self.lpips, self.registered):
            if metric.columns and metric.columns[0] in results:  # precomputed swaps have no self-swaps
                metric.update(**{name: results[name] for name in metric.columns})
        if "poses" in results:
            self.jitter.update(results["poses"], results["embeddings"])
        if self.distance is not None:
            made, real = results["features"], gallery["features"][targets]
            known = made.isfinite().all(dim=1) & real.isfinite().all(dim=1)  # one NaN would be in every sum
            self.distance.update(made[known], real=False)
            self.distance.update(real[known], real=True)

    def _always(self) -> dict[str, Kept]:
        """The figures that are reported whether or not any pair has a value."""
        by_judge = self.judged.kept()
        if not self.judges:
            by_judge.pop("identity_share")
        return {
            **by_judge,
            **{
                f"{column}_error_deg": Kept(self.pose_error, partial(self.pose_error.values, column))
                for column in ("pose", "yaw", "pitch", "roll", "geodesic")
            },
        }

    def _optional(self) -> dict[str, Kept]:
        """The figures per pair that are left out if no pair has a value."""
        return {
            "identity_loss": Kept(self.to_identity, lambda: 1 - self.to_identity.values("cosine")),
            "lpips": Kept(self.lpips, partial(self.lpips.values, "lpips")),
            "landmark_error": Kept(self.landmark_error, partial(self.landmark_error.values, "error")),
            "expression_error": Kept(self.expression_error, partial(self.expression_error.values, "expression")),
            "gaze_error_deg": Kept(self.gaze_error, partial(self.gaze_error.values, "gaze")),
            **{
                name: Kept(self.jitter, partial(self.jitter.values, column))
                for name, column in {"jitter_pose_deg": "pose", "jitter_identity": "identity"}.items()
            },
            **{
                column.removeprefix(PREFIX): Kept(self.registered, partial(self.registered.values, column))
                for column in self.registered.columns
            },
        }

    def _per_target(self, chosen: np.ndarray | None = None) -> dict[str, Kept]:
        """The figures of targets swapped with themselves, one value per distinct target."""
        metric = self.self_reconstruction
        perceptual = partial(self.self_lpips.in_pairs, "self_lpips", chosen)
        return {
            **{f"self_reconstruction_{c}": Kept(metric, partial(metric.in_pairs, c, chosen)) for c in metric.kept},
            "self_reconstruction_lpips": Kept(self.self_lpips, perceptual),
        }

    def samples(self, chosen: np.ndarray | None = None) -> dict[str, Tensor]:
        """Every figure's value per pair.

        Args:
            chosen: Bool [n], the pairs among which each target's self-reconstruction counts once; None for all.

        Returns:
            Float tensors [n], NaN where a pair has no value. A figure that was not measured is left out, but never a
            required one.
        """
        per_pair = {name: self._in_order(kept.values()) for name, kept in (self._always() | self._optional()).items()}
        found = per_pair | {name: kept.values() for name, kept in self._per_target(chosen).items()}
        always = self._always()
        return {
            name: values
            for name, values in found.items()
            if name in always or FIGURES[name].required or not bool(values.isnan().all())
        }

    def _in_order(self, values: Tensor) -> Tensor:
        whole = values.new_full((len(self._pairs.target),), torch.nan)
        if len(values):
            whole[torch.cat(self._places)] = values
        return whole

    def judge_samples(self) -> dict[str, dict[str, Tensor]]:
        """Each further judge's figures per pair, float [n], with its agreement with the first judge."""
        first, found = self.judged.samples(), {}
        for name, judged in self.judges.items():
            values = judged.samples()
            found[name] = values | {"judges_agree": agreement(first["id_retrieval"], values["id_retrieval"])}
        return found

    def figures(self, chosen: np.ndarray | None = None) -> dict[str, Estimate]:
        """Every figure with its interval.

        Args:
            chosen: Bool [n], the pairs to use; None for all. FID is only computed over all pairs and has no interval.
        """
        mask = self._mask(chosen)
        found = self._estimates(self.samples(mask), mask)
        if self.distance is not None and chosen is None:
            results = len(self._pairs.target) - self.missed_results
            found["fid"] = Estimate(float(self.distance.compute()), float("nan"), float("nan"), results)
        return found

    def judge_figures(self, chosen: np.ndarray | None = None) -> dict[str, dict[str, Estimate]]:
        """Each further judge's figures with their intervals. chosen: as for `figures`."""
        mask, found = self._mask(chosen), {}
        ours = self.judged.samples()["id_retrieval"][torch.from_numpy(mask)]
        for name, samples in self.judge_samples().items():
            found[name] = self._estimates(samples, mask)
            theirs = samples["id_retrieval"][torch.from_numpy(mask)]
            counted = found[name]["judges_agree"].n
            found[name]["judges_kappa"] = Estimate(kappa(ours, theirs), float("nan"), float("nan"), counted)
        return found

    def _mask(self, chosen: np.ndarray | None) -> np.ndarray:
        return np.ones(len(self._pairs.target), dtype=bool) if chosen is None else chosen

    def _estimates(self, samples: Mapping[str, Tensor], mask: np.ndarray) -> dict[str, Estimate]:
        """Figures from their values per pair, over the pairs of a mask, bool [n]."""
        person, found = self._person.cpu().numpy(), {}
        sources, targets = person[self._pairs.source[mask]], person[self._pairs.target[mask]]
        for name, values in samples.items():
            sample = values.cpu().numpy()[mask]
            in_source_role = targets if FIGURES[name].per_target else sources  # a target swapped with itself
            n = int((~np.isnan(sample)).sum())
            found[name] = Estimate(*figure_interval(name, sample, in_source_role, targets), n)
        return found

    def means(self, distributed: bool = True) -> dict[str, float]:
        """The means of the validated figures, over all ranks together or of this process alone."""
        kept = self._always() | self._per_target() | self._optional()
        kept = {name: kept[name] for name, figure in FIGURES.items() if figure.validated}
        with ExitStack() as stack:
            for metric in {id(one.metric): one.metric for one in kept.values()}.values():  # == builds a new metric
                stack.enter_context(metric.sync_context(should_sync=distributed))
            return {name: float(one.values().double().nanmean()) for name, one in kept.items()}

    @property
    def missed_results(self) -> int:
        """The number of pairs without a usable result.

        The result is missing, not finite or cannot be embedded by the judge, or the judge cannot embed the target or
        the source.
        """
        return len(self._pairs.target) - sum(len(places) for places in self._places)

    @property
    def missed_poses(self) -> int:
        """The number of results without a pose error, because no face was found on them or on their targets."""
        return int(self.pose_error.values("pose").isnan().sum())

    @property
    def chance(self) -> float:
        """The top-1 retrieval of a gallery image drawn at random."""
        return self.judged.chance
