"""The worst pairs of a swapper: the largest pose errors and the least identity, as a list and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from simswap import pixels
from simswap.evaluation.pairs_file import PairNames
from simswap.evaluation.protocol_data import ProtocolData
from simswap.evaluation.runner import Evaluated
from simswap.measuring.swappers import Swapper
from simswap.metrics.similarity import identity_share
from simswap.pictures import GAP, provenance, write_png
from simswap.precision import full_precision

POSE, IDENTITY = "pose_error_deg", "identity_share"
TITLES = {POSE: "largest pose error", IDENTITY: "least identity"}
SMALLEST, LARGEST = 96, 160
"""Sides of a face in the picture in px; smaller and larger crops are resized."""
PANEL, HEAD, LETTERS = 132, 40, 13
"""Width of the numbers beside a row, height of the titles, and size of the letters, in px."""
INK = (30, 40, 50)


class Values(NamedTuple):
    """What the worst pairs are chosen by and show, float [pairs] each, NaN where unknown."""

    pose: np.ndarray
    share: np.ndarray
    cosine: np.ndarray

    @classmethod
    def of(cls, own: Mapping[str, np.ndarray], nothing: Mapping[str, np.ndarray]) -> "Values":
        """From the figures of a swapper's pairs and of `do_nothing`'s, whose cosine is the target's to the source."""
        cosine, before = own["id_similarity"], nothing["id_similarity"]
        share = identity_share(torch.from_numpy(cosine), torch.from_numpy(before)).numpy()
        return cls(own[POSE], share, cosine)

    def worst(self, count: int) -> dict[str, np.ndarray]:
        """The places of up to ``count`` pairs by `TITLES`, the worst first; ties in the order of the pairs."""
        found = {}
        for name, badness in ((POSE, self.pose), (IDENTITY, -self.share)):
            order = np.argsort(-badness, kind="stable")  # NaN last
            found[name] = order[: min(count, int((~np.isnan(badness)).sum()))]
        return found


def worst_pairs(values: Values, names: PairNames, count: int) -> dict[str, Any]:
    """The worst pairs for evaluation.json.

    Returns:
        ``pose_error_deg`` and ``identity_share``: up to ``count`` entries with ``pair``, ``target``, ``source`` and the
        values. ``no_result``: as many of the pairs without a result, ``no_pose``: of those without a pose error.
    """

    def named(place: int) -> dict[str, Any]:
        return {"pair": int(place), "target": names.target[place], "source": names.source[place]}

    def entry(place: int) -> dict[str, Any]:
        return named(place) | {
            POSE: float(values.pose[place]),
            IDENTITY: float(values.share[place]),
            "id_similarity": float(values.cosine[place]),
        }

    missed = np.isnan(values.cosine)
    unposed = np.isnan(values.pose) & ~missed
    return {
        **{name: [entry(place) for place in places] for name, places in values.worst(count).items()},
        "no_result": [named(place) for place in np.flatnonzero(missed)[:count]],
        "no_pose": [named(place) for place in np.flatnonzero(unposed)[:count]],
    }


@torch.inference_mode()
def faces_of_pairs(
    data: ProtocolData, swapper: Swapper, places: Sequence[int], device: torch.device
) -> list[np.ndarray]:
    """Sources, targets and results of these pairs, uint8 [n, S, S, 3] each; swapped again, in full precision."""
    rows = np.asarray(places, dtype=np.int64)
    with full_precision():
        source, target = (
            data.faces.load(of[rows], device, swapper.landmarks) for of in (data.pairs.source, data.pairs.target)
        )
        result = swapper.swap(target, source)
    return [pixels.to_uint8(faces.images.cpu()).movedim(1, -1).numpy() for faces in (source, target, result)]


def worst_picture(
    data: ProtocolData, swapper: Swapper, values: Values, count: int, device: torch.device
) -> np.ndarray | None:
    """The worst pairs as a picture: on the left by pose, on the right by identity; each row is one pair.

    Returns:
        uint8 [H, W, 3]; None if no pair has a value.
    """
    worst = values.worst(count)
    places = [int(place) for found in worst.values() for place in found]
    if not places:
        return None
    faces = faces_of_pairs(data, swapper, places, device)
    side = min(max(data.faces.size, SMALLEST), LARGEST)
    block = 3 * (side + GAP) + PANEL
    height = HEAD + max(len(found) for found in worst.values()) * (side + GAP)
    picture = Image.new("RGB", (len(worst) * block + (len(worst) - 1) * 4 * GAP, height), (255, 255, 255))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=LETTERS)
    k = 0
    for column, (name, found) in enumerate(worst.items()):
        left = column * (block + 4 * GAP)
        draw.text((left, 1), TITLES[name], font=ImageFont.load_default(size=LETTERS + 2), fill=INK)
        for c, word in enumerate(("source", "target", "result")):
            draw.text((left + c * (side + GAP), HEAD - LETTERS - 5), word, font=font, fill=INK)
        for row, place in enumerate(found):
            top = HEAD + row * (side + GAP)
            for c, crops in enumerate(faces):
                face = Image.fromarray(crops[k]).resize((side, side), Image.Resampling.BICUBIC)
                picture.paste(face, (left + c * (side + GAP), top))
            words = "\n".join(_numbers(values, int(place)))
            draw.multiline_text((left + 3 * (side + GAP) + 2, top + 2), words, font=font, fill=INK, spacing=5)
            k += 1
    return np.asarray(picture)


def _numbers(values: Values, place: int) -> list[str]:
    def shown(value: float, form: str) -> str:
        return form.format(value) if value == value else "–"

    return [
        f"pair {place}",
        f"pose error {shown(float(values.pose[place]), '{:.1f}°')}",
        f"identity {shown(100 * float(values.share[place]), '{:.0f} %')}",
        f"cosine {shown(float(values.cosine[place]), '{:.2f}')}",
    ]


def add_worst(evaluated: Evaluated, names: PairNames, count: int) -> dict[str, Values]:
    """Add ``worst`` to the results of every swapper that is not a control; returns what it was chosen by."""
    if not count:
        return {}
    found = {}
    for name, result in evaluated.results.items():
        if result["kind"] != "control":
            found[name] = values = Values.of(evaluated.samples[name], evaluated.samples["do_nothing"])
            result["worst"] = worst_pairs(values, names, count)
    return found


def write_worst(
    stem: Path,
    data: ProtocolData,
    swappers: Sequence[Swapper],
    values: Mapping[str, Values],
    sha256: Mapping[str, str],
    count: int,
    device: torch.device,
) -> dict[str, Path]:
    """Write a picture of each network's worst pairs.

    Args:
        stem: How the files' names begin, `stem_of`.
        data: The protocol's faces and pairs.
        swappers: The networks.
        values: `add_worst`.
        sha256: The hash of each network's checkpoint, by the swapper's name.
        count: Rows.
        device: Where to swap.

    Returns:
        The files, by the swapper's name.
    """
    files = {}
    for swapper in swappers if count else []:
        kind = swapper.name
        file = Path(f"{stem}_worst.png" if kind == "trained" else f"{stem}_worst_{kind}.png")
        file.unlink(missing_ok=True)  # an earlier evaluation's would not belong to this one's figures
        picture = worst_picture(data, swapper, values[kind], count, device)
        if picture is not None:
            write_png(file, picture, provenance(f"sha256:{sha256[kind]}"))
            files[kind] = file
            print(f"worst pairs ({kind}): {file}")
    return files
