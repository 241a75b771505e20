"""Values that no type tells: refused in one line before a folder is made; the legal forms really train."""

import datetime

import pytest
import torch
from omegaconf import OmegaConf

from simswap.errors import InputError
from simswap.tracking.metrics_rows import read_rows
from simswap.train import main
from simswap.training.validation import logged_names
from simswap.training.values import max_time, trainer_values
from tests.training.runs import SMALL


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        *(
            []
            if torch.cuda.is_available()
            else [
                ("trainer.accelerator=gpu", "this machine has none"),
                ("trainer.accelerator=cuda", "this machine has none"),
            ]
        ),
        ("trainer.accelerator=tpu", "choose one of auto, cpu"),
        ("trainer.precision=64", "32-true, 64-true"),
        ("trainer.precision=bf16-true", "choose one of"),
        ("trainer.val_check_interval=0", "from 1"),
        ("trainer.val_check_interval=0.5", "from 1"),
        ("trainer.val_check_interval=2.0", "from 1"),
        ("trainer.val_check_interval=null", "from 1"),
        ("trainer.devices=0", "trainer.devices"),
        ("trainer.devices=1.0", "trainer.devices"),
        ("trainer.devices=[]", "trainer.devices"),
        ("trainer.devices=[0,0]", "trainer.devices"),
        ("trainer.devices=all", "trainer.devices"),
        ("trainer.max_time=5", "write it in quotes"),
        ("trainer.max_time=00:00:00:00", "above 0"),
        ("trainer.max_time=1h", "days, hours"),
        ("trainer.max_time={minuets: 5}", "did you mean minutes?"),
        ("trainer.max_time={minutes: .nan}", "max_time"),
        ("trainer.max_time={days: -1}", "above 0"),
        ("trainer.max_steps=0", "or -1"),
        ("seed=-1", "2^64 - 1"),
        ("seed=null", "seed is null"),
        ("seed=18446744073709551616", "2^64 - 1"),
        ("checkpoints.every=null", "checkpoints.every is null"),
        ("checkpoints.every=0", "checkpoints.every is 0"),
        ("validation.batch_size=0", "from 1"),
        ("objective.weights.identity=null", "identity is null"),
        ("optimizer.algorithm.betas=[a,b]", "2 numbers"),
        ("optimizer.algorithm.eps=-1", "above 0"),
        ("ema_decay=-1", "from 0 to 1"),
        ("ema_decay=nan", "from 0 to 1"),
        ("data.fractions={train: 0.5, val: 0.2, test: 0.1}", "sum to 1"),
        ("name=null", "name is null"),
        ("~guards.start_iteration", "guards.start_iteration is missing"),
        ("sweep.metrics=[val/id_retreival]", "did you mean val/id_retrieval?"),
        ("+trainer.gradient_clip_val=1", "optimizer.generator_clip"),
        ("+trainer.accumulate_grad_batches=2", "optimizer.micro_batches"),
        ("+trainer.limit_train_batches=2", "trainer.max_steps"),
        ("+trainer.strategy=ddp", "strategy=ddp"),
        ("+trainer.callbacks=[]", "checkpoints"),
        ("+trainer.max_epochs=2", "trainer.max_steps"),
    ],
)
def test_one_line_and_nothing_is_made(argument, words, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, errors = door(main, "experiment=debug", argument)
    assert code == 2
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert words in errors
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_refused_at_its_start(tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for more in ([], ["sweep=random"]):
        code, _, errors = door(main, "-m", "seed=1,2", "sweep.metrics=[val/pose_eror_deg]", *more)
        assert code == 2
        assert "did you mean val/pose_error_deg?" in errors
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "legal",
    [
        ["trainer.devices=-1", "trainer.val_check_interval=1.0", "seed=18446744073709551615"],
        ["trainer.devices=auto", "trainer.precision=64-true", "trainer.val_check_interval=1", "samples.every=1"],
        ["trainer.max_time={minutes: 5, seconds: 1.5}", "samples.every=null", "+trainer.deterministic=true"],
        ["trainer.max_time=00:00:05:00", "samples.every=0", "trainer.devices=[0]", "judge=none",
         "trainer.precision=64-true", "trainer.val_check_interval=2"],
    ],
)  # fmt: skip
def test_legal_forms_train(legal, crops, tmp_path, door):
    code, _, errors = door(
        main, *SMALL, f"data.root={crops}", f"hydra.run.dir={tmp_path}/run", "trainer.max_steps=2", *legal
    )
    assert code == 0, errors
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    validated = [row for row in rows if row.get("val/id_retrieval")]
    if "trainer.val_check_interval=1.0" in legal:
        assert len(validated) == 1
    for row in validated:
        assert {name for name in row if name.startswith("val/")} == set(logged_names())
    grids = list((tmp_path / "run").glob("samples/*"))
    assert bool(grids) == (not any(word.startswith("samples.every=") and word[-1] in "l0" for word in legal))


def test_times_worked_out_by_hand():
    assert max_time("01:02:03:04") == datetime.timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert max_time(OmegaConf.create({"hours": 1.5})) == datetime.timedelta(minutes=90)
    assert max_time(None) is None
    with pytest.raises(InputError, match="no time"):
        max_time({"days": 1e300})
    trainer = OmegaConf.create({"max_time": None, "val_check_interval": 1.0, "max_steps": 70})
    assert trainer_values(trainer)["val_check_interval"] == 70
    trainer.max_steps = -1
    assert trainer_values(trainer)["val_check_interval"] > 10**12


def test_experiments_of_ones_own(crops, tmp_path, door, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place, text in {
        "experiment/own": "# @package _global_\ndefaults: [override /generator: slim]\nname: own\n",
        "generator/slim": "defaults:\n  - small\n\nwidth: 4\n",
        "experiment/wrong": "# @package _global_\noptimizer: {generator_rate: 1}\n",
        "experiment/outside": "# @package _global_\nseed: -5\n",
    }.items():
        (tmp_path / "my folder" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "my folder" / f"{place}.yaml").write_text(text)
    small = [word for word in SMALL if not word.startswith("experiment=")]
    own = ["--config-dir", "my folder"]
    for name, words in {"wrong": "generator_rate", "outside": "seed is -5"}.items():
        code, _, errors = door(main, *own, f"experiment={name}")
        assert code == 2
        assert words in errors
        assert not (tmp_path / "outputs").exists()
    code, _, errors = door(
        main,
        *own,
        "experiment=own",
        *small,
        f"data.root={crops}",
        "trainer.max_steps=1",
        "validation.persons=3",
        "discriminator.width=4",
        "generator.blocks=1",
        "hydra.run.dir=run",
    )
    assert code == 0, errors
    loaded = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert loaded["simswap"]["config"]["generator"]["width"] == 4
