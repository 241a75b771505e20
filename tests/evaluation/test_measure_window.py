"""``measure.window=photo`` by the command line: what it measures, what it needs, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet
from tests.evaluation.lookalike import command, write_lookalike
from tests.test_train import one_line

from simswap.checkpoint import KEY
from simswap.data.aligning import CropSettings
from simswap.data.datamodule import SwapDataModule
from simswap.data.landmarks import LandmarkTable
from simswap.data.preparing import prepare_folder
from simswap.evaluate import main
from simswap.evaluation.photo_faces import PhotoFaces, photo_folder
from simswap.faces.paste import PasteSettings
from simswap.measuring.swappers import PreparedFaces
from simswap.measuring.window import OF_CROPS, Window
from simswap.models.builtin import WEIGHTS
from simswap.rendered.dataset import write_dataset

DEMO, SIZE = WEIGHTS / "demo.ckpt", 64


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Prepared 64-px crops of 8 rendered persons with 2 photos of 112 px each; prepare.json names their folder."""
    folder = tmp_path_factory.mktemp("prepared")
    raw, out = folder / "raw", folder / "crops"
    write_dataset(str(raw), persons=8, images=2, size=112, seed=6)
    record = {"template": "arcface", "size": SIZE, "raw": str(raw)}
    table = LandmarkTable([raw / "loose_landmark.csv"])
    prepare_folder(raw, out, CropSettings("arcface", SIZE, "png", 95, 0), record, table, None, 0)
    return out


@pytest.fixture(scope="module")
def of_96_px(tmp_path_factory) -> Path:
    """The shipped network as one of 96-px ffhq crops: it is convolutional, and any size of crop fits."""
    content = torch.load(DEMO, weights_only=True)
    content[KEY].update(image_size=96, template="ffhq")
    torch.save(content, file := tmp_path_factory.mktemp("other") / "ffhq.ckpt")
    return file


def arguments(prepared: Path, out: Path, *more: str) -> list[str]:
    return [
        f"checkpoint={DEMO}", f"data.root={prepared}", f"out={out}", "protocol.split=train", "protocol.persons=6",
        "protocol.images_per_person=2", "protocol.pairs=8", "judge=builtin", "pose=builtin", "grid_faces=2", *more,
    ]  # fmt: skip


PHOTO = ("measure.window=photo", f"measure.size={SIZE}")


def results(folder: Path):
    content = json.loads((folder / "evaluation.json").read_text())
    return content["protocol"], content["results"]


def test_two_sizes_and_templates_stand_in_one_table(prepared, of_96_px, tmp_path, door):
    both = (f"shipped={of_96_px}", "baselines=[classical]")
    code, _, errors = door(main, *arguments(prepared, tmp_path / "crop", *both))
    assert code == 2
    assert "takes ffhq crops of 96 px, but the data holds arcface crops of 64 px" in one_line(errors)

    code, out, errors = door(main, *arguments(prepared, tmp_path / "photo", *both, *PHOTO))
    assert code == 0, errors
    protocol, rows = results(tmp_path / "photo")
    assert {name: row.get("crop") for name, row in rows.items()} == {
        "trained": "64 px arcface", "shipped": "96 px ffhq", "classical": "64 px arcface",
        "do_nothing": "64 px arcface", "copy_source": None,
    }  # fmt: skip
    assert (protocol["image_size"], protocol["template"]) == (SIZE, "arcface")
    assert protocol["window"]["settings"] == {
        "kind": "photo", "extent": 1.45, "feather": 0.35, "color": "none", "detail": 1.0, "detail_fade": 12
    }  # fmt: skip
    assert "64 px arcface windows of the photos" in " ".join(out.split())
    # The controls' figures are known, as without a window.
    assert rows["do_nothing"]["pose_error_deg"]["value"] == 0
    assert rows["do_nothing"]["self_reconstruction_l1"]["value"] == 0
    assert rows["copy_source"]["id_retrieval"]["value"] == 1
    # The network changes the face, and outside the mask of the paste nothing: it stays nearer to the target.
    for row in ("trained", "shipped"):
        assert 0 < rows[row]["self_reconstruction_l1"]["value"] < 0.05
        assert rows["do_nothing"]["id_similarity"]["value"] < rows[row]["id_similarity"]["value"]
    pairs = parquet.read_table(tmp_path / "photo" / "evaluation_pairs.parquet").to_pydict()
    assert all((prepared.parent / "raw" / name).is_file() for name in pairs["target"] + pairs["source"])
    assert (tmp_path / "photo" / "evaluation_shipped.png").is_file()


