"""Internal interfaces of W&B: the format of its files, and its reading of environment variables."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32768
"""Bytes of a block of W&B's files, which are written like LevelDB's logs: no record's header crosses a block's end."""


def history_rows(file: Path) -> Iterator[dict[str, str]]:
    """The rows of a ``.wandb`` file's history: name → value as JSON. A half-written last record is left out."""
    for record in parsed_records(file):
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


def parsed_records(file: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file, as W&B's protobuf messages. Half-written ones are left out."""
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    for content in records(file.read_bytes()):
        record = Record()
        try:
            record.ParseFromString(content)
        except DecodeError:
            continue
        yield record


def add_hashed_reference(artifact: Any, name: str, address: str, digest: str) -> None:
    """Add an entry that only names something by its hash; W&B's own call would take the address as the hash.

    Args:
        artifact: A ``wandb.Artifact`` that is not logged yet.
        name: The entry's name.
        address: What the hash refers to.
        digest: The hash.
    """
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

    entry = ArtifactManifestEntry(path=name, ref=address, digest=digest)  # type: ignore[arg-type]  # it converts the name
    artifact.manifest.add_entry(entry)


def cache_folder() -> Path:
    """W&B's cache folder: WANDB_CACHE_DIR, or ``wandb`` in the user's cache folder."""
    from wandb import env

    return Path(env.get_cache_dir())


def has_digest(entry: Any, file: Path) -> bool:
    """Whether a file has the hash of an artifact's entry, which names its algorithm."""
    from wandb.sdk.artifacts._generated import ArtifactDigestAlgorithm
    from wandb.sdk.lib.hashutil import md5_file_b64, xxh128_file_b64

    own = entry.digest_algorithm() is ArtifactDigestAlgorithm.MANIFEST_XXH128
    return entry.digest == (xxh128_file_b64(str(file)) if own else md5_file_b64(str(file)))
