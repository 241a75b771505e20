"""How far a swap's head pose is from its target's."""

import torch
from torch import Tensor

from simswap.metrics.per_sample import PerSampleMetric

AXES = ("yaw", "pitch", "roll")


class PoseError(PerSampleMetric):
    """Mean L2 distance in degrees between the (yaw, pitch, roll) of result and target, each axis by itself, and the
    angle of the turn between the two heads (geodesic: what the L2 of angles overstates far from a frontal pose).

    The posture measure of SimSwap's Table 1 (Chen et al. 2020). Each axis' difference is taken the short way round
    (359° and 1° are 2° apart). A sample whose pose is NaN on either side (no face found) counts as missed and stays
    out of the means. ``values("pose" | "geodesic" | "yaw" | "pitch" | "roll")`` give every sample, NaN where missed.
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(("pose", "geodesic", *AXES))

    def update(self, results: Tensor, targets: Tensor) -> None:
        """Add B pairs of poses, float [B, 3] (yaw, pitch, roll) in degrees. Raises ValueError for other shapes."""
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
        """``pose_error_deg``, ``geodesic_error_deg``, ``yaw_error_deg``, ``pitch_error_deg``, ``roll_error_deg``: means
        in degrees (NaN when every sample was missed); ``missed`` and ``samples``: counts. All float64 []."""
        pose = self.values("pose")
        return {
            **{f"{column}_error_deg": self.mean(column) for column in self.columns},
            "missed": pose.isnan().sum().double(),
            "samples": torch.tensor(float(len(pose)), dtype=torch.float64, device=pose.device),
        }


def rotations(poses: Tensor) -> Tensor:
    """Rotation matrices [B, 3, 3] of poses [B, 3] (yaw, pitch, roll) in degrees: pitch first, then yaw, then roll."""
    (cy, cp, cr), (sy, sp, sr) = (f(torch.deg2rad(poses)).unbind(dim=1) for f in (torch.cos, torch.sin))
    rows = [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp,
            sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp,
            -sy, cy * sp, cy * cp]  # fmt: skip
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def geodesic(first: Tensor, second: Tensor) -> Tensor:
    """[B]: the angle in degrees, 0..180, of the turn that takes one pose to the other, both [B, 3] in degrees.

    |R1 - R2|_F = 2 sqrt(2) sin(angle / 2) (Huynh 2009, section 3.4), which unlike the trace's arccos is exact near 0.
    """
    chord = (rotations(first) - rotations(second)).flatten(1).norm(dim=1)
    return torch.rad2deg(2 * torch.asin((chord / 8**0.5).clamp(max=1)))
