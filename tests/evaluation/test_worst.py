"""The worst pairs: their order, their values, and the picture's cells."""

import numpy as np
import pytest
import torch
from PIL import Image

from simswap.evaluation.pairs_file import PairNames
from simswap.evaluation.protocol_data import ProtocolData
from simswap.evaluation.runner import Evaluated
from simswap.evaluation.worst import HEAD, PANEL, SMALLEST, Values, add_worst, worst_pairs, worst_picture, write_worst
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.swappers import Faces, Swapper
from simswap.pictures import GAP
from simswap.tracking.runs import WORST

NAN = float("nan")
NOTHING = {"id_similarity": np.array([0.2, 0.0, 0.5, 1.0, 0.0, 0.0])}
OWN = {
    "id_similarity": np.array([0.6, 0.1, 0.4, 1.0, NAN, 0.9]),
    "pose_error_deg": np.array([3.0, 9.0, NAN, 1.0, NAN, 9.0]),
}
NAMES = PairNames([f"t{k}" for k in range(6)], [f"s{k}" for k in range(6)], ["T"] * 6, ["S"] * 6)


def test_the_share_is_the_way_from_target_to_source():
    values = Values.of(OWN, NOTHING)
    assert values.share == pytest.approx([0.5, 0.1, -0.2, NAN, NAN, 0.9], nan_ok=True)  # pair 3 has no way to go


def test_the_worst_come_first_and_what_is_missing_is_named():
    found = worst_pairs(Values.of(OWN, NOTHING), NAMES, 3)
    assert [entry["pair"] for entry in found["pose_error_deg"]] == [1, 5, 0]  # ties in the order of the pairs
    assert [entry["pair"] for entry in found["identity_share"]] == [2, 1, 0]
    entry = found["identity_share"][1]
    assert entry == {"pair": 1, "target": "t1", "source": "s1", "pose_error_deg": 9.0, "id_similarity": 0.1,
                     "identity_share": pytest.approx(0.1)}  # fmt: skip
    assert found["no_result"] == [{"pair": 4, "target": "t4", "source": "s4"}]
    assert found["no_pose"] == [{"pair": 2, "target": "t2", "source": "s2"}]
    assert [len(entries) for entries in worst_pairs(Values.of(OWN, NOTHING), NAMES, 99).values()] == [4, 4, 1, 1]


def test_controls_have_none_and_zero_means_none():
    def evaluated():
        kinds = {"trained": "trained", "do_nothing": "control"}
        return Evaluated({name: {"kind": kind} for name, kind in kinds.items()},
                         {"trained": OWN, "do_nothing": NOTHING}, 0.5)  # fmt: skip

    one, none = evaluated(), evaluated()
    assert set(add_worst(one, NAMES, 2)) == {"trained"}
    assert "worst" in one.results["trained"]
    assert "worst" not in one.results["do_nothing"]
    assert (add_worst(none, NAMES, 0), "worst" in none.results["trained"]) == ({}, False)


class Flat:
    """Faces of one gray each: row k has the level k / 10."""

    template, size, person = "arcface", 32, np.arange(6)

    def load(self, rows, device, landmarks=False, offset=0):
        images = torch.tensor(rows / 10, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 32, 32)
        return Faces(images, torch.zeros(len(rows), dtype=torch.int64))


def test_the_picture_shows_source_target_and_result(tmp_path):
    pairs = ProtocolPairs(np.arange(6), np.array([0, 1, 2, 3, 4, 5]), np.array([5, 4, 3, 2, 1, 0]))
    data = ProtocolData(Flat(), pairs, NAMES, {}, 2)
    swapper = Swapper("trained", "trained", lambda t, s: Faces((t.images + s.images) / 2 + 0.3, t.view))
    picture = worst_picture(data, swapper, Values.of(OWN, NOTHING), 2, torch.device("cpu"))
    step = SMALLEST + GAP  # crops of 32 px are enlarged
    block = 3 * step + PANEL
    assert picture.shape == (HEAD + 2 * step, 2 * block + 4 * GAP, 3)

    def cell(column, row, c):
        left = column * (block + 4 * GAP) + c * step
        part = picture[HEAD + row * step :][:SMALLEST, left : left + SMALLEST]
        assert (part == part[0, 0]).all()
        return int(part[0, 0, 0])

    levels = [[[cell(column, row, c) for c in range(3)] for row in range(2)] for column in range(2)]
    gray = [round(255 * level) for level in (0, 0.1, 0.2, 0.3, 0.4, 0.5)]
    result = round(255 * 0.55)
    # By pose pairs 1 and 5, by identity pairs 2 and 1: source, target, result.
    assert levels[0] == [[gray[4], gray[1], result], [gray[0], gray[5], result]]
    assert levels[1] == [[gray[3], gray[2], result], [gray[4], gray[1], result]]
    panel = picture[HEAD:, 3 * step : block]
    assert (panel < 100).any()  # numbers stand beside them

    files = write_worst(
        tmp_path / "evaluation", data, [swapper], {"trained": Values.of(OWN, NOTHING)}, {"trained": "ab"}, 2, "cpu"
    )
    assert files == {"trained": tmp_path / f"evaluation{WORST}"}
    with Image.open(tmp_path / f"evaluation{WORST}") as written:
        assert written.text["Description"] == "synthetic face swap"
        assert written.text["Checkpoint"] == "sha256:ab"


def test_without_any_value_an_earlier_picture_goes(tmp_path):
    (tmp_path / f"evaluation{WORST}").write_bytes(b"earlier")
    blind = {"id_similarity": np.full(6, NAN), "pose_error_deg": np.full(6, NAN)}
    pairs = ProtocolPairs(np.arange(6), np.arange(6), np.arange(6)[::-1])
    swapper = Swapper("trained", "trained", lambda t, s: t)
    data = ProtocolData(Flat(), pairs, NAMES, {}, 2)
    assert (
        write_worst(tmp_path / "evaluation", data, [swapper], {"trained": Values.of(blind, NOTHING)}, {}, 2, "cpu")
        == {}
    )
    assert not (tmp_path / f"evaluation{WORST}").exists()
