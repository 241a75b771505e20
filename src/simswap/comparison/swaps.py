"""The same targets and sources swapped by every variant, cut out of the runs' grids."""

import hashlib
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from simswap.comparison.comparison import Comparison
from simswap.errors import InputError
from simswap.pictures import GAP, png_text

LARGEST = 256
"""The largest side of a cell on the page in pixels; larger ones are reduced."""


@dataclass(frozen=True)
class Grid:
    """The cells of a grid: targets [T], sources [S] and swaps [T, S], each uint8 [size, size, 3]; and its text."""

    targets: np.ndarray
    sources: np.ndarray
    swaps: np.ndarray
    text: Mapping[str, str]

    @property
    def faces(self) -> str:
        """A hash of the faces without the swaps; grids with equal hashes show the same faces."""
        return hashlib.sha256(self.targets.tobytes() + self.sources.tobytes()).hexdigest()


@dataclass(frozen=True)
class SwapRow:
    """One target, one source, and every variant's result: (label, image, the grid's text)."""

    target: np.ndarray
    source: np.ndarray
    results: tuple[tuple[str, np.ndarray, Mapping[str, str]], ...]


def read_grid(path: Path) -> Grid:
    """Split a grid made by `pictures.swap_grid` into cells. Raises InputError for any other file."""
    try:
        with Image.open(path) as picture:
            text = {k: v for k, v in getattr(picture, "text", {}).items() if not k.startswith("XML:")}
            pixels = np.asarray(picture.convert("RGB"))
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        struct.error,
        MemoryError,
        Image.DecompressionBombError,
    ) as error:
        raise InputError(f"{path} is not a readable image ({error})") from error
    across = next((n for n in range(2, 64) if _is_grid(pixels, n)), None)
    if across is None:
        raise InputError(
            f"{path} is not a grid of swaps: targets down the left, sources along the top, an empty corner"
        )
    size = (pixels.shape[1] + GAP) // across - GAP
    down = (pixels.shape[0] + GAP) // (size + GAP)
    cells = np.stack(
        [
            np.stack([pixels[r * (size + GAP) :][:size, c * (size + GAP) :][:, :size] for c in range(across)])
            for r in range(down)
        ]
    )
    return Grid(cells[1:, 0], cells[0, 1:], cells[1:, 1:], text)


def _is_grid(pixels: np.ndarray, across: int) -> bool:
    """Whether the image consists of square cells in ``across`` columns with white gaps and a white corner."""
    size, left = divmod(pixels.shape[1] + GAP, across)
    if left or size <= 2 * GAP or (pixels.shape[0] + GAP) % size:
        return False
    between = np.arange(pixels.shape[1]) % size >= size - GAP
    below = np.arange(pixels.shape[0]) % size >= size - GAP
    return all(bool((part == 255).all()) for part in (pixels[:, between], pixels[below], pixels[:size, :size]))


def side_by_side(comparison: Comparison, rows: int) -> tuple[list[SwapRow], list[str]]:
    """Up to ``rows`` pairs of faces that most variants' grids share.

    Each variant is represented by its run with the smallest seed that shows these faces.

    Returns:
        The rows, and notes on missing variants and on unusable grids.
    """
    grids: dict[str, dict[str, Grid]] = {}  # faces → variant → grid
    broken: list[str] = []
    if rows < 1:
        return [], []
    for variant in comparison.variants:
        for run in sorted(variant.runs, key=lambda run: run.seed):
            if run.grid is not None:
                try:
                    grid = read_grid(run.grid)
                except InputError as error:  # only this grid is left out
                    broken.append(f"Left out: {error}.")
                    continue
                grids.setdefault(grid.faces, {}).setdefault(variant.label, grid)
    if not grids:
        return [], broken
    shown = max(grids.values(), key=len)
    missing = [v.label for v in comparison.variants if v.label not in shown]
    notes = [*broken, *([f"Without a picture of these faces: {', '.join(missing)}."] if missing else [])]
    first = next(iter(shown.values()))
    down, across = first.swaps.shape[:2]
    places = [(k % down, (k + k // down) % across) for k in range(min(rows, down * across))]
    return [
        SwapRow(
            first.targets[t],
            first.sources[s],
            tuple((label, grid.swaps[t, s], grid.text) for label, grid in shown.items()),
        )
        for t, s in places
    ], notes


def cell_png(picture: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """A cell as PNG, at most LARGEST pixels wide; ``text``: the grid's text chunks, which state the swaps' origin."""
    image = Image.fromarray(picture)
    if image.width > LARGEST:
        image = image.resize((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=png_text(text) if text else None)
    return buffer.getvalue()


def sheet(rows: list[SwapRow], shorts: Mapping[str, str]) -> tuple[np.ndarray, dict[str, str]]:
    """All rows as one image (one column per variant, names on top), and the text for its file."""
    size = rows[0].target.shape[0]
    names = ["target", "source", *(shorts[label] for label, _, _ in rows[0].results)]
    head = 22
    height, width = len(rows) * (size + GAP) - GAP + head, len(names) * (size + GAP) - GAP
    picture = np.full((height, width, 3), 255, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, cell in enumerate((row.target, row.source, *(result for _, result, _ in row.results))):
            top, left = head + r * (size + GAP), c * (size + GAP)
            picture[top : top + size, left : left + size] = cell
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=11)
    for c, name in enumerate(names):
        while name and draw.textlength(name, font=font) > size:
            name = name[:-1]
        draw.text((c * (size + GAP) + size / 2, head / 2), name, font=font, fill=(30, 40, 50), anchor="mm")
    words = dict(rows[0].results[0][2])
    if words:
        words["Checkpoint"] = ", ".join(dict.fromkeys(t.get("Checkpoint", "?") for _, _, t in rows[0].results))
    return np.asarray(image), words
