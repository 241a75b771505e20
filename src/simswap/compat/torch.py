"""Private interfaces of torch."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
import torch.serialization

FOLDER, ALIGNMENT = "archive", 64  # inside the zip file: the folder's name; of each record's first byte
LOCAL_HEADER, FIELD_HEADER = 30, 4  # bytes of a zip file


def save_unlocked(content: Any, path: Path) -> None:
    """Write the file that ``torch.save`` writes, without holding Python's global lock meanwhile.

    ``torch.save`` holds it until the last byte is written (a second for each gigabyte), so that a thread which saves
    stops all others. Here it is free while a storage's checksum is computed and while its bytes are written.

    Args:
        content: As for ``torch.save``; all of its tensors on the CPU.
        path: The file.

    Raises:
        OSError: The file cannot be written.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        records = _Records(file)
        torch.serialization._save(content, records, pickle, torch.serialization.DEFAULT_PROTOCOL, False)
        records.write_record("version", "3\n", 2)


class _Records:
    """What torch's serialization needs of its own writer of zip files."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self.file = file

    def write_record(self, name: str, data: Any, size: int) -> None:
        """Append a record; ``data`` is text, bytes, or a storage on the CPU."""
        if isinstance(data, torch.UntypedStorage):
            data = torch.empty(0, dtype=torch.uint8).set_(data).numpy().data if size else b""  # type: ignore[call-overload]
        record = zipfile.ZipInfo(f"{FOLDER}/{name}")
        start = self.file.start_dir + LOCAL_HEADER + len(record.filename) + FIELD_HEADER
        padding = -start % ALIGNMENT  # torch maps storages into memory, and starts each at such a place
        record.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
        self.file.writestr(record, data)
