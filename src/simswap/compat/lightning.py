"""Private interfaces of Lightning."""

from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.overrides.distributed import _sync_module_states
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher


class NoLauncher(_SubprocessScriptLauncher):
    """Starts no process: the one that started this process started the others."""

    def _call_children_scripts(self) -> None:
        if self.num_processes * self.num_nodes > 1:
            raise RuntimeError("a training process must not start others: the run's front door does")


class UnwrappedDDP(DDPStrategy):
    """DDP without torch's wrapper around the module, which averages its gradients over the ranks itself."""

    def configure_ddp(self) -> None:
        """Give all ranks the weights and buffers of rank 0, as the wrapper would."""
        assert self.model is not None
        _sync_module_states(self.model)


class StartedDDP(UnwrappedDDP):
    """DDP in processes that already run. A subclass creates the process group, and Lightning uses it."""

    def make_group(self, backend: str, timeout: timedelta | None) -> None:
        """Create torch's process group of all ranks.

        Args:
            backend: ``gloo`` or ``nccl``.
            timeout: how long a rank waits for another.
        """
        raise NotImplementedError

    def setup_distributed(self) -> None:
        """Create the process group before Lightning looks for one."""
        self.set_world_ranks()
        self.make_group(self._get_process_group_backend(), self._timeout)
        super().setup_distributed()

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = NoLauncher(self.cluster_environment, self.num_processes, self.num_nodes)


def leave_uncounted(optimizer: Any) -> None:
    """Exclude a LightningOptimizer's steps from ``trainer.global_step``."""
    optimizer._on_before_step = optimizer._on_after_step = _nothing


def _nothing() -> None:
    """Replaces the hooks by which Lightning counts optimizer steps."""


def end_after_this_iteration(trainer: L.Trainer) -> None:
    """End training without the log line and the validation that ``should_stop`` causes."""
    trainer.fit_loop.epoch_loop.max_steps = trainer.global_step


def validate(trainer: L.Trainer) -> None:
    """Run the validation that a stop left out, as Lightning's loop runs it at the end of an iteration."""
    trainer.validating = True
    first = trainer._logger_connector._first_loop_iter
    trainer.fit_loop.epoch_loop.val_loop.restarting = False
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True
    trainer._logger_connector._first_loop_iter = first


def forget_unfinished_validation(trainer: L.Trainer) -> None:
    """Make the next validation start at its first batch instead of where this one stopped."""
    trainer.fit_loop.epoch_loop.val_loop.batch_progress.reset()


def checkpoint_content(trainer: L.Trainer) -> dict[str, Any]:
    """What ``trainer.save_checkpoint`` writes, without the file and without its wait for the other ranks.

    Its tensors are those of the training, not copies. Called on all ranks.
    """
    with trainer.profiler.profile("save_checkpoint"):  # type: ignore[attr-defined]
        return trainer._checkpoint_connector.dump_checkpoint(weights_only=False)


def settle_loops(checkpoint: dict[str, Any], iteration: int) -> None:
    """Let the checkpoint say that ``iteration`` is complete, however far Lightning's own counters are.

    The counters depend on the hook in which a checkpoint is saved, and they decide what Lightning does at a restart:
    validate once more, or count a step twice. This is the one form after which it continues with the next iteration and
    does nothing else: the last batch's hooks are still open, and so is the endless epoch.
    """
    loops = checkpoint["loops"]["fit_loop"]
    batches = {"ready": iteration, "started": iteration, "processed": iteration, "completed": iteration - 1}
    loops["epoch_loop.batch_progress"] = {"total": batches, "current": dict(batches), "is_last_batch": False}
    loops["epoch_loop.state_dict"] = {"_batches_that_stepped": iteration - 1}
    epoch = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    loops["epoch_progress"] = {"total": epoch, "current": dict(epoch)}
    checkpoint["epoch"] = 0
