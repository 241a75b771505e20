"""The tab where a swap is tried."""

from simswap.app.library import gradio
from simswap.app.state import AppState


def build(state: AppState) -> None:
    """Build the tab."""
    gr = gradio()
    gr.Markdown(f"{state.networks.main.trained.path.name}")
