"""The evaluator: measures swappers on fixed pairs. Validation and evaluation both use it.

The gallery contains images of unseen persons, including the sources and targets of all pairs. The judge embeds each
result, which is then looked up in the gallery. The result's head pose is compared with its target's on the same crop.
Swapping each target with itself gives the self-reconstruction.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.measured import Measured
from simswap.measuring.predictions import PairPredictions, Predictions, compute_registered
from simswap.measuring.swappers import Faces, FaceSource, PrecomputedSwaps, Swapper
from simswap.measuring.usable import is_direction, is_picture, true_gaze, usable_pairs
from simswap.metrics.figures import registered
from simswap.metrics.reconstruction import SelfReconstruction
from simswap.precision import figures_device, full_precision

log = logging.getLogger(__name__)

Work = Callable[[str, Sequence[np.ndarray], Callable[[np.ndarray], Predictions]], list[Predictions]]
"""(name of the stage, its chunks, function of a chunk) → the function's results for all chunks."""


def at_once(name: str, chunks: Iterable[np.ndarray], compute: Callable[[np.ndarray], Predictions]) -> list[Predictions]:
    """`Work` in this process, one chunk after the other."""
    return [compute(chunk) for chunk in chunks]


class Evaluator:
    """Measures swappers on a protocol's pairs; the gallery's predictions are computed at construction.

    Args:
        faces: The crops.
        pairs: The protocol's pairs.
        instruments: The networks that measure.
        batch_size: Images at a time.
        device: Where to swap and predict.
        work: Who processes the chunks of a stage.
        jitter: Whether to swap the frames before and after each target too.

    Raises:
        InputError: If the judge can embed no gallery image.
    """

    def __init__(
        self,
        faces: FaceSource,
        pairs: ProtocolPairs,
        instruments: Instruments,
        batch_size: int,
        device: torch.device,
        work: Work = at_once,
        jitter: bool = False,
    ) -> None:
        self.faces, self.pairs, self.instruments = faces, pairs, instruments
        self.batch_size, self.device, self.work, self.jitter = batch_size, device, work, jitter
        instruments.to(device)
        self.figures_device = figures_device(device)
        self.person = torch.from_numpy(faces.person).to(self.figures_device)
        self.gaze = None if instruments.gaze is None else true_gaze(faces.attribute, self.figures_device)
        self.gallery = self._joined(work("gallery", self._chunks(pairs.gallery), self._read))
        self.usable = usable_pairs(self.gallery["embedding"], pairs, instruments.judge.recognizer.name)

    def _read(self, rows: np.ndarray) -> Predictions:
        return self.instruments.read(self.faces.load(rows, self.device), self.faces.template)

    def _chunks(self, rows: np.ndarray) -> list[np.ndarray]:
        return np.array_split(rows, max(1, -(-len(rows) // self.batch_size)))

    def _joined(self, parts: Sequence[Predictions]) -> Predictions:
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: torch.cat([part[name] for part in parts]).to(self.figures_device) for name in names}

    def new_measurement(self) -> Measured:
        """An empty measurement."""
        return Measured(self.pairs, self.person, self.gallery, self.gaze)

    def measure(self, swapper: Swapper | PrecomputedSwaps) -> Measured:
        """Swap every pair, and every target with itself; logs a warning if results are unusable."""
        measured = self.new_measurement()
        chunks = self._chunks(np.arange(len(self.pairs.target)))
        stage = f"{swapper.name} {swapper.key}".strip()
        results = self._joined(self.work(stage, chunks, partial(self._results, swapper)))
        with full_precision():
            measured.add(results)
        if measured.missed_results:
            log.warning(
                "%s: %d of %d pairs have no usable result and count as missed",
                swapper.name,
                measured.missed_results,
                len(self.pairs.target),
            )
        return measured

    def measure_chunk(self, swapper: Swapper, chunk: np.ndarray, measured: Measured) -> None:
        """Swap some of the pairs, by their place in the protocol, and add them to a measurement."""
        results = self._results(swapper, chunk)
        measured.unusable += len(chunk) - len(results["place"])
        with full_precision():
            measured.add(results)

    @torch.no_grad()
    def _results(self, swapper: Swapper | PrecomputedSwaps, places: np.ndarray) -> Predictions:
        """The predictions for some pairs' results, as `Measured.add` takes them.

        The swaps are made in full precision too. So a validation in bf16-mixed and an evaluation of its checkpoint see
        the same results, and so do a GPU and a CPU.
        """
        with full_precision():
            return self._measured_results(swapper, places)

    def _measured_results(self, swapper: Swapper | PrecomputedSwaps, places: np.ndarray) -> Predictions:
        source, place = None, torch.from_numpy(places).to(self.figures_device)
        if isinstance(swapper, Swapper):
            target, source = (
                self.faces.load(rows[places], self.device, swapper.landmarks)
                for rows in (self.pairs.target, self.pairs.source)
            )
            result, there = swapper.swap(target, source), self._all_there(places)
            again = swapper.swap(target, target).images
            reconstruction = SelfReconstruction().to(self.figures_device)
            reconstruction.update(again.to(self.figures_device), target.images.to(self.figures_device))
            predictions = {column: reconstruction.values(column) for column in reconstruction.columns}
            there = there & is_picture(again)
        else:
            result, there = swapper.load(places, 0, self.device)
            predictions = {}
        # Instruments never see unusable images: some fail on a NaN, others find a face in it.
        there = there & is_picture(result.images) & self.usable[place].to(self.device)
        predictions |= self.instruments.read(_without_nan(result), self.faces.template)
        there = there & is_direction(predictions["embedding"])
        if self.jitter:
            before, after = (self._in_motion(swapper, places, source, offset) for offset in (-1, 1))
            for name, moments in (("pose", "poses"), ("embedding", "embeddings")):
                predictions[moments] = torch.stack([before[name], predictions[name], after[name]], dim=1)
        if registered():
            predictions |= compute_registered(self._pair_predictions(places, _without_nan(result), predictions))
        predictions["place"] = place
        return {
            name: values.to(self.figures_device)[there.to(self.figures_device)] for name, values in predictions.items()
        }

    def _pair_predictions(self, places: np.ndarray, result: Faces, predictions: Predictions) -> PairPredictions:
        """What a registered figure is computed from, all on the device of the figures."""

        def of_gallery(rows: np.ndarray) -> Predictions:
            images = self.faces.load(rows, self.device).images
            found = {name: values[np.searchsorted(self.pairs.gallery, rows)] for name, values in self.gallery.items()}
            return found | {"image": images.float().clamp(0, 1).to(self.figures_device)}

        made = predictions | {"image": result.images.float().clamp(0, 1)}
        target = self.pairs.target[places]
        true_gaze = {} if self.gaze is None else {"true_gaze": self.gaze[target]}
        return PairPredictions(
            {name: values.to(self.figures_device) for name, values in made.items()},
            of_gallery(target) | true_gaze,
            of_gallery(self.pairs.source[places]),
        )

    def _all_there(self, places: np.ndarray) -> Tensor:
        return torch.ones(len(places), dtype=torch.bool, device=self.device)

    def _in_motion(
        self, swapper: Swapper | PrecomputedSwaps, places: np.ndarray, source: Faces | None, offset: int
    ) -> Predictions:
        """Pose [B, 3] and the judge's embedding [B, E] with the targets ``offset`` frames later, NaN if missing.

        source: The source faces for a swapper; None for precomputed swaps.
        """
        if isinstance(swapper, PrecomputedSwaps):
            faces, there = swapper.load(places, offset, self.device)
        else:
            assert source is not None
            target = self.faces.load(self.pairs.target[places], self.device, swapper.landmarks, offset)
            faces, there = swapper.swap(target, source), self._all_there(places)
        there = there & is_picture(faces.images)
        images = _without_nan(faces).images.float().clamp(0, 1)
        predictions = {
            "pose": self.instruments.pose(images, self.faces.template, faces.view).float(),
            "embedding": self.instruments.judge(images, faces.view).float(),
        }
        return {name: values.masked_fill(~there[:, None], torch.nan) for name, values in predictions.items()}


def _without_nan(faces: Faces) -> Faces:
    return faces._replace(images=faces.images.nan_to_num(0.0))
