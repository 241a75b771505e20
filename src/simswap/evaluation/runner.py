"""Measures swappers by one protocol and formats the results for evaluation.json."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from simswap.checkpoint import SwapCheckpoint
from simswap.errors import InputError
from simswap.evaluation.classical import CLASSICAL
from simswap.evaluation.pairs_file import pairs_sha256
from simswap.evaluation.protocol_data import ProtocolData
from simswap.evaluation.trained_by import part_in_training
from simswap.measuring.evaluator import Evaluator
from simswap.measuring.instruments import PRECISION, Instruments, describe_judge, descriptions
from simswap.measuring.measured import Estimate, Measured
from simswap.measuring.swappers import COPY_SOURCE, DO_NOTHING, FaceSource, PrecomputedSwaps, Swapper, swap_faces
from simswap.measuring.window import OF_CROPS, Window
from simswap.metrics.figures import of_judge
from simswap.models.described import describe
from simswap.models.embedder import Embedder
from simswap.models.recognition import Recognizer
from simswap.settings.words import nearest

CONTROLS = (DO_NOTHING, COPY_SOURCE)
BASELINES = {"classical": CLASSICAL}


def checkpoint_swapper(
    checkpoint: SwapCheckpoint,
    embedder: Embedder,
    name: str,
    kind: str,
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> Swapper:
    """The checkpoint's generator as a swapper of images in unit range. dtype: of its products; None for fp32."""
    generator = checkpoint.generator.to(device)
    key = checkpoint.sha256 if dtype is None else f"{checkpoint.sha256} {dtype}"
    return Swapper(name, kind, partial(swap_faces, generator, embedder.to(device), dtype=dtype), key=key)


def checkpoint_swappers(
    rows: Sequence[tuple[str, SwapCheckpoint]],
    recognizer: Recognizer | None,
    faces: FaceSource,
    device: torch.device,
    dtype: torch.dtype | None = None,
    window: Window | None = None,
) -> list[Swapper]:
    """One swapper per (kind, checkpoint), named after its kind.

    With a window, each takes crops of its own template and size from the photos, and returns windows.

    Raises:
        InputError: If the recognizer or the crops do not fit a checkpoint.
    """
    made = []
    for kind, content in rows:
        assert recognizer is not None
        content.check_recognizer(recognizer)
        if window is None:
            content.check_crops(faces.template, faces.size)
        crops = content.template, content.image_size
        seen = Embedder(recognizer, *crops, content.recognizer_view)
        swapper = checkpoint_swapper(content, seen, kind, kind, device, dtype)
        made.append(swapper if window is None else window.around(swapper, crops))
    return made


def baselines(names: Sequence[str], window: Window | None = None) -> list[Swapper]:
    """Swappers that need no training, by name. Raises InputError for an unknown name."""
    for name in names:
        if name not in BASELINES:
            raise InputError(f"baselines: there is no {name!r}{nearest(name, BASELINES)}")
    return [BASELINES[name] if window is None else window.around(BASELINES[name]) for name in names]


class Evaluated(NamedTuple):
    """What an evaluation measured.

    Attributes:
        results: Each swapper's entry in evaluation.json.
        samples: Each swapper's figures for every pair, float [n].
        chance: The retrieval of a gallery image drawn at random.
        chances: The same by each further judge, whose gallery lacks the images that it cannot embed.
    """

    results: dict[str, dict[str, Any]]
    samples: dict[str, dict[str, np.ndarray]]
    chance: float
    chances: Mapping[str, float] = {}


