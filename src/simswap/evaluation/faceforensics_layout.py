"""FaceForensics++'s own folders: which videos there are, and which pairs."""

import json
from collections.abc import Sequence
from pathlib import Path

from simswap.data.listing import VIDEO_SUFFIXES, is_system_name, is_video_name, natural_key
from simswap.errors import InputError
from simswap.stand_ins import refuse_stand_in

SPLITS_FOLDER, MANIPULATED = "splits", "manipulated_sequences"
Pair = tuple[str, str]


def find_videos(folder: Path) -> dict[str, Path]:
    """Name → file (``videos/000.mp4``) or folder of extracted frames (``images/000/``), the file where there are both.

    The folder may also be the one that holds them itself. Raises InputError where there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not there; give FaceForensics++'s own folders, or where else the videos lie")
    found: dict[str, Path] = {}
    for inner in ("videos", "images", "frames", "."):
        if (folder / inner).is_dir():
            for path in sorted((folder / inner).iterdir(), key=lambda path: natural_key(path.name)):
                is_video = is_video_name(path.name) and path.is_file()
                is_frames = path.name not in ("videos", "images", "frames") and path.is_dir()
                if is_video or (is_frames and not is_system_name(path.name)):
                    found.setdefault(path.stem if is_video else path.name, path)
    if not found:
        raise InputError(f"{folder} holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}) and no folder of frames")
    return found


def read_pairs(file: Path, both_ways: bool) -> list[Pair]:
    """(target, source) names of a JSON list of pairs; ``both_ways``: each also the other way round, as FF++'s splits.

    Raises InputError for a file that is missing or holds anything else.
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
        raise InputError(f"{file} is no JSON file: {error}") from error
    if not isinstance(content, list):
        raise InputError(
            f"{file} holds no list but {str(content)[:60]!r}; give a JSON list of pairs, as in FF++'s "
            f"{SPLITS_FOLDER}/test.json"
        )
    pairs = []
    for place, entry in enumerate(content):
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(name, str) for name in entry)):
            raise InputError(
                f'{file}, entry {place}: {str(entry)[:60]!r} is no pair of video names such as ["071", "054"]'
            )
        pairs.append((entry[0], entry[1]))
        if both_ways:
            pairs.append((entry[1], entry[0]))
    return pairs


def split_pairs(root: Path, splits: Sequence[str]) -> list[Pair]:
    """The pairs of ``<root>/splits/<split>.json``, both ways."""
    return [pair for split in splits for pair in read_pairs(root / SPLITS_FOLDER / f"{split}.json", both_ways=True)]


def pairs_of_names(videos: Sequence[str]) -> list[Pair]:
    """The pairs that manipulated videos are named by, ``<target>_<source>``; other names are left out."""
    return [(name.split("_")[0], name.split("_")[1]) for name in videos if name.count("_") == 1]


def method_name(folder: Path) -> str:
    """``Deepfakes`` of ``…/manipulated_sequences/Deepfakes/c23/videos``, else the folder's own name."""
    parts = folder.resolve().parts
    if MANIPULATED in parts[:-1]:
        return parts[parts.index(MANIPULATED) + 1]
    return folder.resolve().name
