"""The page put together: tabs, files that it made, and the guard before it."""

import os
from importlib.resources import files
from typing import Any

from simswap.app.guard import Guard, Limits
from simswap.app.library import gradio, web
from simswap.app.shelf import ADDRESS, KINDS
from simswap.app.state import AppState
from simswap.app.tabs import TABS

TITLE = "SimSwap Lab"
WAITING = 20  # requests for a network that may wait at the same time


def page(state: AppState, port: int, limits: Limits) -> Guard:
    """The page as an ASGI application.

    Args:
        state: What the tabs get.
        port: The port of 127.0.0.1 that it is served at.
        limits: Of uploads.

    Raises:
        InputError: gradio is not installed.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(state.shelf.uploads)  # read when gradio is imported
    gr, fastapi = gradio(), web()
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.get(f"{ADDRESS}/{{token}}/{{name}}")(_made(state))
    style, script = (files("simswap.app").joinpath(f"page.{end}").read_text("utf-8") for end in ("css", "js"))
    fonts = [gr.themes.Font(name) for name in ("system-ui", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "monospace")]
    gr.mount_gradio_app(
        app,
        blocks(state),
        path="/",
        server_name="127.0.0.1",
        server_port=port,
        footer_links=[],
        run_history=False,
        root_path="",
        allowed_paths=[],
        blocked_paths=[],
        show_error=False,
        max_file_size=limits.file_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Base(primary_hue="blue", font=fonts, font_mono=mono),
        css=style,
        head=f'<link rel="icon" href="data:,"><script>{script}</script>',
    )
    return Guard(app, port, state.shelf, limits)


def blocks(state: AppState) -> Any:
    """The tabs as one ``gradio.Blocks``."""
    gr = gradio()
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=False) as built:
        gr.HTML(f"<h1>{TITLE}</h1>")
        with gr.Tabs():
            for name, build in TABS:
                with gr.Tab(name, elem_id=f"tab-{name.lower().replace(' ', '-')}"):
                    build(state)
    built.queue(max_size=WAITING, default_concurrency_limit=4)
    return built


def _made(state: AppState) -> Any:
    """The route that serves a made file."""
    fastapi = web()
    from fastapi.responses import FileResponse

    def made(token: str, name: str) -> Any:
        found = state.shelf.find(token)
        if found is None or found.name != name:
            raise fastapi.HTTPException(404, "this file is no longer held; make it again")
        kind = KINDS.get(found.path.suffix, "application/octet-stream")
        return FileResponse(found.path, media_type=kind, filename=name, content_disposition_type="inline")

    return made
