"""Packages of the user's own: opened by the command line alone, and checked by kind for each node."""

import re
import sys

import pytest
from omegaconf import OmegaConf

from simswap.compare import main as compare
from simswap.config import build
from simswap.errors import InputError
from simswap.evaluate import main as evaluate
from simswap.prepare import main as prepare
from simswap.settings.records import check_folder, read_record
from simswap.settings.targets import check_any_targets, check_targets
from simswap.settings.trusted import split_trusted, trust, trusted_packages
from simswap.train import main
from tests.training.runs import SMALL

PACKAGE = """
import os
from torch import load, nn
from torch.optim import Adam
from lightning.pytorch.callbacks import Callback
from simswap.models.recognition import Recognizer

class Own(Adam):
    pass

class Lines(Callback):
    def __init__(self, path: str):
        self.path = path
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        with open(self.path, "a") as file:
            file.write(f"{trainer.global_step}\\n")

class Protocol:
    pass

def recognizer(path: str) -> Recognizer:
    raise AssertionError("it is not called to be checked")

def own_recognizer() -> Recognizer:
    from simswap.models import builtin
    return builtin.recognizer()

def silent(path):
    return None

not_callable = 3
"""


LIGHTNING = "lightning.pytorch"


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    """A package of the name that it gives, found in the working folder; gone after the test."""
    name = f"mylab_{abs(hash(str(tmp_path)))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("print('imported')\n")
    (tmp_path / name / "parts.py").write_text(PACKAGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    yield name
    trust(())
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


@pytest.mark.parametrize(
    ("arguments", "names", "others"),
    [
        (["seed=1"], (), ["seed=1"]),
        (["trusted=[a,b.c]", "seed=1"], ("a", "b.c"), ["seed=1"]),
        (["+trusted=a", "trusted=[a]"], ("a",), []),
        (["trusted=null"], (), []),
        (["name=trusted=x"], (), ["name=trusted=x"]),
    ],
)
def test_the_command_line_names_packages(arguments, names, others):
    assert split_trusted(arguments) == (names, others)


@pytest.mark.parametrize("value", ["[1]", "[a/b]", "['a b']", "[simswap]", "simswap.models", "{a: b}", "[", "[..a]"])
def test_what_is_no_name_of_a_package_is_refused(value):
    with pytest.raises(InputError, match="give the names of Python packages of your own"):
        split_trusted([f"trusted={value}"])


def test_without_trust_nothing_is_imported_and_the_line_says_how(mylab, capsys):
    tree = {"optimizer": {"algorithm": {"_target_": f"{mylab}.parts.Own"}}}
    for check in (check_targets, check_any_targets):
        with pytest.raises(InputError, match=rf"not on the list .*add trusted=\[{mylab}\] to the command line"):
            check(tree)
    assert mylab not in sys.modules
    assert "imported" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("node", "name", "reason"),
    [
        ({"optimizer": {"algorithm": "Own"}}, "Own", None),
        ({"callbacks": {"mine": "Lines"}}, "Lines", None),
        ({"recognition": "recognizer"}, "recognizer", None),
        ({"judge": "recognizer"}, "recognizer", None),
        ({"optimizer": {"algorithm": "Lines"}}, "Lines", "is no Optimizer; derive it from torch.optim.Optimizer"),
        ({"callbacks": {"mine": "Own"}}, "Own", "is no Callback"),
        ({"protocol": "Protocol"}, "Protocol", "has no method prepare"),
        ({"detector": "Protocol"}, "Protocol", "has no method detect"),
        ({"recognition": "silent"}, "silent", "must say what it returns, as in: def silent"),
        ({"pose": "recognizer"}, "recognizer", "is no PoseEstimator"),
        ({"recognition": "load"}, "load", "no class or function that the package itself defines"),
        ({"recognition": "os.system"}, "os.system", "there is no such name"),
        ({"recognition": "not_callable"}, "not_callable", "no class or function that the package itself defines"),
        ({"recognition": "missing"}, "missing", "there is no such name"),
        ({"generator": "Own"}, "Own", "there, whatever is trusted"),
        ({"trainer": "Own"}, "Own", "there, whatever is trusted"),
        ({"strategy": "Own"}, "Own", "there, whatever is trusted"),
        ({"hydra": {"callbacks": {"x": "Lines"}}}, "Lines", "not on the list"),
        ({"name": "Own"}, "Own", "there, whatever is trusted"),
    ],
)
def test_a_trusted_name_must_be_of_the_nodes_kind(mylab, node, name, reason):
    trust([mylab])

    def with_target(tree):
        if isinstance(tree, str):
            return {"_target_": f"{mylab}.parts.{name}"}
        return {key: with_target(value) for key, value in tree.items()}

    if reason is None:
        check_targets(with_target(node))
        return
    with pytest.raises(InputError, match=reason):
        check_targets(with_target(node))


