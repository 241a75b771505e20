"""Escaping users' names in Markdown and CSV, so that they are never read as markup or formulas."""

import re
from typing import Any

# Markdown ignores an underscore inside a word, but not at its edge.
_MARKUP = re.compile(r"[\\`*\[\]|#~$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def markdown_text(text: str) -> str:
    """One line of Markdown, also for GitHub, that shows this text."""
    line = " ".join(text.split())
    return _MARKUP.sub(r"\\\g<0>", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def csv_value(value: Any) -> Any:
    """A CSV cell that no spreadsheet runs: text that looks like a formula gets a leading apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
