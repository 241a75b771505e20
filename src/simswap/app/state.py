"""What every tab of the page gets."""

from dataclasses import dataclass

from simswap.app.examples import Example
from simswap.app.networks import Networks
from simswap.app.run_folders import RunFolders
from simswap.app.shelf import Shelf


@dataclass(frozen=True)
class AppState:
    """The page's parts, shared by all tabs and all users of it.

    Attributes:
        networks: Checkpoints at work; ``networks.main`` is the one the page was started with. Hold ``networks.work``
            while they compute.
        shelf: Where made files go, and their addresses on the page.
        runs: The run folders; None without ``runs=``.
        examples: Photos that come with installed packages, the rendered ones first.
        video_s: Seconds of an uploaded video that are swapped at most.
    """

    networks: Networks
    shelf: Shelf
    runs: RunFolders | None
    examples: tuple[Example, ...]
    video_s: float
