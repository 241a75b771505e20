"""Hydra's basic sweeper, times every layer range of the feature matching: ``sweep=layer_ranges``."""

from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override


@dataclass
class LayerRangesConf:
    """As the basic sweeper's."""

    _target_: str = "hydra_plugins.simswap_layer_ranges.LayerRangesSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="layer_ranges", node=LayerRangesConf, provider="simswap")


class LayerRangesSweeper(BasicSweeper):
    """Runs each combination of the swept values with each (first_layer, last_layer) of the discriminators at hand."""

    def split_arguments(  # type: ignore[override]
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        # Imported here: Hydra loads every plugin at each start, also where another sweeper is used.
        from simswap.errors import InputError
        from simswap.sweeping.layer_ranges import FIRST, LAST, range_overrides

        for override in overrides:
            if override.get_key_element() in (FIRST, LAST):
                raise InputError(f"{override.get_key_element()} is what sweep=layer_ranges goes through; leave it out")
        assert self.config is not None
        ranges = range_overrides(self.config)
        (combinations,) = BasicSweeper.split_arguments(overrides, None)
        jobs: list[Any] = [[*combination, *chosen] for combination in combinations for chosen in ranges]
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))
