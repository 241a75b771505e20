"""One pair as the discriminators see it: computed once, then shown for any range of layers without the networks."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import torch

from simswap import pixels
from simswap.app.networks import Networks
from simswap.app.parts import table
from simswap.app.photo_work import as_jpeg, photo_faces
from simswap.checkpoint import load_discriminators
from simswap.faces.detection import Pixels
from simswap.inference.layer_maps import LayerMaps, Map, maps_of_swap
from simswap.inference.layer_pictures import SIDE, color_bar, enlarged, over_gray
from simswap.inference.swapper import Aligned
from simswap.measuring.swappers import Faces
from simswap.measuring.window import as_images
from simswap.pictures import mark_synthetic

WORDS = (("upper left", "top", "upper right"), ("left", "middle", "right"), ("lower left", "bottom", "lower right"))


@dataclass(frozen=True)
class Range:
    """The layers that count.

    Attributes:
        first_layer: m.
        last_layer: M.
        layer_reduction: ``sum`` or ``mean``.
    """

    first_layer: int
    last_layer: int
    layer_reduction: str


@dataclass(frozen=True)
class Compared:
    """A pair's distances and pictures.

    Attributes:
        maps: The distances.
        target: The target's crop, uint8 [S, S, 3].
        faces: ``source``, ``target`` and ``result``, enlarged; the result has the mark.
        trained: The range that the checkpoint was trained with.
        weight: Of feature matching in that training.
    """

    maps: LayerMaps
    target: Pixels
    faces: Mapping[str, Pixels]
    trained: Range
    weight: float
    _drawn: dict[tuple[int, int, bool], str] = field(default_factory=dict, repr=False)

    def layer(self, scale: int, layer: int, own_scale: bool) -> str:
        """The picture of a layer as an address that holds it, drawn once.

        Args:
            scale: The discriminator, from 0.
            layer: The layer, from 0.
            own_scale: Whether the colors end at the layer's own largest value, instead of at that of all layers.
        """
        key = (scale, layer, own_scale)
        if key not in self._drawn:
            values = self.maps.over_face(scale, layer)
            self._drawn[key] = self.over_target(values, float(values.max()) if own_scale else self.maps.ceiling())
        return self._drawn[key]

    def over_target(self, values: Map, ceiling: float) -> str:
        """A map over the target's face, as an address that holds the picture."""
        return _inline(over_gray(self.target, values, ceiling))


def compare(networks: Networks, path: Path, source: str | None, target: str | None) -> Compared:
    """Swap the main faces of two photos and compare every layer.

    Args:
        networks: Whose lock is held while networks compute.
        path: Of a checkpoint with discriminators.
        source: The photo of the source; None where there is none.
        target: The photo of the target.

    Raises:
        InputError: The checkpoint has no discriminators, or a photo is missing or shows no face.
    """
    discriminators, opened = load_discriminators(path), networks.open(path)
    given = photo_faces(networks, opened, source, "source")[1][0]
    replaced = photo_faces(networks, opened, target, "target")[1][0]
    pair = [_faces(face, opened.swapper.device) for face in (replaced, given)]
    with networks.work:
        maps, result = maps_of_swap(opened.trained, discriminators, opened.swapper.embedder, *pair)
    made = pixels.to_uint8(result).permute(1, 2, 0).cpu().numpy()
    faces = {"source": given.crop, "target": replaced.crop, "result": made}
    large = {name: enlarged(face) for name, face in faces.items()}
    return Compared(
        maps,
        replaced.crop,
        large | {"result": mark_synthetic(large["result"])},
        Range(discriminators.first_layer, discriminators.last_layer, discriminators.layer_reduction),
        discriminators.weight,
    )


def range_html(pair: Compared, chosen: Range, own_scale: bool) -> str:
    """The pair for a range of layers: faces, every layer's map, what the range adds up to, and the numbers.

    Raises:
        InputError: The range does not fit the layers.
    """
    maps = pair.maps
    faces = "".join(_figure(_inline(face), name, name) for name, face in pair.faces.items())
    top = max(
        float(maps.summed(0, maps.layers - 1, chosen.layer_reduction, scale).max()) for scale in range(maps.scales)
    )
    rows = "".join(_scale(pair, chosen, own_scale, scale, top) for scale in range(maps.scales))
    end = "the largest value of each layer" if own_scale else f"{maps.ceiling():.2f}"
    bar = (
        f'<figure class="color-scale"><img src="{_inline(color_bar(SIDE, 16))}" alt="colors from dark blue to yellow">'
        f"<figcaption>0 to {end} for layers, 0 to {top:.2f} for the range</figcaption></figure>"
    )
    return (
        f'<div class="layers"><p role="status">{escape(total_words(pair, chosen))}</p><div class="row">{faces}</div>'
        f"{rows}{bar}{_numbers(pair, chosen)}</div>"
    )


