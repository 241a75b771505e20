"""The videos among the targets of ``simswap-swap``: names of results, progress bars, failures."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tqdm import tqdm

from simswap.data.listing import is_video_name, natural_key
from simswap.errors import InputError
from simswap.inference.folder_job import job_digest, result_names, still_to_do
from simswap.inference.swapper import PhotoSwapper
from simswap.inference.video.settings import Cast, VideoSettings
from simswap.inference.video.work_folder import job_of
from simswap.inference.video_job import check_output_of, is_result_name, swap_video
from simswap.launching import stops
from simswap.video.containers import CODECS, CONTAINERS


def list_videos(folder: Path) -> list[Path]:
    """The videos of a folder in natural order."""
    names = [one.name for one in folder.iterdir() if is_video_name(one.name) and one.is_file()]
    return [folder / name for name in sorted(names, key=natural_key)]


def video_settings(cfg: DictConfig) -> VideoSettings:
    """The settings of a config of conf/swap.yaml. Raises InputError for values that do not fit together."""
    given = {key: value for key, value in cfg.video.items() if key != "frames"}
    return VideoSettings(faces=cfg.faces, threshold=cfg.threshold, mark=cfg.mark, **given)


def left_to_do(
    videos: Sequence[Path], out: Path, several: bool, settings: Mapping[str, Any], chosen: VideoSettings
) -> dict[Path, Path]:
    """The videos (→ paths of their results) that an earlier start has not finished.

    Args:
        videos: Video files, and folders of frames.
        out: The result, or the folder of the results.
        several: Whether it is the folder.
        settings: See `folder_job.job_digest`.
        chosen: The settings of the videos.

    Raises:
        InputError: A result cannot be written, or another file has its name.
    """
    if not videos:
        return {}
    names = result_names(videos, lambda path: _ending(path, chosen.codec)) if several else [""]
    results = {path: out / name if several else out for path, name in zip(videos, names, strict=True)}
    folders = {path: file for path, file in results.items() if path.is_dir() and not is_result_name(file)}
    left = dict(folders)  # their pictures are checked one by one
    for path, file in results.items():
        if path not in folders:
            left |= still_to_do({path: file}, settings, partial(_check, path, chosen), job_of)
    return left


def _check(target: Path, chosen: VideoSettings, out: Path) -> None:
    check_output_of(target, out, chosen)


def swap_videos(
    swapper: PhotoSwapper,
    results: Mapping[Path, Path],
    cast: Cast,
    settings: Mapping[str, Any],
    chosen: VideoSettings,
    alone: bool,
) -> list[str]:
    """Swap videos, with a progress bar for each pass.

    Returns:
        A line for each video that could not be swapped.

    Raises:
        InputError: Likewise, if it is the only one.
    """
    failures = []
    for path, file in results.items():
        bars = _Bars(path.name)
        stops.enter(stops.TRAINING)  # a batch may outlast the time that other work has to end
        try:
            done = swap_video(swapper, cast, path, file, chosen, bars.show, job=job_digest(settings, path))
            bars.close()
            tqdm.write(f"{file}: faces swapped on {done.swapped} of {done.frames} frames, {done.shots} shots")
        except InputError as error:
            if alone:
                raise
            failures.append(str(error))
            tqdm.write(f"skipped: {error}")
        finally:
            stops.enter(stops.LEAVING)
            bars.close()
    return failures


class _Bars:
    """A bar with the time left for each of the two passes; only on a terminal."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._words = ""
        self._bar: tqdm | None = None

    def show(self, done: int, total: int) -> None:
        frames = total // 2
        swapping = done > frames
        words = f"{self.name}: {'swapping' if swapping else 'finding faces'}"
        if words != self._words:
            self.close()
            self._words = words
        at = done - frames * swapping
        if self._bar is None:
            self._bar = tqdm(total=frames, desc=words, unit="frame", initial=at - 1, disable=None)
        self._bar.total = frames
        self._bar.update(at - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _ending(video: Path, codec: str) -> str:
    """The ending of a result in a folder: the video's own if it can be written, else one that holds any sound."""
    if video.is_dir():
        return ""
    own = {".m4v": ".mp4"}.get(video.suffix.lower(), video.suffix.lower())
    return own if own in CONTAINERS and codec in CODECS and own in CODECS[codec].containers else ".mkv"
