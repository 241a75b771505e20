"""README, docs and --help texts agree with the configuration and with the files of the repository."""

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from simswap.settings.judges import as_choice
from simswap.settings.words import CONF_DIR
from simswap.training.validation import logged_names

REPOSITORY = Path(__file__).resolve().parents[1]
CONF = Path(CONF_DIR)
INDEX = REPOSITORY / "docs" / "README.md"
PAGES = [
    *(file for name in ("README.md", "CONTRIBUTING.md") if (file := REPOSITORY / name).is_file()),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
COMMANDS = sorted(file.stem for file in CONF.glob("*.yaml") if "defaults:" in file.read_text(encoding="utf-8"))
NOT_GROUPS = ("hydra", "common")
"""Folders of conf/ whose members nobody chooses by name."""
GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name not in NOT_GROUPS)
OF_THE_COMMAND_LINE = ("trusted",)
"""What a command line takes that is in no YAML file."""
MOST_LINES = 150
GENERATED = ("docs/ranges.md",)

COMMAND = re.compile(rf"(?:simswap-|python -m simswap\.)({'|'.join(COMMANDS)})\b(?!\.py)([^|;&]*)")
KEY = r"[a-z_][a-z_0-9]*(?:[./][a-z_0-9]+)*"
ASSIGNMENT = re.compile(rf"([+~]{{0,2}})({KEY})=(.*)", re.S)
DOTTED = re.compile(rf"({KEY})(?:\.\*)?")
SPAN = re.compile(r"`([^`\n]+)`")
FILE_NAME = re.compile(r"\.(py|md|csv|json|yaml|png|ckpt|npy|npz|onnx|txt|log|toml|html|ipynb|safetensors)$")
REPOSITORY_PATH = re.compile(r"\b(?:tests|benchmarks|notebooks|conf|src|docs)/[\w./+-]*[\w/]")
VALIDATED = re.compile(r"\bval/\w+(?:/\w+)?")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHELL = ("", "sh", "bash", "text")
OPEN = ("…", "<", "$", "glob(", "null", "choice(")
"""How a value begins that leaves the choice to the reader, or to Hydra."""


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


class Command(NamedTuple):
    """A command as it stands in a text: its config's name, its arguments, and where it was found."""

    name: str
    arguments: list[str]
    where: str