def total_words(pair: Compared, chosen: Range) -> str:
    """What the range adds up to, in a sentence."""
    first, last, reduction = chosen.first_layer, chosen.last_layer, chosen.layer_reduction
    maps = pair.maps
    parts = [maps.loss(first, last, reduction, scale) for scale in range(maps.scales)]
    sums = " + ".join(f"D{scale + 1} {part:.3f}" for scale, part in enumerate(parts))
    total = maps.loss(first, last, reduction)
    return (
        f"Layers {first} to {last} of 0 to {maps.layers - 1}, {reduction}: {sums} = {total:.3f}, times the weight "
        f"{pair.weight:g} = {pair.weight * total:.2f} in the loss. "
        + (
            "This is the range of its training."
            if chosen == pair.trained
            else f"It was trained with layers {pair.trained.first_layer} to {pair.trained.last_layer}, "
            f"{pair.trained.layer_reduction}."
        )
    )


def _scale(pair: Compared, chosen: Range, own_scale: bool, scale: int, top: float) -> str:
    """The row of one discriminator."""
    maps, shown = pair.maps, ""
    for layer in range(maps.layers):
        counts = chosen.first_layer <= layer <= chosen.last_layer
        cells, value = maps.maps[scale][layer].shape, float(maps.distances[scale, layer])
        state = "counts" if counts else "left out"
        words = (
            f"D{scale + 1}, layer {layer}, {cells[1]} × {cells[0]} cells, {state}: distance {value:.3f}, largest at "
            f"the {where(maps.over_face(scale, layer))} of the face"
        )
        caption = f"layer {layer}: {value:.3f}<br><small>{state}</small>"
        shown += _figure(pair.layer(scale, layer, own_scale), words, caption, "layer in" if counts else "layer")
    first, last, reduction = chosen.first_layer, chosen.last_layer, chosen.layer_reduction
    values, value = maps.summed(first, last, reduction, scale), maps.loss(first, last, reduction, scale)
    words = f"D{scale + 1}, {reduction} of layers {first} to {last}: {value:.3f}, largest at the {where(values)}"
    caption = f"{reduction} {first}..{last}: {value:.3f}<br><small>the range</small>"
    shown += _figure(pair.over_target(values, top), words, caption, "layer range")
    size = "the face at full size" if scale == 0 else f"the face at 1/{2**scale} of its size"
    return f'<h3>D{scale + 1}: {size}</h3><div class="row">{shown}</div>'


def where(values: Map) -> str:
    """In which ninth of a map [S, S] the largest mean is, in words."""
    side = values.shape[0]
    edges = [0, side // 3, side - side // 3, side]
    means = {
        (row, column): float(values[edges[row] : edges[row + 1], edges[column] : edges[column + 1]].mean())
        for row in range(3)
        for column in range(3)
    }
    row, column = max(means, key=lambda place: means[place])
    return WORDS[row][column]


def _numbers(pair: Compared, chosen: Range) -> str:
    maps, first, last = pair.maps, chosen.first_layer, chosen.last_layer
    total = maps.loss(first, last, "sum")
    rows = []
    for layer in range(maps.layers):
        values = [float(value) for value in maps.distances[:, layer]]
        counts = first <= layer <= last
        share = f"{100 * sum(values) / total:.0f} %" if counts and total else "left out"
        rows.append((f"layer {layer}", *(f"{value:.4f}" for value in values), share))
    heads = ("", *(f"D{scale + 1}" for scale in range(maps.scales)), "share of the range")
    return table("Distance of result and target in each layer", heads, rows)


def _figure(address: str, words: str, caption: str, kind: str = "face") -> str:
    return (
        f'<figure class="{kind}"><img src="{address}" alt="{escape(words)}" width="{SIDE}" height="{SIDE}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _inline(picture: Pixels) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(as_jpeg(picture)).decode()}"


def _faces(face: Aligned, device: torch.device) -> Faces:
    return Faces(as_images([face.crop], device), torch.tensor([face.alignment.view], device=device))
