"""What a protocol is given, and what it hands over to be measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

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

DEFAULT_TEMPLATE, DEFAULT_SIZE = "arcface", 112


@dataclass(frozen=True)
class Setting:
    """The command's side: the checkpoint's config (empty without one), and the template and size of its crops (None
    without one); prepared crops given by hand; a face detector; where to write; which of several processes this is.
    """

    config: Mapping[str, Any]
    template: str | None
    size: int | None
    data_root: str | None
    detector: Detector | None
    out: Path
    ranks: EvaluationRanks

    def crops(self, template: str | None, size: int | None) -> tuple[str, int]:
        """Template and size of the crops that are made: the checkpoint's, or what the protocol says without one."""
        template = template or self.template or DEFAULT_TEMPLATE
        if template not in TEMPLATES:
            raise InputError(
                f"protocol.template={template}: there is no such template; choose one of {', '.join(TEMPLATES)}"
            )
        size = size or self.size or DEFAULT_SIZE
        if not 16 <= size <= 4096:
            raise InputError(f"protocol.size={size}: a crop has between 16 and 4096 pixels a side")
        return template, size


def in_memory(
    name: str, chunks: Sequence[np.ndarray], compute: Callable[[np.ndarray], Predictions]
) -> list[Predictions]:
    """`measuring.Work` in this process, nothing kept."""
    return at_once(name, tqdm(chunks, f"measuring {name.split()[0]}", unit="batch", disable=None, leave=False), compute)


class Skipped(NamedTuple):
    """What was left out, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class ProtocolData:
    """What is measured. facts: the protocol in words, as they go into evaluation.json. slices: bool [pairs] by name.
    work: who does the chunks, with these instruments."""

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
    """A choice of ``protocol=``: its constructor takes the YAML's keys."""

    def prepare(self, setting: Setting) -> ProtocolData:
        """Find the faces and the pairs. Raises InputError for bad input."""


def check_share(skipped: Sequence[Skipped], of: int, limit: float, what: str, key: str) -> None:
    """Raise InputError where more than the share ``limit`` of ``of`` things was left out."""
    if len(skipped) > limit * of:
        first = skipped[0]
        raise InputError(
            f"{len(skipped)} of {of} {what} cannot be used, more than {key}={limit:g}; the first is "
            f"{first.what}: {first.reason}"
        )
