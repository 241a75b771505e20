"""Names that people give, in Markdown and CSV: shown as they are, and never taken for markup or a formula."""

import re
from typing import Any

# An underscore inside a word is none of Markdown's; at its edge it is.
_MARKUP = re.compile(r"[\\`*\[\]|#~$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def markdown_text(text: str) -> str:
    """One line of Markdown (GitHub's too) that shows this text."""
    line = " ".join(text.split())
    return _MARKUP.sub(r"\\\g<0>", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def csv_value(value: Any) -> Any:
    """A CSV cell that no spreadsheet runs: text that would be a formula there gets an apostrophe in front."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
