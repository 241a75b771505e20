"""The sweep over all layer ranges: which there are, for the discriminators and crops at hand."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

from simswap.errors import InputError
from simswap.settings.words import CONF_DIR
from simswap.sweeping.layer_ranges import valid_ranges


def test_all_ranges_of_three_layers():
    assert valid_ranges(3) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    assert len(valid_ranges(5)) == 15


def jobs(crops, *arguments):
    """What the sweeper that Hydra finds by its name would launch; `arguments` as on the command line."""
    kind = next(plugin for plugin in Plugins.instance().discover(Sweeper) if plugin.__name__ == "LayerRangesSweeper")
    sweeper = kind(max_batch_size=None)
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        sweeper.config = compose("train", [f"data.root={crops}"])
    (batch,) = sweeper.split_arguments(OverridesParser.create().parse_overrides(list(arguments)), None)
    return batch


def test_every_range_is_combined_with_what_else_is_swept(crops):
    # Three layers fit the fixture's 32 px: six ranges, each with both seeds.
    batch = jobs(crops, "seed=1,2", "name=ranges")
    assert len(batch) == 12
    first, last = "objective.feature_matching.first_layer", "objective.feature_matching.last_layer"
    assert batch[0] == ["seed=1", "name=ranges", f"{first}=0", f"{last}=0"]
    assert batch[-1] == ["seed=2", "name=ranges", f"{first}=2", f"{last}=2"]
    assert len({tuple(job) for job in batch}) == 12


def test_a_range_given_beside_the_sweep_is_refused(crops):
    with pytest.raises(InputError, match="first_layer is set by sweep=layer_ranges"):
        jobs(crops, "objective.feature_matching.first_layer=1")
