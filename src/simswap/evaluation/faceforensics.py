"""``protocol=faceforensics``: the paper's Table 1 on FaceForensics++'s own folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simswap.data.listing import natural_key
from simswap.data.video import count_frames, why_unreadable
from simswap.described import describe, digest
from simswap.errors import InputError
from simswap.evaluation.disk_work import DiskWork, load, share
from simswap.evaluation.faceforensics_layout import (
    Pair,
    find_videos,
    method_name,
    pairs_of_names,
    read_pairs,
    split_pairs,
)
from simswap.evaluation.frames import (
    FrameFaceFinder,
    VideoFaces,
    crops_at,
    evenly_spaced,
    face_crops,
    file_state,
    result_crops,
)
from simswap.evaluation.pairs_file import PairNames, names_sha256, pairs_sha256
from simswap.evaluation.protocol_data import ProtocolData, Setting, Skipped, check_share
from simswap.measuring.evaluator import Work
from simswap.measuring.gallery import ProtocolPairs
from simswap.measuring.instruments import Instruments, signature
from simswap.measuring.swappers import Faces, PrecomputedSwaps

FORMAT = 1  # counts up when crops are made otherwise


class FaceForensics:
    """Frames of original videos swapped by FF++'s pairing, and retrieved among all original frames: right is the right
    source *video*. Manipulated videos of other methods (``swaps``) are measured in the same windows.

    root: FF++'s folder. originals: the original videos below it. pairs: ``splits`` (root's splits/*.json), ``swaps``
    (the names of the first swaps' videos) or a JSON file of [target, source]. splits: which. frames: of a video, evenly
    spaced over what it and its partners share. gallery: ``all`` originals or those of the ``pairs``. swaps: folders of
    manipulated videos ``<target>_<source>``. landmarks: tables with NAME_ID ``<video>/<frame>``, in place of detector=.
    missing: ``stop`` at pairs whose videos are not there, or ``skip`` them. max_skipped_share: of frames without a
    usable face. jitter: also swap each frame's neighbors. template, size: of the crops; null: the checkpoint's. cache:
    folder of crops and readings; null: evaluation_cache beside evaluation.json. batch_size: pictures at a time.
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
        template, size = setting.crops(self.template, self.size)
        finder = FrameFaceFinder.of(self.landmarks, setting.detector)
        folder = Path(self.cache) if self.cache else setting.out / "evaluation_cache"
        videos = find_videos(self.root / self.originals)
        manipulated = {method_name(swaps): find_videos(swaps) for swaps in self.swaps}
        if len(manipulated) < len(self.swaps):
            raise InputError(f"protocol.swaps: two folders have one method's name ({', '.join(manipulated)})")
        pairs, missing = self._pairs(videos, manipulated)

        # Faces of the originals, a file a video.
        names = sorted(videos if self.gallery == "all" else {name for pair in pairs for name in pair}, key=natural_key)
        numbers = self._frame_numbers(videos, names, pairs)
        made_by = [FORMAT, template, size, self.jitter, describe(finder.described)["digest"]]
        states = [[made_by, name, numbers[name], file_state(videos[name], numbers[name])] for name in names]
        files = [folder / "frames" / f"{digest(state)}.npz" for state in states]
        share(
            files,
            lambda k: face_crops(videos[names[k]], names[k], numbers[names[k]], finder, template, size, self.jitter),
            setting.ranks,
            "finding faces",
            "video",
        )
        faces = VideoFaces(files, template, size)
        skipped: list[Skipped] = []
        for name, lines in zip(names, faces.skipped, strict=True):
            skipped += [Skipped(f"video {name}, frame {line.split(': ')[0]}", line.split(": ", 1)[1]) for line in lines]
            if not numbers[name]:
                skipped.append(Skipped(f"video {name}", why_unreadable(videos[name], "has no frame that can be read")))
        asked = sum(max(1, len(chosen)) for chosen in numbers.values())
        # Of the videos that are there: those that are not were left out at the user's word.
        check_share(skipped, asked, self.max_skipped_share, "frames", "protocol.max_skipped_share")
        skipped = missing + skipped

        # Each kept frame of a target with the source's frame at the same place.
        video = {name: k for k, name in enumerate(names)}
        chosen, target, source = [], [], []
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
                f"{self.root}: no pair has a usable face in both of its videos; see what detector= or "
                "protocol.landmarks= find in them"
            )
        which = np.repeat(np.arange(len(chosen)), [len(rows) for rows in target])
        rows = ProtocolPairs(np.arange(len(faces.person)), np.concatenate(target), np.concatenate(source))

        finished = []
        for method, results in manipulated.items():
            made = self._finished(method, results, chosen, which, rows, faces, files, video, folder, setting)
            skipped += made[1]
            finished.append(made[0])
        text = [f"{names[faces.person[row]]}/{faces.number[row]}" for row in range(len(faces.person))]
        pair_names = PairNames(
            *([text[row] for row in column] for column in (rows.target, rows.source)),
            *([names[faces.person[row]] for row in column] for column in (rows.target, rows.source)),
        )
        facts = {
            "name": "faceforensics", "groups": "videos", "gallery_persons": len(names),
            "pairing": f"FaceForensics++'s ({self.pairs}), {len(chosen)} pairs of videos, each target frame with "
            "the source's frame at the same place",
            "gallery_rule": f"{self.frames} frames a video, evenly spaced over what it and its partners share; right "
            "is the right source video; the source frame and the target frame are in it "
            "(id_retrieval_without_source: without the source frame)",
            "data": str(self.root), "seed": None,
            "split": ", ".join(self.splits) if self.pairs == "splits" else "",
            "faces": describe(finder.described), "gallery_sha256": names_sha256(text),
        }  # fmt: skip
        frames = [file.stem for file in files]

        def work(instruments: Instruments) -> Work:
            settings = [frames, pairs_sha256(pair_names), self.batch_size, self.jitter, signature(instruments)]
            return DiskWork(folder / "readings", setting.ranks, settings)

        return ProtocolData(faces, rows, pair_names, facts, self.batch_size, finished, skipped, {}, work, self.jitter)

    def _pairs(
        self, videos: dict[str, Path], manipulated: dict[str, dict[str, Path]]
    ) -> tuple[list[Pair], list[Skipped]]:
        """The pairs whose videos are there, and those that are not. Raises InputError for the latter on ``stop``."""
        if self.pairs == "swaps":
            if not manipulated:
                raise InputError(
                    "protocol.pairs=swaps takes the pairs from the names of manipulated videos: give "
                    "protocol.swaps=<folder>"
                )
            pairs = pairs_of_names(list(next(iter(manipulated.values()))))
        elif self.pairs == "splits":
            pairs = split_pairs(self.root, self.splits)
        else:
            pairs = read_pairs(Path(self.pairs), both_ways=False)
        lost = sorted({name for pair in pairs for name in pair if name not in videos})
        if lost and self.missing == "stop":
            raise InputError(
                f"the pairs name {len(lost)} videos that are not in {self.root / self.originals}, the "
                f"first is {lost[0]!r}; fetch them, or leave their pairs out with protocol.missing=skip"
            )
        there = [pair for pair in dict.fromkeys(pairs) if not set(pair) & set(lost)]
        if not there:
            raise InputError(
                f"protocol.pairs={self.pairs} gives no pair whose videos are in {self.root / self.originals}"
            )
        return there, [Skipped(f"video {name}", "is not there; its pairs are left out") for name in lost]

    def _frame_numbers(self, videos: dict[str, Path], names: Sequence[str], pairs: list[Pair]) -> dict[str, list[int]]:
        """Which frames of each video: evenly spaced over the shortest of it and its partners, since manipulated videos
        end where the shorter of the two ends; partners that cannot be read do not count."""
        counts = {name: count_frames(videos[name]) for name in names}
        shared = dict(counts)
        for target, source in pairs:
            for one, other in ((target, source), (source, target)):
                shared[one] = min(shared[one], counts[other] or shared[one])
        return {name: evenly_spaced(shared[name], self.frames) for name in names}

    def _finished(
        self,
        method: str,
        results: dict[str, Path],
        chosen: list[Pair],
        which: np.ndarray,
        rows: ProtocolPairs,
        faces: VideoFaces,
        originals: list[Path],
        video_of: dict[str, int],
        folder: Path,
        setting: Setting,
    ) -> tuple[PrecomputedSwaps, list[Skipped]]:
        """The manipulated videos of a method, in the windows of their targets' faces."""
        names = ["_".join(pair) for pair in chosen]
        lost = [name for name in names if name not in results]
        if len(lost) == len(names):
            raise InputError(f"{method}: none of its videos is called after one of the pairs, such as {names[0]}")
        there = [k for k, name in enumerate(names) if name in results]
        targets = [originals[video_of[chosen[k][0]]] for k in there]
        states = [
            [FORMAT, file_state(results[names[k]], load(target)["number"].tolist()), target.stem]
            for k, target in zip(there, targets, strict=True)
        ]
        files = [folder / "frames" / f"{digest(state)}.npz" for state in states]
        share(
            files,
            lambda k: result_crops(results[names[there[k]]], load(targets[k]), faces.size, self.jitter),
            setting.ranks,
            f"reading {method}",
            "video",
        )
        skipped = [Skipped(f"{method}, video {name}", "is not there") for name in lost]
        found, file_of = np.zeros(len(which), dtype=bool), np.zeros(len(which), dtype=np.int64)
        for number, (k, file) in enumerate(zip(there, files, strict=True)):
            arrays = load(file)
            found[which == k], file_of[which == k] = arrays["there"], number
            skipped += [
                Skipped(f"{method}, video {names[k]}, frame {str(line).split(': ')[0]}", str(line).split(": ", 1)[1])
                for line in arrays["skipped"]
            ]

        def read(places: np.ndarray, offset: int, device: torch.device) -> tuple[Faces, Tensor]:
            targets, here = rows.target[places], np.flatnonzero(found[places])
            images = torch.zeros(len(places), 3, faces.size, faces.size, device=device)
            if len(here):
                images[here] = crops_at(files, file_of[places[here]], faces.place[targets[here]], offset, device)
            view = torch.from_numpy(faces.view[targets]).to(device)
            return Faces(images, view), torch.from_numpy(found[places]).to(device)

        return PrecomputedSwaps(method, read, key=digest(states)), skipped
