"""``simswap-swap``: a trained checkpoint on photos and videos; the metadata of every result names it as synthetic."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from simswap import checkpoint
from simswap.config import build
from simswap.data.landmarks import LandmarkTable, landmark_files
from simswap.data.listing import VIDEO, VIDEO_SUFFIXES, PassedOver, list_images
from simswap.errors import InputError
from simswap.faces.paste import PasteSettings
from simswap.files import sha256_of
from simswap.inference.choosing import read_mapping, source_face
from simswap.inference.finding import PhotoFaceFinder, TableFinder
from simswap.inference.folder_job import JOB, job_digest, result_names, still_to_do
from simswap.inference.photos import Photo, read_photo
from simswap.inference.swapper import Aligned, PhotoSwapper, embedder_of, most_alike
from simswap.inference.video.settings import Cast
from simswap.inference.video_command import left_to_do, list_videos, swap_videos, video_settings
from simswap.inference.video_job import is_result_name
from simswap.inference.writing import check_fits, check_output, write_photo
from simswap.launching.devices import choose_device
from simswap.launching.front_door import front_door
from simswap.models.recorded import recognizer_of
from simswap.pictures import mark_synthetic, provenance, swap_grid, write_png
from simswap.wandb_files import local_file


def swap(cfg: DictConfig) -> None:
    """Swap with a checked config.

    Raises:
        InputError: bad input.
    """
    sources, targets, out = _check_job(cfg)
    settings = _settings(cfg, sources)
    videos = [path for path in targets if _is_video(cfg, path)]
    photos = [path for path in targets if path not in videos]
    several = _several(cfg)
    left = _left(photos, out, settings) if several else dict.fromkeys(photos, out)
    chosen = video_settings(cfg)
    of_videos = settings | {"video": asdict(chosen)}
    films = left_to_do(videos, out, several, of_videos, chosen)
    if not left and not films:
        one = len(targets) == 1
        print(f"{'' if one else 'all '}{_count(photos, videos)} {'is' if one else 'are'} done already: {out}")
        return
    swapper, words = _tools(cfg)
    if cfg.grid:
        write_png(out, _grid(swapper, sources, targets, cfg), words)
        print(f"grid: {out}")
        return
    persons: list[Path] = []
    if cfg.mapping:
        persons, sources = read_mapping(Path(cfg.mapping))
    elif cfg.only:
        persons = [Path(cfg.only)]
    cast = Cast(sources, persons, cfg.source_face)
    failures = _swap_photos(swapper, left, cast, settings, words, cfg) if left else []
    failures += swap_videos(swapper, films, cast, of_videos, chosen, alone=not several)
    done = len(targets) - len(failures)
    if not done:
        raise InputError(f"none of the {_count(photos, videos)} could be swapped; the first: {failures[0]}")
    earlier = len(targets) - len(left) - len(films)
    before = f" ({earlier} of them earlier)" if earlier else ""
    print(f"swapped {done} of {_count(photos, videos)}{before}: {out}")


def _swap_photos(
    swapper: PhotoSwapper,
    results: dict[Path, Path],
    cast: Cast,
    settings: dict[str, Any],
    words: dict[str, str],
    cfg: DictConfig,
) -> list[str]:
    """Swap photos (→ paths of their results); returns a line for each that could not be, where there are several."""
    several = _several(cfg)
    given = [source_face(swapper, path, cast.source_face) for path in cast.sources]
    references = None
    if cast.persons:
        references = swapper.identities([source_face(swapper, path, "largest") for path in cast.persons])
    failures: list[str] = []
    for path, file in tqdm(results.items(), desc="swapping", unit="photo", disable=None if several else True):
        try:
            photo = read_photo(path)
            check_fits(file, photo)
            faces, chosen = _choose(swapper, photo, given, references, cfg)
            done = swapper.paste(photo, faces, swapper.swap_crops(faces, chosen))
            left_out = write_photo(file, done, photo, words | {JOB: job_digest(settings, path)}, cfg.mark)
            if left_out:
                tqdm.write(f"note: {file} could not keep all of the photo's metadata: {', '.join(left_out)}")
        except InputError as error:
            if not several:
                raise
            failures.append(str(error))
            tqdm.write(f"skipped: {error}")
    return failures


def _count(photos: list[Path], videos: list[Path]) -> str:
    """How many there are, in words."""
    kinds = [(photos, "photo"), (videos, "video")]
    return " and ".join(f"{len(paths)} {name}{'s' * (len(paths) > 1)}" for paths, name in kinds if paths)


def _tools(cfg: DictConfig) -> tuple[PhotoSwapper, dict[str, str]]:
    """The swapper of the checkpoint, and the provenance of its results."""
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    trained = checkpoint.load(cfg.checkpoint)
    trained.check_finite()
    recognizer = recognizer_of(trained.description["config"], cfg.recognition.path)
    swapper = PhotoSwapper(
        trained,
        embedder_of(trained, recognizer),
        _finder(cfg),
        PasteSettings(**cfg.paste),
        cfg.min_face,
        cfg.batch_size,
        choose_device(cfg.device),
    )
    return swapper, provenance(f"sha256:{trained.sha256}")


def _check_job(cfg: DictConfig) -> tuple[list[Path], list[Path], Path]:
    """Check sources, targets and output before anything is loaded.

    Raises:
        InputError: they do not fit together.
    """
    if cfg.faces not in ("largest", "all"):
        raise InputError(f"faces={cfg.faces}: choose largest or all")
    if cfg.source_face not in ("only", "largest"):
        raise InputError(f"source_face={cfg.source_face}: choose only or largest")
    if bool(cfg.source) == bool(cfg.mapping):
        raise InputError("give either source=<photo> or mapping=<csv of person,source>")
    if cfg.only and cfg.mapping:
        raise InputError("only= and mapping= both say who is swapped; give one of them")
    if cfg.batch_size < 1:
        raise InputError(f"batch_size={cfg.batch_size}: at least 1")
    sources, targets, out = _paths(cfg.source), _paths(cfg.target, cfg), Path(cfg.out)
    if len(sources) > 1 and not cfg.grid:
        raise InputError(f"{len(sources)} sources: say with mapping= whom each replaces, or draw a grid with grid=true")
    if sources and not cfg.grid:
        others = [path for path in targets if path.resolve() != sources[0].resolve()]
        if not others:
            raise InputError(f"{sources[0]} is source and target alike: nothing would change; give another source")
        targets = others  # a folder may hold the source too
    if cfg.grid or not _several(cfg):
        if cfg.grid and out.suffix.lower() != ".png":
            raise InputError(f"out={out}: a grid is written as .png")
        if not _is_video(cfg, targets[0]):
            check_output(out)
            if not cfg.grid:
                check_fits(out, read_photo(targets[0]))
    elif isinstance(cfg.target, str) and out.resolve() == Path(cfg.target).resolve():
        raise InputError(f"out={out} is the folder of the targets, and results would be swapped again; choose another")
    return sources, targets, out


def _several(cfg: DictConfig) -> bool:
    """Whether there is more than one target: a list, or a folder; then ``out`` is a folder too."""
    return not isinstance(cfg.target, str) or (Path(cfg.target).is_dir() and not _is_video(cfg, Path(cfg.target)))


def _is_video(cfg: DictConfig, path: Path) -> bool:
    """Whether a target is a video: by its name or that of its result, or a folder of frames."""
    if cfg.grid:
        return False
    if path.is_dir():
        return cfg.video.frames or is_result_name(Path(cfg.out))
    named = isinstance(cfg.target, str) and not Path(cfg.target).is_dir() and is_result_name(Path(cfg.out))
    return named or path.suffix.lower() in VIDEO_SUFFIXES


def _paths(value: Any, cfg: DictConfig | None = None) -> list[Path]:
    """The photos of a key; with ``cfg`` the targets, which may be videos."""
    if value is None:
        return []
    if not isinstance(value, str):
        return list(dict.fromkeys(Path(item) for item in value))
    if not Path(value).is_dir() or (cfg is not None and _is_video(cfg, Path(value))):
        return [Path(value)]
    passed = PassedOver()
    found = [Path(value) / name for name in list_images(Path(value), passed)]
    if cfg is not None and not cfg.grid:
        found += list_videos(Path(value))
        passed.counts.pop(VIDEO, None)
    if not found:
        raise InputError(f"{value}: holds no photos" + "".join(f"; {line}" for line in passed.lines()))
    if passed.counts:
        print(f"passed over in {value}: {', '.join(passed.lines())}")
    return found


def _left(targets: list[Path], out: Path, settings: dict[str, Any]) -> dict[Path, Path]:
    """Target → path of its swap, without those that an earlier start has finished."""
    names = result_names(targets)
    return still_to_do({path: out / name for path, name in zip(targets, names, strict=True)}, settings)


def _settings(cfg: DictConfig, sources: list[Path]) -> dict[str, Any]:
    """All that decides the look of a swap, as plain values, with hashes in place of files.

    Raises:
        InputError: a file does not exist.
    """
    files = {"checkpoint": [local_file(cfg.checkpoint)], "sources": sources}
    if cfg.mapping:
        persons, replaced_by = read_mapping(Path(cfg.mapping))
        files |= {"persons": persons, "sources": replaced_by}
    files |= {key: [Path(cfg[key])] for key in ("only", "landmarks") if cfg[key]}
    for path in (path for paths in files.values() for path in paths):
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
    keys = ("faces", "threshold", "source_face", "min_face", "mark", "paste", "detector")
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    return {key: plain[key] for key in keys} | {
        name: [sha256_of(path) for path in paths] for name, paths in files.items()
    }


def _finder(cfg: DictConfig) -> PhotoFaceFinder | TableFinder:
    tables = landmark_files(cfg.landmarks, cfg.detector is not None)
    if tables:
        return TableFinder(LandmarkTable(tables))
    return PhotoFaceFinder(build(cfg.detector))


def _choose(
    swapper: PhotoSwapper, photo: Photo, sources: list[Aligned], references: torch.Tensor | None, cfg: DictConfig
) -> tuple[list[Aligned], list[Aligned]]:
    """The faces of a photo to be swapped, and the source of each."""
    faces = swapper.find(photo)
    if references is None:
        faces = faces if cfg.faces == "all" else faces[:1]
        return faces, sources * len(faces)
    chosen, best = most_alike(swapper.identities(faces), references, cfg.threshold)
    kept = [(face, k) for face, k in zip(faces, chosen, strict=True) if k is not None]
    if not kept:
        raise InputError(
            f"{photo.path}: nobody there is like the given person (cosine at most {best:.2f}, threshold "
            f"{cfg.threshold}); give another photo of the person, or lower threshold"
        )
    return [face for face, _ in kept], [sources[k if cfg.mapping else 0] for _, k in kept]


def _grid(swapper: PhotoSwapper, sources: list[Path], targets: list[Path], cfg: DictConfig) -> Any:
    """The paper's figure of aligned crops."""
    across = [source_face(swapper, path, cfg.source_face) for path in sources]
    down = [swapper.find(read_photo(path))[0] for path in targets]
    results = swapper.swap_crops([t for t in down for _ in across], across * len(down))
    stacked = [
        torch.stack([torch.from_numpy(crop).permute(2, 0, 1) for crop in crops])
        for crops in ([t.crop for t in down], [s.crop for s in across], results)
    ]
    picture = swap_grid(stacked[0], stacked[1], stacked[2].unflatten(0, (len(down), len(across))))
    return mark_synthetic(picture) if cfg.mark else picture


def main() -> None:
    """The entry point of ``simswap-swap``."""
    front_door(swap, "swap")


if __name__ == "__main__":
    main()
