"""What lies where a file was wanted is named, by every reader."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simswap import checkpoint
from simswap.data.landmarks import LandmarkTable
from simswap.data.manifest import read_csv, read_settings
from simswap.data.reading import UnreadableImage, read_image
from simswap.data.video import count_frames, why_unreadable
from simswap.errors import InputError
from simswap.evaluation.faceforensics_layout import read_pairs
from simswap.evaluation.frames import result_crops
from simswap.faces.detection import InsightFaceDetector
from simswap.inference.formats import read_safetensors
from simswap.inference.photos import read_photo
from simswap.models.arcface import arcface_recognizer
from simswap.models.features import FeatureNetwork
from simswap.models.hopenet import HopenetPose
from simswap.models.iresnet import iresnet_recognizer
from simswap.models.onnx_reader.graph import OnnxGraph
from simswap.models.recognition import onnx_recognizer
from simswap.models.scripted import read_scripted_module
from simswap.settings.records import read_plain, read_record
from simswap.stand_ins import FORMS, refuse_stand_in
from simswap.tracking.runs import read_evaluation

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 99\n"
PAGE = "<!DOCTYPE html><html><head><title>Sign in – drive</title></head><body>…</body></html>"


def _packed(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("weights/net.pth", b"x" * 50)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("weights/net.pth"))
    return buffer.getvalue()


def _torch_file(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


STAND_INS = {
    "pointer": (POINTER, "a Git LFS pointer", "git lfs pull"),
    "pointer with CRLF and BOM": (
        b"\xef\xbb\xbf" + POINTER.replace(b"\n", b"\r\n"), "a Git LFS pointer", "git lfs pull"),
    "page": (PAGE.encode(), "a web page (Sign in – drive)", "get the file again"),
    "page with BOM, blanks and a comment": (
        b"\xef\xbb\xbf\r\n \t<!-- proxy -->\n<HTML lang='en'><p>Denied", "a web page", "get the file again"),
    "page in UTF-16": (PAGE.encode("utf-16"), "a web page (Sign in – drive)", "get the file again"),
    "page in Latin-1": (b"<html><title>Kein Zugriff f\xfcr Sie</title>", "a web page (Kein Zugriff für Sie", "again"),
    "page cut in a letter": (b"<html>" + b"a" * 4089 + "é".encode() * 50, "a web page", "get the file again"),
    "cloud store": (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
        "an XML answer of a server (AccessDenied)", "get the file again"),
    "cloud store, plain": (b"<Error><Code>NoSuchKey</Code>", "an XML answer of a server (NoSuchKey)", "again"),
    "api": (b'{"message": "Not Found", "code": "404"}', 'a JSON answer of a server ({"message": "Not F', "again"),
    "long api": (json.dumps({"items": ["a" * 50] * 200}).encode(), "a JSON answer of a server", "get the file again"),
    "empty": (b"", "an empty file", "get the file again"),
    "zeros": (bytes(9000), "a file of zeros", "cut off"),
}  # fmt: skip
NO_TABLES = {
    "words": (b"404: Not Found", "a text file (404: Not Found)", "get the file again"),
    "zip": (_packed("zip"), "a zip archive of weights/net.pth", "unpack it first"),
    "cut zip": (_packed("zip")[:-30], "a zip or torch file that is cut off", "get the file again"),
    "cut torch file": (_torch_file({"w": torch.rand(99)})[:-200], "a zip or torch file that is cut off", "again"),
    "tar": (_packed("tar"), "a tar archive", "unpack it first"),
    "gzip": (gzip.compress(b"weights"), "a gzip archive", "unpack it first"),
    "picture": (b"\xff\xd8\xff\xe0" + bytes(range(1, 200)), "a JPEG picture", "give the file itself"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file", "in the form that is asked for"),
}


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", {**STAND_INS, **NO_TABLES})
def test_what_it_is_is_named(tmp_path, case, form):
    content, what, cure = {**STAND_INS, **NO_TABLES}[case]
    path = write(tmp_path / "file.bin", content)
    if (
        (case == "words" and form in ("text", "json", "yaml", "video"))
        or (case == "empty" and form == "yaml")
        or ("api" in case and form in ("json", "yaml"))
        or (case in NO_TABLES and form == "video")
    ):
        return refuse_stand_in(path, "what was wanted", form)
    if case == "empty" and form in ("text", "json"):
        cure = "give one that holds something"
    with pytest.raises(InputError) as caught:
        refuse_stand_in(path, "what was wanted", form)
    message = str(caught.value)
    assert message.startswith(f"{path} is {what}")
    assert ", not what was wanted; " in message
    assert cure in message
    assert "\n" not in message
    assert message.isprintable()
    return None


READERS = {
    "checkpoint": ("a.ckpt", lambda path: checkpoint.load(path)),
    "weights to import": ("a.pth", lambda path: checkpoint.read_state_dict(path)),
    "arcface": ("a.tar", lambda path: arcface_recognizer(str(path))),
    "iresnet": ("a.pt", lambda path: iresnet_recognizer(str(path))),
    "hopenet": ("a.pkl", lambda path: HopenetPose(str(path))),
    "onnx": ("a.onnx", lambda path: OnnxGraph(path)),
    "recognizer": ("a.onnx", lambda path: onnx_recognizer(str(path))),
    "recognizer in a pack": ("pack/a.onnx", lambda path: onnx_recognizer(str(path.parent))),
    "detector's pack": ("pack/det.onnx", lambda path: InsightFaceDetector(str(path.parent))),
    "features": ("a.onnx", lambda path: FeatureNetwork(str(path), None, "imagenet")),
    "archive": ("a.pt", lambda path: read_scripted_module(path)),
    "safetensors": ("a.safetensors", lambda path: read_safetensors(path)),
    "table": ("a.csv", lambda path: read_csv(path)),
    "landmarks": ("a.csv", lambda path: LandmarkTable([path])),
    "pairs": ("test.json", lambda path: read_pairs(path, both_ways=True)),
    "prepare.json": ("prepare.json", lambda path: read_settings(path.parent)),
    "evaluation": ("evaluation.json", lambda path: read_evaluation(path.parent)),
    "recorded config": ("config.yaml", lambda path: read_record(path)),
    "photo": ("a.jpg", lambda path: read_photo(path)),
}


@pytest.mark.parametrize("case", ["pointer", "page with BOM, blanks and a comment", "cloud store", "api", "empty"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_it(tmp_path, reader, case):
    name, read = READERS[reader]
    content, what, _ = STAND_INS[case]
    path = write(tmp_path / name, content)
    shown = f"{path} is {what}"
    if path.suffix == ".yaml" and case == "api":
        return  # of the right form
    if path.suffix == ".json" and case == "api":
        shown = str(path)  # so that what it lacks is said
    elif path.suffix == ".yaml" and case == "empty":
        shown = f"{path} is empty"
    with pytest.raises(InputError) as caught:
        read(path)
    assert shown in str(caught.value)
    assert "\n" not in str(caught.value)
    if case == "empty" and path.suffix in (".csv", ".json"):
        assert "download" not in str(caught.value)


def test_a_video_that_is_a_pointer_is_left_out_for_that_reason(tmp_path):
    for name, content, words in (
        ("a.mp4", POINTER, "is a Git LFS pointer and no video; fetch"),
        ("b.avi", PAGE.encode(), "is a web page (Sign in – drive) and no video"),
        ("c.mov", b"", "is an empty file and no video"),
        ("d.mkv", b"\x1aE\xdf", "broken"),
    ):
        path = write(tmp_path / name, content)
        assert count_frames(path) == 0
        assert why_unreadable(path, "broken").startswith(words)
    assert why_unreadable(tmp_path, "no frame") == "no frame"
    target = {"number": np.array([4]), "shape": np.array([[9, 9]]), "matrix": np.zeros((1, 2, 3))}
    skipped = result_crops(tmp_path / "a.mp4", target, 8, False)["skipped"]
    assert skipped.tolist()[0].startswith("4: is a Git LFS pointer and no video")


def test_files_of_settings_that_are_something_else(tmp_path):
    write(tmp_path / "a.yaml", b"")
    assert read_plain(tmp_path / "a.yaml") == {}  # of a person's own: it changes nothing
    with pytest.raises(InputError, match="a Git LFS pointer, not a file of settings"):
        read_plain(write(tmp_path / "b.yaml", POINTER))
    with pytest.raises(InputError, match=r"contains .*Not Found.* instead of a list"):
        read_pairs(write(tmp_path / "c.json", STAND_INS["api"][0]), both_ways=True)


def test_a_crop_that_is_a_pointer_is_unreadable_for_that_reason(tmp_path):
    with pytest.raises(UnreadableImage, match="no image but a Git LFS pointer"):
        read_image(write(tmp_path / "a.jpg", POINTER))


def test_weights_beside_an_onnx_file_are_named_too(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((40, 40), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 40])],
        [weight],
    )
    onnx.save(
        helper.make_model(graph), tmp_path / "a.onnx", save_as_external_data=True, location="a.data", size_threshold=0
    )
    (tmp_path / "a.data").write_bytes(POINTER)
    with pytest.raises(InputError, match=r"a\.data is a Git LFS pointer, not the weights of a\.onnx"):
        OnnxGraph(tmp_path / "a.onnx")


def test_what_is_wanted_is_let_pass(tmp_path):
    """Also where its first bytes happen to be those of something else."""
    refuse_stand_in(tmp_path / "missing", "a checkpoint", "torch")
    refuse_stand_in(write(tmp_path / "a.pt", _torch_file({"w": torch.zeros(3)})), "weights", "torch")
    refuse_stand_in(write(tmp_path / "a.csv", b"\xef\xbb\xbfa;b\r\n<x>;{1}\r\n"), "a table", "text")
    refuse_stand_in(write(tmp_path / "b.csv", "NAME_ID,P1X\nn1/zoë,1\n".encode("utf-16")), "a table", "text")
    refuse_stand_in(write(tmp_path / "c.csv.gz", gzip.compress(b"a,b\n1,2\n")), "a table", "text")
    for length in (0x088B1F, 0x5A4D, 123):
        head = length.to_bytes(8, "little") + b'{"a":' + b" " * 50
        refuse_stand_in(write(tmp_path / f"{length}.safetensors", head), "weights", "safetensors")
    with pytest.raises(InputError, match="is a safetensors file, not a checkpoint"):
        refuse_stand_in(tmp_path / "123.safetensors", "a checkpoint", "torch")
    with pytest.raises(InputError, match="is a torch file, not an ONNX network"):
        refuse_stand_in(tmp_path / "a.pt", "an ONNX network", "onnx")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").pixels.shape == (4, 4, 3)
    with pytest.raises(ValueError, match="no form"):
        refuse_stand_in(tmp_path / "a.png", "a picture", "png")


@pytest.mark.real
@pytest.mark.parametrize("name", ["lfs.pth", "page.pth"])
def test_the_given_cases(shared, name):
    with pytest.raises(InputError, match=r"is a (Git LFS pointer|web page \(Google Drive - Quota exceeded\)), not"):
        checkpoint.read_state_dict(shared / "cases" / name)
