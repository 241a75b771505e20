"""The work behind the page's photos: find faces, show them numbered, swap and measure."""

import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from simswap.app.networks import Networks, Opened
from simswap.app.shelf import Shelf
from simswap.errors import InputError
from simswap.faces.detection import Pixels
from simswap.faces.paste import PasteSettings
from simswap.inference.photos import Photo, read_photo
from simswap.inference.swap_figures import SwapFigures, measure_swaps
from simswap.inference.swapper import Aligned
from simswap.inference.writing import write_photo
from simswap.pictures import mark_synthetic, provenance

SHOWN_SIDE = 1280
"""Longest side in px of a picture on the page; the file to download has the photo's own size."""

Step = Callable[[float, str], None]
"""Told the share of the work that is done and what comes next; raises InputError where the user has cancelled."""


@dataclass(frozen=True)
class Swapped:
    """A photo's swap, on the page's shelf.

    Attributes:
        before: Address of the photo, as JPEG for the page.
        after: Address of the result, likewise, with the mark.
        download: Address of the result as PNG in the photo's size, with the mark and its provenance.
        size: Width and height in px of `before` and `after`.
        figures: Of each swapped face, by its number in the photo.
    """

    before: str
    after: str
    download: str
    size: tuple[int, int]
    figures: dict[int, SwapFigures]


def photo_faces(networks: Networks, opened: Opened, path: str | None, what: str) -> tuple[Photo, list[Aligned]]:
    """A photo and its faces, the main one first.

    Args:
        networks: Whose lock is held while the detector works.
        opened: Whose crops are cut.
        path: Of the upload; None where there is none.
        what: ``source`` or ``target``, for the message.

    Raises:
        InputError: There is no photo, it cannot be read, or shows no face.
    """
    if not path:
        raise InputError(f"there is no {what} photo: choose one, take one with the camera, or choose an example")
    photo = read_photo(Path(path))
    with networks.work:
        return photo, networks.faces(opened, photo)


def swap_photo(
    networks: Networks,
    opened: Opened,
    shelf: Shelf,
    source: tuple[str | None, int],
    target: tuple[str | None, Sequence[int]],
    paste: PasteSettings,
    step: Step,
) -> Swapped:
    """Swap faces of a photo, and measure the result.

    Args:
        networks: Whose lock is held while networks work.
        opened: The checkpoint.
        shelf: Where results go.
        source: Photo, and the number of its face from 1.
        target: Photo, and the numbers of the faces that are replaced.
        paste: How results get into the photo.
        step: See `Step`.

    Raises:
        InputError: A photo or the choice of faces cannot be used, or the user has cancelled.
    """
    step(0.05, "looking for the source's face")
    _, found = photo_faces(networks, opened, source[0], "source")
    step(0.25, "looking for the target's faces")
    photo, faces = photo_faces(networks, opened, target[0], "target")
    given = _chosen(found, [source[1]], "source")[0]
    targets = _chosen(faces, target[1], "target")
    swapper = copy.copy(opened.swapper)
    swapper.settings = paste
    with networks.work:
        step(0.45, f"swapping {len(targets)} {'face' if len(targets) == 1 else 'faces'}")
        done = swapper.paste(photo, targets, swapper.swap_crops(targets, [given] * len(targets)))
        step(0.7, "measuring")
        result = photo.to_srgb(done)
        measured = measure_swaps(
            opened.judge, opened.pose, opened.trained.template, targets, [given] * len(targets), result
        )
    step(0.9, "writing")
    words = provenance(f"sha256:{opened.trained.sha256}")
    download, path = shelf.new_file(f"{photo.path.stem}_swapped.png")
    write_photo(path, done, photo, words, mark=True)
    before, after = (scaled(picture, SHOWN_SIDE) for picture in (photo.seen(), mark_synthetic(result)))
    return Swapped(
        shelf.keep("before.jpg", as_jpeg(before)),
        shelf.keep("after.jpg", as_jpeg(after)),
        download,
        (before.shape[1], before.shape[0]),
        dict(zip(target[1], measured, strict=True)),
    )


def _chosen(faces: Sequence[Aligned], numbers: Sequence[int], what: str) -> list[Aligned]:
    if not numbers:
        raise InputError(f"no face of the {what} is chosen: tick at least one")
    if not all(1 <= number <= len(faces) for number in numbers):
        raise InputError(f"the {what} has {len(faces)} faces now: choose among them again")
    return [faces[number - 1] for number in numbers]


def numbered(photo: Photo, faces: Sequence[Aligned], side: int = 640) -> Pixels:
    """The photo with a numbered box around each face, uint8 [H, W, 3], its longest side at most ``side`` px."""
    seen = photo.seen()
    share = min(1.0, side / max(seen.shape[:2]))
    picture = Image.fromarray(scaled(seen, side))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(14, side // 36))
    assert isinstance(font, ImageFont.FreeTypeFont)
    for number, face in enumerate(faces, start=1):
        left, top, right, bottom = (float(value) * share for value in face.face.box)
        draw.rectangle((left, top, right, bottom), outline=(255, 255, 255), width=4)
        draw.rectangle((left, top, right, bottom), outline=(20, 90, 200), width=2)
        place = (max(left, 0) + 4, max(top - font.size - 6, 2))  # above the box, so that it hides no face
        words = draw.textbbox(place, str(number), font=font)
        draw.rectangle((words[0] - 4, words[1] - 3, words[2] + 4, words[3] + 3), fill=(20, 90, 200))
        draw.text(place, str(number), font=font, fill=(255, 255, 255))
    return np.asarray(picture)


def scaled(picture: Pixels, side: int) -> Pixels:
    """The picture uint8 [H, W, 3], made smaller where its longest side is over ``side`` px."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return picture
    share = side / max(height, width)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def as_jpeg(picture: Pixels) -> bytes:
    """JPEG for the page of uint8 [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=92, subsampling=0)
    return buffer.getvalue()