def code_of(page: Path) -> Iterator[tuple[str, str]]:
    """The code of a page, as (text, where): lines of code blocks, with continued lines joined, and code spans.

    Blocks in another language than the shell's are left out.
    """
    language, text, start = None, "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            language = line.strip().strip("`") if language is None else None
        elif language in SHELL or text or (language is None and line.startswith("    ") and not SPAN.search(line)):
            start = start or number
            text += line.strip().removesuffix("\\")
            if not line.endswith("\\"):
                yield text, f"{name_of(page)}:{start}"
                text, start = "", 0
        elif language is None:
            for span in SPAN.findall(line):
                yield span, f"{name_of(page)}:{number}"


def help_texts() -> Iterator[tuple[str, str]]:
    """The example lines of each command's ``--help``, without the remark behind them."""
    for name in COMMANDS:
        header = OmegaConf.load(CONF / f"{name}.yaml").hydra.help.header  # type: ignore[union-attr]
        for line in header.splitlines():
            if line.startswith("  "):
                yield re.split(r"\s{2,}", line.strip())[0], f"{name}.yaml"


@functools.cache
def commands() -> list[Command]:
    """Every call of a command in the pages and help texts."""
    found = []
    for text, where in [pair for page in PAGES for pair in code_of(page)] + list(help_texts()):
        for name, arguments in COMMAND.findall(text):
            found.append(Command(name, shlex.split(arguments, comments=True), where))
    return found


def members(group: str) -> set[str]:
    return {file.stem for file in (CONF / group).glob("*.yaml")}


def choices_of(command: Command) -> tuple[str, ...]:
    """The members of groups that a command chooses, the first of several."""
    pairs = [argument.partition("=")[::2] for argument in command.arguments]
    first = [(key, value.split(",")[0]) for key, value in pairs if key in GROUPS]
    further = [read for argument in command.arguments if (read := as_choice(argument)) != argument]
    return (*(f"{group}={member}" for group, member in first if member in members(group)), *further)


@functools.cache
def keys_of(name: str, choices: tuple[str, ...]) -> frozenset[str]:
    """Every dotted key of a command's composed config with these members of its groups."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose(name, list(choices), return_hydra_config=True)
    return frozenset(paths_of(OmegaConf.to_container(cfg, resolve=False)))


def paths_of(tree: Any, path: str = "") -> set[str]:
    """The dotted path of every node of a tree."""
    below = (
        [paths_of(value, f"{path}.{key}".lstrip(".")) for key, value in tree.items()] if isinstance(tree, dict) else []
    )
    return {path}.union(*below) - {""}


@functools.cache
def all_keys() -> frozenset[str]:
    """The keys of every command as it is, as the texts call it, and of every member of every group."""
    found = set().union(*(keys_of(name, ()) for name in COMMANDS))
    found = found.union(*(keys_of(command.name, choices_of(command)) for command in commands()))
    for file in CONF.glob("*/*.yaml"):
        text = file.read_text(encoding="utf-8")
        package = re.match(r"# @package (\S+)", text)
        prefix = package[1].replace("_global_", "") if package else file.parent.name
        found |= paths_of(OmegaConf.to_container(OmegaConf.create(text), resolve=False), prefix)
    return frozenset(found)


@functools.cache
def endings() -> frozenset[str]:
    """Every key, and every dotted ending of one: `layer_reduction` for `objective.feature_matching.layer_reduction`."""
    return frozenset(".".join(key.split(".")[i:]) for key in all_keys() for i in range(key.count(".") + 1))


def unknown_members(group: str, value: str) -> list[str]:
    given = [part.strip("'\"()[] ") for part in value.split(",")]
    return [one for one in given if one and not one.startswith(OPEN) and one not in members(group)]


def complaint(command: Command, argument: str) -> str | None:
    """What is wrong with an argument of a command, or None."""
    matched = ASSIGNMENT.fullmatch(argument)
    if matched is None or matched[1].startswith("+"):
        return None
    key, value = matched[2], matched[3]
    if key in OF_THE_COMMAND_LINE:
        return None
    if key in GROUPS:
        wrong = unknown_members(key, value)
        own = any(word.startswith(("--config-dir", "hydra.searchpath")) for word in command.arguments)
        return f"{key} has no member {wrong[0]}" if wrong and not own else None
    known = keys_of(command.name, choices_of(command))
    return None if key.replace("/", ".") in known else f"simswap-{command.name} has no key {key}"


def spans_beside_commands() -> Iterator[tuple[str, str]]:
    """Each word of the code that is no command, as (word, where)."""
    for page in PAGES:
        for text, where in code_of(page):
            if not COMMAND.search(text):
                yield from ((word.strip("',;:"), where) for word in text.split())


def test_every_command_of_the_docs_and_of_help_composes():
    found = commands()
    assert {command.name for command in found} == set(COMMANDS)
    wrong = [
        f"{command.where}: {reason}"
        for command in found
        for argument in command.arguments
        if (reason := complaint(command, argument))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_wrong_key_and_a_wrong_member_are_found():
    command = Command("train", ["generator=paper", "generator.heads=2", "pose=none", "trainer.max_steps=3"], "here")
    reasons = [complaint(command, argument) for argument in command.arguments]
    assert reasons == [None, "simswap-train has no key generator.heads", "pose has no member none", None]
    words = ("optimizer.generator_lr", "optimizer.learning_rate", "judge=of_training", "judge=mine", "data.md", "eta=3")
    assert [bool(quoted_wrongly(word)) for word in words] == [False, True, False, True, False, True]


def test_every_setting_quoted_in_the_docs_exists():
    wrong = [f"{where}: {reason}" for word, where in spans_beside_commands() if (reason := quoted_wrongly(word))]
    assert not wrong, "\n".join(wrong)


def quoted_wrongly(word: str) -> str | None:
    """What is wrong with a word of code that is an assignment or a dotted key, or None."""
    if matched := ASSIGNMENT.fullmatch(word):
        key, value = matched[2], matched[3]
        of_python = value.strip(")") in ("True", "False", "None")
        if matched[1].startswith("+") or key in OF_THE_COMMAND_LINE or of_python:
            return None
        if key in GROUPS:
            wrong = unknown_members(key, value)
            return f"{key} has no member {wrong[0]}" if wrong else None
        return None if key.replace("/", ".") in endings() else f"there is no key {key}"
    matched = DOTTED.fullmatch(word)
    if matched is None or "." not in matched[1] or FILE_NAME.search(word):
        return None
    of_a_config = matched[1].split(".")[0] in {key.split(".")[0] for key in all_keys() if "." in key}
    return f"there is no key {matched[1]}" if of_a_config and matched[1] not in all_keys() else None


def test_every_group_and_each_of_its_members_is_named_in_the_docs():
    spans = {span for page in PAGES for span in SPAN.findall(page.read_text(encoding="utf-8"))}
    code = [*spans, *(text for page in PAGES for text, _ in code_of(page))]
    words = {word.strip("',;") for text in code for word in text.split()}
    values = {part for word in words for part in re.split(r"[=,]", word.partition("=")[2])}
    missing = [group for group in GROUPS if group not in spans and not any(w.startswith(f"{group}=") for w in words)]
    missing += [f"{group}={one}" for group in GROUPS for one in members(group) if one not in words | values]
    assert not missing


def test_the_index_links_every_page():
    linked = {INDEX.parent / link.partition("#")[0] for link in LINK.findall(INDEX.read_text(encoding="utf-8"))}
    assert not [name_of(page) for page in PAGES if page.parent == INDEX.parent and page not in {INDEX, *linked}]


def test_the_docs_call_validations_figures_by_their_logged_names():
    found = {(name, where) for page in PAGES for text, where in code_of(page) for name in VALIDATED.findall(text)}
    assert found
    known = {"/".join(name.split("/")[:depth]) for name in logged_names() for depth in (2, 3)}
    assert not [f"{where}: {name}" for name, where in found if name not in known]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: list[str] = []
    for line in re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S).splitlines():
        if heading := re.match(r"#+\s+(.*)", line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "").lower()
            anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found.append(anchor + (f"-{found.count(anchor)}" if anchor in found else ""))
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_in_code_exist(page):
    for text, where in code_of(page):
        for path in REPOSITORY_PATH.findall(text):
            assert (REPOSITORY / path).exists() or list(REPOSITORY.glob(f"{path}*")), f"{where}: {path}"


@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in GENERATED], ids=name_of)
def test_a_page_can_be_read_at_a_sitting(page):
    assert len(page.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_nothing_that_an_outsider_lacks_is_named():
    files = [*PAGES, *sorted(CONF.rglob("*.yaml")), REPOSITORY / "Makefile"]
    assert not [file for file in files if "../shared" in file.read_text(encoding="utf-8")]
