"""What the page says in one line, and text in HTML."""

import functools
import logging
import re
from collections.abc import Callable
from html import escape
from typing import Any

from simswap.app.shelf import PREFIX
from simswap.errors import InputError

log = logging.getLogger(__name__)

_OWN_FOLDER = re.compile(rf"\S*/{PREFIX}\d+-[^/\s]+/(?:\w+/)*(?:[0-9a-f]{{16,}}/)?")


def line(text: str, bad: bool = False) -> str:
    """A line as HTML that screen readers read out: at once if it is bad, else when they pause."""
    role = 'role="alert" class="line bad"' if bad else 'role="status" class="line"'
    return f"<p {role}>{escape(text)}</p>" if text else ""


def without_own_folder(text: str) -> str:
    """A text for the page, without the page's own folder in front of names."""
    return _OWN_FOLDER.sub("", text)


def told(work: Callable[..., Any], others: int) -> Callable[..., Any]:
    """A handler whose last output is a line: bad input becomes that line, and the other outputs stay as they are.

    Args:
        work: The handler; it returns a tuple of ``others`` outputs and the line (`line`), or a text for the line.
        others: The number of outputs before the line.
    """
    from simswap.app.library import gradio

    gr = gradio()

    @functools.wraps(work)
    def handler(*given: Any, **more: Any) -> Any:
        try:
            done = work(*given, **more)
        except InputError as error:
            return (*(gr.skip() for _ in range(others)), line(without_own_folder(str(error)), bad=True))
        except Exception:
            log.exception("the page's handler %s failed", work.__name__)
            message = "this did not work, and the fault is the program's: the terminal shows where"
            return (*(gr.skip() for _ in range(others)), line(message, bad=True))
        return done

    return handler
