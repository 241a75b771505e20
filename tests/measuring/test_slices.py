"""Slices of pairs by measured quantities, counted by hand."""

import numpy as np
import pytest
import torch

from simswap.errors import InputError
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.slices import QUANTITIES, measured_slices

NAN = float("nan")
# Rows 10 to 15 of the data are the gallery.
GALLERY = {
    "pose": torch.tensor([[-40.0, 9, 9], [0, 9, 9], [14.9, 9, 9], [15, 9, 9], [NAN, NAN, NAN], [29, 9, 9]]),
    "embedding": torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8], [-1, 0], [0.8, -0.6], [0, -1]]),
    "sharpness": torch.tensor([3.0, 1, 2, 6, 5, NAN]),
}
PAIRS = ProtocolPairs(np.arange(10, 16), np.array([10, 11, 12, 13, 14, 15]), np.array([11, 12, 10, 15, 10, 13]))


def cut(*by, edges=(15, 30), min_pairs=1):
    return measured_slices(GALLERY, PAIRS, by, edges, min_pairs)


def test_angles_are_cut_at_fixed_edges():
    masks, facts = cut("target_yaw", "yaw_difference")
    assert {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()} == {
        "target yaw 0 to 15": [1, 2],  # 0 and 14.9
        "target yaw 15 to 30": [3, 5],  # 15 and 29
        "target yaw from 30": [0],  # -40
        "yaw difference 0 to 15": [1, 3, 5],  # 14.9, 14 and 14
        "yaw difference from 30": [0, 2],  # 40 and 54.9
    }
    found = facts["target_yaw"]
    assert (found["edges"], found["unknown"], found["rule"]) == ([15, 30], 1, "fixed edges")
    assert found["slices"]["target yaw from 30"] == {"low": 30, "high": None, "pairs": 1}
    assert facts["yaw_difference"]["left_out"] == ["yaw difference 15 to 30"]


def test_a_difference_of_angles_is_the_short_way_around():
    turned = GALLERY | {"pose": torch.tensor([[170.0, 0, 0], [-170, 0, 0]] * 3)}
    masks, _ = measured_slices(turned, PAIRS, ["yaw_difference"], (15, 30), 1)
    assert np.flatnonzero(masks["yaw difference 15 to 30"]).tolist() == [0, 1]  # 20 degrees; the others have one yaw


def test_other_quantities_are_cut_into_thirds():
    masks, facts = cut("cosine", "target_sharpness", "source_sharpness")
    # Cosines 0, 0.8, 0.6, 0, 0.8, 0: thirds at 0 and 0.667; nobody is below 0.
    assert facts["cosine"]["edges"] == pytest.approx([0, 2 / 3])
    assert np.flatnonzero(masks["cosine middle"]).tolist() == [0, 2, 3, 5]
    assert np.flatnonzero(masks["cosine high"]).tolist() == [1, 4]
    assert facts["cosine"]["left_out"] == ["cosine low"]
    # Targets' sharpness 3, 1, 2, 6, 5, unknown: thirds at 2.33 and 4.33.
    assert np.flatnonzero(masks["target sharpness low"]).tolist() == [1, 2]
    assert np.flatnonzero(masks["target sharpness middle"]).tolist() == [0]
    assert np.flatnonzero(masks["target sharpness high"]).tolist() == [3, 4]
    assert facts["target_sharpness"]["edges"] == pytest.approx([2 + 1 / 3, 4 + 1 / 3])
    assert (facts["target_sharpness"]["unknown"], facts["source_sharpness"]["unknown"]) == (1, 1)


def test_few_pairs_are_left_out_and_counted():
    masks, facts = cut("target_yaw", min_pairs=2)
    assert set(masks) == {"target yaw 0 to 15", "target yaw 15 to 30"}
    assert facts["target_yaw"]["left_out"] == ["target yaw from 30"]
    assert facts["target_yaw"]["slices"]["target yaw from 30"]["pairs"] == 1


def test_what_nobody_knows_has_no_slices():
    blind = GALLERY | {"sharpness": torch.full((6,), NAN)}
    masks, facts = measured_slices(blind, PAIRS, ["target_sharpness"], (15, 30), 1)
    assert (masks, facts["target_sharpness"]["slices"], facts["target_sharpness"]["unknown"]) == ({}, {}, 6)
    assert measured_slices(GALLERY, PAIRS, [], (15, 30), 1) == ({}, {})


def test_bad_settings_are_named():
    with pytest.raises(InputError, match=r"slices\.by: unknown quantity target_yow; did you mean target_yaw\?"):
        cut("target_yow")
    for edges in ([30, 15], [15, 15], [0, 15]):
        with pytest.raises(InputError, match="ascend from above 0"):
            cut(*QUANTITIES, edges=edges)