def test_all_persons_on_the_window_of_their_photos(prepared, tmp_path, door):
    everyone = ("protocol.split=all", "protocol.persons=8", *PHOTO)
    code, out, errors = door(main, *arguments(prepared, tmp_path, *everyone, f"measure.raw={prepared.parent / 'raw'}"))
    assert code == 0, errors
    protocol, rows = results(tmp_path)
    assert (protocol["split"], protocol["gallery_persons"], protocol["gallery_images"]) == ("all", 8, 16)
    assert protocol["window"]["settings"]["kind"] == "photo"
    assert [one["checked"] for one in protocol["overlap"]] == ["no"]
    assert rows["trained"]["crop"] == "64 px arcface"
    assert rows["copy_source"]["id_retrieval"]["value"] == 1
    assert "8 swaps, all persons of" in " ".join(out.split())
    assert "64 px arcface windows of the photos" in " ".join(out.split())


def test_without_a_window_the_evaluation_says_so(prepared, tmp_path, door):
    assert door(main, *arguments(prepared, tmp_path))[0] == 0
    protocol, rows = results(tmp_path)
    assert protocol["window"] == OF_CROPS
    assert not [name for name, row in rows.items() if "crop" in row]


def test_a_window_at_the_crops_own_template_and_size_is_the_prepared_crop(prepared):
    data, rows = SwapDataModule(prepared, batch_size=1), np.arange(16)
    window = Window("arcface", SIZE, PasteSettings(), ("arcface", SIZE))
    faces = PhotoFaces(data, photo_folder(data.manifest, None), window, rows)
    crops, windows = (each.load(rows, torch.device("cpu"), landmarks=True) for each in (PreparedFaces(data), faces))
    # The manifest's landmarks have three decimals, and OpenCV 5 rounds coordinates by their size.
    apart = 255 * (crops.images - windows.images).abs()
    assert apart.max() <= 2.01
    assert apart.mean() < 0.02
    assert torch.equal(crops.view, windows.view)
    assert torch.allclose(crops.landmarks.double(), windows.landmarks, atol=1e-3)
    assert crops.photos is None
    assert len(windows.photos) == 16
    assert faces.load(rows[:2], torch.device("cpu")).photos is None
    with pytest.raises(ValueError, match="no frames before and after"):
        faces.load(rows, torch.device("cpu"), offset=1)


def test_photos_that_are_gone_or_others_are_named_in_one_line(prepared, tmp_path, door):
    def complaint(root: Path, *more: str) -> str:
        code, _, errors = door(main, *arguments(root, tmp_path / "out", *PHOTO, *more))
        assert code == 2
        assert not list(tmp_path.glob("out/evaluation*"))
        return one_line(errors)

    raw = prepared.parent / "raw"
    moved = shutil.copytree(raw, tmp_path / "moved")
    root = shutil.copytree(prepared, tmp_path / "crops")
    settings = json.loads((root / "prepare.json").read_text())
    settings["settings"]["raw"] = str(tmp_path / "gone")
    (root / "prepare.json").write_text(json.dumps(settings))
    told = complaint(root)
    assert f"{tmp_path / 'gone'}, the folder of the photos of {root}, is not there" in told
    assert "give the folder of these photos as measure.raw=<folder>" in told
    del settings["settings"]["raw"]
    (root / "prepare.json").write_text(json.dumps(settings))
    assert f"{root / 'prepare.json'} does not say which photos the crops were made of; give" in complaint(root)
    # With the folder where they are now, the same command works, and measures the same.
    assert door(main, *arguments(root, tmp_path / "there", *PHOTO, f"measure.raw={moved}"))[0] == 0
    assert door(main, *arguments(prepared, tmp_path / "here", *PHOTO))[0] == 0
    assert results(tmp_path / "there")[1] == results(tmp_path / "here")[1]

    for file in sorted(moved.rglob("*.jpg"))[:-1]:
        file.unlink()
    assert f"photos are not in {moved}, the first is n00" in complaint(root, f"measure.raw={moved}")
    shutil.copytree(raw, moved, dirs_exist_ok=True)
    for file in moved.rglob("*.jpg"):
        file.write_bytes(b"no photo")
    assert ".jpg: no image; give the folder" in complaint(root, f"measure.raw={moved}")


