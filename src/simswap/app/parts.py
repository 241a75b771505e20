"""Parts of the page in HTML: the picture of before and after with a slider, and tables of figures."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from simswap.app.photo_work import Swapped
from simswap.inference.swap_figures import SwapFigures

NOTHING = "—"
SMALL = 512  # px: smaller pictures are enlarged up to it


def slider(before: str, after: str, size: tuple[int, int], names: tuple[str, str] = ("before", "after")) -> str:
    """Two pictures on each other; a slider, which the keyboard moves too, says how much of each is seen.

    Args:
        before: Address of the picture on the left.
        after: Address of the picture on the right.
        size: Width and height of both in px.
        names: What the pictures are.
    """
    left, right = map(escape, names)
    move = "this.closest('.compare').style.setProperty('--at', this.value + '%')"
    return (
        f'<div class="compare" style="--at: 50%; max-width: {max(size[0], SMALL)}px">'
        f'<div class="pictures"><img src="{before}" alt="{left}" width="{size[0]}" height="{size[1]}">'
        f'<img class="over" src="{after}" alt="{right}" width="{size[0]}" height="{size[1]}"><span class="edge"></span>'
        f'<input type="range" min="0" max="100" value="50" aria-label="how much of {left} is shown, the rest is '
        f'{right}" oninput="{move}"></div>'
        f'<div class="names" aria-hidden="true"><span>{left}</span><span>{right}</span></div></div>'
    )


def download(address: str, words: str) -> str:
    """A link that saves a file."""
    return f'<p class="save"><a href="{address}" download>{escape(words)}</a></p>'


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first cell of each row is its head."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<figure class="figures"><figcaption>{escape(caption)}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )


def figures_table(swaps: Mapping[str, SwapFigures], judge: str, independent: bool) -> str:
    """What swaps did, one row each.

    Args:
        swaps: Name of the row → figures.
        judge: Name of the judge.
        independent: Whether the checkpoint was trained without it.
    """
    heads = ("", "cosine to source", "before the swap", "cosine to target", "identity moved", "pose error")
    rows = [
        (name, _number(one.to_source), _number(one.before), _number(one.to_target), _number(100 * one.share, 0, " %"),
         _number(one.pose_error_deg, 1, "°"))
        for name, one in swaps.items()
    ]  # fmt: skip
    doubt = "" if independent else "; the checkpoint was trained with it, so it is not independent"
    return table(f"Figures of the swap. Judge: {judge}{doubt}.", heads, rows)


def swapped_html(done: Swapped, judge: str, independent: bool) -> str:
    """A finished swap for the page."""
    rows = {f"face {number}": figures for number, figures in done.figures.items()}
    return (
        slider(done.before, done.after, done.size, ("target", "result"))
        + download(done.download, "Download the result (PNG, marked as synthetic)")
        + figures_table(rows, judge, independent)
    )


def _number(value: float, digits: int = 2, unit: str = "") -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}{unit}"
