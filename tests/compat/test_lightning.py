"""The private interfaces of Lightning that `simswap.compat.lightning` depends on still do what it needs.

Where a test fails after an upgrade, the library has changed: adapt the function of `simswap.compat` that it names.
"""

import inspect
from datetime import timedelta

import lightning as L
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch.utils.data import DataLoader

from simswap.compat import lightning as of_lightning

STEPS = 4


class TwoOptimizers(L.LightningModule):
    """Two optimizers that step in each iteration, of which the first alone counts; it notes when it validates."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layer = torch.nn.Linear(1, 1)
        self.trained: list[int] = []
        self.validated: list[tuple[int, int]] = []
        self.validate_at: int | None = None

    def configure_optimizers(self):
        return [torch.optim.SGD(self.parameters(), lr=0.01) for _ in range(2)]

    def on_train_batch_start(self, batch, batch_idx):
        if self.trainer.global_step == self.validate_at:
            of_lightning.validate(self.trainer)

    def training_step(self, batch, batch_idx):
        of_lightning.leave_uncounted(self.optimizers()[1])
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.layer(batch).mean())
            optimizer.step()
        self.trained.append(batch_idx)
        self.log("loss", 1.0)

    def validation_step(self, batch, batch_idx):
        self.validated.append((self.trainer.global_step, batch_idx))


def trainer_of(tmp_path, *callbacks: L.Callback, **more) -> L.Trainer:
    settings = {
        "max_steps": STEPS,
        "max_epochs": -1,
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": tmp_path,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "val_check_interval": 1000,
        "check_val_every_n_epoch": None,
        "callbacks": [*callbacks],
    }
    return L.Trainer(**(settings | more))


def batches() -> DataLoader:
    return DataLoader(torch.ones(16, 1), batch_size=1)


def fit(trainer: L.Trainer, module: TwoOptimizers, **more) -> None:
    trainer.fit(module, batches(), DataLoader(torch.ones(2, 1), batch_size=1), **more)


def test_steps_of_an_optimizer_that_is_left_out_do_not_count(tmp_path):
    module, trainer = TwoOptimizers(), trainer_of(tmp_path)
    fit(trainer, module)
    assert (trainer.global_step, len(module.trained)) == (STEPS, STEPS), (
        "compat.lightning.leave_uncounted: LightningOptimizer no longer counts steps in _on_before_step, _on_after_step"
    )


def test_training_ends_after_the_current_iteration_without_a_validation(tmp_path):
    class EndAtTwo(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                of_lightning.end_after_this_iteration(trainer)

    module, trainer = TwoOptimizers(), trainer_of(tmp_path, EndAtTwo())
    fit(trainer, module)
    changed = "compat.lightning.end_after_this_iteration: the epoch loop no longer ends at its max_steps"
    assert (trainer.global_step, module.validated) == (2, []), changed


def test_a_validation_can_be_made_up_before_an_iteration(tmp_path):
    module, trainer = TwoOptimizers(), trainer_of(tmp_path)
    module.validate_at = 2
    connector = inspect.getattr_static(trainer, "_logger_connector", None)
    assert hasattr(connector, "_first_loop_iter"), "compat.lightning.validate: Trainer._logger_connector has changed"
    fit(trainer, module)
    changed = "compat.lightning.validate: the epoch loop's val_loop no longer runs on its own"
    assert module.validated == [(2, 0), (2, 1)], changed
    assert (trainer.global_step, len(module.trained)) == (STEPS, STEPS), changed


def test_a_validation_that_was_broken_off_starts_at_its_first_batch(tmp_path):
    class Broken(Exception):
        pass

    class BreakOff(L.Callback):
        def on_validation_batch_end(self, trainer, *_):
            raise Broken

        def on_exception(self, trainer, pl_module, exception):
            of_lightning.forget_unfinished_validation(trainer)

    trainer = trainer_of(tmp_path, BreakOff(), val_check_interval=2)
    with pytest.raises(Broken):
        fit(trainer, TwoOptimizers())
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress.current
    assert (progress.ready, progress.completed) == (0, 0), (
        "compat.lightning.forget_unfinished_validation: val_loop.batch_progress.reset() no longer resets"
    )


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_train_batch_end"])
def test_a_settled_checkpoint_resumes_with_the_next_iteration(tmp_path, hook):
    def save(self, trainer, *_):
        if trainer.global_step == 2 and not (tmp_path / "two.ckpt").exists():
            trainer.save_checkpoint(tmp_path / "two.ckpt")

    def settle(self, trainer, pl_module, checkpoint):
        of_lightning.settle_loops(checkpoint, trainer.global_step)

    saves = type("Saves", (L.Callback,), {hook: save, "on_save_checkpoint": settle})
    fit(trainer_of(tmp_path, saves()), TwoOptimizers())
    module, trainer = TwoOptimizers(), trainer_of(tmp_path)
    fit(trainer, module, ckpt_path=tmp_path / "two.ckpt")
    changed = "compat.lightning.settle_loops: Lightning's checkpoints keep its loops in another form"
    assert (trainer.global_step, module.trained, module.validated) == (STEPS, [2, 3], []), changed


def test_a_checkpoints_content_is_what_lightning_writes(tmp_path):
    trainer = trainer_of(tmp_path)
    fit(trainer, TwoOptimizers())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    torch.save(of_lightning.checkpoint_content(trainer), tmp_path / "b.ckpt")
    a, b = (torch.load(tmp_path / name, weights_only=True) for name in ("a.ckpt", "b.ckpt"))
    assert str(a) == str(b), "compat.lightning.checkpoint_content: Trainer.save_checkpoint writes something else"
    assert a["global_step"] == STEPS


def test_ddp_takes_our_group_and_starts_no_process(tmp_path):
    asked = []

    class Alone(of_lightning.StartedDDP):
        def make_group(self, backend, timeout):
            asked.append((backend, timeout))
            torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)

    strategy = Alone(timeout=timedelta(seconds=90))
    trainer = trainer_of(tmp_path, strategy=strategy, plugins=[LightningEnvironment()])
    module = TwoOptimizers()
    try:
        fit(trainer, module)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    changed = "compat.lightning.StartedDDP: DDPStrategy.setup_distributed, _timeout or _configure_launcher has changed"
    assert asked == [("gloo", timedelta(seconds=90))], changed
    assert isinstance(strategy.launcher, of_lightning.NoLauncher), changed
    assert strategy.model is module, "compat.lightning.UnwrappedDDP: DDPStrategy.configure_ddp has changed"
    assert len(module.trained) == STEPS


def test_what_our_ddp_overrides_is_there():
    for owner, name in ((DDPStrategy, "_configure_launcher"), (DDPStrategy, "configure_ddp"),
                        (DDPStrategy, "_get_process_group_backend"),
                        (_SubprocessScriptLauncher, "_call_children_scripts")):  # fmt: skip
        assert callable(getattr(owner, name, None)), f"compat.lightning: {owner.__name__}.{name} is gone"
    with pytest.raises(RuntimeError, match="must not start others"):
        of_lightning.NoLauncher(LightningEnvironment(), 2, 1)._call_children_scripts()