def test_a_manifest_leads_to_no_file_outside_the_folder_of_photos(prepared, tmp_path, door):
    lines = (prepared / "manifest.csv").read_text().splitlines()
    for name, place in (("../secret.jpg", "above"), ("/etc/secret.jpg", "absolute")):
        root = shutil.copytree(prepared, tmp_path / place)
        cells = [line.split(",") for line in lines]
        changed = [",".join([*row[:2], name, *row[3:]]) for row in cells[1:]]
        (root / "manifest.csv").write_text("\n".join([lines[0], *changed]) + "\n")
        code, _, errors = door(main, *arguments(root, tmp_path / "out", *PHOTO))
        assert code == 2
        assert f"names the photo {name!r}, which is in no folder of photos" in one_line(errors)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["measure.window=frame"], "measure.window=frame: it takes crop or photo"),
        (["measure.window=photo", "measure.template=mine"], "measure.template=mine: choose one of arcface"),
        (["measure.window=photo", "paste.feather=0"], "paste.feather=0"),
        (["measure.size=8"], "measure.size is 8"),
    ],
)
def test_wrong_settings_are_named(prepared, tmp_path, door, more, told):
    code, _, errors = door(main, *arguments(prepared, tmp_path / "out", *more))
    assert code == 2
    assert told in one_line(errors)
    assert not (tmp_path / "out" / "evaluation.json").exists()


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return write_lookalike(tmp_path_factory.mktemp("ff"))


def test_frames_are_measured_in_their_window_and_results_of_others_too(videos, tmp_path, door):
    """At the crops' own template and size, whatever is not pasted has the figures that it has without a window."""
    cache, jitter = f"protocol.cache={tmp_path / 'cache'}", "protocol.jitter=true"
    assert door(main, *command(videos, tmp_path / "crop", cache, jitter))[0] == 0
    assert door(main, *command(videos, tmp_path / "photo", cache, jitter, *PHOTO))[0] == 0
    (crop, by_crop), (photo, by_window) = (results(tmp_path / name) for name in ("crop", "photo"))
    assert crop["pairs_sha256"] == photo["pairs_sha256"]
    assert crop["window"] != photo["window"]
    for row in ("Rendered", "copy_source", "do_nothing"):
        for figure in ("id_retrieval", "id_similarity", "target_similarity", "pose_error_deg", "jitter_pose_deg"):
            expected = by_crop[row][figure]["value"]
            assert by_window[row][figure]["value"] == pytest.approx(expected, abs=0.02), (row, figure)
    assert by_window["do_nothing"]["pose_error_deg"]["value"] == 0
    trained = by_window["trained"]
    assert trained["target_similarity"]["value"] > by_crop["trained"]["target_similarity"]["value"]
    assert np.isfinite(trained["jitter_identity"]["value"])
    # An interrupted evaluation goes on: with its cache it gives the same figures.
    assert door(main, *command(videos, tmp_path / "again", cache, jitter, *PHOTO))[0] == 0
    assert results(tmp_path / "again")[1] == by_window

    code, _, errors = door(main, *command(videos, tmp_path / "bad", *PHOTO, "protocol.size=112"))
    assert code == 2
    assert "protocol.size=112 is for crops" in one_line(errors)
    assert "give measure.size=112 instead" in one_line(errors)


def test_plain_videos_are_paired_all_by_all(videos, tmp_path, door):
    folder = tmp_path / "plain"
    shutil.copytree(videos / "original_sequences/youtube/c23/videos", folder)
    plain = [part for part in command(videos, tmp_path / "out") if not part.startswith("protocol.swaps")]
    plain = [part for part in plain if not part.startswith("protocol.root")] + [f"protocol.root={folder}"]
    code, _, errors = door(main, *plain, "protocol.frames=2")
    assert code == 2
    assert "protocol.root=<folder> protocol.originals=. protocol.pairs=all" in one_line(errors)

    every = ("protocol.originals=.", "protocol.pairs=all", "protocol.frames=2", "baselines=[classical]")
    code, _, errors = door(main, *plain, *every, *PHOTO)
    assert code == 0, errors
    protocol, rows = results(tmp_path / "out")
    # Four videos, each with the three others, two frames each; the gallery has the two frames of each.
    assert (protocol["pairs"], protocol["gallery_images"], protocol["gallery_persons"]) == (4 * 3 * 2, 8, 4)
    assert protocol["pairing"].startswith("every video with every other, 12 pairs of videos")
    assert list(rows) == ["trained", "classical", "do_nothing", "copy_source"]
    pairs = parquet.read_table(tmp_path / "out" / "evaluation_pairs.parquet").to_pydict()
    assert {*zip(pairs["target_person"], pairs["source_person"], strict=True)} == {
        (a, b) for a in ("000", "001", "002", "003") for b in ("000", "001", "002", "003") if a != b
    }


def test_finished_crops_have_no_photos_to_measure(tmp_path, door):
    (tmp_path / "pairs.csv").write_text("result,source,target\na.png,b.png,c.png\n")
    code, _, errors = door(
        main, "checkpoint=null", "protocol=folder", f"protocol.pairs={tmp_path / 'pairs.csv'}", f"out={tmp_path}",
        "protocol.aligned=true", "judge=builtin", "pose=builtin", *PHOTO,
    )  # fmt: skip
    assert code == 2
    assert "the files are crops, without the photos that measure.window=photo needs" in one_line(errors)
