"""Validation during training: the EMA generator on persons that training never sees, next to the controls."""

import logging
from collections.abc import Callable

import numpy as np
import torch

from simswap.data.datamodule import SwapDataModule
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.gallery import choose_pairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.measured import Measured
from simswap.measuring.swappers import COPY_SOURCE, DO_NOTHING, Faces, PreparedFaces, Swapper
from simswap.metrics.figures import validated
from simswap.models.embedder import Embedder
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer

log = logging.getLogger(__name__)


def logged_names() -> list[str]:
    """All names that a validation logs: ``val/<figure>``, and ``val/<control>/<figure>`` for each control."""
    of = ["", *(f"{control.name}/" for control in (DO_NOTHING, COPY_SOURCE))]
    return [name.replace("val/", f"val/{prefix}", 1) for prefix in of for name in validated()]


class Validation:
    """Fixed pairs of the ``val`` split; every rank measures its share, and the metrics are combined over ranks.

    Args:
        judge: a recognizer other than the trained one, or None: then the figures use the trained one.
        pose: the pose estimator.
        persons: persons in the gallery.
        images_per_person: images of each.
        pairs: swaps measured.
        batch_size: images per batch.
        seed: of the choice of pairs.
    """

    def __init__(
        self,
        judge: Recognizer | None,
        pose: PoseEstimator,
        persons: int,
        images_per_person: int,
        pairs: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.judge, self.pose = judge, pose
        self.persons, self.images_per_person, self.pairs = persons, images_per_person, pairs
        self.batch_size, self.seed = batch_size, seed
        self._evaluator: Evaluator | None = None
        self._controls: dict[str, float] = {}
        self._swapper: Swapper | None = None
        self._measured: Measured | None = None

    def prepare(self, data: SwapDataModule, rank: int, world_size: int) -> list[np.ndarray]:
        """Choose the pairs; returns this rank's share in chunks, as places in the list of pairs: int64 [n] each."""
        self._data = data
        self._protocol = choose_pairs(data, "val", self.persons, self.images_per_person, self.pairs, self.seed)
        mine = np.arange(rank, len(self._protocol.target), world_size)
        #: batches that every rank has; one may have one more
        self.common_batches = max(1, -(-(len(self._protocol.target) // world_size) // self.batch_size))
        return np.array_split(mine, max(1, -(-len(mine) // self.batch_size)))

    def start(self, embedder: Embedder, swap: Callable[[Faces, Faces], Faces], device: torch.device) -> None:
        """Embed the gallery and measure the controls, the first time; then start a new measurement."""
        if self._evaluator is None:
            template, size = embedder.view.template, embedder.view.crop_size
            judge = embedder if self.judge is None else Embedder(self.judge, template, size)
            instruments = Instruments(judge, self.pose)
            self._evaluator = Evaluator(PreparedFaces(self._data), self._protocol, instruments, self.batch_size, device)
            for control in (DO_NOTHING, COPY_SOURCE):
                figures = self._evaluator.measure(control).means(distributed=False)
                self._controls |= {f"val/{control.name}/{name}": value for name, value in figures.items()}
        self._swapper = Swapper("trained", "trained", swap)
        self._measured = self._evaluator.new_measurement()

    def step(self, chunk: torch.Tensor) -> None:
        """Swap and measure one chunk of pairs: places in the list of pairs, int64 [B], on any device."""
        assert self._evaluator is not None
        assert self._measured is not None
        assert self._swapper is not None
        self._evaluator.measure_chunk(self._swapper, chunk.cpu().numpy(), self._measured)

    def finish(self) -> dict[str, float]:
        """The figures over all ranks as ``val/…``, and those of the controls as ``val/<control>/…``."""
        assert self._measured is not None
        if self._measured.unusable:
            log.warning(
                "validation: %d swaps of the averaged generator are no pictures (NaN), or the judge cannot "
                "embed them; they count as missed",
                self._measured.unusable,
            )
        return {f"val/{name}": value for name, value in self._measured.means().items()} | self._controls
