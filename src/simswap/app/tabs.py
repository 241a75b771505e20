"""The tabs of the page, in their order.

A tab is a module with ``build(state: AppState) -> None``, called once, inside of its own ``gradio.Tab`` of a
``gradio.Blocks``. It gets gradio from `simswap.app.library.gradio`, in the function, so that the package imports
without it. What a handler raises as InputError is shown by `simswap.app.lines.told`.
"""

from collections.abc import Callable

from simswap.app import layers_tab, runs_tab, try_tab
from simswap.app.state import AppState

TABS: tuple[tuple[str, Callable[[AppState], None]], ...] = (
    ("Try", try_tab.build),
    ("Runs", runs_tab.build),
    ("Layers", layers_tab.build),
)
"""The heading of each tab, and the function that builds it."""
