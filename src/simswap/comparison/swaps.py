"""The same targets and sources, swapped by every variant: cut out of the runs' own grid pictures."""

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
"""Pixels: larger cells are made smaller for the page."""


@dataclass(frozen=True)
class Grid:
    """A grid picture taken apart: targets [T], sources [S] and swaps [T, S], each uint8 [size, size, 3]; its text."""

    targets: np.ndarray
    sources: np.ndarray
    swaps: np.ndarray
    text: Mapping[str, str]

    @property
    def faces(self) -> str:
        """A word for the faces in it, without the swaps: grids that have it in common show the same ones."""
        return hashlib.sha256(self.targets.tobytes() + self.sources.tobytes()).hexdigest()


@dataclass(frozen=True)
class SwapRow:
    """One target and one source, and every variant's result: (label, picture, the grid's text)."""

    target: np.ndarray
    source: np.ndarray
    results: tuple[tuple[str, np.ndarray, Mapping[str, str]], ...]


def read_grid(path: Path) -> Grid:
    """Take a picture of pictures.swap_grid apart. Raises InputError for a file that is none."""
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
        raise InputError(f"{path} is no picture that can be read ({error})") from error
    across = next((n for n in range(2, 64) if _is_grid(pixels, n)), None)
    if across is None:
        raise InputError(f"{path} is no grid of swaps: targets down the left, sources along the top, an empty corner")
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
    """Whether square cells in ``across`` columns have white between them and a white corner."""
    size, left = divmod(pixels.shape[1] + GAP, across)
    if left or size <= 2 * GAP or (pixels.shape[0] + GAP) % size:
        return False
    between = np.arange(pixels.shape[1]) % size >= size - GAP
    below = np.arange(pixels.shape[0]) % size >= size - GAP
    return all(bool((part == 255).all()) for part in (pixels[:, between], pixels[below], pixels[:size, :size]))


def side_by_side(comparison: Comparison, rows: int) -> tuple[list[SwapRow], list[str]]:
    """Up to ``rows`` pairs of faces that most variants' grids share, and notes on who is not among them and on pictures
    that cannot be used.

    Of each variant the run of the smallest seed that shows these faces.
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
                except InputError as error:  # it costs itself alone
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
    """A cell as PNG, at most LARGEST pixels wide; ``text``: the grid's words on where its swaps come from."""
    image = Image.fromarray(picture)
    if image.width > LARGEST:
        image = image.resize((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=png_text(text) if text else None)
    return buffer.getvalue()


def sheet(rows: list[SwapRow], shorts: Mapping[str, str]) -> tuple[np.ndarray, dict[str, str]]:
    """All rows as one picture (a column a variant, their names on top), and the words that go into its file."""
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
