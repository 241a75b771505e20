"""What is installed: every extra by one name, which the Makefile, conda's file and .ci/run share."""

import configparser
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def extras() -> dict[str, list[str]]:
    """The lines of each extra in setup.cfg, without comments."""
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg")
    return {name: [line for line in text.splitlines() if line and not line.startswith("#")]
            for name, text in parser["options.extras_require"].items()}


def test_all_is_every_extra():
    found = extras()
    (line,) = found.pop("all")
    name, inside = re.fullmatch(r"(\w+)\[(.*)\]", line).groups()  # type: ignore[union-attr]
    assert name == "simswap"
    assert sorted(inside.split(",")) == sorted(found)


def test_who_installs_takes_all():
    for file in ("Makefile", "environment.yml"):
        assert re.findall(r"-e '?\.\[(.*?)\]", (REPOSITORY / file).read_text()) == ["all"], file
    assert "--all-there" in (REPOSITORY / ".ci" / "run").read_text()
