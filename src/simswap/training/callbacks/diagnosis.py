"""Failure diagnosis: after each validation, the typical failures of such a training, with advice."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L

from simswap.tracking.logger import alert

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Thresholds of the diagnosis; each is a share, and 0 switches its check off.

    Attributes:
        identity: identity transferred at most, as a share of the way from do_nothing's id_similarity to copy_source's;
            the result is just the target if target_similarity also reaches its limit.
        target_similarity: similarity to the target from which the result is just the target.
        pose: share of copy_source's pose error from which the result does not follow the target (one pose for all gives
            about 0.7).
        discriminator: share of the loss of discriminators that tell nothing apart (1 per scale); at or below it, they
            win outright.
    """

    identity: float = 0.1
    target_similarity: float = 0.7
    pose: float = 0.6
    discriminator: float = 0.05


@dataclass(frozen=True)
class Diagnosed:
    """A failure: a short title, and a sentence with figures and advice."""

    title: str
    text: str


def diagnose(figures: Mapping[str, float], limits: Limits, scales: int) -> list[Diagnosed]:
    """The failures that a validation's figures show; missing figures show nothing.

    Args:
        figures: by their names in the log.
        limits: thresholds.
        scales: number of discriminator scales.
    """

    def figure(name: str) -> float:
        return float(figures.get(name, math.nan))

    found = []
    mine, nothing, copied = (figure(f"val/{of}id_similarity") for of in ("", "do_nothing/", "copy_source/"))
    like_target = figure("val/target_similarity")
    way = (mine - nothing) / (copied - nothing) if copied > nothing else math.nan
    if way <= limits.identity and limits.identity and like_target >= limits.target_similarity:
        found.append(
            Diagnosed(
                "The result is just the target",
                f"identity does not move: id_similarity {mine:.2f} is {way:.0%} of the way from "
                f"do_nothing's {nothing:.2f} "
                f"to copy_source's {copied:.2f}, and the result is the target to {like_target:.2f}; try a higher "
                "objective.weights.identity (20 or 30), a higher objective.feature_matching.first_layer, a lower "
                "objective.weights.feature_matching, or look whether train/identity still falls",
            )
        )
    error, other_face = figure("val/pose_error_deg"), figure("val/copy_source/pose_error_deg")
    if limits.pose and error >= limits.pose * other_face:
        found.append(
            Diagnosed(
                "The result does not follow the target",
                f"the generator ignores the target: pose_error_deg {error:.1f} is {error / other_face:.0%} of "
                f"copy_source's {other_face:.1f} (one pose for all comes to about 70 %), self_reconstruction_l1 "
                f"{figure('val/self_reconstruction_l1'):.3f}; try a lower objective.weights.identity, a higher "
                "objective.weights.reconstruction, or a lower objective.feature_matching.first_layer",
            )
        )
    hinge, fooled = figure("train/discriminator"), figure("train/adversarial")
    if limits.discriminator and hinge <= limits.discriminator * scales:
        found.append(
            Diagnosed(
                "The discriminators win outright",
                f"they tell every result: train/discriminator {hinge:.3f} of {scales} where they tell nothing apart, "
                f"train/adversarial {fooled:.2f}; the generator learns nothing more from them; try a lower "
                "optimizer.discriminator_lr, a higher objective.weights.gradient_penalty, a smaller "
                "discriminator.width, "
                "or optimizer.discriminator_steps=1",
            )
        )
    return found


class Diagnosis(L.Callback):
    """Reports each failure once, in the log and as a W&B alert; again only if it disappeared in between.

    Args:
        start_iteration: the first iteration with reports, since a young network has every failure.
        limits: see `Limits`.
    """

    def __init__(self, start_iteration: int, limits: Limits) -> None:
        self.start_iteration, self.limits = start_iteration, limits
        self.present: list[str] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report new failures."""
        if trainer.sanity_checking or trainer.global_step < self.start_iteration:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        scales = len(pl_module.discriminators.scales)  # type: ignore[union-attr, arg-type]
        found = diagnose(figures, self.limits, scales)
        for finding in found:
            if finding.title not in self.present and trainer.is_global_zero:
                log.warning("iteration %d: %s: %s", trainer.global_step, finding.title, finding.text)
                alert(trainer.loggers, finding.title, f"iteration {trainer.global_step}: {finding.text}")
        self.present = [finding.title for finding in found]

    def state_dict(self) -> dict[str, Any]:
        """The failures that were reported."""
        return {"present": list(self.present)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the failures that were reported."""
        self.present = list(state_dict["present"])
