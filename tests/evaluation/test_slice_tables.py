"""The tables of measured slices, letter by letter."""

import copy

from tests.evaluation.test_report import PROTOCOL, RESULTS, TABLE

from simswap.evaluation.report import table_text
from simswap.evaluation.slice_tables import slice_text

FACTS = {
    "target_yaw": {
        "label": "target yaw", "definition": "absolute yaw of the target by the pose estimator, degrees",
        "edges": [15, 30], "rule": "fixed edges", "unknown": 3,
        "slices": {
            "target yaw 0 to 15": {"low": None, "high": 15, "pairs": 800},
            "target yaw 15 to 30": {"low": 15, "high": 30, "pairs": 190},
            "target yaw from 30": {"low": 30, "high": None, "pairs": 7},
        },
        "left_out": ["target yaw from 30"],
    },
}  # fmt: skip

EXPECTED = """\
slices     by the absolute yaw of the target by the pose estimator, degrees;
           fixed edges (15 and 30); not known for 3 pairs; left out, because
           they have few pairs: target yaw from 30 (7)

trained by target yaw
                 identity      cosine      cosine  pose error   self-recon-
slice         retrieval %   to source   to target     degrees  struction L1
---------------------------------------------------------------------------
0 to 15              58.3        0.41        0.20         4.0         0.031
 (800 pairs)   55.0..61.0  0.39..0.43  0.18..0.22    3.5..4.5  0.030..0.032
15 to 30             58.3        0.41        0.20         4.0         0.031
 (190 pairs)   55.0..61.0  0.39..0.43  0.18..0.22    3.5..4.5  0.030..0.032"""


def test_a_table_for_each_swapper_and_quantity():
    protocol, results = {**PROTOCOL, "slices": FACTS}, copy.deepcopy(RESULTS)
    for result in results.values():
        result["slices"] = {
            name: {**{key: value for key, value in result.items() if key != "kind"}, "pairs": pairs}
            for name, pairs in (("target yaw 0 to 15", 800), ("target yaw 15 to 30", 190))
        }
    assert slice_text(protocol, results) == EXPECTED
    assert table_text(protocol, results) == TABLE  # slices by attributes stand there, these do not


def test_without_slices_there_is_no_text():
    assert slice_text(PROTOCOL, RESULTS) == slice_text({**PROTOCOL, "slices": {}}, RESULTS) == ""
