"""A video in, a video out: faces are followed over time, swapped, and pasted back."""

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from simswap.errors import InputError
from simswap.files import sha256_of
from simswap.inference.choosing import source_face
from simswap.inference.finding import TableFinder
from simswap.inference.folder_job import JOB, job_digest
from simswap.inference.swapper import PhotoSwapper
from simswap.inference.video.finding import find_all, follow
from simswap.inference.video.frame_files import FrameFiles
from simswap.inference.video.plan import Plan, cast_largest, cast_persons, stretches_of, usable_tracks
from simswap.inference.video.segments import Segments
from simswap.inference.video.settings import Cast, VideoSettings
from simswap.inference.video.source import VideoSource
from simswap.inference.video.swapping import swap_stills
from simswap.inference.video.work_folder import open_work, part_file
from simswap.inference.writing import check_place
from simswap.launching import stops
from simswap.pictures import provenance
from simswap.video.containers import CONTAINERS, check_container

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VideoResult:
    """What became of a video.

    Attributes:
        path: The result; after a cancellation its playable part, or None if there is none yet.
        finished: Whether it is complete.
        frames: How many frames the video has.
        swapped: On how many of them a face is swapped.
        shots: How many shots there are.
    """

    path: Path | None
    finished: bool
    frames: int
    swapped: int
    shots: int


class _Cancelled(Exception):
    """The caller wants no more."""


def swap_video(
    swapper: PhotoSwapper,
    source: Path | Cast,
    target: Path,
    out: Path,
    settings: VideoSettings | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    job: str | None = None,
) -> VideoResult:
    """Swap the faces of a video.

    A first pass finds and follows the faces, a second one swaps, pastes and encodes. What is finished lies in a hidden
    folder beside ``out`` until all is; the same call resumes from there, also after the process was killed.

    Args:
        swapper: The checkpoint, the detector and the paste.
        source: A photo of the source identity, or who replaces whom.
        target: A video file, or a folder of frames.
        out: The result: a video file, or a folder if the target is one.
        settings: What is swapped, and how it is written.
        progress: Called with the number of steps done and of all steps; each frame counts once in each pass.
        cancelled: Asked between frames; once it says True, what is finished becomes a playable part.
        job: The digest that the result names; by default one of all that decides the result.

    Returns:
        What became of it.

    Raises:
        InputError: bad input; nothing is written under the name ``out``.
        KeyboardInterrupt: after a signal; its text names the playable part.
    """
    settings = settings or VideoSettings()
    cast = source if isinstance(source, Cast) else Cast([source])
    check_output_of(target, out, settings)
    job = job or _digest(swapper, cast, target, settings)
    return _Job(swapper, cast, VideoSource(target, settings), out, job, progress, cancelled).run()


def is_result_name(path: Path) -> bool:
    """Whether results of this name are videos."""
    return path.suffix.lower() in CONTAINERS


def check_output_of(target: Path, out: Path, settings: VideoSettings) -> None:
    """Check that a target's result can be written as ``out``.

    Raises:
        InputError: it exists, or its format cannot hold the video or its sound.
    """
    if target.is_dir() and not is_result_name(out):
        if out.resolve() == target.resolve():
            raise InputError(f"out={out} is the folder of the frames, and results would be swapped again")
        return  # the pictures are checked one by one
    check_container(out, settings.codec, None if target.is_dir() else target)
    check_place(out)


def _digest(swapper: PhotoSwapper, cast: Cast, target: Path, settings: VideoSettings) -> str:
    detector = getattr(swapper.find_faces, "detector", None)
    told = {
        "checkpoint": swapper.checkpoint.sha256,
        "sources": [sha256_of(path) for path in cast.sources],
        "persons": [sha256_of(path) for path in cast.persons],
        "source_face": cast.source_face,
        "video": asdict(settings),
        "paste": asdict(swapper.settings),
        "min_face": swapper.min_face,
        "detector": [getattr(detector, name, None) for name in ("name", "sha256", "settings")],
    }
    return job_digest(told, target)


