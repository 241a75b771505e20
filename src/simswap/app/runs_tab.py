"""The tab that shows runs."""

from simswap.app.library import gradio
from simswap.app.state import AppState


def build(state: AppState) -> None:
    """Build the tab."""
    gr = gradio()
    gr.Markdown("runs" if state.runs else "no runs")
