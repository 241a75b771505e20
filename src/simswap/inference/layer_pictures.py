"""`LayerMaps` as pictures: color over the gray face, with one scale for all maps, and one sheet of them all.

``python -m simswap.inference.layer_pictures --out layers.png`` draws the sheet of two rendered faces with the
package's checkpoint; ``--target`` and ``--source`` take crops of simswap-prepare.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from simswap import checkpoint, pixels
from simswap.errors import InputError
from simswap.faces.alignment import align, warp
from simswap.faces.detection import Pixels
from simswap.inference.layer_maps import LayerMaps, Map, maps_of_swap
from simswap.inference.photos import read_photo
from simswap.inference.swapper import embedder_of
from simswap.measuring.swappers import Faces
from simswap.measuring.window import as_images
from simswap.models.builtin import WEIGHTS
from simswap.models.recorded import recognizer_of
from simswap.pictures import mark_synthetic, provenance, write_png
from simswap.rendered.dataset import photo

LAYERS_CHECKPOINT = WEIGHTS / "layers.ckpt"
"""The package's checkpoint that keeps its discriminators, for rendered faces."""

RENDERED = {"target": (21, 4, 0), "source": (21, 5, 0)}
"""Seed, person and image of the rendered faces."""

COLORS = ((12, 16, 60), (52, 62, 150), (28, 138, 158), (122, 200, 108), (252, 232, 84))
"""From 0 to the end of the scale, each lighter than the one before, so that the order shows without color too."""

OPACITY = 0.6
SIDE, GAP, LINE = 168, 12, 18
INK, FRAME = (29, 39, 51), (200, 30, 60)


def colored(values: npt.NDArray[np.float32], ceiling: float) -> Pixels:
    """Values [H, W] in `COLORS`, uint8 [H, W, 3]: 0 is the first, ``ceiling`` and above the last."""
    places = np.clip(values / ceiling if ceiling > 0 else np.zeros_like(values), 0, 1) * (len(COLORS) - 1)
    table = np.array(COLORS, np.float64)
    made = [np.interp(places, np.arange(len(COLORS)), table[:, channel]) for channel in range(3)]
    return np.stack(made, axis=-1).round().astype(np.uint8)


def over_gray(face: Pixels, values: Map, ceiling: float, side: int = SIDE) -> Pixels:
    """A map over a face.

    Args:
        face: uint8 [S, S, 3].
        values: float32 [S, S], see `LayerMaps.over_face`.
        ceiling: The value of the last color.
        side: Side of the picture, px.

    Returns:
        uint8 [side, side, 3]; the face is gray.
    """
    gray = Image.fromarray(face).convert("L").resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
    color = Image.fromarray(colored(values, ceiling)).resize((side, side), Image.Resampling.NEAREST)
    return np.asarray(Image.blend(gray, color, OPACITY))


def enlarged(face: Pixels, side: int = SIDE) -> Pixels:
    """The face in color, uint8 [side, side, 3]."""
    return np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC))


def color_bar(width: int, height: int) -> Pixels:
    """The colors from 0 (left) to the end of the scale as they show over middle gray, uint8 [height, width, 3]."""
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    return (colored(ramp, 1.0) * OPACITY + 128 * (1 - OPACITY)).round().astype(np.uint8)


