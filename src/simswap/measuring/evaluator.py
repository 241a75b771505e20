"""The evaluator: measures swappers on fixed pairs. Validation and evaluation both use it.

The gallery contains images of unseen persons, including the sources and targets of all pairs. The judge embeds each
result, which is then looked up in the gallery. The result's head pose is compared with its target's on the same crop.
Swapping each target with itself gives the self-reconstruction.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.instruments import Instruments
from simswap.measuring.measured import Measured
from simswap.measuring.predictions import PairPredictions, Predictions, compute_registered, embedding_of
from simswap.measuring.stage import THERE, Stage, joined, results_of
from simswap.measuring.swappers import Faces, FaceSource, PrecomputedSwaps, Swapper
from simswap.measuring.transfer import to_device
from simswap.measuring.usable import is_direction, is_picture, true_gaze, usable_pairs
from simswap.metrics.figures import registered
from simswap.metrics.reconstruction import SelfReconstruction
from simswap.metrics.sharpness import sharpness
from simswap.precision import figures_device, full_precision

log = logging.getLogger(__name__)

Work = Callable[[str, Sequence[np.ndarray], Callable[[np.ndarray], Predictions]], Iterable[Predictions]]
"""(name of the stage, its chunks, function of a chunk) → the function's results for all chunks."""


def at_once(
    name: str, chunks: Sequence[np.ndarray], compute: Callable[[np.ndarray], Predictions]
) -> Iterable[Predictions]:
    """`Work` in this process, one chunk after the other."""
    return results_of(compute, chunks)


