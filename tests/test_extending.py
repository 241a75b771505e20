"""docs/extending.md, block by block: its files make a package, and each of its commands runs with that package."""

import csv
import json
import re
import shlex
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from simswap import evaluate, prepare, train
from simswap.losses.terms import TERMS
from simswap.metrics.figures import FIGURES
from simswap.rendered.dataset import write_dataset
from simswap.settings.trusted import trust
from simswap.settings.words import CONF_DIR
from tests.training.runs import SMALL

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.S | re.M)
FILES = {text.split("\n")[0].removeprefix("# "): text for kind, text in BLOCKS if kind in ("python", "yaml")}
COMMANDS = [
    shlex.split(line) for kind, text in BLOCKS if kind == "sh" for line in text.replace("\\\n", " ").splitlines()
]
ALL_OF = {id(registry): set(registry) for registry in (FIGURES, TERMS)}
TRAIN = [*SMALL[1:], "trainer.max_steps=2", "trainer.val_check_interval=2", "hydra.run.dir=run"]


def test_the_page_is_short_and_each_of_its_files_has_a_name():
    assert len(PAGE.splitlines()) <= 150
    assert all(re.fullmatch(r"(mylab|mine)/[\w/]+\.(py|yaml)", name) for name in FILES), list(FILES)


def command_with(text: str) -> list[str]:
    """The page's one command that contains a text."""
    (command,) = [command for command in COMMANDS if text in " ".join(command)]
    return command


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The page's package in the working folder; what it registers is gone after the test."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    yield tmp_path
    trust(())
    for module in [module for module in sys.modules if module.split(".")[0] == "mylab"]:
        del sys.modules[module]
    for registry in (FIGURES, TERMS):
        for name in [name for name in registry if name not in ALL_OF[id(registry)]]:
            del registry[name]


@pytest.fixture
def trained(lab, door, crops):
    """Run one of the page's training commands for two iterations; gives the run folder."""

    def run(text: str, *more: str) -> Path:
        program, *arguments = command_with(text)
        assert program == "simswap-train"
        arguments = ["experiment=debug" if one == "experiment=demo" else one for one in arguments]
        code, _, errors = door(train.main, *arguments, *TRAIN, f"data.root={crops}", *more)
        assert code == 0, errors
        assert json.loads((lab / "run" / "status.json").read_text())["state"] == "finished"
        return lab / "run"

    return run


def logged(run: Path, name: str) -> list[float]:
    """The values of a column of metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def states_of(run: Path) -> list[dict]:
    """The first parameter's state of both optimizers, as the checkpoint has them."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return [states["state"][0] for states in checkpoint["optimizer_states"]]


def test_a_loss_term_of_ones_own(trained):
    run = trained("objective.weights.total_variation")
    assert all(value > 0 for value in logged(run, "train/total_variation"))
    config = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["simswap"]["config"]["objective"]
    assert (config["weights"]["total_variation"], config["total_variation"]) == (0.1, {"power": 2})


def test_the_projects_own_worked_example_is_a_file_and_a_line(trained):
    weights = OmegaConf.load(f"{CONF_DIR}/objective/simswap.yaml").weights
    assert weights.cycle == 0
    assert TERMS["cycle"].loss.__module__ == "simswap.losses.cycle"
    run = trained("LargestWeight", "objective.weights.cycle=1")
    assert all(value > 0 for value in logged(run, "train/cycle"))


def test_a_discriminator_of_ones_own(trained):
    run = trained("WeightNormalized")
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert any("parametrizations.weight.original0" in name for name in weights if name.startswith("discriminators."))


def test_an_optimizer_of_torch(trained):
    run = trained("torch.optim.RMSprop")
    assert all({"square_avg", "step"} <= set(state) for state in states_of(run))


def test_an_optimizer_of_ones_own(trained):
    run = trained("CentralizedAdam")
    for state in states_of(run):  # with betas [0, 0.999] the first moment is the last gradient
        assert state["exp_avg"].abs().max() > 0
        assert state["exp_avg"].flatten(1).mean(1).abs().max() < 1e-3 * state["exp_avg"].abs().max()
    assert logged(run, "train/generator_grad_norm")  # the closure has checked the gradient


def test_callbacks_profiler_and_logger_of_lightning(trained):
    run = trained("profiler=simple")
    assert "run_training_batch" in (run / "fit-profile.txt").read_text()
    (table,) = run.rglob("lightning_logs/*/metrics.csv")
    assert "lr-" in table.read_text()


def test_a_callback_of_ones_own(trained):
    run = trained("LargestWeight")
    assert len(logged(run, "train/largest_weight")) == 2


def test_a_data_set_of_ones_own(lab, door):
    write_dataset(str(lab / "origin"), persons=2, images=2, size=96, seed=1)
    with zipfile.ZipFile("faces.zip", "w") as archive:
        for file in [*(lab / "origin").rglob("*.jpg"), lab / "origin" / "loose_landmark.csv"]:
            archive.write(file, file.relative_to(lab / "origin"))
    _, *arguments = command_with("mylab.origins.archive")
    code, printed, errors = door(prepare.main, *arguments, "workers=0")
    assert code == 0, errors
    assert "aligned 4 of 4 images" in printed


@pytest.fixture
def evaluated(lab, door, crops, trained):
    """Evaluate a run of the page by one of its commands, or by arguments; gives evaluation.json."""
    run = trained("LargestWeight")

    def evaluation(*arguments: str) -> dict:
        small = ["protocol.split=train", "protocol.persons=4", "protocol.pairs=6", "wandb=disabled", "threads=1"]
        given = [one.replace("<run>", str(run)) for one in arguments]
        code, printed, errors = door(evaluate.main, *given, *small, f"data.root={crops}", "out=out")
        assert code == 0, errors
        return json.loads((lab / "out" / "evaluation.json").read_text()) | {"printed": printed}

    return evaluation


def test_a_protocol_and_a_figure_of_ones_own(evaluated):
    _, *arguments = command_with("mylab.protocols.Exchanged")
    exchanged = evaluated(*arguments)
    assert exchanged["protocol"]["name"] == "exchanged"
    straight = evaluated(*arguments[:-1])
    assert straight["protocol"]["name"] == "persons"
    # Nothing done: the cosine between target and source, whichever is called target.
    first, second = (found["results"]["do_nothing"]["id_similarity"]["value"] for found in (exchanged, straight))
    assert first == pytest.approx(second, abs=1e-5)
    assert exchanged["results"]["trained"] != straight["results"]["trained"]
    assert straight["results"]["do_nothing"]["brightness_error"]["value"] == 0
    assert straight["results"]["copy_source"]["brightness_error"]["value"] > 0
    assert "brightness" in straight["printed"]