def test_trust_ends_with_the_command(mylab):
    trust([mylab])
    build(OmegaConf.create({"_target_": f"{mylab}.parts.Lines", "path": "x"}))
    trust(())
    with pytest.raises(InputError, match="not on the list"):
        build(OmegaConf.create({"_target_": f"{mylab}.parts.Lines", "path": "x"}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise RuntimeError('broken\\nhere')", r"RuntimeError: broken here.*__init__.py:1"),
        ("1 +", "SyntaxError"),
        ("import not_there_x", "not_there_x"),
    ],
)
def test_a_package_that_cannot_be_imported_is_one_line(mylab, tmp_path, door, content, reason):
    (tmp_path / mylab / "__init__.py").write_text(content)
    for command, arguments in ((main, []), (prepare, ["raw=a", "out=b"]), (compare, ["runs=x"])):
        code, _, errors = door(command, f"trusted=[{mylab}]", *arguments)
        assert code == 2
        (line,) = errors.splitlines()
        assert line.startswith(f"error: trusted=[{mylab}]: the package cannot be imported (")
        assert re.search(reason, line)


def test_files_never_open_a_package(mylab, tmp_path, door, crops):
    """Not a recorded configuration, not a user's YAML, not the parameters of a sweep."""
    (tmp_path / "config.yaml").write_text(f"name: x\ntrusted: [{mylab}]\n")
    with pytest.raises(InputError, match=r"config\.yaml: trusted works on the command line alone"):
        read_record(tmp_path / "config.yaml")
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    for text in (f"trusted: [{mylab}]", f"callbacks: {{x: {{_target_: {mylab}.parts.Lines, path: x}}}}"):
        (folder / "own.yaml").write_text(f"# @package _global_\n{text}\n")
        with pytest.raises(InputError, match=r"own\.yaml"):
            check_folder(tmp_path / "mine")
    for text in (
        f"sweep: {{params: {{trusted: {{type: categorical, choices: ['[{mylab}]']}}}}}}",
        f"hydra: {{sweeper: {{params: {{trusted: '[{mylab}]'}}}}}}",
    ):
        (folder / "own.yaml").write_text(f"# @package _global_\n{text}\n")
        sweeper = ["sweep=random"] if text.startswith("sweep") else []
        code, _, errors = door(main, "-m", "--config-dir", "mine", *sweeper, "experiment=own", *SMALL[1:],
                               f"data.root={crops}", "trainer.max_steps=1", "seed=1")  # fmt: skip
        assert code != 0, errors
        assert "trusted" in errors
    assert mylab not in sys.modules
    assert trusted_packages() == ()


