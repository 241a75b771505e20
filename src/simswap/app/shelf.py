"""The page's own temporary folder: uploads, and the pictures and files that the page made.

Everything in it is deleted when the page ends; single files earlier, when they are old. A made file is served under a
random name alone, so that only the browser that it was made for can ask for it.
"""

import os
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from simswap.files import is_running

PREFIX = "simswap-app-"
ADDRESS = "/made"
KINDS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".svg": "image/svg+xml", ".mp4": "video/mp4",
    ".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska", ".html": "text/html; charset=utf-8",
}  # fmt: skip
"""Ends of the names of files that are served, and what the browser is told that they are."""


@dataclass(frozen=True)
class Made:
    """A file that the page made: where it is, its name for the user, and when it was made (s)."""

    path: Path
    name: str
    time: float


class Shelf:
    """The folder, and the made files by their random name.

    Args:
        keep_s: Age in seconds from which a file may be deleted.
    """

    def __init__(self, keep_s: float) -> None:
        remove_leftovers(Path(tempfile.gettempdir()))
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.uploads, self._work = self.folder / "uploads", self.folder / "made"
        self.uploads.mkdir()
        self._work.mkdir()
        self.keep_s = keep_s
        self._made: dict[str, Made] = {}
        self._lock = threading.Lock()

    def new_file(self, name: str) -> tuple[str, Path]:
        """A place for a file that the caller writes.

        Args:
            name: The file's name for the user; its end is one of `KINDS`.

        Returns:
            The address on the page, and the path. Nothing is served before the file is there.
        """
        token = secrets.token_urlsafe(16)
        path = self._work / f"{token}{Path(name).suffix.lower()}"
        with self._lock:
            self._made[token] = Made(path, name, time.time())
        return f"{ADDRESS}/{token}/{quote(name)}", path

    def keep(self, name: str, content: bytes) -> str:
        """Write a file and return its address; see `new_file`."""
        address, path = self.new_file(name)
        path.write_bytes(content)
        return address

    def find(self, token: str) -> Made | None:
        """The made file of this random name; None where there is none, or no longer."""
        with self._lock:
            made = self._made.get(token)
        return made if made is not None and made.path.is_file() else None

    def uploaded(self) -> tuple[int, int]:
        """How many uploaded files are held, and their bytes."""
        sizes = [path.stat().st_size for path in self.uploads.rglob("*") if path.is_file()]
        return len(sizes), sum(sizes)

    def tidy(self, now: float | None = None) -> None:
        """Delete the files that are older than ``keep_s``. now: seconds since the epoch, for tests."""
        limit = (time.time() if now is None else now) - self.keep_s
        with self._lock:
            for token in [token for token, made in self._made.items() if made.time < limit]:
                self._made.pop(token).path.unlink(missing_ok=True)
        for path in sorted(self.uploads.rglob("*"), reverse=True):
            try:
                if path.is_file() and path.stat().st_mtime < limit:
                    path.unlink()
                elif path.is_dir() and path.stat().st_mtime < limit and not any(path.iterdir()):
                    path.rmdir()
            except FileNotFoundError:  # a request deleted or replaced it
                continue

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_leftovers(where: Path) -> None:
    """Delete the folders that killed processes of this user left behind."""
    for folder in where.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        try:
            own = pid.isdigit() and not folder.is_symlink() and folder.stat().st_uid == os.getuid()
            if own and not is_running(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            continue
