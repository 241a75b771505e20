"""``hydra/sweeper: study``: runs the trials of an Optuna study, batch by batch, with the configured launcher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class StudySweeper(Sweeper):
    """The sweeper. Its settings are the configuration's node ``sweep``; see `simswap.sweeping.sweep`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep of this command line. Raises InputError if it cannot run."""
        try:
            from simswap.sweeping.sweep import run_sweep
        except ModuleNotFoundError as error:
            from simswap.errors import InputError

            raise InputError(f"sweeps need {error.name}: pip install 'simswap[sweeps]'") from error

        assert self.hydra_context is not None
        assert self.config is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        from simswap.tracking.wandb_trials import put_trials

        returns = run_sweep(self.config, parser.parse_overrides(arguments), self._launch)
        put_trials(Path(self.config.hydra.sweep.dir), self.config)
        return returns

    def _launch(self, batch: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        assert self.config is not None
        folder = self.config.hydra.sweep.dir
        if first == 0:
            OmegaConf.save(self.config, f"{folder}/multirun.yaml")
        self.validate_batch_is_legal(batch)
        return self.launcher.launch(batch, initial_job_idx=first)
