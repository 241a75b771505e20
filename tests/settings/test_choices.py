"""Choices of a group's member that Hydra would stack, or answer with a stack trace."""

import pytest

from simswap.errors import InputError
from simswap.settings.choices import as_member, groups


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("loss_recognition=null", "loss_recognition=none"),
        ("judge=null", "judge=none"),
        ("++fid=null", "++fid=none"),
        ("pose=pnp", "pose=pnp"),
        ("pose=[pnp]", "pose=pnp"),
        ("experiment=[debug]", "experiment=[debug]"),
        ("pose=pnp,builtin", "pose=pnp,builtin"),
        ("loss_recognition=[dlib,conditioning]", "loss_recognition=[dlib,conditioning]"),
        ("loss_recognition={}", "loss_recognition={}"),
        ("experiment=[lfw,debug]", "experiment=[lfw,debug]"),
        ("seed=null", "seed=null"),
        ("judge.path=null", "judge.path=null"),
        ("pose=[", "pose=["),
        ("-m", "-m"),
    ],
)
def test_a_choice_is_read(typed, read):
    assert as_member(typed) == read


ONE_EACH = ("data", "detector", "discriminator", "fid", "gaze", "generator", "judge", "lpips", "objective", "optimizer",
            "origin", "pose", "profiler", "protocol", "recognition", "strategy", "trainer")  # fmt: skip


@pytest.mark.parametrize("group", ONE_EACH)
def test_a_group_of_one_object_takes_no_list(group):
    first = groups()[group][0]
    with pytest.raises(
        InputError, match=rf"^{group}=\[{first},x\]: {group} takes one choice, not a list; choose one of"
    ):
        as_member(f"{group}=[{first},x]")
    with pytest.raises(InputError, match="takes one choice"):
        as_member(f"{group}={first},[{first},x]")  # of a sweep


@pytest.mark.parametrize("given", ["[dlib,none]", "[none,dlib]", "[dlib,none],[dlib]"])
def test_none_stands_alone(given):
    with pytest.raises(
        InputError, match=r"none stands alone; choose loss_recognition=none or loss_recognition=\[dlib\]"
    ):
        as_member(f"loss_recognition={given}")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("pose=null", r"^pose=null: there is no such choice\. Valid here: builtin, dlib68"),
        ("generator=3", r"^generator=3: there is no such choice"),
        ("judge=true", r"^judge=True: there is no such choice"),
        ("judge=null,onnx", r"^judge=null,onnx: in a list of choices, write none for null"),
    ],
)
def test_what_is_no_name_is_refused(typed, line):
    with pytest.raises(InputError, match=line):
        as_member(typed)
