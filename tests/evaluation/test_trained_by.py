"""A judge that took part in training is no independent judge, whichever part it had."""

from types import SimpleNamespace

import pytest
from tests.evaluation.test_report import PROTOCOL, RESULTS

from simswap.evaluation.report import table_text
from simswap.evaluation.trained_by import loss_recognizers, part_in_training


def network(sha256, weights=None):
    return SimpleNamespace(name=sha256, sha256=sha256, weights_sha256=weights or sha256)


def checkpoint(*networks):
    entries = {one.name: {**vars(one), "weight": 1.0} for one in networks}
    return SimpleNamespace(description={"loss_recognizers": entries} if entries else {})


CENTERED, PLAIN = network("centered", "dlib"), network("plain", "dlib")


@pytest.mark.parametrize(
    ("judge", "of_loss", "expected"),
    [
        (network("a"), [], {"same_network": True}),
        (network("b"), [], {"same_network": False}),
        (network("a"), [network("b")], {"same_network": True, "in_loss": False}),
        (network("b"), [network("b")], {"same_network": True, "in_loss": True}),
        (network("c"), [network("a"), network("b")], {"same_network": False, "in_loss": False}),
        (PLAIN, [CENTERED], {"same_network": True, "in_loss": True}),
    ],
)
def test_conditioning_and_loss_both_count(judge, of_loss, expected):
    loss = loss_recognizers([checkpoint(*of_loss)])
    assert part_in_training(judge, network("a"), loss) == expected


def test_each_checkpoint_counts_and_each_network_once():
    found = loss_recognizers([checkpoint(network("a"), network("b")), checkpoint(), checkpoint(network("b"), CENTERED)])
    assert [one["sha256"] for one in found] == ["a", "b", "centered"]
    assert found[2] == {"name": "centered", "sha256": "centered", "weights_sha256": "dlib"}
    assert part_in_training(network("x"), None, found) == {"same_network": False, "in_loss": False}


@pytest.mark.parametrize(
    ("in_loss", "words"),
    [
        (True, "same network as one of the identity loss (two (sha256 22222222)"),
        (False, "same network as the conditioning's, not in its loss"),
    ],
)
def test_the_table_says_which_part(in_loss, words):
    judge = {"name": "two", "sha256": "2" * 64, "same_network": True, "in_loss": in_loss}
    recognizer = {"name": "two", "sha256": "2" * 64} if not in_loss else PROTOCOL["recognizer"]
    text = " ".join(table_text({**PROTOCOL, "judge": judge, "recognizer": recognizer}, RESULTS).split())
    assert words in text
