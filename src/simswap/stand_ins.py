"""What a file is that is not the expected one, by its first bytes.

Files of weights, tables and photos are downloaded by hand, and the result is often something else: a Git LFS pointer, a
web page about a failed download, an answer of a cloud store, an archive that is still packed. Every reader checks here
first, so that the error names that and not a detail of its own format.
"""

import json
import re
import zipfile
from pathlib import Path

from simswap.errors import InputError

FORMS = ("torch", "onnx", "safetensors", "text", "json", "yaml", "video")
_WRITTEN = ("text", "json", "yaml")  # often by hand, beside our program
HEAD = 4096
_AGAIN = "the download went wrong: get the file again"
_OTHER_FORM = "give it in the form that is asked for"
_PACKED_TABLES = (".gz", ".bz2", ".zst", ".lz4")  # read as they are
_TORCHS_TAR = (b"sys_info", b"pickle", b"storages")  # before torch 0.1.10: a tar that begins with one of these

# first bytes, where they stand, what has them, what to do
_SIGNATURES: list[tuple[bytes, int, str, str]] = [
    (b"\x1f\x8b\x08", 0, "a gzip archive", "unpack it first"),
    (b"ustar", 257, "a tar archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive", "unpack it first"),
    (b"Rar!\x1a\x07", 0, "a RAR archive", "unpack it first"),
    (b"\xfd7zXZ\0", 0, "an xz archive", "unpack it first"),
    (b"1AY&SY", 4, "a bzip2 archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", 0, "a Zstandard archive", "unpack it first"),
    (b"%PDF-", 0, "a PDF document", "give the file itself"),
    (b"\x89PNG\r\n\x1a\n", 0, "a PNG picture", "give the file itself"),
    (b"\xff\xd8\xff", 0, "a JPEG picture", "give the file itself"),
    (b"\x89HDF\r\n\x1a\n", 0, "an HDF5 file (Keras keeps weights so)", _OTHER_FORM),
    (b"\x93NUMPY", 0, "a NumPy array", _OTHER_FORM),
    (b"TFL3", 4, "a TensorFlow Lite network", _OTHER_FORM),
    (b"\x7fELF", 0, "a program", "give the file itself"),
]
_PAGE = re.compile(r"(<!--.*?-->|\s)*<(!doctype\s+html|html|head|body|title|script|meta)\b", re.I | re.S)
_TITLE = re.compile(r"<title[^>]*>\s*(.*?)\s*</title>", re.I | re.S)
_CODE = re.compile(r"<Code>\s*(.*?)\s*</Code>|<message>\s*(.*?)\s*</message>", re.I | re.S)


def refuse_stand_in(path: Path, wanted: str, form: str) -> None:
    """Check that a file is not recognizably something other than ``wanted``; missing files are left to the reader.

    Args:
        path: of the file.
        wanted: words for the error.
        form: one of `FORMS`: ``torch`` (its zip and old tar files too), ``onnx``, ``safetensors``, ``text`` (tables),
            ``json``, ``yaml`` (may be empty), ``video`` (binary files are left to the reader).

    Raises:
        InputError: it is something else.
    """
    if form not in FORMS:
        raise ValueError(f"no form {form!r}; there are {', '.join(FORMS)}")
    if not path.is_file() or (form == "text" and path.suffix.lower() in _PACKED_TABLES):
        return
    try:
        with path.open("rb") as stream:
            head, size = stream.read(HEAD), path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    found = what_it_is(head, size, form)
    if found is None and form != "video" and head.startswith((b"PK\3\4", b"PK\5\6")):
        found = _of_zip(path, form)
    if found is not None:
        raise InputError(f"{path} is {found[0]}, not {wanted}; {found[1]}")


def what_it_is(head: bytes, size: int, form: str) -> tuple[str, str] | None:
    """What the first `HEAD` bytes of a file of `size` bytes show, and what to do; None if it may be the wanted form.

    Args:
        head: the first bytes.
        size: of the file, bytes.
        form: as for `refuse_stand_in`, or ``picture``, whose readers recognize everything else.
    """
    if size == 0:
        nothing = "an empty file", "give one that holds something" if form in _WRITTEN else _AGAIN
        return None if form == "yaml" else nothing
    if not head.strip(b"\0"):
        return "a file of zeros", "a download or copy was cut off: get the file again"
    if head[4:9] == b"\0\0\0\0{":  # the length of the header, in eight bytes, and its beginning
        return None if form == "safetensors" else ("a safetensors file", _OTHER_FORM)
    words = _as_text(head)
    found = _of_text(words, form) if words is not None else None
    if found is not None:
        return found
    is_torchs_tar = form == "torch" and head.startswith(_TORCHS_TAR) and head.startswith(b"ustar", 257)
    if form in ("picture", "video") or is_torchs_tar:
        return None
    found = next(((what, cure) for mark, at, what, cure in _SIGNATURES if head.startswith(mark, at)), None)
    if found is None and words is not None and form not in _WRITTEN:
        return f"a text file ({_shown(words)})", _AGAIN
    return found


def _of_text(words: str, form: str) -> tuple[str, str] | None:
    start = words.lstrip()
    if re.match(r"version https?://(git-lfs|hawser)\.", start):
        return "a Git LFS pointer", "fetch the file itself with git lfs pull"
    if _PAGE.match(start):
        title = _TITLE.search(start)
        return f"a web page{f' ({_shown(title[1])})' if title else ''}", _AGAIN
    if re.match(r"<\?xml|<[A-Za-z][\w:.-]*[\s/>]", start) and not start.startswith("<svg"):
        code = _CODE.search(start)
        return f"an XML answer of a server{f' ({_shown(code[1] or code[2])})' if code else ''}", _AGAIN
    if form not in ("json", "yaml") and start.startswith(("{", "[")) and _is_json(start):
        return f"a JSON answer of a server ({_shown(start)})", _AGAIN
    return None


def _as_text(head: bytes) -> str | None:
    """The bytes as text, without a byte-order mark; None if they are no text."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace")
    if re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", head):
        return None
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        # Cut through a letter at the end of what was read; anything else is no UTF-8 (an old page may be Latin-1).
        if error.start >= len(head) - 3:
            return head[: error.start].decode("utf-8")
        words = head.decode("latin-1")
        return words if words.lstrip().startswith("<") else None


def _is_json(start: str) -> bool:
    try:
        json.loads(start)
    except ValueError:  # it may be longer than what was read
        return len(start) > HEAD // 2 and re.match(r'[{\[]\s*["{\[]', start) is not None
    return True


def _shown(words: str) -> str:
    line = " ".join(words.split())
    plain = "".join(c if c.isprintable() else "?" for c in line)
    return plain if len(plain) <= 60 else f"{plain[:60]}…"


def _of_zip(path: Path, form: str) -> tuple[str, str] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "a zip or torch file that is cut off", _AGAIN
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return None if form == "torch" else ("a torch file", _OTHER_FORM)
    return f"a zip archive of {_shown(', '.join(names[:3])) or 'nothing'}", "unpack it first"
