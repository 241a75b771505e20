"""What tells one instrument from another wherever figures are compared or kept: its name, its file, its settings."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable


@runtime_checkable
class Instrument(Protocol):
    """A network or a table that decides figures. The same hash and the same settings give the same answers."""

    @property
    def name(self) -> str:
        """The name in tables."""

    @property
    def sha256(self) -> str:
        """Of the files that hold the weights."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything else that decides the answers, as plain values; ``kind`` says what the instrument is."""


class Source(NamedTuple):
    """What decides figures and is no network, such as a table of landmarks: an `Instrument` too."""

    name: str
    sha256: str
    settings: Mapping[str, Any]


def describe(instrument: Instrument, **more: Any) -> dict[str, Any]:
    """``name``, ``sha256``, ``settings`` (``more`` among them) and their ``digest``, as evaluation.json has them.

    The digest is of hash and settings alone: a file that was renamed is still the same.
    """
    settings = {**instrument.settings, **more}
    return {
        "name": instrument.name,
        "sha256": instrument.sha256,
        "settings": settings,
        "digest": digest([instrument.sha256, settings]),
    }


def digest(settings: Any) -> str:
    """24 hexadecimal digits of plain settings, fit for a folder's name; equal settings have the same."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:24]
