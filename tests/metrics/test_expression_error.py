"""Expression error: nothing for a turned, moved, larger head; exact for a changed mouth; which figures appear."""

import numpy as np
import pytest
import torch

from simswap.faces.mean_shape import mean_head
from simswap.metrics.expression_error import ExpressionError, expression
from simswap.models.pose import rotation


def _seen(head, pose=(0, 0, 0), scale=40.0, shift=(56.0, 60.0)):
    """Points [1, 68, 2] of a head under a pose, by parallel projection."""
    return torch.from_numpy((head @ rotation(*pose).T)[:, :2] * scale + shift)[None]


def _error(results, targets):
    metric = ExpressionError()
    metric.update(results, targets)
    return metric.values("expression").tolist()


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 40), (-25, 15, -10)])
def test_pose_size_and_place_do_not_count(pose):
    head = mean_head().copy()
    head[48:68, 1] *= 1.2  # any expression
    target = _seen(head)
    other = _seen(head, pose, scale=63.0, shift=(10.0, 200.0))
    # An expression is not turned to the front: in a turned head it is seen a little narrower or lower.
    assert _error(other, target)[0] < (0.02 if pose[0] or pose[1] else 1e-6)
    assert _error(_seen(mean_head(), pose), _seen(mean_head()))[0] < 1e-6


def test_an_opened_mouth_counts_by_hand():
    head = mean_head().copy()
    opened = head.copy()
    opened[55:60, 1] += 0.4  # five points of the lower lip, in eye distances
    # Around the mouth's center: five of twenty points move by 0.4 - 0.1, fifteen by -0.1; of 32 points in all.
    expected = (5 * 0.3 + 15 * 0.1) / 32
    assert _error(_seen(opened), _seen(head))[0] == pytest.approx(expected, abs=1e-6)
    # The whole mouth lower, as another person's, is no expression.
    lower = head.copy()
    lower[48:68, 1] += 0.1
    assert _error(_seen(lower), _seen(head))[0] == pytest.approx(0, abs=1e-6)
    # Brows and jaw do not count.
    raised = head.copy()
    raised[:27, 1] -= 0.2
    assert _error(_seen(raised), _seen(head))[0] == pytest.approx(0, abs=1e-6)


def test_a_face_without_points_has_no_value():
    points = torch.cat([_seen(mean_head()), torch.full((1, 68, 2), torch.nan), torch.full((1, 68, 2), 5.0)]).float()
    metric = ExpressionError()
    metric.update(points, _seen(mean_head()).expand(3, 68, 2).float())
    values = metric.values("expression")
    assert values.isnan().tolist() == [False, True, True]
    assert float(metric.compute()) == pytest.approx(0, abs=1e-6)
    assert expression(points).shape == (3, 32, 2)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"two \[B, 68, 2\] needed"):
        ExpressionError().update(torch.zeros(1, 68, 2), torch.zeros(2, 68, 2))
    with pytest.raises(ValueError, match=r"landmarks \[B, 68, 2\] needed, got \[2, 5, 2\]"):
        ExpressionError().update(torch.zeros(2, 5, 2), torch.zeros(2, 5, 2))
    assert np.isnan(float(ExpressionError().compute()))
