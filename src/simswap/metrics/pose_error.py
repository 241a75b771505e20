"""Pose error: how far a result's head pose is from its target's."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric

AXES = ("yaw", "pitch", "roll")


class PoseError(PerSampleMetric):
    """The mean L2 distance in degrees between the (yaw, pitch, roll) of result and target, and its parts.

    This is the posture measure of SimSwap's Table 1 (Chen et al. 2020). Beside it: the absolute difference of each
    angle, and the geodesic distance, the angle of the rotation between the two heads, which the L2 distance overstates
    far from frontal. Differences are taken the short way around (359° and 1° differ by 2°). A sample with a NaN on
    either side (no face found) counts as missed and is left out of the means.
    ``values("pose" | "geodesic" | "yaw" | "pitch" | "roll")`` returns every sample, NaN where missed.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("pose", "geodesic", *AXES))

    def update(self, results: Tensor, targets: Tensor) -> None:
        """Add B pairs of poses, each float [B, 3] (yaw, pitch, roll) in degrees. Raises ValueError for other shapes."""
        if results.ndim != 2 or results.shape[1] != 3 or results.shape != targets.shape:
            raise ValueError(f"two [B, 3] needed, got {list(results.shape)} and {list(targets.shape)}")
        difference = results.double() - targets.double()
        difference = (torch.remainder(difference + 180.0, 360.0) - 180.0).abs()  # [B, 3], 0..180
        missed = ~torch.isfinite(difference).all(dim=1)
        difference[missed] = torch.nan  # one missing axis makes the whole pose unknown
        turned = geodesic(results.double(), targets.double()).masked_fill(missed, torch.nan)
        columns = {axis: difference[:, k] for k, axis in enumerate(AXES)}
        self.append(pose=difference.norm(dim=1), geodesic=turned, **columns)

    def compute(self) -> dict[str, Tensor]:
        """The means in degrees and two counts, all float64 [].

        Returns:
            ``pose_error_deg``, ``geodesic_error_deg``, ``yaw_error_deg``, ``pitch_error_deg`` and ``roll_error_deg``
            (NaN if every sample was missed), and the counts ``missed`` and ``samples``.
        """
        pose = self.values("pose")
        return {
            **{f"{column}_error_deg": self.mean(column) for column in self.columns},
            "missed": pose.isnan().sum().double(),
            "samples": torch.tensor(float(len(pose)), dtype=torch.float64, device=pose.device),
        }


def rotations(poses: Tensor) -> Tensor:
    """Rotation matrices [B, 3, 3] of poses [B, 3] (yaw, pitch, roll) in degrees: pitch is applied first, roll last."""
    (cy, cp, cr), (sy, sp, sr) = (f(torch.deg2rad(poses)).unbind(dim=1) for f in (torch.cos, torch.sin))
    rows = [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp,
            sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp,
            -sy, cy * sp, cy * cp]  # fmt: skip
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def geodesic(first: Tensor, second: Tensor) -> Tensor:
    """The angle of the rotation from one pose to the other.

    |R1 - R2|_F = 2 sqrt(2) sin(angle / 2) (Huynh 2009, section 3.4). Unlike the arccos of the trace, this is exact
    near 0.

    Args:
        first: Poses [B, 3] in degrees.
        second: Poses [B, 3] in degrees.

    Returns:
        Angles [B] in degrees, 0..180.
    """
    chord = (rotations(first) - rotations(second)).flatten(1).norm(dim=1)
    return torch.rad2deg(2 * torch.asin((chord / 8**0.5).clamp(max=1)))
