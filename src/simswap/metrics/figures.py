"""The figures of a comparison: how each is called, shown and read, and which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from simswap.config import nearest
from simswap.errors import InputError


class Interval(NamedTuple):
    """A mean with its 95 % interval; NaN where it cannot be told."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """One figure of evaluation.json.

    name: in evaluation.json. label, unit: in tables and on axes. factor, decimals: from the stored number to the shown
    one. better: ``higher``, ``lower``, or None where neither is.
    """

    name: str
    label: str
    unit: str = ""
    factor: float = 1.0
    decimals: int = 3
    better: str | None = None

    @property
    def heading(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def shown(self, value: float, signed: bool = False) -> str:
        """The number as it stands in a table; "–" where it is not known."""
        if value != value:
            return "–"
        text = f"{self.factor * value:{'+' if signed else ''}.{self.decimals}f}"
        return text.replace("-", "−")


KNOWN = {
    figure.name: figure
    for figure in (
        Figure("id_retrieval", "ID retrieval", "%", 100.0, 1, "higher"),
        Figure("id_retrieval_without_source", "ID retrieval, source image left out", "%", 100.0, 1, "higher"),
        Figure("id_retrieval_top5", "ID retrieval among five", "%", 100.0, 1, "higher"),
        Figure("id_similarity", "cosine to source", decimals=3, better="higher"),
        Figure("target_similarity", "cosine to target", decimals=3, better="lower"),
        Figure("identity_loss", "identity loss", decimals=3, better="lower"),
        Figure("pose_error_deg", "pose error", "°", 1.0, 2, "lower"),
        Figure("yaw_error_deg", "yaw error", "°", 1.0, 2, "lower"),
        Figure("pitch_error_deg", "pitch error", "°", 1.0, 2, "lower"),
        Figure("roll_error_deg", "roll error", "°", 1.0, 2, "lower"),
        Figure("geodesic_error_deg", "geodesic pose error", "°", 1.0, 2, "lower"),
        Figure("landmark_error", "landmark error", "eye distances", 1.0, 3, "lower"),
        Figure("gaze_error_deg", "gaze error", "°", 1.0, 1, "lower"),
        Figure("self_reconstruction_l1", "self-reconstruction L1", decimals=4, better="lower"),
        Figure("self_reconstruction_psnr", "self-reconstruction PSNR", "dB", 1.0, 1, "higher"),
        Figure("self_reconstruction_ssim", "self-reconstruction SSIM", decimals=3, better="higher"),
        Figure("fid", "FID", decimals=1, better="lower"),
        Figure("jitter_pose_deg", "pose jitter", "°", 1.0, 2, "lower"),
        Figure("jitter_identity", "identity jitter", decimals=3, better="lower"),
    )
}

HEADLINE = (
    "id_retrieval", "id_similarity", "target_similarity", "identity_loss", "pose_error_deg", "self_reconstruction_l1",
)  # fmt: skip
"""What the table shows where nothing else is asked for."""

REQUIRED = ("id_retrieval", "id_similarity", "target_similarity", "pose_error_deg", "self_reconstruction_l1")
"""Without these an evaluation is of an older version."""

VALIDATED = {
    "val/id_retrieval": "id_retrieval",
    "val/id_similarity": "id_similarity",
    "val/target_similarity": "target_similarity",
    "val/identity_loss": "identity_loss",
    "val/pose_error_deg": "pose_error_deg",
    "val/self_reconstruction": "self_reconstruction_l1",
}
"""Names of a validation's figures in metrics.csv and W&B, and what they are called here."""


def figure(name: str) -> Figure:
    """The figure of this name; one that is not in the list above is shown under its own name."""
    return KNOWN.get(name) or Figure(name, name.replace("_", " "))


def choose(asked: Iterable[str] | None, available: Iterable[str]) -> list[Figure]:
    """The figures of the table: those asked for, or the headline ones that the runs have.

    Raises InputError for one that no run has.
    """
    there = list(available)
    if asked is None:
        return [figure(name) for name in HEADLINE if name in there]
    for name in asked:
        if name not in there:
            raise InputError(f"columns: no run has the figure {name}{nearest(name, there)}")
    return [figure(name) for name in asked]