def run_protocol(
    evaluator: Evaluator,
    swappers: Sequence[Swapper | PrecomputedSwaps],
    data: ProtocolData,
    slices: Mapping[str, np.ndarray] | None = None,
    window: Window | None = None,
) -> Evaluated:
    """Measure the swappers and the controls on the same pairs.

    Args:
        evaluator: Measures the swappers.
        swappers: The swappers.
        data: The protocol's pairs and its own slices.
        slices: Further slices, bool [pairs] by name.
        window: What is measured of each photo; None for crops.

    Raises:
        InputError: For two swappers with one name.
    """
    masks = {**data.slices, **(slices or {})}
    results: dict[str, dict[str, Any]] = {}
    samples: dict[str, dict[str, np.ndarray]] = {}
    chance, chances = float("nan"), dict.fromkeys(evaluator.instruments.judges, float("nan"))
    for swapper in (*swappers, *(window.controls() if window else CONTROLS)):
        if swapper.name in results:
            raise InputError(f"two rows of the table are named {swapper.name!r}; give one of them another name")
        measured = evaluator.measure(swapper)
        chance, chances = measured.chance, {name: judged.chance for name, judged in measured.judges.items()}
        samples[swapper.name] = {name: values.cpu().numpy() for name, values in measured.samples().items()}
        for judge, found in measured.judge_samples().items():
            samples[swapper.name] |= {of_judge(judge, name): values.cpu().numpy() for name, values in found.items()}
        results[swapper.name] = {
            "kind": swapper.kind,
            **({"crop": swapper.crop} if isinstance(swapper, Swapper) and swapper.crop else {}),
            **_plain(measured.figures()),
            "missed_results": measured.missed_results,
            "missed_poses": measured.missed_poses,
            **_by_judge(measured),
            "slices": {
                name: {**_plain(measured.figures(mask)), **_by_judge(measured, mask), **_counts(data, mask)}
                for name, mask in masks.items()
            },
        }
    return Evaluated(results, samples, chance, chances)


def _by_judge(measured: Measured, chosen: np.ndarray | None = None) -> dict[str, dict[str, Any]]:
    """``judges``: the figures of each further judge, and for all pairs how many it misses; nothing without any."""
    found: dict[str, dict[str, Any]] = {
        name: _plain(figures) for name, figures in measured.judge_figures(chosen).items()
    }
    if chosen is None:
        for name, figures in found.items():
            figures["missed_results"] = measured.judges[name].missed
    return {"judges": found} if found else {}


def describe_protocol(
    data: ProtocolData,
    instruments: Instruments,
    recognizer: Recognizer | None,
    evaluated: Evaluated,
    precision: str = PRECISION,
    slices: Mapping[str, Any] | None = None,
    window: Window | None = None,
    loss: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The ``protocol`` of evaluation.json.

    Args:
        data: The protocol's faces and pairs.
        instruments: What measured them.
        recognizer: The one used in training; None without a checkpoint.
        evaluated: What was measured of them.
        precision: Of the swaps.
        slices: `MeasuredSlices.facts`.
        window: What was measured of each photo; None for crops.
        loss: `loss_recognizers` of the checkpoints.
    """
    found, gaze = descriptions(instruments), instruments.gaze

    def judge(one: Embedder) -> dict[str, Any]:
        return {**describe_judge(one), **part_in_training(one.recognizer, recognizer, loss)}

    judges = [
        {"key": name, **judge(one), "chance": evaluated.chances[name]} for name, one in instruments.judges.items()
    ]
    return {
        "name": data.facts["name"],
        **_counts(data, np.ones(len(data.pairs.target), dtype=bool)),
        "pairs_sha256": pairs_sha256(data.names),
        "gallery_images": len(data.pairs.gallery),
        "chance": evaluated.chance,
        "recognizer": found["recognizer"] or (recognizer and describe(recognizer)),
        "judge": judge(instruments.judge),
        **({"judges": judges} if judges else {}),
        **({"loss_recognizers": list(loss)} if loss else {}),
        "pose": {**(found["pose"] or {}), "noise_floor_deg": instruments.pose.noise_floor_deg},
        "gaze": gaze and {**(found["gaze"] or {}), "noise_floor_deg": gaze.noise_floor_deg},
        "fid": found["fid"],
        "lpips": found["lpips"],
        "precision": precision,
        "window": window.described if window else OF_CROPS,
        "image_size": data.faces.size,
        "template": data.faces.template,
        "skipped": len(data.skipped),
        "slices": dict(slices or {}),
        **data.facts,
    }


def _counts(data: ProtocolData, chosen: np.ndarray) -> dict[str, int]:
    """Count the chosen pairs (bool [n]), their distinct targets, and their persons in either role."""
    target, source, person = data.pairs.target[chosen], data.pairs.source[chosen], data.faces.person
    return {
        "pairs": len(target),
        "targets": len(np.unique(target)),
        "source_persons": len(np.unique(person[source])),
        "target_persons": len(np.unique(person[target])),
    }


def _plain(figures: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: figure._asdict() for name, figure in figures.items()}
