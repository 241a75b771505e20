"""Tables in every dialect: a cell is what is written in it."""

import pytest

from simswap.data.landmarks import LandmarkTable, key_of
from simswap.data.tables import read_table
from simswap.errors import InputError

POINTS = [f"P{number}{axis}" for number in range(1, 6) for axis in "XY"]


def _read(tmp_path, content: bytes | str, **options):
    file = tmp_path / "table.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(file, **options)


@pytest.mark.parametrize(
    "cell", ["0000001", "1", "1.50", "1e5", "NA", "null", "None", "nan", "TRUE", "2024-01-01", "12:30", "", "é", "+1"]
)
def test_a_cell_is_the_text_that_is_written_in_it(tmp_path, cell):
    table = _read(tmp_path, f"a,b\n{cell},x\n")
    assert table.text("a").to_pylist() == [cell]


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n01,x y\n", b"\xef\xbb\xbfa,b\r\n01,x y\r\n", b"a;b\n01;x y\n", b"a\tb\n01\tx y\n", b"a|b\n01|x y\n",
        b'"a","b"\n"01","x y"\n', b"\n\na,b\n\n01,x y\n\n", b"A , B\n 01 , x y \n , \n   \n", b"a,b\r01,x y\r",
        "a,b\n01,x y\n".encode("utf-16"), "a,b\n01,x y\n".encode("utf-16-le"), "a,b\n01,x y\n".encode("utf-16-be"),
        b",a,b\n0,01,x y\n",
    ],
)  # fmt: skip
def test_dialects_give_one_table(tmp_path, content):
    table = _read(tmp_path, content)
    assert (table.text("a").to_pylist(), table.text("b").to_pylist()) == (["01"], ["x y"])


def test_numbers_are_read_where_they_are_meant_with_either_decimal_sign(tmp_path):
    table = _read(tmp_path, "n;Y\n01;2,5\n02;\n03;nan\n", numbers=["y"])
    assert table.text("n").to_pylist() == ["01", "02", "03"]
    assert table.numbers("y").tolist()[0] == 2.5
    assert all(value != value for value in table.numbers("y").tolist()[1:])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is an empty file"), (b"  \n\n", "it is empty"), (b"a,b\n1\n", "Expected 2 columns, got 1: 1"),
        (b"a,b\n1,\xe9\n", "save the table as UTF-8"), ("a,b\n1,é\n".encode("latin-1") * 1, "UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_line(tmp_path, content, complaint):
    with pytest.raises(InputError, match=complaint) as error:
        _read(tmp_path, content)
    assert "table.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_columns_that_are_missing_or_double_are_named(tmp_path):
    with pytest.raises(InputError, match="no column c; its columns are a, b"):
        _read(tmp_path, "a,b\n1,2\n").text("c")
    with pytest.raises(InputError, match="two columns a"):
        _read(tmp_path, "a,A,a\n1,2,3\n").text("a")


@pytest.mark.parametrize("name", ["./Ann/1", "Ann\\1", "  Ann/1 ", "Ann/1.jpg", "Ann/1.JPG", ".//Ann/1", "Ann/1.webp"])
def test_names_of_landmarks_are_found_in_their_usual_forms(tmp_path, name):
    file = tmp_path / "marks.csv"
    file.write_text(f"NAME_ID,{','.join(POINTS)}\n{name}{',5' * 10}\n")
    ending = name.strip()[5:] if "." in name.strip()[3:] else ".png"
    table = LandmarkTable([file])
    assert key_of(f"1{ending}", table.of_person("Ann")) is not None
    assert table.find("Ann/1", ending) is not None


def test_a_row_without_ending_counts_before_one_with_it(tmp_path):
    file = tmp_path / "marks.csv"
    file.write_text(f"NAME_ID,{','.join(POINTS)}\np/a{',1' * 10}\np/a.jpg{',2' * 10}\n")
    rows = LandmarkTable([file]).of_person("p")
    assert rows[key_of("a.jpg", rows)][0] == 1
    assert rows[key_of("a.jpg.png", rows)][0] == 2
    assert key_of("b.jpg", rows) is None


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("Ann_B/0001", "Ann_B/1"), ("Ann_B/1", "images/Ann_B/1.png"), ("ann b/1", "Ann_B/1"), ("Ann_B/1", "ANN_B/1"),
        ("Ann_B/1", "Ann_B/01"), ("Ann_B/x", "Bo/x"), ("Ann_B/x", "Bo/y"),
    ],
)  # fmt: skip
def test_the_nearest_name_is_shown(tmp_path, wanted, given):
    file = tmp_path / "marks.csv"
    others = [f"Zed/{number}" for number in range(1000, 1005)]
    file.write_text(f"NAME_ID,{','.join(POINTS)}\n" + "".join(f"{name}{',1' * 10}\n" for name in [*others, given]))
    assert LandmarkTable([file]).nearest(wanted) == given
