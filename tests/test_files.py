"""Files are whole or not there."""

import pytest

from simswap.errors import InputError
from simswap.files import whole_file


def test_the_name_appears_when_the_file_is_whole(tmp_path):
    path = tmp_path / "new folder" / "a.txt"
    with whole_file(path) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_ctrl_c_leaves_the_former_file_and_no_part(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def interrupted() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_path_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written") as caught, whole_file(tmp_path / "file" / "a.txt"):
        pass
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_clear_line(tmp_path):
    def fill() -> None:
        with whole_file(tmp_path / "a.txt"), open("/dev/full", "w") as full:
            full.write("x" * 100_000)

    with pytest.raises(InputError, match="No space left"):
        fill()
    assert not list(tmp_path.iterdir())
