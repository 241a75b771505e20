"""``simswap-prepare``: raw identity folders → aligned crops and a manifest.

simswap-prepare raw=<folder of persons> out=<folder> landmarks=<csv>
simswap-prepare raw=<folder of persons> out=<folder> detector=insightface detector.pack=buffalo_l
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from simswap.config import build, build_optional
from simswap.data.cropping import SUFFIXES, CropSettings
from simswap.data.landmarks import LandmarkTable, landmark_files
from simswap.data.manifest import ATTRIBUTES_FILE, MANIFEST_FILE, read_settings
from simswap.data.preparing import Summary, check_folders, copy_table, prepare_folder
from simswap.data.tables import read_table
from simswap.errors import InputError
from simswap.faces.alignment import TEMPLATES
from simswap.launching.front_door import front_door
from simswap.launching.system import keep_freed_memory
from simswap.settings.recorded_names import PREPARED_LATER


def main() -> None:
    """The entry point of ``simswap-prepare``."""
    front_door(run, "prepare")


def run(cfg: DictConfig) -> None:
    """Prepare with a checked config.

    Raises:
        InputError: bad input.
    """
    crops = _crop_settings(cfg)
    raw, out = Path(cfg.raw), Path(cfg.out)
    if cfg.workers < 0:
        raise InputError(f"workers={cfg.workers}: it takes 0 (no worker processes) or more")

    check_folders(raw, out)

    # Faces to prepare: given, or rendered first.
    landmarks = cfg.landmarks
    has_detector = cfg.detector is not None
    attributes = Path(cfg.attributes) if cfg.attributes else None
    if cfg.origin is not None:
        # The generator of rendered faces is imported only when it is used.
        build(cfg.origin, root=str(raw), workers=cfg.workers)
        landmarks = None if has_detector else str(raw / "loose_landmark.csv")
        attributes = raw / "attributes.csv" if (raw / "attributes.csv").is_file() else attributes
    tables = landmark_files(landmarks, has_detector)
    if attributes is not None and read_table(attributes).lacking(["NAME_ID"]):
        raise InputError(f"attributes={attributes} has no column NAME_ID")
    table = LandmarkTable(tables) if tables else None
    detector = build_optional(cfg.detector)

    keep_freed_memory()
    summary = prepare_folder(raw, out, crops, _record(cfg, crops, tables), table, detector, cfg.workers)
    if attributes is not None:
        copy_table(out, attributes, ATTRIBUTES_FILE)
    print(report(summary, out))


def report(summary: Summary, out: Path) -> str:
    """The table at the end of prepare."""
    share = 100 * summary.aligned / summary.images
    lines = [f"aligned {summary.aligned} of {summary.images} images ({share:.2f} %), {summary.persons} persons"]
    skipped = sorted(((count, status) for status, count in summary.counts.items() if status != "ok"), reverse=True)
    lines += [f"  skipped {count:>9}  {status}" for count, status in skipped]
    if summary.new < summary.images:
        lines.append(f"  {summary.images - summary.new} of them had been done before")
    if summary.unused_landmark_rows:
        lines.append(f"  {summary.unused_landmark_rows} rows of the landmark table belong to no image")
    lines += [f"  {note}" for note in summary.notes]
    lines += [f"  passed over {line}" for line in summary.passed_over.lines()]
    lines.append(f"manifest: {out / MANIFEST_FILE}")
    return "\n".join(lines)


def _crop_settings(cfg: DictConfig) -> CropSettings:
    if cfg.template not in TEMPLATES:
        raise InputError(f"template={cfg.template}: there is no such template; choose one of {', '.join(TEMPLATES)}")
    if not 16 <= cfg.size <= 4096:
        raise InputError(f"size={cfg.size}: a crop has between 16 and 4096 pixels a side")
    if cfg.format not in SUFFIXES:
        raise InputError(f"format={cfg.format}: crops are written as {' or '.join(SUFFIXES)}")
    if not 1 <= cfg.quality <= 100:
        raise InputError(f"quality={cfg.quality}: JPEG quality lies between 1 and 100")
    if cfg.min_side < 0:
        raise InputError(f"min_side={cfg.min_side}: it takes 0 (no filter) or a number of pixels")
    return CropSettings(cfg.template, cfg.size, cfg.format, cfg.quality, cfg.min_side, _reduced_decoding(cfg))


def _reduced_decoding(cfg: DictConfig) -> bool:
    """The switch; ``auto`` is on for a new folder of given photos and a table, and as recorded for an earlier one.

    A detector sees photos at their full size; rendered faces keep the pixels that published figures were measured on.
    """
    if cfg.reduced_decoding != "auto":
        if cfg.reduced_decoding and cfg.detector is not None:
            raise InputError(
                "reduced_decoding=true: a detector sees photos at their full size; leave it out, or give landmarks="
            )
        return bool(cfg.reduced_decoding)
    earlier = read_settings(Path(cfg.out))
    if earlier is not None:
        return bool({**PREPARED_LATER, **earlier["settings"]}["reduced_decoding"])
    return cfg.detector is None and cfg.origin is None


def _record(cfg: DictConfig, crops: CropSettings, tables: list[Path]) -> dict[str, Any]:
    """The settings that decide the crops; a second run into the same folder must have the same."""
    detector: Any = OmegaConf.to_container(cfg.detector, resolve=True) if cfg.detector is not None else None
    for key in ("pack", "path", "cnn_path"):  # the same file may be named from another working folder
        if detector and detector.get(key) and Path(detector[key]).exists():
            detector[key] = str(Path(detector[key]).resolve())
    return {
        "raw": str(Path(cfg.raw).resolve()),
        "template": cfg.template,
        "size": cfg.size,
        "format": cfg.format,
        "quality": cfg.quality if cfg.format == "jpg" else None,
        "min_side": cfg.min_side,
        "reduced_decoding": crops.reduced_decoding,
        "landmarks": [str(table.resolve()) for table in tables],
        "detector": detector,
        "origin": OmegaConf.to_container(cfg.origin, resolve=True) if cfg.origin is not None else None,
    }


if __name__ == "__main__":
    main()
