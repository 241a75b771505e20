"""The private interfaces that `simswap.compat` depends on still do what it needs.

Where a test fails after an upgrade, the library has changed: adapt the function of `simswap.compat` that it names.
"""

import importlib
import inspect
import struct
import sys
import threading
import zipfile
from argparse import Namespace
from datetime import timedelta
from pathlib import Path

import lightning as L
import pytest
import torch
from hydra.core.utils import JobReturn, JobStatus
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch.utils.data import DataLoader

from simswap.compat import hydra as of_hydra
from simswap.compat import lightning as of_lightning
from simswap.compat import torch as of_torch
from simswap.compat import wandb as of_wandb

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


def test_an_unlocked_save_writes_what_torch_writes(tmp_path):
    tensors = [torch.arange(50000.0), torch.ones(3, 2).t(), torch.empty(0), torch.ones(2, dtype=torch.bfloat16)]
    content = {"tensors": tensors, "same": tensors[0][1:], "text": "ä", "n": {1: (2.5, None)}}
    of_torch.save_unlocked(content, tmp_path / "a.pt")
    torch.save(content, tmp_path / "b.pt")
    changed = "compat.torch.save_unlocked: torch.serialization._save or its file format has changed"
    records = []
    for name in ("a.pt", "b.pt"):
        with zipfile.ZipFile(tmp_path / name) as file:
            assert file.testzip() is None
            records.append(
                {Path(info.filename).relative_to(Path(info.filename).parts[0]): info for info in file.filelist}
            )
    ours, theirs = records
    assert theirs.keys() - ours.keys() <= {Path(".data/serialization_id")}, changed
    for name in ours.keys() & theirs.keys():
        assert (ours[name].CRC, ours[name].file_size) == (theirs[name].CRC, theirs[name].file_size), changed
        assert len(ours[name].extra) <= 68
    for options in ({}, {"mmap": True}):
        read = torch.load(tmp_path / "a.pt", weights_only=True, **options)
        assert [torch.equal(a, b) for a, b in zip(read["tensors"], tensors, strict=True)] == [True] * 4, changed
        assert read["same"].untyped_storage().data_ptr() == read["tensors"][0].untyped_storage().data_ptr()
        assert read["tensors"][0].data_ptr() % 64 == 0
        assert (read["text"], read["n"]) == ("ä", {1: (2.5, None)})


def test_other_threads_run_while_an_unlocked_save_writes(tmp_path):
    content, waits = [torch.zeros(1 << 22) for _ in range(6)], []
    thread = threading.Thread(target=of_torch.save_unlocked, args=(content, tmp_path / "a.pt"))
    thread.start()
    waits.append(thread.is_alive())  # torch.save would have ended by now
    thread.join()
    assert waits == [True], "compat.torch.save_unlocked: torch.serialization._save holds the lock while it writes"


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


def test_the_command_line_is_parsed_as_hydra_parses_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["simswap-train", "-m", "--config-dir", "mine", "seed=1,2", "--cfg", "job"])
    parsed = of_hydra.parsed_command_line()
    assert isinstance(parsed, Namespace)
    wanted = {"multirun": True, "config_dir": "mine", "config_path": None, "config_name": None, "cfg": "job",
              "help": False, "hydra_help": False, "info": None, "shell_completion": False}  # fmt: skip
    found = {name: getattr(parsed, name, "gone") for name in wanted}
    assert found == wanted, "compat.hydra.parsed_command_line: Hydra's flags have changed"
    assert parsed.overrides == ["seed=1,2"]


def test_hydras_own_launcher_and_sweeper_have_the_names_that_configs_give_them():
    for target in of_hydra.BASIC_TARGETS:
        module, _, name = target.rpartition(".")
        found = getattr(importlib.import_module(module), name, None)
        assert inspect.isclass(found), f"compat.hydra.BASIC_TARGETS: {target} is gone; recorded configs name it"
    for name in ("split_arguments", "split_overrides_to_chunks"):
        assert callable(getattr(found, name, None)), f"simswap_layer_ranges.py: BasicSweeper.{name} is gone"


def test_a_failed_jobs_error_can_be_read_without_being_raised():
    failed = JobReturn()
    failed.status, failed.return_value = JobStatus.FAILED, ValueError("lost")
    assert str(of_hydra.value_or_error(failed)) == "lost", "compat.hydra.value_or_error: JobReturn has changed"
    with pytest.raises(ValueError, match="lost"):
        _ = failed.return_value


def test_history_rows_are_read_from_wandbs_records(tmp_path):
    from wandb.proto.wandb_internal_pb2 import Record

    rows = [Record(), Record(), Record()]
    for key, value in (("loss", "0.5"), ("_step", "3")):
        item = rows[0].history.item.add()
        item.key, item.value_json = key, value
    item = rows[1].history.item.add()
    item.nested_key.extend(["val", "id"])
    item.value_json = "1.0"
    rows[2].exit.exit_code = 0
    content = b"".join(struct.pack("<IHB", 0, len(data), 1) + data for data in (r.SerializeToString() for r in rows))
    (tmp_path / "run.wandb").write_bytes(b":W&B\0\0\0" + content + struct.pack("<IHB", 0, 99, 1) + b"cut off")
    found = list(of_wandb.history_rows(tmp_path / "run.wandb"))
    assert found == [{"loss": "0.5", "_step": "3"}, {"val/id": "1.0"}], "compat.wandb: W&B's records have changed"


def test_wandb_refuses_a_setting_that_it_cannot_take(monkeypatch):
    of_wandb.take_setting("WANDB_INIT_TIMEOUT", "20")
    with pytest.raises(Exception, match=r"init_timeout|number"):
        of_wandb.take_setting("WANDB_INIT_TIMEOUT", "soon")


def test_an_entry_of_an_artifact_is_named_by_its_hash_alone():
    import wandb

    made = [wandb.Artifact("data", type="dataset") for _ in range(3)]
    for artifact, digest in zip(made, ("a" * 64, "a" * 64, "b" * 64), strict=True):
        of_wandb.add_hashed_reference(artifact, "manifest", f"data://{digest}", digest)
    entry = made[0].manifest.entries["manifest"]
    assert (entry.digest, entry.ref) == ("a" * 64, f"data://{'a' * 64}"), "compat.wandb: entries have changed"
    assert made[0].manifest.digest() == made[1].manifest.digest() != made[2].manifest.digest()


def test_wandb_hashes_files_as_its_entries_say(tmp_path):
    import wandb

    (tmp_path / "a").write_bytes(b"hello")
    artifact = wandb.Artifact("a", type="b")
    artifact.add_file(str(tmp_path / "a"), name="a", policy="immutable", skip_cache=True)
    entry = artifact.manifest.entries["a"]
    assert of_wandb.has_digest(entry, tmp_path / "a"), "compat.wandb: the hash of files has changed"
    (tmp_path / "a").write_bytes(b"hellp")
    assert not of_wandb.has_digest(entry, tmp_path / "a")


def test_wandbs_cache_is_where_its_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    assert of_wandb.cache_folder() == tmp_path / "cache", "compat.wandb: the cache's folder has changed"
