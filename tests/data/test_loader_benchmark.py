"""The PIL loader beside ours reads the same pictures."""

import numpy as np
import torch
from benchmarks.loader import PilPairs, beside_pil, write_crops
from PIL import Image

from simswap.data.reading import read_image


def test_the_pil_loader_gives_the_same_pictures(tmp_path):
    files = write_crops(tmp_path, 16, ".png")[:10]
    item = PilPairs(files, 16, False)[2]
    assert (item["target_index"], item["source_index"]) == (2, 7)  # 2 * 7 + 3 = 17 → 7
    np.testing.assert_array_equal(item["source"].numpy(), read_image(files[7]).transpose(2, 0, 1))
    torch.testing.assert_close(PilPairs(files, 16, True)[2]["source"] * 255, item["source"].float())


def test_a_wide_picture_is_cut_in_the_middle(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert PilPairs([tmp_path / "wide.png"], 10, False).load(0).unique().tolist() == [200]


def test_both_run_by_turns(tmp_path):
    files = write_crops(tmp_path, 16, ".jpg")
    lines = beside_pil(tmp_path, files, 16, 8, 0.03, 3)
    assert ["ours" in line for line in lines] == [True, True, True]
    assert [line.split(":")[1].split("  ")[0].strip() for line in lines] == ["ours", "PIL, float", "PIL, uint8"]
    assert [line.rstrip().endswith("times") for line in lines] == [False, True, True]
