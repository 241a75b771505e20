"""Private interfaces of Hydra and of its launchers' results. It imports no torch: ``--help`` does not wait for it."""

from argparse import Namespace
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.utils import JobReturn

BASIC_TARGETS = (
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)
"""Hydra's own launcher and sweeper, as a config names them in ``_target_``.

``hydra_plugins/simswap_layer_ranges.py`` imports the sweeper itself: Hydra executes its plugins' modules again when it
looks for plugins, so a class kept here would no longer be the one that Hydra knows.
"""


def parsed_command_line() -> Namespace:
    """Hydra's flags and overrides in ``sys.argv``, parsed as ``hydra.main`` parses them."""
    return get_args_parser().parse_args()


def value_or_error(returned: JobReturn) -> Any:
    """What a job returned, or the exception that ended it. The public ``return_value`` raises that exception."""
    return returned._return_value
