"""What is installed: every extra by one name, which the Makefile, conda's file and .ci/run share; tested releases."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[1]


def ranges() -> dict[str, SpecifierSet]:
    """What setup.cfg allows of each dependency, of every extra too."""
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg")
    texts = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    lines = [line for text in texts for line in text.splitlines() if line and not line.startswith("#")]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in found if each.name != "simswap"}


def pins(file: str) -> dict[str, str]:
    """The one release of each in a file of constraints."""
    lines = [line for line in (REPOSITORY / file).read_text().splitlines() if line and not line.startswith("#")]
    found = [Requirement(line) for line in lines]
    assert all(re.fullmatch(r"==[^*]+", str(each.specifier)) for each in found)
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in found}


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-lowest.txt"])
def test_every_dependency_has_a_tested_release_within_its_range(file):
    allowed, pinned = ranges(), pins(file)
    # opencv-python is insightface's; it brings the same cv2 as ours, so it is pinned beside it
    assert set(pinned) == {*allowed, "opencv-python"}
    assert {name for name, range_ in allowed.items() if pinned[name] not in range_} == set()


def test_the_lowest_are_the_ranges_lower_ends():
    pinned = pins("constraints-lowest.txt")
    for name, range_ in ranges().items():
        (low,) = [Version(each.version) for each in range_ if each.operator in (">=", "==")]
        lowest = Version(pinned[name])
        assert low <= lowest, name
        assert lowest.release[: len(low.release)] == low.release, (name, str(low), str(lowest))


def extras() -> dict[str, list[str]]:
    """The lines of each extra in setup.cfg, without comments."""
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg")
    return {
        name: [line for line in text.splitlines() if line and not line.startswith("#")]
        for name, text in parser["options.extras_require"].items()
    }


def test_all_is_every_extra():
    found = extras()
    (line,) = found.pop("all")
    name, inside = re.fullmatch(r"(\w+)\[(.*)\]", line).groups()  # type: ignore[union-attr]
    assert name == "simswap"
    assert sorted(inside.split(",")) == sorted(found)


def test_who_installs_takes_all():
    for file in ("Makefile", "environment.yml"):
        assert set(re.findall(r"-e '?\.\[(.*?)\]", (REPOSITORY / file).read_text())) == {"all"}, file
    assert "--all-there" in (REPOSITORY / ".ci" / "run").read_text()
