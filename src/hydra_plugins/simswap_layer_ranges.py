"""``sweep=layer_ranges``: Hydra's basic sweeper, with every layer range of the feature matching loss."""

from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override


@dataclass
class LayerRangesConf:
    """The settings of Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.simswap_layer_ranges.LayerRangesSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="layer_ranges", node=LayerRangesConf, provider="simswap")


class LayerRangesSweeper(BasicSweeper):
    """Runs each combination of the swept values with each layer range of the configured discriminators."""

    def split_arguments(  # type: ignore[override]
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The jobs' overrides, in chunks. Raises InputError if the command line sets a layer range."""
        # Imported here because Hydra loads every plugin at each start, even if another sweeper is used.
        from simswap.errors import InputError
        from simswap.sweeping.layer_ranges import FIRST, LAST, range_overrides

        for override in overrides:
            if override.get_key_element() in (FIRST, LAST):
                raise InputError(f"{override.get_key_element()} is set by sweep=layer_ranges; leave it out")
        assert self.config is not None
        ranges = range_overrides(self.config)
        (combinations,) = BasicSweeper.split_arguments(overrides, None)
        jobs: list[Any] = [[*combination, *chosen] for combination in combinations for chosen in ranges]
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))