class _Job:
    """One video's swap; see `swap_video`."""

    def __init__(
        self,
        swapper: PhotoSwapper,
        cast: Cast,
        source: VideoSource,
        out: Path,
        job: str,
        progress: Progress | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.swapper, self.cast, self.source, self.out, self.job = swapper, cast, source, out, job
        self.words = provenance(f"sha256:{swapper.checkpoint.sha256}") | {JOB: job}
        self._progress, self._cancelled = progress, cancelled
        self._frames = source.expected

    def run(self) -> VideoResult:
        if isinstance(self.swapper.find_faces, TableFinder) and not self.source.is_folder:
            raise InputError(
                f"{self.source.path}: a table of landmarks names pictures, and this is a video file; choose a detector"
            )
        given, persons = self._identities()
        plan, part = None, None
        try:
            with open_work(self.out, self.job) as work:
                sink = self._sink(work.folder)
                work.worth_keeping = sink.next_place > 0
                try:
                    plan = self._plan(work.folder, persons)
                    work.worth_keeping = True
                    self._swap(plan, given, sink)
                except KeyboardInterrupt:
                    part = self._leave(sink, plan)
                    raise KeyboardInterrupt(self._said(sink, part)) from None
                except _Cancelled:
                    part = self._leave(sink, plan)
                    raise
                except BaseException:
                    with suppress(InputError):  # the first error counts
                        sink.close()
                    raise
                if isinstance(sink, Segments):
                    sink.join(self.out, self.source.end, self.words)
        except _Cancelled:  # after the work folder was left as it is
            return self._result(part, False, plan)
        return self._result(self.out, True, plan)

    def _identities(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Identity embeddings of the sources [M, E] and of the persons."""
        swapper = self.swapper
        with torch.inference_mode():
            sources = [source_face(swapper, path, self.cast.source_face) for path in self.cast.sources]
            persons = [source_face(swapper, path, "largest") for path in self.cast.persons]
            return swapper.identities(sources), swapper.identities(persons) if persons else None

    def _sink(self, folder: Path) -> "Segments | FrameFiles":
        settings = self.source.settings
        if self.source.is_folder and not is_result_name(self.out):
            return FrameFiles(self.out, self.source.kept_files, self.words, settings.mark)
        return Segments(folder, self.out, self.source, self.source.waiting)

    def _plan(self, folder: Path, persons: torch.Tensor | None) -> Plan:
        files = find_all(self.source, self.swapper, folder, lambda done: self._tick(done, done))
        tracks, times, shots = follow(files)
        self._frames = len(times)
        where = str(self.source.path)
        if not len(times):
            raise InputError(f"{where}: no frame lies between video.start and video.end; choose another part")
        usable = usable_tracks(tracks, shots, len(times), self.swapper.min_face, where)
        settings = self.source.settings
        if persons is not None:
            cast = cast_persons(usable, persons.double().cpu().numpy(), settings.threshold, where)
            one = len(self.cast.sources) == 1
            cast = [(track, 0 if one else person) for track, person in cast]
        else:
            cast = [(track, 0) for track in usable] if settings.faces == "all" else cast_largest(usable)
        return Plan(stretches_of(cast, times, settings), times, len(shots) + 1)

    def _swap(self, plan: Plan, given: torch.Tensor, sink: "Segments | FrameFiles") -> None:
        begin = sink.next_place
        with closing(self.source.stills(begin)) as stills:
            swaps = swap_stills(stills, begin, plan, self.swapper, given, self.source.waiting)
            for place, done in enumerate(swaps, start=begin):
                sink.put(done)
                self._tick(self._frames + place + 1, place + 1)
        sink.close()
        if sink.next_place != self._frames:
            raise InputError(
                f"{self.source.path}: {self._frames} frames were read first and {sink.next_place} afterwards; was the "
                "file changed meanwhile?"
            )

    def _tick(self, done: int, frame: int) -> None:
        self._frames = max(self._frames, frame)
        if self._progress is not None:
            self._progress(done, 2 * self._frames)
        if self._cancelled is not None and self._cancelled():
            raise _Cancelled

    def _leave(self, sink: "Segments | FrameFiles", plan: Plan | None) -> Path | None:
        """Finish what has begun, and make a playable part of it."""
        stops.enter(stops.SUPERVISING)  # joining a long video takes longer than other ends; a second signal ends it
        try:
            sink.close()
            if isinstance(sink, FrameFiles):
                return self.out if sink.next_place else None
            part = part_file(self.out)
            if plan is None or not sink.done:
                return part if part.is_file() else None  # of an earlier start of this very swap
            part.unlink(missing_ok=True)
            place = sink.next_place
            sink.join(part, float(plan.times[place]) if place < len(plan.times) else self.source.end, self.words)
            return part
        finally:
            stops.enter(stops.LEAVING)

    def _said(self, sink: "Segments | FrameFiles", part: Path | None) -> str:
        if part is None:
            return "run the same command again to resume"
        return f"{part} holds the first {sink.next_place} frames; run the same command again to resume"

    def _result(self, path: Path | None, finished: bool, plan: Plan | None) -> VideoResult:
        if plan is None:
            return VideoResult(path, finished, self._frames, 0, 0)
        return VideoResult(path, finished, self._frames, plan.swapped, plan.shots)
