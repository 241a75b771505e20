"""The cycle loss in training, against a reference in plain torch: values, gradients, running statistics, resuming."""

import copy
import csv
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from simswap.train import main
from tests.training.runs import SMALL
from tests.training.test_module import GradientsSeen, logged
from tests.training.tiny import batches, fit, tiny_module

WEIGHT = {"cycle": 1.0}
ALONE = {"identity": 0.0, "reconstruction": 0.0, "adversarial": 0.0, "feature_matching": 0.0, "cycle": 2.0}
RECORDED = Path(__file__).parents[1] / "recorded"


def reference(module, batch, images_of=lambda x: x):
    """The generator, its gradient and the loss of one iteration, trained by the cycle alone, in float64."""
    generator = copy.deepcopy(module.generator).double().train()
    recognizer = copy.deepcopy(module.embedder.recognizer).double()
    target, source = (batch[key].double() / 255 for key in ("target", "source"))
    z_source, z_target = (F.normalize(recognizer(images)).detach() for images in (source, target))
    own = images_of(target)
    swap = generator(own, z_source)
    statistics = [buffer.clone() for buffer in generator.buffers()]
    loss = (generator(swap, z_target) - own).abs().mean()
    (ALONE["cycle"] * loss).backward()
    return generator, statistics, loss.item()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_it_is_the_step_of_the_text_and_the_second_pass_moves_no_statistics(checkpointing):
    module = tiny_module(weights=ALONE, checkpointing=checkpointing)
    generator, statistics, loss = reference(module, batches(1)[0])
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.999))
    seen = logged(module)
    fit(module, batches(1))
    assert seen[0]["train/cycle"] == pytest.approx(loss, abs=1e-10)
    expected = torch.nn.utils.get_total_norm([p.grad for p in generator.parameters()])
    assert seen[0]["train/generator_grad_norm"] == pytest.approx(expected.item(), rel=1e-8)
    optimizer.step()
    for name, value in generator.named_parameters():
        torch.testing.assert_close(module.generator.get_parameter(name), value, rtol=0, atol=1e-7)
    for now, before in zip(module.generator.buffers(), statistics, strict=True):
        torch.testing.assert_close(now, before)


def test_it_is_measured_in_unit_range():
    module = tiny_module(weights=ALONE, pixel_range="symmetric")
    *_, loss = reference(module, batches(1)[0], lambda unit: 2 * unit - 1)
    seen = logged(module)
    fit(module, batches(1))
    assert seen[0]["train/cycle"] == pytest.approx(loss / 2, abs=1e-10)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_its_gradient_reaches_the_generator_alone(micro_batches):
    module, gradients = tiny_module("none", "none", ALONE, micro_batches=micro_batches), GradientsSeen()
    *_, loss = reference(module, batches(1, batch_size=4)[0])
    seen = logged(module)
    fit(module, batches(1, batch_size=4), callbacks=[gradients])
    assert gradients.networks == [{"discriminators"}, {"generator"}]
    assert all(p.grad is None for p in module.embedder.parameters())
    assert seen[0]["train/cycle"] == pytest.approx(loss, abs=1e-10)


def test_without_a_weight_it_is_no_pass_of_the_generator_and_no_column():
    counts = []
    for weights in (None, WEIGHT):
        module, calls = tiny_module(weights=weights), []
        module.generator.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        seen = logged(module)
        fit(module, batches(2), precision="32-true")
        counts.append(len(calls))
        assert ("train/cycle" in seen[0]) is (weights is not None)
    assert counts == [2, 4]


def test_under_bf16_it_is_close_to_fp32():
    values = []
    for precision in ("32-true", "bf16-mixed"):
        module = tiny_module("instance", "instance", WEIGHT)
        seen = logged(module)
        fit(module, batches(1), precision=precision)
        assert {p.dtype for p in module.parameters()} == {torch.float32}
        values.append(seen[0]["train/cycle"])
    assert values[0] != values[1]
    assert values[1] == pytest.approx(values[0], rel=0.02)


def columns(run):
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_weight_on_the_command_line_trains_and_logs_it(crops, tmp_path, door):
    for weight in (0, 1):
        arguments = [*SMALL, f"data.root={crops}", "trainer.max_steps=2", "trainer.val_check_interval=2"]
        code, _, errors = door(
            main, *arguments, f"hydra.run.dir={tmp_path}/{weight}", f"objective.weights.cycle={weight}"
        )
        assert code == 0, errors
    assert not any("cycle" in name for name in columns(tmp_path / "0")[0])
    rows = [row for row in columns(tmp_path / "1") if row["train/identity"]]
    assert len(rows) == 2
    assert all(0 < float(row["train/cycle"]) < 1 for row in rows)


def test_a_run_begun_before_the_term_resumes_with_weight_zero_or_takes_it_up(tmp_path, monkeypatch, door):
    monkeypatch.chdir(shutil.copytree(RECORDED, tmp_path / "recorded"))
    assert "cycle" not in Path("run/.hydra/config.yaml").read_text()
    code, _, errors = door(main, "resume=run", "trainer.max_steps=3", "objective.weights.cycle=1")
    assert code == 2
    assert "objective.weights.cycle: 0.0 → 1" in errors
    assert door(main, "resume=run", "trainer.max_steps=3")[0] == 0
    assert "train/cycle" not in columns(Path("run"))[0]
    given = ("objective.weights.cycle=1", "resume_overrides=allow", "trainer.max_steps=4")
    assert door(main, "resume=run", *given)[0] == 0
    rows = [row for row in columns(Path("run")) if row["train/identity"]]
    assert [row["train/cycle"] != "" for row in rows] == [False, False, False, True]
