"""A plain JPEG's size is read from its header; whatever else the file holds leaves it to Pillow."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.data.test_damage import JPEGS

from simswap.data.jpeg_header import plain_jpeg_shape


def _saved(mode: str = "RGB", size: tuple[int, int] = (50, 31), **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 90 if mode == "L" else None).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_plain_files_of_pillow_and_of_opencv():
    assert plain_jpeg_shape(_saved()) == (31, 50)
    assert plain_jpeg_shape(_saved("L", (7, 9))) == (9, 7)
    assert plain_jpeg_shape(_saved(progressive=True, comment=b"by hand", restart_marker_rows=1)) == (31, 50)
    assert plain_jpeg_shape(cv2.imencode(".jpg", np.zeros((20, 33, 3), np.uint8))[1].tobytes()) == (20, 33)


@pytest.mark.parametrize(
    "data",
    [
        JPEGS["turned"],
        JPEGS["cmyk"],
        _saved(icc_profile=b"profile"),
        _saved(xmp=b"<x:xmpmeta/>"),
        _saved()[:2] + b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x00" + _saved()[20:],
        _saved()[:200],
        _saved()[:3],
        b"",
        b"\x89PNG\r\n\x1a\n",
        _saved()[:20] + b"\xff\xdb\x00\x01" + _saved()[20:],
        _saved().replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),  # 12 bits
    ],
)
def test_every_other_file_is_left_to_pillow(data):
    assert plain_jpeg_shape(data) is None
