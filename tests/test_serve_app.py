"""``simswap-app`` through its command line: what it says of bad input. tests/app has the page itself."""

import socket
import sys
import tempfile

import pytest
import torch

from simswap.errors import InputError
from simswap.models.builtin import WEIGHTS
from simswap.serve_app import bound, main, of_training
from tests.test_train import one_line

GOOD = f"checkpoint={WEIGHTS / 'demo.ckpt'}"
BAD = {
    "no checkpoint": ([], "checkpoint"),
    "a missing checkpoint": (["checkpoint=none.ckpt"], "none.ckpt: no such checkpoint"),
    "a checkpoint without generator": (["checkpoint={folder}/empty.ckpt"], "empty.ckpt"),
    "no checkpoint but a text": (["checkpoint={folder}/notes.txt"], "notes.txt"),
    "runs that are a file": ([GOOD, "runs={folder}/notes.txt"], "notes.txt: there is no such folder; give a folder"),
    "a port that is taken": ([GOOD, "port={taken}"], "port={taken} cannot be opened (Address already in use)"),
    "a port that is none": ([GOOD, "port=70000"], "port is 70000: it takes"),
    "no upload at all": ([GOOD, "uploads.files=0"], "uploads.files is 0: it takes"),
    "uploads of no size": ([GOOD, "uploads.file_mb=-1"], "uploads.file_mb is -1: it takes"),
    "minutes in words": ([GOOD, "uploads.minutes=ten"], "uploads.minutes"),
    "videos of no length": ([GOOD, "uploads.video_seconds=0"], "uploads.video_seconds is 0: it takes"),
    "an unknown key": ([GOOD, "uploads.file_gb=1"], "file_gb"),
    "an unknown judge": ([GOOD, "judge=nobody"], "judge=nobody"),
    "an unknown pose estimator": ([GOOD, "pose=nobody"], "pose=nobody"),
    "a judge without its file": ([GOOD, "judge=onnx"], "judge.path"),
    "a recognizer that has moved to nowhere": ([GOOD, "recognition.path=none.onnx"], "none.onnx"),
    "a bad paste": ([GOOD, "paste.feather=0"], "paste.feather=0"),
}


@pytest.fixture
def serve(door, tmp_path, monkeypatch):
    """Run the door, which must end by itself and leave no temporary folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(temporary)
    monkeypatch.setattr("simswap.serve_app.rendered_examples", lambda folder: [])  # they take a while to render

    def run(*arguments):
        code, output, errors = door(main, "port=0", "detector=none", *arguments)
        assert "the page:" not in output
        assert list(temporary.iterdir()) == []
        return code, errors

    return run


@pytest.mark.timeout(60)  # one that is not refused is served for ever
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(serve, tmp_path, case):
    arguments, words = BAD[case]
    (tmp_path / "notes.txt").write_text("no checkpoint")
    torch.save({"state_dict": {}}, tmp_path / "empty.ckpt")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        code, errors = serve(*(one.format(folder=tmp_path, taken=taken) for one in arguments))
    assert code == 2
    assert words.format(taken=taken) in one_line(errors)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("module", ["gradio", "uvicorn"])
def test_a_missing_extra_is_one_line(serve, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    code, errors = serve(GOOD)
    assert code == 2
    assert f"simswap-app needs {module}, which is not installed" in one_line(errors)
    assert "extra app" in errors


def test_a_network_of_the_training_that_is_not_here_is_said_with_a_way_out():
    def missing(_):
        raise InputError("judge.onnx: no such file")

    with pytest.raises(InputError, match=r"^of the checkpoint's training: judge.onnx: no such file; or .*judge=dlib$"):
        of_training(missing, {}, "judge=dlib")
    assert of_training(dict, {"a": 1}, "") == {"a": 1}


def test_it_listens_on_this_machine_alone():
    with bound(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