class Shown(NamedTuple):
    """The faces that a chunk's results are computed from.

    Attributes:
        target: The targets; None for precomputed swaps, unless they are compared with them.
        source: The sources; None for precomputed swaps.
        finished: Precomputed swaps and which of them exist, bool [B].
        moved: The targets, or the precomputed swaps, of the frames before and after.
    """

    target: Faces | None = None
    source: Faces | None = None
    finished: tuple[Faces, Tensor] | None = None
    moved: Sequence[tuple[Faces, Tensor]] = ()


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
        workers: Threads that read the faces of the next chunks meanwhile.

    Raises:
        InputError: If a judge can embed no gallery image.
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
        workers: int = 0,
    ) -> None:
        self.faces, self.pairs, self.instruments = faces, pairs, instruments
        self.batch_size, self.device, self.work, self.jitter = batch_size, device, work, jitter
        self.workers = workers
        instruments.to(device)
        self.figures_device = figures_device(device)
        self.person = torch.from_numpy(faces.person).to(self.figures_device)
        self.gaze = None if instruments.gaze is None else true_gaze(faces.attribute, self.figures_device)
        stage = Stage(lambda rows: faces.load(rows, device), self._read, workers)
        self.gallery = joined(work("gallery", self._chunks(pairs.gallery), stage), self.figures_device)
        self.usable = usable_pairs(self.gallery["embedding"], pairs, instruments.judge.recognizer.name)
        for name, judge in instruments.judges.items():
            usable_pairs(self.gallery[embedding_of(name)], pairs, judge.recognizer.name)  # or it stops here

    def _read(self, rows: np.ndarray, faces: Faces) -> Predictions:
        return self.instruments.read(faces, self.faces.template) | {"sharpness": sharpness(faces.images)}

    def _chunks(self, rows: np.ndarray) -> list[np.ndarray]:
        return np.array_split(rows, max(1, -(-len(rows) // self.batch_size)))

    def new_measurement(self) -> Measured:
        """An empty measurement."""
        return Measured(self.pairs, self.person, self.gallery, self.gaze, list(self.instruments.judges))

    def measure(self, swapper: Swapper | PrecomputedSwaps) -> Measured:
        """Swap every pair, and every target with itself; logs a warning if results are unusable."""
        measured = self.new_measurement()
        chunks = self._chunks(np.arange(len(self.pairs.target)))
        name = f"{swapper.name} {swapper.key}".strip()
        results = joined(self.work(name, chunks, self._stage(swapper)), self.figures_device)
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
        results = self._stage(swapper)(chunk)
        measured.unusable += len(chunk) - len(results["place"])
        with full_precision():
            measured.add(results)

    def _stage(self, swapper: Swapper | PrecomputedSwaps) -> Stage:
        return Stage(partial(self._shown, swapper), partial(self._results, swapper), self.workers)

    def _shown(self, swapper: Swapper | PrecomputedSwaps, places: np.ndarray) -> Shown:
        """Read the faces for some pairs' results."""
        offsets = (-1, 1) if self.jitter else ()
        if isinstance(swapper, PrecomputedSwaps):
            finished, *moved = (swapper.load(places, offset, self.device) for offset in (0, *offsets))
            compared = self.instruments.lpips is not None
            target = self.faces.load(self.pairs.target[places], self.device) if compared else None
            return Shown(target, finished=finished, moved=moved)
        targets, sources = self.pairs.target[places], self.pairs.source[places]
        target, source = (self.faces.load(rows, self.device, swapper.landmarks) for rows in (targets, sources))
        others = [
            (self.faces.load(targets, self.device, swapper.landmarks, offset), self._all_there(places))
            for offset in offsets
        ]
        return Shown(target, source, moved=others)

    @torch.inference_mode()
    def _results(self, swapper: Swapper | PrecomputedSwaps, places: np.ndarray, shown: Shown) -> Predictions:
        """The predictions for some pairs' results, as `Measured.add` takes them, with `THERE`.

        The swaps are made in full precision too. So a validation in bf16-mixed and an evaluation of its checkpoint see
        the same results, and so do a GPU and a CPU.
        """
        with full_precision():
            return self._measured_results(swapper, places, shown)

    def _measured_results(self, swapper: Swapper | PrecomputedSwaps, places: np.ndarray, shown: Shown) -> Predictions:
        place = to_device(torch.from_numpy(places), self.figures_device)
        if isinstance(swapper, Swapper):
            target, source = shown.target, shown.source
            assert target is not None
            assert source is not None
            result, there = swapper.swap(target, source), self._all_there(places)
            again = swapper.swap(target, target).images
            reconstruction = SelfReconstruction().to(self.figures_device)
            reconstruction.update(again.to(self.figures_device), target.images.to(self.figures_device))
            predictions = {column: reconstruction.values(column) for column in reconstruction.columns}
            there = there & is_picture(again)
            if self.instruments.lpips is not None:
                predictions["self_lpips"] = self.instruments.lpips(again.nan_to_num(0.0), target.images)
        else:
            assert shown.finished is not None
            result, there = shown.finished
            predictions = {}
        # Instruments never see unusable images: some fail on a NaN, others find a face in it.
        there = there & is_picture(result.images) & self.usable[place].to(self.device)
        predictions |= self.instruments.read(_without_nan(result), self.faces.template)
        if self.instruments.lpips is not None:
            assert shown.target is not None
            predictions["lpips"] = self.instruments.lpips(_without_nan(result).images.clamp(0, 1), shown.target.images)
        there = there & is_direction(predictions["embedding"])
        if self.jitter:
            before, after = (self._in_motion(swapper, shown.source, *moved) for moved in shown.moved)
            for name, moments in (("pose", "poses"), ("embedding", "embeddings")):
                predictions[moments] = torch.stack([before[name], predictions[name], after[name]], dim=1)
        if registered():
            predictions |= compute_registered(self._pair_predictions(places, _without_nan(result), predictions))
        predictions |= {"place": place, THERE: there}
        return {name: values.to(self.figures_device) for name, values in predictions.items()}

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
        self, swapper: Swapper | PrecomputedSwaps, source: Faces | None, faces: Faces, there: Tensor
    ) -> Predictions:
        """Pose [B, 3] and the judge's embedding [B, E] one frame earlier or later, NaN if missing.

        faces: The targets of a swapper, or precomputed swaps. source: The source faces for a swapper.
        """
        if isinstance(swapper, Swapper):
            assert source is not None
            faces = swapper.swap(faces, source)
        there = there & is_picture(faces.images)
        images = _without_nan(faces).images.float().clamp(0, 1)
        predictions = {
            "pose": self.instruments.pose(images, self.faces.template, faces.view).float(),
            "embedding": self.instruments.judge(images, faces.view).float(),
        }
        return {name: values.masked_fill(~there[:, None], torch.nan) for name, values in predictions.items()}


def _without_nan(faces: Faces) -> Faces:
    return faces._replace(images=faces.images.nan_to_num(0.0))
