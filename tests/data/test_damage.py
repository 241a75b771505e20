"""Damage that decoders fill with gray is found, and what is merely odd refuses nothing."""

import io
import os
import struct
import subprocess
import sys
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from simswap.data.damage import Damaged, check_png, check_whole, decode_jpeg
from simswap.data.reading import UnreadableImage, decode_image, read_image
from simswap.errors import InputError
from simswap.inference.photos import read_photo

FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def _picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def _saved(kind: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_picture()).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(exif=exif, quality=90)


JPEGS = {
    "plain": _saved(quality=90), "progressive": _saved(quality=90, progressive=True), "gray": _saved(mode="L"),
    "cmyk": _saved(mode="CMYK"), "turned": _oriented(), "restarts": _saved(quality=90, restart_marker_rows=1),
}  # fmt: skip


def _middle(data: bytes) -> int:
    start = data.rindex(b"\xff\xda")  # of a progressive one the last scan
    return (start + len(data)) // 2


def _without_a_restart_marker(data: bytes) -> bytes:
    place = data.index(b"\xff\xd1")
    return data[:place] + data[place + 2 :]


DAMAGE = {
    "half with an end mark": lambda data: data[: _middle(data)] + b"\xff\xd9",
    "half": lambda data: data[: _middle(data)],
    "a hole of zeros": lambda data: data[: _middle(data)] + bytes(200) + data[_middle(data) + 200 :],
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_broken_jpegs_are_unreadable(kind, damage, tmp_path):
    data = JPEGS[kind]
    assert decode_image(data).shape[2] == 3  # whole, it is read
    broken = DAMAGE[damage](data)
    with pytest.raises(UnreadableImage, match=r"broken|truncated"):
        decode_image(broken)
    (tmp_path / "photo.jpg").write_bytes(broken)
    with pytest.raises(InputError, match=r"photo\.jpg: cannot be read"):
        read_photo(tmp_path / "photo.jpg")


def test_damaged_restart_markers_are_found():
    data = JPEGS["restarts"]
    for broken in (_without_a_restart_marker(data), data.replace(b"\xff\xd2", b"\xff\xd5", 1)):
        with pytest.raises(Damaged, match="Corrupt JPEG data"):
            decode_jpeg(broken, FLAGS)


@pytest.mark.parametrize(
    "odd",
    [
        lambda data: data + b"garbage behind the end" * 20,
        lambda data: data[:-2] + bytes(30) + data[-2:],
        lambda data: data[:-2] + b"\xff" * 7 + data[-2:],
        lambda data: data[:2] + b"\xff\xe5\x00\x05abc" + data[2:],
        lambda data: data[:-2],  # the end mark alone is missing
        lambda data: data.replace(b"JFIF\0\1\1", b"JFIF\0\7\1"),  # a version that nobody knows
    ],
)
def test_harmless_oddities_are_read_as_they_are(odd):
    np.testing.assert_array_equal(decode_image(odd(JPEGS["plain"])), decode_image(JPEGS["plain"]))


def test_damage_behind_harmless_padding_is_found():
    data = JPEGS["plain"]
    start = data.index(b"\xff\xda")
    padded = data[:start] + bytes(5) + data[start:]  # libjpeg tells this first, and then no more
    assert decode_jpeg(padded, FLAGS) is not None
    with pytest.raises(Damaged):
        decode_jpeg(DAMAGE["half with an end mark"](padded), FLAGS)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("options", [{}, {"mode": "P"}, {"mode": "RGBA"}, {"mode": "L"}])
def test_broken_pngs_are_unreadable(options):
    data = _saved("PNG", **options)
    assert decode_image(data).shape == (96, 128, 3)
    place = data.index(b"IDAT") + 40
    wrong = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    header = data[: data.index(b"IDAT") - 4]
    rows = zlib.compress(bytes(40))
    for broken in (wrong, data[:-30], data[:-12], header + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")):
        with pytest.raises(UnreadableImage, match=r"broken|truncated"):
            decode_image(broken)


def test_a_wrong_checksum_of_a_comment_does_not_matter():
    data = _saved("PNG")
    place = data.index(b"IDAT") - 4
    comment = _chunk(b"tEXt", b"Comment\0fine")[:-1] + b"?"
    check_png(data[:place] + comment + data[place:] + b"garbage")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK", "P"])
def test_the_smallest_pictures_are_whole(kind, mode):
    if (kind, mode) not in (("JPEG", "RGBA"), ("JPEG", "P"), ("PNG", "CMYK")):
        buffer = io.BytesIO()
        Image.new(mode, (1, 2)).save(buffer, kind)
        check_whole(buffer.getvalue())
        assert decode_image(buffer.getvalue()).shape == (2, 1, 3)


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("GIF", {}),
                                               ("TIFF", {}), ("PPM", {})])  # fmt: skip
def test_other_types_that_are_cut_off_are_unreadable(kind, options):
    data = _saved(kind, **options)
    with pytest.raises(UnreadableImage):
        decode_image(data[: len(data) // 2])


def test_standard_error_stays_ours_and_nothing_of_the_decoder_is_seen(capfd):
    os.write(2, b"before\n")
    for data in (JPEGS["plain"], DAMAGE["half with an end mark"](JPEGS["plain"])):
        with pytest.raises(Damaged) if data is not JPEGS["plain"] else capfd.disabled():
            check_whole(data)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_threads_and_forked_processes_hear_their_own_pictures():
    broken = DAMAGE["half with an end mark"](JPEGS["plain"])
    wrong: list[str] = []

    def work(data: bytes, is_broken: bool) -> None:
        for _ in range(50):
            try:
                decode_jpeg(data, FLAGS)
                found = False
            except Damaged:
                found = True
            wrong.extend(["x"] * (found != is_broken))

    threads = [threading.Thread(target=work, args=pair) for pair in ((broken, True), (JPEGS["plain"], False)) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    children = []
    for data, is_broken in ((broken, True), (JPEGS["plain"], False)):
        if (child := os.fork()) == 0:
            work(data, is_broken)
            os._exit(len(wrong))
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def test_a_process_without_standard_error(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(DAMAGE["half with an end mark"](JPEGS["plain"]))
    code = (
        "import os, sys; os.close(2)\n"
        "from simswap.data.reading import UnreadableImage, read_image\n"
        "try: read_image(sys.argv[1])\n"
        "except UnreadableImage: sys.exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "broken.jpg"], check=False).returncode == 7


@pytest.mark.real
def test_all_real_photos_are_whole(shared):
    files = [*(shared / "lfw" / "images").glob("*/*.jpg"), *(shared / "photos").iterdir()]
    assert len(files) > 6800
    for file in files:
        if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            read_image(file)
    with pytest.raises(UnreadableImage, match="premature end of data segment"):
        read_image(shared / "cases" / "odd" / "Odd Person" / "q_truncated_eoi.jpg")
