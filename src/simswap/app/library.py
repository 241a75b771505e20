"""The page's library, imported on first use with its own requests to other hosts switched off."""

import os
from types import ModuleType
from typing import Any

from simswap.packages import import_package

INSTALL = "pip install 'gradio>=6,<7' (setup.cfg's extra app)"
# Each of these would make gradio speak to a host other than the user's browser, or listen for one.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_VIBE_MODE": "",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def gradio() -> Any:
    """The installed gradio.

    Raises:
        InputError: It is not installed, or cannot be loaded.
    """
    os.environ.update(QUIET)
    return _imported("gradio")


def server() -> ModuleType:
    """uvicorn, which gradio brings. Raises InputError as `gradio`."""
    return _imported("uvicorn")


def web() -> ModuleType:
    """fastapi, which gradio brings. Raises InputError as `gradio`."""
    return _imported("fastapi")


def _imported(name: str) -> ModuleType:
    return import_package(name, f"simswap-app needs {name}", INSTALL)
