"""fp16-mixed: a loss scale for each optimizer, found by overflowing, unscaled before clipping, kept over a resume."""

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision

from simswap.errors import InputError
from simswap.training.speed import check_precision
from tests.training.test_module import logged
from tests.training.tiny import batches, fit, tiny_module


def fp16(start: float, growth_interval: int = 2000) -> MixedPrecision:
    """As Lightning makes it on a GPU; it refuses fp16 on a CPU, which torch can do."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", start, growth_interval=growth_interval))


def run(module, count, start, growth_interval=2000, **trainer):
    lines = logged(module)
    made = fit(module, batches(count), precision="32-true", plugins=[fp16(start, growth_interval)], **trainer)
    return lines, made


@pytest.fixture(scope="module")
def plain():
    module = tiny_module("instance", "instance", generator_clip=1.0)
    lines = logged(module)
    fit(module, batches(2), precision="32-true")
    return lines


def test_terms_and_unscaled_gradients_are_those_of_fp32(plain):
    module = tiny_module("instance", "instance", generator_clip=1.0)
    lines, _ = run(module, 2, 1024.0)
    for name in ("identity", "discriminator", "gradient_penalty", "generator_grad_norm", "discriminator_grad_norm"):
        # a norm of the scaled gradient would be a thousand times as large
        assert lines[0][f"train/{name}"] == pytest.approx(plain[0][f"train/{name}"], rel=0.02), name
    assert lines[0]["train/identity"] != plain[0]["train/identity"]  # it was fp16
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_each_optimizer_finds_its_own_scale_and_that_is_no_fault():
    module = tiny_module("instance", "instance")
    scale_up = module._generator_loss
    module._generator_loss = lambda part: (lambda loss, terms: (loss * 1e4, terms))(*scale_up(part))
    lines, trainer = run(module, 8, 2.0**16)
    g, d = ([line[f"train/{name}_loss_scale"] for line in lines] for name in ("generator", "discriminator"))
    assert g[0] == 2.0**15  # the first step overflowed, and was left out
    assert g[-1] < d[-1] <= 2.0**16  # the generator's gradient is made ten thousand times as large
    assert "train/generator_grad_norm" not in lines[0]
    assert [line["train/skipped_steps"] for line in lines] == [0.0] * 8
    assert trainer.global_step == 8
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())


def test_a_loss_that_is_not_finite_is_a_fault_here_too():
    module = tiny_module("instance", "instance")
    loss_of = module._discriminator_loss
    module._discriminator_loss = lambda part: (loss_of(part)[0] * torch.nan, loss_of(part)[1])
    lines, _ = run(module, 2, 1024.0)
    assert [line["train/skipped_steps"] for line in lines] == [1.0, 2.0]
    assert module.skips.in_a_row == 2


def test_scales_go_on_after_a_resume(tmp_path):
    whole, part, resumed = (tiny_module("instance", "instance") for _ in range(3))
    lines, _ = run(whole, 6, 256.0, growth_interval=2)
    assert [line["train/discriminator_loss_scale"] for line in lines] == [256, 512, 512, 1024, 1024, 2048]
    logged(part)
    fit(part, batches(3), precision="32-true", plugins=[fp16(256.0, 2)]).save_checkpoint(tmp_path / "a.ckpt")
    rest, _ = run(resumed, 6, 256.0, growth_interval=2, resume=tmp_path / "a.ckpt")
    assert rest == lines[3:]


def test_lightnings_silent_change_of_precision_is_refused():
    import lightning as L

    quiet = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False}
    with pytest.warns(UserWarning, match="fp16 is not supported on CPU"):
        trainer = L.Trainer(precision="16-mixed", **quiet)
    with pytest.raises(InputError, match=r"trainer.precision=16-mixed needs a GPU"):
        check_precision(trainer, "16-mixed")
    check_precision(L.Trainer(precision="bf16-mixed", **quiet), "bf16-mixed")


@pytest.mark.gpu
def test_fp16_trains_on_a_gpu():
    module = tiny_module("batch", "batch", generator_clip=1.0)
    lines = logged(module)
    fit(module, batches(30), precision="16-mixed", accelerator="gpu")
    assert lines[-1]["train/skipped_steps"] == 0
    assert lines[-1]["train/generator_loss_scale"] >= 1
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())