def test_a_run_with_a_users_optimizer_and_callback_is_resumed_with_trust_alone(mylab, crops, tmp_path, door):
    own = [f"optimizer.algorithm._target_={mylab}.parts.Own",
           f"+callbacks.lines={{_target_: {mylab}.parts.Lines, path: {tmp_path}/lines.txt}}"]  # fmt: skip
    run = tmp_path / "run"
    command = [*SMALL, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=2", *own]
    code, _, errors = door(main, *command)
    assert code == 2
    assert f"trusted=[{mylab}]" in errors
    assert not run.exists()
    code, _, errors = door(main, f"trusted=[{mylab}]", *command)
    assert code == 0, errors
    assert (tmp_path / "lines.txt").read_text().split() == ["1", "2"]
    assert mylab not in (run / ".hydra" / "overrides.yaml").read_text().replace(f"{mylab}.parts", "")
    code, _, errors = door(main, f"resume={run}", "trainer.max_steps=3")
    assert code == 2
    assert f"add trusted=[{mylab}] to the command line" in errors.splitlines()[-1]
    code, _, errors = door(main, f"trusted=[{mylab}]", f"resume={run}", "trainer.max_steps=3")
    assert code == 0, errors
    assert (tmp_path / "lines.txt").read_text().split() == ["1", "2", "3"]


@pytest.mark.slow
def test_jobs_of_a_sweep_and_the_processes_that_they_start_trust_the_same(mylab, crops, tmp_path, door):
    code, _, errors = door(
        main, "-m", f"trusted=[{mylab}]", "launcher=local", "seed=1,2", *SMALL, f"data.root={crops}",
        f"hydra.sweep.dir={tmp_path}/sweep", "trainer.max_steps=1", f"optimizer.algorithm._target_={mylab}.parts.Own",
        f"+callbacks.lines={{_target_: {mylab}.parts.Lines, path: lines.txt}}",
    )  # fmt: skip
    assert code == 0, errors
    assert (tmp_path / "lines.txt").read_text().split() == ["1", "1"]


def test_a_checkpoint_with_a_users_recognizer_is_evaluated_with_trust_alone(mylab, crops, tmp_path, door):
    code, _, errors = door(
        main, f"trusted=[{mylab}]", *SMALL, f"data.root={crops}", f"hydra.run.dir={tmp_path}/run",
        "trainer.max_steps=1", f"recognition._target_={mylab}.parts.own_recognizer",
    )  # fmt: skip
    assert code == 0, errors
    command = [f"checkpoint={tmp_path}/run/checkpoints/last.ckpt", "protocol.split=train", "protocol.persons=3",
               "protocol.pairs=4", "wandb=disabled"]  # fmt: skip
    code, _, errors = door(evaluate, *command)
    assert code == 2
    assert f"or trusted=[{mylab}] if you trust that package" in errors.splitlines()[-1]
    code, _, errors = door(evaluate, f"trusted=[{mylab}]", *command)
    assert code == 0, errors


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([f"+callbacks.x._target_={LIGHTNING}.callbacks.ModelCheckpoint"], "Lightning refuses this configuration: "),
        ([f"+callbacks.x={{_target_: {LIGHTNING}.callbacks.LearningRateMonitor, logging_interval: week}}"],
         "Lightning refuses this configuration: "),
        ([f"+callbacks.x={{_target_: {LIGHTNING}.callbacks.GradientAccumulationScheduler, scheduling: {{}}}}"],
         f"{LIGHTNING}.callbacks.GradientAccumulationScheduler does not take "),
        ([f"+callbacks.x={{_target_: {LIGHTNING}.callbacks.Timer, durations: 1}}"], "unknown key callbacks.x.dur"),
        (["+callbacks.x={every: 1}"], "callbacks.x names no class"),
        ([f"+callbacks.x._target_={LIGHTNING}.callbacks.Callback"], "not on the list"),
        (["+callbacks.x._target_=lightning.Trainer"], "not on the list"),
        (["+callbacks.x._target_=torch.optim.SGD"], "not on the list"),
        ([f"+logger.more.x._target_={LIGHTNING}.loggers.WandbLogger"], "it cannot work here: the group logger"),
        ([f"+logger.more.x._target_={LIGHTNING}.loggers.CometLogger"], "logger.more.x: "),
        (["profiler=simple", "+profiler.more=1"], "unknown key profiler.more"),
        (["optimizer.algorithm._target_=torch.optim.LBFGS"], "it cannot work here: it evaluates the loss"),
        (["optimizer.algorithm._target_=torch.optim.SGD"], "unknown key optimizer.algorithm.betas"),
        (["+optimizer.algorithm.lr=1"], "unknown key optimizer.algorithm.lr"),
        (["judge=of_training"], "judge=of_training takes the judge from a checkpoint, and there is none here"),
        (["judge=none", "judge.path=x"], "unknown key judge.path: another member of the group judge has it"),
    ],
)  # fmt: skip
def test_what_the_groups_do_not_take_is_one_line(given, line, crops, tmp_path, door):
    code, _, errors = door(
        main, *SMALL, f"data.root={crops}", f"hydra.run.dir={tmp_path}/run", "trainer.max_steps=1", *given
    )
    assert code == 2, errors
    assert line in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_a_resumed_run_keeps_its_optimizer(crops, tmp_path, door):
    run = tmp_path / "run"
    code, _, errors = door(main, *SMALL, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.max_steps=1")
    assert code == 0, errors
    code, _, errors = door(main, f"resume={run}", "optimizer=adamw", "resume_overrides=allow", "trainer.max_steps=2")
    assert code == 2
    assert "a resumed run needs the optimizer whose state its checkpoint has" in errors.splitlines()[-1]
