"""``simswap-import`` through its command line, and a photo through what it writes."""

import os

import pytest
import torch

from simswap import checkpoint
from simswap.import_weights import main
from simswap.rendered.dataset import write_dataset
from simswap.swap import main as swap
from tests.models.test_imported import random_state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A public-style file for the built-in recognizer's 64 values, in half precision."""
    path = tmp_path_factory.mktemp("public") / "latest_net_G.pth"
    torch.save({name: value.half() for name, value in random_state(64, 3, 1, latent=64).items()}, path)
    return path


@pytest.mark.parametrize(
    ("generation", "pixel_range", "view"), [(2021, "unit", "nearest"), (2022, "imagenet", "bicubic")]
)
def test_the_checkpoint_describes_itself_and_swaps(door, weights, tmp_path, generation, pixel_range, view):
    out = tmp_path / "public.ckpt"
    arguments = [f"weights={weights}", f"generation={generation}", "size=224", "recognition=builtin", f"out={out}"]
    code, said, errors = door(main, *arguments)
    assert (code, errors) == (0, "")
    assert "224 px, simswap crops" in said
    content = checkpoint.load(out)
    assert (content.template, content.image_size, content.recognizer_view) == ("simswap", 224, view)
    assert content.generator.pixel_range == pixel_range
    wanted = torch.load(weights, weights_only=True)["up1.1.weight"].float()
    torch.testing.assert_close(content.generator.decoder[2][1].weight, wanted)
    code, _, errors = door(main, *arguments)
    assert code == 2
    assert "nothing is overwritten" in errors

    faces = tmp_path / "faces"
    write_dataset(str(faces), persons=2, images=1, size=128, seed=4)
    code, _, errors = door(
        swap,
        f"checkpoint={out}",
        f"landmarks={faces / 'loose_landmark.csv'}",
        "threads=1",
        f"source={faces / 'n000000' / '0000_01.jpg'}",
        f"target={faces / 'n000001' / '0000_01.jpg'}",
        f"out={tmp_path / 'swapped.png'}",
    )
    assert code == 0, errors


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile-was-run",)


def test_bad_files_are_one_line(door, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"first_layer.1.weight": Hostile()}, tmp_path / "hostile.pth")
    (tmp_path / "cut.pth").write_bytes(weights.read_bytes()[:1000])
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    out = tmp_path / "out.ckpt"
    cases = {"hostile": "nothing in it was run", "cut": "is cut off", "other": "something else than tensors",
             "none": "there is no such file"}  # fmt: skip
    for name, complaint in cases.items():
        code, _, errors = door(
            main, f"weights={tmp_path / name}.pth", "generation=2021", "size=224", "recognition=builtin", f"out={out}"
        )
        assert code == 2
        assert complaint in errors
        assert errors.count("\n") == 1
    arguments = [f"weights={weights}", "generation=2021", "size=512", "recognition=builtin", f"out={out}"]
    code, _, errors = door(main, *arguments)
    assert code == 2
    assert "holds the 224 net, made for generation=2021 with size=224 or" in errors
    assert not out.exists()
    assert not (tmp_path / "hostile-was-run").exists()
