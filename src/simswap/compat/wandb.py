"""Internal interfaces of W&B: the format of its files, and its reading of environment variables."""

import struct
from collections.abc import Iterator
from pathlib import Path

BLOCK = 32768
"""Bytes of a block of W&B's files, which are written like LevelDB's logs: no record's header crosses a block's end."""


def history_rows(file: Path) -> Iterator[dict[str, str]]:
    """The rows of a ``.wandb`` file's history: name → value as JSON. A half-written last record is left out."""
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    for content in records(file.read_bytes()):
        record = Record()
        try:
            record.ParseFromString(content)
        except DecodeError:
            continue
        if record.WhichOneof("record_type") == "history":
            yield {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}


def records(content: bytes) -> Iterator[bytes]:
    """Records of W&B's file, which follow a header of 7 bytes.

    A record has parts, each with a checksum, its length and its kind (1 complete, 2 first, 3 middle, 4 last).
    """
    position, record = 7, b""
    while position + 7 <= len(content):
        rest = BLOCK - position % BLOCK
        if rest < 7:
            position += rest
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        if kind not in (1, 2, 3, 4) or position + 7 + length > len(content):
            return
        part = content[position + 7 : position + 7 + length]
        position += 7 + length
        record = part if kind in (1, 2) else record + part
        if kind in (1, 4):
            yield record


def take_setting(name: str, value: str) -> None:
    """Parse an environment variable as W&B does at its start. Raises W&B's or pydantic's own error for a bad value."""
    import wandb

    wandb.Settings().update_from_env_vars({name: value})
