"""``protocol=faceforensics``: the paper's Table 1 on FaceForensics++'s own folders."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from simswap.data.listing import natural_key
from simswap.data.video import count_frames, why_unreadable
from simswap.errors import InputError
from simswap.evaluation.disk_work import DiskWork, share
from simswap.evaluation.faceforensics_layout import (
    Pair,
    find_videos,
    method_name,
    pairs_of_names,
    read_pairs,
    split_pairs,
)
from simswap.evaluation.faceforensics_results import FORMAT, Matched, Originals, manipulated_swaps
from simswap.evaluation.frames import (
    FrameFaceFinder,
    Frames,
    VideoFaces,
    chosen_frames,
    evenly_spaced,
    face_crops,
    file_state,
)
from simswap.evaluation.pairs_file import PairNames, names_sha256, pairs_sha256
from simswap.evaluation.protocol_data import ProtocolData, Setting, Skipped, check_share
from simswap.measuring.ahead import ahead
from simswap.measuring.evaluator import Work
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.instruments import Instruments, signature
from simswap.measuring.transfer import Arrays
from simswap.models.described import describe, digest


class FaceForensics:
    """Frames of original videos, swapped by FF++'s pairing and retrieved among all original frames.

    A retrieval is right if it finds the source *video*. Manipulated videos of other methods (``swaps``) are measured in
    the same windows.

    Args:
        root: FF++'s folder.
        originals: The folder of original videos below it.
        pairs: ``splits`` (root's splits/*.json), ``swaps`` (the names of the first method's videos), ``all`` (every
            video with every other, for a folder of videos of different persons) or a JSON file of [target, source].
        splits: Which splits.
        frames: Frames per video, evenly spaced over the length that it shares with its partners.
        gallery: ``all`` originals or those of the ``pairs``.
        swaps: Folders of manipulated videos ``<target>_<source>``.
        landmarks: Tables with NAME_ID ``<video>/<frame>``, instead of ``detector=``.
        missing: ``stop`` if a pair's videos are missing, or ``skip`` the pair.
        max_skipped_share: The largest share of frames that may lack a usable face.
        jitter: Whether to swap the frames before and after each frame too.
        template: Of the crops; None for the checkpoint's.
        size: Of the crops in pixels; None for the checkpoint's.
        cache: Folder for crops and predictions; None for evaluation_cache beside evaluation.json.
        batch_size: Images at a time.

    Raises:
        InputError: If a value is not one of these.
    """

    def __init__(
        self,
        root: str,
        originals: str,
        pairs: str,
        splits: list[str],
        frames: int,
        gallery: str,
        swaps: str | list[str] | None,
        landmarks: str | list[str] | None,
        missing: str,
        max_skipped_share: float,
        jitter: bool,
        template: str | None,
        size: int | None,
        cache: str | None,
        batch_size: int,
    ) -> None:
        for key, value, choices in (("gallery", gallery, ("all", "pairs")), ("missing", missing, ("stop", "skip"))):
            if value not in choices:
                raise InputError(f"protocol.{key}={value}: it takes {' or '.join(choices)}")
        if frames < 1 or batch_size < 1:
            raise InputError(f"protocol.frames={frames} protocol.batch_size={batch_size}: both must be at least 1")
        self.root, self.originals, self.pairs, self.splits = Path(root), originals, pairs, splits
        self.frames, self.gallery, self.missing, self.jitter = frames, gallery, missing, jitter
        self.swaps = [Path(folder) for folder in ([swaps] if isinstance(swaps, str) else swaps or [])]
        self.landmarks, self.max_skipped_share, self.cache = landmarks, max_skipped_share, cache
        self.template, self.size, self.batch_size = template, size, batch_size

    def prepare(self, setting: Setting) -> ProtocolData:
        """Find the faces in all videos, pair their frames and load the manipulated videos.

        Raises:
            InputError: If folders, pairs or faces are missing.
        """
        crops = setting.crops(self.template, self.size)
        finder = FrameFaceFinder.of(self.landmarks, setting.detector)
        folder = Path(self.cache) if self.cache else setting.out / "evaluation_cache"
        videos = find_videos(self.root / self.originals)
        manipulated = {method_name(swaps): find_videos(swaps) for swaps in self.swaps}
        if len(manipulated) < len(self.swaps):
            raise InputError(f"protocol.swaps: two folders have the same method name ({', '.join(manipulated)})")
        pairs, skipped = self._pairs(videos, manipulated)
        originals, lost = self._originals(videos, pairs, finder, crops, folder, setting)
        matched, unmatched = self._matched(pairs, originals)
        skipped += [*lost, *unmatched]
        finished = []
        for method, results in manipulated.items():
            swaps, missed = manipulated_swaps(method, results, matched, originals, folder, setting, self.jitter)
            finished.append(swaps)
            skipped += missed
        faces, rows = originals.faces, matched.rows
        video_of = [originals.names[person] for person in faces.person]
        text = [f"{video}/{number}" for video, number in zip(video_of, faces.number, strict=True)]
        pair_names = PairNames(
            *([text[row] for row in column] for column in (rows.target, rows.source)),
            *([video_of[row] for row in column] for column in (rows.target, rows.source)),
        )
        facts = self._facts(originals, matched, finder, text)
        frames = [file.stem for file in originals.files]

        def work(instruments: Instruments) -> Work:
            settings = [frames, pairs_sha256(pair_names), self.batch_size, self.jitter, signature(instruments)]
            return DiskWork(folder / "readings", setting.ranks, settings)

        return ProtocolData(faces, rows, pair_names, facts, self.batch_size, finished, skipped, {}, work, self.jitter)

    def _originals(
        self,
        videos: dict[str, Path],
        pairs: list[Pair],
        finder: FrameFaceFinder,
        crops: tuple[str, int],
        folder: Path,
        setting: Setting,
    ) -> tuple[Originals, list[Skipped]]:
        """Find the faces of the originals, and list frames and videos without one. crops: (template, size)."""
        names = sorted(videos if self.gallery == "all" else {name for pair in pairs for name in pair}, key=natural_key)
        numbers = self._frame_numbers(videos, names, pairs)
        parts = setting.window is not None
        made_by = [FORMAT, *crops, self.jitter, describe(finder.described)["digest"], *(["parts"] if parts else [])]
        states = [[made_by, name, numbers[name], file_state(videos[name], numbers[name])] for name in names]
        files = [folder / "frames" / f"{digest(state)}.npz" for state in states]

        def read(place: int) -> Frames:
            return chosen_frames(videos[names[place]], numbers[names[place]], self.jitter)

        def make(places: Sequence[int]) -> Iterator[Arrays]:
            with closing(ahead(read, places, setting.workers, depth=1)) as frames:  # type: ignore[type-var]
                for name, shown in zip((names[place] for place in places), frames, strict=True):
                    yield face_crops(videos[name], name, numbers[name], shown, finder, *crops, self.jitter, parts)

        share(files, make, setting.ranks, "finding faces", "video")
        faces = VideoFaces(files, *crops, parts)
        skipped: list[Skipped] = []
        for name, lines in zip(names, faces.skipped, strict=True):
            skipped += [Skipped(f"video {name}, frame {line.split(': ')[0]}", line.split(": ", 1)[1]) for line in lines]
            if not numbers[name]:
                skipped.append(Skipped(f"video {name}", why_unreadable(videos[name], "has no frame that can be read")))
        asked = sum(max(1, len(chosen)) for chosen in numbers.values())
        # Only of the videos that are there: the user agreed to leave out the others.
        check_share(skipped, asked, self.max_skipped_share, "frames", "protocol.max_skipped_share")
        return Originals(names, files, faces), skipped

    def _matched(self, pairs: list[Pair], originals: Originals) -> tuple[Matched, list[Skipped]]:
        """Pair each kept frame of a target with the source's frame at the same place."""
        video, faces = {name: k for k, name in enumerate(originals.names)}, originals.faces
        chosen, target, source, skipped = [], [], [], []
        for pair in pairs:
            there, other = (np.flatnonzero(faces.person == video[name]) for name in pair)
            if not len(there) or not len(other):
                skipped.append(Skipped(f"pair {'_'.join(pair)}", "one of its videos has no usable face"))
                continue
            after = np.searchsorted(faces.slot[other], faces.slot[there]) % len(other)
            chosen.append(pair)
            target.append(there)
            source.append(other[after])
        if not chosen:
            raise InputError(
                f"{self.root}: no pair has a usable face in both videos; check which faces detector= or "
                "protocol.landmarks= finds in them"
            )
        which = np.repeat(np.arange(len(chosen)), [len(rows) for rows in target])
        rows = ProtocolPairs(np.arange(len(faces.person)), np.concatenate(target), np.concatenate(source))
        return Matched(chosen, which, rows), skipped

    def _facts(
        self, originals: Originals, matched: Matched, finder: FrameFaceFinder, frames: Sequence[str]
    ) -> dict[str, Any]:
        """The protocol as evaluation.json describes it. frames: ``<video>/<frame>`` of the gallery."""
        return {
            "name": "faceforensics", "groups": "videos", "gallery_persons": len(originals.names),
            "pairing": f"{self._pairing()}, {len(matched.videos)} pairs of videos, each target frame "
            "with the source's frame at the same place",
            "gallery_rule": f"{self.frames} frames per video, evenly spaced over the length that it shares with its "
            "partners; the source video counts as right; the source frame and the target frame are in it "
            "(id_retrieval_without_source: without the source frame)",
            "data": str(self.root), "seed": None,
            "split": ", ".join(self.splits) if self.pairs == "splits" else "",
            "faces": describe(finder.described), "gallery_sha256": names_sha256(frames),
        }  # fmt: skip

    def _pairing(self) -> str:
        return "every video with every other" if self.pairs == "all" else f"FaceForensics++'s ({self.pairs})"

    def _pairs(
        self, videos: dict[str, Path], manipulated: dict[str, dict[str, Path]]
    ) -> tuple[list[Pair], list[Skipped]]:
        """The pairs whose videos exist, and the missing videos. Raises InputError for the latter on ``stop``."""
        if self.pairs == "swaps":
            if not manipulated:
                raise InputError(
                    "protocol.pairs=swaps takes the pairs from the names of manipulated videos: give "
                    "protocol.swaps=<folder>"
                )
            pairs = pairs_of_names(list(next(iter(manipulated.values()))))
        elif self.pairs == "splits":
            pairs = split_pairs(self.root, self.splits)
        elif self.pairs == "all":
            pairs = [(target, source) for target in videos for source in videos if target != source]
        else:
            pairs = read_pairs(Path(self.pairs), both_ways=False)
        lost = sorted({name for pair in pairs for name in pair if name not in videos})
        if lost and self.missing == "stop":
            raise InputError(
                f"the pairs name {len(lost)} videos that are not in {self.root / self.originals}, the "
                f"first is {lost[0]!r}; download them, or leave out their pairs with protocol.missing=skip"
            )
        there = [pair for pair in dict.fromkeys(pairs) if not set(pair) & set(lost)]
        if not there:
            raise InputError(
                f"protocol.pairs={self.pairs} gives no pair whose videos are in {self.root / self.originals}"
            )
        return there, [Skipped(f"video {name}", "is not there; its pairs are left out") for name in lost]

    def _frame_numbers(self, videos: dict[str, Path], names: Sequence[str], pairs: list[Pair]) -> dict[str, list[int]]:
        """The frames of each video, evenly spaced over the shortest of it and its partners.

        A manipulated video ends where the shorter of its two videos ends. Unreadable partners do not count.
        """
        counts = {name: count_frames(videos[name]) for name in names}
        shared = dict(counts)
        for target, source in pairs:
            for one, other in ((target, source), (source, target)):
                shared[one] = min(shared[one], counts[other] or shared[one])
        return {name: evenly_spaced(shared[name], self.frames) for name in names}
