"""The pairs that W&B's table shows."""

import numpy as np

from simswap.evaluation.pairs_table import chosen_pairs
from simswap.evaluation.worst import Values

NAN = float("nan")


def values(pose, share):
    return Values(np.array(pose), np.array(share), np.zeros(len(pose)))


def test_the_sample_depends_on_the_number_of_pairs_alone():
    first = chosen_pairs(values(range(9), [0.5] * 9), 3, 0)
    other = chosen_pairs(values(range(9, 0, -1), [0.1] * 9), 3, 0)
    assert first == other == {0: "sample", 4: "sample", 8: "sample"}
    assert list(chosen_pairs(values(range(4), [0.5] * 4), 64, 0)) == [0, 1, 2, 3]


def test_the_worst_are_added_with_their_reasons():
    found = chosen_pairs(values([1.0, 9.0, 8.0, NAN, 2.0], [0.9, 0.1, 0.8, 0.2, NAN]), 2, 2)
    assert found == {
        0: "sample",
        1: "worst by identity, worst by pose",  # 0.1 of the way to the source, and 9 degrees
        2: "worst by pose",
        3: "worst by identity",  # its pose is unknown
        4: "sample",
    }
    assert chosen_pairs(values([1.0, 9.0], [0.9, 0.1]), 0, 1) == {1: "worst by identity, worst by pose"}
    assert chosen_pairs(values([1.0], [0.5]), 0, 0) == {}
    assert chosen_pairs(values([], []), 64, 32) == {}