def sheet(
    faces: dict[str, Pixels], maps: LayerMaps, first_layer: int, last_layer: int, layer_reduction: str = "sum"
) -> Pixels:
    """All maps of a pair on one picture; layers of the range are framed.

    Args:
        faces: ``source``, ``target`` and ``result``, each uint8 [S, S, 3]; the result gets the mark.
        maps: Of the pair.
        first_layer: m.
        last_layer: M.
        layer_reduction: ``sum`` or ``mean``.

    Returns:
        uint8 [H, W, 3]: the faces on top, then a row for each discriminator with its layers and what the range adds up
        to, then the scale.

    Raises:
        InputError: The range does not fit the layers.
    """
    total = maps.loss(first_layer, last_layer, layer_reduction)
    ceiling, columns = maps.ceiling(), max(maps.layers + 1, len(faces))
    top = float(max(maps.summed(0, maps.layers - 1, layer_reduction, k).max() for k in range(maps.scales)))
    row = SIDE + LINE + GAP
    page = Image.new("RGB", (columns * (SIDE + GAP) + GAP, (maps.scales + 1) * row + 2 * LINE + 3 * GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=13)

    def put(line: int, column: int, picture: Pixels, text: str, framed: bool = False) -> None:
        left, up = GAP + column * (SIDE + GAP), GAP + line * row
        page.paste(Image.fromarray(picture), (left, up))
        if framed:
            draw.rectangle((left - 3, up - 3, left + SIDE + 2, up + SIDE + 2), outline=FRAME, width=3)
        draw.text((left, up + SIDE + 3), text, font=font, fill=INK)

    for column, (name, face) in enumerate(faces.items()):
        large = enlarged(face)
        put(0, column, mark_synthetic(large) if name == "result" else large, name)
    for k in range(maps.scales):
        for i in range(maps.layers):
            picture = over_gray(faces["target"], maps.over_face(k, i), ceiling)
            text = f"D{k + 1} layer {i}: {float(maps.distances[k, i]):.3f}"
            put(k + 1, i, picture, text, first_layer <= i <= last_layer)
        summed = maps.summed(first_layer, last_layer, layer_reduction, k)
        part = maps.loss(first_layer, last_layer, layer_reduction, k)
        text = f"D{k + 1} {layer_reduction} {first_layer}..{last_layer}: {part:.3f}"
        put(k + 1, maps.layers, over_gray(faces["target"], summed, top), text)
    low = GAP + (maps.scales + 1) * row
    page.paste(Image.fromarray(color_bar(SIDE, LINE)), (GAP, low))
    draw.text(
        (SIDE + 2 * GAP, low + 1),
        f"0 to {ceiling:.2f} for layers, 0 to {top:.2f} for the last column.   "
        f"Feature matching, layers {first_layer}..{last_layer}, D1 + ... + D{maps.scales}: {total:.3f}",
        font=font,
        fill=INK,
    )
    return np.asarray(page)


def rendered_faces(template: str, size: int) -> dict[str, Pixels]:
    """`RENDERED` as crops, uint8 [size, size, 3] each."""
    found = {}
    for name, (seed, person, image) in RENDERED.items():
        drawn, _ = photo(seed, person, image, 2 * size)
        found[name] = warp(drawn.image, align(drawn.landmarks, template, size).matrix, size)
    return found


def _crop(path: Path, size: int) -> Pixels:
    picture = read_photo(path).seen()
    if picture.shape[:2] != (size, size):
        raise InputError(
            f"{path}: {picture.shape[1]} x {picture.shape[0]} px, but the checkpoint takes aligned crops of {size} px; "
            f"give crops of simswap-prepare size={size}"
        )
    return picture


def draw(given: argparse.Namespace) -> str:
    """Draw the sheet that the command line asks for; returns what to print. Raises InputError on bad input."""
    discriminators = checkpoint.load_discriminators(given.checkpoint)
    trained = checkpoint.load(given.checkpoint)
    trained.check_finite()
    embedder = embedder_of(trained, recognizer_of(trained.description["config"], given.recognition))
    size = trained.image_size
    crops = rendered_faces(trained.template, size)
    crops |= {name: _crop(path, size) for name in crops if (path := getattr(given, name))}
    target, source = (
        Faces(as_images([crops[name]], torch.device("cpu")), torch.zeros(1, dtype=torch.int64)) for name in crops
    )
    maps, result = maps_of_swap(trained, discriminators, embedder, target, source)
    first = discriminators.first_layer if given.first_layer is None else given.first_layer
    last = discriminators.last_layer if given.last_layer is None else given.last_layer
    reduction = given.layer_reduction or discriminators.layer_reduction
    made = pixels.to_uint8(result).permute(1, 2, 0).numpy()
    faces = {"source": crops["source"], "target": crops["target"], "result": made}
    picture = sheet(faces, maps, first, last, reduction)
    write_png(given.out, picture, provenance(f"sha256:{trained.sha256}"))
    loss = maps.loss(first, last, reduction)
    return f"feature matching of layers {first}..{last} ({reduction}): {loss:.4f}; picture: {given.out}"


def main() -> None:
    """``python -m simswap.inference.layer_pictures --out FILE``."""
    parser = argparse.ArgumentParser(
        prog="python -m simswap.inference.layer_pictures", description="Draw the distances of each discriminator layer."
    )
    parser.add_argument("--checkpoint", type=Path, default=LAYERS_CHECKPOINT, help="one with discriminators")
    parser.add_argument("--target", type=Path, help="an aligned crop; a rendered face if left out")
    parser.add_argument("--source", type=Path, help="an aligned crop; a rendered face if left out")
    parser.add_argument("--first-layer", type=int, help="m; that of training if left out")
    parser.add_argument("--last-layer", type=int, help="M; that of training if left out")
    parser.add_argument("--layer-reduction", choices=("sum", "mean"), help="that of training if left out")
    parser.add_argument("--recognition", help="the recognizer's file, if it is elsewhere now")
    parser.add_argument("--out", type=Path, required=True)
    try:
        print(draw(parser.parse_args()))
    except InputError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
