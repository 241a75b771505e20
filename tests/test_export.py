"""``simswap-export`` through its command line: what other programs get, and the way back."""

import json

import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from simswap import checkpoint
from simswap.checkpoint import describe, write_generator
from simswap.errors import InputError
from simswap.export import main
from simswap.inference.formats import write_onnx
from simswap.models import builtin
from simswap.models.generator import Generator


@pytest.fixture
def file(tmp_path):
    """A checkpoint of a small random generator."""
    torch.manual_seed(0)
    generator = Generator(width=8, stages=2, blocks=2, identity_size=64, max_width=16, identity_scale=8.0).eval()
    path = tmp_path / "small.ckpt"
    write_generator(path, generator, describe(generator, "arcface", 32, builtin.recognizer(), {"seed": 3}))
    return path


@pytest.mark.filterwarnings("ignore")
def test_onnx_takes_any_batch_and_describes_itself(door, file, tmp_path):
    out = tmp_path / "generator.onnx"
    code, said, errors = door(main, f"checkpoint={file}", f"out={out}")
    assert (code, errors) == (0, "")
    assert "onnxruntime gives what torch gives" in said
    words = {prop.key: prop.value for prop in onnx.load(out).metadata_props}
    assert json.loads(words["simswap"])["recognizer"]["sha256"] == builtin.recognizer().sha256
    assert "synthetic face swap" in words["purpose"]
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    generator = checkpoint.load(file).generator
    for batch in (1, 5):
        target, identity = torch.rand(batch, 3, 32, 32), torch.nn.functional.normalize(torch.randn(batch, 64))
        got = session.run(None, {"target": target.numpy(), "identity": identity.numpy()})[0]
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(got), generator(target, identity), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_an_onnx_file_that_differs_gets_no_name(file, tmp_path, monkeypatch):
    monkeypatch.setattr("simswap.inference.formats.TOLERANCE", -1.0)
    with pytest.raises(InputError, match=r"over -1\.0; not written"):
        write_onnx(tmp_path / "generator.onnx", checkpoint.load(file))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.ckpt"]


@pytest.mark.filterwarnings("ignore")
def test_a_generator_that_gives_no_numbers_is_not_exported(file, tmp_path):
    broken = checkpoint.load(file)
    broken.generator.last[1].bias.fill_(float("nan"))
    with pytest.raises(InputError, match="differs from torch by nan"):
        write_onnx(tmp_path / "generator.onnx", broken)
    assert not (tmp_path / "generator.onnx").exists()


def test_safetensors_and_back_bit_for_bit(door, file, tmp_path):
    middle, back = tmp_path / "generator.safetensors", tmp_path / "back.ckpt"
    assert door(main, f"checkpoint={file}", f"out={middle}")[0] == 0
    code, _, errors = door(main, f"checkpoint={middle}", f"out={back}")
    assert code == 0, errors
    before, after = checkpoint.load(file), checkpoint.load(back)
    assert after.description == before.description
    plain = load_file(middle)
    for name, value in before.generator.state_dict().items():
        assert torch.equal(after.generator.state_dict()[name], value)
        assert torch.equal(plain[name], value)


def test_bad_input_is_one_line(door, file, tmp_path):
    (tmp_path / "text.safetensors").write_text("no tensors")
    (tmp_path / "junk.ckpt").write_text("junk")  # its first byte makes torch's reader ask for four more than there are
    cases = [
        (file, "a.pt", "write .onnx or .safetensors"),
        (file, "small.ckpt", "nothing is overwritten"),
        (tmp_path / "text.safetensors", "a.ckpt", "is a text file (no tensors), not a generator exported by"),
        (tmp_path / "none.safetensors", "a.ckpt", "there is no such file"),
        (tmp_path / "none.ckpt", "a.onnx", "no such checkpoint"),
        (tmp_path / "junk.ckpt", "a.onnx", "not a checkpoint"),
    ]
    for source, out, complaint in cases:
        code, _, errors = door(main, f"checkpoint={source}", f"out={tmp_path / out}")
        assert code == 2
        assert complaint in errors
        assert errors.count("\n") == 1
        assert not (tmp_path / "a.pt").exists()
        assert not (tmp_path / "a.ckpt").exists()
