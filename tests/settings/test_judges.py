"""Further judges on the command line, and in the configuration."""

import pytest

from simswap.errors import InputError
from simswap.settings.judges import as_choice, check_judges
from simswap.settings.paths import read_arguments


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("judges.second=builtin", "+judge@judges.second=builtin"),
        ("+judges.second=builtin", "+judge@judges.second=builtin"),
        ("judges.second=of_training", "++judges.second=of_training"),
        ("judges.second=none", "++judges.second=null"),
        ("judges.second=null", "++judges.second=null"),
        ("judges.second.path=a.onnx", "judges.second.path=a.onnx"),
        ("judge=builtin", "judge=builtin"),
        ("judge.path=[a].onnx", "judge.path=[a].onnx"),
    ],
)
def test_a_further_judge_is_a_member_of_the_group(typed, read):
    assert as_choice(typed) == read


def test_a_list_of_judges_and_odd_names_are_refused():
    with pytest.raises(InputError, match=r"judge takes one network; further judges .* judges.second=builtin"):
        as_choice("judge=[onnx,dlib]")
    for name in ("2nd", "a-b", "_x", ""):
        with pytest.raises(InputError, match="use letters, digits and underscores"):
            as_choice(f"judges.{name}=builtin")
    with pytest.raises(InputError, match=r"judges\.second names no network"):
        check_judges({"second": "builtin"})
    with pytest.raises(InputError, match=r"judges\.second names no network"):
        check_judges({"second": {"path": "a.onnx"}})
    check_judges({"a": None, "b": "of_training", "c": {"_target_": "simswap.models.builtin.judge"}})


def test_a_further_judges_path_is_taken_literally():
    assert read_arguments(["judges.second.path=a [1],b.onnx"]) == ["judges.second.path='a [1],b.onnx'"]
