"""The layout of FaceForensics++'s folders: its videos and its pairs."""

import json
from collections.abc import Sequence
from pathlib import Path

from simswap.data.listing import VIDEO_SUFFIXES, is_system_name, is_video_name, natural_key
from simswap.errors import InputError
from simswap.stand_ins import refuse_stand_in

SPLITS_FOLDER, MANIPULATED = "splits", "manipulated_sequences"
Pair = tuple[str, str]


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos of a folder by name: files (``videos/000.mp4``) or folders of extracted frames (``images/000/``).

    If both exist, the file is used. The folder may also contain the videos directly.

    Raises:
        InputError: If there is no such folder or no video in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} does not exist; give FaceForensics++'s own folders, or for a folder of plain videos "
            "protocol.root=<folder> protocol.originals=. protocol.pairs=all"
        )
    found: dict[str, Path] = {}
    for inner in ("videos", "images", "frames", "."):
        if (folder / inner).is_dir():
            for path in sorted((folder / inner).iterdir(), key=lambda path: natural_key(path.name)):
                is_video = is_video_name(path.name) and path.is_file()
                is_frames = path.name not in ("videos", "images", "frames") and path.is_dir()
                if is_video or (is_frames and not is_system_name(path.name)):
                    found.setdefault(path.stem if is_video else path.name, path)
    if not found:
        raise InputError(f"{folder} contains no video ({', '.join(sorted(VIDEO_SUFFIXES))}) and no folder of frames")
    return found


def read_pairs(file: Path, both_ways: bool) -> list[Pair]:
    """The (target, source) names in a JSON list of pairs.

    Args:
        file: The JSON file.
        both_ways: Whether each pair also counts with target and source exchanged, as in FF++'s splits.

    Raises:
        InputError: If the file is missing or contains anything else.
    """
    refuse_stand_in(file, "a JSON list of pairs", "json")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}); give a JSON list of pairs, as in FF++'s "
            f"{SPLITS_FOLDER}/test.json"
        ) from error
    except ValueError as error:
        raise InputError(f"{file} is not a JSON file: {error}") from error
    if not isinstance(content, list):
        raise InputError(
            f"{file} contains {str(content)[:60]!r} instead of a list; give a JSON list of pairs, as in FF++'s "
            f"{SPLITS_FOLDER}/test.json"
        )
    pairs = []
    for place, entry in enumerate(content):
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(name, str) for name in entry)):
            raise InputError(
                f'{file}, entry {place}: {str(entry)[:60]!r} is not a pair of video names such as ["071", "054"]'
            )
        pairs.append((entry[0], entry[1]))
        if both_ways:
            pairs.append((entry[1], entry[0]))
    return pairs


def split_pairs(root: Path, splits: Sequence[str]) -> list[Pair]:
    """The pairs of ``<root>/splits/<split>.json``, both ways."""
    return [pair for split in splits for pair in read_pairs(root / SPLITS_FOLDER / f"{split}.json", both_ways=True)]


def pairs_of_names(videos: Sequence[str]) -> list[Pair]:
    """The pairs in the names of manipulated videos, ``<target>_<source>``; other names are left out."""
    return [(name.split("_")[0], name.split("_")[1]) for name in videos if name.count("_") == 1]


def method_name(folder: Path) -> str:
    """``Deepfakes`` for ``…/manipulated_sequences/Deepfakes/c23/videos``, otherwise the folder's own name."""
    parts = folder.resolve().parts
    if MANIPULATED in parts[:-1]:
        return parts[parts.index(MANIPULATED) + 1]
    return folder.resolve().name
