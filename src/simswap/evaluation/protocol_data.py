"""The input and the output of a protocol."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from simswap.checkpoint import SwapCheckpoint
from simswap.errors import InputError
from simswap.evaluation.pairs_file import PairNames
from simswap.faces.alignment import TEMPLATES
from simswap.faces.detection import Detector
from simswap.launching.evaluation_ranks import EvaluationRanks
from simswap.measuring.evaluator import Work, at_once
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.measured import Predictions
from simswap.measuring.swappers import FaceSource, PrecomputedSwaps
from simswap.measuring.window import Window

DEFAULT_TEMPLATE, DEFAULT_SIZE = "arcface", 112


@dataclass(frozen=True)
class Setting:
    """What a protocol gets from the command.

    Attributes:
        config: The checkpoint's config; empty without one.
        template: The template of the checkpoint's crops; None without a checkpoint.
        size: Their size in pixels; None without a checkpoint.
        data_root: A folder of prepared crops from the command line, or None.
        detector: A face detector, or None.
        out: The folder of results.
        ranks: The processes that share the evaluation.
        workers: Threads that read ahead.
        window: The window of photos to measure; None to measure crops.
        photos: The folder of photos that the command line names, or None.
        checkpoints: All checkpoints that swap, with their names in the table.
    """

    config: Mapping[str, Any]
    template: str | None
    size: int | None
    data_root: str | None
    detector: Detector | None
    out: Path
    ranks: EvaluationRanks
    workers: int = 0
    window: Window | None = None
    photos: str | None = None
    checkpoints: Sequence[tuple[str, SwapCheckpoint]] = ()

    def crops(self, template: str | None, size: int | None) -> tuple[str, int]:
        """Template and size of the crops to measure: the window's, if there is one.

        Args:
            template: The protocol's, which has precedence; None for the checkpoint's.
            size: Likewise, in pixels.

        Raises:
            InputError: For an unknown template, or a size out of range; for either beside a window.
        """
        if self.window is not None:
            for key, value in (("template", template), ("size", size)):
                if value is not None:
                    raise InputError(
                        f"protocol.{key}={value} is for crops, and measure.window=photo measures windows of photos: "
                        f"give measure.{key}={value} instead"
                    )
            return self.window.template, self.window.size
        template = template or self.template or DEFAULT_TEMPLATE
        if template not in TEMPLATES:
            raise InputError(f"protocol.template={template}: unknown template; choose one of {', '.join(TEMPLATES)}")
        size = size or self.size or DEFAULT_SIZE
        if not 16 <= size <= 4096:
            raise InputError(f"protocol.size={size}: a crop needs a side of 16 to 4096 pixels")
        return template, size


def in_memory(
    name: str, chunks: Sequence[np.ndarray], compute: Callable[[np.ndarray], Predictions]
) -> Iterable[Predictions]:
    """`measuring.evaluator.Work` in this process, with a progress bar; nothing is stored."""
    return tqdm(
        at_once(name, chunks, compute),
        f"measuring {name.split()[0]}",
        len(chunks),
        unit="batch",
        disable=None,
        leave=False,
    )


class Skipped(NamedTuple):
    """Something that was left out, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class ProtocolData:
    """Everything that an evaluation measures.

    Attributes:
        faces: The crops.
        pairs: The pairs, as rows of the crops.
        names: The pairs by name.
        facts: The protocol's description for evaluation.json.
        batch_size: Images at a time.
        finished: Precomputed swaps.
        skipped: What was left out.
        slices: Subsets of the pairs, bool [pairs] by name.
        work: Who processes the chunks, given the instruments.
        jitter: Whether to swap the frames before and after each target too.
    """

    faces: FaceSource
    pairs: ProtocolPairs
    names: PairNames
    facts: dict[str, Any]
    batch_size: int
    finished: Sequence[PrecomputedSwaps] = ()
    skipped: Sequence[Skipped] = ()
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)
    work: Callable[[Instruments], Work] = lambda instruments: in_memory
    jitter: bool = False


class EvaluationProtocol(Protocol):
    """A choice of ``protocol=``; its constructor takes the keys of its YAML file."""

    def prepare(self, setting: Setting) -> ProtocolData:
        """Find the faces and choose the pairs. Raises InputError for bad input."""


def check_share(skipped: Sequence[Skipped], of: int, limit: float, what: str, key: str) -> None:
    """Raise InputError if more than the share ``limit`` of ``of`` things was left out."""
    if len(skipped) > limit * of:
        first = skipped[0]
        raise InputError(
            f"{len(skipped)} of {of} {what} cannot be used, more than {key}={limit:g}; the first is "
            f"{first.what}: {first.reason}"
        )
